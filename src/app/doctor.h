/* `filemill doctor`: what of all that the configuration needs holds on this machine. */
#ifndef FILEMILL_APP_DOCTOR_H
#define FILEMILL_APP_DOCTOR_H

#include "base/buf.h"
#include "cli/settings.h"

/* Starts the sealed runner, has it report, ends it again; looks at the data directory without changing anything. Writes the findings as text, or as one JSON object.
 * True when all that is required holds. */
bool doctor(struct buf *out, const struct settings *s, const char *version, bool json);

#endif
