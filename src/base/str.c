#include "base/str.h"

#include <string.h>

struct str str_of(const char *nul_terminated)
{
	if (!nul_terminated)
		return STR("");
	return (struct str){nul_terminated, strlen(nul_terminated)};
}

bool str_eq(struct str a, struct str b)
{
	/* memcmp() must not see NULL, not even for no bytes at all. */
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static unsigned char ascii_lower(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : c;
}

bool str_eq_nocase(struct str a, struct str b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++) {
		if (ascii_lower((unsigned char)a.p[i]) != ascii_lower((unsigned char)b.p[i]))
			return false;
	}
	return true;
}

uint64_t str_hash(uint64_t h, struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		h = (h ^ (uint8_t)s.p[i]) * 0x100000001b3u;
	return h;
}

bool str_starts(struct str s, struct str prefix)
{
	return s.len >= prefix.len && str_eq((struct str){s.p, prefix.len}, prefix);
}

static bool is_ows(char c)
{
	return c == ' ' || c == '\t';
}

struct str str_trim(struct str s)
{
	while (s.len > 0 && is_ows(s.p[0])) {
		s.p++;
		s.len--;
	}
	while (s.len > 0 && is_ows(s.p[s.len - 1]))
		s.len--;
	return s;
}

struct str str_split(struct str s, char sep, struct str *rest)
{
	const char *at = s.len > 0 ? memchr(s.p, sep, s.len) : NULL;
	struct str head = s;

	if (!at) {
		*rest = (struct str){};
		return head;
	}
	head.len = (size_t)(at - s.p);
	*rest = (struct str){at + 1, s.len - head.len - 1};
	return head;
}

bool str_to_u64(struct str s, uint64_t *ret)
{
	uint64_t v = 0;

	if (s.len == 0)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		unsigned digit = (unsigned)(unsigned char)s.p[i] - '0';

		if (digit > 9 || !u64_mul(v, 10, &v) || !u64_add(v, digit, &v))
			return false;
	}
	*ret = v;
	return true;
}

bool str_eq_const_time(struct str a, struct str b)
{
	/* volatile: the compiler must not leave the loop at the first difference. */
	volatile unsigned char diff = 0;

	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		diff = (unsigned char)(diff | ((unsigned char)a.p[i] ^ (unsigned char)b.p[i]));
	return diff == 0;
}

bool u64_add(uint64_t a, uint64_t b, uint64_t *ret)
{
	uint64_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return false;
	*ret = sum;
	return true;
}

bool u64_mul(uint64_t a, uint64_t b, uint64_t *ret)
{
	uint64_t product;

	if (__builtin_mul_overflow(a, b, &product))
		return false;
	*ret = product;
	return true;
}

#define NAME_MAX_COMPARED 64
#define NAME_DISTANCE_MAX 3

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;

	return m < c ? m : c;
}

/* Levenshtein distance with one row of the table; both at most NAME_MAX_COMPARED bytes. */
static size_t edit_distance(struct str a, struct str b)
{
	size_t row[NAME_MAX_COMPARED + 1];

	for (size_t j = 0; j <= b.len; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.len; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b.len; j++) {
			size_t above = row[j];

			row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a.p[i - 1] != b.p[j - 1]));
			diagonal = above;
		}
	}
	return row[b.len];
}

const char *nearest_name(struct str word, const char *const *names, size_t n)
{
	size_t best_distance = word.len / 2 < NAME_DISTANCE_MAX ? word.len / 2 : NAME_DISTANCE_MAX;
	const char *best = NULL;

	if (word.len > NAME_MAX_COMPARED)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		struct str name = str_of(names[i]);
		size_t distance;

		if (name.len > NAME_MAX_COMPARED)
			continue;
		distance = edit_distance(word, name);
		if (distance < best_distance || (distance == best_distance && !best)) {
			best = names[i];
			best_distance = distance;
		}
	}
	return best;
}
