/* Deliveries: written, tried, replayed, purged. The column `waiting` of their webhook follows their state, here and in the purges of statements_write.h. */
#include "catalog/postgres/write.h"

/* An end that was told already is not told again: the id says so. */
int pgw_put_delivery(struct pg *q, int64_t webhook, const struct delivery *d)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args a = {};

	arg_uuid(&a, &d->id);
	arg_int(&a, webhook);
	arg_int(&a, (int)d->event);
	arg_uuid(&a, uuid_is_zero(d->job) ? NULL : &d->job);
	arg_str(&a, d->payload);
	arg_int(&a, d->created_at);
	int rc = w_ask(q, W_DELIVERY_ADD, &a, &r);
	q->base.deliveries += rc == 0 && pg_changed(&r) > 0;
	return rc;
}

int pgw_add_ping(struct pg *q, struct change *ch)
{
	const struct change_add_ping *p = &ch->add_ping;
	const struct delivery d = {.id = p->id, .event = WEBHOOK_PING, .payload = p->payload, .created_at = p->now};
	struct found_webhook w = {};
	int rc = pgw_find_webhook(q, ch, &p->webhook, p->owner, &w);

	if (rc != 0 || ch->code != 0)
		return rc;
	return w.off ? change_webhook_off(ch) : pgw_put_delivery(q, w.number, &d);
}

/* ---- attempts ---- */

static int move_delivery(struct pg *q, int64_t number, enum delivery_state state, uint32_t tries, int64_t due_at, int64_t ended_at)
{
	struct pg_args a = {};

	arg_int(&a, number);
	arg_int(&a, (int)state);
	arg_int(&a, tries);
	arg_int(&a, due_at);
	arg_time(&a, ended_at);
	return w_run(q, W_DELIVERY_MOVE, &a);
}

static int log_attempt(struct pg *q, int64_t delivery, const struct delivery_attempt *t)
{
	struct pg_args a = {};

	arg_int(&a, delivery);
	arg_int(&a, t->at);
	arg_int(&a, t->duration_ms);
	arg_int(&a, t->status);
	arg_str(&a, t->error);
	int rc = w_run(q, W_ATTEMPT_ADD, &a);
	return rc == 0 ? w_run_int2(q, W_ATTEMPTS_CUT, delivery, DELIVERY_LOG_MAX) : rc;
}

/* What DELIVERY_FIND knows; both rows are locked: two nodes may have tried the same delivery. */
struct waiting {
	int64_t webhook, failing_since;
	uint32_t tries;
	bool off, elsewhere;
};

static int find_waiting(struct pg *q, struct change *ch, struct waiting *ret)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args a = {};

	arg_int(&a, ch->attempt.delivery);
	arg_str(&a, ch->attempt.url);
	int rc = w_ask(q, W_DELIVERY_FIND, &a, &r);
	if (rc != 0)
		return rc;
	if (r.n == 0)
		return change_refuse(ch, ERR_STALE, "the delivery does not wait any more");
	*ret = (struct waiting){.webhook = pg_col_int(&r, 0, 0),
				.tries = (uint32_t)pg_col_int(&r, 0, 1),
				.failing_since = pg_col_int(&r, 0, 2),
				.off = !pg_col_null(&r, 0, 3),
				.elsewhere = pg_col_bool(&r, 0, 4)};
	return 0;
}

/* What the attempt says of its webhook. */
static int judge_webhook(struct pg *q, struct change_attempt *t, const struct waiting *d)
{
	bool failed = t->state != DELIVERY_DELIVERED;
	struct pg_args a = {};

	arg_int(&a, d->webhook);
	arg_time(&a, failed ? t->attempt.at : 0);
	int rc = w_run(q, W_WEBHOOK_FAILING, &a);
	if (rc != 0)
		return rc;
	if (failed && t->off == WEBHOOK_ON && d->failing_since != 0 && d->failing_since < t->failing_before)
		t->off = WEBHOOK_OFF_FAILING;
	if (t->off == WEBHOOK_ON || d->off) {
		t->off = WEBHOOK_ON;
		return 0;
	}
	return pgw_switch_webhook(q, d->webhook, false, t->off, t->attempt.at);
}

int pgw_attempt(struct pg *q, struct change *ch)
{
	struct change_attempt *t = &ch->attempt;
	struct waiting d = {};
	int rc = find_waiting(q, ch, &d);
	bool ended;

	if (rc != 0 || ch->code != 0)
		return rc;
	if (d.elsewhere)
		attempt_was_elsewhere(t);
	ended = t->state != DELIVERY_WAITING;
	rc = move_delivery(q, t->delivery, t->state, d.tries + 1, ended ? t->attempt.at : t->due_at,
			   ended ? t->attempt.at + t->attempt.duration_ms : 0);
	if (rc == 0 && ended)
		rc = w_run_int2(q, W_WEBHOOK_WAITING, d.webhook, -1);
	if (rc == 0)
		rc = log_attempt(q, t->delivery, &t->attempt);
	return rc == 0 && !d.elsewhere ? judge_webhook(q, t, &d) : rc;
}

/* ---- again ---- */

static int again(struct pg *q, struct change_replay *r, int64_t webhook, int64_t delivery, enum delivery_state was)
{
	int rc = move_delivery(q, delivery, DELIVERY_WAITING, 0, r->now, 0);

	r->replayed++;
	q->base.deliveries++;
	return rc == 0 && was != DELIVERY_WAITING ? w_run_int2(q, W_WEBHOOK_WAITING, webhook, 1) : rc;
}

static int replay_one(struct pg *q, struct change *ch, int64_t webhook)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args a = {};

	arg_uuid(&a, &ch->replay.delivery);
	arg_int(&a, webhook);
	int rc = w_ask(q, W_DELIVERY_BY_ID, &a, &r);
	if (rc != 0)
		return rc;
	if (r.n == 0)
		return change_no_delivery(ch);
	return again(q, &ch->replay, webhook, pg_col_int(&r, 0, 0), (enum delivery_state)pg_col_int(&r, 0, 1));
}

static int replay_failed(struct pg *q, struct change_replay *c, int64_t webhook)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args a = {};

	arg_int(&a, webhook);
	arg_int(&a, c->since);
	arg_int(&a, c->max);
	int rc = w_ask(q, W_DELIVERIES_FAILED, &a, &r);
	for (int i = 0; rc == 0 && i < r.n; i++)
		rc = again(q, c, webhook, pg_col_int(&r, i, 0), DELIVERY_FAILED);
	return rc;
}

int pgw_replay(struct pg *q, struct change *ch)
{
	struct change_replay *r = &ch->replay;
	struct found_webhook w = {};
	int rc = pgw_find_webhook(q, ch, &r->webhook, r->owner, &w);

	r->replayed = 0;
	if (rc != 0 || ch->code != 0)
		return rc;
	if (w.off)
		return change_webhook_off(ch);
	return uuid_is_zero(r->delivery) ? replay_failed(q, r, w.number) : replay_one(q, ch, w.number);
}

/* ---- purging ---- */

int pgw_purge_deliveries(struct pg *q, int64_t before, uint32_t max)
{
	static const enum pg_stmt KINDS[] = {W_PURGE_DELIVERIES, W_PURGE_DELIVERIES_OF_DELETED, W_PURGE_DELIVERIES_OF_OFF};
	uint64_t left = max;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(KINDS); i++) {
		CLEANUP(pg_rows_release) struct pg_rows r = {};
		struct pg_args a = {};

		arg_int(&a, before);
		arg_int(&a, (int64_t)left);
		rc = w_ask(q, KINDS[i], &a, &r);
		left -= rc == 0 ? pg_changed(&r) : 0;
	}
	return rc == 0 ? w_run(q, W_WEBHOOKS_PURGE, NULL) : rc;
}
