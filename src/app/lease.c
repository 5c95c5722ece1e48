#include "app/lease.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LEASE_MS 30000
#define BEAT_MS 5000

static int say(struct lease *l, int64_t lease_ms, struct err *e)
{
	return catalog_hold(l->catalog, l->id, str_of(l->holder), lease_ms, e);
}

/* The database counts from when the statement came to it, which may be long before its answer is here: so we count from before it was sent. */
static bool over(const struct lease *l)
{
	return l->env->mono_ms(l->env) - l->said_ms >= LEASE_MS;
}

/* False: it ends. */
static bool wait_beat(struct lease *l)
{
	struct timespec until;
	int rc = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += BEAT_MS / 1000;
	pthread_mutex_lock(&l->lock);
	while (!l->ending && rc == 0)
		rc = pthread_cond_timedwait(&l->changed, &l->lock, &until);
	bool ending = l->ending;
	pthread_mutex_unlock(&l->lock);
	return !ending;
}

/* What the catalogue did not answer is asked again; a row that is gone by then is made anew. */
static void *beat(void *arg)
{
	struct lease *l = arg;

	while (wait_beat(l)) {
		struct err why = ERR_INIT;
		int64_t now = l->env->mono_ms(l->env);

		if (say(l, LEASE_MS, &why) != 0)
			continue;
		pthread_mutex_lock(&l->lock);
		l->lapsed |= over(l);
		l->said_ms = now;
		pthread_mutex_unlock(&l->lock);
	}
	return NULL;
}

int lease_take(struct lease *ret, struct env *env, struct catalog *c, struct err *e)
{
	struct uuid_gen ids = {};
	char host[64] = "";
	pthread_condattr_t monotonic;

	*ret = (struct lease){
		.env = env, .catalog = c, .id = uuid_next(&ids, env->wall_ms(env), env->random(env)), .said_ms = env->mono_ms(env)};
	if (gethostname(host, sizeof(host) - 1) != 0)
		host[0] = '\0';
	snprintf(ret->holder, sizeof(ret->holder), "%s:%ld", host, (long)getpid());
	int rc = say(ret, LEASE_MS, e);
	if (rc != 0)
		return rc;
	pthread_mutex_init(&ret->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&ret->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	ret->taken = pthread_create(&ret->thread, NULL, beat, ret) == 0;
	if (ret->taken)
		return 0;
	pthread_cond_destroy(&ret->changed);
	pthread_mutex_destroy(&ret->lock);
	struct err why = ERR_INIT;
	(void)say(ret, 0, &why); /* or it ends by itself */
	return err_set(e, ERR_NO_MEMORY, "no thread could be had");
}

bool lease_held(struct lease *l)
{
	if (!l->taken)
		return true;
	pthread_mutex_lock(&l->lock);
	bool held = !l->lapsed && !over(l); /* or it is lapsing, and no beat has come through to see it */
	pthread_mutex_unlock(&l->lock);
	return held;
}

void lease_end(struct lease *l)
{
	struct err why = ERR_INIT;

	if (!l->taken)
		return;
	pthread_mutex_lock(&l->lock);
	l->ending = true;
	pthread_cond_signal(&l->changed);
	pthread_mutex_unlock(&l->lock);
	pthread_join(l->thread, NULL);
	(void)say(l, 0, &why); /* or it ends by itself */
	pthread_cond_destroy(&l->changed);
	pthread_mutex_destroy(&l->lock);
	l->taken = false;
}
