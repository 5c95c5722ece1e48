/* filemill backup: blobs are held, the catalogue is copied as of one moment, every blob it refers to is brought, all is flushed, and only then it takes the place of the earlier
 * backup; what that had beyond is removed last (app/place.h, docs/adr/0020).
 *
 * A blob that is there already is kept without a look when the earlier backup refers to it: then it was whole and flushed. One that is not of that backup was left by
 * one that was interrupted, and is read. So is what the catalogue calls damaged: an earlier backup may have the right bytes, and the wrong ones are not brought. */
#include "app/backup.h"
#include "app/audit_copy.h"
#include "app/catalogue.h"
#include "app/data_dir.h"
#include "app/place.h"
#include "app/store.h"
#include "app/transfer.h"
#include "base/fd.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct job {
	const struct backup_options *o;
	struct data_dir data;
	struct place place;
	struct snapshot *last, *now; /* last: of the earlier backup, NULL = none that is whole */
	struct blobs *from, *to;
	struct transfer transfer;
	bool link; /* until it turns out that it cannot be done */
	uint64_t copied, linked, kept, removed;
};

/* ---- one blob ---- */

static bool same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* Whether what the backup has under this name can stay; `source` is the blob itself, -1 when it cannot be had. */
static int judge_kept(struct job *b, int there, int source, const struct snapshot_blob *blob, enum blob_state *ret, struct err *e)
{
	bool trusted = false;
	int rc = b->last != NULL ? snapshot_refers(b->last, blob->name, &trusted, e) : 0;

	if (rc != 0)
		return rc;
	trusted |= source >= 0 && same_file(there, source);
	if (b->o->verify || blob->damaged || !trusted)
		return transfer_check(&b->transfer, there, blob, ret, e);
	*ret = BLOB_GOOD;
	return 0;
}

/* BLOB_GOOD: it is in the backup and stays there. Otherwise nothing of that name is. */
static int keep(struct job *b, int source, const struct snapshot_blob *blob, enum blob_state *ret, struct err *e)
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

static int bring_bytes(struct job *b, int source, const struct snapshot_blob *blob, enum blob_state *ret, struct err *e)
{
	struct err why = ERR_INIT;
	int rc;

	*ret = BLOB_GOOD;
	if (b->link && (b->o->verify || blob->damaged)) {
		rc = transfer_check(&b->transfer, source, blob, ret, e);
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
	rc = transfer_copy(&b->transfer, source, b->to, blob, true, ret, e);
	b->copied += rc == 0 && *ret == BLOB_GOOD;
	return rc;
}

static int bring(void *arg, const struct snapshot_blob *blob, struct err *e)
{
	struct job *b = arg;
	CLEANUP(fd_close) int source = -1;
	enum blob_state state, kept = BLOB_GONE;
	int rc = transfer_goes_on(&b->transfer, e);

	if (rc == 0)
		rc = transfer_open(b->from, blob, &source, &state, e);
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
		transfer_done(&b->transfer, blob, state);
	return rc;
}

struct bringing {
	struct job *b;
	struct err *e;
};

static int bring_visit(void *arg, const struct snapshot_blob *blob)
{
	const struct bringing *v = arg;

	return bring(v->b, blob, v->e);
}

/* ---- what is too much ---- */

struct pruning {
	struct job *b;
	struct snapshot *keep; /* NULL: nothing */
	struct err *e;
};

static int prune_visit(void *arg, struct str name, uint64_t size)
{
	const struct pruning *v = arg;
	bool referenced = false;
	int rc = v->keep != NULL ? snapshot_refers(v->keep, name, &referenced, v->e) : 0;

	if (rc != 0 || referenced)
		return rc;
	v->b->removed++;
	return blob_remove(v->b->to, name, v->e);
}

static int prune(struct job *b, struct snapshot *keep, struct err *e)
{
	struct pruning v = {.b = b, .keep = keep, .e = e};

	return blobs_visit(b->to, prune_visit, &v, e);
}

/* ---- in order ---- */

static int open_snapshot(struct job *b, const char *name, struct snapshot **ret, struct err *e)
{
	CLEANUP(free_ptr) char *path = place_path(&b->place, name);

	return path != NULL ? snapshot_open(ret, path, e) : err_set(e, ERR_NO_MEMORY, "no memory for a path");
}

static int open_all(struct job *b, const struct settings *s, struct err *e)
{
	int rc = catalogue_need_embedded(s, e);

	if (rc != 0)
		return rc;
	rc = data_dir_look(&b->data, s->data_dir, e);
	if (rc == 0)
		rc = data_dir_hold_blobs(&b->data, e);
	if (rc == 0)
		rc = store_must_be_local(s, &b->data, "a backup", e);
	if (rc == 0)
		rc = blobs_local_new(&b->from, &env_real, b->data.blobs_fd, e);
	if (rc != 0)
		return err_wrap(e, "data directory %.100s", s->data_dir);
	rc = place_open_backup(&b->place, b->o->target, b->data.id, e);
	if (rc == 0)
		rc = blobs_local_new(&b->to, &env_real, b->place.blobs_fd, e);
	if (rc == 0 && b->place.damaged) {
		transfer_clear(&b->transfer);
		fputs("filemill: the earlier backup there is damaged; every blob of it is read\n", stderr);
	}
	if (rc == 0 && b->place.whole)
		rc = open_snapshot(b, PLACE_CATALOG, &b->last, e);
	return rc == 0 ? 0 : err_wrap(e, "backup folder %.100s", b->o->target);
}

static int take_catalogue(struct job *b, const struct settings *s, struct err *e)
{
	CLEANUP(free_ptr) char *path = place_path(&b->place, PLACE_CATALOG_NEW);
	int rc = path != NULL ? catalog_sqlite_backup(s->data_dir, path, transfer_catalog, &b->transfer, e)
			      : err_set(e, ERR_NO_MEMORY, "no memory for a path");

	if (rc == 0)
		rc = snapshot_open(&b->now, path, e);
	if (rc == 0 && b->o->verify)
		rc = snapshot_check(b->now, e);
	return rc == 0 ? transfer_count(&b->transfer, b->now, e) : rc;
}

static int put(struct job *b, struct err *e)
{
	struct manifest m = {
		.data_id = b->data.id,
		.made_at = env_real.wall_ms(&env_real),
		.blobs = b->transfer.blobs,
		.blob_bytes = b->transfer.bytes,
		.lacking = b->transfer.lacking,
	};
	struct snapshot_counts counts;
	int rc = snapshot_counts(b->now, &counts, e);

	if (rc == 0)
		rc = place_sha256(b->place.fd, PLACE_CATALOG_NEW, m.catalog_sha256, &m.catalog_bytes, e);
	if (rc == 0)
		rc = blobs_local_flush(b->to, e);
	if (rc != 0)
		return rc;
	if ((rc = snapshot_audit_head(b->now, &m.audit, e)) != 0 || (rc = audit_copy(b->data.fd, b->place.fd, &m.audit, e)) != 0)
		return rc;
	m.schema = counts.schema;
	m.files = counts.files;
	m.jobs = counts.jobs;
	snprintf(m.version, sizeof(m.version), "%s", b->o->version);
	return place_put(&b->place, &m, e);
}

/* What failed before the new backup was in its place: the earlier one is as it was. */
static int give_up(struct job *b, int code, struct err *e)
{
	struct err why = ERR_INIT;

	bool unused = place_forget_new(&b->place);
	/* A full disk would stay full; what came for nothing goes. */
	if (unused && code == ERR_STORAGE_FULL && prune(b, b->last, &why) != 0)
		fputs("filemill: not everything that was copied could be removed again\n", stderr);
	if (e && e->code == ERR_STORAGE_FULL)
		snprintf(e->detail, sizeof(e->detail), "no space left for it");
	return err_wrap(e, "backup folder %.100s: %s", b->o->target,
			b->place.whole ? "the earlier backup is as it was" : "there is no whole backup yet");
}

static int work(struct job *b, const struct settings *s, struct err *e)
{
	struct bringing v = {.b = b, .e = e};
	int rc = take_catalogue(b, s, e);

	if (rc == 0)
		rc = snapshot_blobs(b->now, bring_visit, &v, e);
	if (rc == 0)
		rc = put(b, e);
	if (rc != 0)
		return give_up(b, rc, e);
	rc = prune(b, b->now, e);
	return rc == 0 ? 0 : err_wrap(e, "the backup is whole, but what it no longer needs was not removed");
}

static void tell(struct buf *out, const struct job *b)
{
	const struct manifest *m = &b->place.manifest;
	char id[UUID_TEXT_LEN + 1];

	uuid_format(id, m->data_id);
	buf_addf(
		out,
		"backup of %s: %llu files, %llu jobs; %llu blobs of %llu bytes: %llu copied, %llu linked, %llu kept, %llu lacking, %llu removed\n",
		id, (unsigned long long)m->files, (unsigned long long)m->jobs, (unsigned long long)m->blobs,
		(unsigned long long)m->blob_bytes, (unsigned long long)b->copied, (unsigned long long)b->linked,
		(unsigned long long)b->kept, (unsigned long long)m->lacking, (unsigned long long)b->removed);
}

int backup(struct buf *out, const struct settings *s, const struct backup_options *o, struct err *e)
{
	struct job b = {.o = o, .data = DATA_DIR_INIT, .place = PLACE_INIT, .link = !o->copy};
	struct err why = ERR_INIT;
	int rc = transfer_init(&b.transfer, &why);

	if (rc == 0)
		rc = open_all(&b, s, &why);
	if (rc == 0)
		rc = work(&b, s, &why);
	transfer_clear(&b.transfer);
	if (rc == 0)
		tell(out, &b);
	if (rc == 0 && b.transfer.lacking > 0)
		rc = err_set(&why, ERR_DAMAGED, "%llu blobs are missing or damaged in the data directory; all else is in the backup",
			     (unsigned long long)b.transfer.lacking);
	snapshot_close(b.last);
	snapshot_close(b.now);
	blobs_free(b.from);
	blobs_free(b.to);
	place_close(&b.place);
	data_dir_close(&b.data); /* the server may remove blobs again */
	transfer_release(&b.transfer);
	if (rc != 0 && e)
		*e = why;
	return rc;
}
