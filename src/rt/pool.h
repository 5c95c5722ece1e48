/* A fixed pool of threads for work that may block on disk. The queue is a list through the tasks themselves: it takes no memory,
 * and who submits bounds it. */
#ifndef FILEMILL_RT_POOL_H
#define FILEMILL_RT_POOL_H

#include "base/err.h"

#include <stddef.h>

struct pool;

/* The submitter owns the memory (embed it in your own struct) and must not touch it until `run` was called. */
struct pool_task {
	void (*run)(struct pool_task *t); /* called once on a pool thread; may free the struct */
	struct pool_task *next; /* the pool's */
};

/* `name` (at most 15 bytes, borrowed) names the threads. */
[[nodiscard]] int pool_new(struct pool **ret_pool, const char *name, unsigned threads, struct err *e);
/* Any thread, never blocks. Tasks start in the order of submission. */
void pool_submit(struct pool *p, struct pool_task *t);
size_t pool_waiting(struct pool *p);
/* Runs what was submitted, then ends the threads. NULL is fine. */
void pool_free(struct pool *p);

#endif
