/* Leases, and what lost workers leave behind. */
#include "catalog/postgres/schema.h"
#include "catalog/postgres/write.h"

#define LOST_CHUNK 256 /* tasks taken back at once */

/* What every beat tells. */
static void arg_beat(struct pg_args *a, const struct change_beat *b)
{
	arg_int(a, b->leaving ? b->now : b->expires_at);
	arg_int(a, b->now);
	arg_bool(a, b->draining);
	arg_int(a, b->uploads_since);
}

/* Those that nobody holds who is alive. Mostly there are none, and no lock is needed to see that. */
static int take_free_duties(struct pg *q, const struct change_beat *b, int64_t worker)
{
	CLEANUP(array_release) struct pg_array wanted = PG_ARRAY(PG_INT);
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args look = {}, take = {};

	for (unsigned d = 0; d < DUTIES; d++)
		if (b->wants & 1u << d)
			array_int(&wanted, d);
	arg_array(&look, &wanted);
	arg_int(&look, b->now);
	arg_int(&take, worker);
	arg_array(&take, &wanted);
	arg_int(&take, b->now);
	int rc = w_ask(q, W_DUTIES_FREE, &look, &r);
	if (rc != 0 || r.n == 0)
		return rc;
	rc = w_run(q, W_LOCK_DUTIES, NULL);
	return rc == 0 ? w_run(q, W_DUTIES_TAKE, &take) : rc;
}

static int take_duties(struct pg *q, struct change_beat *b, int64_t worker)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args held = {};
	int rc;

	b->holds = 0;
	if (b->wants == 0 || b->leaving)
		return 0;
	rc = take_free_duties(q, b, worker);
	arg_int(&held, worker);
	if (rc == 0)
		rc = w_ask(q, W_DUTIES_HELD, &held, &r);
	for (int i = 0; rc == 0 && i < r.n; i++)
		b->holds |= b->wants & 1u << (pg_col_int(&r, i, 0) % DUTIES);
	return rc;
}

static int add_worker(struct pg *q, const struct change_beat *b, int64_t *ret)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args add = {};

	arg_uuid(&add, &b->worker);
	arg_beat(&add, b);
	arg_str(&add, b->host.p != NULL ? b->host : STR(""));
	arg_str(&add, b->labels.p != NULL ? b->labels : STR(""));
	arg_uuid(&add, uuid_is_zero(b->home) ? NULL : &b->home);
	int rc = w_ask(q, W_WORKER_ADD, &add, &r);
	*ret = rc == 0 ? pg_col_int(&r, 0, 0) : 0;
	return rc;
}

static int read_clock(struct pg *q, int64_t *ret)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	int rc = w_ask(q, W_CLOCK, NULL, &r);

	*ret = rc == 0 ? pg_col_int(&r, 0, 0) : 0;
	return rc;
}

/* A migration that this program may not go on beside waits for the leases of those at work. Who had none meanwhile, since he stood still, is told here, as he would be at a start. *ret: he may go on. */
static int check_schema(struct pg *q, struct change *ch, bool *ret)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	int rc = w_ask(q, W_SCHEMA, NULL, &r);

	*ret = rc == 0 && (r.n == 0 || pg_col_int(&r, 0, 1) <= pg_schema_latest);
	if (rc == 0 && !*ret)
		ch->code = pg_schema_fits(pg_col_int(&r, 0, 0), &ch->err);
	return rc;
}

int pgw_beat(struct pg *q, struct change *ch)
{
	struct change_beat *b = &ch->beat;
	struct pg_args lease = {};
	int64_t worker, known;
	bool fits;
	int rc = read_clock(q, &b->clock_at);

	if (rc == 0)
		rc = pgw_worker_number(q, b->worker, b->now, &worker);

	if (rc != 0)
		return rc;
	if (worker) {
		arg_int(&lease, worker);
		arg_beat(&lease, b);
		rc = w_run(q, W_WORKER_LEASE, &lease);
		return rc == 0 ? take_duties(q, b, worker) : rc;
	}
	/* An incarnation that was known once does not come back: its jobs may have been given to others. */
	rc = pgw_worker_number(q, b->worker, -1, &known);
	if (rc != 0)
		return rc;
	if (known || !b->first)
		return change_refuse(ch, ERR_STALE, "the worker's lease is lost");
	rc = check_schema(q, ch, &fits);
	if (rc != 0 || !fits)
		return rc;
	rc = add_worker(q, b, &worker);
	return rc == 0 ? take_duties(q, b, worker) : rc;
}

static int take_back(struct pg *q, struct change_reclaim *r, struct task *t)
{
	struct ending end;

	return task_taken_back(t, r, &end) ? pgw_wait_again(q, t, 0, (struct str){}) : pgw_end_task(q, t, &end, NULL);
}

int pgw_reclaim(struct pg *q, struct change *ch)
{
	struct change_reclaim *r = &ch->reclaim;
	struct pg_args dead = {};
	int rc = 0, n;

	r->reclaimed = r->quarantined = 0;
	arg_uuid(&dead, &r->home);
	arg_int(&dead, r->now);
	if (!uuid_is_zero(r->home))
		rc = w_run(q, W_WORKERS_DEAD, &dead);
	if (rc != 0)
		return rc;
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
