/* Jobs that come after other jobs. A job is held (QUEUED, run_at RUN_AT_HELD) while the one before it has not ended, becomes ready when that one succeeds with an output, and ends when
 * that one ends in any other way; a held job never runs. Chains lie within one file, so JOBS_A_FILE_MAX bounds how many jobs one end can reach.
 *
 * Held tasks of one chain are touched by the end of the job before them only, and by changes that run alone (docs/adr/0037). */
#include "catalog/postgres/write.h"

#include <assert.h>

/* Jobs reached so far; each is taken once, and those that come after it are added. */
struct reached {
	int64_t jobs[JOBS_A_FILE_MAX + 1];
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

static int end_all_after(struct pg *q, int64_t job, const struct ending *end)
{
	struct reached r;
	int rc = 0;

	for (reach_first(&r, job); rc == 0 && r.next < r.n;) {
		CLEANUP(pg_rows_release) struct pg_rows rows = {};
		struct pg_args a = {};
		struct task t = {};

		arg_int(&a, r.jobs[r.next]);
		rc = w_ask(q, W_TASK_AFTER, &a, &rows);
		if (rc != 0)
			return rc;
		if (rows.n == 0) {
			r.next++;
			continue;
		}
		t.job = pg_col_int(&rows, 0, 0);
		pgw_row_task(&rows, 0, 1, &t);
		assert(t.run_at == RUN_AT_HELD);
		reach(&r, t.job);
		rc = pgw_end_task_alone(q, &t, end);
	}
	return rc;
}

static int release_after(struct pg *q, int64_t job, int64_t now, uint32_t *ret_ready)
{
	CLEANUP(pg_rows_release) struct pg_rows rows = {};
	struct pg_args a = {};

	arg_int(&a, job);
	arg_int(&a, now);
	int rc = w_ask(q, W_TASKS_RELEASE, &a, &rows);
	if (rc == 0 && ret_ready)
		*ret_ready = (uint32_t)pg_changed(&rows);
	return rc;
}

int pgw_follow_end(struct pg *q, int64_t job, const struct ending *end, uint32_t *ret_ready)
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

int pgw_hold_again(struct pg *q, int64_t job)
{
	struct reached r;
	int rc = 0;

	for (reach_first(&r, job); rc == 0 && r.next < r.n;) {
		CLEANUP(pg_rows_release) struct pg_rows rows = {};
		struct pg_args a = {};

		arg_int(&a, r.jobs[r.next]);
		arg_int(&a, ERR_INPUT_FAILED);
		rc = w_ask(q, W_FAILED_AFTER, &a, &rows);
		if (rc != 0)
			return rc;
		if (rows.n == 0) {
			r.next++;
			continue;
		}
		reach(&r, pg_col_int(&rows, 0, 0));
		rc = pgw_queue_again(q, pg_col_int(&rows, 0, 0), pg_col_int(&rows, 0, 1), (uint32_t)pg_col_int(&rows, 0, 2),
				     pg_col_int(&rows, 0, 3), RUN_AT_HELD);
	}
	return rc;
}

int pgw_check_before(struct pg *q, struct change *ch, int64_t before)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args a = {};

	arg_int(&a, before);
	int rc = w_ask(q, W_RESULT_OUTPUTS, &a, &r);
	return rc == 0 && (r.n == 0 || pg_col_int(&r, 0, 0) <= 0) ? change_not_ready(ch) : rc;
}
