/* What operators look at. */
#include "catalog/memory/memory.h"

#include <stdlib.h>

static bool count(struct queue_rows *rows, const struct job *j, int64_t now)
{
	struct queue_row *q = queue_row_of(rows, j->op);

	if (q == NULL)
		return false;
	q->at[j->state]++;
	q->ready += j->state == JOB_QUEUED && j->run_at <= now;
	q->held += j->state == JOB_QUEUED && j->run_at == RUN_AT_HELD;
	return true;
}

int mem_queue(struct catalog *c, int64_t now, uint32_t ended_max, struct queue_rows *rows, uint64_t *ret_ended, struct err *e)
{
	struct mem *m = mem_locked(c);
	uint64_t ended = 0;

	for (size_t i = m->jobs.n; i > 0; i--) {
		const struct job *j = &CONTAINER_OF(m->jobs.rows[i - 1], struct mem_job, row)->job;

		if (job_state_final(j->state) && ended == ended_max)
			continue;
		ended += job_state_final(j->state);
		if (!count(rows, j, now))
			return mem_unlocked(m, mem_nothing_read(e));
	}
	*ret_ended = ended;
	return mem_unlocked(m, 0);
}

int mem_workers(struct catalog *c, uint32_t max, struct arena *a, struct worker_row **ret, size_t *ret_n, struct err *e)
{
	struct worker_row *list = arena_alloc(a, max * sizeof(*list));
	struct mem *m;
	size_t n = 0;

	if (list == NULL)
		return mem_nothing_read(e);
	m = mem_locked(c);
	for (size_t i = m->n_workers; i > 0 && n < max; i--) {
		const struct mem_worker *w = &m->workers[i - 1];

		list[n] = (struct worker_row){
			.id = w->id,
			.expires_at = w->expires_at,
			.host = arena_str(a, str_of(w->host)),
			.labels = arena_str(a, str_of(w->labels)),
			.since = w->since,
			.beat_at = w->beat_at,
			.uploads_since = w->uploads_since,
			.draining = w->draining,
		};
		if (list[n].host.p == NULL || list[n].labels.p == NULL) {
			mem_unlocked(m, 0);
			return mem_nothing_read(e);
		}
		for (size_t k = 0; k < m->jobs.n; k++) {
			const struct mem_job *j = CONTAINER_OF(m->jobs.rows[k], struct mem_job, row);

			list[n].running += j->job.state == JOB_RUNNING && uuid_eq(j->worker, w->id);
		}
		n++;
	}
	*ret = list;
	*ret_n = n;
	return mem_unlocked(m, 0);
}

/* ---- damage ---- */

/* Sorted before it is cut: all that is marked is gathered first. */
struct marked {
	struct damaged_row *list;
	size_t n, cap;
};

static bool mark(struct marked *all, struct damaged_row row)
{
	if (!mem_grow(&all->list, &all->cap, all->n, sizeof(*all->list)))
		return false;
	all->list[all->n++] = row;
	return true;
}

static bool mark_file(struct marked *all, const struct mem_file *f)
{
	if (f->deleted_at || !f->file.damaged_at)
		return true;
	return mark(all, (struct damaged_row){.id = f->row.id,
					      .owner = f->file.owner,
					      .name = f->file.name,
					      .size = f->file.size,
					      .damaged_at = f->file.damaged_at});
}

static bool mark_outputs(struct marked *all, const struct mem_job *j)
{
	bool ok = true;

	for (uint32_t k = 0; ok && k < j->job.n_outputs; k++) {
		const struct output *o = &j->job.outputs[k];

		if (o->damaged_at)
			ok = mark(all, (struct damaged_row){.output = true,
							    .id = j->row.id,
							    .n = k,
							    .owner = j->file->file.owner,
							    .name = o->name,
							    .size = o->size,
							    .damaged_at = o->damaged_at});
	}
	return ok;
}

static int last_first(const void *a, const void *b)
{
	const struct damaged_row *x = a, *y = b;

	if (x->output != y->output)
		return x->output - y->output;
	return (x->damaged_at < y->damaged_at) - (x->damaged_at > y->damaged_at);
}

static bool copy_marked(struct marked *all, size_t max, struct arena *a, struct damaged_row *list, size_t *n)
{
	if (all->n > 0)
		qsort(all->list, all->n, sizeof(*all->list), last_first);
	for (; *n < all->n && *n < max; ++*n) {
		list[*n] = all->list[*n];
		list[*n].owner = arena_str(a, list[*n].owner);
		list[*n].name = arena_str(a, list[*n].name);
		if (list[*n].owner.p == NULL || list[*n].name.p == NULL)
			return false;
	}
	return true;
}

int mem_damaged(struct catalog *c, uint32_t max, struct arena *a, struct damaged_row **ret, size_t *ret_n, struct err *e)
{
	struct damaged_row *list = arena_alloc(a, max * sizeof(*list));
	struct mem *m = mem_locked(c);
	struct marked all = {};
	bool ok = list != NULL;
	size_t n = 0;

	for (size_t i = 0; ok && i < m->files.n; i++)
		ok = mark_file(&all, CONTAINER_OF(m->files.rows[i], struct mem_file, row));
	for (size_t i = 0; ok && i < m->jobs.n; i++)
		ok = mark_outputs(&all, CONTAINER_OF(m->jobs.rows[i], struct mem_job, row));
	ok = ok && copy_marked(&all, max, a, list, &n);
	free(all.list);
	if (!ok)
		return mem_unlocked(m, mem_nothing_read(e));
	*ret = list;
	*ret_n = n;
	return mem_unlocked(m, 0);
}
