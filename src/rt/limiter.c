#include "rt/limiter.h"

#include "base/siphash.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define LOCKS 64 /* a power of two */

struct bucket {
	uint8_t key[LIMITER_KEY];
	int64_t empty_ns; /* when it is empty again; what lies before now is an empty one, whoever's it was */
	int64_t untold_ns; /* of that, what limiter_untold() has not given away */
};

struct limiter {
	struct limiter_rate rate;
	int64_t step_ns, most_ns; /* what one thing takes; what all of the quota takes */
	uint8_t seed[16];
	size_t sets; /* a power of two */
	pthread_mutex_t locks[LOCKS]; /* set n is under n % LOCKS */
	size_t untold[LOCKS]; /* so many of its buckets have something untold */
	struct bucket buckets[];
};

int limiter_new(struct limiter **ret, struct limiter_rate rate, size_t places, const uint8_t seed[16], struct err *e)
{
	size_t sets = 1;

	while (sets * LIMITER_WAYS < places)
		sets *= 2;
	/* zeroed pages that nobody touches cost nothing */
	struct limiter *l = calloc(1, sizeof(*l) + sets * LIMITER_WAYS * sizeof(struct bucket));
	if (l == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for a rate limit");
	l->rate = rate;
	l->step_ns = rate.quota == 0 ? 0 : rate.window_ms * 1000000 / rate.quota;
	if (l->step_ns < 1)
		l->step_ns = 1;
	l->most_ns = l->step_ns * rate.quota;
	l->sets = sets;
	memcpy(l->seed, seed, sizeof(l->seed));
	for (size_t i = 0; i < LOCKS; i++)
		pthread_mutex_init(&l->locks[i], NULL);
	*ret = l;
	return 0;
}

void limiter_free(struct limiter *l)
{
	if (l == NULL)
		return;
	for (size_t i = 0; i < LOCKS; i++)
		pthread_mutex_destroy(&l->locks[i]);
	free(l);
}

struct limiter_rate limiter_rate(const struct limiter *l)
{
	return l->rate;
}

/* The key's own, or the one of its set that is nearest to empty, made the key's. */
static struct bucket *find(struct limiter *l, size_t n, const uint8_t key[LIMITER_KEY], int64_t now_ns)
{
	struct bucket *set = &l->buckets[n * LIMITER_WAYS], *least = set;

	for (size_t i = 0; i < LIMITER_WAYS; i++) {
		if (memcmp(set[i].key, key, LIMITER_KEY) == 0)
			return &set[i];
		if (set[i].empty_ns < least->empty_ns)
			least = &set[i];
	}
	l->untold[n % LOCKS] -= least->untold_ns > 0;
	memcpy(least->key, key, LIMITER_KEY);
	least->empty_ns = now_ns;
	least->untold_ns = 0;
	return least;
}

static int64_t ms_up(int64_t ns)
{
	return (ns + 999999) / 1000000;
}

static size_t set_of(const struct limiter *l, const uint8_t key[LIMITER_KEY])
{
	return siphash24(l->seed, key, LIMITER_KEY) & (l->sets - 1);
}

struct limiter_verdict limiter_take(struct limiter *l, const uint8_t key[LIMITER_KEY], int64_t now_us)
{
	size_t set = set_of(l, key);
	int64_t now_ns = now_us * 1000;
	struct limiter_verdict v = {};

	if (l->rate.quota == 0)
		return v;
	pthread_mutex_lock(&l->locks[set % LOCKS]);
	struct bucket *b = find(l, set, key, now_ns);
	/* threads read the clock before they come here, so one may be a little behind another: nothing is refused for that, and nothing forgiven */
	int64_t empty_ns = b->empty_ns > now_ns ? b->empty_ns : now_ns;
	if (empty_ns + l->step_ns - now_ns > l->most_ns) {
		v.over = true;
	} else {
		b->empty_ns = empty_ns += l->step_ns;
		l->untold[set % LOCKS] += b->untold_ns == 0;
		b->untold_ns += l->step_ns;
	}
	pthread_mutex_unlock(&l->locks[set % LOCKS]);

	int64_t debt_ns = empty_ns - now_ns;
	v.left = debt_ns < l->most_ns ? (uint32_t)((l->most_ns - debt_ns) / l->step_ns) : 0;
	v.whole_ms = ms_up(debt_ns);
	if (v.over)
		v.again_ms = ms_up(debt_ns + l->step_ns - l->most_ns);
	return v;
}

/* Of the sets under one lock. */
static size_t untold_under(struct limiter *l, size_t lock, struct limiter_news *to, size_t max)
{
	size_t n = 0;

	pthread_mutex_lock(&l->locks[lock]);
	for (size_t set = lock; set < l->sets && l->untold[lock] > 0 && n < max; set += LOCKS)
		for (struct bucket *b = &l->buckets[set * LIMITER_WAYS], *end = b + LIMITER_WAYS; b < end && n < max; b++) {
			if (b->untold_ns == 0)
				continue;
			memcpy(to[n].key, b->key, LIMITER_KEY);
			to[n++].taken_ns = b->untold_ns;
			b->untold_ns = 0;
			l->untold[lock]--;
		}
	pthread_mutex_unlock(&l->locks[lock]);
	return n;
}

size_t limiter_untold(struct limiter *l, struct limiter_news *to, size_t max)
{
	size_t n = 0;

	for (size_t lock = 0; lock < LOCKS && n < max; lock++)
		n += untold_under(l, lock, to + n, max - n);
	return n;
}

void limiter_learn(struct limiter *l, const uint8_t key[LIMITER_KEY], int64_t debt_ns, int64_t now_us)
{
	size_t set = set_of(l, key);

	pthread_mutex_lock(&l->locks[set % LOCKS]);
	struct bucket *b = find(l, set, key, now_us * 1000);
	int64_t empty_ns = now_us * 1000 + debt_ns + b->untold_ns;
	if (b->empty_ns < empty_ns)
		b->empty_ns = empty_ns;
	pthread_mutex_unlock(&l->locks[set % LOCKS]);
}
