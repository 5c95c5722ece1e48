/* md5-calc: send a file, fetch its MD5. Ids are row numbers of files, celery_id is the id of the md5 job. */
#include "base/json_out.h"
#include "front/hop.h"
#include "front/page.h"
#include "front/upload.h"
#include "surfaces/fastapi.h"
#include "surfaces/surface.h"

#include <stdio.h>

static const char *status_of(const struct job *job)
{
	if (job->state == JOB_SUCCEEDED)
		return "SUCCESS";
	return job_state_final(job->state) ? "FAILURE" : "PENDING";
}

/* ---- POST /uploadfile/ ---- */

static void stored(struct http_request *r, const struct file *f, bool replayed)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);
	const struct job *job = front_job_of(f, STR("md5"));
	char id[UUID_TEXT_LEN + 1];

	uuid_format(id, job != NULL ? job->id : f->id);
	json_obj_open(&j);
	json_kbool(&j, "success", true);
	json_key(&j, "id");
	json_i64(&j, f->number);
	json_kcstr(&j, "celery_status", job != NULL ? status_of(job) : "PENDING");
	json_kcstr(&j, "celery_id", id);
	json_obj_close(&j);
	http_reply_json(r, 200, &b);
}

static void not_stored(struct http_request *r, struct err *e)
{
	static const char body[] = "{\"success\":false,\"id\":null,\"celery_status\":null,\"celery_id\":null}";

	if (fastapi_upload_refused(r, e))
		return;
	http_count_refusal(e->code);
	http_reply_static(r, 200, "application/json", body, sizeof(body) - 1);
}

static void start_upload(struct http_request *r)
{
	static const struct upload_rules rules = {
		.ops = "md5", .form_only = true, .plain_form = true, .stored = stored, .failed = not_stored};

	upload_start(r, &rules);
}

static const struct http_handler upload = {
	.body_kind = HTTP_BODY_STREAM, .start = start_upload, .body = upload_body, .end = upload_end, .release = upload_release};

/* ---- looking up ---- */

struct answer {
	const char *status; /* SUCCESS, PENDING, FAILURE or INVALID_ID */
	struct str hash; /* p NULL unless SUCCESS */
	struct str reason; /* of a FAILURE */
};

/* Where the id stands: in the path or, for the two forms with a query, there. */
static struct str id_text(struct http_request *r, const char **ret_place)
{
	struct str text = http_param(r, "file_id");

	*ret_place = "path";
	if (text.p != NULL)
		return text;
	*ret_place = "query";
	return http_query(r, "file_id");
}

static int look_up(struct http_request *r, int64_t number, struct answer *ret, struct err *e)
{
	struct file f;
	int rc = number <= 0 ? ERR_FILE_NOT_FOUND
			     : catalog_file(front_catalog(r), (struct file_key){.number = number}, front_owner(r), http_arena(r), &f, e);

	*ret = (struct answer){.status = "INVALID_ID"};
	if (rc == ERR_FILE_NOT_FOUND || rc == ERR_FILE_GONE)
		return 0;
	if (rc != 0)
		return rc;
	const struct job *job = front_job_of(&f, STR("md5"));
	if (job == NULL) /* stored through another door, without this op: no id of ours */
		return 0;
	ret->status = status_of(job);
	if (job->state == JOB_SUCCEEDED)
		ret->hash = front_result_text(job, "md5");
	else if (job_state_final(job->state))
		ret->reason = job->error_detail.len > 0 ? job->error_detail : str_of(err_info(job->error)->title);
	return 0;
}

static void answer_hash(struct http_request *r)
{
	const char *place;
	char canonical[64];
	struct answer a;
	struct err e = ERR_INIT;
	int64_t number = 0;
	struct str text = id_text(r, &place);

	if (text.p == NULL) {
		fastapi_missing(r, place, "file_id");
		return;
	}
	enum whole_number kind = whole_number_parse(text, &number, canonical, sizeof(canonical));
	if (kind == NUMBER_NONE) {
		fastapi_no_integer(r, place, "file_id");
		return;
	}
	int rc = look_up(r, kind == NUMBER_TOO_BIG ? 0 : number, &a, &e);
	if (rc != 0) {
		fastapi_failure(r, &e);
		return;
	}
	fastapi_status(r, a.status, "hash", a.hash);
}

static void end_hash(struct http_request *r)
{
	front_read(r, answer_hash);
}

static const struct http_handler get_hash = {.end = end_hash};
static const char *const id_query[] = {"file_id", NULL};

/* ---- pages ---- */

static void add_forms(struct buf *b)
{
	page_upload_form(b, "/uploadfile-html/");
	page_lookup_form(b, "/gethash-form/", "file_id", "File id");
}

static void end_form(struct http_request *r)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;

	page_open(&b, "MD5 of a file");
	add_forms(&b);
	page_reply(r, 200, &b);
}

static void page_stored(struct http_request *r, const struct file *f, bool replayed)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;

	page_open(&b, "File stored");
	buf_addf(
		&b,
		"<p>The id of the file is <strong id=\"file-id\">%lld</strong>.</p>\n<p><a href=\"/gethash-form/?file_id=%lld\">Show its MD5</a></p>\n",
		(long long)f->number, (long long)f->number);
	add_forms(&b);
	page_reply(r, 200, &b);
}

static void page_problem(struct http_request *r, int status, const char *title, const char *detail)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;

	page_open(&b, title);
	buf_add_cstr(&b, "<p role=\"alert\">");
	page_text(&b, str_of(detail));
	buf_add_cstr(&b, "</p>\n");
	add_forms(&b);
	page_reply(r, status, &b);
}

static void page_not_stored(struct http_request *r, struct err *e)
{
	int status = e->code == ERR_FILE_MISSING ? 422 : err_info(e->code)->http_status;

	front_say_when(r, e);
	page_problem(r, status, "The file was not stored", e->detail[0] != '\0' ? e->detail : err_info(e->code)->title);
}

static void start_page_upload(struct http_request *r)
{
	static const struct upload_rules rules = {
		.ops = "md5", .form_only = true, .plain_form = true, .chosen = true, .stored = page_stored, .failed = page_not_stored};

	upload_start(r, &rules);
}

static void write_hash_page(struct buf *b, const char *id, const struct answer *a)
{
	page_open(b, "MD5 of a file");
	buf_add_cstr(b, "<p>File ");
	page_text(b, str_of(id));
	buf_add_cstr(b, ": ");
	if (a->hash.p != NULL) {
		buf_add_cstr(b, "<code id=\"hash\">");
		page_text(b, a->hash);
		buf_add_cstr(b, "</code>");
	} else if (a->status[0] == 'P') {
		buf_add_cstr(b, "pending: the hash is not computed yet");
	} else if (a->status[0] == 'I') {
		buf_add_cstr(b, "there is no file with this id");
	} else {
		buf_add_cstr(b, "failed: ");
		page_text(b, a->reason);
	}
	buf_add_cstr(b, "</p>\n");
	add_forms(b);
}

static void answer_hash_page(struct http_request *r)
{
	char canonical[64];
	struct answer a;
	struct err e = ERR_INIT;
	int64_t number = 0;
	struct str text = http_query(r, "file_id");
	enum whole_number kind = whole_number_parse(text, &number, canonical, sizeof(canonical));

	if (kind == NUMBER_NONE) {
		page_problem(r, 422, "MD5 of a file", "The file id must be a whole number.");
		return;
	}
	int rc = look_up(r, kind == NUMBER_TOO_BIG ? 0 : number, &a, &e);
	if (rc != 0) {
		front_say_when(r, &e);
		page_problem(r, err_info(rc)->http_status, "MD5 of a file", err_info(rc)->title);
		return;
	}
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	write_hash_page(&b, canonical, &a);
	page_reply(r, 200, &b);
}

static void end_hash_page(struct http_request *r)
{
	front_read(r, answer_hash_page);
}

static const struct http_handler get_form = {.end = end_form};
static const struct http_handler get_hash_page = {.end = end_hash_page};
static const struct http_handler upload_page = {
	.body_kind = HTTP_BODY_STREAM, .start = start_page_upload, .body = upload_body, .end = upload_end, .release = upload_release};

/* ---- GET / ---- */

static void end_root(struct http_request *r)
{
	static const char body[] =
		"{\"message\":\"Send a file to /uploadfile/ and fetch its MD5 from /gethash/{file_id}; the API page is at /docs\"}";

	http_reply_static(r, 200, "application/json", body, sizeof(body) - 1);
}

static const struct http_handler get_root = {.end = end_root};

static const struct http_route routes[] = {
	{HTTP_POST, "/uploadfile", &upload, HTTP_ANYONE, "md5CalcStore", "md5-calc: store a file", NULL, true, true},
	{HTTP_GET, "/gethash/{file_id}", &get_hash, HTTP_ANYONE, "md5CalcGetHash", "md5-calc: the MD5 of a file", NULL, true, true},
	{HTTP_GET, "/get_hash/{file_id}", &get_hash, HTTP_ANYONE, "md5CalcGetHashByOtherName", "md5-calc: the MD5 of a file", NULL, true,
	 true},
	{HTTP_GET, "/gethash", &get_hash, HTTP_ANYONE, "md5CalcGetHashByQuery", "md5-calc: the MD5 of a file", id_query, true, true},
	{HTTP_GET, "/uploadform", &get_form, HTTP_ANYONE, "md5CalcForms", "md5-calc: forms", NULL, true, true},
	{HTTP_POST, "/uploadfile-html", &upload_page, HTTP_ANYONE, "md5CalcStoreFromPage", "md5-calc: store a file, answered by a page",
	 NULL, true, true},
	{HTTP_GET, "/gethash-form", &get_hash_page, HTTP_ANYONE, "md5CalcHashPage", "md5-calc: the MD5 of a file as a page", id_query, true,
	 true},
	{},
};

static const struct http_route root[] = {
	{HTTP_GET, "/", &get_root, HTTP_ANYONE, "", "md5-calc: a message", NULL},
	{},
};

const struct surface surface_md5_calc = {.name = "md5-calc", .routes = routes, .root = root, .summary = "send a file, fetch its MD5"};
