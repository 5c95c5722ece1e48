#include "base/clock.h"
#include "base/compiler.h"

#include <stdio.h>
#include <time.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void known_times_are_written(void **state)
{
	static const struct {
		int64_t ms;
		const char *text;
	} cases[] = {
		{0, "1970-01-01T00:00:00.000Z"},  {951782400123, "2000-02-29T00:00:00.123Z"}, {253402300799999, "9999-12-31T23:59:59.999Z"},
		{-1, "1970-01-01T00:00:00.000Z"}, {INT64_MAX, "9999-12-31T23:59:59.999Z"},    {INT64_MIN, "1970-01-01T00:00:00.000Z"},
	};
	char text[TIME_TEXT_LEN + 1];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		time_format(text, cases[i].ms);
		assert_string_equal(text, cases[i].text);
	}
}

/* Every day up to 9999, at a time of day that moves, against the C library; and back. */
static void every_day_agrees_with_the_c_library(void **state)
{
	for (int64_t day = 0; day < 2932897; day++) {
		int64_t ms = day * 86400000 + day * 7919 % 86400000, back;
		char text[TIME_TEXT_LEN + 1], http[30], expected[64];
		time_t seconds = ms / 1000;
		struct tm tm;
		size_t n;

		gmtime_r(&seconds, &tm);
		n = strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S", &tm);
		snprintf(expected + n, sizeof(expected) - n, ".%03dZ", (int)(ms % 1000));
		time_format(text, ms);
		if (strcmp(text, expected) != 0)
			assert_string_equal(text, expected);
		assert_true(time_parse(&back, str_of(text)) && back == ms);

		strftime(expected, sizeof(expected), "%a, %d %b %Y %H:%M:%S GMT", &tm);
		http_date_format(http, ms);
		if (strcmp(http, expected) != 0)
			assert_string_equal(http, expected);
		assert_true(http_date_parse(&back, str_of(http)) && back == ms / 1000 * 1000);
	}
}

static void the_forms_of_rfc_3339_are_read(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} cases[] = {
		{"1985-04-12T23:20:50.52Z", 482196050520},
		{"1996-12-19T16:39:57-08:00", 851042397000},
		{"1990-12-31T23:59:60Z", 662688000000},
		{"1937-01-01T12:00:27.87+00:20", -1},
		{"1970-01-01t00:00:00z", 0},
		{"1970-01-01T01:00:00+01:00", 0},
		{"1970-01-01T00:00:00.123456789Z", 123},
		{"1970-01-01T00:00:00.9Z", 900},
		{"2024-02-29T00:00:00-00:00", 1709164800000},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t ms = -1;

		assert_int_equal(time_parse(&ms, str_of(cases[i].text)), cases[i].ms >= 0);
		assert_int_equal(ms, cases[i].ms);
	}
}

static void what_is_not_rfc_3339_is_refused(void **state)
{
	static const char *const wrong[] = {
		"",
		"2024",
		"2024-02-30T00:00:00Z",
		"2023-02-29T00:00:00Z",
		"1900-02-29T00:00:00Z",
		"2024-13-01T00:00:00Z",
		"2024-00-01T00:00:00Z",
		"2024-01-00T00:00:00Z",
		"2024-01-32T00:00:00Z",
		"2024-04-31T00:00:00Z",
		"2024-01-01T24:00:00Z",
		"2024-01-01T00:60:00Z",
		"2024-01-01T00:00:61Z",
		"2024-01-01T00:00:00",
		"2024-01-01 00:00:00Z",
		"2024-01-01T00:00:00.Z",
		"2024-01-01T00:00:00.1234567890Z",
		"2024-01-01T00:00:00+24:00",
		"2024-01-01T00:00:00+0000",
		"2024-01-01T00:00:00Zx",
		"2024-1-1T00:00:00Z",
		"+024-01-01T00:00:00Z",
		"1970-01-01T00:00:00+00:01",
		"9999-12-31T23:59:59-00:01",
		"2024-01-01T00:00:0",
		" 2024-01-01T00:00:00Z",
	};
	int64_t ms = 42;

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_false(time_parse(&ms, str_of(wrong[i])));
	assert_false(time_parse(&ms, STR("2024-01-01T00:00:00\0")));
	assert_int_equal(ms, 42);
}

static void only_the_fixdate_form_of_a_http_date_is_read(void **state)
{
	static const char *const wrong[] = {
		"",
		"Sunday, 06-Nov-94 08:49:37 GMT",
		"Sun Nov  6 08:49:37 1994",
		"Sun, 06 Nov 1994 08:49:37 UTC",
		"Sun, 06 Nov 1994 08:49:37",
		"Sun, 6 Nov 1994 08:49:37 GMT",
		"sun, 06 Nov 1994 08:49:37 GMT",
		"Sun, 31 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 25:49:37 GMT",
		"Xyz, 06 Nov 1994 08:49:37 GMT",
		"Sun, 06 Xyz 1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 08:49:37 GMT ",
		"Sun, 06 Nov 1969 08:49:37 GMT",
	};
	int64_t ms = 42;

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_false(http_date_parse(&ms, str_of(wrong[i])));
	assert_int_equal(ms, 42);
	assert_true(http_date_parse(&ms, STR("Sun, 06 Nov 1994 08:49:37 GMT")));
	assert_int_equal(ms, 784111777000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_times_are_written),
		cmocka_unit_test(every_day_agrees_with_the_c_library),
		cmocka_unit_test(the_forms_of_rfc_3339_are_read),
		cmocka_unit_test(what_is_not_rfc_3339_is_refused),
		cmocka_unit_test(only_the_fixdate_form_of_a_http_date_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
