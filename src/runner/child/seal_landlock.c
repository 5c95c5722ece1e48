/* Landlock: a process gives up rights for ever. What there is to give up grows with the kernel's ABI; each child says which it found. */
#include "runner/child/seal_impl.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel's struct of ABI 6; older kernels take a shorter one. Written out because Debian 12's headers know ABI 2. */
struct rules {
	uint64_t files, net, scope;
};
#define RULES_NET 0x3u /* bind and connect by TCP: ABI 4 */
#define RULES_SCOPE 0x3u /* abstract sockets and signals: ABI 6 */
#define FILES_ABI1 ((1u << 13) - 1)
#define FILES_REFER (1u << 13) /* ABI 2 */
#define FILES_TRUNCATE (1u << 14) /* ABI 3 */
#define FILES_IOCTL (1u << 15) /* of devices: ABI 5 */

#define MAY_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define MAY_RUN (MAY_READ | LANDLOCK_ACCESS_FS_EXECUTE)
#define MAY_WRITE                                                                                                                          \
	(MAY_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |                       \
	 LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_MAKE_SOCK |          \
	 LANDLOCK_ACCESS_FS_MAKE_FIFO | FILES_REFER | FILES_TRUNCATE)
#define OF_FILES (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_EXECUTE | FILES_TRUNCATE)

/* What a command's program finds: the system's programs and libraries to read, with the few settings they need, and in namespaces its own /tmp to write.
 * What is not there is passed over. command_world.c shows the same in a root of its own; where that cannot be, this is all there is. */
static const struct {
	const char *path;
	uint64_t rights;
	enum { FOLDER, FILE_ONLY, OWN } kind;
} command_paths[] = {
	{"/usr", MAY_RUN, FOLDER},
	{"/opt", MAY_RUN, FOLDER},
	{"/bin", MAY_RUN, FOLDER},
	{"/sbin", MAY_RUN, FOLDER},
	{"/lib", MAY_RUN, FOLDER},
	{"/lib32", MAY_RUN, FOLDER},
	{"/lib64", MAY_RUN, FOLDER},
	{"/libx32", MAY_RUN, FOLDER},
	{"/etc/ld.so.cache", MAY_READ, FILE_ONLY},
	{"/etc/alternatives", MAY_READ, FOLDER},
	{"/etc/fonts", MAY_READ, FOLDER},
	{"/etc/localtime", MAY_READ, FILE_ONLY},
	{"/etc/magic", MAY_READ, FILE_ONLY},
	{"/etc/mime.types", MAY_READ, FILE_ONLY},
	{"/etc/papersize", MAY_READ, FILE_ONLY},
	{"/etc/passwd", MAY_READ, FILE_ONLY},
	{"/etc/group", MAY_READ, FILE_ONLY},
	{"/etc/ImageMagick-6", MAY_READ, FOLDER},
	{"/etc/ImageMagick-7", MAY_READ, FOLDER},
	{"/dev/null", MAY_READ | LANDLOCK_ACCESS_FS_WRITE_FILE, FILE_ONLY},
	{"/dev/zero", MAY_READ, FILE_ONLY},
	{"/dev/full", MAY_READ | LANDLOCK_ACCESS_FS_WRITE_FILE, FILE_ONLY},
	{"/dev/random", MAY_READ, FILE_ONLY},
	{"/dev/urandom", MAY_READ, FILE_ONLY},
	{"/", LANDLOCK_ACCESS_FS_READ_DIR, OWN},
	{"/proc", MAY_READ, OWN},
	{"/tmp", MAY_WRITE, OWN},
};

static int add_path(int set, const char *path, uint64_t rights, bool folder)
{
	CLEANUP(fd_close) int fd = open(path, O_PATH | O_CLOEXEC);
	struct landlock_path_beneath_attr beneath = {.allowed_access = folder ? rights : rights & OF_FILES, .parent_fd = fd};

	if (fd < 0)
		return errno == ENOENT || errno == EACCES ? 0 : -1;
	return (int)syscall(SYS_landlock_add_rule, set, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0);
}

/* Which rights this ABI knows, and how much of the struct. */
static size_t rules_for(int abi, struct rules *ret)
{
	*ret = (struct rules){.files = FILES_ABI1};
	if (abi >= 2)
		ret->files |= FILES_REFER;
	if (abi >= 3)
		ret->files |= FILES_TRUNCATE;
	if (abi >= 5)
		ret->files |= FILES_IOCTL;
	if (abi >= 4)
		ret->net = RULES_NET;
	if (abi >= 6)
		ret->scope = RULES_SCOPE;
	return abi >= 6 ? sizeof(*ret) : abi >= 4 ? offsetof(struct rules, scope) : offsetof(struct rules, net);
}

static int restrict_self(enum seal_policy policy, int abi)
{
	struct rules rules;
	size_t size = rules_for(abi, &rules);
	CLEANUP(fd_close) int set = (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0);

	if (set < 0)
		return -1;
	for (size_t i = 0; policy == POLICY_COMMAND && i < ARRAY_LEN(command_paths); i++) {
		/* Without namespaces these are the machine's. */
		if (command_paths[i].kind == OWN && getpid() != 1)
			continue;
		if (add_path(set, command_paths[i].path, command_paths[i].rights & rules.files, command_paths[i].kind != FILE_ONLY) != 0)
			return -1;
	}
	return (int)syscall(SYS_landlock_restrict_self, set, 0);
}

static void note(struct seal_report *report, enum seal_feature f, int error)
{
	report->errors[f] = error;
	if (error == 0)
		report->enforced |= 1u << f;
}

void seal_landlock_as(enum seal_policy policy, int abi, struct seal_report *report)
{
	int error = restrict_self(policy, abi) == 0 ? 0 : errno;

	report->landlock_abi = abi;
	note(report, SEAL_LANDLOCK, error);
	note(report, SEAL_LANDLOCK_TCP, error != 0 ? error : abi >= 4 ? 0 : ENOSYS);
	note(report, SEAL_LANDLOCK_SCOPE, error != 0 ? error : abi >= 6 ? 0 : ENOSYS);
}

void seal_landlock(enum seal_policy policy, struct seal_report *report)
{
	int abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	if (abi >= 1) {
		seal_landlock_as(policy, abi, report);
		return;
	}
	int error = abi == 0 ? ENOSYS : errno;
	note(report, SEAL_LANDLOCK, error);
	note(report, SEAL_LANDLOCK_TCP, error);
	note(report, SEAL_LANDLOCK_SCOPE, error);
}
