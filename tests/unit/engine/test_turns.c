/* Several owners and one engine: whose job a free thread begins, how many run at once, when what failed is tried again, what becomes of outputs that find no room. */
#include "engine/engine_impl.h"
#include "tame.h"
#include "world.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

#define CROWD "0190d2a6-0000-7000-8000-00000000c001"
#define OTHER "0190d2a6-0000-7000-8000-00000000c002"
#define PATIENCE_MS 60000

struct bench {
	struct world w;
	struct tame *tame;
	struct arena a; /* of the table of ops */
	unsigned files; /* stored, each with bytes of its own */
};

static void open_bench_in(struct bench *b, struct env *env, struct engine_config c, const char *bounds)
{
	*b = (struct bench){.w.env = env};
	tame_new(&b->tame);
	c.runner = tame_runner(b->tame);
	assert_int_equal(op_table_new(&c.ops, STR(""), STR(""), str_of(bounds), &b->a, NULL), 0);
	world_open(&b->w, &c);
}

static void open_bench(struct bench *b, struct engine_config c, const char *bounds)
{
	open_bench_in(b, &env_real, c, bounds);
}

static void close_bench(struct bench *b)
{
	struct runner *r = b->w.config.runner;

	world_close(&b->w);
	runner_free(r);
	arena_release(&b->a);
}

/* A file of this owner with one job, by its name; the file's id. */
static struct uuid add(struct bench *b, const char *owner, const char *name, const char *op)
{
	struct intake_spec spec = {.owner = str_of(owner), .length = -1, .name = str_of(name), .ops = str_of(op)};
	char bytes[32];
	struct upload u;
	int n = snprintf(bytes, sizeof(bytes), "bytes of %u", b->files++);

	upload_bytes(&b->w, &spec, bytes, (size_t)n, (size_t)n, &u);
	assert_int_equal(u.code, 0);
	return u.id;
}

static struct job job_of(struct bench *b, const char *owner, struct uuid file)
{
	struct arena a = ARENA_INIT;
	struct file f;

	assert_int_equal(catalog_file(b->w.catalog, (struct file_key){.id = file}, str_of(owner), &a, &f, NULL), 0);
	assert_int_equal(f.n_jobs, 1);
	struct job job = f.jobs[0]; /* its texts are gone */
	arena_release(&a);
	return job;
}

static bool in_time(int64_t since)
{
	sched_yield();
	return env_real.mono_ms(&env_real) - since < PATIENCE_MS;
}

static void wait_state(struct bench *b, const char *owner, struct uuid file, enum job_state state)
{
	int64_t since = env_real.mono_ms(&env_real);

	while (job_of(b, owner, file).state != state)
		assert_true(in_time(since));
}

static struct catalog_stats stats(struct bench *b)
{
	struct catalog_stats s;

	assert_int_equal(catalog_stats(b->w.catalog, 0, &s, NULL), 0);
	return s;
}

/* Until so many jobs at least are in hand, and all but the one that the only thread runs wait for it: a claim is committed before its jobs are handed over. */
static void wait_handed_over(struct bench *b, uint64_t n)
{
	int64_t since = env_real.mono_ms(&env_real);
	uint64_t claimed;

	while ((claimed = stats(b).jobs_running) < n || pool_waiting(b->w.g->jobs) + 1 != claimed)
		assert_true(in_time(since));
}

static void wait_none_left(struct bench *b)
{
	int64_t since = env_real.mono_ms(&env_real);

	while (stats(b).jobs_waiting + stats(b).jobs_running > 0)
		assert_true(in_time(since));
}

/* ---- turns ---- */

static void the_next_free_thread_begins_the_job_of_whom_nothing_runs(void **state)
{
	struct engine_config c = world_config();
	struct bench b;

	c.job_threads = 1;
	open_bench(&b, c, "");
	tame_set(b.tame, (struct tame_plan){.hold = true});
	struct uuid first = add(&b, CROWD, "crowd", "gzip");
	for (unsigned i = 0; i < 60; i++)
		add(&b, CROWD, "crowd", "gzip");
	wait_state(&b, CROWD, first, JOB_RUNNING);
	tame_wait_held(b.tame, 1);
	wait_handed_over(&b, 3); /* the thread is busy, and as much as it needs waits for it */
	struct uuid other = add(&b, OTHER, "other", "gzip");
	struct uuid other_2 = add(&b, OTHER, "other", "gzip");
	wait_state(&b, OTHER, other, JOB_RUNNING); /* claimed although there is no room: one job */
	wait_handed_over(&b, 4);
	assert_int_equal(job_of(&b, OTHER, other_2).state, JOB_QUEUED);
	tame_set(b.tame, (struct tame_plan){});
	wait_none_left(&b);
	assert_int_equal(tame_counts(b.tame).order[0], 'c');
	assert_int_equal(tame_counts(b.tame).order[1], 'o');
	assert_int_equal(tame_counts(b.tame).order[2], 'c'); /* and nobody twice in a row while others wait */
	close_bench(&b);
}

static void threads_are_shared_by_those_who_have_jobs_in_hand(void **state)
{
	struct engine_config c = world_config();
	struct bench b;
	unsigned others = 0;

	c.job_threads = 1;
	open_bench(&b, c, "");
	tame_set(b.tame, (struct tame_plan){.hold = true});
	for (unsigned i = 0; i < 60; i++)
		add(&b, CROWD, "crowd", "gzip");
	tame_wait_held(b.tame, 1);
	for (unsigned i = 0; i < 10; i++)
		add(&b, OTHER, "other", "gzip");
	tame_set(b.tame, (struct tame_plan){});
	wait_none_left(&b);
	for (unsigned i = 0; i < 40; i++)
		others += tame_counts(b.tame).order[i] == 'o';
	assert_int_equal(others, 10); /* long before the crowd's end */
	close_bench(&b);
}

/* ---- limits ---- */

static void no_more_jobs_of_an_op_run_at_once_than_its_concurrency(void **state)
{
	struct engine_config c = world_config();
	struct bench b;

	c.job_threads = 4;
	open_bench(&b, c, "{\"gzip\":{\"concurrency\":2}}");
	tame_set(b.tame, (struct tame_plan){.hold = true});
	for (unsigned i = 0; i < 6; i++)
		add(&b, i % 2 == 0 ? CROWD : OTHER, "g", "gzip");
	tame_wait_held(b.tame, 2);
	struct uuid zstd = add(&b, CROWD, "z", "zstd");
	wait_state(&b, CROWD, zstd, JOB_RUNNING); /* another op goes past them */
	assert_int_equal(stats(&b).jobs_running, 3);
	assert_int_equal(stats(&b).jobs_waiting, 4);
	tame_set(b.tame, (struct tame_plan){});
	wait_none_left(&b); /* each end lets the next one begin */
	assert_int_equal(stats(&b).jobs_final[JOB_SUCCEEDED], 7);
	assert_true(tame_counts(b.tame).most <= 3);
	close_bench(&b);
}

static void no_more_jobs_of_an_owner_run_at_once_than_the_limit(void **state)
{
	struct engine_config c = world_config();
	struct bench b;

	c.job_threads = 4;
	c.owner_concurrency = 2;
	open_bench(&b, c, "");
	tame_set(b.tame, (struct tame_plan){.hold = true});
	for (unsigned i = 0; i < 8; i++)
		add(&b, CROWD, "crowd", i % 2 == 0 ? "gzip" : "zstd");
	tame_wait_held(b.tame, 2);
	struct uuid other = add(&b, OTHER, "other", "gzip");
	wait_state(&b, OTHER, other, JOB_RUNNING);
	assert_int_equal(stats(&b).jobs_running, 3);
	tame_set(b.tame, (struct tame_plan){});
	wait_none_left(&b);
	assert_int_equal(stats(&b).jobs_final[JOB_SUCCEEDED], 9);
	assert_true(tame_counts(b.tame).most <= 3);
	close_bench(&b);
}

static void an_op_says_how_often_its_jobs_are_tried(void **state)
{
	struct bench b;

	open_bench(&b, world_config(), "{\"gzip\":{\"max_attempts\":1}}");
	tame_set(b.tame, (struct tame_plan){.code = ERR_RUNNER_CRASHED, .times = 1});
	struct uuid file = add(&b, CROWD, "g", "gzip");
	wait_none_left(&b);
	assert_int_equal(job_of(&b, CROWD, file).max_attempts, 1);
	assert_int_equal(job_of(&b, CROWD, file).state, JOB_FAILED);
	close_bench(&b);
}

/* ---- what failed is tried again ---- */

static uint64_t next_random;

static uint64_t given_random(struct env *e)
{
	return next_random;
}

static void pauses_between_attempts_are_anywhere_below_a_bound_that_doubles(void **state)
{
	struct env e = env_real;
	struct engine g = {.env = &e};

	e.random = given_random;
	for (uint32_t attempt = 1; attempt <= OP_ATTEMPTS_MAX; attempt++) {
		int64_t most = attempt <= 12 ? INT64_C(1000) << (attempt - 1) : 3600000;

		next_random = 0;
		assert_int_equal(work_backoff_ms(&g, 1000, attempt), 100);
		next_random = (uint64_t)most / 2;
		assert_int_equal(work_backoff_ms(&g, 1000, attempt), most / 2);
		next_random = (uint64_t)most - 1;
		assert_int_equal(work_backoff_ms(&g, 1000, attempt), most - 1);
		next_random = (uint64_t)most + 150; /* never beyond */
		assert_int_equal(work_backoff_ms(&g, 1000, attempt), 150);
	}
}

static void what_failed_waits_for_its_pause_and_not_longer(void **state)
{
	struct env env = env_real;
	struct bench b;
	struct job job;

	next_random = 700;
	env.random = given_random;
	open_bench_in(&b, &env, world_config(), "");
	tame_set(b.tame, (struct tame_plan){.hold = true, .code = ERR_RUNNER_LOST, .times = 1});
	struct uuid file = add(&b, CROWD, "g", "gzip");
	tame_wait_held(b.tame, 1);
	int64_t before = env.wall_ms(&env), since = env.mono_ms(&env);
	tame_set(b.tame, (struct tame_plan){.code = ERR_RUNNER_LOST, .times = 1});
	while ((job = job_of(&b, CROWD, file)).attempt == 1 && job.state == JOB_RUNNING)
		assert_true(in_time(since));
	int64_t after = env.wall_ms(&env);
	if (job.state == JOB_QUEUED) /* a machine that stood still for the whole pause shows it too late */
		assert_in_range(job.run_at, before + 700, after + 700);
	wait_state(&b, CROWD, file, JOB_SUCCEEDED);
	job = job_of(&b, CROWD, file);
	assert_int_equal(job.attempt, 2);
	assert_true(job.started_at >= before + 700);
	close_bench(&b);
}

/* ---- outputs that find no room ---- */

/* The real world, but its wall clock can be put forward. */
struct clock_ahead {
	struct env env;
	_Atomic int64_t ms;
};

static int64_t wall_ahead(struct env *e)
{
	return env_real.wall_ms(&env_real) + atomic_load(&CONTAINER_OF(e, struct clock_ahead, env)->ms);
}

static void an_output_that_never_fits_is_tried_ever_more_seldom_and_not_for_ever(void **state)
{
	struct clock_ahead ahead = {.env = env_real};
	struct bench b;
	int64_t longest = 0, sum = 0;
	unsigned refused = 0;

	ahead.env.wall_ms = wall_ahead;
	open_bench_in(&b, &ahead.env, world_config(), "");
	b.w.plan.code = ERR_STORAGE_FULL;
	b.w.plan.sticky = true;
	b.w.plan.fail_at = b.w.plan.calls + 1;
	struct uuid file = add(&b, CROWD, "g", "gzip");
	for (;;) {
		int64_t since = env_real.mono_ms(&env_real);
		struct job job = job_of(&b, CROWD, file);

		while (!job_state_final(job.state) && job.refused == refused && in_time(since))
			job = job_of(&b, CROWD, file);
		if (job_state_final(job.state))
			break;
		assert_int_equal(job.refused, refused + 1);
		assert_int_equal(job.attempt, 0); /* no fault of the job's */
		assert_int_equal(job.error, ERR_STORAGE_FULL);
		int64_t pause = job.run_at - ahead.env.wall_ms(&ahead.env);
		assert_true(pause > 0 && pause <= 3600000);
		longest = pause > longest ? pause : longest;
		sum += pause;
		refused = job.refused;
		atomic_fetch_add(&ahead.ms, pause);
		add(&b, OTHER, "kick", "probe"); /* the clock alone wakes nobody */
	}
	assert_int_equal(refused, 23);
	assert_true(longest > 60000 && sum > 1200000);
	assert_int_equal(job_of(&b, CROWD, file).state, JOB_FAILED);
	assert_int_equal(job_of(&b, CROWD, file).error, ERR_STORAGE_FULL);
	close_bench(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_next_free_thread_begins_the_job_of_whom_nothing_runs),
		cmocka_unit_test(threads_are_shared_by_those_who_have_jobs_in_hand),
		cmocka_unit_test(no_more_jobs_of_an_op_run_at_once_than_its_concurrency),
		cmocka_unit_test(no_more_jobs_of_an_owner_run_at_once_than_the_limit),
		cmocka_unit_test(an_op_says_how_often_its_jobs_are_tried),
		cmocka_unit_test(pauses_between_attempts_are_anywhere_below_a_bound_that_doubles),
		cmocka_unit_test(what_failed_waits_for_its_pause_and_not_longer),
		cmocka_unit_test(an_output_that_never_fits_is_tried_ever_more_seldom_and_not_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
