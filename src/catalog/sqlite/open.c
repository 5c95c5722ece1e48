/* Opening: is it ours, is it whole, is it of a version we know; then the settings, the migrations, the statements. Until the first two questions are
 * answered nothing is written, and a file that is refused is left as it was found. */
#include "catalog/sqlite/schema.h"
#include "catalog/sqlite/sq.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define APPLICATION_ID 0x464d494c /* "FMIL", set by 0001.sql */
#define SYNCHRONOUS_FULL 2

static const char *const SQL[W_COUNT] = {
#define W_ROW(id, sql) [W_##id] = (sql),
#define R_ROW(id, sql)
#include "catalog/sqlite/statements.h"
#undef W_ROW
#undef R_ROW
};

/* Debian compiles secure_delete in: every freed page would be written once more. */
static const char SETUP[] = "PRAGMA temp_store = MEMORY; PRAGMA secure_delete = OFF; PRAGMA cache_size = -16384; PRAGMA mmap_size = 0;"
			    " PRAGMA journal_size_limit = 67108864; PRAGMA foreign_keys = OFF; PRAGMA trusted_schema = OFF";

/* SQLite counts every allocation under one lock unless told not to, before its first use. */
static void configure_library(void)
{
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	log_index_setup();
}

void sq_library(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, configure_library);
}

/* ---- before SQLite sees the file ---- */

static int refuse_foreign(struct err *e, const char *why)
{
	return err_set(e, ERR_DAMAGED, "catalog.db %s; it was left as it is", why);
}

/* A database of 0 bytes makes SQLite throw the log beside it away: that is somebody's data unless both are missing. */
static int check_no_log(const struct sq *q, struct err *e)
{
	CLEANUP(free_ptr) char *log = NULL;
	struct stat st;

	if (asprintf(&log, "%s-wal", q->path) < 0)
		return err_set(e, ERR_NO_MEMORY, "no memory for a path");
	if (lstat(log, &st) == 0 && st.st_size > 0)
		return refuse_foreign(e, "is missing or empty but its log is not");
	return 0;
}

static int check_magic(const struct sq *q, int fd, struct err *e)
{
	static const char MAGIC[16] = "SQLite format 3";
	char head[sizeof(MAGIC)];
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return err_errno(e, errno, "fstat");
	if (!S_ISREG(st.st_mode))
		return refuse_foreign(e, "is no regular file");
	n = fd_pread_full(fd, head, sizeof(head), 0);
	if (n < 0)
		return err_errno(e, errno, "pread");
	if (n == 0)
		return check_no_log(q, e);
	if ((size_t)n < sizeof(head) || memcmp(head, MAGIC, sizeof(head)) != 0)
		return refuse_foreign(e, "is no SQLite database");
	return 0;
}

/* Creates the file, readable for nobody else, or looks at its first bytes. */
static int prepare_file(const struct sq *q, struct err *e)
{
	CLEANUP(fd_close) int fd = open(q->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int r;

	if (fd >= 0)
		return check_magic(q, fd, e);
	if (errno == ELOOP)
		return refuse_foreign(e, "is a symbolic link");
	if (errno != ENOENT)
		return err_errno(e, errno, "open");
	r = check_no_log(q, e);
	if (r < 0)
		return r;
	if (q->base.options.keep_schema)
		return refuse_foreign(e, "is missing");
	fd = open(q->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? err_errno(e, errno, "open") : 0;
}

/* ---- the writing connection ---- */

int sq_number(sqlite3 *db, const char *sql, int64_t *ret)
{
	sqlite3_stmt *s = NULL;
	bool row = false;
	int rc = sqlite3_prepare_v2(db, sql, -1, &s, NULL);

	if (rc == SQLITE_OK)
		rc = first(s, &row);
	if (row)
		*ret = sqlite3_column_int64(s, 0);
	else if (rc == SQLITE_OK)
		rc = SQLITE_CORRUPT;
	sqlite3_finalize(s);
	return rc;
}

int sq_identify(sqlite3 *db, int64_t *ret_version, struct err *e)
{
	int64_t id = 0, version = 0, objects = 0;
	int rc = sq_number(db, "PRAGMA application_id", &id);

	if (rc == SQLITE_OK)
		rc = sq_number(db, "PRAGMA user_version", &version);
	if (rc == SQLITE_OK)
		rc = sq_number(db, "SELECT count(*) FROM sqlite_schema", &objects);
	if (rc != SQLITE_OK)
		return sq_error(db, rc, e);
	if (id != APPLICATION_ID && (id != 0 || version != 0 || objects != 0))
		return refuse_foreign(e, "belongs to another program");
	if (id == APPLICATION_ID && (version < 1 || objects == 0))
		return refuse_foreign(e, "is damaged");
	if (version > schema_latest)
		return err_set(e, ERR_SCHEMA_NEWER, "the catalogue has schema %lld, this program knows up to %d", (long long)version,
			       schema_latest);
	if (ret_version)
		*ret_version = version;
	return 0;
}

static int set_wal(sqlite3 *db, bool *ret_took)
{
	sqlite3_stmt *s = NULL;
	bool row = false;
	int rc = sqlite3_prepare_v2(db, "PRAGMA journal_mode = WAL", -1, &s, NULL);

	if (rc == SQLITE_OK)
		rc = first(s, &row);
	*ret_took = row && str_eq(col_str(s, 0), STR("wal"));
	/* The row comes before the change is flushed: only the step behind it tells whether that worked, and after a failure SQLite goes on
	 * with a rollback journal although it says "wal". */
	if (rc == SQLITE_OK && row)
		rc = first(s, &row);
	sqlite3_finalize(s);
	return rc;
}

static int configure(struct sq *q, struct err *e)
{
	int64_t synchronous = -1;
	bool wal = false;
	int rc = sqlite3_exec(q->db, "PRAGMA page_size = 4096", NULL, NULL, NULL); /* of a new database only */

	if (rc == SQLITE_OK)
		rc = set_wal(q->db, &wal);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(q->db, "PRAGMA synchronous = FULL", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sq_number(q->db, "PRAGMA synchronous", &synchronous);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(q->db, SETUP, NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		return sq_error(q->db, rc, e);
	if (!wal || synchronous != SYNCHRONOUS_FULL)
		return err_set(e, ERR_IO, "the file system allows no write-ahead log with full flushes");
	return 0;
}

/* Each migration is a transaction of its own and sets user_version inside it. */
static int migrate(struct sq *q, int64_t version, struct err *e)
{
	while (version < schema_latest) {
		int64_t reached = 0;
		int rc = sqlite3_exec(q->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

		if (rc == SQLITE_OK)
			rc = sqlite3_exec(q->db, schema_migrations[version], NULL, NULL, NULL);
		if (rc == SQLITE_OK)
			rc = sqlite3_exec(q->db, "COMMIT", NULL, NULL, NULL);
		if (rc == SQLITE_OK)
			rc = sq_number(q->db, "PRAGMA user_version", &reached);
		if (rc != SQLITE_OK)
			return sq_error(q->db, rc, e);
		if (reached != version + 1)
			return err_set(e, ERR_INTERNAL, "migration %lld set version %lld", (long long)version + 1, (long long)reached);
		version = reached;
	}
	return 0;
}

static int open_writer(struct sq *q, struct err *e)
{
	int64_t version = 0;
	int r, rc = sqlite3_open_v2(q->path, &q->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_db_config(q->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL); /* until we know that it is ours */
	if (rc == SQLITE_OK)
		rc = sqlite3_busy_timeout(q->db, SQ_BUSY_MS);
	if (rc != SQLITE_OK)
		return sq_error(q->db, rc, e);
	r = sq_identify(q->db, &version, e);
	if (r == 0 && version < schema_latest && q->base.options.keep_schema)
		r = err_set(
			e, ERR_SCHEMA_OLDER,
			"the catalogue has schema %lld, this program works on %d; a start of the server or filemill migrate brings it forward",
			(long long)version, schema_latest);
	if (r < 0)
		return r;
	r = configure(q, e);
	if (r < 0)
		return r;
	sqlite3_wal_hook(q->db, sq_on_wal, q); /* takes the place of wal_autocheckpoint */
	r = migrate(q, version, e);
	if (r < 0)
		return r;
	rc = sq_prepare(q->db, q->stmt, SQL, W_COUNT);
	if (rc == SQLITE_OK)
		rc = sq_tally_load(q);
	if (rc == SQLITE_OK)
		rc = sq_webhooks_load(q);
	if (rc == SQLITE_OK)
		rc = sq_accounts_load(q);
	if (rc == SQLITE_OK)
		rc = sq_lanes_load(q);
	/* A table or column of ours that is missing is damage, not a mistake in the SQL: the same text served to create it. */
	if ((rc & 0xff) == SQLITE_ERROR)
		rc = SQLITE_CORRUPT;
	if (rc == SQLITE_OK)
		rc = sqlite3_db_config(q->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
	return rc == SQLITE_OK ? 0 : sq_error(q->db, rc, e);
}

/* SQLite flushes the directory for its journals, not for the database file itself. */
static int flush_dir(const char *dir, struct err *e)
{
	CLEANUP(fd_close) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_errno(e, errno, "open");
	return fsync(fd) < 0 ? err_errno(e, errno, "fsync") : 0;
}

/* ---- life ---- */

static void sq_free(struct catalog *c)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);

	readers_close(q);
	/* After a failed flush the log may hold a commit that was never acknowledged: the next start decides. */
	if (q->db && atomic_load(&c->sealed))
		sqlite3_db_config(q->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	for (size_t i = 0; i < W_COUNT; i++)
		sqlite3_finalize(q->stmt[i]);
	sqlite3_close(q->db);
	pthread_mutex_destroy(&q->readers.lock);
	pthread_cond_destroy(&q->readers.changed);
	pthread_mutex_destroy(&q->tally_lock);
	arena_release(&q->scratch);
	lanes_release(&q->lanes);
	free(q->path);
	free(q);
}

static const struct catalog_ops OPS = {
	.apply = sq_apply,
	.idle = sq_idle,
	.free = sq_free,
	.file = sq_file,
	.inline_bytes = sq_inline_bytes,
	.job = sq_job,
	.ended_job = sq_ended_job,
	.list_files = sq_list_files,
	.list_jobs = sq_list_jobs,
	.stats = sq_stats,
	.usage = sq_usage,
	.import_counts = sq_import_counts,
	.depth = sq_depth,
	.next_run_at = sq_next_run_at,
	.newcomers = sq_newcomers,
	.artifact = sq_artifact,
	.blob_referenced = sq_blob_referenced,
	.doomed = sq_doomed,
	.blob_doomed = sq_blob_doomed,
	.stored = sq_stored,
	.line = sq_line,
	.scrub_position = sq_scrub_position,
	.recurring = sq_recurring,
	.damaged_count = sq_damaged_count,
	.queue = sq_queue,
	.workers = sq_workers,
	.damaged = sq_damaged,
	.check = sq_check,
	.expired = sq_expired,
	.outbox = sq_outbox,
	.webhook = sq_webhook,
	.list_webhooks = sq_list_webhooks,
	.delivery = sq_delivery,
	.list_deliveries = sq_list_deliveries,
	.due_webhooks = sq_due_webhooks,
	.due_deliveries = sq_due_deliveries,
	.webhook_stats = sq_webhook_stats,
	.account = sq_account,
	.list_accounts = sq_list_accounts,
	.account_count = sq_account_count,
	.session = sq_session,
	.api_key = sq_api_key,
	.list_keys = sq_list_keys,
	.once_used = sq_once_used,
	.secrets = sq_secrets,
	.audit = sq_audit,
	.audit_head = sq_audit_head,
};

static struct sq *sq_new(const char *dir, const struct catalog_options *options)
{
	struct sq *q = calloc(1, sizeof(*q));
	pthread_condattr_t monotonic;

	if (!q)
		return NULL;
	if (asprintf(&q->path, "%s/catalog.db", dir) < 0) {
		free(q);
		return NULL;
	}
	sq_library();
	q->base.ops = &OPS;
	q->base.options = *options;
	pthread_mutex_init(&q->readers.lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&q->readers.changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	pthread_mutex_init(&q->tally_lock, NULL);
	return q;
}

int catalog_sqlite_open(struct catalog **ret, const char *dir, const struct catalog_options *options, struct err *e)
{
	struct sq *q = sq_new(dir, options);
	int r;

	if (!q)
		return err_set(e, ERR_NO_MEMORY, "no memory for the catalogue");
	r = prepare_file(q, e);
	if (r == 0)
		r = open_writer(q, e);
	if (r == 0)
		r = flush_dir(dir, e);
	if (r == 0)
		r = readers_open(q, e);
	if (r < 0) {
		sq_free(&q->base);
		return r;
	}
	*ret = &q->base;
	return 0;
}

/* Readers are all it has. */
int catalog_sqlite_read(struct catalog **ret, const char *dir, struct err *e)
{
	const struct catalog_options options = {.keep_schema = true};
	struct sq *q = sq_new(dir, &options);

	if (!q)
		return err_set(e, ERR_NO_MEMORY, "no memory for the catalogue");
	int r = prepare_file(q, e);
	if (r == 0)
		r = readers_open(q, e);
	if (r < 0) {
		sq_free(&q->base);
		return r;
	}
	*ret = &q->base;
	return 0;
}
