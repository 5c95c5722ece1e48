/* What is told to those for whom there is no room now: when to come again. */
#include "engine/engine_impl.h"

#define AGAIN_MIN_S 1
#define AGAIN_MAX_S 3600
#define AGAIN_SPREAD_S 3

void come_again(struct engine *g, struct err *e, int64_t ms)
{
	int64_t s = ms / 1000 + (ms % 1000 > 0);

	s = s < AGAIN_MIN_S ? AGAIN_MIN_S : s > AGAIN_MAX_S ? AGAIN_MAX_S : s;
	e->retry_after_s = (int)(s + (int64_t)(g->env->random(g->env) % (uint64_t)(AGAIN_SPREAD_S + s / 4))); /* not all at once */
}

unsigned owner_bucket(struct str owner)
{
	return str_hash(STR_HASH, owner) % OWNER_BUCKETS;
}

/* ---- the queue ---- */

void refusal_claimed(struct engine *g, const struct change_claim *c)
{
	struct refusals *x = &g->refusals;
	int64_t now = engine_mono(g);

	x->next_at = c->left ? 0 : c->next_at;
	for (size_t i = 0; i < c->n; i++) {
		outflow_begin(&x->all, now);
		outflow_begin(&x->owners[owner_bucket(c->jobs[i].owner)], now);
	}
}

void refusal_ended(struct engine *g, struct str owner, bool gone)
{
	struct refusals *x = &g->refusals;
	int64_t now = engine_mono(g);

	outflow_end(&x->all, now, gone);
	outflow_end(&x->owners[owner_bucket(owner)], now, gone);
}

static struct str owner_of(const struct change *c)
{
	switch (c->kind) {
	case CHANGE_ADD_FILE:
		return c->add_file.file->owner;
	case CHANGE_ADD_FILES:
		return c->add_files.files[0].file->owner;
	case CHANGE_RETRY_JOB:
		return c->job_ref.owner;
	default: /* RECURRING begins as ADD_JOBS does */
		return c->add_jobs.owner;
	}
}

void refusal_explain(struct engine *g, struct change *c)
{
	const struct refusals *x = &g->refusals;
	const struct outflow *o = c->excess_of_owner ? &x->owners[owner_bucket(owner_of(c))] : &x->all;
	int64_t idle_ms = x->all.inhand == 0 && x->next_at != INT64_MAX ? x->next_at - engine_now(g) : 0;
	int64_t ms = outflow_ms(o, engine_mono(g), c->excess);

	/* when all that waits waits for a time, nothing moves before */
	if (idle_ms > 0 && ms < INT64_MAX - idle_ms)
		ms += idle_ms;
	come_again(g, &c->err, ms);
}
