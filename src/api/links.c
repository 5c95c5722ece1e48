/* POST /v1/links: addresses that need no login. link_use.c redeems them. */
#include "api/api.h"
#include "base/clock.h"
#include "front/caller.h"
#include "front/hop.h"
#include "front/json_body.h"
#include "front/link.h"

#define EXPIRES_DEFAULT_S 900
#define EXPIRES_MAX_S 604800

struct making {
	struct link link;
	struct buf url;
	int64_t expires_in_s;
};

static int refuse(struct err *e, const char *field, const char *detail)
{
	err_set(e, ERR_INVALID_VALUE, "%s", detail);
	return err_field(e, field);
}

static int keep(struct http_request *r, struct str text, struct str *ret, struct err *e)
{
	*ret = arena_str(http_arena(r), text);
	return ret->p != NULL ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for a request");
}

static int read_method(const struct json_place *p, enum link_method *ret, struct err *e)
{
	struct str text = {};
	int rc = json_member_str(p, "method", true, &text, e);

	if (rc != 0 || link_method_parse(ret, text))
		return rc;
	refuse(e, "method", "a link is for GET or for PUT");
	return err_expected(e, "GET, PUT");
}

/* Left out, an upload is for one use: what stands open longer than need be is a member said on purpose. */
static int read_single_use(const struct json_place *p, struct link *l, struct err *e)
{
	json_t *v = json_object_get(p->object, "single_use");

	l->single_use = v != NULL ? json_is_true(v) : l->method == LINK_PUT;
	return v == NULL || json_is_boolean(v) ? 0 : refuse(e, "single_use", "single_use is true or false");
}

static int read_type(struct http_request *r, const struct json_place *p, struct str *ret, struct err *e)
{
	struct str text = {};
	int rc = json_member_str(p, "type", false, &text, e);

	if (rc != 0 || text.p == NULL)
		return rc;
	if (!link_type_valid(text)) {
		refuse(e, "type", "type is one media type in lower case, without parameters");
		return err_expected(e, "image/png");
	}
	return keep(r, text, ret, e);
}

static int read_ops(struct http_request *r, const struct json_place *p, struct str *ret, struct err *e)
{
	struct op_request *ops;
	struct str text = {};
	size_t n;
	int rc = json_member_str(p, "ops", false, &text, e);

	if (rc != 0 || text.p == NULL)
		return rc;
	if (text.len > LINK_OPS_MAX) {
		refuse(e, "ops", "a link's list of ops is too long");
		return err_limit(e, LINK_OPS_MAX);
	}
	rc = op_table_parse_list(engine_ops(front_engine(r)), &ops, &n, text, http_arena(r), e);
	return rc == 0 ? keep(r, text, ret, e) : err_field(e, "ops");
}

static int read_upload(struct http_request *r, const struct json_place *p, struct link *l, struct err *e)
{
	int64_t file_max = (int64_t)front_of(r)->file_max, size = file_max;
	struct str name = {};
	int rc;

	if (json_object_get(p->object, "file") != NULL)
		return refuse(e, "file", "a link for an upload names no file");
	if ((rc = json_member_int(p, "max_size", 1, file_max, &size, e)) != 0 || (rc = read_type(r, p, &l->type, e)) != 0 ||
	    (rc = read_ops(r, p, &l->ops, e)) != 0 || (rc = json_member_str(p, "name", false, &name, e)) != 0)
		return rc;
	l->size = (uint64_t)size;
	return name.p == NULL ? 0 : name_clean(&l->name, name, http_arena(r), e);
}

static int read_download(struct http_request *r, const struct json_place *p, struct link *l, struct err *e)
{
	static const char *const of_uploads[] = {"name", "max_size", "type", "ops"};
	struct file f;
	int rc;

	for (size_t i = 0; i < ARRAY_LEN(of_uploads); i++)
		if (json_object_get(p->object, of_uploads[i]) != NULL)
			return refuse(e, of_uploads[i], "this is for links to upload by");
	if ((rc = json_member_id(p, "file", &l->file, e)) != 0)
		return rc;
	rc = catalog_file(front_catalog(r), (struct file_key){.id = l->file}, front_owner(r), http_arena(r), &f, e);
	return rc == 0 ? 0 : err_field(e, "file");
}

/* What is given to somebody else must be the giver's to do. */
static int may_give(const struct http_request *r, enum link_method method, struct err *e)
{
	enum scope needed = method == LINK_PUT ? SCOPE_FILES_WRITE : SCOPE_FILES_READ;

	if (front_caller(r)->scopes & 1u << needed)
		return 0;
	return err_set(e, ERR_FORBIDDEN, "these credentials do not allow what the link would");
}

static int read_link(struct http_request *r, json_t *body, struct making *m, struct err *e)
{
	static const char *const members[] = {"method", "file", "name", "max_size", "type", "ops", "expires_in", "single_use", NULL};
	struct json_place p = {body, ""};
	struct link *l = &m->link;
	int rc;

	l->type = l->ops = l->name = STR("");
	m->expires_in_s = EXPIRES_DEFAULT_S;
	if ((rc = json_members_only(&p, members, e)) != 0 || (rc = read_method(&p, &l->method, e)) != 0 ||
	    (rc = may_give(r, l->method, e)) != 0 || (rc = read_single_use(&p, l, e)) != 0 ||
	    (rc = json_member_int(&p, "expires_in", 1, EXPIRES_MAX_S, &m->expires_in_s, e)) != 0)
		return rc;
	return l->method == LINK_PUT ? read_upload(r, &p, l, e) : read_download(r, &p, l, e);
}

static void reply_link(struct http_request *r, const struct making *m)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);
	char id[UUID_TEXT_LEN + 1], until[TIME_TEXT_LEN + 1];

	uuid_format(id, m->link.id);
	time_format(until, m->link.expires_at);
	json_obj_open(&j);
	json_kcstr(&j, "id", id);
	json_kstr(&j, "url", buf_str(&m->url));
	json_kcstr(&j, "method", link_method_name(m->link.method));
	json_key(&j, "headers");
	json_obj_open(&j);
	if (m->link.type.len > 0)
		json_kstr(&j, "Content-Type", m->link.type);
	json_obj_close(&j);
	json_kcstr(&j, "expires_at", until);
	json_obj_close(&j);
	http_set_header(r, "Cache-Control", "no-store");
	http_reply_json(r, 201, &b);
}

static int make_link(struct http_request *r, struct making *m, struct err *e)
{
	json_t *body;
	int rc = json_body_read(r, &body, e);

	if (rc != 0)
		return rc;
	rc = read_link(r, body, m, e);
	json_decref(body);
	return rc == 0 ? front_link_make(r, &m->link, 1000 * m->expires_in_s, &m->url, e) : rc;
}

static void answer_made(struct http_request *r)
{
	struct making m = {};
	struct err e = ERR_INIT;
	int rc = make_link(r, &m, &e);

	if (rc != 0)
		front_problem(r, rc, &e);
	else
		reply_link(r, &m);
	buf_release(&m.url);
}

static void end_make(struct http_request *r)
{
	front_block(r, answer_made);
}

static const struct http_handler make_link_handler = {.body_kind = HTTP_BODY_BUFFER, .end = end_make};

const struct http_route api_link_routes[] = {
	{HTTP_POST, "/v1/links", &make_link_handler, HTTP_CALLER, "makeLink", "A signed address that needs no login", NULL},
	{},
};
