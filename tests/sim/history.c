/* One history: lives of an engine on one disk, with clients and trouble, most of them ended by the death of the process; then a calm one in which all has to come to its end, and one
 * more that sweeps. */
#include "world.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

#define WALL_BEGIN INT64_C(1790000000000)
#define CALM_MS 900000 /* in which every job has to end */
#define STEPS_MAX 2000000 /* of one life */

bool chance(struct world *w, unsigned one_in)
{
	return !w->calm && rng_one_in(&w->rng, one_in);
}

bool call_fails(struct world *w, unsigned one_in)
{
	const struct failing *f = &w->failing;

	if (!f->on)
		return chance(w, one_in);
	if (w->calm)
		return false;
	w->calls++;
	return f->at > 0 && (f->how == FAIL_FOR_GOOD ? w->calls >= f->at : w->calls == f->at);
}

void disk_takes_time(struct world *w)
{
	if (chance(w, w->plan.stuck_disk))
		coop_sleep((int64_t)rng_below(&w->rng, (unsigned)w->config.lease_ms * 2) * MS);
	else if (chance(w, w->plan.slow_disk))
		coop_sleep((int64_t)rng_below(&w->rng, 1000) * MS);
	else if (rng_one_in(&w->rng, 2))
		coop_sleep((int64_t)rng_below(&w->rng, 3000) * 1000);
	else
		coop_point();
}

/* ---- what a history is like ---- */

static unsigned often(struct rng *r, unsigned present, unsigned from, unsigned to)
{
	return rng_one_in(r, present) ? from + rng_below(r, to - from) : 0;
}

static struct plan draw_plan(struct rng *r)
{
	return (struct plan){
		.apply_fails = often(r, 3, 5, 60),
		.apply_unknown = often(r, 3, 30, 200),
		.read_fails = often(r, 4, 10, 100),
		.store_full = often(r, 4, 5, 50),
		.store_io = often(r, 5, 10, 60),
		.slow_disk = often(r, 3, 5, 60),
		.stuck_disk = often(r, 6, 20, 200),
		.job_fails = often(r, 2, 2, 12),
		.job_slow = often(r, 2, 2, 10),
		.job_stuck = often(r, 3, 3, 30),
		.outbox_fails = often(r, 4, 2, 10),
		.hooks = rng_one_in(r, 3),
		.hook_fails = often(r, 2, 2, 10),
		.crash = rng_one_in(r, 4) ? 0 : 30 + rng_below(r, 70),
		.freeze = often(r, 3, 10, 80),
		.clock = often(r, 4, 10, 80),
		.other_worker = rng_one_in(r, 4),
		.crowded = rng_one_in(r, 6),
		.far_clock = rng_one_in(r, 16),
		.recurring = rng_one_in(r, 6),
		.backup = rng_one_in(r, 5),
	};
}

/* All that clients and the engine do in it, and nothing that goes wrong by chance. */
static struct plan plain(struct plan p)
{
	return (struct plan){.hooks = p.hooks, .crowded = p.crowded, .recurring = p.recurring, .backup = p.backup};
}

static uint64_t sim_random(struct env *e)
{
	return rng_next(&((struct world *)e->ctx)->rng);
}

static int64_t sim_wall(struct env *e)
{
	return coop_wall_ms();
}

static int64_t sim_mono(struct env *e)
{
	return coop_mono_ns() / MS;
}

static bool blobs_held(void *arg)
{
	return ((struct world *)arg)->held;
}

/* Each minute a digest of all files of an owner: they have it once and for all, so only the first one makes work. */
static const struct engine_recurring *recurring_entry(void)
{
	static struct op_request op = {.params = {"{}", 2}, .after = -1};
	static struct engine_recurring entry = {.name = "sim", .schedule = "* * * * * UTC", .ops = &op, .n_ops = 1, .all = true};
	struct err e = ERR_INIT;

	op.op = op_table_find(op_builtin_table(), STR("sha256"));
	entry.files = (struct file_filter){.owner = str_of(owner_name(0)), .state = -1};
	entry.priority = PRIORITY_DEFAULT;
	if (cron_parse(&entry.cron, STR("* * * * *"), &e) != 0)
		coop_fail("no schedule: %s", e.detail);
	return &entry;
}

/* The ops with the limits on what runs of each. */
static const struct op_table *make_ops(struct world *w)
{
	CLEANUP(buf_release) struct buf bounds = BUF_INIT;
	struct err e = ERR_INIT;
	enum heap_domain d = heap_enter(HEAP_SIM);

	buf_add_cstr(&bounds, "{");
	for (size_t i = 0; i < w->n_limits; i++)
		buf_addf(&bounds, "%s\"%.*s\":{\"concurrency\":%llu}", i > 0 ? "," : "", STR_FMT(w->limits[i].op),
			 (unsigned long long)w->limits[i].running);
	buf_add_cstr(&bounds, "}");
	if (op_table_new(&w->ops, STR(""), STR(""), buf_str(&bounds), &w->ops_memory, &e) != 0)
		coop_fail("no ops: %s", e.detail);
	heap_enter(d);
	return w->ops;
}

static void draw_config(struct world *w)
{
	struct rng *r = &w->rng;
	bool quick = rng_one_in(r, 2);

	w->config = (struct engine_config){
		.inline_max = 64,
		.file_max = 1 << 20,
		.space_fd = -1,
		.io_threads = 1 + rng_below(r, 3),
		.job_threads = 1 + rng_below(r, 3),
		.uploads_max = 1 + rng_below(r, 4),
		.default_ops = "md5",
		.lease_ms = quick ? 3000 : 15000,
		.beat_ms = quick ? 800 : 4000,
		.reclaim_ms = quick ? 400 : 2000,
		.scrub_rate = rng_one_in(r, 3) ? 1 << 18 : 0,
		.scrub_every_ms = 3000,
		.blobs_held = blobs_held,
		.blobs_held_arg = w,
		.sweep_every_ms = rng_one_in(r, 2) ? 200 + rng_below(r, 3000) : 0,
		.idempotency_ms = 24 * 3600000,
		.tombstone_ms = 30 * INT64_C(86400000),
		.events_readers = 1 + rng_below(r, 3),
		.events_heartbeat_ms = 15000,
		.events_ring = rng_one_in(r, 3) ? 4 : 256,
	};
	w->options = (struct catalog_options){
		.outbox = rng_one_in(r, 2), .queue_max = rng_one_in(r, 4) ? 12 : 0, .owner_queue_max = rng_one_in(r, 4) ? 8 : 0};
	w->n_limits = rng_one_in(r, 3) ? 1 + rng_below(r, ARRAY_LEN(w->limits)) : 0;
	for (size_t i = 0; i < w->n_limits; i++)
		w->limits[i] = (struct claim_limit){.op = i == 0 ? STR("zstd") : STR("md5"), .running = 1 + rng_below(r, 2)};
	w->owner_limit = rng_one_in(r, 4) ? 1 + rng_below(r, 3) : 0;
	w->config.owner_concurrency = w->owner_limit;
	w->config.ops = make_ops(w);
	w->config.files_keep_ms = rng_one_in(r, 8) ? 1000 + rng_below(r, 30000) : 0;
	w->options.results_keep_ms = rng_one_in(r, 4) ? 1 + rng_below(r, 20000) : 0;
	if (w->plan.recurring) {
		w->config.recurring = recurring_entry();
		w->config.n_recurring = 1;
	}
	if (w->options.outbox) {
		w->config.outbox = hear_outbox;
		w->config.outbox_arg = w;
	}
	if (w->plan.hooks)
		hooks_config(w);
	w->env = (struct env){.ctx = w, .wall_ms = sim_wall, .mono_ms = sim_mono, .random = sim_random};
}

static struct coop_policy draw_policy(struct world *w, bool crash)
{
	static const unsigned rates[] = {1, 3, 10, 40};
	struct rng *r = &w->rng;
	struct coop_policy p = {
		.priorities = rng_one_in(r, 3),
		.switch_one_in = rates[rng_below(r, ARRAY_LEN(rates))],
		.lower_one_in = 50 + rng_below(r, 500),
		.spurious_one_in = rng_one_in(r, 2) ? 200 : 0,
		.step_ns = 1u << (5 + rng_below(r, 13)),
		.steps_max = STEPS_MAX,
	};
	/* early deaths are as likely as late ones */
	p.crash_at = crash ? 1 + rng_below(r, 1u << (7 + rng_below(r, 7))) : 0;
	return p;
}

/* ---- one life ---- */

static void start(struct world *w)
{
	struct err e = ERR_INIT;
	struct blobs *blobs;

	book_restart(w);
	if (w->plan.hooks && pthread_create(&w->network, NULL, network, w) != 0)
		coop_fail("no network");
	if (disk_new(&blobs, w, &e) != 0 || toil_new(&w->runner, w, &e) != 0)
		coop_fail("no memory");
	w->config.runner = w->runner;
	if (engine_new(&w->g, &w->config, &w->env, w->catalog, blobs, &e) != 0)
		coop_fail("the engine cannot be made: %s", e.detail);
	int rc = engine_start(w->g, &e);
	TRACE("started: %d", rc);
	if (rc == 0 && w->plan.crowded && !w->calm)
		w->g->committer.admission.short_max = 1;
	if (rc != 0) {
		if (w->calm)
			coop_fail("the engine does not start: %s", e.detail);
		coop_crash(); /* the program ends */
	}
}

static void stop(struct world *w)
{
	w->stopping = true;
	engine_quiesce(w->g);
}

static void end(struct world *w)
{
	TRACE("stops");
	engine_stop(w->g, 1 + rng_below(&w->rng, 3000));
	engine_free(w->g);
	w->g = NULL;
	if (w->plan.hooks) {
		w->network_over = true;
		coop_wake(w->posts);
		pthread_join(w->network, NULL);
	}
	runner_free(w->runner);
	if (heap_count(HEAP_PROCESS) > 0)
		coop_fail("%zu pieces of memory are left after the end of the engine", heap_count(HEAP_PROCESS));
	if (heap_descriptors() > 0)
		coop_fail("descriptors are left after the end of the engine");
}

#define CREW_MAX 12

struct crew {
	pthread_t threads[CREW_MAX];
	unsigned n;
};

static void hire(struct crew *c, void *(*run)(void *), struct world *w)
{
	if (pthread_create(&c->threads[c->n++], NULL, run, w) != 0)
		coop_fail("no thread");
}

static void dismiss(struct crew *c)
{
	while (c->n > 0)
		pthread_join(c->threads[--c->n], NULL);
}

/* Clients come and go, and things go wrong. */
static void *busy_life(void *arg)
{
	struct world *w = arg;
	struct crew crew = {};

	heap_enter(HEAP_PROCESS);
	pthread_setname_np(pthread_self(), "main");
	start(w);
	w->clients = 1 + rng_below(&w->rng, 5);
	for (unsigned n = w->clients; n > 0; n--)
		hire(&crew, client, w);
	for (unsigned n = rng_below(&w->rng, 3); n > 0; n--)
		hire(&crew, listener, w);
	if (w->plan.freeze > 0 || w->plan.clock > 0)
		hire(&crew, trouble, w);
	if (w->plan.backup)
		hire(&crew, backup, w);
	if (w->plan.other_worker)
		hire(&crew, other_worker, w);
	if (rng_one_in(&w->rng, 3)) {
		coop_sleep((int64_t)rng_below(&w->rng, 5000) * MS);
		stop(w);
	}
	dismiss(&crew);
	stop(w);
	end(w);
	return NULL;
}

static unsigned open_jobs(const struct world *w)
{
	unsigned n = 0;

	for (size_t i = 0; i < JOBS_MAX; i++)
		n += w->jobs[i].there && !job_state_final(w->jobs[i].state);
	return n;
}

/* Nothing goes wrong any more: every job has to end, and everybody to be told. */
static void *calm_life(void *arg)
{
	struct world *w = arg;
	struct crew crew = {};

	heap_enter(HEAP_PROCESS);
	pthread_setname_np(pthread_self(), "main");
	w->clients = 1;
	start(w);
	hire(&crew, listener, w);
	hire(&crew, listener, w);
	int64_t end_at = coop_mono_ns() + CALM_MS * MS;
	while (open_jobs(w) + hooks_waiting(w) > 0) {
		if (coop_mono_ns() > end_at)
			coop_fail("%u jobs do not end, %u deliveries are not made", open_jobs(w), hooks_waiting(w));
		coop_sleep(500 * MS);
	}
	w->tales_settled = w->n_tales;
	coop_sleep(3000 * MS); /* all are told, and the janitor has been about */
	w->clients = 0;
	dismiss(&crew);
	stop(w);
	end(w);
	return NULL;
}

/* A start sweeps. */
static void *sweeping_life(void *arg)
{
	struct world *w = arg;

	heap_enter(HEAP_PROCESS);
	pthread_setname_np(pthread_self(), "main");
	start(w);
	coop_sleep(3000 * MS);
	stop(w);
	end(w);
	return NULL;
}

/* ---- after it ---- */

static void finding(void *arg, enum finding f, struct str id, struct str detail)
{
	coop_fail("the catalogue contradicts itself: %s %.*s %.*s", finding_word(f), STR_FMT(id), STR_FMT(detail));
}

static void must_be_referenced(struct world *w, struct str name)
{
	bool referenced = false;

	if (str_starts(name, STR("probe/"))) /* of a readiness check that was cut short: its name comes again */
		return;
	if (mem_blob_referenced(w->catalog, name, &referenced, NULL) != 0 || !referenced)
		coop_fail("blob %.*s is left, and no row refers to it", STR_FMT(name));
}

static void look_at_files(struct world *w)
{
	const struct mem *m = world_mem(w);

	for (size_t i = 0; i < m->files.n; i++) {
		const struct mem_file *f = CONTAINER_OF(m->files.rows[i], struct mem_file, row);

		if (!f->deleted_at)
			truth_check_file(w, f);
		for (size_t k = 0; k < f->n_jobs && !f->deleted_at; k++)
			truth_check_job(w, f->jobs[k]);
	}
}

/* Within a day a key leads to one file, whatever died in between. */
static void look_at_keys(struct world *w)
{
	const struct mem *m = world_mem(w);

	for (size_t i = 0; i < m->files.n; i++)
		for (size_t k = 0; k < i && !w->plan.far_clock; k++) {
			const struct file *a = &CONTAINER_OF(m->files.rows[i], struct mem_file, row)->file;
			const struct file *b = &CONTAINER_OF(m->files.rows[k], struct mem_file, row)->file;

			if (strstr(a->name.p, "-key-") != NULL && str_eq(a->name, b->name) && str_eq(a->owner, b->owner))
				coop_fail("one key has made %s and %s", short_id(a->id), short_id(b->id));
		}
}

static void look_at_told(struct world *w)
{
	for (size_t i = 0; i < w->n_files; i++) {
		const struct told_file *t = &w->files[i];
		struct mem_row *row = mem_find(&world_mem(w)->files, t->id);
		const struct mem_file *f = row != NULL ? CONTAINER_OF(row, struct mem_file, row) : NULL;

		if (f == NULL && !(t->doomed && w->plan.far_clock))
			coop_fail("the acknowledged file %s is lost", short_id(t->id));
		if (f != NULL && f->deleted_at && !t->doomed)
			coop_fail("the acknowledged file %s was deleted by nobody", short_id(t->id));
		if (f != NULL && !f->deleted_at && t->gone)
			coop_fail("the deleted file %s is there", short_id(t->id));
	}
}

static void *reckoning(void *arg)
{
	struct world *w = arg;

	pthread_setname_np(pthread_self(), "reckoning");
	coop_quiet_begin();
	if (mem_check(w->catalog, finding, NULL, NULL) != 0)
		coop_fail("the catalogue cannot be checked");
	look_at_told(w);
	look_at_files(w);
	look_at_keys(w);
	disk_each(w, must_be_referenced);
	if (world_mem(w)->n_doomed > 0)
		coop_fail("%zu blobs are still to be removed", world_mem(w)->n_doomed);
	for (size_t i = w->outbox_at; w->options.outbox && !w->plan.far_clock && i < w->n_tales; i++)
		if (w->tales[i].kind == TALE_ENDED)
			coop_fail("the outbox does not tell the end of %s", short_id(w->tales[i].job));
	coop_quiet_end();
	return NULL;
}

/* ---- the whole ---- */

static void at_rest(void *arg)
{
	waiters_at_rest(arg);
}

static enum coop_end live(struct world *w, void *(*life)(void *), bool crash)
{
	struct coop_policy policy = draw_policy(w, crash);

	w->life++;
	w->stopping = w->sealed = w->applying = false;
	w->reading = 0;
	w->held = false;
	hooks_restart(w);
	w->outbox_anew = true;
	w->tales_before = w->n_tales;
	memset(w->waiters, 0, sizeof(w->waiters));
	TRACE("life %u begins", w->life);
	enum coop_end how = coop_run(&policy, life, w, at_rest, w);
	if (how == COOP_CRASHED) {
		TRACE("the process died");
		disk_crash(w);
	}
	w->g = NULL;
	heap_drop_process();
	return how;
}

static enum coop_end live_all(struct world *w, struct history *h)
{
	enum coop_end how = COOP_DONE;

	for (unsigned n = 1 + rng_below(&w->rng, 4); n > 0 && how != COOP_FAILED; n--) {
		how = live(w, busy_life, rng_below(&w->rng, 100) < w->plan.crash);
		h->crashes += how == COOP_CRASHED;
	}
	w->calm = true;
	if (coop_wall_ms() > w->wall_most)
		w->wall_most = coop_wall_ms();
	coop_set_wall(w->wall_most + EXPIRY_MOST_MS); /* it is right again, and later than anything waits for */
	if (how != COOP_FAILED)
		how = live(w, calm_life, false);
	if (how == COOP_DONE)
		how = live(w, sweeping_life, false);
	if (how == COOP_DONE)
		how = live(w, reckoning, false);
	return how;
}

struct history history_run(uint64_t seed, struct failing failing)
{
	static struct world world;
	struct world *w = &world;
	struct history h = {};
	struct err e = ERR_INIT;

	*w = (struct world){.seed = seed, .rng = {rng_mix(seed ^ 0x5eed)}, .wall_most = WALL_BEGIN, .failing = failing};
	coop_reset(rng_mix(seed), WALL_BEGIN);
	w->plan = draw_plan(&w->rng);
	if (failing.on)
		w->plan = plain(w->plan);
	w->owners = rng_one_in(&w->rng, 3) ? OWNERS : 2;
	draw_config(w);
	heap_enter(HEAP_DISK);
	if (catalog_memory_new(&w->catalog, &w->options, &e) != 0 || blobs_memory_new(&w->blobs, &e) != 0)
		coop_fail("no memory");
	heap_enter(HEAP_SIM);
	book_open(w);
	h.ok = live_all(w, &h) == COOP_DONE;
	h.hash = coop_hash();
	h.steps = coop_steps();
	h.calls = w->calls;
	h.lives = w->life;
	h.files = (unsigned)w->n_files;
	h.jobs = (unsigned)world_mem(w)->jobs.last;
	book_close(w);
	arena_release(&w->ops_memory);
	if (h.ok) {
		catalog_free(w->catalog);
		blobs_free(w->blobs);
		if (heap_count(HEAP_DISK) > 0)
			coop_fail("the disk's own memory is not freed");
	}
	heap_drop_disk();
	return h;
}
