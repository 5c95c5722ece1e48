#include "catalog/postgres/reads.h"

#include <string.h>

/* Those that are over for a minute hold nobody back. */
#define TIDY_EVERY 64 /* calls, of all threads */

static int add(struct pg *q, const struct shared_rate *rates, size_t n, struct pg_rows *ret, struct err *e)
{
	CLEANUP(array_release) struct pg_array keys = PG_ARRAY(PG_BYTES), taken = PG_ARRAY(PG_INT);
	struct pg_args args = {};

	for (size_t i = 0; i < n; i++) {
		array_bytes(&keys, rates[i].key, RATE_KEY);
		array_int(&taken, rates[i].taken_ns);
	}
	arg_array(&args, &keys);
	arg_array(&args, &taken);
	return pg_read(q, R_RATES, &args, ret, e);
}

/* Rows come in the order of their keys, which need not be that of the question. */
static void find(const struct pg_rows *r, struct shared_rate *rate)
{
	int low = 0, high = r->n;

	while (low < high) {
		int middle = low + (high - low) / 2;
		struct str key = pg_col_str(r, middle, 0);
		int order = key.len == RATE_KEY ? memcmp(key.p, rate->key, RATE_KEY) : -1;
		if (order == 0) {
			int64_t debt = pg_col_int(r, middle, 1);
			rate->debt_ns = debt > 0 ? debt : 0;
			return;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
}

int pg_share_rates(struct catalog *c, struct shared_rate *rates, size_t n, struct err *e)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {}, gone = {};
	struct pg *q = CONTAINER_OF(c, struct pg, base);
	int rc = add(q, rates, n, &r, e);

	for (size_t i = 0; rc == 0 && i < n; i++) {
		rates[i].debt_ns = rates[i].taken_ns;
		find(&r, &rates[i]);
	}
	if (rc == 0 && atomic_fetch_add(&q->rates_told, 1) % TIDY_EVERY == TIDY_EVERY - 1)
		rc = pg_read(q, R_RATES_OVER, NULL, &gone, e);
	return rc;
}
