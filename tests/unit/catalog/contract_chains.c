/* The contract, sixth part: jobs that come after other jobs. */
#include "world.h"

#include <stdio.h>
#include <string.h>

/* File n with jobs "resize", "gzip", "zip", each after the one before it. */
static void add_chain(struct world *w, unsigned n)
{
	struct built b;

	build_file(&b, n);
	build_job(&b, "resize");
	build_after(&b, "gzip", &b.jobs[0]);
	build_after(&b, "zip", &b.jobs[1]);
	must_apply(w, &b.change);
	assert_int_equal(b.jobs[0].run_at, NOW);
	assert_int_equal(b.jobs[1].run_at, RUN_AT_HELD);
	assert_int_equal(b.jobs[2].run_at, RUN_AT_HELD);
}

static struct job claim_one(struct world *w, struct uuid worker, unsigned id)
{
	struct change_claim c = claim(w, worker, 10, NOW + 1000);

	assert_int_equal(c.n, 1);
	assert_id(c.jobs[0].job.id, id);
	return c.jobs[0].job;
}

static void assert_ended(struct world *w, unsigned id, enum job_state state, int error)
{
	struct job j = read_job(w, id);

	assert_int_equal(j.state, state);
	assert_int_equal(j.error, error);
	assert_true(j.finished_at > 0);
	assert_true(j.error_detail.len > 0);
}

static int64_t next_run_at(struct world *w)
{
	int64_t at = 0;

	assert_int_equal(catalog_next_run_at(w->c, &at, &w->err), 0);
	return at;
}

static void a_job_after_another_is_held(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct job_filter jobs = {.owner = OWNER, .state = JOB_QUEUED};
	struct job j, *list;
	int64_t next;
	size_t n;

	add_chain(w, 1);
	j = read_job(w, job_id(1, 1));
	assert_int_equal(j.state, JOB_QUEUED);
	assert_int_equal(j.run_at, RUN_AT_HELD);
	assert_id(j.after, job_id(1, 0));
	assert_true(uuid_is_zero(read_job(w, job_id(1, 0)).after));
	assert_id(read_file(w, 1).jobs[2].after, job_id(1, 1));
	assert_int_equal(catalog_list_jobs(w->c, &jobs, (struct page){.limit = 10}, &w->arena, &list, &n, &next, &w->err), 0);
	assert_int_equal(n, 3);
	assert_id(list[0].after, job_id(1, 1));
	assert_int_equal(stats(w, NOW).jobs_waiting, 3);
	assert_int_equal(stats(w, NOW).oldest_waiting_at, NOW);
	assert_int_equal(next_run_at(w), NOW);
	claim_one(w, worker, job_id(1, 0));
	assert_int_equal(claim(w, worker, 10, NOW + 10000).n, 0);
	assert_int_equal(stats(w, NOW + 10000).jobs_waiting, 2);
	assert_int_equal(stats(w, NOW + 10000).oldest_waiting_at, 0);
	assert_int_equal(next_run_at(w), INT64_MAX);
}

static void a_held_job_works_on_the_first_output_of_the_one_before(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct change_claim c;
	char blob[BLOB_MAX];
	uint32_t ready = 99;
	struct job job;

	add_chain(w, 1);
	job = claim_one(w, worker, job_id(1, 0));
	assert_int_equal(finish_with_outputs(w, &job, worker, 2, &ready), 0);
	assert_int_equal(ready, 1);
	assert_int_equal(read_job(w, job_id(1, 1)).run_at, NOW + 20); /* when that one ended */
	assert_int_equal(next_run_at(w), NOW + 20);
	c = claim(w, worker, 10, NOW + 20);
	assert_int_equal(c.n, 1);
	assert_id(c.jobs[0].job.id, job_id(1, 1));
	assert_id(c.jobs[0].job.after, job_id(1, 0));
	assert_id(c.jobs[0].job.file, 1);
	assert_str(c.jobs[0].owner, OWNER_PUBLIC);
	assert_str(c.jobs[0].name, "out 0.webp");
	assert_str(c.jobs[0].type, "image/webp");
	assert_int_equal(c.jobs[0].size, UINT64_C(6000000000));
	assert_memory_equal(c.jobs[0].sha256, read_job(w, job_id(1, 0)).outputs[0].sha256, 32);
	assert_int_equal(c.jobs[0].location, LOCATION_FILE);
	assert_true(str_eq(c.jobs[0].blob, output_blob(job.id, job.fence, 0, blob)));
	assert_int_equal(finish_with_outputs(w, &c.jobs[0].job, worker, 1, &ready), 0);
	assert_int_equal(ready, 1);
	job = claim_one(w, worker, job_id(1, 2));
	assert_int_equal(finish_with_outputs(w, &job, worker, 1, &ready), 0);
	assert_int_equal(ready, 0);
	assert_int_equal(stats(w, NOW).jobs_final[JOB_SUCCEEDED], 3);
	assert_int_equal(stats(w, NOW).jobs_waiting, 0);
}

static void a_claim_brings_the_files_name_type_and_blob(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct change_claim c;
	char name[BLOB_MAX];
	struct built b;

	add_file_with_job(w, 1, "md5");
	build_file(&b, 2);
	b.file.location = LOCATION_FILE;
	b.change.add_file.bytes = (struct str){};
	build_job(&b, "md5");
	must_apply(w, &b.change);
	c = claim(w, worker, 2, NOW);
	assert_str(c.jobs[0].name, "file 1.bin");
	assert_str(c.jobs[0].type, "text/plain");
	assert_int_equal(c.jobs[0].location, LOCATION_INLINE);
	assert_null(c.jobs[0].blob.p);
	assert_str(c.jobs[1].name, "file 2.bin");
	assert_int_equal(c.jobs[1].location, LOCATION_FILE);
	assert_true(str_eq(c.jobs[1].blob, blob_of(2, name)));
}

static void several_jobs_may_come_after_one(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	uint32_t ready;
	struct built b;
	struct job job;

	build_file(&b, 1);
	build_job(&b, "resize");
	build_after(&b, "gzip", &b.jobs[0]);
	build_after(&b, "zip", &b.jobs[0]);
	build_job(&b, "md5");
	must_apply(w, &b.change);
	job = claim(w, worker, 1, NOW).jobs[0].job;
	assert_int_equal(finish_with_outputs(w, &job, worker, 1, &ready), 0);
	assert_int_equal(ready, 2);
	assert_int_equal(claim(w, worker, 10, NOW + 20).n, 3);
}

/* ---- ends that are passed on ---- */

static void a_failure_ends_the_whole_chain(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct outbox_entry *told;
	struct job job;
	size_t n;

	world_restart(w, (struct catalog_options){.outbox = true});
	worker = first_beat(w, 500, NOW + 15000);
	add_chain(w, 1);
	add_chain(w, 2);
	job = claim(w, worker, 1, NOW).jobs[0].job;
	assert_int_equal(finish(w, &job, worker, JOB_FAILED), 0);
	assert_ended(w, job_id(1, 0), JOB_FAILED, ERR_OP_FAILED);
	assert_ended(w, job_id(1, 1), JOB_FAILED, ERR_INPUT_FAILED);
	assert_ended(w, job_id(1, 2), JOB_FAILED, ERR_INPUT_FAILED);
	assert_int_equal(read_job(w, job_id(1, 1)).finished_at, NOW + 20);
	assert_int_equal(read_job(w, job_id(1, 1)).attempt, 0);
	assert_int_equal(stats(w, NOW).jobs_final[JOB_FAILED], 3);
	assert_int_equal(stats(w, NOW).jobs_waiting, 3); /* the other file's */
	assert_int_equal(stats(w, NOW).jobs_running, 0);
	assert_int_equal(catalog_outbox(w->c, 0, 10, &w->arena, &told, &n, &w->err), 0);
	assert_int_equal(n, 3);
	assert_id(told[1].job.after, job_id(1, 0));
}

static void success_without_an_output_is_a_failure_for_those_behind(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	uint32_t ready = 99;
	struct job job;

	add_chain(w, 1);
	job = claim_one(w, worker, job_id(1, 0));
	assert_int_equal(finish_with_outputs(w, &job, worker, 0, &ready), 0);
	assert_int_equal(ready, 0);
	assert_int_equal(read_job(w, job_id(1, 0)).state, JOB_SUCCEEDED);
	assert_ended(w, job_id(1, 1), JOB_FAILED, ERR_INPUT_FAILED);
	assert_ended(w, job_id(1, 2), JOB_FAILED, ERR_INPUT_FAILED);
	assert_int_equal(retry_job(w, job_id(1, 1)), ERR_JOB_STATE); /* there will never be anything to work on */
}

static void a_cancelled_job_takes_the_chain_along(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	char blob[BLOB_MAX];
	struct job job;

	add_chain(w, 1);
	assert_int_equal(cancel_job(w, job_id(1, 0), NULL), 0); /* waiting */
	for (unsigned i = 0; i < 3; i++)
		assert_ended(w, job_id(1, i), JOB_CANCELLED, ERR_CANCELLED);
	assert_int_equal(read_job(w, job_id(1, 2)).finished_at, NOW + 50);
	add_chain(w, 2);
	assert_int_equal(cancel_job(w, job_id(2, 1), NULL), 0); /* held */
	assert_int_equal(read_job(w, job_id(2, 0)).state, JOB_QUEUED);
	assert_ended(w, job_id(2, 2), JOB_CANCELLED, ERR_CANCELLED);
	job = claim_one(w, worker, job_id(2, 0));
	assert_int_equal(finish_with_outputs(w, &job, worker, 1, NULL), 0); /* nobody is left to become ready */
	add_chain(w, 3);
	job = claim_one(w, worker, job_id(3, 0));
	assert_int_equal(cancel_job(w, job_id(3, 0), NULL), 0); /* running */
	assert_int_equal(read_job(w, job_id(3, 1)).state, JOB_QUEUED); /* until the attempt ends */
	assert_int_equal(finish_with_outputs(w, &job, worker, 1, NULL), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_ended(w, job_id(3, i), JOB_CANCELLED, ERR_CANCELLED);
	assert_true(doomed(w, output_blob(job.id, job.fence, 0, blob)));
	assert_int_equal(stats(w, NOW).jobs_waiting, 0);
}

static void a_quarantined_job_fails_the_chain(void **state)
{
	struct world *w = *state;

	add_chain(w, 1);
	for (unsigned i = 0; i < LOSSES_MAX; i++) {
		assert_int_equal(read_job(w, job_id(1, 1)).run_at, RUN_AT_HELD);
		claim_one(w, first_beat(w, 500 + i, NOW + 5000), job_id(1, 0));
		reclaim(w, NOW + 5000, false);
	}
	assert_int_equal(read_job(w, job_id(1, 0)).state, JOB_QUARANTINED);
	assert_ended(w, job_id(1, 1), JOB_FAILED, ERR_INPUT_FAILED);
	assert_ended(w, job_id(1, 2), JOB_FAILED, ERR_INPUT_FAILED);
	assert_int_equal(retry_job(w, job_id(1, 0)), 0);
	assert_int_equal(read_job(w, job_id(1, 2)).run_at, RUN_AT_HELD);
}

static void a_job_that_is_tried_again_by_itself_keeps_the_chain_waiting(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct job job;

	add_chain(w, 1);
	job = claim_one(w, worker, job_id(1, 0));
	assert_int_equal(finish(w, &job, worker, JOB_QUEUED), 0);
	assert_int_equal(read_job(w, job_id(1, 1)).run_at, RUN_AT_HELD);
	assert_int_equal(stats(w, NOW).jobs_waiting, 3);
	job = claim_one(w, worker, job_id(1, 0));
	assert_int_equal(finish_with_outputs(w, &job, worker, 1, NULL), 0);
	claim_one(w, worker, job_id(1, 1));
}

static void a_deleted_file_ends_its_chains(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct job job;

	add_chain(w, 1);
	add_chain(w, 2);
	job = claim(w, worker, 1, NOW).jobs[0].job;
	assert_int_equal(delete_file(w, 1), 0); /* the first job runs */
	assert_int_equal(delete_file(w, 2), 0);
	assert_int_equal(stats(w, NOW).jobs_final[JOB_CANCELLED], 5);
	assert_int_equal(finish_with_outputs(w, &job, worker, 1, NULL), 0);
	assert_int_equal(stats(w, NOW).jobs_final[JOB_CANCELLED], 6);
	assert_int_equal(stats(w, NOW).jobs_waiting, 0);
	assert_int_equal(purge(w, NOW + 1000, 10), 0);
	assert_int_equal(file_code(w, 1), ERR_FILE_NOT_FOUND);
}

static void a_chain_may_be_as_long_as_a_file_has_jobs(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	static struct job jobs[JOBS_A_FILE_MAX];
	struct job job;

	add_file(w, 1);
	for (unsigned i = 0; i < JOBS_A_FILE_MAX; i++) {
		jobs[i] = new_job(1000 + i, 1, "zip");
		if (i)
			jobs[i].after = jobs[i - 1].id;
	}
	assert_int_equal(add_jobs(w, jobs, 600, NULL), 0);
	assert_int_equal(add_jobs(w, jobs + 600, JOBS_A_FILE_MAX - 600, NULL), 0);
	job = claim_one(w, worker, 1000);
	assert_int_equal(finish(w, &job, worker, JOB_FAILED), 0);
	assert_ended(w, 1000 + JOBS_A_FILE_MAX - 1, JOB_FAILED, ERR_INPUT_FAILED);
	assert_int_equal(stats(w, NOW).jobs_final[JOB_FAILED], JOBS_A_FILE_MAX);
	assert_int_equal(retry_job(w, 1000), 0);
	assert_int_equal(read_job(w, 1000 + JOBS_A_FILE_MAX - 1).run_at, RUN_AT_HELD);
	assert_int_equal(stats(w, NOW).jobs_waiting, JOBS_A_FILE_MAX);
	assert_int_equal(cancel_job(w, 1000, NULL), 0);
	assert_int_equal(stats(w, NOW).jobs_final[JOB_CANCELLED], JOBS_A_FILE_MAX);
	assert_int_equal(stats(w, NOW).jobs_waiting, 0);
}

/* ---- by hand ---- */

static void a_retry_holds_those_again_that_failed_for_want_of_it(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct job job, j;

	add_chain(w, 1);
	job = claim_one(w, worker, job_id(1, 0));
	assert_int_equal(finish_with_outputs(w, &job, worker, 1, NULL), 0);
	job = claim_one(w, worker, job_id(1, 1));
	assert_int_equal(finish(w, &job, worker, JOB_FAILED), 0);
	assert_int_equal(retry_job(w, job_id(1, 2)), ERR_JOB_STATE); /* the one before it has not succeeded */
	assert_ended(w, job_id(1, 2), JOB_FAILED, ERR_INPUT_FAILED);
	assert_int_equal(retry_job(w, job_id(1, 1)), 0);
	assert_int_equal(read_job(w, job_id(1, 1)).run_at, NOW + 60); /* its own input is there */
	j = read_job(w, job_id(1, 2));
	assert_int_equal(j.state, JOB_QUEUED);
	assert_int_equal(j.run_at, RUN_AT_HELD);
	assert_int_equal(j.error, 0);
	assert_int_equal(j.finished_at, 0);
	assert_int_equal(stats(w, NOW).jobs_waiting, 2);
	job = claim_one(w, worker, job_id(1, 1));
	assert_int_equal(job.fence, 2);
	assert_int_equal(finish_with_outputs(w, &job, worker, 1, NULL), 0);
	job = claim_one(w, worker, job_id(1, 2));
	assert_int_equal(finish_with_outputs(w, &job, worker, 1, NULL), 0);
	assert_int_equal(stats(w, NOW).jobs_final[JOB_SUCCEEDED], 3);
}

static void a_retry_does_not_bring_back_what_was_cancelled(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct job job;

	add_chain(w, 1);
	assert_int_equal(cancel_job(w, job_id(1, 1), NULL), 0);
	job = claim_one(w, worker, job_id(1, 0));
	assert_int_equal(finish(w, &job, worker, JOB_FAILED), 0);
	assert_int_equal(retry_job(w, job_id(1, 0)), 0);
	assert_int_equal(read_job(w, job_id(1, 1)).state, JOB_CANCELLED);
	assert_int_equal(retry_job(w, job_id(1, 1)), ERR_JOB_STATE);
	job = claim_one(w, worker, job_id(1, 0));
	assert_int_equal(finish_with_outputs(w, &job, worker, 1, NULL), 0);
	assert_int_equal(retry_job(w, job_id(1, 1)), 0); /* now it has something to work on */
	assert_int_equal(retry_job(w, job_id(1, 2)), ERR_JOB_STATE);
	job = claim_one(w, worker, job_id(1, 1));
	assert_int_equal(finish_with_outputs(w, &job, worker, 1, NULL), 0);
}

/* ---- jobs on stored files ---- */

static int add_after(struct world *w, unsigned id, unsigned file, unsigned after, struct job *ret)
{
	struct job job = new_job(id, file, "zip");
	int r;

	job.after = test_id(after);
	r = add_jobs(w, &job, 1, NULL);
	*ret = job;
	return r;
}

static void a_job_is_added_after_one_that_is_there(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct job job, added;

	add_file_with_job(w, 1, "resize");
	assert_int_equal(add_after(w, 1000, 1, job_id(1, 0), &added), 0); /* waiting */
	assert_int_equal(added.run_at, RUN_AT_HELD);
	assert_int_equal(added.state, JOB_QUEUED);
	job = claim_one(w, worker, job_id(1, 0));
	assert_int_equal(add_after(w, 1001, 1, job_id(1, 0), &added), 0); /* running */
	assert_int_equal(read_job(w, 1001).run_at, RUN_AT_HELD);
	assert_int_equal(add_after(w, 1002, 1, 1001, &added), 0); /* held */
	assert_int_equal(read_job(w, 1002).run_at, RUN_AT_HELD);
	assert_int_equal(finish_with_outputs(w, &job, worker, 1, NULL), 0);
	assert_int_equal(add_after(w, 1003, 1, job_id(1, 0), &added), 0); /* succeeded */
	assert_int_equal(added.run_at, NOW);
	assert_id(read_job(w, 1003).after, job_id(1, 0));
	assert_int_equal(claim(w, worker, 10, NOW + 20).n, 3);
}

static void a_job_comes_after_what_can_still_bring_an_input_and_nothing_else(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct job job, jobs[2];
	struct built b;
	size_t failed;

	add_file_with_job(w, 1, "resize");
	add_file(w, 2);
	build_file(&b, 3);
	b.file.owner = STR("somebody else");
	build_job(&b, "resize");
	must_apply(w, &b.change);
	assert_int_equal(add_after(w, 1000, 1, 4711, &job), ERR_JOB_NOT_FOUND);
	assert_int_equal(add_after(w, 1000, 1, job_id(3, 0), &job), ERR_JOB_NOT_FOUND); /* somebody else's */
	assert_int_equal(add_after(w, 1000, 1, 1000, &job), ERR_JOB_NOT_FOUND); /* itself */
	assert_int_equal(add_after(w, 1000, 2, job_id(1, 0), &job), ERR_JOB_STATE); /* another file's */
	job = claim(w, worker, 1, NOW).jobs[0].job;
	assert_int_equal(cancel_job(w, job_id(1, 0), NULL), 0);
	assert_int_equal(add_after(w, 1000, 1, job_id(1, 0), &jobs[0]), ERR_JOB_STATE); /* about to be cancelled */
	assert_int_equal(finish(w, &job, worker, JOB_FAILED), 0);
	assert_int_equal(add_after(w, 1000, 1, job_id(1, 0), &jobs[0]), ERR_JOB_STATE); /* cancelled */
	jobs[0] = new_job(1001, 2, "resize");
	jobs[1] = new_job(1002, 1, "zip");
	jobs[1].after = test_id(1001);
	assert_int_equal(add_jobs(w, jobs, 2, &failed), ERR_JOB_STATE); /* another file's in the same list */
	assert_int_equal(failed, 1);
	jobs[0] = new_job(1001, 2, "zip");
	jobs[1] = new_job(1002, 2, "resize");
	jobs[0].after = test_id(1002);
	assert_int_equal(add_jobs(w, jobs, 2, &failed), ERR_JOB_NOT_FOUND); /* further down in the list */
	assert_int_equal(failed, 0);
	assert_int_equal(job_code(w, 1002), ERR_JOB_NOT_FOUND);
	build_file(&b, 4);
	build_fused(&b, "md5", "{}");
	must_apply(w, &b.change);
	assert_int_equal(add_after(w, 1000, 4, job_id(4, 0), &job), ERR_JOB_STATE); /* succeeded without an output */
	assert_int_equal(job_code(w, 1000), ERR_JOB_NOT_FOUND);
}

static void a_chain_is_added_in_one_list(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct job jobs[3], job;

	add_file(w, 1);
	for (unsigned i = 0; i < 3; i++) {
		jobs[i] = new_job(1000 + i, 1, "zip");
		if (i)
			jobs[i].after = jobs[i - 1].id;
	}
	assert_int_equal(add_jobs(w, jobs, 3, NULL), 0);
	assert_int_equal(jobs[0].run_at, NOW);
	assert_int_equal(jobs[2].run_at, RUN_AT_HELD);
	job = claim_one(w, worker, 1000);
	assert_int_equal(finish_with_outputs(w, &job, worker, 1, NULL), 0);
	claim_one(w, worker, 1001);
}

static void an_upload_brings_only_chains_of_its_own(void **state)
{
	struct world *w = *state;
	struct built b;

	add_file_with_job(w, 1, "resize");
	build_file(&b, 2);
	build_job(&b, "gzip")->after = test_id(job_id(1, 0));
	assert_int_equal(apply1(w, &b.change), ERR_INVALID_VALUE);
	assert_string_equal(b.change.err.field, "after");
	build_file(&b, 2);
	build_job(&b, "gzip")->after = test_id(job_id(2, 1)); /* further down */
	build_job(&b, "resize");
	assert_int_equal(apply1(w, &b.change), ERR_INVALID_VALUE);
	build_file(&b, 2);
	build_job(&b, "resize");
	build_fused(&b, "md5", "{}")->after = b.jobs[0].id; /* what is done cannot wait */
	assert_int_equal(apply1(w, &b.change), ERR_INVALID_VALUE);
	build_file(&b, 2);
	build_job(&b, "resize")->run_at = RUN_AT_HELD; /* for whom? */
	assert_int_equal(apply1(w, &b.change), ERR_INVALID_VALUE);
	build_file(&b, 2);
	build_fused(&b, "md5", "{}");
	build_after(&b, "gzip", &b.jobs[0]); /* has no output */
	assert_int_equal(apply1(w, &b.change), ERR_JOB_STATE);
	assert_int_equal(file_code(w, 2), ERR_FILE_NOT_FOUND);
	assert_int_equal(stats(w, NOW).jobs_waiting, 1);
}

static void held_jobs_take_room_in_the_queue(void **state)
{
	struct world *w = *state;
	struct built b;

	world_restart(w, (struct catalog_options){.queue_max = 2});
	build_file(&b, 1);
	build_job(&b, "resize");
	build_after(&b, "gzip", &b.jobs[0]);
	build_after(&b, "zip", &b.jobs[1]);
	assert_int_equal(apply1(w, &b.change), ERR_QUEUE_FULL);
	b.file.n_jobs = 2;
	must_apply(w, &b.change);
	assert_int_equal(stats(w, NOW).jobs_waiting, 2);
}

/* ---- work done before ---- */

static void run_chain(struct world *w, struct uuid worker, unsigned file)
{
	for (unsigned i = 0; i < 3; i++) {
		struct job job = claim_one(w, worker, job_id(file, i));

		assert_int_equal(finish_with_outputs(w, &job, worker, 1, NULL), 0);
	}
}

static void a_whole_chain_is_answered_from_earlier_work(void **state)
{
	struct world *w = *state;
	struct job jobs[2];
	struct built b;

	add_chain(w, 1);
	run_chain(w, first_beat(w, 500, NOW + 15000), 1);
	build_same_bytes(&b, 2, 1);
	build_job(&b, "resize");
	build_after(&b, "gzip", &b.jobs[0]);
	build_after(&b, "zip", &b.jobs[1]);
	build_after(&b, "zstd", &b.jobs[2]); /* nobody did that yet */
	must_apply(w, &b.change);
	for (unsigned i = 0; i < 3; i++) {
		struct job read = read_job(w, job_id(2, i));

		assert_true(b.jobs[i].cached);
		assert_true(read.cached);
		assert_int_equal(read.state, JOB_SUCCEEDED);
		assert_true(str_eq(read.outputs[0].blob, read_job(w, job_id(1, i)).outputs[0].blob));
	}
	assert_int_equal(b.jobs[3].state, JOB_QUEUED);
	assert_int_equal(b.jobs[3].run_at, NOW);
	assert_int_equal(stats(w, NOW).jobs_waiting, 1);
	assert_int_equal(delete_file(w, 1), 0);
	assert_int_equal(doomed_count(w), 0);
	jobs[0] = new_job(1000, 2, "resize");
	jobs[1] = new_job(1001, 2, "zip");
	jobs[1].after = jobs[0].id;
	assert_int_equal(add_jobs(w, jobs, 2, NULL), 0);
	assert_true(jobs[0].cached); /* done on this file */
	assert_false(jobs[1].cached); /* "zip" of the resized one was done by nobody */
	assert_int_equal(jobs[1].run_at, NOW);
}

/* The same op on the file and on another job's output is other work. */
static void work_on_an_output_is_not_taken_for_work_on_the_file(void **state)
{
	struct world *w = *state;
	struct job job = new_job(1000, 1, "gzip"), other = new_job(1001, 2, "gzip");
	struct uuid worker = first_beat(w, 500, NOW + 15000), found = {};
	struct built b;

	add_chain(w, 1);
	run_chain(w, worker, 1);
	assert_int_equal(add_jobs(w, &job, 1, NULL), 0);
	assert_false(job.cached);
	build_same_bytes(&b, 2, 1);
	must_apply(w, &b.change);
	assert_int_equal(add_jobs(w, &other, 1, NULL), 0);
	assert_false(other.cached);
	assert_int_equal(
		catalog_artifact(w->c, OWNER, STR("gzip"), 1, STR("{}"), read_job(w, job_id(1, 0)).outputs[0].sha256, &found, &w->err), 0);
	assert_id(found, job_id(1, 1)); /* by the bytes it worked on it is found */
	assert_int_equal(cancel_job(w, 1001, NULL), 0);
	job = claim_one(w, worker, 1000);
	assert_int_equal(finish_same_as(w, &job, worker, test_id(job_id(1, 1))), ERR_CONFLICT);
}

static void a_job_on_equal_outputs_takes_over_what_another_did(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct job first, second;
	struct built b;

	for (unsigned i = 1; i <= 2; i++) {
		build_same_bytes(&b, i, 1);
		build_job(&b, "resize");
		build_after(&b, "gzip", &b.jobs[0]);
		must_apply(w, &b.change);
	}
	first = claim(w, worker, 1, NOW).jobs[0].job;
	second = claim(w, worker, 1, NOW).jobs[0].job;
	assert_int_equal(finish_with_outputs(w, &first, worker, 1, NULL), 0);
	assert_int_equal(finish_same_as(w, &second, worker, first.id), 0);
	assert_int_equal(read_job(w, job_id(2, 1)).run_at, NOW + 30); /* ready as after any success */
	first = claim(w, worker, 1, NOW + 100).jobs[0].job;
	second = claim(w, worker, 1, NOW + 100).jobs[0].job;
	assert_id(second.id, job_id(2, 1));
	assert_int_equal(finish_with_outputs(w, &first, worker, 1, NULL), 0);
	assert_int_equal(finish_same_as(w, &second, worker, first.id), 0);
	assert_true(read_job(w, job_id(2, 1)).cached);
	assert_int_equal(delete_file(w, 1), 0);
	assert_int_equal(doomed_count(w), 0);
	assert_int_equal(delete_file(w, 2), 0);
	assert_int_equal(doomed_count(w), 2);
}

const struct named_test contract_chains[] = {
	NAMED(a_job_after_another_is_held),
	NAMED(a_held_job_works_on_the_first_output_of_the_one_before),
	NAMED(a_claim_brings_the_files_name_type_and_blob),
	NAMED(several_jobs_may_come_after_one),
	NAMED(a_failure_ends_the_whole_chain),
	NAMED(success_without_an_output_is_a_failure_for_those_behind),
	NAMED(a_cancelled_job_takes_the_chain_along),
	NAMED(a_quarantined_job_fails_the_chain),
	NAMED(a_job_that_is_tried_again_by_itself_keeps_the_chain_waiting),
	NAMED(a_deleted_file_ends_its_chains),
	NAMED(a_chain_may_be_as_long_as_a_file_has_jobs),
	NAMED(a_retry_holds_those_again_that_failed_for_want_of_it),
	NAMED(a_retry_does_not_bring_back_what_was_cancelled),
	NAMED(a_job_is_added_after_one_that_is_there),
	NAMED(a_job_comes_after_what_can_still_bring_an_input_and_nothing_else),
	NAMED(a_chain_is_added_in_one_list),
	NAMED(an_upload_brings_only_chains_of_its_own),
	NAMED(held_jobs_take_room_in_the_queue),
	NAMED(a_whole_chain_is_answered_from_earlier_work),
	NAMED(work_on_an_output_is_not_taken_for_work_on_the_file),
	NAMED(a_job_on_equal_outputs_takes_over_what_another_did),
	{},
};
