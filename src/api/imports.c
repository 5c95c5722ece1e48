/* /v1/imports: files that the server fetches itself. */
#include "api/api.h"
#include "base/json_out.h"
#include "front/hop.h"
#include "front/json_body.h"
#include "front/wait.h"

#include <string.h>

#define KEY_BYTES_MAX 255 /* of an Idempotency-Key */

static int64_t wait_of(struct http_request *r)
{
	const struct front_write *w = http_data(r);

	return *(const int64_t *)w->note;
}

static void reply_job(struct http_request *r, const struct job *job)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	char location[sizeof("/v1/jobs/") + UUID_TEXT_LEN] = "/v1/jobs/";
	struct json_out j = json_out(&b);

	uuid_format(location + strlen(location), job->id);
	http_set_header(r, "Location", location);
	job_write_json(&j, job);
	http_reply_json(r, 202, &b);
}

/* ---- what a request says ---- */

static int read_object(struct json_place *p, struct engine_import *im, struct err *e)
{
	static const char *const members[] = {"bucket", "key", NULL};
	json_t *s3 = json_object_get(p->object, "s3");
	struct json_place in = {s3, "s3/"};
	int rc;

	if (s3 == NULL && im->url.p == NULL) {
		err_set(e, ERR_MISSING_VALUE, "url or s3 says what is to be imported");
		return err_field(e, "url");
	}
	if (s3 == NULL)
		return 0;
	if (!json_is_object(s3) || im->url.p != NULL) {
		err_set(e, ERR_INVALID_VALUE, "s3 is an object with bucket and key, and stands in the place of url");
		return err_field(e, "s3");
	}
	if ((rc = json_members_only(&in, members, e)) != 0 || (rc = json_member_str(&in, "bucket", true, &im->bucket, e)) != 0)
		return rc;
	return json_member_str(&in, "key", true, &im->key, e);
}

static int read_ops(struct http_request *r, struct json_place *p, struct engine_import *im, struct err *e)
{
	const struct op_table *table = engine_ops(front_engine(r));
	struct str ops = {}, pipeline = {};
	struct op_request *list;
	int rc;

	if ((rc = json_member_str(p, "ops", false, &ops, e)) != 0 || (rc = json_member_str(p, "pipeline", false, &pipeline, e)) != 0)
		return rc;
	if (ops.p != NULL && pipeline.p != NULL) {
		err_set(e, ERR_BAD_OPS, "a pipeline brings its ops with it");
		return err_field(e, "ops");
	}
	if (pipeline.p != NULL)
		return op_table_pipeline(table, pipeline, &im->ops, &im->n_ops, e);
	if (ops.p == NULL)
		return 0;
	rc = op_table_parse_list(table, &list, &im->n_ops, ops, http_arena(r), e);
	im->ops = list;
	return rc;
}

/* The last segment of the URL's path, or of the key. */
static struct str default_name(const struct engine_import *im, struct arena *a)
{
	struct str s = im->url.p != NULL ? im->url : im->key, rest;
	char *text;
	long n;

	if (im->url.p != NULL) {
		s = str_split(s, '?', &rest);
		str_split(s, ':', &rest); /* behind scheme:// and the host, or there is no path */
		rest = (struct str){rest.p + 2, rest.len - 2};
		str_split(rest, '/', &s);
	}
	for (size_t i = s.len; i > 0; i--)
		if (s.p[i - 1] == '/') {
			s = (struct str){s.p + i, s.len - i};
			break;
		}
	text = arena_alloc(a, s.len + 1);
	n = text == NULL ? -1 : im->url.p != NULL ? pct_decode(text, s) : (long)s.len;
	if (n < 0)
		return STR("");
	if (im->url.p == NULL)
		memcpy(text, s.p, s.len);
	return (struct str){text, (size_t)n};
}

/* A name that the source's address brings and that is not allowed is none; one that the caller says is an error. */
static int read_name(struct http_request *r, struct json_place *p, struct engine_import *im, struct err *e)
{
	struct str clean;
	int rc;

	im->name = (struct str){};
	rc = json_member_str(p, "name", false, &im->name, e);

	if (rc != 0 || im->name.p != NULL)
		return rc;
	im->name = default_name(im, http_arena(r));
	if (name_clean(&clean, im->name, http_arena(r), NULL) != 0)
		im->name = STR("");
	return 0;
}

static int read_labels(struct http_request *r, struct json_place *p, struct engine_import *im, struct err *e)
{
	struct str text = {};
	int rc = json_member_object(p, "labels", http_arena(r), &text, e);

	if (rc != 0 || text.p == NULL)
		return rc;
	return labels_parse_json(&im->labels, text, http_arena(r), e);
}

static int read_import(struct http_request *r, json_t *body, struct front_write *w, struct err *e)
{
	static const char *const members[] = {"url", "s3", "name", "ops", "pipeline", "labels", "sha256", "max_attempts", NULL};
	struct engine_import im = {.owner = front_owner(r)};
	struct json_place p = {body, ""};
	int64_t attempts = 0;
	int rc;

	if ((rc = json_members_only(&p, members, e)) != 0 || (rc = json_member_str(&p, "url", false, &im.url, e)) != 0 ||
	    (rc = read_object(&p, &im, e)) != 0 || (rc = json_member_str(&p, "sha256", false, &im.sha256, e)) != 0 ||
	    (rc = json_member_int(&p, "max_attempts", 1, OP_ATTEMPTS_MAX, &attempts, e)) != 0 || (rc = read_ops(r, &p, &im, e)) != 0 ||
	    (rc = read_labels(r, &p, &im, e)) != 0)
		return rc;
	im.max_attempts = (uint32_t)attempts;
	struct change c;
	im.name = STR(""); /* before the URL is taken apart for a name it is known to be one */
	rc = engine_new_import(front_engine(r), &c, &im, http_arena(r), e);
	if (rc == 0)
		rc = read_name(r, &p, &im, e);
	if (rc == 0)
		rc = name_clean(&c.add_file.file->name, im.name, http_arena(r), e);
	if (rc == 0)
		w->change.add_file = c.add_file;
	return rc;
}

static int read_key(struct http_request *r, struct change_add_file *add, struct err *e)
{
	struct str key = http_header(r, "Idempotency-Key"), body = http_body(r);
	struct digest_set *d;
	size_t n;
	int rc;

	if (key.p == NULL)
		return 0;
	for (size_t i = 0; i < key.len; i++)
		if (key.p[i] <= ' ' || key.p[i] > '~')
			key.len = 0;
	if (key.len == 0 || key.len > KEY_BYTES_MAX) {
		err_set(e, ERR_BAD_HEADER, "an Idempotency-Key is 1 to %d visible ASCII characters", KEY_BYTES_MAX);
		return err_field(e, "Idempotency-Key");
	}
	if ((rc = digest_set_new(&d, 1u << DIGEST_SHA256, e)) != 0)
		return rc;
	digest_set_update(d, body.p, body.len);
	rc = digest_set_finish(d, e);
	if (rc == 0)
		memcpy(add->fingerprint, digest_set_get(d, DIGEST_SHA256, &n), sizeof(add->fingerprint));
	digest_set_free(d);
	add->idempotency_key = key;
	return rc;
}

/* ---- the answer ---- */

static void answer_now(struct http_request *r)
{
	const struct front_write *w = http_data(r);
	const struct change_add_file *add = &w->change.add_file;
	struct file_key key = {.id = add->replayed ? add->replay_of : add->file->id};
	struct err e = ERR_INIT;
	struct file f;
	int rc = catalog_file(front_catalog(r), key, front_owner(r), http_arena(r), &f, &e);

	if (rc == 0 && f.n_jobs == 0)
		rc = err_set(&e, ERR_JOB_GONE, "the import has expired");
	if (rc != 0) {
		front_problem(r, rc, &e);
		return;
	}
	if (add->replayed)
		http_set_header(r, "Idempotency-Replayed", "true");
	engine_progress(front_engine(r), f.jobs, 1);
	reply_job(r, &f.jobs[0]);
}

static void answer_taken(struct http_request *r)
{
	const struct front_write *w = http_data(r);
	const struct change_add_file *add = &w->change.add_file;

	if (add->replayed || wait_of(r) > 0)
		wait_for_file(r, add->replayed ? add->replay_of : add->file->id, wait_of(r), answer_now);
	else
		reply_job(r, &add->file->jobs[0]);
}

/* Its address is left out: it may hold a secret. */
static int note(struct front_write *w, struct err *e)
{
	char id[UUID_TEXT_LEN + 1];

	uuid_format(id, w->change.add_file.file->id);
	return front_write_audit(w, AUDIT_FILE_IMPORT, e, LF_CSTR("file", id), LF_STR("name", w->change.add_file.file->name));
}

static void end_import(struct http_request *r)
{
	struct front_write *w = front_write_new(r, CHANGE_ADD_FILE);
	struct err e = ERR_INIT;
	int64_t *wait;
	json_t *body;

	if (w == NULL)
		return;
	wait = arena_alloc(http_arena(r), sizeof(*wait));
	int rc = wait != NULL ? wait_wanted(r, wait, &e) : err_set(&e, ERR_NO_MEMORY, "no memory for a request");
	w->note = wait;
	if (rc == 0 && (rc = json_body_read(r, &body, &e)) == 0) {
		rc = read_import(r, body, w, &e);
		json_decref(body);
	}
	if (rc == 0)
		rc = read_key(r, &w->change.add_file, &e);
	if (rc == 0)
		rc = note(w, &e);
	if (rc != 0)
		front_problem(r, rc, &e);
	else
		front_write_submit(w, answer_taken);
}

static const struct http_handler make_import = {.body_kind = HTTP_BODY_BUFFER, .end = end_import};
static const char *const query[] = {"wait", NULL};

const struct http_route api_import_routes[] = {
	{HTTP_POST, "/v1/imports", &make_import, HTTP_FILES_WRITE, "createImport", "Have a file fetched from another server", query, false,
	 false},
	{},
};
