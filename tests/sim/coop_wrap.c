/* What the linker puts in the place of the calls of the code under test (--wrap, ld(1)). A mutex and a condition keep what they need in their own memory, so that those which are
 * initialised by a constant, all zeros, work too. Misuse that POSIX leaves undefined ends the run. */
#include "coop_impl.h"

#include "rt/metrics.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

struct mutex {
	struct co *owner; /* NULL = free */
	unsigned waiting;
};
struct condition {
	int clock; /* clockid_t */
};
static_assert(sizeof(struct mutex) <= sizeof(pthread_mutex_t) && sizeof(struct condition) <= sizeof(pthread_cond_t));

int __wrap_pthread_create(pthread_t *ret, const pthread_attr_t *attr, void *(*run)(void *), void *arg);
int __wrap_pthread_join(pthread_t t, void **ret);
int __wrap_pthread_setname_np(pthread_t t, const char *name);
pthread_t __wrap_pthread_self(void);
int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *before);
int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr);
int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr);
int __wrap_pthread_cond_destroy(pthread_cond_t *cond);
int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until);
int __wrap_pthread_cond_signal(pthread_cond_t *cond);
int __wrap_pthread_cond_broadcast(pthread_cond_t *cond);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
_Noreturn void __wrap___assert_fail(const char *what, const char *file, unsigned line, const char *function);
unsigned __wrap_metric_place(enum metric_label label, struct str value);
unsigned __real_metric_place(enum metric_label label, struct str value);

/* ---- threads ---- */

int __wrap_pthread_create(pthread_t *ret, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
	struct co *c = co_new(run, arg);

	if (c == NULL)
		return EAGAIN;
	*ret = (pthread_t)(uintptr_t)c;
	coop_point();
	return 0;
}

int __wrap_pthread_join(pthread_t t, void **ret)
{
	void *result = co_join((struct co *)(uintptr_t)t);

	if (ret != NULL)
		*ret = result;
	return 0;
}

int __wrap_pthread_setname_np(pthread_t t, const char *name)
{
	co_rename((struct co *)(uintptr_t)t, name);
	return 0;
}

pthread_t __wrap_pthread_self(void)
{
	return (pthread_t)(uintptr_t)co_current();
}

int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *before)
{
	return 0;
}

/* ---- mutexes ---- */

static struct mutex *mutex_of(pthread_mutex_t *mutex)
{
	return (struct mutex *)(void *)mutex;
}

int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr)
{
	memset(mutex, 0, sizeof(*mutex));
	return 0;
}

int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex)
{
	if (mutex_of(mutex)->owner != NULL)
		coop_fail("a mutex is destroyed while it is locked");
	return 0;
}

static void lock(struct mutex *m)
{
	struct co *me = co_current();

	if (me == NULL)
		return; /* nobody else is there */
	if (m->owner == me)
		coop_fail("%s locks a mutex twice", coop_name());
	while (m->owner != NULL) {
		m->waiting++;
		co_wait(m, INT64_MAX, false);
		m->waiting--;
	}
	m->owner = me;
	co_count_lock(1);
}

static void unlock(struct mutex *m)
{
	if (co_current() == NULL)
		return;
	if (m->owner != co_current())
		coop_fail("%s unlocks a mutex that it has not locked", coop_name());
	m->owner = NULL;
	co_count_lock(-1);
	if (m->waiting > 0)
		co_wake(m, true);
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
	coop_point();
	lock(mutex_of(mutex));
	return 0;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
	unlock(mutex_of(mutex));
	coop_point();
	return 0;
}

/* ---- conditions ---- */

int __wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr)
{
	struct condition *c = (struct condition *)(void *)cond;
	clockid_t clock = CLOCK_REALTIME;

	memset(cond, 0, sizeof(*cond));
	if (attr != NULL)
		pthread_condattr_getclock(attr, &clock);
	c->clock = (int)clock;
	return 0;
}

int __wrap_pthread_cond_destroy(pthread_cond_t *cond)
{
	return 0;
}

static int wait_at(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t until)
{
	unlock(mutex_of(mutex));
	bool woken = co_wait(cond, until, true);
	lock(mutex_of(mutex));
	return woken ? 0 : ETIMEDOUT;
}

int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
	return wait_at(cond, mutex, INT64_MAX);
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until)
{
	const struct condition *c = (const struct condition *)(const void *)cond;
	int64_t ns = (int64_t)until->tv_sec * 1000 * MS + until->tv_nsec;

	if (until->tv_nsec < 0 || until->tv_nsec >= 1000 * MS)
		coop_fail("a time with %ld nanoseconds", until->tv_nsec);
	if (c->clock != CLOCK_MONOTONIC)
		coop_fail("a wait by a clock that may be set");
	return wait_at(cond, mutex, ns);
}

int __wrap_pthread_cond_signal(pthread_cond_t *cond)
{
	co_wake(cond, false);
	coop_point();
	return 0;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *cond)
{
	co_wake(cond, true);
	coop_point();
	return 0;
}

/* ---- the rest ---- */

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	int64_t ns = clock == CLOCK_REALTIME ? coop_wall_ms() * MS : coop_mono_ns();

	*ret = (struct timespec){.tv_sec = (time_t)(ns / (1000 * MS)), .tv_nsec = (long)(ns % (1000 * MS))};
	return 0;
}

void __wrap___assert_fail(const char *what, const char *file, unsigned line, const char *function)
{
	coop_fail("assertion in %s, %s:%u: %s", function, file, line, what);
}

/* What it remembers outlives the histories, and its lock is taken for what is new only: were that a choice point, a history would go another way in a process that has seen others. */
unsigned __wrap_metric_place(enum metric_label label, struct str value)
{
	coop_quiet_begin();
	unsigned place = __real_metric_place(label, value);
	coop_quiet_end();
	return place;
}
