/* What a backup under way asks of the server: that no blob be removed. It says so by a lock on the data directory, and where nodes share a catalogue, in that too. */
#ifndef FILEMILL_APP_HOLD_H
#define FILEMILL_APP_HOLD_H

#include "app/data_dir.h"
#include "app/gate.h"
#include "catalog/catalog.h"

#include <stdbool.h>
#include <stdint.h>

struct hold {
	const struct data_dir *data; /* borrowed */
	const struct gate *gate; /* borrowed */
	struct catalog *catalog; /* borrowed */
	int64_t limit_ms; /* longer than this nobody is waited for */
	int64_t since; /* monotonic ms of the first look that found the directory locked; 0 = it is not */
	int64_t began; /* of the first look that found anything */
	enum held state; /* as it was told last */
};

/* For engine_config.blobs_held; arg is a struct hold, used by one thread. */
bool hold_stands(void *arg);

#endif
