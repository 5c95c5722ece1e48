#include "app/place.h"
#include "app/data_dir.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/json_out.h"
#include "ops/ops.h"
#include "rt/json_in.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MARKER "backup.id"
#define MARKER_NEW "backup.id.new"
#define MANIFEST "manifest.json"
#define MANIFEST_NEW "manifest.new.json"
#define MANIFEST_MAX 65536
#define FORMAT "filemill-backup"
#define FORMAT_VERSION 1
#define READ_BYTES ((size_t)1 << 20)

/* ---- bytes of files ---- */

static int digest_file(int fd, struct digest_set *d, uint64_t *ret_bytes, struct err *e)
{
	CLEANUP(free_ptr) char *buffer = malloc(READ_BYTES);
	uint64_t at = 0;
	ssize_t n = 0;

	if (!buffer)
		return err_set(e, ERR_NO_MEMORY, "no memory for a buffer");
	while ((n = fd_pread_full(fd, buffer, READ_BYTES, (off_t)at)) > 0) {
		digest_set_update(d, buffer, (size_t)n);
		at += (uint64_t)n;
	}
	*ret_bytes = at;
	return n < 0 ? err_errno(e, errno, "read of a file") : digest_set_finish(d, e);
}

int place_sha256(int dir_fd, const char *name, uint8_t ret[32], uint64_t *ret_bytes, struct err *e)
{
	CLEANUP(fd_close) int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct digest_set *d;
	size_t n;

	if (fd < 0)
		return errno == ENOENT ? err_set(e, ERR_NOT_FOUND, "there is no %s", name) : err_errno(e, errno, "open of a file");
	int rc = digest_set_new(&d, 1u << DIGEST_SHA256, e);
	if (rc != 0)
		return rc;
	rc = digest_file(fd, d, ret_bytes, e);
	if (rc == 0)
		memcpy(ret, digest_set_get(d, DIGEST_SHA256, &n), 32);
	digest_set_free(d);
	return rc;
}

/* Flushed, and its name too once `name` was flushed with the directory. */
static int write_file(int dir_fd, const char *name, struct str bytes, struct err *e)
{
	CLEANUP(fd_close) int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0 || fd_write_all(fd, bytes.p, bytes.len) != 0 || fsync(fd) != 0)
		return err_errno(e, errno, "write of a file");
	return 0;
}

static int rename_flushed(int dir_fd, const char *from, const char *to, struct err *e)
{
	if (renameat(dir_fd, from, dir_fd, to) != 0 || fsync(dir_fd) != 0)
		return err_errno(e, errno, "rename");
	return 0;
}

/* What cannot be removed is written over by the next backup. */
static bool forget(int dir_fd, const char *name)
{
	return unlinkat(dir_fd, name, 0) == 0;
}

char *place_path(const struct place *p, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", p->path, name) < 0 ? NULL : path;
}

/* ---- the manifest ---- */

static void manifest_write(struct buf *b, const struct manifest *m)
{
	struct json_out j = json_out(b);
	char id[UUID_TEXT_LEN + 1], sha256[65];

	uuid_format(id, m->data_id);
	hex_encode(sha256, m->catalog_sha256, 32);
	json_obj_open(&j);
	json_kcstr(&j, "format", FORMAT);
	json_ku64(&j, "format_version", FORMAT_VERSION);
	json_kcstr(&j, "data_id", id);
	json_ktime(&j, "made_at", m->made_at);
	json_ku64(&j, "made_at_ms", (uint64_t)m->made_at);
	json_kcstr(&j, "filemill", m->version);
	json_key(&j, "catalog");
	json_obj_open(&j);
	json_kcstr(&j, "sha256", sha256);
	json_ku64(&j, "bytes", m->catalog_bytes);
	json_ku64(&j, "schema", (uint64_t)m->schema);
	json_ku64(&j, "files", m->files);
	json_ku64(&j, "jobs", m->jobs);
	json_obj_close(&j);
	json_key(&j, "blobs");
	json_obj_open(&j);
	json_ku64(&j, "count", m->blobs);
	json_ku64(&j, "bytes", m->blob_bytes);
	json_ku64(&j, "lacking", m->lacking);
	json_obj_close(&j);
	hex_encode(sha256, m->audit.hash, 32);
	json_key(&j, "audit");
	json_obj_open(&j);
	json_ku64(&j, "line", (uint64_t)m->audit.seq);
	json_kcstr(&j, "hash", sha256);
	json_obj_close(&j);
	json_obj_close(&j);
	buf_add_char(b, '\n');
}

static bool number_of(json_t *object, const char *key, uint64_t *ret)
{
	json_t *v = json_object_get(object, key);

	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return false;
	*ret = (uint64_t)json_integer_value(v);
	return true;
}

static bool manifest_take(struct manifest *m, json_t *root)
{
	json_t *catalog = json_object_get(root, "catalog"), *blobs = json_object_get(root, "blobs");
	const char *id = json_string_value(json_object_get(root, "data_id")),
		   *sha256 = json_string_value(json_object_get(catalog, "sha256")),
		   *version = json_string_value(json_object_get(root, "filemill"));
	uint64_t made_at, schema;

	if (!id || !sha256 || !version || !uuid_parse(&m->data_id, str_of(id)) || !hex_decode(m->catalog_sha256, 32, str_of(sha256)) ||
	    !number_of(root, "made_at_ms", &made_at) || !number_of(catalog, "schema", &schema) ||
	    !number_of(catalog, "bytes", &m->catalog_bytes) || !number_of(catalog, "files", &m->files) ||
	    !number_of(catalog, "jobs", &m->jobs) || !number_of(blobs, "count", &m->blobs) || !number_of(blobs, "bytes", &m->blob_bytes) ||
	    !number_of(blobs, "lacking", &m->lacking))
		return false;
	m->made_at = (int64_t)made_at;
	m->schema = (int64_t)schema;
	snprintf(m->version, sizeof(m->version), "%s", version);
	return true;
}

static int manifest_parse(struct manifest *ret, struct str text, struct err *e)
{
	struct manifest m = {};
	struct err why = ERR_INIT;
	json_t *root = NULL;
	uint64_t version = 0;
	int rc = 0;

	if (json_read(&root, text, &why) != 0)
		return err_set(e, ERR_DAMAGED, "its manifest is damaged: %.160s", why.detail);
	const char *format = json_string_value(json_object_get(root, "format"));
	if (!format || strcmp(format, FORMAT) != 0 || !number_of(root, "format_version", &version))
		rc = err_set(e, ERR_DAMAGED, "its manifest is none of a backup of filemill");
	else if (version > FORMAT_VERSION)
		rc = err_set(e, ERR_SCHEMA_NEWER, "it was made by a newer filemill (format %llu, this one knows up to %d)",
			     (unsigned long long)version, FORMAT_VERSION);
	else if (!manifest_take(&m, root))
		rc = err_set(e, ERR_DAMAGED, "its manifest is damaged");
	else
		*ret = m;
	json_decref(root);
	return rc;
}

/* ERR_NOT_FOUND */
static int manifest_read(struct manifest *ret, int dir_fd, const char *name, struct err *e)
{
	CLEANUP(fd_close) int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	CLEANUP(free_ptr) char *text = malloc(MANIFEST_MAX);
	ssize_t n;

	if (!text)
		return err_set(e, ERR_NO_MEMORY, "no memory for a manifest");
	if (fd < 0)
		return errno == ENOENT ? err_set(e, ERR_NOT_FOUND, "there is no manifest") : err_errno(e, errno, "open of the manifest");
	n = fd_pread_full(fd, text, MANIFEST_MAX, 0);
	if (n < 0)
		return err_errno(e, errno, "read of the manifest");
	return manifest_parse(ret, (struct str){text, (size_t)n}, e);
}

/* ---- which backup is here ---- */

/* The manifest `name` is that of the catalogue. 0, or why not: ERR_NOT_FOUND, ERR_DAMAGED, ERR_SCHEMA_NEWER…. */
static int fits(struct place *p, const char *name, const uint8_t catalog[32], struct err *e)
{
	struct manifest m;
	int rc = manifest_read(&m, p->fd, name, e);

	if (rc != 0)
		return rc;
	if (memcmp(m.catalog_sha256, catalog, 32) != 0)
		return err_set(e, ERR_DAMAGED, "its %s is not the one that its manifest speaks of", PLACE_CATALOG);
	p->manifest = m;
	p->whole = true;
	return 0;
}

/* ERR_NOT_FOUND: no backup was ever finished here. */
static int find_backup(struct place *p, struct err *e)
{
	struct err other = ERR_INIT;
	uint8_t catalog[32];
	uint64_t bytes;
	struct stat st;
	int rc = place_sha256(p->fd, PLACE_CATALOG, catalog, &bytes, e);

	if (rc == ERR_NOT_FOUND && fstatat(p->fd, MANIFEST, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return err_set(e, ERR_DAMAGED, "its %s is missing", PLACE_CATALOG);
	if (rc != 0)
		return rc;
	rc = fits(p, MANIFEST, catalog, e);
	return rc != 0 && fits(p, MANIFEST_NEW, catalog, &other) == 0 ? 0 : rc;
}

/* ---- opening ---- */

/* 0, ERR_NOT_FOUND without a detail of its own, ERR_DAMAGED. Leaves the marker open. */
static int read_marker(struct place *p, struct uuid *ret, struct err *e)
{
	char text[UUID_TEXT_LEN];

	p->id_fd = openat(p->fd, MARKER, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (p->id_fd < 0 && (errno == EACCES || errno == EROFS))
		p->id_fd = openat(p->fd, MARKER, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (p->id_fd < 0)
		return errno == ENOENT ? err_set(e, ERR_NOT_FOUND, "it is no backup of filemill")
				       : err_errno(e, errno, "open of the marker");
	if (fd_pread_full(p->id_fd, text, sizeof(text), 0) != UUID_TEXT_LEN || !uuid_parse(ret, (struct str){text, UUID_TEXT_LEN}))
		return err_set(e, ERR_DAMAGED, "its %s is damaged", MARKER);
	return 0;
}

static int make_marker(struct place *p, struct uuid id, struct err *e)
{
	char text[UUID_TEXT_LEN + 1];
	static const char *const harmless[] = {MARKER_NEW, "lost+found"};
	bool empty = false;
	int rc = folder_is_empty(p->fd, harmless, ARRAY_LEN(harmless), &empty, e);

	if (rc != 0)
		return rc;
	if (!empty)
		return err_set(e, ERR_CONFLICT, "it is not empty and no backup of filemill: choose a new folder");
	uuid_format(text, id);
	text[UUID_TEXT_LEN] = '\n';
	if (fchmod(p->fd, 0700) != 0)
		return err_errno(e, errno, "chmod");
	rc = write_file(p->fd, MARKER_NEW, (struct str){text, sizeof(text)}, e);
	return rc == 0 ? rename_flushed(p->fd, MARKER_NEW, MARKER, e) : rc;
}

static int lock(struct place *p, int kind, struct err *e)
{
	if (flock(p->id_fd, kind | LOCK_NB) == 0)
		return 0;
	return errno == EWOULDBLOCK ? err_set(e, ERR_IN_USE, "another backup or restore is at work there") : err_errno(e, errno, "flock");
}

static int open_blobs(struct place *p, struct err *e)
{
	p->blobs_fd = openat(p->fd, "blobs", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return p->blobs_fd >= 0  ? 0
	       : errno == ENOENT ? err_set(e, ERR_DAMAGED, "its folder blobs is missing")
				 : err_errno(e, errno, "open of blobs");
}

/* The lock is held: what stands half-way comes to rest. */
static int settle(struct place *p, struct err *e)
{
	struct err why = ERR_INIT;
	int rc = find_backup(p, &why);
	struct manifest m;

	if (rc != 0 && rc != ERR_NOT_FOUND && rc != ERR_DAMAGED) {
		if (e)
			*e = why;
		return rc;
	}
	p->damaged = rc == ERR_DAMAGED;
	(void)forget(p->fd, PLACE_CATALOG_NEW);
	if (p->whole && (manifest_read(&m, p->fd, MANIFEST, &why) != 0 || memcmp(m.catalog_sha256, p->manifest.catalog_sha256, 32) != 0))
		return rename_flushed(p->fd, MANIFEST_NEW, MANIFEST, e); /* interrupted between the two renames */
	(void)forget(p->fd, MANIFEST_NEW);
	return 0;
}

static int open_for_backup(struct place *p, struct uuid data_id, struct err *e)
{
	struct err why = ERR_INIT;
	struct uuid id;
	int rc = read_marker(p, &id, &why);

	if (rc == ERR_NOT_FOUND) {
		rc = make_marker(p, data_id, e);
		if (rc == 0)
			rc = read_marker(p, &id, e);
	} else if (rc != 0 && e) {
		*e = why;
	}
	if (rc == 0 && !uuid_eq(id, data_id))
		rc = err_set(e, ERR_CONFLICT, "it holds the backup of another data directory: choose a new folder");
	if (rc == 0)
		rc = lock(p, LOCK_EX, e);
	if (rc == 0 && mkdirat(p->fd, "blobs", 0700) != 0 && errno != EEXIST)
		rc = err_errno(e, errno, "mkdir of blobs");
	if (rc == 0)
		rc = open_blobs(p, e);
	return rc == 0 ? settle(p, e) : rc;
}

static int open_folder(struct place *p, const char *path, struct err *e)
{
	p->path = path;
	p->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->fd >= 0)
		return 0;
	return errno == ENOENT    ? err_set(e, ERR_NOT_FOUND, "there is no such folder")
	       : errno == ENOTDIR ? err_set(e, ERR_CONFLICT, "it is no folder")
				  : err_errno(e, errno, "open");
}

int place_open_backup(struct place *ret, const char *path, struct uuid data_id, struct err *e)
{
	struct place p = PLACE_INIT;
	int rc;

	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return errno == ENOENT ? err_set(e, ERR_NOT_FOUND, "the folder it is to lie in is not there")
				       : err_errno(e, errno, "mkdir");
	rc = open_folder(&p, path, e);
	if (rc == 0)
		rc = open_for_backup(&p, data_id, e);
	if (rc != 0)
		place_close(&p);
	else
		*ret = p;
	return rc;
}

int place_open_restore(struct place *ret, const char *path, struct err *e)
{
	struct place p = PLACE_INIT;
	struct uuid id = {};
	int rc = open_folder(&p, path, e);

	if (rc == 0)
		rc = read_marker(&p, &id, e);
	if (rc == 0)
		rc = lock(&p, LOCK_SH, e);
	if (rc == 0 && (rc = find_backup(&p, e)) == ERR_NOT_FOUND)
		rc = err_set(e, ERR_DAMAGED, "it is incomplete: the first backup into it was interrupted");
	if (rc == 0 && !uuid_eq(p.manifest.data_id, id))
		rc = err_set(e, ERR_DAMAGED, "its manifest and its %s name different data directories", MARKER);
	if (rc == 0)
		rc = open_blobs(&p, e);
	if (rc != 0)
		place_close(&p);
	else
		*ret = p;
	return rc;
}

int place_put(struct place *p, const struct manifest *m, struct err *e)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	int rc;

	manifest_write(&b, m);
	if (!buf_ok(&b))
		return err_set(e, ERR_NO_MEMORY, "no memory for a manifest");
	rc = write_file(p->fd, MANIFEST_NEW, buf_str(&b), e);
	if (rc == 0 && fsync(p->fd) != 0)
		rc = err_errno(e, errno, "fsync");
	if (rc == 0)
		rc = rename_flushed(p->fd, PLACE_CATALOG_NEW, PLACE_CATALOG, e);
	if (rc == 0)
		rc = rename_flushed(p->fd, MANIFEST_NEW, MANIFEST, e);
	if (rc != 0)
		return rc;
	p->manifest = *m;
	p->whole = true;
	return 0;
}

bool place_forget_new(struct place *p)
{
	return forget(p->fd, PLACE_CATALOG_NEW);
}

void place_close(struct place *p)
{
	fd_close(&p->blobs_fd);
	fd_close(&p->fd);
	fd_close(&p->id_fd); /* last: its lock covers the rest */
}
