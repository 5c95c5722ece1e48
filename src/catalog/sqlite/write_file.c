/* Changes of files. */
#include "catalog/sqlite/sq.h"

#include <string.h>

/* What FILE_FIND knows. */
struct found {
	int64_t number;
	bool exists, deleted;
	uint64_t size;
	enum location location;
	int64_t expires_at;
};

/* A file of another owner does not exist for the caller. */
static int find_file(struct sq *q, const struct uuid *id, struct str owner, struct found *ret)
{
	sqlite3_stmt *s = q->stmt[W_FILE_FIND];
	bool row;
	int rc;

	*ret = (struct found){};
	bind_uuid(s, 1, id);
	rc = first(s, &row);
	if (row && str_eq(col_str(s, 1), owner)) {
		ret->exists = true;
		ret->number = sqlite3_column_int64(s, 0);
		ret->size = (uint64_t)sqlite3_column_int64(s, 2);
		ret->location = (enum location)sqlite3_column_int(s, 4);
		ret->deleted = !col_null(s, 5);
		ret->expires_at = sqlite3_column_int64(s, 6);
	}
	sqlite3_reset(s);
	return rc;
}

/* Refuses unless the file is there. */
static int find_live_file(struct sq *q, struct change *ch, const struct uuid *id, struct str owner, struct found *ret)
{
	int rc = find_file(q, id, owner, ret);

	if (rc != SQLITE_OK)
		return rc;
	if (!ret->exists)
		return change_refuse(ch, ERR_FILE_NOT_FOUND, "there is no file with this id");
	if (ret->deleted)
		return change_refuse(ch, ERR_FILE_GONE, "the file was deleted");
	return SQLITE_OK;
}

/* Looks for an earlier use of the key: *ret_settled when the change is answered by it, as a replay or a refusal. */
static int idempotency_check(struct sq *q, struct change *ch, bool *ret_settled)
{
	struct change_add_file *add = &ch->add_file;
	sqlite3_stmt *s = q->stmt[W_IDEMPOTENCY_FIND], *old = q->stmt[W_IDEMPOTENCY_DELETE];
	struct str fingerprint;
	bool row;
	int rc;

	bind_str(s, 1, add->file->owner);
	bind_str(s, 2, add->idempotency_key);
	rc = first(s, &row);
	if (!row) {
		sqlite3_reset(s);
		return rc;
	}
	if (sqlite3_column_int64(s, 3) <= add->file->created_at - IDEMPOTENCY_MS) {
		sqlite3_bind_int64(old, 1, sqlite3_column_int64(s, 0));
		sqlite3_reset(s);
		return run(old);
	}
	*ret_settled = true;
	fingerprint = (struct str){sqlite3_column_blob(s, 1), (size_t)sqlite3_column_bytes(s, 1)};
	if (str_eq(fingerprint, (struct str){(const char *)add->fingerprint, sizeof(add->fingerprint)})) {
		add->replayed = true;
		add->replay_of = col_uuid(s, 2);
	} else {
		change_refuse(ch, ERR_IDEMPOTENCY_CONFLICT, "the key was used for another request within the last 24 hours");
	}
	sqlite3_reset(s);
	return SQLITE_OK;
}

static int idempotency_add(struct sq *q, const struct change_add_file *add)
{
	sqlite3_stmt *s = q->stmt[W_IDEMPOTENCY_ADD];

	bind_str(s, 1, add->file->owner);
	bind_str(s, 2, add->idempotency_key);
	sqlite3_bind_blob(s, 3, add->fingerprint, sizeof(add->fingerprint), SQLITE_STATIC);
	bind_uuid(s, 4, &add->file->id);
	sqlite3_bind_int64(s, 5, add->file->created_at);
	return run(s);
}

static int put_file(struct sq *q, struct file *f)
{
	sqlite3_stmt *s = q->stmt[W_FILE_ADD];
	int rc;

	bind_uuid(s, 1, &f->id);
	bind_str(s, 2, f->owner);
	bind_str(s, 3, f->name);
	sqlite3_bind_int64(s, 4, (int64_t)f->size);
	bind_str(s, 5, f->type);
	sqlite3_bind_blob(s, 6, f->sha256, sizeof(f->sha256), SQLITE_STATIC);
	bind_str(s, 7, f->labels);
	sqlite3_bind_int(s, 8, (int)f->location);
	sqlite3_bind_int64(s, 9, f->created_at);
	bind_time(s, 10, f->expires_at);
	rc = run(s);
	if (rc == SQLITE_OK) {
		f->number = sqlite3_last_insert_rowid(q->db);
		q->now.files++;
		q->now.file_bytes += (int64_t)f->size;
		q->now_changed = true;
		rc = usage_add(q, f);
	}
	return rc;
}

static int put_bytes(struct sq *q, int64_t file_number, struct str bytes)
{
	sqlite3_stmt *s = q->stmt[W_BLOB_ADD];

	sqlite3_bind_int64(s, 1, file_number);
	sqlite3_bind_blob64(s, 2, bytes.len ? bytes.p : "", bytes.len, SQLITE_STATIC);
	return run(s);
}

static int mark_coming(struct sq *q, const struct file *f)
{
	sqlite3_stmt *s = q->stmt[W_FILE_COMING];

	sqlite3_bind_int64(s, 1, f->number);
	sqlite3_bind_int64(s, 2, f->jobs[0].number);
	return run(s);
}

/* A job that rode along with the upload is final already; the others wait, unless their work was done before. All are looked up before the first row
 * is written. */
static int settle_jobs(struct sq *q, struct change *ch, const struct change_add_file *c, uint64_t *ret_queued)
{
	struct file *f = c->file;
	const struct adding add = {.owner = f->owner, .jobs = f->jobs, .arena = c->arena};
	int rc = SQLITE_OK;

	for (size_t i = 0; rc == SQLITE_OK && !ch->code && i < f->n_jobs; i++) {
		struct job *job = &f->jobs[i];

		job->file = f->id;
		job->fence = 0;
		if (job_born_final(job))
			continue;
		rc = settle_job(q, ch, &add, i, 0, f->sha256);
		*ret_queued += job->state == JOB_QUEUED;
	}
	return rc;
}

/* Whether the file may come, after those before it in the same change; changes nothing. */
static int check_new(struct sq *q, struct change *ch, const struct change_add_file *add, struct files_coming *before)
{
	const struct file *f = add->file;
	struct quotas own;
	int rc = usage_allows(q, ch, f, &before->usage);

	if (rc == SQLITE_OK && !ch->code)
		rc = settle_jobs(q, ch, add, &before->queued);
	if (rc != SQLITE_OK || ch->code)
		return rc;
	before->usage.files++;
	before->usage.bytes += f->size;
	rc = owner_quotas(q, f->owner, &own);
	if (rc == SQLITE_OK)
		(void)change_has_room(&q->base, ch, (uint64_t)q->now.waiting,
				      f->n_jobs ? lanes_waiting_of(&q->lanes, f->owner, f->jobs[0].op) : 0, own, before->queued, 0);
	return rc;
}

static int put_new(struct sq *q, const struct change_add_file *add)
{
	struct file *f = add->file;
	int rc = put_file(q, f);

	if (rc == SQLITE_OK && f->location == LOCATION_INLINE)
		rc = put_bytes(q, f->number, add->bytes);
	for (size_t i = 0; rc == SQLITE_OK && i < f->n_jobs; i++)
		rc = put_settled(q, &f->jobs[i], f->number, f->owner);
	return rc;
}

int sq_add_file(struct sq *q, struct change *ch)
{
	struct change_add_file *add = &ch->add_file;
	struct files_coming before = {};
	bool settled = false;
	int rc = SQLITE_OK;

	add->replayed = false;
	if (add->idempotency_key.p)
		rc = idempotency_check(q, ch, &settled);
	if (rc != SQLITE_OK || settled)
		return rc;
	rc = check_new(q, ch, add, &before);
	if (rc != SQLITE_OK || ch->code)
		return rc;
	rc = put_new(q, add);
	if (rc == SQLITE_OK && add->file->location == LOCATION_COMING)
		rc = mark_coming(q, add->file);
	if (rc == SQLITE_OK && add->idempotency_key.p)
		rc = idempotency_add(q, add);
	return rc;
}

/* All or nothing: every file is looked at before the first is written. */
int sq_add_files(struct sq *q, struct change *ch)
{
	struct change_add_files *add = &ch->add_files;
	struct files_coming before = {};
	int rc = SQLITE_OK;

	for (size_t i = 0; i < add->n; i++) {
		add->files[i].replayed = false;
		rc = check_new(q, ch, &add->files[i], &before);
		if (rc != SQLITE_OK || ch->code) {
			add->failed_index = i;
			return rc;
		}
	}
	for (size_t i = 0; rc == SQLITE_OK && i < add->n; i++)
		rc = put_new(q, &add->files[i]);
	return rc;
}

int sq_patch_file(struct sq *q, struct change *ch)
{
	struct change_patch_file *p = &ch->patch_file;
	sqlite3_stmt *s = q->stmt[W_FILE_PATCH];
	struct found f;
	int rc = find_live_file(q, ch, &p->id, p->owner, &f);

	if (rc != SQLITE_OK || ch->code)
		return rc;
	sqlite3_bind_int64(s, 1, f.number);
	bind_str(s, 2, p->name);
	bind_str(s, 3, p->labels);
	sqlite3_bind_int(s, 4, p->set_expires);
	bind_time(s, 5, p->expires_at);
	return run(s);
}

/* Waiting jobs end at once, held ones among them; running ones are told and end with their attempt. */
static int cancel_jobs_of(struct sq *q, int64_t file_number, int64_t now)
{
	sqlite3_stmt *s = q->stmt[W_TASKS_OF_FILE], *cancel = q->stmt[W_TASK_CANCEL];
	struct ending end = ending_cancelled(now);
	struct task tasks[64];
	int64_t after = 0;
	int rc, n;

	do {
		sqlite3_bind_int64(s, 1, file_number);
		sqlite3_bind_int64(s, 2, after);
		sqlite3_bind_int(s, 3, (int)ARRAY_LEN(tasks));
		for (n = 0; (rc = sqlite3_step(s)) == SQLITE_ROW && n < (int)ARRAY_LEN(tasks); n++) {
			tasks[n].job = after = sqlite3_column_int64(s, 0);
			row_task(s, 1, &tasks[n]);
		}
		sqlite3_reset(s);
		rc = rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
		for (int i = 0; rc == SQLITE_OK && i < n; i++) {
			sqlite3_bind_int64(cancel, 1, tasks[i].job);
			rc = tasks[i].state == JOB_QUEUED ? end_task_alone(q, &tasks[i], &end) : run(cancel);
		}
	} while (rc == SQLITE_OK && n == (int)ARRAY_LEN(tasks));
	return rc;
}

/* The file's own bytes: inline they go now, a stored blob is marked. An import's are an output, which goes with the others. */
static int drop_bytes(struct sq *q, const struct change_delete_file *d, const struct found *f, bool *ret_doomed)
{
	sqlite3_stmt *bytes = q->stmt[W_BLOB_DELETE];
	char name[FILE_BLOB_NAME_MAX + 1];

	if (f->location == LOCATION_FILE || f->location == LOCATION_OBJECT)
		return doom_blob(q, file_blob_name(name, d->owner, d->id), d->now, ret_doomed);
	sqlite3_bind_int64(bytes, 1, f->number);
	return run(bytes);
}

int sq_delete_file(struct sq *q, struct change *ch)
{
	struct change_delete_file *d = &ch->delete_file;
	sqlite3_stmt *mark = q->stmt[W_FILE_DELETE];
	bool doomed = false;
	struct found f;
	int rc = find_live_file(q, ch, &d->id, d->owner, &f);

	if (rc != SQLITE_OK || ch->code)
		return rc;
	if (d->expired_by && (!f.expires_at || f.expires_at > d->expired_by))
		return change_not_expired(ch);
	rc = cancel_jobs_of(q, f.number, d->now);
	if (rc == SQLITE_OK)
		rc = forget_work(q, f.number, d->now, &doomed);
	if (rc != SQLITE_OK)
		return rc;
	sqlite3_bind_int64(mark, 1, f.number);
	sqlite3_bind_int64(mark, 2, d->now);
	rc = run(mark);
	if (rc == SQLITE_OK)
		rc = drop_bytes(q, d, &f, &doomed);
	if (rc == SQLITE_OK)
		rc = usage_sub(q, d->owner, f.size);
	d->location = f.location;
	d->doomed = doomed;
	q->now.files--;
	q->now.file_bytes -= (int64_t)f.size;
	q->now_changed = true;
	return rc;
}
