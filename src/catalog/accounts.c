/* What every call about accounts, sessions, keys and secrets passes, as with catalog.c. */
#include "catalog/catalog_impl.h"

int change_used(struct change *ch)
{
	return change_refuse(ch, ERR_USED, "this may happen once only, and it has happened");
}

int change_no_account(struct change *ch)
{
	return change_refuse(ch, ERR_USER_NOT_FOUND, "there is no user with this id who may come");
}

int change_no_key(struct change *ch)
{
	return change_refuse(ch, ERR_KEY_NOT_FOUND, "there is no key with this id");
}

int change_email_taken(struct change *ch)
{
	change_refuse(ch, ERR_EMAIL_TAKEN, "there is an account with this email already");
	err_field(&ch->err, "email");
	return 0;
}

int change_last_admin(struct change *ch)
{
	return change_refuse(ch, ERR_CONFLICT, "this is the last administrator; make another one first");
}

int change_last_account(struct change *ch)
{
	return change_refuse(ch, ERR_CONFLICT, "this is the last account; make another one first");
}

int change_not_first(struct change *ch)
{
	return change_refuse(ch, ERR_CONFLICT, "there is an account already");
}

int change_password_changed(struct change *ch)
{
	return change_refuse(ch, ERR_UNAUTHENTICATED, "the password was changed meanwhile");
}

int change_too_many_keys(struct change *ch, uint32_t limit)
{
	change_refuse(ch, ERR_LIMIT_REACHED, "an account may have %u keys", limit);
	ch->err.limit = limit;
	return 0;
}

int no_account(struct err *e)
{
	return err_set(e, ERR_USER_NOT_FOUND, "there is no such user");
}

int not_known(struct err *e)
{
	return err_set(e, ERR_UNAUTHENTICATED, "the credentials do not hold");
}

static bool invalid(struct change *ch, const char *field)
{
	change_refuse(ch, ERR_INVALID_VALUE, "the change cannot be stored as it is");
	err_field(&ch->err, field);
	return false;
}

bool once_allowed(struct change *ch)
{
	if (ch->kind == CHANGE_ONCE && !ch->once.set)
		return invalid(ch, "once");
	return ch->once.expires_at >= 0 ? true : invalid(ch, "once");
}

static bool secret_allowed(struct change *ch)
{
	const struct change_add_secret *s = &ch->add_secret;

	if (s->keep == 0 || s->keep > SERVER_SECRETS_MAX)
		return invalid(ch, "keep");
	return s->now > 0 ? true : invalid(ch, "now");
}

static bool add_account_allowed(struct change *ch)
{
	const struct account *a = ch->add_account.account;

	if (!a || uuid_is_zero(a->id))
		return invalid(ch, "id");
	if (a->email.len == 0 || a->email.len > EMAIL_MAX)
		return invalid(ch, "email");
	if (!a->name.p || a->name.len > PERSON_NAME_MAX)
		return invalid(ch, "name");
	if (!a->password.p || a->password.len > PASSWORD_HASH_MAX)
		return invalid(ch, "password");
	if ((unsigned)a->role >= ROLES)
		return invalid(ch, "role");
	return a->created_at > 0 ? true : invalid(ch, "created_at");
}

static bool patch_account_allowed(struct change *ch)
{
	const struct change_patch_account *p = &ch->patch_account;

	if (p->email.p && (p->email.len == 0 || p->email.len > EMAIL_MAX))
		return invalid(ch, "email");
	if (p->name.p && p->name.len > PERSON_NAME_MAX)
		return invalid(ch, "name");
	if (p->password.p && p->password.len > PASSWORD_HASH_MAX)
		return invalid(ch, "password");
	if (p->set_role && (unsigned)p->role >= ROLES)
		return invalid(ch, "role");
	return p->now > 0 ? true : invalid(ch, "now");
}

static bool add_session_allowed(struct change *ch)
{
	const struct session *s = &ch->add_session.session;

	if (uuid_is_zero(s->id))
		return invalid(ch, "id");
	if (s->created_at <= 0 || s->used_at < s->created_at || s->expires_at <= s->created_at)
		return invalid(ch, "expires_at");
	return ch->add_session.max > 0 ? true : invalid(ch, "max");
}

static bool add_key_allowed(struct change *ch)
{
	const struct api_key *k = ch->add_key.key;

	if (!k || uuid_is_zero(k->id))
		return invalid(ch, "id");
	if (!k->name.p || k->name.len > KEY_NAME_MAX)
		return invalid(ch, "name");
	if (k->scopes == 0 || (k->scopes & ~SCOPE_ALL) != 0)
		return invalid(ch, "scopes");
	if (k->created_at <= 0)
		return invalid(ch, "created_at");
	if (k->expires_at != 0 && k->expires_at <= k->created_at)
		return invalid(ch, "expires_at");
	return ch->add_key.max > 0 && ch->add_key.max <= KEYS_AN_ACCOUNT_MAX ? true : invalid(ch, "max");
}

bool account_change_allowed(struct change *ch)
{
	switch (ch->kind) {
	case CHANGE_ADD_SECRET:
		return secret_allowed(ch);
	case CHANGE_ADD_ACCOUNT:
		return add_account_allowed(ch);
	case CHANGE_PATCH_ACCOUNT:
		return patch_account_allowed(ch);
	case CHANGE_ADD_SESSION:
		return add_session_allowed(ch);
	case CHANGE_ADD_KEY:
		return add_key_allowed(ch);
	case CHANGE_REVOKE_KEY:
		return ch->revoke_key.now > 0 ? true : invalid(ch, "now");
	default:
		return true;
	}
}

bool patch_takes_admin(const struct change_patch_account *p, enum role role, bool disabled)
{
	bool was = role == ROLE_ADMIN && !disabled;
	bool is = (p->set_role ? p->role : role) == ROLE_ADMIN && !(p->set_disabled ? p->disabled : disabled);

	return was && !is;
}

static bool session_holds(const struct session *s, const struct account *a, int64_t now, int64_t idle_ms)
{
	return now < s->expires_at && now - s->used_at <= idle_ms && a->disabled_at == 0 && s->created_at >= a->changed_at;
}

static bool key_holds(const struct api_key *k, const struct account *a, int64_t now)
{
	return k->revoked_at == 0 && (k->expires_at == 0 || now < k->expires_at) && a->disabled_at == 0;
}

/* ---- reading ---- */

int catalog_account(struct catalog *c, struct uuid id, struct arena *a, struct account *ret, struct err *e)
{
	return uuid_is_zero(id) ? no_account(e) : c->ops->account(c, id, (struct str){}, a, ret, e);
}

int catalog_account_by_email(struct catalog *c, struct str email, struct arena *a, struct account *ret, struct err *e)
{
	return email.len == 0 ? no_account(e) : c->ops->account(c, (struct uuid){}, email, a, ret, e);
}

int catalog_list_accounts(struct catalog *c, struct page page, struct arena *a, struct account **ret, size_t *ret_n, int64_t *ret_next,
			  struct err *e)
{
	return c->ops->list_accounts(c, page_within(page), a, ret, ret_n, ret_next, e);
}

uint64_t catalog_account_count(struct catalog *c)
{
	return c->ops->account_count(c, true);
}

uint64_t catalog_account_count_known(struct catalog *c)
{
	return c->ops->account_count(c, false);
}

int catalog_session(struct catalog *c, const uint8_t hash[SECRET_HASH], int64_t now, int64_t idle_ms, struct arena *a, struct session *ret,
		    struct account *ret_account, struct err *e)
{
	struct session s;
	struct account whose;
	int rc = c->ops->session(c, hash, a, &s, &whose, e);

	if (rc == 0 && !session_holds(&s, &whose, now, idle_ms))
		rc = not_known(e);
	if (rc != 0)
		return rc;
	*ret = s;
	*ret_account = whose;
	return 0;
}

static int key_of(struct catalog *c, const uint8_t *hash, struct uuid id, int64_t now, struct arena *a, struct api_key *ret,
		  struct account *ret_account, struct err *e)
{
	struct api_key k;
	struct account whose;
	int rc = c->ops->api_key(c, hash, id, a, &k, &whose, e);

	if (rc == 0 && !key_holds(&k, &whose, now))
		rc = not_known(e);
	if (rc != 0)
		return rc;
	*ret = k;
	*ret_account = whose;
	return 0;
}

int catalog_key(struct catalog *c, const uint8_t hash[SECRET_HASH], int64_t now, struct arena *a, struct api_key *ret,
		struct account *ret_account, struct err *e)
{
	return key_of(c, hash, (struct uuid){}, now, a, ret, ret_account, e);
}

int catalog_key_by_id(struct catalog *c, struct uuid id, int64_t now, struct arena *a, struct api_key *ret, struct account *ret_account,
		      struct err *e)
{
	return key_of(c, NULL, id, now, a, ret, ret_account, e);
}

int catalog_list_keys(struct catalog *c, struct uuid account, struct page page, struct arena *a, struct api_key **ret, size_t *ret_n,
		      int64_t *ret_next, struct err *e)
{
	return c->ops->list_keys(c, account, page_within(page), a, ret, ret_n, ret_next, e);
}

int catalog_once_used(struct catalog *c, const uint8_t key[ONCE_KEY], bool *ret, struct err *e)
{
	return c->ops->once_used(c, key, ret, e);
}

int catalog_secrets(struct catalog *c, struct arena *a, struct secret **ret, size_t *ret_n, struct err *e)
{
	return c->ops->secrets(c, a, ret, ret_n, e);
}
