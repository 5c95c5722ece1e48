/* The audit log on its way into a backup and out of it. */
#ifndef FILEMILL_APP_AUDIT_COPY_H
#define FILEMILL_APP_AUDIT_COPY_H

#include "base/err.h"
#include "catalog/audit_head.h"

/* Copies the log below `from`, of the data directory `own`, into the folder audit below `to`, up to `head` and no further, and flushes it; of a head that is another directory's, all that there is. What is there already in full stays. A file that is missing is told on
 * standard error and is no failure: the copy is then as broken as the log is. */
[[nodiscard]] int audit_copy(int from, int to, const struct audit_head *head, struct uuid own, struct err *e);
/* Into the catalogue of a directory that is being restored: that it was, from what. */
[[nodiscard]] int restore_note(const char *data_dir, int64_t made_at, uint64_t lacking, struct err *e);

#endif
