/* Text forms of bytes: hex, base64 (RFC 4648), percent-encoding (RFC 3986). */
#include "base/compiler.h"
#include "base/str.h"

static const char hex_digits[] = "0123456789abcdef";

void hex_encode(char *dst, const void *src, size_t n)
{
	const uint8_t *p = src;

	for (size_t i = 0; i < n; i++) {
		*dst++ = hex_digits[p[i] >> 4];
		*dst++ = hex_digits[p[i] & 15];
	}
	*dst = '\0';
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool hex_decode(void *dst, size_t n, struct str hex)
{
	uint8_t *out = dst;

	if (hex.len % 2 != 0 || hex.len / 2 != n)
		return false;
	for (size_t i = 0; i < n; i++) {
		int high = hex_value(hex.p[2 * i]), low = hex_value(hex.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_encode(char *dst, const void *src, size_t n)
{
	const uint8_t *p = src;
	char *out = dst;

	for (size_t i = 0; i < n; i += 3) {
		size_t have = n - i < 3 ? n - i : 3;
		uint32_t bits = (uint32_t)p[i] << 16;

		if (have > 1)
			bits |= (uint32_t)p[i + 1] << 8;
		if (have > 2)
			bits |= p[i + 2];
		*out++ = base64_digits[bits >> 18];
		*out++ = base64_digits[bits >> 12 & 63];
		*out++ = have > 1 ? base64_digits[bits >> 6 & 63] : '=';
		*out++ = have > 2 ? base64_digits[bits & 63] : '=';
	}
	*out = '\0';
	return (size_t)(out - dst);
}

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

/* One group of four characters, of which the last `pad` are '='; up to three bytes, or false. */
static bool base64_group(uint8_t out[3], const char *p, size_t pad)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < 4; i++) {
		int v = i < 4 - pad ? base64_value(p[i]) : 0;

		if (v < 0)
			return false;
		bits = bits << 6 | (uint32_t)v;
	}
	out[0] = (uint8_t)(bits >> 16);
	out[1] = (uint8_t)(bits >> 8);
	out[2] = (uint8_t)bits;
	/* RFC 4648 §3.5: bits that encode nothing must be zero, or two texts would mean the same bytes. */
	return (pad < 1 || out[2] == 0) && (pad < 2 || out[1] == 0);
}

long base64_decode(void *dst, size_t dst_size, struct str s)
{
	uint8_t *out = dst, group[3];
	size_t done = 0;

	if (s.len % 4 != 0)
		return -1;
	for (size_t at = 0; at < s.len; at += 4) {
		size_t pad = 0, n;

		if (at + 4 == s.len && s.p[at + 3] == '=')
			pad = s.p[at + 2] == '=' ? 2 : 1;
		n = 3 - pad;
		if (!base64_group(group, s.p + at, pad) || n > dst_size - done)
			return -1;
		for (size_t i = 0; i < n; i++)
			out[done++] = group[i];
	}
	return (long)done;
}

long pct_decode(char *dst, struct str s)
{
	size_t done = 0;

	for (size_t i = 0; i < s.len; i++) {
		int high, low;

		if (s.p[i] != '%') {
			dst[done++] = s.p[i];
			continue;
		}
		if (s.len - i < 3)
			return -1;
		high = hex_value(s.p[i + 1]);
		low = hex_value(s.p[i + 2]);
		if (high < 0 || low < 0)
			return -1;
		dst[done++] = (char)(high << 4 | low);
		i += 2;
	}
	return (long)done;
}
