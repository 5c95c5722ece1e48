/* The bytes of a backup: every blob that its snapshot refers to is brought, unless it is there already. */
#ifndef FILEMILL_APP_BACKUP_BYTES_H
#define FILEMILL_APP_BACKUP_BYTES_H

#include "app/transfer.h"
#include "blobs/blobs.h"
#include "catalog/snapshot.h"

#include <stdbool.h>
#include <stdint.h>

struct backup_bytes {
	struct blobs *from, *to; /* borrowed, as what follows */
	struct snapshot *last; /* of the earlier backup, NULL = none that is whole */
	struct transfer *transfer;
	bool verify; /* read also what is not copied */
	bool link; /* give second names instead of copies, until it turns out that it cannot be done */
	uint64_t copied, linked, kept; /* so far */
};

/* Not flushed. What is missing or damaged is counted by the transfer and told; other errors end it. */
[[nodiscard]] int backup_bytes_bring(struct backup_bytes *b, struct snapshot *now, struct err *e);

#endif
