/* For those who read or write a catalogue as rows; callers include catalog/rows.h.
 *
 * Cells are what both databases can say: numbers (booleans too), text, bytes (identifiers too). Names of tables and columns come from the database's own lists of what there is, and
 * never from outside; they are quoted all the same. */
#ifndef FILEMILL_CATALOG_ROWS_IMPL_H
#define FILEMILL_CATALOG_ROWS_IMPL_H

#include "base/buf.h"
#include "catalog/rows.h"

#define ROWS_TABLES_MAX 64
#define ROWS_COLUMNS_MAX 40
#define ROWS_NAME_MAX 63

enum cell_kind { CELL_NULL, CELL_INT, CELL_TEXT, CELL_BYTES };
struct cell {
	enum cell_kind kind;
	int64_t n; /* CELL_INT */
	struct str s; /* CELL_TEXT, CELL_BYTES: valid until the next row */
};

enum rows_type { ROWS_INT, ROWS_BOOL, ROWS_TEXT, ROWS_BYTES, ROWS_UUID };
struct rows_column {
	char name[ROWS_NAME_MAX + 1]; /* as both sides call it */
	char own[ROWS_NAME_MAX + 1]; /* as this side calls it */
	enum rows_type type;
};
struct rows_table {
	char name[ROWS_NAME_MAX + 1];
	bool numbered; /* its rows have numbers that are never given twice */
	char number[ROWS_NAME_MAX + 1]; /* PostgreSQL: their column */
	size_t n;
	struct rows_column columns[ROWS_COLUMNS_MAX];
};

/* Not 0: the reading ends with this. */
typedef int rows_row_fn(void *arg, const struct cell *cells, struct err *e);

struct rows_methods {
	void (*free)(struct rows *r);
	/* Columns in the order of `t`, which is one of r->tables with its columns perhaps in another order. */
	int (*read)(struct rows *r, const struct rows_table *t, rows_row_fn *row, void *arg, struct err *e);
	int (*last_number)(struct rows *r, const struct rows_table *t, int64_t *ret,
			   struct err *e); /* of a numbered table; 0 = none was given */
	/* Writers only. begin_table, put for each row, end_table; then, of a numbered table, set_last_number. */
	int (*begin_table)(struct rows *r, const struct rows_table *t, struct err *e);
	int (*put)(struct rows *r, const struct rows_table *t, const struct cell *cells, struct err *e);
	int (*end_table)(struct rows *r, struct err *e);
	int (*set_last_number)(struct rows *r, const struct rows_table *t, int64_t last, struct err *e);
	int (*commit)(struct rows *r, struct err *e); /* what follows from the rows is written too */
};

/* The part every side begins with. */
struct rows {
	const struct rows_methods *methods;
	struct rows_table *tables; /* ROWS_TABLES_MAX at most */
	size_t n_tables;
};

/* ---- rows.c ---- */
/* While a side makes its list: the table of this name is the last one, new if it was another's. ERR_CONFLICT: there are too many. */
[[nodiscard]] int rows_add_column(struct rows *r, struct str table, struct str column, enum rows_type type, struct err *e);
/* Whether it is carried: not what belongs to one kind of database, or to those who are at work. */
bool rows_carried(struct str table);
bool rows_carried_column(struct str table, struct str column);
bool rows_note_of_move(struct str meta_key); /* a row of `meta` that tells of moves and stays where it is */
void rows_quote(struct buf *out, const char *name);
/* "a", "b", "c" */
void rows_quote_columns(struct buf *out, const struct rows_table *t);

#endif
