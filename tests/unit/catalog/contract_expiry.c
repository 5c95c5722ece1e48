/* Results that expire, their tombstones, and files that go only while their expiry still holds. */
#include "world.h"

#define KEEP 1000

static void keep_for_a_while(struct world *w)
{
	world_restart(w, (struct catalog_options){.results_keep_ms = KEEP, .outbox = w->options.outbox});
}

static struct change_expire_results expire(struct world *w, int64_t now, uint32_t max)
{
	struct change ch = {.kind = CHANGE_EXPIRE_RESULTS, .expire_results = {.now = now, .again_at = now + 500, .max = max}};

	must_apply(w, &ch);
	return ch.expire_results;
}

static unsigned expired(struct world *w, int64_t now)
{
	return expire(w, now, 100).expired;
}

/* File n with one job that ended at NOW + 20, with an output. */
static struct job done_job(struct world *w, unsigned n, struct uuid worker, unsigned as)
{
	struct change_claim c;
	struct built b;

	if (as)
		build_same_bytes(&b, n, as);
	else
		build_file(&b, n);
	build_job(&b, "gzip");
	must_apply(w, &b.change);
	c = claim(w, worker, 1, NOW);
	assert_int_equal(c.n, 1);
	assert_int_equal(finish_with_outputs(w, &c.jobs[0].job, worker, 1, NULL), 0);
	return c.jobs[0].job;
}

static size_t listed(struct world *w)
{
	struct job *jobs;
	int64_t next;
	size_t n;

	assert_int_equal(catalog_list_jobs(w->c, &(struct job_filter){.owner = OWNER, .state = -1},
					   (struct page){.before = INT64_MAX, .limit = 100}, &w->arena, &jobs, &n, &next, &w->err),
			 0);
	return n;
}

static void a_result_goes_when_its_time_has_come_and_its_file_stays(void **state)
{
	struct world *w = *state;
	char blob[BLOB_MAX];

	keep_for_a_while(w);
	struct job job = done_job(w, 1, first_beat(w, 500, NOW + 15000), 0);
	struct str name = output_blob(job.id, job.fence, 0, blob);
	assert_int_equal(read_job(w, job_id(1, 0)).expires_at, NOW + 20 + KEEP);
	assert_int_equal(expired(w, NOW + 19 + KEEP), 0);
	assert_int_equal(job_code(w, job_id(1, 0)), 0);
	struct change_expire_results r = expire(w, NOW + 20 + KEEP, 100);
	assert_int_equal(r.expired, 1);
	assert_true(r.doomed);
	assert_int_equal(job_code(w, job_id(1, 0)), ERR_JOB_GONE);
	assert_int_equal(read_file(w, 1).n_jobs, 0);
	assert_int_equal(listed(w), 0);
	assert_false(referenced(w, name));
	assert_true(doomed(w, name));
	assert_int_equal(stats(w, NOW).jobs_final[JOB_SUCCEEDED], 1); /* since the beginning */
	assert_int_equal(expired(w, NOW + 10 * KEEP), 0);
	assert_int_equal(delete_file(w, 1), 0);
	assert_int_equal(job_code(w, job_id(1, 0)), ERR_JOB_GONE);
}

static void results_stay_with_their_file_unless_a_time_was_set(void **state)
{
	struct world *w = *state;

	done_job(w, 1, first_beat(w, 500, NOW + 15000), 0);
	assert_int_equal(read_job(w, job_id(1, 0)).expires_at, 0);
	assert_int_equal(expired(w, INT64_MAX / 2), 0);
	assert_int_equal(job_code(w, job_id(1, 0)), 0);
}

static void what_rode_along_and_what_was_cancelled_expires_too(void **state)
{
	struct world *w = *state;
	struct built b;
	bool running;

	keep_for_a_while(w);
	build_file(&b, 1);
	struct job *fused = build_fused(&b, "md5", "{}");
	build_job(&b, "gzip");
	must_apply(w, &b.change);
	assert_int_equal(fused->expires_at, fused->finished_at + KEEP);
	assert_int_equal(b.jobs[1].expires_at, 0);
	assert_int_equal(cancel_job(w, job_id(1, 1), &running), 0);
	assert_true(read_job(w, job_id(1, 1)).expires_at > 0);
	assert_int_equal(expired(w, NOW + 10 * KEEP), 2);
	assert_int_equal(read_file(w, 1).n_jobs, 0);
}

static void a_job_that_waits_or_waits_anew_does_not_expire(void **state)
{
	struct world *w = *state;
	bool running;

	keep_for_a_while(w);
	add_file_with_job(w, 1, "gzip");
	assert_int_equal(expired(w, NOW + 10 * KEEP), 0);
	assert_int_equal(cancel_job(w, job_id(1, 0), &running), 0);
	assert_int_equal(retry_job(w, job_id(1, 0)), 0);
	assert_int_equal(expired(w, NOW + 10 * KEEP), 0);
	assert_int_equal(read_job(w, job_id(1, 0)).expires_at, 0);
}

static void bytes_that_another_job_shares_stay_until_that_expires(void **state)
{
	struct world *w = *state;
	char blob[BLOB_MAX];

	keep_for_a_while(w);
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct job job = done_job(w, 1, worker, 0);
	struct str name = output_blob(job.id, job.fence, 0, blob);
	struct built b;
	build_same_bytes(&b, 2, 1);
	struct job *second = build_job(&b, "gzip");
	second->created_at = NOW + 500;
	must_apply(w, &b.change);
	assert_true(second->cached);
	assert_true(second->expires_at > NOW + 20 + KEEP);
	struct change_expire_results r = expire(w, NOW + 20 + KEEP, 100);
	assert_int_equal(r.expired, 1);
	assert_false(r.doomed);
	assert_true(referenced(w, name));
	assert_int_equal(job_code(w, job_id(2, 0)), 0);
	assert_true(expire(w, NOW + 10 * KEEP, 100).doomed);
	assert_false(referenced(w, name));
}

static void work_that_expired_is_taken_over_by_nobody(void **state)
{
	struct world *w = *state;
	struct uuid found;

	keep_for_a_while(w);
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct job job = done_job(w, 1, worker, 0);
	struct built b;
	build_same_bytes(&b, 3, 1);
	must_apply(w, &b.change);
	assert_int_equal(expired(w, NOW + 20 + KEEP), 1);
	struct file f = read_file(w, 1);
	assert_int_equal(catalog_artifact(w->c, OWNER, job.op, job.op_version, job.params, f.sha256, &found, &w->err), 0);
	assert_true(uuid_is_zero(found));
	for (unsigned file = 1; file <= 3; file += 2) { /* the same file, and the same bytes */
		struct job again = new_job(900 + file, file, "gzip");
		assert_int_equal(add_jobs(w, &again, 1, NULL), 0);
		assert_int_equal(again.state, JOB_QUEUED);
	}
	struct change_claim c = claim(w, worker, 1, NOW + 20 + KEEP);
	assert_int_equal(c.n, 1);
	assert_int_equal(finish_same_as(w, &c.jobs[0].job, worker, job.id), ERR_CONFLICT);
}

/* A chain of two that ended, on file 1. */
static void chain(struct world *w, struct uuid worker, bool finish_second)
{
	struct change_claim c;
	struct built b;

	build_file(&b, 1);
	build_after(&b, "zip", build_job(&b, "gzip"));
	must_apply(w, &b.change);
	for (unsigned i = 0; i < 1u + finish_second; i++) {
		c = claim(w, worker, 1, NOW + 20);
		assert_int_equal(c.n, 1);
		assert_int_equal(finish_with_outputs(w, &c.jobs[0].job, worker, 1, NULL), 0);
	}
}

static void a_result_is_kept_while_a_job_after_it_needs_it(void **state)
{
	struct world *w = *state;

	keep_for_a_while(w);
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	chain(w, worker, false);
	struct change_expire_results r = expire(w, NOW + 5000, 100);
	assert_int_equal(r.expired, 0);
	assert_int_equal(r.kept, 1);
	assert_int_equal(read_job(w, job_id(1, 0)).expires_at, NOW + 5500);
	assert_int_equal(expire(w, NOW + 5499, 100).kept, 0);
	struct change_claim c = claim(w, worker, 1, NOW + 20);
	assert_int_equal(finish_with_outputs(w, &c.jobs[0].job, worker, 1, NULL), 0);
	r = expire(w, NOW + 5500, 100);
	assert_int_equal(r.expired, 2); /* its end first, then what is before it */
	assert_int_equal(job_code(w, job_id(1, 0)), ERR_JOB_GONE);
	assert_int_equal(job_code(w, job_id(1, 1)), ERR_JOB_GONE);
	assert_int_equal(doomed_count(w), 2);
}

static void nothing_comes_after_a_job_that_expired(void **state)
{
	struct world *w = *state;

	keep_for_a_while(w);
	done_job(w, 1, first_beat(w, 500, NOW + 15000), 0);
	assert_int_equal(expired(w, NOW + 20 + KEEP), 1);
	struct job job = new_job(900, 1, "zip");
	job.after = test_id(job_id(1, 0));
	assert_int_equal(add_jobs(w, &job, 1, NULL), ERR_JOB_GONE);
}

static void an_expired_job_is_not_brought_back(void **state)
{
	struct world *w = *state;
	struct built b;
	bool running;

	keep_for_a_while(w);
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	build_file(&b, 1);
	build_after(&b, "zip", build_job(&b, "gzip"));
	must_apply(w, &b.change);
	struct change_claim c = claim(w, worker, 1, NOW);
	assert_int_equal(finish(w, &c.jobs[0].job, worker, JOB_FAILED), 0);
	assert_true(read_job(w, job_id(1, 1)).error == ERR_INPUT_FAILED);
	struct change_expire_results r;
	for (int64_t now = NOW + 5000; job_code(w, job_id(1, 1)) == 0; now += 500)
		r = expire(w, now, 1);
	assert_int_equal(r.expired, 1);
	assert_int_equal(job_code(w, job_id(1, 0)), 0);
	assert_int_equal(retry_job(w, job_id(1, 0)), 0); /* it is there still, and what came after it is not */
	assert_int_equal(job_code(w, job_id(1, 1)), ERR_JOB_GONE);
	assert_int_equal(retry_job(w, job_id(1, 1)), ERR_JOB_GONE);
	assert_int_equal(cancel_job(w, job_id(1, 1), &running), ERR_JOB_GONE);
	c = claim(w, worker, 10, NOW + 6000);
	assert_int_equal(c.n, 1);
}

static void the_tombstone_of_a_job_goes_after_its_time(void **state)
{
	struct world *w = *state;

	keep_for_a_while(w);
	chain(w, first_beat(w, 500, NOW + 15000), true);
	assert_int_equal(expired(w, NOW + 5000) + expired(w, NOW + 5500), 2); /* at the same time, so the first is asked again */
	assert_int_equal(purge(w, NOW + 5000, 10), 0);
	assert_int_equal(job_code(w, job_id(1, 0)), ERR_JOB_GONE);
	assert_int_equal(purge(w, NOW + 5501, 1), 0); /* one: what came after goes first */
	assert_int_equal(job_code(w, job_id(1, 1)), ERR_JOB_NOT_FOUND);
	assert_int_equal(job_code(w, job_id(1, 0)), ERR_JOB_GONE);
	assert_int_equal(purge(w, NOW + 5501, 10), 0);
	assert_int_equal(job_code(w, job_id(1, 0)), ERR_JOB_NOT_FOUND);
	assert_int_equal(file_code(w, 1), 0);
	assert_int_equal(delete_file(w, 1), 0);
	assert_int_equal(purge(w, NOW + 9000, 10), 0);
	assert_int_equal(file_code(w, 1), ERR_FILE_NOT_FOUND);
}

static void expiring_is_bounded(void **state)
{
	struct world *w = *state;
	struct built b;

	keep_for_a_while(w);
	for (unsigned n = 1; n <= 5; n++) {
		build_file(&b, n);
		build_fused(&b, "md5", "{}");
		must_apply(w, &b.change);
	}
	assert_int_equal(expire(w, NOW + 5000, 2).expired, 2);
	assert_int_equal(expire(w, NOW + 5000, 2).expired, 2);
	assert_int_equal(expire(w, NOW + 5000, 2).expired, 1);
	assert_int_equal(expire(w, NOW + 5000, 2).expired, 0);
}

static void an_again_that_is_not_later_is_refused(void **state)
{
	struct change ch = {.kind = CHANGE_EXPIRE_RESULTS, .expire_results = {.now = NOW, .again_at = NOW, .max = 1}};

	assert_int_equal(apply1(*state, &ch), ERR_INVALID_VALUE);
}

static int delete_expired(struct world *w, unsigned n, int64_t by)
{
	struct change ch = {.kind = CHANGE_DELETE_FILE,
			    .delete_file = {.id = test_id(n), .owner = OWNER, .now = NOW + 100, .expired_by = by}};

	return apply1(w, &ch);
}

static void a_file_whose_expiry_was_put_off_stays(void **state)
{
	struct world *w = *state;
	struct built b;

	build_file(&b, 1);
	b.file.expires_at = NOW + 10;
	must_apply(w, &b.change);
	assert_int_equal(delete_expired(w, 1, NOW + 9), ERR_CONFLICT);
	struct change later = {.kind = CHANGE_PATCH_FILE,
			       .patch_file = {.id = test_id(1), .owner = OWNER, .set_expires = true, .expires_at = NOW + 50, .now = NOW}};
	must_apply(w, &later);
	assert_int_equal(delete_expired(w, 1, NOW + 10), ERR_CONFLICT);
	later.patch_file.expires_at = 0;
	must_apply(w, &later);
	assert_int_equal(delete_expired(w, 1, INT64_MAX), ERR_CONFLICT);
	assert_int_equal(file_code(w, 1), 0);
	later.patch_file.expires_at = NOW + 60;
	must_apply(w, &later);
	assert_int_equal(delete_expired(w, 1, NOW + 60), 0);
	assert_int_equal(file_code(w, 1), ERR_FILE_GONE);
}

const struct named_test contract_expiry[] = {
	NAMED(a_result_goes_when_its_time_has_come_and_its_file_stays),
	NAMED(results_stay_with_their_file_unless_a_time_was_set),
	NAMED(what_rode_along_and_what_was_cancelled_expires_too),
	NAMED(a_job_that_waits_or_waits_anew_does_not_expire),
	NAMED(bytes_that_another_job_shares_stay_until_that_expires),
	NAMED(work_that_expired_is_taken_over_by_nobody),
	NAMED(a_result_is_kept_while_a_job_after_it_needs_it),
	NAMED(nothing_comes_after_a_job_that_expired),
	NAMED(an_expired_job_is_not_brought_back),
	NAMED(the_tombstone_of_a_job_goes_after_its_time),
	NAMED(expiring_is_bounded),
	NAMED(an_again_that_is_not_later_is_refused),
	NAMED(a_file_whose_expiry_was_put_off_stays),
	{},
};
