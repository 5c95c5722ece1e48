/* Answers that are held back, so that whoever guesses gets to guess rarely. Such an answer is made like any other; only its last step, which wakes the request, is left to the keeper
 * until the time has come. So the connection stays suspended as it was, reads nothing that follows, and costs no thread.
 *
 * What holds: the more are held, the longer each is, so that no more than a thousand a second are sent however many connections there are; beyond their number an answer goes at once and ends
 * its connection; a server that stops holds none. A client that goes away meanwhile keeps its place among the connections of its address until its time has come. */
#include "http/http_impl.h"

#include "rt/metrics.h"

#include <stdlib.h>

#define SPREAD 4 /* up to this part of the time is added, so that those who came at once do not come at once again */
#define BATCH 64

int late_init(struct late *l, unsigned max, struct err *e)
{
	pthread_mutex_init(&l->lock, NULL);
	l->max = max != 0 ? max : LATE_MAX;
	l->held = calloc(l->max, sizeof(*l->held)); /* pages that nobody touches cost nothing */
	return l->held != NULL ? 0 : err_set(e, ERR_NO_MEMORY, "HTTP server");
}

void late_release(struct late *l)
{
	free(l->held);
	pthread_mutex_destroy(&l->lock);
}

void http_answer_late(struct http_request *r, int64_t ms)
{
	r->late_ms = ms;
}

bool late_hold(struct http_request *r)
{
	struct http_server *s = r->server;
	struct late *l = &s->late;
	int64_t now_us = http_now_us();
	bool held;

	if (r->late_ms <= 0 || atomic_load(&s->draining) || atomic_load(&s->stopping))
		return false;
	pthread_mutex_lock(&l->lock);
	held = l->n < l->max;
	if (held) {
		r->answered_us = now_us;
		l->held[l->n] = (struct late_answer){r, now_us / 1000 + r->late_ms + now_us % (r->late_ms / SPREAD + 1) + l->n};
		l->n++;
		metric_add(METRIC_HTTP_HELD, 1);
	} else {
		r->close_after = true;
	}
	pthread_mutex_unlock(&l->lock);
	return held;
}

static unsigned take_due(struct late *l, int64_t now_ms, struct http_request *ret[BATCH])
{
	unsigned n = 0;

	pthread_mutex_lock(&l->lock);
	for (unsigned i = 0; i < l->n && n < BATCH;) {
		if (l->held[i].due_ms > now_ms) {
			i++;
			continue;
		}
		ret[n++] = l->held[i].request;
		l->held[i] = l->held[--l->n];
	}
	pthread_mutex_unlock(&l->lock);
	return n;
}

void late_check(struct http_server *s, int64_t now_ms)
{
	struct http_request *due[BATCH];
	unsigned n;

	while ((n = take_due(&s->late, now_ms, due)) > 0) {
		metric_add(METRIC_HTTP_HELD, -(int64_t)n);
		for (unsigned i = 0; i < n; i++)
			park_replied(due[i]);
	}
}

bool late_any(struct http_server *s)
{
	bool any;

	pthread_mutex_lock(&s->late.lock);
	any = s->late.n > 0;
	pthread_mutex_unlock(&s->late.lock);
	return any;
}
