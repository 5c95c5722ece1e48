/* What each owner has stored: a row for each who has files, changed with them. */
#include "catalog/sqlite/sq.h"

int usage_add(struct sq *q, const struct file *f)
{
	sqlite3_stmt *s = q->stmt[W_USAGE_ADD];

	bind_str(s, 1, f->owner);
	sqlite3_bind_int64(s, 2, (int64_t)f->size);
	return run(s);
}

int usage_sub(struct sq *q, struct str owner, uint64_t size)
{
	sqlite3_stmt *s = q->stmt[W_USAGE_SUB], *forget = q->stmt[W_USAGE_FORGET];
	int rc;

	bind_str(s, 1, owner);
	sqlite3_bind_int64(s, 2, (int64_t)size);
	rc = run(s);
	bind_str(forget, 1, owner);
	return rc == SQLITE_OK ? run(forget) : rc;
}

int usage_came(struct sq *q, int64_t import, uint64_t size)
{
	sqlite3_stmt *s = q->stmt[W_USAGE_CAME];

	sqlite3_bind_int64(s, 1, import);
	sqlite3_bind_int64(s, 2, (int64_t)size);
	return run(s);
}

static int read_usage(sqlite3_stmt *s, struct str owner, struct usage *ret)
{
	bool row;
	int rc;

	*ret = (struct usage){};
	bind_str(s, 1, owner);
	rc = first(s, &row);
	if (row)
		*ret = (struct usage){.files = (uint64_t)sqlite3_column_int64(s, 0), .bytes = (uint64_t)sqlite3_column_int64(s, 1)};
	sqlite3_reset(s);
	return rc;
}

/* The row of the owner's account, if that has one. */
static int read_quotas(const struct sq *q, sqlite3_stmt *s, struct str owner, struct quotas *ret)
{
	struct uuid id;
	bool row;

	*ret = (struct quotas){};
	if (!catalog_own_quotas(&q->base) || !uuid_parse(&id, owner))
		return SQLITE_OK;
	bind_uuid(s, 1, &id);
	int rc = first(s, &row);
	if (row)
		*ret = col_quotas(s, 0);
	sqlite3_reset(s);
	return rc;
}

int owner_quotas(struct sq *q, struct str owner, struct quotas *ret)
{
	return read_quotas(q, q->stmt[W_QUOTAS], owner, ret);
}

struct quotas col_quotas(sqlite3_stmt *s, int first_column)
{
	struct quotas own = {};

	for (int i = 0; i < QUOTAS; i++)
		if (!col_null(s, first_column + i)) {
			int64_t max = sqlite3_column_int64(s, first_column + i);
			own.max[i] = max == 0 ? QUOTA_NONE : max;
		}
	return own;
}

int usage_allows(struct sq *q, struct change *ch, const struct file *f, const struct usage *coming)
{
	struct usage used;

	if (!catalog_has_quota(&q->base))
		return SQLITE_OK;
	int rc = read_usage(q->stmt[W_USAGE], f->owner, &used);
	used.files += coming->files;
	used.bytes += coming->bytes;
	if (rc == SQLITE_OK)
		rc = owner_quotas(q, f->owner, &used.own);
	if (rc == SQLITE_OK)
		(void)change_within_quota(&q->base, ch, &used, f->size);
	return rc;
}

int sq_usage(struct catalog *c, struct str owner, struct usage *ret, struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	struct reader *r;
	int rc = reader_get(q, &r, e);

	if (rc < 0)
		return rc;
	rc = read_usage(r->stmt[R_USAGE], owner, ret);
	if (rc == SQLITE_OK)
		rc = read_quotas(q, r->stmt[R_QUOTAS], owner, &ret->own);
	if (rc != SQLITE_OK)
		rc = sq_error(r->db, rc, e);
	reader_put(q, r);
	return rc;
}

int sq_import_counts(struct catalog *c, struct str owner, struct import_counts *ret, struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	struct reader *r;
	bool row;
	int rc = reader_get(q, &r, e);

	if (rc < 0)
		return rc;
	sqlite3_stmt *s = r->stmt[R_IMPORT_COUNTS];
	bind_str(s, 1, owner);
	rc = first(s, &row);
	if (rc == SQLITE_OK) {
		uint64_t files = (uint64_t)sqlite3_column_int64(s, 0), coming = (uint64_t)sqlite3_column_int64(s, 1);
		uint64_t under_way = (uint64_t)sqlite3_column_int64(s, 2);
		*ret = (struct import_counts){.there = files - coming, .under_way = under_way, .missing = coming - under_way};
	} else {
		rc = sq_error(r->db, rc, e);
	}
	sqlite3_reset(s);
	reader_put(q, r);
	return rc;
}
