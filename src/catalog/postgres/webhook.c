/* Webhooks: made, changed, removed; and what each end of a job writes for them. */
#include "catalog/postgres/write.h"

/* ---- the ends of jobs ---- */

struct wanting {
	int64_t number;
	struct uuid id;
};

/* The owner's webhooks that are on and want to hear of it; `op` and `state` are the job's. */
static int find_wanting(struct pg *q, const struct job *job, struct wanting list[WEBHOOKS_AN_OWNER_MAX], size_t *ret_n)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args a = {};
	size_t n = 0;

	arg_int(&a, job->number);
	arg_int(&a, WEBHOOKS_AN_OWNER_MAX);
	int rc = w_ask(q, W_WEBHOOKS_OF_JOB, &a, &r);
	for (int i = 0; rc == 0 && i < r.n && n < WEBHOOKS_AN_OWNER_MAX; i++)
		if (webhook_wants((uint32_t)pg_col_int(&r, i, 2), pg_col_str(&r, i, 3), job->state, job->op))
			list[n++] = (struct wanting){pg_col_int(&r, i, 0), pg_col_uuid(&r, i, 1)};
	*ret_n = n;
	return rc;
}

static int read_ended(struct pg *q, int64_t number, struct arena *a, struct job *ret)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args args = {};

	arg_int(&args, number);
	int rc = w_ask(q, W_ENDED_JOB, &args, &r);
	if (rc != 0)
		return rc;
	if (r.n == 0)
		return pg_fail_with(&q->link, ERR_DAMAGED, "a job that ended is gone");
	if (!pg_row_job(&r, 0, a, ret))
		return pg_no_memory(&q->link);
	ret->file = pg_col_uuid(&r, 0, JOB_FILE_ID);
	return pg_rows_outputs(&q->link, W_OUTPUTS, number, a, &ret->outputs, &ret->n_outputs);
}

static int put_for_each(struct pg *q, const struct job *job, const struct wanting *list, size_t n)
{
	CLEANUP(buf_release) struct buf payload = BUF_INIT;
	int rc = 0;

	webhook_payload_job(&payload, job);
	if (!buf_ok(&payload))
		return pg_no_memory(&q->link);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		struct delivery d = delivery_of_end(list[i].id, job);
		d.payload = buf_str(&payload);
		rc = pgw_put_delivery(q, list[i].number, &d);
	}
	return rc;
}

int pgw_put_deliveries(struct pg *q, int64_t number)
{
	CLEANUP(arena_release) struct arena a = ARENA_INIT;
	struct wanting list[WEBHOOKS_AN_OWNER_MAX];
	struct job job = {};
	size_t n = 0;
	int rc = read_ended(q, number, &a, &job);

	if (rc == 0)
		rc = find_wanting(q, &job, list, &n);
	return rc == 0 && n > 0 ? put_for_each(q, &job, list, n) : rc;
}

/* ---- by hand ---- */

int pgw_find_webhook(struct pg *q, struct change *ch, const struct uuid *id, struct str owner, struct found_webhook *ret)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args a = {};

	arg_uuid(&a, id);
	int rc = w_ask(q, W_WEBHOOK_FIND, &a, &r);
	if (rc != 0)
		return rc;
	if (r.n == 0 || !str_eq(pg_col_str(&r, 0, 1), owner))
		return change_no_webhook(ch);
	*ret = (struct found_webhook){.number = pg_col_int(&r, 0, 0), .off = !pg_col_null(&r, 0, 2)};
	return 0;
}

int pgw_switch_webhook(struct pg *q, int64_t number, bool was_off, enum webhook_off off, int64_t now)
{
	struct pg_args a = {};

	if (was_off && off != WEBHOOK_ON)
		return 0; /* why it was switched off first is what counts */
	arg_int(&a, number);
	arg_time(&a, off != WEBHOOK_ON ? now : 0);
	arg_int(&a, (int)off);
	q->writes->webhooks = true;
	return w_run(q, W_WEBHOOK_SWITCH, &a);
}

static int too_many(struct pg *q, struct change *ch)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args a = {};

	arg_str(&a, ch->add_webhook.webhook->owner);
	int rc = w_ask(q, W_WEBHOOK_COUNT, &a, &r);
	if (rc == 0 && pg_col_int(&r, 0, 0) >= ch->add_webhook.max)
		change_too_many_webhooks(ch, ch->add_webhook.max);
	return rc;
}

int pgw_add_webhook(struct pg *q, struct change *ch)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct webhook *w = ch->add_webhook.webhook;
	struct pg_args a = {};
	int rc = too_many(q, ch);

	if (rc != 0 || ch->code != 0)
		return rc;
	arg_uuid(&a, &w->id);
	arg_str(&a, w->owner);
	arg_str(&a, w->url);
	arg_int(&a, w->events);
	arg_str(&a, w->ops);
	arg_str(&a, w->description);
	arg_bytes(&a, w->secret.b, sizeof(w->secret.b));
	arg_int(&a, w->created_at);
	rc = w_ask(q, W_WEBHOOK_ADD, &a, &r);
	if (rc == 0)
		w->number = pg_col_int(&r, 0, 0);
	q->writes->webhooks = true;
	return rc;
}

int pgw_patch_webhook(struct pg *q, struct change *ch)
{
	const struct change_patch_webhook *p = &ch->patch_webhook;
	struct found_webhook w = {};
	struct pg_args a = {};
	int rc = pgw_find_webhook(q, ch, &p->id, p->owner, &w);

	if (rc != 0 || ch->code != 0)
		return rc;
	arg_int(&a, w.number);
	arg_str(&a, p->url);
	arg_str(&a, p->description);
	arg_str(&a, p->ops);
	arg_time(&a, p->events);
	rc = w_run(q, W_WEBHOOK_PATCH, &a);
	if (rc != 0 || !p->set_enabled || p->enabled == !w.off)
		return rc;
	q->base.deliveries += p->enabled; /* what waited is due */
	return pgw_switch_webhook(q, w.number, w.off, p->enabled ? WEBHOOK_ON : WEBHOOK_OFF_BY_HAND, p->now);
}

int pgw_rotate_webhook(struct pg *q, struct change *ch)
{
	const struct change_rotate_webhook *r = &ch->rotate_webhook;
	struct found_webhook w = {};
	struct pg_args a = {};
	int rc = pgw_find_webhook(q, ch, &r->id, r->owner, &w);

	if (rc != 0 || ch->code != 0)
		return rc;
	arg_int(&a, w.number);
	arg_bytes(&a, r->secret.b, sizeof(r->secret.b));
	arg_time(&a, r->previous_until);
	return w_run(q, W_WEBHOOK_ROTATE, &a);
}

int pgw_delete_webhook(struct pg *q, struct change *ch)
{
	const struct change_delete_webhook *d = &ch->delete_webhook;
	struct found_webhook w = {};
	int rc = pgw_find_webhook(q, ch, &d->id, d->owner, &w);

	if (rc != 0 || ch->code != 0)
		return rc;
	return w_run_int2(q, W_WEBHOOK_DELETE, w.number, d->now);
}
