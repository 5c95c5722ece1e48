#include "base/fd.h"
#include "surfaces/hash_log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const struct job done = {.number = 7,
				.op = STR("md5"),
				.state = JOB_SUCCEEDED,
				.finished_at = 1763702272123,
				.result = STR("{\"md5\":\"d41d8cd98f00b204e9800998ecf8427e\"}")};

struct world {
	char dir[64], path[80];
};

static int make_world(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	strcpy(w->dir, "/tmp/hash-log-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->path, sizeof(w->path), "%s/tasks.log", w->dir);
	*state = w;
	return 0;
}

static int free_world(void **state)
{
	struct world *w = *state;

	unlink(w->path);
	assert_int_equal(rmdir(w->dir), 0);
	free(w);
	return 0;
}

static void assert_content(const struct world *w, const char *want)
{
	char text[4096];
	CLEANUP(fd_close) int fd = open(w->path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	ssize_t n = fd_pread_full(fd, text, sizeof(text) - 1, 0);
	assert_true(n >= 0);
	text[n] = '\0';
	assert_string_equal(text, want);
}

static void each_finished_md5_job_appends_one_line(void **state)
{
	struct world *w = *state;
	struct job failed = {.number = 8, .op = STR("md5"), .state = JOB_FAILED, .error = ERR_DAMAGED, .finished_at = 1000};

	assert_int_equal(hash_log_deliver(w->path, &done), 0);
	assert_int_equal(hash_log_deliver(w->path, &failed), 0);
	assert_content(w, "2025-11-21T05:17:52.123Z 7 SUCCESS d41d8cd98f00b204e9800998ecf8427e\n"
			  "1970-01-01T00:00:01.000Z 8 ERROR The stored bytes do not match their digest\n");
}

static void other_ops_are_nothing_to_it(void **state)
{
	struct world *w = *state;
	struct job job = done;

	job.op = STR("sha1");
	assert_int_equal(hash_log_deliver(w->path, &job), 0);
	assert_int_not_equal(access(w->path, F_OK), 0);
}

static void an_error_text_cannot_start_a_line(void **state)
{
	struct job job = {.number = 9,
			  .op = STR("md5"),
			  .state = JOB_FAILED,
			  .error = ERR_OP_FAILED,
			  .error_detail = STR("a\nb\rc\x1b"),
			  .finished_at = 1000};
	CLEANUP(buf_release) struct buf b = BUF_INIT;

	hash_log_line(&b, &job);
	assert_string_equal(b.p, "1970-01-01T00:00:01.000Z 9 ERROR a?b?c?\n");
}

static void while_another_process_holds_the_lock_the_line_is_refused_and_nothing_is_written(void **state)
{
	struct world *w = *state;
	int ready[2], go[2];
	char c;

	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(go), 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
		int fd = open(w->path, O_RDWR | O_CREAT, 0600);
		_exit(fcntl(fd, F_SETLK, &lock) == 0 && write(ready[1], "x", 1) == 1 && read(go[0], &c, 1) == 1 ? 0 : 1);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_not_equal(hash_log_deliver(w->path, &done), 0);
	assert_content(w, "");
	assert_int_equal(write(go[1], "x", 1), 1);
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(hash_log_deliver(w->path, &done), 0);
	assert_content(w, "2025-11-21T05:17:52.123Z 7 SUCCESS d41d8cd98f00b204e9800998ecf8427e\n");
	for (int i = 0; i < 2; i++) {
		close(ready[i]);
		close(go[i]);
	}
}

static void a_folder_that_is_not_there_is_an_error_that_may_pass(void **state)
{
	assert_int_not_equal(hash_log_deliver((char[]){"/nonexistent/folder/log"}, &done), 0);
}

static void pending_jobs_have_no_result(void **state)
{
	struct job job = {.op = STR("md5"), .state = JOB_RUNNING};

	assert_string_equal(hash_task_status(&job), "PENDING");
	assert_null(hash_task_result(&job).p);
	job.state = JOB_CANCELLED;
	assert_string_equal(hash_task_status(&job), "ERROR");
	assert_true(hash_task_result(&job).len > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_finished_md5_job_appends_one_line, make_world, free_world),
		cmocka_unit_test_setup_teardown(other_ops_are_nothing_to_it, make_world, free_world),
		cmocka_unit_test(an_error_text_cannot_start_a_line),
		cmocka_unit_test_setup_teardown(while_another_process_holds_the_lock_the_line_is_refused_and_nothing_is_written, make_world,
						free_world),
		cmocka_unit_test(a_folder_that_is_not_there_is_an_error_that_may_pass),
		cmocka_unit_test(pending_jobs_have_no_result),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
