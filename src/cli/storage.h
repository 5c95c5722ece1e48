/* Settings of object storages: the one that files are kept in, and those that files are imported from. */
#ifndef FILEMILL_CLI_STORAGE_H
#define FILEMILL_CLI_STORAGE_H

#include "base/arena.h"
#include "base/err.h"

struct settings;
struct s3_options;

/* Checks the rows of storage; fills settings.s3 from those of imports.s3_… and surfaces.storage_sync, and what else comes from the latter. ERR_BAD_CONFIG. Strings lie in the arena. */
[[nodiscard]] int storage_read(struct settings *s, struct arena *a, struct err *e);

/* The store that files are kept in, when there is a bucket. Borrows from the settings. */
void storage_s3_options(struct s3_options *ret, const struct settings *s);

#endif
