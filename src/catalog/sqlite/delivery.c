/* Deliveries: written, tried, replayed, purged. The column `waiting` of their webhook follows their state here and nowhere else. */
#include "catalog/sqlite/sq.h"

#define PURGE_EACH 3 /* kinds of deliveries that a purge looks for */

static int add_waiting(struct sq *q, int64_t webhook, int more)
{
	sqlite3_stmt *s = q->stmt[W_WEBHOOK_WAITING];

	sqlite3_bind_int64(s, 1, webhook);
	sqlite3_bind_int(s, 2, more);
	return run(s);
}

/* An end that was told already is not told again: the id says so. */
int put_delivery(struct sq *q, int64_t webhook, const struct delivery *d)
{
	sqlite3_stmt *s = q->stmt[W_DELIVERY_ADD];
	int rc;

	bind_uuid(s, 1, &d->id);
	sqlite3_bind_int64(s, 2, webhook);
	sqlite3_bind_int(s, 3, (int)d->event);
	if (uuid_is_zero(d->job))
		sqlite3_bind_null(s, 4);
	else
		bind_uuid(s, 4, &d->job);
	bind_str(s, 5, d->payload);
	sqlite3_bind_int64(s, 6, d->created_at);
	rc = run(s);
	if (rc != SQLITE_OK || sqlite3_changes(q->db) == 0)
		return rc;
	q->base.deliveries++;
	return add_waiting(q, webhook, 1);
}

int sq_add_ping(struct sq *q, struct change *ch)
{
	const struct change_add_ping *p = &ch->add_ping;
	const struct delivery d = {.id = p->id, .event = WEBHOOK_PING, .payload = p->payload, .created_at = p->now};
	struct found_webhook w = {};
	int rc = find_webhook(q, ch, &p->webhook, p->owner, &w);

	if (rc != SQLITE_OK || ch->code != 0)
		return rc;
	return w.off ? change_webhook_off(ch) : put_delivery(q, w.number, &d);
}

/* ---- attempts ---- */

static int move_delivery(struct sq *q, int64_t number, enum delivery_state state, uint32_t tries, int64_t due_at, int64_t ended_at)
{
	sqlite3_stmt *s = q->stmt[W_DELIVERY_MOVE];

	sqlite3_bind_int64(s, 1, number);
	sqlite3_bind_int(s, 2, (int)state);
	sqlite3_bind_int64(s, 3, tries);
	sqlite3_bind_int64(s, 4, due_at);
	bind_time(s, 5, ended_at);
	return run(s);
}

static int log_attempt(struct sq *q, int64_t delivery, const struct delivery_attempt *t)
{
	sqlite3_stmt *add = q->stmt[W_ATTEMPT_ADD], *cut = q->stmt[W_ATTEMPTS_CUT];
	int rc;

	sqlite3_bind_int64(add, 1, delivery);
	sqlite3_bind_int64(add, 2, t->at);
	sqlite3_bind_int64(add, 3, t->duration_ms);
	sqlite3_bind_int(add, 4, t->status);
	bind_str(add, 5, t->error);
	rc = run(add);
	if (rc != SQLITE_OK)
		return rc;
	sqlite3_bind_int64(cut, 1, delivery);
	sqlite3_bind_int(cut, 2, DELIVERY_LOG_MAX);
	return run(cut);
}

/* What DELIVERY_FIND knows. */
struct waiting {
	int64_t webhook, failing_since;
	uint32_t tries;
	bool off, elsewhere;
};

static int find_waiting(struct sq *q, struct change *ch, struct waiting *ret)
{
	sqlite3_stmt *s = q->stmt[W_DELIVERY_FIND];
	bool row;
	int rc;

	sqlite3_bind_int64(s, 1, ch->attempt.delivery);
	bind_str(s, 2, ch->attempt.url);
	rc = first(s, &row);
	if (row)
		*ret = (struct waiting){.webhook = sqlite3_column_int64(s, 0),
					.tries = (uint32_t)sqlite3_column_int64(s, 1),
					.failing_since = sqlite3_column_int64(s, 2),
					.off = !col_null(s, 3),
					.elsewhere = sqlite3_column_int(s, 4)};
	sqlite3_reset(s);
	return rc == SQLITE_OK && !row ? change_refuse(ch, ERR_STALE, "the delivery does not wait any more") : rc;
}

/* What the attempt says of its webhook. */
static int judge_webhook(struct sq *q, struct change_attempt *t, const struct waiting *d)
{
	sqlite3_stmt *s = q->stmt[W_WEBHOOK_FAILING];
	bool failed = t->state != DELIVERY_DELIVERED;
	int rc;

	sqlite3_bind_int64(s, 1, d->webhook);
	bind_time(s, 2, failed ? t->attempt.at : 0);
	rc = run(s);
	if (rc != SQLITE_OK)
		return rc;
	if (failed && t->off == WEBHOOK_ON && d->failing_since != 0 && d->failing_since < t->failing_before)
		t->off = WEBHOOK_OFF_FAILING;
	if (t->off == WEBHOOK_ON || d->off) {
		t->off = WEBHOOK_ON;
		return SQLITE_OK;
	}
	return switch_webhook(q, d->webhook, false, t->off, t->attempt.at);
}

int sq_attempt(struct sq *q, struct change *ch)
{
	struct change_attempt *t = &ch->attempt;
	struct waiting d = {};
	int rc = find_waiting(q, ch, &d);
	bool ended;

	if (rc != SQLITE_OK || ch->code != 0)
		return rc;
	if (d.elsewhere)
		attempt_was_elsewhere(t);
	ended = t->state != DELIVERY_WAITING;
	rc = move_delivery(q, t->delivery, t->state, d.tries + 1, ended ? t->attempt.at : t->due_at,
			   ended ? t->attempt.at + t->attempt.duration_ms : 0);
	if (rc == SQLITE_OK && ended)
		rc = add_waiting(q, d.webhook, -1);
	if (rc == SQLITE_OK)
		rc = log_attempt(q, t->delivery, &t->attempt);
	return rc == SQLITE_OK && !d.elsewhere ? judge_webhook(q, t, &d) : rc;
}

/* ---- again ---- */

static int again(struct sq *q, struct change_replay *r, int64_t webhook, int64_t delivery, enum delivery_state was)
{
	int rc = move_delivery(q, delivery, DELIVERY_WAITING, 0, r->now, 0);

	r->replayed++;
	q->base.deliveries++;
	return rc == SQLITE_OK && was != DELIVERY_WAITING ? add_waiting(q, webhook, 1) : rc;
}

static int replay_one(struct sq *q, struct change *ch, int64_t webhook)
{
	sqlite3_stmt *s = q->stmt[W_DELIVERY_BY_ID];
	enum delivery_state state = DELIVERY_WAITING;
	int64_t number = 0;
	bool row;
	int rc;

	bind_uuid(s, 1, &ch->replay.delivery);
	sqlite3_bind_int64(s, 2, webhook);
	rc = first(s, &row);
	if (row) {
		number = sqlite3_column_int64(s, 0);
		state = (enum delivery_state)sqlite3_column_int(s, 1);
	}
	sqlite3_reset(s);
	if (rc == SQLITE_OK && !row)
		return change_no_delivery(ch);
	return rc == SQLITE_OK ? again(q, &ch->replay, webhook, number, state) : rc;
}

/* One look-up a row: each that is replayed leaves the index, so the next one is the first again. */
static int replay_failed(struct sq *q, struct change_replay *r, int64_t webhook)
{
	sqlite3_stmt *s = q->stmt[W_DELIVERIES_FAILED];
	int rc = SQLITE_OK;

	while (rc == SQLITE_OK && r->replayed < r->max) {
		int64_t number = 0;
		bool row;

		sqlite3_bind_int64(s, 1, webhook);
		sqlite3_bind_int64(s, 2, r->since);
		sqlite3_bind_int(s, 3, 1);
		rc = first(s, &row);
		if (row)
			number = sqlite3_column_int64(s, 0);
		sqlite3_reset(s);
		if (!row)
			break;
		rc = again(q, r, webhook, number, DELIVERY_FAILED);
	}
	return rc;
}

int sq_replay(struct sq *q, struct change *ch)
{
	struct change_replay *r = &ch->replay;
	struct found_webhook w = {};
	int rc = find_webhook(q, ch, &r->webhook, r->owner, &w);

	r->replayed = 0;
	if (rc != SQLITE_OK || ch->code != 0)
		return rc;
	if (w.off)
		return change_webhook_off(ch);
	return uuid_is_zero(r->delivery) ? replay_failed(q, r, w.number) : replay_one(q, ch, w.number);
}

/* ---- purging ---- */

static int remove_delivery(struct sq *q, int64_t number, int64_t webhook, enum delivery_state state)
{
	sqlite3_stmt *attempts = q->stmt[W_ATTEMPTS_DELETE], *row = q->stmt[W_DELIVERY_DELETE];
	int rc;

	sqlite3_bind_int64(attempts, 1, number);
	rc = run(attempts);
	if (rc == SQLITE_OK) {
		sqlite3_bind_int64(row, 1, number);
		rc = run(row);
	}
	return rc == SQLITE_OK && state == DELIVERY_WAITING ? add_waiting(q, webhook, -1) : rc;
}

/* Removes the one the statement finds; *ret_found says whether there was one. */
static int purge_one(struct sq *q, sqlite3_stmt *s, int64_t before, bool *ret_found)
{
	enum delivery_state state = DELIVERY_WAITING;
	int64_t number = 0, webhook = 0;
	int rc;

	sqlite3_bind_int64(s, 1, before);
	rc = first(s, ret_found);
	if (*ret_found) {
		number = sqlite3_column_int64(s, 0);
		webhook = sqlite3_column_int64(s, 1);
		state = (enum delivery_state)sqlite3_column_int(s, 2);
	}
	sqlite3_reset(s);
	return rc == SQLITE_OK && *ret_found ? remove_delivery(q, number, webhook, state) : rc;
}

int sq_purge_deliveries(struct sq *q, int64_t before, uint32_t max)
{
	static const enum write_stmt KINDS[PURGE_EACH] = {W_DELIVERY_OLD, W_DELIVERY_OF_DELETED, W_DELIVERY_OF_OFF};
	uint32_t left = max;
	int rc = SQLITE_OK;

	for (size_t i = 0; rc == SQLITE_OK && i < PURGE_EACH; i++) {
		bool found = true;

		for (; rc == SQLITE_OK && found && left > 0; left -= found)
			rc = purge_one(q, q->stmt[KINDS[i]], before, &found);
	}
	return rc == SQLITE_OK ? run(q->stmt[W_WEBHOOKS_PURGE]) : rc;
}
