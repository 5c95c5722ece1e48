/* The watchdog: MHD knows only an inactivity timeout, which one byte a second defeats. Here each phase of a connection has a deadline or a
 * least rate, on the connection's own clock (clock.c). A parked request is ours to end and never closed.
 *
 * Reading is shut down, not the whole connection: MHD then meets the end of the stream and ends the request on its own thread, where the
 * 408 can still be sent. The server's lock is held over these calls so that no descriptor is closed and reused meanwhile; none of them blocks. */
#include "http/http_impl.h"

#include "rt/metrics.h"

#include <netinet/tcp.h>
#include <sys/ioctl.h>

#define LOST_END_MS 2000
#define SEND_LOOK_MS 1000 /* most answers are gone by then, and are not looked at */

/* glibc's struct tcp_info lacks the newer members: this is the head of the kernel's (linux/tcp.h), up to what is used. */
static bool tcp_counters(int fd, uint64_t *ret_acked, uint64_t *ret_received)
{
	struct {
		struct tcp_info old;
		uint64_t pacing_rate, max_pacing_rate, bytes_acked, bytes_received;
	} info = {};
	socklen_t len = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) || len < sizeof(info))
		return false;
	*ret_acked = info.bytes_acked;
	*ret_received = info.bytes_received;
	return true;
}

/* What came and was not read yet, now or at the last look, was sent in time: it is the worker that has too much to do, not the client that is slow. Asked before somebody is closed. */
static bool is_unread(struct conn *c)
{
	bool before = c->unread;
	int n = 0;

	c->unread = ioctl(c->fd, FIONREAD, &n) == 0 && n > 0;
	return c->unread || before;
}

static void close_slow(struct conn *c)
{
	metric_add(METRIC_HTTP_WATCHDOG_CLOSED, 1);
	atomic_store(&c->too_slow, true);
	shutdown(c->fd, SHUT_RD);
}

/* No request line yet. A client that has sent something gets a 408, one that has not nothing. */
static void check_fresh(struct conn *c, int64_t age_ms)
{
	uint64_t acked, received = 0;

	if (age_ms < c->server->config.header_timeout_ms || is_unread(c))
		return;
	if (tcp_counters(c->fd, &acked, &received) && received)
		send_raw_problem(c->fd, ERR_TIMEOUT, NULL);
	close_slow(c);
}

/* False when, in a stretch of length_ms without our own waiting, fewer than the least bytes moved. */
static bool moves(struct conn *c, int64_t now_ms, int64_t length_ms, uint64_t bytes, int64_t waited_ms)
{
	uint64_t least = c->server->config.body_min_rate * (uint64_t)length_ms / 1000;
	unsigned serial = atomic_load_explicit(&c->serial, memory_order_relaxed);
	bool enough = true;

	if (c->window.serial == serial) {
		if (now_ms - c->window.begin_ms - (waited_ms - c->window.waited_ms) < length_ms)
			return true;
		enough = bytes - c->window.bytes >= least;
	}
	c->window.serial = serial;
	c->window.begin_ms = now_ms;
	c->window.bytes = bytes;
	c->window.waited_ms = waited_ms;
	return enough;
}

/* Between requests. A next head that drips is held to the header time from when it was first seen here. */
static void check_idle(struct conn *c, int64_t age_ms, int64_t now_ms)
{
	unsigned serial = atomic_load_explicit(&c->serial, memory_order_relaxed);
	uint64_t acked, received;

	if (age_ms >= c->server->config.idle_timeout_ms || atomic_load(&c->server->draining)) {
		if (!is_unread(c))
			shutdown(c->fd, SHUT_RD);
		return;
	}
	if (c->window.serial == serial && now_ms - c->window.begin_ms < c->server->config.header_timeout_ms)
		return;
	if (!tcp_counters(c->fd, &acked, &received))
		return;
	if (c->window.serial == serial && received > c->window.bytes) {
		if (is_unread(c))
			return;
		send_raw_problem(c->fd, ERR_TIMEOUT, NULL);
		close_slow(c);
	}
	c->window.serial = serial;
	c->window.begin_ms = now_ms;
	c->window.bytes = received;
}

static void check_body(struct conn *c, int64_t now_ms)
{
	uint64_t bytes = atomic_load_explicit(&c->body_bytes, memory_order_relaxed);
	int64_t waited = atomic_load_explicit(&c->waited_ms, memory_order_relaxed);
	int64_t grace = c->server->config.body_grace_ms;

	if (grace > 0 && !moves(c, now_ms, grace, bytes, waited) && !is_unread(c))
		close_slow(c);
}

static void check_reply(struct conn *c, int64_t age_ms, int64_t now_ms)
{
	uint64_t acked, received;

	if (age_ms < SEND_LOOK_MS || !tcp_counters(c->fd, &acked, &received))
		return;
	if (moves(c, now_ms, SEND_STALL_MS, acked, c->window.waited_ms))
		return;
	metric_add(METRIC_HTTP_WATCHDOG_CLOSED, 1);
	shutdown(c->fd, SHUT_RDWR);
}

/* The end of what the client sends may arrive in one packet with its last bytes. MHD reads less than it has room for, takes that for all there
 * is, and as its epoll events are edge-triggered it would learn of the end from the timeout only. Shutting down our reading side makes a new event. */
static void repeat_end(struct conn *c, int phase, int64_t age_ms)
{
	char byte;

	if (phase == CONN_WAITING || phase == CONN_REPLY)
		return;
	if (phase == CONN_IDLE && age_ms > LOST_END_MS)
		return; /* it has heard nothing since, so nothing can be lost: thousands of these need not be asked */
	if (recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
		shutdown(c->fd, SHUT_RD);
}

static void check(struct conn *c, int64_t time_ms)
{
	int64_t now_ms = clock_of(c, time_ms);
	int64_t since_ms = atomic_load_explicit(&c->since_ms, memory_order_relaxed);
	int phase = atomic_load_explicit(&c->phase, memory_order_relaxed);

	if (!c->mhd)
		return;
	if (atomic_load(&c->too_slow)) {
		shutdown(c->fd, SHUT_RD); /* again: the first may have been lost in the same way */
		return;
	}
	repeat_end(c, phase, now_ms - since_ms);
	switch (phase) {
	case CONN_FRESH:
		if (atomic_load(&c->server->draining))
			shutdown(c->fd, SHUT_RD);
		check_fresh(c, now_ms - since_ms);
		break;
	case CONN_IDLE:
		check_idle(c, now_ms - since_ms, now_ms);
		break;
	case CONN_HEAD:
		if (now_ms - since_ms >= c->server->config.header_timeout_ms && !is_unread(c))
			close_slow(c);
		break;
	case CONN_BODY:
		check_body(c, now_ms);
		break;
	case CONN_REPLY:
		check_reply(c, now_ms - since_ms, now_ms);
		break;
	default: /* CONN_WAITING */
		break;
	}
}

void watchdog_check(struct http_server *s, int64_t now_ms)
{
	pthread_mutex_lock(&s->lock);
	for (struct conn *c = s->conns; c; c = c->next)
		check(c, now_ms);
	pthread_mutex_unlock(&s->lock);
}
