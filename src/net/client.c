/* The client's life and its thread.
 *
 * Requests live in a fixed table of slots. Any thread fills a slot or marks one to be ended, under the lock, and wakes the client's thread; all else is
 * done by that thread alone: it takes what is new or marked, hands libcurl its turn, ends what is finished, and sleeps in
 * curl_multi_poll(). A slot is free again before `done` is called, so `done` may send the next request; `busy` falls after it,
 * so that a drain waits for it. */
#include "base/compiler.h"
#include "net/client_impl.h"

#include <assert.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALLS_DEFAULT 256
#define CALLS_MAX 65535 /* a slot's number is the low 16 bits of an id */
#define LOOKUPS_DEFAULT 32
#define IDLE_CONNECTIONS 64L
#define SLEEP_MS_MAX 60000 /* nothing depends on it */

struct slot {
	struct call *call; /* NULL: free */
	bool taken; /* the thread has seen it */
	int end; /* 0, or the code it is to end with */
	bool resume; /* there is room for its body again */
};

struct net_client {
	struct env *env;
	struct hop_config config;
	unsigned calls_max;
	CURLM *multi; /* the thread's; others only wake it */
	struct resolver *resolver; /* the thread's */
	pthread_t thread;
	bool started;

	pthread_mutex_t lock; /* guards what follows; not held during `done` or libcurl's turn */
	pthread_cond_t idle; /* busy fell to 0; waits on CLOCK_MONOTONIC */
	struct slot *slots;
	size_t busy; /* calls whose `done` has not returned */
	uint64_t serial; /* of the last id */
	bool changed; /* a slot was filled or marked since the thread looked */
	bool closing; /* no more requests */
	bool ending; /* the thread ends when no slot is filled */
};

const struct hop_config *client_hop_config(const struct net_client *c)
{
	return &c->config;
}

int64_t client_wall_ms(const struct net_client *c)
{
	return c->env->wall_ms(c->env);
}

static int64_t now_ms(const struct net_client *c)
{
	return c->env->mono_ms(c->env);
}

static void wake(void *client)
{
	struct net_client *c = client;

	curl_multi_wakeup(c->multi);
}

/* ---- the thread ---- */

/* Gives the call back. It is in no list of the thread any more. */
static void finish(struct net_client *c, struct call *call, int code)
{
	struct net_result *r = &call->result;
	struct slot *slot = &c->slots[call->id & CALLS_MAX];

	if (call->easy)
		curl_multi_remove_handle(c->multi, call->easy);
	if (call->lookup)
		resolver_drop(c->resolver, call->lookup);
	hop_close(call);
	r->code = code;
	r->detail = code == 0 ? "" : call->detail;
	r->total_ms = now_ms(c) - call->started_ms;
	pthread_mutex_lock(&c->lock);
	*slot = (struct slot){};
	pthread_mutex_unlock(&c->lock);
	call->done(call->arg, r);
	call_free(call);
	pthread_mutex_lock(&c->lock);
	if (--c->busy == 0)
		pthread_cond_broadcast(&c->idle);
	pthread_mutex_unlock(&c->lock);
}

static void start_transfer(struct net_client *c, struct call *call)
{
	int rc = hop_open(call, now_ms(c));

	call->stage = STAGE_TRANSFER;
	if (rc == 0 && curl_multi_add_handle(c->multi, call->easy) != CURLM_OK)
		rc = call_fail(call, ERR_NO_MEMORY, "no memory for a transfer");
	if (rc != 0)
		finish(c, call, rc);
}

static void start_hop(struct net_client *c, struct call *call)
{
	struct err e = ERR_INIT;
	int rc;

	call->hop_ms = now_ms(c);
	call->connected_by_ms = call->hop_ms + call->limits.connect_ms;
	rc = hop_aim(call);
	if (rc == 0 && call->addrs_n > 0) {
		start_transfer(c, call);
		return;
	}
	call->stage = STAGE_RESOLVING;
	if (rc == 0) {
		rc = resolver_start(c->resolver, &call->lookup, call->target.host, call->party, call, &e);
		if (rc != 0)
			call_fail(call, rc, "%s", e.detail);
	}
	if (rc != 0)
		finish(c, call, rc);
}

static void end_transfer(struct net_client *c, struct call *call, CURLcode code)
{
	int rc;

	curl_multi_remove_handle(c->multi, call->easy);
	rc = hop_end(call, code);
	hop_close(call);
	if (rc == 1)
		start_hop(c, call);
	else
		finish(c, call, rc);
}

static void end_lookup(struct net_client *c, struct call *call, const struct lookup *l)
{
	int rc;

	call->lookup = NULL;
	call->result.resolve_ms = now_ms(c) - call->hop_ms;
	rc = hop_accept(call, l);
	if (rc == 0)
		start_transfer(c, call);
	else
		finish(c, call, rc);
}

static void take_lookups(struct net_client *c)
{
	struct lookup *l = resolver_take(c->resolver);

	while (l) {
		struct lookup *next = l->next;

		if (l->owner)
			end_lookup(c, l->owner, l);
		free(l);
		l = next;
	}
}

static void take_messages(struct net_client *c)
{
	const CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(c->multi, &left)) != NULL) {
		const CURLcode code = m->data.result;
		char *call = NULL;

		/* The message is gone once its handle is removed. */
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &call);
		end_transfer(c, (struct call *)(void *)call, code);
	}
}

/* What came or was marked since the last look, as three lists. */
static void take_changes(struct net_client *c, struct call **ret_new, struct call **ret_ended, struct call **ret_resumed)
{
	*ret_new = *ret_ended = *ret_resumed = NULL;
	pthread_mutex_lock(&c->lock);
	for (unsigned i = 0; c->changed && i < c->calls_max; i++) {
		struct slot *slot = &c->slots[i];
		struct call **list = slot->end ? ret_ended : slot->taken ? ret_resumed : ret_new;

		if (!slot->call || (slot->taken && !slot->end && !slot->resume))
			continue;
		slot->resume = false;
		slot->taken = true;
		if (slot->end)
			slot->call->failure = slot->end;
		slot->call->todo = *list;
		*list = slot->call;
	}
	c->changed = false;
	pthread_mutex_unlock(&c->lock);
}

/* libcurl hands over at once what it kept. That `take` wants no more of it, it says here only: left alone it would go on. */
static void resume(struct net_client *c, struct call *call)
{
	CURLcode code;

	if (call->stage != STAGE_TRANSFER || !call->paused)
		return;
	call->paused = false;
	code = curl_easy_pause(call->easy, CURLPAUSE_CONT);
	if (code != CURLE_OK)
		end_transfer(c, call, code);
}

/* False when the thread is to end. */
static bool work_on_changes(struct net_client *c)
{
	struct call *call, *next, *ended, *resumed;
	bool go_on;

	take_changes(c, &call, &ended, &resumed);
	for (; call; call = next) {
		next = call->todo;
		start_hop(c, call);
	}
	for (call = resumed; call; call = next) {
		next = call->todo;
		resume(c, call);
	}
	for (call = ended; call; call = next) {
		next = call->todo;
		call_fail(call, call->failure, call->failure == ERR_CANCELLED ? "the request was cancelled" : "the server is stopping");
		finish(c, call, call->failure);
	}
	pthread_mutex_lock(&c->lock);
	go_on = !c->ending || c->busy > 0;
	pthread_mutex_unlock(&c->lock);
	return go_on;
}

/* A call whose name took too long; NULL: none, and *ret_sleep_ms is how long that stays so. */
static struct call *next_expired(struct net_client *c, int64_t *ret_sleep_ms)
{
	const int64_t now = now_ms(c);
	struct call *expired = NULL;
	int64_t sleep = SLEEP_MS_MAX;

	pthread_mutex_lock(&c->lock);
	for (unsigned i = 0; !expired && i < c->calls_max; i++) {
		struct call *call = c->slots[i].call;
		int64_t left;

		if (!c->slots[i].taken || call->stage != STAGE_RESOLVING)
			continue;
		left = (call->connected_by_ms < call->done_by_ms ? call->connected_by_ms : call->done_by_ms) - now;
		if (left <= 0)
			expired = call;
		else if (left < sleep)
			sleep = left;
	}
	pthread_mutex_unlock(&c->lock);
	*ret_sleep_ms = sleep;
	return expired;
}

/* libcurl watches the time of transfers, we that of lookups. Returns for how many milliseconds nothing of this is due. */
static int expire_lookups(struct net_client *c)
{
	struct call *expired;
	int64_t sleep;

	while ((expired = next_expired(c, &sleep)) != NULL)
		finish(c, expired, call_fail(expired, ERR_PEER_TIMEOUT, "the host's name was not resolved in time"));
	return (int)sleep;
}

static void *work(void *arg)
{
	struct net_client *c = arg;

	pthread_setname_np(pthread_self(), "net");
	while (work_on_changes(c)) {
		int running = 0, sleep;

		take_lookups(c);
		curl_multi_perform(c->multi, &running);
		take_messages(c);
		sleep = expire_lookups(c);
		curl_multi_poll(c->multi, NULL, 0, sleep, NULL);
	}
	return NULL;
}

/* ---- what others call ---- */

static bool holds_certificates(const char *path)
{
	FILE *f = fopen(path, "re");
	X509 *first;

	if (!f)
		return false;
	first = PEM_read_X509(f, NULL, NULL, NULL);
	fclose(f);
	X509_free(first);
	return first != NULL;
}

static char *copy_text(const char *text, bool *ok)
{
	char *copy;

	if (!text || text[0] == '\0')
		return NULL;
	copy = strdup(text);
	*ok = *ok && copy;
	return copy;
}

static bool init(struct net_client *c, const struct net_client_options *o)
{
	pthread_condattr_t attr;
	bool ok = true;

	c->env = o->env ? o->env : &env_real;
	c->calls_max = o->calls_max ? o->calls_max : CALLS_DEFAULT;
	c->config.policy = o->policy;
	c->config.ca_file = copy_text(o->ca_file, &ok);
	c->config.user_agent = copy_text(o->user_agent, &ok);
	c->slots = calloc(c->calls_max, sizeof(c->slots[0]));
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->idle, &attr);
	pthread_condattr_destroy(&attr);
	c->multi = curl_multi_init();
	return ok && c->slots && c->multi && curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, IDLE_CONNECTIONS) == CURLM_OK &&
	       curl_multi_setopt(c->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING) == CURLM_OK;
}

static int start_thread(struct net_client *c, struct err *e)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&c->thread, NULL, work, c);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	c->started = rc == 0;
	return rc == 0 ? 0 : err_set(e, ERR_OVERLOADED, "the thread for outgoing requests could not be started: %s", strerrordesc_np(rc));
}

static int start(struct net_client *c, const struct net_client_options *o, struct err *e)
{
	const struct resolver_options names = {
		.threads_max = o->lookups_max ? o->lookups_max : LOOKUPS_DEFAULT,
		.resolve = o->resolve ? o->resolve : resolve_by_system,
		.resolve_arg = o->resolve_arg,
		.finished = wake,
		.finished_arg = c,
	};
	int rc;

	if (!init(c, o))
		return err_set(e, ERR_NO_MEMORY, "no memory for outgoing requests");
	if (c->config.ca_file && !holds_certificates(c->config.ca_file))
		return err_set(e, ERR_BAD_CONFIG, "net.ca_file: the file of trusted certificates cannot be read or holds none");
	rc = resolver_new(&c->resolver, &names, e);
	return rc == 0 ? start_thread(c, e) : rc;
}

int net_client_new(struct net_client **ret, const struct net_client_options *o, struct err *e)
{
	struct net_client *c;
	int rc;

	assert(o->calls_max <= CALLS_MAX);
	/* Counted by libcurl; safe on any thread since 7.84. */
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return err_set(e, ERR_NO_MEMORY, "libcurl could not be started");
	c = calloc(1, sizeof(*c));
	if (!c) {
		curl_global_cleanup();
		return err_set(e, ERR_NO_MEMORY, "no memory for outgoing requests");
	}
	rc = start(c, o, e);
	if (rc != 0) {
		net_client_free(c);
		return rc;
	}
	*ret = c;
	return 0;
}

/* With the lock held. */
static int enter(struct net_client *c, struct call *call, struct err *e)
{
	unsigned i = 0;

	if (c->closing)
		return err_set(e, ERR_SHUTTING_DOWN, "the server is stopping");
	while (i < c->calls_max && c->slots[i].call)
		i++;
	if (i == c->calls_max)
		return err_set(e, ERR_OVERLOADED, "%u requests are under way", c->calls_max);
	call->id = ++c->serial << 16 | i;
	c->slots[i].call = call;
	c->busy++;
	c->changed = true;
	return 0;
}

int net_send(struct net_client *c, const struct net_request *r, uint64_t *ret_id, struct err *e)
{
	struct call *call;
	uint64_t id;
	int rc = call_new(&call, c, r, e);

	if (rc != 0)
		return rc;
	call->started_ms = now_ms(c);
	call->done_by_ms = call->started_ms + call->limits.total_ms;
	pthread_mutex_lock(&c->lock);
	rc = enter(c, call, e);
	id = call->id;
	pthread_mutex_unlock(&c->lock);
	if (rc != 0) {
		call_free(call);
		return rc;
	}
	wake(c);
	if (ret_id)
		*ret_id = id;
	return 0;
}

/* With the lock held. */
static void mark(struct net_client *c, struct slot *slot, int code)
{
	if (slot->end == 0)
		slot->end = code;
	c->changed = true;
}

void net_cancel(struct net_client *c, uint64_t id)
{
	const uint64_t i = id & CALLS_MAX;

	pthread_mutex_lock(&c->lock);
	if (i < c->calls_max && c->slots[i].call && c->slots[i].call->id == id)
		mark(c, &c->slots[i], ERR_CANCELLED);
	pthread_mutex_unlock(&c->lock);
	wake(c);
}

void net_resume(struct net_client *c, uint64_t id)
{
	const uint64_t i = id & CALLS_MAX;

	pthread_mutex_lock(&c->lock);
	if (i < c->calls_max && c->slots[i].call && c->slots[i].call->id == id)
		c->slots[i].resume = c->changed = true;
	pthread_mutex_unlock(&c->lock);
	wake(c);
}

size_t net_client_busy(struct net_client *c)
{
	size_t n;

	pthread_mutex_lock(&c->lock);
	n = c->busy;
	pthread_mutex_unlock(&c->lock);
	return n;
}

bool net_client_drain(struct net_client *c, int64_t ms)
{
	struct timespec until;
	bool drained;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(ms / 1000);
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_mutex_lock(&c->lock);
	c->closing = true;
	while (c->busy > 0 && pthread_cond_timedwait(&c->idle, &c->lock, &until) == 0)
		;
	drained = c->busy == 0;
	pthread_mutex_unlock(&c->lock);
	return drained;
}

static void end_thread(struct net_client *c)
{
	pthread_mutex_lock(&c->lock);
	c->closing = c->ending = true;
	for (unsigned i = 0; i < c->calls_max; i++) {
		if (c->slots[i].call)
			mark(c, &c->slots[i], ERR_SHUTTING_DOWN);
	}
	pthread_mutex_unlock(&c->lock);
	wake(c);
	pthread_join(c->thread, NULL);
}

void net_client_free(struct net_client *c)
{
	if (!c)
		return;
	if (c->started)
		end_thread(c);
	/* Before the multi handle, which its threads wake. */
	resolver_free(c->resolver);
	curl_multi_cleanup(c->multi);
	pthread_cond_destroy(&c->idle);
	pthread_mutex_destroy(&c->lock);
	free(c->slots);
	free(c->config.ca_file);
	free(c->config.user_agent);
	free(c);
	curl_global_cleanup();
}
