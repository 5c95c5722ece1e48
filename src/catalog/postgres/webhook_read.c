/* What is known of webhooks and their deliveries. */
#include "catalog/postgres/reads.h"

#include <string.h>

enum { WEBHOOK_DUE = 15, DELIVERY_PAYLOAD = 11, DELIVERY_ATTEMPT = 12 };

static void col_secret(const struct pg_rows *r, int i, int col, struct webhook_secret *ret)
{
	struct str v = pg_col_str(r, i, col);

	if (v.len == WEBHOOK_SECRET_LEN)
		memcpy(ret->b, v.p, WEBHOOK_SECRET_LEN);
}

/* From WEBHOOK_COLUMNS; false: no memory. */
static bool row_webhook(const struct pg_rows *r, int i, struct arena *a, struct webhook *ret)
{
	bool oom = false;

	*ret = (struct webhook){
		.number = pg_col_int(r, i, 0),
		.id = pg_col_uuid(r, i, 1),
		.owner = pg_col_copy(r, i, 2, a, &oom),
		.url = pg_col_copy(r, i, 3, a, &oom),
		.events = (uint32_t)pg_col_int(r, i, 4),
		.ops = pg_col_copy(r, i, 5, a, &oom),
		.description = pg_col_copy(r, i, 6, a, &oom),
		.previous_until = pg_col_int(r, i, 9),
		.created_at = pg_col_int(r, i, 10),
		.failing_since = pg_col_int(r, i, 11),
		.disabled_at = pg_col_int(r, i, 12),
		.off = (enum webhook_off)pg_col_int(r, i, 13),
		.waiting = (uint64_t)pg_col_int(r, i, 14),
	};
	col_secret(r, i, 7, &ret->secret);
	col_secret(r, i, 8, &ret->previous);
	return !oom;
}

/* From DELIVERY_COLUMNS and the payload. */
static bool row_delivery(const struct pg_rows *r, int i, struct arena *a, struct delivery *ret)
{
	bool oom = false;

	*ret = (struct delivery){
		.number = pg_col_int(r, i, 0),
		.id = pg_col_uuid(r, i, 1),
		.webhook = pg_col_uuid(r, i, 2),
		.webhook_number = pg_col_int(r, i, 3),
		.event = (enum webhook_event)pg_col_int(r, i, 4),
		.job = pg_col_uuid(r, i, 5),
		.state = (enum delivery_state)pg_col_int(r, i, 6),
		.tries = (uint32_t)pg_col_int(r, i, 7),
		.created_at = pg_col_int(r, i, 8),
		.due_at = pg_col_int(r, i, 9),
		.ended_at = pg_col_int(r, i, 10),
		.payload = pg_col_copy(r, i, DELIVERY_PAYLOAD, a, &oom),
	};
	return !oom;
}

/* The delivery that begins in row *at, with its attempts; *at moves on to the row after it. */
static bool take_delivery(const struct pg_rows *r, int *at, struct arena *a, struct delivery *ret)
{
	int first = *at, n;
	bool oom = !row_delivery(r, first, a, ret);

	for (n = 1; first + n < r->n && pg_col_int(r, first + n, 0) == ret->number; n++)
		;
	*at += n;
	if (oom || pg_col_null(r, first, DELIVERY_ATTEMPT))
		return !oom;
	ret->log = arena_alloc(a, (size_t)n * sizeof(*ret->log));
	if (!ret->log)
		return false;
	for (int i = first; i < *at; i++)
		ret->log[ret->n_log++] = (struct delivery_attempt){
			.at = pg_col_int(r, i, DELIVERY_ATTEMPT),
			.duration_ms = (uint32_t)pg_col_int(r, i, DELIVERY_ATTEMPT + 1),
			.status = (int)pg_col_int(r, i, DELIVERY_ATTEMPT + 2),
			.error = pg_col_copy(r, i, DELIVERY_ATTEMPT + 3, a, &oom),
		};
	return !oom;
}

static int no_webhook(struct err *e)
{
	return err_set(e, ERR_WEBHOOK_NOT_FOUND, "there is no webhook with this id");
}

/* ---- webhooks ---- */

int pg_webhook(struct catalog *c, struct uuid id, struct str owner, struct arena *a, struct webhook *ret, struct err *e)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args args = {};
	struct webhook w;
	int rc;

	arg_uuid(&args, &id);
	arg_str(&args, owner);
	rc = pg_read(CONTAINER_OF(c, struct pg, base), R_WEBHOOK, &args, &r, e);
	if (rc != 0)
		return rc;
	if (r.n == 0)
		return no_webhook(e);
	if (!row_webhook(&r, 0, a, &w))
		return pg_nothing_read(e);
	*ret = w;
	return 0;
}

int pg_list_webhooks(struct catalog *c, struct str owner, struct page page, struct arena *a, struct webhook **ret, size_t *ret_n,
		     int64_t *ret_next, struct err *e)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct webhook *list = arena_alloc(a, page.limit * sizeof(*list));
	struct pg_args args = {};
	bool oom = !list;
	size_t n = 0;
	int rc;

	arg_str(&args, owner);
	arg_int(&args, page.before);
	arg_int(&args, (int64_t)page.limit + 1);
	rc = oom ? 0 : pg_read(CONTAINER_OF(c, struct pg, base), R_WEBHOOKS, &args, &r, e);
	if (rc != 0)
		return rc;
	for (; (int)n < r.n && n < page.limit && !oom; n++)
		oom = !row_webhook(&r, (int)n, a, &list[n]);
	if (oom)
		return pg_nothing_read(e);
	*ret = list;
	*ret_n = n;
	*ret_next = (int)n < r.n ? list[n - 1].number : 0;
	return 0;
}

int pg_due_webhooks(struct catalog *c, int64_t after, uint32_t max, struct arena *a, struct due_webhook **ret, size_t *ret_n, struct err *e)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct due_webhook *list = arena_alloc(a, max * sizeof(*list));
	struct pg_args args = {};
	bool oom = !list;
	int rc;

	arg_int(&args, after);
	arg_int(&args, max);
	rc = oom ? 0 : pg_read(CONTAINER_OF(c, struct pg, base), R_WEBHOOKS_DUE, &args, &r, e);
	if (rc != 0)
		return rc;
	for (int i = 0; i < r.n && !oom; i++) {
		oom = !row_webhook(&r, i, a, &list[i].webhook);
		list[i].due_at = pg_col_int(&r, i, WEBHOOK_DUE);
	}
	if (oom)
		return pg_nothing_read(e);
	*ret = list;
	*ret_n = (size_t)r.n;
	return 0;
}

int pg_webhook_stats(struct catalog *c, struct webhook_stats *ret, struct err *e)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	int rc = pg_read(CONTAINER_OF(c, struct pg, base), R_WEBHOOK_SUMS, NULL, &r, e);

	if (rc != 0)
		return rc;
	*ret = (struct webhook_stats){
		.webhooks = (uint64_t)pg_col_int(&r, 0, 0),
		.disabled = (uint64_t)pg_col_int(&r, 0, 1),
		.waiting = (uint64_t)pg_col_int(&r, 0, 2),
		.oldest_due_at = pg_col_int(&r, 0, 3),
	};
	return 0;
}

/* ---- deliveries ---- */

int pg_delivery(struct catalog *c, struct uuid webhook, struct str owner, struct uuid id, struct arena *a, struct delivery *ret,
		struct err *e)
{
	struct pg_args whose = {}, which = {};
	struct pg_question ask[] = {{.stmt = R_WEBHOOK, .args = &whose}, {.stmt = R_DELIVERY, .args = &which}};
	struct delivery d = {};
	int at = 0, rc;

	arg_uuid(&whose, &webhook);
	arg_str(&whose, owner);
	arg_uuid(&which, &webhook);
	arg_uuid(&which, &id);
	rc = pg_read_all(CONTAINER_OF(c, struct pg, base), ask, ARRAY_LEN(ask), e);
	if (rc != 0)
		return rc;
	if (ask[0].rows.n == 0)
		rc = no_webhook(e);
	else if (ask[1].rows.n == 0)
		rc = err_set(e, ERR_DELIVERY_NOT_FOUND, "the webhook has no delivery with this id");
	else if (!take_delivery(&ask[1].rows, &at, a, &d))
		rc = pg_nothing_read(e);
	pg_questions_release(ask, ARRAY_LEN(ask));
	if (rc == 0)
		*ret = d;
	return rc;
}

static int take_deliveries(const struct pg_rows *r, uint32_t limit, struct arena *a, struct delivery **ret, size_t *ret_n, bool *ret_more,
			   struct err *e)
{
	struct delivery *list = arena_alloc(a, limit * sizeof(*list));
	size_t n = 0;
	int at = 0;

	if (!list)
		return pg_nothing_read(e);
	while (at < r->n && n < limit)
		if (!take_delivery(r, &at, a, &list[n++]))
			return pg_nothing_read(e);
	*ret = list;
	*ret_n = n;
	*ret_more = at < r->n;
	return 0;
}

int pg_list_deliveries(struct catalog *c, struct uuid webhook, struct str owner, int state, struct page page, struct arena *a,
		       struct delivery **ret, size_t *ret_n, int64_t *ret_next, struct err *e)
{
	struct pg_args whose = {}, which = {}, below = {};
	struct pg_question ask[] = {{.stmt = R_WEBHOOK, .args = &whose},
				    {.stmt = R_DELIVERIES, .args = &which},
				    {.stmt = R_DELIVERIES_FLOOR, .args = &below, .if_at_most = page.limit}};
	struct delivery *list = NULL;
	bool more = false;
	size_t n = 0;
	int rc;

	arg_uuid(&whose, &webhook);
	arg_str(&whose, owner);
	arg_uuid(&which, &webhook);
	arg_int(&which, page.before);
	arg_int(&which, (int64_t)page.limit + 1);
	arg_int_or_null(&which, state, state >= 0);
	arg_uuid(&below, &webhook);
	arg_int(&below, page.before);
	/* Without a state every row that is looked at is told. */
	rc = pg_read_all(CONTAINER_OF(c, struct pg, base), ask, state >= 0 ? 3 : 2, e);
	if (rc != 0)
		return rc;
	rc = ask[0].rows.n == 0 ? no_webhook(e) : take_deliveries(&ask[1].rows, page.limit, a, &list, &n, &more, e);
	if (rc == 0) {
		*ret = list;
		*ret_n = n;
		*ret_next = more ? list[n - 1].number : ask[2].rows.n > 0 ? pg_col_int(&ask[2].rows, 0, 0) : 0;
	}
	pg_questions_release(ask, ARRAY_LEN(ask));
	return rc;
}

int pg_due_deliveries(struct catalog *c, int64_t webhook_number, int64_t now, uint32_t max, struct arena *a, struct delivery **ret,
		      size_t *ret_n, struct err *e)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct delivery *list = arena_alloc(a, max * sizeof(*list));
	struct pg_args args = {};
	bool oom = !list;
	int rc;

	arg_int(&args, webhook_number);
	arg_int(&args, now);
	arg_int(&args, max);
	rc = oom ? 0 : pg_read(CONTAINER_OF(c, struct pg, base), R_DELIVERIES_DUE, &args, &r, e);
	if (rc != 0)
		return rc;
	for (int i = 0; i < r.n && !oom; i++)
		oom = !row_delivery(&r, i, a, &list[i]);
	if (oom)
		return pg_nothing_read(e);
	*ret = list;
	*ret_n = (size_t)r.n;
	return 0;
}
