/* Opening and closing: the writing connection, the schema, the slot of its own in the tallies. */
#include "catalog/postgres/pg.h"
#include "catalog/postgres/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void pg_free(struct catalog *c)
{
	struct pg *q = CONTAINER_OF(c, struct pg, base);

	pool_release(q);
	link_close(&q->link);
	writes_free(q->writes);
	news_free(q->news);
	lanes_release(&q->lanes);
	arena_release(&q->scratch);
	free(q->conninfo);
	free(q);
}

struct pg *pg_new(const char *conninfo, const struct catalog_options *options)
{
	struct pg *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	pool_init(q);
	q->base.ops = &pg_ops;
	q->base.options = *options;
	q->link.pg = q;
	q->statement_ms = PG_STATEMENT_MS;
	q->try_ms = PG_TRY_MS;
	q->conninfo = strdup(conninfo);
	q->writes = writes_new();
	q->news = news_new();
	if (q->conninfo && q->writes && q->news && getrandom(&q->maker, sizeof(q->maker), 0) == (ssize_t)sizeof(q->maker))
		return q;
	pg_free(&q->base);
	return NULL;
}

/* What is asked for before the first batch is written, such as whether there is room, has to know; later each batch tells. */
static int look_for_quotas(struct pg *q)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	int rc = pg_ask(&q->link, W_QUOTAS_ANY, NULL, &r);

	if (rc == 0 && pg_col_bool(&r, 0, 0))
		atomic_store(&q->base.own_quotas, true);
	return rc;
}

int catalog_postgres_new(struct catalog **ret, const char *conninfo, const struct catalog_options *options, struct err *e)
{
	struct pg *q = pg_new(conninfo, options);
	int rc;

	if (!q)
		return err_set(e, ERR_NO_MEMORY, "no memory for the catalogue");
	rc = link_open(&q->link, e);
	if (rc == 0)
		rc = pg_migrate(&q->link, options->keep_schema, e);
	if (rc == 0 && (pg_take_slot(q) != 0 || look_for_quotas(q) != 0)) {
		rc = q->link.err.code;
		if (e)
			*e = q->link.err;
	}
	if (rc < 0) {
		pg_free(&q->base);
		return rc;
	}
	q->opened = true;
	*ret = &q->base;
	return 0;
}

int catalog_postgres_look(const char *conninfo, struct catalog_look *ret, struct err *e)
{
	const struct catalog_options options = {};
	struct catalog_look look = {.latest = pg_schema_latest};
	struct pg *q = pg_new(conninfo, &options);

	if (!q)
		return err_set(e, ERR_NO_MEMORY, "no memory for a connection");
	int rc = link_open(&q->link, e);
	if (rc == 0) {
		snprintf(look.server, sizeof(look.server), "PostgreSQL %s", PQparameterStatus(q->link.conn, "server_version") ?: "?");
		/* Some builds name themselves behind the number, in parentheses. */
		look.server[strcspn(look.server, "(")] = '\0';
		for (size_t n = strlen(look.server); n > 0 && look.server[n - 1] == ' '; n--)
			look.server[n - 1] = '\0';
		rc = pg_schema_version(&q->link, &look.schema);
		if (rc == 0 && look.schema == 0)
			rc = pg_schema_may_begin(&q->link);
		if (rc != 0 && e)
			*e = q->link.err;
	}
	pg_free(&q->base);
	if (rc == 0)
		*ret = look;
	return rc;
}
