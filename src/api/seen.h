/* Files, jobs and keys as they are read: what is the caller's own, or, by operators, whoever's it is. Where the answer is a problem, it is given here too.
 * All of them may block on the catalogue: pool threads only, or what front_read() calls. */
#ifndef FILEMILL_API_SEEN_H
#define FILEMILL_API_SEEN_H

#include "front/front.h"

enum seen_by { SEEN_BY_OWNER, SEEN_BY_OPERATOR };

/* {id}'s, with the progress of what runs. ERR_BAD_ID, ERR_FILE_NOT_FOUND, ERR_JOB_NOT_FOUND, …_GONE. */
[[nodiscard]] int seen_file(struct http_request *r, enum seen_by by, struct file *ret, struct err *e);
[[nodiscard]] int seen_job(struct http_request *r, enum seen_by by, struct job *ret, struct err *e);
/* As JSON; operators are told whose it is. */
void seen_reply_file(struct http_request *r, enum seen_by by, int status, const struct file *f);
void seen_reply_job(struct http_request *r, enum seen_by by, int status, const struct job *job);

/* Lists by the query's filters (asked.h), and by `owner` for operators. */
void seen_list_files(struct http_request *r, enum seen_by by);
void seen_list_jobs(struct http_request *r, enum seen_by by);
/* scope: what the cursor is bound to, by list_scope(). */
void seen_list_keys(struct http_request *r, const struct buf *scope, struct uuid account);

/* The bytes of the file {id}, of output {n} of the job {id}. */
void seen_content(struct http_request *r, enum seen_by by);
void seen_output(struct http_request *r, enum seen_by by);

#endif
