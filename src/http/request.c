/* One request from its first line to its release. Everything here runs on the connection's worker. */
#include "http/http_impl.h"

#include "rt/log.h"
#include "rt/metrics.h"

#include <stdlib.h>
#include <string.h>

static struct conn *conn_of(struct MHD_Connection *mhd)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

/* splitmix64: a permutation, so that no two requests of a worker get the same id, and none tells how many there were. */
static void make_id(struct http_request *r, struct worker *w)
{
	uint64_t z = (w->next_id += 0x9e3779b97f4a7c15u);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	z ^= z >> 31;
	hex_encode(r->id, &z, sizeof(z));
}

struct http_request *request_new(struct worker *w, struct MHD_Connection *mhd, const char *raw_target)
{
	struct conn *c = conn_of(mhd);
	struct http_request *r = c ? calloc(1, sizeof(*r)) : NULL;
	size_t len = strlen(raw_target);

	if (!r)
		return NULL;
	r->raw_target = (struct str){arena_strndup(&r->arena, raw_target, len), len};
	if (!r->raw_target.p) {
		free(r);
		return NULL;
	}
	r->server = w->server;
	r->conn = c;
	r->mhd = mhd;
	r->client = c->address;
	memcpy(r->peer, c->peer, sizeof(r->peer));
	r->reply.fd = -1;
	make_id(r, w);
	c->unclean = true;
	conn_phase(c, CONN_HEAD);
	atomic_fetch_add(&r->server->requests, 1);
	mhd_error_expose(r);
	return r;
}

enum MHD_Result request_refuse_unborn(struct MHD_Connection *mhd)
{
	struct conn *c = conn_of(mhd);

	if (c) {
		c->unclean = true;
		send_raw_problem(c->fd, ERR_NO_MEMORY, NULL);
	}
	return MHD_NO;
}

void request_free(struct http_request *r)
{
	atomic_fetch_sub(&r->server->requests, 1);
	reply_release(&r->reply);
	buf_release(&r->body);
	arena_release(&r->arena);
	free(r);
}

static void answer_options(struct http_request *r)
{
	char allow[64];

	cors_preflight(r, r->match.allowed);
	route_allow(allow, r->match.allowed);
	http_set_header(r, "Allow", allow);
	http_reply_empty(r, 204);
}

static int refuse_method(struct http_request *r, struct err *e)
{
	char allow[64];

	route_allow(allow, r->match.allowed);
	http_set_header(r, "Allow", allow);
	return err_set(e, ERR_METHOD_NOT_ALLOWED, "this address takes %s", allow);
}

/* Finds the handler. 0 with r->match.route NULL: answered already. */
static int find_route(struct http_request *r, struct err *e)
{
	static const struct str any = STR("*");
	int rc;

	if (str_eq(r->path, any)) {
		r->match.allowed = (1u << HTTP_METHODS) - 1;
		answer_options(r);
		return 0;
	}
	router_find(r->server->router, r->method, r->path, &r->match);
	if (!r->match.route && !r->match.allowed)
		return err_set(e, ERR_NOT_FOUND, "there is nothing at this address");
	if (!r->match.route && r->method == HTTP_OPTIONS) {
		answer_options(r);
		return 0;
	}
	if (!r->match.route)
		return refuse_method(r, e);
	rc = target_check_query(r, r->match.route, e);
	return rc ? rc : body_check_length(r, e);
}

/* A refused body that is small is read and dropped, so that the connection can go on; else the answer goes out now and the connection ends. */
static bool may_go_on(const struct http_request *r)
{
	return !r->close_after && !r->expect_continue && !r->chunked && r->length <= SMALL_BODY;
}

static enum MHD_Result head_done(struct http_request *r)
{
	if (park_has_reply(r) && !may_go_on(r))
		return request_send(r);
	r->stage = STAGE_BODY;
	conn_phase(r->conn, r->chunked || r->length ? CONN_BODY : CONN_WAITING);
	return MHD_YES;
}

/* The caller may: the handler begins. */
static enum MHD_Result begin(struct http_request *r)
{
	const struct http_handler *handler = r->match.route->handler;

	r->handed = true;
	if (handler->start)
		handler->start(r);
	return head_done(r);
}

enum MHD_Result request_admitted(struct http_request *r)
{
	if (park_is_parked(r))
		return MHD_YES;
	return park_has_reply(r) ? head_done(r) : begin(r);
}

/* While the connection is suspended here MHD reads nothing and says no `100 Continue`; once it is resumed its first callback comes a second time. */
static enum MHD_Result admit(struct http_request *r)
{
	struct err e = ERR_INIT;
	int rc = r->server->config.admit != NULL ? r->server->config.admit(r, &e) : 0;

	if (rc == 0)
		return begin(r);
	if (rc != HTTP_ADMIT_LATER)
		http_reply_problem(r, &e); /* which may be held back */
	r->stage = STAGE_ADMIT;
	return park_until_continue(r) ? MHD_YES : request_admitted(r);
}

enum MHD_Result request_head(struct http_request *r, const char *method, const char *version)
{
	struct err e = ERR_INIT;
	bool refused = gate_check(r, method, version, &e) != 0;

	r->started_us = http_now_us();
	if (!r->chunked)
		mhd_error_cover(r);
	if (refused) {
		metric_add(METRIC_HTTP_GATE_REFUSED, 1);
		r->close_after = true;
		http_reply_problem(r, &e);
		return request_send(r);
	}
	cors_allow(r);
	if ((r->server->config.arrive != NULL && r->server->config.arrive(r, &e) != 0) || find_route(r, &e) != 0) {
		http_reply_problem(r, &e);
		return head_done(r);
	}
	if (!r->match.route)
		return head_done(r);
	return admit(r);
}

enum MHD_Result request_end(struct http_request *r)
{
	struct err e = ERR_INIT;

	if (r->stage == STAGE_BODY) {
		r->stage = STAGE_ENDED;
		mhd_error_cover(r);
		conn_phase(r->conn, CONN_WAITING);
		if (!park_has_reply(r) && r->chunked && framing_check_trailer(r, &e)) {
			r->close_after = true;
			http_reply_problem(r, &e);
		} else if (!park_has_reply(r) && r->watch && r->watch->end(r->watch_arg, &e)) {
			http_reply_problem(r, &e);
		} else if (!park_has_reply(r)) {
			r->match.route->handler->end(r);
		}
	}
	if (park_has_reply(r))
		return request_send(r);
	park_until_reply(r);
	return MHD_YES;
}

static void count_answer(struct http_request *r)
{
	int status = r->reply.status;

	metric_add(METRIC_HTTP_REQUESTS, 1);
	if (status >= 500)
		metric_add(METRIC_HTTP_ERRORS_5XX, 1);
	else if (status >= 400)
		metric_add(METRIC_HTTP_ERRORS_4XX, 1);
	if (r->started_us)
		metric_observe_us(METRIC_HTTP_SECONDS, (r->answered_us ? r->answered_us : http_now_us()) - r->started_us);
}

enum MHD_Result request_send(struct http_request *r)
{
	if (r->stage == STAGE_SENT)
		return MHD_YES;
	mhd_error_cover(r);
	/* MHD 0.9.75 takes a bare LF for a line end inside the chunked framing, where we cannot always see it: what follows such a
	 * body is not taken for a request. */
	if (r->chunked || atomic_load(&r->server->draining))
		r->close_after = true;
	r->conn->unclean = r->stage != STAGE_ENDED || r->close_after;
	r->stage = STAGE_SENT;
	conn_phase(r->conn, CONN_REPLY);
	count_answer(r);
	return send_queue(r);
}

/* The request ends without MHD having taken an answer: the client left, was too slow, or went on sending after it was refused. */
static void answer_late(struct http_request *r)
{
	struct err e = ERR_INIT;

	if (!park_has_reply(r) && atomic_load(&r->conn->too_slow)) {
		err_set(&e, ERR_TIMEOUT, "the request came too slowly");
		r->close_after = true;
		http_reply_problem(r, &e);
	}
	if (!park_has_reply(r))
		return;
	r->close_after = true;
	r->stage = STAGE_SENT;
	count_answer(r);
	send_raw(r);
}

void request_refuse_raw(struct http_request *r, const struct err *e)
{
	gate_take_id(r);
	if (!park_has_reply(r))
		http_reply_problem(r, e);
	r->close_after = true;
	r->stage = STAGE_SENT;
	count_answer(r);
	send_raw(r);
	shutdown(r->conn->fd, SHUT_WR);
}

void request_completed(struct http_request *r, enum MHD_RequestTerminationCode code)
{
	struct http_server *s = r->server;

	mhd_error_cover(r);
	if (r->stage != STAGE_SENT && code != MHD_REQUEST_TERMINATED_DAEMON_SHUTDOWN)
		answer_late(r);
	if (s->config.access_log && r->started_us)
		s->config.access_log(r, r->stage == STAGE_SENT ? r->reply.status : 499, http_now_us() - r->started_us);
	if (r->handed && r->match.route->handler->release)
		r->match.route->handler->release(r);
	if (r->watch)
		r->watch->release(r->watch_arg);
	if (r->stage == STAGE_SENT && code == MHD_REQUEST_TERMINATED_COMPLETED_OK)
		conn_phase(r->conn, CONN_IDLE);
	request_free(r);
}

/* ---- reading ---- */

void *http_app(const struct http_request *r)
{
	return r->server->config.app;
}

struct arena *http_arena(struct http_request *r)
{
	return &r->arena;
}

enum http_method http_method(const struct http_request *r)
{
	return (enum http_method)r->method;
}

struct str http_path(const struct http_request *r)
{
	return r->path;
}

struct str http_target(const struct http_request *r)
{
	return r->target;
}

struct str http_param(const struct http_request *r, const char *name)
{
	return route_param(&r->match, name);
}

struct str http_query(const struct http_request *r, const char *name)
{
	for (unsigned i = 0; i < r->n_query; i++)
		if (str_eq(r->query[i].name, str_of(name)))
			return r->query[i].value;
	return (struct str){};
}

struct str request_header(const struct http_request *r, const char *name, unsigned *ret_count)
{
	struct str first = {}, wanted = str_of(name);

	*ret_count = 0;
	for (unsigned i = 0; i < r->n_headers; i++) {
		if (r->headers[i].name.len != wanted.len || !str_eq_nocase(r->headers[i].name, wanted))
			continue;
		if ((*ret_count)++ == 0)
			first = r->headers[i].value;
	}
	return first;
}

struct str http_header(struct http_request *r, const char *name)
{
	struct buf joined = BUF_INIT;
	struct str first, all;
	unsigned count;

	first = request_header(r, name, &count);
	if (count < 2)
		return first;
	for (unsigned i = 0; i < r->n_headers; i++) {
		if (!str_eq_nocase(r->headers[i].name, str_of(name)))
			continue;
		if (joined.len)
			buf_add_cstr(&joined, ", ");
		buf_add_str(&joined, r->headers[i].value);
	}
	all = buf_ok(&joined) ? arena_str(&r->arena, buf_str(&joined)) : (struct str){};
	buf_release(&joined);
	return all.p ? all : first;
}

struct str http_header_name(const struct http_request *r, unsigned i)
{
	return i < r->n_headers ? r->headers[i].name : (struct str){};
}

bool http_content_length(const struct http_request *r, uint64_t *ret)
{
	if (r->chunked)
		return false;
	*ret = r->length;
	return true;
}

struct str http_body(const struct http_request *r)
{
	return buf_str(&r->body);
}

struct str http_request_id(const struct http_request *r)
{
	return str_of(r->id);
}

int64_t http_came_us(const struct http_request *r)
{
	return r->started_us;
}

struct str http_peer(const struct http_request *r)
{
	return str_of(r->peer);
}

struct in6_addr http_client(const struct http_request *r)
{
	return r->client;
}

const struct http_route *http_route_of(const struct http_request *r)
{
	return r->match.route;
}

void http_set_caller(struct http_request *r, void *caller)
{
	r->caller = caller;
}

void *http_caller(const struct http_request *r)
{
	return r->caller;
}

void http_watch_body(struct http_request *r, const struct http_watch *watch, void *arg)
{
	r->watch = watch;
	r->watch_arg = arg;
}

void http_set_data(struct http_request *r, void *data)
{
	r->data = data;
}

void *http_data(const struct http_request *r)
{
	return r->data;
}
