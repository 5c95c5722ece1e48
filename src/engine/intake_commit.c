/* From finished digests to a committed file: checks, rows, change set, answer. Runs on the caller's thread for small files, on a pool thread for large ones. */
#include "engine/intake.h"
#include "rt/log.h"
#include "rt/metrics.h"

#include <stdlib.h>
#include <string.h>

static int check_digest(struct intake *in, bool wanted, enum digest_algo algo, const uint8_t *want, const char *name, struct err *e)
{
	size_t n;

	if (!wanted)
		return 0;
	const uint8_t *is = digest_set_get(in->digests, algo, &n);
	if (is != NULL && memcmp(is, want, n) == 0)
		return 0;
	return err_field((err_set(e, ERR_DIGEST_MISMATCH, "the bytes do not have the %s digest sent with them", name), e), name);
}

static int check_whole(struct intake *in, struct err *e)
{
	int rc;

	if (in->spec.length >= 0 && in->size != (uint64_t)in->spec.length)
		return err_set(e, ERR_LENGTH_MISMATCH, "fewer bytes came than were announced");
	if (in->spec.size_exact && in->size != in->spec.size_max) {
		err_set(e, ERR_LENGTH_MISMATCH, "the file has fewer bytes than it must have");
		return err_limit(e, (int64_t)in->spec.size_max);
	}
	if ((rc = intake_check_type(in, e)) != 0)
		return rc;
	if ((rc = check_digest(in, in->spec.want_md5, DIGEST_MD5, in->spec.md5, "md5", e)) != 0)
		return rc;
	if ((rc = check_digest(in, in->spec.want_sha256, DIGEST_SHA256, in->spec.sha256, "sha-256", e)) != 0)
		return rc;
	return check_digest(in, in->spec.want_sha512, DIGEST_SHA512, in->spec.sha512, "sha-512", e);
}

/* A job whose digest rode along is final already; any other waits in the queue, or for the job it comes after. */
static int build_jobs(struct intake *in, int64_t now, struct err *e)
{
	struct job *jobs = arena_alloc(&in->arena, (in->n_ops > 0 ? in->n_ops : 1) * sizeof(*jobs));
	size_t ends[OPS_MAX];

	if (jobs == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for jobs");
	engine_new_jobs(in->g, jobs, in->id, in->ops, in->n_ops);
	for (size_t i = 0; i < in->n_ops; i++) {
		const struct op_request *r = &in->ops[i];
		size_t n;

		jobs[i].created_at = jobs[i].run_at = now;
		if (r->op->kind == OP_STREAMING && r->after < 0 && (in->mask & 1u << r->op->algo)) {
			digest_write_result(&in->results, r->op->algo, digest_set_get(in->digests, r->op->algo, &n));
			jobs[i].state = JOB_SUCCEEDED;
			jobs[i].attempt = 1;
			jobs[i].started_at = jobs[i].finished_at = now;
		}
		ends[i] = in->results.len;
	}
	if (!buf_ok(&in->results))
		return err_set(e, ERR_NO_MEMORY, "no memory for results");
	for (size_t i = 0, at = 0; i < in->n_ops; at = ends[i++])
		if (jobs[i].state == JOB_SUCCEEDED)
			jobs[i].result = (struct str){in->results.p + at, ends[i] - at};
	in->file.jobs = jobs;
	in->file.n_jobs = in->n_ops;
	return 0;
}

static void add_part(struct digest_set *d, struct str s)
{
	uint64_t len = s.len;

	digest_set_update(d, &len, sizeof(len));
	if (s.len > 0)
		digest_set_update(d, s.p, s.len);
}

/* What makes two requests with one key the same: bytes, name, ops, labels. */
static int fingerprint(struct intake *in, uint8_t ret[32], struct err *e)
{
	struct digest_set *d;
	size_t n;
	int rc = digest_set_new(&d, 1u << DIGEST_SHA256, e);

	if (rc != 0)
		return rc;
	add_part(d, (struct str){(const char *)in->file.sha256, sizeof(in->file.sha256)});
	add_part(d, in->name);
	add_part(d, in->ops_text);
	add_part(d, in->labels);
	rc = digest_set_finish(d, e);
	if (rc == 0)
		memcpy(ret, digest_set_get(d, DIGEST_SHA256, &n), 32);
	digest_set_free(d);
	return rc;
}

/* ---- after the commit ---- */

static void answer(struct intake *in, const struct file *f, bool replayed)
{
	struct intake_result result = {.file = f, .replayed = replayed, .err = ERR_INIT};

	intake_big_forget(in);
	intake_release_key(in); /* the catalogue knows the key from here on: who repeats the moment the answer comes must find it there */
	in->done(in->done_arg, &result);
}

/* An idempotent repeat: its own blob was for nothing, the first file is the answer. Pool thread, for it reads the catalogue. */
static void replay_run(struct pool_task *t)
{
	struct intake *in = CONTAINER_OF(t, struct intake, task);
	struct arena a = ARENA_INIT;
	struct file first;
	struct err e = ERR_INIT;
	struct file_key key = {.id = in->change.add_file.replay_of};

	if (in->stored && blob_remove(in->g->blobs, str_of(in->blob_name), &e) != 0)
		log_err(LOG_WARN, "blob_left_for_sweep", &e);
	in->stored = false;
	int rc = catalog_file(in->g->catalog, key, in->owner, &a, &first, &e);
	if (rc == 0) {
		answer(in, &first, true);
		intake_free(in);
	} else {
		intake_big_forget(in);
		intake_fail(in, rc, &e);
	}
	arena_release(&a);
}

void intake_count(const struct intake *in)
{
	const struct file *f = &in->file;

	gauges_upload(UPLOAD_COMMIT, in->stage_us);
	metric_add(METRIC_UPLOADS, 1);
	metric_add(METRIC_UPLOAD_BYTES, (int64_t)f->size);
	gauges_jobs_added(f->jobs, f->n_jobs);
}

static void committed(void *arg, struct change *c)
{
	struct intake *in = arg;

	if (c->code != 0) {
		gauges_upload(UPLOAD_COMMIT, in->stage_us);
		struct err e = c->err;
		/* the outcome of a failed flush is unknown: the blob may be referred to after a restart, so it stays */
		if (catalog_sealed(in->g->catalog))
			in->stored = false;
		if (!in->stored)
			intake_big_forget(in);
		intake_fail(in, c->code, &e);
		return;
	}
	if (c->add_file.replayed) {
		gauges_upload(UPLOAD_COMMIT, in->stage_us);
		in->task.run = replay_run;
		pool_submit(in->g->io, &in->task);
		return;
	}
	intake_count(in);
	answer(in, &in->file, false);
	intake_free(in);
}

static int note(struct intake *in, struct err *e)
{
	char id[UUID_TEXT_LEN + 1], sha256[65];

	uuid_format(id, in->id);
	hex_encode(sha256, in->file.sha256, 32);
	return engine_audit(in->g, &in->change, &in->arena, AUDIT_FILE_STORED, &in->spec.by, e, LF_CSTR("file", id),
			    LF_STR("name", in->name), LF_INT("size", in->size), LF_CSTR("sha256", sha256));
}

int intake_commit(struct intake *in, struct err *e)
{
	struct engine *g = in->g;
	int64_t now = engine_now(g);
	size_t n;
	int rc = check_whole(in, e);

	if (rc != 0)
		return rc;
	in->file = (struct file){
		.id = in->id,
		.owner = in->owner,
		.name = in->name,
		.size = in->size,
		.type = str_of(magic_type(in->first, in->n_first)),
		.labels = in->labels,
		.location = in->big ? LOCATION_FILE : LOCATION_INLINE,
		.created_at = now,
		.expires_at = g->config.files_keep_ms > 0 ? now + g->config.files_keep_ms : 0,
	};
	memcpy(in->file.sha256, digest_set_get(in->digests, DIGEST_SHA256, &n), 32);
	if ((rc = build_jobs(in, now, e)) != 0)
		return rc;
	in->change = (struct change){.kind = CHANGE_ADD_FILE, .add_file = {.file = &in->file, .arena = &in->arena}};
	in->change.once = in->spec.once;
	if (!in->big)
		in->change.add_file.bytes = buf_str(&in->small);
	in->change.add_file.node = in->node;
	if (in->group != NULL) {
		in->stage_us = engine_us();
		intake_group_arrived(in);
		return 0;
	}
	if (in->has_key) {
		in->change.add_file.idempotency_key = in->key.key;
		if ((rc = fingerprint(in, in->change.add_file.fingerprint, e)) != 0)
			return rc;
	}
	if (g->config.audit_uploads && (rc = note(in, e)) != 0)
		return rc;
	in->stage_us = engine_us();
	engine_submit(g, &in->change, committed, in);
	return 0;
}
