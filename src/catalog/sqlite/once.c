/* What may happen once only: the keys that are used up. */
#include "catalog/sqlite/sq.h"

int sq_once_free(struct sq *q, struct change *ch)
{
	sqlite3_stmt *s = q->stmt[W_ONCE_FIND];
	bool row;
	int rc;

	if (!ch->once.set)
		return SQLITE_OK;
	sqlite3_bind_blob(s, 1, ch->once.key, sizeof(ch->once.key), SQLITE_STATIC);
	rc = first(s, &row);
	sqlite3_reset(s);
	return rc == SQLITE_OK && row ? change_used(ch) : rc;
}

int sq_once_use(struct sq *q, const struct change *ch)
{
	sqlite3_stmt *s = q->stmt[W_ONCE_ADD];

	if (!ch->once.set)
		return SQLITE_OK;
	sqlite3_bind_blob(s, 1, ch->once.key, sizeof(ch->once.key), SQLITE_STATIC);
	bind_time(s, 2, ch->once.expires_at);
	return run(s);
}

int sq_once_only(struct sq *q, struct change *ch)
{
	return SQLITE_OK;
}

int sq_once_used(struct catalog *c, const uint8_t key[ONCE_KEY], bool *ret, struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	struct reader *r;
	sqlite3_stmt *s;
	bool row;
	int rc = reader_get(q, &r, e);

	if (rc < 0)
		return rc;
	s = r->stmt[R_ONCE];
	sqlite3_bind_blob(s, 1, key, ONCE_KEY, SQLITE_STATIC);
	rc = first(s, &row);
	rc = rc == SQLITE_OK ? 0 : sq_error(r->db, rc, e);
	sqlite3_reset(s);
	reader_put(q, r);
	if (rc == 0)
		*ret = row;
	return rc;
}

int sq_purge_once(struct sq *q, int64_t before, uint32_t max)
{
	sqlite3_stmt *s = q->stmt[W_PURGE_ONCE];

	sqlite3_bind_int64(s, 1, before);
	sqlite3_bind_int64(s, 2, max);
	return run(s);
}
