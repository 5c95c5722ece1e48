/* Backups that hold the bytes. A hold is committed before its backup takes the snapshot, and a node asks for holds after it knew that no row refers to what it is to remove: so it sees the hold,
 * or the snapshot has no such row either. */
#include "catalog/postgres/reads.h"

int pg_hold(struct catalog *c, struct uuid id, struct str holder, int64_t lease_ms, struct err *e)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args args = {};

	arg_uuid(&args, &id);
	if (lease_ms > 0) {
		arg_str(&args, holder);
		arg_int(&args, lease_ms);
	}
	return pg_read(CONTAINER_OF(c, struct pg, base), lease_ms > 0 ? R_HOLD : R_HOLD_END, &args, &r, e);
}

int pg_held(struct catalog *c, int64_t limit_ms, enum held *ret, struct err *e)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args args = {};

	arg_int(&args, limit_ms);
	int rc = pg_read(CONTAINER_OF(c, struct pg, base), R_HELD, &args, &r, e);
	if (rc == 0)
		*ret = r.n == 0 ? HELD_NOT : pg_col_bool(&r, 0, 0) ? HELD : HELD_TOO_LONG;
	return rc;
}
