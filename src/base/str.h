/* Borrowed byte strings and the small conversions every floor needs. Nothing here allocates. */
#ifndef FILEMILL_BASE_STR_H
#define FILEMILL_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes owned by somebody else; not NUL-terminated. */
struct str {
	const char *p;
	size_t len; /* bytes */
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
#define STR_FMT(s) (int)(s).len, (s).p /* for printf's %.*s */

struct str str_of(const char *nul_terminated); /* NULL gives the empty string */
bool str_eq(struct str a, struct str b);
bool str_eq_nocase(struct str a, struct str b); /* ASCII only */
bool str_starts(struct str s, struct str prefix);
struct str str_trim(struct str s); /* spaces and tabs (RFC 9110 OWS) at both ends */

/* Splits at the first `sep`: returns what stands before, *rest is what follows (p NULL when there was none). */
struct str str_split(struct str s, char sep, struct str *rest);

/* Whole-string decimal of digits only, no sign, no blanks. False on anything else or on overflow; *ret is then untouched. */
bool str_to_u64(struct str s, uint64_t *ret);

/* FNV-1a of 64 bits, going on from h: STR_HASH, or what another text came to. Whoever chooses the texts can choose collisions. */
#define STR_HASH UINT64_C(0xcbf29ce484222325)
uint64_t str_hash(uint64_t h, struct str s);

/* Equal in a time that depends on the lengths only. */
bool str_eq_const_time(struct str a, struct str b);

/* Valid UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF. */
bool utf8_valid(struct str s);

/* Number of bytes of the longest prefix of s that is at most max bytes and does not cut a character. */
size_t utf8_prefix(struct str s, size_t max);

/* Lower-case hex; dst holds 2*n+1 bytes, NUL-terminated. */
void hex_encode(char *dst, const void *src, size_t n);
/* Exactly n bytes from 2*n hex digits of either case; false otherwise. */
bool hex_decode(void *dst, size_t n, struct str hex);

/* RFC 4648 base64 with padding. Encoding: dst holds 4*((n+2)/3)+1 bytes, NUL-terminated; returns the length.
 * Decoding: strict (alphabet, padding, zero trailing bits); writes at most dst_size bytes and returns how many, or -1. */
size_t base64_encode(char *dst, const void *src, size_t n);
long base64_decode(void *dst, size_t dst_size, struct str s);

/* Percent-decodes (RFC 3986) into dst (at least s.len bytes); '+' stays. Returns the length or -1 for a broken escape. */
long pct_decode(char *dst, struct str s);

/* Checked sums for numbers that came from outside; false on overflow. */
bool u64_add(uint64_t a, uint64_t b, uint64_t *ret);
bool u64_mul(uint64_t a, uint64_t b, uint64_t *ret);

/* Of n names the one nearest to `word` by edit distance, or NULL when none is near enough (distance > len/2, > 3). */
const char *nearest_name(struct str word, const char *const *names, size_t n);

#endif
