/* The catalogue that the settings name: PostgreSQL if there is catalog.url, else SQLite in the data directory. */
#ifndef FILEMILL_APP_CATALOGUE_H
#define FILEMILL_APP_CATALOGUE_H

#include "base/err.h"

#include <stdbool.h>

struct audit_head;
struct catalog;
struct catalog_look;
struct catalog_options;
struct settings;

/* It is not in the data directory, and other nodes may be at work on it. */
bool catalogue_is_shared(const struct settings *s);
/* The caller holds the data directory's lock. As catalog_sqlite_open() and catalog_postgres_new(). */
[[nodiscard]] int catalogue_open(struct catalog **ret, const struct settings *s, const struct catalog_options *options, struct err *e);
/* To be read only, beside those who work on it or without them. */
[[nodiscard]] int catalogue_read(struct catalog **ret, const struct settings *s, struct err *e);
/* How far the audit log has got, also beside a running server. */
[[nodiscard]] int catalogue_audit_head(const struct settings *s, struct audit_head *ret, struct err *e);
/* What is there, beside those who work on it or without them. */
[[nodiscard]] int catalogue_look(const struct settings *s, struct catalog_look *ret, struct err *e);
/* For commands that know the embedded catalogue only: ERR_BAD_CONFIG for the other one. */
[[nodiscard]] int catalogue_need_embedded(const struct settings *s, struct err *e);

#endif
