#include "base/json_out.h"
#include "model/account.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static int clean(const char *raw, const char *expected)
{
	struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	struct str ret = {};
	int rc = email_clean(&ret, str_of(raw), &a, &e);

	if (rc == 0)
		assert_true(str_eq(ret, str_of(expected)));
	else
		assert_string_equal(e.field, "email");
	arena_release(&a);
	return rc;
}

static void an_email_is_kept_in_small_letters(void **state)
{
	assert_int_equal(clean("Ann.B+c@Example.ORG", "ann.b+c@example.org"), 0);
	assert_int_equal(clean("ännchen@bücher.example", "ännchen@bücher.example"), 0);
	assert_int_equal(clean("a@b", "a@b"), 0);
}

static void what_is_no_email_is_refused(void **state)
{
	static const char *const bad[] = {"",        "a",     "@",      "a@",   "@b",   "a@b@c",  "a b@c", "a@b c", "a@b\r\nBcc: d@e",
					  ".a@b",    "a.@b",  "a..b@c", "a@.b", "a@b.", "a@b..c", "<a@b>", "a,b@c", "\"a\"@b",
					  "a@b\x7f", "a@\xff"};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(clean(bad[i], ""), ERR_INVALID_VALUE);
}

static void an_email_has_254_bytes_and_64_before_the_at(void **state)
{
	char text[EMAIL_MAX + 2];

	memset(text, 'a', sizeof(text));
	text[64] = '@';
	text[EMAIL_MAX] = '\0';
	assert_int_equal(clean(text, text), 0);
	text[EMAIL_MAX] = 'a';
	text[EMAIL_MAX + 1] = '\0';
	assert_int_equal(clean(text, ""), ERR_INVALID_VALUE);
	text[64] = 'a';
	text[65] = '@';
	text[100] = '\0';
	assert_int_equal(clean(text, ""), ERR_INVALID_VALUE);
}

static void a_name_is_text_without_control_characters(void **state)
{
	char text[PERSON_NAME_MAX + 1];
	struct err e = ERR_INIT;

	memset(text, 'a', sizeof(text));
	assert_int_equal(person_name_check((struct str){text, PERSON_NAME_MAX}, &e), 0);
	assert_int_equal(person_name_check((struct str){text, PERSON_NAME_MAX + 1}, &e), ERR_INVALID_VALUE);
	assert_int_equal(person_name_check(STR(""), &e), 0);
	assert_int_equal(person_name_check(STR("Änne O'Neill"), &e), 0);
	assert_int_equal(person_name_check(STR("a\nb"), &e), ERR_INVALID_VALUE);
	assert_int_equal(person_name_check(STR("a\xff"), &e), ERR_INVALID_VALUE);
}

static void neither_hash_is_shown(void **state)
{
	const struct account a = {.number = 3,
				  .email = STR("a@b"),
				  .name = STR(""),
				  .password = STR("$argon2id$"),
				  .role = ROLE_OPERATOR,
				  .quotas = {.max = {[QUOTA_FILES] = 12, [QUOTA_JOBS] = QUOTA_NONE}}};
	const struct api_key k = {.number = 4, .name = STR("n"), .scopes = 1u << SCOPE_FILES_READ | 1u << SCOPE_ADMIN, .expires_at = 1000};
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);

	json_arr_open(&j);
	account_write_json(&j, &a);
	api_key_write_json(&j, &k, NULL, NULL);
	json_arr_close(&j);
	assert_true(str_eq(
		buf_str(&b),
		STR("[{\"id\":\"00000000-0000-0000-0000-000000000000\",\"number\":3,\"email\":\"a@b\",\"name\":\"\",\"role\":\"operator\","
		    "\"created_at\":null,\"disabled_at\":null,\"quotas\":{\"files\":12,\"bytes\":null,\"jobs\":0}},"
		    "{\"id\":\"00000000-0000-0000-0000-000000000000\",\"number\":4,\"name\":\"n\",\"scopes\":[\"files:read\",\"admin\"],"
		    "\"created_at\":null,\"expires_at\":\"1970-01-01T00:00:01.000Z\",\"revoked_at\":null}]")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_email_is_kept_in_small_letters),
		cmocka_unit_test(what_is_no_email_is_refused),
		cmocka_unit_test(an_email_has_254_bytes_and_64_before_the_at),
		cmocka_unit_test(a_name_is_text_without_control_characters),
		cmocka_unit_test(neither_hash_is_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
