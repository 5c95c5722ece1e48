#include "model/account.h"

static const char *const role_names[ROLES] = {[ROLE_USER] = "user", [ROLE_OPERATOR] = "operator", [ROLE_ADMIN] = "admin"};
static const char *const scope_names[SCOPES] = {
	[SCOPE_FILES_READ] = "files:read", [SCOPE_FILES_WRITE] = "files:write",
	[SCOPE_JOBS_READ] = "jobs:read",   [SCOPE_JOBS_WRITE] = "jobs:write",
	[SCOPE_ADMIN] = "admin",
};

static int find(const char *const *names, unsigned n, struct str name)
{
	for (unsigned i = 0; i < n; i++)
		if (str_eq(name, str_of(names[i])))
			return (int)i;
	return -1;
}

const char *quota_name(enum quota q)
{
	static const char *const names[QUOTAS] = {"files", "bytes", "jobs"};

	return names[q];
}

const char *role_name(enum role r)
{
	return role_names[r];
}

bool role_parse(enum role *ret, struct str name)
{
	int found = find(role_names, ROLES, name);

	if (found >= 0)
		*ret = (enum role)found;
	return found >= 0;
}

const char *scope_name(enum scope s)
{
	return scope_names[s];
}

bool scope_parse(enum scope *ret, struct str name)
{
	int found = find(scope_names, SCOPES, name);

	if (found >= 0)
		*ret = (enum scope)found;
	return found >= 0;
}
