/* The server, wired: the only place that names concrete backends. */
#ifndef FILEMILL_APP_SERVE_H
#define FILEMILL_APP_SERVE_H

#include "app/routes.h"
#include "cli/settings.h"

/* Serves until a signal asks for an end. 0 after a graceful stop, or the ERR_… for which it did not start. The log is set up; signals are blocked. */
[[nodiscard]] int serve(const struct settings *settings, const struct routes *routes, const char *version, struct err *e);

/* Works without serving: claims jobs of the catalogue that other nodes share. The same otherwise; asked for an end, it claims no more and lets what runs end by itself for a while. */
[[nodiscard]] int work_only(const struct settings *settings, const struct routes *routes, const char *version, struct err *e);

#endif
