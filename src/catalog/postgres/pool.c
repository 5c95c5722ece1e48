/* Connections for reading: a free list behind a lock. A connection is used by one thread at a time; the lock is held for list work only. They are made when they are needed, at most
 * PG_READERS_MAX; one that was lost goes back without its connection and is opened anew by whoever takes it next. */
#include "base/patience.h"
#include "catalog/postgres/pg.h"

#include <stdlib.h>
#include <time.h>

#define WAIT_S 10 /* for a free one */

int pool_init(struct pg *q)
{
	pthread_condattr_t monotonic;

	pthread_mutex_init(&q->pool.lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&q->pool.changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return 0;
}

void pool_release(struct pg *q)
{
	struct pg_link *l, *next;

	for (l = q->pool.free; l; l = next) {
		next = l->next;
		link_close(l);
		free(l);
	}
	q->pool.free = NULL;
	pthread_mutex_destroy(&q->pool.lock);
	pthread_cond_destroy(&q->pool.changed);
}

/* One from the list, or a new one without a connection; NULL: there are as many as may be, and none became free. */
static struct pg_link *take(struct pg *q, struct err *e)
{
	struct pg_pool *p = &q->pool;
	struct pg_link *l = NULL;
	struct timespec until;
	int rc = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += WAIT_S;
	pthread_mutex_lock(&p->lock);
	while (!p->free && p->open >= PG_READERS_MAX && rc == 0)
		rc = pthread_cond_timedwait(&p->changed, &p->lock, &until);
	if (p->free) {
		l = p->free;
		p->free = l->next;
	} else if (p->open >= PG_READERS_MAX) {
		err_set(e, ERR_CATALOG_UNAVAILABLE, "every connection for reading is busy");
	} else if ((l = calloc(1, sizeof(*l)))) {
		l->pg = q;
		p->open++;
	} else {
		err_set(e, ERR_NO_MEMORY, "no memory for a connection");
	}
	pthread_mutex_unlock(&p->lock);
	return l;
}

int pg_reader_get(struct pg *q, struct pg_link **ret, struct err *e)
{
	struct err why = ERR_INIT;

	thread_waits();
	struct pg_link *l = take(q, &why);
	if (l)
		link_look(l);
	if (l && link_open(l, &why) != 0) {
		pg_reader_put(q, l);
		l = NULL;
	}
	if (!l) {
		if (e)
			*e = why;
		return why.code;
	}
	pg_fresh(l);
	*ret = l;
	return 0;
}

void pg_reader_put(struct pg *q, struct pg_link *r)
{
	pthread_mutex_lock(&q->pool.lock);
	r->next = q->pool.free;
	q->pool.free = r;
	pthread_cond_signal(&q->pool.changed);
	pthread_mutex_unlock(&q->pool.lock);
}

int pg_reader_begin(struct pg_link *r)
{
	return pg_send(r, R_BEGIN, NULL);
}

int pg_reader_end(struct pg_link *r)
{
	return pg_send(r, R_COMMIT, NULL);
}

/* Whatever transaction a failure left open ends with the connection: that is seldom, and no state to think of. */
int pg_reader_done(struct pg *q, struct pg_link *r, struct err *e)
{
	int rc = r->failure == PG_FINE ? pg_settle(r) : r->err.code;

	if (rc != 0 && e)
		*e = r->err;
	if (rc != 0)
		link_close(r);
	pg_reader_put(q, r);
	return rc;
}
