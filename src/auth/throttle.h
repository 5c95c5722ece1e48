/* How often passwords may be guessed. Every try counts before it is checked, so that tries at once are not more than tries one after the other; one that turns out right, or could
 * not be checked, is given back.
 *
 *	what is counted                at once   then one in
 *	one account from one address        10      90 s
 *	an address, all accounts           100      36 s
 *	an account, all addresses          100      36 s
 *
 * The nearer to its end a count is, the later a wrong try is to be answered: at once as long as there are few, after a second when the last is used up, and from then on. Known and unknown
 * accounts do not differ in that.
 *
 * An address from which the account's owner came in of late does not count towards the account's sum: strangers who guess cannot keep him out. Nobody is locked out for good. An IPv6
 * address counts by its first 64 bits, which is what one customer gets. What is remembered has a fixed size; when there is no room, whoever tried least is forgotten first.
 *
 * The rule is GCRA: a cell holds the time at which its tries will have been paid off. Any thread. */
#ifndef FILEMILL_AUTH_THROTTLE_H
#define FILEMILL_AUTH_THROTTLE_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct throttle;

#define THROTTLE_LATE_MS 1000 /* how long the answer to a try is to wait that was refused */

enum throttle_count { THROTTLE_PAIR, THROTTLE_ADDRESS, THROTTLE_ACCOUNT, THROTTLE_COUNTS };

/* One try, to be settled by throttle_right() or throttle_back(), or left as it is when the password was wrong. */
struct throttle_try {
	uint64_t keys[THROTTLE_COUNTS];
	bool known; /* the account's owner came in from this address of late */
	bool counted[THROTTLE_COUNTS];
	int64_t late_ms; /* how long the answer is to wait when it was wrong: 0 to THROTTLE_LATE_MS */
};

/* ERR_NO_MEMORY */
[[nodiscard]] int throttle_new(struct throttle **ret, struct err *e);
void throttle_free(struct throttle *t); /* NULL is fine */

/* account: as the catalogue spells it, whether or not there is one. now_ms: of a clock that does not go back. ERR_RATE_LIMITED with the time to come again; nothing is counted then. */
[[nodiscard]] int throttle_take(struct throttle *t, struct str account, struct str address, int64_t now_ms, struct throttle_try *ret,
				struct err *e);
/* It was the right password: the pair is forgiven all, and the address is known from now on. */
void throttle_right(struct throttle *t, const struct throttle_try *x, int64_t now_ms);
/* Both count as one address. */
bool throttle_same_address(struct str a, struct str b);
/* It was not checked. */
void throttle_back(struct throttle *t, const struct throttle_try *x);

#endif
