/* /v1/admin/files: whoever's files, for operators. */
#include "api/api.h"
#include "api/seen.h"
#include "front/hop.h"

static void list_files(struct http_request *r)
{
	seen_list_files(r, SEEN_BY_OPERATOR);
}

static void end_list(struct http_request *r)
{
	front_block(r, list_files);
}

static void answer_file(struct http_request *r)
{
	struct err e = ERR_INIT;
	struct file f;
	int rc = seen_file(r, SEEN_BY_OPERATOR, &f, &e);

	if (rc != 0)
		front_problem(r, rc, &e);
	else
		seen_reply_file(r, SEEN_BY_OPERATOR, 200, &f);
}

static void end_get(struct http_request *r)
{
	front_read(r, answer_file);
}

static void answer_content(struct http_request *r)
{
	seen_content(r, SEEN_BY_OPERATOR);
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
