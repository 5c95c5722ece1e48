/* The numbered migrations of schema/, embedded when building. */
#ifndef FILEMILL_CATALOG_POSTGRES_SCHEMA_H
#define FILEMILL_CATALOG_POSTGRES_SCHEMA_H

extern const char *const
	pg_schema_migrations[]; /* [i] leads from version i to i + 1; the version is written by whoever runs it, in the same transaction */
extern const int pg_schema_latest; /* the version this program speaks */
extern const int pg_schema_beside[]; /* [i] is the oldest version whose programs may go on beside version i + 1; i + 1 where none may */

#endif
