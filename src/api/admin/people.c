/* /v1/admin/users and /v1/admin/keys: accounts and keys, whoever's they are, for administrators. Accounts are made at /v1/users. */
#include "api/api.h"
#include "api/seen.h"
#include "base/json_out.h"
#include "front/hop.h"
#include "front/json_body.h"
#include "front/list.h"
#include "model/account.h"

#include <string.h>

static void reply(struct http_request *r, struct buf *b)
{
	http_set_header(r, "Cache-Control", "no-store");
	http_reply_json(r, 200, b);
}

/* ---- GET /v1/admin/users ---- */

static void list_users(struct http_request *r)
{
	CLEANUP(buf_release) struct buf scope = BUF_INIT;
	struct err e = ERR_INIT;
	struct account *list = NULL;
	struct listing l;
	struct page page;
	int64_t next = 0;
	size_t n = 0;

	list_scope(&scope, r, "admin users", NULL, 0);
	int rc = list_page(r, &scope, &page, &e);
	if (rc == 0)
		rc = catalog_list_accounts(front_catalog(r), page, http_arena(r), &list, &n, &next, &e);
	if (rc != 0) {
		front_problem(r, rc, &e);
		return;
	}
	http_set_header(r, "Cache-Control", "no-store");
	listing_begin(&l, r, "users");
	for (size_t i = 0; i < n; i++)
		account_write_json(&l.j, &list[i]);
	listing_end(&l, &scope, next);
}

static void end_list_users(struct http_request *r)
{
	front_block(r, list_users);
}

/* ---- one account ---- */

static void answer_user(struct http_request *r)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);
	struct err e = ERR_INIT;
	struct account a;
	struct uuid id;
	int rc = front_id(r, &id, &e);

	if (rc == 0)
		rc = catalog_account(front_catalog(r), id, http_arena(r), &a, &e);
	if (rc != 0) {
		front_problem(r, rc, &e);
		return;
	}
	account_write_json(&j, &a);
	reply(r, &b);
}

static void end_get_user(struct http_request *r)
{
	front_block(r, answer_user);
}

static int read_role(const struct json_place *p, struct change_patch_account *c, struct err *e)
{
	struct str text = {};
	int rc = json_member_str(p, "role", false, &text, e);

	if (rc != 0 || text.p == NULL)
		return rc;
	if (!role_parse(&c->role, text)) {
		err_set(e, ERR_INVALID_VALUE, "there is no such role");
		err_expected(e, "user, operator, admin");
		return err_field(e, "role");
	}
	c->set_role = true;
	return 0;
}

static int read_disabled(const struct json_place *p, struct change_patch_account *c, struct err *e)
{
	json_t *v = json_object_get(p->object, "disabled");

	if (v == NULL)
		return 0;
	if (!json_is_boolean(v)) {
		err_set(e, ERR_INVALID_VALUE, "disabled is true or false");
		return err_field(e, "disabled");
	}
	c->set_disabled = true;
	c->disabled = json_is_true(v);
	return 0;
}

/* null: as the configuration says; 0: no limit, as there. */
static int read_quota(const struct json_place *p, enum quota q, struct change_patch_account *c, struct err *e)
{
	const char *name = quota_name(q);
	json_t *v = json_object_get(p->object, name);
	int64_t max = 0;

	if (v == NULL)
		return 0;
	if (!json_is_null(v)) {
		int rc = json_member_int(p, name, 0, QUOTA_MAX, &max, e);
		if (rc != 0)
			return rc;
		max = max == 0 ? QUOTA_NONE : max;
	}
	c->set_quotas |= 1u << q;
	c->quotas.max[q] = max;
	return 0;
}

static int read_quotas(const struct json_place *p, struct change_patch_account *c, struct err *e)
{
	static const char *const members[] = {"files", "bytes", "jobs", NULL};
	json_t *v = json_object_get(p->object, "quotas");
	const struct json_place inside = {v, "quotas/"};
	int rc;

	if (v == NULL)
		return 0;
	if (!json_is_object(v)) {
		err_set(e, ERR_INVALID_VALUE, "quotas is an object with files, bytes, jobs");
		return err_field(e, "quotas");
	}
	rc = json_members_only(&inside, members, e);
	for (unsigned i = 0; rc == 0 && i < QUOTAS; i++)
		rc = read_quota(&inside, (enum quota)i, c, e);
	return rc;
}

static int read_name(struct http_request *r, const struct json_place *p, struct change_patch_account *c, struct err *e)
{
	struct str text = {};
	int rc = json_member_str(p, "name", false, &text, e);

	if (rc != 0 || text.p == NULL)
		return rc;
	if (person_name_check(text, e) != 0)
		return err_field(e, "name");
	c->name = text.len > 0 ? arena_str(http_arena(r), text) : STR("");
	return c->name.p != NULL ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for a name");
}

static int read_patch(struct http_request *r, json_t *body, struct change_patch_account *c, struct err *e)
{
	static const char *const members[] = {"name", "role", "disabled", "quotas", NULL};
	const struct json_place p = {body, ""};
	int rc = json_members_only(&p, members, e);

	if (rc == 0)
		rc = read_name(r, &p, c, e);
	if (rc == 0)
		rc = read_role(&p, c, e);
	if (rc == 0)
		rc = read_disabled(&p, c, e);
	return rc == 0 ? read_quotas(&p, c, e) : rc;
}

static void answer_patched(struct http_request *r)
{
	front_block(r, answer_user);
}

static void end_patch_user(struct http_request *r)
{
	struct front_write *w = front_write_new(r, CHANGE_PATCH_ACCOUNT);
	struct err e = ERR_INIT;
	json_t *body;

	if (w == NULL)
		return;
	struct change_patch_account *c = &w->change.patch_account;
	*c = (struct change_patch_account){.now = front_now(r)};
	int rc = front_id(r, &c->id, &e);
	if (rc == 0 && (rc = json_body_read(r, &body, &e)) == 0) {
		rc = read_patch(r, body, c, &e);
		json_decref(body);
	}
	if (rc == 0)
		rc = front_write_audit(w, AUDIT_USER_CHANGED, &e, LF_STR("user", http_param(r, "id")), LF_BOOL("name", c->name.p != NULL),
				       LF_CSTR("role", c->set_role ? role_name(c->role) : ""),
				       LF_CSTR("switched", !c->set_disabled ? ""
							   : c->disabled    ? "off"
									    : "on"),
				       LF_BOOL("quotas", c->set_quotas != 0));
	if (rc != 0)
		front_problem(r, rc, &e);
	else
		front_write_submit(w, answer_patched);
}

static void answer_gone(struct http_request *r)
{
	http_reply_empty(r, 204);
}

/* ---- keys ---- */

static int read_user(struct http_request *r, struct uuid *ret, struct err *e)
{
	struct str text = http_query(r, "user");

	*ret = (struct uuid){};
	if (text.p == NULL) {
		err_set(e, ERR_BAD_PARAMETER, "user says whose keys");
		return err_field(e, "user");
	}
	if (!uuid_parse(ret, text)) {
		err_set(e, ERR_BAD_ID, "an id is a UUID of 36 characters in lower case");
		return err_field(e, "user");
	}
	return 0;
}

static const char *const key_filters[] = {"user"};

static void list_keys(struct http_request *r)
{
	CLEANUP(buf_release) struct buf scope = BUF_INIT;
	struct err e = ERR_INIT;
	struct uuid user;
	int rc = read_user(r, &user, &e);

	list_scope(&scope, r, "admin keys", key_filters, ARRAY_LEN(key_filters));
	if (rc != 0)
		front_problem(r, rc, &e);
	else
		seen_list_keys(r, &scope, user);
}

static void end_list_keys(struct http_request *r)
{
	front_block(r, list_keys);
}

static void end_revoke(struct http_request *r)
{
	struct front_write *w = front_write_new(r, CHANGE_REVOKE_KEY);
	struct err e = ERR_INIT;

	if (w == NULL)
		return;
	w->change.revoke_key = (struct change_revoke_key){.now = front_now(r)};
	int rc = front_id(r, &w->change.revoke_key.id, &e);
	if (rc == 0)
		rc = front_write_audit(w, AUDIT_KEY_REVOKED, &e, LF_STR("key", http_param(r, "id")));
	if (rc != 0)
		front_problem(r, rc, &e);
	else
		front_write_submit(w, answer_gone);
}

static const struct http_handler get_users = {.end = end_list_users}, get_user = {.end = end_get_user};
static const struct http_handler patch_user = {.body_kind = HTTP_BODY_BUFFER, .end = end_patch_user};
static const struct http_handler get_keys = {.end = end_list_keys}, revoke_key = {.end = end_revoke};
static const char *const page_query[] = {"limit", "cursor", NULL};
static const char *const key_query[] = {"user", "limit", "cursor", NULL};

const struct http_route api_admin_people_routes[] = {
	{HTTP_GET, "/v1/admin/users", &get_users, HTTP_ADMIN, "adminListUsers", "All accounts, newest first", page_query},
	{HTTP_GET, "/v1/admin/users/{id}", &get_user, HTTP_ADMIN, "adminGetUser", "An account", NULL},
	{HTTP_PATCH, "/v1/admin/users/{id}", &patch_user, HTTP_ADMIN, "adminChangeUser",
	 "Change an account's name or role, or switch it off", NULL},
	{HTTP_GET, "/v1/admin/keys", &get_keys, HTTP_ADMIN, "adminListKeys", "An account's keys, newest first", key_query},
	{HTTP_DELETE, "/v1/admin/keys/{id}", &revoke_key, HTTP_ADMIN, "adminRevokeKey", "Revoke anybody's key", NULL},
	{},
};
