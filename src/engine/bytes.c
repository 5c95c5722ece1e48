/* The bytes of files and outputs, for who sends them on: out of the catalogue, out of a file, or as they come from a store whose blobs are none. */
#include "base/fd.h"
#include "engine/engine_impl.h"

void engine_bytes_release(struct engine_bytes *b)
{
	fd_close(&b->fd);
	blob_read_close(b->reader);
	b->reader = NULL;
	buf_release(&b->inlined);
}

/* There are no bytes: the file was deleted after the caller read its row, or something is wrong. */
static int no_bytes(struct engine *g, const struct file *f, struct err *e)
{
	CLEANUP(arena_release) struct arena a = ARENA_INIT;
	struct file now;
	int rc = catalog_file(g->catalog, (struct file_key){.id = f->id}, f->owner, &a, &now, e);

	return rc != 0 ? rc : err_set(e, ERR_DAMAGED, "the stored bytes of this file are missing");
}

/* Its import, the first of its jobs, has not succeeded. */
static int not_ready(const struct file *f, struct err *e)
{
	const struct job *import = f->n_jobs > 0 ? &f->jobs[0] : NULL;

	if (import == NULL || !job_state_final(import->state))
		return err_set(e, ERR_FILE_NOT_READY, "the file's import has not ended yet");
	return err_set(e, ERR_FILE_NOT_READY, "the file's import ended without its bytes: %s%s%.120s", job_state_name(import->state),
		       import->error_detail.len > 0 ? ": " : "", import->error_detail.len > 0 ? import->error_detail.p : "");
}

static int open_blob(struct engine *g, struct str name, struct engine_part part, struct engine_bytes *ret, uint64_t *ret_size,
		     struct err *e)
{
	if (blobs_are_files(g->blobs))
		return blob_open(g->blobs, name, &ret->fd, ret_size, e);
	/* All of an empty blob is no range of it. */
	return blob_read_open(g->blobs, name, part.first, part.length > 0 ? part.length : UINT64_MAX, &ret->reader, ret_size, e);
}

int engine_open_content(struct engine *g, const struct file *f, struct engine_part part, struct engine_bytes *ret, struct err *e)
{
	struct engine_bytes b = ENGINE_BYTES_INIT;
	char id[UUID_TEXT_LEN + 1], name[BLOB_NAME_MAX + 1];
	uint64_t size;

	if (f->damaged_at)
		return err_set(e, ERR_DAMAGED, "the stored bytes of this file are not those that were acknowledged");
	if (f->location == LOCATION_COMING)
		return not_ready(f, e);
	if (f->location == LOCATION_INLINE) {
		int rc = catalog_inline_bytes(g->catalog, f->id, &b.inlined, e);
		if (rc != 0)
			engine_bytes_release(&b);
		else
			*ret = b;
		return rc;
	}
	uuid_format(id, f->id);
	blob_name_for_file(name, f->owner, id);
	int rc = open_blob(g, f->location == LOCATION_IMPORTED ? f->blob : str_of(name), part, &b, &size, e);
	if (rc != 0)
		return rc == ERR_NOT_FOUND ? no_bytes(g, f, e) : rc;
	if (size != f->size) {
		engine_bytes_release(&b);
		return err_set(e, ERR_DAMAGED, "the stored bytes of this file have another length");
	}
	*ret = b;
	return 0;
}

int engine_open_output(struct engine *g, const struct output *o, struct engine_part part, struct engine_bytes *ret, struct err *e)
{
	struct engine_bytes b = ENGINE_BYTES_INIT;
	uint64_t size;

	if (o->damaged_at)
		return err_set(e, ERR_DAMAGED, "the stored bytes of this output are not those that were made");
	int rc = open_blob(g, o->blob, part, &b, &size, e);
	if (rc != 0)
		return rc == ERR_NOT_FOUND ? err_set(e, ERR_OUTPUT_NOT_FOUND, "the output went with its file") : rc;
	if (size != o->size) {
		engine_bytes_release(&b);
		return err_set(e, ERR_DAMAGED, "the stored bytes of this output have another length");
	}
	*ret = b;
	return 0;
}
