#include "front/front.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct str result_of(const char *text, const char *name)
{
	struct job job = {.result = str_of(text)};

	return front_result_text(&job, name);
}

static void a_digest_result_gives_its_text(void **state)
{
	assert_true(str_eq(result_of("{\"md5\":\"0123\"}", "md5"), STR("0123")));
	assert_true(str_eq(result_of("{\"crc32c\":\"e3069283\"}", "crc32c"), STR("e3069283")));
}

static void other_results_give_none(void **state)
{
	static const char *const others[] = {"", "{}", "{\"md\":\"1\"}", "{\"md5x\":\"1\"}", "{\"md5\":1}", "{\"md5\":\"1", "{\"md5\":\""};
	struct job none = {};

	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_null(result_of(others[i], "md5").p);
	assert_null(front_result_text(&none, "md5").p);
}

static void a_file_is_final_when_all_its_jobs_are(void **state)
{
	struct job jobs[] = {{.state = JOB_SUCCEEDED}, {.state = JOB_RUNNING}};
	struct file f = {.jobs = jobs, .n_jobs = 2};

	assert_false(front_jobs_final(&f));
	jobs[1].state = JOB_CANCELLED;
	assert_true(front_jobs_final(&f));
	f.n_jobs = 0;
	assert_true(front_jobs_final(&f));
}

static void of_several_jobs_of_an_op_one_that_succeeded_counts(void **state)
{
	struct job jobs[] = {{.op = STR("md5"), .state = JOB_SUCCEEDED, .number = 1},
			     {.op = STR("md5"), .state = JOB_FAILED, .number = 2},
			     {.op = STR("sha1"), .number = 3}};
	struct file f = {.jobs = jobs, .n_jobs = 3};

	assert_int_equal(front_job_of(&f, STR("md5"))->number, 1);
	jobs[0].state = JOB_QUEUED;
	assert_int_equal(front_job_of(&f, STR("md5"))->number, 2);
	assert_null(front_job_of(&f, STR("sha512")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_digest_result_gives_its_text),
		cmocka_unit_test(other_results_give_none),
		cmocka_unit_test(a_file_is_final_when_all_its_jobs_are),
		cmocka_unit_test(of_several_jobs_of_an_op_one_that_succeeded_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
