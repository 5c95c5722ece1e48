#include "catalog/watch.h"
#include "catalog/catalog_impl.h"
#include "catalog/news.h"

#include <stdlib.h>
#include <string.h>

static uint32_t within(uint32_t max)
{
	return max < 1 ? 1 : max > 10000 ? 10000 : max;
}

static int by_op(const void *a, const void *b)
{
	const struct queue_row *x = a, *y = b;
	size_t least = x->op.len < y->op.len ? x->op.len : y->op.len;
	int order = memcmp(x->op.p, y->op.p, least);

	return order != 0 ? order : (x->op.len > y->op.len) - (x->op.len < y->op.len);
}

struct queue_row *queue_row_of(struct queue_rows *rows, struct str op)
{
	for (size_t i = 0; i < rows->n; i++)
		if (str_eq(rows->list[i].op, op))
			return &rows->list[i];
	if (rows->list == NULL)
		rows->list = arena_alloc(rows->arena, QUEUE_OPS_MAX * sizeof(*rows->list));
	struct str name = arena_str(rows->arena, op);
	if (rows->list == NULL || name.p == NULL || rows->n == QUEUE_OPS_MAX)
		return NULL;
	rows->list[rows->n] = (struct queue_row){.op = name};
	return &rows->list[rows->n++];
}

int catalog_queue(struct catalog *c, int64_t now, uint32_t ended_max, struct arena *a, struct queue_row **ret, size_t *ret_n,
		  uint64_t *ret_ended, struct err *e)
{
	struct queue_rows rows = {.arena = a};
	int rc = c->ops->queue(c, now, within(ended_max), &rows, ret_ended, e);

	if (rc != 0)
		return rc;
	if (rows.n > 0)
		qsort(rows.list, rows.n, sizeof(*rows.list), by_op);
	*ret = rows.list;
	*ret_n = rows.n;
	return 0;
}

int catalog_workers(struct catalog *c, uint32_t max, struct arena *a, struct worker_row **ret, size_t *ret_n, struct err *e)
{
	return c->ops->workers(c, within(max), a, ret, ret_n, e);
}

bool catalog_shared(const struct catalog *c)
{
	return c->ops->shared;
}

int catalog_share_rates(struct catalog *c, struct shared_rate *rates, size_t n, struct err *e)
{
	return c->ops->share_rates(c, rates, n, e);
}

int catalog_store(struct catalog *c, struct uuid mine, struct uuid *ret, struct err *e)
{
	if (c->ops->shared)
		return c->ops->store(c, mine, ret, e);
	*ret = mine;
	return 0;
}

#define OTHERS_MARGIN_MS 600000 /* how far the clocks of nodes may be apart where a node is not known yet */
#define NODES_MAX 10000

int catalog_uploads_since(struct catalog *c, int64_t now, struct uuid self, int64_t *ret, struct err *e)
{
	CLEANUP(arena_release) struct arena a = ARENA_INIT;
	int64_t since = now - OTHERS_MARGIN_MS;
	struct worker_row *list;
	size_t n = 0;

	if (!c->ops->shared) {
		*ret = INT64_MAX;
		return 0;
	}
	int rc = catalog_workers(c, NODES_MAX, &a, &list, &n, e);
	for (size_t i = 0; rc == 0 && i < n; i++)
		if (!uuid_eq(list[i].id, self) && list[i].uploads_since < since)
			since = list[i].uploads_since;
	if (rc == 0)
		*ret = n < NODES_MAX ? since : INT64_MIN;
	return rc;
}

int catalog_attempt_runs(struct catalog *c, struct uuid job, int64_t fence, bool *ret, struct err *e)
{
	CLEANUP(arena_release) struct arena a = ARENA_INIT;
	struct job now;
	int rc = catalog_job(c, job, 0, STR(OWNER_ANY), &a, &now, e);

	*ret = rc == 0 && now.state == JOB_RUNNING && now.fence == fence;
	return rc == ERR_JOB_NOT_FOUND || rc == ERR_JOB_GONE ? 0 : rc;
}

int catalog_hold(struct catalog *c, struct uuid id, struct str holder, int64_t lease_ms, struct err *e)
{
	return c->ops->shared ? c->ops->hold(c, id, holder, lease_ms, e) : 0;
}

int catalog_held(struct catalog *c, int64_t limit_ms, enum held *ret, struct err *e)
{
	*ret = HELD_NOT;
	return c->ops->shared ? c->ops->held(c, limit_ms, ret, e) : 0;
}

int catalog_news(struct catalog *c, struct arena *a, struct news **ret, size_t *ret_n, bool *ret_whole, struct err *e)
{
	struct news_list to = {.arena = a};
	int rc = 0;

	*ret_whole = true;
	if (c->ops->news != NULL)
		rc = c->ops->news(c, &to, ret_whole, e);
	*ret = to.list;
	*ret_n = to.n;
	return rc;
}

int catalog_damaged(struct catalog *c, uint32_t max, struct arena *a, struct damaged_row **ret, size_t *ret_n, struct err *e)
{
	return c->ops->damaged(c, within(max), a, ret, ret_n, e);
}
