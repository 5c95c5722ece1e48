/* filemill backup and filemill restore. Whole commands: they tell their progress on standard error, and what was done as one line in `out`. */
#ifndef FILEMILL_APP_BACKUP_H
#define FILEMILL_APP_BACKUP_H

#include "base/buf.h"
#include "cli/settings.h"

struct backup_options {
	const char *target; /* the backup's folder */
	const char *version; /* of the program */
	bool verify; /* backup: read also what is not copied; restore: check digests */
	bool copy; /* backup: never give a second name */
	bool partial; /* restore: also when blobs are missing or damaged */
};

/* ERR_DAMAGED with a backup in place: some blobs are missing or damaged, in the data directory and in the earlier backup; all else is there. */
[[nodiscard]] int backup(struct buf *out, const struct settings *s, const struct backup_options *o, struct err *e);
[[nodiscard]] int restore(struct buf *out, const struct settings *s, const struct backup_options *o, struct err *e);

#endif
