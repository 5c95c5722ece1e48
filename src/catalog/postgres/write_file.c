/* Changes of files. Those that add files are done many at once: what has to be known of all of them is asked for first, then each is decided by itself, and the rows are gathered. */
#include "catalog/postgres/write.h"

#include <string.h>

/* ---- adding ---- */

/* An earlier use of an idempotency key. */
struct earlier {
	int64_t number; /* 0 = none */
	uint8_t fingerprint[32];
	struct uuid file;
	int64_t created_at;
};

struct adding_files {
	const struct placed *list;
	size_t n;
	struct earlier *earlier; /* one a change */
	struct done **done; /* one a change: of its jobs */
	int64_t waiting; /* in all, where there is a limit */
};

static int find_earlier(struct pg *q, struct adding_files *x)
{
	CLEANUP(array_release) struct pg_array owner = PG_ARRAY(PG_TEXT);
	CLEANUP(array_release) struct pg_array key = PG_ARRAY(PG_TEXT);
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	size_t *at = arena_alloc(&q->scratch, x->n * sizeof(*at));
	struct pg_args a = {};

	if (!at)
		return pg_no_memory(&q->link);
	for (size_t i = 0; i < x->n; i++) {
		const struct change_add_file *add = &x->list[i].ch->add_file;

		if (!add->idempotency_key.p)
			continue;
		at[owner.n] = i;
		array_str(&owner, add->file->owner);
		array_str(&key, add->idempotency_key);
	}
	if (owner.n == 0)
		return 0;
	arg_array(&a, &owner);
	arg_array(&a, &key);
	int rc = w_ask(q, W_IDEMPOTENCY_FIND, &a, &r);
	for (int i = 0; rc == 0 && i < r.n; i++) {
		struct earlier *e = &x->earlier[at[pg_col_int(&r, i, 0) - 1]];

		e->number = pg_col_int(&r, i, 1);
		pg_col_sha256(&r, i, 2, e->fingerprint);
		e->file = pg_col_uuid(&r, i, 3);
		e->created_at = pg_col_int(&r, i, 4);
	}
	return rc;
}

/* A key that a change before this one used in the same batch. */
static void find_earlier_here(struct adding_files *x, size_t i)
{
	const struct change_add_file *add = &x->list[i].ch->add_file;

	for (size_t k = 0; k < i; k++) {
		const struct change_add_file *b = &x->list[k].ch->add_file;

		if (x->list[k].ch->code || b->replayed || !b->idempotency_key.p || !str_eq(b->idempotency_key, add->idempotency_key) ||
		    !str_eq(b->file->owner, add->file->owner))
			continue;
		x->earlier[i] = (struct earlier){.number = -1, .file = b->file->id, .created_at = b->file->created_at};
		memcpy(x->earlier[i].fingerprint, b->fingerprint, sizeof(b->fingerprint));
	}
}

/* *ret_settled when the change is answered by an earlier use of the key, as a replay or a refusal. */
static int check_earlier(struct pg *q, struct change *ch, const struct earlier *e, bool *ret_settled)
{
	struct change_add_file *add = &ch->add_file;

	if (!e->number)
		return 0;
	if (e->created_at <= add->file->created_at - IDEMPOTENCY_MS)
		return e->number > 0 ? w_run_int(q, W_IDEMPOTENCY_DELETE, e->number) : 0;
	*ret_settled = true;
	if (memcmp(e->fingerprint, add->fingerprint, sizeof(add->fingerprint)) == 0) {
		add->replayed = true;
		add->replay_of = e->file;
		return 0;
	}
	return change_refuse(ch, ERR_IDEMPOTENCY_CONFLICT, "the key was used for another request within the last 24 hours");
}

/* The rows of all owners are locked, in order, so that what is decided on them still holds at the end. */
static int lock_usage(struct pg *q, const struct adding_files *x)
{
	CLEANUP(array_release) struct pg_array names = PG_ARRAY(PG_TEXT);
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args begin = {}, lock = {};
	int rc = counts_flush(q); /* what was counted so far is in the rows then */

	for (size_t i = 0; rc == 0 && i < x->n; i++) {
		struct owner_state *o = owner_of(q, x->list[i].ch->add_file.file->owner);

		if (!o)
			return q->link.err.code;
		if (!o->known)
			array_str(&names, o->name);
		o->known = true;
	}
	if (rc != 0 || names.n == 0)
		return rc;
	arg_array(&begin, &names);
	arg_array(&lock, &names);
	rc = pg_send(&q->link, W_USAGE_BEGIN, &begin);
	if (rc == 0)
		rc = pg_ask(&q->link, W_USAGE_LOCK, &lock, &r);
	if (rc == 0 && r.n != names.n) { /* one went between the two statements */
		rc = pg_fail_with(&q->link, ERR_CATALOG_UNAVAILABLE, "an owner's usage was another's meanwhile");
		q->link.failure = PG_AGAIN;
	}
	for (int i = 0; rc == 0 && i < r.n; i++) {
		struct owner_state *o = owner_of(q, pg_col_str(&r, i, 0));

		if (o)
			o->used = (struct usage){.files = (uint64_t)pg_col_int(&r, i, 1), .bytes = (uint64_t)pg_col_int(&r, i, 2)};
	}
	return rc;
}

static int find_own_quotas(struct pg *q, const struct adding_files *x)
{
	struct owner_state **owners = arena_alloc(&q->scratch, x->n * sizeof(struct owner_state *));

	/* Twice, since the list of owners may move while it grows. */
	for (int round = 0; owners && round < 2; round++)
		for (size_t i = 0; i < x->n; i++) {
			owners[i] = owner_of(q, x->list[i].ch->add_file.file->owner);
			if (!owners[i])
				return q->link.err.code;
		}
	return owners ? quotas_of(q, owners, x->n) : pg_no_memory(&q->link);
}

static int find_all_done(struct pg *q, const struct adding_files *x)
{
	struct wanted *list;
	size_t n = 0, jobs = 0;

	for (size_t i = 0; i < x->n; i++)
		jobs += x->list[i].ch->add_file.file->n_jobs;
	list = arena_alloc(&q->scratch, (jobs + 1) * sizeof(*list));
	if (!list)
		return pg_no_memory(&q->link);
	for (size_t i = 0; i < x->n; i++) {
		const struct file *f = x->list[i].ch->add_file.file;

		x->done[i] = arena_alloc(&q->scratch, (f->n_jobs + 1) * sizeof(**x->done));
		if (!x->done[i])
			return pg_no_memory(&q->link);
		for (size_t k = 0; k < f->n_jobs; k++) {
			const struct job *job = &f->jobs[k];

			if (!job_born_final(job) && uuid_is_zero(job->after) && !job->own_name)
				list[n++] = (struct wanted){job, f->owner, f->sha256, &x->done[i][k]};
		}
	}
	return find_done(q, list, n);
}

static void gather_file(struct pg *q, const struct change_add_file *add)
{
	const struct file *f = add->file;
	struct pg_array *c = g_begin(q, G_FILES);

	array_int(c++, f->number);
	array_uuid(c++, f->id);
	array_str(c++, f->owner);
	array_str(c++, f->name);
	array_int(c++, (int64_t)f->size);
	array_str(c++, f->type);
	array_bytes(c++, f->sha256, sizeof(f->sha256));
	array_str(c++, f->labels);
	array_int(c++, (int)f->location);
	array_int(c++, f->created_at);
	array_time(c++, f->expires_at);
	array_time(c++, f->location == LOCATION_COMING ? f->jobs[0].number : 0);
	if (f->location == LOCATION_INLINE) {
		c = g_begin(q, G_BLOBS);
		array_int(c++, f->number);
		array_bytes(c++, add->bytes.p, add->bytes.len);
	}
	if (add->idempotency_key.p) {
		c = g_begin(q, G_IDEMPOTENCY);
		array_str(c++, f->owner);
		array_str(c++, add->idempotency_key);
		array_bytes(c++, add->fingerprint, sizeof(add->fingerprint));
		array_uuid(c++, f->id);
		array_int(c++, f->created_at);
	}
}

/* A job that rode along with the upload is final already; the others wait, unless their work was done before. All are looked up before the first row is gathered. */
static int settle_jobs(struct pg *q, struct change *ch, const struct adding *add, uint64_t *ret_queued)
{
	struct file *f = ch->add_file.file;
	int rc = 0;

	for (size_t i = 0; rc == 0 && !ch->code && i < f->n_jobs; i++) {
		struct job *job = &f->jobs[i];

		job->file = f->id;
		job->fence = 0;
		if (job_born_final(job))
			continue;
		rc = pgw_settle_job(q, ch, add, i, 0, f->sha256);
		*ret_queued += job->state == JOB_QUEUED;
	}
	return rc;
}

static int has_room(struct pg *q, struct adding_files *x, struct change *ch, uint64_t queued)
{
	struct owner_state *his = NULL;
	int rc = 0;

	if (!queue_is_limited(q))
		return 0;
	his = owner_of(q, ch->add_file.file->owner);
	if (!his)
		return q->link.err.code;
	rc = waiting_of_owner(q, his);
	if (rc == 0)
		(void)change_has_room(&q->base, ch, (uint64_t)x->waiting, (uint64_t)his->waiting, his->own, queued, 0);
	return rc;
}

static struct adding adding_of(const struct adding_files *x, size_t i)
{
	const struct change_add_file *c = &x->list[i].ch->add_file;

	return (struct adding){.owner = c->file->owner, .jobs = c->file->jobs, .arena = c->arena, .done = x->done[i]};
}

/* Nodes are forgotten by whoever runs alone, so that what is found here stays so until the commit. */
static int know_node(struct pg *q, struct uuid node)
{
	struct pg_writes *w = q->writes;
	int64_t number;
	int rc;

	if (uuid_eq(w->node, node))
		return 0;
	rc = pgw_worker_number(q, node, -1, &number);
	if (rc == 0) {
		w->node = node;
		w->node_known = number != 0;
	}
	return rc;
}

/* Whether the file may come, after those before it in the same change. Nothing is gathered. */
static int check_one(struct pg *q, struct adding_files *x, size_t i, struct files_coming *before)
{
	struct change *ch = x->list[i].ch;
	const struct file *f = ch->add_file.file;
	const struct adding add = adding_of(x, i);
	struct owner_state *o = owner_of(q, f->owner);
	int rc;

	if (!o)
		return q->link.err.code;
	if (!uuid_is_zero(ch->add_file.node)) {
		rc = know_node(q, ch->add_file.node);
		if (rc != 0)
			return rc;
		if (!q->writes->node_known)
			return change_refuse(ch, ERR_CATALOG_UNAVAILABLE,
					     "the others took this node for lost, and what it had not committed with it");
	}
	const struct usage used = {
		.files = o->used.files + before->usage.files, .bytes = o->used.bytes + before->usage.bytes, .own = o->own};
	if (catalog_has_quota(&q->base) && !change_within_quota(&q->base, ch, &used, f->size))
		return 0;
	rc = settle_jobs(q, ch, &add, &before->queued);
	if (rc == 0 && !ch->code)
		rc = has_room(q, x, ch, before->queued);
	before->usage.files++;
	before->usage.bytes += f->size;
	return rc;
}

static int put_one(struct pg *q, const struct adding_files *x, size_t i)
{
	const struct change_add_file *c = &x->list[i].ch->add_file;
	const struct adding add = adding_of(x, i);
	struct file *f = c->file;
	int rc;

	f->number = next_file_number(q);
	if (!f->number)
		return pg_fail_with(&q->link, ERR_INTERNAL, "a file without a number");
	rc = count_file(q, f->owner, 1, (int64_t)f->size);
	if (f->location != LOCATION_COMING)
		gather_file(q, c);
	for (size_t k = 0; rc == 0 && k < f->n_jobs; k++)
		rc = pgw_put_settled(q, &add, k, f->number);
	if (f->location == LOCATION_COMING)
		gather_file(q, c); /* it names the first job */
	return rc;
}

static int add_one(struct pg *q, struct adding_files *x, size_t i)
{
	struct change *ch = x->list[i].ch;
	struct files_coming coming = {};
	bool settled = false;
	int rc = check_earlier(q, ch, &x->earlier[i], &settled);

	if (rc == 0 && !settled)
		rc = check_one(q, x, i, &coming);
	if (rc != 0 || settled || ch->code)
		return rc;
	x->waiting += (int64_t)coming.queued;
	return put_one(q, x, i);
}

/* What has to be known of all of them. */
static int prepare(struct pg *q, struct adding_files *x)
{
	int rc;

	x->earlier = arena_alloc(&q->scratch, x->n * sizeof(*x->earlier));
	x->done = arena_alloc(&q->scratch, x->n * sizeof(struct done *));
	if (!x->earlier || !x->done)
		return pg_no_memory(&q->link);
	rc = find_earlier(q, x);
	if (rc == 0 && catalog_has_quota(&q->base))
		rc = lock_usage(q, x);
	if (rc == 0)
		rc = find_all_done(q, x);
	if (rc == 0 && catalog_own_quotas(&q->base))
		rc = find_own_quotas(q, x);
	if (rc == 0 && queue_is_limited(q))
		rc = waiting_in_all(q, &x->waiting);
	return rc;
}

int pgw_add_files(struct pg *q, const struct placed *list, size_t n)
{
	struct adding_files x = {.list = list, .n = n};
	int rc = prepare(q, &x);

	for (size_t i = 0; rc == 0 && i < n; i++) {
		struct change *ch = list[i].ch;

		ends_of_change(&q->base, list[i].at);
		ch->add_file.replayed = false;
		if (ch->add_file.idempotency_key.p && x.earlier[i].number == 0)
			find_earlier_here(&x, i);
		rc = add_one(q, &x, i);
	}
	return rc;
}

/* Each as a change of its own, which says what it is refused for; all are checked before the first is gathered. */
int pgw_add_several(struct pg *q, struct change *ch, size_t at)
{
	struct change_add_files *add = &ch->add_files;
	struct change *each = arena_alloc(&q->scratch, add->n * sizeof(*each));
	struct placed *list = arena_alloc(&q->scratch, add->n * sizeof(*list));
	struct adding_files x = {.list = list, .n = add->n};
	struct files_coming coming = {};
	int rc;

	if (!each || !list)
		return pg_no_memory(&q->link);
	for (size_t i = 0; i < add->n; i++) {
		add->files[i].replayed = false;
		each[i] = (struct change){.kind = CHANGE_ADD_FILE, .add_file = add->files[i]};
		list[i] = (struct placed){&each[i], at};
	}
	rc = prepare(q, &x);
	for (size_t i = 0; rc == 0 && i < add->n; i++) {
		rc = check_one(q, &x, i, &coming);
		if (rc != 0 || !each[i].code)
			continue;
		add->failed_index = i;
		ch->code = each[i].code;
		ch->err = each[i].err;
		ch->excess = each[i].excess;
		ch->excess_of_owner = each[i].excess_of_owner;
		return 0;
	}
	for (size_t i = 0; rc == 0 && i < add->n; i++)
		rc = put_one(q, &x, i);
	return rc;
}

/* The index said only that an id is taken. That none is found any more, since it went meanwhile, tells nobody anything. */
int pgw_find_taken(struct pg *q, struct change *ch)
{
	struct change_add_files *add = &ch->add_files;
	CLEANUP(array_release) struct pg_array n = PG_ARRAY(PG_INT);
	CLEANUP(array_release) struct pg_array is_job = PG_ARRAY(PG_BOOL);
	CLEANUP(array_release) struct pg_array id = PG_ARRAY(PG_UUID);
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args a = {};

	for (size_t i = 0; i < add->n; i++) {
		const struct file *f = add->files[i].file;

		for (size_t k = 0; k <= f->n_jobs; k++) {
			array_int(&n, (int64_t)i);
			array_bool(&is_job, k < f->n_jobs);
			array_uuid(&id, k < f->n_jobs ? f->jobs[k].id : f->id);
		}
	}
	arg_array(&a, &n);
	arg_array(&a, &is_job);
	arg_array(&a, &id);
	int rc = w_ask(q, W_IDS_TAKEN, &a, &r);
	if (rc == 0 && r.n)
		add->failed_index = (size_t)pg_col_int(&r, 0, 0);
	return rc;
}

/* ---- one by one ---- */

/* What FILE_FIND knows. */
struct found {
	int64_t number;
	bool exists, deleted;
	uint64_t size;
	enum location location;
	int64_t expires_at;
};

/* Refuses unless the file is there. A file of another owner does not exist for the caller. */
static int find_live_file(struct pg *q, struct change *ch, const struct uuid *id, struct str owner, struct found *ret)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args a = {};

	arg_uuid(&a, id);
	int rc = w_ask(q, W_FILE_FIND, &a, &r);
	if (rc != 0)
		return rc;
	if (r.n == 0 || !str_eq(pg_col_str(&r, 0, 1), owner))
		return change_refuse(ch, ERR_FILE_NOT_FOUND, "there is no file with this id");
	if (!pg_col_null(&r, 0, 5))
		return change_refuse(ch, ERR_FILE_GONE, "the file was deleted");
	*ret = (struct found){.number = pg_col_int(&r, 0, 0),
			      .size = (uint64_t)pg_col_int(&r, 0, 2),
			      .location = (enum location)pg_col_int(&r, 0, 4),
			      .expires_at = pg_col_int(&r, 0, 6)};
	return 0;
}

int pgw_patch_file(struct pg *q, struct change *ch)
{
	struct change_patch_file *p = &ch->patch_file;
	struct pg_args a = {};
	struct found f = {};
	int rc = find_live_file(q, ch, &p->id, p->owner, &f);

	if (rc != 0 || ch->code)
		return rc;
	arg_int(&a, f.number);
	arg_str(&a, p->name);
	arg_str(&a, p->labels);
	arg_bool(&a, p->set_expires);
	arg_time(&a, p->expires_at);
	return w_run(q, W_FILE_PATCH, &a);
}

/* Waiting jobs end at once, held ones among them; running ones are told and end with their attempt. */
static int cancel_jobs_of(struct pg *q, int64_t file_number, int64_t now)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct ending end = ending_cancelled(now);
	struct pg_args a = {};

	arg_int(&a, file_number);
	int rc = w_ask(q, W_TASKS_OF_FILE, &a, &r);
	for (int i = 0; rc == 0 && i < r.n; i++) {
		struct task t = {.job = pg_col_int(&r, i, 0)};

		pgw_row_task(&r, i, 1, &t);
		rc = t.state == JOB_QUEUED ? pgw_end_task_alone(q, &t, &end) : w_run_int(q, W_TASK_CANCEL, t.job);
	}
	return rc;
}

/* The file's own bytes: inline they go now, a stored blob is marked. An import's are an output, which goes with the others. */
static int drop_bytes(struct pg *q, const struct change_delete_file *d, const struct found *f, bool *ret_doomed)
{
	char name[FILE_BLOB_NAME_MAX + 1];

	if (f->location == LOCATION_FILE || f->location == LOCATION_OBJECT)
		return pgw_doom_blob(q, file_blob_name(name, d->owner, d->id), d->now, ret_doomed);
	return w_run_int(q, W_BLOB_DELETE, f->number);
}

int pgw_delete_file(struct pg *q, struct change *ch)
{
	struct change_delete_file *d = &ch->delete_file;
	bool doomed = false;
	struct found f = {};
	int rc = find_live_file(q, ch, &d->id, d->owner, &f);

	if (rc != 0 || ch->code)
		return rc;
	if (d->expired_by && (!f.expires_at || f.expires_at > d->expired_by))
		return change_not_expired(ch);
	rc = cancel_jobs_of(q, f.number, d->now);
	if (rc == 0)
		rc = pgw_forget_work(q, f.number, d->now, &doomed);
	if (rc == 0)
		rc = w_run_int2(q, W_FILE_DELETE, f.number, d->now);
	if (rc == 0)
		rc = drop_bytes(q, d, &f, &doomed);
	if (rc == 0)
		rc = count_file(q, d->owner, -1, -(int64_t)f.size);
	d->location = f.location;
	d->doomed = doomed;
	return rc;
}
