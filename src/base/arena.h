/* Memory with the lifetime of one request or one batch: many small allocations, one release. Not thread-safe. */
#ifndef FILEMILL_BASE_ARENA_H
#define FILEMILL_BASE_ARENA_H

#include "base/str.h"

#include <stddef.h>

struct arena_block;

struct arena {
	struct arena_block *blocks; /* newest first */
	size_t used; /* bytes handed out, for limits and tests */
};

#define ARENA_INIT ((struct arena){})

void arena_release(struct arena *a);
/* Zeroed, aligned for any type; NULL when memory ran out. */
void *arena_alloc(struct arena *a, size_t n);
/* NUL-terminated copy; NULL when memory ran out. */
char *arena_strndup(struct arena *a, const char *s, size_t n);
/* As above; on failure the result's p is NULL. */
struct str arena_str(struct arena *a, struct str s);

#endif
