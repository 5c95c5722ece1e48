/* A disk that writes a diary: `disklog IMAGE DIARY MOUNTPOINT` mounts a folder with two files.
 *
 *	disk   as large as IMAGE, holding its bytes at first; what is written to it stays in memory and goes into the diary, flushes too
 *	mark   a number written here goes into the diary, at the place where it belongs among the writes and flushes
 *
 * A loop device on `disk` carries a file system; the diary then tells every state the disk may have after a power cut (states.py). One thread: the diary's order is the order
 * in which calls ended. Ends when it is unmounted. Needs libfuse 3. */
#define FUSE_USE_VERSION 35
#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum entry_kind { ENTRY_WRITE = 1, ENTRY_FLUSH = 2, ENTRY_MARK = 3 };

struct entry { /* in the diary, host order; a write's bytes follow */
	uint32_t kind, length;
	uint64_t at; /* a write's offset, a mark's number */
};

static char *image;
static off_t image_size;
static FILE *diary;

static int note(enum entry_kind kind, uint64_t at, const void *bytes, size_t n)
{
	struct entry e = {.kind = kind, .length = (uint32_t)n, .at = at};
	int wrong = fwrite(&e, sizeof(e), 1, diary) != 1;

	if (n > 0)
		wrong |= fwrite(bytes, 1, n, diary) != n;
	if (kind != ENTRY_WRITE)
		wrong |= fflush(diary) != 0;
	return wrong ? -EIO : 0;
}

static int is_disk(const char *path)
{
	return strcmp(path, "/disk") == 0;
}

static int disk_getattr(const char *path, struct stat *st, struct fuse_file_info *f)
{
	memset(st, 0, sizeof(*st));
	st->st_nlink = 1;
	st->st_mode = S_IFREG | 0600;
	if (is_disk(path)) {
		st->st_size = image_size;
		return 0;
	}
	if (strcmp(path, "/mark") == 0)
		return 0;
	st->st_mode = S_IFDIR | 0700;
	return strcmp(path, "/") == 0 ? 0 : -ENOENT;
}

static int disk_open(const char *path, struct fuse_file_info *f)
{
	f->direct_io = !is_disk(path);
	return 0;
}

static int disk_read(const char *path, char *dst, size_t n, off_t at, struct fuse_file_info *f)
{
	if (!is_disk(path) || at >= image_size)
		return 0;
	if (n > (size_t)(image_size - at))
		n = (size_t)(image_size - at);
	memcpy(dst, image + at, n);
	return (int)n;
}

static int disk_write(const char *path, const char *src, size_t n, off_t at, struct fuse_file_info *f)
{
	int rc;

	if (!is_disk(path)) {
		char number[24] = "";
		memcpy(number, src, n < sizeof(number) - 1 ? n : sizeof(number) - 1);
		rc = note(ENTRY_MARK, strtoull(number, NULL, 10), NULL, 0);
		return rc != 0 ? rc : (int)n;
	}
	if (at > image_size || n > (size_t)(image_size - at))
		return -ENOSPC;
	memcpy(image + at, src, n);
	rc = note(ENTRY_WRITE, (uint64_t)at, src, n);
	return rc != 0 ? rc : (int)n;
}

static int disk_fsync(const char *path, int data_only, struct fuse_file_info *f)
{
	return is_disk(path) ? note(ENTRY_FLUSH, 0, NULL, 0) : 0;
}

static int disk_truncate(const char *path, off_t size, struct fuse_file_info *f)
{
	return 0; /* what opens `mark` for writing asks for it */
}

static void disk_end(void *context)
{
	fclose(diary);
}

int main(int argc, char **argv)
{
	const struct fuse_operations operations = {.getattr = disk_getattr,
						   .open = disk_open,
						   .read = disk_read,
						   .write = disk_write,
						   .fsync = disk_fsync,
						   .truncate = disk_truncate,
						   .destroy = disk_end};

	if (argc != 4) {
		fprintf(stderr, "usage: disklog IMAGE DIARY MOUNTPOINT\n");
		return 2;
	}
	int fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	image_size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	if (image_size > 0)
		image = mmap(NULL, (size_t)image_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
	diary = fopen(argv[2], "wbe");
	if (image_size <= 0 || image == MAP_FAILED || diary == NULL) {
		perror("disklog");
		return 1;
	}
	char *args[] = {argv[0], argv[3], "-s", "-f", NULL};
	return fuse_main(4, args, &operations, NULL);
}
