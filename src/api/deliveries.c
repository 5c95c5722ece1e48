/* What webhooks were told, and telling it again. */
#include "api/api.h"
#include "front/front.h"
#include "front/hop.h"
#include "front/json_body.h"
#include "front/limits.h"
#include "front/list.h"

#include <stdio.h>

#define REPLAY_AT_ONCE 1000

/* The {id} and {delivery} of the path. */
static int delivery_id_of(struct http_request *r, struct uuid *ret, struct err *e)
{
	if (uuid_parse(ret, http_param(r, "delivery")))
		return 0;
	err_set(e, ERR_BAD_ID, "an id is a UUID of 36 characters in lower case");
	return err_field(e, "delivery");
}

static void answer_one(struct http_request *r, int status, struct uuid webhook, struct uuid id)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);
	struct err e = ERR_INIT;
	struct delivery d;
	int rc = catalog_delivery(front_catalog(r), webhook, front_owner(r), id, http_arena(r), &d, &e);

	if (rc != 0) {
		front_problem(r, rc, &e);
		return;
	}
	delivery_write_json(&j, &d);
	http_reply_json(r, status, &b);
}

/* ---- GET ---- */

static const char *const filters[] = {"state"};

static int read_state(struct http_request *r, int *ret, struct err *e)
{
	struct str text = http_query(r, "state");
	enum delivery_state state;

	*ret = -1;
	if (text.p == NULL)
		return 0;
	if (!delivery_state_parse(&state, text)) {
		err_set(e, ERR_BAD_PARAMETER, "there is no such state");
		err_expected(e, "waiting, delivered, failed");
		return err_field(e, "state");
	}
	*ret = (int)state;
	return 0;
}

/* A cursor serves only the webhook it was made for. */
static void write_scope(struct buf *scope, struct http_request *r, struct uuid webhook)
{
	char id[UUID_TEXT_LEN + 1], name[UUID_TEXT_LEN + 16];

	uuid_format(id, webhook);
	snprintf(name, sizeof(name), "deliveries %s", id);
	list_scope(scope, r, name, filters, ARRAY_LEN(filters));
}

static void list_deliveries(struct http_request *r)
{
	CLEANUP(buf_release) struct buf scope = BUF_INIT;
	struct err e = ERR_INIT;
	struct delivery *list = NULL;
	struct listing l;
	struct uuid webhook = {};
	struct page page;
	int64_t next = 0;
	size_t n = 0;
	int state, rc = front_id(r, &webhook, &e);

	write_scope(&scope, r, webhook);
	if (rc == 0)
		rc = read_state(r, &state, &e);
	if (rc == 0)
		rc = list_page(r, &scope, &page, &e);
	if (rc == 0)
		rc = catalog_list_deliveries(front_catalog(r), webhook, front_owner(r), state, page, http_arena(r), &list, &n, &next, &e);
	if (rc != 0) {
		front_problem(r, rc, &e);
		return;
	}
	listing_begin(&l, r, "deliveries");
	for (size_t i = 0; i < n; i++)
		delivery_write_json(&l.j, &list[i]);
	listing_end(&l, &scope, next);
}

static void end_list(struct http_request *r)
{
	front_block(r, list_deliveries);
}

static void answer_delivery(struct http_request *r)
{
	struct err e = ERR_INIT;
	struct uuid webhook, id;
	int rc = front_id(r, &webhook, &e);

	if (rc == 0)
		rc = delivery_id_of(r, &id, &e);
	if (rc != 0)
		front_problem(r, rc, &e);
	else
		answer_one(r, 200, webhook, id);
}

static void end_get(struct http_request *r)
{
	front_read(r, answer_delivery);
}

static const struct http_handler get_deliveries = {.end = end_list};
static const struct http_handler get_delivery = {.end = end_get};
static const char *const list_query[] = {"state", "limit", "cursor", NULL};

/* ---- a test event ---- */

static void answer_pinged_now(struct http_request *r)
{
	const struct front_write *w = http_data(r);

	answer_one(r, 202, w->change.add_ping.webhook, w->change.add_ping.id);
}

static void answer_pinged(struct http_request *r)
{
	front_block(r, answer_pinged_now);
}

static void end_ping(struct http_request *r)
{
	CLEANUP(buf_release) struct buf payload = BUF_INIT;
	struct front_write *w = front_write_new(r, CHANGE_ADD_PING);
	struct err e = ERR_INIT;

	if (w == NULL)
		return;
	struct change_add_ping *c = &w->change.add_ping;
	*c = (struct change_add_ping){.owner = front_owner(r), .id = engine_new_id(front_engine(r)), .now = front_now(r)};
	int rc = front_id(r, &c->webhook, &e);
	if (rc == 0)
		rc = limits_ping(r, &e);
	if (rc == 0) {
		webhook_payload_ping(&payload, c->webhook, c->now);
		c->payload = buf_ok(&payload) ? arena_str(http_arena(r), buf_str(&payload)) : (struct str){};
		if (c->payload.p == NULL)
			rc = err_set(&e, ERR_NO_MEMORY, "no memory for a ping");
	}
	if (rc != 0)
		front_problem(r, rc, &e);
	else
		front_write_submit(w, answer_pinged);
}

static const struct http_handler ping = {.end = end_ping};

/* ---- again ---- */

static struct front_write *new_replay(struct http_request *r, uint32_t max)
{
	struct front_write *w = front_write_new(r, CHANGE_REPLAY);

	if (w != NULL)
		w->change.replay = (struct change_replay){.owner = front_owner(r), .now = front_now(r), .max = max};
	return w;
}

static void answer_replayed_now(struct http_request *r)
{
	const struct front_write *w = http_data(r);

	answer_one(r, 202, w->change.replay.webhook, w->change.replay.delivery);
}

static void answer_replayed(struct http_request *r)
{
	front_block(r, answer_replayed_now);
}

static void end_replay_one(struct http_request *r)
{
	struct front_write *w = new_replay(r, 1);
	struct err e = ERR_INIT;

	if (w == NULL)
		return;
	int rc = front_id(r, &w->change.replay.webhook, &e);
	if (rc == 0)
		rc = delivery_id_of(r, &w->change.replay.delivery, &e);
	if (rc != 0)
		front_problem(r, rc, &e);
	else
		front_write_submit(w, answer_replayed);
}

/* One request replays a bounded number; `more` says that it may be made again. */
static void answer_replayed_all(struct http_request *r)
{
	const struct front_write *w = http_data(r);
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);

	json_obj_open(&j);
	json_ku64(&j, "replayed", w->change.replay.replayed);
	json_kbool(&j, "more", w->change.replay.replayed == w->change.replay.max);
	json_obj_close(&j);
	http_reply_json(r, 202, &b);
}

static int read_since(struct http_request *r, int64_t *ret, struct err *e)
{
	static const char *const members[] = {"since", NULL};
	json_t *body;
	int rc;

	if (http_body(r).len == 0)
		return 0;
	rc = json_body_read(r, &body, e);
	if (rc != 0)
		return rc;
	const struct json_place p = {body, ""};
	rc = json_members_only(&p, members, e);
	if (rc == 0)
		rc = json_member_time(&p, "since", false, ret, e);
	json_decref(body);
	return rc;
}

static void end_replay_failed(struct http_request *r)
{
	struct front_write *w = new_replay(r, REPLAY_AT_ONCE);
	struct err e = ERR_INIT;

	if (w == NULL)
		return;
	int rc = front_id(r, &w->change.replay.webhook, &e);
	if (rc == 0)
		rc = read_since(r, &w->change.replay.since, &e);
	if (rc != 0)
		front_problem(r, rc, &e);
	else
		front_write_submit(w, answer_replayed_all);
}

static const struct http_handler replay_one = {.end = end_replay_one};
static const struct http_handler replay_failed = {.body_kind = HTTP_BODY_BUFFER, .end = end_replay_failed};

const struct http_route api_delivery_routes[] = {
	{HTTP_POST, "/v1/webhooks/{id}/ping", &ping, HTTP_JOBS_WRITE, "pingWebhook", "Send a webhook a test event", NULL},
	{HTTP_POST, "/v1/webhooks/{id}/replay", &replay_failed, HTTP_JOBS_WRITE, "replayFailedDeliveries", "Deliver again what failed",
	 NULL},
	{HTTP_GET, "/v1/webhooks/{id}/deliveries", &get_deliveries, HTTP_JOBS_READ, "listDeliveries",
	 "What a webhook was told, newest first", list_query},
	{HTTP_GET, "/v1/webhooks/{id}/deliveries/{delivery}", &get_delivery, HTTP_JOBS_READ, "getDelivery",
	 "A delivery with its attempts and its body", NULL},
	{HTTP_POST, "/v1/webhooks/{id}/deliveries/{delivery}/replay", &replay_one, HTTP_JOBS_WRITE, "replayDelivery", "Deliver again",
	 NULL},
	{},
};
