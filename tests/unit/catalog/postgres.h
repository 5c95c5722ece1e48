/* A real PostgreSQL for the tests of this program: started when it is first asked for, by tests/blackbox/harness/postgres.py, and gone when the program is, however that ends. */
#ifndef FILEMILL_TESTS_CATALOG_POSTGRES_H
#define FILEMILL_TESTS_CATALOG_POSTGRES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether PostgreSQL is installed here. Where everything has to be (CHECK_STRICT), it fails instead of saying no. */
bool postgres_installed(void);
/* Where to connect to: libpq's words, without a database. durable: with fsync and all; one program has one kind. */
const char *postgres_where(bool durable);
/* `stop fast`, `stop immediate` or `start`; returns when it is done. */
void postgres_tell(const char *what);
void postgres_end(void);

#define POSTGRES_CONNINFO_MAX 200
/* Words to connect to this database. */
void postgres_database(char dst[POSTGRES_CONNINFO_MAX], const char *name);
/* Runs SQL, of several statements maybe, in this database, and returns the first value of the last one; 0 when there is none. */
int64_t postgres_sql(const char *database, const char *sql);
/* The first column of all rows, a line each. */
void postgres_text(const char *database, const char *sql, char *dst, size_t size);
/* In a session of its own: begins a transaction, in which this is done, until it is let go of. One at a time. */
void postgres_hold(const char *database, const char *sql);
void postgres_let_go(void);

#endif
