/* Files and results whose time has come, with a clock in the test's hand. */
#include "engine/engine_impl.h"
#include "tame.h"
#include "world.h"

#include <sched.h>
#include <stdatomic.h>

#define HOUR INT64_C(3600000)

struct hands {
	struct env env;
	_Atomic int64_t ahead_ms; /* of both clocks */
};

static int64_t mono_ahead(struct env *e)
{
	return env_real.mono_ms(&env_real) + atomic_load(&CONTAINER_OF(e, struct hands, env)->ahead_ms);
}

static int64_t wall_ahead(struct env *e)
{
	return env_real.wall_ms(&env_real) + atomic_load(&CONTAINER_OF(e, struct hands, env)->ahead_ms);
}

/* The engine with a runner in the test's hand; leases outlast every leap of the clock. */
static void open_world(struct world *w, struct hands *h, struct tame **t, int64_t files_keep_ms, int64_t results_keep_ms)
{
	struct engine_config config = world_config();

	*h = (struct hands){.env = env_real};
	h->env.mono_ms = mono_ahead;
	h->env.wall_ms = wall_ahead;
	*w = (struct world){.env = &h->env, .results_keep_ms = results_keep_ms};
	tame_new(t);
	config.runner = tame_runner(*t);
	config.default_ops = "gzip";
	config.files_keep_ms = files_keep_ms;
	config.lease_ms = 10000 * HOUR;
	config.tombstone_ms = 24 * HOUR;
	world_open(w, &config);
}

static void close_world(struct world *w, struct tame *t)
{
	world_close(w);
	runner_free(tame_runner(t));
}

/* The janitor need not wait for its next look. */
static void leap(struct world *w, struct hands *h, int64_t ms)
{
	atomic_fetch_add(&h->ahead_ms, ms);
	engine_kick_doomed(w->g);
}

static int file_code(struct world *w, struct uuid id)
{
	struct arena a = ARENA_INIT;
	struct file f;
	int rc = catalog_file(w->catalog, (struct file_key){.id = id}, STR(OWNER_PUBLIC), &a, &f, NULL);

	arena_release(&a);
	return rc;
}

static int job_code(struct world *w, struct uuid id)
{
	struct arena a = ARENA_INIT;
	struct job j;
	int rc = catalog_job(w->catalog, id, 0, STR(OWNER_PUBLIC), &a, &j, NULL);

	arena_release(&a);
	return rc;
}

static struct uuid job_of(struct world *w, struct uuid file)
{
	struct arena a = ARENA_INIT;
	struct file f = read_file(w, file, &a);

	assert_int_equal(f.n_jobs, 1);
	struct uuid id = f.jobs[0].id;
	arena_release(&a);
	return id;
}

#define until(condition)                                                                                                                   \
	while (!(condition))                                                                                                               \
	sched_yield()

static void store(struct world *w, struct upload *u)
{
	char bytes[100000];

	fill_random(bytes, sizeof(bytes));
	upload_bytes(w, &PUBLIC_SPEC, bytes, sizeof(bytes), 10000, u);
	assert_int_equal(u->code, 0);
}

static void a_file_expires_with_all_that_was_made_of_it_and_in_the_end_its_tombstone(void **state)
{
	struct upload u;
	struct hands h;
	struct world w;
	struct tame *t;

	open_world(&w, &h, &t, HOUR, 0);
	store(&w, &u);
	struct uuid job = job_of(&w, u.id);
	assert_true(wait_final(&w, u.id, 60000));
	assert_int_equal(count_blobs(&w), 2);
	leap(&w, &h, HOUR);
	until(file_code(&w, u.id) == ERR_FILE_GONE);
	assert_int_equal(job_code(&w, job), ERR_JOB_GONE);
	until(count_blobs(&w) == 0);
	leap(&w, &h, 24 * HOUR);
	until(file_code(&w, u.id) == ERR_FILE_NOT_FOUND);
	assert_int_equal(job_code(&w, job), ERR_JOB_NOT_FOUND);
	close_world(&w, t);
}

static void a_file_that_was_given_more_time_stays(void **state)
{
	struct upload u, other;
	struct hands h;
	struct world w;
	struct tame *t;

	open_world(&w, &h, &t, HOUR, 0);
	store(&w, &u);
	store(&w, &other);
	struct change c = {.kind = CHANGE_PATCH_FILE,
			   .patch_file = {.id = u.id, .owner = STR(OWNER_PUBLIC), .set_expires = true, .expires_at = 0, .now = 1}};
	assert_int_equal(apply(&w, &c), 0);
	leap(&w, &h, 2 * HOUR);
	until(file_code(&w, other.id) == ERR_FILE_GONE);
	assert_int_equal(file_code(&w, u.id), 0);
	close_world(&w, t);
}

static void a_job_that_runs_when_its_file_expires_is_stopped_and_leaves_nothing(void **state)
{
	struct upload u;
	struct hands h;
	struct world w;
	struct tame *t;

	open_world(&w, &h, &t, HOUR, 0);
	tame_set(t, (struct tame_plan){.hold_end = true});
	store(&w, &u);
	tame_wait_held(t, 1);
	leap(&w, &h, HOUR);
	tame_wait_ended(t, 1); /* asked, it was told to stop */
	assert_int_equal(file_code(&w, u.id), ERR_FILE_GONE);
	until(count_blobs(&w) == 0);
	close_world(&w, t);
}

static void many_files_that_expire_at_once_go_in_few_looks(void **state)
{
	struct upload u;
	struct hands h;
	struct world w;
	struct tame *t;
	struct catalog_stats s;
	struct err e = ERR_INIT;

	open_world(&w, &h, &t, HOUR, 0);
	for (unsigned i = 0; i < 600; i++) {
		upload_bytes(&w, &PUBLIC_SPEC, &i, sizeof(i), sizeof(i), &u);
		assert_int_equal(u.code, 0);
	}
	leap(&w, &h, HOUR);
	do {
		sched_yield();
		assert_int_equal(catalog_stats(w.catalog, 0, &s, &e), 0);
	} while (s.files > 0);
	assert_int_equal(file_code(&w, u.id), ERR_FILE_GONE);
	close_world(&w, t);
}

static void a_result_expires_and_its_file_stays_and_the_work_can_be_done_again(void **state)
{
	struct arena a = ARENA_INIT;
	struct upload u;
	struct hands h;
	struct world w;
	struct tame *t;

	open_world(&w, &h, &t, 0, HOUR);
	store(&w, &u);
	assert_true(wait_final(&w, u.id, 60000));
	struct uuid job = job_of(&w, u.id);
	struct job again = read_file(&w, u.id, &a).jobs[0];
	leap(&w, &h, HOUR - 60000);
	assert_int_equal(job_code(&w, job), 0);
	leap(&w, &h, 60000);
	until(job_code(&w, job) == ERR_JOB_GONE);
	until(count_blobs(&w) == 1);
	assert_int_equal(file_code(&w, u.id), 0);
	again.id = engine_new_id(w.g);
	struct change c = {.kind = CHANGE_ADD_JOBS, .add_jobs = {.owner = STR(OWNER_PUBLIC), .jobs = &again, .n = 1}};
	assert_int_equal(apply(&w, &c), 0);
	assert_int_equal(again.state, JOB_QUEUED);
	assert_true(wait_final(&w, u.id, 60000));
	assert_int_equal(count_blobs(&w), 2);
	leap(&w, &h, 24 * HOUR);
	until(job_code(&w, job) == ERR_JOB_NOT_FOUND);
	assert_int_equal(file_code(&w, u.id), 0);
	arena_release(&a);
	close_world(&w, t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_expires_with_all_that_was_made_of_it_and_in_the_end_its_tombstone),
		cmocka_unit_test(a_file_that_was_given_more_time_stays),
		cmocka_unit_test(a_job_that_runs_when_its_file_expires_is_stopped_and_leaves_nothing),
		cmocka_unit_test(many_files_that_expire_at_once_go_in_few_looks),
		cmocka_unit_test(a_result_expires_and_its_file_stays_and_the_work_can_be_done_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
