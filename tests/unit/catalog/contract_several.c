/* The contract: several files in one change, all or none. */
#include "world.h"

#include <string.h>

#define MANY 4

struct several {
	struct built built[MANY];
	struct change_add_file files[MANY];
	struct change change;
};

/* Files of the numbers from `first` on, each with one waiting job. */
static void build_several(struct several *s, unsigned first, size_t n)
{
	memset(s, 0, sizeof(*s));
	for (size_t i = 0; i < n; i++) {
		build_file(&s->built[i], first + (unsigned)i);
		build_job(&s->built[i], "zip");
		s->files[i] = s->built[i].change.add_file;
	}
	s->change = (struct change){.kind = CHANGE_ADD_FILES, .add_files = {.files = s->files, .n = n}};
}

static uint64_t bytes_of(const struct several *s)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < s->change.add_files.n; i++)
		sum += s->built[i].file.size;
	return sum;
}

/* What there is of everything a file brings along. */
static void assert_there_are(struct world *w, uint64_t files, uint64_t bytes, uint64_t waiting)
{
	struct catalog_stats stats;
	struct usage used;

	assert_int_equal(catalog_stats(w->c, NOW, &stats, &w->err), 0);
	assert_int_equal(stats.files, files);
	assert_int_equal(stats.file_bytes, bytes);
	assert_int_equal(stats.jobs_waiting, waiting);
	assert_int_equal(catalog_usage(w->c, OWNER, &used, &w->err), 0);
	assert_int_equal(used.files, files);
	assert_int_equal(used.bytes, bytes);
}

static void several_files_come_in_their_order(void **state)
{
	struct world *w = *state;
	struct several s;

	build_several(&s, 1, MANY);
	assert_int_equal(apply1(w, &s.change), 0);
	assert_there_are(w, MANY, bytes_of(&s), MANY);
	if (w->lasting)
		world_reopen(w);
	for (unsigned i = 0; i < MANY; i++) {
		CLEANUP(buf_release) struct buf b = BUF_INIT;
		struct file f = read_file(w, i + 1);

		assert_int_equal(f.number, i + 1);
		assert_int_equal(s.built[i].file.number, i + 1);
		assert_int_equal(f.n_jobs, 1);
		assert_int_equal(f.jobs[0].state, JOB_QUEUED);
		assert_int_equal(f.jobs[0].number, s.built[i].jobs[0].number);
		assert_int_equal(catalog_inline_bytes(w->c, f.id, &b, &w->err), 0);
		assert_true(str_eq(buf_str(&b), str_of(s.built[i].bytes)));
	}
}

static void where_one_is_refused_none_is_there_and_others_of_the_batch_are(void **state)
{
	struct world *w = *state;
	struct built first, other;
	struct several s;
	struct change *batch[3];

	build_file(&first, 3);
	build_several(&s, 1, MANY); /* the third has an id that is taken */
	build_file(&other, 9);
	batch[0] = &first.change;
	batch[1] = &s.change;
	batch[2] = &other.change;
	assert_int_equal(catalog_apply(w->c, batch, 3, &w->err), 0);
	assert_int_equal(first.change.code, 0);
	assert_int_equal(s.change.code, ERR_CONFLICT);
	assert_int_equal(other.change.code, 0);
	assert_there_are(w, 2, first.file.size + other.file.size, 0);
	build_several(&s, 4, MANY); /* nothing stands in the way of the next ones */
	assert_int_equal(apply1(w, &s.change), 0);
}

static void an_id_that_comes_twice_is_refused(void **state)
{
	struct world *w = *state;
	struct several s;

	build_several(&s, 1, 2);
	s.built[1].file.id = s.built[0].file.id;
	assert_int_equal(apply1(w, &s.change), ERR_CONFLICT);
	build_several(&s, 1, 2);
	s.built[1].jobs[0].id = s.built[0].jobs[0].id;
	assert_int_equal(apply1(w, &s.change), ERR_CONFLICT);
	assert_there_are(w, 0, 0, 0);
}

static void quotas_count_those_that_come_together(void **state)
{
	struct world *w = *state;
	struct several s;

	w->options.owner_files_max = MANY - 1;
	world_reopen(w);
	build_several(&s, 1, MANY);
	assert_int_equal(apply1(w, &s.change), ERR_QUOTA_EXCEEDED);
	assert_int_equal(s.change.add_files.failed_index, MANY - 1);
	assert_there_are(w, 0, 0, 0);
	build_several(&s, 1, MANY - 1);
	assert_int_equal(apply1(w, &s.change), 0);
	world_restart(w, (struct catalog_options){.owner_bytes_max = bytes_of(&s)});
	build_several(&s, 1, MANY);
	assert_int_equal(apply1(w, &s.change), ERR_QUOTA_EXCEEDED);
	assert_int_equal(s.change.add_files.failed_index, MANY - 1);
	build_several(&s, 1, MANY - 1);
	assert_int_equal(apply1(w, &s.change), 0);
	assert_there_are(w, MANY - 1, bytes_of(&s), MANY - 1);
}

static void the_queue_has_room_for_all_their_jobs_or_none(void **state)
{
	struct world *w = *state;
	struct several s;

	w->options.queue_max = MANY - 1;
	world_reopen(w);
	build_several(&s, 1, MANY);
	assert_int_equal(apply1(w, &s.change), ERR_QUEUE_FULL);
	assert_int_equal(s.change.err.limit, MANY - 1);
	assert_there_are(w, 0, 0, 0);
	build_several(&s, 1, MANY - 1);
	assert_int_equal(apply1(w, &s.change), 0);
	world_restart(w, (struct catalog_options){.owner_queue_max = MANY - 1});
	build_several(&s, 1, MANY);
	assert_int_equal(apply1(w, &s.change), ERR_QUEUE_FULL);
	assert_true(s.change.excess_of_owner);
}

static void what_was_used_up_refuses_all_of_them(void **state)
{
	struct world *w = *state;
	struct several s;

	build_several(&s, 1, 2);
	s.change.once = (struct once){.set = true, .key = {7}, .expires_at = NOW + 1000};
	assert_int_equal(apply1(w, &s.change), 0);
	build_several(&s, 3, 2);
	s.change.once = (struct once){.set = true, .key = {7}, .expires_at = NOW + 1000};
	assert_int_equal(apply1(w, &s.change), ERR_USED);
	assert_int_equal(catalog_file(w->c, (struct file_key){.id = test_id(3)}, OWNER, &w->arena, &(struct file){}, &w->err),
			 ERR_FILE_NOT_FOUND);
}

static void what_cannot_come_together_is_refused(void **state)
{
	struct world *w = *state;
	struct several s;

	build_several(&s, 1, 1);
	s.change.add_files.n = 0;
	assert_int_equal(apply1(w, &s.change), ERR_INVALID_VALUE);
	build_several(&s, 1, 1);
	s.change.add_files.n = FILES_AT_ONCE_MAX + 1;
	assert_int_equal(apply1(w, &s.change), ERR_INVALID_VALUE);
	build_several(&s, 1, 2);
	s.files[1].idempotency_key = STR("k");
	assert_int_equal(apply1(w, &s.change), ERR_INVALID_VALUE);
	build_several(&s, 1, 2);
	s.built[1].file.owner = STR("somebody else");
	assert_int_equal(apply1(w, &s.change), ERR_INVALID_VALUE);
	assert_string_equal(s.change.err.field, "owner");
	build_several(&s, 1, 2);
	s.built[1].file.name = STR("");
	assert_int_equal(apply1(w, &s.change), ERR_INVALID_VALUE);
	assert_int_equal(s.change.add_files.failed_index, 1);
	build_several(&s, 1, 2);
	s.built[1].file.location = LOCATION_COMING;
	assert_int_equal(apply1(w, &s.change), ERR_INVALID_VALUE);
	assert_there_are(w, 0, 0, 0);
}

const struct named_test contract_several[] = {
	NAMED(several_files_come_in_their_order),
	NAMED(where_one_is_refused_none_is_there_and_others_of_the_batch_are),
	NAMED(an_id_that_comes_twice_is_refused),
	NAMED(quotas_count_those_that_come_together),
	NAMED(the_queue_has_room_for_all_their_jobs_or_none),
	NAMED(what_was_used_up_refuses_all_of_them),
	NAMED(what_cannot_come_together_is_refused),
	{},
};
