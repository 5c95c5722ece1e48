/* filemill migrate: the catalogue's schema, told and brought forward. */
#ifndef FILEMILL_APP_MIGRATE_H
#define FILEMILL_APP_MIGRATE_H

#include "base/buf.h"
#include "cli/settings.h"

#include <stdbool.h>

/* Says in one line what was there and what was done. With check nothing is changed, and servers may be at work; without it a server may be at work on PostgreSQL only. *ret_current: the
 * schema is that of this program now. ERR_SCHEMA_NEWER, ERR_IN_USE. */
[[nodiscard]] int migrate(struct buf *out, const struct settings *s, bool check, bool *ret_current, struct err *e);

#endif
