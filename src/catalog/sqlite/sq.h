/* The inside of the SQLite catalogue, shared by the files of this folder. sqlite3.h is included nowhere else.
 *
 * One connection writes; only the thread that calls catalog_apply() and catalog_idle() touches it. It makes the checkpoints too: SQLite 3.40
 * can corrupt a write-ahead log that two connections checkpoint and restart at once. Readers have connections of their own from a free list.
 *
 * Functions that take a `struct sq` and change something return SQLite's result codes; SQLITE_OK also when the change was refused.
 * apply.c translates the rest into errors of ours. */
#ifndef FILEMILL_CATALOG_SQLITE_SQ_H
#define FILEMILL_CATALOG_SQLITE_SQ_H

#include "catalog/catalog_impl.h"
#include "catalog/lanes.h"
#include "catalog/tables.h"

#include <pthread.h>
#include <sqlite3.h>

enum write_stmt {
#define W_ROW(id, sql) W_##id,
#define R_ROW(id, sql)
#include "catalog/sqlite/statements.h"
#undef W_ROW
#undef R_ROW
	W_COUNT
};

enum read_stmt {
#define W_ROW(id, sql)
#define R_ROW(id, sql) R_##id,
#include "catalog/sqlite/statements.h"
#undef W_ROW
#undef R_ROW
	R_COUNT
};

#define READERS_MAX 8
#define SQ_BUSY_MS 2000 /* somebody looks at the database with a tool of their own */

struct reader {
	sqlite3 *db;
	sqlite3_stmt *stmt[R_COUNT];
	bool pinned; /* R_PIN stands on its row and so holds the read transaction */
	unsigned pinned_at; /* the epoch it began in, or one before */
	struct reader *next; /* in the free list */
};

struct readers {
	pthread_mutex_t lock; /* guards the members below; never held over I/O */
	pthread_cond_t changed; /* on CLOCK_MONOTONIC */
	struct reader *free;
	unsigned open, in_use; /* connections in all; handed out */
	bool held; /* the writer wants all of them back: none is handed out */
	atomic_uint epoch; /* a read transaction that began in an earlier one is renewed; the writer counts */
};

/* What stands in the table tally. */
struct tally {
	int64_t files, file_bytes, waiting, running;
	int64_t final[JOB_STATES];
	int64_t webhooks; /* that are on; counted when the catalogue is opened, not kept in the table */
	int64_t accounts; /* likewise */
	int64_t audit; /* the last audit entry's number; stands in its tables */
};

struct sq {
	struct catalog base;
	char *path;

	/* the writer's, one thread */
	sqlite3 *db;
	sqlite3_stmt *stmt[W_COUNT];
	struct tally now; /* as the open transaction would leave it */
	bool now_changed;
	struct arena scratch; /* emptied by the next batch */
	struct uuid worker; /* the worker looked up last, and its row */
	int64_t worker_number; /* 0 = none */
	struct lanes lanes; /* as the open transaction would leave them */
	int wal_pages; /* in the log */
	int index_regions; /* of the log's index: there, and with space on the disk */
	int wal_unsaved, wal_fresh; /* added since the last checkpoint: pages, and about how many different ones */

	struct readers readers;

	pthread_mutex_t tally_lock;
	struct tally committed; /* as the last transaction left it; guarded by tally_lock, like what follows */
	int64_t least_run_at; /* of all that waits */
	uint64_t newcomers; /* owners of whom something waits and nothing runs */
};

/* ---- error.c ---- */
/* Sets e from a result code of db; the detail names no path and no SQL. */
int sq_error(sqlite3 *db, int rc, struct err *e);
bool sq_flush_failed(int rc);
bool sq_no_space(sqlite3 *db, int rc);

/* ---- open.c ---- */
/* Of the process, before its first connection to a catalogue that somebody may be at work on. Any thread, any number of times. */
void sq_library(void);
/* A pragma or a count: one number. */
int sq_number(sqlite3 *db, const char *sql, int64_t *ret);
/* Whether it is ours, of a schema that we know: an error of ours. *ret_version (NULL = never mind) is 0 for a database that nobody has put anything into. */
int sq_identify(sqlite3 *db, int64_t *ret_version, struct err *e);

/* ---- backup.c ---- */
/* The catalogue in `dir` for reading beside those who work on it: one transaction, which has begun, on a connection that makes no checkpoint. */
int sq_open_beside(const char *dir, sqlite3 **ret, int64_t *ret_schema, struct err *e);
int sq_open_file(const char *path, sqlite3 **ret, int64_t *ret_schema, struct err *e); /* the same of a file by its name */

/* ---- row.c: binding and reading ---- */
void bind_str(sqlite3_stmt *s, int i, struct str v); /* p NULL = NULL; borrowed until the next reset */
void bind_uuid(sqlite3_stmt *s, int i, const struct uuid *v); /* borrowed */
void bind_time(sqlite3_stmt *s, int i, int64_t unix_ms); /* 0 = NULL */
bool col_null(sqlite3_stmt *s, int i);
struct uuid col_uuid(sqlite3_stmt *s, int i);
struct str col_str(sqlite3_stmt *s, int i); /* borrowed until the next step or reset; p NULL = NULL */
/* A copy in the arena; *oom is set when there was no memory. */
struct str col_copy(sqlite3_stmt *s, int i, struct arena *a, bool *oom);
void col_sha256(sqlite3_stmt *s, int i, uint8_t dst[32]);
/* Steps a statement that gives no rows, and resets it. */
int run(sqlite3_stmt *s);
/* Steps a statement that gives one row or none: *ret_row says which; the caller resets it. */
int first(sqlite3_stmt *s, bool *ret_row);

/* From JOB_COLUMNS and FILE_COLUMNS; false: no memory. */
bool row_job(sqlite3_stmt *s, struct arena *a, struct job *ret); /* outputs: their number only */
bool row_file(sqlite3_stmt *s, struct arena *a, struct file *ret);

/* From OUTPUT_COLUMNS */
bool row_output(sqlite3_stmt *s, struct arena *a, struct output *ret);
/* What job number `job` made, by the statement OUTPUTS of either kind; *n is how many it had when it ended, and becomes how many are there. */
int rows_outputs(sqlite3_stmt *s, int64_t job, struct arena *a, struct output **ret, size_t *n);

/* ---- apply.c ---- */
int sq_apply(struct catalog *c, struct change *const *changes, size_t n, struct err *e);
void sq_idle(struct catalog *c);
int sq_tally_load(struct sq *q);
int sq_on_wal(void *arg, sqlite3 *db, const char *name, int pages);

/* ---- log_index.c ---- */
/* Once, by sq_library(): from then on a part of the log's index for which the disk has no space is an error, not a SIGBUS. */
void log_index_setup(void);
/* Space for what this transaction, which has begun, and its commit add to the index; SQLITE_FULL: there is none, and nothing was written. */
int log_index_reserve(struct sq *q);
bool log_index_failed(int rc);

/* ---- usage.c ---- */
int usage_add(struct sq *q, const struct file *f);
int usage_came(struct sq *q, int64_t import, uint64_t size); /* the bytes of a file that was there without */
int usage_sub(struct sq *q, struct str owner, uint64_t size);
int owner_quotas(struct sq *q, struct str owner, struct quotas *ret); /* all 0 for who has no account */
struct quotas col_quotas(sqlite3_stmt *s, int first_column); /* from files_max, bytes_max, jobs_max */
/* Refuses the change when the file is too much, beside those that come with it before. */
int usage_allows(struct sq *q, struct change *ch, const struct file *f, const struct usage *coming);

/* ---- one change each ---- */
int sq_add_file(struct sq *q, struct change *ch);
int sq_add_files(struct sq *q, struct change *ch);
int sq_add_jobs(struct sq *q, struct change *ch);
int sq_patch_file(struct sq *q, struct change *ch);
int sq_delete_file(struct sq *q, struct change *ch);
int sq_blob_gone(struct sq *q, struct change *ch);
int sq_claim(struct sq *q, struct change *ch);
int sq_finish(struct sq *q, struct change *ch);
int sq_cancel(struct sq *q, struct change *ch);
int sq_retry(struct sq *q, struct change *ch);
int sq_beat(struct sq *q, struct change *ch);
int sq_reclaim(struct sq *q, struct change *ch);
int sq_outbox_done(struct sq *q, struct change *ch);
int sq_purge(struct sq *q, struct change *ch);
int sq_expire_results(struct sq *q, struct change *ch);
int sq_mark_damaged(struct sq *q, struct change *ch);
int sq_scrub_position_write(struct sq *q, struct change *ch);
int sq_line_write(struct sq *q, struct change *ch);
int sq_recurring_write(struct sq *q, struct change *ch);

/* ---- audit.c ---- */
int sq_audit_load(struct sq *q); /* the tally's part of it */
int sq_audit_add(struct sq *q, const struct change *ch);
int sq_audit_only(struct sq *q, struct change *ch);
int sq_audit_done(struct sq *q, struct change *ch);
int sq_audit(struct catalog *c, int64_t after, uint32_t max, struct arena *a, struct audit_entry **ret, size_t *ret_n, struct err *e);
/* On any connection; zero when the schema is of a time before the log. */
int sq_read_audit_head(sqlite3 *db, int64_t schema, struct audit_head *ret);
int sq_audit_head(struct catalog *c, struct audit_head *ret, struct err *e);

/* ---- ending.c: what several changes share ---- */

void row_task(sqlite3_stmt *s, int first_column, struct task *ret); /* TASK_COLUMNS; the job's number is the caller's to set */

/* Inserts job number `t->job`'s result with its outputs, its outbox entry and its deliveries, and counts it. */
int put_ending(struct sq *q, const struct task *t, const struct ending *end);
/* Takes the task out of the queue and ends it, and it alone: what comes after it is the caller's to end. */
int end_task_alone(struct sq *q, const struct task *t, const struct ending *end);
/* The same with what follows for the jobs that come after it; *ret_ready (NULL = never mind) is how many became ready. */
int end_task(struct sq *q, const struct task *t, const struct ending *end, uint32_t *ret_ready);
/* As cancelled, by whoever asked for it. */
int end_cancelled(struct sq *q, const struct task *t, int64_t now);
/* Inserts a job in state QUEUED or, with end, final; sets job->number and file_number. The job it comes after is there already. */
int put_job(struct sq *q, struct job *job, int64_t file_number, struct str owner, const struct ending *end);
/* A final job waits anew, from its first attempt on; the fence goes on growing, so that an attempt from before stays stale. */
int queue_again(struct sq *q, int64_t job, uint32_t priority, int64_t fence, int64_t run_at);
/* A task that ran waits again, as `t` says; the job's number, and what it keeps of its error. */
int wait_again(struct sq *q, const struct task *t, int error, struct str detail);
/* The row number of a worker; 0 when it holds no lease at `now` (now < 0: whether it holds one or not). */
int worker_number(struct sq *q, struct uuid worker, int64_t now, int64_t *ret);

/* ---- lane.c: what happens to tasks, told to the lanes ---- */
int sq_lanes_load(struct sq *q);
/* The number of the lane of an owner and an op, which gets its row when it is the first time. */
int task_lane(struct sq *q, struct str owner, struct str op, int64_t *ret);
int task_waits(struct sq *q, int64_t lane, uint32_t priority, int64_t run_at);
int task_waits_no_more(struct sq *q, const struct task *t); /* after its row is gone, or is another state's */
int task_runs_no_more(struct sq *q, int64_t lane);
int task_released(struct sq *q, int64_t lane, uint32_t priority, int64_t run_at); /* it was held and waits for its turn now */
int tasks_claimed(struct sq *q, struct lane *lane, uint32_t priority, size_t n); /* after their rows say so; the lane was kept */

/* ---- chain.c ---- */
/* The job ended: those that come after it become ready, or end too. */
int follow_end(struct sq *q, int64_t job, const struct ending *end, uint32_t *ret_ready);
/* The job is tried anew: those that failed because it had not succeeded are held again. */
int hold_again(struct sq *q, int64_t job);
/* Refuses unless job number `before` succeeded with an output. */
int check_before(struct sq *q, struct change *ch, int64_t before);

/* ---- add.c ---- */
/* A list of jobs that come into being with one change. */
struct adding {
	struct str owner;
	struct job *jobs;
	struct arena *arena; /* for what cached jobs bring */
};
/* Whether job i waits, is held or was done before; sets what the caller is told of it, or refuses the change. Writes nothing.
 * file_number is 0 for a file that is not there yet; sha256 is the file's. */
int settle_job(struct sq *q, struct change *ch, const struct adding *add, size_t i, int64_t file_number, const uint8_t sha256[32]);
/* Inserts it as it was settled, or as it was born. */
int put_settled(struct sq *q, struct job *job, int64_t file_number, struct str owner);

/* ---- output.c ---- */
int put_outputs(struct sq *q, int64_t job, const struct output *outputs, size_t n);
/* Marks a blob unless a row refers to it; *ret_doomed (NULL = never mind) is set when it was marked. */
int doom_blob(struct sq *q, struct str blob, int64_t now, bool *ret_doomed);
/* What the jobs of a file made and did is forgotten, with the blobs nobody else refers to. */
int forget_work(struct sq *q, int64_t file_number, int64_t now, bool *ret_doomed);

/* Deletes rows of output by a statement that takes `number` and returns their blobs, and dooms those nobody else refers to. */
int forget_outputs(struct sq *q, sqlite3_stmt *deleting, int64_t number, int64_t now, bool *ret_doomed);

/* ---- expire.c ---- */
int purge_expired(struct sq *q, int64_t before, uint32_t max); /* tombstones of jobs */

/* ---- webhook.c ---- */
int sq_webhooks_load(struct sq *q);
/* A job ended, its result and outputs are written: the deliveries to whoever wants to hear of it. */
int put_deliveries(struct sq *q, int64_t job);
int sq_add_webhook(struct sq *q, struct change *ch);
int sq_patch_webhook(struct sq *q, struct change *ch);
int sq_rotate_webhook(struct sq *q, struct change *ch);
int sq_delete_webhook(struct sq *q, struct change *ch);
/* ---- delivery.c ---- */
/* A webhook that was not deleted; refuses when there is none. */
struct found_webhook {
	int64_t number;
	bool off;
};
int find_webhook(struct sq *q, struct change *ch, const struct uuid *id, struct str owner, struct found_webhook *ret);
int put_delivery(struct sq *q, int64_t webhook, const struct delivery *d);
int switch_webhook(struct sq *q, int64_t number, bool was_off, enum webhook_off off, int64_t now);
int sq_add_ping(struct sq *q, struct change *ch);
int sq_attempt(struct sq *q, struct change *ch);
int sq_replay(struct sq *q, struct change *ch);
int sq_purge_deliveries(struct sq *q, int64_t before, uint32_t max);

/* ---- webhook_read.c ---- */
int sq_webhook(struct catalog *c, struct uuid id, struct str owner, struct arena *a, struct webhook *ret, struct err *e);
int sq_list_webhooks(struct catalog *c, struct str owner, struct page page, struct arena *a, struct webhook **ret, size_t *ret_n,
		     int64_t *ret_next, struct err *e);
int sq_delivery(struct catalog *c, struct uuid webhook, struct str owner, struct uuid id, struct arena *a, struct delivery *ret,
		struct err *e);
int sq_list_deliveries(struct catalog *c, struct uuid webhook, struct str owner, int state, struct page page, struct arena *a,
		       struct delivery **ret, size_t *ret_n, int64_t *ret_next, struct err *e);
int sq_due_webhooks(struct catalog *c, int64_t after, uint32_t max, struct arena *a, struct due_webhook **ret, size_t *ret_n,
		    struct err *e);
int sq_due_deliveries(struct catalog *c, int64_t webhook_number, int64_t now, uint32_t max, struct arena *a, struct delivery **ret,
		      size_t *ret_n, struct err *e);
int sq_webhook_stats(struct catalog *c, struct webhook_stats *ret, struct err *e);

/* ---- once.c ---- */
/* Before a change: refuses it when its once-key is used up; after one that took effect: uses it up. */
int sq_once_free(struct sq *q, struct change *ch);
int sq_once_use(struct sq *q, const struct change *ch);
int sq_once_only(struct sq *q, struct change *ch);
int sq_once_used(struct catalog *c, const uint8_t key[ONCE_KEY], bool *ret, struct err *e);
int sq_purge_once(struct sq *q, int64_t before, uint32_t max);

/* ---- account.c ---- */
int sq_accounts_load(struct sq *q);
int sq_add_account(struct sq *q, struct change *ch);
int sq_patch_account(struct sq *q, struct change *ch);
int sq_delete_account(struct sq *q, struct change *ch);
int sq_add_session(struct sq *q, struct change *ch);
int sq_end_session(struct sq *q, struct change *ch);
int sq_touch_session(struct sq *q, struct change *ch);
int sq_add_key(struct sq *q, struct change *ch);
int sq_revoke_key(struct sq *q, struct change *ch);
int sq_purge_accounts(struct sq *q, int64_t sessions_before, int64_t keys_before, uint32_t max);

/* ---- account_read.c ---- */
int sq_account(struct catalog *c, struct uuid id, struct str email, struct arena *a, struct account *ret, struct err *e);
int sq_list_accounts(struct catalog *c, struct page page, struct arena *a, struct account **ret, size_t *ret_n, int64_t *ret_next,
		     struct err *e);
uint64_t sq_account_count(struct catalog *c, bool ask);
int sq_session(struct catalog *c, const uint8_t hash[SECRET_HASH], struct arena *a, struct session *ret, struct account *ret_account,
	       struct err *e);
int sq_api_key(struct catalog *c, const uint8_t *hash, struct uuid id, struct arena *a, struct api_key *ret, struct account *ret_account,
	       struct err *e);
int sq_list_keys(struct catalog *c, struct uuid account, struct page page, struct arena *a, struct api_key **ret, size_t *ret_n,
		 int64_t *ret_next, struct err *e);

/* ---- secret.c ---- */
int sq_add_secret(struct sq *q, struct change *ch);
int sq_secrets(struct catalog *c, struct arena *a, struct secret **ret, size_t *ret_n, struct err *e);

/* ---- readers.c ---- */
int readers_open(struct sq *q, struct err *e);
void readers_close(struct sq *q);
int reader_get(struct sq *q, struct reader **ret, struct err *e);
void reader_put(struct sq *q, struct reader *r);
/* Waits, at most so long, until no reader is in use, and lets none begin until readers_release(). False: it took too long, and they go on. */
bool readers_hold(struct sq *q, int64_t at_most_ms);
void readers_release(struct sq *q);
/* The writer, before it adds to the log or clears it: no idle reader keeps an old part of it in use. */
void readers_unpin(struct sq *q);
static inline int rows_no_memory(struct err *e)
{
	err_set(e, ERR_NO_MEMORY, "no memory for what was read");
	return ERR_NO_MEMORY;
}
/* Resets a statement that was read with and says how that went, by what the last step or first() returned; a row is as good as the end: no more were wanted. */
int rows_ended(struct reader *r, sqlite3_stmt *s, int rc, bool oom, struct err *e);
int sq_prepare(sqlite3 *db, sqlite3_stmt **stmts, const char *const *sql, size_t n);

/* ---- stored.c, check.c ---- */
int sq_blob_doomed(struct catalog *c, struct str blob, bool *ret, struct err *e);
int sq_stored(struct catalog *c, struct stored_at after, uint32_t max, struct arena *a, struct stored **ret, size_t *ret_n, struct err *e);
int sq_line(struct catalog *c, struct catalog_line *ret, struct err *e);
int sq_scrub_position(struct catalog *c, struct scrub_position *ret, struct err *e);
int sq_damaged_count(struct catalog *c, uint64_t *ret, struct err *e);

/* watch.c */
int sq_queue(struct catalog *c, int64_t now, uint32_t ended_max, struct queue_rows *rows, uint64_t *ret_ended, struct err *e);
int sq_workers(struct catalog *c, uint32_t max, struct arena *a, struct worker_row **ret, size_t *ret_n, struct err *e);
int sq_damaged(struct catalog *c, uint32_t max, struct arena *a, struct damaged_row **ret, size_t *ret_n, struct err *e);
int sq_check(struct catalog *c, catalog_finding_fn *tell, void *arg, struct err *e);

/* ---- recurring.c ---- */
int sq_recurring(struct catalog *c, struct arena *a, struct recurring_state **ret, size_t *ret_n, struct err *e);

/* ---- read.c, list.c ---- */
int sq_file(struct catalog *c, struct file_key key, struct str owner, struct arena *a, struct file *ret, struct err *e);
int sq_inline_bytes(struct catalog *c, struct uuid file, struct buf *out, struct err *e);
int sq_job(struct catalog *c, struct uuid id, int64_t number, struct str owner, struct arena *a, struct job *ret, struct err *e);
int sq_ended_job(struct catalog *c, int64_t number, struct arena *a, struct job *ret, struct str *ret_owner, struct err *e);
int sq_usage(struct catalog *c, struct str owner, struct usage *ret, struct err *e);
int sq_import_counts(struct catalog *c, struct str owner, struct import_counts *ret, struct err *e);
int sq_stats(struct catalog *c, int64_t now, struct catalog_stats *ret, struct err *e);
int sq_depth(struct catalog *c, int64_t now, struct catalog_depth *ret, struct err *e);
int sq_next_run_at(struct catalog *c, int64_t *ret, struct err *e);
bool sq_newcomers(struct catalog *c);
int sq_blob_referenced(struct catalog *c, struct str blob, bool *ret, struct err *e);
int sq_jobs_of_file(struct reader *r, struct arena *a, struct file *f, struct err *e);
int sq_list_files(struct catalog *c, const struct file_filter *f, struct page page, struct arena *a, struct file **ret, size_t *ret_n,
		  int64_t *ret_next, struct err *e);
int sq_list_jobs(struct catalog *c, const struct job_filter *f, struct page page, struct arena *a, struct job **ret, size_t *ret_n,
		 int64_t *ret_next, struct err *e);
int sq_doomed(struct catalog *c, struct str after, uint32_t max, struct arena *a, struct str **ret, size_t *ret_n, struct err *e);
int sq_expired(struct catalog *c, int64_t now, uint32_t max, struct arena *a, struct expired **ret, size_t *ret_n, struct err *e);
int sq_artifact(struct catalog *c, struct str owner, struct str op, uint32_t op_version, struct str params, const uint8_t sha256[32],
		struct uuid *ret, struct err *e);
/* Fills the outputs of jobs that row_job() read. */
int sq_outputs(struct reader *r, struct arena *a, struct job *jobs, size_t n, struct err *e);
int sq_outbox(struct catalog *c, int64_t after, uint32_t max, struct arena *a, struct outbox_entry **ret, size_t *ret_n, struct err *e);

#endif
