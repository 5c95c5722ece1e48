/* Claims. All jobs are looked at, for what tests put into the queue is small; whose turn it is is known to the lanes, as in every implementation. */
#include "catalog/lanes.h"
#include "catalog/memory/memory.h"

#include <stdlib.h>
#include <string.h>

/* ---- the lanes, counted anew ---- */

struct counted {
	uint64_t waiting, running;
	int64_t head_at[LEVELS];
};

static struct lane *lane_of(struct mem *m, const struct mem_job *j)
{
	return lanes_get(&m->lanes, j->file->file.owner, j->job.op);
}

static void count_jobs(struct mem *m, struct counted *counted)
{
	for (size_t i = 0; i < m->jobs.n; i++) {
		const struct mem_job *j = CONTAINER_OF(m->jobs.rows[i], struct mem_job, row);
		struct counted *c = job_state_final(j->job.state) ? NULL : &counted[lane_of(m, j)->number - 1];

		if (c && j->job.state == JOB_RUNNING)
			c->running++;
		if (!c || j->job.state != JOB_QUEUED)
			continue;
		c->waiting++;
		if (j->job.run_at < c->head_at[j->job.priority])
			c->head_at[j->job.priority] = j->job.run_at;
	}
}

static bool make_lanes(struct mem *m)
{
	for (size_t i = 0; i < m->jobs.n; i++) {
		const struct mem_job *j = CONTAINER_OF(m->jobs.rows[i], struct mem_job, row);

		if (!job_state_final(j->job.state) && !lane_of(m, j))
			return false;
	}
	return true;
}

/* Those who take turns keep their order. */
static bool count_lanes(struct mem *m)
{
	struct lanes *l = &m->lanes;
	struct counted *counted = make_lanes(m) ? calloc(l->n_numbered + 1, sizeof(*counted)) : NULL;

	if (!counted)
		return false;
	for (size_t i = 0; i < l->n_numbered; i++)
		for (unsigned p = 0; p < LEVELS; p++)
			counted[i].head_at[p] = INT64_MAX;
	count_jobs(m, counted);
	for (size_t i = 0; i < l->n_numbered; i++) {
		lane_count(l, l->numbered[i], counted[i].waiting, counted[i].running);
		for (uint32_t p = 0; p < LEVELS; p++)
			lane_set_head(l, l->numbered[i], p, counted[i].head_at[p]);
	}
	free(counted);
	return true;
}

/* Nothing is allocated here, for nothing is written. Of more owners than a test has it is only said that there may be one. */
bool mem_newcomers(struct catalog *c)
{
	struct mem *m = CONTAINER_OF(c, struct mem, base);
	struct {
		struct str name;
		bool waits, runs;
	} owners[16] = {};
	size_t n = 0;
	bool some = false;

	pthread_mutex_lock(&m->lock);
	for (size_t i = 0; i < m->jobs.n && n < ARRAY_LEN(owners); i++) {
		const struct mem_job *j = CONTAINER_OF(m->jobs.rows[i], struct mem_job, row);
		size_t k = 0;

		if (job_state_final(j->job.state))
			continue;
		while (k < n && !str_eq(owners[k].name, j->file->file.owner))
			k++;
		if (k == n)
			owners[n++].name = j->file->file.owner;
		owners[k].waits |= j->job.state == JOB_QUEUED;
		owners[k].runs |= j->job.state == JOB_RUNNING;
	}
	for (size_t k = 0; k < n; k++)
		some |= owners[k].waits && !owners[k].runs;
	pthread_mutex_unlock(&m->lock);
	return some || n == ARRAY_LEN(owners);
}

uint64_t mem_waiting_of(const struct mem *m, struct str owner)
{
	bool wanted = m->base.options.owner_queue_max || catalog_own_quotas(&m->base);
	uint64_t n = 0;

	for (size_t i = 0; wanted && i < m->jobs.n; i++) {
		const struct mem_job *j = CONTAINER_OF(m->jobs.rows[i], struct mem_job, row);

		n += j->job.state == JOB_QUEUED && str_eq(j->file->file.owner, owner);
	}
	return n;
}

/* ---- claiming ---- */

static int by_age(const void *a, const void *b)
{
	struct mem_job *const *x = a, *const *y = b;
	const struct job *j = &(*x)->job, *k = &(*y)->job;

	if (j->run_at != k->run_at)
		return j->run_at < k->run_at ? -1 : 1;
	return (j->number > k->number) - (j->number < k->number);
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
	} else if (mem_imported(j->file)) {
		ret->damaged = mem_imported(j->file)->damaged_at != 0;
		blob = mem_imported(j->file)->blob;
	} else if (mem_has_blob(j->file)) {
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
	mem_move(m, j, JOB_RUNNING);
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

struct claim {
	struct mem *m;
	struct change_claim *c;
};

static size_t list_ready(const struct claim *x, struct lane *const *lanes, size_t n, uint32_t priority, struct mem_job **ready)
{
	size_t n_ready = 0;

	for (size_t i = 0; i < x->m->jobs.n; i++) {
		struct mem_job *j = CONTAINER_OF(x->m->jobs.rows[i], struct mem_job, row);

		if (j->job.state != JOB_QUEUED || j->job.priority != priority || j->job.run_at > x->c->now)
			continue;
		for (size_t k = 0; k < n; k++)
			if (lane_of(x->m, j) == lanes[k])
				ready[n_ready++] = j;
	}
	qsort(ready, n_ready, sizeof(struct mem_job *), by_age);
	return n_ready;
}

static int take(void *arg, struct lane *const *lanes, const uint64_t *most, size_t n, uint32_t priority, uint32_t max, uint32_t *ret_taken)
{
	struct claim *x = arg;
	struct mem *m = x->m;
	struct mem_job **ready = calloc(m->waiting + 1, sizeof(struct mem_job *));
	uint64_t left[LANES_A_TURN];
	size_t n_ready = ready ? list_ready(x, lanes, n, priority, ready) : 0;
	bool memory = ready;

	memcpy(left, most, n * sizeof(*left));
	*ret_taken = 0;
	for (size_t i = 0; memory && i < n_ready && *ret_taken < max; i++) {
		size_t k = 0;

		while (lanes[k] != lane_of(m, ready[i]))
			k++;
		if (left[k] == 0)
			continue;
		left[k]--;
		memory = claim_one(m, x->c, ready[i], &x->c->jobs[x->c->n]);
		x->c->n += memory;
		*ret_taken += memory;
	}
	free(ready);
	return memory && count_lanes(m) ? 0 : ERR_NO_MEMORY;
}

void mem_claim(struct mem *m, struct change *ch)
{
	struct change_claim *c = &ch->claim;
	struct mem_worker *w = mem_find_worker(m, c->worker);
	struct claim x = {.m = m, .c = c};
	uint64_t max = c->max < m->waiting ? c->max : m->waiting;

	c->jobs = NULL;
	c->n = 0;
	c->left = false;
	c->next_at = INT64_MAX;
	if (!w || w->expires_at <= c->now) {
		change_refuse(ch, ERR_STALE, "the worker holds no lease");
		return;
	}
	c->jobs = arena_alloc(c->arena, (max + 1) * sizeof(*c->jobs));
	if (!c->jobs || !count_lanes(m)) {
		mem_no_memory(ch);
		return;
	}
	/* what was claimed before memory ran short is claimed */
	if (lanes_claim(&m->lanes, c, take, &x) != 0 && c->n == 0)
		mem_no_memory(ch);
}
