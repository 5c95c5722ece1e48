/* Changes of files, and jobs that come into being. Each builds its rows first, where memory may run out, and only then lets them in. */
#include "catalog/memory/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct mem_file *find_file(struct mem *m, struct uuid id, struct str owner)
{
	struct mem_row *row = mem_find(&m->files, id);
	struct mem_file *f = row ? CONTAINER_OF(row, struct mem_file, row) : NULL;

	return f && str_eq(f->file.owner, owner) ? f : NULL;
}

static struct mem_file *find_live_file(struct mem *m, struct change *ch, struct uuid id, struct str owner)
{
	struct mem_file *f = find_file(m, id, owner);

	if (f && !f->deleted_at)
		return f;
	if (f)
		change_refuse(ch, ERR_FILE_GONE, "the file was deleted");
	else
		change_refuse(ch, ERR_FILE_NOT_FOUND, "there is no file with this id");
	return NULL;
}

static void no_memory(struct change *ch)
{
	change_refuse(ch, ERR_NO_MEMORY, "no memory for this change");
}

static struct mem_job *job_new(const struct job *job)
{
	struct mem_job *j = calloc(1, sizeof(*j));

	if (j && mem_copy_job(&j->job, job, &j->row.text)) {
		j->row.id = job->id;
		return j;
	}
	mem_job_free(j);
	return NULL;
}

/* Room was reserved. */
static void job_in(struct mem *m, struct mem_file *f, struct mem_job *j)
{
	assert(f && j);
	mem_insert(&m->jobs, &j->row);
	j->file = f;
	j->job.number = j->row.number;
	j->job.file = f->row.id;
	j->job.file_number = f->row.number;
	f->jobs[f->n_jobs++] = j;
	if (j->job.state == JOB_QUEUED)
		m->waiting++;
	else
		mem_born_final(m, j);
}

static bool reserve_jobs_of(struct mem_file *f, size_t more)
{
	struct mem_job **jobs;

	assert(f);
	jobs = reallocarray(f->jobs, f->n_jobs + more + 1, sizeof(struct mem_job *));
	if (jobs)
		f->jobs = jobs;
	return jobs;
}

/* ---- idempotency ---- */

static void key_remove(struct mem *m, size_t i)
{
	free(m->keys[i].text);
	m->keys[i] = m->keys[--m->n_keys];
}

/* True: the change is answered by an earlier use of its key. */
static bool key_settles(struct mem *m, struct change *ch)
{
	struct change_add_file *add = &ch->add_file;

	for (size_t i = 0; i < m->n_keys; i++) {
		struct mem_key *k = &m->keys[i];

		if (!str_eq(k->owner, add->file->owner) || !str_eq(k->key, add->idempotency_key))
			continue;
		if (k->created_at <= add->file->created_at - IDEMPOTENCY_MS) {
			key_remove(m, i);
			return false;
		}
		if (memcmp(k->fingerprint, add->fingerprint, sizeof(k->fingerprint)) == 0) {
			add->replayed = true;
			add->replay_of = k->file;
		} else {
			change_refuse(ch, ERR_IDEMPOTENCY_CONFLICT, "the key was used for another request within the last 24 hours");
		}
		return true;
	}
	return false;
}

static bool key_new(struct mem *m, const struct change_add_file *add, struct mem_key *ret)
{
	struct str owner = add->file->owner, key = add->idempotency_key;
	char *text = malloc(owner.len + key.len);

	if (!text || !mem_grow(&m->keys, &m->cap_keys, m->n_keys, sizeof(*m->keys))) {
		free(text);
		return false;
	}
	memcpy(text, owner.p, owner.len);
	memcpy(text + owner.len, key.p, key.len);
	*ret = (struct mem_key){.owner = {text, owner.len},
				.key = {text + owner.len, key.len},
				.file = add->file->id,
				.created_at = add->file->created_at,
				.text = text};
	memcpy(ret->fingerprint, add->fingerprint, sizeof(ret->fingerprint));
	return true;
}

/* ---- adding ---- */

static struct mem_file *file_new(const struct change_add_file *add)
{
	const struct file *file = add->file;
	struct mem_file *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->row.id = file->id;
	f->file = *file;
	f->file.jobs = NULL;
	f->file.n_jobs = 0;
	f->file.owner = arena_str(&f->row.text, file->owner);
	f->file.name = arena_str(&f->row.text, file->name);
	f->file.type = arena_str(&f->row.text, file->type);
	f->file.labels = arena_str(&f->row.text, file->labels);
	if (file->location == LOCATION_INLINE)
		f->bytes = arena_str(&f->row.text, (struct str){add->bytes.len ? add->bytes.p : "", add->bytes.len});
	if (f->file.owner.p && f->file.name.p && f->file.type.p && f->file.labels.p && (f->bytes.p || file->location != LOCATION_INLINE) &&
	    reserve_jobs_of(f, file->n_jobs))
		return f;
	mem_file_free(f);
	return NULL;
}

/* An id that is there already, or twice in this change. */
static bool ids_taken(struct mem *m, const struct job *jobs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (mem_find(&m->jobs, jobs[i].id))
			return true;
		for (size_t k = 0; k < i; k++)
			if (uuid_eq(jobs[i].id, jobs[k].id))
				return true;
	}
	return false;
}

/* Builds all rows or none. */
static bool jobs_new(struct mem_job **rows, struct job *jobs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		jobs[i].fence = 0;
		rows[i] = job_new(&jobs[i]);
		if (rows[i])
			continue;
		while (i > 0)
			mem_job_free(rows[--i]);
		return false;
	}
	return true;
}

/* A job that rode along with the upload is final already; the others wait, unless their work was done before. */
static bool settle_jobs(struct mem *m, struct change *ch, const struct change_add_file *c, uint64_t *ret_queued)
{
	struct file *f = c->file;
	const struct mem_adding add = {.owner = f->owner, .jobs = f->jobs, .arena = c->arena};

	for (size_t i = 0; i < f->n_jobs; i++) {
		f->jobs[i].file = f->id;
		if (job_born_final(&f->jobs[i]))
			continue;
		if (!mem_settle(m, ch, &add, i, NULL, f->sha256))
			return false;
		*ret_queued += f->jobs[i].state == JOB_QUEUED;
	}
	return true;
}

/* Whether the file may come, after those before it in the same change. */
static bool check_new(struct mem *m, struct change *ch, const struct change_add_file *add, struct files_coming *before)
{
	const struct file *file = add->file;

	if (catalog_has_quota(&m->base)) {
		struct usage used = mem_usage_of(m, file->owner);
		used.files += before->usage.files;
		used.bytes += before->usage.bytes;
		if (!change_within_quota(&m->base, ch, &used, file->size))
			return false;
	}
	if (!settle_jobs(m, ch, add, &before->queued))
		return false;
	before->usage.files++;
	before->usage.bytes += file->size;
	if (!change_has_room(&m->base, ch, m->waiting, mem_waiting_of(m, file->owner), mem_quotas_of(m, file->owner), before->queued, 0))
		return false;
	if (mem_find(&m->files, file->id) || ids_taken(m, file->jobs, file->n_jobs)) {
		change_refuse(ch, ERR_CONFLICT, "an id of this change is taken already");
		return false;
	}
	return true;
}

/* A file with its jobs that is built and not let in yet. */
struct newcomer {
	struct mem_file *file;
	struct mem_job *jobs[OPS_MAX];
};

static bool newcomer_init(struct newcomer *x, const struct change_add_file *add)
{
	x->file = file_new(add);
	if (x->file && jobs_new(x->jobs, add->file->jobs, add->file->n_jobs))
		return true;
	mem_file_free(x->file);
	x->file = NULL;
	return false;
}

static void newcomer_release(struct newcomer *x, size_t n_jobs)
{
	for (size_t i = 0; i < n_jobs; i++)
		mem_job_free(x->jobs[i]);
	mem_file_free(x->file);
}

/* Room was reserved. */
static void let_in(struct mem *m, const struct change_add_file *add, struct newcomer *x)
{
	struct file *file = add->file;
	struct mem_file *f = x->file;

	mem_insert(&m->files, &f->row);
	f->file.number = file->number = f->row.number;
	f->import = file->location == LOCATION_COMING ? x->jobs[0] : NULL;
	for (size_t i = 0; i < file->n_jobs; i++) {
		job_in(m, f, x->jobs[i]);
		file->jobs[i].number = x->jobs[i]->row.number;
		file->jobs[i].expires_at = x->jobs[i]->job.expires_at;
		file->jobs[i].file = file->id;
		file->jobs[i].file_number = file->number;
	}
}

void mem_add_file(struct mem *m, struct change *ch)
{
	struct change_add_file *add = &ch->add_file;
	struct file *file = add->file;
	struct files_coming before = {};
	struct mem_key key = {};
	struct newcomer x = {};

	add->replayed = false;
	if (add->idempotency_key.p && key_settles(m, ch))
		return;
	if (!check_new(m, ch, add, &before))
		return;
	if (!mem_reserve(&m->files, 1) || !mem_reserve(&m->jobs, file->n_jobs) || !mem_reserve_ends(m, file->n_jobs) ||
	    (add->idempotency_key.p && !key_new(m, add, &key)) || !newcomer_init(&x, add)) {
		free(key.text);
		no_memory(ch);
		return;
	}
	let_in(m, add, &x);
	if (key.text)
		m->keys[m->n_keys++] = key;
}

/* ---- several at once ---- */

static bool same_ids(const struct file *a, const struct file *b)
{
	if (uuid_eq(a->id, b->id))
		return true;
	for (size_t i = 0; i < a->n_jobs; i++)
		for (size_t k = 0; k < b->n_jobs; k++)
			if (uuid_eq(a->jobs[i].id, b->jobs[k].id))
				return true;
	return false;
}

static bool add_files_check(struct mem *m, struct change *ch, size_t *ret_jobs)
{
	struct change_add_files *add = &ch->add_files;
	struct files_coming before = {};

	for (size_t i = 0; i < add->n; i++) {
		add->failed_index = i;
		add->files[i].replayed = false;
		if (!check_new(m, ch, &add->files[i], &before))
			return false;
		for (size_t k = 0; k < i; k++)
			if (same_ids(add->files[i].file, add->files[k].file)) {
				change_refuse(ch, ERR_CONFLICT, "an id comes twice in this change");
				return false;
			}
		*ret_jobs += add->files[i].file->n_jobs;
	}
	add->failed_index = 0;
	return true;
}

/* Builds all files or none. */
static bool newcomers_init(struct newcomer *list, const struct change_add_file *files, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (newcomer_init(&list[i], &files[i]))
			continue;
		while (i-- > 0)
			newcomer_release(&list[i], files[i].file->n_jobs);
		return false;
	}
	return true;
}

/* All or nothing: every file is looked at and built before the first is let in. */
void mem_add_files(struct mem *m, struct change *ch)
{
	const struct change_add_file *files = ch->add_files.files;
	size_t jobs = 0;

	if (!add_files_check(m, ch, &jobs))
		return;
	const size_t n = ch->add_files.n;
	struct newcomer *list = calloc(n, sizeof(*list));
	if (list && mem_reserve(&m->files, n) && mem_reserve(&m->jobs, jobs) && mem_reserve_ends(m, jobs) && newcomers_init(list, files, n))
		for (size_t i = 0; i < n; i++)
			let_in(m, &files[i], &list[i]);
	else
		no_memory(ch);
	free(list);
}

static bool add_jobs_check(struct mem *m, struct change *ch, struct mem_file **files)
{
	struct change_add_jobs *add = &ch->add_jobs;
	const struct mem_adding list = {.owner = add->owner, .jobs = add->jobs, .arena = add->arena};
	size_t queued = 0;

	for (size_t i = 0; i < add->n; i++) {
		add->failed_index = i;
		files[i] = find_live_file(m, ch, add->jobs[i].file, add->owner);
		if (files[i] && files[i]->file.location == LOCATION_COMING && uuid_is_zero(add->jobs[i].after)) {
			change_still_coming(ch);
			return false;
		}
		if (!files[i] || !mem_settle(m, ch, &list, i, files[i], files[i]->file.sha256))
			return false;
		add->jobs[i].file_number = files[i]->row.number;
		if (files[i]->n_jobs + change_jobs_before(add, i) >= JOBS_A_FILE_MAX) {
			change_file_full(ch);
			return false;
		}
		queued += add->jobs[i].state == JOB_QUEUED;
		if (!change_has_room(&m->base, ch, m->waiting, mem_waiting_of(m, add->owner), mem_quotas_of(m, add->owner), queued,
				     add->n - i - 1))
			return false;
	}
	if (ids_taken(m, add->jobs, add->n)) {
		change_refuse(ch, ERR_CONFLICT, "an id of this change is taken already");
		return false;
	}
	return true;
}

void mem_add_jobs(struct mem *m, struct change *ch)
{
	struct change_add_jobs *add = &ch->add_jobs;
	struct mem_file **files = calloc(add->n, sizeof(struct mem_file *));
	struct mem_job **rows = calloc(add->n, sizeof(struct mem_job *));
	bool room = files && rows && mem_reserve(&m->jobs, add->n) && mem_reserve_ends(m, add->n);

	if (!room)
		no_memory(ch);
	else if (add_jobs_check(m, ch, files)) {
		for (size_t i = 0; i < add->n && room; i++)
			room = reserve_jobs_of(files[i], add->n);
		if (room && jobs_new(rows, add->jobs, add->n)) {
			for (size_t i = 0; i < add->n; i++) {
				job_in(m, files[i], rows[i]);
				add->jobs[i].number = rows[i]->row.number;
				add->jobs[i].expires_at = rows[i]->job.expires_at;
				add->jobs[i].file_number = files[i]->row.number;
			}
		} else {
			no_memory(ch);
		}
	}
	free(files);
	free(rows);
}

/* ---- changing and deleting ---- */

void mem_patch_file(struct mem *m, struct change *ch)
{
	struct change_patch_file *p = &ch->patch_file;
	struct mem_file *f = find_live_file(m, ch, p->id, p->owner);
	struct str name, labels;

	if (!f)
		return;
	name = p->name.p ? arena_str(&f->row.text, p->name) : f->file.name;
	labels = p->labels.p ? arena_str(&f->row.text, p->labels) : f->file.labels;
	if (!name.p || !labels.p) {
		no_memory(ch);
		return;
	}
	f->file.name = name;
	f->file.labels = labels;
	if (p->set_expires)
		f->file.expires_at = p->expires_at;
}

static bool stage_blobs(struct mem *m, const struct mem_file *f)
{
	char name[FILE_BLOB_NAME_MAX + 1];

	for (size_t i = 0; i < f->n_jobs; i++)
		for (size_t k = 0; k < f->jobs[i]->job.n_outputs; k++)
			if (!mem_doom_stage(m, f->jobs[i]->job.outputs[k].blob))
				return false;
	return !mem_has_blob(f) || mem_doom_stage(m, file_blob_name(name, f->file.owner, f->row.id));
}

void mem_delete_file(struct mem *m, struct change *ch)
{
	struct change_delete_file *d = &ch->delete_file;
	struct mem_file *f = find_live_file(m, ch, d->id, d->owner);

	if (!f)
		return;
	if (d->expired_by && (!f->file.expires_at || f->file.expires_at > d->expired_by)) {
		change_not_expired(ch);
		return;
	}
	if (!mem_reserve_ends(m, f->n_jobs) || !stage_blobs(m, f)) {
		no_memory(ch);
		return;
	}
	for (size_t i = 0; i < f->n_jobs; i++) {
		struct mem_job *j = f->jobs[i];

		j->job.n_outputs = 0;
		if (j->job.state == JOB_QUEUED)
			mem_end(m, j, JOB_CANCELLED, ERR_CANCELLED, STR("the job was cancelled"), d->now);
		else if (j->job.state == JOB_RUNNING)
			j->cancel = true;
	}
	f->deleted_at = d->now;
	f->bytes = (struct str){};
	d->location = f->file.location;
	d->doomed = mem_doom_staged(m);
}

/* ---- purging ---- */

static bool still_runs(const struct mem_file *f)
{
	for (size_t i = 0; i < f->n_jobs; i++)
		if (!job_state_final(f->jobs[i]->job.state))
			return true;
	return false;
}

static void outbox_forget(struct mem *m, const struct mem_job *j)
{
	size_t kept = 0;

	for (size_t i = 0; i < m->n_outbox; i++)
		if (m->outbox[i].row != j)
			m->outbox[kept++] = m->outbox[i];
	m->n_outbox = kept;
}

void mem_purge_job(struct mem *m, struct mem_job *j)
{
	outbox_forget(m, j);
	mem_remove(&m->jobs, &j->row);
	mem_job_free(j);
}

static void purge_file(struct mem *m, struct mem_file *f)
{
	for (size_t i = 0; i < f->n_jobs; i++)
		mem_purge_job(m, f->jobs[i]);
	mem_remove(&m->files, &f->row);
	mem_file_free(f);
}

static bool holds_jobs(struct mem *m, struct uuid worker)
{
	for (size_t i = 0; i < m->jobs.n; i++) {
		const struct mem_job *j = CONTAINER_OF(m->jobs.rows[i], struct mem_job, row);

		if (j->job.state == JOB_RUNNING && uuid_eq(j->worker, worker))
			return true;
	}
	return false;
}

void mem_purge(struct mem *m, struct change *ch)
{
	const struct change_purge *p = &ch->purge;
	uint32_t left = p->max;

	for (size_t i = m->n_keys; i > 0 && left > 0; i--) {
		if (m->keys[i - 1].created_at < p->idempotency_before) {
			key_remove(m, i - 1);
			left--;
		}
	}
	left = p->max;
	for (size_t i = 0; i < m->files.n && left > 0;) {
		struct mem_file *f = CONTAINER_OF(m->files.rows[i], struct mem_file, row);

		if (!f->deleted_at || f->deleted_at >= p->tombstones_before || still_runs(f)) {
			i++;
			continue;
		}
		purge_file(m, f);
		left--;
	}
	mem_purge_expired(m, p->tombstones_before, p->max);
	left = p->max;
	for (size_t i = m->n_workers; i > 0 && left > 0; i--) {
		if (m->workers[i - 1].expires_at < p->workers_before && !holds_jobs(m, m->workers[i - 1].id)) {
			m->workers[i - 1] = m->workers[--m->n_workers];
			left--;
		}
	}
	mem_purge_deliveries(m, p->deliveries_before, p->max);
	mem_purge_once(m, p->once_before, p->max);
	mem_purge_accounts(m, p->once_before, p->keys_before, p->max);
}
