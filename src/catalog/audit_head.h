#ifndef FILEMILL_CATALOG_AUDIT_HEAD_H
#define FILEMILL_CATALOG_AUDIT_HEAD_H

#include "base/uuid.h"

#include <stdbool.h>
#include <stdint.h>

/* How far the audit log has been written and flushed: its last line, and where that ends. Zero but for `file` before the first. */
struct audit_head {
	int64_t seq; /* of the line; lines are numbered from 1 */
	uint8_t hash[32]; /* its own */
	int64_t file; /* the number of the first line of the file it stands in */
	uint64_t size; /* bytes of that file up to its end */
	struct uuid
		home; /* the data directory whose log has it, where nodes have one each; zero: the catalogue has only one, or nobody said */
};

/* Whether the last line is in the log of another data directory than `own`. */
static inline bool audit_head_elsewhere(const struct audit_head *h, struct uuid own)
{
	return !uuid_is_zero(h->home) && !uuid_eq(h->home, own);
}

#endif
