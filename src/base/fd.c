#include "base/fd.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

void fd_close(int *fd)
{
	int kept = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = kept;
}

int fd_steal(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

int fd_write_all(int fd, const void *data, size_t n)
{
	const char *p = data;

	while (n > 0) {
		ssize_t made = write(fd, p, n);

		if (made < 0 && errno == EINTR)
			continue;
		if (made < 0)
			return -1;
		if (made == 0) {
			errno = ENOSPC;
			return -1;
		}
		p += made;
		n -= (size_t)made;
	}
	return 0;
}

ssize_t fd_pread_full(int fd, void *dst, size_t n, off_t at)
{
	char *p = dst;
	size_t done = 0;

	while (done < n) {
		ssize_t got = pread(fd, p + done, n - done, at + (off_t)done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		done += (size_t)got;
	}
	return (ssize_t)done;
}

void free_ptr(void *pointer_to_pointer)
{
	void **p = pointer_to_pointer;

	free(*p);
	*p = NULL;
}
