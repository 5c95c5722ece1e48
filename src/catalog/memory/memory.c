#include "catalog/memory/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- tables ---- */

static size_t slot_of(const struct mem_table *t, struct uuid id)
{
	uint64_t h;

	memcpy(&h, id.b + 8, sizeof(h)); /* the random half of a UUID */
	return (h * 0x9e3779b97f4a7c15u >> 20) & (t->cap_slots - 1);
}

static void place(struct mem_table *t, struct mem_row *row)
{
	size_t i = slot_of(t, row->id);

	while (t->slots[i])
		i = (i + 1) & (t->cap_slots - 1);
	t->slots[i] = row;
}

static void rehash(struct mem_table *t)
{
	memset(t->slots, 0, t->cap_slots * sizeof(struct mem_row *));
	for (size_t i = 0; i < t->n; i++)
		place(t, t->rows[i]);
}

struct mem_row *mem_find(const struct mem_table *t, struct uuid id)
{
	if (!t->cap_slots)
		return NULL;
	for (size_t i = slot_of(t, id); t->slots[i]; i = (i + 1) & (t->cap_slots - 1))
		if (uuid_eq(t->slots[i]->id, id))
			return t->slots[i];
	return NULL;
}

struct mem_row *mem_find_number(const struct mem_table *t, int64_t number)
{
	size_t low = 0, high = t->n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (t->rows[mid]->number == number)
			return t->rows[mid];
		if (t->rows[mid]->number < number)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

bool mem_grow(void *array, size_t *cap, size_t n, size_t element_size)
{
	size_t wanted = *cap;
	void *old, *moved;

	if (n < *cap)
		return true;
	while (wanted <= n)
		wanted = wanted ? 2 * wanted : 16;
	memcpy(&old, array, sizeof(old));
	moved = reallocarray(old, wanted, element_size);
	if (!moved)
		return false;
	memcpy(array, &moved, sizeof(moved));
	*cap = wanted;
	return true;
}

bool mem_reserve(struct mem_table *t, size_t more)
{
	size_t cap_slots = t->cap_slots ? t->cap_slots : 64;
	struct mem_row **slots;

	if (!mem_grow(&t->rows, &t->cap, t->n + more, sizeof(struct mem_row *)))
		return false;
	while (cap_slots < 2 * (t->n + more + 1))
		cap_slots *= 2;
	if (cap_slots == t->cap_slots)
		return true;
	slots = calloc(cap_slots, sizeof(struct mem_row *));
	if (!slots)
		return false;
	free(t->slots);
	t->slots = slots;
	t->cap_slots = cap_slots;
	rehash(t);
	return true;
}

void mem_insert(struct mem_table *t, struct mem_row *row)
{
	assert(t->n < t->cap);
	row->number = ++t->last;
	t->rows[t->n++] = row;
	place(t, row);
}

void mem_remove(struct mem_table *t, struct mem_row *row)
{
	for (size_t i = 0; i < t->n; i++) {
		if (t->rows[i] != row)
			continue;
		memmove(&t->rows[i], &t->rows[i + 1], (t->n - i - 1) * sizeof(struct mem_row *));
		t->n--;
		rehash(t);
		return;
	}
}

static void table_release(struct mem_table *t)
{
	free(t->rows);
	free(t->slots);
}

void mem_file_free(struct mem_file *f)
{
	if (!f)
		return;
	arena_release(&f->row.text);
	free(f->jobs);
	free(f);
}

void mem_job_free(struct mem_job *j)
{
	if (!j)
		return;
	arena_release(&j->row.text);
	free(j);
}

static bool copy(struct str *dst, struct str src, struct arena *a)
{
	*dst = src.p ? arena_str(a, src) : src;
	return !src.p || dst->p;
}

bool mem_copy_job(struct job *ret, const struct job *job, struct arena *a)
{
	*ret = *job;
	return copy(&ret->op, job->op, a) && copy(&ret->params, job->params, a) && copy(&ret->result, job->result, a) &&
	       copy(&ret->error_detail, job->error_detail, a) && mem_copy_outputs(ret, job, a);
}

const struct output *mem_imported(const struct mem_file *f)
{
	return f->file.location == LOCATION_IMPORTED && f->import->job.n_outputs ? f->import->job.outputs : NULL;
}

struct mem_file *mem_file_of_blob(const struct mem *m, struct str blob)
{
	struct mem_file *f;
	struct mem_row *row;
	struct uuid id;
	struct str owner;

	if (!file_of_blob_name(&id, &owner, blob) || !(row = mem_find(&m->files, id)))
		return NULL;
	f = CONTAINER_OF(row, struct mem_file, row);
	return mem_has_blob(f) && str_eq(f->file.owner, owner) ? f : NULL;
}

/* ---- changes ---- */

static void probe(struct mem *m, struct change *ch)
{
}

static void (*const METHODS[])(struct mem *m, struct change *ch) = {
	[CHANGE_ADD_FILE] = mem_add_file,
	[CHANGE_ADD_FILES] = mem_add_files,
	[CHANGE_ADD_JOBS] = mem_add_jobs,
	[CHANGE_CLAIM] = mem_claim,
	[CHANGE_FINISH] = mem_finish,
	[CHANGE_BEAT] = mem_beat,
	[CHANGE_RECLAIM] = mem_reclaim,
	[CHANGE_CANCEL_JOB] = mem_cancel,
	[CHANGE_RETRY_JOB] = mem_retry,
	[CHANGE_PATCH_FILE] = mem_patch_file,
	[CHANGE_DELETE_FILE] = mem_delete_file,
	[CHANGE_BLOB_GONE] = mem_blob_gone,
	[CHANGE_OUTBOX_DONE] = mem_outbox_done,
	[CHANGE_PURGE] = mem_purge,
	[CHANGE_EXPIRE_RESULTS] = mem_expire_results,
	[CHANGE_MARK_DAMAGED] = mem_mark_damaged,
	[CHANGE_SCRUB_POSITION] = mem_scrub_position_write,
	[CHANGE_RECURRING] = mem_recurring_write,
	[CHANGE_ADD_WEBHOOK] = mem_add_webhook,
	[CHANGE_PATCH_WEBHOOK] = mem_patch_webhook,
	[CHANGE_ROTATE_WEBHOOK] = mem_rotate_webhook,
	[CHANGE_DELETE_WEBHOOK] = mem_delete_webhook,
	[CHANGE_ADD_PING] = mem_add_ping,
	[CHANGE_ATTEMPT] = mem_attempt,
	[CHANGE_REPLAY] = mem_replay,
	[CHANGE_AUDIT] = mem_audit_only,
	[CHANGE_AUDIT_DONE] = mem_audit_done,
	[CHANGE_ONCE] = mem_once_only,
	[CHANGE_ADD_SECRET] = mem_add_secret,
	[CHANGE_ADD_ACCOUNT] = mem_add_account,
	[CHANGE_PATCH_ACCOUNT] = mem_patch_account,
	[CHANGE_DELETE_ACCOUNT] = mem_delete_account,
	[CHANGE_ADD_SESSION] = mem_add_session,
	[CHANGE_END_SESSION] = mem_end_session,
	[CHANGE_TOUCH_SESSION] = mem_touch_session,
	[CHANGE_ADD_KEY] = mem_add_key,
	[CHANGE_REVOKE_KEY] = mem_revoke_key,
	[CHANGE_LINE] = mem_line_write,
	[CHANGE_PROBE] = probe,
};

/* Memory that runs out refuses the one change that needed it. */
static int apply(struct catalog *c, struct change *const *changes, size_t n, struct err *e)
{
	struct mem *m = CONTAINER_OF(c, struct mem, base);

	pthread_mutex_lock(&m->lock);
	for (size_t i = 0; i < n; i++) {
		ends_of_change(c, i);
		m->n_staged = 0; /* of a change that was refused in the midst */
		if (change_allowed(changes[i]) && mem_once_stage(m, changes[i]) && mem_audit_stage(m, changes[i])) {
			METHODS[changes[i]->kind](m, changes[i]);
			mem_once_settle(m, changes[i]);
			mem_audit_settle(m, changes[i]);
		}
	}
	mem_spare_release(m);
	pthread_mutex_unlock(&m->lock);
	return 0;
}

/* ---- life ---- */

static void idle(struct catalog *c)
{
}

static void release(struct catalog *c)
{
	struct mem *m = CONTAINER_OF(c, struct mem, base);

	for (size_t i = 0; i < m->files.n; i++)
		mem_file_free(CONTAINER_OF(m->files.rows[i], struct mem_file, row));
	for (size_t i = 0; i < m->jobs.n; i++)
		mem_job_free(CONTAINER_OF(m->jobs.rows[i], struct mem_job, row));
	for (size_t i = 0; i < m->n_keys; i++)
		free(m->keys[i].text);
	table_release(&m->files);
	table_release(&m->jobs);
	free(m->workers);
	free(m->keys);
	free(m->outbox);
	mem_webhooks_release(m);
	mem_audit_release(m);
	mem_once_release(m);
	mem_accounts_release(m);
	free(m->doomed);
	arena_release(&m->names);
	mem_recurring_release(m);
	lanes_release(&m->lanes);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

static const struct catalog_ops OPS = {
	.apply = apply,
	.idle = idle,
	.free = release,
	.file = mem_file,
	.inline_bytes = mem_inline_bytes,
	.job = mem_job,
	.ended_job = mem_ended_job,
	.list_files = mem_list_files,
	.list_jobs = mem_list_jobs,
	.stats = mem_stats,
	.usage = mem_usage,
	.import_counts = mem_import_counts,
	.depth = mem_depth,
	.next_run_at = mem_next_run_at,
	.newcomers = mem_newcomers,
	.artifact = mem_artifact,
	.blob_referenced = mem_blob_referenced,
	.doomed = mem_doomed,
	.blob_doomed = mem_blob_doomed,
	.stored = mem_stored,
	.line = mem_line,
	.scrub_position = mem_scrub_position,
	.damaged_count = mem_damaged_count,
	.queue = mem_queue,
	.workers = mem_workers,
	.damaged = mem_damaged,
	.check = mem_check,
	.expired = mem_expired,
	.recurring = mem_recurring,
	.outbox = mem_outbox,
	.webhook = mem_webhook,
	.list_webhooks = mem_list_webhooks,
	.delivery = mem_delivery,
	.list_deliveries = mem_list_deliveries,
	.due_webhooks = mem_due_webhooks,
	.due_deliveries = mem_due_deliveries,
	.webhook_stats = mem_webhook_stats,
	.account = mem_account,
	.list_accounts = mem_list_accounts,
	.account_count = mem_account_count,
	.session = mem_session,
	.api_key = mem_api_key,
	.list_keys = mem_list_keys,
	.once_used = mem_once_used,
	.secrets = mem_secrets,
	.audit = mem_audit,
	.audit_head = mem_audit_head,
};

int catalog_memory_new(struct catalog **ret, const struct catalog_options *options, struct err *e)
{
	struct mem *m = calloc(1, sizeof(*m));

	if (!m)
		return err_set(e, ERR_NO_MEMORY, "no memory for a catalogue");
	m->base.ops = &OPS;
	m->base.options = *options;
	m->audit_head.file = 1;
	pthread_mutex_init(&m->lock, NULL);
	*ret = &m->base;
	return 0;
}
