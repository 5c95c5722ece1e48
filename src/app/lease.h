/* The hold of a backup on the bytes of a catalogue that nodes share: a row that says so (catalog_hold()), and a thread that says again and again that it goes on. It outlives a restart of
 * PostgreSQL, and a backup that dies takes it along within half a minute. */
#ifndef FILEMILL_APP_LEASE_H
#define FILEMILL_APP_LEASE_H

#include "catalog/catalog.h"
#include "rt/env.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct lease {
	struct env *env; /* borrowed; its clocks, from any thread */
	struct catalog *catalog; /* borrowed; its reads only */
	struct uuid id;
	char holder[80];
	pthread_t thread;
	bool taken;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t changed; /* CLOCK_MONOTONIC */
	bool ending;
	int64_t said_ms; /* monotonic: before the last statement was sent that was answered */
	bool lapsed; /* for a while nobody could know of it */
};

/* Once this was answered, nothing that a later snapshot refers to is removed. ERR_CATALOG_UNAVAILABLE…. */
[[nodiscard]] int lease_take(struct lease *ret, struct env *env, struct catalog *c, struct err *e);
/* False: it was lost for a while, and bytes may have been removed meanwhile. */
bool lease_held(struct lease *l);
void lease_end(struct lease *l); /* one that was not taken is fine */

#endif
