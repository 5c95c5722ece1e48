/* instashare: signed addresses, by which one file comes each.
 *
 * Where the files are in an object storage the address is of that: it takes just this size and type, and the server takes the file from there when it is told that it came. Elsewhere, and for what is
 * too large for one request of that kind, the address is the server's own, and the file is there as soon as it came. */
#include "auth/link.h"
#include "base/clock.h"
#include "engine/arrival.h"
#include "front/caller.h"
#include "front/hop.h"
#include "front/json_body.h"
#include "front/limits.h"
#include "front/link.h"
#include "surfaces/instashare.h"

#define URL_EXPIRES_MS (15 * 60 * 1000)
#define CLOCK_GRACE_MS (24LL * 60 * 60 * 1000) /* clocks may be set back */

/* ---- POST /upload_urls ---- */

struct making {
	struct link link;
	struct buf url;
	struct buf meta_name; /* the object storage's: to be sent; empty where the address is the server's own */
	bool if_none_match; /* so is this, and the next; NULL: there is none */
	const char *guard;
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

/* Of the object storage: the bytes do not pass through here. */
static int make_address(struct http_request *r, struct making *m, struct err *e)
{
	struct link *l = &m->link;

	l->id = engine_new_id(front_engine(r));
	l->issued_at = front_now(r);
	l->expires_at = l->issued_at + URL_EXPIRES_MS;
	struct engine_address a = {.id = l->id,
				   .owner = front_owner(r),
				   .name = l->name,
				   .type = l->type,
				   .size = l->size,
				   .expires_ms = URL_EXPIRES_MS,
				   .url = BUF_INIT,
				   .meta_name = BUF_INIT};
	int rc = engine_address(front_engine(r), &a, e);
	m->url = a.url;
	m->meta_name = a.meta_name;
	m->if_none_match = a.if_none_match;
	m->guard = a.guard;
	return rc == 0 ? front_link_note(r, l, e) : rc;
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
	if (rc != 0)
		return rc;
	if (engine_gives_addresses(front_engine(r), m->link.size)) {
		rc = make_address(r, m, e);
		if (rc != ERR_NOT_IMPLEMENTED)
			return rc;
		buf_reset(&m->meta_name);
	}
	return front_link_make(r, &m->link, URL_EXPIRES_MS, &m->url, e);
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
	if (m->if_none_match)
		json_kcstr(&j, "If-None-Match", "*");
	if (m->guard != NULL)
		json_kcstr(&j, m->guard, ENGINE_ADDRESS_GUARD_VALUE);
	if (m->meta_name.len > 0)
		json_kstr(&j, ENGINE_ADDRESS_NAME, buf_str(&m->meta_name));
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
		.meta_name = BUF_INIT,
	};
	struct err e = ERR_INIT;
	int rc = make(r, &m, &e);

	if (rc != 0)
		front_problem(r, rc, &e);
	else
		reply_url(r, &m);
	buf_release(&m.url);
	buf_release(&m.meta_name);
}

static void end_make(struct http_request *r)
{
	front_block(r, answer_made);
}

const struct http_handler instashare_make_url = {.body_kind = HTTP_BODY_BUFFER, .end = end_make};

/* ---- POST /upload_urls/{id}/complete ---- */

/* Said alike of an address that was never made, one that nobody used, and another's. */
static int nothing_came(struct err *e)
{
	return err_set(e, ERR_FILE_NOT_FOUND, "no file has come by this address");
}

static bool in_bucket(struct http_request *r)
{
	return engine_gives_addresses(front_engine(r), 0);
}

/* Whether a file may have come by the address: nobody used it, and no mark of that could be forgotten by now. Clients ask so while they send, so their files are not looked through each time. */
static int check_used(struct http_request *r, struct uuid link, bool *ret, struct err *e)
{
	const int64_t known_ms = in_bucket(r) ? ARRIVAL_TAKEN_MS : URL_EXPIRES_MS;
	const struct once once = front_link_once(&(struct link){.id = link, .single_use = true});

	*ret = true;
	return front_now(r) < uuid_ms(link) + known_ms ? catalog_once_used(front_catalog(r), once.key, ret, e) : 0;
}

/* Files from this row number down are older than the link, so none of them came by it. */
static bool older(struct http_request *r, int64_t number, struct uuid link)
{
	struct file f;

	return catalog_file(front_catalog(r), (struct file_key){.number = number}, front_owner(r), http_arena(r), &f, NULL) == 0 &&
	       f.created_at < uuid_ms(link) - CLOCK_GRACE_MS;
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

static void answer_with(struct http_request *r, const struct file *f)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);

	json_obj_open(&j);
	instashare_write_file(&j, f);
	json_obj_close(&j);
	http_reply_json(r, 200, &b);
}

/* The file that has come is there already, or nothing has come. */
static void answer_found(struct http_request *r)
{
	struct err e = ERR_INIT;
	struct uuid link;
	struct file f;
	int rc = front_id(r, &link, &e);

	if (rc == 0)
		rc = find_by_link(r, link, &f, &e);
	if (rc != 0)
		front_problem(r, rc, &e);
	else
		answer_with(r, &f);
}

/* ---- what came to the object storage ---- */

struct completing {
	struct engine_arrival arrival;
	struct http_request *r;
	struct err err; /* why it was not taken */
};

/* Reading may have taken its time. */
static int may_still(struct engine_arrival *a, struct err *e)
{
	return front_still(CONTAINER_OF(a, struct completing, arrival)->r, e);
}

/* What another request of this kind took is away by now, or was while this one copied it: then the file is there. */
static void answer_not_taken(struct http_request *r)
{
	struct completing *c = http_data(r);
	struct err e = ERR_INIT;
	struct file f;

	if (find_by_link(r, c->arrival.address, &f, &e) == 0)
		answer_with(r, &f);
	else if (c->err.code == ERR_CONFLICT)
		front_problem(r, c->err.code, &c->err);
	else
		front_problem(r, e.code, &e);
}

static void taken(struct engine_arrival *a, const struct intake_result *result)
{
	struct completing *c = CONTAINER_OF(a, struct completing, arrival);
	struct http_request *r = c->r;

	limits_upload_ends(r);
	c->err = result->err;
	if (result->code == 0)
		answer_with(r, result->file);
	else if (result->code == ERR_USED || result->code == ERR_NOT_FOUND || result->code == ERR_CONFLICT)
		front_block(r, answer_not_taken);
	else
		front_problem(r, result->code, &c->err);
}

static int prepare(struct completing *c, struct uuid link, struct err *e)
{
	struct http_request *r = c->r;
	struct intake_spec *spec = &c->arrival.spec;
	struct engine_arrived came;
	int rc = engine_arrived(front_engine(r), front_owner(r), link, http_arena(r), &came, e);

	if (rc != 0)
		return rc;
	c->arrival.address = link;
	c->arrival.still = may_still;
	c->arrival.done = taken;
	*spec = (struct intake_spec){.owner = front_owner(r),
				     .length = (int64_t)came.size,
				     .name = came.name,
				     .ops = STR(INSTASHARE_OPS),
				     .once = {.set = true, .expires_at = uuid_ms(link) + ARRIVAL_KEPT_MS},
				     .by = front_by(r)};
	link_once(spec->once.key, link);
	rc = front_link_types(r, came.type, &spec->types, e);
	return rc == 0 ? front_link_label(r, link, &spec->labels, e) : rc;
}

/* True: the answer will come. */
static bool take(struct http_request *r, struct uuid link, struct err *e)
{
	struct completing *c = arena_alloc(http_arena(r), sizeof(*c));
	int rc;

	if (c == NULL) {
		err_set(e, ERR_NO_MEMORY, "no memory for a file");
		return false;
	}
	*c = (struct completing){.r = r, .err = ERR_INIT};
	http_set_data(r, c);
	rc = prepare(c, link, e);
	if (rc == 0)
		rc = limits_upload_begins(r, e);
	if (rc != 0)
		return false;
	engine_take_arrival(front_engine(r), &c->arrival);
	return true;
}

/* What is not in the bucket may have been taken by another request since we looked for its mark, which was there before the bytes went. And one that was too large for the object storage came by an address of ours,
 * whose mark is forgotten sooner. */
static int look_again(struct http_request *r, struct uuid link, bool *ret_used, struct err *e)
{
	int rc = check_used(r, link, ret_used, e);

	if (rc == 0 && front_now(r) >= uuid_ms(link) + URL_EXPIRES_MS)
		*ret_used = true;
	return rc;
}

static void answer_complete(struct http_request *r)
{
	struct err e = ERR_INIT;
	struct uuid link;
	bool used = true;
	int rc = front_id(r, &link, &e);

	if (rc == 0)
		rc = check_used(r, link, &used, &e);
	if (rc == 0 && !used && in_bucket(r)) {
		if (take(r, link, &e))
			return;
		rc = e.code == ERR_NOT_FOUND ? look_again(r, link, &used, &e) : e.code;
	}
	if (rc == 0 && !used)
		rc = nothing_came(&e);
	if (rc != 0)
		front_problem(r, rc, &e);
	else
		answer_found(r);
}

static void end_complete(struct http_request *r)
{
	front_block(r, answer_complete);
}

/* Clients send nothing, or an empty object. */
const struct http_handler instashare_complete = {.body_kind = HTTP_BODY_BUFFER, .end = end_complete};
