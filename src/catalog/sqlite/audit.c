/* Audit entries on their way into the log, and how far that has come. Entries are numbered here and not by SQLite: a table that was emptied would count from 1 again. */
#include "catalog/sqlite/sq.h"

#define SCHEMA_WITH_AUDIT 6

/* ---- changes ---- */

int sq_audit_load(struct sq *q)
{
	sqlite3_stmt *s = q->stmt[W_AUDIT_LAST];
	bool row;
	int rc = first(s, &row);

	if (row)
		q->now.audit = sqlite3_column_int64(s, 0);
	sqlite3_reset(s);
	return rc == SQLITE_OK && !row ? SQLITE_CORRUPT : rc;
}

int sq_audit_add(struct sq *q, const struct change *ch)
{
	sqlite3_stmt *s = q->stmt[W_AUDIT_ADD];

	sqlite3_bind_int64(s, 1, ++q->now.audit);
	bind_str(s, 2, ch->audit);
	return run(s);
}

int sq_audit_only(struct sq *q, struct change *ch)
{
	return SQLITE_OK;
}

int sq_audit_done(struct sq *q, struct change *ch)
{
	const struct audit_head *h = &ch->audit_done.head;
	sqlite3_stmt *s = q->stmt[W_AUDIT_HEAD_WRITE];
	int rc;

	if (h->seq > q->now.audit)
		return change_refuse(ch, ERR_CONFLICT, "there was no such audit entry");
	sqlite3_bind_int64(s, 1, h->seq);
	sqlite3_bind_blob(s, 2, h->hash, sizeof(h->hash), SQLITE_STATIC);
	sqlite3_bind_int64(s, 3, h->file);
	sqlite3_bind_int64(s, 4, (int64_t)h->size);
	sqlite3_bind_int64(s, 5, ch->audit_done.after);
	if ((rc = run(s)) != SQLITE_OK)
		return rc;
	if (sqlite3_changes(q->db) == 0)
		return change_refuse(ch, ERR_CONFLICT, "the head of the audit log was moved by another");
	s = q->stmt[W_AUDIT_DONE];
	sqlite3_bind_int64(s, 1, h->seq);
	return run(s);
}

/* ---- reading ---- */

int sq_audit(struct catalog *c, int64_t after, uint32_t max, struct arena *a, struct audit_entry **ret, size_t *ret_n, struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	struct audit_entry *list = arena_alloc(a, max * sizeof(*list));
	struct reader *r;
	bool oom = false;
	size_t n = 0;
	int step, rc = list ? reader_get(q, &r, e) : rows_no_memory(e);

	if (rc < 0)
		return rc;
	sqlite3_stmt *s = r->stmt[R_AUDIT];
	sqlite3_bind_int64(s, 1, after);
	sqlite3_bind_int64(s, 2, max);
	while ((step = sqlite3_step(s)) == SQLITE_ROW && n < max && !oom) {
		list[n].seq = sqlite3_column_int64(s, 0);
		list[n++].text = col_copy(s, 1, a, &oom);
	}
	if (oom)
		step = SQLITE_NOMEM;
	rc = step == SQLITE_DONE || step == SQLITE_ROW ? 0 : sq_error(r->db, step, e);
	sqlite3_reset(s);
	reader_put(q, r);
	if (rc < 0)
		return rc;
	*ret = list;
	*ret_n = n;
	return 0;
}

static int take_head(sqlite3_stmt *s, struct audit_head *ret)
{
	bool row;
	int rc = first(s, &row);

	if (rc == SQLITE_OK && !row)
		rc = SQLITE_CORRUPT;
	if (rc == SQLITE_OK) {
		*ret = (struct audit_head){.seq = sqlite3_column_int64(s, 0),
					   .file = sqlite3_column_int64(s, 2),
					   .size = (uint64_t)sqlite3_column_int64(s, 3)};
		col_sha256(s, 1, ret->hash);
	}
	sqlite3_reset(s);
	return rc;
}

int sq_read_audit_head(sqlite3 *db, int64_t schema, struct audit_head *ret)
{
	sqlite3_stmt *s = NULL;
	int rc;

	*ret = (struct audit_head){.file = 1};
	if (schema < SCHEMA_WITH_AUDIT)
		return SQLITE_OK;
	rc = sqlite3_prepare_v2(db, AUDIT_HEAD_SQL, -1, &s, NULL);
	if (rc == SQLITE_OK)
		rc = take_head(s, ret);
	sqlite3_finalize(s);
	return rc;
}

int sq_audit_head(struct catalog *c, struct audit_head *ret, struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	struct reader *r;
	int rc = reader_get(q, &r, e);

	if (rc < 0)
		return rc;
	rc = take_head(r->stmt[R_AUDIT_HEAD], ret);
	if (rc != SQLITE_OK)
		rc = sq_error(r->db, rc, e);
	reader_put(q, r);
	return rc;
}
