/* Settings of object storages that files are imported from. */
#ifndef FILEMILL_CLI_STORAGE_H
#define FILEMILL_CLI_STORAGE_H

#include "base/arena.h"
#include "base/err.h"

struct settings;

/* Fills settings.s3 from the rows of imports.s3_… and surfaces.storage_sync, and what else comes from the latter. ERR_BAD_CONFIG. Strings lie in the arena. */
[[nodiscard]] int storage_read(struct settings *s, struct arena *a, struct err *e);

#endif
