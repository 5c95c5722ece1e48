/* Connections: the list that the keeper watches, and the limits at the door. */
#include "http/http_impl.h"

#include "rt/metrics.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void conn_phase(struct conn *c, enum conn_phase phase)
{
	int old = atomic_load_explicit(&c->phase, memory_order_relaxed);
	int64_t now;

	if (old == (int)phase)
		return;
	now = clock_of(c, http_now_ms());
	if (old == CONN_WAITING && phase == CONN_BODY) {
		int64_t waited = now - atomic_load_explicit(&c->since_ms, memory_order_relaxed);

		atomic_fetch_add_explicit(&c->waited_ms, waited, memory_order_relaxed);
	} else if (old != CONN_BODY || phase != CONN_WAITING) {
		atomic_fetch_add_explicit(&c->serial, 1, memory_order_relaxed);
	}
	atomic_store_explicit(&c->since_ms, now, memory_order_relaxed);
	atomic_store_explicit(&c->phase, phase, memory_order_relaxed);
}

static struct in6_addr address_of(const struct sockaddr_storage *sa)
{
	struct in6_addr a = {};

	if (sa->ss_family == AF_INET6)
		return ((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
	a.s6_addr[10] = a.s6_addr[11] = 0xff;
	memcpy(a.s6_addr + 12, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
	return a;
}

static struct conn **bucket_of(struct http_server *s, const struct in6_addr *a)
{
	uint32_t h = 2166136261u; /* FNV-1a: an attacker who picks addresses owns them, so collisions cost him more than us */

	for (unsigned i = 0; i < sizeof(a->s6_addr); i++)
		h = (h ^ a->s6_addr[i]) * 16777619u;
	return &s->by_address[h % ADDRESS_BUCKETS];
}

static unsigned count_address(struct http_server *s, const struct in6_addr *a)
{
	unsigned n = 0;

	for (const struct conn *c = *bucket_of(s, a); c; c = c->addr_next)
		n += memcmp(&c->address, a, sizeof(*a)) == 0;
	return n;
}

static void unlink_conn(struct conn *c)
{
	struct http_server *s = c->server;
	struct conn **p = bucket_of(s, &c->address);

	while (*p != c)
		p = &(*p)->addr_next;
	*p = c->addr_next;
	if (c->prev)
		c->prev->next = c->next;
	else
		s->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	c->worker->connections--;
	s->n_conns--;
}

static void link_conn(struct http_server *s, struct conn *c)
{
	struct conn **bucket = bucket_of(s, &c->address);

	c->worker = &s->workers[0];
	for (unsigned i = 1; i < s->n_workers; i++)
		if (s->workers[i].connections < c->worker->connections)
			c->worker = &s->workers[i];
	c->addr_next = *bucket;
	*bucket = c;
	c->next = s->conns;
	if (s->conns)
		s->conns->prev = c;
	s->conns = c;
	c->worker->connections++;
	s->n_conns++;
}

struct conn *conn_open(struct http_server *s, int fd, const struct sockaddr_storage *address)
{
	struct conn *c = calloc(1, sizeof(*c));
	unsigned most = s->config.connections_per_address;

	if (!c) {
		close(fd);
		return NULL;
	}
	c->server = s;
	c->fd = fd;
	c->address = address_of(address);
	ip_format(c->peer, &c->address);
	pthread_mutex_lock(&s->lock);
	if (most && !ip_in(s->config.proxies, s->config.n_proxies, &c->address) && count_address(s, &c->address) >= most) {
		pthread_mutex_unlock(&s->lock);
		free(c);
		send_raw_problem(fd, ERR_RATE_LIMITED, NULL);
		linger_give(s, fd);
		close(fd);
		return NULL;
	}
	link_conn(s, c);
	atomic_store(&c->since_ms, clock_of(c, http_now_ms())); /* of CONN_FRESH, which is 0 */
	pthread_mutex_unlock(&s->lock);
	metric_add(METRIC_HTTP_CONNECTIONS, 1);
	return c;
}

void conns_reap(struct http_server *s, int64_t now_ms)
{
	struct conn *c, *next;

	pthread_mutex_lock(&s->lock);
	for (c = s->conns; c; c = next) {
		next = c->next;
		if (c->mhd || clock_of(c, now_ms) - atomic_load(&c->since_ms) < STILLBORN_MS)
			continue;
		unlink_conn(c);
		metric_add(METRIC_HTTP_CONNECTIONS, -1);
		free(c);
	}
	pthread_mutex_unlock(&s->lock);
}

void conn_forget(struct conn *c)
{
	struct http_server *s = c->server;

	pthread_mutex_lock(&s->lock);
	unlink_conn(c);
	if (atomic_load(&s->draining))
		pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	metric_add(METRIC_HTTP_CONNECTIONS, -1);
	if (s->config.connections)
		keeper_wake(s); /* it may be waiting for a free place */
	free(c);
}

static struct conn *conn_of_fd(struct http_server *s, int fd, struct MHD_Connection *mhd)
{
	struct conn *c;

	pthread_mutex_lock(&s->lock);
	for (c = s->conns; c && (c->mhd || c->fd != fd); c = c->next)
		;
	if (c)
		c->mhd = mhd;
	pthread_mutex_unlock(&s->lock);
	return c;
}

/* Does the client still send, or may it? Closing then would throw away an answer it has not read (RFC 9112 §9.6). */
static bool should_linger(const struct conn *c)
{
	int phase = atomic_load_explicit(&c->phase, memory_order_relaxed);
	char byte;

	if (atomic_load(&c->server->stopping))
		return false;
	if (c->unclean || phase == CONN_FRESH || phase == CONN_IDLE || phase == CONN_HEAD)
		return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0;
	return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

void conn_notice(void *cls, struct MHD_Connection *mhd, void **ctx, enum MHD_ConnectionNotificationCode code)
{
	struct worker *w = cls;
	struct conn *c = *ctx;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);

		*ctx = info ? conn_of_fd(w->server, info->connect_fd, mhd) : NULL;
		return;
	}
	if (!c)
		return;
	if (should_linger(c))
		linger_give(c->server, c->fd);
	conn_forget(c);
	*ctx = NULL;
}
