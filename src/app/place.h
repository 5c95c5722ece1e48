/* The folder of a backup.
 *
 *	backup.id       whose backup it is: the data directory's id. There before anything else, and locked by whoever works here
 *	manifest.json   what the backup is: written last, so that there is none without a whole backup
 *	catalog.db      the snapshot
 *	blobs/          as in the data directory
 *	audit/          the audit log up to where it was confirmed in the snapshot
 *
 * A next backup is written beside the last one, as catalog.new.db and manifest.new.json, and takes its place by two renames. Between the two the new manifest is the one that fits the
 * catalogue: a manifest holds when it has the catalogue's SHA-256. Blobs of the last backup go only after that. So there is a whole backup at every moment after the first. */
#ifndef FILEMILL_APP_PLACE_H
#define FILEMILL_APP_PLACE_H

#include "base/err.h"
#include "base/uuid.h"
#include "catalog/audit_head.h"

#include <stdbool.h>
#include <stdint.h>

#define PLACE_CATALOG "catalog.db"
#define PLACE_CATALOG_NEW "catalog.new.db"

struct manifest {
	struct uuid data_id;
	int64_t made_at; /* Unix ms */
	char version[40]; /* of the program */
	int64_t schema;
	uint8_t catalog_sha256[32];
	uint64_t catalog_bytes;
	uint64_t files, jobs; /* rows */
	uint64_t blobs, blob_bytes; /* that the catalogue refers to */
	struct audit_head audit; /* where the audit log stood: its line and hash */
	uint64_t lacking; /* of these, how many are not here, because they were missing or damaged when it was made */
};

struct place {
	const char *path; /* borrowed */
	int fd, id_fd, blobs_fd;
	bool whole; /* there is a backup, and `manifest` is its own */
	bool damaged; /* there is a manifest, and it is not that of the catalogue */
	struct manifest manifest;
};

#define PLACE_INIT ((struct place){.fd = -1, .id_fd = -1, .blobs_fd = -1})

/* Makes the folder (not its parents) or takes an empty one, or one with an earlier backup of the same data directory. ERR_CONFLICT when it is something else,
 * ERR_IN_USE when somebody is at work there. What an interrupted backup left of its catalogue is gone afterwards; its blobs stay. */
[[nodiscard]] int place_open_backup(struct place *ret, const char *path, struct uuid data_id, struct err *e);
/* For reading. ERR_DAMAGED when there is no whole backup. */
[[nodiscard]] int place_open_restore(struct place *ret, const char *path, struct err *e);
/* The new catalogue and its blobs are there and flushed: they are the backup from now on. */
[[nodiscard]] int place_put(struct place *p, const struct manifest *m, struct err *e);
/* Without the half-made new catalogue. False: there was none, or it is in its place already. */
bool place_forget_new(struct place *p);
void place_close(struct place *p);

/* A file of the folder by its full name; the caller frees it. NULL: no memory. */
char *place_path(const struct place *p, const char *name);
/* ERR_NOT_FOUND. */
[[nodiscard]] int place_sha256(int dir_fd, const char *name, uint8_t ret[32], uint64_t *ret_bytes, struct err *e);

#endif
