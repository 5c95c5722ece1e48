/* Tells finished jobs to whoever the program wired in, from the outbox that the finishing transaction wrote: at least once, in order. */
#include "engine/engine_impl.h"
#include "rt/log.h"

#define OUTBOX_BATCH 256
#define OUTBOX_RETRY_MS 1000

/* Delivers what it can; true when it got stuck and is to be tried again after a pause. */
static bool deliver(struct engine *g)
{
	for (;;) {
		struct arena a = ARENA_INIT;
		struct outbox_entry *entries;
		struct err e = ERR_INIT;
		size_t n = 0, told = 0;
		int rc = catalog_outbox(g->catalog, 0, OUTBOX_BATCH, &a, &entries, &n, &e);

		if (rc != 0)
			log_err(LOG_WARN, "outbox_unreadable", &e);
		while (told < n && g->config.outbox(g->config.outbox_arg, &entries[told].job) == 0)
			told++;
		if (told > 0) {
			struct change c = {.kind = CHANGE_OUTBOX_DONE, .outbox_done = {.upto = entries[told - 1].seq}};
			rc = engine_apply(g, &c);
			if (rc != 0)
				log_err(LOG_WARN, "outbox_mark_failed", &c.err);
		}
		arena_release(&a);
		if (rc != 0 || told < n)
			return true;
		if (n < OUTBOX_BATCH)
			return false;
	}
}

static void *outbox_run(void *arg)
{
	struct engine *g = arg;
	bool stuck;

	do
		stuck = deliver(g);
	while (sleeper_wait(&g->outbox, stuck ? OUTBOX_RETRY_MS : -1));
	deliver(g); /* the last ones before a stop */
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
