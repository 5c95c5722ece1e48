/* Housekeeping and what stands by itself: purges, results that expire, marks of damage, the scrub's place, recurring entries, secrets, the audit log's head. */
#include "catalog/postgres/write.h"

/* ---- purging ---- */

int pgw_purge(struct pg *q, struct change *ch)
{
	const struct change_purge *p = &ch->purge;
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	uint64_t left = p->max;
	int rc = w_run_int2(q, W_PURGE_IDEMPOTENCY, p->idempotency_before, p->max);

	if (rc == 0)
		rc = w_run_int2(q, W_PURGE_TOMBSTONES, p->tombstones_before, p->max);
	do { /* a round takes the ends of chains */
		struct pg_args a = {};

		arg_int(&a, p->tombstones_before);
		arg_int(&a, (int64_t)left);
		pg_rows_release(&r);
		if (rc == 0)
			rc = w_ask(q, W_PURGE_EXPIRED, &a, &r);
		left -= rc == 0 ? pg_changed(&r) : 0;
	} while (rc == 0 && left > 0 && pg_changed(&r) > 0);
	if (rc == 0)
		rc = w_run_int2(q, W_PURGE_WORKERS, p->workers_before, p->max);
	if (rc == 0)
		rc = w_run_int2(q, W_PURGE_NEWS, NEWS_KEPT_MS, p->max * 10); /* batches, not jobs; but many more than anything else */
	if (rc == 0)
		rc = w_run_int(q, W_PURGE_BATCHES, BATCH_KEPT_MS);
	if (rc == 0)
		rc = pgw_purge_deliveries(q, p->deliveries_before, p->max);
	if (rc == 0)
		rc = w_run_int2(q, W_PURGE_ONCE, p->once_before, p->max);
	if (rc == 0)
		rc = w_run_int2(q, W_PURGE_SESSIONS, p->once_before, p->max);
	return rc == 0 ? w_run_int2(q, W_PURGE_KEYS, p->keys_before, p->max) : rc;
}

/* ---- results that expire ---- */

static int expire(struct pg *q, const struct pg_rows *r, int64_t now, bool *ret_doomed)
{
	int64_t job = pg_col_int(r, 0, 0);
	uint8_t sha256[32];
	int rc = 0;

	pg_col_sha256(r, 0, 6, sha256);
	if (pg_col_int(r, 0, 2) == JOB_SUCCEEDED)
		rc = w_run_int2(
			q, W_ARTIFACT_DELETE,
			artifact_key(pg_col_str(r, 0, 7), pg_col_str(r, 0, 3), (uint32_t)pg_col_int(r, 0, 4), pg_col_str(r, 0, 5), sha256),
			job);
	if (rc == 0)
		rc = pgw_forget_outputs(q, W_OUTPUTS_OF_JOB_DELETE, job, now, ret_doomed);
	return rc == 0 ? w_run_int2(q, W_EXPIRE, job, now) : rc;
}

int pgw_expire_results(struct pg *q, struct change *ch)
{
	struct change_expire_results *c = &ch->expire_results;
	int rc = 0;

	c->expired = c->kept = 0;
	c->doomed = false;
	while (rc == 0 && c->expired + c->kept < c->max) {
		CLEANUP(pg_rows_release) struct pg_rows r = {};
		struct pg_args a = {};

		arg_int(&a, c->now);
		arg_int(&a, c->again_at);
		rc = w_ask(q, W_EXPIRING, &a, &r);
		if (rc != 0 || r.n == 0)
			break;
		int64_t needed_until = pg_col_int(&r, 0, 1);
		if (needed_until) {
			rc = w_run_int2(q, W_EXPIRE_LATER, pg_col_int(&r, 0, 0), needed_until > c->now ? needed_until : c->now + 1);
			c->kept++;
		} else {
			rc = expire(q, &r, c->now, &c->doomed);
			c->expired++;
		}
	}
	return rc;
}

/* ---- damage and scrub ---- */

static int mark_outputs(struct pg *q, struct change *ch)
{
	struct change_mark_damaged *d = &ch->mark_damaged;
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	CLEANUP(pg_rows_release) struct pg_rows used = {};
	struct pg_args a = {}, u = {};

	arg_str(&a, d->blob);
	arg_time(&a, d->at);
	int rc = w_ask(q, W_OUTPUT_MARK, &a, &r);
	d->changed = rc == 0 ? (uint32_t)pg_changed(&r) : 0;
	if (rc != 0 || d->changed)
		return rc;
	arg_str(&u, d->blob);
	rc = w_ask(q, W_OUTPUT_USED, &u, &used);
	return rc == 0 && used.n == 0 ? change_refuse(ch, ERR_OUTPUT_NOT_FOUND, "no output has this blob") : rc;
}

static int mark_file(struct pg *q, struct change *ch)
{
	struct change_mark_damaged *d = &ch->mark_damaged;
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	CLEANUP(pg_rows_release) struct pg_rows found = {};
	struct pg_args a = {}, f = {};

	arg_uuid(&a, &d->file);
	arg_time(&a, d->at);
	int rc = w_ask(q, W_FILE_MARK, &a, &r);
	d->changed = rc == 0 ? (uint32_t)pg_changed(&r) : 0;
	if (rc != 0 || d->changed)
		return rc;
	arg_uuid(&f, &d->file);
	rc = w_ask(q, W_FILE_FIND, &f, &found);
	if (rc == 0 && (found.n == 0 || !pg_col_null(&found, 0, 5)))
		change_refuse(ch, ERR_FILE_NOT_FOUND, "there is no file with this id");
	return rc;
}

int pgw_mark_damaged(struct pg *q, struct change *ch)
{
	return uuid_is_zero(ch->mark_damaged.file) ? mark_outputs(q, ch) : mark_file(q, ch);
}

int pgw_scrub_position(struct pg *q, struct change *ch)
{
	const struct scrub_position *p = &ch->scrub_position;
	struct pg_args a = {};

	arg_int(&a, (int)p->at.kind);
	arg_int(&a, p->at.number);
	arg_int(&a, p->at.n);
	arg_int(&a, p->began_at);
	arg_int(&a, p->whole);
	return w_run(q, W_SCRUB_WRITE, &a);
}

/* ---- the word in the bucket ---- */

static int set_line(struct pg *q, struct str key, int64_t from, int64_t to, bool *ret_done)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args a = {};

	arg_str(&a, key);
	arg_int(&a, from);
	arg_int(&a, to);
	int rc = w_ask(q, W_LINE_SET, &a, &r);
	*ret_done = rc == 0 && pg_changed(&r) > 0;
	return rc;
}

/* Alone among the changes of all nodes, as runs_alone() has it. */
int pgw_line(struct pg *q, struct change *ch)
{
	struct change_line *l = &ch->line;
	int rc = w_run(q, W_LINE_ROWS, NULL);

	l->done = false;
	if (rc != 0)
		return rc;
	switch (l->step) {
	case LINE_NEXT:
		return set_line(q, STR("line_next"), 0, l->word, &l->done);
	case LINE_SETTLED:
		break;
	case LINE_SOLE:
		return set_line(q, STR("line_sole"), 0, 1, &l->done);
	case LINE_SOLE_TAKEN:
		return set_line(q, STR("line_sole"), 1, 0, &l->done);
	}
	rc = set_line(q, STR("line_next"), l->word, 0, &l->done);
	return rc == 0 && l->done ? w_run_int(q, W_LINE_WORD, l->word) : rc;
}

/* ---- recurring entries ---- */

static int as_it_was(struct pg *q, struct change *ch)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct recurring_state now = {};
	struct pg_args a = {};

	arg_str(&a, ch->recurring.to.name);
	int rc = w_ask(q, W_RECURRING_FIND, &a, &r);
	if (rc != 0)
		return rc;
	if (r.n)
		now = (struct recurring_state){.due_at = pg_col_int(&r, 0, 0), .before = pg_col_int(&r, 0, 1)};
	recurring_as_it_was(ch, r.n ? &now : NULL);
	return 0;
}

/* The jobs are the last that may be refused, before anything is written. */
int pgw_recurring(struct pg *q, struct change *ch)
{
	const struct recurring_state *to = &ch->recurring.to;
	struct pg_args a = {};
	int rc = as_it_was(q, ch);

	if (rc == 0 && ch->code == 0 && ch->recurring.add.n > 0)
		rc = pgw_add_jobs(q, ch);
	if (rc != 0 || ch->code)
		return rc;
	arg_str(&a, to->name);
	if (ch->recurring.forget)
		return w_run(q, W_RECURRING_FORGET, &a);
	arg_str(&a, to->schedule);
	arg_int(&a, to->due_at);
	arg_int(&a, to->since);
	arg_int(&a, to->upto);
	arg_int(&a, to->before);
	return w_run(q, W_RECURRING_PUT, &a);
}

/* ---- secrets ---- */

int pgw_add_secret(struct pg *q, struct change *ch)
{
	struct change_add_secret *n = &ch->add_secret;
	struct pg_args a = {};
	int rc = 0;

	n->added = false;
	if (n->if_none) {
		CLEANUP(pg_rows_release) struct pg_rows r = {};

		rc = w_ask(q, W_SECRET_ANY, NULL, &r);
		if (rc != 0 || r.n)
			return rc;
	}
	arg_bytes(&a, n->bytes, sizeof(n->bytes));
	arg_int(&a, n->now);
	rc = w_run(q, W_SECRET_ADD, &a);
	n->added = rc == 0;
	return rc == 0 ? w_run_int(q, W_SECRETS_CUT, n->keep) : rc;
}

/* ---- the audit log ---- */

int pgw_audit_done(struct pg *q, struct change *ch)
{
	const struct change_audit_done *d = &ch->audit_done;
	const struct audit_head *h = &d->head;
	CLEANUP(pg_rows_release) struct pg_rows last = {}, moved = {};
	struct pg_args a = {};
	int rc = last_flush(q); /* entries of this batch count too */

	if (rc == 0)
		rc = pg_ask(&q->link, W_AUDIT_LAST, NULL, &last);
	if (rc != 0)
		return rc;
	if (last.n == 0 || h->seq > pg_col_int(&last, 0, 0))
		return change_refuse(ch, ERR_CONFLICT, "there was no such audit entry");
	arg_int(&a, h->seq);
	arg_bytes(&a, h->hash, sizeof(h->hash));
	arg_int(&a, h->file);
	arg_int(&a, (int64_t)h->size);
	arg_uuid(&a, uuid_is_zero(h->home) ? NULL : &h->home);
	arg_int(&a, d->after);
	arg_uuid(&a, uuid_is_zero(d->after_home) ? NULL : &d->after_home);
	if ((rc = w_ask(q, W_AUDIT_HEAD_WRITE, &a, &moved)) != 0)
		return rc;
	if (moved.n == 0) /* by a node that took the log over while this one stood still */
		return change_refuse(ch, ERR_CONFLICT, "the head of the audit log was moved by another node");
	return w_run_int(q, W_AUDIT_DONE, h->seq);
}
