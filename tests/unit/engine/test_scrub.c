/* The scrub, a step at a time: what a step may read, where it goes on, what it marks, when it gives way. Its thread does not run here. */
#include "engine/engine_impl.h"
#include "tame.h"
#include "world.h"

#include <sched.h>
#include <stdlib.h>

#define SIZE 300000

/* An upload is under way a moment longer than its answer. */
static void wait_quiet(struct world *w)
{
	while (uploads_any(w->g) || scheduler_any_inhand(w->g))
		sched_yield();
}

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

static struct str blob_of(const struct upload *u, char name[BLOB_NAME_MAX + 1])
{
	char id[UUID_TEXT_LEN + 1];

	uuid_format(id, u->id);
	blob_name_for_file(name, STR(OWNER_PUBLIC), id);
	return str_of(name);
}

static int64_t damaged_at(struct world *w, const struct upload *u)
{
	struct arena a = ARENA_INIT;
	int64_t at = read_file(w, u->id, &a).damaged_at;

	arena_release(&a);
	return at;
}

static void round_of(struct world *w)
{
	w->g->scrub.position = (struct scrub_position){.began_at = 1};
	while (!w->g->scrub.position.whole)
		scrub_step(w->g, 1 << 20);
}

static void what_is_missing_is_marked(void **state)
{
	char name[BLOB_NAME_MAX + 1];
	struct world w = {};
	struct err e = ERR_INIT;
	struct upload u;

	world_open(&w, NULL);
	store(&w, &u, SIZE);
	assert_int_equal(blob_remove(w.g->blobs, blob_of(&u, name), &e), 0);
	round_of(&w);
	assert_true(damaged_at(&w, &u) > 0);
	world_close(&w);
}

static void put_blob(struct world *w, struct str name, const void *bytes, size_t n)
{
	struct blob_writer *writer;
	struct err e = ERR_INIT;

	(void)blob_remove(w->g->blobs, name, &e);
	assert_int_equal(blob_create(w->g->blobs, name, n, &writer, &e), 0);
	assert_int_equal(blob_append(writer, bytes, n, &e), 0);
	assert_int_equal(blob_commit(writer, &e), 0);
}

static void what_is_whole_again_loses_its_mark(void **state)
{
	char name[BLOB_NAME_MAX + 1], *bytes = malloc(SIZE);
	struct world w = {};
	struct upload u;

	assert_non_null(bytes);
	fill_random(bytes, SIZE);
	world_open(&w, NULL);
	upload_bytes(&w, &PUBLIC_SPEC, bytes, SIZE, 65536, &u);
	bytes[SIZE - 1] ^= 1;
	put_blob(&w, blob_of(&u, name), bytes, SIZE);
	round_of(&w);
	int64_t at = damaged_at(&w, &u);
	assert_true(at > 0);
	round_of(&w);
	assert_int_equal(damaged_at(&w, &u), at); /* found again, it keeps its time */
	bytes[SIZE - 1] ^= 1;
	put_blob(&w, blob_of(&u, name), bytes, SIZE);
	round_of(&w);
	assert_int_equal(damaged_at(&w, &u), 0);
	world_close(&w);
	free(bytes);
}

/* What another life of the engine would do: nothing is left but what the catalogue has. */
static void live_again(struct world *w)
{
	scrub_release(&w->g->scrub);
	w->g->scrub = (struct scrub){.sleeper = w->g->scrub.sleeper, .fd = -1};
	scrub_resume(w->g);
}

static void after_a_kill_a_round_goes_on_near_where_it_was(void **state)
{
	struct engine_config config = world_config();
	const int64_t size = 16 << 20, n = 10;
	struct world w = {};
	struct upload u;

	config.scrub_rate = 4 * (uint64_t)size; /* a file a tick */
	config.scrub_every_ms = 1000000;
	world_open(&w, &config);
	scrub_stop(w.g);
	live_again(&w);
	for (int64_t i = 0; i < n; i++)
		store(&w, &u, (size_t)size);
	wait_quiet(&w);
	int64_t before = 0, after = 0;
	for (int64_t i = 0; i < n - 2; i++)
		before += scrub_tick(w.g);
	assert_true(before > (n - 3) * size && !w.g->scrub.position.whole);
	live_again(&w);
	assert_true(w.g->scrub.position.began_at != 0 && w.g->scrub.position.at.number > 0);
	while (!w.g->scrub.position.whole)
		after += scrub_tick(w.g);
	assert_in_range(before + after, n * size, n * size + (64 << 20) + size); /* read again: what was read since it was kept last */
	live_again(&w);
	assert_true(w.g->scrub.position.whole);
	assert_int_equal(scrub_tick(w.g), 0); /* and the next round is not due */
	world_close(&w);
}

static void it_gives_way_to_uploads_but_not_for_ever(void **state)
{
	struct engine_config config = world_config();
	struct err e = ERR_INIT;
	struct intake *in;
	struct world w = {};
	struct upload u;

	config.scrub_rate = 40000; /* 10,000 a tick */
	config.scrub_every_ms = 1000000;
	world_open(&w, &config);
	scrub_stop(w.g);
	live_again(&w);
	store(&w, &u, SIZE);
	wait_quiet(&w);
	assert_true(scrub_tick(w.g) > 0);
	assert_int_equal(intake_open(w.g, &PUBLIC_SPEC, &in, &e), 0);
	for (unsigned i = 0; i < 15; i++)
		assert_int_equal(scrub_tick(w.g), 0);
	assert_true(scrub_tick(w.g) > 0);
	assert_int_equal(scrub_tick(w.g), 0);
	intake_cancel(in);
	wait_quiet(&w);
	assert_true(scrub_tick(w.g) > 0);
	world_close(&w);
}

static void it_gives_way_to_jobs(void **state)
{
	struct engine_config config = world_config();
	struct upload u;
	struct world w = {};
	struct tame *t;

	tame_new(&t);
	config.runner = tame_runner(t);
	config.scrub_rate = 40000;
	config.scrub_every_ms = 1000000;
	config.default_ops = "gzip";
	world_open(&w, &config);
	scrub_stop(w.g);
	live_again(&w);
	tame_set(t, (struct tame_plan){.hold = true});
	store(&w, &u, SIZE);
	tame_wait_held(t, 1);
	assert_int_equal(scrub_tick(w.g), 0);
	tame_set(t, (struct tame_plan){});
	assert_true(wait_final(&w, u.id, 60000));
	wait_quiet(&w);
	assert_true(scrub_tick(w.g) > 0);
	world_close(&w);
	runner_free(tame_runner(t));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_step_reads_no_more_than_it_is_allowed),
		cmocka_unit_test(an_inline_file_that_was_read_at_once_is_a_debt),
		cmocka_unit_test(what_is_missing_is_marked),
		cmocka_unit_test(what_is_whole_again_loses_its_mark),
		cmocka_unit_test(after_a_kill_a_round_goes_on_near_where_it_was),
		cmocka_unit_test(it_gives_way_to_uploads_but_not_for_ever),
		cmocka_unit_test(it_gives_way_to_jobs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
