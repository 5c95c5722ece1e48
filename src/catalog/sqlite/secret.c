/* The server's own secrets. */
#include "catalog/sqlite/sq.h"

static int any_secret(struct sq *q, bool *ret)
{
	sqlite3_stmt *s = q->stmt[W_SECRET_ANY];
	int rc = first(s, ret);

	sqlite3_reset(s);
	return rc;
}

int sq_add_secret(struct sq *q, struct change *ch)
{
	struct change_add_secret *n = &ch->add_secret;
	sqlite3_stmt *s = q->stmt[W_SECRET_ADD];
	bool there = false;
	int rc = n->if_none ? any_secret(q, &there) : SQLITE_OK;

	n->added = false;
	if (rc != SQLITE_OK || there)
		return rc;
	sqlite3_bind_blob(s, 1, n->bytes, sizeof(n->bytes), SQLITE_STATIC);
	sqlite3_bind_int64(s, 2, n->now);
	if ((rc = run(s)) != SQLITE_OK)
		return rc;
	n->added = true;
	s = q->stmt[W_SECRETS_CUT];
	sqlite3_bind_int64(s, 1, n->keep);
	return run(s);
}

int sq_secrets(struct catalog *c, struct arena *a, struct secret **ret, size_t *ret_n, struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	struct secret *list = arena_alloc(a, SERVER_SECRETS_MAX * sizeof(*list));
	struct reader *r;
	sqlite3_stmt *s;
	size_t n = 0;
	int rc = list ? reader_get(q, &r, e) : rows_no_memory(e);

	if (rc < 0)
		return rc;
	s = r->stmt[R_SECRETS];
	sqlite3_bind_int64(s, 1, SERVER_SECRETS_MAX);
	while ((rc = sqlite3_step(s)) == SQLITE_ROW && n < SERVER_SECRETS_MAX) {
		list[n] = (struct secret){.number = sqlite3_column_int64(s, 0), .created_at = sqlite3_column_int64(s, 2)};
		col_sha256(s, 1, list[n++].bytes);
	}
	rc = rows_ended(r, s, rc, false, e);
	reader_put(q, r);
	if (rc < 0)
		return rc;
	*ret = list;
	*ret_n = n;
	return 0;
}
