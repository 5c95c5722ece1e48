/* What operators look at. Nothing is sorted or grouped here: rows come by an index and are counted one by one. */
#include "catalog/sqlite/sq.h"

/* ---- the queue ---- */

static int count_lane(struct reader *r, int64_t lane, int64_t now, struct queue_rows *rows, struct err *e)
{
	sqlite3_stmt *s = r->stmt[R_LANE_WAITING];
	struct queue_row *q = NULL;
	bool row;
	int rc;

	sqlite3_bind_int64(s, 1, lane);
	sqlite3_bind_int64(s, 2, now);
	rc = first(s, &row);
	if (row && (q = queue_row_of(rows, col_str(s, 0))) != NULL) {
		q->at[JOB_QUEUED] += (uint64_t)sqlite3_column_int64(s, 1);
		q->ready += (uint64_t)sqlite3_column_int64(s, 2);
		q->held += (uint64_t)sqlite3_column_int64(s, 3);
	}
	sqlite3_reset(s);
	if (rc != SQLITE_OK)
		return sq_error(r->db, rc, e);
	return q != NULL ? 0 : rows_no_memory(e);
}

static int count_waiting(struct reader *r, int64_t now, struct queue_rows *rows, struct err *e)
{
	sqlite3_stmt *s = r->stmt[R_NEXT_LANE];
	int64_t lane = -1;

	for (;;) {
		bool row, more;
		int rc;

		sqlite3_bind_int64(s, 1, lane);
		rc = first(s, &row);
		more = row && !col_null(s, 0);
		lane = more ? sqlite3_column_int64(s, 0) : lane;
		sqlite3_reset(s);
		if (rc != SQLITE_OK)
			return sq_error(r->db, rc, e);
		if (!more)
			return 0;
		rc = count_lane(r, lane, now, rows, e);
		if (rc < 0)
			return rc;
	}
}

/* Each row is one job: its op, and its state unless that is the one given. */
static int count_rows(struct reader *r, sqlite3_stmt *s, int state, struct queue_rows *rows, uint64_t *ret_n, struct err *e)
{
	int rc, failed = 0;

	*ret_n = 0;
	while ((rc = sqlite3_step(s)) == SQLITE_ROW && failed == 0) {
		struct queue_row *q = queue_row_of(rows, col_str(s, 0));
		int at = state >= 0 ? state : sqlite3_column_int(s, 1);

		if (q == NULL)
			failed = rows_no_memory(e);
		else if (at >= 0 && at < JOB_STATES)
			q->at[at]++;
		++*ret_n;
	}
	sqlite3_reset(s);
	if (failed != 0)
		return failed;
	return rc == SQLITE_DONE ? 0 : sq_error(r->db, rc, e);
}

int sq_queue(struct catalog *c, int64_t now, uint32_t ended_max, struct queue_rows *rows, uint64_t *ret_ended, struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	uint64_t running, ended = 0;
	struct reader *r;
	int rc = reader_get(q, &r, e);

	if (rc < 0)
		return rc;
	rc = count_waiting(r, now, rows, e);
	if (rc == 0) {
		sqlite3_bind_int64(r->stmt[R_RUNNING_OPS], 1, INT64_MAX);
		rc = count_rows(r, r->stmt[R_RUNNING_OPS], JOB_RUNNING, rows, &running, e);
	}
	if (rc == 0) {
		sqlite3_bind_int64(r->stmt[R_ENDED_OPS], 1, INT64_MAX);
		sqlite3_bind_int64(r->stmt[R_ENDED_OPS], 2, ended_max);
		rc = count_rows(r, r->stmt[R_ENDED_OPS], -1, rows, &ended, e);
	}
	reader_put(q, r);
	if (rc == 0)
		*ret_ended = ended;
	return rc;
}

/* ---- workers ---- */

int sq_workers(struct catalog *c, uint32_t max, struct arena *a, struct worker_row **ret, size_t *ret_n, struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	struct worker_row *list = arena_alloc(a, max * sizeof(*list));
	struct reader *r;
	sqlite3_stmt *s;
	bool oom = false;
	size_t n = 0;
	int rc;

	if (list == NULL)
		return rows_no_memory(e);
	rc = reader_get(q, &r, e);
	if (rc < 0)
		return rc;
	s = r->stmt[R_WORKERS];
	sqlite3_bind_int64(s, 1, max);
	while ((rc = sqlite3_step(s)) == SQLITE_ROW && n < max)
		list[n++] = (struct worker_row){
			.id = col_uuid(s, 0),
			.expires_at = sqlite3_column_int64(s, 1),
			.running = (uint64_t)sqlite3_column_int64(s, 2),
			.host = col_copy(s, 3, a, &oom),
			.labels = col_copy(s, 4, a, &oom),
			.since = sqlite3_column_int64(s, 5),
			.beat_at = sqlite3_column_int64(s, 6),
			.uploads_since = sqlite3_column_int64(s, 7),
			.draining = sqlite3_column_int(s, 8) != 0,
		};
	sqlite3_reset(s);
	rc = oom ? rows_no_memory(e) : rc == SQLITE_DONE ? 0 : sq_error(r->db, rc, e);
	reader_put(q, r);
	if (rc < 0)
		return rc;
	*ret = list;
	*ret_n = n;
	return 0;
}

/* ---- damage ---- */

static int damaged_page(struct reader *r, sqlite3_stmt *s, size_t max, struct arena *a, struct damaged_row *list, size_t *n, struct err *e)
{
	bool oom = false;
	int rc = SQLITE_DONE;

	sqlite3_bind_int64(s, 1, (int64_t)(max - *n));
	while (!oom && *n < max && (rc = sqlite3_step(s)) == SQLITE_ROW)
		list[(*n)++] = (struct damaged_row){.output = sqlite3_column_int(s, 0) != 0,
						    .id = col_uuid(s, 1),
						    .n = (uint32_t)sqlite3_column_int64(s, 2),
						    .owner = col_copy(s, 3, a, &oom),
						    .name = col_copy(s, 4, a, &oom),
						    .size = (uint64_t)sqlite3_column_int64(s, 5),
						    .damaged_at = sqlite3_column_int64(s, 6)};
	return rows_ended(r, s, rc, oom, e);
}

int sq_damaged(struct catalog *c, uint32_t max, struct arena *a, struct damaged_row **ret, size_t *ret_n, struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	struct damaged_row *list = arena_alloc(a, max * sizeof(*list));
	struct reader *r;
	size_t n = 0;
	int rc;

	if (list == NULL)
		return rows_no_memory(e);
	rc = reader_get(q, &r, e);
	if (rc < 0)
		return rc;
	rc = damaged_page(r, r->stmt[R_DAMAGED_FILE_ROWS], max, a, list, &n, e);
	if (rc == 0)
		rc = damaged_page(r, r->stmt[R_DAMAGED_OUTPUT_ROWS], max, a, list, &n, e);
	reader_put(q, r);
	if (rc < 0)
		return rc;
	*ret = list;
	*ret_n = n;
	return 0;
}
