/* Claimed jobs from the claim to the commit of their end. What they do in between is the mill's affair (mill.c). */
#include "engine/engine_impl.h"
#include "engine/import.h"
#include "rt/log.h"
#include "rt/metrics.h"

#include <assert.h>
#include <stdlib.h>

#define BACKOFF_BASE_MS 1000
#define BACKOFF_CAP_MS 3600000
#define BACKOFF_FLOOR_MS 100
#define REFUSED_BASE_MS 5000 /* after the store refused an output; and the least pause then */

/* ---- life ---- */

struct batch *batch_new(size_t max)
{
	struct batch *b = calloc(1, sizeof(*b) + max * (sizeof(struct work) + sizeof(struct work_job)));

	if (b != NULL)
		atomic_store(&b->refs, 1); /* the caller's */
	return b;
}

void batch_release(struct batch *b)
{
	if (atomic_fetch_sub(&b->refs, 1) != 1)
		return;
	arena_release(&b->arena);
	free(b);
}

struct work *work_new(struct engine *g, struct batch *b, size_t cap)
{
	struct work *w = (struct work *)(b->room + b->used);

	b->used += sizeof(*w) + cap * sizeof(w->jobs[0]);
	w->g = g;
	w->batch = b;
	w->worker = g->scheduler.worker;
	w->task.run = mill_run;
	w->cap = cap;
	return w;
}

void work_add(struct work *w, struct claimed *c, const struct op *op)
{
	assert(w->n < w->cap);
	struct work_job *j = &w->jobs[w->n++];

	j->claimed = c;
	j->told_ms = engine_mono(w->g);
	j->told = -1;
	j->op = op;
	j->place = metric_place(METRIC_OP, c->job.op);
	j->claimed_at = engine_now(w->g);
	if (w->n == 1)
		w->turns = owner_bucket(c->owner);
}

static void count_running(const struct work *w, int64_t by)
{
	for (size_t i = 0; i < w->n; i++)
		metric_by_add(METRIC_OP_RUNNING, w->jobs[i].place, by);
}

static void take_in_hand(struct work *w)
{
	struct scheduler *s = &w->g->scheduler;

	atomic_store(&w->refs, (unsigned)w->n);
	atomic_fetch_add(&w->batch->refs, 1);
	pthread_mutex_lock(&s->lock);
	w->next = s->works;
	w->prev = NULL;
	if (s->works != NULL)
		s->works->prev = w;
	s->works = w;
	s->inhand += (unsigned)w->n;
	pthread_mutex_unlock(&s->lock);
	metric_add(METRIC_JOBS_RUNNING, (int64_t)w->n);
	count_running(w, 1);
}

void work_start(struct work *w)
{
	take_in_hand(w);
	if (flight_enter(w))
		work_run_again(w);
}

void work_run_again(struct work *w)
{
	struct engine *g = w->g;

	if (atomic_load(&g->scheduler.resting)) {
		for (size_t i = 0, n = w->n; i < n; i++) /* the last one may free it */
			work_give_back(w, &w->jobs[i], 0);
		return;
	}
	atomic_fetch_add(&w->refs, 1); /* mill_run()'s, or import_run()'s */
	if (g->imports != NULL && w->jobs[0].op != NULL && w->jobs[0].op->kind == OP_CONNECTOR) {
		w->task.run = import_run;
		pool_submit(g->imports, &w->task);
	} else {
		pool_submit(g->jobs, &w->task);
	}
}

static void let_go(struct work *w)
{
	struct scheduler *s = &w->g->scheduler;
	struct engine *g = w->g;

	pthread_mutex_lock(&s->lock);
	if (w->prev != NULL)
		w->prev->next = w->next;
	else
		s->works = w->next;
	if (w->next != NULL)
		w->next->prev = w->prev;
	s->inhand -= (unsigned)w->n;
	if (s->inhand == 0)
		pthread_cond_signal(&s->none);
	pthread_mutex_unlock(&s->lock);
	metric_add(METRIC_JOBS_RUNNING, -(int64_t)w->n);
	count_running(w, -1);
	scheduler_room(g);
}

void work_release(struct work *w)
{
	if (atomic_fetch_sub(&w->refs, 1) != 1)
		return;
	struct batch *b = w->batch;
	for (size_t i = 0; i < w->n; i++) {
		buf_release(&w->jobs[i].result);
		buf_release(&w->jobs[i].detail);
	}
	mill_output_free(w->output);
	arena_release(&w->arena);
	let_go(w); /* the engine may end once nothing is in hand: nothing of it is touched after this */
	batch_release(b);
}

/* ---- the end of an attempt is committed ---- */

static bool worth_another_try(int code)
{
	return code == ERR_STORAGE_FULL || code == ERR_NO_MEMORY || code == ERR_IO || code == ERR_STORAGE_READONLY ||
	       code == ERR_CATALOG_UNAVAILABLE; /* while the lease lives nobody else ends it */
}

/* Wall times may be set anew meanwhile; what would be negative counts as nothing. */
static void count_times(const struct work_job *j, const struct change_finish *f)
{
	const struct job *job = &j->claimed->job;
	int64_t ready = job->run_at > job->created_at ? job->run_at : job->created_at;

	metric_by_observe_us(METRIC_OP_WAIT_SECONDS, j->place, (j->claimed_at - ready) * 1000);
	metric_by_observe_us(METRIC_OP_START_SECONDS, j->place, (f->started_at - j->claimed_at) * 1000);
	metric_by_observe_us(METRIC_OP_RUN_SECONDS, j->place, (f->finished_at - f->started_at) * 1000);
	metric_by_observe_us(METRIC_OP_TOTAL_SECONDS, j->place, (f->finished_at - job->created_at) * 1000);
	metric_by_add(f->state == JOB_FAILED ? METRIC_OP_FAILED : METRIC_OP_SUCCEEDED, j->place, 1);
}

static void count(const struct work_job *j, const struct change *c)
{
	const struct change_finish *f = &c->finish;

	if (c->code == ERR_STALE)
		metric_add(METRIC_JOBS_STALE, 1);
	if (c->code != 0 || atomic_load(&j->cancelled)) /* then it ended cancelled, whatever came out */
		return;
	if (f->state == JOB_SUCCEEDED) {
		metric_add(METRIC_JOBS_CACHED, !uuid_is_zero(f->same_as));
		metric_add(METRIC_OUTPUTS, (int64_t)f->n_outputs);
		for (size_t i = 0; i < f->n_outputs; i++)
			metric_add(METRIC_OUTPUT_BYTES, (int64_t)f->outputs[i].size);
	} else if (f->state == JOB_QUEUED && !f->give_back) {
		metric_add(METRIC_JOBS_RETRIED, 1);
	}
	if (f->state == JOB_FAILED || f->state == JOB_SUCCEEDED)
		count_times(j, f);
}

/* The catalogue refused the output's row, and no other row will ever have its name. */
static void drop_output(struct pool_task *t)
{
	struct work *w = CONTAINER_OF(t, struct work, task);
	struct err e = ERR_INIT;

	if (blob_remove(w->g->blobs, str_of(w->output->name), &e) != 0)
		log_err(LOG_WARN, "blob_left_for_sweep", &e);
	work_release(w);
}

static bool output_unwanted(const struct work *w, const struct change *c)
{
	/* after a failed flush the outcome is unknown: the blob may be referred to after a restart; and a full disk says nothing for ever: the sweep comes */
	return w->output != NULL && w->output->stored && c->finish.n_outputs > 0 && c->code != 0 && !worth_another_try(c->code) &&
	       !catalog_sealed(w->g->catalog);
}

static void finished(void *arg, struct change *c)
{
	struct work *w = arg;
	struct engine *g = w->g;
	struct scheduler *s = &g->scheduler;
	struct work_job *j = CONTAINER_OF(c, struct work_job, finish);

	if (worth_another_try(c->code) && !catalog_sealed(g->catalog) && !atomic_load(&s->draining)) {
		pthread_mutex_lock(&s->lock);
		c->next = s->retries;
		s->retries = c;
		pthread_mutex_unlock(&s->lock);
		return; /* the scheduler thread hands it in again at its next beat */
	}
	if (c->code == ERR_CONFLICT && !uuid_is_zero(c->finish.same_as)) {
		/* what was to be the answer is not there any more */
		w->own = true;
		j->ended = false;
		if (w->leads || flight_enter(w))
			work_run_again(w);
		return;
	}
	refusal_ended(g, j->claimed->owner, c->code == 0 && job_state_final(c->finish.state));
	count(j, c);
	if (c->code == ERR_STALE)
		waits_signal(g, c->finish.file); /* it may have become final in other hands */
	else if (c->code != 0)
		log_err(LOG_ERROR, "finish_failed", &c->err);
	flight_leave(w, c);
	if (output_unwanted(w, c)) {
		w->task.run = drop_output;
		pool_submit(g->io, &w->task);
	} else {
		work_release(w);
	}
}

void work_finish_again(struct engine *g)
{
	struct scheduler *s = &g->scheduler;

	pthread_mutex_lock(&s->lock);
	struct change *list = s->retries;
	s->retries = NULL;
	pthread_mutex_unlock(&s->lock);
	while (list != NULL) {
		struct change *c = list;
		list = c->next;
		c->code = 0;
		engine_submit(g, c, finished, c->done_arg);
	}
}

/* ---- handing it in ---- */

void work_finish(struct work *w, struct work_job *j, struct change_finish f)
{
	const struct job *job = &j->claimed->job;

	j->ended = true;
	j->finish = (struct change){.kind = CHANGE_FINISH, .finish = f};
	j->finish.finish.job = job->id;
	j->finish.finish.fence = job->fence;
	j->finish.finish.worker = w->worker;
	j->finish.finish.started_at = j->started_at;
	j->finish.finish.finished_at = engine_now(w->g);
	engine_submit(w->g, &j->finish, finished, w);
}

void work_give_back(struct work *w, struct work_job *j, int64_t pause_ms)
{
	int64_t at = pause_ms > 0 ? engine_now(w->g) + pause_ms : j->claimed->job.run_at;

	work_finish(w, j, (struct change_finish){.state = JOB_QUEUED, .give_back = true, .retry_at = at});
}

int64_t work_backoff_ms(struct engine *g, uint64_t base_ms, uint32_t attempt)
{
	unsigned shift = attempt > 20 ? 20 : attempt > 0 ? attempt - 1 : 0;
	uint64_t most = base_ms << shift;

	if (most > BACKOFF_CAP_MS)
		most = BACKOFF_CAP_MS;
	int64_t ms = (int64_t)(g->env->random(g->env) % most);
	return ms < BACKOFF_FLOOR_MS ? BACKOFF_FLOOR_MS : ms;
}

/* What an administrator wants to know of: the op's process did what it must not, or died. */
static void log_failure(const struct work_job *j, int code, const struct err *e)
{
	char id[UUID_TEXT_LEN + 1];

	if (code != ERR_SEAL_VIOLATION && code != ERR_RUNNER_MISBEHAVED && code != ERR_RUNNER_CRASHED && code != ERR_RUNNER_LOST)
		return;
	uuid_format(id, j->claimed->job.id);
	log_event(code == ERR_SEAL_VIOLATION || code == ERR_RUNNER_MISBEHAVED ? LOG_ERROR : LOG_WARN, "job_failed", LF_CSTR("job", id),
		  LF_STR("op", j->claimed->job.op), LF_CSTR("code", err_info(code)->name), LF_CSTR("detail", e->detail),
		  LF_INT("attempt", j->claimed->job.attempt));
}

static struct str detail_of(struct work_job *j, const struct err *e)
{
	buf_reset(&j->detail);
	buf_add_cstr(&j->detail, e->detail);
	return buf_ok(&j->detail) ? buf_str(&j->detail) : (struct str){};
}

void work_fail(struct work *w, struct work_job *j, int code, const struct err *e)
{
	work_fail_after(w, j, code, e, 0);
}

static void fail(struct work *w, struct work_job *j, int code, const struct err *e, bool again, int64_t pause_ms)
{
	const struct job *job = &j->claimed->job;
	struct change_finish f = {.state = JOB_FAILED, .error = code};

	log_failure(j, code, e);
	f.error_detail = detail_of(j, e);
	if (j->result.len > 0 && buf_ok(&j->result))
		f.result = buf_str(&j->result); /* a command's status and last words */
	if (again && job->attempt < job->max_attempts) {
		f.state = JOB_QUEUED;
		f.retry_at = engine_now(w->g) + (pause_ms > 0 ? pause_ms : work_backoff_ms(w->g, BACKOFF_BASE_MS, job->attempt));
		f.result = (struct str){};
	}
	work_finish(w, j, f);
}

void work_fail_after(struct work *w, struct work_job *j, int code, const struct err *e, int64_t pause_ms)
{
	fail(w, j, code, e, err_info(code)->retryable, pause_ms);
}

void work_fail_again(struct work *w, struct work_job *j, int code, const struct err *e, int64_t pause_ms)
{
	fail(w, j, code, e, true, pause_ms);
}

void work_refused(struct work *w, struct work_job *j, const struct err *e)
{
	int64_t pause = REFUSED_BASE_MS + work_backoff_ms(w->g, REFUSED_BASE_MS, j->claimed->job.refused + 1);

	work_finish(w, j,
		    (struct change_finish){.state = JOB_QUEUED,
					   .give_back = true,
					   .refused = true,
					   .retry_at = engine_now(w->g) + (pause < BACKOFF_CAP_MS ? pause : BACKOFF_CAP_MS),
					   .error = e->code,
					   .error_detail = detail_of(j, e)});
}

void work_give_up(struct work *w, struct work_job *j, const struct err *e)
{
	work_finish(w, j, (struct change_finish){.state = JOB_FAILED, .error = e->code, .error_detail = detail_of(j, e)});
}

int work_may_go_on(struct work *w, struct err *e)
{
	struct scheduler *s = &w->g->scheduler;

	if (atomic_load(&w->cancelled))
		return err_set(e, ERR_CANCELLED, "cancelled by a client");
	if (atomic_load(&s->draining))
		return err_set(e, ERR_SHUTTING_DOWN, "the server is stopping");
	if (atomic_load(&s->lease_until) <= engine_mono(w->g))
		return err_set(e, ERR_STALE, "the lease ended");
	return 0;
}
