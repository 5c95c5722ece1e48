/* Whether bytes may be removed from a bucket that a copy of this catalogue may use too; and what is removed where some of it cannot be. The store is one in memory that is taken for a bucket. */
#include "blobs/blobs.h"
#include "catalog/catalog_impl.h"
#include "engine/engine_impl.h"
#include "rt/metrics.h"
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SWEEP_EVERY_MS (6 * INT64_C(3600000))
#define LOOK_EVERY_MS 60000
#define HOLD_MS (4 * LOOK_EVERY_MS)
#define OTHER 77
#define PATIENCE 60000 /* looks, of a millisecond each */

struct ahead {
	struct env env;
	_Atomic int64_t ms; /* of the real clock */
};

static struct ahead clock_of;

static int64_t ahead_mono(struct env *e)
{
	return env_real.mono_ms(&env_real) + atomic_load(&clock_of.ms);
}

static void open_bucket(struct world *w, bool new)
{
	struct engine_config c = world_config();

	c.in_bucket = true;
	c.bucket_new = new;
	c.sweep_every_ms = SWEEP_EVERY_MS;
	clock_of.env = env_real;
	clock_of.env.mono_ms = ahead_mono;
	atomic_store(&clock_of.ms, 0);
	w->env = &clock_of.env;
	world_open(w, &c);
}

static struct uuid store(struct world *w)
{
	char *data = calloc(1, 100000);
	struct upload u;

	upload_bytes(w, &PUBLIC_SPEC, data, 100000, 10000, &u);
	assert_int_equal(u.code, 0);
	free(data);
	return u.id;
}

static void drop(struct world *w, struct uuid id)
{
	struct change c = {.kind = CHANGE_DELETE_FILE,
			   .delete_file = {.id = id, .owner = STR(OWNER_PUBLIC), .now = env_real.wall_ms(&env_real)}};

	assert_int_equal(apply(w, &c), 0);
}

static bool is_there(struct world *w, struct uuid id)
{
	char name[BLOB_NAME_MAX + 1], text[UUID_TEXT_LEN + 1];
	uint64_t size;
	int fd = -1;

	uuid_format(text, id);
	blob_name_for_file(name, STR(OWNER_PUBLIC), text);
	int rc = blob_open(w->blobs, str_of(name), &fd, &size, NULL);
	if (rc == 0)
		close(fd);
	return rc != ERR_NOT_FOUND;
}

static bool goes(struct world *w, struct uuid id, int looks)
{
	for (int i = 0; i < looks && is_there(w, id); i++)
		usleep(1000);
	return !is_there(w, id);
}

static int count_word(void *arg, struct str name, uint64_t size)
{
	int64_t word;

	*(unsigned *)arg += blob_line_parse(&word, name);
	return 0;
}

static unsigned words(struct world *w)
{
	unsigned n = 0;

	assert_int_equal(blobs_visit_some(w->blobs, STR(BLOB_LINE_SHARD), count_word, &n, NULL), 0);
	return n;
}

static void put_other(struct world *w)
{
	char name[BLOB_NAME_MAX + 1];
	struct blob_writer *b;

	blob_name_for_line(name, OTHER);
	assert_int_equal(blob_create(w->blobs, str_of(name), 0, &b, NULL), 0);
	assert_int_equal(blob_commit(b, NULL), 0);
}

static void wait_contested(bool is)
{
	for (int i = 0; i < PATIENCE && metric_value(METRIC_STORAGE_CONTESTED) != is; i++)
		usleep(1000);
	assert_int_equal(metric_value(METRIC_STORAGE_CONTESTED), is);
}

static void after(int64_t ms)
{
	atomic_fetch_add(&clock_of.ms, ms);
}

/* The first look is over: time counts from then on. */
static void wait_settled(struct world *w)
{
	struct catalog_line line = {};

	for (int i = 0; i < PATIENCE && (line.word == 0 || line.next != 0); i++) {
		assert_int_equal(catalog_line(w->catalog, &line, NULL), 0);
		usleep(1000);
	}
	assert_true(line.word != 0 && line.next == 0);
}

static void a_word_is_told_by_its_name(void **state)
{
	char name[BLOB_NAME_MAX + 1];
	int64_t word;

	blob_name_for_line(name, INT64_MAX);
	assert_string_equal(name, "filemill/00/line-7fffffffffffffff");
	assert_true(blob_name_valid(str_of(name)));
	assert_true(blob_line_parse(&word, str_of(name)));
	assert_true(word == INT64_MAX);
	assert_false(blob_line_parse(&word, STR("filemill/00/line-8000000000000000")));
	assert_false(blob_line_parse(&word, STR("filemill/00/line-0000000000000000")));
	assert_false(blob_line_parse(&word, STR("filemill/00/line-7fffffffffffff")));
	assert_false(blob_line_parse(&word, STR("filemill/00/owner")));
	assert_false(blob_line_parse(&word, STR("other/00/line-7fffffffffffffff")));
}

static void in_a_new_bucket_bytes_go_at_once(void **state)
{
	struct world w = {};

	open_bucket(&w, true);
	struct uuid id = store(&w);
	drop(&w, id);
	assert_true(goes(&w, id, PATIENCE));
	assert_int_equal(words(&w), 1);
	world_close(&w);
}

static void in_a_bucket_that_was_used_they_wait_until_any_other_one_would_have_looked(void **state)
{
	struct world w = {};

	open_bucket(&w, false);
	wait_settled(&w);
	struct uuid id = store(&w);
	drop(&w, id);
	after(HOLD_MS - LOOK_EVERY_MS);
	assert_false(goes(&w, id, 1500)); /* three looks of the janitor's */
	after(LOOK_EVERY_MS);
	assert_true(goes(&w, id, PATIENCE));
	assert_int_equal(metric_value(METRIC_STORAGE_CONTESTED), 0);
	world_close(&w);
}

static void beside_another_word_nothing_goes_until_somebody_says_so(void **state)
{
	struct change sole = {.kind = CHANGE_LINE, .line = {.step = LINE_SOLE}};
	struct world w = {};

	open_bucket(&w, true);
	struct uuid id = store(&w), second = store(&w);
	drop(&w, second);
	assert_true(goes(&w, second, PATIENCE));
	put_other(&w);
	after(LOOK_EVERY_MS);
	wait_contested(true);
	drop(&w, id);
	after(10 * HOLD_MS);
	assert_false(goes(&w, id, 1500));
	assert_int_equal(words(&w), 2);
	assert_int_equal(apply(&w, &sole), 0);
	assert_true(goes(&w, id, PATIENCE));
	assert_int_equal(words(&w), 1);
	wait_contested(false);
	world_close(&w);
}

static void whose_word_was_taken_away_puts_another_one(void **state)
{
	struct catalog_line line;
	char name[BLOB_NAME_MAX + 1];
	struct world w = {};

	open_bucket(&w, true);
	struct uuid id = store(&w);
	drop(&w, id);
	assert_true(goes(&w, id, PATIENCE));
	assert_int_equal(catalog_line(w.catalog, &line, NULL), 0);
	blob_name_for_line(name, line.word);
	assert_int_equal(blob_remove(w.blobs, str_of(name), NULL), 0);
	put_other(&w); /* as a copy does that takes its place */
	after(LOOK_EVERY_MS);
	wait_contested(true);
	for (int i = 0; i < PATIENCE && words(&w) < 2; i++)
		usleep(1000);
	assert_int_equal(words(&w), 2);
	world_close(&w);
	metric_set(METRIC_STORAGE_CONTESTED, 0);
}

/* Each call in turn fails, once: nobody is locked out by what was begun. */
static void a_look_that_failed_is_made_up_for(void **state)
{
	for (unsigned k = 1; k <= 8; k++) {
		struct world w = {};

		w.plan.code = ERR_STORAGE_UNAVAILABLE;
		w.plan.fail_at = k;
		open_bucket(&w, true);
		for (int i = 0; i < PATIENCE && words(&w) != 1; i++) {
			after(1000);
			usleep(1000);
		}
		w.plan.fail_at = 0;
		struct uuid id = store(&w);
		drop(&w, id);
		assert_true(goes(&w, id, PATIENCE));
		after(2 * INT64_C(3600000)); /* a new word is due */
		usleep(1000);
		assert_int_equal(metric_value(METRIC_STORAGE_CONTESTED), 0);
		world_close(&w);
	}
}

/* ---- what cannot be removed ---- */

#define REFUSED 600

static const struct catalog_ops *real_ops;
static struct catalog_ops our_ops;

/* In front of what is doomed stand names that no store takes. */
static int refused_first(struct catalog *c, struct str after_name, uint32_t max, struct arena *a, struct str **ret, size_t *ret_n,
			 struct err *e)
{
	size_t n = 0, rest = 0;
	struct str *list = arena_alloc(a, max * sizeof(*list)), *real = NULL;

	for (unsigned i = 0; i < REFUSED && n < max; i++) {
		char name[16];
		snprintf(name, sizeof(name), "!%05u", i);
		if (after_name.len == 0 || strcmp(name, after_name.p) > 0)
			list[n++] = arena_str(a, str_of(name));
	}
	if (n < max) {
		int rc = real_ops->doomed(c, after_name, (uint32_t)(max - n), a, &real, &rest, e);
		if (rc != 0)
			return rc;
		for (size_t i = 0; i < rest; i++)
			list[n++] = real[i];
	}
	*ret = list;
	*ret_n = n;
	return 0;
}

static void refuse_first(struct catalog *c)
{
	real_ops = c->ops;
	our_ops = *c->ops;
	our_ops.doomed = refused_first;
	c->ops = &our_ops;
}

static void what_cannot_be_removed_keeps_nothing_else(void **state)
{
	struct world w = {.prepare = refuse_first};

	open_bucket(&w, true);
	struct uuid id = store(&w);
	drop(&w, id);
	for (int i = 0; i < PATIENCE && is_there(&w, id); i++) {
		after(1000); /* failures are tried again each minute */
		usleep(1000);
	}
	assert_false(is_there(&w, id));
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_word_is_told_by_its_name),
		cmocka_unit_test(in_a_new_bucket_bytes_go_at_once),
		cmocka_unit_test(in_a_bucket_that_was_used_they_wait_until_any_other_one_would_have_looked),
		cmocka_unit_test(beside_another_word_nothing_goes_until_somebody_says_so),
		cmocka_unit_test(whose_word_was_taken_away_puts_another_one),
		cmocka_unit_test(a_look_that_failed_is_made_up_for),
		cmocka_unit_test(what_cannot_be_removed_keeps_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
