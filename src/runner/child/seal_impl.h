/* Between the files that make the seal. */
#ifndef FILEMILL_RUNNER_SEAL_IMPL_H
#define FILEMILL_RUNNER_SEAL_IMPL_H

#include "runner/child/child.h"

#include <seccomp.h>

/* ---- seal_calls.c: which system calls there are ---- */

#define SEAL_ARGS_MAX 3
#define SEAL_SELF 0x5e1f5e1fu /* stands for the child's own process id until the filter is loaded */

struct seal_arg {
	unsigned at; /* 0 = the first argument */
	enum scmp_compare how; /* of all 64 bits */
	uint64_t a, b; /* SCMP_CMP_MASKED_EQ: mask and value; else the value */
};

/* One row: in these policies this call, with arguments like these, is answered so. A call may have several rows. */
struct seal_call {
	unsigned policies; /* bit 1u << policy */
	int call; /* negative: this machine has no such call */
	int answer; /* 0 = it goes through; else the errno it gets */
	unsigned n_args;
	struct seal_arg args[SEAL_ARGS_MAX];
	const char *why;
};

/* MANY and ONCE: what is not in the table ends the process. COMMAND: what is not in the table goes through. */
const struct seal_call *seal_calls(size_t *ret_n);

/* ---- seal_filter.c: the table as a seccomp program ---- */

[[nodiscard]] int sealed_filter_new(struct sealed_filter **ret, enum seal_policy policy, struct err *e);
void sealed_filter_free(struct sealed_filter *f);
/* From here on the calling process has only these calls. 0 or errno. */
int sealed_filter_load(const struct sealed_filter *f);

/* ---- seal_landlock.c ---- */

/* No file, no TCP, no signals and abstract sockets to the outside, as far as this kernel's ABI goes. Fills the three rows and the ABI of the report. */
void seal_landlock(enum seal_policy policy, struct seal_report *report);
/* The same as a kernel of this ABI would have it, at most the real one's: for tests. */
void seal_landlock_as(enum seal_policy policy, int abi, struct seal_report *report);

/* ---- seal_limits.c ---- */

/* 0 or errno. */
int seal_limits(enum seal_policy policy, const struct runner_limits *limits);

#endif
