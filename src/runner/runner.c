/* What is the same for every kind of runner: checks of what callers bring, and the way into the kind. */
#include "runner/runner.h"

#include "runner/runner_impl.h"

#include <assert.h>

void runner_free(struct runner *r)
{
	if (r)
		r->kind->free(r);
}

const struct seal_report *runner_report(const struct runner *r)
{
	return r->kind->report(r);
}

void runner_stats(struct runner *r, struct runner_stats *ret)
{
	r->kind->stats(r, ret);
}

void runner_run(struct runner *r, struct runner_job *jobs, size_t n, const struct runner_watch *watch)
{
	assert(n > 0 && n <= RUNNER_BATCH_MAX);
	for (size_t i = 0; i < n; i++) {
		assert(jobs[i].op && (n == 1 || !jobs[i].output));
		assert(jobs[i].input_fd >= 0 || jobs[i].input.len == jobs[i].size);
		jobs[i].code = RUNNER_OPEN;
		jobs[i].err = ERR_INIT;
		jobs[i].output_size = 0;
		buf_reset(&jobs[i].result);
	}
	r->kind->run(r, jobs, n, watch);
	for (size_t i = 0; i < n; i++)
		assert(jobs[i].code <= 0);
}

void runner_job_end(struct runner_job *job, int code)
{
	assert(code <= 0);
	job->code = code;
}

void runner_jobs_end(struct runner_job *jobs, size_t n, const struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		if (jobs[i].code != RUNNER_OPEN)
			continue;
		jobs[i].err = *e;
		runner_job_end(&jobs[i], e->code);
	}
}

int runner_may_go_on(const struct runner_watch *watch, struct err *e)
{
	return watch && watch->may_go_on ? watch->may_go_on(watch->arg, e) : 0;
}
