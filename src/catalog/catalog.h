/* What is known: files, jobs, their results. One interface; memory and SQLite behind it here, PostgreSQL later.
 *
 * Writes are change sets, applied in batches: catalog_apply() runs a batch as one transaction and returns when it is durable. Each change has its own
 * result; one that is refused (not found, stale, conflict) leaves no trace and does not disturb the others.
 * An error of the batch as a whole means: nothing of it may be acknowledged. If its flush failed, the outcome is unknown until a restart,
 * and every later batch answers ERR_STORAGE_SEALED.
 *
 * Reads are separate functions on read-only connections; any thread may call them, and they may block on disk.
 * catalog_apply() is called by one thread only (the committer). All times are Unix milliseconds and come from the caller.
 * Results live in the arena given. Contract suite: tests/unit/catalog/, run against every backend. */
#ifndef FILEMILL_CATALOG_CATALOG_H
#define FILEMILL_CATALOG_CATALOG_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "catalog/accounts.h"
#include "catalog/audit_head.h"
#include "catalog/finding.h"
#include "catalog/nodes.h"
#include "catalog/rates.h"
#include "catalog/watch.h"
#include "catalog/webhooks.h"
#include "model/model.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct catalog;

enum change_kind {
	CHANGE_ADD_FILE,
	CHANGE_ADD_FILES,
	CHANGE_ADD_JOBS,
	CHANGE_CLAIM,
	CHANGE_FINISH,
	CHANGE_BEAT,
	CHANGE_RECLAIM,
	CHANGE_CANCEL_JOB,
	CHANGE_RETRY_JOB,
	CHANGE_PATCH_FILE,
	CHANGE_DELETE_FILE,
	CHANGE_BLOB_GONE,
	CHANGE_OUTBOX_DONE,
	CHANGE_PURGE,
	CHANGE_EXPIRE_RESULTS,
	CHANGE_MARK_DAMAGED,
	CHANGE_SCRUB_POSITION,
	CHANGE_RECURRING,
	CHANGE_ADD_WEBHOOK,
	CHANGE_PATCH_WEBHOOK,
	CHANGE_ROTATE_WEBHOOK,
	CHANGE_DELETE_WEBHOOK,
	CHANGE_ADD_PING,
	CHANGE_ATTEMPT,
	CHANGE_REPLAY,
	CHANGE_AUDIT, /* nothing but its audit entry */
	CHANGE_AUDIT_DONE,
	CHANGE_ONCE, /* nothing but its once-key */
	CHANGE_ADD_SECRET,
	CHANGE_ADD_ACCOUNT,
	CHANGE_PATCH_ACCOUNT,
	CHANGE_DELETE_ACCOUNT,
	CHANGE_ADD_SESSION,
	CHANGE_END_SESSION,
	CHANGE_TOUCH_SESSION,
	CHANGE_ADD_KEY,
	CHANGE_REVOKE_KEY,
	CHANGE_LINE,
	CHANGE_PROBE, /* writes and changes nothing that matters; for readiness */
};

/* A file with its jobs, its inline bytes and its idempotency record, all or nothing.
 * Of file->jobs the caller sets id, op, op_version, params, priority, max_attempts, run_at, created_at, after (zero, or the id of a job further up in the list) and
 * either state JOB_QUEUED or, for a fused job, a final state with result, attempt 1, started_at, finished_at. A queued job on the file itself whose work was done before
 * comes back SUCCEEDED with cached true, result and outputs, as with ADD_JOBS; a job that comes after one that has not succeeded yet gets run_at RUN_AT_HELD.
 *
 * LOCATION_COMING: the first job brings the bytes, and every other one comes after it or after one that does. size is 0, type empty, sha256 zero. When that job succeeds with an
 * output, the same transaction makes this the file's content: location IMPORTED, size, type and SHA-256 as the output's. Its result and output live as long as the file. */
struct change_add_file {
	struct file *file; /* in: all but number; out: number, jobs[].number, .file, .file_number */
	struct str bytes; /* in: LOCATION_INLINE only */
	struct arena *arena; /* in: for the results and outputs of cached jobs; NULL: they are valid until the next catalog_apply() */
	struct str idempotency_key; /* in: p NULL = none */
	struct uuid
		node; /* in: zero, or the incarnation that wrote the bytes. ERR_CATALOG_UNAVAILABLE when it was purged: a sweep may have taken them for nobody's */
	uint8_t fingerprint[32]; /* in: SHA-256 over what the first request was */
	bool replayed; /* out: this key was used with the same fingerprint: nothing was added; replay_of names the first file */
	struct uuid replay_of; /* out */
	/* ERR_IDEMPOTENCY_CONFLICT: same owner and key with another fingerprint. Records older than 24 h do not count.
	 * ERR_QUOTA_EXCEEDED, ERR_QUEUE_FULL (limit filled in), ERR_CONFLICT: an id is taken already. */
};

/* Several files of one owner, all or nothing: in this order, each as ADD_FILE does it, without idempotency keys and none of them LOCATION_COMING. Work is not taken over from one of them to another. */
#define FILES_AT_ONCE_MAX 65
struct change_add_files {
	struct change_add_file *files;
	size_t n; /* 1 … FILES_AT_ONCE_MAX */
	size_t failed_index; /* out: which file was refused; of several that are too many together, the one that was one too many */
	/* ERR_QUOTA_EXCEEDED, ERR_QUEUE_FULL (limit filled in), ERR_CONFLICT: an id is taken already, or comes twice. */
};

/* Jobs on stored files, all or nothing. */
struct change_add_jobs {
	struct str owner;
	struct job *jobs; /* in: id, file, op, op_version, params, priority, max_attempts, run_at, created_at, after; out: the whole job.
			     A job whose op, version and params already succeeded on the same bytes of the same owner comes back SUCCEEDED with cached true and the earlier result and outputs.
			     after: zero, a job further up in the list, or a job of the same file that has succeeded or still may (else ERR_JOB_STATE; ERR_JOB_NOT_FOUND for a foreign one).
			     A job after one that succeeded without an output is refused with ERR_JOB_STATE; one that is to follow a job still waiting gets run_at RUN_AT_HELD. */
	size_t n;
	struct arena *arena; /* in: for the results of cached jobs; NULL: they are valid until the next catalog_apply() */
	size_t failed_index; /* out: which job was refused */
	/* ERR_FILE_NOT_FOUND, ERR_FILE_GONE, ERR_QUEUE_FULL (limit filled in), ERR_CONFLICT: an id is taken already; ERR_FILE_NOT_READY: the file's bytes are still to come, so
	   a job can only come after the import */
};

/* How many jobs of an op may run at once, whoever's they are. */
struct claim_limit {
	struct str op;
	uint64_t running; /* 0: none is taken now; UINT64_MAX: no limit */
};

/* Takes up to max ready jobs. Owners with ready jobs take turns and get equal shares; an owner's own come highest priority first, then by run_at, then by age, but every 16th goes to
 * the one that has waited longest when those of a higher priority overtake it (catalog/lanes.h). Each one's fence and attempt grow by one. */
struct change_claim {
	struct uuid worker; /* must hold a lease: ERR_STALE otherwise */
	uint32_t max;
	int64_t now;
	struct arena *arena; /* for the result */
	const struct claim_limit *limits; /* what runs at once, over all workers */
	size_t n_limits;
	bool listed_only; /* jobs of ops that are not among these are left */
	uint64_t owner_limit; /* jobs of one owner that run at once; 0 = no limit */
	bool newcomers; /* only one job each, of owners of whom none runs */
	struct claimed {
		struct job job;
		struct str owner;
		/* What it works on: the file, or the first output of the job it comes after. */
		struct str name, type;
		uint64_t size;
		uint8_t sha256[32];
		enum location location; /* INLINE: catalog_inline_bytes() of the file; FILE: blob */
		struct str blob; /* name in the store; p NULL when inline */
		bool damaged; /* these bytes are known not to be what was acknowledged */
	} * jobs; /* out */
	size_t n; /* out */
	bool left; /* out: other jobs are ready: max was reached, or a limit; as soon as one ends they may be had */
	int64_t next_at; /* out: when the next one that is not ready becomes it; INT64_MAX = none waits for a time */
};

/* The end of an attempt. Matches (job, fence, worker); no such row: ERR_STALE and nothing happens.
 * In the same transaction, jobs that come after this one become ready when it succeeded with an output; when it ended otherwise they end too: CANCELLED after a cancelled
 * one, else FAILED with ERR_INPUT_FAILED, and so on along the chain. That holds however a job ends: finish, cancel, quarantine.
 * The blobs of `outputs` are durable before this is submitted. When the change is refused they are the caller's to remove.
 * A job that somebody wanted cancelled ends CANCELLED even when it succeeded; its outputs are then doomed in the same transaction. */
struct change_finish {
	struct uuid job;
	int64_t fence;
	struct uuid worker;
	enum job_state state; /* SUCCEEDED, FAILED, CANCELLED; or QUEUED: give back, or retry at retry_at */
	int64_t retry_at; /* with QUEUED; 0, only when it is given back, as before */
	bool give_back; /* with QUEUED: the attempt does not count (drain) */
	bool refused; /* with give_back: since the store did not take what it made: counted in job.refused, which every other end of an attempt sets to 0 */
	struct str result; /* JSON object, p NULL = none */
	int error; /* ERR_…, 0 = none */
	struct str error_detail;
	int64_t started_at, finished_at;
	const struct output *outputs; /* with SUCCEEDED */
	size_t n_outputs;
	struct uuid
		same_as; /* with SUCCEEDED: the work was done by this job: its result and outputs are taken over and cached is true. zero = no.
				ERR_CONFLICT, and nothing happens, when that job's result or outputs are not there any more or are of another owner, op, version, params or input */
	struct uuid file; /* out: the job's file, for those who wait on it */
	uint32_t ready; /* out: jobs that became ready by this */
	bool doomed; /* out: there are bytes to remove from the store */
};

/* Takes back what lost workers held: fence and losses grow, state QUEUED again, or QUARANTINED at LOSSES_MAX. */
struct change_reclaim {
	int64_t now;
	bool all; /* embedded start: nobody else is alive, whatever the leases say */
	struct uuid home; /* where this node is alone: whoever lived there before is dead, whatever his lease says; zero: nowhere */
	uint32_t reclaimed, quarantined; /* out */
};

struct change_job_ref { /* CANCEL_JOB, RETRY_JOB */
	struct uuid id;
	struct str owner;
	int64_t now;
	bool was_running; /* out, cancel: the worker must be told; the job becomes CANCELLED when its attempt ends */
	/* ERR_JOB_NOT_FOUND, ERR_JOB_STATE; retry also ERR_FILE_GONE. After a retry attempts and losses count anew; the fence goes on growing. */
	struct uuid file; /* out */
};

struct change_patch_file {
	struct uuid id;
	struct str owner;
	struct str name, labels; /* p NULL = keep */
	bool set_expires;
	int64_t expires_at;
	int64_t now;
	/* ERR_FILE_NOT_FOUND, ERR_FILE_GONE */
};

/* The file answers ERR_FILE_GONE from now on (its row stays as the tombstone); waiting jobs become CANCELLED, inline bytes go,
 * a stored blob is marked doomed, and so is every output of its jobs that no job of another file refers to. */
struct change_delete_file {
	struct uuid id;
	struct str owner;
	int64_t now;
	int64_t expired_by; /* 0, or only when its expires_at is not after this: ERR_CONFLICT, it was put off meanwhile */
	enum location location; /* out */
	bool doomed; /* out: there are bytes to remove from the store */
};

struct change_blob_gone { /* the doomed blob's bytes are gone: forget the mark */
	struct str blob;
};

struct change_outbox_done {
	int64_t upto; /* entries with seq <= upto were delivered */
};

/* What jobs found and made goes when its time has come (job.expires_at), each with its outputs and its place among the work that others take over. The job answers
 * ERR_JOB_GONE from now on, is told in no list, and its row stays as the tombstone. It is kept as long as a job that comes after it. */
struct change_expire_results {
	int64_t now;
	int64_t again_at; /* when those are looked at again that a job needs which has not ended or has no time; later than now */
	uint32_t max;
	uint32_t expired, kept; /* out; their sum is max when there may be more */
	bool doomed; /* out: there are bytes to remove from the store */
};

/* Housekeeping, bounded per call: idempotency records, tombstones of files (with their jobs) and of jobs, dead workers and deliveries that ended before the times given; of deleted
 * webhooks, and those switched off before, also what waits. And once-keys, sessions and keys whose time is over. */
struct change_purge {
	int64_t idempotency_before, tombstones_before, workers_before, deliveries_before;
	int64_t once_before; /* once-keys that were to be remembered no longer than until then, and sessions that were to last no longer */
	int64_t keys_before; /* API keys that were revoked, or expired, before then */
	uint32_t max;
};

/* What is stored is not what was acknowledged. Marked are a file, wherever its bytes are, or all outputs whose bytes are a certain blob. Work that was done on
 * marked bytes, or made them, is taken over by no other job. */
struct change_mark_damaged {
	struct uuid file; /* zero: outputs */
	struct str blob; /* of outputs, when file is zero */
	int64_t at; /* 0: the bytes are whole again and the mark goes */
	uint32_t changed; /* out: rows whose mark came or went; one that is there already keeps its time */
	/* ERR_FILE_NOT_FOUND, also when it was deleted; ERR_OUTPUT_NOT_FOUND */
};

/* A place among all that is stored: the files by number, then the outputs by job and n. Zero is before the first. */
enum stored_kind { STORED_FILE, STORED_OUTPUT };
struct stored_at {
	enum stored_kind kind;
	int64_t number; /* of the file, or the output's job */
	uint32_t n; /* of the output */
};

/* How far the scrub has come. */
struct scrub_position {
	struct stored_at at; /* looked at last */
	int64_t began_at; /* the round; 0 = there was none yet */
	bool whole; /* the round has ended */
};

/* By which word this catalogue knows itself in a bucket (docs/adr/0044-twins.md). Words are above 0; 0 = there is none. */
struct catalog_line {
	int64_t word;
	int64_t next; /* about to take its place: it may lie in the bucket already */
	bool sole; /* somebody said that no other catalogue uses the bucket any more, and no server has acted on it yet */
};
enum line_step {
	LINE_NEXT, /* the word is about to take the place of the one before, unless another one is */
	LINE_SETTLED, /* it has, if it was still about to */
	LINE_SOLE, /* no other catalogue uses the bucket */
	LINE_SOLE_TAKEN,
};
struct change_line {
	enum line_step step;
	int64_t word; /* of the first two */
	bool done; /* out: it was so, and is changed */
};

/* Where a recurring entry of the configuration stands: which due time was begun last, and how far the run that it began has come. A run deals with the files of numbers
 * since + 1 … upto, from the newest down. */
#define RECURRING_NAME_MAX 40 /* bytes */
#define RECURRING_SCHEDULE_MAX 512
struct recurring_state {
	struct str name;
	struct str schedule; /* expression and zone by which due_at was counted */
	int64_t due_at; /* Unix ms; before the first due time, since when it is counted */
	int64_t since, upto; /* row numbers of files */
	int64_t before; /* the files from this number up have their jobs; since + 1: all have, the run is whole */
};

/* A run, or a part of one, with the jobs it adds: all or nothing, so that each due time is begun once and each file gets its jobs once, whenever the server is killed. */
struct change_recurring {
	struct change_add_jobs add; /* as ADD_JOBS, with its errors; n may be 0. Stays first: catalogues read it as change.add_jobs */
	struct recurring_state to; /* what becomes of the entry */
	bool was_there; /* with these; ERR_STALE when it is not as it was, and nothing happens */
	int64_t was_due_at, was_before;
	bool forget; /* the entry's state goes instead */
};

#define AUDIT_ENTRY_MAX 8192 /* bytes */

/* The entries up to head.seq are in the log and flushed: they go. ERR_CONFLICT: there was no such entry, or another node has moved the head meanwhile. */
struct change_audit_done {
	struct audit_head head;
	/* The head as it was: the line up to which entries had gone, and whose log has it. */
	int64_t after;
	struct uuid after_home;
};

struct change {
	enum change_kind kind;
	/* in: what the audit log is to say when this change takes effect: one JSON object, p NULL = nothing. It is kept in the same transaction, so that there is an entry exactly if there
	 * was the act: a change that is refused, a replayed ADD_FILE and a MARK_DAMAGED that changed nothing leave none. Its number is the next after the last one. */
	struct str audit;
	struct once once; /* in: what may happen once only (catalog/accounts.h). ERR_USED */
	int code; /* out: 0 or ERR_…; ERR_INVALID_VALUE with the field when the caller asked for what cannot be stored */
	struct err err; /* out: details when code != 0 */
	uint64_t excess; /* out, ERR_QUEUE_FULL: how many of those that wait must go before there is room, … */
	bool excess_of_owner; /* … and whether they must be the same owner's */
	/* the committer's, untouched by catalogues */
	struct change *next;
	void (*done)(void *arg, struct change *c);
	void *done_arg;
	union {
		struct change_add_file add_file;
		struct change_add_files add_files;
		struct change_add_jobs add_jobs;
		struct change_claim claim;
		struct change_finish finish;
		struct change_beat beat;
		struct change_reclaim reclaim;
		struct change_job_ref job_ref;
		struct change_patch_file patch_file;
		struct change_delete_file delete_file;
		struct change_blob_gone blob_gone;
		struct change_outbox_done outbox_done;
		struct change_purge purge;
		struct change_expire_results expire_results;
		struct change_mark_damaged mark_damaged;
		struct scrub_position scrub_position;
		struct change_line line;
		struct change_recurring recurring;
		struct change_add_webhook add_webhook;
		struct change_patch_webhook patch_webhook;
		struct change_rotate_webhook rotate_webhook;
		struct change_delete_webhook delete_webhook;
		struct change_add_ping add_ping;
		struct change_attempt attempt;
		struct change_replay replay;
		struct change_add_secret add_secret;
		struct change_add_account add_account;
		struct change_patch_account patch_account;
		struct change_delete_account delete_account;
		struct change_add_session add_session;
		struct change_end_session end_session;
		struct change_touch_session touch_session;
		struct change_add_key add_key;
		struct change_revoke_key revoke_key;
		struct change_audit_done audit_done;
	};
};

/* ---- life ---- */
struct catalog_options {
	bool outbox; /* every job that becomes final leaves an outbox entry in the same transaction */
	uint64_t queue_max; /* waiting jobs at most; 0 = no limit */
	uint64_t owner_queue_max; /* of one owner; 0 = no limit */
	uint64_t owner_files_max, owner_bytes_max; /* stored, of one owner; 0 = no limit */
	int64_t results_keep_ms; /* how long after its end a job's result is kept at least; 0 = as long as its file */
	/* Asked before each batch, and told after it, by the thread that calls catalog_apply(); NULL: nobody is asked. Not 0: the batch is refused with this. */
	int (*enter)(void *arg, struct err *e);
	void (*leave)(void *arg);
	void *gate;
	/* What PostgreSQL says of a connection that it makes or ends, such as that a collation changed: SQLSTATE, or "" where libpq speaks, and text. By any thread that uses the catalogue, which is not to be
	 * called meanwhile; NULL: nobody hears it. */
	void (*notice)(struct str state, struct str text);
	bool keep_schema; /* one of an older schema is refused (ERR_SCHEMA_OLDER), not migrated, and no new one is made (ERR_DAMAGED) */
};

[[nodiscard]] int catalog_memory_new(struct catalog **ret, const struct catalog_options *options, struct err *e);
/* Opens or creates `catalog.db` in the directory (an absolute or relative path; the caller holds the directory's lock), migrates the schema forward.
 * ERR_SCHEMA_NEWER, ERR_DAMAGED, ERR_IO, ERR_STORAGE_FULL. Sets journal_mode=WAL, synchronous=FULL and checks both took. */
[[nodiscard]] int catalog_sqlite_open(struct catalog **ret, const char *dir, const struct catalog_options *options, struct err *e);
/* The one that is in the directory, to be read only, beside a server that works on it or without one: catalog_apply() answers ERR_STORAGE_READONLY. What others committed is seen after the next
 * catalog_idle() at the latest. Of this program's schema: ERR_DAMAGED. */
[[nodiscard]] int catalog_sqlite_read(struct catalog **ret, const char *dir, struct err *e);
/* Connects to a PostgreSQL (14 or later, UTF-8) by libpq's connection string, makes or migrates the schema in the first schema of the search path; nodes that start at once wait for each
 * other. ERR_SCHEMA_NEWER, ERR_CATALOG_UNAVAILABLE, ERR_DAMAGED: the tables there are not ours. Unlike the others it is shared with other nodes' catalogues on the same database. */
[[nodiscard]] int catalog_postgres_new(struct catalog **ret, const char *conninfo, const struct catalog_options *options, struct err *e);
/* A catalogue looked at from outside, beside those who work on it. Nothing is changed. */
struct catalog_look {
	int64_t schema; /* 0: there is none yet */
	int64_t latest; /* that this program works on */
	char server[40]; /* version of the database's program, such as `PostgreSQL 15.14` */
};
[[nodiscard]] int catalog_sqlite_look(const char *dir, struct catalog_look *ret,
				      struct err *e); /* ERR_DAMAGED: there is none, or it is not ours. ERR_SCHEMA_NEWER */
[[nodiscard]] int catalog_postgres_look(
	const char *conninfo, struct catalog_look *ret,
	struct err *e); /* ERR_CATALOG_UNAVAILABLE, ERR_SCHEMA_NEWER; ERR_STORAGE_READONLY: there is none, and no right to make one */
/* Whether it may be a connection string: ERR_BAD_CONFIG. What this says, and what an opening says, has nothing of the string but names of hosts and of its user. */
[[nodiscard]] int catalog_postgres_check(const char *conninfo, struct err *e);
void catalog_free(struct catalog *c); /* checkpoints and closes; NULL is fine */

/* ---- writing ---- */
[[nodiscard]] int catalog_apply(struct catalog *c, struct change *const *changes, size_t n, struct err *e);
/* Called by the committer when nothing waits: room for work such as a checkpoint. */
void catalog_idle(struct catalog *c);
bool catalog_sealed(const struct catalog *c);

/* What became final by the last catalog_apply(), which returned 0, in order. Valid until the next one; the committer's thread only. *ret_whole false: memory ran short, some are missing. */
const struct ended *catalog_ends(const struct catalog *c, size_t *ret_n, bool *ret_whole);

/* ---- reading ---- */
struct file_key { /* by id, or by number when number > 0 */
	struct uuid id;
	int64_t number;
};

struct file_filter {
	struct str owner; /* OWNER_ANY: whoever's */
	struct str name; /* substring, p NULL = any */
	const uint8_t *sha256; /* 32 bytes, NULL = any */
	struct str label_key, label_value; /* p NULL = any */
	int state; /* a job state one of the file's jobs has, -1 = any */
};

struct job_filter {
	struct str owner; /* OWNER_ANY: whoever's */
	int state; /* -1 = any */
	struct str op; /* p NULL = any */
	bool by_file;
	struct uuid file;
};

/* ERR_FILE_NOT_FOUND (also another owner's), ERR_FILE_GONE. Fills everything, jobs included. owner, here and below: OWNER_ANY asks for whoever's it is. */
[[nodiscard]] int catalog_file(struct catalog *c, struct file_key key, struct str owner, struct arena *a, struct file *ret, struct err *e);
/* The bytes of an inline file, appended to out. ERR_FILE_NOT_FOUND when there are none (deleted meanwhile). */
[[nodiscard]] int catalog_inline_bytes(struct catalog *c, struct uuid file, struct buf *out, struct err *e);
/* number > 0 looks up by row number. ERR_JOB_NOT_FOUND; ERR_JOB_GONE when its file was deleted or its result has expired. */
[[nodiscard]] int catalog_job(struct catalog *c, struct uuid id, int64_t number, struct str owner, struct arena *a, struct job *ret,
			      struct err *e);
/* A job as it ended, whoever's it is and whether or not its file was deleted since. ERR_JOB_NOT_FOUND when that end is not there any more: it was queued again, or purged. */
[[nodiscard]] int catalog_ended_job(struct catalog *c, const struct ended *end, struct arena *a, struct job *ret, struct str *ret_owner,
				    struct err *e);
/* Newest first, at most page.limit; *ret_next is the cursor number for the next page, 0 = no more. A call looks at a bounded number of rows, so a
 * page may be short, even empty, and still have a next one. */
[[nodiscard]] int catalog_list_files(struct catalog *c, const struct file_filter *f, struct page page, struct arena *a, struct file **ret,
				     size_t *ret_n, int64_t *ret_next, struct err *e);
[[nodiscard]] int catalog_list_jobs(struct catalog *c, const struct job_filter *f, struct page page, struct arena *a, struct job **ret,
				    size_t *ret_n, int64_t *ret_next, struct err *e);

struct catalog_stats {
	uint64_t files, file_bytes; /* not deleted */
	uint64_t jobs_waiting, jobs_running; /* now */
	uint64_t jobs_final[JOB_STATES]; /* by final state, since the beginning */
	int64_t oldest_waiting_at; /* run_at of the oldest ready job, 0 = none */
};
[[nodiscard]] int catalog_stats(struct catalog *c, int64_t now, struct catalog_stats *ret, struct err *e);

/* What an owner has stored: files that are not deleted, and their bytes. Kept with each change of them. */
struct usage {
	uint64_t files, bytes;
	struct quotas own; /* of the account whose id is the owner */
};
[[nodiscard]] int catalog_usage(struct catalog *c, struct str owner, struct usage *ret, struct err *e);
/* What became of an owner's imports. Takes time in proportion to the files that have not come. */
struct import_counts {
	uint64_t there; /* files, not deleted, whose bytes are here; however they came */
	uint64_t under_way; /* imports that wait or run */
	uint64_t missing; /* files whose import ended without their bytes */
};
[[nodiscard]] int catalog_import_counts(struct catalog *c, struct str owner, struct import_counts *ret, struct err *e);
/* Whether a file of this size would be taken now; ADD_FILE decides. ERR_QUOTA_EXCEEDED. Reads nothing where there are no quotas. */
[[nodiscard]] int catalog_quota_room(struct catalog *c, struct str owner, uint64_t size, struct err *e);
/* The same of so many bytes for a file that is there already: an import's, which nothing checks when its bytes have come. */
[[nodiscard]] int catalog_quota_bytes(struct catalog *c, struct str owner, uint64_t size, struct err *e);
/* How much an owner may have whose account has quotas of its own, or none: 0 = any. */
struct allowance {
	uint64_t max[QUOTAS];
};
struct allowance catalog_allowance(const struct catalog *c, struct quotas own);

#define READY_COUNTED_MAX 10000 /* jobs of one priority */
#define READY_LANES_MAX 500 /* lanes that are looked at: an owner's jobs for one op are one */
struct catalog_depth {
	struct {
		uint32_t ready; /* jobs that could run now, READY_COUNTED_MAX at most */
		int64_t oldest_at; /* since when the oldest could, 0 = none */
	} at[PRIORITY_MAX + 1]; /* by priority; at least, where there are more lanes than are looked at */
	int64_t oldest_at; /* of all priorities, exact */
	uint64_t waiting; /* all that wait */
	uint64_t log_bytes; /* of the write-ahead log; 0 = there is none */
};
/* For those who watch: takes time in proportion to what it counts. */
[[nodiscard]] int catalog_depth(struct catalog *c, int64_t now, struct catalog_depth *ret, struct err *e);

/* When the next waiting job becomes ready: a time <= now means one is ready, INT64_MAX none waits. */
[[nodiscard]] int catalog_next_run_at(struct catalog *c, int64_t *ret, struct err *e);
/* Whether there are owners of whom a job waits, ready or not, and none runs. Blocks on a shared catalogue only, for one short look. */
bool catalog_newcomers(struct catalog *c);

/* The job that did this work before and whose result and outputs are still there: *ret is its id, or zero when there is none. */
[[nodiscard]] int catalog_artifact(struct catalog *c, struct str owner, struct str op, uint32_t op_version, struct str params,
				   const uint8_t sha256[32], struct uuid *ret, struct err *e);

/* Does a row refer to the blob of this name (deleted files and doomed outputs do not)? For the sweep. A name that is neither a file's nor an output's is not referred to. */
[[nodiscard]] int catalog_blob_referenced(struct catalog *c, struct str blob, bool *ret, struct err *e);
/* Names of up to max doomed blobs whose bytes still have to go, those behind `after` (empty: from the first on), in the order of their bytes. */
[[nodiscard]] int catalog_doomed(struct catalog *c, struct str after, uint32_t max, struct arena *a, struct str **ret, size_t *ret_n,
				 struct err *e);
/* Is the blob's name among those? */
[[nodiscard]] int catalog_blob_doomed(struct catalog *c, struct str blob, bool *ret, struct err *e);

/* ---- looking through all that is stored ---- */
struct stored {
	struct stored_at at;
	struct uuid id; /* of the file, or of the output's job (zero when that is missing) */
	uint64_t size;
	uint8_t sha256[32];
	struct str blob; /* p NULL: the bytes are in the catalogue */
	int64_t inline_size; /* how many are there; -1 = none, which a file without a blob must not have */
	int64_t damaged_at; /* 0 = not marked */
	bool shared; /* an output before this one has the same blob */
};
/* What comes after `after`, at most max; *ret_n is 0 at the end and nowhere else. Deleted files are passed over. */
[[nodiscard]] int catalog_stored(struct catalog *c, struct stored_at after, uint32_t max, struct arena *a, struct stored **ret,
				 size_t *ret_n, struct err *e);
[[nodiscard]] int catalog_line(struct catalog *c, struct catalog_line *ret, struct err *e);
[[nodiscard]] int catalog_scrub_position(struct catalog *c, struct scrub_position *ret, struct err *e);
/* Files and outputs that are marked as damaged. */
[[nodiscard]] int catalog_damaged_count(struct catalog *c, uint64_t *ret, struct err *e);
/* Looks for what contradicts itself inside the catalogue and tells each finding; id and detail are borrowed for the call. Takes time in proportion to all
 * that is there. An error means that it could not be looked at. */
typedef void catalog_finding_fn(void *arg, enum finding f, struct str id, struct str detail);
[[nodiscard]] int catalog_check(struct catalog *c, catalog_finding_fn *tell, void *arg, struct err *e);

/* Files past their expiry, to be deleted by the engine. */
struct expired {
	struct uuid file;
	struct str owner;
};
[[nodiscard]] int catalog_expired(struct catalog *c, int64_t now, uint32_t max, struct arena *a, struct expired **ret, size_t *ret_n,
				  struct err *e);

/* All entries that have a state, by name. */
[[nodiscard]] int catalog_recurring(struct catalog *c, struct arena *a, struct recurring_state **ret, size_t *ret_n, struct err *e);

struct outbox_entry {
	int64_t seq;
	struct job job; /* final */
};
[[nodiscard]] int catalog_outbox(struct catalog *c, int64_t after, uint32_t max, struct arena *a, struct outbox_entry **ret, size_t *ret_n,
				 struct err *e);

/* ---- the audit log ---- */
struct audit_entry {
	int64_t seq; /* without gaps */
	struct str text; /* as the change had it */
};
/* Entries that are not in the log yet, from the one after `after` on. */
[[nodiscard]] int catalog_audit(struct catalog *c, int64_t after, uint32_t max, struct arena *a, struct audit_entry **ret, size_t *ret_n,
				struct err *e);
[[nodiscard]] int catalog_audit_head(struct catalog *c, struct audit_head *ret, struct err *e);

#endif
