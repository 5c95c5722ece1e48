/* A blob that is there already is kept without a look when the earlier backup refers to it: then it was whole and flushed. One that is not of that backup was left by one that was interrupted,
 * and is read. So is what the catalogue calls damaged: an earlier backup may have the right bytes, and the wrong ones are not brought.
 *
 * From a store in a directory blobs come one after the other, where it can be by a second name. From a bucket they come many at once, and what is to be kept is not asked for there. */
#include "app/backup_bytes.h"
#include "app/carry.h"
#include "app/store.h"
#include "base/fd.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define THREADS 8
#define BATCH 256 /* blobs fetched between two looks at the snapshot */

/* ---- beside each other ---- */

static bool same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* Whether what the backup has under this name can stay; `source` is the blob itself, -1 when it cannot be had. */
static int judge_kept(struct backup_bytes *b, int there, int source, const struct snapshot_blob *blob, enum blob_state *ret, struct err *e)
{
	bool trusted = false;
	int rc = b->last != NULL ? snapshot_refers(b->last, blob->name, &trusted, e) : 0;

	if (rc != 0)
		return rc;
	trusted |= source >= 0 && same_file(there, source);
	if (b->verify || blob->damaged || !trusted)
		return transfer_check(b->transfer, there, blob, ret, e);
	*ret = BLOB_GOOD;
	return 0;
}

/* BLOB_GOOD: it is in the backup and stays there. Otherwise nothing of that name is. */
static int keep(struct backup_bytes *b, int source, const struct snapshot_blob *blob, enum blob_state *ret, struct err *e)
{
	CLEANUP(fd_close) int there = -1;
	int rc = transfer_open(b->to, blob, &there, ret, e);

	if (rc == 0 && *ret == BLOB_GOOD)
		rc = judge_kept(b, there, source, blob, ret, e);
	if (rc != 0 || *ret != BLOB_BAD)
		return rc;
	*ret = BLOB_GONE;
	return blob_remove(b->to, blob->name, e);
}

static int bring_bytes(struct backup_bytes *b, int source, const struct snapshot_blob *blob, enum blob_state *ret, struct err *e)
{
	struct err why = ERR_INIT;
	int rc;

	*ret = BLOB_GOOD;
	if (b->link && (b->verify || blob->damaged)) {
		rc = transfer_check(b->transfer, source, blob, ret, e);
		if (rc != 0 || *ret != BLOB_GOOD)
			return rc;
	}
	rc = b->link ? blobs_local_link(b->to, b->from, blob->name, &why) : ERR_NOT_IMPLEMENTED;
	if (rc == 0) {
		b->linked++;
		return 0;
	}
	/* Gone since it was opened: the descriptor still has its bytes. */
	if (rc != ERR_NOT_IMPLEMENTED && rc != ERR_NOT_FOUND) {
		if (e)
			*e = why;
		return rc;
	}
	b->link &= rc != ERR_NOT_IMPLEMENTED;
	rc = transfer_copy(b->transfer, source, b->to, blob, true, ret, e);
	b->copied += rc == 0 && *ret == BLOB_GOOD;
	return rc;
}

static int bring(struct backup_bytes *b, const struct snapshot_blob *blob, struct err *e)
{
	CLEANUP(fd_close) int source = -1;
	enum blob_state state, kept = BLOB_GONE;
	int rc = transfer_open(b->from, blob, &source, &state, e);

	if (rc == 0)
		rc = keep(b, source, blob, &kept, e);
	if (rc != 0)
		return rc;
	if (kept == BLOB_GOOD) {
		b->kept++;
		state = BLOB_GOOD;
	} else if (state == BLOB_GOOD) {
		rc = bring_bytes(b, source, blob, &state, e);
	}
	if (rc == 0)
		transfer_done(b->transfer, blob, state);
	return rc;
}

/* ---- from a bucket ---- */

struct fetched {
	char name[BLOB_NAME_MAX + 1];
	struct snapshot_blob blob; /* its name is the one above */
	enum blob_state state;
};

struct bringing {
	struct backup_bytes *b;
	struct fetched *list; /* BATCH of them; NULL: the source is a directory */
	size_t n;
	struct err *e;
};

/* The bucket did not give it. Where it gives other things, this one is lacking; else all of them would be, and the backup ends. */
static int not_given(const struct backup_bytes *b, struct fetched *f, int code, struct err *e)
{
	struct err away = ERR_INIT;

	if (code == ERR_NO_MEMORY || code == ERR_CANCELLED || store_answers(b->from, &away) != 0)
		return code;
	f->state = BLOB_UNREADABLE;
	return 0;
}

static int write_fetched(const struct backup_bytes *b, struct carrier *c, struct fetched *f, struct blob_reader *r, struct err *e)
{
	struct blob_writer *w;
	uint64_t bytes;
	bool ours = false;
	int rc = blob_create(b->to, f->blob.name, f->blob.size, &w, e);

	if (rc != 0)
		return rc;
	rc = carrier_pour(c, r, w, &bytes, &ours, e);
	if (rc == 0 && carrier_has(c, f->blob.sha256, f->blob.size, bytes)) {
		f->state = BLOB_GOOD;
		return blobs_local_settle(w, e);
	}
	blob_abandon(w);
	if (rc != 0 && !ours)
		return not_given(b, f, rc, e);
	return rc; /* of 0 the bytes are others than the row says */
}

static int fetch(void *arg, struct carrier *c, size_t i, struct err *e)
{
	const struct bringing *v = arg;
	struct fetched *f = &v->list[i];
	struct blob_reader *r;
	uint64_t size;
	int rc = blob_read_open(v->b->from, f->blob.name, 0, UINT64_MAX, &r, &size, e);

	if (rc == ERR_NOT_FOUND || rc == ERR_BAD_NAME) {
		f->state = BLOB_GONE;
		return 0;
	}
	if (rc != 0)
		return not_given(v->b, f, rc, e);
	f->state = BLOB_BAD;
	rc = size == f->blob.size ? write_fetched(v->b, c, f, r, e) : 0;
	blob_read_close(r);
	return rc;
}

static int fetch_all(struct bringing *v)
{
	int rc = carry_each(THREADS, v->n, fetch, v, v->e);

	for (size_t i = 0; rc == 0 && i < v->n; i++) {
		v->b->copied += v->list[i].state == BLOB_GOOD;
		transfer_done(v->b->transfer, &v->list[i].blob, v->list[i].state);
	}
	v->n = 0;
	return rc;
}

static int bring_from_afar(struct bringing *v, const struct snapshot_blob *blob)
{
	struct fetched *f = &v->list[v->n];
	enum blob_state kept = BLOB_GONE;
	int rc = keep(v->b, -1, blob, &kept, v->e);

	if (rc != 0)
		return rc;
	if (kept == BLOB_GOOD || !blob_name_valid(blob->name)) {
		v->b->kept += kept == BLOB_GOOD;
		transfer_done(v->b->transfer, blob, kept);
		return 0;
	}
	memcpy(f->name, blob->name.p, blob->name.len);
	f->name[blob->name.len] = '\0';
	f->blob = *blob;
	f->blob.name.p = f->name;
	return ++v->n < BATCH ? 0 : fetch_all(v);
}

/* ---- all ---- */

static int bring_visit(void *arg, const struct snapshot_blob *blob)
{
	struct bringing *v = arg;
	int rc = transfer_goes_on(v->b->transfer, v->e);

	if (rc != 0)
		return rc;
	return v->list != NULL ? bring_from_afar(v, blob) : bring(v->b, blob, v->e);
}

int backup_bytes_bring(struct backup_bytes *b, struct snapshot *now, struct err *e)
{
	struct bringing v = {.b = b, .e = e};

	if (!blobs_are_files(b->from)) {
		v.list = calloc(BATCH, sizeof(*v.list));
		if (v.list == NULL)
			return err_set(e, ERR_NO_MEMORY, "no memory for a list of blobs");
	}
	int rc = snapshot_blobs(now, bring_visit, &v, e);
	if (rc == 0 && v.n > 0)
		rc = fetch_all(&v);
	free(v.list);
	return rc;
}
