/* Webhooks: clients that make, change, ping, replay and delete them; what may become of their deliveries; and those who receive them, in the place of the network (net/client.h). */
#include "clients.h"

#include "net/client.h"

#include <stdio.h>
#include <string.h>

#define RETRIES 5
static const int64_t RETRY_MS[RETRIES] = {0, 200, 1000, 5000, 20000};
#define TIMEOUT_MS 4000

struct net_client {
	struct world *w;
};

void hooks_config(struct world *w)
{
	static struct net_client client;
	struct rng *r = &w->rng;

	client.w = w;
	w->config.webhooks = (struct engine_webhooks){
		.client = &client,
		.per_owner = 3,
		.under_way = 1 + rng_below(r, 4),
		.per_endpoint = 1 + rng_below(r, 2),
		.timeout_ms = TIMEOUT_MS,
		.retry_ms = RETRY_MS,
		.n_retry = 1 + rng_below(r, RETRIES),
		.give_up_ms = rng_one_in(r, 4) ? 10000 : INT64_C(86400000) * 5,
		.keep_ms = INT64_C(86400000) * 7,
	};
}

/* ---- what may become of deliveries ---- */

static struct mem_delivery *find_delivery(const struct world *w, const struct mem_webhook *h, struct uuid id)
{
	const struct mem *m = world_mem(w);

	for (size_t i = m->n_deliveries; i > 0; i--)
		if (m->deliveries[i - 1]->webhook == h && uuid_eq(m->deliveries[i - 1]->delivery.id, id))
			return m->deliveries[i - 1];
	return NULL;
}

static bool is_off(const struct mem_webhook *h)
{
	return h->deleted_at != 0 || h->webhook.disabled_at != 0;
}

static bool wants(const struct webhook *h, const struct job *job)
{
	static const enum webhook_event events[JOB_STATES] = {[JOB_SUCCEEDED] = WEBHOOK_SUCCEEDED,
							      [JOB_FAILED] = WEBHOOK_FAILED,
							      [JOB_CANCELLED] = WEBHOOK_CANCELLED,
							      [JOB_QUARANTINED] = WEBHOOK_QUARANTINED};

	return (h->events & 1u << events[job->state]) != 0 && (h->ops.len == 0 || str_eq(h->ops, job->op));
}

static uint64_t hash_bytes(struct str s)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < s.len; i++)
		h = (h ^ (uint8_t)s.p[i]) * 0x100000001b3u;
	return h;
}

/* Each end is written down for each webhook that wants to hear of it. Returns how many are new by it. */
static size_t look_at_end(struct world *w, const struct ended *end)
{
	const struct mem *m = world_mem(w);
	const struct mem_job *j = CONTAINER_OF(mem_find_number(&m->jobs, end->job), struct mem_job, row);
	CLEANUP(buf_release) struct buf payload = BUF_INIT;
	size_t n = 0;

	for (size_t i = 0; i < m->n_webhooks; i++) {
		const struct mem_webhook *h = m->webhooks[i];

		if (is_off(h) || !str_eq(h->webhook.owner, j->file->file.owner) || !wants(&h->webhook, &j->job))
			continue;
		const struct mem_delivery *d = find_delivery(w, h, delivery_id(h->webhook.id, &j->job));
		if (d == NULL)
			coop_fail("a webhook wants to hear of the end of %s, and nothing is written for it", short_id(j->row.id));
		buf_reset(&payload);
		webhook_payload_job(&payload, &j->job);
		if (!str_eq(buf_str(&payload), d->delivery.payload))
			coop_fail("what is written of the end of %s is not how it ended", short_id(j->row.id));
		n += !w->deliveries[d->delivery.number].there;
	}
	return n;
}

static void look_at_attempt(const struct world *w, const struct change_attempt *t, const struct seen_delivery *s, const struct delivery *d)
{
	if (s->state != DELIVERY_WAITING)
		coop_fail("an attempt at a delivery that is %s", delivery_state_name(s->state));
	if (d->state == DELIVERY_DELIVERED && !s->answered)
		coop_fail("a delivery that nobody has taken is said to be delivered");
	if (d->state == DELIVERY_FAILED && d->tries < w->config.webhooks.n_retry && !s->refused)
		coop_fail("a delivery is given up after %u attempts", d->tries);
}

static void look_at_delivery(struct world *w, const struct change *c, const struct mem_delivery *x, size_t *new)
{
	const struct delivery *d = &x->delivery;

	if (d->number >= DELIVERIES_MAX)
		coop_fail("more than %d deliveries", DELIVERIES_MAX);
	struct seen_delivery *s = &w->deliveries[d->number];
	bool changed = s->there && (s->state != d->state || s->tries != d->tries || s->due_at != d->due_at);

	if (!s->there) {
		++*new;
		*s = (struct seen_delivery){.there = true, .payload = hash_bytes(d->payload)};
	} else if (changed && c->kind == CHANGE_ATTEMPT && c->code == 0 && c->attempt.delivery == d->number) {
		look_at_attempt(w, &c->attempt, s, d);
	} else if (changed && c->kind == CHANGE_REPLAY && c->code == 0 && d->state == DELIVERY_WAITING) {
		s->answered_now = false;
	} else if (changed) {
		coop_fail("a delivery became %s, by no attempt", delivery_state_name(d->state));
	}
	if (s->payload != hash_bytes(d->payload))
		coop_fail("what is told of an end has changed");
	s->state = d->state;
	s->tries = d->tries;
	s->due_at = d->due_at;
	s->off = is_off(x->webhook);
	s->seen_at = w->looks;
}

/* After a change by which these jobs ended. */
void hooks_look(struct world *w, const struct change *c, const struct ended *ends, size_t n_ends)
{
	const struct mem *m = world_mem(w);
	size_t due = c->kind == CHANGE_ADD_PING && c->code == 0, new = 0;

	w->looks++;
	for (size_t i = 0; i < n_ends && m->n_webhooks > 0; i++)
		due += look_at_end(w, &ends[i]);
	for (size_t i = 0; i < m->n_deliveries; i++)
		look_at_delivery(w, c, m->deliveries[i], &new);
	if (new != due)
		coop_fail("%zu deliveries are written, and %zu are due", new, due);
	for (int64_t n = 1; n <= m->last_delivery; n++) {
		struct seen_delivery *s = &w->deliveries[n];

		if (!s->there || s->seen_at == w->looks)
			continue;
		if (c->kind != CHANGE_PURGE || (s->state == DELIVERY_WAITING && !s->off))
			coop_fail("a delivery vanished");
		s->there = false;
	}
}

/* Of webhooks that are on. */
unsigned hooks_waiting(const struct world *w)
{
	const struct mem *m = world_mem(w);
	unsigned n = 0;

	for (size_t i = 0; i < m->n_deliveries; i++)
		n += m->deliveries[i]->delivery.state == DELIVERY_WAITING && !is_off(m->deliveries[i]->webhook);
	return n;
}

/* ---- receivers ---- */

static struct post *free_post(struct world *w)
{
	for (size_t i = 0; i < POSTS_MAX; i++)
		if (!w->posts[i].there)
			return &w->posts[i];
	coop_fail("more than %d requests at once", POSTS_MAX);
}

static const struct mem_delivery *delivery_of(const struct world *w, const struct net_request *r)
{
	const struct mem *m = world_mem(w);
	struct uuid id = {};

	for (size_t i = 0; i < r->headers_n; i++)
		if (str_eq(r->headers[i].name, STR("webhook-id")) && !uuid_parse(&id, r->headers[i].value))
			coop_fail("a delivery without an id");
	for (size_t i = 0; i < m->n_deliveries; i++)
		if (uuid_eq(m->deliveries[i]->delivery.id, id) && str_eq(m->deliveries[i]->webhook->webhook.url, r->url))
			return m->deliveries[i];
	return NULL; /* it went while it was on its way */
}

/* What is sent waits to be told, is not on its way already, and was not taken before; and nobody gets more at once than he is to. */
static void look_at_post(struct world *w, const struct net_request *r, const struct mem_delivery *d)
{
	const struct engine_webhooks *c = &w->config.webhooks;
	unsigned all = 0, same = 0;

	for (size_t i = 0; i < POSTS_MAX; i++) {
		const struct post *p = &w->posts[i];

		if (!p->there)
			continue;
		all++;
		same += p->webhook == d->delivery.webhook_number;
		if (p->delivery == d->delivery.number)
			coop_fail("a delivery is sent while it is on its way");
	}
	if (all >= c->under_way || same >= c->per_endpoint)
		coop_fail("%u requests are under way, %u to one receiver, and %u and %u may be", all + 1, same + 1, c->under_way,
			  c->per_endpoint);
	const struct seen_delivery *s = &w->deliveries[d->delivery.number];
	if (s->state != DELIVERY_WAITING)
		coop_fail("a delivery is sent that is %s", delivery_state_name(s->state));
	if (s->answered_now)
		coop_fail("a delivery is sent again that was taken");
	if (hash_bytes(r->body) != s->payload)
		coop_fail("a delivery is sent with other bytes");
}

/* How the receiver will answer. */
static void draw_answer(struct world *w, struct post *p)
{
	static const int statuses[] = {500, 400, 503, 429, 410}, codes[] = {ERR_CONNECT_FAILED, ERR_CONNECTION_LOST, ERR_UNRESOLVED};
	int64_t takes = rng_below(&w->rng, chance(w, w->plan.slow_disk) ? TIMEOUT_MS * 3 / 2 : 30);

	p->status = 204;
	p->retry_after_s = -1;
	if (chance(w, w->plan.hook_fails)) {
		p->status = 0;
		p->code = codes[rng_below(&w->rng, ARRAY_LEN(codes))];
	} else if (chance(w, w->plan.hook_fails)) {
		p->status = statuses[rng_below(&w->rng, ARRAY_LEN(statuses) - (rng_one_in(&w->rng, 4) ? 0 : 1))];
		p->retry_after_s = rng_one_in(&w->rng, 3) ? (int64_t)rng_below(&w->rng, 20) : -1;
	}
	if (takes >= TIMEOUT_MS) {
		p->status = 0;
		p->code = ERR_PEER_TIMEOUT;
		takes = TIMEOUT_MS;
	}
	p->answer_at = coop_mono_ns() + takes * MS;
}

int __wrap_net_send(struct net_client *c, const struct net_request *r, uint64_t *ret_id, struct err *e);
void __wrap_net_cancel(struct net_client *c, uint64_t id);

int __wrap_net_send(struct net_client *c, const struct net_request *r, uint64_t *ret_id, struct err *e)
{
	struct world *w = c->w;

	if (coop_locks() > 0)
		coop_fail("a request is sent with a lock held");
	coop_point();
	if (chance(w, w->plan.hook_fails ? 20 : 0))
		return err_set(e, rng_one_in(&w->rng, 2) ? ERR_OVERLOADED : ERR_URL_NOT_ALLOWED, "simulated: it is not sent");
	const struct mem_delivery *d = delivery_of(w, r);
	if (d != NULL)
		look_at_post(w, r, d);
	struct post *p = free_post(w);
	*p = (struct post){.there = true,
			   .id = ++w->last_post,
			   .done = r->done,
			   .arg = r->arg,
			   .delivery = d != NULL ? d->delivery.number : 0,
			   .webhook = d != NULL ? d->delivery.webhook_number : 0};
	draw_answer(w, p);
	*ret_id = p->id;
	TRACE("posts delivery %lld, to be answered %d", (long long)p->delivery, p->status);
	coop_wake(w->posts);
	coop_point();
	return 0;
}

void __wrap_net_cancel(struct net_client *c, uint64_t id)
{
	struct world *w = c->w;

	coop_point();
	for (size_t i = 0; i < POSTS_MAX; i++)
		if (w->posts[i].there && w->posts[i].id == id)
			w->posts[i].cancelled = true;
	coop_wake(w->posts);
}

static struct post *next_post(struct world *w)
{
	struct post *next = NULL;

	for (size_t i = 0; i < POSTS_MAX; i++) {
		struct post *p = &w->posts[i];

		if (p->there && p->cancelled)
			return p;
		if (p->there && (next == NULL || p->answer_at < next->answer_at))
			next = p;
	}
	return next;
}

/* Taken, or not; the receiver may have taken it though its answer does not come. */
static void answer(struct world *w, struct post *p)
{
	struct net_result r = {.code = p->code, .detail = "", .status = p->status, .retry_after_s = p->retry_after_s};
	struct seen_delivery *s = &w->deliveries[p->delivery];

	if (p->cancelled && rng_one_in(&w->rng, 2))
		r = (struct net_result){.code = ERR_CANCELLED, .detail = "simulated: cancelled", .retry_after_s = -1};
	if (r.code == 0 && r.status == 204)
		s->answered = s->answered_now = true;
	if (r.code == 0 && r.status == 410)
		s->refused = true;
	p->there = false;
	p->done(p->arg, &r);
}

void *network(void *arg)
{
	struct world *w = arg;

	pthread_setname_np(pthread_self(), "network");
	while (!w->network_over) {
		struct post *p = next_post(w);
		int64_t now = coop_mono_ns();

		if (p == NULL)
			coop_wait(w->posts, -1);
		else if (p->cancelled || p->answer_at <= now)
			answer(w, p);
		else
			coop_wait(w->posts, p->answer_at - now);
	}
	return NULL;
}

/* Nothing of this life is known any more. */
void hooks_restart(struct world *w)
{
	memset(w->posts, 0, sizeof(w->posts));
	w->network_over = false;
	for (size_t i = 0; i < DELIVERIES_MAX; i++)
		w->deliveries[i].answered_now = false;
}

/* ---- clients ---- */

static int add_webhook(struct world *w, unsigned owner)
{
	static const char *const filters[] = {"", "", "md5", "zstd"};
	struct webhook h = {.id = engine_new_id(w->g),
			    .owner = str_of(owner_name(owner)),
			    .url = STR("https://receiver.example/"),
			    .events = rng_one_in(&w->rng, 2) ? WEBHOOK_ALL : (1 + rng_below(&w->rng, 15)) << WEBHOOK_SUCCEEDED,
			    .ops = str_of(filters[rng_below(&w->rng, ARRAY_LEN(filters))]),
			    .description = STR("")};
	char url[40];

	snprintf(url, sizeof(url), "https://receiver-%u.example/", w->n_hooks);
	h.url = str_of(url);
	h.created_at = coop_wall_ms();
	h.secret = engine_new_secret(w->g);
	struct change c = {.kind = CHANGE_ADD_WEBHOOK, .add_webhook = {.webhook = &h, .max = engine_webhooks_max(w->g)}};
	int rc = submit(w, &c);
	if (rc == 0 || rc == ERR_STORAGE_SEALED || rc == ERR_IO) /* a sealed one may be there all the same */
		w->hooks[w->n_hooks++] = (struct told_hook){.id = h.id, .owner = owner};
	return rc == ERR_LIMIT_REACHED ? 0 : rc;
}

static int change_webhook(struct world *w, const struct told_hook *t)
{
	struct str owner = str_of(owner_name(t->owner));
	int64_t now = coop_wall_ms();
	struct change c = {};

	switch (rng_below(&w->rng, 8)) {
	case 0:
		c = (struct change){.kind = CHANGE_DELETE_WEBHOOK, .delete_webhook = {.id = t->id, .owner = owner, .now = now}};
		break;
	case 1:
		c = (struct change){
			.kind = CHANGE_ROTATE_WEBHOOK,
			.rotate_webhook = {.id = t->id, .owner = owner, .secret = engine_new_secret(w->g), .previous_until = now + 5000}};
		break;
	case 2:
	case 3:
		c = (struct change){
			.kind = CHANGE_ADD_PING,
			.add_ping = {
				.webhook = t->id, .owner = owner, .id = engine_new_id(w->g), .payload = STR("{\"ping\":1}"), .now = now}};
		break;
	case 4:
	case 5:
		c = (struct change){
			.kind = CHANGE_REPLAY,
			.replay = {.webhook = t->id, .owner = owner, .since = now - 60000, .now = now, .max = 1 + rng_below(&w->rng, 20)}};
		break;
	default:
		c = (struct change){.kind = CHANGE_PATCH_WEBHOOK,
				    .patch_webhook = {.id = t->id,
						      .owner = owner,
						      .events = rng_one_in(&w->rng, 2) ? WEBHOOK_ALL : 0,
						      .set_enabled = true,
						      .enabled = !rng_one_in(&w->rng, 3),
						      .now = now}};
		break;
	}
	return submit(w, &c);
}

int act_hook(struct world *w)
{
	const struct told_hook *t = w->n_hooks > 0 ? &w->hooks[rng_below(&w->rng, w->n_hooks)] : NULL;
	int rc;

	if (t == NULL || (w->n_hooks < HOOKS_MAX && rng_one_in(&w->rng, 3)))
		rc = add_webhook(w, rng_below(&w->rng, w->owners));
	else
		rc = change_webhook(w, t);
	TRACE("a webhook: %d", rc);
	return rc == ERR_WEBHOOK_NOT_FOUND || rc == ERR_CONFLICT ? 0 : rc;
}
