#include "engine/engine_impl.h"
#include "rt/metrics.h"

#include <string.h>

#define TELL_MS 1000
#define AT_ONCE 512 /* buckets; at most RATES_MAX */

_Static_assert(AT_ONCE <= RATES_MAX && RATE_KEY == 1 + LIMITER_KEY, "a bucket's key is which limiter, and the limiter's key");

/* Tells of one limiter; *ret_more when there may be more to tell. What is not told after an error is not told at all: for that long this node's count is its own. */
static int tell(struct engine *g, size_t which, bool *ret_more, struct err *e)
{
	struct limiter *l = g->limiters.list[which];
	struct limiter_news news[AT_ONCE];
	struct shared_rate rates[AT_ONCE];
	size_t n = limiter_untold(l, news, AT_ONCE);

	*ret_more = n == AT_ONCE;
	for (size_t i = 0; i < n; i++) {
		rates[i] = (struct shared_rate){.key = {(uint8_t)which}, .taken_ns = news[i].taken_ns};
		memcpy(rates[i].key + 1, news[i].key, LIMITER_KEY);
	}
	int rc = n == 0 ? 0 : catalog_share_rates(g->catalog, rates, n, e);
	for (size_t i = 0; rc == 0 && i < n; i++)
		limiter_learn(l, news[i].key, rates[i].debt_ns, engine_mono(g) * 1000);
	return rc;
}

static void *limiters_run(void *arg)
{
	struct engine *g = arg;
	bool failing = false;

	while (sleeper_wait(&g->limiters.sleeper, TELL_MS)) {
		struct err e = ERR_INIT;
		int rc = 0;
		for (size_t i = 0; rc == 0 && i < g->limiters.n; i++)
			for (bool more = true; rc == 0 && more;)
				rc = tell(g, i, &more, &e);
		if (rc != 0 && !failing)
			log_err(LOG_WARN, "rates_not_shared", &e);
		failing = rc != 0;
		metric_set(METRIC_RATES_ALONE, failing);
	}
	return NULL;
}

int engine_share_limiters(struct engine *g, struct limiter *const limiters[], size_t n, struct err *e)
{
	struct limiters *m = &g->limiters;

	if (!catalog_shared(g->catalog))
		return 0;
	for (size_t i = 0; i < n && i < ENGINE_LIMITERS_MAX; i++)
		m->list[m->n++] = limiters[i];
	return sleeper_start(&m->sleeper, "rates", limiters_run, g, e);
}

void limiters_stop(struct engine *g)
{
	sleeper_stop(&g->limiters.sleeper);
}
