/* A fixed pool of threads for work that may block on disk. The queue is a list through the tasks themselves: it takes no memory,
 * and who submits bounds it. */
#ifndef FILEMILL_RT_POOL_H
#define FILEMILL_RT_POOL_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct pool;

/* The submitter owns the memory (embed it in your own struct) and must not touch it until `run` was called. */
struct pool_task {
	void (*run)(struct pool_task *t); /* called once on a pool thread; may free the struct */
	bool slow; /* may wait for a flush, or for somebody elsewhere: see pool_keep_free() */
	struct pool_task *next; /* the pool's */
};

/* `name` (at most 15 bytes, borrowed) names the threads. */
[[nodiscard]] int pool_new(struct pool **ret_pool, const char *name, unsigned threads, struct err *e);
/* Chooses among those that wait, of whom there is one at least: the place of the pointer to the one that is to run next. Called with the pool's lock held, by one thread at a time. */
typedef struct pool_task **pool_pick_fn(void *arg, struct pool_task **first);
/* Before the first task is submitted: tasks start in the order that this chooses, not in that of submission. */
void pool_pick_by(struct pool *p, pool_pick_fn *pick, void *arg);
/* Before the first task is submitted, and not where somebody picks: so many of the threads, fewer than all, are never in slow tasks; others start before these then. */
void pool_keep_free(struct pool *p, unsigned threads);
/* Any thread, never blocks. Tasks start in the order of submission, unless somebody picks. */
void pool_submit(struct pool *p, struct pool_task *t);
size_t pool_waiting(struct pool *p);
/* Runs what was submitted, then ends the threads. NULL is fine. */
void pool_free(struct pool *p);

#endif
