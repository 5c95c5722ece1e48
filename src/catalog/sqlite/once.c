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

int sq_purge_once(struct sq *q, int64_t before, uint32_t max)
{
	sqlite3_stmt *s = q->stmt[W_PURGE_ONCE];

	sqlite3_bind_int64(s, 1, before);
	sqlite3_bind_int64(s, 2, max);
	return run(s);
}
