#include "auth/password.h"
#include "base/compiler.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static int allowed(const char *text, size_t n)
{
	struct err e = ERR_INIT;
	int rc = password_allowed((struct str){text, n}, &e);

	if (rc != 0)
		assert_string_equal(e.field, "password");
	return rc;
}

static void a_password_has_ten_characters_and_at_most_1024_bytes(void **state)
{
	char long_one[PASSWORD_BYTES_MAX + 1];

	memset(long_one, 'x', sizeof(long_one));
	assert_int_equal(allowed("", 0), ERR_INVALID_VALUE);
	assert_int_equal(allowed("123456789", 9), ERR_INVALID_VALUE);
	assert_int_equal(allowed("1234567890", 10), 0);
	assert_int_equal(allowed(long_one, PASSWORD_BYTES_MAX), 0);
	assert_int_equal(allowed(long_one, PASSWORD_BYTES_MAX + 1), ERR_INVALID_VALUE);
}

static void characters_are_counted_not_bytes(void **state)
{
	assert_int_equal(allowed("äöüäöüäöü", 18), ERR_INVALID_VALUE);
	assert_int_equal(allowed("äöüäöüäöüß", 20), 0);
}

static void a_password_is_utf8_without_nul(void **state)
{
	assert_int_equal(allowed("123456789\0a", 11), ERR_INVALID_VALUE);
	assert_int_equal(allowed("1234567890\xff", 11), ERR_INVALID_VALUE);
	assert_int_equal(allowed("with blanks\tand\nlines", 21), 0);
}

static void a_hash_is_argon2id_with_the_promised_parameters(void **state)
{
	static const char expected[] = "$argon2id$v=19$m=19456,t=2,p=1$";
	char one[PASSWORD_TEXT], other[PASSWORD_TEXT];
	struct err e = ERR_INIT;

	assert_int_equal(password_hash(one, STR("correct horse"), &e), 0);
	assert_int_equal(password_hash(other, STR("correct horse"), &e), 0);
	assert_memory_equal(one, expected, sizeof(expected) - 1);
	assert_string_not_equal(one, other); /* a salt each */
}

static bool right(struct str hash, struct str password)
{
	struct err e = ERR_INIT;
	bool ret = false;

	assert_int_equal(password_check(hash, password, &ret, &e), 0);
	return ret;
}

static void only_the_password_itself_is_right(void **state)
{
	char hash[PASSWORD_TEXT];
	struct err e = ERR_INIT;

	assert_int_equal(password_hash(hash, STR("correct horse"), &e), 0);
	assert_true(right(str_of(hash), STR("correct horse")));
	assert_false(right(str_of(hash), STR("correct hors")));
	assert_false(right(str_of(hash), STR("correct horse ")));
	assert_false(right(str_of(hash), STR("")));
}

static void what_is_no_hash_is_nobodys(void **state)
{
	char too_long[PASSWORD_TEXT + 1];

	memset(too_long, '$', sizeof(too_long));
	assert_false(right(STR(""), STR("correct horse")));
	assert_false(right(STR("x"), STR("correct horse")));
	assert_false(right((struct str){too_long, sizeof(too_long)}, STR("correct horse")));
}

static int64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* The least of some runs, in time of this thread: a busy machine does not count. */
static int64_t cost(struct str hash)
{
	int64_t least = INT64_MAX;

	for (int i = 0; i < 5; i++) {
		int64_t from = cpu_ns();
		(void)right(hash, STR("wrong horse"));
		int64_t took = cpu_ns() - from;
		least = took < least ? took : least;
	}
	return least;
}

/* Were nothing hashed for an unknown account, the two would differ a thousandfold. */
static void nobodys_hash_costs_what_a_real_one_does(void **state)
{
	char hash[PASSWORD_TEXT];
	struct err e = ERR_INIT;

	assert_int_equal(password_hash(hash, STR("correct horse"), &e), 0);
	int64_t known = cost(str_of(hash)), unknown = cost(STR(""));
	assert_true(unknown > known / 3 && known > unknown / 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_password_has_ten_characters_and_at_most_1024_bytes),
		cmocka_unit_test(characters_are_counted_not_bytes),
		cmocka_unit_test(a_password_is_utf8_without_nul),
		cmocka_unit_test(a_hash_is_argon2id_with_the_promised_parameters),
		cmocka_unit_test(only_the_password_itself_is_right),
		cmocka_unit_test(what_is_no_hash_is_nobodys),
		cmocka_unit_test(nobodys_hash_costs_what_a_real_one_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
