/* Settings of who may come and how much he may ask, from their texts. */
#ifndef FILEMILL_CLI_LIMITS_H
#define FILEMILL_CLI_LIMITS_H

#include "base/arena.h"
#include "base/err.h"
#include "rt/limiter.h"

struct settings;

/* "6000/1m": so many in that time, all of them at once too; "off" is a quota of 0. ERR_BAD_CONFIG. */
[[nodiscard]] int limits_read_rate(struct limiter_rate *ret, struct str text, struct err *e);
/* Fills what settings.h says comes from the texts of http.hosts, http.trusted_proxies, cors and limits. ERR_BAD_CONFIG. */
[[nodiscard]] int limits_read(struct settings *s, struct arena *strings, struct err *e);

#endif
