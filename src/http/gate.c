/* The gate: what a request's head must be before anything else looks at it. It refuses, never repairs, and after
 * a refusal the connection is closed, because where the next request begins cannot be known. RFC 9112 §§2-6, RFC 9110 §§5, 7. */
#include "http/http_impl.h"
#include "http/params.h"

#include <stdlib.h>
#include <string.h>

#define METHOD_MAX 32 /* letters */

/* field-value of RFC 9110 §5.5: no control characters but the tab. */
static bool is_value(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

static enum MHD_Result collect(void *cls, enum MHD_ValueKind kind, const char *key, size_t key_len, const char *value, size_t value_len)
{
	struct http_request *r = cls;
	struct header *h = &r->headers[r->n_headers++];

	h->name = (struct str){key, key_len};
	h->value = (struct str){value ? value : "", value ? value_len : 0};
	return MHD_YES;
}

static int collect_headers(struct http_request *r, struct err *e)
{
	int n = MHD_get_connection_values_n(r->mhd, MHD_HEADER_KIND, NULL, NULL);

	if (n > HEADERS_MAX) {
		err_set(e, ERR_HEADERS_TOO_LARGE, "there are %d header fields", n);
		return err_limit(e, HEADERS_MAX);
	}
	r->headers = arena_alloc(&r->arena, ((size_t)n + 1) * sizeof(*r->headers));
	if (!r->headers)
		return err_set(e, ERR_NO_MEMORY, "header fields");
	MHD_get_connection_values_n(r->mhd, MHD_HEADER_KIND, collect, r);
	return 0;
}

static enum MHD_Result take_id(void *cls, enum MHD_ValueKind kind, const char *key, const char *value)
{
	struct http_request *r = cls;
	size_t len = value ? strlen(value) : 0;

	if (strcasecmp(key, "X-Request-Id") != 0 || len == 0 || len > REQUEST_ID_MAX)
		return MHD_YES;
	for (size_t i = 0; i < len; i++) {
		char c = value[i];

		if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '.' || c == '_' || c == '-'))
			return MHD_YES;
	}
	memcpy(r->id, value, len + 1);
	return MHD_YES;
}

void gate_take_id(struct http_request *r)
{
	MHD_get_connection_values(r->mhd, MHD_HEADER_KIND, take_id, r);
}

static int check_fields(struct http_request *r, struct err *e)
{
	for (unsigned i = 0; i < r->n_headers; i++) {
		struct header *h = &r->headers[i];

		if (!is_token(h->name))
			return err_set(e, ERR_BAD_HEADER, "a header field's name is malformed");
		if (!is_value(h->value)) {
			err_set(e, ERR_BAD_HEADER, "a header field's value has a control character");
			return err_field(e, h->name.p);
		}
		if (h->name.len + h->value.len > HEADER_LINE_MAX) {
			err_set(e, ERR_HEADERS_TOO_LARGE, "a header field is too long");
			err_field(e, h->name.p);
			return err_limit(e, HEADER_LINE_MAX);
		}
		h->value = str_trim(h->value);
	}
	return 0;
}

/* Fields of which a second one would make the request mean two things. */
static int check_single(struct http_request *r, struct err *e)
{
	static const char *const single[] = {"Authorization", "Content-Disposition", "Content-MD5", "Content-Type",
					     "Expect",        "Idempotency-Key",     "If-Range",    "Range"};
	unsigned count;

	for (unsigned i = 0; i < ARRAY_LEN(single); i++) {
		request_header(r, single[i], &count);
		if (count < 2)
			continue;
		err_set(e, ERR_BAD_HEADER, "the header field may come once");
		return err_field(e, single[i]);
	}
	return 0;
}

static int check_method(struct http_request *r, const char *method, struct err *e)
{
	r->method_name = str_of(method);
	r->method = -1;
	if (r->method_name.len > METHOD_MAX || !is_token(r->method_name))
		return err_set(e, ERR_BAD_REQUEST, "the method is malformed");
	for (int m = 0; m < HTTP_METHODS; m++)
		if (strcmp(method, http_method_name((enum http_method)m)) == 0)
			r->method = m;
	/* TRACE is known, and no address takes it: that is 405, by the router. */
	if (r->method < 0 && strcmp(method, "TRACE") != 0)
		return err_set(e, ERR_METHOD_UNKNOWN, "the method is not known");
	return 0;
}

static int check_line(struct http_request *r, const char *version, struct err *e)
{
	if (r->method_name.len + r->raw_target.len + sizeof("  HTTP/1.1") - 1 > REQUEST_LINE_MAX) {
		err_set(e, ERR_URI_TOO_LONG, "the request line is too long");
		return err_limit(e, REQUEST_LINE_MAX);
	}
	r->http10 = strcmp(version, "HTTP/1.0") == 0;
	if (!r->http10 && strcmp(version, "HTTP/1.1") != 0)
		return err_set(e, ERR_BAD_VERSION, "HTTP/1.1 and HTTP/1.0 are spoken here");
	return 0;
}

/* uri-host [ ":" port ] of RFC 9110 §7.2, without user information. */
static bool is_host(struct str s)
{
	struct str host, port = {};
	uint64_t number;

	if (s.len && s.p[0] == '[') {
		const char *end = memchr(s.p, ']', s.len);

		if (!end)
			return false;
		host = (struct str){s.p + 1, (size_t)(end - s.p) - 1};
		for (size_t i = 0; i < host.len; i++)
			if (!strchr("0123456789abcdefABCDEF:.", host.p[i]))
				return false;
		port = (struct str){end + 1, s.len - host.len - 2};
		if (port.len && port.p[0] != ':')
			return false;
		if (port.len)
			port = (struct str){port.p + 1, port.len - 1};
	} else {
		host = str_split(s, ':', &port);
		for (size_t i = 0; i < host.len; i++)
			if (!is_token_char((unsigned char)host.p[i]) || strchr("#^`|", host.p[i]))
				return false;
	}
	return host.len && host.len <= 255 && (port.len == 0 || (port.len <= 5 && str_to_u64(port, &number) && number <= 65535));
}

static int check_host(struct http_request *r, struct err *e)
{
	unsigned count;
	struct str host = request_header(r, "Host", &count);

	if (count == 0 && r->http10)
		return 0;
	if (count == 1 && is_host(host))
		return 0;
	err_set(e, ERR_BAD_HEADER,
		count == 0  ? "the header field Host is missing"
		: count > 1 ? "there are two Hosts"
			    : "Host is malformed");
	return err_field(e, "Host");
}

static int check_expect(struct http_request *r, struct err *e)
{
	unsigned count;
	struct str expect = request_header(r, "Expect", &count);

	if (count == 0)
		return 0;
	if (count > 1 || !str_eq_nocase(expect, STR("100-continue"))) {
		err_set(e, ERR_EXPECTATION_FAILED, "100-continue is the only expectation that can be met");
		return err_field(e, "Expect");
	}
	r->expect_continue = true;
	return 0;
}

static int check_raw(struct http_request *r, const char *method, const char *version, struct err *e)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(r->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	size_t size = info ? info->header_size : 0;

	if (size > HEADER_BLOCK_MAX) {
		err_set(e, ERR_HEADERS_TOO_LARGE, "the header block is too large");
		return err_limit(e, HEADER_BLOCK_MAX);
	}
	if (!info || !r->server->head_layout_known)
		return 0;
	r->body_base = method + size;
	return gate_raw_head(r, method, version, size, e);
}

int gate_check(struct http_request *r, const char *method, const char *version, struct err *e)
{
	int rc;

	r->method = -1;
	gate_take_id(r);
	rc = collect_headers(r, e);
	if (rc)
		return rc;
	rc = check_raw(r, method, version, e);
	if (!rc)
		rc = check_method(r, method, e);
	if (!rc)
		rc = check_line(r, version, e);
	if (!rc)
		rc = check_fields(r, e);
	if (!rc)
		rc = check_host(r, e);
	if (!rc)
		rc = client_check_host(r, e);
	if (!rc)
		rc = client_find(r, e);
	if (!rc)
		rc = check_single(r, e);
	if (!rc)
		rc = framing_check(r, e);
	if (!rc)
		rc = check_expect(r, e);
	return rc ? rc : target_read(r, e);
}
