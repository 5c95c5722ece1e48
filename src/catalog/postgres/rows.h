/* What reading and writing a PostgreSQL catalogue as rows have in common: a connection of their own, which waits for each answer. */
#ifndef FILEMILL_CATALOG_POSTGRES_ROWS_H
#define FILEMILL_CATALOG_POSTGRES_ROWS_H

#include "catalog/postgres/pg.h"
#include "catalog/rows_impl.h"

struct pg_side {
	struct rows base;
	struct pg *pg; /* the connection is pg->link */
	struct buf out; /* of a writer: what was not sent yet */
	struct uuid whose; /* of a writer: whose move it is */
};

struct pg_side *pg_side_of(struct rows *r);
void pg_side_free(struct rows *r);
/* Connected, its transaction begun by `begin`, its tables listed. ERR_SCHEMA_OLDER, ERR_DAMAGED: there is no catalogue. */
int pg_side_open(struct pg_side **ret, const struct rows_methods *methods, const char *conninfo, const char *begin, struct err *e);
/* 0 or the code of an error, copied to e. */
int pg_side_run(struct pg_side *s, const char *sql, struct err *e);
int pg_side_run_buf(struct pg_side *s, struct buf *sql, struct err *e);
int pg_side_number(struct pg_side *s, struct buf *sql, int64_t *ret, struct err *e); /* one row of one number; NULL is 0 */
int pg_side_fail(struct pg_side *s, const PGresult *r, struct err *e);
/* Reads to the end of a statement's results. */
int pg_side_finish(struct pg_side *s, struct err *e);

int pg_rows_read(struct rows *r, const struct rows_table *t, rows_row_fn *row, void *arg, struct err *e);
int pg_rows_last_number(struct rows *r, const struct rows_table *t, int64_t *ret, struct err *e);

#define COPY_MAGIC "PGCOPY\n\377\r\n" /* and a byte of zero */
#define COPY_MAGIC_LEN 11
#define COPY_HEAD_LEN 19

#endif
