/* Job requests in JSON, one or many, into the change that queues them. */
#ifndef FILEMILL_API_JOB_REQUEST_H
#define FILEMILL_API_JOB_REQUEST_H

#include "catalog/catalog.h"
#include "front/front.h"
#include "rt/json_in.h"

#define JOBS_A_REQUEST_MAX 1000
#define MAX_ATTEMPTS_MAX OP_ATTEMPTS_MAX

/* {"op","params","after","priority","run_at","max_attempts"} for the file given, or {"pipeline","priority","run_at","max_attempts"}: then *ret_pipeline, and as many jobs as
 * the pipeline has. */
[[nodiscard]] int job_request_one(struct http_request *r, json_t *body, struct uuid file, struct change_add_jobs *ret, bool *ret_pipeline,
				  struct err *e);
/* {"jobs":[{"file","op" or "pipeline",…}…]}; `after` may also be the place of an earlier element in the list, from 0. Errors name the member as jobs/<index>/<name>.
 * *ret_element: for each job the element that asked for it, in the request's arena. */
[[nodiscard]] int job_request_many(struct http_request *r, json_t *body, struct change_add_jobs *ret, const size_t **ret_element,
				   struct err *e);

#endif
