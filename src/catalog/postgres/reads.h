/* Reading: what the files of this folder that read share, and the methods they are. */
#ifndef FILEMILL_CATALOG_POSTGRES_READS_H
#define FILEMILL_CATALOG_POSTGRES_READS_H

#include "catalog/postgres/pg.h"

/* ---- ask.c ---- */
/* One statement; its rows are the caller's to release. A connection that turns out to be lost is made anew once: reading twice does no harm. */
int pg_read(struct pg *q, enum pg_stmt s, struct pg_args *a, struct pg_rows *ret, struct err *e);
/* Several statements that see one moment. */
int pg_read_all(struct pg *q, struct pg_question *questions, size_t n, struct err *e);
/* pg_read() for what is over at once where all is well and others wait for meanwhile, such as who somebody is: after PG_SOON_MS without an answer it is given up, and not tried again. */
int pg_read_soon(struct pg *q, enum pg_stmt s, struct pg_args *a, struct pg_rows *ret, struct err *e);
int pg_nothing_read(struct err *e); /* ERR_NO_MEMORY */
/* Whether the statement has a row. */
int pg_read_any(struct pg *q, enum pg_stmt s, struct pg_args *a, bool *ret, struct err *e);
void arg_int_or_null(struct pg_args *a, int64_t v, bool there);
/* The same rows with their columns counted from `at` on. */
struct pg_rows pg_rows_from(const struct pg_rows *r, int at);

/* ---- read.c ---- */
/* Where the columns begin that statements put behind each other. */
enum {
	FILE_READ_JOB = 14,
	FILE_READ_OUTPUT = 46,
	JOB_READ_FILE = 32,
	JOB_READ_OWNER,
	JOB_READ_DELETED,
	JOB_READ_OUTPUT,
	OUTBOX_READ_SEQ = 41
};
/* The job that begins in row *at, with its outputs; *at moves on to the row after it. False: no memory. job: where its columns begin; output: those of its outputs. */
bool pg_take_job(const struct pg_rows *r, int *at, int job, int output, struct arena *a, struct job *ret);
/* The same for a file with its jobs, from FILE_READ. */
bool pg_take_file(const struct pg_rows *r, int *at, struct arena *a, struct file *ret);

int pg_file(struct catalog *c, struct file_key key, struct str owner, struct arena *a, struct file *ret, struct err *e);
int pg_inline_bytes(struct catalog *c, struct uuid file, struct buf *out, struct err *e);
int pg_job(struct catalog *c, struct uuid id, int64_t number, struct str owner, struct arena *a, struct job *ret, struct err *e);
int pg_ended_job(struct catalog *c, int64_t number, struct arena *a, struct job *ret, struct str *ret_owner, struct err *e);
int pg_usage(struct catalog *c, struct str owner, struct usage *ret, struct err *e);
int pg_import_counts(struct catalog *c, struct str owner, struct import_counts *ret, struct err *e);
int pg_artifact(struct catalog *c, struct str owner, struct str op, uint32_t op_version, struct str params, const uint8_t sha256[32],
		struct uuid *ret, struct err *e);
int pg_blob_referenced(struct catalog *c, struct str blob, bool *ret, struct err *e);
int pg_blob_doomed(struct catalog *c, struct str blob, bool *ret, struct err *e);
int pg_once_used(struct catalog *c, const uint8_t key[ONCE_KEY], bool *ret, struct err *e);
int pg_secrets(struct catalog *c, struct arena *a, struct secret **ret, size_t *ret_n, struct err *e);

/* ---- list.c ---- */
int pg_list_files(struct catalog *c, const struct file_filter *f, struct page page, struct arena *a, struct file **ret, size_t *ret_n,
		  int64_t *ret_next, struct err *e);
int pg_list_jobs(struct catalog *c, const struct job_filter *f, struct page page, struct arena *a, struct job **ret, size_t *ret_n,
		 int64_t *ret_next, struct err *e);
int pg_doomed(struct catalog *c, struct str after, uint32_t max, struct arena *a, struct str **ret, size_t *ret_n, struct err *e);
int pg_expired(struct catalog *c, int64_t now, uint32_t max, struct arena *a, struct expired **ret, size_t *ret_n, struct err *e);
int pg_recurring(struct catalog *c, struct arena *a, struct recurring_state **ret, size_t *ret_n, struct err *e);
int pg_outbox(struct catalog *c, int64_t after, uint32_t max, struct arena *a, struct outbox_entry **ret, size_t *ret_n, struct err *e);
int pg_audit(struct catalog *c, int64_t after, uint32_t max, struct arena *a, struct audit_entry **ret, size_t *ret_n, struct err *e);
int pg_audit_head(struct catalog *c, struct audit_head *ret, struct err *e);

/* ---- stored.c ---- */
int pg_stored(struct catalog *c, struct stored_at after, uint32_t max, struct arena *a, struct stored **ret, size_t *ret_n, struct err *e);
int pg_line(struct catalog *c, struct catalog_line *ret, struct err *e);
int pg_scrub_position(struct catalog *c, struct scrub_position *ret, struct err *e);
int pg_damaged_count(struct catalog *c, uint64_t *ret, struct err *e);
int pg_damaged(struct catalog *c, uint32_t max, struct arena *a, struct damaged_row **ret, size_t *ret_n, struct err *e);

/* ---- watch.c ---- */
int pg_stats(struct catalog *c, int64_t now, struct catalog_stats *ret, struct err *e);
int pg_depth(struct catalog *c, int64_t now, struct catalog_depth *ret, struct err *e);
int pg_next_run_at(struct catalog *c, int64_t *ret, struct err *e);
bool pg_newcomers(struct catalog *c);
int pg_queue(struct catalog *c, int64_t now, uint32_t ended_max, struct queue_rows *rows, uint64_t *ret_ended, struct err *e);
int pg_store(struct catalog *c, struct uuid mine, struct uuid *ret, struct err *e);
int pg_workers(struct catalog *c, uint32_t max, struct arena *a, struct worker_row **ret, size_t *ret_n, struct err *e);

/* ---- rates.c ---- */
int pg_share_rates(struct catalog *c, struct shared_rate *rates, size_t n, struct err *e);

/* ---- hold.c ---- */
int pg_hold(struct catalog *c, struct uuid id, struct str holder, int64_t lease_ms, struct err *e);
int pg_held(struct catalog *c, int64_t limit_ms, enum held *ret, struct err *e);

/* ---- check.c ---- */
int pg_check(struct catalog *c, catalog_finding_fn *tell, void *arg, struct err *e);

/* ---- webhook_read.c ---- */
int pg_webhook(struct catalog *c, struct uuid id, struct str owner, struct arena *a, struct webhook *ret, struct err *e);
int pg_list_webhooks(struct catalog *c, struct str owner, struct page page, struct arena *a, struct webhook **ret, size_t *ret_n,
		     int64_t *ret_next, struct err *e);
int pg_delivery(struct catalog *c, struct uuid webhook, struct str owner, struct uuid id, struct arena *a, struct delivery *ret,
		struct err *e);
int pg_list_deliveries(struct catalog *c, struct uuid webhook, struct str owner, int state, struct page page, struct arena *a,
		       struct delivery **ret, size_t *ret_n, int64_t *ret_next, struct err *e);
int pg_due_webhooks(struct catalog *c, int64_t after, uint32_t max, struct arena *a, struct due_webhook **ret, size_t *ret_n,
		    struct err *e);
int pg_due_deliveries(struct catalog *c, int64_t webhook_number, int64_t now, uint32_t max, struct arena *a, struct delivery **ret,
		      size_t *ret_n, struct err *e);
int pg_webhook_stats(struct catalog *c, struct webhook_stats *ret, struct err *e);

/* ---- account_read.c ---- */
int pg_account(struct catalog *c, struct uuid id, struct str email, struct arena *a, struct account *ret, struct err *e);
int pg_list_accounts(struct catalog *c, struct page page, struct arena *a, struct account **ret, size_t *ret_n, int64_t *ret_next,
		     struct err *e);
uint64_t pg_account_count(struct catalog *c, bool ask);
int pg_session(struct catalog *c, const uint8_t hash[SECRET_HASH], struct arena *a, struct session *ret, struct account *ret_account,
	       struct err *e);
int pg_api_key(struct catalog *c, const uint8_t *hash, struct uuid id, struct arena *a, struct api_key *ret, struct account *ret_account,
	       struct err *e);
int pg_list_keys(struct catalog *c, struct uuid account, struct page page, struct arena *a, struct api_key **ret, size_t *ret_n,
		 int64_t *ret_next, struct err *e);

#endif
