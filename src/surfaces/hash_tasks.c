/* hash-tasks: the same with a task table. A task id is the row number of an md5 job. */
#include "base/json_out.h"
#include "front/hop.h"
#include "front/page.h"
#include "front/upload.h"
#include "surfaces/fastapi.h"
#include "surfaces/hash_log.h"
#include "surfaces/surface.h"

#include <stdio.h>

/* ---- POST /hashes/ ---- */

static void stored(struct http_request *r, const struct file *f, bool replayed)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	const struct job *job = front_job_of(f, STR("md5"));

	buf_addf(&b, "{\"task_id\":%lld}", job != NULL ? (long long)job->number : 0);
	http_reply_json(r, 200, &b);
}

static void not_stored(struct http_request *r, struct err *e)
{
	if (!fastapi_upload_refused(r, e))
		fastapi_failure(r, e);
}

static void start_upload(struct http_request *r)
{
	static const struct upload_rules rules = {
		.ops = "md5", .form_only = true, .plain_form = true, .stored = stored, .failed = not_stored};

	upload_start(r, &rules);
}

static const struct http_handler upload = {
	.body_kind = HTTP_BODY_STREAM, .start = start_upload, .body = upload_body, .end = upload_end, .release = upload_release};

/* ---- GET /hashes/7 ---- */

struct task {
	const char *status;
	struct str result; /* p NULL while pending */
};

/* ERR_JOB_NOT_FOUND for every number that is no task. */
static int read_task(struct http_request *r, int64_t number, struct task *ret, struct err *e)
{
	struct job job;

	if (number <= 0)
		return ERR_JOB_NOT_FOUND;
	int rc = catalog_job(front_catalog(r), (struct uuid){}, number, front_owner(r), http_arena(r), &job, e);
	if (rc == ERR_JOB_GONE) {
		*ret = (struct task){"ERROR", str_of(err_info(rc)->title)};
		return 0;
	}
	if (rc != 0)
		return rc;
	if (!str_eq(job.op, STR("md5")))
		return ERR_JOB_NOT_FOUND;
	*ret = (struct task){hash_task_status(&job), hash_task_result(&job)};
	return 0;
}

static void answer_not_found(struct http_request *r, const char *number)
{
	char text[96];

	snprintf(text, sizeof(text), "Task %s was not found", number);
	fastapi_detail(r, 404, str_of(text));
}

static void answer_task(struct http_request *r)
{
	char canonical[64];
	struct err e = ERR_INIT;
	struct task task;
	int64_t number = 0;
	enum whole_number kind = whole_number_parse(http_param(r, "task_id"), &number, canonical, sizeof(canonical));

	if (kind == NUMBER_NONE) {
		fastapi_no_integer(r, "path", "task_id");
		return;
	}
	int rc = kind == NUMBER_TOO_BIG ? ERR_JOB_NOT_FOUND : read_task(r, number, &task, &e);
	if (rc == ERR_JOB_NOT_FOUND) {
		answer_not_found(r, canonical);
		return;
	}
	if (rc != 0) {
		fastapi_failure(r, &e);
		return;
	}
	fastapi_status(r, task.status, "result", task.result);
}

static void end_task(struct http_request *r)
{
	front_read(r, answer_task);
}

static const struct http_handler get_task = {.end = end_task};

/* ---- the page ---- */

static void close_page(struct http_request *r, int status, struct buf *b)
{
	page_upload_form(b, "/");
	page_lookup_form(b, "/", "task_id", "Task id");
	page_reply(r, status, b);
}

static void page_problem(struct http_request *r, int status, const char *detail)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;

	page_open(&b, "Hash tasks");
	buf_add_cstr(&b, "<p role=\"alert\">");
	page_text(&b, str_of(detail));
	buf_add_cstr(&b, "</p>\n");
	close_page(r, status, &b);
}

static void answer_task_page(struct http_request *r)
{
	char canonical[64], missing[96];
	struct err e = ERR_INIT;
	struct task task;
	int64_t number = 0;
	enum whole_number kind = whole_number_parse(http_query(r, "task_id"), &number, canonical, sizeof(canonical));

	if (kind == NUMBER_NONE) {
		page_problem(r, 422, "The task id must be a whole number.");
		return;
	}
	int rc = kind == NUMBER_TOO_BIG ? ERR_JOB_NOT_FOUND : read_task(r, number, &task, &e);
	if (rc != 0) {
		snprintf(missing, sizeof(missing), "Task %s was not found.", canonical);
		front_say_when(r, &e);
		page_problem(r, err_info(rc)->http_status, rc == ERR_JOB_NOT_FOUND ? missing : err_info(rc)->title);
		return;
	}
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	page_open(&b, "Hash tasks");
	buf_addf(&b, "<p>Task %s: <strong>%s</strong> <code id=\"result\">", canonical, task.status);
	page_text(&b, task.result);
	buf_add_cstr(&b, "</code></p>\n");
	close_page(r, 200, &b);
}

static void end_page(struct http_request *r)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;

	if (http_query(r, "task_id").p != NULL) {
		front_read(r, answer_task_page);
		return;
	}
	page_open(&b, "Hash tasks");
	close_page(r, 200, &b);
}

static void page_stored(struct http_request *r, const struct file *f, bool replayed)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	const struct job *job = front_job_of(f, STR("md5"));
	long long number = job != NULL ? (long long)job->number : 0;

	page_open(&b, "Hash tasks");
	buf_addf(&b, "<p>The id of the task is <strong id=\"task-id\">%lld</strong>. <a href=\"/?task_id=%lld\">Show its result</a></p>\n",
		 number, number);
	close_page(r, 200, &b);
}

static void page_not_stored(struct http_request *r, struct err *e)
{
	front_say_when(r, e);
	page_problem(r, e->code == ERR_FILE_MISSING ? 422 : err_info(e->code)->http_status,
		     e->detail[0] != '\0' ? e->detail : err_info(e->code)->title);
}

static void start_page_upload(struct http_request *r)
{
	static const struct upload_rules rules = {
		.ops = "md5", .form_only = true, .plain_form = true, .chosen = true, .stored = page_stored, .failed = page_not_stored};

	upload_start(r, &rules);
}

static const struct http_handler get_page = {.end = end_page};
static const struct http_handler post_page = {
	.body_kind = HTTP_BODY_STREAM, .start = start_page_upload, .body = upload_body, .end = upload_end, .release = upload_release};
static const char *const page_query[] = {"task_id", NULL};

static const struct http_route routes[] = {
	{HTTP_POST, "/hashes", &upload, HTTP_ANYONE, "hashTasksStore", "hash-tasks: store a file", NULL, true, true},
	{HTTP_GET, "/hashes/{task_id}", &get_task, HTTP_ANYONE, "hashTasksGet", "hash-tasks: a task's result", NULL, true, true},
	{},
};

static const struct http_route root[] = {
	{HTTP_GET, "/", &get_page, HTTP_ANYONE, "", "hash-tasks: the web page", page_query},
	{HTTP_POST, "/", &post_page, HTTP_ANYONE, "", "hash-tasks: store a file from the web page", NULL},
	{},
};

const struct surface surface_hash_tasks = {.name = "hash-tasks",
					   .routes = routes,
					   .root = root,
					   .summary = "send a file, fetch its MD5 as a task's result, with a shared log file"};
