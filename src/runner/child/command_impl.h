/* Between the files that execute one program for one job. */
#ifndef FILEMILL_RUNNER_COMMAND_IMPL_H
#define FILEMILL_RUNNER_COMMAND_IMPL_H

#include "runner/child/child.h"

#include <sys/types.h>

#define COMMAND_STDERR_MAX 4096 /* bytes kept: the last ones */
#define COMMAND_PROCESSES_MAX 64 /* processes and threads of one command, where its user is its own */
#define COMMAND_TMP_FILES 16384 /* files and folders in /tmp */
#define COMMAND_TMP_SHARE 2 /* /tmp holds 1/2 of the memory limit */
#define COMMAND_LOOK_MS 50 /* how often the memory of all processes is added up */

/* ---- command_world.c ---- */

/* What the supervisor made of the place it lives in. */
struct command_world {
	bool namespaces; /* own processes, mounts, network: it is number 1, and everything here ends with it */
	bool own_user; /* no process outside is counted for its user: a limit of processes is its own */
	bool other_user; /* it has not the server's rights to files */
};

/* Builds the place: user, file system, host name. Then the caller has no capability left and is no longer the server's user, or is in a user namespace.
 * With namespaces the zygote made; without them only the user changes, if it can. ERR_SEAL_INCOMPLETE says what failed. */
[[nodiscard]] int command_world_enter(struct command_world *ret, const struct seal *s, const struct runner_limits *limits, struct err *e);
/* In a child that only tries: builds the place. 0, or the errno of what this machine refused. */
int command_world_try(const struct seal *s);

/* ---- command_filter.c ---- */

/* From here on the calling process has not the calls that the place it lives in does not make harmless. 0 or errno. */
int command_filter(const struct command_world *w);

/* ---- command_stderr.c ---- */

/* The last bytes of a stream. */
struct command_tail {
	size_t n; /* bytes that are there */
	char text[COMMAND_STDERR_MAX];
};

void command_tail_add(struct command_tail *t, const char *p, size_t n);
/* As valid UTF-8 on whole characters; what is no text, and every control but tab and the ends of lines, becomes U+FFFD. */
void command_tail_write(const struct command_tail *t, struct buf *out);

/* ---- command_progress.c ---- */

#define COMMAND_PROGRESS_FD 3 /* where the program writes it, when its declaration says that it does */

/* What a program says of its progress: lines such as 0.25 or 25%. */
struct command_progress {
	char line[32];
	size_t n; /* of the line under way; more than fits: it is none */
	unsigned permille; /* of the last line that was one */
};
/* Takes some bytes; true when they brought a number. What is none is passed over. */
bool command_progress_add(struct command_progress *p, const char *text, size_t n);

/* ---- command_watch.c ---- */

/* A program that runs, and what becomes of it. */
struct command_run {
	pid_t program;
	bool namespaces; /* whom to kill in the end: everybody, or whoever descends from here */
	pid_t outer; /* without namespaces: the parent, with whom everything has to end */
	int from, errors; /* reading ends of its standard output and error */
	int progress; /* of what it says of its progress; -1: nothing */
	int channel; /* where that is told … */
	uint64_t serial; /* … as what */
	int output; /* the job's pipe; -1: what the program writes is dropped */
	const struct runner_limits *limits;
	/* out */
	int code; /* 0, or why it was ended: ERR_LIMIT_OUTPUT, ERR_LIMIT_MEMORY, ERR_IO */
	struct err why; /* when code is not 0 */
	int how, status; /* siginfo's si_code and si_status of the program */
	double cpu_s; /* of the program and all its children that ended */
	uint64_t written; /* bytes that the job's pipe took */
	struct command_tail tail;
};

/* Until the program has ended, nobody of its processes is left, and everything they wrote has arrived. Closes `from`, `errors` and `output`. */
void command_watch(struct command_run *r);
/* Kills the program and whatever descends from it, and waits until no child is left. */
void command_kill_all(bool namespaces, pid_t program);

#endif
