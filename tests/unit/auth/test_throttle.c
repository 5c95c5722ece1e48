#include "auth/throttle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define ANN STR("ann@example.org")
#define HOME STR("192.0.2.1")
#define START INT64_C(1000000)

static struct throttle *make(void)
{
	struct throttle *t = NULL;
	struct err e = ERR_INIT;

	assert_int_equal(throttle_new(&t, &e), 0);
	return t;
}

/* How many seconds there are to wait; 0 = it may be tried, and stays counted. */
static int try(struct throttle *t, struct str account, struct str address, int64_t now)
{
	struct throttle_try x;
	struct err e = ERR_INIT;
	int rc = throttle_take(t, account, address, now, &x, &e);

	assert_true(rc == 0 || (rc == ERR_RATE_LIMITED && e.retry_after_s > 0));
	return rc == 0 ? 0 : e.retry_after_s;
}

static void come_in(struct throttle *t, struct str account, struct str address, int64_t now)
{
	struct throttle_try x;
	struct err e = ERR_INIT;

	assert_int_equal(throttle_take(t, account, address, now, &x, &e), 0);
	throttle_right(t, &x, now);
	assert_int_equal(throttle_take(t, account, address, now, &x, &e), 0);
	assert_true(x.known);
	throttle_back(t, &x);
	assert_int_equal(throttle_take(t, account, STR("192.0.2.77"), now, &x, &e), 0);
	assert_false(x.known);
	throttle_back(t, &x);
}

static struct str address_of(char text[40], unsigned i)
{
	int n = snprintf(text, 40, "198.51.%u.%u", i / 256, i % 256);

	return (struct str){text, (size_t)n};
}

static void the_eleventh_try_waits_exactly_90_seconds(void **state)
{
	struct throttle *t = make();

	for (int i = 0; i < 10; i++)
		assert_int_equal(try(t, ANN, HOME, START), 0);
	assert_int_equal(try(t, ANN, HOME, START), 90);
	assert_int_equal(try(t, ANN, HOME, START + 90000 - 1), 1);
	assert_int_equal(try(t, ANN, HOME, START + 90000), 0);
	assert_int_equal(try(t, ANN, HOME, START + 90000), 90);
	throttle_free(t);
}

static void another_account_and_another_address_are_not_held_up(void **state)
{
	struct throttle *t = make();

	for (int i = 0; i < 11; i++)
		(void)try(t, ANN, HOME, START);
	assert_int_equal(try(t, STR("bob@example.org"), HOME, START), 0);
	assert_int_equal(try(t, ANN, STR("192.0.2.2"), START), 0);
	throttle_free(t);
}

static void the_right_password_forgives_what_was_tried_before(void **state)
{
	struct throttle *t = make();

	for (int i = 0; i < 9; i++)
		assert_int_equal(try(t, ANN, HOME, START), 0);
	come_in(t, ANN, HOME, START);
	for (int i = 0; i < 10; i++)
		assert_int_equal(try(t, ANN, HOME, START), 0);
	assert_true(try(t, ANN, HOME, START) > 0);
	throttle_free(t);
}

static void what_was_not_checked_does_not_count(void **state)
{
	struct throttle *t = make();
	struct throttle_try x;
	struct err e = ERR_INIT;

	for (int i = 0; i < 1000; i++) {
		assert_int_equal(throttle_take(t, ANN, HOME, START, &x, &e), 0);
		throttle_back(t, &x);
	}
	assert_int_equal(try(t, ANN, HOME, START), 0);
	throttle_free(t);
}

static void an_address_has_a_hundred_tries_over_all_accounts(void **state)
{
	struct throttle *t = make();
	char name[40];

	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(try(t, address_of(name, i), HOME, START), 0);
	assert_int_equal(try(t, STR("one@more"), HOME, START), 36);
	assert_int_equal(try(t, STR("one@more"), HOME, START + 36000), 0);
	throttle_free(t);
}

static void an_ipv6_network_counts_as_one_address(void **state)
{
	struct throttle *t = make();
	char name[40], address[40];

	for (unsigned i = 0; i < 100; i++) {
		int n = snprintf(address, sizeof(address), "2001:db8:0:1::%x", i);
		assert_int_equal(try(t, address_of(name, i), (struct str){address, (size_t)n}, START), 0);
	}
	assert_true(try(t, STR("one@more"), STR("2001:db8:0:1:ffff::1"), START) > 0);
	assert_int_equal(try(t, STR("one@more"), STR("2001:db8:0:2::1"), START), 0);
	throttle_free(t);
}

static void many_addresses_together_have_a_hundred_tries_at_an_account(void **state)
{
	struct throttle *t = make();
	char address[40];

	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(try(t, ANN, address_of(address, i), START), 0);
	assert_int_equal(try(t, ANN, HOME, START), 36);
	throttle_free(t);
}

static void whoever_came_in_of_late_is_not_kept_out_by_strangers(void **state)
{
	struct throttle *t = make();
	char address[40];

	come_in(t, ANN, HOME, START);
	for (unsigned i = 0; i < 200; i++)
		(void)try(t, ANN, address_of(address, i), START);
	assert_int_equal(try(t, ANN, HOME, START), 0);
	throttle_free(t);
}

/* Also when a botnet guesses: an entry with many tries outlasts thousands with one. */
static void many_strangers_do_not_make_a_guesser_forgotten(void **state)
{
	struct throttle *t = make();
	char address[40], name[40];

	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(try(t, ANN, HOME, START), 0);
	for (unsigned i = 0; i < 60000; i++) {
		int n = snprintf(name, sizeof(name), "user%u@example.org", i);
		(void)try(t, (struct str){name, (size_t)n}, address_of(address, i), START);
	}
	assert_true(try(t, ANN, HOME, START) > 0);
	throttle_free(t);
}

/* How late a wrong answer would be; the try stays counted. */
static int64_t late(struct throttle *t, struct str account, struct str address, int64_t now)
{
	struct throttle_try x;
	struct err e = ERR_INIT;

	assert_int_equal(throttle_take(t, account, address, now, &x, &e), 0);
	return x.late_ms;
}

static void the_fewer_tries_are_left_the_later_a_wrong_one_is_answered(void **state)
{
	static const int64_t want[10] = {0, 0, 0, 0, 0, 200, 400, 600, 800, 1000};
	struct throttle *t = make();

	for (int i = 0; i < 10; i++)
		assert_int_equal(late(t, ANN, HOME, START), want[i]);
	assert_int_equal(late(t, ANN, HOME, START + 90000), 1000);
	assert_int_equal(late(t, ANN, HOME, START + 6 * 90000), 200);
	assert_int_equal(late(t, STR("bob@example.org"), HOME, START), 0);
	assert_int_equal(late(t, ANN, HOME, START + 20 * 90000), 0);
	throttle_free(t);
}

static void so_it_is_with_many_accounts_and_with_many_addresses(void **state)
{
	struct throttle *t = make();
	char address[40], name[40];

	for (unsigned i = 0; i < 100; i++) {
		int n = snprintf(name, sizeof(name), "user%u@example.org", i);
		const int64_t want = i < 20 ? 0 : THROTTLE_LATE_MS * (i - 19) / 80;
		assert_int_equal(late(t, (struct str){name, (size_t)n}, HOME, START), want);
		assert_int_equal(late(t, ANN, address_of(address, i), START), want);
	}
	throttle_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_eleventh_try_waits_exactly_90_seconds),
		cmocka_unit_test(another_account_and_another_address_are_not_held_up),
		cmocka_unit_test(the_right_password_forgives_what_was_tried_before),
		cmocka_unit_test(what_was_not_checked_does_not_count),
		cmocka_unit_test(an_address_has_a_hundred_tries_over_all_accounts),
		cmocka_unit_test(an_ipv6_network_counts_as_one_address),
		cmocka_unit_test(many_addresses_together_have_a_hundred_tries_at_an_account),
		cmocka_unit_test(whoever_came_in_of_late_is_not_kept_out_by_strangers),
		cmocka_unit_test(the_fewer_tries_are_left_the_later_a_wrong_one_is_answered),
		cmocka_unit_test(so_it_is_with_many_accounts_and_with_many_addresses),
		cmocka_unit_test(many_strangers_do_not_make_a_guesser_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
