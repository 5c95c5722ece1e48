/* Changes of jobs: claims, ends, leases. */
#include "catalog/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- ends ---- */

static void outbox_put(struct mem *m, struct mem_job *j)
{
	m->final[j->job.state]++;
	ends_add(&m->base, j->row.number, j->job.fence, j->job.finished_at);
	if (m->base.options.outbox)
		m->outbox[m->n_outbox++] = (struct mem_sent){.seq = ++m->last_seq, .row = j, .job = j->job};
	mem_deliver(m, j);
}

bool mem_reserve_ends(struct mem *m, size_t n)
{
	if (m->base.options.outbox && !mem_grow(&m->outbox, &m->cap_outbox, m->n_outbox + n, sizeof(*m->outbox)))
		return false;
	return mem_reserve_deliveries(m, n * m->webhooks_on);
}

bool mem_born_final(struct mem *m, struct mem_job *j)
{
	if (!mem_reserve_ends(m, 1))
		return false;
	outbox_put(m, j);
	return true;
}

/* The tally follows the state here and nowhere else. */
static void move(struct mem *m, struct mem_job *j, enum job_state to)
{
	assert(job_state_may(j->job.state, to));
	if (j->job.state == JOB_QUEUED)
		m->waiting--;
	else if (j->job.state == JOB_RUNNING)
		m->running--;
	j->job.state = to;
	if (to == JOB_QUEUED)
		m->waiting++;
	else if (to == JOB_RUNNING)
		m->running++;
}

bool mem_end(struct mem *m, struct mem_job *j, enum job_state state, int error, struct str detail, int64_t now)
{
	if (!mem_reserve_ends(m, 1))
		return false;
	move(m, j, state);
	j->job.error = error;
	j->job.error_detail = detail;
	j->job.finished_at = now;
	j->cancel = false;
	outbox_put(m, j);
	return true;
}

static void no_memory(struct change *ch)
{
	change_refuse(ch, ERR_NO_MEMORY, "no memory for this change");
}

/* With all that comes after it. */
static bool end_and_follow(struct mem *m, struct mem_job *j, enum job_state state, int error, struct str detail, int64_t now,
			   uint32_t *ret_ready)
{
	if (!mem_reserve_ends(m, j->file->n_jobs) || !mem_end(m, j, state, error, detail, now))
		return false;
	*ret_ready = mem_follow_end(m, j->file, now);
	return true;
}

static bool end_cancelled(struct mem *m, struct mem_job *j, int64_t now)
{
	uint32_t ready;

	return end_and_follow(m, j, JOB_CANCELLED, ERR_CANCELLED, STR("the job was cancelled"), now, &ready);
}

static void back_to_queue(struct mem *m, struct mem_job *j, int error, struct str detail)
{
	move(m, j, JOB_QUEUED);
	j->job.started_at = 0;
	j->job.error = error;
	j->job.error_detail = detail;
}

void mem_queue_again(struct mem *m, struct mem_job *j, int64_t run_at)
{
	back_to_queue(m, j, 0, (struct str){});
	j->job.attempt = j->job.losses = 0;
	j->job.run_at = run_at;
	j->job.finished_at = 0;
	j->job.result = (struct str){};
}

/* ---- claiming ---- */

static struct mem_worker *find_worker(struct mem *m, struct uuid id)
{
	for (size_t i = 0; i < m->n_workers; i++)
		if (uuid_eq(m->workers[i].id, id))
			return &m->workers[i];
	return NULL;
}

static int compare_ready(const void *a, const void *b)
{
	struct mem_job *const *x = a, *const *y = b;
	const struct job *j = &(*x)->job, *k = &(*y)->job;

	if (j->priority != k->priority)
		return j->priority < k->priority ? -1 : 1;
	if (j->run_at != k->run_at)
		return j->run_at < k->run_at ? -1 : 1;
	return (j->number > k->number) - (j->number < k->number);
}

/* The claims of a whole batch are small beside what tests put into the queue: all ready jobs are looked at. */
static size_t ready_jobs(struct mem *m, int64_t now, struct mem_job **ready)
{
	size_t n = 0;

	for (size_t i = 0; i < m->jobs.n; i++) {
		struct mem_job *j = CONTAINER_OF(m->jobs.rows[i], struct mem_job, row);

		if (j->job.state == JOB_QUEUED && j->job.run_at <= now)
			ready[n++] = j;
	}
	qsort(ready, n, sizeof(struct mem_job *), compare_ready);
	return n;
}

/* The file, or the first output of the job before. */
static bool claim_input(struct mem *m, const struct mem_job *j, struct arena *a, struct claimed *ret)
{
	const struct file *f = &j->file->file;
	const struct mem_job *before = mem_find_job(m, j->job.after);
	char name[FILE_BLOB_NAME_MAX + 1];
	struct str blob = {};

	ret->name = f->name;
	ret->type = f->type;
	ret->size = f->size;
	ret->location = f->location;
	ret->damaged = f->damaged_at != 0;
	memcpy(ret->sha256, mem_input_sha256(m, j), sizeof(ret->sha256));
	if (before) {
		ret->name = before->job.outputs[0].name;
		ret->type = before->job.outputs[0].type;
		ret->size = before->job.outputs[0].size;
		ret->location = LOCATION_FILE;
		ret->damaged = before->job.outputs[0].damaged_at != 0;
		blob = before->job.outputs[0].blob;
	} else if (f->location != LOCATION_INLINE) {
		blob = file_blob_name(name, f->owner, f->id);
	}
	ret->owner = arena_str(a, f->owner);
	ret->name = arena_str(a, ret->name);
	ret->type = arena_str(a, ret->type);
	ret->blob = blob.p ? arena_str(a, blob) : blob;
	return ret->owner.p && ret->name.p && ret->type.p && (ret->blob.p || !blob.p);
}

static bool claim_one(struct mem *m, const struct change_claim *c, struct mem_job *j, struct claimed *ret)
{
	if (!mem_copy_job(&ret->job, &j->job, c->arena) || !claim_input(m, j, c->arena, ret))
		return false;
	move(m, j, JOB_RUNNING);
	j->worker = c->worker;
	j->job.attempt++;
	j->job.fence++;
	j->job.started_at = c->now;
	j->job.error = 0;
	j->job.error_detail = (struct str){};
	ret->job.state = JOB_RUNNING;
	ret->job.attempt = j->job.attempt;
	ret->job.fence = j->job.fence;
	ret->job.started_at = c->now;
	ret->job.error = 0;
	ret->job.error_detail = (struct str){};
	return true;
}

void mem_claim(struct mem *m, struct change *ch)
{
	struct change_claim *c = &ch->claim;
	struct mem_worker *w = find_worker(m, c->worker);
	struct mem_job **ready;
	size_t n;

	c->jobs = NULL;
	c->n = 0;
	if (!w || w->expires_at <= c->now) {
		change_refuse(ch, ERR_STALE, "the worker holds no lease");
		return;
	}
	ready = calloc(m->waiting + 1, sizeof(struct mem_job *));
	if (!ready) {
		no_memory(ch);
		return;
	}
	n = ready_jobs(m, c->now, ready);
	n = n < c->max ? n : c->max;
	c->jobs = arena_alloc(c->arena, (n + 1) * sizeof(*c->jobs));
	if (!c->jobs)
		no_memory(ch);
	while (c->jobs && c->n < n && claim_one(m, c, ready[c->n], &c->jobs[c->n]))
		c->n++;
	free(ready);
}

/* ---- finishing ---- */

/* What the attempt brought, copied into the row, where it counts for nothing until the row says so. */
struct brought {
	struct job job; /* result, outputs, cached */
	struct str detail;
};

static bool bring(struct mem *m, struct change *ch, struct mem_job *j, struct brought *ret)
{
	const struct change_finish *f = &ch->finish;
	struct output outputs[OUTPUTS_MAX];
	struct job from = {.result = f->result, .outputs = outputs, .n_outputs = f->n_outputs};
	const struct mem_job *other = NULL;

	*ret = (struct brought){};
	for (size_t i = 0; i < f->n_outputs; i++)
		outputs[i] = f->outputs[i];
	if (!uuid_is_zero(f->same_as) && !j->cancel) {
		other = mem_same_work(m, f->same_as, j);
		if (!other) {
			change_refuse(ch, ERR_CONFLICT, "the work of the other job is not there any more, or was other work");
			return false;
		}
		from = other->job;
	}
	ret->job.cached = other;
	ret->job.result = from.result.p ? arena_str(&j->row.text, from.result) : from.result;
	ret->detail = f->error_detail.p ? arena_str(&j->row.text, f->error_detail) : f->error_detail;
	if ((!from.result.p || ret->job.result.p) && (!f->error_detail.p || ret->detail.p) &&
	    mem_copy_outputs(&ret->job, &from, &j->row.text))
		return true;
	no_memory(ch);
	return false;
}

/* Nobody will ask for what it made. */
static bool finish_cancelled(struct mem *m, const struct change_finish *f, struct mem_job *j)
{
	for (size_t i = 0; i < f->n_outputs; i++)
		if (!mem_doom_stage(m, f->outputs[i].blob))
			return false;
	if (!end_cancelled(m, j, f->finished_at ? f->finished_at : j->job.started_at))
		return false;
	mem_doom_staged(m);
	return true;
}

static void finish_mine(struct mem *m, struct change *ch, struct mem_job *j)
{
	struct change_finish *f = &ch->finish;
	struct brought b;

	if (!bring(m, ch, j, &b))
		return;
	if (!mem_reserve_ends(m, j->file->n_jobs)) {
		no_memory(ch);
		return;
	}
	if (f->started_at)
		j->job.started_at = f->started_at;
	if (j->cancel) {
		if (!finish_cancelled(m, f, j))
			no_memory(ch);
	} else if (f->state == JOB_QUEUED) {
		back_to_queue(m, j, f->error, b.detail);
		if (f->give_back)
			j->job.attempt--;
		if (f->retry_at > 0)
			j->job.run_at = f->retry_at;
	} else {
		j->job.result = b.job.result;
		j->job.outputs = b.job.outputs;
		j->job.n_outputs = b.job.n_outputs;
		j->job.cached = b.job.cached;
		end_and_follow(m, j, f->state, f->error, b.detail, f->finished_at, &f->ready);
	}
}

void mem_finish(struct mem *m, struct change *ch)
{
	struct change_finish *f = &ch->finish;
	struct mem_row *row = mem_find(&m->jobs, f->job);
	struct mem_job *j = row ? CONTAINER_OF(row, struct mem_job, row) : NULL;

	f->ready = 0;
	if (j)
		f->file = j->file->row.id;
	if (!j || j->job.state != JOB_RUNNING || j->job.fence != f->fence || !uuid_eq(j->worker, f->worker)) {
		change_refuse(ch, ERR_STALE, "another attempt holds the job, or it is final");
		return;
	}
	finish_mine(m, ch, j);
}

/* ---- by hand ---- */

static struct mem_job *find_own_job(struct mem *m, struct change *ch)
{
	struct change_job_ref *ref = &ch->job_ref;
	struct mem_row *row = mem_find(&m->jobs, ref->id);
	struct mem_job *j = row ? CONTAINER_OF(row, struct mem_job, row) : NULL;

	ref->was_running = false;
	if (!j || !str_eq(j->file->file.owner, ref->owner)) {
		change_refuse(ch, ERR_JOB_NOT_FOUND, "there is no job with this id");
		return NULL;
	}
	ref->file = j->file->row.id;
	return j;
}

void mem_cancel(struct mem *m, struct change *ch)
{
	struct mem_job *j = find_own_job(m, ch);

	if (!j)
		return;
	if (job_state_final(j->job.state))
		change_refuse(ch, ERR_JOB_STATE, "the job is %s already", job_state_name(j->job.state));
	else if (j->job.state == JOB_RUNNING)
		j->cancel = ch->job_ref.was_running = true;
	else if (!end_cancelled(m, j, ch->job_ref.now))
		no_memory(ch);
}

void mem_retry(struct mem *m, struct change *ch)
{
	struct mem_job *j = find_own_job(m, ch);
	const struct mem_job *before;

	if (!j)
		return;
	if (!job_state_final(j->job.state) || !job_state_may(j->job.state, JOB_QUEUED)) {
		change_refuse(ch, ERR_JOB_STATE, "the job is %s", job_state_name(j->job.state));
		return;
	}
	if (j->file->deleted_at) {
		change_refuse(ch, ERR_FILE_GONE, "the job's file was deleted");
		return;
	}
	before = mem_find_job(m, j->job.after);
	if (before && (before->job.state != JOB_SUCCEEDED || !before->job.n_outputs)) {
		change_not_ready(ch);
		return;
	}
	mem_queue_again(m, j, ch->job_ref.now);
	mem_hold_again(m, j->file);
}

/* ---- leases ---- */

void mem_beat(struct mem *m, struct change *ch)
{
	struct change_beat *b = &ch->beat;
	struct mem_worker *w = find_worker(m, b->worker);
	int64_t expires_at = b->leaving ? b->now : b->expires_at;

	if (w && w->expires_at > b->now) {
		w->expires_at = expires_at;
		return;
	}
	if (w || !b->first) {
		change_refuse(ch, ERR_STALE, "the worker's lease is lost");
		return;
	}
	if (!mem_grow(&m->workers, &m->cap_workers, m->n_workers, sizeof(*m->workers))) {
		no_memory(ch);
		return;
	}
	m->workers[m->n_workers++] = (struct mem_worker){b->worker, expires_at};
}

static bool lost(struct mem *m, const struct mem_job *j, const struct change_reclaim *r)
{
	const struct mem_worker *w = find_worker(m, j->worker);

	return r->all || !w || w->expires_at <= r->now;
}

static bool take_back(struct mem *m, struct change_reclaim *r, struct mem_job *j)
{
	uint32_t ready;

	j->job.fence++;
	j->job.losses++;
	if (j->cancel)
		return end_cancelled(m, j, r->now);
	if (j->job.losses >= LOSSES_MAX) {
		r->quarantined++;
		return end_and_follow(m, j, JOB_QUARANTINED, ERR_WORKER_LOST, STR("the worker died over this job, time and again"), r->now,
				      &ready);
	}
	r->reclaimed++;
	back_to_queue(m, j, 0, (struct str){});
	return true;
}

void mem_reclaim(struct mem *m, struct change *ch)
{
	struct change_reclaim *r = &ch->reclaim;

	r->reclaimed = r->quarantined = 0;
	for (size_t i = 0; i < m->jobs.n; i++) {
		struct mem_job *j = CONTAINER_OF(m->jobs.rows[i], struct mem_job, row);

		if (j->job.state == JOB_RUNNING && lost(m, j, r) && !take_back(m, r, j))
			no_memory(ch);
	}
}

void mem_outbox_done(struct mem *m, struct change *ch)
{
	size_t gone = 0;

	while (gone < m->n_outbox && m->outbox[gone].seq <= ch->outbox_done.upto)
		gone++;
	for (size_t i = gone; i < m->n_outbox; i++)
		m->outbox[i - gone] = m->outbox[i];
	m->n_outbox -= gone;
}
