/* Names are walked part by part from the folder's descriptor, and no part may be a symbolic link, so none leads out of it, whoever else writes there.
 *
 * A copy is written to `.filemill/<attempt>`, flushed, and renamed to its name; then the folders are flushed whose entries are new. */
#include "surfaces/mirror.h"
#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PARTS ".filemill"
#define PART_MAX 255 /* bytes, as Linux has it */
#define COPY_BYTES (256u << 10)
#define FOLDER (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

static int failed(struct err *e, const char *doing)
{
	int code = errno == ENOSPC || errno == EDQUOT ? ERR_STORAGE_FULL : ERR_IO;

	return err_set(e, code, "%s in the mirror: %s", doing, strerror(errno));
}

/* ---- names ---- */

static bool part_allowed(struct str part)
{
	if (part.len == 0 || part.len > PART_MAX || str_eq(part, STR(".")) || str_eq(part, STR("..")) || str_eq(part, STR(PARTS)))
		return false;
	for (size_t i = 0; i < part.len; i++)
		if ((unsigned char)part.p[i] < ' ' || part.p[i] == 0x7f)
			return false;
	return true;
}

bool mirror_name_allowed(struct str name)
{
	for (struct str rest = name; rest.p != NULL;)
		if (!part_allowed(str_split(rest, '/', &rest)))
			return false;
	return name.p != NULL;
}

/* The folder that the name's last part is in, which is copied to `last`; `make`: also where it is not there yet. */
static int walk(const struct mirror *m, struct str name, bool make, int *ret_fd, char last[PART_MAX + 1], struct err *e)
{
	CLEANUP(fd_close) int at = dup(m->root);
	struct str rest = name, part;

	if (at < 0)
		return failed(e, "opening the folder");
	for (;;) {
		part = str_split(rest, '/', &rest);
		if (!part_allowed(part))
			return err_set(e, ERR_BAD_NAME, "this is no name of a file in the mirror");
		memcpy(last, part.p, part.len);
		last[part.len] = '\0';
		if (rest.p == NULL)
			break;
		if (make && mkdirat(at, last, 0755) != 0 && errno != EEXIST)
			return failed(e, "making a folder");
		if (make && fsync(at) != 0) /* also when it was there: whoever made it may not have come so far */
			return failed(e, "flushing a folder");
		int next = openat(at, last, FOLDER);
		if (next < 0)
			return failed(e, "opening a folder");
		fd_close(&at);
		at = next;
	}
	*ret_fd = fd_steal(&at);
	return 0;
}

/* ---- life ---- */

/* What an earlier life was writing when it ended. */
static int clear_parts(int parts, struct err *e)
{
	int fd = openat(parts, ".", FOLDER);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;

	if (d == NULL) {
		fd_close(&fd);
		return err_set(e, ERR_BAD_CONFIG, "its folder " PARTS " cannot be read: %s", strerror(errno));
	}
	while ((entry = readdir(d)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			unlinkat(parts, entry->d_name, 0);
	closedir(d);
	return 0;
}

/* The folder itself, and its name in the one above it. */
static int open_root(const char *dir, int *ret_fd)
{
	bool made = mkdir(dir, 0755) == 0;
	CLEANUP(fd_close) int root = made || errno == EEXIST ? open(dir, FOLDER & ~O_NOFOLLOW) : -1;
	CLEANUP(fd_close) int above = made && root >= 0 ? openat(root, "..", FOLDER) : -1;

	if (root < 0 || (made && (above < 0 || fsync(above) != 0)))
		return -1;
	*ret_fd = fd_steal(&root);
	return 0;
}

int mirror_open(struct mirror *m, const char *dir, struct err *e)
{
	CLEANUP(fd_close) int root = -1;
	CLEANUP(fd_close) int parts = -1;

	if (open_root(dir, &root) == 0 && (mkdirat(root, PARTS, 0700) == 0 || errno == EEXIST))
		parts = openat(root, PARTS, FOLDER);
	if (parts < 0)
		return err_set(e, ERR_BAD_CONFIG, "%.200s: %s", dir, strerror(errno));
	if (flock(parts, LOCK_EX | LOCK_NB) != 0)
		return err_set(e, ERR_BAD_CONFIG, "%.200s: another server keeps its copies there", dir);
	int rc = clear_parts(parts, e);
	if (rc != 0)
		return rc;
	*m = (struct mirror){.root = fd_steal(&root), .parts = fd_steal(&parts)};
	return 0;
}

bool mirror_holds(const struct mirror *m, int folder)
{
	CLEANUP(fd_close) int at = dup(folder);
	struct stat root, here, above;

	if (at < 0 || fstat(m->root, &root) != 0 || fstat(at, &here) != 0)
		return true;
	while (here.st_dev != root.st_dev || here.st_ino != root.st_ino) {
		int up = openat(at, "..", FOLDER);
		fd_close(&at);
		at = up;
		if (at < 0 || fstat(at, &above) != 0)
			return true;
		if (above.st_dev == here.st_dev && above.st_ino == here.st_ino)
			return false;
		here = above;
	}
	return true;
}

void mirror_close(struct mirror *m)
{
	fd_close(&m->root);
	fd_close(&m->parts);
}

/* ---- copies ---- */

static int copy_bytes(int to, const struct engine_object *o, struct err *e)
{
	CLEANUP(free_ptr) char *room = malloc(COPY_BYTES);
	int rc = room != NULL ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for a copy");

	for (uint64_t at = 0; rc == 0 && at < o->size;) {
		size_t n = o->size - at < COPY_BYTES ? (size_t)(o->size - at) : COPY_BYTES;
		rc = o->may_go_on(o->arg, e);
		if (rc != 0)
			break;
		ssize_t got = fd_pread_full(o->fd, room, n, (off_t)at);
		if (got < 0 || (size_t)got < n)
			return err_set(e, ERR_IO, "the stored bytes could not be read for the mirror");
		if (fd_write_all(to, room, n) != 0)
			rc = failed(e, "writing");
		at += n;
	}
	if (rc == 0 && fsync(to) != 0)
		rc = failed(e, "flushing");
	return rc;
}

static int publish(const struct mirror *m, const struct engine_object *o, struct err *e)
{
	CLEANUP(fd_close) int folder = -1;
	char last[PART_MAX + 1];
	int rc = walk(m, o->key, true, &folder, last, e);

	if (rc != 0)
		return rc;
	if (renameat(m->parts, o->attempt, folder, last) != 0)
		return failed(e, "naming a copy");
	return fsync(folder) == 0 ? 0 : failed(e, "flushing a folder");
}

int mirror_keep(void *arg, const struct engine_object *o, struct err *e)
{
	const struct mirror *m = arg;
	CLEANUP(fd_close) int to = -1;

	if (!mirror_name_allowed(o->key))
		return err_set(e, ERR_BAD_NAME, "this is no name of a file in the mirror");
	to = openat(m->parts, o->attempt, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (to < 0)
		return failed(e, "beginning a copy");
	int rc = copy_bytes(to, o, e);
	if (rc == 0)
		rc = o->may_go_on(o->arg, e);
	if (rc == 0)
		rc = publish(m, o, e);
	if (rc != 0)
		unlinkat(m->parts, o->attempt, 0);
	return rc;
}

int mirror_find(const struct mirror *m, struct str name, int *ret_fd, uint64_t *ret_size, int64_t *ret_made_ms, struct err *e)
{
	CLEANUP(fd_close) int folder = -1;
	CLEANUP(fd_close) int fd = -1;
	char last[PART_MAX + 1];
	struct stat st;

	if (!mirror_name_allowed(name) || m->root < 0)
		return err_set(e, ERR_FILE_NOT_FOUND, "there is no such file");
	errno = 0;
	int rc = walk(m, name, false, &folder, last, e);
	if (rc == 0) /* never waits for the other end of a pipe that somebody left there */
		fd = openat(folder, last, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (rc != 0 || fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		if (errno == EMFILE || errno == ENFILE || errno == EIO)
			return failed(e, "opening a file");
		return err_set(e, ERR_FILE_NOT_FOUND, "there is no such file");
	}
	*ret_size = (uint64_t)st.st_size;
	*ret_made_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
	*ret_fd = fd_steal(&fd);
	return 0;
}
