/* A world for tests of the real kind: a runner of its own, and what is left over when it is gone. */
#ifndef FILEMILL_TESTS_RUNNER_SEALED_WORLD_H
#define FILEMILL_TESTS_RUNNER_SEALED_WORLD_H

#include "runner/runner.h"

#include <sys/types.h>

struct world {
	struct runner *runner;
	unsigned fds; /* open before */
	int zygotes[64]; /* that were seen: each leads a session of its own */
	unsigned n_zygotes;
};

/* What tests pass as limits unless they say otherwise. */
extern const struct runner_limits world_limits;

/* `path` of the program; config NULL: the limits above, four children. */
void world_begin(struct world *w, const char *path, const struct runner_config *config);
/* Notes the zygote there is now and returns its id; 0 = none. */
int world_zygote(struct world *w);
/* Frees the runner and asserts that no descriptor, process or zombie is left. */
void world_end(struct world *w);

/* The living children of a process, at most max. world_living(): of one that may be gone by now. */
unsigned world_children(int pid, int *ret, unsigned max);
unsigned world_living(int pid, int *ret, unsigned max);
/* Kills a process and waits until it is dead (a zombie, or gone). */
void world_kill(int pid);

/* A job of this op over bytes with their true digest. */
struct runner_job world_job(const struct op *op, struct str input);
/* The same over a descriptor, which is the caller's. */
struct runner_job world_job_of_file(const struct op *op, int fd, struct str content);
/* An op that the table does not know. */
struct op world_op(const char *name, enum op_child child, bool output);
/* Runs one job; frees its result. */
int world_run_one(struct world *w, struct runner_job *job);

/* For runner_job.output: takes bytes into a struct buf. */
int world_take_output(void *arg, const void *data, size_t n, struct err *e);

#endif
