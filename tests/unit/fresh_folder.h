#ifndef UNIT_FRESH_FOLDER_H
#define UNIT_FRESH_FOLDER_H

#include <stdio.h>
#include <stdlib.h>

/* Makes a folder of its own where TMPDIR says, else in /tmp; writes its path. Aborts when there is none to be had or the path does not fit. */
static inline void fresh_folder(char *path, size_t size, const char *name)
{
	const char *where = getenv("TMPDIR");
	int n = snprintf(path, size, "%s/filemill-%s-XXXXXX", where != NULL && *where == '/' ? where : "/tmp", name);

	if (n < 0 || (size_t)n >= size || mkdtemp(path) == NULL)
		abort();
}

#endif
