/* instashare: files that come in, by forms and by signed addresses. */
#include "base/clock.h"
#include "front/caller.h"
#include "front/hop.h"
#include "front/json_body.h"
#include "front/link.h"
#include "front/upload.h"
#include "surfaces/instashare.h"

#define URL_EXPIRES_MS (15 * 60 * 1000)
#define CLOCK_GRACE_MS (24LL * 60 * 60 * 1000) /* clocks may be set back */

/* ---- POST /upload_files ---- */

static void stored(struct http_request *r, const struct file *const *files, size_t n)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);

	json_arr_open(&j);
	for (size_t i = 0; i < n; i++) {
		json_obj_open(&j);
		instashare_write_file(&j, files[i]);
		json_obj_close(&j);
	}
	json_arr_close(&j);
	http_reply_json(r, 201, &b);
}

static void not_stored(struct http_request *r, struct err *e)
{
	front_problem(r, e->code, e);
}

static void start_upload(struct http_request *r)
{
	static const struct upload_rules rules = {
		.ops = INSTASHARE_OPS, .form_only = true, .plain_form = true, .many = true, .stored_all = stored, .failed = not_stored};

	upload_start(r, &rules);
}

const struct http_handler instashare_upload = {
	.body_kind = HTTP_BODY_STREAM, .start = start_upload, .body = upload_body, .end = upload_end, .release = upload_release};

/* ---- POST /upload_urls ---- */

struct making {
	struct link link;
	struct buf url;
};

static int refuse(struct err *e, const char *field, const char *detail)
{
	err_set(e, ERR_INVALID_VALUE, "%s", detail);
	return err_field(e, field);
}

static int read_type(struct http_request *r, const struct json_place *p, struct str *ret, struct err *e)
{
	struct str text = {};
	int rc = json_member_str(p, "type", true, &text, e);

	if (rc != 0)
		return rc;
	if (!link_type_valid(text)) {
		refuse(e, "type", "type is one media type in lower case, without parameters");
		return err_expected(e, "image/png");
	}
	*ret = arena_str(http_arena(r), text);
	return ret->p != NULL ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for a request");
}

static int read_size(struct http_request *r, const struct json_place *p, uint64_t *ret, struct err *e)
{
	int64_t size = 0;
	int rc = json_member_int(p, "size", 1, (int64_t)front_of(r)->file_max, &size, e);

	if (rc == 0 && size == 0) {
		err_set(e, ERR_MISSING_VALUE, "size is missing");
		return err_field(e, "size");
	}
	*ret = (uint64_t)size;
	return rc;
}

/* Name, size and type are inside the signature: the file that comes must be just so. */
static int read_making(struct http_request *r, json_t *body, struct link *l, struct err *e)
{
	static const char *const members[] = {"name", "size", "type", NULL};
	struct json_place p = {body, ""};
	struct str name = {};
	int rc;

	if ((rc = json_members_only(&p, members, e)) != 0 || (rc = json_member_str(&p, "name", true, &name, e)) != 0 ||
	    (rc = name_clean(&l->name, name, http_arena(r), e)) != 0 || (rc = read_size(r, &p, &l->size, e)) != 0)
		return rc;
	return read_type(r, &p, &l->type, e);
}

static int make(struct http_request *r, struct making *m, struct err *e)
{
	json_t *body;
	int rc = json_body_read(r, &body, e);

	if (rc != 0)
		return rc;
	rc = read_making(r, body, &m->link, e);
	json_decref(body);
	if (rc == 0)
		rc = catalog_quota_room(front_catalog(r), front_owner(r), m->link.size, e);
	return rc == 0 ? front_link_make(r, &m->link, URL_EXPIRES_MS, &m->url, e) : rc;
}

static void reply_url(struct http_request *r, const struct making *m)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);
	char id[UUID_TEXT_LEN + 1];

	uuid_format(id, m->link.id);
	json_obj_open(&j);
	json_kcstr(&j, "id", id);
	json_kstr(&j, "url", buf_str(&m->url));
	json_kcstr(&j, "method", "PUT");
	json_key(&j, "headers");
	json_obj_open(&j);
	json_kstr(&j, "Content-Type", m->link.type);
	json_obj_close(&j);
	json_ktime(&j, "expires_at", m->link.expires_at);
	json_obj_close(&j);
	http_reply_json(r, 201, &b);
}

static void answer_made(struct http_request *r)
{
	struct making m = {
		.link = {.method = LINK_PUT,
			 .single_use = true,
			 .size_exact = true,
			 .type = STR(""),
			 .ops = STR(INSTASHARE_OPS),
			 .name = STR("")},
		.url = BUF_INIT,
	};
	struct err e = ERR_INIT;
	int rc = make(r, &m, &e);

	if (rc != 0)
		front_problem(r, rc, &e);
	else
		reply_url(r, &m);
	buf_release(&m.url);
}

static void end_make(struct http_request *r)
{
	front_block(r, answer_made);
}

const struct http_handler instashare_make_url = {.body_kind = HTTP_BODY_BUFFER, .end = end_make};

/* ---- POST /upload_urls/{id}/complete ---- */

/* When an id was made (RFC 9562 §5.7); of a link, when the link was. */
static int64_t time_of_id(struct uuid id)
{
	int64_t ms = 0;

	for (size_t i = 0; i < 6; i++)
		ms = ms << 8 | id.b[i];
	return ms;
}

/* Said alike of an address that was never made, one that nobody used, and another's. */
static int nothing_came(struct err *e)
{
	return err_set(e, ERR_FILE_NOT_FOUND, "no file has come by this address");
}

/* Whether the address may still be used and nobody has: clients ask so while they send, so their files are not looked through each time. */
static int check_used(struct http_request *r, struct uuid link, struct err *e)
{
	const struct once once = front_link_once(&(struct link){.id = link, .single_use = true});
	bool used = true;
	int rc = 0;

	if (front_now(r) < time_of_id(link) + URL_EXPIRES_MS)
		rc = catalog_once_used(front_catalog(r), once.key, &used, e);
	return rc == 0 && !used ? nothing_came(e) : rc;
}

/* Files from this row number down are older than the link, so none of them came by it. */
static bool older(struct http_request *r, int64_t number, struct uuid link)
{
	struct file f;

	return catalog_file(front_catalog(r), (struct file_key){.number = number}, front_owner(r), http_arena(r), &f, NULL) == 0 &&
	       f.created_at < time_of_id(link) - CLOCK_GRACE_MS;
}

/* The caller's file that carries the link's label. */
static int find_by_link(struct http_request *r, struct uuid link, struct file *ret, struct err *e)
{
	struct file_filter filter = {.owner = front_owner(r), .label_key = STR(LINK_LABEL), .state = -1};
	struct page page = {.limit = 1};
	char text[UUID_TEXT_LEN + 1];
	struct file *files = NULL;
	int64_t next = 0;
	size_t n = 0;

	uuid_format(text, link);
	filter.label_value = str_of(text);
	do {
		int rc = catalog_list_files(front_catalog(r), &filter, page, http_arena(r), &files, &n, &next, e);
		if (rc != 0)
			return rc;
		page.before = next;
	} while (n == 0 && next != 0 && !older(r, next, link));
	if (n == 0)
		return nothing_came(e);
	*ret = files[0];
	return 0;
}

static void answer_complete(struct http_request *r)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);
	struct err e = ERR_INIT;
	struct uuid link;
	struct file f;
	int rc = front_id(r, &link, &e);

	if (rc == 0)
		rc = check_used(r, link, &e);
	if (rc == 0)
		rc = find_by_link(r, link, &f, &e);
	if (rc != 0) {
		front_problem(r, rc, &e);
		return;
	}
	json_obj_open(&j);
	instashare_write_file(&j, &f);
	json_obj_close(&j);
	http_reply_json(r, 200, &b);
}

static void end_complete(struct http_request *r)
{
	front_block(r, answer_complete);
}

/* Clients send nothing, or an empty object. */
const struct http_handler instashare_complete = {.body_kind = HTTP_BODY_BUFFER, .end = end_complete};
