/* A struct env over real files that fails chosen calls and remembers what a power cut would leave.
 *
 * The model: bytes written to a file are lost until its flush reported success after them; an entry made in a directory is lost until a flush of the directory that
 * *started* after it succeeded. A flush that failed drops what it should have written, and later flushes of the same file or directory say OK without
 * bringing it back, as Linux does. Any thread. */
#ifndef FILEMILL_TESTS_BLOBS_DISK_MODEL_H
#define FILEMILL_TESTS_BLOBS_DISK_MODEL_H

#include "rt/env.h"

#include <pthread.h>
#include <stdbool.h>

enum disk_call {
	DISK_OPENAT,
	DISK_CLOSE,
	DISK_WRITE,
	DISK_FDATASYNC,
	DISK_FSYNC,
	DISK_MKDIRAT,
	DISK_UNLINKAT,
	DISK_FSTAT,
	DISK_WRITEBACK,
	DISK_FALLOCATE,
	DISK_CALLS
};

#define DISK_ENTRIES_MAX 4096

struct disk_entry {
	ino_t dir, inode;
	char name[200];
	uint64_t made; /* clock of the model when it was made */
	bool durable, lost;
};

struct disk_file {
	ino_t inode;
	bool dirty, lost;
};

struct disk_model {
	struct env env;
	pthread_mutex_t lock;

	/* the plan, set by the test */
	enum disk_call fail_call;
	unsigned fail_at; /* 1 = the first; 0 = none */
	bool sticky;
	int fail_errno; /* 0 with DISK_WRITE: the write is cut to half instead, at least one byte */

	/* what happened */
	unsigned calls[DISK_CALLS];
	unsigned failed[DISK_CALLS];
	uint64_t clock;
	struct disk_entry entries[DISK_ENTRIES_MAX];
	size_t n_entries;
	struct disk_file files[DISK_ENTRIES_MAX];
	size_t n_files;
};

void disk_model_init(struct disk_model *m);
void disk_model_release(struct disk_model *m);
/* Would a blob `owner/shard/id` beneath the directory be there, whole, after a power cut now? */
bool disk_model_survives(struct disk_model *m, int root_fd, const char *name);

#endif
