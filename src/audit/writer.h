/* The one writer of a log's files. It appends whole batches and flushes them; how far that is confirmed is kept elsewhere (the catalogue) and told at the opening. What lies beyond
 * is what a crash left: it has to be what would be written next, as far as it got, and is cut off and written again. One thread. */
#ifndef FILEMILL_AUDIT_WRITER_H
#define FILEMILL_AUDIT_WRITER_H

#include "audit/audit.h"
#include "rt/env.h"

/* Where the log ends. */
struct audit_end {
	struct audit_mark mark;
	int64_t file; /* the first line's number of the file it ends in */
	uint64_t size; /* bytes of that file */
	bool elsewhere; /* that file is another writer's, in another folder: here a new one begins */
	bool unknown; /* the same if it is not here */
};

struct audit_writer {
	struct env *env; /* borrowed */
	int dir_fd; /* borrowed; -1: not open */
	int fd; /* of the file it ends in; -1: none yet */
	uint64_t file_max; /* bytes after which a new file begins */
	struct audit_end end;
	uint64_t unknown; /* bytes beyond the end when it was opened, not yet explained */
	bool broken; /* what was found is not what was confirmed, or not what would be written next */
	bool sealed; /* a write or flush failed: what is on disk is unknown before a restart */
	char detail[160]; /* when broken */
};
#define AUDIT_WRITER_INIT ((struct audit_writer){.dir_fd = -1, .fd = -1})

/* Opens the log that was confirmed up to `end`. An error: it could not be looked at. */
[[nodiscard]] int audit_writer_open(struct audit_writer *w, struct env *env, int dir_fd, uint64_t file_max, const struct audit_end *end,
				    struct err *e);
/* While w->unknown > 0: these lines would be written next, at `at` bytes behind the end; true: what is there agrees, which it does not with no lines at all. A byte of a block that never reached the disk reads as NUL. */
[[nodiscard]] int audit_writer_agrees(struct audit_writer *w, uint64_t at, struct str lines, bool *ret, struct err *e);
/* After that: cuts off what is beyond the end, or, when something is wrong, leaves all as it is and begins a new file. */
[[nodiscard]] int audit_writer_settle(struct audit_writer *w, struct err *e);

/* Appends lines and flushes; `mark` is where they lead. ERR_STORAGE_FULL: nothing was appended, and it may be tried again. ERR_STORAGE_SEALED and others: w->sealed. */
[[nodiscard]] int audit_writer_append(struct audit_writer *w, struct str lines, const struct audit_mark *mark, struct err *e);
/* Begins a new file when the present one is full. Only while the end is confirmed: an opening knows of one file beyond it. */
[[nodiscard]] int audit_writer_rotate(struct audit_writer *w, struct err *e);
void audit_writer_close(struct audit_writer *w);

#endif
