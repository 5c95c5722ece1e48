/* Jobs that come into being: what they work on, whether they have to wait for it, whether the work was done before. */
#include "catalog/postgres/write.h"

#include <string.h>

#define LANE_TRIES 20 /* another node may take the number first */

/* ---- lanes ---- */

int lanes_learn(struct pg *q, const struct pg_rows *r)
{
	for (int i = 0; i < r->n; i++)
		if (!lanes_numbered(&q->lanes, pg_col_int(r, i, 0)) &&
		    !lanes_restore(&q->lanes, pg_col_int(r, i, 0), pg_col_str(r, i, 1), pg_col_str(r, i, 2)))
			return pg_no_memory(&q->link);
	return 0;
}

static void list_unknown_of(struct pg *q, struct str whose, const struct job *jobs, size_t n, struct pg_array *owner, struct pg_array *op)
{
	for (size_t i = 0; i < n && whose.p && jobs[i].op.p; i++)
		if (!lanes_find(&q->lanes, whose, jobs[i].op)) {
			array_str(owner, whose);
			array_str(op, jobs[i].op);
		}
}

static void list_unknown_of_file(struct pg *q, const struct file *f, struct pg_array *owner, struct pg_array *op)
{
	if (f)
		list_unknown_of(q, f->owner, f->jobs, f->n_jobs, owner, op);
}

/* The lanes that the changes name and we do not know yet. Nobody has looked at the changes yet: what is wrong with them is told later. */
static void list_unknown(struct pg *q, struct change *const *changes, size_t n, struct pg_array *owner, struct pg_array *op)
{
	for (size_t i = 0; i < n; i++) {
		const struct change *ch = changes[i];

		if (ch->kind == CHANGE_ADD_FILE)
			list_unknown_of_file(q, ch->add_file.file, owner, op);
		else if (ch->kind == CHANGE_ADD_FILES && ch->add_files.n <= FILES_AT_ONCE_MAX)
			for (size_t k = 0; k < ch->add_files.n; k++)
				list_unknown_of_file(q, ch->add_files.files[k].file, owner, op);
		else if (ch->kind == CHANGE_ADD_JOBS || ch->kind == CHANGE_RECURRING)
			list_unknown_of(q, ch->add_jobs.owner, ch->add_jobs.jobs, ch->add_jobs.n, owner, op);
	}
}

/* Each statement is a transaction of its own here: what was told once holds, whatever becomes of the batch. */
int lanes_ensure(struct pg *q, struct change *const *changes, size_t n)
{
	CLEANUP(array_release) struct pg_array owner = PG_ARRAY(PG_TEXT);
	CLEANUP(array_release) struct pg_array op = PG_ARRAY(PG_TEXT);
	int rc = 0;

	list_unknown(q, changes, n, &owner, &op);
	if (owner.n == 0)
		return 0;
	for (int i = 0; i < LANE_TRIES; i++) {
		CLEANUP(pg_rows_release) struct pg_rows r = {};
		struct pg_args add = {}, find = {};

		arg_array(&add, &owner);
		arg_array(&add, &op);
		rc = pg_ask(&q->link, W_LANES_ADD, &add, &r);
		if (rc != 0 && (q->link.failure == PG_CONSTRAINT || q->link.failure == PG_AGAIN)) {
			pg_fresh(&q->link);
			continue;
		}
		pg_rows_release(&r);
		arg_array(&find, &owner);
		arg_array(&find, &op);
		if (rc == 0)
			rc = pg_ask(&q->link, W_LANES_OF, &find, &r);
		return rc == 0 ? lanes_learn(q, &r) : rc;
	}
	return pg_fail_with(&q->link, ERR_CATALOG_UNAVAILABLE, "other nodes take every number of a lane first");
}

/* ---- the job before ---- */

static int input_from_row(struct change *ch, const struct pg_rows *r, struct str owner, int64_t file_number, struct job_input *ret)
{
	if (r->n == 0 || !str_eq(pg_col_str(r, 0, 1), owner))
		return change_refuse(ch, ERR_JOB_NOT_FOUND, "there is no job with the id in after");
	if (pg_col_int(r, 0, 0) != file_number)
		return change_other_file(ch);
	if (!pg_col_null(r, 0, 6))
		return change_refuse(ch, ERR_JOB_GONE, JOB_EXPIRED_DETAIL);
	if (pg_col_null(r, 0, 2) && !pg_col_bool(r, 0, 4))
		ret->held = true;
	else if (pg_col_int(r, 0, 2) == JOB_SUCCEEDED && pg_col_int(r, 0, 3) > 0)
		pg_col_sha256(r, 0, 5, ret->sha256);
	else
		return change_not_ready(ch);
	return 0;
}

static int find_input(struct pg *q, struct change *ch, const struct adding *add, size_t i, int64_t file_number, struct job_input *ret)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	const struct job *job = &add->jobs[i];
	struct pg_args a = {};

	for (size_t k = i; k > 0; k--)
		if (uuid_eq(add->jobs[k - 1].id, job->after))
			return job_input_from_list(ch, &add->jobs[k - 1], job, ret);
	arg_uuid(&a, &job->after);
	int rc = w_ask(q, W_JOB_BEFORE, &a, &r);
	return rc == 0 ? input_from_row(ch, &r, add->owner, file_number, ret) : rc;
}

/* ---- work done before ---- */

static int take_done(struct pg *q, const struct pg_rows *r, int row, int column, struct done *ret)
{
	bool oom = false;

	ret->number = pg_col_int(r, row, column);
	ret->result = pg_col_copy(r, row, column + 1, &q->scratch, &oom);
	ret->n_outputs = (size_t)pg_col_int(r, row, column + 2);
	return oom ? pg_no_memory(&q->link) : 0;
}

int find_done(struct pg *q, const struct wanted *list, size_t n)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_array c[] = {PG_ARRAY(PG_INT),  PG_ARRAY(PG_TEXT),  PG_ARRAY(PG_INT),
			       PG_ARRAY(PG_TEXT), PG_ARRAY(PG_BYTES), PG_ARRAY(PG_TEXT)};
	struct pg_args a = {};
	int rc = 0;

	for (size_t i = 0; i < n; i++) {
		const struct job *job = list[i].job;

		array_int(&c[0], artifact_key(list[i].owner, job->op, job->op_version, job->params, list[i].sha256));
		array_str(&c[1], job->op);
		array_int(&c[2], job->op_version);
		array_str(&c[3], job->params);
		array_bytes(&c[4], list[i].sha256, 32);
		array_str(&c[5], list[i].owner);
	}
	for (size_t i = 0; i < ARRAY_LEN(c); i++)
		arg_array(&a, &c[i]);
	if (n > 0)
		rc = w_ask(q, W_DONE_ELSEWHERE, &a, &r);
	for (size_t i = 0; i < ARRAY_LEN(c); i++)
		array_release(&c[i]);
	for (int i = 0; rc == 0 && i < r.n; i++) {
		int64_t at = pg_col_int(&r, i, 0) - 1;

		if (at >= 0 && (size_t)at < n)
			rc = take_done(q, &r, i, 1, list[at].done);
	}
	return rc;
}

static int find_done_on_file(struct pg *q, const struct job *job, int64_t file_number, struct done *ret)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args a = {};

	arg_int(&a, file_number);
	arg_str(&a, job->op);
	arg_int(&a, job->op_version);
	arg_str(&a, job->params);
	int rc = w_ask(q, W_DONE_ON_FILE, &a, &r);
	return rc == 0 && r.n ? take_done(q, &r, 0, 0, ret) : rc;
}

static int done_before(struct pg *q, const struct adding *add, size_t i, int64_t file_number, const uint8_t sha256[32], struct done *ret)
{
	struct job *job = &add->jobs[i];
	int rc = 0;

	if (add->done && uuid_is_zero(job->after)) {
		*ret = add->done[i];
		return 0;
	}
	if (file_number && uuid_is_zero(job->after))
		rc = find_done_on_file(q, job, file_number, ret);
	if (rc == 0 && !ret->number && !job->own_name)
		rc = find_done(q, &(struct wanted){job, add->owner, sha256, ret}, 1);
	return rc;
}

static int take_result(struct pg *q, struct job *job, const struct done *done, struct arena *a)
{
	job->result = done->result;
	job->n_outputs = done->n_outputs;
	if (job->result.p && a != &q->scratch) {
		job->result = arena_str(a, job->result);
		if (!job->result.p)
			return pg_no_memory(&q->link);
	}
	return pg_rows_outputs(&q->link, W_OUTPUTS, done->number, a, &job->outputs, &job->n_outputs);
}

/* ---- settling ---- */

int pgw_settle_job(struct pg *q, struct change *ch, const struct adding *add, size_t i, int64_t file_number, const uint8_t sha256[32])
{
	struct job *job = &add->jobs[i];
	struct job_input in = {};
	struct done done = {};
	int rc = 0;

	job_settle_waiting(job);
	if (uuid_is_zero(job->after))
		memcpy(in.sha256, sha256, sizeof(in.sha256));
	else
		rc = find_input(q, ch, add, i, file_number, &in);
	if (rc != 0 || ch->code)
		return rc;
	if (in.held) {
		job->run_at = RUN_AT_HELD;
		return 0;
	}
	rc = done_before(q, add, i, file_number, in.sha256, &done);
	if (rc != 0 || !done.number)
		return rc;
	rc = take_result(q, job, &done, add->arena ? add->arena : &q->scratch);
	if (rc == 0)
		job_settle_done(job);
	return rc;
}

/* That a job is there was checked before, or it is further up in the list and has its number. */
static int number_of_after(struct pg *q, const struct adding *add, size_t i, int64_t *ret)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	const struct uuid *after = &add->jobs[i].after;
	struct pg_args a = {};

	*ret = 0;
	if (uuid_is_zero(*after))
		return 0;
	for (size_t k = i; k > 0; k--)
		if (uuid_eq(add->jobs[k - 1].id, *after)) {
			*ret = add->jobs[k - 1].number;
			return 0;
		}
	arg_uuid(&a, after);
	int rc = w_ask(q, W_JOB_NUMBER, &a, &r);
	if (rc == 0 && r.n == 0)
		return pg_fail_with(&q->link, ERR_DAMAGED, "the job before is gone");
	*ret = rc == 0 ? pg_col_int(&r, 0, 0) : 0;
	return rc;
}

int pgw_put_settled(struct pg *q, const struct adding *add, size_t i, int64_t file_number)
{
	struct job *job = &add->jobs[i];
	struct ending end = {.state = job->state,
			     .error = job->error,
			     .detail = job->error_detail,
			     .result = job->result,
			     .outputs = job->outputs,
			     .n_outputs = job->n_outputs,
			     .finished_at = job->finished_at,
			     .cached = job->cached};
	int64_t after = 0;
	int rc = number_of_after(q, add, i, &after);

	job->expires_at = job->state == JOB_QUEUED ? 0 : result_expires_at(&q->base.options, job->finished_at);
	return rc == 0 ? pgw_put_job(q, job, file_number, add->owner, after, job->state == JOB_QUEUED ? NULL : &end) : rc;
}

/* ---- jobs on stored files ---- */

/* Finds the job's file, and whether the work was done before; changes nothing. */
static int look_up(struct pg *q, struct change *ch, const struct adding *add, size_t i)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct job *job = &add->jobs[i];
	struct pg_args a = {};
	uint8_t sha256[32];

	arg_uuid(&a, &job->file);
	int rc = w_ask(q, W_FILE_FIND, &a, &r);
	if (rc != 0)
		return rc;
	if (r.n == 0 || !str_eq(pg_col_str(&r, 0, 1), add->owner))
		return change_refuse(ch, ERR_FILE_NOT_FOUND, "there is no file with this id");
	if (!pg_col_null(&r, 0, 5))
		return change_refuse(ch, ERR_FILE_GONE, "the file was deleted");
	if (pg_col_int(&r, 0, 4) == LOCATION_COMING && uuid_is_zero(job->after))
		return change_still_coming(ch);
	job->file_number = pg_col_int(&r, 0, 0);
	pg_col_sha256(&r, 0, 3, sha256);
	return pgw_settle_job(q, ch, add, i, job->file_number, sha256);
}

static int check_room_at_file(struct pg *q, struct change *ch, size_t i)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	size_t n = change_jobs_before(&ch->add_jobs, i);
	struct pg_args a = {};

	arg_int(&a, ch->add_jobs.jobs[i].file_number);
	int rc = w_ask(q, W_FILE_JOB_COUNT, &a, &r);
	if (rc == 0 && r.n)
		n += (size_t)pg_col_int(&r, 0, 0);
	return rc == 0 && n >= JOBS_A_FILE_MAX ? change_file_full(ch) : rc;
}

/* All or nothing: every job is looked up before the first is written. */
int pgw_add_jobs(struct pg *q, struct change *ch)
{
	struct change_add_jobs *add = &ch->add_jobs;
	const struct adding list = {.owner = add->owner, .jobs = add->jobs, .arena = add->arena};
	struct queue_room room = {};
	uint64_t queued = 0;
	int rc = add->n ? queue_room(q, add->owner, &room) : 0;

	for (size_t i = 0; rc == 0 && i < add->n; i++) {
		rc = look_up(q, ch, &list, i);
		if (rc == 0 && !ch->code)
			rc = check_room_at_file(q, ch, i);
		if (rc != 0 || ch->code) {
			add->failed_index = i;
			return rc;
		}
		queued += add->jobs[i].state == JOB_QUEUED;
		if (!change_has_room(&q->base, ch, room.waiting, room.waiting_of_owner, room.own, queued, add->n - i - 1)) {
			add->failed_index = i;
			return 0;
		}
	}
	for (size_t i = 0; rc == 0 && i < add->n; i++)
		rc = pgw_put_settled(q, &list, i, add->jobs[i].file_number);
	return rc;
}
