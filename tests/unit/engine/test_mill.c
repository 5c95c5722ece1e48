/* What becomes of claimed jobs, with a runner in the test's hand. */
#include "engine/engine_impl.h"
#include "tame.h"
#include "world.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A back-off at its floor, and a wall clock that can be put forward. */
static _Atomic int64_t ahead_ms;
static _Atomic bool no_jitter;

static int64_t wall_ahead(struct env *e)
{
	return env_real.wall_ms(&env_real) + atomic_load(&ahead_ms);
}

static uint64_t no_random(struct env *e)
{
	return atomic_load(&no_jitter) ? 0 : env_real.random(&env_real);
}

static struct env test_env;

struct mill_world {
	struct world w;
	struct tame *t;
};

static void open_with(struct mill_world *m, struct engine_config c)
{
	test_env = env_real;
	test_env.wall_ms = wall_ahead;
	test_env.random = no_random;
	atomic_store(&ahead_ms, 0);
	atomic_store(&no_jitter, false);
	*m = (struct mill_world){.w = {.env = &test_env}};
	tame_new(&m->t);
	c.runner = tame_runner(m->t);
	c.default_ops = "";
	world_open(&m->w, &c);
}

static void open_mill(struct mill_world *m)
{
	open_with(m, world_config());
}

static void close_mill(struct mill_world *m)
{
	world_close(&m->w);
	runner_free(tame_runner(m->t));
}

static struct uuid store(struct mill_world *m, const char *text)
{
	struct upload u;

	upload_bytes(&m->w, &PUBLIC_SPEC, text, strlen(text), 100, &u);
	assert_int_equal(u.code, 0);
	return u.id;
}

static struct uuid store_large(struct mill_world *m)
{
	char *data = calloc(1, 200000);
	struct upload u;

	upload_bytes(&m->w, &PUBLIC_SPEC, data, 200000, 50000, &u);
	assert_int_equal(u.code, 0);
	free(data);
	return u.id;
}

/* Adds the jobs of a list to a file, all or nothing. ret_ids NULL = not wanted. */
static void add_list(struct mill_world *m, struct uuid file, const char *list, struct uuid *ret_ids)
{
	struct arena a = ARENA_INIT;
	struct op_request *ops;
	struct job jobs[8];
	struct err e = ERR_INIT;
	size_t n;

	assert_int_equal(op_table_parse_list(op_builtin_table(), &ops, &n, str_of(list), &a, &e), 0);
	assert_true(n <= ARRAY_LEN(jobs));
	engine_new_jobs(m->w.g, jobs, file, ops, n);
	for (size_t i = 0; ret_ids != NULL && i < n; i++)
		ret_ids[i] = jobs[i].id;
	struct change c = {.kind = CHANGE_ADD_JOBS, .add_jobs = {.owner = STR(OWNER_PUBLIC), .jobs = jobs, .n = n}};
	assert_int_equal(apply(&m->w, &c), 0);
	arena_release(&a);
}

static struct uuid add(struct mill_world *m, struct uuid file, const char *op)
{
	struct uuid id;

	add_list(m, file, op, &id);
	return id;
}

static struct job look(struct mill_world *m, struct uuid id, struct arena *a)
{
	struct job j;
	struct err e = ERR_INIT;

	assert_int_equal(catalog_job(m->w.catalog, id, 0, STR(OWNER_PUBLIC), a, &j, &e), 0);
	return j;
}

static enum job_state state_of(struct mill_world *m, struct uuid id)
{
	struct arena a = ARENA_INIT;
	enum job_state s = look(m, id, &a).state;

	arena_release(&a);
	return s;
}

static void cancel(struct mill_world *m, struct uuid id)
{
	struct change c = {.kind = CHANGE_CANCEL_JOB, .job_ref = {.id = id, .owner = STR(OWNER_PUBLIC), .now = 1}};

	assert_int_equal(apply(&m->w, &c), 0);
}

static void wait_all(struct mill_world *m, const struct uuid *files, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_true(wait_final(&m->w, files[i], 60000));
}

/* Until so many works follow another one. */
static void wait_following(struct mill_world *m, unsigned n)
{
	struct scheduler *s = &m->w.g->scheduler;

	for (unsigned following = 0; following != n; usleep(1000)) {
		following = 0;
		pthread_mutex_lock(&s->lock);
		for (struct work *w = s->works; w != NULL; w = w->next)
			following += w->leader != NULL;
		pthread_mutex_unlock(&s->lock);
	}
}

/* ---- batches ---- */

static void digests_of_small_files_run_in_batches(void **state)
{
	enum { FILES = 150 };
	struct mill_world m;
	struct uuid files[FILES];
	struct tame_counts c;

	open_mill(&m);
	tame_set(m.t, (struct tame_plan){.hold = true});
	for (int i = 0; i < FILES; i++) {
		char text[20];
		snprintf(text, sizeof(text), "file %d", i);
		files[i] = store(&m, text);
		add(&m, files[i], "md5");
	}
	tame_wait_held(m.t, 1);
	tame_set(m.t, (struct tame_plan){});
	wait_all(&m, files, FILES);
	c = tame_counts(m.t);
	assert_int_equal(c.jobs, FILES);
	assert_in_range(c.largest, 20, RUNNER_BATCH_MAX);
	close_mill(&m);
}

static void digests_of_a_large_file_share_its_descriptor(void **state)
{
	struct mill_world m;

	open_mill(&m);
	struct uuid file = store_large(&m);
	add_list(&m, file, "md5, sha1, sha512", NULL);
	assert_true(wait_final(&m.w, file, 60000));
	struct tame_counts c = tame_counts(m.t);
	assert_int_equal(c.begun, 1);
	assert_int_equal(c.jobs, 3);
	assert_int_equal(c.shared, 2);
	close_mill(&m);
}

static void of_a_batch_only_the_cancelled_job_suffers(void **state)
{
	struct mill_world m;
	struct arena a = ARENA_INIT;
	struct uuid files[5], ids[5];
	struct op_request r;
	struct job rows[5];

	open_mill(&m);
	tame_set(m.t, (struct tame_plan){.hold = true});
	assert_int_equal(op_table_request_from_json(op_builtin_table(), &r, STR("sha512"), STR(""), &a, NULL), 0);
	for (int i = 0; i < 5; i++) {
		char text[20];
		snprintf(text, sizeof(text), "file %d", i);
		files[i] = store(&m, text);
		engine_new_job(m.w.g, &rows[i], files[i], &r);
		ids[i] = rows[i].id;
	}
	/* all in one change, so that one claim takes them */
	struct change c = {.kind = CHANGE_ADD_JOBS, .add_jobs = {.owner = STR(OWNER_PUBLIC), .jobs = rows, .n = 5}};
	assert_int_equal(apply(&m.w, &c), 0);
	tame_wait_held(m.t, 1);
	cancel(&m, ids[2]);
	assert_true(wait_final(&m.w, files[2], 60000)); /* while the others are held */
	assert_int_equal(state_of(&m, ids[2]), JOB_CANCELLED);
	assert_int_equal(state_of(&m, ids[1]), JOB_RUNNING);
	tame_set(m.t, (struct tame_plan){});
	wait_all(&m, files, 5);
	for (int i = 0; i < 5; i++) {
		struct job j = look(&m, ids[i], &a);
		assert_int_equal(j.state, i == 2 ? JOB_CANCELLED : JOB_SUCCEEDED);
		assert_int_equal(j.attempt, 1);
	}
	assert_int_equal(tame_counts(m.t).begun, 2);
	arena_release(&a);
	close_mill(&m);
}

/* ---- failures ---- */

static void a_failure_that_may_pass_is_tried_again_until_attempts_are_used_up(void **state)
{
	struct mill_world m;
	struct arena a = ARENA_INIT;

	open_mill(&m);
	atomic_store(&no_jitter, true);
	tame_set(m.t, (struct tame_plan){.code = ERR_RUNNER_LOST, .times = 2});
	struct uuid file = store(&m, "abc"), job = add(&m, file, "md5");
	assert_true(wait_final(&m.w, file, 60000));
	struct job j = look(&m, job, &a);
	assert_int_equal(j.state, JOB_SUCCEEDED);
	assert_int_equal(j.attempt, 3);

	tame_set(m.t, (struct tame_plan){.code = ERR_RUNNER_LOST, .times = 3});
	file = store(&m, "abcd");
	job = add(&m, file, "md5");
	assert_true(wait_final(&m.w, file, 60000));
	j = look(&m, job, &a);
	assert_int_equal(j.state, JOB_FAILED);
	assert_int_equal(j.error, ERR_RUNNER_LOST);
	assert_int_equal(j.attempt, 3);
	arena_release(&a);
	close_mill(&m);
}

static void a_failure_that_stays_is_final_with_its_code_detail_and_result(void **state)
{
	struct mill_world m;
	struct arena a = ARENA_INIT;

	open_mill(&m);
	tame_set(m.t, (struct tame_plan){.code = ERR_COMMAND_FAILED, .times = 1, .result = "{\"exit_code\":7}"});
	struct uuid file = store(&m, "abc"), job = add(&m, file, "gzip");
	assert_true(wait_final(&m.w, file, 60000));
	struct job j = look(&m, job, &a);
	assert_int_equal(j.state, JOB_FAILED);
	assert_int_equal(j.error, ERR_COMMAND_FAILED);
	assert_true(str_eq(j.error_detail, STR("as the test wants it")));
	assert_true(str_eq(j.result, STR("{\"exit_code\":7}")));
	assert_int_equal(j.attempt, 1);
	assert_int_equal(count_blobs(&m.w), 0);
	arena_release(&a);
	close_mill(&m);
}

static void a_runner_that_cannot_be_had_costs_no_attempt(void **state)
{
	static const int codes[] = {ERR_RUNNER_UNAVAILABLE, ERR_OVERLOADED};

	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		struct mill_world m;
		struct arena a = ARENA_INIT;

		open_mill(&m);
		tame_set(m.t, (struct tame_plan){.code = codes[i], .times = 1});
		struct uuid file = store(&m, "abc"), job = add(&m, file, "md5");
		assert_true(wait_final(&m.w, file, 60000));
		struct job j = look(&m, job, &a);
		assert_int_equal(j.state, JOB_SUCCEEDED);
		assert_int_equal(j.attempt, 1);
		assert_int_equal(tame_counts(m.t).begun, 2);
		arena_release(&a);
		close_mill(&m);
	}
}

static void a_running_job_is_given_back_when_the_server_stops(void **state)
{
	struct mill_world m;

	open_mill(&m);
	tame_set(m.t, (struct tame_plan){.hold = true});
	struct uuid file = store(&m, "abc"), job = add(&m, file, "gzip");
	struct uuid other = add(&m, store(&m, "abc"), "gzip");
	tame_wait_held(m.t, 1);
	wait_following(&m, 1);
	world_stop(&m.w);
	struct arena a = ARENA_INIT;
	assert_int_equal(look(&m, job, &a).state, JOB_QUEUED);
	assert_int_equal(look(&m, job, &a).attempt, 0);
	assert_int_equal(look(&m, other, &a).state, JOB_QUEUED);
	assert_int_equal(look(&m, other, &a).attempt, 0);
	arena_release(&a);
	world_free(&m.w);
	runner_free(tame_runner(m.t));
}

/* ---- outputs ---- */

static void read_output(struct mill_world *m, const struct output *o, char *dst, size_t max)
{
	struct err e = ERR_INIT;
	int fd;

	assert_int_equal(open_output(&m->w, o, &fd, &e), 0);
	ssize_t n = read(fd, dst, max - 1);
	assert_int_equal(n, o->size);
	dst[n] = '\0';
	close(fd);
}

static void an_output_is_stored_and_described(void **state)
{
	struct mill_world m;
	struct arena a = ARENA_INIT;
	char text[100], hex[65], want[65];

	open_mill(&m);
	struct uuid file = store(&m, "abc"), job = add(&m, file, "gzip");
	assert_true(wait_final(&m.w, file, 60000));
	struct job j = look(&m, job, &a);
	assert_int_equal(j.state, JOB_SUCCEEDED);
	assert_int_equal(j.n_outputs, 1);
	assert_true(str_eq(j.outputs[0].name, STR("file.gz")));
	assert_true(str_eq(j.outputs[0].type, STR("text/plain")));
	assert_int_equal(j.outputs[0].size, 11);
	hex_of(want, DIGEST_SHA256, "made of abc", 11);
	hex_encode(hex, j.outputs[0].sha256, 32);
	assert_string_equal(hex, want);
	read_output(&m, &j.outputs[0], text, sizeof(text));
	assert_string_equal(text, "made of abc");
	arena_release(&a);
	close_mill(&m);
}

static void an_output_that_was_begun_anew_is_not_mixed_with_what_came_before(void **state)
{
	struct mill_world m;
	struct arena a = ARENA_INIT;
	char text[100];

	open_mill(&m);
	tame_set(m.t, (struct tame_plan){.anew = true, .times = 1});
	struct uuid file = store(&m, "abc"), job = add(&m, file, "gzip");
	assert_true(wait_final(&m.w, file, 60000));
	struct job j = look(&m, job, &a);
	assert_int_equal(j.state, JOB_SUCCEEDED);
	read_output(&m, &j.outputs[0], text, sizeof(text));
	assert_string_equal(text, "made of abc");
	assert_int_equal(count_blobs(&m.w), 1);
	arena_release(&a);
	close_mill(&m);
}

static void an_attempt_that_another_overtook_leaves_no_output(void **state)
{
	struct mill_world m;
	struct arena a = ARENA_INIT;
	struct engine_config c = world_config();
	char text[100];

	c.job_threads = 2;
	open_with(&m, c);
	tame_set(m.t, (struct tame_plan){.hold_end = true});
	struct uuid file = store(&m, "abc"), job = add(&m, file, "zip");
	tame_wait_held(m.t, 1);
	struct change r = {.kind = CHANGE_RECLAIM, .reclaim = {.all = true, .now = wall_ahead(NULL)}};
	assert_int_equal(apply(&m.w, &r), 0);
	assert_int_equal(r.reclaim.reclaimed, 1);
	tame_set(m.t, (struct tame_plan){});
	assert_true(wait_final(&m.w, file, 60000));
	struct job j = look(&m, job, &a);
	assert_int_equal(j.state, JOB_SUCCEEDED);
	read_output(&m, &j.outputs[0], text, sizeof(text));
	while (count_blobs(&m.w) > 1)
		usleep(1000);
	assert_int_equal(count_blobs(&m.w), 1);
	arena_release(&a);
	close_mill(&m);
}

/* Every store call of an output fails in turn: the job is not blamed, and in the end there is one whole output. */
static void the_stores_trouble_is_not_the_jobs(void **state)
{
	unsigned faults = 0;

	for (unsigned n = 1;; n++) {
		struct mill_world m;
		struct arena a = ARENA_INIT;
		char text[100];

		open_mill(&m);
		struct uuid file = store(&m, "abc");
		while (atomic_load(&m.w.plan.calls) == 0) /* the first sweep, which is not to be the one that fails */
			usleep(1000);
		m.w.plan.code = ERR_STORAGE_FULL;
		unsigned before = m.w.plan.calls;
		m.w.plan.fail_at = before + n;
		struct uuid job = add(&m, file, "gzip");
		tame_wait_ended(m.t, 1);
		while (state_of(&m, job) == JOB_RUNNING)
			usleep(1000);
		bool hit = m.w.plan.calls >= before + n;
		m.w.plan.fail_at = 0;
		atomic_store(&ahead_ms, 60000);
		struct uuid other = store(&m, "wakes the scheduler, whose time was changed");
		add(&m, other, "md5");
		assert_true(wait_final(&m.w, file, 60000) && wait_final(&m.w, other, 60000));
		struct job j = look(&m, job, &a);
		assert_int_equal(j.state, JOB_SUCCEEDED);
		assert_int_equal(j.attempt, 1);
		read_output(&m, &j.outputs[0], text, sizeof(text));
		assert_string_equal(text, "made of abc");
		faults += tame_counts(m.t).jobs > 2;
		arena_release(&a);
		close_mill(&m);
		if (!hit)
			break;
	}
	assert_in_range(faults, 3, 10); /* create, append, commit */
}

static void put_output(struct mill_world *m, struct uuid job, int64_t fence, unsigned n)
{
	struct err e = ERR_INIT;
	struct blob_writer *w;
	char name[BLOB_NAME_MAX + 1], id[UUID_TEXT_LEN + 1];

	uuid_format(id, job);
	blob_name_for_output(name, STR(OWNER_PUBLIC), id, fence, n);
	assert_int_equal(blob_create(m->w.blobs, str_of(name), 0, &w, &e), 0);
	assert_int_equal(blob_append(w, "garbage", 7, &e), 0);
	assert_int_equal(blob_commit(w, &e), 0);
}

static unsigned wait_blobs(struct mill_world *m, unsigned n)
{
	for (int i = 0; i < 60000 && count_blobs(&m->w) > n; i++)
		usleep(1000);
	return count_blobs(&m->w);
}

static void the_sweep_leaves_what_an_attempt_in_hand_wrote_and_takes_what_nobody_wants(void **state)
{
	struct mill_world m;
	struct arena a = ARENA_INIT;
	struct engine_config c = world_config();
	char text[100];

	c.sweep_every_ms = 1;
	open_with(&m, c);
	tame_set(m.t, (struct tame_plan){.hold_end = true});
	struct uuid file = store(&m, "abc"), job = add(&m, file, "gzip");
	tame_wait_held(m.t, 1);
	put_output(&m, job, 1, 1); /* of the attempt in hand */
	put_output(&m, job, 0, 1); /* of one before it */
	put_output(&m, engine_new_id(m.w.g), 1, 1); /* of no job */
	assert_int_equal(wait_blobs(&m, 1), 1);
	tame_set(m.t, (struct tame_plan){});
	assert_true(wait_final(&m.w, file, 60000));
	struct job j = look(&m, job, &a);
	assert_int_equal(j.state, JOB_SUCCEEDED);
	assert_int_equal(wait_blobs(&m, 1), 1);
	read_output(&m, &j.outputs[0], text, sizeof(text));
	arena_release(&a);
	close_mill(&m);
}

/* ---- equal work ---- */

static void equal_work_in_flight_runs_once(void **state)
{
	struct mill_world m;
	struct arena a = ARENA_INIT;
	struct uuid files[4], jobs[4];

	open_mill(&m);
	tame_set(m.t, (struct tame_plan){.hold = true});
	for (int i = 0; i < 4; i++) {
		files[i] = store(&m, "the same bytes");
		jobs[i] = add(&m, files[i], "gzip");
	}
	wait_following(&m, 3);
	tame_set(m.t, (struct tame_plan){});
	wait_all(&m, files, 4);
	assert_int_equal(tame_counts(m.t).begun, 1);
	struct job first = look(&m, jobs[0], &a);
	for (int i = 0; i < 4; i++) {
		struct job j = look(&m, jobs[i], &a);
		assert_int_equal(j.state, JOB_SUCCEEDED);
		assert_int_equal(j.cached, i > 0);
		assert_int_equal(j.n_outputs, 1);
		assert_true(str_eq(j.outputs[0].blob, first.outputs[0].blob));
		assert_true(str_eq(j.result, STR("{\"made\":true}")));
	}
	assert_int_equal(count_blobs(&m.w), 1);
	arena_release(&a);
	close_mill(&m);
}

/* A zip has its file's name in it. */
static void equal_bytes_under_another_name_are_other_work_where_the_name_is_in_it(void **state)
{
	struct mill_world m;
	struct arena a = ARENA_INIT;
	struct uuid files[2], jobs[2];

	open_mill(&m);
	for (int i = 0; i < 2; i++) {
		struct intake_spec spec = PUBLIC_SPEC;
		struct upload u;

		spec.name = i ? STR("b.txt") : STR("a.txt");
		upload_bytes(&m.w, &spec, "the same bytes", 14, 100, &u);
		assert_int_equal(u.code, 0);
		files[i] = u.id;
		jobs[i] = add(&m, files[i], "zip");
		assert_true(wait_final(&m.w, files[i], 60000));
	}
	assert_int_equal(tame_counts(m.t).begun, 2);
	for (int i = 0; i < 2; i++) {
		struct job j = look(&m, jobs[i], &a);

		assert_false(j.cached);
		assert_int_equal(j.n_outputs, 1);
		assert_true(str_eq(j.outputs[0].name, i ? STR("b.txt.zip") : STR("a.txt.zip")));
	}
	arena_release(&a);
	close_mill(&m);
}

static void who_follows_fails_alike_when_trying_again_would_not_help(void **state)
{
	struct mill_world m;
	struct arena a = ARENA_INIT;
	struct uuid files[3], jobs[3];

	open_mill(&m);
	tame_set(m.t, (struct tame_plan){.hold = true});
	for (int i = 0; i < 3; i++) {
		files[i] = store(&m, "the same bytes");
		jobs[i] = add(&m, files[i], "gzip");
	}
	wait_following(&m, 2);
	tame_set(m.t, (struct tame_plan){.code = ERR_TRUNCATED, .times = 1});
	wait_all(&m, files, 3);
	assert_int_equal(tame_counts(m.t).begun, 1);
	for (int i = 0; i < 3; i++) {
		struct job j = look(&m, jobs[i], &a);
		assert_int_equal(j.state, JOB_FAILED);
		assert_int_equal(j.error, ERR_TRUNCATED);
		assert_true(str_eq(j.error_detail, STR("as the test wants it")));
	}
	arena_release(&a);
	close_mill(&m);
}

static void who_follows_runs_when_its_leader_is_cancelled(void **state)
{
	struct mill_world m;
	struct uuid files[3], jobs[3];

	open_mill(&m);
	tame_set(m.t, (struct tame_plan){.hold = true});
	for (int i = 0; i < 3; i++) {
		files[i] = store(&m, "the same bytes");
		jobs[i] = add(&m, files[i], "gzip");
	}
	wait_following(&m, 2);
	tame_wait_held(m.t, 1);
	cancel(&m, jobs[0]);
	tame_wait_ended(m.t, 1);
	tame_wait_held(m.t, 1); /* another one leads */
	assert_int_equal(state_of(&m, jobs[1]), JOB_RUNNING);
	assert_int_equal(state_of(&m, jobs[2]), JOB_RUNNING);
	tame_set(m.t, (struct tame_plan){});
	wait_all(&m, files, 3);
	assert_int_equal(state_of(&m, jobs[0]), JOB_CANCELLED);
	assert_int_equal(state_of(&m, jobs[1]), JOB_SUCCEEDED);
	assert_int_equal(state_of(&m, jobs[2]), JOB_SUCCEEDED);
	assert_int_equal(tame_counts(m.t).begun, 2);
	close_mill(&m);
}

static void who_follows_can_be_cancelled_by_itself(void **state)
{
	struct mill_world m;
	struct uuid files[3], jobs[3];

	open_mill(&m);
	tame_set(m.t, (struct tame_plan){.hold = true});
	for (int i = 0; i < 3; i++) {
		files[i] = store(&m, "the same bytes");
		jobs[i] = add(&m, files[i], "gzip");
	}
	wait_following(&m, 2);
	tame_wait_held(m.t, 1);
	cancel(&m, jobs[1]);
	assert_true(wait_final(&m.w, files[1], 60000)); /* while its leader is held */
	assert_int_equal(state_of(&m, jobs[1]), JOB_CANCELLED);
	assert_int_equal(state_of(&m, jobs[0]), JOB_RUNNING);
	tame_set(m.t, (struct tame_plan){});
	wait_all(&m, files, 3);
	assert_int_equal(state_of(&m, jobs[2]), JOB_SUCCEEDED);
	assert_int_equal(tame_counts(m.t).begun, 1);
	close_mill(&m);
}

static void a_retry_of_the_leader_hands_the_lead_over(void **state)
{
	struct mill_world m;
	struct arena a = ARENA_INIT;
	struct uuid files[2], jobs[2];

	open_mill(&m);
	atomic_store(&no_jitter, true);
	tame_set(m.t, (struct tame_plan){.hold = true});
	for (int i = 0; i < 2; i++) {
		files[i] = store(&m, "the same bytes");
		jobs[i] = add(&m, files[i], "zstd");
	}
	wait_following(&m, 1);
	tame_set(m.t, (struct tame_plan){.code = ERR_RUNNER_CRASHED, .times = 1});
	wait_all(&m, files, 2);
	struct job j = look(&m, jobs[1], &a);
	assert_int_equal(j.state, JOB_SUCCEEDED);
	assert_int_equal(j.attempt, 1);
	j = look(&m, jobs[0], &a); /* found the other's result when it came again */
	assert_int_equal(j.state, JOB_SUCCEEDED);
	assert_true(j.cached);
	assert_int_equal(j.attempt, 2);
	assert_int_equal(tame_counts(m.t).begun, 2);
	arena_release(&a);
	close_mill(&m);
}

static void deleting_a_file_stops_its_jobs_and_leaves_no_output(void **state)
{
	struct mill_world m;

	open_mill(&m);
	tame_set(m.t, (struct tame_plan){.hold_end = true});
	struct uuid file = store(&m, "abc"), job = add(&m, file, "gzip");
	tame_wait_held(m.t, 1);
	struct change c = {.kind = CHANGE_DELETE_FILE, .delete_file = {.id = file, .owner = STR(OWNER_PUBLIC), .now = 1}};
	assert_int_equal(apply(&m.w, &c), 0);
	tame_wait_ended(m.t, 1); /* though nobody lets it go */
	while (scheduler_inhand(m.w.g, job, 1))
		usleep(1000);
	assert_int_equal(count_blobs(&m.w), 0);
	close_mill(&m);
}

/* ---- chains ---- */

static void a_chained_job_works_on_the_output_of_the_one_before(void **state)
{
	struct mill_world m;
	struct arena a = ARENA_INIT;
	struct uuid jobs[3];
	char text[100], hex[33], want[60];

	open_mill(&m);
	struct uuid file = store(&m, "abc");
	add_list(&m, file, "gzip, zip;after=gzip, md5;after=zip", jobs);
	assert_true(wait_final(&m.w, file, 60000));
	struct job zip = look(&m, jobs[1], &a), md5 = look(&m, jobs[2], &a);
	assert_int_equal(zip.state, JOB_SUCCEEDED);
	read_output(&m, &zip.outputs[0], text, sizeof(text));
	assert_string_equal(text, "made of "); /* the tame runner gives inline bytes only */
	hex_of(hex, DIGEST_MD5, text, strlen(text));
	snprintf(want, sizeof(want), "{\"md5\":\"%s\"}", hex);
	assert_int_equal(md5.state, JOB_SUCCEEDED);
	assert_true(str_eq(md5.result, str_of(want)));
	arena_release(&a);
	close_mill(&m);
}

static void what_comes_after_a_failed_job_fails_with_it(void **state)
{
	struct mill_world m;
	struct arena a = ARENA_INIT;
	struct uuid jobs[3];

	open_mill(&m);
	tame_set(m.t, (struct tame_plan){.code = ERR_TRUNCATED, .times = 1});
	struct uuid file = store(&m, "abc");
	add_list(&m, file, "gzip, zip;after=gzip, md5;after=zip", jobs);
	assert_true(wait_final(&m.w, file, 60000));
	assert_int_equal(look(&m, jobs[0], &a).error, ERR_TRUNCATED);
	assert_int_equal(look(&m, jobs[1], &a).error, ERR_INPUT_FAILED);
	assert_int_equal(look(&m, jobs[2], &a).error, ERR_INPUT_FAILED);
	assert_int_equal(tame_counts(m.t).begun, 1);
	arena_release(&a);
	close_mill(&m);
}

static void an_upload_may_bring_chained_ops(void **state)
{
	struct mill_world m;
	struct arena a = ARENA_INIT;
	struct upload u;
	struct intake_spec spec = PUBLIC_SPEC;

	open_mill(&m);
	spec.ops = STR("md5, gzip, md5;after=gzip");
	upload_bytes(&m.w, &spec, "abc", 3, 3, &u);
	assert_int_equal(u.code, 0);
	assert_int_equal(u.jobs, 3);
	assert_int_equal(u.queued, 2); /* the first MD5 rode along, the other one has to wait for its bytes */
	assert_true(wait_final(&m.w, u.id, 60000));
	struct file f = read_file(&m.w, u.id, &a);
	assert_true(uuid_eq(f.jobs[2].after, f.jobs[1].id));
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(f.jobs[i].state, JOB_SUCCEEDED);
	assert_false(str_eq(f.jobs[0].result, f.jobs[2].result));
	arena_release(&a);
	close_mill(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(digests_of_small_files_run_in_batches),
		cmocka_unit_test(digests_of_a_large_file_share_its_descriptor),
		cmocka_unit_test(of_a_batch_only_the_cancelled_job_suffers),
		cmocka_unit_test(a_failure_that_may_pass_is_tried_again_until_attempts_are_used_up),
		cmocka_unit_test(a_failure_that_stays_is_final_with_its_code_detail_and_result),
		cmocka_unit_test(a_runner_that_cannot_be_had_costs_no_attempt),
		cmocka_unit_test(a_running_job_is_given_back_when_the_server_stops),
		cmocka_unit_test(an_output_is_stored_and_described),
		cmocka_unit_test(an_output_that_was_begun_anew_is_not_mixed_with_what_came_before),
		cmocka_unit_test(an_attempt_that_another_overtook_leaves_no_output),
		cmocka_unit_test(the_stores_trouble_is_not_the_jobs),
		cmocka_unit_test(the_sweep_leaves_what_an_attempt_in_hand_wrote_and_takes_what_nobody_wants),
		cmocka_unit_test(equal_work_in_flight_runs_once),
		cmocka_unit_test(equal_bytes_under_another_name_are_other_work_where_the_name_is_in_it),
		cmocka_unit_test(who_follows_fails_alike_when_trying_again_would_not_help),
		cmocka_unit_test(who_follows_runs_when_its_leader_is_cancelled),
		cmocka_unit_test(who_follows_can_be_cancelled_by_itself),
		cmocka_unit_test(a_retry_of_the_leader_hands_the_lead_over),
		cmocka_unit_test(deleting_a_file_stops_its_jobs_and_leaves_no_output),
		cmocka_unit_test(a_chained_job_works_on_the_output_of_the_one_before),
		cmocka_unit_test(what_comes_after_a_failed_job_fails_with_it),
		cmocka_unit_test(an_upload_may_bring_chained_ops),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
