/* The store on the simulated disk: the memory backend behind a layer in which calls take time, fail, and are cut short by the death of the process. What was committed stays;
 * what was being written then is there in part, whole, or not at all, under its final name, as in a directory. */
#include "world.h"

#include "base/fd.h"
#include "blobs/blobs_impl.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct disk {
	struct blobs base;
	struct world *w;
};

struct disk_writer {
	struct blob_writer base;
	struct open_writer *open;
};

static struct world *world_of(struct blobs *b)
{
	return ((struct disk *)b)->w;
}

static void begin(struct blobs *b)
{
	if (coop_locks() > 0)
		coop_fail("%s calls the store with a lock held", coop_name());
	disk_takes_time(world_of(b));
}

static int full(struct world *w, struct err *e)
{
	return call_fails(w, w->plan.store_full) ? err_set(e, ERR_STORAGE_FULL, "simulated: the disk is full") : 0;
}

/* The inner store is one step: nobody comes in between, and what it allocates lies on the disk. */
static enum heap_domain inner_begin(void)
{
	coop_quiet_begin();
	return heap_enter(HEAP_DISK);
}

static void inner_end(enum heap_domain before)
{
	heap_enter(before);
	coop_quiet_end();
}

static void disk_free(struct blobs *b)
{
	free(b);
}

static struct open_writer *free_writer(struct world *w)
{
	for (size_t i = 0; i < WRITERS_MAX; i++)
		if (w->writers[i].inner == NULL)
			return &w->writers[i];
	coop_fail("more than %d blobs are written at once", WRITERS_MAX);
}

static int disk_create(struct blobs *b, struct str name, uint64_t size_hint, struct blob_writer **ret, struct err *e)
{
	struct world *w = world_of(b);

	begin(b);
	int rc = full(w, e);
	if (rc != 0)
		return rc;
	struct disk_writer *x = calloc(1, sizeof(*x));
	struct open_writer *o = free_writer(w);
	if (x == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for a writer");
	enum heap_domain d = inner_begin();
	rc = blob_create(w->blobs, name, size_hint, &o->inner, e);
	inner_end(d);
	TRACE("create %.*s: %d", STR_FMT(name), rc);
	if (rc != 0) {
		o->inner = NULL;
		if (rc == ERR_CONFLICT && !str_starts(name, STR("probe/")))
			coop_fail("the name %.*s is used twice", STR_FMT(name));
		free(x);
		return rc;
	}
	memcpy(o->name, name.p, name.len);
	o->name[name.len] = '\0';
	x->open = o;
	*ret = &x->base;
	coop_point();
	return 0;
}

static int disk_append(struct blob_writer *base, const void *data, size_t n, struct err *e)
{
	struct disk_writer *x = (struct disk_writer *)base;
	struct world *w = world_of(base->store);

	begin(base->store);
	int rc = full(w, e);
	if (rc != 0)
		return rc;
	enum heap_domain d = inner_begin();
	rc = blob_append(x->open->inner, data, n, e);
	inner_end(d);
	return rc;
}

static void let_go(struct disk_writer *x, bool keep)
{
	struct err e = ERR_INIT;
	enum heap_domain d = inner_begin();

	if (!keep)
		blob_abandon(x->open->inner);
	else if (blob_commit(x->open->inner, &e) != 0)
		coop_fail("the blob %s went while it was written", x->open->name);
	x->open->inner = NULL;
	inner_end(d);
	free(x);
}

static void disk_abandon(struct blob_writer *base)
{
	begin(base->store);
	TRACE("abandon %s", ((struct disk_writer *)base)->open->name);
	let_go((struct disk_writer *)base, false);
	coop_point();
}

static int disk_commit(struct blob_writer *base, struct err *e)
{
	struct disk_writer *x = (struct disk_writer *)base;
	struct blobs *b = base->store;
	struct world *w = world_of(b);

	begin(b);
	if (call_fails(w, w->plan.store_io)) {
		TRACE("the flush of %s failed", x->open->name);
		w->sealed = true;
		blobs_seal(b);
		let_go(x, rng_one_in(&w->rng, 2));
		return err_set(e, ERR_IO, "simulated: the flush failed");
	}
	TRACE("commit %s", x->open->name);
	let_go(x, true);
	disk_takes_time(w);
	return 0;
}

static int disk_open(struct blobs *b, struct str name, int *ret_fd, uint64_t *ret_size, struct err *e)
{
	struct world *w = world_of(b);

	begin(b);
	if (call_fails(w, w->plan.read_fails))
		return err_set(e, ERR_IO, "simulated: cannot be read");
	coop_quiet_begin();
	int rc = blob_open(w->blobs, name, ret_fd, ret_size, e);
	coop_quiet_end();
	coop_point();
	return rc;
}

static int disk_remove(struct blobs *b, struct str name, struct err *e)
{
	struct world *w = world_of(b);
	bool referenced = false;

	begin(b);
	int rc = full(w, e);
	if (rc != 0)
		return rc;
	enum heap_domain d = inner_begin();
	rc = mem_blob_referenced(w->catalog, name, &referenced, e);
	if (rc == 0 && referenced)
		coop_fail("the blob %.*s is removed, and a row refers to it", STR_FMT(name));
	if (rc == 0)
		rc = blob_remove(w->blobs, name, e);
	inner_end(d);
	TRACE("remove %.*s: %d", STR_FMT(name), rc);
	coop_point();
	return rc;
}

/* ---- listing ---- */

#define LISTED_MAX 512

struct listed {
	size_t n;
	char names[LISTED_MAX][BLOB_NAME_MAX + 1];
};

static int list_one(void *arg, struct str name, uint64_t size)
{
	struct listed *l = arg;

	if (l->n == LISTED_MAX)
		coop_fail("there are more than %d blobs", LISTED_MAX);
	memcpy(l->names[l->n], name.p, name.len);
	l->names[l->n++][name.len] = '\0';
	return 0;
}

/* What is being written is in the directory already. */
static void list(struct world *w, struct listed *l)
{
	struct err e = ERR_INIT;

	coop_quiet_begin();
	l->n = 0;
	if (blobs_visit(w->blobs, list_one, l, &e) != 0)
		coop_fail("the memory store cannot list its blobs");
	for (size_t i = 0; i < WRITERS_MAX; i++)
		if (w->writers[i].inner != NULL)
			list_one(l, str_of(w->writers[i].name), 0);
	coop_quiet_end();
}

static int disk_visit(struct blobs *b, int (*visit)(void *arg, struct str name, uint64_t size), void *arg, struct err *e)
{
	struct world *w = world_of(b);
	struct listed *l = malloc(sizeof(*l));
	int rc = 0;

	if (l == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for a list");
	begin(b);
	list(w, l);
	for (size_t i = 0; i < l->n && rc == 0; i++) {
		coop_point();
		rc = call_fails(w, w->plan.read_fails) ? err_set(e, ERR_IO, "simulated: cannot be listed")
						       : visit(arg, str_of(l->names[i]), 0);
	}
	free(l);
	return rc;
}

static const struct blobs_methods METHODS = {
	.free = disk_free,
	.create = disk_create,
	.append = disk_append,
	.commit = disk_commit,
	.abandon = disk_abandon,
	.open = disk_open,
	.remove = disk_remove,
	.visit = disk_visit,
};

int disk_new(struct blobs **ret, struct world *w, struct err *e)
{
	struct disk *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for a store");
	d->base.methods = &METHODS;
	d->w = w;
	*ret = &d->base;
	return 0;
}

/* ---- from outside ---- */

void disk_crash(struct world *w)
{
	struct err e = ERR_INIT;

	for (size_t i = 0; i < WRITERS_MAX; i++) {
		struct open_writer *o = &w->writers[i];

		if (o->inner == NULL)
			continue;
		if (rng_one_in(&w->rng, 2))
			blob_abandon(o->inner);
		else if (blob_commit(o->inner, &e) != 0)
			TRACE("%s is lost", o->name);
		o->inner = NULL;
	}
}

struct str disk_read(struct world *w, struct str name)
{
	static char bytes[2 * LARGEST_FILE];
	CLEANUP(fd_close) int fd = -1;
	struct err e = ERR_INIT;
	uint64_t size;

	coop_quiet_begin();
	int rc = blob_open(w->blobs, name, &fd, &size, &e);
	coop_quiet_end();
	if (rc != 0)
		return (struct str){};
	if (size > sizeof(bytes) || fd_pread_full(fd, bytes, size, 0) != (ssize_t)size)
		coop_fail("the simulation cannot read %.*s", STR_FMT(name));
	return (struct str){bytes, size};
}

void disk_each(struct world *w, void (*visit)(struct world *w, struct str name))
{
	static struct listed l;

	list(w, &l);
	for (size_t i = 0; i < l.n; i++)
		visit(w, str_of(l.names[i]));
}
