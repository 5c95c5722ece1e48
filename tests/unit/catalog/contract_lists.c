/* The contract, last part: lists, filters, cursors. */
#include "world.h"

static size_t list_files(struct world *w, const struct file_filter *f, struct page page, struct file **ret, int64_t *ret_next)
{
	size_t n = 0;

	assert_int_equal(catalog_list_files(w->c, f, page, &w->arena, ret, &n, ret_next, &w->err), 0);
	return n;
}

static size_t list_jobs(struct world *w, const struct job_filter *f, struct page page, struct job **ret, int64_t *ret_next)
{
	size_t n = 0;

	assert_int_equal(catalog_list_jobs(w->c, f, page, &w->arena, ret, &n, ret_next, &w->err), 0);
	return n;
}

static const struct file_filter ALL_FILES = {.owner = {OWNER_PUBLIC, sizeof(OWNER_PUBLIC) - 1}, .state = -1};
static const struct job_filter ALL_JOBS = {.owner = {OWNER_PUBLIC, sizeof(OWNER_PUBLIC) - 1}, .state = -1};

static void an_empty_list_is_a_list(void **state)
{
	struct world *w = *state;
	struct file *files;
	struct job *jobs;
	int64_t next = 1;

	assert_int_equal(list_files(w, &ALL_FILES, (struct page){.limit = 10}, &files, &next), 0);
	assert_int_equal(next, 0);
	assert_int_equal(list_jobs(w, &ALL_JOBS, (struct page){.limit = 10}, &jobs, &next), 0);
	assert_int_equal(next, 0);
}

static void files_come_newest_first_page_by_page(void **state)
{
	struct world *w = *state;
	struct page page = {.limit = 3};
	unsigned expected = 10, pages = 0;
	struct file *files;

	for (unsigned i = 1; i <= 10; i++)
		add_file_with_job(w, i, "md5");
	do {
		size_t n = list_files(w, &ALL_FILES, page, &files, &page.before);

		assert_int_equal(n, pages == 3 ? 1 : 3);
		for (size_t i = 0; i < n; i++) {
			assert_id(files[i].id, expected);
			assert_int_equal(files[i].n_jobs, 1);
			assert_id(files[i].jobs[0].id, job_id(expected--, 0));
		}
		pages++;
	} while (page.before);
	assert_int_equal(pages, 4);
	assert_int_equal(expected, 0);
}

static void the_last_page_has_no_cursor(void **state)
{
	struct world *w = *state;
	struct file *files;
	int64_t next;

	for (unsigned i = 1; i <= 3; i++)
		add_file(w, i);
	assert_int_equal(list_files(w, &ALL_FILES, (struct page){.limit = 3}, &files, &next), 3);
	assert_int_equal(next, 0);
	assert_int_equal(list_files(w, &ALL_FILES, (struct page){.limit = 2}, &files, &next), 2);
	assert_int_equal(next, 2);
}

static void a_page_has_between_1_and_200_rows(void **state)
{
	struct world *w = *state;
	struct file *files;
	int64_t next;

	for (unsigned i = 1; i <= 201; i++)
		add_file(w, i);
	assert_int_equal(list_files(w, &ALL_FILES, (struct page){.limit = 200}, &files, &next), 200);
	assert_int_equal(next, 2);
	assert_int_equal(list_files(w, &ALL_FILES, (struct page){.limit = 100000}, &files, &next), 200);
	assert_int_equal(list_files(w, &ALL_FILES, (struct page){.limit = 0}, &files, &next), 1);
}

static void a_list_shows_ones_own_files_that_are_there(void **state)
{
	struct world *w = *state;
	struct file_filter others = {.owner = STR("somebody else"), .state = -1};
	struct file *files;
	struct built b;
	int64_t next;

	for (unsigned i = 1; i <= 3; i++)
		add_file(w, i);
	build_file(&b, 4);
	b.file.owner = others.owner;
	must_apply(w, &b.change);
	assert_int_equal(delete_file(w, 2), 0);
	assert_int_equal(list_files(w, &ALL_FILES, (struct page){.limit = 10}, &files, &next), 2);
	assert_id(files[0].id, 3);
	assert_id(files[1].id, 1);
	assert_int_equal(list_files(w, &others, (struct page){.limit = 10}, &files, &next), 1);
	assert_id(files[0].id, 4);
}

static void files_are_filtered_by_a_part_of_their_name(void **state)
{
	struct world *w = *state;
	struct file_filter f = ALL_FILES;
	struct file *files;
	int64_t next;

	for (unsigned i = 9; i <= 12; i++)
		add_file(w, i);
	f.name = STR("file 1");
	assert_int_equal(list_files(w, &f, (struct page){.limit = 10}, &files, &next), 3);
	f.name = STR("12.bin");
	assert_int_equal(list_files(w, &f, (struct page){.limit = 10}, &files, &next), 1);
	f.name = STR("%");
	assert_int_equal(list_files(w, &f, (struct page){.limit = 10}, &files, &next), 0);
}

static void files_are_filtered_by_a_label(void **state)
{
	static const char *const LABELS[] = {"{\"kind\":\"photo\",\"year\":\"2026\"}",
					     "{\"kind\":\"photos\"}",
					     "{\"x\":\"\\\"kind\\\":\\\"photo\\\"\"}",
					     "{}",
					     "{\"a.kind\":\"photo\"}",
					     "{\"kind\":\"a \\\"b\\\"\"}"};
	struct world *w = *state;
	struct file_filter f = ALL_FILES;
	struct file *files;
	int64_t next;

	for (unsigned i = 0; i < ARRAY_LEN(LABELS); i++) {
		struct built b;

		build_file(&b, i + 1);
		b.file.labels = str_of(LABELS[i]);
		must_apply(w, &b.change);
	}
	f.label_key = STR("kind");
	f.label_value = STR("photo");
	assert_int_equal(list_files(w, &f, (struct page){.limit = 10}, &files, &next), 1);
	assert_id(files[0].id, 1);
	f.label_value = STR("a \"b\"");
	assert_int_equal(list_files(w, &f, (struct page){.limit = 10}, &files, &next), 1);
	assert_id(files[0].id, 6);
	f.label_key = STR("year");
	f.label_value = STR("2026");
	assert_int_equal(list_files(w, &f, (struct page){.limit = 10}, &files, &next), 1);
}

static void files_are_filtered_by_the_state_of_their_jobs(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct file_filter f = ALL_FILES;
	struct file *files;
	int64_t next;

	for (unsigned i = 1; i <= 3; i++)
		add_file_with_job(w, i, "md5");
	claim(w, worker, 1, NOW);
	f.state = JOB_RUNNING;
	assert_int_equal(list_files(w, &f, (struct page){.limit = 10}, &files, &next), 1);
	assert_id(files[0].id, 1);
	f.state = JOB_QUEUED;
	assert_int_equal(list_files(w, &f, (struct page){.limit = 10}, &files, &next), 2);
	f.state = JOB_FAILED;
	assert_int_equal(list_files(w, &f, (struct page){.limit = 10}, &files, &next), 0);
}

static void filtered_pages_go_on_where_they_ended(void **state)
{
	struct world *w = *state;
	struct page page = {.limit = 2};
	struct file_filter f = ALL_FILES;
	struct file *files;
	size_t seen = 0;

	for (unsigned i = 1; i <= 30; i++)
		add_file(w, i);
	f.name = STR("file 1"); /* 1 and 10 to 19 */
	do {
		seen += list_files(w, &f, page, &files, &page.before);
	} while (page.before);
	assert_int_equal(seen, 11);
}

static void jobs_come_newest_first_and_filtered(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct job_filter f = ALL_JOBS;
	struct page page = {.limit = 2};
	struct job *jobs;
	struct built b;
	size_t seen = 0;
	int64_t next;

	for (unsigned i = 1; i <= 3; i++) {
		build_file(&b, i);
		build_job(&b, "md5");
		build_job(&b, "sha1");
		must_apply(w, &b.change);
	}
	assert_int_equal(list_jobs(w, &f, (struct page){.limit = 10}, &jobs, &next), 6);
	assert_id(jobs[0].id, job_id(3, 1));
	assert_id(jobs[0].file, 3);
	assert_id(jobs[5].id, job_id(1, 0));
	do {
		seen += list_jobs(w, &f, page, &jobs, &page.before);
	} while (page.before);
	assert_int_equal(seen, 6);
	f.op = STR("sha1");
	assert_int_equal(list_jobs(w, &f, (struct page){.limit = 10}, &jobs, &next), 3);
	f.by_file = true;
	f.file = test_id(2);
	assert_int_equal(list_jobs(w, &f, (struct page){.limit = 10}, &jobs, &next), 1);
	assert_id(jobs[0].id, job_id(2, 1));
	f = ALL_JOBS;
	claim(w, worker, 2, NOW);
	f.state = JOB_RUNNING;
	assert_int_equal(list_jobs(w, &f, (struct page){.limit = 10}, &jobs, &next), 2);
	f.state = JOB_QUEUED;
	assert_int_equal(list_jobs(w, &f, (struct page){.limit = 10}, &jobs, &next), 4);
	assert_int_equal(delete_file(w, 3), 0);
	f.state = -1;
	assert_int_equal(list_jobs(w, &f, (struct page){.limit = 10}, &jobs, &next), 4);
	f.owner = STR("somebody else");
	assert_int_equal(list_jobs(w, &f, (struct page){.limit = 10}, &jobs, &next), 0);
}

static void who_watches_is_told_how_deep_the_queue_is(void **state)
{
	struct world *w = *state;
	struct catalog_depth d;
	struct built b;

	assert_int_equal(catalog_depth(w->c, NOW, &d, &w->err), 0);
	assert_int_equal(d.waiting, 0);
	for (unsigned n = 1; n <= 6; n++) {
		build_file(&b, n);
		struct job *job = build_job(&b, n % 2 ? "md5" : "sha1");
		job->priority = n <= 3 ? 1 : PRIORITY_MAX;
		job->run_at = n == 6 ? NOW + 1000 : NOW - 10 * n;
		must_apply(w, &b.change);
	}
	assert_int_equal(catalog_depth(w->c, NOW, &d, &w->err), 0);
	assert_int_equal(d.waiting, 6);
	assert_int_equal(d.at[1].ready, 3);
	assert_int_equal(d.at[1].oldest_at, NOW - 30);
	assert_int_equal(d.oldest_at, NOW - 50);
	assert_int_equal(d.at[PRIORITY_MAX].ready, 2);
	assert_int_equal(d.at[PRIORITY_MAX].oldest_at, NOW - 50);
	assert_int_equal(d.at[PRIORITY_DEFAULT].ready, 0);
	assert_int_equal(d.at[PRIORITY_DEFAULT].oldest_at, 0);
	assert_int_equal(catalog_depth(w->c, NOW + 1000, &d, &w->err), 0);
	assert_int_equal(d.at[PRIORITY_MAX].ready, 3);
	assert_int_equal(d.log_bytes > 0, w->dir[0] != '\0');
	assert_int_equal(claim(w, first_beat(w, 500, NOW + 15000), 2, NOW).n, 2);
	assert_int_equal(catalog_depth(w->c, NOW, &d, &w->err), 0);
	assert_int_equal(d.waiting, 4);
	assert_int_equal(d.at[1].ready, 1);
	assert_int_equal(d.at[1].oldest_at, NOW - 10);
}

const struct named_test contract_lists[] = {
	NAMED(an_empty_list_is_a_list),
	NAMED(files_come_newest_first_page_by_page),
	NAMED(the_last_page_has_no_cursor),
	NAMED(a_page_has_between_1_and_200_rows),
	NAMED(a_list_shows_ones_own_files_that_are_there),
	NAMED(files_are_filtered_by_a_part_of_their_name),
	NAMED(files_are_filtered_by_a_label),
	NAMED(files_are_filtered_by_the_state_of_their_jobs),
	NAMED(filtered_pages_go_on_where_they_ended),
	NAMED(jobs_come_newest_first_and_filtered),
	NAMED(who_watches_is_told_how_deep_the_queue_is),
	{},
};
