/* Reads. Everything handed out is copied into the caller's arena under the lock. */
#include "catalog/memory/memory.h"

#include <stdlib.h>
#include <string.h>

struct mem *mem_locked(struct catalog *c)
{
	struct mem *m = CONTAINER_OF(c, struct mem, base);

	pthread_mutex_lock(&m->lock);
	return m;
}

int mem_unlocked(struct mem *m, int r)
{
	pthread_mutex_unlock(&m->lock);
	return r;
}

int mem_nothing_read(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, "no memory for what was read");
}

static int copy_file(struct file *ret, const struct mem_file *f, struct arena *a, struct err *e)
{
	struct file out = f->file;

	out.owner = arena_str(a, f->file.owner);
	out.name = arena_str(a, f->file.name);
	out.type = arena_str(a, f->file.type);
	out.labels = arena_str(a, f->file.labels);
	out.jobs = arena_alloc(a, (f->n_jobs + 1) * sizeof(*out.jobs));
	if (mem_imported(f)) {
		out.damaged_at = mem_imported(f)->damaged_at;
		out.blob = arena_str(a, mem_imported(f)->blob);
		if (!out.blob.p)
			return mem_nothing_read(e);
	}
	if (!out.owner.p || !out.name.p || !out.type.p || !out.labels.p || !out.jobs)
		return mem_nothing_read(e);
	for (size_t i = 0; i < f->n_jobs; i++)
		if (!f->jobs[i]->expired_at && !mem_copy_job(&out.jobs[out.n_jobs++], &f->jobs[i]->job, a))
			return mem_nothing_read(e);
	*ret = out;
	return 0;
}

int mem_file(struct catalog *c, struct file_key key, struct str owner, struct arena *a, struct file *ret, struct err *e)
{
	struct mem *m = mem_locked(c);
	struct mem_row *row = key.number > 0 ? mem_find_number(&m->files, key.number) : mem_find(&m->files, key.id);
	const struct mem_file *f = row ? CONTAINER_OF(row, struct mem_file, row) : NULL;
	int r;

	if (!f || !owner_sees(owner, f->file.owner))
		r = err_set(e, ERR_FILE_NOT_FOUND, "there is no file with this id");
	else if (f->deleted_at)
		r = err_set(e, ERR_FILE_GONE, "the file was deleted");
	else
		r = copy_file(ret, f, a, e);
	return mem_unlocked(m, r);
}

int mem_inline_bytes(struct catalog *c, struct uuid file, struct buf *out, struct err *e)
{
	struct mem *m = mem_locked(c);
	struct mem_row *row = mem_find(&m->files, file);
	const struct mem_file *f = row ? CONTAINER_OF(row, struct mem_file, row) : NULL;

	if (!f || !f->bytes.p)
		return mem_unlocked(m, err_set(e, ERR_FILE_NOT_FOUND, "there are no bytes of this file"));
	buf_add_str(out, f->bytes);
	return mem_unlocked(m, buf_ok(out) ? 0 : mem_nothing_read(e));
}

static bool copy_owned_job(struct job *ret, const struct mem_job *j, struct arena *a)
{
	if (!mem_copy_job(ret, &j->job, a))
		return false;
	ret->owner = arena_str(a, j->file->file.owner);
	return ret->owner.p != NULL;
}

int mem_job(struct catalog *c, struct uuid id, int64_t number, struct str owner, struct arena *a, struct job *ret, struct err *e)
{
	struct mem *m = mem_locked(c);
	struct mem_row *row = number > 0 ? mem_find_number(&m->jobs, number) : mem_find(&m->jobs, id);
	const struct mem_job *j = row ? CONTAINER_OF(row, struct mem_job, row) : NULL;
	struct job copy;

	if (!j || !owner_sees(owner, j->file->file.owner))
		return mem_unlocked(m, err_set(e, ERR_JOB_NOT_FOUND, "there is no job with this id"));
	if (j->file->deleted_at)
		return mem_unlocked(m, err_set(e, ERR_JOB_GONE, "the job was deleted with its file"));
	if (j->expired_at)
		return mem_unlocked(m, err_set(e, ERR_JOB_GONE, JOB_EXPIRED_DETAIL));
	if (!copy_owned_job(&copy, j, a))
		return mem_unlocked(m, mem_nothing_read(e));
	*ret = copy;
	return mem_unlocked(m, 0);
}

int mem_ended_job(struct catalog *c, int64_t number, struct arena *a, struct job *ret, struct str *ret_owner, struct err *e)
{
	struct mem *m = mem_locked(c);
	struct mem_row *row = mem_find_number(&m->jobs, number);
	const struct mem_job *j = row ? CONTAINER_OF(row, struct mem_job, row) : NULL;
	struct str owner;
	struct job copy;

	if (!j || j->expired_at)
		return mem_unlocked(m, err_set(e, ERR_JOB_NOT_FOUND, "the job has expired or was purged"));
	owner = arena_str(a, j->file->file.owner);
	if (!owner.p || !mem_copy_job(&copy, &j->job, a))
		return mem_unlocked(m, mem_nothing_read(e));
	*ret = copy;
	*ret_owner = owner;
	return mem_unlocked(m, 0);
}

/* ---- lists ---- */

int mem_list_files(struct catalog *c, const struct file_filter *f, struct page page, struct arena *a, struct file **ret, size_t *ret_n,
		   int64_t *ret_next, struct err *e)
{
	struct file *files = arena_alloc(a, page.limit * sizeof(*files));
	struct file_match match;
	struct mem *m;
	int64_t last = 0;
	size_t n = 0;
	int r = file_match_init(&match, f, e);

	if (r < 0)
		return r;
	if (!files)
		return mem_nothing_read(e);
	*ret_next = 0;
	m = mem_locked(c);
	for (size_t i = m->files.n; i > 0; i--) {
		const struct mem_file *row = CONTAINER_OF(m->files.rows[i - 1], struct mem_file, row);

		if (row->row.number >= page.before || row->deleted_at || !owner_sees(f->owner, row->file.owner))
			continue;
		if (n == page.limit) {
			*ret_next = last;
			break;
		}
		last = row->row.number;
		if (!file_match_row(&match, row->file.name, row->file.sha256, row->file.labels))
			continue;
		r = copy_file(&files[n], row, a, e);
		if (r < 0)
			return mem_unlocked(m, r);
		n += file_match_jobs(&match, files[n].jobs, files[n].n_jobs);
	}
	*ret = files;
	*ret_n = n;
	return mem_unlocked(m, 0);
}

static bool job_matches(const struct mem_job *j, const struct job_filter *f)
{
	if (j->file->deleted_at || j->expired_at || !owner_sees(f->owner, j->file->file.owner))
		return false;
	if (f->by_file && !uuid_eq(j->file->row.id, f->file))
		return false;
	return (f->state < 0 || (int)j->job.state == f->state) && (!f->op.p || str_eq(f->op, j->job.op));
}

int mem_list_jobs(struct catalog *c, const struct job_filter *f, struct page page, struct arena *a, struct job **ret, size_t *ret_n,
		  int64_t *ret_next, struct err *e)
{
	struct job *jobs = arena_alloc(a, page.limit * sizeof(*jobs));
	int64_t last = 0;
	struct mem *m;
	size_t n = 0;

	if (!jobs)
		return mem_nothing_read(e);
	*ret_next = 0;
	m = mem_locked(c);
	for (size_t i = m->jobs.n; i > 0; i--) {
		const struct mem_job *row = CONTAINER_OF(m->jobs.rows[i - 1], struct mem_job, row);

		if (row->row.number >= page.before)
			continue;
		if (n == page.limit) {
			*ret_next = last;
			break;
		}
		last = row->row.number;
		if (!job_matches(row, f))
			continue;
		if (!copy_owned_job(&jobs[n++], row, a))
			return mem_unlocked(m, mem_nothing_read(e));
	}
	*ret = jobs;
	*ret_n = n;
	return mem_unlocked(m, 0);
}

/* ---- sums ---- */

static int64_t least_run_at(const struct mem *m, int64_t not_after)
{
	int64_t least = INT64_MAX;

	for (size_t i = 0; i < m->jobs.n; i++) {
		const struct job *j = &CONTAINER_OF(m->jobs.rows[i], struct mem_job, row)->job;

		if (j->state == JOB_QUEUED && j->run_at <= not_after && j->run_at < least)
			least = j->run_at;
	}
	return least;
}

/* Counted each time: there is no row that could differ. */
struct usage mem_usage_of(const struct mem *m, struct str owner)
{
	struct usage used = {.own = mem_quotas_of(m, owner)};

	for (size_t i = 0; i < m->files.n; i++) {
		const struct mem_file *f = CONTAINER_OF(m->files.rows[i], struct mem_file, row);
		if (f->deleted_at || !str_eq(f->file.owner, owner))
			continue;
		used.files++;
		used.bytes += f->file.size;
	}
	return used;
}

int mem_usage(struct catalog *c, struct str owner, struct usage *ret, struct err *e)
{
	struct mem *m = mem_locked(c);

	*ret = mem_usage_of(m, owner);
	return mem_unlocked(m, 0);
}

int mem_import_counts(struct catalog *c, struct str owner, struct import_counts *ret, struct err *e)
{
	struct mem *m = mem_locked(c);
	struct import_counts n = {};

	for (size_t i = 0; i < m->files.n; i++) {
		const struct mem_file *f = CONTAINER_OF(m->files.rows[i], struct mem_file, row);
		if (f->deleted_at || !str_eq(f->file.owner, owner))
			continue;
		if (f->file.location != LOCATION_COMING)
			n.there++;
		else if (job_state_final(f->import->job.state))
			n.missing++;
		else
			n.under_way++;
	}
	*ret = n;
	return mem_unlocked(m, 0);
}

int mem_stats(struct catalog *c, int64_t now, struct catalog_stats *ret, struct err *e)
{
	struct mem *m = mem_locked(c);
	int64_t oldest = least_run_at(m, now);

	*ret = (struct catalog_stats){
		.jobs_waiting = m->waiting, .jobs_running = m->running, .oldest_waiting_at = oldest == INT64_MAX ? 0 : oldest};
	for (int s = 0; s < JOB_STATES; s++)
		ret->jobs_final[s] = m->final[s];
	for (size_t i = 0; i < m->files.n; i++) {
		const struct mem_file *f = CONTAINER_OF(m->files.rows[i], struct mem_file, row);

		ret->files += !f->deleted_at;
		ret->file_bytes += f->deleted_at ? 0 : f->file.size;
	}
	return mem_unlocked(m, 0);
}

int mem_depth(struct catalog *c, int64_t now, struct catalog_depth *ret, struct err *e)
{
	struct mem *m = mem_locked(c);

	*ret = (struct catalog_depth){.waiting = m->waiting};
	for (size_t i = 0; i < m->jobs.n; i++) {
		const struct job *j = &CONTAINER_OF(m->jobs.rows[i], struct mem_job, row)->job;
		uint32_t *ready = &ret->at[j->priority].ready;
		int64_t *oldest_at = &ret->at[j->priority].oldest_at;

		if (j->state != JOB_QUEUED || j->run_at > now)
			continue;
		*ready += *ready < READY_COUNTED_MAX;
		if (*oldest_at == 0 || j->run_at < *oldest_at)
			*oldest_at = j->run_at;
		if (ret->oldest_at == 0 || j->run_at < ret->oldest_at)
			ret->oldest_at = j->run_at;
	}
	return mem_unlocked(m, 0);
}

int mem_next_run_at(struct catalog *c, int64_t *ret, struct err *e)
{
	struct mem *m = mem_locked(c);

	*ret = m->waiting ? least_run_at(m, INT64_MAX) : INT64_MAX;
	return mem_unlocked(m, 0);
}

int mem_blob_referenced(struct catalog *c, struct str blob, bool *ret, struct err *e)
{
	struct mem *m = mem_locked(c);
	const struct mem_file *f = mem_file_of_blob(m, blob);

	*ret = f ? !f->deleted_at : mem_output_used(m, blob);
	return mem_unlocked(m, 0);
}

int mem_artifact(struct catalog *c, struct str owner, struct str op, uint32_t op_version, struct str params, const uint8_t sha256[32],
		 struct uuid *ret, struct err *e)
{
	struct mem *m = mem_locked(c);
	struct job wanted = {.op = op, .op_version = op_version, .params = params};
	const struct mem_job *j = mem_done_elsewhere(m, owner, &wanted, sha256);

	*ret = j ? j->row.id : (struct uuid){};
	return mem_unlocked(m, 0);
}

/* ---- work to be done ---- */

static int by_bytes(const void *a, const void *b)
{
	const struct str *x = a, *y = b;
	int order = memcmp(x->p, y->p, x->len < y->len ? x->len : y->len);

	return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

int mem_doomed(struct catalog *c, struct str after, uint32_t max, struct arena *a, struct str **ret, size_t *ret_n, struct err *e)
{
	struct mem *m = mem_locked(c);
	struct str *list = arena_alloc(a, (m->n_doomed + 1) * sizeof(*list));
	size_t n = 0;

	for (size_t i = 0; list && i < m->n_doomed; i++)
		if (after.len == 0 || by_bytes(&m->doomed[i], &after) > 0)
			list[n++] = m->doomed[i];
	if (list && n > 0)
		qsort(list, n, sizeof(*list), by_bytes);
	n = n < max ? n : max;
	for (size_t i = 0; list && i < n; i++) {
		list[i] = arena_str(a, list[i]);
		if (!list[i].p)
			list = NULL;
	}
	if (!list)
		return mem_unlocked(m, mem_nothing_read(e));
	*ret = list;
	*ret_n = n;
	return mem_unlocked(m, 0);
}

int mem_expired(struct catalog *c, int64_t now, uint32_t max, struct arena *a, struct expired **ret, size_t *ret_n, struct err *e)
{
	struct expired *list = arena_alloc(a, max * sizeof(*list));
	struct mem *m;
	size_t n = 0;

	if (!list)
		return mem_nothing_read(e);
	m = mem_locked(c);
	for (size_t i = 0; i < m->files.n && n < max; i++) {
		const struct mem_file *f = CONTAINER_OF(m->files.rows[i], struct mem_file, row);

		if (f->deleted_at || !f->file.expires_at || f->file.expires_at > now)
			continue;
		list[n].file = f->row.id;
		list[n].owner = arena_str(a, f->file.owner);
		if (!list[n++].owner.p)
			return mem_unlocked(m, mem_nothing_read(e));
	}
	*ret = list;
	*ret_n = n;
	return mem_unlocked(m, 0);
}

int mem_outbox(struct catalog *c, int64_t after, uint32_t max, struct arena *a, struct outbox_entry **ret, size_t *ret_n, struct err *e)
{
	struct outbox_entry *list = arena_alloc(a, max * sizeof(*list));
	struct job job;
	struct mem *m;
	size_t n = 0;

	if (!list)
		return mem_nothing_read(e);
	m = mem_locked(c);
	for (size_t i = 0; i < m->n_outbox && n < max; i++) {
		if (m->outbox[i].seq <= after)
			continue;
		list[n].seq = m->outbox[i].seq;
		job = m->outbox[i].job;
		if (job.state == JOB_SUCCEEDED && job.n_outputs > m->outbox[i].row->job.n_outputs)
			job.n_outputs = 0; /* they went with the file */
		if (!mem_copy_job(&list[n++].job, &job, a))
			return mem_unlocked(m, mem_nothing_read(e));
	}
	*ret = list;
	*ret_n = n;
	return mem_unlocked(m, 0);
}
