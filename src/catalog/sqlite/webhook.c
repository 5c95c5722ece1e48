/* Webhooks: made, changed, removed; and what each end of a job writes for them. */
#include "catalog/sqlite/sq.h"

int sq_webhooks_load(struct sq *q)
{
	sqlite3_stmt *s = q->stmt[W_WEBHOOKS_ON];
	bool row;
	int rc = first(s, &row);

	if (row)
		q->now.webhooks = q->committed.webhooks = sqlite3_column_int64(s, 0);
	sqlite3_reset(s);
	return rc;
}

/* ---- the ends of jobs ---- */

struct wanting {
	int64_t number;
	struct uuid id;
};

/* The owner's webhooks that are on and want to hear of it; `op` and `state` are the job's. */
static int find_wanting(struct sq *q, const struct job *job, struct wanting list[WEBHOOKS_AN_OWNER_MAX], size_t *ret_n)
{
	sqlite3_stmt *s = q->stmt[W_WEBHOOKS_OF_JOB];
	size_t n = 0;
	int rc;

	sqlite3_bind_int64(s, 1, job->number);
	sqlite3_bind_int(s, 2, WEBHOOKS_AN_OWNER_MAX);
	while ((rc = sqlite3_step(s)) == SQLITE_ROW && n < WEBHOOKS_AN_OWNER_MAX) {
		if (webhook_wants((uint32_t)sqlite3_column_int64(s, 2), col_str(s, 3), job->state, job->op))
			list[n++] = (struct wanting){sqlite3_column_int64(s, 0), col_uuid(s, 1)};
	}
	sqlite3_reset(s);
	*ret_n = n;
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static int read_ended(struct sq *q, int64_t number, struct arena *a, struct job *ret)
{
	sqlite3_stmt *s = q->stmt[W_ENDED_JOB];
	bool row, copied = false;
	int rc;

	sqlite3_bind_int64(s, 1, number);
	rc = first(s, &row);
	if (row) {
		copied = row_job(s, a, ret);
		ret->file = col_uuid(s, JOB_FILE_ID);
	}
	sqlite3_reset(s);
	if (rc != SQLITE_OK)
		return rc;
	if (!row)
		return SQLITE_CORRUPT;
	return copied ? rows_outputs(q->stmt[W_OUTPUTS], number, a, &ret->outputs, &ret->n_outputs) : SQLITE_NOMEM;
}

static int put_for_each(struct sq *q, const struct job *job, const struct wanting *list, size_t n)
{
	CLEANUP(buf_release) struct buf payload = BUF_INIT;
	int rc = SQLITE_OK;

	webhook_payload_job(&payload, job);
	if (!buf_ok(&payload))
		return SQLITE_NOMEM;
	for (size_t i = 0; rc == SQLITE_OK && i < n; i++) {
		struct delivery d = delivery_of_end(list[i].id, job);
		d.payload = buf_str(&payload);
		rc = put_delivery(q, list[i].number, &d);
	}
	return rc;
}

int put_deliveries(struct sq *q, int64_t number)
{
	CLEANUP(arena_release) struct arena a = ARENA_INIT;
	struct wanting list[WEBHOOKS_AN_OWNER_MAX];
	struct job job = {};
	size_t n = 0;
	int rc = read_ended(q, number, &a, &job);

	if (rc == SQLITE_OK)
		rc = find_wanting(q, &job, list, &n);
	return rc == SQLITE_OK && n > 0 ? put_for_each(q, &job, list, n) : rc;
}

/* ---- by hand ---- */

int find_webhook(struct sq *q, struct change *ch, const struct uuid *id, struct str owner, struct found_webhook *ret)
{
	sqlite3_stmt *s = q->stmt[W_WEBHOOK_FIND];
	bool row, mine;
	int rc;

	bind_uuid(s, 1, id);
	rc = first(s, &row);
	mine = row && str_eq(col_str(s, 1), owner);
	if (mine)
		*ret = (struct found_webhook){.number = sqlite3_column_int64(s, 0), .off = !col_null(s, 2)};
	sqlite3_reset(s);
	return rc == SQLITE_OK && !mine ? change_no_webhook(ch) : rc;
}

int switch_webhook(struct sq *q, int64_t number, bool was_off, enum webhook_off off, int64_t now)
{
	sqlite3_stmt *s = q->stmt[W_WEBHOOK_SWITCH];

	if (was_off && off != WEBHOOK_ON)
		return SQLITE_OK; /* why it was switched off first is what counts */
	sqlite3_bind_int64(s, 1, number);
	bind_time(s, 2, off != WEBHOOK_ON ? now : 0);
	sqlite3_bind_int(s, 3, (int)off);
	q->now.webhooks += (off == WEBHOOK_ON) - !was_off;
	return run(s);
}

static void bind_secret(sqlite3_stmt *s, int i, const struct webhook_secret *secret)
{
	sqlite3_bind_blob(s, i, secret->b, sizeof(secret->b), SQLITE_STATIC);
}

static int too_many(struct sq *q, struct change *ch)
{
	sqlite3_stmt *s = q->stmt[W_WEBHOOK_COUNT];
	bool row;
	int rc;

	bind_str(s, 1, ch->add_webhook.webhook->owner);
	rc = first(s, &row);
	if (row && sqlite3_column_int64(s, 0) >= ch->add_webhook.max)
		change_too_many_webhooks(ch, ch->add_webhook.max);
	sqlite3_reset(s);
	return rc;
}

int sq_add_webhook(struct sq *q, struct change *ch)
{
	struct webhook *w = ch->add_webhook.webhook;
	sqlite3_stmt *s = q->stmt[W_WEBHOOK_ADD];
	int rc = too_many(q, ch);

	if (rc != SQLITE_OK || ch->code != 0)
		return rc;
	bind_uuid(s, 1, &w->id);
	bind_str(s, 2, w->owner);
	bind_str(s, 3, w->url);
	sqlite3_bind_int64(s, 4, w->events);
	bind_str(s, 5, w->ops);
	bind_str(s, 6, w->description);
	bind_secret(s, 7, &w->secret);
	sqlite3_bind_int64(s, 8, w->created_at);
	rc = run(s);
	if (rc != SQLITE_OK)
		return rc;
	w->number = sqlite3_last_insert_rowid(q->db);
	q->now.webhooks++;
	return SQLITE_OK;
}

int sq_patch_webhook(struct sq *q, struct change *ch)
{
	const struct change_patch_webhook *p = &ch->patch_webhook;
	sqlite3_stmt *s = q->stmt[W_WEBHOOK_PATCH];
	struct found_webhook w = {};
	int rc = find_webhook(q, ch, &p->id, p->owner, &w);

	if (rc != SQLITE_OK || ch->code != 0)
		return rc;
	sqlite3_bind_int64(s, 1, w.number);
	bind_str(s, 2, p->url);
	bind_str(s, 3, p->description);
	bind_str(s, 4, p->ops);
	if (p->events != 0)
		sqlite3_bind_int64(s, 5, p->events);
	else
		sqlite3_bind_null(s, 5);
	rc = run(s);
	if (rc != SQLITE_OK || !p->set_enabled || p->enabled == !w.off)
		return rc;
	q->base.deliveries += p->enabled; /* what waited is due */
	return switch_webhook(q, w.number, w.off, p->enabled ? WEBHOOK_ON : WEBHOOK_OFF_BY_HAND, p->now);
}

int sq_rotate_webhook(struct sq *q, struct change *ch)
{
	const struct change_rotate_webhook *r = &ch->rotate_webhook;
	sqlite3_stmt *s = q->stmt[W_WEBHOOK_ROTATE];
	struct found_webhook w = {};
	int rc = find_webhook(q, ch, &r->id, r->owner, &w);

	if (rc != SQLITE_OK || ch->code != 0)
		return rc;
	sqlite3_bind_int64(s, 1, w.number);
	bind_secret(s, 2, &r->secret);
	bind_time(s, 3, r->previous_until);
	return run(s);
}

int sq_delete_webhook(struct sq *q, struct change *ch)
{
	const struct change_delete_webhook *d = &ch->delete_webhook;
	sqlite3_stmt *s = q->stmt[W_WEBHOOK_DELETE];
	struct found_webhook w = {};
	int rc = find_webhook(q, ch, &d->id, d->owner, &w);

	if (rc != SQLITE_OK || ch->code != 0)
		return rc;
	sqlite3_bind_int64(s, 1, w.number);
	sqlite3_bind_int64(s, 2, d->now);
	q->now.webhooks -= !w.off;
	return run(s);
}
