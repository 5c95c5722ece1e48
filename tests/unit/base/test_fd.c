#include "base/fd.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void leave_scope(void)
{
	CLEANUP(fd_close) int fd = memfd_create("scope", MFD_CLOEXEC);

	assert_true(fd >= 0);
}

static void a_cleanup_variable_closes_its_descriptor(void **state)
{
	int before = open_descriptors();

	leave_scope();
	assert_int_equal(open_descriptors(), before);
}

static void closing_keeps_errno_and_takes_nothing_twice(void **state)
{
	int fd = memfd_create("close", MFD_CLOEXEC), before = open_descriptors();

	errno = ENOTTY;
	fd_close(&fd);
	assert_int_equal(fd, -1);
	fd_close(&fd);
	assert_int_equal(errno, ENOTTY);
	assert_int_equal(open_descriptors(), before - 1);
}

static void a_stolen_descriptor_stays_open(void **state)
{
	int fd = memfd_create("steal", MFD_CLOEXEC), taken = fd_steal(&fd);

	assert_int_equal(fd, -1);
	assert_int_equal(fcntl(taken, F_GETFD), FD_CLOEXEC);
	close(taken);
}

struct drain {
	int fd;
	size_t bytes;
};

static void *drain(void *arg)
{
	struct drain *d = arg;
	char chunk[4096];
	ssize_t n;

	while ((n = read(d->fd, chunk, sizeof(chunk))) > 0)
		d->bytes += (size_t)n;
	return NULL;
}

/* A pipe takes 64 KiB at a time, so a megabyte needs many writes. */
static void a_write_goes_on_until_everything_is_out(void **state)
{
	size_t n = 1 << 20;
	char *data = calloc(1, n);
	struct drain d = {};
	pthread_t thread;
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	d.fd = ends[0];
	assert_int_equal(pthread_create(&thread, NULL, drain, &d), 0);
	assert_int_equal(fd_write_all(ends[1], data, n), 0);
	close(ends[1]);
	pthread_join(thread, NULL);
	close(ends[0]);
	assert_int_equal(d.bytes, n);
	free(data);
}

static void a_failed_write_tells_errno(void **state)
{
	CLEANUP(fd_close) int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

	assert_int_equal(fd_write_all(full, "x", 1), -1);
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(fd_write_all(-1, "x", 1), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(fd_write_all(-1, NULL, 0), 0);
}

static void a_read_ends_early_only_at_the_end_of_the_file(void **state)
{
	CLEANUP(fd_close) int fd = memfd_create("read", MFD_CLOEXEC);
	char dst[16] = "";

	assert_int_equal(fd_write_all(fd, "0123456789", 10), 0);
	assert_int_equal(fd_pread_full(fd, dst, 4, 3), 4);
	assert_memory_equal(dst, "3456", 4);
	assert_int_equal(fd_pread_full(fd, dst, 16, 3), 7);
	assert_memory_equal(dst, "3456789", 7);
	assert_int_equal(fd_pread_full(fd, dst, 16, 10), 0);
	assert_int_equal(fd_pread_full(fd, dst, 0, 0), 0);
	assert_int_equal(fd_pread_full(-1, dst, 1, 0), -1);
	assert_int_equal(errno, EBADF);
}

static void freeing_a_pointer_variable_clears_it(void **state)
{
	char *p = malloc(3);

	free_ptr(&p);
	assert_null(p);
	free_ptr(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cleanup_variable_closes_its_descriptor),
		cmocka_unit_test(closing_keeps_errno_and_takes_nothing_twice),
		cmocka_unit_test(a_stolen_descriptor_stays_open),
		cmocka_unit_test(a_write_goes_on_until_everything_is_out),
		cmocka_unit_test(a_failed_write_tells_errno),
		cmocka_unit_test(a_read_ends_early_only_at_the_end_of_the_file),
		cmocka_unit_test(freeing_a_pointer_variable_clears_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
