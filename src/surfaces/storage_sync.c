/* storage-sync: copy objects from S3 to local storage on request.
 *
 * A sync is an import of the owner OWNER, who is nobody that could sign in; what else was said of the object are its file's labels. That a payload is taken once only is a once-key of the change that
 * adds it, so it holds also for two that arrive at the same instant. */
#include "base/fd.h"
#include "base/json_out.h"
#include "base/wipe.h"
#include "front/content.h"
#include "front/hop.h"
#include "front/limits.h"
#include "net/sign.h"
#include "rt/json_in.h"
#include "surfaces/fastapi.h"
#include "surfaces/mirror.h"
#include "surfaces/surface.h"
#include "surfaces/sync_page.h"

#include <stdio.h>
#include <string.h>

#define OWNER STR(SYNC_OWNER)
#define ONCE_DOMAIN "storage-sync"

/* ---- POST /sync/: who may ---- */

/* True: it was answered, for there were too many. */
static bool over_rate(struct http_request *r)
{
	struct limiter *l = front_of(r)->surfaces->sync.rate;
	struct env *env = engine_env(front_engine(r));
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	uint8_t key[LIMITER_KEY];
	char seconds[24];

	limits_address(r, key);
	struct limiter_verdict v = limiter_take(l, key, env->mono_ms(env) * 1000);
	if (!v.over)
		return false;
	http_count_refusal(ERR_RATE_LIMITED);
	snprintf(seconds, sizeof(seconds), "%lld", (long long)((v.again_ms + 999) / 1000));
	http_set_header(r, "Retry-After", seconds);
	buf_add_cstr(&b, "{\"error\":\"Too many requests\"}");
	http_reply_json(r, front_of(r)->surfaces->sync.rate_status, &b);
	return true;
}

static void start_sync(struct http_request *r)
{
	if (over_rate(r))
		return;
	if (http_header(r, "Authorization").len == 0)
		fastapi_detail(r, 401, STR("Missing/empty Authorization header"));
}

static bool signature_right(struct http_request *r)
{
	struct str secret = str_of(front_of(r)->surfaces->sync.secret), body = http_body(r);
	uint8_t shown[32], right[32];
	bool ok = secret.len > 0 && hex_decode(shown, sizeof(shown), http_header(r, "Authorization")) &&
		  sign_hmac_sha256(right, secret, &body, 1, NULL) == 0 && sign_equal(shown, right);

	wipe(right, sizeof(right));
	return ok;
}

/* ---- what it says ---- */

struct sync {
	struct str oeid, ref_id, file_name, file_type;
};

/* A string of at most max characters, as databases count them. */
static bool read_text(struct str *ret, json_t *object, const char *name, size_t max)
{
	json_t *v = json_object_get(object, name);
	size_t n = 0;

	if (!json_is_string(v))
		return false;
	*ret = (struct str){json_string_value(v), json_string_length(v)};
	for (size_t i = 0; i < ret->len; i++)
		n += (ret->p[i] & 0xc0) != 0x80; /* each byte of a character but its first has these bits (RFC 3629) */
	return n <= max;
}

/* Borrows from the object. Members that nobody knows are nothing to it, as they were to the original. */
static bool read_sync(struct sync *ret, json_t *object)
{
	return read_text(&ret->oeid, object, "oeid", 30) && read_text(&ret->ref_id, object, "ref_id", 30) &&
	       read_text(&ret->file_name, object, "file_name", 255) && read_text(&ret->file_type, object, "file_type", 50) &&
	       mirror_name_allowed(ret->file_name);
}

static int read_labels(struct str *ret, const struct sync *s, struct arena *a, struct err *e)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);

	json_obj_open(&j);
	json_kstr(&j, "file_type", s->file_type);
	json_kstr(&j, "oeid", s->oeid);
	json_kstr(&j, "ref_id", s->ref_id);
	json_obj_close(&j);
	return buf_ok(&b) ? labels_parse_json(ret, buf_str(&b), a, e) : err_set(e, ERR_NO_MEMORY, "no memory for labels");
}

static int once_of(struct once *ret, struct str body, struct err *e)
{
	struct digest_set *d;
	size_t n;
	int rc = digest_set_new(&d, 1u << DIGEST_SHA256, e);

	if (rc != 0)
		return rc;
	digest_set_update(d, ONCE_DOMAIN, sizeof(ONCE_DOMAIN)); /* with its NUL */
	digest_set_update(d, body.p, body.len);
	rc = digest_set_finish(d, e);
	if (rc == 0) {
		ret->set = true;
		memcpy(ret->key, digest_set_get(d, DIGEST_SHA256, &n), sizeof(ret->key));
	}
	digest_set_free(d);
	return rc;
}

/* ---- taking it ---- */

static int build(struct http_request *r, struct front_write *w, const struct sync *s, struct err *e)
{
	const struct surface_options *options = front_of(r)->surfaces;
	struct arena *a = http_arena(r);
	char id[UUID_TEXT_LEN + 1];
	struct engine_import im = {.owner = OWNER,
				   .source = str_of(options->sync.source),
				   .bucket = str_of(options->sync.bucket),
				   .key = s->file_name,
				   .name = s->file_name};
	struct change c;
	int rc = read_labels(&im.labels, s, a, e);

	if (rc == 0)
		rc = engine_new_import(front_engine(r), &c, &im, a, e);
	if (rc == 0)
		rc = once_of(&w->change.once, http_body(r), e);
	if (rc != 0)
		return rc;
	w->change.add_file = c.add_file;
	uuid_format(id, c.add_file.file->id);
	return front_write_audit(w, AUDIT_FILE_IMPORT, e, LF_CSTR("file", id), LF_STR("name", c.add_file.file->name));
}

static void answer_queued(struct http_request *r)
{
	fastapi_detail(r, 201, STR("Object queued for sync"));
}

static void answer_refused(struct front_write *w)
{
	if (w->change.code == ERR_USED)
		fastapi_detail(w->r, 409, STR("Object already exists"));
	else
		front_problem(w->r, w->change.code, &w->change.err);
}

static void take(struct http_request *r, const struct sync *s)
{
	struct front_write *w = front_write_new(r, CHANGE_ADD_FILE);
	struct err e = ERR_INIT;

	if (w == NULL)
		return;
	int rc = front_of(r)->surfaces->sync.bucket[0] != '\0'
			 ? build(r, w, s, &e)
			 : err_set(&e, ERR_NOT_IMPLEMENTED, "this server's configuration names no source to copy from");
	w->refused = answer_refused;
	if (rc == ERR_BAD_NAME || rc == ERR_BAD_LABELS || (rc == ERR_INVALID_VALUE && str_eq(str_of(e.field), STR("s3/key"))))
		fastapi_detail(r, 400, STR("Invalid JSON data"));
	else if (rc != 0)
		front_problem(r, rc, &e);
	else
		front_write_submit(w, answer_queued);
}

static void end_sync(struct http_request *r)
{
	struct err e = ERR_INIT;
	struct sync s;
	json_t *object;

	if (!signature_right(r)) {
		fastapi_detail(r, 401, STR("Invalid HMAC signature hash"));
		return;
	}
	int rc = json_read(&object, http_body(r), &e);
	if (rc == ERR_NO_MEMORY) {
		front_problem(r, rc, &e);
		return;
	}
	if (rc != 0) {
		fastapi_detail(r, 400, STR("Malformed JSON data"));
		return;
	}
	if (!read_sync(&s, object))
		fastapi_detail(r, 400, STR("Invalid JSON data"));
	else
		take(r, &s);
	json_decref(object);
}

static const struct http_handler post_sync = {.body_kind = HTTP_BODY_BUFFER, .start = start_sync, .end = end_sync};

/* ---- GET /sync/ ---- */

static void answer_counts(struct http_request *r)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);
	struct err e = ERR_INIT;
	struct import_counts n;
	int rc = catalog_import_counts(front_catalog(r), OWNER, &n, &e);

	if (rc != 0) {
		front_problem(r, rc, &e);
		return;
	}
	json_obj_open(&j);
	json_ku64(&j, "synced_objects_count", n.there);
	json_ku64(&j, "queued_objects_count", n.under_way);
	json_obj_close(&j);
	http_reply_json(r, 200, &b);
}

static void end_counts(struct http_request *r)
{
	if (!over_rate(r))
		front_block(r, answer_counts);
}

static const struct http_handler get_counts = {.end = end_counts};

/* ---- GET /status.html ---- */

static void answer_status(struct http_request *r)
{
	static const char good[] = "<!doctype html>\n<html lang=\"en\"><title>Status</title><p>OK</p></html>\n";
	struct err e = ERR_INIT;
	int rc = engine_ready(front_engine(r), &e);

	http_set_header(r, "Cache-Control", "no-store");
	if (rc != 0)
		front_problem(r, ERR_OVERLOADED, &(struct err){.code = ERR_OVERLOADED});
	else
		http_reply_static(r, 200, "text/html; charset=utf-8", good, sizeof(good) - 1);
}

static void end_status(struct http_request *r)
{
	struct err e = ERR_INIT;

	if (engine_stopping(front_engine(r)))
		front_problem(r, ERR_SHUTTING_DOWN, &e);
	else
		front_block(r, answer_status);
}

static const struct http_handler get_status = {.end = end_status};

/* ---- GET /files/{file_name} ---- */

/* The route calls it {id}, as instashare's PATCH and DELETE of this address do: an OpenAPI document may name a path's parameter one way only. */

static void answer_file(struct http_request *r)
{
	struct str asked = http_param(r, "id"), name;
	struct content c = {.fd = -1};
	uint8_t first[MAGIC_BYTES];
	struct err e = ERR_INIT;
	int rc = mirror_find(front_of(r)->surfaces->sync.mirror, asked, &c.fd, &c.size, &c.made_at, &e);

	if (rc != 0) {
		front_problem(r, rc, &e);
		return;
	}
	ssize_t n = fd_pread_full(c.fd, first, sizeof(first), 0);
	c.type = str_of(magic_type(first, n > 0 ? (size_t)n : 0));
	c.name = name_clean(&name, asked, http_arena(r), &e) == 0 ? name : STR("file");
	content_answer(r, &c, true);
}

static void end_file(struct http_request *r)
{
	front_block(r, answer_file);
}

static const struct http_handler get_file = {.end = end_file};

static const struct http_route routes[] = {
	{HTTP_POST, "/sync", &post_sync, HTTP_ANYONE, "storageSyncQueue", "storage-sync: have an object copied", NULL, true, true},
	{HTTP_GET, "/sync", &get_counts, HTTP_ANYONE, "storageSyncCounts", "storage-sync: how many objects were copied and wait", NULL,
	 true, true},
	{HTTP_GET, "/status.html", &get_status, HTTP_ANYONE, "storageSyncStatus", "storage-sync: catalogue and store answer", NULL, true,
	 true},
	{HTTP_GET, "/syncs", &sync_page, HTTP_OPERATOR, "storageSyncPage", "storage-sync: what was copied, a page for operators",
	 sync_page_query, true, true},
	{HTTP_GET, "/files/{id}", &get_file, HTTP_OPERATOR, "storageSyncFile", "storage-sync: a copied object, for operators", NULL, true,
	 true, true},
	{},
};

const struct surface surface_storage_sync = {
	.name = "storage-sync", .routes = routes, .summary = "copy objects from S3 to local storage on request"};
