/* Blobs in memory: for tests, and for a server that shall forget. Nothing to flush, so it never seals.
 * A blob is listed and readable from its commit on; until then the entry only keeps its name taken. */
#include "base/fd.h"
#include "blobs/blobs_impl.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BUCKETS 1024
#define MEMORY_BLOBS_MAX ((uint64_t)1 << 30) /* bytes of all blobs together: then ERR_STORAGE_FULL */

struct entry {
	struct entry *next;
	struct buf bytes;
	bool committed;
	size_t name_len;
	char name[BLOB_NAME_MAX + 1];
};

struct memory {
	struct blobs base;
	pthread_mutex_t lock; /* guards all below; held for copying at most */
	uint64_t used; /* bytes, committed or not */
	struct entry *buckets[BUCKETS];
};

/* The bytes gather in the writer; the entry is looked up again at commit, because it may have been removed. */
struct memory_writer {
	struct blob_writer base;
	struct buf bytes;
	size_t name_len;
	char name[BLOB_NAME_MAX + 1];
};

static struct memory *memory_of(struct blobs *b)
{
	return (struct memory *)b;
}

/* Names are ours, so nobody chooses collisions. */
static size_t bucket_of(struct str name)
{
	return str_hash(STR_HASH, name) % BUCKETS;
}

/* Where the pointer to the entry of this name is, or would be. */
static struct entry **find(struct memory *m, struct str name)
{
	struct entry **at = &m->buckets[bucket_of(name)];

	while (*at && !str_eq(name, (struct str){(*at)->name, (*at)->name_len}))
		at = &(*at)->next;
	return at;
}

static void drop(struct memory *m, struct entry **at)
{
	struct entry *gone = *at;

	*at = gone->next;
	m->used -= gone->bytes.len;
	buf_release(&gone->bytes);
	free(gone);
}

static void memory_free(struct blobs *b)
{
	struct memory *m = memory_of(b);

	for (size_t i = 0; i < BUCKETS; i++)
		while (m->buckets[i])
			drop(m, &m->buckets[i]);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

static int take_name(struct memory *m, struct str name, struct err *e)
{
	struct entry *new = calloc(1, sizeof(*new));
	struct entry **at;
	bool taken;

	if (!new)
		return err_set(e, ERR_NO_MEMORY, "no memory for a blob");
	memcpy(new->name, name.p, name.len);
	new->name_len = name.len;
	pthread_mutex_lock(&m->lock);
	at = find(m, name);
	taken = *at != NULL;
	if (!taken)
		*at = new;
	pthread_mutex_unlock(&m->lock);
	if (taken) {
		free(new);
		return err_set(e, ERR_CONFLICT, "the blob exists already");
	}
	return 0;
}

static int memory_create(struct blobs *b, struct str name, uint64_t size_hint, struct blob_writer **ret, struct err *e)
{
	struct memory_writer *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return err_set(e, ERR_NO_MEMORY, "no memory for a writer");
	r = take_name(memory_of(b), name, e);
	if (r < 0) {
		free(w);
		return r;
	}
	memcpy(w->name, name.p, name.len);
	w->name_len = name.len;
	*ret = &w->base;
	return 0;
}

static int memory_append(struct blob_writer *base, const void *data, size_t n, struct err *e)
{
	struct memory_writer *w = (struct memory_writer *)base;
	struct memory *m = memory_of(base->store);
	size_t before = w->bytes.len;
	bool fits;

	pthread_mutex_lock(&m->lock);
	fits = n <= MEMORY_BLOBS_MAX - m->used;
	m->used += fits ? n : 0;
	pthread_mutex_unlock(&m->lock);
	if (!fits)
		return err_set(e, ERR_STORAGE_FULL, "the memory store is full");
	buf_add(&w->bytes, data, n);
	if (buf_ok(&w->bytes) && w->bytes.len == before + n)
		return 0;
	pthread_mutex_lock(&m->lock);
	m->used -= n;
	pthread_mutex_unlock(&m->lock);
	return err_set(e, ERR_NO_MEMORY, "no memory for the bytes of a blob");
}

static void release_writer(struct memory_writer *w)
{
	buf_release(&w->bytes);
	free(w);
}

static void memory_abandon(struct blob_writer *base)
{
	struct memory_writer *w = (struct memory_writer *)base;
	struct memory *m = memory_of(base->store);
	struct entry **at;

	pthread_mutex_lock(&m->lock);
	m->used -= w->bytes.len;
	at = find(m, (struct str){w->name, w->name_len});
	if (*at && !(*at)->committed)
		drop(m, at);
	pthread_mutex_unlock(&m->lock);
	release_writer(w);
}

static int memory_commit(struct blob_writer *base, struct err *e)
{
	struct memory_writer *w = (struct memory_writer *)base;
	struct memory *m = memory_of(base->store);
	struct entry **at;
	bool there;

	pthread_mutex_lock(&m->lock);
	at = find(m, (struct str){w->name, w->name_len});
	there = *at && !(*at)->committed;
	if (there) {
		(*at)->bytes = w->bytes;
		(*at)->committed = true;
		w->bytes = BUF_INIT;
	} else {
		m->used -= w->bytes.len;
	}
	pthread_mutex_unlock(&m->lock);
	release_writer(w);
	return there ? 0 : err_set(e, ERR_CONFLICT, "the blob was removed while it was written");
}

/* A descriptor of its own for each reader, as a file would give. */
static int memory_open(struct blobs *b, struct str name, int *ret_fd, uint64_t *ret_size, struct err *e)
{
	CLEANUP(fd_close) int fd = memfd_create("blob", MFD_CLOEXEC);
	struct memory *m = memory_of(b);
	const struct entry *entry;
	uint64_t size = 0;
	bool found;
	int r = 0, saved_errno = 0;

	if (fd < 0)
		return err_errno(e, errno, "memfd_create");
	pthread_mutex_lock(&m->lock);
	entry = *find(m, name);
	found = entry && entry->committed;
	if (found) {
		size = entry->bytes.len;
		r = fd_write_all(fd, entry->bytes.p, entry->bytes.len);
		saved_errno = errno;
	}
	pthread_mutex_unlock(&m->lock);
	if (!found)
		return err_set(e, ERR_NOT_FOUND, "no such blob");
	if (r < 0)
		return err_errno(e, saved_errno, "write");
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_errno(e, errno, "lseek");
	*ret_fd = fd_steal(&fd);
	*ret_size = size;
	return 0;
}

static int memory_remove(struct blobs *b, struct str name, struct err *e)
{
	struct memory *m = memory_of(b);
	struct entry **at;

	pthread_mutex_lock(&m->lock);
	at = find(m, name);
	if (*at)
		drop(m, at);
	pthread_mutex_unlock(&m->lock);
	return 0;
}

/* The names and sizes of one bucket, copied so that the lock is not held while the visitor runs. */
struct listed {
	uint64_t size;
	size_t name_len;
	char name[BLOB_NAME_MAX];
};

static int list_bucket(struct memory *m, size_t bucket, struct buf *out, struct err *e)
{
	pthread_mutex_lock(&m->lock);
	for (const struct entry *at = m->buckets[bucket]; at; at = at->next) {
		struct listed l = {.size = at->bytes.len, .name_len = at->name_len};

		memcpy(l.name, at->name, at->name_len);
		if (at->committed)
			buf_add(out, &l, sizeof(l));
	}
	pthread_mutex_unlock(&m->lock);
	return buf_ok(out) ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for a list of blobs");
}

static int memory_visit(struct blobs *b, int (*visit)(void *arg, struct str name, uint64_t size), void *arg, struct err *e)
{
	CLEANUP(buf_release) struct buf found = BUF_INIT;

	for (size_t bucket = 0; bucket < BUCKETS; bucket++) {
		int r;

		buf_reset(&found);
		r = list_bucket(memory_of(b), bucket, &found, e);
		for (size_t at = 0; r == 0 && at < found.len; at += sizeof(struct listed)) {
			struct listed l;

			memcpy(&l, found.p + at, sizeof(l));
			r = visit(arg, (struct str){l.name, l.name_len}, l.size);
		}
		if (r != 0)
			return r;
	}
	return 0;
}

static const struct blobs_methods memory_methods = {
	.free = memory_free,
	.create = memory_create,
	.append = memory_append,
	.commit = memory_commit,
	.abandon = memory_abandon,
	.open = memory_open,
	.remove = memory_remove,
	.visit = memory_visit,
};

int blobs_memory_new(struct blobs **ret, struct err *e)
{
	struct memory *m = calloc(1, sizeof(*m));

	if (!m)
		return err_set(e, ERR_NO_MEMORY, "no memory for a store");
	m->base.methods = &memory_methods;
	pthread_mutex_init(&m->lock, NULL);
	*ret = &m->base;
	return 0;
}
