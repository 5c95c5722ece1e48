/* One history: what lies on the disk, what the outside knows of it, and the engine's present life. */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include "coop.h"
#include "heap.h"
#include "rng.h"

#include "catalog/memory/memory.h"
#include "engine/engine_impl.h"
#include "net/client.h"

#define OWNERS 4
#define OPS_KNOWN 32 /* ops, at most */
#define FILES_MAX 128 /* that clients were told of */
#define JOBS_MAX 512 /* rows the catalogue ever had */
#define TALE_MAX 4096 /* what was committed, of a history */
#define KEYS_MAX 6
#define WRITERS_MAX 32
#define WAITERS_MAX 32
#define HOOKS_MAX 8
#define DELIVERIES_MAX 2048
#define POSTS_MAX 8
#define EXPIRY_MOST_MS 20000 /* from when it is asked for */
#define LARGEST_FILE (300u << 10)

/* How often what goes wrong: once in so many; 0 = never. */
struct plan {
	unsigned apply_fails, apply_unknown; /* a commit: refused; or its flush failed and nobody knows */
	unsigned read_fails; /* of the catalogue */
	unsigned store_full, store_io; /* a call of the store; an I/O error at a commit seals it */
	unsigned slow_disk; /* a call takes up to a second */
	unsigned stuck_disk; /* … longer than a lease */
	unsigned job_fails, job_slow, job_stuck; /* slow: seconds; stuck: it asks nobody for longer than a lease */
	unsigned outbox_fails;
	bool hooks; /* there are webhooks */
	unsigned hook_fails; /* a receiver answers badly, or not */
	unsigned crash; /* a life ends so, of 100 */
	unsigned freeze, clock; /* per hundred thinkings of whoever does such things */
	bool crowded; /* the committer's queue is long with a few changes */
	bool other_worker; /* somebody else claims jobs of the same catalogue too */
	bool recurring; /* there is an entry that adds jobs each minute */
	bool backup; /* somebody copies the blobs of a moment now and then */
	bool far_clock; /* the clock may be set by more than what is kept a day or a month */
};

/* A history in which one chosen call of the catalogue or the store fails, or all from it on until all is calm, and nothing else goes wrong. */
enum failing_how { FAIL_ONCE, FAIL_SEALING /* where that is a commit: and nobody knows its outcome */, FAIL_FOR_GOOD, FAIL_HOWS };
struct failing {
	bool on; /* else calls fail by chance */
	enum failing_how how;
	uint64_t at; /* 1…; 0 = none does, they are counted */
};

/* A job as the catalogue had it after the last change. */
struct seen_job {
	struct uuid id, file, worker;
	bool there, cancel;
	int64_t cancelled_at; /* mono ns, less `frozen`: when somebody saw that it is to be cancelled though it ran; 0 = nobody did */
	bool lost; /* its worker was taken for dead, once at least: whose attempts may live on */
	unsigned owner;
	const struct op *op;
	enum job_state state;
	int64_t fence, run_at, finished_at, expires_at, expired_at;
	uint32_t attempt, losses;
	int error;
	uint64_t brought; /* hash of result and outputs */
	size_t n_outputs;
};

/* What readers of events and of the outbox are to be told, in the order of the commits. */
enum tale_kind { TALE_STORED, TALE_ENDED, TALE_DELETED };
struct tale {
	enum tale_kind kind;
	struct uuid file, job;
	int64_t fence, finished_at; /* ENDED: which end */
	unsigned owner;
};

/* A file that a client was told of, by an answer. */
struct told_file {
	struct uuid id;
	unsigned owner, content;
	bool doomed; /* somebody asked for its end, or set when it comes, or it was stored with one */
	bool gone; /* that was answered */
};

/* A key is for one content and one list of ops, whoever uses it. */
struct told_key {
	struct uuid file;
	bool used; /* by a file that was committed */
	int64_t created_at;
};

struct open_writer {
	struct blob_writer *inner; /* NULL = none */
	char name[BLOB_NAME_MAX + 1];
};

struct sim_waiter {
	struct engine_waiter w;
	bool taken, registered, woken;
};

/* A delivery as the catalogue had it after the last change, and what its receiver knows of it. */
struct seen_delivery {
	bool there, off; /* off: its webhook is, or is deleted */
	enum delivery_state state;
	uint32_t tries;
	int64_t due_at;
	uint64_t payload; /* hash */
	uint64_t seen_at; /* which look */
	bool answered, refused; /* by 204, ever; by 410 */
	bool answered_now; /* in this life, and nobody wants it again */
};

struct told_hook {
	struct uuid id;
	unsigned owner;
};

/* A request on its way. */
struct post {
	bool there, cancelled;
	uint64_t id;
	void (*done)(void *arg, const struct net_result *r);
	void *arg;
	int64_t delivery, webhook; /* row numbers; 0: they went meanwhile */
	int64_t answer_at; /* mono ns */
	int code, status;
	int64_t retry_after_s;
};

struct world {
	uint64_t seed;
	struct rng rng;
	struct plan plan;
	unsigned owners; /* of whom there is something */
	bool calm; /* nothing goes wrong any more */
	unsigned life;

	/* on the disk */
	struct catalog *catalog;
	struct blobs *blobs;
	struct open_writer writers[WRITERS_MAX]; /* of this life */

	/* what was seen of it */
	struct seen_job jobs[JOBS_MAX]; /* by row number */
	struct tale tales[TALE_MAX];
	size_t n_tales, n_ends;
	struct seen_delivery deliveries[DELIVERIES_MAX]; /* by row number */
	uint64_t looks;
	size_t outbox_at; /* tales told by the outbox */
	bool outbox_anew; /* a new life: some may come again */

	/* outside */
	struct told_file files[FILES_MAX];
	size_t n_files;
	struct told_key keys[OWNERS][KEYS_MAX];
	uint64_t passed[OWNERS]; /* jobs of others that were claimed while one of theirs could have been */
	struct sim_waiter waiters[WAITERS_MAX]; /* of this life */
	struct told_hook hooks[HOOKS_MAX];
	unsigned n_hooks;
	struct failing failing;
	uint64_t calls; /* of catalogue and store that could have failed */
	int64_t frozen; /* ns in which all stood still */
	int64_t wall_most; /* the latest time the clock ever showed */

	/* this life */
	struct engine_config config;
	struct catalog_options options;
	struct claim_limit limits[2]; /* of ops, on what runs at once */
	size_t n_limits;
	uint64_t owner_limit; /* the same of an owner; 0 = none */
	const struct op_table *ops; /* with those limits */
	struct arena ops_memory;
	struct engine *g;
	struct env env;
	bool applying, sealed;
	bool held; /* a backup holds the blobs */
	unsigned reading; /* that have not got what they read yet */
	struct runner *runner;
	struct post posts[POSTS_MAX];
	uint64_t last_post;
	pthread_t network;
	bool network_over;
	size_t tales_before; /* this life */
	size_t tales_settled; /* of a calm life: everybody has been told of those before */
	unsigned clients; /* that have not ended */
	bool stopping;
};

/* ---- chance ---- */
/* Not when all is calm. */
bool chance(struct world *w, unsigned one_in);
/* Whether this call of the catalogue or the store fails: by that chance, or since it is the chosen one. */
bool call_fails(struct world *w, unsigned one_in);
/* A call of the disk takes its time. */
void disk_takes_time(struct world *w);

/* ---- disk.c: the store ---- */
[[nodiscard]] int disk_new(struct blobs **ret, struct world *w, struct err *e);
/* The process died: what was being written is there in part, or not. */
void disk_crash(struct world *w);
/* The bytes of a durable blob, until the next call; p NULL: there is none. */
struct str disk_read(struct world *w, struct str name);
/* Every durable blob. */
void disk_each(struct world *w, void (*visit)(struct world *w, struct str name));

/* ---- book.c: the catalogue ---- */
void book_open(struct world *w); /* the world's catalogue, a new one, is led through it */
void book_restart(struct world *w); /* a new process opens it */
void book_close(struct world *w); /* before it is freed for good */

/* ---- oracle.c: what may happen to the catalogue ---- */
/* Right after a change was applied: all that it changed has to be what such a change may do. ends: the jobs that became final by it. */
void oracle_look(struct world *w, const struct change *c, const struct ended *ends, size_t n_ends);
bool oracle_has_file(const struct world *w, struct uuid id);
struct mem *world_mem(const struct world *w);
const char *short_id(struct uuid id); /* for traces; static */

/* ---- hooks.c: webhooks ---- */
void hooks_config(struct world *w);
void hooks_restart(struct world *w); /* a new life */
void hooks_look(struct world *w, const struct change *c, const struct ended *ends, size_t n_ends);
unsigned hooks_waiting(const struct world *w);
void *network(void *arg); /* a world */

/* ---- turns.c: whose turn it is ---- */
void turns_before(const struct world *w); /* a change */
void turns_after(struct world *w, const struct change *c);

/* ---- truth.c: what must come out ---- */
const char *owner_name(unsigned owner);
unsigned owner_of(struct str name);
#define CONTENTS 12
size_t content_size(unsigned content);
/* A pointer to its bytes; static. */
const char *content_bytes(unsigned content);
/* What an op that makes a file makes of these bytes. */
void truth_make(struct buf *out, struct str op, struct str params, bool named, struct str name, struct str input);
/* Whether a job that succeeded has the result, and the outputs on the disk, that it has to have. */
void truth_check_job(struct world *w, const struct mem_job *j);
void truth_check_file(struct world *w, const struct mem_file *f);
void truth_check_blob(struct world *w, struct str blob, uint64_t size, const uint8_t sha256[32], const char *what);

/* ---- toil.c: the runner, and another worker ---- */
[[nodiscard]] int toil_new(struct runner **ret, struct world *w, struct err *e);
void *other_worker(void *arg); /* a world */

/* ---- clients.c, listener.c ---- */
void *client(void *arg); /* a world */
void *listener(void *arg);
void *trouble(void *arg); /* clock and freezes */
void *backup(void *arg);
int hear_outbox(void *arg, const struct job *job);
void waiters_at_rest(struct world *w);
/* Applies a change through the engine and waits. */
int submit(struct world *w, struct change *c);

/* ---- history.c ---- */
struct history {
	bool ok;
	uint64_t hash, steps;
	uint64_t calls; /* of catalogue and store that could fail */
	unsigned lives, crashes, files, jobs;
};
struct history history_run(uint64_t seed, struct failing failing);

#endif
