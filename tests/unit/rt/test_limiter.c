/* The clock is the test's: nothing here waits. */
#include "rt/limiter.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SECOND INT64_C(1000000) /* microseconds */
#define START (1000 * SECOND)

static const uint8_t seed[16] = {1, 2, 3, 4};

static struct limiter *new_limiter(uint32_t quota, int64_t window_ms, size_t places)
{
	struct limiter *l = NULL;

	assert_int_equal(limiter_new(&l, (struct limiter_rate){quota, window_ms}, places, seed, NULL), 0);
	return l;
}

static struct limiter_verdict take(struct limiter *l, uint64_t who, int64_t now_us)
{
	uint8_t key[LIMITER_KEY] = {0xaa};

	memcpy(key + 8, &who, sizeof(who));
	return limiter_take(l, key, now_us);
}

static unsigned taken(struct limiter *l, uint64_t who, int64_t now_us, unsigned tries)
{
	unsigned n = 0;

	while (tries-- > 0)
		n += !take(l, who, now_us).over;
	return n;
}

static void the_whole_quota_may_come_at_once_and_not_one_more(void **state)
{
	struct limiter *l = new_limiter(10, 60000, 1);

	for (unsigned i = 0; i < 10; i++) {
		struct limiter_verdict v = take(l, 1, START);
		assert_false(v.over);
		assert_int_equal(v.left, 9 - i);
		assert_int_equal(v.whole_ms, (i + 1) * 6000);
	}
	struct limiter_verdict v = take(l, 1, START);
	assert_true(v.over);
	assert_int_equal(v.left, 0);
	assert_int_equal(v.again_ms, 6000);
	assert_int_equal(v.whole_ms, 60000);
	limiter_free(l);
}

static void one_comes_back_each_step_and_not_a_microsecond_earlier(void **state)
{
	struct limiter *l = new_limiter(10, 60000, 1);

	assert_int_equal(taken(l, 1, START, 20), 10);
	assert_int_equal(taken(l, 1, START + 6 * SECOND - 1, 5), 0);
	assert_int_equal(taken(l, 1, START + 6 * SECOND, 5), 1);
	assert_int_equal(taken(l, 1, START + 18 * SECOND, 5), 2);
	limiter_free(l);
}

static void a_refusal_costs_nothing(void **state)
{
	struct limiter *l = new_limiter(3, 3000, 1);

	assert_int_equal(taken(l, 1, START, 1000), 3);
	assert_int_equal(take(l, 1, START).again_ms, 1000);
	assert_int_equal(taken(l, 1, START + 3 * SECOND, 1000), 3);
	limiter_free(l);
}

/* 7 a second is no whole number of nanoseconds each. */
static void in_the_long_run_it_is_the_quota_a_window(void **state)
{
	struct limiter *l = new_limiter(7, 1000, 1);
	unsigned n = taken(l, 1, START, 100);

	for (int64_t at = 1000; at <= 100 * SECOND; at += 1000)
		n += !take(l, 1, START + at).over;
	assert_in_range(n, 7 + 7 * 100, 7 + 7 * 100 + 1);
	limiter_free(l);
}

static void what_was_not_used_is_not_saved_up(void **state)
{
	struct limiter *l = new_limiter(5, 1000, 1);

	assert_int_equal(taken(l, 1, START, 1), 1);
	assert_int_equal(taken(l, 1, START + 3600 * SECOND, 100), 5);
	limiter_free(l);
}

static void each_key_has_its_own(void **state)
{
	struct limiter *l = new_limiter(2, 1000, 4096);

	for (uint64_t who = 0; who < 100; who++)
		assert_int_equal(taken(l, who, START, 10), 2);
	limiter_free(l);
}

static void without_a_quota_nothing_is_refused(void **state)
{
	struct limiter *l = new_limiter(0, 1000, 1);

	assert_int_equal(taken(l, 1, START, 1000), 1000);
	limiter_free(l);
}

/* One set: what others bring pushes out whoever owes least. */
static void many_strangers_forgive_nobody_at_his_limit(void **state)
{
	struct limiter *l = new_limiter(100, 100000, LIMITER_WAYS);

	assert_int_equal(taken(l, 1, START, 200), 100);
	for (uint64_t who = 1000; who < 11000; who++)
		assert_int_equal(taken(l, who, START, 2), 2);
	assert_int_equal(taken(l, 1, START, 10), 0);
	limiter_free(l);
}

static void a_clock_that_reads_a_little_earlier_is_forgiven_nothing(void **state)
{
	struct limiter *l = new_limiter(10, 10000, 1);

	assert_int_equal(taken(l, 1, START, 10), 10);
	assert_int_equal(taken(l, 1, START - SECOND, 10), 0);
	assert_int_equal(taken(l, 1, START + SECOND, 10), 1);
	limiter_free(l);
}

/* ---- threads ---- */

#define THREADS 8
#define EACH 20000

struct crowd {
	struct limiter *l;
	_Atomic unsigned through[4];
};

static void *push(void *arg)
{
	struct crowd *c = arg;

	for (unsigned i = 0; i < EACH; i++)
		if (!take(c->l, i % 4, START).over)
			atomic_fetch_add(&c->through[i % 4], 1);
	return NULL;
}

static void threads_together_get_exactly_the_quota(void **state)
{
	struct crowd c = {.l = new_limiter(1000, 60000, 64)};
	pthread_t threads[THREADS];

	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, push, &c), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(c.through[i], 1000);
	limiter_free(c.l);
}

/* ---- with others ---- */

#define STEP_NS (INT64_C(1000) * SECOND) /* of sixty a minute */

static void what_was_let_through_is_told_once(void **state)
{
	struct limiter *l = new_limiter(60, 60000, 1000);
	struct limiter_news news[8];

	assert_int_equal(limiter_untold(l, news, 8), 0);
	assert_int_equal(taken(l, 1, START, 3), 3);
	assert_int_equal(taken(l, 2, START, 70), 60);
	assert_int_equal(limiter_untold(l, news, 8), 2);
	assert_int_equal(news[0].taken_ns + news[1].taken_ns, 63 * STEP_NS);
	assert_int_equal(limiter_untold(l, news, 8), 0);
	take(l, 2, START); /* refused */
	assert_int_equal(limiter_untold(l, news, 8), 0);
	limiter_free(l);
}

static void what_does_not_fit_is_told_the_next_time(void **state)
{
	struct limiter *l = new_limiter(60, 60000, 1000);
	struct limiter_news news[4];
	unsigned found = 0, calls = 0;

	for (uint64_t who = 0; who < 10; who++)
		take(l, who, START);
	for (size_t n; (n = limiter_untold(l, news, 4)) > 0; calls++)
		found += (unsigned)n;
	assert_int_equal(found, 10);
	assert_int_equal(calls, 3);
	limiter_free(l);
}

static void the_forgotten_take_along_what_they_had_not_told(void **state)
{
	struct limiter *l = new_limiter(60, 60000, 1); /* one set */
	struct limiter_news news[2 * LIMITER_WAYS];

	for (uint64_t who = 0; who < 3 * LIMITER_WAYS; who++)
		take(l, who, START);
	assert_int_equal(limiter_untold(l, news, 2 * LIMITER_WAYS), LIMITER_WAYS);
	assert_int_equal(limiter_untold(l, news, 2 * LIMITER_WAYS), 0);
	limiter_free(l);
}

/* Tells one of two what was let through by both, as a catalogue in the midst does. */
static int64_t exchange(struct limiter *l, int64_t debt_ns, int64_t now_us)
{
	struct limiter_news n;

	if (limiter_untold(l, &n, 1) == 0)
		return debt_ns;
	limiter_learn(l, n.key, debt_ns + n.taken_ns, now_us);
	return debt_ns + n.taken_ns;
}

static void what_others_let_through_counts(void **state)
{
	struct limiter *a = new_limiter(60, 60000, 1000), *b = new_limiter(60, 60000, 1000);
	int64_t debt = 0;

	assert_int_equal(taken(a, 1, START, 50), 50);
	debt = exchange(a, debt, START);
	assert_int_equal(taken(b, 1, START, 1), 1); /* b had not heard of him */
	debt = exchange(b, debt, START);
	assert_int_equal(taken(b, 1, START, 60), 9);
	debt = exchange(b, debt, START);
	assert_int_equal(debt, 60 * STEP_NS);
	assert_int_equal(taken(a, 2, START, 60), 60); /* somebody else */
	limiter_free(a);
	limiter_free(b);
}

static void what_came_meanwhile_is_added_to_what_is_learned(void **state)
{
	struct limiter *l = new_limiter(60, 60000, 1000);
	struct limiter_news n;

	assert_int_equal(taken(l, 1, START, 10), 10);
	assert_int_equal(limiter_untold(l, &n, 1), 1);
	assert_int_equal(taken(l, 1, START, 5), 5);
	limiter_learn(l, n.key, 40 * STEP_NS, START); /* others: thirty */
	assert_int_equal(taken(l, 1, START, 60), 15);
	limiter_free(l);
}

static void learning_forgives_nothing(void **state)
{
	struct limiter *l = new_limiter(60, 60000, 1000);
	struct limiter_news n;

	assert_int_equal(taken(l, 1, START, 60), 60);
	assert_int_equal(limiter_untold(l, &n, 1), 1);
	limiter_learn(l, n.key, STEP_NS, START);
	assert_int_equal(taken(l, 1, START, 1), 0);
	limiter_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_whole_quota_may_come_at_once_and_not_one_more),
		cmocka_unit_test(one_comes_back_each_step_and_not_a_microsecond_earlier),
		cmocka_unit_test(a_refusal_costs_nothing),
		cmocka_unit_test(in_the_long_run_it_is_the_quota_a_window),
		cmocka_unit_test(what_was_not_used_is_not_saved_up),
		cmocka_unit_test(each_key_has_its_own),
		cmocka_unit_test(without_a_quota_nothing_is_refused),
		cmocka_unit_test(many_strangers_forgive_nobody_at_his_limit),
		cmocka_unit_test(a_clock_that_reads_a_little_earlier_is_forgiven_nothing),
		cmocka_unit_test(threads_together_get_exactly_the_quota),
		cmocka_unit_test(what_was_let_through_is_told_once),
		cmocka_unit_test(what_does_not_fit_is_told_the_next_time),
		cmocka_unit_test(the_forgotten_take_along_what_they_had_not_told),
		cmocka_unit_test(what_others_let_through_counts),
		cmocka_unit_test(what_came_meanwhile_is_added_to_what_is_learned),
		cmocka_unit_test(learning_forgives_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
