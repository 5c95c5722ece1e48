/* The parts of the local directory backend. */
#ifndef FILEMILL_BLOBS_LOCAL_IMPL_H
#define FILEMILL_BLOBS_LOCAL_IMPL_H

#include "blobs/blobs_impl.h"

#define LOCAL_DIRS_MAX                                                                                                                     \
	272 /* directories kept open while nobody uses them, where there are descriptors enough: the 256 of one owner and some more */

/* ---- directories: opened once, kept open, flushed together ---- */

/* Any thread. */
struct dirs;
/* An open directory beneath the root; stays open while somebody holds it. */
struct dir;

[[nodiscard]] int dirs_new(struct dirs **ret, struct env *env, int root_fd, struct err *e);
void dirs_free(struct dirs *ds); /* NULL is fine; nothing may be held */

/* Holds the directory `owner/shard`; makes both when `create`, else ERR_NOT_FOUND. Give it back with dirs_put(). */
[[nodiscard]] int dirs_get(struct dirs *ds, struct blob_name_parts parts, bool create, struct dir **ret, struct err *e);
void dirs_put(struct dirs *ds, struct dir *d);
int dir_fd(const struct dir *d);

/* Returns once every name that was in `d` before the call is on disk, and `d` itself in its parent and so on up. Callers at the same time share flushes.
 * Any failure is final: the store must be sealed. */
[[nodiscard]] int dirs_flush(struct dirs *ds, struct dir *d, struct err *e);

/* ---- the store ---- */

struct local {
	struct blobs base;
	struct env *env;
	int root_fd; /* borrowed */
	struct dirs *dirs;
};

struct local_writer {
	struct blob_writer base;
	struct local *store;
	struct dir *dir; /* held */
	int fd;
	uint64_t written; /* bytes */
	uint64_t started; /* bytes whose write-back was started */
	char id[BLOB_NAME_MAX + 1];
};

static inline struct local *local_of(struct blobs *b)
{
	return (struct local *)b;
}
void local_copy_part(char dst[BLOB_NAME_MAX + 1], struct str part);
/* The last look before the promise: the file still has its name, and as many bytes as were written. */
int local_check_file(struct local_writer *w, struct err *e);
void local_release_writer(struct local_writer *w);

/* ---- visiting ---- */

/* What is told of the walk: either may be NULL. */
struct local_walk {
	int (*visit)(void *arg, struct str name, uint64_t size); /* a blob; not 0 ends the walk */
	void (*foreign)(void *arg, struct str path); /* what no blob is or leads to */
	void *arg;
};
[[nodiscard]] int local_walk(struct env *env, int root_fd, const struct local_walk *to, struct err *e);

/* ---- calls that a signal may interrupt, made again ---- */

int retry_openat(struct env *env, int dir, const char *name, int flags, mode_t mode);
int retry_flush(int (*flush)(struct env *e, int fd), struct env *env, int fd);

#endif
