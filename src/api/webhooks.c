/* /v1/webhooks: made, listed, changed, removed, their secrets rotated. */
#include "api/api.h"
#include "base/wipe.h"
#include "front/front.h"
#include "front/hop.h"
#include "front/json_body.h"
#include "front/list.h"

#include <stdio.h>
#include <string.h>

#define OVERLAP_DEFAULT_S 86400
#define OVERLAP_MAX_S 604800

/* ---- what a request says ---- */

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

static int read_url(struct http_request *r, const struct json_place *p, bool required, struct str *ret, struct err *e)
{
	struct str url = {};
	int rc = json_member_str(p, "url", required, &url, e);

	if (rc != 0 || url.p == NULL)
		return rc;
	rc = engine_webhook_url(front_engine(r), url, e);
	return rc == 0 ? keep(r, url, ret, e) : err_field(e, "url");
}

static bool description_allowed(struct str s)
{
	if (s.len > WEBHOOK_DESCRIPTION_MAX || !utf8_valid(s))
		return false;
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return false;
	return true;
}

static int read_description(struct http_request *r, const struct json_place *p, struct str *ret, struct err *e)
{
	struct str text = {};
	int rc = json_member_str(p, "description", false, &text, e);

	if (rc != 0 || text.p == NULL)
		return rc;
	if (!description_allowed(text)) {
		refuse(e, "description", "a description is at most 255 bytes of UTF-8 without control characters");
		return err_limit(e, WEBHOOK_DESCRIPTION_MAX);
	}
	return keep(r, text, ret, e);
}

static int read_events(const struct json_place *p, uint32_t *ret, struct err *e)
{
	static const char expected[] = "job.succeeded, job.failed, job.cancelled, job.quarantined";
	json_t *list = json_object_get(p->object, "events"), *item;
	uint32_t bits = 0;
	size_t i;

	if (list == NULL)
		return 0;
	if (!json_is_array(list) || json_array_size(list) == 0 || json_array_size(list) > WEBHOOK_EVENTS) {
		refuse(e, "events", "events is a list of the names of events, one at least");
		return err_expected(e, expected);
	}
	json_array_foreach(list, i, item) {
		enum webhook_event v;
		if (!json_is_string(item) || !webhook_event_parse(&v, (struct str){json_string_value(item), json_string_length(item)})) {
			refuse(e, "events", "there is no such event");
			return err_expected(e, expected);
		}
		bits |= 1u << v;
	}
	*ret = bits;
	return 0;
}

static int read_ops(struct http_request *r, const struct json_place *p, struct str *ret, struct err *e)
{
	CLEANUP(buf_release) struct buf names = {.limit = WEBHOOK_OPS_BYTES_MAX};
	json_t *list = json_object_get(p->object, "ops"), *item;
	size_t i;

	if (list == NULL)
		return 0;
	if (!json_is_array(list) || json_array_size(list) > WEBHOOK_OPS_MAX) {
		refuse(e, "ops", "ops is a list of at most 16 names of ops; an empty one means all");
		return err_limit(e, WEBHOOK_OPS_MAX);
	}
	json_array_foreach(list, i, item) {
		struct str name = {json_string_value(item), json_string_length(item)};
		if (!json_is_string(item) || op_table_find(engine_ops(front_engine(r)), name) == NULL) {
			err_set(e, ERR_UNKNOWN_OP, "ops holds something that is no op's name");
			return err_field(e, "ops");
		}
		if (i > 0)
			buf_add_char(&names, ',');
		buf_add_str(&names, name);
	}
	if (!buf_ok(&names))
		return refuse(e, "ops", "the names of these ops are too long together");
	return keep(r, names.len > 0 ? buf_str(&names) : STR(""), ret, e);
}

/* An optional body: absent, it says nothing. */
static int read_optional(struct http_request *r, json_t **ret, struct err *e)
{
	if (http_body(r).len > 0)
		return json_body_read(r, ret, e);
	*ret = json_object();
	return *ret != NULL ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for a request");
}

/* ---- answers ---- */

static void reply_webhook(struct http_request *r, int status, const struct webhook *w, const char *secret)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);

	webhook_write_json(&j, w, front_now(r), secret);
	if (secret != NULL)
		http_set_header(r, "Cache-Control", "no-store");
	http_reply_json(r, status, &b);
}

/* Takes the secret: it lies in the request's memory, which the answer ends. */
static void reply_with_secret(struct http_request *r, int status, const struct webhook *w, struct webhook_secret *secret)
{
	char text[WEBHOOK_SECRET_TEXT + 1];

	webhook_secret_format(text, secret);
	wipe(secret, sizeof(*secret));
	reply_webhook(r, status, w, text);
	wipe(text, sizeof(text));
}

static void answer_webhook(struct http_request *r)
{
	struct err e = ERR_INIT;
	struct webhook w;
	struct uuid id;
	int rc = front_id(r, &id, &e);

	if (rc == 0)
		rc = catalog_webhook(front_catalog(r), id, front_owner(r), http_arena(r), &w, &e);
	if (rc != 0)
		front_problem(r, rc, &e);
	else
		reply_webhook(r, 200, &w, NULL);
}

static void answer_webhook_blocking(struct http_request *r)
{
	front_block(r, answer_webhook);
}

/* ---- POST /v1/webhooks ---- */

static int read_new(struct http_request *r, json_t *body, struct webhook *w, struct err *e)
{
	static const char *const members[] = {"url", "events", "ops", "description", NULL};
	struct json_place p = {body, ""};
	int rc;

	if ((rc = json_members_only(&p, members, e)) != 0 || (rc = read_url(r, &p, true, &w->url, e)) != 0 ||
	    (rc = read_events(&p, &w->events, e)) != 0 || (rc = read_ops(r, &p, &w->ops, e)) != 0)
		return rc;
	return read_description(r, &p, &w->description, e);
}

static void answer_made(struct http_request *r)
{
	struct front_write *w = http_data(r);
	struct webhook *made = w->change.add_webhook.webhook;
	char id[UUID_TEXT_LEN + 1], location[UUID_TEXT_LEN + 32];

	uuid_format(id, made->id);
	snprintf(location, sizeof(location), "/v1/webhooks/%s", id);
	http_set_header(r, "Location", location);
	reply_with_secret(r, 201, made, &made->secret);
}

/* Its address is left out: it may hold a secret of the receiver's. */
static int audit_made(struct front_write *w, const struct webhook *made, struct err *e)
{
	char id[UUID_TEXT_LEN + 1];

	uuid_format(id, made->id);
	return front_write_audit(w, AUDIT_WEBHOOK_MADE, e, LF_CSTR("webhook", id));
}

static void end_make(struct http_request *r)
{
	struct front_write *w = front_write_new(r, CHANGE_ADD_WEBHOOK);
	struct engine *g = front_engine(r);
	struct err e = ERR_INIT;
	struct webhook *made;
	json_t *body;
	int rc;

	if (w == NULL)
		return;
	made = arena_alloc(http_arena(r), sizeof(*made));
	if (made == NULL)
		rc = err_set(&e, ERR_NO_MEMORY, "no memory for a webhook");
	else if (engine_webhooks_max(g) == 0)
		rc = err_set(&e, ERR_LIMIT_REACHED, "this server's configuration allows no webhooks");
	else
		rc = json_body_read(r, &body, &e);
	if (rc == 0) {
		*made = (struct webhook){
			.id = engine_new_id(g),
			.owner = front_owner(r),
			.events = WEBHOOK_ALL,
			.ops = STR(""),
			.description = STR(""),
			.secret = engine_new_secret(g),
			.created_at = front_now(r),
		};
		rc = read_new(r, body, made, &e);
		json_decref(body);
	}
	if (rc == 0)
		rc = audit_made(w, made, &e);
	if (rc != 0) {
		front_problem(r, rc, &e);
		return;
	}
	w->change.add_webhook = (struct change_add_webhook){.webhook = made, .max = engine_webhooks_max(g)};
	front_write_submit(w, answer_made);
}

static const struct http_handler make_webhook = {.body_kind = HTTP_BODY_BUFFER, .end = end_make};

/* ---- GET ---- */

static void list_webhooks(struct http_request *r)
{
	CLEANUP(buf_release) struct buf scope = BUF_INIT;
	struct err e = ERR_INIT;
	struct webhook *list = NULL;
	struct listing l;
	struct page page;
	int64_t next = 0;
	size_t n = 0;

	list_scope(&scope, r, "webhooks", NULL, 0);
	int rc = list_page(r, &scope, &page, &e);
	if (rc == 0)
		rc = catalog_list_webhooks(front_catalog(r), front_owner(r), page, http_arena(r), &list, &n, &next, &e);
	if (rc != 0) {
		front_problem(r, rc, &e);
		return;
	}
	listing_begin(&l, r, "webhooks");
	for (size_t i = 0; i < n; i++)
		webhook_write_json(&l.j, &list[i], front_now(r), NULL);
	listing_end(&l, &scope, next);
}

static void end_list(struct http_request *r)
{
	front_block(r, list_webhooks);
}

static void end_get(struct http_request *r)
{
	front_read(r, answer_webhook);
}

static const struct http_handler get_webhooks = {.end = end_list};
static const struct http_handler get_webhook = {.end = end_get};
static const char *const list_query[] = {"limit", "cursor", NULL};

/* ---- PATCH and DELETE ---- */

static int read_enabled(const struct json_place *p, struct change_patch_webhook *c, struct err *e)
{
	json_t *v = json_object_get(p->object, "enabled");

	if (v == NULL)
		return 0;
	if (!json_is_boolean(v))
		return refuse(e, "enabled", "enabled is true or false");
	c->set_enabled = true;
	c->enabled = json_is_true(v);
	return 0;
}

static int read_patch(struct http_request *r, json_t *body, struct change_patch_webhook *c, struct err *e)
{
	static const char *const members[] = {"url", "events", "ops", "description", "enabled", NULL};
	struct json_place p = {body, ""};
	int rc;

	if ((rc = json_members_only(&p, members, e)) != 0 || (rc = read_url(r, &p, false, &c->url, e)) != 0 ||
	    (rc = read_events(&p, &c->events, e)) != 0 || (rc = read_ops(r, &p, &c->ops, e)) != 0 ||
	    (rc = read_description(r, &p, &c->description, e)) != 0)
		return rc;
	return read_enabled(&p, c, e);
}

static void end_patch(struct http_request *r)
{
	struct front_write *w = front_write_new(r, CHANGE_PATCH_WEBHOOK);
	struct err e = ERR_INIT;
	json_t *body;

	if (w == NULL)
		return;
	struct change_patch_webhook *c = &w->change.patch_webhook;
	*c = (struct change_patch_webhook){.owner = front_owner(r), .now = front_now(r)};
	int rc = front_id(r, &c->id, &e);
	if (rc == 0 && (rc = json_body_read(r, &body, &e)) == 0) {
		rc = read_patch(r, body, c, &e);
		json_decref(body);
	}
	if (rc == 0)
		rc = front_write_audit(w, AUDIT_WEBHOOK_CHANGED, &e, LF_STR("webhook", http_param(r, "id")),
				       LF_BOOL("url", c->url.p != NULL), LF_BOOL("switched", c->set_enabled));
	if (rc != 0)
		front_problem(r, rc, &e);
	else
		front_write_submit(w, answer_webhook_blocking);
}

static void answer_deleted(struct http_request *r)
{
	http_reply_empty(r, 204);
}

static void end_delete(struct http_request *r)
{
	struct front_write *w = front_write_new(r, CHANGE_DELETE_WEBHOOK);
	struct err e = ERR_INIT;

	if (w == NULL)
		return;
	struct change_delete_webhook *c = &w->change.delete_webhook;
	*c = (struct change_delete_webhook){.owner = front_owner(r), .now = front_now(r)};
	int rc = front_id(r, &c->id, &e);
	if (rc == 0)
		rc = front_write_audit(w, AUDIT_WEBHOOK_DELETED, &e, LF_STR("webhook", http_param(r, "id")));
	if (rc != 0)
		front_problem(r, rc, &e);
	else
		front_write_submit(w, answer_deleted);
}

static const struct http_handler patch_webhook = {.body_kind = HTTP_BODY_BUFFER, .end = end_patch};
static const struct http_handler delete_webhook = {.end = end_delete};

/* ---- POST /v1/webhooks/{id}/rotate ---- */

static void answer_rotated_now(struct http_request *r)
{
	struct front_write *w = http_data(r);
	struct change_rotate_webhook *c = &w->change.rotate_webhook;
	struct err e = ERR_INIT;
	struct webhook hook;
	int rc = catalog_webhook(front_catalog(r), c->id, c->owner, http_arena(r), &hook, &e);

	if (rc != 0) {
		wipe(&c->secret, sizeof(c->secret));
		front_problem(r, rc, &e);
		return;
	}
	reply_with_secret(r, 200, &hook, &c->secret);
}

static void answer_rotated(struct http_request *r)
{
	front_block(r, answer_rotated_now);
}

static void end_rotate(struct http_request *r)
{
	static const char *const members[] = {"overlap_seconds", NULL};
	struct front_write *w = front_write_new(r, CHANGE_ROTATE_WEBHOOK);
	int64_t overlap_s = OVERLAP_DEFAULT_S;
	struct err e = ERR_INIT;
	json_t *body;

	if (w == NULL)
		return;
	struct change_rotate_webhook *c = &w->change.rotate_webhook;
	*c = (struct change_rotate_webhook){.owner = front_owner(r), .secret = engine_new_secret(front_engine(r))};
	int rc = front_id(r, &c->id, &e);
	if (rc == 0 && (rc = read_optional(r, &body, &e)) == 0) {
		const struct json_place p = {body, ""};
		rc = json_members_only(&p, members, &e);
		if (rc == 0)
			rc = json_member_int(&p, "overlap_seconds", 0, OVERLAP_MAX_S, &overlap_s, &e);
		json_decref(body);
	}
	if (rc == 0)
		rc = front_write_audit(w, AUDIT_WEBHOOK_ROTATED, &e, LF_STR("webhook", http_param(r, "id")));
	c->previous_until = overlap_s > 0 ? front_now(r) + 1000 * overlap_s : 0;
	if (rc != 0)
		front_problem(r, rc, &e);
	else
		front_write_submit(w, answer_rotated);
}

static const struct http_handler rotate_secret = {.body_kind = HTTP_BODY_BUFFER, .end = end_rotate};

const struct http_route api_webhook_routes[] = {
	{HTTP_POST, "/v1/webhooks", &make_webhook, HTTP_JOBS_WRITE, "makeWebhook", "Have an address told how jobs end", NULL},
	{HTTP_GET, "/v1/webhooks", &get_webhooks, HTTP_JOBS_READ, "listWebhooks", "The caller's webhooks, newest first", list_query},
	{HTTP_GET, "/v1/webhooks/{id}", &get_webhook, HTTP_JOBS_READ, "getWebhook", "A webhook", NULL},
	{HTTP_PATCH, "/v1/webhooks/{id}", &patch_webhook, HTTP_JOBS_WRITE, "changeWebhook", "Change a webhook, or switch it on or off",
	 NULL},
	{HTTP_DELETE, "/v1/webhooks/{id}", &delete_webhook, HTTP_JOBS_WRITE, "deleteWebhook", "Remove a webhook with its deliveries", NULL},
	{HTTP_POST, "/v1/webhooks/{id}/rotate", &rotate_secret, HTTP_JOBS_WRITE, "rotateWebhookSecret", "Give a webhook a new secret",
	 NULL},
	{},
};
