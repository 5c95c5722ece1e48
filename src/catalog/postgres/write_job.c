/* Changes of single jobs: they end, are cancelled and tried anew. Those that end are looked up many at once; what is left of an end that nothing comes after is gathered. */
#include "catalog/postgres/write.h"

#include <string.h>

/* ---- finishing ---- */

/* What JOBS_FINISHING knows; the strings are borrowed from the rows. */
struct finishing {
	struct task task;
	struct str op, params, owner;
	uint32_t version;
	uint8_t sha256[32]; /* of what it works on; meaningless while that is not there */
	bool import; /* brings its file's bytes */
	bool followed; /* jobs come after it */
};

static void row_finishing(const struct pg_rows *r, int row, struct finishing *ret)
{
	*ret = (struct finishing){
		.op = pg_col_str(r, row, 2),
		.version = (uint32_t)pg_col_int(r, row, 3),
		.params = pg_col_str(r, row, 4),
		.owner = pg_col_str(r, row, 5),
		.import = !pg_col_null(r, row, 8) && pg_col_int(r, row, 8) == pg_col_int(r, row, 1),
		.followed = pg_col_bool(r, row, 20),
	};
	pg_col_sha256(r, row, 7, ret->sha256);
	pgw_row_task(r, row, 9, &ret->task);
	ret->task.job = pg_col_int(r, row, 1);
}

static int give_back(struct pg *q, const struct change_finish *f, struct task *t)
{
	task_given_back(t, f);
	return pgw_wait_again(q, t, f->error, f->error_detail);
}

static void remember_artifact(struct pg *q, const struct finishing *job)
{
	struct pg_array *c = g_begin(q, G_ARTIFACTS);

	array_int(c++, artifact_key(job->owner, job->op, job->version, job->params, job->sha256));
	array_int(c++, job->task.job);
}

/* A job that somebody wanted cancelled ends as cancelled, however its attempt went; nobody will ask for what it made. */
static int finish_cancelled(struct pg *q, struct change_finish *f, const struct task *t)
{
	int64_t now = f->finished_at ? f->finished_at : t->started_at;
	int rc = pgw_end_cancelled(q, t, now);

	for (size_t i = 0; rc == 0 && i < f->n_outputs; i++)
		rc = pgw_doom_blob(q, f->outputs[i].blob, now, &f->doomed);
	return rc;
}

/* Takes over what another job found and made, if it did the same work and all of it is still there: what removes any of it runs alone. */
static int take_over(struct pg *q, struct change *ch, int64_t job, struct ending *end)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct output *outputs = NULL;
	struct pg_args a = {};
	bool oom = false;

	arg_uuid(&a, &ch->finish.same_as);
	arg_int(&a, job);
	int rc = w_ask(q, W_SAME_WORK, &a, &r);
	if (rc != 0)
		return rc;
	if (r.n == 0)
		return change_refuse(ch, ERR_CONFLICT, "the work of the other job is not there any more, or was other work");
	end->result = pg_col_copy(&r, 0, 1, &q->scratch, &oom);
	end->n_outputs = (size_t)pg_col_int(&r, 0, 2);
	if (oom)
		return pg_no_memory(&q->link);
	rc = pg_rows_outputs(&q->link, W_OUTPUTS, pg_col_int(&r, 0, 0), &q->scratch, &outputs, &end->n_outputs);
	end->outputs = outputs;
	end->cached = true;
	return rc;
}

/* What the import made is its file's content from here on. */
static int file_came(struct pg *q, const struct finishing *job, const struct output *o)
{
	struct pg_args a = {};

	arg_int(&a, job->task.job);
	arg_int(&a, (int64_t)o->size);
	arg_str(&a, o->type);
	arg_bytes(&a, o->sha256, sizeof(o->sha256));
	int rc = w_run(q, W_FILE_CAME, &a);
	return rc == 0 ? count_file(q, job->owner, 0, (int64_t)o->size) : rc;
}

static int finish_found(struct pg *q, struct change *ch, struct finishing *job)
{
	struct change_finish *f = &ch->finish;
	struct ending end = {.state = f->state,
			     .error = f->error,
			     .detail = f->error_detail,
			     .result = f->result,
			     .outputs = f->outputs,
			     .n_outputs = f->n_outputs,
			     .finished_at = f->finished_at};
	int rc = 0;

	if (f->started_at)
		job->task.started_at = f->started_at;
	if (job->task.cancel)
		return finish_cancelled(q, f, &job->task);
	if (f->state == JOB_QUEUED)
		return give_back(q, f, &job->task);
	if (!uuid_is_zero(f->same_as))
		rc = take_over(q, ch, job->task.job, &end);
	if (rc != 0 || ch->code)
		return rc;
	rc = job->followed ? pgw_end_task(q, &job->task, &end, &f->ready) : pgw_end_task_alone(q, &job->task, &end);
	if (rc != 0 || f->state != JOB_SUCCEEDED)
		return rc;
	if (job->import) /* what is fetched again may be something else: nobody takes it over */
		return end.n_outputs > 0 ? file_came(q, job, end.outputs) : 0;
	if (end.result.p || end.n_outputs)
		remember_artifact(q, job);
	return 0;
}

static int ask_finishing(struct pg *q, const struct placed *list, size_t n, struct pg_rows *ret)
{
	CLEANUP(array_release) struct pg_array id = PG_ARRAY(PG_UUID);
	CLEANUP(array_release) struct pg_array fence = PG_ARRAY(PG_INT);
	CLEANUP(array_release) struct pg_array worker = PG_ARRAY(PG_UUID);
	struct pg_args a = {};

	for (size_t i = 0; i < n; i++) {
		array_uuid(&id, list[i].ch->finish.job);
		array_int(&fence, list[i].ch->finish.fence);
		array_uuid(&worker, list[i].ch->finish.worker);
	}
	arg_array(&a, &id);
	arg_array(&a, &fence);
	arg_array(&a, &worker);
	return w_ask(q, W_JOBS_FINISHING, &a, ret);
}

static bool ended_before(const struct pg_rows *r, const bool *took_effect, int row)
{
	for (int i = 0; i < row; i++)
		if (took_effect[i] && pg_col_int(r, i, 1) == pg_col_int(r, row, 1))
			return true;
	return false;
}

static int finish_row(struct pg *q, struct change *ch, const struct pg_rows *r, int row, bool *took_effect)
{
	struct finishing job;

	ch->finish.file = pg_col_uuid(r, row, 6);
	if (pg_col_null(r, row, 9) || ended_before(r, took_effect, row))
		return change_refuse(ch, ERR_STALE, "another attempt holds the job, or it is final");
	row_finishing(r, row, &job);
	int rc = finish_found(q, ch, &job);
	took_effect[row] = rc == 0 && ch->code == 0;
	return rc;
}

int pgw_finish_all(struct pg *q, const struct placed *list, size_t n)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	bool *took_effect = arena_alloc(&q->scratch, n * sizeof(*took_effect));
	int rc = took_effect ? ask_finishing(q, list, n, &r) : pg_no_memory(&q->link), row = 0;

	for (size_t i = 0; rc == 0 && i < n; i++) {
		struct change *ch = list[i].ch;

		ends_of_change(&q->base, list[i].at);
		ch->finish.ready = 0;
		ch->finish.doomed = false;
		if (row < r.n && pg_col_int(&r, row, 0) == (int64_t)i + 1)
			rc = finish_row(q, ch, &r, row++, took_effect);
		else
			change_refuse(ch, ERR_STALE, "another attempt holds the job, or it is final");
	}
	return rc;
}

/* ---- by hand ---- */

/* What JOB_FIND knows; strings are borrowed from the rows. */
struct found {
	struct task task; /* state and fence also of a final job */
	uint32_t priority;
	int64_t after, lane;
	bool file_deleted, final;
	struct str owner;
};

/* Refuses what is not there or belongs to somebody else. */
static int find_own_job(struct pg *q, struct change *ch, struct found *ret)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct change_job_ref *ref = &ch->job_ref;
	struct pg_args a = {};

	ref->was_running = false;
	arg_uuid(&a, &ref->id);
	int rc = w_ask(q, W_JOB_FIND, &a, &r);
	if (rc != 0)
		return rc;
	if (r.n == 0 || !str_eq(pg_col_str(&r, 0, 6), ref->owner))
		return change_refuse(ch, ERR_JOB_NOT_FOUND, "there is no job with this id");
	*ret = (struct found){
		.priority = (uint32_t)pg_col_int(&r, 0, 4),
		.file_deleted = !pg_col_null(&r, 0, 7),
		.final = !pg_col_null(&r, 0, 8),
		.after = pg_col_int(&r, 0, 21),
		.lane = pg_col_int(&r, 0, 23),
		.owner = ref->owner,
	};
	if (!pg_col_null(&r, 0, 22) && !ret->file_deleted)
		return change_refuse(ch, ERR_JOB_GONE, JOB_EXPIRED_DETAIL);
	ref->file = pg_col_uuid(&r, 0, 5);
	pgw_row_task(&r, 0, 10, &ret->task);
	ret->task.job = pg_col_int(&r, 0, 0);
	if (ret->final) {
		ret->task.state = (enum job_state)pg_col_int(&r, 0, 8);
		ret->task.fence = pg_col_int(&r, 0, 9);
	}
	return 0;
}

int pgw_cancel(struct pg *q, struct change *ch)
{
	struct change_job_ref *ref = &ch->job_ref;
	struct found job = {};
	int rc = find_own_job(q, ch, &job);

	if (rc != 0 || ch->code)
		return rc;
	if (job.final)
		return change_refuse(ch, ERR_JOB_STATE, "the job is %s already", job_state_name(job.task.state));
	if (job.task.state == JOB_QUEUED)
		return pgw_end_cancelled(q, &job.task, ref->now);
	ref->was_running = true;
	return w_run_int(q, W_TASK_CANCEL, job.task.job);
}

static int queue_has_room(struct pg *q, struct change *ch, struct str owner)
{
	struct queue_room room;
	int rc = queue_room(q, owner, &room);

	if (rc == 0)
		(void)change_has_room(&q->base, ch, room.waiting, room.waiting_of_owner, room.own, 1, 0);
	return rc;
}

/* Attempts and losses count anew. */
int pgw_retry(struct pg *q, struct change *ch)
{
	struct change_job_ref *ref = &ch->job_ref;
	struct found job = {};
	int rc = find_own_job(q, ch, &job);

	if (rc != 0 || ch->code)
		return rc;
	if (!job_state_may(job.task.state, JOB_QUEUED) || !job.final)
		return change_refuse(ch, ERR_JOB_STATE, "the job is %s", job_state_name(job.task.state));
	if (job.file_deleted)
		return change_refuse(ch, ERR_FILE_GONE, "the job's file was deleted");
	if (job.after)
		rc = pgw_check_before(q, ch, job.after);
	if (rc == 0 && !ch->code)
		rc = queue_has_room(q, ch, job.owner);
	if (rc != 0 || ch->code)
		return rc;
	rc = pgw_queue_again(q, job.task.job, job.lane, job.priority, job.task.fence, ref->now);
	return rc == 0 ? pgw_hold_again(q, job.task.job) : rc;
}
