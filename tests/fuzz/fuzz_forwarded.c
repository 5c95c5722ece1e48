/* Whom proxies name: X-Forwarded-For and Forwarded. The lowest bit of the first byte chooses, the rest is the field as a client sent it. Whatever he wrote, the proxy that adds to it is
 * read as it is. */
#include "base/buf.h"
#include "http/fields.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static bool read_field(bool rfc7239, struct forwarded *ret, struct str field)
{
	return rfc7239 ? forwarded_parse(ret, field) : x_forwarded_for_parse(ret, field);
}

static bool same(const struct in6_addr *a, const struct in6_addr *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* The oldest first, as proxies would have written it. */
static void write_hops(bool rfc7239, struct buf *b, const struct forwarded *f)
{
	for (unsigned i = f->n; i-- > 0;) {
		char text[INET6_ADDRSTRLEN];
		bool none = IN6_IS_ADDR_UNSPECIFIED(&f->hops[i]);
		ip_format(text, &f->hops[i]);
		bool v6 = !none && strchr(text, ':') != NULL;
		buf_addf(b, "%s%s%s%s%s", b->len > 0 ? ", " : "", rfc7239 ? "for=" : "", rfc7239 && v6 ? "\"[" : "",
			 none ? "unknown" : text, rfc7239 && v6 ? "]\"" : "");
	}
}

static void reads_the_same_when_written_again(bool rfc7239, const struct forwarded *f)
{
	struct buf b = BUF_INIT;
	struct forwarded again;

	write_hops(rfc7239, &b, f);
	require(buf_ok(&b));
	require(read_field(rfc7239, &again, buf_str(&b)) && again.n == f->n);
	for (unsigned i = 0; i < f->n; i++)
		require(same(&again.hops[i], &f->hops[i]));
	buf_release(&b);
}

/* f: what the client's own field is, NULL when it is malformed. */
static void the_proxy_counts(bool rfc7239, struct str field, const struct forwarded *f, const char *added, const char *address)
{
	struct buf b = BUF_INIT;
	struct forwarded all;
	struct in6_addr proxy;

	require(ip_parse(&proxy, str_of(address)));
	buf_add(&b, field.p, field.len);
	buf_add_cstr(&b, added);
	require(buf_ok(&b));
	bool right = read_field(rfc7239, &all, buf_str(&b));
	require(right == (f != NULL));
	if (f != NULL) {
		require(all.n == (f->n < FORWARDED_MAX ? f->n + 1 : FORWARDED_MAX) && same(&all.hops[0], &proxy));
		for (unsigned i = 1; i < all.n; i++)
			require(same(&all.hops[i], &f->hops[i - 1]));
	}
	buf_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct forwarded f;

	if (size == 0)
		return 0;
	bool rfc7239 = data[0] & 1;
	const struct str field = {(const char *)data + 1, size - 1};
	bool right = read_field(rfc7239, &f, field);
	if (right) {
		require(f.n <= FORWARDED_MAX);
		reads_the_same_when_written_again(rfc7239, &f);
	}
	const struct forwarded *own = right ? &f : NULL;
	the_proxy_counts(rfc7239, field, own, rfc7239 ? ", for=203.0.113.9" : ", 203.0.113.9", "203.0.113.9");
	the_proxy_counts(rfc7239, field, own, rfc7239 ? ", for=\"[2001:db8::9]:4711\"" : ", [2001:db8::9]:4711", "2001:db8::9");
	return 0;
}
