/* Changes of jobs: ends, leases. */
#include "catalog/memory/memory.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- ends ---- */

static void outbox_put(struct mem *m, struct mem_job *j)
{
	m->final[j->job.state]++;
	j->job.expires_at = j->file->import == j ? 0 : result_expires_at(&m->base.options, j->job.finished_at);
	ends_add(&m->base, j->row.number, j->job.fence, j->job.finished_at, j->job.state);
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
void mem_move(struct mem *m, struct mem_job *j, enum job_state to)
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
	mem_move(m, j, state);
	j->job.error = error;
	j->job.error_detail = detail;
	j->job.finished_at = now;
	j->cancel = false;
	outbox_put(m, j);
	return true;
}

void mem_no_memory(struct change *ch)
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
	mem_move(m, j, JOB_QUEUED);
	j->job.started_at = 0;
	j->job.error = error;
	j->job.error_detail = detail;
}

void mem_queue_again(struct mem *m, struct mem_job *j, int64_t run_at)
{
	back_to_queue(m, j, 0, (struct str){});
	j->job.attempt = j->job.losses = j->job.refused = 0;
	j->job.run_at = run_at;
	j->job.finished_at = j->job.expires_at = 0;
	j->job.result = (struct str){};
}

struct mem_worker *mem_find_worker(struct mem *m, struct uuid id)
{
	for (size_t i = 0; i < m->n_workers; i++)
		if (uuid_eq(m->workers[i].id, id))
			return &m->workers[i];
	return NULL;
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
	mem_no_memory(ch);
	return false;
}

/* Nobody will ask for what it made. */
static bool finish_cancelled(struct mem *m, struct change_finish *f, struct mem_job *j)
{
	for (size_t i = 0; i < f->n_outputs; i++)
		if (!mem_doom_stage(m, f->outputs[i].blob))
			return false;
	if (!end_cancelled(m, j, f->finished_at ? f->finished_at : j->job.started_at))
		return false;
	f->doomed = mem_doom_staged(m);
	return true;
}

/* What the import made is its file's content from here on. */
static void file_came(struct mem_file *f, const struct output *o)
{
	f->file.location = LOCATION_IMPORTED;
	f->file.size = o->size;
	f->file.type = o->type; /* of the import's row, which lives as long as the file's */
	memcpy(f->file.sha256, o->sha256, sizeof(f->file.sha256));
}

static void finish_mine(struct mem *m, struct change *ch, struct mem_job *j)
{
	struct change_finish *f = &ch->finish;
	struct brought b;

	if (!bring(m, ch, j, &b))
		return;
	if (!mem_reserve_ends(m, j->file->n_jobs)) {
		mem_no_memory(ch);
		return;
	}
	if (f->started_at)
		j->job.started_at = f->started_at;
	if (j->cancel) {
		if (!finish_cancelled(m, f, j))
			mem_no_memory(ch);
	} else if (f->state == JOB_QUEUED) {
		back_to_queue(m, j, f->error, b.detail);
		if (f->give_back)
			j->job.attempt--;
		j->job.refused = !f->give_back ? 0 : f->refused ? j->job.refused + 1 : j->job.refused;
		if (f->retry_at > 0)
			j->job.run_at = f->retry_at;
	} else {
		j->job.result = b.job.result;
		j->job.outputs = b.job.outputs;
		j->job.n_outputs = b.job.n_outputs;
		j->job.cached = b.job.cached;
		if (j->file->import == j && f->state == JOB_SUCCEEDED && j->job.n_outputs > 0)
			file_came(j->file, j->job.outputs);
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
	if (j->expired_at && !j->file->deleted_at) {
		change_refuse(ch, ERR_JOB_GONE, JOB_EXPIRED_DETAIL);
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
		mem_no_memory(ch);
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
	if (!change_has_room(&m->base, ch, m->waiting, mem_waiting_of(m, ch->job_ref.owner), mem_quotas_of(m, ch->job_ref.owner), 1, 0))
		return;
	mem_queue_again(m, j, ch->job_ref.now);
	mem_hold_again(m, j->file);
}

/* ---- leases ---- */

static void note_node(struct mem_worker *w, struct change_beat *b)
{
	w->expires_at = b->leaving ? b->now : b->expires_at;
	w->beat_at = b->now;
	w->uploads_since = b->uploads_since;
	w->draining = b->draining;
	b->holds = DUTIES_ALL;
}

void mem_beat(struct mem *m, struct change *ch)
{
	struct change_beat *b = &ch->beat;
	struct mem_worker *w = mem_find_worker(m, b->worker);

	b->clock_at = 0;
	if (w && w->expires_at > b->now) {
		note_node(w, b);
		return;
	}
	if (w || !b->first) {
		change_refuse(ch, ERR_STALE, "the worker's lease is lost");
		return;
	}
	if (!mem_grow(&m->workers, &m->cap_workers, m->n_workers, sizeof(*m->workers))) {
		mem_no_memory(ch);
		return;
	}
	w = &m->workers[m->n_workers++];
	*w = (struct mem_worker){.id = b->worker, .since = b->now};
	snprintf(w->host, sizeof(w->host), "%.*s", (int)b->host.len, b->host.p != NULL ? b->host.p : "");
	snprintf(w->labels, sizeof(w->labels), "%.*s", (int)b->labels.len, b->labels.p != NULL ? b->labels.p : "");
	note_node(w, b);
}

static bool lost(struct mem *m, const struct mem_job *j, const struct change_reclaim *r)
{
	const struct mem_worker *w = mem_find_worker(m, j->worker);

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
			mem_no_memory(ch);
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
