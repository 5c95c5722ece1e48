#include "rt/shares.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const uint8_t seed[16] = {9};

static void key_of(uint8_t key[SHARES_KEY], uint32_t who)
{
	memset(key, 0, SHARES_KEY);
	memcpy(key, &who, sizeof(who));
}

static int take(struct shares *s, uint32_t who, uint32_t most)
{
	uint8_t key[SHARES_KEY];
	struct err e = ERR_INIT;

	key_of(key, who);
	int rc = shares_take(s, key, most, &e);
	assert_int_equal(e.code, rc);
	if (rc != 0)
		assert_int_equal(e.limit, most);
	return rc;
}

static void give(struct shares *s, uint32_t who)
{
	uint8_t key[SHARES_KEY];

	key_of(key, who);
	shares_give(s, key);
}

static void each_may_hold_so_many_and_not_one_more(void **state)
{
	struct shares *s;

	assert_int_equal(shares_new(&s, seed, NULL), 0);
	for (uint32_t who = 0; who < 3000; who++) {
		assert_int_equal(take(s, who, 2), 0);
		assert_int_equal(take(s, who, 2), 0);
		assert_int_equal(take(s, who, 2), ERR_RATE_LIMITED);
	}
	for (uint32_t who = 0; who < 3000; who++) {
		give(s, who);
		assert_int_equal(take(s, who, 2), 0);
		assert_int_equal(take(s, who, 2), ERR_RATE_LIMITED);
		give(s, who);
		give(s, who);
		assert_int_equal(take(s, who, 1), 0);
	}
	assert_int_equal(take(s, 5000, 0), ERR_RATE_LIMITED);
	shares_free(s);
}

#define THREADS 8
#define EACH 10000
#define MOST 3

struct crowd {
	struct shares *s;
	_Atomic int held, most;
};

static void *take_and_give(void *arg)
{
	struct crowd *c = arg;

	for (unsigned i = 0; i < EACH; i++) {
		if (take(c->s, 1, MOST) != 0)
			continue;
		int held = atomic_fetch_add(&c->held, 1) + 1, most = atomic_load(&c->most);
		while (held > most && !atomic_compare_exchange_weak(&c->most, &most, held))
			;
		atomic_fetch_sub(&c->held, 1);
		give(c->s, 1);
	}
	return NULL;
}

static void threads_together_never_hold_more(void **state)
{
	struct crowd c = {};
	pthread_t threads[THREADS];

	assert_int_equal(shares_new(&c.s, seed, NULL), 0);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, &c), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_in_range(c.most, 1, MOST);
	for (unsigned i = 0; i < MOST; i++)
		assert_int_equal(take(c.s, 1, MOST), 0);
	assert_int_equal(take(c.s, 1, MOST), ERR_RATE_LIMITED);
	shares_free(c.s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_may_hold_so_many_and_not_one_more),
		cmocka_unit_test(threads_together_never_hold_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
