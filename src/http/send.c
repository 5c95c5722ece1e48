/* The answer as MHD takes it; and, where MHD takes none any more, as bytes on the socket. */
#include "http/http_impl.h"

#include "base/clock.h"
#include "base/fd.h"

#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <time.h>
#include <unistd.h>

/* What every answer says, unless it says something else under the same name: pages and contents have policies of their own. An answer is data; should a browser take it for a
 * document after all, it loads nothing, runs nothing, is framed by nobody and tells nobody where it came from. */
#define EVERYWHERE(X)                                                                                                                      \
	X("X-Content-Type-Options", "nosniff")                                                                                             \
	X("Referrer-Policy", "no-referrer")                                                                                                \
	X("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")                                                         \
	X("X-Frame-Options", "DENY")                                                                                                       \
	X("Cross-Origin-Resource-Policy", "same-origin")                                                                                   \
	X("Cross-Origin-Opener-Policy", "same-origin")

static const char *const everywhere[][2] = {
#define ROW(name, value) {name, value},
	EVERYWHERE(ROW)
#undef ROW
};

/* The same as lines of a head. */
static const char everywhere_lines[] =
#define LINE(name, value) name ": " value "\r\n"
	EVERYWHERE(LINE)
#undef LINE
	;

static bool overridden(const struct http_request *r, const char *name)
{
	for (const struct out_header *h = r->out; h; h = h->next)
		if (strcasecmp(h->name, name) == 0)
			return true;
	return false;
}

/* ---- through MHD ---- */

static ssize_t read_some(struct http_request *r, char *p, size_t max)
{
	struct http_source *s = r->reply.source;

	return s ? s->read(s, p, max) : r->reply.read(r, p, max);
}

/* Nothing for now: the connection is suspended until there is. Whoever wakes between the question and the suspension is not missed. */
static ssize_t read_stream(void *cls, uint64_t at, char *p, size_t max)
{
	struct http_request *r = cls;

	for (;;) {
		clock_enter(r->conn->worker);
		ssize_t n = read_some(r, p, max);
		clock_leave(r->conn->worker);
		if (n > 0)
			return n;
		if (n < 0)
			return r->reply.source ? MHD_CONTENT_READER_END_WITH_ERROR : MHD_CONTENT_READER_END_OF_STREAM;
		if (park_until_more(r))
			return 0;
	}
}

/* MHD ends the answer to HEAD with an empty chunk when GET would have chunks (0.9.75): to the client, the begin of the next answer. Without chunks it ends with the connection. */
static struct MHD_Response *stream_of(struct http_request *r)
{
	struct MHD_Response *m = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, read_stream, r, NULL);

	if (m != NULL && r->method == HTTP_HEAD && MHD_set_response_options(m, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT, MHD_RO_END) != MHD_YES) {
		MHD_destroy_response(m);
		return NULL;
	}
	return m;
}

static struct MHD_Response *response_of(struct http_request *r)
{
	struct reply *p = &r->reply;
	struct MHD_Response *m;
	void *memory = (void *)(uintptr_t)p->p;

	if (p->kind == REPLY_STREAM)
		return stream_of(r);
	switch (p->n ? p->kind : REPLY_EMPTY) {
	case REPLY_BUF:
		m = MHD_create_response_from_buffer(p->n, memory, MHD_RESPMEM_MUST_FREE);
		if (m)
			p->p = NULL; /* MHD frees it */
		return m;
	case REPLY_STATIC:
		return MHD_create_response_from_buffer(p->n, memory, MHD_RESPMEM_PERSISTENT);
	case REPLY_SOURCE:
		return MHD_create_response_from_callback(p->n, SOURCE_BLOCK, read_stream, r, NULL);
	case REPLY_FD:
		m = MHD_create_response_from_fd_at_offset64(p->n, p->fd, p->offset);
		if (m)
			p->fd = -1; /* MHD closes it */
		return m;
	default:
		return MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
	}
}

/* False when memory ran out: all values are clean, and MHD refuses none of them for another reason. */
static bool add_headers(struct http_request *r, struct MHD_Response *m)
{
	bool ok = MHD_add_response_header(m, "X-Request-Id", r->id) == MHD_YES;

	for (unsigned i = 0; i < ARRAY_LEN(everywhere); i++)
		if (!overridden(r, everywhere[i][0]))
			ok &= MHD_add_response_header(m, everywhere[i][0], everywhere[i][1]) == MHD_YES;
	if (r->reply.content_type)
		ok &= MHD_add_response_header(m, "Content-Type", r->reply.content_type) == MHD_YES;
	if (r->server->hsts[0])
		ok &= MHD_add_response_header(m, "Strict-Transport-Security", r->server->hsts) == MHD_YES;
	for (const struct out_header *h = r->out; h; h = h->next)
		ok &= MHD_add_response_header(m, h->name, h->value) == MHD_YES || !*h->value;
	if (r->close_after)
		ok &= MHD_add_response_header(m, "Connection", "close") == MHD_YES;
	return ok;
}

enum MHD_Result send_queue(struct http_request *r)
{
	struct MHD_Response *m = response_of(r);
	enum MHD_Result rc = MHD_NO;

	if (m && add_headers(r, m))
		rc = MHD_queue_response(r->mhd, (unsigned)r->reply.status, m);
	else
		send_raw_problem(r->conn->fd, ERR_NO_MEMORY, r->id); /* MHD has sent nothing yet, and ends the connection now */
	if (m)
		MHD_destroy_response(m);
	return rc;
}

/* ---- past MHD ---- */

static const char *reason(int status)
{
	const char *phrase = MHD_get_reason_phrase_for((unsigned)status);

	return phrase ? phrase : "";
}

static void raw_head(struct http_request *r, struct buf *b)
{
	char date[30];

	http_date_format(date, (int64_t)time(NULL) * 1000);
	buf_addf(b, "HTTP/1.1 %d %s\r\nDate: %s\r\nConnection: close\r\nContent-Length: %llu\r\nX-Request-Id: %s\r\n", r->reply.status,
		 reason(r->reply.status), date, (unsigned long long)r->reply.n, r->id);
	for (unsigned i = 0; i < ARRAY_LEN(everywhere); i++)
		if (!overridden(r, everywhere[i][0]))
			buf_addf(b, "%s: %s\r\n", everywhere[i][0], everywhere[i][1]);
	if (r->server->hsts[0])
		buf_addf(b, "Strict-Transport-Security: %s\r\n", r->server->hsts);
	if (r->reply.content_type)
		buf_addf(b, "Content-Type: %s\r\n", r->reply.content_type);
	for (const struct out_header *h = r->out; h; h = h->next)
		buf_addf(b, "%s: %s\r\n", h->name, h->value);
	buf_add_cstr(b, "\r\n");
}

void send_raw(struct http_request *r)
{
	struct reply *p = &r->reply;
	struct buf b = BUF_INIT;
	bool body = r->method != HTTP_HEAD;
	off_t at = (off_t)p->offset;
	ssize_t n;

	raw_head(r, &b);
	if (body && (p->kind == REPLY_BUF || p->kind == REPLY_STATIC))
		buf_add(&b, p->p, p->n);
	if (buf_ok(&b)) {
		n = send(r->conn->fd, b.p, b.len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n == (ssize_t)b.len && body && p->kind == REPLY_FD)
			n = sendfile(r->conn->fd, p->fd, &at, p->n);
		(void)n; /* best effort: the socket's buffer takes an answer of ordinary size, and the connection ends here in any case */
	}
	buf_release(&b);
}

void send_raw_problem(int fd, int code, const char *id)
{
	const struct err_info *info = err_info(code);
	char body[256], all[1024];

	http_count_refusal(code);
	int n = snprintf(body, sizeof(body), "{\"type\":\"/problems/%s\",\"title\":\"%s\",\"status\":%d,\"code\":\"%s\"}", info->name,
			 info->title, info->http_status, info->name);

	n = snprintf(all, sizeof(all),
		     "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Type: application/problem+json\r\nCache-Control: no-store\r\n"
		     "%s%s%s%s%sContent-Length: %d\r\n\r\n%s",
		     info->http_status, reason(info->http_status), everywhere_lines,
		     info->http_status == 503 || info->http_status == 429 ? "Retry-After: 1\r\n" : "", id ? "X-Request-Id: " : "",
		     id ? id : "", id ? "\r\n" : "", n, body);
	if (send(fd, all, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return; /* the client has gone */
}
