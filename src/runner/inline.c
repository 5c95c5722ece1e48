/* The kind that computes digests in the calling thread and knows no other op: nothing is sealed, so nothing is decoded. */
#include "base/compiler.h"
#include "base/fd.h"
#include "runner/runner_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PIECE (256u << 10) /* bytes */

static void digest_set_release(struct digest_set **d)
{
	digest_set_free(*d);
}

/* Feeds stored bytes, asking the watcher before every piece. */
static int feed_stored(struct digest_set *d, const struct runner_job *job, const struct runner_watch *watch, struct err *e)
{
	CLEANUP(free_ptr) void *piece = malloc(PIECE);

	if (!piece)
		return err_set(e, ERR_NO_MEMORY, "no memory to read the input");
	for (uint64_t at = 0; at < job->size;) {
		size_t want = job->size - at < PIECE ? (size_t)(job->size - at) : PIECE;
		ssize_t got = fd_pread_full(job->input_fd, piece, want, (off_t)at);
		int r;

		if (got < 0)
			return err_errno(e, errno, "read");
		if ((size_t)got < want)
			return err_set(e, ERR_DAMAGED, "the stored file is shorter than it should be");
		digest_set_update(d, piece, want);
		at += want;
		if ((r = runner_may_go_on(watch, e)) < 0)
			return r;
	}
	return 0;
}

static int run_one(struct runner_job *job, const struct runner_watch *watch, struct err *e)
{
	CLEANUP(digest_set_release) struct digest_set *d = NULL;
	size_t n;
	int r;

	if (job->op->kind != OP_STREAMING)
		return err_set(e, ERR_OP_FAILED, "this runner knows digests only");
	if ((r = digest_set_new(&d, 1u << job->op->algo | 1u << DIGEST_SHA256, e)) < 0)
		return r;
	if (job->input_fd < 0)
		digest_set_update(d, job->input.p, job->input.len);
	else if ((r = feed_stored(d, job, watch, e)) < 0)
		return r;
	if ((r = digest_set_finish(d, e)) < 0)
		return r;
	if (memcmp(digest_set_get(d, DIGEST_SHA256, &n), job->sha256, sizeof(job->sha256)) != 0)
		return err_set(e, ERR_DAMAGED, "the input's bytes do not match their digest");
	digest_write_result(&job->result, job->op->algo, digest_set_get(d, job->op->algo, &n));
	return buf_ok(&job->result) ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for the result");
}

static void inline_run(struct runner *r, struct runner_job *jobs, size_t n, const struct runner_watch *watch)
{
	for (size_t i = 0; i < n; i++) {
		struct err e = ERR_INIT;

		if (runner_may_go_on(watch, &e) < 0) {
			runner_jobs_end(jobs, n, &e);
			return;
		}
		runner_job_end(&jobs[i], run_one(&jobs[i], watch, &jobs[i].err));
	}
}

static const struct seal_report *inline_report(const struct runner *r)
{
	return NULL;
}

static void inline_stats(struct runner *r, struct runner_stats *ret)
{
	*ret = (struct runner_stats){};
}

static void inline_free(struct runner *r)
{
	free(r);
}

static const struct runner_kind inline_kind = {
	.run = inline_run,
	.report = inline_report,
	.stats = inline_stats,
	.free = inline_free,
};

int runner_inline_new(struct runner **ret, struct err *e)
{
	struct runner *r = malloc(sizeof(*r));

	if (!r)
		return err_set(e, ERR_NO_MEMORY, "no memory for a runner");
	r->kind = &inline_kind;
	*ret = r;
	return 0;
}
