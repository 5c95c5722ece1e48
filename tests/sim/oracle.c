/* What may happen to the catalogue. Whatever a change is, and however it was brought about, all rows are compared with what they were before it, and each difference has to be
 * one that a change of this kind may make. The rules are those of docs/model/lease.pml, said once more without looking at the code that keeps them. */
#include "world.h"

#include <stdio.h>
#include <string.h>

struct mem *world_mem(const struct world *w)
{
	return CONTAINER_OF(w->catalog, struct mem, base);
}

const char *short_id(struct uuid id)
{
	static char texts[4][UUID_TEXT_LEN + 1];
	static unsigned at;
	char *text = texts[at++ % 4];

	uuid_format(text, id);
	return text + UUID_TEXT_LEN - 6; /* the random end */
}

static uint64_t hash_str(uint64_t h, struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		h = (h ^ (uint8_t)s.p[i]) * 0x100000001b3u;
	return h + s.len + (s.p != NULL);
}

static struct seen_job now_of(const struct mem_job *j)
{
	struct seen_job s = {
		.id = j->row.id,
		.file = j->job.file,
		.worker = j->worker,
		.there = true,
		.owner = owner_of(j->file->file.owner),
		.op = op_table_find(op_builtin_table(), j->job.op),
		.cancel = j->cancel,
		.state = j->job.state,
		.fence = j->job.fence,
		.run_at = j->job.run_at,
		.finished_at = j->job.finished_at,
		.expires_at = j->job.expires_at,
		.expired_at = j->expired_at,
		.attempt = j->job.attempt,
		.losses = j->job.losses,
		.error = j->job.error,
		.n_outputs = j->job.n_outputs,
	};

	s.brought = hash_str(0xcbf29ce484222325u, j->job.result);
	for (size_t i = 0; i < j->job.n_outputs; i++)
		s.brought = hash_str(s.brought, j->job.outputs[i].blob);
	return s;
}

static bool held(const struct seen_job *s)
{
	return s->state == JOB_QUEUED && s->run_at == RUN_AT_HELD;
}

/* ---- one kind of change each: may it have made b of a, which differ? ---- */

static bool may_claim(const struct world *w, const struct change *c, const struct seen_job *a, const struct seen_job *b)
{
	for (size_t i = 0; i < c->claim.n; i++)
		if (uuid_eq(c->claim.jobs[i].job.id, a->id))
			return a->state == JOB_QUEUED && b->state == JOB_RUNNING && a->run_at <= c->claim.now && b->fence == a->fence + 1 &&
			       b->attempt == a->attempt + 1 && uuid_eq(b->worker, c->claim.worker);
	return false;
}

/* A job that is held, after the one before it ended. */
static bool may_follow(const struct seen_job *a, const struct seen_job *b)
{
	return held(a) && (b->state == JOB_QUEUED || b->state == JOB_FAILED || b->state == JOB_CANCELLED) && b->fence == a->fence &&
	       b->n_outputs == 0;
}

static bool may_finish(const struct world *w, const struct change *c, const struct seen_job *a, const struct seen_job *b)
{
	const struct change_finish *f = &c->finish;

	if (!uuid_eq(f->job, a->id))
		return may_follow(a, b);
	return a->state == JOB_RUNNING && a->fence == f->fence && uuid_eq(a->worker, f->worker) && b->fence == a->fence &&
	       b->state == (a->cancel ? JOB_CANCELLED : f->state);
}

/* Who still believes in its lease keeps its jobs. */
static bool lives(const struct world *w, struct uuid worker)
{
	return w->g != NULL && uuid_eq(w->g->scheduler.worker, worker) && atomic_load(&w->g->scheduler.lease_until) > coop_mono_ns() / MS;
}

static bool may_reclaim(const struct world *w, const struct change *c, const struct seen_job *a, const struct seen_job *b)
{
	if (a->state != JOB_RUNNING)
		return may_follow(a, b);
	if (!c->reclaim.all && lives(w, a->worker))
		return false;
	return (b->state == JOB_QUEUED || b->state == JOB_QUARANTINED || b->state == JOB_CANCELLED) && b->fence > a->fence &&
	       b->losses == a->losses + 1 && (a->cancel == (b->state == JOB_CANCELLED));
}

static bool may_cancel(const struct world *w, const struct change *c, const struct seen_job *a, const struct seen_job *b)
{
	if (!uuid_eq(c->job_ref.id, a->id))
		return may_follow(a, b);
	return a->state == JOB_RUNNING ? b->state == JOB_RUNNING && b->cancel && c->job_ref.was_running
				       : a->state == JOB_QUEUED && b->state == JOB_CANCELLED;
}

static bool may_retry(const struct world *w, const struct change *c, const struct seen_job *a, const struct seen_job *b)
{
	if (b->state != JOB_QUEUED || b->fence != a->fence || b->attempt != 0 || b->losses != 0)
		return false;
	if (uuid_eq(c->job_ref.id, a->id))
		return a->state == JOB_FAILED || a->state == JOB_CANCELLED || a->state == JOB_QUARANTINED;
	return a->state == JOB_FAILED && a->error == ERR_INPUT_FAILED && held(b);
}

static bool may_delete(const struct world *w, const struct change *c, const struct seen_job *a, const struct seen_job *b)
{
	if (!uuid_eq(c->delete_file.id, a->file) || b->n_outputs != 0 || b->fence != a->fence)
		return false;
	if (a->state == JOB_RUNNING)
		return b->state == JOB_RUNNING && b->cancel;
	return a->state == JOB_QUEUED ? b->state == JOB_CANCELLED : b->state == a->state && b->finished_at == a->finished_at;
}

/* What a job found and made goes when its time has come, and while nobody works on it. */
static bool may_expire(const struct world *w, const struct change *c, const struct seen_job *a, const struct seen_job *b)
{
	const struct change_expire_results *x = &c->expire_results;

	if (!job_state_final(a->state) || b->state != a->state || b->fence != a->fence || b->finished_at != a->finished_at)
		return false;
	if (a->expired_at != 0 || b->expired_at != x->now || b->n_outputs != 0 || a->finished_at + w->options.results_keep_ms > x->now)
		return false;
	for (int64_t n = 1; n <= world_mem(w)->jobs.last; n++) {
		const struct mem_job *j = w->jobs[n].there ? CONTAINER_OF(mem_find_number(&world_mem(w)->jobs, n), struct mem_job, row)
							   : NULL;

		if (j != NULL && uuid_eq(j->job.after, a->id) && !job_state_final(j->job.state))
			return false;
	}
	return true;
}

static bool (*const MAY[])(const struct world *w, const struct change *c, const struct seen_job *a, const struct seen_job *b) = {
	[CHANGE_CLAIM] = may_claim,           [CHANGE_FINISH] = may_finish,   [CHANGE_RECLAIM] = may_reclaim,
	[CHANGE_CANCEL_JOB] = may_cancel,     [CHANGE_RETRY_JOB] = may_retry, [CHANGE_DELETE_FILE] = may_delete,
	[CHANGE_EXPIRE_RESULTS] = may_expire,
};

static bool may(const struct world *w, const struct change *c, const struct seen_job *a, const struct seen_job *b)
{
	return c->code == 0 && c->kind < ARRAY_LEN(MAY) && MAY[c->kind] != NULL && MAY[c->kind](w, c, a, b);
}

static const char *const KINDS[] = {
	[CHANGE_ADD_FILE] = "add file",
	[CHANGE_ADD_FILES] = "add files",
	[CHANGE_ADD_JOBS] = "add jobs",
	[CHANGE_CLAIM] = "claim",
	[CHANGE_FINISH] = "finish",
	[CHANGE_BEAT] = "beat",
	[CHANGE_RECLAIM] = "reclaim",
	[CHANGE_CANCEL_JOB] = "cancel",
	[CHANGE_RETRY_JOB] = "retry",
	[CHANGE_PATCH_FILE] = "patch",
	[CHANGE_DELETE_FILE] = "delete",
	[CHANGE_BLOB_GONE] = "blob gone",
	[CHANGE_OUTBOX_DONE] = "outbox done",
	[CHANGE_PURGE] = "purge",
	[CHANGE_MARK_DAMAGED] = "mark",
	[CHANGE_LINE] = "line",
	[CHANGE_SCRUB_POSITION] = "scrub position",
	[CHANGE_RECURRING] = "recurring",
	[CHANGE_PROBE] = "probe",
	[CHANGE_EXPIRE_RESULTS] = "expire results",
};

static const char *kind_of(const struct change *c)
{
	return c->kind < ARRAY_LEN(KINDS) && KINDS[c->kind] != NULL ? KINDS[c->kind] : "another change";
}

static bool same(const struct seen_job *a, const struct seen_job *b)
{
	return uuid_eq(a->id, b->id) && a->cancel == b->cancel && a->state == b->state && a->fence == b->fence && a->run_at == b->run_at &&
	       a->finished_at == b->finished_at && a->attempt == b->attempt && a->losses == b->losses && a->expired_at == b->expired_at &&
	       a->brought == b->brought && a->n_outputs == b->n_outputs && (a->state != JOB_RUNNING || uuid_eq(a->worker, b->worker));
}

static void explain(const struct change *c, const struct seen_job *a, const struct seen_job *b)
{
	coop_fail("%s (code %d) made %s fence %lld attempt %u of job %s, which was %s fence %lld attempt %u%s", kind_of(c), c->code,
		  job_state_name(b->state), (long long)b->fence, b->attempt, short_id(a->id), job_state_name(a->state), (long long)a->fence,
		  a->attempt, a->cancel ? ", to be cancelled" : "");
}

static void look_at_job(struct world *w, const struct change *c, const struct mem_job *j)
{
	struct seen_job *a = &w->jobs[j->row.number], b = now_of(j);

	if (!a->there) {
		if (c->code != 0 || (c->kind != CHANGE_ADD_FILE && c->kind != CHANGE_ADD_FILES && c->kind != CHANGE_ADD_JOBS &&
				     c->kind != CHANGE_RECURRING))
			coop_fail("%s added job %s", kind_of(c), short_id(b.id));
	} else if (same(a, &b)) {
		return;
	} else if (!may(w, c, a, &b)) {
		explain(c, a, &b);
	}
	if (job_state_final(b.state) && (!a->there || !job_state_final(a->state)))
		truth_check_job(w, j);
	TRACE("  job %s %s, fence %lld, attempt %u%s%s", short_id(b.id), job_state_name(b.state), (long long)b.fence, b.attempt,
	      b.cancel ? ", to be cancelled" : "", held(&b) ? ", held" : "");
	b.lost = a->lost || b.losses > 0;
	b.cancelled_at = b.cancel ? a->cancelled_at : 0;
	*a = b;
}

/* Rows go only when their file's tombstone has had its time. */
static void look_at_missing(struct world *w, const struct change *c)
{
	const struct mem *m = world_mem(w);

	for (int64_t n = 1; n <= m->jobs.last; n++) {
		if (!w->jobs[n].there || mem_find_number(&m->jobs, n) != NULL)
			continue;
		if (c->kind != CHANGE_PURGE || c->code != 0)
			coop_fail("%s made job %s vanish", kind_of(c), short_id(w->jobs[n].id));
		w->jobs[n].there = false;
	}
}

/* ---- what is told of it ---- */

static void tell(struct world *w, struct tale t)
{
	if (w->n_tales == TALE_MAX)
		coop_fail("more than %d things happened", TALE_MAX);
	w->tales[w->n_tales++] = t;
}

static void tell_ends(struct world *w, const struct ended *ends, size_t n)
{
	const struct mem *m = world_mem(w);

	for (size_t i = 0; i < n; i++) {
		const struct mem_job *j = CONTAINER_OF(mem_find_number(&m->jobs, ends[i].job), struct mem_job, row);

		if (!job_state_final(j->job.state))
			coop_fail("job %s is told to have ended and is %s", short_id(j->row.id), job_state_name(j->job.state));
		tell(w, (struct tale){.kind = TALE_ENDED,
				      .file = j->job.file,
				      .job = j->row.id,
				      .fence = ends[i].fence,
				      .finished_at = ends[i].finished_at,
				      .owner = owner_of(j->file->file.owner)});
		w->n_ends++;
	}
}

/* ---- files ---- */

bool oracle_has_file(const struct world *w, struct uuid id)
{
	return mem_find(&world_mem(w)->files, id) != NULL;
}

/* A key leads to one file for a day. */
static void look_at_key(struct world *w, const struct change_add_file *add)
{
	unsigned owner = owner_of(add->file->owner), k;

	if (add->idempotency_key.p == NULL || sscanf(add->idempotency_key.p, "key-%u", &k) != 1)
		return;
	struct told_key *key = &w->keys[owner][k];
	bool counts = key->used && key->created_at > add->file->created_at - IDEMPOTENCY_MS;
	if (add->replayed) {
		if (!key->used || !uuid_eq(key->file, add->replay_of))
			coop_fail("key-%u is answered by %s, which is not its file", k, short_id(add->replay_of));
		return;
	}
	if (counts && !w->plan.far_clock)
		coop_fail("key-%u has made %s, and now %s", k, short_id(key->file), short_id(add->file->id));
	*key = (struct told_key){.file = add->file->id, .used = true, .created_at = add->file->created_at};
}

static void look_at_new_file(struct world *w, const struct change_add_file *add)
{
	look_at_key(w, add);
	if (add->replayed)
		return;
	truth_check_file(w, CONTAINER_OF(mem_find(&world_mem(w)->files, add->file->id), struct mem_file, row));
	tell(w, (struct tale){.kind = TALE_STORED, .file = add->file->id, .owner = owner_of(add->file->owner)});
}

/* All of them, one behind the other; or none. */
static void look_at_new_files(struct world *w, const struct change *c)
{
	const struct change_add_files *add = &c->add_files;

	for (size_t i = 0; i < add->n; i++) {
		const struct file *f = add->files[i].file;

		if (oracle_has_file(w, f->id) != (c->code == 0))
			coop_fail("of %zu files that come together (code %d) file %zu is%s there", add->n, c->code, i,
				  c->code == 0 ? " not" : "");
		if (c->code != 0)
			continue;
		if (f->number != add->files[0].file->number + (int64_t)i)
			coop_fail("files that come together are not one behind the other");
		look_at_new_file(w, &add->files[i]);
	}
}

/* Nobody deletes by the clock what nobody gave a time, or a later one. */
static void look_at_expired(const struct world *w, const struct change_delete_file *d)
{
	const struct mem_file *f = CONTAINER_OF(mem_find(&world_mem(w)->files, d->id), struct mem_file, row);

	if (f->file.expires_at == 0 || f->file.expires_at > d->expired_by)
		coop_fail("file %s is deleted before its time", short_id(d->id));
}

void oracle_look(struct world *w, const struct change *c, const struct ended *ends, size_t n_ends)
{
	const struct mem *m = world_mem(w);

	TRACE("applied: %s, %d", kind_of(c), c->code);
	if (m->jobs.last >= JOBS_MAX)
		coop_fail("more than %d jobs", JOBS_MAX);
	turns_before(w);
	look_at_missing(w, c);
	for (size_t i = 0; i < m->jobs.n; i++)
		look_at_job(w, c, CONTAINER_OF(m->jobs.rows[i], struct mem_job, row));
	turns_after(w, c);
	hooks_look(w, c, ends, c->code == 0 ? n_ends : 0);
	if (c->kind == CHANGE_ADD_FILES)
		look_at_new_files(w, c);
	if (c->code != 0)
		return;
	if (c->kind == CHANGE_MARK_DAMAGED && c->mark_damaged.at != 0 && c->mark_damaged.changed > 0)
		coop_fail("whole bytes are marked as damaged");
	if (c->kind == CHANGE_DELETE_FILE && c->delete_file.expired_by > 0)
		look_at_expired(w, &c->delete_file);
	if (c->kind == CHANGE_ADD_FILE)
		look_at_new_file(w, &c->add_file);
	tell_ends(w, ends, n_ends);
	if (c->kind == CHANGE_DELETE_FILE)
		tell(w, (struct tale){.kind = TALE_DELETED, .file = c->delete_file.id, .owner = owner_of(c->delete_file.owner)});
}
