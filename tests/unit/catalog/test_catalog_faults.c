/* What the SQLite catalogue promises when the disk does not do its part: nothing acknowledged is lost, a full disk passes, a failed flush seals. */
#include "fault_vfs.h"
#include "world.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#define BATCHES 6
#define EACH 3
#define BIG 6000 /* bytes a file, so that pages overflow */

static char content[BIG];

/* The n-th file of a run, with a fused and a waiting job. */
static void build_big(struct built *b, unsigned n)
{
	build_file(b, n);
	b->file.size = sizeof(content);
	b->change.add_file.bytes = (struct str){content, sizeof(content)};
	build_fused(b, "md5", "{\"md5\":\"0123456789abcdef0123456789abcdef\"}");
	build_job(b, "sha1");
}

/* Applies some batches and notes which were acknowledged; goes on after failures as a committer would. */
static void run_batches(struct world *w, bool acknowledged[BATCHES])
{
	for (unsigned i = 0; i < BATCHES; i++) {
		struct built b[EACH];
		struct change *batch[EACH];

		for (unsigned k = 0; k < EACH; k++) {
			build_big(&b[k], 1 + i * EACH + k);
			batch[k] = &b[k].change;
		}
		acknowledged[i] = catalog_apply(w->c, batch, EACH, &w->err) == 0;
		if (acknowledged[i])
			for (unsigned k = 0; k < EACH; k++)
				assert_int_equal(batch[k]->code, 0);
		else
			assert_true(w->err.code == ERR_STORAGE_FULL || w->err.code == ERR_IO || w->err.code == ERR_STORAGE_SEALED);
		catalog_idle(w->c);
	}
}

/* Every acknowledged batch is there, whole; every other one is there whole or not at all. */
static void check_batches(struct world *w, const bool acknowledged[BATCHES])
{
	for (unsigned i = 0; i < BATCHES; i++) {
		unsigned there = 0;

		for (unsigned k = 0; k < EACH; k++) {
			CLEANUP(buf_release) struct buf bytes = BUF_INIT;
			unsigned n = 1 + i * EACH + k;

			if (file_code(w, n) < 0)
				continue;
			there++;
			assert_int_equal(read_file(w, n).n_jobs, 2);
			assert_int_equal(catalog_inline_bytes(w->c, test_id(n), &bytes, &w->err), 0);
			assert_int_equal(bytes.len, sizeof(content));
			assert_memory_equal(bytes.p, content, sizeof(content));
		}
		if (acknowledged[i])
			assert_int_equal(there, EACH);
		else
			assert_true(there == 0 || there == EACH);
	}
}

/* Which calls fail: every third; under the address sanitizer, for which all run alike, every tenth; with FILEMILL_FAULTS=all every one. */
static unsigned stride(void)
{
	const char *all = getenv("FILEMILL_FAULTS");

	if (all != NULL && strcmp(all, "all") == 0)
		return 1;
#ifdef __SANITIZE_ADDRESS__
	return 10;
#else
	return 3;
#endif
}

/* Lets the n-th call of a kind fail, for one n after the other until none is left to fail. */
static void fail_each(void **state, enum fault_call call, int rc, bool goes_on)
{
	struct world *w = *state;
	unsigned hits = 1;

	for (unsigned n = 1; hits; n += stride()) {
		bool acknowledged[BATCHES] = {};

		catalog_free(w->c);
		w->c = NULL;
		remove_dir(w->dir);
		temp_dir(w->dir);
		fault_plan(call, n, rc, goes_on);
		if (catalog_sqlite_open(&w->c, w->dir, &w->options, &w->err) == 0)
			run_batches(w, acknowledged);
		else
			assert_true(w->err.code == ERR_STORAGE_FULL || w->err.code == ERR_IO);
		hits = fault_hits();
		catalog_free(w->c); /* while the fault goes on */
		w->c = NULL;
		fault_plan(call, 0, 0, false);
		assert_int_equal(catalog_sqlite_open(&w->c, w->dir, &w->options, &w->err), 0);
		check_batches(w, acknowledged);
		if (!hits)
			for (unsigned i = 0; i < BATCHES; i++)
				assert_true(acknowledged[i]);
	}
}

static void no_write_that_fails_loses_what_was_acknowledged(void **state)
{
	fail_each(state, FAULT_WRITE, SQLITE_IOERR_WRITE, false);
}

static void no_disk_that_fills_up_loses_what_was_acknowledged(void **state)
{
	fail_each(state, FAULT_WRITE, SQLITE_FULL, true);
}

static void no_flush_that_fails_loses_what_was_acknowledged(void **state)
{
	fail_each(state, FAULT_SYNC, SQLITE_IOERR_FSYNC, false);
}

static void no_file_that_cannot_be_opened_loses_what_was_acknowledged(void **state)
{
	fail_each(state, FAULT_OPEN, SQLITE_CANTOPEN, false);
}

/* ---- a migration that is cut off ---- */

/* At every write or flush that may fail: afterwards the catalogue is of the old schema or of the new one, and nothing is missing. */
static void cut_migration(void **state, enum fault_call call, int rc, bool goes_on)
{
	struct world *w = *state;
	unsigned hits = 1;

	for (unsigned n = 1; hits; n += stride()) {
		struct file f;

		fault_plan(call, 0, 0, false);
		world_old(w);
		fault_plan(call, n, rc, goes_on);
		if (catalog_sqlite_open(&w->c, w->dir, &w->options, &w->err) < 0)
			assert_true(w->err.code == ERR_STORAGE_FULL || w->err.code == ERR_IO);
		hits = fault_hits();
		catalog_free(w->c);
		w->c = NULL;
		fault_plan(call, 0, 0, false);
		assert_int_equal(catalog_sqlite_open(&w->c, w->dir, &w->options, &w->err), 0);
		assert_int_equal(catalog_file(w->c, (struct file_key){.id = test_id(1)}, STR(OLD_OWNER), &w->arena, &f, &w->err), 0);
		assert_int_equal(f.n_jobs, 2);
		assert_int_equal(doomed_count(w), 1);
		world_check_database(w);
	}
}

static void no_migration_that_is_cut_off_loses_anything(void **state)
{
	cut_migration(state, FAULT_WRITE, SQLITE_IOERR_WRITE, false);
	cut_migration(state, FAULT_WRITE, SQLITE_FULL, true);
	cut_migration(state, FAULT_SYNC, SQLITE_IOERR_FSYNC, false);
}

/* ---- chains and outputs ---- */

static int try_one(struct world *w, struct change *ch)
{
	struct change *batch[] = {ch};
	int r = catalog_apply(w->c, batch, 1, &w->err);

	if (r < 0)
		assert_true(w->err.code == ERR_STORAGE_FULL || w->err.code == ERR_IO || w->err.code == ERR_STORAGE_SEALED);
	return r < 0 ? r : ch->code;
}

/* Two files with the same bytes and a chain each; the first job runs with an output, the second takes it over; one file goes. How far it came. */
static unsigned run_chains(struct world *w)
{
	struct change beat = {.kind = CHANGE_BEAT, .beat = {.worker = test_id(500), .now = NOW, .expires_at = NOW + 15000, .first = true}};
	struct change take = {.kind = CHANGE_CLAIM, .claim = {.worker = test_id(500), .max = 2, .now = NOW, .arena = &w->arena}};
	struct change end[2], drop = {.kind = CHANGE_DELETE_FILE, .delete_file = {.id = test_id(1), .owner = OWNER, .now = NOW}};
	struct output output = {.name = STR("a"), .type = STR("b"), .size = 1, .blob = STR("public/00/a.1.0")};
	struct built b;

	for (unsigned i = 1; i <= 2; i++) {
		build_same_bytes(&b, i, 1);
		build_job(&b, "resize");
		build_after(&b, "gzip", &b.jobs[0]);
		build_after(&b, "zip", &b.jobs[1]);
		if (try_one(w, &b.change) != 0)
			return i - 1;
	}
	if (try_one(w, &beat) != 0 || try_one(w, &take) != 0 || take.claim.n != 2)
		return 2;
	for (unsigned i = 0; i < 2; i++)
		end[i] = (struct change){.kind = CHANGE_FINISH,
					 .finish = {.job = take.claim.jobs[i].job.id,
						    .fence = 1,
						    .worker = test_id(500),
						    .state = JOB_SUCCEEDED,
						    .finished_at = NOW + 1}};
	end[0].finish.outputs = &output;
	end[0].finish.n_outputs = 1;
	end[1].finish.same_as = end[0].finish.job;
	for (unsigned i = 0; i < 2; i++)
		if (try_one(w, &end[i]) != 0)
			return 3 + i;
	return try_one(w, &drop) == 0 ? 6 : 5;
}

static void check_chains(struct world *w, unsigned came)
{
	if (came >= 4 && came < 6) {
		if (file_code(w, 1) == 0) /* a delete that was not acknowledged may hold */
			assert_int_equal(read_job(w, job_id(1, 1)).run_at, NOW + 1);
		else
			assert_int_equal(came, 5);
		assert_true(referenced(w, STR("public/00/a.1.0")));
	}
	if (came >= 5)
		assert_int_equal(read_job(w, job_id(2, 1)).run_at, NOW + 1);
	if (came == 6) {
		assert_int_equal(file_code(w, 1), ERR_FILE_GONE);
		assert_true(referenced(w, STR("public/00/a.1.0")));
		assert_int_equal(doomed_count(w), 0);
	}
	world_check_database(w);
}

static void fail_chains(void **state, enum fault_call call, int rc, bool goes_on)
{
	struct world *w = *state;
	unsigned hits = 1;

	for (unsigned n = 1; hits; n += stride()) {
		unsigned came;

		catalog_free(w->c);
		w->c = NULL;
		remove_dir(w->dir);
		temp_dir(w->dir);
		assert_int_equal(catalog_sqlite_open(&w->c, w->dir, &w->options, &w->err), 0);
		fault_plan(call, n, rc, goes_on);
		came = run_chains(w);
		hits = fault_hits();
		catalog_free(w->c);
		w->c = NULL;
		fault_plan(call, 0, 0, false);
		assert_int_equal(catalog_sqlite_open(&w->c, w->dir, &w->options, &w->err), 0);
		check_chains(w, came);
		if (!hits)
			assert_int_equal(came, 6);
	}
}

static void chains_and_outputs_hold_together_whatever_write_fails(void **state)
{
	fail_chains(state, FAULT_WRITE, SQLITE_IOERR_WRITE, false);
	fail_chains(state, FAULT_WRITE, SQLITE_FULL, true);
}

static void chains_and_outputs_hold_together_whatever_flush_fails(void **state)
{
	fail_chains(state, FAULT_SYNC, SQLITE_IOERR_FSYNC, false);
}

static int add_big(struct world *w, unsigned n)
{
	struct change *batch[1];
	struct built b;

	build_big(&b, n);
	batch[0] = &b.change;
	return catalog_apply(w->c, batch, 1, &w->err);
}

static void a_full_disk_is_said_clearly_and_passes(void **state)
{
	struct world *w = *state;

	assert_int_equal(add_big(w, 1), 0);
	fault_plan(FAULT_WRITE, 1, SQLITE_FULL, true);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(add_big(w, 2), ERR_STORAGE_FULL);
		catalog_idle(w->c);
		assert_false(catalog_sealed(w->c));
		assert_int_equal(file_code(w, 1), 0);
		assert_int_equal(file_code(w, 2), ERR_FILE_NOT_FOUND);
		assert_int_equal(stats(w, NOW).files, 1);
	}
	fault_plan(FAULT_WRITE, 0, 0, false);
	assert_int_equal(add_big(w, 2), 0);
	assert_int_equal(file_code(w, 2), 0);
	assert_int_equal(stats(w, NOW).files, 2);
}

static void every_batch_is_flushed_before_it_is_acknowledged(void **state)
{
	struct world *w = *state;

	for (unsigned i = 1; i <= 10; i++) {
		unsigned before = fault_calls(FAULT_SYNC);

		assert_int_equal(add_big(w, i), 0);
		assert_true(fault_calls(FAULT_SYNC) > before);
	}
}

static void a_failed_flush_seals_until_a_restart(void **state)
{
	struct world *w = *state;

	assert_int_equal(add_big(w, 1), 0);
	fault_plan(FAULT_SYNC, 1, SQLITE_IOERR_FSYNC, false);
	assert_int_equal(add_big(w, 2), ERR_IO);
	assert_true(catalog_sealed(w->c));
	/* The disk says that it is well again; that is not to be believed. */
	assert_int_equal(add_big(w, 3), ERR_STORAGE_SEALED);
	catalog_idle(w->c);
	assert_int_equal(add_big(w, 3), ERR_STORAGE_SEALED);
	assert_int_equal(file_code(w, 1), 0);
	assert_int_equal(file_code(w, 2), ERR_FILE_NOT_FOUND);
	assert_int_equal(file_code(w, 3), ERR_FILE_NOT_FOUND);
	world_reopen(w);
	assert_false(catalog_sealed(w->c));
	assert_int_equal(file_code(w, 1), 0);
	assert_int_equal(file_code(w, 3), ERR_FILE_NOT_FOUND);
	assert_int_equal(add_big(w, 3), 0);
}

static void an_unwritable_commit_seals_too(void **state)
{
	struct world *w = *state;

	assert_int_equal(add_big(w, 1), 0);
	fault_plan(FAULT_WRITE, 1, SQLITE_IOERR_WRITE, false);
	assert_int_equal(add_big(w, 2), ERR_IO);
	assert_true(catalog_sealed(w->c));
	assert_int_equal(add_big(w, 3), ERR_STORAGE_SEALED);
}

static void a_failed_flush_of_a_checkpoint_seals_too(void **state)
{
	struct world *w = *state;
	unsigned n = 1;

	/* Until the log is long enough that an idle moment is used; then the second flush, of the database itself, fails. */
	while (n < 2000 && !catalog_sealed(w->c)) {
		assert_int_equal(add_big(w, n++), 0);
		fault_plan(FAULT_SYNC, 2, SQLITE_IOERR_FSYNC, false);
		catalog_idle(w->c);
		fault_plan(FAULT_SYNC, 0, 0, false);
	}
	assert_true(catalog_sealed(w->c));
	assert_int_equal(file_code(w, n - 1), 0);
	assert_int_equal(add_big(w, n), ERR_STORAGE_SEALED);
	world_reopen(w);
	for (unsigned i = 1; i < n; i++)
		assert_int_equal(file_code(w, i), 0);
}

static void a_read_that_fails_is_an_error_and_no_missing_file(void **state)
{
	struct world *w = *state;

	for (unsigned i = 1; i <= 20; i++)
		assert_int_equal(add_big(w, i), 0);
	fault_plan(FAULT_READ, 1, SQLITE_IOERR_READ, true);
	assert_int_equal(file_code(w, 1), ERR_IO);
	fault_plan(FAULT_READ, 0, 0, false);
	assert_int_equal(file_code(w, 1), 0);
}

static int begin(void **state)
{
	fault_plan(FAULT_WRITE, 0, 0, false);
	return world_sqlite(state);
}

static int end(void **state)
{
	fault_plan(FAULT_WRITE, 0, 0, false);
	return world_end(state);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(no_write_that_fails_loses_what_was_acknowledged),
		TEST(no_disk_that_fills_up_loses_what_was_acknowledged),
		TEST(no_flush_that_fails_loses_what_was_acknowledged),
		TEST(no_file_that_cannot_be_opened_loses_what_was_acknowledged),
		TEST(no_migration_that_is_cut_off_loses_anything),
		TEST(chains_and_outputs_hold_together_whatever_write_fails),
		TEST(chains_and_outputs_hold_together_whatever_flush_fails),
		TEST(a_full_disk_is_said_clearly_and_passes),
		TEST(every_batch_is_flushed_before_it_is_acknowledged),
		TEST(a_failed_flush_seals_until_a_restart),
		TEST(an_unwritable_commit_seals_too),
		TEST(a_failed_flush_of_a_checkpoint_seals_too),
		TEST(a_read_that_fails_is_an_error_and_no_missing_file),
	};

	for (size_t i = 0; i < sizeof(content); i++)
		content[i] = (char)(i * 31 + i / 256);
	fault_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
