#include "base/arena.h"

#include <stdalign.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Allocations to let through before one fails; negative: none fails. */
static int allocations_left = -1;

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size)
{
	if (allocations_left == 0)
		return NULL;
	if (allocations_left > 0)
		allocations_left--;
	return __real_calloc(n, size);
}

static void pieces_are_zeroed_aligned_and_apart(void **state)
{
	struct arena a = ARENA_INIT;
	unsigned char *pieces[500];
	size_t sizes[500];

	for (size_t i = 0; i < 500; i++) {
		sizes[i] = i * 7 % 301;
		pieces[i] = arena_alloc(&a, sizes[i]);
		assert_non_null(pieces[i]);
		assert_int_equal((uintptr_t)pieces[i] % alignof(max_align_t), 0);
		for (size_t at = 0; at < sizes[i]; at++)
			assert_int_equal(pieces[i][at], 0);
		memset(pieces[i], (int)(i & 0xff), sizes[i]);
	}
	for (size_t i = 0; i < 500; i++) {
		for (size_t at = 0; at < sizes[i]; at++)
			assert_int_equal(pieces[i][at], i & 0xff);
	}
	assert_true(a.used >= 500 * 150);
	arena_release(&a);
	assert_int_equal(a.used, 0);
	assert_null(a.blocks);
	arena_release(&a);
	arena_release(NULL);
}

static void a_large_piece_leaves_the_newest_block_in_use(void **state)
{
	struct arena a = ARENA_INIT;
	char *first = arena_alloc(&a, 16), *large = arena_alloc(&a, 1000000), *next = arena_alloc(&a, 16);

	assert_non_null(large);
	memset(large, 1, 1000000);
	assert_ptr_equal(next, first + 16);
	arena_release(&a);
}

static void strings_are_copied_with_a_nul(void **state)
{
	struct arena a = ARENA_INIT;
	struct str s;

	assert_string_equal(arena_strndup(&a, "abcdef", 3), "abc");
	assert_string_equal(arena_strndup(&a, NULL, 0), "");
	s = arena_str(&a, STR("a\0b"));
	assert_true(str_eq(s, STR("a\0b")));
	assert_int_equal(s.p[3], '\0');
	arena_release(&a);
}

static void sizes_that_cannot_be_give_null(void **state)
{
	struct arena a = ARENA_INIT;

	assert_null(arena_alloc(&a, SIZE_MAX));
	assert_null(arena_alloc(&a, SIZE_MAX - 16));
	assert_null(arena_strndup(&a, "x", SIZE_MAX));
	assert_non_null(arena_alloc(&a, 1));
	arena_release(&a);
}

static void memory_that_runs_out_gives_null_and_keeps_the_rest(void **state)
{
	struct arena a = ARENA_INIT;
	char *kept;

	allocations_left = 0;
	assert_null(arena_alloc(&a, 1));
	assert_null(arena_str(&a, STR("x")).p);
	allocations_left = 1;
	kept = arena_strndup(&a, "kept", 4);
	assert_null(arena_alloc(&a, 4000)); /* a block of its own */
	assert_null(arena_alloc(&a, 2040)); /* a new newest block */
	allocations_left = -1;
	assert_string_equal(kept, "kept");
	assert_non_null(arena_alloc(&a, 4000));
	arena_release(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_are_zeroed_aligned_and_apart),
		cmocka_unit_test(a_large_piece_leaves_the_newest_block_in_use),
		cmocka_unit_test(strings_are_copied_with_a_nul),
		cmocka_unit_test(sizes_that_cannot_be_give_null),
		cmocka_unit_test(memory_that_runs_out_gives_null_and_keeps_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
