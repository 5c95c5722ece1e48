/* The engine's inside, for src/engine only. Each part below is owned by one file and guarded by its own lock; no lock is held across a callback or I/O. */
#ifndef FILEMILL_ENGINE_ENGINE_IMPL_H
#define FILEMILL_ENGINE_ENGINE_IMPL_H

#include "engine/engine.h"

#include <pthread.h>
#include <stdatomic.h>

#define COMMIT_GROUP_MAX 1024 /* changes in one transaction */
#define COMMIT_BYTES_MAX (8u << 20) /* inline bytes in one transaction */
#define INTAKE_CHUNK (128u << 10) /* bytes handed to a pool thread at once; two such buffers a large upload */
#define CLAIM_MAX 256 /* jobs claimed at once */
#define INHAND_MAX 512 /* jobs claimed and not finished: what a crash can set back by one loss */
#define WAIT_BUCKETS 256
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
void sleeper_stop(struct sleeper *s); /* tells and joins; harmless when not running */
void sleeper_release(struct sleeper *s);

struct committer {
	pthread_mutex_t lock;
	pthread_cond_t cond; /* CLOCK_MONOTONIC */
	struct change *head, **tail; /* waiting, oldest first */
	size_t waiting;
	bool sleeping, stop;
	pthread_t thread;
	bool running;
};

/* One file's claimed jobs: one pass over its bytes serves them all. */
struct work {
	struct pool_task task;
	struct engine *g;
	struct claimed **jobs; /* of the batch's arena */
	size_t n;
	struct batch *batch;
	struct uuid worker; /* the incarnation that claimed them */
	_Atomic unsigned unfinished; /* finishes not yet committed */
	struct change *finishes; /* n of them, built by the job thread */
	struct buf *results; /* n */
	_Atomic bool cancelled; /* a client cancelled one of the jobs: stop early when it is the only one */
	struct work *next, *prev; /* scheduler's list of works in hand */
};

struct batch { /* jobs claimed together share one arena */
	struct arena arena;
	_Atomic unsigned works; /* not yet freed */
};

struct scheduler {
	struct sleeper sleeper;
	pthread_mutex_t lock; /* guards what follows */
	struct work *works; /* in hand */
	unsigned inhand; /* jobs */
	pthread_cond_t none; /* signalled when inhand becomes 0 */
	struct change *retries; /* finishes to be handed in again */
	struct uuid worker; /* this incarnation; scheduler thread only */
	_Atomic int64_t lease_until; /* mono ms; 0 = none. Running jobs stop at it. */
	bool registered; /* scheduler thread only */
	int64_t beat_wall, beat_mono; /* both clocks at the last beat that was taken; scheduler thread only */
	_Atomic bool maybe_ready; /* something was queued since the last empty claim */
	_Atomic bool draining;
};

struct waits {
	struct sleeper sleeper;
	pthread_mutex_t lock;
	struct engine_waiter *buckets[WAIT_BUCKETS];
	struct engine_waiter *poked; /* to be looked at, singly linked by `next` */
	size_t n; /* in buckets */
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
	struct running_key *keys;
	struct digest_set *spare[64]; /* kept for reuse */
	unsigned n_spare;
};

struct engine {
	struct engine_config config;
	struct env *env;
	struct catalog *catalog;
	struct blobs *blobs;
	struct pool *io, *jobs;
	struct uuid_gen ids;
	uint8_t cursor_key[16];
	struct arena strings;
	struct op_request *default_ops;
	size_t n_default_ops;
	const char *default_ops_text; /* in strings */
	_Atomic bool stopping, space_low;
	struct committer committer;
	struct scheduler scheduler;
	struct waits waits;
	struct uploads uploads;
	struct sleeper janitor, outbox;
	_Atomic bool doomed_waiting;
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

/* committer.c */
[[nodiscard]] int committer_start(struct engine *g, struct err *e);
void committer_stop(struct engine *g); /* commits what waits, then ends */
/* Applies one change and waits for it; returns its code. Not from the committer thread. */
[[nodiscard]] int engine_apply(struct engine *g, struct change *c);

/* scheduler.c */
[[nodiscard]] int scheduler_start(struct engine *g, struct err *e);
void scheduler_stop(struct engine *g, int64_t grace_ms);
void scheduler_kick(struct engine *g); /* a job was queued */
void scheduler_cancel_running(struct engine *g, struct uuid job);

/* work.c */
void work_run(struct pool_task *t);
void work_finish_again(struct engine *g); /* scheduler thread: hands failed finishes in again */
void work_give_back(struct work *w); /* not begun: back to the queue without counting */
void work_free(struct work *w);

/* waits.c */
[[nodiscard]] int waits_start(struct engine *g, struct err *e);
void waits_signal(struct engine *g, struct uuid file); /* a job of the file became final */
void waits_look_again(struct engine *g); /* at every waiter: jobs of any file may have become final, or the engine stops */
void waits_stop(struct engine *g);

/* janitor.c */
[[nodiscard]] int janitor_start(struct engine *g, struct err *e);
void janitor_stop(struct engine *g);

/* outbox.c */
[[nodiscard]] int outbox_start(struct engine *g, struct err *e);
void outbox_kick(struct engine *g);
void outbox_stop(struct engine *g);

/* intake.c */
bool uploads_inflight(struct engine *g, struct uuid file);
[[nodiscard]] int uploads_init(struct engine *g, struct err *e);
void uploads_wait_none(struct engine *g); /* until every open upload has ended */
void uploads_release(struct engine *g);

#endif
