/* Changes of accounts, and of what belongs to them: sessions and keys. */
#include "catalog/memory/memory.h"

#include <stdlib.h>
#include <string.h>

/* ---- rows ---- */

static void account_free(struct mem_account *a)
{
	if (!a)
		return;
	arena_release(&a->text);
	free(a);
}

static void key_free(struct mem_api_key *k)
{
	if (!k)
		return;
	arena_release(&k->text);
	free(k);
}

void mem_accounts_release(struct mem *m)
{
	for (size_t i = 0; i < m->n_accounts; i++)
		account_free(m->accounts[i]);
	for (size_t i = 0; i < m->n_api_keys; i++)
		key_free(m->api_keys[i]);
	free(m->accounts);
	free(m->api_keys);
	free(m->sessions);
}

static struct mem_account *account_new(const struct account *from)
{
	struct mem_account *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->account = *from;
	a->account.email = arena_str(&a->text, from->email);
	a->account.name = arena_str(&a->text, from->name);
	a->account.password = arena_str(&a->text, from->password);
	if (a->account.email.p && a->account.name.p && a->account.password.p)
		return a;
	account_free(a);
	return NULL;
}

static struct mem_api_key *key_new(const struct api_key *from)
{
	struct mem_api_key *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->key = *from;
	k->key.revoked_at = 0;
	k->key.name = arena_str(&k->text, from->name);
	if (k->key.name.p)
		return k;
	key_free(k);
	return NULL;
}

/* ---- accounts ---- */

static struct account *find_account(struct mem *m, struct change *ch, struct uuid id)
{
	for (size_t i = 0; i < m->n_accounts; i++)
		if (uuid_eq(m->accounts[i]->account.id, id))
			return &m->accounts[i]->account;
	change_no_account(ch);
	return NULL;
}

static bool email_taken(const struct mem *m, struct change *ch, struct str email, const struct account *but)
{
	for (size_t i = 0; i < m->n_accounts; i++) {
		if (&m->accounts[i]->account == but || !str_eq(m->accounts[i]->account.email, email))
			continue;
		change_email_taken(ch);
		return true;
	}
	return false;
}

static bool last_admin(const struct mem *m, struct change *ch, const struct account *but)
{
	for (size_t i = 0; i < m->n_accounts; i++) {
		const struct account *a = &m->accounts[i]->account;

		if (a != but && a->role == ROLE_ADMIN && a->disabled_at == 0)
			return false;
	}
	change_last_admin(ch);
	return true;
}

static bool id_taken(const struct mem *m, struct change *ch, struct uuid id)
{
	for (size_t i = 0; i < m->n_accounts; i++) {
		if (!uuid_eq(m->accounts[i]->account.id, id))
			continue;
		change_refuse(ch, ERR_CONFLICT, "an id of this change is taken already");
		return true;
	}
	return false;
}

void mem_add_account(struct mem *m, struct change *ch)
{
	struct account *from = ch->add_account.account;
	struct mem_account *a;

	if (ch->add_account.first_only && m->n_accounts > 0) {
		change_not_first(ch);
		return;
	}
	if (email_taken(m, ch, from->email, NULL) || id_taken(m, ch, from->id))
		return;
	a = mem_grow(&m->accounts, &m->cap_accounts, m->n_accounts, sizeof(struct mem_account *)) ? account_new(from) : NULL;
	if (!a) {
		mem_no_memory(ch);
		return;
	}
	a->account.number = from->number = ++m->last_account;
	a->account.changed_at = from->changed_at = from->created_at;
	a->account.disabled_at = 0;
	m->accounts[m->n_accounts++] = a;
}

static void end_sessions(struct mem *m, struct uuid account)
{
	size_t kept = 0;

	for (size_t i = 0; i < m->n_sessions; i++)
		if (!uuid_eq(m->sessions[i].account, account))
			m->sessions[kept++] = m->sessions[i];
	m->n_sessions = kept;
}

static struct str replaced(struct mem_account *a, struct str with, struct str old)
{
	return with.p ? arena_str(&a->text, with) : old;
}

void mem_patch_account(struct mem *m, struct change *ch)
{
	const struct change_patch_account *p = &ch->patch_account;
	struct account *a = find_account(m, ch, p->id);
	struct mem_account *row = a ? CONTAINER_OF(a, struct mem_account, account) : NULL;
	struct str email, name, password;

	if (!a || (p->email.p && email_taken(m, ch, p->email, a)))
		return;
	if (patch_takes_admin(p, a->role, a->disabled_at != 0) && last_admin(m, ch, a))
		return;
	email = replaced(row, p->email, a->email);
	name = replaced(row, p->name, a->name);
	password = replaced(row, p->password, a->password);
	if (!email.p || !name.p || !password.p) {
		mem_no_memory(ch);
		return;
	}
	a->email = email;
	a->name = name;
	a->password = password;
	if (p->password.p)
		a->changed_at = p->now;
	if (p->set_role)
		a->role = p->role;
	if (p->set_disabled && (a->disabled_at != 0) != p->disabled)
		a->disabled_at = p->disabled ? p->now : 0;
	for (unsigned i = 0; i < QUOTAS; i++)
		if (p->set_quotas & 1u << i)
			a->quotas.max[i] = p->quotas.max[i];
	catalog_quotas_set(&m->base, a->quotas);
	if (p->password.p || (p->set_disabled && p->disabled))
		end_sessions(m, p->id);
}

struct quotas mem_quotas_of(const struct mem *m, struct str owner)
{
	struct uuid id;

	for (size_t i = 0; uuid_parse(&id, owner) && i < m->n_accounts; i++)
		if (uuid_eq(m->accounts[i]->account.id, id))
			return m->accounts[i]->account.quotas;
	return (struct quotas){};
}

static void delete_keys(struct mem *m, struct uuid account)
{
	size_t kept = 0;

	for (size_t i = 0; i < m->n_api_keys; i++) {
		if (uuid_eq(m->api_keys[i]->key.account, account))
			key_free(m->api_keys[i]);
		else
			m->api_keys[kept++] = m->api_keys[i];
	}
	m->n_api_keys = kept;
}

void mem_delete_account(struct mem *m, struct change *ch)
{
	struct uuid id = ch->delete_account.id;
	struct account *a = find_account(m, ch, id);
	size_t kept = 0;

	if (a && m->n_accounts == 1) {
		change_last_account(ch);
		return;
	}
	if (!a || (a->role == ROLE_ADMIN && a->disabled_at == 0 && last_admin(m, ch, a)))
		return;
	end_sessions(m, id);
	delete_keys(m, id);
	for (size_t i = 0; i < m->n_accounts; i++) {
		if (&m->accounts[i]->account != a)
			m->accounts[kept++] = m->accounts[i];
	}
	m->n_accounts = kept;
	account_free(CONTAINER_OF(a, struct mem_account, account));
}

/* ---- sessions ---- */

static struct session *find_session(struct mem *m, const uint8_t hash[SECRET_HASH])
{
	for (size_t i = 0; i < m->n_sessions; i++)
		if (memcmp(m->sessions[i].hash, hash, SECRET_HASH) == 0)
			return &m->sessions[i];
	return NULL;
}

/* Of this account; *ret_n is how many there are. */
static size_t used_longest_ago(const struct mem *m, struct uuid account, uint32_t *ret_n)
{
	size_t found = 0;

	*ret_n = 0;
	for (size_t i = 0; i < m->n_sessions; i++) {
		if (!uuid_eq(m->sessions[i].account, account))
			continue;
		if ((*ret_n)++ == 0 || m->sessions[i].used_at < m->sessions[found].used_at)
			found = i;
	}
	return found;
}

void mem_add_session(struct mem *m, struct change *ch)
{
	const struct session *s = &ch->add_session.session;
	const struct account *a = find_account(m, ch, s->account);
	uint32_t n;

	if (!a)
		return;
	if (a->disabled_at != 0) {
		change_no_account(ch);
		return;
	}
	if (s->created_at < a->changed_at) {
		change_password_changed(ch);
		return;
	}
	if (find_session(m, s->hash)) {
		change_refuse(ch, ERR_CONFLICT, "an id of this change is taken already");
		return;
	}
	if (!mem_grow(&m->sessions, &m->cap_sessions, m->n_sessions, sizeof(*m->sessions))) {
		mem_no_memory(ch);
		return;
	}
	for (;;) {
		size_t oldest = used_longest_ago(m, s->account, &n);

		if (n < ch->add_session.max)
			break;
		m->sessions[oldest] = m->sessions[--m->n_sessions];
	}
	m->sessions[m->n_sessions++] = *s;
}

void mem_end_session(struct mem *m, struct change *ch)
{
	const struct change_end_session *d = &ch->end_session;
	struct session *s;

	if (!uuid_is_zero(d->account))
		end_sessions(m, d->account);
	else if ((s = find_session(m, d->hash)))
		*s = m->sessions[--m->n_sessions];
}

void mem_touch_session(struct mem *m, struct change *ch)
{
	struct session *s = find_session(m, ch->touch_session.hash);

	if (s && s->used_at < ch->touch_session.used_at)
		s->used_at = ch->touch_session.used_at;
}

/* ---- keys ---- */

static bool holds(const struct api_key *k, int64_t now)
{
	return k->revoked_at == 0 && (k->expires_at == 0 || k->expires_at > now);
}

void mem_add_key(struct mem *m, struct change *ch)
{
	struct api_key *from = ch->add_key.key;
	const struct account *a = find_account(m, ch, from->account);
	struct mem_api_key *k;
	uint32_t n = 0;

	if (!a)
		return;
	if (a->disabled_at != 0) {
		change_no_account(ch);
		return;
	}
	for (size_t i = 0; i < m->n_api_keys; i++) {
		const struct api_key *other = &m->api_keys[i]->key;

		if (uuid_eq(other->id, from->id) || memcmp(other->hash, from->hash, SECRET_HASH) == 0) {
			change_refuse(ch, ERR_CONFLICT, "an id of this change is taken already");
			return;
		}
		n += uuid_eq(other->account, from->account) && holds(other, from->created_at);
	}
	if (n >= ch->add_key.max) {
		change_too_many_keys(ch, ch->add_key.max);
		return;
	}
	k = mem_grow(&m->api_keys, &m->cap_api_keys, m->n_api_keys, sizeof(struct mem_api_key *)) ? key_new(from) : NULL;
	if (!k) {
		mem_no_memory(ch);
		return;
	}
	k->key.number = from->number = ++m->last_api_key;
	m->api_keys[m->n_api_keys++] = k;
}

void mem_revoke_key(struct mem *m, struct change *ch)
{
	const struct change_revoke_key *r = &ch->revoke_key;

	for (size_t i = 0; i < m->n_api_keys; i++) {
		struct api_key *k = &m->api_keys[i]->key;

		if (!uuid_eq(k->id, r->id) || (!uuid_is_zero(r->account) && !uuid_eq(k->account, r->account)))
			continue;
		if (k->revoked_at == 0)
			k->revoked_at = r->now;
		return;
	}
	change_no_key(ch);
}

/* ---- purging ---- */

void mem_purge_accounts(struct mem *m, int64_t sessions_before, int64_t keys_before, uint32_t max)
{
	uint32_t left = max;
	size_t kept = 0;

	for (size_t i = 0; i < m->n_sessions; i++) {
		if (left > 0 && m->sessions[i].expires_at < sessions_before)
			left--;
		else
			m->sessions[kept++] = m->sessions[i];
	}
	m->n_sessions = kept;
	left = max;
	kept = 0;
	for (size_t i = 0; i < m->n_api_keys; i++) {
		const struct api_key *k = &m->api_keys[i]->key;
		int64_t over_at = k->revoked_at != 0 ? k->revoked_at : k->expires_at;

		if (left == 0 || over_at == 0 || over_at >= keys_before) {
			m->api_keys[kept++] = m->api_keys[i];
			continue;
		}
		key_free(m->api_keys[i]);
		left--;
	}
	m->n_api_keys = kept;
}
