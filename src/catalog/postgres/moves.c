/* What a catalogue on PostgreSQL says of moves; rows_write.c tells which notes there are. */
#include "catalog/postgres/rows.h"

#include <stdlib.h>
#include <string.h>

/* On a connection of its own, each statement a transaction. */
static int say(const char *conninfo, const char *sql, struct err *e)
{
	static const struct rows_methods methods = {.free = pg_side_free};
	struct pg_side *s;
	int rc = pg_side_open(&s, &methods, conninfo, "BEGIN; SELECT pg_advisory_xact_lock('file'::regclass::oid::int, 1)", e);

	if (rc != 0)
		return rc;
	rc = pg_side_run(s, sql, e);
	if (rc == 0)
		rc = pg_side_run(s, "COMMIT", e);
	rows_free(&s->base);
	return rc;
}

int rows_postgres_open_up(const char *conninfo, struct err *e)
{
	return say(conninfo, "DELETE FROM meta WHERE key = 'move_begun'", e);
}

int rows_postgres_back(const char *conninfo, struct err *e)
{
	return say(conninfo, "DROP FUNCTION IF EXISTS filemill_moved() CASCADE; DELETE FROM meta WHERE key = 'move_away'", e);
}

/* Nodes that are at work ask nobody before they write: the tables say it themselves, to those of every version. */
#define SAY_MOVED                                                                                                                          \
	"CREATE OR REPLACE FUNCTION filemill_moved() RETURNS trigger LANGUAGE plpgsql AS"                                                  \
	" $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'FM001', MESSAGE = 'what is here was moved to another catalogue'; END $$"

int rows_postgres_away(struct rows *alone, int64_t now, struct err *e)
{
	CLEANUP(buf_release) struct buf sql = BUF_INIT;
	struct pg_side *s = pg_side_of(alone);

	buf_addf(&sql, "COMMIT; BEGIN; INSERT INTO meta (key, value) VALUES ('move_away', %lld); " SAY_MOVED, (long long)now);
	for (size_t i = 0; i < alone->n_tables; i++) {
		buf_add_cstr(&sql, "; CREATE TRIGGER filemill_moved BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON ");
		rows_quote(&sql, alone->tables[i].name);
		buf_add_cstr(&sql, " FOR EACH STATEMENT EXECUTE FUNCTION filemill_moved()");
	}
	buf_add_cstr(&sql, "; COMMIT");
	return pg_side_run_buf(s, &sql, e);
}

static int ask_notes(struct pg *q, enum rows_moved *ret, struct err *e)
{
	struct pg_link *l = &q->link;
	int64_t version = 0;
	int rc = pg_schema_version(l, &version);

	*ret = ROWS_NOT_MOVED;
	if (rc == 0 && version > 0) {
		PGresult *r = PQexec(l->conn, "SELECT key FROM meta WHERE key IN ('move_begun', 'move_away') ORDER BY key LIMIT 1");
		if (PQresultStatus(r) != PGRES_TUPLES_OK)
			rc = pg_fail(l, r);
		else if (PQntuples(r) > 0)
			*ret = strcmp(PQgetvalue(r, 0, 0), "move_away") == 0 ? ROWS_MOVED_AWAY : ROWS_MOVE_BEGUN;
		PQclear(r);
	}
	if (rc != 0 && e)
		*e = l->err;
	return rc;
}

int rows_postgres_state(const char *conninfo, enum rows_moved *ret, struct err *e)
{
	const struct catalog_options options = {};
	struct pg *q = pg_new(conninfo, &options);

	if (!q)
		return err_set(e, ERR_NO_MEMORY, "no memory for a connection");
	int rc = link_open(&q->link, e);
	if (rc == 0)
		rc = ask_notes(q, ret, e);
	pg_free(&q->base);
	return rc;
}

/* The catalogue's lock is held by `alone`: who can take it is in another database, or in another schema. */
int rows_postgres_same(struct rows *alone, const char *conninfo, bool *ret, struct err *e)
{
	static const struct rows_methods methods = {.free = pg_side_free};
	CLEANUP(buf_release) struct buf pid = BUF_INIT, ask = BUF_INIT;
	struct pg_side *s;
	int64_t holder = 0, same = 0;

	buf_add_cstr(&pid, "SELECT pg_backend_pid()");
	int rc = pg_side_number(pg_side_of(alone), &pid, &holder, e);
	if (rc == 0)
		rc = pg_side_open(&s, &methods, conninfo, "SELECT 1", e);
	if (rc == ERR_DAMAGED) { /* there is no catalogue */
		*ret = false;
		return 0;
	}
	if (rc != 0)
		return rc;
	buf_addf(
		&ask,
		"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND mode = 'ExclusiveLock' AND pid = %lld AND classid = 'file'::regclass::oid"
		" AND objid = 1 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
		(long long)holder);
	rc = pg_side_number(s, &ask, &same, e);
	rows_free(&s->base);
	*ret = rc == 0 && same > 0;
	return rc;
}
