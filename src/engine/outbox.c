/* Tells finished jobs to whoever the program wired in, from the outbox that the finishing transaction wrote: at least once, in order.
 *
 * What was told is struck out in a transaction of its own. While that fails (a full disk), it is remembered here and not told again: only a
 * crash between the telling and the striking tells an entry twice. */
#include "engine/engine_impl.h"
#include "rt/log.h"

#define OUTBOX_BATCH 256
#define OUTBOX_RETRY_MS 1000

struct told {
	int64_t upto; /* the last entry told; entries come in the order of their commits */
	bool struck; /* the catalogue knows */
};

static int strike(struct engine *g, struct told *told)
{
	struct change c = {.kind = CHANGE_OUTBOX_DONE, .outbox_done = {.upto = told->upto}};
	int rc = told->struck ? 0 : engine_apply(g, &c);

	if (rc != 0)
		log_err(LOG_WARN, "outbox_mark_failed", &c.err);
	told->struck = rc == 0;
	return rc;
}

/* Delivers what it can; true when it got stuck and is to be tried again after a pause. */
static bool deliver(struct engine *g, struct told *told)
{
	for (;;) {
		CLEANUP(arena_release) struct arena a = ARENA_INIT;
		struct outbox_entry *entries;
		struct err e = ERR_INIT;
		size_t n = 0, i = 0;
		int rc = catalog_outbox(g->catalog, told->upto, OUTBOX_BATCH, &a, &entries, &n, &e);

		if (rc != 0)
			log_err(LOG_WARN, "outbox_unreadable", &e);
		for (; i < n && g->config.outbox(g->config.outbox_arg, &entries[i].job) == 0; i++) {
			told->upto = entries[i].seq;
			told->struck = false;
		}
		if (strike(g, told) != 0 || rc != 0 || i < n)
			return true;
		if (n < OUTBOX_BATCH)
			return false;
	}
}

/* One node tells; another one that takes over begins with what is not struck out. */
static bool deliver_here(struct engine *g, struct told *told)
{
	if (engine_duty(g, DUTY_OUTBOX))
		return deliver(g, told);
	*told = (struct told){.struck = true};
	return false;
}

static void *outbox_run(void *arg)
{
	struct engine *g = arg;
	struct told told = {.struck = true};
	bool stuck;

	do
		stuck = deliver_here(g, &told);
	while (sleeper_wait(&g->outbox, stuck ? OUTBOX_RETRY_MS : -1));
	deliver_here(g, &told); /* the last ones before a stop */
	return NULL;
}

int outbox_start(struct engine *g, struct err *e)
{
	return sleeper_start(&g->outbox, "outbox", outbox_run, g, e);
}

void outbox_kick(struct engine *g)
{
	sleeper_kick(&g->outbox);
}

void outbox_stop(struct engine *g)
{
	sleeper_stop(&g->outbox);
}
