/* Changes of webhooks and their deliveries. */
#include "catalog/memory/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void no_memory(struct change *ch)
{
	change_refuse(ch, ERR_NO_MEMORY, "no memory for this change");
}

/* ---- room ---- */

static void delivery_free(struct mem_delivery *d)
{
	if (!d)
		return;
	buf_release(&d->payload);
	free(d);
}

static struct mem_delivery *delivery_new(void)
{
	struct mem_delivery *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	buf_reserve(&d->payload, WEBHOOK_PAYLOAD_MAX);
	if (buf_ok(&d->payload))
		return d;
	delivery_free(d);
	return NULL;
}

bool mem_reserve_deliveries(struct mem *m, size_t n)
{
	if (n == 0)
		return true;
	if (!mem_grow(&m->deliveries, &m->cap_deliveries, m->n_deliveries + n, sizeof(struct mem_delivery *)))
		return false;
	while (m->n_spare < n) {
		struct mem_delivery *d = delivery_new();

		if (!d)
			return false;
		d->next = m->spare;
		m->spare = d;
		m->n_spare++;
	}
	return true;
}

void mem_spare_release(struct mem *m)
{
	while (m->spare) {
		struct mem_delivery *d = m->spare;

		m->spare = d->next;
		delivery_free(d);
	}
	m->n_spare = 0;
}

static void webhook_free(struct mem_webhook *w)
{
	if (!w)
		return;
	arena_release(&w->text);
	free(w);
}

void mem_webhooks_release(struct mem *m)
{
	mem_spare_release(m);
	for (size_t i = 0; i < m->n_deliveries; i++)
		delivery_free(m->deliveries[i]);
	for (size_t i = 0; i < m->n_webhooks; i++)
		webhook_free(m->webhooks[i]);
	free(m->deliveries);
	free(m->webhooks);
}

/* ---- the ends of jobs ---- */

static struct mem_delivery *find_delivery(const struct mem *m, const struct mem_webhook *w, struct uuid id)
{
	for (size_t i = m->n_deliveries; i > 0; i--)
		if (m->deliveries[i - 1]->webhook == w && uuid_eq(m->deliveries[i - 1]->delivery.id, id))
			return m->deliveries[i - 1];
	return NULL;
}

/* Room was reserved, and the payload is written already. */
static void delivery_in(struct mem *m, struct mem_webhook *w, struct mem_delivery *d, const struct delivery *what)
{
	assert(m->n_deliveries < m->cap_deliveries && buf_ok(&d->payload));
	d->delivery = *what;
	d->delivery.number = ++m->last_delivery;
	d->delivery.webhook = w->webhook.id;
	d->delivery.webhook_number = w->webhook.number;
	d->delivery.due_at = what->created_at;
	d->delivery.payload = buf_str(&d->payload);
	d->webhook = w;
	m->deliveries[m->n_deliveries++] = d;
	w->webhook.waiting++;
	m->base.deliveries++;
}

static struct mem_delivery *take_spare(struct mem *m)
{
	struct mem_delivery *d = m->spare;

	assert(d);
	m->spare = d->next;
	m->n_spare--;
	return d;
}

void mem_deliver(struct mem *m, const struct mem_job *j)
{
	const struct job *job = &j->job;

	for (size_t i = 0; m->webhooks_on > 0 && i < m->n_webhooks; i++) {
		struct mem_webhook *w = m->webhooks[i];
		const struct delivery what = delivery_of_end(w->webhook.id, job);
		struct mem_delivery *d;

		if (w->deleted_at || w->webhook.disabled_at || !str_eq(w->webhook.owner, j->file->file.owner) ||
		    !webhook_wants(w->webhook.events, w->webhook.ops, job->state, job->op))
			continue;
		if (find_delivery(m, w, what.id))
			continue;
		d = take_spare(m);
		webhook_payload_job(&d->payload, job);
		delivery_in(m, w, d, &what);
	}
}

/* ---- by hand ---- */

static struct mem_webhook *find_webhook(struct mem *m, struct change *ch, struct uuid id, struct str owner)
{
	for (size_t i = 0; i < m->n_webhooks; i++) {
		struct mem_webhook *w = m->webhooks[i];

		if (uuid_eq(w->webhook.id, id) && !w->deleted_at && str_eq(w->webhook.owner, owner))
			return w;
	}
	change_no_webhook(ch);
	return NULL;
}

static void switch_webhook(struct mem *m, struct mem_webhook *w, enum webhook_off off, int64_t now)
{
	struct webhook *h = &w->webhook;

	if (h->disabled_at && off != WEBHOOK_ON)
		return; /* why it was switched off first is what counts */
	m->webhooks_on -= !h->disabled_at;
	m->webhooks_on += off == WEBHOOK_ON;
	h->off = off;
	h->disabled_at = off == WEBHOOK_ON ? 0 : now;
	if (off == WEBHOOK_ON)
		h->failing_since = 0;
}

static struct mem_webhook *webhook_new(const struct webhook *from)
{
	struct mem_webhook *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->webhook = *from;
	w->webhook.owner = arena_str(&w->text, from->owner);
	w->webhook.url = arena_str(&w->text, from->url);
	w->webhook.ops = arena_str(&w->text, from->ops);
	w->webhook.description = arena_str(&w->text, from->description);
	if (w->webhook.owner.p && w->webhook.url.p && w->webhook.ops.p && w->webhook.description.p)
		return w;
	webhook_free(w);
	return NULL;
}

void mem_add_webhook(struct mem *m, struct change *ch)
{
	struct webhook *from = ch->add_webhook.webhook;
	struct mem_webhook *w;
	uint32_t own = 0;

	for (size_t i = 0; i < m->n_webhooks; i++) {
		if (uuid_eq(m->webhooks[i]->webhook.id, from->id)) {
			change_refuse(ch, ERR_CONFLICT, "an id of this change is taken already");
			return;
		}
		own += !m->webhooks[i]->deleted_at && str_eq(m->webhooks[i]->webhook.owner, from->owner);
	}
	if (own >= ch->add_webhook.max) {
		change_too_many_webhooks(ch, ch->add_webhook.max);
		return;
	}
	w = mem_grow(&m->webhooks, &m->cap_webhooks, m->n_webhooks, sizeof(struct mem_webhook *)) ? webhook_new(from) : NULL;
	if (!w) {
		no_memory(ch);
		return;
	}
	w->webhook.number = from->number = ++m->last_webhook;
	w->webhook.previous_until = w->webhook.failing_since = w->webhook.disabled_at = 0;
	w->webhook.off = WEBHOOK_ON;
	w->webhook.waiting = 0;
	m->webhooks[m->n_webhooks++] = w;
	m->webhooks_on++;
}

static struct str replaced(struct mem_webhook *w, struct str with, struct str old)
{
	return with.p ? arena_str(&w->text, with) : old;
}

void mem_patch_webhook(struct mem *m, struct change *ch)
{
	const struct change_patch_webhook *p = &ch->patch_webhook;
	struct mem_webhook *w = find_webhook(m, ch, p->id, p->owner);
	struct str url, description, ops;

	if (!w)
		return;
	url = replaced(w, p->url, w->webhook.url);
	description = replaced(w, p->description, w->webhook.description);
	ops = replaced(w, p->ops, w->webhook.ops);
	if (!url.p || !description.p || !ops.p) {
		no_memory(ch);
		return;
	}
	if (!str_eq(w->webhook.url, url))
		w->webhook.failing_since = 0;
	w->webhook.url = url;
	w->webhook.description = description;
	w->webhook.ops = ops;
	if (p->events != 0)
		w->webhook.events = p->events;
	if (!p->set_enabled || p->enabled == !w->webhook.disabled_at)
		return;
	m->base.deliveries += p->enabled;
	switch_webhook(m, w, p->enabled ? WEBHOOK_ON : WEBHOOK_OFF_BY_HAND, p->now);
}

void mem_rotate_webhook(struct mem *m, struct change *ch)
{
	const struct change_rotate_webhook *r = &ch->rotate_webhook;
	struct mem_webhook *w = find_webhook(m, ch, r->id, r->owner);

	if (!w)
		return;
	w->webhook.previous = w->webhook.secret;
	w->webhook.previous_until = r->previous_until;
	w->webhook.secret = r->secret;
}

void mem_delete_webhook(struct mem *m, struct change *ch)
{
	struct mem_webhook *w = find_webhook(m, ch, ch->delete_webhook.id, ch->delete_webhook.owner);

	if (!w)
		return;
	m->webhooks_on -= !w->webhook.disabled_at;
	w->deleted_at = ch->delete_webhook.now;
	w->webhook.secret = w->webhook.previous = (struct webhook_secret){};
}

void mem_add_ping(struct mem *m, struct change *ch)
{
	const struct change_add_ping *p = &ch->add_ping;
	const struct delivery what = {.id = p->id, .event = WEBHOOK_PING, .created_at = p->now};
	struct mem_webhook *w = find_webhook(m, ch, p->webhook, p->owner);
	struct mem_delivery *d;

	if (!w)
		return;
	if (w->webhook.disabled_at) {
		change_webhook_off(ch);
		return;
	}
	if (!mem_reserve_deliveries(m, 1)) {
		no_memory(ch);
		return;
	}
	d = take_spare(m);
	buf_add_str(&d->payload, p->payload);
	delivery_in(m, w, d, &what);
}

/* ---- attempts ---- */

static void log_attempt(struct mem_delivery *d, const struct delivery_attempt *t)
{
	size_t at = d->delivery.n_log;

	if (at == DELIVERY_LOG_MAX) {
		at--;
		memmove(d->errors[0], d->errors[1], sizeof(d->errors) - sizeof(d->errors[0]));
		memmove(&d->log[0], &d->log[1], at * sizeof(d->log[0]));
	}
	if (t->error.len > 0)
		memcpy(d->errors[at], t->error.p, t->error.len);
	d->log[at] = *t;
	d->delivery.n_log = at + 1;
	for (size_t i = 0; i <= at; i++)
		d->log[i].error.p = d->log[i].error.p ? d->errors[i] : NULL;
}

static void judge_webhook(struct mem *m, struct change_attempt *t, struct mem_webhook *w)
{
	struct webhook *h = &w->webhook;
	int64_t since = h->failing_since;

	if (t->state == DELIVERY_DELIVERED)
		h->failing_since = 0;
	else if (since == 0)
		h->failing_since = t->attempt.at;
	else if (t->off == WEBHOOK_ON && since < t->failing_before)
		t->off = WEBHOOK_OFF_FAILING;
	if (h->disabled_at)
		t->off = WEBHOOK_ON;
	if (t->off != WEBHOOK_ON)
		switch_webhook(m, w, t->off, t->attempt.at);
}

void mem_attempt(struct mem *m, struct change *ch)
{
	struct change_attempt *t = &ch->attempt;
	struct mem_delivery *d = NULL;
	bool ended, elsewhere;

	for (size_t i = 0; i < m->n_deliveries && !d; i++)
		if (m->deliveries[i]->delivery.number == t->delivery)
			d = m->deliveries[i];
	if (!d || d->delivery.state != DELIVERY_WAITING || d->webhook->deleted_at) {
		change_refuse(ch, ERR_STALE, "the delivery does not wait any more");
		return;
	}
	elsewhere = t->url.p && !str_eq(t->url, d->webhook->webhook.url);
	if (elsewhere)
		attempt_was_elsewhere(t);
	ended = t->state != DELIVERY_WAITING;
	d->delivery.state = t->state;
	d->delivery.tries++;
	d->delivery.due_at = ended ? t->attempt.at : t->due_at;
	d->delivery.ended_at = ended ? t->attempt.at + t->attempt.duration_ms : 0;
	d->webhook->webhook.waiting -= ended;
	log_attempt(d, &t->attempt);
	if (!elsewhere)
		judge_webhook(m, t, d->webhook);
}

/* ---- again ---- */

static void again(struct mem *m, struct change_replay *r, struct mem_delivery *d)
{
	d->webhook->webhook.waiting += d->delivery.state != DELIVERY_WAITING;
	d->delivery.state = DELIVERY_WAITING;
	d->delivery.tries = 0;
	d->delivery.due_at = r->now;
	d->delivery.ended_at = 0;
	m->base.deliveries++;
	r->replayed++;
}

/* The oldest that failed, since then. */
static struct mem_delivery *first_failed(const struct mem *m, const struct mem_webhook *w, int64_t since)
{
	struct mem_delivery *oldest = NULL;

	for (size_t i = 0; i < m->n_deliveries; i++) {
		struct mem_delivery *d = m->deliveries[i];

		if (d->webhook == w && d->delivery.state == DELIVERY_FAILED && d->delivery.created_at >= since &&
		    (!oldest || d->delivery.created_at < oldest->delivery.created_at))
			oldest = d;
	}
	return oldest;
}

void mem_replay(struct mem *m, struct change *ch)
{
	struct change_replay *r = &ch->replay;
	struct mem_webhook *w = find_webhook(m, ch, r->webhook, r->owner);
	struct mem_delivery *d;

	r->replayed = 0;
	if (!w)
		return;
	if (w->webhook.disabled_at) {
		change_webhook_off(ch);
	} else if (uuid_is_zero(r->delivery)) {
		while (r->replayed < r->max && (d = first_failed(m, w, r->since)))
			again(m, r, d);
	} else if ((d = find_delivery(m, w, r->delivery))) {
		again(m, r, d);
	} else {
		change_no_delivery(ch);
	}
}

/* ---- purging ---- */

static bool to_go(const struct mem_delivery *d, int64_t before)
{
	const struct mem_webhook *w = d->webhook;

	if (w->deleted_at || (d->delivery.ended_at && d->delivery.ended_at < before))
		return true;
	return d->delivery.state == DELIVERY_WAITING && w->webhook.disabled_at && w->webhook.disabled_at < before;
}

static bool has_deliveries(const struct mem *m, const struct mem_webhook *w)
{
	for (size_t i = 0; i < m->n_deliveries; i++)
		if (m->deliveries[i]->webhook == w)
			return true;
	return false;
}

void mem_purge_deliveries(struct mem *m, int64_t before, uint32_t max)
{
	size_t kept = 0;

	for (size_t i = 0; i < m->n_deliveries; i++) {
		struct mem_delivery *d = m->deliveries[i];

		if (max == 0 || !to_go(d, before)) {
			m->deliveries[kept++] = d;
			continue;
		}
		d->webhook->webhook.waiting -= d->delivery.state == DELIVERY_WAITING;
		delivery_free(d);
		max--;
	}
	m->n_deliveries = kept;
	kept = 0;
	for (size_t i = 0; i < m->n_webhooks; i++) {
		struct mem_webhook *w = m->webhooks[i];

		if (w->deleted_at && !has_deliveries(m, w))
			webhook_free(w);
		else
			m->webhooks[kept++] = w;
	}
	m->n_webhooks = kept;
}
