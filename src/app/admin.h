/* filemill admin: accounts and keys in the catalogue of a data directory on which no server works. */
#ifndef FILEMILL_APP_ADMIN_H
#define FILEMILL_APP_ADMIN_H

#include "base/buf.h"
#include "cli/admin.h"
#include "cli/settings.h"

/* Appends what is to be told, secrets included; the caller clears it. ERR_IN_USE while a server holds the directory. */
[[nodiscard]] int admin(struct buf *out, const struct settings *s, const struct admin_line *line, bool json, struct err *e);

#endif
