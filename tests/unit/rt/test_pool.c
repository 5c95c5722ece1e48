#include "base/compiler.h"
#include "rt/pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct job {
	struct pool_task task;
	int number;
	struct pool *pool;
	atomic_int *runs;
	int *order; /* written by the one thread of the pool */
};

static void count_run(struct pool_task *t)
{
	struct job *job = CONTAINER_OF(t, struct job, task);

	if (job->order)
		job->order[*job->runs] = job->number;
	atomic_fetch_add(job->runs, 1);
}

static void tasks_start_in_the_order_of_submission(void **state)
{
	struct job jobs[100];
	atomic_int runs = 0;
	int order[100];
	struct pool *p;

	assert_int_equal(pool_new(&p, "test", 1, NULL), 0);
	for (int i = 0; i < 100; i++) {
		jobs[i] = (struct job){.task.run = count_run, .number = i, .runs = &runs, .order = order};
		pool_submit(p, &jobs[i].task);
	}
	pool_free(p);
	assert_int_equal(runs, 100);
	for (int i = 0; i < 100; i++)
		assert_int_equal(order[i], i);
}

/* The one with the highest number. */
static struct pool_task **pick_highest(void *arg, struct pool_task **first)
{
	struct pool_task **best = first;

	for (struct pool_task **at = first; *at; at = &(*at)->next)
		if (CONTAINER_OF(*at, struct job, task)->number > CONTAINER_OF(*best, struct job, task)->number)
			best = at;
	++*(int *)arg;
	return best;
}

struct door {
	struct pool_task task;
	pthread_mutex_t lock;
};

static void wait_at_door(struct pool_task *t)
{
	struct door *g = CONTAINER_OF(t, struct door, task);

	pthread_mutex_lock(&g->lock);
	pthread_mutex_unlock(&g->lock);
}

static struct pool_task **pick_first(void *arg, struct pool_task **first)
{
	return first;
}

static void somebody_may_pick_who_is_next(void **state)
{
	struct door door = {.task.run = wait_at_door, .lock = PTHREAD_MUTEX_INITIALIZER};
	struct job jobs[100];
	atomic_int runs = 0;
	int order[100], picked = 0;
	struct pool *p;

	assert_int_equal(pool_new(&p, "test", 1, NULL), 0);
	pool_pick_by(p, pick_first, NULL);
	pthread_mutex_lock(&door.lock);
	pool_submit(p, &door.task);
	while (pool_waiting(p) > 0)
		sched_yield();
	pool_pick_by(p, pick_highest, &picked);
	for (int i = 0; i < 100; i++) {
		jobs[i] = (struct job){.task.run = count_run, .number = i * 37 % 100, .runs = &runs, .order = order};
		pool_submit(p, &jobs[i].task);
	}
	pthread_mutex_unlock(&door.lock);
	pool_free(p);
	assert_int_equal(runs, 100);
	assert_int_equal(picked, 100);
	for (int i = 0; i < 100; i++)
		assert_int_equal(order[i], 99 - i);
}

static void free_runs_everything_first(void **state)
{
	static struct job jobs[5000];
	atomic_int runs = 0;
	struct pool *p;

	assert_int_equal(pool_new(&p, "test", 4, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
		jobs[i] = (struct job){.task.run = count_run, .runs = &runs};
		pool_submit(p, &jobs[i].task);
	}
	pool_free(p);
	assert_int_equal(runs, ARRAY_LEN(jobs));
	pool_free(NULL);
}

static void free_and_count(struct pool_task *t)
{
	struct job *job = CONTAINER_OF(t, struct job, task);
	atomic_int *runs = job->runs;

	free(job);
	atomic_fetch_add(runs, 1);
}

static void a_task_may_free_itself(void **state)
{
	atomic_int runs = 0;
	struct pool *p;

	assert_int_equal(pool_new(&p, "test", 2, NULL), 0);
	for (int i = 0; i < 100; i++) {
		struct job *job = calloc(1, sizeof(*job));

		*job = (struct job){.task.run = free_and_count, .runs = &runs};
		pool_submit(p, &job->task);
	}
	pool_free(p);
	assert_int_equal(runs, 100);
}

static void submit_again(struct pool_task *t)
{
	struct job *job = CONTAINER_OF(t, struct job, task);

	atomic_fetch_add(job->runs, 1);
	if (--job->number > 0)
		pool_submit(job->pool, &job->task);
}

static void a_task_may_submit_itself_again_even_while_the_pool_ends(void **state)
{
	atomic_int runs = 0;
	struct job job;
	struct pool *p;

	assert_int_equal(pool_new(&p, "test", 2, NULL), 0);
	job = (struct job){.task.run = submit_again, .number = 1000, .pool = p, .runs = &runs};
	pool_submit(p, &job.task);
	pool_free(p);
	assert_int_equal(runs, 1000);
}

struct gate {
	struct pool_task task;
	pthread_barrier_t *barrier;
};

static void wait_at_gate(struct pool_task *t)
{
	pthread_barrier_wait(CONTAINER_OF(t, struct gate, task)->barrier);
}

struct slow {
	struct pool_task task;
	pthread_mutex_t *door;
	atomic_int *within, *most, *runs;
};

static void be_slow(struct pool_task *t)
{
	struct slow *s = CONTAINER_OF(t, struct slow, task);
	int within = atomic_fetch_add(s->within, 1) + 1, most = atomic_load(s->most);

	while (within > most && !atomic_compare_exchange_weak(s->most, &most, within))
		;
	pthread_mutex_lock(s->door);
	pthread_mutex_unlock(s->door);
	atomic_fetch_sub(s->within, 1);
	atomic_fetch_add(s->runs, 1);
}

static void others_start_before_slow_tasks_that_have_all_the_threads_they_may_have(void **state)
{
	enum { THREADS = 4, FREE = 2, SLOW = 50, QUICK = 20 };
	pthread_mutex_t door = PTHREAD_MUTEX_INITIALIZER;
	struct slow slow[SLOW];
	struct job quick[QUICK];
	atomic_int within = 0, most = 0, slow_runs = 0, runs = 0;
	struct pool *p;

	assert_int_equal(pool_new(&p, "test", THREADS, NULL), 0);
	pool_keep_free(p, FREE);
	pthread_mutex_lock(&door);
	for (int i = 0; i < SLOW; i++) {
		slow[i] = (struct slow){
			.task = {.run = be_slow, .slow = true}, .door = &door, .within = &within, .most = &most, .runs = &slow_runs};
		pool_submit(p, &slow[i].task);
	}
	for (int i = 0; i < QUICK; i++) {
		quick[i] = (struct job){.task.run = count_run, .runs = &runs};
		pool_submit(p, &quick[i].task);
	}
	while (runs < QUICK || within < THREADS - FREE)
		sched_yield();
	assert_int_equal(slow_runs, 0);
	assert_int_equal(pool_waiting(p), SLOW - (THREADS - FREE));
	pthread_mutex_unlock(&door);
	pool_free(p);
	assert_int_equal(slow_runs, SLOW);
	assert_int_equal(most, THREADS - FREE);
}

/* Each of four tasks waits for the other three and the test: this ends only when all run at once. */
static void as_many_tasks_run_at_once_as_there_are_threads(void **state)
{
	pthread_barrier_t barrier;
	struct gate gates[4];
	struct pool *p;

	pthread_barrier_init(&barrier, NULL, 5);
	assert_int_equal(pool_new(&p, "test", 4, NULL), 0);
	for (int i = 0; i < 4; i++) {
		gates[i] = (struct gate){.task.run = wait_at_gate, .barrier = &barrier};
		pool_submit(p, &gates[i].task);
	}
	pthread_barrier_wait(&barrier);
	pool_free(p);
	pthread_barrier_destroy(&barrier);
}

static void what_waits_is_counted(void **state)
{
	pthread_barrier_t barrier;
	struct job jobs[3];
	atomic_int runs = 0;
	struct gate gate;
	struct gate started = {.task.run = wait_at_gate, .barrier = &barrier};
	struct pool *p;

	pthread_barrier_init(&barrier, NULL, 2);
	assert_int_equal(pool_new(&p, "test", 1, NULL), 0);
	pool_submit(p, &started.task);
	gate = started;
	pthread_barrier_wait(&barrier);
	pool_submit(p, &gate.task);
	for (int i = 0; i < 3; i++) {
		jobs[i] = (struct job){.task.run = count_run, .runs = &runs};
		pool_submit(p, &jobs[i].task);
	}
	/* The gate is running or about to; it lets nothing pass before the test does. */
	assert_in_range(pool_waiting(p), 3, 4);
	pthread_barrier_wait(&barrier);
	pool_free(p);
	assert_int_equal(runs, 3);
	pthread_barrier_destroy(&barrier);
}

struct look {
	struct pool_task task;
	char name[16];
	sigset_t blocked;
};

static void look_at_thread(struct pool_task *t)
{
	struct look *look = CONTAINER_OF(t, struct look, task);

	pthread_getname_np(pthread_self(), look->name, sizeof(look->name));
	pthread_sigmask(SIG_SETMASK, NULL, &look->blocked);
}

static void threads_are_named_and_take_no_signals(void **state)
{
	struct look look = {.task.run = look_at_thread};
	sigset_t mine;
	struct pool *p;

	assert_int_equal(pool_new(&p, "fifteen-letters", 1, NULL), 0);
	pool_submit(p, &look.task);
	pool_free(p);
	assert_string_equal(look.name, "fifteen-letters");
	assert_true(sigismember(&look.blocked, SIGTERM));
	assert_true(sigismember(&look.blocked, SIGUSR1));
	assert_true(sigismember(&look.blocked, SIGPIPE));
	pthread_sigmask(SIG_SETMASK, NULL, &mine);
	assert_false(sigismember(&mine, SIGTERM));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tasks_start_in_the_order_of_submission),
		cmocka_unit_test(somebody_may_pick_who_is_next),
		cmocka_unit_test(free_runs_everything_first),
		cmocka_unit_test(a_task_may_free_itself),
		cmocka_unit_test(a_task_may_submit_itself_again_even_while_the_pool_ends),
		cmocka_unit_test(others_start_before_slow_tasks_that_have_all_the_threads_they_may_have),
		cmocka_unit_test(as_many_tasks_run_at_once_as_there_are_threads),
		cmocka_unit_test(what_waits_is_counted),
		cmocka_unit_test(threads_are_named_and_take_no_signals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
