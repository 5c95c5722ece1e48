/* The index of the write-ahead log, catalog.db-shm: a file that SQLite maps and writes to through memory. A page of it for which the disk has
 * no space is no error then but a SIGBUS, and the end of the server.
 *
 * Before it maps what it adds, SQLite 3.40 writes one byte into each 4 KiB. That finds the space where a block has 4 KiB; where it has less
 * (mkfs.ext4 gives small disks blocks of 1 KiB), the other blocks of each page stay holes. So every block is asked for before it is mapped:
 * without space the mapping fails, which is an error like any other.
 *
 * And it is asked for ahead, when a transaction begins: a commit writes its frames first and their places in the index afterwards, and one that
 * fails between the two was refused and would be there after a crash. */
#include "catalog/sqlite/sq.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

/* Fixed by the file format (sqlite.org/walformat.html): regions of this size with places for so many frames each, in the first one fewer. */
#define REGION_BYTES 32768
#define REGION_FRAMES 4096
#define HEAD_FRAMES 34
#define CUT_INDEX_BYTES 3 /* what SQLite leaves of an index, and of nothing else */
/* What a transaction is taken to add at most, 8 MiB. Not more: a catalogue whose log is short works on a full disk with the one region that it
 * cannot do without. Should one add more and find no space, the catalogue is sealed (apply.c). */
#define AHEAD_FRAMES 2048

/* File systems that know no fallocate() have blocks of 4 KiB or more, or their word to give. */
static bool has_space(int fd, off_t offset, size_t len)
{
	int r;

	do
		r = fallocate(fd, FALLOC_FL_KEEP_SIZE, offset, (off_t)len);
	while (r < 0 && errno == EINTR);
	return r == 0 || (errno != ENOSPC && errno != EDQUOT);
}

static void *map_with_space(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	if ((flags & MAP_SHARED) && (prot & PROT_WRITE) && !has_space(fd, offset, len))
		return MAP_FAILED;
	return mmap(addr, len, prot, flags, fd, offset);
}

/* Who begins an index anew cuts off the one that is there and then writes its single bytes: on a disk that a killed server has left full, these would
 * take the blocks that came free in so many pieces that one is needed to list them. So they are taken back at once. Where that fails, the mapping tells. */
static int cut_with_space(int fd, off_t size)
{
	int r = ftruncate(fd, size);

	if (r == 0 && size == CUT_INDEX_BYTES)
		(void)has_space(fd, 0, REGION_BYTES);
	return r;
}

void log_index_setup(void)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);

	if (!vfs || vfs->iVersion < 3)
		return;
	vfs->xSetSystemCall(vfs, "mmap", (sqlite3_syscall_ptr)map_with_space);
	vfs->xSetSystemCall(vfs, "ftruncate", (sqlite3_syscall_ptr)cut_with_space);
}

int log_index_reserve(struct sq *q)
{
	int frames = q->wal_pages + AHEAD_FRAMES, regions = (frames + HEAD_FRAMES - 1) / REGION_FRAMES + 1, rc;
	volatile void *mapped = NULL;
	sqlite3_file *file = NULL;

	if (regions <= q->index_regions)
		return SQLITE_OK;
	rc = sqlite3_file_control(q->db, NULL, SQLITE_FCNTL_FILE_POINTER, &file);
	if (rc != SQLITE_OK)
		return rc;
	errno = 0;
	rc = file->pMethods->xShmMap(file, regions - 1, REGION_BYTES, 1, &mapped);
	if (rc != SQLITE_OK)
		return errno == ENOSPC || errno == EDQUOT ? SQLITE_FULL : rc; /* the connection knows nothing of this errno */
	q->index_regions = regions;
	return SQLITE_OK;
}

bool log_index_failed(int rc)
{
	return rc == SQLITE_IOERR_SHMSIZE || rc == SQLITE_IOERR_SHMMAP;
}
