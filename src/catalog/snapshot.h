/* Snapshots: what a SQLite catalogue was at one moment, in a file that nobody writes. Made beside a running server, looked through afterwards. For backups.
 * All functions block on disk; a snapshot is used by one thread at a time. */
#ifndef FILEMILL_CATALOG_SNAPSHOT_H
#define FILEMILL_CATALOG_SNAPSHOT_H

#include "base/err.h"
#include "base/str.h"
#include "catalog/audit_head.h"

#include <stdbool.h>
#include <stdint.h>

struct snapshot;

/* Called now and then with the pages that are done; false: stop, with ERR_CANCELLED. */
typedef bool snapshot_progress_fn(void *arg, uint64_t done, uint64_t of);
/* Copies the catalogue that lies in the directory `dir` into the file `to`, as it is at one moment; other processes may go on writing it. `to` is new or overwritten,
 * flushed at the end, and without a log beside it; its name in its directory is the caller's to flush. The catalogue itself is only read: no checkpoint, no migration.
 * ERR_DAMAGED (also when there is none), ERR_SCHEMA_NEWER, ERR_CATALOG_UNAVAILABLE (locked by something else), ERR_STORAGE_FULL, ERR_IO. */
[[nodiscard]] int catalog_sqlite_backup(const char *dir, const char *to, snapshot_progress_fn *progress, void *arg, struct err *e);

/* How far the audit log of the catalogue in `dir` has come; zero when it is of a time before there was one. Beside a running server or without one; nothing is changed. */
[[nodiscard]] int catalog_sqlite_audit_head(const char *dir, struct audit_head *ret, struct err *e);

/* Opens one that nobody changes as long as it is open. Leaves nothing beside it, so the place may be read-only. ERR_DAMAGED, ERR_SCHEMA_NEWER, ERR_IO. */
[[nodiscard]] int snapshot_open(struct snapshot **ret, const char *path, struct err *e);
void snapshot_close(struct snapshot *s); /* NULL is fine */

struct snapshot_counts {
	int64_t schema;
	uint64_t files, jobs; /* files that were not deleted; jobs of all files whose rows are there */
};
[[nodiscard]] int snapshot_counts(struct snapshot *s, struct snapshot_counts *ret, struct err *e);
/* As catalog_sqlite_audit_head(). */
[[nodiscard]] int snapshot_audit_head(struct snapshot *s, struct audit_head *ret, struct err *e);
/* Looks at every page and index; ERR_DAMAGED with the first finding. */
[[nodiscard]] int snapshot_check(struct snapshot *s, struct err *e);

/* A blob that rows refer to. */
struct snapshot_blob {
	struct str name; /* in the store; valid during the call only */
	uint64_t size;
	uint8_t sha256[32];
	bool damaged; /* a row that refers to it says so; never in schemas before 3 */
};
/* Every blob once; visit returns 0 to go on, and what else it returns ends the walk and is returned. A name that is none is told like the others. */
[[nodiscard]] int snapshot_blobs(struct snapshot *s, int (*visit)(void *arg, const struct snapshot_blob *blob), void *arg, struct err *e);
/* As catalog_blob_referenced(). */
[[nodiscard]] int snapshot_refers(struct snapshot *s, struct str blob, bool *ret, struct err *e);

#endif
