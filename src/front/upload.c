/* The normal course: start() opens the intake, body() feeds it, end() finishes it, `stored` answers from the committer's thread.
 *
 * What can go wrong, and what then holds: anything found while the body arrives sets `code`; it is answered by the callback that finds it, or, while an on_room is promised,
 * by the next callback. An upload whose client goes away ends in release() with the intake still ours: it is cancelled and nothing of it remains.
 * After intake_finish() the file may be stored although the client is gone; that is what an Idempotency-Key is for. */
#include "front/caller.h"
#include "front/hop.h"
#include "front/limits.h"
#include "front/upload_impl.h"
#include "front/wait.h"

#include <string.h>

static void upload_over(struct upload *u)
{
	limits_upload_ends(u->r);
	front_upload_ended(front_of(u->r));
}

static void close_intake(struct upload *u)
{
	if (u->in == NULL && u->group == NULL)
		return;
	intake_cancel(u->in);
	intake_group_cancel(u->group);
	u->in = NULL;
	u->group = NULL;
	upload_over(u);
}

static void fail(struct upload *u)
{
	if (u->err.code == 0)
		err_set(&u->err, u->code, "%s", "");
	close_intake(u);
	u->answered = true;
	u->rules->failed(u->r, &u->err);
}

/* Another thread may run this before body() has returned HTTP_WAIT; http_continue() allows for that. */
static void on_room(void *arg);

static void finish(struct upload *u);

/* Whom the quota leaves no room is told before he sends the body; the transaction decides. A repeat that is answered from the first time needs none. */
static int check_quota(struct upload *u, const struct intake_spec *spec, struct err *e)
{
	uint64_t least = spec->length > 0 ? (uint64_t)spec->length : 0;

	if (spec->idempotency_key.p != NULL || !engine_reads_are_local(front_engine(u->r)))
		return 0;
	return catalog_quota_room(front_catalog(u->r), spec->owner, least, e);
}

void upload_start(struct http_request *r, const struct upload_rules *rules)
{
	struct intake_spec spec = {};
	struct err e = ERR_INIT;
	struct upload *u = arena_alloc(http_arena(r), sizeof(*u));

	if (u == NULL) {
		err_set(&e, ERR_NO_MEMORY, "no memory for an upload");
		rules->failed(r, &e);
		return;
	}
	*u = (struct upload){.r = r, .rules = rules, .err = ERR_INIT, .bad_name = ERR_INIT, .part = PART_SKIPPED};
	http_set_data(r, u);
	spec.on_room = on_room;
	spec.arg = u;
	/* counted before asking whether the server stops: who waits for uploads to end must not miss this one */
	front_upload_begins(front_of(r));
	u->code = front_takes_work(r, &u->err);
	if (u->code == 0)
		u->code = limits_upload_begins(r, &u->err);
	if (u->code != 0) {
		front_upload_ended(front_of(r));
		fail(u);
		return;
	}
	u->code = upload_read_head(u, &spec, &u->err);
	if (u->code == 0)
		u->code = check_quota(u, &spec, &u->err);
	u->spec = spec;
	if (u->code == 0)
		u->code = rules->many ? intake_group_new(&u->group, front_engine(r), &u->err)
				      : intake_open(front_engine(r), &spec, &u->in, &u->err);
	if (u->code != 0) {
		upload_over(u);
		fail(u);
	}
}

int upload_feed_file(struct upload *u, const void *data, size_t n, struct err *e)
{
	u->file_bytes += n;
	if (u->bad_name.code != 0) {
		*e = u->bad_name;
		return e->code;
	}
	if (u->waiting) { /* the intake must not be given more now; at most what one body() brings */
		buf_add(&u->held, data, n);
		return buf_ok(&u->held) ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for an upload");
	}
	/* counted before the call: on_room may come before it returns */
	atomic_fetch_add(&u->pending, 1);
	enum intake_step step = intake_feed(u->in, data, n, e);
	if (step == INTAKE_WAIT) {
		u->waiting = true;
		return 0;
	}
	atomic_fetch_sub(&u->pending, 1);
	if (step == INTAKE_MORE)
		return 0;
	return e->code != 0 ? e->code : err_set(e, ERR_INTERNAL, "the upload could not go on");
}

int upload_end_file(struct upload *u, struct err *e)
{
	struct buf held = u->held;
	int rc = 0;

	if (u->unnamed && u->file_bytes == 0) { /* what a browser sends when nothing was chosen */
		intake_cancel(u->in);
		u->in = NULL;
		return 0;
	}
	u->held = BUF_INIT;
	if (u->waiting && held.len > 0)
		rc = intake_feed_rest(u->in, held.p, held.len, e);
	u->waiting = false; /* the promised on_room is counted in `pending` and comes all the same */
	buf_release(&held);
	if (rc != 0)
		return rc;
	u->have_file = true;
	intake_group_add(u->group, u->in);
	u->in = NULL;
	return 0;
}

/* What was held back during the body() before. */
static void feed_held(struct upload *u)
{
	struct buf held = u->held;

	u->waiting = false;
	if (held.len == 0)
		return;
	u->held = BUF_INIT;
	u->file_bytes -= held.len;
	u->code = upload_feed_file(u, held.p, held.len, &u->err);
	buf_release(&held);
}

/* Ends a body() or end(): true when nothing is promised any more, so that this thread goes on. */
static bool settled(struct upload *u)
{
	return atomic_fetch_sub(&u->pending, 1) == 1;
}

static void on_room(void *arg)
{
	struct upload *u = arg;

	if (!settled(u))
		return;
	if (u->ended)
		finish(u);
	else
		http_continue(u->r);
}

enum http_flow upload_body(struct http_request *r, const void *data, size_t n)
{
	struct upload *u = http_data(r);

	if (u == NULL || u->answered)
		return HTTP_MORE;
	atomic_store(&u->pending, 1);
	if (u->code == 0)
		feed_held(u);
	if (u->code == 0 && u->digests != NULL)
		digest_set_update(u->digests, data, n);
	if (u->code == 0)
		u->code = u->form != NULL ? multipart_feed(u->form, data, n, &u->err) : upload_feed_file(u, data, n, &u->err);
	if (!settled(u))
		return HTTP_WAIT;
	if (u->code != 0)
		fail(u);
	return HTTP_MORE;
}

static bool differs(const struct digest_set *d, enum digest_algo algo, const uint8_t *want)
{
	size_t n;
	const uint8_t *is = digest_set_get(d, algo, &n);

	return is == NULL || memcmp(is, want, n) != 0;
}

static int check_digests(struct upload *u, struct err *e)
{
	const struct digest_want *w = &u->want;

	if (u->digests == NULL)
		return 0;
	int rc = digest_set_finish(u->digests, e);
	if (rc != 0)
		return rc;
	if ((w->md5 && differs(u->digests, DIGEST_MD5, w->md5_value)) ||
	    (w->sha256 && differs(u->digests, DIGEST_SHA256, w->sha256_value)) ||
	    (w->sha512 && differs(u->digests, DIGEST_SHA512, w->sha512_value)))
		return err_set(e, ERR_DIGEST_MISMATCH, "the body does not have the digest that its header names");
	return 0;
}

/* The form is whole and has its file. */
static int check_form(struct upload *u, struct err *e)
{
	int rc = u->form == NULL ? 0 : multipart_finish(u->form, e);

	if (rc != 0)
		return rc;
	if (!u->have_file || (u->rules->chosen && u->unnamed && u->file_bytes == 0)) {
		if (u->rules->many)
			return err_set(e, ERR_FILE_MISSING, "the form has no part with a file name");
		err_set(e, ERR_FILE_MISSING, "the form has no part named file");
		return err_field(e, "file");
	}
	if (u->rules->not_empty && u->file_bytes == 0) {
		err_set(e, ERR_MISSING_VALUE, "the file has no bytes");
		return err_field(e, "file");
	}
	if (u->bad_name.code != 0) {
		*e = u->bad_name;
		return e->code;
	}
	return check_digests(u, e);
}

void upload_end(struct http_request *r)
{
	struct upload *u = http_data(r);

	if (u == NULL || u->answered)
		return;
	atomic_store(&u->pending, 1);
	u->ended = true;
	if (u->code == 0)
		feed_held(u);
	if (settled(u))
		finish(u);
}

/* ---- after the body ---- */

static void answer_after_wait(struct http_request *r)
{
	struct upload *u = http_data(r);
	struct err e = ERR_INIT;
	struct file f;
	int rc = catalog_file(front_catalog(r), (struct file_key){.id = u->file}, front_owner(r), http_arena(r), &f, &e);

	if (rc != 0) { /* deleted by somebody meanwhile */
		u->rules->failed(r, &e);
		return;
	}
	engine_progress(front_engine(r), f.jobs, f.n_jobs);
	u->rules->stored(r, &f, u->replayed);
}

static void done(void *arg, const struct intake_result *result)
{
	struct upload *u = arg;

	upload_over(u);
	u->answered = true;
	if (result->code != 0) {
		u->err = result->err;
		if (u->err.code == 0)
			err_set(&u->err, result->code, "%s", "");
		u->rules->failed(u->r, &u->err);
		return;
	}
	if (u->wait_ms > 0 && !front_jobs_final(result->file)) {
		u->file = result->file->id;
		u->replayed = result->replayed;
		wait_for_file(u->r, u->file, u->wait_ms, answer_after_wait);
		return;
	}
	u->rules->stored(u->r, result->file, result->replayed);
}

static void all_done(void *arg, const struct intake_group_result *result)
{
	struct upload *u = arg;

	upload_over(u);
	u->answered = true;
	if (result->code == 0) {
		u->rules->stored_all(u->r, result->files, result->n);
		return;
	}
	u->err = result->err;
	if (u->err.code == 0)
		err_set(&u->err, result->code, "%s", "");
	u->rules->failed(u->r, &u->err);
}

/* Bytes may take their time, and whoever began may not store any more. */
static void finish_still(struct http_request *r)
{
	struct upload *u = http_data(r);
	struct intake *in = u->in;
	struct intake_group *group = u->group;

	if (u->code == 0)
		u->code = front_still(r, &u->err);
	if (u->code != 0) {
		fail(u);
		return;
	}
	u->in = NULL;
	u->group = NULL;
	if (group != NULL) {
		intake_group_finish(group, all_done, u);
		return;
	}
	intake_finish(in, done, u); /* may have answered when it returns */
}

static void finish_refused(struct http_request *r, struct err *e)
{
	struct upload *u = http_data(r);

	u->code = e->code;
	u->err = *e;
	fail(u);
}

static void finish(struct upload *u)
{
	if (u->code == 0)
		u->code = check_form(u, &u->err);
	if (u->code == 0 && front_changed(u->r) && !engine_reads_are_local(front_engine(u->r)))
		front_ask(u->r, finish_still, finish_refused);
	else
		finish_still(u->r);
}

void upload_release(struct http_request *r)
{
	struct upload *u = http_data(r);

	if (u == NULL)
		return;
	close_intake(u);
	multipart_free(u->form);
	digest_set_free(u->digests);
	buf_release(&u->field);
	buf_release(&u->held);
}
