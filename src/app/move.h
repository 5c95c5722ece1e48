/* filemill move: catalogue and blobs from where one configuration has them to where another one will (docs/adr/0042-move.md). A whole command: it tells its progress on standard error, and
 * what was done as one line in `out`. */
#ifndef FILEMILL_APP_MOVE_H
#define FILEMILL_APP_MOVE_H

#include "base/buf.h"
#include "cli/settings.h"

/* Beside a running server or without one. Ended at any moment, it goes on where it was when it is called again. ERR_CONFLICT, ERR_BAD_CONFIG, ERR_IN_USE, ERR_DAMAGED…. */
[[nodiscard]] int move(struct buf *out, const struct settings *from, const struct settings *to, struct err *e);
/* What was moved away from `from` is to be used again, there. */
[[nodiscard]] int move_take_back(struct buf *out, const struct settings *from, struct err *e);

#endif
