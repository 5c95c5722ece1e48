/* The bytes of a move: passes over all that a catalogue refers to. Blobs never change, so a pass may be made beside a running server; each brings what came since the last one, and one that
 * is made while nothing is written has brought all. */
#ifndef FILEMILL_APP_MOVE_BLOBS_H
#define FILEMILL_APP_MOVE_BLOBS_H

#include "app/blob_set.h"
#include "blobs/blobs.h"
#include "catalog/catalog.h"

#include <stdbool.h>
#include <stdint.h>

struct move_blobs {
	struct catalog *catalog; /* what refers to them; borrowed, like the stores */
	struct blobs *from, *to; /* from NULL: both catalogues have the same store, and nothing is to be brought */
	unsigned threads;
	bool shown; /* standard error is a terminal */
	struct blob_set there; /* in the target, whole */
	struct blob_set wanted; /* that the last pass found referred to */
	uint64_t copied, copied_bytes, kept; /* kept: there before this run, and looked at or known to be whole */
	uint64_t blobs, bytes; /* of the last pass */
	uint64_t lacking; /* of these, missing or damaged in the source, and said to be so by the catalogue */
	int64_t shown_at;
};

/* What an earlier run has brought. */
[[nodiscard]] int move_blobs_begin(struct move_blobs *m, struct err *e);
/* One pass. `last`: nothing is written meanwhile, so what is missing is lost, unless the catalogue says so (ERR_DAMAGED); otherwise it may have been removed. *ret_copied: by this pass. */
[[nodiscard]] int move_blobs_pass(struct move_blobs *m, bool last, uint64_t *ret_copied, struct err *e);
/* After the last pass: what was brought and is not referred to any more goes, and all that is referred to is there, of the right size; flushed. */
[[nodiscard]] int move_blobs_end(struct move_blobs *m, struct err *e);
void move_blobs_release(struct move_blobs *m);

#endif
