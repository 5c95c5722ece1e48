#include "base/buf.h"
#include "base/compiler.h"
#include "base/sf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void describe_item(struct buf *out, const struct sf_item *item)
{
	if (item->kind == SF_TOKEN || item->kind == SF_STRING)
		buf_addf(out, "%s<%.*s>", item->kind == SF_TOKEN ? "t" : "s", STR_FMT(item->text));
	else
		buf_addf(out, "%s<%lld>", item->kind == SF_INTEGER ? "i" : "b", (long long)item->integer);
}

/* The whole list in a plain notation: members separated by '|', parameters by ';'; "error" at the first mistake. */
static void describe(struct buf *out, struct str field, bool with_params)
{
	struct sf_reader s = sf_reader(field);
	struct err e = ERR_INIT;
	struct sf_item item;
	struct str key;
	int r;

	while ((r = sf_next_item(&s, &item, &e)) > 0) {
		buf_add_cstr(out, out->len > 0 ? "|" : "");
		describe_item(out, &item);
		while (with_params && (r = sf_next_param(&s, &key, &item, &e)) > 0) {
			buf_addf(out, ";%.*s=", STR_FMT(key));
			describe_item(out, &item);
		}
		if (r < 0)
			break;
	}
	if (r < 0) {
		assert_int_equal(r, ERR_BAD_HEADER);
		assert_string_not_equal(e.detail, "");
		buf_reset(out);
		buf_add_cstr(out, "error");
	}
}

static void check(const char *field, const char *expected)
{
	struct buf out = BUF_INIT;

	describe(&out, str_of(field), true);
	assert_true(str_eq(buf_str(&out), str_of(expected)));
	buf_release(&out);
}

static void lists_are_read(void **state)
{
	check("", "");
	check("   ", "");
	check("a", "t<a>");
	check("  a  ", "t<a>");
	check("md5, sha-256", "t<md5>|t<sha-256>");
	check("a \t,\t b,c", "t<a>|t<b>|t<c>");
	check("*a/b:c!#$%&'+.^_`|~", "t<*a/b:c!#$%&'+.^_`|~>");
	check("\"x\", 5, -7, ?1, ?0", "s<x>|i<5>|i<-7>|b<1>|b<0>");
	check("\"\"", "s<>");
}

static void parameters_are_read(void **state)
{
	check("a;q=1", "t<a>;q=i<1>");
	check("a;q", "t<a>;q=b<1>");
	check("a;  q=x;r=\"y z\" ,b", "t<a>;q=t<x>;r=s<y z>|t<b>");
	check("a;*k-1.x_=?0", "t<a>;*k-1.x_=b<0>");
}

static void escapes_in_strings_are_resolved(void **state)
{
	check("\"a\\\"b\\\\c\"", "s<a\"b\\c>");
	check("\"\\\"\";p=\"\\\\\";q=\"x\\\"\"", "s<\">;p=s<\\>;q=s<x\">");
}

/* What was read of a member stays readable until the next one, whatever its parameters are. */
static void a_text_stays_until_the_next_member(void **state)
{
	struct sf_reader s = sf_reader(STR("\"a\\\"\";p=\"b\\\"\";q=\"c\\\"\""));
	struct sf_item item, p, q;
	struct str key;

	assert_int_equal(sf_next_item(&s, &item, NULL), 1);
	assert_int_equal(sf_next_param(&s, &key, &p, NULL), 1);
	assert_int_equal(sf_next_param(&s, &key, &q, NULL), 1);
	assert_int_equal(sf_next_item(&s, &q, NULL), 0);
	assert_true(str_eq(item.text, STR("a\"")));
	assert_true(str_eq(p.text, STR("b\"")));
	assert_true(str_eq(q.text, STR("c\"")));
}

static void parameters_not_asked_for_are_skipped_and_checked(void **state)
{
	struct buf out = BUF_INIT;

	describe(&out, STR("a;q=\"\\\"\";r=5, b;s"), false);
	assert_string_equal(out.p, "t<a>|t<b>");
	buf_reset(&out);
	describe(&out, STR("a;q=(), b"), false);
	assert_string_equal(out.p, "error");
	buf_release(&out);
}

static void integers_have_at_most_fifteen_digits(void **state)
{
	check("999999999999999", "i<999999999999999>");
	check("-999999999999999", "i<-999999999999999>");
	check("000000000000001", "i<1>");
	check("1000000000000000", "error");
	check("-1000000000000000", "error");
}

static void a_string_with_escapes_holds_255_bytes(void **state)
{
	for (size_t n = 254; n <= 256; n++) {
		char field[300];
		struct buf out = BUF_INIT;

		memset(field, 'x', sizeof(field));
		memcpy(field, "\"\\\\", 3);
		field[n + 2] = '"'; /* n bytes once the escape is resolved */
		describe(&out, (struct str){field, n + 3}, true);
		if (n <= 255)
			assert_int_equal(out.len, n + 3);
		else
			assert_string_equal(out.p, "error");
		buf_release(&out);
	}
}

static void a_string_without_escapes_may_be_longer(void **state)
{
	char field[1002];
	struct buf out = BUF_INIT;

	memset(field, 'x', sizeof(field));
	field[0] = field[1001] = '"';
	describe(&out, (struct str){field, sizeof(field)}, true);
	assert_int_equal(out.len, 1003);
	buf_release(&out);
}

static void what_is_malformed_or_not_supported_is_refused(void **state)
{
	static const char *const wrong[] = {
		",",        "a,",        "a, ",          "a,,b",   ",a", "a b",    "\t a",   "\"a",   "\"a\\\"", "\"a\\",
		"\"a\\x\"", "\"a\x01\"", "\"\xc3\xa4\"", "\x80",   "?",  "?2",     "?true",  "-",     "-a",      "1.5",
		"1.",       "()",        "(a b)",        ":YWJj:", ";a", "a;",     "a;A=1",  "a;1=1", "a;q=",    "a;q= 1",
		"a ;q=1",   "a;q =1",    "a=1",          "@1",     "!a", "a\"b\"", "\"a\"b", "5a",
	};

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		check(wrong[i], "error");
}

static void a_nul_is_no_character_of_a_list(void **state)
{
	struct buf out = BUF_INIT;

	describe(&out, STR("a\0"), true);
	assert_string_equal(out.p, "error");
	buf_release(&out);
}

/* A dictionary whose members are an inner list with parameters (l) or a byte sequence (b), in a plain notation; "error" at the first mistake. */
static void describe_dictionary(struct buf *out, struct str field, bool with_params)
{
	struct sf_reader s = sf_reader(field);
	struct err e = ERR_INIT;
	struct sf_item item;
	struct str key;
	uint8_t bytes[8];
	size_t n = 0;
	int r, inner = 0;

	while ((r = sf_next_key(&s, &key, &e)) > 0) {
		buf_addf(out, "%s%.*s=", out->len > 0 ? "|" : "", STR_FMT(key));
		if (key.p[0] == 'b') {
			if ((r = sf_bytes(&s, bytes, sizeof(bytes), &n, &e)) < 0)
				break;
			buf_add(out, bytes, n);
			continue;
		}
		if ((r = sf_open_inner(&s, &e)) < 0)
			break;
		while ((inner = sf_next_inner(&s, &item, &e)) > 0) {
			describe_item(out, &item);
			while (with_params && (r = sf_next_param(&s, &key, &item, &e)) > 0)
				buf_addf(out, ";%.*s", STR_FMT(key));
		}
		if (inner < 0 || r < 0)
			break;
		while (with_params && (r = sf_next_param(&s, &key, &item, &e)) > 0)
			buf_addf(out, ";;%.*s", STR_FMT(key));
		if (r < 0)
			break;
	}
	if (r < 0 || inner < 0) {
		assert_int_equal(e.code, ERR_BAD_HEADER);
		assert_string_not_equal(e.detail, "");
		buf_reset(out);
		buf_add_cstr(out, "error");
	}
}

static void check_dictionary(const char *field, bool with_params, const char *expected)
{
	struct buf out = BUF_INIT;

	describe_dictionary(&out, str_of(field), with_params);
	assert_true(str_eq(buf_str(&out), str_of(expected)));
	buf_release(&out);
}

static void dictionaries_of_inner_lists_and_bytes_are_read(void **state)
{
	check_dictionary("", true, "");
	check_dictionary("l=()", true, "l=");
	check_dictionary("l=( \"a\"  b 1 )", true, "l=s<a>t<b>i<1>");
	check_dictionary("l=(\"a\";x \"b\";y=1;z);p;q=\"v\" , b=:aGVsbG8=:", true, "l=s<a>;xs<b>;y;z;;p;;q|b=hello");
	check_dictionary("l=(\"a\";x \"b\";y=1;z);p;q=\"v\" , b=:aGVsbG8=:;x", false, "l=s<a>s<b>|b=hello");
	check_dictionary("b=::,b2=:QUJDREVGR0g=:", false, "b=|b2=ABCDEFGH");
}

static void what_is_no_such_dictionary_is_refused(void **state)
{
	static const char *const bad[] = {"l",
					  "l=",
					  "l=1",
					  "l=(",
					  "l=(\"a\"",
					  "l=(\"a\"\"b\")",
					  "l=(\"a\",)",
					  "l=(;x)",
					  "l=()x",
					  "l=(),",
					  "l=() l2=()",
					  "L=()",
					  "=()",
					  "l=((a))",
					  "b",
					  "b=",
					  "b=:",
					  "b=:aGVsbG8:",
					  "b=aGVsbG8=",
					  "b=:aGVs bG8=:",
					  "b=:AAAAAAAAAAAA:",
					  "l =()",
					  "l= ()"};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		check_dictionary(bad[i], true, "error");
		check_dictionary(bad[i], false, "error");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_are_read),
		cmocka_unit_test(parameters_are_read),
		cmocka_unit_test(escapes_in_strings_are_resolved),
		cmocka_unit_test(a_text_stays_until_the_next_member),
		cmocka_unit_test(parameters_not_asked_for_are_skipped_and_checked),
		cmocka_unit_test(integers_have_at_most_fifteen_digits),
		cmocka_unit_test(a_string_with_escapes_holds_255_bytes),
		cmocka_unit_test(a_string_without_escapes_may_be_longer),
		cmocka_unit_test(what_is_malformed_or_not_supported_is_refused),
		cmocka_unit_test(a_nul_is_no_character_of_a_list),
		cmocka_unit_test(dictionaries_of_inner_lists_and_bytes_are_read),
		cmocka_unit_test(what_is_no_such_dictionary_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
