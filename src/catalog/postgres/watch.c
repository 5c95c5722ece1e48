/* Sums, and what operators look at. Sums of what waits and runs stand in the slots of `tally` and `lane_tally`; how long something has waited is read from the heads of the lanes. */
#include "catalog/postgres/reads.h"

int pg_stats(struct catalog *c, int64_t now, struct catalog_stats *ret, struct err *e)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args args = {};
	int rc;

	arg_int(&args, now);
	rc = pg_read(CONTAINER_OF(c, struct pg, base), R_STATS, &args, &r, e);
	if (rc != 0)
		return rc;
	*ret = (struct catalog_stats){
		.files = (uint64_t)pg_col_int(&r, 0, 0),
		.file_bytes = (uint64_t)pg_col_int(&r, 0, 1),
		.jobs_waiting = (uint64_t)pg_col_int(&r, 0, 2),
		.jobs_running = (uint64_t)pg_col_int(&r, 0, 3),
		.oldest_waiting_at = pg_col_int(&r, 0, 8),
	};
	for (int s = JOB_SUCCEEDED; s < JOB_STATES; s++)
		ret->jobs_final[s] = (uint64_t)pg_col_int(&r, 0, 4 + s - JOB_SUCCEEDED);
	return 0;
}

int pg_store(struct catalog *c, struct uuid mine, struct uuid *ret, struct err *e)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args args = {};
	int rc;

	if (!uuid_is_zero(mine))
		arg_uuid(&args, &mine);
	rc = pg_read(CONTAINER_OF(c, struct pg, base), uuid_is_zero(mine) ? R_STORE_KNOWN : R_STORE, &args, &r, e);
	if (rc == 0)
		*ret = r.n > 0 ? pg_col_uuid(&r, 0, 0) : (struct uuid){};
	return rc;
}

static void add_ready(struct catalog_depth *d, const struct pg_rows *r, int i)
{
	int64_t priority = pg_col_int(r, i, 0), at = pg_col_int(r, i, 1), n = pg_col_int(r, i, 2);

	d->oldest_at = pg_col_int(r, i, 3);
	if (priority < 0 || priority > PRIORITY_MAX)
		return;
	uint32_t *ready = &d->at[priority].ready;
	int64_t *oldest_at = &d->at[priority].oldest_at;
	*ready = n >= READY_COUNTED_MAX - *ready ? READY_COUNTED_MAX : *ready + (uint32_t)n;
	if (*oldest_at == 0 || at < *oldest_at)
		*oldest_at = at;
}

int pg_depth(struct catalog *c, int64_t now, struct catalog_depth *ret, struct err *e)
{
	struct pg_args args = {};
	struct pg_question ask[] = {{.stmt = R_READY, .args = &args}, {.stmt = R_WAITING}};
	int rc;

	arg_int(&args, now);
	arg_int(&args, READY_LANES_MAX);
	rc = pg_read_all(CONTAINER_OF(c, struct pg, base), ask, ARRAY_LEN(ask), e);
	if (rc != 0)
		return rc;
	*ret = (struct catalog_depth){.waiting = (uint64_t)pg_col_int(&ask[1].rows, 0, 0)};
	for (int i = 0; i < ask[0].rows.n; i++)
		add_ready(ret, &ask[0].rows, i);
	pg_questions_release(ask, ARRAY_LEN(ask));
	return 0;
}

int pg_next_run_at(struct catalog *c, int64_t *ret, struct err *e)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	int rc = pg_read(CONTAINER_OF(c, struct pg, base), R_NEXT_RUN_AT, NULL, &r, e);

	if (rc == 0)
		*ret = pg_col_null(&r, 0, 0) ? INT64_MAX : pg_col_int(&r, 0, 0);
	return rc;
}

/* Other nodes add and take jobs too, so nobody knows without asking. When nobody answers there is nothing to be claimed either. */
bool pg_newcomers(struct catalog *c)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};

	return pg_read(CONTAINER_OF(c, struct pg, base), R_NEWCOMERS, NULL, &r, NULL) == 0 && pg_col_bool(&r, 0, 0);
}

/* ---- the queue ---- */

static bool add_waiting(const struct pg_rows *r, struct queue_rows *rows)
{
	for (int i = 0; i < r->n; i++) {
		struct queue_row *q = queue_row_of(rows, pg_col_str(r, i, 0));

		if (!q)
			return false;
		q->at[JOB_QUEUED] += (uint64_t)pg_col_int(r, i, 1);
		q->ready += (uint64_t)pg_col_int(r, i, 2);
		q->held += (uint64_t)pg_col_int(r, i, 3);
	}
	return true;
}

/* Op, state, how many. */
static bool add_counts(const struct pg_rows *r, struct queue_rows *rows, uint64_t *ret_n)
{
	for (int i = 0; i < r->n; i++) {
		struct queue_row *q = queue_row_of(rows, pg_col_str(r, i, 0));
		int64_t state = pg_col_int(r, i, 1);
		uint64_t n = (uint64_t)pg_col_int(r, i, 2);

		if (!q)
			return false;
		if (state >= 0 && state < JOB_STATES)
			q->at[state] += n;
		*ret_n += n;
	}
	return true;
}

int pg_queue(struct catalog *c, int64_t now, uint32_t ended_max, struct queue_rows *rows, uint64_t *ret_ended, struct err *e)
{
	struct pg_args at = {}, max = {};
	struct pg_question ask[] = {{.stmt = R_WAITING_OPS, .args = &at}, {.stmt = R_RUNNING_OPS}, {.stmt = R_ENDED_OPS, .args = &max}};
	uint64_t running = 0, ended = 0;
	bool fine;
	int rc;

	arg_int(&at, now);
	arg_int(&max, ended_max);
	rc = pg_read_all(CONTAINER_OF(c, struct pg, base), ask, ARRAY_LEN(ask), e);
	if (rc != 0)
		return rc;
	fine = add_waiting(&ask[0].rows, rows) && add_counts(&ask[1].rows, rows, &running) && add_counts(&ask[2].rows, rows, &ended);
	pg_questions_release(ask, ARRAY_LEN(ask));
	if (!fine)
		return pg_nothing_read(e);
	*ret_ended = ended;
	return 0;
}

int pg_workers(struct catalog *c, uint32_t max, struct arena *a, struct worker_row **ret, size_t *ret_n, struct err *e)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct worker_row *list = arena_alloc(a, max * sizeof(*list));
	struct pg_args args = {};
	bool oom = false;
	int rc;

	if (!list)
		return pg_nothing_read(e);
	arg_int(&args, max);
	rc = pg_read(CONTAINER_OF(c, struct pg, base), R_WORKERS, &args, &r, e);
	if (rc != 0)
		return rc;
	for (int i = 0; i < r.n; i++)
		list[i] = (struct worker_row){
			.id = pg_col_uuid(&r, i, 0),
			.expires_at = pg_col_int(&r, i, 1),
			.running = (uint64_t)pg_col_int(&r, i, 2),
			.host = pg_col_copy(&r, i, 3, a, &oom),
			.labels = pg_col_copy(&r, i, 4, a, &oom),
			.since = pg_col_int(&r, i, 5),
			.beat_at = pg_col_int(&r, i, 6),
			.uploads_since = pg_col_int(&r, i, 7),
			.draining = pg_col_bool(&r, i, 8),
		};
	if (oom)
		return pg_nothing_read(e);
	*ret = list;
	*ret_n = (size_t)r.n;
	return 0;
}
