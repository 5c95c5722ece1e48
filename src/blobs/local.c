/* Blobs as files: <root>/<owner>/<2 hex>/<id>, created under the final name, so that one file flush and one directory flush make a blob durable.
 * What a crash leaves half-written has a name nobody refers to: the sweep removes it.
 *
 * What can go wrong: a write fails (disk full, I/O error) and the blob cannot be committed, but the store lives on. A flush fails, and the store is sealed: the kernel may have
 * dropped the pages and would answer the next flush with success. */
#include "base/fd.h"
#include "blobs/local_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define WRITEBACK_BYTES ((uint64_t)8 << 20) /* start writing back after so many, so that the flush at the end has little left */
#define PREALLOCATE_FROM ((uint64_t)1 << 20) /* below it allocation is one extent anyway */

static void local_free(struct blobs *b)
{
	dirs_free(local_of(b)->dirs);
	free(b);
}

void local_copy_part(char dst[BLOB_NAME_MAX + 1], struct str part)
{
	memcpy(dst, part.p, part.len);
	dst[part.len] = '\0';
}

static int open_new(struct local_writer *w, struct err *e)
{
	struct env *env = w->store->env;

	w->fd = retry_openat(env, dir_fd(w->dir), w->id, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (w->fd >= 0)
		return 0;
	if (errno == EEXIST)
		return err_set(e, ERR_CONFLICT, "the blob exists already");
	return err_errno(e, errno, "openat");
}

static int local_create(struct blobs *b, struct str name, uint64_t size_hint, struct blob_writer **ret, struct err *e)
{
	struct local *l = local_of(b);
	struct blob_name_parts parts = blob_name_parts(name);
	struct local_writer *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return err_set(e, ERR_NO_MEMORY, "no memory for a writer");
	w->store = l;
	local_copy_part(w->id, parts.id);
	r = dirs_get(l->dirs, parts, true, &w->dir, e);
	if (r < 0) {
		free(w);
		return r;
	}
	r = open_new(w, e);
	if (r < 0) {
		dirs_put(l->dirs, w->dir);
		free(w);
		return r;
	}
	if (size_hint >= PREALLOCATE_FROM && size_hint <= INT64_MAX)
		(void)l->env->fallocate(l->env, w->fd, 0, (off_t)size_hint);
	*ret = &w->base;
	return 0;
}

static int local_append(struct blob_writer *base, const void *data, size_t n, struct err *e)
{
	struct local_writer *w = (struct local_writer *)base;
	struct env *env = w->store->env;
	const char *p = data;

	while (n > 0) {
		ssize_t done = env->write(env, w->fd, p, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return err_errno(e, done < 0 ? errno : ENOSPC, "write");
		p += done;
		n -= (size_t)done;
		w->written += (uint64_t)done;
	}
	if (w->written - w->started >= WRITEBACK_BYTES) {
		(void)env->start_writeback(env, w->fd, (off_t)w->started, (off_t)(w->written - w->started));
		w->started = w->written;
	}
	return 0;
}

void local_release_writer(struct local_writer *w)
{
	struct env *env = w->store->env;

	/* After the flush a close has nothing to report; before it, nobody was promised anything. */
	(void)env->close(env, w->fd);
	dirs_put(w->store->dirs, w->dir);
	free(w);
}

/* Also on a sealed store: nobody refers to the name, and what the removal does not reach the sweep finds after the restart. */
static void local_abandon(struct blob_writer *base)
{
	struct local_writer *w = (struct local_writer *)base;
	struct env *env = w->store->env;

	(void)env->unlinkat(env, dir_fd(w->dir), w->id, 0);
	local_release_writer(w);
}

static int flush(struct local_writer *w, struct err *e)
{
	struct env *env = w->store->env;
	int r = 0;

	if (retry_flush(env->fdatasync, env, w->fd) < 0)
		r = err_errno(e, errno, "fdatasync");
	if (r == 0)
		r = dirs_flush(w->store->dirs, w->dir, e);
	if (r < 0)
		blobs_seal(&w->store->base);
	return r;
}

int local_check_file(struct local_writer *w, struct err *e)
{
	struct env *env = w->store->env;
	struct stat st;

	if (env->fstat(env, w->fd, &st) < 0)
		return err_errno(e, errno, "fstat");
	if (st.st_nlink == 0)
		return err_set(e, ERR_CONFLICT, "the blob was removed while it was written");
	if ((uint64_t)st.st_size != w->written)
		return err_set(e, ERR_IO, "the file does not have the size that was written");
	return 0;
}

static int local_commit(struct blob_writer *base, struct err *e)
{
	struct local_writer *w = (struct local_writer *)base;
	int r = flush(w, e);

	if (r == 0)
		r = local_check_file(w, e);
	if (r < 0)
		local_abandon(base);
	else
		local_release_writer(w);
	return r;
}

static int check_regular(struct env *env, int fd, uint64_t *ret_size, struct err *e)
{
	struct stat st;

	if (env->fstat(env, fd, &st) < 0)
		return err_errno(e, errno, "fstat");
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_IO, "the blob is not a regular file");
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

static int local_open(struct blobs *b, struct str name, int *ret_fd, uint64_t *ret_size, struct err *e)
{
	struct local *l = local_of(b);
	struct blob_name_parts parts = blob_name_parts(name);
	char id[BLOB_NAME_MAX + 1];
	struct dir *dir;
	int fd, saved_errno, r = dirs_get(l->dirs, parts, false, &dir, e);

	if (r < 0)
		return r;
	local_copy_part(id, parts.id);
	/* O_NONBLOCK: a planted pipe must not hold the thread; it means nothing for a file. */
	fd = retry_openat(l->env, dir_fd(dir), id, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0);
	saved_errno = errno;
	dirs_put(l->dirs, dir);
	if (fd < 0)
		return saved_errno == ENOENT ? err_set(e, ERR_NOT_FOUND, "no such blob") : err_errno(e, saved_errno, "openat");
	r = check_regular(l->env, fd, ret_size, e);
	if (r < 0) {
		(void)l->env->close(l->env, fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

static int local_remove(struct blobs *b, struct str name, struct err *e)
{
	struct local *l = local_of(b);
	struct blob_name_parts parts = blob_name_parts(name);
	struct err why = ERR_INIT;
	char id[BLOB_NAME_MAX + 1];
	struct dir *dir;
	int saved_errno, r = dirs_get(l->dirs, parts, false, &dir, &why);

	if (r == ERR_NOT_FOUND)
		return 0;
	if (r < 0) {
		if (e)
			*e = why;
		return r;
	}
	local_copy_part(id, parts.id);
	/* Not flushed: a removal that a power cut takes back is one more name for the sweep. */
	r = l->env->unlinkat(l->env, dir_fd(dir), id, 0);
	saved_errno = errno;
	dirs_put(l->dirs, dir);
	return r < 0 && saved_errno != ENOENT ? err_errno(e, saved_errno, "unlinkat") : 0;
}

static int local_visit(struct blobs *b, int (*visit)(void *arg, struct str name, uint64_t size), void *arg, struct err *e)
{
	const struct local_walk to = {.visit = visit, .arg = arg};

	return local_walk(local_of(b)->env, local_of(b)->root_fd, &to, e);
}

static int local_foreign(struct blobs *b, void (*tell)(void *arg, struct str path), void *arg, struct err *e)
{
	const struct local_walk to = {.foreign = tell, .arg = arg};

	return local_walk(local_of(b)->env, local_of(b)->root_fd, &to, e);
}

static const struct blobs_methods local_methods = {
	.free = local_free,
	.create = local_create,
	.append = local_append,
	.commit = local_commit,
	.abandon = local_abandon,
	.open = local_open,
	.remove = local_remove,
	.visit = local_visit,
	.foreign = local_foreign,
};

int blobs_local_new(struct blobs **ret, struct env *env, int dir_fd, struct err *e)
{
	struct local *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return err_set(e, ERR_NO_MEMORY, "no memory for a store");
	l->base.methods = &local_methods;
	l->env = env;
	l->root_fd = dir_fd;
	r = dirs_new(&l->dirs, env, dir_fd, e);
	if (r < 0) {
		free(l);
		return r;
	}
	*ret = &l->base;
	return 0;
}
