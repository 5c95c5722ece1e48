#include "app/move_blobs.h"
#include "app/carry.h"
#include "app/process.h"
#include "app/store.h"
#include "rt/env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 500 /* rows read at once */
#define SHOW_EVERY_MS 200
#define NAMED_MAX 20

/* ---- one blob ---- */

enum fate { FATE_COPIED, FATE_KEPT, FATE_MISSING, FATE_DAMAGED };

/* Reads what the target has under this name; ERR_NOT_FOUND. False: it is not what it should be. */
static int check_there(struct move_blobs *m, struct carrier *c, const struct stored *row, bool *ret, struct err *e)
{
	struct blob_reader *r;
	uint64_t size = 0, bytes = 0;
	bool ours;

	*ret = false;
	int rc = blob_read_open(m->to, row->blob, 0, UINT64_MAX, &r, &size, e);
	if (rc != 0)
		return rc;
	if (size == row->size) {
		rc = carrier_pour(c, r, NULL, &bytes, &ours, e);
		*ret = rc == 0 && carrier_has(c, row->sha256, row->size, bytes);
	}
	blob_read_close(r);
	return rc == ERR_IO ? 0 : rc; /* it cannot be read, and is written anew */
}

/* An earlier run was ended while it wrote, or had written and not flushed. */
static int take_over(struct move_blobs *m, struct carrier *c, const struct stored *row, enum fate *ret, struct err *e)
{
	struct err why = ERR_INIT;
	bool whole = false;
	int rc = check_there(m, c, row, &whole, &why);

	*ret = FATE_KEPT;
	if (rc == 0 && whole)
		return 0;
	*ret = FATE_COPIED;
	if (rc == 0)
		return blob_remove(m->to, row->blob, e);
	if (rc == ERR_NOT_FOUND)
		return 0;
	*e = why;
	return rc;
}

static int write_blob(struct move_blobs *m, struct carrier *c, const struct stored *row, struct blob_reader *r, enum fate *ret,
		      struct err *e)
{
	struct blob_writer *w;
	uint64_t bytes;
	bool ours = true;
	int rc = blob_create(m->to, row->blob, row->size, &w, e);

	if (rc != 0)
		return err_wrap(e, "the new store");
	rc = carrier_pour(c, r, w, &bytes, &ours, e);
	if (rc == 0 && carrier_has(c, row->sha256, row->size, bytes))
		return blobs_are_files(m->to) ? blobs_local_settle(w, e) : blob_commit(w, e);
	blob_abandon(w);
	if (rc == 0 || (!ours && rc == ERR_IO && blobs_are_files(m->from))) {
		*ret = FATE_DAMAGED; /* other bytes, or a disk that cannot read them */
		return 0;
	}
	return err_wrap(e, ours ? "the new store" : "the old store");
}

static int bring(struct move_blobs *m, struct carrier *c, const struct stored *row, enum fate *ret, struct err *e)
{
	struct blob_reader *r;
	uint64_t size;
	int rc = take_over(m, c, row, ret, e);

	if (rc != 0 || *ret == FATE_KEPT)
		return rc;
	struct err why = ERR_INIT;
	rc = blob_read_open(m->from, row->blob, 0, UINT64_MAX, &r, &size, &why);
	if (rc == ERR_NOT_FOUND || rc == ERR_BAD_NAME) {
		*ret = FATE_MISSING;
		return 0;
	}
	if (rc != 0) {
		*e = why;
		return rc;
	}
	*ret = FATE_COPIED;
	rc = write_blob(m, c, row, r, ret, e);
	blob_read_close(r);
	return rc;
}

/* ---- many at once ---- */

struct page_of_blobs {
	struct move_blobs *m;
	const struct stored *rows;
	enum fate *fates;
	bool *todo;
	size_t n;
};

static int carry_one(void *arg, struct carrier *c, size_t i, struct err *e)
{
	const struct page_of_blobs *p = arg;

	return p->todo[i] ? bring(p->m, c, &p->rows[i], &p->fates[i], e) : 0;
}

/* ---- a pass ---- */

static void show(struct move_blobs *m)
{
	int64_t now = m->shown ? env_real.mono_ms(&env_real) : 0;

	if (!m->shown || now - m->shown_at < SHOW_EVERY_MS)
		return;
	m->shown_at = now;
	fprintf(stderr, "\r\033[Kblobs: %llu, %llu MiB; copied %llu, %llu MiB", (unsigned long long)m->blobs,
		(unsigned long long)m->bytes >> 20, (unsigned long long)m->copied, (unsigned long long)m->copied_bytes >> 20);
}

static int tell_lacking(struct move_blobs *m, const struct stored *row, enum fate fate, struct err *e)
{
	const char *what = fate == FATE_MISSING ? "missing" : "damaged";

	if (row->damaged_at == 0)
		return err_set(
			e, ERR_DAMAGED,
			"%.*s is %s in the source, and the catalogue does not know: filemill fsck --read --repair there marks such, and then the rest can be moved",
			STR_FMT(row->blob), what);
	if (++m->lacking <= NAMED_MAX)
		fprintf(stderr, "filemill: %s, as the catalogue says: %.*s\n", what, STR_FMT(row->blob));
	return 0;
}

static int count_row(struct move_blobs *m, const struct stored *row, bool todo, enum fate fate, bool last, struct err *e)
{
	m->blobs++;
	m->bytes += row->size;
	if (todo && (fate == FATE_MISSING || fate == FATE_DAMAGED))
		return last ? tell_lacking(m, row, fate, e) : 0;
	if (todo && fate == FATE_COPIED) {
		m->copied++;
		m->copied_bytes += row->size;
	} else if (todo) {
		m->kept++;
	}
	if (!blob_set_add(&m->there, row->blob, row->size) || (last && !blob_set_add(&m->wanted, row->blob, row->size)))
		return err_set(e, ERR_NO_MEMORY, "no memory for the list of blobs");
	return 0;
}

/* Of several rows that refer to the same blob the first one is enough. */
static bool is_todo(const struct move_blobs *m, const struct stored *rows, size_t i)
{
	const struct stored *row = &rows[i];

	if (row->blob.p == NULL || row->shared || m->from == NULL || blob_set_has(&m->there, row->blob, row->size))
		return false;
	for (size_t k = 0; k < i; k++)
		if (str_eq(rows[k].blob, row->blob))
			return false;
	return true;
}

static int do_page(struct move_blobs *m, const struct stored *rows, size_t n, bool last, struct arena *a, struct err *e)
{
	struct page_of_blobs p = {.m = m, .rows = rows, .n = n};
	size_t n_todo = 0;

	p.fates = arena_alloc(a, n * sizeof(*p.fates));
	p.todo = arena_alloc(a, n * sizeof(*p.todo));
	if (p.fates == NULL || p.todo == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for the list of blobs");
	for (size_t i = 0; i < n; i++)
		n_todo += p.todo[i] = is_todo(m, rows, i);
	int rc = n_todo > 0 ? carry_each(n_todo < m->threads ? (unsigned)n_todo : m->threads, n, carry_one, &p, e) : 0;
	for (size_t i = 0; rc == 0 && i < n; i++)
		if (rows[i].blob.p != NULL && !rows[i].shared)
			rc = count_row(m, &rows[i], p.todo[i], p.fates[i], last, e);
	show(m);
	return rc == 0 && process_stop_asked() ? err_set(e, ERR_CANCELLED, "interrupted by a signal") : rc;
}

int move_blobs_pass(struct move_blobs *m, bool last, uint64_t *ret_copied, struct err *e)
{
	struct stored_at at = {};
	uint64_t before = m->copied;
	size_t n = 1;
	int rc = 0;

	m->blobs = m->bytes = m->lacking = 0;
	blob_set_release(&m->wanted);
	while (rc == 0 && n > 0) {
		CLEANUP(arena_release) struct arena a = ARENA_INIT;
		struct stored *rows;
		catalog_idle(m->catalog); /* as it is now, and its log is not held for long */
		rc = catalog_stored(m->catalog, at, PAGE, &a, &rows, &n, e);
		if (rc == 0 && n > 0) {
			at = rows[n - 1].at;
			rc = do_page(m, rows, n, last, &a, e);
		}
	}
	*ret_copied = m->copied - before;
	return rc;
}

/* ---- what is there ---- */

struct visit {
	struct move_blobs *m;
	uint64_t found;
	struct err *e;
};

/* An object is there whole or not at all, under a name that is used once; a file may have been cut off, so those are read. */
static int visit_there(void *arg, struct str name, uint64_t size)
{
	const struct visit *v = arg;

	if (store_is_mark(name) || blob_set_add(&v->m->there, name, size))
		return process_stop_asked() ? err_set(v->e, ERR_CANCELLED, "interrupted by a signal") : 0;
	return err_set(v->e, ERR_NO_MEMORY, "no memory for the list of blobs");
}

int move_blobs_begin(struct move_blobs *m, struct err *e)
{
	struct visit v = {.m = m, .e = e};

	if (m->from == NULL || blobs_are_files(m->to))
		return 0;
	int rc = blobs_visit(m->to, visit_there, &v, e);
	m->kept = m->there.n;
	return rc;
}

static int visit_end(void *arg, struct str name, uint64_t size)
{
	struct visit *v = arg;

	if (store_is_mark(name))
		return 0;
	if (blob_set_has(&v->m->wanted, name, size)) {
		v->found++;
		return 0;
	}
	/* In a bucket it may be another catalogue's: the server that starts there finds that out before it sweeps (docs/adr/0044-twins.md). */
	return blobs_are_files(v->m->to) ? blob_remove(v->m->to, name, v->e) : 0;
}

int move_blobs_end(struct move_blobs *m, struct err *e)
{
	struct visit v = {.m = m, .e = e};

	if (m->from == NULL)
		return 0;
	int rc = blobs_visit(m->to, visit_end, &v, e);
	if (rc == 0 && v.found != m->wanted.n)
		rc = err_set(e, ERR_DAMAGED, "the new store has %llu of %llu blobs", (unsigned long long)v.found,
			     (unsigned long long)m->wanted.n);
	return rc == 0 && blobs_are_files(m->to) ? blobs_local_flush(m->to, e) : rc;
}

void move_blobs_release(struct move_blobs *m)
{
	blob_set_release(&m->there);
	blob_set_release(&m->wanted);
}
