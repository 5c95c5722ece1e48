/* Changes of the queue: claims, leases, and what lost workers leave behind. */
#include "catalog/sqlite/sq.h"

#include <stdlib.h>
#include <string.h>

#define LOST_CHUNK 256 /* tasks looked at before they are changed: no row is changed under an open cursor */

/* ---- claiming ---- */

/* The first output of the job before it. It is there as long as the file is, and with the file the claimed job would have gone. */
static int claim_output(struct sq *q, int64_t before, struct arena *a, struct claimed *ret)
{
	sqlite3_stmt *s = q->stmt[W_OUTPUT_FIRST];
	struct output o = {};
	bool row, copied = true;
	int rc;

	sqlite3_bind_int64(s, 1, before);
	rc = first(s, &row);
	if (row) {
		copied = row_output(s, a, &o);
		ret->job.after = col_uuid(s, OUTPUT_JOB);
	}
	sqlite3_reset(s);
	if (rc != SQLITE_OK)
		return rc;
	if (!row)
		return SQLITE_CORRUPT;
	ret->name = o.name;
	ret->type = o.type;
	ret->size = o.size;
	memcpy(ret->sha256, o.sha256, sizeof(ret->sha256));
	ret->location = LOCATION_FILE;
	ret->blob = o.blob;
	ret->damaged = o.damaged_at != 0;
	return copied ? SQLITE_OK : SQLITE_NOMEM;
}

static void claim_file(sqlite3_stmt *s, struct arena *a, struct claimed *ret, bool *oom)
{
	char name[FILE_BLOB_NAME_MAX + 1];

	ret->size = (uint64_t)sqlite3_column_int64(s, 14);
	ret->location = (enum location)sqlite3_column_int(s, 15);
	col_sha256(s, 16, ret->sha256);
	ret->name = col_copy(s, 17, a, oom);
	ret->type = col_copy(s, 18, a, oom);
	ret->damaged = !col_null(s, 20);
	if (ret->location == LOCATION_IMPORTED)
		ret->blob = col_copy(s, 22, a, oom);
	else if (ret->location != LOCATION_INLINE && ret->location != LOCATION_COMING)
		*oom |= !(ret->blob = arena_str(a, file_blob_name(name, ret->owner, ret->job.file))).p;
}

static int row_claimed(struct sq *q, sqlite3_stmt *s, const struct change_claim *c, uint32_t priority, struct claimed *ret)
{
	struct job *job = &ret->job;
	int64_t after = sqlite3_column_int64(s, 19);
	bool oom = false;

	*ret = (struct claimed){};
	job->number = sqlite3_column_int64(s, 0);
	job->attempt = (uint32_t)sqlite3_column_int64(s, 1) + 1;
	job->losses = (uint32_t)sqlite3_column_int64(s, 2);
	job->fence = sqlite3_column_int64(s, 3) + 1;
	job->run_at = sqlite3_column_int64(s, 4);
	job->id = col_uuid(s, 5);
	job->op = col_copy(s, 6, c->arena, &oom);
	job->op_version = (uint32_t)sqlite3_column_int64(s, 7);
	job->params = col_copy(s, 8, c->arena, &oom);
	job->max_attempts = (uint32_t)sqlite3_column_int64(s, 9);
	job->created_at = sqlite3_column_int64(s, 10);
	job->file_number = sqlite3_column_int64(s, 11);
	job->file = col_uuid(s, 12);
	job->refused = (uint32_t)sqlite3_column_int64(s, 21);
	job->priority = priority;
	job->state = JOB_RUNNING;
	job->started_at = c->now;
	ret->owner = col_copy(s, 13, c->arena, &oom);
	if (!oom && after)
		return claim_output(q, after, c->arena, ret);
	if (!oom)
		claim_file(s, c->arena, ret, &oom);
	return oom ? SQLITE_NOMEM : SQLITE_OK;
}

/* A ready job's place in the order. */
struct ready {
	int64_t run_at, job;
	size_t lane; /* in the list of the take */
};

static int by_age(const void *a, const void *b)
{
	const struct ready *x = a, *y = b;

	if (x->run_at != y->run_at)
		return x->run_at < y->run_at ? -1 : 1;
	return (x->job > y->job) - (x->job < y->job);
}

/* Jobs for later lie behind the ready ones in the index, so the scan ends at the first of them; nothing but the index is read. */
static int list_ready(struct sq *q, const struct lane *lane, uint32_t priority, int64_t now, uint64_t max, size_t at, struct ready *ready,
		      size_t *n)
{
	sqlite3_stmt *s = q->stmt[W_TASKS_READY];
	int rc;

	sqlite3_bind_int64(s, 1, lane->number);
	sqlite3_bind_int64(s, 2, priority);
	sqlite3_bind_int64(s, 3, now);
	sqlite3_bind_int64(s, 4, (int64_t)max);
	while ((rc = sqlite3_step(s)) == SQLITE_ROW)
		ready[(*n)++] = (struct ready){.run_at = sqlite3_column_int64(s, 0), .job = sqlite3_column_int64(s, 1), .lane = at};
	sqlite3_reset(s);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* Reads the job and what it works on, and marks it as taken. */
static int claim_one(struct sq *q, struct change_claim *c, int64_t job, uint32_t priority)
{
	sqlite3_stmt *read = q->stmt[W_TASK_READY], *take = q->stmt[W_TASK_CLAIM];
	bool row;
	int rc;

	sqlite3_bind_int64(read, 1, job);
	rc = first(read, &row);
	if (rc == SQLITE_OK)
		rc = row ? row_claimed(q, read, c, priority, &c->jobs[c->n]) : SQLITE_CORRUPT;
	sqlite3_reset(read);
	if (rc != SQLITE_OK)
		return rc;
	sqlite3_bind_int64(take, 1, job);
	sqlite3_bind_int64(take, 2, q->worker_number);
	sqlite3_bind_int64(take, 3, c->now);
	rc = run(take);
	c->n += rc == SQLITE_OK;
	return rc;
}

struct claim {
	struct sq *q;
	struct change_claim *c;
};

static int take(void *arg, struct lane *const *lanes, const uint64_t *most, size_t n, uint32_t priority, uint32_t max, uint32_t *ret_taken)
{
	const struct claim *x = arg;
	struct sq *q = x->q;
	struct ready *ready = arena_alloc(&q->scratch, n * max * sizeof(*ready));
	size_t n_ready = 0, taken_of[LANES_A_TURN] = {};
	int rc = ready ? SQLITE_OK : SQLITE_NOMEM;

	for (size_t i = 0; rc == SQLITE_OK && i < n; i++)
		rc = lane_keep(&q->lanes, lanes[i])
			     ? list_ready(q, lanes[i], priority, x->c->now, most[i] < max ? most[i] : max, i, ready, &n_ready)
			     : SQLITE_NOMEM;
	if (rc != SQLITE_OK)
		return rc;
	if (n > 1)
		qsort(ready, n_ready, sizeof(*ready), by_age);
	for (*ret_taken = 0; rc == SQLITE_OK && *ret_taken < max && *ret_taken < n_ready; ++*ret_taken) {
		taken_of[ready[*ret_taken].lane]++;
		rc = claim_one(q, x->c, ready[*ret_taken].job, priority);
	}
	for (size_t i = 0; rc == SQLITE_OK && i < n; i++)
		rc = tasks_claimed(q, lanes[i], priority, taken_of[i]);
	return rc;
}

int sq_claim(struct sq *q, struct change *ch)
{
	struct change_claim *c = &ch->claim;
	struct claim x = {.q = q, .c = c};
	uint64_t max = c->max;
	int64_t worker;
	int rc;

	c->jobs = NULL;
	c->n = 0;
	c->left = false;
	c->next_at = INT64_MAX;
	rc = worker_number(q, c->worker, c->now, &worker);
	if (rc != SQLITE_OK)
		return rc;
	if (!worker)
		return change_refuse(ch, ERR_STALE, "the worker holds no lease");
	if (max > (uint64_t)q->now.waiting)
		max = (uint64_t)q->now.waiting;
	if (max == 0)
		return SQLITE_OK;
	c->jobs = arena_alloc(c->arena, max * sizeof(*c->jobs));
	if (!c->jobs)
		return SQLITE_NOMEM;
	rc = lanes_claim(&q->lanes, c, take, &x);
	q->now.waiting -= (int64_t)c->n;
	q->now.running += (int64_t)c->n;
	q->now_changed |= c->n > 0;
	return rc;
}

/* ---- leases ---- */

/* What every beat tells, from the second parameter on. */
static void bind_beat(sqlite3_stmt *s, const struct change_beat *b)
{
	sqlite3_bind_int64(s, 2, b->leaving ? b->now : b->expires_at);
	sqlite3_bind_int64(s, 3, b->now);
	sqlite3_bind_int(s, 4, b->draining);
	sqlite3_bind_int64(s, 5, b->uploads_since);
}

static int set_lease(struct sq *q, int64_t worker, const struct change_beat *b)
{
	sqlite3_stmt *s = q->stmt[W_WORKER_LEASE];

	sqlite3_bind_int64(s, 1, worker);
	bind_beat(s, b);
	return run(s);
}

int sq_beat(struct sq *q, struct change *ch)
{
	struct change_beat *b = &ch->beat;
	sqlite3_stmt *add = q->stmt[W_WORKER_ADD];
	int64_t worker, known;
	int rc = worker_number(q, b->worker, b->now, &worker);

	b->holds = DUTIES_ALL;
	b->clock_at = 0;
	if (rc != SQLITE_OK)
		return rc;
	if (worker)
		return set_lease(q, worker, b);
	/* An incarnation that was known once does not come back: its jobs may have been given to others. */
	rc = worker_number(q, b->worker, -1, &known);
	if (rc != SQLITE_OK)
		return rc;
	if (known || !b->first)
		return change_refuse(ch, ERR_STALE, "the worker's lease is lost");
	bind_uuid(add, 1, &b->worker);
	bind_beat(add, b);
	bind_str(add, 6, b->host.p != NULL ? b->host : STR(""));
	bind_str(add, 7, b->labels.p != NULL ? b->labels : STR(""));
	return run(add);
}

static int take_back(struct sq *q, struct change_reclaim *r, struct task *t)
{
	struct ending end;

	return task_taken_back(t, r, &end) ? wait_again(q, t, 0, (struct str){}) : end_task(q, t, &end, NULL);
}

int sq_reclaim(struct sq *q, struct change *ch)
{
	struct change_reclaim *r = &ch->reclaim;
	sqlite3_stmt *s = q->stmt[r->all ? W_TASKS_RUNNING : W_TASKS_LOST];
	struct task tasks[LOST_CHUNK];
	int rc, n;

	r->reclaimed = r->quarantined = 0;
	if (q->now.running == 0)
		return SQLITE_OK;
	do {
		/* TASKS_RUNNING: ?1 = limit; TASKS_LOST: ?1 = now, ?2 = limit */
		if (!r->all)
			sqlite3_bind_int64(s, 1, r->now);
		sqlite3_bind_int(s, r->all ? 1 : 2, LOST_CHUNK);
		for (n = 0; (rc = sqlite3_step(s)) == SQLITE_ROW && n < LOST_CHUNK; n++) {
			tasks[n].job = sqlite3_column_int64(s, 0);
			row_task(s, 1, &tasks[n]);
		}
		sqlite3_reset(s);
		rc = rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
		for (int i = 0; rc == SQLITE_OK && i < n; i++)
			rc = take_back(q, r, &tasks[i]);
	} while (rc == SQLITE_OK && n == LOST_CHUNK);
	return rc;
}

int sq_outbox_done(struct sq *q, struct change *ch)
{
	sqlite3_stmt *s = q->stmt[W_OUTBOX_DONE];

	sqlite3_bind_int64(s, 1, ch->outbox_done.upto);
	return run(s);
}
