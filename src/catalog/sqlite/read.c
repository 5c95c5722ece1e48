/* Point reads. What happens between reader_get() and reader_put() sees one state of the database. */
#include "base/fd.h"
#include "catalog/sqlite/sq.h"

#include <stdio.h>
#include <sys/stat.h>

/* The arena has no resizing: a list that outgrows its place moves. */
static struct job *grow(struct arena *a, struct job *jobs, size_t n, size_t *cap)
{
	size_t more = *cap ? 4 * *cap : 4;
	struct job *moved = arena_alloc(a, more * sizeof(*moved));

	for (size_t i = 0; moved && i < n; i++)
		moved[i] = jobs[i];
	*cap = more;
	return moved;
}

int sq_jobs_of_file(struct reader *r, struct arena *a, struct file *f, struct err *e)
{
	sqlite3_stmt *s = r->stmt[R_JOBS_OF_FILE];
	size_t n = 0, cap = 0;
	struct job *jobs = NULL;
	int rc;

	sqlite3_bind_int64(s, 1, f->number);
	while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
		if (n == cap)
			jobs = grow(a, jobs, n, &cap);
		if (!jobs || !row_job(s, a, &jobs[n])) {
			sqlite3_reset(s);
			return rows_no_memory(e);
		}
		jobs[n++].file = f->id;
	}
	sqlite3_reset(s);
	if (rc != SQLITE_DONE)
		return sq_error(r->db, rc, e);
	f->jobs = jobs;
	f->n_jobs = n;
	return sq_outputs(r, a, jobs, n, e);
}

/* From the statement that stands on the file's row, if it does. */
static int read_file(struct reader *r, sqlite3_stmt *s, struct str owner, struct arena *a, struct file *ret, struct err *e)
{
	struct file f;
	bool row;
	int rc = first(s, &row);

	if (rc != SQLITE_OK)
		return sq_error(r->db, rc, e);
	if (!row || !owner_sees(owner, col_str(s, FILE_OWNER)))
		return err_set(e, ERR_FILE_NOT_FOUND, "there is no file with this id");
	if (!col_null(s, FILE_DELETED))
		return err_set(e, ERR_FILE_GONE, "the file was deleted");
	if (!row_file(s, a, &f))
		return rows_no_memory(e);
	rc = sq_jobs_of_file(r, a, &f, e);
	if (rc < 0)
		return rc;
	*ret = f;
	return 0;
}

int sq_file(struct catalog *c, struct file_key key, struct str owner, struct arena *a, struct file *ret, struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	struct reader *r;
	sqlite3_stmt *s;
	int rc = reader_get(q, &r, e);

	if (rc < 0)
		return rc;
	if (key.number > 0) {
		s = r->stmt[R_FILE_BY_NUMBER];
		sqlite3_bind_int64(s, 1, key.number);
	} else {
		s = r->stmt[R_FILE_BY_ID];
		bind_uuid(s, 1, &key.id);
	}
	rc = read_file(r, s, owner, a, ret, e);
	sqlite3_reset(s);
	reader_put(q, r);
	return rc;
}

int sq_inline_bytes(struct catalog *c, struct uuid file, struct buf *out, struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	struct reader *r;
	sqlite3_stmt *s;
	bool row;
	int rc = reader_get(q, &r, e);

	if (rc < 0)
		return rc;
	s = r->stmt[R_BYTES];
	bind_uuid(s, 1, &file);
	rc = first(s, &row);
	if (rc != SQLITE_OK) {
		rc = sq_error(r->db, rc, e);
	} else if (!row) {
		rc = err_set(e, ERR_FILE_NOT_FOUND, "there are no bytes of this file");
	} else {
		const void *bytes = sqlite3_column_blob(s, 0);
		size_t n = (size_t)sqlite3_column_bytes(s, 0);

		buf_add(out, n ? bytes : "", n);
		rc = buf_ok(out) ? 0 : rows_no_memory(e);
	}
	sqlite3_reset(s);
	reader_put(q, r);
	return rc;
}

static int read_job(struct reader *r, sqlite3_stmt *s, struct str owner, struct arena *a, struct job *ret, struct err *e)
{
	struct job job = {};
	bool row;
	int rc = first(s, &row);

	if (rc != SQLITE_OK)
		return sq_error(r->db, rc, e);
	if (!row || !owner_sees(owner, col_str(s, JOB_FILE_OWNER)))
		return err_set(e, ERR_JOB_NOT_FOUND, "there is no job with this id");
	if (!col_null(s, JOB_FILE_DELETED))
		return err_set(e, ERR_JOB_GONE, "the job was deleted with its file");
	if (!col_null(s, JOB_EXPIRED))
		return err_set(e, ERR_JOB_GONE, JOB_EXPIRED_DETAIL);
	job.owner = arena_str(a, col_str(s, JOB_FILE_OWNER));
	if (!job.owner.p || !row_job(s, a, &job))
		return rows_no_memory(e);
	job.file = col_uuid(s, JOB_FILE_ID);
	rc = sq_outputs(r, a, &job, 1, e);
	if (rc < 0)
		return rc;
	*ret = job;
	return 0;
}

int sq_job(struct catalog *c, struct uuid id, int64_t number, struct str owner, struct arena *a, struct job *ret, struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	struct reader *r;
	sqlite3_stmt *s;
	int rc = reader_get(q, &r, e);

	if (rc < 0)
		return rc;
	if (number > 0) {
		s = r->stmt[R_JOB_BY_NUMBER];
		sqlite3_bind_int64(s, 1, number);
	} else {
		s = r->stmt[R_JOB_BY_ID];
		bind_uuid(s, 1, &id);
	}
	rc = read_job(r, s, owner, a, ret, e);
	sqlite3_reset(s);
	reader_put(q, r);
	return rc;
}

static int read_ended_job(struct reader *r, sqlite3_stmt *s, struct arena *a, struct job *ret, struct str *ret_owner, struct err *e)
{
	struct job job = {};
	struct str owner;
	bool row;
	int rc = first(s, &row);

	if (rc != SQLITE_OK)
		return sq_error(r->db, rc, e);
	if (!row || !col_null(s, JOB_EXPIRED))
		return err_set(e, ERR_JOB_NOT_FOUND, "the job has expired or was purged");
	owner = arena_str(a, col_str(s, JOB_FILE_OWNER));
	if (!owner.p || !row_job(s, a, &job))
		return rows_no_memory(e);
	job.file = col_uuid(s, JOB_FILE_ID);
	rc = sq_outputs(r, a, &job, 1, e);
	if (rc < 0)
		return rc;
	*ret = job;
	*ret_owner = owner;
	return 0;
}

int sq_ended_job(struct catalog *c, int64_t number, struct arena *a, struct job *ret, struct str *ret_owner, struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	struct reader *r;
	sqlite3_stmt *s;
	int rc = reader_get(q, &r, e);

	if (rc < 0)
		return rc;
	s = r->stmt[R_JOB_BY_NUMBER];
	sqlite3_bind_int64(s, 1, number);
	rc = read_ended_job(r, s, a, ret, ret_owner, e);
	sqlite3_reset(s);
	reader_put(q, r);
	return rc;
}

int sq_artifact(struct catalog *c, struct str owner, struct str op, uint32_t op_version, struct str params, const uint8_t sha256[32],
		struct uuid *ret, struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	struct reader *r;
	sqlite3_stmt *s;
	bool row;
	int rc = reader_get(q, &r, e);

	if (rc < 0)
		return rc;
	s = r->stmt[R_ARTIFACT];
	sqlite3_bind_int64(s, 1, artifact_key(owner, op, op_version, params, sha256));
	bind_str(s, 2, op);
	sqlite3_bind_int64(s, 3, op_version);
	bind_str(s, 4, params);
	sqlite3_bind_blob(s, 5, sha256, 32, SQLITE_STATIC);
	bind_str(s, 6, owner);
	rc = first(s, &row);
	if (rc == SQLITE_OK)
		*ret = row ? col_uuid(s, 0) : (struct uuid){};
	else
		rc = sq_error(r->db, rc, e);
	sqlite3_reset(s);
	reader_put(q, r);
	return rc;
}

int sq_blob_referenced(struct catalog *c, struct str blob, bool *ret, struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	struct reader *r;
	sqlite3_stmt *s;
	struct uuid file;
	struct str owner;
	bool row;
	int rc = reader_get(q, &r, e);

	if (rc < 0)
		return rc;
	if (file_of_blob_name(&file, &owner, blob)) {
		s = r->stmt[R_REFERENCED];
		bind_uuid(s, 1, &file);
		bind_str(s, 2, owner);
	} else {
		s = r->stmt[R_OUTPUT_USED];
		bind_str(s, 1, blob);
	}
	rc = first(s, &row);
	sqlite3_reset(s);
	if (rc != SQLITE_OK)
		rc = sq_error(r->db, rc, e);
	else
		*ret = row;
	reader_put(q, r);
	return rc;
}

static struct tally committed(struct sq *q, int64_t *ret_least_run_at)
{
	struct tally t;

	pthread_mutex_lock(&q->tally_lock);
	t = q->committed;
	*ret_least_run_at = q->least_run_at;
	pthread_mutex_unlock(&q->tally_lock);
	return t;
}

int sq_stats(struct catalog *c, int64_t now, struct catalog_stats *ret, struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	int64_t least;
	struct tally t = committed(q, &least);

	*ret = (struct catalog_stats){
		.files = (uint64_t)t.files,
		.file_bytes = (uint64_t)t.file_bytes,
		.jobs_waiting = (uint64_t)t.waiting,
		.jobs_running = (uint64_t)t.running,
		.oldest_waiting_at = least <= now ? least : 0,
	};
	for (int s = JOB_SUCCEEDED; s < JOB_STATES; s++)
		ret->jobs_final[s] = (uint64_t)t.final[s];
	return 0;
}

/* Counted by stepping: a count(*) over a LIMIT would have to be a subquery, and takes as long. */
static int depth_of_lane(struct reader *r, int64_t lane, int64_t now, struct catalog_depth *d)
{
	sqlite3_stmt *s = r->stmt[R_READY];
	int rc = SQLITE_DONE;

	for (int p = 0; rc == SQLITE_DONE && p <= PRIORITY_MAX; p++) {
		uint32_t *ready = &d->at[p].ready;
		int64_t *oldest_at = &d->at[p].oldest_at;

		sqlite3_bind_int64(s, 1, lane);
		sqlite3_bind_int(s, 2, p);
		sqlite3_bind_int64(s, 3, now);
		sqlite3_bind_int64(s, 4, *ready < READY_COUNTED_MAX ? READY_COUNTED_MAX - *ready : 1);
		for (bool head = true; (rc = sqlite3_step(s)) == SQLITE_ROW; head = false) {
			int64_t at = sqlite3_column_int64(s, 0);

			*ready += *ready < READY_COUNTED_MAX;
			if (head && (*oldest_at == 0 || at < *oldest_at))
				*oldest_at = at;
		}
		sqlite3_reset(s);
	}
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* From lane to lane of those with something in them. */
static int depth_of_lanes(struct reader *r, int64_t now, struct catalog_depth *d)
{
	sqlite3_stmt *s = r->stmt[R_NEXT_LANE];
	int64_t lane = -1;
	int rc = SQLITE_OK;

	for (int n = 0; rc == SQLITE_OK && n < READY_LANES_MAX; n++) {
		bool row;

		sqlite3_bind_int64(s, 1, lane);
		rc = first(s, &row);
		bool more = row && !col_null(s, 0);
		lane = more ? sqlite3_column_int64(s, 0) : lane;
		sqlite3_reset(s);
		if (!more)
			break;
		if (rc == SQLITE_OK)
			rc = depth_of_lane(r, lane, now, d);
	}
	return rc;
}

/* The log is as long as it ever was since it was opened: it begins anew without being cut. */
static uint64_t log_bytes(const struct sq *q)
{
	CLEANUP(free_ptr) char *path = NULL;
	struct stat st;

	return asprintf(&path, "%s-wal", q->path) >= 0 && stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

int sq_depth(struct catalog *c, int64_t now, struct catalog_depth *ret, struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	int64_t least;
	struct tally t = committed(q, &least);
	struct catalog_depth d = {.waiting = (uint64_t)t.waiting, .oldest_at = least <= now ? least : 0, .log_bytes = log_bytes(q)};
	struct reader *r;
	int rc = d.oldest_at != 0 ? reader_get(q, &r, e) : 0;

	if (rc < 0)
		return rc;
	if (d.oldest_at != 0) {
		rc = depth_of_lanes(r, now, &d);
		if (rc != SQLITE_OK)
			rc = sq_error(r->db, rc, e);
		reader_put(q, r);
	}
	if (rc == 0)
		*ret = d;
	return rc;
}

int sq_next_run_at(struct catalog *c, int64_t *ret, struct err *e)
{
	committed(CONTAINER_OF(c, struct sq, base), ret);
	return 0;
}

bool sq_newcomers(struct catalog *c)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	bool some;

	pthread_mutex_lock(&q->tally_lock);
	some = q->newcomers > 0;
	pthread_mutex_unlock(&q->tally_lock);
	return some;
}
