/* All that is stored, in row order, for those who look through it; what they found; how far they have come. */
#include "catalog/sqlite/sq.h"

/* ---- changes ---- */

static int mark(struct sq *q, sqlite3_stmt *s, struct change_mark_damaged *d)
{
	int rc;

	bind_time(s, 2, d->at);
	rc = run(s);
	d->changed = rc == SQLITE_OK ? (uint32_t)sqlite3_changes(q->db) : 0;
	return rc;
}

static int mark_outputs(struct sq *q, struct change *ch)
{
	struct change_mark_damaged *d = &ch->mark_damaged;
	sqlite3_stmt *s = q->stmt[W_OUTPUT_MARK], *used = q->stmt[W_OUTPUT_USED];
	bool row;
	int rc;

	bind_str(s, 1, d->blob);
	rc = mark(q, s, d);
	if (rc != SQLITE_OK || d->changed)
		return rc;
	bind_str(used, 1, d->blob);
	rc = first(used, &row);
	sqlite3_reset(used);
	return rc == SQLITE_OK && !row ? change_refuse(ch, ERR_OUTPUT_NOT_FOUND, "no output has this blob") : rc;
}

static int mark_file(struct sq *q, struct change *ch)
{
	struct change_mark_damaged *d = &ch->mark_damaged;
	sqlite3_stmt *s = q->stmt[W_FILE_MARK], *find = q->stmt[W_FILE_FIND];
	bool row, there;
	int rc;

	bind_uuid(s, 1, &d->file);
	rc = mark(q, s, d);
	if (rc != SQLITE_OK || d->changed)
		return rc;
	bind_uuid(find, 1, &d->file);
	rc = first(find, &row);
	there = row && col_null(find, 5);
	sqlite3_reset(find);
	return rc == SQLITE_OK && !there ? change_refuse(ch, ERR_FILE_NOT_FOUND, "there is no file with this id") : rc;
}

int sq_mark_damaged(struct sq *q, struct change *ch)
{
	return uuid_is_zero(ch->mark_damaged.file) ? mark_outputs(q, ch) : mark_file(q, ch);
}

int sq_scrub_position_write(struct sq *q, struct change *ch)
{
	const struct scrub_position *p = &ch->scrub_position;
	sqlite3_stmt *s = q->stmt[W_SCRUB_WRITE];

	sqlite3_bind_int(s, 1, (int)p->at.kind);
	sqlite3_bind_int64(s, 2, p->at.number);
	sqlite3_bind_int64(s, 3, p->at.n);
	sqlite3_bind_int64(s, 4, p->began_at);
	sqlite3_bind_int(s, 5, p->whole);
	return run(s);
}

static int set_line(struct sq *q, struct str key, int64_t from, int64_t to, bool *ret_done)
{
	sqlite3_stmt *s = q->stmt[W_LINE_SET];

	bind_str(s, 1, key);
	sqlite3_bind_int64(s, 2, from);
	sqlite3_bind_int64(s, 3, to);
	int rc = run(s);
	*ret_done = rc == SQLITE_OK && sqlite3_changes(q->db) > 0;
	return rc;
}

static int line_rows(struct sq *q)
{
	static const struct str keys[] = {STR("line_word"), STR("line_next"), STR("line_sole")};
	int rc = SQLITE_OK;

	for (size_t i = 0; rc == SQLITE_OK && i < ARRAY_LEN(keys); i++) {
		bind_str(q->stmt[W_LINE_ROW], 1, keys[i]);
		rc = run(q->stmt[W_LINE_ROW]);
	}
	return rc;
}

int sq_line_write(struct sq *q, struct change *ch)
{
	struct change_line *l = &ch->line;
	int rc = line_rows(q);

	l->done = false;
	if (rc != SQLITE_OK)
		return rc;
	switch (l->step) {
	case LINE_NEXT:
		return set_line(q, STR("line_next"), 0, l->word, &l->done);
	case LINE_SETTLED:
		break;
	case LINE_SOLE:
		return set_line(q, STR("line_sole"), 0, 1, &l->done);
	case LINE_SOLE_TAKEN:
		return set_line(q, STR("line_sole"), 1, 0, &l->done);
	}
	rc = set_line(q, STR("line_next"), l->word, 0, &l->done);
	if (rc != SQLITE_OK || !l->done)
		return rc;
	sqlite3_bind_int64(q->stmt[W_LINE_WORD], 1, l->word);
	return run(q->stmt[W_LINE_WORD]);
}

/* ---- reading ---- */

int sq_blob_doomed(struct catalog *c, struct str blob, bool *ret, struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	struct reader *r;
	bool row;
	int rc = reader_get(q, &r, e);

	if (rc < 0)
		return rc;
	bind_str(r->stmt[R_IS_DOOMED], 1, blob);
	rc = first(r->stmt[R_IS_DOOMED], &row);
	sqlite3_reset(r->stmt[R_IS_DOOMED]);
	if (rc != SQLITE_OK)
		rc = sq_error(r->db, rc, e);
	else
		*ret = row;
	reader_put(q, r);
	return rc;
}

static bool row_stored_file(sqlite3_stmt *s, struct arena *a, struct stored *ret)
{
	char name[FILE_BLOB_NAME_MAX + 1];

	*ret = (struct stored){
		.at = {.kind = STORED_FILE, .number = sqlite3_column_int64(s, 0)},
		.id = col_uuid(s, 1),
		.size = (uint64_t)sqlite3_column_int64(s, 3),
		.damaged_at = sqlite3_column_int64(s, 6),
		.inline_size = col_null(s, 7) ? -1 : sqlite3_column_int64(s, 7),
	};
	col_sha256(s, 4, ret->sha256);
	if (sqlite3_column_int(s, 5) == LOCATION_INLINE)
		return true;
	ret->blob = arena_str(a, file_blob_name(name, col_str(s, 2), ret->id));
	return ret->blob.p != NULL;
}

static bool row_stored_output(sqlite3_stmt *s, struct arena *a, struct stored *ret)
{
	bool oom = false;

	*ret = (struct stored){
		.at = {.kind = STORED_OUTPUT, .number = sqlite3_column_int64(s, 0), .n = (uint32_t)sqlite3_column_int64(s, 1)},
		.id = col_uuid(s, 2),
		.size = (uint64_t)sqlite3_column_int64(s, 3),
		.blob = col_copy(s, 5, a, &oom),
		.damaged_at = sqlite3_column_int64(s, 6),
		.inline_size = -1,
		.shared = sqlite3_column_int(s, 7),
	};
	col_sha256(s, 4, ret->sha256);
	return !oom;
}

/* One page of one kind. */
static int stored_page(struct reader *r, struct stored_at after, uint32_t max, struct arena *a, struct stored *list, size_t *ret_n,
		       struct err *e)
{
	sqlite3_stmt *s = r->stmt[after.kind == STORED_FILE ? R_STORED_FILES : R_STORED_OUTPUTS];
	bool (*row)(sqlite3_stmt * s, struct arena * a, struct stored * ret) = after.kind == STORED_FILE ? row_stored_file
													 : row_stored_output;
	size_t n = 0;
	int rc;

	sqlite3_bind_int64(s, 1, after.number);
	if (after.kind == STORED_OUTPUT)
		sqlite3_bind_int64(s, 2, after.n);
	sqlite3_bind_int64(s, after.kind == STORED_FILE ? 2 : 3, max);
	while ((rc = sqlite3_step(s)) == SQLITE_ROW && n < max) {
		if (!row(s, a, &list[n++])) {
			rc = SQLITE_NOMEM;
			break;
		}
	}
	*ret_n = n;
	return rows_ended(r, s, rc, false, e);
}

int sq_stored(struct catalog *c, struct stored_at after, uint32_t max, struct arena *a, struct stored **ret, size_t *ret_n, struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	struct stored *list = arena_alloc(a, max * sizeof(*list));
	struct reader *r;
	size_t n = 0;
	int rc = list ? reader_get(q, &r, e) : rows_no_memory(e);

	if (rc < 0)
		return rc;
	rc = stored_page(r, after, max, a, list, &n, e);
	if (rc == 0 && n == 0 && after.kind == STORED_FILE)
		rc = stored_page(r, (struct stored_at){.kind = STORED_OUTPUT}, max, a, list, &n, e);
	reader_put(q, r);
	if (rc < 0)
		return rc;
	*ret = list;
	*ret_n = n;
	return 0;
}

/* The one row of a statement without parameters, which `take` reads. */
static int one_row(struct catalog *c, enum read_stmt id, void (*take)(sqlite3_stmt *s, void *ret), void *ret, struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	struct reader *r;
	bool row;
	int rc = reader_get(q, &r, e);

	if (rc < 0)
		return rc;
	rc = first(r->stmt[id], &row);
	if (row)
		take(r->stmt[id], ret);
	sqlite3_reset(r->stmt[id]);
	if (rc != SQLITE_OK)
		rc = sq_error(r->db, rc, e);
	reader_put(q, r);
	return rc;
}

static void take_position(sqlite3_stmt *s, void *ret)
{
	*(struct scrub_position *)ret = (struct scrub_position){
		.at = {.kind = sqlite3_column_int(s, 0) == STORED_OUTPUT ? STORED_OUTPUT : STORED_FILE,
		       .number = sqlite3_column_int64(s, 1),
		       .n = (uint32_t)sqlite3_column_int64(s, 2)},
		.began_at = sqlite3_column_int64(s, 3),
		.whole = sqlite3_column_int(s, 4) != 0,
	};
}

int sq_scrub_position(struct catalog *c, struct scrub_position *ret, struct err *e)
{
	return one_row(c, R_SCRUB_READ, take_position, ret, e);
}

static void take_line(sqlite3_stmt *s, void *ret)
{
	*(struct catalog_line *)ret = (struct catalog_line){
		.word = sqlite3_column_int64(s, 0), .next = sqlite3_column_int64(s, 1), .sole = sqlite3_column_int(s, 2) != 0};
}

int sq_line(struct catalog *c, struct catalog_line *ret, struct err *e)
{
	return one_row(c, R_LINE, take_line, ret, e);
}

static void take_count(sqlite3_stmt *s, void *ret)
{
	*(uint64_t *)ret = (uint64_t)sqlite3_column_int64(s, 0);
}

int sq_damaged_count(struct catalog *c, uint64_t *ret, struct err *e)
{
	uint64_t files = 0, outputs = 0;
	int rc = one_row(c, R_DAMAGED_FILES, take_count, &files, e);

	if (rc == 0)
		rc = one_row(c, R_DAMAGED_OUTPUTS, take_count, &outputs, e);
	if (rc == 0)
		*ret = files + outputs;
	return rc;
}
