/* /v1/links/{id}: links are redeemed. A file is stored, by its bare bytes or by a plain HTML form, or the bytes of one are read.
 *
 * What a link allows is inside its signature. Whatever else a request brings that would change what is done is refused, never obeyed: a parameter by the route's table, a header by the table here, a
 * part of the form by the rules of the upload. Credentials that come along are not looked at. */
#include "api/api.h"
#include "front/caller.h"
#include "front/content.h"
#include "front/hop.h"
#include "front/link.h"
#include "front/page.h"
#include "front/upload.h"
#include "http/fields.h"

#include <string.h>

/* ---- PUT and POST: one file is stored ---- */

/* Headers that would change what is stored, or whether, had they been heard here or by another store of this kind. */
static int check_headers(struct http_request *r, struct err *e)
{
	static const char *const meaning[] = {
		"Content-Disposition", "Content-Range",          "Idempotency-Key",   "If-Match",  "If-None-Match", "If-Unmodified-Since",
		"Upload-Complete",     "Upload-Metadata",        "X-Amz-Copy-Source", "X-Amz-Acl", "X-Amz-Tagging", "X-Amz-Meta-Name",
		"X-Goog-Copy-Source",  "X-HTTP-Method-Override",
	};

	for (size_t i = 0; i < ARRAY_LEN(meaning); i++)
		if (http_header(r, meaning[i]).p != NULL) {
			err_set(e, ERR_LINK_INVALID, "this header is not among what the link was signed for");
			return err_field(e, meaning[i]);
		}
	return 0;
}

/* What the client says of bare bytes must not contradict the link; what they are is told from themselves. */
static int check_said_type(struct http_request *r, const struct link *l, struct err *e)
{
	struct str said = http_header(r, "Content-Type"), rest;

	if (said.p == NULL || l->type.len == 0 || media_type_is(said, "multipart/form-data"))
		return 0;
	if (str_eq_nocase(str_trim(str_split(said, ';', &rest)), l->type))
		return 0;
	err_set(e, ERR_UNSUPPORTED_TYPE, "this link takes files of another type");
	CLEANUP(buf_release) struct buf expected = BUF_INIT;
	buf_add_str(&expected, l->type);
	if (buf_ok(&expected))
		err_expected(e, expected.p);
	return err_field(e, "Content-Type");
}

static int prepare(struct http_request *r, struct intake_spec *spec, struct err *e)
{
	const struct link *l = front_caller(r)->link;
	int rc;

	if ((rc = check_headers(r, e)) != 0 || (rc = check_said_type(r, l, e)) != 0 ||
	    (rc = front_link_types(r, l->type, &spec->types, e)) != 0)
		return rc;
	if (l->name.len > 0)
		spec->name = l->name;
	if (l->ops.len > 0)
		spec->ops = l->ops;
	spec->size_max = l->size;
	spec->size_exact = l->size_exact;
	spec->once = front_link_once(l);
	return front_link_label(r, l->id, &spec->labels, e);
}

static void reply_page(struct http_request *r, const struct file *f)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	char sha256[65];

	hex_encode(sha256, f->sha256, sizeof(f->sha256));
	page_open(&b, "File stored");
	buf_add_cstr(&b, "<p>");
	page_text(&b, f->name);
	buf_addf(&b, ", %llu bytes, SHA-256 <code>%s</code>, is stored safely.</p>\n", (unsigned long long)f->size, sha256);
	page_reply(r, 201, &b);
}

/* A receipt: whoever has the link need not know whose files these are, nor what is done with them. */
static void stored(struct http_request *r, const struct file *f, bool replayed)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);
	char id[UUID_TEXT_LEN + 1], sha256[65];

	if (front_link_wants_page(r)) {
		reply_page(r, f);
		return;
	}
	uuid_format(id, f->id);
	hex_encode(sha256, f->sha256, sizeof(f->sha256));
	json_obj_open(&j);
	json_kcstr(&j, "id", id);
	json_kstr(&j, "name", f->name);
	json_ku64(&j, "size", f->size);
	json_kstr(&j, "type", f->type);
	json_kcstr(&j, "sha256", sha256);
	json_ktime(&j, "created_at", f->created_at);
	json_obj_close(&j);
	http_reply_json(r, 201, &b);
}

static void say_used(struct err *e)
{
	if (e->code == ERR_USED)
		err_set(e, ERR_USED, "this link was for one use, which was made");
}

static void not_stored(struct http_request *r, struct err *e)
{
	say_used(e);
	front_link_refused(r, e);
}

static void start_upload(struct http_request *r)
{
	static const struct upload_rules rules = {
		.bound = true, .chosen = true, .prepare = prepare, .stored = stored, .failed = not_stored};

	upload_start(r, &rules);
}

static const struct http_handler upload = {
	.body_kind = HTTP_BODY_STREAM, .start = start_upload, .body = upload_body, .end = upload_end, .release = upload_release};

/* ---- GET and HEAD: the bytes of a file are read ---- */

static void send_content(struct http_request *r, struct uuid id)
{
	struct err e = ERR_INIT;
	struct file f;
	int rc = catalog_file(front_catalog(r), (struct file_key){.id = id}, front_owner(r), http_arena(r), &f, &e);

	if (rc != 0) {
		front_problem(r, rc, &e);
		return;
	}
	http_set_header(r, "Referrer-Policy", "no-referrer"); /* the address would be told to others */
	struct content c = content_of_file(&f);
	content_answer(r, &c, false);
}

static void send_used_content(struct http_request *r)
{
	send_content(r, front_caller(r)->link->file);
}

static void after_use(struct http_request *r)
{
	front_block(r, send_used_content);
}

static void explain_used(struct front_write *w)
{
	say_used(&w->change.err);
}

/* The use is durable before the first byte leaves. Asking for the head alone is none. */
static void use_and_send(struct http_request *r, const struct link *l)
{
	struct front_write *w = front_write_new(r, CHANGE_ONCE);

	if (w == NULL)
		return;
	w->change.once = front_link_once(l);
	w->explain = explain_used;
	front_write_submit(w, after_use);
}

static void answer_content(struct http_request *r)
{
	const struct link *l = front_caller(r)->link;

	if (l->single_use && http_method(r) != HTTP_HEAD)
		use_and_send(r, l);
	else
		send_content(r, l->file);
}

static void end_content(struct http_request *r)
{
	front_block(r, answer_content);
}

static const struct http_handler content = {.end = end_content};
static const char *const query[] = {"token", NULL};

const struct http_route api_link_use_routes[] = {
	{HTTP_PUT, "/v1/links/{id}", &upload, HTTP_LINK, "uploadByLink", "Store a file by a link", query},
	{HTTP_POST, "/v1/links/{id}", &upload, HTTP_LINK, "uploadFormByLink", "Store a file by a link, from a plain HTML form", query},
	{HTTP_GET, "/v1/links/{id}", &content, HTTP_LINK, "downloadByLink", "The bytes of a file by a link", query},
	{},
};
