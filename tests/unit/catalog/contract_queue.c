/* The contract, second part: claims, fences, leases, what lost workers leave behind. */
#include "world.h"

static void add_job_at(struct world *w, unsigned n, uint32_t priority, int64_t run_at)
{
	struct built b;
	struct job *job;

	build_file(&b, n);
	job = build_job(&b, "md5");
	job->priority = priority;
	job->run_at = run_at;
	must_apply(w, &b.change);
}

static void claims_come_by_priority_then_time_then_age(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	static const unsigned ORDER[] = {5, 4, 2, 1, 3};
	struct change_claim c;

	add_job_at(w, 1, 3, NOW - 10);
	add_job_at(w, 2, 3, NOW - 20);
	add_job_at(w, 3, 3, NOW - 10);
	add_job_at(w, 4, 1, NOW);
	add_job_at(w, 5, 0, NOW);
	c = claim(w, worker, 10, NOW);
	assert_int_equal(c.n, 5);
	for (unsigned i = 0; i < 5; i++)
		assert_id(c.jobs[i].job.id, job_id(ORDER[i], 0));
}

static void a_claim_brings_all_that_a_worker_needs(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct change_claim c;
	struct job j;

	add_file_with_job(w, 1, "md5");
	c = claim(w, worker, 1, NOW + 5);
	assert_int_equal(c.n, 1);
	assert_str(c.jobs[0].owner, OWNER_PUBLIC);
	assert_int_equal(c.jobs[0].size, 10);
	assert_int_equal(c.jobs[0].location, LOCATION_INLINE);
	assert_memory_equal(c.jobs[0].sha256, read_file(w, 1).sha256, 32);
	assert_id(c.jobs[0].job.file, 1);
	assert_int_equal(c.jobs[0].job.file_number, 1);
	assert_int_equal(c.jobs[0].job.number, 1);
	assert_str(c.jobs[0].job.op, "md5");
	assert_str(c.jobs[0].job.params, "{}");
	assert_int_equal(c.jobs[0].job.op_version, 1);
	assert_int_equal(c.jobs[0].job.max_attempts, MAX_ATTEMPTS_DEFAULT);
	assert_int_equal(c.jobs[0].job.priority, PRIORITY_DEFAULT);
	j = read_job(w, job_id(1, 0));
	assert_int_equal(j.state, JOB_RUNNING);
	assert_int_equal(j.attempt, 1);
	assert_int_equal(j.fence, 1);
	assert_int_equal(j.started_at, NOW + 5);
	assert_int_equal(c.jobs[0].job.state, JOB_RUNNING);
	assert_int_equal(c.jobs[0].job.attempt, 1);
	assert_int_equal(c.jobs[0].job.fence, 1);
}

static void no_job_is_claimed_before_its_time_or_twice(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);

	add_job_at(w, 1, 0, NOW + 10);
	add_job_at(w, 2, 7, NOW);
	assert_int_equal(claim(w, worker, 10, NOW + 9).n, 1);
	assert_int_equal(claim(w, worker, 10, NOW + 9).n, 0);
	assert_int_equal(claim(w, worker, 10, NOW + 10).n, 1);
	assert_int_equal(claim(w, worker, 10, NOW + 99).n, 0);
}

static void a_claim_takes_no_more_than_asked_for(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);

	for (unsigned i = 1; i <= 5; i++)
		add_job_at(w, i, i % 2, NOW);
	assert_int_equal(claim(w, worker, 3, NOW).n, 3);
	assert_int_equal(stats(w, NOW).jobs_waiting, 2);
	assert_int_equal(stats(w, NOW).jobs_running, 3);
	assert_int_equal(claim(w, worker, 0, NOW).n, 0);
	assert_int_equal(claim(w, worker, 3, NOW).n, 2);
}

static int claim_code(struct world *w, unsigned worker, int64_t now)
{
	struct change ch = {.kind = CHANGE_CLAIM, .claim = {.worker = test_id(worker), .max = 1, .now = now, .arena = &w->arena}};

	return apply1(w, &ch);
}

static void a_claim_needs_a_lease(void **state)
{
	struct world *w = *state;

	add_file_with_job(w, 1, "md5");
	assert_int_equal(claim_code(w, 500, NOW), ERR_STALE);
	first_beat(w, 500, NOW + 100);
	assert_int_equal(claim_code(w, 500, NOW + 100), ERR_STALE);
	assert_int_equal(read_job(w, job_id(1, 0)).state, JOB_QUEUED);
	assert_int_equal(claim_code(w, 500, NOW + 99), 0);
}

/* ---- finishing ---- */

static void a_finished_job_has_its_result(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct change ch = {.kind = CHANGE_FINISH,
			    .finish = {.worker = worker,
				       .state = JOB_SUCCEEDED,
				       .result = STR("{\"x\":1}"),
				       .started_at = NOW + 1,
				       .finished_at = NOW + 2}};
	struct change_claim c;
	struct job j;

	add_file_with_job(w, 1, "md5");
	c = claim(w, worker, 1, NOW);
	ch.finish.job = c.jobs[0].job.id;
	ch.finish.fence = c.jobs[0].job.fence;
	must_apply(w, &ch);
	assert_id(ch.finish.file, 1);
	j = read_job(w, job_id(1, 0));
	assert_int_equal(j.state, JOB_SUCCEEDED);
	assert_str(j.result, "{\"x\":1}");
	assert_int_equal(j.started_at, NOW + 1);
	assert_int_equal(j.finished_at, NOW + 2);
	assert_int_equal(j.attempt, 1);
	assert_int_equal(j.fence, 1);
	assert_int_equal(j.error, 0);
	assert_false(j.cached);
	assert_int_equal(stats(w, NOW).jobs_running, 0);
	assert_int_equal(stats(w, NOW).jobs_final[JOB_SUCCEEDED], 1);
}

static void a_failed_job_says_why(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct change_claim c;
	struct job j;

	add_file_with_job(w, 1, "md5");
	c = claim(w, worker, 1, NOW);
	assert_int_equal(finish(w, &c.jobs[0].job, worker, JOB_FAILED), 0);
	j = read_job(w, job_id(1, 0));
	assert_int_equal(j.state, JOB_FAILED);
	assert_int_equal(j.error, ERR_OP_FAILED);
	assert_str(j.error_detail, "it did not work");
	assert_null(j.result.p);
}

static void only_the_attempt_that_holds_the_job_may_finish_it(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000), other = first_beat(w, 501, NOW + 15000);
	struct job job, wrong;

	add_file_with_job(w, 1, "md5");
	assert_int_equal(finish(w, &(struct job){.id = test_id(job_id(1, 0))}, worker, JOB_SUCCEEDED), ERR_STALE); /* not claimed yet */
	job = wrong = claim(w, worker, 1, NOW).jobs[0].job;
	wrong.fence--;
	assert_int_equal(finish(w, &wrong, worker, JOB_SUCCEEDED), ERR_STALE);
	wrong.fence += 2;
	assert_int_equal(finish(w, &wrong, worker, JOB_SUCCEEDED), ERR_STALE);
	assert_int_equal(finish(w, &job, other, JOB_SUCCEEDED), ERR_STALE);
	assert_int_equal(finish(w, &job, test_id(999), JOB_SUCCEEDED), ERR_STALE);
	wrong = job;
	wrong.id = test_id(888);
	assert_int_equal(finish(w, &wrong, worker, JOB_SUCCEEDED), ERR_STALE);
	assert_int_equal(read_job(w, job_id(1, 0)).state, JOB_RUNNING);
	assert_int_equal(finish(w, &job, worker, JOB_SUCCEEDED), 0);
	assert_int_equal(finish(w, &job, worker, JOB_FAILED), ERR_STALE); /* twice */
	assert_int_equal(read_job(w, job_id(1, 0)).state, JOB_SUCCEEDED);
}

static void an_attempt_may_be_tried_again_later(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct change_claim c;
	struct job j;

	add_file_with_job(w, 1, "md5");
	c = claim(w, worker, 1, NOW);
	assert_int_equal(finish(w, &c.jobs[0].job, worker, JOB_QUEUED), 0); /* at NOW + 1000 */
	j = read_job(w, job_id(1, 0));
	assert_int_equal(j.state, JOB_QUEUED);
	assert_int_equal(j.run_at, NOW + 1000);
	assert_int_equal(j.attempt, 1);
	assert_int_equal(j.started_at, 0);
	assert_int_equal(j.error, ERR_OP_FAILED); /* of the last attempt */
	assert_int_equal(claim(w, worker, 1, NOW + 999).n, 0);
	c = claim(w, worker, 1, NOW + 1000);
	assert_int_equal(c.n, 1);
	assert_int_equal(c.jobs[0].job.attempt, 2);
	assert_int_equal(c.jobs[0].job.fence, 2);
	assert_int_equal(read_job(w, job_id(1, 0)).error, 0);
}

static void a_job_given_back_loses_no_attempt(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct change back = {.kind = CHANGE_FINISH, .finish = {.worker = worker, .state = JOB_QUEUED, .give_back = true}};
	struct change_claim c;
	struct job j;

	add_file_with_job(w, 1, "md5");
	c = claim(w, worker, 1, NOW);
	back.finish.job = c.jobs[0].job.id;
	back.finish.fence = c.jobs[0].job.fence;
	must_apply(w, &back);
	j = read_job(w, job_id(1, 0));
	assert_int_equal(j.state, JOB_QUEUED);
	assert_int_equal(j.attempt, 0);
	assert_int_equal(j.run_at, NOW);
	c = claim(w, worker, 1, NOW);
	assert_int_equal(c.jobs[0].job.attempt, 1);
	assert_int_equal(c.jobs[0].job.fence, 2); /* the fence only grows */
}

static void an_end_that_no_attempt_can_have_is_refused(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct change_claim c;

	add_file_with_job(w, 1, "md5");
	c = claim(w, worker, 1, NOW);
	assert_int_equal(finish(w, &c.jobs[0].job, worker, JOB_RUNNING), ERR_INVALID_VALUE);
	assert_int_equal(finish(w, &c.jobs[0].job, worker, JOB_QUARANTINED), ERR_INVALID_VALUE);
	assert_int_equal(finish(w, &c.jobs[0].job, worker, JOB_STATES), ERR_INVALID_VALUE);
	assert_int_equal(read_job(w, job_id(1, 0)).state, JOB_RUNNING);
}

/* ---- leases ---- */

static int beat(struct world *w, unsigned n, int64_t now, int64_t expires_at, bool first, bool leaving)
{
	struct change ch = {.kind = CHANGE_BEAT,
			    .beat = {.worker = test_id(n), .now = now, .expires_at = expires_at, .first = first, .leaving = leaving}};

	return apply1(w, &ch);
}

static void a_lease_lasts_as_long_as_its_beats(void **state)
{
	struct world *w = *state;

	assert_int_equal(beat(w, 500, NOW, NOW + 10, false, false), ERR_STALE); /* never registered */
	assert_int_equal(beat(w, 500, NOW, NOW + 10, true, false), 0);
	assert_int_equal(beat(w, 500, NOW + 9, NOW + 20, false, false), 0);
	assert_int_equal(claim_code(w, 500, NOW + 19), 0);
	assert_int_equal(beat(w, 500, NOW + 20, NOW + 30, false, false), ERR_STALE); /* one too late */
	assert_int_equal(beat(w, 500, NOW + 20, NOW + 30, true, false), ERR_STALE); /* an incarnation does not come back */
	assert_int_equal(claim_code(w, 500, NOW + 20), ERR_STALE);
}

static void a_worker_that_leaves_gives_its_jobs_up_at_once(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);

	add_file_with_job(w, 1, "md5");
	claim(w, worker, 1, NOW);
	assert_int_equal(reclaim(w, NOW + 1, false).reclaimed, 0);
	assert_int_equal(beat(w, 500, NOW + 1, NOW + 16000, false, true), 0);
	assert_int_equal(reclaim(w, NOW + 1, false).reclaimed, 1);
	assert_int_equal(claim_code(w, 500, NOW + 1), ERR_STALE);
}

static void a_lost_workers_jobs_go_back_and_its_late_end_is_stale(void **state)
{
	struct world *w = *state;
	struct uuid lost = first_beat(w, 500, NOW + 100), alive = first_beat(w, 501, NOW + 15000);
	struct change_reclaim r;
	struct job mine, j;

	add_file_with_job(w, 1, "md5");
	mine = claim(w, lost, 1, NOW).jobs[0].job;
	add_file_with_job(w, 2, "md5");
	claim(w, alive, 1, NOW);
	assert_int_equal(reclaim(w, NOW + 99, false).reclaimed, 0);
	r = reclaim(w, NOW + 100, false);
	assert_int_equal(r.reclaimed, 1);
	assert_int_equal(r.quarantined, 0);
	j = read_job(w, job_id(1, 0));
	assert_int_equal(j.state, JOB_QUEUED);
	assert_int_equal(j.fence, mine.fence + 1);
	assert_int_equal(j.losses, 1);
	assert_int_equal(read_job(w, job_id(2, 0)).state, JOB_RUNNING);
	assert_int_equal(finish(w, &mine, lost, JOB_SUCCEEDED), ERR_STALE);
	assert_int_equal(claim(w, alive, 1, NOW + 100).jobs[0].job.fence, mine.fence + 2);
	assert_int_equal(finish(w, &mine, lost, JOB_SUCCEEDED), ERR_STALE);
}

static void the_third_lost_worker_quarantines_the_job(void **state)
{
	struct world *w = *state;
	struct change_reclaim r;
	struct job j;

	add_file_with_job(w, 1, "md5");
	for (unsigned i = 1; i <= LOSSES_MAX; i++) {
		struct uuid worker = first_beat(w, 500 + i, NOW + 100);

		assert_int_equal(claim(w, worker, 1, NOW).n, 1);
		r = reclaim(w, NOW + 100, false);
		assert_int_equal(r.reclaimed, i < LOSSES_MAX);
		assert_int_equal(r.quarantined, i == LOSSES_MAX);
	}
	j = read_job(w, job_id(1, 0));
	assert_int_equal(j.state, JOB_QUARANTINED);
	assert_int_equal(j.losses, LOSSES_MAX);
	assert_int_equal(j.error, ERR_WORKER_LOST);
	assert_int_equal(j.finished_at, NOW + 100);
	assert_int_equal(stats(w, NOW).jobs_final[JOB_QUARANTINED], 1);
	assert_int_equal(stats(w, NOW).jobs_running, 0);
}

static void at_start_everything_is_taken_back_whatever_the_leases_say(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);

	for (unsigned i = 1; i <= 3; i++)
		add_file_with_job(w, i, "md5");
	claim(w, worker, 2, NOW);
	assert_int_equal(reclaim(w, NOW, false).reclaimed, 0);
	assert_int_equal(reclaim(w, NOW, true).reclaimed, 2);
	assert_int_equal(stats(w, NOW).jobs_waiting, 3);
	assert_int_equal(stats(w, NOW).jobs_running, 0);
}

static void many_lost_jobs_are_taken_back_in_one_call(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 100);
	enum { FILES = 20, EACH = OPS_MAX };

	for (unsigned i = 1; i <= FILES; i++) {
		struct built b;

		build_file(&b, i);
		for (unsigned k = 0; k < EACH; k++)
			build_job(&b, "md5");
		must_apply(w, &b.change);
	}
	assert_int_equal(claim(w, worker, 10000, NOW).n, FILES * EACH);
	assert_int_equal(reclaim(w, NOW + 100, false).reclaimed, FILES * EACH);
	assert_int_equal(stats(w, NOW).jobs_waiting, FILES * EACH);
}

static void a_dead_worker_is_forgotten_when_it_holds_nothing(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 100);

	add_file_with_job(w, 1, "md5");
	claim(w, worker, 1, NOW);
	assert_int_equal(purge(w, NOW + 1000, 10), 0);
	assert_int_equal(beat(w, 500, NOW + 200, NOW + 300, true, false), ERR_STALE); /* still known */
	assert_int_equal(reclaim(w, NOW + 200, false).reclaimed, 1);
	assert_int_equal(purge(w, NOW + 1000, 10), 0);
	assert_int_equal(beat(w, 500, NOW + 200, NOW + 300, true, false), 0);
}

/* ---- how long until there is work ---- */

static void the_next_waiting_job_is_known(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	int64_t at;

	assert_int_equal(catalog_next_run_at(w->c, &at, &w->err), 0);
	assert_true(at == INT64_MAX);
	add_job_at(w, 1, 0, NOW + 70);
	add_job_at(w, 2, 7, NOW + 50);
	assert_int_equal(catalog_next_run_at(w->c, &at, &w->err), 0);
	assert_int_equal(at, NOW + 50);
	claim(w, worker, 1, NOW + 50);
	assert_int_equal(catalog_next_run_at(w->c, &at, &w->err), 0);
	assert_int_equal(at, NOW + 70);
	claim(w, worker, 1, NOW + 70);
	assert_int_equal(catalog_next_run_at(w->c, &at, &w->err), 0);
	assert_true(at == INT64_MAX);
}

static void the_sums_are_right(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct catalog_stats s = stats(w, NOW);
	struct change_claim c;

	assert_int_equal(s.files + s.file_bytes + s.jobs_waiting + s.jobs_running, 0);
	assert_int_equal(s.oldest_waiting_at, 0);
	add_job_at(w, 1, 3, NOW - 5);
	add_job_at(w, 2, 0, NOW - 3);
	add_job_at(w, 3, 3, NOW + 100);
	s = stats(w, NOW);
	assert_int_equal(s.files, 3);
	assert_int_equal(s.file_bytes, 30);
	assert_int_equal(s.jobs_waiting, 3);
	assert_int_equal(s.oldest_waiting_at, NOW - 5);
	c = claim(w, worker, 5, NOW);
	assert_int_equal(finish(w, &c.jobs[0].job, worker, JOB_SUCCEEDED), 0);
	assert_int_equal(finish(w, &c.jobs[1].job, worker, JOB_FAILED), 0);
	s = stats(w, NOW);
	assert_int_equal(s.jobs_waiting, 1);
	assert_int_equal(s.jobs_running, 0);
	assert_int_equal(s.oldest_waiting_at, 0);
	assert_int_equal(s.jobs_final[JOB_SUCCEEDED], 1);
	assert_int_equal(s.jobs_final[JOB_FAILED], 1);
}

const struct named_test contract_queue[] = {
	NAMED(claims_come_by_priority_then_time_then_age),
	NAMED(a_claim_brings_all_that_a_worker_needs),
	NAMED(no_job_is_claimed_before_its_time_or_twice),
	NAMED(a_claim_takes_no_more_than_asked_for),
	NAMED(a_claim_needs_a_lease),
	NAMED(a_finished_job_has_its_result),
	NAMED(a_failed_job_says_why),
	NAMED(only_the_attempt_that_holds_the_job_may_finish_it),
	NAMED(an_attempt_may_be_tried_again_later),
	NAMED(a_job_given_back_loses_no_attempt),
	NAMED(an_end_that_no_attempt_can_have_is_refused),
	NAMED(a_lease_lasts_as_long_as_its_beats),
	NAMED(a_worker_that_leaves_gives_its_jobs_up_at_once),
	NAMED(a_lost_workers_jobs_go_back_and_its_late_end_is_stale),
	NAMED(the_third_lost_worker_quarantines_the_job),
	NAMED(at_start_everything_is_taken_back_whatever_the_leases_say),
	NAMED(many_lost_jobs_are_taken_back_in_one_call),
	NAMED(a_dead_worker_is_forgotten_when_it_holds_nothing),
	NAMED(the_next_waiting_job_is_known),
	NAMED(the_sums_are_right),
	{},
};
