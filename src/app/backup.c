/* filemill backup: blobs are held, the catalogue is copied as of one moment, every blob it refers to is brought, all is flushed, and only then it takes the place of the earlier
 * backup; what that had beyond is removed last (app/place.h, docs/adr/0020).
 *
 * A catalogue on PostgreSQL is copied as rows, of one snapshot, into the SQLite catalogue that every backup has; a hold in it keeps all its nodes from removing blobs (docs/adr/0043). */
#include "app/backup.h"
#include "app/audit_copy.h"
#include "app/backup_bytes.h"
#include "app/catalogue.h"
#include "app/data_dir.h"
#include "app/gate.h"
#include "app/lease.h"
#include "app/place.h"
#include "app/store.h"
#include "app/transfer.h"
#include "base/fd.h"
#include "catalog/rows.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct making {
	const struct backup_options *o;
	struct data_dir data;
	struct uuid id; /* whose backup it is: of the data directory that the files belong to */
	struct catalog *catalog; /* one that is shared; NULL: it is in the data directory */
	struct lease lease;
	struct place place;
	struct snapshot *last, *now; /* last: of the earlier backup, NULL = none that is whole */
	struct blobs *from, *to;
	struct transfer transfer;
	struct backup_bytes bytes;
	uint64_t removed;
};

/* ---- what is too much ---- */

struct pruning {
	struct making *b;
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

static int prune(struct making *b, struct snapshot *keep, struct err *e)
{
	struct pruning v = {.b = b, .keep = keep, .e = e};

	return blobs_visit(b->to, prune_visit, &v, e);
}

/* ---- in order ---- */

/* The folder `path`, or while it is not there yet the one it will be made in; -1: neither. */
static int open_there(const char *path)
{
	char parent[4096];
	size_t n = strlen(path);
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	while (n > 1 && path[n - 1] == '/')
		n--;
	while (n > 0 && path[n - 1] != '/')
		n--;
	if (fd >= 0 || n >= sizeof(parent))
		return fd;
	snprintf(parent, sizeof(parent), "%.*s", n > 0 ? (int)n : 1, n > 0 ? path : ".");
	return open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* What lies in the data directory is lost with it. */
static int refuse_inside(const char *target, int data_fd, struct err *e)
{
	CLEANUP(fd_close) int fd = open_there(target);
	struct stat data, at, last = {};

	if (fstat(data_fd, &data) != 0)
		return err_errno(e, errno, "stat of the data directory");
	while (fd >= 0 && fstat(fd, &at) == 0 && (at.st_dev != last.st_dev || at.st_ino != last.st_ino)) {
		if (at.st_dev == data.st_dev && at.st_ino == data.st_ino)
			return err_set(e, ERR_CONFLICT,
				       "it is in the data directory itself, and would be lost with it: choose another folder");
		int up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		fd_close(&fd);
		fd = up;
		last = at;
	}
	return 0; /* what cannot be looked at is for the opening to judge */
}

static int open_snapshot(struct making *b, const char *name, struct snapshot **ret, struct err *e)
{
	CLEANUP(free_ptr) char *path = place_path(&b->place, name);

	return path != NULL ? snapshot_open(ret, path, e) : err_set(e, ERR_NO_MEMORY, "no memory for a path");
}

/* Whose the bytes are, told by the catalogue where that is shared; and from now on none of them goes. */
static int hold_all(struct making *b, const struct settings *s, struct err *e)
{
	enum rows_moved moved = ROWS_NOT_MOVED;
	int rc = data_dir_hold_blobs(&b->data, e);

	b->id = b->data.id;
	if (rc != 0 || !catalogue_is_shared(s))
		return rc;
	rc = rows_postgres_state(s->catalog_url, &moved, e);
	if (rc == 0 && moved == ROWS_MOVE_BEGUN)
		rc = err_set(e, ERR_CONFLICT, "a move into its catalogue has not ended");
	if (rc == 0)
		rc = catalogue_read(&b->catalog, s, e);
	if (rc == 0)
		rc = catalog_store(b->catalog, b->data.id, &b->id, e);
	if (rc == 0 && s->storage_bucket[0] == '\0' && !uuid_eq(b->id, b->data.id))
		rc = err_set(e, ERR_BAD_CONFIG, "the catalogue's files are in another data directory: make the backup of that one");
	return rc == 0 ? lease_take(&b->lease, &env_real, b->catalog, e) : rc;
}

static int open_all(struct making *b, const struct settings *s, struct err *e)
{
	int rc = data_dir_look(&b->data, s->data_dir, e);

	if (rc == 0)
		rc = hold_all(b, s, e);
	if (rc == 0)
		rc = store_open(&b->from, s, &b->data, STORE_LOOK, e);
	if (rc != 0)
		return err_wrap(e, "data directory %.100s", s->data_dir);
	rc = refuse_inside(b->o->target, b->data.fd, e);
	if (rc == 0)
		rc = place_open_backup(&b->place, b->o->target, b->id, e);
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

/* ---- the catalogue ---- */

/* Of PostgreSQL, as it is at one moment; with --verify both are read again and compared. */
static int carry_rows(struct making *b, const struct settings *s, const char *path, struct err *e)
{
	struct rows_report report;
	struct rows *from = NULL, *to = NULL;
	int rc = rows_postgres_read(&from, s->catalog_url, false, e);

	if (rc == 0)
		rc = rows_sqlite_write_file(&to, path, e);
	if (rc == 0)
		rc = rows_copy(from, to, transfer_rows, &b->transfer, &report, e);
	rows_free(to);
	if (rc == 0 && b->o->verify) {
		rc = rows_sqlite_read_file(&to, path, e);
		if (rc == 0) {
			rc = rows_compare(from, to, transfer_rows, &b->transfer, e);
			rows_free(to);
		}
	}
	rows_free(from);
	return rc == 0 ? 0 : err_wrap(e, "the catalogue");
}

static int take_catalogue(struct making *b, const struct settings *s, struct err *e)
{
	CLEANUP(free_ptr) char *path = place_path(&b->place, PLACE_CATALOG_NEW);
	int rc = path == NULL         ? err_set(e, ERR_NO_MEMORY, "no memory for a path")
		 : b->catalog != NULL ? carry_rows(b, s, path, e)
				      : catalog_sqlite_backup(s->data_dir, path, transfer_catalog, &b->transfer, e);

	if (rc == 0)
		rc = snapshot_open(&b->now, path, e);
	if (rc == 0 && b->o->verify)
		rc = snapshot_check(b->now, e);
	return rc == 0 ? transfer_count(&b->transfer, b->now, e) : rc;
}

/* Rows in a backup do not say which of several data directories has the end of the log. */
static int whose_log(struct making *b, struct audit_head *head, struct err *e)
{
	struct audit_head now = {};
	int rc = b->catalog != NULL ? catalog_audit_head(b->catalog, &now, e) : 0;

	head->home = now.home;
	return rc;
}

static int put(struct making *b, struct err *e)
{
	struct manifest m = {
		.data_id = b->id,
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
	if ((rc = snapshot_audit_head(b->now, &m.audit, e)) != 0 || (rc = whose_log(b, &m.audit, e)) != 0 ||
	    (rc = audit_copy(b->data.fd, b->place.fd, &m.audit, b->data.id, e)) != 0)
		return rc;
	m.schema = counts.schema;
	m.files = counts.files;
	m.jobs = counts.jobs;
	snprintf(m.version, sizeof(m.version), "%s", b->o->version);
	return place_put(&b->place, &m, e);
}

/* What failed before the new backup was in its place: the earlier one is as it was. */
static int give_up(struct making *b, int code, struct err *e)
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

static int work(struct making *b, const struct settings *s, struct err *e)
{
	int rc = take_catalogue(b, s, e);

	b->bytes = (struct backup_bytes){
		.from = b->from, .to = b->to, .last = b->last, .transfer = &b->transfer, .verify = b->o->verify, .link = !b->o->copy};
	if (rc == 0)
		rc = backup_bytes_bring(&b->bytes, b->now, e);
	if (!lease_held(&b->lease)) {
		transfer_clear(&b->transfer);
		fputs("filemill: the catalogue could not be reached for a while; what was removed meanwhile counts as missing\n", stderr);
	}
	if (rc == 0)
		rc = put(b, e);
	if (rc != 0)
		return give_up(b, rc, e);
	rc = prune(b, b->now, e);
	return rc == 0 ? 0 : err_wrap(e, "the backup is whole, but what it no longer needs was not removed");
}

static void tell(struct buf *out, const struct making *b)
{
	const struct manifest *m = &b->place.manifest;
	char id[UUID_TEXT_LEN + 1];

	uuid_format(id, m->data_id);
	buf_addf(
		out,
		"backup of %s: %llu files, %llu jobs; %llu blobs of %llu bytes: %llu copied, %llu linked, %llu kept, %llu lacking, %llu removed\n",
		id, (unsigned long long)m->files, (unsigned long long)m->jobs, (unsigned long long)m->blobs,
		(unsigned long long)m->blob_bytes, (unsigned long long)b->bytes.copied, (unsigned long long)b->bytes.linked,
		(unsigned long long)b->bytes.kept, (unsigned long long)m->lacking, (unsigned long long)b->removed);
}

int backup(struct buf *out, const struct settings *s, const struct backup_options *o, struct err *e)
{
	struct making b = {.o = o, .data = DATA_DIR_INIT, .place = PLACE_INIT};
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
		rc = err_set(&why, ERR_DAMAGED,
			     "%llu blobs are missing or damaged or cannot be read in the store; all else is in the backup",
			     (unsigned long long)b.transfer.lacking);
	snapshot_close(b.last);
	snapshot_close(b.now);
	blobs_free(b.from);
	blobs_free(b.to);
	place_close(&b.place);
	lease_end(&b.lease); /* servers may remove blobs again */
	catalog_free(b.catalog);
	data_dir_close(&b.data);
	transfer_release(&b.transfer);
	if (rc != 0 && e)
		*e = why;
	return rc;
}
