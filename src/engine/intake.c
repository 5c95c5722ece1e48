#include "engine/intake.h"
#include "rt/log.h"
#include "rt/metrics.h"

#include <stdlib.h>
#include <string.h>

#define REFUSAL_HOLD_MS 500
#define REFUSAL_GRID_MS 50 /* many are told at once: one waking for all of them */

/* ---- idempotency keys whose first request still runs ---- */

static int claim_key(struct intake *in, struct str key, struct err *e)
{
	struct uploads *u = &in->g->uploads;

	if (key.len == 0 || key.len > KEY_MAX)
		return err_field((err_set(e, ERR_BAD_HEADER, "an Idempotency-Key has 1 to %d characters", KEY_MAX), e), "Idempotency-Key");
	for (size_t i = 0; i < key.len; i++)
		if (key.p[i] <= ' ' || key.p[i] > '~')
			return err_field((err_set(e, ERR_BAD_HEADER, "an Idempotency-Key is visible ASCII"), e), "Idempotency-Key");
	in->key.owner = in->owner;
	in->key.key = arena_str(&in->arena, key);
	if (in->key.key.p == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for a key");
	pthread_mutex_lock(&u->lock);
	for (struct running_key *k = u->keys; k != NULL; k = k->next)
		if (str_eq(k->key, key) && str_eq(k->owner, in->owner)) {
			pthread_mutex_unlock(&u->lock);
			return err_set(e, ERR_IDEMPOTENCY_RUNNING, "the first request with this key has not ended yet");
		}
	in->key.next = u->keys;
	u->keys = &in->key;
	in->has_key = true;
	pthread_mutex_unlock(&u->lock);
	return 0;
}

void intake_release_key(struct intake *in)
{
	struct uploads *u = &in->g->uploads;

	if (!in->has_key)
		return;
	pthread_mutex_lock(&u->lock);
	for (struct running_key **k = &u->keys; *k != NULL; k = &(*k)->next)
		if (*k == &in->key) {
			*k = in->key.next;
			break;
		}
	pthread_mutex_unlock(&u->lock);
	in->has_key = false;
}

/* ---- digest sets are kept: making one costs more than hashing a small file's name ---- */

static int take_digests(struct intake *in, struct err *e)
{
	struct uploads *u = &in->g->uploads;
	struct digest_set *d = NULL;

	pthread_mutex_lock(&u->lock);
	if (u->n_spare > 0)
		d = u->spare[--u->n_spare];
	pthread_mutex_unlock(&u->lock);
	if (d == NULL)
		return digest_set_new(&in->digests, in->mask, e);
	in->digests = d;
	return digest_set_reset(d, in->mask, e);
}

static void give_digests(struct intake *in)
{
	struct uploads *u = &in->g->uploads;

	if (in->digests == NULL)
		return;
	pthread_mutex_lock(&u->lock);
	if (u->n_spare < ARRAY_LEN(u->spare)) {
		u->spare[u->n_spare++] = in->digests;
		in->digests = NULL;
	}
	pthread_mutex_unlock(&u->lock);
	digest_set_free(in->digests);
	in->digests = NULL;
}

/* Starts the digests: those the ops ask for, those the body is to be checked against, and SHA-256 always. */
static int begin_digests(struct intake *in, struct err *e)
{
	in->mask = 1u << DIGEST_SHA256;
	for (size_t i = 0; i < in->n_ops; i++)
		if (in->ops[i].op->kind == OP_STREAMING && in->ops[i].after < 0)
			in->mask |= 1u << in->ops[i].op->algo;
	if (in->spec.want_md5)
		in->mask |= 1u << DIGEST_MD5;
	if (in->spec.want_sha512)
		in->mask |= 1u << DIGEST_SHA512;
	return take_digests(in, e);
}

/* ---- life ---- */

static void count_open(struct engine *g, int change)
{
	struct uploads *u = &g->uploads;

	pthread_mutex_lock(&u->lock);
	u->open = (unsigned)((int)u->open + change);
	if (u->open == 0)
		pthread_cond_broadcast(&u->none);
	pthread_mutex_unlock(&u->lock);
}

void intake_free(struct intake *in)
{
	intake_release_key(in);
	give_digests(in);
	buf_release(&in->small);
	buf_release(&in->filling);
	buf_release(&in->writing);
	buf_release(&in->results);
	pthread_mutex_destroy(&in->lock);
	arena_release(&in->arena);
	metric_add(METRIC_UPLOADS_OPEN, -1);
	metric_add(METRIC_UPLOAD_OPEN_BYTES, -(int64_t)in->size);
	count_open(in->g, -1);
	free(in);
}

static int may_take(struct engine *g, const struct intake_spec *spec, struct err *e)
{
	if (atomic_load(&g->stopping))
		return err_set(e, ERR_SHUTTING_DOWN, "the server is stopping");
	int rc = engine_takes_writes(g, e);
	if (rc != 0)
		return rc;
	if (spec->length > 0 && (uint64_t)spec->length > g->config.file_max)
		return err_limit(
			(err_set(e, ERR_TOO_LARGE, "a file may have %llu bytes at most", (unsigned long long)g->config.file_max), e),
			(int64_t)g->config.file_max);
	if (atomic_load(&g->space_low))
		return err_set(e, ERR_STORAGE_FULL, "the storage has no free space left above its reserve");
	return 0;
}

static int take_spec(struct intake *in, const struct intake_spec *spec, struct err *e)
{
	int rc;

	in->owner = arena_str(&in->arena, spec->owner);
	in->labels = STR("{}");
	in->name = STR("file");
	if (in->owner.p == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for an upload");
	if (spec->origin != NULL) {
		struct blob_origin *own = arena_alloc(&in->arena, sizeof(*own));

		if (own == NULL)
			return err_set(e, ERR_NO_MEMORY, "no memory for an upload");
		*own = *spec->origin;
		in->spec.origin = own;
	}
	in->ops = in->g->default_ops;
	in->n_ops = in->g->n_default_ops;
	in->ops_text = str_of(in->g->default_ops_text);
	if (spec->name.p != NULL && (rc = intake_set_name(in, spec->name, e)) != 0)
		return rc;
	if (spec->ops.p != NULL && (rc = intake_set_ops(in, spec->ops, e)) != 0)
		return rc;
	if (spec->pipeline.p != NULL && (rc = intake_set_pipeline(in, spec->pipeline, e)) != 0)
		return rc;
	if (spec->labels.p != NULL && (rc = intake_set_labels(in, spec->labels, e)) != 0)
		return rc;
	if (spec->idempotency_key.p != NULL)
		return claim_key(in, spec->idempotency_key, e);
	return 0;
}

int intake_open(struct engine *g, const struct intake_spec *spec, struct intake **ret, struct err *e)
{
	int rc = may_take(g, spec, e);

	if (rc != 0)
		return rc;
	struct intake *in = calloc(1, sizeof(*in));
	if (in == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for an upload");
	in->g = g;
	in->spec = *spec;
	in->stage_us = engine_us();
	in->small.limit = g->config.inline_max;
	pthread_mutex_init(&in->lock, NULL);
	metric_add(METRIC_UPLOADS_OPEN, 1);
	count_open(g, 1);
	rc = take_spec(in, spec, e);
	if (rc != 0) {
		intake_free(in);
		return rc;
	}
	in->id = uuid_is_zero(spec->id) ? engine_new_id(g) : spec->id;
	if (spec->length > 0 && (uint64_t)spec->length <= g->config.inline_max)
		buf_reserve(&in->small, (size_t)spec->length);
	*ret = in;
	return 0;
}

int intake_set_name(struct intake *in, struct str raw, struct err *e)
{
	return name_clean(&in->name, raw, &in->arena, e);
}

/* Ops come as a list or by a pipeline's name: together it would not be clear what is meant. */
static int not_both(struct intake *in, enum asked as, struct err *e)
{
	if (in->asked != ASKED_NOTHING && in->asked != as)
		return err_set(e, ERR_BAD_OPS, "ops are given as a list or as a pipeline, not both");
	in->asked = as;
	return 0;
}

int intake_set_ops(struct intake *in, struct str list, struct err *e)
{
	struct op_request *ops;
	size_t n;
	int rc = not_both(in, ASKED_OPS, e);

	if (rc == 0)
		rc = op_table_parse_list(in->g->config.ops, &ops, &n, list, &in->arena, e);
	if (rc != 0)
		return rc;
	struct str text = arena_str(&in->arena, list);
	if (text.p == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for ops");
	in->ops = ops;
	in->n_ops = n;
	in->ops_text = text;
	return 0;
}

int intake_set_pipeline(struct intake *in, struct str name, struct err *e)
{
	int rc = not_both(in, ASKED_PIPELINE, e);

	if (rc == 0)
		rc = op_table_pipeline(in->g->config.ops, name, &in->ops, &in->n_ops, e);
	if (rc == 0)
		in->ops_text = op_table_pipeline_text(in->g->config.ops, name);
	return rc;
}

int intake_set_labels(struct intake *in, struct str text, struct err *e)
{
	struct str t = str_trim(text);

	if (t.len > 0 && t.p[0] == '{')
		return labels_parse_json(&in->labels, t, &in->arena, e);
	return labels_parse_list(&in->labels, t, &in->arena, e);
}

static int check_growth(struct intake *in, size_t n, struct err *e)
{
	uint64_t max = in->g->config.file_max;

	if (in->spec.size_max > 0 && in->spec.size_max < max)
		max = in->spec.size_max;

	if (n > max || in->size > max - n)
		return err_limit((err_set(e, ERR_TOO_LARGE, "a file may have %llu bytes at most", (unsigned long long)max), e),
				 (int64_t)max);
	if (in->spec.length >= 0 && in->size + n > (uint64_t)in->spec.length)
		return err_set(e, ERR_LENGTH_MISMATCH, "more bytes came than were announced");
	return 0;
}

int intake_check_type(const struct intake *in, struct err *e)
{
	const char *const *t = in->spec.types;

	if (t == NULL)
		return 0;
	const char *is = magic_type(in->first, in->n_first);
	while (*t != NULL && strcmp(*t, is) != 0)
		t++;
	return *t != NULL ? 0 : err_set(e, ERR_UNSUPPORTED_TYPE, "files of type %s are not taken here", is);
}

/* Keeps what the type is told from; once that is complete, what is not wanted is refused before more of it comes. */
static int look_at_first(struct intake *in, const void *data, size_t n, struct err *e)
{
	if (in->n_first == MAGIC_BYTES)
		return 0;
	size_t take = n < MAGIC_BYTES - in->n_first ? n : MAGIC_BYTES - in->n_first;
	memcpy(in->first + in->n_first, data, take);
	in->n_first += take;
	return in->n_first == MAGIC_BYTES ? intake_check_type(in, e) : 0;
}

enum intake_step intake_feed(struct intake *in, const void *data, size_t n, struct err *e)
{
	if (n == 0)
		return INTAKE_MORE;
	if (check_growth(in, n, e) != 0 || look_at_first(in, data, n, e) != 0)
		return INTAKE_FAILED;
	in->size += n;
	metric_add(METRIC_UPLOAD_OPEN_BYTES, (int64_t)n);
	if (!in->big) {
		if (in->size <= in->g->config.inline_max) {
			buf_add(&in->small, data, n);
			if (buf_ok(&in->small))
				return INTAKE_MORE;
			err_set(e, ERR_NO_MEMORY, "no memory for an upload");
			return INTAKE_FAILED;
		}
		if (begin_digests(in, e) != 0 || intake_go_big(in, e) != 0)
			return INTAKE_FAILED;
	}
	return intake_big_feed(in, data, n, e);
}

int intake_feed_rest(struct intake *in, const void *data, size_t n, struct err *e)
{
	int rc = check_growth(in, n, e);

	if (rc != 0)
		return rc;
	in->size += n;
	metric_add(METRIC_UPLOAD_OPEN_BYTES, (int64_t)n);
	return intake_big_rest(in, data, n, e);
}

/* ---- the end ---- */

void intake_fail(struct intake *in, int code, const struct err *e)
{
	struct intake_result result = {.code = code, .err = *e};

	metric_add(METRIC_UPLOADS_FAILED, 1);
	intake_release_key(in); /* the caller may try again from inside the callback */
	in->done(in->done_arg, &result);
	if (in->stored)
		intake_drop_blob(in);
	else
		intake_free(in);
}

static void refuse_now(struct engine_waiter *w)
{
	struct intake *in = CONTAINER_OF(w, struct intake, refusal);

	intake_fail(in, in->err.code, &in->err);
}

/* The server has no place for it now. It is told so a little later: who then comes at once again, whatever it was told, would otherwise take the time of those that were let in. */
static void hold_refusal(struct intake *in, const struct err *e)
{
	int64_t until = engine_mono(in->g) + REFUSAL_HOLD_MS;

	intake_release_key(in);
	in->err = *e;
	in->refusal = (struct engine_waiter){.deadline_ms = until - until % REFUSAL_GRID_MS, .wake = refuse_now};
	engine_wait(in->g, &in->refusal);
}

void intake_finish(struct intake *in, intake_done_fn *done, void *arg)
{
	struct err e = ERR_INIT;

	gauges_upload(UPLOAD_RECEIVE, in->stage_us);
	in->done = done;
	in->done_arg = arg;
	if (in->big) {
		intake_big_finish(in);
		return;
	}
	int rc = engine_admits(in->g, &e);
	if (rc != 0) {
		hold_refusal(in, &e);
		return;
	}
	rc = begin_digests(in, &e);
	if (rc == 0) {
		digest_set_update(in->digests, in->small.p, in->small.len);
		rc = digest_set_finish(in->digests, &e);
	}
	if (rc == 0)
		rc = intake_commit(in, &e);
	if (rc != 0)
		intake_fail(in, rc, &e);
}

void intake_cancel(struct intake *in)
{
	if (in == NULL)
		return;
	metric_add(METRIC_UPLOADS_FAILED, 1);
	if (in->big)
		intake_big_cancel(in);
	else
		intake_free(in);
}

/* ---- the list the sweep asks ---- */

int uploads_init(struct engine *g, struct err *e)
{
	if (pthread_mutex_init(&g->uploads.lock, NULL) != 0 || pthread_cond_init(&g->uploads.none, NULL) != 0)
		return err_set(e, ERR_NO_MEMORY, "no mutex");
	return 0;
}

void uploads_wait_none(struct engine *g)
{
	pthread_mutex_lock(&g->uploads.lock);
	while (g->uploads.open > 0)
		pthread_cond_wait(&g->uploads.none, &g->uploads.lock);
	pthread_mutex_unlock(&g->uploads.lock);
}

void uploads_release(struct engine *g)
{
	while (g->uploads.n_spare > 0)
		digest_set_free(g->uploads.spare[--g->uploads.n_spare]);
	pthread_cond_destroy(&g->uploads.none);
	pthread_mutex_destroy(&g->uploads.lock);
}

bool uploads_inflight(struct engine *g, struct uuid file)
{
	bool found = false;

	pthread_mutex_lock(&g->uploads.lock);
	for (struct intake *in = g->uploads.big; in != NULL && !found; in = in->next_big)
		found = uuid_eq(in->id, file);
	pthread_mutex_unlock(&g->uploads.lock);
	return found;
}

bool uploads_any(struct engine *g)
{
	pthread_mutex_lock(&g->uploads.lock);
	bool any = g->uploads.open > 0;
	pthread_mutex_unlock(&g->uploads.lock);
	return any;
}

#define SINCE_MARGIN_MS 60000 /* ids that are given are made a little before */

int64_t uploads_since(struct engine *g, int64_t now)
{
	struct uploads *u = &g->uploads;
	int64_t since = now - SINCE_MARGIN_MS;

	pthread_mutex_lock(&u->lock);
	for (const struct intake *in = u->big; in != NULL; in = in->next_big)
		if (uuid_ms(in->id) < since)
			since = uuid_ms(in->id);
	u->told_since = since;
	pthread_mutex_unlock(&u->lock);
	return since;
}
