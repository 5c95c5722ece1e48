/* A PostgreSQL catalogue as rows, read by COPY in its binary format (PostgreSQL's manual, COPY, "Binary Format") in one transaction of one snapshot. */
#include "catalog/postgres/rows.h"
#include "catalog/postgres/schema.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SETUP                                                                                                                              \
	"SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET lock_timeout = '60s'; SET plan_cache_mode = auto;"    \
	" SET enable_seqscan = on; SET enable_bitmapscan = on; SET enable_hashjoin = on; SET enable_mergejoin = on"

struct pg_side *pg_side_of(struct rows *r)
{
	return CONTAINER_OF(r, struct pg_side, base);
}

void pg_side_free(struct rows *r)
{
	struct pg_side *s = pg_side_of(r);

	if (s->pg != NULL)
		pg_free(&s->pg->base);
	buf_release(&s->out);
	free(s);
}

int pg_side_fail(struct pg_side *s, const PGresult *r, struct err *e)
{
	struct pg_link *l = &s->pg->link;
	int code = pg_fail(l, r);

	if (e)
		*e = l->err;
	return code;
}

int pg_side_run(struct pg_side *s, const char *sql, struct err *e)
{
	struct pg_link *l = &s->pg->link;
	int rc = pg_run_text(l, sql);

	if (rc != 0 && e)
		*e = l->err;
	return rc;
}

int pg_side_run_buf(struct pg_side *s, struct buf *sql, struct err *e)
{
	buf_add_char(sql, '\0');
	return buf_ok(sql) ? pg_side_run(s, sql->p, e) : err_set(e, ERR_NO_MEMORY, "no memory for a statement");
}

int pg_side_number(struct pg_side *s, struct buf *sql, int64_t *ret, struct err *e)
{
	buf_add_char(sql, '\0');
	if (!buf_ok(sql))
		return err_set(e, ERR_NO_MEMORY, "no memory for a statement");
	PGresult *r = PQexec(s->pg->link.conn, sql->p);
	bool there = PQresultStatus(r) == PGRES_TUPLES_OK && PQntuples(r) == 1;
	int rc = there ? 0 : pg_side_fail(s, r, e);
	if (there)
		*ret = PQgetisnull(r, 0, 0) ? 0 : strtoll(PQgetvalue(r, 0, 0), NULL, 10);
	PQclear(r);
	return rc;
}

int pg_side_finish(struct pg_side *s, struct err *e)
{
	PGresult *r;
	int rc = 0;

	while ((r = PQgetResult(s->pg->link.conn)) != NULL) {
		if (PQresultStatus(r) != PGRES_COMMAND_OK && rc == 0)
			rc = pg_side_fail(s, r, e);
		PQclear(r);
	}
	return rc;
}

/* ---- the list of tables ---- */

static const char TABLES[] =
	"SELECT c.relname, a.attname, a.atttypid::regtype::text, a.attidentity <> '' FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid"
	" WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())"
	" AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped"
	" ORDER BY c.relname COLLATE \"C\", a.attnum";

/* Somebody else may have tables in the same schema. */
static bool is_ours(const char *table)
{
	char begins[ROWS_NAME_MAX + 16];

	snprintf(begins, sizeof(begins), "TABLE %s (", table);
	for (int i = 0; i < pg_schema_latest; i++)
		if (strstr(pg_schema_migrations[i], begins) != NULL)
			return true;
	return false;
}

static bool type_of(const char *word, enum rows_type *ret)
{
	static const struct {
		const char *word;
		enum rows_type type;
	} TYPES[] = {{"bigint", ROWS_INT}, {"boolean", ROWS_BOOL}, {"text", ROWS_TEXT}, {"bytea", ROWS_BYTES}, {"uuid", ROWS_UUID}};

	for (size_t i = 0; i < ARRAY_LEN(TYPES); i++)
		if (strcmp(word, TYPES[i].word) == 0) {
			*ret = TYPES[i].type;
			return true;
		}
	return false;
}

static int list_column(struct pg_side *s, const char *table, const char *column, const char *type, bool identity, struct err *e)
{
	enum rows_type t;

	if (!is_ours(table) || !rows_carried(str_of(table)) || !rows_carried_column(str_of(table), str_of(column)))
		return 0;
	if (!type_of(type, &t))
		return err_set(e, ERR_CONFLICT, "the catalogue's table %.60s has a column of type %.60s, which cannot be carried", table,
			       type);
	int rc = rows_add_column(&s->base, str_of(table), str_of(column), t, e);
	if (rc == 0 && identity) {
		struct rows_table *last = &s->base.tables[s->base.n_tables - 1];
		last->numbered = true;
		memcpy(last->number, last->columns[last->n - 1].own, sizeof(last->number));
	}
	return rc;
}

static int list_tables(struct pg_side *s, struct err *e)
{
	PGresult *r = PQexec(s->pg->link.conn, TABLES);
	int rc = PQresultStatus(r) == PGRES_TUPLES_OK ? 0 : pg_side_fail(s, r, e);

	for (int i = 0; rc == 0 && i < PQntuples(r); i++)
		rc = list_column(s, PQgetvalue(r, i, 0), PQgetvalue(r, i, 1), PQgetvalue(r, i, 2), PQgetvalue(r, i, 3)[0] == 't', e);
	PQclear(r);
	return rc;
}

/* ---- opening ---- */

static int check_schema(struct pg_side *s, struct err *e)
{
	int64_t version = 0;
	int rc = pg_schema_version(&s->pg->link, &version);

	if (rc != 0) {
		if (e)
			*e = s->pg->link.err;
		return rc;
	}
	if (version < 1)
		return err_set(e, ERR_DAMAGED, "there is no catalogue in this database");
	return pg_schema_fits(version, e);
}

int pg_side_open(struct pg_side **ret, const struct rows_methods *methods, const char *conninfo, const char *begin, struct err *e)
{
	const struct catalog_options options = {};
	struct pg_side *s = calloc(1, sizeof(*s));

	if (s != NULL)
		s->pg = pg_new(conninfo, &options);
	if (s == NULL || s->pg == NULL) {
		free(s);
		return err_set(e, ERR_NO_MEMORY, "no memory for a catalogue");
	}
	s->base.methods = methods;
	int rc = link_open(&s->pg->link, e);
	if (rc == 0)
		rc = check_schema(s, e);
	if (rc == 0)
		rc = pg_side_run(s, SETUP, e);
	if (rc == 0)
		rc = pg_side_run(s, begin, e);
	if (rc == 0)
		rc = list_tables(s, e);
	if (rc == 0)
		*ret = s;
	else
		rows_free(&s->base);
	return rc;
}

/* ---- rows ---- */

/* A row of COPY: how many cells, and for each its length and bytes in network order. */
struct piece {
	const char *p;
	size_t left;
};

static bool take(struct piece *in, void *dst, size_t n)
{
	if (in->left < n)
		return false;
	memcpy(dst, in->p, n);
	in->p += n;
	in->left -= n;
	return true;
}

static bool take_cell(struct piece *in, enum rows_type type, struct cell *ret)
{
	uint32_t raw;
	uint64_t number;
	uint8_t truth;

	if (!take(in, &raw, sizeof(raw)))
		return false;
	size_t n = be32toh(raw);
	*ret = (struct cell){.kind = CELL_NULL};
	if (n == UINT32_MAX)
		return true;
	if (n > in->left)
		return false;
	if (type == ROWS_INT) {
		bool ok = n == sizeof(number) && take(in, &number, sizeof(number));
		*ret = (struct cell){.kind = CELL_INT, .n = ok ? (int64_t)be64toh(number) : 0};
		return ok;
	}
	if (type == ROWS_BOOL) {
		bool ok = n == 1 && take(in, &truth, 1);
		*ret = (struct cell){.kind = CELL_INT, .n = ok && truth != 0};
		return ok;
	}
	*ret = (struct cell){.kind = type == ROWS_TEXT ? CELL_TEXT : CELL_BYTES, .s = {in->p, n}};
	in->p += n;
	in->left -= n;
	return true;
}

static int one_row(const struct rows_table *t, struct piece in, bool first, rows_row_fn *row, void *arg, struct err *e)
{
	struct cell cells[ROWS_COLUMNS_MAX];
	char head[COPY_HEAD_LEN];
	uint16_t n;
	bool ok = !first || (take(&in, head, sizeof(head)) && memcmp(head, COPY_MAGIC, COPY_MAGIC_LEN) == 0);

	ok = ok && take(&in, &n, sizeof(n));
	if (ok && n == UINT16_MAX)
		return 0; /* the end */
	ok = ok && be16toh(n) == t->n;
	for (size_t i = 0; ok && i < t->n; i++)
		ok = take_cell(&in, t->columns[i].type, &cells[i]);
	return ok ? row(arg, cells, e) : err_set(e, ERR_DAMAGED, "the catalogue: a row is not in the form that was asked for");
}

/* Sums stand in many rows (`slot`): they are carried as one. */
static void select_table(struct buf *sql, const struct rows_table *t)
{
	bool sums = strcmp(t->name, "tally") == 0;

	buf_add_cstr(sql, "COPY (SELECT ");
	for (size_t i = 0; sums && i < t->n; i++) {
		buf_add_cstr(sql, i > 0 ? ", " : "");
		if (strcmp(t->columns[i].own, "slot") == 0) {
			buf_add_cstr(sql, "1::bigint");
			continue;
		}
		buf_add_cstr(sql, "coalesce(sum(");
		rows_quote(sql, t->columns[i].own);
		buf_add_cstr(sql, "), 0)::bigint");
	}
	if (!sums)
		rows_quote_columns(sql, t);
	buf_add_cstr(sql, " FROM ");
	rows_quote(sql, t->name);
	buf_add_cstr(sql, ") TO STDOUT (FORMAT binary)");
	buf_add_char(sql, '\0');
}

int pg_rows_read(struct rows *r, const struct rows_table *t, rows_row_fn *row, void *arg, struct err *e)
{
	CLEANUP(buf_release) struct buf sql = BUF_INIT;
	struct pg_side *s = pg_side_of(r);
	PGconn *conn = s->pg->link.conn;
	bool first = true;
	char *line;
	int n, rc;

	select_table(&sql, t);
	if (!buf_ok(&sql))
		return err_set(e, ERR_NO_MEMORY, "no memory for a statement");
	PGresult *begun = PQexec(conn, sql.p);
	rc = PQresultStatus(begun) == PGRES_COPY_OUT ? 0 : pg_side_fail(s, begun, e);
	PQclear(begun);
	if (rc != 0)
		return rc;
	while (rc == 0 && (n = PQgetCopyData(conn, &line, 0)) > 0) {
		rc = one_row(t, (struct piece){line, (size_t)n}, first, row, arg, e);
		first = false;
		PQfreemem(line);
	}
	if (rc != 0) {
		link_close(&s->pg->link); /* what is left of the rows is not waited for */
		return rc;
	}
	return pg_side_finish(s, e);
}

int pg_rows_last_number(struct rows *r, const struct rows_table *t, int64_t *ret, struct err *e)
{
	CLEANUP(buf_release) struct buf sql = BUF_INIT;

	buf_addf(&sql, "SELECT pg_sequence_last_value(pg_get_serial_sequence('%s', '%s')::regclass)", t->name, t->number);
	return pg_side_number(pg_side_of(r), &sql, ret, e);
}

static const struct rows_methods METHODS = {
	.free = pg_side_free,
	.read = pg_rows_read,
	.last_number = pg_rows_last_number,
};

/* The lock comes before the snapshot, so that it has all that was committed; it is the session's, and ends with it. */
#define BEGIN_READ "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
#define BEGIN_ALONE "SELECT pg_advisory_lock('file'::regclass::oid::int, 1)"

int rows_postgres_read(struct rows **ret, const char *conninfo, bool alone, struct err *e)
{
	struct pg_side *s;
	int rc = pg_side_open(&s, &METHODS, conninfo, alone ? BEGIN_ALONE : BEGIN_READ, e);

	if (rc == 0 && alone && (rc = pg_side_run(s, BEGIN_READ, e)) != 0)
		rows_free(&s->base);
	if (rc == 0)
		*ret = &s->base;
	return rc;
}
