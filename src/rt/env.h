/* Everything the engine and the blob store do to the world goes through this table: real in production,
 * failing on purpose or simulated in tests. Functions behave like the calls they are named after (POSIX; -1 and errno). */
#ifndef FILEMILL_RT_ENV_H
#define FILEMILL_RT_ENV_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

struct env {
	void *ctx; /* belongs to the implementation */

	int64_t (*wall_ms)(struct env *e); /* Unix time, milliseconds; may jump */
	int64_t (*mono_ms)(struct env *e); /* CLOCK_BOOTTIME milliseconds; never goes back */
	uint64_t (*random)(struct env *e); /* 64 unpredictable bits (getrandom) */

	int (*openat)(struct env *e, int dir, const char *name, int flags, mode_t mode);
	int (*close)(struct env *e, int fd);
	ssize_t (*write)(struct env *e, int fd, const void *p, size_t n);
	ssize_t (*pread)(struct env *e, int fd, void *p, size_t n, off_t at);
	int (*fdatasync)(struct env *e, int fd);
	int (*fsync)(struct env *e, int fd);
	int (*ftruncate)(struct env *e, int fd, off_t size);
	int (*mkdirat)(struct env *e, int dir, const char *name, mode_t mode);
	int (*unlinkat)(struct env *e, int dir, const char *name, int flags);
	int (*renameat)(struct env *e, int dir, const char *from, const char *to);
	int (*fstat)(struct env *e, int fd, struct stat *st);
	int (*start_writeback)(struct env *e, int fd, off_t at,
			       off_t len); /* sync_file_range(WRITE): a hint: errors are ignored by callers */
	int (*fallocate)(struct env *e, int fd, off_t at, off_t len); /* FALLOC_FL_KEEP_SIZE; a hint: errors are ignored by callers */
};

/* The real world. One shared constant table; ctx is NULL. */
extern struct env env_real;

#endif
