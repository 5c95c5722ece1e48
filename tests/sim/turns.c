/* Whose turn it is, and how much may wait and run: what a claim may take, must take and may not take, and which jobs the queue has room for. Said once more without lanes, by
 * looking at all jobs before a change and after it. */
#include "world.h"

#include <string.h>

/* All jobs, counted. */
struct tally {
	uint64_t waiting, running;
	struct {
		uint64_t waiting, running;
		bool free; /* has one ready whose op is not limited */
	} of[OWNERS];
	uint64_t op_running[OPS_KNOWN];
	unsigned ready; /* at the time of the claim */
	int64_t next_at; /* when the first one of those that wait for a time is */
};

static struct tally before, after;

/* As the configuration has it, whatever the claim says. */
static uint64_t limit_of(const struct world *w, const struct seen_job *s)
{
	for (size_t i = 0; i < w->n_limits; i++)
		if (str_eq(w->limits[i].op, str_of(s->op->name)))
			return w->limits[i].running;
	return UINT64_MAX;
}

static size_t op_index(const struct seen_job *s)
{
	size_t n;

	return (size_t)(s->op - op_table_all(op_builtin_table(), &n));
}

/* claim: NULL, or the one by whose time and limits something is ready. */
static void count(struct tally *t, const struct world *w, const struct change_claim *claim)
{
	*t = (struct tally){.next_at = INT64_MAX};
	for (int64_t n = 1; n <= world_mem(w)->jobs.last; n++) {
		const struct seen_job *s = &w->jobs[n];

		if (!s->there || job_state_final(s->state))
			continue;
		if (s->state == JOB_RUNNING) {
			t->running++;
			t->of[s->owner].running++;
			t->op_running[op_index(s)]++;
			continue;
		}
		t->waiting++;
		t->of[s->owner].waiting++;
		if (claim != NULL && s->run_at <= claim->now) {
			t->ready++;
			t->of[s->owner].free |= limit_of(w, s) == UINT64_MAX;
		}
		if (s->run_at < t->next_at)
			t->next_at = s->run_at;
	}
}

/* ---- claims ---- */

static bool owner_has_room(const struct world *w, const struct change_claim *c, unsigned owner)
{
	if (c->newcomers)
		return after.of[owner].running == 0;
	return w->owner_limit == 0 || after.of[owner].running < w->owner_limit;
}

static void look_at_limits(const struct world *w, const struct change_claim *c)
{
	for (size_t i = 0; i < c->n; i++) {
		const struct seen_job *s = &w->jobs[c->jobs[i].job.number];
		uint64_t running = after.op_running[op_index(s)], of_owner = after.of[s->owner].running;

		if (running > limit_of(w, s))
			coop_fail("%llu jobs of %s run, and %llu may", (unsigned long long)running, s->op->name,
				  (unsigned long long)limit_of(w, s));
		if (w->owner_limit > 0 && of_owner > w->owner_limit)
			coop_fail("%llu jobs of one owner run, and %llu may", (unsigned long long)of_owner,
				  (unsigned long long)w->owner_limit);
		if (c->newcomers && of_owner != 1)
			coop_fail("an owner of whom something runs is taken for a newcomer");
	}
}

/* What is ready stays behind only for a limit, or since no more were wanted. */
static void look_at_rest(const struct world *w, const struct change_claim *c)
{
	if (c->left != (after.ready > 0))
		coop_fail("a claim says that %s is left, and %u jobs are ready", c->left ? "something" : "nothing", after.ready);
	if (!c->left && c->next_at != after.next_at)
		coop_fail("a claim says that the next job is ready at %lld, and it is at %lld", (long long)c->next_at,
			  (long long)after.next_at);
	for (int64_t n = 1; n <= world_mem(w)->jobs.last && c->n < c->max; n++) {
		const struct seen_job *s = &w->jobs[n];

		if (s->there && s->state == JOB_QUEUED && s->run_at <= c->now && owner_has_room(w, c, s->owner) &&
		    after.op_running[op_index(s)] < limit_of(w, s))
			coop_fail("job %s is ready, there is room for it, and a claim leaves it", short_id(s->id));
	}
}

/* Nobody gets two more than one who could have had another one. And whoever is passed over comes before those who were served meanwhile: so it is one job of each of them, at most. */
static void look_at_shares(struct world *w, const struct change_claim *c)
{
	uint64_t taken[OWNERS] = {}, most = 0;

	for (size_t i = 0; i < c->n; i++)
		taken[w->jobs[c->jobs[i].job.number].owner]++;
	for (unsigned o = 0; o < OWNERS; o++)
		most = taken[o] > most ? taken[o] : most;
	for (unsigned o = 0; o < OWNERS; o++) {
		bool more = after.of[o].free && owner_has_room(w, c, o);

		if (more && most > taken[o] + 1)
			coop_fail("a claim takes %llu jobs of one owner and %llu of another, who has more", (unsigned long long)most,
				  (unsigned long long)taken[o]);
		w->passed[o] = more && taken[o] == 0 ? w->passed[o] + c->n : 0;
		if (w->passed[o] >= w->owners)
			coop_fail("an owner with a ready job is passed over %llu times", (unsigned long long)w->passed[o]);
	}
}

static void look_at_claim(struct world *w, const struct change_claim *c)
{
	if (c->n > c->max)
		coop_fail("a claim takes %zu jobs, %u were wanted", c->n, c->max);
	look_at_limits(w, c);
	look_at_rest(w, c);
	for (unsigned o = 0; o < OWNERS; o++)
		if (before.of[o].waiting == 0) /* who comes again comes last */
			w->passed[o] = 0;
	for (size_t i = 0; c->newcomers && i < c->n; i++) /* who got one this way was not passed over */
		w->passed[w->jobs[c->jobs[i].job.number].owner] = 0;
	if (!c->newcomers)
		look_at_shares(w, c);
}

/* ---- room in the queue ---- */

/* How many jobs the change may bring to wait; of a retry, the one: those that are held again behind it come along. */
static size_t asked(const struct change *c, struct str *ret_owner)
{
	size_t n = 0;

	switch (c->kind) {
	case CHANGE_ADD_FILES:
		*ret_owner = c->add_files.files[0].file->owner;
		for (size_t i = 0; i < c->add_files.n; i++)
			n += c->add_files.files[i].file->n_jobs;
		return n;
	case CHANGE_ADD_FILE:
		*ret_owner = c->add_file.file->owner;
		return c->add_file.replayed ? 0 : c->add_file.file->n_jobs;
	case CHANGE_ADD_JOBS:
	case CHANGE_RECURRING:
		*ret_owner = c->add_jobs.owner;
		return c->add_jobs.n;
	case CHANGE_RETRY_JOB:
		*ret_owner = c->job_ref.owner;
		return 1;
	default:
		return 0;
	}
}

static void look_at_room(const struct world *w, const struct change *c)
{
	const struct catalog_options *o = &w->options;
	struct str name = {};
	size_t n = asked(c, &name);

	if (n == 0 || (c->code != 0 && c->code != ERR_QUEUE_FULL))
		return;
	unsigned owner = owner_of(name);
	uint64_t more = c->kind == CHANGE_RETRY_JOB ? 1 : after.waiting - before.waiting;
	uint64_t waiting = before.waiting + more, of_owner = before.of[owner].waiting + more;
	if (c->code == 0 && more > 0 && o->queue_max > 0 && waiting > o->queue_max)
		coop_fail("%llu jobs wait, and %llu may", (unsigned long long)waiting, (unsigned long long)o->queue_max);
	if (c->code == 0 && more > 0 && o->owner_queue_max > 0 && of_owner > o->owner_queue_max)
		coop_fail("%llu jobs of one owner wait, and %llu may", (unsigned long long)of_owner,
			  (unsigned long long)o->owner_queue_max);
	if (c->code == ERR_QUEUE_FULL && (o->queue_max == 0 || before.waiting + n <= o->queue_max) &&
	    (o->owner_queue_max == 0 || before.of[owner].waiting + n <= o->owner_queue_max))
		coop_fail("the queue has room for %zu jobs, and they are refused", n);
}

/* ---- */

void turns_before(const struct world *w)
{
	count(&before, w, NULL);
}

void turns_after(struct world *w, const struct change *c)
{
	bool claim = c->kind == CHANGE_CLAIM && c->code == 0;

	count(&after, w, claim ? &c->claim : NULL);
	if (claim)
		look_at_claim(w, &c->claim);
	look_at_room(w, c);
}
