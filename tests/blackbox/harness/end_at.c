/* Ends the process at a point of its course, as kill -9 would: by LD_PRELOAD, at the call that END_AT names, "WHEN FUNCTION NUMBER PART": before or after the NUMBERth call of it with
 * PART in the name that it was given. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_int calls;

/* True for the call that is meant; with `before` the process ends here. */
static int meant(const char *function, const char *name)
{
	const char *at = getenv("END_AT");
	char when[8], which[32], part[64] = "";
	int number;

	if (at == NULL || sscanf(at, "%7s %31s %d %63s", when, which, &number, part) < 3)
		return 0;
	if (strcmp(which, function) != 0 || strstr(name, part) == NULL || atomic_fetch_add(&calls, 1) + 1 != number)
		return 0;
	if (strcmp(when, "before") == 0)
		kill(getpid(), SIGKILL);
	return 1;
}

static void over(int is_meant)
{
	if (is_meant)
		kill(getpid(), SIGKILL);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	int is = meant("renameat", to);
	int rc = ((int (*)(int, const char *, int, const char *))dlsym(RTLD_NEXT, "renameat"))(from_dir, from, to_dir, to);

	over(is);
	return rc;
}

int unlinkat(int dir, const char *name, int flags)
{
	int is = meant("unlinkat", name);
	int rc = ((int (*)(int, const char *, int))dlsym(RTLD_NEXT, "unlinkat"))(dir, name, flags);

	over(is);
	return rc;
}

/* Files that are made anew are "new": blobs have names of their own. */
int openat64(int dir, const char *name, int flags, ...)
{
	va_list more;

	va_start(more, flags);
	mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
	va_end(more);
	int is = meant("openat", (flags & O_EXCL) != 0 ? "new" : name);
	int fd = ((int (*)(int, const char *, int, ...))dlsym(RTLD_NEXT, "openat64"))(dir, name, flags, mode);

	over(is);
	return fd;
}

/* A lock that is waited for is "wait". */
int fcntl64(int fd, int command, ...)
{
	va_list more;

	va_start(more, command);
	void *argument = va_arg(more, void *);
	va_end(more);
	int is = meant("fcntl", command == F_OFD_SETLKW ? "wait" : "");
	int rc = ((int (*)(int, int, ...))dlsym(RTLD_NEXT, "fcntl64"))(fd, command, argument);

	over(is);
	return rc;
}

int PQputCopyData(void *connection, const char *p, int n)
{
	int is = meant("PQputCopyData", "");
	int rc = ((int (*)(void *, const char *, int))dlsym(RTLD_NEXT, "PQputCopyData"))(connection, p, n);

	over(is);
	return rc;
}

int sqlite3_step(void *statement)
{
	int is = meant("sqlite3_step", "");
	int rc = ((int (*)(void *))dlsym(RTLD_NEXT, "sqlite3_step"))(statement);

	over(is);
	return rc;
}
