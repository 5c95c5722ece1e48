#include "app/audit.h"
#include "app/catalogue.h"
#include "app/data_dir.h"
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
	const char **files; /* or those that were given, in order */
	size_t n; /* files */
	bool turns; /* several nodes wrote them, into a folder each */
	char home[UUID_TEXT_LEN + 1]; /* whose log has the last line, if that is another data directory */
	struct arena arena;
};

/* Of the path's part up to its last slash. */
static size_t folder_len(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? (size_t)(slash - path) + 1 : 0;
}

/* Whether all lie in the folder of the first, as its name is spelled. */
static bool of_one_folder(const char *const *files, size_t n)
{
	size_t len = folder_len(files[0]);

	for (size_t i = 1; i < n; i++)
		if (folder_len(files[i]) != len || memcmp(files[i], files[0], len) != 0)
			return false;
	return true;
}

static int64_t first_of(const char *path)
{
	int64_t first;

	return audit_file_parse(&first, path + folder_len(path)) ? first : 0;
}

static int by_first(const void *a, const void *b)
{
	int64_t one = first_of(*(const char *const *)a), other = first_of(*(const char *const *)b);

	return (one > other) - (one < other);
}

/* In the order in which they were given; those of several nodes, each with a folder, by the numbers in their names. */
static int take_given(struct look *l, struct err *e)
{
	const char *const *given = (const char *const *)l->o->files;

	l->files = arena_alloc(&l->arena, l->n * sizeof(*l->files));
	if (l->files == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for names");
	memcpy(l->files, given, l->n * sizeof(*l->files));
	l->turns = !of_one_folder(given, l->n);
	if (l->turns)
		qsort(l->files, l->n, sizeof(*l->files), by_first);
	return 0;
}

static int open_look(struct look *l, const char *data_dir, struct err *e)
{
	CLEANUP(free_ptr) char *path = NULL;

	l->dir_fd = AT_FDCWD;
	l->n = (size_t)l->o->n_files;
	if (l->n > 0)
		return take_given(l, e);
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
		*ret_name = l->files[i];
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
	return c->fault == AUDIT_TORN && (c->turns || c->anchored) && c->at.seq >= c->anchor.seq;
}

/* What one of several folders cannot tell. */
static void tell_elsewhere(FILE *out, const struct look *l, const struct audit_check *c)
{
	if (c->missing > 0)
		fprintf(out, "; %llu lines are not here (%s)", (unsigned long long)c->missing, c->ranges);
	if (l->home[0] != '\0')
		fprintf(out, "; the last ones are in the log of data directory %s", l->home);
	if (c->missing > 0 || l->home[0] != '\0')
		fputs(": several nodes wrote them; name the files of all to verify the whole", out);
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
	fprintf(out, "ok: %llu lines in %zu files, from %lld to %lld:%s%s%s", (unsigned long long)c->lines, l->n, (long long)c->first,
		(long long)c->at.seq, hash,
		c->anchored || l->home[0] != '\0'
			? ""
			: "; nothing says whether lines after it, or all of them, were replaced: compare this with what was noted elsewhere",
		c->fault == AUDIT_TORN ? "; an incomplete line follows, as after a crash: the server's next start writes it anew" : "");
	tell_elsewhere(out, l, c);
	fputc('\n', out);
}

/* Against what the catalogue knows first, then against what somebody noted. */
static int verify(FILE *out, struct look *l, const struct audit_head *head, bool *ret_fine, struct err *e)
{
	struct audit_check c = {.anywhere = l->firsts == NULL, .turns = l->turns, .some = l->turns && l->firsts != NULL};
	int rc;

	if (head != NULL && l->home[0] == '\0') {
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

/* Of nodes with a data directory each, each has a part of the log. */
static int look_who_writes(struct look *l, const char *data_dir, const struct audit_head *head, struct err *e)
{
	struct data_dir d = DATA_DIR_INIT;

	l->turns = !uuid_is_zero(head->home);
	if (!l->turns)
		return 0;
	int rc = data_dir_look(&d, data_dir, e);
	if (rc == 0 && audit_head_elsewhere(head, d.id))
		uuid_format(l->home, head->home);
	data_dir_close(&d);
	return rc;
}

int audit_verify(FILE *out, const struct settings *s, const struct audit_options *o, bool *ret_fine, struct err *e)
{
	struct look l = {.o = o, .arena = ARENA_INIT};
	struct audit_head head = {};
	bool of_directory = o->n_files == 0;
	int rc = of_directory ? catalogue_audit_head(s, &head, e) : 0; /* before the files: they only grow */

	if (rc == 0)
		rc = open_look(&l, s->data_dir, e);
	if (rc == 0 && of_directory)
		rc = look_who_writes(&l, s->data_dir, &head, e);
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
