/* /v1/admin/files: whoever's files, for operators. */
#include "api/admin.h"
#include "api/api.h"
#include "api/asked.h"
#include "base/json_out.h"
#include "front/content.h"
#include "front/hop.h"
#include "front/list.h"

static bool read_file_of_path(struct http_request *r, struct file *ret)
{
	struct err e = ERR_INIT;
	struct file_key key = {};
	int rc = front_id(r, &key.id, &e);

	if (rc == 0)
		rc = catalog_file(front_catalog(r), key, STR(OWNER_ANY), http_arena(r), ret, &e);
	if (rc != 0)
		front_problem(r, rc, &e);
	return rc == 0;
}

/* ---- GET /v1/admin/files ---- */

static const char *const filters[] = {"owner", "state", "label", "name", "sha256"};

static void reply_list(struct http_request *r, struct buf *scope, struct file *files, size_t n, int64_t next)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);

	json_obj_open(&j);
	json_key(&j, "files");
	json_arr_open(&j);
	for (size_t i = 0; i < n; i++) {
		engine_progress(front_engine(r), files[i].jobs, files[i].n_jobs);
		file_write_admin_json(&j, &files[i]);
	}
	json_arr_close(&j);
	list_write_next(&j, r, buf_str(scope), next);
	json_obj_close(&j);
	http_reply_json(r, 200, &b);
}

static void list_files(struct http_request *r)
{
	CLEANUP(buf_release) struct buf scope = BUF_INIT;
	struct err e = ERR_INIT;
	struct file_filter filter;
	struct file *files = NULL;
	struct page page;
	struct str owner;
	int64_t next = 0;
	size_t n = 0;

	list_scope(&scope, r, "admin files", filters, ARRAY_LEN(filters));
	int rc = admin_owner(r, &owner, &e);
	if (rc == 0)
		rc = asked_files(r, owner, &filter, &e);
	if (rc == 0)
		rc = list_page(r, &scope, &page, &e);
	if (rc == 0)
		rc = catalog_list_files(front_catalog(r), &filter, page, http_arena(r), &files, &n, &next, &e);
	if (rc != 0)
		front_problem(r, rc, &e);
	else
		reply_list(r, &scope, files, n, next);
}

static void end_list(struct http_request *r)
{
	front_block(r, list_files);
}

/* ---- one file, and its bytes ---- */

static void answer_file(struct http_request *r)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);
	struct file f;

	if (!read_file_of_path(r, &f))
		return;
	engine_progress(front_engine(r), f.jobs, f.n_jobs);
	file_write_admin_json(&j, &f);
	http_reply_json(r, 200, &b);
}

static void end_get(struct http_request *r)
{
	front_read(r, answer_file);
}

static void answer_content(struct http_request *r)
{
	struct err e = ERR_INIT;
	bool show_inline;
	struct file f;

	if (content_inline_wanted(r, &show_inline, &e) != 0) {
		front_problem(r, e.code, &e);
	} else if (read_file_of_path(r, &f)) {
		struct content c = content_of_file(&f);
		content_answer(r, &c, show_inline);
	}
}

static void end_content(struct http_request *r)
{
	front_block(r, answer_content);
}

static const struct http_handler get_files = {.end = end_list}, get_file = {.end = end_get}, get_content = {.end = end_content};
static const char *const list_query[] = {"owner", "state", "name", "label", "sha256", "limit", "cursor", NULL};
static const char *const content_query[] = {"inline", NULL};

const struct http_route api_admin_file_routes[] = {
	{HTTP_GET, "/v1/admin/files", &get_files, HTTP_OPERATOR, "adminListFiles", "Everybody's files, newest first", list_query},
	{HTTP_GET, "/v1/admin/files/{id}", &get_file, HTTP_OPERATOR, "adminGetFile", "Anybody's file with its jobs", NULL},
	{HTTP_GET, "/v1/admin/files/{id}/content", &get_content, HTTP_OPERATOR, "adminGetFileContent", "The bytes of anybody's file",
	 content_query},
	{},
};
