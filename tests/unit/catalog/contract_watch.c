/* The contract: what operators look at, whoever's things they are. */
#include "world.h"

#include <string.h>

#define OTHER STR("0190d2a6-0000-7000-8000-00000000000f")

static void add_others_file(struct world *w, unsigned n, const char *op)
{
	struct built b;

	build_file(&b, n);
	b.file.owner = OTHER;
	build_job(&b, op);
	must_apply(w, &b.change);
}

static struct queue_row row_of(struct world *w, uint32_t ended_max, const char *op, uint64_t *ret_ended)
{
	struct queue_row *list = NULL, found = {};
	size_t n = 0;

	assert_int_equal(catalog_queue(w->c, NOW, ended_max, &w->arena, &list, &n, ret_ended, &w->err), 0);
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			assert_true(memcmp(list[i - 1].op.p, list[i].op.p, list[i].op.len) < 0);
		if (str_eq(list[i].op, str_of(op)))
			found = list[i];
	}
	return found;
}

static void the_queue_of_nothing_is_empty(void **state)
{
	struct world *w = *state;
	struct queue_row *list;
	uint64_t ended = 99;
	size_t n = 99;

	assert_int_equal(catalog_queue(w->c, NOW, 100, &w->arena, &list, &n, &ended, &w->err), 0);
	assert_int_equal(n, 0);
	assert_int_equal(ended, 0);
}

static void the_queue_is_counted_by_op_and_state_over_all_owners(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct queue_row md5, resize;
	struct change_claim c;
	uint64_t ended;

	for (unsigned n = 1; n <= 4; n++)
		add_file_with_job(w, n, "md5");
	add_others_file(w, 5, "md5");
	c = claim(w, worker, 2, NOW);
	assert_int_equal(c.n, 2);
	assert_int_equal(finish(w, &c.jobs[0].job, worker, JOB_FAILED), 0);
	assert_int_equal(cancel_job(w, job_id(4, 0), NULL), 0);
	add_others_file(w, 6, "resize");
	md5 = row_of(w, 100, "md5", &ended);
	resize = row_of(w, 100, "resize", &ended);
	assert_int_equal(ended, 2);
	assert_int_equal(md5.at[JOB_QUEUED] + md5.at[JOB_RUNNING], 3);
	assert_int_equal(md5.at[JOB_RUNNING], 1);
	assert_int_equal(md5.at[JOB_FAILED], 1);
	assert_int_equal(md5.at[JOB_CANCELLED], 1);
	assert_int_equal(md5.ready, 2);
	assert_int_equal(resize.at[JOB_QUEUED], 1);
	assert_int_equal(resize.at[JOB_SUCCEEDED], 0);
}

static void jobs_that_are_held_or_wait_for_a_time_are_not_ready(void **state)
{
	struct world *w = *state;
	struct queue_row row;
	struct job *first;
	struct built b;
	uint64_t ended;

	build_file(&b, 1);
	first = build_job(&b, "resize");
	build_after(&b, "resize", first);
	build_job(&b, "resize")->run_at = NOW + 1;
	must_apply(w, &b.change);
	row = row_of(w, 100, "resize", &ended);
	assert_int_equal(row.at[JOB_QUEUED], 3);
	assert_int_equal(row.ready, 1);
	assert_int_equal(row.held, 1);
}

static void only_the_newest_of_those_that_ended_are_counted(void **state)
{
	struct world *w = *state;
	struct built b;
	uint64_t ended;

	for (unsigned n = 1; n <= 5; n++) {
		build_file(&b, n);
		build_fused(&b, n < 3 ? "sha1" : "md5", "{\"md5\":\"aa\"}");
		must_apply(w, &b.change);
	}
	assert_int_equal(row_of(w, 4, "md5", &ended).at[JOB_SUCCEEDED], 3);
	assert_int_equal(row_of(w, 4, "sha1", &ended).at[JOB_SUCCEEDED], 1);
	assert_int_equal(ended, 4);
	assert_int_equal(row_of(w, 5, "sha1", &ended).at[JOB_SUCCEEDED], 2);
	assert_int_equal(ended, 5);
	assert_int_equal(row_of(w, 6, "sha1", &ended).at[JOB_SUCCEEDED], 2);
	assert_int_equal(ended, 5);
}

static void workers_are_told_with_what_they_hold(void **state)
{
	struct world *w = *state;
	struct worker_row *list;
	struct uuid worker;
	size_t n;

	assert_int_equal(catalog_workers(w->c, 10, &w->arena, &list, &n, &w->err), 0);
	assert_int_equal(n, 0);
	first_beat(w, 500, NOW + 1000);
	worker = first_beat(w, 501, NOW + 2000);
	for (unsigned i = 1; i <= 3; i++)
		add_file_with_job(w, i, "md5");
	assert_int_equal(claim(w, worker, 2, NOW).n, 2);
	assert_int_equal(catalog_workers(w->c, 10, &w->arena, &list, &n, &w->err), 0);
	assert_int_equal(n, 2);
	assert_id(list[0].id, 501);
	assert_int_equal(list[0].running, 2);
	assert_int_equal(list[0].expires_at, NOW + 2000);
	assert_id(list[1].id, 500);
	assert_int_equal(list[1].running, 0);
	assert_int_equal(catalog_workers(w->c, 1, &w->arena, &list, &n, &w->err), 0);
	assert_int_equal(n, 1);
}

static void mark(struct world *w, unsigned file, struct str blob, int64_t at)
{
	struct change ch = {.kind = CHANGE_MARK_DAMAGED, .mark_damaged = {.at = at, .blob = blob}};

	if (blob.p == NULL)
		ch.mark_damaged.file = test_id(file);
	must_apply(w, &ch);
}

static void what_is_damaged_is_told_by_name_and_goes_when_it_is_whole(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct damaged_row *list;
	struct job job;
	size_t n = 99;

	assert_int_equal(catalog_damaged(w->c, 10, &w->arena, &list, &n, &w->err), 0);
	assert_int_equal(n, 0);
	add_file_with_job(w, 1, "resize");
	add_file(w, 2);
	add_file(w, 3);
	job = claim(w, worker, 1, NOW).jobs[0].job;
	assert_int_equal(finish_with_outputs(w, &job, worker, 2, NULL), 0);
	job = read_job(w, job_id(1, 0));
	mark(w, 0, job.outputs[1].blob, NOW + 7);
	mark(w, 2, (struct str){}, NOW + 5);
	mark(w, 3, (struct str){}, NOW + 6);
	assert_int_equal(catalog_damaged(w->c, 10, &w->arena, &list, &n, &w->err), 0);
	assert_int_equal(n, 3);
	assert_id(list[0].id, 3);
	assert_false(list[0].output);
	assert_true(str_eq(list[0].name, read_file(w, 3).name));
	assert_true(str_eq(list[0].owner, OWNER));
	assert_int_equal(list[0].damaged_at, NOW + 6);
	assert_id(list[1].id, 2);
	assert_true(list[2].output);
	assert_id(list[2].id, job_id(1, 0));
	assert_int_equal(list[2].n, 1);
	assert_int_equal(catalog_damaged(w->c, 2, &w->arena, &list, &n, &w->err), 0);
	assert_int_equal(n, 2);
	assert_false(list[1].output);
	mark(w, 3, (struct str){}, 0);
	assert_int_equal(delete_file(w, 2), 0);
	assert_int_equal(catalog_damaged(w->c, 10, &w->arena, &list, &n, &w->err), 0);
	assert_int_equal(n, 1);
	assert_true(list[0].output);
}

static void who_asks_for_anybodys_gets_everybodys_with_their_owners(void **state)
{
	struct world *w = *state;
	struct file_filter files = {.owner = STR(OWNER_ANY), .state = -1};
	struct job_filter jobs = {.owner = STR(OWNER_ANY), .state = -1};
	struct file *f, one;
	struct job *j, job;
	int64_t next;
	size_t n;

	add_file_with_job(w, 1, "md5");
	add_others_file(w, 2, "md5");
	assert_int_equal(catalog_list_files(w->c, &files, (struct page){.limit = 10}, &w->arena, &f, &n, &next, &w->err), 0);
	assert_int_equal(n, 2);
	assert_true(str_eq(f[0].owner, OTHER));
	assert_true(str_eq(f[1].owner, OWNER));
	assert_int_equal(catalog_list_jobs(w->c, &jobs, (struct page){.limit = 10}, &w->arena, &j, &n, &next, &w->err), 0);
	assert_int_equal(n, 2);
	assert_true(str_eq(j[0].owner, OTHER));
	assert_true(str_eq(j[1].owner, OWNER));
	jobs.owner = OTHER;
	assert_int_equal(catalog_list_jobs(w->c, &jobs, (struct page){.limit = 10}, &w->arena, &j, &n, &next, &w->err), 0);
	assert_int_equal(n, 1);
	assert_int_equal(catalog_file(w->c, (struct file_key){.id = test_id(2)}, STR(OWNER_ANY), &w->arena, &one, &w->err), 0);
	assert_int_equal(catalog_job(w->c, test_id(job_id(2, 0)), 0, STR(OWNER_ANY), &w->arena, &job, &w->err), 0);
	assert_true(str_eq(job.owner, OTHER));
	assert_int_equal(catalog_file(w->c, (struct file_key){.id = test_id(2)}, OWNER, &w->arena, &one, &w->err), ERR_FILE_NOT_FOUND);
	assert_int_equal(catalog_job(w->c, test_id(job_id(2, 0)), 0, OWNER, &w->arena, &job, &w->err), ERR_JOB_NOT_FOUND);
}

static void files_are_filtered_by_their_digest(void **state)
{
	struct world *w = *state;
	struct file_filter filter = {.owner = STR(OWNER_ANY), .state = -1};
	uint8_t sha256[32];
	struct file *f;
	int64_t next;
	size_t n;

	for (unsigned i = 1; i <= 3; i++)
		add_file(w, i);
	memcpy(sha256, read_file(w, 2).sha256, 32);
	filter.sha256 = sha256;
	assert_int_equal(catalog_list_files(w->c, &filter, (struct page){.limit = 10}, &w->arena, &f, &n, &next, &w->err), 0);
	assert_int_equal(n, 1);
	assert_id(f[0].id, 2);
	sha256[31] ^= 1;
	assert_int_equal(catalog_list_files(w->c, &filter, (struct page){.limit = 10}, &w->arena, &f, &n, &next, &w->err), 0);
	assert_int_equal(n, 0);
}

const struct named_test contract_watch[] = {
	NAMED(the_queue_of_nothing_is_empty),
	NAMED(the_queue_is_counted_by_op_and_state_over_all_owners),
	NAMED(jobs_that_are_held_or_wait_for_a_time_are_not_ready),
	NAMED(only_the_newest_of_those_that_ended_are_counted),
	NAMED(workers_are_told_with_what_they_hold),
	NAMED(what_is_damaged_is_told_by_name_and_goes_when_it_is_whole),
	NAMED(who_asks_for_anybodys_gets_everybodys_with_their_owners),
	NAMED(files_are_filtered_by_their_digest),
	{},
};
