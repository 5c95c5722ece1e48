/* How far a child says it is. It may lie: then a number is wrong for a while, and nothing else. What cannot be right, or comes so often that it costs something, ends it. */
#include "runner/sealed_impl.h"

#include <string.h>

static int misbehaved(struct err *e, const char *what)
{
	return err_set(e, ERR_RUNNER_MISBEHAVED, "the process of the op %s", what);
}

/* A process that keeps to the pause is never refused, however long it runs. */
static bool too_many(const struct drive *d)
{
	int64_t pauses = (sealed_now_ms() - d->began_ms) / (RUNNER_PROGRESS_MS / 2);

	return d->progresses > pauses + RUNNER_PROGRESS_BURST;
}

int progress_take(struct drive *d, const char *message, size_t len, struct err *e)
{
	struct runner_progress p;

	if (len < sizeof(p.magic))
		return 0;
	memcpy(&p.magic, message, sizeof(p.magic));
	if (p.magic != RUNNER_PROGRESS)
		return 0;
	if (len != sizeof(p))
		return misbehaved(e, "told its progress in a message of a wrong length");
	memcpy(&p, message, sizeof(p));
	if (p.permille > 1000)
		return misbehaved(e, "claims to have done more than all");
	if (p.serial < d->serial + d->answered || p.serial >= d->serial + d->n)
		return misbehaved(e, "told its progress in what was not asked");
	d->progresses++;
	if (too_many(d))
		return misbehaved(e, "told its progress too often");
	size_t job = (size_t)(p.serial - d->serial);
	if (job < d->progress_of) /* they are worked on in their order */
		return misbehaved(e, "told the progress of a job it had left behind");
	if (job == d->progress_of && p.permille <= d->permille)
		return 1;
	d->progress_of = job;
	d->permille = p.permille;
	if (d->jobs[job].progress != NULL)
		d->jobs[job].progress(d->jobs[job].progress_arg, p.permille);
	return 1;
}
