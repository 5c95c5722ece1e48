/* Other processes, new ones, new programs, and code that was data before. */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Signals that do no harm if they arrive; process 1 stands for any other. */
CALL(signal_first, SYS_kill, 1, 0)
CALL(signal_group, SYS_kill, 0, SIGCONT)
CALL(signal_everybody, SYS_kill, -1, 0)
CALL(signal_self, SYS_kill, getpid(), SIGCONT)
CALL(signal_thread, SYS_tkill, gettid(), SIGCONT)
CALL(abort_first, SYS_tgkill, 1, 1, SIGABRT)
CALL(continue_self, SYS_tgkill, getpid(), gettid(), SIGCONT)
CALL(queue_signal, SYS_rt_sigqueueinfo, getpid(), SIGCONT, (char[128]){})
CALL(parents_id, SYS_getppid)
CALL(pidfd_of_first, SYS_pidfd_open, 1, 0)
CALL(signal_by_pidfd, SYS_pidfd_send_signal, RUNNER_ZYGOTE_FD, 0, NULL, 0)
CALL(descriptor_of_other, SYS_pidfd_getfd, RUNNER_ZYGOTE_FD, 0, 0)
CALL(read_memory_of_other, SYS_process_vm_readv, 1, &(struct iovec){}, 1, &(struct iovec){}, 1, 0)
CALL(write_memory_of_other, SYS_process_vm_writev, 1, &(struct iovec){}, 1, &(struct iovec){}, 1, 0)
CALL(trace_other, SYS_ptrace, PTRACE_ATTACH, 1, 0, 0)
CALL(be_traced, SYS_ptrace, PTRACE_TRACEME, 0, 0, 0)
CALL(compare_with_other, SYS_kcmp, getpid(), getpid(), KCMP_VM, 0, 0)
CALL(limits_of_other, SYS_prlimit64, 1, RLIMIT_AS, NULL, &(struct rlimit){})
CALL(priority, SYS_setpriority, PRIO_PROCESS, 0, 0)
CALL(processors, SYS_sched_setaffinity, 0, 8, &(long){1})
CALL(scheduler, SYS_sched_setscheduler, 0, SCHED_OTHER, &(struct sched_param){})
CALL(new_session, SYS_setsid)
CALL(new_group, SYS_setpgid, 0, 0)
CALL(wait_for_children, SYS_wait4, -1, NULL, 0, NULL)
CALL(clone_process, SYS_clone, SIGCHLD, NULL, NULL, NULL, 0)
CALL(clone_sharing, SYS_clone, CLONE_VM | CLONE_FILES | SIGCHLD, (void *)1, NULL, NULL, 0)
CALL(clone_thread_elsewhere, SYS_clone, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_NEWNET, (void *)1, NULL, NULL, 0)
CALL(execute, SYS_execve, "/bin/true", ((const char *[]){"true", NULL}), ((char *[]){NULL}))
CALL(execute_at, SYS_execveat, AT_FDCWD, "/bin/true", ((const char *[]){"true", NULL}), ((char *[]){NULL}), 0)
CALL(make_memfd, SYS_memfd_create, "x", 0)
CALL(make_secret_memory, SYS_memfd_secret, 0)
CALL(map_executable, SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
CALL(map_writable_executable, SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
CALL(share_memory, SYS_shmget, 0, 4096, 01600)
CALL(semaphores, SYS_semget, 0, 1, 01600)
CALL(lock_memory, SYS_mlock, (void *)4096, 4096)
CALL(io_priority, SYS_ioprio_get, 1, 0)

static long clone_by_struct(const struct sealed_job *j)
{
	struct clone_args args = {.exit_signal = SIGCHLD};
	long pid = syscall(SYS_clone3, &args, sizeof(args));

	if (pid == 0)
		_exit(0);
	return pid;
}

static long execute_input(const struct sealed_job *j)
{
	return syscall(SYS_execveat, j->input_fd, "", ((const char *[]){"x", NULL}), ((char *[]){NULL}), AT_EMPTY_PATH);
}

static long map_input_executable(const struct sealed_job *j)
{
	return syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, j->input_fd, 0);
}

static void *page(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static long make_executable(const struct sealed_job *j)
{
	return syscall(SYS_mprotect, page(), 4096, PROT_READ | PROT_EXEC);
}

static long make_executable_by_key(const struct sealed_job *j)
{
	return syscall(SYS_pkey_mprotect, page(), 4096, PROT_READ | PROT_EXEC, -1);
}

static const struct probe rows[] = {
	{"signal_first", signal_first, BOTH_REFUSE(SYS_kill)},
	{"signal_group", signal_group, BOTH_REFUSE(SYS_kill), PROBE_BARE},
	{"signal_everybody", signal_everybody, BOTH_REFUSE(SYS_kill), PROBE_BARE},
	{"signal_self", signal_self, BOTH_REFUSE(SYS_kill), PROBE_BARE},
	{"signal_thread", signal_thread, BOTH_REFUSE(SYS_tkill), PROBE_BARE},
	{"abort_first", abort_first, BOTH_REFUSE(SYS_tgkill)},
	{"continue_self", continue_self, BOTH_REFUSE(SYS_tgkill), PROBE_BARE},
	{"queue_signal", queue_signal, BOTH_REFUSE(SYS_rt_sigqueueinfo)},
	{"parents_id", parents_id, BOTH_REFUSE(SYS_getppid), PROBE_BARE},
	{"pidfd_of_first", pidfd_of_first, BOTH_REFUSE(SYS_pidfd_open), PROBE_BARE},
	{"signal_by_pidfd", signal_by_pidfd, BOTH_REFUSE(SYS_pidfd_send_signal)},
	{"descriptor_of_other", descriptor_of_other, BOTH_REFUSE(SYS_pidfd_getfd)},
	{"read_memory_of_other", read_memory_of_other, BOTH_REFUSE(SYS_process_vm_readv)},
	{"write_memory_of_other", write_memory_of_other, BOTH_REFUSE(SYS_process_vm_writev)},
	{"trace_other", trace_other, BOTH_REFUSE(SYS_ptrace)},
	{"be_traced", be_traced, BOTH_REFUSE(SYS_ptrace), PROBE_BARE},
	{"compare_with_other", compare_with_other, BOTH_REFUSE(SYS_kcmp)},
	{"limits_of_other", limits_of_other, BOTH_REFUSE(SYS_prlimit64)},
	{"priority", priority, BOTH_REFUSE(SYS_setpriority), PROBE_BARE},
	{"processors", processors, BOTH_REFUSE(SYS_sched_setaffinity), PROBE_BARE},
	{"scheduler", scheduler, BOTH_REFUSE(SYS_sched_setscheduler), PROBE_BARE},
	{"io_priority", io_priority, BOTH_REFUSE(SYS_ioprio_get)},
	{"new_session", new_session, BOTH_REFUSE(SYS_setsid)},
	{"new_group", new_group, BOTH_REFUSE(SYS_setpgid)},
	{"wait_for_children", wait_for_children, BOTH_REFUSE(SYS_wait4)},
	{"clone_process", clone_process, BOTH_REFUSE(SYS_clone)},
	{"clone_sharing", clone_sharing, BOTH_REFUSE(SYS_clone)},
	{"clone_thread_elsewhere", clone_thread_elsewhere, BOTH_REFUSE(SYS_clone)},
	{"clone_by_struct", clone_by_struct, ONCE_TELLS(SYS_clone3, ENOSYS), PROBE_BARE},
	{"execute", execute, BOTH_REFUSE(SYS_execve)},
	{"execute_at", execute_at, BOTH_REFUSE(SYS_execveat)},
	{"execute_input", execute_input, BOTH_REFUSE(SYS_execveat)},
	{"make_memfd", make_memfd, BOTH_REFUSE(SYS_memfd_create), PROBE_BARE},
	{"make_secret_memory", make_secret_memory, BOTH_REFUSE(SYS_memfd_secret)},
	{"map_executable", map_executable, BOTH_REFUSE(SYS_mmap), PROBE_BARE},
	{"map_writable_executable", map_writable_executable, BOTH_REFUSE(SYS_mmap), PROBE_BARE},
	{"map_input_executable", map_input_executable, BOTH_REFUSE(SYS_mmap)},
	{"make_executable", make_executable, BOTH_REFUSE(SYS_mprotect), PROBE_BARE},
	{"make_executable_by_key", make_executable_by_key, BOTH_REFUSE(SYS_pkey_mprotect), PROBE_BARE},
	{"share_memory", share_memory, BOTH_REFUSE(SYS_shmget)},
	{"semaphores", semaphores, BOTH_REFUSE(SYS_semget)},
	{"lock_memory", lock_memory, BOTH_REFUSE(SYS_mlock)},
};
const struct probe_list probes_process = {rows, ARRAY_LEN(rows)};
