/* Lists, newest first, and what else comes in pages. A list looks at LIST_SCAN_MAX rows a call: where it did not find a whole page in them, a second statement, which sees the same
 * moment, says where it stopped. */
#include "catalog/postgres/reads.h"

#include <assert.h>

static_assert(LIST_SCAN_MAX == 50000, "the statements say so too");

/* The cursor of a page: what was asked for is one row more than fits. */
static int64_t next_of(bool more, int64_t last, const struct pg_rows *floor)
{
	if (more)
		return last;
	return floor && floor->n > 0 ? pg_col_int(floor, 0, 0) : 0;
}

/* ---- files ---- */

static bool plain(const struct file_filter *f)
{
	return !f->name.p && !f->sha256 && !f->label_key.p && f->state < 0;
}

static void file_args(struct pg_args *a, struct page page, const struct file_filter *f, const struct file_match *m, bool any)
{
	arg_int(a, page.before);
	arg_int(a, (int64_t)page.limit + 1);
	if (plain(f)) {
		if (!any)
			arg_str(a, f->owner);
		return;
	}
	arg_str(a, any ? (struct str){} : f->owner);
	arg_str(a, f->name);
	if (f->sha256)
		arg_bytes(a, f->sha256, 32);
	else
		arg_null_bytes(a);
	arg_str(a, m->label_len > 0 ? (struct str){m->label, m->label_len} : (struct str){});
	arg_int_or_null(a, f->state, f->state >= 0);
}

static int take_files(const struct pg_rows *r, uint32_t limit, struct arena *a, struct file **ret, size_t *ret_n, bool *ret_more,
		      struct err *e)
{
	struct file *files = arena_alloc(a, limit * sizeof(*files));
	size_t n = 0;
	int at = 0;

	if (!files)
		return pg_nothing_read(e);
	while (at < r->n && n < limit)
		if (!pg_take_file(r, &at, a, &files[n++]))
			return pg_nothing_read(e);
	*ret = files;
	*ret_n = n;
	*ret_more = at < r->n;
	return 0;
}

int pg_list_files(struct catalog *c, const struct file_filter *f, struct page page, struct arena *a, struct file **ret, size_t *ret_n,
		  int64_t *ret_next, struct err *e)
{
	bool any = str_eq(f->owner, STR(OWNER_ANY)), filtered = !plain(f), more = false;
	struct pg_args args = {}, floor_args = {};
	struct pg_question ask[] = {{.stmt = filtered ? (any ? R_FILES_ANY_WITH : R_FILES_WITH)
					     : any    ? R_FILES_ANY
						      : R_FILES,
				     .args = &args},
				    {.stmt = any ? R_FILES_FLOOR_ANY : R_FILES_FLOOR, .args = &floor_args, .if_at_most = page.limit}};
	struct file_match m;
	int rc = file_match_init(&m, f, e);

	if (rc < 0)
		return rc;
	file_args(&args, page, f, &m, any);
	arg_int(&floor_args, page.before);
	if (!any)
		arg_str(&floor_args, f->owner);
	rc = pg_read_all(CONTAINER_OF(c, struct pg, base), ask, filtered ? 2 : 1, e);
	if (rc != 0)
		return rc;
	rc = take_files(&ask[0].rows, page.limit, a, ret, ret_n, &more, e);
	if (rc == 0)
		*ret_next = next_of(more, *ret_n > 0 ? (*ret)[*ret_n - 1].number : 0, filtered ? &ask[1].rows : NULL);
	pg_questions_release(ask, ARRAY_LEN(ask));
	return rc;
}

/* ---- jobs ---- */

static int take_jobs(const struct pg_rows *r, uint32_t limit, struct arena *a, struct job **ret, size_t *ret_n, bool *ret_more,
		     struct err *e)
{
	struct job *jobs = arena_alloc(a, limit * sizeof(*jobs));
	bool oom = false;
	size_t n = 0;
	int at = 0;

	if (!jobs)
		return pg_nothing_read(e);
	while (at < r->n && n < limit) {
		struct job *job = &jobs[n++];

		job->owner = pg_col_copy(r, at, JOB_READ_OWNER, a, &oom);
		job->file = pg_col_uuid(r, at, JOB_READ_FILE);
		if (oom || !pg_take_job(r, &at, 0, JOB_READ_OUTPUT, a, job))
			return pg_nothing_read(e);
	}
	*ret = jobs;
	*ret_n = n;
	*ret_more = at < r->n;
	return 0;
}

int pg_list_jobs(struct catalog *c, const struct job_filter *f, struct page page, struct arena *a, struct job **ret, size_t *ret_n,
		 int64_t *ret_next, struct err *e)
{
	struct pg_args args = {}, floor_args = {};
	struct pg_question ask[] = {{.stmt = f->by_file ? R_JOBS_BY_FILE : R_JOBS, .args = &args},
				    {.stmt = R_JOBS_FLOOR, .args = &floor_args, .if_at_most = page.limit}};
	bool any = str_eq(f->owner, STR(OWNER_ANY)), more = false;
	int rc;

	arg_int(&args, page.before);
	arg_int(&args, (int64_t)page.limit + 1);
	arg_str(&args, any ? (struct str){} : f->owner);
	arg_int_or_null(&args, f->state, f->state >= 0);
	arg_str(&args, f->op);
	if (f->by_file)
		arg_uuid(&args, &f->file);
	arg_int(&floor_args, page.before);
	/* A file has fewer jobs than a call looks at. */
	rc = pg_read_all(CONTAINER_OF(c, struct pg, base), ask, f->by_file ? 1 : 2, e);
	if (rc != 0)
		return rc;
	rc = take_jobs(&ask[0].rows, page.limit, a, ret, ret_n, &more, e);
	if (rc == 0)
		*ret_next = next_of(more, *ret_n > 0 ? (*ret)[*ret_n - 1].number : 0, f->by_file ? NULL : &ask[1].rows);
	pg_questions_release(ask, ARRAY_LEN(ask));
	return rc;
}

/* ---- work to be done ---- */

int pg_doomed(struct catalog *c, struct str after, uint32_t max, struct arena *a, struct str **ret, size_t *ret_n, struct err *e)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct str *list = arena_alloc(a, max * sizeof(*list));
	struct pg_args args = {};
	bool oom = !list;
	int rc;

	arg_int(&args, max);
	arg_str(&args, after.p != NULL ? after : STR(""));
	rc = oom ? 0 : pg_read(CONTAINER_OF(c, struct pg, base), R_DOOMED, &args, &r, e);
	if (rc != 0)
		return rc;
	for (int i = 0; i < r.n && !oom; i++)
		list[i] = pg_col_copy(&r, i, 0, a, &oom);
	if (oom)
		return pg_nothing_read(e);
	*ret = list;
	*ret_n = (size_t)r.n;
	return 0;
}

int pg_expired(struct catalog *c, int64_t now, uint32_t max, struct arena *a, struct expired **ret, size_t *ret_n, struct err *e)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct expired *list = arena_alloc(a, max * sizeof(*list));
	struct pg_args args = {};
	bool oom = !list;
	int rc;

	arg_int(&args, now);
	arg_int(&args, max);
	rc = oom ? 0 : pg_read(CONTAINER_OF(c, struct pg, base), R_EXPIRED, &args, &r, e);
	if (rc != 0)
		return rc;
	for (int i = 0; i < r.n && !oom; i++)
		list[i] = (struct expired){.file = pg_col_uuid(&r, i, 0), .owner = pg_col_copy(&r, i, 1, a, &oom)};
	if (oom)
		return pg_nothing_read(e);
	*ret = list;
	*ret_n = (size_t)r.n;
	return 0;
}

int pg_recurring(struct catalog *c, struct arena *a, struct recurring_state **ret, size_t *ret_n, struct err *e)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct recurring_state *list = NULL;
	bool oom = false;
	int rc = pg_read(CONTAINER_OF(c, struct pg, base), R_RECURRING, NULL, &r, e);

	if (rc != 0)
		return rc;
	if (r.n > 0)
		oom = !(list = arena_alloc(a, (size_t)r.n * sizeof(*list)));
	for (int i = 0; i < r.n && !oom; i++)
		list[i] = (struct recurring_state){.name = pg_col_copy(&r, i, 0, a, &oom),
						   .schedule = pg_col_copy(&r, i, 1, a, &oom),
						   .due_at = pg_col_int(&r, i, 2),
						   .since = pg_col_int(&r, i, 3),
						   .upto = pg_col_int(&r, i, 4),
						   .before = pg_col_int(&r, i, 5)};
	if (oom)
		return pg_nothing_read(e);
	*ret = list;
	*ret_n = (size_t)r.n;
	return 0;
}

int pg_outbox(struct catalog *c, int64_t after, uint32_t max, struct arena *a, struct outbox_entry **ret, size_t *ret_n, struct err *e)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct outbox_entry *list = arena_alloc(a, max * sizeof(*list));
	struct pg_args args = {};
	size_t n = 0;
	int rc;

	if (!list)
		return pg_nothing_read(e);
	arg_int(&args, after);
	arg_int(&args, max);
	rc = pg_read(CONTAINER_OF(c, struct pg, base), R_OUTBOX, &args, &r, e);
	if (rc != 0)
		return rc;
	/* Two ends of one job may follow each other: rows belong together by the entry's number. */
	for (int at = 0; at < r.n && n < max; n++) {
		struct outbox_entry *entry = &list[n];
		int next = at;

		entry->seq = pg_col_int(&r, at, OUTBOX_READ_SEQ);
		entry->job.file = pg_col_uuid(&r, at, JOB_READ_FILE);
		while (next < r.n && pg_col_int(&r, next, OUTBOX_READ_SEQ) == entry->seq)
			next++;
		struct pg_rows its = {.r = r.r, .n = next};
		if (!pg_take_job(&its, &at, 0, JOB_READ_OUTPUT, a, &entry->job))
			return pg_nothing_read(e);
	}
	*ret = list;
	*ret_n = n;
	return 0;
}

/* ---- the audit log ---- */

int pg_audit(struct catalog *c, int64_t after, uint32_t max, struct arena *a, struct audit_entry **ret, size_t *ret_n, struct err *e)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct audit_entry *list = arena_alloc(a, max * sizeof(*list));
	struct pg_args args = {};
	bool oom = !list;
	int rc;

	arg_int(&args, after);
	arg_int(&args, max);
	rc = oom ? 0 : pg_read(CONTAINER_OF(c, struct pg, base), R_AUDIT, &args, &r, e);
	if (rc != 0)
		return rc;
	for (int i = 0; i < r.n && !oom; i++)
		list[i] = (struct audit_entry){.seq = pg_col_int(&r, i, 0), .text = pg_col_copy(&r, i, 1, a, &oom)};
	if (oom)
		return pg_nothing_read(e);
	*ret = list;
	*ret_n = (size_t)r.n;
	return 0;
}

int pg_audit_head(struct catalog *c, struct audit_head *ret, struct err *e)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	int rc = pg_read(CONTAINER_OF(c, struct pg, base), R_AUDIT_HEAD, NULL, &r, e);

	if (rc != 0)
		return rc;
	if (r.n != 1)
		return err_set(e, ERR_DAMAGED, "the catalogue does not say how far the audit log has come");
	*ret = (struct audit_head){.seq = pg_col_int(&r, 0, 0), .file = pg_col_int(&r, 0, 2), .size = (uint64_t)pg_col_int(&r, 0, 3)};
	pg_col_sha256(&r, 0, 1, ret->hash);
	if (!pg_col_null(&r, 0, 4))
		ret->home = pg_col_uuid(&r, 0, 4);
	return 0;
}
