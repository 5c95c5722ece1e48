/* Uploads too large for a row: two buffers, one filled by the HTTP thread while a pool thread digests and writes the other. */
#include "engine/intake.h"
#include "rt/log.h"
#include "rt/metrics.h"

#include <stdlib.h>

static void work(struct pool_task *t);

int intake_go_big(struct intake *in, struct err *e)
{
	struct uploads *u = &in->g->uploads;
	char text[UUID_TEXT_LEN + 1];
	bool full;

	int rc = engine_admits(in->g, e);
	if (rc == 0)
		rc = nodes_worker(in->g, &in->node, e);
	if (rc != 0)
		return rc;
	if (!uuid_is_zero(in->node) && uuid_is_zero(in->spec.id))
		in->id = engine_new_id(in->g); /* what this node told the others of its uploads may be later than the request */
	uuid_format(text, in->id);
	blob_name_for_file(in->blob_name, in->owner, text);
	in->task.run = work;
	in->task.slow = true;
	buf_reserve(&in->filling, INTAKE_CHUNK + (64u << 10));
	buf_reserve(&in->writing, INTAKE_CHUNK + (64u << 10));
	if (!buf_ok(&in->filling) || !buf_ok(&in->writing))
		return err_set(e, ERR_NO_MEMORY, "no memory for an upload");
	buf_add(&in->filling, in->small.p, in->small.len);
	buf_release(&in->small);
	pthread_mutex_lock(&u->lock);
	full = (in->g->config.uploads_max > 0 && u->n_big >= in->g->config.uploads_max) ||
	       (!uuid_is_zero(in->node) && uuid_ms(in->id) < u->told_since);
	if (!full) {
		in->next_big = u->big;
		in->prev_big = NULL;
		if (u->big != NULL)
			u->big->prev_big = in;
		u->big = in;
		u->n_big++;
		in->one_of_few = u->n_big <= INTAKE_FEW;
		in->counted = true;
	}
	pthread_mutex_unlock(&u->lock);
	if (full) {
		err_set(e, ERR_OVERLOADED, "as many large uploads as allowed are under way");
		if (e != NULL)
			e->retry_after_s = 1;
		return ERR_OVERLOADED;
	}
	in->big = true;
	return 0;
}

/* With the lock. */
static void uncount(struct uploads *u, struct intake *in)
{
	if (in->counted)
		u->n_big--;
	in->counted = false;
}

void intake_big_safe(struct intake *in)
{
	struct uploads *u = &in->g->uploads;

	if (!in->big)
		return;
	buf_release(&in->filling);
	buf_release(&in->writing);
	pthread_mutex_lock(&u->lock);
	uncount(u, in);
	pthread_mutex_unlock(&u->lock);
}

void intake_big_forget(struct intake *in)
{
	struct uploads *u = &in->g->uploads;

	if (!in->big)
		return;
	pthread_mutex_lock(&u->lock);
	if (in->prev_big != NULL)
		in->prev_big->next_big = in->next_big;
	else
		u->big = in->next_big;
	if (in->next_big != NULL)
		in->next_big->prev_big = in->prev_big;
	uncount(u, in);
	pthread_mutex_unlock(&u->lock);
	in->big = false;
}

static void swap_buffers(struct intake *in)
{
	struct buf b = in->writing;

	in->writing = in->filling;
	in->filling = b;
	buf_reset(&in->filling);
}

/* Each buffer that is handed over wakes a thread, and its memory goes from one core to the other and back: the more at once the better, as long as it is little beside what has come,
 * for the last one is digested when nothing comes any more. */
static size_t chunk(const struct intake *in)
{
	const uint64_t n = in->size / 16;

	if (!in->one_of_few || in->size < INTAKE_LARGER)
		return INTAKE_CHUNK;
	return n < INTAKE_CHUNK_MAX ? (size_t)n : INTAKE_CHUNK_MAX;
}

enum intake_step intake_big_feed(struct intake *in, const void *data, size_t n, struct err *e)
{
	enum intake_step step = INTAKE_MORE;
	bool submit = false;

	/* nobody else touches `filling` now: the caller is neither waiting nor finished */
	buf_add(&in->filling, data, n);
	if (!buf_ok(&in->filling)) {
		err_set(e, ERR_NO_MEMORY, "no memory for an upload");
		return INTAKE_FAILED;
	}
	if (in->filling.len < chunk(in))
		return INTAKE_MORE;
	pthread_mutex_lock(&in->lock);
	if (in->code != 0) {
		if (e != NULL)
			*e = in->err;
		step = INTAKE_FAILED;
	} else if (in->busy) {
		in->waiting = true;
		step = INTAKE_WAIT;
	} else {
		swap_buffers(in);
		in->busy = submit = true;
	}
	pthread_mutex_unlock(&in->lock);
	if (submit)
		pool_submit(in->g->io, &in->task);
	return step;
}

int intake_big_rest(struct intake *in, const void *data, size_t n, struct err *e)
{
	/* the pool thread may take `filling`, since the caller waits */
	pthread_mutex_lock(&in->lock);
	buf_add(&in->filling, data, n);
	bool good = buf_ok(&in->filling);
	pthread_mutex_unlock(&in->lock);
	return good ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for an upload");
}

/* One buffer's worth on the pool thread. */
static int write_out(struct intake *in, struct err *e)
{
	int rc = 0;

	if (in->writer == NULL && in->spec.origin != NULL)
		rc = blob_create_copy(in->g->blobs, str_of(in->blob_name), in->spec.origin, &in->writer, e);
	else if (in->writer == NULL)
		rc = blob_create(in->g->blobs, str_of(in->blob_name), in->spec.length > 0 ? (uint64_t)in->spec.length : 0, &in->writer, e);
	if (rc == 0)
		rc = blob_append_digesting(in->writer, in->writing.p, in->writing.len, in->digests, e);
	return rc;
}

/* After the last byte: flush, then commit. */
static void complete(struct intake *in)
{
	struct err e = ERR_INIT;
	int rc = in->code;

	if (rc != 0)
		e = in->err;
	else
		rc = digest_set_finish(in->digests, &e);
	if (rc == 0) {
		struct blob_writer *w = in->writer;
		int64_t since = engine_us();
		in->writer = NULL;
		rc = blob_commit(w, &e);
		gauges_upload(UPLOAD_STORE, since);
		in->stored = rc == 0;
	}
	if (rc == 0)
		rc = intake_commit(in, &e);
	if (rc != 0) {
		blob_abandon(in->writer);
		in->writer = NULL;
		if (!in->stored)
			intake_big_forget(in);
		intake_fail(in, rc, &e);
	}
}

static void end_cancelled(struct intake *in)
{
	blob_abandon(in->writer);
	in->writer = NULL;
	intake_big_forget(in);
	intake_free(in);
}

static void work(struct pool_task *t)
{
	struct intake *in = CONTAINER_OF(t, struct intake, task);

	for (;;) {
		struct err e = ERR_INIT;
		int rc = in->code; /* written by this side only */

		if (rc == 0 && !in->cancelled && in->writing.len > 0)
			rc = write_out(in, &e);
		buf_reset(&in->writing);

		pthread_mutex_lock(&in->lock);
		bool cancelled = in->cancelled, tell = in->waiting, done = false, again = false;
		if (rc != 0 && in->code == 0) {
			in->code = rc;
			in->err = e;
		}
		if (!cancelled && (in->waiting || (in->finishing && in->filling.len > 0))) {
			swap_buffers(in);
			again = true;
		} else if (in->finishing) {
			done = true;
		}
		in->waiting = false;
		if (!again)
			in->busy = false;
		pthread_mutex_unlock(&in->lock);

		if (cancelled) {
			end_cancelled(in);
			return;
		}
		if (tell && in->spec.on_room != NULL)
			in->spec.on_room(in->spec.arg);
		if (done) {
			complete(in);
			return;
		}
		if (!again)
			return; /* the caller may already have handed in the next buffer: the intake is not ours any more */
	}
}

void intake_big_finish(struct intake *in)
{
	bool submit = false;

	pthread_mutex_lock(&in->lock);
	in->finishing = true;
	if (!in->busy) {
		swap_buffers(in);
		in->busy = submit = true;
	}
	pthread_mutex_unlock(&in->lock);
	if (submit)
		pool_submit(in->g->io, &in->task);
}

void intake_big_cancel(struct intake *in)
{
	bool submit = false;

	pthread_mutex_lock(&in->lock);
	in->cancelled = true;
	in->waiting = false;
	if (!in->busy)
		in->busy = submit = true;
	pthread_mutex_unlock(&in->lock);
	if (submit) /* removing the name may block: a pool thread does it */
		pool_submit(in->g->io, &in->task);
}

/* ---- a durable blob that no row refers to ---- */

static void drop_run(struct pool_task *t)
{
	struct intake *in = CONTAINER_OF(t, struct intake, task);
	struct err e = ERR_INIT;

	if (blob_remove(in->g->blobs, str_of(in->blob_name), &e) != 0)
		log_err(LOG_WARN, "blob_left_for_sweep", &e);
	intake_big_forget(in);
	intake_free(in);
}

void intake_drop_blob(struct intake *in)
{
	in->task.run = drop_run;
	pool_submit(in->g->io, &in->task);
}
