/* The SQLite catalogue's own check: each rule is broken by SQL from outside, and found. */
#include "world.h"

#include <stdio.h>
#include <string.h>

struct told {
	enum finding finding;
	unsigned n;
	char id[200];
};

static void tell(void *arg, enum finding f, struct str id, struct str detail)
{
	struct told *t = arg;

	t->finding = f;
	t->n++;
	snprintf(t->id, sizeof(t->id), "%.*s", STR_FMT(id));
	assert_true(detail.len > 0);
}

/* Each rule is broken once by SQL, found, told once and of the right thing, and mended again. */
static void each_contradiction_is_found(void **state)
{
	static const struct {
		const char *harm, *mend;
		enum finding finding;
	} CASES[] = {
		{"UPDATE job SET file = 99 WHERE number = 3", "UPDATE job SET file = 3 WHERE number = 3", FINDING_JOB_WITHOUT_FILE},
		{"UPDATE job SET after = 77 WHERE number = 3", "UPDATE job SET after = NULL WHERE number = 3", FINDING_JOB_AFTER_NOTHING},
		{"UPDATE job SET after = 1 WHERE number = 3", "UPDATE job SET after = NULL WHERE number = 3", FINDING_JOB_AFTER_NOTHING},
		{"INSERT INTO task (job, priority, run_at, state, attempt, losses, fence, cancel, error) VALUES (1, 3, 1, 2, 0, 0, 0, 0, 0)",
		 "DELETE FROM task WHERE job = 1", FINDING_JOB_WITH_TWO_STATES},
		{"INSERT INTO task (job, priority, run_at, state, attempt, losses, fence, cancel, error) VALUES (88, 3, 1, 2, 0, 0, 0, 0, 0)",
		 "DELETE FROM task WHERE job = 88", FINDING_TASK_WITHOUT_JOB},
		{"UPDATE task SET worker = 66 WHERE state = 1", "UPDATE task SET worker = 1 WHERE state = 1", FINDING_TASK_WITHOUT_WORKER},
		{"INSERT INTO result (job, state, attempt, losses, fence, run_at, finished_at, error, cached) VALUES (88, 9, 0, 0, 0, 0, 1, 0, 0)",
		 "DELETE FROM result WHERE job = 88", FINDING_RESULT_WITHOUT_JOB},
		{"INSERT INTO output (job, n, name, type, size, sha256, blob) VALUES (3, 0, 'x', 'x', 1, zeroblob(32), 'public/00/x')",
		 "DELETE FROM output WHERE job = 3", FINDING_OUTPUT_WITHOUT_JOB},
		{"UPDATE result SET outputs = 3 WHERE job = 1", "UPDATE result SET outputs = 2 WHERE job = 1", FINDING_OUTPUTS_MISSING},
		{"INSERT INTO blob VALUES (55, X'00')", "DELETE FROM blob WHERE file = 55", FINDING_BYTES_WITHOUT_FILE},
		{"INSERT INTO artifact VALUES (7, 44)", "DELETE FROM artifact WHERE key = 7", FINDING_ARTIFACT_WITHOUT_WORK},
		{"INSERT INTO artifact VALUES (7, 2)", "DELETE FROM artifact WHERE key = 7", FINDING_ARTIFACT_WITHOUT_WORK},
		{"INSERT INTO doomed SELECT blob, 1 FROM output LIMIT 1", "DELETE FROM doomed", FINDING_DOOMED_REFERENCED},
		{"UPDATE tally SET files = files + 1", "UPDATE tally SET files = files - 1", FINDING_TALLY_WRONG},
		{"UPDATE tally SET file_bytes = file_bytes + 1", "UPDATE tally SET file_bytes = file_bytes - 1", FINDING_TALLY_WRONG},
		{"UPDATE usage SET files = files + 1", "UPDATE usage SET files = files - 1", FINDING_TALLY_WRONG},
		{"UPDATE usage SET bytes = bytes - 1", "UPDATE usage SET bytes = bytes + 1", FINDING_TALLY_WRONG},
		{"INSERT INTO usage VALUES ('nobody', 1, 1)", "DELETE FROM usage WHERE owner = 'nobody'", FINDING_TALLY_WRONG},
		{"UPDATE tally SET waiting = waiting + 1", "UPDATE tally SET waiting = waiting - 1", FINDING_TALLY_WRONG},
		{"UPDATE tally SET running = running + 1", "UPDATE tally SET running = running - 1", FINDING_TALLY_WRONG},
		{"UPDATE tally SET succeeded = 0", "UPDATE tally SET succeeded = 1", FINDING_TALLY_WRONG},
	};
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct job job;

	add_file_with_job(w, 1, "resize");
	job = claim(w, worker, 1, NOW).jobs[0].job;
	assert_int_equal(finish_with_outputs(w, &job, worker, 2, NULL), 0);
	add_file_with_job(w, 2, "md5"); /* runs */
	assert_int_equal(claim(w, worker, 1, NOW).n, 1);
	add_file_with_job(w, 3, "md5"); /* waits */
	for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
		struct told told = {};

		world_sql(w, CASES[i].harm);
		world_reopen(w);
		assert_int_equal(catalog_check(w->c, tell, &told, &w->err), 0);
		if (told.n != 1 || told.finding != CASES[i].finding)
			fail_msg("%s: %u findings, %s %s", CASES[i].harm, told.n, finding_word(told.finding), told.id);
		world_sql(w, CASES[i].mend);
	}
	world_reopen(w);
}

/* Both need more than one statement to be mended. */
static void a_job_without_state_and_a_doomed_file_are_found(void **state)
{
	struct world *w = *state;
	struct told told = {};
	struct built b;
	char sql[300], blob[BLOB_MAX];

	build_file(&b, 1);
	b.file.location = LOCATION_FILE;
	b.change.add_file.bytes = (struct str){};
	must_apply(w, &b.change);
	snprintf(sql, sizeof(sql), "INSERT INTO doomed VALUES ('%.*s', 1)", STR_FMT(blob_of(1, blob)));
	world_sql(w, sql);
	world_reopen(w);
	assert_int_equal(catalog_check(w->c, tell, &told, &w->err), 0);
	assert_int_equal(told.n, 1);
	assert_int_equal(told.finding, FINDING_DOOMED_REFERENCED);
	world_sql(w, "DELETE FROM doomed");
	add_file_with_job(w, 2, "md5");
	world_sql(w, "CREATE TABLE aside AS SELECT * FROM task");
	world_sql(w, "DELETE FROM task");
	world_sql(w, "UPDATE tally SET waiting = 0");
	world_reopen(w);
	told = (struct told){};
	assert_int_equal(catalog_check(w->c, tell, &told, &w->err), 0);
	assert_int_equal(told.n, 1);
	assert_int_equal(told.finding, FINDING_JOB_WITHOUT_STATE);
	assert_int_equal(strlen(told.id), UUID_TEXT_LEN);
	world_sql(w, "INSERT INTO task SELECT * FROM aside");
	world_sql(w, "UPDATE tally SET waiting = 1");
	world_sql(w, "DROP TABLE aside");
	world_reopen(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_contradiction_is_found, world_sqlite, world_end),
		cmocka_unit_test_setup_teardown(a_job_without_state_and_a_doomed_file_are_found, world_sqlite, world_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
