#include "base/uuid.h"

#include <stdatomic.h>
#include <string.h>

#define COUNTER_BITS 12
#define MS_MAX ((INT64_C(1) << 48) - 1)

/* The newer of the clock and one above the last id. A full counter carries into the milliseconds,
 * so the order holds even for more than 4096 ids a millisecond. */
static uint64_t next_stamp(struct uuid_gen *g, int64_t unix_ms)
{
	uint64_t now, last, next;

	if (unix_ms < 0)
		unix_ms = 0;
	if (unix_ms > MS_MAX)
		unix_ms = MS_MAX;
	now = (uint64_t)unix_ms << COUNTER_BITS;
	last = atomic_load_explicit(&g->last, memory_order_relaxed);
	do {
		next = now > last ? now : last + 1;
	} while (!atomic_compare_exchange_weak_explicit(&g->last, &last, next, memory_order_relaxed, memory_order_relaxed));
	return next;
}

struct uuid uuid_next(struct uuid_gen *g, int64_t unix_ms, uint64_t random)
{
	uint64_t stamp = next_stamp(g, unix_ms), ms = stamp >> COUNTER_BITS;
	struct uuid u;

	for (int i = 0; i < 6; i++)
		u.b[i] = (uint8_t)(ms >> (40 - 8 * i));
	u.b[6] = (uint8_t)(0x70 | (stamp >> 8 & 0x0f));
	u.b[7] = (uint8_t)stamp;
	for (int i = 0; i < 8; i++)
		u.b[8 + i] = (uint8_t)(random >> (56 - 8 * i));
	u.b[8] = (uint8_t)(0x80 | (u.b[8] & 0x3f));
	return u;
}

static bool dash_before(size_t byte)
{
	return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

void uuid_format(char dst[UUID_TEXT_LEN + 1], struct uuid u)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < sizeof(u.b); i++) {
		if (dash_before(i))
			*dst++ = '-';
		*dst++ = digits[u.b[i] >> 4];
		*dst++ = digits[u.b[i] & 15];
	}
	*dst = '\0';
}

static int lower_hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool uuid_parse(struct uuid *ret, struct str s)
{
	struct uuid u;
	const char *p = s.p;

	if (s.len != UUID_TEXT_LEN)
		return false;
	for (size_t i = 0; i < sizeof(u.b); i++, p += 2) {
		int high, low;

		if (dash_before(i) && *p++ != '-')
			return false;
		high = lower_hex_value(p[0]);
		low = lower_hex_value(p[1]);
		if (high < 0 || low < 0)
			return false;
		u.b[i] = (uint8_t)(high << 4 | low);
	}
	*ret = u;
	return true;
}

bool uuid_eq(struct uuid a, struct uuid b)
{
	return memcmp(a.b, b.b, sizeof(a.b)) == 0;
}

bool uuid_is_zero(struct uuid u)
{
	return uuid_eq(u, (struct uuid){});
}
