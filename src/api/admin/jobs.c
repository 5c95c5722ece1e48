/* /v1/admin/jobs and /v1/admin/queue: whoever's jobs, for operators; cancelled and retried one by one, or by filter.
 *
 * By filter, a request deals with one page of those that match: each is a change of its own with its own entry in the audit log, all are committed together, and the answer comes
 * when the last one has its result. The cursor leads on, so that a running job, whose state changes only when its attempt ends, is not asked for twice. */
#include "api/api.h"
#include "api/asked.h"
#include "api/seen.h"
#include "base/json_out.h"
#include "front/hop.h"
#include "front/json_body.h"
#include "front/list.h"

#include <stdatomic.h>
#include <string.h>

/* ---- GET /v1/admin/jobs ---- */

static void list_jobs(struct http_request *r)
{
	seen_list_jobs(r, SEEN_BY_OPERATOR);
}

static void end_list(struct http_request *r)
{
	front_block(r, list_jobs);
}

/* ---- one job ---- */

static void answer_job_with(struct http_request *r, int status)
{
	struct err e = ERR_INIT;
	struct job job;
	int rc = seen_job(r, SEEN_BY_OPERATOR, &job, &e);

	if (rc != 0)
		front_problem(r, rc, &e);
	else
		seen_reply_job(r, SEEN_BY_OPERATOR, status, &job);
}

static void answer_job(struct http_request *r)
{
	answer_job_with(r, 200);
}

static void answer_queued_job(struct http_request *r)
{
	answer_job_with(r, 202);
}

static void end_get(struct http_request *r)
{
	front_read(r, answer_job);
}

static void answer_cancelled(struct http_request *r)
{
	front_block(r, answer_job);
}

static void answer_retried(struct http_request *r)
{
	front_block(r, answer_queued_job);
}

/* The change is asked for in the owner's name, whose limits it counts against. */
static void submit_of_path(struct http_request *r, enum change_kind kind, enum audit_act act, front_work *then)
{
	struct front_write *w = front_write_new(r, kind);
	struct err e = ERR_INIT;
	struct job job;

	if (w == NULL)
		return;
	int rc = seen_job(r, SEEN_BY_OPERATOR, &job, &e);
	if (rc == 0) {
		w->change.job_ref = (struct change_job_ref){.id = job.id, .owner = job.owner, .now = front_now(r)};
		rc = front_write_audit(w, act, &e, LF_STR("job", http_param(r, "id")), LF_STR("job_owner", job.owner));
	}
	if (rc != 0)
		front_problem(r, rc, &e);
	else
		front_write_submit(w, then);
}

static void cancel_one(struct http_request *r)
{
	submit_of_path(r, CHANGE_CANCEL_JOB, AUDIT_JOB_CANCELLED, answer_cancelled);
}

static void retry_one(struct http_request *r)
{
	submit_of_path(r, CHANGE_RETRY_JOB, AUDIT_JOB_RETRIED, answer_retried);
}

static void end_cancel(struct http_request *r)
{
	front_block(r, cancel_one);
}

static void end_retry(struct http_request *r)
{
	front_block(r, retry_one);
}

static void answer_output(struct http_request *r)
{
	seen_output(r, SEEN_BY_OPERATOR);
}

static void end_output(struct http_request *r)
{
	front_block(r, answer_output);
}

/* ---- by filter ---- */

struct batch {
	struct http_request *r;
	struct job_filter filter;
	struct page page;
	struct buf scope; /* what the cursor is bound to */
	const struct job *jobs; /* that match */
	struct change *changes; /* one a job */
	size_t n;
	int64_t next;
	_Atomic size_t left; /* changes without their result */
};

/* What a filter may name, and what becomes of those that match. */
struct batch_kind {
	const char *name;
	enum change_kind change;
	enum audit_act act;
	unsigned states; /* bits of states */
	const char *expected;
};
static const struct batch_kind cancelling = {"admin cancel", CHANGE_CANCEL_JOB, AUDIT_JOB_CANCELLED, 1u << JOB_QUEUED | 1u << JOB_RUNNING,
					     "queued, running"};
static const struct batch_kind retrying = {"admin retry", CHANGE_RETRY_JOB, AUDIT_JOB_RETRIED,
					   1u << JOB_FAILED | 1u << JOB_CANCELLED | 1u << JOB_QUARANTINED,
					   "failed, cancelled, quarantined"};

static int read_state(const struct batch_kind *k, const struct json_place *p, struct str *ret_text, int *ret, struct err *e)
{
	enum job_state s;
	int rc = json_member_str(p, "state", true, ret_text, e);

	if (rc != 0)
		return rc;
	if (!job_state_parse(&s, *ret_text) || !(k->states & 1u << s)) {
		err_set(e, ERR_INVALID_VALUE, "jobs of this state cannot be chosen here");
		err_expected(e, k->expected);
		return err_field(e, "state");
	}
	*ret = (int)s;
	return 0;
}

static int read_op(struct http_request *r, struct str op, struct err *e)
{
	if (op.p == NULL || op_table_find(engine_ops(front_engine(r)), op) != NULL)
		return 0;
	err_set(e, ERR_INVALID_VALUE, "there is no such op");
	return err_field(e, "op");
}

static void add_to_scope(struct buf *scope, struct str value)
{
	buf_addf(scope, "\n%c%zu ", value.p == NULL ? '-' : '+', value.len);
	buf_add(scope, value.p, value.len);
}

/* The texts of the filter are the body's: kept, since it goes. */
static int keep(struct http_request *r, struct str *text, struct err *e)
{
	if (text->p == NULL)
		return 0;
	*text = arena_str(http_arena(r), *text);
	return text->p != NULL ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for a filter");
}

static int read_page(struct batch *b, const struct json_place *p, struct err *e)
{
	struct str cursor = {};
	int64_t limit = LIST_LIMIT_MAX, before = 0;
	int rc = json_member_int(p, "limit", 1, LIST_LIMIT_MAX, &limit, e);

	if (rc == 0 && !json_is_null(json_object_get(p->object, "cursor")))
		rc = json_member_str(p, "cursor", false, &cursor, e);
	if (rc == 0 && cursor.p != NULL)
		rc = cursor_read(&before, cursor, buf_str(&b->scope), engine_cursor_key(front_engine(b->r)), e);
	b->page = (struct page){.before = before, .limit = (uint32_t)limit};
	return rc;
}

static int read_filter(const struct batch_kind *k, struct batch *b, json_t *body, struct err *e)
{
	static const char *const members[] = {"state", "op", "owner", "limit", "cursor", NULL};
	struct json_place p = {body, ""};
	struct str state = {}, op = {}, owner = {};
	int rc = json_members_only(&p, members, e);

	if (rc != 0 || (rc = read_state(k, &p, &state, &b->filter.state, e)) != 0 || (rc = json_member_str(&p, "op", false, &op, e)) != 0 ||
	    (rc = read_op(b->r, op, e)) != 0 || (rc = json_member_str(&p, "owner", false, &owner, e)) != 0)
		return rc;
	buf_addf(&b->scope, "%s\n", k->name);
	buf_add_str(&b->scope, front_owner(b->r));
	add_to_scope(&b->scope, state);
	add_to_scope(&b->scope, op);
	add_to_scope(&b->scope, owner);
	if (!buf_ok(&b->scope))
		return err_set(e, ERR_NO_MEMORY, "no memory for a filter");
	if ((rc = asked_owner_of(owner, &b->filter.owner, e)) != 0 || (rc = keep(b->r, &b->filter.owner, e)) != 0)
		return rc;
	b->filter.op = op;
	if ((rc = keep(b->r, &b->filter.op, e)) != 0)
		return rc;
	return read_page(b, &p, e);
}

static void write_refused(struct json_out *j, const struct batch *b)
{
	char id[UUID_TEXT_LEN + 1];

	json_key(j, "refused");
	json_arr_open(j);
	for (size_t i = 0; i < b->n; i++) {
		if (b->changes[i].code == 0)
			continue;
		uuid_format(id, b->jobs[i].id);
		json_obj_open(j);
		json_kcstr(j, "job", id);
		json_kcstr(j, "code", err_info(b->changes[i].code)->name);
		json_obj_close(j);
	}
	json_arr_close(j);
}

static void reply_batch(struct batch *b)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT;
	struct json_out j = json_out(&out);
	size_t changed = 0;

	for (size_t i = 0; i < b->n; i++)
		changed += b->changes[i].code == 0;
	json_obj_open(&j);
	json_ku64(&j, "matched", b->n);
	json_ku64(&j, "changed", changed);
	write_refused(&j, b);
	list_write_next(&j, b->r, buf_str(&b->scope), b->next);
	json_obj_close(&j);
	http_reply_json(b->r, 200, &out);
}

static void one_done(void *arg, struct change *c)
{
	struct batch *b = arg;

	if (atomic_fetch_sub(&b->left, 1) == 1)
		reply_batch(b);
}

static int make_changes(const struct batch_kind *k, struct batch *b, struct err *e)
{
	const struct audit_by by = front_by(b->r);
	int64_t now = front_now(b->r);
	int rc = 0;

	b->changes = arena_alloc(http_arena(b->r), (b->n + 1) * sizeof(*b->changes));
	if (b->changes == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for changes");
	for (size_t i = 0; rc == 0 && i < b->n; i++) {
		struct change *c = &b->changes[i];
		char id[UUID_TEXT_LEN + 1];

		uuid_format(id, b->jobs[i].id);
		*c = (struct change){
			.kind = k->change, .job_ref = {.id = b->jobs[i].id, .owner = b->jobs[i].owner, .now = now}, .err = ERR_INIT};
		rc = engine_audit(front_engine(b->r), c, http_arena(b->r), k->act, &by, e, LF_CSTR("job", id),
				  LF_STR("job_owner", b->jobs[i].owner));
	}
	return rc;
}

/* After the last submit the request may be answered and gone. */
static void submit_batch(struct batch *b)
{
	struct engine *g = front_engine(b->r);
	struct change *changes = b->changes;
	size_t n = b->n;

	atomic_store(&b->left, n);
	if (n == 0)
		reply_batch(b);
	for (size_t i = 0; i < n; i++)
		engine_submit(g, &changes[i], one_done, b);
}

static int admit_batch(struct http_request *r, enum change_kind kind, struct err *e)
{
	int rc = front_takes_work(r, e);

	if (rc == 0)
		rc = engine_takes_change(front_engine(r), kind, e);
	if (rc == 0)
		rc = engine_admits(front_engine(r), e);
	return rc;
}

static void run_batch(struct http_request *r, const struct batch_kind *k)
{
	struct batch *b = http_data(r);
	struct err e = ERR_INIT;
	struct job *jobs = NULL;
	json_t *body;
	int rc = admit_batch(r, k->change, &e);

	if (rc == 0 && (rc = json_body_read(r, &body, &e)) == 0) {
		rc = read_filter(k, b, body, &e);
		json_decref(body);
	}
	if (rc == 0)
		rc = catalog_list_jobs(front_catalog(r), &b->filter, b->page, http_arena(r), &jobs, &b->n, &b->next, &e);
	b->jobs = jobs;
	if (rc == 0)
		rc = make_changes(k, b, &e);
	if (rc != 0)
		front_problem(r, rc, &e);
	else
		submit_batch(b);
}

static void run_cancel(struct http_request *r)
{
	run_batch(r, &cancelling);
}

static void run_retry(struct http_request *r)
{
	run_batch(r, &retrying);
}

static void begin_batch(struct http_request *r, front_work *work)
{
	struct batch *b = arena_alloc(http_arena(r), sizeof(*b));
	struct err e = ERR_INIT;

	if (b == NULL) {
		front_problem(r, err_set(&e, ERR_NO_MEMORY, "no memory for a batch"), &e);
		return;
	}
	b->r = r;
	http_set_data(r, b);
	front_block(r, work);
}

static void end_cancel_many(struct http_request *r)
{
	begin_batch(r, run_cancel);
}

static void end_retry_many(struct http_request *r)
{
	begin_batch(r, run_retry);
}

static void release_batch(struct http_request *r)
{
	struct batch *b = http_data(r);

	if (b != NULL)
		buf_release(&b->scope);
}

static const struct http_handler get_jobs = {.end = end_list}, get_job = {.end = end_get}, get_output = {.end = end_output};
static const struct http_handler cancel_job = {.end = end_cancel}, retry_job = {.end = end_retry};
static const struct http_handler cancel_jobs = {.body_kind = HTTP_BODY_BUFFER, .end = end_cancel_many, .release = release_batch};
static const struct http_handler retry_jobs = {.body_kind = HTTP_BODY_BUFFER, .end = end_retry_many, .release = release_batch};
static const char *const list_query[] = {"owner", "state", "op", "file", "limit", "cursor", NULL};
static const char *const output_query[] = {"inline", NULL};

const struct http_route api_admin_job_routes[] = {
	{HTTP_GET, "/v1/admin/jobs", &get_jobs, HTTP_OPERATOR, "adminListJobs", "Everybody's jobs, newest first", list_query},
	{HTTP_GET, "/v1/admin/jobs/{id}", &get_job, HTTP_OPERATOR, "adminGetJob", "Anybody's job", NULL},
	{HTTP_POST, "/v1/admin/jobs/{id}/cancel", &cancel_job, HTTP_OPERATOR, "adminCancelJob", "Cancel anybody's job", NULL},
	{HTTP_POST, "/v1/admin/jobs/{id}/retry", &retry_job, HTTP_OPERATOR, "adminRetryJob", "Queue anybody's job again", NULL},
	{HTTP_GET, "/v1/admin/jobs/{id}/outputs/{n}", &get_output, HTTP_OPERATOR, "adminGetJobOutput",
	 "The bytes of one output of anybody's job", output_query},
	{HTTP_POST, "/v1/admin/queue/cancel", &cancel_jobs, HTTP_OPERATOR, "adminCancelJobs", "Cancel the jobs that match a filter", NULL},
	{HTTP_POST, "/v1/admin/queue/retry", &retry_jobs, HTTP_OPERATOR, "adminRetryJobs", "Queue the jobs again that match a filter",
	 NULL},
	{},
};
