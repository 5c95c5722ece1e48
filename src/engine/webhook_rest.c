/* Receivers in trouble rest between attempts, so that one that is down costs a request now and then, whatever waits for it. */
#include "engine/webhook.h"

#include <stdlib.h>
#include <string.h>

#define CAP_FIRST 32

void endpoints_release(struct endpoints *all)
{
	free(all->list);
	*all = (struct endpoints){};
}

struct endpoint *endpoint_find(const struct endpoints *all, int64_t webhook)
{
	for (size_t i = 0; i < all->n; i++)
		if (all->list[i].webhook == webhook)
			return &all->list[i];
	return NULL;
}

struct endpoint *endpoint_note(struct endpoints *all, int64_t webhook, struct uuid id)
{
	struct endpoint *x = endpoint_find(all, webhook);

	if (x != NULL)
		return x;
	if (all->n == all->cap) {
		size_t cap = all->cap > 0 ? 2 * all->cap : CAP_FIRST;
		struct endpoint *more = reallocarray(all->list, cap, sizeof(*more));
		if (more == NULL)
			return NULL;
		all->list = more;
		all->cap = cap;
	}
	x = &all->list[all->n++];
	*x = (struct endpoint){.webhook = webhook, .id = id};
	return x;
}

void endpoint_forget(struct endpoints *all, struct endpoint *x)
{
	if (x->under_way == 0 && x->rest_ms == 0)
		*x = all->list[--all->n];
}

void endpoints_forget_idle(struct endpoints *all, int64_t now)
{
	for (size_t i = all->n; i > 0; i--) {
		struct endpoint *x = &all->list[i - 1];
		if (x->under_way == 0 && now - x->resting_until > 10 * x->rest_ms)
			x->rest_ms = 0;
		endpoint_forget(all, x);
	}
}

unsigned endpoint_room(const struct endpoints *all, int64_t webhook, unsigned most)
{
	const struct endpoint *x = endpoint_find(all, webhook);

	if (x == NULL)
		return most;
	if (x->rest_ms > 0)
		most = 1;
	return x->under_way < most ? most - x->under_way : 0;
}

/* The first rest is the schedule's first pause, the longest its second one. */
void endpoint_rest(struct endpoint *x, const struct engine_webhooks *config, int64_t began, int64_t now, int64_t asked_ms)
{
	int64_t first = config->n_retry > 1 ? config->retry_ms[1] : 1000, longest = config->n_retry > 2 ? config->retry_ms[2] : first;
	int64_t twice = 2 * x->rest_ms, until = now + asked_ms;

	if (x->resting_until <= began) {
		x->rest_ms = x->rest_ms == 0 ? first : twice < longest ? twice : longest;
		until = now + (asked_ms > x->rest_ms ? asked_ms : x->rest_ms);
	}
	if (until > x->resting_until)
		x->resting_until = until;
}

void endpoints_end_rests(struct endpoints *all, const struct uuid *id)
{
	for (size_t i = 0; i < all->n; i++)
		if (id == NULL || memcmp(id, &all->list[i].id, sizeof(*id)) == 0)
			all->list[i].resting_until = 0;
}
