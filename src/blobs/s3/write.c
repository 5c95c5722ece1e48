/* Writing: bytes gather in a part; a full part leaves while the next one fills; a blob that fits into one part is one PUT at its end.
 *
 * Nothing is there under the name before the commit, and what was begun is given up by a request that nobody waits for, or by the sweep. A name is taken from its creation on
 * within this process; between processes the service tells at the commit, which is early enough: a name is made once. */
#include "blobs/s3/write_impl.h"

#include <stdlib.h>
#include <string.h>

#define PARTS_WANTED 9000 /* for a size that is known: some are left should it be wrong */

static struct s3_writer *writer_of(struct blob_writer *w)
{
	return (struct s3_writer *)w;
}

/* ---- the names being written ---- */

/* With the lock held. */
static struct s3_writer *find_writer(struct s3 *s, struct str name)
{
	struct s3_writer *w = s->writers;

	while (w && (w->removed || !str_eq(str_of(w->name), name)))
		w = w->next;
	return w;
}

void s3_tell_removed(struct s3 *s, struct str name)
{
	pthread_mutex_lock(&s->lock);
	struct s3_writer *w = find_writer(s, name);
	if (w)
		w->removed = true;
	pthread_mutex_unlock(&s->lock);
}

bool s3_writes_upload(struct s3 *s, struct str upload_id)
{
	struct s3_writer *w;

	pthread_mutex_lock(&s->lock);
	for (w = s->writers; w && !str_eq(buf_str(&w->upload_id), upload_id); w = w->next)
		;
	pthread_mutex_unlock(&s->lock);
	return w != NULL;
}

static int enter(struct s3_writer *w, struct err *e)
{
	struct s3 *s = w->s;

	pthread_mutex_lock(&s->lock);
	const bool taken = find_writer(s, str_of(w->name)) != NULL;
	if (!taken) {
		w->next = s->writers;
		s->writers = w;
	}
	pthread_mutex_unlock(&s->lock);
	return taken ? err_set(e, ERR_CONFLICT, "the blob exists already") : 0;
}

/* Whether the name was removed while it was written. */
static bool leave(struct s3_writer *w)
{
	struct s3_writer **at = &w->s->writers;

	pthread_mutex_lock(&w->s->lock);
	while (*at && *at != w)
		at = &(*at)->next;
	if (*at)
		*at = w->next;
	const bool removed = w->removed;
	pthread_mutex_unlock(&w->s->lock);
	return removed;
}

static void free_writer(struct s3_writer *w)
{
	parts_drop(w);
	digest_set_free(w->digest);
	buf_release(&w->upload_id);
	buf_release(&w->sent);
	free(w);
}

/* ---- the operations ---- */

/* Whole MiB, the same for all parts: some services want that. */
static uint64_t part_bytes_for(const struct s3 *s, uint64_t size_hint)
{
	const uint64_t mib = (uint64_t)1 << 20;
	const uint64_t n = size_hint / PARTS_WANTED;

	if (n < s->part_bytes)
		return s->part_bytes;
	return n < S3_PART_BYTES_MAX - mib ? n / mib * mib + mib : S3_PART_BYTES_MAX;
}

int s3_create(struct blobs *b, struct str name, uint64_t size_hint, struct blob_writer **ret, struct err *e)
{
	struct s3_writer *w = calloc(1, sizeof(*w));
	int rc;

	if (!w)
		return err_set(e, ERR_NO_MEMORY, "no memory for a writer");
	w->s = s3_of(b);
	memcpy(w->name, name.p, name.len);
	s3_token(w->s, w->token);
	/* A size nobody can have is no size. */
	w->part_bytes = part_bytes_for(w->s, size_hint > (uint64_t)PARTS_MAX * S3_PART_BYTES_MAX ? 0 : size_hint);
	rc = s3_learn(w->s, &w->powers, e);
	if (rc == 0)
		rc = enter(w, e);
	if (rc != 0) {
		free_writer(w);
		return rc;
	}
	*ret = &w->base;
	return 0;
}

int s3_create_copy(struct blobs *b, struct str name, const struct blob_origin *from, struct blob_writer **ret, struct err *e)
{
	int rc = s3_create(b, name, 0, ret, e);

	if (rc == 0)
		writer_of(*ret)->origin = *from;
	return rc;
}

/* What a copy will have is known by its origin. */
static int count(struct s3_writer *w, size_t n, struct err *e)
{
	if (n > w->origin.size - w->size)
		return err_set(e, ERR_IO, "more bytes were read of a blob than it has");
	w->size += n;
	return 0;
}

int s3_append_digesting(struct blob_writer *base, const void *data, size_t n, struct digest_set *d, struct err *e)
{
	struct s3_writer *w = writer_of(base);
	const char *p = data;

	if (w->origin.tag[0]) {
		if (d)
			digest_set_update(d, data, n);
		return count(w, n, e);
	}
	while (n > 0) {
		uint64_t taken = 0;
		int rc = 0;

		/* Not before there is more: a blob of just one part is one PUT. */
		if (w->filling && w->filling->len == w->part_bytes)
			rc = part_send(w, e);
		if (rc == 0)
			rc = part_fill(w, p, n, d, &taken, e);
		if (rc != 0)
			return rc;
		p += taken;
		n -= taken;
		w->size += taken;
	}
	return parts_wait(w, w->s->parts_at_once, e);
}

int s3_append(struct blob_writer *base, const void *data, size_t n, struct err *e)
{
	return s3_append_digesting(base, data, n, NULL, e);
}

static void give_up_upload(struct s3_writer *w)
{
	struct s3_request r = {.method = STR("DELETE"), .name = str_of(w->name)};

	if (w->upload_id.len == 0)
		return;
	s3_add_query(&r, "uploadId", buf_str(&w->upload_id));
	s3_send_and_forget(w->s, &r);
}

void s3_abandon(struct blob_writer *base)
{
	struct s3_writer *w = writer_of(base);

	parts_drop(w); /* before the upload is given up: a part that arrives behind that would stay */
	give_up_upload(w);
	leave(w);
	free_writer(w);
}

int s3_commit(struct blob_writer *base, struct err *e)
{
	struct s3_writer *w = writer_of(base);
	int rc;

	pthread_mutex_lock(&w->s->lock);
	const bool removed = w->removed;
	pthread_mutex_unlock(&w->s->lock);
	if (removed)
		rc = err_set(e, ERR_CONFLICT, "the blob was removed while it was written");
	else if (w->origin.tag[0])
		rc = complete_copy(w, e);
	else
		rc = w->upload_id.len > 0 ? complete_parts(w, e) : complete_single(w, e);
	if (rc != 0) {
		s3_abandon(base);
		return rc;
	}
	/* The removal may have come before the object was there. */
	if (leave(w)) {
		rc = s3_delete(w->s, str_of(w->name), NULL);
		rc = err_set(e, rc == 0 ? ERR_CONFLICT : rc, "the blob was removed while it was written");
	}
	free_writer(w);
	return rc;
}
