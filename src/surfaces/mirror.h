/* storage-sync's local copies: each object as a file under its own name in one folder, for programs that read there. The names are strangers' words. */
#ifndef FILEMILL_SURFACES_MIRROR_H
#define FILEMILL_SURFACES_MIRROR_H

#include "base/err.h"
#include "base/str.h"
#include "engine/s3.h"

#include <stdbool.h>

/* Relative, each part of 1 to 255 bytes and neither `.` nor `..` nor the mirror's own `.filemill`, no control characters: so it stays in the folder, and two names are two files. */
bool mirror_name_allowed(struct str name);

struct mirror {
	int root, parts; /* descriptors: the folder, and that of what is not whole yet in it, which is locked */
};
#define MIRROR_INIT ((struct mirror){-1, -1})

/* Makes the folder when it is not there, and removes what an earlier life left half written. ERR_BAD_CONFIG; also when another has it open. */
[[nodiscard]] int mirror_open(struct mirror *m, const char *dir, struct err *e);
/* Whether this folder is the mirror or lies in it, so that a copy's name could be one of its files'; also when that cannot be told. */
bool mirror_holds(const struct mirror *m, int folder);
void mirror_close(struct mirror *m); /* also one that was never opened */

/* An engine_object_fn; arg is the mirror. Returns when the copy is durable under its name, in the place of an earlier one. At every moment there is a whole file under the name, or none.
 * ERR_BAD_NAME, ERR_IO, ERR_STORAGE_FULL, and what may_go_on says. */
int mirror_keep(void *m, const struct engine_object *o, struct err *e);

/* A descriptor of the copy, with its size and time, which the caller closes. ERR_FILE_NOT_FOUND; ERR_IO. */
[[nodiscard]] int mirror_find(const struct mirror *m, struct str name, int *ret_fd, uint64_t *ret_size, int64_t *ret_made_ms,
			      struct err *e);

#endif
