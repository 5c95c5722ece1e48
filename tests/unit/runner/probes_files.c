/* Files: nothing is opened, made, changed or looked at, and no descriptor becomes another. */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CONTROL "/etc/passwd" /* is there, and anybody may read it */
#define MADE "/tmp/filemill-probe-must-not-be"

CALL(open_absolute, SYS_openat, AT_FDCWD, CONTROL, O_RDONLY)
CALL(open_relative, SYS_openat, AT_FDCWD, ".", O_RDONLY | O_DIRECTORY)
CALL(open_own_memory, SYS_openat, AT_FDCWD, "/proc/self/mem", O_RDWR)
CALL(open_own_environment, SYS_openat, AT_FDCWD, "/proc/self/environ", O_RDONLY)
CALL(open_terminal, SYS_openat, AT_FDCWD, "/dev/tty", O_RDWR)
CALL(create_file, SYS_openat, AT_FDCWD, MADE, O_CREAT | O_WRONLY, 0600)
CALL(create_nameless, SYS_openat, AT_FDCWD, "/tmp", O_TMPFILE | O_RDWR, 0600)
CALL(make_folder, SYS_mkdirat, AT_FDCWD, MADE, 0700)
CALL(make_device, SYS_mknodat, AT_FDCWD, MADE, S_IFIFO | 0600, 0)
CALL(unlink_file, SYS_unlinkat, AT_FDCWD, MADE, 0)
CALL(rename_file, SYS_renameat2, AT_FDCWD, MADE, AT_FDCWD, MADE "2", 0)
CALL(make_symlink, SYS_symlinkat, CONTROL, AT_FDCWD, MADE)
CALL(make_link, SYS_linkat, AT_FDCWD, CONTROL, AT_FDCWD, MADE, 0)
CALL(change_mode, SYS_fchmodat, AT_FDCWD, MADE, 0777)
CALL(change_owner, SYS_fchownat, AT_FDCWD, MADE, 0, 0, 0)
CALL(change_times, SYS_utimensat, AT_FDCWD, MADE, NULL, 0)
CALL(truncate_path, SYS_truncate, MADE, 0L)
CALL(set_attribute, SYS_setxattr, MADE, "user.x", "x", 1, 0)
CALL(read_link, SYS_readlinkat, AT_FDCWD, "/proc/self/exe", (char[8]){}, 8)
CALL(stat_path, SYS_newfstatat, AT_FDCWD, CONTROL, &(struct stat){}, 0)
CALL(statx_path, SYS_statx, AT_FDCWD, CONTROL, 0, 0xfffu, (char[512]){})
CALL(check_access, SYS_faccessat, AT_FDCWD, CONTROL, R_OK)
CALL(change_folder, SYS_chdir, "/")
CALL(read_folder, SYS_getdents64, STDIN_FILENO, (char[512]){}, 512)
CALL(own_folder, SYS_getcwd, (char[512]){}, 512)
CALL(watch_files, SYS_inotify_init1, 0)
CALL(watch_all_files, SYS_fanotify_init, 0, 0)
CALL(handle_of, SYS_name_to_handle_at, AT_FDCWD, CONTROL, NULL, NULL, 0)
CALL(open_by_handle, SYS_open_by_handle_at, AT_FDCWD, (char[64]){8, 0, 0, 0, 1}, O_RDONLY)

static long open_strictly(const struct sealed_job *j)
{
	struct open_how how = {.flags = O_RDONLY};

	return syscall(SYS_openat2, AT_FDCWD, CONTROL, &how, sizeof(how));
}

static long open_parents_environment(const struct sealed_job *j)
{
	return syscall(SYS_openat, AT_FDCWD, "/proc/1/environ", O_RDONLY);
}

static long write_input(const struct sealed_job *j)
{
	return syscall(SYS_write, j->input_fd, "x", 1);
}

static long map_input_writable(const struct sealed_job *j)
{
	return syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, j->input_fd, 0);
}

static long cut_input(const struct sealed_job *j)
{
	return syscall(SYS_ftruncate, j->input_fd, 0L);
}

static long grow_input(const struct sealed_job *j)
{
	return syscall(SYS_fallocate, j->input_fd, 0, 0L, 1L << 20);
}

static long loosen_memfd(const struct sealed_job *j)
{
	return syscall(SYS_fcntl, j->input_fd, F_ADD_SEALS, 0);
}

static long chmod_input(const struct sealed_job *j)
{
	return syscall(SYS_fchmod, j->input_fd, 0777);
}

static long write_at_input(const struct sealed_job *j)
{
	return syscall(SYS_pwrite64, j->input_fd, "x", 1, 0L);
}

static long copy_descriptor(const struct sealed_job *j)
{
	return syscall(SYS_dup3, j->input_fd, STDERR_FILENO, 0);
}

static long duplicate_by_fcntl(const struct sealed_job *j)
{
	return syscall(SYS_fcntl, j->input_fd, F_DUPFD, 10);
}

static long reopen_input(const struct sealed_job *j)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", j->input_fd);
	return syscall(SYS_openat, AT_FDCWD, path, O_RDWR);
}

static long signals_by_descriptor(const struct sealed_job *j)
{
	return syscall(SYS_fcntl, RUNNER_ZYGOTE_FD, F_SETOWN, 1);
}

/* Counts what is open: standard ones, channel, input, output. One too many is the attempt's success. */
static long find_descriptors(const struct sealed_job *j)
{
	for (int fd = 0; fd < 4096; fd++) {
		if (fd <= RUNNER_ZYGOTE_FD || fd == j->input_fd || fd == j->output_fd)
			continue;
		long flags = syscall(SYS_fcntl, fd, F_GETFL);
		if (flags >= 0)
			return fd;
	}
	return -1;
}

static long speak_on_standard_error(const struct sealed_job *j)
{
	return syscall(SYS_write, STDERR_FILENO, "x", 1);
}

static const struct probe rows[] = {
	{"open_absolute", open_absolute, ONCE_TELLS(SYS_openat, ENOENT), PROBE_BARE},
	{"open_relative", open_relative, ONCE_TELLS(SYS_openat, ENOENT), PROBE_BARE},
	{"open_own_memory", open_own_memory, ONCE_TELLS(SYS_openat, ENOENT), PROBE_BARE},
	{"open_own_environment", open_own_environment, ONCE_TELLS(SYS_openat, ENOENT), PROBE_BARE},
	{"open_parents_environment", open_parents_environment, ONCE_TELLS(SYS_openat, ENOENT)},
	{"open_terminal", open_terminal, ONCE_TELLS(SYS_openat, ENOENT)},
	{"open_strictly", open_strictly, BOTH_REFUSE(SYS_openat2), PROBE_BARE},
	{"reopen_input", reopen_input, ONCE_TELLS(SYS_openat, ENOENT), PROBE_BARE},
	{"create_file", create_file, ONCE_TELLS(SYS_openat, ENOENT)},
	{"create_nameless", create_nameless, ONCE_TELLS(SYS_openat, ENOENT)},
	{"make_folder", make_folder, BOTH_REFUSE(SYS_mkdirat)},
	{"make_device", make_device, BOTH_REFUSE(SYS_mknodat)},
	{"unlink_file", unlink_file, BOTH_REFUSE(SYS_unlinkat)},
	{"rename_file", rename_file, BOTH_REFUSE(SYS_renameat2)},
	{"make_symlink", make_symlink, BOTH_REFUSE(SYS_symlinkat)},
	{"make_link", make_link, BOTH_REFUSE(SYS_linkat)},
	{"change_mode", change_mode, BOTH_REFUSE(SYS_fchmodat)},
	{"change_owner", change_owner, BOTH_REFUSE(SYS_fchownat)},
	{"change_times", change_times, BOTH_REFUSE(SYS_utimensat)},
	{"truncate_path", truncate_path, BOTH_REFUSE(SYS_truncate)},
	{"set_attribute", set_attribute, BOTH_REFUSE(SYS_setxattr)},
	{"read_link", read_link, ONCE_TELLS(SYS_readlinkat, ENOENT), PROBE_BARE},
	{"stat_path", stat_path, BOTH_TELL(ENOENT), PROBE_BARE},
	{"statx_path", statx_path, ONCE_TELLS(SYS_statx, ENOENT), PROBE_BARE},
	{"check_access", check_access, BOTH_REFUSE(SYS_faccessat), PROBE_BARE},
	{"change_folder", change_folder, BOTH_REFUSE(SYS_chdir), PROBE_BARE},
	{"read_folder", read_folder, BOTH_REFUSE(SYS_getdents64)},
	{"own_folder", own_folder, BOTH_REFUSE(SYS_getcwd), PROBE_BARE},
	{"watch_files", watch_files, BOTH_REFUSE(SYS_inotify_init1), PROBE_BARE},
	{"watch_all_files", watch_all_files, BOTH_REFUSE(SYS_fanotify_init)},
	{"handle_of", handle_of, BOTH_REFUSE(SYS_name_to_handle_at)},
	{"open_by_handle", open_by_handle, BOTH_REFUSE(SYS_open_by_handle_at)},
	{"write_input", write_input, BOTH_TELL(EBADF), PROBE_INPUT_FILE},
	{"write_sealed_memfd", write_input, BOTH_KILL(SIGXFSZ)},
	{"map_input_writable", map_input_writable, BOTH_TELL(EACCES), PROBE_INPUT_FILE},
	{"map_sealed_memfd_writable", map_input_writable, BOTH_TELL(EPERM)},
	{"cut_input", cut_input, BOTH_REFUSE(SYS_ftruncate), PROBE_INPUT_FILE},
	{"cut_sealed_memfd", cut_input, BOTH_REFUSE(SYS_ftruncate)},
	{"grow_input", grow_input, BOTH_REFUSE(SYS_fallocate)},
	{"loosen_memfd", loosen_memfd, BOTH_REFUSE(SYS_fcntl)},
	{"chmod_input", chmod_input, BOTH_REFUSE(SYS_fchmod), PROBE_BARE | PROBE_INPUT_FILE},
	{"write_at_input", write_at_input, BOTH_REFUSE(SYS_pwrite64), PROBE_INPUT_FILE},
	{"copy_descriptor", copy_descriptor, BOTH_REFUSE(SYS_dup3), PROBE_BARE},
	{"duplicate_by_fcntl", duplicate_by_fcntl, BOTH_REFUSE(SYS_fcntl), PROBE_BARE},
	{"signals_by_descriptor", signals_by_descriptor, BOTH_REFUSE(SYS_fcntl), PROBE_BARE},
	{"find_descriptors", find_descriptors, BOTH_TELL(EBADF)},
	{"speak_on_standard_error", speak_on_standard_error, BOTH_TELL(EBADF)},
};
const struct probe_list probes_files = {rows, ARRAY_LEN(rows)};
