/* When an object's fetching is tried again, where its storage says so itself. */
#include "engine/import.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static uint64_t given;

static uint64_t give(struct env *env)
{
	return given;
}

static void a_pause_is_between_both_times_and_grows_with_the_attempts(void **state)
{
	const struct engine_s3 s3 = {.pause_min_ms = 3000, .pause_max_ms = 60000};
	struct env env = {.random = give};
	int64_t least = INT64_MAX, most = 0;

	for (given = 0; given < 60000; given++) {
		int64_t ms = import_pause_ms(&s3, 1, &env);
		least = ms < least ? ms : least;
		most = ms > most ? ms : most;
		assert_int_equal(import_pause_ms(&s3, 3, &env), 3 * ms);
	}
	assert_int_equal(least, 3000);
	assert_int_equal(most, 60000);
	given = UINT64_MAX;
	assert_in_range(import_pause_ms(&s3, 1, &env), 3000, 60000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(a_pause_is_between_both_times_and_grows_with_the_attempts)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
