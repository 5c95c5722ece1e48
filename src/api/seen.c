#include "api/seen.h"
#include "api/asked.h"
#include "base/json_out.h"
#include "front/content.h"
#include "front/list.h"

static struct str owner_of(struct http_request *r, enum seen_by by)
{
	return by == SEEN_BY_OPERATOR ? STR(OWNER_ANY) : front_owner(r);
}

/* ---- one of them ---- */

int seen_file(struct http_request *r, enum seen_by by, struct file *ret, struct err *e)
{
	struct file_key key = {};
	int rc = front_id(r, &key.id, e);

	if (rc == 0)
		rc = catalog_file(front_catalog(r), key, owner_of(r, by), http_arena(r), ret, e);
	if (rc == 0)
		engine_progress(front_engine(r), ret->jobs, ret->n_jobs);
	return rc;
}

int seen_job(struct http_request *r, enum seen_by by, struct job *ret, struct err *e)
{
	struct uuid id;
	int rc = front_id(r, &id, e);

	if (rc == 0)
		rc = catalog_job(front_catalog(r), id, 0, owner_of(r, by), http_arena(r), ret, e);
	if (rc == 0)
		engine_progress(front_engine(r), ret, 1);
	return rc;
}

static void write_file(struct json_out *j, enum seen_by by, const struct file *f)
{
	if (by == SEEN_BY_OPERATOR)
		file_write_admin_json(j, f);
	else
		file_write_json(j, f);
}

static void write_job(struct json_out *j, enum seen_by by, const struct job *job)
{
	if (by == SEEN_BY_OPERATOR)
		job_write_admin_json(j, job);
	else
		job_write_json(j, job);
}

void seen_reply_file(struct http_request *r, enum seen_by by, int status, const struct file *f)
{
	struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);

	buf_reserve(&b, 1024);
	write_file(&j, by, f);
	http_reply_json(r, status, &b);
	buf_release(&b);
}

void seen_reply_job(struct http_request *r, enum seen_by by, int status, const struct job *job)
{
	struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);

	write_job(&j, by, job);
	http_reply_json(r, status, &b);
	buf_release(&b);
}

/* ---- lists ---- */

/* Binds the cursor to the filters: an operator's are one more, the first. */
static int begin_list(struct buf *scope, struct http_request *r, enum seen_by by, const char *const names[2], const char *const *filters,
		      size_t n, struct str *ret_owner, struct err *e)
{
	bool all = by == SEEN_BY_OPERATOR;

	list_scope(scope, r, names[all], all ? filters : filters + 1, all ? n : n - 1);
	*ret_owner = front_owner(r);
	return all ? asked_owner(r, ret_owner, e) : 0;
}

void seen_list_files(struct http_request *r, enum seen_by by)
{
	static const char *const names[] = {"files", "admin files"};
	static const char *const filters[] = {"owner", "state", "label", "name", "sha256"};
	CLEANUP(buf_release) struct buf scope = BUF_INIT;
	struct err e = ERR_INIT;
	struct file_filter filter;
	struct file *files = NULL;
	struct listing l;
	struct page page;
	struct str owner;
	int64_t next = 0;
	size_t n = 0;
	int rc = begin_list(&scope, r, by, names, filters, ARRAY_LEN(filters), &owner, &e);

	if (rc == 0)
		rc = asked_files(r, owner, &filter, &e);
	if (rc == 0)
		rc = list_page(r, &scope, &page, &e);
	if (rc == 0)
		rc = catalog_list_files(front_catalog(r), &filter, page, http_arena(r), &files, &n, &next, &e);
	if (rc != 0) {
		front_problem(r, rc, &e);
		return;
	}
	listing_begin(&l, r, "files");
	for (size_t i = 0; i < n; i++) {
		engine_progress(front_engine(r), files[i].jobs, files[i].n_jobs);
		write_file(&l.j, by, &files[i]);
	}
	listing_end(&l, &scope, next);
}

void seen_list_jobs(struct http_request *r, enum seen_by by)
{
	static const char *const names[] = {"jobs", "admin jobs"};
	static const char *const filters[] = {"owner", "state", "op", "file"};
	CLEANUP(buf_release) struct buf scope = BUF_INIT;
	struct err e = ERR_INIT;
	struct job_filter filter;
	struct job *jobs = NULL;
	struct listing l;
	struct page page;
	struct str owner;
	int64_t next = 0;
	size_t n = 0;
	int rc = begin_list(&scope, r, by, names, filters, ARRAY_LEN(filters), &owner, &e);

	if (rc == 0)
		rc = asked_jobs(r, owner, &filter, &e);
	if (rc == 0)
		rc = list_page(r, &scope, &page, &e);
	if (rc == 0)
		rc = catalog_list_jobs(front_catalog(r), &filter, page, http_arena(r), &jobs, &n, &next, &e);
	if (rc != 0) {
		front_problem(r, rc, &e);
		return;
	}
	engine_progress(front_engine(r), jobs, n);
	listing_begin(&l, r, "jobs");
	for (size_t i = 0; i < n; i++)
		write_job(&l.j, by, &jobs[i]);
	listing_end(&l, &scope, next);
}

void seen_list_keys(struct http_request *r, const struct buf *scope, struct uuid account)
{
	struct err e = ERR_INIT;
	struct api_key *keys = NULL;
	struct listing l;
	struct page page;
	int64_t next = 0;
	size_t n = 0;
	int rc = list_page(r, scope, &page, &e);

	if (rc == 0)
		rc = catalog_list_keys(front_catalog(r), account, page, http_arena(r), &keys, &n, &next, &e);
	if (rc != 0) {
		front_problem(r, rc, &e);
		return;
	}
	http_set_header(r, "Cache-Control", "no-store");
	listing_begin(&l, r, "keys");
	for (size_t i = 0; i < n; i++)
		api_key_write_json(&l.j, &keys[i], NULL, NULL);
	listing_end(&l, scope, next);
}

/* ---- bytes ---- */

void seen_content(struct http_request *r, enum seen_by by)
{
	struct err e = ERR_INIT;
	bool show_inline;
	struct file f;
	int rc = content_inline_wanted(r, &show_inline, &e);

	if (rc == 0)
		rc = seen_file(r, by, &f, &e);
	if (rc != 0) {
		front_problem(r, rc, &e);
		return;
	}
	struct content c = content_of_file(&f);
	content_answer(r, &c, show_inline);
}

void seen_output(struct http_request *r, enum seen_by by)
{
	struct err e = ERR_INIT;
	const struct output *output = NULL;
	bool show_inline;
	struct job job;
	int rc = content_inline_wanted(r, &show_inline, &e);

	if (rc == 0)
		rc = seen_job(r, by, &job, &e);
	if (rc == 0)
		rc = asked_output(r, &job, &output, &e);
	if (rc != 0) {
		front_problem(r, rc, &e);
		return;
	}
	struct content c = content_of_output(&job, output);
	content_answer(r, &c, show_inline);
}
