/* /v1/files: store, list, read, change, delete. */
#include "api/api.h"
#include "api/seen.h"
#include "front/hop.h"
#include "front/json_body.h"
#include "front/upload.h"
#include "front/wait.h"

#include <string.h>

/* ---- POST /v1/files ---- */

static void stored(struct http_request *r, const struct file *f, bool replayed)
{
	char location[sizeof("/v1/files/") + UUID_TEXT_LEN] = "/v1/files/";

	uuid_format(location + strlen(location), f->id);
	http_set_header(r, "Location", location);
	if (replayed)
		http_set_header(r, "Idempotency-Replayed", "true");
	seen_reply_file(r, SEEN_BY_OWNER, 201, f);
}

static void not_stored(struct http_request *r, struct err *e)
{
	front_problem(r, e->code, e);
}

static void start_store(struct http_request *r)
{
	static const struct upload_rules rules = {.wait_ms = -1, .stored = stored, .failed = not_stored};

	upload_start(r, &rules);
}

static const struct http_handler store_file = {
	.body_kind = HTTP_BODY_STREAM, .start = start_store, .body = upload_body, .end = upload_end, .release = upload_release};

/* ---- GET /v1/files ---- */

static void list_files(struct http_request *r)
{
	seen_list_files(r, SEEN_BY_OWNER);
}

static void end_list(struct http_request *r)
{
	front_block(r, list_files);
}

static const struct http_handler get_files = {.end = end_list};
static const char *const list_query[] = {"state", "name", "label", "limit", "cursor", NULL};

/* ---- GET /v1/files/{id} ---- */

static void answer_file(struct http_request *r)
{
	struct err e = ERR_INIT;
	struct file f;
	int rc = seen_file(r, SEEN_BY_OWNER, &f, &e);

	if (rc != 0)
		front_problem(r, rc, &e);
	else
		seen_reply_file(r, SEEN_BY_OWNER, 200, &f);
}

static void answer_file_when_final(struct http_request *r)
{
	struct err e = ERR_INIT;
	struct file f;
	int64_t wait_ms;
	int rc = wait_wanted(r, &wait_ms, &e);

	if (rc == 0)
		rc = seen_file(r, SEEN_BY_OWNER, &f, &e);
	if (rc != 0)
		front_problem(r, rc, &e);
	else if (wait_ms > 0 && !front_jobs_final(&f))
		wait_for_file(r, f.id, wait_ms, answer_file);
	else
		seen_reply_file(r, SEEN_BY_OWNER, 200, &f);
}

static void end_get(struct http_request *r)
{
	front_read(r, answer_file_when_final);
}

static const struct http_handler get_file = {.end = end_get};
static const char *const wait_query[] = {"wait", NULL};

/* ---- PATCH /v1/files/{id} ---- */

static int read_patch(struct http_request *r, json_t *body, struct change_patch_file *c, struct err *e)
{
	static const char *const members[] = {"name", "labels", "expires_at", NULL};
	struct json_place p = {body, ""};
	struct str name = {}, labels = {};
	struct arena *a = http_arena(r);
	int rc;

	if ((rc = json_members_only(&p, members, e)) != 0 || (rc = json_member_str(&p, "name", false, &name, e)) != 0 ||
	    (rc = json_member_object(&p, "labels", a, &labels, e)) != 0 ||
	    (rc = json_member_time(&p, "expires_at", true, &c->expires_at, e)) != 0)
		return rc;
	c->set_expires = json_object_get(body, "expires_at") != NULL;
	if (c->set_expires && !json_is_null(json_object_get(body, "expires_at")) && c->expires_at <= c->now) {
		err_set(e, ERR_INVALID_VALUE, "expires_at has passed already; to delete the file, use DELETE");
		return err_field(e, "expires_at");
	}
	if (name.p != NULL && (rc = name_clean(&c->name, name, a, e)) != 0)
		return rc;
	if (labels.p != NULL && (rc = labels_parse_json(&c->labels, labels, a, e)) != 0)
		return rc;
	return 0;
}

static void answer_after_patch(struct http_request *r)
{
	front_block(r, answer_file);
}

static void end_patch(struct http_request *r)
{
	struct front_write *w = front_write_new(r, CHANGE_PATCH_FILE);
	struct err e = ERR_INIT;
	json_t *body;

	if (w == NULL)
		return;
	struct change_patch_file *c = &w->change.patch_file;
	*c = (struct change_patch_file){.owner = front_owner(r), .now = front_now(r)};
	int rc = front_id(r, &c->id, &e);
	if (rc == 0 && (rc = json_body_read(r, &body, &e)) == 0) {
		rc = read_patch(r, body, c, &e);
		json_decref(body);
	}
	if (rc == 0)
		rc = front_write_audit(w, AUDIT_FILE_CHANGED, &e, LF_STR("file", http_param(r, "id")), LF_BOOL("name", c->name.p != NULL),
				       LF_BOOL("labels", c->labels.p != NULL), LF_BOOL("expires_at", c->set_expires));
	if (rc != 0)
		front_problem(r, rc, &e);
	else
		front_write_submit(w, answer_after_patch);
}

static const struct http_handler patch_file = {.body_kind = HTTP_BODY_BUFFER, .end = end_patch};

/* ---- DELETE /v1/files/{id} ---- */

static const struct http_handler delete_file = {.end = front_delete_file};

/* ---- GET /v1/files/{id}/content ---- */

static void answer_content(struct http_request *r)
{
	seen_content(r, SEEN_BY_OWNER);
}

static void end_content(struct http_request *r)
{
	front_block(r, answer_content);
}

static const struct http_handler get_content = {.end = end_content};
static const char *const content_query[] = {"inline", NULL};
static const char *const store_query[] = {"name", "ops", "pipeline", "labels", "wait", NULL};

const struct http_route api_file_routes[] = {
	{HTTP_POST, "/v1/files", &store_file, HTTP_FILES_WRITE, "storeFile", "Store one file and queue its jobs", store_query},
	{HTTP_GET, "/v1/files", &get_files, HTTP_FILES_READ, "listFiles", "The caller's files, newest first", list_query},
	{HTTP_GET, "/v1/files/{id}", &get_file, HTTP_FILES_READ, "getFile", "A file with its jobs", wait_query},
	{HTTP_PATCH, "/v1/files/{id}", &patch_file, HTTP_FILES_WRITE, "changeFile", "Change name, labels or expiry", NULL},
	{HTTP_DELETE, "/v1/files/{id}", &delete_file, HTTP_FILES_WRITE, "deleteFile", "Delete a file and cancel its waiting jobs", NULL},
	{HTTP_GET, "/v1/files/{id}/content", &get_content, HTTP_FILES_READ, "getFileContent", "The bytes of a file", content_query},
	{},
};
