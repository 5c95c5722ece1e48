/* Housekeeping: what is old enough is forgotten, a bounded number of rows a call. */
#include "catalog/sqlite/sq.h"

static int purge_simple(sqlite3_stmt *s, int64_t before, uint32_t max)
{
	sqlite3_bind_int64(s, 1, before);
	sqlite3_bind_int64(s, 2, max);
	return run(s);
}

static int run_with(sqlite3_stmt *s, int64_t number)
{
	sqlite3_bind_int64(s, 1, number);
	return run(s);
}

/* A job goes with its result and with the mark that its work need not be done again. */
static int purge_job(struct sq *q, int64_t job, int64_t key)
{
	sqlite3_stmt *s = q->stmt[W_ARTIFACT_DELETE];
	int rc = run_with(q->stmt[W_RESULT_DELETE], job);

	if (rc != SQLITE_OK)
		return rc;
	sqlite3_bind_int64(s, 1, key);
	sqlite3_bind_int64(s, 2, job);
	rc = run(s);
	return rc == SQLITE_OK ? run_with(q->stmt[W_JOB_DELETE], job) : rc;
}

struct tombstone {
	int64_t number;
	char owner[OWNER_MAX];
	size_t owner_len;
	uint8_t sha256[32];
};

static int purge_tombstone(struct sq *q, const struct tombstone *t)
{
	sqlite3_stmt *s = q->stmt[W_JOBS_OF_FILE];
	struct str owner = {t->owner, t->owner_len};
	bool row;
	int rc;

	/* One job at a time from the front: no cursor is open while rows go. */
	for (;;) {
		int64_t job = 0, key = 0;

		sqlite3_bind_int64(s, 1, t->number);
		rc = first(s, &row);
		if (row) {
			job = sqlite3_column_int64(s, 0);
			key = artifact_key(owner, col_str(s, 1), (uint32_t)sqlite3_column_int64(s, 2), col_str(s, 3), t->sha256);
		}
		sqlite3_reset(s);
		if (rc != SQLITE_OK || !row)
			break;
		rc = purge_job(q, job, key);
		if (rc != SQLITE_OK)
			break;
	}
	return rc == SQLITE_OK ? run_with(q->stmt[W_FILE_PURGE], t->number) : rc;
}

static int purge_tombstones(struct sq *q, int64_t before, uint32_t max)
{
	sqlite3_stmt *s = q->stmt[W_TOMBSTONES];
	bool row = true;
	int rc = SQLITE_OK;

	for (uint32_t i = 0; rc == SQLITE_OK && row && i < max; i++) {
		struct tombstone t = {};

		sqlite3_bind_int64(s, 1, before);
		sqlite3_bind_int64(s, 2, 1);
		rc = first(s, &row);
		if (row) {
			struct str owner = col_str(s, 1);

			t.number = sqlite3_column_int64(s, 0);
			t.owner_len = owner.len < sizeof(t.owner) ? owner.len : sizeof(t.owner);
			for (size_t k = 0; k < t.owner_len; k++)
				t.owner[k] = owner.p[k];
			col_sha256(s, 2, t.sha256);
		}
		sqlite3_reset(s);
		if (rc == SQLITE_OK && row)
			rc = purge_tombstone(q, &t);
	}
	return rc;
}

int sq_purge(struct sq *q, struct change *ch)
{
	const struct change_purge *p = &ch->purge;
	int rc = purge_simple(q->stmt[W_PURGE_IDEMPOTENCY], p->idempotency_before, p->max);

	if (rc == SQLITE_OK)
		rc = purge_tombstones(q, p->tombstones_before, p->max);
	if (rc == SQLITE_OK)
		rc = purge_simple(q->stmt[W_PURGE_WORKERS], p->workers_before, p->max);
	q->worker_number = 0; /* the remembered worker may be gone */
	return rc;
}
