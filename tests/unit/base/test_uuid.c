#include "base/compiler.h"
#include "base/uuid.h"

#include <pthread.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct uuid));
}

static void the_layout_is_that_of_version_7(void **state)
{
	struct uuid_gen g = {};
	char text[UUID_TEXT_LEN + 1];

	/* The example of RFC 9562 appendix A.6 has this time; the counter starts at 0, the variant overwrites two random bits. */
	uuid_format(text, uuid_next(&g, 0x017f22e279b0, UINT64_MAX));
	assert_string_equal(text, "017f22e2-79b0-7000-bfff-ffffffffffff");
	uuid_format(text, uuid_next(&g, 0x017f22e279b0, 0));
	assert_string_equal(text, "017f22e2-79b0-7001-8000-000000000000");
}

static void ids_ascend_when_the_clock_stands_or_steps_back(void **state)
{
	struct uuid_gen g = {};
	struct uuid last = uuid_next(&g, 1000000, UINT64_MAX);

	for (int i = 0; i < 10000; i++) {
		struct uuid next = uuid_next(&g, 1000000 - i, 0);

		assert_true(compare(&last, &next) < 0);
		last = next;
	}
}

static void a_full_counter_moves_on_to_the_next_millisecond(void **state)
{
	struct uuid_gen g = {};
	char text[UUID_TEXT_LEN + 1];

	for (int i = 0; i < 4096; i++)
		uuid_format(text, uuid_next(&g, 0x100, 0));
	assert_string_equal(text, "00000000-0100-7fff-8000-000000000000");
	uuid_format(text, uuid_next(&g, 0x100, 0));
	assert_string_equal(text, "00000000-0101-7000-8000-000000000000");
	uuid_format(text, uuid_next(&g, 0x101, 0));
	assert_string_equal(text, "00000000-0101-7001-8000-000000000000");
}

static void times_out_of_range_are_clamped(void **state)
{
	struct uuid_gen g = {}, h = {};
	char text[UUID_TEXT_LEN + 1];

	uuid_format(text, uuid_next(&g, -1, 0));
	assert_string_equal(text, "00000000-0000-7001-8000-000000000000");
	uuid_format(text, uuid_next(&h, INT64_MAX, 0));
	assert_string_equal(text, "ffffffff-ffff-7000-8000-000000000000");
}

#define THREADS 4
#define IDS 20000

struct maker {
	struct uuid_gen *gen;
	struct uuid ids[IDS];
};

static void *make_ids(void *arg)
{
	struct maker *m = arg;

	for (int i = 0; i < IDS; i++)
		m->ids[i] = uuid_next(m->gen, 5000 + i / 1000, 0);
	return NULL;
}

/* With no random bits at all, uniqueness is the generator's doing. */
static void threads_get_ids_that_ascend_and_never_repeat(void **state)
{
	struct uuid_gen g = {};
	struct maker *makers = calloc(THREADS, sizeof(*makers));
	struct uuid *all = calloc(THREADS * IDS, sizeof(*all));
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++) {
		makers[i].gen = &g;
		assert_int_equal(pthread_create(&threads[i], NULL, make_ids, &makers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		for (int k = 1; k < IDS; k++)
			assert_true(compare(&makers[i].ids[k - 1], &makers[i].ids[k]) < 0);
		memcpy(all + i * IDS, makers[i].ids, sizeof(makers[i].ids));
	}
	qsort(all, THREADS * IDS, sizeof(*all), compare);
	for (int i = 1; i < THREADS * IDS; i++)
		assert_false(uuid_eq(all[i - 1], all[i]));
	free(all);
	free(makers);
}

static void text_and_bytes_go_both_ways(void **state)
{
	static const char text[] = "0190a1b2-c3d4-7e5f-8a9b-0123456789ab";
	char back[UUID_TEXT_LEN + 1];
	struct uuid u;

	assert_true(uuid_parse(&u, str_of(text)));
	assert_int_equal(u.b[0], 0x01);
	assert_int_equal(u.b[15], 0xab);
	uuid_format(back, u);
	assert_string_equal(back, text);
	assert_true(uuid_parse(&u, STR("00000000-0000-0000-0000-000000000000")));
	assert_true(uuid_is_zero(u));
	u.b[15] = 1;
	assert_false(uuid_is_zero(u));
}

static void an_id_has_one_spelling(void **state)
{
	static const char *const wrong[] = {
		"",
		"0190a1b2-c3d4-7e5f-8a9b-0123456789a",
		"0190a1b2-c3d4-7e5f-8a9b-0123456789abc",
		"0190A1b2-c3d4-7e5f-8a9b-0123456789ab",
		"0190a1b2c3d47e5f8a9b0123456789ab",
		"0190a1b2-c3d4-7e5f-8a9b+0123456789ab",
		"0190a1b-2c3d4-7e5f-8a9b-0123456789ab",
		"0190a1b2-c3d4-7e5f-8a9b-0123456789ag",
		"{190a1b2-c3d4-7e5f-8a9b-0123456789a}",
		"0190a1b2-c3d4-7e5f-8a9b-012345678 ab",
	};
	struct uuid u = {.b = {9}};

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_false(uuid_parse(&u, str_of(wrong[i])));
	assert_int_equal(u.b[0], 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_layout_is_that_of_version_7),
		cmocka_unit_test(ids_ascend_when_the_clock_stands_or_steps_back),
		cmocka_unit_test(a_full_counter_moves_on_to_the_next_millisecond),
		cmocka_unit_test(times_out_of_range_are_clamped),
		cmocka_unit_test(threads_get_ids_that_ascend_and_never_repeat),
		cmocka_unit_test(text_and_bytes_go_both_ways),
		cmocka_unit_test(an_id_has_one_spelling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
