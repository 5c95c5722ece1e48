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
	struct lookup *waiting, **waiting_tail;
	struct lookup *finished;
	unsigned threads; /* running; each holds a reference */
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

/* The next one to look up; NULL: none, and the thread is no longer counted. Takes back the last one. */
static struct lookup *exchange(struct resolver *r, struct lookup *finished)
{
	struct lookup *next = NULL;
	bool last;

	pthread_mutex_lock(&r->lock);
	if (finished) {
		finished->next = r->finished;
		r->finished = finished;
		/* Under the lock: after resolver_free() nothing is told any more. */
		if (!r->closed)
			r->o.finished(r->o.finished_arg);
	}
	if (!r->closed && r->waiting) {
		next = r->waiting;
		r->waiting = next->next;
		if (!r->waiting)
			r->waiting_tail = &r->waiting;
	} else {
		r->threads--;
	}
	last = r->closed && r->threads == 0;
	pthread_mutex_unlock(&r->lock);
	if (last)
		destroy(r);
	return next;
}

static void *work(void *arg)
{
	struct resolver *r = arg;
	struct lookup *l = NULL;

	pthread_setname_np(pthread_self(), "net-name");
	while ((l = exchange(r, l)) != NULL)
		look_up(&r->o, l);
	return NULL;
}

/* Detached, without signals. */
static int start_thread(struct resolver *r)
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
	rc = pthread_create(&thread, &attr, work, r);
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

/* With the lock held: puts it at the end and says whether a thread has to be started for it. */
static bool enqueue(struct resolver *r, struct lookup *l)
{
	*r->waiting_tail = l;
	r->waiting_tail = &l->next;
	if (r->threads >= r->o.threads_max)
		return false;
	r->threads++;
	return true;
}

/* No thread could be started. If others run they will come to it; else it is taken back, and was the only one. */
static bool take_back(struct resolver *r, struct lookup *l)
{
	bool alone;

	pthread_mutex_lock(&r->lock);
	alone = --r->threads == 0 && r->waiting == l;
	if (alone) {
		r->waiting = NULL;
		r->waiting_tail = &r->waiting;
	}
	pthread_mutex_unlock(&r->lock);
	return alone;
}

int resolver_start(struct resolver *r, struct lookup **ret_lookup, const char *host, void *owner, struct err *e)
{
	struct lookup *l = calloc(1, sizeof(*l));
	bool start;

	assert(strlen(host) < sizeof(l->host));
	if (!l)
		return err_set(e, ERR_NO_MEMORY, "no memory for a lookup");
	l->owner = owner;
	memcpy(l->host, host, strlen(host) + 1);
	pthread_mutex_lock(&r->lock);
	start = enqueue(r, l);
	pthread_mutex_unlock(&r->lock);
	if (start && start_thread(r) != 0 && take_back(r, l)) {
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
		*at = l->next;
		if (!*at)
			r->waiting_tail = at;
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
