#include "catalog/tables.h"

#include <string.h>

struct ending ending_cancelled(int64_t now)
{
	return (struct ending){.state = JOB_CANCELLED, .error = ERR_CANCELLED, .detail = STR("the job was cancelled"), .finished_at = now};
}

void task_given_back(struct task *t, const struct change_finish *f)
{
	if (f->retry_at > 0)
		t->run_at = f->retry_at;
	if (f->give_back)
		t->attempt--;
	t->refused = f->give_back && f->refused ? t->refused + 1 : f->give_back ? t->refused : 0;
}

bool task_taken_back(struct task *t, struct change_reclaim *r, struct ending *ret_end)
{
	t->fence++;
	t->losses++;
	if (t->cancel) {
		*ret_end = ending_cancelled(r->now);
		return false;
	}
	if (t->losses < LOSSES_MAX) {
		r->reclaimed++;
		return true;
	}
	r->quarantined++;
	*ret_end = (struct ending){.state = JOB_QUARANTINED,
				   .error = ERR_WORKER_LOST,
				   .detail = STR("the worker died over this job, time and again"),
				   .finished_at = r->now};
	return false;
}

int job_input_from_list(struct change *ch, const struct job *before, const struct job *job, struct job_input *ret)
{
	if (!uuid_eq(before->file, job->file))
		return change_other_file(ch);
	if (before->state == JOB_QUEUED)
		ret->held = true;
	else if (before->state == JOB_SUCCEEDED && before->n_outputs)
		memcpy(ret->sha256, before->outputs[0].sha256, sizeof(ret->sha256));
	else
		return change_not_ready(ch);
	return 0;
}
