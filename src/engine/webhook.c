/* Sends what the transactions that ended jobs wrote for webhooks.
 *
 *	catalogue: deliveries that are due ──► a slot ──net_send()──► answer ──► change: the attempt, and what follows from it ──committed──► the slot is free
 *
 * One thread decides all of this; the network client's thread and the committer only note in a slot what happened and kick it. The catalogue is the queue: what is in a slot still
 * waits there, so after a crash it is due again and sent again with the same webhook-id. At least once, never lost, and a receiver that looks at the id sees it once.
 *
 * No receiver holds up another one: each has a few slots at most, and one in trouble (no answer, or 429, 502, 503, 504) has one and rests between attempts, longer each time. Nor does
 * an owner with many receivers hold up another owner: it gets a slot only while more are free than it has. So it has half of them at most, several such owners have equal parts, and
 * as large a part stays free for those who come. An attempt whose commit failed is handed in again, in its slot, so a catalogue that takes nothing stops the sending by itself.
 *
 * Nothing polls: the thread sleeps until it is kicked or the next delivery is due. */
#include "engine/webhook.h"
#include "base/wipe.h"
#include "rt/log.h"
#include "rt/metrics.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAGE 100 /* webhooks looked at together */
#define TROUBLE_MS 1000 /* before what failed here is tried again; the metrics' sums are made no more often */
#define LOOK_MS 15000 /* and at least so often while something waits */
#define STOP_GRACE_MS 500 /* what is under way may end */
#define BODY_READ_MAX 16384 /* bytes of an answer; nobody looks at them */
#define ANEW_MAX 16

enum slot_state {
	SLOT_FREE,
	SLOT_SENDING, /* done() comes */
	SLOT_ANSWERED,
	SLOT_COMMITTING, /* change_done() comes */
	SLOT_COMMITTED, /* or refused: the change says */
};

struct slot {
	struct webhooks *all;
	enum slot_state state; /* under the lock; what follows belongs to whose turn it is by the state */
	int64_t delivery, webhook; /* row numbers */
	struct uuid webhook_id; /* for the log */
	uint64_t owner; /* a hash: who shares it shares the slots */
	uint32_t tries; /* with this one */
	struct buf body, url;
	uint64_t call;
	int64_t at, began; /* wall and monotonic ms */
	int64_t ended; /* monotonic ms */
	int code, status;
	int64_t retry_after_s;
	char detail[ERR_DETAIL_MAX];
	struct webhook_verdict verdict;
	struct change change;
	int64_t again_at; /* monotonic ms: its change could not be kept and is handed in again then; 0 = no */
};

struct webhooks {
	struct engine *g;
	struct sleeper sleeper;
	pthread_mutex_t lock; /* the states of the slots, never held over I/O */
	pthread_cond_t changed; /* one was answered or committed; only a stop waits for it; CLOCK_MONOTONIC */
	struct slot *slots;
	size_t n_slots;
	struct endpoints endpoints;
	struct uuid anew[ANEW_MAX]; /* somebody changed these by hand; under the lock */
	size_t n_anew; /* more than ANEW_MAX: there were more than could be noted */
	int64_t last; /* number of the webhook served last: the next one is first the next time */
	int64_t summed_at; /* monotonic ms */
};

static const struct engine_webhooks *config_of(const struct webhooks *w)
{
	return &w->g->config.webhooks;
}

/* ---- slots ---- */

static enum slot_state slot_state(struct slot *s)
{
	pthread_mutex_lock(&s->all->lock);
	enum slot_state state = s->state;
	pthread_mutex_unlock(&s->all->lock);
	return state;
}

static void set_state(struct slot *s, enum slot_state state)
{
	pthread_mutex_lock(&s->all->lock);
	s->state = state;
	pthread_mutex_unlock(&s->all->lock);
}

/* From another thread. The kick is inside of the lock: a stop that sees the state may free all of this as soon as it has the lock. */
static void tell_state(struct slot *s, enum slot_state state)
{
	struct webhooks *w = s->all;

	pthread_mutex_lock(&w->lock);
	s->state = state;
	pthread_cond_signal(&w->changed);
	sleeper_kick(&w->sleeper);
	pthread_mutex_unlock(&w->lock);
}

static bool any_free(struct webhooks *w)
{
	for (size_t i = 0; i < w->n_slots; i++)
		if (slot_state(&w->slots[i]) == SLOT_FREE)
			return true;
	return false;
}

/* A free one that this owner may have now; NULL: none. */
static struct slot *slot_for(struct webhooks *w, uint64_t owner)
{
	struct slot *found = NULL;
	size_t n_free = 0, own = 0;

	pthread_mutex_lock(&w->lock);
	for (size_t i = 0; i < w->n_slots; i++) {
		if (w->slots[i].state == SLOT_FREE) {
			found = &w->slots[i];
			n_free++;
		} else {
			own += w->slots[i].owner == owner;
		}
	}
	pthread_mutex_unlock(&w->lock);
	return own < n_free ? found : NULL;
}

static bool is_under_way(struct webhooks *w, int64_t delivery)
{
	for (size_t i = 0; i < w->n_slots; i++)
		if (slot_state(&w->slots[i]) != SLOT_FREE && w->slots[i].delivery == delivery)
			return true;
	return false;
}

/* ---- answers ---- */

static void endpoint_answered(struct webhooks *w, const struct slot *s)
{
	struct endpoint *x = endpoint_find(&w->endpoints, s->webhook);

	assert(x != NULL && x->under_way > 0);
	x->under_way--;
	if (s->verdict.slow)
		endpoint_rest(x, config_of(w), s->began, engine_mono(w->g), s->verdict.asked_ms);
	else if (s->verdict.state == DELIVERY_DELIVERED)
		x->rest_ms = x->resting_until = 0;
	endpoint_forget(&w->endpoints, x);
}

/* On the client's thread. */
static void done(void *arg, const struct net_result *r)
{
	struct slot *s = arg;

	s->code = r->code;
	s->status = r->status;
	s->retry_after_s = r->code == 0 ? r->retry_after_s : -1;
	s->ended = engine_mono(s->all->g);
	snprintf(s->detail, sizeof(s->detail), "%s", r->detail);
	tell_state(s, SLOT_ANSWERED);
}

/* On the committer's thread. */
static void change_done(void *arg, struct change *c)
{
	tell_state(arg, SLOT_COMMITTED);
}

static void hand_in(struct slot *s)
{
	set_state(s, SLOT_COMMITTING);
	engine_submit(s->all->g, &s->change, change_done, s);
}

/* What became of it goes into the catalogue. */
static void take_answer(struct webhooks *w, struct slot *s)
{
	const struct webhook_answer answer = {.code = s->code, .status = s->status, .retry_after_s = s->retry_after_s, .detail = s->detail};
	const struct engine_webhooks *c = config_of(w);
	struct engine *g = w->g;
	struct webhook_verdict *v = &s->verdict;

	if (s->code == ERR_SHUTTING_DOWN || s->code == ERR_CANCELLED) { /* our doing, not the receiver's: it stays due */
		*v = (struct webhook_verdict){.state = DELIVERY_WAITING};
		endpoint_answered(w, s);
		set_state(s, SLOT_FREE);
		return;
	}
	webhook_judge(v, &answer, c, s->tries, g->env->random(g->env));
	endpoint_answered(w, s);
	metric_add(v->state == DELIVERY_DELIVERED ? METRIC_WEBHOOKS_DELIVERED : METRIC_WEBHOOKS_FAILED, 1);
	metric_observe_us(METRIC_WEBHOOK_SECONDS, (s->ended - s->began) * 1000);
	s->change = (struct change){
		.kind = CHANGE_ATTEMPT,
		.attempt = {.delivery = s->delivery,
			    .url = buf_str(&s->url),
			    .attempt = {.at = s->at,
					.duration_ms = (uint32_t)(s->ended - s->began),
					.status = s->status,
					.error = str_of(v->error)},
			    .state = v->state,
			    .due_at = engine_now(g) + v->wait_ms,
			    .off = v->off,
			    .failing_before = engine_now(g) - c->give_up_ms},
	};
	hand_in(s);
}

/* Committed, or refused because nobody waits for it any more. False: the catalogue takes nothing now, it is to be handed in again. */
static bool take_commit(struct slot *s)
{
	const struct change *c = &s->change;

	if (c->code != 0 && c->code != ERR_STALE && err_info(c->code)->retryable)
		return false;
	if (c->code != 0 && c->code != ERR_STALE)
		log_err(LOG_ERROR, "webhook_attempt_refused", &c->err);
	if (c->code == 0 && c->attempt.off != WEBHOOK_ON) {
		char id[UUID_TEXT_LEN + 1];
		uuid_format(id, s->webhook_id);
		metric_add(METRIC_WEBHOOKS_SWITCHED_OFF, 1);
		log_event(LOG_WARN, "webhook_switched_off", LF_CSTR("webhook", id),
			  LF_CSTR("reason", c->attempt.off == WEBHOOK_OFF_GONE ? "gone" : "failing"));
	}
	set_state(s, SLOT_FREE);
	return true;
}

/* What could not be kept is handed in again after a pause, whoever kicks before; not at all when the catalogue takes nothing any more: then it stays due for the restart.
 * Returns how long until then. */
static int64_t try_again(struct slot *s, int64_t now)
{
	if (catalog_sealed(s->all->g->catalog))
		return INT64_MAX;
	if (s->again_at == 0)
		s->again_at = now + TROUBLE_MS;
	if (s->again_at > now)
		return s->again_at - now;
	s->again_at = 0;
	hand_in(s);
	return INT64_MAX;
}

/* In how many ms something is to be handed in again; -1 = nothing is. */
static int64_t take_all(struct webhooks *w)
{
	int64_t now = engine_mono(w->g), soonest = INT64_MAX;

	for (size_t i = 0; i < w->n_slots; i++) {
		struct slot *s = &w->slots[i];
		enum slot_state state = slot_state(s);
		if (state == SLOT_ANSWERED) {
			take_answer(w, s);
		} else if (state == SLOT_COMMITTED && (s->again_at > 0 || !take_commit(s))) {
			int64_t in = try_again(s, now);
			soonest = in < soonest ? in : soonest;
		}
	}
	return soonest == INT64_MAX ? -1 : soonest;
}

/* ---- sending ---- */

static uint64_t owner_key(const struct webhook *h)
{
	uint64_t key = str_hash(STR_HASH, h->owner);

	return key != 0 ? key : 1; /* the network client's 0 is nobody */
}

static int fill_slot(struct slot *s, const struct webhook *h, const struct delivery *d, struct webhook_headers *headers, struct err *e)
{
	struct engine *g = s->all->g;

	s->delivery = d->number;
	s->webhook = h->number;
	s->webhook_id = h->id;
	s->owner = owner_key(h);
	s->tries = d->tries + 1;
	s->at = engine_now(g);
	s->began = engine_mono(g);
	buf_reset(&s->body);
	buf_add_str(&s->body, d->payload);
	buf_reset(&s->url);
	buf_add_str(&s->url, h->url);
	if (!buf_ok(&s->body) || !buf_ok(&s->url)) {
		buf_release(&s->body);
		buf_release(&s->url);
		return err_set(e, ERR_NO_MEMORY, "no memory for a webhook's body");
	}
	return webhook_headers(headers, h, d, s->at, e);
}

/* An error: nothing was sent, and it stays due. */
static int send_one(struct webhooks *w, struct slot *s, const struct webhook *h, const struct delivery *d, struct err *e)
{
	struct webhook_headers v;
	struct endpoint *x = endpoint_note(&w->endpoints, h->number, h->id);
	int rc;

	if (x == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for a webhook");
	if ((rc = fill_slot(s, h, d, &v, e)) != 0)
		return rc;
	const struct net_header headers[] = {
		{STR("content-type"), STR("application/json")},
		{STR("webhook-id"), str_of(v.id)},
		{STR("webhook-timestamp"), str_of(v.timestamp)},
		{STR("webhook-signature"), str_of(v.signature)},
	};
	const struct net_request request = {
		.method = STR("POST"),
		.url = h->url,
		.headers = headers,
		.headers_n = ARRAY_LEN(headers),
		.body = buf_str(&s->body),
		.party = s->owner,
		.limits = {.total_ms = config_of(w)->timeout_ms, .body_max = BODY_READ_MAX},
		.done = done,
		.arg = s,
	};
	x->under_way++;
	set_state(s, SLOT_SENDING);
	rc = net_send(config_of(w)->client, &request, &s->call, e);
	if (rc == 0)
		return 0;
	if (rc == ERR_URL_NOT_ALLOWED) { /* allowed when it was made, not any more: that is an attempt like any other */
		done(s, &(struct net_result){.code = rc, .detail = e->detail});
		return 0;
	}
	x->under_way--;
	endpoint_forget(&w->endpoints, x);
	set_state(s, SLOT_FREE);
	return rc;
}

/* What of one webhook may be sent now. */
static int send_of(struct webhooks *w, const struct webhook *h, struct err *e)
{
	CLEANUP(arena_release) struct arena a = ARENA_INIT;
	unsigned most = config_of(w)->per_endpoint, room = endpoint_room(&w->endpoints, h->number, most);
	struct delivery *list;
	struct slot *s;
	size_t n = 0;
	int rc;

	if (room == 0)
		return 0;
	/* As many are under way, and still due, at most. */
	rc = catalog_due_deliveries(w->g->catalog, h->number, engine_now(w->g), room + most, &a, &list, &n, e);
	for (size_t i = 0; rc == 0 && i < n && room > 0; i++) {
		if (is_under_way(w, list[i].number))
			continue;
		if ((s = slot_for(w, owner_key(h))) == NULL)
			return 0;
		rc = send_one(w, s, h, &list[i], e);
		room--;
	}
	return rc;
}

/* When there is something to do for it next, in ms from now; INT64_MAX when an answer is awaited first. 0: now. */
static int64_t ready_in(const struct webhooks *w, const struct due_webhook *d)
{
	const struct endpoint *x = endpoint_find(&w->endpoints, d->webhook.number);
	int64_t due_in = d->due_at - engine_now(w->g), rested_in = x != NULL ? x->resting_until - engine_mono(w->g) : 0;

	if (endpoint_room(&w->endpoints, d->webhook.number, config_of(w)->per_endpoint) == 0)
		return INT64_MAX;
	if (rested_in > due_in)
		due_in = rested_in;
	return due_in > 0 ? due_in : 0;
}

static void wipe_secrets(struct due_webhook *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		wipe(&list[i].webhook.secret, sizeof(list[i].webhook.secret));
		wipe(&list[i].webhook.previous, sizeof(list[i].webhook.previous));
	}
}

/* One round over those from number `after` on, up to `upto`: sends what it can. *wait_ms becomes less when something is due sooner. */
static int send_round(struct webhooks *w, int64_t after, int64_t upto, int64_t *wait_ms, struct err *e)
{
	bool more = true;

	while (more) {
		CLEANUP(arena_release) struct arena a = ARENA_INIT;
		struct due_webhook *list = NULL;
		size_t n = 0;
		int rc = catalog_due_webhooks(w->g->catalog, after, PAGE, &a, &list, &n, e);

		for (size_t i = 0; rc == 0 && i < n && list[i].webhook.number <= upto; i++) {
			int64_t in = ready_in(w, &list[i]);
			if (in > 0) {
				*wait_ms = in < *wait_ms ? in : *wait_ms;
				continue;
			}
			if (!any_free(w)) {
				wipe_secrets(list, n);
				return 0; /* a kick comes with the next free one, and the round goes on behind the one served last */
			}
			if (slot_for(w, owner_key(&list[i].webhook)) == NULL)
				continue; /* likewise */
			rc = send_of(w, &list[i].webhook, e);
			w->last = list[i].webhook.number;
		}
		wipe_secrets(list, n);
		if (rc != 0)
			return rc;
		if (n > 0)
			after = list[n - 1].webhook.number;
		more = n == PAGE && after < upto;
	}
	return 0;
}

/* Sends what is due; returns in how many ms there is more to do, -1 = when kicked. */
static int64_t send_due(struct webhooks *w)
{
	int64_t wait_ms = INT64_MAX, last = w->last;
	struct err e = ERR_INIT;
	int rc;

	if (catalog_sealed(w->g->catalog))
		return -1; /* what became of an attempt could not be kept */
	if (!engine_duty(w->g, DUTY_WEBHOOKS))
		return -1; /* another node sends */
	rc = send_round(w, last, INT64_MAX, &wait_ms, &e);
	if (rc == 0 && last > 0)
		rc = send_round(w, 0, last, &wait_ms, &e);
	if (rc != 0) {
		log_err(LOG_WARN, "webhooks_not_sent", &e);
		return TROUBLE_MS;
	}
	return wait_ms == INT64_MAX ? -1 : wait_ms;
}

/* ---- by hand ---- */

void webhooks_anew(struct engine *g, struct uuid webhook)
{
	struct webhooks *w = g->webhooks;

	if (w == NULL)
		return;
	pthread_mutex_lock(&w->lock);
	if (w->n_anew < ANEW_MAX)
		w->anew[w->n_anew] = webhook;
	w->n_anew += w->n_anew <= ANEW_MAX;
	pthread_mutex_unlock(&w->lock);
	sleeper_kick(&w->sleeper);
}

static void end_rests(struct webhooks *w)
{
	struct uuid list[ANEW_MAX];
	size_t n;

	pthread_mutex_lock(&w->lock);
	n = w->n_anew;
	memcpy(list, w->anew, sizeof(list));
	w->n_anew = 0;
	pthread_mutex_unlock(&w->lock);
	if (n > ANEW_MAX)
		endpoints_end_rests(&w->endpoints, NULL);
	for (size_t i = 0; n <= ANEW_MAX && i < n; i++)
		endpoints_end_rests(&w->endpoints, &list[i]);
}

/* ---- the thread ---- */

/* For the metrics, once a second at most while there is something to do; returns in how many ms it wants to be called again, -1 = nothing waits. */
static int64_t sum_up(struct webhooks *w)
{
	struct webhook_stats s;
	struct err e = ERR_INIT;
	int64_t now = engine_mono(w->g), since = now - w->summed_at, age;

	if (since < TROUBLE_MS)
		return TROUBLE_MS - since;
	w->summed_at = now;
	endpoints_forget_idle(&w->endpoints, now);
	if (catalog_webhook_stats(w->g->catalog, &s, &e) != 0)
		return TROUBLE_MS;
	age = s.oldest_due_at > 0 ? (engine_now(w->g) - s.oldest_due_at) / 1000 : 0;
	metric_set(METRIC_WEBHOOKS_WAITING, (int64_t)s.waiting);
	metric_set(METRIC_WEBHOOKS_OLDEST_SECONDS, age > 0 ? age : 0);
	return s.waiting > 0 ? LOOK_MS : -1;
}

static int64_t sooner(int64_t a, int64_t b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

static void *webhooks_run(void *arg)
{
	struct webhooks *w = arg;
	int64_t wait_ms;

	do {
		wait_ms = take_all(w);
		end_rests(w);
		wait_ms = sooner(send_due(w), wait_ms);
		wait_ms = sooner(wait_ms, sum_up(w));
	} while (sleeper_wait(&w->sleeper, wait_ms));
	return NULL;
}

void webhooks_free(struct webhooks *w)
{
	if (w == NULL)
		return;
	sleeper_release(&w->sleeper);
	for (size_t i = 0; i < w->n_slots; i++) {
		buf_release(&w->slots[i].body);
		buf_release(&w->slots[i].url);
	}
	pthread_cond_destroy(&w->changed);
	pthread_mutex_destroy(&w->lock);
	free(w->slots);
	endpoints_release(&w->endpoints);
	free(w);
}

static void init_lock(struct webhooks *w)
{
	pthread_condattr_t monotonic;

	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&w->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

int webhooks_new(struct webhooks **ret, struct engine *g, struct err *e)
{
	const struct engine_webhooks *c = &g->config.webhooks;
	struct webhooks *w;

	if (c->client == NULL) {
		*ret = NULL;
		return 0;
	}
	assert(c->under_way > 0 && c->per_endpoint > 0 && c->n_retry > 0);
	w = calloc(1, sizeof(*w));
	if (w == NULL || (w->slots = calloc(c->under_way, sizeof(*w->slots))) == NULL || sleeper_init(&w->sleeper, e) != 0) {
		free(w != NULL ? w->slots : NULL);
		free(w);
		return err_set(e, ERR_NO_MEMORY, "no memory for webhooks");
	}
	w->g = g;
	w->n_slots = c->under_way;
	w->summed_at = engine_mono(g) - TROUBLE_MS;
	for (size_t i = 0; i < w->n_slots; i++)
		w->slots[i].all = w;
	init_lock(w);
	*ret = w;
	return 0;
}

int webhooks_start(struct engine *g, struct err *e)
{
	struct webhooks *w = g->webhooks;

	return w != NULL ? sleeper_start(&w->sleeper, "webhooks", webhooks_run, w, e) : 0;
}

void webhooks_kick(struct engine *g)
{
	if (g->webhooks != NULL)
		sleeper_kick(&g->webhooks->sleeper);
}

static unsigned count_locked(const struct webhooks *w, enum slot_state state)
{
	unsigned n = 0;

	for (size_t i = 0; i < w->n_slots; i++)
		n += w->slots[i].state == state;
	return n;
}

/* Until no slot is in this state, at most so long; -1 = however long. */
static void wait_none(struct webhooks *w, enum slot_state state, int64_t ms)
{
	struct timespec until;
	int rc = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += ms > 0 ? ms % 1000 * 1000000 : 0;
	until.tv_sec += ms > 0 ? ms / 1000 + until.tv_nsec / 1000000000 : 0;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&w->lock);
	while (rc != ETIMEDOUT && count_locked(w, state) > 0)
		rc = ms >= 0 ? pthread_cond_timedwait(&w->changed, &w->lock, &until) : pthread_cond_wait(&w->changed, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

void webhooks_stop(struct engine *g)
{
	struct webhooks *w = g->webhooks;

	if (w == NULL || !w->sleeper.running)
		return;
	sleeper_stop(&w->sleeper);
	wait_none(w, SLOT_SENDING, STOP_GRACE_MS);
	for (size_t i = 0; i < w->n_slots; i++)
		if (slot_state(&w->slots[i]) == SLOT_SENDING)
			net_cancel(config_of(w)->client, w->slots[i].call);
	wait_none(w, SLOT_SENDING, -1);
	wait_none(w, SLOT_COMMITTING, -1);
	take_all(w);
	wait_none(w, SLOT_COMMITTING, -1);
}
