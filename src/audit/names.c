#include "audit/audit.h"
#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS 12

void audit_file_name(char dst[AUDIT_NAME_MAX], int64_t first)
{
	snprintf(dst, AUDIT_NAME_MAX, "audit-%0*lld.jsonl", DIGITS, (long long)first);
}

bool audit_file_parse(int64_t *ret_first, const char *name)
{
	char again[AUDIT_NAME_MAX];
	struct str rest, s = str_of(name);
	uint64_t v;

	if (!str_starts(s, STR("audit-")))
		return false;
	s = str_split((struct str){s.p + 6, s.len - 6}, '.', &rest);
	if (!str_to_u64(s, &v) || v < 1 || v > INT64_MAX)
		return false;
	audit_file_name(again, (int64_t)v);
	if (strcmp(again, name) != 0)
		return false;
	*ret_first = (int64_t)v;
	return true;
}

static int by_number(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static int read_names(DIR *dir, struct arena *a, int64_t **ret, size_t *ret_n, struct err *e)
{
	int64_t *list = NULL, first;
	size_t n = 0, cap = 0;

	for (struct dirent *d; (d = readdir(dir)) != NULL;) {
		if (!audit_file_parse(&first, d->d_name))
			continue;
		if (n == cap) {
			int64_t *more = arena_alloc(a, (cap = cap > 0 ? 2 * cap : 64) * sizeof(*more));
			if (more == NULL)
				return err_set(e, ERR_NO_MEMORY, "no memory for a list");
			if (n > 0)
				memcpy(more, list, n * sizeof(*more));
			list = more;
		}
		list[n++] = first;
	}
	if (n > 0)
		qsort(list, n, sizeof(*list), by_number);
	*ret = list;
	*ret_n = n;
	return 0;
}

int audit_files_list(int dir_fd, struct arena *a, int64_t **ret, size_t *ret_n, struct err *e)
{
	CLEANUP(fd_close) int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (dir == NULL)
		return err_errno(e, errno, "open of the audit folder");
	(void)fd_steal(&fd);
	int rc = read_names(dir, a, ret, ret_n, e);
	closedir(dir);
	return rc;
}
