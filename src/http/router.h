/* From method and path to a route. Static segments win over {param}; compiled once, then read-only. */
#ifndef FILEMILL_HTTP_ROUTER_H
#define FILEMILL_HTTP_ROUTER_H

#include "base/err.h"
#include "base/str.h"
#include "http/http.h"

#define ROUTE_PARAMS_MAX 8
#define ROUTE_SEGMENTS_MAX 16
#define HTTP_METHODS 7

struct router;

struct route_match {
	const struct http_route *route; /* NULL: no route for this method */
	unsigned allowed; /* bit a method: what the path takes; 0 = no such path. Set when route is NULL */
	struct str params[ROUTE_PARAMS_MAX]; /* in the order of the pattern */
	unsigned n_params;
};

/* ERR_INTERNAL when a pattern is malformed or two routes are the same; ERR_NO_MEMORY. */
[[nodiscard]] int router_new(struct router **ret, const struct http_route *const *tables, struct err *e);
void router_free(struct router *r);
/* path: decoded, begins with '/', no empty or dot segments but for a slash at the end. method: -1 for one that no route has. */
void router_find(const struct router *r, int method, struct str path, struct route_match *ret);
/* The value of the route's {name}; p NULL when there is none. */
struct str route_param(const struct route_match *m, const char *name);
/* "GET, HEAD, OPTIONS" */
void route_allow(char dst[64], unsigned allowed);
const char *http_method_name(enum http_method m);

#endif
