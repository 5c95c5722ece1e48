#include "rt/env.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ms(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t real_wall_ms(struct env *e)
{
	return now_ms(CLOCK_REALTIME);
}

static int64_t real_mono_ms(struct env *e)
{
	return now_ms(CLOCK_BOOTTIME);
}

/* Sixteen numbers a system call. One buffer a thread needs no lock; a number is cleared when it is handed out,
 * and a fork drops what is left, so that parent and child never share one. */
static _Thread_local struct {
	uint64_t numbers[16];
	unsigned left;
} randoms;
static pthread_once_t randoms_once = PTHREAD_ONCE_INIT;

static void drop_randoms(void)
{
	randoms.left = 0;
}

static void randoms_survive_fork(void)
{
	/* Only the thread that forks lives on in the child, so its buffer is the only one to drop. */
	pthread_atfork(NULL, NULL, drop_randoms);
}

static uint64_t real_random(struct env *e)
{
	uint64_t v;

	if (randoms.left == 0) {
		pthread_once(&randoms_once, randoms_survive_fork);
		/* getrandom(2): up to 256 bytes are never cut short, and once the pool is initialised never fail; EINTR can come before. */
		while (getrandom(randoms.numbers, sizeof(randoms.numbers), 0) != (ssize_t)sizeof(randoms.numbers)) {
			if (errno != EINTR)
				abort(); /* ids and tokens must not be guessable */
		}
		randoms.left = sizeof(randoms.numbers) / sizeof(randoms.numbers[0]);
	}
	v = randoms.numbers[--randoms.left];
	randoms.numbers[randoms.left] = 0;
	return v;
}

static int real_openat(struct env *e, int dir, const char *name, int flags, mode_t mode)
{
	return openat(dir, name, flags, mode);
}

static int real_close(struct env *e, int fd)
{
	return close(fd);
}

static ssize_t real_write(struct env *e, int fd, const void *p, size_t n)
{
	return write(fd, p, n);
}

static ssize_t real_pread(struct env *e, int fd, void *p, size_t n, off_t at)
{
	return pread(fd, p, n, at);
}

static int real_fdatasync(struct env *e, int fd)
{
	return fdatasync(fd);
}

static int real_fsync(struct env *e, int fd)
{
	return fsync(fd);
}

static int real_ftruncate(struct env *e, int fd, off_t size)
{
	return ftruncate(fd, size);
}

static int real_mkdirat(struct env *e, int dir, const char *name, mode_t mode)
{
	return mkdirat(dir, name, mode);
}

static int real_unlinkat(struct env *e, int dir, const char *name, int flags)
{
	return unlinkat(dir, name, flags);
}

static int real_renameat(struct env *e, int dir, const char *from, const char *to)
{
	return renameat(dir, from, dir, to);
}

static int real_fstat(struct env *e, int fd, struct stat *st)
{
	return fstat(fd, st);
}

static int real_start_writeback(struct env *e, int fd, off_t at, off_t len)
{
	return sync_file_range(fd, at, len, SYNC_FILE_RANGE_WRITE);
}

static int real_fallocate(struct env *e, int fd, off_t at, off_t len)
{
	return fallocate(fd, FALLOC_FL_KEEP_SIZE, at, len);
}

struct env env_real = {
	.wall_ms = real_wall_ms,
	.mono_ms = real_mono_ms,
	.random = real_random,
	.openat = real_openat,
	.close = real_close,
	.write = real_write,
	.pread = real_pread,
	.fdatasync = real_fdatasync,
	.fsync = real_fsync,
	.ftruncate = real_ftruncate,
	.mkdirat = real_mkdirat,
	.unlinkat = real_unlinkat,
	.renameat = real_renameat,
	.fstat = real_fstat,
	.start_writeback = real_start_writeback,
	.fallocate = real_fallocate,
};
