/* Which system calls a sealed process has. The one place to extend: a row a call, with the reason.
 *
 * Arguments are compared in all 64 bits, although the kernel looks at 32 of most: so a row says what may be, never what may not, lest set upper bits slip past it. */
#include "runner/child/seal_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define IOCTL_TIOCSTI 0x5412
#define IOCTL_TIOCLINUX 0x541c
#define LOW_HALF 0xffffffffu

/* What pthread_create() in glibc asks for, and nothing else is a thread here. */
#define THREAD_FLAGS                                                                                                                       \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_SIGHAND | CLONE_THREAD | CLONE_SETTLS | CLONE_PARENT_SETTID |           \
	 CLONE_CHILD_CLEARTID)
#define SIGNAL_CANCEL 32 /* glibc's own two */
#define SIGNAL_SETXID 33

enum {
	MANY = 1u << POLICY_MANY,
	ONCE = 1u << POLICY_ONCE,
	BOTH = MANY | ONCE,
	COMMAND = 1u << POLICY_COMMAND,
};

/* clang-format off */
#define IS(n, value) {.at = (n), .how = SCMP_CMP_EQ, .a = (value)}
#define BITS(n, mask, value) {.at = (n), .how = SCMP_CMP_MASKED_EQ, .a = (mask), .b = (value)}
#define FROM(n, value) {.at = (n), .how = SCMP_CMP_GE, .a = (value)}
#define LET(who, name, reason) {.policies = (who), .call = SCMP_SYS(name), .why = (reason)},
#define LET_IF(who, name, reason, count, ...) {.policies = (who), .call = SCMP_SYS(name), .n_args = (count), .args = {__VA_ARGS__}, .why = (reason)},
#define TELL(who, name, error, reason) {.policies = (who), .call = SCMP_SYS(name), .answer = (error), .why = (reason)},
#define TELL_IF(who, name, error, reason, count, ...) \
	{.policies = (who), .call = SCMP_SYS(name), .answer = (error), .n_args = (count), .args = {__VA_ARGS__}, .why = (reason)},

static const struct seal_call calls[] = {
	/* Bytes, through descriptors that came over the channel. Nothing here makes one. */
	LET(BOTH, read, "input")
	LET(BOTH, pread64, "input")
	LET(BOTH, readv, "input")
	LET(BOTH, lseek, "input")
	LET(BOTH, fstat, "size of the input; takes no path")
	LET(BOTH, write, "output")
	LET(BOTH, writev, "output")
	LET(BOTH, close, "the job's descriptors")
	LET(BOTH, recvmsg, "the channel")
	LET(BOTH, sendmsg, "the channel")
	LET(BOTH, poll, "waiting for the pipe")
	LET(BOTH, ppoll, "waiting for the pipe, on machines without poll")
	LET_IF(BOTH, fcntl, "may it be written?", 1, IS(1, F_GETFL))
	LET_IF(BOTH, fcntl, "is the memfd sealed?", 1, IS(1, F_GET_SEALS))

	/* Memory, none of it executable. */
	LET_IF(BOTH, mmap, "malloc and the input", 1, BITS(2, PROT_EXEC, 0))
	LET_IF(BOTH, mprotect, "malloc and stacks", 1, BITS(2, PROT_EXEC, 0))
	LET(BOTH, munmap, "malloc and the input")
	LET(BOTH, mremap, "realloc")
	LET(BOTH, madvise, "free")
	LET(BOTH, brk, "malloc")

	/* Time, chance, and what a process may know of itself. */
	LET(BOTH, futex, "locks")
	LET(BOTH, clock_gettime, "where the vdso does not answer")
	LET(BOTH, gettimeofday, "where the vdso does not answer")
	LET(BOTH, time, "where the vdso does not answer")
	LET(BOTH, getrandom, "seeds of hash tables")
	LET(BOTH, getpid, "abort")
	LET(BOTH, gettid, "abort and locks")
	LET(BOTH, getrusage, "CPU time used")
	LET(BOTH, sched_yield, "spinning locks")
	LET_IF(BOTH, prlimit64, "asking for an own limit", 2, IS(0, 0), IS(2, 0))
	LET_IF(MANY, prlimit64, "the next job's CPU seconds", 2, IS(0, 0), IS(1, RLIMIT_CPU))

	/* Ends. A handler for SIGSYS cannot be set: only these signals have a row. */
	LET(BOTH, exit, "a thread's end")
	LET(BOTH, exit_group, "the end")
	LET(BOTH, restart_syscall, "after a stop")
	LET(BOTH, rt_sigreturn, "after a handler")
	LET(BOTH, rt_sigprocmask, "abort and threads; who blocks SIGSYS is killed by the kernel")
	LET_IF(BOTH, rt_sigaction, "abort", 1, IS(0, SIGABRT))
	LET_IF(BOTH, tgkill, "abort", 2, IS(0, SEAL_SELF), IS(2, SIGABRT))

	/* Threads of decoders. */
	LET_IF(ONCE, clone, "threads, and only those", 1, IS(0, THREAD_FLAGS))
	TELL(ONCE, clone3, ENOSYS, "its flags lie in memory; glibc falls back to clone")
	LET(ONCE, set_robust_list, "threads")
	LET(ONCE, rseq, "threads")
	LET_IF(ONCE, rt_sigaction, "threads", 1, IS(0, SIGNAL_CANCEL))
	LET_IF(ONCE, rt_sigaction, "threads", 1, IS(0, SIGNAL_SETXID))
	LET_IF(ONCE, sched_getattr, "GLib, of its own threads", 1, IS(0, 0))
	LET_IF(ONCE, sched_setattr, "GLib, of its own threads", 1, IS(0, 0))
	LET(ONCE, sysinfo, "GLib")
	LET(ONCE, umask, "libvips")
	TELL(ONCE, sched_getaffinity, EPERM, "counting processors")

	/* What libraries try on the way and live without. */
	TELL(BOTH, newfstatat, ENOENT, "fstat() of glibc; it could name a path")
	TELL(ONCE, statx, ENOENT, "could name a path")
	TELL(ONCE, open, ENOENT, "locales, plug-ins")
	TELL(ONCE, openat, ENOENT, "locales, plug-ins")
	TELL(ONCE, access, ENOENT, "configuration files")
	TELL(ONCE, readlink, ENOENT, "where am I?")
	TELL(ONCE, readlinkat, ENOENT, "where am I?")
	TELL(ONCE, unlink, ENOENT, "temporary files that were never made")
	TELL(ONCE, statfs, EPERM, "is there room for temporary files?")
	TELL(ONCE, prctl, EPERM, "names of threads")
	TELL(BOTH, ioctl, ENOTTY, "is it a terminal?")
	TELL(ONCE, getpeername, ENOTSOCK, "GLib asks whether journald listens")

	/* Commands are programs of their own in namespaces of their own: they get the usual answer to what they may not, and nothing that reaches the kernel's dark corners. */
	TELL(COMMAND, mount, EPERM, "the tree stays as it was built")
	TELL(COMMAND, umount2, EPERM, "the tree stays")
	TELL(COMMAND, pivot_root, EPERM, "the tree stays")
	TELL(COMMAND, chroot, EPERM, "the tree stays")
	TELL(COMMAND, open_tree, EPERM, "the tree stays")
	TELL(COMMAND, move_mount, EPERM, "the tree stays")
	TELL(COMMAND, fsopen, EPERM, "the tree stays")
	TELL(COMMAND, fsconfig, EPERM, "the tree stays")
	TELL(COMMAND, fsmount, EPERM, "the tree stays")
	TELL(COMMAND, fspick, EPERM, "the tree stays")
	TELL(COMMAND, mount_setattr, EPERM, "the tree stays")
	TELL(COMMAND, swapon, EPERM, "the machine's")
	TELL(COMMAND, swapoff, EPERM, "the machine's")
	TELL(COMMAND, reboot, EPERM, "the machine's")
	TELL(COMMAND, sethostname, EPERM, "the machine's")
	TELL(COMMAND, setdomainname, EPERM, "the machine's")
	TELL(COMMAND, settimeofday, EPERM, "the machine's")
	TELL(COMMAND, clock_settime, EPERM, "the machine's")
	TELL(COMMAND, clock_adjtime, EPERM, "the machine's")
	TELL(COMMAND, adjtimex, EPERM, "the machine's")
	TELL(COMMAND, acct, EPERM, "the machine's")
	TELL(COMMAND, quotactl, EPERM, "the machine's")
	TELL(COMMAND, quotactl_fd, EPERM, "the machine's")
	TELL(COMMAND, syslog, EPERM, "the machine's")
	TELL(COMMAND, iopl, EPERM, "the machine's")
	TELL(COMMAND, ioperm, EPERM, "the machine's")
	TELL(COMMAND, init_module, EPERM, "the kernel's own code")
	TELL(COMMAND, finit_module, EPERM, "the kernel's own code")
	TELL(COMMAND, delete_module, EPERM, "the kernel's own code")
	TELL(COMMAND, kexec_load, EPERM, "the kernel's own code")
	TELL(COMMAND, kexec_file_load, EPERM, "the kernel's own code")
	TELL(COMMAND, bpf, EPERM, "the kernel's own code")
	TELL(COMMAND, perf_event_open, EPERM, "attack surface")
	TELL(COMMAND, userfaultfd, EPERM, "attack surface")
	TELL(COMMAND, io_uring_setup, ENOSYS, "calls that no filter sees")
	TELL(COMMAND, io_uring_enter, ENOSYS, "calls that no filter sees")
	TELL(COMMAND, io_uring_register, ENOSYS, "calls that no filter sees")
	TELL(COMMAND, add_key, EPERM, "keys are not in a namespace")
	TELL(COMMAND, request_key, EPERM, "keys are not in a namespace")
	TELL(COMMAND, keyctl, EPERM, "keys are not in a namespace")
	TELL(COMMAND, ptrace, EPERM, "other processes")
	TELL(COMMAND, process_vm_readv, EPERM, "other processes")
	TELL(COMMAND, process_vm_writev, EPERM, "other processes")
	TELL(COMMAND, process_madvise, EPERM, "other processes")
	TELL(COMMAND, pidfd_getfd, EPERM, "other processes")
	TELL(COMMAND, kcmp, EPERM, "other processes")
	TELL(COMMAND, migrate_pages, EPERM, "other processes")
	TELL(COMMAND, move_pages, EPERM, "other processes")
	TELL(COMMAND, open_by_handle_at, EPERM, "files without a path")
	TELL(COMMAND, name_to_handle_at, EPERM, "files without a path")
	TELL(COMMAND, fanotify_init, EPERM, "files of others")
	TELL(COMMAND, lookup_dcookie, EPERM, "files without a path")
	TELL(COMMAND, memfd_create, EPERM, "programs that no path rule sees")
	TELL(COMMAND, memfd_secret, EPERM, "programs that no path rule sees")
	TELL(COMMAND, personality, EPERM, "data that becomes executable")
	TELL(COMMAND, setns, EPERM, "namespaces")
	TELL(COMMAND, unshare, EPERM, "namespaces")
	TELL(COMMAND, clone3, ENOSYS, "its flags lie in memory; glibc falls back to clone")
	TELL_IF(COMMAND, clone, EPERM, "namespaces", 1, BITS(0, CLONE_NEWUSER, CLONE_NEWUSER))
	TELL_IF(COMMAND, clone, EPERM, "namespaces", 1, BITS(0, CLONE_NEWNS, CLONE_NEWNS))
	TELL_IF(COMMAND, clone, EPERM, "namespaces", 1, BITS(0, CLONE_NEWPID, CLONE_NEWPID))
	TELL_IF(COMMAND, clone, EPERM, "namespaces", 1, BITS(0, CLONE_NEWNET, CLONE_NEWNET))
	TELL_IF(COMMAND, clone, EPERM, "namespaces", 1, BITS(0, CLONE_NEWIPC, CLONE_NEWIPC))
	TELL_IF(COMMAND, clone, EPERM, "namespaces", 1, BITS(0, CLONE_NEWUTS, CLONE_NEWUTS))
	TELL_IF(COMMAND, clone, EPERM, "namespaces", 1, BITS(0, CLONE_NEWCGROUP, CLONE_NEWCGROUP))
	TELL_IF(COMMAND, ioctl, EPERM, "keys typed for somebody else", 1, BITS(1, LOW_HALF, IOCTL_TIOCSTI))
	TELL_IF(COMMAND, ioctl, EPERM, "keys typed for somebody else", 1, BITS(1, LOW_HALF, IOCTL_TIOCLINUX))
	TELL_IF(COMMAND, socket, EAFNOSUPPORT, "families beyond unix, IPv4 and IPv6: netlink, packet, crypto, vsock …", 1, FROM(0, AF_INET6 + 1))
	TELL_IF(COMMAND, socket, EAFNOSUPPORT, "AX.25", 1, BITS(0, LOW_HALF, AF_AX25))
	TELL_IF(COMMAND, socket, EAFNOSUPPORT, "IPX, AppleTalk, NET/ROM, bridges", 1, BITS(0, LOW_HALF & ~3u, AF_IPX))
	TELL_IF(COMMAND, socket, EAFNOSUPPORT, "ATM and X.25", 1, BITS(0, LOW_HALF & ~1u, AF_ATMPVC))
};
/* clang-format on */

const struct seal_call *seal_calls(size_t *ret_n)
{
	*ret_n = ARRAY_LEN(calls);
	return calls;
}
