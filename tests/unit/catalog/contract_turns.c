/* The contract, part of the turns: several owners, limits on what runs at once, what nobody can be made to wait for. */
#include "world.h"

#define CROWD STR("0190d2a6-0000-7000-8000-00000000c001")
#define OTHER STR("0190d2a6-0000-7000-8000-00000000c002")
#define THIRD STR("0190d2a6-0000-7000-8000-00000000c003")

static void own(struct world *w, unsigned n, struct str owner)
{
	struct built b;

	build_file(&b, n);
	b.file.owner = owner;
	must_apply(w, &b.change);
}

/* Jobs id, id + 1 … on a file of this owner. */
static int add_some(struct world *w, unsigned id, size_t n, unsigned file, struct str owner, const char *op, uint32_t priority,
		    int64_t run_at)
{
	static struct job jobs[JOBS_A_FILE_MAX];
	struct change c = {.kind = CHANGE_ADD_JOBS, .add_jobs = {.owner = owner, .jobs = jobs, .n = n}};

	for (size_t i = 0; i < n; i++) {
		jobs[i] = new_job(id + (unsigned)i, file, op);
		jobs[i].priority = priority;
		jobs[i].run_at = run_at;
	}
	return apply1(w, &c);
}

static void must_add(struct world *w, unsigned id, size_t n, unsigned file, struct str owner, const char *op)
{
	assert_int_equal(add_some(w, id, n, file, owner, op, PRIORITY_DEFAULT, NOW), 0);
}

static struct change_claim claim_as(struct world *w, struct change_claim c)
{
	struct change ch = {.kind = CHANGE_CLAIM, .claim = c};

	ch.claim.arena = &w->arena;
	must_apply(w, &ch);
	return ch.claim;
}

static size_t count_of(const struct change_claim *c, struct str owner)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n; i++)
		n += str_eq(c->jobs[i].owner, owner);
	return n;
}

static size_t count_op(const struct change_claim *c, const char *op)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n; i++)
		n += str_eq(c->jobs[i].job.op, str_of(op));
	return n;
}

/* ---- turns ---- */

static void a_crowd_of_one_owner_does_not_delay_anothers_one_job(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct change_claim c;

	own(w, 1, CROWD);
	own(w, 2, OTHER);
	must_add(w, 1000, 1000, 1, CROWD, "sha1");
	claim(w, worker, 4, NOW);
	assert_int_equal(add_some(w, 5000, 1, 2, OTHER, "sha1", PRIORITY_MAX, NOW + 1000),
			 0); /* the least urgent, and long behind the others */
	c = claim(w, worker, 2, NOW + 1000);
	assert_int_equal(c.n, 2);
	assert_int_equal(count_of(&c, OTHER), 1);
}

static void what_is_claimed_is_divided_among_all_who_have_some(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct change_claim c;

	own(w, 1, CROWD);
	own(w, 2, OTHER);
	own(w, 3, THIRD);
	must_add(w, 1000, 100, 1, CROWD, "sha1");
	must_add(w, 2000, 50, 2, OTHER, "md5");
	must_add(w, 3000, 2, 3, THIRD, "sha512");
	c = claim(w, worker, 30, NOW);
	assert_int_equal(c.n, 30);
	assert_int_equal(count_of(&c, THIRD), 2);
	assert_true(count_of(&c, CROWD) >= 10 && count_of(&c, OTHER) >= 10);
	assert_true(c.left);
	c = claim(w, worker, 1000, NOW);
	assert_int_equal(c.n, 152 - 30);
	assert_false(c.left);
}

static void turns_go_on_from_claim_to_claim(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	size_t of[3] = {};

	own(w, 1, CROWD);
	own(w, 2, OTHER);
	own(w, 3, THIRD);
	must_add(w, 1000, 30, 1, CROWD, "sha1");
	must_add(w, 2000, 30, 2, OTHER, "sha1");
	must_add(w, 3000, 30, 3, THIRD, "sha1");
	for (unsigned i = 0; i < 12; i++) {
		struct change_claim c = claim(w, worker, 1, NOW);

		assert_int_equal(c.n, 1);
		of[0] += count_of(&c, CROWD);
		of[1] += count_of(&c, OTHER);
		of[2] += count_of(&c, THIRD);
		if (i % 3 == 2)
			assert_true(of[0] == of[1] && of[1] == of[2]);
	}
}

static void who_always_has_one_job_does_not_hold_up_who_has_many(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	size_t crowd = 0;

	own(w, 1, CROWD);
	own(w, 2, OTHER);
	must_add(w, 1000, 100, 1, CROWD, "sha1");
	for (unsigned i = 0; i < 20; i++) {
		struct change_claim c;

		must_add(w, 2000 + i, 1, 2, OTHER, "sha1");
		c = claim(w, worker, 1, NOW);
		crowd += count_of(&c, CROWD);
	}
	assert_true(crowd >= 9 && crowd <= 11);
}

static void an_owners_jobs_of_several_ops_come_by_age(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	static const char *const OPS[] = {"md5", "sha1", "sha256"};
	struct change_claim c;

	add_file(w, 1);
	for (unsigned i = 0; i < 12; i++)
		assert_int_equal(add_some(w, 1000 + i, 1, 1, OWNER, OPS[i % 3], 3, NOW - 100 + i / 2), 0);
	c = claim(w, worker, 12, NOW);
	assert_int_equal(c.n, 12);
	for (unsigned i = 0; i < 12; i++)
		assert_id(c.jobs[i].job.id, 1000 + i);
}

static void an_urgent_job_goes_first_and_nothing_starves(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct change_claim c;
	size_t old = 0;

	add_file(w, 1);
	assert_int_equal(add_some(w, 1000, 10, 1, OWNER, "md5", 7, NOW - 1000), 0); /* has waited for long */
	assert_int_equal(add_some(w, 2000, 100, 1, OWNER, "sha1", 0, NOW), 0);
	for (unsigned i = 0; i < 64; i++) {
		c = claim(w, worker, 1, NOW);
		assert_int_equal(c.n, 1);
		assert_true(i > 0 || c.jobs[0].job.priority == 0);
		old += c.jobs[0].job.priority == 7;
	}
	assert_int_equal(old, 4); /* every 16th */
	c = claim(w, worker, 32, NOW);
	assert_int_equal(count_op(&c, "md5"), 2);
	c = claim(w, worker, 100, NOW); /* the rest */
	assert_int_equal(c.n, 14);
	assert_int_equal(count_op(&c, "md5"), 4);
}

/* ---- limits ---- */

static void no_more_jobs_of_an_op_run_than_its_limit(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	const struct claim_limit limits[] = {{STR("gzip"), 1}, {STR("resize"), 2}};
	struct change_claim as = {.worker = worker, .max = 10, .now = NOW, .limits = limits, .n_limits = 2}, first, c;

	own(w, 1, CROWD);
	own(w, 2, OTHER);
	must_add(w, 1000, 50, 1, CROWD, "resize");
	must_add(w, 2000, 50, 2, OTHER, "resize");
	must_add(w, 3000, 3, 1, CROWD, "md5");
	first = claim_as(w, as);
	assert_int_equal(first.n, 5);
	assert_int_equal(count_op(&first, "resize"), 2); /* whoever's they are */
	assert_int_equal(count_of(&first, OTHER), 1);
	assert_true(first.left);
	c = claim_as(w, as);
	assert_int_equal(c.n, 0);
	assert_true(c.left);
	for (size_t i = 0; i < first.n; i++)
		if (str_eq(first.jobs[i].job.op, STR("resize")))
			assert_int_equal(finish(w, &first.jobs[i].job, worker, i % 2 ? JOB_SUCCEEDED : JOB_FAILED), 0);
	c = claim_as(w, as);
	assert_int_equal(c.n, 2);
	reclaim(w, NOW, true);
	c = claim_as(w, as);
	assert_int_equal(count_op(&c, "resize"), 2);
}

static void no_more_jobs_of_an_owner_run_than_the_limit(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct change_claim as = {.worker = worker, .max = 10, .now = NOW, .owner_limit = 3}, c;
	struct job ended;

	own(w, 1, CROWD);
	own(w, 2, OTHER);
	must_add(w, 1000, 50, 1, CROWD, "md5");
	must_add(w, 1100, 50, 1, CROWD, "sha1");
	must_add(w, 2000, 1, 2, OTHER, "sha1");
	c = claim_as(w, as);
	assert_int_equal(c.n, 4);
	assert_int_equal(count_of(&c, CROWD), 3);
	ended = str_eq(c.jobs[0].owner, CROWD) ? c.jobs[0].job : c.jobs[1].job;
	assert_true(c.left);
	assert_int_equal(claim_as(w, as).n, 0);
	assert_int_equal(finish(w, &ended, worker, JOB_SUCCEEDED), 0);
	assert_int_equal(claim_as(w, as).n, 1);
}

static void newcomers_are_those_of_whom_nothing_runs(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct change_claim as = {.worker = worker, .max = 10, .now = NOW, .newcomers = true}, c;

	own(w, 1, CROWD);
	own(w, 2, OTHER);
	assert_false(catalog_newcomers(w->c));
	must_add(w, 1000, 50, 1, CROWD, "md5");
	assert_true(catalog_newcomers(w->c));
	c = claim(w, worker, 10, NOW);
	assert_int_equal(c.n, 10);
	assert_false(catalog_newcomers(w->c));
	assert_int_equal(claim_as(w, as).n, 0);
	must_add(w, 2000, 5, 2, OTHER, "md5");
	assert_true(catalog_newcomers(w->c));
	c = claim_as(w, as);
	assert_int_equal(c.n, 1);
	assert_int_equal(count_of(&c, OTHER), 1);
	assert_int_equal(claim_as(w, as).n, 0);
	assert_false(catalog_newcomers(w->c));
	assert_int_equal(finish(w, &c.jobs[0].job, worker, JOB_SUCCEEDED), 0);
	assert_true(catalog_newcomers(w->c));
}

static void a_claim_says_when_the_next_one_becomes_ready(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct change_claim c;

	own(w, 1, CROWD);
	add_file(w, 2);
	assert_int_equal(claim(w, worker, 10, NOW).next_at, INT64_MAX);
	assert_int_equal(add_some(w, 1000, 1, 1, CROWD, "md5", 3, NOW + 300), 0);
	assert_int_equal(add_some(w, 1001, 1, 1, CROWD, "md5", 2, NOW + 200), 0);
	assert_int_equal(add_some(w, 1002, 1, 2, OWNER, "md5", 2, NOW + 250), 0);
	c = claim(w, worker, 10, NOW);
	assert_int_equal(c.n, 0);
	assert_false(c.left);
	assert_int_equal(c.next_at, NOW + 200);
	c = claim(w, worker, 10, NOW + 220);
	assert_int_equal(c.n, 1);
	assert_int_equal(c.next_at, NOW + 250);
	assert_int_equal(cancel_job(w, 1000, NULL), ERR_JOB_NOT_FOUND); /* another owner's */
	assert_int_equal(cancel_job(w, 1002, NULL), 0);
	assert_int_equal(claim(w, worker, 10, NOW + 220).next_at, NOW + 300);
}

/* ---- an owner's part of the queue ---- */

static void an_owner_waits_with_so_many_jobs_and_others_are_not_touched(void **state)
{
	struct world *w = *state;
	struct job jobs[5];
	struct uuid worker;
	struct change more;
	struct built b;

	world_restart(w, (struct catalog_options){.queue_max = 8, .owner_queue_max = 3});
	worker = first_beat(w, 500, NOW + 15000);
	own(w, 1, CROWD);
	own(w, 2, OTHER);
	assert_int_equal(add_some(w, 1000, 4, 1, CROWD, "md5", 3, NOW), ERR_QUEUE_FULL);
	must_add(w, 1010, 2, 1, CROWD, "md5");
	must_add(w, 1020, 1, 1, CROWD, "sha1"); /* at the limit, over all ops */
	assert_int_equal(add_some(w, 1030, 1, 1, CROWD, "sha512", 3, NOW), ERR_QUEUE_FULL);
	build_file(&b, 3);
	b.file.owner = CROWD;
	build_job(&b, "md5");
	assert_int_equal(apply1(w, &b.change), ERR_QUEUE_FULL);
	assert_int_equal(b.change.err.limit, 3);
	assert_int_equal(b.change.excess, 1);
	assert_true(b.change.excess_of_owner);
	must_add(w, 2000, 3, 2, OTHER, "md5");
	assert_int_equal(stats(w, NOW).jobs_waiting, 6);
	for (unsigned i = 0; i < ARRAY_LEN(jobs); i++)
		jobs[i] = new_job(3000 + i, 2, "sha1");
	more = (struct change){.kind = CHANGE_ADD_JOBS, .add_jobs = {.owner = OTHER, .jobs = jobs, .n = ARRAY_LEN(jobs)}};
	assert_int_equal(apply1(w, &more), ERR_QUEUE_FULL);
	assert_int_equal(more.excess, 5); /* all of them, also those behind the first that has no room */
	build_file(&b, 4); /* of a third owner, whose part is empty */
	build_job(&b, "md5");
	build_job(&b, "sha1");
	build_job(&b, "sha256");
	assert_int_equal(apply1(w, &b.change), ERR_QUEUE_FULL);
	assert_int_equal(b.change.err.limit, 8);
	assert_int_equal(b.change.excess, 1); /* one must go, not three */
	assert_false(b.change.excess_of_owner);
	assert_int_equal(claim(w, worker, 2, NOW).n, 2); /* one of each */
	must_add(w, 1040, 1, 1, CROWD, "sha512");
}

static void a_retry_by_hand_needs_room_too(void **state)
{
	struct world *w = *state;
	struct uuid worker;

	world_restart(w, (struct catalog_options){.queue_max = 1});
	worker = first_beat(w, 500, NOW + 15000);
	add_file_with_job(w, 1, "md5");
	assert_int_equal(finish(w, &claim(w, worker, 1, NOW).jobs[0].job, worker, JOB_FAILED), 0);
	add_file_with_job(w, 2, "md5");
	assert_int_equal(retry_job(w, job_id(1, 0)), ERR_QUEUE_FULL);
	assert_int_equal(read_job(w, job_id(1, 0)).state, JOB_FAILED);
	claim(w, worker, 1, NOW);
	assert_int_equal(retry_job(w, job_id(1, 0)), 0);
}

/* ---- what the store refuses ---- */

static void it_is_counted_how_often_the_store_refused_a_jobs_output(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct change back = {.kind = CHANGE_FINISH};

	add_file_with_job(w, 1, "gzip");
	for (unsigned i = 0; i < 6; i++) {
		struct claimed c = claim(w, worker, 1, NOW).jobs[0];

		assert_int_equal(c.job.refused, i < 5 ? i : 0);
		assert_int_equal(c.job.attempt, i < 5 ? 1 : 2);
		back.finish = (struct change_finish){.job = c.job.id,
						     .fence = c.job.fence,
						     .worker = worker,
						     .state = JOB_QUEUED,
						     .retry_at = NOW,
						     .give_back = i != 4,
						     .refused = i != 4};
		must_apply(w, &back);
	}
	assert_int_equal(claim(w, worker, 1, NOW).jobs[0].job.refused, 1);
}

static void a_change_that_is_undone_changes_nobodys_turn(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct change_claim c;

	own(w, 1, CROWD);
	must_add(w, 1000, 2, 1, CROWD, "md5");
	assert_int_equal(add_some(w, 1001, 2, 1, CROWD, "sha1", 0, NOW - 50), ERR_CONFLICT); /* the first id is taken */
	assert_int_equal(add_some(w, 999, 2, 1, CROWD, "sha1", 0, NOW - 50), ERR_CONFLICT); /* the second one is */
	assert_int_equal(stats(w, NOW).oldest_waiting_at, NOW);
	c = claim(w, worker, 10, NOW);
	assert_int_equal(c.n, 2);
	assert_int_equal(count_op(&c, "md5"), 2);
	must_add(w, 3000, 2, 1, CROWD, "sha1");
	assert_int_equal(claim(w, worker, 10, NOW).n, 2);
}

const struct named_test contract_turns[] = {
	NAMED(a_crowd_of_one_owner_does_not_delay_anothers_one_job),
	NAMED(what_is_claimed_is_divided_among_all_who_have_some),
	NAMED(turns_go_on_from_claim_to_claim),
	NAMED(who_always_has_one_job_does_not_hold_up_who_has_many),
	NAMED(an_owners_jobs_of_several_ops_come_by_age),
	NAMED(an_urgent_job_goes_first_and_nothing_starves),
	NAMED(no_more_jobs_of_an_op_run_than_its_limit),
	NAMED(no_more_jobs_of_an_owner_run_than_the_limit),
	NAMED(newcomers_are_those_of_whom_nothing_runs),
	NAMED(a_claim_says_when_the_next_one_becomes_ready),
	NAMED(an_owner_waits_with_so_many_jobs_and_others_are_not_touched),
	NAMED(a_retry_by_hand_needs_room_too),
	NAMED(it_is_counted_how_often_the_store_refused_a_jobs_output),
	NAMED(a_change_that_is_undone_changes_nobodys_turn),
	{},
};
