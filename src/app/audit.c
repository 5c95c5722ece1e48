#include "app/audit.h"
#include "app/catalogue.h"
#include "audit/audit.h"
#include "base/fd.h"
#include "catalog/audit_head.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

struct look {
	const struct audit_options *o;
	int dir_fd; /* of the data directory's log; AT_FDCWD with files given */
	int64_t *firsts; /* of the files there */
	size_t n; /* files */
	struct arena arena;
};

static int open_look(struct look *l, const char *data_dir, struct err *e)
{
	CLEANUP(free_ptr) char *path = NULL;

	l->dir_fd = AT_FDCWD;
	l->n = (size_t)l->o->n_files;
	if (l->n > 0)
		return 0;
	if (asprintf(&path, "%s/audit", data_dir) < 0)
		return err_set(e, ERR_NO_MEMORY, "no memory for a path");
	l->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (l->dir_fd < 0)
		return errno == ENOENT ? err_set(e, ERR_BAD_CONFIG, "data directory %.100s: it has no audit log", data_dir)
				       : err_errno(e, errno, "open of the audit folder");
	return audit_files_list(l->dir_fd, &l->arena, &l->firsts, &l->n, e);
}

static void close_look(struct look *l)
{
	if (l->dir_fd >= 0)
		fd_close(&l->dir_fd);
	arena_release(&l->arena);
}

/* The i-th file and the name it is told by. */
static int open_file(const struct look *l, size_t i, char name[AUDIT_NAME_MAX], const char **ret_name, struct err *e)
{
	*ret_name = name;
	if (l->firsts != NULL)
		audit_file_name(name, l->firsts[i]);
	else
		*ret_name = l->o->files[i];
	int fd = openat(l->dir_fd, *ret_name, O_RDONLY | O_CLOEXEC);
	return fd >= 0 ? fd : err_wrap((err_errno(e, errno, "open"), e), "%.100s", *ret_name);
}

/* ---- verify ---- */

static int check_all(const struct look *l, struct audit_check *c, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < l->n; i++) {
		char own[AUDIT_NAME_MAX];
		const char *name;
		CLEANUP(fd_close) int fd = open_file(l, i, own, &name, e);
		rc = fd < 0 ? fd : audit_check_file(c, fd, name, e);
	}
	audit_check_end(c);
	return rc;
}

static int parse_head(struct audit_mark *ret, const char *text, struct err *e)
{
	struct str hash, line = str_split(str_of(text), ':', &hash);
	uint64_t seq;

	if (hash.p == NULL || !str_to_u64(line, &seq) || seq < 1 || seq > INT64_MAX || !hex_decode(ret->hash, AUDIT_HASH, hash))
		return err_set(e, ERR_USAGE, "--head: \"%.100s\" is no LINE:HASH", text);
	ret->seq = (int64_t)seq;
	return 0;
}

/* Lines that the server has written and the catalogue does not know of yet may be half there. */
static bool only_torn(const struct audit_check *c)
{
	return c->fault == AUDIT_TORN && c->anchored && c->at.seq >= c->anchor.seq;
}

static void tell(FILE *out, const struct look *l, const struct audit_check *c)
{
	char hash[2 * AUDIT_HASH + 1];

	if (c->fault != AUDIT_FINE && !only_torn(c)) {
		fprintf(out, "%s: ", audit_fault_word(c->fault));
		if (c->fault_line > 0)
			fprintf(out, "%s, line %llu: ", c->fault_file, (unsigned long long)c->fault_line);
		else if (c->fault_file[0] != '\0')
			fprintf(out, "%s, at its end: ", c->fault_file);
		fprintf(out, "%s; %llu lines before it are right\n", c->detail, (unsigned long long)c->lines);
		return;
	}
	hex_encode(hash, c->at.hash, AUDIT_HASH);
	fprintf(out, "ok: %llu lines in %zu files, from %lld to %lld:%s%s%s\n", (unsigned long long)c->lines, l->n, (long long)c->first,
		(long long)c->at.seq, hash,
		c->anchored
			? ""
			: "; nothing says whether lines after it, or all of them, were replaced: compare this with what was noted elsewhere",
		c->fault == AUDIT_TORN ? "; an incomplete line follows, as after a crash: the server's next start writes it anew" : "");
}

/* Against what the catalogue knows first, then against what somebody noted. */
static int verify(FILE *out, struct look *l, const struct audit_head *head, bool *ret_fine, struct err *e)
{
	struct audit_check c = {.anywhere = l->firsts == NULL};
	int rc;

	if (head != NULL) {
		c.anchored = head->seq > 0;
		c.anchor.seq = head->seq;
		memcpy(c.anchor.hash, head->hash, AUDIT_HASH);
	} else if (l->o->head != NULL) {
		c.anchored = true;
		if ((rc = parse_head(&c.anchor, l->o->head, e)) != 0)
			return rc;
	}
	if ((rc = check_all(l, &c, e)) != 0)
		return rc;
	*ret_fine = c.fault == AUDIT_FINE || only_torn(&c);
	if (*ret_fine && head != NULL && l->o->head != NULL)
		return verify(out, l, NULL, ret_fine, e);
	tell(out, l, &c);
	return 0;
}

int audit_verify(FILE *out, const struct settings *s, const struct audit_options *o, bool *ret_fine, struct err *e)
{
	struct look l = {.o = o, .arena = ARENA_INIT};
	struct audit_head head = {};
	bool of_directory = o->n_files == 0;
	int rc = of_directory ? catalogue_audit_head(s, &head, e) : 0; /* before the files: they only grow */

	if (rc == 0)
		rc = open_look(&l, s->data_dir, e);
	if (rc == 0)
		rc = verify(out, &l, of_directory ? &head : NULL, ret_fine, e);
	close_look(&l);
	return rc;
}

/* ---- show ---- */

static bool wanted(const char *line, const char *act)
{
	static const char MEMBER[] = "\"act\":\"";
	const char *at = act == NULL ? NULL : strstr(line, MEMBER);

	return act == NULL || (at != NULL && strncmp(at + sizeof(MEMBER) - 1, act, strlen(act)) == 0);
}

static int show_file(FILE *out, int fd, const struct audit_options *o, struct err *e)
{
	CLEANUP(free_ptr) char *line = NULL;
	FILE *in = fdopen(fd, "r");
	size_t cap = 0;

	if (in == NULL) {
		int failed = errno;
		fd_close(&fd);
		return err_errno(e, failed, "fdopen");
	}
	while (getline(&line, &cap, in) > 0)
		if (wanted(line, o->act))
			fputs(line, out);
	bool failed = ferror(in) || ferror(out);
	fclose(in);
	return failed ? err_set(e, ERR_IO, "the audit log could not be read or shown") : 0;
}

int audit_show(FILE *out, const char *data_dir, const struct audit_options *o, struct err *e)
{
	struct look l = {.o = o, .arena = ARENA_INIT};
	int rc = open_look(&l, data_dir, e);

	for (size_t i = 0; rc == 0 && i < l.n; i++) {
		char own[AUDIT_NAME_MAX];
		const char *name;
		int fd = open_file(&l, i, own, &name, e);
		rc = fd < 0 ? fd : show_file(out, fd, o, e);
	}
	close_look(&l);
	return rc;
}
