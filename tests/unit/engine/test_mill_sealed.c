/* The engine with the sealed runner itself: what the two make of each other. The program's path comes in FILEMILL_RUNNER. */
#include "world.h"

#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COMMANDS                                                                                                                            \
	"{\"upper\":{\"argv\":[\"/usr/bin/tr\",\"a-z\",\"A-Z\"],\"suffix\":\".up\",\"output_types\":[\"text/plain\"]},"                     \
	"\"sleep\":{\"argv\":[\"/usr/bin/sleep\",\"{for}\"],\"params\":{\"for\":{\"type\":\"string\",\"pattern\":\"[0-9.]+\",\"max\":9}}}," \
	"\"fails\":{\"argv\":[\"/usr/bin/false\"]}}"

static const struct runner_limits limits = {
	.memory = UINT64_C(512) << 20, .cpu_s = 60, .wall_ms = 60000, .output_max = 1u << 30, .pixels_max = 100000000};

struct sealed_world {
	struct world w;
	struct runner *runner;
	struct arena a; /* of the op table */
	unsigned fds; /* open before */
};

static unsigned open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static void open_sealed(struct sealed_world *s)
{
	struct engine_config c = world_config();
	const struct runner_config config = {
		.path = getenv("FILEMILL_RUNNER"), .limits = limits, .children_max = c.job_threads, .commands = true};
	struct err e = ERR_INIT;

	*s = (struct sealed_world){.fds = open_fds()};
	assert_non_null(config.path);
	if (runner_start(&s->runner, &config, &e) != 0)
		fail_msg("%s", e.detail);
	assert_int_equal(op_table_new(&c.ops, STR(COMMANDS), STR("{\"both\":[\"upper\",\"sha1;after=upper\"]}"), STR(""), &s->a, &e), 0);
	c.runner = s->runner;
	c.default_ops = "";
	world_open(&s->w, &c);
}

static void close_sealed(struct sealed_world *s)
{
	if (s->w.g != NULL)
		world_close(&s->w);
	runner_free(s->runner);
	arena_release(&s->a);
	assert_int_equal(open_fds(), s->fds);
}

static void upload_with(struct sealed_world *s, const char *ops, const char *text, struct upload *u)
{
	struct intake_spec spec = PUBLIC_SPEC;

	spec.name = STR("note.txt");
	spec.ops = str_of(ops);
	upload_bytes(&s->w, &spec, text, strlen(text), 100, u);
	assert_int_equal(u->code, 0);
}

static void wait_state(struct sealed_world *s, struct uuid file, enum job_state state)
{
	enum job_state now;

	do {
		struct arena a = ARENA_INIT;
		now = read_file(&s->w, file, &a).jobs[0].state;
		arena_release(&a);
		usleep(2000);
	} while (now != state);
}

static int64_t mono(void)
{
	return env_real.mono_ms(&env_real);
}

static void what_a_command_writes_is_stored_and_the_next_job_reads_it(void **state)
{
	struct sealed_world s;
	struct arena a = ARENA_INIT;
	struct intake_spec spec = PUBLIC_SPEC;
	struct upload u;
	struct err e = ERR_INIT;
	char text[20], hex[41], want[60] = "{\"sha1\":\"";
	int fd;

	open_sealed(&s);
	spec.name = STR("note.txt");
	spec.pipeline = STR("both");
	upload_bytes(&s.w, &spec, "hello", 5, 5, &u);
	assert_int_equal(u.code, 0);
	assert_true(wait_final(&s.w, u.id, 60000));
	struct file f = read_file(&s.w, u.id, &a);
	assert_int_equal(f.n_jobs, 2);
	assert_int_equal(f.jobs[0].state, JOB_SUCCEEDED);
	assert_int_equal(f.jobs[0].n_outputs, 1);
	assert_true(str_eq(f.jobs[0].outputs[0].name, STR("note.txt.up")));
	assert_true(str_eq(f.jobs[0].outputs[0].type, STR("text/plain")));
	assert_int_equal(open_output(&s.w, &f.jobs[0].outputs[0], &fd, &e), 0);
	assert_int_equal(read(fd, text, sizeof(text)), 5);
	assert_memory_equal(text, "HELLO", 5);
	close(fd);
	hex_of(hex, DIGEST_SHA1, "HELLO", 5);
	strcat(strcat(want, hex), "\"}");
	assert_int_equal(f.jobs[1].state, JOB_SUCCEEDED);
	assert_true(str_eq(f.jobs[1].result, str_of(want)));
	arena_release(&a);
	close_sealed(&s);
}

static void digests_of_small_and_large_files_are_right(void **state)
{
	static const size_t sizes[] = {0, 1, 4096, 32 << 10, (32 << 10) + 1, 300000, 3000000};
	struct sealed_world s;
	struct intake_spec spec = PUBLIC_SPEC;
	char *data = malloc(3000000), hex[2 * DIGEST_MAX + 1], want[200];

	fill_random(data, 3000000);
	open_sealed(&s);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct arena a = ARENA_INIT;
		struct upload u;
		struct intake *in;
		struct err e = ERR_INIT;

		upload_init(&u);
		assert_int_equal(intake_open(s.w.g, &spec, &in, &e), 0);
		assert_int_equal(upload_feed(in, &u, data, sizes[i], &e), 0);
		assert_int_equal(intake_set_ops(in, STR("md5, sha512, crc32c"), &e), 0); /* too late to ride along */
		upload_end(in, &u);
		assert_int_equal(u.code, 0);
		assert_true(wait_final(&s.w, u.id, 60000));
		struct file f = read_file(&s.w, u.id, &a);
		assert_int_equal(f.jobs[1].state, JOB_SUCCEEDED);
		hex_of(hex, DIGEST_SHA512, data, sizes[i]);
		strcat(strcat(strcpy(want, "{\"sha512\":\""), hex), "\"}");
		assert_true(str_eq(f.jobs[1].result, str_of(want)));
		arena_release(&a);
	}
	close_sealed(&s);
	free(data);
}

static void a_command_that_fails_leaves_its_status_with_the_job(void **state)
{
	struct sealed_world s;
	struct arena a = ARENA_INIT;
	struct upload u;

	open_sealed(&s);
	upload_with(&s, "fails", "hello", &u);
	assert_true(wait_final(&s.w, u.id, 60000));
	struct file f = read_file(&s.w, u.id, &a);
	assert_int_equal(f.jobs[0].state, JOB_FAILED);
	assert_int_equal(f.jobs[0].error, ERR_COMMAND_FAILED);
	assert_int_equal(f.jobs[0].attempt, 1);
	assert_non_null(f.jobs[0].result.p);
	assert_non_null(memmem(f.jobs[0].result.p, f.jobs[0].result.len, "\"exit_code\":1", 13));
	assert_int_equal(count_blobs(&s.w), 0);
	arena_release(&a);
	close_sealed(&s);
}

/* How long a cancel of a running job takes. */
static int64_t cancel_one(struct sealed_world *s)
{
	struct arena a = ARENA_INIT;
	struct upload u;
	struct runner_stats st;

	upload_with(s, "sleep;for=\"50\"", "hello", &u);
	wait_state(s, u.id, JOB_RUNNING);
	do {
		runner_stats(s->runner, &st);
		usleep(1000);
	} while (st.living < 1);
	struct file f = read_file(&s->w, u.id, &a);
	int64_t begun = mono();
	struct change c = {.kind = CHANGE_CANCEL_JOB, .job_ref = {.id = f.jobs[0].id, .owner = STR(OWNER_PUBLIC), .now = 1}};
	assert_int_equal(apply(&s->w, &c), 0);
	assert_true(wait_final(&s->w, u.id, 60000));
	int64_t took = mono() - begun;
	f = read_file(&s->w, u.id, &a);
	assert_int_equal(f.jobs[0].state, JOB_CANCELLED);
	arena_release(&a);
	return took;
}

/* 200 ms on a machine with nothing else to do; on a busy one now and then. */
static void who_is_cancelled_is_killed_at_once(void **state)
{
	struct sealed_world s;
	int64_t took;

	open_sealed(&s);
	for (int tries = 0; (took = cancel_one(&s)) > 1000 && tries < 20; tries++)
		;
	assert_in_range(took, 0, 1000);
	close_sealed(&s);
}

static void a_stop_does_not_wait_for_a_long_job(void **state)
{
	struct sealed_world s;
	struct arena a = ARENA_INIT;
	struct upload u;

	open_sealed(&s);
	upload_with(&s, "sleep;for=\"50\"", "hello", &u);
	wait_state(&s, u.id, JOB_RUNNING);
	int64_t begun = mono();
	world_stop(&s.w);
	assert_in_range(mono() - begun, 0, 30000);
	struct file f = read_file(&s.w, u.id, &a);
	assert_int_equal(f.jobs[0].state, JOB_QUEUED);
	assert_int_equal(f.jobs[0].attempt, 0);
	arena_release(&a);
	world_free(&s.w);
	close_sealed(&s);
}

static void a_job_outlives_the_zygote(void **state)
{
	struct sealed_world s;
	struct arena a = ARENA_INIT;
	struct upload u;
	struct runner_stats st;

	open_sealed(&s);
	upload_with(&s, "sleep;for=\"0.5\"", "hello", &u);
	wait_state(&s, u.id, JOB_RUNNING);
	do {
		runner_stats(s.runner, &st);
		usleep(1000);
	} while (st.living < 1);
	kill(st.zygote_pid, SIGKILL);
	assert_true(wait_final(&s.w, u.id, 60000));
	struct file f = read_file(&s.w, u.id, &a);
	assert_int_equal(f.jobs[0].state, JOB_SUCCEEDED);
	assert_in_range(f.jobs[0].attempt, 1, 2); /* 1: it had ended before the blow */
	runner_stats(s.runner, &st);
	assert_int_equal(st.zygotes, 2);
	arena_release(&a);
	close_sealed(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_command_writes_is_stored_and_the_next_job_reads_it),
		cmocka_unit_test(digests_of_small_and_large_files_are_right),
		cmocka_unit_test(a_command_that_fails_leaves_its_status_with_the_job),
		cmocka_unit_test(who_is_cancelled_is_killed_at_once),
		cmocka_unit_test(a_stop_does_not_wait_for_a_long_job),
		cmocka_unit_test(a_job_outlives_the_zygote),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
