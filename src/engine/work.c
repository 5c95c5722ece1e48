/* Digest jobs on a job thread: one pass over the file's bytes, then one finish a job. The bytes are checked against the file's SHA-256 on the way, so a result is
 * never made from damaged ones. */
#include "base/fd.h"
#include "engine/engine_impl.h"
#include "rt/log.h"
#include "rt/metrics.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PIECE (256u << 10) /* bytes between two looks at lease, drain and cancel */
#define BACKOFF_BASE_MS 1000
#define BACKOFF_CAP_MS 3600000
#define BACKOFF_FLOOR_MS 100

void work_free(struct work *w)
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
	bool had_room = s->inhand <= INHAND_MAX - CLAIM_MAX;
	s->inhand -= (unsigned)w->n;
	bool kick = !had_room && s->inhand <= INHAND_MAX - CLAIM_MAX;
	if (s->inhand == 0)
		pthread_cond_signal(&s->none);
	pthread_mutex_unlock(&s->lock);
	metric_add(METRIC_JOBS_RUNNING, -(int64_t)w->n);
	for (size_t i = 0; i < w->n; i++)
		buf_release(&w->results[i]);
	if (atomic_fetch_sub(&w->batch->works, 1) == 1) {
		arena_release(&w->batch->arena);
		free(w->batch);
	}
	free(w->jobs);
	free(w->finishes);
	free(w->results);
	free(w);
	if (kick)
		sleeper_kick(&g->scheduler.sleeper); /* there is room again */
}

/* ---- handing the end of an attempt in ---- */

static bool worth_another_try(int code)
{
	return code == ERR_STORAGE_FULL || code == ERR_NO_MEMORY || code == ERR_IO || code == ERR_STORAGE_READONLY;
}

static void finished(void *arg, struct change *c)
{
	struct work *w = arg;
	struct engine *g = w->g;
	struct scheduler *s = &g->scheduler;

	if (worth_another_try(c->code) && !catalog_sealed(g->catalog) && !atomic_load(&s->draining)) {
		pthread_mutex_lock(&s->lock);
		c->next = s->retries;
		s->retries = c;
		pthread_mutex_unlock(&s->lock);
		return; /* the scheduler thread hands it in again at its next beat */
	}
	if (c->code == ERR_STALE) {
		metric_add(METRIC_JOBS_STALE, 1);
		waits_signal(g, c->finish.file); /* it may have become final in other hands */
	} else if (c->code != 0)
		log_err(LOG_ERROR, "finish_failed", &c->err);
	else if (c->finish.state == JOB_SUCCEEDED)
		metric_add(METRIC_JOBS_SUCCEEDED, 1);
	else if (c->finish.state == JOB_FAILED)
		metric_add(METRIC_JOBS_FAILED, 1);
	if (atomic_fetch_sub(&w->unfinished, 1) == 1)
		work_free(w);
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

static void finish_job(struct work *w, size_t i, struct change_finish f)
{
	struct change *c = &w->finishes[i];
	const struct job *job = &w->jobs[i]->job;

	*c = (struct change){.kind = CHANGE_FINISH, .finish = f};
	c->finish.job = job->id;
	c->finish.fence = job->fence;
	c->finish.worker = w->worker;
	c->finish.finished_at = engine_now(w->g);
	engine_submit(w->g, c, finished, w);
}

void work_give_back(struct work *w)
{
	size_t n = w->n; /* the last finish may free w */

	for (size_t i = 0; i < n; i++)
		finish_job(w, i, (struct change_finish){.state = JOB_QUEUED, .give_back = true, .retry_at = w->jobs[i]->job.run_at});
}

/* Full jitter: anywhere between the floor and base * 2^(attempt-1), at most the cap. */
static int64_t backoff_ms(struct engine *g, uint32_t attempt)
{
	unsigned shift = attempt > 20 ? 20 : attempt > 0 ? attempt - 1 : 0;
	uint64_t most = (uint64_t)BACKOFF_BASE_MS << shift;

	if (most > BACKOFF_CAP_MS)
		most = BACKOFF_CAP_MS;
	int64_t ms = (int64_t)(g->env->random(g->env) % most);
	return ms < BACKOFF_FLOOR_MS ? BACKOFF_FLOOR_MS : ms;
}

/* The bytes could not be had: again later when that may help and attempts are left. */
static void fail_all(struct work *w, int code, const struct err *e, int64_t started)
{
	size_t n = w->n;

	for (size_t i = 0; i < n; i++) {
		const struct job *job = &w->jobs[i]->job;
		struct change_finish f = {.state = JOB_FAILED, .error = code, .started_at = started};
		/* the detail must outlive this call: it travels in the result buffer, which a failed job does not need */
		buf_add_cstr(&w->results[i], e->detail);
		if (buf_ok(&w->results[i]))
			f.error_detail = buf_str(&w->results[i]);
		if (err_info(code)->retryable && job->attempt < job->max_attempts) {
			f.state = JOB_QUEUED;
			f.retry_at = engine_now(w->g) + backoff_ms(w->g, job->attempt);
		}
		finish_job(w, i, f);
	}
}

/* ---- the pass over the bytes ---- */

static int may_go_on(struct work *w, struct err *e)
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

static int read_stored(struct work *w, int fd, struct digest_set *d, struct err *e)
{
	struct env *env = w->g->env;
	char *piece = malloc(PIECE);
	off_t at = 0;
	int rc = 0;

	if (piece == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory to read a file");
	while (rc == 0 && (uint64_t)at < w->jobs[0]->size) {
		ssize_t n = env->pread(env, fd, piece, PIECE, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = err_errno(e, errno, "pread");
		else if (n == 0)
			rc = err_set(e, ERR_DAMAGED, "the stored bytes are shorter than the file");
		else {
			digest_set_update(d, piece, (size_t)n);
			at += n;
			rc = may_go_on(w, e);
		}
	}
	free(piece);
	return rc;
}

static int digest_content(struct work *w, struct digest_set *d, struct err *e)
{
	const struct claimed *c = w->jobs[0];
	struct file f = {.id = c->job.file, .owner = c->owner, .size = c->size, .location = c->location};
	CLEANUP(buf_release) struct buf bytes = BUF_INIT;
	CLEANUP(fd_close) int fd = -1;
	size_t n;
	int rc = engine_open_content(w->g, &f, &fd, &bytes, e);

	if (rc != 0)
		return rc == ERR_FILE_NOT_FOUND || rc == ERR_FILE_GONE ? err_set(e, ERR_INPUT_GONE, "the file was deleted meanwhile") : rc;
	if (fd < 0)
		digest_set_update(d, bytes.p, bytes.len);
	else
		rc = read_stored(w, fd, d, e);
	if (rc == 0)
		rc = digest_set_finish(d, e);
	if (rc == 0 && memcmp(digest_set_get(d, DIGEST_SHA256, &n), c->sha256, 32) != 0)
		rc = err_set(e, ERR_DAMAGED, "the stored bytes do not have the file's SHA-256 any more");
	return rc;
}

static int wanted(const struct work *w, unsigned *ret_mask, struct err *e)
{
	unsigned mask = 1u << DIGEST_SHA256; /* checks the bytes */

	for (size_t i = 0; i < w->n; i++) {
		const struct op *op = op_table_find(w->g->config.ops, w->jobs[i]->job.op);
		if (op == NULL || op->kind != OP_STREAMING)
			return err_set(e, ERR_UNKNOWN_OP, "this server has no such op");
		mask |= 1u << op->algo;
	}
	*ret_mask = mask;
	return 0;
}

static void succeed_all(struct work *w, const struct digest_set *d, int64_t started)
{
	size_t n = w->n, len;

	for (size_t i = 0; i < n; i++) {
		enum digest_algo algo = op_table_find(w->g->config.ops, w->jobs[i]->job.op)->algo;
		digest_write_result(&w->results[i], algo, digest_set_get(d, algo, &len));
	}
	for (size_t i = 0; i < n; i++) {
		if (buf_ok(&w->results[i]))
			finish_job(
				w, i,
				(struct change_finish){.state = JOB_SUCCEEDED, .result = buf_str(&w->results[i]), .started_at = started});
		else
			finish_job(w, i,
				   (struct change_finish){
					   .state = JOB_QUEUED, .error = ERR_NO_MEMORY, .retry_at = engine_now(w->g) + BACKOFF_BASE_MS});
	}
}

/* What became of the pass decides what becomes of the jobs. */
static void conclude(struct work *w, int rc, const struct err *e, const struct digest_set *d, int64_t started)
{
	size_t n = w->n;

	if (rc == 0)
		succeed_all(w, d, started);
	else if (rc == ERR_SHUTTING_DOWN || rc == ERR_STALE)
		/* neither says anything about the job; if another worker holds it by now, the fence refuses this */
		work_give_back(w);
	else if (rc == ERR_CANCELLED || rc == ERR_INPUT_GONE)
		for (size_t i = 0; i < n; i++)
			finish_job(w, i, (struct change_finish){.state = JOB_CANCELLED, .error = rc, .started_at = started});
	else
		fail_all(w, rc, e, started);
}

void work_run(struct pool_task *t)
{
	struct work *w = CONTAINER_OF(t, struct work, task);
	struct engine *g = w->g;
	struct err e = ERR_INIT;
	struct digest_set *d = NULL;
	int64_t started = engine_now(g), mono = engine_mono(g);
	unsigned mask = 0;
	int rc = may_go_on(w, &e);

	if (rc == 0)
		rc = wanted(w, &mask, &e);
	if (rc == 0)
		rc = digest_set_new(&d, mask, &e);
	if (rc == 0)
		rc = digest_content(w, d, &e);
	conclude(w, rc, &e, d, started); /* w may be gone after this */
	digest_set_free(d);
	metric_observe_us(METRIC_JOB_SECONDS, (engine_mono(g) - mono) * 1000);
}
