/* The zygote: small, without secrets, single-threaded; it waits for requests of the server and for the ends of its children, and nothing else.
 *
 * The normal course: prepare the ops, build the seal, then for each request fork a child, hand its pidfd to the server, and when the child has ended say how.
 * The server's end of RUNNER_ZYGOTE_FD going away is the end of everything: the children are killed and collected. When the zygote itself is killed, the kernel kills the children
 * (PR_SET_PDEATHSIG), whose parent it is.
 * What then holds: no child outlives the zygote, the zygote does not outlive the server by more than a wake-up, and no child stays a zombie. */
#include "runner/child/child.h"

#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FILES_MAX (ZYGOTE_CHILDREN_MAX + 64) /* a status socket each */
#define MEMORY_MIN (64ull << 20) /* bytes; below, a child cannot even say that it lacks memory */
#define COMMAND_MEMORY_MIN (16ull << 20) /* of the program alone */

struct child {
	pid_t pid;
	int status; /* socket on which its end is told */
};

struct zygote {
	const struct sealed_op *const *ops;
	size_t n_ops;
	struct seal seal;
	int ended; /* signalfd of SIGCHLD */
	int self; /* pidfd of the zygote: readable in a child when the zygote is gone, whatever namespace the child is in */
	size_t n_children;
	struct child children[ZYGOTE_CHILDREN_MAX];
};

/* ---- the child's first steps ---- */

/* Sends what holds and ends: the server decides whether that is enough. */
static _Noreturn void report_run(const struct seal *s, const struct zygote_request *r)
{
	struct seal_report report;
	struct err e = ERR_INIT;
	int rc = seal_apply(s, (enum seal_policy)r->policy, &r->limits, r->may_lack, RUNNER_ZYGOTE_FD, &report, &e);

	if (message_send(RUNNER_ZYGOTE_FD, &report, sizeof(report), NULL, 0) != 0)
		rc = ERR_IO;
	_exit(rc == 0 ? 0 : RUNNER_UNSEALED_STATUS);
}

/* Leaves nothing of the zygote's in the child but /dev/null, read-only, as 0 to 2, and the channel where the zygote's own socket was. */
static void keep_only(int channel)
{
	sigset_t none;

	if (dup2(channel, RUNNER_ZYGOTE_FD) < 0 || dup2(STDIN_FILENO, STDOUT_FILENO) < 0 || dup2(STDIN_FILENO, STDERR_FILENO) < 0 ||
	    close_range(RUNNER_ZYGOTE_FD + 1, ~0u, 0) != 0)
		_exit(RUNNER_UNSEALED_STATUS);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void child_run(const struct zygote *z, const struct zygote_request *r, int channel)
{
	struct pollfd zygote = {.fd = z->self, .events = POLLIN};
	enum seal_policy policy = (enum seal_policy)r->policy;
	struct seal_report report;
	struct err e = ERR_INIT;

	/* In this order: a zygote that dies after the first line takes the child along, one that died before is seen by the second. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || poll(&zygote, 1, 0) != 0)
		_exit(RUNNER_UNSEALED_STATUS);
	keep_only(channel);
	if (r->kind == ZYGOTE_REPORT)
		report_run(&z->seal, r);
	if (policy == POLICY_COMMAND)
		command_run(RUNNER_ZYGOTE_FD, &z->seal, r->may_lack, &r->limits);
	if (seal_apply(&z->seal, policy, &r->limits, r->may_lack, RUNNER_ZYGOTE_FD, &report, &e) != 0)
		_exit(RUNNER_UNSEALED_STATUS);
	loop_run(RUNNER_ZYGOTE_FD, policy, z->ops, z->n_ops);
}

/* ---- requests ---- */

static bool request_valid(const struct zygote_request *r, ssize_t size, size_t n_fds)
{
	return size == sizeof(*r) && n_fds == 2 && r->magic == RUNNER_MAGIC && (r->kind == ZYGOTE_SPAWN || r->kind == ZYGOTE_REPORT) &&
	       r->policy < POLICIES && r->may_lack < 1u << SEAL_FEATURES &&
	       r->limits.memory >= (r->policy == POLICY_COMMAND ? COMMAND_MEMORY_MIN : MEMORY_MIN) && r->limits.cpu_s > 0;
}

/* Whoever asked may be gone: then nobody wants to know. */
static void tell(int status, const void *say, size_t n)
{
	[[maybe_unused]] int rc = message_send(status, say, n, NULL, 0);
}

/* The new child's id, with its pidfd; or -1 and errno. */
static pid_t fork_child(struct zygote *z, const struct zygote_request *r, int channel, int *ret_pidfd)
{
	if (z->n_children == ZYGOTE_CHILDREN_MAX) {
		errno = EAGAIN;
		return -1;
	}
	pid_t pid = seal_fork(seal_clone_flags(&z->seal, (enum seal_policy)r->policy), ret_pidfd);
	if (pid == 0)
		child_run(z, r, channel);
	return pid;
}

/* Takes `status` when a child came to be. */
static void spawn(struct zygote *z, const struct zygote_request *r, int channel, int *status)
{
	CLEANUP(fd_close) int pidfd = -1;
	pid_t pid = fork_child(z, r, channel, &pidfd);
	struct child_started say = {.magic = RUNNER_MAGIC, .pid = pid, .error = pid < 0 ? errno : 0};

	if (pid < 0) {
		tell(*status, &say, sizeof(say));
		return;
	}
	z->children[z->n_children++] = (struct child){.pid = pid, .status = *status};
	if (message_send(*status, &say, sizeof(say), &pidfd, 1) != 0)
		kill(pid, SIGKILL); /* nobody else could */
	*status = -1;
}

/* false: the server is gone. */
static bool take_request(struct zygote *z, bool hung_up)
{
	struct zygote_request r;
	int fds[RUNNER_FDS_MAX];
	size_t n_fds = 0;
	ssize_t got = message_recv(RUNNER_ZYGOTE_FD, &r, sizeof(r), fds, RUNNER_FDS_MAX, &n_fds);

	if (got < 0)
		return errno == EMSGSIZE || errno == EAGAIN; /* too long, and closed already: garbage */
	if (request_valid(&r, got, n_fds)) {
		fcntl(fds[1], F_SETFL, O_NONBLOCK); /* the zygote waits for nobody */
		spawn(z, &r, fds[0], &fds[1]);
	}
	for (size_t i = 0; i < n_fds; i++)
		fd_close(&fds[i]);
	return got > 0 || n_fds > 0 || !hung_up;
}

/* ---- ends ---- */

static void tell_end(struct zygote *z, const siginfo_t *info)
{
	struct child_ended say = {.magic = RUNNER_MAGIC, .code = info->si_code, .status = info->si_status};
	size_t i = 0;

	while (i < z->n_children && z->children[i].pid != info->si_pid)
		i++;
	if (i == z->n_children)
		return;
	int status = z->children[i].status;
	z->children[i] = z->children[--z->n_children];
	tell(status, &say, sizeof(say));
	close(status);
}

static void collect(struct zygote *z)
{
	struct signalfd_siginfo skipped[8];
	siginfo_t info;

	/* Signals of the same kind melt into one: they wake, waitid() counts. */
	while (read(z->ended, skipped, sizeof(skipped)) > 0)
		;
	for (;;) {
		info.si_pid = 0;
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) != 0 || info.si_pid == 0)
			return;
		tell_end(z, &info);
	}
}

static void end_children(struct zygote *z)
{
	siginfo_t info;

	for (size_t i = 0; i < z->n_children; i++)
		kill(z->children[i].pid, SIGKILL);
	while (waitid(P_ALL, 0, &info, WEXITED) == 0 || errno == EINTR)
		;
	for (size_t i = 0; i < z->n_children; i++)
		close(z->children[i].status);
}

/* ---- start ---- */

/* fork() copies the calling thread only: what another one held would stay locked in every child. */
static bool single_threaded(void)
{
	DIR *tasks = opendir("/proc/self/task");
	size_t n = 0;

	if (tasks == NULL)
		return true; /* no /proc: nothing to count */
	for (struct dirent *d = readdir(tasks); d != NULL; d = readdir(tasks))
		n += d->d_name[0] != '.';
	closedir(tasks);
	return n == 1;
}

static int prepare(struct zygote *z, struct err *e)
{
	int rc = loop_prepare(e);

	for (size_t i = 0; rc == 0 && i < z->n_ops; i++) {
		if (z->ops[i]->prepare != NULL && (rc = z->ops[i]->prepare(e)) != 0)
			err_wrap(e, "%s", z->ops[i]->name);
	}
	if (rc == 0)
		rc = seal_prepare(&z->seal, e);
	if (rc == 0 && !single_threaded())
		rc = err_set(e, ERR_INTERNAL, "preparing the ops left a thread behind");
	return rc;
}

/* Own group, own limits, signals by descriptor. What of it fails for want of a feature is not fatal here: a child that reports says so. */
static int settle(struct zygote *z, struct err *e)
{
	struct rlimit files, none = {};
	sigset_t child;

	setsid(); /* an interrupt from the terminal is the server's, which lets jobs end; fails when it is done already */
	tzset(); /* reads a file, which children cannot */
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	/* The supervisor of a command without namespaces comes here when what the server killed was in front of it. */
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	setrlimit(RLIMIT_CORE, &none);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max = files.rlim_max < FILES_MAX ? files.rlim_max : FILES_MAX;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	if (sigprocmask(SIG_SETMASK, &child, NULL) != 0 || (z->ended = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK)) < 0)
		return err_errno(e, errno, "signalfd");
	z->self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	return z->self < 0 ? err_errno(e, errno, "pidfd_open") : 0;
}

static int complain(const struct err *e)
{
	fprintf(stderr, "filemill-runner: %s\n", e->detail);
	return 1;
}

int zygote_run(const struct sealed_op *const *ops, size_t n)
{
	static struct zygote z; /* once in a process, and too large for the stack every child inherits */
	struct err e = ERR_INIT;
	struct pollfd wait[2];

	z = (struct zygote){.ops = ops, .n_ops = n, .ended = -1, .self = -1};
	if (prepare(&z, &e) != 0 || settle(&z, &e) != 0)
		return complain(&e);
	wait[0] = (struct pollfd){.fd = RUNNER_ZYGOTE_FD, .events = POLLIN};
	wait[1] = (struct pollfd){.fd = z.ended, .events = POLLIN};
	for (;;) {
		if (poll(wait, ARRAY_LEN(wait), -1) < 0 && errno != EINTR)
			break;
		if (wait[1].revents != 0)
			collect(&z);
		if (wait[0].revents != 0 && !take_request(&z, (wait[0].revents & POLLHUP) != 0))
			break;
	}
	end_children(&z);
	seal_release(&z.seal);
	close(z.ended);
	close(z.self);
	return 0;
}
