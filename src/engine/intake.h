/* One upload on its way in; for intake*.c only. */
#ifndef FILEMILL_ENGINE_INTAKE_H
#define FILEMILL_ENGINE_INTAKE_H

#include "engine/engine_impl.h"

/* The normal course of a small file: bytes collect in `small`, intake_finish() digests them on the caller's thread and hands one change to the committer.
 * A large one: bytes collect in `filling`; whenever that is full it is swapped with `writing` and a pool thread digests and appends it;
 * after the last one the same thread flushes the blob and hands the change over.
 *
 * Two threads at most hold an intake at once: the caller's and one pool thread. What both touch is guarded by `lock`;
 * `filling` is the caller's while `busy` is whatever it is, `writing` the pool thread's while `busy`. When the caller waits (`waiting`) or has finished
 * (`finishing`) the pool thread may take `filling` too. */
struct intake {
	struct engine *g;
	struct arena arena;
	struct str owner, name, labels;
	const struct op_request *ops;
	size_t n_ops;
	enum asked { ASKED_NOTHING, ASKED_OPS, ASKED_PIPELINE } asked; /* nothing: the default ops */
	struct str ops_text; /* for the fingerprint */
	struct intake_spec spec; /* digests wanted, length, callbacks; its strings are not used after the open, but those of `by` */
	struct running_key key;
	bool has_key;
	struct intake_group *group; /* NULL: it is stored by itself */
	struct uuid id;
	uint64_t size; /* bytes fed */
	int64_t stage_us; /* when it began to be received, or to be committed */

	struct digest_set *digests;
	unsigned mask; /* digests that ride along */
	uint8_t first[MAGIC_BYTES];
	size_t n_first;

	struct buf small; /* the whole file while it is at most inline_max */
	bool big;
	bool counted; /* in uploads.n_big: its bytes are not safe yet */
	bool one_of_few; /* when it became large there were few, itself included: of those that are so, there are never more */
	struct intake *next_big, *prev_big; /* uploads.big */

	pthread_mutex_t lock; /* guards the flags */
	struct buf filling, writing;
	bool busy, waiting, finishing;
	_Atomic bool cancelled;
	int code; /* what a pool thread failed with */
	struct err err;
	struct engine_waiter refusal; /* that is told a little later */
	struct pool_task task;
	struct blob_writer *writer; /* pool thread only */
	bool stored; /* the blob is durable and not yet referred to */
	char blob_name[BLOB_NAME_MAX + 1];
	struct uuid node; /* what others know this node as since before the blob is there; zero: there are no others */

	struct change change;
	struct file file;
	struct buf results; /* results of fused jobs, back to back */
	intake_done_fn *done;
	void *done_arg;
};

/* intake.c */
void intake_free(struct intake *in);
void intake_release_key(struct intake *in); /* its Idempotency-Key is not `running` any more */
/* Ends the upload with a failure: tells the caller, removes what was stored, frees. */
void intake_fail(struct intake *in, int code, const struct err *e);

/* ERR_UNSUPPORTED_TYPE when only certain types are taken and the first bytes are of another. */
[[nodiscard]] int intake_check_type(const struct intake *in, struct err *e);

/* intake_commit.c: digests are finished from here on */
/* Checks length and digests, builds file and jobs, submits the change. On failure nothing is submitted and the intake is the caller's still. */
[[nodiscard]] int intake_commit(struct intake *in, struct err *e);

void intake_count(const struct intake *in); /* it is stored: for the metrics */

/* intake_group.c */
/* It could be stored now; the group takes it. */
void intake_group_arrived(struct intake *in);

/* intake_big.c */
[[nodiscard]] int intake_go_big(struct intake *in, struct err *e);
enum intake_step intake_big_feed(struct intake *in, const void *data, size_t n, struct err *e);
[[nodiscard]] int intake_big_rest(struct intake *in, const void *data, size_t n, struct err *e);
void intake_big_finish(struct intake *in);
void intake_big_cancel(struct intake *in);
/* Its bytes are safe, its row is not: it stays on the list of large uploads, for the sweep, and is none of those under way any more. */
void intake_big_safe(struct intake *in);
void intake_big_forget(struct intake *in); /* takes it off that list */
/* Removes the stored blob on a pool thread, then frees the intake. */
void intake_drop_blob(struct intake *in);

#endif
