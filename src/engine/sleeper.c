#include "engine/engine_impl.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

int sleeper_init(struct sleeper *s, struct err *e)
{
	pthread_condattr_t attr;

	*s = (struct sleeper){};
	if (pthread_mutex_init(&s->lock, NULL) != 0)
		return err_set(e, ERR_NO_MEMORY, "no mutex");
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	int rc = pthread_cond_init(&s->cond, &attr);
	pthread_condattr_destroy(&attr);
	if (rc != 0)
		return err_set(e, ERR_NO_MEMORY, "no condition variable");
	return 0;
}

int sleeper_start(struct sleeper *s, const char *name, void *(*run)(void *), void *arg, struct err *e)
{
	sigset_t all, old;

	/* signals belong to the main thread */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int rc = pthread_create(&s->thread, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc != 0)
		return err_errno(e, rc, "pthread_create");
	s->running = true;
	pthread_setname_np(s->thread, name);
	return 0;
}

void sleeper_kick(struct sleeper *s)
{
	pthread_mutex_lock(&s->lock);
	if (!s->kicked) {
		s->kicked = true;
		pthread_cond_signal(&s->cond);
	}
	pthread_mutex_unlock(&s->lock);
}

static struct timespec in_ms(int64_t ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += ms % 1000 * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}

bool sleeper_wait(struct sleeper *s, int64_t ms)
{
	struct timespec until = {};

	if (ms >= 0)
		until = in_ms(ms);
	pthread_mutex_lock(&s->lock);
	while (!s->kicked && !s->stop) {
		if (ms < 0)
			pthread_cond_wait(&s->cond, &s->lock);
		else if (pthread_cond_timedwait(&s->cond, &s->lock, &until) == ETIMEDOUT)
			break;
	}
	s->kicked = false;
	bool go_on = !s->stop;
	pthread_mutex_unlock(&s->lock);
	return go_on;
}

bool sleeper_pause(struct sleeper *s, int64_t ms)
{
	struct timespec until = in_ms(ms);

	pthread_mutex_lock(&s->lock);
	while (!s->stop && pthread_cond_timedwait(&s->cond, &s->lock, &until) != ETIMEDOUT)
		;
	bool go_on = !s->stop;
	pthread_mutex_unlock(&s->lock);
	return go_on;
}

void sleeper_stop(struct sleeper *s)
{
	if (!s->running)
		return;
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_signal(&s->cond);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	s->running = false;
}

void sleeper_release(struct sleeper *s)
{
	pthread_cond_destroy(&s->cond);
	pthread_mutex_destroy(&s->lock);
}
