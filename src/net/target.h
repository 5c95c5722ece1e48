/* Where outgoing requests may go.
 *
 * Two decisions, in this order. The URL is read by one strict reader, and what it does not like is refused at once: that is for people, who learn
 * early what will never work. The address is judged when it is known, of whatever notation or name it came, and nothing is
 * connected to that was not judged: that is what holds against an attacker.
 *
 * Nothing here resolves names, allocates or keeps state; any thread may call it. */
#ifndef FILEMILL_NET_TARGET_H
#define FILEMILL_NET_TARGET_H

#include "base/err.h"
#include "base/ip.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define TARGET_URL_MAX 2048 /* bytes of a URL */
#define TARGET_HOST_MAX 253 /* bytes of a name (RFC 1035 §2.3.4, as text without the root's dot) */
#define TARGET_RANGES_MAX 64 /* ranges in an allow-list */

/* What the administrator decided. Plain data; a zeroed one is the strictest. */
struct target_policy {
	bool http; /* http:// is allowed beside https:// */
	size_t allow_n;
	struct ip_range allow[TARGET_RANGES_MAX]; /* allowed although they would be refused */
};

/* A URL that was read. */
struct target {
	bool tls; /* https */
	int literal; /* AF_INET or AF_INET6 when the host is an address, 0 when it is a name */
	uint16_t port; /* the scheme's own when the URL names none */
	char host[TARGET_HOST_MAX + 1]; /* lower case; an IPv6 address without brackets */
	struct str rest; /* path and query; empty, or begins with '/' or '?'; borrowed from the URL */
};

/* Reads a URL of RFC 3986's form scheme://host[:port][/path][?query] and refuses with ERR_URL_NOT_ALLOWED whatever two readers might understand
 * differently: user information, fragments, bytes outside printable ASCII, backslashes, escapes in the host, a trailing dot, IPv4 in any form but four
 * decimal numbers, zone ids; further: schemes but https (and http where the policy allows it), ports that are neither 80, 443 nor 1024 and up,
 * ports of the Fetch standard's list of bad ones, `localhost`, and literal addresses that target_check_address() refuses. */
[[nodiscard]] int target_parse(struct target *ret, struct str url, const struct target_policy *policy, struct err *e);

/* 0 when requests may go to this address (AF_INET or AF_INET6; the port is not looked at), else ERR_BLOCKED. Only global unicast addresses pass, and
 * what the policy allows. Of addresses that carry an IPv4 address inside (mapped, compatible, 6to4, Teredo, NAT64) none passes unless the policy allows
 * it and the inner one passes too. The detail names the kind of address, not the address: who asks need not learn where an internal name leads. */
[[nodiscard]] int target_check_address(const struct sockaddr *addr, const struct target_policy *policy, struct err *e);

#endif
