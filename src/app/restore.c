/* filemill restore: a backup becomes a data directory. Its marker comes last, so that no server starts on half of one. */
#include "app/audit_copy.h"
#include "app/backup.h"
#include "app/catalogue.h"
#include "app/data_dir.h"
#include "app/place.h"
#include "app/store.h"
#include "app/transfer.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define CATALOGUE "catalog.db"

struct job {
	const struct backup_options *o;
	const char *data_dir;
	struct place place;
	struct data_dir data;
	struct snapshot *snapshot;
	struct blobs *from, *to;
	struct transfer transfer;
};

static int bring(struct job *r, const struct snapshot_blob *blob, struct err *e)
{
	CLEANUP(fd_close) int source = -1;
	enum blob_state state;
	int rc = transfer_goes_on(&r->transfer, e);

	if (rc == 0)
		rc = transfer_open(r->from, blob, &source, &state, e);
	if (rc == 0 && state == BLOB_GOOD)
		rc = transfer_copy(&r->transfer, source, r->to, blob, r->o->verify, &state, e);
	if (rc == 0)
		transfer_done(&r->transfer, blob, state);
	return rc;
}

struct bringing {
	struct job *r;
	struct err *e;
};

static int bring_visit(void *arg, const struct snapshot_blob *blob)
{
	const struct bringing *v = arg;

	return bring(v->r, blob, v->e);
}

/* Flushed, and the same bytes that the manifest speaks of. */
static int copy_catalogue(struct job *r, struct err *e)
{
	CLEANUP(fd_close) int from = openat(r->place.fd, PLACE_CATALOG, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	CLEANUP(fd_close) int to = -1;
	char piece[65536];
	uint8_t sha256[32];
	uint64_t bytes = 0;
	off_t at = 0;
	ssize_t n = 0;

	if (from >= 0)
		to = openat(r->data.fd, CATALOGUE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (from < 0 || to < 0)
		return err_errno(e, errno, "open of the catalogue");
	for (; (n = fd_pread_full(from, piece, sizeof(piece), at)) > 0; at += n)
		if (fd_write_all(to, piece, (size_t)n) != 0)
			return err_errno(e, errno, "write of the catalogue");
	if (n < 0 || fsync(to) != 0)
		return err_errno(e, errno, "copy of the catalogue");
	int rc = place_sha256(r->data.fd, CATALOGUE, sha256, &bytes, e);
	if (rc == 0 && memcmp(sha256, r->place.manifest.catalog_sha256, 32) != 0)
		rc = err_set(e, ERR_DAMAGED, "the catalogue changed while it was copied");
	return rc;
}

static int open_backup(struct job *r, struct err *e)
{
	int rc = place_open_restore(&r->place, r->o->target, e);

	if (rc != 0)
		return rc;
	CLEANUP(free_ptr) char *path = place_path(&r->place, PLACE_CATALOG);
	rc = path != NULL ? snapshot_open(&r->snapshot, path, e) : err_set(e, ERR_NO_MEMORY, "no memory for a path");
	if (rc == 0 && r->o->verify)
		rc = snapshot_check(r->snapshot, e);
	if (rc == 0)
		rc = transfer_count(&r->transfer, r->snapshot, e);
	return rc == 0 ? blobs_local_new(&r->from, &env_real, r->place.blobs_fd, e) : rc;
}

/* The log as it was when the snapshot was taken; what the snapshot has for it yet, and this restore, the next start writes. */
static int bring_log(struct job *r, struct err *e)
{
	struct audit_head head;
	int rc = snapshot_audit_head(r->snapshot, &head, e);

	if (rc == 0)
		rc = audit_copy(r->place.fd, r->data.fd, &head, head.home, e);
	return rc == 0 ? restore_note(r->data_dir, r->place.manifest.made_at, r->transfer.lacking, e) : rc;
}

static int fill(struct job *r, struct err *e)
{
	struct bringing v = {.r = r, .e = e};
	int rc = blobs_local_new(&r->to, &env_real, r->data.blobs_fd, e);

	if (rc == 0)
		rc = copy_catalogue(r, e);
	if (rc == 0)
		rc = snapshot_blobs(r->snapshot, bring_visit, &v, e);
	if (rc == 0 && r->transfer.lacking > 0 && !r->o->partial)
		rc = err_set(e, ERR_DAMAGED, "%llu blobs are missing or damaged in the backup; --partial restores the rest",
			     (unsigned long long)r->transfer.lacking);
	if (rc == 0)
		rc = blobs_local_flush(r->to, e);
	if (rc == 0)
		rc = bring_log(r, e);
	if (rc == 0)
		rc = data_dir_mark(&r->data, r->place.manifest.data_id, e);
	if (rc == ERR_STORAGE_FULL)
		rc = err_set(e, ERR_STORAGE_FULL, "no space left for it");
	return rc == 0 ? 0 : err_wrap(e, "it is unfinished, and no server starts on it; remove it");
}

static int work(struct job *r, const struct settings *s, struct err *e)
{
	int rc = store_must_be_local(s, e);

	if (rc != 0)
		return rc;
	rc = open_backup(r, e);
	if (rc != 0)
		return err_wrap(e, "backup folder %.100s", r->o->target);
	rc = data_dir_make(&r->data, s->data_dir, e);
	if (rc == 0)
		rc = fill(r, e);
	return rc == 0 ? 0 : err_wrap(e, "data directory %.100s", s->data_dir);
}

static void tell(struct buf *out, const struct job *r)
{
	const struct manifest *m = &r->place.manifest;
	char id[UUID_TEXT_LEN + 1];

	uuid_format(id, m->data_id);
	buf_addf(out, "restored %s: %llu files, %llu jobs; %llu blobs of %llu bytes, %llu lacking\n", id, (unsigned long long)m->files,
		 (unsigned long long)m->jobs, (unsigned long long)r->transfer.blobs, (unsigned long long)r->transfer.bytes,
		 (unsigned long long)r->transfer.lacking);
}

int restore(struct buf *out, const struct settings *s, const struct backup_options *o, struct err *e)
{
	struct job r = {.o = o, .data_dir = s->data_dir, .place = PLACE_INIT, .data = DATA_DIR_INIT};
	struct err why = ERR_INIT;
	int rc = transfer_init(&r.transfer, &why);

	if (rc == 0)
		rc = catalogue_need_embedded(s, &why);
	if (rc == 0)
		rc = work(&r, s, &why);
	transfer_clear(&r.transfer);
	if (rc == 0)
		tell(out, &r);
	else if (e)
		*e = why;
	snapshot_close(r.snapshot);
	blobs_free(r.from);
	blobs_free(r.to);
	data_dir_close(&r.data);
	place_close(&r.place);
	transfer_release(&r.transfer);
	return rc;
}
