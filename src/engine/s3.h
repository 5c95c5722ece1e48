/* An object storage, as the configuration names it. */
#ifndef FILEMILL_ENGINE_S3_H
#define FILEMILL_ENGINE_S3_H

#include "net/target.h"

#include <stdbool.h>
#include <stdint.h>

/* An object storage that speaks S3, to import from. All is borrowed. */
struct engine_s3 {
	const char *name; /* as an import's params have it; "" = the usual one */
	const char *endpoint; /* `https://host`, or `http://host:9000`: without a path, and without the port that is the scheme's own */
	const char *region, *access_key, *secret_key;
	const char *bucket; /* the only one; "" = any */
	bool virtual_host; /* the bucket stands in front of the host's name, not of the path */
	struct target_policy targets; /* the administrator named it, so it may be anywhere */
};

#endif
