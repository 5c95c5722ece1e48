/* Steps that several changes share: a job comes into being, a task ends. What waits and runs is counted here and nowhere else, but for claims. */
#include "catalog/postgres/write.h"

#include <assert.h>

void pgw_row_task(const struct pg_rows *r, int row, int first_column, struct task *ret)
{
	int i = first_column;

	ret->state = (enum job_state)pg_col_int(r, row, i);
	ret->attempt = (uint32_t)pg_col_int(r, row, i + 1);
	ret->losses = (uint32_t)pg_col_int(r, row, i + 2);
	ret->fence = ret->read_fence = pg_col_int(r, row, i + 3);
	ret->run_at = pg_col_int(r, row, i + 4);
	ret->worker = pg_col_int(r, row, i + 5);
	ret->started_at = pg_col_int(r, row, i + 6);
	ret->cancel = pg_col_bool(r, row, i + 7);
	ret->lane = pg_col_int(r, row, i + 8);
	ret->priority = (uint32_t)pg_col_int(r, row, i + 9);
	ret->refused = (uint32_t)pg_col_int(r, row, i + 10);
}

static struct pg_array *gather_ending(struct pg *q, enum gathered g, const struct task *t, const struct ending *end)
{
	struct pg_array *c = g_begin(q, g);

	array_int(c++, t->job);
	array_int(c++, (int)end->state);
	array_int(c++, t->attempt);
	array_int(c++, t->losses);
	array_int(c++, t->fence);
	array_int(c++, t->run_at);
	array_time(c++, t->started_at);
	array_int(c++, end->finished_at);
	array_int(c++, end->error);
	array_str(c++, end->detail);
	array_str(c++, end->result);
	array_bool(c++, end->cached);
	array_int(c++, (int64_t)end->n_outputs);
	return c;
}

static void gather_outputs(struct pg *q, int64_t job, const struct output *outputs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct output *o = &outputs[i];
		struct pg_array *c = g_begin(q, G_OUTPUTS);

		array_int(c++, job);
		array_int(c++, (int64_t)i);
		array_str(c++, o->name);
		array_str(c++, o->type);
		array_int(c++, (int64_t)o->size);
		array_bytes(c++, o->sha256, sizeof(o->sha256));
		array_str(c++, o->blob);
	}
}

/* The job's result with its outputs, its outbox entry and its deliveries, counted. */
int pgw_put_ending(struct pg *q, const struct task *t, const struct ending *end)
{
	struct pg_array *expires = gather_ending(q, G_RESULTS, t, end);

	array_time(expires, result_expires_at(&q->base.options, end->finished_at));
	if (q->base.options.outbox)
		gather_ending(q, G_OUTBOX, t, end);
	gather_outputs(q, t->job, end->outputs, end->n_outputs);
	ends_add(&q->base, t->job, t->fence, end->finished_at, end->state);
	q->writes->tally.final[end->state]++;
	q->writes->tally.changed = true;
	return q->writes->webhooks ? pgw_put_deliveries(q, t->job) : 0;
}

int pgw_end_task_alone(struct pg *q, const struct task *t, const struct ending *end)
{
	struct pg_array *c = g_begin(q, G_ENDED_TASKS);

	assert(job_state_may(t->state, end->state) && job_state_final(end->state));
	array_int(c++, t->job);
	array_int(c++, (int)t->state);
	array_int(c++, t->read_fence);
	array_time(c++, t->worker);
	if (t->state == JOB_QUEUED)
		count_waiting(q, t->lane, -1);
	else
		count_running(q, t->lane, -1);
	return pgw_put_ending(q, t, end);
}

int pgw_end_task(struct pg *q, const struct task *t, const struct ending *end, uint32_t *ret_ready)
{
	int rc = pgw_end_task_alone(q, t, end);

	return rc == 0 ? pgw_follow_end(q, t->job, end, ret_ready) : rc;
}

int pgw_end_cancelled(struct pg *q, const struct task *t, int64_t now)
{
	struct ending end = ending_cancelled(now);

	return pgw_end_task(q, t, &end, NULL);
}

static void put_task(struct pg *q, int64_t job, int64_t lane, uint32_t priority, int64_t run_at, int64_t fence)
{
	struct pg_array *c = g_begin(q, G_TASKS);

	array_int(c++, job);
	array_int(c++, lane);
	array_int(c++, priority);
	array_int(c++, run_at);
	array_int(c++, fence);
	count_waiting(q, lane, 1);
}

int pgw_put_job(struct pg *q, struct job *job, int64_t file_number, struct str owner, int64_t after, const struct ending *end)
{
	const struct lane *lane = lanes_find(&q->lanes, owner, job->op);
	struct pg_array *c = g_begin(q, G_JOBS);
	struct task t;

	job->number = next_job_number(q);
	job->file_number = file_number;
	if (!lane || !job->number)
		return pg_fail_with(&q->link, ERR_INTERNAL, "a job without a lane or a number");
	array_int(c++, job->number);
	array_uuid(c++, job->id);
	array_int(c++, file_number);
	array_int(c++, lane->number);
	array_str(c++, job->op);
	array_int(c++, job->op_version);
	array_str(c++, job->params);
	array_int(c++, job->priority);
	array_int(c++, job->max_attempts);
	array_int(c++, job->created_at);
	array_time(c++, after);
	if (!end) {
		put_task(q, job->number, lane->number, job->priority, job->run_at, job->fence);
		return 0;
	}
	t = (struct task){.job = job->number, .attempt = job->attempt, .run_at = job->run_at, .started_at = job->started_at};
	return pgw_put_ending(q, &t, end);
}

int pgw_queue_again(struct pg *q, int64_t job, int64_t lane, uint32_t priority, int64_t fence, int64_t run_at)
{
	int rc = w_run_int(q, W_RESULT_DELETE, job);

	if (rc == 0)
		put_task(q, job, lane, priority, run_at, fence);
	return rc;
}

int pgw_wait_again(struct pg *q, const struct task *t, int error, struct str detail)
{
	struct pg_args a = {};

	assert(job_state_may(t->state, JOB_QUEUED));
	arg_int(&a, t->job);
	arg_int(&a, t->run_at);
	arg_int(&a, t->attempt);
	arg_int(&a, t->losses);
	arg_int(&a, t->fence);
	arg_int(&a, error);
	arg_str(&a, detail);
	arg_int(&a, t->refused);
	arg_int(&a, t->read_fence);
	count_running(q, t->lane, -1);
	count_waiting(q, t->lane, 1);
	return pg_send(&q->link, W_TASK_BACK, &a);
}

int pgw_worker_number(struct pg *q, struct uuid worker, int64_t now, int64_t *ret)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args a = {};

	arg_uuid(&a, &worker);
	if (now >= 0)
		arg_int(&a, now);
	int rc = w_ask(q, now < 0 ? W_WORKER_NUMBER : W_WORKER_FIND, &a, &r);
	*ret = rc == 0 && r.n ? pg_col_int(&r, 0, 0) : 0;
	return rc;
}
