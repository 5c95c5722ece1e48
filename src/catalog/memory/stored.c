/* All that is stored, in row order, for those who look through it; what they found; how far they have come. */
#include "catalog/memory/memory.h"

#include <stdio.h>

/* ---- damage ---- */

static bool outputs_whole(const struct mem_job *j)
{
	for (size_t i = 0; j && i < j->job.n_outputs; i++)
		if (j->job.outputs[i].damaged_at)
			return false;
	return true;
}

bool mem_whole(const struct mem *m, const struct mem_job *j)
{
	return !j->file->file.damaged_at && outputs_whole(j) && outputs_whole(j->file->import) &&
	       outputs_whole(mem_find_job(m, j->job.after));
}

/* A mark that is there already keeps its time. */
static void mark(int64_t *damaged_at, struct change_mark_damaged *d)
{
	if (!*damaged_at == !d->at)
		return;
	*damaged_at = d->at;
	d->changed++;
}

void mem_mark_damaged(struct mem *m, struct change *ch)
{
	struct change_mark_damaged *d = &ch->mark_damaged;
	struct mem_row *row = uuid_is_zero(d->file) ? NULL : mem_find(&m->files, d->file);
	struct mem_file *f = row ? CONTAINER_OF(row, struct mem_file, row) : NULL;
	bool any = false;

	d->changed = 0;
	if (!uuid_is_zero(d->file)) {
		if (!f || f->deleted_at)
			change_refuse(ch, ERR_FILE_NOT_FOUND, "there is no file with this id");
		else
			mark(&f->file.damaged_at, d);
		return;
	}
	for (size_t i = 0; i < m->jobs.n; i++) {
		struct job *j = &CONTAINER_OF(m->jobs.rows[i], struct mem_job, row)->job;

		for (size_t k = 0; k < j->n_outputs; k++) {
			if (!str_eq(j->outputs[k].blob, d->blob))
				continue;
			any = true;
			mark(&j->outputs[k].damaged_at, d);
		}
	}
	if (!any)
		change_refuse(ch, ERR_OUTPUT_NOT_FOUND, "no output has this blob");
}

int mem_damaged_count(struct catalog *c, uint64_t *ret, struct err *e)
{
	struct mem *m = mem_locked(c);
	uint64_t n = 0;

	for (size_t i = 0; i < m->files.n; i++) {
		const struct mem_file *f = CONTAINER_OF(m->files.rows[i], struct mem_file, row);

		n += f->file.damaged_at && !f->deleted_at;
	}
	for (size_t i = 0; i < m->jobs.n; i++) {
		const struct job *j = &CONTAINER_OF(m->jobs.rows[i], struct mem_job, row)->job;

		for (size_t k = 0; k < j->n_outputs; k++)
			n += j->outputs[k].damaged_at != 0;
	}
	*ret = n;
	return mem_unlocked(m, 0);
}

/* ---- looking through ---- */

struct page_of_stored {
	struct mem *m;
	struct stored_at after;
	uint32_t max;
	struct arena *arena;
	struct stored *list;
	size_t n;
};

static bool add_file(struct page_of_stored *p, const struct mem_file *f)
{
	char name[FILE_BLOB_NAME_MAX + 1];
	struct stored *s = &p->list[p->n++];

	*s = (struct stored){
		.at = {.kind = STORED_FILE, .number = f->row.number},
		.id = f->row.id,
		.size = f->file.size,
		.inline_size = f->bytes.p ? (int64_t)f->bytes.len : -1,
		.damaged_at = f->file.damaged_at,
	};
	for (size_t i = 0; i < sizeof(s->sha256); i++)
		s->sha256[i] = f->file.sha256[i];
	if (f->file.location == LOCATION_INLINE)
		return true;
	s->blob = arena_str(p->arena, file_blob_name(name, f->file.owner, f->row.id));
	return s->blob.p != NULL;
}

static bool files_after(struct page_of_stored *p)
{
	for (size_t i = 0; i < p->m->files.n && p->n < p->max; i++) {
		const struct mem_file *f = CONTAINER_OF(p->m->files.rows[i], struct mem_file, row);

		if (f->row.number > p->after.number && !f->deleted_at && (f->bytes.p || mem_has_blob(f)) && !add_file(p, f))
			return false;
	}
	return true;
}

/* Is the blob that of an output of an earlier job, or an earlier one of this job? */
static bool used_before(const struct mem *m, const struct mem_job *job, size_t n)
{
	struct str blob = job->job.outputs[n].blob;

	for (size_t i = 0; i < m->jobs.n; i++) {
		const struct mem_job *j = CONTAINER_OF(m->jobs.rows[i], struct mem_job, row);

		for (size_t k = 0; k < j->job.n_outputs && (j != job || k < n); k++)
			if (str_eq(j->job.outputs[k].blob, blob))
				return true;
		if (j == job)
			break;
	}
	return false;
}

static bool add_output(struct page_of_stored *p, const struct mem_job *j, size_t n)
{
	const struct output *o = &j->job.outputs[n];
	struct stored *s = &p->list[p->n++];

	*s = (struct stored){
		.at = {.kind = STORED_OUTPUT, .number = j->row.number, .n = (uint32_t)n},
		.id = j->row.id,
		.size = o->size,
		.inline_size = -1,
		.blob = arena_str(p->arena, o->blob),
		.damaged_at = o->damaged_at,
		.shared = used_before(p->m, j, n),
	};
	for (size_t i = 0; i < sizeof(s->sha256); i++)
		s->sha256[i] = o->sha256[i];
	return s->blob.p != NULL;
}

static bool outputs_after(struct page_of_stored *p)
{
	for (size_t i = 0; i < p->m->jobs.n; i++) {
		const struct mem_job *j = CONTAINER_OF(p->m->jobs.rows[i], struct mem_job, row);
		size_t from = j->row.number == p->after.number ? p->after.n + 1 : 0;

		for (size_t k = from; j->row.number >= p->after.number && k < j->job.n_outputs && p->n < p->max; k++)
			if (!add_output(p, j, k))
				return false;
	}
	return true;
}

int mem_stored(struct catalog *c, struct stored_at after, uint32_t max, struct arena *a, struct stored **ret, size_t *ret_n, struct err *e)
{
	struct page_of_stored p = {.after = after, .max = max, .arena = a, .list = arena_alloc(a, max * sizeof(*p.list))};
	bool ok = p.list != NULL;

	p.m = mem_locked(c);
	if (ok && after.kind == STORED_FILE)
		ok = files_after(&p);
	if (ok && p.n == 0 && after.kind == STORED_FILE)
		p.after = (struct stored_at){.kind = STORED_OUTPUT};
	if (ok && p.n == 0)
		ok = outputs_after(&p);
	if (!ok)
		return mem_unlocked(p.m, err_set(e, ERR_NO_MEMORY, "no memory for a list"));
	*ret = p.list;
	*ret_n = p.n;
	return mem_unlocked(p.m, 0);
}

/* ---- the word in the bucket ---- */

void mem_line_write(struct mem *m, struct change *ch)
{
	struct change_line *l = &ch->line;

	switch (l->step) {
	case LINE_NEXT:
		l->done = m->line.next == 0;
		m->line.next = l->done ? l->word : m->line.next;
		break;
	case LINE_SETTLED:
		l->done = m->line.next == l->word;
		if (l->done)
			m->line = (struct catalog_line){.word = l->word, .sole = m->line.sole};
		break;
	case LINE_SOLE:
	case LINE_SOLE_TAKEN:
		l->done = m->line.sole != (l->step == LINE_SOLE);
		m->line.sole = l->step == LINE_SOLE;
		break;
	}
}

int mem_line(struct catalog *c, struct catalog_line *ret, struct err *e)
{
	struct mem *m = mem_locked(c);

	*ret = m->line;
	return mem_unlocked(m, 0);
}

/* ---- the scrub ---- */

void mem_scrub_position_write(struct mem *m, struct change *ch)
{
	m->scrub = ch->scrub_position;
}

int mem_scrub_position(struct catalog *c, struct scrub_position *ret, struct err *e)
{
	struct mem *m = mem_locked(c);

	*ret = m->scrub;
	return mem_unlocked(m, 0);
}

/* ---- checks ---- */

int mem_blob_doomed(struct catalog *c, struct str blob, bool *ret, struct err *e)
{
	struct mem *m = mem_locked(c);

	*ret = false;
	for (size_t i = 0; i < m->n_doomed && !*ret; i++)
		*ret = str_eq(m->doomed[i], blob);
	return mem_unlocked(m, 0);
}

static void compare(const char *name, uint64_t kept, uint64_t counted, catalog_finding_fn *tell, void *arg)
{
	char detail[80];

	if (kept == counted)
		return;
	snprintf(detail, sizeof(detail), "%llu is kept, %llu are there", (unsigned long long)kept, (unsigned long long)counted);
	tell(arg, FINDING_TALLY_WRONG, str_of(name), str_of(detail));
}

/* Rows are tied by pointers here: there is little that could contradict itself but the sums, and blobs that are both needed and doomed. */
int mem_check(struct catalog *c, catalog_finding_fn *tell, void *arg, struct err *e)
{
	struct mem *m = mem_locked(c);
	uint64_t waiting = 0, running = 0;

	for (size_t i = 0; i < m->jobs.n; i++) {
		const struct job *j = &CONTAINER_OF(m->jobs.rows[i], struct mem_job, row)->job;

		waiting += j->state == JOB_QUEUED;
		running += j->state == JOB_RUNNING;
	}
	compare("waiting", m->waiting, waiting, tell, arg);
	compare("running", m->running, running, tell, arg);
	for (size_t i = 0; i < m->n_doomed; i++) {
		const struct mem_file *f = mem_file_of_blob(m, m->doomed[i]);

		if (mem_output_used(m, m->doomed[i]) || (f && !f->deleted_at))
			tell(arg, FINDING_DOOMED_REFERENCED, m->doomed[i], STR("a file or an output needs it"));
	}
	return mem_unlocked(m, 0);
}
