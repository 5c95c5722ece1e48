#include "world.h"

#include <string.h>

struct engine_config world_config(void)
{
	return (struct engine_config){
		.inline_max = 32 << 10,
		.file_max = 64 << 20,
		.space_fd = -1,
		.io_threads = 2,
		.job_threads = 2,
		.uploads_max = 8,
		.default_ops = "md5",
		.lease_ms = 15000,
		.beat_ms = 4000,
		.reclaim_ms = 2000,
		.idempotency_ms = 86400000,
		.tombstone_ms = 86400000,
	};
}

void world_open(struct world *w, const struct engine_config *config)
{
	struct err e = ERR_INIT;
	struct blobs_fault_plan plan = w->plan;
	int64_t results_keep_ms = w->results_keep_ms;

	*w = (struct world){.config = config != NULL ? *config : world_config(),
			    .plan = plan,
			    .env = w->env != NULL ? w->env : &env_real,
			    .prepare = w->prepare};
	struct catalog_options options = {.outbox = w->config.outbox != NULL, .queue_max = 10000, .results_keep_ms = results_keep_ms};
	struct blobs *inner;
	if (w->config.runner == NULL) {
		assert_int_equal(runner_inline_new(&w->runner, &e), 0);
		w->config.runner = w->runner;
	}
	assert_int_equal(catalog_memory_new(&w->catalog, &options, &e), 0);
	if (w->prepare != NULL)
		w->prepare(w->catalog);
	assert_int_equal(blobs_memory_new(&inner, &e), 0);
	assert_int_equal(blobs_fault_new(&w->blobs, inner, &w->plan, &e), 0);
	assert_int_equal(engine_new(&w->g, &w->config, w->env, w->catalog, w->blobs, &e), 0);
	assert_int_equal(engine_start(w->g, &e), 0);
}

void world_stop(struct world *w)
{
	engine_stop(w->g, 5000);
}

void world_free(struct world *w)
{
	engine_free(w->g);
	runner_free(w->runner);
	*w = (struct world){.prepare = w->prepare, .env = w->env};
}

void world_close(struct world *w)
{
	world_stop(w);
	world_free(w);
}

void upload_init(struct upload *u)
{
	*u = (struct upload){.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
}

static void room(void *arg)
{
	struct upload *u = arg;

	pthread_mutex_lock(&u->lock);
	u->room = true;
	pthread_cond_signal(&u->cond);
	pthread_mutex_unlock(&u->lock);
}

static void ended(void *arg, const struct intake_result *r)
{
	struct upload *u = arg;

	pthread_mutex_lock(&u->lock);
	u->code = r->code;
	u->err = r->err;
	u->replayed = r->replayed;
	if (r->code == 0) {
		u->id = r->file->id;
		u->number = r->file->number;
		u->size = r->file->size;
		u->jobs = (unsigned)r->file->n_jobs;
		memcpy(u->type, r->file->type.p, r->file->type.len);
		for (size_t i = 0; i < r->file->n_jobs; i++)
			u->queued += r->file->jobs[i].state == JOB_QUEUED;
		if (r->file->n_jobs > 0 && r->file->jobs[0].result.p != NULL)
			memcpy(u->result, r->file->jobs[0].result.p, r->file->jobs[0].result.len);
	}
	u->done = true;
	pthread_cond_signal(&u->cond);
	pthread_mutex_unlock(&u->lock);
}

int upload_feed(struct intake *in, struct upload *u, const void *data, size_t n, struct err *e)
{
	enum intake_step step = intake_feed(in, data, n, e);

	if (step == INTAKE_FAILED)
		return e->code;
	if (step == INTAKE_WAIT) {
		pthread_mutex_lock(&u->lock);
		while (!u->room)
			pthread_cond_wait(&u->cond, &u->lock);
		u->room = false;
		pthread_mutex_unlock(&u->lock);
	}
	return 0;
}

void upload_begin_end(struct intake *in, struct upload *u)
{
	intake_finish(in, ended, u);
}

bool upload_ended(struct upload *u)
{
	pthread_mutex_lock(&u->lock);
	bool done = u->done;
	pthread_mutex_unlock(&u->lock);
	return done;
}

void upload_end(struct intake *in, struct upload *u)
{
	upload_begin_end(in, u);
	upload_wait(u);
}

void upload_wait(struct upload *u)
{
	pthread_mutex_lock(&u->lock);
	while (!u->done)
		pthread_cond_wait(&u->cond, &u->lock);
	pthread_mutex_unlock(&u->lock);
}

int upload_open(struct world *w, const struct intake_spec *spec, struct upload *u, struct intake **ret)
{
	struct intake_spec s = *spec;

	upload_init(u);
	u->err = ERR_INIT;
	s.on_room = room;
	s.arg = u;
	u->code = intake_open(w->g, &s, ret, &u->err);
	return u->code;
}

void upload_bytes(struct world *w, const struct intake_spec *spec, const void *data, size_t n, size_t piece, struct upload *u)
{
	struct intake *in;

	if (upload_open(w, spec, u, &in) != 0)
		return;
	for (size_t at = 0; at < n; at += piece) {
		size_t take = n - at < piece ? n - at : piece;
		u->code = upload_feed(in, u, (const char *)data + at, take, &u->err);
		if (u->code != 0) {
			intake_cancel(in);
			return;
		}
	}
	upload_end(in, u);
}

struct sync {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
};

static void sync_set(struct sync *s)
{
	pthread_mutex_lock(&s->lock);
	s->done = true;
	pthread_cond_signal(&s->cond);
	pthread_mutex_unlock(&s->lock);
}

static void sync_wait(struct sync *s)
{
	pthread_mutex_lock(&s->lock);
	while (!s->done)
		pthread_cond_wait(&s->cond, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

static void applied(void *arg, struct change *c)
{
	sync_set(arg);
}

int apply(struct world *w, struct change *c)
{
	struct sync s = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};

	engine_submit(w->g, c, applied, &s);
	sync_wait(&s);
	return c->code;
}

struct waiting {
	struct engine_waiter w;
	struct sync s;
};

static void woken(struct engine_waiter *x)
{
	sync_set(&CONTAINER_OF(x, struct waiting, w)->s);
}

bool wait_final(struct world *w, struct uuid file, int64_t ms)
{
	struct waiting x = {.w = {.file = file, .owner = STR(OWNER_PUBLIC), .wake = woken},
			    .s = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER}};
	struct arena a = ARENA_INIT;
	bool final = true;

	x.w.deadline_ms = w->env->mono_ms(w->env) + ms;
	engine_wait(w->g, &x.w);
	sync_wait(&x.s);
	struct file f = read_file(w, file, &a);
	for (size_t i = 0; i < f.n_jobs; i++)
		final &= job_state_final(f.jobs[i].state);
	arena_release(&a);
	return final;
}

static int count_one(void *arg, struct str name, uint64_t size)
{
	++*(size_t *)arg;
	return 0;
}

size_t count_blobs(struct world *w)
{
	size_t n = 0;
	struct err e = ERR_INIT;
	unsigned fail_at = w->plan.fail_at;

	w->plan.fail_at = 0;
	assert_int_equal(blobs_visit(w->blobs, count_one, &n, &e), 0);
	w->plan.fail_at = fail_at;
	return n;
}

struct file read_file(struct world *w, struct uuid id, struct arena *a)
{
	struct file f;
	struct err e = ERR_INIT;

	assert_int_equal(catalog_file(w->catalog, (struct file_key){.id = id}, STR(OWNER_PUBLIC), a, &f, &e), 0);
	return f;
}

void fill_random(void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((uint8_t *)p)[i] = (uint8_t)(i % 251 == 0 ? env_real.random(&env_real) : i * 131);
}

void hex_of(char *dst, unsigned algo, const void *p, size_t n)
{
	struct digest_set *d;
	size_t len;

	assert_int_equal(digest_set_new(&d, 1u << algo, NULL), 0);
	digest_set_update(d, p, n);
	assert_int_equal(digest_set_finish(d, NULL), 0);
	const uint8_t *is = digest_set_get(d, (enum digest_algo)algo, &len);
	hex_encode(dst, is, len);
	digest_set_free(d);
}

int open_content(struct world *w, const struct file *f, int *ret_fd, struct buf *ret_inlined, struct err *e)
{
	struct engine_bytes b;
	int rc = engine_open_content(w->g, f, (struct engine_part){0, f->size}, &b, e);

	if (rc == 0) {
		*ret_fd = b.fd;
		buf_release(ret_inlined);
		*ret_inlined = b.inlined;
	}
	return rc;
}

int open_output(struct world *w, const struct output *o, int *ret_fd, struct err *e)
{
	struct engine_bytes b;
	int rc = engine_open_output(w->g, o, (struct engine_part){0, o->size}, &b, e);

	if (rc == 0)
		*ret_fd = b.fd;
	return rc;
}
