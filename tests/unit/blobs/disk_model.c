#include "disk_model.h"

#include "base/compiler.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct disk_model *model_of(struct env *e)
{
	return CONTAINER_OF(e, struct disk_model, env);
}

static ino_t inode_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

/* Counts the call; true when it shall fail, errno is set then. */
static bool fails(struct disk_model *m, enum disk_call call)
{
	bool fail;

	pthread_mutex_lock(&m->lock);
	m->calls[call]++;
	fail = m->fail_at && m->fail_call == call && (m->calls[call] == m->fail_at || (m->sticky && m->calls[call] > m->fail_at));
	m->failed[call] += fail;
	pthread_mutex_unlock(&m->lock);
	if (fail)
		errno = m->fail_errno;
	return fail;
}

/* With the lock held */
static void add_entry(struct disk_model *m, ino_t dir, const char *name, ino_t inode)
{
	struct disk_entry *entry;

	assert(m->n_entries < DISK_ENTRIES_MAX && strlen(name) < sizeof(entry->name));
	entry = &m->entries[m->n_entries++];
	*entry = (struct disk_entry){.dir = dir, .inode = inode, .made = ++m->clock};
	memcpy(entry->name, name, strlen(name) + 1);
}

/* With the lock held */
static struct disk_file *file_of(struct disk_model *m, ino_t inode)
{
	for (size_t i = 0; i < m->n_files; i++)
		if (m->files[i].inode == inode)
			return &m->files[i];
	assert(m->n_files < DISK_ENTRIES_MAX);
	m->files[m->n_files] = (struct disk_file){.inode = inode};
	return &m->files[m->n_files++];
}

static int model_openat(struct env *e, int dir, const char *name, int flags, mode_t mode)
{
	int fd;

	if (fails(model_of(e), DISK_OPENAT))
		return -1;
	fd = openat(dir, name, flags, mode);
	if (fd >= 0 && flags & O_CREAT) {
		ino_t inode = inode_of(fd);

		/* The number may have belonged to a file that was removed. */
		pthread_mutex_lock(&model_of(e)->lock);
		*file_of(model_of(e), inode) = (struct disk_file){.inode = inode};
		add_entry(model_of(e), inode_of(dir), name, inode);
		pthread_mutex_unlock(&model_of(e)->lock);
	}
	return fd;
}

/* A failing close closes, as on Linux. */
static int model_close(struct env *e, int fd)
{
	bool fail = fails(model_of(e), DISK_CLOSE);
	int saved_errno = errno;

	close(fd);
	errno = saved_errno;
	return fail ? -1 : 0;
}

static ssize_t model_write(struct env *e, int fd, const void *p, size_t n)
{
	struct disk_model *m = model_of(e);

	if (fails(m, DISK_WRITE)) {
		if (m->fail_errno)
			return -1;
		n = n > 1 ? n / 2 : n;
	}
	pthread_mutex_lock(&m->lock);
	file_of(m, inode_of(fd))->dirty = true;
	pthread_mutex_unlock(&m->lock);
	return write(fd, p, n);
}

static int model_fdatasync(struct env *e, int fd)
{
	struct disk_model *m = model_of(e);
	bool fail = fails(m, DISK_FDATASYNC);
	int saved_errno = errno;
	struct disk_file *f;

	pthread_mutex_lock(&m->lock);
	f = file_of(m, inode_of(fd));
	f->lost |= fail && f->dirty;
	f->dirty = false;
	pthread_mutex_unlock(&m->lock);
	errno = saved_errno;
	return fail ? -1 : 0;
}

static int model_fsync(struct env *e, int fd)
{
	struct disk_model *m = model_of(e);
	ino_t dir = inode_of(fd);
	uint64_t start;
	bool fail;

	pthread_mutex_lock(&m->lock);
	start = m->clock;
	pthread_mutex_unlock(&m->lock);
	for (int i = 0; i < 3; i++) /* a flush takes time, in which others create */
		sched_yield();
	fail = fails(m, DISK_FSYNC);
	pthread_mutex_lock(&m->lock);
	for (size_t i = 0; i < m->n_entries; i++) {
		struct disk_entry *entry = &m->entries[i];

		if (entry->dir != dir || entry->made > start || entry->durable)
			continue;
		entry->lost |= fail;
		entry->durable = !entry->lost;
	}
	pthread_mutex_unlock(&m->lock);
	if (fail)
		errno = m->fail_errno;
	return fail ? -1 : 0;
}

static int model_mkdirat(struct env *e, int dir, const char *name, mode_t mode)
{
	struct disk_model *m = model_of(e);
	struct stat st;
	int r, saved_errno;

	if (fails(m, DISK_MKDIRAT))
		return -1;
	/* Whoever sees the directory and flushes its parent must find it in the model: a flush takes the lock before it starts. */
	pthread_mutex_lock(&m->lock);
	r = mkdirat(dir, name, mode);
	saved_errno = errno;
	if (r == 0 && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		add_entry(m, inode_of(dir), name, st.st_ino);
	pthread_mutex_unlock(&m->lock);
	errno = saved_errno;
	return r;
}

static int model_unlinkat(struct env *e, int dir, const char *name, int flags)
{
	return fails(model_of(e), DISK_UNLINKAT) ? -1 : unlinkat(dir, name, flags);
}

static int model_fstat(struct env *e, int fd, struct stat *st)
{
	return fails(model_of(e), DISK_FSTAT) ? -1 : fstat(fd, st);
}

static int model_start_writeback(struct env *e, int fd, off_t at, off_t len)
{
	return fails(model_of(e), DISK_WRITEBACK) ? -1 : 0;
}

static int model_fallocate(struct env *e, int fd, off_t at, off_t len)
{
	return fails(model_of(e), DISK_FALLOCATE) ? -1 : 0;
}

void disk_model_init(struct disk_model *m)
{
	*m = (struct disk_model){.env = env_real, .lock = PTHREAD_MUTEX_INITIALIZER};
	m->env.openat = model_openat;
	m->env.close = model_close;
	m->env.write = model_write;
	m->env.fdatasync = model_fdatasync;
	m->env.fsync = model_fsync;
	m->env.mkdirat = model_mkdirat;
	m->env.unlinkat = model_unlinkat;
	m->env.fstat = model_fstat;
	m->env.start_writeback = model_start_writeback;
	m->env.fallocate = model_fallocate;
}

void disk_model_release(struct disk_model *m)
{
	pthread_mutex_destroy(&m->lock);
}

/* With the lock held: the newest entry of this name, if it is on disk; 0 otherwise. */
static ino_t durable_entry(struct disk_model *m, ino_t dir, const char *name, size_t len)
{
	for (size_t i = m->n_entries; i > 0; i--) {
		const struct disk_entry *entry = &m->entries[i - 1];

		if (entry->dir == dir && strlen(entry->name) == len && memcmp(entry->name, name, len) == 0)
			return entry->durable ? entry->inode : 0;
	}
	return 0;
}

bool disk_model_survives(struct disk_model *m, int root_fd, const char *name)
{
	ino_t at = inode_of(root_fd);
	bool survives;

	pthread_mutex_lock(&m->lock);
	while (at && *name) {
		size_t len = strcspn(name, "/");

		at = durable_entry(m, at, name, len);
		name += len + (name[len] == '/');
	}
	survives = at && !file_of(m, at)->dirty && !file_of(m, at)->lost;
	pthread_mutex_unlock(&m->lock);
	return survives;
}
