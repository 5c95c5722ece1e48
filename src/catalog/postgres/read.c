/* Point reads. A file is read with its jobs, and a job with its outputs, in one statement: a row for each output of each job. */
#include "catalog/postgres/reads.h"

/* ---- rows of several things at once ---- */

/* As many rows from *at on as have the same number in this column. */
static int rows_of_one(const struct pg_rows *r, int at, int col)
{
	int64_t number = pg_col_int(r, at, col);
	int n = 1;

	while (at + n < r->n && pg_col_int(r, at + n, col) == number)
		n++;
	return n;
}

static bool take_outputs(const struct pg_rows *r, int at, int n, struct arena *a, struct job *job)
{
	struct output *list = NULL;

	/* Of an end that was told before the job was tried again and succeeded, there are fewer. */
	if (job->n_outputs > 0 && !pg_col_null(r, at, 0))
		n = (size_t)n < job->n_outputs ? n : (int)job->n_outputs;
	else
		n = 0;
	job->n_outputs = (size_t)n;
	if (n > 0 && !(list = arena_alloc(a, (size_t)n * sizeof(*list))))
		return false;
	for (int i = 0; i < n; i++)
		if (!pg_row_output(r, at + i, a, &list[i]))
			return false;
	job->outputs = list;
	return true;
}

bool pg_take_job(const struct pg_rows *r, int *at, int job, int output, struct arena *a, struct job *ret)
{
	struct pg_rows columns = pg_rows_from(r, job), outputs = pg_rows_from(r, output);
	int first = *at;

	*at += rows_of_one(&columns, first, 0);
	return pg_row_job(&columns, first, a, ret) && take_outputs(&outputs, first, *at - first, a, ret);
}

/* The jobs of the n rows from `at` on; those whose results have expired are not told any more. */
static bool take_jobs(const struct pg_rows *r, int at, int n, struct arena *a, struct file *f)
{
	struct pg_rows columns = pg_rows_from(r, FILE_READ_JOB);
	int upto = at + n;

	if (pg_col_null(&columns, at, 0))
		return true;
	/* A row a job at most: what outputs take beside them is little. */
	f->jobs = arena_alloc(a, (size_t)n * sizeof(*f->jobs));
	if (!f->jobs)
		return false;
	while (at < upto) {
		if (!pg_col_null(&columns, at, JOB_EXPIRED)) {
			at += rows_of_one(&columns, at, 0);
			continue;
		}
		if (!pg_take_job(r, &at, FILE_READ_JOB, FILE_READ_OUTPUT, a, &f->jobs[f->n_jobs]))
			return false;
		f->jobs[f->n_jobs++].file = f->id;
	}
	return true;
}

bool pg_take_file(const struct pg_rows *r, int *at, struct arena *a, struct file *ret)
{
	int first = *at, n = rows_of_one(r, first, 0);

	*at += n;
	return pg_row_file(r, first, a, ret) && take_jobs(r, first, n, a, ret);
}

/* ---- files ---- */

int pg_file(struct catalog *c, struct file_key key, struct str owner, struct arena *a, struct file *ret, struct err *e)
{
	struct pg *q = CONTAINER_OF(c, struct pg, base);
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args args = {};
	struct file f = {};
	int at = 0, rc;

	if (key.number > 0)
		arg_int(&args, key.number);
	else
		arg_uuid(&args, &key.id);
	rc = pg_read(q, key.number > 0 ? R_FILE_BY_NUMBER : R_FILE_BY_ID, &args, &r, e);
	if (rc != 0)
		return rc;
	if (r.n == 0 || !owner_sees(owner, pg_col_str(&r, 0, FILE_OWNER)))
		return err_set(e, ERR_FILE_NOT_FOUND, "there is no file with this id");
	if (!pg_col_null(&r, 0, FILE_DELETED))
		return err_set(e, ERR_FILE_GONE, "the file was deleted");
	if (!pg_take_file(&r, &at, a, &f))
		return pg_nothing_read(e);
	*ret = f;
	return 0;
}

int pg_inline_bytes(struct catalog *c, struct uuid file, struct buf *out, struct err *e)
{
	struct pg *q = CONTAINER_OF(c, struct pg, base);
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args args = {};
	int rc;

	arg_uuid(&args, &file);
	rc = pg_read(q, R_BYTES, &args, &r, e);
	if (rc != 0)
		return rc;
	if (r.n == 0)
		return err_set(e, ERR_FILE_NOT_FOUND, "there are no bytes of this file");
	buf_add_str(out, pg_col_str(&r, 0, 0));
	return buf_ok(out) ? 0 : pg_nothing_read(e);
}

int pg_usage(struct catalog *c, struct str owner, struct usage *ret, struct err *e)
{
	struct pg *q = CONTAINER_OF(c, struct pg, base);
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args args = {};
	struct uuid account;
	int rc;

	arg_str(&args, owner);
	arg_uuid(&args, uuid_parse(&account, owner) ? &account : NULL);
	rc = pg_read(q, R_USAGE, &args, &r, e);
	if (rc != 0)
		return rc;
	*ret = (struct usage){
		.files = (uint64_t)pg_col_int(&r, 0, 0), .bytes = (uint64_t)pg_col_int(&r, 0, 1), .own = pg_row_quotas(&r, 0, 2)};
	return 0;
}

int pg_import_counts(struct catalog *c, struct str owner, struct import_counts *ret, struct err *e)
{
	struct pg *q = CONTAINER_OF(c, struct pg, base);
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args args = {};
	int rc;

	arg_str(&args, owner);
	rc = pg_read(q, R_IMPORT_COUNTS, &args, &r, e);
	if (rc != 0)
		return rc;
	uint64_t files = (uint64_t)pg_col_int(&r, 0, 0), coming = (uint64_t)pg_col_int(&r, 0, 1),
		 under_way = (uint64_t)pg_col_int(&r, 0, 2);
	*ret = (struct import_counts){.there = files - coming, .under_way = under_way, .missing = coming - under_way};
	return 0;
}

/* ---- jobs ---- */

/* By number, or by id where that is 0. */
static int ask_job(struct pg *q, struct uuid id, int64_t number, struct pg_rows *ret, struct err *e)
{
	struct pg_args args = {};

	if (number > 0)
		arg_int(&args, number);
	else
		arg_uuid(&args, &id);
	return pg_read(q, number > 0 ? R_JOB_BY_NUMBER : R_JOB_BY_ID, &args, ret, e);
}

static int take_read_job(const struct pg_rows *r, struct arena *a, struct job *ret, struct str *ret_owner, struct err *e)
{
	bool oom = false;
	struct job job = {};
	int at = 0;

	*ret_owner = pg_col_copy(r, 0, JOB_READ_OWNER, a, &oom);
	if (oom || !pg_take_job(r, &at, 0, JOB_READ_OUTPUT, a, &job))
		return pg_nothing_read(e);
	job.file = pg_col_uuid(r, 0, JOB_READ_FILE);
	*ret = job;
	return 0;
}

int pg_job(struct catalog *c, struct uuid id, int64_t number, struct str owner, struct arena *a, struct job *ret, struct err *e)
{
	struct pg *q = CONTAINER_OF(c, struct pg, base);
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct job job;
	struct str its_owner;
	int rc = ask_job(q, id, number, &r, e);

	if (rc != 0)
		return rc;
	if (r.n == 0 || !owner_sees(owner, pg_col_str(&r, 0, JOB_READ_OWNER)))
		return err_set(e, ERR_JOB_NOT_FOUND, "there is no job with this id");
	if (!pg_col_null(&r, 0, JOB_READ_DELETED))
		return err_set(e, ERR_JOB_GONE, "the job was deleted with its file");
	if (!pg_col_null(&r, 0, JOB_EXPIRED))
		return err_set(e, ERR_JOB_GONE, JOB_EXPIRED_DETAIL);
	rc = take_read_job(&r, a, &job, &its_owner, e);
	if (rc != 0)
		return rc;
	job.owner = its_owner;
	*ret = job;
	return 0;
}

int pg_ended_job(struct catalog *c, int64_t number, struct arena *a, struct job *ret, struct str *ret_owner, struct err *e)
{
	struct pg *q = CONTAINER_OF(c, struct pg, base);
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	int rc = ask_job(q, (struct uuid){}, number, &r, e);

	if (rc != 0)
		return rc;
	if (r.n == 0 || !pg_col_null(&r, 0, JOB_EXPIRED))
		return err_set(e, ERR_JOB_NOT_FOUND, "the job has expired or was purged");
	return take_read_job(&r, a, ret, ret_owner, e);
}

int pg_artifact(struct catalog *c, struct str owner, struct str op, uint32_t op_version, struct str params, const uint8_t sha256[32],
		struct uuid *ret, struct err *e)
{
	struct pg *q = CONTAINER_OF(c, struct pg, base);
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args args = {};
	int rc;

	arg_int(&args, artifact_key(owner, op, op_version, params, sha256));
	arg_str(&args, op);
	arg_int(&args, op_version);
	arg_str(&args, params);
	arg_bytes(&args, sha256, 32);
	arg_str(&args, owner);
	rc = pg_read(q, R_ARTIFACT, &args, &r, e);
	if (rc == 0)
		*ret = r.n > 0 ? pg_col_uuid(&r, 0, 0) : (struct uuid){};
	return rc;
}

/* ---- is it there? ---- */

int pg_blob_referenced(struct catalog *c, struct str blob, bool *ret, struct err *e)
{
	struct pg *q = CONTAINER_OF(c, struct pg, base);
	struct pg_args args = {};
	struct uuid file;
	struct str owner;

	if (file_of_blob_name(&file, &owner, blob)) {
		arg_uuid(&args, &file);
		arg_str(&args, owner);
		return pg_read_any(q, R_REFERENCED, &args, ret, e);
	}
	arg_str(&args, blob);
	return pg_read_any(q, R_OUTPUT_USED, &args, ret, e);
}

int pg_blob_doomed(struct catalog *c, struct str blob, bool *ret, struct err *e)
{
	struct pg_args args = {};

	arg_str(&args, blob);
	return pg_read_any(CONTAINER_OF(c, struct pg, base), R_IS_DOOMED, &args, ret, e);
}

int pg_once_used(struct catalog *c, const uint8_t key[ONCE_KEY], bool *ret, struct err *e)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args args = {};

	arg_bytes(&args, key, ONCE_KEY);
	int rc = pg_read_soon(CONTAINER_OF(c, struct pg, base), R_ONCE, &args, &r, e);
	if (rc == 0)
		*ret = r.n > 0;
	return rc;
}

int pg_secrets(struct catalog *c, struct arena *a, struct secret **ret, size_t *ret_n, struct err *e)
{
	struct pg *q = CONTAINER_OF(c, struct pg, base);
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args args = {};
	struct secret *list = arena_alloc(a, SERVER_SECRETS_MAX * sizeof(*list));
	int rc;

	if (!list)
		return pg_nothing_read(e);
	arg_int(&args, SERVER_SECRETS_MAX);
	rc = pg_read_soon(q, R_SECRETS, &args, &r, e);
	if (rc != 0)
		return rc;
	for (int i = 0; i < r.n; i++) {
		list[i] = (struct secret){.number = pg_col_int(&r, i, 0), .created_at = pg_col_int(&r, i, 2)};
		pg_col_sha256(&r, i, 1, list[i].bytes);
	}
	*ret = list;
	*ret_n = (size_t)r.n;
	return 0;
}
