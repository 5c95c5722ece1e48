#include "base/ip.h"

#include <arpa/inet.h>
#include <string.h>

static unsigned width(int family)
{
	return family == AF_INET ? 32 : 128;
}

static bool same_prefix(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	const unsigned whole = bits / 8, left = bits % 8;

	return memcmp(a, b, whole) == 0 && (left == 0 || ((a[whole] ^ b[whole]) >> (8 - left)) == 0);
}

bool ip_range_has(const struct ip_range *r, int family, const uint8_t *addr)
{
	return r->family == family && same_prefix(r->addr, addr, r->bits);
}

/* True when nothing is set behind the prefix: 10.0.0.1/8 is more likely a slip than meant. */
static bool clean(const struct ip_range *r)
{
	for (unsigned bit = r->bits; bit < width(r->family); bit++) {
		if (r->addr[bit / 8] & (0x80u >> (bit % 8)))
			return false;
	}
	return true;
}

/* AF_INET or AF_INET6, 0 when it is no address. */
static int read_literal(uint8_t ret[16], struct str text)
{
	char name[INET6_ADDRSTRLEN];

	if (text.len >= sizeof(name) || memchr(text.p, '\0', text.len))
		return 0;
	memcpy(name, text.p, text.len);
	name[text.len] = '\0';
	if (inet_pton(AF_INET, name, ret) == 1)
		return AF_INET;
	return inet_pton(AF_INET6, name, ret) == 1 ? AF_INET6 : 0;
}

int ip_range_parse(struct ip_range *ret, struct str text, struct err *e)
{
	struct ip_range r = {};
	struct str bits, address = str_split(text, '/', &bits);
	uint64_t n = 0;

	r.family = read_literal(r.addr, address);
	if (r.family == 0)
		return err_set(e, ERR_BAD_CONFIG, "\"%.*s\" is no address range such as 10.0.0.0/8", STR_FMT(text));
	r.bits = width(r.family);
	if (bits.p != NULL && (bits.len > 3 || !str_to_u64(bits, &n) || n > r.bits))
		return err_set(e, ERR_BAD_CONFIG, "\"%.*s\": the length of the prefix is from 0 to %u", STR_FMT(text), r.bits);
	if (bits.p != NULL)
		r.bits = (unsigned)n;
	if (!clean(&r))
		return err_set(e, ERR_BAD_CONFIG, "\"%.*s\": bits are set behind the prefix", STR_FMT(text));
	*ret = r;
	return 0;
}

bool ip_parse(struct in6_addr *ret, struct str text)
{
	struct in6_addr mapped = {};
	uint8_t bytes[16];

	switch (read_literal(bytes, text)) {
	case AF_INET:
		mapped.s6_addr[10] = mapped.s6_addr[11] = 0xff;
		memcpy(mapped.s6_addr + 12, bytes, 4);
		*ret = mapped;
		return true;
	case AF_INET6:
		memcpy(ret->s6_addr, bytes, sizeof(bytes));
		return true;
	default:
		return false;
	}
}

void ip_format(char dst[INET6_ADDRSTRLEN], const struct in6_addr *a)
{
	if (IN6_IS_ADDR_V4MAPPED(a))
		inet_ntop(AF_INET, a->s6_addr + 12, dst, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, a, dst, INET6_ADDRSTRLEN);
}

bool ip_in(const struct ip_range *ranges, size_t n, const struct in6_addr *a)
{
	bool mapped = IN6_IS_ADDR_V4MAPPED(a);

	for (size_t i = 0; i < n; i++)
		if (mapped ? ip_range_has(&ranges[i], AF_INET, a->s6_addr + 12) : ip_range_has(&ranges[i], AF_INET6, a->s6_addr))
			return true;
	return false;
}
