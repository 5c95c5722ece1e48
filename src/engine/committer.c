/* The committer: one thread that owns the catalogue's writes. It takes everything that waits, applies it as one transaction with one flush,
 * and tells each waiter. There is no timer: a group forms by itself while the previous one is being flushed.
 *
 * If the batch fails, every change in it gets the batch's error and nothing is acknowledged. */
#include "engine/engine_impl.h"
#include "engine/people.h"
#include "engine/webhook.h"
#include "rt/log.h"
#include "rt/metrics.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

/* how long nothing must come before the catalogue may do housekeeping of its own */
#define IDLE_MS 50

static size_t weight(const struct change *c)
{
	size_t sum = 0;

	if (c->kind == CHANGE_ADD_FILE)
		return c->add_file.bytes.len;
	if (c->kind == CHANGE_ADD_FILES)
		for (size_t i = 0; i < c->add_files.n; i++)
			sum += c->add_files.files[i].bytes.len;
	return sum;
}

void engine_submit(struct engine *g, struct change *c, change_done_fn *done, void *arg)
{
	struct committer *m = &g->committer;
	bool wake;

	c->next = NULL;
	c->done = done;
	c->done_arg = arg;
	pthread_mutex_lock(&m->lock);
	admission_joined(g);
	*m->tail = c;
	m->tail = &c->next;
	m->waiting++;
	wake = m->sleeping;
	m->sleeping = false;
	pthread_mutex_unlock(&m->lock);
	if (wake)
		pthread_cond_signal(&m->cond);
}

/* Sleeps until something waits; false when there is nothing left and the end was asked for. */
static bool wait_for_work(struct engine *g)
{
	struct committer *m = &g->committer;
	bool idle_done = false;

	while (m->head == NULL) {
		if (m->stop)
			return false;
		m->sleeping = true;
		if (idle_done) {
			pthread_cond_wait(&m->cond, &m->lock);
			continue;
		}
		struct timespec until;
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += IDLE_MS * 1000000;
		if (until.tv_nsec >= 1000000000) {
			until.tv_sec++;
			until.tv_nsec -= 1000000000;
		}
		if (pthread_cond_timedwait(&m->cond, &m->lock, &until) == ETIMEDOUT && m->head == NULL) {
			pthread_mutex_unlock(&m->lock);
			catalog_idle(g->catalog);
			pthread_mutex_lock(&m->lock);
			idle_done = true;
		}
	}
	m->sleeping = false;
	return true;
}

/* Takes the next group off the list; called with the lock held. */
static size_t take_group(struct engine *g, struct change **group)
{
	struct committer *m = &g->committer;
	size_t n = 0, bytes = 0;

	admission_took(g, m->waiting);

	while (m->head != NULL && n < COMMIT_GROUP_MAX) {
		bytes += weight(m->head);
		if (n > 0 && bytes > COMMIT_BYTES_MAX)
			break;
		group[n++] = m->head;
		m->head = m->head->next;
	}
	if (m->head == NULL)
		m->tail = &m->head;
	m->waiting -= n;
	metric_set(METRIC_COMMIT_QUEUE, (int64_t)m->waiting);
	return n;
}

/* Who waits for jobs that became final by the change. */
static void tell_ended(struct engine *g, const struct change *c)
{
	if (c->kind == CHANGE_FINISH)
		waits_signal(g, c->finish.file);
	else if (c->kind == CHANGE_CANCEL_JOB)
		waits_signal(g, c->job_ref.file);
	else if (c->kind == CHANGE_RECLAIM)
		waits_look_again(g); /* they may be of any file */
	if (g->config.outbox != NULL)
		outbox_kick(g);
}

/* What else a committed change means for the other parts. */
static void tell_parts(struct engine *g, const struct change *c)
{
	if (change_brings_work(c))
		scheduler_kick(g);
	switch (c->kind) {
	case CHANGE_RECURRING:
	case CHANGE_ADD_JOBS:
		gauges_jobs_added(c->add_jobs.jobs, c->add_jobs.n);
		break;
	case CHANGE_CLAIM:
		refusal_claimed(g, &c->claim);
		break;
	case CHANGE_FINISH:
		scheduler_attempt_ended(g);
		break;
	case CHANGE_RECLAIM:
		scheduler_attempt_ended(g);
		metric_add(METRIC_JOBS_RECLAIMED, c->reclaim.reclaimed);
		break;
	case CHANGE_CANCEL_JOB:
		if (c->job_ref.was_running)
			scheduler_cancel_running(g, c->job_ref.id);
		break;
	case CHANGE_DELETE_FILE:
		waits_signal(g, c->delete_file.id);
		scheduler_cancel_file(g, c->delete_file.id);
		break;
	case CHANGE_PATCH_ACCOUNT:
	case CHANGE_DELETE_ACCOUNT:
	case CHANGE_REVOKE_KEY:
		people_changed(g, true);
		break;
	case CHANGE_ADD_ACCOUNT: /* the first one ends the coming of those who show nothing */
	case CHANGE_ADD_SESSION: /* ends an older one when there are too many */
	case CHANGE_END_SESSION:
		people_changed(g, false);
		break;
	case CHANGE_PATCH_WEBHOOK:
		webhooks_anew(g, c->patch_webhook.id);
		break;
	case CHANGE_ADD_PING:
		webhooks_anew(g, c->add_ping.webhook);
		break;
	case CHANGE_REPLAY:
		webhooks_anew(g, c->replay.webhook);
		break;
	default:
		break;
	}
	if (change_dooms(c))
		engine_kick_doomed(g);
}

/* Whether it comes with jobs. */
static bool adds_jobs(enum change_kind kind)
{
	return kind == CHANGE_ADD_FILE || kind == CHANGE_ADD_FILES || kind == CHANGE_ADD_JOBS || kind == CHANGE_RECURRING;
}

/* Jobs that were done when they were added did not end: they are counted as fused or known. */
static void count_end(const struct change *c, enum job_state state)
{
	static const enum metric by_state[JOB_STATES] = {
		[JOB_SUCCEEDED] = METRIC_JOBS_SUCCEEDED,
		[JOB_FAILED] = METRIC_JOBS_FAILED,
		[JOB_CANCELLED] = METRIC_JOBS_CANCELLED,
		[JOB_QUARANTINED] = METRIC_JOBS_QUARANTINED,
	};

	if (!adds_jobs(c->kind))
		metric_add(by_state[state], 1);
}

/* Each waiter hears of its change. What ended is the catalogue's word: a job that was to be given back, or taken back, ends all the same when somebody cancelled it. */
static void answer_group(struct engine *g, struct change **group, size_t n, int rc, const struct err *e)
{
	size_t n_ends = 0, at = 0;
	bool whole = true;
	const struct ended *ends = rc == 0 ? catalog_ends(g->catalog, &n_ends, &whole) : NULL;

	for (size_t i = 0; i < n; i++) {
		struct change *c = group[i];
		bool ended = !whole;
		for (; at < n_ends && ends[at].change == i; at++) {
			ended = true;
			count_end(c, ends[at].state);
		}
		if (rc != 0) {
			c->code = rc;
			c->err = *e;
		}
		if (c->code == 0)
			tell_parts(g, c);
		if (c->code == 0 && ended)
			tell_ended(g, c);
		if (c->code == ERR_QUEUE_FULL)
			refusal_explain(g, c);
		c->done(c->done_arg, c); /* may free c */
	}
}

static void committed(struct engine *g, struct change **group, size_t n)
{
	events_tell(g, group, n);
	audit_tell(g, group, n);
}

void engine_log_failed(enum log_level level, const char *event, const struct err *e)
{
	if (e->code != ERR_MOVED)
		log_err(level, event, e);
}

static void tell_failed(struct engine *g, int rc, const struct err *e)
{
	if (rc != ERR_MOVED)
		log_err(LOG_ERROR, "commit_failed", e);
	else if (!g->committer.refused)
		log_err(LOG_WARN, "writes_refused", e);
	g->committer.refused = rc == ERR_MOVED;
	if (catalog_sealed(g->catalog))
		metric_set(METRIC_STORAGE_SEALED, 1);
}

static void commit_group(struct engine *g, struct change **group, size_t n)
{
	struct err e = ERR_INIT;
	int64_t since = engine_us();
	int rc = catalog_apply(g->catalog, group, n, &e);

	int64_t us = engine_us() - since;
	metric_observe_us(METRIC_COMMIT_SECONDS, us);
	admission_committed(g, n, us);
	metric_add(METRIC_COMMITS, 1);
	metric_add(METRIC_COMMIT_CHANGES, (int64_t)n);
	if (rc != 0) {
		tell_failed(g, rc, &e);
	} else if (g->committer.refused) {
		log_event(LOG_INFO, "writes_taken_again", LF_INT("changes", n));
		g->committer.refused = false;
	}
	if (rc == 0 && catalog_new_deliveries(g->catalog) > 0)
		webhooks_kick(g);
	if (rc == 0)
		committed(g, group, n);
	answer_group(g, group, n, rc, &e);
}

static void *committer_run(void *arg)
{
	struct engine *g = arg;
	struct committer *m = &g->committer;
	struct change *group[COMMIT_GROUP_MAX];

	pthread_mutex_lock(&m->lock);
	while (wait_for_work(g)) {
		size_t n = take_group(g, group);
		pthread_mutex_unlock(&m->lock);
		commit_group(g, group, n);
		pthread_mutex_lock(&m->lock);
	}
	pthread_mutex_unlock(&m->lock);
	return NULL;
}

int committer_start(struct engine *g, struct err *e)
{
	struct committer *m = &g->committer;
	pthread_condattr_t attr;
	sigset_t all, old;

	*m = (struct committer){};
	admission_init(g);
	m->tail = &m->head;
	pthread_mutex_init(&m->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&m->cond, &attr);
	pthread_condattr_destroy(&attr);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int rc = pthread_create(&m->thread, NULL, committer_run, g);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc != 0)
		return err_errno(e, rc, "pthread_create");
	m->running = true;
	pthread_setname_np(m->thread, "committer");
	return 0;
}

void committer_stop(struct engine *g)
{
	struct committer *m = &g->committer;

	if (!m->running)
		return;
	pthread_mutex_lock(&m->lock);
	m->stop = true;
	pthread_cond_signal(&m->cond);
	pthread_mutex_unlock(&m->lock);
	pthread_join(m->thread, NULL);
	m->running = false;
	pthread_cond_destroy(&m->cond);
	pthread_mutex_destroy(&m->lock);
}

/* ---- changes that are waited for ---- */

struct sync_wait {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	size_t left;
};

static void sync_done(void *arg, struct change *c)
{
	struct sync_wait *w = arg;

	pthread_mutex_lock(&w->lock);
	w->left--;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

void engine_apply_all(struct engine *g, struct change *list, size_t n)
{
	struct sync_wait w = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER, .left = n};

	for (size_t i = 0; i < n; i++)
		engine_submit(g, &list[i], sync_done, &w);
	pthread_mutex_lock(&w.lock);
	while (w.left > 0)
		pthread_cond_wait(&w.cond, &w.lock);
	pthread_mutex_unlock(&w.lock);
	pthread_mutex_destroy(&w.lock);
	pthread_cond_destroy(&w.cond);
}

int engine_apply(struct engine *g, struct change *c)
{
	engine_apply_all(g, c, 1);
	return c->code;
}
