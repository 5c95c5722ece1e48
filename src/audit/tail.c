/* Reading a log from its end, for those who look at it. Only lines that are known to be on disk are looked at, and only what is whole in itself is told: whether the chain holds
 * is audit_check_file()'s to say. */
#include "audit/audit.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define PIECE (4 * (size_t)AUDIT_LINE_MAX)

struct tail {
	const struct audit_tail_query *q;
	struct arena *arena;
	struct digest_set *digest;
	struct audit_tail *ret;
	uint64_t scanned; /* bytes of lines that were looked at */
	int64_t lowest; /* number of the line looked at last */
	bool full;
};

/* `"at":"<time>","act":"<word>"`: every entry begins so. */
static bool has_act(struct str inner, struct str act)
{
	static const struct str head = STR("\"at\":\""), mid = STR("\",\"act\":\"");
	struct str s;

	if (act.p == NULL)
		return true;
	if (!str_starts(inner, head))
		return false;
	s = (struct str){inner.p + head.len, inner.len - head.len};
	const char *at = memmem(s.p, s.len, mid.p, mid.len);
	if (at == NULL)
		return false;
	s = (struct str){at + mid.len, s.len - (size_t)(at - s.p) - mid.len};
	return s.len > act.len && memcmp(s.p, act.p, act.len) == 0 && s.p[act.len] == '"';
}

static int take_line(struct tail *t, struct str line, struct err *e)
{
	struct audit_read r;
	bool good;
	int rc = audit_read_line(&good, &r, line, t->digest, e);

	if (rc != 0)
		return rc;
	if (!good) {
		t->ret->broken++;
		return 0;
	}
	if (r.seq > t->q->upto || r.seq >= t->q->before)
		return 0;
	if (t->ret->n == t->q->max || t->scanned > AUDIT_TAIL_SCAN_MAX) {
		t->full = true;
		return 0;
	}
	t->lowest = r.seq;
	t->scanned += line.len;
	if (!has_act(r.inner, t->q->act))
		return 0;
	struct str copy = arena_str(t->arena, line);
	if (copy.p == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for lines of the audit log");
	t->ret->lines[t->ret->n++] = copy;
	return 0;
}

/* The lines of a piece, from the last to the first; what stands before its first newline belongs to the piece before it. *ret_rest: how much that is. */
static int take_piece(struct tail *t, const char *p, size_t n, bool first, size_t *ret_rest, struct err *e)
{
	size_t end = n;
	int rc = 0;

	while (rc == 0 && !t->full && end > 0) {
		const char *nl = memrchr(p, '\n', end);
		size_t begin = nl != NULL ? (size_t)(nl - p) + 1 : 0;

		if (nl == NULL && !first)
			break;
		if (begin < end)
			rc = take_line(t, (struct str){p + begin, end - begin}, e);
		end = begin > 0 ? begin - 1 : 0;
	}
	*ret_rest = end;
	return rc;
}

/* What stands behind the last newline is being written, or was torn. */
static size_t whole_lines(const char *p, size_t n)
{
	const char *nl = n > 0 ? memrchr(p, '\n', n) : NULL;

	return nl != NULL ? (size_t)(nl - p) : 0;
}

static int take_file(struct tail *t, int fd, char *piece, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return err_errno(e, errno, "stat of the audit log");
	off_t end = st.st_size;
	bool newest = true;
	while (end > 0 && !t->full) {
		size_t n = end > (off_t)PIECE ? PIECE : (size_t)end, rest;
		ssize_t got = fd_pread_full(fd, piece, n, end - (off_t)n);

		if (got < 0)
			return err_errno(e, errno, "read of the audit log");
		if ((size_t)got < n)
			return err_set(e, ERR_DAMAGED, "the audit log became shorter while it was read");
		int rc = take_piece(t, piece, newest ? whole_lines(piece, n) : n, end == (off_t)n, &rest, e);
		newest = false;
		if (rc != 0)
			return rc;
		if (rest == n) { /* longer than any line: nothing of ours */
			t->ret->broken++;
			return 0;
		}
		end -= (off_t)(n - rest);
	}
	return 0;
}

static int take_files(struct tail *t, const int64_t *files, size_t n, struct err *e)
{
	char *piece = arena_alloc(t->arena, PIECE);
	int rc = 0;

	if (piece == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory to read into");
	for (size_t i = n; rc == 0 && i > 0 && !t->full; i--) {
		char name[AUDIT_NAME_MAX];

		if (files[i - 1] >= t->q->before)
			continue;
		audit_file_name(name, files[i - 1]);
		CLEANUP(fd_close) int fd = openat(t->q->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		rc = fd < 0 ? err_errno(e, errno, "open of the audit log") : take_file(t, fd, piece, e);
	}
	return rc;
}

int audit_tail_read(struct audit_tail *ret, const struct audit_tail_query *q, struct arena *a, struct err *e)
{
	struct tail t = {.q = q, .arena = a, .ret = ret};
	int64_t *files = NULL;
	size_t n = 0;

	*ret = (struct audit_tail){.lines = arena_alloc(a, q->max * sizeof(*ret->lines))};
	if (ret->lines == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for lines of the audit log");
	int rc = audit_files_list(q->dir_fd, a, &files, &n, e);
	if (rc == 0)
		rc = digest_set_new(&t.digest, 1u << DIGEST_SHA256, e);
	if (rc == 0)
		rc = take_files(&t, files, n, e);
	digest_set_free(t.digest);
	ret->next = t.full ? t.lowest : 0;
	return rc;
}
