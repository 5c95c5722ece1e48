#include "tame.h"

#include "base/compiler.h"
#include "runner/runner_impl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

struct tame {
	struct runner base;
	struct runner *digests;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t changed;
	struct tame_plan plan;
	struct tame_counts counts;
};

static struct tame *tame_of(struct runner *r)
{
	return CONTAINER_OF(r, struct tame, base);
}

static void wait_a_little(struct tame *t)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += 2000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_cond_timedwait(&t->changed, &t->lock, &until);
}

/* Waits while `*held` is set; another code than 0 when the watcher does not want to go on. Called with the lock held. */
static int hold(struct tame *t, const bool *held, const struct runner_watch *watch, struct err *e)
{
	int rc = 0;

	if (!*held)
		return 0;
	t->counts.held++;
	pthread_cond_broadcast(&t->changed);
	while (*held && rc == 0) {
		wait_a_little(t);
		pthread_mutex_unlock(&t->lock);
		rc = runner_may_go_on(watch, e);
		pthread_mutex_lock(&t->lock);
	}
	t->counts.held--;
	return rc;
}

static int give(struct runner_job *j, struct str bytes)
{
	if (j->output == NULL || bytes.len == 0)
		return 0;
	j->output_size += bytes.len;
	return j->output(j->output_arg, bytes.p, bytes.len, &j->err);
}

static void make(struct runner_job *j, bool anew)
{
	int rc = anew ? give(j, STR("of a child that died")) : 0;

	buf_add_cstr(&j->result, "{\"made\":true}");
	j->output_size = 0;
	if (rc == 0)
		rc = give(j, STR("made of "));
	if (rc == 0)
		rc = give(j, j->input);
	runner_job_end(j, rc);
}

static void work(struct tame *t, struct runner_job *jobs, size_t n, const struct runner_watch *watch, const struct tame_plan *plan)
{
	for (size_t i = 0; i < n; i++) {
		if (plan->code != 0) {
			buf_add_cstr(&jobs[i].result, plan->result != NULL ? plan->result : "");
			runner_job_end(&jobs[i], err_set(&jobs[i].err, plan->code, "as the test wants it"));
		} else if (jobs[i].op->kind == OP_STREAMING) {
			runner_run(t->digests, &jobs[i], 1, watch);
		} else {
			make(&jobs[i], plan->anew);
		}
	}
}

static void run(struct runner *r, struct runner_job *jobs, size_t n, const struct runner_watch *watch)
{
	struct tame *t = tame_of(r);
	struct err e = ERR_INIT;

	pthread_mutex_lock(&t->lock);
	if (t->counts.begun < sizeof(t->counts.order) - 1)
		t->counts.order[t->counts.begun] = jobs[0].name.len > 0 ? jobs[0].name.p[0] : '?';
	t->counts.begun++;
	if (t->counts.begun - t->counts.ended > t->counts.most)
		t->counts.most = t->counts.begun - t->counts.ended;
	t->counts.jobs += (unsigned)n;
	if (n > t->counts.largest)
		t->counts.largest = (unsigned)n;
	for (size_t i = 1; i < n; i++)
		t->counts.shared += jobs[i].input_fd >= 0 && jobs[i].input_fd == jobs[i - 1].input_fd;
	int rc = hold(t, &t->plan.hold, watch, &e);
	struct tame_plan plan = t->plan;
	if (t->plan.times > 0 && --t->plan.times == 0) {
		t->plan.code = 0;
		t->plan.anew = false;
	}
	pthread_mutex_unlock(&t->lock);
	if (rc == 0)
		work(t, jobs, n, watch, &plan);
	pthread_mutex_lock(&t->lock);
	if (rc == 0)
		rc = hold(t, &t->plan.hold_end, watch, &e);
	if (rc != 0)
		for (size_t i = 0; i < n; i++) {
			jobs[i].code = RUNNER_OPEN; /* as if there had been no answer yet */
			jobs[i].err = ERR_INIT;
		}
	runner_jobs_end(jobs, n, &e);
	t->counts.ended++;
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->lock);
}

static const struct seal_report *report(const struct runner *r)
{
	return NULL;
}

static void stats(struct runner *r, struct runner_stats *ret)
{
	*ret = (struct runner_stats){};
}

static void release(struct runner *r)
{
	struct tame *t = tame_of(r);

	runner_free(t->digests);
	pthread_mutex_destroy(&t->lock);
	pthread_cond_destroy(&t->changed);
	free(t);
}

static const struct runner_kind tame_kind = {.run = run, .report = report, .stats = stats, .free = release};

void tame_new(struct tame **ret)
{
	struct tame *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	t->base.kind = &tame_kind;
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->changed, NULL);
	assert_int_equal(runner_inline_new(&t->digests, NULL), 0);
	*ret = t;
}

struct runner *tame_runner(struct tame *t)
{
	return &t->base;
}

void tame_set(struct tame *t, struct tame_plan plan)
{
	pthread_mutex_lock(&t->lock);
	t->plan = plan;
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->lock);
}

struct tame_counts tame_counts(struct tame *t)
{
	pthread_mutex_lock(&t->lock);
	struct tame_counts c = t->counts;
	pthread_mutex_unlock(&t->lock);
	return c;
}

void tame_wait_held(struct tame *t, unsigned n)
{
	pthread_mutex_lock(&t->lock);
	while (t->counts.held < n)
		pthread_cond_wait(&t->changed, &t->lock);
	pthread_mutex_unlock(&t->lock);
}

void tame_wait_ended(struct tame *t, unsigned n)
{
	pthread_mutex_lock(&t->lock);
	while (t->counts.ended < n)
		pthread_cond_wait(&t->changed, &t->lock);
	pthread_mutex_unlock(&t->lock);
}
