/* The body on its way to the handler, or to nowhere once there is an answer. */
#include "http/http_impl.h"

#define BODY_FIRST 65536 /* bytes reserved at most before any have come: a length alone costs us nothing */

static uint64_t body_max(const struct http_request *r)
{
	uint64_t max = r->match.route->handler->max_body;

	return max ? max : r->server->config.json_max;
}

static int too_large(const struct http_request *r, struct err *e)
{
	err_set(e, ERR_TOO_LARGE, "the body may have %llu bytes", (unsigned long long)body_max(r));
	return err_limit(e, (int64_t)body_max(r));
}

int body_check_length(struct http_request *r, struct err *e)
{
	switch (r->match.route->handler->body_kind) {
	case HTTP_BODY_NONE:
		return r->length ? err_set(e, ERR_BAD_REQUEST, "this request takes no body") : 0;
	case HTTP_BODY_BUFFER:
		if (r->length > body_max(r))
			return too_large(r, e);
		if (r->length)
			buf_reserve(&r->body, r->length < BODY_FIRST ? r->length : BODY_FIRST);
		return 0;
	default:
		return 0;
	}
}

static void collect(struct http_request *r, const char *data, size_t n)
{
	struct err e = ERR_INIT;

	if (r->received > body_max(r)) {
		too_large(r, &e);
		http_reply_problem(r, &e);
		return;
	}
	buf_add(&r->body, data, n);
	if (buf_ok(&r->body))
		return;
	err_set(&e, ERR_NO_MEMORY, "the body did not fit into memory");
	http_reply_problem(r, &e);
}

/* True while more may come. */
static bool hand_over(struct http_request *r, const char *data, size_t n)
{
	const struct http_handler *h = r->match.route->handler;
	struct err e = ERR_INIT;

	switch (h->body_kind) {
	case HTTP_BODY_STREAM:
		return h->body(r, data, n) == HTTP_MORE;
	case HTTP_BODY_BUFFER:
		collect(r, data, n);
		return true;
	default:
		err_set(&e, ERR_BAD_REQUEST, "this request takes no body");
		http_reply_problem(r, &e);
		return true;
	}
}

/* There is an answer, but MHD takes one only at the end of the body. Returns false when the rest is not worth reading: the
 * answer then goes straight to the socket and the connection ends (request_completed). */
static bool drop(struct http_request *r, size_t n)
{
	int64_t now = http_now_ms();

	if (r->dropped_since_ms == 0)
		r->dropped_since_ms = now;
	r->dropped += n;
	if (!r->chunked && r->length - r->received > DROP_MAX)
		return false;
	return r->dropped <= DROP_MAX && now - r->dropped_since_ms <= DROP_MS;
}

enum MHD_Result body_take(struct http_request *r, const char *data, size_t *n)
{
	struct err e = ERR_INIT;
	size_t size = *n;

	if (r->chunked && framing_check_chunk(r, data, &e))
		r->chunk_bad = true;
	if (park_is_parked(r))
		return MHD_YES; /* MHD offers the next chunk although we wait: it keeps it */
	if (atomic_load(&r->conn->too_slow))
		return MHD_NO;
	conn_phase(r->conn, CONN_BODY);
	atomic_fetch_add_explicit(&r->conn->body_bytes, size, memory_order_relaxed);
	r->received += size;
	*n = 0;
	if (r->chunk_bad) {
		err_set(&e, ERR_AMBIGUOUS_FRAMING, "the chunked body is malformed");
		r->close_after = true;
		http_reply_problem(r, &e);
		return MHD_NO;
	}
	if (park_has_reply(r))
		return drop(r, size) ? MHD_YES : MHD_NO;
	if (r->watch)
		r->watch->data(r->watch_arg, data, size);
	if (!hand_over(r, data, size) && !park_has_reply(r))
		park_until_continue(r);
	else if (park_has_reply(r))
		return drop(r, 0) ? MHD_YES : MHD_NO;
	return MHD_YES;
}
