/* filemill admin: which act, from its words. */
#ifndef FILEMILL_CLI_ADMIN_H
#define FILEMILL_CLI_ADMIN_H

#include "base/err.h"

enum admin_act {
	ADMIN_USER_ADD, /* EMAIL */
	ADMIN_USER_LIST,
	ADMIN_USER_PASSWD, /* EMAIL */
	ADMIN_USER_ROLE, /* EMAIL ROLE */
	ADMIN_USER_QUOTA, /* EMAIL LIST */
	ADMIN_USER_DISABLE, /* EMAIL */
	ADMIN_USER_ENABLE, /* EMAIL */
	ADMIN_USER_REMOVE, /* EMAIL */
	ADMIN_KEY_ADD, /* EMAIL NAME */
	ADMIN_KEY_LIST, /* [EMAIL] */
	ADMIN_KEY_REVOKE, /* ID */
	ADMIN_STORAGE_SOLE,
	ADMIN_ACTS
};

/* What is to be done: `user add ann@example.org` has the words user, add, ann@example.org. Later words: the act's own, as many as it takes. */
struct admin_line {
	enum admin_act act;
	const char *words[2]; /* NULL = not given */
	const char *role, *name, *scopes, *expires; /* of --role and so on; NULL = not given */
};

/* Takes the act and its words. ERR_USAGE, also for an option that this act does not take. */
[[nodiscard]] int admin_parse(struct admin_line *line, char *const *words, int n, struct err *e);

#endif
