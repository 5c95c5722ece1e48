#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Allocations to let through before one fails; negative: none fails. */
static int allocations_left = -1;

void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n)
{
	if (allocations_left == 0)
		return NULL;
	if (allocations_left > 0)
		allocations_left--;
	return __real_realloc(p, n);
}

static void pieces_are_put_together(void **state)
{
	struct buf b = BUF_INIT;

	assert_true(str_eq(buf_str(&b), STR("")));
	buf_add(&b, NULL, 0);
	buf_add_cstr(&b, "a");
	buf_add_char(&b, 'b');
	buf_add_str(&b, STR("cd"));
	buf_add_u64(&b, 0);
	buf_add_char(&b, ' ');
	buf_add_u64(&b, UINT64_MAX);
	buf_addf(&b, " %s %d", "x", -1);
	assert_true(buf_ok(&b));
	assert_string_equal(b.p, "abcd0 18446744073709551615 x -1");
	assert_int_equal(b.len, strlen(b.p));
	buf_release(&b);
	buf_release(NULL);
}

static void it_grows_over_any_number_of_appends(void **state)
{
	struct buf b = BUF_INIT;

	for (size_t i = 0; i < 100000; i++) {
		buf_add_char(&b, (char)('a' + i % 26));
		assert_int_equal(b.p[b.len], '\0');
	}
	assert_int_equal(b.len, 100000);
	for (size_t i = 0; i < b.len; i++)
		assert_int_equal(b.p[i], 'a' + i % 26);
	buf_release(&b);
	assert_null(b.p);
}

static void the_limit_is_allowed_and_one_more_is_not(void **state)
{
	struct buf b = {.limit = 10};

	buf_add_cstr(&b, "0123456789");
	assert_true(buf_ok(&b));
	buf_add(&b, NULL, 0);
	assert_true(buf_ok(&b));
	buf_add_char(&b, 'x');
	assert_false(buf_ok(&b));
	buf_reset(&b);
	assert_true(buf_ok(&b));
	buf_add_cstr(&b, "0123456789x");
	assert_false(buf_ok(&b));
	assert_int_equal(b.len, 0);
	buf_reset(&b);
	buf_addf(&b, "%s", "0123456789");
	assert_true(buf_ok(&b));
	buf_addf(&b, "%d", 1);
	assert_false(buf_ok(&b));
	buf_release(&b);
	assert_int_equal(b.limit, 10);
}

static void a_failure_sticks_until_the_reset(void **state)
{
	struct buf b = {.limit = 3};

	buf_add_cstr(&b, "four");
	buf_add_cstr(&b, "f");
	buf_add_u64(&b, 1);
	buf_addf(&b, "f");
	assert_false(buf_ok(&b));
	assert_int_equal(b.len, 0);
	buf_reset(&b);
	buf_add_cstr(&b, "f");
	assert_true(buf_ok(&b));
	assert_string_equal(b.p, "f");
	buf_release(&b);
}

static void each_allocation_may_fail_without_harm(void **state)
{
	/* 256, 512 and 1024 bytes: three allocations; the fourth run meets no failure. */
	for (int fail_at = 0; fail_at <= 3; fail_at++) {
		struct buf b = BUF_INIT;

		allocations_left = fail_at;
		for (int i = 0; i < 100; i++)
			buf_add_cstr(&b, "12345678");
		allocations_left = -1;
		assert_int_equal(buf_ok(&b), fail_at == 3);
		assert_true(b.cap == 0 || b.p[b.len] == '\0');
		buf_release(&b);
	}
}

static void sizes_that_cannot_be_are_a_failure(void **state)
{
	struct buf b = BUF_INIT;

	buf_add_char(&b, 'a');
	buf_reserve(&b, SIZE_MAX);
	assert_false(buf_ok(&b));
	buf_reset(&b);
	buf_reserve(&b, SIZE_MAX / 2);
	assert_false(buf_ok(&b));
	buf_release(&b);
}

static void reserved_room_does_not_move(void **state)
{
	struct buf b = BUF_INIT;
	char *p;

	buf_reserve(&b, 5000);
	p = b.p;
	for (int i = 0; i < 5000; i++)
		buf_add_char(&b, 'x');
	assert_ptr_equal(p, b.p);
	buf_release(&b);
}

static void stealing_gives_the_memory_away(void **state)
{
	struct buf b = BUF_INIT;
	size_t n = 99;
	char *p;

	p = buf_steal(&b, &n);
	assert_string_equal(p, "");
	assert_int_equal(n, 0);
	free(p);
	buf_add_cstr(&b, "abc");
	p = buf_steal(&b, NULL);
	assert_string_equal(p, "abc");
	assert_null(b.p);
	assert_int_equal(b.len, 0);
	free(p);
	b.limit = 1;
	buf_add_cstr(&b, "ab");
	assert_null(buf_steal(&b, &n));
	assert_true(buf_ok(&b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_are_put_together),
		cmocka_unit_test(it_grows_over_any_number_of_appends),
		cmocka_unit_test(the_limit_is_allowed_and_one_more_is_not),
		cmocka_unit_test(a_failure_sticks_until_the_reset),
		cmocka_unit_test(each_allocation_may_fail_without_harm),
		cmocka_unit_test(sizes_that_cannot_be_are_a_failure),
		cmocka_unit_test(reserved_room_does_not_move),
		cmocka_unit_test(stealing_gives_the_memory_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
