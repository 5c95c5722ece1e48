#include "net/resolver.h"

#include <assert.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define STACK_BYTES ((size_t)512 * 1024) /* getaddrinfo() and the modules it loads keep answers of up to 64 KiB on the stack */

struct resolver {
	struct resolver_options o;

	pthread_mutex_t lock; /* guards what follows; not held while a name is resolved */
	/* If any waits one runs: whose end lets it begin. */
	struct lookup *waiting, **waiting_tail;
	struct lookup *running; /* each on a thread of its own, which holds a reference */
	struct lookup *finished;
	unsigned threads; /* as many as run */
	bool closed; /* resolver_free() was called: the last thread frees */
};

int resolve_by_system(void *arg, const char *host, struct sockaddr_storage *ret_addrs, size_t max, size_t *ret_n, struct err *e)
{
	/* Without AI_ADDRCONFIG: an address that cannot be reached from here today is judged all the same. */
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	size_t n = 0;
	const int rc = getaddrinfo(host, NULL, &hints, &found);

	if (rc != 0)
		return err_set(e, rc == EAI_MEMORY ? ERR_NO_MEMORY : ERR_UNRESOLVED, "the host's name could not be resolved: %s",
			       gai_strerror(rc));
	for (const struct addrinfo *a = found; a; a = a->ai_next, n++) {
		if (n < max) {
			ret_addrs[n] = (struct sockaddr_storage){};
			memcpy(&ret_addrs[n], a->ai_addr, a->ai_addrlen);
		}
	}
	freeaddrinfo(found);
	*ret_n = n;
	return 0;
}

static void look_up(const struct resolver_options *o, struct lookup *l)
{
	struct err e = ERR_INIT;

	l->code = o->resolve(o->resolve_arg, l->host, l->addrs, NET_ADDRESSES_MAX, &l->n, &e);
	if (l->code == 0 && l->n == 0)
		l->code = err_set(&e, ERR_UNRESOLVED, "the host's name has no address");
	if (l->code == 0 && l->n > NET_ADDRESSES_MAX)
		l->code = err_set(&e, ERR_UNRESOLVED, "the host's name has more than %d addresses", NET_ADDRESSES_MAX);
	memcpy(l->detail, e.detail, sizeof(l->detail));
}

static void free_list(struct lookup *l)
{
	while (l) {
		struct lookup *next = l->next;

		free(l);
		l = next;
	}
}

static void destroy(struct resolver *r)
{
	free_list(r->waiting);
	free_list(r->finished);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

/* ---- who may begin; the lock is held ---- */

static void put_waiting(struct resolver *r, struct lookup **at, struct lookup *l)
{
	l->next = *at;
	*at = l;
	if (r->waiting_tail == at)
		r->waiting_tail = &l->next;
}

static void take_waiting(struct resolver *r, struct lookup **at)
{
	struct lookup *l = *at;

	*at = l->next;
	if (r->waiting_tail == &l->next)
		r->waiting_tail = at;
}

static void take_running(struct resolver *r, const struct lookup *l)
{
	struct lookup **at = &r->running;

	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	r->threads--;
}

/* A party that has none may always begin one while any thread is left, one that has many leaves as many to the others. */
static bool may_begin(const struct resolver *r, const struct lookup *l)
{
	unsigned left = r->o.threads_max - r->threads, own = 0;

	for (const struct lookup *x = r->running; x && l->party; x = x->next)
		own += x->party == l->party;
	return own < left;
}

/* The first that may begin, now running; NULL: none. */
static struct lookup *begin_next(struct resolver *r)
{
	struct lookup **at = &r->waiting, *l;

	if (r->closed || r->threads >= r->o.threads_max)
		return NULL;
	while (*at && !may_begin(r, *at))
		at = &(*at)->next;
	l = *at;
	if (!l)
		return NULL;
	take_waiting(r, at);
	l->next = r->running;
	r->running = l;
	r->threads++;
	return l;
}

/* ---- threads ---- */

static int start_thread(struct lookup *l);

/* Begins what may begin beside those that run. Without a thread for it it waits on. */
static void begin_all(struct resolver *r)
{
	struct lookup *l;

	while ((l = begin_next(r)) != NULL)
		if (start_thread(l) != 0) {
			take_running(r, l);
			put_waiting(r, &r->waiting, l);
			break;
		}
}

/* Takes back the one that was looked up. The next one for this thread; NULL: none. */
static struct lookup *exchange(struct resolver *r, struct lookup *finished)
{
	struct lookup *next;
	bool last;

	pthread_mutex_lock(&r->lock);
	take_running(r, finished);
	finished->next = r->finished;
	r->finished = finished;
	/* Under the lock: after resolver_free() nothing is told any more. */
	if (!r->closed)
		r->o.finished(r->o.finished_arg);
	next = begin_next(r);
	begin_all(r); /* with this one back, another party's may begin too */
	last = r->closed && r->threads == 0;
	pthread_mutex_unlock(&r->lock);
	if (!last)
		return next;
	destroy(r);
	return NULL;
}

static void *work(void *arg)
{
	struct lookup *l = arg;
	struct resolver *r = l->resolver;

	pthread_setname_np(pthread_self(), "net-name");
	do
		look_up(&r->o, l);
	while ((l = exchange(r, l)) != NULL);
	return NULL;
}

/* Detached, without signals. */
static int start_thread(struct lookup *l)
{
	pthread_attr_t attr;
	sigset_t all, before;
	pthread_t thread;
	int rc;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&thread, &attr, work, l);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return rc;
}

int resolver_new(struct resolver **ret, const struct resolver_options *o, struct err *e)
{
	struct resolver *r = calloc(1, sizeof(*r));

	if (!r)
		return err_set(e, ERR_NO_MEMORY, "no memory for the resolver");
	r->o = *o;
	r->waiting_tail = &r->waiting;
	pthread_mutex_init(&r->lock, NULL);
	*ret = r;
	return 0;
}

int resolver_start(struct resolver *r, struct lookup **ret_lookup, const char *host, uint64_t party, void *owner, struct err *e)
{
	struct lookup *l = calloc(1, sizeof(*l));
	bool alone;

	assert(strlen(host) < sizeof(l->host));
	if (!l)
		return err_set(e, ERR_NO_MEMORY, "no memory for a lookup");
	l->owner = owner;
	l->party = party;
	l->resolver = r;
	memcpy(l->host, host, strlen(host) + 1);
	pthread_mutex_lock(&r->lock);
	put_waiting(r, r->waiting_tail, l);
	begin_all(r);
	/* No thread could be started, and no other one will come to it. */
	alone = r->threads == 0;
	if (alone) {
		assert(r->waiting == l);
		take_waiting(r, &r->waiting);
	}
	pthread_mutex_unlock(&r->lock);
	if (alone) {
		free(l);
		return err_set(e, ERR_OVERLOADED, "no thread could be started to resolve the host's name");
	}
	*ret_lookup = l;
	return 0;
}

void resolver_drop(struct resolver *r, struct lookup *l)
{
	struct lookup **at;

	pthread_mutex_lock(&r->lock);
	for (at = &r->waiting; *at && *at != l; at = &(*at)->next)
		;
	if (*at) {
		take_waiting(r, at);
	} else {
		l->owner = NULL;
		l = NULL;
	}
	pthread_mutex_unlock(&r->lock);
	free(l);
}

struct lookup *resolver_take(struct resolver *r)
{
	struct lookup *l;

	pthread_mutex_lock(&r->lock);
	l = r->finished;
	r->finished = NULL;
	pthread_mutex_unlock(&r->lock);
	return l;
}

void resolver_free(struct resolver *r)
{
	bool last;

	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	r->closed = true;
	last = r->threads == 0;
	pthread_mutex_unlock(&r->lock);
	if (last)
		destroy(r);
}
