/* Connections for reading: a free list behind a lock. A connection is used by one thread at a time; the lock is held for list work only. */
#include "catalog/sqlite/sq.h"

#include <stdlib.h>

#define READERS_AT_START 2

static const char *const SQL[R_COUNT] = {
#define W_ROW(id, sql)
#define R_ROW(id, sql) [R_##id] = (sql),
#include "catalog/sqlite/statements.h"
#undef W_ROW
#undef R_ROW
};

/* The file is mapped: a page that a checkpoint has brought home is read without a copy. Little cache is needed beside that, and a commit empties it. */
static const char SETUP[] = "PRAGMA query_only = 1; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -4096; PRAGMA mmap_size = 2147418112";

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
		rc = sqlite3_busy_timeout(r->db, SQ_BUSY_MS);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(r->db, SETUP, NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sq_prepare(r->db, r->stmt, SQL, R_COUNT);
	if (rc != SQLITE_OK) {
		rc = sq_error(r->db, rc, e);
		reader_free(r);
		return rc;
	}
	*ret = r;
	return 0;
}

int readers_open(struct sq *q, struct err *e)
{
	struct reader *r;

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

int reader_get(struct sq *q, struct reader **ret, struct err *e)
{
	struct readers *p = &q->readers;
	int rc;

	pthread_mutex_lock(&p->lock);
	while (!p->free && p->open == READERS_MAX)
		pthread_cond_wait(&p->freed, &p->lock);
	*ret = p->free;
	if (p->free)
		p->free = p->free->next;
	else
		p->open++;
	pthread_mutex_unlock(&p->lock);
	if (*ret)
		return 0;
	rc = reader_new(q, ret, e);
	if (rc < 0) {
		pthread_mutex_lock(&p->lock);
		p->open--;
		pthread_cond_signal(&p->freed);
		pthread_mutex_unlock(&p->lock);
	}
	return rc;
}

void reader_put(struct sq *q, struct reader *r)
{
	struct readers *p = &q->readers;

	pthread_mutex_lock(&p->lock);
	r->next = p->free;
	p->free = r;
	pthread_cond_signal(&p->freed);
	pthread_mutex_unlock(&p->lock);
}
