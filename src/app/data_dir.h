/* The data directory: made, marked, locked, and known to lie on a file system that keeps its promises. */
#ifndef FILEMILL_APP_DATA_DIR_H
#define FILEMILL_APP_DATA_DIR_H

#include "base/err.h"
#include "base/uuid.h"
#include "rt/env.h"

#include <stdbool.h>
#include <stddef.h>

struct data_dir {
	int fd; /* the directory */
	int lock_fd; /* holds the lock as long as it is open: exclusive, or one of several nodes' */
	bool shared; /* set before it is opened: its catalogue is elsewhere, and nodes of this machine, or of several on one file system, use it together */
	bool alone; /* shared: nobody else used it when it was opened */
	int blobs_fd;
	int audit_fd; /* folder of the audit log; -1: there is none yet, or nobody asked */
	int hold_fd; /* the marker file: backups lock it */
	bool fresh; /* no start has got as far as data_dir_complete() */
	struct uuid id; /* made with the directory, kept in its marker file */
};

#define DATA_DIR_INIT ((struct data_dir){.fd = -1, .lock_fd = -1, .blobs_fd = -1, .audit_fd = -1, .hold_fd = -1})

struct data_dir_options {
	bool allow_network_fs;
	bool catalogue_elsewhere; /* it is not in the directory, and must not be: ERR_BAD_CONFIG */
};

/* Creates what is missing: the directory (not its parents), the marker, blobs/. The catalogue is the caller's to open next; afterwards data_dir_complete(). ERR_IN_USE when another process holds the lock; ERR_BAD_CONFIG when it lies on a network file system, or
 * holds other things and no marker: then nothing was changed in it. ERR_DAMAGED for a marker that is none, and when the catalogue or the
 * blobs of a directory that was complete are missing: new ones must not be put in their place. */
[[nodiscard]] int data_dir_open(struct data_dir *ret, const char *path, const struct data_dir_options *o, struct env *env, struct err *e);
/* The same for one that is there and complete, to be looked at: makes nothing but the lock file. ERR_BAD_CONFIG when there is none. */
[[nodiscard]] int data_dir_open_complete(struct data_dir *ret, const char *path, const struct data_dir_options *o, struct err *e);
/* The catalogue is there: from now on its absence is damage. */
[[nodiscard]] int data_dir_complete(struct data_dir *d, struct err *e);
/* The folder of the audit log, made where it is missing. */
[[nodiscard]] int data_dir_open_audit(struct data_dir *d, struct err *e);
void data_dir_close(struct data_dir *d);

/* For those who read beside a running server: nothing is made or changed, and the directory's lock is not taken. ERR_DAMAGED, ERR_BAD_CONFIG as above. */
[[nodiscard]] int data_dir_look(struct data_dir *ret, const char *path, struct err *e);

/* Blobs are held, so that no server removes any, by a shared lock on the marker file, which goes with the process that took it. Waits while a server looks. */
[[nodiscard]] int data_dir_hold_blobs(const struct data_dir *d, struct err *e);
/* For the server: whether somebody holds them. */
bool data_dir_blobs_held(const struct data_dir *d);

/* Whether a folder holds nothing but what is named as harmless. */
[[nodiscard]] int folder_is_empty(int fd, const char *const *harmless, size_t n, bool *ret, struct err *e);

/* ---- for a restore ---- */
/* Makes a new directory, or takes an empty one, and locks it; what is put into it is no data directory before data_dir_mark(). ERR_CONFLICT when it is not empty. */
[[nodiscard]] int data_dir_make(struct data_dir *ret, const char *path, struct err *e);
[[nodiscard]] int data_dir_mark(struct data_dir *d, struct uuid id, struct err *e);

/* ---- for a move ---- */
/* The lock of one that data_dir_look() found, if nobody has it. */
[[nodiscard]] int data_dir_try_lock(struct data_dir *d, bool *ret, struct err *e);
/* A new or empty directory becomes the one that a move of the data directory `whose` fills, or one that the same move filled in part is taken up; it is locked, and no data directory before
 * data_dir_taken(). *ret_whole: it is one already, and was not locked. ERR_CONFLICT: it is something else; ERR_IN_USE. */
[[nodiscard]] int data_dir_take_up(struct data_dir *ret, const char *path, struct uuid whose, bool *ret_whole, struct err *e);
/* It is filled, and a data directory from now on, of the same id as the one that was moved. */
[[nodiscard]] int data_dir_taken(struct data_dir *d, struct err *e);

/* The name of a network or user-space file system by its statfs type, NULL for others. */
const char *network_fs_name(long type);

#endif
