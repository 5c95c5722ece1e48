/* The seal: what a child takes from itself before it reads the first byte of anybody's file. Part by part, each of them for good:
 * rights that exec could give, being looked into, capabilities, amounts, files and network by Landlock, and last of all system calls, for the rest needs some.
 * The parts overlap on purpose: a file cannot be opened because there is no call for it, and if there were, Landlock would refuse, and nothing writable would be there. */
#include "runner/child/seal_impl.h"

#include "runner/child/command_impl.h"

#include <assert.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMMAND_NAMESPACES (CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)
/* With seccomp in place these two say the same a second time; kernels before 6.7 and 6.12 do not have them. */
#define SECOND_LOCKS (1u << SEAL_LANDLOCK_TCP | 1u << SEAL_LANDLOCK_SCOPE)

/* Where the handler tells what was refused: a signal brings nothing of its own. Written once, before the filter. */
static int refusal_channel = -1;

/* Runs on the thread whose call was refused. What it calls is in the table, so whoever gets here by other ways has gained nothing. */
static void refused(int sig, siginfo_t *info, void *context)
{
	struct runner_refusal say = {.magic = RUNNER_REFUSED, .call = info->si_syscall, .arch = info->si_arch};
	struct iovec io = {.iov_base = &say, .iov_len = sizeof(say)};
	struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1};

	sendmsg(refusal_channel, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	for (;;)
		syscall(SYS_exit_group, RUNNER_REFUSED_STATUS);
}

/* Tries the namespaces with a child that builds in them what a command needs, and ends: some machines give them and then allow nothing there. 0 or errno. */
static int try_namespaces(const struct seal *s, uint64_t flags)
{
	pid_t pid = seal_fork(flags, NULL);
	int error = errno;
	siginfo_t info;

	if (pid == 0)
		_exit(command_world_try(s));
	if (pid < 0)
		return error;
	while (waitid(P_PID, (id_t)pid, &info, WEXITED) != 0 && errno == EINTR)
		;
	return info.si_code == CLD_EXITED ? info.si_status : EPERM;
}

int seal_prepare(struct seal *s, struct err *e)
{
	*s = (struct seal){};
	for (int policy = 0; policy < POLICIES; policy++) {
		int rc = sealed_filter_new(&s->filters[policy], (enum seal_policy)policy, e);
		if (rc != 0) {
			seal_release(s);
			return rc;
		}
	}
	/* Everybody else gets namespaces with one of users only. Root needs none, in a chroot gets none, and must not have one: commands would be root outside of it. */
	s->command_flags = COMMAND_NAMESPACES | (geteuid() == 0 ? 0 : CLONE_NEWUSER);
	s->command_errno = try_namespaces(s, s->command_flags);
	if (s->command_errno != 0)
		s->command_flags = 0;
	return 0;
}

void seal_release(struct seal *s)
{
	for (size_t i = 0; i < POLICIES; i++) {
		sealed_filter_free(s->filters[i]);
		s->filters[i] = NULL;
	}
}

/* x86-64 and arm64 have these three arguments in the same order; without a stack of its own the child goes on on a copy of this one. */
pid_t seal_fork(uint64_t flags, int *ret_pidfd)
{
	flags |= SIGCHLD | (ret_pidfd != NULL ? CLONE_PIDFD : 0);
	return (pid_t)syscall(SYS_clone, flags, NULL, ret_pidfd, NULL, NULL);
}

uint64_t seal_clone_flags(const struct seal *s, enum seal_policy policy)
{
	return policy == POLICY_COMMAND ? s->command_flags : 0;
}

static int seal_privileges(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	const struct __user_cap_data_struct none[2] = {};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return errno;
	return syscall(SYS_capset, &head, none) == 0 ? 0 : errno;
}

static int seal_undumpable(void)
{
	return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 ? 0 : errno;
}

static int seal_calls_of(const struct seal *s, enum seal_policy policy, int channel)
{
	struct sigaction action = {.sa_sigaction = refused, .sa_flags = SA_SIGINFO};

	refusal_channel = channel;
	if (sigaction(SIGSYS, &action, NULL) != 0)
		return errno;
	return sealed_filter_load(s->filters[policy]);
}

static void note(struct seal_report *report, enum seal_feature f, int error)
{
	report->errors[f] = error;
	if (error == 0)
		report->enforced |= 1u << f;
}

int seal_apply(const struct seal *s, enum seal_policy policy, const struct runner_limits *limits, unsigned may_lack, int channel,
	       struct seal_report *ret, struct err *e)
{
	struct seal_report report = {};
	unsigned needed = (1u << SEAL_FEATURES) - 1;

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	note(&report, SEAL_NO_NEW_PRIVS, seal_privileges());
	note(&report, SEAL_UNDUMPABLE, seal_undumpable());
	if (policy == POLICY_COMMAND) /* the first process of a process namespace is number 1 there */
		note(&report, SEAL_NAMESPACES, getpid() == 1 ? 0 : s->command_errno != 0 ? s->command_errno : ENOSYS);
	else
		needed &= ~(1u << SEAL_NAMESPACES);
	note(&report, SEAL_RLIMITS, seal_limits(policy, limits));
	seal_landlock(policy, &report);
	note(&report, SEAL_SECCOMP, seal_calls_of(s, policy, channel));
	if ((report.enforced & 1u << SEAL_SECCOMP) != 0)
		may_lack |= SECOND_LOCKS;
	*ret = report;
	if ((needed & ~report.enforced & ~may_lack) != 0)
		return err_set(e, ERR_SEAL_INCOMPLETE, "missing parts of the seal: bits 0x%x", needed & ~report.enforced & ~may_lack);
	return 0;
}

int sealed_fstat(int fd, struct stat *ret)
{
	return (int)syscall(SYS_fstat, fd, ret);
}
