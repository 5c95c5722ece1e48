/* How a sealed op reads its input and writes its output.
 *
 * Reading goes through pread into one piece of memory that the cache holds: a mapping of a file whose disk fails would end in SIGBUS instead of an error. The check of the SHA-256
 * takes the pieces on their way. sealed_all() maps only what was read and checked before, so its pages are there. */
#include "base/fd.h"
#include "ops/ops.h"
#include "runner/child/child.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ALL_SHARE 4 /* sealed_all() takes at most 1/4 of the memory limit */

static int start_check(struct sealed_job *j, struct err *e)
{
	unsigned mask = j->also | 1u << DIGEST_SHA256;
	int r;

	if (j->checking)
		return 0;
	if (!j->piece && !(j->piece = malloc(SEALED_PIECE)))
		return err_set(e, ERR_NO_MEMORY, "no memory to read the input");
	r = j->check ? digest_set_reset(j->check, mask, e) : digest_set_new(&j->check, mask, e);
	if (r < 0)
		return r;
	j->checking = true;
	j->at = 0;
	return 0;
}

static int finish_check(struct sealed_job *j, struct err *e)
{
	size_t n;
	int r;

	if (j->checked)
		return 0;
	if ((r = digest_set_finish(j->check, e)) < 0)
		return r;
	if (memcmp(digest_set_get(j->check, DIGEST_SHA256, &n), j->sha256, sizeof(j->sha256)) != 0)
		return err_set(e, ERR_DAMAGED, "the input's bytes do not match their digest");
	j->checked = true;
	return 0;
}

static int read_at(struct sealed_job *j, void *dst, size_t n, uint64_t at, struct err *e)
{
	ssize_t got = fd_pread_full(j->input_fd, dst, n, (off_t)(j->offset + at));

	if (got < 0)
		return err_set(e, ERR_IO, "reading the input: %s", strerrordesc_np(errno));
	if ((size_t)got < n)
		return err_set(e, ERR_DAMAGED, "the input is shorter than it should be");
	return 0;
}

int sealed_next(struct sealed_job *j, const void **ret, size_t *ret_n, struct err *e)
{
	int r = start_check(j, e);

	if (r < 0)
		return r;
	if (j->at == j->size)
		return finish_check(j, e);
	size_t n = j->size - j->at < SEALED_PIECE ? (size_t)(j->size - j->at) : SEALED_PIECE;
	if ((r = read_at(j, j->piece, n, j->at, e)) < 0)
		return r;
	digest_set_update(j->check, j->piece, n);
	j->at += n;
	if (j->told_ms != 0)
		progress_tell(j->channel, j->serial, &j->told_ms, (unsigned)(j->at * 1000 / j->size));
	*ret = j->piece;
	*ret_n = n;
	return 1;
}

int sealed_check(struct sealed_job *j, struct err *e)
{
	const void *piece;
	size_t n;
	int r;

	do
		r = sealed_next(j, &piece, &n, e);
	while (r > 0);
	return r;
}

int sealed_all(struct sealed_job *j, const void **ret, struct err *e)
{
	size_t skip = (size_t)(j->offset % (uint64_t)sysconf(_SC_PAGESIZE));
	void *map;
	int r;

	if (j->size > j->limits.memory / ALL_SHARE) {
		err_set(e, ERR_LIMIT_MEMORY, "the input is larger than this op may hold in memory");
		return err_limit(e, (int64_t)(j->limits.memory / ALL_SHARE));
	}
	j->told_ms = 0; /* the work only begins when all is read */
	if ((r = sealed_check(j, e)) < 0)
		return r;
	if (j->size == 0) {
		*ret = "";
		return 0;
	}
	if (!j->map) {
		map = mmap(NULL, (size_t)j->size + skip, PROT_READ, MAP_PRIVATE | MAP_POPULATE, j->input_fd, (off_t)(j->offset - skip));
		if (map == MAP_FAILED)
			return err_set(e, errno == ENOMEM ? ERR_LIMIT_MEMORY : ERR_IO, "mapping the input: %s", strerrordesc_np(errno));
		j->map = map;
		j->map_size = (size_t)j->size + skip;
		j->map_skip = skip;
	}
	*ret = (const char *)j->map + j->map_skip;
	return 0;
}

int sealed_first(struct sealed_job *j, void *dst, size_t max, size_t *ret_n, struct err *e)
{
	size_t n = j->size < max ? (size_t)j->size : max;
	int r = read_at(j, dst, n, 0, e);

	if (r < 0)
		return r;
	*ret_n = n;
	return 0;
}

int sealed_write(struct sealed_job *j, const void *data, size_t n, struct err *e)
{
	assert(j->output_fd >= 0);
	if (n > j->limits.output_max - j->written) {
		err_set(e, ERR_LIMIT_OUTPUT, "the output is larger than allowed");
		return err_limit(e, (int64_t)j->limits.output_max);
	}
	if (fd_write_all(j->output_fd, data, n) < 0)
		return err_set(e, ERR_IO, "writing the output: %s", strerrordesc_np(errno));
	j->written += n;
	return 0;
}

void sealed_reset(struct sealed_job *j)
{
	void *piece = j->piece;
	struct digest_set *check = j->check;
	struct buf result = j->result;

	if (j->map)
		munmap(j->map, j->map_size);
	buf_reset(&result);
	*j = (struct sealed_job){.input_fd = -1, .output_fd = -1, .piece = piece, .check = check, .result = result};
}

void sealed_release(struct sealed_job *j)
{
	sealed_reset(j);
	free(j->piece);
	digest_set_free(j->check);
	buf_release(&j->result);
	*j = (struct sealed_job){.input_fd = -1, .output_fd = -1};
}
