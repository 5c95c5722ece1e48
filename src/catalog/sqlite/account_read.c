/* What is known of accounts, sessions and keys. */
#include "catalog/sqlite/sq.h"

enum { ACCOUNT_COUNT = 12, ACCOUNT_ID = 1 };

/* From ACCOUNT_COLUMNS; false: no memory. */
static bool row_account(sqlite3_stmt *s, struct arena *a, struct account *ret)
{
	bool oom = false;

	*ret = (struct account){
		.number = sqlite3_column_int64(s, 0),
		.id = col_uuid(s, ACCOUNT_ID),
		.email = col_copy(s, 2, a, &oom),
		.name = col_copy(s, 3, a, &oom),
		.password = col_copy(s, 4, a, &oom),
		.role = (enum role)sqlite3_column_int(s, 5),
		.created_at = sqlite3_column_int64(s, 6),
		.changed_at = sqlite3_column_int64(s, 7),
		.disabled_at = sqlite3_column_int64(s, 8),
		.quotas = col_quotas(s, 9),
	};
	return !oom;
}

/* From KEY_COLUMNS behind ACCOUNT_COLUMNS. */
static bool row_key(sqlite3_stmt *s, struct arena *a, struct api_key *ret)
{
	bool oom = false;

	*ret = (struct api_key){
		.account = col_uuid(s, ACCOUNT_ID),
		.number = sqlite3_column_int64(s, ACCOUNT_COUNT),
		.id = col_uuid(s, ACCOUNT_COUNT + 1),
		.name = col_copy(s, ACCOUNT_COUNT + 2, a, &oom),
		.scopes = (uint32_t)sqlite3_column_int64(s, ACCOUNT_COUNT + 4),
		.created_at = sqlite3_column_int64(s, ACCOUNT_COUNT + 5),
		.expires_at = sqlite3_column_int64(s, ACCOUNT_COUNT + 6),
		.revoked_at = sqlite3_column_int64(s, ACCOUNT_COUNT + 7),
	};
	col_sha256(s, ACCOUNT_COUNT + 3, ret->hash);
	return !oom;
}

static void row_session(sqlite3_stmt *s, struct session *ret)
{
	*ret = (struct session){
		.account = col_uuid(s, ACCOUNT_ID),
		.id = col_uuid(s, ACCOUNT_COUNT + 1),
		.created_at = sqlite3_column_int64(s, ACCOUNT_COUNT + 2),
		.used_at = sqlite3_column_int64(s, ACCOUNT_COUNT + 3),
		.expires_at = sqlite3_column_int64(s, ACCOUNT_COUNT + 4),
	};
	col_sha256(s, ACCOUNT_COUNT, ret->hash);
}

uint64_t sq_account_count(struct catalog *c, bool ask)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	int64_t n;

	pthread_mutex_lock(&q->tally_lock);
	n = q->committed.accounts;
	pthread_mutex_unlock(&q->tally_lock);
	return (uint64_t)n;
}

int sq_account(struct catalog *c, struct uuid id, struct str email, struct arena *a, struct account *ret, struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	bool by_email = uuid_is_zero(id), row, copied = false;
	struct account found;
	struct reader *r;
	sqlite3_stmt *s;
	int rc = reader_get(q, &r, e);

	if (rc < 0)
		return rc;
	s = r->stmt[by_email ? R_ACCOUNT_BY_EMAIL : R_ACCOUNT];
	if (by_email)
		bind_str(s, 1, email);
	else
		bind_uuid(s, 1, &id);
	rc = first(s, &row);
	if (row)
		copied = row_account(s, a, &found);
	rc = rows_ended(r, s, rc, row && !copied, e);
	reader_put(q, r);
	if (rc < 0)
		return rc;
	if (!row)
		return no_account(e);
	*ret = found;
	return 0;
}

int sq_list_accounts(struct catalog *c, struct page page, struct arena *a, struct account **ret, size_t *ret_n, int64_t *ret_next,
		     struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	struct account *list = arena_alloc(a, page.limit * sizeof(*list));
	struct reader *r;
	sqlite3_stmt *s;
	bool oom = !list, more = false;
	size_t n = 0;
	int rc = oom ? rows_no_memory(e) : reader_get(q, &r, e);

	if (rc < 0)
		return rc;
	s = r->stmt[R_ACCOUNTS];
	sqlite3_bind_int64(s, 1, page.before);
	while (!oom && (rc = sqlite3_step(s)) == SQLITE_ROW && !(more = n == page.limit))
		oom = !row_account(s, a, &list[n++]);
	rc = rows_ended(r, s, rc, oom, e);
	reader_put(q, r);
	if (rc < 0)
		return rc;
	*ret = list;
	*ret_n = n;
	*ret_next = more ? list[n - 1].number : 0;
	return 0;
}

int sq_session(struct catalog *c, const uint8_t hash[SECRET_HASH], struct arena *a, struct session *ret, struct account *ret_account,
	       struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	bool row, copied = false;
	struct reader *r;
	sqlite3_stmt *s;
	int rc = reader_get(q, &r, e);

	if (rc < 0)
		return rc;
	s = r->stmt[R_SESSION];
	sqlite3_bind_blob(s, 1, hash, SECRET_HASH, SQLITE_STATIC);
	rc = first(s, &row);
	if (row) {
		row_session(s, ret);
		copied = row_account(s, a, ret_account);
	}
	rc = rows_ended(r, s, rc, row && !copied, e);
	reader_put(q, r);
	if (rc < 0)
		return rc;
	if (!row)
		return not_known(e);
	return 0;
}

int sq_api_key(struct catalog *c, const uint8_t *hash, struct uuid id, struct arena *a, struct api_key *ret, struct account *ret_account,
	       struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	bool row, copied = false;
	struct reader *r;
	sqlite3_stmt *s;
	int rc = reader_get(q, &r, e);

	if (rc < 0)
		return rc;
	s = r->stmt[hash ? R_KEY : R_KEY_BY_ID];
	if (hash)
		sqlite3_bind_blob(s, 1, hash, SECRET_HASH, SQLITE_STATIC);
	else
		bind_uuid(s, 1, &id);
	rc = first(s, &row);
	if (row)
		copied = row_account(s, a, ret_account) && row_key(s, a, ret);
	rc = rows_ended(r, s, rc, row && !copied, e);
	reader_put(q, r);
	if (rc < 0)
		return rc;
	if (!row)
		return not_known(e);
	return 0;
}

int sq_list_keys(struct catalog *c, struct uuid account, struct page page, struct arena *a, struct api_key **ret, size_t *ret_n,
		 int64_t *ret_next, struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	struct api_key *list = arena_alloc(a, page.limit * sizeof(*list));
	struct reader *r;
	sqlite3_stmt *s;
	bool oom = !list, more = false;
	size_t n = 0;
	int rc = oom ? rows_no_memory(e) : reader_get(q, &r, e);

	if (rc < 0)
		return rc;
	s = r->stmt[uuid_is_zero(account) ? R_KEYS_OF_ALL : R_KEYS];
	if (!uuid_is_zero(account))
		bind_uuid(s, 1, &account);
	sqlite3_bind_int64(s, 2, page.before);
	while (!oom && (rc = sqlite3_step(s)) == SQLITE_ROW && !(more = n == page.limit))
		oom = !row_key(s, a, &list[n++]);
	rc = rows_ended(r, s, rc, oom, e);
	reader_put(q, r);
	if (rc < 0)
		return rc;
	*ret = list;
	*ret_n = n;
	*ret_next = more ? list[n - 1].number : 0;
	return 0;
}
