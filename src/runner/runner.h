/* Runs ops where they can do no harm: in sealed processes that a small zygote forks (docs/architecture.md, "The sealed runner").
 *
 * The server's side. A runner hands jobs to a child, watches it, takes its answers and the bytes of its output, and trusts nothing of what comes back: answers are bounded and
 * checked, outputs counted, time limited; a child that misbehaves is killed by pidfd and replaced. When the zygote dies another is started, and what ran is lost with it
 * (ERR_RUNNER_LOST).
 *
 * Two kinds: the real one, and one that computes digests in the calling thread and knows no other op, for tests and simulations of what lies above. */
#ifndef FILEMILL_RUNNER_RUNNER_H
#define FILEMILL_RUNNER_RUNNER_H

#include "base/buf.h"
#include "base/err.h"
#include "ops/ops.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct runner;

/* ---- what the seal is made of ---- */

enum seal_feature {
	SEAL_NO_NEW_PRIVS, /* prctl(PR_SET_NO_NEW_PRIVS) */
	SEAL_UNDUMPABLE, /* prctl(PR_SET_DUMPABLE, 0): no ptrace, no core, /proc/self closed */
	SEAL_RLIMITS, /* memory, CPU, output, processes, descriptors, core */
	SEAL_SECCOMP, /* allow-list of system calls */
	SEAL_LANDLOCK, /* no file system: ABI 1 */
	SEAL_LANDLOCK_TCP, /* no TCP: ABI 4; seccomp refuses sockets anyway */
	SEAL_LANDLOCK_SCOPE, /* no signals and abstract sockets to the outside: ABI 6; seccomp refuses them anyway */
	SEAL_NAMESPACES, /* own user (when not root), pid, mount, net, ipc, uts namespaces: commands only */
	SEAL_FEATURES
};
const char *seal_feature_name(enum seal_feature f); /* "no_new_privs", … */
const char *seal_feature_help(enum seal_feature f); /* one line for people */
bool seal_feature_parse(enum seal_feature *ret, struct str name);

/* What a child reported after it had sealed itself, at the start of the zygote. */
struct seal_report {
	unsigned enforced; /* bit 1u << feature */
	int landlock_abi; /* 0 = none */
	int errors[SEAL_FEATURES]; /* errno of what is not enforced */
};

/* ---- life ---- */

struct runner_limits { /* of one job */
	uint64_t memory; /* bytes of address space; at least 256 MiB for decoders */
	int64_t cpu_s;
	int64_t wall_ms;
	uint64_t output_max; /* bytes */
	uint64_t pixels_max; /* width × height × frames decoded */
};

struct runner_config {
	const char *path; /* of filemill-runner; NULL = beside the running program, then the installed place */
	struct runner_limits limits;
	unsigned children_max; /* at once; as many threads may be inside runner_run() without waiting */
	unsigned may_lack; /* bit 1u << feature: what may be missing without refusing to start */
	bool commands; /* SEAL_NAMESPACES is needed too */
};

/* Starts the zygote and has a child report. ERR_SEAL_INCOMPLETE names what is missing and was not allowed to be (never the two TCP and scope rows, which seccomp covers);
 * ERR_RUNNER_UNAVAILABLE when it cannot be executed. Everything is close-on-exec: may be called in a process with threads, though the server does it first of all.
 * The process becomes a subreaper (prctl(2)): children of a zygote that was killed come to it, and are reaped by their group. */
[[nodiscard]] int runner_start(struct runner **ret, const struct runner_config *config, struct err *e);
/* Digests only, in the calling thread. */
[[nodiscard]] int runner_inline_new(struct runner **ret, struct err *e);
/* No runner_run() may be under way. Kills and reaps everything; NULL is fine. */
void runner_free(struct runner *r);
const struct seal_report *runner_report(const struct runner *r); /* of the current zygote; NULL for the inline kind */
/* For tests and metrics; reaps a zygote that died while idle, which may take a few milliseconds. Any thread. */
struct runner_stats {
	uint64_t zygotes, children, killed, lost, violations; /* since the start */
	unsigned living; /* children now */
	int zygote_pid; /* 0 = none now: the next job starts one */
};
void runner_stats(struct runner *r, struct runner_stats *ret);

/* ---- running ---- */

#define RUNNER_BATCH_MAX 64 /* jobs without output that one call may bring; with output: 1 */

struct runner_job {
	/* in; borrowed for the call */
	const struct op *op;
	struct str params; /* canonical JSON */
	struct str name; /* of the input, for display */
	int input_fd; /* read-only descriptor of a regular file, or -1: `input` */
	struct str input; /* bytes; travel as a sealed memfd */
	uint64_t size; /* bytes of the input */
	uint8_t sha256[32]; /* of the input; the child checks it on its way: ERR_DAMAGED */
	/* Gets the output's bytes in order, on the calling thread; never more than the limit. An error ends the job with that code. NULL when the op makes none. */
	int (*output)(void *arg, const void *data, size_t n, struct err *e);
	void *output_arg;
	/* Told how many ‰ are done, now and then, on the calling thread; never fewer than before of the same process. NULL: nobody wants to know. */
	void (*progress)(void *arg, unsigned permille);
	void *progress_arg;
	/* out */
	int code; /* 0, or what became of it; always set */
	struct err err;
	struct buf result; /* JSON object text, checked to be one; also for a command that failed ({"exit_code":1,"stderr":"…"}) */
	uint64_t output_size; /* bytes given to output() */
};

/* Asked about every 50 ms and whenever something happened; another code than 0 kills the child and ends every job of the call that has no answer yet with that code. */
struct runner_watch {
	int (*may_go_on)(void *arg, struct err *e);
	void *arg;
};

/* Runs the jobs, blocking the calling thread. Every job has its own code afterwards.
 * When a child dies over a batch, the jobs without an answer are run again one by one, so that only the guilty one gets the blame.
 * A job whose code is not 0 may have given bytes to output() already: they are worthless. Any thread. */
void runner_run(struct runner *r, struct runner_job *jobs, size_t n, const struct runner_watch *watch);

#endif
