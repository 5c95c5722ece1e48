/* The contract, part seventeen: API keys. */
#include "account_world.h"

#include <string.h>

static void a_key_is_found_by_hash_and_by_id_with_whose_it_is(void **state)
{
	struct world *w = *state;
	struct api_key k = build_key(10, 1), found;
	struct account a;

	add_account(w, 1, ROLE_OPERATOR);
	k.expires_at = NOW + 1000;
	assert_int_equal(add_key(w, k, 10), 0);
	if (w->lasting)
		world_reopen(w);
	for (int by_id = 0; by_id < 2; by_id++) {
		int rc = by_id ? catalog_key_by_id(w->c, test_id(10), NOW, &w->arena, &found, &a, &w->err)
			       : catalog_key(w->c, k.hash, NOW, &w->arena, &found, &a, &w->err);

		assert_int_equal(rc, 0);
		assert_id(found.id, 10);
		assert_id(found.account, 1);
		assert_str(found.name, "of the nightly run");
		assert_memory_equal(found.hash, k.hash, sizeof(k.hash));
		assert_int_equal(found.scopes, k.scopes);
		assert_int_equal(found.created_at, NOW);
		assert_int_equal(found.expires_at, NOW + 1000);
		assert_int_equal(found.revoked_at, 0);
		assert_str(a.email, "1@example.org");
		assert_int_equal(a.role, ROLE_OPERATOR);
	}
	assert_int_equal(key_code(w, 11, NOW), ERR_UNAUTHENTICATED);
}

static void a_key_that_is_over_does_not_hold(void **state)
{
	struct world *w = *state;
	struct api_key k = build_key(10, 1);

	add_account(w, 1, ROLE_USER);
	k.expires_at = NOW + 1000;
	assert_int_equal(add_key(w, k, 10), 0);
	assert_int_equal(add_key(w, build_key(11, 1), 10), 0);
	assert_int_equal(key_code(w, 10, NOW + 999), 0);
	assert_int_equal(key_code(w, 10, NOW + 1000), ERR_UNAUTHENTICATED);
	assert_int_equal(key_code(w, 11, NOW + 1000000000), 0); /* it has no end */
	assert_int_equal(revoke_key(w, 11, 1), 0);
	assert_int_equal(key_code(w, 11, NOW), ERR_UNAUTHENTICATED);
	assert_int_equal(revoke_key(w, 11, 1), 0);
}

static void keys_rest_while_their_account_is_disabled(void **state)
{
	struct world *w = *state;

	add_account(w, 1, ROLE_USER);
	assert_int_equal(add_key(w, build_key(10, 1), 10), 0);
	assert_int_equal(patch(w, (struct change_patch_account){.id = test_id(1), .password = STR("$new"), .now = NOW + 1}), 0);
	assert_int_equal(key_code(w, 10, NOW + 2), 0); /* a new password ends sessions, not keys */
	assert_int_equal(disable(w, 1, true), 0);
	assert_int_equal(key_code(w, 10, NOW + 2), ERR_UNAUTHENTICATED);
	assert_int_equal(add_key(w, build_key(11, 1), 10), ERR_USER_NOT_FOUND);
	assert_int_equal(disable(w, 1, false), 0);
	assert_int_equal(key_code(w, 10, NOW + 2), 0);
}

static void nobody_revokes_anothers_key(void **state)
{
	struct world *w = *state;

	add_account(w, 1, ROLE_USER);
	add_account(w, 2, ROLE_USER);
	assert_int_equal(add_key(w, build_key(10, 1), 10), 0);
	assert_int_equal(revoke_key(w, 10, 2), ERR_KEY_NOT_FOUND);
	assert_int_equal(revoke_key(w, 11, 1), ERR_KEY_NOT_FOUND);
	assert_int_equal(key_code(w, 10, NOW), 0);
	assert_int_equal(revoke_key(w, 10, 0), 0); /* whoever's */
	assert_int_equal(key_code(w, 10, NOW), ERR_UNAUTHENTICATED);
}

static void an_account_has_as_many_keys_as_allowed(void **state)
{
	struct world *w = *state;
	struct api_key short_lived = build_key(10, 1), later = build_key(13, 1);

	add_account(w, 1, ROLE_USER);
	add_account(w, 2, ROLE_USER);
	short_lived.expires_at = NOW + 10;
	assert_int_equal(add_key(w, short_lived, 2), 0);
	assert_int_equal(add_key(w, build_key(11, 1), 2), 0);
	assert_int_equal(add_key(w, build_key(12, 1), 2), ERR_LIMIT_REACHED);
	assert_int_equal(add_key(w, build_key(12, 2), 2), 0);
	later.created_at = NOW + 10;
	assert_int_equal(add_key(w, later, 2), 0); /* one has expired */
	assert_int_equal(add_key(w, build_key(14, 1), 3), ERR_LIMIT_REACHED);
	assert_int_equal(revoke_key(w, 11, 1), 0);
	assert_int_equal(add_key(w, build_key(14, 1), 3), 0);
	assert_int_equal(add_key(w, build_key(14, 1), 9), ERR_CONFLICT); /* the id is taken */
}

static size_t list(struct world *w, unsigned account, int64_t before, uint32_t limit, struct api_key **ret, int64_t *ret_next)
{
	struct uuid id = account > 0 ? test_id(account) : (struct uuid){};
	size_t n;

	assert_int_equal(
		catalog_list_keys(w->c, id, (struct page){.before = before, .limit = limit}, &w->arena, ret, &n, ret_next, &w->err), 0);
	return n;
}

static void keys_are_listed_newest_first_in_pages(void **state)
{
	struct world *w = *state;
	struct api_key *keys;
	int64_t next;

	add_account(w, 1, ROLE_USER);
	add_account(w, 2, ROLE_USER);
	for (unsigned n = 10; n < 16; n++)
		assert_int_equal(add_key(w, build_key(n, 1 + n % 2), 10), 0);
	assert_int_equal(revoke_key(w, 12, 1), 0);
	assert_int_equal(list(w, 1, 0, 2, &keys, &next), 2);
	assert_id(keys[0].id, 14);
	assert_id(keys[1].id, 12);
	assert_int_equal(keys[1].revoked_at, NOW + 10);
	assert_id(keys[1].account, 1);
	assert_int_equal(list(w, 1, next, 2, &keys, &next), 1);
	assert_id(keys[0].id, 10);
	assert_int_equal(next, 0);
	assert_int_equal(list(w, 0, 0, 4, &keys, &next), 4);
	assert_id(keys[0].id, 15);
	assert_id(keys[0].account, 2);
	assert_id(keys[3].id, 12);
	assert_int_equal(list(w, 0, next, 4, &keys, &next), 2);
	assert_int_equal(next, 0);
	assert_int_equal(list(w, 77, 0, 4, &keys, &next), 0);
}

static void a_purge_takes_what_is_over_for_long_enough(void **state)
{
	struct world *w = *state;
	struct change ch = {.kind = CHANGE_PURGE, .purge = {.once_before = NOW + LASTS, .keys_before = NOW + 10, .max = 10}};
	struct api_key expired = build_key(10, 1), *keys;
	int64_t next;

	add_account(w, 1, ROLE_USER);
	expired.expires_at = NOW + 9;
	assert_int_equal(add_key(w, expired, 10), 0);
	assert_int_equal(add_key(w, build_key(11, 1), 10), 0);
	assert_int_equal(add_key(w, build_key(12, 1), 10), 0);
	assert_int_equal(revoke_key(w, 12, 1), 0); /* at NOW + 10 */
	assert_int_equal(add_session(w, 1, 7, NOW + LASTS - 1, 10), 0);
	must_apply(w, &ch);
	assert_int_equal(list(w, 1, 0, 10, &keys, &next), 2);
	assert_id(keys[0].id, 12);
	assert_int_equal(session_code(w, 7, NOW + LASTS - 1), 0);
	ch.purge.keys_before++;
	ch.purge.once_before++;
	must_apply(w, &ch);
	assert_int_equal(list(w, 1, 0, 10, &keys, &next), 1);
	assert_id(keys[0].id, 11);
	assert_int_equal(session_code(w, 7, NOW + LASTS - 1), ERR_UNAUTHENTICATED);
}

static void what_cannot_be_stored_is_refused(void **state)
{
	static char name[KEY_NAME_MAX + 1];
	struct world *w = *state;
	struct api_key k = build_key(10, 1);

	add_account(w, 1, ROLE_USER);
	memset(name, 'n', sizeof(name));
	k.name = (struct str){name, sizeof(name)};
	assert_int_equal(add_key(w, k, 10), ERR_INVALID_VALUE);
	k.name.len--;
	k.scopes = 0;
	assert_int_equal(add_key(w, k, 10), ERR_INVALID_VALUE);
	k.scopes = SCOPE_ALL + 1;
	assert_int_equal(add_key(w, k, 10), ERR_INVALID_VALUE);
	k.scopes = SCOPE_ALL;
	k.expires_at = NOW;
	assert_int_equal(add_key(w, k, 10), ERR_INVALID_VALUE);
	k.expires_at = 0;
	assert_int_equal(add_key(w, k, KEYS_AN_ACCOUNT_MAX + 1), ERR_INVALID_VALUE);
	assert_int_equal(add_key(w, k, KEYS_AN_ACCOUNT_MAX), 0);
	k = build_key(11, 77);
	assert_int_equal(add_key(w, k, 10), ERR_USER_NOT_FOUND);
}

const struct named_test contract_keys[] = {
	NAMED(a_key_is_found_by_hash_and_by_id_with_whose_it_is),
	NAMED(a_key_that_is_over_does_not_hold),
	NAMED(keys_rest_while_their_account_is_disabled),
	NAMED(nobody_revokes_anothers_key),
	NAMED(an_account_has_as_many_keys_as_allowed),
	NAMED(keys_are_listed_newest_first_in_pages),
	NAMED(a_purge_takes_what_is_over_for_long_enough),
	NAMED(what_cannot_be_stored_is_refused),
	{NULL, NULL},
};
