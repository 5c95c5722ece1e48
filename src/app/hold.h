/* What a backup under way asks of the server: that no blob be removed. */
#ifndef FILEMILL_APP_HOLD_H
#define FILEMILL_APP_HOLD_H

#include "app/data_dir.h"
#include "app/gate.h"

#include <stdbool.h>
#include <stdint.h>

struct hold {
	const struct data_dir *data; /* borrowed */
	const struct gate *gate; /* borrowed */
	int64_t limit_ms; /* longer than this nobody is waited for */
	int64_t since; /* monotonic ms of the first look that found it held; 0 = it is not */
	bool over; /* the limit passed, and that was told */
};

/* For engine_config.blobs_held; arg is a struct hold, used by one thread. */
bool hold_stands(void *arg);

#endif
