/* Identical work in flight runs once: of equal jobs in hand (same owner, op, version, parameters and input) the first one leads, the others follow it.
 * A follower takes no thread: it is settled on the committer thread when its leader's end was committed.
 *
 *	the leader succeeded            the followers take its result and outputs over; where the catalogue refuses that, they run themselves
 *	it failed as the others would   the same failure
 *	anything else                   the first follower leads the rest
 *
 * What is equal but came after the leader's end finds its result among the artifacts. Digests are cheaper than all this: they do not fly. */
#include "engine/engine_impl.h"
#include "rt/metrics.h"

#include <string.h>

static bool flies(const struct work *w)
{
	const struct op *op = w->jobs[0].op;

	return w->n == 1 && op != NULL && (op->kind == OP_SEALED || op->kind == OP_COMMAND);
}

static uint64_t key_of(const struct claimed *c)
{
	uint64_t h;

	memcpy(&h, c->sha256, sizeof(h));
	return str_hash(str_hash(str_hash(h, c->owner), c->job.op), c->job.params);
}

static bool same_work(const struct claimed *a, const struct claimed *b)
{
	return a->size == b->size && memcmp(a->sha256, b->sha256, sizeof(a->sha256)) == 0 && str_eq(a->owner, b->owner) &&
	       str_eq(a->job.op, b->job.op) && a->job.op_version == b->job.op_version && str_eq(a->job.params, b->job.params);
}

/* Whether the other job's end can be this one's too. What has the input's name in it is shared by no other file. */
static bool can_follow(const struct work *w, const struct work *leader)
{
	const struct claimed *a = w->jobs[0].claimed, *b = leader->jobs[0].claimed;

	return w->key == leader->key && same_work(a, b) && (!w->jobs[0].op->named || str_eq(a->name, b->name));
}

/* ---- the table; the scheduler's lock is held ---- */

static struct work **bucket_of(struct work *w)
{
	return &w->g->scheduler.flights[w->key % FLIGHT_BUCKETS];
}

static void lead(struct work *w)
{
	struct work **b = bucket_of(w);

	w->leads = true;
	w->next_flight = *b;
	*b = w;
}

static void unlead(struct work *w)
{
	struct work **p = bucket_of(w);

	while (*p != w)
		p = &(*p)->next_flight;
	*p = w->next_flight;
	w->leads = false;
}

static void follow(struct work *w, struct work *leader)
{
	w->leader = leader;
	w->next_follower = leader->followers;
	leader->followers = w;
}

bool flight_unfollow(struct work *w)
{
	if (w->leader == NULL)
		return false;
	struct work **p = &w->leader->followers;
	while (*p != w)
		p = &(*p)->next_follower;
	*p = w->next_follower;
	w->leader = NULL;
	return true;
}

/* ---- */

bool flight_enter(struct work *w)
{
	struct scheduler *s = &w->g->scheduler;

	if (!flies(w))
		return true;
	w->key = key_of(w->jobs[0].claimed);
	pthread_mutex_lock(&s->lock);
	struct work *x = *bucket_of(w);
	while (x != NULL && !can_follow(w, x))
		x = x->next_flight;
	if (x != NULL)
		follow(w, x);
	else
		lead(w);
	pthread_mutex_unlock(&s->lock);
	return x == NULL;
}

static void take_over(struct work *w, struct uuid from)
{
	metric_add(METRIC_JOBS_FOLLOWED, 1);
	w->jobs[0].started_at = w->jobs[0].claimed->job.started_at;
	work_finish(w, &w->jobs[0], (struct change_finish){.state = JOB_SUCCEEDED, .same_as = from});
}

static void fail_alike(struct work *w, const struct change_finish *f)
{
	struct work_job *j = &w->jobs[0];
	struct err e = ERR_INIT;

	metric_add(METRIC_JOBS_FOLLOWED, 1);
	j->started_at = j->claimed->job.started_at;
	err_set(&e, f->error, "%.*s", STR_FMT(f->error_detail));
	if (f->result.p != NULL)
		buf_add_str(&j->result, f->result);
	work_fail(w, j, f->error, &e);
}

/* Whether the others would fare as this one did. An error that another try may mend does not say so. */
static bool speaks_for_all(const struct change *c)
{
	const struct change_finish *f = &c->finish;

	if (c->code != 0)
		return false;
	return f->state == JOB_SUCCEEDED || (f->state == JOB_FAILED && !err_info(f->error)->retryable);
}

void flight_leave(struct work *w, const struct change *c)
{
	struct scheduler *s = &w->g->scheduler;
	struct work *list, *first = NULL;

	if (!flies(w))
		return;
	pthread_mutex_lock(&s->lock);
	list = w->followers;
	w->followers = NULL;
	if (w->leads)
		unlead(w);
	if (list != NULL && !speaks_for_all(c)) {
		first = list;
		list = NULL;
		first->leader = NULL;
		lead(first);
		first->followers = first->next_follower;
		for (struct work *x = first->followers; x != NULL; x = x->next_follower)
			x->leader = first;
	}
	for (struct work *x = list; x != NULL; x = x->next_follower)
		x->leader = NULL;
	pthread_mutex_unlock(&s->lock);
	if (first != NULL)
		work_run_again(first);
	while (list != NULL) {
		struct work *x = list;
		list = x->next_follower;
		if (c->finish.state == JOB_SUCCEEDED)
			take_over(x, c->finish.job);
		else
			fail_alike(x, &c->finish);
	}
}
