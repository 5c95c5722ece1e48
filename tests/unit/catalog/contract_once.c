/* The contract, part fifteen: what may happen once only, and the server's own secrets. */
#include "world.h"

#include <string.h>

/* ---- once ---- */

static struct once key_of(unsigned n, int64_t expires_at)
{
	struct once o = {.set = true, .expires_at = expires_at};

	memset(o.key, 7, sizeof(o.key));
	o.key[ONCE_KEY - 1] = (uint8_t)n; /* keys that differ in their last byte only */
	return o;
}

static int use(struct world *w, unsigned n, int64_t expires_at)
{
	struct change ch = {.kind = CHANGE_ONCE, .once = key_of(n, expires_at)};

	return apply1(w, &ch);
}

static void it_happens_once(void **state)
{
	struct world *w = *state;

	assert_int_equal(use(w, 1, NOW + 1000), 0);
	assert_int_equal(use(w, 1, NOW + 1000), ERR_USED);
	assert_int_equal(use(w, 1, 0), ERR_USED);
	assert_int_equal(use(w, 2, 0), 0);
	if (w->lasting)
		world_reopen(w);
	assert_int_equal(use(w, 1, NOW + 1000), ERR_USED);
	assert_int_equal(use(w, 2, NOW + 1000), ERR_USED);
	assert_int_equal(use(w, 3, NOW + 1000), 0);
}

static bool told_as_used(struct world *w, unsigned n)
{
	struct once key = key_of(n, 0);
	bool used;

	assert_int_equal(catalog_once_used(w->c, key.key, &used, &w->err), 0);
	return used;
}

static void what_was_used_up_is_told(void **state)
{
	struct world *w = *state;

	assert_false(told_as_used(w, 1));
	assert_int_equal(use(w, 1, 0), 0);
	assert_true(told_as_used(w, 1));
	assert_false(told_as_used(w, 2));
}

static void of_two_in_one_batch_the_first_one_wins(void **state)
{
	struct world *w = *state;
	struct built a, b;
	struct stored *list;
	size_t n;

	build_file(&a, 1);
	build_file(&b, 2);
	a.change.once = b.change.once = key_of(1, 0);
	struct change *batch[] = {&a.change, &b.change};
	assert_int_equal(catalog_apply(w->c, batch, 2, &w->err), 0);
	assert_int_equal(a.change.code, 0);
	assert_int_equal(b.change.code, ERR_USED);
	assert_int_equal(file_code(w, 1), 0);
	assert_int_equal(file_code(w, 2), ERR_FILE_NOT_FOUND);
	assert_int_equal(catalog_stored(w->c, (struct stored_at){}, 10, &w->arena, &list, &n, &w->err), 0);
	assert_int_equal(n, 1);
}

static void a_change_that_was_refused_uses_nothing_up(void **state)
{
	struct world *w = *state;
	struct built b;
	struct change ch = {
		.kind = CHANGE_DELETE_FILE, .once = key_of(1, 0), .delete_file = {.id = test_id(9), .owner = OWNER, .now = NOW}};

	assert_int_equal(apply1(w, &ch), ERR_FILE_NOT_FOUND);
	build_file(&b, 1);
	b.change.once = key_of(1, 0);
	must_apply(w, &b.change);
	assert_int_equal(use(w, 1, 0), ERR_USED);
}

/* An id that is taken shows in the midst of a batch, which is then done anew: what was used up in it before is used up once, what the refused change would have used is not. */
static void a_batch_that_is_done_anew_uses_up_once(void **state)
{
	struct world *w = *state;
	struct change first = {.kind = CHANGE_ONCE, .once = key_of(1, 0)}, last = {.kind = CHANGE_ONCE, .once = key_of(3, 0)};
	struct built taken;

	add_file(w, 1);
	build_file(&taken, 1);
	taken.change.once = key_of(2, 0);
	struct change *batch[] = {&first, &taken.change, &last};
	assert_int_equal(catalog_apply(w->c, batch, 3, &w->err), 0);
	assert_int_equal(first.code, 0);
	assert_int_equal(taken.change.code, ERR_CONFLICT);
	assert_int_equal(last.code, 0);
	assert_int_equal(use(w, 1, 0), ERR_USED);
	assert_int_equal(use(w, 2, 0), 0);
	assert_int_equal(use(w, 3, 0), ERR_USED);
}

static void what_was_used_up_leaves_no_entry_again(void **state)
{
	struct world *w = *state;
	struct change ch = {.kind = CHANGE_ONCE, .once = key_of(1, 0), .audit = STR("{a}")};
	struct audit_entry *list;
	size_t n;

	must_apply(w, &ch);
	assert_int_equal(apply1(w, &ch), ERR_USED);
	assert_int_equal(catalog_audit(w->c, 0, 10, &w->arena, &list, &n, &w->err), 0);
	assert_int_equal(n, 1);
}

static void purge_once(struct world *w, int64_t before, uint32_t max)
{
	struct change ch = {.kind = CHANGE_PURGE, .purge = {.once_before = before, .max = max}};

	must_apply(w, &ch);
}

static void a_purge_forgets_what_is_over_and_nothing_else(void **state)
{
	struct world *w = *state;

	assert_int_equal(use(w, 1, NOW + 1), 0);
	assert_int_equal(use(w, 2, NOW + 2), 0);
	assert_int_equal(use(w, 3, 0), 0);
	purge_once(w, NOW + 1, 10);
	assert_int_equal(use(w, 1, NOW + 1), ERR_USED);
	purge_once(w, NOW + 2, 10);
	assert_int_equal(use(w, 2, NOW + 2), ERR_USED);
	assert_int_equal(use(w, 3, 0), ERR_USED);
	assert_int_equal(use(w, 1, NOW + 1), 0);
	purge_once(w, NOW + 1000, 10);
	assert_int_equal(use(w, 3, 0), ERR_USED);
}

static void a_purge_forgets_at_most_so_many(void **state)
{
	struct world *w = *state;
	unsigned free_again = 0;

	for (unsigned n = 0; n < 100; n++)
		assert_int_equal(use(w, n, NOW), 0);
	purge_once(w, NOW + 1, 60);
	for (unsigned n = 0; n < 100; n++)
		free_again += use(w, n, NOW) == 0;
	assert_int_equal(free_again, 60);
}

static void a_change_for_nothing_is_refused(void **state)
{
	struct world *w = *state;
	struct change ch = {.kind = CHANGE_ONCE};

	assert_int_equal(apply1(w, &ch), ERR_INVALID_VALUE);
	assert_int_equal(use(w, 1, -1), ERR_INVALID_VALUE);
}

/* ---- the server's secrets ---- */

static bool add_secret(struct world *w, uint8_t fill, uint32_t keep, bool if_none)
{
	struct change ch = {.kind = CHANGE_ADD_SECRET, .add_secret = {.now = NOW + fill, .keep = keep, .if_none = if_none}};

	memset(ch.add_secret.bytes, fill, SERVER_SECRET);
	must_apply(w, &ch);
	return ch.add_secret.added;
}

static void assert_secrets(struct world *w, const char *fills)
{
	struct secret *list;
	size_t n;

	assert_int_equal(catalog_secrets(w->c, &w->arena, &list, &n, &w->err), 0);
	assert_int_equal(n, strlen(fills));
	for (size_t i = 0; i < n; i++) {
		uint8_t expected[SERVER_SECRET];

		memset(expected, fills[i], sizeof(expected));
		assert_memory_equal(list[i].bytes, expected, sizeof(expected));
		assert_int_equal(list[i].created_at, NOW + fills[i]);
		assert_true(i == 0 || list[i].number < list[i - 1].number);
	}
}

static void the_newest_secrets_stay(void **state)
{
	struct world *w = *state;

	assert_secrets(w, "");
	assert_true(add_secret(w, 'a', 2, false));
	assert_secrets(w, "a");
	assert_true(add_secret(w, 'b', 2, false));
	assert_true(add_secret(w, 'c', 2, false));
	if (w->lasting)
		world_reopen(w);
	assert_secrets(w, "cb");
	assert_true(add_secret(w, 'd', SERVER_SECRETS_MAX, false));
	assert_secrets(w, "dcb");
	assert_true(add_secret(w, 'e', 1, false));
	assert_secrets(w, "e");
}

static void the_first_secret_comes_once(void **state)
{
	struct world *w = *state;

	assert_true(add_secret(w, 'a', 3, true));
	assert_false(add_secret(w, 'b', 3, true));
	assert_secrets(w, "a");
}

static void as_many_secrets_as_there_may_be_are_kept(void **state)
{
	struct world *w = *state;
	char all[SERVER_SECRETS_MAX + 1] = {};
	struct change ch = {.kind = CHANGE_ADD_SECRET, .add_secret = {.now = NOW, .keep = SERVER_SECRETS_MAX + 1}};

	for (uint8_t i = 0; i <= SERVER_SECRETS_MAX; i++)
		assert_true(add_secret(w, (uint8_t)('a' + i), SERVER_SECRETS_MAX, false));
	for (int i = 0; i < SERVER_SECRETS_MAX; i++)
		all[i] = (char)('a' + SERVER_SECRETS_MAX - i);
	assert_secrets(w, all);
	assert_int_equal(apply1(w, &ch), ERR_INVALID_VALUE);
	ch.add_secret.keep = 0;
	assert_int_equal(apply1(w, &ch), ERR_INVALID_VALUE);
}

const struct named_test contract_once[] = {
	NAMED(it_happens_once),
	NAMED(what_was_used_up_is_told),
	NAMED(of_two_in_one_batch_the_first_one_wins),
	NAMED(a_change_that_was_refused_uses_nothing_up),
	NAMED(a_batch_that_is_done_anew_uses_up_once),
	NAMED(what_was_used_up_leaves_no_entry_again),
	NAMED(a_purge_forgets_what_is_over_and_nothing_else),
	NAMED(a_purge_forgets_at_most_so_many),
	NAMED(a_change_for_nothing_is_refused),
	NAMED(the_newest_secrets_stay),
	NAMED(the_first_secret_comes_once),
	NAMED(as_many_secrets_as_there_may_be_are_kept),
	{NULL, NULL},
};
