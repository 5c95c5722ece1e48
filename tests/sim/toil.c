/* Who works: the runner behind the engine's job threads, and another worker that shares the catalogue, as a second process would. */
#include "world.h"

#include "base/fd.h"
#include "runner/runner_impl.h"

#include <stdlib.h>
#include <string.h>

struct toil {
	struct runner base;
	struct world *w;
};

static struct world *world_of(struct runner *r)
{
	return CONTAINER_OF(r, struct toil, base)->w;
}

/* ---- the runner ---- */

/* Whoever runs here and was to be cancelled knows it soon: its process is killed, not waited for. */
static void look_at_cancelled(struct world *w)
{
	int64_t now = coop_mono_ns() - w->frozen;

	for (const struct work *k = w->g->scheduler.works; k != NULL; k = k->next)
		for (size_t i = 0; i < k->n; i++) {
			const struct claimed *c = k->jobs[i].claimed;
			struct seen_job *s = &w->jobs[c->job.number];
			bool unknown = s->cancel && !w->sealed && s->state == JOB_RUNNING && s->fence == c->job.fence &&
				       !atomic_load(&k->jobs[i].cancelled);
			if (unknown && s->cancelled_at > 0 && now - s->cancelled_at > 1000 * MS)
				coop_fail("a running job that was cancelled goes on");
			if (unknown && s->cancelled_at == 0 && !w->applying && w->reading == 0)
				s->cancelled_at = now;
		}
}

/* How long a call takes. In most of them the watcher is asked now and then; one that is stuck asks nobody. */
static int pass_time(struct world *w, struct runner_job *j, const struct runner_watch *watch, struct err *e)
{
	int rc = 0;

	if (chance(w, w->plan.job_stuck)) {
		TRACE("is stuck");
		coop_sleep((int64_t)rng_below(&w->rng, (unsigned)w->config.lease_ms * 2) * MS);
		return 0;
	}
	unsigned pieces = 1 + rng_below(&w->rng, 4);
	int64_t piece = (int64_t)rng_below(&w->rng, chance(w, w->plan.job_slow) ? (unsigned)w->config.lease_ms / 4 : 5) * MS;
	while (pieces-- > 0 && rc == 0) {
		coop_sleep(piece + 1);
		if (j->progress != NULL && rng_one_in(&w->rng, 2))
			j->progress(j->progress_arg, 1000 - 250 * pieces);
		rc = runner_may_go_on(watch, e);
		look_at_cancelled(w);
	}
	return rc;
}

static int failure(struct world *w, struct err *e)
{
	static const int codes[] = {ERR_RUNNER_CRASHED, ERR_RUNNER_LOST, ERR_OP_FAILED,  ERR_TRUNCATED,
				    ERR_NO_MEMORY,      ERR_IO,          ERR_OVERLOADED, ERR_RUNNER_UNAVAILABLE};

	if (!chance(w, w->plan.job_fails))
		return 0;
	return err_set(e, codes[rng_below(&w->rng, ARRAY_LEN(codes))], "simulated: the job failed");
}

/* Its bytes, wherever they are; *own is to be released. They have to be those the job was promised. */
static struct str read_input(const struct runner_job *j, struct buf *own)
{
	struct digest_set *d;
	struct err e = ERR_INIT;
	size_t n;

	if (j->input_fd >= 0) {
		buf_reserve(own, j->size);
		if (!buf_ok(own) || fd_pread_full(j->input_fd, own->p, j->size, 0) != (ssize_t)j->size)
			coop_fail("the input of a job cannot be read");
		own->len = j->size;
	}
	struct str bytes = j->input_fd >= 0 ? buf_str(own) : j->input;
	if (digest_set_new(&d, 1u << DIGEST_SHA256, &e) != 0)
		coop_fail("no digest");
	digest_set_update(d, bytes.p, bytes.len);
	if (digest_set_finish(d, &e) != 0 || memcmp(digest_set_get(d, DIGEST_SHA256, &n), j->sha256, 32) != 0)
		coop_fail("a job is given other bytes than those of its input");
	digest_set_free(d);
	return bytes;
}

static int give(struct world *w, struct runner_job *j, struct str bytes)
{
	size_t half = bytes.len > 1 ? rng_below(&w->rng, (unsigned)bytes.len) : bytes.len;
	int rc = j->output(j->output_arg, bytes.p, half, &j->err);

	if (rc == 0 && half < bytes.len)
		rc = j->output(j->output_arg, bytes.p + half, bytes.len - half, &j->err);
	return rc;
}

static int make(struct world *w, struct runner_job *j, struct str input)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT;
	int rc = 0;

	buf_add_cstr(&j->result, "{\"made\":true}");
	if (j->output == NULL)
		return 0;
	truth_make(&out, str_of(j->op->name), j->params, j->op->named, j->name, input);
	if (chance(w, w->plan.job_fails)) /* the child dies over it, and another one begins anew */
		rc = give(w, j, (struct str){out.p, rng_below(&w->rng, (unsigned)out.len)});
	if (rc == 0)
		rc = give(w, j, buf_str(&out));
	j->output_size = out.len;
	return rc;
}

static int digest_input(struct runner_job *j, struct str input)
{
	struct digest_set *d;
	size_t n;
	int rc = digest_set_new(&d, 1u << j->op->algo, &j->err);

	if (rc != 0)
		return rc;
	digest_set_update(d, input.p, input.len);
	rc = digest_set_finish(d, &j->err);
	if (rc == 0)
		digest_write_result(&j->result, j->op->algo, digest_set_get(d, j->op->algo, &n));
	digest_set_free(d);
	return rc;
}

static void run(struct runner *r, struct runner_job *jobs, size_t n, const struct runner_watch *watch)
{
	struct world *w = world_of(r);
	struct err e = ERR_INIT;

	for (size_t i = 0; i < n; i++) {
		CLEANUP(buf_release) struct buf own = BUF_INIT;
		struct runner_job *j = &jobs[i];

		if (pass_time(w, j, watch, &e) != 0) {
			runner_jobs_end(jobs, n, &e);
			return;
		}
		int rc = failure(w, &j->err);
		TRACE("runs %s: %d", j->op->name, rc);
		if (rc == 0) {
			struct str input = read_input(j, &own);
			rc = j->op->kind == OP_STREAMING ? digest_input(j, input) : make(w, j, input);
		}
		runner_job_end(j, rc);
	}
}

static const struct seal_report *report(const struct runner *r)
{
	return NULL;
}

static void stats(struct runner *r, struct runner_stats *ret)
{
	*ret = (struct runner_stats){};
}

static void release(struct runner *r)
{
	free(CONTAINER_OF(r, struct toil, base));
}

static const struct runner_kind KIND = {.run = run, .report = report, .stats = stats, .free = release};

int toil_new(struct runner **ret, struct world *w, struct err *e)
{
	struct toil *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for a runner");
	t->base.kind = &KIND;
	t->w = w;
	*ret = &t->base;
	return 0;
}

/* ---- another worker ---- */

#define OTHER_MAX 3

static bool take_lease(struct world *w, struct uuid me, bool first)
{
	struct change c = {
		.kind = CHANGE_BEAT,
		.beat = {.worker = me, .now = coop_wall_ms(), .expires_at = coop_wall_ms() + w->config.lease_ms, .first = first}};

	return submit(w, &c) == 0;
}

/* An attempt of his, which may be over for long. */
struct attempt {
	struct uuid job;
	int64_t fence;
	bool result; /* it can succeed: nothing but a result is asked for */
};

#define ATTEMPTS_MAX 8 /* that he remembers */

struct other {
	struct world *w;
	struct uuid me;
	struct attempt attempts[ATTEMPTS_MAX];
	unsigned n; /* ever begun */
};

/* Ends an attempt in one way or another: in time, late, or once more. */
static void end_attempt(struct other *o, const struct attempt *a)
{
	static const enum job_state states[] = {JOB_FAILED, JOB_QUEUED, JOB_CANCELLED, JOB_SUCCEEDED};
	struct rng *r = &o->w->rng;
	struct change_finish f = {.job = a->job, .fence = a->fence, .worker = o->me, .finished_at = coop_wall_ms()};

	f.state = states[rng_below(r, a->result ? 4 : 3)];
	if (f.state == JOB_FAILED)
		f.error = ERR_OP_FAILED;
	if (f.state == JOB_SUCCEEDED)
		f.result = STR("{\"made\":true}");
	if (f.state == JOB_QUEUED) {
		f.give_back = rng_one_in(r, 2);
		f.retry_at = coop_wall_ms() + 1;
	}
	struct change c = {.kind = CHANGE_FINISH, .finish = f};
	submit(o->w, &c);
}

/* False: he has no lease, or the catalogue takes nothing now. */
static bool claim_once(struct other *o)
{
	CLEANUP(arena_release) struct arena a = ARENA_INIT;
	struct world *w = o->w;
	struct change c = {.kind = CHANGE_CLAIM,
			   .claim = {.worker = o->me,
				     .max = rng_one_in(&w->rng, 2) ? 1 : OTHER_MAX,
				     .now = coop_wall_ms(),
				     .arena = &a,
				     .limits = w->limits,
				     .n_limits = w->n_limits,
				     .owner_limit = w->owner_limit,
				     .newcomers = rng_one_in(&w->rng, 8)}};

	if (submit(w, &c) != 0)
		return false;
	for (size_t i = 0; i < c.claim.n; i++) {
		const struct job *job = &c.claim.jobs[i].job;
		const struct op *op = op_table_find(op_builtin_table(), job->op);

		o->attempts[o->n++ % ATTEMPTS_MAX] =
			(struct attempt){.job = job->id, .fence = job->fence, .result = op->kind == OP_SEALED && !op->output};
	}
	return true;
}

/* Claims, in small pieces, and ends some of what he ever had. */
static void work_once(struct other *o)
{
	struct world *w = o->w;
	unsigned claims = rng_one_in(&w->rng, 2) ? 1 : 1 + rng_below(&w->rng, 8);

	while (claims > 0 && claim_once(o))
		claims--;
	for (unsigned times = 1 + rng_below(&w->rng, 5); times > 0 && o->n > 0; times--) {
		int64_t most = rng_one_in(&w->rng, 4) ? 2 * w->config.lease_ms : 100;

		coop_sleep((int64_t)rng_below(&w->rng, (unsigned)most) * MS);
		if (rng_one_in(&w->rng, 3))
			take_lease(w, o->me, false);
		end_attempt(o, &o->attempts[rng_below(&w->rng, o->n < ATTEMPTS_MAX ? o->n : ATTEMPTS_MAX)]);
	}
}

void *other_worker(void *arg)
{
	struct world *w = arg;
	struct other o = {.w = w, .me = engine_new_id(w->g)};
	bool first = true;

	pthread_setname_np(pthread_self(), "other worker");
	while (!w->stopping && !w->calm && w->clients > 0) {
		bool lease = take_lease(w, o.me, first);
		if (lease)
			work_once(&o);
		else
			o.me = engine_new_id(w->g);
		first = !lease;
		coop_sleep((int64_t)rng_below(&w->rng, rng_one_in(&w->rng, 2) ? 3000 : 20) * MS);
	}
	return NULL;
}
