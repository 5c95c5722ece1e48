/* A batch: one transaction, one flush.
 *
 * The normal course: BEGIN IMMEDIATE, every change in turn, the tally, COMMIT; with synchronous=FULL the commit returns when the log is flushed.
 * A change checks before it writes, so a refusal needs no undoing. Only what should not happen, such as an id that is taken already, shows as a
 * failed constraint in the midst of a change; then the whole transaction is rolled back and done again with a savepoint around each change, which
 * is slower and seldom. Any other failure rolls the batch back: nothing of it holds.
 *
 * If the flush failed nobody knows what is on the disk, and a second try may report success for data that is gone. So the catalogue is
 * sealed: no write until a restart has read what is really there; and closing makes no checkpoint. A disk that is full is no such case:
 * the log's frames could not be written, the transaction is rolled back, and the next batch may find space again.
 *
 * Checkpoints are made here, by the same connection: in catalog_idle(), or at the start of a batch when the log has grown meanwhile, so that
 * the batch before it has been answered already. */
#include "catalog/sqlite/sq.h"

/* What a checkpoint costs are the different pages it has to bring home; the batch that waits for it pays. Each commit rewrites the same dozen pages
 * at the growing ends of tables and indexes, so what it adds is roughly what goes beyond them. */
#define HOT_PAGES 10
#define FRESH_DUE 256 /* different pages: a stall of a few milliseconds */
#define LOG_DUE 4096 /* pages in the log, 16 MiB, however few different ones */
#define LOG_LONG 2048 /* 8 MiB: readers are held for a moment, so that the log can begin anew */
#define LOG_TOO_LONG 16384 /* 64 MiB: for a longer one */
#define HOLD_MS 5
#define HOLD_LONGER_MS 100

int sq_tally_load(struct sq *q)
{
	sqlite3_stmt *s = q->stmt[W_TALLY_READ];
	struct tally *t = &q->now;
	bool row;
	int rc = first(s, &row);

	if (row) {
		*t = (struct tally){
			.files = sqlite3_column_int64(s, 0),
			.file_bytes = sqlite3_column_int64(s, 1),
			.waiting = sqlite3_column_int64(s, 2),
			.running = sqlite3_column_int64(s, 3),
		};
		for (int state = JOB_SUCCEEDED; state < JOB_STATES; state++)
			t->final[state] = sqlite3_column_int64(s, 4 + state - JOB_SUCCEEDED);
	}
	sqlite3_reset(s);
	if (rc == SQLITE_OK)
		rc = row ? sq_audit_load(q) : SQLITE_CORRUPT;
	q->committed = *t;
	return rc;
}

static int tally_save(struct sq *q)
{
	sqlite3_stmt *s = q->stmt[W_TALLY_WRITE];
	const struct tally *t = &q->now;

	if (!q->now_changed)
		return SQLITE_OK;
	sqlite3_bind_int64(s, 1, t->files);
	sqlite3_bind_int64(s, 2, t->file_bytes);
	sqlite3_bind_int64(s, 3, t->waiting);
	sqlite3_bind_int64(s, 4, t->running);
	for (int state = JOB_SUCCEEDED; state < JOB_STATES; state++)
		sqlite3_bind_int64(s, 5 + state - JOB_SUCCEEDED, t->final[state]);
	return run(s);
}

/* ---- one change ---- */

static int probe(struct sq *q, struct change *ch)
{
	return run(q->stmt[W_PROBE]);
}

static int (*const METHODS[])(struct sq *q, struct change *ch) = {
	[CHANGE_ADD_FILE] = sq_add_file,
	[CHANGE_ADD_FILES] = sq_add_files,
	[CHANGE_ADD_JOBS] = sq_add_jobs,
	[CHANGE_CLAIM] = sq_claim,
	[CHANGE_FINISH] = sq_finish,
	[CHANGE_BEAT] = sq_beat,
	[CHANGE_RECLAIM] = sq_reclaim,
	[CHANGE_CANCEL_JOB] = sq_cancel,
	[CHANGE_RETRY_JOB] = sq_retry,
	[CHANGE_PATCH_FILE] = sq_patch_file,
	[CHANGE_DELETE_FILE] = sq_delete_file,
	[CHANGE_BLOB_GONE] = sq_blob_gone,
	[CHANGE_OUTBOX_DONE] = sq_outbox_done,
	[CHANGE_PURGE] = sq_purge,
	[CHANGE_EXPIRE_RESULTS] = sq_expire_results,
	[CHANGE_MARK_DAMAGED] = sq_mark_damaged,
	[CHANGE_SCRUB_POSITION] = sq_scrub_position_write,
	[CHANGE_RECURRING] = sq_recurring_write,
	[CHANGE_ADD_WEBHOOK] = sq_add_webhook,
	[CHANGE_PATCH_WEBHOOK] = sq_patch_webhook,
	[CHANGE_ROTATE_WEBHOOK] = sq_rotate_webhook,
	[CHANGE_DELETE_WEBHOOK] = sq_delete_webhook,
	[CHANGE_ADD_PING] = sq_add_ping,
	[CHANGE_ATTEMPT] = sq_attempt,
	[CHANGE_REPLAY] = sq_replay,
	[CHANGE_AUDIT] = sq_audit_only,
	[CHANGE_AUDIT_DONE] = sq_audit_done,
	[CHANGE_ONCE] = sq_once_only,
	[CHANGE_ADD_SECRET] = sq_add_secret,
	[CHANGE_ADD_ACCOUNT] = sq_add_account,
	[CHANGE_PATCH_ACCOUNT] = sq_patch_account,
	[CHANGE_DELETE_ACCOUNT] = sq_delete_account,
	[CHANGE_ADD_SESSION] = sq_add_session,
	[CHANGE_END_SESSION] = sq_end_session,
	[CHANGE_TOUCH_SESSION] = sq_touch_session,
	[CHANGE_ADD_KEY] = sq_add_key,
	[CHANGE_REVOKE_KEY] = sq_revoke_key,
	[CHANGE_LINE] = sq_line_write,
	[CHANGE_PROBE] = probe,
};

static bool constraint(int rc)
{
	return (rc & 0xff) == SQLITE_CONSTRAINT;
}

static int apply_one(struct sq *q, struct change *ch)
{
	int rc = change_allowed(ch) ? sq_once_free(q, ch) : SQLITE_OK;

	if (rc == SQLITE_OK && ch->code == 0)
		rc = METHODS[ch->kind](q, ch);
	if (rc == SQLITE_OK && ch->code == 0)
		rc = sq_once_use(q, ch);
	return rc == SQLITE_OK && change_leaves_entry(ch) ? sq_audit_add(q, ch) : rc;
}

static int apply_guarded(struct sq *q, struct change *ch)
{
	struct tally before = q->now;
	size_t mark = lanes_mark(&q->lanes);
	int rc = run(q->stmt[W_SAVEPOINT]), failed;

	if (rc != SQLITE_OK)
		return rc;
	failed = apply_one(q, ch);
	if (failed != SQLITE_OK && !constraint(failed))
		return failed;
	if (failed != SQLITE_OK) {
		rc = run(q->stmt[W_UNDO]);
		q->now = before;
		lanes_undo(&q->lanes, mark);
		q->worker_number = 0;
		change_refuse(ch, ERR_CONFLICT, "an id of this change is taken already");
	}
	return rc == SQLITE_OK ? run(q->stmt[W_RELEASE]) : rc;
}

/* ---- the batch ---- */

/* Leaves no transaction open: after some failures SQLite has rolled back by itself. */
static void roll_back(struct sq *q)
{
	if (!sqlite3_get_autocommit(q->db))
		(void)run(q->stmt[W_ROLLBACK]);
	q->now = q->committed;
	lanes_undo(&q->lanes, 0);
	q->worker_number = 0;
}

static int commit(struct sq *q)
{
	int rc = run(q->stmt[W_COMMIT]);
	int64_t least_run_at;

	/* Whatever fails here with an I/O error may have left a commit in the log that was not flushed, or is not in the log's index; only a
	 * disk without room for the log itself is known to be harmless. */
	if ((rc & 0xff) == SQLITE_IOERR && rc != SQLITE_IOERR_NOMEM && (!sq_no_space(q->db, rc) || log_index_failed(rc)))
		atomic_store(&q->base.sealed, true);
	if (rc != SQLITE_OK)
		return rc;
	atomic_fetch_add(&q->readers.epoch, 1);
	lanes_commit(&q->lanes);
	least_run_at = lanes_least_run_at(&q->lanes);
	pthread_mutex_lock(&q->tally_lock);
	q->committed = q->now;
	q->least_run_at = least_run_at;
	q->newcomers = q->lanes.newcomers;
	pthread_mutex_unlock(&q->tally_lock);
	return SQLITE_OK;
}

/* A roll-back that found no memory has left its transaction open; it is made up for before another begins. */
static int begin(struct sq *q)
{
	int rc = sqlite3_get_autocommit(q->db) ? SQLITE_OK : run(q->stmt[W_ROLLBACK]);

	if (rc == SQLITE_OK)
		rc = run(q->stmt[W_BEGIN]);
	return rc == SQLITE_OK ? log_index_reserve(q) : rc;
}

static int apply_batch(struct sq *q, struct change *const *changes, size_t n, bool guarded)
{
	int rc = begin(q);

	q->now = q->committed;
	q->now_changed = false;
	ends_begin(&q->base);
	for (size_t i = 0; rc == SQLITE_OK && i < n; i++) {
		ends_of_change(&q->base, i);
		rc = guarded ? apply_guarded(q, changes[i]) : apply_one(q, changes[i]);
	}
	if (rc == SQLITE_OK)
		rc = tally_save(q);
	return rc == SQLITE_OK ? commit(q) : rc;
}

/* ---- checkpoints ---- */

int sq_on_wal(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct sq *q = arg;
	int added = pages < q->wal_pages ? pages : pages - q->wal_pages; /* fewer than before: the log started anew */

	q->wal_pages = pages;
	q->wal_unsaved += added;
	if (added > HOT_PAGES)
		q->wal_fresh += added - HOT_PAGES;
	return SQLITE_OK;
}

/* A checkpoint that fails leaves the log as it is: nothing is lost, and the next one comes when as much has been added again. But a failed
 * flush here means as little trust in the disk as in a commit. */
static void checkpoint(struct sq *q, int mode)
{
	int rc = sqlite3_wal_checkpoint_v2(q->db, NULL, mode, NULL, NULL);

	if (sq_flush_failed(rc))
		atomic_store(&q->base.sealed, true);
	if (rc == SQLITE_OK && mode == SQLITE_CHECKPOINT_RESTART)
		q->wal_pages = 0;
	q->wal_unsaved = q->wal_fresh = 0;
	atomic_fetch_add(&q->readers.epoch, 1);
}

/* The log begins anew by itself when all of it was brought home and nobody reads from it; under steady reading that instant may never come. All was
 * brought home a moment ago, so that this is no work, only an instant without readers; a program from outside that reads is not waited for. */
static void begin_log_anew(struct sq *q)
{
	if (q->wal_pages < LOG_LONG || !readers_hold(q, q->wal_pages < LOG_TOO_LONG ? HOLD_MS : HOLD_LONGER_MS))
		return;
	sqlite3_busy_timeout(q->db, 0);
	checkpoint(q, SQLITE_CHECKPOINT_RESTART);
	sqlite3_busy_timeout(q->db, SQ_BUSY_MS);
	readers_release(q);
}

/* share: 1 when a batch waits, 2 when nobody does. */
static void checkpoint_if_due(struct sq *q, int share)
{
	if (q->wal_fresh < FRESH_DUE / share && q->wal_unsaved < LOG_DUE / share)
		return;
	readers_unpin(q);
	checkpoint(q, SQLITE_CHECKPOINT_PASSIVE);
	begin_log_anew(q);
}

void sq_idle(struct catalog *c)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);

	if (q->db) {
		checkpoint_if_due(q, 2);
		return;
	}
	/* Opened to be read only: somebody else's commits tell nothing here. */
	atomic_fetch_add(&q->readers.epoch, 1);
	readers_unpin(q);
}

int sq_apply(struct catalog *c, struct change *const *changes, size_t n, struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	int rc;

	if (!q->db)
		return err_set(e, ERR_STORAGE_READONLY, "the catalogue was opened to be read only");
	arena_release(&q->scratch);
	checkpoint_if_due(q, 1);
	if (atomic_load(&c->sealed))
		return err_set(e, ERR_STORAGE_SEALED, "a flush of the catalogue failed; a restart recovers what is on disk");
	readers_unpin(q);
	rc = apply_batch(q, changes, n, false);
	if (constraint(rc)) {
		roll_back(q);
		rc = apply_batch(q, changes, n, true);
	}
	if (rc == SQLITE_OK)
		return 0;
	if (sq_flush_failed(rc))
		atomic_store(&c->sealed, true);
	sq_error(q->db, rc, e); /* before the rollback: it asks for errno */
	roll_back(q);
	return e ? e->code : ERR_IO;
}
