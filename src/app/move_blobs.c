#include "app/move_blobs.h"
#include "app/process.h"
#include "app/store.h"
#include "base/siphash.h"
#include "ops/ops.h"
#include "rt/env.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 500 /* rows read at once */
#define PIECE ((size_t)256 << 10)
#define SHOW_EVERY_MS 200
#define NAMED_MAX 20

/* ---- the set ---- */

static struct blob_tag tag_of(struct str name, uint64_t size)
{
	static const uint8_t keys[2][16] = {"move, one half", "move, the other"};
	uint8_t text[BLOB_NAME_MAX + sizeof(size)];
	size_t n = name.len < BLOB_NAME_MAX ? name.len : BLOB_NAME_MAX;

	memcpy(text, &size, sizeof(size));
	memcpy(text + sizeof(size), name.p, n);
	struct blob_tag tag = {siphash24(keys[0], text, sizeof(size) + n), siphash24(keys[1], text, sizeof(size) + n)};
	if (tag.a == 0 && tag.b == 0)
		tag.a = 1;
	return tag;
}

static struct blob_tag *place_of(const struct blob_set *s, struct blob_tag tag)
{
	size_t at = tag.a & (s->cap - 1);

	while ((s->tags[at].a != 0 || s->tags[at].b != 0) && (s->tags[at].a != tag.a || s->tags[at].b != tag.b))
		at = (at + 1) & (s->cap - 1);
	return &s->tags[at];
}

void blob_set_release(struct blob_set *s)
{
	free(s->tags);
	*s = (struct blob_set){};
}

bool blob_set_has(const struct blob_set *s, struct str name, uint64_t size)
{
	if (s->cap == 0)
		return false;
	const struct blob_tag *at = place_of(s, tag_of(name, size));
	return at->a != 0 || at->b != 0;
}

static bool grow(struct blob_set *s)
{
	struct blob_set larger = {.cap = s->cap > 0 ? 2 * s->cap : 1024, .n = s->n};

	larger.tags = calloc(larger.cap, sizeof(*larger.tags));
	if (larger.tags == NULL)
		return false;
	for (size_t i = 0; i < s->cap; i++)
		if (s->tags[i].a != 0 || s->tags[i].b != 0)
			*place_of(&larger, s->tags[i]) = s->tags[i];
	free(s->tags);
	*s = larger;
	return true;
}

bool blob_set_add(struct blob_set *s, struct str name, uint64_t size)
{
	struct blob_tag tag = tag_of(name, size);

	if (2 * (s->n + 1) > s->cap && !grow(s))
		return false;
	struct blob_tag *at = place_of(s, tag);
	s->n += at->a == 0 && at->b == 0;
	*at = tag;
	return true;
}

/* ---- one blob ---- */

enum fate { FATE_COPIED, FATE_KEPT, FATE_MISSING, FATE_DAMAGED };

/* What one thread needs. */
struct carrier {
	struct move_blobs *m;
	struct digest_set *digest;
	char *buffer;
};

static bool is_whole(struct carrier *c, const struct stored *row, uint64_t bytes)
{
	struct err why = ERR_INIT;
	size_t n;

	return bytes == row->size && digest_set_finish(c->digest, &why) == 0 &&
	       memcmp(digest_set_get(c->digest, DIGEST_SHA256, &n), row->sha256, 32) == 0;
}

/* All bytes of `r`, through the digest and into w (NULL: nowhere). *ret_ours: an error is the target's, not the source's. */
static int pour(struct carrier *c, struct blob_reader *r, struct blob_writer *w, uint64_t *ret_bytes, bool *ret_ours, struct err *e)
{
	size_t n = 1;
	int rc = digest_set_reset(c->digest, 1u << DIGEST_SHA256, e);

	*ret_bytes = 0;
	*ret_ours = rc != 0;
	while (rc == 0 && n > 0) {
		rc = blob_read(r, c->buffer, PIECE, &n, e);
		if (rc != 0 || n == 0)
			break;
		digest_set_update(c->digest, c->buffer, n);
		*ret_bytes += n;
		if (w != NULL && (rc = blob_append(w, c->buffer, n, e)) != 0)
			*ret_ours = true;
	}
	return rc;
}

/* Reads what the target has under this name; ERR_NOT_FOUND. False: it is not what it should be. */
static int check_there(struct carrier *c, const struct stored *row, bool *ret, struct err *e)
{
	struct blob_reader *r;
	uint64_t size = 0, bytes = 0;
	bool ours;

	*ret = false;
	int rc = blob_read_open(c->m->to, row->blob, 0, UINT64_MAX, &r, &size, e);
	if (rc != 0)
		return rc;
	if (size == row->size) {
		rc = pour(c, r, NULL, &bytes, &ours, e);
		*ret = rc == 0 && is_whole(c, row, bytes);
	}
	blob_read_close(r);
	return rc == ERR_IO ? 0 : rc; /* it cannot be read, and is written anew */
}

/* An earlier run was ended while it wrote, or had written and not flushed. */
static int take_over(struct carrier *c, const struct stored *row, enum fate *ret, struct err *e)
{
	struct err why = ERR_INIT;
	bool whole = false;
	int rc = check_there(c, row, &whole, &why);

	*ret = FATE_KEPT;
	if (rc == 0 && whole)
		return 0;
	*ret = FATE_COPIED;
	if (rc == 0)
		return blob_remove(c->m->to, row->blob, e);
	if (rc == ERR_NOT_FOUND)
		return 0;
	*e = why;
	return rc;
}

static int write_blob(struct carrier *c, const struct stored *row, struct blob_reader *r, enum fate *ret, struct err *e)
{
	struct blob_writer *w;
	uint64_t bytes;
	bool ours = true;
	int rc = blob_create(c->m->to, row->blob, row->size, &w, e);

	if (rc != 0)
		return rc;
	rc = pour(c, r, w, &bytes, &ours, e);
	if (rc == 0 && is_whole(c, row, bytes))
		return blobs_are_files(c->m->to) ? blobs_local_settle(w, e) : blob_commit(w, e);
	blob_abandon(w);
	if (rc == 0 || (!ours && rc == ERR_IO && blobs_are_files(c->m->from))) {
		*ret = FATE_DAMAGED; /* other bytes, or a disk that cannot read them */
		return 0;
	}
	return rc;
}

static int bring(struct carrier *c, const struct stored *row, enum fate *ret, struct err *e)
{
	struct blob_reader *r;
	uint64_t size;
	int rc = take_over(c, row, ret, e);

	if (rc != 0 || *ret == FATE_KEPT)
		return rc;
	struct err why = ERR_INIT;
	rc = blob_read_open(c->m->from, row->blob, 0, UINT64_MAX, &r, &size, &why);
	if (rc == ERR_NOT_FOUND || rc == ERR_BAD_NAME) {
		*ret = FATE_MISSING;
		return 0;
	}
	if (rc != 0) {
		*e = why;
		return rc;
	}
	*ret = FATE_COPIED;
	rc = write_blob(c, row, r, ret, e);
	blob_read_close(r);
	return rc;
}

/* ---- many at once ---- */

/* A page of rows that threads share: each takes the next one. */
struct page_of_blobs {
	struct move_blobs *m;
	const struct stored *rows;
	enum fate *fates;
	bool *todo;
	size_t n;
	atomic_size_t next;
	pthread_mutex_t lock; /* guards what follows */
	int rc;
	struct err err;
};

static void page_failed(struct page_of_blobs *p, int rc, const struct err *e)
{
	pthread_mutex_lock(&p->lock);
	if (p->rc == 0) {
		p->rc = rc;
		p->err = *e;
	}
	pthread_mutex_unlock(&p->lock);
	atomic_store(&p->next, p->n);
}

static int carrier_init(struct carrier *c, struct move_blobs *m, struct err *e)
{
	*c = (struct carrier){.m = m, .buffer = malloc(PIECE)};
	int rc = c->buffer != NULL ? digest_set_new(&c->digest, 1u << DIGEST_SHA256, e)
				   : err_set(e, ERR_NO_MEMORY, "no memory for a buffer");
	if (rc != 0)
		free(c->buffer);
	return rc;
}

static void *carry(void *arg)
{
	struct page_of_blobs *p = arg;
	struct err e = ERR_INIT;
	struct carrier c;
	int rc = carrier_init(&c, p->m, &e);

	if (rc != 0) {
		page_failed(p, rc, &e);
		return NULL;
	}
	for (size_t i; rc == 0 && (i = atomic_fetch_add(&p->next, 1)) < p->n;) {
		if (!p->todo[i])
			continue;
		rc = process_stop_asked() ? err_set(&e, ERR_CANCELLED, "interrupted by a signal")
					  : bring(&c, &p->rows[i], &p->fates[i], &e);
	}
	if (rc != 0)
		page_failed(p, rc, &e);
	digest_set_free(c.digest);
	free(c.buffer);
	return NULL;
}

static int carry_all(struct page_of_blobs *p, size_t n_todo, struct err *e)
{
	pthread_t threads[64];
	unsigned n = 0;

	pthread_mutex_init(&p->lock, NULL);
	while (n + 1 < p->m->threads && n + 1 < n_todo && n < 64 && pthread_create(&threads[n], NULL, carry, p) == 0)
		n++;
	carry(p); /* this thread too, and alone where no other could be had */
	while (n > 0)
		pthread_join(threads[--n], NULL);
	pthread_mutex_destroy(&p->lock);
	if (p->rc != 0 && e)
		*e = p->err;
	return p->rc;
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
	int rc = n_todo > 0 ? carry_all(&p, n_todo, e) : 0;
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
	if (!blob_set_has(&v->m->wanted, name, size))
		return blob_remove(v->m->to, name, v->e);
	v->found++;
	return 0;
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
