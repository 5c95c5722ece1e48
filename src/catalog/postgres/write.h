/* What the files that write share.
 *
 * Methods return 0, also when the change was refused, or the code of q->link.err: then the transaction is over.
 *
 * Rows that come into being are gathered and written many with one statement: `gather` says what is still to be written. w_ask() and w_run() write it first, so that whoever uses them
 * finds everything; what is done for many changes at once (write_file.c, write_job.c) knows what it may read without. */
#ifndef FILEMILL_CATALOG_POSTGRES_WRITE_H
#define FILEMILL_CATALOG_POSTGRES_WRITE_H

#include "catalog/postgres/pg.h"

/* ---- gather.c ---- */

/* What is gathered, in the order in which it is written. */
enum gathered {
	G_FILES,
	G_BLOBS,
	G_JOBS,
	G_TASKS,
	G_ENDED_TASKS,
	G_RESULTS,
	G_OUTPUTS,
	G_IDEMPOTENCY,
	G_ARTIFACTS,
	G_OUTBOX, /* only when the batch is about to be committed: in the order of the commits */
	G_AUDIT, /* likewise */
	GATHERED
};
#define GATHER_COLUMNS 14

struct gather {
	int n; /* rows */
	struct pg_array column[GATHER_COLUMNS];
};

struct lane_delta {
	int64_t lane, waiting, running;
};

/* An owner with something to count in this batch. */
struct owner_state {
	struct str name; /* in the scratch arena */
	int64_t files, bytes; /* more or less, not written yet */
	bool known; /* `used` is what is stored, what is to be written included; its row is locked */
	struct usage used; /* but .own */
	bool quotas_known;
	struct quotas own;
	bool counted; /* `waiting` is what waits, what is to be written included */
	int64_t waiting;
};

struct pg_writes {
	struct gather gather[GATHERED];
	struct {
		int64_t files, file_bytes, waiting, running, final[JOB_STATES];
		bool changed;
	} tally; /* more or less, not written yet */
	struct lane_delta *lanes;
	size_t n_lanes, cap_lanes;
	struct owner_state *owners;
	size_t n_owners, cap_owners;
	bool webhooks; /* there may be some */
	int64_t *files, *jobs; /* row numbers taken from the sequences for this batch */
	size_t n_files, n_jobs, next_file, next_job;
	struct uuid node; /* looked up last, … */
	bool node_known; /* … and whether it was there */
	int64_t lot; /* of the connection that writes, in the table batch */
	int64_t transaction; /* its number; 0 = none yet */
	bool committing; /* the COMMIT was sent: what is lost now may have taken place */
};

void writes_reset(struct pg *q); /* nothing is gathered */
struct pg_array *g_begin(struct pg *q, enum gathered g); /* one more row: its columns */
int rows_flush(struct pg *q); /* all but outbox and audit */
int counts_flush(struct pg *q); /* tally, lanes, usage */
int last_flush(struct pg *q); /* everything */
int w_ask(struct pg *q, enum pg_stmt s, struct pg_args *a, struct pg_rows *ret);
int w_run(struct pg *q, enum pg_stmt s, struct pg_args *a);
/* The same with row numbers: how often it is needed. */
int w_run_int(struct pg *q, enum pg_stmt s, int64_t number);
int w_run_int2(struct pg *q, enum pg_stmt s, int64_t a, int64_t b);

void count_waiting(struct pg *q, int64_t lane, int64_t more);
void count_running(struct pg *q, int64_t lane, int64_t more);
struct owner_state *owner_of(struct pg *q, struct str name); /* NULL: no memory */
int count_file(struct pg *q, struct str owner, int64_t files, int64_t bytes);
int waiting_in_all(struct pg *q, int64_t *ret);
int waiting_of_owner(struct pg *q, struct owner_state *o);
/* What change_has_room() wants to know, for an owner's change by itself; all 0 where nothing is limited. */
struct queue_room {
	uint64_t waiting, waiting_of_owner;
	struct quotas own;
};
int queue_room(struct pg *q, struct str owner, struct queue_room *ret);
bool queue_is_limited(const struct pg *q); /* is there a limit on what waits, of all or of any owner? */
int quotas_of(struct pg *q, struct owner_state *const *owners, size_t n); /* sets `own` */
int64_t next_file_number(struct pg *q);
int64_t next_job_number(struct pg *q);

/* ---- ending.c: what several changes share ---- */

void pgw_row_task(const struct pg_rows *r, int row, int first_column,
		  struct task *ret); /* TASK_COLUMNS; the job's number is the caller's to set */

int pgw_put_ending(struct pg *q, const struct task *t, const struct ending *end);
int pgw_end_task_alone(struct pg *q, const struct task *t, const struct ending *end);
int pgw_end_task(struct pg *q, const struct task *t, const struct ending *end, uint32_t *ret_ready);
int pgw_end_cancelled(struct pg *q, const struct task *t, int64_t now);
/* Inserts a job in state QUEUED or, with end, final; sets job->number and file_number. `after` is the number of the job it comes after, 0 = none. */
int pgw_put_job(struct pg *q, struct job *job, int64_t file_number, struct str owner, int64_t after, const struct ending *end);
int pgw_queue_again(struct pg *q, int64_t job, int64_t lane, uint32_t priority, int64_t fence, int64_t run_at);
int pgw_wait_again(struct pg *q, const struct task *t, int error, struct str detail);
int pgw_worker_number(struct pg *q, struct uuid worker, int64_t now,
		      int64_t *ret); /* 0 when it holds no lease at `now` (now < 0: whether it holds one or not) */

/* ---- chain.c ---- */
int pgw_follow_end(struct pg *q, int64_t job, const struct ending *end, uint32_t *ret_ready);
int pgw_hold_again(struct pg *q, int64_t job);
int pgw_check_before(struct pg *q, struct change *ch, int64_t before);

/* ---- add.c ---- */

/* Work done before, as it was found for many at once. */
struct done {
	int64_t number; /* of the job that did it; 0 = nobody did */
	struct str result;
	size_t n_outputs;
};
struct adding {
	struct str owner;
	struct job *jobs;
	struct arena *arena; /* for what cached jobs bring; NULL: scratch */
	const struct done *done; /* one a job that works on the file itself; NULL: it is asked for */
};
int pgw_settle_job(struct pg *q, struct change *ch, const struct adding *add, size_t i, int64_t file_number, const uint8_t sha256[32]);
/* Inserts job i as it was settled, or as it was born. */
int pgw_put_settled(struct pg *q, const struct adding *add, size_t i, int64_t file_number);
/* Fills done[i] for the jobs whose key is not 0 in `keys`. */
struct wanted {
	const struct job *job;
	struct str owner;
	const uint8_t *sha256;
	struct done *done;
};
int find_done(struct pg *q, const struct wanted *list, size_t n);
int pgw_add_jobs(struct pg *q, struct change *ch);
int lanes_ensure(struct pg *q, struct change *const *changes, size_t n); /* before the transaction: the lanes its jobs will wait in */
int lanes_learn(struct pg *q, const struct pg_rows *r); /* number, owner, op */

/* ---- output.c ---- */
int pgw_doom_blob(struct pg *q, struct str blob, int64_t now, bool *ret_doomed);
int pgw_forget_outputs(struct pg *q, enum pg_stmt deleting, int64_t number, int64_t now, bool *ret_doomed);
int pgw_forget_work(struct pg *q, int64_t file_number, int64_t now, bool *ret_doomed);

/* ---- many changes at once; each with its place in the batch ---- */
struct placed {
	struct change *ch;
	size_t at;
};
int pgw_add_files(struct pg *q, const struct placed *list, size_t n);
int pgw_add_several(struct pg *q, struct change *ch, size_t at); /* of one change: all or nothing */
int pgw_find_taken(struct pg *q, struct change *ch); /* which of several files was refused for an id */
int pgw_finish_all(struct pg *q, const struct placed *list, size_t n);

/* ---- one change each ---- */
int pgw_patch_file(struct pg *q, struct change *ch);
int pgw_delete_file(struct pg *q, struct change *ch);
int pgw_blob_gone(struct pg *q, struct change *ch);
int pgw_claim(struct pg *q, struct change *ch);
int pgw_cancel(struct pg *q, struct change *ch);
int pgw_retry(struct pg *q, struct change *ch);
int pgw_beat(struct pg *q, struct change *ch);
int pgw_reclaim(struct pg *q, struct change *ch);
int pgw_outbox_done(struct pg *q, struct change *ch);
int pgw_purge(struct pg *q, struct change *ch);
int pgw_expire_results(struct pg *q, struct change *ch);
int pgw_mark_damaged(struct pg *q, struct change *ch);
int pgw_scrub_position(struct pg *q, struct change *ch);
int pgw_line(struct pg *q, struct change *ch);
int pgw_recurring(struct pg *q, struct change *ch);
int pgw_audit_done(struct pg *q, struct change *ch);
int pgw_add_secret(struct pg *q, struct change *ch);

/* webhook_write.c, delivery.c */
struct found_webhook {
	int64_t number;
	bool off;
};
int pgw_put_deliveries(struct pg *q, int64_t job);
int pgw_find_webhook(struct pg *q, struct change *ch, const struct uuid *id, struct str owner, struct found_webhook *ret);
int pgw_put_delivery(struct pg *q, int64_t webhook, const struct delivery *d);
int pgw_switch_webhook(struct pg *q, int64_t number, bool was_off, enum webhook_off off, int64_t now);
int pgw_purge_deliveries(struct pg *q, int64_t before, uint32_t max);
int pgw_add_webhook(struct pg *q, struct change *ch);
int pgw_patch_webhook(struct pg *q, struct change *ch);
int pgw_rotate_webhook(struct pg *q, struct change *ch);
int pgw_delete_webhook(struct pg *q, struct change *ch);
int pgw_add_ping(struct pg *q, struct change *ch);
int pgw_attempt(struct pg *q, struct change *ch);
int pgw_replay(struct pg *q, struct change *ch);

/* account.c */
int pgw_add_account(struct pg *q, struct change *ch);
int pgw_patch_account(struct pg *q, struct change *ch);
int pgw_delete_account(struct pg *q, struct change *ch);
int pgw_add_session(struct pg *q, struct change *ch);
int pgw_end_session(struct pg *q, struct change *ch);
int pgw_touch_session(struct pg *q, struct change *ch);
int pgw_add_key(struct pg *q, struct change *ch);
int pgw_revoke_key(struct pg *q, struct change *ch);

#endif
