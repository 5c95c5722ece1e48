/* The contract, fifth part: what jobs made, who refers to its blobs and when they go, work that is taken over from another job. */
#include "world.h"

#include <stdio.h>
#include <string.h>

/* Adds file n with a job, runs it to an end with outputs and returns it. */
static struct job made(struct world *w, unsigned n, const char *op, struct uuid worker, size_t outputs)
{
	struct job job;

	add_file_with_job(w, n, op);
	job = claim(w, worker, 1, NOW).jobs[0].job;
	assert_id(job.id, job_id(n, 0));
	assert_int_equal(finish_with_outputs(w, &job, worker, outputs, NULL), 0);
	return job;
}

static void check_outputs(const struct job *j, const struct job *by, size_t n)
{
	char blob[BLOB_MAX];

	assert_int_equal(j->n_outputs, n);
	for (unsigned i = 0; i < n; i++) {
		char name[16];

		snprintf(name, sizeof(name), "out %u.webp", i);
		assert_str(j->outputs[i].name, name);
		assert_str(j->outputs[i].type, "image/webp");
		assert_int_equal(j->outputs[i].size, UINT64_C(6000000000) + i);
		assert_int_equal(j->outputs[i].sha256[31], 1 + i);
		assert_true(str_eq(j->outputs[i].blob, output_blob(by->id, by->fence, i, blob)));
	}
}

static void outputs_are_told_wherever_a_job_is(void **state)
{
	struct world *w = *state;
	struct file_filter files = {.owner = OWNER, .state = -1};
	struct job_filter jobs = {.owner = OWNER, .state = -1};
	struct outbox_entry *told;
	struct file f, *file_list;
	struct job job, j, *job_list;
	int64_t next;
	size_t n;

	world_restart(w, (struct catalog_options){.outbox = true});
	job = made(w, 1, "resize", first_beat(w, 500, NOW + 15000), 2);
	j = read_job(w, job_id(1, 0));
	assert_int_equal(j.state, JOB_SUCCEEDED);
	assert_str(j.result, "{\"width\":1}");
	check_outputs(&j, &job, 2);
	f = read_file(w, 1);
	check_outputs(&f.jobs[0], &job, 2);
	assert_int_equal(catalog_list_files(w->c, &files, (struct page){.limit = 10}, &w->arena, &file_list, &n, &next, &w->err), 0);
	check_outputs(&file_list[0].jobs[0], &job, 2);
	assert_int_equal(catalog_list_jobs(w->c, &jobs, (struct page){.limit = 10}, &w->arena, &job_list, &n, &next, &w->err), 0);
	check_outputs(&job_list[0], &job, 2);
	assert_int_equal(catalog_outbox(w->c, 0, 10, &w->arena, &told, &n, &w->err), 0);
	assert_int_equal(n, 1);
	check_outputs(&told[0].job, &job, 2);
	assert_int_equal(delete_file(w, 1), 0);
	assert_int_equal(catalog_outbox(w->c, 0, 10, &w->arena, &told, &n, &w->err), 0);
	assert_int_equal(n, 1);
	check_outputs(&told[0].job, &job, 0); /* they went with the file */
}

static void a_job_has_a_bounded_number_of_outputs(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct job job;

	add_file_with_job(w, 1, "resize");
	job = claim(w, worker, 1, NOW).jobs[0].job;
	assert_int_equal(finish_with_outputs(w, &job, worker, OUTPUTS_MAX + 1, NULL), ERR_INVALID_VALUE);
	assert_int_equal(read_job(w, job_id(1, 0)).state, JOB_RUNNING);
	assert_int_equal(finish_with_outputs(w, &job, worker, OUTPUTS_MAX, NULL), 0);
	assert_int_equal(read_job(w, job_id(1, 0)).n_outputs, OUTPUTS_MAX);
}

static void only_what_succeeded_has_outputs_and_they_are_whole(void **state)
{
	static const enum job_state ENDS[] = {JOB_FAILED, JOB_CANCELLED, JOB_QUEUED};
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct output good = {.name = STR("a"), .type = STR("b"), .blob = STR("c/00/d")}, bad[4];
	struct change ch = {.kind = CHANGE_FINISH};
	struct job job;

	add_file_with_job(w, 1, "resize");
	job = claim(w, worker, 1, NOW).jobs[0].job;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		bad[i] = good;
	bad[0].name = (struct str){};
	bad[1].type = (struct str){};
	bad[2].blob = (struct str){};
	bad[3].size = UINT64_MAX;
	ch.finish = (struct change_finish){
		.job = job.id, .fence = job.fence, .worker = worker, .retry_at = NOW, .finished_at = NOW, .outputs = &good, .n_outputs = 1};
	for (size_t i = 0; i < ARRAY_LEN(ENDS); i++) {
		ch.finish.state = ENDS[i];
		assert_int_equal(apply1(w, &ch), ERR_INVALID_VALUE);
		assert_string_equal(ch.err.field, "outputs");
	}
	ch.finish.state = JOB_SUCCEEDED;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		ch.finish.outputs = &bad[i];
		assert_int_equal(apply1(w, &ch), ERR_INVALID_VALUE);
	}
	assert_int_equal(read_job(w, job_id(1, 0)).state, JOB_RUNNING);
	ch.finish.outputs = &good;
	must_apply(w, &ch);
}

static void a_stale_attempt_leaves_no_outputs(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 100), other = first_beat(w, 501, NOW + 15000);
	char blob[BLOB_MAX];
	struct job job;

	add_file_with_job(w, 1, "resize");
	job = claim(w, worker, 1, NOW).jobs[0].job;
	reclaim(w, NOW + 100, false);
	assert_int_equal(finish_with_outputs(w, &job, worker, 1, NULL), ERR_STALE);
	assert_false(referenced(w, output_blob(job.id, job.fence, 0, blob)));
	assert_int_equal(doomed_count(w), 0); /* the caller's to remove */
	job = claim(w, other, 1, NOW).jobs[0].job;
	assert_int_equal(finish_with_outputs(w, &job, other, 1, NULL), 0);
	assert_true(referenced(w, output_blob(job.id, job.fence, 0, blob)));
}

/* ---- references ---- */

static void outputs_go_with_their_file(void **state)
{
	struct world *w = *state;
	struct job job = made(w, 1, "resize", first_beat(w, 500, NOW + 15000), 2);
	struct change drop = {.kind = CHANGE_DELETE_FILE, .delete_file = {.id = test_id(1), .owner = OWNER, .now = NOW}};
	struct change gone = {.kind = CHANGE_BLOB_GONE};
	char blob[BLOB_MAX], other[BLOB_MAX];

	output_blob(job.id, job.fence, 0, blob);
	output_blob(job.id, job.fence, 1, other);
	assert_true(referenced(w, str_of(blob)));
	assert_true(referenced(w, str_of(other)));
	assert_false(referenced(w, output_blob(job.id, job.fence, 2, other)));
	assert_false(referenced(w, STR("no name of ours")));
	output_blob(job.id, job.fence, 1, other);
	must_apply(w, &drop);
	assert_true(drop.delete_file.doomed); /* although the file itself was inline */
	assert_false(referenced(w, str_of(blob)));
	assert_true(doomed(w, str_of(blob)));
	assert_true(doomed(w, str_of(other)));
	gone.blob_gone.blob = str_of(blob);
	must_apply(w, &gone);
	assert_false(doomed(w, str_of(blob)));
	assert_true(doomed(w, str_of(other)));
	assert_int_equal(purge(w, NOW + 1000, 10), 0);
	assert_true(doomed(w, str_of(other))); /* also when nothing is known of the file any more */
}

static void a_file_without_outputs_dooms_nothing(void **state)
{
	struct world *w = *state;
	struct change drop = {.kind = CHANGE_DELETE_FILE, .delete_file = {.id = test_id(1), .owner = OWNER, .now = NOW}};

	add_file_with_job(w, 1, "md5");
	drop.delete_file.doomed = true;
	must_apply(w, &drop);
	assert_false(drop.delete_file.doomed);
	assert_int_equal(doomed_count(w), 0);
}

static void a_blob_that_several_files_refer_to_goes_with_the_last(void **state)
{
	struct world *w = *state;
	struct job job = made(w, 1, "resize", first_beat(w, 500, NOW + 15000), 1), again;
	struct job twice[2];
	char blob[BLOB_MAX];
	struct built b;

	output_blob(job.id, job.fence, 0, blob);
	build_same_bytes(&b, 2, 1);
	must_apply(w, &b.change);
	twice[0] = new_job(1000, 2, "resize");
	twice[1] = new_job(1001, 2, "resize");
	assert_int_equal(add_jobs(w, twice, 2, NULL), 0);
	for (int i = 0; i < 2; i++) {
		assert_true(twice[i].cached);
		assert_str(twice[i].result, "{\"width\":1}");
		check_outputs(&twice[i], &job, 1);
	}
	again = read_job(w, 1001);
	assert_true(again.cached);
	check_outputs(&again, &job, 1);
	assert_int_equal(delete_file(w, 1), 0);
	assert_true(referenced(w, str_of(blob)));
	assert_int_equal(doomed_count(w), 0);
	assert_int_equal(purge(w, NOW + 1000, 10), 0);
	again = read_job(w, 1000);
	check_outputs(&again, &job, 1);
	assert_int_equal(delete_file(w, 2), 0);
	assert_false(referenced(w, str_of(blob)));
	assert_true(doomed(w, str_of(blob)));
	assert_int_equal(doomed_count(w), 1);
}

static void what_a_cancelled_job_made_is_doomed(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	char blob[BLOB_MAX];
	struct job job;

	add_file_with_job(w, 1, "resize");
	add_file_with_job(w, 2, "resize");
	job = claim(w, worker, 1, NOW).jobs[0].job;
	assert_int_equal(cancel_job(w, job_id(1, 0), NULL), 0);
	assert_int_equal(finish_with_outputs(w, &job, worker, 1, NULL), 0);
	assert_int_equal(read_job(w, job_id(1, 0)).state, JOB_CANCELLED);
	assert_int_equal(read_job(w, job_id(1, 0)).n_outputs, 0);
	assert_true(doomed(w, output_blob(job.id, job.fence, 0, blob)));
	job = claim(w, worker, 1, NOW).jobs[0].job;
	assert_int_equal(delete_file(w, 2), 0);
	assert_int_equal(finish_with_outputs(w, &job, worker, 2, NULL), 0);
	assert_true(doomed(w, output_blob(job.id, job.fence, 1, blob)));
	assert_int_equal(doomed_count(w), 3);
}

/* ---- work done before ---- */

static struct uuid artifact(struct world *w, struct str owner, const char *op, uint32_t version, const char *params, unsigned file)
{
	struct uuid found = test_id(77);
	struct built b;

	build_file(&b, file);
	assert_int_equal(catalog_artifact(w->c, owner, str_of(op), version, str_of(params), b.file.sha256, &found, &w->err), 0);
	return found;
}

static void work_that_was_done_is_found_by_its_words_bytes_and_owner(void **state)
{
	struct world *w = *state;

	assert_true(uuid_is_zero(artifact(w, OWNER, "resize", 1, "{}", 1)));
	made(w, 1, "resize", first_beat(w, 500, NOW + 15000), 1);
	assert_id(artifact(w, OWNER, "resize", 1, "{}", 1), job_id(1, 0));
	assert_true(uuid_is_zero(artifact(w, STR("somebody else"), "resize", 1, "{}", 1)));
	assert_true(uuid_is_zero(artifact(w, OWNER, "gzip", 1, "{}", 1)));
	assert_true(uuid_is_zero(artifact(w, OWNER, "resize", 2, "{}", 1)));
	assert_true(uuid_is_zero(artifact(w, OWNER, "resize", 1, "{\"a\":1}", 1)));
	assert_true(uuid_is_zero(artifact(w, OWNER, "resize", 1, "{}", 2)));
	assert_int_equal(delete_file(w, 1), 0);
	assert_true(uuid_is_zero(artifact(w, OWNER, "resize", 1, "{}", 1)));
}

static void an_upload_is_answered_from_earlier_work(void **state)
{
	struct world *w = *state;
	struct outbox_entry *told;
	struct built b, full;
	struct job job, *fresh;
	size_t n;

	world_restart(w, (struct catalog_options){.outbox = true, .queue_max = 1});
	job = made(w, 1, "resize", first_beat(w, 500, NOW + 15000), 2);
	build_same_bytes(&b, 2, 1);
	build_fused(&b, "md5", "{\"md5\":\"aa\"}");
	build_job(&b, "resize");
	fresh = build_job(&b, "gzip");
	b.change.add_file.arena = &w->arena;
	must_apply(w, &b.change);
	assert_false(b.jobs[0].cached);
	assert_true(b.jobs[1].cached);
	assert_int_equal(b.jobs[1].state, JOB_SUCCEEDED);
	assert_int_equal(b.jobs[1].finished_at, NOW);
	assert_str(b.jobs[1].result, "{\"width\":1}");
	check_outputs(&b.jobs[1], &job, 2);
	assert_int_equal(fresh->state, JOB_QUEUED);
	assert_false(fresh->cached);
	job = read_file(w, 2).jobs[1];
	assert_true(job.cached);
	assert_int_equal(job.state, JOB_SUCCEEDED);
	assert_int_equal(job.attempt, 0);
	check_outputs(&job, &(struct job){.id = test_id(job_id(1, 0)), .fence = 1}, 2);
	assert_int_equal(catalog_outbox(w->c, 0, 10, &w->arena, &told, &n, &w->err), 0);
	assert_int_equal(n, 3);
	assert_true(told[2].job.cached);
	build_same_bytes(&full, 3, 1); /* the queue is full, but this need not wait */
	build_job(&full, "resize");
	must_apply(w, &full.change);
	assert_true(full.jobs[0].cached);
}

/* Equal bytes under another name make another output where the name is in it. */
static void work_with_the_file_s_own_name_is_done_for_each_file(void **state)
{
	struct world *w = *state;
	struct built b;
	struct job *resize, again = new_job(900, 1, "resize");

	world_restart(w, (struct catalog_options){});
	made(w, 1, "resize", first_beat(w, 500, NOW + 15000), 1);
	build_same_bytes(&b, 2, 1);
	resize = build_job(&b, "resize");
	resize->own_name = true;
	must_apply(w, &b.change);
	assert_false(resize->cached);
	assert_int_equal(resize->state, JOB_QUEUED);
	again.own_name = true;
	assert_int_equal(add_jobs(w, &again, 1, NULL), 0);
	assert_true(again.cached);
}

/* A batch with a change that cannot be stored is applied a second time: what the first time said of a job must not be taken for the caller's. */
static void an_answer_from_earlier_work_survives_a_neighbour_that_is_refused(void **state)
{
	struct world *w = *state;
	struct job job = made(w, 1, "resize", first_beat(w, 500, NOW + 15000), 1), read;
	struct built b, taken;
	struct change *batch[] = {&b.change, &taken.change};

	build_same_bytes(&b, 2, 1);
	build_job(&b, "resize");
	build_after(&b, "gzip", &b.jobs[0]);
	build_after(&b, "zip", &b.jobs[1]);
	build_file(&taken, 1); /* an id that is there already */
	assert_int_equal(catalog_apply(w->c, batch, 2, &w->err), 0);
	assert_int_equal(b.change.code, 0);
	assert_int_equal(taken.change.code, ERR_CONFLICT);
	read = read_job(w, job_id(2, 0));
	assert_true(read.cached);
	assert_int_equal(read.state, JOB_SUCCEEDED);
	check_outputs(&read, &job, 1);
	assert_int_equal(read_job(w, job_id(2, 1)).run_at, NOW);
	assert_int_equal(read_job(w, job_id(2, 2)).run_at, RUN_AT_HELD);
	assert_int_equal(stats(w, NOW).jobs_waiting, 2);
}

static void other_peoples_uploads_are_not_answered_from_ones_work(void **state)
{
	struct world *w = *state;
	struct built b;

	made(w, 1, "resize", first_beat(w, 500, NOW + 15000), 1);
	build_same_bytes(&b, 2, 1);
	b.file.owner = STR("somebody else");
	build_job(&b, "resize");
	must_apply(w, &b.change);
	assert_false(b.jobs[0].cached);
	assert_int_equal(b.jobs[0].state, JOB_QUEUED);
}

static void what_is_deleted_earlier_in_a_batch_is_not_taken_later(void **state)
{
	struct world *w = *state;
	struct job job = made(w, 1, "resize", first_beat(w, 500, NOW + 15000), 1);
	struct job late = new_job(1000, 2, "resize"), early = new_job(1001, 2, "resize");
	struct change drop = {.kind = CHANGE_DELETE_FILE, .delete_file = {.id = test_id(1), .owner = OWNER, .now = NOW}};
	struct change first = {.kind = CHANGE_ADD_JOBS, .add_jobs = {.owner = OWNER, .jobs = &early, .n = 1, .arena = &w->arena}};
	struct change second = {.kind = CHANGE_ADD_JOBS, .add_jobs = {.owner = OWNER, .jobs = &late, .n = 1, .arena = &w->arena}};
	struct change *batch[] = {&drop, &second}, *other_way[] = {&first, &drop};
	char blob[BLOB_MAX];
	struct built b;

	build_same_bytes(&b, 2, 1);
	must_apply(w, &b.change);
	assert_int_equal(catalog_apply(w->c, batch, 2, &w->err), 0);
	assert_int_equal(drop.code, 0);
	assert_int_equal(second.code, 0);
	assert_false(late.cached);
	assert_int_equal(late.state, JOB_QUEUED);
	assert_true(doomed(w, output_blob(job.id, job.fence, 0, blob)));
	assert_int_equal(cancel_job(w, 1000, NULL), 0);

	job = made(w, 3, "resize", first_beat(w, 501, NOW + 15000), 1);
	build_same_bytes(&b, 4, 3);
	must_apply(w, &b.change);
	early.file = test_id(4);
	drop.delete_file.id = test_id(3);
	assert_int_equal(catalog_apply(w->c, other_way, 2, &w->err), 0);
	assert_true(early.cached);
	assert_false(drop.delete_file.doomed);
	assert_true(referenced(w, output_blob(job.id, job.fence, 0, blob)));
	assert_false(doomed(w, str_of(blob)));
}

/* ---- taken over at the end ---- */

static void a_job_may_end_with_what_another_did(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct job first, second, read;
	struct built b;

	add_file_with_job(w, 1, "resize");
	build_same_bytes(&b, 2, 1);
	build_job(&b, "resize");
	must_apply(w, &b.change); /* both at once: neither is answered from the other */
	first = claim(w, worker, 1, NOW).jobs[0].job;
	second = claim(w, worker, 1, NOW).jobs[0].job;
	assert_int_equal(finish_same_as(w, &second, worker, first.id), ERR_CONFLICT); /* not done yet */
	assert_int_equal(read_job(w, job_id(2, 0)).state, JOB_RUNNING);
	assert_int_equal(finish_with_outputs(w, &first, worker, 2, NULL), 0);
	assert_int_equal(finish_same_as(w, &second, worker, first.id), 0);
	read = read_job(w, job_id(2, 0));
	assert_int_equal(read.state, JOB_SUCCEEDED);
	assert_true(read.cached);
	assert_int_equal(read.finished_at, NOW + 30);
	assert_int_equal(read.attempt, 1);
	assert_str(read.result, "{\"width\":1}");
	check_outputs(&read, &first, 2);
	assert_int_equal(delete_file(w, 1), 0);
	assert_int_equal(doomed_count(w), 0);
}

static void only_the_same_work_is_taken_over(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct job source = made(w, 1, "resize", worker, 1), job;
	enum { OTHER_BYTES, OTHER_OP, OTHER_VERSION, OTHER_PARAMS, OTHER_OWNER, CASES };

	for (unsigned i = 0; i < CASES; i++) {
		struct built b;

		build_same_bytes(&b, 10 + i, i == OTHER_BYTES ? 9 : 1);
		build_job(&b, i == OTHER_OP ? "gzip" : "resize");
		if (i == OTHER_VERSION)
			b.jobs[0].op_version = 2;
		if (i == OTHER_PARAMS)
			b.jobs[0].params = STR("{\"a\":1}");
		if (i == OTHER_OWNER)
			b.file.owner = STR("somebody else");
		must_apply(w, &b.change);
		job = claim(w, worker, 1, NOW).jobs[0].job;
		assert_int_equal(finish_same_as(w, &job, worker, source.id), ERR_CONFLICT);
		assert_int_equal(finish_same_as(w, &job, worker, test_id(4711)), ERR_CONFLICT);
		assert_int_equal(finish_same_as(w, &job, worker, job.id), ERR_CONFLICT);
		assert_int_equal(finish(w, &job, worker, JOB_FAILED), 0); /* nothing happened to it */
	}
}

static void nothing_is_taken_over_from_a_deleted_file(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct change drop = {.kind = CHANGE_DELETE_FILE, .delete_file = {.id = test_id(1), .owner = OWNER, .now = NOW}}, end;
	struct change *batch[] = {&drop, &end};
	struct job first, second;
	struct built b;
	char blob[BLOB_MAX];

	add_file_with_job(w, 1, "resize");
	build_same_bytes(&b, 2, 1);
	build_job(&b, "resize");
	must_apply(w, &b.change);
	first = claim(w, worker, 1, NOW).jobs[0].job;
	second = claim(w, worker, 1, NOW).jobs[0].job;
	assert_int_equal(finish_with_outputs(w, &first, worker, 1, NULL), 0);
	end = (struct change){.kind = CHANGE_FINISH,
			      .finish = {.job = second.id,
					 .fence = second.fence,
					 .worker = worker,
					 .state = JOB_SUCCEEDED,
					 .finished_at = NOW,
					 .same_as = first.id}};
	assert_int_equal(catalog_apply(w->c, batch, 2, &w->err), 0);
	assert_int_equal(end.code, ERR_CONFLICT);
	assert_true(doomed(w, output_blob(first.id, first.fence, 0, blob)));
	assert_int_equal(finish_with_outputs(w, &second, worker, 1, NULL), 0);
	assert_true(referenced(w, output_blob(second.id, second.fence, 0, blob)));
}

static void a_job_to_be_cancelled_takes_nothing_over(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct job first, second;
	struct built b;

	add_file_with_job(w, 1, "resize");
	build_same_bytes(&b, 2, 1);
	build_job(&b, "resize");
	must_apply(w, &b.change);
	first = claim(w, worker, 1, NOW).jobs[0].job;
	second = claim(w, worker, 1, NOW).jobs[0].job;
	assert_int_equal(finish_with_outputs(w, &first, worker, 1, NULL), 0);
	assert_int_equal(cancel_job(w, job_id(2, 0), NULL), 0);
	assert_int_equal(finish_same_as(w, &second, worker, first.id), 0);
	assert_int_equal(read_job(w, job_id(2, 0)).state, JOB_CANCELLED);
	assert_int_equal(read_job(w, job_id(2, 0)).n_outputs, 0);
	assert_int_equal(doomed_count(w), 0); /* they are another's */
}

static void taking_over_needs_no_outputs_and_no_result_of_ones_own(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct output output = {.name = STR("a"), .type = STR("b"), .blob = STR("c/00/d")};
	struct change ch = {.kind = CHANGE_FINISH};
	struct job job;

	add_file_with_job(w, 1, "resize");
	job = claim(w, worker, 1, NOW).jobs[0].job;
	ch.finish = (struct change_finish){.job = job.id,
					   .fence = job.fence,
					   .worker = worker,
					   .state = JOB_SUCCEEDED,
					   .finished_at = NOW,
					   .same_as = test_id(1),
					   .outputs = &output,
					   .n_outputs = 1};
	assert_int_equal(apply1(w, &ch), ERR_INVALID_VALUE);
	ch.finish.n_outputs = 0;
	ch.finish.state = JOB_FAILED;
	assert_int_equal(apply1(w, &ch), ERR_INVALID_VALUE);
	assert_string_equal(ch.err.field, "same_as");
}

const struct named_test contract_outputs[] = {
	NAMED(outputs_are_told_wherever_a_job_is),
	NAMED(a_job_has_a_bounded_number_of_outputs),
	NAMED(only_what_succeeded_has_outputs_and_they_are_whole),
	NAMED(a_stale_attempt_leaves_no_outputs),
	NAMED(outputs_go_with_their_file),
	NAMED(a_file_without_outputs_dooms_nothing),
	NAMED(a_blob_that_several_files_refer_to_goes_with_the_last),
	NAMED(what_a_cancelled_job_made_is_doomed),
	NAMED(work_that_was_done_is_found_by_its_words_bytes_and_owner),
	NAMED(an_upload_is_answered_from_earlier_work),
	NAMED(work_with_the_file_s_own_name_is_done_for_each_file),
	NAMED(an_answer_from_earlier_work_survives_a_neighbour_that_is_refused),
	NAMED(other_peoples_uploads_are_not_answered_from_ones_work),
	NAMED(what_is_deleted_earlier_in_a_batch_is_not_taken_later),
	NAMED(a_job_may_end_with_what_another_did),
	NAMED(only_the_same_work_is_taken_over),
	NAMED(nothing_is_taken_over_from_a_deleted_file),
	NAMED(a_job_to_be_cancelled_takes_nothing_over),
	NAMED(taking_over_needs_no_outputs_and_no_result_of_ones_own),
	{},
};
