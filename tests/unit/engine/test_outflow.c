/* When there will be room in the queue, by how fast it emptied. */
#include "engine/outflow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* So many jobs, one after the other, of so many ms each; returns when the last one ended. */
static int64_t run(struct outflow *o, int64_t at, unsigned jobs, int64_t each_ms)
{
	for (unsigned i = 0; i < jobs; i++) {
		outflow_begin(o, at);
		at += each_ms;
		outflow_end(o, at, true);
	}
	return at;
}

static void what_takes_a_job_takes_many_as_many_times_as_long(void **state)
{
	struct outflow o = {};
	int64_t at = run(&o, 1000, 20, 100);

	assert_int_equal(outflow_ms(&o, at, 1), 100);
	assert_int_equal(outflow_ms(&o, at, 50), 5000);
}

static void nothing_is_known_before_the_first_job(void **state)
{
	const struct outflow o = {};

	assert_int_equal(outflow_ms(&o, 123456, 10), 0);
}

static void the_time_without_jobs_does_not_count(void **state)
{
	struct outflow o = {};
	int64_t at = run(&o, 0, 10, 50);

	at = run(&o, at + 86400000, 10, 50);
	assert_int_equal(outflow_ms(&o, at + 86400000, 10), 500);
}

static void jobs_side_by_side_share_the_time(void **state)
{
	struct outflow o = {};

	for (unsigned i = 0; i < 4; i++)
		outflow_begin(&o, 0);
	for (unsigned i = 0; i < 4; i++)
		outflow_end(&o, 1000, true);
	assert_int_equal(outflow_ms(&o, 1000, 8), 2000);
}

static void a_job_that_takes_long_is_seen_before_it_ends(void **state)
{
	struct outflow o = {};

	outflow_begin(&o, 0);
	assert_int_equal(outflow_ms(&o, 30000, 2), 60000);
	int64_t at = run(&o, 30000, 3, 0); /* beside it */
	assert_int_equal(outflow_ms(&o, at + 60000, 2), 60000);
}

static void what_comes_back_has_not_left(void **state)
{
	struct outflow o = {};
	int64_t at = run(&o, 0, 4, 100);

	for (unsigned i = 0; i < 4; i++) {
		outflow_begin(&o, at);
		at += 100;
		outflow_end(&o, at, false);
	}
	assert_int_equal(outflow_ms(&o, at, 4), 800);
}

static void what_was_long_ago_is_forgotten(void **state)
{
	struct outflow o = {};
	int64_t at = run(&o, 0, 60, 1000); /* a minute of slow ones */

	at = run(&o, at, 1100, 10); /* and eleven seconds of quick ones */
	assert_int_equal(outflow_ms(&o, at, 100), 1000);
	at = run(&o, at, 16, 1000);
	assert_in_range(outflow_ms(&o, at, 1), 900, 1000);
}

static void more_than_can_be_said_is_as_much_as_can_be(void **state)
{
	struct outflow o = {};

	outflow_begin(&o, 0);
	assert_true(outflow_ms(&o, INT64_MAX / 2, UINT64_MAX) == INT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_takes_a_job_takes_many_as_many_times_as_long),
		cmocka_unit_test(nothing_is_known_before_the_first_job),
		cmocka_unit_test(the_time_without_jobs_does_not_count),
		cmocka_unit_test(jobs_side_by_side_share_the_time),
		cmocka_unit_test(a_job_that_takes_long_is_seen_before_it_ends),
		cmocka_unit_test(what_comes_back_has_not_left),
		cmocka_unit_test(what_was_long_ago_is_forgotten),
		cmocka_unit_test(more_than_can_be_said_is_as_much_as_can_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
