/* How a source is asked, and what the head of its answer promises, and what is no promise. */
#include "engine/import.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct fetch_head read_head(const char *fields, bool object)
{
	const struct net_head h = {.status = 206, .fields = str_of(fields)};
	struct fetch_head ret;

	memset(&ret, 0xa5, sizeof(ret));
	import_read_head(&ret, &h, object);
	return ret;
}

static void a_part_is_where_it_says_unless_it_contradicts_itself(void **state)
{
	static const struct {
		const char *value;
		int64_t from, whole;
	} cases[] = {
		{"bytes 100-199/1000", 100, 1000},
		{"bytes 0-0/1", 0, 1},
		{"bytes 100-199/*", 100, -1},
		{"bytes 999-999/1000", 999, 1000},
		{"bytes 0-9223372036854775806/9223372036854775807", 0, INT64_MAX},
		{"bytes 999-1000/1000", -1, -1},
		{"bytes 100-99/1000", -1, -1},
		{"bytes */1000", -1, -1},
		{"bytes -5/1000", -1, -1},
		{"bytes 5-/1000", -1, -1},
		{"bytes 5-6/", -1, -1},
		{"bytes 5-6/x", -1, -1},
		{"bytes 5-6/-1", -1, -1},
		{"bytes 5-6", -1, -1},
		{"bytes 5-6/9223372036854775808", -1, -1},
		{"bytes 18446744073709551615-18446744073709551615/18446744073709551616", -1, -1},
		{"bytes 5-6/7, bytes 8-9/10", -1, -1},
		{"bytes  5-6/7", -1, -1},
		{"pages 5-6/7", -1, -1},
		{"", -1, -1},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char fields[200];
		snprintf(fields, sizeof(fields), "Content-Range: %s\r\n\r\n", cases[i].value);
		const struct fetch_head h = read_head(fields, false);
		if (h.from != cases[i].from || h.whole != cases[i].whole)
			fail_msg("%s: %ld, %ld", cases[i].value, (long)h.from, (long)h.whole);
	}
}

static void only_a_strong_validator_that_can_be_sent_back_is_kept(void **state)
{
	static const struct {
		const char *value;
		bool kept;
	} cases[] = {
		{"\"abc\"", true},  {"\"\"", true},      {"\"!#~\"", true},       {"W/\"abc\"", false},
		{"abc", false},     {"\"", false},       {"\"abc", false},        {"\"a\", \"b\"", false},
		{"\"a b\"", false}, {"\"a\tb\"", false}, {"\"\xc3\xbc\"", false}, {"\"\x7f\"", false},
	};
	char text[ETAG_MAX + 30];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		snprintf(text, sizeof(text), "ETag: %s\r\n\r\n", cases[i].value);
		const struct fetch_head h = read_head(text, false);
		if (strcmp(h.etag, cases[i].kept ? cases[i].value : "") != 0)
			fail_msg("%s: %s", cases[i].value, h.etag);
	}
	for (int longer = 0; longer < 2; longer++) {
		snprintf(text, sizeof(text), "ETag: \"%0*d\"\r\n\r\n", ETAG_MAX - 2 + longer, 0);
		const struct fetch_head h = read_head(text, false);
		assert_int_equal(strlen(h.etag), longer ? 0 : ETAG_MAX);
	}
}

/* Of an object put in parts it is the MD5 of the parts' MD5s, and who is not told where they begin cannot tell a wrong byte from another size of parts. */
static void an_object_has_its_md5_as_validator_only_when_it_was_put_in_one_piece(void **state)
{
	static const char md5[] = "ETag: \"d41d8cd98f00b204e9800998ecf8427e\"\r\n";
	char text[200];

	assert_true(read_head(md5, true).has_md5);
	assert_int_equal(read_head(md5, true).md5[15], 0x7e);
	assert_false(read_head(md5, false).has_md5);
	assert_false(read_head("ETag: \"d41d8cd98f00b204e9800998ecf8427e-2\"\r\n", true).has_md5);
	assert_false(read_head("ETag: W/\"d41d8cd98f00b204e9800998ecf8427e\"\r\n", true).has_md5);
	snprintf(text, sizeof(text), "%sx-amz-server-side-encryption: aws:kms\r\n", md5);
	assert_false(read_head(text, true).has_md5);
	snprintf(text, sizeof(text), "%sX-Amz-Server-Side-Encryption-Customer-Algorithm: AES256\r\n", md5);
	assert_false(read_head(text, true).has_md5);
}

static void a_bucket_stands_in_front_of_the_host_where_it_can_be_part_of_its_name(void **state)
{
	static const struct {
		const char *bucket;
		bool http, https;
	} cases[] = {
		{"photos", true, true},   {"a-b-1", true, true},     {"123", true, true},       {"eu.photos", true, false},
		{"Photos", false, false}, {"pho_tos", false, false}, {"photos-", false, false}, {"a..b", false, false},
		{"a.-b", false, false},   {"a.", false, false},
	};
	struct engine_s3 s3 = {.endpoint = "http://s3.example.org:9000", .virtual_host = true};
	char longest[65];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		s3.endpoint = "http://s3.example.org:9000";
		assert_int_equal(import_bucket_in_host(&s3, str_of(cases[i].bucket)), cases[i].http);
		s3.endpoint = "https://s3.example.org";
		assert_int_equal(import_bucket_in_host(&s3, str_of(cases[i].bucket)), cases[i].https);
	}
	memset(longest, 'a', sizeof(longest));
	assert_true(import_bucket_in_host(&s3, (struct str){longest, 63}));
	assert_false(import_bucket_in_host(&s3, (struct str){longest, 64}));
	s3.virtual_host = false;
	assert_false(import_bucket_in_host(&s3, STR("photos")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bucket_stands_in_front_of_the_host_where_it_can_be_part_of_its_name),
		cmocka_unit_test(a_part_is_where_it_says_unless_it_contradicts_itself),
		cmocka_unit_test(only_a_strong_validator_that_can_be_sent_back_is_kept),
		cmocka_unit_test(an_object_has_its_md5_as_validator_only_when_it_was_put_in_one_piece),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
