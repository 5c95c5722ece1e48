/* What a batch ended is told, in order, and can be read as it ended. */
#include "world.h"

static size_t ends(struct world *w, const struct ended **ret)
{
	bool whole;
	size_t n;

	*ret = catalog_ends(w->c, &n, &whole);
	assert_true(whole);
	return n;
}

static void check_end(struct world *w, const struct ended *end, struct uuid id, enum job_state state)
{
	struct str owner;
	struct job job;

	assert_int_equal(catalog_ended_job(w->c, end, &w->arena, &job, &owner, &w->err), 0);
	assert_true(uuid_eq(job.id, id));
	assert_int_equal(job.state, state);
	assert_int_equal(end->state, state);
	assert_true(str_eq(owner, OWNER));
}

static void a_batch_tells_what_each_change_ended(void **state)
{
	struct world *w = *state;
	struct built a, b, again;
	struct change *batch[3] = {&a.change, &again.change, &b.change};
	const struct ended *list;

	build_file(&a, 1);
	build_fused(&a, "md5", "{}");
	build_job(&a, "sha1");
	build_file(&again, 3); /* refused after its first job ended: the id of the second is taken */
	build_fused(&again, "md5", "{}");
	build_fused(&again, "sha1", "{}")->id = test_id(job_id(1, 0));
	build_file(&b, 2);
	build_fused(&b, "md5", "{}");
	build_fused(&b, "sha1", "{}");
	assert_int_equal(catalog_apply(w->c, batch, 3, &w->err), 0);
	assert_int_equal(again.change.code, ERR_CONFLICT);
	assert_int_equal(ends(w, &list), 3);
	assert_int_equal(list[0].change, 0);
	assert_int_equal(list[1].change, 2);
	assert_int_equal(list[2].change, 2);
	check_end(w, &list[0], test_id(job_id(1, 0)), JOB_SUCCEEDED);
	check_end(w, &list[1], test_id(job_id(2, 0)), JOB_SUCCEEDED);
	check_end(w, &list[2], test_id(job_id(2, 1)), JOB_SUCCEEDED);
	add_file_with_job(w, 4, "md5");
	assert_int_equal(ends(w, &list), 0);
}

static void an_end_tells_of_those_that_come_after(void **state)
{
	struct world *w = *state;
	struct built b;
	const struct ended *list;

	build_file(&b, 1);
	build_after(&b, "gzip", build_job(&b, "zip"));
	must_apply(w, &b.change);
	assert_int_equal(ends(w, &list), 0);
	assert_int_equal(cancel_job(w, job_id(1, 0), NULL), 0);
	assert_int_equal(ends(w, &list), 2);
	check_end(w, &list[0], test_id(job_id(1, 0)), JOB_CANCELLED);
	check_end(w, &list[1], test_id(job_id(1, 1)), JOB_CANCELLED);
}

static void jobs_of_a_deleted_file_can_be_read_as_they_ended(void **state)
{
	struct world *w = *state;
	const struct ended *list;

	add_file_with_job(w, 1, "md5");
	assert_int_equal(delete_file(w, 1), 0);
	assert_int_equal(ends(w, &list), 1);
	check_end(w, &list[0], test_id(job_id(1, 0)), JOB_CANCELLED);
}

static void a_quarantine_is_an_end(void **state)
{
	struct world *w = *state;
	const struct ended *list;

	add_file_with_job(w, 1, "md5");
	for (unsigned i = 1; i <= LOSSES_MAX; i++) {
		struct uuid worker = first_beat(w, 500 + i, NOW + 100);
		assert_int_equal(claim(w, worker, 1, NOW).n, 1);
		reclaim(w, NOW + 100, false);
		assert_int_equal(ends(w, &list), i == LOSSES_MAX);
	}
	check_end(w, &list[0], test_id(job_id(1, 0)), JOB_QUARANTINED);
}

static void an_end_that_is_no_more_is_not_read_for_another(void **state)
{
	struct world *w = *state;
	const struct ended *list;
	struct ended first;
	struct str owner;
	struct job job;

	add_file_with_job(w, 1, "md5");
	assert_int_equal(cancel_job(w, job_id(1, 0), NULL), 0);
	assert_int_equal(ends(w, &list), 1);
	first = list[0];
	check_end(w, &first, test_id(job_id(1, 0)), JOB_CANCELLED);
	assert_int_equal(retry_job(w, job_id(1, 0)), 0);
	assert_int_equal(catalog_ended_job(w->c, &first, &w->arena, &job, &owner, &w->err), ERR_JOB_NOT_FOUND);
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct job claimed = claim(w, worker, 1, NOW + 100).jobs[0].job;
	assert_int_equal(finish(w, &claimed, worker, JOB_SUCCEEDED), 0);
	assert_int_equal(catalog_ended_job(w->c, &first, &w->arena, &job, &owner, &w->err), ERR_JOB_NOT_FOUND);
	assert_int_equal(ends(w, &list), 1);
	check_end(w, &list[0], test_id(job_id(1, 0)), JOB_SUCCEEDED);
}

const struct named_test contract_ends[] = {
	NAMED(a_batch_tells_what_each_change_ended),
	NAMED(an_end_tells_of_those_that_come_after),
	NAMED(jobs_of_a_deleted_file_can_be_read_as_they_ended),
	NAMED(a_quarantine_is_an_end),
	NAMED(an_end_that_is_no_more_is_not_read_for_another),
	{},
};
