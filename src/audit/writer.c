#include "audit/writer.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int open_file(struct audit_writer *w, int64_t first, int flags)
{
	char name[AUDIT_NAME_MAX];

	audit_file_name(name, first);
	return w->env->openat(w->env, w->dir_fd, name, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
}

static void close_file(struct audit_writer *w)
{
	if (w->fd >= 0)
		w->env->close(w->env, w->fd);
	w->fd = -1;
}

static int read_all(struct audit_writer *w, void *dst, size_t n, uint64_t at)
{
	size_t got = 0;

	while (got < n) {
		ssize_t r = w->env->pread(w->env, w->fd, (char *)dst + got, n - got, (off_t)(at + got));
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r < 0 ? errno : EIO;
		got += (size_t)r;
	}
	return 0;
}

ATTR_PRINTF(2, 3) static void broken(struct audit_writer *w, const char *fmt, ...)
{
	va_list args;

	if (w->broken)
		return;
	w->broken = true;
	va_start(args, fmt);
	vsnprintf(w->detail, sizeof(w->detail), fmt, args);
	va_end(args);
}

/* ---- opening ---- */

/* Is the line that ends at the confirmed size the confirmed one? */
static int check_last(struct audit_writer *w, struct err *e)
{
	CLEANUP(free_ptr) char *p = malloc(AUDIT_LINE_MAX);
	size_t n = w->end.size < AUDIT_LINE_MAX ? (size_t)w->end.size : AUDIT_LINE_MAX;
	struct digest_set *d = NULL;
	struct audit_read r;
	bool good = false;
	int failed, rc = p != NULL ? digest_set_new(&d, 1u << DIGEST_SHA256, e) : err_set(e, ERR_NO_MEMORY, "no memory for a line");

	if (rc != 0)
		return rc;
	if ((failed = read_all(w, p, n, w->end.size - n)) != 0) {
		rc = err_errno(e, failed, "read of the audit log");
	} else if (p[n - 1] == '\n') {
		char *before = memrchr(p, '\n', n - 1), *line = before != NULL ? before + 1 : p;
		rc = audit_read_line(&good, &r, (struct str){line, (size_t)(p + n - 1 - line)}, d, e);
		good = good && r.seq == w->end.mark.seq && memcmp(r.hash, w->end.mark.hash, AUDIT_HASH) == 0;
	}
	digest_set_free(d);
	if (rc == 0 && !good)
		broken(w, "line %lld is not the one that was written", (long long)w->end.mark.seq);
	return rc;
}

/* The mark ends no file here, so that one which begins behind it was not confirmed. */
static void go_on_elsewhere(struct audit_writer *w)
{
	w->end.elsewhere = true;
	w->end.file = 0;
	w->end.size = 0;
}

static int open_confirmed(struct audit_writer *w, struct stat *st, struct err *e)
{
	w->fd = open_file(w, w->end.file, 0);
	if (w->fd < 0 && errno != ENOENT)
		return err_errno(e, errno, "open of the audit log");
	if (w->fd < 0) {
		if (w->end.unknown)
			go_on_elsewhere(w);
		else if (w->end.size > 0)
			broken(w, "the file that line %lld stands in is missing", (long long)w->end.mark.seq);
		return 0;
	}
	if (w->env->fstat(w->env, w->fd, st) != 0)
		return err_errno(e, errno, "fstat of the audit log");
	if ((uint64_t)st->st_size < w->end.size)
		broken(w, "its file has %lld bytes, and had %llu when line %lld was written", (long long)st->st_size,
		       (unsigned long long)w->end.size, (long long)w->end.mark.seq);
	else if (w->end.size > 0)
		return check_last(w, e);
	return 0;
}

/* A new file was begun and what went into it not confirmed. */
static int open_next(struct audit_writer *w, struct stat *st, struct err *e)
{
	int fd = w->end.file == w->end.mark.seq + 1 ? -1 : open_file(w, w->end.mark.seq + 1, 0);

	if (fd < 0)
		return w->end.file == w->end.mark.seq + 1 || errno == ENOENT ? 0 : err_errno(e, errno, "open of the audit log");
	if (w->fd >= 0 && (uint64_t)st->st_size > w->end.size)
		broken(w, "something follows line %lld, and a new file begins after it", (long long)w->end.mark.seq);
	close_file(w);
	w->fd = fd;
	w->end.file = w->end.mark.seq + 1;
	w->end.size = 0;
	return w->env->fstat(w->env, fd, st) == 0 ? 0 : err_errno(e, errno, "fstat of the audit log");
}

int audit_writer_open(struct audit_writer *w, struct env *env, int dir_fd, uint64_t file_max, const struct audit_end *end, struct err *e)
{
	struct stat st = {};
	int rc;

	*w = (struct audit_writer){.env = env, .dir_fd = dir_fd, .fd = -1, .file_max = file_max, .end = *end};
	if (end->elsewhere)
		go_on_elsewhere(w);
	rc = end->elsewhere ? 0 : open_confirmed(w, &st, e);
	if (rc == 0)
		rc = open_next(w, &st, e);
	if (rc == 0 && w->fd >= 0 && (uint64_t)st.st_size > w->end.size)
		w->unknown = (uint64_t)st.st_size - w->end.size;
	if (rc != 0)
		audit_writer_close(w);
	return rc;
}

int audit_writer_agrees(struct audit_writer *w, uint64_t at, struct str lines, bool *ret, struct err *e)
{
	size_t n = at >= w->unknown ? 0 : w->unknown - at < lines.len ? (size_t)(w->unknown - at) : lines.len;
	CLEANUP(free_ptr) char *is = malloc(n > 0 ? n : 1);
	int failed;

	if (is == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory to read into");
	if ((failed = read_all(w, is, n, w->end.size + at)) != 0)
		return err_errno(e, failed, "read of the audit log");
	*ret = lines.len > 0;
	for (size_t i = 0; i < n && *ret; i++)
		*ret = is[i] == lines.p[i] || is[i] == '\0';
	if (!*ret)
		broken(w, "what follows line %lld is not what was to follow it", (long long)w->end.mark.seq);
	return 0;
}

static int new_file(struct audit_writer *w, int64_t first, struct err *e)
{
	char name[AUDIT_NAME_MAX], aside[AUDIT_NAME_MAX + 32];
	int fd = open_file(w, first, O_CREAT | O_EXCL);

	if (fd < 0 && errno == EEXIST) {
		audit_file_name(name, first);
		snprintf(aside, sizeof(aside), "%s.broken-%lld", name, (long long)w->env->wall_ms(w->env));
		if (w->env->renameat(w->env, w->dir_fd, name, aside) == 0)
			fd = open_file(w, first, O_CREAT | O_EXCL);
	}
	if (fd < 0)
		return err_errno(e, errno, "creation of an audit file");
	if (w->env->fsync(w->env, w->dir_fd) != 0) {
		int failed = errno;
		w->env->close(w->env, fd);
		w->sealed = true;
		return err_errno(e, failed, "fsync of the audit folder");
	}
	close_file(w);
	w->fd = fd;
	w->end.file = first;
	w->end.size = 0;
	return 0;
}

int audit_writer_settle(struct audit_writer *w, struct err *e)
{
	if (w->broken || w->fd < 0) {
		w->unknown = 0;
		return new_file(w, w->end.mark.seq + 1, e);
	}
	if (w->unknown > 0 && (w->env->ftruncate(w->env, w->fd, (off_t)w->end.size) != 0 || w->env->fdatasync(w->env, w->fd) != 0)) {
		w->sealed = true;
		return err_errno(e, errno, "cutting of the audit log");
	}
	w->unknown = 0;
	return 0;
}

/* ---- writing ---- */

static bool no_room(int error)
{
	return error == ENOSPC || error == EDQUOT;
}

static int seal(struct audit_writer *w, int error, const char *what, struct err *e)
{
	w->sealed = true;
	return err_errno(e, error, what);
}

/* Of a disk that filled up nothing may stay: the next try would follow half a line. */
static int take_back(struct audit_writer *w, int error, struct err *e)
{
	if (!no_room(error) || w->env->ftruncate(w->env, w->fd, (off_t)w->end.size) != 0)
		return seal(w, error, "write of the audit log", e);
	return err_set(e, ERR_STORAGE_FULL, "no room for the audit log");
}

int audit_writer_append(struct audit_writer *w, struct str lines, const struct audit_mark *mark, struct err *e)
{
	size_t done = 0;

	if (w->sealed)
		return err_set(e, ERR_STORAGE_SEALED, "the audit log takes nothing before a restart");
	while (done < lines.len) {
		ssize_t n = w->env->write(w->env, w->fd, lines.p + done, lines.len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return take_back(w, n < 0 ? errno : ENOSPC, e);
		done += (size_t)n;
	}
	if (w->env->fdatasync(w->env, w->fd) != 0)
		return seal(w, errno, "flush of the audit log", e);
	w->end.mark = *mark;
	w->end.size += lines.len;
	return 0;
}

int audit_writer_rotate(struct audit_writer *w, struct err *e)
{
	return w->end.size < w->file_max ? 0 : new_file(w, w->end.mark.seq + 1, e);
}

void audit_writer_close(struct audit_writer *w)
{
	close_file(w);
	w->dir_fd = -1;
}
