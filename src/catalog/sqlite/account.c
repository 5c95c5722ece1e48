/* Accounts, and what belongs to them: sessions and keys. */
#include "catalog/sqlite/sq.h"

static int load_quotas(struct sq *q)
{
	sqlite3_stmt *s = q->stmt[W_QUOTAS_ANY];
	bool row;
	int rc = first(s, &row);

	if (row)
		atomic_store(&q->base.own_quotas, true);
	sqlite3_reset(s);
	return rc;
}

int sq_accounts_load(struct sq *q)
{
	sqlite3_stmt *s = q->stmt[W_ACCOUNTS];
	bool row;
	int rc = first(s, &row);

	if (row)
		q->now.accounts = q->committed.accounts = sqlite3_column_int64(s, 0);
	sqlite3_reset(s);
	return rc == SQLITE_OK ? load_quotas(q) : rc;
}

static int run_with(sqlite3_stmt *s, int64_t number)
{
	sqlite3_bind_int64(s, 1, number);
	return run(s);
}

/* ---- accounts ---- */

struct found_account {
	int64_t number; /* 0 = there is none */
	enum role role;
	bool disabled;
	int64_t changed_at;
};

/* Refuses when there is none. */
static int find_account(struct sq *q, struct change *ch, const struct uuid *id, struct found_account *ret)
{
	sqlite3_stmt *s = q->stmt[W_ACCOUNT_FIND];
	bool row;
	int rc;

	bind_uuid(s, 1, id);
	rc = first(s, &row);
	if (row)
		*ret = (struct found_account){.number = sqlite3_column_int64(s, 0),
					      .role = (enum role)sqlite3_column_int(s, 1),
					      .disabled = !col_null(s, 2),
					      .changed_at = sqlite3_column_int64(s, 3)};
	sqlite3_reset(s);
	return rc == SQLITE_OK && !row ? change_no_account(ch) : rc;
}

/* Refuses when somebody but account number `but` has this email. */
static int check_email(struct sq *q, struct change *ch, struct str email, int64_t but)
{
	sqlite3_stmt *s = q->stmt[W_ACCOUNT_EMAIL];
	bool row, taken;
	int rc;

	bind_str(s, 1, email);
	rc = first(s, &row);
	taken = row && sqlite3_column_int64(s, 0) != but;
	sqlite3_reset(s);
	return rc == SQLITE_OK && taken ? change_email_taken(ch) : rc;
}

/* Refuses when nobody else is an administrator who may come. */
static int check_other_admin(struct sq *q, struct change *ch, int64_t number)
{
	sqlite3_stmt *s = q->stmt[W_OTHER_ADMIN];
	bool row;
	int rc;

	sqlite3_bind_int64(s, 1, number);
	rc = first(s, &row);
	sqlite3_reset(s);
	return rc == SQLITE_OK && !row ? change_last_admin(ch) : rc;
}

int sq_add_account(struct sq *q, struct change *ch)
{
	struct account *a = ch->add_account.account;
	sqlite3_stmt *s = q->stmt[W_ACCOUNT_ADD];
	int rc;

	if (ch->add_account.first_only && q->now.accounts > 0)
		return change_not_first(ch);
	rc = check_email(q, ch, a->email, 0);
	if (rc != SQLITE_OK || ch->code != 0)
		return rc;
	bind_uuid(s, 1, &a->id);
	bind_str(s, 2, a->email);
	bind_str(s, 3, a->name);
	bind_str(s, 4, a->password);
	sqlite3_bind_int(s, 5, (int)a->role);
	sqlite3_bind_int64(s, 6, a->created_at);
	if ((rc = run(s)) != SQLITE_OK)
		return rc;
	a->number = sqlite3_last_insert_rowid(q->db);
	a->changed_at = a->created_at;
	q->now.accounts++;
	return SQLITE_OK;
}

static int write_patch(struct sq *q, const struct change_patch_account *p, int64_t number)
{
	sqlite3_stmt *s = q->stmt[W_ACCOUNT_PATCH];

	sqlite3_bind_int64(s, 1, number);
	bind_str(s, 2, p->email);
	bind_str(s, 3, p->name);
	bind_str(s, 4, p->password);
	sqlite3_bind_int64(s, 5, p->now);
	if (p->set_role)
		sqlite3_bind_int(s, 6, (int)p->role);
	else
		sqlite3_bind_null(s, 6);
	if (p->set_disabled)
		sqlite3_bind_int(s, 7, p->disabled);
	else
		sqlite3_bind_null(s, 7);
	sqlite3_bind_int64(s, 8, p->set_quotas);
	for (int i = 0; i < QUOTAS; i++)
		if (p->quotas.max[i] == 0)
			sqlite3_bind_null(s, 9 + i);
		else
			sqlite3_bind_int64(s, 9 + i, p->quotas.max[i] == QUOTA_NONE ? 0 : p->quotas.max[i]);
	catalog_quotas_set(&q->base, p->quotas);
	return run(s);
}

int sq_patch_account(struct sq *q, struct change *ch)
{
	const struct change_patch_account *p = &ch->patch_account;
	struct found_account a = {};
	int rc = find_account(q, ch, &p->id, &a);

	if (rc == SQLITE_OK && ch->code == 0 && p->email.p)
		rc = check_email(q, ch, p->email, a.number);
	if (rc == SQLITE_OK && ch->code == 0 && patch_takes_admin(p, a.role, a.disabled))
		rc = check_other_admin(q, ch, a.number);
	if (rc != SQLITE_OK || ch->code != 0)
		return rc;
	rc = write_patch(q, p, a.number);
	if (rc == SQLITE_OK && (p->password.p || (p->set_disabled && p->disabled)))
		rc = run_with(q->stmt[W_SESSIONS_END], a.number);
	return rc;
}

int sq_delete_account(struct sq *q, struct change *ch)
{
	static const enum write_stmt STEPS[] = {W_SESSIONS_END, W_KEYS_DELETE, W_ACCOUNT_DELETE};
	struct found_account a = {};
	int rc = find_account(q, ch, &ch->delete_account.id, &a);

	if (rc == SQLITE_OK && ch->code == 0 && q->now.accounts == 1)
		return change_last_account(ch);
	if (rc == SQLITE_OK && ch->code == 0 && a.role == ROLE_ADMIN && !a.disabled)
		rc = check_other_admin(q, ch, a.number);
	if (rc != SQLITE_OK || ch->code != 0)
		return rc;
	for (size_t i = 0; rc == SQLITE_OK && i < ARRAY_LEN(STEPS); i++)
		rc = run_with(q->stmt[STEPS[i]], a.number);
	q->now.accounts--;
	return rc;
}

/* ---- sessions ---- */

static void bind_hash(sqlite3_stmt *s, int i, const uint8_t hash[SECRET_HASH])
{
	sqlite3_bind_blob(s, i, hash, SECRET_HASH, SQLITE_STATIC);
}

int sq_add_session(struct sq *q, struct change *ch)
{
	const struct session *n = &ch->add_session.session;
	sqlite3_stmt *s = q->stmt[W_SESSIONS_CUT];
	struct found_account a = {};
	int rc = find_account(q, ch, &n->account, &a);

	if (rc != SQLITE_OK || ch->code != 0)
		return rc;
	if (a.disabled)
		return change_no_account(ch);
	if (n->created_at < a.changed_at)
		return change_password_changed(ch);
	sqlite3_bind_int64(s, 1, a.number);
	sqlite3_bind_int64(s, 2, ch->add_session.max);
	if ((rc = run(s)) != SQLITE_OK)
		return rc;
	s = q->stmt[W_SESSION_ADD];
	bind_hash(s, 1, n->hash);
	bind_uuid(s, 2, &n->id);
	sqlite3_bind_int64(s, 3, a.number);
	sqlite3_bind_int64(s, 4, n->created_at);
	sqlite3_bind_int64(s, 5, n->used_at);
	sqlite3_bind_int64(s, 6, n->expires_at);
	return run(s);
}

int sq_end_session(struct sq *q, struct change *ch)
{
	const struct change_end_session *d = &ch->end_session;
	sqlite3_stmt *s = q->stmt[W_SESSION_END];
	struct found_account a = {};
	int rc;

	if (uuid_is_zero(d->account)) {
		bind_hash(s, 1, d->hash);
		return run(s);
	}
	rc = find_account(q, ch, &d->account, &a);
	ch->code = 0; /* there need be none */
	return rc == SQLITE_OK && a.number > 0 ? run_with(q->stmt[W_SESSIONS_END], a.number) : rc;
}

int sq_touch_session(struct sq *q, struct change *ch)
{
	sqlite3_stmt *s = q->stmt[W_SESSION_TOUCH];

	bind_hash(s, 1, ch->touch_session.hash);
	sqlite3_bind_int64(s, 2, ch->touch_session.used_at);
	return run(s);
}

/* ---- keys ---- */

static int too_many_keys(struct sq *q, struct change *ch, int64_t account)
{
	sqlite3_stmt *s = q->stmt[W_KEY_COUNT];
	bool row;
	int rc;

	sqlite3_bind_int64(s, 1, account);
	sqlite3_bind_int64(s, 2, ch->add_key.key->created_at);
	rc = first(s, &row);
	if (row && sqlite3_column_int64(s, 0) >= ch->add_key.max)
		change_too_many_keys(ch, ch->add_key.max);
	sqlite3_reset(s);
	return rc;
}

int sq_add_key(struct sq *q, struct change *ch)
{
	struct api_key *k = ch->add_key.key;
	sqlite3_stmt *s = q->stmt[W_KEY_ADD];
	struct found_account a = {};
	int rc = find_account(q, ch, &k->account, &a);

	if (rc == SQLITE_OK && ch->code == 0)
		rc = a.disabled ? change_no_account(ch) : too_many_keys(q, ch, a.number);
	if (rc != SQLITE_OK || ch->code != 0)
		return rc;
	bind_uuid(s, 1, &k->id);
	sqlite3_bind_int64(s, 2, a.number);
	bind_str(s, 3, k->name);
	bind_hash(s, 4, k->hash);
	sqlite3_bind_int64(s, 5, k->scopes);
	sqlite3_bind_int64(s, 6, k->created_at);
	bind_time(s, 7, k->expires_at);
	if ((rc = run(s)) != SQLITE_OK)
		return rc;
	k->number = sqlite3_last_insert_rowid(q->db);
	return SQLITE_OK;
}

int sq_revoke_key(struct sq *q, struct change *ch)
{
	const struct change_revoke_key *r = &ch->revoke_key;
	sqlite3_stmt *s = q->stmt[W_KEY_FIND];
	bool row, his, over = false;
	int64_t number = 0;
	int rc;

	bind_uuid(s, 1, &r->id);
	rc = first(s, &row);
	his = row && (uuid_is_zero(r->account) || uuid_eq(col_uuid(s, 1), r->account));
	if (his) {
		number = sqlite3_column_int64(s, 0);
		over = !col_null(s, 2);
	}
	sqlite3_reset(s);
	if (rc != SQLITE_OK || over)
		return rc;
	if (!his)
		return change_no_key(ch);
	s = q->stmt[W_KEY_REVOKE];
	sqlite3_bind_int64(s, 2, r->now);
	return run_with(s, number);
}

/* ---- purging ---- */

static int purge_before(sqlite3_stmt *s, int64_t before, uint32_t max)
{
	sqlite3_bind_int64(s, 1, before);
	sqlite3_bind_int64(s, 2, max);
	return run(s);
}

int sq_purge_accounts(struct sq *q, int64_t sessions_before, int64_t keys_before, uint32_t max)
{
	int rc = purge_before(q->stmt[W_PURGE_SESSIONS], sessions_before, max);

	return rc == SQLITE_OK ? purge_before(q->stmt[W_PURGE_KEYS], keys_before, max) : rc;
}
