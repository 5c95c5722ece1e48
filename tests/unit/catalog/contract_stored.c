/* The contract, last part: looking through all that is stored, what is known to be damaged, how far the scrub has come, and the catalogue's own check. */
#include "world.h"

#include <stdio.h>
#include <string.h>

static void tell_nothing(void *arg, enum finding f, struct str id, struct str detail)
{
	fail_msg("%s %.*s: %.*s", finding_word(f), STR_FMT(id), STR_FMT(detail));
}

static int mark_file(struct world *w, unsigned n, int64_t at, uint32_t *ret_changed)
{
	struct change ch = {.kind = CHANGE_MARK_DAMAGED, .mark_damaged = {.file = test_id(n), .at = at}};
	int rc = apply1(w, &ch);

	*ret_changed = ch.mark_damaged.changed;
	return rc;
}

static int mark_blob(struct world *w, struct str blob, int64_t at, uint32_t *ret_changed)
{
	struct change ch = {.kind = CHANGE_MARK_DAMAGED, .mark_damaged = {.blob = blob, .at = at}};
	int rc = apply1(w, &ch);

	*ret_changed = ch.mark_damaged.changed;
	return rc;
}

static uint64_t damaged(struct world *w)
{
	uint64_t n = 99;

	assert_int_equal(catalog_damaged_count(w->c, &n, &w->err), 0);
	return n;
}

static void add_stored(struct world *w, unsigned n)
{
	struct built b;

	build_file(&b, n);
	b.file.location = LOCATION_FILE;
	b.change.add_file.bytes = (struct str){};
	must_apply(w, &b.change);
}

/* Adds file n with a job on it, runs that to its end with so many outputs and returns it. */
static struct job made(struct world *w, unsigned n, const char *op, struct uuid worker, size_t outputs)
{
	struct job job;

	add_file_with_job(w, n, op);
	job = claim(w, worker, 1, NOW).jobs[0].job;
	assert_int_equal(finish_with_outputs(w, &job, worker, outputs, NULL), 0);
	return job;
}

/* All that is stored in pages of `page`, as a line. */
static void all_stored(struct world *w, uint32_t page, char *dst, size_t cap)
{
	struct stored_at at = {};
	struct stored *list;
	size_t n, len = 0;

	dst[0] = '\0';
	for (;;) {
		assert_int_equal(catalog_stored(w->c, at, page, &w->arena, &list, &n, &w->err), 0);
		if (n == 0)
			return;
		assert_in_range(n, 1, page);
		for (size_t i = 0; i < n; i++)
			len += (size_t)snprintf(dst + len, cap - len, "%s%lld.%u%s%s ", list[i].at.kind == STORED_FILE ? "f" : "o",
						(long long)list[i].at.number, list[i].at.n, list[i].blob.p ? "b" : "",
						list[i].shared ? "s" : "");
		at = list[n - 1].at;
	}
}

static void everything_stored_is_told_once_in_order_whatever_the_page(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	char line[500];

	all_stored(w, 10, line, sizeof(line));
	assert_string_equal(line, "");
	add_file(w, 1);
	add_stored(w, 2);
	made(w, 3, "resize", worker, 3);
	add_file(w, 4);
	made(w, 5, "resize", worker, 1);
	assert_int_equal(delete_file(w, 4), 0);
	for (uint32_t page = 1; page < 12; page++) {
		all_stored(w, page, line, sizeof(line));
		assert_string_equal(line, "f1.0 f2.0b f3.0 f5.0 o1.0b o1.1b o1.2b o2.0b ");
	}
}

static void what_is_told_of_it_is_what_was_put_there(void **state)
{
	struct world *w = *state;
	struct job job = made(w, 1, "resize", first_beat(w, 500, NOW + 15000), 2);
	struct stored *list;
	char blob[BLOB_MAX];
	struct file f;
	size_t n;

	add_stored(w, 2);
	f = read_file(w, 1);
	assert_int_equal(catalog_stored(w->c, (struct stored_at){}, 10, &w->arena, &list, &n, &w->err), 0);
	assert_int_equal(n, 2);
	assert_id(list[0].id, 1);
	assert_int_equal(list[0].size, f.size);
	assert_int_equal(list[0].inline_size, f.size);
	assert_memory_equal(list[0].sha256, f.sha256, 32);
	assert_null(list[0].blob.p);
	assert_int_equal(list[1].inline_size, -1);
	assert_true(str_eq(list[1].blob, blob_of(2, blob)));
	assert_int_equal(catalog_stored(w->c, list[1].at, 10, &w->arena, &list, &n, &w->err), 0);
	assert_int_equal(n, 2);
	assert_id(list[1].id, job_id(1, 0));
	assert_true(str_eq(list[1].blob, output_blob(job.id, job.fence, 1, blob)));
	assert_int_equal(list[1].size, UINT64_C(6000000001));
	assert_int_equal(list[1].sha256[31], 2);
}

static void a_marked_file_says_so_wherever_it_is_read(void **state)
{
	struct world *w = *state;
	struct file_filter all = {.owner = OWNER, .state = -1};
	struct stored *list;
	struct file *files;
	uint32_t changed;
	int64_t next;
	size_t n;

	add_file(w, 1);
	add_stored(w, 2);
	assert_int_equal(damaged(w), 0);
	assert_int_equal(read_file(w, 2).damaged_at, 0);
	assert_int_equal(mark_file(w, 2, NOW + 7, &changed), 0);
	assert_int_equal(changed, 1);
	assert_int_equal(mark_file(w, 2, NOW + 8, &changed), 0);
	assert_int_equal(changed, 0);
	assert_int_equal(read_file(w, 2).damaged_at, NOW + 7);
	assert_int_equal(read_file(w, 1).damaged_at, 0);
	assert_int_equal(damaged(w), 1);
	assert_int_equal(catalog_list_files(w->c, &all, (struct page){.limit = 10}, &w->arena, &files, &n, &next, &w->err), 0);
	assert_int_equal(files[0].damaged_at, NOW + 7);
	assert_int_equal(catalog_stored(w->c, (struct stored_at){}, 10, &w->arena, &list, &n, &w->err), 0);
	assert_int_equal(list[0].damaged_at, 0);
	assert_int_equal(list[1].damaged_at, NOW + 7);
	assert_int_equal(mark_file(w, 2, 0, &changed), 0);
	assert_int_equal(changed, 1);
	assert_int_equal(read_file(w, 2).damaged_at, 0);
	assert_int_equal(damaged(w), 0);
}

static void only_what_is_there_is_marked(void **state)
{
	struct world *w = *state;
	struct change nothing = {.kind = CHANGE_MARK_DAMAGED, .mark_damaged = {.at = NOW}};
	uint32_t changed;

	add_file(w, 1);
	add_file(w, 2);
	assert_int_equal(mark_file(w, 2, NOW, &changed), 0);
	assert_int_equal(delete_file(w, 1), 0);
	assert_int_equal(mark_file(w, 1, NOW, &changed), ERR_FILE_NOT_FOUND);
	assert_int_equal(mark_file(w, 3, NOW, &changed), ERR_FILE_NOT_FOUND);
	assert_int_equal(mark_blob(w, STR("public/00/none"), NOW, &changed), ERR_OUTPUT_NOT_FOUND);
	assert_int_equal(apply1(w, &nothing), ERR_INVALID_VALUE);
	assert_int_equal(damaged(w), 1);
	assert_int_equal(delete_file(w, 2), 0);
	assert_int_equal(damaged(w), 0);
}

static void a_blob_is_marked_for_all_who_refer_to_it(void **state)
{
	struct world *w = *state;
	struct job job = made(w, 1, "resize", first_beat(w, 500, NOW + 15000), 2), j;
	char blob[BLOB_MAX], line[200];
	struct built same;
	uint32_t changed;

	build_same_bytes(&same, 2, 1);
	build_job(&same, "resize");
	must_apply(w, &same.change);
	assert_true(same.jobs[0].cached);
	all_stored(w, 10, line, sizeof(line));
	assert_string_equal(line, "f1.0 f2.0 o1.0b o1.1b o2.0bs o2.1bs ");
	assert_int_equal(mark_blob(w, output_blob(job.id, job.fence, 1, blob), NOW + 7, &changed), 0);
	assert_int_equal(changed, 2);
	for (unsigned n = 1; n <= 2; n++) {
		j = read_job(w, job_id(n, 0));
		assert_int_equal(j.outputs[0].damaged_at, 0);
		assert_int_equal(j.outputs[1].damaged_at, NOW + 7);
		assert_int_equal(read_file(w, n).jobs[0].outputs[1].damaged_at, NOW + 7);
	}
	assert_int_equal(damaged(w), 2);
	assert_int_equal(mark_blob(w, output_blob(job.id, job.fence, 1, blob), 0, &changed), 0);
	assert_int_equal(changed, 2);
	assert_int_equal(read_job(w, job_id(2, 0)).outputs[1].damaged_at, 0);
}

static struct uuid artifact_of(struct world *w, unsigned file, const char *op)
{
	struct uuid id = test_id(99);
	struct file f = read_file(w, file);

	assert_int_equal(catalog_artifact(w->c, OWNER, str_of(op), f.jobs[0].op_version, f.jobs[0].params, f.sha256, &id, &w->err), 0);
	return id;
}

static bool is_cached(struct world *w, unsigned id, unsigned file)
{
	struct job job = new_job(id, file, "resize");

	assert_int_equal(add_jobs(w, &job, 1, NULL), 0);
	if (!job.cached)
		assert_int_equal(cancel_job(w, id, NULL), 0);
	return job.cached;
}

static bool is_cached_elsewhere(struct world *w, unsigned file, unsigned as)
{
	struct built same;

	build_same_bytes(&same, file, as);
	build_job(&same, "resize");
	must_apply(w, &same.change);
	if (!same.jobs[0].cached)
		assert_int_equal(cancel_job(w, job_id(file, 0), NULL), 0);
	assert_int_equal(delete_file(w, file), 0);
	return same.jobs[0].cached;
}

static void damaged_outputs_are_taken_over_by_nobody(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct job job = made(w, 1, "resize", worker, 2), other;
	char blob[BLOB_MAX];
	struct built same;
	uint32_t changed;

	build_same_bytes(&same, 9, 1);
	build_job(&same, "thumb");
	must_apply(w, &same.change);
	other = claim(w, worker, 1, NOW).jobs[0].job;
	assert_true(is_cached(w, 7001, 1));
	assert_true(is_cached_elsewhere(w, 20, 1));
	assert_id(artifact_of(w, 1, "resize"), job_id(1, 0));
	assert_int_equal(mark_blob(w, output_blob(job.id, job.fence, 1, blob), NOW, &changed), 0);
	assert_false(is_cached(w, 7002, 1));
	assert_false(is_cached_elsewhere(w, 21, 1));
	assert_true(uuid_is_zero(artifact_of(w, 1, "resize")));
	assert_int_equal(finish_same_as(w, &other, worker, job.id), ERR_CONFLICT);
	assert_int_equal(mark_blob(w, output_blob(job.id, job.fence, 1, blob), 0, &changed), 0);
	assert_true(is_cached(w, 7003, 1));
	assert_true(is_cached_elsewhere(w, 22, 1));
}

static void work_on_a_damaged_file_is_taken_over_by_nobody(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	uint32_t changed;

	made(w, 1, "resize", worker, 1);
	assert_int_equal(mark_file(w, 1, NOW, &changed), 0);
	assert_true(uuid_is_zero(artifact_of(w, 1, "resize")));
	assert_false(is_cached(w, 7001, 1));
	assert_false(is_cached_elsewhere(w, 20, 1));
	assert_int_equal(mark_file(w, 1, 0, &changed), 0);
	assert_true(is_cached(w, 7002, 1));
}

/* The job after it worked on the output: what it made is as doubtful. */
static void work_on_a_damaged_output_is_taken_over_by_nobody(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	char blob[BLOB_MAX];
	struct job first, second;
	uint32_t changed;
	struct built b, same;

	build_file(&b, 1);
	build_after(&b, "gzip", build_job(&b, "resize"));
	must_apply(w, &b.change);
	first = claim(w, worker, 1, NOW).jobs[0].job;
	assert_int_equal(finish_with_outputs(w, &first, worker, 1, NULL), 0);
	second = claim(w, worker, 1, NOW + 100).jobs[0].job;
	assert_int_equal(finish_with_outputs(w, &second, worker, 1, NULL), 0);
	assert_int_equal(mark_blob(w, output_blob(first.id, first.fence, 0, blob), NOW, &changed), 0);
	build_same_bytes(&same, 2, 1);
	build_after(&same, "gzip", build_job(&same, "resize"));
	must_apply(w, &same.change);
	assert_false(same.jobs[0].cached);
	assert_false(same.jobs[1].cached);
}

static void who_claims_is_told_that_the_bytes_are_damaged(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct change_claim c;
	char blob[BLOB_MAX];
	struct job first;
	uint32_t changed;
	struct built b;

	add_file_with_job(w, 1, "md5");
	add_file_with_job(w, 2, "md5");
	assert_int_equal(mark_file(w, 1, NOW, &changed), 0);
	c = claim(w, worker, 10, NOW);
	assert_int_equal(c.n, 2);
	assert_true(c.jobs[0].damaged);
	assert_false(c.jobs[1].damaged);
	build_file(&b, 3);
	build_after(&b, "gzip", build_job(&b, "resize"));
	must_apply(w, &b.change);
	first = claim(w, worker, 1, NOW).jobs[0].job;
	assert_int_equal(finish_with_outputs(w, &first, worker, 1, NULL), 0);
	assert_int_equal(mark_blob(w, output_blob(first.id, first.fence, 0, blob), NOW, &changed), 0);
	c = claim(w, worker, 10, NOW + 100);
	assert_int_equal(c.n, 1);
	assert_true(c.jobs[0].damaged);
}

static void the_scrub_goes_on_where_it_was(void **state)
{
	struct world *w = *state;
	struct scrub_position p;
	struct change ch = {.kind = CHANGE_SCRUB_POSITION,
			    .scrub_position = {.at = {STORED_OUTPUT, INT64_C(5000000000), 7}, .began_at = NOW, .whole = true}};

	assert_int_equal(catalog_scrub_position(w->c, &p, &w->err), 0);
	assert_int_equal(p.at.kind, STORED_FILE);
	assert_int_equal(p.at.number, 0);
	assert_int_equal(p.began_at, 0);
	assert_false(p.whole);
	must_apply(w, &ch);
	if (w->lasting)
		world_reopen(w);
	assert_int_equal(catalog_scrub_position(w->c, &p, &w->err), 0);
	assert_int_equal(p.at.kind, STORED_OUTPUT);
	assert_int_equal(p.at.number, INT64_C(5000000000));
	assert_int_equal(p.at.n, 7);
	assert_int_equal(p.began_at, NOW);
	assert_true(p.whole);
}

static bool line_step(struct world *w, enum line_step step, int64_t word)
{
	struct change ch = {.kind = CHANGE_LINE, .line = {.step = step, .word = word}};

	must_apply(w, &ch);
	return ch.line.done;
}

static void line_is(struct world *w, int64_t word, int64_t next, bool sole)
{
	struct catalog_line l;

	assert_int_equal(catalog_line(w->c, &l, &w->err), 0);
	assert_int_equal(l.word, word);
	assert_int_equal(l.next, next);
	assert_int_equal(l.sole, sole);
}

static void a_word_takes_the_place_of_another_in_two_steps(void **state)
{
	struct world *w = *state;

	line_is(w, 0, 0, false);
	assert_false(line_step(w, LINE_SETTLED, 7)); /* nothing was about to */
	line_is(w, 0, 0, false);
	assert_true(line_step(w, LINE_NEXT, INT64_MAX));
	line_is(w, 0, INT64_MAX, false);
	assert_false(line_step(w, LINE_NEXT, 8)); /* another node's turn */
	assert_false(line_step(w, LINE_SETTLED, 8));
	if (w->lasting)
		world_reopen(w);
	line_is(w, 0, INT64_MAX, false);
	assert_true(line_step(w, LINE_SETTLED, INT64_MAX));
	assert_false(line_step(w, LINE_SETTLED, INT64_MAX));
	assert_true(line_step(w, LINE_SOLE, 0));
	assert_false(line_step(w, LINE_SOLE, 0));
	assert_true(line_step(w, LINE_NEXT, 9));
	assert_true(line_step(w, LINE_SETTLED, 9));
	line_is(w, 9, 0, true);
	assert_true(line_step(w, LINE_SOLE_TAKEN, 0));
	assert_false(line_step(w, LINE_SOLE_TAKEN, 0));
	line_is(w, 9, 0, false);
	struct change none = {.kind = CHANGE_LINE, .line = {.step = LINE_NEXT}};
	assert_int_equal(apply1(w, &none), ERR_INVALID_VALUE);
}

static void a_blob_knows_whether_it_is_doomed(void **state)
{
	struct world *w = *state;
	char blob[BLOB_MAX];
	bool is = true;

	add_stored(w, 1);
	assert_int_equal(catalog_blob_doomed(w->c, blob_of(1, blob), &is, &w->err), 0);
	assert_false(is);
	assert_int_equal(delete_file(w, 1), 0);
	assert_int_equal(catalog_blob_doomed(w->c, blob_of(1, blob), &is, &w->err), 0);
	assert_true(is);
}

static void a_catalogue_that_was_used_has_no_findings(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);

	assert_int_equal(catalog_check(w->c, tell_nothing, NULL, &w->err), 0);
	made(w, 1, "resize", worker, 2);
	add_stored(w, 2);
	add_file_with_job(w, 3, "md5");
	assert_int_equal(claim(w, worker, 1, NOW).n, 1);
	add_file_with_job(w, 4, "md5");
	assert_int_equal(cancel_job(w, job_id(4, 0), NULL), 0);
	assert_int_equal(retry_job(w, job_id(4, 0)), 0);
	assert_int_equal(delete_file(w, 2), 0);
	assert_int_equal(delete_file(w, 1), 0);
	assert_int_equal(delete_file(w, 3), 0);
	assert_int_equal(catalog_check(w->c, tell_nothing, NULL, &w->err), 0);
}

const struct named_test contract_stored[] = {
	NAMED(everything_stored_is_told_once_in_order_whatever_the_page),
	NAMED(what_is_told_of_it_is_what_was_put_there),
	NAMED(a_marked_file_says_so_wherever_it_is_read),
	NAMED(only_what_is_there_is_marked),
	NAMED(a_blob_is_marked_for_all_who_refer_to_it),
	NAMED(damaged_outputs_are_taken_over_by_nobody),
	NAMED(work_on_a_damaged_file_is_taken_over_by_nobody),
	NAMED(work_on_a_damaged_output_is_taken_over_by_nobody),
	NAMED(who_claims_is_told_that_the_bytes_are_damaged),
	NAMED(the_scrub_goes_on_where_it_was),
	NAMED(a_word_takes_the_place_of_another_in_two_steps),
	NAMED(a_blob_knows_whether_it_is_doomed),
	NAMED(a_catalogue_that_was_used_has_no_findings),
	{NULL, NULL},
};
