/* What is known of accounts, sessions and keys. */
#include "catalog/postgres/reads.h"

enum { ACCOUNT_ID = 1, ACCOUNT_QUOTAS = 9, ACCOUNT_END = ACCOUNT_QUOTAS + QUOTAS };

/* From ACCOUNT_COLUMNS; false: no memory. */
static bool row_account(const struct pg_rows *r, int i, struct arena *a, struct account *ret)
{
	bool oom = false;

	*ret = (struct account){
		.number = pg_col_int(r, i, 0),
		.id = pg_col_uuid(r, i, ACCOUNT_ID),
		.email = pg_col_copy(r, i, 2, a, &oom),
		.name = pg_col_copy(r, i, 3, a, &oom),
		.password = pg_col_copy(r, i, 4, a, &oom),
		.role = (enum role)pg_col_int(r, i, 5),
		.created_at = pg_col_int(r, i, 6),
		.changed_at = pg_col_int(r, i, 7),
		.disabled_at = pg_col_int(r, i, 8),
		.quotas = pg_row_quotas(r, i, ACCOUNT_QUOTAS),
	};
	return !oom;
}

/* From KEY_COLUMNS behind ACCOUNT_COLUMNS. */
static bool row_key(const struct pg_rows *r, int i, struct arena *a, struct api_key *ret)
{
	bool oom = false;

	*ret = (struct api_key){
		.account = pg_col_uuid(r, i, ACCOUNT_ID),
		.number = pg_col_int(r, i, ACCOUNT_END),
		.id = pg_col_uuid(r, i, ACCOUNT_END + 1),
		.name = pg_col_copy(r, i, ACCOUNT_END + 2, a, &oom),
		.scopes = (uint32_t)pg_col_int(r, i, ACCOUNT_END + 4),
		.created_at = pg_col_int(r, i, ACCOUNT_END + 5),
		.expires_at = pg_col_int(r, i, ACCOUNT_END + 6),
		.revoked_at = pg_col_int(r, i, ACCOUNT_END + 7),
	};
	pg_col_sha256(r, i, ACCOUNT_END + 3, ret->hash);
	return !oom;
}

/* From SESSION_COLUMNS behind ACCOUNT_COLUMNS. */
static void row_session(const struct pg_rows *r, int i, struct session *ret)
{
	*ret = (struct session){
		.account = pg_col_uuid(r, i, ACCOUNT_ID),
		.id = pg_col_uuid(r, i, ACCOUNT_END + 1),
		.created_at = pg_col_int(r, i, ACCOUNT_END + 2),
		.used_at = pg_col_int(r, i, ACCOUNT_END + 3),
		.expires_at = pg_col_int(r, i, ACCOUNT_END + 4),
	};
	pg_col_sha256(r, i, ACCOUNT_END, ret->hash);
}

int pg_account(struct catalog *c, struct uuid id, struct str email, struct arena *a, struct account *ret, struct err *e)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	bool by_email = uuid_is_zero(id);
	struct pg_args args = {};
	struct account found;
	int rc;

	if (by_email)
		arg_str(&args, email);
	else
		arg_uuid(&args, &id);
	rc = pg_read_soon(CONTAINER_OF(c, struct pg, base), by_email ? R_ACCOUNT_BY_EMAIL : R_ACCOUNT, &args, &r, e);
	if (rc != 0)
		return rc;
	if (r.n == 0)
		return no_account(e);
	if (!row_account(&r, 0, a, &found))
		return pg_nothing_read(e);
	*ret = found;
	return 0;
}

int pg_list_accounts(struct catalog *c, struct page page, struct arena *a, struct account **ret, size_t *ret_n, int64_t *ret_next,
		     struct err *e)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct account *list = arena_alloc(a, page.limit * sizeof(*list));
	struct pg_args args = {};
	bool oom = !list;
	size_t n = 0;
	int rc;

	arg_int(&args, page.before);
	arg_int(&args, (int64_t)page.limit + 1);
	rc = oom ? 0 : pg_read(CONTAINER_OF(c, struct pg, base), R_ACCOUNTS, &args, &r, e);
	if (rc != 0)
		return rc;
	for (; (int)n < r.n && n < page.limit && !oom; n++)
		oom = !row_account(&r, (int)n, a, &list[n]);
	if (oom)
		return pg_nothing_read(e);
	*ret = list;
	*ret_n = n;
	*ret_next = (int)n < r.n ? list[n - 1].number : 0;
	return 0;
}

int pg_session(struct catalog *c, const uint8_t hash[SECRET_HASH], struct arena *a, struct session *ret, struct account *ret_account,
	       struct err *e)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args args = {};
	int rc;

	arg_bytes(&args, hash, SECRET_HASH);
	rc = pg_read_soon(CONTAINER_OF(c, struct pg, base), R_SESSION, &args, &r, e);
	if (rc != 0)
		return rc;
	if (r.n == 0)
		return not_known(e);
	row_session(&r, 0, ret);
	return row_account(&r, 0, a, ret_account) ? 0 : pg_nothing_read(e);
}

int pg_api_key(struct catalog *c, const uint8_t *hash, struct uuid id, struct arena *a, struct api_key *ret, struct account *ret_account,
	       struct err *e)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args args = {};
	int rc;

	if (hash)
		arg_bytes(&args, hash, SECRET_HASH);
	else
		arg_uuid(&args, &id);
	rc = pg_read_soon(CONTAINER_OF(c, struct pg, base), hash ? R_KEY : R_KEY_BY_ID, &args, &r, e);
	if (rc != 0)
		return rc;
	if (r.n == 0)
		return not_known(e);
	return row_account(&r, 0, a, ret_account) && row_key(&r, 0, a, ret) ? 0 : pg_nothing_read(e);
}

int pg_list_keys(struct catalog *c, struct uuid account, struct page page, struct arena *a, struct api_key **ret, size_t *ret_n,
		 int64_t *ret_next, struct err *e)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct api_key *list = arena_alloc(a, page.limit * sizeof(*list));
	bool of_all = uuid_is_zero(account), oom = !list;
	struct pg_args args = {};
	size_t n = 0;
	int rc;

	arg_int(&args, page.before);
	arg_int(&args, (int64_t)page.limit + 1);
	if (!of_all)
		arg_uuid(&args, &account);
	rc = oom ? 0 : pg_read(CONTAINER_OF(c, struct pg, base), of_all ? R_KEYS_OF_ALL : R_KEYS, &args, &r, e);
	if (rc != 0)
		return rc;
	for (; (int)n < r.n && n < page.limit && !oom; n++)
		oom = !row_key(&r, (int)n, a, &list[n]);
	if (oom)
		return pg_nothing_read(e);
	*ret = list;
	*ret_n = n;
	*ret_next = (int)n < r.n ? list[n - 1].number : 0;
	return 0;
}

/* Once somebody has said who may come, that stays so: only a zero is looked up anew. Where it cannot be, nobody is let in who would not be with accounts. */
uint64_t pg_account_count(struct catalog *c, bool ask)
{
	struct pg *q = CONTAINER_OF(c, struct pg, base);
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	uint64_t n = q->accounts;

	if (n > 0)
		return n;
	if (!ask || pg_read_soon(q, R_ACCOUNT_COUNT, NULL, &r, NULL) != 0)
		return ACCOUNTS_UNKNOWN;
	n = (uint64_t)pg_col_int(&r, 0, 0);
	if (n > 0)
		q->accounts = n;
	return n;
}
