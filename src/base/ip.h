/* Addresses of the Internet Protocol and ranges of them. Nothing here resolves names, allocates or keeps state. */
#ifndef FILEMILL_BASE_IP_H
#define FILEMILL_BASE_IP_H

#include "base/err.h"
#include "base/str.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An address range such as 10.0.0.0/8. */
struct ip_range {
	int family; /* AF_INET or AF_INET6 */
	unsigned bits; /* length of the prefix, 0..32 or 0..128 */
	uint8_t addr[16]; /* network byte order; the first 4 bytes for AF_INET */
};

/* Reads "10.0.0.0/8", "fd00::/8", or one address. ERR_BAD_CONFIG when malformed or with bits set behind the prefix. */
[[nodiscard]] int ip_range_parse(struct ip_range *ret, struct str text, struct err *e);
/* addr: 4 bytes for AF_INET, 16 for AF_INET6. An IPv4-mapped address is one of AF_INET6 here. */
bool ip_range_has(const struct ip_range *r, int family, const uint8_t *addr);

/* One type for both: IPv4 addresses are mapped (RFC 4291 §2.5.5.2). */
bool ip_parse(struct in6_addr *ret, struct str text); /* as a literal, without brackets, zone or port; false when it is none */
void ip_format(char dst[INET6_ADDRSTRLEN], const struct in6_addr *a); /* a mapped one as IPv4 */
/* Is it in one of the ranges? A mapped address is looked for among those of IPv4. */
bool ip_in(const struct ip_range *ranges, size_t n, const struct in6_addr *a);

#endif
