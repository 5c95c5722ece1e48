/* hash-tasks' log file: one line for every finished md5 job, in a plain file that several nodes may share. */
#ifndef FILEMILL_SURFACES_HASH_LOG_H
#define FILEMILL_SURFACES_HASH_LOG_H

#include "base/buf.h"
#include "model/model.h"

/* PENDING, SUCCESS or ERROR, and what goes with it: the hash, the error's text, or p NULL while pending. Borrowed from the job. */
const char *hash_task_status(const struct job *job);
struct str hash_task_result(const struct job *job);

/* `<time> <task id> <status> <result or error>` and a line end; no other control characters. */
void hash_log_line(struct buf *out, const struct job *job);

/* An engine_outbox_fn; arg is the file's path. Other ops than md5 are nothing to it. 0: the line is in the file and flushed. Else nothing was left in it, and the engine keeps the
 * line and calls again. Blocks for at most a second. */
int hash_log_deliver(void *path, const struct job *job);

#endif
