/* What is known of accounts, sessions and keys; copied under the lock, as in read.c. */
#include "catalog/memory/memory.h"

#include <string.h>

static bool copy_account(struct account *ret, const struct account *from, struct arena *a)
{
	*ret = *from;
	ret->email = arena_str(a, from->email);
	ret->name = arena_str(a, from->name);
	ret->password = arena_str(a, from->password);
	return ret->email.p && ret->name.p && ret->password.p;
}

static bool copy_key(struct api_key *ret, const struct api_key *from, struct arena *a)
{
	*ret = *from;
	ret->name = arena_str(a, from->name);
	return ret->name.p;
}

static const struct account *find(const struct mem *m, struct uuid id)
{
	for (size_t i = 0; i < m->n_accounts; i++)
		if (uuid_eq(m->accounts[i]->account.id, id))
			return &m->accounts[i]->account;
	return NULL;
}

static const struct account *find_email(const struct mem *m, struct str email)
{
	for (size_t i = 0; i < m->n_accounts; i++)
		if (str_eq(m->accounts[i]->account.email, email))
			return &m->accounts[i]->account;
	return NULL;
}

uint64_t mem_account_count(struct catalog *c, bool ask)
{
	struct mem *m = mem_locked(c);
	uint64_t n = m->n_accounts;

	mem_unlocked(m, 0);
	return n;
}

int mem_account(struct catalog *c, struct uuid id, struct str email, struct arena *a, struct account *ret, struct err *e)
{
	struct mem *m = mem_locked(c);
	const struct account *found = uuid_is_zero(id) ? find_email(m, email) : find(m, id);
	struct account copy;

	if (!found)
		return mem_unlocked(m, no_account(e));
	if (!copy_account(&copy, found, a))
		return mem_unlocked(m, mem_nothing_read(e));
	*ret = copy;
	return mem_unlocked(m, 0);
}

int mem_list_accounts(struct catalog *c, struct page page, struct arena *a, struct account **ret, size_t *ret_n, int64_t *ret_next,
		      struct err *e)
{
	struct account *list = arena_alloc(a, page.limit * sizeof(*list));
	int64_t next = 0;
	struct mem *m;
	size_t n = 0;

	if (!list)
		return mem_nothing_read(e);
	m = mem_locked(c);
	for (size_t i = m->n_accounts; i > 0; i--) {
		const struct account *from = &m->accounts[i - 1]->account;

		if (from->number >= page.before)
			continue;
		if (n == page.limit) {
			next = list[n - 1].number;
			break;
		}
		if (!copy_account(&list[n++], from, a))
			return mem_unlocked(m, mem_nothing_read(e));
	}
	*ret = list;
	*ret_n = n;
	*ret_next = next;
	return mem_unlocked(m, 0);
}

int mem_session(struct catalog *c, const uint8_t hash[SECRET_HASH], struct arena *a, struct session *ret, struct account *ret_account,
		struct err *e)
{
	struct mem *m = mem_locked(c);
	const struct session *s = NULL;
	const struct account *whose;

	for (size_t i = 0; i < m->n_sessions && !s; i++)
		if (memcmp(m->sessions[i].hash, hash, SECRET_HASH) == 0)
			s = &m->sessions[i];
	whose = s ? find(m, s->account) : NULL;
	if (!whose)
		return mem_unlocked(m, not_known(e));
	*ret = *s;
	return mem_unlocked(m, copy_account(ret_account, whose, a) ? 0 : mem_nothing_read(e));
}

int mem_api_key(struct catalog *c, const uint8_t *hash, struct uuid id, struct arena *a, struct api_key *ret, struct account *ret_account,
		struct err *e)
{
	struct mem *m = mem_locked(c);
	const struct api_key *k = NULL;
	const struct account *whose;

	for (size_t i = 0; i < m->n_api_keys && !k; i++) {
		const struct api_key *other = &m->api_keys[i]->key;

		if (hash ? memcmp(other->hash, hash, SECRET_HASH) == 0 : uuid_eq(other->id, id))
			k = other;
	}
	whose = k ? find(m, k->account) : NULL;
	if (!whose)
		return mem_unlocked(m, not_known(e));
	return mem_unlocked(m, copy_key(ret, k, a) && copy_account(ret_account, whose, a) ? 0 : mem_nothing_read(e));
}

int mem_list_keys(struct catalog *c, struct uuid account, struct page page, struct arena *a, struct api_key **ret, size_t *ret_n,
		  int64_t *ret_next, struct err *e)
{
	struct api_key *list = arena_alloc(a, page.limit * sizeof(*list));
	int64_t next = 0;
	struct mem *m;
	size_t n = 0;

	if (!list)
		return mem_nothing_read(e);
	m = mem_locked(c);
	for (size_t i = m->n_api_keys; i > 0; i--) {
		const struct api_key *from = &m->api_keys[i - 1]->key;

		if (from->number >= page.before || (!uuid_is_zero(account) && !uuid_eq(from->account, account)))
			continue;
		if (n == page.limit) {
			next = list[n - 1].number;
			break;
		}
		if (!copy_key(&list[n++], from, a))
			return mem_unlocked(m, mem_nothing_read(e));
	}
	*ret = list;
	*ret_n = n;
	*ret_next = next;
	return mem_unlocked(m, 0);
}
