/* Accounts, and what belongs to them: sessions and keys. All but the touch of a session run alone. */
#include "catalog/postgres/write.h"

/* ---- accounts ---- */

struct found_account {
	int64_t number; /* 0 = there is none */
	enum role role;
	bool disabled;
	int64_t changed_at;
};

/* Refuses when there is none. */
static int find_account(struct pg *q, struct change *ch, const struct uuid *id, struct found_account *ret)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args a = {};

	arg_uuid(&a, id);
	int rc = w_ask(q, W_ACCOUNT_FIND, &a, &r);
	if (rc != 0)
		return rc;
	if (r.n == 0)
		return change_no_account(ch);
	*ret = (struct found_account){.number = pg_col_int(&r, 0, 0),
				      .role = (enum role)pg_col_int(&r, 0, 1),
				      .disabled = !pg_col_null(&r, 0, 2),
				      .changed_at = pg_col_int(&r, 0, 3)};
	return 0;
}

/* Refuses when somebody but account number `but` has this email. */
static int check_email(struct pg *q, struct change *ch, struct str email, int64_t but)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args a = {};

	arg_str(&a, email);
	int rc = w_ask(q, W_ACCOUNT_EMAIL, &a, &r);
	return rc == 0 && r.n && pg_col_int(&r, 0, 0) != but ? change_email_taken(ch) : rc;
}

/* Refuses when nobody else is an administrator who may come. */
static int check_other_admin(struct pg *q, struct change *ch, int64_t number)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args a = {};

	arg_int(&a, number);
	int rc = w_ask(q, W_OTHER_ADMIN, &a, &r);
	return rc == 0 && r.n == 0 ? change_last_admin(ch) : rc;
}

static int count_accounts(struct pg *q, int64_t *ret)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	int rc = w_ask(q, W_ACCOUNTS, NULL, &r);

	*ret = rc == 0 && r.n ? pg_col_int(&r, 0, 0) : 0;
	return rc;
}

int pgw_add_account(struct pg *q, struct change *ch)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct account *a = ch->add_account.account;
	struct pg_args args = {};
	int64_t n = 0;
	int rc = ch->add_account.first_only ? count_accounts(q, &n) : 0;

	if (rc == 0 && n > 0)
		return change_not_first(ch);
	if (rc == 0)
		rc = check_email(q, ch, a->email, 0);
	if (rc != 0 || ch->code != 0)
		return rc;
	arg_uuid(&args, &a->id);
	arg_str(&args, a->email);
	arg_str(&args, a->name);
	arg_str(&args, a->password);
	arg_int(&args, (int)a->role);
	arg_int(&args, a->created_at);
	rc = w_ask(q, W_ACCOUNT_ADD, &args, &r);
	if (rc != 0)
		return rc;
	a->number = pg_col_int(&r, 0, 0);
	a->changed_at = a->created_at;
	return 0;
}

static int write_patch(struct pg *q, const struct change_patch_account *p, int64_t number)
{
	struct pg_args a = {};

	arg_int(&a, number);
	arg_str(&a, p->email);
	arg_str(&a, p->name);
	arg_str(&a, p->password);
	arg_int(&a, p->now);
	if (p->set_role)
		arg_int(&a, (int)p->role);
	else
		arg_null_int(&a);
	if (p->set_disabled)
		arg_bool(&a, p->disabled);
	else
		arg_null_bool(&a);
	arg_int(&a, p->set_quotas);
	for (int i = 0; i < QUOTAS; i++)
		if (p->quotas.max[i] == 0)
			arg_null_int(&a);
		else
			arg_int(&a, p->quotas.max[i] == QUOTA_NONE ? 0 : p->quotas.max[i]);
	catalog_quotas_set(&q->base, p->quotas);
	return w_run(q, W_ACCOUNT_PATCH, &a);
}

int pgw_patch_account(struct pg *q, struct change *ch)
{
	const struct change_patch_account *p = &ch->patch_account;
	struct found_account a = {};
	int rc = find_account(q, ch, &p->id, &a);

	if (rc == 0 && ch->code == 0 && p->email.p)
		rc = check_email(q, ch, p->email, a.number);
	if (rc == 0 && ch->code == 0 && patch_takes_admin(p, a.role, a.disabled))
		rc = check_other_admin(q, ch, a.number);
	if (rc != 0 || ch->code != 0)
		return rc;
	rc = write_patch(q, p, a.number);
	if (rc == 0 && (p->password.p || (p->set_disabled && p->disabled)))
		rc = w_run_int(q, W_SESSIONS_END, a.number);
	return rc;
}

int pgw_delete_account(struct pg *q, struct change *ch)
{
	static const enum pg_stmt STEPS[] = {W_SESSIONS_END, W_KEYS_DELETE, W_ACCOUNT_DELETE};
	struct found_account a = {};
	int64_t n = 0;
	int rc = find_account(q, ch, &ch->delete_account.id, &a);

	if (rc == 0 && ch->code == 0)
		rc = count_accounts(q, &n);
	if (rc == 0 && ch->code == 0 && n == 1)
		return change_last_account(ch);
	if (rc == 0 && ch->code == 0 && a.role == ROLE_ADMIN && !a.disabled)
		rc = check_other_admin(q, ch, a.number);
	if (rc != 0 || ch->code != 0)
		return rc;
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(STEPS); i++)
		rc = w_run_int(q, STEPS[i], a.number);
	return rc;
}

/* ---- sessions ---- */

int pgw_add_session(struct pg *q, struct change *ch)
{
	const struct session *n = &ch->add_session.session;
	struct found_account a = {};
	struct pg_args args = {};
	int rc = find_account(q, ch, &n->account, &a);

	if (rc != 0 || ch->code != 0)
		return rc;
	if (a.disabled)
		return change_no_account(ch);
	if (n->created_at < a.changed_at)
		return change_password_changed(ch);
	rc = w_run_int2(q, W_SESSIONS_CUT, a.number, ch->add_session.max);
	arg_bytes(&args, n->hash, SECRET_HASH);
	arg_uuid(&args, &n->id);
	arg_int(&args, a.number);
	arg_int(&args, n->created_at);
	arg_int(&args, n->used_at);
	arg_int(&args, n->expires_at);
	return rc == 0 ? w_run(q, W_SESSION_ADD, &args) : rc;
}

int pgw_end_session(struct pg *q, struct change *ch)
{
	const struct change_end_session *d = &ch->end_session;
	struct found_account a = {};
	struct pg_args args = {};
	int rc;

	if (uuid_is_zero(d->account)) {
		arg_bytes(&args, d->hash, SECRET_HASH);
		return w_run(q, W_SESSION_END, &args);
	}
	rc = find_account(q, ch, &d->account, &a);
	ch->code = 0; /* there need be none */
	return rc == 0 && a.number > 0 ? w_run_int(q, W_SESSIONS_END, a.number) : rc;
}

int pgw_touch_session(struct pg *q, struct change *ch)
{
	struct pg_args a = {};

	arg_bytes(&a, ch->touch_session.hash, SECRET_HASH);
	arg_int(&a, ch->touch_session.used_at);
	return w_run(q, W_SESSION_TOUCH, &a);
}

/* ---- keys ---- */

static int too_many_keys(struct pg *q, struct change *ch, int64_t account)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args a = {};

	arg_int(&a, account);
	arg_int(&a, ch->add_key.key->created_at);
	int rc = w_ask(q, W_KEY_COUNT, &a, &r);
	if (rc == 0 && pg_col_int(&r, 0, 0) >= ch->add_key.max)
		change_too_many_keys(ch, ch->add_key.max);
	return rc;
}

int pgw_add_key(struct pg *q, struct change *ch)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct api_key *k = ch->add_key.key;
	struct found_account a = {};
	struct pg_args args = {};
	int rc = find_account(q, ch, &k->account, &a);

	if (rc == 0 && ch->code == 0)
		rc = a.disabled ? change_no_account(ch) : too_many_keys(q, ch, a.number);
	if (rc != 0 || ch->code != 0)
		return rc;
	arg_uuid(&args, &k->id);
	arg_int(&args, a.number);
	arg_str(&args, k->name);
	arg_bytes(&args, k->hash, SECRET_HASH);
	arg_int(&args, k->scopes);
	arg_int(&args, k->created_at);
	arg_time(&args, k->expires_at);
	rc = w_ask(q, W_KEY_ADD, &args, &r);
	if (rc == 0)
		k->number = pg_col_int(&r, 0, 0);
	return rc;
}

int pgw_revoke_key(struct pg *q, struct change *ch)
{
	const struct change_revoke_key *k = &ch->revoke_key;
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args a = {};

	arg_uuid(&a, &k->id);
	int rc = w_ask(q, W_KEY_FIND, &a, &r);
	if (rc != 0)
		return rc;
	if (r.n == 0 || !(uuid_is_zero(k->account) || uuid_eq(pg_col_uuid(&r, 0, 1), k->account)))
		return change_no_key(ch);
	return pg_col_null(&r, 0, 2) ? w_run_int2(q, W_KEY_REVOKE, pg_col_int(&r, 0, 0), k->now) : 0;
}
