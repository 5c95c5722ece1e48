/* The names of what a seal is made of, as the report, the configuration and doctor spell them. */
#include "runner/runner.h"

#include "base/compiler.h"

#include <assert.h>

static const struct {
	const char *name, *help;
} features[] = {
	[SEAL_NO_NEW_PRIVS] = {"no_new_privs", "nothing a child executes can gain rights"},
	[SEAL_UNDUMPABLE] = {"undumpable", "no other process can trace a child or read its memory, and it leaves no core file"},
	[SEAL_RLIMITS] = {"rlimits", "memory, processor time, output, processes and descriptors are bounded"},
	[SEAL_SECCOMP] = {"seccomp", "only the system calls that an op needs"},
	[SEAL_LANDLOCK] = {"landlock", "no file can be opened"},
	[SEAL_LANDLOCK_TCP] = {"landlock_tcp", "no TCP, a second time: seccomp refuses sockets already"},
	[SEAL_LANDLOCK_SCOPE] = {"landlock_scope",
				 "no signals and abstract sockets to the outside, a second time: seccomp refuses them already"},
	[SEAL_NAMESPACES] =
		{"namespaces",
		 "commands see no other process, no network and nothing of the file system but programs and a /tmp of their own"},
};
static_assert(ARRAY_LEN(features) == SEAL_FEATURES, "each feature has a name");

const char *seal_feature_name(enum seal_feature f)
{
	return features[f].name;
}

const char *seal_feature_help(enum seal_feature f)
{
	return features[f].help;
}

bool seal_feature_parse(enum seal_feature *ret, struct str name)
{
	for (unsigned f = 0; f < SEAL_FEATURES; f++) {
		if (str_eq(name, str_of(features[f].name))) {
			*ret = (enum seal_feature)f;
			return true;
		}
	}
	return false;
}
