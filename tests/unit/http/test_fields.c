/* Header fields with a grammar. */
#include "http/fields.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void ranges_are_read(void **state)
{
	static const struct {
		const char *header;
		uint64_t size;
		enum range_result result;
		uint64_t first, length;
	} cases[] = {
		{"bytes=0-0", 10, RANGE_PART, 0, 1},
		{"bytes=0-", 10, RANGE_PART, 0, 10},
		{"bytes=2-5", 10, RANGE_PART, 2, 4},
		{"bytes=9-", 10, RANGE_PART, 9, 1},
		{"bytes=5-100", 10, RANGE_PART, 5, 5},
		{"bytes=-3", 10, RANGE_PART, 7, 3},
		{"bytes=-100", 10, RANGE_PART, 0, 10},
		{"Bytes=1-2", 10, RANGE_PART, 1, 2},
		{" bytes=1-2 ", 10, RANGE_PART, 1, 2},
		{"bytes=0-18446744073709551615", 10, RANGE_PART, 0, 10},
		{"bytes=0-0", UINT64_MAX, RANGE_PART, 0, 1},
		{"bytes=18446744073709551614-", UINT64_MAX, RANGE_PART, UINT64_MAX - 1, 1},
		{"bytes=10-", 10, RANGE_UNSATISFIABLE, 0, 0},
		{"bytes=10-20", 10, RANGE_UNSATISFIABLE, 0, 0},
		{"bytes=-0", 10, RANGE_UNSATISFIABLE, 0, 0},
		{"bytes=0-", 0, RANGE_UNSATISFIABLE, 0, 0},
		{"bytes=-1", 0, RANGE_UNSATISFIABLE, 0, 0},
		{"", 10, RANGE_WHOLE, 0, 0},
		{"bytes", 10, RANGE_WHOLE, 0, 0},
		{"bytes=", 10, RANGE_WHOLE, 0, 0},
		{"bytes=-", 10, RANGE_WHOLE, 0, 0},
		{"bytes=5-2", 10, RANGE_WHOLE, 0, 0},
		{"bytes=0-1,3-4", 10, RANGE_WHOLE, 0, 0},
		{"items=0-1", 10, RANGE_WHOLE, 0, 0},
		{"bytes=a-b", 10, RANGE_WHOLE, 0, 0},
		{"bytes=+1-2", 10, RANGE_WHOLE, 0, 0},
		{"bytes=1", 10, RANGE_WHOLE, 0, 0},
		{"bytes=1-2-3", 10, RANGE_WHOLE, 0, 0},
		{"bytes=18446744073709551616-", 10, RANGE_WHOLE, 0, 0},
		{"bytes=0-18446744073709551616", 10, RANGE_WHOLE, 0, 0},
		{"bytes=0x1-2", 10, RANGE_WHOLE, 0, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t first = 77, length = 77;
		enum range_result result = range_parse(str_of(cases[i].header), cases[i].size, &first, &length);

		if (result != cases[i].result)
			fail_msg("%s: %d", cases[i].header, result);
		assert_int_equal(first, result == RANGE_PART ? cases[i].first : 77);
		assert_int_equal(length, result == RANGE_PART ? cases[i].length : 77);
	}
}

static void entity_tags_are_compared(void **state)
{
	static const struct {
		const char *header;
		bool strong, weak;
	} cases[] = {
		{"*", true, true},
		{"\"a\"", true, true},
		{"W/\"a\"", false, true},
		{"\"b\", \"a\"", true, true},
		{"\"b\",W/\"a\"", false, true},
		{", \"a\" ,", true, true},
		{"\"b\"", false, false},
		{"", false, false},
		{"a", false, false},
		{"\"a", false, false},
		{"\"a\" \"b\"", false, false},
		{"\"a\", b", false, false},
		{"w/\"a\"", false, false},
		{"\"\"", false, false},
		{"\"a \"", false, false},
		{"*, \"a\"", false, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (etag_list_has(str_of(cases[i].header), STR("a"), false) != cases[i].strong ||
		    etag_list_has(str_of(cases[i].header), STR("a"), true) != cases[i].weak)
			fail_msg("%s", cases[i].header);
	}
	assert_true(if_range_holds(STR("\"a\""), STR("a")));
	assert_false(if_range_holds(STR("W/\"a\""), STR("a")));
	assert_false(if_range_holds(STR("\"b\""), STR("a")));
	assert_false(if_range_holds(STR("\"a\", \"a\""), STR("a")));
	assert_false(if_range_holds(STR("Sat, 21 Nov 2026 05:17:52 GMT"), STR("a")));
}

#define MD5 "1B2M2Y8AsgTpgAmY7PhCfg=="
#define SHA256 "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

static void digests_are_read(void **state)
{
	struct digest_want w = {};

	assert_int_equal(digest_want_parse(&w, STR("sha-256=:" SHA256 ":, md5=:" MD5 ":"), NULL), 0);
	assert_true(w.sha256 && w.md5 && !w.sha512);
	assert_int_equal(w.md5_value[0], 0xd4);
	assert_int_equal(w.sha256_value[0], 0xe3);
	assert_int_equal(digest_want_md5(&w, STR(MD5), NULL), 0);
	assert_int_equal(digest_want_md5(&w, STR("AAAAAAAAAAAAAAAAAAAAAA=="), NULL), ERR_DIGEST_MISMATCH);
	assert_int_equal(digest_want_parse(&w, STR("crc32c=:AAAAAA==:, sha-256=:" SHA256 ":"), NULL), 0);
}

static void malformed_digests_are_refused(void **state)
{
	static const struct {
		const char *header;
		int rc;
	} cases[] = {
		{"", ERR_BAD_HEADER},
		{"sha-256", ERR_BAD_HEADER},
		{"sha-256=", ERR_BAD_HEADER},
		{"sha-256=:", ERR_BAD_HEADER},
		{"sha-256=::", ERR_BAD_HEADER},
		{"sha-256=" SHA256, ERR_BAD_HEADER},
		{"sha-256=:" SHA256 ":,", ERR_BAD_HEADER},
		{"sha-256=:" SHA256 ": x", ERR_BAD_HEADER},
		{"sha-256=:" MD5 ":", ERR_BAD_HEADER},
		{"SHA-256=:" SHA256 ":", ERR_BAD_HEADER},
		{"sha-256=:!:", ERR_BAD_HEADER},
		{"sha-256=:" SHA256 ":;a=1", ERR_BAD_HEADER},
		{"crc32c=:AAAAAA==:", ERR_UNSUPPORTED_DIGEST},
		{"sha=:AAAA:", ERR_UNSUPPORTED_DIGEST},
		{"md5=:" MD5 ":, md5=:AAAAAAAAAAAAAAAAAAAAAA==:", ERR_DIGEST_MISMATCH},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct digest_want w = {};
		struct err e = ERR_INIT;
		int rc = digest_want_parse(&w, str_of(cases[i].header), &e);

		if (rc != cases[i].rc)
			fail_msg("%s: %d", cases[i].header, rc);
		assert_int_equal(e.code, rc);
	}
	assert_int_equal(digest_want_md5(&(struct digest_want){}, STR("AAAA"), NULL), ERR_BAD_HEADER);
	assert_int_equal(digest_want_md5(&(struct digest_want){}, STR("nonsense"), NULL), ERR_BAD_HEADER);
}

static void the_wait_preference_is_found(void **state)
{
	static const struct {
		const char *header;
		int seconds;
	} cases[] = {
		{"wait=10", 10},
		{"respond-async, wait=10", 10},
		{"wait = 10; x=y", 10},
		{"Wait=0", 0},
		{"wait=\"10\"", -1},
		{"wait=1.5", -1},
		{"wait=-1", -1},
		{"wait", -1},
		{"", -1},
		{"waits=3", -1},
		{"a=\"x, wait=3\"", -1},
		{"a=\"x\\\", wait=3\", wait=4", 4},
		{"wait=1, wait=2", 1},
		{"wait=99999999999", -1},
		{",,,wait=5", 5},
		{"a=\"", -1},
		{"a=\"\\", -1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (prefer_wait_s(str_of(cases[i].header)) != cases[i].seconds)
			fail_msg("%s: %d", cases[i].header, prefer_wait_s(str_of(cases[i].header)));
}

static void media_types_are_compared_without_parameters(void **state)
{
	assert_true(media_type_is(STR("application/json"), "application/json"));
	assert_true(media_type_is(STR(" Application/JSON ; charset=utf-8"), "application/json"));
	assert_false(media_type_is(STR("application/jsonx"), "application/json"));
	assert_false(media_type_is(STR(""), "application/json"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_are_read),
		cmocka_unit_test(entity_tags_are_compared),
		cmocka_unit_test(digests_are_read),
		cmocka_unit_test(malformed_digests_are_refused),
		cmocka_unit_test(the_wait_preference_is_found),
		cmocka_unit_test(media_types_are_compared_without_parameters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
