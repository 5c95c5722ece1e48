/* Catalogues that an older version wrote: migrated when they are opened. */
#include "world.h"

#include "catalog/sqlite/schema.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

static void a_catalogue_of_schema_1_is_migrated_and_answers_the_same(void **state)
{
	struct world *w = *state;
	CLEANUP(buf_release) struct buf bytes = BUF_INIT;
	struct str owner = STR(OLD_OWNER), *list;
	struct outbox_entry *told;
	struct file f;
	struct job j;
	size_t n;

	world_old(w);
	assert_int_equal(catalog_sqlite_open(&w->c, w->dir, &w->options, &w->err), 0);
	assert_int_equal(world_sql(w, "PRAGMA user_version"), schema_latest);
	assert_int_equal(catalog_file(w->c, (struct file_key){.id = test_id(1)}, owner, &w->arena, &f, &w->err), 0);
	assert_str(f.name, "old 1");
	assert_int_equal(f.n_jobs, 2);
	assert_int_equal(f.jobs[0].state, JOB_SUCCEEDED);
	assert_str(f.jobs[0].result, "{\"md5\":\"aa\"}");
	assert_int_equal(f.jobs[0].n_outputs, 0);
	assert_true(uuid_is_zero(f.jobs[0].after));
	assert_int_equal(f.jobs[1].state, JOB_QUEUED);
	assert_int_equal(f.jobs[1].fence, 4);
	assert_int_equal(catalog_inline_bytes(w->c, test_id(1), &bytes, &w->err), 0);
	assert_int_equal(bytes.len, 3);
	assert_int_equal(catalog_job(w->c, test_id(job_id(3, 0)), 0, owner, &w->arena, &j, &w->err), 0);
	assert_int_equal(j.state, JOB_RUNNING);
	assert_int_equal(catalog_file(w->c, (struct file_key){.id = test_id(3)}, owner, &w->arena, &f, &w->err), ERR_FILE_GONE);
	assert_int_equal(stats(w, NOW).files, 2);
	assert_int_equal(stats(w, NOW).jobs_waiting, 1);
	assert_int_equal(stats(w, NOW).oldest_waiting_at, 1000);
	assert_int_equal(catalog_outbox(w->c, 0, 10, &w->arena, &told, &n, &w->err), 0);
	assert_int_equal(n, 2);
	assert_int_equal(told[0].job.n_outputs, 0);
	assert_true(referenced(w, STR(OLD_OWNER "/02/01900000-0000-7000-8000-000000000002")));
	assert_false(referenced(w, STR(OLD_OWNER "/03/01900000-0000-7000-8000-000000000003")));
	assert_int_equal(catalog_doomed(w->c, STR(""), 10, &w->arena, &list, &n, &w->err), 0);
	assert_int_equal(n, 1);
	assert_str(list[0], OLD_OWNER "/03/01900000-0000-7000-8000-000000000003");
	assert_int_equal(world_sql(w, "SELECT count(*) FROM md5_tasks WHERE status = 'SUCCESS' AND result = 'aa'"), 2);
}

/* One that is written by the program of the schema before, with outputs in it. */
static void a_catalogue_of_schema_2_is_migrated_and_nothing_in_it_is_damaged(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct scrub_position p;
	struct stored *list;
	struct job job;
	uint64_t damaged;
	size_t n;

	add_file_with_job(w, 1, "resize");
	job = claim(w, worker, 1, NOW).jobs[0].job;
	assert_int_equal(finish_with_outputs(w, &job, worker, 2, NULL), 0);
	catalog_free(w->c);
	w->c = NULL;
	world_sql(w, "DROP INDEX file_damaged");
	world_sql(w, "DROP INDEX output_damaged");
	world_sql(w, "ALTER TABLE file DROP COLUMN damaged_at");
	world_sql(w, "ALTER TABLE output DROP COLUMN damaged_at");
	world_sql(w, "DELETE FROM meta WHERE key LIKE 'scrub%'");
	world_sql(w, "DROP TABLE recurring");
	world_sql(w, "DROP TABLE webhook");
	world_sql(w, "DROP TABLE delivery");
	world_sql(w, "DROP TABLE attempt");
	world_sql(w, "DROP TABLE audit");
	world_sql(w, "DROP TABLE audit_head");
	world_sql(w, "DROP INDEX task_ready");
	world_sql(w, "ALTER TABLE task DROP COLUMN lane");
	world_sql(w, "ALTER TABLE task DROP COLUMN refused");
	world_sql(w, "DROP TABLE lane");
	world_sql(w, "CREATE INDEX task_ready ON task (priority, run_at) WHERE state = 0");
	world_sql(w, "DROP VIEW md5_tasks");
	world_sql(w, "CREATE VIEW md5_tasks AS SELECT number FROM job");
	world_sql(w, "DROP INDEX result_expires");
	world_sql(w, "DROP INDEX result_expired");
	world_sql(w, "ALTER TABLE result DROP COLUMN expires_at");
	world_sql(w, "ALTER TABLE result DROP COLUMN expired_at");
	world_sql(w, "DROP TABLE account");
	world_sql(w, "DROP TABLE session");
	world_sql(w, "DROP TABLE api_key");
	world_sql(w, "DROP TABLE secret");
	world_sql(w, "DROP TABLE once");
	world_sql(w, "DROP INDEX file_import");
	world_sql(w, "ALTER TABLE file DROP COLUMN import");
	world_sql(w, "DROP TABLE usage");
	world_sql(w, "DROP INDEX file_coming");
	world_sql(w, "ALTER TABLE worker DROP COLUMN host");
	world_sql(w, "ALTER TABLE worker DROP COLUMN labels");
	world_sql(w, "ALTER TABLE worker DROP COLUMN since");
	world_sql(w, "ALTER TABLE worker DROP COLUMN beat_at");
	world_sql(w, "ALTER TABLE worker DROP COLUMN uploads_since");
	world_sql(w, "ALTER TABLE worker DROP COLUMN draining");
	world_sql(w, "PRAGMA user_version = 2");
	assert_int_equal(catalog_sqlite_open(&w->c, w->dir, &(struct catalog_options){.keep_schema = true}, &w->err), ERR_SCHEMA_OLDER);
	assert_int_equal(world_sql(w, "PRAGMA user_version"), 2);
	assert_int_equal(catalog_sqlite_open(&w->c, w->dir, &w->options, &w->err), 0);
	assert_int_equal(world_sql(w, "PRAGMA user_version"), schema_latest);
	assert_int_equal(read_file(w, 1).damaged_at, 0);
	assert_int_equal(read_file(w, 1).jobs[0].outputs[1].damaged_at, 0);
	assert_int_equal(catalog_damaged_count(w->c, &damaged, &w->err), 0);
	assert_int_equal(damaged, 0);
	assert_int_equal(catalog_scrub_position(w->c, &p, &w->err), 0);
	assert_int_equal(p.began_at, 0);
	assert_int_equal(catalog_stored(w->c, (struct stored_at){STORED_OUTPUT, 0, 0}, 10, &w->arena, &list, &n, &w->err), 0);
	assert_int_equal(n, 2);
	assert_int_equal(world_sql(w, "SELECT files FROM usage"), 1);
	assert_int_equal(world_sql(w, "SELECT bytes FROM usage"), world_sql(w, "SELECT size FROM file"));
}

static void a_migrated_catalogue_goes_on_where_it_was(void **state)
{
	struct world *w = *state;
	struct job job = new_job(1000, 1, "md5"), running = {.id = test_id(job_id(3, 0)), .fence = 1}, next;
	struct change add = {.kind = CHANGE_ADD_JOBS, .add_jobs = {.owner = STR(OLD_OWNER), .jobs = &job, .n = 1, .arena = &w->arena}};
	struct built same, again;

	world_old(w);
	assert_int_equal(catalog_sqlite_open(&w->c, w->dir, &w->options, &w->err), 0);
	must_apply(w, &add);
	assert_true(job.cached);
	assert_int_equal(job.number, 5);
	assert_int_equal(finish_with_outputs(w, &running, test_id(500), 1, NULL), 0); /* the lease is still held */
	next = claim(w, test_id(500), 10, NOW).jobs[0].job;
	assert_id(next.id, job_id(2, 0));
	assert_int_equal(next.fence, 5);
	build_file(&again, 4);
	again.file.owner = STR(OLD_OWNER);
	again.change.add_file.idempotency_key = STR("key");
	must_apply(w, &again.change);
	assert_true(again.change.add_file.replayed);
	build_file(&same, 5); /* the bytes of file 1 */
	same.file.owner = STR(OLD_OWNER);
	for (size_t i = 0; i < sizeof(same.file.sha256); i++)
		same.file.sha256[i] = i == 0;
	build_job(&same, "md5");
	must_apply(w, &same.change);
	assert_int_equal(same.file.number, 4);
	assert_true(same.jobs[0].cached);
	build_file(&same, 6); /* those of the deleted one */
	same.file.owner = STR(OLD_OWNER);
	memset(same.file.sha256, 0, sizeof(same.file.sha256));
	same.file.sha256[0] = 3;
	build_job(&same, "md5");
	must_apply(w, &same.change);
	assert_false(same.jobs[0].cached);
	assert_int_equal(purge(w, NOW, 10), 0);
	assert_int_equal(world_sql(w, "SELECT count(*) FROM file WHERE deleted_at IS NOT NULL"), 0);
	assert_int_equal(doomed_count(w), 1);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, world_sqlite, world_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_catalogue_of_schema_1_is_migrated_and_answers_the_same),
		TEST(a_catalogue_of_schema_2_is_migrated_and_nothing_in_it_is_damaged),
		TEST(a_migrated_catalogue_goes_on_where_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
