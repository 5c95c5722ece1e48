/* How often somebody may do something: the generic cell rate algorithm (GCRA, ITU-T I.371 annex A), one bucket a key.
 *
 * A bucket is one number, the time at which it would be empty again ("theoretical arrival time"). Each thing that is let through moves it on by window / quota; what would move it
 * further than the whole quota from now is refused and changes nothing. So a burst of `quota` is let through at once, and in the long run `quota` a window, exactly, whatever the threads.
 *
 * Memory is bounded: the table has a fixed number of places, in sets of LIMITER_WAYS that a keyed hash chooses. In a set that is full the bucket that is nearest to empty is forgotten,
 * so that strangers who bring many keys forgive nobody who is at his limit: he would be the last to be forgotten. Any thread may call; a set is locked for an instant. */
#ifndef FILEMILL_RT_LIMITER_H
#define FILEMILL_RT_LIMITER_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LIMITER_KEY 16 /* bytes: an id, an address */
#define LIMITER_WAYS 8
#define LIMITER_QUOTA_MAX 1000000000

struct limiter_rate {
	uint32_t quota; /* 0 = no limit */
	int64_t window_ms; /* at least 1 */
};

struct limiter_verdict {
	bool over; /* refused */
	uint32_t left; /* so many would be let through now */
	int64_t again_ms; /* over: when one would be, at least 1 */
	int64_t whole_ms; /* when all of the quota is there again */
};

struct limiter;

/* places: rounded up to a power of two. seed: of the hash, unpredictable. */
[[nodiscard]] int limiter_new(struct limiter **ret, struct limiter_rate rate, size_t places, const uint8_t seed[16], struct err *e);
void limiter_free(struct limiter *l); /* NULL is fine */
struct limiter_rate limiter_rate(const struct limiter *l);
/* One thing more for this key, at a time of a clock that does not go back. */
struct limiter_verdict limiter_take(struct limiter *l, const uint8_t key[LIMITER_KEY], int64_t now_us);

/* ---- with others who let through for the same keys ---- */

/* What was let through for a key and nobody else knows of. */
struct limiter_news {
	uint8_t key[LIMITER_KEY];
	int64_t taken_ns; /* by how much it moved the bucket on */
};
/* Writes at most `max` and returns how many; what was written is not told again. A bucket that is forgotten takes along what it had not told. */
size_t limiter_untold(struct limiter *l, struct limiter_news *to, size_t max);
/* For all who let through together, this key's bucket is empty `debt_ns` from now, all that was told before included. Makes it no emptier than is known here. */
void limiter_learn(struct limiter *l, const uint8_t key[LIMITER_KEY], int64_t debt_ns, int64_t now_us);

#endif
