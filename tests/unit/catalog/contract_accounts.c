/* The contract, part sixteen: accounts and sessions. */
#include "account_world.h"

#include <string.h>

/* ---- accounts ---- */

static void an_account_is_kept_as_it_was_made(void **state)
{
	struct world *w = *state;
	struct account a;

	assert_int_equal(add_account_as(w, 1, "ada@example.org", ROLE_OPERATOR), 0);
	if (w->lasting)
		world_reopen(w);
	a = read_account(w, 1);
	assert_id(a.id, 1);
	assert_str(a.email, "ada@example.org");
	assert_str(a.name, "Ada");
	assert_str(a.password, "$argon2id$of$this");
	assert_int_equal(a.role, ROLE_OPERATOR);
	assert_int_equal(a.created_at, NOW);
	assert_int_equal(a.changed_at, NOW);
	assert_int_equal(a.disabled_at, 0);
	assert_int_equal(catalog_account_by_email(w->c, STR("ada@example.org"), &w->arena, &a, &w->err), 0);
	assert_id(a.id, 1);
	assert_int_equal(catalog_account_by_email(w->c, STR("ada@example.or"), &w->arena, &a, &w->err), ERR_USER_NOT_FOUND);
	assert_int_equal(catalog_account_by_email(w->c, STR(""), &w->arena, &a, &w->err), ERR_USER_NOT_FOUND);
	assert_int_equal(catalog_account(w->c, (struct uuid){}, &w->arena, &a, &w->err), ERR_USER_NOT_FOUND);
	assert_int_equal(account_code(w, 2), ERR_USER_NOT_FOUND);
}

static void an_email_has_one_account(void **state)
{
	struct world *w = *state;

	assert_int_equal(add_account_as(w, 1, "ada@example.org", ROLE_USER), 0);
	assert_int_equal(add_account_as(w, 2, "ada@example.org", ROLE_USER), ERR_EMAIL_TAKEN);
	assert_int_equal(add_account_as(w, 1, "bob@example.org", ROLE_USER), ERR_CONFLICT); /* the id is taken */
	assert_int_equal(add_account_as(w, 2, "bob@example.org", ROLE_USER), 0);
	assert_int_equal(patch(w, (struct change_patch_account){.id = test_id(2), .email = STR("ada@example.org"), .now = NOW}),
			 ERR_EMAIL_TAKEN);
	assert_int_equal(patch(w, (struct change_patch_account){.id = test_id(2), .email = STR("bob@example.org"), .now = NOW}), 0);
	assert_int_equal(patch(w, (struct change_patch_account){.id = test_id(2), .email = STR("eve@example.org"), .now = NOW}), 0);
	assert_int_equal(add_account_as(w, 3, "bob@example.org", ROLE_USER), 0);
	assert_int_equal(catalog_account_count(w->c), 3);
}

static void of_two_with_one_email_in_a_batch_the_first_one_wins(void **state)
{
	struct world *w = *state;
	struct account a[2];
	struct change ch[2], *batch[2];

	for (unsigned i = 0; i < 2; i++) {
		a[i] = (struct account){
			.id = test_id(i + 1), .email = STR("ada@example.org"), .name = STR(""), .password = STR(""), .created_at = NOW};
		ch[i] = (struct change){.kind = CHANGE_ADD_ACCOUNT, .add_account = {.account = &a[i]}};
		batch[i] = &ch[i];
	}
	assert_int_equal(catalog_apply(w->c, batch, 2, &w->err), 0);
	assert_int_equal(ch[0].code, 0);
	assert_int_equal(ch[1].code, ERR_EMAIL_TAKEN);
	assert_int_equal(catalog_account_count(w->c), 1);
}

static void the_first_account_is_made_once(void **state)
{
	struct world *w = *state;
	struct account a = {
		.id = test_id(1), .email = STR("a@b"), .name = STR(""), .password = STR(""), .role = ROLE_ADMIN, .created_at = NOW};
	struct change ch = {.kind = CHANGE_ADD_ACCOUNT, .add_account = {.account = &a, .first_only = true}};

	assert_int_equal(catalog_account_count(w->c), 0);
	must_apply(w, &ch);
	assert_int_equal(catalog_account_count(w->c), 1);
	if (w->lasting)
		world_reopen(w);
	assert_int_equal(catalog_account_count(w->c), 1);
	a.id = test_id(2);
	a.email = STR("c@d");
	assert_int_equal(apply1(w, &ch), ERR_CONFLICT);
}

static void what_is_patched_changes_and_nothing_else(void **state)
{
	struct world *w = *state;
	struct account a;

	add_account(w, 1, ROLE_USER);
	assert_int_equal(patch(w, (struct change_patch_account){.id = test_id(1), .name = STR(""), .now = NOW + 5}), 0);
	a = read_account(w, 1);
	assert_str(a.name, "");
	assert_str(a.email, "1@example.org");
	assert_int_equal(a.changed_at, NOW);
	assert_int_equal(patch(w, (struct change_patch_account){.id = test_id(1), .password = STR("$new"), .now = NOW + 6}), 0);
	assert_int_equal(patch(w, (struct change_patch_account){.id = test_id(1), .set_role = true, .role = ROLE_ADMIN, .now = NOW + 7}),
			 0);
	a = read_account(w, 1);
	assert_str(a.password, "$new");
	assert_int_equal(a.changed_at, NOW + 6);
	assert_int_equal(a.role, ROLE_ADMIN);
	assert_int_equal(patch(w, (struct change_patch_account){.id = test_id(9), .name = STR("x"), .now = NOW}), ERR_USER_NOT_FOUND);
}

static void who_is_disabled_may_come_again_when_he_is_enabled(void **state)
{
	struct world *w = *state;

	add_account(w, 1, ROLE_USER);
	assert_int_equal(disable(w, 1, true), 0);
	assert_int_equal(read_account(w, 1).disabled_at, NOW + 50);
	assert_int_equal(patch(w, (struct change_patch_account){.id = test_id(1), .set_disabled = true, .disabled = true, .now = NOW + 60}),
			 0);
	assert_int_equal(read_account(w, 1).disabled_at, NOW + 50); /* since when is what counts */
	assert_int_equal(catalog_account_count(w->c), 1);
	assert_int_equal(disable(w, 1, false), 0);
	assert_int_equal(read_account(w, 1).disabled_at, 0);
}

static int demote(struct world *w, unsigned n)
{
	return patch(w, (struct change_patch_account){.id = test_id(n), .set_role = true, .role = ROLE_OPERATOR, .now = NOW});
}

static void the_last_administrator_stays(void **state)
{
	struct world *w = *state;

	add_account(w, 1, ROLE_ADMIN);
	add_account(w, 2, ROLE_OPERATOR);
	assert_int_equal(demote(w, 1), ERR_CONFLICT);
	assert_int_equal(disable(w, 1, true), ERR_CONFLICT);
	assert_int_equal(delete_account(w, 1), ERR_CONFLICT);
	assert_int_equal(read_account(w, 1).role, ROLE_ADMIN);
	assert_int_equal(read_account(w, 1).disabled_at, 0);
	assert_int_equal(
		patch(w,
		      (struct change_patch_account){.id = test_id(1), .name = STR("x"), .set_role = true, .role = ROLE_ADMIN, .now = NOW}),
		0);
	assert_int_equal(patch(w, (struct change_patch_account){.id = test_id(2), .set_role = true, .role = ROLE_ADMIN, .now = NOW}), 0);
	assert_int_equal(disable(w, 1, true), 0);
	assert_int_equal(demote(w, 2), ERR_CONFLICT); /* the other one may not come */
	assert_int_equal(disable(w, 1, false), 0);
	assert_int_equal(demote(w, 2), 0);
	assert_int_equal(delete_account(w, 2), 0);
	assert_int_equal(delete_account(w, 2), ERR_USER_NOT_FOUND);
}

static void the_last_account_stays(void **state)
{
	struct world *w = *state;

	add_account(w, 1, ROLE_USER);
	assert_int_equal(delete_account(w, 1), ERR_CONFLICT);
	assert_int_equal(disable(w, 1, true), 0);
	assert_int_equal(delete_account(w, 1), ERR_CONFLICT);
	assert_int_equal(catalog_account_count(w->c), 1);
	add_account(w, 2, ROLE_USER);
	assert_int_equal(delete_account(w, 1), 0);
	assert_int_equal(catalog_account_count(w->c), 1);
}

static void who_was_deleted_leaves_nothing_that_could_be_shown(void **state)
{
	struct world *w = *state;

	add_account(w, 1, ROLE_USER);
	add_account(w, 2, ROLE_USER);
	for (unsigned n = 1; n <= 2; n++) {
		assert_int_equal(add_session(w, n, (uint8_t)n, NOW, 10), 0);
		assert_int_equal(add_key(w, build_key(10 + n, n), 10), 0);
	}
	assert_int_equal(delete_account(w, 1), 0);
	assert_int_equal(account_code(w, 1), ERR_USER_NOT_FOUND);
	assert_int_equal(session_code(w, 1, NOW), ERR_UNAUTHENTICATED);
	assert_int_equal(key_code(w, 11, NOW), ERR_UNAUTHENTICATED);
	assert_int_equal(session_code(w, 2, NOW), 0);
	assert_int_equal(key_code(w, 12, NOW), 0);
	assert_int_equal(catalog_account_count(w->c), 1);
	assert_int_equal(add_account_as(w, 3, "1@example.org", ROLE_USER), 0);
	assert_int_equal(session_code(w, 1, NOW), ERR_UNAUTHENTICATED);
	assert_int_equal(key_code(w, 11, NOW), ERR_UNAUTHENTICATED);
	if (w->lasting) {
		assert_int_equal(world_sql(w, "SELECT count(*) FROM session"), 1);
		assert_int_equal(world_sql(w, "SELECT count(*) FROM api_key"), 1);
		assert_int_equal(world_sql(w, "SELECT max(number) FROM account"), 3);
	}
}

static void accounts_are_listed_newest_first_in_pages(void **state)
{
	struct world *w = *state;
	struct account *list;
	int64_t next;
	size_t n;

	for (unsigned i = 1; i <= 3; i++)
		add_account(w, i, ROLE_USER);
	assert_int_equal(catalog_list_accounts(w->c, (struct page){.limit = 2}, &w->arena, &list, &n, &next, &w->err), 0);
	assert_int_equal(n, 2);
	assert_id(list[0].id, 3);
	assert_id(list[1].id, 2);
	assert_int_equal(catalog_list_accounts(w->c, (struct page){.before = next, .limit = 2}, &w->arena, &list, &n, &next, &w->err), 0);
	assert_int_equal(n, 1);
	assert_id(list[0].id, 1);
	assert_str(list[0].email, "1@example.org");
	assert_int_equal(next, 0);
}

static void what_cannot_be_stored_is_refused(void **state)
{
	static char email[EMAIL_MAX + 2];
	struct world *w = *state;

	memset(email, 'e', EMAIL_MAX + 1);
	assert_int_equal(add_account_as(w, 1, email, ROLE_USER), ERR_INVALID_VALUE);
	assert_int_equal(add_account_as(w, 1, "", ROLE_USER), ERR_INVALID_VALUE);
	assert_int_equal(add_account_as(w, 1, "a@b", ROLES), ERR_INVALID_VALUE);
	email[EMAIL_MAX] = '\0';
	assert_int_equal(add_account_as(w, 1, email, ROLE_USER), 0);
	assert_int_equal(patch(w, (struct change_patch_account){.id = test_id(1), .email = STR(""), .now = NOW}), ERR_INVALID_VALUE);
	assert_int_equal(patch(w, (struct change_patch_account){.id = test_id(1), .set_role = true, .role = ROLES, .now = NOW}),
			 ERR_INVALID_VALUE);
}

/* ---- sessions ---- */

static void a_session_is_found_by_its_hash_with_whose_it_is(void **state)
{
	struct world *w = *state;
	uint8_t hash[SECRET_HASH];
	struct session s;
	struct account a;

	add_account(w, 1, ROLE_ADMIN);
	assert_int_equal(add_session(w, 1, 7, NOW, 10), 0);
	if (w->lasting)
		world_reopen(w);
	memset(hash, 7, sizeof(hash));
	assert_int_equal(catalog_session(w->c, hash, NOW + 5, IDLE, &w->arena, &s, &a, &w->err), 0);
	assert_id(s.id, 1007);
	assert_id(s.account, 1);
	assert_memory_equal(s.hash, hash, sizeof(hash));
	assert_int_equal(s.created_at, NOW);
	assert_int_equal(s.used_at, NOW);
	assert_int_equal(s.expires_at, NOW + LASTS);
	assert_str(a.email, "1@example.org");
	assert_int_equal(a.role, ROLE_ADMIN);
	hash[31] ^= 1;
	assert_int_equal(catalog_session(w->c, hash, NOW + 5, IDLE, &w->arena, &s, &a, &w->err), ERR_UNAUTHENTICATED);
}

static int touch(struct world *w, uint8_t fill, int64_t used_at)
{
	struct change ch = {.kind = CHANGE_TOUCH_SESSION, .touch_session = {.used_at = used_at}};

	memset(ch.touch_session.hash, fill, SECRET_HASH);
	return apply1(w, &ch);
}

static void a_session_ends_when_it_is_idle_or_its_time_is_over(void **state)
{
	struct world *w = *state;

	add_account(w, 1, ROLE_USER);
	assert_int_equal(add_session(w, 1, 7, NOW, 10), 0);
	assert_int_equal(session_code(w, 7, NOW + IDLE), 0);
	assert_int_equal(session_code(w, 7, NOW + IDLE + 1), ERR_UNAUTHENTICATED);
	assert_int_equal(touch(w, 7, NOW + LASTS - 5), 0);
	assert_int_equal(touch(w, 7, NOW + 5), 0); /* one that comes late changes nothing */
	assert_int_equal(touch(w, 8, NOW + 5), 0); /* there is none */
	assert_int_equal(session_code(w, 7, NOW + LASTS - 1), 0);
	assert_int_equal(session_code(w, 7, NOW + LASTS), ERR_UNAUTHENTICATED);
}

static void a_session_is_ended_and_so_are_all_of_an_account(void **state)
{
	struct world *w = *state;
	struct change one = {.kind = CHANGE_END_SESSION}, all = {.kind = CHANGE_END_SESSION, .end_session = {.account = test_id(1)}};

	add_account(w, 1, ROLE_USER);
	add_account(w, 2, ROLE_USER);
	for (uint8_t i = 1; i <= 3; i++)
		assert_int_equal(add_session(w, 1, i, NOW, 10), 0);
	assert_int_equal(add_session(w, 2, 9, NOW, 10), 0);
	memset(one.end_session.hash, 2, SECRET_HASH);
	must_apply(w, &one);
	must_apply(w, &one); /* there need be none */
	assert_int_equal(session_code(w, 1, NOW), 0);
	assert_int_equal(session_code(w, 2, NOW), ERR_UNAUTHENTICATED);
	assert_int_equal(session_code(w, 3, NOW), 0);
	must_apply(w, &all);
	must_apply(w, &all);
	assert_int_equal(session_code(w, 1, NOW), ERR_UNAUTHENTICATED);
	assert_int_equal(session_code(w, 3, NOW), ERR_UNAUTHENTICATED);
	assert_int_equal(session_code(w, 9, NOW), 0);
	all.end_session.account = test_id(77);
	must_apply(w, &all);
}

static void a_new_password_ends_all_sessions(void **state)
{
	struct world *w = *state;

	add_account(w, 1, ROLE_USER);
	add_account(w, 2, ROLE_USER);
	assert_int_equal(add_session(w, 1, 7, NOW, 10), 0);
	assert_int_equal(add_session(w, 2, 9, NOW, 10), 0);
	assert_int_equal(patch(w, (struct change_patch_account){.id = test_id(1), .password = STR("$new"), .now = NOW + 1}), 0);
	assert_int_equal(session_code(w, 7, NOW + 1), ERR_UNAUTHENTICATED);
	assert_int_equal(session_code(w, 9, NOW + 1), 0);
	/* Somebody whose old password was checked at NOW comes too late. */
	assert_int_equal(add_session(w, 1, 8, NOW, 10), ERR_UNAUTHENTICATED);
	assert_int_equal(session_code(w, 8, NOW + 1), ERR_UNAUTHENTICATED);
}

static void who_is_disabled_has_no_session_and_gets_none(void **state)
{
	struct world *w = *state;

	add_account(w, 1, ROLE_USER);
	assert_int_equal(add_session(w, 1, 7, NOW, 10), 0);
	assert_int_equal(disable(w, 1, true), 0);
	assert_int_equal(session_code(w, 7, NOW), ERR_UNAUTHENTICATED);
	assert_int_equal(add_session(w, 1, 8, NOW, 10), ERR_USER_NOT_FOUND);
	assert_int_equal(disable(w, 1, false), 0);
	assert_int_equal(session_code(w, 7, NOW), ERR_UNAUTHENTICATED); /* it is over, not asleep */
	assert_int_equal(add_session(w, 77, 8, NOW, 10), ERR_USER_NOT_FOUND);
}

static void of_too_many_sessions_the_one_used_longest_ago_goes(void **state)
{
	struct world *w = *state;

	add_account(w, 1, ROLE_USER);
	add_account(w, 2, ROLE_USER);
	assert_int_equal(add_session(w, 2, 9, NOW, 3), 0);
	assert_int_equal(add_session(w, 1, 1, NOW + 2, 3), 0);
	assert_int_equal(add_session(w, 1, 2, NOW + 1, 3), 0);
	assert_int_equal(add_session(w, 1, 3, NOW + 3, 3), 0);
	assert_int_equal(add_session(w, 1, 4, NOW, 3), 0);
	assert_int_equal(session_code(w, 2, NOW), ERR_UNAUTHENTICATED);
	assert_int_equal(add_session(w, 1, 5, NOW + 5, 2), 0);
	assert_int_equal(session_code(w, 4, NOW), ERR_UNAUTHENTICATED);
	assert_int_equal(session_code(w, 1, NOW), ERR_UNAUTHENTICATED);
	assert_int_equal(session_code(w, 3, NOW), 0);
	assert_int_equal(session_code(w, 5, NOW), 0);
	assert_int_equal(session_code(w, 9, NOW), 0);
	assert_int_equal(add_session(w, 1, 5, NOW, 9), ERR_CONFLICT); /* the hash is taken */
}

const struct named_test contract_accounts[] = {
	NAMED(an_account_is_kept_as_it_was_made),
	NAMED(an_email_has_one_account),
	NAMED(of_two_with_one_email_in_a_batch_the_first_one_wins),
	NAMED(the_first_account_is_made_once),
	NAMED(what_is_patched_changes_and_nothing_else),
	NAMED(who_is_disabled_may_come_again_when_he_is_enabled),
	NAMED(the_last_administrator_stays),
	NAMED(the_last_account_stays),
	NAMED(who_was_deleted_leaves_nothing_that_could_be_shown),
	NAMED(accounts_are_listed_newest_first_in_pages),
	NAMED(what_cannot_be_stored_is_refused),
	NAMED(a_session_is_found_by_its_hash_with_whose_it_is),
	NAMED(a_session_ends_when_it_is_idle_or_its_time_is_over),
	NAMED(a_session_is_ended_and_so_are_all_of_an_account),
	NAMED(a_new_password_ends_all_sessions),
	NAMED(who_is_disabled_has_no_session_and_gets_none),
	NAMED(of_too_many_sessions_the_one_used_longest_ago_goes),
	{NULL, NULL},
};
