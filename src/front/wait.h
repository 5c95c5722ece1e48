/* Answers that are held until jobs are final: `?wait=` and `Prefer: wait=` (RFC 7240). */
#ifndef FILEMILL_FRONT_WAIT_H
#define FILEMILL_FRONT_WAIT_H

#include "front/hop.h"

#define WAIT_MAX_S 60

/* What the caller asks for; 0 = no wait. `?wait=` must be 0 to 60 (ERR_BAD_PARAMETER); a preference that is no number is ignored, a longer one shortened, as RFC 7240
 * allows, and Preference-Applied says so. */
[[nodiscard]] int wait_wanted(struct http_request *r, int64_t *ret_ms, struct err *e);
/* Runs `then` on a pool thread when all jobs of the file are final, time is over, or the server stops. `then` reads anew and answers. */
void wait_for_file(struct http_request *r, struct uuid file, int64_t wait_ms, front_work *then);
/* The same for one job; the file's others do not matter. */
void wait_for_job(struct http_request *r, const struct job *job, int64_t wait_ms, front_work *then);

#endif
