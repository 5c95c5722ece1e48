/* Rows that a batch brings into being, gathered and written with one statement a table; and what it counts, written once at its end.
 *
 * What other nodes change too comes last and in one order everywhere: usage by owner, then artifacts by key, then outbox and audit under the order lock. So batches wait for each other
 * only while they commit, and seldom in a circle; one that does is undone by PostgreSQL and done again. */
#include "catalog/postgres/write.h"

#include <stdlib.h>
#include <string.h>

#define I PG_INT
#define T PG_TEXT
#define U PG_UUID
#define B PG_BYTES
#define O PG_BOOL

static const struct {
	enum pg_stmt stmt;
	int n;
	enum pg_type types[GATHER_COLUMNS];
} TABLES[GATHERED] = {
	[G_FILES] = {W_FILES_ADD, 12, {I, U, T, T, I, T, B, T, I, I, I, I}},
	[G_BLOBS] = {W_BLOBS_ADD, 2, {I, B}},
	[G_JOBS] = {W_JOBS_ADD, 11, {I, U, I, I, T, I, T, I, I, I, I}},
	[G_TASKS] = {W_TASKS_ADD, 5, {I, I, I, I, I}},
	[G_ENDED_TASKS] = {W_TASKS_END, 4, {I, I, I, I}},
	[G_RESULTS] = {W_RESULTS_ADD, 14, {I, I, I, I, I, I, I, I, I, T, T, O, I, I}},
	[G_OUTPUTS] = {W_OUTPUTS_ADD, 7, {I, I, T, T, I, B, T}},
	[G_IDEMPOTENCY] = {W_IDEMPOTENCY_ADD, 5, {T, T, B, U, I}},
	[G_ARTIFACTS] = {W_ARTIFACTS_ADD, 2, {I, I}},
	[G_OUTBOX] = {W_OUTBOX_ADD, 13, {I, I, I, I, I, I, I, I, I, T, T, O, I}},
	[G_AUDIT] = {W_AUDIT_ADD, 1, {T}},
};

#undef I
#undef T
#undef U
#undef B
#undef O

struct pg_writes *writes_new(void)
{
	struct pg_writes *w = calloc(1, sizeof(*w));

	for (size_t g = 0; w && g < GATHERED; g++)
		for (int i = 0; i < TABLES[g].n; i++)
			w->gather[g].column[i] = PG_ARRAY(TABLES[g].types[i]);
	return w;
}

void writes_free(struct pg_writes *w)
{
	if (!w)
		return;
	for (size_t g = 0; g < GATHERED; g++)
		for (int i = 0; i < GATHER_COLUMNS; i++)
			array_release(&w->gather[g].column[i]);
	free(w->lanes);
	free(w->owners);
	free(w->files);
	free(w->jobs);
	free(w);
}

static void gather_reset(struct gather *g)
{
	for (int i = 0; i < GATHER_COLUMNS; i++)
		array_reset(&g->column[i]);
	g->n = 0;
}

void writes_reset(struct pg *q)
{
	struct pg_writes *w = q->writes;

	for (size_t g = 0; g < GATHERED; g++)
		if (w->gather[g].n)
			gather_reset(&w->gather[g]);
	memset(&w->tally, 0, sizeof(w->tally));
	w->n_lanes = w->n_owners = 0;
}

struct pg_array *g_begin(struct pg *q, enum gathered g)
{
	q->writes->gather[g].n++;
	return q->writes->gather[g].column;
}

/* ---- writing ---- */

static int write_gathered(struct pg *q, enum gathered g)
{
	struct gather *x = &q->writes->gather[g];
	struct pg_args a = {};
	int rc;

	if (x->n == 0)
		return q->link.failure == PG_FINE ? 0 : q->link.err.code;
	for (int i = 0; i < TABLES[g].n; i++)
		arg_array(&a, &x->column[i]);
	rc = pg_send(&q->link, TABLES[g].stmt, &a);
	gather_reset(x);
	return rc;
}

static int write_range(struct pg *q, enum gathered first, enum gathered last)
{
	int rc = 0;

	for (enum gathered g = first; rc == 0 && g <= last; g++)
		rc = write_gathered(q, g);
	return rc;
}

int rows_flush(struct pg *q)
{
	return write_range(q, G_FILES, G_ARTIFACTS);
}

int w_ask(struct pg *q, enum pg_stmt s, struct pg_args *a, struct pg_rows *ret)
{
	int rc = rows_flush(q);

	*ret = (struct pg_rows){};
	return rc == 0 ? pg_ask(&q->link, s, a, ret) : rc;
}

int w_run(struct pg *q, enum pg_stmt s, struct pg_args *a)
{
	int rc = rows_flush(q);

	return rc == 0 ? pg_send(&q->link, s, a) : rc;
}

int w_run_int(struct pg *q, enum pg_stmt s, int64_t number)
{
	struct pg_args a = {};

	arg_int(&a, number);
	return w_run(q, s, &a);
}

int w_run_int2(struct pg *q, enum pg_stmt s, int64_t x, int64_t y)
{
	struct pg_args a = {};

	arg_int(&a, x);
	arg_int(&a, y);
	return w_run(q, s, &a);
}

/* ---- counting ---- */

static struct lane_delta *lane_delta(struct pg *q, int64_t lane)
{
	struct pg_writes *w = q->writes;

	for (size_t i = w->n_lanes; i > 0; i--)
		if (w->lanes[i - 1].lane == lane)
			return &w->lanes[i - 1];
	if (w->n_lanes == w->cap_lanes) {
		size_t cap = w->cap_lanes ? 2 * w->cap_lanes : 16;
		struct lane_delta *more = reallocarray(w->lanes, cap, sizeof(*more));

		if (!more) {
			pg_no_memory(&q->link);
			return NULL;
		}
		w->lanes = more;
		w->cap_lanes = cap;
	}
	w->lanes[w->n_lanes] = (struct lane_delta){.lane = lane};
	return &w->lanes[w->n_lanes++];
}

void count_waiting(struct pg *q, int64_t lane, int64_t more)
{
	struct lane_delta *d = lane_delta(q, lane);

	const struct lane *in = lanes_numbered(&q->lanes, lane);

	if (d)
		d->waiting += more;
	for (size_t i = 0; in && i < q->writes->n_owners; i++)
		if (q->writes->owners[i].counted && str_eq(q->writes->owners[i].name, in->owner->name))
			q->writes->owners[i].waiting += more;
	q->writes->tally.waiting += more;
	q->writes->tally.changed = true;
}

void count_running(struct pg *q, int64_t lane, int64_t more)
{
	struct lane_delta *d = lane_delta(q, lane);

	if (d)
		d->running += more;
	q->writes->tally.running += more;
	q->writes->tally.changed = true;
}

struct owner_state *owner_of(struct pg *q, struct str name)
{
	struct pg_writes *w = q->writes;

	for (size_t i = w->n_owners; i > 0; i--)
		if (str_eq(w->owners[i - 1].name, name))
			return &w->owners[i - 1];
	if (w->n_owners == w->cap_owners) {
		size_t cap = w->cap_owners ? 2 * w->cap_owners : 16;
		struct owner_state *more = reallocarray(w->owners, cap, sizeof(*more));

		if (!more) {
			pg_no_memory(&q->link);
			return NULL;
		}
		w->owners = more;
		w->cap_owners = cap;
	}
	name = arena_str(&q->scratch, name);
	if (!name.p) {
		pg_no_memory(&q->link);
		return NULL;
	}
	w->owners[w->n_owners] = (struct owner_state){.name = name};
	return &w->owners[w->n_owners++];
}

int count_file(struct pg *q, struct str owner, int64_t files, int64_t bytes)
{
	struct owner_state *o = owner_of(q, owner);

	if (!o)
		return q->link.err.code;
	o->files += files;
	o->bytes += bytes;
	o->used.files += (uint64_t)files;
	o->used.bytes += (uint64_t)bytes;
	q->writes->tally.files += files;
	q->writes->tally.file_bytes += bytes;
	q->writes->tally.changed = true;
	return 0;
}

static int write_tally(struct pg *q)
{
	struct pg_writes *w = q->writes;
	struct pg_args a = {};

	if (!w->tally.changed)
		return 0;
	arg_int(&a, q->slot);
	arg_int(&a, w->tally.files);
	arg_int(&a, w->tally.file_bytes);
	arg_int(&a, w->tally.waiting);
	arg_int(&a, w->tally.running);
	for (int state = JOB_SUCCEEDED; state < JOB_STATES; state++)
		arg_int(&a, w->tally.final[state]);
	memset(&w->tally, 0, sizeof(w->tally));
	return pg_send(&q->link, W_TALLY_ADD, &a);
}

static int write_lanes(struct pg *q)
{
	CLEANUP(array_release) struct pg_array lane = PG_ARRAY(PG_INT), waiting = PG_ARRAY(PG_INT), running = PG_ARRAY(PG_INT);
	struct pg_writes *w = q->writes;
	struct pg_args a = {};
	int rc = 0;

	for (size_t i = 0; i < w->n_lanes; i++) {
		array_int(&lane, w->lanes[i].lane);
		array_int(&waiting, w->lanes[i].waiting);
		array_int(&running, w->lanes[i].running);
	}
	if (w->n_lanes > 0) {
		arg_array(&a, &lane);
		arg_int(&a, q->slot);
		arg_array(&a, &waiting);
		arg_array(&a, &running);
		rc = pg_send(&q->link, W_LANE_TALLY_ADD, &a);
	}
	w->n_lanes = 0;
	return rc;
}

static int write_usage(struct pg *q)
{
	struct pg_array owner = PG_ARRAY(PG_TEXT), files = PG_ARRAY(PG_INT), bytes = PG_ARRAY(PG_INT), fewer = PG_ARRAY(PG_TEXT);
	struct pg_writes *w = q->writes;
	struct pg_args a = {}, f = {};
	int rc = 0;

	for (size_t i = 0; i < w->n_owners; i++) {
		struct owner_state *o = &w->owners[i];

		if (o->files || o->bytes) {
			array_str(&owner, o->name);
			array_int(&files, o->files);
			array_int(&bytes, o->bytes);
		}
		if (o->files < 0 || o->known)
			array_str(&fewer, o->name);
		o->files = o->bytes = 0;
	}
	if (owner.n > 0) {
		arg_array(&a, &owner);
		arg_array(&a, &files);
		arg_array(&a, &bytes);
		rc = pg_send(&q->link, W_USAGE_ADD, &a);
	}
	if (rc == 0 && fewer.n > 0) {
		arg_array(&f, &fewer);
		rc = pg_send(&q->link, W_USAGE_FORGET, &f);
	}
	array_release(&owner);
	array_release(&files);
	array_release(&bytes);
	array_release(&fewer);
	w->n_owners = 0;
	return rc;
}

int counts_flush(struct pg *q)
{
	int rc = write_tally(q);

	if (rc == 0)
		rc = write_lanes(q);
	return rc == 0 ? write_usage(q) : rc;
}

int last_flush(struct pg *q)
{
	int rc = write_range(q, G_FILES, G_IDEMPOTENCY);

	if (rc == 0)
		rc = counts_flush(q);
	if (rc == 0)
		rc = write_gathered(q, G_ARTIFACTS);
	if (rc == 0 && (q->writes->gather[G_OUTBOX].n || q->writes->gather[G_AUDIT].n))
		rc = pg_send(&q->link, W_LOCK_ORDER, NULL);
	return rc == 0 ? write_range(q, G_OUTBOX, G_AUDIT) : rc;
}

/* ---- asking for counts ---- */

int waiting_in_all(struct pg *q, int64_t *ret)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	int rc = pg_ask(&q->link, W_WAITING, NULL, &r);

	*ret = rc == 0 && r.n == 1 ? pg_col_int(&r, 0, 0) + q->writes->tally.waiting : 0;
	return rc;
}

/* The lanes' part that is not written yet is looked up by their numbers. */
int waiting_of_owner(struct pg *q, struct owner_state *o)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_writes *w = q->writes;
	struct pg_args a = {};

	if (o->counted)
		return 0;
	arg_str(&a, o->name);
	int rc = pg_ask(&q->link, W_WAITING_OF_OWNER, &a, &r);
	if (rc != 0 || r.n != 1)
		return rc;
	o->waiting = pg_col_int(&r, 0, 0);
	for (size_t i = 0; i < w->n_lanes; i++) {
		const struct lane *lane = lanes_numbered(&q->lanes, w->lanes[i].lane);

		if (lane && str_eq(lane->owner->name, o->name))
			o->waiting += w->lanes[i].waiting;
	}
	o->counted = true;
	return 0;
}

bool queue_is_limited(const struct pg *q)
{
	return q->base.options.queue_max || q->base.options.owner_queue_max || catalog_own_quotas(&q->base);
}

/* Whoever changes quotas runs alone: what is read here holds until the commit. */
int quotas_of(struct pg *q, struct owner_state *const *owners, size_t n)
{
	CLEANUP(array_release) struct pg_array ids = PG_ARRAY(PG_UUID);
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct owner_state **asked = arena_alloc(&q->scratch, (n + 1) * sizeof(struct owner_state *));
	struct pg_args a = {};

	if (!asked)
		return pg_no_memory(&q->link);
	for (size_t i = 0; catalog_own_quotas(&q->base) && i < n; i++) {
		struct uuid id;

		if (owners[i]->quotas_known)
			continue;
		owners[i]->own = (struct quotas){};
		owners[i]->quotas_known = true;
		if (uuid_parse(&id, owners[i]->name)) {
			asked[ids.n] = owners[i];
			array_uuid(&ids, id);
		}
	}
	if (ids.n == 0)
		return 0;
	arg_array(&a, &ids);
	int rc = pg_ask(&q->link, W_QUOTAS, &a, &r);
	for (int i = 0; rc == 0 && i < r.n; i++)
		asked[pg_col_int(&r, i, 0) - 1]->own = pg_row_quotas(&r, i, 1);
	return rc;
}

int queue_room(struct pg *q, struct str owner, struct queue_room *ret)
{
	struct owner_state *o = owner_of(q, owner);
	int64_t waiting = 0;

	*ret = (struct queue_room){};
	if (!o)
		return q->link.err.code;
	if (!queue_is_limited(q))
		return 0;
	int rc = rows_flush(q);
	if (rc == 0)
		rc = waiting_in_all(q, &waiting);
	if (rc == 0) {
		o->counted = o->quotas_known = false; /* others may have been added since, or a change of this batch gave him some */
		rc = waiting_of_owner(q, o);
	}
	if (rc == 0)
		rc = quotas_of(q, &o, 1);
	if (rc == 0)
		*ret = (struct queue_room){(uint64_t)waiting, (uint64_t)o->waiting, o->own};
	return rc;
}

int64_t next_file_number(struct pg *q)
{
	struct pg_writes *w = q->writes;

	return w->next_file < w->n_files ? w->files[w->next_file++] : 0;
}

int64_t next_job_number(struct pg *q)
{
	struct pg_writes *w = q->writes;

	return w->next_job < w->n_jobs ? w->jobs[w->next_job++] : 0;
}
