/* The mill: runs the jobs of a work on a job thread. Inputs are opened, the runner does the rest in a sealed process, and what became of each job is handed in.
 *
 * The normal course is one runner_run() for all jobs. When a client cancels one of several, the runner ends them all; those nobody cancelled run again in another round. */
#include "engine/engine_impl.h"
#include "rt/log.h"
#include "rt/metrics.h"

#include <stdlib.h>
#include <string.h>

#define STORE_TRIES_MAX 24 /* times in a row that the store may refuse a job's output: most of a day */
#define AWAY_PAUSE_MS 1000
#define SEALED_PAUSE_MS 60000 /* it takes nothing before a restart */

/* One runner_run(). */
struct round {
	struct work *w;
	struct mill_input input;
	struct runner_job *run; /* n */
	struct work_job *of[RUNNER_BATCH_MAX];
	size_t n;
};

/* ---- what became of a job ---- */

static void succeed(struct work *w, struct work_job *j)
{
	struct change_finish f = {.state = JOB_SUCCEEDED};
	struct mill_output *o = w->output;
	struct err e = ERR_INIT;

	if (!buf_ok(&j->result)) {
		err_set(&e, ERR_NO_MEMORY, "no memory for a result");
		work_fail(w, j, ERR_NO_MEMORY, &e);
		return;
	}
	if (j->result.len > 0)
		f.result = buf_str(&j->result);
	if (o != NULL) {
		f.outputs = &o->row;
		f.n_outputs = 1;
	}
	work_finish(w, j, f);
}

/* The store's trouble is not the op's fault, so no attempt is counted. But an output that finds no room fills what there is each time it is tried, and one that is larger than the disk will
 * find none for ever: so the pauses grow, and end. */
void mill_store_failed(struct work *w, struct work_job *j, const struct err *e)
{
	log_err(LOG_WARN, "output_not_stored", e);
	if (blobs_sealed(w->g->blobs))
		work_give_back(w, j, SEALED_PAUSE_MS);
	else if (e->code == ERR_STORAGE_UNAVAILABLE)
		work_give_back(w, j, AWAY_PAUSE_MS);
	else if (j->claimed->job.refused + 1 < STORE_TRIES_MAX)
		work_refused(w, j, e);
	else
		work_give_up(w, j, e);
}

void mill_conclude(struct work *w, struct work_job *j, int code, const struct err *e)
{
	switch (code) {
	case 0:
		succeed(w, j);
		break;
	case ERR_CANCELLED:
		if (atomic_load(&j->cancelled))
			work_finish(w, j, (struct change_finish){.state = JOB_CANCELLED, .error = ERR_CANCELLED});
		break;
	case ERR_INPUT_GONE:
		work_finish(w, j, (struct change_finish){.state = JOB_CANCELLED, .error = code});
		break;
	case ERR_SHUTTING_DOWN:
	case ERR_STALE:
		/* neither says anything about the job; if another worker holds it by now, the fence refuses this */
		work_give_back(w, j, 0);
		break;
	case ERR_CATALOG_UNAVAILABLE: /* nor is it the op's fault that its input cannot be read now */
	case ERR_STORAGE_UNAVAILABLE:
		work_give_back(w, j, AWAY_PAUSE_MS);
		break;
	case ERR_STORAGE_FULL: /* its input, from an object storage, finds no room on this node's disk */
	case ERR_STORAGE_READONLY:
		if (j->claimed->job.refused + 1 < STORE_TRIES_MAX)
			work_refused(w, j, e);
		else
			work_give_up(w, j, e);
		break;
	case ERR_OVERLOADED: /* descriptors or processes are short here, on this side */
	case ERR_RUNNER_UNAVAILABLE:
		scheduler_runner_unavailable(w->g, e);
		work_give_back(w, j, 0);
		break;
	default:
		work_fail(w, j, code, e);
	}
}

/* ---- one round ---- */

static void came_on(void *arg, unsigned permille)
{
	struct work_job *j = arg;

	atomic_store(&j->progress, permille); /* told by may_go_on() */
}

static int prepare(struct round *r, struct work_job *j, struct runner_job *run, struct err *e)
{
	struct work *w = r->w;
	const struct claimed *c = j->claimed;

	if (j->op == NULL || j->op->kind == OP_CONNECTOR)
		return err_set(e, ERR_UNKNOWN_OP, "this server has no such op");
	*run = (struct runner_job){.op = j->op, .params = c->job.params, .name = c->name, .result = BUF_INIT, .err = ERR_INIT};
	memcpy(run->sha256, c->sha256, sizeof(run->sha256));
	run->progress = came_on;
	run->progress_arg = j;
	if (j->op->output) {
		int rc = mill_output_new(&w->output, w->g, c, 0, e);
		if (rc != 0)
			return rc;
		run->output = mill_output_write;
		run->output_arg = w->output;
	}
	return mill_input_open(&r->input, c, run, e);
}

static size_t inline_bytes(const struct work *w)
{
	size_t bytes = 0;

	for (size_t i = 0; i < w->n; i++)
		if (!w->jobs[i].ended && w->jobs[i].claimed->blob.p == NULL)
			bytes += w->jobs[i].claimed->size;
	return bytes;
}

/* Takes those that are still to run; ends those that cannot. */
static void gather(struct round *r)
{
	struct work *w = r->w;

	mill_input_reserve(&r->input, inline_bytes(w));
	for (size_t i = 0; i < w->n; i++) {
		struct work_job *j = &w->jobs[i];
		struct err e = ERR_INIT;
		int rc = 0;

		if (j->ended)
			continue;
		j->started_at = engine_now(w->g);
		atomic_store(&j->progress, 0);
		if (atomic_load(&j->cancelled))
			rc = ERR_CANCELLED;
		if (rc == 0)
			rc = prepare(r, j, &r->run[r->n], &e);
		if (rc == 0)
			r->of[r->n++] = j;
		else
			mill_conclude(w, j, rc, &e);
	}
}

/* Asked many times a second: also when readers of events are told what is new of the jobs. */
static int may_go_on(void *arg, struct err *e)
{
	int rc = work_may_go_on(arg, e);

	if (rc == 0)
		events_tell_progress(arg);
	return rc;
}

/* Before the end is handed in: from then on the output is the committer's. */
static void drop_output(struct work *w)
{
	if (w->output == NULL)
		return; /* nothing is written: of a batch, other jobs may be the committer's already */
	mill_output_free(w->output);
	w->output = NULL;
}

/* What comes after a round: another one for jobs that have no end yet, the flush of the one output, or nothing. */
enum next { ROUND_AGAIN, ROUND_STORE, ROUND_DONE };

static enum next conclude_run(struct work *w, struct work_job *j, struct runner_job *run)
{
	buf_release(&j->result);
	j->result = run->result; /* taken */
	if (run->code == 0 && w->output != NULL)
		/* else the runner began anew after a child had died half-way: what was written is of two beginnings */
		return w->output->size == run->output_size ? ROUND_STORE : ROUND_AGAIN;
	bool store = w->output != NULL && w->output->code != 0 && w->output->code == run->code;
	drop_output(w);
	if (store)
		mill_store_failed(w, j, &run->err);
	else
		mill_conclude(w, j, run->code, &run->err);
	return j->ended ? ROUND_DONE : ROUND_AGAIN;
}

static enum next run_round(struct work *w)
{
	struct round r = {.w = w, .input = {.g = w->g, .bytes = BUF_INIT}};
	const struct runner_watch watch = {.may_go_on = may_go_on, .arg = w};
	enum next next = ROUND_DONE;
	struct err e = ERR_INIT;

	atomic_store(&w->cancelled, false); /* before the jobs are looked at one by one */
	drop_output(w);
	int rc = work_may_go_on(w, &e);
	r.run = rc == 0 ? calloc(w->n, sizeof(*r.run)) : NULL;
	if (rc == 0 && r.run == NULL)
		rc = err_set(&e, ERR_NO_MEMORY, "no memory to run jobs");
	if (rc == 0)
		gather(&r);
	if (r.n > 0) {
		mill_input_ready(&r.input, r.run);
		runner_run(w->g->config.runner, r.run, r.n, &watch);
	}
	mill_input_release(&r.input, r.run);
	for (size_t i = 0; i < r.n; i++) {
		enum next n = conclude_run(w, r.of[i], &r.run[i]);
		next = n < next ? n : next;
	}
	free(r.run);
	for (size_t i = 0; rc != 0 && i < w->n; i++) {
		if (!w->jobs[i].ended)
			mill_conclude(w, &w->jobs[i], rc, &e);
		next = w->jobs[i].ended ? next : ROUND_AGAIN;
	}
	return next;
}

/* The output is flushed on a thread that may wait for the disk, while the job thread goes on with the next job. */
static void store_run(struct pool_task *t)
{
	struct work *w = CONTAINER_OF(t, struct work, task);
	struct work_job *j = &w->jobs[0];
	struct engine *g = w->g;
	struct err e = ERR_INIT;
	int rc = mill_output_finish(w->output, j->claimed, j->op, &w->arena, &e);

	if (rc == 0)
		rc = mill_output_commit(w->output, &e);
	bool store = rc != 0 && w->output->code == rc;

	w->task.run = mill_run;
	w->task.slow = false;
	if (rc != 0)
		drop_output(w);
	if (store)
		mill_store_failed(w, j, &e);
	else
		mill_conclude(w, j, rc, &e);
	work_release(w);
	atomic_fetch_sub(&g->storing, 1);
}

/* Takes the caller's reference. Clients need those threads too: when half of them are busy with outputs, the job thread waits for the disk itself. */
static void store(struct work *w)
{
	struct engine *g = w->g;

	w->task.run = store_run;
	w->task.slow = true;
	if (atomic_fetch_add(&g->storing, 1) < g->config.io_threads / 2)
		pool_submit(g->io, &w->task);
	else
		store_run(&w->task);
}

/* The work was done before, by a job that ended: its result is this one's too. */
static bool done_before(struct work *w)
{
	struct work_job *j = &w->jobs[0];
	const struct claimed *c = j->claimed;
	struct uuid same;

	if (w->n != 1 || w->own || j->op == NULL || (j->op->kind != OP_SEALED && j->op->kind != OP_COMMAND))
		return false;
	if (j->op->named) /* what was done on this very file was found when the job was added */
		return false;
	if (catalog_artifact(w->g->catalog, c->owner, c->job.op, c->job.op_version, c->job.params, c->sha256, &same, NULL) != 0 ||
	    uuid_is_zero(same))
		return false;
	j->started_at = engine_now(w->g);
	work_finish(w, j, (struct change_finish){.state = JOB_SUCCEEDED, .same_as = same});
	return true;
}

void mill_run(struct pool_task *t)
{
	struct work *w = CONTAINER_OF(t, struct work, task);
	struct engine *g = w->g;
	int64_t began = engine_mono(g);
	size_t n = w->n;

	scheduler_room(g); /* one less waits for a thread */
	if (atomic_load(&g->scheduler.resting)) { /* it was claimed and has not begun */
		for (size_t i = 0; i < n; i++)
			if (!w->jobs[i].ended)
				work_give_back(w, &w->jobs[i], 0);
		work_release(w);
		return;
	}
	enum next next = done_before(w) ? ROUND_DONE : ROUND_AGAIN;
	while (next == ROUND_AGAIN)
		next = run_round(w);
	if (next == ROUND_STORE)
		store(w);
	else
		work_release(w);
	for (int64_t us = (engine_mono(g) - began) * 1000; n > 0; n--)
		metric_observe_us(METRIC_JOB_SECONDS, us);
}
