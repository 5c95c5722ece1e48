#include "auth/throttle.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define MINUTE INT64_C(60000)
#define KNOWN_MS (30 * 24 * 60 * MINUTE)
#define SETS 2048 /* a power of two */
#define WAYS 4
#define TABLES (THROTTLE_COUNTS + 1)
#define KNOWN THROTTLE_COUNTS

struct rule {
	int64_t tries; /* at once */
	int64_t prompt; /* of them are answered at once */
	int64_t every_ms; /* one comes back */
};

static const struct rule rules[THROTTLE_COUNTS] = {
	[THROTTLE_PAIR] = {10, 5, 90000},
	[THROTTLE_ADDRESS] = {100, 20, 36000},
	[THROTTLE_ACCOUNT] = {100, 20, 36000},
};

struct cell {
	uint64_t key;
	int64_t until; /* ms: all tries are paid off, or the address is not known any more; 0 = free */
};

struct throttle {
	pthread_mutex_t lock;
	uint8_t secret[crypto_shorthash_KEYBYTES]; /* so that nobody can choose what shares a set */
	struct cell cells[TABLES][SETS][WAYS];
};

int throttle_new(struct throttle **ret, struct err *e)
{
	struct throttle *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory to count tries");
	if (sodium_init() < 0) {
		free(t);
		return err_set(e, ERR_INTERNAL, "the library for passwords does not start");
	}
	randombytes_buf(t->secret, sizeof(t->secret));
	pthread_mutex_init(&t->lock, NULL);
	*ret = t;
	return 0;
}

void throttle_free(struct throttle *t)
{
	if (t == NULL)
		return;
	pthread_mutex_destroy(&t->lock);
	free(t);
}

/* The bytes by which an address counts. */
static struct str network(struct str address, char text[64], uint8_t bytes[16])
{
	if (address.len >= 64)
		return address;
	memcpy(text, address.p, address.len);
	text[address.len] = '\0';
	if (inet_pton(AF_INET6, text, bytes) == 1)
		return (struct str){(const char *)bytes, 8};
	return address;
}

bool throttle_same_address(struct str a, struct str b)
{
	char text[2][64];
	uint8_t bytes[2][16];

	return str_eq(network(a, text[0], bytes[0]), network(b, text[1], bytes[1]));
}

static uint64_t key_of(const struct throttle *t, struct str account, struct str net)
{
	uint8_t hashes[2][crypto_shorthash_BYTES], both[crypto_shorthash_BYTES];
	uint64_t key;

	crypto_shorthash(hashes[0], (const uint8_t *)account.p, account.len, t->secret);
	crypto_shorthash(hashes[1], (const uint8_t *)net.p, net.len, t->secret);
	crypto_shorthash(both, hashes[0], sizeof(hashes), t->secret);
	memcpy(&key, both, sizeof(key));
	return key;
}

/* NULL when it has none. With the lock held, as what follows. */
static struct cell *find(struct throttle *t, unsigned table, uint64_t key)
{
	struct cell *set = t->cells[table][key % SETS];

	for (unsigned i = 0; i < WAYS; i++)
		if (set[i].until != 0 && set[i].key == key)
			return &set[i];
	return NULL;
}

static void put(struct throttle *t, unsigned table, uint64_t key, int64_t until)
{
	struct cell *set = t->cells[table][key % SETS], *c = find(t, table, key);

	if (c == NULL) {
		c = &set[0];
		for (unsigned i = 1; i < WAYS; i++)
			if (set[i].until < c->until)
				c = &set[i];
	}
	*c = (struct cell){key, until};
}

static int64_t until_of(struct throttle *t, unsigned table, uint64_t key, int64_t now)
{
	const struct cell *c = find(t, table, key);

	return c != NULL && c->until > now ? c->until : now;
}

/* When all is paid off at `until`, this try included. */
static int64_t late(const struct rule *r, int64_t until, int64_t now)
{
	int64_t n = (until - now + r->every_ms - 1) / r->every_ms;

	return n <= r->prompt ? 0 : THROTTLE_LATE_MS * (n - r->prompt) / (r->tries - r->prompt);
}

/* How long there is to wait; 0 = counted. */
static int64_t take(struct throttle *t, struct throttle_try *x, int64_t now)
{
	int64_t until[THROTTLE_COUNTS], wait = 0;

	x->known = until_of(t, KNOWN, x->keys[THROTTLE_PAIR], now) > now;
	for (unsigned k = 0; k < THROTTLE_COUNTS; k++) {
		x->counted[k] = k != THROTTLE_ACCOUNT || !x->known;
		until[k] = until_of(t, k, x->keys[k], now) + rules[k].every_ms;
		int64_t early = until[k] - now - rules[k].tries * rules[k].every_ms;
		if (x->counted[k] && early > wait)
			wait = early;
	}
	for (unsigned k = 0; wait == 0 && k < THROTTLE_COUNTS; k++) {
		if (!x->counted[k])
			continue;
		put(t, k, x->keys[k], until[k]);
		if (late(&rules[k], until[k], now) > x->late_ms)
			x->late_ms = late(&rules[k], until[k], now);
	}
	return wait;
}

int throttle_take(struct throttle *t, struct str account, struct str address, int64_t now_ms, struct throttle_try *ret, struct err *e)
{
	uint8_t bytes[16];
	char text[64];
	struct str net = network(address, text, bytes);
	struct throttle_try x = {
		.keys = {[THROTTLE_PAIR] = key_of(t, account, net),
			 [THROTTLE_ADDRESS] = key_of(t, STR(""), net),
			 [THROTTLE_ACCOUNT] = key_of(t, account, STR(""))},
	};

	pthread_mutex_lock(&t->lock);
	int64_t wait = take(t, &x, now_ms);
	pthread_mutex_unlock(&t->lock);
	if (wait > 0) {
		err_set(e, ERR_RATE_LIMITED, "too many tries to sign in");
		if (e != NULL)
			e->retry_after_s = (int)((wait + 999) / 1000);
		return ERR_RATE_LIMITED;
	}
	*ret = x;
	return 0;
}

static void give_back(struct throttle *t, const struct throttle_try *x)
{
	for (unsigned k = 0; k < THROTTLE_COUNTS; k++) {
		struct cell *c = x->counted[k] ? find(t, k, x->keys[k]) : NULL;
		if (c != NULL)
			c->until -= rules[k].every_ms;
	}
}

void throttle_right(struct throttle *t, const struct throttle_try *x, int64_t now_ms)
{
	pthread_mutex_lock(&t->lock);
	give_back(t, x);
	struct cell *pair = find(t, THROTTLE_PAIR, x->keys[THROTTLE_PAIR]);
	if (pair != NULL)
		*pair = (struct cell){};
	put(t, KNOWN, x->keys[THROTTLE_PAIR], now_ms + KNOWN_MS);
	pthread_mutex_unlock(&t->lock);
}

void throttle_back(struct throttle *t, const struct throttle_try *x)
{
	pthread_mutex_lock(&t->lock);
	give_back(t, x);
	pthread_mutex_unlock(&t->lock);
}
