/* A catalogue as rows of tables, whatever they mean: for carrying it from one kind of database to the other (docs/adr/0042-move.md). Tables and columns are read from the databases
 * themselves, so that a migration adds nothing here; what the two have under different names, or one of them alone, stands in rows.c.
 *
 * A side is used by one thread. All functions block on disk or network. */
#ifndef FILEMILL_CATALOG_ROWS_H
#define FILEMILL_CATALOG_ROWS_H

#include "base/err.h"
#include "base/str.h"
#include "base/uuid.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rows; /* one side: a catalogue of one moment that is read, or a new one that is written */

/* ---- reading ---- */
/* The catalogue in `dir`, as it is at this moment, beside a running server or without one: it is only read, and without a checkpoint. ERR_SCHEMA_OLDER, ERR_SCHEMA_NEWER, ERR_DAMAGED…. */
[[nodiscard]] int rows_sqlite_read(struct rows **ret, const char *dir, struct err *e);
/* The same of a file that nobody writes. */
[[nodiscard]] int rows_sqlite_read_file(struct rows **ret, const char *path, struct err *e);
/* The same on PostgreSQL. `alone`: from here until rows_free() nobody writes it; who tries waits for a while and is told that it is not available. */
[[nodiscard]] int rows_postgres_read(struct rows **ret, const char *conninfo, bool alone, struct err *e);

/* ---- writing ---- */
/* A new catalogue in `dir`, in the place of one that is there. It counts once it was committed. */
[[nodiscard]] int rows_sqlite_write(struct rows **ret, const char *dir, struct err *e);
/* The same as the file `path`, whose name is the caller's to flush. What is not committed is removed. */
[[nodiscard]] int rows_sqlite_write_file(struct rows **ret, const char *path, struct err *e);
/* Into the tables of an empty catalogue, or of one that an earlier move of `whose` (a data directory's id) has begun: no node works on it before rows_postgres_open_up(). Nobody else
 * writes it meanwhile. ERR_CONFLICT: it is not empty. */
[[nodiscard]] int rows_postgres_write(struct rows **ret, const char *conninfo, struct uuid whose, struct err *e);

/* What is not committed is undone. NULL is fine. */
void rows_free(struct rows *r);

/* What was carried. */
struct rows_report {
	uint64_t tables, rows;
	uint64_t files, jobs; /* rows of these tables */
};
/* Called now and then; false: stop, with ERR_CANCELLED. */
typedef bool rows_progress_fn(void *arg, uint64_t rows);
/* All rows of all tables, and the numbers that were given last, in one transaction of the target, committed. ERR_CONFLICT: the two do not have the same tables and columns. */
[[nodiscard]] int rows_copy(struct rows *from, struct rows *to, rows_progress_fn *progress, void *arg, struct rows_report *ret,
			    struct err *e);
/* Reads both anew, and compares for each table the number of rows and a digest of what is in them. ERR_DAMAGED names the table in which they differ. */
[[nodiscard]] int rows_compare(struct rows *a, struct rows *b, rows_progress_fn *progress, void *arg, struct err *e);

/* ---- what a catalogue on PostgreSQL says of moves ---- */
enum rows_moved {
	ROWS_NOT_MOVED,
	ROWS_MOVE_BEGUN, /* a move into it was committed and not ended */
	ROWS_MOVED_AWAY,
};
/* ERR_CATALOG_UNAVAILABLE; a database without a catalogue is ROWS_NOT_MOVED. */
[[nodiscard]] int rows_postgres_state(const char *conninfo, enum rows_moved *ret, struct err *e);
/* The catalogue that `alone` reads was carried to another: from now on nobody writes it, and no node starts on it. */
[[nodiscard]] int rows_postgres_away(struct rows *alone, int64_t now, struct err *e);
/* The move into it has ended: nodes may work on it. */
[[nodiscard]] int rows_postgres_open_up(const char *conninfo, struct err *e);
/* Takes back rows_postgres_away(). */
[[nodiscard]] int rows_postgres_back(const char *conninfo, struct err *e);
/* Whether the catalogue at `conninfo` is the one that `alone` holds. */
[[nodiscard]] int rows_postgres_same(struct rows *alone, const char *conninfo, bool *ret, struct err *e);

#endif
