/* The table of calls as a seccomp program. libseccomp builds it once, in the zygote; a child loads the finished instructions, which is three times as fast as building them. */
#include "runner/child/seal_impl.h"

#include "base/fd.h"

#include <assert.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SELF_MAX 8 /* places where the process id stands */
#define BPF_INSTRUCTIONS_MAX 4096 /* the kernel's BPF_MAXINSNS */

struct sealed_filter {
	struct sock_fprog program;
	size_t self_at[SELF_MAX], n_self;
};

static void context_release(scmp_filter_ctx *c)
{
	seccomp_release(*c);
}

static int add_rows(scmp_filter_ctx c, enum seal_policy policy, struct err *e)
{
	size_t n;
	const struct seal_call *rows = seal_calls(&n);

	for (size_t i = 0; i < n; i++) {
		const struct seal_call *row = &rows[i];
		struct scmp_arg_cmp args[SEAL_ARGS_MAX];
		if ((row->policies & 1u << policy) == 0 || row->call < 0)
			continue;
		for (unsigned a = 0; a < row->n_args; a++)
			args[a] = (struct scmp_arg_cmp){row->args[a].at, row->args[a].how, row->args[a].a, row->args[a].b};
		int rc = seccomp_rule_add_array(c, row->answer == 0 ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO((unsigned)row->answer), row->call,
						row->n_args, args);
		if (rc != 0)
			return err_set(e, ERR_INTERNAL, "row %zu of the table of system calls: error %d", i, -rc);
	}
	return 0;
}

/* Reads the finished program and remembers where SEAL_SELF stands. */
static int take_program(struct sealed_filter *f, scmp_filter_ctx c, struct err *e)
{
	CLEANUP(fd_close) int fd = memfd_create("filter", MFD_CLOEXEC);

	if (fd < 0)
		return err_errno(e, errno, "memfd_create");
	int rc = seccomp_export_bpf(c, fd);
	off_t size = rc == 0 ? lseek(fd, 0, SEEK_END) : 0;
	size_t n = (size_t)size / sizeof(struct sock_filter);
	if (rc != 0 || n == 0 || n > BPF_INSTRUCTIONS_MAX)
		return err_set(e, ERR_INTERNAL, "the filter of system calls cannot be built: error %d, %zu instructions", -rc, n);
	f->program.filter = malloc((size_t)size);
	if (f->program.filter == NULL)
		return err_set(e, ERR_NO_MEMORY, "filter of system calls");
	f->program.len = (unsigned short)n;
	if (fd_pread_full(fd, f->program.filter, (size_t)size, 0) != size)
		return err_errno(e, errno, "pread");
	for (size_t i = 0; i < n; i++) {
		const struct sock_filter *in = &f->program.filter[i];
		if (in->code != (BPF_JMP | BPF_JEQ | BPF_K) || in->k != SEAL_SELF)
			continue;
		assert(f->n_self < SELF_MAX);
		f->self_at[f->n_self++] = i;
	}
	return 0;
}

int sealed_filter_new(struct sealed_filter **ret, enum seal_policy policy, struct err *e)
{
	bool command = policy == POLICY_COMMAND;
	CLEANUP(context_release) scmp_filter_ctx c = seccomp_init(command ? SCMP_ACT_ALLOW : SCMP_ACT_TRAP);
	struct sealed_filter *f = c != NULL ? calloc(1, sizeof(*f)) : NULL;

	if (f == NULL)
		return err_set(e, ERR_NO_MEMORY, "filter of system calls");
	/* Calls of another architecture (32 bits, x32) have other numbers: none goes through. */
	int rc = seccomp_attr_set(c, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_TRAP);
	if (rc == 0)
		rc = seccomp_attr_set(c, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree */
	rc = rc == 0 ? 0 : err_set(e, ERR_INTERNAL, "libseccomp: error %d", -rc);
	if (rc == 0)
		rc = add_rows(c, policy, e);
	if (rc == 0)
		rc = take_program(f, c, e);
	if (rc != 0) {
		sealed_filter_free(f);
		return rc;
	}
	*ret = f;
	return 0;
}

void sealed_filter_free(struct sealed_filter *f)
{
	if (f == NULL)
		return;
	free(f->program.filter);
	free(f);
}

int sealed_filter_load(const struct sealed_filter *f)
{
	/* The memory is the child's own copy: nobody else sees its process id there. */
	for (size_t i = 0; i < f->n_self; i++)
		f->program.filter[f->self_at[i]].k = (uint32_t)getpid();
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &f->program) == 0 ? 0 : errno;
}
