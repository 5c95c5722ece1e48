/* Is the schema ours, of a version we know; and bringing it forward. Nodes that start at once wait for each other: one advisory lock for the whole of it, taken by the transaction, so
 * that a node that dies leaves nothing behind. A migration and its row in schema_version are one transaction.
 *
 * Nodes of two versions: the row says which older programs may go on beside it, as the first line of the migration does. Those start and work on what they know; others are refused. A migration
 * that no older program may see waits until there is none. */
#include "catalog/postgres/pg.h"
#include "catalog/postgres/schema.h"
#include <string.h>

#define SCHEMA_OF_LEASES 2 /* from here on `worker` tells who is there … */
#define SCHEMA_OF_HOLDS 7 /* … and `hold` who makes a backup */

static int text(struct pg_link *l, const char *sql)
{
	return pg_run_text(l, sql);
}

/* The one number a text query gives; -1 where it gives none. */
static int64_t number(struct pg_link *l, const char *sql)
{
	PGresult *r = PQexec(l->conn, sql);
	uint64_t v = 0;
	bool there = PQresultStatus(r) == PGRES_TUPLES_OK && PQntuples(r) == 1 && !PQgetisnull(r, 0, 0) &&
		     str_to_u64(str_of(PQgetvalue(r, 0, 0)), &v);

	if (PQresultStatus(r) != PGRES_TUPLES_OK)
		pg_fail(l, r);
	PQclear(r);
	return there ? (int64_t)v : -1;
}

static int run_one(struct pg_link *l, int64_t from)
{
	char note[100];
	int rc = text(l, pg_schema_migrations[from]);

	snprintf(note, sizeof(note), "INSERT INTO schema_version (version, beside) VALUES (%lld, %d)", (long long)from + 1,
		 pg_schema_beside[from]);
	return rc == 0 ? text(l, note) : rc;
}

/* A newer schema: the oldest version whose programs may go on with it. */
static int64_t oldest_beside(struct pg_link *l, int64_t version)
{
	if (number(l, "SELECT count(*) FROM pg_attribute WHERE attrelid = 'schema_version'::regclass AND attname = 'beside'") < 1)
		return version;
	return number(l, "SELECT max(coalesce(beside, version)) FROM schema_version");
}

int pg_schema_fits(int64_t version, struct err *e)
{
	if (version > pg_schema_latest)
		return err_set(e, ERR_SCHEMA_NEWER, "the catalogue has schema %lld, this program knows up to %d", (long long)version,
			       pg_schema_latest);
	if (version < pg_schema_latest)
		return err_set(
			e, ERR_SCHEMA_OLDER,
			"the catalogue has schema %lld, this program works on %d; a start of the server or filemill migrate brings it forward",
			(long long)version, pg_schema_latest);
	return 0;
}

static int read_version(struct pg_link *l, int64_t *ret)
{
	int64_t version = 0;

	if (number(l, "SELECT count(*) FROM pg_class WHERE relname = 'schema_version'"
		      " AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())") > 0)
		version = number(l, "SELECT max(version) FROM schema_version");
	if (l->failure != PG_FINE)
		return l->err.code;
	if (version > pg_schema_latest && (oldest_beside(l, version) > pg_schema_latest || l->failure != PG_FINE)) {
		if (l->failure != PG_FINE)
			return l->err.code;
		l->failure = PG_FAILED;
		return pg_schema_fits(version, &l->err);
	}
	*ret = version > 0 ? version : 0;
	return 0;
}

int pg_schema_version(struct pg_link *l, int64_t *ret)
{
	if (!PQexitPipelineMode(l->conn))
		return pg_fail(l, NULL);
	PQsetnonblocking(l->conn, 0);
	return read_version(l, ret);
}

int pg_schema_may_begin(struct pg_link *l)
{
	int64_t may = number(l, "SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)::int");

	if (may == 1)
		return 0;
	return may < 0 ? l->err.code
		       : pg_fail_with(l, ERR_STORAGE_READONLY,
				      "there is no catalogue yet, and the user may make no tables in the first schema of the search path: "
				      "make him the owner of the database, or GRANT CREATE ON SCHEMA");
}

/* Refuses, and says why, about whom the query names, if it does. */
static int refuse_for(struct pg_link *l, const char *sql, const char *why, int64_t version)
{
	PGresult *r = PQexec(l->conn, sql);
	int rc = 0;

	if (PQresultStatus(r) != PGRES_TUPLES_OK) {
		rc = pg_fail(l, r);
	} else if (PQntuples(r) == 1 && !PQgetisnull(r, 0, 0)) {
		l->failure = PG_FAILED;
		rc = err_set(&l->err, ERR_SCHEMA_OLDER, "the catalogue has schema %lld, this program works on %d; %s: %.150s",
			     (long long)version, pg_schema_latest, why, PQgetvalue(r, 0, 0));
	}
	PQclear(r);
	return rc;
}

/* A backup reads the tables for as long as it takes, and whoever wants to change them holds up all that come after him. */
static int wait_for_backups(struct pg_link *l, int64_t version)
{
	if (version < SCHEMA_OF_HOLDS)
		return 0;
	return refuse_for(l, "SELECT string_agg(holder, ', ') FROM hold WHERE expires_at > extract(epoch FROM clock_timestamp()) * 1000",
			  "a backup is being made, wait for it", version);
}

/* Whether all that work on the catalogue now may see the migrations that lead on from `version`. */
static int wait_for_older(struct pg_link *l, int64_t version)
{
	int64_t oldest = version;

	for (int64_t v = version; v < pg_schema_latest; v++)
		oldest = pg_schema_beside[v] > oldest ? pg_schema_beside[v] : oldest;
	if (oldest <= version || version < SCHEMA_OF_LEASES)
		return 0;
	return refuse_for(
		l, "SELECT string_agg(DISTINCT host, ', ') FROM worker WHERE expires_at > extract(epoch FROM clock_timestamp()) * 1000",
		"nodes of an older version are at work and may not go on beside it: stop them first, or wait until their leases are over",
		version);
}

/* Inside the transaction that holds the lock. */
static int bring_forward(struct pg_link *l, bool keep)
{
	int64_t version = 0;
	int rc = read_version(l, &version);

	if (rc != 0)
		return rc;
	if (keep && version < 1)
		return pg_fail_with(l, ERR_DAMAGED, "there is none in this database");
	if (keep && version < pg_schema_latest) {
		l->failure = PG_FAILED;
		return pg_schema_fits(version, &l->err);
	}
	if (version < 1)
		rc = text(l, "CREATE TABLE schema_version (version bigint PRIMARY KEY, since timestamptz NOT NULL DEFAULT now())");
	else if (version < pg_schema_latest && (rc = wait_for_older(l, version)) == 0)
		rc = wait_for_backups(l, version);
	if (rc == 0 && version < pg_schema_latest)
		rc = text(l, "ALTER TABLE schema_version ADD COLUMN IF NOT EXISTS beside bigint");
	for (version = version < 1 ? 0 : version; rc == 0 && version < pg_schema_latest; version++)
		rc = run_one(l, version);
	return rc;
}

/* What rows_write.c and moves.c note. */
static int refuse_moved(struct pg_link *l)
{
	int64_t away = number(l, "SELECT count(*) FROM meta WHERE key = 'move_away'");
	int64_t begun = l->failure == PG_FINE ? number(l, "SELECT count(*) FROM meta WHERE key = 'move_begun'") : 0;

	if (l->failure != PG_FINE)
		return l->err.code;
	if (away > 0 || begun > 0)
		l->failure = PG_FAILED;
	if (away > 0)
		return err_set(&l->err, ERR_BAD_CONFIG,
			       "what is here was moved to another catalogue; filemill move --take-back says that it is to be used again");
	if (begun > 0)
		return err_set(&l->err, ERR_BAD_CONFIG, "a move into this catalogue has not ended; the same filemill move goes on with it");
	return 0;
}

int pg_migrate(struct pg_link *l, bool keep, struct err *e)
{
	int rc = PQexitPipelineMode(l->conn) ? 0 : pg_fail(l, NULL);

	PQsetnonblocking(l->conn, 0);
	if (rc == 0)
		rc = text(l, "BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('filemill schema ' || current_schema(), 0))");
	if (rc == 0)
		rc = bring_forward(l, keep);
	if (rc == 0)
		rc = refuse_moved(l);
	if (rc == 0)
		rc = text(l, "COMMIT");
	if (rc == 0 && (PQsetnonblocking(l->conn, 1) != 0 || !PQenterPipelineMode(l->conn)))
		rc = pg_fail(l, NULL);
	if (rc == 0)
		return 0;
	if (e)
		*e = l->err;
	link_close(l);
	return rc;
}
