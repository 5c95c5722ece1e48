/* A request as it is kept: checked and copied, so that the caller's may go. */
#include "base/compiler.h"
#include "net/client_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADERS_MAX 64
#define FIELD_BYTES_MAX 8192
#define BODY_KEEP_MAX ((size_t)1 << 20)

static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "DELETE"};

/* What libcurl and the connection decide (RFC 9110 §7.6.1, RFC 9112 §6) is not the caller's. */
static const char *const reserved[] = {
	"host",   "content-length", "transfer-encoding", "connection",         "keep-alive", "te", "trailer", "upgrade",
	"expect", "cookie",         "accept-encoding",   "proxy-authorization"};

int call_fail(struct call *call, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(call->detail, sizeof(call->detail), fmt, ap);
	va_end(ap);
	return code;
}

static int copy_method(struct call *call, struct str method, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		if (str_eq(method, str_of(methods[i]))) {
			memcpy(call->method, methods[i], strlen(methods[i]) + 1);
			return 0;
		}
	}
	return err_set(e, ERR_INVALID_VALUE, "the method is not one of GET, HEAD, POST, PUT and DELETE");
}

/* RFC 9110 §5.6.2 */
static bool is_token(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		const char c = s.p[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) &&
		    (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c)))
			return false;
	}
	return s.len > 0;
}

static bool is_field_value(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		if ((s.p[i] < ' ' && s.p[i] != '\t') || s.p[i] > '~')
			return false;
	}
	return true;
}

static int add_line(struct curl_slist **list, const char *line, struct err *e)
{
	struct curl_slist *longer = curl_slist_append(*list, line);

	if (!longer)
		return err_set(e, ERR_NO_MEMORY, "no memory for headers");
	*list = longer;
	return 0;
}

static int add_header(struct call *call, const char *line, bool anywhere, struct err *e)
{
	int rc = add_line(&call->headers, line, e);

	return rc == 0 && anywhere ? add_line(&call->anywhere, line, e) : rc;
}

static int copy_header(struct call *call, const struct net_header *h, struct err *e)
{
	const struct str value = str_trim(h->value);
	char line[FIELD_BYTES_MAX];

	if (!is_token(h->name) || !is_field_value(value))
		return err_set(e, ERR_INVALID_VALUE, "a header has bytes that it must not have");
	if (h->name.len + value.len + 3 > sizeof(line))
		return err_set(e, ERR_INVALID_VALUE, "a header is longer than %zu bytes", sizeof(line) - 3);
	for (size_t i = 0; i < ARRAY_LEN(reserved); i++) {
		if (str_eq_nocase(h->name, str_of(reserved[i])))
			return err_set(e, ERR_INVALID_VALUE, "the header %s is not the caller's", reserved[i]);
	}
	/* libcurl's own notation for a header without a value is a semicolon. */
	snprintf(line, sizeof(line), value.len > 0 ? "%.*s: %.*s" : "%.*s;%.*s", STR_FMT(h->name), STR_FMT(value));
	return add_header(call, line, h->anywhere, e);
}

/* Headers libcurl would add by itself are switched off: it asks for a 100 for large bodies and calls every body a form. */
static int copy_headers(struct call *call, const struct net_request *r, struct err *e)
{
	bool typed = false;
	int rc = 0;

	if (r->headers_n > HEADERS_MAX)
		return err_set(e, ERR_INVALID_VALUE, "more than %d headers", HEADERS_MAX);
	for (size_t i = 0; rc == 0 && i < r->headers_n; i++) {
		typed = typed || str_eq_nocase(r->headers[i].name, STR("content-type"));
		rc = copy_header(call, &r->headers[i], e);
	}
	if (rc == 0)
		rc = add_header(call, "Expect:", true, e);
	if (rc == 0 && !typed)
		rc = add_header(call, "Content-Type:", true, e);
	return rc;
}

static int copy_limits(struct call *call, const struct net_limits *given, struct err *e)
{
	struct net_limits l = *given;

	if (l.connect_ms < 0 || l.total_ms < 0 || l.body_keep > BODY_KEEP_MAX || l.redirects_max > 20)
		return err_set(e, ERR_INVALID_VALUE, "a limit is out of range");
	l.connect_ms = l.connect_ms ? l.connect_ms : 10000;
	l.total_ms = l.total_ms ? l.total_ms : 60000;
	l.rate_min = l.rate_min ? l.rate_min : 1;
	l.rate_grace_s = l.rate_grace_s ? l.rate_grace_s : 30;
	l.head_max = l.head_max ? l.head_max : (size_t)64 * 1024;
	l.body_max = l.body_max ? l.body_max : (uint64_t)1024 * 1024;
	call->limits = l;
	return 0;
}

static int copy_body(struct call *call, const struct net_request *r, struct err *e)
{
	const bool takes_one = strcmp(call->method, "POST") == 0 || strcmp(call->method, "PUT") == 0;

	if (r->body.len > 0 && !takes_one)
		return err_set(e, ERR_INVALID_VALUE, "only POST and PUT have a body");
	if (takes_one && r->limits.redirects_max > 0)
		return err_set(e, ERR_INVALID_VALUE, "redirects are followed for GET and HEAD only");
	call->body = r->body;
	call->party = r->party;
	return 0;
}

static int fill(struct call *call, const struct net_request *r, struct err *e)
{
	struct target target;
	int rc;

	call->policy = r->policy ? r->policy : &client_hop_config(call->client)->policy;
	rc = target_parse(&target, r->url, call->policy, e);

	if (rc == 0)
		rc = copy_method(call, r->method, e);
	if (rc == 0)
		rc = copy_limits(call, &r->limits, e);
	if (rc == 0)
		rc = copy_body(call, r, e);
	if (rc == 0)
		rc = copy_headers(call, r, e);
	if (rc != 0)
		return rc;
	call->url = strndup(r->url.p, r->url.len);
	if (!call->url)
		return err_set(e, ERR_NO_MEMORY, "no memory for a URL");
	call->head = r->head;
	call->take = r->take;
	call->done = r->done;
	call->arg = r->arg;
	return 0;
}

int call_new(struct call **ret_call, struct net_client *c, const struct net_request *r, struct err *e)
{
	struct call *call = calloc(1, sizeof(*call));
	int rc;

	if (!call)
		return err_set(e, ERR_NO_MEMORY, "no memory for a request");
	call->client = c;
	call->result = (struct net_result){.retry_after_s = -1, .resolve_ms = -1, .connect_ms = -1, .answer_ms = -1, .total_ms = -1};
	rc = fill(call, r, e);
	if (rc != 0) {
		call_free(call);
		return rc;
	}
	*ret_call = call;
	return 0;
}

void call_free(struct call *call)
{
	if (!call)
		return;
	hop_close(call);
	curl_slist_free_all(call->headers);
	curl_slist_free_all(call->anywhere);
	buf_release(&call->fields);
	free(call->kept);
	free(call->url);
	free(call);
}
