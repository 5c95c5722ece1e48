/* Lists, newest first. A list looks at no more than LIST_SCAN_MAX rows: what matches seldom comes in short pages, each with a cursor. */
#include "catalog/sqlite/sq.h"

/* Where a page stands: the caller's rows, and what the next page starts below. */
struct progress {
	size_t n;
	int64_t last; /* the row looked at last */
	uint32_t scanned;
	bool full; /* the row after the page's last one was seen */
};

static bool enough(struct progress *p, uint32_t limit)
{
	if (p->n == limit || p->scanned == LIST_SCAN_MAX)
		p->full = true;
	return p->full;
}

static int files_page(struct reader *r, sqlite3_stmt *s, const struct file_match *m, uint32_t limit, struct arena *a, struct file *files,
		      struct progress *p, struct err *e)
{
	uint8_t sha256[32];
	int rc;

	while ((rc = sqlite3_step(s)) == SQLITE_ROW && !enough(p, limit)) {
		struct file *f = &files[p->n];

		p->scanned++;
		p->last = sqlite3_column_int64(s, 0);
		col_sha256(s, FILE_SHA256, sha256);
		if (!file_match_row(m, col_str(s, FILE_NAME), sha256, col_str(s, FILE_LABELS)))
			continue;
		if (!row_file(s, a, f))
			return rows_no_memory(e);
		rc = sq_jobs_of_file(r, a, f, e);
		if (rc < 0)
			return rc;
		p->n += file_match_jobs(m, f->jobs, f->n_jobs);
	}
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : sq_error(r->db, rc, e);
}

int sq_list_files(struct catalog *c, const struct file_filter *f, struct page page, struct arena *a, struct file **ret, size_t *ret_n,
		  int64_t *ret_next, struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	struct file *files = arena_alloc(a, page.limit * sizeof(*files));
	struct progress p = {};
	struct file_match m;
	struct reader *r;
	sqlite3_stmt *s;
	int rc;

	if (!files)
		return rows_no_memory(e);
	rc = file_match_init(&m, f, e);
	if (rc < 0)
		return rc;
	rc = reader_get(q, &r, e);
	if (rc < 0)
		return rc;
	s = r->stmt[str_eq(f->owner, STR(OWNER_ANY)) ? R_FILES_ANY : R_FILES];
	sqlite3_bind_int64(s, 1, page.before);
	if (s == r->stmt[R_FILES])
		bind_str(s, 2, f->owner);
	rc = files_page(r, s, &m, page.limit, a, files, &p, e);
	sqlite3_reset(s);
	reader_put(q, r);
	if (rc < 0)
		return rc;
	*ret = files;
	*ret_n = p.n;
	*ret_next = p.full ? p.last : 0;
	return 0;
}

static bool job_matches(sqlite3_stmt *s, const struct job_filter *f)
{
	int state = sqlite3_column_int(s, col_null(s, 9) ? 20 : 9);

	if (!col_null(s, JOB_FILE_DELETED) || !col_null(s, JOB_EXPIRED) || !owner_sees(f->owner, col_str(s, JOB_FILE_OWNER)))
		return false;
	return (f->state < 0 || f->state == state) && (!f->op.p || str_eq(col_str(s, 3), f->op));
}

static int jobs_page(struct reader *r, sqlite3_stmt *s, const struct job_filter *f, uint32_t limit, struct arena *a, struct job *jobs,
		     struct progress *p, struct err *e)
{
	int rc;

	while ((rc = sqlite3_step(s)) == SQLITE_ROW && !enough(p, limit)) {
		p->scanned++;
		p->last = sqlite3_column_int64(s, 0);
		if (!job_matches(s, f))
			continue;
		jobs[p->n].owner = arena_str(a, col_str(s, JOB_FILE_OWNER));
		if (!jobs[p->n].owner.p || !row_job(s, a, &jobs[p->n]))
			return rows_no_memory(e);
		jobs[p->n].file = col_uuid(s, JOB_FILE_ID);
		rc = sq_outputs(r, a, &jobs[p->n++], 1, e);
		if (rc < 0)
			return rc;
	}
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : sq_error(r->db, rc, e);
}

int sq_list_jobs(struct catalog *c, const struct job_filter *f, struct page page, struct arena *a, struct job **ret, size_t *ret_n,
		 int64_t *ret_next, struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	struct job *jobs = arena_alloc(a, page.limit * sizeof(*jobs));
	struct progress p = {};
	struct reader *r;
	sqlite3_stmt *s;
	int rc;

	if (!jobs)
		return rows_no_memory(e);
	rc = reader_get(q, &r, e);
	if (rc < 0)
		return rc;
	s = r->stmt[f->by_file ? R_JOBS_BY_FILE : R_JOBS];
	sqlite3_bind_int64(s, 1, page.before);
	if (f->by_file)
		bind_uuid(s, 2, &f->file);
	rc = jobs_page(r, s, f, page.limit, a, jobs, &p, e);
	sqlite3_reset(s);
	reader_put(q, r);
	if (rc < 0)
		return rc;
	*ret = jobs;
	*ret_n = p.n;
	*ret_next = p.full ? p.last : 0;
	return 0;
}

/* Runs a statement that gives ids and owners. */
static int owned_ids(struct reader *r, sqlite3_stmt *s, uint32_t max, struct arena *a, struct expired **ret, size_t *ret_n, struct err *e)
{
	struct expired *list = arena_alloc(a, max * sizeof(*list));
	bool oom = !list;
	size_t n = 0;
	int rc = SQLITE_DONE;

	while (!oom && (rc = sqlite3_step(s)) == SQLITE_ROW && n < max) {
		list[n].file = col_uuid(s, 0);
		list[n++].owner = col_copy(s, 1, a, &oom);
	}
	sqlite3_reset(s);
	if (oom)
		return rows_no_memory(e);
	if (rc != SQLITE_DONE && rc != SQLITE_ROW)
		return sq_error(r->db, rc, e);
	*ret = list;
	*ret_n = n;
	return 0;
}

int sq_doomed(struct catalog *c, struct str after, uint32_t max, struct arena *a, struct str **ret, size_t *ret_n, struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	struct str *list = arena_alloc(a, max * sizeof(*list));
	bool oom = !list;
	struct reader *r;
	sqlite3_stmt *s;
	size_t n = 0;
	int rc = oom ? rows_no_memory(e) : reader_get(q, &r, e);

	if (rc < 0)
		return rc;
	s = r->stmt[R_DOOMED];
	sqlite3_bind_int64(s, 1, max);
	bind_str(s, 2, after.p != NULL ? after : STR(""));
	while (!oom && (rc = sqlite3_step(s)) == SQLITE_ROW && n < max)
		list[n++] = col_copy(s, 0, a, &oom);
	rc = rows_ended(r, s, rc, oom, e);
	reader_put(q, r);
	if (rc < 0)
		return rc;
	*ret = list;
	*ret_n = n;
	return 0;
}

int sq_expired(struct catalog *c, int64_t now, uint32_t max, struct arena *a, struct expired **ret, size_t *ret_n, struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	struct reader *r;
	int rc = reader_get(q, &r, e);

	if (rc < 0)
		return rc;
	sqlite3_bind_int64(r->stmt[R_EXPIRED], 1, now);
	sqlite3_bind_int64(r->stmt[R_EXPIRED], 2, max);
	rc = owned_ids(r, r->stmt[R_EXPIRED], max, a, ret, ret_n, e);
	reader_put(q, r);
	return rc;
}

static int outbox_page(struct reader *r, sqlite3_stmt *s, uint32_t max, struct arena *a, struct outbox_entry *list, size_t *ret_n,
		       struct err *e)
{
	size_t n = 0;
	int rc;

	while ((rc = sqlite3_step(s)) == SQLITE_ROW && n < max) {
		if (!row_job(s, a, &list[n].job))
			return rows_no_memory(e);
		list[n].job.file = col_uuid(s, JOB_FILE_ID);
		rc = sq_outputs(r, a, &list[n].job, 1, e);
		if (rc < 0)
			return rc;
		list[n++].seq = sqlite3_column_int64(s, JOB_SEQ);
	}
	*ret_n = n;
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : sq_error(r->db, rc, e);
}

int sq_outbox(struct catalog *c, int64_t after, uint32_t max, struct arena *a, struct outbox_entry **ret, size_t *ret_n, struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	struct outbox_entry *list = arena_alloc(a, max * sizeof(*list));
	struct reader *r;
	size_t n = 0;
	int rc;

	if (!list)
		return rows_no_memory(e);
	rc = reader_get(q, &r, e);
	if (rc < 0)
		return rc;
	sqlite3_bind_int64(r->stmt[R_OUTBOX], 1, after);
	sqlite3_bind_int64(r->stmt[R_OUTBOX], 2, max);
	rc = outbox_page(r, r->stmt[R_OUTBOX], max, a, list, &n, e);
	sqlite3_reset(r->stmt[R_OUTBOX]);
	reader_put(q, r);
	if (rc < 0)
		return rc;
	*ret = list;
	*ret_n = n;
	return 0;
}
