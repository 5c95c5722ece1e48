/* Which route tables are in service. */
#ifndef FILEMILL_APP_ROUTES_H
#define FILEMILL_APP_ROUTES_H

#include "base/err.h"
#include "http/http.h"
#include "rt/config.h"

#include <stdbool.h>

#define ROUTE_TABLES_MAX 32

struct routes {
	const struct http_route *tables[ROUTE_TABLES_MAX]; /* ends with NULL */
	bool hash_tasks; /* its log is to be written */
	bool storage_sync; /* its copies are to be kept */
};

/* The native API always; the surfaces named, `all` for every one. `/` is the surface's own when exactly one is served, else the native page.
 * ERR_BAD_CONFIG for a name that is none. */
[[nodiscard]] int routes_choose(struct routes *ret, const struct config_list *surfaces, struct err *e);

#endif
