/* Those who wait for a file's jobs. A waiter is looked at when it comes, when a job of its file becomes final, and at its deadline;
 * looking means one catalogue read on this part's own thread. Nothing polls. */
#include "engine/engine_impl.h"

static unsigned bucket_of(struct uuid file)
{
	return file.b[15]; /* random bits of a UUIDv7 */
}

/* Moves a waiter from its bucket to the list to be looked at; lock held. */
static void poke(struct waits *w, struct engine_waiter *x)
{
	unsigned b = bucket_of(x->file);

	if (x->prev != NULL)
		x->prev->next = x->next;
	else
		w->buckets[b] = x->next;
	if (x->next != NULL)
		x->next->prev = x->prev;
	x->prev = NULL;
	x->next = w->poked;
	w->poked = x;
	w->n--;
}

static void put_back(struct waits *w, struct engine_waiter *x)
{
	unsigned b = bucket_of(x->file);

	x->prev = NULL;
	x->next = w->buckets[b];
	if (x->next != NULL)
		x->next->prev = x;
	w->buckets[b] = x;
	w->n++;
}

void engine_wait(struct engine *g, struct engine_waiter *x)
{
	struct waits *w = &g->waits;

	pthread_mutex_lock(&w->lock);
	x->prev = NULL;
	x->next = w->poked;
	w->poked = x;
	pthread_mutex_unlock(&w->lock);
	sleeper_kick(&w->sleeper);
}

void waits_signal(struct engine *g, struct uuid file)
{
	struct waits *w = &g->waits;
	bool found = false;

	pthread_mutex_lock(&w->lock);
	for (struct engine_waiter *x = w->buckets[bucket_of(file)], *next; x != NULL; x = next) {
		next = x->next;
		if (uuid_eq(x->file, file)) {
			poke(w, x);
			found = true;
		}
	}
	pthread_mutex_unlock(&w->lock);
	if (found)
		sleeper_kick(&w->sleeper);
}

void waits_look_again(struct engine *g)
{
	struct waits *w = &g->waits;

	pthread_mutex_lock(&w->lock);
	for (unsigned b = 0; b < WAIT_BUCKETS; b++)
		while (w->buckets[b] != NULL)
			poke(w, w->buckets[b]);
	pthread_mutex_unlock(&w->lock);
	sleeper_kick(&w->sleeper);
}

/* Final, gone, or unreadable: in each case there is nothing more to wait for. */
static bool nothing_to_wait_for(struct engine *g, const struct engine_waiter *x)
{
	struct arena a = ARENA_INIT;
	struct file f;
	bool done = true;

	if (uuid_is_zero(x->file))
		return false;
	if (catalog_file(g->catalog, (struct file_key){.id = x->file}, x->owner, &a, &f, NULL) == 0)
		for (size_t i = 0; i < f.n_jobs; i++)
			if (!job_state_final(f.jobs[i].state) && (uuid_is_zero(x->job) || uuid_eq(x->job, f.jobs[i].id)))
				done = false;
	arena_release(&a);
	return done;
}

static void look_at_poked(struct engine *g)
{
	struct waits *w = &g->waits;

	for (;;) {
		pthread_mutex_lock(&w->lock);
		struct engine_waiter *x = w->poked;
		if (x != NULL) {
			/* into its bucket before the read: a signal that comes meanwhile pokes it again */
			w->poked = x->next;
			put_back(w, x);
		}
		pthread_mutex_unlock(&w->lock);
		if (x == NULL)
			return;
		if (!nothing_to_wait_for(g, x) && engine_mono(g) < x->deadline_ms && !atomic_load(&g->stopping))
			continue;
		pthread_mutex_lock(&w->lock);
		/* wherever it is now, in its bucket or poked again: this thread is the only one that takes waiters out */
		bool in_poked = false;
		for (struct engine_waiter **p = &w->poked; *p != NULL; p = &(*p)->next)
			if (*p == x) {
				*p = x->next;
				in_poked = true;
				break;
			}
		if (!in_poked) {
			poke(w, x);
			w->poked = x->next;
		}
		pthread_mutex_unlock(&w->lock);
		x->wake(x);
	}
}

/* Pokes those whose deadline has passed; returns the ms until the next one, -1 when nobody waits. */
static int64_t poke_late(struct engine *g)
{
	struct waits *w = &g->waits;
	int64_t now = engine_mono(g), next = -1;

	pthread_mutex_lock(&w->lock);
	for (unsigned b = 0; w->n > 0 && b < WAIT_BUCKETS; b++)
		for (struct engine_waiter *x = w->buckets[b], *after; x != NULL; x = after) {
			after = x->next;
			if (x->deadline_ms <= now)
				poke(w, x);
			else if (next < 0 || x->deadline_ms - now < next)
				next = x->deadline_ms - now;
		}
	if (w->poked != NULL)
		next = 0;
	pthread_mutex_unlock(&w->lock);
	return next;
}

static void *waits_run(void *arg)
{
	struct engine *g = arg;
	int64_t pause;

	do {
		look_at_poked(g);
		pause = poke_late(g);
	} while (sleeper_wait(&g->waits.sleeper, pause));
	waits_look_again(g);
	look_at_poked(g); /* stopping: wakes everybody */
	return NULL;
}

int waits_start(struct engine *g, struct err *e)
{
	return sleeper_start(&g->waits.sleeper, "waits", waits_run, g, e);
}

void waits_stop(struct engine *g)
{
	sleeper_stop(&g->waits.sleeper);
}
