/* The contract, third part: jobs added later, work that is not done twice, cancelling, retrying, the outbox, the queue's limit. */
#include "world.h"

static void jobs_are_added_to_stored_files(void **state)
{
	struct world *w = *state;
	struct job jobs[2];

	add_file(w, 1);
	add_file(w, 2);
	jobs[0] = new_job(1000, 1, "md5");
	jobs[1] = new_job(1001, 2, "sha1");
	assert_int_equal(add_jobs(w, jobs, 2, NULL), 0);
	assert_int_equal(jobs[0].number, 1);
	assert_int_equal(jobs[1].number, 2);
	assert_int_equal(jobs[1].file_number, 2);
	assert_int_equal(jobs[0].state, JOB_QUEUED);
	assert_false(jobs[0].cached);
	assert_int_equal(read_job(w, 1000).state, JOB_QUEUED);
	assert_str(read_job(w, 1001).op, "sha1");
	assert_int_equal(read_file(w, 2).n_jobs, 1);
	assert_int_equal(stats(w, NOW).jobs_waiting, 2);
}

static void jobs_are_added_all_or_none(void **state)
{
	struct world *w = *state;
	struct job jobs[3];
	size_t failed = 99;

	add_file(w, 1);
	add_file(w, 2);
	assert_int_equal(delete_file(w, 2), 0);
	jobs[0] = new_job(1000, 1, "md5");
	jobs[1] = new_job(1001, 1, "sha1");
	jobs[2] = new_job(1002, 3, "md5");
	assert_int_equal(add_jobs(w, jobs, 3, &failed), ERR_FILE_NOT_FOUND);
	assert_int_equal(failed, 2);
	jobs[1] = new_job(1001, 2, "sha1");
	assert_int_equal(add_jobs(w, jobs, 3, &failed), ERR_FILE_GONE);
	assert_int_equal(failed, 1);
	jobs[1] = new_job(1000, 1, "sha1"); /* an id twice in one change */
	assert_int_equal(add_jobs(w, jobs, 2, NULL), ERR_CONFLICT);
	jobs[1] = new_job(1001, 1, "sha1");
	jobs[1].priority = 8;
	assert_int_equal(add_jobs(w, jobs, 2, &failed), ERR_INVALID_VALUE);
	assert_int_equal(failed, 1);
	assert_int_equal(job_code(w, 1000), ERR_JOB_NOT_FOUND);
	assert_int_equal(stats(w, NOW).jobs_waiting, 0);
}

static void another_owners_file_takes_no_jobs(void **state)
{
	struct world *w = *state;
	struct job job = new_job(1000, 1, "md5");
	struct change ch = {.kind = CHANGE_ADD_JOBS, .add_jobs = {.owner = STR("somebody else"), .jobs = &job, .n = 1, .arena = &w->arena}};

	add_file(w, 1);
	assert_int_equal(apply1(w, &ch), ERR_FILE_NOT_FOUND);
}

/* ---- work that is not done twice ---- */

static void work_done_on_this_file_is_answered_from_its_result(void **state)
{
	struct world *w = *state;
	struct built b;
	struct job job, back;

	build_file(&b, 1);
	build_fused(&b, "md5", "{\"md5\":\"aa\"}");
	must_apply(w, &b.change);
	job = new_job(1000, 1, "md5");
	assert_int_equal(add_jobs(w, &job, 1, NULL), 0);
	assert_true(job.cached);
	assert_int_equal(job.state, JOB_SUCCEEDED);
	assert_str(job.result, "{\"md5\":\"aa\"}");
	back = read_job(w, 1000);
	assert_true(back.cached);
	assert_int_equal(back.state, JOB_SUCCEEDED);
	assert_str(back.result, "{\"md5\":\"aa\"}");
	assert_int_equal(back.attempt, 0);
	assert_int_equal(back.finished_at, NOW + 200);
	assert_int_equal(stats(w, NOW).jobs_waiting, 0);
}

static void without_an_arena_the_result_holds_until_the_next_batch(void **state)
{
	struct world *w = *state;
	struct job job = new_job(1000, 1, "md5");
	struct change ch = {.kind = CHANGE_ADD_JOBS, .add_jobs = {.owner = OWNER, .jobs = &job, .n = 1}};
	struct built b;

	build_file(&b, 1);
	build_fused(&b, "md5", "{\"md5\":\"aa\"}");
	must_apply(w, &b.change);
	must_apply(w, &ch);
	assert_str(job.result, "{\"md5\":\"aa\"}");
}

static void other_work_is_not_taken_for_the_same(void **state)
{
	struct world *w = *state;
	struct job jobs[3];
	struct built b;

	build_file(&b, 1);
	build_fused(&b, "md5", "{\"md5\":\"aa\"}");
	must_apply(w, &b.change);
	jobs[0] = new_job(1000, 1, "sha1");
	jobs[1] = new_job(1001, 1, "md5");
	jobs[1].op_version = 2;
	jobs[2] = new_job(1002, 1, "md5");
	jobs[2].params = STR("{\"a\":1}");
	assert_int_equal(add_jobs(w, jobs, 3, NULL), 0);
	for (int i = 0; i < 3; i++) {
		assert_false(jobs[i].cached);
		assert_int_equal(jobs[i].state, JOB_QUEUED);
		assert_null(jobs[i].result.p);
	}
}

/* Runs the one waiting job. */
static void run_waiting(struct world *w, unsigned worker_n, enum job_state state)
{
	struct uuid worker = first_beat(w, worker_n, NOW + 15000);
	struct change_claim c = claim(w, worker, 1, NOW);

	assert_int_equal(c.n, 1);
	assert_int_equal(finish(w, &c.jobs[0].job, worker, state), 0);
}

static void add_same_bytes(struct world *w, unsigned n, unsigned as, struct str owner)
{
	struct built b;

	build_file(&b, n);
	b.file.owner = owner;
	for (size_t i = 0; i < sizeof(b.file.sha256); i++)
		b.file.sha256[i] = (uint8_t)(as * 7 + i);
	must_apply(w, &b.change);
}

static void work_done_on_the_same_bytes_is_answered_from_its_result(void **state)
{
	struct world *w = *state;
	struct job job = new_job(1000, 2, "md5"), other = new_job(1001, 3, "md5");

	add_file_with_job(w, 1, "md5");
	run_waiting(w, 500, JOB_SUCCEEDED);
	add_same_bytes(w, 2, 1, OWNER);
	add_file(w, 3);
	assert_int_equal(add_jobs(w, &job, 1, NULL), 0);
	assert_true(job.cached);
	assert_str(job.result, "{\"md5\":\"0123456789abcdef0123456789abcdef\"}");
	assert_int_equal(add_jobs(w, &other, 1, NULL), 0);
	assert_false(other.cached);
}

static void nobody_is_answered_from_anothers_result(void **state)
{
	struct world *w = *state;
	struct str other = STR("somebody else");
	struct job job = new_job(1000, 2, "md5");
	struct change ch = {.kind = CHANGE_ADD_JOBS, .add_jobs = {.owner = other, .jobs = &job, .n = 1, .arena = &w->arena}};

	add_file_with_job(w, 1, "md5");
	run_waiting(w, 500, JOB_SUCCEEDED);
	add_same_bytes(w, 2, 1, other);
	must_apply(w, &ch);
	assert_false(job.cached);
}

static void failed_work_is_done_again(void **state)
{
	struct world *w = *state;
	struct job job = new_job(1000, 1, "md5");

	add_file_with_job(w, 1, "md5");
	run_waiting(w, 500, JOB_FAILED);
	assert_int_equal(add_jobs(w, &job, 1, NULL), 0);
	assert_false(job.cached);
}

static void a_deleted_files_results_are_not_used(void **state)
{
	struct world *w = *state;
	struct job job = new_job(1000, 2, "md5");

	add_file_with_job(w, 1, "md5");
	run_waiting(w, 500, JOB_SUCCEEDED);
	add_same_bytes(w, 2, 1, OWNER);
	assert_int_equal(delete_file(w, 1), 0);
	assert_int_equal(add_jobs(w, &job, 1, NULL), 0);
	assert_false(job.cached);
	assert_int_equal(purge(w, NOW + 1000, 10), 0);
	assert_int_equal(file_code(w, 1), ERR_FILE_NOT_FOUND);
}

/* ---- cancelling ---- */

static void a_waiting_job_is_cancelled_at_once(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	bool was_running = true;
	struct job j;

	add_file_with_job(w, 1, "md5");
	assert_int_equal(cancel_job(w, job_id(1, 0), &was_running), 0);
	assert_false(was_running);
	j = read_job(w, job_id(1, 0));
	assert_int_equal(j.state, JOB_CANCELLED);
	assert_int_equal(j.error, ERR_CANCELLED);
	assert_int_equal(j.finished_at, NOW + 50);
	assert_int_equal(claim(w, worker, 1, NOW).n, 0);
	assert_int_equal(cancel_job(w, job_id(1, 0), NULL), ERR_JOB_STATE);
}

static void a_running_job_ends_cancelled_however_its_attempt_went(void **state)
{
	static const enum job_state ENDS[] = {JOB_SUCCEEDED, JOB_FAILED, JOB_CANCELLED, JOB_QUEUED};
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);

	for (unsigned i = 0; i < ARRAY_LEN(ENDS); i++) {
		bool was_running = false;
		struct job job;

		add_file_with_job(w, i + 1, "md5");
		job = claim(w, worker, 1, NOW).jobs[0].job;
		assert_int_equal(cancel_job(w, job_id(i + 1, 0), &was_running), 0);
		assert_true(was_running);
		assert_int_equal(read_job(w, job_id(i + 1, 0)).state, JOB_RUNNING);
		assert_int_equal(cancel_job(w, job_id(i + 1, 0), &was_running), 0); /* asking twice does no harm */
		assert_int_equal(finish(w, &job, worker, ENDS[i]), 0);
		assert_int_equal(read_job(w, job_id(i + 1, 0)).state, JOB_CANCELLED);
		assert_null(read_job(w, job_id(i + 1, 0)).result.p);
	}
	assert_int_equal(stats(w, NOW).jobs_final[JOB_CANCELLED], ARRAY_LEN(ENDS));
}

static void a_job_to_be_cancelled_does_not_come_back_from_a_lost_worker(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 100);

	add_file_with_job(w, 1, "md5");
	claim(w, worker, 1, NOW);
	assert_int_equal(cancel_job(w, job_id(1, 0), NULL), 0);
	assert_int_equal(reclaim(w, NOW + 100, false).reclaimed, 0);
	assert_int_equal(read_job(w, job_id(1, 0)).state, JOB_CANCELLED);
}

static void only_ones_own_jobs_can_be_cancelled_or_retried(void **state)
{
	struct world *w = *state;
	struct change cancel = {.kind = CHANGE_CANCEL_JOB,
				.job_ref = {.id = test_id(job_id(1, 0)), .owner = STR("somebody else"), .now = NOW}};
	struct change retry = cancel;

	retry.kind = CHANGE_RETRY_JOB;
	add_file_with_job(w, 1, "md5");
	assert_int_equal(apply1(w, &cancel), ERR_JOB_NOT_FOUND);
	assert_int_equal(apply1(w, &retry), ERR_JOB_NOT_FOUND);
	assert_int_equal(cancel_job(w, 4711, NULL), ERR_JOB_NOT_FOUND);
	assert_int_equal(retry_job(w, 4711), ERR_JOB_NOT_FOUND);
	assert_int_equal(read_job(w, job_id(1, 0)).state, JOB_QUEUED);
}

/* ---- retrying ---- */

static void a_failed_job_is_retried_by_hand_with_all_its_attempts(void **state)
{
	struct world *w = *state;
	struct uuid worker;
	struct change_claim c;
	struct job j;

	add_file_with_job(w, 1, "md5");
	run_waiting(w, 500, JOB_FAILED);
	assert_int_equal(retry_job(w, job_id(1, 0)), 0);
	j = read_job(w, job_id(1, 0));
	assert_int_equal(j.state, JOB_QUEUED);
	assert_int_equal(j.attempt, 0);
	assert_int_equal(j.run_at, NOW + 60);
	assert_int_equal(j.finished_at, 0);
	assert_int_equal(j.error, 0);
	worker = first_beat(w, 501, NOW + 15000);
	c = claim(w, worker, 1, NOW + 60);
	assert_int_equal(c.jobs[0].job.fence, 2); /* the fence goes on growing */
	assert_int_equal(finish(w, &c.jobs[0].job, worker, JOB_SUCCEEDED), 0);
	assert_int_equal(read_job(w, job_id(1, 0)).state, JOB_SUCCEEDED);
	assert_int_equal(stats(w, NOW).jobs_final[JOB_FAILED], 1);
	assert_int_equal(stats(w, NOW).jobs_final[JOB_SUCCEEDED], 1);
}

static void cancelled_and_quarantined_jobs_can_be_retried(void **state)
{
	struct world *w = *state;
	struct job j;

	add_file_with_job(w, 1, "md5");
	assert_int_equal(cancel_job(w, job_id(1, 0), NULL), 0);
	assert_int_equal(retry_job(w, job_id(1, 0)), 0);
	for (unsigned i = 0; i < LOSSES_MAX; i++) {
		struct uuid worker = first_beat(w, 500 + i, NOW + 100);

		claim(w, worker, 1, NOW + 60);
		reclaim(w, NOW + 100, false);
	}
	assert_int_equal(read_job(w, job_id(1, 0)).state, JOB_QUARANTINED);
	assert_int_equal(retry_job(w, job_id(1, 0)), 0);
	j = read_job(w, job_id(1, 0));
	assert_int_equal(j.state, JOB_QUEUED);
	assert_int_equal(j.losses, 0);
}

static void what_is_not_final_or_went_well_is_not_retried(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct job job;

	add_file_with_job(w, 1, "md5");
	assert_int_equal(retry_job(w, job_id(1, 0)), ERR_JOB_STATE);
	job = claim(w, worker, 1, NOW).jobs[0].job;
	assert_int_equal(retry_job(w, job_id(1, 0)), ERR_JOB_STATE);
	assert_int_equal(finish(w, &job, worker, JOB_SUCCEEDED), 0);
	assert_int_equal(retry_job(w, job_id(1, 0)), ERR_JOB_STATE);
	assert_int_equal(cancel_job(w, job_id(1, 0), NULL), ERR_JOB_STATE);
}

static void a_job_whose_file_is_gone_is_not_retried(void **state)
{
	struct world *w = *state;

	add_file_with_job(w, 1, "md5");
	assert_int_equal(delete_file(w, 1), 0);
	assert_int_equal(retry_job(w, job_id(1, 0)), ERR_FILE_GONE);
}

/* ---- the queue's limit ---- */

static void the_queue_takes_as_many_jobs_as_its_limit(void **state)
{
	struct world *w = *state;
	struct job jobs[2];
	struct uuid worker;
	struct built b;
	size_t failed;

	world_restart(w, (struct catalog_options){.queue_max = 3});
	add_file_with_job(w, 1, "md5");
	build_file(&b, 2);
	build_job(&b, "md5");
	build_job(&b, "sha1");
	must_apply(w, &b.change); /* at the limit */
	build_file(&b, 3);
	build_job(&b, "md5");
	assert_int_equal(apply1(w, &b.change), ERR_QUEUE_FULL);
	assert_int_equal(b.change.err.limit, 3);
	assert_int_equal(file_code(w, 3), ERR_FILE_NOT_FOUND);
	jobs[0] = new_job(1000, 1, "sha256");
	assert_int_equal(add_jobs(w, jobs, 1, &failed), ERR_QUEUE_FULL);
	assert_int_equal(failed, 0);
	worker = first_beat(w, 500, NOW + 15000);
	claim(w, worker, 1, NOW);
	jobs[1] = new_job(1001, 1, "sha512");
	assert_int_equal(add_jobs(w, jobs, 2, &failed), ERR_QUEUE_FULL); /* one fits, two do not */
	assert_int_equal(failed, 1);
	assert_int_equal(add_jobs(w, jobs, 1, NULL), 0);
	assert_int_equal(stats(w, NOW).jobs_waiting, 3);
}

static void a_full_queue_still_takes_what_need_not_wait(void **state)
{
	struct world *w = *state;
	struct job job = new_job(1000, 2, "md5");
	struct built b;

	world_restart(w, (struct catalog_options){.queue_max = 1});
	add_file_with_job(w, 1, "sha1");
	build_file(&b, 2);
	build_fused(&b, "md5", "{}");
	must_apply(w, &b.change);
	add_file(w, 3);
	assert_int_equal(add_jobs(w, &job, 1, NULL), 0);
	assert_true(job.cached);
}

static void a_file_takes_a_bounded_number_of_jobs(void **state)
{
	struct world *w = *state;
	static struct job jobs[JOBS_A_FILE_MAX];

	add_file(w, 1);
	add_file(w, 2);
	for (int i = 0; i < JOBS_A_FILE_MAX; i++)
		jobs[i] = new_job(1000 + i, 1, "sha1");
	assert_int_equal(add_jobs(w, jobs, 600, NULL), 0);
	assert_int_equal(add_jobs(w, jobs + 600, JOBS_A_FILE_MAX - 601, NULL), 0);
	struct job over[] = {new_job(3000, 2, "sha1"), new_job(3001, 1, "sha1"), new_job(3002, 1, "sha1")};
	assert_int_equal(add_jobs(w, over, 3, NULL), ERR_CONFLICT); /* all or nothing */
	assert_int_equal(add_jobs(w, over, 2, NULL), 0); /* the last there is room for */
	assert_int_equal(add_jobs(w, &over[2], 1, NULL), ERR_CONFLICT);
	struct job other = new_job(3003, 2, "sha1");
	assert_int_equal(add_jobs(w, &other, 1, NULL), 0);
}

/* ---- the outbox ---- */

static size_t outbox(struct world *w, int64_t after, uint32_t max, struct outbox_entry **ret)
{
	size_t n;

	assert_int_equal(catalog_outbox(w->c, after, max, &w->arena, ret, &n, &w->err), 0);
	return n;
}

static void every_job_that_ends_is_told_in_order(void **state)
{
	struct world *w = *state;
	static const enum job_state STATES[] = {JOB_SUCCEEDED, JOB_FAILED, JOB_CANCELLED, JOB_SUCCEEDED};
	struct outbox_entry *list;
	struct job cached;
	struct built b;

	world_restart(w, (struct catalog_options){.outbox = true});
	build_file(&b, 1);
	build_fused(&b, "md5", "{\"md5\":\"aa\"}");
	must_apply(w, &b.change);
	add_file_with_job(w, 2, "md5");
	run_waiting(w, 500, JOB_FAILED);
	add_file_with_job(w, 3, "sha1");
	assert_int_equal(outbox(w, 0, 10, &list), 2); /* what waits is not told */
	assert_int_equal(delete_file(w, 3), 0);
	cached = new_job(1000, 1, "md5");
	assert_int_equal(add_jobs(w, &cached, 1, NULL), 0);
	assert_int_equal(outbox(w, 0, 10, &list), ARRAY_LEN(STATES));
	for (unsigned i = 0; i < ARRAY_LEN(STATES); i++) {
		assert_int_equal(list[i].job.state, STATES[i]);
		assert_true(i == 0 || list[i].seq > list[i - 1].seq);
	}
	assert_id(list[0].job.id, job_id(1, 0));
	assert_int_equal(list[0].job.number, 1);
	assert_id(list[0].job.file, 1);
	assert_str(list[0].job.result, "{\"md5\":\"aa\"}");
	assert_str(list[0].job.op, "md5");
	assert_int_equal(list[0].job.finished_at, NOW);
	assert_str(list[1].job.error_detail, "it did not work");
	assert_true(list[3].job.cached);
}

static void what_was_told_is_told_no_more(void **state)
{
	struct world *w = *state;
	struct change done = {.kind = CHANGE_OUTBOX_DONE};
	struct outbox_entry *list;
	int64_t second;

	world_restart(w, (struct catalog_options){.outbox = true});
	for (unsigned i = 1; i <= 3; i++) {
		struct built b;

		build_file(&b, i);
		build_fused(&b, "md5", "{}");
		must_apply(w, &b.change);
	}
	assert_int_equal(outbox(w, 0, 2, &list), 2);
	second = list[1].seq;
	assert_int_equal(outbox(w, second, 10, &list), 1);
	done.outbox_done.upto = second;
	must_apply(w, &done);
	assert_int_equal(outbox(w, 0, 10, &list), 1);
	assert_id(list[0].job.id, job_id(3, 0));
	done.outbox_done.upto = list[0].seq;
	must_apply(w, &done);
	assert_int_equal(outbox(w, 0, 10, &list), 0);
	add_file_with_job(w, 4, "md5");
	run_waiting(w, 500, JOB_SUCCEEDED);
	assert_int_equal(outbox(w, 0, 10, &list), 1);
	assert_true(list[0].seq > done.outbox_done.upto);
}

static void an_end_is_told_even_when_the_job_was_retried_meanwhile(void **state)
{
	struct world *w = *state;
	struct outbox_entry *list;

	world_restart(w, (struct catalog_options){.outbox = true});
	add_file_with_job(w, 1, "md5");
	run_waiting(w, 500, JOB_FAILED);
	assert_int_equal(retry_job(w, job_id(1, 0)), 0);
	assert_int_equal(outbox(w, 0, 10, &list), 1);
	assert_int_equal(list[0].job.state, JOB_FAILED);
	assert_str(list[0].job.error_detail, "it did not work");
}

static void without_an_outbox_nothing_is_kept(void **state)
{
	struct world *w = *state;
	struct outbox_entry *list;

	add_file_with_job(w, 1, "md5");
	run_waiting(w, 500, JOB_SUCCEEDED);
	assert_int_equal(outbox(w, 0, 10, &list), 0);
}

const struct named_test contract_jobs[] = {
	NAMED(jobs_are_added_to_stored_files),
	NAMED(jobs_are_added_all_or_none),
	NAMED(another_owners_file_takes_no_jobs),
	NAMED(work_done_on_this_file_is_answered_from_its_result),
	NAMED(without_an_arena_the_result_holds_until_the_next_batch),
	NAMED(other_work_is_not_taken_for_the_same),
	NAMED(work_done_on_the_same_bytes_is_answered_from_its_result),
	NAMED(nobody_is_answered_from_anothers_result),
	NAMED(failed_work_is_done_again),
	NAMED(a_deleted_files_results_are_not_used),
	NAMED(a_waiting_job_is_cancelled_at_once),
	NAMED(a_running_job_ends_cancelled_however_its_attempt_went),
	NAMED(a_job_to_be_cancelled_does_not_come_back_from_a_lost_worker),
	NAMED(only_ones_own_jobs_can_be_cancelled_or_retried),
	NAMED(a_failed_job_is_retried_by_hand_with_all_its_attempts),
	NAMED(cancelled_and_quarantined_jobs_can_be_retried),
	NAMED(what_is_not_final_or_went_well_is_not_retried),
	NAMED(a_job_whose_file_is_gone_is_not_retried),
	NAMED(the_queue_takes_as_many_jobs_as_its_limit),
	NAMED(a_full_queue_still_takes_what_need_not_wait),
	NAMED(a_file_takes_a_bounded_number_of_jobs),
	NAMED(every_job_that_ends_is_told_in_order),
	NAMED(what_was_told_is_told_no_more),
	NAMED(an_end_is_told_even_when_the_job_was_retried_meanwhile),
	NAMED(without_an_outbox_nothing_is_kept),
	{},
};
