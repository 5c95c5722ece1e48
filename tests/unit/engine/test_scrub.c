/* The scrub, a step at a time: what a step may read, where it goes on, what it marks. */
#include "engine/engine_impl.h"
#include "world.h"

#include <stdlib.h>

#define SIZE 300000

static void store(struct world *w, struct upload *u, size_t size)
{
	char *bytes = malloc(size);

	assert_non_null(bytes);
	fill_random(bytes, size);
	upload_bytes(w, &PUBLIC_SPEC, bytes, size, 65536, u);
	assert_int_equal(u->code, 0);
	free(bytes);
}

static void a_step_reads_no_more_than_it_is_allowed(void **state)
{
	struct world w = {};
	struct upload u;
	int64_t sum = 0;
	unsigned steps = 0;

	world_open(&w, NULL);
	store(&w, &u, SIZE);
	w.g->scrub.position.began_at = 1;
	while (!w.g->scrub.position.whole && ++steps < 1000) {
		int64_t n = scrub_step(w.g, 10000);
		assert_in_range(n, 0, 10000);
		sum += n;
	}
	assert_int_equal(sum, SIZE);
	assert_in_range(steps, SIZE / 10000, SIZE / 10000 + 3);
	world_close(&w);
}

static void an_inline_file_that_was_read_at_once_is_a_debt(void **state)
{
	struct world w = {};
	struct upload u;
	int64_t sum = 0;
	unsigned steps = 0;

	world_open(&w, NULL);
	for (unsigned i = 0; i < 10; i++)
		store(&w, &u, 30000);
	w.g->scrub.position.began_at = 1;
	while (!w.g->scrub.position.whole && ++steps < 1000)
		sum += scrub_step(w.g, 1000);
	assert_int_equal(sum, 300000);
	assert_true(steps >= 300000 / 1000);
	world_close(&w);
}

static void what_is_missing_is_marked(void **state)
{
	struct arena a = ARENA_INIT;
	struct world w = {};
	struct upload u;
	struct err e = ERR_INIT;
	char id[UUID_TEXT_LEN + 1], name[BLOB_NAME_MAX + 1];

	world_open(&w, NULL);
	store(&w, &u, SIZE);
	uuid_format(id, u.id);
	blob_name_for_file(name, STR(OWNER_PUBLIC), id);
	assert_int_equal(blob_remove(w.g->blobs, str_of(name), &e), 0);
	w.g->scrub.position.began_at = 1;
	scrub_step(w.g, SIZE);
	assert_true(read_file(&w, u.id, &a).damaged_at > 0);
	arena_release(&a);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_step_reads_no_more_than_it_is_allowed),
		cmocka_unit_test(an_inline_file_that_was_read_at_once_is_a_debt),
		cmocka_unit_test(what_is_missing_is_marked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
