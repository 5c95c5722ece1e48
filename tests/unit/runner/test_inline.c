/* The kind without processes: digests in the calling thread. */
#include "base/fd.h"
#include "runner/runner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define ABC_MD5 "{\"md5\":\"900150983cd24fb0d6963f7d28e17f72\"}" /* RFC 1321, A.5 */
#define ABC_SHA256 "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" /* FIPS 180-2, B.1 */

static struct runner_job job_of(const char *op)
{
	struct runner_job j = {.op = op_table_find(op_builtin_table(), str_of(op)), .params = STR("{}"), .input_fd = -1};

	assert_non_null(j.op);
	j.input = STR("abc");
	j.size = 3;
	assert_true(hex_decode(j.sha256, 32, STR(ABC_SHA256)));
	return j;
}

static struct runner *inline_runner(void)
{
	struct runner *r;

	assert_int_equal(runner_inline_new(&r, NULL), 0);
	return r;
}

static void computes_digests_of_bytes_and_of_files(void **state)
{
	struct runner *r = inline_runner();
	struct runner_job jobs[2] = {job_of("md5"), job_of("md5")};
	CLEANUP(fd_close) int fd = memfd_create("input", MFD_CLOEXEC);

	assert_int_equal(fd_write_all(fd, "abc", 3), 0);
	jobs[1].input_fd = fd;
	runner_run(r, jobs, 2, NULL);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(jobs[i].code, 0);
		assert_string_equal(jobs[i].result.p, ABC_MD5);
		buf_release(&jobs[i].result);
	}
	assert_null(runner_report(r));
	runner_free(r);
}

static void finds_damaged_and_shortened_inputs(void **state)
{
	struct runner *r = inline_runner();
	struct runner_job jobs[2] = {job_of("md5"), job_of("crc32c")};
	CLEANUP(fd_close) int fd = memfd_create("input", MFD_CLOEXEC);

	jobs[0].input = STR("abd");
	assert_int_equal(fd_write_all(fd, "ab", 2), 0);
	jobs[1].input_fd = fd;
	runner_run(r, jobs, 2, NULL);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(jobs[i].code, ERR_DAMAGED);
		assert_int_equal(jobs[i].err.code, ERR_DAMAGED);
		assert_int_equal(jobs[i].result.len, 0);
	}
	runner_free(r);
}

static int stop_second(void *arg, struct err *e)
{
	int *calls = arg;

	return ++*calls >= 2 ? err_set(e, ERR_CANCELLED, "cancelled") : 0;
}

static void stops_when_it_may_not_go_on(void **state)
{
	struct runner *r = inline_runner();
	struct runner_job jobs[3] = {job_of("md5"), job_of("md5"), job_of("sha1")};
	int calls = 0;

	runner_run(r, jobs, 3, &(struct runner_watch){.may_go_on = stop_second, .arg = &calls});
	assert_int_equal(jobs[0].code, 0);
	assert_int_equal(jobs[1].code, ERR_CANCELLED);
	assert_int_equal(jobs[2].code, ERR_CANCELLED);
	assert_int_equal(jobs[2].err.code, ERR_CANCELLED);
	buf_release(&jobs[0].result);
	runner_free(r);
}

static void knows_no_other_op(void **state)
{
	struct runner *r = inline_runner();
	const struct op other = {.name = "other", .kind = OP_SEALED};
	struct runner_job job = job_of("md5");

	job.op = &other;
	runner_run(r, &job, 1, NULL);
	assert_int_equal(job.code, ERR_OP_FAILED);
	runner_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(computes_digests_of_bytes_and_of_files),
		cmocka_unit_test(finds_damaged_and_shortened_inputs),
		cmocka_unit_test(stops_when_it_may_not_go_on),
		cmocka_unit_test(knows_no_other_op),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
