#include "fault_vfs.h"

#include <sqlite3.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct fault_file {
	sqlite3_file base;
	sqlite3_file *real; /* lies behind this struct */
};

static sqlite3_vfs layer;
static sqlite3_vfs *real_vfs;

static struct {
	enum fault_call call;
	atomic_uint left; /* calls until the failing one; 0 = off */
	int rc;
	bool goes_on;
	atomic_uint hits;
} plan;

void fault_plan(enum fault_call call, unsigned n, int rc, bool goes_on)
{
	plan.call = call;
	plan.rc = rc;
	plan.goes_on = goes_on;
	plan.hits = 0;
	plan.left = n;
}

static atomic_uint calls[FAULT_CALLS];

unsigned fault_calls(enum fault_call call)
{
	return calls[call];
}

unsigned fault_hits(void)
{
	return plan.hits;
}

static int fault(enum fault_call call)
{
	calls[call]++;
	if (plan.left == 0 || plan.call != call)
		return SQLITE_OK;
	if (plan.left > 1) {
		plan.left--;
		return SQLITE_OK;
	}
	plan.hits++;
	if (!plan.goes_on)
		plan.left = 0;
	return plan.rc;
}

static sqlite3_file *real(sqlite3_file *f)
{
	return ((struct fault_file *)f)->real;
}

static int x_close(sqlite3_file *f)
{
	return real(f)->pMethods->xClose(real(f));
}

static int x_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	int rc = fault(FAULT_READ);

	return rc ? rc : real(f)->pMethods->xRead(real(f), p, n, at);
}

/* A write that fails may have written a part. */
static int x_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	int rc = fault(FAULT_WRITE);

	if (!rc)
		return real(f)->pMethods->xWrite(real(f), p, n, at);
	if (n > 1)
		real(f)->pMethods->xWrite(real(f), p, n / 2, at);
	return rc;
}

static int x_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	return real(f)->pMethods->xTruncate(real(f), size);
}

static int x_sync(sqlite3_file *f, int flags)
{
	int rc = fault(FAULT_SYNC);

	return rc ? rc : real(f)->pMethods->xSync(real(f), flags);
}

static int x_file_size(sqlite3_file *f, sqlite3_int64 *size)
{
	return real(f)->pMethods->xFileSize(real(f), size);
}

static int x_lock(sqlite3_file *f, int level)
{
	return real(f)->pMethods->xLock(real(f), level);
}

static int x_unlock(sqlite3_file *f, int level)
{
	return real(f)->pMethods->xUnlock(real(f), level);
}

static int x_check_reserved(sqlite3_file *f, int *ret)
{
	return real(f)->pMethods->xCheckReservedLock(real(f), ret);
}

static int x_control(sqlite3_file *f, int op, void *arg)
{
	return real(f)->pMethods->xFileControl(real(f), op, arg);
}

static int x_sector_size(sqlite3_file *f)
{
	return real(f)->pMethods->xSectorSize(real(f));
}

static int x_characteristics(sqlite3_file *f)
{
	return real(f)->pMethods->xDeviceCharacteristics(real(f));
}

static int x_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **p)
{
	return real(f)->pMethods->xShmMap(real(f), page, size, extend, p);
}

static int x_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
	return real(f)->pMethods->xShmLock(real(f), offset, n, flags);
}

static void x_shm_barrier(sqlite3_file *f)
{
	real(f)->pMethods->xShmBarrier(real(f));
}

static int x_shm_unmap(sqlite3_file *f, int delete_flag)
{
	return real(f)->pMethods->xShmUnmap(real(f), delete_flag);
}

static int x_fetch(sqlite3_file *f, sqlite3_int64 at, int n, void **p)
{
	return real(f)->pMethods->xFetch(real(f), at, n, p);
}

static int x_unfetch(sqlite3_file *f, sqlite3_int64 at, void *p)
{
	return real(f)->pMethods->xUnfetch(real(f), at, p);
}

static const sqlite3_io_methods METHODS = {
	.iVersion = 3,
	.xClose = x_close,
	.xRead = x_read,
	.xWrite = x_write,
	.xTruncate = x_truncate,
	.xSync = x_sync,
	.xFileSize = x_file_size,
	.xLock = x_lock,
	.xUnlock = x_unlock,
	.xCheckReservedLock = x_check_reserved,
	.xFileControl = x_control,
	.xSectorSize = x_sector_size,
	.xDeviceCharacteristics = x_characteristics,
	.xShmMap = x_shm_map,
	.xShmLock = x_shm_lock,
	.xShmBarrier = x_shm_barrier,
	.xShmUnmap = x_shm_unmap,
	.xFetch = x_fetch,
	.xUnfetch = x_unfetch,
};

static int x_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
	struct fault_file *file = (struct fault_file *)f;
	int rc = fault(FAULT_OPEN);

	f->pMethods = NULL;
	if (rc)
		return rc;
	file->real = (sqlite3_file *)(file + 1);
	rc = real_vfs->xOpen(real_vfs, name, file->real, flags, ret_flags);
	if (file->real->pMethods)
		f->pMethods = &METHODS;
	return rc;
}

void fault_install(void)
{
	real_vfs = sqlite3_vfs_find(NULL);
	if (!real_vfs)
		abort();
	layer = *real_vfs;
	layer.zName = "fault";
	layer.pNext = NULL;
	layer.szOsFile = (int)sizeof(struct fault_file) + real_vfs->szOsFile;
	layer.xOpen = x_open;
	if (sqlite3_vfs_register(&layer, 1) != SQLITE_OK)
		abort();
}
