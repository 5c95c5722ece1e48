/* Claims. Other nodes add and take jobs too, so before each claim the lanes are told anew how many wait and run, and when the next of each may begin: two statements that look at lanes,
 * not at jobs. What stays with the node from claim to claim is whose turn it is: each node is fair by itself, and so all together are.
 *
 * Where there are limits on what runs, claims take turns (LOCK_CLAIMS): each counts what the one before it committed. */
#include "catalog/postgres/write.h"

#include <string.h>

/* ---- the lanes as they are now ---- */

static int learn_new_lanes(struct pg *q, const struct pg_rows *counts)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args a = {};
	bool all = true;

	for (int i = 0; all && i < counts->n; i++)
		all = lanes_numbered(&q->lanes, pg_col_int(counts, i, 0));
	if (all)
		return 0;
	arg_int(&a, 0);
	int rc = pg_ask(&q->link, W_LANES_ABOVE, &a, &r);
	return rc == 0 ? lanes_learn(q, &r) : rc;
}

static uint64_t at_least_0(int64_t v)
{
	return v > 0 ? (uint64_t)v : 0;
}

static int take_counts(struct pg *q, const struct pg_rows *r, uint64_t *ret_waiting)
{
	int row = 0, rc = learn_new_lanes(q, r);

	*ret_waiting = 0;
	for (size_t i = 1; rc == 0 && i <= q->lanes.n_numbered; i++) {
		struct lane *lane = lanes_numbered(&q->lanes, (int64_t)i);
		bool there = row < r->n && pg_col_int(r, row, 0) == (int64_t)i;
		uint64_t waiting = there ? at_least_0(pg_col_int(r, row, 1)) : 0;

		if (lane)
			lane_count(&q->lanes, lane, waiting, there ? at_least_0(pg_col_int(r, row, 2)) : 0);
		*ret_waiting += waiting;
		row += there;
	}
	return rc;
}

static void take_heads(struct pg *q, const struct pg_rows *r)
{
	lanes_forget_heads(&q->lanes);
	for (int i = 0; i < r->n; i++) {
		struct lane *lane = lanes_numbered(&q->lanes, pg_col_int(r, i, 0));
		int64_t priority = pg_col_int(r, i, 1);

		if (lane && priority >= 0 && priority < LEVELS)
			lane_set_head(&q->lanes, lane, (uint32_t)priority, pg_col_int(r, i, 2));
	}
}

/* The worker, whose lease is locked, and the lanes; *ret_worker 0: it holds none. What waits was written before. */
static int look(struct pg *q, const struct change_claim *c, int64_t *ret_worker, uint64_t *ret_waiting)
{
	struct pg_args worker = {};
	struct pg_question ask[] = {{.stmt = W_WORKER_FIND, .args = &worker}, {.stmt = W_LANE_COUNTS}, {.stmt = W_LANE_HEADS}};

	arg_uuid(&worker, &c->worker);
	arg_int(&worker, c->now);
	int rc = pg_ask_all(&q->link, ask, ARRAY_LEN(ask));
	if (rc != 0)
		return rc;
	*ret_worker = ask[0].rows.n ? pg_col_int(&ask[0].rows, 0, 0) : 0;
	rc = take_counts(q, &ask[1].rows, ret_waiting);
	take_heads(q, &ask[2].rows);
	pg_questions_release(ask, ARRAY_LEN(ask));
	return rc;
}

/* ---- taking ---- */

/* The columns of TASKS_CLAIM from where what was made before begins. */
enum { CLAIM_LANE = 23, CLAIM_OUTPUT = 24, CLAIM_BEFORE = 30 };

static bool claim_output(const struct pg_rows *r, int row, struct arena *a, struct claimed *ret)
{
	int c = CLAIM_OUTPUT;
	bool oom = false;

	ret->job.after = pg_col_uuid(r, row, CLAIM_BEFORE);
	ret->name = pg_col_copy(r, row, c, a, &oom);
	ret->type = pg_col_copy(r, row, c + 1, a, &oom);
	ret->size = (uint64_t)pg_col_int(r, row, c + 2);
	pg_col_sha256(r, row, c + 3, ret->sha256);
	ret->location = LOCATION_FILE;
	ret->blob = pg_col_copy(r, row, c + 4, a, &oom);
	ret->damaged = !pg_col_null(r, row, c + 5);
	return !oom;
}

static bool claim_file(const struct pg_rows *r, int row, struct arena *a, struct claimed *ret)
{
	char name[FILE_BLOB_NAME_MAX + 1];
	bool oom = false;

	ret->size = (uint64_t)pg_col_int(r, row, 14);
	ret->location = (enum location)pg_col_int(r, row, 15);
	pg_col_sha256(r, row, 16, ret->sha256);
	ret->name = pg_col_copy(r, row, 17, a, &oom);
	ret->type = pg_col_copy(r, row, 18, a, &oom);
	ret->damaged = !pg_col_null(r, row, 20);
	if (ret->location == LOCATION_IMPORTED)
		ret->blob = pg_col_copy(r, row, 22, a, &oom);
	else if (ret->location != LOCATION_INLINE && ret->location != LOCATION_COMING)
		oom |= !(ret->blob = arena_str(a, file_blob_name(name, ret->owner, ret->job.file))).p;
	return !oom;
}

static bool row_claimed(const struct pg_rows *r, int row, const struct change_claim *c, uint32_t priority, struct claimed *ret)
{
	struct job *job = &ret->job;
	bool oom = false;

	*ret = (struct claimed){};
	job->number = pg_col_int(r, row, 0);
	job->attempt = (uint32_t)pg_col_int(r, row, 1);
	job->losses = (uint32_t)pg_col_int(r, row, 2);
	job->fence = pg_col_int(r, row, 3);
	job->run_at = pg_col_int(r, row, 4);
	job->id = pg_col_uuid(r, row, 5);
	job->op = pg_col_copy(r, row, 6, c->arena, &oom);
	job->op_version = (uint32_t)pg_col_int(r, row, 7);
	job->params = pg_col_copy(r, row, 8, c->arena, &oom);
	job->max_attempts = (uint32_t)pg_col_int(r, row, 9);
	job->created_at = pg_col_int(r, row, 10);
	job->file_number = pg_col_int(r, row, 11);
	job->file = pg_col_uuid(r, row, 12);
	job->refused = (uint32_t)pg_col_int(r, row, 21);
	job->priority = priority;
	job->state = JOB_RUNNING;
	job->started_at = c->now;
	ret->owner = pg_col_copy(r, row, 13, c->arena, &oom);
	if (oom)
		return false;
	return pg_col_null(r, row, 19) ? claim_file(r, row, c->arena, ret) : claim_output(r, row, c->arena, ret);
}

struct claim {
	struct pg *q;
	struct change_claim *c;
	int64_t worker;
	uint64_t max; /* room in c->jobs */
};

static int take_rows(const struct claim *x, const struct pg_rows *r, uint32_t priority)
{
	struct change_claim *c = x->c;

	for (int i = 0; i < r->n && c->n < x->max; i++) {
		struct lane *lane = lanes_numbered(&x->q->lanes, pg_col_int(r, i, CLAIM_LANE));

		if (!row_claimed(r, i, c, priority, &c->jobs[c->n]))
			return pg_no_memory(&x->q->link);
		if (lane)
			lane_count(&x->q->lanes, lane, lane->waiting > 0 ? lane->waiting - 1 : 0, lane->running + 1);
		count_waiting(x->q, pg_col_int(r, i, CLAIM_LANE), -1);
		count_running(x->q, pg_col_int(r, i, CLAIM_LANE), 1);
		c->n++;
	}
	return 0;
}

static int read_heads_of(struct pg *q, struct pg_array *lanes, uint32_t priority)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args a = {};

	arg_array(&a, lanes);
	arg_int(&a, priority);
	int rc = pg_ask(&q->link, W_LANE_HEADS_OF, &a, &r);
	for (int i = 0; rc == 0 && i < r.n; i++) {
		struct lane *lane = lanes_numbered(&q->lanes, pg_col_int(&r, i, 0));

		if (lane)
			lane_set_head(&q->lanes, lane, priority, pg_col_null(&r, i, 1) ? INT64_MAX : pg_col_int(&r, i, 1));
	}
	return rc;
}

static int take(void *arg, struct lane *const *lanes, const uint64_t *most, size_t n, uint32_t priority, uint32_t max, uint32_t *ret_taken)
{
	CLEANUP(array_release) struct pg_array numbers = PG_ARRAY(PG_INT);
	CLEANUP(array_release) struct pg_array room = PG_ARRAY(PG_INT);
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	const struct claim *x = arg;
	struct pg_args a = {};

	*ret_taken = 0;
	if (max > x->max - x->c->n)
		max = (uint32_t)(x->max - x->c->n);
	for (size_t i = 0; i < n; i++) {
		array_int(&numbers, lanes[i]->number);
		array_int(&room, (int64_t)(most[i] < max ? most[i] : max));
	}
	arg_array(&a, &numbers);
	arg_array(&a, &room);
	arg_int(&a, priority);
	arg_int(&a, x->c->now);
	arg_int(&a, max);
	arg_int(&a, x->worker);
	int rc = pg_ask(&x->q->link, W_TASKS_CLAIM, &a, &r);
	if (rc == 0)
		rc = take_rows(x, &r, priority);
	*ret_taken = (uint32_t)r.n;
	return rc == 0 ? read_heads_of(x->q, &numbers, priority) : rc;
}

/* Whether it has to know how much runs, on other nodes too. */
static bool counts_what_runs(const struct change_claim *c)
{
	for (size_t i = 0; i < c->n_limits; i++)
		if (c->limits[i].running > 0 && c->limits[i].running < UINT64_MAX)
			return true;
	return c->owner_limit > 0;
}

int pgw_claim(struct pg *q, struct change *ch)
{
	struct change_claim *c = &ch->claim;
	struct claim x = {.q = q, .c = c};
	int rc;

	c->jobs = NULL;
	c->n = 0;
	c->left = false;
	c->next_at = INT64_MAX;
	rc = rows_flush(q);
	if (rc == 0 && (counts_what_runs(c) || c->newcomers))
		rc = pg_send(&q->link, W_LOCK_CLAIMS, NULL);
	if (rc == 0)
		rc = counts_flush(q);
	if (rc == 0)
		rc = look(q, c, &x.worker, &x.max);
	if (rc != 0)
		return rc;
	if (!x.worker)
		return change_refuse(ch, ERR_STALE, "the worker holds no lease");
	x.max = x.max < c->max ? x.max : c->max;
	if (x.max == 0)
		return 0;
	c->jobs = arena_alloc(c->arena, x.max * sizeof(*c->jobs));
	if (!c->jobs)
		return pg_no_memory(&q->link);
	return lanes_claim(&q->lanes, c, take, &x);
}
