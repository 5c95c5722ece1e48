/* The world of a PostgreSQL catalogue: one database for all tests of a program, emptied for each, since making one takes longer than a test. */
#include "world_postgres.h"

#include "postgres.h"
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

/* What a new database holds is kept in the schema `fresh` once it was migrated. Rows go by DELETE: to truncate some thirty tables costs their files anew. */
static const char KEEP_FRESH[] =
	"CREATE SCHEMA fresh;"
	"DO $$ DECLARE t text; BEGIN FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP"
	" EXECUTE format('CREATE TABLE fresh.%I AS TABLE public.%I', t, t); END LOOP; END $$;"
	"CREATE FUNCTION fresh.again() RETURNS void LANGUAGE plpgsql AS $f$ DECLARE t text; BEGIN"
	" FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'fresh' LOOP"
	" EXECUTE format('DELETE FROM public.%I', t); EXECUTE format('INSERT INTO public.%I SELECT * FROM fresh.%I', t, t); END LOOP;"
	" PERFORM setval(c.oid, 1, false) FROM pg_class AS c WHERE c.relkind = 'S' AND c.relnamespace = 'public'::regnamespace; END $f$";

static int open_postgres(struct world *w)
{
	char conninfo[POSTGRES_CONNINFO_MAX];

	postgres_database(conninfo, WORLD_DATABASE);
	return catalog_postgres_new(&w->c, conninfo, &w->options, &w->err);
}

void world_postgres_database(const char *name)
{
	const struct catalog_options options = {};
	struct err err = ERR_INIT;
	struct catalog *c = NULL;
	char conninfo[POSTGRES_CONNINFO_MAX], sql[100];

	snprintf(sql, sizeof(sql), "CREATE DATABASE %.60s", name);
	postgres_sql("postgres", sql);
	postgres_database(conninfo, name);
	if (catalog_postgres_new(&c, conninfo, &options, &err) < 0)
		fail_msg("open: %s", err.detail);
	catalog_free(c);
}

static void empty_postgres(struct world *w)
{
	static bool made;

	if (made) {
		postgres_sql(WORLD_DATABASE, "SELECT fresh.again()");
		return;
	}
	postgres_where(false);
	world_postgres_database(WORLD_DATABASE);
	postgres_sql(WORLD_DATABASE, KEEP_FRESH);
	made = true;
	/* What the harness itself holds open is not the world's. */
	w->descriptors = open_descriptors();
}

static int64_t sql_postgres(const struct world *w, const char *sql)
{
	return postgres_sql(WORLD_DATABASE, sql);
}

static void check_postgres(struct world *w)
{
	world_check_rules(w);
	assert_int_equal(world_sql(w, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'filemill' AND state <> 'idle'"), 0);
}

int world_postgres(void **state)
{
	static const struct world_kind kind = {
		.open = open_postgres, .empty = empty_postgres, .sql = sql_postgres, .check = check_postgres};

	return world_begin(state, &kind, true);
}
