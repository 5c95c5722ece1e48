/* The place a command lives in: a root of its own that holds the machine's programs and libraries to read, a few device files, the processes of this place alone and a /tmp that
 * ends with it; no network but a loopback that is down; a host name that tells nothing; a user that owns nothing.
 *
 * The new root is a small tmpfs that is mounted over /proc. Over /proc, because inside a chroot that is the one mount point which can be made private: /tmp or / there may be part
 * of a mount that the machine shares with others, and what is mounted on it would appear in their trees too. chroot() and not pivot_root(), which a chroot does not allow; nobody
 * here has the right to leave one, and the kernel refuses user namespaces to whoever sits in one (docs/adr/0015). */
#include "runner/child/command_impl.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ROOT "/proc" /* where the new root is built */
#define HOST_NAME "filemill"
#define NOBODY 65534
#define USER_INSIDE 1000 /* in a user namespace */
/* Root has enough users to give: one of 2^24 that no machine has given to anybody, by chance, so that the kernel's count of a user's processes is one command's count. */
#define USERS_FIRST 0x60000000u
#define USERS_MASK 0x00ffffffu

#define READ_ONLY (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
#define DEVICE (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC)

/* What is shown of the machine; what it does not have is passed over. Nothing here may hold secrets: in a user namespace the command reads with the server's rights. */
static const struct {
	const char *path;
	uint64_t attributes;
} shown[] = {
	{"/usr", READ_ONLY},
	{"/opt", READ_ONLY},
	/* Links into /usr on today's systems. */
	{"/bin", READ_ONLY},
	{"/sbin", READ_ONLY},
	{"/lib", READ_ONLY},
	{"/lib32", READ_ONLY},
	{"/lib64", READ_ONLY},
	{"/libx32", READ_ONLY},
	/* Settings of common programs: which of several is meant, fonts, kinds of files, paper. */
	{"/etc/ld.so.cache", READ_ONLY},
	{"/etc/alternatives", READ_ONLY},
	{"/etc/fonts", READ_ONLY},
	{"/etc/localtime", READ_ONLY},
	{"/etc/magic", READ_ONLY},
	{"/etc/mime.types", READ_ONLY},
	{"/etc/papersize", READ_ONLY},
	{"/etc/ImageMagick-6", READ_ONLY},
	{"/etc/ImageMagick-7", READ_ONLY},
	{"/dev/null", DEVICE},
	{"/dev/zero", DEVICE},
	{"/dev/full", DEVICE},
	{"/dev/random", DEVICE},
	{"/dev/urandom", DEVICE},
};
static const char *const folders[] = {ROOT "/etc", ROOT "/dev", ROOT "/tmp", ROOT "/proc"};
static const char *const links[][2] = {
	{"/proc/self/fd", ROOT "/dev/fd"},
	{"/proc/self/fd/0", ROOT "/dev/stdin"},
	{"/proc/self/fd/1", ROOT "/dev/stdout"},
	{"/proc/self/fd/2", ROOT "/dev/stderr"},
};

static int failed(struct err *e, const char *what)
{
	return err_set(e, ERR_SEAL_INCOMPLETE, "the place of a command: %s: %s", what, strerrordesc_np(errno));
}

static int write_file(const char *path, int flags, const char *text, struct err *e)
{
	CLEANUP(fd_close) int fd = open(path, O_WRONLY | O_CLOEXEC | flags, 0644);

	return fd < 0 || fd_write_all(fd, text, strlen(text)) < 0 ? failed(e, path) : 0;
}

/* ---- user ---- */

/* In a new user namespace, before anything else: who it is outside is what it was when the program was executed, for the namespace itself shows nobody. */
static int map_user(struct err *e)
{
	char uids[64], gids[64];
	int r;

	snprintf(uids, sizeof(uids), "%d %lu 1", USER_INSIDE, getauxval(AT_EUID));
	snprintf(gids, sizeof(gids), "%d %lu 1", USER_INSIDE, getauxval(AT_EGID));
	r = write_file("/proc/self/setgroups", 0, "deny", e);
	if (r == 0)
		r = write_file("/proc/self/uid_map", 0, uids, e);
	if (r == 0)
		r = write_file("/proc/self/gid_map", 0, gids, e);
	return r;
}

static bool become(uid_t id)
{
	return setresgid(id, id, id) == 0 && setresuid(id, id, id) == 0;
}

/* Root only, and root always, if by name alone: the kernel counts no processes of it, and most files are its own. A container may map only 65536 users: then all commands share the last of them. */
static int leave_root(struct command_world *w, uid_t user, struct err *e)
{
	if (setgroups(0, NULL) != 0)
		return failed(e, "leaving the groups of root");
	w->own_user = become(user);
	w->other_user = w->own_user || become(NOBODY);
	return w->other_user ? 0 : failed(e, "becoming another user");
}

/* What a program could get back by executing another one; refused to whoever has no rights anyway. Comes first, because giving it up needs a right itself. */
static void bound_rights(void)
{
	for (unsigned long right = 0; prctl(PR_CAPBSET_READ, right, 0, 0, 0) >= 0; right++)
		prctl(PR_CAPBSET_DROP, right, 0, 0, 0);
}

/* A user that is not root keeps what it got with its user namespace until it gives it up. */
static int leave_rights(struct err *e)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	const struct __user_cap_data_struct none[2] = {};

	return syscall(SYS_capset, &head, none) == 0 ? 0 : failed(e, "capset");
}

/* ---- file system ---- */

/* Nothing that is mounted from here on may reach other trees. In a chroot / is no mount point; /proc is. */
static int make_private(struct err *e)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
		return 0;
	return mount(NULL, ROOT, NULL, MS_REC | MS_PRIVATE, NULL) == 0 ? 0 : failed(e, "making mounts private");
}

static int make_target(const char *target, mode_t mode)
{
	int fd;

	if (S_ISDIR(mode))
		return mkdir(target, 0755);
	fd = open(target, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0444);
	return fd < 0 ? -1 : close(fd);
}

/* Makes the same link. */
static int copy_link(const char *path, const char *target)
{
	char to[256];
	ssize_t n = readlink(path, to, sizeof(to) - 1);

	if (n < 0)
		return -1;
	to[n] = '\0';
	return symlink(to, target);
}

/* Folders with everything mounted below them: in a user namespace less is not allowed, for what covers a folder may be meant to hide it. */
static int show(const char *path, uint64_t attributes)
{
	struct mount_attr attr = {.attr_set = attributes, .propagation = MS_PRIVATE};
	CLEANUP(fd_close) int tree = -1;
	struct stat st;
	char target[64];

	snprintf(target, sizeof(target), ROOT "%s", path);
	if (lstat(path, &st) != 0)
		return errno == ENOENT ? 0 : -1;
	if (S_ISLNK(st.st_mode))
		return copy_link(path, target);
	tree = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	if (tree < 0 || mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) != 0 ||
	    make_target(target, st.st_mode) != 0)
		return -1;
	return move_mount(tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH);
}

static int mount_own(const struct runner_limits *limits, struct err *e)
{
	const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
	char options[96];

	/* Without the parts that tell of the machine, where the kernel can leave them out (5.8). */
	if (mount("proc", ROOT "/proc", "proc", flags | MS_RDONLY, "subset=pid") != 0 &&
	    mount("proc", ROOT "/proc", "proc", flags | MS_RDONLY, NULL) != 0)
		return failed(e, "mounting /proc");
	snprintf(options, sizeof(options), "mode=1777,size=%llu,nr_inodes=%d", (unsigned long long)(limits->memory / COMMAND_TMP_SHARE),
		 COMMAND_TMP_FILES);
	return mount("tmpfs", ROOT "/tmp", "tmpfs", flags, options) == 0 ? 0 : failed(e, "mounting /tmp");
}

static int fill_root(struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		if (mkdir(folders[i], 0755) != 0)
			return failed(e, folders[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(shown); i++) {
		if (show(shown[i].path, shown[i].attributes) != 0)
			return failed(e, shown[i].path);
	}
	for (size_t i = 0; i < ARRAY_LEN(links); i++) {
		if (symlink(links[i][0], links[i][1]) != 0)
			return failed(e, links[i][1]);
	}
	return 0;
}

/* Programs that ask who they are want an answer; whom else the machine knows is not their concern. */
static int write_users(uid_t user, struct err *e)
{
	char users[192], groups[96];
	int r;

	snprintf(users, sizeof(users),
		 "root:x:0:0:root:/:/usr/sbin/nologin\nfilemill:x:%u:%u:filemill:/tmp:/usr/sbin/nologin\n"
		 "nobody:x:65534:65534:nobody:/tmp:/usr/sbin/nologin\n",
		 user, user);
	snprintf(groups, sizeof(groups), "root:x:0:\nfilemill:x:%u:\nnogroup:x:65534:\n", user);
	r = write_file(ROOT "/etc/passwd", O_CREAT | O_EXCL, users, e);
	return r < 0 ? r : write_file(ROOT "/etc/group", O_CREAT | O_EXCL, groups, e);
}

static int build_root(uid_t user, const struct runner_limits *limits, struct err *e)
{
	struct mount_attr attr = {.attr_set = READ_ONLY | MOUNT_ATTR_NOEXEC};
	int r = make_private(e);

	if (r < 0)
		return r;
	if (mount("tmpfs", ROOT, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=64k,nr_inodes=128") != 0)
		return failed(e, "mounting the root");
	r = fill_root(e);
	if (r == 0)
		r = write_users(user, e);
	if (r == 0)
		r = mount_own(limits, e);
	if (r < 0)
		return r;
	if (mount_setattr(AT_FDCWD, ROOT, 0, &attr, sizeof(attr)) != 0)
		return failed(e, "making the root read-only");
	return chroot(ROOT) == 0 && chdir("/tmp") == 0 ? 0 : failed(e, "entering the root");
}

/* ---- all together ---- */

/* When the machine runs out of memory the kernel takes commands first. */
static void prefer_for_oom(void)
{
	struct err e;
	[[maybe_unused]] int r = write_file("/proc/self/oom_score_adj", 0, "1000", &e);
}

int command_world_enter(struct command_world *ret, const struct seal *s, const struct runner_limits *limits, struct err *e)
{
	struct command_world w = {.namespaces = getpid() == 1};
	bool mapped = (seal_clone_flags(s, POLICY_COMMAND) & CLONE_NEWUSER) != 0, root = !mapped && geteuid() == 0;
	uid_t user = USER_INSIDE;
	uint32_t chance;
	int r = 0;

	if (root && getrandom(&chance, sizeof(chance), 0) != (ssize_t)sizeof(chance))
		return failed(e, "getrandom");
	if (root)
		user = USERS_FIRST + (chance & USERS_MASK);
	/* The zygote's children are undumpable: their own files in /proc belong to root, and the maps could not be written. seal_apply() takes it back. */
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	umask(022);
	prefer_for_oom();
	if (w.namespaces && mapped)
		r = map_user(e);
	if (r == 0 && w.namespaces)
		r = build_root(user, limits, e);
	if (r == 0 && w.namespaces && sethostname(HOST_NAME, strlen(HOST_NAME)) != 0)
		r = failed(e, "naming the host");
	if (r < 0)
		return r; /* with errno as it is: command_world_try() tells it */
	bound_rights();
	if (root)
		r = leave_root(&w, user, e);
	if (r == 0)
		r = leave_rights(e);
	if (r < 0)
		return r;
	w.own_user |= mapped; /* counted in its namespace */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	*ret = w;
	return 0;
}

int command_world_try(const struct seal *s)
{
	const struct runner_limits limits = {.memory = 1u << 20};
	struct command_world w;
	struct err e = ERR_INIT;

	if (command_world_enter(&w, s, &limits, &e) == 0)
		return 0;
	return errno > 0 && errno <= UINT8_MAX ? errno : EPERM; /* an exit status */
}
