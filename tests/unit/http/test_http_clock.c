/* The time that counts against clients, by numbers. */
#include "http/http_impl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define BEGIN 1000000

/* What a connection counts of 10 s in which the keeper looked every `each_ms`. */
static int64_t counted(int64_t each_ms, int64_t meant_ms, int64_t worked_ms)
{
	struct http_server s = {};
	struct worker w = {.server = &s};
	struct conn c = {.server = &s, .worker = &w};
	int64_t since = clock_of(&c, BEGIN);

	for (int64_t at = each_ms; at <= 10000; at += each_ms)
		clock_looked(&s, each_ms, meant_ms, worked_ms);
	return clock_of(&c, BEGIN + 10000) - since;
}

static void the_keepers_own_work_is_no_sleep(void **state)
{
	(void)state;
	assert_int_equal(counted(250, 250, 0), 10000);
	assert_int_equal(counted(500, 250, 250), 10000);
	assert_int_equal(counted(500, 250, 250 - HELD_MS), 10000); /* it waited a little for the processor */
}

static void what_it_was_kept_from_looking_counts_against_nobody(void **state)
{
	(void)state;
	assert_int_equal(counted(10000, 250, 0), 250);
	assert_int_equal(counted(10000, 250, 1000), 1250);
	assert_int_equal(counted(500, 250, 250 - HELD_MS - 1), 10000 - 20 * (HELD_MS + 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_keepers_own_work_is_no_sleep),
		cmocka_unit_test(what_it_was_kept_from_looking_counts_against_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
