/* The real kind in several threads while its children and zygotes are killed. */
#include "runner/sealed_impl.h"
#include "sealed_world.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static const char *evil; /* program */

#define WORKERS 4
#define ROUNDS 60

struct worker {
	struct world *w;
	unsigned done, lost;
	struct err wrong; /* the first that must not be */
};

static void judge(struct worker *k, struct runner_job *job, bool right)
{
	k->done += job->code == 0;
	k->lost += job->code == ERR_RUNNER_LOST || job->code == ERR_RUNNER_UNAVAILABLE;
	if (job->code == 0 && !right)
		err_set(&k->wrong, ERR_INTERNAL, "wrong bytes");
	else if (job->code != 0 && job->code != ERR_RUNNER_LOST && job->code != ERR_RUNNER_UNAVAILABLE)
		k->wrong = job->err;
	buf_release(&job->result);
}

static void *work(void *arg)
{
	struct worker *k = arg;
	const struct op copy = world_op("good_copy", OP_CHILD_ONE, true), *md5 = op_table_find(op_builtin_table(), STR("md5"));

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct runner_job jobs[8], one = world_job(&copy, STR("some input"));
		struct buf got = BUF_INIT;

		for (unsigned n = 0; n < 8; n++)
			jobs[n] = world_job(md5, STR("abc"));
		runner_run(k->w->runner, jobs, 8, NULL);
		for (unsigned n = 0; n < 8; n++)
			judge(k, &jobs[n], jobs[n].result.p && strstr(jobs[n].result.p, "900150983cd24fb0d6963f7d28e17f72"));
		one.output = world_take_output;
		one.output_arg = &got;
		runner_run(k->w->runner, &one, 1, NULL);
		judge(k, &one, str_eq(buf_str(&got), STR("some input")));
		buf_release(&got);
	}
	return NULL;
}

static void every_job_is_final_while_children_and_zygotes_are_killed(void **state)
{
	struct worker workers[WORKERS] = {};
	pthread_t threads[WORKERS];
	unsigned done = 0, lost = 0;
	struct world w;

	world_begin(&w, evil, NULL);
	for (unsigned i = 0; i < WORKERS; i++) {
		workers[i].w = &w;
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (unsigned blow = 0; blow < 40; blow++) {
		int children[16], zygote = world_zygote(&w);

		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL); /* not a wait for anything: the blows are spread */
		if (zygote <= 0)
			continue;
		if (blow % 16 == 15)
			kill(zygote, SIGKILL);
		else
			for (unsigned i = 0, n = world_living(zygote, children, 16); i < n; i++)
				kill(children[i], SIGKILL);
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		if (workers[i].wrong.code != 0)
			fail_msg("%d: %s", workers[i].wrong.code, workers[i].wrong.detail);
		done += workers[i].done;
		lost += workers[i].lost;
	}
	assert_int_equal(done + lost, WORKERS * ROUNDS * 9);
	assert_true(done > lost);
	world_end(&w);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_job_is_final_while_children_and_zygotes_are_killed)};

	if (argc < 2)
		return 2;
	evil = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
