/* What requests of several routes ask for alike: filters of lists, a place among outputs. */
#ifndef FILEMILL_API_ASKED_H
#define FILEMILL_API_ASKED_H

#include "front/front.h"

/* `?owner=`, an operator's question: an account's id or `public`; absent: OWNER_ANY. ERR_BAD_PARAMETER. */
[[nodiscard]] int asked_owner(struct http_request *r, struct str *ret, struct err *e);
/* The same of a text that came elsewhere; p NULL = absent. */
[[nodiscard]] int asked_owner_of(struct str text, struct str *ret, struct err *e);
/* `?state=`, `?name=`, `?label=`; and, where the route knows them, `?sha256=` in hex. ERR_BAD_PARAMETER, ERR_BAD_ID. */
[[nodiscard]] int asked_files(struct http_request *r, struct str owner, struct file_filter *ret, struct err *e);
/* `?state=`, `?op=`, `?file=`. */
[[nodiscard]] int asked_jobs(struct http_request *r, struct str owner, struct job_filter *ret, struct err *e);
/* A state of jobs by its name, -1 when p is NULL. ERR_BAD_PARAMETER with the field. */
[[nodiscard]] int asked_state(struct str name, int *ret, struct err *e);
/* {n} as a place in the job's outputs. ERR_BAD_PARAMETER when it is no whole number, ERR_OUTPUT_NOT_FOUND when there are fewer. */
[[nodiscard]] int asked_output(struct http_request *r, const struct job *job, const struct output **ret, struct err *e);

#endif
