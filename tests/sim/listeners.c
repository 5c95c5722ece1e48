/* Those who want to be told: waiters, readers of events, the outbox. */
#include "clients.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

/* ---- waiters ---- */

static void on_wake(struct engine_waiter *x)
{
	struct sim_waiter *s = CONTAINER_OF(x, struct sim_waiter, w);

	if (s->woken)
		coop_fail("a waiter is woken twice");
	if (coop_locks() > 0)
		coop_fail("a waiter is woken with a lock held");
	s->woken = true;
	coop_wake(s);
}

/* Whether there is nothing to wait for, by what is on the disk. */
static bool is_over(const struct world *w, const struct engine_waiter *x)
{
	struct mem_row *row = mem_find(&world_mem(w)->files, x->file);
	const struct mem_file *f = row != NULL ? CONTAINER_OF(row, struct mem_file, row) : NULL;

	if (f == NULL || f->deleted_at)
		return true;
	for (size_t i = 0; i < f->n_jobs; i++)
		if (!job_state_final(f->jobs[i]->job.state) && (uuid_is_zero(x->job) || uuid_eq(x->job, f->jobs[i]->row.id)))
			return false;
	return true;
}

/* Nobody can run: whoever is to be woken by what was committed has been. Not by a commit or a look under way, nor by a commit that nobody knows of. */
void waiters_at_rest(struct world *w)
{
	if (w->applying || w->reading > 0 || w->sealed || w->g == NULL)
		return;
	for (size_t i = 0; i < WAITERS_MAX; i++) {
		const struct sim_waiter *s = &w->waiters[i];

		if (s->registered && !s->woken && is_over(w, &s->w))
			coop_fail("a waiter sleeps though all jobs of %s are final", short_id(s->w.file));
	}
}

void act_wait(struct world *w, struct told_file *t)
{
	struct sim_waiter *s = NULL;

	for (size_t i = 0; i < WAITERS_MAX && s == NULL; i++)
		if (!w->waiters[i].taken)
			s = &w->waiters[i];
	if (s == NULL)
		return;
	*s = (struct sim_waiter){.taken = true, .w = {.file = t->id, .owner = str_of(owner_name(t->owner)), .wake = on_wake}};
	s->w.deadline_ms = coop_mono_ns() / MS + rng_below(&w->rng, rng_one_in(&w->rng, 2) ? 60000 : 300);
	TRACE("waits for %s", short_id(t->id));
	engine_wait(w->g, &s->w);
	s->registered = true;
	while (!s->woken)
		coop_wait(s, -1);
	s->taken = s->registered = false;
}

/* ---- readers of events ---- */

#define TEXT_MAX (64u << 10)

struct listening {
	struct world *w;
	struct engine_reader x;
	unsigned owner;
	size_t at; /* tales before were told, or passed over */
	size_t sure; /* those before may be missing: it was not there yet */
	bool wake, over;
	size_t n;
	char text[TEXT_MAX]; /* not yet taken apart */
	char last_id[64];
};

static void on_event(struct engine_reader *x)
{
	struct listening *l = CONTAINER_OF(x, struct listening, x);

	if (coop_locks() > 0)
		coop_fail("a reader is woken with a lock held");
	l->wake = true;
	coop_wake(l);
}

/* An end that is not there any more, for the job was queued again, has expired or was forgotten with its file. */
static bool is_past(const struct world *w, const struct tale *t)
{
	struct mem_job *j = mem_find_job(world_mem(w), t->job);

	return t->kind == TALE_ENDED &&
	       (j == NULL || j->expired_at != 0 || j->job.fence != t->fence || j->job.finished_at != t->finished_at);
}

static bool concerns(const struct listening *l, const struct tale *t)
{
	return t->owner == l->owner && (uuid_is_zero(l->x.file) || uuid_eq(l->x.file, t->file));
}

static bool is_told_by(const struct tale *t, struct str name, struct str data)
{
	static const char *const names[] = {[TALE_STORED] = "file.stored", [TALE_DELETED] = "file.deleted", [TALE_ENDED] = "job."};
	char id[UUID_TEXT_LEN + 8], uuid[UUID_TEXT_LEN + 1], time[TIME_TEXT_LEN + 1];
	char text[4096];

	if (!str_starts(name, str_of(names[t->kind])) || data.len >= sizeof(text))
		return false;
	uuid_format(uuid, t->kind == TALE_ENDED ? t->job : t->file);
	snprintf(id, sizeof(id), "{\"id\":\"%s", uuid);
	if (!str_starts(data, str_of(id)))
		return false;
	if (t->kind != TALE_ENDED)
		return true;
	memcpy(text, data.p, data.len);
	text[data.len] = '\0';
	time_format(time, t->finished_at);
	const char *at = strstr(text, "\"finished_at\":\"");
	return at != NULL && strncmp(at + strlen("\"finished_at\":\""), time, TIME_TEXT_LEN) == 0;
}

/* Everything before tale `to` was told or need not be. */
static void pass_over(struct listening *l, size_t to)
{
	for (; l->at < to; l->at++) {
		const struct tale *t = &l->w->tales[l->at];

		if (l->at >= l->sure && concerns(l, t) && !is_past(l->w, t))
			coop_fail("a reader of events was not told of %s %s", t->kind == TALE_ENDED ? "the end of" : "file",
				  short_id(t->kind == TALE_ENDED ? t->job : t->file));
	}
}

/* It is of a job that the reader may know of, and comes before the job's end. Not so when its worker was taken for dead, but lived: what such a one says is not held back. */
static void hear_progress(const struct listening *l, struct str data)
{
	const size_t at = strlen("{\"id\":\"");
	struct uuid id;

	if (data.len < at + UUID_TEXT_LEN || !uuid_parse(&id, (struct str){data.p + at, UUID_TEXT_LEN}))
		coop_fail("progress of nothing: %.*s", STR_FMT(data));
	const struct mem_job *j = mem_find_job(world_mem(l->w), id);
	if (j == NULL && !l->w->plan.far_clock)
		coop_fail("progress of a job that is not there: %s", short_id(id));
	if (j == NULL)
		return;
	if (owner_of(j->file->file.owner) != l->owner || (!uuid_is_zero(l->x.file) && !uuid_eq(l->x.file, j->file->row.id)))
		coop_fail("progress of %s is told to somebody else", short_id(id));
	for (size_t i = 0; i < l->at && !l->w->jobs[j->row.number].lost; i++)
		if (uuid_eq(l->w->tales[i].job, id) && !is_past(l->w, &l->w->tales[i]))
			coop_fail("progress of %s is told after its end", short_id(id));
}

static void hear(struct listening *l, struct str name, struct str data)
{
	size_t i = l->at;

	TRACE("event %.*s", STR_FMT(name));
	if (str_eq(name, STR("reset"))) {
		l->sure = l->w->n_tales;
		return;
	}
	if (str_eq(name, STR("dropped"))) {
		l->over = true;
		l->sure = l->w->n_tales;
		return;
	}
	if (str_eq(name, STR("job.progress"))) {
		hear_progress(l, data);
		return;
	}
	while (i < l->w->n_tales && !(concerns(l, &l->w->tales[i]) && is_told_by(&l->w->tales[i], name, data)))
		i++;
	if (i == l->w->n_tales)
		coop_fail("event %.*s tells what was not committed, or was told before: %.*s", STR_FMT(name),
			  (int)(data.len < 60 ? data.len : 60), data.p);
	pass_over(l, i);
	l->at = i + 1;
}

/* One message of the stream: lines up to an empty one. */
static void hear_message(struct listening *l, struct str message)
{
	struct str name = {}, data = {}, line;

	while (message.len > 0) {
		line = str_split(message, '\n', &message);
		if (str_starts(line, STR("id: ")))
			snprintf(l->last_id, sizeof(l->last_id), "%.*s", (int)line.len - 4, line.p + 4);
		else if (str_starts(line, STR("event: ")))
			name = (struct str){line.p + 7, line.len - 7};
		else if (str_starts(line, STR("data: ")))
			data = (struct str){line.p + 6, line.len - 6};
	}
	if (name.p != NULL)
		hear(l, name, data);
}

static void take_apart(struct listening *l)
{
	char *end;

	l->text[l->n] = '\0';
	while ((end = strstr(l->text, "\n\n")) != NULL) {
		size_t n = (size_t)(end - l->text) + 2;

		hear_message(l, (struct str){l->text, n - 1});
		memmove(l->text, l->text + n, l->n - n + 1);
		l->n -= n;
	}
}

/* Reads until the stream ends, the patience does, or, when all is calm, everything was told. */
static void listen_on(struct listening *l)
{
	struct world *w = l->w;
	unsigned patience = w->calm ? UINT32_MAX : rng_below(&w->rng, 20);

	while (!l->over && patience-- > 0) {
		size_t most = rng_one_in(&w->rng, 3) ? 20 : TEXT_MAX - 1 - l->n;
		if (l->n + most >= TEXT_MAX)
			coop_fail("a message without end");
		l->wake = false;
		ssize_t n = engine_events_read(w->g, &l->x, l->text + l->n, most);
		if (n < 0)
			return;
		l->n += (size_t)n;
		take_apart(l);
		if (n > 0 && rng_one_in(&w->rng, 4))
			coop_sleep((int64_t)rng_below(&w->rng, 2000) * MS);
		if (n == 0 && w->calm && w->clients == 0)
			break;
		while (n == 0 && !l->wake && !(w->calm && w->clients == 0))
			coop_wait(l, 1000 * MS);
	}
}

static bool join(struct listening *l, bool again)
{
	struct world *w = l->w;
	struct err e = ERR_INIT;
	struct str id = again && l->last_id[0] != '\0' ? str_of(l->last_id) : (struct str){};

	l->x = (struct engine_reader){.owner = str_of(owner_name(l->owner)), .file = l->x.file, .wake = on_event};
	if (engine_events_join(w->g, &l->x, id, &e) != 0)
		return false;
	if (id.p == NULL)
		l->sure = w->n_tales;
	l->n = 0;
	return true;
}

void *listener(void *arg)
{
	static struct listening places[4];
	static unsigned next;
	struct world *w = arg;
	struct listening *l = &places[next++ % ARRAY_LEN(places)];

	pthread_setname_np(pthread_self(), "listener");
	*l = (struct listening){.w = w, .owner = rng_below(&w->rng, w->owners), .at = w->tales_before};
	if (w->n_files > 0 && rng_one_in(&w->rng, 4))
		l->x.file = w->files[rng_below(&w->rng, (unsigned)w->n_files)].id;
	for (bool again = false; !l->over && (again ? w->clients > 0 : true) && join(l, again); again = true) {
		listen_on(l);
		if (w->calm && w->clients == 0 && !l->over)
			pass_over(l, w->tales_settled);
		engine_events_leave(w->g, &l->x);
		coop_sleep((int64_t)rng_below(&w->rng, 500) * MS);
	}
	return NULL;
}

/* ---- the outbox ---- */

static bool is_this_end(const struct tale *t, const struct job *job)
{
	return t->kind == TALE_ENDED && uuid_eq(t->job, job->id) && t->fence == job->fence && t->finished_at == job->finished_at;
}

int hear_outbox(void *arg, const struct job *job)
{
	struct world *w = arg;
	size_t i = w->outbox_at;

	if (coop_locks() > 0)
		coop_fail("the outbox is told with a lock held");
	coop_point();
	if (chance(w, w->plan.outbox_fails))
		return -1;
	if (w->outbox_anew ||
	    w->plan.far_clock) /* a crash may have come between the telling and the striking; and what is purged is not told */
		i = 0;
	while (i < w->n_tales && !is_this_end(&w->tales[i], job) &&
	       (i < w->outbox_at || w->tales[i].kind != TALE_ENDED || w->plan.far_clock))
		i++;
	if (i == w->n_tales || !is_this_end(&w->tales[i], job))
		coop_fail("the outbox tells the end of %s out of turn", short_id(job->id));
	TRACE("outbox: %s %s", short_id(job->id), job_state_name(job->state));
	w->outbox_at = i + 1;
	w->outbox_anew = false;
	return 0;
}
