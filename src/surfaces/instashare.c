/* instashare: accounts, uploads, archives. Here: the routes, and the files that are there. */
#include "surfaces/instashare.h"
#include "front/content.h"
#include "front/hop.h"
#include "front/json_body.h"
#include "front/list.h"
#include "surfaces/surface.h"

const struct job *instashare_job(const struct file *f)
{
	return front_job_of(f, STR("zip"));
}

void instashare_write_file(struct json_out *j, const struct file *f)
{
	const struct job *job = instashare_job(f);
	char id[UUID_TEXT_LEN + 1];

	uuid_format(id, f->id);
	json_kcstr(j, "id", id);
	json_kstr(j, "name", f->name);
	json_ku64(j, "size", f->size);
	json_kcstr(j, "status", job != NULL ? job_state_name(job->state) : NULL);
}

static void write_listed(struct json_out *j, const struct file *f)
{
	json_obj_open(j);
	instashare_write_file(j, f);
	json_ktime(j, "created_at", f->created_at);
	json_obj_close(j);
}

/* ---- GET /files ---- */

static void list_files(struct http_request *r)
{
	CLEANUP(buf_release) struct buf scope = BUF_INIT;
	const struct file_filter filter = {.owner = front_owner(r), .state = -1};
	struct err e = ERR_INIT;
	struct file *files = NULL;
	struct listing l;
	struct page page;
	size_t n = 0;
	int64_t next = 0;

	list_scope(&scope, r, "instashare", NULL, 0);
	int rc = list_page(r, &scope, &page, &e);
	if (rc == 0)
		rc = catalog_list_files(front_catalog(r), &filter, page, http_arena(r), &files, &n, &next, &e);
	if (rc != 0) {
		front_problem(r, rc, &e);
		return;
	}
	listing_begin(&l, r, "files");
	for (size_t i = 0; i < n; i++)
		write_listed(&l.j, &files[i]);
	listing_end(&l, &scope, next);
}

static void end_list(struct http_request *r)
{
	front_block(r, list_files);
}

static const struct http_handler get_files = {.end = end_list};

/* ---- /files/{id} ---- */

/* The file of the path, or its problem as the answer. */
static bool read_file(struct http_request *r, struct file *ret)
{
	struct err e = ERR_INIT;
	struct file_key key = {};
	int rc = front_id(r, &key.id, &e);

	if (rc == 0)
		rc = catalog_file(front_catalog(r), key, front_owner(r), http_arena(r), ret, &e);
	if (rc != 0)
		front_problem(r, rc, &e);
	return rc == 0;
}

static void answer_file(struct http_request *r)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);
	struct file f;

	if (!read_file(r, &f))
		return;
	write_listed(&j, &f);
	http_reply_json(r, 200, &b);
}

static void answer_after_patch(struct http_request *r)
{
	front_block(r, answer_file);
}

static int read_name(struct http_request *r, struct str *ret, struct err *e)
{
	static const char *const members[] = {"name", NULL};
	struct str name = {};
	json_t *body;
	int rc = json_body_read(r, &body, e);

	if (rc != 0)
		return rc;
	struct json_place p = {body, ""};
	if ((rc = json_members_only(&p, members, e)) == 0 && (rc = json_member_str(&p, "name", true, &name, e)) == 0)
		rc = name_clean(ret, name, http_arena(r), e);
	json_decref(body);
	return rc;
}

static void end_patch(struct http_request *r)
{
	struct front_write *w = front_write_new(r, CHANGE_PATCH_FILE);
	struct err e = ERR_INIT;

	if (w == NULL)
		return;
	struct change_patch_file *c = &w->change.patch_file;
	*c = (struct change_patch_file){.owner = front_owner(r), .now = front_now(r)};
	int rc = front_id(r, &c->id, &e);
	if (rc == 0)
		rc = read_name(r, &c->name, &e);
	if (rc == 0)
		rc = front_write_audit(w, AUDIT_FILE_CHANGED, &e, LF_STR("file", http_param(r, "id")), LF_BOOL("name", true));
	if (rc != 0)
		front_problem(r, rc, &e);
	else
		front_write_submit(w, answer_after_patch);
}

static const struct http_handler patch_file = {.body_kind = HTTP_BODY_BUFFER, .end = end_patch};
static const struct http_handler delete_file = {.end = front_delete_file};

/* ---- GET /files/{id}/download ---- */

static void refuse_download(struct http_request *r, const struct job *job)
{
	struct err e = ERR_INIT;

	if (job == NULL) {
		err_set(&e, ERR_OUTPUT_NOT_FOUND, "this file came without the job that makes an archive");
	} else if (!job_state_final(job->state)) {
		err_set(&e, ERR_JOB_STATE, "the archive is not ready yet");
		http_set_header(r, "Retry-After", "1");
	} else {
		err_set(&e, ERR_JOB_STATE, "there is no archive: the job that makes it is %s%s%s", job_state_name(job->state),
			job->error != 0 ? ": " : "", job->error != 0 ? err_info(job->error)->title : "");
	}
	front_problem(r, e.code, &e);
}

/* Called like the file is now: it may have been renamed since the archive was made. */
static bool name_archive(struct http_request *r, const struct file *f, struct str *ret)
{
	CLEANUP(buf_release) struct buf name = BUF_INIT;

	buf_add_str(&name, f->name);
	buf_add_cstr(&name, ".zip");
	*ret = buf_ok(&name) ? arena_str(http_arena(r), buf_str(&name)) : (struct str){};
	return ret->p != NULL;
}

static void answer_download(struct http_request *r)
{
	struct err e = ERR_INIT;
	const struct job *job;
	struct file f;

	if (!read_file(r, &f))
		return;
	job = instashare_job(&f);
	if (job == NULL || job->state != JOB_SUCCEEDED || job->n_outputs == 0) {
		refuse_download(r, job);
		return;
	}
	struct content c = content_of_output(job, &job->outputs[0]);
	if (name_archive(r, &f, &c.name))
		content_answer(r, &c, false);
	else
		front_problem(r, err_set(&e, ERR_NO_MEMORY, "no memory for a name"), &e);
}

static void end_download(struct http_request *r)
{
	front_block(r, answer_download);
}

static const struct http_handler download = {.end = end_download};
static const char *const list_query[] = {"limit", "cursor", NULL};

static const struct http_route routes[] = {
	{HTTP_POST, "/users/register", &instashare_register, HTTP_ANYONE, "instashareRegister", "instashare: make an account", NULL, true,
	 true},
	{HTTP_POST, "/users/login", &instashare_login, HTTP_ANYONE, "instashareLogin", "instashare: sign in", NULL, true, true},
	{HTTP_POST, "/upload_files", &instashare_upload, HTTP_FILES_WRITE, "instashareStore", "instashare: store files, all or none", NULL,
	 true, true},
	{HTTP_GET, "/files", &get_files, HTTP_FILES_READ, "instashareList", "instashare: one's files, newest first", list_query, true,
	 true},
	{HTTP_PATCH, "/files/{id}", &patch_file, HTTP_FILES_WRITE, "instashareRename", "instashare: rename a file", NULL, true, true},
	{HTTP_DELETE, "/files/{id}", &delete_file, HTTP_FILES_WRITE, "instashareDelete", "instashare: delete a file", NULL, true, true},
	{HTTP_GET, "/files/{id}/download", &download, HTTP_FILES_READ, "instashareDownload", "instashare: the archive of a file", NULL,
	 true, true},
	{HTTP_POST, "/upload_urls", &instashare_make_url, HTTP_FILES_WRITE, "instashareMakeUrl",
	 "instashare: a signed address to send one file to", NULL, true, true},
	{HTTP_POST, "/upload_urls/{id}/complete", &instashare_complete, HTTP_FILES_WRITE, "instashareComplete",
	 "instashare: the file that came by that address", NULL, true, true},
	{},
};

const struct surface surface_instashare = {
	.name = "instashare", .routes = routes, .summary = "accounts, uploads, each file as a ZIP archive"};
