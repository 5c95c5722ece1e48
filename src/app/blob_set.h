/* A set of blobs, by a keyed hash of 128 bits over name and size: 32 to 64 bytes each. One thread at a time; many may ask while nobody adds. */
#ifndef FILEMILL_APP_BLOB_SET_H
#define FILEMILL_APP_BLOB_SET_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero is the empty set. */
struct blob_set {
	struct blob_tag {
		uint64_t a, b; /* both 0: free */
	} * tags;
	size_t n, cap;
};
void blob_set_release(struct blob_set *s); /* empty afterwards */
bool blob_set_has(const struct blob_set *s, struct str name, uint64_t size);
[[nodiscard]] bool blob_set_add(struct blob_set *s, struct str name, uint64_t size); /* false: no memory, and the set is as it was */

#endif
