/* Job requests in JSON, one or many, into the change that queues them. */
#ifndef FILEMILL_API_JOB_REQUEST_H
#define FILEMILL_API_JOB_REQUEST_H

#include "catalog/catalog.h"
#include "front/front.h"
#include "rt/json_in.h"

#define JOBS_A_REQUEST_MAX 1000
#define MAX_ATTEMPTS_MAX 100

/* {"op","params","priority","run_at","max_attempts"} for the file given. */
[[nodiscard]] int job_request_one(struct http_request *r, json_t *body, struct uuid file, struct change_add_jobs *ret, struct err *e);
/* {"jobs":[{"file","op",…}…]}. Errors name the member as jobs/<index>/<name>. */
[[nodiscard]] int job_request_many(struct http_request *r, json_t *body, struct change_add_jobs *ret, struct err *e);

#endif
