/* The real kind when it works, and when what it stands on is taken away: children and zygotes killed, jobs cancelled, descriptors shared out. */
#include "base/fd.h"
#include "runner/sealed_impl.h"
#include "sealed_world.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static const char *genuine, *evil; /* programs */

static const struct op *digest_op(const char *name)
{
	return op_table_find(op_builtin_table(), str_of(name));
}

static int file_with(struct str content)
{
	int fd = memfd_create("stored", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, content.p, content.len), 0);
	return fd;
}

static char *some_bytes(size_t n)
{
	char *p = malloc(n);

	assert_non_null(p);
	for (size_t i = 0; i < n; i++)
		p[i] = (char)(i * 31 + i / 4093);
	return p;
}

/* ---- the good course ---- */

static void the_seal_is_reported(void **state)
{
	struct world w;

	world_begin(&w, genuine, NULL);
	const struct seal_report *r = runner_report(w.runner);
	assert_non_null(r);
	assert_true(r->enforced >> SEAL_SECCOMP & 1);
	assert_true(r->enforced >> SEAL_NO_NEW_PRIVS & 1);
	assert_true(r->enforced >> SEAL_RLIMITS & 1);
	world_end(&w);
}

static void digests_are_those_of_the_calling_thread(void **state)
{
	static const char *const names[] = {"md5", "sha256", "sha1", "crc32c", "sha512"};
	CLEANUP(free_ptr) char *bytes = some_bytes(300000);
	struct runner_job sealed[RUNNER_BATCH_MAX], here[RUNNER_BATCH_MAX];
	CLEANUP(fd_close) int fd = file_with((struct str){bytes, 300000});
	struct runner *in_thread;
	struct world w;

	/* Inline and stored ones, some of the same bytes in a row, empty ones too. */
	for (size_t i = 0; i < RUNNER_BATCH_MAX; i++) {
		const struct op *op = digest_op(names[i % 5]);

		sealed[i] = i % 8 == 3 ? world_job_of_file(op, fd, (struct str){bytes, 300000})
				       : world_job(op, (struct str){bytes + i / 5, i / 5 * 1000});
		here[i] = sealed[i];
	}
	world_begin(&w, genuine, NULL);
	assert_int_equal(runner_inline_new(&in_thread, NULL), 0);
	runner_run(w.runner, sealed, RUNNER_BATCH_MAX, NULL);
	runner_run(in_thread, here, RUNNER_BATCH_MAX, NULL);
	for (size_t i = 0; i < RUNNER_BATCH_MAX; i++) {
		assert_int_equal(sealed[i].code, 0);
		assert_string_equal(sealed[i].result.p, here[i].result.p);
		buf_release(&sealed[i].result);
		buf_release(&here[i].result);
	}
	runner_free(in_thread);
	world_end(&w);
}

static void an_output_arrives_whole_whatever_its_size(void **state)
{
	const size_t sizes[] = {0, 1, 65536, 5 << 20};
	CLEANUP(free_ptr) char *bytes = some_bytes(5 << 20);
	const struct op copy = world_op("good_copy", OP_CHILD_ONE, true);
	struct world w;

	world_begin(&w, evil, NULL);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		CLEANUP(fd_close) int fd = file_with((struct str){bytes, sizes[i]});
		struct runner_job job = world_job_of_file(&copy, fd, (struct str){bytes, sizes[i]});
		struct buf got = BUF_INIT;

		job.output = world_take_output;
		job.output_arg = &got;
		assert_int_equal(world_run_one(&w, &job), 0);
		assert_int_equal(job.output_size, sizes[i]);
		assert_int_equal(got.len, sizes[i]);
		if (sizes[i] > 0)
			assert_memory_equal(got.p, bytes, sizes[i]);
		buf_release(&got);
	}
	world_end(&w);
}

static int full_disk(void *arg, const void *data, size_t n, struct err *e)
{
	return err_set(e, ERR_STORAGE_FULL, "the storage is full");
}

static void an_error_of_the_outputs_taker_ends_the_job_with_its_code(void **state)
{
	const struct op copy = world_op("good_copy", OP_CHILD_ONE, true);
	struct runner_job job = world_job(&copy, STR("some input"));
	struct world w;

	world_begin(&w, evil, NULL);
	job.output = full_disk;
	assert_int_equal(world_run_one(&w, &job), ERR_STORAGE_FULL);
	world_end(&w);
}

static void inputs_cannot_be_written_inside(void **state)
{
	const struct op rights = world_op("good_rights", OP_CHILD_MANY, false);
	CLEANUP(fd_close) int writable = file_with(STR("stored"));
	struct runner_job jobs[] = {world_job(&rights, STR("inline")), world_job_of_file(&rights, writable, STR("stored"))};
	char expected[64];
	struct world w;

	world_begin(&w, evil, NULL);
	runner_run(w.runner, jobs, 2, NULL);
	snprintf(expected, sizeof(expected), "{\"mode\":%d,\"seals\":%d}", O_RDWR,
		 F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	assert_int_equal(jobs[0].code, 0);
	assert_string_equal(jobs[0].result.p, expected);
	assert_int_equal(jobs[1].code, 0);
	assert_non_null(strstr(jobs[1].result.p, "{\"mode\":0,"));
	for (int i = 0; i < 2; i++)
		buf_release(&jobs[i].result);
	world_end(&w);
}

static void damaged_inputs_and_unknown_ops_are_told(void **state)
{
	const struct op unknown = world_op("never-heard-of", OP_CHILD_MANY, false);
	struct runner_job jobs[] = {world_job(digest_op("md5"), STR("abc")), world_job(digest_op("sha1"), STR("abc")),
				    world_job(&unknown, STR("abc")), world_job(digest_op("md5"), STR("abc"))};
	struct world w;

	world_begin(&w, genuine, NULL);
	jobs[1].input = STR("abd");
	runner_run(w.runner, jobs, 4, NULL);
	assert_int_equal(jobs[0].code, 0);
	assert_int_equal(jobs[1].code, ERR_DAMAGED);
	assert_int_equal(jobs[2].code, ERR_OP_FAILED);
	assert_int_equal(jobs[3].code, 0);
	for (int i = 0; i < 4; i++)
		buf_release(&jobs[i].result);
	world_end(&w);
}

static void texts_that_do_not_fit_into_one_batch_go_in_several(void **state)
{
	const struct op op = world_op("good_or_not", OP_CHILD_MANY, false);
	static char params[5000] = "{\"a\":\"";
	struct runner_job jobs[RUNNER_BATCH_MAX];
	struct world w;

	memset(params + 6, 'x', sizeof(params) - 9);
	memcpy(params + sizeof(params) - 3, "\"}", 3);
	for (size_t i = 0; i < RUNNER_BATCH_MAX; i++) {
		jobs[i] = world_job(&op, STR("ok"));
		jobs[i].params = str_of(params);
	}
	assert_int_equal(sealed_batch_fit(jobs, RUNNER_BATCH_MAX), RUNNER_TEXT_MAX / (strlen(params) + jobs[0].name.len));
	world_begin(&w, evil, NULL);
	runner_run(w.runner, jobs, RUNNER_BATCH_MAX, NULL);
	for (size_t i = 0; i < RUNNER_BATCH_MAX; i++) {
		assert_int_equal(jobs[i].code, 0);
		assert_non_null(strstr(jobs[i].result.p, params));
		buf_release(&jobs[i].result);
	}
	world_end(&w);
}

static void a_child_that_decodes_serves_one_job(void **state)
{
	const struct op copy = world_op("good_copy", OP_CHILD_ONE, true);
	struct runner_stats stats;
	struct world w;

	world_begin(&w, evil, NULL);
	for (unsigned i = 0; i < 5; i++) {
		struct runner_job job = world_job(&copy, STR("some input"));
		struct buf got = BUF_INIT;

		job.output = world_take_output;
		job.output_arg = &got;
		assert_int_equal(world_run_one(&w, &job), 0);
		buf_release(&got);
		runner_stats(w.runner, &stats);
		assert_int_equal(stats.children, i + 2); /* and one to spare */
		assert_int_equal(stats.living, 1);
	}
	world_end(&w);
}

static uint64_t resident_pages(int pid)
{
	unsigned long long pages = 0;
	char name[64];

	snprintf(name, sizeof(name), "/proc/%d/statm", pid);
	FILE *f = fopen(name, "re");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%*u %llu", &pages), 1);
	fclose(f);
	return pages;
}

static void run_many_digests(struct world *w, unsigned batches)
{
	for (unsigned b = 0; b < batches; b++) {
		struct runner_job jobs[RUNNER_BATCH_MAX];

		for (unsigned i = 0; i < RUNNER_BATCH_MAX; i++)
			jobs[i] = world_job(digest_op(i % 2 ? "md5" : "sha512"), STR("some input"));
		runner_run(w->runner, jobs, RUNNER_BATCH_MAX, NULL);
		for (unsigned i = 0; i < RUNNER_BATCH_MAX; i++) {
			assert_int_equal(jobs[i].code, 0);
			buf_release(&jobs[i].result);
		}
	}
}

static void a_child_for_digests_serves_on_and_does_not_grow(void **state)
{
	struct runner_stats stats;
	int child[2];
	struct world w;

	world_begin(&w, genuine, NULL);
	run_many_digests(&w, 10);
	assert_int_equal(world_children(world_zygote(&w), child, 2), 1);
	uint64_t before = resident_pages(child[0]);
	run_many_digests(&w, 200); /* more batches than it may have descriptors */
	assert_true(resident_pages(child[0]) <= before + 16);
	runner_stats(w.runner, &stats);
	assert_int_equal(stats.children, 1);
	world_end(&w);
}

/* ---- commands ---- */

static void commands_run_with_their_own_limits_and_keep_their_result(void **state)
{
	static const struct op_command echo = {.argv = {"/bin/sh", "-c", "cat; echo \"$1\"; exit 3", "sh", "two words"}};
	const struct op op = {.name = "echo", .version = 1, .summary = "", .kind = OP_COMMAND, .output = true, .command = &echo};
	struct runner_config config = {.limits = world_limits, .children_max = 2, .commands = true, .may_lack = ~0u};
	struct runner_job job = world_job(&op, STR("some input\n"));
	struct buf got = BUF_INIT;
	struct world w;

	world_begin(&w, genuine, &config);
	if (!(runner_report(w.runner)->enforced >> SEAL_NAMESPACES & 1)) {
		world_end(&w);
		print_message("this machine gives no namespaces\n");
		skip();
	}
	job.output = world_take_output;
	job.output_arg = &got;
	runner_run(w.runner, &job, 1, NULL);
	if (job.code != ERR_COMMAND_FAILED)
		fail_msg("%d (%s)", job.code, job.err.detail);
	assert_non_null(strstr(job.result.p, "\"exit_code\":3"));
	buf_release(&job.result);
	buf_release(&got);
	world_end(&w);
}

/* ---- blame ---- */

static void only_the_guilty_job_of_a_batch_gets_the_blame(void **state)
{
	static const struct {
		const char *word;
		int code;
	} cases[] = {
		{"crash", ERR_RUNNER_CRASHED}, {"lie", ERR_RUNNER_MISBEHAVED}, {"hang", ERR_LIMIT_TIME}, {"fail", ERR_UNSUPPORTED_FORMAT}};
	struct op op = world_op("good_or_not", OP_CHILD_MANY, false);
	struct runner_config config = {.limits = world_limits, .children_max = 1};

	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		struct runner_job jobs[6];
		struct world w;

		op.wall_ms = cases[c].code == ERR_LIMIT_TIME ? 3000 : 0; /* the others' is theirs too */
		world_begin(&w, evil, &config);
		for (size_t i = 0; i < 6; i++)
			jobs[i] = world_job(&op, i == 3 ? str_of(cases[c].word) : STR("ok"));
		runner_run(w.runner, jobs, 6, NULL);
		for (size_t i = 0; i < 6; i++) {
			if (jobs[i].code != (i == 3 ? cases[c].code : 0))
				fail_msg("%s: job %zu: %d (%s)", cases[c].word, i, jobs[i].code, jobs[i].err.detail);
			buf_release(&jobs[i].result);
		}
		world_end(&w);
	}
}

static void a_job_is_not_blamed_for_what_an_earlier_one_left(void **state)
{
	const struct op op = world_op("good_once", OP_CHILD_MANY, false);
	struct runner_stats stats;
	struct world w;

	world_begin(&w, evil, NULL);
	for (unsigned i = 0; i < 3; i++) {
		struct runner_job job = world_job(&op, STR("some input"));

		assert_int_equal(world_run_one(&w, &job), 0);
	}
	runner_stats(w.runner, &stats);
	assert_int_equal(stats.children, 3);
	world_end(&w);
}

static void a_job_that_gave_output_away_is_not_run_again(void **state)
{
	const struct op op = world_op("good_once_output", OP_CHILD_MANY, true);
	struct world w;

	world_begin(&w, evil, NULL);
	for (unsigned i = 0; i < 2; i++) {
		struct runner_job job = world_job(&op, STR("some input"));
		struct buf got = BUF_INIT;

		job.output = world_take_output;
		job.output_arg = &got;
		assert_int_equal(world_run_one(&w, &job), i == 0 ? 0 : ERR_RUNNER_CRASHED);
		assert_int_equal(job.output_size, got.len);
		buf_release(&got);
	}
	world_end(&w);
}

/* ---- killed from outside ---- */

struct killer {
	struct world *w;
	bool zygote; /* else its children */
	unsigned asked;
};

/* May go on, but not without a blow. */
static int strike(void *arg, struct err *e)
{
	struct killer *k = arg;
	int children[8], zygote = world_zygote(k->w);

	if (k->asked++ > 0)
		return 0;
	if (k->zygote) {
		world_kill(zygote);
		return 0;
	}
	unsigned n = world_children(zygote, children, 8);
	assert_true(n >= 1);
	for (unsigned i = 0; i < n; i++)
		world_kill(children[i]);
	return 0;
}

static void who_is_killed_from_outside_is_lost_and_replaced(void **state)
{
	const struct op once = world_op("evil_hang", OP_CHILD_ONE, false), many = world_op("good_or_not", OP_CHILD_MANY, false);
	struct runner_stats stats;
	struct world w;

	world_begin(&w, evil, NULL);
	for (int zygote = 0; zygote < 2; zygote++) {
		for (int i = 0; i < 2; i++) {
			struct killer k = {.w = &w, .zygote = zygote};
			struct runner_job job = world_job(i ? &many : &once, STR("hang")), next = world_job(&many, STR("ok"));

			runner_run(w.runner, &job, 1, &(struct runner_watch){.may_go_on = strike, .arg = &k});
			assert_int_equal(job.code, ERR_RUNNER_LOST);
			buf_release(&job.result);
			assert_int_equal(world_run_one(&w, &next), 0);
			world_zygote(&w);
		}
	}
	runner_stats(w.runner, &stats);
	assert_int_equal(stats.lost, 4);
	assert_int_equal(stats.zygotes, 3);
	world_end(&w);
}

static void who_is_killed_while_idle_is_not_missed(void **state)
{
	struct world w;

	world_begin(&w, genuine, NULL);
	for (int i = 0; i < 3; i++) {
		struct runner_job job = world_job(digest_op("md5"), STR("abc"));
		int child[2], zygote;

		if (world_run_one(&w, &job) != 0)
			fail_msg("round %d: %s", i, job.err.detail);
		zygote = world_zygote(&w);
		assert_int_equal(world_children(zygote, child, 2), 1);
		world_kill(i == 1 ? zygote : child[0]);
	}
	struct runner_job job = world_job(digest_op("md5"), STR("abc"));
	assert_int_equal(world_run_one(&w, &job), 0);
	world_end(&w);
}

static void a_zygote_that_died_while_idle_is_reaped_without_a_job(void **state)
{
	struct runner_job job = world_job(digest_op("md5"), STR("abc"));
	struct world w;

	world_begin(&w, genuine, NULL);
	assert_int_equal(world_run_one(&w, &job), 0);
	world_kill(world_zygote(&w));
	assert_int_equal(world_zygote(&w), 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	world_end(&w);
}

/* Takes the ten seconds that a child may need to begin. */
static void a_zygote_that_stands_still_is_replaced_and_no_job_is_lost(void **state)
{
	struct runner_job job = world_job(digest_op("md5"), STR("abc"));
	struct runner_stats stats;
	struct world w;

	world_begin(&w, genuine, NULL);
	kill(world_zygote(&w), SIGSTOP);
	assert_int_equal(world_run_one(&w, &job), 0);
	runner_stats(w.runner, &stats);
	assert_int_equal(stats.zygotes, 2);
	kill(world_zygote(&w), SIGSTOP); /* and one that stands still at the end is no reason to wait */
	world_end(&w);
}

static int stop_at_once(void *arg, struct err *e)
{
	return err_set(e, ERR_SHUTTING_DOWN, "the server is stopping");
}

/* A server that stops has no ten seconds for each. */
static void a_job_that_is_stopped_does_not_wait_for_a_zygote_that_stands_still(void **state)
{
	struct runner_job job = world_job(digest_op("md5"), STR("abc"));
	const struct runner_watch watch = {.may_go_on = stop_at_once};
	struct timespec began, ended;
	struct world w;

	world_begin(&w, genuine, NULL);
	kill(world_zygote(&w), SIGSTOP);
	clock_gettime(CLOCK_MONOTONIC, &began);
	runner_run(w.runner, &job, 1, &watch);
	clock_gettime(CLOCK_MONOTONIC, &ended);
	assert_int_equal(job.code, ERR_SHUTTING_DOWN);
	assert_true(ended.tv_sec - began.tv_sec < 8);
	world_end(&w);

	/* Nor when the child is there already: its end is told by nobody. */
	const struct op hang = world_op("evil_hang", OP_CHILD_ONE, false);
	struct runner_config config = {.limits = world_limits, .children_max = 1};

	config.limits.wall_ms = 300;
	world_begin(&w, evil, &config);
	job = world_job(&hang, STR("abc"));
	assert_int_equal(world_run_one(&w, &job), ERR_LIMIT_TIME); /* a spare one waits now */
	kill(world_zygote(&w), SIGSTOP);
	clock_gettime(CLOCK_MONOTONIC, &began);
	assert_int_equal(world_run_one(&w, &job), ERR_LIMIT_TIME);
	clock_gettime(CLOCK_MONOTONIC, &ended);
	assert_true(ended.tv_sec - began.tv_sec < 8);
	world_end(&w);
}

/* The limit counts numbers: from the lowest free one on nothing can be opened. */
static void forbid_descriptors(struct rlimit *ret_before)
{
	int lowest = dup(STDIN_FILENO);

	assert_true(lowest >= 0);
	close(lowest);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, ret_before), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){(rlim_t)lowest, ret_before->rlim_max}), 0);
}

static void a_child_that_came_without_its_pidfd_does_not_stay(void **state)
{
	const struct op copy = world_op("good_copy", OP_CHILD_ONE, true);
	struct runner_stats stats;
	struct rlimit before;
	struct world w;

	world_begin(&w, evil, NULL);
	for (unsigned i = 0; i < 3; i++) {
		struct runner_job job = world_job(&copy, STR("some input"));
		struct buf got = BUF_INIT;

		job.output = world_take_output;
		job.output_arg = &got;
		if (i == 1)
			forbid_descriptors(&before); /* the spare one has been ordered, but its beginning was not read yet */
		int code = world_run_one(&w, &job);
		if (i == 1)
			assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
		assert_int_equal(code, i == 1 ? ERR_RUNNER_UNAVAILABLE : 0);
		buf_release(&got);
		world_zygote(&w);
	}
	runner_stats(w.runner, &stats);
	assert_int_equal(stats.zygotes, 2);
	world_end(&w);
}

static void zygotes_that_die_young_are_not_replaced_for_ever(void **state)
{
	bool refused = false;
	struct world w;
	int code;

	world_begin(&w, genuine, NULL);
	for (int i = 0; i < 50 && !refused; i++) {
		struct runner_job job = world_job(digest_op("md5"), STR("abc"));

		world_kill(world_zygote(&w));
		code = world_run_one(&w, &job);
		refused = code == ERR_RUNNER_UNAVAILABLE;
		assert_true(refused || code == 0);
	}
	assert_true(refused);
	do { /* the pause ends */
		struct runner_job job = world_job(digest_op("md5"), STR("abc"));

		code = world_run_one(&w, &job);
		assert_true(code == 0 || code == ERR_RUNNER_UNAVAILABLE);
	} while (code != 0);
	world_end(&w);
}

static void a_program_that_is_none_is_told_at_the_start(void **state)
{
	static const char *const paths[] = {"/no/such/program", "/bin/false", "/bin/true"};
	struct runner_config config = {.limits = world_limits, .children_max = 1};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct err e = ERR_INIT;
		struct runner *r;

		config.path = paths[i];
		assert_int_equal(runner_start(&r, &config, &e), ERR_RUNNER_UNAVAILABLE);
		assert_true(e.detail[0]);
	}
}

/* ---- watched ---- */

static int stop_later(void *arg, struct err *e)
{
	unsigned *asked = arg;

	return ++*asked == 2 ? err_set(e, ERR_CANCELLED, "cancelled") : 0; /* said once: that is enough */
}

static void a_cancelled_call_ends_every_job_without_an_answer(void **state)
{
	const struct op op = world_op("good_or_not", OP_CHILD_MANY, false), once = world_op("evil_exit0", OP_CHILD_ONE, false);
	struct runner_job jobs[] = {world_job(&op, STR("ok")), world_job(&op, STR("hang")), world_job(&op, STR("ok")),
				    world_job(&once, STR("ok"))};
	struct runner_stats stats;
	unsigned asked = 0;
	struct world w;

	world_begin(&w, evil, NULL);
	runner_run(w.runner, jobs, 4, &(struct runner_watch){.may_go_on = stop_later, .arg = &asked});
	assert_int_equal(jobs[0].code, 0);
	for (int i = 1; i < 4; i++) {
		assert_int_equal(jobs[i].code, ERR_CANCELLED);
		assert_int_equal(jobs[i].err.code, ERR_CANCELLED);
	}
	for (int i = 0; i < 4; i++)
		buf_release(&jobs[i].result);
	runner_stats(w.runner, &stats);
	assert_int_equal(stats.killed, 1);
	assert_int_equal(stats.living, 0);
	world_end(&w);
}

static void what_follows_a_cancelled_job_in_its_call_does_not_begin(void **state)
{
	const struct op hang = world_op("evil_hang", OP_CHILD_ONE, false);
	struct runner_job jobs[] = {world_job(&hang, STR("some input")), world_job(digest_op("md5"), STR("abc"))};
	struct runner_stats stats;
	unsigned asked = 0;
	struct world w;

	world_begin(&w, evil, NULL);
	runner_run(w.runner, jobs, 2, &(struct runner_watch){.may_go_on = stop_later, .arg = &asked});
	assert_int_equal(jobs[0].code, ERR_CANCELLED);
	assert_int_equal(jobs[1].code, ERR_CANCELLED);
	runner_stats(w.runner, &stats);
	assert_int_equal(stats.children, 2); /* the one that hung, and one to spare */
	world_end(&w);
}

struct holder {
	struct world *w;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool holding, let_go;
};

static int hold(void *arg, struct err *e)
{
	struct holder *h = arg;

	pthread_mutex_lock(&h->lock);
	h->holding = true;
	pthread_cond_signal(&h->changed);
	bool let_go = h->let_go;
	pthread_mutex_unlock(&h->lock);
	return let_go ? err_set(e, ERR_CANCELLED, "cancelled") : 0;
}

static void *hold_a_slot(void *arg)
{
	struct holder *h = arg;
	const struct op op = world_op("evil_hang", OP_CHILD_ONE, false);
	struct runner_job job = world_job(&op, STR("some input"));

	runner_run(h->w->runner, &job, 1, &(struct runner_watch){.may_go_on = hold, .arg = h});
	return (void *)(intptr_t)job.code;
}

static void who_finds_no_slot_waits_and_may_be_cancelled(void **state)
{
	struct runner_config config = {.limits = world_limits, .children_max = 1};
	struct runner_job job = world_job(digest_op("md5"), STR("abc"));
	struct holder h = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
	unsigned asked = 0;
	pthread_t thread;
	struct world w;
	void *code;

	world_begin(&w, evil, &config);
	h.w = &w;
	assert_int_equal(pthread_create(&thread, NULL, hold_a_slot, &h), 0);
	pthread_mutex_lock(&h.lock);
	while (!h.holding)
		pthread_cond_wait(&h.changed, &h.lock);
	pthread_mutex_unlock(&h.lock);
	runner_run(w.runner, &job, 1, &(struct runner_watch){.may_go_on = stop_later, .arg = &asked});
	assert_int_equal(job.code, ERR_CANCELLED);
	pthread_mutex_lock(&h.lock);
	h.let_go = true;
	pthread_mutex_unlock(&h.lock);
	assert_int_equal(world_run_one(&w, &job), 0); /* waits for the slot and gets it */
	assert_int_equal(pthread_join(thread, &code), 0);
	assert_int_equal((intptr_t)code, ERR_CANCELLED);
	world_end(&w);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_seal_is_reported),
		cmocka_unit_test(digests_are_those_of_the_calling_thread),
		cmocka_unit_test(an_output_arrives_whole_whatever_its_size),
		cmocka_unit_test(an_error_of_the_outputs_taker_ends_the_job_with_its_code),
		cmocka_unit_test(inputs_cannot_be_written_inside),
		cmocka_unit_test(damaged_inputs_and_unknown_ops_are_told),
		cmocka_unit_test(texts_that_do_not_fit_into_one_batch_go_in_several),
		cmocka_unit_test(a_child_that_decodes_serves_one_job),
		cmocka_unit_test(a_child_for_digests_serves_on_and_does_not_grow),
		cmocka_unit_test(commands_run_with_their_own_limits_and_keep_their_result),
		cmocka_unit_test(only_the_guilty_job_of_a_batch_gets_the_blame),
		cmocka_unit_test(a_job_is_not_blamed_for_what_an_earlier_one_left),
		cmocka_unit_test(a_job_that_gave_output_away_is_not_run_again),
		cmocka_unit_test(who_is_killed_from_outside_is_lost_and_replaced),
		cmocka_unit_test(who_is_killed_while_idle_is_not_missed),
		cmocka_unit_test(a_zygote_that_died_while_idle_is_reaped_without_a_job),
		cmocka_unit_test(a_zygote_that_stands_still_is_replaced_and_no_job_is_lost),
		cmocka_unit_test(a_job_that_is_stopped_does_not_wait_for_a_zygote_that_stands_still),
		cmocka_unit_test(a_child_that_came_without_its_pidfd_does_not_stay),
		cmocka_unit_test(zygotes_that_die_young_are_not_replaced_for_ever),
		cmocka_unit_test(a_program_that_is_none_is_told_at_the_start),
		cmocka_unit_test(a_cancelled_call_ends_every_job_without_an_answer),
		cmocka_unit_test(what_follows_a_cancelled_job_in_its_call_does_not_begin),
		cmocka_unit_test(who_finds_no_slot_waits_and_may_be_cancelled),
	};

	if (argc < 3)
		return 2;
	genuine = argv[1];
	evil = argv[2];
	if (argc > 3)
		cmocka_set_test_filter(argv[3]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
