/* A wrapper that fails the calls it is told to; everything else goes to the store inside. */
#include "blobs/blobs_impl.h"

#include <stdatomic.h>
#include <stdlib.h>

struct fault {
	struct blobs base;
	struct blobs_fault_plan *plan; /* borrowed; calls are counted from any thread */
};

struct fault_writer {
	struct blob_writer base;
	struct blob_writer *inner;
};

static struct fault *fault_of(struct blobs *b)
{
	return (struct fault *)b;
}

/* Counts a call and answers the code it fails with, or 0. */
static int next_call(struct fault *f, struct err *e)
{
	struct blobs_fault_plan *plan = f->plan;
	unsigned call = atomic_fetch_add(&plan->calls, 1) + 1, fail_at = atomic_load(&plan->fail_at);

	if (fail_at == 0 || call < fail_at || (call > fail_at && !plan->sticky))
		return 0;
	return err_set(e, plan->code, "injected failure of call %u", call);
}

static void fault_free(struct blobs *b)
{
	blobs_free(b->inner);
	free(b);
}

/* With an origin as a copy of it. */
static int create(struct blobs *b, struct str name, uint64_t size_hint, const struct blob_origin *from, struct blob_writer **ret,
		  struct err *e)
{
	int r = next_call(fault_of(b), e);
	struct fault_writer *w;

	if (r < 0)
		return r;
	w = calloc(1, sizeof(*w));
	if (!w)
		return err_set(e, ERR_NO_MEMORY, "no memory for a writer");
	r = from ? blob_create_copy(b->inner, name, from, &w->inner, e) : blob_create(b->inner, name, size_hint, &w->inner, e);
	if (r < 0) {
		free(w);
		return r;
	}
	*ret = &w->base;
	return 0;
}

static int fault_create(struct blobs *b, struct str name, uint64_t size_hint, struct blob_writer **ret, struct err *e)
{
	return create(b, name, size_hint, NULL, ret, e);
}

static int fault_create_copy(struct blobs *b, struct str name, const struct blob_origin *from, struct blob_writer **ret, struct err *e)
{
	return create(b, name, from->size, from, ret, e);
}

static int fault_append(struct blob_writer *base, const void *data, size_t n, struct err *e)
{
	struct fault_writer *w = (struct fault_writer *)base;
	int r = next_call(fault_of(base->store), e);

	return r < 0 ? r : blob_append(w->inner, data, n, e);
}

static void fault_abandon(struct blob_writer *base)
{
	struct fault_writer *w = (struct fault_writer *)base;

	blob_abandon(w->inner);
	free(w);
}

static int fault_commit(struct blob_writer *base, struct err *e)
{
	struct fault_writer *w = (struct fault_writer *)base;
	struct blobs *store = base->store;
	int r = next_call(fault_of(store), e);

	if (r == 0) {
		r = blob_commit(w->inner, e);
		free(w);
		return r;
	}
	/* An I/O error at this point is a failed flush, and a failed flush seals. */
	if (r == ERR_IO)
		blobs_seal(store);
	fault_abandon(base);
	return r;
}

static int fault_open(struct blobs *b, struct str name, int *ret_fd, uint64_t *ret_size, struct err *e)
{
	int r = next_call(fault_of(b), e);

	return r < 0 ? r : blob_open(b->inner, name, ret_fd, ret_size, e);
}

static int fault_read_open(struct blobs *b, struct str name, uint64_t from, uint64_t length, struct blob_reader **ret, uint64_t *ret_size,
			   struct err *e)
{
	int r = next_call(fault_of(b), e);

	return r < 0 ? r : blob_read_open(b->inner, name, from, length, ret, ret_size, e);
}

static int fault_remove(struct blobs *b, struct str name, struct err *e)
{
	int r = next_call(fault_of(b), e);

	return r < 0 ? r : blob_remove(b->inner, name, e);
}

static int fault_visit(struct blobs *b, int (*visit)(void *arg, struct str name, uint64_t size), void *arg, struct err *e)
{
	int r = next_call(fault_of(b), e);

	return r < 0 ? r : blobs_visit(b->inner, visit, arg, e);
}

static const struct blobs_methods fault_methods = {
	.free = fault_free,
	.create = fault_create,
	.create_copy = fault_create_copy,
	.append = fault_append,
	.commit = fault_commit,
	.abandon = fault_abandon,
	.open = fault_open,
	.read_open = fault_read_open,
	.remove = fault_remove,
	.visit = fault_visit,
};

int blobs_fault_new(struct blobs **ret, struct blobs *inner, struct blobs_fault_plan *plan, struct err *e)
{
	struct fault *f = calloc(1, sizeof(*f));

	if (!f)
		return err_set(e, ERR_NO_MEMORY, "no memory for a store");
	f->base.methods = &fault_methods;
	f->base.inner = inner;
	f->plan = plan;
	*ret = &f->base;
	return 0;
}
