#include "catalog/sqlite/sq.h"

#include <errno.h>

bool sq_flush_failed(int rc)
{
	return rc == SQLITE_IOERR_FSYNC || rc == SQLITE_IOERR_DIR_FSYNC;
}

/* SQLite says SQLITE_FULL for ENOSPC on a write only; elsewhere (growing the -shm file, creating a file, a quota) errno tells. */
bool sq_no_space(sqlite3 *db, int rc)
{
	int primary = rc & 0xff, system_errno;

	if (primary == SQLITE_FULL)
		return true;
	if ((primary != SQLITE_IOERR && primary != SQLITE_CANTOPEN) || sq_flush_failed(rc) || !db)
		return false;
	system_errno = sqlite3_system_errno(db);
	return system_errno == ENOSPC || system_errno == EDQUOT;
}

static int code_of(sqlite3 *db, int rc)
{
	if (rc == SQLITE_IOERR_NOMEM || sq_no_space(db, rc))
		return rc == SQLITE_IOERR_NOMEM ? ERR_NO_MEMORY : ERR_STORAGE_FULL;
	switch (rc & 0xff) {
	case SQLITE_NOMEM:
		return ERR_NO_MEMORY;
	case SQLITE_READONLY:
	case SQLITE_PERM:
		return ERR_STORAGE_READONLY;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_FORMAT:
		return ERR_DAMAGED;
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
		return ERR_IO;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return ERR_CATALOG_UNAVAILABLE;
	default:
		return ERR_INTERNAL;
	}
}

int sq_error(sqlite3 *db, int rc, struct err *e)
{
	return err_set(e, code_of(db, rc), "the catalogue: %s (%d)", sqlite3_errstr(rc), rc);
}
