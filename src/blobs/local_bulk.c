/* Many blobs at once: a backup flushes a whole file system once where an upload flushes its file and its folder. Since Linux 5.8 syncfs reports every
 * write-back that failed since the descriptor was opened, so nothing is lost in silence between the two.
 *
 * linkat and syncfs do not go through env: only programs beside the server come here. */
#include "base/fd.h"
#include "blobs/local_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int blobs_local_settle(struct blob_writer *base, struct err *e)
{
	struct local_writer *w = (struct local_writer *)base;
	int r = 0;

	if (blobs_sealed(base->store))
		r = err_set(e, ERR_STORAGE_SEALED, "a flush failed; the storage takes no writes");
	else if (base->failed < 0)
		r = err_set(e, base->failed, "an earlier write to this blob failed");
	if (r == 0)
		r = local_check_file(w, e);
	if (r < 0)
		blob_abandon(base);
	else
		local_release_writer(w);
	return r;
}

static int link_errno(int errno_value, struct err *e)
{
	switch (errno_value) {
	case ENOENT:
		return err_set(e, ERR_NOT_FOUND, "no such blob");
	case EEXIST:
		return err_set(e, ERR_CONFLICT, "the blob exists already");
	case EXDEV: /* two file systems */
	case EPERM: /* a file system without links, or somebody else's file (fs.protected_hardlinks) */
	case EMLINK:
	case EOPNOTSUPP:
	case ENOSYS:
		return err_set(e, ERR_NOT_IMPLEMENTED, "no second name can be given there");
	default:
		return err_errno(e, errno_value, "linkat");
	}
}

int blobs_local_link(struct blobs *to, struct blobs *from, struct str name, struct err *e)
{
	struct blob_name_parts parts;
	struct dir *source, *target;
	char id[BLOB_NAME_MAX + 1];
	int r, saved_errno;

	if (!blob_name_valid(name))
		return err_set(e, ERR_BAD_NAME, "not the name of a blob");
	if (blobs_sealed(to))
		return err_set(e, ERR_STORAGE_SEALED, "a flush failed; the storage takes no writes");
	parts = blob_name_parts(name);
	local_copy_part(id, parts.id);
	r = dirs_get(local_of(from)->dirs, parts, false, &source, e);
	if (r < 0)
		return r;
	r = dirs_get(local_of(to)->dirs, parts, true, &target, e);
	if (r == 0) {
		r = linkat(dir_fd(source), id, dir_fd(target), id, 0);
		saved_errno = errno;
		dirs_put(local_of(to)->dirs, target);
		if (r < 0)
			r = link_errno(saved_errno, e);
	}
	dirs_put(local_of(from)->dirs, source);
	return r;
}

int blobs_local_flush(struct blobs *b, struct err *e)
{
	if (blobs_sealed(b))
		return err_set(e, ERR_STORAGE_SEALED, "an earlier flush failed");
	if (syncfs(local_of(b)->root_fd) == 0)
		return 0;
	blobs_seal(b);
	return err_errno(e, errno, "syncfs");
}
