/* The data directory: made, marked, locked, and known to lie on a file system that keeps its promises. */
#ifndef FILEMILL_APP_DATA_DIR_H
#define FILEMILL_APP_DATA_DIR_H

#include "base/err.h"
#include "base/uuid.h"
#include "rt/env.h"

#include <stdbool.h>

struct data_dir {
	int fd; /* the directory */
	int lock_fd; /* holds the exclusive lock as long as it is open */
	int blobs_fd;
	bool fresh; /* no start has got as far as data_dir_complete() */
	struct uuid id; /* made with the directory, kept in its marker file */
};

#define DATA_DIR_INIT ((struct data_dir){.fd = -1, .lock_fd = -1, .blobs_fd = -1})

/* Creates what is missing: the directory (not its parents), the marker, blobs/. The catalogue is the caller's to open next; afterwards data_dir_complete(). ERR_IN_USE when another process holds the lock; ERR_BAD_CONFIG when it lies on a network file system, or
 * holds other things and no marker: then nothing was changed in it. ERR_DAMAGED for a marker that is none, and when the catalogue or the
 * blobs of a directory that was complete are missing: new ones must not be put in their place. */
[[nodiscard]] int data_dir_open(struct data_dir *ret, const char *path, bool allow_network_fs, struct env *env, struct err *e);
/* The same for one that is there and complete, to be looked at: makes nothing but the lock file. ERR_BAD_CONFIG when there is none. */
[[nodiscard]] int data_dir_open_complete(struct data_dir *ret, const char *path, struct err *e);
/* The catalogue is there: from now on its absence is damage. */
[[nodiscard]] int data_dir_complete(struct data_dir *d, struct err *e);
void data_dir_close(struct data_dir *d);

/* The name of a network or user-space file system by its statfs type, NULL for others. */
const char *network_fs_name(long type);

#endif
