/* System calls that commands have not where the place they live in is weaker than it could be; on top of the seal's own table.
 *
 * SAME_USER: the command has the server's user, in a user namespace or without namespaces at all. It cannot open the server's files, but its standard input is one, and some calls
 * change a file of one's own through a descriptor that was opened to read, or by way of /proc/self/fd. What programs call as a matter of course on their own temporary files seems to
 * work and does nothing; nobody looks at modes, owners and times in a /tmp that ends with the command.
 * ALONE: no namespaces. Other processes of the user and the network are not out of sight, so the calls that reach them are taken away. */
#include "runner/child/command_impl.h"

#include <errno.h>
#include <linux/fs.h>
#include <seccomp.h>
#include <sys/socket.h>
#include <unistd.h>

#define SEEMS_TO_WORK 0

/* Newer than Debian 12's headers: the numbers are the same on every architecture. */
#define NR_FCHMODAT2 452
#define NR_SETXATTRAT 463
#define NR_REMOVEXATTRAT 466
#define NR_FILE_SETATTR 469
#define FS_IOC_ENABLE_VERITY_NR 0x40806685u

enum { SAME_USER = 1, ALONE = 2 };

static const struct row {
	unsigned when;
	int call; /* negative: this machine has no such call */
	int answer; /* errno */
	int of; /* argument that decides, from 0; -1 = none */
	enum scmp_compare how;
	uint64_t value;
} rows[] = {
	{SAME_USER, SCMP_SYS(chmod), SEEMS_TO_WORK, -1, 0, 0},
	{SAME_USER, SCMP_SYS(fchmod), SEEMS_TO_WORK, -1, 0, 0},
	{SAME_USER, SCMP_SYS(fchmodat), SEEMS_TO_WORK, -1, 0, 0},
	{SAME_USER, NR_FCHMODAT2, SEEMS_TO_WORK, -1, 0, 0},
	{SAME_USER, SCMP_SYS(chown), SEEMS_TO_WORK, -1, 0, 0},
	{SAME_USER, SCMP_SYS(fchown), SEEMS_TO_WORK, -1, 0, 0},
	{SAME_USER, SCMP_SYS(lchown), SEEMS_TO_WORK, -1, 0, 0},
	{SAME_USER, SCMP_SYS(fchownat), SEEMS_TO_WORK, -1, 0, 0},
	{SAME_USER, SCMP_SYS(utime), SEEMS_TO_WORK, -1, 0, 0},
	{SAME_USER, SCMP_SYS(utimes), SEEMS_TO_WORK, -1, 0, 0},
	{SAME_USER, SCMP_SYS(utimensat), SEEMS_TO_WORK, -1, 0, 0},
	{SAME_USER, SCMP_SYS(futimesat), SEEMS_TO_WORK, -1, 0, 0},
	/* By path only; Landlock knows it since ABI 3. */
	{SAME_USER, SCMP_SYS(truncate), EPERM, -1, 0, 0},
	{SAME_USER, SCMP_SYS(setxattr), EOPNOTSUPP, -1, 0, 0},
	{SAME_USER, SCMP_SYS(lsetxattr), EOPNOTSUPP, -1, 0, 0},
	{SAME_USER, SCMP_SYS(fsetxattr), EOPNOTSUPP, -1, 0, 0},
	{SAME_USER, NR_SETXATTRAT, EOPNOTSUPP, -1, 0, 0},
	{SAME_USER, SCMP_SYS(removexattr), EOPNOTSUPP, -1, 0, 0},
	{SAME_USER, SCMP_SYS(lremovexattr), EOPNOTSUPP, -1, 0, 0},
	{SAME_USER, SCMP_SYS(fremovexattr), EOPNOTSUPP, -1, 0, 0},
	{SAME_USER, NR_REMOVEXATTRAT, EOPNOTSUPP, -1, 0, 0},
	{SAME_USER, NR_FILE_SETATTR, EOPNOTSUPP, -1, 0, 0},
	{SAME_USER, SCMP_SYS(ioctl), ENOTTY, 1, SCMP_CMP_MASKED_EQ, FS_IOC_SETFLAGS},
	{SAME_USER, SCMP_SYS(ioctl), ENOTTY, 1, SCMP_CMP_MASKED_EQ, FS_IOC_SETVERSION},
	{SAME_USER, SCMP_SYS(ioctl), ENOTTY, 1, SCMP_CMP_MASKED_EQ, FS_IOC_FSSETXATTR},
	{SAME_USER, SCMP_SYS(ioctl), ENOTTY, 1, SCMP_CMP_MASKED_EQ, FS_IOC_ENABLE_VERITY_NR},

	/* Whoever forks stays in the program's group, which ends as a whole. */
	{ALONE, SCMP_SYS(setsid), EPERM, -1, 0, 0},
	{ALONE, SCMP_SYS(setpgid), EPERM, -1, 0, 0},
	{ALONE, SCMP_SYS(socket), EAFNOSUPPORT, -1, 0, 0},
	{ALONE, SCMP_SYS(kill), EPERM, -1, 0, 0},
	{ALONE, SCMP_SYS(tkill), EPERM, -1, 0, 0},
	{ALONE, SCMP_SYS(rt_sigqueueinfo), EPERM, -1, 0, 0},
	{ALONE, SCMP_SYS(rt_tgsigqueueinfo), EPERM, -1, 0, 0},
	{ALONE, SCMP_SYS(pidfd_send_signal), EPERM, -1, 0, 0},
	{ALONE, SCMP_SYS(pidfd_open), EPERM, -1, 0, 0},
	/* 0 is the caller. */
	{ALONE, SCMP_SYS(prlimit64), EPERM, 0, SCMP_CMP_NE, 0},
	{ALONE, SCMP_SYS(setpriority), EPERM, 1, SCMP_CMP_NE, 0},
	{ALONE, SCMP_SYS(ioprio_set), EPERM, 1, SCMP_CMP_NE, 0},
	{ALONE, SCMP_SYS(sched_setaffinity), EPERM, 0, SCMP_CMP_NE, 0},
	{ALONE, SCMP_SYS(sched_setscheduler), EPERM, 0, SCMP_CMP_NE, 0},
	{ALONE, SCMP_SYS(sched_setparam), EPERM, 0, SCMP_CMP_NE, 0},
	{ALONE, SCMP_SYS(sched_setattr), EPERM, 0, SCMP_CMP_NE, 0},
	/* System V and POSIX queues and shared memory have no other lock but the user. */
	{ALONE, SCMP_SYS(shmget), EPERM, -1, 0, 0},
	{ALONE, SCMP_SYS(shmat), EPERM, -1, 0, 0},
	{ALONE, SCMP_SYS(shmctl), EPERM, -1, 0, 0},
	{ALONE, SCMP_SYS(semget), EPERM, -1, 0, 0},
	{ALONE, SCMP_SYS(semctl), EPERM, -1, 0, 0},
	{ALONE, SCMP_SYS(semop), EPERM, -1, 0, 0},
	{ALONE, SCMP_SYS(semtimedop), EPERM, -1, 0, 0},
	{ALONE, SCMP_SYS(msgget), EPERM, -1, 0, 0},
	{ALONE, SCMP_SYS(msgctl), EPERM, -1, 0, 0},
	{ALONE, SCMP_SYS(msgsnd), EPERM, -1, 0, 0},
	{ALONE, SCMP_SYS(msgrcv), EPERM, -1, 0, 0},
	{ALONE, SCMP_SYS(mq_open), EPERM, -1, 0, 0},
	{ALONE, SCMP_SYS(mq_unlink), EPERM, -1, 0, 0},
};

static int add_row(scmp_filter_ctx c, const struct row *row, unsigned when)
{
	struct scmp_arg_cmp arg = {.arg = (unsigned)row->of, .op = row->how, .datum_a = row->value};

	if ((row->when & when) == 0 || row->call < 0)
		return 0;
	if (row->of >= 0 && row->how == SCMP_CMP_MASKED_EQ) /* the kernel looks at the lower half */
		arg = (struct scmp_arg_cmp){
			.arg = (unsigned)row->of, .op = row->how, .datum_a = UINT32_MAX, .datum_b = row->value & UINT32_MAX};
	return seccomp_rule_add_array(c, SCMP_ACT_ERRNO((unsigned)row->answer), row->call, row->of >= 0 ? 1 : 0, &arg);
}

int command_filter(const struct command_world *w)
{
	unsigned when = (w->other_user ? 0 : SAME_USER) | (w->namespaces ? 0 : ALONE);
	scmp_filter_ctx c;
	int r = 0;

	if (when == 0)
		return 0;
	c = seccomp_init(SCMP_ACT_ALLOW);
	if (!c)
		return ENOMEM;
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(rows); i++)
		r = add_row(c, &rows[i], when);
	if (r == 0)
		r = seccomp_load(c); /* sets no_new_privs, too */
	seccomp_release(c);
	return r == 0 ? 0 : r == -ECANCELED ? EPERM : -r;
}
