#include "base/compiler.h"
#include "base/fd.h"
#include "rt/env.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct env *const env = &env_real;

static void the_wall_clock_is_the_time_of_day(void **state)
{
	int64_t before = (int64_t)time(NULL) * 1000, now = env->wall_ms(env);

	assert_true(now >= before - 1000 && now < before + 60000);
}

static void the_monotonic_clock_never_goes_back(void **state)
{
	int64_t last = env->mono_ms(env);

	assert_true(last > 0);
	for (int i = 0; i < 10000; i++) {
		int64_t now = env->mono_ms(env);

		assert_true(now >= last);
		last = now;
	}
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void random_numbers_do_not_repeat(void **state)
{
	static uint64_t numbers[10000];

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		numbers[i] = env->random(env);
	qsort(numbers, ARRAY_LEN(numbers), sizeof(numbers[0]), compare);
	for (size_t i = 1; i < ARRAY_LEN(numbers); i++)
		assert_true(numbers[i - 1] != numbers[i]);
}

/* The numbers a thread keeps in store must not come out in parent and child both. */
static void a_fork_shares_no_random_numbers(void **state)
{
	uint64_t parent[16], child[16];
	int ends[2], status;
	pid_t pid;

	env->random(env);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		for (size_t i = 0; i < ARRAY_LEN(child); i++)
			child[i] = env->random(env);
		_exit(fd_write_all(ends[1], child, sizeof(child)) == 0 ? 0 : 1);
	}
	for (size_t i = 0; i < ARRAY_LEN(parent); i++)
		parent[i] = env->random(env);
	close(ends[1]);
	assert_int_equal(read(ends[0], child, sizeof(child)), sizeof(child));
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	for (size_t i = 0; i < ARRAY_LEN(parent); i++) {
		for (size_t k = 0; k < ARRAY_LEN(child); k++)
			assert_true(parent[i] != child[k]);
	}
}

static void a_file_lives_its_life_through_the_table(void **state)
{
	char path[] = "/tmp/filemill-env-XXXXXX", bytes[8] = "";
	struct stat st;
	int dir, fd;

	assert_non_null(mkdtemp(path));
	dir = env->openat(env, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	assert_true(dir >= 0);
	assert_int_equal(env->mkdirat(env, dir, "sub", 0700), 0);
	fd = env->openat(env, dir, "sub/a", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	env->fallocate(env, fd, 0, 4096); /* a hint: not every file system can */
	assert_int_equal(env->fstat(env, fd, &st), 0);
	assert_int_equal(st.st_size, 0);
	assert_int_equal(env->write(env, fd, "hello", 5), 5);
	env->start_writeback(env, fd, 0, 5);
	assert_int_equal(env->fdatasync(env, fd), 0);
	assert_int_equal(env->fsync(env, dir), 0);
	assert_int_equal(env->pread(env, fd, bytes, sizeof(bytes), 1), 4);
	assert_string_equal(bytes, "ello");
	assert_int_equal(env->fstat(env, fd, &st), 0);
	assert_int_equal(st.st_size, 5);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(env->ftruncate(env, fd, 2), 0);
	assert_int_equal(env->pread(env, fd, bytes, sizeof(bytes), 0), 2);
	assert_int_equal(env->close(env, fd), 0);
	assert_int_equal(env->renameat(env, dir, "sub/a", "b"), 0);
	assert_int_equal(env->unlinkat(env, dir, "sub", AT_REMOVEDIR), 0);
	assert_int_equal(env->unlinkat(env, dir, "b", 0), 0);
	assert_int_equal(env->unlinkat(env, dir, "b", 0), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(env->close(env, dir), 0);
	assert_int_equal(rmdir(path), 0);
}

static void failures_are_minus_one_and_errno(void **state)
{
	struct stat st;

	assert_int_equal(env->openat(env, AT_FDCWD, "/nonexistent/x", O_RDONLY | O_CLOEXEC, 0), -1);
	assert_int_equal(errno, ENOENT);
	errno = 0;
	assert_int_equal(env->write(env, -1, "x", 1), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(env->pread(env, -1, &st, 1, 0), -1);
	assert_int_equal(env->fdatasync(env, -1), -1);
	assert_int_equal(env->fsync(env, -1), -1);
	assert_int_equal(env->ftruncate(env, -1, 0), -1);
	assert_int_equal(env->fstat(env, -1, &st), -1);
	assert_int_equal(env->close(env, -1), -1);
	assert_int_equal(env->mkdirat(env, -1, "x", 0700), -1);
	assert_int_equal(env->renameat(env, -1, "x", "y"), -1);
	assert_int_equal(env->start_writeback(env, -1, 0, 0), -1);
	assert_int_equal(env->fallocate(env, -1, 0, 1), -1);
	assert_int_equal(errno, EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_wall_clock_is_the_time_of_day),
		cmocka_unit_test(the_monotonic_clock_never_goes_back),
		cmocka_unit_test(random_numbers_do_not_repeat),
		cmocka_unit_test(a_fork_shares_no_random_numbers),
		cmocka_unit_test(a_file_lives_its_life_through_the_table),
		cmocka_unit_test(failures_are_minus_one_and_errno),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
