/* Rows into a PostgreSQL catalogue, by COPY in its binary format, in one transaction that nobody else writes beside. The notes of moves are rows of `meta`:
 *
 *	move_begun   a move into this catalogue was committed and not ended: no node works on it (migrate.c), and only the same move goes on
 *	move_away    what is here was moved to another catalogue: no node works on it, and whoever is at work writes nothing more: a trigger on each table says so
 */
#include "catalog/postgres/rows.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JOBS "move_job" /* what comes for the table `job`, until it can be filled */
#define SEND_AT ((size_t)64 << 10)

/* ---- whose move ---- */

/* What stands at move_begun: half of the id, as a number that is no accident. */
static int64_t number_of(struct uuid whose)
{
	uint64_t half;

	memcpy(&half, whose.b + 8, sizeof(half));
	return (int64_t)(be64toh(half) >> 1);
}

/* Everything but what every catalogue has from its first moment. */
static int check_empty(struct pg_side *s, struct err *e)
{
	for (size_t i = 0; i < s->base.n_tables; i++) {
		CLEANUP(buf_release) struct buf sql = BUF_INIT;
		const char *name = s->base.tables[i].name;
		int64_t n = 0;

		if (strcmp(name, "meta") == 0 || strcmp(name, "tally") == 0 || strcmp(name, "audit_head") == 0)
			continue;
		buf_addf(&sql, "SELECT count(*) FROM (SELECT FROM %s LIMIT 1) AS x", name);
		int rc = pg_side_number(s, &sql, &n, e);
		if (rc != 0)
			return rc;
		if (n > 0)
			return err_set(e, ERR_CONFLICT, "the catalogue there is not empty: its table %s has rows", name);
	}
	return 0;
}

static int check_target(struct pg_side *s, struct uuid whose, struct err *e)
{
	CLEANUP(buf_release) struct buf sql = BUF_INIT;
	int64_t begun = 0;

	buf_add_cstr(&sql, "SELECT (SELECT value FROM meta WHERE key = 'move_begun')");
	int rc = pg_side_number(s, &sql, &begun, e);
	if (rc != 0 || begun == number_of(whose))
		return rc;
	if (begun != 0)
		return err_set(e, ERR_CONFLICT, "another data directory's move into the catalogue there has begun and not ended");
	return check_empty(s, e);
}

static int empty_all(struct pg_side *s, struct err *e)
{
	CLEANUP(buf_release) struct buf sql = BUF_INIT;

	buf_add_cstr(&sql, "CREATE TEMPORARY TABLE " JOBS " (LIKE job) ON COMMIT DROP; ALTER TABLE " JOBS
			   " DROP COLUMN lane; TRUNCATE lane_tally");
	for (size_t i = 0; i < s->base.n_tables; i++) {
		buf_add_cstr(&sql, ", ");
		rows_quote(&sql, s->base.tables[i].name);
	}
	return pg_side_run_buf(s, &sql, e);
}

/* ---- rows ---- */

static int send(struct pg_side *s, struct err *e)
{
	if (!buf_ok(&s->out))
		return err_set(e, ERR_NO_MEMORY, "no memory for rows");
	int rc = PQputCopyData(s->pg->link.conn, s->out.p, (int)s->out.len) == 1 ? 0 : pg_side_fail(s, NULL, e);
	buf_reset(&s->out);
	return rc;
}

static void add_u16(struct buf *b, uint16_t v)
{
	v = htobe16(v);
	buf_add(b, &v, sizeof(v));
}

static void add_u32(struct buf *b, uint32_t v)
{
	v = htobe32(v);
	buf_add(b, &v, sizeof(v));
}

static int begin_table(struct rows *r, const struct rows_table *t, struct err *e)
{
	CLEANUP(buf_release) struct buf sql = BUF_INIT;
	struct pg_side *s = pg_side_of(r);

	buf_add_cstr(&sql, "COPY ");
	rows_quote(&sql, strcmp(t->name, "job") == 0 ? JOBS : t->name);
	buf_add_cstr(&sql, " (");
	rows_quote_columns(&sql, t);
	buf_add_cstr(&sql, ") FROM STDIN (FORMAT binary)");
	buf_add_char(&sql, '\0');
	if (!buf_ok(&sql))
		return err_set(e, ERR_NO_MEMORY, "no memory for a statement");
	PGresult *begun = PQexec(s->pg->link.conn, sql.p);
	int rc = PQresultStatus(begun) == PGRES_COPY_IN ? 0 : pg_side_fail(s, begun, e);
	PQclear(begun);
	buf_reset(&s->out);
	buf_add(&s->out, COPY_MAGIC, COPY_MAGIC_LEN);
	add_u32(&s->out, 0);
	add_u32(&s->out, 0);
	return rc;
}

/* False: this column cannot hold it. */
static bool add_cell(struct buf *b, enum rows_type type, const struct cell *c)
{
	uint64_t number = htobe64((uint64_t)c->n);

	if (c->kind == CELL_NULL) {
		add_u32(b, UINT32_MAX);
		return true;
	}
	if ((type == ROWS_INT || type == ROWS_BOOL) != (c->kind == CELL_INT) || (type == ROWS_TEXT) != (c->kind == CELL_TEXT) ||
	    (type == ROWS_UUID && c->s.len != 16) || c->s.len > INT32_MAX)
		return false;
	if (type == ROWS_INT) {
		add_u32(b, sizeof(number));
		buf_add(b, &number, sizeof(number));
	} else if (type == ROWS_BOOL) {
		add_u32(b, 1);
		buf_add_char(b, c->n != 0);
	} else {
		add_u32(b, (uint32_t)c->s.len);
		buf_add(b, c->s.p, c->s.len);
	}
	return true;
}

static int put(struct rows *r, const struct rows_table *t, const struct cell *cells, struct err *e)
{
	struct pg_side *s = pg_side_of(r);

	add_u16(&s->out, (uint16_t)t->n);
	for (size_t i = 0; i < t->n; i++)
		if (!add_cell(&s->out, t->columns[i].type, &cells[i]))
			return err_set(e, ERR_DAMAGED, "a value of the column %s is none that it can have", t->columns[i].name);
	return s->out.len < SEND_AT && buf_ok(&s->out) ? 0 : send(s, e);
}

static int end_table(struct rows *r, struct err *e)
{
	struct pg_side *s = pg_side_of(r);

	add_u16(&s->out, UINT16_MAX);
	int rc = send(s, e);
	if (rc == 0 && PQputCopyEnd(s->pg->link.conn, NULL) != 1)
		rc = pg_side_fail(s, NULL, e);
	return rc == 0 ? pg_side_finish(s, e) : rc;
}

/* No transaction undoes this: numbers that are left out do no harm. */
static int set_last_number(struct rows *r, const struct rows_table *t, int64_t last, struct err *e)
{
	CLEANUP(buf_release) struct buf sql = BUF_INIT;

	buf_addf(
		&sql,
		"SELECT setval(pg_get_serial_sequence('%s', '%s'), x.n) FROM (SELECT greatest((SELECT max(%s) FROM %s), %lld) AS n) AS x WHERE x.n > 0",
		t->name, t->number, t->number, t->name, (long long)last);
	return pg_side_run_buf(pg_side_of(r), &sql, e);
}

/* Here every job knows its lane, in SQLite only one that waited. */
static int fill_jobs(struct pg_side *s, struct err *e)
{
	CLEANUP(buf_release) struct buf sql = BUF_INIT;
	const struct rows_table *job = NULL;
	int rc = pg_side_run(
		s,
		"ANALYZE file, lane, " JOBS ";"
		" INSERT INTO lane (number, owner, op) SELECT (SELECT coalesce(max(number), 0) FROM lane) + row_number() OVER (), x.owner, x.op"
		" FROM (SELECT f.owner, j.op FROM " JOBS
		" AS j JOIN file AS f ON f.number = j.file EXCEPT SELECT owner, op FROM lane) AS x",
		e);

	for (size_t i = 0; i < s->base.n_tables; i++)
		if (strcmp(s->base.tables[i].name, "job") == 0)
			job = &s->base.tables[i];
	if (rc != 0 || job == NULL)
		return rc;
	buf_add_cstr(&sql, "INSERT INTO job (lane, ");
	rows_quote_columns(&sql, job);
	buf_add_cstr(&sql, ") SELECT coalesce(l.number, 0)");
	for (size_t i = 0; i < job->n; i++) {
		buf_add_cstr(&sql, ", j.");
		rows_quote(&sql, job->columns[i].own);
	}
	buf_add_cstr(&sql, " FROM " JOBS
			   " AS j LEFT JOIN file AS f ON f.number = j.file LEFT JOIN lane AS l ON l.owner = f.owner AND l.op = j.op");
	return pg_side_run_buf(s, &sql, e);
}

static int commit(struct rows *r, struct err *e)
{
	struct pg_side *s = pg_side_of(r);
	CLEANUP(buf_release) struct buf note = BUF_INIT;
	int rc = fill_jobs(s, e);

	if (rc == 0)
		rc = pg_side_run(s,
				 "INSERT INTO lane_tally (lane, slot, waiting, running) SELECT lane, 1, count(*) FILTER (WHERE state = 0),"
				 " count(*) FILTER (WHERE state = 1) FROM task GROUP BY lane",
				 e);
	buf_addf(&note, "INSERT INTO meta (key, value) VALUES ('move_begun', %lld)", (long long)number_of(s->whose));
	if (rc == 0)
		rc = pg_side_run_buf(s, &note, e);
	return rc == 0 ? pg_side_run(s, "COMMIT; ANALYZE", e) : rc;
}

static const struct rows_methods METHODS = {
	.free = pg_side_free,
	.read = pg_rows_read,
	.last_number = pg_rows_last_number,
	.begin_table = begin_table,
	.put = put,
	.end_table = end_table,
	.set_last_number = set_last_number,
	.commit = commit,
};

int rows_postgres_write(struct rows **ret, const char *conninfo, struct uuid whose, struct err *e)
{
	struct pg_side *s;
	int rc = pg_side_open(&s, &METHODS, conninfo, "BEGIN; SELECT pg_advisory_xact_lock('file'::regclass::oid::int, 1)", e);

	if (rc != 0)
		return rc;
	s->whose = whose;
	rc = check_target(s, whose, e);
	if (rc == 0)
		rc = empty_all(s, e);
	if (rc == 0)
		*ret = &s->base;
	else
		rows_free(&s->base);
	return rc;
}
