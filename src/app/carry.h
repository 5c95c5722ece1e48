/* Bytes of blobs from one store to another, many at once: each thread reads through a digest of its own. For what is slow one by one, because one of the stores is far away. */
#ifndef FILEMILL_APP_CARRY_H
#define FILEMILL_APP_CARRY_H

#include "blobs/blobs.h"
#include "ops/ops.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What one thread needs. */
struct carrier {
	struct digest_set *digest;
	char *buffer;
};

/* All bytes of `r` through the digest and into `w` (NULL: nowhere); neither is closed. *ret_ours: an error is not the source's. ERR_CANCELLED after a signal. */
[[nodiscard]] int carrier_pour(struct carrier *c, struct blob_reader *r, struct blob_writer *w, uint64_t *ret_bytes, bool *ret_ours,
			       struct err *e);
/* Whether what was poured, so many bytes, is what it should be. */
bool carrier_has(struct carrier *c, const uint8_t sha256[32], uint64_t size, uint64_t bytes);

typedef int carry_fn(void *arg, struct carrier *c, size_t i, struct err *e);
/* Calls work for each i below n, on `threads` threads at most, the caller's among them. The first failure ends it and is returned; ERR_CANCELLED after a signal. */
[[nodiscard]] int carry_each(unsigned threads, size_t n, carry_fn *work, void *arg, struct err *e);

#endif
