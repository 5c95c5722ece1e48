#include "app/audit_copy.h"
#include "audit/audit.h"
#include "base/fd.h"
#include "catalog/catalog.h"
#include "rt/env.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER "audit"
#define NEW "audit.new"

struct copy {
	int from, to; /* the two folders */
	const struct audit_head *head;
	bool elsewhere; /* its last line is in another data directory's log */
	char piece[65536];
};

static int copy_bytes(struct copy *c, int in, int out, uint64_t size, struct err *e)
{
	uint64_t at = 0;

	while (at < size) {
		size_t want = size - at < sizeof(c->piece) ? (size_t)(size - at) : sizeof(c->piece);
		ssize_t n = fd_pread_full(in, c->piece, want, (off_t)at);
		if (n < 0)
			return err_errno(e, errno, "read of the audit log");
		if (n == 0)
			break; /* it was cut, and the copy is too */
		if (fd_write_all(out, c->piece, (size_t)n) != 0)
			return err_errno(e, errno, "write of the audit log");
		at += (uint64_t)n;
	}
	return fsync(out) == 0 ? 0 : err_errno(e, errno, "fsync of the audit log");
}

/* A file that the log has left behind does not change any more. One of another node's that begins with the same line and is longer has all of it. */
static bool is_there(const struct copy *c, const char *name, uint64_t size, bool closed)
{
	struct stat st;

	return closed && fstatat(c->to, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size >= size;
}

static int copy_file(struct copy *c, int64_t first, struct err *e)
{
	bool closed = c->elsewhere || first < c->head->file;
	char name[AUDIT_NAME_MAX];
	struct stat st;

	audit_file_name(name, first);
	CLEANUP(fd_close) int in = openat(c->from, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (in < 0 || fstat(in, &st) != 0)
		return err_errno(e, errno, "open of the audit log");
	uint64_t size = closed ? (uint64_t)st.st_size : c->head->size;
	if (is_there(c, name, size, closed))
		return 0;
	CLEANUP(fd_close) int out = openat(c->to, NEW, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (out < 0)
		return err_errno(e, errno, "creation of an audit file");
	int rc = copy_bytes(c, in, out, size, e);
	if (rc == 0 && renameat(c->to, NEW, c->to, name) != 0)
		rc = err_errno(e, errno, "rename of an audit file");
	return rc;
}

static int copy_all(struct copy *c, struct err *e)
{
	CLEANUP(arena_release) struct arena a = ARENA_INIT;
	int64_t *firsts;
	size_t n;
	int rc = audit_files_list(c->from, &a, &firsts, &n, e);
	bool last = false;

	for (size_t i = 0; rc == 0 && i < n && (c->elsewhere || firsts[i] <= c->head->file); i++) {
		rc = copy_file(c, firsts[i], e);
		last = firsts[i] == c->head->file;
	}
	if (rc == 0 && c->elsewhere) {
		char home[UUID_TEXT_LEN + 1];
		uuid_format(home, c->head->home);
		fprintf(stderr,
			"filemill: of the audit log this is a part: other nodes have their own in their data directories, the last line the one with the id %s\n",
			home);
	} else if (rc == 0 && !last) {
		fputs("filemill: the last file of the audit log is missing\n", stderr);
	}
	if (rc == 0 && fsync(c->to) != 0)
		rc = err_errno(e, errno, "fsync of the audit folder");
	return rc;
}

int audit_copy(int from, int to, const struct audit_head *head, struct uuid own, struct err *e)
{
	struct copy c = {.head = head, .from = -1, .to = -1, .elsewhere = audit_head_elsewhere(head, own)};
	int rc = 0;

	if (head->seq == 0)
		return 0;
	if (mkdirat(to, FOLDER, 0700) == 0 ? fsync(to) != 0 : errno != EEXIST)
		return err_errno(e, errno, "mkdir of audit");
	c.from = openat(from, FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (c.from < 0 && errno == ENOENT)
		fputs("filemill: the audit log is missing\n", stderr);
	else if (c.from < 0 || (c.to = openat(to, FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)) < 0)
		rc = err_errno(e, errno, "open of audit");
	else
		rc = copy_all(&c, e);
	fd_close(&c.from);
	fd_close(&c.to);
	return rc;
}

int restore_note(const char *data_dir, int64_t made_at, uint64_t lacking, struct err *e)
{
	static const struct audit_by by = {.how = "command"};
	const struct catalog_options options = {};
	CLEANUP(arena_release) struct arena a = ARENA_INIT;
	struct change ch = {.kind = CHANGE_AUDIT}, *list[] = {&ch};
	struct catalog *catalog = NULL;
	int rc = audit_entry(&ch.audit, &a, env_real.wall_ms(&env_real), AUDIT_DATA_RESTORED, &by, e, LF_INT("backup_made_at_ms", made_at),
			     LF_INT("lacking", lacking));

	if (rc == 0)
		rc = catalog_sqlite_open(&catalog, data_dir, &options, e);
	if (rc == 0)
		rc = catalog_apply(catalog, list, 1, e);
	catalog_free(catalog);
	return rc;
}
