/* All that is stored, in row order, for those who look through it; what is known to be damaged; how far the scrub has come. */
#include "catalog/postgres/reads.h"

static bool row_stored_file(const struct pg_rows *r, int i, struct arena *a, struct stored *ret)
{
	char name[FILE_BLOB_NAME_MAX + 1];

	*ret = (struct stored){
		.at = {.kind = STORED_FILE, .number = pg_col_int(r, i, 0)},
		.id = pg_col_uuid(r, i, 1),
		.size = (uint64_t)pg_col_int(r, i, 3),
		.damaged_at = pg_col_int(r, i, 6),
		.inline_size = pg_col_null(r, i, 7) ? -1 : pg_col_int(r, i, 7),
	};
	pg_col_sha256(r, i, 4, ret->sha256);
	if (pg_col_int(r, i, 5) == LOCATION_INLINE)
		return true;
	ret->blob = arena_str(a, file_blob_name(name, pg_col_str(r, i, 2), ret->id));
	return ret->blob.p != NULL;
}

static bool row_stored_output(const struct pg_rows *r, int i, struct arena *a, struct stored *ret)
{
	bool oom = false;

	*ret = (struct stored){
		.at = {.kind = STORED_OUTPUT, .number = pg_col_int(r, i, 0), .n = (uint32_t)pg_col_int(r, i, 1)},
		.id = pg_col_uuid(r, i, 2),
		.size = (uint64_t)pg_col_int(r, i, 3),
		.blob = pg_col_copy(r, i, 5, a, &oom),
		.damaged_at = pg_col_int(r, i, 6),
		.inline_size = -1,
		.shared = pg_col_bool(r, i, 7),
	};
	pg_col_sha256(r, i, 4, ret->sha256);
	return !oom;
}

/* One page of one kind. */
static int stored_page(struct pg *q, struct stored_at after, uint32_t max, struct arena *a, struct stored *list, size_t *ret_n,
		       struct err *e)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	bool files = after.kind == STORED_FILE;
	struct pg_args args = {};
	int rc;

	arg_int(&args, after.number);
	if (!files)
		arg_int(&args, after.n);
	arg_int(&args, max);
	rc = pg_read(q, files ? R_STORED_FILES : R_STORED_OUTPUTS, &args, &r, e);
	if (rc != 0)
		return rc;
	for (int i = 0; i < r.n; i++)
		if (!(files ? row_stored_file : row_stored_output)(&r, i, a, &list[i]))
			return pg_nothing_read(e);
	*ret_n = (size_t)r.n;
	return 0;
}

int pg_stored(struct catalog *c, struct stored_at after, uint32_t max, struct arena *a, struct stored **ret, size_t *ret_n, struct err *e)
{
	struct pg *q = CONTAINER_OF(c, struct pg, base);
	struct stored *list = arena_alloc(a, max * sizeof(*list));
	size_t n = 0;
	int rc;

	if (!list)
		return pg_nothing_read(e);
	rc = stored_page(q, after, max, a, list, &n, e);
	if (rc == 0 && n == 0 && after.kind == STORED_FILE)
		rc = stored_page(q, (struct stored_at){.kind = STORED_OUTPUT}, max, a, list, &n, e);
	if (rc != 0)
		return rc;
	*ret = list;
	*ret_n = n;
	return 0;
}

int pg_scrub_position(struct catalog *c, struct scrub_position *ret, struct err *e)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	int rc = pg_read(CONTAINER_OF(c, struct pg, base), R_SCRUB, NULL, &r, e);

	if (rc != 0)
		return rc;
	*ret = (struct scrub_position){
		.at = {.kind = pg_col_int(&r, 0, 0) == STORED_OUTPUT ? STORED_OUTPUT : STORED_FILE,
		       .number = pg_col_int(&r, 0, 1),
		       .n = (uint32_t)pg_col_int(&r, 0, 2)},
		.began_at = pg_col_int(&r, 0, 3),
		.whole = pg_col_int(&r, 0, 4) != 0,
	};
	return 0;
}

int pg_line(struct catalog *c, struct catalog_line *ret, struct err *e)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	int rc = pg_read(CONTAINER_OF(c, struct pg, base), R_LINE, NULL, &r, e);

	if (rc != 0)
		return rc;
	*ret = (struct catalog_line){
		.word = pg_col_null(&r, 0, 0) ? 0 : pg_col_int(&r, 0, 0),
		.next = pg_col_null(&r, 0, 1) ? 0 : pg_col_int(&r, 0, 1),
		.sole = !pg_col_null(&r, 0, 2) && pg_col_int(&r, 0, 2) != 0,
	};
	return 0;
}

int pg_damaged_count(struct catalog *c, uint64_t *ret, struct err *e)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	int rc = pg_read(CONTAINER_OF(c, struct pg, base), R_DAMAGED_COUNT, NULL, &r, e);

	if (rc == 0)
		*ret = (uint64_t)pg_col_int(&r, 0, 0);
	return rc;
}

int pg_damaged(struct catalog *c, uint32_t max, struct arena *a, struct damaged_row **ret, size_t *ret_n, struct err *e)
{
	struct damaged_row *list = arena_alloc(a, max * sizeof(*list));
	struct pg_args args = {};
	struct pg_question ask[] = {{.stmt = R_DAMAGED_FILES, .args = &args}, {.stmt = R_DAMAGED_OUTPUTS, .args = &args}};
	bool oom = !list;
	size_t n = 0;
	int rc;

	arg_int(&args, max);
	rc = oom ? 0 : pg_read_all(CONTAINER_OF(c, struct pg, base), ask, ARRAY_LEN(ask), e);
	if (rc != 0)
		return rc;
	for (size_t k = 0; k < ARRAY_LEN(ask); k++) {
		const struct pg_rows *r = &ask[k].rows;

		for (int i = 0; i < r->n && n < max && !oom; i++, n++)
			list[n] = (struct damaged_row){.output = pg_col_bool(r, i, 0),
						       .id = pg_col_uuid(r, i, 1),
						       .n = (uint32_t)pg_col_int(r, i, 2),
						       .owner = pg_col_copy(r, i, 3, a, &oom),
						       .name = pg_col_copy(r, i, 4, a, &oom),
						       .size = (uint64_t)pg_col_int(r, i, 5),
						       .damaged_at = pg_col_int(r, i, 6)};
	}
	pg_questions_release(ask, ARRAY_LEN(ask));
	if (oom)
		return pg_nothing_read(e);
	*ret = list;
	*ret_n = n;
	return 0;
}
