/* Results that expire. What a job found and made goes, its rows stay as its tombstone until they are purged.
 *
 * A result is kept while a job that comes after it is still told: that job works on its output, or is known as work on it. So a chain goes from its end,
 * and the key of work that was done on an output can be reckoned as long as the work is there. */
#include "catalog/sqlite/sq.h"

/* Of EXPIRING; the strings are borrowed until it is reset. */
struct expiring {
	int64_t job;
	int64_t needed_until; /* 0 = it is not needed */
	bool succeeded;
	int64_t key;
};

static int next_expiring(struct sq *q, const struct change_expire_results *c, struct expiring *ret, bool *ret_row)
{
	sqlite3_stmt *s = q->stmt[W_EXPIRING];
	uint8_t sha256[32] = {};
	int rc;

	sqlite3_bind_int64(s, 1, c->now);
	sqlite3_bind_int64(s, 2, c->again_at);
	rc = first(s, ret_row);
	if (*ret_row) {
		if (!col_null(s, 6))
			col_sha256(s, 6, sha256);
		*ret = (struct expiring){
			.job = sqlite3_column_int64(s, 0),
			.needed_until = sqlite3_column_int64(s, 1),
			.succeeded = sqlite3_column_int(s, 2) == JOB_SUCCEEDED,
			.key = artifact_key(col_str(s, 7), col_str(s, 3), (uint32_t)sqlite3_column_int64(s, 4), col_str(s, 5), sha256),
		};
	}
	sqlite3_reset(s);
	return rc;
}

static int keep_until(struct sq *q, int64_t job, int64_t until)
{
	sqlite3_stmt *s = q->stmt[W_EXPIRE_LATER];

	sqlite3_bind_int64(s, 1, job);
	sqlite3_bind_int64(s, 2, until);
	return run(s);
}

static int expire(struct sq *q, const struct expiring *x, int64_t now, bool *ret_doomed)
{
	sqlite3_stmt *drop = q->stmt[W_ARTIFACT_DELETE], *mark = q->stmt[W_EXPIRE];
	int rc = SQLITE_OK;

	if (x->succeeded) {
		sqlite3_bind_int64(drop, 1, x->key);
		sqlite3_bind_int64(drop, 2, x->job);
		rc = run(drop);
	}
	if (rc == SQLITE_OK)
		rc = forget_outputs(q, q->stmt[W_OUTPUTS_OF_JOB_DELETE], x->job, now, ret_doomed);
	if (rc != SQLITE_OK)
		return rc;
	sqlite3_bind_int64(mark, 1, x->job);
	sqlite3_bind_int64(mark, 2, now);
	return run(mark);
}

int sq_expire_results(struct sq *q, struct change *ch)
{
	struct change_expire_results *c = &ch->expire_results;
	int rc = SQLITE_OK;

	c->expired = c->kept = 0;
	c->doomed = false;
	while (rc == SQLITE_OK && c->expired + c->kept < c->max) {
		struct expiring x = {};
		bool row;

		rc = next_expiring(q, c, &x, &row);
		if (rc != SQLITE_OK || !row)
			break;
		if (x.needed_until) {
			rc = keep_until(q, x.job, x.needed_until > c->now ? x.needed_until : c->now + 1);
			c->kept++;
		} else {
			rc = expire(q, &x, c->now, &c->doomed);
			c->expired++;
		}
	}
	return rc;
}

int purge_expired(struct sq *q, int64_t before, uint32_t max)
{
	sqlite3_stmt *s = q->stmt[W_EXPIRED_BEFORE];
	static const enum write_stmt STEPS[] = {W_RESULT_DELETE, W_JOB_DELETE};
	bool row = true;
	int rc = SQLITE_OK;

	for (uint32_t i = 0; rc == SQLITE_OK && row && i < max; i++) {
		int64_t job = 0;

		sqlite3_bind_int64(s, 1, before);
		rc = first(s, &row);
		if (row)
			job = sqlite3_column_int64(s, 0);
		sqlite3_reset(s);
		for (size_t k = 0; rc == SQLITE_OK && row && k < ARRAY_LEN(STEPS); k++) {
			sqlite3_bind_int64(q->stmt[STEPS[k]], 1, job);
			rc = run(q->stmt[STEPS[k]]);
		}
	}
	return rc;
}
