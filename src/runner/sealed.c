/* The real kind: jobs run in sealed children.
 *
 * A call of runner_run() takes one of children_max slots, cuts its jobs into batches, and has each served by a child: an idle one, the spare one, or a new one.
 *
 * A job is blamed only for what a child did that had nothing else to do: when a batch fails, what has no answer runs again one by one; when a single job fails on a child that
 * served others before, it runs again on a fresh one. */
#include "base/compiler.h"
#include "runner/sealed_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#define HAND_OVER_TRIES 4 /* children that are gone before they took a batch */

static struct sealed_runner *sealed_of(struct runner *r)
{
	return CONTAINER_OF(r, struct sealed_runner, base);
}

/* ---- running ---- */

/* What an attempt that failed leaves to decide. */
struct fate {
	struct err err;
	bool stopped; /* by the watcher: nothing of the call goes on */
	bool suspect; /* the child had served other jobs before: one of them may have spoilt it; and no output was given away yet */
};

/* A child that has lied may have lied before: what it said of this batch is not believed. */
static void take_back_answers(struct drive *d)
{
	for (size_t i = 0; i < d->answered; i++) {
		d->jobs[i].code = RUNNER_OPEN;
		buf_reset(&d->jobs[i].result);
	}
}

static void end_failed(struct sealed_runner *s, struct drive *d, struct fate *f)
{
	struct sealed_child *c = d->child;
	int code = f->err.code;

	if (code == ERR_RUNNER_MISBEHAVED || d->output >= 0)
		take_back_answers(d);
	f->stopped = d->stopped;
	f->suspect = c->served > 0 && d->jobs[0].output_size == 0 &&
		     (code == ERR_RUNNER_MISBEHAVED || code == ERR_RUNNER_CRASHED || code == ERR_SEAL_VIOLATION);
	pthread_mutex_lock(&s->lock);
	s->stats.killed += !c->ended && !c->orphaned;
	s->stats.lost += code == ERR_RUNNER_LOST;
	s->stats.violations += code == ERR_SEAL_VIOLATION;
	pthread_mutex_unlock(&s->lock);
	sealed_end_list(s, c);
}

/* Hands the jobs to this child: 1 when it was gone before it took them, else as drive_run(). The child is given back or ended. */
static int hand_over(struct sealed_runner *s, struct sealed_child *c, struct runner_job *jobs, size_t n, const struct runner_watch *watch,
		     struct fate *f)
{
	struct drive d = {.child = c, .jobs = jobs, .n = n, .serial = c->serial + 1, .watch = watch, .output = -1};
	CLEANUP(sealed_batch_release) struct sealed_batch batch;
	int r = sealed_batch_make(&batch, jobs, n, d.serial, &s->config.limits, &f->err);

	if (r < 0) {
		sealed_give_back(s, c);
		return r;
	}
	if (message_send(c->channel, batch.message.p, batch.message.len, batch.fds, batch.n_fds) < 0) {
		sealed_end_list(s, c);
		return 1;
	}
	sealed_batch_sent(&batch);
	c->serial += n;
	d.output = batch.output;
	d.limits = sealed_limits_of(jobs[0].op, &s->config.limits);
	r = drive_run(&d, &f->err);
	if (r == 0) {
		sealed_give_back(s, c);
		return 0;
	}
	if (!c->started && (c->orphaned || c->unheld) && d.answered == 0 && jobs[0].output_size == 0) {
		sealed_end_list(s, c);
		return 1; /* nothing has come of it: the jobs are as they were */
	}
	end_failed(s, &d, f);
	return r;
}

static int attempt(struct sealed_runner *s, struct runner_job *jobs, size_t n, bool fresh, const struct runner_watch *watch, struct fate *f)
{
	*f = (struct fate){.err = ERR_INIT};
	for (int i = 0; i < HAND_OVER_TRIES; i++) {
		struct sealed_child *c = NULL;
		int r = sealed_take_child(s, jobs[0].op, fresh, &c, &f->err);

		if (r < 0)
			return r;
		r = hand_over(s, c, jobs, n, watch, f);
		if (r <= 0)
			return r;
	}
	return err_set(&f->err, ERR_RUNNER_LOST, "the sealed runner was killed from outside");
}

/* False when the watcher stopped it: with what he said. */
static bool run_single(struct sealed_runner *s, struct runner_job *job, const struct runner_watch *watch, struct err *ret_stop)
{
	struct fate f;
	int r = attempt(s, job, 1, false, watch, &f);

	if (r < 0 && f.suspect)
		r = attempt(s, job, 1, true, watch, &f);
	if (r < 0)
		runner_jobs_end(job, 1, &f.err);
	if (f.stopped)
		*ret_stop = f.err;
	return !f.stopped;
}

/* Jobs that fit into one batch. As run_single(). */
static bool run_batch(struct sealed_runner *s, struct runner_job *jobs, size_t n, const struct runner_watch *watch, struct err *ret_stop)
{
	struct fate f;

	if (n == 1)
		return run_single(s, jobs, watch, ret_stop);
	if (attempt(s, jobs, n, false, watch, &f) == 0)
		return true;
	if (f.stopped) {
		*ret_stop = f.err;
		return false;
	}
	if (f.err.code == ERR_RUNNER_UNAVAILABLE)
		runner_jobs_end(jobs, n, &f.err);
	for (size_t i = 0; i < n; i++)
		if (jobs[i].code == RUNNER_OPEN && !run_single(s, &jobs[i], watch, ret_stop))
			return false;
	return true;
}

static int take_slot(struct sealed_runner *s, const struct runner_watch *watch, struct err *e)
{
	int r = 0;

	pthread_mutex_lock(&s->lock);
	while (r == 0 && s->slots_used >= s->config.children_max) {
		struct timespec until;

		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += TICK_MS * 1000000L;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		pthread_cond_timedwait(&s->changed, &s->lock, &until);
		pthread_mutex_unlock(&s->lock);
		r = runner_may_go_on(watch, e);
		pthread_mutex_lock(&s->lock);
	}
	if (r == 0)
		s->slots_used++;
	pthread_mutex_unlock(&s->lock);
	return r;
}

static void give_slot(struct sealed_runner *s)
{
	pthread_mutex_lock(&s->lock);
	s->slots_used--;
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

static void sealed_run(struct runner *r, struct runner_job *jobs, size_t n, const struct runner_watch *watch)
{
	struct sealed_runner *s = sealed_of(r);
	struct err e = ERR_INIT;
	bool go_on = true;

	if (take_slot(s, watch, &e) < 0) {
		runner_jobs_end(jobs, n, &e);
		return;
	}
	for (size_t i = 0, fit; i < n && go_on; i += fit) {
		fit = sealed_batch_fit(jobs + i, n - i);
		go_on = run_batch(s, jobs + i, fit, watch, &e);
	}
	if (!go_on)
		runner_jobs_end(jobs, n, &e);
	give_slot(s);
}

/* ---- life ---- */

static const struct seal_report *sealed_report(const struct runner *r)
{
	return &((const struct sealed_runner *)r)->report; /* its first member */
}

static void sealed_stats(struct runner *r, struct runner_stats *ret)
{
	struct sealed_runner *s = sealed_of(r);

	sealed_check_zygote(s);
	pthread_mutex_lock(&s->lock);
	*ret = s->stats;
	ret->zygote_pid = s->zygote ? (int)s->zygote->pid : 0;
	pthread_mutex_unlock(&s->lock);
}

static void sealed_free(struct runner *r)
{
	struct sealed_runner *s = sealed_of(r);

	assert(s->slots_used == 0);
	zygote_link_end(s->zygote); /* first: one that stands still would tell of no child's end */
	s->zygote = NULL;
	sealed_end_list(s, s->idle);
	sealed_end_list(s, s->spare);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	free(s->path);
	free(s);
}

static const struct runner_kind sealed_kind = {
	.run = sealed_run,
	.report = sealed_report,
	.stats = sealed_stats,
	.free = sealed_free,
};

static void init_lock(struct sealed_runner *s)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->changed, &attr);
	pthread_condattr_destroy(&attr);
}

int runner_start(struct runner **ret, const struct runner_config *config, struct err *e)
{
	struct sealed_runner *s = calloc(1, sizeof(*s));
	int r;

	assert(config->children_max > 0);
	if (!s)
		return err_set(e, ERR_NO_MEMORY, "no memory for the runner");
	s->base.kind = &sealed_kind;
	s->config = *config;
	init_lock(s);
	if (config->path && !(s->path = strdup(config->path))) {
		sealed_free(&s->base);
		return err_set(e, ERR_NO_MEMORY, "no memory for the runner");
	}
	s->config.path = s->path;
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1); /* where it cannot be had the init process reaps what a killed zygote leaves */
	if ((r = sealed_begin_zygote(s, &s->zygote, &s->report, e)) < 0) {
		sealed_free(&s->base);
		return r;
	}
	s->stats.zygotes = 1;
	*ret = &s->base;
	return 0;
}
