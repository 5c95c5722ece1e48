#include "base/compiler.h"
#include "base/json_out.h"
#include "rt/json_in.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The linker leads malloc() here. 0 = all are served; else this many from now is not. */
static unsigned fail_at;
void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);

void *__wrap_malloc(size_t n)
{
	return fail_at > 0 && --fail_at == 0 ? NULL : __real_malloc(n);
}

static void check_bad(struct str text, const char *detail)
{
	struct err e = ERR_INIT;
	json_t *json = NULL;

	assert_int_equal(json_read(&json, text, &e), ERR_BAD_JSON);
	assert_string_equal(e.detail, detail);
	assert_null(json);
}

static void values_of_every_kind_are_read(void **state)
{
	static const char *const right[] = {"{}",
					    "[]",
					    "null",
					    "true",
					    "5",
					    "-1.5e3",
					    "\"x\"",
					    " {\"a\":[1,{\"b\":\"\\u00e4\"}]} \n",
					    "\"\\ud83d\\ude00\"",
					    "9223372036854775807",
					    "-9223372036854775808"};

	for (size_t i = 0; i < ARRAY_LEN(right); i++) {
		json_t *json = NULL;

		assert_int_equal(json_read(&json, str_of(right[i]), NULL), 0);
		assert_non_null(json);
		json_decref(json);
	}
}

static void mistakes_are_named_with_their_place(void **state)
{
	static const struct {
		const char *text, *detail;
	} cases[] = {
		{"", "line 1, column 1: the text ends too early"},
		{"{\"a\":1", "line 1, column 6: the text ends too early"},
		{"{\"a\":1}x", "line 1, column 8: something follows the value"},
		{"{\"a\":1}{}", "line 1, column 8: something follows the value"},
		{"{\"a\":1,\n \"a\":2}", "line 2, column 4: this member's name stands twice in its object"},
		{"{\"a\":1,\n  x}", "line 2, column 3: unexpected character or word"},
		{"{'a':1}", "line 1, column 2: unexpected character or word"},
		{"[1,]", "line 1, column 4: unexpected character or word"},
		{"[01]", "line 1, column 2: unexpected character or word"},
		{"nul", "line 1, column 3: unexpected character or word"},
		{"\xef\xbb\xbf{}", "line 1, column 3: unexpected character or word"},
		{"[9223372036854775808]", "line 1, column 20: the number is out of range"},
		{"[1e999]", "line 1, column 6: the number is out of range"},
		{"[\"\\u0000\"]", "line 1, column 9: \\u0000 is not allowed"},
		{"{\"\\u0000\":1}", "line 1, column 9: \\u0000 is not allowed"},
		{"[\"\xff\"]", "line 1, column 3: not valid UTF-8"},
		{"[\"\xed\xa0\x80\"]", "line 1, column 3: not valid UTF-8"},
		{"[\"\\ud800\"]", "line 1, column 9: unexpected character or word"},
		{"[\"a\nb\"]", "line 1, column 3: unexpected character or word"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		check_bad(str_of(cases[i].text), cases[i].detail);
	check_bad(STR("{}\0"), "line 1, column 3: something follows the value");
}

static void the_body_is_not_repeated_in_the_error(void **state)
{
	struct err e = ERR_INIT;
	json_t *json = NULL;

	assert_int_equal(json_read(&json, STR("{\"token\": s3cret}"), &e), ERR_BAD_JSON);
	assert_null(strstr(e.detail, "s3cret"));
	assert_int_equal(json_read(&json, STR("{\"s3cret\":1,\"s3cret\":1}"), &e), ERR_BAD_JSON);
	assert_null(strstr(e.detail, "s3cret"));
}

static void depth_is_allowed_to_its_limit(void **state)
{
	for (int depth = JSON_DEPTH_MAX - 1; depth <= JSON_DEPTH_MAX + 1; depth++) {
		static const char *const brackets[][2] = {{"[", "]"}, {"{\"a\":", "}"}};

		for (size_t kind = 0; kind < 2; kind++) {
			struct buf b = BUF_INIT;
			struct err e = ERR_INIT;
			json_t *json = NULL;
			int r;

			for (int i = 0; i < depth; i++)
				buf_add_cstr(&b, brackets[kind][0]);
			buf_add_cstr(&b, kind == 0 ? "" : "1");
			for (int i = 0; i < depth; i++)
				buf_add_cstr(&b, brackets[kind][1]);
			r = json_read(&json, buf_str(&b), &e);
			assert_int_equal(r, depth <= JSON_DEPTH_MAX ? 0 : ERR_BAD_JSON);
			assert_int_equal(e.limit, depth <= JSON_DEPTH_MAX ? -1 : JSON_DEPTH_MAX);
			json_decref(json);
			buf_release(&b);
		}
	}
}

static void brackets_in_strings_are_no_depth(void **state)
{
	struct buf b = BUF_INIT;
	json_t *json = NULL;

	buf_add_cstr(&b, "[\"\\\"");
	for (int i = 0; i < 1000; i++)
		buf_add_cstr(&b, "[{");
	buf_add_cstr(&b, "\\\\\"]");
	assert_int_equal(json_read(&json, buf_str(&b), NULL), 0);
	json_decref(json);
	buf_release(&b);
}

/* Closing brackets must not buy depth: the count would go below zero and let more open than allowed. */
static void unmatched_closing_brackets_buy_no_depth(void **state)
{
	struct buf b = BUF_INIT;
	json_t *json = NULL;

	for (int i = 0; i < 100000; i++)
		buf_add_char(&b, ']');
	for (int i = 0; i < 100000; i++)
		buf_add_char(&b, '[');
	assert_int_equal(json_read(&json, buf_str(&b), NULL), ERR_BAD_JSON);
	assert_null(json);
	buf_release(&b);
}

static void an_unknown_member_is_named(void **state)
{
	static const char *const names[] = {"name", "labels", NULL};
	struct err e = ERR_INIT;
	json_t *json = NULL;

	assert_int_equal(json_read(&json, STR("{\"name\":1,\"lables\":2,\"zzz\":3}"), NULL), 0);
	assert_int_equal(json_only_members(json, names, &e), ERR_UNKNOWN_MEMBER);
	assert_string_equal(e.field, "lables");
	assert_string_equal(e.expected, "labels");
	json_object_del(json, "lables");
	assert_int_equal(json_only_members(json, names, &e), ERR_UNKNOWN_MEMBER);
	assert_string_equal(e.field, "zzz");
	assert_string_equal(e.expected, "");
	json_object_del(json, "zzz");
	assert_int_equal(json_only_members(json, names, &e), 0);
	json_decref(json);
	json = json_array();
	assert_int_equal(json_only_members(json, names, &e), ERR_INVALID_VALUE);
	json_decref(json);
}

/* What json_out.h writes of any bytes, a strict reader reads; and valid text comes back as it was. */
static void what_the_writer_writes_the_reader_reads(void **state)
{
	uint64_t x = 88172645463325252; /* xorshift: the same bytes in every run */

	for (int round = 0; round < 20000; round++) {
		struct buf b = BUF_INIT;
		struct json_out j = json_out(&b);
		char bytes[24];
		size_t n = (size_t)round % sizeof(bytes);
		json_t *json = NULL;

		for (size_t i = 0; i < n; i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			/* no NUL: the reader refuses its escape, as it should */
			bytes[i] = (char)(round % 2 == 0 ? 1 + x % 127 : 1 + x % 255);
		}
		json_obj_open(&j);
		json_kstr(&j, "v", (struct str){bytes, n});
		json_obj_close(&j);
		assert_int_equal(json_read(&json, buf_str(&b), NULL), 0);
		if (utf8_valid((struct str){bytes, n})) {
			json_t *v = json_object_get(json, "v");

			assert_int_equal(json_string_length(v), n);
			assert_memory_equal(json_string_value(v), bytes, n);
		}
		json_decref(json);
		buf_release(&b);
	}
}

/* jansson forgets a byte of a string that it has no memory for, and goes on. */
static void without_memory_a_text_is_refused_and_never_misread(void **state)
{
	static const struct str text = STR("{\"name\":\"0123456789012345678901234567890123456789\",\"list\":[1.5,true,\"another\"]}");
	bool whole = false;
	unsigned refused = 0;

	for (unsigned n = 1; !whole; n++) {
		json_t *json = NULL;
		struct err e = ERR_INIT;

		fail_at = n;
		int rc = json_read(&json, text, &e);
		whole = fail_at > 0; /* it needed fewer */
		fail_at = 0;
		if (rc != 0) {
			assert_int_equal(rc, ERR_NO_MEMORY);
			assert_null(json);
			refused++;
			continue;
		}
		assert_string_equal(json_string_value(json_object_get(json, "name")), "0123456789012345678901234567890123456789");
		assert_string_equal(json_string_value(json_array_get(json_object_get(json, "list"), 2)), "another");
		json_decref(json);
	}
	assert_true(refused > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_of_every_kind_are_read),
		cmocka_unit_test(mistakes_are_named_with_their_place),
		cmocka_unit_test(the_body_is_not_repeated_in_the_error),
		cmocka_unit_test(depth_is_allowed_to_its_limit),
		cmocka_unit_test(brackets_in_strings_are_no_depth),
		cmocka_unit_test(unmatched_closing_brackets_buy_no_depth),
		cmocka_unit_test(an_unknown_member_is_named),
		cmocka_unit_test(what_the_writer_writes_the_reader_reads),
		cmocka_unit_test(without_memory_a_text_is_refused_and_never_misread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
