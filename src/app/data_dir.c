#include "app/data_dir.h"
#include "app/gate.h"
#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define MARKER "filemill.id"
#define MARKER_NEW "filemill.id.new"
#define FRESH "filemill.fresh" /* there until the first start has made the catalogue */
#define CATALOGUE "catalog.db"
#define LOCK "lock"
#define SHARE_TRIES 100 /* 50 ms each */
#define AUDIT "audit"
#define TAKING "filemill.move" /* a move into it has begun: whose, as in the marker */

const char *network_fs_name(long type)
{
	static const struct {
		unsigned long type;
		const char *name;
	} known[] = {
		{0x6969, "NFS"},      {0x517b, "SMB"},      {0xfe534d42, "SMB"},    {0xff534d42, "CIFS"},
		{0x01021997, "9P"},   {0x65735546, "FUSE"}, {0x00c36400, "Ceph"},   {0x5346414f, "AFS"},
		{0x73757245, "Coda"}, {0x564c, "NCP"},      {0x0bd00bd0, "Lustre"}, {0x47504653, "GPFS"},
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (((unsigned long)type & 0xffffffff) == known[i].type)
			return known[i].name;
	return NULL;
}

static int refuse_network_fs(int fd, struct err *e)
{
	struct statfs s;

	if (fstatfs(fd, &s) != 0)
		return err_errno(e, errno, "statfs");
	const char *name = network_fs_name((long)s.f_type);
	if (name == NULL)
		return 0;
	return err_set(
		e, ERR_BAD_CONFIG,
		"it lies on %s; locks and flushes may not hold there, so a crash could lose what was acknowledged. Use a local disk, or set data.allow_network_fs",
		name);
}

int folder_is_empty(int fd, const char *const *harmless, size_t n, bool *ret, struct err *e)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	bool empty = true;

	if (dir == NULL) {
		int rc = err_errno(e, errno, "opendir");
		fd_close(&copy);
		return rc;
	}
	for (struct dirent *d; (d = readdir(dir)) != NULL;) {
		bool known = strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0;
		for (size_t i = 0; i < n; i++)
			known |= strcmp(d->d_name, harmless[i]) == 0;
		empty &= known;
	}
	closedir(dir);
	*ret = empty;
	return 0;
}

/* What a first start that was interrupted leaves, and what mkfs puts there, do not count. */
static int is_empty(int fd, bool *ret, struct err *e)
{
	static const char *const harmless[] = {LOCK, MARKER_NEW, FRESH, "lost+found"};

	return folder_is_empty(fd, harmless, ARRAY_LEN(harmless), ret, e);
}

/* 0 with *ret_found false when there is no marker. */
static int read_id(int fd, const char *name, struct uuid *ret, bool *ret_found, struct err *e)
{
	char text[UUID_TEXT_LEN + 1];
	CLEANUP(fd_close) int file = openat(fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	*ret_found = file >= 0;
	if (file < 0)
		return errno == ENOENT ? 0 : err_errno(e, errno, "open of the marker");
	ssize_t n = fd_pread_full(file, text, sizeof(text), 0);
	if (n < 0)
		return err_errno(e, errno, "read of the marker");
	if (n < UUID_TEXT_LEN || !uuid_parse(ret, (struct str){text, UUID_TEXT_LEN}))
		return err_set(e, ERR_DAMAGED, "its marker file %s is damaged", name);
	return 0;
}

static int read_marker(int fd, struct uuid *ret, bool *ret_found, struct err *e)
{
	return read_id(fd, MARKER, ret, ret_found, e);
}

/* Under another name first: a marker is there whole or not at all. */
static int put_id(int fd, const char *name, struct uuid id, struct err *e)
{
	char text[UUID_TEXT_LEN + 1];

	uuid_format(text, id);
	text[UUID_TEXT_LEN] = '\n';
	CLEANUP(fd_close) int file = openat(fd, MARKER_NEW, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (file < 0 || fd_write_all(file, text, sizeof(text)) != 0 || fsync(file) != 0 || renameat(fd, MARKER_NEW, fd, name) != 0 ||
	    fsync(fd) != 0)
		return err_errno(e, errno, "write of the marker");
	return 0;
}

static int make_marker(int fd, struct env *env, struct uuid *ret, struct err *e)
{
	struct uuid_gen gen = {};
	struct uuid id = uuid_next(&gen, env->wall_ms(env), env->random(env));

	CLEANUP(fd_close) int fresh = openat(fd, FRESH, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fresh < 0)
		return err_errno(e, errno, "creation of a file");
	int rc = put_id(fd, MARKER, id, e);
	if (rc == 0)
		*ret = id;
	return rc;
}

/* Nodes share the lock; who comes first has it alone for a moment, to make what is missing. */
static int share_lock(struct data_dir *d, struct err *e)
{
	const struct timespec pause = {.tv_nsec = 50000000};

	for (int tries = 0; tries < SHARE_TRIES; tries++) {
		d->alone = flock(d->lock_fd, LOCK_EX | LOCK_NB) == 0;
		if (d->alone)
			return 0;
		if (errno == EWOULDBLOCK && flock(d->lock_fd, LOCK_SH | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK)
			return err_errno(e, errno, "flock");
		nanosleep(&pause, NULL);
	}
	return err_set(e, ERR_IN_USE, "it is in use by a filemill process with a catalogue of its own");
}

static int take_lock(struct data_dir *d, struct err *e)
{
	d->lock_fd = openat(d->fd, LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (d->lock_fd < 0)
		return err_errno(e, errno, "open of the lock file");
	if (d->shared)
		return share_lock(d, e);
	if (flock(d->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return err_set(e, ERR_IN_USE, "it is in use by another filemill process");
	return err_errno(e, errno, "flock");
}

/* SQLite would make a new catalogue where one was lost, and the files would be gone without a word. */
static int check_catalogue(struct data_dir *d, bool elsewhere, struct err *e)
{
	struct stat st, inside;
	bool there = fstatat(d->fd, CATALOGUE, &inside, AT_SYMLINK_NOFOLLOW) == 0;

	if (elsewhere && there)
		return err_set(e, ERR_BAD_CONFIG,
			       "it has a catalogue of its own, %s, and catalog.url names another one: its files are not in that",
			       CATALOGUE);

	d->fresh = fstatat(d->fd, FRESH, &st, AT_SYMLINK_NOFOLLOW) == 0;
	if (d->fresh || elsewhere || (there && S_ISREG(inside.st_mode) && inside.st_size > 0))
		return 0;
	return err_set(
		e, ERR_DAMAGED,
		"its catalogue %s is missing or empty; restore it, or start with another directory. If it was never there, catalog.url is missing",
		CATALOGUE);
}

int data_dir_complete(struct data_dir *d, struct err *e)
{
	if (!d->fresh)
		return 0;
	if ((unlinkat(d->fd, FRESH, 0) != 0 && !(d->shared && errno == ENOENT)) || fsync(d->fd) != 0)
		return err_errno(e, errno, "removal of a file");
	d->fresh = false;
	return 0;
}

/* For writing if possible: where flock is made of record locks, as on NFS, an exclusive one takes that. */
static int open_hold(struct data_dir *d, struct err *e)
{
	d->hold_fd = openat(d->fd, MARKER, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (d->hold_fd < 0 && (errno == EACCES || errno == EROFS))
		d->hold_fd = openat(d->fd, MARKER, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return d->hold_fd >= 0 ? 0 : err_errno(e, errno, "open of the marker");
}

static int refuse_moved(const struct data_dir *d, struct err *e)
{
	char where[MOVED_MAX];
	bool moved;
	int rc = moved_read(d->fd, &moved, where, e);

	if (rc != 0 || !moved)
		return rc;
	return err_set(e, ERR_BAD_CONFIG, "what was in it was moved (%.200s); filemill move --take-back says that it is to be used again",
		       where);
}

static int refuse_taking(const struct data_dir *d, struct err *e)
{
	struct uuid whose;
	bool taking;
	int rc = read_id(d->fd, TAKING, &whose, &taking, e);

	if (rc == 0 && taking)
		rc = err_set(e, ERR_BAD_CONFIG, "a move into it has not ended; the same filemill move goes on with it");
	return rc;
}

static int open_marked(struct data_dir *d, bool elsewhere, struct env *env, struct err *e)
{
	bool marked, empty = false;
	int rc;

	if ((rc = read_marker(d->fd, &d->id, &marked, e)) != 0)
		return rc;
	if (!marked && ((rc = refuse_taking(d, e)) != 0 || (rc = is_empty(d->fd, &empty, e)) != 0))
		return rc;
	if (!marked && !empty)
		return err_set(e, ERR_BAD_CONFIG,
			       "it is not empty and has no %s, so it is no data directory; perhaps a disk is not mounted", MARKER);
	if ((rc = take_lock(d, e)) != 0)
		return rc;
	/* again, now that nobody else is at it */
	if ((rc = read_marker(d->fd, &d->id, &marked, e)) != 0)
		return rc;
	if (!marked && (rc = make_marker(d->fd, env, &d->id, e)) != 0)
		return rc;
	if ((rc = open_hold(d, e)) != 0 || (rc = refuse_moved(d, e)) != 0)
		return rc;
	return check_catalogue(d, elsewhere, e);
}

static int open_blobs(struct data_dir *d, struct err *e)
{
	if (d->fresh && mkdirat(d->fd, "blobs", 0700) != 0 && errno != EEXIST)
		return err_errno(e, errno, "mkdir of blobs");
	if (d->fresh && fsync(d->fd) != 0)
		return err_errno(e, errno, "fsync");
	d->blobs_fd = openat(d->fd, "blobs", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (d->blobs_fd < 0 && errno == ENOENT)
		return err_set(e, ERR_DAMAGED, "its folder blobs is missing; restore it, or start with another directory");
	return d->blobs_fd >= 0 ? 0 : err_errno(e, errno, "open of blobs");
}

int data_dir_open_audit(struct data_dir *d, struct err *e)
{
	if (mkdirat(d->fd, AUDIT, 0700) == 0 ? fsync(d->fd) != 0 : errno != EEXIST)
		return err_errno(e, errno, "mkdir of audit");
	d->audit_fd = openat(d->fd, AUDIT, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return d->audit_fd >= 0 ? 0 : err_errno(e, errno, "open of audit");
}

int data_dir_open(struct data_dir *ret, const char *path, const struct data_dir_options *o, struct env *env, struct err *e)
{
	struct data_dir d = DATA_DIR_INIT;
	int rc = 0;

	d.shared = o->catalogue_elsewhere;
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return err_errno(e, errno, "mkdir");
	d.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d.fd < 0)
		return errno == ENOTDIR ? err_set(e, ERR_BAD_CONFIG, "it is no directory") : err_errno(e, errno, "open");
	if (!o->allow_network_fs)
		rc = refuse_network_fs(d.fd, e);
	if (rc == 0)
		rc = open_marked(&d, o->catalogue_elsewhere, env, e);
	if (rc == 0)
		rc = open_blobs(&d, e);
	if (rc == 0 && d.shared && flock(d.lock_fd, LOCK_SH) != 0) /* whoever had it alone has made what was missing */
		rc = err_errno(e, errno, "flock");
	if (rc != 0)
		data_dir_close(&d);
	else
		*ret = d;
	return rc;
}

static int look_complete(struct data_dir *d, bool elsewhere, struct err *e)
{
	bool marked;
	int rc = read_marker(d->fd, &d->id, &marked, e);

	if (rc == 0 && !marked)
		rc = err_set(e, ERR_BAD_CONFIG, "it has no %s, so it is no data directory; perhaps a disk is not mounted", MARKER);
	if (rc == 0)
		rc = take_lock(d, e);
	if (rc == 0)
		rc = refuse_moved(d, e);
	if (rc == 0)
		rc = check_catalogue(d, elsewhere, e);
	if (rc == 0)
		rc = open_hold(d, e);
	if (rc == 0 && d->fresh)
		rc = err_set(e, ERR_BAD_CONFIG, "its first start was not completed, so nothing is in it");
	return rc == 0 ? open_blobs(d, e) : rc;
}

int data_dir_open_complete(struct data_dir *ret, const char *path, const struct data_dir_options *o, struct err *e)
{
	struct data_dir d = DATA_DIR_INIT;
	int rc;

	d.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d.fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? err_set(e, ERR_BAD_CONFIG, "there is no such directory")
							   : err_errno(e, errno, "open");
	rc = look_complete(&d, o->catalogue_elsewhere, e);
	if (rc != 0)
		data_dir_close(&d);
	else
		*ret = d;
	return rc;
}

int data_dir_look(struct data_dir *ret, const char *path, struct err *e)
{
	struct data_dir d = DATA_DIR_INIT;
	bool marked;
	int rc;

	d.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d.fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? err_set(e, ERR_BAD_CONFIG, "there is no such directory")
							   : err_errno(e, errno, "open");
	rc = read_marker(d.fd, &d.id, &marked, e);
	if (rc == 0 && !marked)
		rc = err_set(e, ERR_BAD_CONFIG, "it has no %s, so it is no data directory; perhaps a disk is not mounted", MARKER);
	if (rc == 0)
		rc = open_hold(&d, e);
	if (rc == 0)
		rc = open_blobs(&d, e);
	if (rc != 0)
		data_dir_close(&d);
	else
		*ret = d;
	return rc;
}

int data_dir_hold_blobs(const struct data_dir *d, struct err *e)
{
	while (flock(d->hold_fd, LOCK_SH) != 0)
		if (errno != EINTR)
			return err_errno(e, errno, "flock of the marker");
	return 0;
}

bool data_dir_blobs_held(const struct data_dir *d)
{
	if (flock(d->hold_fd, LOCK_EX | LOCK_NB) != 0)
		return true;
	flock(d->hold_fd, LOCK_UN);
	return false;
}

int data_dir_make(struct data_dir *ret, const char *path, struct err *e)
{
	struct data_dir d = DATA_DIR_INIT;
	bool empty = false;
	int rc;

	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return err_errno(e, errno, "mkdir");
	d.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d.fd < 0)
		return errno == ENOTDIR ? err_set(e, ERR_CONFLICT, "it is no directory") : err_errno(e, errno, "open");
	rc = is_empty(d.fd, &empty, e);
	if (rc == 0 && !empty)
		rc = err_set(e, ERR_CONFLICT, "it is not empty");
	if (rc == 0)
		rc = take_lock(&d, e);
	if (rc == 0)
		rc = is_empty(d.fd, &empty, e);
	if (rc == 0 && !empty)
		rc = err_set(e, ERR_CONFLICT, "it is not empty");
	if (rc == 0 && (fchmod(d.fd, 0700) != 0 || mkdirat(d.fd, "blobs", 0700) != 0 || fsync(d.fd) != 0))
		rc = err_errno(e, errno, "mkdir of blobs");
	if (rc == 0)
		rc = open_blobs(&d, e);
	if (rc != 0)
		data_dir_close(&d);
	else
		*ret = d;
	return rc;
}

int data_dir_mark(struct data_dir *d, struct uuid id, struct err *e)
{
	int rc = put_id(d->fd, MARKER, id, e);

	/* what a first start that was interrupted may have left */
	if (rc == 0 && unlinkat(d->fd, FRESH, 0) != 0 && errno != ENOENT)
		rc = err_errno(e, errno, "removal of a file");
	if (rc == 0 && fsync(d->fd) != 0)
		rc = err_errno(e, errno, "fsync");
	if (rc == 0)
		d->id = id;
	return rc;
}

/* ---- for a move ---- */

int data_dir_try_lock(struct data_dir *d, bool *ret, struct err *e)
{
	int rc = take_lock(d, e);

	*ret = rc == 0;
	if (rc == ERR_IN_USE)
		fd_close(&d->lock_fd);
	return rc == ERR_IN_USE ? 0 : rc;
}

static int take_up(struct data_dir *d, struct uuid whose, bool *ret_whole, struct err *e)
{
	bool marked, taking, empty = false;
	struct uuid id = {}, begun = {};
	int rc = read_marker(d->fd, &id, &marked, e);

	d->id = whose;
	*ret_whole = rc == 0 && marked && uuid_eq(id, whose);
	if (rc != 0 || *ret_whole)
		return rc; /* a server may be at work on it */
	rc = take_lock(d, e);
	if (rc == 0)
		rc = read_id(d->fd, TAKING, &begun, &taking, e);
	if (rc == 0 && !marked && !taking)
		rc = is_empty(d->fd, &empty, e);
	if (rc != 0)
		return rc;
	if (marked)
		return err_set(e, ERR_CONFLICT, "it is a data directory of its own: move into a new one");
	if (taking && !uuid_eq(begun, whose))
		return err_set(e, ERR_CONFLICT, "another data directory's move into it has begun and not ended");
	if (!taking && !empty)
		return err_set(e, ERR_CONFLICT, "it is not empty");
	if (!taking)
		rc = put_id(d->fd, TAKING, whose, e);
	if (rc == 0 && ((mkdirat(d->fd, "blobs", 0700) != 0 && errno != EEXIST) || fchmod(d->fd, 0700) != 0))
		rc = err_errno(e, errno, "mkdir of blobs");
	return rc;
}

int data_dir_take_up(struct data_dir *ret, const char *path, struct uuid whose, bool *ret_whole, struct err *e)
{
	struct data_dir d = DATA_DIR_INIT;
	int rc;

	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return err_errno(e, errno, "mkdir");
	d.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d.fd < 0)
		return errno == ENOTDIR ? err_set(e, ERR_CONFLICT, "it is no directory") : err_errno(e, errno, "open");
	rc = take_up(&d, whose, ret_whole, e);
	if (rc == 0)
		rc = open_blobs(&d, e);
	if (rc != 0)
		data_dir_close(&d);
	else
		*ret = d;
	return rc;
}

int data_dir_taken(struct data_dir *d, struct err *e)
{
	int rc = data_dir_mark(d, d->id, e);

	if (rc == 0 && ((unlinkat(d->fd, TAKING, 0) != 0 && errno != ENOENT) || fsync(d->fd) != 0))
		rc = err_errno(e, errno, "removal of " TAKING);
	return rc;
}

void data_dir_close(struct data_dir *d)
{
	fd_close(&d->hold_fd);
	fd_close(&d->audit_fd);
	fd_close(&d->blobs_fd);
	fd_close(&d->fd);
	fd_close(&d->lock_fd); /* last: the lock covers the rest */
}
