/* Header fields with a grammar: ranges, entity tags, digests, preferences, whom proxies name, cookies, origins. Pure functions. */
#ifndef FILEMILL_HTTP_FIELDS_H
#define FILEMILL_HTTP_FIELDS_H

#include "base/err.h"
#include "base/ip.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum range_result { RANGE_WHOLE, RANGE_PART, RANGE_UNSATISFIABLE };

/* `Range` (RFC 9110 §14.2) for a representation of `size` bytes. One range gives PART; none, other units, malformed or several ranges WHOLE (the header is then ignored,
 * as the RFC allows); an unsatisfiable one UNSATISFIABLE. */
enum range_result range_parse(struct str header, uint64_t size, uint64_t *ret_first, uint64_t *ret_length);

/* Does the entity tag (without quotes) occur in an If-Match / If-None-Match list (RFC 9110 §13.1)? `*` matches. Weak tags match only when weak_ok. A malformed list does not match. */
bool etag_list_has(struct str header, struct str etag, bool weak_ok);
/* If-Range (§13.1.5): true when the range is to be honoured. A date never matches: our validators are strong entity tags. */
bool if_range_holds(struct str header, struct str etag);

/* What Content-Digest / Repr-Digest (RFC 9530) or Content-MD5 (RFC 1864) demand. */
struct digest_want {
	bool md5, sha256, sha512;
	uint8_t md5_value[16], sha256_value[32], sha512_value[64];
};
/* Adds to *w. Structured-field dictionary of byte sequences. ERR_UNSUPPORTED_DIGEST when no algorithm in the field is one of ours; ERR_BAD_HEADER for syntax or a wrong length;
 * ERR_DIGEST_MISMATCH when two fields contradict. */
[[nodiscard]] int digest_want_parse(struct digest_want *w, struct str header, struct err *e);
[[nodiscard]] int digest_want_md5(struct digest_want *w, struct str header, struct err *e);

/* The `wait` preference of RFC 7240 in seconds; -1 when there is none or it is no whole number (preferences may be ignored). */
int prefer_wait_s(struct str header);

/* For whom a request was sent on, by what each proxy on the way added at the end. A hop that says no address (unknown, _name, nothing) is the address ::. */
#define FORWARDED_MAX 32 /* those added last; who stands before them is not looked at */
struct forwarded {
	unsigned n;
	struct in6_addr hops[FORWARDED_MAX]; /* the one added last first; IPv4 mapped */
};
/* `Forwarded` (RFC 7239), its parameter `for`; and X-Forwarded-For, a list of addresses, as some write it with ports. False when malformed. */
[[nodiscard]] bool forwarded_parse(struct forwarded *ret, struct str header);
[[nodiscard]] bool x_forwarded_for_parse(struct forwarded *ret, struct str header);

/* The value of a cookie in `Cookie` (RFC 6265 §4.2), trimmed; p NULL when there is none. False: there are two of the name, and nobody can tell which one is meant. */
[[nodiscard]] bool cookie_find(struct str *ret, struct str header, struct str name);

/* Whether a page of this very origin sent the request, by Sec-Fetch-Site, Origin and Host (WHATWG Fetch §3.2, §2.2.1), each with p NULL where it is absent: what names neither of the first two is no
 * browser that would send cookies across sites. The scheme is not compared: whether a proxy in front speaks TLS is not known here. */
bool origin_is_own(struct str site, struct str origin, struct str host);
/* The one of the origins of a configuration, compared byte by byte, or its "*", that allows this one; NULL: none. */
const char *origin_allowed(struct str origin, const char *const *allowed, size_t n);
/* Whether it is an origin as browsers write them, scheme://host or scheme://host:port in small letters: what they would never write would never match. */
bool origin_written(struct str s);

/* Media type without parameters, lower-cased comparison. */
bool media_type_is(struct str content_type, const char *type);

#endif
