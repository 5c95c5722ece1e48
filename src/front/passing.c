/* The connection's worker takes what the reader has; when it has nothing a pool thread waits for it and wakes the connection. Only one of the two uses the reader at a time:
 * while `waiting` is set it is the pool thread. The answer may be over meanwhile: then the pool thread, when it has come back, frees all. */
#include "front/passing.h"
#include "base/err.h"
#include "rt/log.h"

#include <pthread.h>
#include <stdlib.h>

struct passing {
	struct http_source source;
	struct http_request *r;
	struct blob_reader *reader;
	struct pool *pool;
	struct pool_task task;
	pthread_mutex_t lock; /* guards the rest */
	bool waiting; /* a pool thread has the reader */
	bool over; /* nobody wants the bytes any more */
	bool failed;
};

static void forget(struct passing *p)
{
	blob_read_close(p->reader);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static void wait_for_bytes(struct pool_task *t)
{
	struct passing *p = CONTAINER_OF(t, struct passing, task);
	struct err e = ERR_INIT;
	const int rc = blob_read_wait(p->reader, &e);

	pthread_mutex_lock(&p->lock);
	p->waiting = false;
	p->failed = rc != 0;
	const bool over = p->over;
	if (!over) {
		if (rc != 0)
			log_err(LOG_ERROR, "download_broken", &e);
		/* Under the lock, so that the request is there still. */
		http_stream_wake(p->r);
	}
	pthread_mutex_unlock(&p->lock);
	if (over)
		forget(p);
}

static ssize_t give_bytes(struct http_source *s, char *dst, size_t max)
{
	struct passing *p = CONTAINER_OF(s, struct passing, source);
	struct err e = ERR_INIT;
	size_t n = 0;

	pthread_mutex_lock(&p->lock);
	const bool failed = p->failed, waiting = p->waiting, wait = !failed && !waiting && !blob_read_ready(p->reader);
	p->waiting |= wait;
	pthread_mutex_unlock(&p->lock);
	if (failed)
		return HTTP_STREAM_END;
	if (wait)
		pool_submit(p->pool, &p->task);
	if (wait || waiting)
		return 0;
	if (blob_read(p->reader, dst, max, &n, &e) != 0 || n == 0)
		return HTTP_STREAM_END;
	return (ssize_t)n;
}

static void end(struct http_source *s)
{
	struct passing *p = CONTAINER_OF(s, struct passing, source);

	pthread_mutex_lock(&p->lock);
	p->over = true;
	const bool waiting = p->waiting;
	pthread_mutex_unlock(&p->lock);
	if (!waiting)
		forget(p);
}

void passing_answer(struct http_request *r, int status, const char *content_type, struct blob_reader *reader, uint64_t length)
{
	struct passing *p = calloc(1, sizeof(*p));
	struct err e = ERR_INIT;

	if (p == NULL) {
		blob_read_close(reader);
		front_problem(r, err_set(&e, ERR_NO_MEMORY, "no memory for an answer"), &e);
		return;
	}
	p->source = (struct http_source){.read = give_bytes, .free = end};
	p->r = r;
	p->reader = reader;
	p->pool = engine_pool(front_engine(r));
	p->task.run = wait_for_bytes;
	pthread_mutex_init(&p->lock, NULL);
	http_reply_source(r, status, content_type, &p->source, length);
}
