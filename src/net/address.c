/* Which addresses requests may go to. A table of what is refused; of IPv6 all that is no global unicast (2000::/3) is refused besides. */
#include "base/compiler.h"
#include "net/target.h"

#include <assert.h>
#include <netinet/in.h>
#include <string.h>

/* The ranges of the IANA special-purpose registries (RFC 6890 and its updates) that are not globally reachable, multicast, and what clouds use. */
static const struct kind {
	struct ip_range range;
	const char *name; /* for people: "a … address" */
} kinds[] = {
#define V4(a, b, c, d, bits, name)                                                                                                         \
	{                                                                                                                                  \
		{AF_INET, bits, {a, b, c, d}}, name                                                                                        \
	}
	V4(0, 0, 0, 0, 8, "\"this network\""), /* RFC 791 §3.2; Linux connects 0.0.0.0 to itself */
	V4(10, 0, 0, 0, 8, "private"), /* RFC 1918 */
	V4(100, 64, 0, 0, 10, "carrier-internal"), /* RFC 6598; clouds keep metadata here too (100.100.100.200) */
	V4(127, 0, 0, 0, 8, "loopback"), /* RFC 1122 §3.2.1.3 */
	V4(168, 63, 129, 16, 32, "metadata"), /* Azure's, in the midst of public ones */
	V4(169, 254, 0, 0, 16, "link-local"), /* RFC 3927; 169.254.169.254 is most clouds' metadata service */
	V4(172, 16, 0, 0, 12, "private"), /* RFC 1918 */
	V4(192, 0, 0, 0, 24, "reserved"), /* RFC 6890; 192.0.0.192 is Oracle's metadata service */
	V4(192, 0, 2, 0, 24, "documentation"), /* RFC 5737 */
	V4(192, 88, 99, 0, 24, "6to4 relay"), /* RFC 7526 */
	V4(192, 168, 0, 0, 16, "private"), /* RFC 1918 */
	V4(198, 18, 0, 0, 15, "benchmarking"), /* RFC 2544 */
	V4(198, 51, 100, 0, 24, "documentation"), /* RFC 5737 */
	V4(203, 0, 113, 0, 24, "documentation"), /* RFC 5737 */
	V4(224, 0, 0, 0, 4, "multicast"), /* RFC 5771 */
	V4(240, 0, 0, 0, 4, "reserved"), /* RFC 1112 §4; with 255.255.255.255 */
#undef V4
#define V6(bits, name, ...)                                                                                                                \
	{                                                                                                                                  \
		{AF_INET6, bits, {__VA_ARGS__}}, name                                                                                      \
	}
	V6(128, "unspecified", 0), /* RFC 4291 §2.5.2 */
	V6(128, "loopback", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1), /* RFC 4291 §2.5.3 */
	V6(64, "discard", 0x01, 0x00), /* RFC 6666 */
	V6(48, "local translation", 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01), /* RFC 8215 */
	V6(23, "reserved", 0x20, 0x01), /* RFC 2928; Teredo, ORCHID, benchmarking and others */
	V6(32, "documentation", 0x20, 0x01, 0x0d, 0xb8), /* RFC 3849 */
	V6(20, "documentation", 0x3f, 0xff), /* RFC 9637 */
	V6(7, "private", 0xfc), /* RFC 4193; fd00:ec2::254 is Amazon's metadata service */
	V6(10, "link-local", 0xfe, 0x80), /* RFC 4291 §2.5.6 */
	V6(10, "site-local", 0xfe, 0xc0), /* RFC 3879 */
	V6(8, "multicast", 0xff), /* RFC 4291 §2.7 */
};

static const struct ip_range global_unicast = {AF_INET6, 3, {0x20}};

/* IPv6 addresses that carry an IPv4 address: `at` is where it begins. */
static const struct carrier {
	struct ip_range range;
	unsigned at;
	bool inverted; /* each bit of it is flipped */
} carriers[] = {
	{{AF_INET6, 96, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}}, 12, false}, /* mapped, RFC 4291 §2.5.5.2 */
	{{AF_INET6, 96, {0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}}, 12, false}, /* translated, RFC 2765 §2.1 */
	{{AF_INET6, 96, {0x00, 0x64, 0xff, 0x9b}}, 12, false}, /* NAT64, RFC 6052 §2.1 */
	{{AF_INET6, 16, {0x20, 0x02}}, 2, false}, /* 6to4, RFC 3056 §2 */
	{{AF_INET6, 32, {0x20, 0x01, 0x00, 0x00}}, 12, true}, /* Teredo, RFC 4380 §4 */
	{{AF_INET6, 96, {0}}, 12, false}, /* compatible, RFC 4291 §2.5.5.1; `::` and `::1` with them */
};

static bool allowed(const struct target_policy *policy, int family, const uint8_t *addr)
{
	for (size_t i = 0; i < policy->allow_n; i++) {
		if (ip_range_has(&policy->allow[i], family, addr))
			return true;
	}
	return false;
}

static int check_plain(int family, const uint8_t *addr, const struct target_policy *policy, struct err *e)
{
	if (allowed(policy, family, addr))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (ip_range_has(&kinds[i].range, family, addr))
			return err_set(e, ERR_BLOCKED, "the host has a %s address", kinds[i].name);
	}
	if (family == AF_INET6 && !ip_range_has(&global_unicast, family, addr))
		return err_set(e, ERR_BLOCKED, "the host has a reserved address");
	return 0;
}

/* The gateway that would unpack the inner address stands who knows where, so the form has to be allowed as well as what it carries. */
static int check_carrier(const struct carrier *c, const uint8_t *addr, const struct target_policy *policy, struct err *e)
{
	uint8_t inner[4];

	if (!allowed(policy, AF_INET6, addr))
		return err_set(e, ERR_BLOCKED, "the host has an IPv6 address that carries an IPv4 address");
	memcpy(inner, addr + c->at, sizeof(inner));
	for (size_t i = 0; c->inverted && i < sizeof(inner); i++)
		inner[i] = (uint8_t)~inner[i];
	return check_plain(AF_INET, inner, policy, e);
}

static int check_v6(const uint8_t *addr, const struct target_policy *policy, struct err *e)
{
	static const uint8_t small[15]; /* `::` and `::1` look as if they carried 0.0.0.0 and 0.0.0.1 */

	if (memcmp(addr, small, sizeof(small)) == 0 && addr[15] <= 1)
		return check_plain(AF_INET6, addr, policy, e);
	for (size_t i = 0; i < ARRAY_LEN(carriers); i++) {
		if (ip_range_has(&carriers[i].range, AF_INET6, addr))
			return check_carrier(&carriers[i], addr, policy, e);
	}
	return check_plain(AF_INET6, addr, policy, e);
}

int target_check_address(const struct sockaddr *addr, const struct target_policy *policy, struct err *e)
{
	if (addr->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)addr;

		return check_plain(AF_INET, (const uint8_t *)&in->sin_addr, policy, e);
	}
	if (addr->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)addr;

		return check_v6(in6->sin6_addr.s6_addr, policy, e);
	}
	return err_set(e, ERR_BLOCKED, "the host has an address that is not of the internet");
}
