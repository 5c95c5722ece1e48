/* The rows of `task` and `lane` told to the lanes in memory. What the lanes know is derived: counted when the catalogue is opened, followed by every change, and undone with it. */
#include "catalog/sqlite/sq.h"

/* ---- opening ---- */

typedef int row_fn(struct sq *q, sqlite3_stmt *s);

/* Reads all rows of a statement that is used once. */
static int each_row(struct sq *q, const char *sql, row_fn *row)
{
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(q->db, sql, -1, &s, NULL);

	while (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW)
		rc = row(q, s);
	sqlite3_finalize(s);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int load_lane(struct sq *q, sqlite3_stmt *s)
{
	struct lane *lane = lanes_restore(&q->lanes, sqlite3_column_int64(s, 0), col_str(s, 1), col_str(s, 2));

	if (!lane)
		return SQLITE_NOMEM;
	lane->stored = true;
	return SQLITE_OK;
}

static int count_waiting(struct sq *q, sqlite3_stmt *s)
{
	struct lane *lane = lanes_numbered(&q->lanes, sqlite3_column_int64(s, 0));
	int64_t priority = sqlite3_column_int64(s, 1);

	if (!lane || priority < 0 || priority > PRIORITY_MAX)
		return SQLITE_CORRUPT;
	lane_count(&q->lanes, lane, lane->waiting + (uint64_t)sqlite3_column_int64(s, 3), lane->running);
	lane_set_head(&q->lanes, lane, (uint32_t)priority, sqlite3_column_int64(s, 2));
	return SQLITE_OK;
}

static int count_running(struct sq *q, sqlite3_stmt *s)
{
	struct lane *lane = lanes_numbered(&q->lanes, sqlite3_column_int64(s, 0));

	if (!lane)
		return SQLITE_CORRUPT;
	lane_count(&q->lanes, lane, lane->waiting, (uint64_t)sqlite3_column_int64(s, 1));
	return SQLITE_OK;
}

int sq_lanes_load(struct sq *q)
{
	int rc = each_row(q, "SELECT number, owner, op FROM lane", load_lane);

	if (rc == SQLITE_OK)
		rc = each_row(q, "SELECT lane, priority, min(run_at), count(*) FROM task WHERE state = 0 GROUP BY lane, priority",
			      count_waiting);
	if (rc == SQLITE_OK)
		rc = each_row(q, "SELECT lane, count(*) FROM task WHERE state = 1 AND worker > 0 GROUP BY lane", count_running);
	q->least_run_at = lanes_least_run_at(&q->lanes);
	q->newcomers = q->lanes.newcomers;
	return rc;
}

/* ---- what happens to tasks ---- */

static struct lane *keep(struct sq *q, int64_t number, int *ret_rc)
{
	struct lane *lane = lanes_numbered(&q->lanes, number);

	*ret_rc = !lane ? SQLITE_CORRUPT : lane_keep(&q->lanes, lane) ? SQLITE_OK : SQLITE_NOMEM;
	return *ret_rc == SQLITE_OK ? lane : NULL;
}

int task_lane(struct sq *q, struct str owner, struct str op, int64_t *ret)
{
	struct lane *lane = lanes_get(&q->lanes, owner, op);
	sqlite3_stmt *s = q->stmt[W_LANE_ADD];
	int rc;

	if (!lane || !lane_keep(&q->lanes, lane))
		return SQLITE_NOMEM;
	*ret = lane->number;
	if (lane->stored)
		return SQLITE_OK;
	sqlite3_bind_int64(s, 1, lane->number);
	bind_str(s, 2, owner);
	bind_str(s, 3, op);
	rc = run(s);
	lane->stored = rc == SQLITE_OK;
	return rc;
}

int task_waits(struct sq *q, int64_t number, uint32_t priority, int64_t run_at)
{
	int rc;
	struct lane *lane = keep(q, number, &rc);

	if (lane)
		lane_waits(&q->lanes, lane, priority, run_at);
	return rc;
}

int task_runs_no_more(struct sq *q, int64_t number)
{
	int rc;
	struct lane *lane = keep(q, number, &rc);

	if (lane)
		lane_runs(&q->lanes, lane, -1);
	return rc;
}

/* By one probe of the index. */
static int find_head(struct sq *q, struct lane *lane, uint32_t priority)
{
	sqlite3_stmt *s = q->stmt[W_LANE_HEAD];
	bool row;
	int rc;

	sqlite3_bind_int64(s, 1, lane->number);
	sqlite3_bind_int64(s, 2, priority);
	rc = first(s, &row);
	if (rc == SQLITE_OK)
		lane_set_head(&q->lanes, lane, priority, row && !col_null(s, 0) ? sqlite3_column_int64(s, 0) : INT64_MAX);
	sqlite3_reset(s);
	return rc;
}

int task_waits_no_more(struct sq *q, const struct task *t)
{
	int rc;
	struct lane *lane = keep(q, t->lane, &rc);

	if (!lane)
		return rc;
	lane_no_longer_waits(&q->lanes, lane);
	return t->run_at == RUN_AT_HELD || t->run_at > lane->head_at[t->priority] ? SQLITE_OK : find_head(q, lane, t->priority);
}

int task_released(struct sq *q, int64_t number, uint32_t priority, int64_t run_at)
{
	int rc;
	struct lane *lane = keep(q, number, &rc);

	if (lane && run_at < lane->head_at[priority])
		lane_set_head(&q->lanes, lane, priority, run_at);
	return rc;
}

int tasks_claimed(struct sq *q, struct lane *lane, uint32_t priority, size_t n)
{
	if (n == 0)
		return SQLITE_OK;
	lane_count(&q->lanes, lane, lane->waiting - n, lane->running + n);
	return find_head(q, lane, priority);
}
