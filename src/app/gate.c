/* Two bytes of the lock file. A move locks the first one for writing, and whoever comes to write looks at it before anything else: so no writer that comes again and again keeps a move from
 * closing. Then the move locks the second one, which a writer holds for reading as long as its batch lasts. The locks belong to the open file (fcntl's F_OFD_…), not to the process. */
#include "app/gate.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define GATE "filemill.gate"
#define MOVED "filemill.moved"
#define MOVED_NEW "filemill.moved.new"

enum { SIGN = 0, DOOR = 1 }; /* the bytes */

static int lock(int fd, int command, short type, off_t at)
{
	struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
	int rc;

	do
		rc = fcntl(fd, command, &l);
	while (rc != 0 && errno == EINTR);
	return rc == 0 && command == F_OFD_GETLK && l.l_type != F_UNLCK ? 1 : rc;
}

int gate_open(struct gate *ret, int dir_fd, struct err *e)
{
	int fd = openat(dir_fd, GATE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return err_errno(e, errno, "open of " GATE);
	*ret = (struct gate){.dir_fd = dir_fd, .fd = fd};
	return 0;
}

void gate_release(struct gate *g)
{
	fd_close(&g->fd);
}

/* ---- servers ---- */

static bool was_moved(const struct gate *g)
{
	return faccessat(g->dir_fd, MOVED, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

bool gate_closed(const struct gate *g)
{
	return was_moved(g) || lock(g->fd, F_OFD_GETLK, F_RDLCK, SIGN) != 0;
}

static int closed(struct err *e)
{
	return err_set(e, ERR_MOVED, "what is stored here is being moved or was moved: it can be read, and nothing is written");
}

/* Whether it was moved is looked at with the door held: who moves says so before it lets go. */
int gate_enter(void *arg, struct err *e)
{
	struct gate *g = arg;

	if (lock(g->fd, F_OFD_GETLK, F_RDLCK, SIGN) != 0)
		return closed(e);
	if (lock(g->fd, F_OFD_SETLK, F_RDLCK, DOOR) != 0)
		return closed(e);
	if (!was_moved(g))
		return 0;
	gate_leave(g);
	return closed(e);
}

void gate_leave(void *arg)
{
	const struct gate *g = arg;

	(void)lock(g->fd, F_OFD_SETLK, F_UNLCK, DOOR);
}

/* ---- moves ---- */

int gate_close(struct gate *g, struct err *e)
{
	if (lock(g->fd, F_OFD_SETLK, F_WRLCK, SIGN) != 0)
		return errno == EAGAIN || errno == EACCES ? err_set(e, ERR_IN_USE, "another filemill move is at work on it")
							  : err_errno(e, errno, "lock of " GATE);
	return lock(g->fd, F_OFD_SETLKW, F_WRLCK, DOOR) == 0 ? 0 : err_errno(e, errno, "lock of " GATE);
}

int moved_write(int dir_fd, const char *where, struct err *e)
{
	CLEANUP(fd_close) int fd = openat(dir_fd, MOVED_NEW, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0 || fd_write_all(fd, where, strlen(where)) != 0 || fd_write_all(fd, "\n", 1) != 0 || fsync(fd) != 0 ||
	    renameat(dir_fd, MOVED_NEW, dir_fd, MOVED) != 0 || fsync(dir_fd) != 0)
		return err_errno(e, errno, "write of " MOVED);
	return 0;
}

int moved_read(int dir_fd, bool *ret, char dst[MOVED_MAX], struct err *e)
{
	CLEANUP(fd_close) int fd = openat(dir_fd, MOVED, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char text[MOVED_MAX];

	*ret = fd >= 0;
	if (fd < 0)
		return errno == ENOENT ? 0 : err_errno(e, errno, "open of " MOVED);
	ssize_t n = fd_pread_full(fd, text, sizeof(text) - 1, 0);
	if (n < 0)
		return err_errno(e, errno, "read of " MOVED);
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (dst != NULL)
		memcpy(dst, text, sizeof(text));
	return 0;
}

int moved_forget(int dir_fd, struct err *e)
{
	if ((unlinkat(dir_fd, MOVED, 0) != 0 && errno != ENOENT) || fsync(dir_fd) != 0)
		return err_errno(e, errno, "removal of " MOVED);
	return 0;
}
