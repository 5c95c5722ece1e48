/* What api and surfaces share: the way from a request to the engine and back. Nothing here knows an address.
 *
 * One struct front serves one HTTP server; it is what http_app() gives. It outlives the server. */
#ifndef FILEMILL_FRONT_FRONT_H
#define FILEMILL_FRONT_FRONT_H

#include "base/err.h"
#include "engine/engine.h"
#include "front/nobody.h"
#include "http/http.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct limits;
struct surface_options;
struct watchers;

struct front {
	struct engine *engine; /* borrowed */
	struct nobody nobody;
	struct watchers *watchers; /* of watchers.h; NULL = nobody is remembered; borrowed; set after front_init() */
	struct limits *limits; /* of limits.h; NULL = none; borrowed; set after front_init() */
	uint64_t file_max; /* bytes of one file */
	int64_t started_ms; /* wall clock */
	const char *version;
	const struct surface_options *surfaces; /* of surfaces/, opaque here; borrowed; set after front_init() where one is served */
	const char *links_base_url; /* what links begin with; "" = as the request was sent; borrowed, set after front_init() */
	bool anonymous; /* callers without credentials are taken though there are accounts; set after front_init() */
	_Atomic int64_t stamp_us; /* the newest front_stamp_us() */

	_Atomic bool stopping; /* new work is refused; what runs goes on */
	_Atomic unsigned uploads; /* being received or waiting for their commit */
	pthread_mutex_t lock; /* with `idle` only: nobody takes it while the server is not stopping */
	pthread_cond_t idle; /* uploads became 0 while stopping; CLOCK_MONOTONIC */
};

void front_init(struct front *f, struct engine *engine, uint64_t file_max, const char *version);
void front_release(struct front *f);

/* From now on new work gets ERR_SHUTTING_DOWN and readiness is false. Any thread. */
void front_stop(struct front *f);
/* After front_stop(): waits until no upload is under way, for at most grace_ms. True when none is. */
bool front_wait_uploads(struct front *f, int64_t grace_ms);
/* Every upload counts itself in and out again. Any thread. */
void front_upload_begins(struct front *f);
void front_upload_ended(struct front *f);

struct front *front_of(const struct http_request *r);
struct engine *front_engine(const struct http_request *r);
struct catalog *front_catalog(const struct http_request *r);
/* Whose files this caller sees. */
struct str front_owner(const struct http_request *r);

/* For the audit log: who asks. Borrowed from the request. */
struct audit_by front_by(const struct http_request *r);

int64_t front_now(const struct http_request *r); /* Unix time in milliseconds, by the engine's clock */
/* Unix time in microseconds that no other call of this server gets; it never goes back while the server runs. Any thread. */
int64_t front_stamp_us(const struct http_request *r);

/* The {id} of the path. ERR_BAD_ID. */
[[nodiscard]] int front_id(struct http_request *r, struct uuid *ret, struct err *e);
/* ERR_SHUTTING_DOWN while the server stops: asked before work is taken on. */
[[nodiscard]] int front_takes_work(struct http_request *r, struct err *e);
/* An answer for a failure whose struct err may not have been filled. */
void front_problem(struct http_request *r, int code, struct err *e);

/* Retry-After, where trying again makes sense: as the error says, else what is usual for its code; a refusal is counted. Before any answer to it but front_problem(), which does the same. */
void front_say_when(struct http_request *r, const struct err *e);

/* All jobs of the file have their final state. */
bool front_jobs_final(const struct file *f);
/* The newest job of this op that succeeded, else the newest of this op; NULL when there is none. */
const struct job *front_job_of(const struct file *f, struct str op);
/* The text of the member `name` in a digest job's result such as {"md5":"…"}; p NULL when it is not there. */
struct str front_result_text(const struct job *job, const char *name);

#endif
