#include "http/router.h"

#include "base/json_out.h"

#include <stdlib.h>
#include <string.h>

/* A tree of segments. A node's routes are those whose pattern ends there, without or with a slash at the end. */
struct node {
	struct str segment; /* borrowed from the pattern */
	struct node *children; /* static ones */
	struct node *param;
	struct node *next; /* sibling */
	const struct http_route *plain[HTTP_METHODS];
	const struct http_route *slash[HTTP_METHODS];
	const struct http_route *rest[HTTP_METHODS]; /* whose last parameter begins here and takes all that follows */
	bool has_rest; /* there is one: so it counts among the parameters that are bounded */
};

struct router {
	struct node root;
};

static const char *const method_names[HTTP_METHODS] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};

const char *http_method_name(enum http_method m)
{
	return method_names[m];
}

static struct node *child_of(const struct node *n, struct str segment)
{
	for (struct node *c = n->children; c; c = c->next)
		if (str_eq(c->segment, segment))
			return c;
	return NULL;
}

static struct node *step_param(struct node *n)
{
	if (!n->param)
		n->param = calloc(1, sizeof(*n->param));
	return n->param;
}

static struct node *step_static(struct node *n, struct str segment)
{
	struct node *c = child_of(n, segment);

	if (c)
		return c;
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->segment = segment;
	c->next = n->children;
	n->children = c;
	return c;
}

static bool is_param(struct str segment)
{
	return segment.len >= 3 && segment.p[0] == '{' && segment.p[segment.len - 1] == '}';
}

static int put(const struct http_route *slots[HTTP_METHODS], const struct http_route *route, struct err *e)
{
	if (slots[route->method])
		return err_set(e, ERR_INTERNAL, "two routes for %s %s", method_names[route->method], route->pattern);
	slots[route->method] = route;
	return 0;
}

static int add_route(struct router *r, const struct http_route *route, struct err *e)
{
	struct node *n = &r->root;
	struct str rest = str_of(route->pattern);
	unsigned segments = 0, params = 0;
	bool slash = false;

	if (rest.len == 0 || rest.p[0] != '/')
		return err_set(e, ERR_INTERNAL, "the pattern %s does not begin with a slash", route->pattern);
	for (rest.p++, rest.len--; rest.p; segments++) {
		struct str segment = str_split(rest, '/', &rest);

		if (segment.len == 0 && !rest.p) {
			slash = true;
			break;
		}
		if (segment.len == 0 || segments == ROUTE_SEGMENTS_MAX || (is_param(segment) && params++ == ROUTE_PARAMS_MAX))
			return err_set(e, ERR_INTERNAL, "the pattern %s is malformed", route->pattern);
		if (route->rest && !rest.p && is_param(segment)) {
			n->has_rest = true;
			return put(n->rest, route, e);
		}
		n = is_param(segment) ? step_param(n) : step_static(n, segment);
		if (!n)
			return err_set(e, ERR_NO_MEMORY, "routes");
	}
	if (route->any_slash || !slash) {
		int rc = put(n->plain, route, e);

		if (rc)
			return rc;
	}
	return route->any_slash || slash ? put(n->slash, route, e) : 0;
}

static void free_children(struct node *n)
{
	struct node *c, *next;

	for (c = n->children; c; c = next) {
		next = c->next;
		free_children(c);
		free(c);
	}
	if (n->param) {
		free_children(n->param);
		free(n->param);
	}
}

int router_new(struct router **ret, const struct http_route *const *tables, struct err *e)
{
	struct router *r = calloc(1, sizeof(*r));

	if (!r)
		return err_set(e, ERR_NO_MEMORY, "routes");
	for (; tables && *tables; tables++) {
		for (const struct http_route *route = *tables; route->pattern; route++) {
			int rc = add_route(r, route, e);

			if (rc) {
				router_free(r);
				return rc;
			}
		}
	}
	*ret = r;
	return 0;
}

void router_free(struct router *r)
{
	if (!r)
		return;
	free_children(&r->root);
	free(r);
}

static bool take(const struct http_route *const slots[HTTP_METHODS], int method, struct route_match *m)
{
	const struct http_route *route = method < 0 ? NULL : slots[method];

	if (!route && method == HTTP_HEAD)
		route = slots[HTTP_GET];
	if (route) {
		m->route = route;
		return true;
	}
	for (unsigned i = 0; i < HTTP_METHODS; i++)
		if (slots[i])
			m->allowed |= 1u << i;
	return false;
}

static bool take_rest(const struct node *n, int method, struct str rest, struct route_match *m)
{
	if (!n->has_rest)
		return false;
	if (rest.p[rest.len - 1] == '/')
		rest.len--;
	m->params[m->n_params++] = rest;
	if (take(n->rest, method, m))
		return true;
	m->n_params--;
	return false;
}

/* Depth is bounded by the patterns' and so is the work: at each level at most three ways, of which the last goes no deeper. */
static bool walk(const struct node *n, int method, struct str rest, struct route_match *m)
{
	const struct node *c;
	struct str segment, after;

	if (!rest.p)
		return take(n->plain, method, m);
	if (rest.len == 0)
		return take(n->slash, method, m);
	segment = str_split(rest, '/', &after);
	c = child_of(n, segment);
	if (c && walk(c, method, after, m))
		return true;
	if (segment.len == 0)
		return false;
	if (n->param) {
		m->params[m->n_params++] = segment;
		if (walk(n->param, method, after, m))
			return true;
		m->n_params--;
	}
	return take_rest(n, method, rest, m);
}

void router_find(const struct router *r, int method, struct str path, struct route_match *ret)
{
	*ret = (struct route_match){};
	if (path.len == 0)
		return;
	walk(&r->root, method, (struct str){path.p + 1, path.len - 1}, ret);
	if (ret->route)
		return;
	if (ret->allowed & 1u << HTTP_GET)
		ret->allowed |= 1u << HTTP_HEAD;
	if (ret->allowed)
		ret->allowed |= 1u << HTTP_OPTIONS;
}

struct str route_param(const struct route_match *m, const char *name)
{
	struct str rest = m->route ? str_of(m->route->pattern) : (struct str){};
	unsigned i = 0;

	while (rest.p) {
		struct str segment = str_split(rest, '/', &rest);

		if (!is_param(segment))
			continue;
		if (str_eq((struct str){segment.p + 1, segment.len - 2}, str_of(name)))
			return m->params[i];
		i++;
	}
	return (struct str){};
}

void route_allow(char dst[64], unsigned allowed)
{
	char *p = dst;

	*p = '\0';
	for (unsigned i = 0; i < HTTP_METHODS; i++) {
		if (!(allowed & 1u << i))
			continue;
		if (p != dst)
			p = stpcpy(p, ", ");
		p = stpcpy(p, method_names[i]);
	}
}

void http_routes_json(struct buf *out, const struct http_route *const *tables)
{
	static const char *const access_names[HTTP_ACCESSES] = {
		[HTTP_ANYONE] = "anyone",
		[HTTP_CALLER] = "caller",
		[HTTP_FILES_READ] = "files:read",
		[HTTP_FILES_WRITE] = "files:write",
		[HTTP_JOBS_READ] = "jobs:read",
		[HTTP_JOBS_WRITE] = "jobs:write",
		[HTTP_PERSON] = "person",
		[HTTP_WATCHER] = "watcher",
		[HTTP_OPERATOR] = "operator",
		[HTTP_ADMIN] = "admin",
		[HTTP_LINK] = "link",
	};
	struct json_out j = json_out(out);

	json_arr_open(&j);
	for (; *tables; tables++) {
		for (const struct http_route *route = *tables; route->pattern; route++) {
			json_obj_open(&j);
			json_kcstr(&j, "method", method_names[route->method]);
			json_kcstr(&j, "path", route->pattern);
			json_kcstr(&j, "operation", route->operation ? route->operation : "");
			json_kcstr(&j, "summary", route->summary ? route->summary : "");
			json_kcstr(&j, "access", access_names[route->access]);
			json_obj_close(&j);
		}
	}
	json_arr_close(&j);
}
