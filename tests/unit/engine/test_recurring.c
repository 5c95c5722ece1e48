/* Recurring entries: the clock on the wall is in the test's hand, and the thread is kicked when it was put forward. */
#include "catalog/catalog_impl.h"
#include "engine/engine_impl.h"
#include "world.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DAY INT64_C(86400000)
#define MIDNIGHT (20000 * DAY) /* 2024-10-04 */
#define MORNING (MIDNIGHT + 3 * 3600000) /* 03:00, when entries are due */
#define DAILY "0 3 * * *"
#define NAME STR("nightly")
#define PATIENCE_MS 60000

static _Atomic int64_t wall;

static int64_t wall_by_hand(struct env *e)
{
	return atomic_load(&wall);
}

/* What the catalogue has in it before the engine comes. */
static struct {
	unsigned files;
	struct recurring_state state; /* due_at 0 = none */
	enum job_state state_of_jobs; /* of the job each file has, when op is set */
	const char *op;
	int error;
} before;

static struct uuid file_id(unsigned n)
{
	struct uuid id = {};

	memcpy(id.b, &n, sizeof(n));
	id.b[15] = 1;
	return id;
}

/* Every third one is an image, every second one has a label. */
static void put_file(struct catalog *c, unsigned n)
{
	char name[32];
	struct job job = {.id = file_id(n + 1000000),
			  .op = before.op != NULL ? str_of(before.op) : STR(""),
			  .op_version = 1,
			  .params = STR("{}"),
			  .state = before.state_of_jobs,
			  .attempt = 1,
			  .max_attempts = 1,
			  .error = before.error,
			  .run_at = MIDNIGHT,
			  .created_at = MIDNIGHT,
			  .finished_at = MIDNIGHT};
	struct file f = {.id = file_id(n),
			 .owner = STR(OWNER_PUBLIC),
			 .type = n % 3 == 0 ? STR("image/png") : STR("text/plain"),
			 .labels = n % 2 == 0 ? STR("{\"project\":\"alpha\"}") : STR("{}"),
			 .size = 1,
			 .created_at = MIDNIGHT,
			 .jobs = &job,
			 .n_jobs = before.op != NULL};
	struct change ch = {.kind = CHANGE_ADD_FILE, .add_file = {.file = &f, .bytes = STR("x")}}, *list[] = {&ch};
	struct err e = ERR_INIT;

	snprintf(name, sizeof(name), "file %u.%s", n, n % 3 == 0 ? "png" : "txt");
	f.name = str_of(name);
	assert_int_equal(catalog_apply(c, list, 1, &e), 0);
	assert_int_equal(ch.code, 0);
}

static void fill_catalog(struct catalog *c)
{
	struct change ch = {.kind = CHANGE_RECURRING, .recurring = {.to = before.state}}, *list[] = {&ch};
	struct err e = ERR_INIT;

	for (unsigned i = 1; i <= before.files; i++)
		put_file(c, i);
	if (before.state.due_at == 0)
		return;
	assert_int_equal(catalog_apply(c, list, 1, &e), 0);
	assert_int_equal(ch.code, 0);
}

/* ---- a catalogue that is looked over its shoulder ---- */

static const struct catalog_ops *real_ops;
static struct catalog_ops odd_ops;
static unsigned steps; /* changes of the entry */
static unsigned file_to_go; /* is deleted between the look at the list and the change */

/* The engine's own thread deletes it: by the batch that comes. */
static int apply_after_a_delete(struct catalog *c, struct change *const *changes, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++)
		steps += changes[i]->kind == CHANGE_RECURRING;
	for (size_t i = 0; i < n && file_to_go > 0; i++)
		if (changes[i]->kind == CHANGE_RECURRING && changes[i]->recurring.add.n > 0) {
			struct change gone = {.kind = CHANGE_DELETE_FILE,
					      .delete_file = {.id = file_id(file_to_go), .owner = STR(OWNER_PUBLIC), .now = MORNING}},
				      *first[] = {&gone};
			file_to_go = 0;
			assert_int_equal(real_ops->apply(c, first, 1, e), 0);
			assert_int_equal(gone.code, 0);
		}
	return real_ops->apply(c, changes, n, e);
}

static void fill_odd_catalog(struct catalog *c)
{
	fill_catalog(c);
	real_ops = c->ops;
	odd_ops = *c->ops;
	odd_ops.apply = apply_after_a_delete;
	c->ops = &odd_ops;
}

/* ---- a world with one entry ---- */

static struct env env;
static struct arena ops_arena;
static struct engine_recurring entry;

static void open_world(struct world *w, const char *ops)
{
	struct engine_config config = world_config();
	struct op_request *list;
	struct err e = ERR_INIT;

	env = env_real;
	env.wall_ms = wall_by_hand;
	assert_int_equal(op_table_parse_list(op_builtin_table(), &list, &entry.n_ops, str_of(ops), &ops_arena, &e), 0);
	entry.ops = list;
	entry.name = "nightly";
	entry.schedule = entry.schedule != NULL ? entry.schedule : DAILY;
	entry.zone = ZONE_UTC;
	entry.files.owner = STR(OWNER_PUBLIC);
	entry.files.state = -1;
	assert_int_equal(cron_parse(&entry.cron, str_of(DAILY), &e), 0);
	config.recurring = &entry;
	config.n_recurring = 1;
	*w = (struct world){.env = &env, .prepare = fill_odd_catalog};
	world_open(w, &config);
}

static int begin(void **state)
{
	memset(&before, 0, sizeof(before));
	entry = (struct engine_recurring){.priority = PRIORITY_DEFAULT};
	ops_arena = ARENA_INIT;
	atomic_store(&wall, MIDNIGHT);
	steps = file_to_go = 0;
	return 0;
}

static int end(void **state)
{
	arena_release(&ops_arena);
	return 0;
}

static void put_clock(struct world *w, int64_t ms)
{
	atomic_store(&wall, ms);
	sleeper_kick(&w->g->recurring.sleeper);
}

/* As it stands; due_at 0: it has none yet. */
static struct recurring_state standing(struct world *w)
{
	struct arena a = ARENA_INIT;
	struct recurring_state *list, s = {};
	struct err e = ERR_INIT;
	size_t n;

	assert_int_equal(catalog_recurring(w->catalog, &a, &list, &n, &e), 0);
	if (n > 0)
		s = list[0];
	s.name = s.schedule = (struct str){};
	arena_release(&a);
	return s;
}

/* Until the run of that due time is whole. */
static void wait_whole(struct world *w, int64_t due_at)
{
	for (unsigned i = 0; i < PATIENCE_MS; i++) {
		struct recurring_state s = standing(w);
		if (s.due_at == due_at && s.before == s.since + 1)
			return;
		usleep(1000);
	}
	fail_msg("the run of %lld did not come to its end", (long long)due_at);
}

static unsigned jobs_of(struct world *w, unsigned n)
{
	struct arena a = ARENA_INIT;
	unsigned jobs = (unsigned)read_file(w, file_id(n), &a).n_jobs;

	arena_release(&a);
	return jobs;
}

/* ---- which files ---- */

static void files_that_came_since_the_run_before_get_their_jobs(void **state)
{
	struct world w;
	struct upload u;
	struct arena a = ARENA_INIT;

	before.files = 3;
	open_world(&w, "sha1, crc32c");
	wait_whole(&w, MIDNIGHT); /* it counts from now on */
	upload_bytes(&w, &PUBLIC_SPEC, "abc", 3, 3, &u);
	put_clock(&w, MORNING - 1);
	put_clock(&w, MORNING);
	wait_whole(&w, MORNING);
	assert_int_equal(jobs_of(&w, 1) + jobs_of(&w, 2) + jobs_of(&w, 3), 0);
	assert_true(wait_final(&w, u.id, PATIENCE_MS));
	struct file f = read_file(&w, u.id, &a);
	assert_int_equal(f.n_jobs, 3); /* md5 came with it */
	assert_true(str_eq(f.jobs[1].op, STR("sha1")) && str_eq(f.jobs[2].op, STR("crc32c")));
	assert_int_equal(f.jobs[1].created_at, MORNING);
	put_clock(&w, MORNING + DAY);
	wait_whole(&w, MORNING + DAY);
	assert_int_equal(read_file(&w, u.id, &a).n_jobs, 3);
	arena_release(&a);
	world_close(&w);
}

static void all_files_are_more_than_one_page_and_each_has_its_jobs_once(void **state)
{
	struct world w;

	before.files = 450;
	entry.all = true;
	entry.priority = 6;
	open_world(&w, "sha1");
	wait_whole(&w, MIDNIGHT);
	put_clock(&w, MORNING);
	wait_whole(&w, MORNING);
	for (unsigned i = 1; i <= before.files; i++)
		assert_int_equal(jobs_of(&w, i), 1);
	put_clock(&w, MORNING + DAY); /* all are dealt with */
	wait_whole(&w, MORNING + DAY);
	for (unsigned i = 1; i <= before.files; i++)
		assert_int_equal(jobs_of(&w, i), 1);
	struct arena a = ARENA_INIT;
	assert_int_equal(read_file(&w, file_id(7), &a).jobs[0].priority, 6);
	arena_release(&a);
	world_close(&w);
}

static void only_what_is_selected_gets_jobs(void **state)
{
	struct world w;

	before.files = 24;
	entry.all = true;
	entry.files = (struct file_filter){.name = STR("file 1"), .label_key = STR("project"), .label_value = STR("alpha")};
	entry.type = STR("image/");
	open_world(&w, "sha1");
	wait_whole(&w, MIDNIGHT);
	put_clock(&w, MORNING);
	wait_whole(&w, MORNING);
	for (unsigned i = 1; i <= before.files; i++)
		assert_int_equal(jobs_of(&w, i), i == 12 || i == 18);
	world_close(&w);
}

static void a_type_in_full_is_that_type_alone(void **state)
{
	struct world w;

	before.files = 6;
	entry.all = true;
	entry.type = STR("image/pn");
	open_world(&w, "sha1");
	wait_whole(&w, MIDNIGHT);
	put_clock(&w, MORNING);
	wait_whole(&w, MORNING);
	for (unsigned i = 1; i <= before.files; i++)
		assert_int_equal(jobs_of(&w, i), 0);
	world_close(&w);
}

/* How many jobs a file has after a run when it had one of the same op that ended like this. */
static unsigned jobs_after(enum job_state s, int error)
{
	struct world w;
	unsigned jobs;

	atomic_store(&wall, MIDNIGHT);
	before.files = 1;
	before.op = "sha1";
	before.state_of_jobs = s;
	before.error = error;
	entry.all = true;
	open_world(&w, "sha1");
	wait_whole(&w, MIDNIGHT);
	put_clock(&w, MORNING);
	wait_whole(&w, MORNING);
	jobs = jobs_of(&w, 1);
	world_close(&w);
	return jobs;
}

static void what_failed_for_good_is_dealt_with_and_what_may_end_otherwise_is_not(void **state)
{
	assert_int_equal(jobs_after(JOB_SUCCEEDED, 0), 1);
	assert_int_equal(jobs_after(JOB_FAILED, ERR_TRUNCATED), 1);
	assert_int_equal(jobs_after(JOB_FAILED, ERR_RUNNER_CRASHED), 2);
}

/* ---- when ---- */

static void a_due_time_is_begun_once(void **state)
{
	struct world w;
	struct upload u;

	open_world(&w, "sha1");
	wait_whole(&w, MIDNIGHT);
	put_clock(&w, MORNING);
	wait_whole(&w, MORNING);
	upload_bytes(&w, &PUBLIC_SPEC, "abc", 3, 3, &u);
	put_clock(&w, MORNING + 1000);
	put_clock(&w, MORNING - 1000); /* set back by hand */
	put_clock(&w, MORNING);
	put_clock(&w, MORNING + DAY - 1);
	put_clock(&w, MORNING + 3 * DAY + 5); /* several at once are one */
	wait_whole(&w, MORNING + 3 * DAY);
	assert_true(wait_final(&w, u.id, PATIENCE_MS));
	struct arena a = ARENA_INIT;
	assert_int_equal(read_file(&w, u.id, &a).n_jobs, 2);
	arena_release(&a);
	world_close(&w);
	assert_int_equal(steps, 3); /* its beginning, and two runs */
}

static struct recurring_state stood(int64_t due_at, int64_t since, int64_t upto, int64_t from)
{
	return (struct recurring_state){
		.name = NAME, .schedule = STR(DAILY), .due_at = due_at, .since = since, .upto = upto, .before = from};
}

static void times_that_passed_while_no_server_ran_are_made_up_for_by_one_run(void **state)
{
	struct world w;

	before.files = 5;
	before.state = stood(MORNING - 9 * DAY, 0, 2, 1);
	open_world(&w, "sha1");
	wait_whole(&w, MORNING - DAY);
	for (unsigned i = 1; i <= before.files; i++)
		assert_int_equal(jobs_of(&w, i), i > 2);
	world_close(&w);
}

static void or_they_are_left_out(void **state)
{
	struct world w;

	before.files = 5;
	before.state = stood(MORNING - 9 * DAY, 0, 2, 1);
	entry.skip_missed = true;
	open_world(&w, "sha1");
	wait_whole(&w, MORNING - DAY);
	for (unsigned i = 1; i <= before.files; i++)
		assert_int_equal(jobs_of(&w, i), 0);
	put_clock(&w, MORNING); /* and no file is forgotten for that */
	wait_whole(&w, MORNING);
	for (unsigned i = 1; i <= before.files; i++)
		assert_int_equal(jobs_of(&w, i), i > 2);
	world_close(&w);
}

static void a_run_that_was_cut_off_goes_on_where_it_was(void **state)
{
	struct world w;

	before.files = 600;
	before.state = stood(MORNING - DAY, 100, 500, 300);
	entry.skip_missed = true;
	open_world(&w, "sha1");
	wait_whole(&w, MORNING - DAY);
	for (unsigned i = 1; i <= before.files; i++)
		assert_int_equal(jobs_of(&w, i), i > 100 && i < 300);
	put_clock(&w, MORNING);
	wait_whole(&w, MORNING);
	for (unsigned i = 1; i <= before.files; i++)
		assert_int_equal(jobs_of(&w, i), (i > 100 && i < 300) || i > 500);
	world_close(&w);
}

static void under_another_schedule_times_are_counted_anew(void **state)
{
	struct world w;

	before.files = 5;
	before.state = stood(MORNING - 9 * DAY, 0, 2, 1);
	entry.schedule = DAILY " elsewhere";
	open_world(&w, "sha1");
	wait_whole(&w, MIDNIGHT);
	assert_int_equal(jobs_of(&w, 5), 0);
	put_clock(&w, MORNING);
	wait_whole(&w, MORNING);
	assert_int_equal(jobs_of(&w, 5), 1);
	world_close(&w);
}

static void a_last_time_far_ahead_was_of_a_wrong_clock(void **state)
{
	struct world w;

	before.state = stood(MORNING + 3650 * DAY, 0, 0, 1);
	open_world(&w, "sha1");
	wait_whole(&w, MIDNIGHT);
	put_clock(&w, MORNING);
	wait_whole(&w, MORNING);
	world_close(&w);
}

static void an_entry_that_is_configured_no_more_is_forgotten(void **state)
{
	struct world w;

	before.state = stood(MORNING, 0, 0, 1);
	before.state.name = STR("another");
	open_world(&w, "sha1");
	wait_whole(&w, MIDNIGHT);
	assert_int_equal(standing(&w).due_at, MIDNIGHT);
	world_close(&w);
}

/* ---- what goes wrong ---- */

static void a_file_that_goes_meanwhile_keeps_no_other_from_its_jobs(void **state)
{
	struct world w;

	before.files = 10;
	entry.all = true;
	file_to_go = 4;
	open_world(&w, "sha1");
	wait_whole(&w, MIDNIGHT);
	put_clock(&w, MORNING);
	wait_whole(&w, MORNING);
	assert_int_equal(file_to_go, 0);
	for (unsigned i = 1; i <= before.files; i++)
		if (i != 4)
			assert_int_equal(jobs_of(&w, i), 1);
	world_close(&w);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(files_that_came_since_the_run_before_get_their_jobs),
		TEST(all_files_are_more_than_one_page_and_each_has_its_jobs_once),
		TEST(only_what_is_selected_gets_jobs),
		TEST(a_type_in_full_is_that_type_alone),
		TEST(what_failed_for_good_is_dealt_with_and_what_may_end_otherwise_is_not),
		TEST(a_due_time_is_begun_once),
		TEST(times_that_passed_while_no_server_ran_are_made_up_for_by_one_run),
		TEST(or_they_are_left_out),
		TEST(a_run_that_was_cut_off_goes_on_where_it_was),
		TEST(under_another_schedule_times_are_counted_anew),
		TEST(a_last_time_far_ahead_was_of_a_wrong_clock),
		TEST(an_entry_that_is_configured_no_more_is_forgotten),
		TEST(a_file_that_goes_meanwhile_keeps_no_other_from_its_jobs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
