#include "base/civil.h"

#include <time.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* gmtime_r() as the measure: every day of 800 years, which is every date there is, twice. */
static void every_day_is_the_one_the_c_library_knows(void **state)
{
	const int64_t first = days_of_civil((struct civil){1599, 12, 31});

	for (int64_t days = first; days < first + 2 * 146097; days++) {
		time_t t = days * 86400;
		struct tm tm;
		struct civil c = civil_of_days(days);

		assert_non_null(gmtime_r(&t, &tm));
		assert_int_equal(c.year, tm.tm_year + 1900);
		assert_int_equal(c.month, tm.tm_mon + 1);
		assert_int_equal(c.day, tm.tm_mday);
		assert_int_equal(weekday_of_days(days), tm.tm_wday);
		assert_int_equal(days_of_civil(c), days);
		assert_true(civil_valid(c));
	}
}

static void years_before_christ_count_on(void **state)
{
	assert_int_equal(days_of_civil((struct civil){0, 3, 1}), -719468);
	assert_int_equal(days_of_civil((struct civil){0, 2, 29}), -719469);
	assert_int_equal(days_of_civil((struct civil){-400, 2, 29}), -719469 - 146097);
	struct civil c = civil_of_days(-719469 - 146097);
	assert_int_equal(c.year, -400);
	assert_int_equal(c.month, 2);
	assert_int_equal(c.day, 29);
}

static void days_that_no_calendar_has_are_told(void **state)
{
	static const struct civil none[] = {{2023, 2, 29}, {1900, 2, 29}, {2024, 2, 30}, {2024, 4, 31},
					    {2024, 0, 1},  {2024, 13, 1}, {2024, 1, 0},  {2024, 1, 32}};

	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		assert_false(civil_valid(none[i]));
	assert_true(civil_valid((struct civil){2000, 2, 29}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_day_is_the_one_the_c_library_knows),
		cmocka_unit_test(years_before_christ_count_on),
		cmocka_unit_test(days_that_no_calendar_has_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
