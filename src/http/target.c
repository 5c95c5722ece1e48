/* The request target: path and query, decoded once and strictly. RFC 9112 §3.2, RFC 3986. */
#include "http/http_impl.h"

#include <stdio.h>
#include <string.h>

static int bad_path(struct err *e, const char *why)
{
	return err_set(e, ERR_BAD_PATH, "%s", why);
}

/* absolute-form: the authority must be the one of Host (RFC 9112 §3.2.2 would prefer it; two different ones are refused). */
static int strip_authority(struct http_request *r, struct str *target, struct err *e)
{
	static const struct str schemes[] = {STR("http://"), STR("https://")};
	unsigned count;
	struct str host = request_header(r, "Host", &count), authority;
	size_t n = 0;

	for (unsigned i = 0; i < ARRAY_LEN(schemes); i++)
		if (target->len > schemes[i].len && strncasecmp(target->p, schemes[i].p, schemes[i].len) == 0)
			n = schemes[i].len;
	if (n == 0)
		return 0;
	authority = (struct str){target->p + n, 0};
	while (n + authority.len < target->len && !strchr("/?", authority.p[authority.len]))
		authority.len++;
	if (count && !str_eq_nocase(authority, host))
		return bad_path(e, "the target's host is not the one of the header field Host");
	*target = (struct str){target->p + n + authority.len, target->len - n - authority.len};
	return 0;
}

/* Segments of a decoded path: none empty but the last, none a dot segment. */
static int check_segments(struct str path, struct err *e)
{
	struct str rest = {path.p + 1, path.len - 1};

	while (rest.p) {
		struct str segment = str_split(rest, '/', &rest);

		if (segment.len == 0 && rest.p)
			return bad_path(e, "the path has an empty segment");
		if (str_eq(segment, STR(".")) || str_eq(segment, STR("..")))
			return bad_path(e, "the path has a dot segment");
	}
	return 0;
}

static bool has_control(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return true;
	return false;
}

static size_t count_char(struct str s, char c)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++)
		n += s.p[i] == c;
	return n;
}

static int decode_path(struct http_request *r, struct str raw, struct err *e)
{
	char *dst;
	long n;

	if (raw.len == 0 || raw.p[0] != '/')
		return bad_path(e, "the path does not begin with a slash");
	dst = arena_alloc(&r->arena, raw.len);
	if (!dst)
		return err_set(e, ERR_NO_MEMORY, "path");
	n = pct_decode(dst, raw);
	if (n < 0)
		return bad_path(e, "the path has a broken escape");
	r->path = (struct str){dst, (size_t)n};
	if (has_control(r->path) || !utf8_valid(r->path))
		return bad_path(e, "the path is not UTF-8 without control characters");
	if (count_char(r->path, '/') != count_char(raw, '/') || count_char(r->path, '\\'))
		return bad_path(e, "the path has a backslash or an encoded slash");
	return check_segments(r->path, e);
}

/* A plus is a space here (application/x-www-form-urlencoded), unless it came as an escape. */
static int decode_piece(struct http_request *r, struct str raw, struct str *ret, struct err *e)
{
	char *spaced = arena_strndup(&r->arena, raw.p, raw.len), *dst = arena_alloc(&r->arena, raw.len + 1);
	long n;

	if (!spaced || !dst)
		return err_set(e, ERR_NO_MEMORY, "query");
	for (size_t i = 0; i < raw.len; i++)
		if (spaced[i] == '+')
			spaced[i] = ' ';
	n = pct_decode(dst, (struct str){spaced, raw.len});
	if (n < 0)
		return err_set(e, ERR_BAD_PARAMETER, "the query has a broken escape");
	*ret = (struct str){dst, (size_t)n};
	if (memchr(dst, '\0', (size_t)n) || !utf8_valid(*ret))
		return err_set(e, ERR_BAD_PARAMETER, "the query is not UTF-8 without NUL");
	return 0;
}

static int parse_query(struct http_request *r, struct str rest, struct err *e)
{
	while (rest.p) {
		struct str value, name, piece = str_split(rest, '&', &rest);
		struct header *q;
		int rc;

		if (piece.len == 0)
			continue;
		if (r->n_query == QUERY_MAX) {
			err_set(e, ERR_BAD_PARAMETER, "the query has too many parameters");
			return err_limit(e, QUERY_MAX);
		}
		q = &r->query[r->n_query++];
		name = str_split(piece, '=', &value);
		rc = decode_piece(r, name, &q->name, e);
		if (!rc)
			rc = decode_piece(r, value.p ? value : STR(""), &q->value, e);
		if (rc)
			return rc;
	}
	return 0;
}

static bool graphic(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.p[i] <= 0x20 || (unsigned char)s.p[i] >= 0x7f || s.p[i] == '#')
			return false;
	return true;
}

int target_read(struct http_request *r, struct err *e)
{
	struct str target = r->raw_target, query;
	int rc;

	if (!graphic(target))
		return bad_path(e, "the target has a character that must be escaped");
	if (str_eq(target, STR("*")) && r->method == HTTP_OPTIONS) {
		r->path = target;
		return 0;
	}
	rc = strip_authority(r, &target, e);
	if (rc)
		return rc;
	r->target = target;
	target = str_split(target, '?', &query);
	rc = decode_path(r, target, e);
	return rc ? rc : parse_query(r, query, e);
}

static int wrong_parameter(struct str name, const char *why, struct err *e)
{
	char text[ERR_WORD_MAX];

	snprintf(text, sizeof(text), "%.*s", (int)utf8_prefix(name, sizeof(text) - 1), name.p);
	err_set(e, ERR_BAD_PARAMETER, "%s", why);
	return err_field(e, text);
}

static bool is_known(struct str name, const char *const *known)
{
	for (; known && *known; known++)
		if (str_eq(name, str_of(*known)))
			return true;
	return false;
}

int target_check_query(struct http_request *r, const struct http_route *route, struct err *e)
{
	for (unsigned i = 0; i < r->n_query; i++) {
		struct str name = r->query[i].name;

		if (!is_known(name, route->query)) {
			if (route->any_query)
				continue;
			return wrong_parameter(name, "the query has a parameter that is not known here", e);
		}
		for (unsigned k = 0; k < i; k++)
			if (str_eq(r->query[k].name, name))
				return wrong_parameter(name, "the query has a parameter twice", e);
	}
	return 0;
}
