#include "base/utf8.h"

#include "base/str.h"

#include <stdint.h>
#include <string.h>

static bool is_tail(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

/* The table of RFC 3629 §4: the lead byte narrows what the second may be, which excludes
 * overlong forms (E0, F0), surrogates (ED) and what lies above U+10FFFF (F4). */
size_t utf8_step(const unsigned char *p, const unsigned char *end)
{
	size_t left = (size_t)(end - p);
	unsigned char low = 0x80, high = 0xbf;
	size_t n;

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		return left >= 2 && is_tail(p[1]) ? 2 : 0;
	if (p[0] < 0xe0 || p[0] > 0xf4)
		return 0;
	n = p[0] < 0xf0 ? 3 : 4;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (left < n || p[1] < low || p[1] > high || !is_tail(p[2]))
		return 0;
	return n == 3 || is_tail(p[3]) ? n : 0;
}

static bool eight_ascii(const unsigned char *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return (word & 0x8080808080808080u) == 0;
}

bool utf8_valid(struct str s)
{
	const unsigned char *p = (const unsigned char *)s.p, *end = p + s.len;

	while (p < end) {
		size_t n;

		if (end - p >= 8 && eight_ascii(p)) {
			p += 8;
			continue;
		}
		n = utf8_step(p, end);
		if (n == 0)
			return false;
		p += n;
	}
	return true;
}

size_t utf8_prefix(struct str s, size_t max)
{
	size_t n = max;

	if (s.len <= max)
		return s.len;
	/* A character has at most three tail bytes; more in a row are no UTF-8, and any cut is as good as another. */
	for (int back = 0; back < 4; back++, n--) {
		if (!is_tail((unsigned char)s.p[n]))
			return n;
		if (n == 0)
			break;
	}
	return max;
}
