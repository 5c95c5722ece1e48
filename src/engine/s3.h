/* An object storage, as the configuration names it. */
#ifndef FILEMILL_ENGINE_S3_H
#define FILEMILL_ENGINE_S3_H

#include "base/err.h"
#include "base/str.h"
#include "net/target.h"

#include <stdbool.h>
#include <stdint.h>

/* An object whose bytes are in the store. All is borrowed for the call. */
struct engine_object {
	struct str key;
	const char *attempt; /* no other attempt to fetch anything has this name: letters, digits, - and . */
	int fd; /* of its bytes, at their beginning */
	uint64_t size;
	int (*may_go_on)(void *arg, struct err *e); /* asked now and then by what takes long; else it is to end with what this says */
	void *arg;
};
/* The job succeeds only when this returns 0; an attempt that it fails is repeated as others are, also when it succeeded before and the server was killed then. Blocks; an import's thread. */
typedef int engine_object_fn(void *arg, const struct engine_object *o, struct err *e);

/* An object storage that speaks S3, to import from. All is borrowed. */
struct engine_s3 {
	const char *name; /* as an import's params have it; "" = the usual one */
	const char *endpoint; /* `https://host`, or `http://host:9000`: without a path, and without the port that is the scheme's own */
	const char *region, *access_key, *secret_key;
	const char *bucket; /* the only one; "" = any */
	bool virtual_host; /* a bucket that can be part of a host's name stands in front of the host, not of the path; the host is no address */
	struct target_policy targets; /* the administrator named it, so it may be anywhere */
	/* How often and when it is tried again, in the place of what is usual: whatever went wrong, up to so many attempts in all, each after a random pause between these times the number
	 * of attempts there were. 0 attempts: as usual. */
	uint32_t attempts;
	int64_t pause_min_ms, pause_max_ms;
	engine_object_fn *came; /* NULL = nobody wants to know */
	void *came_arg;
};

/* Whether a bucket can have this name, as far as its length and its letters go. */
bool engine_bucket_allowed(struct str name);

#endif
