/* Jobs that come into being: what they work on, whether they have to wait for it, whether the work was done before. */
#include "catalog/sqlite/sq.h"

#include <string.h>

/* ---- the job before ---- */

static int input_from_row(struct change *ch, sqlite3_stmt *s, struct str owner, int64_t file_number, struct job_input *ret)
{
	if (!str_eq(col_str(s, 1), owner))
		return change_refuse(ch, ERR_JOB_NOT_FOUND, "there is no job with the id in after");
	if (sqlite3_column_int64(s, 0) != file_number)
		return change_other_file(ch);
	if (!col_null(s, 6))
		return change_refuse(ch, ERR_JOB_GONE, JOB_EXPIRED_DETAIL);
	if (col_null(s, 2) && !sqlite3_column_int(s, 4))
		ret->held = true;
	else if (sqlite3_column_int(s, 2) == JOB_SUCCEEDED && sqlite3_column_int64(s, 3) > 0)
		col_sha256(s, 5, ret->sha256);
	else
		return change_not_ready(ch);
	return SQLITE_OK;
}

static int find_input(struct sq *q, struct change *ch, const struct adding *add, size_t i, int64_t file_number, struct job_input *ret)
{
	const struct job *job = &add->jobs[i];
	sqlite3_stmt *s = q->stmt[W_JOB_BEFORE];
	bool row;
	int rc;

	for (size_t k = i; k > 0; k--)
		if (uuid_eq(add->jobs[k - 1].id, job->after))
			return job_input_from_list(ch, &add->jobs[k - 1], job, ret);
	bind_uuid(s, 1, &job->after);
	rc = first(s, &row);
	if (row)
		input_from_row(ch, s, add->owner, file_number, ret);
	else if (rc == SQLITE_OK)
		change_refuse(ch, ERR_JOB_NOT_FOUND, "there is no job with the id in after");
	sqlite3_reset(s);
	return rc;
}

/* ---- work done before ---- */

/* An earlier job did the same work: what it brought. */
static int take_result(struct sq *q, sqlite3_stmt *s, struct arena *a, struct job *job, bool *ret_done)
{
	bool oom = false;
	int64_t number = 0;
	int rc = first(s, ret_done);

	if (*ret_done) {
		number = sqlite3_column_int64(s, 0);
		job->result = col_copy(s, 1, a, &oom);
		job->n_outputs = (size_t)sqlite3_column_int64(s, 2);
	}
	sqlite3_reset(s);
	if (oom)
		return SQLITE_NOMEM;
	return rc == SQLITE_OK && *ret_done ? rows_outputs(q->stmt[W_OUTPUTS], number, a, &job->outputs, &job->n_outputs) : rc;
}

static int done_before(struct sq *q, const struct adding *add, struct job *job, int64_t file_number, const uint8_t sha256[32],
		       bool *ret_done)
{
	sqlite3_stmt *here = q->stmt[W_DONE_ON_FILE], *elsewhere = q->stmt[W_DONE_ELSEWHERE];
	struct arena *a = add->arena ? add->arena : &q->scratch;
	int rc;

	if (file_number && uuid_is_zero(job->after)) {
		sqlite3_bind_int64(here, 1, file_number);
		bind_str(here, 2, job->op);
		sqlite3_bind_int64(here, 3, job->op_version);
		bind_str(here, 4, job->params);
		rc = take_result(q, here, a, job, ret_done);
		if (rc != SQLITE_OK || *ret_done)
			return rc;
	}
	if (job->own_name) {
		*ret_done = false;
		return SQLITE_OK;
	}
	sqlite3_bind_int64(elsewhere, 1, artifact_key(add->owner, job->op, job->op_version, job->params, sha256));
	bind_str(elsewhere, 2, job->op);
	sqlite3_bind_int64(elsewhere, 3, job->op_version);
	bind_str(elsewhere, 4, job->params);
	sqlite3_bind_blob(elsewhere, 5, sha256, 32, SQLITE_STATIC);
	bind_str(elsewhere, 6, add->owner);
	return take_result(q, elsewhere, a, job, ret_done);
}

/* ---- settling ---- */

int settle_job(struct sq *q, struct change *ch, const struct adding *add, size_t i, int64_t file_number, const uint8_t sha256[32])
{
	struct job *job = &add->jobs[i];
	struct job_input in = {};
	bool done = false;
	int rc = SQLITE_OK;

	job_settle_waiting(job);
	if (uuid_is_zero(job->after))
		memcpy(in.sha256, sha256, sizeof(in.sha256));
	else
		rc = find_input(q, ch, add, i, file_number, &in);
	if (rc != SQLITE_OK || ch->code)
		return rc;
	if (in.held) {
		job->run_at = RUN_AT_HELD;
		return SQLITE_OK;
	}
	rc = done_before(q, add, job, file_number, in.sha256, &done);
	if (rc == SQLITE_OK && done)
		job_settle_done(job);
	return rc;
}

int put_settled(struct sq *q, struct job *job, int64_t file_number, struct str owner)
{
	struct ending end = {.state = job->state,
			     .error = job->error,
			     .detail = job->error_detail,
			     .result = job->result,
			     .outputs = job->outputs,
			     .n_outputs = job->n_outputs,
			     .finished_at = job->finished_at,
			     .cached = job->cached};

	job->expires_at = job->state == JOB_QUEUED ? 0 : result_expires_at(&q->base.options, job->finished_at);
	return put_job(q, job, file_number, owner, job->state == JOB_QUEUED ? NULL : &end);
}

/* ---- jobs on stored files ---- */

/* Finds the job's file, and whether the work was done before; changes nothing. */
static int look_up(struct sq *q, struct change *ch, size_t i)
{
	const struct change_add_jobs *c = &ch->add_jobs;
	const struct adding add = {.owner = c->owner, .jobs = c->jobs, .arena = c->arena};
	struct job *job = &c->jobs[i];
	sqlite3_stmt *s = q->stmt[W_FILE_FIND];
	uint8_t sha256[32];
	bool row;
	int rc;

	bind_uuid(s, 1, &job->file);
	rc = first(s, &row);
	if (rc == SQLITE_OK && (!row || !str_eq(col_str(s, 1), c->owner)))
		change_refuse(ch, ERR_FILE_NOT_FOUND, "there is no file with this id");
	else if (rc == SQLITE_OK && !col_null(s, 5))
		change_refuse(ch, ERR_FILE_GONE, "the file was deleted");
	else if (rc == SQLITE_OK && sqlite3_column_int(s, 4) == LOCATION_COMING && uuid_is_zero(job->after))
		change_still_coming(ch);
	if (row) {
		job->file_number = sqlite3_column_int64(s, 0);
		col_sha256(s, 3, sha256);
	}
	sqlite3_reset(s);
	return rc == SQLITE_OK && !ch->code ? settle_job(q, ch, &add, i, job->file_number, sha256) : rc;
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
	uint64_t waiting_of_owner = add->n ? lanes_waiting_of(&q->lanes, add->owner, add->jobs[0].op) : 0, queued = 0;
	struct quotas own;
	int rc = owner_quotas(q, add->owner, &own);

	if (rc != SQLITE_OK)
		return rc;
	for (size_t i = 0; i < add->n; i++) {
		rc = look_up(q, ch, i);
		if (rc == SQLITE_OK && !ch->code)
			rc = check_room_at_file(q, ch, i);
		if (rc != SQLITE_OK || ch->code) {
			add->failed_index = i;
			return rc;
		}
		queued += add->jobs[i].state == JOB_QUEUED;
		if (!change_has_room(&q->base, ch, (uint64_t)q->now.waiting, waiting_of_owner, own, queued, add->n - i - 1)) {
			add->failed_index = i;
			return SQLITE_OK;
		}
	}
	for (size_t i = 0; rc == SQLITE_OK && i < add->n; i++)
		rc = put_settled(q, &add->jobs[i], add->jobs[i].file_number, add->owner);
	return rc;
}
