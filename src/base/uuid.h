/* UUID version 7 (RFC 9562 §5.7): 48 bits of milliseconds, then a counter and random bits, so ids made by
 * one generator sort in the order they were made, even when the clock steps back. */
#ifndef FILEMILL_BASE_UUID_H
#define FILEMILL_BASE_UUID_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct uuid {
	uint8_t b[16];
};

#define UUID_TEXT_LEN 36

/* Any thread; lock-free. unix_ms from the caller's clock, random from the caller's generator. */
struct uuid_gen {
	_Atomic uint64_t last; /* milliseconds << 12 | counter of the newest id */
};

struct uuid uuid_next(struct uuid_gen *g, int64_t unix_ms, uint64_t random);

/* 36 characters, lower case, and a NUL. */
void uuid_format(char dst[UUID_TEXT_LEN + 1], struct uuid u);
/* Exactly 8-4-4-4-12 lower-case hex digits of any UUID version; false otherwise (upper case too: ids have one spelling). */
bool uuid_parse(struct uuid *ret, struct str s);
bool uuid_eq(struct uuid a, struct uuid b);
bool uuid_is_zero(struct uuid u);
/* The time in a UUIDv7: Unix milliseconds. */
static inline int64_t uuid_ms(struct uuid u)
{
	int64_t ms = 0;

	for (int i = 0; i < 6; i++)
		ms = ms << 8 | u.b[i];
	return ms;
}

#endif
