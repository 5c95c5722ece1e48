/* The layer every call passes: checks arguments and the seal, then asks the implementation. */
#include "catalog/catalog_impl.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define KEY_MAX 255 /* bytes of an idempotency key */
#define JOBS_MAX 1000 /* jobs one change adds */
#define PARAMS_MAX 65536 /* bytes of a job's params */
#define BLOB_NAME_LEN_MAX 160 /* bytes: BLOB_NAME_MAX of blobs/blobs.h, which stands on the same floor */

/* ---- changes ---- */

int change_refuse(struct change *ch, int code, const char *fmt, ...)
{
	va_list args;

	ch->err = ERR_INIT;
	ch->err.code = code;
	va_start(args, fmt);
	vsnprintf(ch->err.detail, sizeof(ch->err.detail), fmt, args);
	va_end(args);
	ch->code = code;
	return 0;
}

static bool over(struct change *ch, bool owner, uint64_t limit, uint64_t waiting, uint64_t more, uint64_t rest)
{
	const char *whose = owner ? "an owner's part of the queue" : "the queue";

	if (!limit || (waiting <= limit && more <= limit - waiting))
		return false;
	change_refuse(ch, ERR_QUEUE_FULL, "%s takes at most %llu waiting jobs; %llu wait and %llu would be added", whose,
		      (unsigned long long)limit, (unsigned long long)waiting, (unsigned long long)more + rest);
	ch->err.limit = limit > INT64_MAX ? INT64_MAX : (int64_t)limit;
	ch->excess = waiting + more + rest - limit;
	ch->excess_of_owner = owner;
	return true;
}

struct allowance catalog_allowance(const struct catalog *c, struct quotas own)
{
	struct allowance a = {.max = {
				      [QUOTA_FILES] = c->options.owner_files_max,
				      [QUOTA_BYTES] = c->options.owner_bytes_max,
				      [QUOTA_JOBS] = c->options.owner_queue_max,
			      }};

	for (unsigned i = 0; i < QUOTAS; i++)
		if (own.max[i] != 0)
			a.max[i] = own.max[i] == QUOTA_NONE ? 0 : (uint64_t)own.max[i];
	return a;
}

bool change_has_room(const struct catalog *c, struct change *ch, uint64_t waiting, uint64_t waiting_of_owner, struct quotas own,
		     uint64_t more, uint64_t rest)
{
	return more == 0 || (!over(ch, false, c->options.queue_max, waiting, more, rest) &&
			     !over(ch, true, catalog_allowance(c, own).max[QUOTA_JOBS], waiting_of_owner, more, rest));
}

bool catalog_has_quota(const struct catalog *c)
{
	return c->options.owner_files_max > 0 || c->options.owner_bytes_max > 0 || catalog_own_quotas(c);
}

bool catalog_own_quotas(const struct catalog *c)
{
	return atomic_load(&c->own_quotas);
}

void catalog_quotas_set(struct catalog *c, struct quotas own)
{
	for (unsigned i = 0; i < QUOTAS; i++)
		if (own.max[i] != 0)
			atomic_store(&c->own_quotas, true);
}

static int check_bytes(const struct catalog *c, const struct usage *used, uint64_t size, struct err *e)
{
	uint64_t bytes = catalog_allowance(c, used->own).max[QUOTA_BYTES];

	if (bytes > 0 && (used->bytes > bytes || size > bytes - used->bytes)) {
		err_set(e, ERR_QUOTA_EXCEEDED, "the owner has %llu bytes stored, and %llu more would be too many",
			(unsigned long long)used->bytes, (unsigned long long)size);
		return err_limit(e, bytes > INT64_MAX ? INT64_MAX : (int64_t)bytes);
	}
	return 0;
}

static int quota_check(const struct catalog *c, const struct usage *used, uint64_t size, struct err *e)
{
	uint64_t files = catalog_allowance(c, used->own).max[QUOTA_FILES];

	if (files > 0 && used->files >= files) {
		err_set(e, ERR_QUOTA_EXCEEDED, "the owner has %llu files, and so many may be stored", (unsigned long long)used->files);
		return err_limit(e, files > INT64_MAX ? INT64_MAX : (int64_t)files);
	}
	return check_bytes(c, used, size, e);
}

bool change_within_quota(const struct catalog *c, struct change *ch, const struct usage *used, uint64_t size)
{
	struct err e = ERR_INIT;
	int code = quota_check(c, used, size, &e);

	if (code == 0)
		return true;
	ch->err = e;
	ch->code = code;
	return false;
}

int change_file_full(struct change *ch)
{
	change_refuse(ch, ERR_CONFLICT, "a file has %d jobs at most", JOBS_A_FILE_MAX);
	ch->err.limit = JOBS_A_FILE_MAX;
	return 0;
}

int change_not_ready(struct change *ch)
{
	return change_refuse(ch, ERR_JOB_STATE, "the job before this one has not succeeded with an output");
}

int change_still_coming(struct change *ch)
{
	return change_refuse(ch, ERR_FILE_NOT_READY, "the file's bytes are still to come: a job can only come after its import");
}

int change_not_expired(struct change *ch)
{
	return change_refuse(ch, ERR_CONFLICT, "the file's expiry was put off meanwhile");
}

int change_other_file(struct change *ch)
{
	return change_refuse(ch, ERR_JOB_STATE, "the job before this one is of another file");
}

void job_settle_waiting(struct job *job)
{
	job->state = JOB_QUEUED;
	job->cached = false;
	job->attempt = job->losses = 0;
	job->fence = 0;
	job->started_at = job->finished_at = 0;
	job->error = 0;
	job->error_detail = job->result = (struct str){};
	job->outputs = NULL;
	job->n_outputs = 0;
	if (job->run_at == RUN_AT_HELD)
		job->run_at = job->created_at;
}

void job_settle_done(struct job *job)
{
	job->state = JOB_SUCCEEDED;
	job->cached = true;
	job->started_at = job->finished_at = job->created_at;
}

bool job_born_final(const struct job *job)
{
	return job->state != JOB_QUEUED && !job->cached;
}

size_t change_jobs_before(const struct change_add_jobs *add, size_t i)
{
	size_t n = 0;

	for (size_t k = 0; k < i; k++)
		n += add->jobs[k].file_number == add->jobs[i].file_number;
	return n;
}

/* Refuses what a caller should have checked: the field says what. */
static bool invalid(struct change *ch, const char *field)
{
	change_refuse(ch, ERR_INVALID_VALUE, "the change cannot be stored as it is");
	err_field(&ch->err, field);
	return false;
}

static bool job_allowed(struct change *ch, const struct job *job)
{
	if (uuid_is_zero(job->id))
		return invalid(ch, "id");
	if (job->op.len == 0)
		return invalid(ch, "op");
	if (!job->params.p || job->params.len > PARAMS_MAX)
		return invalid(ch, "params");
	if (job->priority > PRIORITY_MAX)
		return invalid(ch, "priority");
	if (job->max_attempts == 0)
		return invalid(ch, "max_attempts");
	if (job->created_at <= 0 || job->run_at < 0 || (job->run_at == RUN_AT_HELD && uuid_is_zero(job->after)))
		return invalid(ch, "run_at");
	return true;
}

/* A job that rode along with the upload is born final; it never had a fence, and ended well or badly. */
static bool fused_allowed(struct change *ch, const struct job *job)
{
	if (job->state != JOB_SUCCEEDED && job->state != JOB_FAILED)
		return invalid(ch, "state");
	if (job->finished_at <= 0)
		return invalid(ch, "finished_at");
	if (!uuid_is_zero(job->after))
		return invalid(ch, "after");
	if (job->n_outputs)
		return invalid(ch, "outputs");
	return true;
}

/* Nothing is there yet that a job of a new file could come after but the jobs before it in the list. */
static bool after_in_list(const struct file *f, size_t i)
{
	if (uuid_is_zero(f->jobs[i].after))
		return true;
	for (size_t k = 0; k < i; k++)
		if (uuid_eq(f->jobs[k].id, f->jobs[i].after))
			return true;
	return false;
}

/* A file without bytes yet: they come by its first job, and nothing but what comes after that one can work on them. */
static bool coming_allowed(struct change *ch)
{
	const struct file *f = ch->add_file.file;

	if (f->n_jobs == 0 || !uuid_is_zero(f->jobs[0].after) || job_born_final(&f->jobs[0]) || f->size > 0)
		return invalid(ch, "location");
	for (size_t i = 1; i < f->n_jobs; i++)
		if (uuid_is_zero(f->jobs[i].after))
			return invalid(ch, "after");
	return true;
}

static bool add_file_allowed(struct change *ch, const struct change_add_file *add)
{
	const struct file *f = add->file;

	if (!f || uuid_is_zero(f->id))
		return invalid(ch, "id");
	if (f->owner.len == 0 || f->owner.len > OWNER_MAX)
		return invalid(ch, "owner");
	if (f->name.len == 0 || f->name.len > NAME_MAX_BYTES)
		return invalid(ch, "name");
	if (!f->type.p || f->type.len > TYPE_MAX_BYTES)
		return invalid(ch, "type");
	if (!f->labels.p)
		return invalid(ch, "labels");
	if (f->size > INT64_MAX)
		return invalid(ch, "size");
	if ((unsigned)f->location > LOCATION_COMING || (f->location == LOCATION_INLINE && add->bytes.len != f->size))
		return invalid(ch, "location");
	if (f->location == LOCATION_COMING && !coming_allowed(ch))
		return false;
	if (f->created_at <= 0)
		return invalid(ch, "created_at");
	if (f->n_jobs > OPS_MAX)
		return invalid(ch, "ops");
	if (add->idempotency_key.p && (add->idempotency_key.len == 0 || add->idempotency_key.len > KEY_MAX))
		return invalid(ch, "idempotency_key");
	for (size_t i = 0; i < f->n_jobs; i++) {
		if (!job_allowed(ch, &f->jobs[i]))
			return false;
		if (job_born_final(&f->jobs[i]) && !fused_allowed(ch, &f->jobs[i]))
			return false;
		if (!after_in_list(f, i))
			return invalid(ch, "after");
	}
	return true;
}

static bool add_files_allowed(struct change *ch)
{
	struct change_add_files *add = &ch->add_files;

	if (add->n == 0 || add->n > FILES_AT_ONCE_MAX)
		return invalid(ch, "files");
	for (size_t i = 0; i < add->n; i++) {
		const struct change_add_file *one = &add->files[i];

		add->failed_index = i;
		if (one->idempotency_key.p)
			return invalid(ch, "idempotency_key");
		if (one->file && one->file->location == LOCATION_COMING)
			return invalid(ch, "location");
		if (!add_file_allowed(ch, one))
			return false;
		if (!str_eq(one->file->owner, add->files[0].file->owner))
			return invalid(ch, "owner");
	}
	add->failed_index = 0;
	return true;
}

static bool add_jobs_allowed(struct change *ch)
{
	struct change_add_jobs *add = &ch->add_jobs;

	if (add->n == 0 || add->n > JOBS_MAX)
		return invalid(ch, "jobs");
	for (size_t i = 0; i < add->n; i++) {
		add->failed_index = i;
		if (!job_allowed(ch, &add->jobs[i]))
			return false;
	}
	add->failed_index = 0;
	return true;
}

static bool output_allowed(const struct output *o)
{
	return o->name.len > 0 && o->name.len <= NAME_MAX_BYTES && o->type.p && o->type.len <= TYPE_MAX_BYTES && o->size <= INT64_MAX &&
	       o->blob.len > 0 && o->blob.len <= BLOB_NAME_LEN_MAX;
}

static bool outputs_allowed(struct change *ch)
{
	const struct change_finish *f = &ch->finish;
	bool same = !uuid_is_zero(f->same_as);

	if (same && (f->state != JOB_SUCCEEDED || f->n_outputs || f->result.p))
		return invalid(ch, "same_as");
	if (f->n_outputs > OUTPUTS_MAX || (f->n_outputs && f->state != JOB_SUCCEEDED))
		return invalid(ch, "outputs");
	for (size_t i = 0; i < f->n_outputs; i++)
		if (!output_allowed(&f->outputs[i]))
			return invalid(ch, "outputs");
	return true;
}

static bool finish_allowed(struct change *ch)
{
	const struct change_finish *f = &ch->finish;

	if (!job_state_may(JOB_RUNNING, f->state) || f->state == JOB_QUARANTINED)
		return invalid(ch, "state");
	if (f->state != JOB_QUEUED && f->finished_at <= 0)
		return invalid(ch, "finished_at");
	if (f->state == JOB_QUEUED && !f->give_back && f->retry_at <= 0)
		return invalid(ch, "retry_at");
	return outputs_allowed(ch);
}

static bool patch_allowed(struct change *ch)
{
	const struct change_patch_file *p = &ch->patch_file;

	if (p->name.p && (p->name.len == 0 || p->name.len > NAME_MAX_BYTES))
		return invalid(ch, "name");
	if (p->set_expires && p->expires_at < 0)
		return invalid(ch, "expires_at");
	return true;
}

static bool mark_allowed(struct change *ch)
{
	const struct change_mark_damaged *d = &ch->mark_damaged;

	if (uuid_is_zero(d->file) && d->blob.len == 0)
		return invalid(ch, "file");
	return d->at < 0 ? invalid(ch, "at") : true;
}

static_assert(offsetof(struct change, recurring.add) == offsetof(struct change, add_jobs));

static bool recurring_allowed(struct change *ch)
{
	const struct recurring_state *to = &ch->recurring.to;

	if (to->name.len == 0 || to->name.len > RECURRING_NAME_MAX)
		return invalid(ch, "name");
	if (ch->recurring.forget)
		return ch->recurring.add.n == 0 ? true : invalid(ch, "jobs");
	if (!to->schedule.p || to->schedule.len > RECURRING_SCHEDULE_MAX)
		return invalid(ch, "schedule");
	if (to->due_at <= 0)
		return invalid(ch, "due_at");
	if (to->since < 0 || to->upto < to->since || to->before <= to->since || to->before > to->upto + 1)
		return invalid(ch, "before");
	return ch->recurring.add.n == 0 || add_jobs_allowed(ch);
}

bool recurring_as_it_was(struct change *ch, const struct recurring_state *now)
{
	const struct change_recurring *r = &ch->recurring;

	if (now ? r->was_there && now->due_at == r->was_due_at && now->before == r->was_before : !r->was_there)
		return true;
	change_refuse(ch, ERR_STALE, "the entry has gone on meanwhile");
	return false;
}

bool change_leaves_entry(const struct change *ch)
{
	if (ch->code != 0 || !ch->audit.p)
		return false;
	if (ch->kind == CHANGE_ADD_FILE)
		return !ch->add_file.replayed;
	if (ch->kind == CHANGE_ADD_SECRET)
		return ch->add_secret.added;
	return ch->kind != CHANGE_MARK_DAMAGED || ch->mark_damaged.changed > 0;
}

/* Of its kind. */
static bool kind_allowed(struct change *ch)
{
	switch (ch->kind) {
	case CHANGE_ADD_FILE:
		return add_file_allowed(ch, &ch->add_file);
	case CHANGE_ADD_FILES:
		return add_files_allowed(ch);
	case CHANGE_ADD_JOBS:
		return add_jobs_allowed(ch);
	case CHANGE_CLAIM:
		return ch->claim.arena ? true : invalid(ch, "arena");
	case CHANGE_FINISH:
		return finish_allowed(ch);
	case CHANGE_PATCH_FILE:
		return patch_allowed(ch);
	case CHANGE_BEAT:
		if (uuid_is_zero(ch->beat.worker))
			return invalid(ch, "worker");
		return ch->beat.host.len > NODE_HOST_MAX       ? invalid(ch, "host")
		       : ch->beat.labels.len > NODE_LABELS_MAX ? invalid(ch, "labels")
							       : true;
	case CHANGE_MARK_DAMAGED:
		return mark_allowed(ch);
	case CHANGE_RECURRING:
		return recurring_allowed(ch);
	case CHANGE_ADD_WEBHOOK:
	case CHANGE_PATCH_WEBHOOK:
	case CHANGE_ROTATE_WEBHOOK:
	case CHANGE_DELETE_WEBHOOK:
	case CHANGE_ADD_PING:
	case CHANGE_ATTEMPT:
	case CHANGE_REPLAY:
		return webhook_change_allowed(ch);
	case CHANGE_ADD_SECRET:
	case CHANGE_ADD_ACCOUNT:
	case CHANGE_PATCH_ACCOUNT:
	case CHANGE_DELETE_ACCOUNT:
	case CHANGE_ADD_SESSION:
	case CHANGE_END_SESSION:
	case CHANGE_TOUCH_SESSION:
	case CHANGE_ADD_KEY:
	case CHANGE_REVOKE_KEY:
		return account_change_allowed(ch);
	case CHANGE_AUDIT:
		return ch->audit.p ? true : invalid(ch, "audit");
	case CHANGE_EXPIRE_RESULTS:
		return ch->expire_results.again_at > ch->expire_results.now ? true : invalid(ch, "again_at");
	case CHANGE_LINE:
		return ch->line.step >= LINE_SOLE || ch->line.word > 0 ? true : invalid(ch, "word");
	case CHANGE_SCRUB_POSITION:
	case CHANGE_AUDIT_DONE:
	case CHANGE_RECLAIM:
	case CHANGE_CANCEL_JOB:
	case CHANGE_RETRY_JOB:
	case CHANGE_DELETE_FILE:
	case CHANGE_BLOB_GONE:
	case CHANGE_OUTBOX_DONE:
	case CHANGE_PURGE:
	case CHANGE_ONCE:
	case CHANGE_PROBE:
		return true;
	}
	return invalid(ch, "kind");
}

bool change_allowed(struct change *ch)
{
	ch->code = 0;
	if (ch->audit.p && (ch->audit.len < 2 || ch->audit.len > AUDIT_ENTRY_MAX))
		return invalid(ch, "audit");
	return once_allowed(ch) && kind_allowed(ch);
}

int64_t result_expires_at(const struct catalog_options *o, int64_t finished_at)
{
	return o->results_keep_ms > 0 ? finished_at + o->results_keep_ms : 0;
}

/* ---- what became final ---- */

void ends_begin(struct catalog *c)
{
	c->ends.n = c->ends.change = 0;
	c->ends.lost = false;
	c->deliveries = 0;
}

void ends_of_change(struct catalog *c, size_t change)
{
	c->ends.change = change;
}

void ends_add(struct catalog *c, int64_t job, int64_t fence, int64_t finished_at, enum job_state state)
{
	if (c->ends.n == c->ends.cap) {
		size_t cap = c->ends.cap > 0 ? 2 * c->ends.cap : 64;
		struct ended *more = realloc(c->ends.list, cap * sizeof(*more));
		if (!more) {
			c->ends.lost = true;
			return;
		}
		c->ends.list = more;
		c->ends.cap = cap;
	}
	c->ends.list[c->ends.n++] =
		(struct ended){.change = c->ends.change, .job = job, .fence = fence, .finished_at = finished_at, .state = state};
}

/* A change that was refused in the midst ended nothing. */
static void ends_forget_refused(struct catalog *c, struct change *const *changes)
{
	size_t kept = 0;

	for (size_t i = 0; i < c->ends.n; i++)
		if (changes[c->ends.list[i].change]->code == 0)
			c->ends.list[kept++] = c->ends.list[i];
	c->ends.n = kept;
}

const struct ended *catalog_ends(const struct catalog *c, size_t *ret_n, bool *ret_whole)
{
	*ret_n = c->ends.n;
	*ret_whole = !c->ends.lost;
	return c->ends.list;
}

int catalog_apply(struct catalog *c, struct change *const *changes, size_t n, struct err *e)
{
	int rc;

	ends_begin(c);
	if (atomic_load(&c->sealed))
		return err_set(e, ERR_STORAGE_SEALED, "a flush of the catalogue failed; a restart recovers what is on disk");
	if (n == 0)
		return 0;
	rc = c->options.enter != NULL ? c->options.enter(c->options.gate, e) : 0;
	if (rc != 0)
		return rc;
	rc = c->ops->apply(c, changes, n, e);
	if (c->options.leave != NULL)
		c->options.leave(c->options.gate);
	if (rc == 0)
		ends_forget_refused(c, changes);
	else
		ends_begin(c);
	return rc;
}

/* ---- life ---- */

void catalog_free(struct catalog *c)
{
	if (!c)
		return;
	free(c->ends.list);
	c->ops->free(c);
}

void catalog_idle(struct catalog *c)
{
	if (!atomic_load(&c->sealed))
		c->ops->idle(c);
}

bool catalog_sealed(const struct catalog *c)
{
	return atomic_load(&c->sealed);
}

/* ---- reading ---- */

struct page page_within(struct page p)
{
	if (p.limit < 1)
		p.limit = 1;
	if (p.limit > 200)
		p.limit = 200;
	if (p.before <= 0)
		p.before = INT64_MAX;
	return p;
}

static uint32_t max_within(uint32_t max)
{
	return max < 1 ? 1 : max > 10000 ? 10000 : max;
}

int catalog_file(struct catalog *c, struct file_key key, struct str owner, struct arena *a, struct file *ret, struct err *e)
{
	return c->ops->file(c, key, owner, a, ret, e);
}

int catalog_inline_bytes(struct catalog *c, struct uuid file, struct buf *out, struct err *e)
{
	return c->ops->inline_bytes(c, file, out, e);
}

int catalog_job(struct catalog *c, struct uuid id, int64_t number, struct str owner, struct arena *a, struct job *ret, struct err *e)
{
	return c->ops->job(c, id, number, owner, a, ret, e);
}

int catalog_ended_job(struct catalog *c, const struct ended *end, struct arena *a, struct job *ret, struct str *ret_owner, struct err *e)
{
	struct job job;
	struct str owner;
	int rc = c->ops->ended_job(c, end->job, a, &job, &owner, e);

	if (rc != 0)
		return rc;
	if (!job_state_final(job.state) || job.fence != end->fence || job.finished_at != end->finished_at)
		return err_set(e, ERR_JOB_NOT_FOUND, "the job was queued again");
	*ret = job;
	*ret_owner = owner;
	return 0;
}

int catalog_list_files(struct catalog *c, const struct file_filter *f, struct page page, struct arena *a, struct file **ret, size_t *ret_n,
		       int64_t *ret_next, struct err *e)
{
	return c->ops->list_files(c, f, page_within(page), a, ret, ret_n, ret_next, e);
}

int catalog_list_jobs(struct catalog *c, const struct job_filter *f, struct page page, struct arena *a, struct job **ret, size_t *ret_n,
		      int64_t *ret_next, struct err *e)
{
	return c->ops->list_jobs(c, f, page_within(page), a, ret, ret_n, ret_next, e);
}

int catalog_stats(struct catalog *c, int64_t now, struct catalog_stats *ret, struct err *e)
{
	return c->ops->stats(c, now, ret, e);
}

int catalog_depth(struct catalog *c, int64_t now, struct catalog_depth *ret, struct err *e)
{
	return c->ops->depth(c, now, ret, e);
}

int catalog_next_run_at(struct catalog *c, int64_t *ret, struct err *e)
{
	return c->ops->next_run_at(c, ret, e);
}

int catalog_usage(struct catalog *c, struct str owner, struct usage *ret, struct err *e)
{
	return c->ops->usage(c, owner, ret, e);
}

int catalog_import_counts(struct catalog *c, struct str owner, struct import_counts *ret, struct err *e)
{
	return c->ops->import_counts(c, owner, ret, e);
}

int catalog_quota_room(struct catalog *c, struct str owner, uint64_t size, struct err *e)
{
	struct usage used;

	if (!catalog_has_quota(c))
		return 0;
	int rc = c->ops->usage(c, owner, &used, e);
	return rc != 0 ? rc : quota_check(c, &used, size, e);
}

int catalog_quota_bytes(struct catalog *c, struct str owner, uint64_t size, struct err *e)
{
	struct usage used;

	if (!catalog_has_quota(c))
		return 0;
	int rc = c->ops->usage(c, owner, &used, e);
	return rc != 0 ? rc : check_bytes(c, &used, size, e);
}

bool catalog_newcomers(struct catalog *c)
{
	return c->ops->newcomers(c);
}

int catalog_artifact(struct catalog *c, struct str owner, struct str op, uint32_t op_version, struct str params, const uint8_t sha256[32],
		     struct uuid *ret, struct err *e)
{
	return c->ops->artifact(c, owner, op, op_version, params, sha256, ret, e);
}

int catalog_blob_referenced(struct catalog *c, struct str blob, bool *ret, struct err *e)
{
	return c->ops->blob_referenced(c, blob, ret, e);
}

int catalog_doomed(struct catalog *c, struct str after, uint32_t max, struct arena *a, struct str **ret, size_t *ret_n, struct err *e)
{
	return c->ops->doomed(c, after, max_within(max), a, ret, ret_n, e);
}

int catalog_blob_doomed(struct catalog *c, struct str blob, bool *ret, struct err *e)
{
	return c->ops->blob_doomed(c, blob, ret, e);
}

int catalog_stored(struct catalog *c, struct stored_at after, uint32_t max, struct arena *a, struct stored **ret, size_t *ret_n,
		   struct err *e)
{
	return c->ops->stored(c, after, max_within(max), a, ret, ret_n, e);
}

int catalog_line(struct catalog *c, struct catalog_line *ret, struct err *e)
{
	return c->ops->line(c, ret, e);
}

int catalog_scrub_position(struct catalog *c, struct scrub_position *ret, struct err *e)
{
	return c->ops->scrub_position(c, ret, e);
}

int catalog_damaged_count(struct catalog *c, uint64_t *ret, struct err *e)
{
	return c->ops->damaged_count(c, ret, e);
}

int catalog_check(struct catalog *c, catalog_finding_fn *tell, void *arg, struct err *e)
{
	return c->ops->check(c, tell, arg, e);
}

int catalog_expired(struct catalog *c, int64_t now, uint32_t max, struct arena *a, struct expired **ret, size_t *ret_n, struct err *e)
{
	return c->ops->expired(c, now, max_within(max), a, ret, ret_n, e);
}

int catalog_recurring(struct catalog *c, struct arena *a, struct recurring_state **ret, size_t *ret_n, struct err *e)
{
	return c->ops->recurring(c, a, ret, ret_n, e);
}

int catalog_outbox(struct catalog *c, int64_t after, uint32_t max, struct arena *a, struct outbox_entry **ret, size_t *ret_n, struct err *e)
{
	return c->ops->outbox(c, after, max_within(max), a, ret, ret_n, e);
}

int catalog_audit(struct catalog *c, int64_t after, uint32_t max, struct arena *a, struct audit_entry **ret, size_t *ret_n, struct err *e)
{
	return c->ops->audit(c, after, max_within(max), a, ret, ret_n, e);
}

int catalog_audit_head(struct catalog *c, struct audit_head *ret, struct err *e)
{
	return c->ops->audit_head(c, ret, e);
}
