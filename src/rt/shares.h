/* How many of something each holds at the moment, such as uploads under way. What is kept is as much as is held: who holds nothing has no place. Any thread may call. */
#ifndef FILEMILL_RT_SHARES_H
#define FILEMILL_RT_SHARES_H

#include "base/err.h"

#include <stdint.h>

#define SHARES_KEY 16 /* bytes: an id, an address */

struct shares;

/* seed: of the hash, unpredictable. */
[[nodiscard]] int shares_new(struct shares **ret, const uint8_t seed[16], struct err *e);
void shares_free(struct shares *s); /* NULL is fine */
/* One more for this key, unless it holds `most` already: ERR_RATE_LIMITED, with the limit. ERR_NO_MEMORY. */
[[nodiscard]] int shares_take(struct shares *s, const uint8_t key[SHARES_KEY], uint32_t most, struct err *e);
/* One that was taken goes back. */
void shares_give(struct shares *s, const uint8_t key[SHARES_KEY]);

#endif
