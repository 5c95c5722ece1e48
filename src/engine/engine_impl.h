/* The engine's inside, for src/engine only. Each part below is owned by one file and guarded by its own lock; no lock is held across a callback or I/O. */
#ifndef FILEMILL_ENGINE_ENGINE_IMPL_H
#define FILEMILL_ENGINE_ENGINE_IMPL_H

#include "audit/writer.h"
#include "engine/engine.h"
#include "engine/event_ring.h"
#include "engine/outflow.h"
#include "rt/log.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>

#define COMMIT_GROUP_MAX 1024 /* changes in one transaction */
#define COMMIT_BYTES_MAX (8u << 20) /* inline bytes in one transaction */
#define INTAKE_CHUNK (128u << 10) /* bytes handed to a pool thread at once; two such buffers a large upload */
#define INTAKE_CHUNK_MAX (1u << 20) /* the same, once much of it has come, if the upload became large as one of few */
#define INTAKE_LARGER (8u << 20) /* bytes of an upload that are much */
#define INTAKE_FEW 16 /* large uploads under way */
#define CLAIM_MAX 256 /* jobs claimed at once */
#define INHAND_MAX 512 /* jobs claimed and not finished: what a crash can set back by one loss */
#define WAIT_BUCKETS 256
#define FLIGHT_BUCKETS 256
#define OWNER_BUCKETS 256 /* owners are told apart by a hash */
#define SMALL_FILE (64u << 10) /* bytes: digest jobs of files up to this run in batches */
#define SMALL_BATCH (4u << 20) /* bytes of one batch */
#define EVENTS_RING 4096 /* events kept */
#define EVENTS_RING_BYTES (8u << 20) /* of them */
#define EVENTS_KEEP_MS 600000 /* they are kept while there are readers, and this long after the last one */
#define PROGRESS_JOB_MS 1000 /* readers of events are told of one job's progress no more often than this … */
#define PROGRESS_ALL_MS 250 /* … and of that of all jobs: the ring is there for what becomes of them */
#define KEY_MAX 255 /* bytes of an Idempotency-Key */

/* A thread that sleeps until it is kicked or a time has come. */
struct sleeper {
	pthread_mutex_t lock;
	pthread_cond_t cond; /* CLOCK_MONOTONIC */
	bool kicked, stop;
	pthread_t thread;
	bool running;
};

[[nodiscard]] int sleeper_init(struct sleeper *s, struct err *e);
[[nodiscard]] int sleeper_start(struct sleeper *s, const char *name, void *(*run)(void *), void *arg, struct err *e);
void sleeper_kick(struct sleeper *s);
/* Sleeps until kicked, stopped, or ms have passed (-1 = for ever). True while it is to go on, false when it was told to stop. */
bool sleeper_wait(struct sleeper *s, int64_t ms);
/* Sleeps for ms whether or not it is kicked, which counts for the next wait. False when it was told to stop. */
bool sleeper_pause(struct sleeper *s, int64_t ms);
void sleeper_stop(struct sleeper *s); /* tells and joins; harmless when not running */
void sleeper_release(struct sleeper *s);

/* When the committer's queue was short, and what that is: admission.c. Guarded by the committer's lock. */
struct admission {
	size_t short_max; /* changes */
	int64_t short_at; /* mono ms when it was short last */
	int64_t strict_until; /* mono ms: somebody was refused of late */
	int64_t change_ns; /* what one change costs in a large group; 0 = not known */
};

struct committer {
	struct admission admission;
	pthread_mutex_t lock;
	pthread_cond_t cond; /* CLOCK_MONOTONIC */
	struct change *head, **tail; /* waiting, oldest first */
	size_t waiting;
	bool sleeping, stop;
	bool refused; /* the last one, because what is stored was moved or is being moved */
	pthread_t thread;
	bool running;
};

/* What a job makes, on its way into the store. mill_output.c */
struct mill_output {
	struct engine *g;
	char name[BLOB_NAME_MAX + 1]; /* of the blob */
	struct blob_writer *writer; /* NULL before the first byte and after the commit */
	struct digest_set *digest;
	uint8_t first[MAGIC_BYTES];
	size_t n_first;
	uint64_t size;
	uint64_t looked_at; /* bytes, when free space was looked at last */
	int code; /* what the store failed with: no fault of the op's */
	bool stored; /* durable; whoever refers to it or removes it comes next */
	struct output row; /* for the catalogue */
};

/* One claimed job. The job thread's until its finish is handed in, then the committer's. */
struct work_job {
	struct claimed *claimed; /* of the batch's arena */
	const struct op *op; /* NULL: this server knows it no more */
	_Atomic bool cancelled; /* by a client */
	bool ended; /* its finish was handed in */
	unsigned place; /* of its op among metrics */
	int64_t claimed_at;
	_Atomic unsigned progress; /* ‰, as its process says; 0 = nothing yet */
	int64_t told_ms; /* mono: when readers of events were told how far it is, at first when it was claimed; the job thread's */
	int told; /* what they were told: ‰, -1 = nothing yet */
	int64_t started_at;
	struct change finish;
	struct buf result; /* JSON */
	struct buf detail; /* of an error */
};

/* Claimed jobs that run together: a batch of digests, or one job of another kind.
 *
 * Of equal jobs in hand one *leads* and the others *follow* it: they take over its result when it succeeds and run themselves when it does not (flight.c).
 *
 *	start ──► pool: work_run() ──► finishes ──► freed with the last commit
 *	  └─────► follows ──► the leader's end: finish, or pool
 */
struct work {
	struct pool_task task;
	struct engine *g;
	struct batch *batch;
	struct arena arena; /* texts of its own */
	struct uuid worker; /* the incarnation that claimed the jobs */
	_Atomic unsigned refs; /* jobs whose end is not yet committed, and threads inside mill_run() */
	_Atomic bool cancelled; /* a client cancelled one of the jobs: look which */
	struct work *next, *prev; /* scheduler's list of works in hand */
	struct mill_output *output; /* of the one job of an op that makes one; else NULL */
	/* single flight: guarded by the scheduler's lock */
	uint64_t key; /* hash of what the job is */
	unsigned turns; /* the owner's place among the turns */
	bool leads; /* is in the table of flights */
	struct work *next_flight;
	struct work *leader; /* not NULL: follows it, and nobody runs it */
	struct work *followers, *next_follower;
	bool own; /* an answer from elsewhere was refused: it runs itself */
	size_t n, cap;
	struct work_job jobs[]; /* n */
};

struct batch { /* jobs claimed together share their memory */
	struct arena arena;
	_Atomic unsigned refs; /* works in hand, and who hands them out */
	size_t used; /* bytes of the room */
	alignas(struct work) uint8_t room[]; /* the works: enough for each job to be one of its own */
};

struct scheduler {
	struct sleeper sleeper;
	pthread_mutex_t lock; /* guards what follows */
	struct work *works; /* in hand */
	unsigned inhand; /* jobs */
	bool claiming; /* a claim is under way whose jobs are not in hand yet, … */
	struct buf missed; /* … and what was cancelled meanwhile */
	struct work *flights[FLIGHT_BUCKETS]; /* works that lead, by key */
	pthread_cond_t none; /* signalled when inhand becomes 0 */
	struct change *retries; /* finishes to be handed in again */
	uint64_t turn,
		last_turn
			[OWNER_BUCKETS]; /* when an owner's work was begun last; by hash of the owner, so that two may share their turns. The pool's lock guards them. */
	struct uuid worker; /* this incarnation; the scheduler thread's, who changes it under the lock */
	_Atomic int64_t lease_until; /* mono ms; 0 = none. Running jobs stop at it. */
	_Atomic int64_t runner_pause_until; /* mono ms: nothing is claimed before, for the runner cannot run it */
	bool registered; /* likewise */
	unsigned jobs_a_work; /* by the last claim; scheduler thread only */
	bool listed_only; /* ops that are not among the limits are other nodes' */
	_Atomic bool full; /* the thread waits for room */
	_Atomic int64_t
		ahead_ms; /* how far this node's wall clock is ahead of the one that all nodes share, less what is within the time of the look; negative: behind */
	int64_t beat_wall, beat_mono; /* both clocks at the last beat that was taken; scheduler thread only */
	_Atomic bool maybe_ready; /* something was queued since the last empty claim */
	_Atomic bool blocked; /* a limit kept ready jobs back at the last claim, or may at the one under way: the end of a job makes room */
	int64_t next_at; /* wall ms: when something becomes ready that waits for a time, as the last claim knew; scheduler thread only */
	struct claim_limit *limits; /* of ops, in the engine's strings */
	size_t n_limits;
	_Atomic bool beat_soon;
	_Atomic bool resting; /* nothing is claimed, nothing begun */
	_Atomic bool draining; /* and what runs is to be given back */
};

/* For whom the queue has no room: when it will. The committer's thread only. refusal.c */
struct refusals {
	struct outflow all, owners[OWNER_BUCKETS];
	int64_t next_at; /* wall ms: nothing may begin before, as the last claim knew */
};

struct waits {
	struct sleeper sleeper;
	pthread_mutex_t lock;
	struct engine_waiter *buckets[WAIT_BUCKETS];
	struct engine_waiter *poked; /* to be looked at, singly linked by `next` */
	size_t n; /* in buckets */
};

struct notice;

struct events {
	struct sleeper sleeper;
	_Atomic bool awake; /* somebody listens, or did of late: commits are told */
	int64_t life; /* wall ms of this engine's making: part of every id */
	pthread_mutex_t lock; /* guards what follows, and all of a reader but what its owner sets */
	pthread_cond_t woken; /* a wake() returned */
	struct notice *notices, **notices_tail; /* from the committer, not yet events */
	size_t notices_bytes;
	int64_t progress_ms; /* mono: when progress was told last, of whatever job */
	bool lost; /* some were not taken */
	bool ended; /* nobody joins any more, and all are told to go */
	struct event_ring ring;
	struct engine_reader *readers;
	unsigned n_readers;
	int64_t alone_since; /* mono ms: when the last reader left */
};

struct audit { /* the audit thread's, and before it the starting one's */
	struct sleeper sleeper;
	struct audit_writer writer;
	struct digest_set *digest;
	struct buf lines;
	bool confirmed; /* the catalogue knows the writer's end */
	int64_t known; /* the head as the catalogue has it: the line, … */
	struct uuid known_home; /* … and whose log has it */
	bool lost; /* another node has moved the head: the log is to be taken anew */
	int told; /* of the trouble that was told, 0: there is none */
	bool open; /* the log is this node's to write */
	bool started; /* the start was told, so the stop will be */
};

/* What other nodes do on the same catalogue. nodes.c */
struct nodes {
	struct sleeper sleeper;
	bool shared; /* there may be others */
	_Atomic unsigned duties; /* bits of those that are this node's as long as its lease */
};

/* Limiters that hold for all nodes together. limiters.c */
struct limiters {
	struct sleeper sleeper;
	struct limiter *list[ENGINE_LIMITERS_MAX]; /* borrowed */
	size_t n;
};

struct line { /* the janitor's; line.c */
	bool put; /* a word that this process drew lies in the bucket */
	bool fresh; /* the bucket was nobody's before this process came */
	bool alone; /* no other catalogue uses the bucket, as far as can be known: bytes may be removed */
	bool contested; /* another one does */
	bool failed; /* the last look */
	int64_t put_at, looked_at, ask_at; /* monotonic ms */
	int64_t since; /* the first look that found no other word; 0 = there was none, or one was found since */
	int64_t other_since; /* the first look that found another word, in a row; 0 = the last found none */
};

struct gauges { /* the janitor's */
	int64_t looked_at; /* mono ms */
};

struct running_key { /* an Idempotency-Key whose first request has not ended */
	struct running_key *next;
	struct str owner, key; /* in the intake's arena */
};

struct uploads {
	pthread_mutex_t lock;
	pthread_cond_t none; /* signalled when the last open upload ends */
	unsigned open;
	struct intake *big; /* uploads that write a blob: the sweep leaves their names alone */
	unsigned n_big;
	int64_t told_since; /* what others were told last by uploads_since() */
	struct running_key *keys;
	struct digest_set *spare[64]; /* kept for reuse */
	unsigned n_spare;
};

struct recurring_entry;

struct recurring {
	struct sleeper sleeper;
	struct recurring_entry *entries; /* the thread's */
	bool moved; /* somebody else did: what is known is to be read anew */
	size_t n;
};

/* Reads what is stored again; its thread's own. scrub.c */
struct scrub {
	struct sleeper sleeper;
	struct scrub_position position;
	struct arena row; /* texts of `now` */
	struct stored now;
	bool reading, again; /* `now` is being read; for the second time */
	int fd; /* of a blob that is a file, or -1 */
	struct blob_reader *reader; /* of any other, or NULL */
	off_t at;
	struct digest_set *digest; /* with `chunk` from the first step on */
	uint8_t *chunk;
	int64_t credit; /* bytes that may be read now */
	int64_t round_bytes; /* read in this round, since the start */
	int64_t saved_at; /* mono ms: when the position was kept last */
	int64_t unsaved; /* bytes read since */
	unsigned passed_over; /* steps, because the server was busy */
};

struct engine {
	struct engine_config config;
	struct env *env;
	struct catalog *catalog;
	struct blobs *blobs;
	struct pool *io, *jobs, *imports; /* imports: NULL = there are none */
	struct pool *callers; /* NULL = the catalogue is local; engine_caller_pool() */
	struct pool *arrivals; /* NULL = no addresses are given out; arrival.c */
	struct uuid_gen ids;
	uint8_t cursor_key[16];
	struct arena strings;
	struct op_request *default_ops; /* in strings */
	size_t n_default_ops;
	const char *default_ops_text; /* in strings */
	_Atomic bool stopping, space_low;
	struct committer committer;
	struct scheduler scheduler;
	struct refusals refusals;
	struct waits waits;
	struct events events;
	struct uploads uploads;
	struct recurring recurring;
	struct sleeper janitor, outbox;
	struct scrub scrub;
	struct audit audit;
	struct nodes nodes;
	struct limiters limiters;
	struct gauges gauges;
	struct line line;
	char doomed_after[BLOB_NAME_MAX + 1]; /* the janitor's: those up to here could not be removed */
	struct people *people; /* NULL = nobody signs in; people.c */
	_Atomic uint64_t people_changes; /* engine_people_changes() */
	_Atomic uint64_t key_changes; /* engine_key_changes() */
	struct webhooks *webhooks; /* NULL = nothing is sent; webhook.h */
	_Atomic bool doomed_waiting;
	_Atomic unsigned storing; /* outputs being flushed */
};

/* engine.c */
static inline int64_t engine_now(struct engine *g)
{
	return g->env->wall_ms(g->env);
}
static inline int64_t engine_mono(struct engine *g)
{
	return g->env->mono_ms(g->env);
}

/* Monotonic microseconds, for metrics only: what happens does not depend on it. */
int64_t engine_us(void);

/* arrival.c */
[[nodiscard]] int arrivals_start(struct engine *g, struct err *e);

/* gauges.c */
void gauges_init(struct engine *g);
void gauges_look(struct engine *g, int64_t mono); /* what has to be asked for: janitor thread */
enum upload_stage { UPLOAD_RECEIVE, UPLOAD_STORE, UPLOAD_COMMIT, UPLOAD_STAGES };
void gauges_jobs_added(const struct job *jobs, size_t n); /* by a change that was committed */
void gauges_upload(enum upload_stage stage, int64_t since_us);

/* committer.c */
[[nodiscard]] int committer_start(struct engine *g, struct err *e);
void committer_stop(struct engine *g); /* commits what waits, then ends */
/* Logs why a change of ours failed; nothing with ERR_MOVED: the committer said so when it began, and an old place may be read for days. */
void engine_log_failed(enum log_level level, const char *event, const struct err *e);

/* admission.c; called by the committer. joined and took: with its lock held. */
void admission_init(struct engine *g);
void admission_joined(struct engine *g); /* a change is about to join the queue */
void admission_took(struct engine *g, size_t waited); /* a group is taken of so many that waited */
void admission_committed(struct engine *g, size_t n, int64_t us);

/* refusal.c */
void come_again(struct engine *g, struct err *e, int64_t ms); /* after about so long; fills in retry_after_s. Any thread. */
unsigned owner_bucket(struct str owner); /* below OWNER_BUCKETS; two owners may share one */
/* On the committer's thread: */
void refusal_claimed(struct engine *g, const struct change_claim *c); /* and it was committed */
void refusal_ended(struct engine *g, struct str owner, bool gone); /* one of those claimed; gone: for good */
void refusal_explain(struct engine *g, struct change *c); /* c was refused with ERR_QUEUE_FULL */

/* Applies one change and waits for it; returns its code. Not from the committer thread. */
[[nodiscard]] int engine_apply(struct engine *g, struct change *c);
void engine_apply_all(struct engine *g, struct change *list, size_t n); /* in one transaction, or few; each has its own code */

/* scheduler.c */
[[nodiscard]] int scheduler_start(struct engine *g, struct err *e);
void scheduler_drain(struct engine *g, int64_t grace_ms); /* nothing new begins, what runs is given back; waits so long for it */
void scheduler_stop(struct engine *g); /* behind scheduler_drain() */
void scheduler_kick(struct engine *g); /* a job was queued */
int64_t scheduler_others_now(
	struct engine
		*g); /* Unix ms by which is judged what others wrote: this node's clock, or the one that all share where that is behind */
void scheduler_attempt_ended(struct engine *g); /* its end was committed */
/* Whose work a free thread begins: that of the owner who has waited longest since the last one. */
struct pool_task **scheduler_pick(void *arg, struct pool_task **first);
void scheduler_cancel_running(struct engine *g, struct uuid job);
void scheduler_cancel_file(struct engine *g, struct uuid file); /* its running jobs */

void scheduler_room(struct engine *g); /* a work began or ended */
bool scheduler_inhand(struct engine *g, struct uuid job, int64_t fence); /* this attempt: claimed here and its end not yet committed */
bool scheduler_any_inhand(struct engine *g);
void scheduler_runner_unavailable(struct engine *g, const struct err *e); /* nothing is claimed for a while */

/* work.c: from claim to finish */
[[nodiscard]] struct batch *batch_new(size_t max); /* for up to max jobs, with all that work_new() needs; NULL: no memory */
void batch_release(struct batch *b); /* the caller's reference; the last one, or the last work, frees */
struct work *work_new(struct engine *g, struct batch *b, size_t cap); /* room for cap jobs; those of all works are at most the batch's */
void work_add(struct work *w, struct claimed *c, const struct op *op);
void work_start(struct work *w); /* takes it: it runs, follows another, or is given back */
void work_release(struct work *w); /* one reference less; the last one frees */
void work_run_again(struct work *w); /* hands it to a job thread, or gives its jobs back when the engine is draining */
/* Hands in the end of one attempt; f without job, fence, worker and times. The last one of a work may free it. */
void work_finish(struct work *w, struct work_job *j, struct change_finish f);
/* Ends the attempt with an error: another one follows when that may help and attempts are left. */
/* Full jitter: anywhere between 100 ms and base * 2^(attempt-1), at most an hour, so that those who failed together do not come back together. */
int64_t work_backoff_ms(struct engine *g, uint64_t base_ms, uint32_t attempt);
void work_fail(struct work *w, struct work_job *j, int code, const struct err *e);
/* The same; if another attempt follows, then after pause_ms (0 = as usual). */
void work_fail_after(struct work *w, struct work_job *j, int code, const struct err *e, int64_t pause_ms);
/* The same also where another attempt is not known to help. */
void work_fail_again(struct work *w, struct work_job *j, int code, const struct err *e, int64_t pause_ms);
/* Back to the queue without counting: says nothing about the job. It is ready again after pause_ms. */
void work_give_back(struct work *w, struct work_job *j, int64_t pause_ms);
/* The store did not take what it made: the same with a pause that grows with each refusal. */
void work_refused(struct work *w, struct work_job *j, const struct err *e);
/* Ends the job with the error; nobody tries again by himself. */
void work_give_up(struct work *w, struct work_job *j, const struct err *e);
void work_finish_again(struct engine *g); /* scheduler thread: hands failed finishes in again */
/* Whether the jobs may go on: ERR_CANCELLED when one of them was cancelled, ERR_SHUTTING_DOWN, ERR_STALE. */
[[nodiscard]] int work_may_go_on(struct work *w, struct err *e);

/* flight.c */
bool flight_enter(struct work *w); /* false: the same is done already by another, which w follows now */
void flight_leave(
	struct work *w,
	const struct change *c); /* w's job has ended by c, or goes back to the queue: settles those that follow. Committer thread. */
bool flight_unfollow(struct work *w); /* under the scheduler's lock: true when it followed: it is the caller's now */

/* mill.c */
void mill_run(struct pool_task *t);
/* Ends the attempt by what the runner, or the way there, said; the output, if there is one, is stored. A job that is to run again stays as it is. */
void mill_conclude(struct work *w, struct work_job *j, int code, const struct err *e);
void mill_store_failed(struct work *w, struct work_job *j, const struct err *e); /* the store did not take what it made */

/* mill_input.c */
/* What some jobs work on, for the time of one runner_run(). */
struct mill_input {
	struct engine *g;
	struct buf bytes; /* of all inline files */
	size_t at[RUNNER_BATCH_MAX]; /* where the bytes of each begin */
	const struct claimed *last; /* equal neighbours share a descriptor or bytes */
	size_t n;
};
/* How many bytes will come inline: before the first open. */
void mill_input_reserve(struct mill_input *in, size_t bytes);
/* Gets what the next job works on; r borrows from it, its `input` from mill_input_ready() on. ERR_INPUT_GONE when its file was deleted. */
[[nodiscard]] int mill_input_open(struct mill_input *in, const struct claimed *c, struct runner_job *r, struct err *e);
void mill_input_ready(struct mill_input *in, struct runner_job *r);
void mill_input_release(struct mill_input *in, struct runner_job *r);

/* mill_output.c */
/* digests: bits of enum digest_algo; SHA-256 is always computed */
[[nodiscard]] int mill_output_new(struct mill_output **ret, struct engine *g, const struct claimed *c, unsigned digests, struct err *e);
int mill_output_write(void *arg, const void *data, size_t n, struct err *e); /* runner_job.output */
/* After the last byte: the digests are whole, and `row` says what it is; its texts lie in the arena. */
[[nodiscard]] int mill_output_finish(struct mill_output *o, const struct claimed *c, const struct op *op, struct arena *a, struct err *e);
[[nodiscard]] int mill_output_commit(struct mill_output *o, struct err *e); /* then: everything is on disk */
void mill_output_free(struct mill_output *o); /* what was written goes, if it is not durable yet; NULL is fine */

/* waits.c */
[[nodiscard]] int waits_start(struct engine *g, struct err *e);
void waits_signal(struct engine *g, struct uuid file); /* a job of the file became final */
void waits_look_again(struct engine *g); /* at every waiter: jobs of any file may have become final, or the engine stops */
void waits_stop(struct engine *g);

/* nodes.c */
[[nodiscard]] int nodes_start(struct engine *g, struct err *e);
void nodes_stop(struct engine *g);
bool engine_duty(const struct engine *g, enum duty d); /* is it this node's now? Any thread */
unsigned nodes_wants(const struct engine *g); /* duties that this node could do */
void nodes_hold(struct engine *g, unsigned duties); /* after a beat */
/* The incarnation under which what is begun now is known to others; zero: none, others do not know of it. ERR_CATALOG_UNAVAILABLE: they should and cannot. */
[[nodiscard]] int nodes_worker(struct engine *g, struct uuid *ret, struct err *e);
/* No upload that others may not know of has an id of an earlier time; INT64_MIN: nobody can say. For the sweep. */
int64_t nodes_uploads_since(struct engine *g);

/* limiters.c */
void limiters_stop(struct engine *g);

/* events.c */
[[nodiscard]] int events_init(struct engine *g, struct err *e);
void events_release(struct engine *g);
[[nodiscard]] int events_start(struct engine *g, struct err *e);
/* A group was committed; committer thread, before anything of it is let go. */
void events_tell(struct engine *g, struct change *const *group, size_t n);
/* What other nodes committed; whole false: there may be more. The nodes' thread. */
void events_tell_news(struct engine *g, const struct news *list, size_t n, bool whole);
/* Tells what is new of the jobs of a work that runs, unless it is too soon: that they run, and how far they are. Its job thread. */
void events_tell_progress(struct work *w);
void events_end(struct engine *g); /* first half of a stop: every reader's stream ends */
void events_stop(struct engine *g);

/* janitor.c */
[[nodiscard]] int janitor_start(struct engine *g, struct err *e);
void janitor_stop(struct engine *g);
bool janitor_sweep(
	struct engine *g); /* removes the blobs that nobody needs; false: a backup holds them, or line_alone() does not hold. Any thread. */
void janitor_look_at_space(struct engine *g); /* sets space_low; any thread */

/* line.c, on the janitor's thread */
void line_begin(struct engine *g); /* before anything is removed */
/* Whether blobs may be removed as far as other catalogues go; `look`: by what is in the bucket now, which is a request. */
bool line_alone(struct engine *g, bool look);
bool line_tick(struct engine *g); /* does what is due; true: from now on blobs may be removed */

/* recurring.c */
[[nodiscard]] int recurring_start(struct engine *g, struct err *e);
void recurring_stop(struct engine *g);

/* scrub.c */
void scrub_init(struct scrub *s);
void scrub_release(struct scrub *s);
[[nodiscard]] int scrub_start(struct engine *g, struct err *e);
void scrub_stop(struct engine *g);
void scrub_resume(struct engine *g); /* the position is what the catalogue has */
/* What is due every quarter of a second: nothing, or a step; returns how many bytes were read. */
int64_t scrub_tick(struct engine *g);
/* Reads on, about `allowed` bytes; returns how many. */
int64_t scrub_step(struct engine *g, int64_t allowed);

/* audit.c */
[[nodiscard]] int audit_start(struct engine *g, struct err *e); /* the committer runs already */
void audit_tell(struct engine *g, struct change *const *group, size_t n); /* a group was committed; committer thread */
/* For a change that marks what is stored, or, why NULL, takes the mark away. */
[[nodiscard]] int audit_mark_of(struct engine *g, struct change *c, struct arena *a, const struct stored *s, const char *why,
				struct err *e);
void audit_stop(struct engine *g); /* writes what waits, then ends; before the committer */
void audit_release(struct engine *g);

/* outbox.c */
[[nodiscard]] int outbox_start(struct engine *g, struct err *e);
void outbox_kick(struct engine *g);
void outbox_stop(struct engine *g);

/* intake.c */
bool uploads_inflight(struct engine *g, struct uuid file);
bool uploads_any(struct engine *g); /* one is under way */
/* The earliest time in an id of those that write a blob, or before now; told to others: no id of an earlier time begins to write one any more. */
int64_t uploads_since(struct engine *g, int64_t now);
[[nodiscard]] int uploads_init(struct engine *g, struct err *e);
void uploads_wait_none(struct engine *g); /* until every open upload has ended */
void uploads_release(struct engine *g);

#endif
