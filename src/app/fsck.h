/* `filemill fsck`: is everything that the catalogue speaks of in the store, and the other way round? */
#ifndef FILEMILL_APP_FSCK_H
#define FILEMILL_APP_FSCK_H

#include "base/err.h"
#include "cli/settings.h"

#include <stdbool.h>
#include <stdio.h>

struct fsck_options {
	bool read; /* every byte, against its digest */
	bool repair; /* marks what is damaged, removes blobs that nobody needs */
	bool sole; /* from a bucket too: no copy of the catalogue uses it (docs/adr/0044-twins.md) */
	bool json;
};

/* Writes what it finds as it goes: a line each and a last line, or one JSON object. *ret_clean: nothing was found. Changes nothing unless it is to repair; what it
 * repaired counts as found. ERR_IN_USE while a server runs, ERR_BAD_CONFIG when there is no data directory. On an error the report is not complete. */
[[nodiscard]] int fsck(FILE *out, const struct settings *s, const struct fsck_options *options, bool *ret_clean, struct err *e);

#endif
