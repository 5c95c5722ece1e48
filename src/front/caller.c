#include "front/caller.h"
#include "catalog/catalog.h"
#include "front/front.h"
#include "front/limits.h"

static const struct caller anonymous = {
	.owner = STR(OWNER_PUBLIC),
	.how = CALLER_ANONYMOUS,
	.role = ROLE_USER,
	.scopes = 1u << SCOPE_FILES_READ | 1u << SCOPE_FILES_WRITE | 1u << SCOPE_JOBS_READ | 1u << SCOPE_JOBS_WRITE,
};

const char *caller_how_name(enum caller_how h)
{
	static const char *const names[] = {"anonymous", "session", "key", "signature", "link"};

	return names[h];
}

const struct caller *front_caller(const struct http_request *r)
{
	const struct caller *c = http_caller(r);

	return c != NULL ? c : &anonymous;
}

static bool has(const struct caller *c, enum scope s)
{
	return c->scopes & 1u << s;
}

static bool may(const struct caller *c, enum http_access access)
{
	switch (access) {
	case HTTP_ANYONE:
	case HTTP_CALLER:
		return true;
	case HTTP_FILES_READ:
		return has(c, SCOPE_FILES_READ);
	case HTTP_FILES_WRITE:
		return has(c, SCOPE_FILES_WRITE);
	case HTTP_JOBS_READ:
		return has(c, SCOPE_JOBS_READ);
	case HTTP_JOBS_WRITE:
		return has(c, SCOPE_JOBS_WRITE);
	case HTTP_PERSON:
		return c->how == CALLER_SESSION;
	case HTTP_WATCHER:
		return c->how == CALLER_ANONYMOUS || has(c, SCOPE_ADMIN);
	case HTTP_OPERATOR:
		return c->role >= ROLE_OPERATOR && has(c, SCOPE_ADMIN);
	case HTTP_ADMIN:
		return c->role >= ROLE_ADMIN && has(c, SCOPE_ADMIN);
	case HTTP_ACCESSES:
		break;
	}
	return false;
}

int front_admit(struct http_request *r, struct err *e)
{
	const struct caller *c = front_caller(r);
	int rc = limits_caller(r, c, e);

	if (rc != 0)
		return rc;
	if (c->how == CALLER_ANONYMOUS && http_route_of(r)->access != HTTP_ANYONE && !front_of(r)->anonymous &&
	    catalog_account_count(front_catalog(r)) > 0)
		return err_set(e, ERR_UNAUTHENTICATED, "this takes credentials");
	if (may(c, http_route_of(r)->access))
		return 0;
	if (c->how == CALLER_ANONYMOUS)
		return err_set(e, ERR_UNAUTHENTICATED, "this takes credentials");
	return err_set(e, ERR_FORBIDDEN, "these credentials do not allow this");
}
