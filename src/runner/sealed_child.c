/* A sealed child as the server sees it: a channel to talk, a status socket on which the zygote tells its beginning and its end, and a pidfd to kill it. */
#include "base/fd.h"
#include "runner/sealed_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Our end does not block, the child's does: flags belong to an end. */
static int make_pair(int *ret_ours, int *ret_theirs)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -1;
	if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0) {
		fd_close(&ends[0]);
		fd_close(&ends[1]);
		return -1;
	}
	*ret_ours = ends[0];
	*ret_theirs = ends[1];
	return 0;
}

int sealed_child_order(struct sealed_child **ret, const struct zygote_link *z, const struct zygote_request *q)
{
	struct sealed_child *c = calloc(1, sizeof(*c));
	int theirs[2] = {-1, -1}, r = -1;

	if (!c)
		return -1;
	*c = (struct sealed_child){.policy = (enum seal_policy)q->policy, .channel = -1, .status = -1, .pidfd = -1};
	c->room = malloc(RUNNER_MESSAGE_MAX);
	if (c->room && make_pair(&c->channel, &theirs[0]) == 0 && make_pair(&c->status, &theirs[1]) == 0)
		r = message_send(z->socket, q, sizeof(*q), theirs, 2);
	fd_close(&theirs[0]);
	fd_close(&theirs[1]);
	if (r < 0) {
		fd_close(&c->channel);
		fd_close(&c->status);
		free(c->room);
		free(c);
		return -1;
	}
	*ret = c;
	return 0;
}

union status_message {
	struct child_started started;
	struct child_ended ended;
};

static void take_started(struct sealed_child *c, const struct child_started *s, int pidfd)
{
	c->started = true;
	c->error = s->error;
	c->pidfd = pidfd;
	if (pidfd < 0 && c->error == 0)
		c->error = EPROTO;
	if (pidfd < 0)
		c->ended = true; /* there never was one */
}

/* One message; false when there is none. The zygote is ours and decodes nothing, yet what makes no sense counts as its end. */
static bool note_one(struct sealed_child *c)
{
	union status_message m;
	int fds[1] = {-1};
	size_t n_fds = 0;
	ssize_t got = message_recv(c->status, &m, sizeof(m), fds, 1, &n_fds);

	if (got < 0 && errno == EAGAIN)
		return false;
	if (got < 0 && errno == EMSGSIZE && !c->started)
		c->unheld = true;
	if (got == sizeof(m.started) && m.started.magic == RUNNER_MAGIC && !c->started) {
		take_started(c, &m.started, n_fds > 0 ? fds[0] : -1);
		return true;
	}
	if (n_fds > 0)
		fd_close(&fds[0]);
	if (got == sizeof(m.ended) && m.ended.magic == RUNNER_MAGIC && c->started && n_fds == 0) {
		c->end = m.ended;
		c->ended = true;
		return true;
	}
	c->orphaned = true;
	return false;
}

void sealed_child_note(struct sealed_child *c)
{
	while (!c->ended && !c->orphaned && note_one(c)) {}
}

/* `flag` is c->started or c->ended. */
static bool wait_for(struct sealed_child *c, const bool *flag, int64_t max_ms)
{
	int64_t until = sealed_now_ms() + max_ms, left = max_ms;

	for (sealed_child_note(c); !*flag && !c->orphaned && left > 0; left = until - sealed_now_ms()) {
		struct pollfd p = {.fd = c->status, .events = POLLIN};

		poll(&p, 1, (int)left);
		sealed_child_note(c);
	}
	return *flag;
}

bool sealed_child_wait(struct sealed_child *c, int64_t max_ms)
{
	return wait_for(c, &c->ended, max_ms);
}

bool sealed_child_quiet(struct sealed_child *c)
{
	/* The pidfd too: when it died young the zygote may not have closed its own end of the channel yet. */
	struct pollfd p[] = {{.fd = c->channel, .events = POLLIN}, {.fd = c->status, .events = POLLIN}, {.fd = c->pidfd, .events = POLLIN}};

	if (poll(p, 3, 0) == 0)
		return true;
	if (p[0].revents || p[2].revents)
		return false;
	sealed_child_note(c); /* the first sign of a spare one is that it has started */
	return !c->ended && !c->orphaned;
}

void sealed_child_kill(struct sealed_child *c)
{
	if (c->ended || c->killed)
		return;
	if (c->pidfd >= 0 && pidfd_send_signal(c->pidfd, SIGKILL, NULL, 0) == 0)
		c->killed = true;
}

bool sealed_child_stop(struct sealed_child *c, int64_t max_ms)
{
	if (!wait_for(c, &c->started, max_ms))
		return c->orphaned;
	struct pollfd p = {.fd = c->pidfd, .events = POLLIN};

	sealed_child_kill(c);
	return sealed_child_wait(c, max_ms) || c->orphaned || poll(&p, 1, 0) == 0;
}

/* Its parent is dead: it is ours now. Whoever ends the zygote reaps its group; this one is not to outlive its own job's end. */
static void end_orphan(struct sealed_child *c)
{
	struct pollfd p = {.fd = c->pidfd, .events = POLLIN};
	siginfo_t info;

	if (c->pidfd < 0)
		return;
	pidfd_send_signal(c->pidfd, SIGKILL, NULL, 0);
	poll(&p, 1, END_MAX_MS);
	waitid(P_PIDFD, (id_t)c->pidfd, &info, WEXITED | WNOHANG);
}

void sealed_child_end(struct sealed_child *c)
{
	if (!c)
		return;
	fd_close(&c->channel);
	wait_for(c, &c->started, SPAWN_MAX_MS);
	sealed_child_kill(c);
	sealed_child_wait(c, END_MAX_MS);
	if (!c->ended)
		end_orphan(c);
	fd_close(&c->status);
	fd_close(&c->pidfd);
	free(c->room);
	free(c);
}
