/* Jobs that come after other jobs. A job is held (QUEUED, run_at RUN_AT_HELD) while the one before it has not ended, becomes ready when that one succeeds
 * with an output, and ends when that one ends in any other way; a held job never runs. So what is held always has a predecessor that is not final, and
 * only held jobs follow one that is not final or did not succeed, as long as they are not final themselves.
 *
 * Chains lie within one file, so JOBS_A_FILE_MAX bounds how many jobs one end can reach: a list on the stack instead of recursion. */
#include "catalog/sqlite/sq.h"

#include <assert.h>

/* Jobs reached so far; each is taken once, and those that come after it are added. */
struct reached {
	int64_t jobs[JOBS_A_FILE_MAX];
	size_t n, next;
};

static void reach(struct reached *r, int64_t job)
{
	assert(r->n < ARRAY_LEN(r->jobs));
	r->jobs[r->n++] = job;
}

static void reach_first(struct reached *r, int64_t job)
{
	r->n = r->next = 0; /* the list is long, and most jobs have none after them: it is not cleared */
	reach(r, job);
}

/* One job that waits for job number `before`. */
static int held_after(struct sq *q, int64_t before, struct task *ret, bool *ret_row)
{
	sqlite3_stmt *s = q->stmt[W_TASK_AFTER];
	int rc;

	sqlite3_bind_int64(s, 1, before);
	rc = first(s, ret_row);
	if (*ret_row) {
		ret->job = sqlite3_column_int64(s, 0);
		row_task(s, 1, ret);
	}
	sqlite3_reset(s);
	return rc;
}

static int end_all_after(struct sq *q, int64_t job, const struct ending *end)
{
	struct reached r;
	struct task t;
	int rc = SQLITE_OK;

	for (reach_first(&r, job); rc == SQLITE_OK && r.next < r.n;) {
		bool row;

		rc = held_after(q, r.jobs[r.next], &t, &row);
		if (rc != SQLITE_OK)
			return rc;
		if (!row) {
			r.next++;
			continue;
		}
		assert(t.run_at == RUN_AT_HELD);
		reach(&r, t.job);
		rc = end_task_alone(q, &t, end);
	}
	return rc;
}

static int release_after(struct sq *q, int64_t job, int64_t now, uint32_t *ret_ready)
{
	sqlite3_stmt *s = q->stmt[W_TASKS_RELEASE];
	uint32_t n = 0;
	int rc;

	sqlite3_bind_int64(s, 1, job);
	sqlite3_bind_int64(s, 2, now);
	for (; (rc = sqlite3_step(s)) == SQLITE_ROW; n++) {
		rc = task_released(q, sqlite3_column_int64(s, 0), (uint32_t)sqlite3_column_int(s, 1), now);
		if (rc != SQLITE_OK)
			break;
	}
	sqlite3_reset(s);
	if (ret_ready)
		*ret_ready = n;
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int follow_end(struct sq *q, int64_t job, const struct ending *end, uint32_t *ret_ready)
{
	struct ending next = ending_cancelled(end->finished_at);

	if (end->state == JOB_SUCCEEDED && end->n_outputs > 0)
		return release_after(q, job, end->finished_at, ret_ready);
	if (end->state != JOB_CANCELLED)
		next = (struct ending){
			.state = JOB_FAILED, .error = ERR_INPUT_FAILED, .detail = INPUT_FAILED_DETAIL, .finished_at = end->finished_at};
	return end_all_after(q, job, &next);
}

/* ---- tried anew ---- */

struct failed {
	int64_t job, fence;
	uint32_t priority;
};

static int failed_after(struct sq *q, int64_t before, struct failed *ret, bool *ret_row)
{
	sqlite3_stmt *s = q->stmt[W_FAILED_AFTER];
	int rc;

	sqlite3_bind_int64(s, 1, before);
	sqlite3_bind_int(s, 2, ERR_INPUT_FAILED);
	rc = first(s, ret_row);
	if (*ret_row) {
		ret->job = sqlite3_column_int64(s, 0);
		ret->priority = (uint32_t)sqlite3_column_int64(s, 1);
		ret->fence = sqlite3_column_int64(s, 2);
	}
	sqlite3_reset(s);
	return rc;
}

int hold_again(struct sq *q, int64_t job)
{
	struct failed f = {};
	struct reached r;
	int rc = SQLITE_OK;

	for (reach_first(&r, job); rc == SQLITE_OK && r.next < r.n;) {
		bool row;

		rc = failed_after(q, r.jobs[r.next], &f, &row);
		if (rc != SQLITE_OK)
			return rc;
		if (!row) {
			r.next++;
			continue;
		}
		reach(&r, f.job);
		rc = queue_again(q, f.job, f.priority, f.fence, RUN_AT_HELD);
	}
	return rc;
}

int check_before(struct sq *q, struct change *ch, int64_t before)
{
	sqlite3_stmt *s = q->stmt[W_RESULT_OUTPUTS];
	bool row, there;
	int rc;

	sqlite3_bind_int64(s, 1, before);
	rc = first(s, &row);
	there = row && sqlite3_column_int64(s, 0) > 0;
	sqlite3_reset(s);
	return rc == SQLITE_OK && !there ? change_not_ready(ch) : rc;
}
