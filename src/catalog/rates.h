/* The part of the catalogue that counts for all nodes how often somebody did something; catalog.h includes it. The clock is the catalogue's own. */
#ifndef FILEMILL_CATALOG_RATES_H
#define FILEMILL_CATALOG_RATES_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct catalog;

#define RATE_KEY 17 /* bytes: of which limit, and whose */
#define RATES_MAX 4096 /* in one call */

/* A bucket of rt/limiter.h. */
struct shared_rate {
	uint8_t key[RATE_KEY]; /* in */
	int64_t taken_ns; /* in: what this node let through since it told the last time */
	int64_t debt_ns; /* out: with that, for all nodes together, the bucket is empty so long from now; at least 0 */
};
/* Adds what this node let through and tells what all did. Of a catalogue that is shared; different keys, in any order. What is told may count twice when the connection is lost meanwhile, and
 * nothing is told for certain after an error. Any thread; it waits for the catalogue. */
[[nodiscard]] int catalog_share_rates(struct catalog *c, struct shared_rate *rates, size_t n, struct err *e);

#endif
