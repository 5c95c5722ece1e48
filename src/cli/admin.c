#include "cli/admin.h"
#include "base/buf.h"

#include <string.h>

static const struct {
	const char *noun, *verb, *takes;
	int least, most; /* words of its own */
	bool adds_user, adds_key; /* takes --role and --name; --scopes and --expires */
} ACTS[ADMIN_ACTS] = {
	[ADMIN_USER_ADD] = {"user", "add", "EMAIL [--role ROLE] [--name NAME]", 1, 1, true, false},
	[ADMIN_USER_LIST] = {"user", "list", "", 0, 0, false, false},
	[ADMIN_USER_PASSWD] = {"user", "passwd", "EMAIL", 1, 1, false, false},
	[ADMIN_USER_ROLE] = {"user", "role", "EMAIL user|operator|admin", 2, 2, false, false},
	[ADMIN_USER_QUOTA] = {"user", "quota", "EMAIL files=N,bytes=SIZE,jobs=N", 2, 2, false, false},
	[ADMIN_USER_DISABLE] = {"user", "disable", "EMAIL", 1, 1, false, false},
	[ADMIN_USER_ENABLE] = {"user", "enable", "EMAIL", 1, 1, false, false},
	[ADMIN_USER_REMOVE] = {"user", "remove", "EMAIL", 1, 1, false, false},
	[ADMIN_KEY_ADD] = {"key", "add", "EMAIL NAME [--scopes LIST] [--expires TIME]", 2, 2, false, true},
	[ADMIN_KEY_LIST] = {"key", "list", "[EMAIL]", 0, 1, false, false},
	[ADMIN_KEY_REVOKE] = {"key", "revoke", "ID", 1, 1, false, false},
	[ADMIN_STORAGE_SOLE] = {"storage", "sole", "", 0, 0, false, false},
};

static int find_act(char *const *words, int n)
{
	for (int i = 0; n >= 2 && i < ADMIN_ACTS; i++)
		if (strcmp(words[0], ACTS[i].noun) == 0 && strcmp(words[1], ACTS[i].verb) == 0)
			return i;
	return -1;
}

int admin_parse(struct admin_line *line, char *const *words, int n, struct err *e)
{
	int act = find_act(words, n);

	if (act < 0)
		return err_set(
			e, ERR_USAGE,
			"admin what? user add, list, passwd, role, quota, disable, enable or remove; key add, list or revoke; storage sole");
	/* What was too much is not told again: somebody may have taken a password for an argument. */
	if (n - 2 < ACTS[act].least || n - 2 > ACTS[act].most)
		return err_set(e, ERR_USAGE, "it is: filemill admin %s %s %s", ACTS[act].noun, ACTS[act].verb, ACTS[act].takes);
	if (((line->role || line->name) && !ACTS[act].adds_user) || ((line->scopes || line->expires) && !ACTS[act].adds_key))
		return err_set(e, ERR_USAGE, "admin %s %s takes no such option; it is: filemill admin %s %s %s", ACTS[act].noun,
			       ACTS[act].verb, ACTS[act].noun, ACTS[act].verb, ACTS[act].takes);
	line->act = (enum admin_act)act;
	for (int i = 0; i < 2; i++)
		line->words[i] = i < n - 2 ? words[i + 2] : NULL;
	return 0;
}
