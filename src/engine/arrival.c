#include "engine/arrival.h"
#include "blobs/s3/s3.h"
#include "engine/engine_impl.h"
#include "net/sigv4.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 4
#define WAITING_MAX 256
#define PIECE_BYTES (64u << 10)

static_assert(sizeof(ENGINE_ADDRESS_NAME) == sizeof(S3_META_NAME));
static_assert(sizeof(ENGINE_ADDRESS_GUARD_VALUE) == sizeof(S3_GUARD_VALUE));

/* ---- addresses ---- */

bool engine_gives_addresses(const struct engine *g, uint64_t size)
{
	return g->arrivals != NULL && size <= S3_PUT_MAX;
}

static void name_of(char dst[BLOB_NAME_MAX + 1], struct str owner, struct uuid address)
{
	char id[UUID_TEXT_LEN + 1];

	uuid_format(id, address);
	blob_name_for_arrival(dst, owner, id);
}

int engine_address(struct engine *g, struct engine_address *a, struct err *e)
{
	char name[BLOB_NAME_MAX + 1];
	struct s3_put_terms terms;
	int rc = engine_takes_writes(g, e);

	if (rc != 0)
		return rc;
	name_of(name, a->owner, a->id);
	sigv4_encode(&a->meta_name, a->name, false);
	if (!buf_ok(&a->meta_name))
		return err_set(e, ERR_NO_MEMORY, "no memory for an address");
	rc = s3_presign_put(&a->url, &terms, g->blobs, str_of(name), a->size, a->type, buf_str(&a->meta_name),
			    (unsigned)(a->expires_ms / 1000), e);
	a->if_none_match = rc == 0 && terms.if_none_match;
	a->guard = rc == 0 ? terms.guard : NULL;
	return rc;
}

/* ---- what came ---- */

static int copy_texts(struct engine_arrived *ret, const struct s3_arrival *s, struct arena *a, struct err *e)
{
	char *name = arena_alloc(a, s->meta_name.len + 1);
	long n = name != NULL ? pct_decode(name, buf_str(&s->meta_name)) : 0;

	ret->size = s->size;
	ret->type = arena_str(a, buf_str(&s->type));
	ret->name = (struct str){name, n > 0 ? (size_t)n : 0};
	return name != NULL && ret->type.p != NULL ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for an arrival");
}

int engine_arrived(struct engine *g, struct str owner, struct uuid address, struct arena *a, struct engine_arrived *ret, struct err *e)
{
	char name[BLOB_NAME_MAX + 1];
	struct s3_arrival s;

	name_of(name, owner, address);
	int rc = s3_arrival_look(&s, g->blobs, str_of(name), e);
	if (rc == 0)
		rc = copy_texts(ret, &s, a, e);
	buf_release(&s.type);
	buf_release(&s.meta_name);
	return rc;
}

/* ---- taking ---- */

/* One arrival being taken; its thread's, but for what the lock guards. */
struct taking {
	struct pool_task task;
	struct engine *g;
	struct engine_arrival *a; /* gone when it was told */
	char name[BLOB_NAME_MAX + 1];
	struct blob_origin origin;
	struct blob_reader *reader;
	struct intake *in; /* ours while not NULL */

	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool full; /* the intake is to be given no more now */
	bool told, stored;
};

static void have_room(void *arg)
{
	struct taking *t = arg;

	pthread_mutex_lock(&t->lock);
	t->full = false;
	pthread_cond_signal(&t->cond);
	pthread_mutex_unlock(&t->lock);
}

/* Told before the call, because the room may be there before it returns. */
static int feed(struct taking *t, const char *bytes, size_t n, struct err *e)
{
	pthread_mutex_lock(&t->lock);
	t->full = true;
	pthread_mutex_unlock(&t->lock);
	switch (intake_feed(t->in, bytes, n, e)) {
	case INTAKE_FAILED:
		return e->code != 0 ? e->code : err_set(e, ERR_INTERNAL, "the file could not be taken");
	case INTAKE_MORE:
		return 0;
	case INTAKE_WAIT:
		break;
	}
	pthread_mutex_lock(&t->lock);
	while (t->full)
		pthread_cond_wait(&t->cond, &t->lock);
	pthread_mutex_unlock(&t->lock);
	return 0;
}

/* A stop waits for none of this: whoever asked will ask again. */
static int feed_all(struct taking *t, struct err *e)
{
	char *bytes = malloc(PIECE_BYTES);
	size_t n = 1;
	int rc = bytes != NULL ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for a file");

	while (rc == 0 && n > 0) {
		if (engine_stopping(t->g))
			rc = err_set(e, ERR_SHUTTING_DOWN, "the server is stopping");
		else
			rc = blob_read(t->reader, bytes, PIECE_BYTES, &n, e);
		if (rc == 0 && n > 0)
			rc = feed(t, bytes, n, e);
	}
	free(bytes);
	return rc;
}

static int open_both(struct taking *t, struct err *e)
{
	struct intake_spec *spec = &t->a->spec;
	uint64_t size;
	int rc = blob_read_open(t->g->blobs, str_of(t->name), 0, UINT64_MAX, &t->reader, &size, e);

	if (rc != 0)
		return rc;
	if (spec->length >= 0 && size != (uint64_t)spec->length)
		return err_set(e, ERR_CONFLICT, "what came was changed meanwhile");
	if (blob_read_origin(t->reader, &t->origin))
		spec->origin = &t->origin;
	spec->on_room = have_room;
	spec->arg = t;
	return intake_open(t->g, spec, &t->in, e);
}

static int take(struct taking *t, struct err *e)
{
	int rc = open_both(t, e);

	if (rc == 0)
		rc = feed_all(t, e);
	if (rc == 0 && t->a->still != NULL)
		rc = t->a->still(t->a, e);
	return rc;
}

static void tell(void *arg, const struct intake_result *result)
{
	struct taking *t = arg;

	t->a->done(t->a, result);
	pthread_mutex_lock(&t->lock);
	t->told = true;
	t->stored = result->code == 0;
	pthread_cond_signal(&t->cond);
	pthread_mutex_unlock(&t->lock);
}

static void free_taking(struct taking *t)
{
	blob_read_close(t->reader);
	pthread_cond_destroy(&t->cond);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static void run(struct pool_task *task)
{
	struct taking *t = CONTAINER_OF(task, struct taking, task);
	struct err e = ERR_INIT;
	int rc = take(t, &e);

	if (rc == 0) {
		intake_finish(t->in, tell, t);
	} else {
		intake_cancel(t->in);
		tell(t, &(struct intake_result){.code = rc, .err = e});
	}
	pthread_mutex_lock(&t->lock);
	while (!t->told)
		pthread_cond_wait(&t->cond, &t->lock);
	pthread_mutex_unlock(&t->lock);
	if (t->stored)
		s3_arrival_remove(t->g->blobs, str_of(t->name));
	free_taking(t);
}

void engine_take_arrival(struct engine *g, struct engine_arrival *a)
{
	struct intake_result refused = {.err = ERR_INIT};
	struct taking *t = NULL;

	if (pool_waiting(g->arrivals) >= WAITING_MAX) {
		refused.code = err_set(&refused.err, ERR_OVERLOADED, "too many files are being taken from the object storage now");
		refused.err.retry_after_s = 1;
	} else if ((t = calloc(1, sizeof(*t))) == NULL) {
		refused.code = err_set(&refused.err, ERR_NO_MEMORY, "no memory for a file");
	}
	if (t == NULL) {
		a->done(a, &refused);
		return;
	}
	t->g = g;
	t->a = a;
	t->task.run = run;
	name_of(t->name, a->spec.owner, a->address);
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->cond, NULL);
	pool_submit(g->arrivals, &t->task);
}

/* ---- life ---- */

int arrivals_start(struct engine *g, struct err *e)
{
	return s3_gives_addresses(g->blobs) ? pool_new(&g->arrivals, "arrival", THREADS, e) : 0;
}
