#include "base/compiler.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void strings_are_compared_by_their_bytes(void **state)
{
	assert_true(str_eq(STR("a"), STR("a")));
	assert_false(str_eq(STR("a"), STR("b")));
	assert_false(str_eq(STR("a"), STR("aa")));
	assert_false(str_eq(STR("a\0b"), STR("a\0c")));
	assert_true(str_eq((struct str){}, STR("")));
	assert_int_equal(str_of(NULL).len, 0);
	assert_non_null(str_of(NULL).p);
	assert_true(str_eq_const_time(STR("secret"), STR("secret")));
	assert_false(str_eq_const_time(STR("secret"), STR("sEcret")));
	assert_false(str_eq_const_time(STR("secret"), STR("secre")));
	assert_true(str_eq_const_time((struct str){}, STR("")));
}

static void case_is_ignored_for_ascii_letters_only(void **state)
{
	assert_true(str_eq_nocase(STR("Content-MD5"), STR("content-md5")));
	assert_false(str_eq_nocase(STR("@"), STR("`")));
	assert_false(str_eq_nocase(STR("["), STR("{")));
	assert_false(str_eq_nocase(STR("\xc3\x84"), STR("\xc3\xa4")));
	assert_false(str_eq_nocase(STR("a"), STR("ab")));
}

static void a_prefix_is_found(void **state)
{
	assert_true(str_starts(STR("abc"), STR("ab")));
	assert_true(str_starts(STR("abc"), STR("")));
	assert_true(str_starts(STR("abc"), STR("abc")));
	assert_false(str_starts(STR("ab"), STR("abc")));
	assert_false(str_starts(STR("abc"), STR("b")));
}

static void trimming_takes_spaces_and_tabs_only(void **state)
{
	assert_true(str_eq(str_trim(STR(" \t a b\t ")), STR("a b")));
	assert_true(str_eq(str_trim(STR(" \t ")), STR("")));
	assert_true(str_eq(str_trim(STR("\na\r")), STR("\na\r")));
	assert_true(str_eq(str_trim((struct str){}), STR("")));
}

static void splitting_tells_an_empty_rest_from_none(void **state)
{
	struct str rest;

	assert_true(str_eq(str_split(STR("a=b=c"), '=', &rest), STR("a")));
	assert_true(str_eq(rest, STR("b=c")));
	assert_true(str_eq(str_split(STR("a="), '=', &rest), STR("a")));
	assert_non_null(rest.p);
	assert_int_equal(rest.len, 0);
	assert_true(str_eq(str_split(STR("a"), '=', &rest), STR("a")));
	assert_null(rest.p);
	assert_true(str_eq(str_split((struct str){}, '=', &rest), STR("")));
	assert_null(rest.p);
}

static void numbers_are_digits_and_nothing_else(void **state)
{
	static const char *const wrong[] = {
		"", " 1", "1 ", "+1", "-1", "0x1", "1.", "1_0", "a", "18446744073709551616", "99999999999999999999"};
	uint64_t v = 77;

	assert_true(str_to_u64(STR("18446744073709551615"), &v));
	assert_true(v == UINT64_MAX);
	assert_true(str_to_u64(STR("0007"), &v));
	assert_int_equal(v, 7);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		assert_false(str_to_u64(str_of(wrong[i]), &v));
		assert_int_equal(v, 7);
	}
}

static void sums_beyond_64_bits_are_refused(void **state)
{
	uint64_t v = 5;

	assert_true(u64_add(UINT64_MAX - 1, 1, &v));
	assert_true(v == UINT64_MAX);
	assert_false(u64_add(UINT64_MAX, 1, &v));
	assert_true(u64_mul(UINT64_MAX / 3, 3, &v));
	assert_true(v == UINT64_MAX);
	assert_false(u64_mul(UINT64_MAX / 3 + 1, 3, &v));
	assert_true(v == UINT64_MAX);
}

static void utf8_follows_rfc_3629(void **state)
{
	static const char *const right[] = {"",
					    "a",
					    "\x7f",
					    "\xc2\x80",
					    "\xdf\xbf",
					    "\xe0\xa0\x80",
					    "\xed\x9f\xbf",
					    "\xee\x80\x80",
					    "\xef\xbf\xbf",
					    "\xf0\x90\x80\x80",
					    "\xf4\x8f\xbf\xbf",
					    "abcdefgh\xc3\xa4ijklmnop"};
	static const char *const wrong[] = {"\x80",
					    "\xbf",
					    "\xc0\x80",
					    "\xc1\xbf",
					    "\xc2",
					    "\xc2\x41",
					    "\xe0\x9f\xbf",
					    "\xe0\xa0",
					    "\xed\xa0\x80",
					    "\xf0\x8f\xbf\xbf",
					    "\xf4\x90\x80\x80",
					    "\xf5\x80\x80\x80",
					    "\xf0\x90\x80",
					    "\xff",
					    "abcdefgh\xff",
					    "abcdefg\xc3",
					    "\xe2\x82\x41",
					    "\xf0\x9f\x98\x41"};

	for (size_t i = 0; i < ARRAY_LEN(right); i++)
		assert_true(utf8_valid(str_of(right[i])));
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_false(utf8_valid(str_of(wrong[i])));
	assert_true(utf8_valid(STR("\0")));
	assert_true(utf8_valid((struct str){}));
}

/* Every code point, encoded by the definition, against what the checker thinks of it. */
static void utf8_accepts_every_scalar_value_and_no_surrogate(void **state)
{
	for (uint32_t c = 0; c <= 0x110000; c++) {
		char p[4];
		size_t n;

		if (c < 0x80)
			p[0] = (char)c, n = 1;
		else if (c < 0x800)
			p[0] = (char)(0xc0 | c >> 6), n = 2;
		else if (c < 0x10000)
			p[0] = (char)(0xe0 | c >> 12), n = 3;
		else
			p[0] = (char)(0xf0 | c >> 18), n = 4;
		for (size_t i = 1; i < n; i++)
			p[i] = (char)(0x80 | (c >> (6 * (n - 1 - i)) & 0x3f));
		assert_int_equal(utf8_valid((struct str){p, n}), c <= 0x10ffff && (c < 0xd800 || c > 0xdfff));
	}
}

static void a_utf8_prefix_ends_between_characters(void **state)
{
	struct str s = STR("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
	static const size_t expected[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10};

	for (size_t max = 0; max < ARRAY_LEN(expected); max++)
		assert_int_equal(utf8_prefix(s, max), expected[max]);
	assert_int_equal(utf8_prefix(STR("\x80\x80\x80\x80\x80\x80"), 5), 5);
	assert_int_equal(utf8_prefix((struct str){}, 0), 0);
}

static void hex_goes_both_ways(void **state)
{
	unsigned char bytes[256], back[256];
	char text[513];

	for (int i = 0; i < 256; i++)
		bytes[i] = (unsigned char)i;
	hex_encode(text, bytes, 256);
	assert_memory_equal(text, "000102", 6);
	assert_string_equal(text + 506, "fdfeff");
	assert_true(hex_decode(back, 256, str_of(text)));
	assert_memory_equal(bytes, back, 256);
	assert_true(hex_decode(back, 2, STR("aBCd")));
	assert_int_equal(back[0], 0xab);
	assert_false(hex_decode(back, 2, STR("abc")));
	assert_false(hex_decode(back, 2, STR("abcdef")));
	assert_false(hex_decode(back, 2, STR("abcg")));
	assert_false(hex_decode(back, 2, STR("ab d")));
}

static void base64_matches_the_vectors_of_rfc_4648(void **state)
{
	static const char *const pairs[][2] = {{"", ""},
					       {"f", "Zg=="},
					       {"fo", "Zm8="},
					       {"foo", "Zm9v"},
					       {"foob", "Zm9vYg=="},
					       {"fooba", "Zm9vYmE="},
					       {"foobar", "Zm9vYmFy"},
					       {"\xff\xfe\xfd\xfb", "//79+w=="}};

	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		char text[16], back[16];
		size_t n = strlen(pairs[i][0]);

		assert_int_equal(base64_encode(text, pairs[i][0], n), strlen(pairs[i][1]));
		assert_string_equal(text, pairs[i][1]);
		assert_int_equal(base64_decode(back, n, str_of(text)), n);
		assert_memory_equal(back, pairs[i][0], n);
		if (n > 0)
			assert_int_equal(base64_decode(back, n - 1, str_of(text)), -1);
	}
}

static void base64_refuses_other_spellings(void **state)
{
	static const char *const wrong[] = {"Zg",     "Zg=",  "Zg===", "Zh==", "Zm9=",     "Zm 8",
					    "Zm9v\n", "Zm9-", "Z===",  "====", "Zg==Zg==", "Zm=v"};
	char back[16];

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(base64_decode(back, sizeof(back), str_of(wrong[i])), -1);
}

static void percent_escapes_are_resolved(void **state)
{
	char dst[16];

	assert_int_equal(pct_decode(dst, STR("a%20b+%C3%a4")), 6);
	assert_memory_equal(dst, "a b+\xc3\xa4", 6);
	assert_int_equal(pct_decode(dst, STR("%00")), 1);
	assert_int_equal(dst[0], 0);
	assert_int_equal(pct_decode(dst, STR("")), 0);
	assert_int_equal(pct_decode(dst, STR("%")), -1);
	assert_int_equal(pct_decode(dst, STR("a%2")), -1);
	assert_int_equal(pct_decode(dst, STR("%2g")), -1);
	assert_int_equal(pct_decode(dst, STR("%%41")), -1);
}

static void the_nearest_name_is_found_when_it_is_near(void **state)
{
	static const char *const names[] = {"port", "listen", "threads", "max_body"};
	char word[80];

	assert_string_equal(nearest_name(STR("prot"), names, 4), "port");
	assert_string_equal(nearest_name(STR("lisen"), names, 4), "listen");
	assert_string_equal(nearest_name(STR("treads"), names, 4), "threads");
	assert_string_equal(nearest_name(STR("maxbody"), names, 4), "max_body");
	assert_null(nearest_name(STR("x"), names, 4));
	assert_null(nearest_name(STR("po"), names, 4));
	assert_null(nearest_name(STR("something_else"), names, 4));
	assert_null(nearest_name(STR(""), names, 4));
	assert_null(nearest_name(STR("port"), names, 0));
	memset(word, 'a', sizeof(word));
	assert_null(nearest_name((struct str){word, sizeof(word)}, names, 4));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strings_are_compared_by_their_bytes),
		cmocka_unit_test(case_is_ignored_for_ascii_letters_only),
		cmocka_unit_test(a_prefix_is_found),
		cmocka_unit_test(trimming_takes_spaces_and_tabs_only),
		cmocka_unit_test(splitting_tells_an_empty_rest_from_none),
		cmocka_unit_test(numbers_are_digits_and_nothing_else),
		cmocka_unit_test(sums_beyond_64_bits_are_refused),
		cmocka_unit_test(utf8_follows_rfc_3629),
		cmocka_unit_test(utf8_accepts_every_scalar_value_and_no_surrogate),
		cmocka_unit_test(a_utf8_prefix_ends_between_characters),
		cmocka_unit_test(hex_goes_both_ways),
		cmocka_unit_test(base64_matches_the_vectors_of_rfc_4648),
		cmocka_unit_test(base64_refuses_other_spellings),
		cmocka_unit_test(percent_escapes_are_resolved),
		cmocka_unit_test(the_nearest_name_is_found_when_it_is_near),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
