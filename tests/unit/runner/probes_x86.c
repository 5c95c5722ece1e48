/* Calls that x86 has beside the common ones: the old forms that take a path or fork, and the two other numberings, 32 bits and x32. */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define I386_OPEN 5
#define I386_GETPID 20
#define I386_SOCKET 359
#define X32 0x40000000

CALL(open_old, SYS_open, "/etc/passwd", O_RDONLY)
CALL(create_old, SYS_creat, "/filemill-probe/x", 0600)
CALL(mkdir_old, SYS_mkdir, "/filemill-probe/x", 0700)
CALL(unlink_old, SYS_unlink, "/filemill-probe/x")
CALL(rename_old, SYS_rename, "/filemill-probe/x", "/filemill-probe/y")
CALL(chmod_old, SYS_chmod, "/filemill-probe/x", 0777)
CALL(stat_old, SYS_stat, "/etc/passwd", (char[512]){})
CALL(dup_old, SYS_dup2, STDIN_FILENO, STDERR_FILENO)
CALL(fork_old, SYS_fork)
CALL(vfork_old, SYS_vfork)
CALL(ports, SYS_iopl, 3)
CALL(port, SYS_ioperm, 0x80, 1, 1)
CALL(segments, SYS_modify_ldt, 0, NULL, 0)
CALL(segment_base, SYS_arch_prctl, 0x1003, &(unsigned long){0})
CALL(x32_getpid, X32 | SYS_getpid)
CALL(x32_open, X32 | SYS_open, "/etc/passwd", O_RDONLY)

static long int80(long number, long a, long b)
{
	long result;

	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(0L) : "memory", "r8", "r9", "r10", "r11");
	if (result >= 0)
		return result;
	errno = (int)-result;
	return -1;
}

static long i386_getpid(const struct sealed_job *j)
{
	return int80(I386_GETPID, 0, 0);
}

static long i386_open(const struct sealed_job *j)
{
	return int80(I386_OPEN, 0, 0);
}

static long i386_socket(const struct sealed_job *j)
{
	return int80(I386_SOCKET, 1, 1);
}

/* 64-bit read(), 32-bit restart: number 3 is one thing here and another there. */
static long i386_read(const struct sealed_job *j)
{
	return int80(3, 0, 0);
}

static const struct probe rows[] = {
	{"open_old", open_old, ONCE_TELLS(SYS_open, ENOENT), PROBE_BARE},
	{"create_old", create_old, BOTH_REFUSE(SYS_creat)},
	{"mkdir_old", mkdir_old, BOTH_REFUSE(SYS_mkdir)},
	{"unlink_old", unlink_old, ONCE_TELLS(SYS_unlink, ENOENT)},
	{"rename_old", rename_old, BOTH_REFUSE(SYS_rename)},
	{"chmod_old", chmod_old, BOTH_REFUSE(SYS_chmod)},
	{"stat_old", stat_old, BOTH_REFUSE(SYS_stat), PROBE_BARE},
	{"dup_old", dup_old, BOTH_REFUSE(SYS_dup2), PROBE_BARE},
	{"fork_old", fork_old, BOTH_REFUSE(SYS_fork)},
	{"vfork_old", vfork_old, BOTH_REFUSE(SYS_vfork)},
	{"ports", ports, BOTH_REFUSE(SYS_iopl)},
	{"port", port, BOTH_REFUSE(SYS_ioperm)},
	{"segments", segments, BOTH_REFUSE(SYS_modify_ldt), PROBE_BARE},
	{"segment_base", segment_base, BOTH_REFUSE(SYS_arch_prctl), PROBE_BARE},
	{"x32_getpid", x32_getpid, BOTH_REFUSE(X32 | SYS_getpid)},
	{"x32_open", x32_open, BOTH_REFUSE(X32 | SYS_open)},
	{"i386_getpid", i386_getpid, BOTH_REFUSE(I386_GETPID), PROBE_FOREIGN},
	{"i386_open", i386_open, BOTH_REFUSE(I386_OPEN), PROBE_FOREIGN},
	{"i386_socket", i386_socket, BOTH_REFUSE(I386_SOCKET), PROBE_FOREIGN},
	{"i386_read", i386_read, BOTH_REFUSE(3), PROBE_FOREIGN},
};
const struct probe_list probes_machine = {rows, ARRAY_LEN(rows)};
