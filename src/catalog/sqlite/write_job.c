/* Changes of single jobs: they are added, end, are cancelled and tried anew. */
#include "catalog/sqlite/sq.h"

#include <string.h>

/* ---- adding ---- */

/* An earlier job did the same work: *ret_done and job->result. */
static int take_result(sqlite3_stmt *s, struct arena *a, struct job *job, bool *ret_done)
{
	bool oom = false;
	int rc = first(s, ret_done);

	if (*ret_done)
		job->result = col_copy(s, 0, a, &oom);
	sqlite3_reset(s);
	return oom ? SQLITE_NOMEM : rc;
}

static int done_before(struct sq *q, struct change_add_jobs *add, struct job *job, const uint8_t sha256[32], bool *ret_done)
{
	sqlite3_stmt *here = q->stmt[W_DONE_ON_FILE], *elsewhere = q->stmt[W_DONE_ELSEWHERE];
	struct arena *a = add->arena ? add->arena : &q->scratch;
	int rc;

	sqlite3_bind_int64(here, 1, job->file_number);
	bind_str(here, 2, job->op);
	sqlite3_bind_int64(here, 3, job->op_version);
	bind_str(here, 4, job->params);
	rc = take_result(here, a, job, ret_done);
	if (rc != SQLITE_OK || *ret_done)
		return rc;
	sqlite3_bind_int64(elsewhere, 1, artifact_key(add->owner, job->op, job->op_version, job->params, sha256));
	bind_str(elsewhere, 2, job->op);
	sqlite3_bind_int64(elsewhere, 3, job->op_version);
	bind_str(elsewhere, 4, job->params);
	sqlite3_bind_blob(elsewhere, 5, sha256, 32, SQLITE_STATIC);
	bind_str(elsewhere, 6, add->owner);
	return take_result(elsewhere, a, job, ret_done);
}

/* Finds the job's file and whether the work was done before; changes nothing. */
static int look_up(struct sq *q, struct change *ch, struct job *job)
{
	struct change_add_jobs *add = &ch->add_jobs;
	sqlite3_stmt *s = q->stmt[W_FILE_FIND];
	uint8_t sha256[32];
	bool row, done = false;
	int rc;

	bind_uuid(s, 1, &job->file);
	rc = first(s, &row);
	if (rc == SQLITE_OK && (!row || !str_eq(col_str(s, 1), add->owner)))
		change_refuse(ch, ERR_FILE_NOT_FOUND, "there is no file with this id");
	else if (rc == SQLITE_OK && !col_null(s, 5))
		change_refuse(ch, ERR_FILE_GONE, "the file was deleted");
	if (row) {
		job->file_number = sqlite3_column_int64(s, 0);
		col_sha256(s, 3, sha256);
	}
	sqlite3_reset(s);
	if (rc != SQLITE_OK || ch->code)
		return rc;
	rc = done_before(q, add, job, sha256, &done);
	job->state = done ? JOB_SUCCEEDED : JOB_QUEUED;
	job->cached = done;
	job->attempt = job->losses = 0;
	job->fence = 0;
	job->started_at = job->finished_at = done ? job->created_at : 0;
	job->error = 0;
	job->error_detail = (struct str){};
	if (!done)
		job->result = (struct str){};
	return rc;
}

static int put_cached(struct sq *q, struct job *job)
{
	struct ending end = {.state = JOB_SUCCEEDED, .result = job->result, .finished_at = job->finished_at, .cached = true};

	return put_job(q, job, job->file_number, &end);
}

static int check_room_at_file(struct sq *q, struct change *ch, size_t i)
{
	const struct change_add_jobs *add = &ch->add_jobs;
	sqlite3_stmt *s = q->stmt[W_FILE_JOB_COUNT];
	size_t n = change_jobs_before(add, i);
	bool row;

	sqlite3_bind_int64(s, 1, add->jobs[i].file_number);
	int rc = first(s, &row);
	if (rc == SQLITE_OK && row)
		n += (size_t)sqlite3_column_int64(s, 0);
	sqlite3_reset(s);
	return rc == SQLITE_OK && n >= JOBS_A_FILE_MAX ? change_file_full(ch) : rc;
}

/* All or nothing: every job is looked up before the first is written. */
int sq_add_jobs(struct sq *q, struct change *ch)
{
	struct change_add_jobs *add = &ch->add_jobs;
	uint64_t limit = q->base.options.queue_max, queued = 0;
	int rc = SQLITE_OK;

	for (size_t i = 0; i < add->n; i++) {
		rc = look_up(q, ch, &add->jobs[i]);
		if (rc == SQLITE_OK && !ch->code)
			rc = check_room_at_file(q, ch, i);
		if (rc != SQLITE_OK || ch->code) {
			add->failed_index = i;
			return rc;
		}
		queued += add->jobs[i].state == JOB_QUEUED;
		if (limit && queued && (uint64_t)q->now.waiting + queued > limit) {
			add->failed_index = i;
			return change_queue_full(ch, limit);
		}
	}
	for (size_t i = 0; rc == SQLITE_OK && i < add->n; i++) {
		struct job *job = &add->jobs[i];

		rc = job->cached ? put_cached(q, job) : put_job(q, job, job->file_number, NULL);
	}
	return rc;
}

/* ---- a job by its id ---- */

/* What JOB_FIND knows; the strings are borrowed until the statement is reset. */
struct found {
	struct task task; /* state also of a final job */
	struct str op, params, owner;
	uint32_t version, priority;
	uint8_t sha256[32];
	struct uuid file;
	bool file_deleted, final;
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
	};
	col_sha256(s, 7, ret->sha256);
	row_task(s, 11, &ret->task);
	ret->task.job = sqlite3_column_int64(s, 0);
	if (ret->final) {
		ret->task.state = (enum job_state)sqlite3_column_int(s, 9);
		ret->task.fence = sqlite3_column_int64(s, 10);
	}
	return SQLITE_OK;
}

/* ---- finishing ---- */

static int give_back(struct sq *q, const struct change_finish *f, const struct task *t)
{
	sqlite3_stmt *s = q->stmt[W_TASK_BACK];
	int rc;

	sqlite3_bind_int64(s, 1, t->job);
	sqlite3_bind_int64(s, 2, f->give_back ? t->run_at : f->retry_at);
	sqlite3_bind_int64(s, 3, f->give_back ? t->attempt - 1 : t->attempt);
	sqlite3_bind_int64(s, 4, t->losses);
	sqlite3_bind_int64(s, 5, t->fence);
	sqlite3_bind_int(s, 6, f->error);
	bind_str(s, 7, f->error_detail);
	rc = run(s);
	if (rc == SQLITE_OK) {
		q->now.running--;
		q->now.waiting++;
		q->now_changed = true;
	}
	return rc;
}

static int remember_artifact(struct sq *q, int64_t job, int64_t key)
{
	sqlite3_stmt *s = q->stmt[W_ARTIFACT_ADD];

	sqlite3_bind_int64(s, 1, key);
	sqlite3_bind_int64(s, 2, job);
	return run(s);
}

/* A job that somebody wanted cancelled ends as cancelled, however its attempt went. */
static int finish_found(struct sq *q, const struct change_finish *f, struct found *job, int64_t key)
{
	struct ending end = {
		.state = f->state, .error = f->error, .detail = f->error_detail, .result = f->result, .finished_at = f->finished_at};
	int rc;

	if (f->started_at)
		job->task.started_at = f->started_at;
	if (job->task.cancel)
		return end_cancelled(q, &job->task, f->finished_at ? f->finished_at : job->task.started_at);
	if (f->state == JOB_QUEUED)
		return give_back(q, f, &job->task);
	rc = end_task(q, &job->task, &end);
	if (rc == SQLITE_OK && f->state == JOB_SUCCEEDED && f->result.p)
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
	return finish_found(q, f, &job, key);
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
	else if (rc == SQLITE_OK)
		ref->file = ret->file;
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

/* Attempts and losses count anew; the fence goes on growing, so that an attempt from before stays stale. */
int sq_retry(struct sq *q, struct change *ch)
{
	struct change_job_ref *ref = &ch->job_ref;
	sqlite3_stmt *drop = q->stmt[W_RESULT_DELETE], *add = q->stmt[W_TASK_ADD];
	struct found job = {};
	int rc = find_own_job(q, ch, &job);

	ref->was_running = false;
	if (rc != SQLITE_OK || ch->code)
		return rc;
	if (!job_state_may(job.task.state, JOB_QUEUED) || !job.final)
		return change_refuse(ch, ERR_JOB_STATE, "the job is %s", job_state_name(job.task.state));
	if (job.file_deleted)
		return change_refuse(ch, ERR_FILE_GONE, "the job's file was deleted");
	sqlite3_bind_int64(drop, 1, job.task.job);
	rc = run(drop);
	if (rc != SQLITE_OK)
		return rc;
	sqlite3_bind_int64(add, 1, job.task.job);
	sqlite3_bind_int64(add, 2, job.priority);
	sqlite3_bind_int64(add, 3, ref->now);
	sqlite3_bind_int64(add, 4, job.task.fence);
	rc = run(add);
	if (rc == SQLITE_OK) {
		q->now.waiting++;
		q->now_changed = true;
	}
	return rc;
}
