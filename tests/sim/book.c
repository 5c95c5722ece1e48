/* The catalogue on the simulated disk: the memory backend with some of its methods led through here, so that calls take time and fail, and each change is looked at right after it
 * was applied. A commit that fails does nothing at all; one whose flush fails has happened or not, and nobody can tell which: then the catalogue is sealed, as SQLite's is.
 * Methods that are not led through here are the backend's own. */
#include "world.h"

#include <stdlib.h>

/* One history at a time. */
static struct book {
	struct world *w;
	const struct catalog_ops *inner;
	struct catalog_ops outer;
} book;

/* ---- writing ---- */

static void name_arenas(const struct change *c)
{
	switch (c->kind) {
	case CHANGE_ADD_FILE:
		heap_process_arena(c->add_file.arena);
		break;
	case CHANGE_ADD_FILES:
		for (size_t i = 0; i < c->add_files.n; i++)
			heap_process_arena(c->add_files.files[i].arena);
		break;
	case CHANGE_ADD_JOBS:
		heap_process_arena(c->add_jobs.arena);
		break;
	case CHANGE_CLAIM:
		heap_process_arena(c->claim.arena);
		break;
	default:
		break;
	}
}

/* The i-th change of a batch. */
static void apply_one(struct catalog *c, size_t i, struct change *ch)
{
	size_t ends = c->ends.n;
	struct err e = ERR_INIT;

	coop_quiet_begin();
	enum heap_domain d = heap_enter(HEAP_DISK);
	name_arenas(ch);
	if (book.inner->apply(c, &ch, 1, &e) != 0)
		coop_fail("the memory catalogue failed: %s", e.detail);
	heap_process_arena(NULL);
	heap_enter(d);
	for (size_t k = ends; k < c->ends.n; k++)
		c->ends.list[k].change = i;
	oracle_look(book.w, ch, c->ends.list + ends, c->ends.n - ends);
	coop_quiet_end();
}

/* What becomes of a commit. */
enum fate { FATE_GOOD, FATE_REFUSED, FATE_UNKNOWN };

static enum fate fate_of(struct world *w)
{
	if (w->failing.on)
		return !call_fails(w, 0) ? FATE_GOOD : w->failing.how == FAIL_SEALING ? FATE_UNKNOWN : FATE_REFUSED;
	if (chance(w, w->plan.apply_unknown))
		return FATE_UNKNOWN;
	return chance(w, w->plan.apply_fails) ? FATE_REFUSED : FATE_GOOD;
}

static int book_apply(struct catalog *c, struct change *const *changes, size_t n, struct err *e)
{
	static const int refusals[] = {ERR_STORAGE_FULL, ERR_CATALOG_UNAVAILABLE, ERR_IO};
	struct world *w = book.w;

	if (w->applying)
		coop_fail("two threads write the catalogue");
	if (coop_locks() > 0)
		coop_fail("%s writes the catalogue with a lock held", coop_name());
	w->applying = true;
	disk_takes_time(w);
	enum fate fate = fate_of(w);
	if (fate == FATE_GOOD || (fate == FATE_UNKNOWN && rng_one_in(&w->rng, 2)))
		for (size_t i = 0; i < n; i++)
			apply_one(c, i, changes[i]);
	disk_takes_time(w);
	w->applying = false;
	if (fate == FATE_GOOD)
		return 0;
	TRACE("the commit %s", fate == FATE_UNKNOWN ? "ended nobody knows how" : "was refused");
	if (fate == FATE_REFUSED)
		return err_set(e, refusals[rng_below(&w->rng, ARRAY_LEN(refusals))], "simulated: the commit was refused");
	w->sealed = true;
	atomic_store(&c->sealed, true);
	return err_set(e, ERR_IO, "simulated: the flush of the commit failed");
}

/* The process lets go of it; the disk stays. */
static void book_free(struct catalog *c)
{
	c->ends.list = NULL;
	c->ends.n = c->ends.cap = 0;
}

/* ---- reading: a step each ---- */

static int read_begin(struct err *e)
{
	struct world *w = book.w;

	coop_point();
	if (call_fails(w, w->plan.read_fails))
		return err_set(e, ERR_IO, "simulated: the catalogue cannot be read");
	coop_quiet_begin();
	return 0;
}

/* What was read may be old when it is looked at. */
static int read_end(int rc)
{
	struct world *w = book.w;

	coop_quiet_end();
	w->reading++;
	if (chance(w, w->plan.slow_disk))
		coop_sleep((int64_t)rng_below(&w->rng, 30) * MS);
	else
		coop_point();
	w->reading--;
	return rc;
}

#define READ(call)                                                                                                                         \
	do {                                                                                                                               \
		int rc = read_begin(e);                                                                                                    \
		return rc != 0 ? rc : read_end(book.inner->call);                                                                          \
	} while (0)

static int book_file(struct catalog *c, struct file_key key, struct str owner, struct arena *a, struct file *ret, struct err *e)
{
	READ(file(c, key, owner, a, ret, e));
}

static int book_inline_bytes(struct catalog *c, struct uuid file, struct buf *out, struct err *e)
{
	READ(inline_bytes(c, file, out, e));
}

static int book_job(struct catalog *c, struct uuid id, int64_t number, struct str owner, struct arena *a, struct job *ret, struct err *e)
{
	READ(job(c, id, number, owner, a, ret, e));
}

static int book_ended_job(struct catalog *c, int64_t number, struct arena *a, struct job *ret, struct str *ret_owner, struct err *e)
{
	READ(ended_job(c, number, a, ret, ret_owner, e));
}

static int book_next_run_at(struct catalog *c, int64_t *ret, struct err *e)
{
	READ(next_run_at(c, ret, e));
}

static int book_artifact(struct catalog *c, struct str owner, struct str op, uint32_t op_version, struct str params,
			 const uint8_t sha256[32], struct uuid *ret, struct err *e)
{
	READ(artifact(c, owner, op, op_version, params, sha256, ret, e));
}

static int book_blob_referenced(struct catalog *c, struct str blob, bool *ret, struct err *e)
{
	READ(blob_referenced(c, blob, ret, e));
}

static int book_doomed(struct catalog *c, struct str after, uint32_t max, struct arena *a, struct str **ret, size_t *ret_n, struct err *e)
{
	READ(doomed(c, after, max, a, ret, ret_n, e));
}

static int book_expired(struct catalog *c, int64_t now, uint32_t max, struct arena *a, struct expired **ret, size_t *ret_n, struct err *e)
{
	READ(expired(c, now, max, a, ret, ret_n, e));
}

static int book_outbox(struct catalog *c, int64_t after, uint32_t max, struct arena *a, struct outbox_entry **ret, size_t *ret_n,
		       struct err *e)
{
	READ(outbox(c, after, max, a, ret, ret_n, e));
}

static int book_due_webhooks(struct catalog *c, int64_t after, uint32_t max, struct arena *a, struct due_webhook **ret, size_t *ret_n,
			     struct err *e)
{
	READ(due_webhooks(c, after, max, a, ret, ret_n, e));
}

static int book_due_deliveries(struct catalog *c, int64_t webhook_number, int64_t now, uint32_t max, struct arena *a, struct delivery **ret,
			       size_t *ret_n, struct err *e)
{
	READ(due_deliveries(c, webhook_number, now, max, a, ret, ret_n, e));
}

void book_open(struct world *w)
{
	book = (struct book){.w = w, .inner = w->catalog->ops, .outer = *w->catalog->ops};
	book.outer.apply = book_apply;
	book.outer.free = book_free;
	book.outer.file = book_file;
	book.outer.inline_bytes = book_inline_bytes;
	book.outer.job = book_job;
	book.outer.ended_job = book_ended_job;
	book.outer.next_run_at = book_next_run_at;
	book.outer.artifact = book_artifact;
	book.outer.blob_referenced = book_blob_referenced;
	book.outer.doomed = book_doomed;
	book.outer.expired = book_expired;
	book.outer.outbox = book_outbox;
	book.outer.due_webhooks = book_due_webhooks;
	book.outer.due_deliveries = book_due_deliveries;
	w->catalog->ops = &book.outer;
}

void book_restart(struct world *w)
{
	atomic_store(&w->catalog->sealed, false);
	w->catalog->ends.n = 0;
	pthread_mutex_init(&world_mem(w)->lock, NULL); /* who held it is no more */
}

void book_close(struct world *w)
{
	w->catalog->ops = book.inner;
}
