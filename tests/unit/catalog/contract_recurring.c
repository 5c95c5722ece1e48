/* Recurring entries: their state moves with the jobs or not at all. */
#include "world.h"

#define NAME STR("nightly")
#define SCHEDULE STR("0 3 * * * UTC")

static struct change move(const struct recurring_state *was, struct recurring_state to, struct job *jobs, size_t n)
{
	struct change ch = {.kind = CHANGE_RECURRING,
			    .recurring = {.add = {.owner = OWNER, .jobs = jobs, .n = n}, .to = to, .was_there = was != NULL}};

	if (was != NULL) {
		ch.recurring.was_due_at = was->due_at;
		ch.recurring.was_before = was->before;
	}
	return ch;
}

static struct recurring_state at(int64_t due_at, int64_t since, int64_t upto, int64_t before)
{
	return (struct recurring_state){
		.name = NAME, .schedule = SCHEDULE, .due_at = due_at, .since = since, .upto = upto, .before = before};
}

static struct recurring_state only_state(struct world *w)
{
	struct recurring_state *list;
	size_t n;

	assert_int_equal(catalog_recurring(w->c, &w->arena, &list, &n, &w->err), 0);
	assert_int_equal(n, 1);
	return list[0];
}

static size_t count_states(struct world *w)
{
	struct recurring_state *list;
	size_t n;

	assert_int_equal(catalog_recurring(w->c, &w->arena, &list, &n, &w->err), 0);
	return n;
}

static void an_entry_stands_where_it_was_left(void **state)
{
	struct world *w = *state;
	struct recurring_state first = at(NOW, 3, 7, 4), next = at(NOW + 5, 7, 9, 10);
	struct change begin = move(NULL, first, NULL, 0), on = move(&first, next, NULL, 0);

	assert_int_equal(count_states(w), 0);
	must_apply(w, &begin);
	must_apply(w, &on);
	if (w->lasting)
		world_reopen(w);
	struct recurring_state s = only_state(w);
	assert_str(s.name, "nightly");
	assert_str(s.schedule, "0 3 * * * UTC");
	assert_int_equal(s.due_at, NOW + 5);
	assert_int_equal(s.since, 7);
	assert_int_equal(s.upto, 9);
	assert_int_equal(s.before, 10);
}

static void jobs_come_with_the_step_and_only_once(void **state)
{
	struct world *w = *state;
	struct recurring_state first = at(NOW, 0, 0, 1), next = at(NOW + 5, 0, 2, 1);
	struct job jobs[] = {new_job(1, 1, "md5"), new_job(2, 2, "md5")}, again[] = {new_job(3, 1, "md5"), new_job(4, 2, "md5")};
	struct change begin = move(NULL, first, NULL, 0), run = move(&first, next, jobs, 2), twice = move(&first, next, again, 2);

	add_file(w, 1);
	add_file(w, 2);
	must_apply(w, &begin);
	must_apply(w, &run);
	assert_int_equal(jobs[0].number, 1);
	assert_int_equal(apply1(w, &twice), ERR_STALE);
	assert_int_equal(read_file(w, 1).n_jobs, 1);
	assert_int_equal(read_file(w, 2).n_jobs, 1);
	assert_int_equal(stats(w, NOW).jobs_waiting, 2);
	assert_int_equal(only_state(w).due_at, NOW + 5);
}

static void a_job_that_is_refused_keeps_the_entry_where_it_was(void **state)
{
	struct world *w = *state;
	struct recurring_state first = at(NOW, 0, 0, 1), next = at(NOW + 5, 0, 2, 1);
	struct job jobs[] = {new_job(1, 1, "md5"), new_job(2, 2, "md5")};
	struct change begin = move(NULL, first, NULL, 0), run = move(&first, next, jobs, 2);

	add_file(w, 1);
	add_file(w, 2);
	must_apply(w, &begin);
	assert_int_equal(delete_file(w, 2), 0);
	assert_int_equal(apply1(w, &run), ERR_FILE_GONE);
	assert_int_equal(run.recurring.add.failed_index, 1);
	assert_int_equal(read_file(w, 1).n_jobs, 0);
	assert_int_equal(only_state(w).due_at, NOW);
	run = move(&first, next, jobs, 1);
	must_apply(w, &run);
	assert_int_equal(read_file(w, 1).n_jobs, 1);
}

static void a_full_queue_refuses_the_whole_step(void **state)
{
	struct world *w = *state;
	struct recurring_state first = at(NOW, 0, 0, 1), next = at(NOW + 5, 0, 1, 1);
	struct job jobs[] = {new_job(1, 1, "md5"), new_job(2, 1, "sha1")};

	world_restart(w, (struct catalog_options){.queue_max = 1});
	struct change begin = move(NULL, first, NULL, 0), run = move(&first, next, jobs, 2);
	add_file(w, 1);
	must_apply(w, &begin);
	assert_int_equal(apply1(w, &run), ERR_QUEUE_FULL);
	assert_int_equal(only_state(w).due_at, NOW);
	assert_int_equal(stats(w, NOW).jobs_waiting, 0);
}

static void who_takes_the_entry_for_other_than_it_is_changes_nothing(void **state)
{
	struct world *w = *state;
	struct recurring_state first = at(NOW, 0, 9, 7), other = at(NOW + 1, 0, 9, 7), elsewhere = at(NOW, 0, 9, 8),
			       next = at(NOW + 5, 0, 9, 1);
	struct change begin = move(NULL, first, NULL, 0), early = move(&first, next, NULL, 0), anew = move(NULL, next, NULL, 0),
		      time = move(&other, next, NULL, 0), place = move(&elsewhere, next, NULL, 0);

	assert_int_equal(apply1(w, &early), ERR_STALE);
	must_apply(w, &begin);
	assert_int_equal(apply1(w, &anew), ERR_STALE);
	assert_int_equal(apply1(w, &time), ERR_STALE);
	assert_int_equal(apply1(w, &place), ERR_STALE);
	assert_int_equal(only_state(w).due_at, NOW);
}

static void entries_are_told_by_name_and_can_be_forgotten(void **state)
{
	static const char *const NAMES[] = {"b", "ab", "a", "c", "aa"}, *const ORDER[] = {"a", "aa", "ab", "c"};
	struct world *w = *state;
	struct recurring_state *list, s = at(NOW, 0, 0, 1);
	size_t n;

	for (size_t i = 0; i < ARRAY_LEN(NAMES); i++) {
		s.name = str_of(NAMES[i]);
		struct change begin = move(NULL, s, NULL, 0);
		must_apply(w, &begin);
	}
	s.name = STR("b");
	struct change forget = move(&s, s, NULL, 0);
	forget.recurring.forget = true;
	must_apply(w, &forget);
	assert_int_equal(apply1(w, &forget), ERR_STALE);
	assert_int_equal(catalog_recurring(w->c, &w->arena, &list, &n, &w->err), 0);
	assert_int_equal(n, ARRAY_LEN(ORDER));
	for (size_t i = 0; i < n; i++)
		assert_str(list[i].name, ORDER[i]);
}

static void what_cannot_be_a_state_is_refused(void **state)
{
	static char longest[RECURRING_SCHEDULE_MAX + 2];
	struct world *w = *state;
	struct recurring_state bad[9];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		bad[i] = at(NOW, 3, 7, 4);
	for (size_t i = 0; i < sizeof(longest); i++)
		longest[i] = 'x';
	bad[0].name = (struct str){};
	bad[1].name = (struct str){longest, RECURRING_NAME_MAX + 1};
	bad[2].schedule = (struct str){};
	bad[3].schedule = (struct str){longest, RECURRING_SCHEDULE_MAX + 1};
	bad[4].due_at = 0;
	bad[5].since = -1;
	bad[6].upto = 2;
	bad[7].before = 3;
	bad[8].before = 9;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct change ch = move(NULL, bad[i], NULL, 0);
		assert_int_equal(apply1(w, &ch), ERR_INVALID_VALUE);
	}
	assert_int_equal(count_states(w), 0);
	struct recurring_state widest = at(NOW, 3, 7, 8);
	widest.name = (struct str){longest, RECURRING_NAME_MAX};
	widest.schedule = (struct str){longest, RECURRING_SCHEDULE_MAX};
	struct change ch = move(NULL, widest, NULL, 0);
	must_apply(w, &ch);
}

const struct named_test contract_recurring[] = {
	NAMED(an_entry_stands_where_it_was_left),
	NAMED(jobs_come_with_the_step_and_only_once),
	NAMED(a_job_that_is_refused_keeps_the_entry_where_it_was),
	NAMED(a_full_queue_refuses_the_whole_step),
	NAMED(who_takes_the_entry_for_other_than_it_is_changes_nothing),
	NAMED(entries_are_told_by_name_and_can_be_forgotten),
	NAMED(what_cannot_be_a_state_is_refused),
	{},
};
