#include "base/compiler.h"
#include "base/json_out.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void check(struct buf *b, const char *expected)
{
	assert_true(buf_ok(b));
	assert_string_equal(b->p, expected);
	buf_release(b);
}

static void commas_stand_between_members_only(void **state)
{
	struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);

	json_obj_open(&j);
	json_kcstr(&j, "a", "x");
	json_key(&j, "b");
	json_arr_open(&j);
	json_arr_close(&j);
	json_key(&j, "c");
	json_arr_open(&j);
	json_u64(&j, 1);
	json_obj_open(&j);
	json_obj_close(&j);
	json_obj_open(&j);
	json_kbool(&j, "d", true);
	json_kbool(&j, "e", false);
	json_obj_close(&j);
	json_put_null(&j);
	json_arr_close(&j);
	json_ku64(&j, "f", UINT64_MAX);
	json_obj_close(&j);
	check(&b, "{\"a\":\"x\",\"b\":[],\"c\":[1,{},{\"d\":true,\"e\":false},null],\"f\":18446744073709551615}");
}

static void each_kind_of_value_is_written(void **state)
{
	struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);

	json_arr_open(&j);
	json_i64(&j, INT64_MIN);
	json_i64(&j, -1);
	json_i64(&j, INT64_MAX);
	json_cstr(&j, NULL);
	json_cstr(&j, "");
	json_str(&j, (struct str){});
	json_time_ms(&j, 0);
	json_time_ms(&j, 951782400123);
	json_raw(&j, STR("{\"raw\":1}"));
	json_arr_close(&j);
	check(&b, "[-9223372036854775808,-1,9223372036854775807,null,\"\",\"\",null,\"2000-02-29T00:00:00.123Z\",{\"raw\":1}]");
}

static void what_rfc_8259_wants_escaped_is_escaped(void **state)
{
	static const struct {
		struct str in;
		const char *out;
	} cases[] = {
		{{"\"\\/", 3}, "\"\\\"\\\\/\""},
		{{"\b\f\n\r\t", 5}, "\"\\b\\f\\n\\r\\t\""},
		{{"\0\x1f\x7f", 3}, "\"\\u0000\\u001f\x7f\""},
		{{"plain text, long enough for a word", 34}, "\"plain text, long enough for a word\""},
		{{"plain text\nthen more text\x01", 26}, "\"plain text\\nthen more text\\u0001\""},
		{{"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9}, "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\""},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf b = BUF_INIT;
		struct json_out j = json_out(&b);

		json_str(&j, cases[i].in);
		check(&b, cases[i].out);
	}
}

static void each_broken_byte_becomes_a_replacement_character(void **state)
{
	static const char *const cases[][2] = {
		{"\xff", "\"\xef\xbf\xbd\""},
		{"a\xc3", "\"a\xef\xbf\xbd\""},
		{"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
		{"\xe2\x82z", "\"\xef\xbf\xbd\xef\xbf\xbdz\""},
		{"\xc3\xa4\x80", "\"\xc3\xa4\xef\xbf\xbd\""},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf b = BUF_INIT;
		struct json_out j = json_out(&b);

		json_cstr(&j, cases[i][0]);
		check(&b, cases[i][1]);
	}
}

/* The eight-bytes-at-once test must see each special byte in each place of a word, and nothing else. */
static void every_byte_in_every_place_is_treated_alike(void **state)
{
	for (int c = 0; c < 256; c++) {
		for (size_t at = 0; at < 20; at++) {
			struct buf b = BUF_INIT;
			struct json_out j = json_out(&b);
			char in[20];
			bool plain = c >= 0x20 && c < 0x80 && c != '"' && c != '\\';

			memset(in, 'x', sizeof(in));
			in[at] = (char)c;
			json_str(&j, (struct str){in, sizeof(in)});
			assert_true(buf_ok(&b));
			if (plain)
				assert_true(b.len == 22 && memcmp(b.p + 1, in, 20) == 0);
			else
				assert_true(b.len > 22 && utf8_valid(buf_str(&b)));
			buf_release(&b);
		}
	}
}

static void keys_are_escaped_too(void **state)
{
	struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);

	json_obj_open(&j);
	json_kcstr(&j, "a\"b\n", "v");
	json_kstr(&j, "", STR("w"));
	json_ktime(&j, "t", 0);
	json_obj_close(&j);
	check(&b, "{\"a\\\"b\\n\":\"v\",\"\":\"w\",\"t\":null}");
}

static void sixteen_levels_are_allowed(void **state)
{
	struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);

	for (int i = 0; i < 16; i++) {
		json_arr_open(&j);
		json_u64(&j, 1);
	}
	for (int i = 0; i < 16; i++)
		json_arr_close(&j);
	check(&b, "[1,[1,[1,[1,[1,[1,[1,[1,[1,[1,[1,[1,[1,[1,[1,[1]]]]]]]]]]]]]]]]");
}

static void the_limit_of_the_buffer_is_kept_to_the_byte(void **state)
{
	static const char whole[] = "{\"key\":\"a\\nb\",\"n\":[1,-23,true,null,\"x\"],\"t\":\"2000-02-29T00:00:00.123Z\"}";

	for (size_t limit = 1; limit <= sizeof(whole); limit++) {
		struct buf b = {.limit = limit};
		struct json_out j = json_out(&b);

		json_obj_open(&j);
		json_kcstr(&j, "key", "a\nb");
		json_key(&j, "n");
		json_arr_open(&j);
		json_u64(&j, 1);
		json_i64(&j, -23);
		json_bool(&j, true);
		json_put_null(&j);
		json_cstr(&j, "x");
		json_arr_close(&j);
		json_ktime(&j, "t", 951782400123);
		json_obj_close(&j);
		assert_int_equal(buf_ok(&b), limit >= sizeof(whole) - 1);
		assert_true(b.len <= limit);
		if (buf_ok(&b))
			assert_string_equal(b.p, whole);
		buf_release(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commas_stand_between_members_only),
		cmocka_unit_test(each_kind_of_value_is_written),
		cmocka_unit_test(what_rfc_8259_wants_escaped_is_escaped),
		cmocka_unit_test(each_broken_byte_becomes_a_replacement_character),
		cmocka_unit_test(every_byte_in_every_place_is_treated_alike),
		cmocka_unit_test(keys_are_escaped_too),
		cmocka_unit_test(sixteen_levels_are_allowed),
		cmocka_unit_test(the_limit_of_the_buffer_is_kept_to_the_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
