#include "surfaces/fastapi.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void whole_numbers_are_read_as_python_reads_them(void **state)
{
	static const struct {
		const char *text;
		int64_t value;
		const char *canonical;
	} rows[] = {
		{"7", 7, "7"},
		{"007", 7, "7"},
		{"+7", 7, "7"},
		{"-1", -1, "-1"},
		{"0", 0, "0"},
		{"-0", 0, "0"},
		{"000", 0, "0"},
		{" 42\t", 42, "42"},
		{"1_000", 1000, "1000"},
		{"9223372036854775807", INT64_MAX, "9223372036854775807"},
		{"-9223372036854775807", -INT64_MAX, "-9223372036854775807"},
	};
	char canonical[64];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t value = 99;
		assert_int_equal(whole_number_parse(str_of(rows[i].text), &value, canonical, sizeof(canonical)), NUMBER_IN_RANGE);
		assert_int_equal(value, rows[i].value);
		assert_string_equal(canonical, rows[i].canonical);
	}
}

static void what_is_no_whole_number_is_told_so(void **state)
{
	static const char *const rows[] = {"",    " ",   "abc", "1.5", "7x",   "0x7", "1e3",     "-",
					   "+-1", "--1", "_1",  "1_",  "1__0", "1 2", "\xd9\xa3"};
	char canonical[64];
	int64_t value;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(whole_number_parse(str_of(rows[i]), &value, canonical, sizeof(canonical)), NUMBER_NONE);
}

static void numbers_beyond_the_range_are_numbers_all_the_same(void **state)
{
	char canonical[64], digits[301];
	int64_t value = 5;

	assert_int_equal(whole_number_parse(STR("9223372036854775808"), &value, canonical, sizeof(canonical)), NUMBER_TOO_BIG);
	assert_string_equal(canonical, "9223372036854775808");
	assert_int_equal(whole_number_parse(STR("-99999999999999999999"), &value, canonical, sizeof(canonical)), NUMBER_TOO_BIG);
	assert_string_equal(canonical, "-99999999999999999999");
	memset(digits, '9', sizeof(digits));
	assert_int_equal(whole_number_parse((struct str){digits, sizeof(digits)}, &value, canonical, sizeof(canonical)), NUMBER_TOO_BIG);
	assert_int_equal(strlen(canonical), sizeof(canonical) - 1);
	assert_int_equal(value, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_numbers_are_read_as_python_reads_them),
		cmocka_unit_test(what_is_no_whole_number_is_told_so),
		cmocka_unit_test(numbers_beyond_the_range_are_numbers_all_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
