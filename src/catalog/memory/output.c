/* What jobs made, work that was done before, blobs whose bytes have to go. */
#include "catalog/memory/memory.h"

#include <assert.h>
#include <string.h>

struct mem_job *mem_find_job(const struct mem *m, struct uuid id)
{
	struct mem_row *row = uuid_is_zero(id) ? NULL : mem_find(&m->jobs, id);

	return row ? CONTAINER_OF(row, struct mem_job, row) : NULL;
}

bool mem_copy_outputs(struct job *ret, const struct job *job, struct arena *a)
{
	struct output *list = job->n_outputs ? arena_alloc(a, job->n_outputs * sizeof(*list)) : NULL;

	if (job->n_outputs && !list)
		return false;
	for (size_t i = 0; i < job->n_outputs; i++) {
		list[i] = job->outputs[i];
		list[i].name = arena_str(a, job->outputs[i].name);
		list[i].type = arena_str(a, job->outputs[i].type);
		list[i].blob = arena_str(a, job->outputs[i].blob);
		if (!list[i].name.p || !list[i].type.p || !list[i].blob.p)
			return false;
	}
	ret->outputs = list;
	ret->n_outputs = job->n_outputs;
	return true;
}

/* ---- work done before ---- */

const uint8_t *mem_input_sha256(const struct mem *m, const struct mem_job *j)
{
	const struct mem_job *before;

	if (uuid_is_zero(j->job.after))
		return j->file->file.sha256;
	before = mem_find_job(m, j->job.after);
	return before && before->job.n_outputs ? before->job.outputs[0].sha256 : NULL;
}

static bool same_words(const struct job *a, const struct job *b)
{
	return str_eq(a->op, b->op) && a->op_version == b->op_version && str_eq(a->params, b->params);
}

static bool same_input(const struct mem *m, const struct mem_job *j, const uint8_t sha256[32])
{
	const uint8_t *other = mem_input_sha256(m, j);

	return other && sha256 && memcmp(other, sha256, 32) == 0;
}

static bool work_is_there(const struct mem_job *j, struct str owner)
{
	return j->job.state == JOB_SUCCEEDED && !j->expired_at && !j->file->deleted_at && str_eq(j->file->file.owner, owner);
}

const struct mem_job *mem_done_elsewhere(const struct mem *m, struct str owner, const struct job *job, const uint8_t sha256[32])
{
	for (size_t i = 0; i < m->jobs.n; i++) {
		const struct mem_job *j = CONTAINER_OF(m->jobs.rows[i], struct mem_job, row);

		if (j->job.fence && (j->job.result.p || j->job.n_outputs) && work_is_there(j, owner) && same_words(&j->job, job) &&
		    same_input(m, j, sha256) && mem_whole(m, j))
			return j;
	}
	return NULL;
}

const struct mem_job *mem_done_here(const struct mem *m, const struct mem_file *f, const struct job *job)
{
	for (size_t i = 0; i < f->n_jobs; i++) {
		const struct mem_job *j = f->jobs[i];

		if (j->job.state == JOB_SUCCEEDED && !j->expired_at && uuid_is_zero(j->job.after) && same_words(&j->job, job) &&
		    mem_whole(m, j))
			return j;
	}
	return NULL;
}

const struct mem_job *mem_same_work(const struct mem *m, struct uuid id, const struct mem_job *job)
{
	const struct mem_job *j = mem_find_job(m, id);

	if (!j || !work_is_there(j, job->file->file.owner) || !same_words(&j->job, &job->job) || !mem_whole(m, j))
		return NULL;
	return same_input(m, j, mem_input_sha256(m, job)) ? j : NULL;
}

/* ---- blobs ---- */

bool mem_output_used(const struct mem *m, struct str blob)
{
	for (size_t i = 0; i < m->jobs.n; i++) {
		const struct job *j = &CONTAINER_OF(m->jobs.rows[i], struct mem_job, row)->job;

		for (size_t k = 0; k < j->n_outputs; k++)
			if (str_eq(j->outputs[k].blob, blob))
				return true;
	}
	return false;
}

bool mem_doom_stage(struct mem *m, struct str blob)
{
	struct str copy = arena_str(&m->names, blob);

	if (!copy.p || !mem_grow(&m->doomed, &m->cap_doomed, m->n_doomed + m->n_staged, sizeof(*m->doomed)))
		return false;
	m->doomed[m->n_doomed + m->n_staged++] = copy;
	return true;
}

static bool is_doomed(const struct mem *m, struct str blob)
{
	for (size_t i = 0; i < m->n_doomed; i++)
		if (str_eq(m->doomed[i], blob))
			return true;
	return false;
}

bool mem_doom_staged(struct mem *m)
{
	size_t first = m->n_doomed, n = m->n_staged;
	bool any = false;

	m->n_staged = 0;
	for (size_t i = first; i < first + n; i++) {
		struct str blob = m->doomed[i];

		if (mem_output_used(m, blob))
			continue;
		any = true;
		if (!is_doomed(m, blob))
			m->doomed[m->n_doomed++] = blob;
	}
	return any;
}

void mem_blob_gone(struct mem *m, struct change *ch)
{
	for (size_t i = 0; i < m->n_doomed; i++) {
		if (!str_eq(m->doomed[i], ch->blob_gone.blob))
			continue;
		m->doomed[i] = m->doomed[--m->n_doomed];
		return;
	}
}
