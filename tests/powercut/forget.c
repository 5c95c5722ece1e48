/* A library for LD_PRELOAD that forgets flushes, as a program would that lacks them. FORGET names what is forgotten:
 *
 *	file        flushes of stored files (regular files below …/blobs/)
 *	directory   flushes of folders below …/blobs, that folder included (see test_powercut.py for why nothing is lost without them here)
 *	log         flushes of the catalogue's write-ahead log: what `synchronous=NORMAL` does to commits
 *	audit       flushes of the audit log's files
 *	backup      flushes of what a backup copies, not of its manifest and catalogue, which tell that it is whole */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int forgotten(int fd)
{
	const char *what = getenv("FORGET");
	char link[64], path[4096];
	struct stat st;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof(path) - 1);
	if (what == NULL || n < 0 || fstat(fd, &st) != 0)
		return 0;
	path[n] = '\0';
	int backup = strstr(path, "/backup/") != NULL, blobs = !backup && strstr(path, "/blobs") != NULL;
	if (strcmp(what, "file") == 0)
		return blobs && S_ISREG(st.st_mode);
	if (strcmp(what, "directory") == 0)
		return blobs && S_ISDIR(st.st_mode);
	if (strcmp(what, "audit") == 0)
		return strstr(path, "/audit/") != NULL;
	if (strcmp(what, "backup") == 0)
		return backup && strstr(path, "/blobs/") != NULL && S_ISREG(st.st_mode);
	return strcmp(what, "log") == 0 && n > 4 && strcmp(path + n - 4, "-wal") == 0;
}

static int flush(const char *call, int fd)
{
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, call);

	return forgotten(fd) ? 0 : real(fd);
}

int fsync(int fd)
{
	return flush("fsync", fd);
}

int fdatasync(int fd)
{
	return flush("fdatasync", fd);
}

int syncfs(int fd)
{
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "syncfs");
	const char *what = getenv("FORGET");

	return what != NULL && strcmp(what, "backup") == 0 ? 0 : real(fd);
}
