/* Inside filemill-runner: the zygote, the seal, the loop that serves, and what a sealed op looks like.
 * Nothing here knows the catalogue, the store, HTTP or a secret; a test reads the program's symbols.
 *
 *	main ─► sealed_main ─► zygote_run: prepares the ops, then forks a child for every request
 *	             └─ child: seal_apply() ─► loop_run(): takes batches, runs ops, answers
 *	             └─ child of a command: seal_apply(POLICY_COMMAND) ─► command_run(): executes one program */
#ifndef FILEMILL_RUNNER_CHILD_H
#define FILEMILL_RUNNER_CHILD_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "runner/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- one job, as its op sees it ---- */

struct sealed_job {
	struct str params; /* canonical JSON, valid by the op's table */
	struct str name; /* of the input, for display */
	int input_fd;
	uint64_t offset, size;
	uint8_t sha256[32];
	int output_fd; /* a pipe; -1 = none. Written by sealed_write() only */
	uint64_t written; /* bytes */
	struct runner_limits limits;
	struct buf result; /* the op writes a JSON object */
	/* where and as what progress is told: as sealed_next() gives the input. told_ms 0: it is not */
	int channel;
	uint64_t serial;
	int64_t told_ms;
	/* io.c's; all zero at the start */
	unsigned also; /* bit 1u << digest_algo: computed in the same pass as the check; the loop's digests */
	bool checking, checked;
	uint64_t at;
	void *piece, *map;
	size_t map_size, map_skip;
	struct digest_set *check;
};

/* Gives the input piece by piece (at most SEALED_PIECE bytes, valid until the next call): 1 and a piece, 0 at the end, after the SHA-256 was checked, or ERR_DAMAGED, ERR_IO.
 * The check rides along: what is given before the end is not proven yet, but no job succeeds without it. */
#define SEALED_PIECE (256u << 10)
[[nodiscard]] int sealed_next(struct sealed_job *j, const void **ret, size_t *ret_n, struct err *e);
/* The whole input in memory, checked, valid until the job ends; mapped, not copied. ERR_LIMIT_MEMORY when it is more than a quarter of the limit, ERR_DAMAGED. */
[[nodiscard]] int sealed_all(struct sealed_job *j, const void **ret, struct err *e);
/* The first up to `max` bytes, unchecked: to decide what it is. */
[[nodiscard]] int sealed_first(struct sealed_job *j, void *dst, size_t max, size_t *ret_n, struct err *e);
/* Writes all to the output. ERR_LIMIT_OUTPUT beyond the limit; ERR_IO when the server hung up. */
[[nodiscard]] int sealed_write(struct sealed_job *j, const void *data, size_t n, struct err *e);

/* Reads what nobody has read yet and checks the SHA-256; 0 at once when that is done. The loop calls it after every op that succeeded. ERR_DAMAGED, ERR_IO. */
[[nodiscard]] int sealed_check(struct sealed_job *j, struct err *e);
/* Makes a job that was run ready for other members, keeping its memory; frees it. The descriptors are the caller's. */
void sealed_reset(struct sealed_job *j);
void sealed_release(struct sealed_job *j);

/* Params: the op's table has checked them, so a missing or wrong one is our own mistake (assert). */
struct sealed_params; /* parsed; in params.c */
[[nodiscard]] int sealed_params_parse(struct sealed_params **ret, struct str json, struct err *e);
void sealed_params_free(struct sealed_params *p);
bool sealed_params_has(const struct sealed_params *p, const char *name);
int64_t sealed_params_int(const struct sealed_params *p, const char *name);
struct str sealed_params_text(const struct sealed_params *p, const char *name);

struct sealed_op {
	const char *name; /* as in the op table */
	enum seal_policy policy; /* which child serves it: POLICY_MANY or POLICY_ONCE */
	/* In the zygote, before the first fork, with nothing decoded: loads tables and libraries. NULL = nothing. */
	int (*prepare)(struct err *e);
	int (*run)(struct sealed_job *j, struct err *e);
};

/* ---- the program ---- */

/* The whole of main(): descriptors, environment, locale, zygote_run(). Started by hand it says what it is and returns 2. */
int sealed_main(const struct sealed_op *const *ops, size_t n);
/* Ends with the server's end of RUNNER_ZYGOTE_FD. `ops` is borrowed; tests bring ops of their own. Digests (OP_STREAMING) are the loop's own and need no row.
 * Returns the process's exit status. */
int zygote_run(const struct sealed_op *const *ops, size_t n);

/* ---- the seal ---- */

struct sealed_filter; /* a seccomp program, ready to load */
struct seal { /* built once in the zygote, so that a child only applies it */
	struct sealed_filter *filters[POLICIES];
	uint64_t command_flags; /* CLONE_NEW… that worked when they were tried; 0 = none do */
	int command_errno; /* why not */
};
[[nodiscard]] int seal_prepare(struct seal *s, struct err *e);
void seal_release(struct seal *s);
/* Seals the calling process, for good. Tries every part, then says in the report what holds. A feature that cannot be enforced and is not in may_lack: ERR_SEAL_INCOMPLETE, but
 * the report is filled all the same (TCP and scope may always be missing while seccomp holds). `channel`: where a refusal is told.
 * POLICY_COMMAND: called by the supervisor that is about to fork the program, in the namespaces the zygote made, with its mounts and user in place; Landlock then leaves
 * system folders readable and /tmp writable (seal_landlock.c). A change of user forgets the parent-death signal: seal_apply() sets it again. */
[[nodiscard]] int seal_apply(const struct seal *s, enum seal_policy policy, const struct runner_limits *limits, unsigned may_lack,
			     int channel, struct seal_report *ret, struct err *e);
/* fork() with CLONE_… flags; the pidfd is left out where ret_pidfd is NULL. -1: errno. Not clone3: containers and service managers answer it with ENOSYS, for no filter can look at its flags. */
pid_t seal_fork(uint64_t flags, int *ret_pidfd);
/* Flags for a child of this policy: CLONE_NEW… for commands. With CLONE_NEWUSER the child has to write its own maps; without it is root and has to become another user. */
uint64_t seal_clone_flags(const struct seal *s, enum seal_policy policy);

/* Inside the seal, for the loop and the ops. */

/* fstat() in glibc is a call that takes a path, which the seal answers with ENOENT; this is the one that takes a descriptor only. */
struct stat;
[[nodiscard]] int sealed_fstat(int fd, struct stat *ret);
/* POLICY_MANY serves job after job: gives the next one its CPU seconds (RLIMIT_CPU counts from the process's start). Past them: SIGXCPU. */
void sealed_cpu_budget(int64_t cpu_s);

/* ---- progress ---- */

int64_t child_now_ms(void); /* CLOCK_MONOTONIC */
/* Tells it when RUNNER_PROGRESS_MS have passed since *told_ms, which becomes now; else does nothing. A server that takes nothing is not waited for. */
void progress_tell(int channel, uint64_t serial, int64_t *told_ms, unsigned permille);

/* ---- the child ---- */

/* In the zygote, before the first fork: what digests, JSON and broken pipes need, so that a sealed child need not ask the system for it. SIGPIPE is ignored from then on. */
[[nodiscard]] int loop_prepare(struct err *e);
/* Serves batches until the channel ends (POLICY_ONCE: one). Never returns. */
_Noreturn void loop_run(int channel, enum seal_policy policy, const struct sealed_op *const *ops, size_t n);
/* Receives its one request, then namespaces, limits, exec; answers with {"exit_code":…,"stderr":"…"}; code 0 or ERR_COMMAND_FAILED. Never returns. command.c */
_Noreturn void command_run(int channel, const struct seal *s, unsigned may_lack, const struct runner_limits *limits);
/* Sends one answer. message.h says what is bounded; too much is cut (detail) or an error (result). */
[[nodiscard]] int answer_send(int channel, uint64_t serial, int code, uint64_t output_size, struct str result, struct str detail);
/* The same behind other answers in a message that is sent later. */
void answer_add(struct buf *message, uint64_t serial, int code, uint64_t output_size, struct str result, struct str detail);

/* ops_*.c */
extern const struct sealed_op op_gzip, op_zstd, op_zip, op_resize, op_probe;

#endif
