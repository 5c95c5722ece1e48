/* Recurring entries of the configuration: where each stands, moved on by the transaction that adds its jobs. */
#include "catalog/sqlite/sq.h"

static int as_it_was(struct sq *q, struct change *ch)
{
	sqlite3_stmt *s = q->stmt[W_RECURRING_FIND];
	struct recurring_state now = {};
	bool row;

	bind_str(s, 1, ch->recurring.to.name);
	int rc = first(s, &row);
	if (row)
		now = (struct recurring_state){.due_at = sqlite3_column_int64(s, 0), .before = sqlite3_column_int64(s, 1)};
	sqlite3_reset(s);
	if (rc == SQLITE_OK)
		recurring_as_it_was(ch, row ? &now : NULL);
	return rc;
}

/* The jobs are the last that may be refused, before anything is written. */
int sq_recurring_write(struct sq *q, struct change *ch)
{
	const struct recurring_state *to = &ch->recurring.to;
	sqlite3_stmt *put = q->stmt[W_RECURRING_PUT], *forget = q->stmt[W_RECURRING_FORGET];
	int rc = as_it_was(q, ch);

	if (rc == SQLITE_OK && ch->code == 0 && ch->recurring.add.n > 0)
		rc = sq_add_jobs(q, ch);
	if (rc != SQLITE_OK || ch->code)
		return rc;
	if (ch->recurring.forget) {
		bind_str(forget, 1, to->name);
		return run(forget);
	}
	bind_str(put, 1, to->name);
	bind_str(put, 2, to->schedule);
	sqlite3_bind_int64(put, 3, to->due_at);
	sqlite3_bind_int64(put, 4, to->since);
	sqlite3_bind_int64(put, 5, to->upto);
	sqlite3_bind_int64(put, 6, to->before);
	return run(put);
}

static int states(struct reader *r, struct arena *a, struct recurring_state **ret, size_t *ret_n, struct err *e)
{
	sqlite3_stmt *s = r->stmt[R_RECURRING];
	struct recurring_state *list = NULL;
	size_t n = 0, cap = 0;
	bool oom = false;
	int rc;

	while (!oom && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		if (n == cap) {
			struct recurring_state *more = arena_alloc(a, (cap = cap ? 2 * cap : 16) * sizeof(*more));
			for (size_t i = 0; more && i < n; i++)
				more[i] = list[i];
			list = more;
		}
		if (!list) {
			oom = true;
			break;
		}
		list[n].name = col_copy(s, 0, a, &oom);
		list[n].schedule = col_copy(s, 1, a, &oom);
		list[n].due_at = sqlite3_column_int64(s, 2);
		list[n].since = sqlite3_column_int64(s, 3);
		list[n].upto = sqlite3_column_int64(s, 4);
		list[n++].before = sqlite3_column_int64(s, 5);
	}
	sqlite3_reset(s);
	if (oom)
		return rows_no_memory(e);
	if (rc != SQLITE_DONE)
		return sq_error(r->db, rc, e);
	*ret = list;
	*ret_n = n;
	return 0;
}

int sq_recurring(struct catalog *c, struct arena *a, struct recurring_state **ret, size_t *ret_n, struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	struct reader *r;
	int rc = reader_get(q, &r, e);

	if (rc < 0)
		return rc;
	rc = states(r, a, ret, ret_n, e);
	reader_put(q, r);
	return rc;
}
