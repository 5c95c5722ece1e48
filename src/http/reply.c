/* Filling the answer, on whatever thread gives it; send.c turns it into bytes on the worker. */
#include "http/http_impl.h"

#include "base/fd.h"
#include "base/json_out.h"
#include "rt/log.h"
#include "rt/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool clean_value(const char *s)
{
	for (; *s; s++)
		if (((unsigned char)*s < 0x20 && *s != '\t') || *s == 0x7f)
			return false;
	return true;
}

void http_set_header(struct http_request *r, const char *name, const char *value)
{
	struct out_header *h, **last = &r->out;

	if (!clean_value(value)) {
		log_event(LOG_ERROR, "http_header_dropped", LF_CSTR("name", name), LF_STR("request_id", http_request_id(r)));
		return;
	}
	h = arena_alloc(&r->arena, sizeof(*h));
	if (h) {
		h->name = arena_strndup(&r->arena, name, strlen(name));
		h->value = arena_strndup(&r->arena, value, strlen(value));
	}
	if (!h || !h->name || !h->value) {
		r->out_short = true;
		return;
	}
	while (*last)
		last = &(*last)->next;
	*last = h;
}

void reply_release(struct reply *reply)
{
	if (reply->kind == REPLY_BUF)
		free((char *)(uintptr_t)reply->p);
	reply->p = NULL;
	fd_close(&reply->fd);
	if (reply->source)
		reply->source->free(reply->source);
	reply->source = NULL;
}

static const char no_memory[] =
	"{\"type\":\"/problems/no_memory\",\"title\":\"The server is short of memory\",\"status\":503,\"code\":\"no_memory\"}";

/* An answer without a field that it needs, such as the range of a part, would be a wrong one. */
static void make_no_memory(struct http_request *r, struct reply *reply)
{
	static struct out_header retry_after = {.name = "Retry-After", .value = "1"}; /* the last one: nobody appends to it */

	reply_release(reply);
	http_count_refusal(ERR_NO_MEMORY);
	r->out = &retry_after;
	*reply = (struct reply){.status = 503,
				.kind = REPLY_STATIC,
				.content_type = "application/problem+json",
				.p = no_memory,
				.n = sizeof(no_memory) - 1,
				.fd = -1};
}

/* Makes it the request's answer, or drops it when there is one. */
static void give(struct http_request *r, struct reply *reply)
{
	const char *type = NULL;

	if (!park_claim_reply(r)) {
		log_event(LOG_ERROR, "http_second_reply", LF_INT("status", reply->status), LF_STR("request_id", http_request_id(r)));
		reply_release(reply);
		return;
	}
	/* the caller's memory may be gone before the worker sends the head */
	if (reply->content_type)
		type = arena_strndup(&r->arena, reply->content_type, strlen(reply->content_type));
	if (r->out_short || (reply->content_type && !type))
		make_no_memory(r, reply);
	else
		reply->content_type = type;
	r->reply = *reply;
	if (!late_hold(r))
		park_replied(r);
}

void http_reply_buf(struct http_request *r, int status, const char *content_type, struct buf *body)
{
	struct reply reply = {.status = status, .kind = REPLY_BUF, .content_type = content_type, .fd = -1};
	size_t n = 0;

	if (!buf_ok(body)) {
		struct err e = ERR_INIT;

		buf_release(body);
		err_set(&e, ERR_NO_MEMORY, "the answer did not fit into memory");
		http_reply_problem(r, &e);
		return;
	}
	reply.p = buf_steal(body, &n);
	reply.n = n;
	if (!reply.p)
		reply.kind = REPLY_EMPTY;
	give(r, &reply);
}

static bool has_out(const struct http_request *r, const char *name)
{
	for (const struct out_header *h = r->out; h; h = h->next)
		if (str_eq_nocase(str_of(h->name), str_of(name)))
			return true;
	return false;
}

void http_reply_json(struct http_request *r, int status, struct buf *body)
{
	if (!has_out(r, "Cache-Control"))
		http_set_header(r, "Cache-Control", "no-store");
	http_reply_buf(r, status, "application/json", body);
}

void http_reply_static(struct http_request *r, int status, const char *content_type, const void *p, size_t n)
{
	struct reply reply = {.status = status, .kind = REPLY_STATIC, .content_type = content_type, .p = p, .n = n, .fd = -1};

	give(r, &reply);
}

void http_reply_empty(struct http_request *r, int status)
{
	struct reply reply = {.status = status, .kind = REPLY_EMPTY, .fd = -1};

	give(r, &reply);
}

void http_reply_fd(struct http_request *r, int status, const char *content_type, int fd, uint64_t offset, uint64_t len)
{
	struct reply reply = {.status = status, .kind = REPLY_FD, .content_type = content_type, .n = len, .fd = fd, .offset = offset};

	give(r, &reply);
}

void http_reply_stream(struct http_request *r, int status, const char *content_type, http_stream_fn *read)
{
	struct reply reply = {.status = status, .kind = REPLY_STREAM, .content_type = content_type, .fd = -1, .read = read};

	give(r, &reply);
}

void http_reply_source(struct http_request *r, int status, const char *content_type, struct http_source *source, uint64_t len)
{
	struct reply reply = {.status = status, .kind = REPLY_SOURCE, .content_type = content_type, .n = len, .fd = -1, .source = source};

	give(r, &reply);
}

static void write_problem(struct buf *b, const struct err *e)
{
	const struct err_info *info = err_info(e->code);
	struct json_out j = json_out(b);
	char type[ERR_WORD_MAX + 16];

	snprintf(type, sizeof(type), "/problems/%s",
		 info->name); /* RFC 9457 §3.1.1: a relative reference names it, nothing need be there */
	json_obj_open(&j);
	json_kcstr(&j, "type", type);
	json_kcstr(&j, "title", info->title);
	json_ku64(&j, "status", (uint64_t)info->http_status);
	if (e->detail[0])
		json_kcstr(&j, "detail", e->detail);
	json_kcstr(&j, "code", info->name);
	if (e->field[0])
		json_kcstr(&j, "field", e->field);
	if (e->expected[0])
		json_kcstr(&j, "expected", e->expected);
	if (e->limit >= 0)
		json_ku64(&j, "limit", (uint64_t)e->limit);
	json_obj_close(&j);
}

/* A stop ends what waits: that is no fault of anything. */
static void log_failure(struct http_request *r, const struct err *e)
{
	log_event(e->code == ERR_SHUTTING_DOWN ? LOG_INFO : LOG_ERROR, "request_failed", LF_CSTR("code", err_info(e->code)->name),
		  LF_CSTR("detail", e->detail), LF_CSTR("field", e->field), LF_STR("request_id", http_request_id(r)),
		  LF_STR("path", r->path));
}

static bool is_refusal(const struct err_info *info)
{
	return info->http_status == 429 || info->http_status == 503 || info->http_status == 507;
}

void http_count_refusal(int code)
{
	const struct err_info *info = err_info(code);

	if (is_refusal(info))
		metric_by_add(METRIC_HTTP_REFUSED, metric_place(METRIC_CODE, str_of(info->name)), 1);
}

void http_say_when(struct http_request *r, int code, int retry_after_s)
{
	char number[16];

	http_count_refusal(code);
	if (retry_after_s <= 0)
		return;
	snprintf(number, sizeof(number), "%d", retry_after_s);
	http_set_header(r, "Retry-After", number);
}

void reply_show_refusals(void)
{
	unsigned n;
	const struct err_info *all = err_all(&n);

	for (unsigned i = 0; i < n; i++)
		if (is_refusal(&all[i]))
			(void)metric_place(METRIC_CODE, str_of(all[i].name));
}

void http_reply_problem(struct http_request *r, const struct err *e)
{
	const struct err_info *info = err_info(e->code);
	struct buf b = BUF_INIT;

	/* who is at his limit must not write a line for each one he refuses: what refuses says so once, and counts */
	if (info->http_status >= 500 && info->http_status != 501 && info->http_status != 505 && e->code != ERR_OVERLOADED)
		log_failure(r, e);
	http_say_when(r, e->code, e->retry_after_s);
	if (!has_out(r, "Cache-Control"))
		http_set_header(r, "Cache-Control", "no-store");
	write_problem(&b, e);
	if (buf_ok(&b)) {
		http_reply_buf(r, info->http_status, "application/problem+json", &b);
		return;
	}
	buf_release(&b);
	http_reply_static(r, 503, "application/problem+json", no_memory, sizeof(no_memory) - 1);
}
