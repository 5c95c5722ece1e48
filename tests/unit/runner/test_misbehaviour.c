/* One test per way in which a process that was taken over can misbehave towards the server. Each has the code its job ends with; and after each the runner serves the next job, and
 * nothing is left over. */
#include "base/buf.h"
#include "sealed_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *program;

struct misdeed {
	const char *name; /* the test's, a sentence */
	const char *op;
	int code;
	const char *detail; /* what it must have in it */
	bool output;
	uint64_t output_max; /* 0 = enough */
	int64_t wall_ms; /* 0 = long enough */
	int64_t cpu_s; /* 0 = enough */
};

static const struct misdeed misdeeds[] = {
	{"exits with status 0 without an answer", "evil_exit0", ERR_RUNNER_CRASHED, "status 0"},
	{"exits with status 3", "evil_exit3", ERR_RUNNER_CRASHED, "status 3"},
	{"aborts", "evil_abort", ERR_RUNNER_CRASHED, "SIGABRT"},
	{"writes where no memory is", "evil_segfault", ERR_RUNNER_CRASHED, "SIGSEGV"},
	{"overflows its stack", "evil_stack", ERR_RUNNER_CRASHED, "SIGSEGV"},
	{"hangs", "evil_hang", ERR_LIMIT_TIME, "longer than allowed", .wall_ms = 200},
	{"hangs with an output open", "evil_hang", ERR_LIMIT_TIME, "longer than allowed", .output = true, .wall_ms = 200},
	{"computes for ever until the deadline", "evil_busy", ERR_LIMIT_TIME, "longer than allowed", .wall_ms = 200},
	{"computes for ever until its processor time is used up", "evil_busy", ERR_LIMIT_TIME, "processor time", .cpu_s = 1},
	{"makes a system call that is refused", "evil_socket", ERR_SEAL_VIOLATION, ": socket"},
	{"writes garbage to its channel", "evil_garbage", ERR_RUNNER_MISBEHAVED, "no answer"},
	{"sends an empty message", "evil_empty", ERR_RUNNER_MISBEHAVED, "channel"},
	{"sends half a header", "evil_half", ERR_RUNNER_MISBEHAVED, "half"},
	{"announces texts of gigabytes", "evil_huge", ERR_RUNNER_MISBEHAVED, "length"},
	{"announces one byte more than it sends", "evil_beyond", ERR_RUNNER_MISBEHAVED, "length"},
	{"answers a job that nobody asked for", "evil_serial", ERR_RUNNER_MISBEHAVED, "not asked"},
	{"sends a result of one byte too many", "evil_large", ERR_RUNNER_MISBEHAVED, "length"},
	{"sends messages that are too large", "evil_flood", ERR_RUNNER_MISBEHAVED, "too large"},
	{"gives a code that is not a job's", "evil_code", ERR_RUNNER_MISBEHAVED, "code"},
	{"gives a code that is none", "evil_positive", ERR_RUNNER_MISBEHAVED, "code"},
	{"sends half a refusal", "evil_refusal", ERR_RUNNER_MISBEHAVED, "half"},
	{"invents a refusal", "evil_invented", ERR_SEAL_VIOLATION, "number -5"},
	{"answers twice", "evil_twice", ERR_RUNNER_MISBEHAVED, "more than"},
	{"answers twice in one message", "evil_twice_in_one", ERR_RUNNER_MISBEHAVED, "more than"},
	{"sends descriptors along", "evil_descriptors", ERR_RUNNER_MISBEHAVED, "descriptors"},
	{"closes its channel and stays", "evil_closed", ERR_RUNNER_MISBEHAVED, "closed its channel"},
	{"sends a result that is not JSON", "evil_not_json", ERR_RUNNER_MISBEHAVED, "not JSON"},
	{"sends a result that is not an object", "evil_array", ERR_RUNNER_MISBEHAVED, "object"},
	{"sends a result that is not UTF-8", "evil_utf8", ERR_RUNNER_MISBEHAVED, "not JSON"},
	{"sends a result of thousands of levels", "evil_deep", ERR_RUNNER_MISBEHAVED, "not JSON"},
	{"claims an output that was not asked for", "evil_growing_nowhere", ERR_RUNNER_MISBEHAVED, "not asked"},
	{"tells its progress without end", "evil_progress_flood", ERR_RUNNER_MISBEHAVED, "too often"},
	{"has done more than all", "evil_progress_more", ERR_RUNNER_MISBEHAVED, "more than all"},
	{"has done less than nothing", "evil_progress_negative", ERR_RUNNER_MISBEHAVED, "more than all"},
	{"tells the progress of a job before", "evil_progress_before", ERR_RUNNER_MISBEHAVED, "not asked"},
	{"tells the progress of a job to come", "evil_progress_beyond", ERR_RUNNER_MISBEHAVED, "not asked"},
	{"tells half its progress", "evil_progress_half", ERR_RUNNER_MISBEHAVED, "wrong length"},
	{"tells its progress and nothing else until the deadline", "evil_progress_only", ERR_LIMIT_TIME, "longer than allowed",
	 .wall_ms = 500},
	{"tells its progress after its answer", "evil_progress_late", ERR_RUNNER_MISBEHAVED, "more than its answers"},
	{"writes without end", "evil_too_much", ERR_LIMIT_OUTPUT, "larger than allowed", .output = true, .output_max = 50},
	{"writes one byte more than allowed", "evil_too_much_said", ERR_LIMIT_OUTPUT, "larger than allowed", .output = true,
	 .output_max = 50},
	{"writes less than it says", "evil_shorter", ERR_RUNNER_MISBEHAVED, "less than it says", .output = true},
	{"writes more than it says", "evil_longer", ERR_RUNNER_MISBEHAVED, "more than it says", .output = true},
	{"closes its output early", "evil_early", ERR_RUNNER_MISBEHAVED, "less than it says", .output = true},
	{"goes on writing after its answer", "evil_growing", ERR_RUNNER_MISBEHAVED, "", .output = true},
	{"answers and lets the rest of its output drip", "evil_dripping", ERR_RUNNER_MISBEHAVED, "after its answer", .output = true},
	{"keeps its output open after its answer", "evil_open", ERR_RUNNER_MISBEHAVED, "did not end its output", .output = true},
};

static void assert_serves(struct world *w)
{
	struct op copy = world_op("good_copy", OP_CHILD_ONE, true);
	struct runner_job job = world_job(&copy, STR("still there"));
	struct buf got = BUF_INIT;

	copy.wall_ms = world_limits.wall_ms; /* however little the one before had: a busy machine may need all of that to begin */
	job.output = world_take_output;
	job.output_arg = &got;
	assert_int_equal(world_run_one(w, &job), 0);
	assert_true(str_eq(buf_str(&got), STR("still there")));
	buf_release(&got);
}

static void a_child_that(void **state)
{
	const struct misdeed *m = *state;
	struct runner_config config = {.limits = world_limits, .children_max = 2};
	const struct op op = world_op(m->op, OP_CHILD_ONE, m->output);
	struct runner_job job = world_job(&op, STR("some input"));
	struct runner_stats stats;
	struct buf got = BUF_INIT;
	struct world w;

	config.limits.output_max = m->output_max ? m->output_max : 1 << 20;
	if (m->wall_ms)
		config.limits.wall_ms = m->wall_ms;
	if (m->cpu_s)
		config.limits.cpu_s = m->cpu_s;
	world_begin(&w, program, &config);
	if (m->output) {
		job.output = world_take_output;
		job.output_arg = &got;
	}
	runner_run(w.runner, &job, 1, NULL);
	if (job.code != m->code)
		fail_msg("code %d (%s), not %d", job.code, job.err.detail, m->code);
	assert_int_equal(job.err.code, m->code);
	if (!strstr(job.err.detail, m->detail))
		fail_msg("\"%s\" does not say \"%s\"", job.err.detail, m->detail);
	assert_int_equal(job.result.len, 0);
	assert_true(got.len <= config.limits.output_max);
	runner_stats(w.runner, &stats);
	assert_int_equal(stats.zygotes, 1);
	assert_int_equal(stats.violations, m->code == ERR_SEAL_VIOLATION);
	buf_release(&got);
	buf_release(&job.result);
	assert_serves(&w);
	world_end(&w);
}

static void a_detail_with_controls_is_cleaned(void **state)
{
	const struct op op = world_op("evil_detail", OP_CHILD_ONE, false);
	struct runner_job job = world_job(&op, STR("some input"));
	struct world w;

	world_begin(&w, program, NULL);
	assert_int_equal(world_run_one(&w, &job), ERR_TRUNCATED);
	assert_string_equal(job.err.detail, "a?[31mb???ü");
	world_end(&w);
}

struct heard {
	unsigned permille[64];
	size_t n;
};

static void hear(void *arg, unsigned permille)
{
	struct heard *h = arg;

	assert_true(h->n < 64);
	h->permille[h->n++] = permille;
}

static void progress_is_told_and_never_goes_back(void **state)
{
	const struct op op = world_op("good_progress", OP_CHILD_ONE, false);
	struct runner_job job = world_job(&op, STR("some input"));
	struct heard h = {};
	struct world w;

	job.progress = hear;
	job.progress_arg = &h;
	world_begin(&w, program, NULL);
	assert_int_equal(world_run_one(&w, &job), 0);
	assert_int_equal(h.n, 3);
	assert_int_equal(h.permille[0], 100);
	assert_int_equal(h.permille[1], 300);
	assert_int_equal(h.permille[2], 1000);
	world_end(&w);
}

static void progress_of_a_job_that_was_left_behind_cannot_be_right(void **state)
{
	const struct op op = world_op("evil_progress_back", OP_CHILD_MANY, false);
	struct runner_job jobs[] = {world_job(&op, STR("some input")), world_job(&op, STR("other input"))};
	struct heard h = {};
	struct world w;

	jobs[0].progress = hear;
	jobs[0].progress_arg = &h;
	world_begin(&w, program, NULL);
	runner_run(w.runner, jobs, 2, NULL);
	assert_int_equal(jobs[0].code, ERR_RUNNER_MISBEHAVED); /* alone, too: there the second job was not asked for */
	assert_true(h.n > 0);
	for (size_t i = 0; i < h.n; i++)
		assert_int_equal(h.permille[i], 500);
	for (size_t i = 0; i < 2; i++)
		buf_release(&jobs[i].result);
	assert_serves(&w);
	world_end(&w);
}

/* Four pieces of input. */
static void what_was_read_of_the_input_is_told_as_progress(void **state)
{
	const struct op op = world_op("good_slowly", OP_CHILD_ONE, false);
	size_t n = 1u << 20;
	char *input = calloc(1, n);
	struct runner_job job = world_job(&op, (struct str){input, n});
	struct heard h = {};
	struct world w;

	job.progress = hear;
	job.progress_arg = &h;
	world_begin(&w, program, NULL);
	assert_int_equal(world_run_one(&w, &job), 0);
	assert_true(h.n >= 2 && h.n <= 4);
	for (size_t i = 0; i < h.n; i++) {
		assert_true(i == 0 || h.permille[i] > h.permille[i - 1]);
		assert_int_equal(h.permille[i] % 250, 0);
	}
	world_end(&w);
	free(input);
}

int main(int argc, char **argv)
{
	enum { N = sizeof(misdeeds) / sizeof(misdeeds[0]) };
	struct CMUnitTest tests[N + 4];
	char names[N][100];

	if (argc < 2)
		return 2;
	program = argv[1];
	for (size_t i = 0; i < N; i++) {
		snprintf(names[i], sizeof(names[i]), "a child that %s", misdeeds[i].name);
		tests[i] =
			(struct CMUnitTest){.name = names[i], .test_func = a_child_that, .initial_state = (void *)(uintptr_t)&misdeeds[i]};
	}
	tests[N] = (struct CMUnitTest)cmocka_unit_test(a_detail_with_controls_is_cleaned);
	tests[N + 1] = (struct CMUnitTest)cmocka_unit_test(progress_is_told_and_never_goes_back);
	tests[N + 2] = (struct CMUnitTest)cmocka_unit_test(what_was_read_of_the_input_is_told_as_progress);
	tests[N + 3] = (struct CMUnitTest)cmocka_unit_test(progress_of_a_job_that_was_left_behind_cannot_be_right);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
