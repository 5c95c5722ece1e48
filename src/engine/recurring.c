/* Recurring jobs: at the due times of each entry of the configuration, its ops on the files it selects.
 *
 * A run deals with the files of certain row numbers, from the newest down, page by page. Each page is one change: the jobs it adds, and where the entry stands after it. So a due
 * time is begun once and a file gets its jobs once, wherever this process is killed; who starts next goes on from there. A page that meets a full queue, or a full disk,
 * is tried again later, as it then is.
 *
 * Several due times that pass while a run is under way, or no server is running, are one run. */
#include "engine/engine_impl.h"
#include "rt/log.h"
#include "rt/metrics.h"

#include <stdlib.h>
#include <string.h>

#define SLEEP_MAX_MS 30000 /* the clock on the wall may be set meanwhile */
#define AGAIN_MS 2000 /* what failed is tried again */
#define PAGE_JOBS 1000 /* jobs of one change */
#define PAGE_FILES 200
#define AHEAD_MS (24 * INT64_C(3600000)) /* a last due time further ahead than this was written under a wrong clock */

/* One entry of the configuration. Owned by the thread. */
struct recurring_entry {
	const struct engine_recurring *config;
	struct recurring_state state; /* as the catalogue has it; the texts are the configuration's */
	bool there; /* it has one */
	bool adopted;
	uint64_t jobs; /* of the run under way, counted by this process */
};

static bool whole(const struct recurring_state *s)
{
	return s->before == s->since + 1;
}

/* ---- one step in the catalogue ---- */

static struct change step_to(const struct recurring_entry *x, struct recurring_state to, struct job *jobs, size_t n)
{
	return (struct change){
		.kind = CHANGE_RECURRING,
		.recurring = {.add = {.owner = x->config->files.owner, .jobs = jobs, .n = n},
			      .to = to,
			      .was_there = x->there,
			      .was_due_at = x->state.due_at,
			      .was_before = x->state.before},
	};
}

/* A file of the page went, or has as many jobs as it may have: its jobs are left out. The number of jobs that remain. */
static size_t leave_out(struct job *jobs, size_t n, struct uuid file)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (!uuid_eq(jobs[i].file, file))
			jobs[kept++] = jobs[i];
	return kept;
}

static bool only_this_file(int code)
{
	return code == ERR_FILE_GONE || code == ERR_FILE_NOT_FOUND || code == ERR_FILE_NOT_READY || code == ERR_CONFLICT;
}

static int apply_step(struct engine *g, struct recurring_entry *x, struct recurring_state to, struct job *jobs, size_t n)
{
	struct change c;
	int rc;

	do {
		c = step_to(x, to, jobs, n);
		rc = engine_apply(g, &c);
		if (rc != 0 && n > 0 && only_this_file(rc))
			n = leave_out(jobs, n, jobs[c.recurring.add.failed_index].file);
		else if (rc != 0)
			break;
	} while (rc != 0);
	if (rc != 0) {
		g->recurring.moved |= rc == ERR_STALE; /* by another node, which took over */
		log_err(rc == ERR_QUEUE_FULL ? LOG_INFO : LOG_WARN, "recurring_waits", &c.err);
		return rc;
	}
	x->state = to;
	x->there = true;
	x->jobs += n;
	metric_add(METRIC_RECURRING_JOBS, (int64_t)n);
	return 0;
}

/* ---- a run ---- */

/* The number of the newest file. */
static int newest_file(struct engine *g, struct str owner, int64_t *ret)
{
	const struct file_filter filter = {.owner = owner, .state = -1};
	int64_t next = 0;

	do {
		CLEANUP(arena_release) struct arena a = ARENA_INIT;
		struct err e = ERR_INIT;
		struct file *files;
		size_t n;
		int rc = catalog_list_files(g->catalog, &filter, (struct page){.before = next, .limit = 1}, &a, &files, &n, &next, &e);

		if (rc != 0) {
			log_err(LOG_WARN, "recurring_unreadable", &e);
			return rc;
		}
		*ret = n > 0 ? files[0].number : 0;
	} while (*ret == 0 && next > 0);
	return 0;
}

/* The same work, and nothing says that doing it again may end otherwise. */
static bool dealt_with(const struct job *job, const struct op_request *op)
{
	if (!str_eq(job->op, str_of(op->op->name)) || job->op_version != op->op->version || !str_eq(job->params, op->params))
		return false;
	return job->state != JOB_CANCELLED && !(job->state == JOB_FAILED && err_info(job->error)->retryable);
}

static bool all_dealt_with(const struct file *f, const struct engine_recurring *r)
{
	for (size_t i = 0; i < r->n_ops; i++) {
		bool found = false;
		for (size_t k = 0; k < f->n_jobs && !found; k++)
			found = dealt_with(&f->jobs[k], &r->ops[i]);
		if (!found)
			return false;
	}
	return true;
}

static bool selected(const struct file *f, const struct engine_recurring *r, int64_t since)
{
	bool type = r->type.len == 0 || (r->type.p[r->type.len - 1] == '/' ? str_starts(f->type, r->type) : str_eq(f->type, r->type));

	return f->number > since && type && f->damaged_at == 0 && f->location != LOCATION_COMING && !all_dealt_with(f, r);
}

/* The jobs of one page of files, and where the entry stands behind it. */
static int read_page(struct engine *g, struct recurring_entry *x, struct recurring_state *to, struct arena *a, struct job *jobs,
		     size_t *ret_n)
{
	const struct engine_recurring *r = x->config;
	uint32_t limit = r->n_ops * PAGE_FILES <= PAGE_JOBS ? PAGE_FILES : (uint32_t)(PAGE_JOBS / r->n_ops);
	struct err e = ERR_INIT;
	struct file *files;
	int64_t next;
	size_t n, n_jobs = 0;
	int rc = catalog_list_files(g->catalog, &r->files, (struct page){.before = to->before, .limit = limit}, a, &files, &n, &next, &e);

	if (rc != 0) {
		log_err(LOG_WARN, "recurring_unreadable", &e);
		return rc;
	}
	for (size_t i = 0; i < n; i++) {
		if (!selected(&files[i], r, to->since))
			continue;
		engine_new_jobs(g, jobs + n_jobs, files[i].id, r->ops, r->n_ops);
		for (size_t k = 0; k < r->n_ops; k++)
			jobs[n_jobs++].priority = r->priority;
	}
	to->before = next > to->since + 1 ? next : to->since + 1;
	*ret_n = n_jobs;
	return 0;
}

/* Goes on with the run that `to` is the beginning, or the rest, of. */
static int run_on(struct engine *g, struct recurring_entry *x, struct recurring_state to)
{
	int rc = 0;

	do {
		CLEANUP(arena_release) struct arena a = ARENA_INIT;
		struct job *jobs = arena_alloc(&a, PAGE_JOBS * sizeof(*jobs));
		size_t n = 0;

		if (atomic_load(&g->stopping))
			return ERR_SHUTTING_DOWN;
		rc = jobs != NULL ? read_page(g, x, &to, &a, jobs, &n) : ERR_NO_MEMORY;
		if (rc == 0)
			rc = apply_step(g, x, to, jobs, n);
	} while (rc == 0 && !whole(&to));
	if (rc != 0)
		return rc;
	metric_add(METRIC_RECURRING_RUNS, 1);
	log_event(LOG_INFO, "recurring_run", LF_CSTR("name", x->config->name), LF_INT("due_at", to.due_at),
		  LF_INT("files", x->jobs / x->config->n_ops), LF_INT("jobs", x->jobs));
	x->jobs = 0;
	return 0;
}

static int begin_run(struct engine *g, struct recurring_entry *x, int64_t due)
{
	struct recurring_state to = x->state;
	int64_t newest;
	int rc = newest_file(g, x->config->files.owner, &newest);

	if (rc != 0)
		return rc;
	to.due_at = due;
	to.since = x->config->all ? 0 : x->state.upto;
	to.upto = newest > to.since ? newest : to.since;
	to.before = to.upto + 1;
	return run_on(g, x, to);
}

/* ---- at the start ---- */

/* The times of an entry that is new, or has another schedule than before, are counted from now on. */
static int adopt(struct engine *g, struct recurring_entry *x, int64_t now)
{
	struct recurring_state to = x->state;
	bool same = x->there && str_eq(to.schedule, str_of(x->config->schedule));
	int64_t missed = CRON_NEVER;
	int rc = 0;

	to.name = str_of(x->config->name);
	to.schedule = str_of(x->config->schedule);
	if (!x->there) {
		rc = newest_file(g, x->config->files.owner, &to.since);
		to.upto = to.since;
		to.before = to.since + 1;
	}
	if (same && to.due_at > now + AHEAD_MS)
		log_event(LOG_WARN, "recurring_clock", LF_CSTR("name", x->config->name), LF_INT("due_at", to.due_at));
	if (!same || to.due_at > now + AHEAD_MS)
		to.due_at = now;
	else if (x->config->skip_missed)
		missed = cron_last(&x->config->cron, &x->config->zone, to.due_at, now);
	if (missed != CRON_NEVER) {
		log_event(LOG_INFO, "recurring_skipped", LF_CSTR("name", x->config->name), LF_INT("due_at", missed));
		to.due_at = missed;
	}
	if (rc == 0 && (!same || to.due_at != x->state.due_at))
		rc = apply_step(g, x, to, NULL, 0);
	x->adopted = rc == 0;
	return rc;
}

static struct recurring_entry *entry_of(struct recurring *r, struct str name)
{
	for (size_t i = 0; i < r->n; i++)
		if (str_eq(name, str_of(r->entries[i].config->name)))
			return &r->entries[i];
	return NULL;
}

/* Takes what the catalogue knows; entries that are configured no more are forgotten. */
static int read_states(struct engine *g)
{
	CLEANUP(arena_release) struct arena a = ARENA_INIT;
	struct recurring_state *list;
	struct err e = ERR_INIT;
	size_t n;
	int rc = catalog_recurring(g->catalog, &a, &list, &n, &e);

	if (rc != 0)
		log_err(LOG_WARN, "recurring_unreadable", &e);
	g->recurring.moved = false;
	for (size_t i = 0; i < g->recurring.n; i++)
		g->recurring.entries[i].there = g->recurring.entries[i].adopted = false;
	for (size_t i = 0; rc == 0 && i < n; i++) {
		struct recurring_entry *x = entry_of(&g->recurring, list[i].name);
		struct change c = {.kind = CHANGE_RECURRING,
				   .recurring = {.to = list[i],
						 .was_there = true,
						 .was_due_at = list[i].due_at,
						 .was_before = list[i].before,
						 .forget = true}};
		if (x == NULL) {
			rc = engine_apply(g, &c);
			continue;
		}
		x->state = list[i];
		x->there = true;
		x->state.name = str_of(x->config->name);
		/* of the texts only whether it is the same is asked later, when these are gone */
		x->state.schedule = str_eq(list[i].schedule, str_of(x->config->schedule)) ? str_of(x->config->schedule) : STR("");
	}
	return rc;
}

/* ---- the thread ---- */

/* How long until it is to be looked at again. */
static int64_t look_at(struct engine *g, struct recurring_entry *x)
{
	const struct engine_recurring *r = x->config;
	int64_t now = engine_now(g), due;
	int rc = 0;

	if (!x->adopted)
		rc = adopt(g, x, now);
	if (rc == 0 && !whole(&x->state))
		rc = run_on(g, x, x->state);
	if (rc == 0 && (due = cron_last(&r->cron, &r->zone, x->state.due_at, now)) != CRON_NEVER)
		rc = begin_run(g, x, due);
	if (rc != 0)
		return AGAIN_MS;
	due = cron_next(&r->cron, &r->zone, x->state.due_at > now ? x->state.due_at : now);
	now = engine_now(g);
	return due <= now ? 0 : due - now < SLEEP_MAX_MS ? due - now : SLEEP_MAX_MS;
}

static void *recurring_thread(void *arg)
{
	struct engine *g = arg;
	struct recurring *r = &g->recurring;
	bool known = false;
	int64_t pause;

	do {
		if (!engine_duty(g, DUTY_RECURRING)) { /* another node does it; what is known here goes out of date */
			known = false;
			pause = SLEEP_MAX_MS;
			continue;
		}
		if (!known || r->moved)
			known = read_states(g) == 0;
		pause = known ? SLEEP_MAX_MS : AGAIN_MS;
		for (size_t i = 0; known && i < r->n && !atomic_load(&g->stopping); i++) {
			int64_t p = look_at(g, &r->entries[i]);
			pause = p < pause ? p : pause;
		}
		if (known && r->n == 0)
			pause = -1; /* what there was is forgotten */
	} while (sleeper_wait(&r->sleeper, pause));
	return NULL;
}

int recurring_start(struct engine *g, struct err *e)
{
	struct recurring *r = &g->recurring;

	r->entries = calloc(g->config.n_recurring + 1, sizeof(*r->entries));
	if (r->entries == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for recurring jobs");
	r->n = g->config.n_recurring;
	for (size_t i = 0; i < r->n; i++)
		r->entries[i].config = &g->config.recurring[i];
	return sleeper_start(&r->sleeper, "recurring", recurring_thread, g, e);
}

void recurring_stop(struct engine *g)
{
	sleeper_stop(&g->recurring.sleeper);
	free(g->recurring.entries);
	g->recurring.entries = NULL;
}
