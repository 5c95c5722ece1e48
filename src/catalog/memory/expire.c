/* Results that expire, see sqlite/expire.c. */
#include "catalog/memory/memory.h"

/* Until when jobs that come after it are told; 0: there are none. */
static int64_t needed_until(const struct mem_job *j, int64_t again_at)
{
	int64_t until = 0;

	for (size_t i = 0; i < j->file->n_jobs; i++) {
		const struct mem_job *k = j->file->jobs[i];

		int64_t its = k->job.expires_at ? k->job.expires_at : again_at;

		if (!k->expired_at && uuid_eq(k->job.after, j->row.id) && its > until)
			until = its;
	}
	return until;
}

static bool expire(struct mem *m, struct mem_job *j, struct change_expire_results *c)
{
	for (size_t k = 0; k < j->job.n_outputs; k++)
		if (!mem_doom_stage(m, j->job.outputs[k].blob))
			return false;
	j->job.n_outputs = 0;
	j->job.result = j->job.error_detail = (struct str){};
	j->expired_at = c->now;
	c->doomed |= mem_doom_staged(m);
	return true;
}

/* The one whose time came first. */
static struct mem_job *next_expiring(const struct mem *m, int64_t now)
{
	struct mem_job *next = NULL;

	for (size_t i = 0; i < m->jobs.n; i++) {
		struct mem_job *j = CONTAINER_OF(m->jobs.rows[i], struct mem_job, row);

		if (!j->expired_at && j->job.expires_at && j->job.expires_at <= now && (!next || j->job.expires_at < next->job.expires_at))
			next = j;
	}
	return next;
}

void mem_expire_results(struct mem *m, struct change *ch)
{
	struct change_expire_results *c = &ch->expire_results;
	struct mem_job *j;
	int64_t until;

	c->expired = c->kept = 0;
	c->doomed = false;
	while (c->expired + c->kept < c->max && (j = next_expiring(m, c->now))) {
		if ((until = needed_until(j, c->again_at)) != 0) {
			j->job.expires_at = until > c->now ? until : c->now + 1;
			c->kept++;
		} else if (expire(m, j, c)) {
			c->expired++;
		} else {
			change_refuse(ch, ERR_NO_MEMORY, "no memory for this change");
			return;
		}
	}
}

static bool is_before_another(const struct mem_job *j)
{
	for (size_t i = 0; i < j->file->n_jobs; i++)
		if (uuid_eq(j->file->jobs[i]->job.after, j->row.id))
			return true;
	return false;
}

static void out_of_file(struct mem_job *j)
{
	struct mem_file *f = j->file;
	size_t kept = 0;

	for (size_t i = 0; i < f->n_jobs; i++)
		if (f->jobs[i] != j)
			f->jobs[kept++] = f->jobs[i];
	f->n_jobs = kept;
}

/* From the newest on, for a job comes after one with a lower number. */
void mem_purge_expired(struct mem *m, int64_t before, uint32_t max)
{
	for (size_t i = m->jobs.n; i > 0 && max > 0; i--) {
		struct mem_job *j = CONTAINER_OF(m->jobs.rows[i - 1], struct mem_job, row);

		if (!j->expired_at || j->expired_at >= before || is_before_another(j))
			continue;
		out_of_file(j);
		mem_purge_job(m, j);
		max--;
	}
}
