/* Makes chosen calls of the program under test fail, by LD_PRELOAD: everything that writes, flushes, names or shortens files below
 * one directory is counted, and the call with the chosen number fails. SQLite and our own code are met alike.
 *
 *   SHIM_DIR     the directory (absolute, no symbolic links)
 *   SHIM_LOG     a file that gets one line a counted call: `<n> <call> <path below the directory> [FAIL]`
 *   SHIM_AT      number of the call that fails, 1…; 0 or unset: none
 *   SHIM_ERRNO   errno it fails with (5 = EIO)
 *   SHIM_STICKY  1: all calls from there on fail too
 *   SHIM_SHORT   1: instead of failing, a write takes half of what it was given (at least one byte)
 *   SHIM_ONLY    a word: only calls of this name count (e.g. fdatasync)
 *   SHIM_PATH    a word: only calls on paths below the directory with this in them count (e.g. -wal)
 *   SHIM_ARM     a file: nothing is counted until it exists, so that the start can be left out
 *   SHIM_WHILE   1: nothing is counted while that file does not exist, whether or not it did before
 *
 * A failed flush does what Linux does: the error is told once. That is the trap the failed-flush rule is about. */
#undef _FILE_OFFSET_BITS /* plain names and their 64-bit twins are told apart here */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static struct {
	char dir[PATH_MAX], only[32], part[32], arm[PATH_MAX];
	size_t dir_len;
	long at;
	int error, log_fd;
	bool sticky, short_writes, on, armed, while_armed;
} plan;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards calls and armed */
static long calls;

static long number(const char *name, long otherwise)
{
	const char *s = getenv(name);

	return s != NULL && *s != '\0' ? strtol(s, NULL, 10) : otherwise;
}

__attribute__((constructor)) static void setup(void)
{
	const char *dir = getenv("SHIM_DIR"), *log = getenv("SHIM_LOG"), *only = getenv("SHIM_ONLY"), *arm = getenv("SHIM_ARM"),
		   *part = getenv("SHIM_PATH");

	if (dir == NULL)
		return;
	snprintf(plan.dir, sizeof(plan.dir), "%s", dir);
	plan.dir_len = strlen(plan.dir);
	snprintf(plan.only, sizeof(plan.only), "%s", only != NULL ? only : "");
	snprintf(plan.part, sizeof(plan.part), "%s", part != NULL ? part : "");
	snprintf(plan.arm, sizeof(plan.arm), "%s", arm != NULL ? arm : "");
	plan.at = number("SHIM_AT", 0);
	plan.error = (int)number("SHIM_ERRNO", EIO);
	plan.sticky = number("SHIM_STICKY", 0) != 0;
	plan.short_writes = number("SHIM_SHORT", 0) != 0;
	plan.while_armed = number("SHIM_WHILE", 0) != 0;
	plan.armed = plan.arm[0] == '\0';
	plan.log_fd = -1;
	if (log != NULL) {
		/* far from the numbers the program hands out */
		int fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

		plan.log_fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 900);
		if (fd >= 0 && plan.log_fd >= 0)
			syscall(SYS_close, fd);
		else
			plan.log_fd = fd;
	}
	plan.on = true;
}

/* The path of a descriptor, or of name beneath one; false when it does not lie below the directory. */
static bool path_of(char dst[PATH_MAX], int fd, const char *name)
{
	char link[64], base[PATH_MAX] = "";
	ssize_t n;

	if (name == NULL || name[0] != '/') {
		if (fd == AT_FDCWD)
			snprintf(link, sizeof(link), "/proc/self/cwd");
		else
			snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, base, sizeof(base) - 1);
		if (n <= 0)
			return false;
		base[n] = '\0';
	}
	if (name == NULL)
		snprintf(dst, PATH_MAX, "%s", base);
	else if (name[0] == '/')
		snprintf(dst, PATH_MAX, "%s", name);
	else
		snprintf(dst, PATH_MAX, "%.2000s/%.2000s", base, name);
	return strncmp(dst, plan.dir, plan.dir_len) == 0 && (dst[plan.dir_len] == '/' || dst[plan.dir_len] == '\0');
}

static void note(long n, const char *call, const char *path, bool fails)
{
	char line[PATH_MAX + 64];
	int len = snprintf(line, sizeof(line), "%ld %s .%s%s\n", n, call, path + plan.dir_len, fails ? " FAIL" : "");

	if (plan.log_fd >= 0 && len > 0)
		syscall(SYS_write, plan.log_fd, line, (size_t)len);
}

/* Counts a call; true: it is to fail (or to be cut short). errno is set. */
static bool strikes(const char *call, int fd, const char *name)
{
	char path[PATH_MAX];
	int saved = errno;
	bool fails = false;

	if (!plan.on || (plan.only[0] != '\0' && strcmp(plan.only, call) != 0) || !path_of(path, fd, name) ||
	    strstr(path + plan.dir_len, plan.part) == NULL) {
		errno = saved;
		return false;
	}
	pthread_mutex_lock(&lock);
	if (!plan.armed || plan.while_armed)
		plan.armed = faccessat(AT_FDCWD, plan.arm, F_OK, 0) == 0;
	if (plan.armed) {
		calls++;
		fails = plan.at > 0 && (calls == plan.at || (plan.sticky && calls > plan.at));
		note(calls, call, path, fails);
	}
	pthread_mutex_unlock(&lock);
	errno = fails ? plan.error : saved;
	return fails;
}

#define REAL(name)                                                                                                                         \
	static __typeof__(name) *real;                                                                                                     \
	if (real == NULL)                                                                                                                  \
	real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

static size_t half(size_t n)
{
	return n > 1 ? n / 2 : n;
}

ssize_t write(int fd, const void *p, size_t n)
{
	REAL(write);
	if (fd > 2 && strikes("write", fd, NULL)) {
		if (!plan.short_writes)
			return -1;
		n = half(n);
	}
	return real(fd, p, n);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
	REAL(pwrite);
	if (strikes("pwrite", fd, NULL)) {
		if (!plan.short_writes)
			return -1;
		n = half(n);
	}
	return real(fd, p, n, at);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at)
{
	REAL(pwrite64);
	if (strikes("pwrite", fd, NULL)) {
		if (!plan.short_writes)
			return -1;
		n = half(n);
	}
	return real(fd, p, n, at);
}

ssize_t writev(int fd, const struct iovec *v, int n)
{
	REAL(writev);
	if (fd > 2 && strikes("writev", fd, NULL)) {
		if (!plan.short_writes)
			return -1;
		return write(fd, v[0].iov_base, half(v[0].iov_len));
	}
	return real(fd, v, n);
}

int fsync(int fd)
{
	REAL(fsync);
	return strikes("fsync", fd, NULL) && !plan.short_writes ? -1 : real(fd);
}

int fdatasync(int fd)
{
	REAL(fdatasync);
	return strikes("fdatasync", fd, NULL) && !plan.short_writes ? -1 : real(fd);
}

int ftruncate(int fd, off_t n)
{
	REAL(ftruncate);
	return strikes("ftruncate", fd, NULL) && !plan.short_writes ? -1 : real(fd, n);
}

int ftruncate64(int fd, off64_t n)
{
	REAL(ftruncate64);
	return strikes("ftruncate", fd, NULL) && !plan.short_writes ? -1 : real(fd, n);
}

int rename(const char *from, const char *to)
{
	REAL(rename);
	return strikes("rename", AT_FDCWD, from) && !plan.short_writes ? -1 : real(from, to);
}

int renameat(int dir, const char *from, int dir2, const char *to)
{
	REAL(renameat);
	return strikes("rename", dir, from) && !plan.short_writes ? -1 : real(dir, from, dir2, to);
}

int renameat2(int dir, const char *from, int dir2, const char *to, unsigned flags)
{
	REAL(renameat2);
	return strikes("rename", dir, from) && !plan.short_writes ? -1 : real(dir, from, dir2, to, flags);
}

int linkat(int dir, const char *from, int dir2, const char *to, int flags)
{
	REAL(linkat);
	return strikes("link", dir2, to) && !plan.short_writes ? -1 : real(dir, from, dir2, to, flags);
}

int mkdirat(int dir, const char *name, mode_t mode)
{
	REAL(mkdirat);
	return strikes("mkdir", dir, name) && !plan.short_writes ? -1 : real(dir, name, mode);
}

int mkdir(const char *name, mode_t mode)
{
	REAL(mkdir);
	return strikes("mkdir", AT_FDCWD, name) && !plan.short_writes ? -1 : real(name, mode);
}

int unlinkat(int dir, const char *name, int flags)
{
	REAL(unlinkat);
	return strikes("unlink", dir, name) && !plan.short_writes ? -1 : real(dir, name, flags);
}

int unlink(const char *name)
{
	REAL(unlink);
	return strikes("unlink", AT_FDCWD, name) && !plan.short_writes ? -1 : real(name);
}

/* Only opens that create count: the others make nothing durable. */
static bool open_strikes(int dir, const char *name, int flags)
{
	return (flags & O_CREAT) != 0 && strikes("create", dir, name) && !plan.short_writes;
}

#define WITH_MODE(flags, mode)                                                                                                             \
	do {                                                                                                                               \
		if (((flags)&O_CREAT) != 0 || ((flags)&O_TMPFILE) == O_TMPFILE) {                                                          \
			va_list ap;                                                                                                        \
			va_start(ap, flags);                                                                                               \
			mode = va_arg(ap, mode_t);                                                                                         \
			va_end(ap);                                                                                                        \
		}                                                                                                                          \
	} while (0)

int open(const char *name, int flags, ...)
{
	mode_t mode = 0;

	WITH_MODE(flags, mode);
	REAL(open);
	return open_strikes(AT_FDCWD, name, flags) ? -1 : real(name, flags, mode);
}

int open64(const char *name, int flags, ...)
{
	mode_t mode = 0;

	WITH_MODE(flags, mode);
	REAL(open64);
	return open_strikes(AT_FDCWD, name, flags) ? -1 : real(name, flags, mode);
}

int openat(int dir, const char *name, int flags, ...)
{
	mode_t mode = 0;

	WITH_MODE(flags, mode);
	REAL(openat);
	return open_strikes(dir, name, flags) ? -1 : real(dir, name, flags, mode);
}

int openat64(int dir, const char *name, int flags, ...)
{
	mode_t mode = 0;

	WITH_MODE(flags, mode);
	REAL(openat64);
	return open_strikes(dir, name, flags) ? -1 : real(dir, name, flags, mode);
}
