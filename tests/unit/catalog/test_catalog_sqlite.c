/* What only the SQLite catalogue can show: what stays on disk, what is refused at opening, a real full disk, threads. */
#include "world.h"

#include "catalog/sqlite/schema.h"
#include "catalog/tables.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what stays ---- */

static void everything_is_there_after_a_restart(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	CLEANUP(buf_release) struct buf bytes = BUF_INIT;
	struct catalog_stats before, after;
	struct built keyed, again;
	struct change_claim c;

	for (unsigned i = 1; i <= 4; i++)
		add_file_with_job(w, i, "md5");
	c = claim(w, worker, 2, NOW);
	assert_int_equal(finish(w, &c.jobs[0].job, worker, JOB_SUCCEEDED), 0);
	assert_int_equal(delete_file(w, 4), 0);
	build_file(&keyed, 5);
	keyed.change.add_file.idempotency_key = STR("key");
	must_apply(w, &keyed.change);
	before = stats(w, NOW);
	world_reopen(w);
	after = stats(w, NOW);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_int_equal(read_job(w, job_id(1, 0)).state, JOB_SUCCEEDED);
	assert_int_equal(read_job(w, job_id(2, 0)).state, JOB_RUNNING);
	assert_int_equal(read_job(w, job_id(3, 0)).state, JOB_QUEUED);
	assert_int_equal(file_code(w, 4), ERR_FILE_GONE);
	assert_int_equal(catalog_inline_bytes(w->c, test_id(3), &bytes, &w->err), 0);
	assert_int_equal(finish(w, &c.jobs[1].job, worker, JOB_SUCCEEDED), 0); /* the lease is still held */
	build_file(&again, 6);
	again.change.add_file.idempotency_key = STR("key");
	must_apply(w, &again.change);
	assert_true(again.change.add_file.replayed);
}

static void numbers_are_not_given_twice_after_a_restart_either(void **state)
{
	struct world *w = *state;
	struct outbox_entry *list;
	struct change told = {.kind = CHANGE_OUTBOX_DONE};
	struct built b;
	size_t n;

	world_restart(w, (struct catalog_options){.outbox = true});
	for (unsigned i = 1; i <= 3; i++)
		add_file_with_job(w, i, "md5");
	for (unsigned i = 1; i <= 3; i++)
		assert_int_equal(delete_file(w, i), 0);
	assert_int_equal(catalog_outbox(w->c, 0, 10, &w->arena, &list, &n, &w->err), 0);
	told.outbox_done.upto = list[n - 1].seq;
	must_apply(w, &told);
	assert_int_equal(purge(w, NOW + 1000, 100), 0);
	world_reopen(w);
	build_file(&b, 4);
	build_fused(&b, "md5", "{}");
	must_apply(w, &b.change);
	assert_int_equal(b.file.number, 4);
	assert_int_equal(b.jobs[0].number, 4);
	assert_int_equal(catalog_outbox(w->c, 0, 10, &w->arena, &list, &n, &w->err), 0);
	assert_int_equal(n, 1);
	assert_int_equal(list[0].seq, told.outbox_done.upto + 1);
}

static void a_catalogue_that_was_not_closed_is_recovered(void **state)
{
	struct world *w = *state;
	char command[3 * DIR_MAX + 64], copy[DIR_MAX];
	struct catalog *c = NULL;
	struct file f;

	for (unsigned i = 1; i <= 50; i++)
		add_file_with_job(w, i, "md5");
	temp_dir(copy);
	/* As after kill -9: database and log as they are, without a clean end. */
	snprintf(command, sizeof(command), "cp %s/catalog.db %s/catalog.db-wal %s/", w->dir, w->dir, copy);
	assert_int_equal(system(command), 0);
	assert_int_equal(catalog_sqlite_open(&c, copy, &w->options, &w->err), 0);
	for (unsigned i = 1; i <= 50; i++)
		assert_int_equal(catalog_file(c, (struct file_key){.id = test_id(i)}, OWNER, &w->arena, &f, &w->err), 0);
	catalog_free(c);
	remove_dir(copy);
}

static void closing_leaves_one_file_that_only_its_owner_can_read(void **state)
{
	struct world *w = *state;
	char path[DIR_MAX + 32];
	struct stat st;

	add_file(w, 1);
	catalog_free(w->c);
	w->c = NULL;
	snprintf(path, sizeof(path), "%s/catalog.db-wal", w->dir);
	assert_int_equal(stat(path, &st), -1);
	snprintf(path, sizeof(path), "%s/catalog.db-shm", w->dir);
	assert_int_equal(stat(path, &st), -1);
	snprintf(path, sizeof(path), "%s/catalog.db", w->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

/* ---- for those who query the database ---- */

static void md5_jobs_are_seen_as_a_table(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct change_claim c;
	struct built b;

	build_file(&b, 1);
	build_fused(&b, "sha1", "{\"sha1\":\"bb\"}");
	build_fused(&b, "md5", "{\"md5\":\"aa\"}");
	must_apply(w, &b.change);
	add_file_with_job(w, 2, "md5");
	c = claim(w, worker, 1, NOW);
	assert_int_equal(finish(w, &c.jobs[0].job, worker, JOB_FAILED), 0);
	add_file_with_job(w, 3, "md5");
	assert_int_equal(world_sql(w, "SELECT count(*) FROM md5_tasks"), 3);
	assert_int_equal(
		world_sql(w, "SELECT task_id FROM md5_tasks WHERE status = 'SUCCESS' AND result = 'aa' AND typeof(task_id) = 'integer'"),
		2);
	assert_int_equal(world_sql(w, "SELECT task_id FROM md5_tasks WHERE status = 'ERROR' AND result = 'it did not work'"), 3);
	assert_int_equal(world_sql(w, "SELECT task_id FROM md5_tasks WHERE status = 'PENDING' AND result IS NULL"), 4);
	assert_int_equal(world_sql(w, "SELECT count(*) FROM pragma_table_info('md5_tasks') WHERE name = 'task_id' AND type = 'INTEGER'"),
			 1);
}

static void the_log_mode_is_wal(void **state)
{
	struct world *w = *state;

	assert_int_equal(world_sql(w, "SELECT count(*) FROM pragma_journal_mode WHERE journal_mode = 'wal'"), 1);
	assert_int_equal(world_sql(w, "PRAGMA page_size"), 4096);
	assert_int_equal(world_sql(w, "PRAGMA user_version"), schema_latest);
	assert_int_equal(world_sql(w, "PRAGMA application_id"), 0x464d494c);
}

static const char *const STATEMENTS[] = {
#define W_ROW(id, sql) "EXPLAIN QUERY PLAN " sql,
#define R_ROW(id, sql) "EXPLAIN QUERY PLAN " sql,
#include "catalog/sqlite/statements.h"
#undef W_ROW
#undef R_ROW
};

/* Worker and webhook (w), doomed (d), recurring and secret stay small; accounts are counted once, at the start. */
static bool scan_allowed(const char *step)
{
	static const char *const SMALL[] = {"SCAN w", "SCAN d", "SCAN recurring", "SCAN secret", "SCAN account"};

	for (size_t i = 0; i < ARRAY_LEN(SMALL); i++)
		if (strcmp(step, SMALL[i]) == 0)
			return true;
	return false;
}

/* No statement reads a table that can grow from end to end, or sorts it. */
static void every_statement_finds_its_rows_by_an_index(void **state)
{
	struct world *w = *state;
	char path[DIR_MAX + 32];
	unsigned explained = 0;
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/catalog.db", w->dir);
	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	for (size_t i = 0; i < ARRAY_LEN(STATEMENTS); i++) {
		sqlite3_stmt *s = NULL;

		if (sqlite3_prepare_v2(db, STATEMENTS[i], -1, &s, NULL) != SQLITE_OK)
			fail_msg("%s: %s", STATEMENTS[i], sqlite3_errmsg(db));
		while (sqlite3_step(s) == SQLITE_ROW) {
			const char *step = (const char *)sqlite3_column_text(s, 3);

			explained++;
			if (strstr(step, "TEMP B-TREE") || (strstr(step, "SCAN ") && !scan_allowed(step)))
				fail_msg("%s: %s", STATEMENTS[i], step);
		}
		sqlite3_finalize(s);
	}
	sqlite3_close(db);
	assert_true(explained > ARRAY_LEN(STATEMENTS) / 2);
}

/* ---- what is refused ---- */

static void path_of(const struct world *w, char path[DIR_MAX + 32], const char *name)
{
	snprintf(path, DIR_MAX + 32, "%s/%s", w->dir, name);
}

static size_t slurp(const struct world *w, char *dst, size_t n)
{
	char path[DIR_MAX + 32];
	size_t got;
	FILE *f;

	path_of(w, path, "catalog.db");
	f = fopen(path, "rb");
	assert_non_null(f);
	got = fread(dst, 1, n, f);
	fclose(f);
	return got;
}

static void put_bytes(const struct world *w, const char *name, const void *data, size_t n)
{
	char path[DIR_MAX + 32];
	FILE *f;

	path_of(w, path, name);
	f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, n, f), n);
	fclose(f);
}

/* Opening fails with this code and leaves the file as it was. */
static void expect_refused(struct world *w, int code)
{
	static char before[1 << 20], after[1 << 20];
	size_t n;

	catalog_free(w->c);
	w->c = NULL;
	n = slurp(w, before, sizeof(before));
	w->err = ERR_INIT;
	assert_int_equal(catalog_sqlite_open(&w->c, w->dir, &w->options, &w->err), code);
	assert_int_equal(w->err.code, code);
	assert_null(strchr(w->err.detail, '/')); /* no path */
	assert_int_equal(slurp(w, after, sizeof(after)), n);
	assert_memory_equal(before, after, n);
}

/* An empty catalogue at the end, so that tearing down has something to check. */
static void start_anew(struct world *w)
{
	remove_dir(w->dir);
	temp_dir(w->dir);
	assert_int_equal(catalog_sqlite_open(&w->c, w->dir, &w->options, &w->err), 0);
}

static char *set_version(char sql[48], int version)
{
	snprintf(sql, 48, "PRAGMA user_version = %d", version);
	return sql;
}

static void a_newer_schema_is_refused(void **state)
{
	struct world *w = *state;
	char sql[48];

	add_file(w, 1);
	catalog_free(w->c);
	w->c = NULL;
	world_sql(w, set_version(sql, schema_latest + 1));
	expect_refused(w, ERR_SCHEMA_NEWER);
	world_sql(w, set_version(sql, schema_latest));
	assert_int_equal(catalog_sqlite_open(&w->c, w->dir, &w->options, &w->err), 0);
	assert_int_equal(file_code(w, 1), 0);
}

/* As a newer version that was killed leaves it: its last commits stand in the log, and stay there. */
static void a_newer_schema_in_the_log_is_refused(void **state)
{
	struct world *w = *state;
	char path[DIR_MAX + 32], sql[48];
	struct stat before, after;
	sqlite3 *db;

	add_file(w, 1);
	catalog_free(w->c);
	w->c = NULL;
	path_of(w, path, "catalog.db");
	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, set_version(sql, schema_latest + 1), NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	path_of(w, path, "catalog.db-wal");
	assert_int_equal(stat(path, &before), 0);
	expect_refused(w, ERR_SCHEMA_NEWER);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(before.st_size, after.st_size);
	start_anew(w);
}

static void a_file_that_is_no_database_is_refused(void **state)
{
	struct world *w = *state;
	static char garbage[10000];

	catalog_free(w->c);
	w->c = NULL;
	put_bytes(w, "catalog.db", "short", 5);
	expect_refused(w, ERR_DAMAGED);
	memset(garbage, 'x', sizeof(garbage));
	put_bytes(w, "catalog.db", garbage, sizeof(garbage));
	expect_refused(w, ERR_DAMAGED);
	memcpy(garbage, "SQLite format 3", 16);
	put_bytes(w, "catalog.db", garbage, sizeof(garbage));
	expect_refused(w, ERR_DAMAGED);
	start_anew(w);
}

static void another_programs_database_is_refused(void **state)
{
	struct world *w = *state;

	catalog_free(w->c);
	w->c = NULL;
	remove_dir(w->dir);
	temp_dir(w->dir);
	put_bytes(w, "catalog.db", "", 0);
	world_sql(w, "CREATE TABLE theirs (x)");
	expect_refused(w, ERR_DAMAGED);
	assert_int_equal(world_sql(w, "SELECT count(*) FROM sqlite_schema"), 1);
	world_sql(w, "PRAGMA application_id = 7");
	expect_refused(w, ERR_DAMAGED);
	start_anew(w);
}

static void a_truncated_or_overwritten_catalogue_is_refused(void **state)
{
	struct world *w = *state;
	char path[DIR_MAX + 32], *bytes = calloc(1, 1 << 20);
	size_t n;

	assert_non_null(bytes);
	for (unsigned i = 1; i <= 100; i++)
		add_file_with_job(w, i, "md5");
	catalog_free(w->c);
	w->c = NULL;
	n = slurp(w, bytes, 1 << 20);
	path_of(w, path, "catalog.db");
	assert_int_equal(truncate(path, (off_t)n / 2), 0);
	expect_refused(w, ERR_DAMAGED);
	memset(bytes + 100, 0xa5, 3000); /* the first page's rows */
	put_bytes(w, "catalog.db", bytes, n);
	expect_refused(w, ERR_DAMAGED);
	free(bytes);
	start_anew(w);
}

static void a_missing_table_is_damage(void **state)
{
	struct world *w = *state;

	catalog_free(w->c);
	w->c = NULL;
	world_sql(w, "DROP TABLE outbox");
	expect_refused(w, ERR_DAMAGED);
	start_anew(w);
}

static void a_log_without_its_database_is_not_thrown_away(void **state)
{
	struct world *w = *state;
	char path[DIR_MAX + 32];
	struct stat st;

	catalog_free(w->c);
	w->c = NULL;
	put_bytes(w, "catalog.db", "", 0);
	put_bytes(w, "catalog.db-wal", "somebody's data", 15);
	expect_refused(w, ERR_DAMAGED);
	path_of(w, path, "catalog.db");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(catalog_sqlite_open(&w->c, w->dir, &w->options, &w->err), ERR_DAMAGED);
	path_of(w, path, "catalog.db-wal");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 15);
	start_anew(w);
}

static void a_symbolic_link_or_a_folder_is_refused(void **state)
{
	struct world *w = *state;
	char path[DIR_MAX + 32], other[DIR_MAX + 32];

	catalog_free(w->c);
	w->c = NULL;
	path_of(w, path, "catalog.db");
	path_of(w, other, "elsewhere.db");
	assert_int_equal(rename(path, other), 0);
	assert_int_equal(symlink(other, path), 0);
	assert_int_equal(catalog_sqlite_open(&w->c, w->dir, &w->options, &w->err), ERR_DAMAGED);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(catalog_sqlite_open(&w->c, w->dir, &w->options, &w->err), ERR_DAMAGED);
	assert_int_equal(rmdir(path), 0);
	start_anew(w);
}

static void a_folder_that_is_not_there_is_an_error(void **state)
{
	struct world *w = *state;
	struct catalog *c = NULL;

	assert_int_equal(catalog_sqlite_open(&c, "/nonexistent/folder", &w->options, &w->err), ERR_IO);
	assert_null(c);
}

/* A start that was cut off before the first migration leaves an empty database: not a foreign one. */
static void an_empty_database_is_taken_over(void **state)
{
	struct world *w = *state;

	catalog_free(w->c);
	w->c = NULL;
	remove_dir(w->dir);
	temp_dir(w->dir);
	put_bytes(w, "catalog.db", "", 0);
	world_sql(w, "PRAGMA journal_mode = WAL");
	assert_int_equal(catalog_sqlite_open(&w->c, w->dir, &w->options, &w->err), 0);
	add_file(w, 1);
}

/* ---- a real full disk ---- */

/* A file system of 3 MiB for this process alone; false when the machine allows none. */
static bool mount_small(const char *dir)
{
	if (unshare(CLONE_NEWNS) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return false;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return false;
	return mount("tmpfs", dir, "tmpfs", 0, "size=3m") == 0;
}

static void a_disk_that_is_full_and_then_is_not(void **state)
{
	struct world *w = *state;
	char path[DIR_MAX + 32];
	static char big[10000];
	unsigned stored = 0, refused = 0;

	catalog_free(w->c);
	w->c = NULL;
	if (!mount_small(w->dir)) {
		start_anew(w);
		print_message("needs the right to mount a tmpfs in a namespace of its own\n");
		skip();
	}
	assert_int_equal(catalog_sqlite_open(&w->c, w->dir, &w->options, &w->err), 0);
	for (unsigned i = 1; i <= 2000 && refused < 20; i++) {
		struct change *batch[1];
		struct built b;

		build_file(&b, i);
		b.file.size = sizeof(big);
		b.change.add_file.bytes = (struct str){big, sizeof(big)};
		batch[0] = &b.change;
		if (catalog_apply(w->c, batch, 1, &w->err) == 0) {
			stored++;
		} else {
			assert_int_equal(w->err.code, ERR_STORAGE_FULL);
			refused++;
		}
		catalog_idle(w->c);
		assert_int_equal(file_code(w, 1), 0); /* reads go on */
	}
	assert_int_equal(refused, 20);
	assert_true(stored > 20);
	assert_false(catalog_sealed(w->c));
	assert_int_equal(stats(w, NOW).files, stored);
	snprintf(path, sizeof(path), "size=%um", 16);
	assert_int_equal(mount("tmpfs", w->dir, "tmpfs", MS_REMOUNT, path), 0);
	add_file_with_job(w, 5000, "md5");
	world_reopen(w);
	assert_int_equal(stats(w, NOW).files, stored + 1);
	catalog_free(w->c);
	w->c = NULL;
	world_check_database(w);
	assert_int_equal(umount2(w->dir, MNT_DETACH), 0);
	start_anew(w);
}

/* ---- threads ---- */

#define THREADS 4
#define FILES 400

struct shared {
	struct world *w;
	atomic_uint acknowledged; /* files 1…n were acknowledged */
	atomic_bool stop;
	atomic_uint wrong, reads;
};

/* Whatever was acknowledged is there from that moment on, whole. */
static void *read_along(void *arg)
{
	struct shared *s = arg;
	unsigned n = 0;

	while (!atomic_load(&s->stop)) {
		struct arena a = ARENA_INIT;
		struct err e = ERR_INIT;
		unsigned newest = atomic_load(&s->acknowledged);
		struct catalog_stats sums;
		struct file f;
		int r;

		n = newest ? n % newest + 1 : 0;
		r = n ? catalog_file(s->w->c, (struct file_key){.id = test_id(n)}, OWNER, &a, &f, &e) : 0;
		if (n && (r < 0 || f.number != n || f.n_jobs != 1))
			atomic_fetch_add(&s->wrong, 1);
		if (catalog_stats(s->w->c, NOW, &sums, &e) < 0 || sums.files < newest)
			atomic_fetch_add(&s->wrong, 1);
		arena_release(&a);
		atomic_fetch_add(&s->reads, 1);
	}
	return NULL;
}

static void many_threads_read_while_one_writes(void **state)
{
	struct shared s = {.w = *state};
	pthread_t threads[THREADS];

	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_along, &s), 0);
	for (unsigned i = 1; i <= FILES; i++) {
		add_file_with_job(s.w, i, "md5");
		atomic_store(&s.acknowledged, i);
		if (i % 7 == 0)
			catalog_idle(s.w->c);
	}
	while (atomic_load(&s.reads) < FILES)
		sched_yield();
	atomic_store(&s.stop, true);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(s.wrong, 0);
}

static void more_readers_than_connections_take_turns(void **state)
{
	struct shared s = {.w = *state};
	pthread_t threads[5 * THREADS];

	add_file_with_job(s.w, 1, "md5");
	atomic_store(&s.acknowledged, 1);
	for (unsigned i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_along, &s), 0);
	while (atomic_load(&s.reads) < 2000)
		sched_yield();
	atomic_store(&s.stop, true);
	for (unsigned i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(s.wrong, 0);
}

enum { ROUND = 1500 };
static const int64_t ROUND_BYTES = 30 << 20;

/* Writes ROUND_BYTES as the files from first on and returns how long the log is then. */
static int64_t log_after_writing(struct world *w, unsigned first)
{
	static char big[20000];
	char path[DIR_MAX + 32];
	struct stat st;

	for (unsigned i = first; i < first + ROUND; i++) {
		struct built b;

		build_file(&b, i);
		b.file.size = sizeof(big);
		b.change.add_file.bytes = (struct str){big, sizeof(big)};
		must_apply(w, &b.change);
	}
	path_of(w, path, "catalog.db-wal");
	assert_int_equal(stat(path, &st), 0);
	return st.st_size;
}

static void the_log_does_not_grow_without_end(void **state)
{
	assert_true(log_after_writing(*state, 1) < 16 << 20);
}

static void the_log_does_not_grow_without_end_under_steady_reading(void **state)
{
	struct shared s = {.w = *state};
	int64_t log, written = 0;
	pthread_t thread;

	add_file_with_job(s.w, 1, "md5");
	atomic_store(&s.acknowledged, 1);
	assert_int_equal(pthread_create(&thread, NULL, read_along, &s), 0);
	do { /* a reader that the kernel lets wait keeps the log from its start for that long, not for good */
		log = log_after_writing(s.w, 2 + (unsigned)(written / ROUND_BYTES) * ROUND);
		written += ROUND_BYTES;
	} while (log > written / 2 && written < 6 * ROUND_BYTES);
	atomic_store(&s.stop, true);
	pthread_join(thread, NULL);
	assert_int_equal(s.wrong, 0);
	assert_true(log <= written / 2);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, world_sqlite, world_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(everything_is_there_after_a_restart),
		TEST(numbers_are_not_given_twice_after_a_restart_either),
		TEST(a_catalogue_that_was_not_closed_is_recovered),
		TEST(closing_leaves_one_file_that_only_its_owner_can_read),
		TEST(the_log_does_not_grow_without_end),
		TEST(md5_jobs_are_seen_as_a_table),
		TEST(the_log_mode_is_wal),
		TEST(every_statement_finds_its_rows_by_an_index),
		TEST(a_newer_schema_is_refused),
		TEST(a_newer_schema_in_the_log_is_refused),
		TEST(a_file_that_is_no_database_is_refused),
		TEST(another_programs_database_is_refused),
		TEST(a_truncated_or_overwritten_catalogue_is_refused),
		TEST(a_missing_table_is_damage),
		TEST(a_log_without_its_database_is_not_thrown_away),
		TEST(a_symbolic_link_or_a_folder_is_refused),
		TEST(a_folder_that_is_not_there_is_an_error),
		TEST(an_empty_database_is_taken_over),
		TEST(many_threads_read_while_one_writes),
		TEST(more_readers_than_connections_take_turns),
		TEST(the_log_does_not_grow_without_end_under_steady_reading),
		TEST(a_disk_that_is_full_and_then_is_not), /* last: it leaves the process in a namespace of its own */
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
