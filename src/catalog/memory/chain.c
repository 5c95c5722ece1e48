/* Jobs that come after other jobs. A job's predecessor stands before it in its file's list, so one pass over the list reaches a whole chain. */
#include "catalog/memory/memory.h"

#include <assert.h>
#include <string.h>

static bool held(const struct mem_job *j)
{
	return j->job.state == JOB_QUEUED && j->job.run_at == RUN_AT_HELD;
}

uint32_t mem_follow_end(struct mem *m, struct mem_file *f, int64_t now)
{
	uint32_t ready = 0;

	for (size_t i = 0; i < f->n_jobs; i++) {
		struct mem_job *j = f->jobs[i];
		const struct mem_job *before = held(j) ? mem_find_job(m, j->job.after) : NULL;

		if (!before || !job_state_final(before->job.state))
			continue;
		if (before->job.state == JOB_SUCCEEDED && before->job.n_outputs) {
			j->job.run_at = now;
			ready++;
		} else if (before->job.state == JOB_CANCELLED) {
			mem_end(m, j, JOB_CANCELLED, ERR_CANCELLED, STR("the job was cancelled"), now);
		} else {
			mem_end(m, j, JOB_FAILED, ERR_INPUT_FAILED, INPUT_FAILED_DETAIL, now);
		}
	}
	return ready;
}

void mem_hold_again(struct mem *m, struct mem_file *f)
{
	for (size_t i = 0; i < f->n_jobs; i++) {
		struct mem_job *j = f->jobs[i];
		const struct mem_job *before;

		if (j->expired_at || j->job.state != JOB_FAILED || j->job.error != ERR_INPUT_FAILED)
			continue;
		before = mem_find_job(m, j->job.after);
		if (before && !job_state_final(before->job.state))
			mem_queue_again(m, j, RUN_AT_HELD);
	}
}

/* ---- jobs that come into being ---- */

/* What the job works on: *ret_sha256 is NULL while that is not there yet. False: refused. */
static bool find_input(struct mem *m, struct change *ch, const struct mem_adding *add, size_t i, const uint8_t **ret_sha256)
{
	const struct job *job = &add->jobs[i], *before = NULL;
	const struct mem_job *row = mem_find_job(m, job->after);
	bool cancel = false, expired = false;

	for (size_t k = i; k > 0 && !before; k--)
		if (uuid_eq(add->jobs[k - 1].id, job->after))
			before = &add->jobs[k - 1];
	if (!before && row && str_eq(row->file->file.owner, add->owner)) {
		before = &row->job;
		cancel = row->cancel;
		expired = row->expired_at;
	}
	if (!before)
		change_refuse(ch, ERR_JOB_NOT_FOUND, "there is no job with the id in after");
	else if (!uuid_eq(before->file, job->file))
		change_other_file(ch);
	else if (expired)
		change_refuse(ch, ERR_JOB_GONE, JOB_EXPIRED_DETAIL);
	else if (!job_state_final(before->state) && !cancel)
		*ret_sha256 = NULL;
	else if (before->state == JOB_SUCCEEDED && before->n_outputs)
		*ret_sha256 = before->outputs[0].sha256;
	else
		change_not_ready(ch);
	return ch->code == 0;
}

bool mem_settle(struct mem *m, struct change *ch, const struct mem_adding *add, size_t i, const struct mem_file *f,
		const uint8_t sha256[32])
{
	struct job *job = &add->jobs[i];
	const struct mem_job *earlier = NULL;
	bool on_file = uuid_is_zero(job->after);

	job_settle_waiting(job);
	if (!on_file && !find_input(m, ch, add, i, &sha256))
		return false;
	if (!sha256) {
		job->run_at = RUN_AT_HELD;
		return true;
	}
	if (f && on_file)
		earlier = mem_done_here(m, f, job);
	if (!earlier && !job->own_name)
		earlier = mem_done_elsewhere(m, add->owner, job, sha256);
	if (!earlier)
		return true;
	job_settle_done(job);
	job->result = earlier->job.result;
	job->outputs = earlier->job.outputs;
	job->n_outputs = earlier->job.n_outputs;
	if (!add->arena)
		return true;
	if (job->result.p)
		job->result = arena_str(add->arena, job->result);
	if ((job->result.p || !earlier->job.result.p) && mem_copy_outputs(job, &earlier->job, add->arena))
		return true;
	change_refuse(ch, ERR_NO_MEMORY, "no memory for this change");
	return false;
}
