/* Changes of single jobs: they end, are cancelled and tried anew. */
#include "catalog/sqlite/sq.h"

/* ---- a job by its id ---- */

/* What JOB_FIND knows; the strings are borrowed until the statement is reset. */
struct found {
	struct task task; /* state also of a final job */
	struct str op, params, owner;
	uint32_t version, priority;
	uint8_t sha256[32]; /* of what it works on; meaningless while that is not there */
	int64_t after; /* row number, 0 = it works on the file */
	struct uuid file;
	uint64_t waiting_of_owner;
	bool file_deleted, final, expired;
	bool import; /* brings its file's bytes */
};

static int find_job(struct sq *q, const struct uuid *id, struct found *ret, bool *ret_row)
{
	sqlite3_stmt *s = q->stmt[W_JOB_FIND];
	int rc;

	bind_uuid(s, 1, id);
	rc = first(s, ret_row);
	if (rc != SQLITE_OK || !*ret_row)
		return rc;
	*ret = (struct found){
		.op = col_str(s, 1),
		.version = (uint32_t)sqlite3_column_int64(s, 2),
		.params = col_str(s, 3),
		.priority = (uint32_t)sqlite3_column_int64(s, 4),
		.file = col_uuid(s, 5),
		.owner = col_str(s, 6),
		.file_deleted = !col_null(s, 8),
		.final = !col_null(s, 9),
		.expired = !col_null(s, 23),
	};
	col_sha256(s, 7, ret->sha256);
	row_task(s, 11, &ret->task);
	ret->task.job = sqlite3_column_int64(s, 0);
	ret->after = sqlite3_column_int64(s, 22);
	ret->import = sqlite3_column_int64(s, 24) == ret->task.job;
	if (ret->final) {
		ret->task.state = (enum job_state)sqlite3_column_int(s, 9);
		ret->task.fence = sqlite3_column_int64(s, 10);
	}
	return SQLITE_OK;
}

/* ---- finishing ---- */

static int give_back(struct sq *q, const struct change_finish *f, struct task *t)
{
	task_given_back(t, f);
	return wait_again(q, t, f->error, f->error_detail);
}

static int remember_artifact(struct sq *q, int64_t job, int64_t key)
{
	sqlite3_stmt *s = q->stmt[W_ARTIFACT_ADD];

	sqlite3_bind_int64(s, 1, key);
	sqlite3_bind_int64(s, 2, job);
	return run(s);
}

/* A job that somebody wanted cancelled ends as cancelled, however its attempt went; nobody will ask for what it made. */
static int finish_cancelled(struct sq *q, struct change_finish *f, const struct task *t)
{
	int64_t now = f->finished_at ? f->finished_at : t->started_at;
	int rc = end_cancelled(q, t, now);

	for (size_t i = 0; rc == SQLITE_OK && i < f->n_outputs; i++)
		rc = doom_blob(q, f->outputs[i].blob, now, &f->doomed);
	return rc;
}

/* Takes over what another job found and made, if it did the same work and all of it is still there. */
static int take_over(struct sq *q, struct change *ch, int64_t job, struct ending *end)
{
	sqlite3_stmt *s = q->stmt[W_SAME_WORK];
	struct output *outputs = NULL;
	int64_t other = 0;
	bool row, oom = false;
	int rc;

	bind_uuid(s, 1, &ch->finish.same_as);
	sqlite3_bind_int64(s, 2, job);
	rc = first(s, &row);
	if (row) {
		other = sqlite3_column_int64(s, 0);
		end->result = col_copy(s, 1, &q->scratch, &oom);
		end->n_outputs = (size_t)sqlite3_column_int64(s, 2);
	}
	sqlite3_reset(s);
	if (oom)
		return SQLITE_NOMEM;
	if (rc == SQLITE_OK && !row)
		return change_refuse(ch, ERR_CONFLICT, "the work of the other job is not there any more, or was other work");
	if (rc == SQLITE_OK)
		rc = rows_outputs(q->stmt[W_OUTPUTS], other, &q->scratch, &outputs, &end->n_outputs);
	end->outputs = outputs;
	end->cached = true;
	return rc;
}

/* What the import made is its file's content from here on. */
static int file_came(struct sq *q, int64_t import, const struct output *o)
{
	sqlite3_stmt *s = q->stmt[W_FILE_CAME];
	int rc;

	sqlite3_bind_int64(s, 1, import);
	sqlite3_bind_int64(s, 2, (int64_t)o->size);
	bind_str(s, 3, o->type);
	sqlite3_bind_blob(s, 4, o->sha256, sizeof(o->sha256), SQLITE_STATIC);
	rc = run(s);
	if (rc == SQLITE_OK)
		rc = usage_came(q, import, o->size);
	q->now.file_bytes += (int64_t)o->size;
	q->now_changed = true;
	return rc;
}

static int finish_found(struct sq *q, struct change *ch, struct found *job, int64_t key)
{
	struct change_finish *f = &ch->finish;
	struct ending end = {.state = f->state,
			     .error = f->error,
			     .detail = f->error_detail,
			     .result = f->result,
			     .outputs = f->outputs,
			     .n_outputs = f->n_outputs,
			     .finished_at = f->finished_at};
	int rc = SQLITE_OK;

	if (f->started_at)
		job->task.started_at = f->started_at;
	if (job->task.cancel)
		return finish_cancelled(q, f, &job->task);
	if (f->state == JOB_QUEUED)
		return give_back(q, f, &job->task);
	if (!uuid_is_zero(f->same_as))
		rc = take_over(q, ch, job->task.job, &end);
	if (rc != SQLITE_OK || ch->code)
		return rc;
	rc = end_task(q, &job->task, &end, &f->ready);
	if (rc == SQLITE_OK && job->import) /* what is fetched again may be something else: nobody takes it over */
		return f->state == JOB_SUCCEEDED && end.n_outputs > 0 ? file_came(q, job->task.job, end.outputs) : SQLITE_OK;
	if (rc == SQLITE_OK && f->state == JOB_SUCCEEDED && (end.result.p || end.n_outputs))
		rc = remember_artifact(q, job->task.job, key);
	return rc;
}

int sq_finish(struct sq *q, struct change *ch)
{
	struct change_finish *f = &ch->finish;
	sqlite3_stmt *find = q->stmt[W_JOB_FIND];
	struct found job;
	int64_t worker, key = 0;
	bool row, mine = false;
	int rc = worker_number(q, f->worker, -1, &worker);

	f->ready = 0;
	f->doomed = false;
	if (rc != SQLITE_OK)
		return rc;
	rc = find_job(q, &f->job, &job, &row);
	if (rc == SQLITE_OK && row) {
		mine = worker && !job.final && job.task.state == JOB_RUNNING && job.task.fence == f->fence && job.task.worker == worker;
		key = artifact_key(job.owner, job.op, job.version, job.params, job.sha256);
		f->file = job.file;
	}
	sqlite3_reset(find);
	if (rc != SQLITE_OK)
		return rc;
	if (!mine)
		return change_refuse(ch, ERR_STALE, "another attempt holds the job, or it is final");
	return finish_found(q, ch, &job, key);
}

/* ---- by hand ---- */

/* Refuses what is not there or belongs to somebody else. */
static int find_own_job(struct sq *q, struct change *ch, struct found *ret)
{
	struct change_job_ref *ref = &ch->job_ref;
	bool row;
	int rc = find_job(q, &ref->id, ret, &row);

	if (rc == SQLITE_OK && (!row || !str_eq(ret->owner, ref->owner)))
		change_refuse(ch, ERR_JOB_NOT_FOUND, "there is no job with this id");
	else if (rc == SQLITE_OK && ret->expired && !ret->file_deleted)
		change_refuse(ch, ERR_JOB_GONE, JOB_EXPIRED_DETAIL);
	else if (rc == SQLITE_OK)
		ref->file = ret->file;
	if (rc == SQLITE_OK && row)
		ret->waiting_of_owner = lanes_waiting_of(&q->lanes, ret->owner, ret->op);
	sqlite3_reset(q->stmt[W_JOB_FIND]);
	return rc;
}

int sq_cancel(struct sq *q, struct change *ch)
{
	struct change_job_ref *ref = &ch->job_ref;
	sqlite3_stmt *s = q->stmt[W_TASK_CANCEL];
	struct found job = {};
	int rc = find_own_job(q, ch, &job);

	ref->was_running = false;
	if (rc != SQLITE_OK || ch->code)
		return rc;
	if (job.final)
		return change_refuse(ch, ERR_JOB_STATE, "the job is %s already", job_state_name(job.task.state));
	if (job.task.state == JOB_QUEUED)
		return end_cancelled(q, &job.task, ref->now);
	ref->was_running = true;
	sqlite3_bind_int64(s, 1, job.task.job);
	return run(s);
}

/* Attempts and losses count anew. */
int sq_retry(struct sq *q, struct change *ch)
{
	struct change_job_ref *ref = &ch->job_ref;
	struct found job = {};
	struct quotas own;
	int rc = find_own_job(q, ch, &job);

	ref->was_running = false;
	if (rc != SQLITE_OK || ch->code)
		return rc;
	if (!job_state_may(job.task.state, JOB_QUEUED) || !job.final)
		return change_refuse(ch, ERR_JOB_STATE, "the job is %s", job_state_name(job.task.state));
	if (job.file_deleted)
		return change_refuse(ch, ERR_FILE_GONE, "the job's file was deleted");
	if (job.after)
		rc = check_before(q, ch, job.after);
	if (rc != SQLITE_OK || ch->code)
		return rc;
	rc = owner_quotas(q, ref->owner, &own);
	if (rc != SQLITE_OK || !change_has_room(&q->base, ch, (uint64_t)q->now.waiting, job.waiting_of_owner, own, 1, 0))
		return rc;
	rc = queue_again(q, job.task.job, job.priority, job.task.fence, ref->now);
	return rc == SQLITE_OK ? hold_again(q, job.task.job) : rc;
}
