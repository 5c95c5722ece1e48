/* The contract, first part: files, their bytes, idempotency, deleting, purging. */
#include "world.h"

#include <string.h>

static void a_stored_file_is_read_back_whole(void **state)
{
	struct world *w = *state;
	struct built b;
	struct file f;

	build_file(&b, 1);
	b.file.labels = STR("{\"a\":\"b\"}");
	b.file.expires_at = NOW + 5000;
	must_apply(w, &b.change);
	assert_int_equal(b.file.number, 1);
	f = read_file(w, 1);
	assert_id(f.id, 1);
	assert_int_equal(f.number, 1);
	assert_str(f.owner, OWNER_PUBLIC);
	assert_str(f.name, "file 1.bin");
	assert_int_equal(f.size, strlen("bytes of 1"));
	assert_str(f.type, "text/plain");
	assert_str(f.labels, "{\"a\":\"b\"}");
	assert_memory_equal(f.sha256, b.file.sha256, 32);
	assert_int_equal(f.location, LOCATION_INLINE);
	assert_int_equal(f.created_at, NOW);
	assert_int_equal(f.expires_at, NOW + 5000);
	assert_int_equal(f.n_jobs, 0);
}

static void a_file_is_found_by_its_number_too(void **state)
{
	struct world *w = *state;
	struct file f;

	add_file(w, 1);
	add_file(w, 2);
	assert_int_equal(catalog_file(w->c, (struct file_key){.number = 2}, OWNER, &w->arena, &f, &w->err), 0);
	assert_id(f.id, 2);
	assert_int_equal(catalog_file(w->c, (struct file_key){.number = 3}, OWNER, &w->arena, &f, &w->err), ERR_FILE_NOT_FOUND);
}

static void inline_bytes_come_back_as_they_were(void **state)
{
	struct world *w = *state;
	CLEANUP(buf_release) struct buf out = BUF_INIT;
	static const char BINARY[] = "\0\xff\0\n";
	struct built b;

	build_file(&b, 1);
	b.file.size = 4;
	b.change.add_file.bytes = (struct str){BINARY, 4};
	must_apply(w, &b.change);
	buf_add_cstr(&out, "before ");
	assert_int_equal(catalog_inline_bytes(w->c, test_id(1), &out, &w->err), 0);
	assert_int_equal(out.len, 7 + 4);
	assert_memory_equal(out.p + 7, BINARY, 4);
	assert_int_equal(catalog_inline_bytes(w->c, test_id(2), &out, &w->err), ERR_FILE_NOT_FOUND);
}

static void an_empty_file_has_no_bytes_but_is_there(void **state)
{
	struct world *w = *state;
	CLEANUP(buf_release) struct buf out = BUF_INIT;
	struct built b;

	build_file(&b, 1);
	b.file.size = 0;
	b.change.add_file.bytes = (struct str){};
	must_apply(w, &b.change);
	assert_int_equal(read_file(w, 1).size, 0);
	assert_int_equal(catalog_inline_bytes(w->c, test_id(1), &out, &w->err), 0);
	assert_int_equal(out.len, 0);
}

static void a_fused_job_is_final_from_its_birth(void **state)
{
	struct world *w = *state;
	struct built b;
	struct file f;

	build_file(&b, 1);
	build_fused(&b, "md5", "{\"md5\":\"aa\"}");
	build_job(&b, "sha1");
	must_apply(w, &b.change);
	assert_int_equal(b.jobs[0].number, 1);
	assert_int_equal(b.jobs[1].number, 2);
	assert_id(b.jobs[0].file, 1);
	assert_int_equal(b.jobs[0].file_number, 1);
	f = read_file(w, 1);
	assert_int_equal(f.n_jobs, 2);
	assert_int_equal(f.jobs[0].state, JOB_SUCCEEDED);
	assert_str(f.jobs[0].result, "{\"md5\":\"aa\"}");
	assert_int_equal(f.jobs[0].attempt, 1);
	assert_int_equal(f.jobs[0].started_at, NOW - 5);
	assert_int_equal(f.jobs[0].finished_at, NOW);
	assert_id(f.jobs[0].file, 1);
	assert_int_equal(f.jobs[1].state, JOB_QUEUED);
	assert_null(f.jobs[1].result.p);
	assert_int_equal(f.jobs[1].attempt, 0);
	assert_int_equal(stats(w, NOW).jobs_waiting, 1);
	assert_int_equal(stats(w, NOW).jobs_final[JOB_SUCCEEDED], 1);
}

static void a_fused_job_may_have_failed(void **state)
{
	struct world *w = *state;
	struct built b;
	struct job *job, back;

	build_file(&b, 1);
	job = build_fused(&b, "md5", "{}");
	job->state = JOB_FAILED;
	job->result = (struct str){};
	job->error = ERR_OP_FAILED;
	job->error_detail = STR("no luck");
	must_apply(w, &b.change);
	back = read_job(w, job_id(1, 0));
	assert_int_equal(back.state, JOB_FAILED);
	assert_int_equal(back.error, ERR_OP_FAILED);
	assert_str(back.error_detail, "no luck");
	assert_null(back.result.p);
}

static void another_owner_sees_nothing(void **state)
{
	struct world *w = *state;
	struct str other = STR("somebody else");
	struct file f;
	struct job j;

	add_file_with_job(w, 1, "md5");
	assert_int_equal(catalog_file(w->c, (struct file_key){.id = test_id(1)}, other, &w->arena, &f, &w->err), ERR_FILE_NOT_FOUND);
	assert_int_equal(catalog_file(w->c, (struct file_key){.number = 1}, other, &w->arena, &f, &w->err), ERR_FILE_NOT_FOUND);
	assert_int_equal(catalog_job(w->c, test_id(job_id(1, 0)), 0, other, &w->arena, &j, &w->err), ERR_JOB_NOT_FOUND);
	assert_int_equal(catalog_job(w->c, test_id(0), 1, other, &w->arena, &j, &w->err), ERR_JOB_NOT_FOUND);
	assert_int_equal(delete_file(w, 1), 0);
	/* A deleted file of another owner is not told from one that never was. */
	assert_int_equal(catalog_file(w->c, (struct file_key){.id = test_id(1)}, other, &w->arena, &f, &w->err), ERR_FILE_NOT_FOUND);
}

static void an_id_that_was_never_issued_is_not_found(void **state)
{
	struct world *w = *state;

	assert_int_equal(file_code(w, 9), ERR_FILE_NOT_FOUND);
	assert_int_equal(job_code(w, 9), ERR_JOB_NOT_FOUND);
}

static void a_job_is_found_by_its_number_too(void **state)
{
	struct world *w = *state;
	struct job j;

	add_file_with_job(w, 1, "md5");
	assert_int_equal(catalog_job(w->c, test_id(0), 1, OWNER, &w->arena, &j, &w->err), 0);
	assert_id(j.id, job_id(1, 0));
	assert_id(j.file, 1);
	assert_int_equal(j.file_number, 1);
	assert_str(j.op, "md5");
	assert_str(j.params, "{}");
	assert_int_equal(j.op_version, 1);
	assert_int_equal(j.priority, PRIORITY_DEFAULT);
	assert_int_equal(j.max_attempts, MAX_ATTEMPTS_DEFAULT);
	assert_int_equal(j.run_at, NOW);
	assert_int_equal(j.created_at, NOW);
	assert_int_equal(j.started_at, 0);
	assert_int_equal(j.finished_at, 0);
	assert_int_equal(j.error, 0);
}

static void an_id_that_is_taken_is_refused_and_leaves_no_trace(void **state)
{
	struct world *w = *state;
	struct built good, same_file, same_job, last;
	struct change *batch[] = {&good.change, &same_file.change, &same_job.change, &last.change};

	build_file(&good, 1);
	build_job(&good, "md5");
	build_file(&same_file, 1);
	build_job(&same_file, "sha1")->id = test_id(7777);
	build_file(&same_job, 2);
	build_job(&same_job, "sha1");
	build_job(&same_job, "md5")->id = test_id(job_id(1, 0));
	build_file(&last, 3);
	build_fused(&last, "md5", "{}");
	assert_int_equal(catalog_apply(w->c, batch, 4, &w->err), 0);
	assert_int_equal(good.change.code, 0);
	assert_int_equal(same_file.change.code, ERR_CONFLICT);
	assert_int_equal(same_job.change.code, ERR_CONFLICT);
	assert_int_equal(last.change.code, 0);
	assert_int_equal(file_code(w, 2), ERR_FILE_NOT_FOUND);
	assert_int_equal(job_code(w, 7777), ERR_JOB_NOT_FOUND);
	assert_int_equal(job_code(w, job_id(2, 0)), ERR_JOB_NOT_FOUND);
	assert_int_equal(read_file(w, 3).n_jobs, 1);
	assert_int_equal(stats(w, NOW).files, 2);
	assert_int_equal(stats(w, NOW).jobs_waiting, 1);
	assert_int_equal(stats(w, NOW).jobs_final[JOB_SUCCEEDED], 1);
}

static void a_batch_has_a_result_for_each_change(void **state)
{
	struct world *w = *state;
	struct built a, b, empty;
	struct change gone = {.kind = CHANGE_DELETE_FILE, .delete_file = {.id = test_id(99), .owner = OWNER, .now = NOW}};
	struct change drop = {.kind = CHANGE_DELETE_FILE, .delete_file = {.id = test_id(1), .owner = OWNER, .now = NOW}};
	struct change probe = {.kind = CHANGE_PROBE};
	struct change stale = {.kind = CHANGE_FINISH, .finish = {.job = test_id(5), .state = JOB_FAILED, .finished_at = NOW}};
	struct change *batch[] = {&a.change, &gone, &b.change, &drop, &empty.change, &probe, &stale};

	build_file(&a, 1);
	build_file(&b, 2);
	build_file(&empty, 3);
	empty.file.owner = (struct str){};
	assert_int_equal(catalog_apply(w->c, batch, 7, &w->err), 0);
	assert_int_equal(a.change.code, 0);
	assert_int_equal(gone.code, ERR_FILE_NOT_FOUND);
	assert_int_equal(b.change.code, 0);
	assert_int_equal(drop.code, 0); /* sees what an earlier change of its batch did */
	assert_int_equal(empty.change.code, ERR_INVALID_VALUE);
	assert_string_equal(empty.change.err.field, "owner");
	assert_int_equal(probe.code, 0);
	assert_int_equal(stale.code, ERR_STALE);
	assert_int_equal(file_code(w, 1), ERR_FILE_GONE);
	assert_int_equal(file_code(w, 2), 0);
	assert_int_equal(file_code(w, 3), ERR_FILE_NOT_FOUND);
}

static void expect_invalid(struct world *w, struct built *b, const char *field)
{
	assert_int_equal(apply1(w, &b->change), ERR_INVALID_VALUE);
	assert_string_equal(b->change.err.field, field);
	assert_int_equal(file_code(w, b->n), ERR_FILE_NOT_FOUND);
}

static void what_cannot_be_stored_is_refused_with_its_field(void **state)
{
	struct world *w = *state;
	static const char LONG[NAME_MAX_BYTES + 1] = "x";
	struct built b;

	build_file(&b, 1);
	b.file.name = (struct str){};
	expect_invalid(w, &b, "name");
	build_file(&b, 1);
	b.file.name = (struct str){LONG, sizeof(LONG)};
	expect_invalid(w, &b, "name");
	build_file(&b, 1);
	b.file.owner = (struct str){LONG, OWNER_MAX + 1};
	expect_invalid(w, &b, "owner");
	build_file(&b, 1);
	b.file.size++;
	expect_invalid(w, &b, "location");
	build_file(&b, 1);
	b.file.labels = (struct str){};
	expect_invalid(w, &b, "labels");
	build_file(&b, 1);
	build_job(&b, "md5")->priority = PRIORITY_MAX + 1;
	expect_invalid(w, &b, "priority");
	build_file(&b, 1);
	build_job(&b, "md5")->state = JOB_RUNNING;
	expect_invalid(w, &b, "state");
	build_file(&b, 1);
	build_fused(&b, "md5", "{}")->finished_at = 0;
	expect_invalid(w, &b, "finished_at");
	build_file(&b, 1);
	b.change.add_file.idempotency_key = STR("");
	expect_invalid(w, &b, "idempotency_key");
}

/* ---- idempotency ---- */

static void build_keyed(struct built *b, unsigned n, const char *key, uint8_t fingerprint, int64_t now)
{
	build_file(b, n);
	b->file.created_at = now;
	b->change.add_file.idempotency_key = str_of(key);
	b->change.add_file.fingerprint[0] = fingerprint;
}

static void a_repeated_key_names_the_first_file_and_adds_nothing(void **state)
{
	struct world *w = *state;
	struct built first, again;

	build_keyed(&first, 1, "key", 1, NOW);
	build_keyed(&again, 2, "key", 1, NOW + 1);
	must_apply(w, &first.change);
	assert_false(first.change.add_file.replayed);
	must_apply(w, &again.change);
	assert_true(again.change.add_file.replayed);
	assert_id(again.change.add_file.replay_of, 1);
	assert_int_equal(file_code(w, 2), ERR_FILE_NOT_FOUND);
	assert_int_equal(stats(w, NOW).files, 1);
}

static void a_repeated_key_is_seen_within_one_batch(void **state)
{
	struct world *w = *state;
	struct built first, again, other;
	struct change *batch[] = {&first.change, &again.change, &other.change};

	build_keyed(&first, 1, "key", 1, NOW);
	build_keyed(&again, 2, "key", 1, NOW);
	build_keyed(&other, 3, "key", 2, NOW);
	assert_int_equal(catalog_apply(w->c, batch, 3, &w->err), 0);
	assert_true(again.change.add_file.replayed);
	assert_id(again.change.add_file.replay_of, 1);
	assert_int_equal(other.change.code, ERR_IDEMPOTENCY_CONFLICT);
}

static void a_key_with_other_content_is_a_conflict(void **state)
{
	struct world *w = *state;
	struct built first, other;

	build_keyed(&first, 1, "key", 1, NOW);
	build_keyed(&other, 2, "key", 2, NOW + 1);
	must_apply(w, &first.change);
	assert_int_equal(apply1(w, &other.change), ERR_IDEMPOTENCY_CONFLICT);
	assert_int_equal(file_code(w, 2), ERR_FILE_NOT_FOUND);
}

static void a_key_of_another_owner_is_another_key(void **state)
{
	struct world *w = *state;
	struct built first, other;

	build_keyed(&first, 1, "key", 1, NOW);
	build_keyed(&other, 2, "key", 2, NOW);
	other.file.owner = STR("somebody else");
	must_apply(w, &first.change);
	must_apply(w, &other.change);
	assert_false(other.change.add_file.replayed);
}

static void a_key_counts_for_24_hours(void **state)
{
	struct world *w = *state;
	const int64_t day = 24 * INT64_C(3600000);
	struct built first, late, too_late;

	build_keyed(&first, 1, "key", 1, NOW);
	build_keyed(&late, 2, "key", 1, NOW + day - 1);
	build_keyed(&too_late, 3, "key", 2, NOW + day);
	must_apply(w, &first.change);
	must_apply(w, &late.change);
	assert_true(late.change.add_file.replayed);
	must_apply(w, &too_late.change);
	assert_false(too_late.change.add_file.replayed);
	assert_int_equal(file_code(w, 3), 0);
}

static void a_refused_upload_does_not_use_up_its_key(void **state)
{
	struct world *w = *state;
	struct built refused, again;

	add_file(w, 1);
	build_keyed(&refused, 1, "key", 1, NOW);
	assert_int_equal(apply1(w, &refused.change), ERR_CONFLICT);
	build_keyed(&again, 2, "key", 2, NOW);
	must_apply(w, &again.change);
	assert_false(again.change.add_file.replayed);
}

/* ---- patching ---- */

static void a_patch_changes_what_it_names_and_keeps_the_rest(void **state)
{
	struct world *w = *state;
	struct change name = {.kind = CHANGE_PATCH_FILE, .patch_file = {.id = test_id(1), .owner = OWNER, .name = STR("new"), .now = NOW}};
	struct change labels = {.kind = CHANGE_PATCH_FILE,
				.patch_file = {.id = test_id(1),
					       .owner = OWNER,
					       .labels = STR("{\"k\":\"v\"}"),
					       .set_expires = true,
					       .expires_at = NOW + 9,
					       .now = NOW}};
	struct change never = {.kind = CHANGE_PATCH_FILE,
			       .patch_file = {.id = test_id(1), .owner = OWNER, .set_expires = true, .now = NOW}};
	struct file f;

	add_file(w, 1);
	must_apply(w, &name);
	f = read_file(w, 1);
	assert_str(f.name, "new");
	assert_str(f.labels, "{}");
	assert_int_equal(f.expires_at, 0);
	must_apply(w, &labels);
	f = read_file(w, 1);
	assert_str(f.name, "new");
	assert_str(f.labels, "{\"k\":\"v\"}");
	assert_int_equal(f.expires_at, NOW + 9);
	must_apply(w, &never);
	assert_int_equal(read_file(w, 1).expires_at, 0);
}

static void a_patch_needs_a_file_that_is_there(void **state)
{
	struct world *w = *state;
	struct change ch = {.kind = CHANGE_PATCH_FILE, .patch_file = {.id = test_id(1), .owner = OWNER, .name = STR("new"), .now = NOW}};

	assert_int_equal(apply1(w, &ch), ERR_FILE_NOT_FOUND);
	add_file(w, 1);
	ch.patch_file.owner = STR("somebody else");
	assert_int_equal(apply1(w, &ch), ERR_FILE_NOT_FOUND);
	assert_int_equal(delete_file(w, 1), 0);
	ch.patch_file.owner = OWNER;
	assert_int_equal(apply1(w, &ch), ERR_FILE_GONE);
}

/* ---- deleting ---- */

static void a_deleted_file_is_gone_with_its_bytes_and_jobs(void **state)
{
	struct world *w = *state;
	CLEANUP(buf_release) struct buf out = BUF_INIT;
	struct change ch = {.kind = CHANGE_DELETE_FILE, .delete_file = {.id = test_id(1), .owner = OWNER, .now = NOW}};
	struct file f;

	add_file_with_job(w, 1, "md5");
	must_apply(w, &ch);
	assert_int_equal(ch.delete_file.location, LOCATION_INLINE);
	assert_int_equal(file_code(w, 1), ERR_FILE_GONE);
	assert_int_equal(catalog_file(w->c, (struct file_key){.number = 1}, OWNER, &w->arena, &f, &w->err), ERR_FILE_GONE);
	assert_int_equal(job_code(w, job_id(1, 0)), ERR_JOB_GONE);
	assert_int_equal(catalog_inline_bytes(w->c, test_id(1), &out, &w->err), ERR_FILE_NOT_FOUND);
	assert_int_equal(stats(w, NOW).files, 0);
	assert_int_equal(stats(w, NOW).file_bytes, 0);
	assert_int_equal(stats(w, NOW).jobs_waiting, 0);
	assert_int_equal(stats(w, NOW).jobs_final[JOB_CANCELLED], 1);
	assert_int_equal(delete_file(w, 1), ERR_FILE_GONE);
}

static void deleting_needs_the_owner(void **state)
{
	struct world *w = *state;
	struct change ch = {.kind = CHANGE_DELETE_FILE, .delete_file = {.id = test_id(1), .owner = STR("somebody else"), .now = NOW}};

	assert_int_equal(delete_file(w, 1), ERR_FILE_NOT_FOUND);
	add_file(w, 1);
	assert_int_equal(apply1(w, &ch), ERR_FILE_NOT_FOUND);
	assert_int_equal(file_code(w, 1), 0);
}

static void a_running_job_of_a_deleted_file_ends_cancelled(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct change_claim c;

	add_file_with_job(w, 1, "md5");
	c = claim(w, worker, 1, NOW);
	assert_int_equal(delete_file(w, 1), 0);
	assert_int_equal(stats(w, NOW).jobs_running, 1);
	assert_int_equal(finish(w, &c.jobs[0].job, worker, JOB_SUCCEEDED), 0);
	assert_int_equal(stats(w, NOW).jobs_running, 0);
	assert_int_equal(stats(w, NOW).jobs_final[JOB_CANCELLED], 1);
	assert_int_equal(stats(w, NOW).jobs_final[JOB_SUCCEEDED], 0);
}

static void a_file_with_many_jobs_is_deleted_with_all_of_them(void **state)
{
	struct world *w = *state;
	enum { MANY = 150 };
	static struct job jobs[MANY];
	struct change more = {.kind = CHANGE_ADD_JOBS, .add_jobs = {.owner = OWNER, .jobs = jobs, .n = MANY, .arena = &w->arena}};
	struct uuid worker = first_beat(w, 500, NOW + 15000);

	add_file(w, 1);
	for (unsigned i = 0; i < MANY; i++)
		jobs[i] = (struct job){.id = test_id(1000 + i),
				       .file = test_id(1),
				       .op = STR("md5"),
				       .op_version = i + 1,
				       .params = STR("{}"),
				       .max_attempts = 1,
				       .run_at = NOW,
				       .created_at = NOW};
	must_apply(w, &more);
	assert_int_equal(claim(w, worker, 70, NOW).n, 70);
	assert_int_equal(delete_file(w, 1), 0);
	assert_int_equal(stats(w, NOW).jobs_waiting, 0);
	assert_int_equal(stats(w, NOW).jobs_running, 70);
	assert_int_equal(stats(w, NOW).jobs_final[JOB_CANCELLED], MANY - 70);
	assert_int_equal(reclaim(w, NOW, true).reclaimed, 0);
	assert_int_equal(stats(w, NOW).jobs_final[JOB_CANCELLED], MANY);
}

static void build_stored(struct built *b, unsigned n, enum location location)
{
	build_file(b, n);
	b->file.location = location;
	b->file.size = UINT64_C(5000000000);
	b->change.add_file.bytes = (struct str){};
}

static void a_stored_blob_is_referenced_until_its_file_is_deleted(void **state)
{
	struct world *w = *state;
	char name[BLOB_MAX];
	struct built b;

	build_stored(&b, 1, LOCATION_FILE);
	must_apply(w, &b.change);
	add_file(w, 2);
	assert_int_equal(read_file(w, 1).size, UINT64_C(5000000000));
	assert_int_equal(read_file(w, 1).location, LOCATION_FILE);
	assert_true(referenced(w, blob_of(1, name)));
	assert_false(referenced(w, blob_of(2, name)));
	assert_int_equal(delete_file(w, 1), 0);
	assert_false(referenced(w, blob_of(1, name)));
	assert_false(referenced(w, blob_of(77, name)));
}

static void a_deleted_files_blob_is_doomed_until_its_bytes_are_gone(void **state)
{
	struct world *w = *state;
	struct change drop = {.kind = CHANGE_DELETE_FILE, .delete_file = {.id = test_id(1), .owner = OWNER, .now = NOW}};
	char name[BLOB_MAX];
	struct change gone = {.kind = CHANGE_BLOB_GONE, .blob_gone = {.blob = blob_of(1, name)}};
	struct str *list;
	struct built b;
	size_t n;

	build_stored(&b, 1, LOCATION_OBJECT);
	must_apply(w, &b.change);
	must_apply(w, &drop);
	assert_int_equal(drop.delete_file.location, LOCATION_OBJECT);
	assert_true(drop.delete_file.doomed);
	assert_int_equal(catalog_doomed(w->c, STR(""), 10, &w->arena, &list, &n, &w->err), 0);
	assert_int_equal(n, 1);
	assert_true(str_eq(list[0], blob_of(1, name)));
	must_apply(w, &gone);
	assert_int_equal(catalog_doomed(w->c, STR(""), 10, &w->arena, &list, &n, &w->err), 0);
	assert_int_equal(n, 0);
	must_apply(w, &gone); /* twice does no harm */
}

static void doomed_blobs_come_at_most_as_many_as_asked_for(void **state)
{
	struct world *w = *state;
	struct str *list;
	size_t n;

	for (unsigned i = 1; i <= 3; i++) {
		struct built b;

		build_stored(&b, i, LOCATION_FILE);
		must_apply(w, &b.change);
		assert_int_equal(delete_file(w, i), 0);
	}
	assert_int_equal(catalog_doomed(w->c, STR(""), 2, &w->arena, &list, &n, &w->err), 0);
	assert_int_equal(n, 2);
	assert_true(strcmp(list[0].p, list[1].p) < 0);
	struct str second = list[1];
	assert_int_equal(catalog_doomed(w->c, second, 2, &w->arena, &list, &n, &w->err), 0); /* and what comes behind them */
	assert_int_equal(n, 1);
	assert_true(strcmp(second.p, list[0].p) < 0);
	assert_int_equal(catalog_doomed(w->c, list[0], 2, &w->arena, &list, &n, &w->err), 0);
	assert_int_equal(n, 0);
}

static void expired_files_are_named_until_they_are_deleted(void **state)
{
	struct world *w = *state;
	struct expired *list;
	struct built b;
	size_t n;

	for (unsigned i = 1; i <= 3; i++) {
		build_file(&b, i);
		b.file.expires_at = i == 3 ? 0 : NOW + i * 10;
		must_apply(w, &b.change);
	}
	assert_int_equal(catalog_expired(w->c, NOW + 9, 10, &w->arena, &list, &n, &w->err), 0);
	assert_int_equal(n, 0);
	assert_int_equal(catalog_expired(w->c, NOW + 10, 10, &w->arena, &list, &n, &w->err), 0);
	assert_int_equal(n, 1);
	assert_id(list[0].file, 1);
	assert_str(list[0].owner, OWNER_PUBLIC);
	assert_int_equal(catalog_expired(w->c, NOW + 1000, 10, &w->arena, &list, &n, &w->err), 0);
	assert_int_equal(n, 2);
	assert_int_equal(delete_file(w, 1), 0);
	assert_int_equal(catalog_expired(w->c, NOW + 1000, 10, &w->arena, &list, &n, &w->err), 0);
	assert_int_equal(n, 1);
}

/* ---- purging ---- */

static void a_purged_tombstone_is_forgotten_with_its_jobs(void **state)
{
	struct world *w = *state;

	add_file_with_job(w, 1, "md5");
	add_file_with_job(w, 2, "md5");
	assert_int_equal(delete_file(w, 1), 0); /* at NOW + 100 */
	assert_int_equal(purge(w, NOW + 100, 10), 0);
	assert_int_equal(file_code(w, 1), ERR_FILE_GONE);
	assert_int_equal(purge(w, NOW + 101, 10), 0);
	assert_int_equal(file_code(w, 1), ERR_FILE_NOT_FOUND);
	assert_int_equal(job_code(w, job_id(1, 0)), ERR_JOB_NOT_FOUND);
	assert_int_equal(file_code(w, 2), 0);
	assert_int_equal(job_code(w, job_id(2, 0)), 0);
}

static void purging_is_bounded(void **state)
{
	struct world *w = *state;
	unsigned gone = 0;

	for (unsigned i = 1; i <= 5; i++) {
		add_file(w, i);
		assert_int_equal(delete_file(w, i), 0);
	}
	assert_int_equal(purge(w, NOW + 101, 2), 0);
	for (unsigned i = 1; i <= 5; i++)
		gone += file_code(w, i) == ERR_FILE_NOT_FOUND;
	assert_int_equal(gone, 2);
}

static void a_tombstone_stays_while_its_job_runs_and_not_for_its_blob(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	char name[BLOB_MAX];
	struct change blob_gone = {.kind = CHANGE_BLOB_GONE, .blob_gone = {.blob = blob_of(1, name)}};
	struct change_claim c;
	struct built b;

	build_stored(&b, 1, LOCATION_FILE);
	must_apply(w, &b.change);
	add_file_with_job(w, 2, "md5");
	c = claim(w, worker, 1, NOW);
	assert_int_equal(delete_file(w, 1), 0);
	assert_int_equal(delete_file(w, 2), 0);
	assert_int_equal(purge(w, NOW + 101, 10), 0);
	assert_int_equal(file_code(w, 1), ERR_FILE_NOT_FOUND);
	assert_int_equal(file_code(w, 2), ERR_FILE_GONE);
	assert_true(doomed(w, blob_of(1, name)));
	must_apply(w, &blob_gone);
	assert_int_equal(doomed_count(w), 0);
	assert_int_equal(finish(w, &c.jobs[0].job, worker, JOB_FAILED), 0);
	assert_int_equal(purge(w, NOW + 101, 10), 0);
	assert_int_equal(file_code(w, 2), ERR_FILE_NOT_FOUND);
}

static void a_purged_key_is_free_again(void **state)
{
	struct world *w = *state;
	struct built first, other;

	build_keyed(&first, 1, "key", 1, NOW);
	must_apply(w, &first.change);
	assert_int_equal(purge(w, NOW + 1, 10), 0);
	build_keyed(&other, 2, "key", 2, NOW + 1);
	must_apply(w, &other.change);
	assert_false(other.change.add_file.replayed);
}

static void numbers_are_not_given_twice(void **state)
{
	struct world *w = *state;
	struct built b;

	for (unsigned i = 1; i <= 3; i++)
		add_file_with_job(w, i, "md5");
	for (unsigned i = 1; i <= 3; i++)
		assert_int_equal(delete_file(w, i), 0);
	assert_int_equal(purge(w, NOW + 1000, 100), 0);
	build_file(&b, 4);
	build_job(&b, "md5");
	must_apply(w, &b.change);
	assert_int_equal(b.file.number, 4);
	assert_int_equal(b.jobs[0].number, 4);
}

const struct named_test contract_files[] = {
	NAMED(a_stored_file_is_read_back_whole),
	NAMED(a_file_is_found_by_its_number_too),
	NAMED(inline_bytes_come_back_as_they_were),
	NAMED(an_empty_file_has_no_bytes_but_is_there),
	NAMED(a_fused_job_is_final_from_its_birth),
	NAMED(a_fused_job_may_have_failed),
	NAMED(another_owner_sees_nothing),
	NAMED(an_id_that_was_never_issued_is_not_found),
	NAMED(a_job_is_found_by_its_number_too),
	NAMED(an_id_that_is_taken_is_refused_and_leaves_no_trace),
	NAMED(a_batch_has_a_result_for_each_change),
	NAMED(what_cannot_be_stored_is_refused_with_its_field),
	NAMED(a_repeated_key_names_the_first_file_and_adds_nothing),
	NAMED(a_repeated_key_is_seen_within_one_batch),
	NAMED(a_key_with_other_content_is_a_conflict),
	NAMED(a_key_of_another_owner_is_another_key),
	NAMED(a_key_counts_for_24_hours),
	NAMED(a_refused_upload_does_not_use_up_its_key),
	NAMED(a_patch_changes_what_it_names_and_keeps_the_rest),
	NAMED(a_patch_needs_a_file_that_is_there),
	NAMED(a_deleted_file_is_gone_with_its_bytes_and_jobs),
	NAMED(deleting_needs_the_owner),
	NAMED(a_running_job_of_a_deleted_file_ends_cancelled),
	NAMED(a_file_with_many_jobs_is_deleted_with_all_of_them),
	NAMED(a_stored_blob_is_referenced_until_its_file_is_deleted),
	NAMED(a_deleted_files_blob_is_doomed_until_its_bytes_are_gone),
	NAMED(doomed_blobs_come_at_most_as_many_as_asked_for),
	NAMED(expired_files_are_named_until_they_are_deleted),
	NAMED(a_purged_tombstone_is_forgotten_with_its_jobs),
	NAMED(purging_is_bounded),
	NAMED(a_tombstone_stays_while_its_job_runs_and_not_for_its_blob),
	NAMED(a_purged_key_is_free_again),
	NAMED(numbers_are_not_given_twice),
	{},
};
