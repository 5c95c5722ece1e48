#include "place.h"
#include "../fresh_folder.h"

#include "base/fd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* The three above first: cmocka.h needs them. */
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

unsigned open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

void place_make(struct place *p)
{
	p->descriptors = open_descriptors();
	fresh_folder(p->path, sizeof(p->path), "blobs");
	p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(p->fd >= 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	return remove(path);
}

void place_remove(struct place *p)
{
	close(p->fd);
	assert_int_equal(nftw(p->path, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
	assert_int_equal(open_descriptors(), p->descriptors);
}

void fill_pattern(char *dst, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = (char)((i * 2654435761u + seed * 40503u) >> 11);
}

int put_blob(struct blobs *b, const char *name, size_t n, unsigned seed, size_t piece, struct err *e)
{
	CLEANUP(free_ptr) char *bytes = malloc(n + 1);
	struct blob_writer *w;
	int r;

	assert_non_null(bytes);
	fill_pattern(bytes, n, seed);
	r = blob_create(b, str_of(name), n, &w, e);
	if (r < 0)
		return r;
	for (size_t at = 0; at < n; at += piece) {
		r = blob_append(w, bytes + at, piece < n - at ? piece : n - at, e);
		if (r < 0) {
			blob_abandon(w);
			return r;
		}
	}
	return blob_commit(w, e);
}

bool holds_blob(struct blobs *b, const char *name, size_t n, unsigned seed)
{
	CLEANUP(free_ptr) char *want = malloc(n + 1);
	CLEANUP(free_ptr) char *got = malloc(n + 1);
	CLEANUP(fd_close) int fd = -1;
	uint64_t size;

	assert_true(want && got);
	if (blob_open(b, str_of(name), &fd, &size, NULL) < 0)
		return false;
	fill_pattern(want, n, seed);
	return size == n && fd_pread_full(fd, got, n + 1, 0) == (ssize_t)n && memcmp(got, want, n) == 0;
}
