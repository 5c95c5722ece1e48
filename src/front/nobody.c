#include "front/nobody.h"
#include "base/patience.h"
#include "catalog/catalog.h"
#include "http/http.h"

void nobody_init(struct nobody *n)
{
	*n = (struct nobody){};
	pthread_mutex_init(&n->lock, NULL);
	pthread_cond_init(&n->told, NULL);
}

void nobody_release(struct nobody *n)
{
	pthread_cond_destroy(&n->told);
	pthread_mutex_destroy(&n->lock);
}

/* With the lock held. */
static bool was_told(const struct nobody *n, int64_t came_us, uint64_t *ret)
{
	if (came_us < n->none_us)
		*ret = 0;
	else if (came_us < n->failed_us)
		*ret = ACCOUNTS_UNKNOWN;
	return came_us < n->none_us || came_us < n->failed_us;
}

static uint64_t begin(struct nobody *n, int64_t *ret_began_us)
{
	*ret_began_us = n->newest_us = http_now_us();
	n->newest_runs = true;
	return ++n->newest;
}

static void end(struct nobody *n, uint64_t look, int64_t began_us, uint64_t count)
{
	if (count == 0 && began_us > n->none_us)
		n->none_us = began_us;
	if (count == ACCOUNTS_UNKNOWN && began_us > n->failed_us)
		n->failed_us = began_us;
	if (look == n->newest)
		n->newest_runs = false;
	pthread_cond_broadcast(&n->told);
}

uint64_t nobody_count(struct nobody *n, int64_t came_us, uint64_t (*look)(void *arg), void *arg)
{
	uint64_t count = 0, number = 0;
	int64_t began_us = 0;

	thread_waits();
	pthread_mutex_lock(&n->lock);
	/* Not for one that began before: what it finds may be older than the request. */
	while (!was_told(n, came_us, &count) && n->newest_runs && came_us < n->newest_us)
		pthread_cond_wait(&n->told, &n->lock);
	const bool told = was_told(n, came_us, &count);
	if (!told)
		number = begin(n, &began_us);
	pthread_mutex_unlock(&n->lock);
	if (told)
		return count;
	count = look(arg);
	pthread_mutex_lock(&n->lock);
	end(n, number, began_us, count);
	pthread_mutex_unlock(&n->lock);
	return count;
}
