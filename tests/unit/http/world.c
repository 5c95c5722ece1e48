#include "world.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the other thread ---- */

static void *other_thread(void *arg)
{
	struct world *w = arg;

	pthread_mutex_lock(&w->lock);
	for (;;) {
		struct http_request *r;
		void (*todo)(struct http_request *);

		while ((w->head == w->tail || w->hold) && !w->stop)
			pthread_cond_wait(&w->given, &w->lock);
		if (w->head == w->tail)
			break;
		r = w->queue[w->head % 1024];
		todo = w->todo[w->head++ % 1024];
		pthread_mutex_unlock(&w->lock);
		todo(r);
		pthread_mutex_lock(&w->lock);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

void world_give(struct http_request *r, void (*todo)(struct http_request *))
{
	struct world *w = http_app(r);

	pthread_mutex_lock(&w->lock);
	assert_true(w->tail - w->head < 1024);
	w->queue[w->tail % 1024] = r;
	w->todo[w->tail++ % 1024] = todo;
	pthread_cond_broadcast(&w->given);
	pthread_mutex_unlock(&w->lock);
}

void world_hold(struct world *w, bool hold)
{
	pthread_mutex_lock(&w->lock);
	w->hold = hold;
	pthread_cond_broadcast(&w->given);
	pthread_mutex_unlock(&w->lock);
}

void world_one(struct world *w)
{
	pthread_mutex_lock(&w->lock);
	assert_true(w->head != w->tail);
	struct http_request *r = w->queue[w->head % 1024];
	void (*todo)(struct http_request *) = w->todo[w->head++ % 1024];
	pthread_mutex_unlock(&w->lock);
	todo(r);
}

/* ---- handlers ---- */

static void seen(struct http_request *r)
{
	struct world *w = http_app(r);

	atomic_fetch_add(&w->handed, 1);
}

static void released(struct http_request *r)
{
	struct world *w = http_app(r);

	atomic_fetch_add(&w->released, 1);
}

static void reply_text(struct http_request *r, int status, const char *text)
{
	struct buf b = BUF_INIT;

	buf_add_cstr(&b, text);
	http_reply_buf(r, status, "text/plain", &b);
}

static void reply_hello(struct http_request *r)
{
	http_reply_static(r, 200, "text/plain", "hello", 5);
}

static void reply_later(struct http_request *r)
{
	world_give(r, reply_hello);
}

static void reply_param(struct http_request *r)
{
	struct buf b = BUF_INIT;

	buf_addf(&b, "id=%.*s", STR_FMT(http_param(r, "id")));
	http_reply_buf(r, 200, "text/plain", &b);
}

static void reply_special(struct http_request *r)
{
	reply_text(r, 200, "special");
}

static void reply_query(struct http_request *r)
{
	struct buf b = BUF_INIT;
	struct str a = http_query(r, "a"), other = http_query(r, "b");

	buf_addf(&b, "a=%.*s b=%s", STR_FMT(a), other.p ? "there" : "absent");
	http_reply_buf(r, 200, "text/plain", &b);
}

static void reply_headers(struct http_request *r)
{
	struct buf b = BUF_INIT;
	struct str x = http_header(r, "x-a");

	buf_addf(&b, "[%.*s] %s", STR_FMT(x), http_header(r, "X-Absent").p ? "there" : "absent");
	http_set_header(r, "X-Good", "yes");
	http_set_header(r, "X-Bad", "a\r\nSet-Cookie: b");
	http_reply_json(r, 200, &b);
}

static void reply_echo(struct http_request *r)
{
	struct buf b = BUF_INIT;
	struct str body = http_body(r);

	buf_add_str(&b, body);
	http_reply_buf(r, 200, "application/octet-stream", &b);
}

/* 1 MiB of a pattern; Range as a download would. */
static void reply_file(struct http_request *r)
{
	int fd = memfd_create("file", MFD_CLOEXEC);
	static char data[1 << 20];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)('a' + i % 26);
	assert_int_equal(write(fd, data, sizeof(data)), sizeof(data));
	if (http_header(r, "Range").p) {
		http_set_header(r, "Content-Range", "bytes 26-51/1048576");
		http_reply_fd(r, 206, "application/octet-stream", fd, 26, 26);
	} else {
		http_reply_fd(r, 200, "application/octet-stream", fd, 0, sizeof(data));
	}
}

/* Keeps the server's own thread while the world is held. */
static void reply_blocking(struct http_request *r)
{
	struct world *w = http_app(r);

	pthread_mutex_lock(&w->lock);
	while (w->hold)
		pthread_cond_wait(&w->given, &w->lock);
	pthread_mutex_unlock(&w->lock);
	http_reply_empty(r, 204);
}

static void reply_empty_file(struct http_request *r)
{
	http_reply_fd(r, 200, "application/octet-stream", memfd_create("file", MFD_CLOEXEC), 0, 0);
}

static void reply_nothing(struct http_request *r)
{
	http_reply_empty(r, 204);
}

static void reply_broken(struct http_request *r)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_OVERLOADED, "too much to do");
	e.retry_after_s = 7;
	err_field(&e, "field");
	err_limit(&e, 12);
	http_reply_problem(r, &e);
}

static void reply_too_large(struct http_request *r)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_TOO_LARGE, "no");
	http_reply_problem(r, &e);
}

static void start_refuse(struct http_request *r)
{
	seen(r);
	reply_too_large(r);
}

static void end_never(struct http_request *r)
{
	fail_msg("end() after an early answer");
}

static void end_count(struct http_request *r)
{
	struct world *w = http_app(r);
	struct buf b = BUF_INIT;

	buf_addf(&b, "%lld", atomic_load(&w->stream_bytes));
	http_reply_buf(r, 200, "text/plain", &b);
}

static void start_count(struct http_request *r)
{
	struct world *w = http_app(r);

	seen(r);
	atomic_store(&w->stream_bytes, 0);
}

static enum http_flow body_count(struct http_request *r, const void *p, size_t n)
{
	struct world *w = http_app(r);

	atomic_fetch_add(&w->stream_bytes, (long long)n);
	return HTTP_MORE;
}

static enum http_flow body_wait(struct http_request *r, const void *p, size_t n)
{
	body_count(r, p, n);
	world_give(r, http_continue);
	return HTTP_WAIT;
}

static enum http_flow body_wait_at_once(struct http_request *r, const void *p, size_t n)
{
	body_count(r, p, n);
	http_continue(r);
	return HTTP_WAIT;
}

static enum http_flow body_answer(struct http_request *r, const void *p, size_t n)
{
	reply_too_large(r);
	return HTTP_MORE;
}

static enum http_flow body_answer_later(struct http_request *r, const void *p, size_t n)
{
	world_give(r, reply_too_large);
	return HTTP_WAIT;
}

static void end_echo_later(struct http_request *r)
{
	world_give(r, reply_echo);
}

static const struct http_handler hello = {.start = seen, .end = reply_hello, .release = released};
static const struct http_handler later = {.start = seen, .end = reply_later, .release = released};
static const struct http_handler param = {.start = seen, .end = reply_param, .release = released};
static const struct http_handler special = {.start = seen, .end = reply_special, .release = released};
static const struct http_handler query = {.start = seen, .end = reply_query, .release = released};
static const struct http_handler headers = {.start = seen, .end = reply_headers, .release = released};
static const struct http_handler echo = {.body_kind = HTTP_BODY_BUFFER, .start = seen, .end = reply_echo, .release = released};
static const struct http_handler small = {
	.body_kind = HTTP_BODY_BUFFER, .max_body = 10, .start = seen, .end = reply_echo, .release = released};
static const struct http_handler echo_later = {.body_kind = HTTP_BODY_BUFFER, .start = seen, .end = end_echo_later, .release = released};
static const struct http_handler file = {.start = seen, .end = reply_file, .release = released};
static const struct http_handler empty_file = {.start = seen, .end = reply_empty_file, .release = released};
static const struct http_handler nothing = {.start = seen, .end = reply_nothing, .release = released};
static const struct http_handler blocking = {.start = seen, .end = reply_blocking, .release = released};
static const struct http_handler broken = {.start = seen, .end = reply_broken, .release = released};
static const struct http_handler early = {.start = start_refuse, .end = end_never, .release = released};
static const struct http_handler stream_early = {
	.body_kind = HTTP_BODY_STREAM, .start = start_refuse, .body = body_count, .end = end_never, .release = released};
static const struct http_handler stream = {
	.body_kind = HTTP_BODY_STREAM, .start = start_count, .body = body_count, .end = end_count, .release = released};
static const struct http_handler waits = {
	.body_kind = HTTP_BODY_STREAM, .start = start_count, .body = body_wait, .end = end_count, .release = released};
static const struct http_handler waits_at_once = {
	.body_kind = HTTP_BODY_STREAM, .start = start_count, .body = body_wait_at_once, .end = end_count, .release = released};
static const struct http_handler midway = {
	.body_kind = HTTP_BODY_STREAM, .start = seen, .body = body_answer, .end = end_never, .release = released};
static const struct http_handler midway_later = {
	.body_kind = HTTP_BODY_STREAM, .start = seen, .body = body_answer_later, .end = end_never, .release = released};

static const char *const query_names[] = {"a", "b", NULL};

static const struct http_route routes[] = {
	{HTTP_GET, "/", &hello, HTTP_ANYONE, "root", "The root"},
	{HTTP_GET, "/hello", &hello, HTTP_ANYONE, "hello", "Says hello"},
	{HTTP_GET, "/later", &later},
	{HTTP_GET, "/items/{id}", &param},
	{HTTP_DELETE, "/items/{id}", &param},
	{HTTP_GET, "/items/special", &special},
	{HTTP_GET, "/items/{id}/parts", &param},
	{HTTP_GET, "/slash", &hello, .any_slash = true},
	{HTTP_GET, "/query", &query, .query = query_names},
	{HTTP_GET, "/headers", &headers},
	{HTTP_POST, "/echo", &echo},
	{HTTP_POST, "/small", &small},
	{HTTP_POST, "/echo-later", &echo_later},
	{HTTP_POST, "/none", &hello},
	{HTTP_GET, "/file", &file},
	{HTTP_GET, "/empty-file", &empty_file},
	{HTTP_GET, "/nothing", &nothing},
	{HTTP_GET, "/blocking", &blocking},
	{HTTP_GET, "/broken", &broken},
	{HTTP_GET, "/early", &early},
	{HTTP_POST, "/early", &stream_early},
	{HTTP_POST, "/stream", &stream},
	{HTTP_POST, "/waits", &waits},
	{HTTP_POST, "/waits-at-once", &waits_at_once},
	{HTTP_POST, "/midway", &midway},
	{HTTP_POST, "/midway-later", &midway_later},
	{},
};

static const struct http_route *const tables[] = {routes, NULL};

/* ---- life ---- */

static void log_request(struct http_request *r, int status, int64_t us)
{
	struct world *w = http_app(r);

	atomic_store(&w->last_status, status);
	atomic_fetch_add(&w->logged, 1);
}

int count_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

struct http_config world_config(void)
{
	return (struct http_config){
		.address = "127.0.0.1",
		.threads = 2,
		.json_max = 1 << 20,
		.header_timeout_ms = 10000,
		.idle_timeout_ms = 60000,
		.body_grace_ms = 10000,
		.body_min_rate = 1024,
		.tables = tables,
		.access_log = log_request,
	};
}

void world_start(struct world *w, struct http_config config)
{
	struct err e = ERR_INIT;

	*w = (struct world){.descriptors_before = count_descriptors()};
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->given, NULL);
	config.app = w;
	if (http_server_start(&w->server, &config, &w->port, &e))
		fail_msg("%s", e.detail);
	assert_int_equal(pthread_create(&w->thread, NULL, other_thread, w), 0);
}

void world_stop(struct world *w)
{
	world_hold(w, false);
	assert_true(http_server_drain(w->server, 5000));
	http_server_free(w->server);
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_broadcast(&w->given);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	pthread_cond_destroy(&w->given);
	pthread_mutex_destroy(&w->lock);
	assert_int_equal(atomic_load(&w->handed), atomic_load(&w->released));
	assert_int_equal(count_descriptors(), w->descriptors_before);
}

/* ---- the client ---- */

int client_connect(const struct world *w)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(w->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

void client_send(int fd, const void *p, size_t n)
{
	const char *at = p;

	while (n) {
		ssize_t done = send(fd, at, n, MSG_NOSIGNAL);

		if (done < 0)
			return; /* the server has closed: the answer tells */
		at += done;
		n -= (size_t)done;
	}
}

void client_send_str(int fd, const char *s)
{
	client_send(fd, s, strlen(s));
}

struct reader {
	struct answer a;
	char *all;
	size_t len, cap;
};

/* False at the end of the stream or after 5 s of silence. */
static bool read_some(int fd, struct reader *r)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	ssize_t n;

	if (r->cap - r->len < 65536) {
		r->cap = r->cap * 2 + 131072;
		r->all = realloc(r->all, r->cap);
		assert_non_null(r->all);
	}
	if (poll(&p, 1, 60000) <= 0)
		return false;
	n = recv(fd, r->all + r->len, r->cap - r->len - 1, 0);
	if (n <= 0) {
		r->a.closed = true;
		return false;
	}
	r->len += (size_t)n;
	r->all[r->len] = '\0';
	return true;
}

const char *answer_header(const struct answer *a, const char *name)
{
	static _Thread_local char value[1024];
	const char *p = a->head;
	size_t len = strlen(name);

	while (p && (p = strchr(p, '\n'))) {
		p++;
		if (strncasecmp(p, name, len) == 0 && p[len] == ':') {
			snprintf(value, sizeof(value), "%.*s", (int)strcspn(p + len + 2, "\r\n"), p + len + 2);
			return value;
		}
	}
	return NULL;
}

static char *copy_of(const char *p, size_t n)
{
	char *copy = malloc(n + 1);

	assert_non_null(copy);
	memcpy(copy, p, n);
	copy[n] = '\0';
	return copy;
}

static void split_answer(struct reader *r, bool head_only)
{
	const char *end = memmem(r->all, r->len, "\r\n\r\n", 4), *length;
	size_t head_len;

	assert_non_null(end);
	head_len = (size_t)(end - r->all) + 4;
	r->a.head = copy_of(r->all, head_len);
	assert_int_equal(sscanf(r->a.head, "HTTP/1.%*d %d", &r->a.status), 1);
	length = answer_header(&r->a, "Content-Length");
	r->a.body_len = head_only || !length ? 0 : strtoul(length, NULL, 10);
	if (r->a.body_len > r->len - head_len)
		r->a.body_len = r->len - head_len;
	r->a.body = copy_of(r->all + head_len, r->a.body_len);
	r->a.rest_len = r->len - head_len - r->a.body_len;
	r->a.rest = copy_of(r->all + head_len + r->a.body_len, r->a.rest_len);
}

static bool complete(struct reader *r, bool head_only)
{
	char *end = r->len ? memmem(r->all, r->len, "\r\n\r\n", 4) : NULL, *length;
	size_t body = 0;

	if (!end)
		return false;
	length = strcasestr(r->all, "\r\nContent-Length:");
	if (length && length < end && !head_only)
		body = strtoul(length + 17, NULL, 10);
	return r->len >= (size_t)(end - r->all) + 4 + body;
}

static struct answer read_answer(int fd, bool until_close, bool head_only)
{
	struct reader r = {};

	while ((until_close || !complete(&r, head_only)) && read_some(fd, &r))
		;
	if (r.len)
		split_answer(&r, head_only);
	free(r.all);
	return r.a;
}

struct answer client_read(int fd, bool until_close)
{
	return read_answer(fd, until_close, false);
}

struct answer client_read_head(int fd)
{
	return read_answer(fd, false, true);
}

struct answer exchange(const struct world *w, const void *request, size_t n)
{
	int fd = client_connect(w);
	struct answer a;

	client_send(fd, request, n);
	a = client_read(fd, true);
	close(fd);
	return a;
}

struct answer exchange_str(const struct world *w, const char *request)
{
	return exchange(w, request, strlen(request));
}

void answer_free(struct answer *a)
{
	free(a->head);
	free(a->body);
	free(a->rest);
	*a = (struct answer){};
}

int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void check(const struct world *w, const char *request, int status, const char *body)
{
	struct answer a = exchange_str(w, request);

	if (a.status != status)
		fail_msg("%.40s…: %d instead of %d", request, a.status, status);
	if (body)
		assert_string_equal(a.body, body);
	assert_int_equal(a.rest_len, 0);
	answer_free(&a);
}

void check_open(int fd, const char *request, int status, const char *body)
{
	struct answer a;

	client_send_str(fd, request);
	a = client_read(fd, false);
	assert_int_equal(a.status, status);
	if (body)
		assert_string_equal(a.body, body);
	assert_int_equal(a.rest_len, 0);
	answer_free(&a);
}
