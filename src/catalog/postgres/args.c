/* Parameters and rows in PostgreSQL's binary form: integers big-endian, text and bytea as they are, arrays with a head that says type and length. */
#include "catalog/postgres/pg.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

/* The types' numbers, which PostgreSQL never changes (src/include/catalog/pg_type.dat). */
static const struct {
	Oid one, array;
} TYPES[] = {
	[PG_INT] = {20, 1016}, [PG_BOOL] = {16, 1000}, [PG_TEXT] = {25, 1009}, [PG_UUID] = {2950, 2951}, [PG_BYTES] = {17, 1001},
};

/* ---- parameters ---- */

static void put(struct pg_args *a, Oid type, const void *p, size_t n)
{
	assert(a->n < PG_ARGS_MAX);
	a->types[a->n] = type;
	a->values[a->n] = p;
	a->lengths[a->n] = (int)n;
	a->formats[a->n] = 1;
	a->n++;
}

void arg_int(struct pg_args *a, int64_t v)
{
	uint64_t be = htobe64((uint64_t)v);

	assert(a->n < PG_ARGS_MAX);
	memcpy(a->numbers[a->n], &be, sizeof(be));
	put(a, TYPES[PG_INT].one, a->numbers[a->n], sizeof(be));
}

void arg_time(struct pg_args *a, int64_t unix_ms)
{
	if (unix_ms)
		arg_int(a, unix_ms);
	else
		put(a, TYPES[PG_INT].one, NULL, 0);
}

void arg_bool(struct pg_args *a, bool v)
{
	put(a, TYPES[PG_BOOL].one, v ? "\1" : "\0", 1);
}

void arg_null_bool(struct pg_args *a)
{
	put(a, TYPES[PG_BOOL].one, NULL, 0);
}

void arg_null_int(struct pg_args *a)
{
	put(a, TYPES[PG_INT].one, NULL, 0);
}

void arg_str(struct pg_args *a, struct str v)
{
	put(a, TYPES[PG_TEXT].one, v.p, v.len);
}

void arg_uuid(struct pg_args *a, const struct uuid *v)
{
	put(a, TYPES[PG_UUID].one, v ? v->b : NULL, v ? sizeof(v->b) : 0);
}

void arg_bytes(struct pg_args *a, const void *p, size_t n)
{
	put(a, TYPES[PG_BYTES].one, p ? p : "", n);
}

void arg_null_bytes(struct pg_args *a)
{
	put(a, TYPES[PG_BYTES].one, NULL, 0);
}

/* ---- arrays ---- */

#define ARRAY_HEAD 20 /* dimensions, whether there are NULLs, type, length, lower bound: five numbers of four bytes */

static void add_u32(struct buf *b, uint32_t v)
{
	uint32_t be = htobe32(v);

	buf_add(b, &be, sizeof(be));
}

static void add_element(struct pg_array *a, const void *p, size_t n)
{
	if (a->b.len == 0)
		buf_add(&a->b, (char[ARRAY_HEAD]){}, ARRAY_HEAD);
	add_u32(&a->b, p ? (uint32_t)n : UINT32_MAX);
	if (p)
		buf_add(&a->b, p, n);
	a->has_null |= !p;
	a->n++;
}

void array_release(struct pg_array *a)
{
	buf_release(&a->b);
}

void array_reset(struct pg_array *a)
{
	buf_reset(&a->b);
	a->n = 0;
	a->has_null = false;
}

void array_int(struct pg_array *a, int64_t v)
{
	uint64_t be = htobe64((uint64_t)v);

	add_element(a, &be, sizeof(be));
}

void array_time(struct pg_array *a, int64_t unix_ms)
{
	if (unix_ms)
		array_int(a, unix_ms);
	else
		add_element(a, NULL, 0);
}

void array_bool(struct pg_array *a, bool v)
{
	add_element(a, v ? "\1" : "\0", 1);
}

void array_str(struct pg_array *a, struct str v)
{
	add_element(a, v.p, v.len);
}

void array_uuid(struct pg_array *a, struct uuid v)
{
	add_element(a, v.b, sizeof(v.b));
}

void array_bytes(struct pg_array *a, const void *p, size_t n)
{
	add_element(a, p ? p : "", n);
}

void arg_array(struct pg_args *a, struct pg_array *v)
{
	const uint32_t head[] = {htobe32(1), htobe32(v->has_null), htobe32(TYPES[v->type].one), htobe32((uint32_t)v->n), htobe32(1)};

	static_assert(sizeof(head) == ARRAY_HEAD, "");
	if (v->b.len == 0)
		buf_add(&v->b, (char[ARRAY_HEAD]){}, ARRAY_HEAD);
	if (buf_ok(&v->b))
		memcpy(v->b.p, head, sizeof(head));
	put(a, TYPES[v->type].array, buf_ok(&v->b) ? v->b.p : NULL, v->b.len);
}

/* ---- rows ---- */

void pg_rows_release(struct pg_rows *r)
{
	PQclear(r->r);
	*r = (struct pg_rows){};
}

bool pg_col_null(const struct pg_rows *r, int row, int col)
{
	return PQgetisnull(r->r, row, r->at + col);
}

int64_t pg_col_int(const struct pg_rows *r, int row, int col)
{
	uint64_t be = 0;

	if (PQgetlength(r->r, row, r->at + col) == (int)sizeof(be))
		memcpy(&be, PQgetvalue(r->r, row, r->at + col), sizeof(be));
	return (int64_t)be64toh(be);
}

bool pg_col_bool(const struct pg_rows *r, int row, int col)
{
	return PQgetlength(r->r, row, r->at + col) == 1 && *PQgetvalue(r->r, row, r->at + col) != 0;
}

struct str pg_col_str(const struct pg_rows *r, int row, int col)
{
	if (PQgetisnull(r->r, row, r->at + col))
		return (struct str){};
	return (struct str){PQgetvalue(r->r, row, r->at + col), (size_t)PQgetlength(r->r, row, r->at + col)};
}

struct str pg_col_copy(const struct pg_rows *r, int row, int col, struct arena *a, bool *oom)
{
	struct str v = pg_col_str(r, row, col);

	if (!v.p)
		return v;
	v = arena_str(a, v);
	if (!v.p)
		*oom = true;
	return v;
}

struct uuid pg_col_uuid(const struct pg_rows *r, int row, int col)
{
	struct uuid v = {};

	if (PQgetlength(r->r, row, r->at + col) == (int)sizeof(v.b))
		memcpy(v.b, PQgetvalue(r->r, row, r->at + col), sizeof(v.b));
	return v;
}

void pg_col_sha256(const struct pg_rows *r, int row, int col, uint8_t dst[32])
{
	memset(dst, 0, 32);
	if (PQgetlength(r->r, row, r->at + col) == 32)
		memcpy(dst, PQgetvalue(r->r, row, r->at + col), 32);
}

uint64_t pg_changed(const struct pg_rows *r)
{
	uint64_t n = 0;

	return str_to_u64(str_of(PQcmdTuples(r->r)), &n) ? n : 0;
}
