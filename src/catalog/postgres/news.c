/* News for other nodes: one row a batch, written in its transaction, under the transaction's number; nodes ask for it (docs/adr/0039).
 *
 * Transactions do not commit in the order of their numbers, so a reader asks for all from the oldest on that was under way when it asked before, and knows which of those it has had. It
 * misses none, waits for none, and needs no lock. But a server that crashed may go on with a lower number: after a lost connection there is a gap. What one transaction brought is never before what it could have seen: that one had its number earlier. */
#include "catalog/news.h"
#include "catalog/postgres/reads.h"
#include "catalog/postgres/write.h"

#include <stdlib.h>
#include <time.h>

#define NEWS_MAX 10000 /* batches asked for at once; more than that is a gap */
#define GAP_MS 60000 /* who has not asked for so long may find rows gone */

struct pg_news { /* the thread's that asks */
	int64_t from; /* transaction; 0 = never asked, or there is a gap */
	int64_t *had; /* those from there on that were told, ascending */
	size_t n_had;
	int64_t asked_at; /* monotonic ms */
	unsigned lost; /* connections, when it asked */
};

struct pg_news *news_new(void)
{
	return calloc(1, sizeof(struct pg_news));
}

void news_free(struct pg_news *v)
{
	if (!v)
		return;
	free(v->had);
	free(v);
}

int pgw_news(struct pg *q, struct change *const *changes, size_t n)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct pg_args a = {};

	news_pack(&b, &q->base, changes, n);
	if (!buf_ok(&b))
		return pg_no_memory(&q->link);
	if (b.len == 0)
		return 0;
	arg_int(&a, q->writes->transaction);
	arg_int(&a, q->maker);
	arg_bytes(&a, b.p, b.len);
	return w_run(q, W_NEWS_ADD, &a);
}

static int64_t mono_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

static int ascending(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static bool was_told(const struct pg_news *v, int64_t transaction)
{
	return v->n_had > 0 && bsearch(&transaction, v->had, v->n_had, sizeof(*v->had), ascending) != NULL;
}

/* The rows from the oldest transaction on that is still under way will come again. */
static bool remember(struct pg_news *v, const struct pg_rows *r)
{
	int64_t oldest = pg_col_int(r, 0, 0), *had = calloc((size_t)r->n, sizeof(*had));
	size_t n = 0;

	if (!had)
		return false;
	for (int i = 0; i < r->n; i++)
		if (!pg_col_null(r, i, 1) && pg_col_int(r, i, 1) >= oldest)
			had[n++] = pg_col_int(r, i, 1);
	free(v->had);
	v->had = had;
	v->n_had = n;
	v->from = oldest;
	return true;
}

static bool unpack_new(struct pg *q, const struct pg_rows *r, struct news_list *to)
{
	for (int i = 0; i < r->n; i++) {
		if (pg_col_null(r, i, 1) || pg_col_int(r, i, 2) == q->maker || was_told(q->news, pg_col_int(r, i, 1)))
			continue;
		struct str body = arena_str(to->arena, pg_col_str(r, i, 3));
		if (!body.p || !news_unpack(to, body))
			return false;
	}
	return true;
}

int pg_news(struct catalog *c, struct news_list *to, bool *ret_whole, struct err *e)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg *q = CONTAINER_OF(c, struct pg, base);
	struct pg_news *v = q->news;
	struct pg_args a = {};
	int64_t now = mono_ms();
	unsigned lost = atomic_load(&q->lost);

	if (now - v->asked_at > GAP_MS || lost != v->lost)
		v->from = 0;
	arg_int_or_null(&a, v->from, v->from != 0);
	arg_int(&a, NEWS_MAX);
	int rc = pg_read(q, R_NEWS, &a, &r, e);
	if (rc != 0)
		return rc;
	*ret_whole = v->from != 0 && atomic_load(&q->lost) == lost && r.n < NEWS_MAX && unpack_new(q, &r, to);
	if (!*ret_whole)
		to->n = 0;
	v->asked_at = now;
	v->lost = lost;
	if (!remember(v, &r))
		return pg_nothing_read(e);
	return 0;
}
