/* What every call about webhooks passes, as with catalog.c. */
#include "catalog/catalog_impl.h"

#define REPLAY_MAX 1000 /* deliveries one change replays */
#define DUE_MAX 1000 /* rows one look for what is due gives */

int change_no_webhook(struct change *ch)
{
	return change_refuse(ch, ERR_WEBHOOK_NOT_FOUND, "there is no webhook with this id");
}

int change_no_delivery(struct change *ch)
{
	return change_refuse(ch, ERR_DELIVERY_NOT_FOUND, "the webhook has no delivery with this id");
}

int change_webhook_off(struct change *ch)
{
	return change_refuse(ch, ERR_CONFLICT, "the webhook is switched off");
}

void attempt_was_elsewhere(struct change_attempt *t)
{
	if (t->off != WEBHOOK_ON) {
		t->state = DELIVERY_WAITING;
		t->due_at = t->attempt.at;
	}
	t->off = WEBHOOK_ON;
}

int change_too_many_webhooks(struct change *ch, uint32_t limit)
{
	change_refuse(ch, ERR_LIMIT_REACHED, "an owner may have %u webhooks", limit);
	ch->err.limit = limit;
	return 0;
}

static bool invalid(struct change *ch, const char *field)
{
	change_refuse(ch, ERR_INVALID_VALUE, "the change cannot be stored as it is");
	err_field(&ch->err, field);
	return false;
}

static bool events_allowed(uint32_t events)
{
	return events != 0 && (events & ~WEBHOOK_ALL) == 0;
}

static bool add_allowed(struct change *ch)
{
	const struct webhook *w = ch->add_webhook.webhook;

	if (!w || uuid_is_zero(w->id))
		return invalid(ch, "id");
	if (w->owner.len == 0 || w->owner.len > OWNER_MAX)
		return invalid(ch, "owner");
	if (w->url.len == 0 || w->url.len > WEBHOOK_URL_MAX)
		return invalid(ch, "url");
	if (!events_allowed(w->events))
		return invalid(ch, "events");
	if (!w->ops.p || w->ops.len > WEBHOOK_OPS_BYTES_MAX)
		return invalid(ch, "ops");
	if (!w->description.p || w->description.len > WEBHOOK_DESCRIPTION_MAX)
		return invalid(ch, "description");
	if (w->created_at <= 0)
		return invalid(ch, "created_at");
	return ch->add_webhook.max > 0 && ch->add_webhook.max <= WEBHOOKS_AN_OWNER_MAX ? true : invalid(ch, "max");
}

static bool patch_allowed(struct change *ch)
{
	const struct change_patch_webhook *p = &ch->patch_webhook;

	if (p->url.p && (p->url.len == 0 || p->url.len > WEBHOOK_URL_MAX))
		return invalid(ch, "url");
	if (p->description.p && p->description.len > WEBHOOK_DESCRIPTION_MAX)
		return invalid(ch, "description");
	if (p->ops.p && p->ops.len > WEBHOOK_OPS_BYTES_MAX)
		return invalid(ch, "ops");
	if (p->events != 0 && !events_allowed(p->events))
		return invalid(ch, "events");
	return p->now > 0 ? true : invalid(ch, "now");
}

static bool ping_allowed(struct change *ch)
{
	const struct change_add_ping *p = &ch->add_ping;

	if (uuid_is_zero(p->id))
		return invalid(ch, "id");
	if (p->payload.len == 0 || p->payload.len > WEBHOOK_PAYLOAD_MAX)
		return invalid(ch, "payload");
	return p->now > 0 ? true : invalid(ch, "now");
}

static bool attempt_allowed(struct change *ch)
{
	const struct change_attempt *t = &ch->attempt;

	if ((unsigned)t->state >= DELIVERY_STATES)
		return invalid(ch, "state");
	if (t->attempt.at <= 0)
		return invalid(ch, "at");
	if (t->attempt.error.len > ATTEMPT_ERROR_MAX)
		return invalid(ch, "error");
	return t->state != DELIVERY_WAITING || t->due_at > 0 ? true : invalid(ch, "due_at");
}

bool webhook_change_allowed(struct change *ch)
{
	switch (ch->kind) {
	case CHANGE_ADD_WEBHOOK:
		return add_allowed(ch);
	case CHANGE_PATCH_WEBHOOK:
		return patch_allowed(ch);
	case CHANGE_ADD_PING:
		return ping_allowed(ch);
	case CHANGE_ATTEMPT:
		return attempt_allowed(ch);
	case CHANGE_DELETE_WEBHOOK:
		return ch->delete_webhook.now > 0 ? true : invalid(ch, "now");
	case CHANGE_REPLAY:
		if (ch->replay.now <= 0)
			return invalid(ch, "now");
		return ch->replay.max > 0 && ch->replay.max <= REPLAY_MAX ? true : invalid(ch, "max");
	default:
		return true;
	}
}

/* ---- reading ---- */

static uint32_t due_within(uint32_t max)
{
	return max < 1 ? 1 : max > DUE_MAX ? DUE_MAX : max;
}

int catalog_webhook(struct catalog *c, struct uuid id, struct str owner, struct arena *a, struct webhook *ret, struct err *e)
{
	return c->ops->webhook(c, id, owner, a, ret, e);
}

int catalog_list_webhooks(struct catalog *c, struct str owner, struct page page, struct arena *a, struct webhook **ret, size_t *ret_n,
			  int64_t *ret_next, struct err *e)
{
	return c->ops->list_webhooks(c, owner, page_within(page), a, ret, ret_n, ret_next, e);
}

int catalog_delivery(struct catalog *c, struct uuid webhook, struct str owner, struct uuid id, struct arena *a, struct delivery *ret,
		     struct err *e)
{
	return c->ops->delivery(c, webhook, owner, id, a, ret, e);
}

int catalog_list_deliveries(struct catalog *c, struct uuid webhook, struct str owner, int state, struct page page, struct arena *a,
			    struct delivery **ret, size_t *ret_n, int64_t *ret_next, struct err *e)
{
	return c->ops->list_deliveries(c, webhook, owner, state, page_within(page), a, ret, ret_n, ret_next, e);
}

int catalog_due_webhooks(struct catalog *c, int64_t after, uint32_t max, struct arena *a, struct due_webhook **ret, size_t *ret_n,
			 struct err *e)
{
	return c->ops->due_webhooks(c, after, due_within(max), a, ret, ret_n, e);
}

int catalog_due_deliveries(struct catalog *c, int64_t webhook_number, int64_t now, uint32_t max, struct arena *a, struct delivery **ret,
			   size_t *ret_n, struct err *e)
{
	return c->ops->due_deliveries(c, webhook_number, now, due_within(max), a, ret, ret_n, e);
}

int catalog_webhook_stats(struct catalog *c, struct webhook_stats *ret, struct err *e)
{
	return c->ops->webhook_stats(c, ret, e);
}

size_t catalog_new_deliveries(const struct catalog *c)
{
	return c->deliveries;
}
