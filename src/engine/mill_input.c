/* What jobs work on: bytes of small files come out of the catalogue into one buffer, everything else as a read-only descriptor. */
#include "base/fd.h"
#include "engine/engine_impl.h"

#include <assert.h>

static bool same_input(const struct claimed *a, const struct claimed *b)
{
	if (a->blob.p == NULL || b->blob.p == NULL)
		return a->blob.p == b->blob.p && uuid_eq(a->job.file, b->job.file);
	return str_eq(a->blob, b->blob);
}

/* There are no bytes: the file was deleted meanwhile and its blobs with it, or something is wrong. */
static int missing(struct mill_input *in, const struct claimed *c, struct err *e)
{
	CLEANUP(arena_release) struct arena a = ARENA_INIT;
	struct file now;
	int rc = catalog_file(in->g->catalog, (struct file_key){.id = c->job.file}, c->owner, &a, &now, e);

	if (rc == ERR_FILE_NOT_FOUND || rc == ERR_FILE_GONE)
		return err_set(e, ERR_INPUT_GONE, "the file was deleted meanwhile");
	return rc != 0 ? rc : err_set(e, ERR_DAMAGED, "the stored bytes the job was to work on are missing");
}

static int open_inline(struct mill_input *in, const struct claimed *c, struct err *e)
{
	size_t before = in->bytes.len;
	int rc = catalog_inline_bytes(in->g->catalog, c->job.file, &in->bytes, e);

	if (rc == ERR_FILE_NOT_FOUND || rc == ERR_FILE_GONE)
		return missing(in, c, e);
	if (rc == 0 && !buf_ok(&in->bytes))
		rc = err_set(e, ERR_NO_MEMORY, "no memory for the bytes of a file");
	if (rc == 0 && in->bytes.len - before != c->size)
		rc = err_set(e, ERR_DAMAGED, "the stored bytes of this file have another length");
	in->at[in->n] = before;
	return rc;
}

static int open_stored(struct mill_input *in, const struct claimed *c, struct runner_job *r, struct err *e)
{
	CLEANUP(fd_close) int fd = -1;
	uint64_t size;
	int rc = blob_open(in->g->blobs, c->blob, &fd, &size, e);

	if (rc != 0)
		return rc == ERR_NOT_FOUND ? missing(in, c, e) : rc;
	if (size != c->size)
		return err_set(e, ERR_DAMAGED, "the stored bytes of this file have another length");
	r->input_fd = fd_steal(&fd);
	return 0;
}

void mill_input_reserve(struct mill_input *in, size_t bytes)
{
	buf_reserve(&in->bytes, bytes);
}

int mill_input_open(struct mill_input *in, const struct claimed *c, struct runner_job *r, struct err *e)
{
	int rc = 0;

	assert(in->n < RUNNER_BATCH_MAX);
	r->input_fd = -1;
	r->size = c->size;
	if (c->damaged)
		return err_set(e, ERR_DAMAGED, "the stored bytes the job was to work on are damaged");
	if (in->n > 0 && same_input(in->last, c)) {
		r->input_fd = r[-1].input_fd;
		in->at[in->n] = in->at[in->n - 1];
	} else if (c->blob.p == NULL) {
		rc = open_inline(in, c, e);
	} else {
		rc = open_stored(in, c, r, e);
	}
	if (rc == 0) {
		in->last = c;
		in->n++;
	}
	return rc;
}

void mill_input_ready(struct mill_input *in, struct runner_job *r)
{
	for (size_t i = 0; i < in->n; i++)
		if (r[i].input_fd < 0)
			r[i].input = (struct str){in->bytes.p + in->at[i], (size_t)r[i].size};
}

void mill_input_release(struct mill_input *in, struct runner_job *r)
{
	for (size_t i = 0; i < in->n; i++) {
		int fd = r[i].input_fd;
		if (i + 1 == in->n || r[i + 1].input_fd != fd) /* the last of those that share it */
			fd_close(&fd);
	}
	buf_release(&in->bytes);
}
