/* The inside of the memory catalogue: rows as structs, found by id through a hash table, by number through an ordered array; one lock over all. */
#ifndef FILEMILL_CATALOG_MEMORY_H
#define FILEMILL_CATALOG_MEMORY_H

#include "catalog/catalog_impl.h"
#include "catalog/lanes.h"

#include <pthread.h>

/* Both kinds of rows begin alike, so that one table serves them. */
struct mem_row {
	struct uuid id;
	int64_t number;
	struct arena text; /* the row's strings and itself */
};

struct mem_file {
	struct mem_row row;
	struct file file; /* without jobs */
	struct mem_job **jobs;
	size_t n_jobs;
	struct str bytes; /* inline */
	struct mem_job *import; /* brings its bytes; NULL = they came with the file */
	int64_t deleted_at; /* 0 = not */
};

struct mem_job {
	struct mem_row row;
	struct job job;
	struct mem_file *file;
	struct uuid worker; /* while RUNNING */
	bool cancel; /* wanted while RUNNING */
	int64_t expired_at; /* 0 = not; else the row is a tombstone */
};

struct mem_table {
	struct mem_row **rows; /* ascending by number */
	size_t n, cap;
	struct mem_row **slots; /* open addressing; cap_slots is a power of two, more than half is empty */
	size_t cap_slots;
	int64_t last; /* highest number ever given */
};

struct mem_worker {
	struct uuid id;
	int64_t expires_at, since, beat_at, uploads_since;
	bool draining;
	char host[NODE_HOST_MAX + 1], labels[NODE_LABELS_MAX + 1];
};

struct mem_key {
	struct str owner, key;
	uint8_t fingerprint[32];
	struct uuid file;
	int64_t created_at;
	char *text; /* owns both strings */
};

struct mem_sent {
	int64_t seq;
	struct mem_job *row;
	struct job job; /* as it ended; the strings are the row's */
};

struct mem_recurring {
	struct recurring_state state;
	char *text; /* owns both strings */
};

struct mem_webhook {
	struct webhook webhook;
	int64_t deleted_at; /* 0 = not */
	struct arena text; /* its strings */
};

struct mem_delivery {
	struct delivery delivery; /* payload and log are below */
	struct mem_webhook *webhook;
	struct buf payload;
	struct delivery_attempt log[DELIVERY_LOG_MAX];
	char errors[DELIVERY_LOG_MAX][ATTEMPT_ERROR_MAX];
	struct mem_delivery *next; /* among the spare ones */
};

struct mem_entry {
	int64_t seq;
	char *text; /* its own */
	size_t len;
};

struct mem_account {
	struct account account;
	struct arena text; /* its strings */
};

struct mem_api_key {
	struct api_key key;
	struct arena text;
};

struct mem_onces {
	struct mem_once **buckets;
	size_t cap, n; /* cap is a power of two, or 0 */
	struct mem_once *spare; /* made before a change writes anything */
};

struct mem {
	struct catalog base;
	pthread_mutex_t lock; /* guards everything below */
	struct mem_table files, jobs;
	struct mem_worker *workers;
	size_t n_workers, cap_workers;
	struct mem_key *keys;
	size_t n_keys, cap_keys;
	struct mem_sent *outbox;
	size_t n_outbox, cap_outbox;
	int64_t last_seq;
	struct str *doomed; /* names of blobs, in `names`; behind them those that a change is about to doom */
	size_t n_doomed, n_staged, cap_doomed;
	struct arena names;
	uint64_t waiting, running, final[JOB_STATES];
	struct scrub_position scrub;
	struct catalog_line line;
	struct mem_recurring *recurring; /* by name */
	size_t n_recurring, cap_recurring;
	struct mem_webhook **webhooks; /* ascending by number */
	size_t n_webhooks, cap_webhooks, webhooks_on;
	int64_t last_webhook;
	struct mem_delivery **deliveries; /* ascending by number */
	size_t n_deliveries, cap_deliveries;
	int64_t last_delivery;
	struct mem_delivery *
		spare; /* made before a change writes anything, each with room for the longest payload, so that telling an end cannot fail */
	size_t n_spare;
	struct mem_entry *audit; /* not in the log yet; behind them the one that a change is about to leave */
	size_t n_audit, cap_audit;
	int64_t last_audit;
	struct audit_head audit_head;
	struct mem_account **accounts; /* ascending by number */
	size_t n_accounts, cap_accounts;
	int64_t last_account;
	struct session *sessions;
	size_t n_sessions, cap_sessions;
	struct mem_api_key **api_keys; /* ascending by number */
	size_t n_api_keys, cap_api_keys;
	int64_t last_api_key;
	struct mem_onces onces;
	struct secret secrets[SERVER_SECRETS_MAX]; /* newest first */
	size_t n_secrets;
	int64_t last_secret;
	struct lanes lanes; /* as the last claim counted them */
};

/* memory.c */
struct mem_row *mem_find(const struct mem_table *t, struct uuid id);
struct mem_row *mem_find_number(const struct mem_table *t, int64_t number);
bool mem_reserve(struct mem_table *t, size_t more); /* room for `more` rows: mem_insert() cannot fail after that */
void mem_insert(struct mem_table *t, struct mem_row *row); /* gives it the next number */
void mem_remove(struct mem_table *t, struct mem_row *row); /* out of the table; does not free */
/* Makes room for one more element of an array. */
bool mem_grow(void *array, size_t *cap, size_t n, size_t element_size);
void mem_file_free(struct mem_file *f);
void mem_job_free(struct mem_job *j);
/* The bytes are a blob of the file's own name. */
static inline bool mem_has_blob(const struct mem_file *f)
{
	return f->file.location == LOCATION_FILE || f->file.location == LOCATION_OBJECT;
}
/* What the import of a file brought; NULL: there was none, or not yet. */
const struct output *mem_imported(const struct mem_file *f);
/* The file whose stored bytes are the blob of this name; NULL: none. */
struct mem_file *mem_file_of_blob(const struct mem *m, struct str blob);
bool mem_copy_job(struct job *ret, const struct job *job, struct arena *a);

/* The job of this id; NULL also for the zero id. */
struct mem_job *mem_find_job(const struct mem *m, struct uuid id);

/* output.c */
bool mem_copy_outputs(struct job *ret, const struct job *job, struct arena *a);
/* Of what the job works on; NULL while that is not there. */
const uint8_t *mem_input_sha256(const struct mem *m, const struct mem_job *j);
/* The same work: done on this file in any way, done on the same bytes of the same owner through the queue, done by a certain job. NULL: not done, or gone. */
const struct mem_job *mem_done_here(const struct mem *m, const struct mem_file *f, const struct job *job);
const struct mem_job *mem_done_elsewhere(const struct mem *m, struct str owner, const struct job *job, const uint8_t sha256[32]);
const struct mem_job *mem_same_work(const struct mem *m, struct uuid id, const struct mem_job *job);
bool mem_output_used(const struct mem *m, struct str blob);
/* First all names are staged, where memory may run out; then those that no output refers to are doomed, which cannot fail. True: there were some. */
bool mem_doom_stage(struct mem *m, struct str blob);
bool mem_doom_staged(struct mem *m);
void mem_blob_gone(struct mem *m, struct change *ch);

/* stored.c */
/* Neither what the job worked on nor what it made is known to be damaged. */
bool mem_whole(const struct mem *m, const struct mem_job *j);
void mem_mark_damaged(struct mem *m, struct change *ch);
void mem_scrub_position_write(struct mem *m, struct change *ch);
void mem_line_write(struct mem *m, struct change *ch);
int mem_blob_doomed(struct catalog *c, struct str blob, bool *ret, struct err *e);
int mem_stored(struct catalog *c, struct stored_at after, uint32_t max, struct arena *a, struct stored **ret, size_t *ret_n, struct err *e);
int mem_line(struct catalog *c, struct catalog_line *ret, struct err *e);
int mem_scrub_position(struct catalog *c, struct scrub_position *ret, struct err *e);
int mem_damaged_count(struct catalog *c, uint64_t *ret, struct err *e);
int mem_check(struct catalog *c, catalog_finding_fn *tell, void *arg, struct err *e);

/* watch.c */
int mem_queue(struct catalog *c, int64_t now, uint32_t ended_max, struct queue_rows *rows, uint64_t *ret_ended, struct err *e);
int mem_workers(struct catalog *c, uint32_t max, struct arena *a, struct worker_row **ret, size_t *ret_n, struct err *e);
int mem_damaged(struct catalog *c, uint32_t max, struct arena *a, struct damaged_row **ret, size_t *ret_n, struct err *e);

/* recurring.c */
void mem_recurring_write(struct mem *m, struct change *ch);
int mem_recurring(struct catalog *c, struct arena *a, struct recurring_state **ret, size_t *ret_n, struct err *e);
void mem_recurring_release(struct mem *m);

/* audit.c */
/* Before a change is applied: memory for its entry; false: none, and it was refused. */
bool mem_audit_stage(struct mem *m, struct change *ch);
void mem_audit_settle(struct mem *m, const struct change *ch); /* afterwards: the entry stays or goes */
void mem_audit_release(struct mem *m);
void mem_audit_only(struct mem *m, struct change *ch);
void mem_audit_done(struct mem *m, struct change *ch);
int mem_audit(struct catalog *c, int64_t after, uint32_t max, struct arena *a, struct audit_entry **ret, size_t *ret_n, struct err *e);
int mem_audit_head(struct catalog *c, struct audit_head *ret, struct err *e);

/* once.c */
/* Before a change is applied: its once-key is free, and there is memory for it; else it was refused. */
bool mem_once_stage(struct mem *m, struct change *ch);
void mem_once_settle(struct mem *m, const struct change *ch); /* afterwards: it is used up, if the change took effect */
void mem_once_only(struct mem *m, struct change *ch);
int mem_once_used(struct catalog *c, const uint8_t key[ONCE_KEY], bool *ret, struct err *e);
void mem_purge_once(struct mem *m, int64_t before, uint32_t max);
void mem_once_release(struct mem *m);

/* account.c */
void mem_add_account(struct mem *m, struct change *ch);
void mem_patch_account(struct mem *m, struct change *ch);
void mem_delete_account(struct mem *m, struct change *ch);
void mem_add_session(struct mem *m, struct change *ch);
void mem_end_session(struct mem *m, struct change *ch);
void mem_touch_session(struct mem *m, struct change *ch);
void mem_add_key(struct mem *m, struct change *ch);
void mem_revoke_key(struct mem *m, struct change *ch);
void mem_purge_accounts(struct mem *m, int64_t sessions_before, int64_t keys_before, uint32_t max);
void mem_accounts_release(struct mem *m);

/* account_read.c */
int mem_account(struct catalog *c, struct uuid id, struct str email, struct arena *a, struct account *ret, struct err *e);
int mem_list_accounts(struct catalog *c, struct page page, struct arena *a, struct account **ret, size_t *ret_n, int64_t *ret_next,
		      struct err *e);
uint64_t mem_account_count(struct catalog *c, bool ask);
int mem_session(struct catalog *c, const uint8_t hash[SECRET_HASH], struct arena *a, struct session *ret, struct account *ret_account,
		struct err *e);
int mem_api_key(struct catalog *c, const uint8_t *hash, struct uuid id, struct arena *a, struct api_key *ret, struct account *ret_account,
		struct err *e);
int mem_list_keys(struct catalog *c, struct uuid account, struct page page, struct arena *a, struct api_key **ret, size_t *ret_n,
		  int64_t *ret_next, struct err *e);

/* secret.c */
void mem_add_secret(struct mem *m, struct change *ch);
int mem_secrets(struct catalog *c, struct arena *a, struct secret **ret, size_t *ret_n, struct err *e);

/* chain.c */
/* A job of the file ended: the held ones are looked through. Room in the outbox was reserved. Returns how many became ready. */
uint32_t mem_follow_end(struct mem *m, struct mem_file *f, int64_t now);
/* A job of the file waits anew: those that failed because it had not succeeded are held again. */
void mem_hold_again(struct mem *m, struct mem_file *f);
/* A list of jobs that come into being with one change. */
struct mem_adding {
	struct str owner;
	struct job *jobs;
	struct arena *arena; /* for what cached jobs bring; NULL: it is borrowed from the rows */
};
/* Whether job i waits, is held or was done before; sets what the caller is told of it. f is NULL for a file that is not there yet. False: refused. */
bool mem_settle(struct mem *m, struct change *ch, const struct mem_adding *add, size_t i, const struct mem_file *f,
		const uint8_t sha256[32]);

/* write.c */
void mem_add_file(struct mem *m, struct change *ch);
void mem_add_files(struct mem *m, struct change *ch);
void mem_add_jobs(struct mem *m, struct change *ch);
void mem_patch_file(struct mem *m, struct change *ch);
void mem_delete_file(struct mem *m, struct change *ch);
void mem_purge(struct mem *m, struct change *ch);
/* The row goes; what the outbox has of it too. The file's list is the caller's. */
void mem_purge_job(struct mem *m, struct mem_job *j);

/* expire.c */
void mem_expire_results(struct mem *m, struct change *ch);
void mem_purge_expired(struct mem *m, int64_t before, uint32_t max); /* tombstones of jobs */

/* claim.c */
void mem_claim(struct mem *m, struct change *ch);
bool mem_newcomers(struct catalog *c);
uint64_t mem_waiting_of(const struct mem *m, struct str owner); /* 0 when there is no limit to hold it against */

/* queue.c */
struct mem_worker *mem_find_worker(struct mem *m, struct uuid id);
void mem_move(struct mem *m, struct mem_job *j, enum job_state to); /* every change of a state */
void mem_no_memory(struct change *ch);
void mem_finish(struct mem *m, struct change *ch);
void mem_cancel(struct mem *m, struct change *ch);
void mem_retry(struct mem *m, struct change *ch);
void mem_beat(struct mem *m, struct change *ch);
void mem_reclaim(struct mem *m, struct change *ch);
void mem_outbox_done(struct mem *m, struct change *ch);
/* Ends a job and counts it; its strings must be in the row already. False: no memory for the outbox, and nothing was changed. */
bool mem_end(struct mem *m, struct mem_job *j, enum job_state state, int error, struct str detail, int64_t now);
/* Room in the outbox, and among the deliveries, for the ends of n jobs. */
bool mem_reserve_ends(struct mem *m, size_t n);
void mem_queue_again(struct mem *m, struct mem_job *j, int64_t run_at);
/* A job that is final from its first moment on. */
bool mem_born_final(struct mem *m, struct mem_job *j);

/* webhook.c */
bool mem_reserve_deliveries(struct mem *m, size_t n);
/* The job ended: what its owner's webhooks are told. Room was reserved. */
void mem_deliver(struct mem *m, const struct mem_job *j);
void mem_spare_release(struct mem *m);
void mem_webhooks_release(struct mem *m);
void mem_purge_deliveries(struct mem *m, int64_t before, uint32_t max);
void mem_add_webhook(struct mem *m, struct change *ch);
void mem_patch_webhook(struct mem *m, struct change *ch);
void mem_rotate_webhook(struct mem *m, struct change *ch);
void mem_delete_webhook(struct mem *m, struct change *ch);
void mem_add_ping(struct mem *m, struct change *ch);
void mem_attempt(struct mem *m, struct change *ch);
void mem_replay(struct mem *m, struct change *ch);

/* webhook_read.c */
int mem_webhook(struct catalog *c, struct uuid id, struct str owner, struct arena *a, struct webhook *ret, struct err *e);
int mem_list_webhooks(struct catalog *c, struct str owner, struct page page, struct arena *a, struct webhook **ret, size_t *ret_n,
		      int64_t *ret_next, struct err *e);
int mem_delivery(struct catalog *c, struct uuid webhook, struct str owner, struct uuid id, struct arena *a, struct delivery *ret,
		 struct err *e);
int mem_list_deliveries(struct catalog *c, struct uuid webhook, struct str owner, int state, struct page page, struct arena *a,
			struct delivery **ret, size_t *ret_n, int64_t *ret_next, struct err *e);
int mem_due_webhooks(struct catalog *c, int64_t after, uint32_t max, struct arena *a, struct due_webhook **ret, size_t *ret_n,
		     struct err *e);
int mem_due_deliveries(struct catalog *c, int64_t webhook_number, int64_t now, uint32_t max, struct arena *a, struct delivery **ret,
		       size_t *ret_n, struct err *e);
int mem_webhook_stats(struct catalog *c, struct webhook_stats *ret, struct err *e);

/* read.c */
struct mem *mem_locked(struct catalog *c); /* for a read */
int mem_unlocked(struct mem *m, int r); /* returns r */
int mem_nothing_read(struct err *e); /* ERR_NO_MEMORY */
int mem_file(struct catalog *c, struct file_key key, struct str owner, struct arena *a, struct file *ret, struct err *e);
int mem_inline_bytes(struct catalog *c, struct uuid file, struct buf *out, struct err *e);
int mem_job(struct catalog *c, struct uuid id, int64_t number, struct str owner, struct arena *a, struct job *ret, struct err *e);
int mem_ended_job(struct catalog *c, int64_t number, struct arena *a, struct job *ret, struct str *ret_owner, struct err *e);
int mem_list_files(struct catalog *c, const struct file_filter *f, struct page page, struct arena *a, struct file **ret, size_t *ret_n,
		   int64_t *ret_next, struct err *e);
int mem_list_jobs(struct catalog *c, const struct job_filter *f, struct page page, struct arena *a, struct job **ret, size_t *ret_n,
		  int64_t *ret_next, struct err *e);
struct quotas mem_quotas_of(const struct mem *m, struct str owner); /* all 0 for who has no account */
struct usage mem_usage_of(const struct mem *m, struct str owner);
int mem_usage(struct catalog *c, struct str owner, struct usage *ret, struct err *e);
int mem_import_counts(struct catalog *c, struct str owner, struct import_counts *ret, struct err *e);
int mem_stats(struct catalog *c, int64_t now, struct catalog_stats *ret, struct err *e);
int mem_depth(struct catalog *c, int64_t now, struct catalog_depth *ret, struct err *e);
int mem_next_run_at(struct catalog *c, int64_t *ret, struct err *e);
int mem_artifact(struct catalog *c, struct str owner, struct str op, uint32_t op_version, struct str params, const uint8_t sha256[32],
		 struct uuid *ret, struct err *e);
int mem_blob_referenced(struct catalog *c, struct str blob, bool *ret, struct err *e);
int mem_doomed(struct catalog *c, struct str after, uint32_t max, struct arena *a, struct str **ret, size_t *ret_n, struct err *e);
int mem_expired(struct catalog *c, int64_t now, uint32_t max, struct arena *a, struct expired **ret, size_t *ret_n, struct err *e);
int mem_outbox(struct catalog *c, int64_t after, uint32_t max, struct arena *a, struct outbox_entry **ret, size_t *ret_n, struct err *e);

#endif
