/* The contract, part of its own: files whose bytes an import brings (docs/adr/0034-imports.md). */
#include "world.h"

#include <string.h>

/* File n with job "import" and "gzip" after it. */
static void add_coming(struct world *w, unsigned n)
{
	struct built b;

	build_file(&b, n);
	b.file.location = LOCATION_COMING;
	b.file.size = 0;
	b.file.type = STR("");
	memset(b.file.sha256, 0, sizeof(b.file.sha256));
	b.change.add_file.bytes = (struct str){};
	build_job(&b, "import");
	b.jobs[0].own_name = true;
	build_after(&b, "gzip", &b.jobs[0]);
	must_apply(w, &b.change);
}

static struct job claim_import(struct world *w, struct uuid worker, unsigned n)
{
	struct change_claim c = claim(w, worker, 10, NOW + 1000);

	assert_int_equal(c.n, 1);
	assert_id(c.jobs[0].job.id, job_id(n, 0));
	assert_int_equal(c.jobs[0].location, LOCATION_COMING);
	assert_null(c.jobs[0].blob.p);
	return c.jobs[0].job;
}

static void the_first_output_of_an_import_becomes_the_files_bytes(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	char blob[BLOB_MAX];
	uint32_t ready = 0;
	struct output o;
	struct file f;
	struct job job;

	add_coming(w, 1);
	assert_int_equal(read_file(w, 1).location, LOCATION_COMING);
	assert_int_equal(read_job(w, job_id(1, 1)).run_at, RUN_AT_HELD);
	uint64_t before = stats(w, NOW).file_bytes;
	job = claim_import(w, worker, 1);
	assert_int_equal(finish_with_outputs(w, &job, worker, 1, &ready), 0);
	assert_int_equal(ready, 1);
	f = read_file(w, 1);
	o = read_job(w, job_id(1, 0)).outputs[0];
	assert_int_equal(f.location, LOCATION_IMPORTED);
	assert_int_equal(f.size, o.size);
	assert_true(str_eq(f.type, o.type));
	assert_memory_equal(f.sha256, o.sha256, 32);
	assert_true(str_eq(f.blob, output_blob(job.id, job.fence, 0, blob)));
	assert_int_equal(stats(w, NOW).file_bytes - before, o.size);
}

static void what_comes_after_an_import_and_what_is_asked_for_later_work_on_the_same_bytes(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct change_claim c;
	struct job job;

	add_coming(w, 1);
	job = claim_import(w, worker, 1);
	assert_int_equal(finish_with_outputs(w, &job, worker, 1, NULL), 0);
	struct job later = new_job(900, 1, "zip");
	assert_int_equal(add_jobs(w, &later, 1, NULL), 0);
	c = claim(w, worker, 10, NOW + 2000);
	assert_int_equal(c.n, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_true(str_eq(c.jobs[i].blob, read_file(w, 1).blob));
		assert_int_equal(c.jobs[i].size, read_file(w, 1).size);
		assert_memory_equal(c.jobs[i].sha256, read_file(w, 1).sha256, 32);
	}
}

static void while_the_bytes_are_to_come_jobs_can_only_come_after_the_import(void **state)
{
	struct world *w = *state;
	struct job job;

	add_coming(w, 1);
	job = new_job(900, 1, "md5");
	assert_int_equal(add_jobs(w, &job, 1, NULL), ERR_FILE_NOT_READY);
	job = new_job(901, 1, "md5");
	job.after = test_id(job_id(1, 0));
	assert_int_equal(add_jobs(w, &job, 1, NULL), 0);
	assert_int_equal(job.run_at, RUN_AT_HELD);
}

static void a_failed_import_leaves_a_file_without_bytes_and_can_be_tried_again(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct job job;

	add_coming(w, 1);
	job = claim_import(w, worker, 1);
	assert_int_equal(finish(w, &job, worker, JOB_FAILED), 0);
	assert_int_equal(read_file(w, 1).location, LOCATION_COMING);
	assert_int_equal(read_job(w, job_id(1, 1)).error, ERR_INPUT_FAILED);
	assert_int_equal(retry_job(w, job_id(1, 0)), 0);
	job = claim_import(w, worker, 1);
	assert_int_equal(finish_with_outputs(w, &job, worker, 1, NULL), 0);
	assert_int_equal(read_file(w, 1).location, LOCATION_IMPORTED);
}

static void what_was_imported_goes_with_its_file(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	char blob[BLOB_MAX];
	struct str name;
	struct job job;

	add_coming(w, 1);
	uint64_t before = stats(w, NOW).file_bytes;
	job = claim_import(w, worker, 1);
	assert_int_equal(finish_with_outputs(w, &job, worker, 1, NULL), 0);
	name = output_blob(job.id, job.fence, 0, blob);
	assert_true(referenced(w, name));
	assert_int_equal(delete_file(w, 1), 0);
	assert_true(doomed(w, name));
	assert_int_equal(doomed_count(w), 1);
	assert_int_equal(stats(w, NOW).file_bytes, before);
}

static void a_file_deleted_while_it_is_imported_keeps_nothing(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	char blob[BLOB_MAX];
	struct job job;

	add_coming(w, 1);
	job = claim_import(w, worker, 1);
	assert_int_equal(delete_file(w, 1), 0);
	assert_int_equal(doomed_count(w), 0);
	assert_int_equal(finish_with_outputs(w, &job, worker, 1, NULL), 0);
	assert_true(doomed(w, output_blob(job.id, job.fence, 0, blob)));
	assert_int_equal(file_code(w, 1), ERR_FILE_GONE);
	assert_int_equal(stats(w, NOW).files, 0);
}

static void what_was_fetched_before_is_fetched_again(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct job job;

	add_coming(w, 1);
	job = claim_import(w, worker, 1);
	assert_int_equal(finish_with_outputs(w, &job, worker, 1, NULL), 0);
	add_coming(w, 2);
	assert_int_equal(read_job(w, job_id(2, 0)).state, JOB_QUEUED);
}

static void only_its_own_bytes_are_told_as_a_files(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct stored *list;
	struct job job;
	size_t n;

	add_coming(w, 1);
	add_coming(w, 2);
	struct change_claim c = claim(w, worker, 1, NOW + 1000);
	job = c.jobs[0].job;
	assert_int_equal(finish_with_outputs(w, &job, worker, 1, NULL), 0);
	assert_int_equal(catalog_stored(w->c, (struct stored_at){}, 10, &w->arena, &list, &n, &w->err), 0);
	assert_int_equal(n, 1);
	assert_int_equal(list[0].at.kind, STORED_OUTPUT);
}

static void damage_to_what_was_imported_is_damage_of_the_file(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct change mark = {.kind = CHANGE_MARK_DAMAGED};
	char blob[BLOB_MAX];
	struct job job;

	add_coming(w, 1);
	job = claim_import(w, worker, 1);
	assert_int_equal(finish_with_outputs(w, &job, worker, 1, NULL), 0);
	mark.mark_damaged = (struct change_mark_damaged){.blob = output_blob(job.id, job.fence, 0, blob), .at = NOW + 50};
	must_apply(w, &mark);
	assert_int_equal(read_file(w, 1).damaged_at, NOW + 50);
}

static void a_file_that_is_to_come_begins_with_its_import(void **state)
{
	struct world *w = *state;
	struct built b;

	build_file(&b, 1);
	b.file.location = LOCATION_COMING;
	b.file.size = 0;
	b.change.add_file.bytes = (struct str){};
	assert_int_equal(apply1(w, &b.change), ERR_INVALID_VALUE);
	build_job(&b, "import");
	build_job(&b, "md5"); /* on what? */
	assert_int_equal(apply1(w, &b.change), ERR_INVALID_VALUE);
}

static void assert_counts(struct world *w, uint64_t there, uint64_t under_way, uint64_t missing)
{
	struct import_counts n;

	assert_int_equal(catalog_import_counts(w->c, read_file(w, 1).owner, &n, &w->err), 0);
	assert_int_equal(n.there, there);
	assert_int_equal(n.under_way, under_way);
	assert_int_equal(n.missing, missing);
}

static void what_became_of_an_owners_imports_is_counted(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct import_counts n;
	struct job job;

	assert_int_equal(catalog_import_counts(w->c, STR("nobody"), &n, &w->err), 0);
	assert_int_equal(n.there + n.under_way + n.missing, 0);
	add_coming(w, 1);
	assert_counts(w, 0, 1, 0);
	job = claim_import(w, worker, 1);
	assert_counts(w, 0, 1, 0);
	assert_int_equal(finish(w, &job, worker, JOB_FAILED), 0);
	assert_counts(w, 0, 0, 1);
	struct change retry = {.kind = CHANGE_RETRY_JOB, .job_ref = {.id = job.id, .owner = read_file(w, 1).owner, .now = NOW + 10}};
	must_apply(w, &retry);
	assert_counts(w, 0, 1, 0);
	job = claim_import(w, worker, 1);
	assert_int_equal(finish_with_outputs(w, &job, worker, 1, NULL), 0);
	assert_counts(w, 1, 0, 0);
	add_coming(w, 2);
	assert_counts(w, 1, 1, 0);
	struct change gone = {.kind = CHANGE_DELETE_FILE, .delete_file = {.now = NOW + 20}};
	gone.delete_file.id = read_file(w, 2).id;
	gone.delete_file.owner = read_file(w, 2).owner;
	must_apply(w, &gone);
	assert_counts(w, 1, 0, 0);
}

const struct named_test contract_imports[] = {
	NAMED(the_first_output_of_an_import_becomes_the_files_bytes),
	NAMED(what_comes_after_an_import_and_what_is_asked_for_later_work_on_the_same_bytes),
	NAMED(while_the_bytes_are_to_come_jobs_can_only_come_after_the_import),
	NAMED(a_failed_import_leaves_a_file_without_bytes_and_can_be_tried_again),
	NAMED(what_was_imported_goes_with_its_file),
	NAMED(a_file_deleted_while_it_is_imported_keeps_nothing),
	NAMED(what_was_fetched_before_is_fetched_again),
	NAMED(only_its_own_bytes_are_told_as_a_files),
	NAMED(damage_to_what_was_imported_is_damage_of_the_file),
	NAMED(a_file_that_is_to_come_begins_with_its_import),
	NAMED(what_became_of_an_owners_imports_is_counted),
	{},
};
