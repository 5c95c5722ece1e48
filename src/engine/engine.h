/* The engine: takes files in, commits them, runs their jobs, tells what became of each. It decides; routes translate.
 *
 * Threads: HTTP threads call the functions marked *any thread*; one committer thread owns the catalogue's writes; one scheduler thread
 * claims jobs and keeps the lease; pool threads do what blocks (blob writes, flushes, lists); a timer thread ends waits.
 * Completion callbacks run on one of these threads, must not block and may not call back into the engine's stop. */
#ifndef FILEMILL_ENGINE_ENGINE_H
#define FILEMILL_ENGINE_ENGINE_H

#include "audit/audit.h"
#include "base/arena.h"
#include "base/err.h"
#include "blobs/blobs.h"
#include "catalog/catalog.h"
#include "engine/s3.h"
#include "model/cron.h"
#include "model/model.h"
#include "ops/ops.h"
#include "rt/env.h"
#include "rt/limiter.h"
#include "rt/pool.h"
#include "runner/runner.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct engine;
struct net_client;

/* Where finished jobs are told to, one after the other, from the outbox: at least once, in the order they became final.
 * Runs on the engine's outbox thread and may block; 0 = delivered, else it is tried again after a pause. */
typedef int engine_outbox_fn(void *arg, const struct job *job);

/* What is to be done again and again: at each due time the ops, on the files that are selected. Everything is borrowed. */
struct engine_recurring {
	const char *name; /* 1 … RECURRING_NAME_MAX bytes; two entries have different ones */
	const char *schedule; /* expression and zone as a text: under another one than before, times are counted anew */
	struct cron cron;
	struct zone zone;
	const struct op_request *ops;
	size_t n_ops; /* 1 … OPS_MAX */
	struct file_filter files; /* state -1 */
	struct str type; /* a media type, or the first half of some with its slash: `image/`; empty = any */
	bool all; /* every file that is selected and was not dealt with, else only those that came since the run before */
	bool skip_missed; /* due times that passed while no server ran are nobody's; else they are made up for by one run */
	uint32_t priority;
};

/* Who is told of finished jobs over the network (docs/adr/0025). */
struct engine_webhooks {
	struct net_client *client; /* borrowed until the engine is stopped; NULL = nothing is sent */
	const struct target_policy *targets; /* borrowed; where they may go. NULL = the strictest */
	unsigned per_owner; /* webhooks; 0 = none can be made */
	unsigned under_way, per_endpoint; /* requests at once: in all, and to one receiver */
	int64_t timeout_ms; /* of one attempt */
	const int64_t *retry_ms; /* borrowed; n_retry pauses, one before each attempt; the first counts for nothing */
	size_t n_retry;
	int64_t give_up_ms; /* a receiver that has failed for so long is switched off */
	int64_t keep_ms; /* what was told is remembered */
};

/* Files that the server fetches itself (docs/adr/0034). */
struct engine_imports {
	struct net_client *client; /* borrowed until the engine is stopped; NULL = there are none */
	const struct target_policy *targets; /* borrowed; where URLs may lead */
	unsigned at_once;
	int64_t connect_ms, timeout_ms; /* a connection; one attempt */
	unsigned rate_min, rate_grace_s; /* bytes a second, averaged over so long: a slower source fails */
	const struct engine_s3 *s3; /* borrowed */
	size_t n_s3;
};

/* Who signs in, and for how long. */
struct engine_people {
	unsigned threads; /* that hash passwords; 0 = nobody can sign in */
	int64_t session_idle_ms, session_max_ms; /* it ends when it was not used for so long, and whatever is done */
};

struct engine_config {
	uint64_t inline_max; /* bytes kept in the catalogue's row */
	uint64_t file_max; /* bytes of one file */
	uint64_t free_reserve; /* bytes that stay free in the file system below `space_fd`; 0 = off */
	int space_fd; /* data directory for the free-space check, -1 = none */
	unsigned io_threads; /* pool for blob writes and reads that block; it has a few more threads, in which nothing is written */
	unsigned job_threads; /* threads that run digest jobs */
	uint64_t owner_concurrency; /* jobs of one owner that run at once; 0 = no limit. Those of an op: op->concurrency */
	unsigned uploads_max; /* uploads at once */
	const struct op_table *ops; /* borrowed; NULL = the built-in ones */
	struct runner *runner; /* borrowed; runs the jobs */
	const char *default_ops; /* structured-field list */
	int64_t lease_ms, beat_ms, reclaim_ms; /* 15,000 / 4,000 / 2,000 */
	const char *host, *labels; /* of this node, NODE_HOST_MAX and NODE_LABELS_MAX bytes at most; NULL = not told */
	struct uuid home; /* of nodes: the data directory's id … */
	bool home_alone; /* … which no other node used when this one came */
	uint64_t scrub_rate; /* bytes a second that are read again; 0 = none */
	int64_t scrub_every_ms; /* from the begin of a round to the next */
	int64_t sweep_every_ms; /* 0 = only at start, or when the duty came from another node */
	int64_t idempotency_ms, tombstone_ms; /* 24 h, 30 d */
	int64_t files_keep_ms; /* after which a file expires that was given no other time; 0 = never */
	unsigned events_readers; /* at once */
	int64_t events_heartbeat_ms; /* 15,000 */
	uint32_t events_ring; /* events kept for those who come back; 0 = 4,096 */
	bool in_bucket; /* blobs are where another catalogue, a copy of this one, may keep its own (docs/adr/0044-twins.md) */
	bool bucket_new; /* nobody had used that place before this process */
	/* Whether blobs must stay for now because a backup is copying them; NULL = never. Asked on the janitor's thread, after the blob was known to be referred to by no row. */
	bool (*blobs_held)(void *arg);
	void *blobs_held_arg;
	const struct engine_recurring *recurring; /* borrowed */
	size_t n_recurring;
	struct engine_webhooks webhooks;
	struct engine_imports imports;
	struct engine_people people;
	engine_outbox_fn *outbox; /* NULL = none; the catalogue must have been opened with outbox set */
	void *outbox_arg;
	int audit_fd; /* folder of the audit log, borrowed; 0 or -1 = there is none, and engine_audit() does nothing */
	uint64_t audit_file_max; /* bytes after which it goes on in a new file */
	bool audit_uploads; /* each stored file is an entry */
	/* This program may not go on with the catalogue, for others brought its schema forward while this node stood still (ERR_SCHEMA_NEWER). The scheduler's thread; whatever this node would still do it would do to
	 * tables that it does not know, so it does not return. NULL = it is only logged. */
	void (*unfit)(const struct err *e);
	bool audit_elsewhere; /* another node has the folder: entries are left for it */
};

/* Takes catalogue and blobs on success. env is borrowed. No thread is started yet. ERR_BAD_OPS, ERR_UNKNOWN_OP for default_ops. */
[[nodiscard]] int engine_new(struct engine **ret, const struct engine_config *config, struct env *env, struct catalog *catalog,
			     struct blobs *blobs, struct err *e);
/* Takes back what an earlier boot left running, unless other nodes may work on the catalogue, finishes interrupted deletes, starts the threads and the first sweep. */
[[nodiscard]] int engine_start(struct engine *g, struct err *e);
#define ENGINE_LIMITERS_MAX 8
/* Limiters that hold for all nodes of a shared catalogue together, in the same order on each: every second it is told what this node let through, and they learn what all did; so each node may
 * let through for a second what it would alone. Of another catalogue they are this node's alone, and nothing happens. Once, after engine_start(); borrowed until engine_stop(). */
[[nodiscard]] int engine_share_limiters(struct engine *g, struct limiter *const limiters[], size_t n, struct err *e);
/* First half of a stop: new work is refused (ERR_SHUTTING_DOWN) and all waits and event streams end at once, so that the HTTP server can drain. Uploads under way go on. */
void engine_quiesce(struct engine *g);
/* From here on nobody waits for a bucket that may not answer: what does ends with ERR_SHUTTING_DOWN. Any thread. */
void engine_hurry(struct engine *g);
/* Claims nothing more; what was claimed and has not begun goes back to the queue. For a node that is to end when what runs has ended. */
void engine_rest(struct engine *g);
/* Whether no job is in hand; waits so long for it at most. */
bool engine_idle(struct engine *g, int64_t ms);
/* After the HTTP server was drained and freed: no request refers to the engine any more. Running digest jobs are given back or finished within grace_ms; waits end; commits are finished. */
void engine_stop(struct engine *g, int64_t grace_ms);
void engine_free(struct engine *g); /* after engine_stop(); NULL is fine */

/* ---- intake: one upload, owned by one request. Calls come from one thread at a time and never block. ---- */
struct intake;

struct intake_spec {
	struct str owner;
	int64_t length; /* announced bytes of the file itself, -1 = unknown; above file_max ERR_TOO_LARGE at once */
	struct str name; /* raw, as the client wrote it; p NULL = none yet */
	struct str ops; /* structured-field list; p NULL = none given (yet) */
	struct str labels; /* `k:v,…`; p NULL = none given (yet) */
	struct str pipeline; /* name of a configured pipeline; p NULL = none. ERR_UNKNOWN_PIPELINE. With ops too: ERR_BAD_OPS */
	const char *const *types; /* media types that are taken, NULL-terminated; another: ERR_UNSUPPORTED_TYPE, nothing kept. NULL = all */
	struct uuid id; /* the file's id; zero = the engine makes one. One that is taken: ERR_CONFLICT */
	uint64_t size_max; /* bytes of the file at most, below file_max: ERR_TOO_LARGE. 0 = file_max alone */
	bool size_exact; /* it has size_max bytes: ERR_LENGTH_MISMATCH for fewer */
	struct once once; /* what may happen once only: used up with the file's commit, or ERR_USED and nothing is kept */
	const struct blob_origin
		*origin; /* the bytes are those of a blob in the store, from which they are copied. NULL = they are written */
	struct str type_hint; /* unused for the type, which is told from the bytes */
	struct str idempotency_key; /* p NULL = none; 1…255 visible ASCII bytes, else ERR_BAD_HEADER */
	struct audit_by by; /* who sends it; its texts are valid until the end */
	bool want_md5, want_sha256, want_sha512; /* the body is checked against these: ERR_DIGEST_MISMATCH */
	uint8_t md5[16], sha256[32], sha512[64];
	/* after INTAKE_WAIT: there is room again. Pool thread. */
	void (*on_room)(void *arg);
	void *arg;
};

/* ERR_SHUTTING_DOWN, ERR_STORAGE_SEALED, ERR_STORAGE_FULL, ERR_OVERLOADED, ERR_TOO_LARGE, ERR_BAD_NAME, ERR_BAD_LABELS, ERR_BAD_OPS…, ERR_IDEMPOTENCY_RUNNING. */
[[nodiscard]] int intake_open(struct engine *g, const struct intake_spec *spec, struct intake **ret, struct err *e);
/* What a multipart form tells later than the open; each before intake_finish(). Ops told after the first byte cannot ride along and are queued. */
[[nodiscard]] int intake_set_name(struct intake *in, struct str raw, struct err *e);
[[nodiscard]] int intake_set_ops(struct intake *in, struct str list, struct err *e);
[[nodiscard]] int intake_set_pipeline(struct intake *in, struct str name, struct err *e);
[[nodiscard]] int intake_set_labels(struct intake *in, struct str text, struct err *e); /* JSON object or list */

enum intake_step { INTAKE_MORE, INTAKE_WAIT, INTAKE_FAILED };
/* Always takes all n bytes. INTAKE_WAIT: give no more until on_room. INTAKE_FAILED: *e says why; then intake_cancel(). */
enum intake_step intake_feed(struct intake *in, const void *data, size_t n, struct err *e);

/* The last bytes, a body()'s at most, after an INTAKE_WAIT whose on_room is still to come; then intake_finish() or intake_group_add() at once. */
[[nodiscard]] int intake_feed_rest(struct intake *in, const void *data, size_t n, struct err *e);

struct intake_result {
	int code; /* 0: the file is durable and its jobs are committed */
	struct err err; /* when code != 0 */
	const struct file *file; /* when code == 0; valid during the callback */
	bool replayed; /* an idempotent repeat: file is the first one, as it is now */
};
typedef void intake_done_fn(void *arg, const struct intake_result *result);

/* The body is complete. Takes the intake; done is called exactly once, from the committer, a pool thread, or this call. */
void intake_finish(struct intake *in, intake_done_fn *done, void *arg);
/* Gives up: nothing is kept. Takes the intake; may return before a pool thread has let go of it. Not between INTAKE_WAIT and its on_room. NULL is fine. */
void intake_cancel(struct intake *in);

/* Uploads of one owner that are stored together or not at all; their specs have no idempotency key and nothing that may happen once only. One thread at a time. */
struct intake_group;
struct intake_group_result {
	int code; /* 0: all files are durable and their jobs are committed */
	struct err err; /* when code != 0 */
	const struct file *const *files; /* when code == 0, in the order they were added; valid during the callback */
	size_t n;
};
typedef void intake_group_done_fn(void *arg, const struct intake_group_result *result);
[[nodiscard]] int intake_group_new(struct intake_group **ret, struct engine *g, struct err *e);
/* Whether another one may be added: what failed already, ERR_TOO_LARGE: there are FILES_AT_ONCE_MAX. */
[[nodiscard]] int intake_group_check(struct intake_group *x, struct err *e);
/* The bytes of one are complete: in place of intake_finish(). Takes the intake. */
void intake_group_add(struct intake_group *x, struct intake *in);
/* All were added. Takes the group; done is called exactly once, from the committer, a pool thread, or this call. ERR_FILE_MISSING when there is none. */
void intake_group_finish(struct intake_group *x, intake_group_done_fn *done, void *arg);
void intake_group_cancel(struct intake_group *x); /* keeps nothing; takes the group. NULL is fine */

/* ---- writes ---- */
/* Queues one change for the next batch; `done` is called on the committer thread after the commit (or its failure) with c->code and c->err set.
 * The memory of *c and all it points to is the caller's and must live until then. Any thread. */
typedef void change_done_fn(void *arg, struct change *c);
void engine_submit(struct engine *g, struct change *c, change_done_fn *done, void *arg);

/* Whether a client's change may join those that wait to be committed: ERR_OVERLOADED, with a time to come again, when they stand. Uploads ask by themselves. Any thread. */
[[nodiscard]] int engine_admits(struct engine *g, struct err *e);
/* Asked before anything is begun for a client. ERR_STORAGE_SEALED: a flush of the catalogue or the store failed; both lie under one promise, so
 * neither takes a client's write until a restart. Any thread. */
[[nodiscard]] int engine_takes_writes(const struct engine *g, struct err *e);
/* The same for a change a client asks for. ERR_STORAGE_FULL: it adds something, and there is no free space left above the reserve; what removes, ends or replaces is taken. */
[[nodiscard]] int engine_takes_change(const struct engine *g, enum change_kind kind, struct err *e);

/* ---- imports ---- */
#define IMPORT_BUCKET_MAX 63 /* bytes */
#define IMPORT_KEY_MAX 1024
/* A file that is to be fetched. */
struct engine_import {
	struct str owner;
	struct uuid id; /* of the file; zero = the engine makes one */
	struct str url; /* p NULL: an object */
	struct str source, bucket, key; /* of an object: the storage's name in the configuration */
	struct str sha256; /* in hex: the bytes must have it; p NULL = whatever they are */
	struct str name; /* raw */
	struct str labels; /* canonical; p NULL = none */
	const struct op_request *ops; /* on the file, when it is there */
	size_t n_ops;
	uint32_t max_attempts; /* 0 = as the op says */
};
/* The change that adds the file without its bytes and the job that brings them, the first of the file's; in the arena. ERR_URL_NOT_ALLOWED, ERR_INVALID_VALUE, ERR_BAD_NAME, ERR_BAD_OPS;
 * ERR_NOT_IMPLEMENTED where the configuration allows none. Any thread. */
[[nodiscard]] int engine_new_import(struct engine *g, struct change *c, const struct engine_import *im, struct arena *a, struct err *e);

/* ---- reads: may block on the catalogue's disk; see catalog.h for errors ---- */
struct catalog *engine_catalog(struct engine *g); /* for its read functions only */
/* Point reads may be done on an HTTP thread (a mapped, local catalogue: microseconds); everything else goes to the pool. */
bool engine_reads_are_local(const struct engine *g);
struct pool *engine_pool(struct engine *g);
/* For asking a shared catalogue who somebody is, and for nothing that takes longer: so nobody waits there behind lists and blobs. Only where reads are not local. */
struct pool *engine_caller_pool(struct engine *g);
/* Bytes to be sent on, in one of three forms. */
struct engine_bytes {
	int fd; /* all of them, as a file; -1 = none */
	struct blob_reader *reader; /* those that were asked for, one after the other; NULL = none */
	struct buf inlined; /* all of them, where there is neither */
};
#define ENGINE_BYTES_INIT ((struct engine_bytes){.fd = -1, .inlined = BUF_INIT})
void engine_bytes_release(struct engine_bytes *b);
struct engine_part {
	uint64_t first, length; /* within the whole; no byte at all only where there is none */
};
/* Content of a file. */
[[nodiscard]] int engine_open_content(struct engine *g, const struct file *f, struct engine_part part, struct engine_bytes *ret,
				      struct err *e);
/* An output's bytes. ERR_OUTPUT_NOT_FOUND when they went meanwhile. */
[[nodiscard]] int engine_open_output(struct engine *g, const struct output *o, struct engine_part part, struct engine_bytes *ret,
				     struct err *e);
const struct op_table *engine_ops(const struct engine *g);
/* Validated ops for a stored file → the change that adds the job; fills ids and times. */
void engine_new_job(struct engine *g, struct job *ret, struct uuid file, const struct op_request *op);
/* The same for a list whose ops may come after one another. */
void engine_new_jobs(struct engine *g, struct job *ret, struct uuid file, const struct op_request *ops, size_t n);
struct env *engine_env(struct engine *g);
struct uuid engine_new_id(struct engine *g);
const uint8_t *engine_cursor_key(struct engine *g); /* 16 bytes, made at start */

/* ---- progress ---- */
/* Sets `progress` of those of the jobs that run here and whose process told it. Kept in memory alone: it is worth nothing after a restart, which runs the job anew. Any thread. */
void engine_progress(struct engine *g, struct job *jobs, size_t n);

/* ---- waiting ---- */
/* Calls `wake` once, on an engine thread, when all jobs of the file (or the one named) are final or the deadline (mono ms of env) has passed. The check at registration is included: a file
 * that is final already wakes at once. The caller then reads the file anew. The memory is the caller's until wake ran. */
struct engine_waiter {
	struct uuid file; /* in; zero: it waits for its deadline only */
	struct uuid job; /* in: only this job of the file need be final; zero = all */
	struct str owner; /* in; valid until wake */
	int64_t deadline_ms; /* in */
	void (*wake)(struct engine_waiter *w); /* in */
	struct engine_waiter *next, *prev; /* the engine's */
};
void engine_wait(struct engine *g, struct engine_waiter *w);

/* ---- events ---- */
struct event;
/* One reader of the stream of events: what becomes of the owner's files and jobs, in the order of the commits, as the lines of an event stream (WHATWG HTML §9.2). */
struct engine_reader {
	struct str owner; /* in; valid until it leaves */
	struct uuid file; /* in: of this file and its jobs only; zero = all */
	/* in: there is more after a read that gave 0. On an engine thread; it may come late, and must not leave. */
	void (*wake)(struct engine_reader *x);

	/* The engine's; the rest must be zero. */
	struct engine_reader *next, *prev;
	uint64_t seq; /* the next event to look at */
	struct event *current; /* being given */
	size_t at; /* bytes of it that were */
	char note[160]; /* what is told to this reader alone, and before the next event */
	size_t n_note, note_at;
	int64_t last_ms; /* when it was given something */
	bool idle; /* the last read gave 0 */
	bool due; /* there is something for it */
	bool beat; /* a heartbeat is due */
	bool over; /* nothing follows what it has */
	bool waking; /* wake() is being called */
};
/* last_id: the id of the last event that was seen, p NULL = none: it begins with what comes next. An id from which nobody can go on, since what came after it is forgotten, gives the
 * event `reset`. ERR_OVERLOADED, ERR_SHUTTING_DOWN. Any thread. */
[[nodiscard]] int engine_events_join(struct engine *g, struct engine_reader *x, struct str last_id, struct err *e);
/* Up to max bytes: how many, 0 = none now, wake() follows, -1 = the end. One thread at a time; does not block. */
[[nodiscard]] ssize_t engine_events_read(struct engine *g, struct engine_reader *x, char *p, size_t max);
/* wake() is not called any more. After each join that went well, before engine_free(). */
void engine_events_leave(struct engine *g, struct engine_reader *x);

/* ---- webhooks ---- */
/* Whether requests may go to the URL, as far as that can be told without asking for its host. ERR_URL_NOT_ALLOWED. */
[[nodiscard]] int engine_webhook_url(const struct engine *g, struct str url, struct err *e);
unsigned engine_webhooks_max(const struct engine *g); /* an owner may have */
struct webhook_secret engine_new_secret(struct engine *g);

/* ---- people: people.h ---- */
const struct engine_people *engine_people_rules(const struct engine *g);

/* ---- deleting ---- */
/* After a committed CHANGE_DELETE_FILE: removes the bytes in the background. Any thread. */
void engine_kick_doomed(struct engine *g);

/* ---- the audit log ---- */
/* The change is to leave a line: sets c->audit, in the arena, when there is a log. The line comes when and only when the change takes effect. Any thread. ERR_NO_MEMORY: do not submit it. */
[[nodiscard]] int engine_audit_n(struct engine *g, struct change *c, struct arena *a, enum audit_act act, const struct audit_by *by,
				 const struct log_field *fields, unsigned n, struct err *e);
#define engine_audit(g, c, a, act, by, e, ...)                                                                                             \
	engine_audit_n(g, c, a, act, by, (const struct log_field[]){__VA_ARGS__},                                                          \
		       sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field), e)
/* A line for what is no change of the catalogue; by NULL = the server. Returns when it is durable. Blocks; not from the committer's thread. */
[[nodiscard]] int engine_audit_act_n(struct engine *g, enum audit_act act, const struct audit_by *by, const struct log_field *fields,
				     unsigned n, struct err *e);
#define engine_audit_act(g, act, by, e, ...)                                                                                               \
	engine_audit_act_n(g, act, by, (const struct log_field[]){__VA_ARGS__},                                                            \
			   sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field), e)
/* The newest lines before number `before` (INT64_MAX: of all), of one act or any (p NULL). In the arena. Blocks. *ret is empty when there is no log. */
[[nodiscard]] int engine_audit_tail(struct engine *g, int64_t before, struct str act, uint32_t max, struct arena *a, struct audit_tail *ret,
				    struct err *e);
bool engine_has_audit(const struct engine *g);
/* The last line that is known to be on disk; zero when there is none. */
struct audit_mark engine_audit_head(struct engine *g);

/* ---- health ---- */
/* Writes to catalogue and store and reports. Blocks: pool threads only. */
[[nodiscard]] int engine_ready(struct engine *g, struct err *e);
bool engine_stopping(const struct engine *g);

#endif
