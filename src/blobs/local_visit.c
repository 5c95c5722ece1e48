/* Walking <root>/<owner>/<2 hex>/<id> with one descriptor a level. What does not fit the pattern was not made by us: it is told to those
 * who ask for it, and else passed over, as is what disappears meanwhile. Reading the entries themselves is the one call here that does not go through env: it changes nothing, and missing a name only
 * leaves it to the next sweep. */
#include "blobs/local_impl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdalign.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define ENTRIES_BYTES 8192 /* read at once, on the stack of each level */

struct walk {
	struct env *env;
	struct local_walk to;
	struct err *e;
};

/* `prefix` is the name so far, "" or "owner" or "owner/xx". */
static int walk_dir(const struct walk *w, int parent_fd, const char *name, const char *prefix, unsigned level);

static void tell_foreign(const struct walk *w, const char *prefix, const char *name)
{
	char path[BLOB_NAME_MAX + NAME_MAX + 2];
	int n = snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix ? "/" : "", name);

	if (w->to.foreign && n > 0)
		w->to.foreign(w->to.arg, (struct str){path, (size_t)n < sizeof(path) ? (size_t)n : sizeof(path) - 1});
}

/* What could not be opened as what it should be: it vanished, or it is something else. */
static bool was_never_ours(const struct walk *w, const char *path, int errno_value)
{
	if (errno_value == ENOTDIR || errno_value == ELOOP)
		tell_foreign(w, "", path);
	return errno_value == ENOENT || errno_value == ENOTDIR || errno_value == ELOOP;
}

static int visit_file(const struct walk *w, int dir_fd, const char *id, struct str name)
{
	struct stat st;
	int r, saved_errno, fd = retry_openat(w->env, dir_fd, id, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);

	if (fd < 0)
		return was_never_ours(w, name.p, errno) ? 0 : err_errno(w->e, errno, "openat");
	r = w->env->fstat(w->env, fd, &st);
	saved_errno = errno;
	(void)w->env->close(w->env, fd);
	if (r < 0)
		return err_errno(w->e, saved_errno, "fstat");
	if (!S_ISREG(st.st_mode)) {
		tell_foreign(w, "", name.p);
		return 0;
	}
	return w->to.visit ? w->to.visit(w->to.arg, name, (uint64_t)st.st_size) : 0;
}

static int visit_entry(const struct walk *w, int dir_fd, const char *name, const char *prefix, unsigned level)
{
	char path[BLOB_NAME_MAX + 1];
	struct str part = str_of(name);
	int n;

	if (str_eq(part, STR(".")) || str_eq(part, STR("..")))
		return 0;
	if (!(level == 1 ? blob_shard_valid(part) : blob_owner_valid(part))) {
		tell_foreign(w, prefix, name);
		return 0;
	}
	n = snprintf(path, sizeof(path), "%s%s%s", prefix, level > 0 ? "/" : "", name);
	if (n < 0 || (size_t)n >= sizeof(path)) {
		tell_foreign(w, prefix, name);
		return 0;
	}
	if (level < 2)
		return walk_dir(w, dir_fd, name, path, level + 1);
	return visit_file(w, dir_fd, name, str_of(path));
}

static int read_entries(const struct walk *w, int fd, const char *prefix, unsigned level)
{
	alignas(struct dirent64) char entries[ENTRIES_BYTES];
	ssize_t n;

	while ((n = getdents64(fd, entries, sizeof(entries))) > 0) {
		for (ssize_t at = 0; at < n;) {
			const struct dirent64 *entry = (const struct dirent64 *)(const void *)(entries + at);
			int r = visit_entry(w, fd, entry->d_name, prefix, level);

			if (r != 0)
				return r;
			at += entry->d_reclen;
		}
	}
	return n < 0 ? err_errno(w->e, errno, "getdents64") : 0;
}

static int walk_dir(const struct walk *w, int parent_fd, const char *name, const char *prefix, unsigned level)
{
	int r, fd = retry_openat(w->env, parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);

	if (fd < 0)
		return level > 0 && was_never_ours(w, prefix, errno) ? 0 : err_errno(w->e, errno, "openat");
	r = read_entries(w, fd, prefix, level);
	(void)w->env->close(w->env, fd);
	return r;
}

int local_walk(struct env *env, int root_fd, const struct local_walk *to, struct err *e)
{
	const struct walk w = {.env = env, .to = *to, .e = e};

	/* Opened anew, because the borrowed descriptor's position is shared with other walks. */
	return walk_dir(&w, root_fd, ".", "", 0);
}
