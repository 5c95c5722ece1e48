/* Whom proxies name: Forwarded (RFC 7239) and X-Forwarded-For. */
#include "http/fields.h"
#include "http/params.h"

#include <string.h>

static struct str skip(struct str s, size_t n)
{
	return (struct str){s.p + n, s.len - n};
}

/* The newest is put first. */
static void add(struct forwarded *f, const struct in6_addr *hop)
{
	if (f->n < FORWARDED_MAX)
		f->n++;
	memmove(&f->hops[1], &f->hops[0], (f->n - 1) * sizeof(f->hops[0]));
	f->hops[0] = *hop;
}

/* node-port of RFC 7239 §6: digits or an obfuscated one. */
static bool is_port(struct str s)
{
	uint64_t number;

	if (s.len > 1 && s.p[0] == '_')
		return is_token(s);
	return s.len <= 5 && str_to_u64(s, &number) && number <= UINT16_MAX;
}

static bool bracketed(struct in6_addr *ret, struct str s)
{
	const char *end = memchr(s.p, ']', s.len);

	if (end == NULL)
		return false;
	struct str rest = skip(s, (size_t)(end - s.p) + 1), host = {s.p + 1, (size_t)(end - s.p) - 1};
	if (rest.len > 0 && (rest.p[0] != ':' || !is_port(skip(rest, 1))))
		return false;
	return memchr(host.p, ':', host.len) != NULL && ip_parse(ret, host);
}

/* node of RFC 7239 §6, and a bare IPv6 address. An address that carries an IPv4 one mapped is that one. */
static bool read_node(struct in6_addr *ret, struct str s)
{
	struct str port, name;

	*ret = in6addr_any;
	if (s.len == 0)
		return false;
	if (s.p[0] == '[')
		return bracketed(ret, s);
	if (ip_parse(ret, s))
		return true;
	name = str_split(s, ':', &port);
	if (port.p != NULL && !is_port(port))
		return false;
	if (str_eq_nocase(name, STR("unknown")) || (name.len > 1 && name.p[0] == '_' && is_token(name)))
		return true;
	return memchr(name.p, ':', name.len) == NULL && ip_parse(ret, name);
}

bool x_forwarded_for_parse(struct forwarded *ret, struct str header)
{
	struct str rest = header;
	struct in6_addr hop;

	ret->n = 0;
	while (rest.p != NULL) {
		struct str one = str_trim(str_split(rest, ',', &rest));
		if (one.len == 0)
			continue; /* RFC 9110 §5.6.1: a list may have empty elements */
		if (!read_node(&hop, one))
			return false;
		add(ret, &hop);
	}
	return true;
}

/* token or quoted-string; an escape in one would stand for a character that needs none in an address. */
static bool take_value(struct str *rest, struct str *ret)
{
	size_t n = 0;

	if (rest->len > 0 && rest->p[0] == '"') {
		const char *end = memchr(rest->p + 1, '"', rest->len - 1);
		if (end == NULL || memchr(rest->p, '\\', (size_t)(end - rest->p)) != NULL)
			return false;
		*ret = (struct str){rest->p + 1, (size_t)(end - rest->p) - 1};
		*rest = skip(*rest, ret->len + 2);
		return true;
	}
	while (n < rest->len && is_token_char((unsigned char)rest->p[n]))
		n++;
	*ret = (struct str){rest->p, n};
	*rest = skip(*rest, n);
	return n > 0;
}

/* One forwarded-element, up to the comma behind it or the end; *ret_any: it had a parameter at all. */
static bool take_element(struct str *rest, struct in6_addr *ret, bool *ret_any)
{
	bool have = false;

	*ret = in6addr_any;
	*ret_any = false;
	while (rest->len > 0 && rest->p[0] != ',') {
		size_t n = 0;
		struct str name, value;

		if (rest->p[0] == ';') { /* with blanks on both sides as in any list of parameters (RFC 9110 §5.6.6) */
			*rest = str_trim(skip(*rest, 1));
			continue;
		}
		while (n < rest->len && is_token_char((unsigned char)rest->p[n]))
			n++;
		name = (struct str){rest->p, n};
		*rest = skip(*rest, n);
		if (n == 0 || rest->len == 0 || rest->p[0] != '=')
			return false;
		*rest = skip(*rest, 1);
		if (!take_value(rest, &value))
			return false;
		*rest = str_trim(*rest);
		if (rest->len > 0 && rest->p[0] != ';' && rest->p[0] != ',')
			return false;
		*ret_any = true;
		if (!str_eq_nocase(name, STR("for")))
			continue;
		if (have || !read_node(ret, value))
			return false;
		have = true;
	}
	return true;
}

bool forwarded_parse(struct forwarded *ret, struct str header)
{
	struct str rest = str_trim(header);
	struct in6_addr hop;
	bool any;

	ret->n = 0;
	for (;;) {
		if (!take_element(&rest, &hop, &any))
			return false;
		if (any)
			add(ret, &hop);
		if (rest.len == 0)
			return true;
		rest = str_trim(skip(rest, 1));
	}
}
