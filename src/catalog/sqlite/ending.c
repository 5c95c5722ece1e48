/* Steps that several changes share: a job comes into being, a task ends. The tally is kept here and nowhere else, but for claims and retries. */
#include "catalog/sqlite/sq.h"

#include <assert.h>

void row_task(sqlite3_stmt *s, int first_column, struct task *ret)
{
	int i = first_column;

	ret->state = (enum job_state)sqlite3_column_int(s, i);
	ret->attempt = (uint32_t)sqlite3_column_int64(s, i + 1);
	ret->losses = (uint32_t)sqlite3_column_int64(s, i + 2);
	ret->fence = sqlite3_column_int64(s, i + 3);
	ret->run_at = sqlite3_column_int64(s, i + 4);
	ret->worker = sqlite3_column_int64(s, i + 5);
	ret->started_at = sqlite3_column_int64(s, i + 6);
	ret->cancel = sqlite3_column_int(s, i + 7);
	ret->lane = sqlite3_column_int64(s, i + 8);
	ret->priority = (uint32_t)sqlite3_column_int64(s, i + 9);
	ret->refused = (uint32_t)sqlite3_column_int64(s, i + 10);
}

static int insert_ending(sqlite3_stmt *s, const struct task *t, const struct ending *end)
{
	sqlite3_bind_int64(s, 1, t->job);
	sqlite3_bind_int(s, 2, (int)end->state);
	sqlite3_bind_int64(s, 3, t->attempt);
	sqlite3_bind_int64(s, 4, t->losses);
	sqlite3_bind_int64(s, 5, t->fence);
	sqlite3_bind_int64(s, 6, t->run_at);
	bind_time(s, 7, t->started_at);
	sqlite3_bind_int64(s, 8, end->finished_at);
	sqlite3_bind_int(s, 9, end->error);
	bind_str(s, 10, end->detail);
	bind_str(s, 11, end->result);
	sqlite3_bind_int(s, 12, end->cached);
	sqlite3_bind_int64(s, 13, (int64_t)end->n_outputs);
	return run(s);
}

int put_ending(struct sq *q, const struct task *t, const struct ending *end)
{
	sqlite3_stmt *add = q->stmt[W_RESULT_ADD];

	bind_time(add, 14, result_expires_at(&q->base.options, end->finished_at));
	int rc = insert_ending(add, t, end);
	if (rc == SQLITE_OK && q->base.options.outbox)
		rc = insert_ending(q->stmt[W_OUTBOX_ADD], t, end);
	if (rc == SQLITE_OK)
		rc = put_outputs(q, t->job, end->outputs, end->n_outputs);
	if (rc != SQLITE_OK)
		return rc;
	ends_add(&q->base, t->job, t->fence, end->finished_at, end->state);
	q->now.final[end->state]++;
	q->now_changed = true;
	return q->now.webhooks > 0 ? put_deliveries(q, t->job) : SQLITE_OK;
}

int end_task_alone(struct sq *q, const struct task *t, const struct ending *end)
{
	sqlite3_stmt *s = q->stmt[W_TASK_DELETE];
	int rc;

	assert(job_state_may(t->state, end->state) && job_state_final(end->state));
	sqlite3_bind_int64(s, 1, t->job);
	rc = run(s);
	if (rc != SQLITE_OK)
		return rc;
	if (t->state == JOB_QUEUED)
		q->now.waiting--;
	else
		q->now.running--;
	rc = t->state == JOB_QUEUED ? task_waits_no_more(q, t) : task_runs_no_more(q, t->lane);
	return rc == SQLITE_OK ? put_ending(q, t, end) : rc;
}

int end_task(struct sq *q, const struct task *t, const struct ending *end, uint32_t *ret_ready)
{
	int rc = end_task_alone(q, t, end);

	return rc == SQLITE_OK ? follow_end(q, t->job, end, ret_ready) : rc;
}

int end_cancelled(struct sq *q, const struct task *t, int64_t now)
{
	struct ending end = ending_cancelled(now);

	return end_task(q, t, &end, NULL);
}

static int put_task(struct sq *q, int64_t job, uint32_t priority, int64_t run_at, int64_t fence, int64_t lane)
{
	sqlite3_stmt *s = q->stmt[W_TASK_ADD];
	int rc;

	sqlite3_bind_int64(s, 1, job);
	sqlite3_bind_int64(s, 2, priority);
	sqlite3_bind_int64(s, 3, run_at);
	sqlite3_bind_int64(s, 4, fence);
	sqlite3_bind_int64(s, 5, lane);
	rc = run(s);
	if (rc != SQLITE_OK)
		return rc;
	q->now.waiting++;
	q->now_changed = true;
	return task_waits(q, lane, priority, run_at);
}

/* NULL for none; that a job is there was checked before, or it was inserted with this change. */
static int bind_after(struct sq *q, sqlite3_stmt *s, int i, const struct uuid *after)
{
	sqlite3_stmt *find = q->stmt[W_JOB_NUMBER];
	bool row;
	int rc;

	sqlite3_bind_null(s, i);
	if (uuid_is_zero(*after))
		return SQLITE_OK;
	bind_uuid(find, 1, after);
	rc = first(find, &row);
	if (row)
		sqlite3_bind_int64(s, i, sqlite3_column_int64(find, 0));
	sqlite3_reset(find);
	return rc == SQLITE_OK && !row ? SQLITE_CORRUPT : rc;
}

int put_job(struct sq *q, struct job *job, int64_t file_number, struct str owner, const struct ending *end)
{
	sqlite3_stmt *s = q->stmt[W_JOB_ADD];
	struct task t;
	int64_t lane;
	int rc = bind_after(q, s, 9, &job->after);

	if (rc != SQLITE_OK)
		return rc;
	bind_uuid(s, 1, &job->id);
	sqlite3_bind_int64(s, 2, file_number);
	bind_str(s, 3, job->op);
	sqlite3_bind_int64(s, 4, job->op_version);
	bind_str(s, 5, job->params);
	sqlite3_bind_int64(s, 6, job->priority);
	sqlite3_bind_int64(s, 7, job->max_attempts);
	sqlite3_bind_int64(s, 8, job->created_at);
	rc = run(s);
	if (rc != SQLITE_OK)
		return rc;
	job->number = sqlite3_last_insert_rowid(q->db);
	job->file_number = file_number;
	if (!end) {
		rc = task_lane(q, owner, job->op, &lane);
		return rc == SQLITE_OK ? put_task(q, job->number, job->priority, job->run_at, job->fence, lane) : rc;
	}
	t = (struct task){.job = job->number, .attempt = job->attempt, .run_at = job->run_at, .started_at = job->started_at};
	return put_ending(q, &t, end);
}

static int lane_of_job(struct sq *q, int64_t job, int64_t *ret)
{
	sqlite3_stmt *s = q->stmt[W_JOB_LANE];
	bool row;
	int rc;

	sqlite3_bind_int64(s, 1, job);
	rc = first(s, &row);
	if (rc == SQLITE_OK)
		rc = row ? task_lane(q, col_str(s, 0), col_str(s, 1), ret) : SQLITE_CORRUPT;
	sqlite3_reset(s);
	return rc;
}

int queue_again(struct sq *q, int64_t job, uint32_t priority, int64_t fence, int64_t run_at)
{
	sqlite3_stmt *drop = q->stmt[W_RESULT_DELETE];
	int64_t lane;
	int rc;

	sqlite3_bind_int64(drop, 1, job);
	rc = run(drop);
	if (rc != SQLITE_OK)
		return rc;
	rc = lane_of_job(q, job, &lane);
	return rc == SQLITE_OK ? put_task(q, job, priority, run_at, fence, lane) : rc;
}

int wait_again(struct sq *q, const struct task *t, int error, struct str detail)
{
	sqlite3_stmt *s = q->stmt[W_TASK_BACK];
	int rc;

	assert(job_state_may(t->state, JOB_QUEUED));
	sqlite3_bind_int64(s, 1, t->job);
	sqlite3_bind_int64(s, 2, t->run_at);
	sqlite3_bind_int64(s, 3, t->attempt);
	sqlite3_bind_int64(s, 4, t->losses);
	sqlite3_bind_int64(s, 5, t->fence);
	sqlite3_bind_int(s, 6, error);
	bind_str(s, 7, detail);
	sqlite3_bind_int64(s, 8, t->refused);
	rc = run(s);
	if (rc != SQLITE_OK)
		return rc;
	q->now.running--;
	q->now.waiting++;
	q->now_changed = true;
	rc = task_runs_no_more(q, t->lane);
	return rc == SQLITE_OK ? task_waits(q, t->lane, t->priority, t->run_at) : rc;
}

int worker_number(struct sq *q, struct uuid worker, int64_t now, int64_t *ret)
{
	sqlite3_stmt *s = q->stmt[now < 0 ? W_WORKER_NUMBER : W_WORKER_FIND];
	bool row;
	int rc;

	/* A worker's row number never changes; a batch of finishes asks for the same one again and again. */
	if (now < 0 && q->worker_number && uuid_eq(q->worker, worker)) {
		*ret = q->worker_number;
		return SQLITE_OK;
	}
	bind_uuid(s, 1, &worker);
	if (now >= 0)
		sqlite3_bind_int64(s, 2, now);
	rc = first(s, &row);
	*ret = row ? sqlite3_column_int64(s, 0) : 0;
	sqlite3_reset(s);
	if (rc == SQLITE_OK && row) {
		q->worker = worker;
		q->worker_number = *ret;
	}
	return rc;
}
