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

/* What its jobs made and did was forgotten when the file was deleted. */
static int purge_tombstone(struct sq *q, int64_t file_number)
{
	static const enum write_stmt STEPS[] = {W_RESULTS_PURGE, W_JOBS_PURGE, W_FILE_PURGE};
	int rc = SQLITE_OK;

	for (size_t i = 0; rc == SQLITE_OK && i < ARRAY_LEN(STEPS); i++)
		rc = run_with(q->stmt[STEPS[i]], file_number);
	return rc;
}

static int purge_tombstones(struct sq *q, int64_t before, uint32_t max)
{
	sqlite3_stmt *s = q->stmt[W_TOMBSTONES];
	bool row = true;
	int rc = SQLITE_OK;

	for (uint32_t i = 0; rc == SQLITE_OK && row && i < max; i++) {
		int64_t number = 0;

		sqlite3_bind_int64(s, 1, before);
		sqlite3_bind_int64(s, 2, 1);
		rc = first(s, &row);
		if (row)
			number = sqlite3_column_int64(s, 0);
		sqlite3_reset(s);
		if (rc == SQLITE_OK && row)
			rc = purge_tombstone(q, number);
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
		rc = purge_expired(q, p->tombstones_before, p->max);
	if (rc == SQLITE_OK)
		rc = purge_simple(q->stmt[W_PURGE_WORKERS], p->workers_before, p->max);
	if (rc == SQLITE_OK)
		rc = sq_purge_deliveries(q, p->deliveries_before, p->max);
	if (rc == SQLITE_OK)
		rc = sq_purge_once(q, p->once_before, p->max);
	if (rc == SQLITE_OK)
		rc = sq_purge_accounts(q, p->once_before, p->keys_before, p->max);
	q->worker_number = 0; /* the remembered worker may be gone */
	return rc;
}
