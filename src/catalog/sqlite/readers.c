/* Connections for reading: a free list behind a lock. A connection is used by one thread at a time; the lock is held for list work only.
 *
 * Beginning and ending a read transaction costs several system calls, nearly half of what a status read takes. So a connection keeps its transaction
 * until an epoch ends. The writer ends one with each commit, before it is acknowledged, so whoever was told of a commit reads it; and with each
 * checkpoint, because the log can begin anew only when nobody reads from it any more. What an idle connection still holds the writer ends itself,
 * before each batch and each checkpoint. */
#include "catalog/sqlite/sq.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>

#define READERS_AT_START 2

static const char *const SQL[R_COUNT] = {
#define W_ROW(id, sql)
#define R_ROW(id, sql) [R_##id] = (sql),
#include "catalog/sqlite/statements.h"
#undef W_ROW
#undef R_ROW
};

/* The file is not mapped: a page that the disk cannot give would be a SIGBUS for the whole server, and its pages would count as our memory (docs/adr/0009). */
static const char SETUP[] = "PRAGMA query_only = 1; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -4096; PRAGMA mmap_size = 0";

int sq_prepare(sqlite3 *db, sqlite3_stmt **stmts, const char *const *sql, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int rc = sqlite3_prepare_v3(db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &stmts[i], NULL);

		if (rc != SQLITE_OK)
			return rc;
	}
	return SQLITE_OK;
}

static void reader_free(struct reader *r)
{
	for (size_t i = 0; i < R_COUNT; i++)
		sqlite3_finalize(r->stmt[i]);
	sqlite3_close(r->db);
	free(r);
}

static int reader_new(struct sq *q, struct reader **ret, struct err *e)
{
	struct reader *r = calloc(1, sizeof(*r));
	int rc;

	if (!r)
		return err_set(e, ERR_NO_MEMORY, "no memory for a connection");
	rc = sqlite3_open_v2(q->path, &r->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_db_config(r->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_busy_timeout(r->db, SQ_BUSY_MS);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(r->db, SETUP, NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sq_prepare(r->db, r->stmt, SQL, R_COUNT);
	if (rc != SQLITE_OK) {
		rc = sq_error(r->db, rc, e);
		assert(rc < 0);
		reader_free(r);
		return rc;
	}
	*ret = r;
	return 0;
}

int readers_open(struct sq *q, struct err *e)
{
	struct reader *r = NULL;

	for (unsigned i = 0; i < READERS_AT_START; i++) {
		int rc = reader_new(q, &r, e);

		if (rc < 0)
			return rc;
		r->next = q->readers.free;
		q->readers.free = r;
		q->readers.open++;
	}
	return 0;
}

void readers_close(struct sq *q)
{
	struct reader *r, *next;

	for (r = q->readers.free; r; r = next) {
		next = r->next;
		reader_free(r);
	}
	q->readers.free = NULL;
}

static void unpin(struct reader *r)
{
	if (r->pinned)
		sqlite3_reset(r->stmt[R_PIN]);
	r->pinned = false;
}

void readers_unpin(struct sq *q)
{
	pthread_mutex_lock(&q->readers.lock);
	for (struct reader *r = q->readers.free; r; r = r->next)
		unpin(r);
	pthread_mutex_unlock(&q->readers.lock);
}

bool readers_hold(struct sq *q, int64_t at_most_ms)
{
	struct readers *p = &q->readers;
	struct timespec until;
	bool held;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += at_most_ms * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&p->lock);
	p->held = true;
	while (p->in_use > 0 && pthread_cond_timedwait(&p->changed, &p->lock, &until) == 0)
		;
	if (p->in_use > 0) {
		p->held = false;
		pthread_cond_broadcast(&p->changed);
	}
	for (struct reader *r = p->free; p->held && r; r = r->next)
		unpin(r);
	held = p->held;
	pthread_mutex_unlock(&p->lock);
	return held;
}

void readers_release(struct sq *q)
{
	pthread_mutex_lock(&q->readers.lock);
	q->readers.held = false;
	pthread_cond_broadcast(&q->readers.changed);
	pthread_mutex_unlock(&q->readers.lock);
}

/* The epoch is read before the transaction begins: at worst it is taken for older than it is. */
static int pin(struct sq *q, struct reader *r)
{
	unsigned epoch = atomic_load(&q->readers.epoch);
	int rc;

	if (r->pinned && r->pinned_at == epoch)
		return SQLITE_OK;
	unpin(r);
	rc = sqlite3_step(r->stmt[R_PIN]);
	r->pinned = rc == SQLITE_ROW;
	r->pinned_at = epoch;
	if (r->pinned)
		return SQLITE_OK;
	sqlite3_reset(r->stmt[R_PIN]);
	return rc == SQLITE_DONE ? SQLITE_CORRUPT : rc;
}

/* Takes a connection from the list, or opens one more. */
static int take(struct sq *q, struct reader **ret, struct err *e)
{
	struct readers *p = &q->readers;
	int rc;

	pthread_mutex_lock(&p->lock);
	while (p->held || (!p->free && p->open == READERS_MAX))
		pthread_cond_wait(&p->changed, &p->lock);
	*ret = p->free;
	if (p->free)
		p->free = p->free->next;
	else
		p->open++;
	p->in_use++;
	pthread_mutex_unlock(&p->lock);
	if (*ret)
		return 0;
	rc = reader_new(q, ret, e);
	if (rc < 0) {
		pthread_mutex_lock(&p->lock);
		p->open--;
		p->in_use--;
		pthread_cond_broadcast(&p->changed);
		pthread_mutex_unlock(&p->lock);
	}
	return rc;
}

int reader_get(struct sq *q, struct reader **ret, struct err *e)
{
	int rc = take(q, ret, e);

	if (rc < 0)
		return rc;
	rc = pin(q, *ret);
	if (rc == SQLITE_OK)
		return 0;
	rc = sq_error((*ret)->db, rc, e);
	reader_put(q, *ret);
	return rc;
}

void reader_put(struct sq *q, struct reader *r)
{
	struct readers *p = &q->readers;

	pthread_mutex_lock(&p->lock);
	r->next = p->free;
	p->free = r;
	p->in_use--;
	if (p->held || p->in_use == READERS_MAX - 1)
		pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

int rows_ended(struct reader *r, sqlite3_stmt *s, int rc, bool oom, struct err *e)
{
	int ended = 0;

	if (oom)
		ended = rows_no_memory(e);
	else if (rc != SQLITE_OK && rc != SQLITE_ROW && rc != SQLITE_DONE)
		ended = sq_error(r->db, rc, e);
	sqlite3_reset(s);
	return ended;
}
