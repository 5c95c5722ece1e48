/* A SQLite catalogue as rows. It is read in one transaction of a connection that neither writes nor makes a checkpoint, as a snapshot's is (backup.c).
 *
 * A new one is made by the migrations under the name catalog.move.db and written without a journal: it is nobody's catalogue before the commit has flushed it and given it its name. */
#include "catalog/rows_impl.h"
#include "catalog/sqlite/schema.h"
#include "catalog/sqlite/sq.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NEW "catalog.move.db"

struct side {
	struct rows base;
	sqlite3 *db;
	sqlite3_stmt *put; /* of the table that is being written */
	char *dir, *path; /* of a writer: path is that of the unfinished file; dir NULL: it keeps that name */
};

static struct side *side_of(struct rows *r)
{
	return CONTAINER_OF(r, struct side, base);
}

/* ---- statements ---- */

static int prepare(struct side *s, struct buf *sql, sqlite3_stmt **ret, struct err *e)
{
	if (!buf_ok(sql))
		return err_set(e, ERR_NO_MEMORY, "no memory for a statement");
	int rc = sqlite3_prepare_v2(s->db, sql->p, (int)sql->len, ret, NULL);
	return rc == SQLITE_OK ? 0 : sq_error(s->db, rc, e);
}

static int run_text(struct side *s, const char *sql, struct err *e)
{
	int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : sq_error(s->db, rc, e);
}

/* ---- the list of tables ---- */

static const char TABLES[] =
	"SELECT m.name, p.name, p.type, instr(m.sql, 'AUTOINCREMENT') > 0 FROM sqlite_schema AS m, pragma_table_info(m.name) AS p"
	" WHERE m.type = 'table' AND substr(m.name, 1, 7) <> 'sqlite_' ORDER BY m.name, p.cid";

static enum rows_type type_of(struct str word)
{
	return str_eq(word, STR("TEXT")) ? ROWS_TEXT : str_eq(word, STR("BLOB")) ? ROWS_BYTES : ROWS_INT;
}

static int list_tables(struct side *s, struct err *e)
{
	sqlite3_stmt *stmt = NULL;
	int r = 0, rc = sqlite3_prepare_v2(s->db, TABLES, -1, &stmt, NULL);

	while (r == 0 && rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		rc = SQLITE_OK;
		if (!rows_carried(col_str(stmt, 0)))
			continue;
		r = rows_add_column(&s->base, col_str(stmt, 0), col_str(stmt, 1), type_of(col_str(stmt, 2)), e);
		if (r == 0)
			s->base.tables[s->base.n_tables - 1].numbered = sqlite3_column_int(stmt, 3) != 0;
	}
	sqlite3_finalize(stmt);
	return r != 0 || rc == SQLITE_DONE ? r : sq_error(s->db, rc, e);
}

/* ---- reading ---- */

static struct cell cell_of(sqlite3_stmt *stmt, int i)
{
	switch (sqlite3_column_type(stmt, i)) {
	case SQLITE_INTEGER:
		return (struct cell){.kind = CELL_INT, .n = sqlite3_column_int64(stmt, i)};
	case SQLITE_NULL:
		return (struct cell){.kind = CELL_NULL};
	case SQLITE_BLOB:
		return (struct cell){.kind = CELL_BYTES, .s = {sqlite3_column_blob(stmt, i), (size_t)sqlite3_column_bytes(stmt, i)}};
	default:
		return (struct cell){.kind = CELL_TEXT, .s = col_str(stmt, i)};
	}
}

static int read_rows(struct rows *r, const struct rows_table *t, rows_row_fn *row, void *arg, struct err *e)
{
	CLEANUP(buf_release) struct buf sql = BUF_INIT;
	struct side *s = side_of(r);
	struct cell cells[ROWS_COLUMNS_MAX];
	sqlite3_stmt *stmt = NULL;

	buf_add_cstr(&sql, "SELECT ");
	rows_quote_columns(&sql, t);
	buf_add_cstr(&sql, " FROM ");
	rows_quote(&sql, t->name);
	int rc = SQLITE_DONE, ret = prepare(s, &sql, &stmt, e);
	while (ret == 0 && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		for (size_t i = 0; i < t->n; i++)
			cells[i] = cell_of(stmt, (int)i);
		ret = row(arg, cells, e);
	}
	if (ret == 0 && rc != SQLITE_DONE)
		ret = sq_error(s->db, rc, e);
	sqlite3_finalize(stmt);
	return ret;
}

static int last_number(struct rows *r, const struct rows_table *t, int64_t *ret, struct err *e)
{
	struct side *s = side_of(r);
	sqlite3_stmt *stmt = NULL;
	bool row = false;
	int rc = sqlite3_prepare_v2(s->db, "SELECT seq FROM sqlite_sequence WHERE name = ?1", -1, &stmt, NULL);

	if (rc == SQLITE_OK) {
		bind_str(stmt, 1, str_of(t->name));
		rc = first(stmt, &row);
	}
	*ret = row ? sqlite3_column_int64(stmt, 0) : 0;
	sqlite3_finalize(stmt);
	return rc == SQLITE_OK ? 0 : sq_error(s->db, rc, e);
}

/* ---- writing ---- */

static int begin_table(struct rows *r, const struct rows_table *t, struct err *e)
{
	CLEANUP(buf_release) struct buf empty = BUF_INIT, sql = BUF_INIT;
	struct side *s = side_of(r);

	buf_add_cstr(&empty, "DELETE FROM ");
	rows_quote(&empty, t->name);
	buf_add_char(&empty, '\0');
	if (!buf_ok(&empty))
		return err_set(e, ERR_NO_MEMORY, "no memory for a statement");
	int rc = run_text(s, empty.p, e);
	if (rc != 0)
		return rc;
	buf_add_cstr(&sql, "INSERT INTO ");
	rows_quote(&sql, t->name);
	buf_add_cstr(&sql, " (");
	rows_quote_columns(&sql, t);
	buf_add_cstr(&sql, ") VALUES (");
	for (size_t i = 0; i < t->n; i++)
		buf_add_cstr(&sql, i > 0 ? ", ?" : "?");
	buf_add_char(&sql, ')');
	return prepare(s, &sql, &s->put, e);
}

static int bind_cell(sqlite3_stmt *stmt, int i, const struct cell *c)
{
	switch (c->kind) {
	case CELL_INT:
		return sqlite3_bind_int64(stmt, i, c->n);
	case CELL_TEXT:
		return sqlite3_bind_text(stmt, i, c->s.p, (int)c->s.len, SQLITE_STATIC);
	case CELL_BYTES: /* an empty one is not NULL */
		return sqlite3_bind_blob(stmt, i, c->s.len > 0 ? c->s.p : "", (int)c->s.len, SQLITE_STATIC);
	case CELL_NULL:
		break;
	}
	return sqlite3_bind_null(stmt, i);
}

static int put(struct rows *r, const struct rows_table *t, const struct cell *cells, struct err *e)
{
	struct side *s = side_of(r);
	int rc = SQLITE_OK;

	for (size_t i = 0; rc == SQLITE_OK && i < t->n; i++)
		rc = bind_cell(s->put, (int)i + 1, &cells[i]);
	if (rc == SQLITE_OK)
		rc = run(s->put);
	return rc == SQLITE_OK ? 0 : sq_error(s->db, rc, e);
}

static int end_table(struct rows *r, struct err *e)
{
	sqlite3_finalize(side_of(r)->put);
	side_of(r)->put = NULL;
	return 0;
}

/* SQLite has a row here as soon as the table had one. */
static int set_last_number(struct rows *r, const struct rows_table *t, int64_t last, struct err *e)
{
	struct side *s = side_of(r);
	sqlite3_stmt *stmt = NULL;
	int64_t there = 0;
	int ret = last_number(r, t, &there, e);

	if (ret != 0 || there >= last)
		return ret;
	int rc = sqlite3_prepare_v2(s->db,
				    there > 0 ? "UPDATE sqlite_sequence SET seq = ?2 WHERE name = ?1"
					      : "INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)",
				    -1, &stmt, NULL);
	if (rc == SQLITE_OK) {
		bind_str(stmt, 1, str_of(t->name));
		sqlite3_bind_int64(stmt, 2, last);
		rc = run(stmt);
	}
	sqlite3_finalize(stmt);
	return rc == SQLITE_OK ? 0 : sq_error(s->db, rc, e);
}

static int flush(const char *path, int flags, struct err *e)
{
	CLEANUP(fd_close) int fd = open(path, flags | O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return err_errno(e, errno, "open");
	return fsync(fd) == 0 ? 0 : err_errno(e, errno, "fsync");
}

static int commit(struct rows *r, struct err *e)
{
	CLEANUP(free_ptr) char *name = NULL;
	struct side *s = side_of(r);
	int rc = run_text(s, "COMMIT", e);

	if (rc == 0 && sqlite3_close(s->db) != SQLITE_OK)
		rc = err_set(e, ERR_INTERNAL, "the new catalogue has statements that were not ended");
	if (rc != 0)
		return rc;
	s->db = NULL;
	rc = flush(s->path, 0, e);
	if (s->dir == NULL) {
		free(s->path);
		s->path = NULL;
		return rc;
	}
	if (asprintf(&name, "%s/catalog.db", s->dir) < 0)
		return err_set(e, ERR_NO_MEMORY, "no memory for a path");
	if (rc == 0 && rename(s->path, name) != 0)
		rc = err_errno(e, errno, "rename");
	return rc == 0 ? flush(s->dir, O_DIRECTORY, e) : rc;
}

/* ---- life ---- */

static void side_free(struct rows *r)
{
	struct side *s = side_of(r);

	sqlite3_finalize(s->put);
	sqlite3_close(s->db);
	if (s->path != NULL)
		unlink(s->path); /* it has its name, or is nobody's */
	free(s->path);
	free(s->dir);
	free(s);
}

static const struct rows_methods METHODS = {
	.free = side_free,
	.read = read_rows,
	.last_number = last_number,
	.begin_table = begin_table,
	.put = put,
	.end_table = end_table,
	.set_last_number = set_last_number,
	.commit = commit,
};

static struct side *side_new(void)
{
	struct side *s = calloc(1, sizeof(*s));

	if (s != NULL)
		s->base.methods = &METHODS;
	return s;
}

static int list_read(struct rows **ret, struct side *s, int64_t schema, struct err *e)
{
	int rc = 0;

	if (schema < schema_latest)
		rc = err_set(
			e, ERR_SCHEMA_OLDER,
			"the catalogue has schema %lld, this program works on %d; a start of the server or filemill migrate brings it forward",
			(long long)schema, schema_latest);
	if (rc == 0)
		rc = list_tables(s, e);
	if (rc == 0)
		*ret = &s->base;
	return rc;
}

typedef int open_fn(const char *where, sqlite3 **ret, int64_t *ret_schema, struct err *e);

static int read_by(open_fn *open_db, struct rows **ret, const char *where, struct err *e)
{
	struct side *s = side_new();
	int64_t schema = 0;

	if (s == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for a catalogue");
	int rc = open_db(where, &s->db, &schema, e);
	if (rc == 0)
		rc = list_read(ret, s, schema, e);
	if (rc != 0)
		rows_free(&s->base);
	return rc;
}

int rows_sqlite_read(struct rows **ret, const char *dir, struct err *e)
{
	return read_by(sq_open_beside, ret, dir, e);
}

int rows_sqlite_read_file(struct rows **ret, const char *path, struct err *e)
{
	return read_by(sq_open_file, ret, path, e);
}

/* Nothing is journalled: the file counts once it is whole. */
static int open_new(struct side *s, struct err *e)
{
	if (unlink(s->path) != 0 && errno != ENOENT)
		return err_errno(e, errno, "unlink");
	int rc = sqlite3_open_v2(s->path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
				 NULL);
	if (rc != SQLITE_OK)
		return sq_error(s->db, rc, e);
	int ret = run_text(
		s, "PRAGMA page_size = 4096; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; BEGIN", e);
	for (int i = 0; ret == 0 && i < schema_latest; i++)
		ret = run_text(s, schema_migrations[i], e);
	return ret;
}

static int write_new(struct rows **ret, struct side *s, struct err *e)
{
	int rc = s->path != NULL ? open_new(s, e) : err_set(e, ERR_NO_MEMORY, "no memory for a path");

	if (rc == 0)
		rc = list_tables(s, e);
	if (rc == 0)
		*ret = &s->base;
	else
		rows_free(&s->base);
	return rc;
}

int rows_sqlite_write(struct rows **ret, const char *dir, struct err *e)
{
	struct side *s = side_new();

	if (s == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for a catalogue");
	s->dir = strdup(dir);
	if (s->dir == NULL || asprintf(&s->path, "%s/" NEW, dir) < 0)
		s->path = NULL;
	return write_new(ret, s, e);
}

int rows_sqlite_write_file(struct rows **ret, const char *path, struct err *e)
{
	struct side *s = side_new();

	if (s == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for a catalogue");
	s->path = strdup(path);
	return write_new(ret, s, e);
}
