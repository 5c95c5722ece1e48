/* Open directories of the local store.
 *
 * Normal course: a writer asks for owner/shard, finds it open, creates its file in it, and at commit asks for a flush. Directories that nobody holds stay
 * open in the order of their last use, at most blobs_local_directories() of them; a directory holds its parent.
 *
 * Group flush: an fsync of a directory covers the names created before it *started*. So a caller needs one that starts after its call: the next to be started,
 * number started + 1. Whoever finds no flush running starts it; the others wait for it. Any number of commits into one directory take at most two flushes.
 *
 * Durable ancestors: a directory made by us, or found (an earlier process may have made it and died before its flush), is on disk only once
 * its parent was flushed after we saw it. `in_parent` remembers that; until then every commit flushes the parent as well.
 *
 * What can go wrong: a flush fails. Its error stays with the directory, every waiter and every later caller gets it, nobody reports a commit. */
#include "base/fd.h"
#include "blobs/local_impl.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUCKETS 512

struct dir {
	struct dir *parent; /* held; NULL for the root */
	struct dir *next; /* in the bucket */
	struct dir *older, *newer; /* in the list of unused ones */
	int fd;
	unsigned holders;
	bool in_parent; /* the entry in the parent is on disk, and so is the parent in its own, up to the root */
	bool flushing;
	uint64_t started, done; /* numbers of flushes; done <= started */
	int flush_errno; /* of the flush that failed; stays */
	pthread_cond_t flushed;
	char name[BLOB_NAME_MAX + 1];
};

struct dirs {
	struct env *env;
	pthread_mutex_t lock; /* guards all of every dir but fd, parent and name, which do not change; never held across a call into env */
	struct dir root; /* its fd is borrowed; held for ever */
	struct dir *buckets[BUCKETS];
	struct dir *oldest, *newest; /* unused */
	size_t unused, keep; /* directories; how many of them stay */
};

int retry_openat(struct env *env, int dir, const char *name, int flags, mode_t mode)
{
	int fd;

	do
		fd = env->openat(env, dir, name, flags, mode);
	while (fd < 0 && errno == EINTR);
	return fd;
}

/* An interrupted flush has reported nothing: asking again loses no error. */
int retry_flush(int (*flush)(struct env *e, int fd), struct env *env, int fd)
{
	int r;

	do
		r = flush(env, fd);
	while (r < 0 && errno == EINTR);
	return r;
}

unsigned blobs_local_directories(void)
{
	long share = sysconf(_SC_OPEN_MAX) / 3;

	return share < 0 || share > LOCAL_DIRS_MAX ? LOCAL_DIRS_MAX : (unsigned)share;
}

int dirs_new(struct dirs **ret, struct env *env, int root_fd, struct err *e)
{
	struct dirs *ds = calloc(1, sizeof(*ds));

	if (!ds)
		return err_set(e, ERR_NO_MEMORY, "no memory for a store");
	ds->env = env;
	ds->keep = blobs_local_directories();
	ds->root.fd = root_fd;
	ds->root.holders = 1;
	ds->root.in_parent = true; /* the data directory's maker sees to that */
	pthread_mutex_init(&ds->lock, NULL);
	pthread_cond_init(&ds->root.flushed, NULL);
	*ret = ds;
	return 0;
}

int dir_fd(const struct dir *d)
{
	return d->fd;
}

/* ---- the table of open ones ---- */

static size_t bucket_of(const struct dir *parent, const char *name)
{
	uint32_t h = (uint32_t)((uintptr_t)parent >> 4) ^ 2166136261u;

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 16777619u;
	return h % BUCKETS;
}

static struct dir **find(struct dirs *ds, const struct dir *parent, const char *name)
{
	struct dir **at = &ds->buckets[bucket_of(parent, name)];

	while (*at && ((*at)->parent != parent || strcmp((*at)->name, name) != 0))
		at = &(*at)->next;
	return at;
}

static void unused_add(struct dirs *ds, struct dir *d)
{
	d->older = ds->newest;
	d->newer = NULL;
	*(ds->newest ? &ds->newest->newer : &ds->oldest) = d;
	ds->newest = d;
	ds->unused++;
}

static void unused_take(struct dirs *ds, struct dir *d)
{
	*(d->older ? &d->older->newer : &ds->oldest) = d->newer;
	*(d->newer ? &d->newer->older : &ds->newest) = d->older;
	ds->unused--;
}

static void hold(struct dirs *ds, struct dir *d)
{
	if (d->holders++ == 0)
		unused_take(ds, d);
}

static void unhold(struct dirs *ds, struct dir *d)
{
	assert(d->holders > 0);
	if (--d->holders == 0)
		unused_add(ds, d);
}

/* Takes the directories out of the table that are too many; the caller closes them without the lock. Linked by next. */
static struct dir *evict(struct dirs *ds, size_t keep)
{
	struct dir *gone = NULL;

	while (ds->unused > keep) {
		struct dir *d = ds->oldest;

		assert(d);
		unused_take(ds, d);
		*find(ds, d->parent, d->name) = d->next;
		unhold(ds, d->parent);
		d->next = gone;
		gone = d;
	}
	return gone;
}

static void close_all(struct dirs *ds, struct dir *gone)
{
	while (gone) {
		struct dir *d = gone;

		gone = d->next;
		ds->env->close(ds->env, d->fd);
		pthread_cond_destroy(&d->flushed);
		free(d);
	}
}

void dirs_free(struct dirs *ds)
{
	if (!ds)
		return;
	close_all(ds, evict(ds, 0));
	assert(ds->root.holders == 1);
	pthread_cond_destroy(&ds->root.flushed);
	pthread_mutex_destroy(&ds->lock);
	free(ds);
}

void dirs_put(struct dirs *ds, struct dir *d)
{
	struct dir *gone;

	pthread_mutex_lock(&ds->lock);
	unhold(ds, d);
	gone = evict(ds, ds->keep);
	pthread_mutex_unlock(&ds->lock);
	close_all(ds, gone);
}

/* ---- opening ---- */

static int open_dir(struct dirs *ds, int parent_fd, const char *name, bool create, struct err *e)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = retry_openat(ds->env, parent_fd, name, flags, 0);

	if (fd < 0 && errno == ENOENT && create) {
		/* Another thread may make it first. */
		if (ds->env->mkdirat(ds->env, parent_fd, name, 0700) < 0 && errno != EEXIST)
			return err_errno(e, errno, "mkdirat");
		fd = retry_openat(ds->env, parent_fd, name, flags, 0);
	}
	if (fd >= 0)
		return fd;
	if (errno == ENOENT && !create)
		return err_set(e, ERR_NOT_FOUND, "no such blob");
	return err_errno(e, errno, "openat");
}

/* Opens `name` beneath a held parent and puts it into the table, held; a directory that another thread put there meanwhile wins. */
static int add(struct dirs *ds, struct dir *parent, const char *name, bool create, struct dir **ret, struct err *e)
{
	struct dir *new = calloc(1, sizeof(*new)), *there;
	int fd;

	if (!new)
		return err_set(e, ERR_NO_MEMORY, "no memory for a directory");
	fd = open_dir(ds, parent->fd, name, create, e);
	if (fd < 0) {
		free(new);
		return fd;
	}
	new->fd = fd;
	new->parent = parent;
	new->holders = 1;
	memcpy(new->name, name, strlen(name) + 1);
	pthread_cond_init(&new->flushed, NULL);
	pthread_mutex_lock(&ds->lock);
	there = *find(ds, parent, name);
	if (there) {
		hold(ds, there);
	} else {
		*find(ds, parent, name) = new;
		hold(ds, parent);
	}
	pthread_mutex_unlock(&ds->lock);
	if (there)
		close_all(ds, new); /* its next is NULL */
	*ret = there ? there : new;
	return 0;
}

static int get_one(struct dirs *ds, struct dir *parent, struct str part, bool create, struct dir **ret, struct err *e)
{
	char name[BLOB_NAME_MAX + 1];
	struct dir *there;

	assert(part.len <= BLOB_NAME_MAX);
	memcpy(name, part.p, part.len);
	name[part.len] = '\0';
	pthread_mutex_lock(&ds->lock);
	there = *find(ds, parent, name);
	if (there)
		hold(ds, there);
	pthread_mutex_unlock(&ds->lock);
	if (!there)
		return add(ds, parent, name, create, ret, e);
	*ret = there;
	return 0;
}

int dirs_get(struct dirs *ds, struct blob_name_parts parts, bool create, struct dir **ret, struct err *e)
{
	struct dir *owner;
	int r = get_one(ds, &ds->root, parts.owner, create, &owner, e);

	if (r < 0)
		return r;
	r = get_one(ds, owner, parts.shard, create, ret, e);
	dirs_put(ds, owner); /* the shard holds it from now on */
	return r;
}

/* ---- flushing ---- */

/* With the lock held, which is released during the flush. */
static void run_flush(struct dirs *ds, struct dir *d)
{
	uint64_t number = ++d->started;
	int r, saved_errno;

	d->flushing = true;
	pthread_mutex_unlock(&ds->lock);
	r = retry_flush(ds->env->fsync, ds->env, d->fd);
	saved_errno = errno;
	pthread_mutex_lock(&ds->lock);
	d->flushing = false;
	if (r < 0)
		d->flush_errno = saved_errno;
	else
		d->done = number;
	pthread_cond_broadcast(&d->flushed);
}

static int flush_one(struct dirs *ds, struct dir *d, struct err *e)
{
	uint64_t needed;
	int failed;

	pthread_mutex_lock(&ds->lock);
	needed = d->started + 1;
	while (d->flush_errno == 0 && d->done < needed) {
		if (d->flushing)
			pthread_cond_wait(&d->flushed, &ds->lock);
		else
			run_flush(ds, d);
	}
	failed = d->flush_errno;
	pthread_mutex_unlock(&ds->lock);
	return failed ? err_errno(e, failed, "fsync of a directory") : 0;
}

/* Sees to it that `d` is on disk under its whole path. in_parent is set only after all above it, so that nobody who sees it set is told too much. */
static int flush_path(struct dirs *ds, struct dir *d, struct err *e)
{
	bool in_parent;
	int r;

	pthread_mutex_lock(&ds->lock);
	in_parent = d->in_parent;
	pthread_mutex_unlock(&ds->lock);
	if (in_parent)
		return 0;
	r = flush_one(ds, d->parent, e);
	if (r == 0)
		r = flush_path(ds, d->parent, e);
	if (r < 0)
		return r;
	pthread_mutex_lock(&ds->lock);
	d->in_parent = true;
	pthread_mutex_unlock(&ds->lock);
	return 0;
}

int dirs_flush(struct dirs *ds, struct dir *d, struct err *e)
{
	int r = flush_one(ds, d, e);

	return r < 0 ? r : flush_path(ds, d, e);
}
