/* /v1/jobs and /v1/files/{id}/jobs: queue, list, read, cancel, retry. */
#include "api/api.h"
#include "api/job_request.h"
#include "api/seen.h"
#include "base/json_out.h"
#include "front/hop.h"
#include "front/json_body.h"
#include "front/wait.h"

#include <stdio.h>
#include <string.h>

/* ---- queueing ---- */

static void reply_queued(struct http_request *r, const struct change_add_jobs *c)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);

	json_obj_open(&j);
	json_key(&j, "jobs");
	json_arr_open(&j);
	for (size_t i = 0; i < c->n; i++)
		job_write_json(&j, &c->jobs[i]);
	json_arr_close(&j);
	json_obj_close(&j);
	http_reply_json(r, 202, &b);
}

static void answer_queued_one(struct http_request *r)
{
	const struct front_write *w = http_data(r);
	const struct job *job = &w->change.add_jobs.jobs[0];
	char location[sizeof("/v1/jobs/") + UUID_TEXT_LEN] = "/v1/jobs/";

	uuid_format(location + strlen(location), job->id);
	http_set_header(r, "Location", location);
	seen_reply_job(r, SEEN_BY_OWNER, 202, job);
}

static void answer_queued(struct http_request *r)
{
	const struct front_write *w = http_data(r);

	reply_queued(r, &w->change.add_jobs);
}

/* Which member was at fault, where the catalogue cannot know: nothing but `after` speaks of another job. */
static const char *member_at_fault(int code)
{
	switch (code) {
	case ERR_FILE_NOT_FOUND:
	case ERR_FILE_GONE:
		return "file";
	case ERR_JOB_NOT_FOUND:
	case ERR_JOB_GONE:
	case ERR_JOB_STATE:
		return "after";
	default:
		return NULL;
	}
}

static void name_refused_one(struct front_write *w)
{
	const char *member = member_at_fault(w->change.code);

	if (member != NULL && strcmp(member, "after") == 0)
		err_field(&w->change.err, member);
}

static void name_refused(struct front_write *w)
{
	const size_t *element = w->note;
	const char *member = member_at_fault(w->change.code);
	char field[32];

	if (member == NULL)
		return;
	snprintf(field, sizeof(field), "jobs/%zu/%s", element[w->change.add_jobs.failed_index], member);
	err_field(&w->change.err, field);
}

static void end_queue_one(struct http_request *r)
{
	struct front_write *w = front_write_new(r, CHANGE_ADD_JOBS);
	struct err e = ERR_INIT;
	bool pipeline = false;
	struct uuid file;
	json_t *body;

	if (w == NULL)
		return;
	w->explain = name_refused_one;
	int rc = front_id(r, &file, &e);
	if (rc == 0 && (rc = json_body_read(r, &body, &e)) == 0) {
		rc = job_request_one(r, body, file, &w->change.add_jobs, &pipeline, &e);
		json_decref(body);
	}
	if (rc != 0)
		front_problem(r, rc, &e);
	else
		front_write_submit(w, pipeline ? answer_queued : answer_queued_one);
}

/* A megabyte of JSON takes longer to read than an HTTP thread should be busy: on a pool thread. */
static void queue_many(struct http_request *r)
{
	struct front_write *w = front_write_new(r, CHANGE_ADD_JOBS);
	struct err e = ERR_INIT;
	const size_t *element = NULL;
	json_t *body;

	if (w == NULL)
		return;
	w->explain = name_refused;
	int rc = json_body_read(r, &body, &e);
	if (rc == 0) {
		rc = job_request_many(r, body, &w->change.add_jobs, &element, &e);
		json_decref(body);
	}
	w->note = element;
	if (rc != 0)
		front_problem(r, rc, &e);
	else
		front_write_submit(w, answer_queued);
}

static void end_queue_many(struct http_request *r)
{
	front_block(r, queue_many);
}

static const struct http_handler queue_job = {.body_kind = HTTP_BODY_BUFFER, .end = end_queue_one};
static const struct http_handler queue_jobs = {.body_kind = HTTP_BODY_BUFFER, .end = end_queue_many};

/* ---- GET /v1/jobs ---- */

static void list_jobs(struct http_request *r)
{
	seen_list_jobs(r, SEEN_BY_OWNER);
}

static void end_list(struct http_request *r)
{
	front_block(r, list_jobs);
}

static const struct http_handler get_jobs = {.end = end_list};
static const char *const list_query[] = {"state", "op", "file", "limit", "cursor", NULL};

/* ---- GET /v1/jobs/{id} ---- */

static void answer_job_with(struct http_request *r, int status)
{
	struct err e = ERR_INIT;
	struct job job;
	int rc = seen_job(r, SEEN_BY_OWNER, &job, &e);

	if (rc != 0)
		front_problem(r, rc, &e);
	else
		seen_reply_job(r, SEEN_BY_OWNER, status, &job);
}

static void answer_job(struct http_request *r)
{
	answer_job_with(r, 200);
}

static void answer_job_when_final(struct http_request *r)
{
	struct err e = ERR_INIT;
	struct job job;
	int64_t wait_ms;
	int rc = wait_wanted(r, &wait_ms, &e);

	if (rc == 0)
		rc = seen_job(r, SEEN_BY_OWNER, &job, &e);
	if (rc != 0)
		front_problem(r, rc, &e);
	else if (wait_ms > 0 && !job_state_final(job.state))
		wait_for_job(r, &job, wait_ms, answer_job);
	else
		seen_reply_job(r, SEEN_BY_OWNER, 200, &job);
}

static void end_get(struct http_request *r)
{
	front_read(r, answer_job_when_final);
}

static const struct http_handler get_job = {.end = end_get};
static const char *const wait_query[] = {"wait", NULL};

/* ---- cancel and retry ---- */

static void submit_job_ref(struct http_request *r, enum change_kind kind, enum audit_act act, front_work *then)
{
	struct front_write *w = front_write_new(r, kind);
	struct err e = ERR_INIT;

	if (w == NULL)
		return;
	struct change_job_ref *c = &w->change.job_ref;
	*c = (struct change_job_ref){.owner = front_owner(r), .now = front_now(r)};
	int rc = front_id(r, &c->id, &e);
	if (rc == 0)
		rc = front_write_audit(w, act, &e, LF_STR("job", http_param(r, "id")));
	if (rc != 0)
		front_problem(r, rc, &e);
	else
		front_write_submit(w, then);
}

static void answer_retried_now(struct http_request *r)
{
	answer_job_with(r, 202);
}

static void answer_retried(struct http_request *r)
{
	front_block(r, answer_retried_now);
}

static void answer_cancelled(struct http_request *r)
{
	front_block(r, answer_job);
}

static void end_cancel(struct http_request *r)
{
	submit_job_ref(r, CHANGE_CANCEL_JOB, AUDIT_JOB_CANCELLED, answer_cancelled);
}

static void end_retry(struct http_request *r)
{
	submit_job_ref(r, CHANGE_RETRY_JOB, AUDIT_JOB_RETRIED, answer_retried);
}

static const struct http_handler cancel_job = {.end = end_cancel};
static const struct http_handler retry_job = {.end = end_retry};

/* ---- outputs ---- */

static void answer_output(struct http_request *r)
{
	seen_output(r, SEEN_BY_OWNER);
}

static void end_output(struct http_request *r)
{
	front_block(r, answer_output);
}

static const struct http_handler get_output = {.end = end_output};
static const char *const output_query[] = {"inline", NULL};

const struct http_route api_job_routes[] = {
	{HTTP_POST, "/v1/files/{id}/jobs", &queue_job, HTTP_JOBS_WRITE, "queueFileJob", "Queue one job on a file", NULL},
	{HTTP_POST, "/v1/jobs", &queue_jobs, HTTP_JOBS_WRITE, "queueJobs", "Queue up to 1,000 jobs in one transaction", NULL},
	{HTTP_GET, "/v1/jobs", &get_jobs, HTTP_JOBS_READ, "listJobs", "The caller's jobs, newest first", list_query},
	{HTTP_GET, "/v1/jobs/{id}", &get_job, HTTP_JOBS_READ, "getJob", "A job", wait_query},
	{HTTP_POST, "/v1/jobs/{id}/cancel", &cancel_job, HTTP_JOBS_WRITE, "cancelJob", "Cancel a job", NULL},
	{HTTP_POST, "/v1/jobs/{id}/retry", &retry_job, HTTP_JOBS_WRITE, "retryJob", "Queue a job again that did not succeed", NULL},
	{HTTP_GET, "/v1/jobs/{id}/outputs/{n}", &get_output, HTTP_FILES_READ, "getJobOutput", "The bytes of one output", output_query},
	{},
};
