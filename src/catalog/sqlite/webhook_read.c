/* What is known of webhooks and their deliveries. */
#include "catalog/sqlite/sq.h"

#include <string.h>

static void col_secret(sqlite3_stmt *s, int i, struct webhook_secret *ret)
{
	const void *p = sqlite3_column_blob(s, i);

	if (p && sqlite3_column_bytes(s, i) == WEBHOOK_SECRET_LEN)
		memcpy(ret->b, p, WEBHOOK_SECRET_LEN);
}

/* From WEBHOOK_COLUMNS; false: no memory. */
static bool row_webhook(sqlite3_stmt *s, struct arena *a, struct webhook *ret)
{
	bool oom = false;

	*ret = (struct webhook){
		.number = sqlite3_column_int64(s, 0),
		.id = col_uuid(s, 1),
		.owner = col_copy(s, 2, a, &oom),
		.url = col_copy(s, 3, a, &oom),
		.events = (uint32_t)sqlite3_column_int64(s, 4),
		.ops = col_copy(s, 5, a, &oom),
		.description = col_copy(s, 6, a, &oom),
		.previous_until = sqlite3_column_int64(s, 9),
		.created_at = sqlite3_column_int64(s, 10),
		.failing_since = sqlite3_column_int64(s, 11),
		.disabled_at = sqlite3_column_int64(s, 12),
		.off = (enum webhook_off)sqlite3_column_int(s, 13),
		.waiting = (uint64_t)sqlite3_column_int64(s, 14),
	};
	col_secret(s, 7, &ret->secret);
	col_secret(s, 8, &ret->previous);
	return !oom;
}

enum { WEBHOOK_DUE = 15, DELIVERY_PAYLOAD = 11 };

/* From DELIVERY_COLUMNS, and the payload behind them when there is one. */
static bool row_delivery(sqlite3_stmt *s, struct arena *a, struct delivery *ret)
{
	bool oom = false;

	*ret = (struct delivery){
		.number = sqlite3_column_int64(s, 0),
		.id = col_uuid(s, 1),
		.webhook = col_uuid(s, 2),
		.webhook_number = sqlite3_column_int64(s, 3),
		.event = (enum webhook_event)sqlite3_column_int(s, 4),
		.job = col_uuid(s, 5),
		.state = (enum delivery_state)sqlite3_column_int(s, 6),
		.tries = (uint32_t)sqlite3_column_int64(s, 7),
		.created_at = sqlite3_column_int64(s, 8),
		.due_at = sqlite3_column_int64(s, 9),
		.ended_at = sqlite3_column_int64(s, 10),
	};
	if (sqlite3_column_count(s) > DELIVERY_PAYLOAD)
		ret->payload = col_copy(s, DELIVERY_PAYLOAD, a, &oom);
	return !oom;
}

static int read_log(struct reader *r, struct arena *a, struct delivery *d, struct err *e)
{
	sqlite3_stmt *s = r->stmt[R_ATTEMPTS];
	bool oom = false;
	int rc = SQLITE_DONE;

	if (d->tries == 0 && d->ended_at == 0 && d->due_at == d->created_at)
		return 0; /* as it was made */
	d->log = arena_alloc(a, DELIVERY_LOG_MAX * sizeof(*d->log));
	oom = !d->log;
	sqlite3_bind_int64(s, 1, d->number);
	while (!oom && d->n_log < DELIVERY_LOG_MAX && (rc = sqlite3_step(s)) == SQLITE_ROW)
		d->log[d->n_log++] = (struct delivery_attempt){
			.at = sqlite3_column_int64(s, 0),
			.duration_ms = (uint32_t)sqlite3_column_int64(s, 1),
			.status = sqlite3_column_int(s, 2),
			.error = col_copy(s, 3, a, &oom),
		};
	return rows_ended(r, s, rc, oom, e);
}

/* With a reader in hand. */
static int find(struct reader *r, struct uuid id, struct str owner, struct arena *a, struct webhook *ret, struct err *e)
{
	sqlite3_stmt *s = r->stmt[R_WEBHOOK];
	bool row, mine, copied = false;
	int rc;

	bind_uuid(s, 1, &id);
	rc = first(s, &row);
	mine = row && str_eq(col_str(s, 2), owner);
	if (mine)
		copied = row_webhook(s, a, ret);
	sqlite3_reset(s);
	if (rc != SQLITE_OK)
		return sq_error(r->db, rc, e);
	if (!mine)
		return err_set(e, ERR_WEBHOOK_NOT_FOUND, "there is no webhook with this id");
	return copied ? 0 : rows_no_memory(e);
}

int sq_webhook(struct catalog *c, struct uuid id, struct str owner, struct arena *a, struct webhook *ret, struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	struct webhook w;
	struct reader *r;
	int rc = reader_get(q, &r, e);

	if (rc < 0)
		return rc;
	rc = find(r, id, owner, a, &w, e);
	reader_put(q, r);
	if (rc == 0)
		*ret = w;
	return rc;
}

int sq_list_webhooks(struct catalog *c, struct str owner, struct page page, struct arena *a, struct webhook **ret, size_t *ret_n,
		     int64_t *ret_next, struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	struct webhook *list = arena_alloc(a, page.limit * sizeof(*list));
	struct reader *r;
	sqlite3_stmt *s;
	bool oom = !list, more = false;
	size_t n = 0;
	int rc = oom ? rows_no_memory(e) : reader_get(q, &r, e);

	if (rc < 0)
		return rc;
	s = r->stmt[R_WEBHOOKS];
	bind_str(s, 1, owner);
	sqlite3_bind_int64(s, 2, page.before);
	while (!oom && (rc = sqlite3_step(s)) == SQLITE_ROW && !(more = n == page.limit))
		oom = !row_webhook(s, a, &list[n++]);
	rc = rows_ended(r, s, rc, oom, e);
	reader_put(q, r);
	if (rc < 0)
		return rc;
	*ret = list;
	*ret_n = n;
	*ret_next = more ? list[n - 1].number : 0;
	return 0;
}

int sq_delivery(struct catalog *c, struct uuid webhook, struct str owner, struct uuid id, struct arena *a, struct delivery *ret,
		struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	struct delivery d = {};
	struct webhook w;
	struct reader *r;
	sqlite3_stmt *s;
	bool row = false;
	int rc = reader_get(q, &r, e);

	if (rc < 0)
		return rc;
	s = r->stmt[R_DELIVERY];
	bind_uuid(s, 1, &id);
	bind_uuid(s, 2, &webhook);
	rc = find(r, webhook, owner, a, &w, e);
	if (rc == 0) {
		rc = first(s, &row);
		rc = rc == SQLITE_OK ? 0 : sq_error(r->db, rc, e);
	}
	if (row && !row_delivery(s, a, &d))
		rc = rows_no_memory(e);
	sqlite3_reset(s);
	if (rc == 0 && !row)
		rc = err_set(e, ERR_DELIVERY_NOT_FOUND, "the webhook has no delivery with this id");
	if (rc == 0)
		rc = read_log(r, a, &d, e);
	reader_put(q, r);
	if (rc == 0)
		*ret = d;
	return rc;
}

/* Where a page stands. */
struct progress {
	size_t n;
	int64_t last; /* the row looked at last */
	uint32_t scanned;
	bool full; /* the row after the page's last one was seen */
};

static int deliveries_page(struct reader *r, sqlite3_stmt *s, int state, uint32_t limit, struct arena *a, struct delivery *list,
			   struct progress *p, struct err *e)
{
	int rc;

	while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
		p->full = p->n == limit || p->scanned == LIST_SCAN_MAX;
		if (p->full)
			break;
		p->scanned++;
		p->last = sqlite3_column_int64(s, 0);
		if (state >= 0 && sqlite3_column_int(s, 6) != state)
			continue;
		if (!row_delivery(s, a, &list[p->n]))
			return rows_no_memory(e);
		rc = read_log(r, a, &list[p->n++], e);
		if (rc < 0)
			return rc;
	}
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : sq_error(r->db, rc, e);
}

int sq_list_deliveries(struct catalog *c, struct uuid webhook, struct str owner, int state, struct page page, struct arena *a,
		       struct delivery **ret, size_t *ret_n, int64_t *ret_next, struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	struct delivery *list = arena_alloc(a, page.limit * sizeof(*list));
	struct progress p = {};
	struct webhook w;
	struct reader *r;
	sqlite3_stmt *s;
	int rc = list ? reader_get(q, &r, e) : rows_no_memory(e);

	if (rc < 0)
		return rc;
	rc = find(r, webhook, owner, a, &w, e);
	if (rc == 0) {
		s = r->stmt[R_DELIVERIES];
		bind_uuid(s, 1, &webhook);
		sqlite3_bind_int64(s, 2, page.before);
		rc = deliveries_page(r, s, state, page.limit, a, list, &p, e);
		sqlite3_reset(s);
	}
	reader_put(q, r);
	if (rc < 0)
		return rc;
	*ret = list;
	*ret_n = p.n;
	*ret_next = p.full ? p.last : 0;
	return 0;
}

int sq_due_webhooks(struct catalog *c, int64_t after, uint32_t max, struct arena *a, struct due_webhook **ret, size_t *ret_n, struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	struct due_webhook *list = arena_alloc(a, max * sizeof(*list));
	bool oom = !list;
	struct reader *r;
	sqlite3_stmt *s;
	size_t n = 0;
	int rc = oom ? rows_no_memory(e) : reader_get(q, &r, e);

	if (rc < 0)
		return rc;
	s = r->stmt[R_WEBHOOKS_DUE];
	sqlite3_bind_int64(s, 1, after);
	sqlite3_bind_int64(s, 2, max);
	while (!oom && (rc = sqlite3_step(s)) == SQLITE_ROW && n < max) {
		oom = !row_webhook(s, a, &list[n].webhook);
		list[n++].due_at = sqlite3_column_int64(s, WEBHOOK_DUE);
	}
	rc = rows_ended(r, s, rc, oom, e);
	reader_put(q, r);
	if (rc < 0)
		return rc;
	*ret = list;
	*ret_n = n;
	return 0;
}

int sq_due_deliveries(struct catalog *c, int64_t webhook_number, int64_t now, uint32_t max, struct arena *a, struct delivery **ret,
		      size_t *ret_n, struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	struct delivery *list = arena_alloc(a, max * sizeof(*list));
	bool oom = !list;
	struct reader *r;
	sqlite3_stmt *s;
	size_t n = 0;
	int rc = oom ? rows_no_memory(e) : reader_get(q, &r, e);

	if (rc < 0)
		return rc;
	s = r->stmt[R_DELIVERIES_DUE];
	sqlite3_bind_int64(s, 1, webhook_number);
	sqlite3_bind_int64(s, 2, now);
	sqlite3_bind_int64(s, 3, max);
	while (!oom && (rc = sqlite3_step(s)) == SQLITE_ROW && n < max)
		oom = !row_delivery(s, a, &list[n++]);
	rc = rows_ended(r, s, rc, oom, e);
	reader_put(q, r);
	if (rc < 0)
		return rc;
	*ret = list;
	*ret_n = n;
	return 0;
}

int sq_webhook_stats(struct catalog *c, struct webhook_stats *ret, struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	struct webhook_stats sums = {};
	struct reader *r;
	sqlite3_stmt *s;
	bool row;
	int rc = reader_get(q, &r, e);

	if (rc < 0)
		return rc;
	s = r->stmt[R_WEBHOOK_SUMS];
	rc = first(s, &row);
	if (row)
		sums = (struct webhook_stats){
			.webhooks = (uint64_t)sqlite3_column_int64(s, 0),
			.disabled = (uint64_t)sqlite3_column_int64(s, 1),
			.waiting = (uint64_t)sqlite3_column_int64(s, 2),
			.oldest_due_at = sqlite3_column_int64(s, 3),
		};
	sqlite3_reset(s);
	rc = rc == SQLITE_OK ? 0 : sq_error(r->db, rc, e);
	reader_put(q, r);
	if (rc == 0)
		*ret = sums;
	return rc;
}
