/* What jobs made, and blobs whose bytes have to go. A row of output is a reference to its blob. References are taken by copying rows that are there; when
 * the last one goes, the blob is doomed in the same transaction. So nothing can come to refer to a doomed blob: there is no row left to copy. */
#include "catalog/sqlite/sq.h"

int put_outputs(struct sq *q, int64_t job, const struct output *outputs, size_t n)
{
	sqlite3_stmt *s = q->stmt[W_OUTPUT_ADD];
	int rc = SQLITE_OK;

	for (size_t i = 0; rc == SQLITE_OK && i < n; i++) {
		const struct output *o = &outputs[i];

		sqlite3_bind_int64(s, 1, job);
		sqlite3_bind_int64(s, 2, (int64_t)i);
		bind_str(s, 3, o->name);
		bind_str(s, 4, o->type);
		sqlite3_bind_int64(s, 5, (int64_t)o->size);
		sqlite3_bind_blob(s, 6, o->sha256, sizeof(o->sha256), SQLITE_STATIC);
		bind_str(s, 7, o->blob);
		rc = run(s);
	}
	return rc;
}

int doom_blob(struct sq *q, struct str blob, int64_t now, bool *ret_doomed)
{
	sqlite3_stmt *used = q->stmt[W_OUTPUT_USED], *doom = q->stmt[W_DOOM];
	bool row;
	int rc;

	bind_str(used, 1, blob);
	rc = first(used, &row);
	sqlite3_reset(used);
	if (rc != SQLITE_OK || row)
		return rc;
	bind_str(doom, 1, blob);
	sqlite3_bind_int64(doom, 2, now);
	if (ret_doomed)
		*ret_doomed = true;
	return run(doom);
}

/* All rows are deleted by the first step; then come their blobs, one a step. */
int forget_outputs(struct sq *q, sqlite3_stmt *s, int64_t number, int64_t now, bool *ret_doomed)
{
	int rc, doomed = SQLITE_OK;

	sqlite3_bind_int64(s, 1, number);
	while ((rc = sqlite3_step(s)) == SQLITE_ROW && doomed == SQLITE_OK)
		doomed = doom_blob(q, col_str(s, 0), now, ret_doomed);
	sqlite3_reset(s);
	if (doomed != SQLITE_OK)
		return doomed;
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* The keys of jobs that come after others need the outputs: before these go. */
static int forget_artifacts(struct sq *q, int64_t file_number)
{
	sqlite3_stmt *s = q->stmt[W_WORK_OF_FILE], *drop = q->stmt[W_ARTIFACT_DELETE];
	int rc, dropped = SQLITE_OK;

	sqlite3_bind_int64(s, 1, file_number);
	while (dropped == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		uint8_t sha256[32];

		col_sha256(s, 4, sha256);
		sqlite3_bind_int64(drop, 1,
				   artifact_key(col_str(s, 5), col_str(s, 1), (uint32_t)sqlite3_column_int64(s, 2), col_str(s, 3), sha256));
		sqlite3_bind_int64(drop, 2, sqlite3_column_int64(s, 0));
		dropped = run(drop);
	}
	sqlite3_reset(s);
	if (dropped != SQLITE_OK)
		return dropped;
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int forget_work(struct sq *q, int64_t file_number, int64_t now, bool *ret_doomed)
{
	int rc = forget_artifacts(q, file_number);

	return rc == SQLITE_OK ? forget_outputs(q, q->stmt[W_OUTPUTS_DELETE], file_number, now, ret_doomed) : rc;
}

int sq_blob_gone(struct sq *q, struct change *ch)
{
	sqlite3_stmt *s = q->stmt[W_DOOM_DONE];

	bind_str(s, 1, ch->blob_gone.blob);
	return run(s);
}

/* ---- reading ---- */

int sq_outputs(struct reader *r, struct arena *a, struct job *jobs, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		int rc = SQLITE_OK;

		if (jobs[i].n_outputs)
			rc = rows_outputs(r->stmt[R_OUTPUTS], jobs[i].number, a, &jobs[i].outputs, &jobs[i].n_outputs);
		if (rc != SQLITE_OK)
			return sq_error(r->db, rc, e);
	}
	return 0;
}
