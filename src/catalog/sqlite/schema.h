/* The numbered migrations of schema/, embedded when building. */
#ifndef FILEMILL_CATALOG_SQLITE_SCHEMA_H
#define FILEMILL_CATALOG_SQLITE_SCHEMA_H

extern const char *const schema_migrations[]; /* [i] leads from version i to i + 1 and sets user_version itself */
extern const int schema_latest; /* the version this program speaks */

#endif
