/* Whether a server may write: what `filemill move` asks of it. A move in its last phase closes the gate with a lock on the data directory's file `filemill.gate`, which goes with the process
 * that holds it, so that one that died keeps nobody from writing. What was moved stays closed: the file `filemill.moved` says so (docs/adr/0042-move.md). */
#ifndef FILEMILL_APP_GATE_H
#define FILEMILL_APP_GATE_H

#include "base/err.h"

#include <stdbool.h>

struct gate {
	int dir_fd; /* borrowed: the data directory */
	int fd; /* the lock file */
};

#define GATE_INIT ((struct gate){.dir_fd = -1, .fd = -1})

/* Makes the lock file where it is missing. */
[[nodiscard]] int gate_open(struct gate *ret, int dir_fd, struct err *e);
void gate_release(struct gate *g);

/* ---- for a server: catalog_options.enter and leave, arg is the gate ---- */
/* Before each batch; one thread. ERR_MOVED while it is closed, and once what is here was moved. */
[[nodiscard]] int gate_enter(void *arg, struct err *e);
void gate_leave(void *arg);
/* Whether nothing may be written now. Any thread. */
bool gate_closed(const struct gate *g);

/* ---- for a move ---- */
/* Waits for the batch under way; nothing is written afterwards as long as the gate is not released. ERR_IN_USE: another move has closed it. */
[[nodiscard]] int gate_close(struct gate *g, struct err *e);

/* What was in the directory was moved: `where`, a few words. */
[[nodiscard]] int moved_write(int dir_fd, const char *where, struct err *e);
/* False: it was not moved. dst may be NULL. */
#define MOVED_MAX 256
[[nodiscard]] int moved_read(int dir_fd, bool *ret, char dst[MOVED_MAX], struct err *e);
[[nodiscard]] int moved_forget(int dir_fd, struct err *e);

#endif
