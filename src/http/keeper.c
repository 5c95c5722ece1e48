/* The keeper: accepts, watches, lingers, lets late answers go. We accept ourselves because MHD spins when descriptors run out, counts connections by
 * thread, and does not spread them evenly. */
#include "http/http_impl.h"

#include "rt/log.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define ACCEPT_PAUSE_MS 100
#define ACCEPT_BURST 64

void keeper_wake(struct http_server *s)
{
	uint64_t one = 1;

	if (write(s->wake_fd, &one, sizeof(one)) < 0)
		return; /* the counter is full: it is awake */
}

static void listen_on(struct http_server *s, bool on)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = &s->listen_fd};

	if (s->listening == on || s->listen_fd < 0)
		return;
	if (epoll_ctl(s->epoll_fd, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, s->listen_fd, &event) == 0)
		s->listening = on;
}

static bool at_limit(struct http_server *s)
{
	bool full;

	pthread_mutex_lock(&s->lock);
	full = s->config.connections && s->n_conns >= s->config.connections;
	pthread_mutex_unlock(&s->lock);
	return full;
}

static void pause_accepting(struct http_server *s, int64_t now_ms)
{
	if (s->accept_again_ms == 0)
		log_event(LOG_WARN, "http_accept_paused", LF_CSTR("reason", "descriptors or memory exhausted"), LF_INT("errno", errno));
	s->accept_again_ms = now_ms + ACCEPT_PAUSE_MS;
	listen_on(s, false);
}

static void accept_some(struct http_server *s, int64_t now_ms)
{
	for (unsigned i = 0; i < ACCEPT_BURST && !at_limit(s); i++) {
		struct sockaddr_storage address;
		socklen_t len = sizeof(address);
		int fd = accept4(s->listen_fd, (struct sockaddr *)&address, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
		struct conn *c;

		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
				pause_accepting(s, now_ms);
			return;
		}
		s->accept_again_ms = 0;
		c = conn_open(s, fd, &address);
		/* On failure MHD has closed the descriptor. */
		if (c && MHD_add_connection(c->worker->daemon, fd, (struct sockaddr *)&address, len) != MHD_YES)
			conn_forget(c);
	}
}

static void drain_listener(struct http_server *s)
{
	listen_on(s, false);
	if (s->listen_fd >= 0)
		close(s->listen_fd);
	s->listen_fd = -1;
}

static void events(struct http_server *s, const struct epoll_event *e, int n, int64_t now_ms)
{
	for (int i = 0; i < n; i++) {
		uint64_t count;

		if (e[i].data.ptr == &s->listen_fd)
			accept_some(s, now_ms);
		else if (e[i].data.ptr != &s->wake_fd)
			linger_read(s, e[i].data.ptr);
		else if (read(s->wake_fd, &count, sizeof(count)) < 0)
			continue;
	}
}

static int next_wait_ms(struct http_server *s)
{
	bool any;

	pthread_mutex_lock(&s->lock);
	any = s->conns || s->n_linger_new;
	pthread_mutex_unlock(&s->lock);
	if (late_any(s))
		return s->tick_ms < LATE_LOOK_MS ? (int)s->tick_ms : LATE_LOOK_MS;
	return any || s->n_lingers || s->accept_again_ms ? (int)s->tick_ms : -1;
}

/* That this thread has worked in all. */
static int64_t worked_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void *keep(void *arg)
{
	struct http_server *s = arg;
	struct epoll_event e[64];
	int64_t now_ms = http_now_ms(), work_ms = worked_ms();

	while (!atomic_load(&s->stopping)) {
		int wait_ms = next_wait_ms(s), n = epoll_wait(s->epoll_fd, e, 64, wait_ms);
		int64_t before_ms = now_ms, work_before_ms = work_ms;

		now_ms = http_now_ms();
		work_ms = worked_ms();
		if (wait_ms >= 0)
			clock_looked(s, now_ms - before_ms, wait_ms, work_ms - work_before_ms);

		if (atomic_load(&s->draining))
			drain_listener(s);
		events(s, e, n, now_ms);
		linger_take(s, now_ms);
		late_check(s, atomic_load(&s->draining) ? INT64_MAX : now_ms);
		if (now_ms >= s->next_check_ms || atomic_load(&s->draining)) {
			s->next_check_ms = now_ms + s->tick_ms;
			watchdog_check(s, now_ms);
			conns_reap(s, now_ms);
			linger_check(s, now_ms);
		}
		listen_on(s, now_ms >= s->accept_again_ms && !at_limit(s));
	}
	return NULL;
}

static int fail(struct err *e, const char *call, int error)
{
	return err_set(e, ERR_IO, "cannot start the HTTP server: %s failed (error %d)", call, error);
}

int keeper_start(struct http_server *s, struct err *e)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = &s->wake_fd};
	sigset_t all, old;
	int rc;

	for (unsigned i = 0; i < LINGERS_MAX; i++)
		s->lingers[i].fd = -1;
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->epoll_fd < 0 || s->wake_fd < 0 || epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->wake_fd, &event))
		return fail(e, "epoll", errno);
	listen_on(s, true);
	/* Signals are for the main thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&s->keeper, NULL, keep, s);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc)
		return fail(e, "pthread_create", rc);
	s->keeper_runs = true;
	pthread_setname_np(s->keeper, "http-keeper");
	return 0;
}

void keeper_stop(struct http_server *s)
{
	atomic_store(&s->stopping, true);
	if (s->keeper_runs) {
		keeper_wake(s);
		pthread_join(s->keeper, NULL);
		s->keeper_runs = false;
	}
	drain_listener(s);
	late_check(s, INT64_MAX);
	linger_take(s, http_now_ms());
	linger_check(s, INT64_MAX);
}
