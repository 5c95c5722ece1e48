/* Bytes on their way into a backup or out of one: copied, checked against their digest on the way, counted for whoever watches, stopped by a signal. */
#ifndef FILEMILL_APP_TRANSFER_H
#define FILEMILL_APP_TRANSFER_H

#include "blobs/blobs.h"
#include "catalog/snapshot.h"
#include "ops/ops.h"

#include <stdbool.h>
#include <stdint.h>

struct transfer {
	char *buffer;
	struct digest_set *digest;
	bool shown; /* standard error is a terminal */
	int64_t shown_at; /* monotonic ms */
	uint64_t blobs, of_blobs, bytes, of_bytes; /* of blobs, done and in all */
	uint64_t lacking; /* missing or damaged */
};

/* Takes SIGTERM and SIGINT for transfer_goes_on(). */
[[nodiscard]] int transfer_init(struct transfer *ret, struct err *e);
void transfer_release(struct transfer *t);

/* A snapshot_progress_fn; arg is the transfer. False: a signal asks for the end. */
bool transfer_catalog(void *arg, uint64_t done, uint64_t of);
/* A rows_progress_fn, likewise. */
bool transfer_rows(void *arg, uint64_t rows);
/* Shows how far it is. 0, or ERR_CANCELLED after a signal. */
[[nodiscard]] int transfer_goes_on(struct transfer *t, struct err *e);
/* Takes the line of progress away. */
void transfer_clear(struct transfer *t);

/* The blobs and bytes that a snapshot refers to become what there is to do. */
[[nodiscard]] int transfer_count(struct transfer *t, struct snapshot *s, struct err *e);

/* GONE: there is no such blob. BAD: another size, another digest, or a disk does not give it. UNREADABLE: the object storage gives others, and this one not. */
enum blob_state { BLOB_GOOD, BLOB_GONE, BLOB_BAD, BLOB_UNREADABLE };

/* Opens a blob; with BLOB_GOOD *ret_fd is the caller's to close, and the size is the right one. */
[[nodiscard]] int transfer_open(struct blobs *b, const struct snapshot_blob *blob, int *ret_fd, enum blob_state *ret, struct err *e);
/* Reads all of it against its digest. */
[[nodiscard]] int transfer_check(struct transfer *t, int fd, const struct snapshot_blob *blob, enum blob_state *ret, struct err *e);
/* Copies it into a local store, not flushed; unless it is BLOB_GOOD, nothing is there afterwards. Errors are those of the target. */
[[nodiscard]] int transfer_copy(struct transfer *t, int fd, struct blobs *to, const struct snapshot_blob *blob, bool check,
				enum blob_state *ret, struct err *e);
/* Counts it as done; what is lacking is told on standard error, the first ones by name. */
void transfer_done(struct transfer *t, const struct snapshot_blob *blob, enum blob_state state);

#endif
