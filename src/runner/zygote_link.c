/* The zygote as the server sees it: a child process with a socket. */
#include "base/compiler.h"
#include "base/fd.h"
#include "runner/sealed_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROGRAM "filemill-runner"
#define PATH_BYTES 4096
#define GO_MAX_MS 2000 /* from the closed socket to its end by itself */

int64_t sealed_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Beside the running program, else the installed place. */
static void default_path(char dst[PATH_BYTES])
{
	ssize_t n = readlink("/proc/self/exe", dst, PATH_BYTES - sizeof(PROGRAM) - 1);
	char *slash = n > 0 ? memrchr(dst, '/', (size_t)n) : NULL;

	if (slash) {
		memcpy(slash + 1, PROGRAM, sizeof(PROGRAM));
		if (access(dst, X_OK) == 0)
			return;
	}
	snprintf(dst, PATH_BYTES, "%s/%s", RUNNER_LIBEXEC, PROGRAM);
}

/* Standard input and output lead nowhere, standard error is ours for the zygote's last words, the socket is RUNNER_ZYGOTE_FD, nothing else is open. */
static int set_files(posix_spawn_file_actions_t *files, int socket)
{
	int r;

	if ((r = posix_spawn_file_actions_adddup2(files, socket, RUNNER_ZYGOTE_FD)) != 0)
		return r;
	if ((r = posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null", O_RDONLY, 0)) != 0)
		return r;
	if ((r = posix_spawn_file_actions_addopen(files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0)) != 0)
		return r;
	return posix_spawn_file_actions_addclosefrom_np(files, RUNNER_ZYGOTE_FD + 1);
}

/* Signals as in a fresh process; a session of its own, so that an interrupt at the terminal reaches the server alone, which ends its children when their work is done. */
static int set_signals(posix_spawnattr_t *attr)
{
	sigset_t none, all;
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	if ((r = posix_spawnattr_setsigmask(attr, &none)) != 0)
		return r;
	if ((r = posix_spawnattr_setsigdefault(attr, &all)) != 0)
		return r;
	return posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
}

static int spawn(pid_t *ret, const char *path, int socket)
{
	char program[] = PROGRAM;
	char *argv[] = {program, NULL}, *envp[] = {NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	int r;

	if ((r = posix_spawn_file_actions_init(&files)) != 0)
		return r;
	if ((r = posix_spawnattr_init(&attr)) != 0) {
		posix_spawn_file_actions_destroy(&files);
		return r;
	}
	r = set_files(&files, socket);
	if (r == 0)
		r = set_signals(&attr);
	if (r == 0)
		r = posix_spawn(ret, path, &files, &attr, argv, envp);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return r;
}

/* No message to a zygote that stands still may hold a thread for ever. */
static int bound_sending(int socket)
{
	struct timeval t = {.tv_sec = SPAWN_MAX_MS / 1000};

	return setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
}

int zygote_link_start(struct zygote_link **ret, const char *path, struct err *e)
{
	CLEANUP(free_ptr) struct zygote_link *z = calloc(1, sizeof(*z));
	CLEANUP(fd_close) int ours = -1, theirs = -1;
	char found[PATH_BYTES];
	int ends[2], r;

	if (!z)
		return err_set(e, ERR_NO_MEMORY, "no memory for the sealed runner");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return err_set(e, ERR_RUNNER_UNAVAILABLE, "no socket for the sealed runner: %s", strerrordesc_np(errno));
	ours = ends[0];
	theirs = ends[1];
	if (bound_sending(ours) < 0)
		return err_set(e, ERR_RUNNER_UNAVAILABLE, "the sealed runner's socket: %s", strerrordesc_np(errno));
	if (!path || !*path) {
		default_path(found);
		path = found;
	}
	if ((r = spawn(&z->pid, path, theirs)) != 0)
		return err_set(e, ERR_RUNNER_UNAVAILABLE, "the program " PROGRAM " cannot be executed: %s", strerrordesc_np(r));
	z->pidfd = pidfd_open(z->pid, 0);
	if (z->pidfd < 0) {
		r = errno;
		kill(z->pid, SIGKILL); /* not reaped yet, so the number is still its own */
		waitpid(z->pid, NULL, 0);
		return err_set(e, ERR_RUNNER_UNAVAILABLE, "no descriptor of the sealed runner: %s", strerrordesc_np(r));
	}
	z->socket = fd_steal(&ours);
	z->started_ms = sealed_now_ms();
	z->refs = 1;
	*ret = z;
	z = NULL;
	return 0;
}

bool zygote_link_alive(const struct zygote_link *z)
{
	struct pollfd p = {.fd = z->pidfd, .events = POLLIN};

	return poll(&p, 1, 0) == 0;
}

/* It leads a group that its children do not leave. When it was killed they are ours (runner_start() saw to that), dead or about to be: nothing of them stays, not even a zombie.
 * Its number, and the group's, are its own until it is reaped, which is done last. The kernel kills its children with it (PR_SET_PDEATHSIG); SIGTERM says the same once more, and
 * spares who has to kill others first: the supervisor of a command without namespaces. */
static void reap_group(const struct zygote_link *z)
{
	siginfo_t info;

	kill(-z->pid, SIGTERM);
	while (waitid(P_PGID, (id_t)z->pid, &info, WEXITED) == 0 || errno == EINTR) {}
}

void zygote_link_end(struct zygote_link *z)
{
	if (!z)
		return;
	struct pollfd p = {.fd = z->pidfd, .events = POLLIN};

	fd_close(&z->socket);
	if (poll(&p, 1, GO_MAX_MS) <= 0)
		pidfd_send_signal(z->pidfd, SIGKILL, NULL, 0);
	while (waitid(P_PIDFD, (id_t)z->pidfd, &(siginfo_t){}, WEXITED | WNOWAIT) < 0 && errno == EINTR) {}
	reap_group(z);
	fd_close(&z->pidfd);
	free(z);
}
