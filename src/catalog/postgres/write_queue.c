/* Leases, and what lost workers leave behind. */
#include "catalog/postgres/write.h"

#define LOST_CHUNK 256 /* tasks taken back at once */

int pgw_beat(struct pg *q, struct change *ch)
{
	struct change_beat *b = &ch->beat;
	struct pg_args add = {};
	int64_t worker, known, until = b->leaving ? b->now : b->expires_at;
	int rc = pgw_worker_number(q, b->worker, b->now, &worker);

	if (rc != 0)
		return rc;
	if (worker)
		return w_run_int2(q, W_WORKER_LEASE, worker, until);
	/* An incarnation that was known once does not come back: its jobs may have been given to others. */
	rc = pgw_worker_number(q, b->worker, -1, &known);
	if (rc != 0)
		return rc;
	if (known || !b->first)
		return change_refuse(ch, ERR_STALE, "the worker's lease is lost");
	arg_uuid(&add, &b->worker);
	arg_int(&add, until);
	return w_run(q, W_WORKER_ADD, &add);
}

/* The worker is gone. A job that was to be cancelled is; one that took its third worker along is set aside; the others are tried again. */
static int take_back(struct pg *q, struct change_reclaim *r, struct task *t)
{
	struct ending end = {.state = JOB_QUARANTINED,
			     .error = ERR_WORKER_LOST,
			     .detail = STR("the worker died over this job, time and again"),
			     .finished_at = r->now};

	t->fence++;
	t->losses++;
	if (t->cancel)
		return pgw_end_cancelled(q, t, r->now);
	if (t->losses < LOSSES_MAX) {
		r->reclaimed++;
		return pgw_wait_again(q, t, 0, (struct str){});
	}
	r->quarantined++;
	return pgw_end_task(q, t, &end, NULL);
}

int pgw_reclaim(struct pg *q, struct change *ch)
{
	struct change_reclaim *r = &ch->reclaim;
	int rc = 0, n;

	r->reclaimed = r->quarantined = 0;
	do {
		CLEANUP(pg_rows_release) struct pg_rows rows = {};
		struct pg_args a = {};

		if (!r->all)
			arg_int(&a, r->now);
		arg_int(&a, LOST_CHUNK);
		rc = w_ask(q, r->all ? W_TASKS_RUNNING : W_TASKS_LOST, &a, &rows);
		n = rows.n;
		for (int i = 0; rc == 0 && i < n; i++) {
			struct task t = {.job = pg_col_int(&rows, i, 0)};

			pgw_row_task(&rows, i, 1, &t);
			rc = take_back(q, r, &t);
		}
	} while (rc == 0 && n == LOST_CHUNK);
	return rc;
}

int pgw_outbox_done(struct pg *q, struct change *ch)
{
	return w_run_int(q, W_OUTBOX_DONE, ch->outbox_done.upto);
}
