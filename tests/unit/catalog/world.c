#include "world.h"
#include "../fresh_folder.h"

#include "base/fd.h"
#include "catalog/catalog_impl.h"
#include "catalog/sqlite/schema.h"
#include "catalog/sqlite/sq.h"

#include <dirent.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- directories and descriptors ---- */

void temp_dir(char dir[DIR_MAX])
{
	fresh_folder(dir, DIR_MAX, "catalog");
}

void remove_dir(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *entry;

	while (d && (entry = readdir(d)))
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(d), entry->d_name, 0);
	if (d)
		closedir(d);
	rmdir(dir);
}

unsigned open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

/* ---- the world ---- */

static void open_catalog(struct world *w)
{
	if (w->kind->open(w) < 0)
		fail_msg("open: %s", w->err.detail);
}

int world_begin(void **state, const struct world_kind *kind, bool lasting)
{
	struct world *w = calloc(1, sizeof(*w));

	if (!w)
		abort();
	w->descriptors = open_descriptors();
	w->err = ERR_INIT;
	w->kind = kind;
	w->lasting = lasting;
	*state = w;
	if (kind->empty)
		kind->empty(w);
	open_catalog(w);
	return 0;
}

static int open_memory(struct world *w)
{
	return catalog_memory_new(&w->c, &w->options, &w->err);
}

int world_memory(void **state)
{
	static const struct world_kind kind = {.open = open_memory};

	return world_begin(state, &kind, false);
}

void world_reopen(struct world *w)
{
	catalog_free(w->c);
	w->c = NULL;
	open_catalog(w);
}

void world_restart(struct world *w, struct catalog_options options)
{
	catalog_free(w->c);
	w->c = NULL;
	w->options = options;
	if (w->kind->empty)
		w->kind->empty(w);
	open_catalog(w);
}

int64_t world_sql(const struct world *w, const char *sql)
{
	return w->kind->sql(w, sql);
}

/* ---- SQLite ---- */

static int open_sqlite(struct world *w)
{
	return catalog_sqlite_open(&w->c, w->dir, &w->options, &w->err);
}

static void empty_sqlite(struct world *w)
{
	if (w->dir[0])
		remove_dir(w->dir);
	temp_dir(w->dir);
}

static int64_t sql_sqlite(const struct world *w, const char *sql)
{
	char path[DIR_MAX + 16];
	sqlite3 *db;
	sqlite3_stmt *s = NULL;
	int64_t value = 0;

	snprintf(path, sizeof(path), "%s/catalog.db", w->dir);
	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
	if (sqlite3_step(s) == SQLITE_ROW)
		value = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	sqlite3_close(db);
	return value;
}

static void exec(sqlite3 *db, const char *fmt, ...)
{
	char sql[1500], *message = NULL;
	va_list args;

	va_start(args, fmt);
	vsnprintf(sql, sizeof(sql), fmt, args);
	va_end(args);
	if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
		fail_msg("%s: %s", sql, message);
}

#define ID "X'019000000000700080000000%08X'" /* test_id() */
#define SHA "X'%02X00000000000000000000000000000000000000000000000000000000000000'"

static void old_file(sqlite3 *db, unsigned n, int location, const char *deleted_at)
{
	exec(db,
	     "INSERT INTO file (number, id, owner, name, size, type, sha256, labels, location, created_at, deleted_at)"
	     " VALUES (%u, " ID ", '" OLD_OWNER "', 'old %u', 3, 'text/plain', " SHA ", '{}', %d, 1000, %s)",
	     n, n, n, n, location, deleted_at);
}

static void old_job(sqlite3 *db, unsigned n, unsigned file, const char *op)
{
	exec(db, "INSERT INTO job VALUES (%u, " ID ", %u, '%s', 1, '{}', 3, 3, 1000)", n, job_id(n, 0), file, op);
}

/* A job that is through, with all the rows it left behind. */
static void old_result(sqlite3 *db, unsigned job, unsigned file)
{
	const uint8_t sha256[32] = {(uint8_t)file};
	int64_t key = artifact_key(STR(OLD_OWNER), STR("md5"), 1, STR("{}"), sha256);

	exec(db, "INSERT INTO result VALUES (%u, 2, 1, 0, 1, 1000, 1001, 1002, 0, NULL, '{\"md5\":\"aa\"}', 0)", job);
	exec(db, "INSERT INTO outbox SELECT NULL, * FROM result WHERE job = %u", job);
	exec(db, "INSERT INTO artifact VALUES (%lld, %u)", (long long)key, job);
}

void world_old(struct world *w)
{
	char path[DIR_MAX + 16];
	sqlite3 *db;

	catalog_free(w->c);
	w->c = NULL;
	remove_dir(w->dir);
	temp_dir(w->dir);
	snprintf(path, sizeof(path), "%s/catalog.db", w->dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF");
	assert_int_equal(sqlite3_exec(db, schema_migrations[0], NULL, NULL, NULL), SQLITE_OK);
	old_file(db, 1, LOCATION_INLINE, "NULL");
	exec(db, "INSERT INTO blob VALUES (1, X'616263')");
	old_file(db, 2, LOCATION_FILE, "NULL");
	old_file(db, 3, LOCATION_FILE, "2000"); /* deleted; its bytes are still to go */
	exec(db, "INSERT INTO doomed VALUES (3, 2000)");
	old_job(db, 1, 1, "md5");
	old_result(db, 1, 1);
	old_job(db, 2, 1, "sha1"); /* waits */
	exec(db,
	     "INSERT INTO task (job, priority, run_at, state, attempt, losses, fence, cancel, error) VALUES (2, 3, 1000, 0, 0, 0, 4, 0, 0)");
	old_job(db, 3, 2, "sha1"); /* runs */
	exec(db, "INSERT INTO worker VALUES (1, " ID ", %lld)", 500, (long long)NOW + 15000);
	exec(db, "INSERT INTO task VALUES (3, 3, 1000, 1, 1, 0, 1, 1, 1001, 0, 0, NULL)");
	old_job(db, 4, 3, "md5"); /* of the deleted file */
	old_result(db, 4, 3);
	exec(db, "INSERT INTO idempotency VALUES (1, '" OLD_OWNER "', 'key', zeroblob(32), " ID ", %lld)", 1, (long long)NOW);
	exec(db, "UPDATE tally SET files = 2, file_bytes = 6, waiting = 1, running = 1, succeeded = 2");
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* What is known in memory of whose turn it is agrees with the tables. */
static void check_lanes(const struct world *w)
{
	const struct lanes *l = &CONTAINER_OF(w->c, struct sq, base)->lanes;
	uint64_t waiting = 0, running = 0;

	for (size_t i = 0; i < l->n_numbered; i++) {
		const struct lane *lane = l->numbered[i];
		char where[80], sql[200];

		snprintf(where, sizeof(where), "FROM task WHERE lane = %lld AND state", (long long)lane->number);
		snprintf(sql, sizeof(sql), "SELECT count(*) %s = 0", where);
		assert_int_equal(world_sql(w, sql), lane->waiting);
		snprintf(sql, sizeof(sql), "SELECT count(*) %s = 1", where);
		assert_int_equal(world_sql(w, sql), lane->running);
		for (int p = 0; p < LEVELS; p++) {
			snprintf(sql, sizeof(sql), "SELECT ifnull(min(run_at), 9223372036854775807) %s = 0 AND priority = %d", where, p);
			assert_int_equal(world_sql(w, sql), lane->head_at[p]);
		}
		waiting += lane->waiting;
		running += lane->running;
	}
	assert_int_equal(world_sql(w, "SELECT count(*) FROM task WHERE state = 0"), waiting);
	assert_int_equal(world_sql(w, "SELECT count(*) FROM task WHERE state = 1"), running);
}

/* One task or one result for each job, and so on. */
void world_check_rules(const struct world *w)
{
	assert_int_equal(world_sql(w, "SELECT count(*) FROM job AS j WHERE (SELECT count(*) FROM task WHERE job = j.number)"
				      " + (SELECT count(*) FROM result WHERE job = j.number) <> 1"),
			 0);
	assert_int_equal(world_sql(w, "SELECT (SELECT count(*) FROM task) + (SELECT count(*) FROM result) - (SELECT count(*) FROM job)"),
			 0);
	assert_int_equal(world_sql(w, "SELECT count(*) FROM job WHERE file NOT IN (SELECT number FROM file)"), 0);
	assert_int_equal(
		world_sql(
			w,
			"SELECT count(*) FROM blob WHERE file NOT IN (SELECT number FROM file WHERE deleted_at IS NULL AND location = 0)"),
		0);
	assert_int_equal(world_sql(w, "SELECT count(*) FROM task WHERE (state = 1) <> (worker IS NOT NULL)"), 0);
	/* Outputs: of jobs that succeeded, of files that are there, as many as the result says; nothing that is doomed is referred to. */
	assert_int_equal(
		world_sql(
			w,
			"SELECT count(*) FROM result AS r JOIN job AS j ON j.number = r.job JOIN file AS f ON f.number = j.file"
			" WHERE (SELECT count(*) FROM output WHERE job = r.job) <> CASE WHEN f.deleted_at IS NULL THEN r.outputs ELSE 0 END"),
		0);
	assert_int_equal(world_sql(w, "SELECT count(*) FROM output WHERE job NOT IN (SELECT job FROM result WHERE state = 2)"), 0);
	assert_int_equal(world_sql(w, "SELECT count(*) FROM doomed WHERE blob IN (SELECT blob FROM output)"), 0);
	/* Chains: within a file, forward; what waits is held exactly while the job before it has not succeeded, and that one may still. */
	assert_int_equal(world_sql(w, "SELECT count(*) FROM job AS j WHERE after IS NOT NULL AND NOT EXISTS"
				      " (SELECT 1 FROM job AS p WHERE p.number = j.after AND p.file = j.file AND p.number < j.number)"),
			 0);
	assert_int_equal(world_sql(w,
				   "SELECT count(*) FROM task AS t JOIN job AS j ON j.number = t.job WHERE (t.run_at = 9223372036854775807)"
				   " <> (j.after IS NOT NULL AND j.after IN (SELECT job FROM task))"),
			 0);
	assert_int_equal(world_sql(w,
				   "SELECT count(*) FROM task AS t JOIN job AS j ON j.number = t.job WHERE t.run_at <> 9223372036854775807"
				   " AND j.after IS NOT NULL AND NOT EXISTS (SELECT 1 FROM output WHERE job = j.after)"),
			 0);
	assert_int_equal(
		world_sql(w,
			  "SELECT count(*) FROM artifact WHERE job NOT IN (SELECT r.job FROM result AS r JOIN job AS j ON j.number = r.job"
			  " JOIN file AS f ON f.number = j.file WHERE r.state = 2 AND f.deleted_at IS NULL)"),
		0);
	/* Webhooks: each knows how much waits for it; what waits has not ended, and what has ended does not wait. */
	assert_int_equal(world_sql(w, "SELECT count(*) FROM webhook AS w"
				      " WHERE waiting <> (SELECT count(*) FROM delivery WHERE webhook = w.number AND state = 0)"),
			 0);
	assert_int_equal(world_sql(w, "SELECT count(*) FROM delivery WHERE (state = 0) <> (ended_at IS NULL)"
				      " OR webhook NOT IN (SELECT number FROM webhook)"),
			 0);
	assert_int_equal(world_sql(w, "SELECT count(*) FROM attempt WHERE delivery NOT IN (SELECT number FROM delivery)"), 0);
	assert_int_equal(
		world_sql(w, "SELECT count(*) FROM task AS t JOIN job AS j ON j.number = t.job JOIN file AS f ON f.number = j.file"
			     " LEFT JOIN lane AS l ON l.number = t.lane WHERE l.number IS NULL OR l.owner <> f.owner OR l.op <> j.op"),
		0);
}

/* What must hold whatever was done: SQLite's own check, the rules, and a tally that agrees with the tables. */
void world_check_database(const struct world *w)
{
	assert_int_equal(world_sql(w, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"), 0);
	world_check_rules(w);
	assert_int_equal(world_sql(w, "SELECT waiting - (SELECT count(*) FROM task WHERE state = 0) FROM tally"), 0);
	assert_int_equal(world_sql(w, "SELECT running - (SELECT count(*) FROM task WHERE state = 1) FROM tally"), 0);
	assert_int_equal(world_sql(w, "SELECT files - (SELECT count(*) FROM file WHERE deleted_at IS NULL) FROM tally"), 0);
	assert_int_equal(world_sql(w, "SELECT file_bytes - (SELECT coalesce(sum(size), 0) FROM file WHERE deleted_at IS NULL) FROM tally"),
			 0);
}

static void tell_nothing(void *arg, enum finding f, struct str id, struct str detail)
{
	fail_msg("%s %.*s: %.*s", finding_word(f), STR_FMT(id), STR_FMT(detail));
}

int world_end(void **state)
{
	struct world *w = *state;

	if (w->c)
		assert_int_equal(catalog_check(w->c, tell_nothing, NULL, &w->err), 0);
	if (w->dir[0] && w->c)
		check_lanes(w);
	catalog_free(w->c);
	if (w->kind->check)
		w->kind->check(w);
	if (w->kind->end)
		w->kind->end(w);
	arena_release(&w->arena);
	assert_int_equal(open_descriptors(), w->descriptors);
	free(w);
	return 0;
}

static void check_sqlite(struct world *w)
{
	world_check_database(w);
}

static void end_sqlite(struct world *w)
{
	remove_dir(w->dir);
}

int world_sqlite(void **state)
{
	static const struct world_kind kind = {
		.open = open_sqlite, .empty = empty_sqlite, .sql = sql_sqlite, .check = check_sqlite, .end = end_sqlite};

	return world_begin(state, &kind, true);
}

/* ---- rows ---- */

struct uuid test_id(unsigned n)
{
	struct uuid u = {{0x01, 0x90, 0, 0, 0, 0, 0x70, 0, 0x80}};

	for (int i = 0; i < 4; i++)
		u.b[12 + i] = (uint8_t)(n >> (24 - 8 * i));
	return u;
}

struct str blob_of(unsigned n, char dst[BLOB_MAX])
{
	char id[UUID_TEXT_LEN + 1];

	uuid_format(id, test_id(n));
	snprintf(dst, BLOB_MAX, OWNER_PUBLIC "/%s/%s", id + UUID_TEXT_LEN - 2, id);
	return str_of(dst);
}

unsigned job_id(unsigned file, unsigned job)
{
	return file * 100 + 1 + job;
}

void build_file(struct built *b, unsigned n)
{
	*b = (struct built){.n = n};
	snprintf(b->name, sizeof(b->name), "file %u.bin", n);
	snprintf(b->bytes, sizeof(b->bytes), "bytes of %u", n);
	b->file = (struct file){.id = test_id(n),
				.owner = OWNER,
				.name = str_of(b->name),
				.size = strlen(b->bytes),
				.type = STR("text/plain"),
				.labels = STR("{}"),
				.location = LOCATION_INLINE,
				.created_at = NOW,
				.jobs = b->jobs};
	for (size_t i = 0; i < sizeof(b->file.sha256); i++)
		b->file.sha256[i] = (uint8_t)(n * 7 + i);
	b->change = (struct change){.kind = CHANGE_ADD_FILE, .add_file = {.file = &b->file, .bytes = str_of(b->bytes)}};
}

struct job *build_job(struct built *b, const char *op)
{
	size_t i = b->file.n_jobs++;

	b->jobs[i] = (struct job){.id = test_id(job_id(b->n, (unsigned)i)),
				  .op = str_of(op),
				  .op_version = 1,
				  .params = STR("{}"),
				  .priority = PRIORITY_DEFAULT,
				  .max_attempts = MAX_ATTEMPTS_DEFAULT,
				  .run_at = NOW,
				  .created_at = NOW};
	return &b->jobs[i];
}

struct job *build_after(struct built *b, const char *op, const struct job *before)
{
	struct job *job = build_job(b, op);

	job->after = before->id;
	return job;
}

void build_same_bytes(struct built *b, unsigned n, unsigned as)
{
	build_file(b, n);
	for (size_t i = 0; i < sizeof(b->file.sha256); i++)
		b->file.sha256[i] = (uint8_t)(as * 7 + i);
}

struct job new_job(unsigned id, unsigned file, const char *op)
{
	return (struct job){.id = test_id(id),
			    .file = test_id(file),
			    .op = str_of(op),
			    .op_version = 1,
			    .params = STR("{}"),
			    .priority = PRIORITY_DEFAULT,
			    .max_attempts = MAX_ATTEMPTS_DEFAULT,
			    .run_at = NOW,
			    .created_at = NOW + 200};
}

struct job *build_fused(struct built *b, const char *op, const char *result)
{
	struct job *job = build_job(b, op);

	job->state = JOB_SUCCEEDED;
	job->attempt = 1;
	job->started_at = NOW - 5;
	job->finished_at = NOW;
	job->result = str_of(result);
	return job;
}

/* ---- short ways to write ---- */

int apply1(struct world *w, struct change *ch)
{
	struct change *batch[] = {ch};

	if (catalog_apply(w->c, batch, 1, &w->err) < 0)
		fail_msg("apply: %s", w->err.detail);
	if (ch->code)
		assert_int_equal(ch->code, ch->err.code);
	return ch->code;
}

void must_apply(struct world *w, struct change *ch)
{
	if (apply1(w, ch) < 0)
		fail_msg("refused: %s (%s)", ch->err.detail, ch->err.field);
}

void add_file(struct world *w, unsigned n)
{
	struct built b;

	build_file(&b, n);
	must_apply(w, &b.change);
}

void add_file_with_job(struct world *w, unsigned n, const char *op)
{
	struct built b;

	build_file(&b, n);
	build_job(&b, op);
	must_apply(w, &b.change);
}

struct uuid first_beat(struct world *w, unsigned n, int64_t expires_at)
{
	struct change ch = {.kind = CHANGE_BEAT, .beat = {.worker = test_id(n), .now = NOW, .expires_at = expires_at, .first = true}};

	must_apply(w, &ch);
	return test_id(n);
}

struct change_claim claim(struct world *w, struct uuid worker, uint32_t max, int64_t now)
{
	struct change ch = {.kind = CHANGE_CLAIM, .claim = {.worker = worker, .max = max, .now = now, .arena = &w->arena}};

	must_apply(w, &ch);
	return ch.claim;
}

int finish(struct world *w, const struct job *job, struct uuid worker, enum job_state state)
{
	struct change ch = {.kind = CHANGE_FINISH,
			    .finish = {.job = job->id,
				       .fence = job->fence,
				       .worker = worker,
				       .state = state,
				       .retry_at = NOW + 1000,
				       .started_at = NOW + 10,
				       .finished_at = NOW + 20}};

	if (state == JOB_SUCCEEDED)
		ch.finish.result = STR("{\"md5\":\"0123456789abcdef0123456789abcdef\"}");
	if (state == JOB_FAILED || state == JOB_QUEUED) {
		ch.finish.error = ERR_OP_FAILED;
		ch.finish.error_detail = STR("it did not work");
	}
	return apply1(w, &ch);
}

struct str output_blob(struct uuid job, int64_t fence, unsigned n, char dst[BLOB_MAX])
{
	char id[UUID_TEXT_LEN + 1];

	uuid_format(id, job);
	snprintf(dst, BLOB_MAX, OWNER_PUBLIC "/%s/%s.%lld.%u", id + UUID_TEXT_LEN - 2, id, (long long)fence, n);
	return str_of(dst);
}

int finish_with_outputs(struct world *w, const struct job *job, struct uuid worker, size_t n, uint32_t *ret_ready)
{
	char names[OUTPUTS_MAX + 1][16], blobs[OUTPUTS_MAX + 1][BLOB_MAX];
	struct output outputs[OUTPUTS_MAX + 1] = {};
	struct change ch = {.kind = CHANGE_FINISH,
			    .finish = {.job = job->id,
				       .fence = job->fence,
				       .worker = worker,
				       .state = JOB_SUCCEEDED,
				       .result = STR("{\"width\":1}"),
				       .started_at = NOW + 10,
				       .finished_at = NOW + 20,
				       .outputs = outputs,
				       .n_outputs = n}};
	int r;

	for (unsigned i = 0; i < n; i++) {
		snprintf(names[i], sizeof(names[i]), "out %u.webp", i);
		outputs[i] = (struct output){.name = str_of(names[i]),
					     .type = STR("image/webp"),
					     .size = UINT64_C(6000000000) + i,
					     .blob = output_blob(job->id, job->fence, i, blobs[i])};
		memcpy(outputs[i].sha256, job->id.b, sizeof(job->id.b)); /* other bytes for each job */
		outputs[i].sha256[31] = (uint8_t)(1 + i);
	}
	r = apply1(w, &ch);
	if (ret_ready)
		*ret_ready = ch.finish.ready;
	if (r == 0 && n > 0)
		assert_int_equal(ch.finish.doomed, doomed(w, outputs[0].blob));
	return r;
}

int finish_same_as(struct world *w, const struct job *job, struct uuid worker, struct uuid other)
{
	struct change ch = {.kind = CHANGE_FINISH,
			    .finish = {.job = job->id,
				       .fence = job->fence,
				       .worker = worker,
				       .state = JOB_SUCCEEDED,
				       .finished_at = NOW + 30,
				       .same_as = other}};

	return apply1(w, &ch);
}

int add_jobs(struct world *w, struct job *jobs, size_t n, size_t *ret_failed)
{
	struct change ch = {.kind = CHANGE_ADD_JOBS, .add_jobs = {.owner = OWNER, .jobs = jobs, .n = n, .arena = &w->arena}};
	int r = apply1(w, &ch);

	if (ret_failed)
		*ret_failed = ch.add_jobs.failed_index;
	return r;
}

int delete_file(struct world *w, unsigned n)
{
	struct change ch = {.kind = CHANGE_DELETE_FILE, .delete_file = {.id = test_id(n), .owner = OWNER, .now = NOW + 100}};

	return apply1(w, &ch);
}

int cancel_job(struct world *w, unsigned id, bool *ret_was_running)
{
	struct change ch = {.kind = CHANGE_CANCEL_JOB, .job_ref = {.id = test_id(id), .owner = OWNER, .now = NOW + 50}};
	int r = apply1(w, &ch);

	if (ret_was_running)
		*ret_was_running = ch.job_ref.was_running;
	return r;
}

int retry_job(struct world *w, unsigned id)
{
	struct change ch = {.kind = CHANGE_RETRY_JOB, .job_ref = {.id = test_id(id), .owner = OWNER, .now = NOW + 60}};

	return apply1(w, &ch);
}

struct change_reclaim reclaim(struct world *w, int64_t now, bool all)
{
	struct change ch = {.kind = CHANGE_RECLAIM, .reclaim = {.now = now, .all = all}};

	must_apply(w, &ch);
	return ch.reclaim;
}

int purge(struct world *w, int64_t before, uint32_t max)
{
	struct change ch = {.kind = CHANGE_PURGE,
			    .purge = {.idempotency_before = before,
				      .tombstones_before = before,
				      .workers_before = before,
				      .deliveries_before = before,
				      .max = max}};

	return apply1(w, &ch);
}

/* ---- short ways to read ---- */

struct file read_file(struct world *w, unsigned n)
{
	struct file f = {};

	if (catalog_file(w->c, (struct file_key){.id = test_id(n)}, OWNER, &w->arena, &f, &w->err) < 0)
		fail_msg("file %u: %s", n, w->err.detail);
	return f;
}

int file_code(struct world *w, unsigned n)
{
	struct file f;

	return catalog_file(w->c, (struct file_key){.id = test_id(n)}, OWNER, &w->arena, &f, &w->err);
}

struct job read_job(struct world *w, unsigned id)
{
	struct job j = {};

	if (catalog_job(w->c, test_id(id), 0, OWNER, &w->arena, &j, &w->err) < 0)
		fail_msg("job %u: %s", id, w->err.detail);
	return j;
}

int job_code(struct world *w, unsigned id)
{
	struct job j;

	return catalog_job(w->c, test_id(id), 0, OWNER, &w->arena, &j, &w->err);
}

bool referenced(struct world *w, struct str blob)
{
	bool yes = false;

	assert_int_equal(catalog_blob_referenced(w->c, blob, &yes, &w->err), 0);
	return yes;
}

bool doomed(struct world *w, struct str blob)
{
	struct str *list;
	size_t n, seen = 0;

	assert_int_equal(catalog_doomed(w->c, STR(""), 10000, &w->arena, &list, &n, &w->err), 0);
	for (size_t i = 0; i < n; i++)
		seen += str_eq(list[i], blob);
	assert_true(seen <= 1);
	return seen;
}

size_t doomed_count(struct world *w)
{
	struct str *list;
	size_t n;

	assert_int_equal(catalog_doomed(w->c, STR(""), 10000, &w->arena, &list, &n, &w->err), 0);
	return n;
}

struct catalog_stats stats(struct world *w, int64_t now)
{
	struct catalog_stats s = {};

	assert_int_equal(catalog_stats(w->c, now, &s, &w->err), 0);
	return s;
}
