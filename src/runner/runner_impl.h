/* For the files of the runner itself: the method table of its kinds, and what they share. */
#ifndef FILEMILL_RUNNER_RUNNER_IMPL_H
#define FILEMILL_RUNNER_RUNNER_IMPL_H

#include "runner/runner.h"

/* The contracts are runner.h's; code and err of every job are cleared and `result` is empty when run() is called. */
struct runner_kind {
	void (*run)(struct runner *r, struct runner_job *jobs, size_t n, const struct runner_watch *watch);
	const struct seal_report *(*report)(const struct runner *r);
	void (*stats)(struct runner *r, struct runner_stats *ret);
	void (*free)(struct runner *r);
};

/* What every kind starts with. */
struct runner {
	const struct runner_kind *kind;
};

/* Ends a job: `code` is what err_…() returned for its err. */
void runner_job_end(struct runner_job *job, int code);
/* Ends every job of `jobs` that is still open (RUNNER_OPEN) with a copy of *e. */
void runner_jobs_end(struct runner_job *jobs, size_t n, const struct err *e);
/* What the watcher says; 0 when there is none. */
[[nodiscard]] int runner_may_go_on(const struct runner_watch *watch, struct err *e);

#define RUNNER_OPEN 1 /* in runner_job.code while there is no answer; never seen by callers */

#endif
