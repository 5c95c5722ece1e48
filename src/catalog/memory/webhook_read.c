/* What is known of webhooks and their deliveries; copied under the lock, as in read.c. */
#include "catalog/memory/memory.h"

static bool copy_webhook(struct webhook *ret, const struct webhook *w, struct arena *a)
{
	*ret = *w;
	ret->owner = arena_str(a, w->owner);
	ret->url = arena_str(a, w->url);
	ret->ops = arena_str(a, w->ops);
	ret->description = arena_str(a, w->description);
	return ret->owner.p && ret->url.p && ret->ops.p && ret->description.p;
}

static bool copy_log(struct delivery *ret, const struct mem_delivery *d, struct arena *a)
{
	if (ret->n_log == 0)
		return true;
	ret->log = arena_alloc(a, ret->n_log * sizeof(*ret->log));
	for (size_t i = 0; ret->log && i < ret->n_log; i++) {
		ret->log[i] = d->log[i];
		if (d->log[i].error.p && !(ret->log[i].error = arena_str(a, d->log[i].error)).p)
			return false;
	}
	return ret->log;
}

static bool copy_delivery(struct delivery *ret, const struct mem_delivery *d, bool payload, bool log, struct arena *a)
{
	*ret = d->delivery;
	ret->payload = payload ? arena_str(a, d->delivery.payload) : (struct str){};
	ret->log = NULL;
	if (!log)
		ret->n_log = 0;
	return (!payload || ret->payload.p) && copy_log(ret, d, a);
}

static const struct mem_webhook *find(const struct mem *m, struct uuid id, struct str owner)
{
	for (size_t i = 0; i < m->n_webhooks; i++) {
		const struct mem_webhook *w = m->webhooks[i];

		if (uuid_eq(w->webhook.id, id) && !w->deleted_at && str_eq(w->webhook.owner, owner))
			return w;
	}
	return NULL;
}

static int no_webhook(struct err *e)
{
	return err_set(e, ERR_WEBHOOK_NOT_FOUND, "there is no webhook with this id");
}

int mem_webhook(struct catalog *c, struct uuid id, struct str owner, struct arena *a, struct webhook *ret, struct err *e)
{
	struct mem *m = mem_locked(c);
	const struct mem_webhook *w = find(m, id, owner);
	struct webhook copy;

	if (!w)
		return mem_unlocked(m, no_webhook(e));
	if (!copy_webhook(&copy, &w->webhook, a))
		return mem_unlocked(m, mem_nothing_read(e));
	*ret = copy;
	return mem_unlocked(m, 0);
}

int mem_list_webhooks(struct catalog *c, struct str owner, struct page page, struct arena *a, struct webhook **ret, size_t *ret_n,
		      int64_t *ret_next, struct err *e)
{
	struct webhook *list = arena_alloc(a, page.limit * sizeof(*list));
	int64_t next = 0;
	struct mem *m;
	size_t n = 0;

	if (!list)
		return mem_nothing_read(e);
	m = mem_locked(c);
	for (size_t i = m->n_webhooks; i > 0; i--) {
		const struct mem_webhook *w = m->webhooks[i - 1];

		if (w->deleted_at || w->webhook.number >= page.before || !str_eq(w->webhook.owner, owner))
			continue;
		if (n == page.limit) {
			next = list[n - 1].number;
			break;
		}
		if (!copy_webhook(&list[n++], &w->webhook, a))
			return mem_unlocked(m, mem_nothing_read(e));
	}
	*ret = list;
	*ret_n = n;
	*ret_next = next;
	return mem_unlocked(m, 0);
}

int mem_delivery(struct catalog *c, struct uuid webhook, struct str owner, struct uuid id, struct arena *a, struct delivery *ret,
		 struct err *e)
{
	struct mem *m = mem_locked(c);
	const struct mem_webhook *w = find(m, webhook, owner);
	struct delivery copy;

	if (!w)
		return mem_unlocked(m, no_webhook(e));
	for (size_t i = 0; i < m->n_deliveries; i++) {
		const struct mem_delivery *d = m->deliveries[i];

		if (d->webhook != w || !uuid_eq(d->delivery.id, id))
			continue;
		if (!copy_delivery(&copy, d, true, true, a))
			return mem_unlocked(m, mem_nothing_read(e));
		*ret = copy;
		return mem_unlocked(m, 0);
	}
	return mem_unlocked(m, err_set(e, ERR_DELIVERY_NOT_FOUND, "the webhook has no delivery with this id"));
}

int mem_list_deliveries(struct catalog *c, struct uuid webhook, struct str owner, int state, struct page page, struct arena *a,
			struct delivery **ret, size_t *ret_n, int64_t *ret_next, struct err *e)
{
	struct delivery *list = arena_alloc(a, page.limit * sizeof(*list));
	const struct mem_webhook *w;
	int64_t last = 0, next = 0;
	struct mem *m;
	size_t n = 0;

	if (!list)
		return mem_nothing_read(e);
	m = mem_locked(c);
	w = find(m, webhook, owner);
	if (!w)
		return mem_unlocked(m, no_webhook(e));
	for (size_t i = m->n_deliveries; i > 0; i--) {
		const struct mem_delivery *d = m->deliveries[i - 1];

		if (d->webhook != w || d->delivery.number >= page.before)
			continue;
		if (n == page.limit) {
			next = last;
			break;
		}
		last = d->delivery.number;
		if (state >= 0 && (int)d->delivery.state != state)
			continue;
		if (!copy_delivery(&list[n++], d, false, true, a))
			return mem_unlocked(m, mem_nothing_read(e));
	}
	*ret = list;
	*ret_n = n;
	*ret_next = next;
	return mem_unlocked(m, 0);
}

/* ---- what is due ---- */

/* The webhook's first after (due_at, number); NULL: none waits. */
static const struct mem_delivery *next_waiting(const struct mem *m, const struct mem_webhook *w, const struct mem_delivery *after)
{
	const struct mem_delivery *best = NULL;

	for (size_t i = 0; i < m->n_deliveries; i++) {
		const struct mem_delivery *d = m->deliveries[i];
		int64_t at = d->delivery.due_at;

		if (d->webhook != w || d->delivery.state != DELIVERY_WAITING)
			continue;
		if (after &&
		    (at < after->delivery.due_at || (at == after->delivery.due_at && d->delivery.number <= after->delivery.number)))
			continue;
		if (!best || at < best->delivery.due_at)
			best = d;
	}
	return best;
}

int mem_due_webhooks(struct catalog *c, int64_t after, uint32_t max, struct arena *a, struct due_webhook **ret, size_t *ret_n,
		     struct err *e)
{
	struct due_webhook *list = arena_alloc(a, max * sizeof(*list));
	struct mem *m;
	size_t n = 0;

	if (!list)
		return mem_nothing_read(e);
	m = mem_locked(c);
	for (size_t i = 0; i < m->n_webhooks && n < max; i++) {
		const struct mem_webhook *w = m->webhooks[i];
		const struct mem_delivery *d;

		if (w->deleted_at || w->webhook.disabled_at || w->webhook.number <= after || !(d = next_waiting(m, w, NULL)))
			continue;
		list[n].due_at = d->delivery.due_at;
		if (!copy_webhook(&list[n++].webhook, &w->webhook, a))
			return mem_unlocked(m, mem_nothing_read(e));
	}
	*ret = list;
	*ret_n = n;
	return mem_unlocked(m, 0);
}

int mem_due_deliveries(struct catalog *c, int64_t webhook_number, int64_t now, uint32_t max, struct arena *a, struct delivery **ret,
		       size_t *ret_n, struct err *e)
{
	struct delivery *list = arena_alloc(a, max * sizeof(*list));
	const struct mem_webhook *w = NULL;
	const struct mem_delivery *d = NULL;
	struct mem *m;
	size_t n = 0;

	if (!list)
		return mem_nothing_read(e);
	m = mem_locked(c);
	for (size_t i = 0; i < m->n_webhooks; i++)
		if (m->webhooks[i]->webhook.number == webhook_number)
			w = m->webhooks[i];
	while (w && n < max && (d = next_waiting(m, w, d)) && d->delivery.due_at <= now)
		if (!copy_delivery(&list[n++], d, true, false, a))
			return mem_unlocked(m, mem_nothing_read(e));
	*ret = list;
	*ret_n = n;
	return mem_unlocked(m, 0);
}

int mem_webhook_stats(struct catalog *c, struct webhook_stats *ret, struct err *e)
{
	struct webhook_stats sums = {};
	struct mem *m = mem_locked(c);

	for (size_t i = 0; i < m->n_webhooks; i++) {
		const struct mem_webhook *w = m->webhooks[i];
		const struct mem_delivery *d;

		if (w->deleted_at)
			continue;
		sums.webhooks++;
		sums.disabled += w->webhook.disabled_at != 0;
		if (w->webhook.disabled_at)
			continue;
		sums.waiting += w->webhook.waiting;
		d = next_waiting(m, w, NULL);
		if (d && (sums.oldest_due_at == 0 || d->delivery.due_at < sums.oldest_due_at))
			sums.oldest_due_at = d->delivery.due_at;
	}
	*ret = sums;
	return mem_unlocked(m, 0);
}
