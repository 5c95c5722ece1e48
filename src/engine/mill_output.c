/* What a job makes: bytes from the runner → SHA-256 and type on the way → a blob of the attempt's own name, on disk before the job's end is handed in.
 *
 * The blob begins with its first byte, so that a job that fails before costs the store nothing. */
#include "engine/engine_impl.h"

#include <stdlib.h>
#include <string.h>

#define LOOK_BYTES (1u << 20) /* a fast writer fills a reserve between two looks of the janitor */

int mill_output_new(struct mill_output **ret, struct engine *g, const struct claimed *c, unsigned digests, struct err *e)
{
	struct mill_output *o = calloc(1, sizeof(*o));
	char id[UUID_TEXT_LEN + 1];

	if (o == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for an output");
	o->g = g;
	uuid_format(id, c->job.id);
	blob_name_for_output(o->name, c->owner, id, c->job.fence, 0);
	int rc = digest_set_new(&o->digest, 1u << DIGEST_SHA256 | digests, e);
	if (rc != 0) {
		free(o);
		return rc;
	}
	*ret = o;
	return 0;
}

static int begin(struct mill_output *o, struct err *e)
{
	return o->writer != NULL ? 0 : blob_create(o->g->blobs, str_of(o->name), 0, &o->writer, e);
}

/* The reserve is for what must be written all the same: ends of jobs, deletes. */
static int check_space(struct mill_output *o, size_t n, struct err *e)
{
	struct engine *g = o->g;

	if (o->writer == NULL || o->size + n - o->looked_at >= LOOK_BYTES) {
		janitor_look_at_space(g);
		o->looked_at = o->size + n;
	}
	return atomic_load(&g->space_low) ? err_set(e, ERR_STORAGE_FULL, "the storage has no free space left above its reserve") : 0;
}

int mill_output_write(void *arg, const void *data, size_t n, struct err *e)
{
	struct mill_output *o = arg;
	int rc = o->code;

	if (rc != 0)
		return err_set(e, rc, "the output could not be stored");
	rc = check_space(o, n, e);
	if (rc == 0)
		rc = begin(o, e);
	if (rc == 0)
		rc = blob_append(o->writer, data, n, e);
	o->code = rc;
	if (rc != 0)
		return rc;
	if (o->n_first < MAGIC_BYTES) {
		size_t take = n < MAGIC_BYTES - o->n_first ? n : MAGIC_BYTES - o->n_first;
		memcpy(o->first + o->n_first, data, take);
		o->n_first += take;
	}
	digest_set_update(o->digest, data, n);
	o->size += n;
	return 0;
}

int mill_output_finish(struct mill_output *o, const struct claimed *c, const struct op *op, struct arena *a, struct err *e)
{
	size_t n;
	int rc = digest_set_finish(o->digest, e);

	if (rc != 0)
		return rc;
	o->row = (struct output){.type = str_of(magic_type(o->first, o->n_first)), .size = o->size, .blob = str_of(o->name)};
	memcpy(o->row.sha256, digest_set_get(o->digest, DIGEST_SHA256, &n), sizeof(o->row.sha256));
	o->row.name = op_output_name(op, c->job.params, c->name, o->row.type, a);
	return o->row.name.p != NULL ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for an output's name");
}

int mill_output_commit(struct mill_output *o, struct err *e)
{
	int rc = begin(o, e); /* an output may be empty */

	if (rc == 0) {
		struct blob_writer *w = o->writer;
		o->writer = NULL;
		rc = blob_commit(w, e);
	}
	o->code = rc;
	o->stored = rc == 0;
	return rc;
}

void mill_output_free(struct mill_output *o)
{
	if (o == NULL)
		return;
	blob_abandon(o->writer);
	digest_set_free(o->digest);
	free(o);
}
