/* Whether anybody has an account, where the catalogue is not local. As long as nobody has, whatever shows no credentials makes it ask; what came before somebody else's look began has that one's answer,
 * which is what it would have been told itself. Nothing is kept for what comes later. */
#ifndef FILEMILL_FRONT_NOBODY_H
#define FILEMILL_FRONT_NOBODY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Times are those of http_now_us(). */
struct nobody {
	pthread_mutex_t lock;
	pthread_cond_t told; /* a look is over */
	uint64_t newest; /* look, by its number */
	int64_t newest_us; /* when it began */
	bool newest_runs;
	int64_t none_us, failed_us; /* when the newest look began that found no account, and that found nothing out */
};

void nobody_init(struct nobody *n);
void nobody_release(struct nobody *n);

/* How many accounts there are, as catalog_account_count() says it, by a look that began after came_us. May wait, for one look's time. */
uint64_t nobody_count(struct nobody *n, int64_t came_us, uint64_t (*look)(void *arg), void *arg);

#endif
