/* A surface serves the clients of a system that filemill replaces: routes over the same engine, translated letter by letter. It holds no state, no queue, no storage. */
#ifndef FILEMILL_SURFACES_SURFACE_H
#define FILEMILL_SURFACES_SURFACE_H

#include "base/str.h"
#include "http/http.h"

#include <stddef.h>

struct limiter;
struct mirror;

struct surface {
	const char *name; /* as in --surface */
	const struct http_route *routes; /* ends with a pattern of NULL */
	const struct http_route *root; /* its own `/`, served when it is the only surface; same form; NULL = the native page */
	const char *summary;
};

/* What the configuration says of surfaces; struct front carries it to their handlers. */
struct surface_options {
	const char *image_stages_ops; /* what is done with each image, as a list of ops with one resize */
	struct {
		const char *secret; /* "" = no signature is right */
		const char *source, *bucket; /* the name of the engine's S3 storage; bucket "" = there is none */
		struct limiter *rate; /* by address */
		int rate_status; /* of the answer beyond it */
		const struct mirror *mirror;
	} sync;
};

extern const struct surface surface_md5_calc, surface_hash_tasks, surface_image_stages, surface_instashare, surface_storage_sync;

const struct surface *const *surface_all(size_t *ret_n);
const struct surface *surface_find(struct str name); /* NULL when there is none */

#endif
