#include "rt/pool.h"

#include "base/compiler.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct pool {
	const char *name; /* borrowed */
	unsigned started; /* threads to join */

	pthread_mutex_t lock; /* guards what follows; never held while a task runs */
	pthread_cond_t changed; /* a task came, or stopping was set */
	struct pool_task *first, **tail; /* *tail is where the next task goes */
	size_t waiting;
	bool stopping;
	pool_pick_fn *pick; /* NULL = the oldest */
	void *pick_arg;
	unsigned slow, slow_max; /* threads in slow tasks */

	pthread_t threads[];
};

/* The place of the task whose turn it is, of NULL when none of those that wait may run now. Called with the lock held. */
static struct pool_task **whose_turn(struct pool *p)
{
	struct pool_task **at = &p->first;

	if (p->pick && p->first)
		return p->pick(p->pick_arg, &p->first);
	if (p->slow >= p->slow_max)
		while (*at && (*at)->slow)
			at = &(*at)->next;
	return at;
}

/* Waits for a task whose turn it is. NULL when the pool is stopping and nothing is left. `was_slow`: the one that this thread has run was. */
static struct pool_task *take(struct pool *p, bool was_slow)
{
	struct pool_task *t, **at;

	pthread_mutex_lock(&p->lock);
	if (was_slow && p->slow-- == p->slow_max && p->first)
		pthread_cond_signal(&p->changed); /* one that was passed over has its turn, and this thread may get another one */
	while (!*(at = whose_turn(p)) && !(p->stopping && !p->first))
		pthread_cond_wait(&p->changed, &p->lock);
	t = *at;
	if (t) {
		*at = t->next;
		if (p->tail == &t->next)
			p->tail = at;
		p->waiting--;
		p->slow += t->slow;
		if (!p->first && p->stopping)
			pthread_cond_broadcast(&p->changed); /* those who waited for their turn, too, may end */
	}
	pthread_mutex_unlock(&p->lock);
	return t;
}

static void *work(void *arg)
{
	struct pool *p = arg;
	struct pool_task *t;
	bool slow = false;

	pthread_setname_np(pthread_self(), p->name);
	while ((t = take(p, slow)) != NULL) {
		slow = t->slow;
		t->run(t);
	}
	return NULL;
}

/* Signals belong to the thread that watches for them, so these threads take none. */
static int start_threads(struct pool *p, unsigned threads)
{
	sigset_t all, before;
	int r = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (r == 0 && p->started < threads) {
		r = pthread_create(&p->threads[p->started], NULL, work, p);
		if (r == 0)
			p->started++;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

int pool_new(struct pool **ret_pool, const char *name, unsigned threads, struct err *e)
{
	struct pool *p;
	int r;

	assert(threads > 0 && strlen(name) <= 15);
	p = calloc(1, sizeof(*p) + threads * sizeof(p->threads[0]));
	if (!p)
		return err_set(e, ERR_NO_MEMORY, "no memory for %u threads", threads);
	p->name = name;
	p->tail = &p->first;
	p->slow_max = threads;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->changed, NULL);
	r = start_threads(p, threads);
	if (r != 0) {
		unsigned started = p->started;

		pool_free(p);
		return err_set(e, ERR_OVERLOADED, "only %u of %u threads could be started: %s", started, threads, strerrordesc_np(r));
	}
	*ret_pool = p;
	return 0;
}

void pool_pick_by(struct pool *p, pool_pick_fn *pick, void *arg)
{
	pthread_mutex_lock(&p->lock);
	p->pick = pick;
	p->pick_arg = arg;
	pthread_mutex_unlock(&p->lock);
}

void pool_keep_free(struct pool *p, unsigned threads)
{
	assert(threads < p->started);
	pthread_mutex_lock(&p->lock);
	p->slow_max = p->started - threads;
	pthread_mutex_unlock(&p->lock);
}

void pool_submit(struct pool *p, struct pool_task *t)
{
	t->next = NULL;
	pthread_mutex_lock(&p->lock);
	*p->tail = t;
	p->tail = &t->next;
	p->waiting++;
	if (!t->slow || p->slow < p->slow_max)
		pthread_cond_signal(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

size_t pool_waiting(struct pool *p)
{
	size_t n;

	pthread_mutex_lock(&p->lock);
	n = p->waiting;
	pthread_mutex_unlock(&p->lock);
	return n;
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->started; i++)
		pthread_join(p->threads[i], NULL);
	pthread_cond_destroy(&p->changed);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
