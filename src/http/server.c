/* The server's life and MHD's callbacks. MHD stays behind this folder. */
#include "http/http_impl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 64
#define END_LOOK_MS 20 /* between two looks at who is left */
#define BACKLOG 4096 /* the kernel cuts it to net.core.somaxconn */

int64_t http_now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t http_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- MHD's callbacks, on a worker ---- */

static void *on_target(void *cls, const char *raw_target, struct MHD_Connection *mhd)
{
	return request_new(cls, mhd, raw_target ? raw_target : "");
}

/* We keep the escapes: target.c decodes, strictly. */
static size_t on_unescape(void *cls, struct MHD_Connection *mhd, char *s)
{
	return strlen(s);
}

static enum MHD_Result go_on(struct http_request *r, const char *method, const char *version, const char *data, size_t *n)
{
	if (r->stage == STAGE_NEW)
		return request_head(r, method, version);
	if (r->stage == STAGE_ADMIT)
		return request_admitted(r);
	if (*n)
		return body_take(r, data, n);
	return request_end(r);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *mhd, const char *url, const char *method, const char *version,
				  const char *data, size_t *n, void **ctx)
{
	struct http_request *r = *ctx;
	enum MHD_Result result;

	if (!r)
		return request_refuse_unborn(mhd); /* memory ran out in on_target() */
	clock_enter(cls);
	result = go_on(r, method, version, data, n);
	clock_leave(cls);
	return result;
}

static void on_completed(void *cls, struct MHD_Connection *mhd, void **ctx, enum MHD_RequestTerminationCode code)
{
	struct http_request *r = *ctx;

	*ctx = NULL;
	if (!r)
		return;
	clock_enter(cls);
	request_completed(r, code);
	clock_leave(cls);
}

/* ---- starting ---- */

static int listen_fail(struct err *e, const struct http_config *c, const char *why)
{
	return err_set(e, ERR_IO, "cannot listen on %s port %u: %s", c->address, c->port, why);
}

static int address_parse(const struct http_config *c, struct sockaddr_storage *ret, socklen_t *ret_len, struct err *e)
{
	struct sockaddr_in *in = (struct sockaddr_in *)(void *)ret;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)ret;

	*ret = (struct sockaddr_storage){};
	if (inet_pton(AF_INET, c->address, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(c->port);
		*ret_len = sizeof(*in);
		return 0;
	}
	if (inet_pton(AF_INET6, c->address, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(c->port);
		*ret_len = sizeof(*in6);
		return 0;
	}
	return listen_fail(e, c, "this is neither an IPv4 nor an IPv6 address");
}

static int listen_start(struct http_server *s, uint16_t *ret_port, struct err *e)
{
	struct sockaddr_storage address;
	socklen_t len;
	int on = 1, off = 0, rc = address_parse(&s->config, &address, &len, e);

	if (rc)
		return rc;
	s->listen_fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->listen_fd < 0)
		return listen_fail(e, &s->config, strerrordesc_np(errno));
	setsockopt(s->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (address.ss_family == AF_INET6)
		setsockopt(s->listen_fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)); /* :: serves IPv4 too */
	if (bind(s->listen_fd, (struct sockaddr *)&address, len) || listen(s->listen_fd, BACKLOG))
		return listen_fail(e, &s->config, strerrordesc_np(errno));
	len = sizeof(address);
	if (getsockname(s->listen_fd, (struct sockaddr *)&address, &len))
		return listen_fail(e, &s->config, strerrordesc_np(errno));
	*ret_port = ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)(void *)&address)->sin6_port
							: ((struct sockaddr_in *)(void *)&address)->sin_port);
	return 0;
}

static int worker_start(struct http_server *s, struct worker *w, struct err *e)
{
	const unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC | MHD_USE_NO_LISTEN_SOCKET |
			       MHD_USE_ERROR_LOG;

	w->server = s;
	if (getrandom(&w->next_id, sizeof(w->next_id), 0) != sizeof(w->next_id))
		return err_set(e, ERR_IO, "cannot start the HTTP server: no random bytes");
	/* The logger comes first: what follows may use it. Limits and timeouts are the keeper's, so MHD gets none. */
	w->daemon = MHD_start_daemon(flags, 0, NULL, NULL, on_request, w, MHD_OPTION_EXTERNAL_LOGGER, mhd_error_log, w,
				     MHD_OPTION_UNESCAPE_CALLBACK, on_unescape, w, MHD_OPTION_URI_LOG_CALLBACK, on_target, w,
				     MHD_OPTION_NOTIFY_COMPLETED, on_completed, w, MHD_OPTION_NOTIFY_CONNECTION, conn_notice, w,
				     MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_CONNECTION_LIMIT, 1u << 20,
				     MHD_OPTION_CONNECTION_TIMEOUT, 0u, MHD_OPTION_END);
	if (!w->daemon)
		return err_set(e, ERR_IO, "cannot start the HTTP server: libmicrohttpd does not start");
	return 0;
}

static int64_t least_ms(int64_t a, int64_t b)
{
	return b > 0 && b < a ? b : a;
}

static void configure(struct http_server *s, const struct http_config *config)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	pthread_condattr_t attr;
	int64_t tick = 250;

	s->config = *config;
	s->n_workers = config->threads ? config->threads : cores < 1 ? 1 : cores > 4 ? 4 : (unsigned)cores;
	if (s->n_workers > THREADS_MAX)
		s->n_workers = THREADS_MAX;
	tick = least_ms(least_ms(least_ms(tick, config->header_timeout_ms / 4), config->idle_timeout_ms / 4), config->body_grace_ms / 4);
	s->tick_ms = tick < 5 ? 5 : tick;
	s->head_layout_known = strcmp(MHD_get_version(), "0.9.75") == 0;
	if (config->hsts_s > 0)
		snprintf(s->hsts, sizeof(s->hsts), "max-age=%lld", (long long)config->hsts_s);
	s->listen_fd = s->epoll_fd = s->wake_fd = -1;
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->changed, &attr);
	pthread_condattr_destroy(&attr);
}

static int start(struct http_server *s, uint16_t *ret_port, struct err *e)
{
	int rc = router_new(&s->router, s->config.tables, e);

	if (rc)
		return rc;
	rc = listen_start(s, ret_port, e);
	if (rc)
		return rc;
	s->workers = calloc(s->n_workers, sizeof(*s->workers));
	if (!s->workers)
		return err_set(e, ERR_NO_MEMORY, "HTTP server");
	for (unsigned i = 0; i < s->n_workers; i++) {
		rc = worker_start(s, &s->workers[i], e);
		if (rc)
			return rc;
	}
	return keeper_start(s, e);
}

int http_server_start(struct http_server **ret, const struct http_config *config, uint16_t *ret_port, struct err *e)
{
	struct http_server *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return err_set(e, ERR_NO_MEMORY, "HTTP server");
	configure(s, config);
	reply_show_refusals();
	rc = late_init(&s->late, config->late, e);
	if (!rc)
		rc = start(s, ret_port, e);
	if (rc) {
		http_server_free(s);
		return rc;
	}
	*ret = s;
	return 0;
}

/* ---- stopping ---- */

static struct timespec from_now(int64_t ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	return until;
}

/* Until something changes, a little while at most. How much of that counts: not the time in which the process was not let run. Called with the lock held. */
static int64_t wait_a_look(struct http_server *s)
{
	int64_t since_ms = http_now_ms();
	struct timespec until = from_now(END_LOOK_MS);

	pthread_cond_timedwait(&s->changed, &s->lock, &until);
	int64_t took_ms = http_now_ms() - since_ms;
	return took_ms < END_LOOK_MS ? took_ms : END_LOOK_MS;
}

bool http_server_drain(struct http_server *s, int64_t grace_ms)
{
	atomic_store(&s->draining, true);
	keeper_wake(s);
	pthread_mutex_lock(&s->lock);
	while (s->conns && grace_ms > 0)
		grace_ms -= wait_a_look(s);
	pthread_mutex_unlock(&s->lock);
	return atomic_load(&s->requests) == 0;
}

/* Called with the lock held. Where we wait for the client, it is heard no more, and MHD ends the request; again and again, because one end of stream may get lost
 * (see repeat_end() in watchdog.c). False when no request is under way but answers being sent, which MHD may cut off. */
static bool end_clients(struct http_server *s, bool *ret_owed)
{
	bool any = false;

	*ret_owed = false;
	for (struct conn *c = s->conns; c; c = c->next) {
		int phase = atomic_load(&c->phase);

		if (!c->mhd)
			continue;
		if (phase == CONN_WAITING)
			*ret_owed = true;
		else
			shutdown(c->fd, SHUT_RD);
		any |= phase != CONN_REPLY;
	}
	return any;
}

bool http_server_end(struct http_server *s, int64_t grace_ms)
{
	bool owed;

	pthread_mutex_lock(&s->lock);
	while (end_clients(s, &owed) && grace_ms > 0)
		grace_ms -= wait_a_look(s);
	pthread_mutex_unlock(&s->lock);
	return !owed;
}

void http_server_free(struct http_server *s)
{
	if (!s)
		return;
	keeper_stop(s);
	for (unsigned i = 0; s->workers && i < s->n_workers; i++)
		if (s->workers[i].daemon)
			MHD_stop_daemon(s->workers[i].daemon);
	while (s->conns)
		conn_forget(s->conns); /* only those that MHD closed without telling */
	if (s->epoll_fd >= 0)
		close(s->epoll_fd);
	if (s->wake_fd >= 0)
		close(s->wake_fd);
	pthread_cond_destroy(&s->changed);
	late_release(&s->late);
	pthread_mutex_destroy(&s->lock);
	router_free(s->router);
	free(s->workers);
	free(s);
}
