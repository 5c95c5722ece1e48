#include "catalog/catalog_impl.h"
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int add_job(struct world *w, struct uuid file, const char *op, struct job *ret)
{
	struct arena a = ARENA_INIT;
	struct op_request r;
	struct err e = ERR_INIT;

	assert_int_equal(op_table_request_from_json(op_builtin_table(), &r, str_of(op), STR(""), &a, &e), 0);
	engine_new_job(w->g, ret, file, &r);
	struct change c = {.kind = CHANGE_ADD_JOBS, .add_jobs = {.owner = STR(OWNER_PUBLIC), .jobs = ret, .n = 1}};
	int rc = apply(w, &c);
	arena_release(&a);
	return rc;
}

static void check_result(struct world *w, struct uuid job, unsigned algo, const char *name, const void *data, size_t n)
{
	struct arena a = ARENA_INIT;
	struct job j;
	struct err e = ERR_INIT;
	char hex[2 * DIGEST_MAX + 1], want[200];

	assert_int_equal(catalog_job(w->catalog, job, 0, STR(OWNER_PUBLIC), &a, &j, &e), 0);
	assert_int_equal(j.state, JOB_SUCCEEDED);
	hex_of(hex, algo, data, n);
	snprintf(want, sizeof(want), "{\"%s\":\"%s\"}", name, hex);
	assert_int_equal(j.result.len, strlen(want));
	assert_memory_equal(j.result.p, want, strlen(want));
	assert_true(j.fence > 0 && j.attempt == 1);
	arena_release(&a);
}

static void a_digest_asked_for_later_runs_through_the_queue(void **state)
{
	static const size_t sizes[] = {0, 5, 4096, 100000, 1000000};
	struct world w = {};
	char *data = malloc(1000000);
	struct upload u;
	struct job job;

	fill_random(data, 1000000);
	world_open(&w, NULL);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		upload_bytes(&w, &PUBLIC_SPEC, data, sizes[i], 10000, &u);
		assert_int_equal(add_job(&w, u.id, "sha512", &job), 0);
		struct uuid id = job.id;
		assert_true(wait_final(&w, u.id, 60000));
		check_result(&w, id, DIGEST_SHA512, "sha512", data, sizes[i]);
	}
	world_close(&w);
	free(data);
}

static void ops_named_after_the_bytes_are_queued_and_done(void **state)
{
	struct world w = {};
	struct upload u;
	struct intake *in;
	struct err e = ERR_INIT;
	char *data = calloc(1, 50000);
	struct intake_spec spec = PUBLIC_SPEC;

	world_open(&w, NULL);
	upload_init(&u);
	assert_int_equal(intake_open(w.g, &spec, &in, &e), 0);
	assert_int_equal(upload_feed(in, &u, data, 50000, &e), 0);
	assert_int_equal(intake_set_ops(in, STR("crc32c, sha256"), &e), 0);
	upload_end(in, &u);
	assert_int_equal(u.code, 0);
	assert_int_equal(u.jobs, 2);
	assert_int_equal(u.queued, 1); /* SHA-256 always rides along */
	assert_true(wait_final(&w, u.id, 60000));
	world_close(&w);
	free(data);
}

static void the_same_job_again_is_answered_from_its_result(void **state)
{
	struct world w = {};
	struct upload u;
	struct job first, again;

	world_open(&w, NULL);
	upload_bytes(&w, &PUBLIC_SPEC, "abc", 3, 3, &u);
	assert_int_equal(add_job(&w, u.id, "sha1", &first), 0);
	assert_true(wait_final(&w, u.id, 60000));
	assert_int_equal(add_job(&w, u.id, "sha1", &again), 0);
	assert_int_equal(again.state, JOB_SUCCEEDED);
	assert_true(again.cached);
	world_close(&w);
}

static void a_storage_that_is_away_costs_no_attempt(void **state)
{
	struct world w = {};
	struct upload u;
	struct job job;
	char *data = calloc(1, 50000);

	world_open(&w, NULL);
	upload_bytes(&w, &PUBLIC_SPEC, data, 50000, 50000, &u);
	unsigned before = atomic_load(&w.plan.calls);
	atomic_store(&w.plan.code, ERR_STORAGE_UNAVAILABLE);
	atomic_store(&w.plan.sticky, true);
	atomic_store(&w.plan.fail_at, before + 1);
	assert_int_equal(add_job(&w, u.id, "sha1", &job), 0);
	while (atomic_load(&w.plan.calls) < before + 4) /* more often than an op is tried */
		usleep(1000);
	atomic_store(&w.plan.fail_at, 0);
	assert_true(wait_final(&w, u.id, 60000));
	struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	assert_int_equal(catalog_job(w.catalog, job.id, 0, STR(OWNER_PUBLIC), &a, &job, &e), 0);
	assert_int_equal(job.state, JOB_SUCCEEDED);
	assert_int_equal(job.attempt, 1);
	arena_release(&a);
	world_close(&w);
	free(data);
}

static void a_thousand_jobs_all_become_final_once(void **state)
{
	struct world w = {};
	struct upload u[50];
	struct job job;
	struct catalog_stats st;

	world_open(&w, NULL);
	for (int i = 0; i < 50; i++) {
		char text[20];
		int n = snprintf(text, sizeof(text), "file %d", i);
		upload_bytes(&w, &PUBLIC_SPEC, text, (size_t)n, 20, &u[i]);
	}
	for (int i = 0; i < 50; i++)
		for (int k = 0; k < 4; k++)
			assert_int_equal(add_job(&w, u[i].id, k == 0 ? "sha1" : k == 1 ? "sha256" : k == 2 ? "sha512" : "crc32c", &job), 0);
	for (int i = 0; i < 50; i++)
		assert_true(wait_final(&w, u[i].id, 60000));
	assert_int_equal(catalog_stats(w.catalog, INT64_MAX, &st, NULL), 0);
	assert_int_equal(st.jobs_waiting + st.jobs_running, 0);
	assert_int_equal(st.jobs_final[JOB_SUCCEEDED], 250);
	world_close(&w);
}

static void a_wait_ends_at_its_deadline_and_at_a_stop(void **state)
{
	struct world w = {};
	struct upload u;
	struct arena a = ARENA_INIT;
	struct op_request r;
	struct job job;
	struct err e = ERR_INIT;

	world_open(&w, NULL);
	upload_bytes(&w, &PUBLIC_SPEC, "abc", 3, 3, &u);
	assert_int_equal(op_table_request_from_json(op_builtin_table(), &r, STR("sha1"), STR(""), &a, &e), 0);
	engine_new_job(w.g, &job, u.id, &r);
	job.run_at += 3600000;
	struct change c = {.kind = CHANGE_ADD_JOBS, .add_jobs = {.owner = STR(OWNER_PUBLIC), .jobs = &job, .n = 1}};
	assert_int_equal(apply(&w, &c), 0);
	assert_false(wait_final(&w, u.id, 30));
	engine_quiesce(w.g);
	assert_false(wait_final(&w, u.id, 3600000));
	arena_release(&a);
	world_close(&w);
}

static void a_waiting_job_can_be_cancelled_and_tried_again(void **state)
{
	struct world w = {};
	struct upload u;
	struct arena a = ARENA_INIT;
	struct op_request r;
	struct job job;
	struct err e = ERR_INIT;

	world_open(&w, NULL);
	upload_bytes(&w, &PUBLIC_SPEC, "abc", 3, 3, &u);
	assert_int_equal(op_table_request_from_json(op_builtin_table(), &r, STR("sha1"), STR(""), &a, &e), 0);
	engine_new_job(w.g, &job, u.id, &r);
	job.run_at += 3600000;
	struct uuid id = job.id;
	struct change c = {.kind = CHANGE_ADD_JOBS, .add_jobs = {.owner = STR(OWNER_PUBLIC), .jobs = &job, .n = 1}};
	assert_int_equal(apply(&w, &c), 0);
	struct change_job_ref ref = {.id = id, .owner = STR(OWNER_PUBLIC), .now = job.created_at};
	struct change cancel = {.kind = CHANGE_CANCEL_JOB, .job_ref = ref}, twice = cancel;
	assert_int_equal(apply(&w, &cancel), 0);
	assert_int_equal(apply(&w, &twice), ERR_JOB_STATE);
	assert_true(wait_final(&w, u.id, 0));
	struct change retry = {.kind = CHANGE_RETRY_JOB, .job_ref = ref};
	assert_int_equal(apply(&w, &retry), 0);
	assert_true(wait_final(&w, u.id, 60000));
	check_result(&w, id, DIGEST_SHA1, "sha1", "abc", 3);
	arena_release(&a);
	world_close(&w);
}

static void a_deleted_files_bytes_go(void **state)
{
	struct world w = {};
	struct upload u;
	char *data = calloc(1, 100000);

	world_open(&w, NULL);
	upload_bytes(&w, &PUBLIC_SPEC, data, 100000, 100000, &u);
	assert_int_equal(count_blobs(&w), 1);
	struct change c = {.kind = CHANGE_DELETE_FILE, .delete_file = {.id = u.id, .owner = STR(OWNER_PUBLIC), .now = 1}};
	assert_int_equal(apply(&w, &c), 0);
	for (int i = 0; i < 60000 && count_blobs(&w) > 0; i++)
		assert_int_equal(engine_ready(w.g, &(struct err){}),
				 0); /* passes through the committer: time for the janitor without a sleep */
	assert_int_equal(count_blobs(&w), 0);
	world_close(&w);
	free(data);
}

static void damaged_bytes_make_a_failed_job_not_a_wrong_result(void **state)
{
	struct world w = {};
	struct upload u;
	struct job job;
	struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	char *data = calloc(1, 100000), id[UUID_TEXT_LEN + 1], name[BLOB_NAME_MAX + 1];
	struct blob_writer *bw;

	world_open(&w, NULL);
	upload_bytes(&w, &PUBLIC_SPEC, data, 100000, 100000, &u);
	uuid_format(id, u.id);
	blob_name_for_file(name, STR(OWNER_PUBLIC), id);
	assert_int_equal(blob_remove(w.blobs, str_of(name), &e), 0);
	assert_int_equal(blob_create(w.blobs, str_of(name), 0, &bw, &e), 0);
	data[5] = 1;
	assert_int_equal(blob_append(bw, data, 100000, &e), 0);
	assert_int_equal(blob_commit(bw, &e), 0);
	assert_int_equal(add_job(&w, u.id, "sha512", &job), 0);
	struct uuid jid = job.id;
	assert_true(wait_final(&w, u.id, 60000));
	assert_int_equal(catalog_job(w.catalog, jid, 0, STR(OWNER_PUBLIC), &a, &job, &e), 0);
	assert_int_equal(job.state, JOB_FAILED);
	assert_int_equal(job.error, ERR_DAMAGED);
	arena_release(&a);
	world_close(&w);
	free(data);
}

struct told {
	pthread_mutex_t lock;
	int64_t last;
	unsigned n, refuse;
};

static int tell(void *arg, const struct job *job)
{
	struct told *t = arg;
	int rc = 0;

	pthread_mutex_lock(&t->lock);
	if (t->refuse > 0) {
		t->refuse--;
		rc = -1;
	} else {
		t->n++;
		t->last = job->number;
	}
	pthread_mutex_unlock(&t->lock);
	return rc;
}

static void every_final_job_is_told_in_order_also_after_refusals(void **state)
{
	struct told t = {.lock = PTHREAD_MUTEX_INITIALIZER, .refuse = 1};
	struct engine_config c = world_config();
	struct world w = {};
	struct upload u;

	c.outbox = tell;
	c.outbox_arg = &t;
	world_open(&w, &c);
	for (int i = 0; i < 20; i++)
		upload_bytes(&w, &PUBLIC_SPEC, "abc", 3, 3, &u);
	world_stop(&w); /* tells the rest */
	assert_int_equal(t.n, 20);
	assert_int_equal(t.last, 20);
	world_free(&w);
}

/* Striking out what was told fails once, as on a disk that is full for a while. */
static const struct catalog_ops *real_ops;
static struct catalog_ops failing_ops;
static _Atomic unsigned strikes;

static int fail_first_strike(struct catalog *c, struct change *const *changes, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++)
		if (changes[i]->kind == CHANGE_OUTBOX_DONE && atomic_fetch_add(&strikes, 1) == 0)
			return err_set(e, ERR_STORAGE_FULL, "injected");
	return real_ops->apply(c, changes, n, e);
}

static void let_first_strike_fail(struct catalog *c)
{
	atomic_store(&strikes, 0);
	real_ops = c->ops;
	failing_ops = *c->ops;
	failing_ops.apply = fail_first_strike;
	c->ops = &failing_ops;
}

static void what_was_told_is_not_told_again_because_striking_it_out_failed(void **state)
{
	struct told t = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct engine_config c = world_config();
	struct world w = {.prepare = let_first_strike_fail};
	struct upload u;

	c.outbox = tell;
	c.outbox_arg = &t;
	world_open(&w, &c);
	upload_bytes(&w, &PUBLIC_SPEC, "abc", 3, 3, &u);
	while (atomic_load(&strikes) < 2)
		usleep(1000);
	world_stop(&w);
	assert_int_equal(t.n, 1);
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_digest_asked_for_later_runs_through_the_queue),
		cmocka_unit_test(ops_named_after_the_bytes_are_queued_and_done),
		cmocka_unit_test(the_same_job_again_is_answered_from_its_result),
		cmocka_unit_test(a_storage_that_is_away_costs_no_attempt),
		cmocka_unit_test(a_thousand_jobs_all_become_final_once),
		cmocka_unit_test(a_wait_ends_at_its_deadline_and_at_a_stop),
		cmocka_unit_test(a_waiting_job_can_be_cancelled_and_tried_again),
		cmocka_unit_test(a_deleted_files_bytes_go),
		cmocka_unit_test(damaged_bytes_make_a_failed_job_not_a_wrong_result),
		cmocka_unit_test(what_was_told_is_not_told_again_because_striking_it_out_failed),
		cmocka_unit_test(every_final_job_is_told_in_order_also_after_refusals),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
