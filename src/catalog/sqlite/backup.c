/* Making a snapshot: SQLite's online backup, over one read transaction that lasts from the first page to the last. So the copy is of one moment, a commit meanwhile does not make it
 * begin anew, and the writer is not held up; only its log cannot begin anew until the copy is done.
 *
 * The source is somebody else's: opened for reading, and closed without a checkpoint, because SQLite 3.40 can corrupt a log that two connections checkpoint and restart at once. */
#include "catalog/snapshot.h"
#include "catalog/sqlite/schema.h"
#include "catalog/sqlite/sq.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUSY_MS 10000 /* a server that starts holds the log for a moment while it recovers it */
#define STEP_PAGES 1024 /* 4 MiB between two calls of the progress function */

/* A database of 0 bytes would be read as an empty one. */
static int check_there(const char *path, struct err *e)
{
	struct stat st;

	if (lstat(path, &st) == 0)
		return S_ISREG(st.st_mode) && st.st_size > 0 ? 0 : err_set(e, ERR_DAMAGED, "its catalogue is empty or no regular file");
	return errno == ENOENT ? err_set(e, ERR_DAMAGED, "it has no catalogue") : err_errno(e, errno, "lstat");
}

static int open_source(sqlite3 **ret, const char *path, struct err *e)
{
	sqlite3 *db = NULL;
	int r, rc;

	sq_library();
	rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_busy_timeout(db, BUSY_MS);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db, "PRAGMA mmap_size = 0; BEGIN", NULL, NULL, NULL);
	r = rc == SQLITE_OK ? sq_identify(db, NULL, e) : sq_error(db, rc, e); /* its first read begins the transaction */
	if (r < 0)
		sqlite3_close(db);
	else
		*ret = db;
	return r;
}

/* Nothing is journalled or flushed on the way: the file counts only once it is whole. */
static int open_target(sqlite3 **ret, const char *path, struct err *e)
{
	sqlite3 *db = NULL;
	int r, rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
				    NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF", NULL, NULL, NULL);
	if (rc == SQLITE_OK) {
		*ret = db;
		return 0;
	}
	r = sq_error(db, rc, e);
	sqlite3_close(db);
	return r;
}

static int copy_pages(sqlite3 *to, sqlite3 *from, snapshot_progress_fn *progress, void *arg, struct err *e)
{
	sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");
	bool stopped = false;
	int r = 0, rc = SQLITE_OK;

	if (!b)
		return sq_error(to, sqlite3_extended_errcode(to), e);
	while (rc == SQLITE_OK && !stopped) {
		rc = sqlite3_backup_step(b, STEP_PAGES);
		uint64_t of = (uint64_t)sqlite3_backup_pagecount(b);
		stopped = progress && !progress(arg, of - (uint64_t)sqlite3_backup_remaining(b), of);
	}
	if (rc != SQLITE_OK && rc != SQLITE_DONE)
		r = sq_error(to, rc, e); /* before the end, which forgets errno */
	rc = sqlite3_backup_finish(b);
	if (r == 0 && rc != SQLITE_OK)
		r = sq_error(to, rc, e);
	return r == 0 && stopped ? err_set(e, ERR_CANCELLED, "interrupted before the catalogue was copied") : r;
}

static int flush_file(const char *path, struct err *e)
{
	CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return err_errno(e, errno, "open");
	return fsync(fd) < 0 ? err_errno(e, errno, "fsync") : 0;
}

int catalog_sqlite_backup(const char *dir, const char *to, snapshot_progress_fn *progress, void *arg, struct err *e)
{
	CLEANUP(free_ptr) char *path = NULL;
	sqlite3 *source = NULL, *target = NULL;
	int r;

	if (asprintf(&path, "%s/catalog.db", dir) < 0)
		return err_set(e, ERR_NO_MEMORY, "no memory for a path");
	r = check_there(path, e);
	if (r == 0)
		r = open_source(&source, path, e);
	if (r < 0)
		return r;
	if (unlink(to) < 0 && errno != ENOENT)
		r = err_errno(e, errno, "unlink");
	if (r == 0)
		r = open_target(&target, to, e);
	if (r == 0)
		r = copy_pages(target, source, progress, arg, e);
	sqlite3_close(target);
	sqlite3_close(source);
	return r == 0 ? flush_file(to, e) : r;
}

int sq_open_beside(const char *dir, sqlite3 **ret, int64_t *ret_schema, struct err *e)
{
	CLEANUP(free_ptr) char *path = NULL;

	if (asprintf(&path, "%s/catalog.db", dir) < 0)
		return err_set(e, ERR_NO_MEMORY, "no memory for a path");
	return sq_open_file(path, ret, ret_schema, e);
}

int sq_open_file(const char *path, sqlite3 **ret, int64_t *ret_schema, struct err *e)
{
	sqlite3 *db = NULL;
	int r = check_there(path, e);

	if (r == 0)
		r = open_source(&db, path, e);
	if (r == 0)
		r = sq_identify(db, ret_schema, e);
	if (r < 0)
		sqlite3_close(db);
	else
		*ret = db;
	return r;
}

int catalog_sqlite_audit_head(const char *dir, struct audit_head *ret, struct err *e)
{
	sqlite3 *db;
	int64_t schema = 0;
	int r = sq_open_beside(dir, &db, &schema, e);

	if (r < 0)
		return r;
	int rc = sq_read_audit_head(db, schema, ret);
	r = rc == SQLITE_OK ? 0 : sq_error(db, rc, e);
	sqlite3_close(db);
	return r;
}

int catalog_sqlite_look(const char *dir, struct catalog_look *ret, struct err *e)
{
	struct catalog_look look = {.latest = schema_latest};
	sqlite3 *db;
	int r = sq_open_beside(dir, &db, &look.schema, e);

	if (r < 0)
		return r;
	sqlite3_close(db);
	snprintf(look.server, sizeof(look.server), "SQLite %s", sqlite3_libversion());
	*ret = look;
	return 0;
}
