/* /v1/keys: made, listed, revoked. Only whoever signed in himself may: a key that leaked makes no others. */
#include "api/api.h"
#include "api/seen.h"
#include "auth/token.h"
#include "base/wipe.h"
#include "front/caller.h"
#include "front/hop.h"
#include "front/json_body.h"
#include "front/list.h"

#include <stdio.h>
#include <string.h>

#define EXPIRES_IN_MAX_S (10 * INT64_C(365) * 86400)

static const char scopes_expected[] = "files:read, files:write, jobs:read, jobs:write, admin";

/* What making one needs beside the change. */
struct making {
	struct api_key key;
	struct token token;
	uint8_t server_secret[SERVER_SECRET];
};

/* ---- POST /v1/keys ---- */

static int refuse(struct err *e, const char *field, const char *detail)
{
	err_set(e, ERR_INVALID_VALUE, "%s", detail);
	return err_field(e, field);
}

static bool name_allowed(struct str s)
{
	if (s.len > KEY_NAME_MAX || !utf8_valid(s))
		return false;
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return false;
	return true;
}

static int read_name(struct http_request *r, const struct json_place *p, struct str *ret, struct err *e)
{
	struct str text = STR("");
	int rc = json_member_str(p, "name", false, &text, e);

	if (rc != 0)
		return rc;
	if (!name_allowed(text)) {
		refuse(e, "name", "a name is at most 100 bytes of UTF-8 without control characters");
		return err_limit(e, KEY_NAME_MAX);
	}
	*ret = text.len > 0 ? arena_str(http_arena(r), text) : STR("");
	return ret->p != NULL ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for a key");
}

static int read_scopes(struct http_request *r, const struct json_place *p, uint32_t *ret, struct err *e)
{
	json_t *list = json_object_get(p->object, "scopes"), *item;
	uint32_t bits = 0;
	size_t i;

	if (list == NULL) {
		err_set(e, ERR_MISSING_VALUE, "a key says what it may be used for");
		(void)err_field(e, "scopes");
		return err_expected(e, scopes_expected);
	}
	if (!json_is_array(list) || json_array_size(list) == 0 || json_array_size(list) > SCOPES) {
		refuse(e, "scopes", "scopes is a list of the names of scopes, one at least");
		return err_expected(e, scopes_expected);
	}
	json_array_foreach(list, i, item) {
		enum scope s;
		if (!json_is_string(item) || !scope_parse(&s, (struct str){json_string_value(item), json_string_length(item)})) {
			refuse(e, "scopes", "there is no such scope");
			return err_expected(e, scopes_expected);
		}
		bits |= 1u << s;
	}
	if (bits & ~front_caller(r)->scopes) {
		err_set(e, ERR_FORBIDDEN, "a key cannot do more than who makes it");
		return err_field(e, "scopes");
	}
	*ret = bits;
	return 0;
}

static int read_key(struct http_request *r, json_t *body, struct api_key *key, struct err *e)
{
	static const char *const members[] = {"name", "scopes", "expires_in", NULL};
	const struct json_place p = {body, ""};
	int64_t seconds = 0;
	int rc;

	if ((rc = json_members_only(&p, members, e)) != 0 || (rc = read_name(r, &p, &key->name, e)) != 0 ||
	    (rc = read_scopes(r, &p, &key->scopes, e)) != 0 ||
	    (rc = json_member_int(&p, "expires_in", 1, EXPIRES_IN_MAX_S, &seconds, e)) != 0)
		return rc;
	key->expires_at = seconds > 0 ? key->created_at + 1000 * seconds : 0;
	return 0;
}

/* The only time that the secrets are shown. */
static void answer_made(struct http_request *r)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct front_write *w = http_data(r);
	struct making *m = (struct making *)(uintptr_t)w->note;
	struct json_out j = json_out(&b);
	char id[UUID_TEXT_LEN + 1], location[UUID_TEXT_LEN + 32], text[45];
	uint8_t secret[32];

	uuid_format(id, m->key.id);
	snprintf(location, sizeof(location), "/v1/keys/%s", id);
	token_signing_secret(secret, m->server_secret, (struct str){id, UUID_TEXT_LEN});
	base64_encode(text, secret, sizeof(secret));
	api_key_write_json(&j, &m->key, m->token.text, text);
	wipe(secret, sizeof(secret));
	wipe(text, sizeof(text));
	wipe(&m->token, sizeof(m->token));
	wipe(m->server_secret, sizeof(m->server_secret));
	http_set_header(r, "Location", location);
	http_set_header(r, "Cache-Control", "no-store");
	http_reply_json(r, 201, &b);
}

/* The newest secret of the server signs; verifying tries all that are kept. */
static int server_secret(struct http_request *r, uint8_t ret[SERVER_SECRET], struct err *e)
{
	struct secret *list = NULL;
	size_t n = 0;
	int rc = catalog_secrets(front_catalog(r), http_arena(r), &list, &n, e);

	if (rc == 0 && n == 0)
		rc = err_set(e, ERR_INTERNAL, "the server has no secret");
	if (rc == 0)
		memcpy(ret, list[0].bytes, SERVER_SECRET);
	if (list != NULL)
		wipe(list, n * sizeof(*list));
	return rc;
}

static int prepare(struct http_request *r, struct making *m, struct err *e)
{
	struct engine *g = front_engine(r);
	const struct webhook_secret random = engine_new_secret(g);
	enum token_kind kind;
	json_t *body;
	int rc;

	m->token = token_make(TOKEN_KEY, random.b);
	m->key = (struct api_key){.id = engine_new_id(g), .account = front_caller(r)->account, .created_at = front_now(r)};
	if (!token_read(str_of(m->token.text), &kind, m->key.hash))
		return err_set(e, ERR_INTERNAL, "%s", "");
	rc = json_body_read(r, &body, e);
	if (rc != 0)
		return rc;
	rc = read_key(r, body, &m->key, e);
	json_decref(body);
	return rc == 0 ? server_secret(r, m->server_secret, e) : rc;
}

static void submit_key(struct http_request *r)
{
	struct front_write *w = front_write_new(r, CHANGE_ADD_KEY);
	struct making *m = arena_alloc(http_arena(r), sizeof(*m));
	char id[UUID_TEXT_LEN + 1];
	struct err e = ERR_INIT;

	if (w == NULL)
		return;
	if (m == NULL) {
		front_problem(r, err_set(&e, ERR_NO_MEMORY, "no memory for a key"), &e);
		return;
	}
	int rc = prepare(r, m, &e);
	if (rc == 0) {
		uuid_format(id, m->key.id);
		rc = front_write_audit(w, AUDIT_KEY_ADDED, &e, LF_CSTR("key", id));
	}
	if (rc != 0) {
		front_problem(r, rc, &e);
		return;
	}
	w->note = m;
	w->change.add_key = (struct change_add_key){.key = &m->key, .max = KEYS_AN_ACCOUNT_MAX};
	front_write_submit(w, answer_made);
}

/* The server's secret is in the catalogue. */
static void end_make(struct http_request *r)
{
	front_read(r, submit_key);
}

/* ---- GET ---- */

static void list_keys(struct http_request *r)
{
	CLEANUP(buf_release) struct buf scope = BUF_INIT;

	list_scope(&scope, r, "keys", NULL, 0);
	seen_list_keys(r, &scope, front_caller(r)->account);
}

static void end_list(struct http_request *r)
{
	front_block(r, list_keys);
}

/* ---- DELETE ---- */

static void answer_revoked(struct http_request *r)
{
	http_reply_empty(r, 204);
}

static void end_revoke(struct http_request *r)
{
	struct front_write *w = front_write_new(r, CHANGE_REVOKE_KEY);
	struct err e = ERR_INIT;

	if (w == NULL)
		return;
	struct change_revoke_key *c = &w->change.revoke_key;
	*c = (struct change_revoke_key){.account = front_caller(r)->account, .now = front_now(r)};
	int rc = front_id(r, &c->id, &e);
	if (rc == 0)
		rc = front_write_audit(w, AUDIT_KEY_REVOKED, &e, LF_STR("key", http_param(r, "id")));
	if (rc != 0)
		front_problem(r, rc, &e);
	else
		front_write_submit(w, answer_revoked);
}

static const struct http_handler make_key = {.body_kind = HTTP_BODY_BUFFER, .end = end_make};
static const struct http_handler get_keys = {.end = end_list};
static const struct http_handler revoke_key = {.end = end_revoke};
static const char *const list_query[] = {"limit", "cursor", NULL};

const struct http_route api_key_routes[] = {
	{HTTP_POST, "/v1/keys", &make_key, HTTP_PERSON, "makeKey", "Make a key; its secrets are shown once", NULL},
	{HTTP_GET, "/v1/keys", &get_keys, HTTP_PERSON, "listKeys", "The caller's keys, newest first", list_query},
	{HTTP_DELETE, "/v1/keys/{id}", &revoke_key, HTTP_PERSON, "revokeKey", "Revoke a key", NULL},
	{},
};
