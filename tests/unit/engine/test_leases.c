/* What becomes of jobs when leases end, workers are given up, and of bytes when files vanish. Time and reads are in the test's hand. */
#include "catalog/catalog_impl.h"
#include "world.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

/* The real world, but its clock can be put forward and the jobs' reads of small files can be held up. */
struct hands {
	struct env env;
	_Atomic int64_t ahead_ms; /* of the monotonic clock */
	int64_t step_ms; /* by which each look puts it forward */
	_Atomic int64_t wall_ahead_ms; /* of the wall clock alone */
	_Atomic unsigned looks; /* at that clock */
	_Atomic int64_t leap_ms; /* by which the next read puts the clock forward */
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool hold; /* reads wait while set */
	unsigned reads; /* begun */
};

static int64_t mono_ahead(struct env *e)
{
	struct hands *h = CONTAINER_OF(e, struct hands, env);

	atomic_fetch_add(&h->looks, 1);
	atomic_fetch_add(&h->ahead_ms, h->step_ms);
	return env_real.mono_ms(&env_real) + atomic_load(&h->ahead_ms);
}

static int64_t wall_ahead(struct env *e)
{
	return env_real.wall_ms(&env_real) + atomic_load(&CONTAINER_OF(e, struct hands, env)->wall_ahead_ms);
}

static struct hands *hands; /* of the world that is open */
static const struct catalog_ops *real_ops;
static struct catalog_ops held_ops;

static int held_read(struct catalog *c, struct uuid file, struct buf *out, struct err *e)
{
	struct hands *h = hands;

	atomic_fetch_add(&h->ahead_ms, atomic_exchange(&h->leap_ms, 0));
	pthread_mutex_lock(&h->lock);
	h->reads++;
	pthread_cond_broadcast(&h->cond);
	while (h->hold)
		pthread_cond_wait(&h->cond, &h->lock);
	pthread_mutex_unlock(&h->lock);
	return real_ops->inline_bytes(c, file, out, e);
}

static void hold_on(struct catalog *c)
{
	real_ops = c->ops;
	held_ops = *c->ops;
	held_ops.inline_bytes = held_read;
	c->ops = &held_ops;
}

static void hands_init(struct hands *h)
{
	*h = (struct hands){.env = env_real, .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
	h->env.mono_ms = mono_ahead;
	h->env.wall_ms = wall_ahead;
	hands = h;
}

static void hold_reads(struct hands *h, bool hold)
{
	pthread_mutex_lock(&h->lock);
	h->hold = hold;
	pthread_cond_broadcast(&h->cond);
	pthread_mutex_unlock(&h->lock);
}

static void wait_reads(struct hands *h, unsigned n)
{
	pthread_mutex_lock(&h->lock);
	while (h->reads < n)
		pthread_cond_wait(&h->cond, &h->lock);
	pthread_mutex_unlock(&h->lock);
}

static void store_small(struct world *w, struct upload *u)
{
	upload_bytes(w, &PUBLIC_SPEC, "some bytes", 10, 10, u);
	assert_int_equal(u->code, 0);
}

static void store_large(struct world *w, struct upload *u)
{
	char *data = calloc(1, 100000);

	upload_bytes(w, &PUBLIC_SPEC, data, 100000, 10000, u);
	assert_int_equal(u->code, 0);
	free(data);
}

static struct uuid add_job(struct world *w, struct uuid file, const char *op)
{
	struct arena a = ARENA_INIT;
	struct op_request r;
	struct job job;

	assert_int_equal(op_table_request_from_json(op_builtin_table(), &r, str_of(op), STR(""), &a, NULL), 0);
	engine_new_job(w->g, &job, file, &r);
	struct change c = {.kind = CHANGE_ADD_JOBS, .add_jobs = {.owner = STR(OWNER_PUBLIC), .jobs = &job, .n = 1}};
	assert_int_equal(apply(w, &c), 0);
	arena_release(&a);
	return job.id;
}

static struct job read_job(struct world *w, struct uuid id)
{
	struct arena a = ARENA_INIT;
	struct job j;

	assert_int_equal(catalog_job(w->catalog, id, 0, STR(OWNER_PUBLIC), &a, &j, NULL), 0);
	arena_release(&a);
	return j; /* numbers only */
}

static void a_job_whose_lease_ends_under_it_is_tried_again(void **state)
{
	struct engine_config c = world_config();
	struct hands h;
	struct upload u;

	hands_init(&h);
	c.beat_ms = c.reclaim_ms = 50;
	struct world w = {.env = &h.env, .prepare = hold_on};
	world_open(&w, &c);
	store_small(&w, &u);
	atomic_store(&h.leap_ms, 60000); /* as when the machine slept */
	struct uuid id = add_job(&w, u.id, "sha1");
	assert_true(wait_final(&w, u.id, 70000));
	struct job j = read_job(&w, id);
	assert_int_equal(j.state, JOB_SUCCEEDED);
	assert_int_equal(j.attempt, 1);
	world_close(&w);
}

static void without_a_lease_nothing_is_claimed_and_nothing_spins(void **state)
{
	struct engine_config c = world_config();
	struct hands h;
	struct upload u;

	hands_init(&h);
	c.lease_ms = 1;
	h.step_ms = 2; /* so that it is over at the first look at it, however quick or slow the machine */
	c.beat_ms = c.reclaim_ms = 60000;
	struct world w = {.env = &h.env};
	world_open(&w, &c);
	store_large(&w, &u);
	struct uuid id = add_job(&w, u.id, "sha1");
	unsigned before = atomic_load(&h.looks);
	assert_false(wait_final(&w, u.id, 300));
	assert_in_range(atomic_load(&h.looks) - before, 0, 100);
	assert_int_equal(read_job(&w, id).state, JOB_QUEUED);
	world_close(&w);
}

static void a_clock_that_is_set_costs_no_job_its_lease(void **state)
{
	static const int64_t by_ms[] = {86400000, -86400000};

	for (size_t i = 0; i < ARRAY_LEN(by_ms); i++) {
		struct engine_config c = world_config();
		struct hands h;
		struct upload u[2];

		hands_init(&h);
		c.reclaim_ms = 50;
		c.lease_ms = 200000;
		c.beat_ms = 100000; /* far longer than any machine takes for what has to come before */
		struct world w = {.env = &h.env, .prepare = hold_on};
		world_open(&w, &c);
		store_small(&w, &u[0]);
		store_small(&w, &u[1]);
		hold_reads(&h, true);
		struct uuid before = add_job(&w, u[0].id, "sha1");
		wait_reads(&h, 1);
		atomic_store(&h.wall_ahead_ms, by_ms[i]);
		int64_t begun = h.env.mono_ms(&h.env);
		add_job(&w, u[1].id, "sha1");
		wait_reads(&h, 2);
		assert_in_range(h.env.mono_ms(&h.env) - begun, 0, 50000);
		hold_reads(&h, false);
		assert_true(wait_final(&w, u[0].id, 60000) && wait_final(&w, u[1].id, 60000));
		struct job j = read_job(&w, before);
		assert_int_equal(j.state, JOB_SUCCEEDED);
		assert_int_equal(j.attempt, 1);
		assert_int_equal(j.losses, 0);
		world_close(&w);
	}
}

struct woken {
	struct engine_waiter waiter;
	struct hands *h;
	bool woken;
};

static void wake(struct engine_waiter *x)
{
	struct woken *k = CONTAINER_OF(x, struct woken, waiter);

	pthread_mutex_lock(&k->h->lock);
	k->woken = true;
	pthread_cond_broadcast(&k->h->cond);
	pthread_mutex_unlock(&k->h->lock);
}

static void wait_woken(struct woken *k)
{
	pthread_mutex_lock(&k->h->lock);
	while (!k->woken)
		pthread_cond_wait(&k->h->cond, &k->h->lock);
	pthread_mutex_unlock(&k->h->lock);
}

static void who_waits_learns_at_once_that_a_job_was_set_aside(void **state)
{
	struct engine_config c = world_config();
	struct hands h;
	struct upload u;

	hands_init(&h);
	c.job_threads = LOSSES_MAX + 1;
	struct world w = {.env = &h.env, .prepare = hold_on};
	world_open(&w, &c);
	store_small(&w, &u);
	hold_reads(&h, true);
	struct uuid id = add_job(&w, u.id, "sha1");
	int64_t begun = w.env->mono_ms(w.env);
	struct woken k = {.waiter = {.file = u.id, .owner = STR(OWNER_PUBLIC), .deadline_ms = begun + 200000, .wake = wake}, .h = &h};
	engine_wait(w.g, &k.waiter);
	for (unsigned i = 1; i <= LOSSES_MAX; i++) {
		wait_reads(&h, i);
		assert_false(wait_final(&w, u.id, 0));
		struct change r = {.kind = CHANGE_RECLAIM, .reclaim = {.all = true, .now = w.env->wall_ms(w.env)}};
		assert_int_equal(apply(&w, &r), 0);
	}
	assert_int_equal(read_job(&w, id).state, JOB_QUARANTINED);
	wait_woken(&k);
	assert_in_range(w.env->mono_ms(w.env) - begun, 0, 100000);
	hold_reads(&h, false);
	world_close(&w);
}

/* Another worker claims the only job, the engine here having no lease to do so. */
static struct claimed claim_elsewhere(struct world *w, struct uuid worker, struct arena *a)
{
	int64_t now = w->env->wall_ms(w->env);
	struct change b = {.kind = CHANGE_BEAT, .beat = {.worker = worker, .now = now, .expires_at = now + 60000, .first = true}};
	struct change c = {.kind = CHANGE_CLAIM, .claim = {.worker = worker, .max = 1, .now = now, .arena = a}};

	assert_int_equal(apply(w, &b), 0);
	assert_int_equal(apply(w, &c), 0);
	assert_int_equal(c.claim.n, 1);
	return c.claim.jobs[0];
}

static void who_waits_learns_at_once_that_a_cancelled_job_came_back(void **state)
{
	for (unsigned given = 0; given < 2; given++) { /* taken back, given back: it ends cancelled instead */
		struct engine_config c = world_config();
		struct arena a = ARENA_INIT;
		struct hands h;
		struct upload u;

		hands_init(&h);
		c.lease_ms = 0;
		c.beat_ms = c.reclaim_ms = 60000;
		struct world w = {.env = &h.env};
		world_open(&w, &c);
		store_small(&w, &u);
		struct uuid id = add_job(&w, u.id, "sha1"), worker = engine_new_id(w.g);
		struct claimed job = claim_elsewhere(&w, worker, &a);
		int64_t now = w.env->wall_ms(w.env), begun = w.env->mono_ms(w.env);
		struct woken k = {.waiter = {.file = u.id, .owner = STR(OWNER_PUBLIC), .deadline_ms = begun + 200000, .wake = wake},
				  .h = &h};
		engine_wait(w.g, &k.waiter);
		assert_false(wait_final(&w, u.id, 0)); /* so it has been looked at once */
		struct change cancel = {.kind = CHANGE_CANCEL_JOB, .job_ref = {.id = id, .owner = STR(OWNER_PUBLIC), .now = now}};
		assert_int_equal(apply(&w, &cancel), 0);
		struct change back = {.kind = CHANGE_RECLAIM, .reclaim = {.all = true, .now = now}};
		if (given)
			back = (struct change){
				.kind = CHANGE_FINISH,
				.finish = {.job = id, .fence = job.job.fence, .worker = worker, .state = JOB_QUEUED, .give_back = true}};
		assert_int_equal(apply(&w, &back), 0);
		assert_int_equal(read_job(&w, id).state, JOB_CANCELLED);
		wait_woken(&k);
		assert_in_range(w.env->mono_ms(w.env) - begun, 0, 100000);
		arena_release(&a);
		world_close(&w);
	}
}

static void bytes_that_went_with_their_file_are_gone_not_damaged(void **state)
{
	struct arena a = ARENA_INIT;
	struct buf bytes = BUF_INIT;
	struct world w = {};
	struct upload u;
	struct err e = ERR_INIT;
	int fd = -1;

	world_open(&w, NULL);
	store_large(&w, &u);
	struct file f = read_file(&w, u.id, &a); /* as a download does before it opens the bytes */
	struct change c = {.kind = CHANGE_DELETE_FILE,
			   .delete_file = {.id = u.id, .owner = STR(OWNER_PUBLIC), .now = env_real.wall_ms(&env_real)}};
	assert_int_equal(apply(&w, &c), 0);
	engine_kick_doomed(w.g);
	while (count_blobs(&w) > 0)
		usleep(1000);
	assert_int_equal(open_content(&w, &f, &fd, &bytes, &e), ERR_FILE_GONE);
	assert_int_equal(fd, -1);
	arena_release(&a);
	world_close(&w);
}

static void bytes_that_could_not_be_removed_are_removed_later(void **state)
{
	struct hands h;
	struct upload u;

	hands_init(&h);
	struct world w = {.env = &h.env};
	world_open(&w, NULL);
	store_large(&w, &u);
	unsigned calls = w.plan.calls;
	w.plan.code = ERR_IO;
	w.plan.sticky = true;
	w.plan.fail_at = 1;
	struct change c = {.kind = CHANGE_DELETE_FILE,
			   .delete_file = {.id = u.id, .owner = STR(OWNER_PUBLIC), .now = env_real.wall_ms(&env_real)}};
	assert_int_equal(apply(&w, &c), 0);
	engine_kick_doomed(w.g);
	while (w.plan.calls == calls)
		usleep(1000);
	w.plan.fail_at = 0;
	atomic_store(&h.ahead_ms, 61000);
	for (int i = 0; i < 60000 && count_blobs(&w) > 0; i++)
		usleep(1000);
	assert_int_equal(count_blobs(&w), 0);
	world_close(&w);
}

static void a_short_lease_is_long_enough_to_work(void **state)
{
	struct engine_config c = world_config();
	struct world w = {};
	struct upload u;

	c.lease_ms = 1000; /* the least that can be configured */
	c.beat_ms = c.reclaim_ms = 100;
	world_open(&w, &c);
	store_large(&w, &u);
	add_job(&w, u.id, "sha1");
	assert_true(wait_final(&w, u.id, 60000));
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_job_whose_lease_ends_under_it_is_tried_again),
		cmocka_unit_test(without_a_lease_nothing_is_claimed_and_nothing_spins),
		cmocka_unit_test(a_clock_that_is_set_costs_no_job_its_lease),
		cmocka_unit_test(who_waits_learns_at_once_that_a_job_was_set_aside),
		cmocka_unit_test(who_waits_learns_at_once_that_a_cancelled_job_came_back),
		cmocka_unit_test(bytes_that_went_with_their_file_are_gone_not_damaged),
		cmocka_unit_test(bytes_that_could_not_be_removed_are_removed_later),
		cmocka_unit_test(a_short_lease_is_long_enough_to_work),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
