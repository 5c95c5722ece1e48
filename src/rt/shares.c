#include "rt/shares.h"

#include "base/siphash.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 1024 /* a power of two */

struct holder {
	struct holder *next; /* in its bucket */
	uint8_t key[SHARES_KEY];
	uint32_t n; /* never 0 */
};

struct shares {
	uint8_t seed[16];
	pthread_mutex_t lock;
	struct holder *buckets[BUCKETS]; /* under lock */
};

int shares_new(struct shares **ret, const uint8_t seed[16], struct err *e)
{
	struct shares *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for a limit");
	memcpy(s->seed, seed, sizeof(s->seed));
	pthread_mutex_init(&s->lock, NULL);
	*ret = s;
	return 0;
}

void shares_free(struct shares *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < BUCKETS; i++) {
		struct holder *h, *next;
		for (h = s->buckets[i]; h != NULL; h = next) {
			next = h->next;
			free(h);
		}
	}
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* Where the key's holder is, or where it would be put. */
static struct holder **find(struct shares *s, const uint8_t key[SHARES_KEY])
{
	struct holder **at = &s->buckets[siphash24(s->seed, key, SHARES_KEY) % BUCKETS];

	while (*at != NULL && memcmp((*at)->key, key, SHARES_KEY) != 0)
		at = &(*at)->next;
	return at;
}

static int take(struct shares *s, const uint8_t key[SHARES_KEY], uint32_t most)
{
	struct holder **at = find(s, key);

	if (most == 0 || (*at != NULL && (*at)->n >= most))
		return ERR_RATE_LIMITED;
	if (*at == NULL) {
		*at = calloc(1, sizeof(**at));
		if (*at == NULL)
			return ERR_NO_MEMORY;
		memcpy((*at)->key, key, SHARES_KEY);
	}
	(*at)->n++;
	return 0;
}

int shares_take(struct shares *s, const uint8_t key[SHARES_KEY], uint32_t most, struct err *e)
{
	pthread_mutex_lock(&s->lock);
	int rc = take(s, key, most);
	pthread_mutex_unlock(&s->lock);

	if (rc == ERR_NO_MEMORY)
		return err_set(e, rc, "no memory for a limit");
	if (rc != 0) {
		err_set(e, rc, "as many are under way as may be at once");
		return err_limit(e, most);
	}
	return 0;
}

void shares_give(struct shares *s, const uint8_t key[SHARES_KEY])
{
	pthread_mutex_lock(&s->lock);
	struct holder **at = find(s, key), *gone = NULL;
	assert(*at != NULL);
	if (--(*at)->n == 0) {
		gone = *at;
		*at = gone->next;
	}
	pthread_mutex_unlock(&s->lock);
	free(gone);
}
