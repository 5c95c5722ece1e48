/* The course of an import. One attempt is one or several requests: when a connection is lost and the source said by a strong ETag what it was sending, the next request asks for the rest
 * (RFC 9110 §13.1.5), and only for the rest of just that. Otherwise, and when the source has something else by then, the attempt begins anew, a few times; after that it has failed, and the
 * queue tries again later where that may help.
 *
 * What came is judged before it is stored for good: its length against what was announced, its digests against what the caller or the source said. */
#include "engine/import.h"
#include "base/fd.h"
#include "base/json_out.h"
#include "rt/log.h"
#include "rt/metrics.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LOOK_MS 50 /* whether it may go on */
#define LOST_IN_A_ROW 5 /* requests that brought nothing */
#define REQUESTS_MAX 1000 /* of one attempt */
#define BEGINNINGS_MAX 3
#define LOST_PAUSE_MS 250 /* doubled each time in a row */
#define RETRY_AFTER_MAX_S 3600

/* One attempt. The import's thread's. */
struct import {
	struct engine *g;
	struct work *w;
	struct work_job *j;
	struct import_source source;
	struct arena arena;
	struct fetch f;
	struct buf out; /* taken from f.in, being stored */
	uint64_t id; /* of the request under way */
	struct fetch_head first; /* of the answer whose bytes the output began with */
	bool begun; /* first is set */
	unsigned requests, lost, beginnings;
	int64_t retry_after_s;
	int64_t began_ms; /* mono */
};

/* ---- on the client's thread ---- */

static bool take_head(void *arg, const struct net_head *h)
{
	struct import *im = arg;
	struct fetch *f = &im->f;

	pthread_mutex_lock(&f->lock);
	import_read_head(&f->head, h, im->source.s3 != NULL);
	f->told = true;
	pthread_cond_signal(&f->cond);
	pthread_mutex_unlock(&f->lock);
	return h->status == 200 || h->status == 206;
}

static enum net_take take_bytes(void *arg, const char *data, size_t n)
{
	struct import *im = arg;
	struct fetch *f = &im->f;
	enum net_take t = NET_TAKEN;

	pthread_mutex_lock(&f->lock);
	if (f->in.len > 0 && f->in.len + n > FETCH_ROOM) {
		f->full = true;
		t = NET_FULL;
	} else {
		buf_add(&f->in, data, n);
		if (!buf_ok(&f->in))
			t = NET_ENOUGH;
	}
	pthread_cond_signal(&f->cond);
	pthread_mutex_unlock(&f->lock);
	return t;
}

static void take_end(void *arg, const struct net_result *r)
{
	struct import *im = arg;
	struct fetch *f = &im->f;

	pthread_mutex_lock(&f->lock);
	f->done = true;
	f->code = r->code;
	f->status = r->status;
	f->cut = r->cut;
	f->retry_after_s = r->retry_after_s;
	snprintf(f->detail, sizeof(f->detail), "%s", r->detail);
	pthread_cond_signal(&f->cond);
	pthread_mutex_unlock(&f->lock); /* the import's thread may free it from here on */
}

/* ---- waiting ---- */

static void deadline_in(struct timespec *ret, int64_t ms)
{
	clock_gettime(CLOCK_MONOTONIC, ret);
	ret->tv_sec += ms / 1000;
	ret->tv_nsec += ms % 1000 * 1000000;
	if (ret->tv_nsec >= 1000000000) {
		ret->tv_sec++;
		ret->tv_nsec -= 1000000000;
	}
}

/* Until there is something to do, or it is time to look whether to go on. True: the answer has ended, and nothing of it is left. */
static bool wait_for_more(struct import *im)
{
	struct fetch *f = &im->f;
	struct timespec until;
	struct buf b;
	bool full, over;

	deadline_in(&until, LOOK_MS);
	pthread_mutex_lock(&f->lock);
	while (f->in.len == 0 && !f->done && pthread_cond_timedwait(&f->cond, &f->lock, &until) != ETIMEDOUT)
		;
	b = f->in;
	f->in = im->out;
	im->out = b;
	full = f->full;
	f->full = false;
	over = f->done && im->out.len == 0;
	pthread_mutex_unlock(&f->lock);
	if (full)
		net_resume(im->g->config.imports.client, im->id);
	return over;
}

/* The request is over before anything of this attempt goes. */
static void end_request(struct import *im)
{
	struct fetch *f = &im->f;

	net_cancel(im->g->config.imports.client, im->id);
	pthread_mutex_lock(&f->lock);
	while (!f->done)
		pthread_cond_wait(&f->cond, &f->lock);
	buf_reset(&f->in);
	pthread_mutex_unlock(&f->lock);
	buf_reset(&im->out);
}

static int pause_for(struct import *im, int64_t ms, struct err *e)
{
	int64_t until = engine_mono(im->g) + ms;
	int rc;

	while ((rc = work_may_go_on(im->w, e)) == 0 && engine_mono(im->g) < until) {
		struct timespec t;
		deadline_in(&t, LOOK_MS);
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
	}
	return rc;
}

/* ---- what an answer is ---- */

static uint64_t stored(const struct import *im)
{
	return im->w->output != NULL ? im->w->output->size : 0;
}

static int too_large(const struct import *im, struct err *e)
{
	err_set(e, ERR_TOO_LARGE, "the source has more bytes than a file may have");
	err_limit(e, im->g->config.file_max);
	return ERR_TOO_LARGE;
}

/* Its bytes count when they are the file's; of imports that end at the same moment more than one may find the same room. */
static int check_quota(const struct import *im, uint64_t size, struct err *e)
{
	return catalog_quota_bytes(im->g->catalog, im->j->claimed->owner, size, e);
}

/* A status that is neither 200 nor 206. */
static int refused(struct import *im, int status, struct err *e)
{
	if (status >= 500 || status == 408 || status == 425 || status == 429) {
		im->retry_after_s = im->f.retry_after_s;
		return err_set(e, ERR_SOURCE_BUSY, "the source answered with status %d", status);
	}
	return err_set(e, ERR_SOURCE_FAILED, "the source answered with status %d", status);
}

static int begin_anew(struct import *im, struct err *e)
{
	mill_output_free(im->w->output);
	im->w->output = NULL;
	im->begun = false;
	if (++im->beginnings > BEGINNINGS_MAX)
		return err_set(e, ERR_CONNECTION_LOST, "the source began anew more often than %d times", BEGINNINGS_MAX);
	return mill_output_new(&im->w->output, im->g, im->j->claimed, 1u << DIGEST_SHA256 | 1u << DIGEST_MD5, e);
}

/* The head of an answer, before its first byte is stored. */
static int judge_head(struct import *im, struct err *e)
{
	const struct fetch_head *h = &im->f.head;
	uint64_t at = stored(im);
	int rc = 0;

	if (h->status != 200 && h->status != 206)
		return refused(im, h->status, e);
	if (h->status == 206 && (at == 0 || h->from != (int64_t)at || strcmp(h->etag, im->first.etag) != 0 ||
				 (im->first.length >= 0 && h->whole >= 0 && h->whole != im->first.length)))
		return err_set(e, ERR_SOURCE_MISMATCH, "the source answered with another part than was asked for");
	if (h->status == 206) {
		/* The first answer may not have said how much there is; this one may end before it. */
		if (im->first.length < 0)
			im->first.length = h->whole;
		return 0;
	}
	if (h->length > 0 && (uint64_t)h->length > im->g->config.file_max)
		return too_large(im, e);
	if (h->length > 0)
		rc = check_quota(im, (uint64_t)h->length, e);
	if (rc == 0 && (at > 0 || !im->begun))
		rc = begin_anew(im, e);
	im->first = *h;
	im->begun = true;
	return rc;
}

static void tell_progress(struct import *im)
{
	int64_t whole = im->first.length;

	if (whole > 0)
		atomic_store(&im->j->progress,
			     (unsigned)(stored(im) >= (uint64_t)whole ? PROGRESS_WHOLE : stored(im) * PROGRESS_WHOLE / (uint64_t)whole));
	events_tell_progress(im->w);
}

static int store_bytes(struct import *im, struct err *e)
{
	int rc;

	if (im->out.len == 0)
		return 0;
	if (!buf_ok(&im->out))
		return err_set(e, ERR_NO_MEMORY, "no memory for an import");
	if (stored(im) + im->out.len > im->g->config.file_max)
		return too_large(im, e);
	rc = mill_output_write(im->w->output, im->out.p, im->out.len, e);
	im->lost = 0;
	buf_reset(&im->out);
	if (rc == 0)
		tell_progress(im);
	return rc;
}

/* One request to its end: 0, its answer is stored; ERR_AGAIN, the connection was lost and it makes sense to ask for the rest. */
static int receive(struct import *im, struct err *e)
{
	bool judged = false, over = false;
	int rc = 0;

	while (rc == 0 && !over) {
		over = wait_for_more(im);
		rc = work_may_go_on(im->w, e);
		pthread_mutex_lock(&im->f.lock);
		bool told = im->f.told;
		pthread_mutex_unlock(&im->f.lock);
		if (rc == 0 && told && !judged) {
			judged = true;
			rc = judge_head(im, e);
		}
		if (rc == 0)
			rc = store_bytes(im, e);
	}
	if (rc != 0) {
		end_request(im);
		return rc;
	}
	if (im->f.cut)
		return too_large(im, e);
	if (im->f.code == 0)
		return judged ? 0 : err_set(e, ERR_BAD_ANSWER, "the source's answer has no head");
	return err_set(e, im->f.code, "%s", im->f.detail);
}

static int ask(struct import *im, struct err *e)
{
	struct net_request r;
	int rc = import_request(&r, im->g, &im->source, stored(im), im->first.etag, &im->arena, e);

	if (rc != 0)
		return rc;
	r.head = take_head;
	r.take = take_bytes;
	r.done = take_end;
	r.arg = im;
	im->f.told = im->f.done = im->f.full = im->f.cut = false;
	im->f.code = 0;
	im->requests++;
	metric_add(METRIC_IMPORT_REQUESTS, 1);
	rc = net_send(im->g->config.imports.client, &r, &im->id, e);
	return rc == 0 ? receive(im, e) : rc;
}

/* ---- one attempt ---- */

static bool was_lost(int code)
{
	return code == ERR_CONNECTION_LOST || code == ERR_PEER_TIMEOUT || code == ERR_CONNECT_FAILED || code == ERR_UNRESOLVED;
}

static bool can_go_on(const struct import *im)
{
	return im->begun && stored(im) > 0 && im->first.etag[0] != '\0' && !im->first.no_ranges && im->lost < LOST_IN_A_ROW &&
	       im->requests < REQUESTS_MAX && engine_mono(im->g) - im->began_ms < im->g->config.imports.timeout_ms;
}

static int fetch_all(struct import *im, struct err *e)
{
	int rc;

	im->began_ms = engine_mono(im->g);
	while ((rc = ask(im, e)) != 0) {
		if (rc == ERR_SOURCE_FAILED && im->f.head.status == 416 && stored(im) > 0) {
			im->first.etag[0] = '\0'; /* the rest is not there: all of it once more */
			rc = begin_anew(im, e);
		} else if (was_lost(rc) && can_go_on(im)) {
			rc = pause_for(im, LOST_PAUSE_MS << im->lost, e);
			im->lost++;
		}
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int mismatch(struct err *e, const char *what)
{
	return err_set(e, ERR_SOURCE_MISMATCH, "the bytes do not have the %s", what);
}

/* The digests are finished. */
static int verify(const struct import *im, struct err *e)
{
	const struct mill_output *o = im->w->output;
	size_t n;
	const uint8_t *sha256 = digest_set_get(o->digest, DIGEST_SHA256, &n), *md5 = digest_set_get(o->digest, DIGEST_MD5, &n);

	if (im->first.length >= 0 && o->size != (uint64_t)im->first.length)
		return mismatch(e, "length that the source announced");
	if (im->source.want_sha256 && memcmp(sha256, im->source.sha256, 32) != 0)
		return mismatch(e, "SHA-256 that was asked for");
	if (im->first.has_sha256 && memcmp(sha256, im->first.sha256, 32) != 0)
		return mismatch(e, "SHA-256 that the source announced");
	if (im->first.has_md5 && memcmp(md5, im->first.md5, 16) != 0)
		return mismatch(e, "MD5 that the source announced");
	return 0;
}

static void write_result(struct import *im)
{
	struct json_out j = json_out(&im->j->result);
	char md5[33];
	size_t n;

	hex_encode(md5, digest_set_get(im->w->output->digest, DIGEST_MD5, &n), 16);
	json_obj_open(&j);
	json_kcstr(&j, "md5", md5);
	json_ku64(&j, "requests", im->requests);
	json_obj_close(&j);
}

static int may_go_on(void *arg, struct err *e)
{
	return work_may_go_on(arg, e);
}

/* The bytes are durable, and the job has not ended. */
static int tell_came(struct import *im, struct err *e)
{
	const struct engine_s3 *s3 = im->source.s3;
	const struct job *job = &im->j->claimed->job;
	CLEANUP(fd_close) int fd = -1;
	char id[UUID_TEXT_LEN + 1], attempt[UUID_TEXT_LEN + 24];
	uint64_t size;

	if (s3 == NULL || s3->came == NULL)
		return 0;
	int rc = blob_open(im->g->blobs, im->w->output->row.blob, &fd, &size, e);
	if (rc != 0)
		return rc;
	uuid_format(id, job->id);
	snprintf(attempt, sizeof(attempt), "%s.%lld", id, (long long)job->fence);
	const struct engine_object o = {
		.key = im->source.key, .attempt = attempt, .fd = fd, .size = size, .may_go_on = may_go_on, .arg = im->w};
	return s3->came(s3->came_arg, &o, e);
}

static int run(struct import *im, struct err *e)
{
	struct work *w = im->w;
	int rc = work_may_go_on(w, e);

	if (rc == 0 && im->g->config.imports.client == NULL)
		rc = err_set(e, ERR_NOT_IMPLEMENTED, "this server's configuration allows no imports");
	if (rc == 0)
		rc = import_source_read(&im->source, im->g, im->j->claimed->job.params, &im->arena, e);
	if (rc == 0)
		rc = fetch_all(im, e);
	if (rc == 0)
		rc = mill_output_finish(w->output, im->j->claimed, im->j->op, &w->arena, e);
	if (rc == 0)
		rc = verify(im, e);
	if (rc == 0)
		rc = check_quota(im, stored(im), e);
	if (rc == 0)
		write_result(im);
	if (rc == 0)
		rc = mill_output_commit(w->output, e);
	return rc == 0 ? tell_came(im, e) : rc;
}

static int import_init(struct import *im, struct work *w, struct err *e)
{
	pthread_condattr_t attr;

	*im = (struct import){.g = w->g, .w = w, .j = &w->jobs[0], .arena = ARENA_INIT, .retry_after_s = -1};
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&im->f.cond, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&im->f.lock, NULL);
	im->f.in.limit = im->out.limit = 2 * FETCH_ROOM;
	buf_reserve(&im->f.in, FETCH_ROOM);
	buf_reserve(&im->out, FETCH_ROOM);
	return buf_ok(&im->f.in) && buf_ok(&im->out) ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for an import");
}

static void import_release(struct import *im)
{
	buf_release(&im->f.in);
	buf_release(&im->out);
	pthread_cond_destroy(&im->f.cond);
	pthread_mutex_destroy(&im->f.lock);
	arena_release(&im->arena);
}

/* When the next attempt begins, if the source said; 0 = as for every job. */
static int64_t pause_of(const struct import *im)
{
	if (im->retry_after_s <= 0)
		return 0;
	return 1000 * (im->retry_after_s < RETRY_AFTER_MAX_S ? im->retry_after_s : RETRY_AFTER_MAX_S);
}

/* No row will refer to it. */
static void remove_output(struct import *im)
{
	struct err e = ERR_INIT;

	if (im->w->output != NULL && im->w->output->stored && blob_remove(im->g->blobs, str_of(im->w->output->name), &e) != 0)
		log_err(LOG_WARN, "blob_left_for_sweep", &e);
	mill_output_free(im->w->output);
	im->w->output = NULL;
}

static void fail(struct import *im, int code, const struct err *e)
{
	const struct engine_s3 *s3 = im->source.s3;

	if (s3 != NULL && s3->attempts > 0)
		work_fail_again(im->w, im->j, code, e, import_pause_ms(s3, im->j->claimed->job.attempt, im->g->env));
	else
		work_fail_after(im->w, im->j, code, e, pause_of(im));
}

static void conclude(struct import *im, int code, const struct err *e)
{
	struct work *w = im->w;
	struct mill_output *o = w->output;
	bool store = code != 0 && o != NULL && o->code == code;

	if (code == 0)
		metric_add(METRIC_IMPORT_BYTES, (int64_t)o->size);
	if (code != 0) {
		remove_output(im);
		buf_reset(&im->j->result);
	}
	if (store)
		mill_store_failed(w, im->j, e);
	else if (code == 0 || code == ERR_CANCELLED || code == ERR_SHUTTING_DOWN || code == ERR_STALE || code == ERR_OVERLOADED)
		mill_conclude(w, im->j, code, e);
	else
		fail(im, code, e);
}

void import_run(struct pool_task *t)
{
	struct work *w = CONTAINER_OF(t, struct work, task);
	struct err e = ERR_INIT;
	struct import im;
	int rc;

	atomic_store(&w->cancelled, atomic_load(&w->jobs[0].cancelled));
	w->jobs[0].started_at = engine_now(w->g);
	rc = import_init(&im, w, &e);
	if (rc == 0)
		rc = run(&im, &e);
	conclude(&im, rc, &e);
	import_release(&im);
	work_release(w);
}

int import_start(struct engine *g, struct err *e)
{
	return g->config.imports.client != NULL ? pool_new(&g->imports, "import", g->config.imports.at_once, e) : 0;
}
