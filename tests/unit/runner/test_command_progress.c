/* What a program may write of its progress, and what of it is taken for a number. */
#include "base/compiler.h"
#include "runner/child/command_impl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static int taken(const char *text)
{
	struct command_progress p = {};

	return command_progress_add(&p, text, strlen(text)) ? (int)p.permille : -1;
}

static void lines_that_are_shares_are_taken(void **state)
{
	static const struct {
		const char *text;
		int permille;
	} CASES[] = {
		{"0\n", 0},           {"1\n", 1000},     {"0.5\n", 500},     {".25\n", 250},     {"0.1239\n", 123},
		{"1.0\n", 1000},      {"1.000\n", 1000}, {"0.\n", 0},        {"0%\n", 0},        {"7%\n", 70},
		{"37.5%\n", 375},     {"100%\n", 1000},  {"100.0%\n", 1000}, {" 0.5 \r\n", 500}, {"0.1\n0.2\n", 200},
		{"x\n0.3\ny\n", 300}, {"0.00049\n", 0},  {"99.99%\n", 999},  {"001\n", 1000},    {"0.99999999999999999999999999\n", 999},
	};

	for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
		assert_int_equal(taken(CASES[i].text), CASES[i].permille);
}

static void lines_that_are_none_are_passed_over(void **state)
{
	static const char *const CASES[] = {"",
					    "\n",
					    "0.5",
					    "-1\n",
					    "-0.5\n",
					    "1.001\n",
					    "2\n",
					    "1e9\n",
					    "1e-1\n",
					    "nan\n",
					    "inf\n",
					    "101%\n",
					    "100.1%\n",
					    "%\n",
					    ".\n",
					    "0..5\n",
					    "0.5.5\n",
					    "0,5\n",
					    "0x1\n",
					    "+1\n",
					    "0 .5\n",
					    "half\n",
					    "4294967296\n",
					    "00000000000000000000000000000000000.5\n",
					    "9999999999999999999999999%\n"};

	for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
		assert_int_equal(taken(CASES[i]), -1);
}

static void a_line_may_come_in_pieces_and_one_that_is_too_long_spoils_no_other(void **state)
{
	struct command_progress p = {};
	char longest[100];

	assert_false(command_progress_add(&p, "0.", 2));
	assert_false(command_progress_add(&p, "75", 2));
	assert_true(command_progress_add(&p, "\n0", 2));
	assert_int_equal(p.permille, 750);
	memset(longest, '0', sizeof(longest));
	assert_false(command_progress_add(&p, longest, sizeof(longest)));
	assert_false(command_progress_add(&p, "\n", 1));
	assert_int_equal(p.permille, 750);
	assert_true(command_progress_add(&p, "0.8\n", 4));
	assert_int_equal(p.permille, 800);
}

static void bytes_of_any_kind_do_no_harm(void **state)
{
	struct command_progress p = {};
	uint32_t x = 2463534242u;

	for (unsigned i = 0; i < 200000; i++) {
		char c;

		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		c = (x & 3) != 0 ? "0123456789.%\n\n 1"[x >> 8 & 15] : (char)(x >> 16);
		command_progress_add(&p, &c, 1);
		assert_true(p.permille <= 1000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_that_are_shares_are_taken),
		cmocka_unit_test(lines_that_are_none_are_passed_over),
		cmocka_unit_test(a_line_may_come_in_pieces_and_one_that_is_too_long_spoils_no_other),
		cmocka_unit_test(bytes_of_any_kind_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
