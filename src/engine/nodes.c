/* Other nodes on the same catalogue.
 *
 *	catalogue ──news──► this part's thread ──► scheduler, waits, events, webhooks, … as if the committer had told them
 *
 * The thread asks every NEWS_MS for what others committed; that is one look at an index. Where news may be missing, after a pause or a lost connection, all parts look for themselves.
 *
 * What one node does for all are *duties*: each beat asks for those that this node could do, and is given those that nobody holds who is alive. They last as long as the node's lease, measured
 * like it. Whoever was stopped and goes on may think for a moment that a duty is still his; so each of them is such that doing it twice does no harm:
 *
 *	tidy       deletes by conditions that the second one does not find; a blob's bytes are removed once, then again to no effect
 *	scrub      reads; a mark is put or taken by what was read
 *	recurring  each step names the one before it; the second is refused as stale
 *	webhooks   at least once, with an id by which receivers know what they had
 *	outbox     at least once
 *	audit      the log's folder is locked by whoever writes it, so that a node that was stopped keeps the log, too, until it goes on or ends
 *
 * Every node takes back what lost workers held: whoever comes first, by the fence. */
#include "engine/engine_impl.h"
#include "engine/people.h"
#include "engine/webhook.h"
#include "rt/log.h"

#define NEWS_MS 200
#define NEWS_AGAIN_MS 1000 /* after the catalogue did not answer */

/* ---- duties ---- */

bool engine_duty(const struct engine *g, enum duty d)
{
	if (!g->nodes.shared)
		return true;
	return (atomic_load(&g->nodes.duties) & 1u << d) != 0 && atomic_load(&g->scheduler.lease_until) > g->env->mono_ms(g->env);
}

unsigned nodes_wants(const struct engine *g)
{
	unsigned wants = 1u << DUTY_TIDY | 1u << DUTY_RECURRING;

	if (g->config.scrub_rate > 0)
		wants |= 1u << DUTY_SCRUB;
	if (g->webhooks != NULL)
		wants |= 1u << DUTY_WEBHOOKS;
	if (g->config.outbox != NULL)
		wants |= 1u << DUTY_OUTBOX;
	if (g->config.audit_fd > 0)
		wants |= 1u << DUTY_AUDIT;
	return wants;
}

void nodes_hold(struct engine *g, unsigned duties)
{
	unsigned gained = duties & ~atomic_exchange(&g->nodes.duties, duties);

	if (!g->nodes.shared || gained == 0)
		return;
	log_event(LOG_INFO, "duties_taken", LF_INT("duties", gained));
	sleeper_kick(&g->janitor);
	sleeper_kick(&g->scrub.sleeper);
	sleeper_kick(&g->recurring.sleeper);
	webhooks_kick(g);
	outbox_kick(g);
	sleeper_kick(&g->audit.sleeper);
}

/* ---- what others may be about to refer to ---- */

int nodes_worker(struct engine *g, struct uuid *ret, struct err *e)
{
	struct scheduler *s = &g->scheduler;

	*ret = (struct uuid){};
	if (!g->nodes.shared)
		return 0;
	pthread_mutex_lock(&s->lock);
	if (s->registered)
		*ret = s->worker;
	pthread_mutex_unlock(&s->lock);
	return uuid_is_zero(*ret) ? err_set(e, ERR_CATALOG_UNAVAILABLE, "this node is not known to the others now") : 0;
}

/* What each node told with its beats, those included that are lost but not forgotten: such a one may go on, and what it commits then is refused only when it was forgotten. */
int64_t nodes_uploads_since(struct engine *g)
{
	struct scheduler *s = &g->scheduler;
	struct err e = ERR_INIT;
	int64_t since;

	pthread_mutex_lock(&s->lock);
	struct uuid self = s->worker;
	pthread_mutex_unlock(&s->lock);
	if (catalog_uploads_since(g->catalog, engine_now(g), self, &since, &e) == 0)
		return since;
	log_err(LOG_WARN, "nodes_unreadable", &e);
	return INT64_MIN;
}

/* ---- news ---- */

static void tell(struct engine *g, const struct news *x)
{
	switch (x->kind) {
	case NEWS_WORK:
		scheduler_kick(g);
		break;
	case NEWS_ROOM:
		scheduler_attempt_ended(g);
		break;
	case NEWS_ENDED:
		if (g->config.outbox != NULL)
			outbox_kick(g);
		break;
	case NEWS_FINAL:
		waits_signal(g, x->id);
		break;
	case NEWS_FINALS:
		waits_look_again(g);
		break;
	case NEWS_DELETED:
		waits_signal(g, x->id);
		scheduler_cancel_file(g, x->id);
		break;
	case NEWS_CANCEL:
		scheduler_cancel_running(g, x->id);
		break;
	case NEWS_PEOPLE:
		people_changed(g, true);
		break;
	case NEWS_SESSIONS:
		people_changed(g, false);
		break;
	case NEWS_DELIVERIES:
		webhooks_kick(g);
		break;
	case NEWS_WEBHOOK:
		webhooks_anew(g, x->id);
		break;
	case NEWS_DOOMED:
		engine_kick_doomed(g);
		break;
	case NEWS_AUDIT:
		sleeper_kick(&g->audit.sleeper);
		break;
	case NEWS_STORED:
	case NEWS_KINDS:
		break;
	}
}

/* Anything may have happened. A job that was to be cancelled meanwhile runs to its end, and ends cancelled then. */
static void tell_all(struct engine *g)
{
	static const enum news_kind kinds[] = {NEWS_WORK,   NEWS_ROOM,       NEWS_ENDED,  NEWS_FINALS,
					       NEWS_PEOPLE, NEWS_DELIVERIES, NEWS_DOOMED, NEWS_AUDIT};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		tell(g, &(struct news){.kind = kinds[i]});
}

/* False: the catalogue did not answer. */
static bool ask(struct engine *g)
{
	CLEANUP(arena_release) struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	struct news *list;
	bool whole;
	size_t n;

	if (catalog_news(g->catalog, &a, &list, &n, &whole, &e) != 0) {
		log_err(LOG_WARN, "news_unreadable", &e);
		return false;
	}
	events_tell_news(g, list, n, whole);
	for (size_t i = 0; i < n; i++)
		tell(g, &list[i]);
	if (!whole)
		tell_all(g);
	return true;
}

static void *nodes_run(void *arg)
{
	struct engine *g = arg;
	bool answered;

	do
		answered = ask(g);
	while (sleeper_wait(&g->nodes.sleeper, answered ? NEWS_MS : NEWS_AGAIN_MS));
	return NULL;
}

int nodes_start(struct engine *g, struct err *e)
{
	if (!g->nodes.shared)
		return 0;
	(void)ask(g); /* the first answer always says that some may be missing: before anybody follows events, that sends nobody away */
	return sleeper_start(&g->nodes.sleeper, "nodes", nodes_run, g, e);
}

void nodes_stop(struct engine *g)
{
	sleeper_stop(&g->nodes.sleeper);
}
