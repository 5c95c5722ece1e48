/* For the files of the real kind: the zygote and its children as the server sees them, what travels to them, and the blame when they are gone.
 *
 *	sealed.c        the kind: slots, jobs into batches, what is tried again
 *	sealed_pool.c   idle children, the zygote and its successors
 *	sealed_report.c what a new zygote proves of its seal
 *	zygote_link.c   one zygote: finds and executes the program, asks it for children, ends it
 *	sealed_child.c  one child: its sockets, its pidfd, its end
 *	batch.c         jobs → one message with descriptors
 *	drive.c         one batch on one child: waits for answers, output, the end, the deadline
 *	answers.c       one message of a child → answers, or the reason why it cannot be right
 *	progress.c      how far a child says it is
 *	blame.c         how a child ended → what becomes of its job */
#ifndef FILEMILL_RUNNER_SEALED_IMPL_H
#define FILEMILL_RUNNER_SEALED_IMPL_H

#include "runner/message.h"
#include "runner/runner_impl.h"

#include <pthread.h>
#include <sys/types.h>

#define START_MAX_MS 30000 /* from exec to the report: libraries are loaded from a slow disk */
#define SPAWN_MAX_MS 10000 /* from the request to child_started */
#define END_MAX_MS 10000 /* from the kill to child_ended */
#define TICK_MS 50 /* between two questions to the watcher */

/* ---- the whole ---- */

struct sealed_runner {
	struct runner base;
	struct runner_config config;
	char *path; /* owned; config.path */
	struct seal_report report; /* written at the start */

	pthread_mutex_t lock; /* guards all below; never held over a call that can block */
	pthread_cond_t changed; /* a slot is free, or a zygote was started or was not */
	unsigned slots_used;
	struct sealed_child *idle; /* POLICY_MANY */
	struct sealed_child *spare; /* POLICY_ONCE, ordered, perhaps not there yet */
	struct zygote_link *zygote; /* NULL: the next one who needs it starts it */
	bool starting; /* somebody does */
	unsigned young_deaths; /* in a row */
	int64_t not_before_ms; /* no start until then */
	struct runner_stats stats;
};

int64_t sealed_now_ms(void); /* CLOCK_MONOTONIC */

/* ---- one zygote ---- */

struct zygote_link {
	int socket; /* owned */
	int pidfd; /* owned */
	pid_t pid; /* our child: reaped by zygote_link_end() */
	int64_t started_ms;
	unsigned refs; /* the pool's, under its lock */
};

/* Executes the program and nothing more. `path` NULL or "": beside the running program, then the installed place. ERR_RUNNER_UNAVAILABLE. */
[[nodiscard]] int zygote_link_start(struct zygote_link **ret, const char *path, struct err *e);
bool zygote_link_alive(const struct zygote_link *z);
/* Closes its socket, which tells it to go, kills it when it does not, reaps it, frees. NULL is fine. */
void zygote_link_end(struct zygote_link *z);

/* ---- one child ---- */

struct sealed_child {
	struct sealed_child *next; /* in a list of idle ones */
	enum seal_policy policy;
	int channel, status; /* owned, non-blocking */
	int pidfd; /* owned; -1 until it has started */
	int error; /* errno of a child that never came to be */
	bool started, ended; /* child_started, child_ended have come */
	bool orphaned; /* the zygote is gone: nobody will tell how it ended */
	bool unheld; /* it lives or may yet, but its pidfd did not arrive, for lack of descriptors or in time: only the zygote's end ends it for certain */
	bool killed; /* by us */
	bool refused; /* a system call: `refusal` */
	struct child_ended end;
	struct runner_refusal refusal;
	uint64_t serial; /* of the last request */
	uint64_t served; /* jobs */
	void *room; /* owned; RUNNER_MESSAGE_MAX bytes for its messages and for pieces of output */
};

/* Asks for a child and does not wait for it: what is sent to its channel meanwhile lies there. -1 and errno: the zygote does not listen. */
[[nodiscard]] int sealed_child_order(struct sealed_child **ret, const struct zygote_link *z, const struct zygote_request *q);
/* Takes what has come on the status socket. Does not block. */
void sealed_child_note(struct sealed_child *c);
/* Waits until it has ended (true), or is orphaned or the time is over. */
bool sealed_child_wait(struct sealed_child *c, int64_t max_ms);
/* Kills it. False when its zygote should have told of its beginning, or of its end, long ago. */
bool sealed_child_stop(struct sealed_child *c, int64_t max_ms);
/* True while it has said nothing and is not known to be gone. */
bool sealed_child_quiet(struct sealed_child *c);
void sealed_child_kill(struct sealed_child *c);
/* Kills it if it is still there, waits until it is reaped, closes, frees. NULL is fine. */
void sealed_child_end(struct sealed_child *c);

/* ---- who gets which ---- */

/* Executes a zygote and has it prove its seal. Blocks. ERR_SEAL_INCOMPLETE, ERR_RUNNER_UNAVAILABLE. */
[[nodiscard]] int sealed_begin_zygote(const struct sealed_runner *s, struct zygote_link **ret, struct seal_report *ret_report,
				      struct err *e);
struct zygote_request sealed_request(const struct sealed_runner *s, enum zygote_request_kind kind, enum seal_policy policy,
				     const struct runner_limits *limits);
/* Reaps a zygote that died while nobody needed it. */
void sealed_check_zygote(struct sealed_runner *s);
/* A child that can be given jobs of this op now. `fresh`: one that never had any. ERR_RUNNER_UNAVAILABLE. */
[[nodiscard]] int sealed_take_child(struct sealed_runner *s, const struct op *op, bool fresh, struct sealed_child **ret, struct err *e);
/* Back to the idle ones when it may serve again, else ended. */
void sealed_give_back(struct sealed_runner *s, struct sealed_child *c);
/* Ends every child of a list; NULL is fine. */
void sealed_end_list(struct sealed_runner *s, struct sealed_child *list);

/* ---- one batch ---- */

struct sealed_batch {
	struct buf message;
	int fds[RUNNER_FDS_MAX]; /* to be sent; some are borrowed from the jobs */
	size_t n_fds;
	int own[RUNNER_FDS_MAX]; /* to be closed */
	size_t n_own;
	int output; /* reading end of the output's pipe, non-blocking; -1 = none */
};

/* How many of these jobs go into one batch: same policy, texts within RUNNER_TEXT_MAX. At least 1. */
size_t sealed_batch_fit(const struct runner_job *jobs, size_t n);
enum seal_policy sealed_policy_of(const struct op *op);
struct runner_limits sealed_limits_of(const struct op *op, const struct runner_limits *defaults);
/* Packs the jobs; the caller releases *ret also after a failure. */
[[nodiscard]] int sealed_batch_make(struct sealed_batch *ret, const struct runner_job *jobs, size_t n, uint64_t serial,
				    const struct runner_limits *defaults, struct err *e);
/* Closes what was only to be sent: the pipe's writing end must not stay open here. */
void sealed_batch_sent(struct sealed_batch *b);
void sealed_batch_release(struct sealed_batch *b);

/* ---- one batch on one child ---- */

struct drive {
	struct sealed_child *child;
	struct runner_job *jobs;
	size_t n, answered;
	uint64_t serial; /* of jobs[0] */
	const struct runner_watch *watch;
	struct runner_limits limits;
	int output; /* as in the batch; borrowed */
	bool output_ended;
	uint64_t output_said; /* by the answer */
	int64_t began_ms;
	unsigned progresses; /* messages of progress so far */
	unsigned permille; /* by the last one … */
	size_t progress_of; /* … of this job */
	int64_t deadline_ms;
	bool stopped; /* the watcher said so: no job of the call goes on */
};

/* 0: every job has its answer and the child did as it should. Otherwise the child is to be ended, and the jobs that are open failed with that code. */
[[nodiscard]] int drive_run(struct drive *d, struct err *e);

/* Takes one message of a child: fills in jobs from d->answered on. 0, or ERR_RUNNER_MISBEHAVED; ERR_SEAL_VIOLATION for a refusal. */
[[nodiscard]] int answers_take(struct drive *d, const char *message, size_t len, struct err *e);

/* progress.c: takes one message of progress: 1 when it was one, 0 when it is none. ERR_RUNNER_MISBEHAVED for one that cannot be right, or too many. */
[[nodiscard]] int progress_take(struct drive *d, const char *message, size_t len, struct err *e);

/* The code for the jobs of a child that has ended, or is orphaned, without an answer. */
int blame_ended(const struct sealed_child *c, struct err *e);
int blame_refusal(const struct runner_refusal *refusal, struct err *e);

#endif
