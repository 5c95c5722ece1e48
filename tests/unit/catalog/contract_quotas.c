/* The contract: what an owner has stored, and how much he may. */
#include "world.h"

static struct usage usage_of(struct world *w, const char *owner)
{
	struct usage u;

	assert_int_equal(catalog_usage(w->c, str_of(owner), &u, &w->err), 0);
	return u;
}

static void assert_usage(struct world *w, const char *owner, uint64_t files, uint64_t bytes)
{
	struct usage u = usage_of(w, owner);

	assert_int_equal(u.files, files);
	assert_int_equal(u.bytes, bytes);
}

/* A file of so many bytes: its size only; what is stored of it does not matter here. */
static void build(struct built *b, unsigned n, const char *owner, uint64_t size)
{
	build_file(b, n);
	b->file.owner = str_of(owner);
	b->file.size = size;
	b->file.location = LOCATION_FILE;
}

static int put(struct world *w, unsigned n, const char *owner, uint64_t size)
{
	struct built b;

	build(&b, n, owner, size);
	return apply1(w, &b.change);
}

static int drop(struct world *w, unsigned n, const char *owner)
{
	struct change ch = {.kind = CHANGE_DELETE_FILE, .delete_file = {.id = test_id(n), .owner = str_of(owner), .now = NOW}};

	return apply1(w, &ch);
}

static void with_quotas(struct world *w, uint64_t files, uint64_t bytes)
{
	w->options.owner_files_max = files;
	w->options.owner_bytes_max = bytes;
	world_reopen(w);
}

static void usage_follows_what_is_stored_and_deleted(void **state)
{
	struct world *w = *state;

	assert_usage(w, "a", 0, 0);
	assert_int_equal(put(w, 1, "a", 10), 0);
	assert_int_equal(put(w, 2, "a", 0), 0);
	assert_int_equal(put(w, 3, "b", 7), 0);
	assert_usage(w, "a", 2, 10);
	assert_usage(w, "b", 1, 7);
	assert_int_equal(put(w, 3, "a", 100), ERR_CONFLICT); /* the id is taken: nothing of it counts */
	assert_usage(w, "a", 2, 10);
	assert_int_equal(drop(w, 1, "b"), ERR_FILE_NOT_FOUND);
	assert_int_equal(drop(w, 1, "a"), 0);
	assert_int_equal(drop(w, 1, "a"), ERR_FILE_GONE);
	assert_usage(w, "a", 1, 0);
	assert_int_equal(drop(w, 2, "a"), 0);
	assert_usage(w, "a", 0, 0);
	if (w->dir[0])
		world_reopen(w);
	assert_usage(w, "a", 0, 0);
	assert_usage(w, "b", 1, 7);
}

static void as_many_files_as_the_quota_and_not_one_more(void **state)
{
	struct world *w = *state;

	with_quotas(w, 2, 0);
	assert_int_equal(put(w, 1, "a", 1), 0);
	assert_int_equal(put(w, 2, "a", 1), 0);
	struct built b;
	build(&b, 3, "a", 1);
	assert_int_equal(apply1(w, &b.change), ERR_QUOTA_EXCEEDED);
	assert_int_equal(b.change.err.limit, 2);
	assert_int_equal(file_code(w, 3), ERR_FILE_NOT_FOUND);
	assert_int_equal(put(w, 4, "b", 1), 0); /* another owner's */
	assert_int_equal(drop(w, 1, "a"), 0);
	assert_int_equal(put(w, 3, "a", 1), 0);
	assert_int_equal(put(w, 5, "a", 0), ERR_QUOTA_EXCEEDED);
}

static void as_many_bytes_as_the_quota_and_not_one_more(void **state)
{
	struct world *w = *state;

	with_quotas(w, 0, 100);
	assert_int_equal(put(w, 1, "a", 101), ERR_QUOTA_EXCEEDED);
	assert_int_equal(put(w, 1, "a", UINT64_MAX / 4), ERR_QUOTA_EXCEEDED);
	assert_int_equal(put(w, 1, "a", 60), 0);
	assert_int_equal(put(w, 2, "a", 41), ERR_QUOTA_EXCEEDED);
	assert_int_equal(put(w, 2, "a", 40), 0);
	assert_int_equal(put(w, 3, "a", 1), ERR_QUOTA_EXCEEDED);
	assert_int_equal(put(w, 3, "a", 0), 0); /* takes no room */
	assert_int_equal(drop(w, 1, "a"), 0);
	assert_int_equal(put(w, 4, "a", 61), ERR_QUOTA_EXCEEDED);
	assert_int_equal(put(w, 4, "a", 60), 0);
	assert_usage(w, "a", 3, 100);
}

/* Those who look before a transaction all find room; the transaction gives it to the first. */
static void of_two_in_one_batch_the_last_place_is_the_first_ones(void **state)
{
	struct world *w = *state;
	struct built a, b;

	with_quotas(w, 0, 100);
	assert_int_equal(catalog_quota_room(w->c, STR("a"), 60, &w->err), 0);
	build(&a, 1, "a", 60);
	build(&b, 2, "a", 60);
	struct change *batch[] = {&a.change, &b.change};
	assert_int_equal(catalog_apply(w->c, batch, 2, &w->err), 0);
	assert_int_equal(a.change.code, 0);
	assert_int_equal(b.change.code, ERR_QUOTA_EXCEEDED);
	assert_usage(w, "a", 1, 60);
}

static void a_batch_that_is_done_anew_counts_once(void **state)
{
	struct world *w = *state;
	struct built a, b, c;

	build(&a, 1, "a", 5);
	build(&b, 1, "a", 5); /* the same id: SQLite finds it in the midst */
	build(&c, 2, "a", 5);
	struct change *batch[] = {&a.change, &b.change, &c.change};
	assert_int_equal(catalog_apply(w->c, batch, 3, &w->err), 0);
	assert_int_equal(b.change.code, ERR_CONFLICT);
	assert_usage(w, "a", 2, 10);
}

static void a_replay_needs_no_room(void **state)
{
	struct world *w = *state;
	struct built b;

	with_quotas(w, 1, 0);
	build(&b, 1, "a", 5);
	b.change.add_file.idempotency_key = STR("key");
	must_apply(w, &b.change);
	build(&b, 2, "a", 5);
	b.change.add_file.idempotency_key = STR("key");
	must_apply(w, &b.change);
	assert_true(b.change.add_file.replayed);
	assert_usage(w, "a", 1, 5);
}

static void who_has_more_than_a_new_quota_keeps_it_and_gets_no_more(void **state)
{
	struct world *w = *state;

	if (!w->dir[0])
		return; /* the memory catalogue keeps nothing over an opening */
	assert_int_equal(put(w, 1, "a", 60), 0);
	assert_int_equal(put(w, 2, "a", 60), 0);
	with_quotas(w, 1, 100);
	assert_usage(w, "a", 2, 120);
	assert_int_equal(put(w, 3, "a", 0), ERR_QUOTA_EXCEEDED);
	assert_int_equal(drop(w, 1, "a"), 0);
	assert_int_equal(drop(w, 2, "a"), 0);
	assert_int_equal(put(w, 3, "a", 100), 0);
}

static void room_is_told_in_advance(void **state)
{
	struct world *w = *state;

	assert_int_equal(catalog_quota_room(w->c, STR("a"), UINT64_MAX, &w->err), 0);
	with_quotas(w, 2, 100);
	assert_int_equal(put(w, 1, "a", 60), 0);
	assert_int_equal(catalog_quota_room(w->c, STR("a"), 40, &w->err), 0);
	assert_int_equal(catalog_quota_room(w->c, STR("a"), 41, &w->err), ERR_QUOTA_EXCEEDED);
	assert_int_equal(w->err.limit, 100);
	assert_int_equal(put(w, 2, "a", 0), 0);
	assert_int_equal(catalog_quota_room(w->c, STR("a"), 0, &w->err), ERR_QUOTA_EXCEEDED);
	assert_int_equal(w->err.limit, 2);
}

static void bytes_for_a_file_that_is_there_need_room_for_bytes_alone(void **state)
{
	struct world *w = *state;

	assert_int_equal(catalog_quota_bytes(w->c, STR("a"), UINT64_MAX, &w->err), 0);
	with_quotas(w, 1, 100);
	assert_int_equal(catalog_quota(w->c).files, 1);
	assert_int_equal(catalog_quota(w->c).bytes, 100);
	assert_int_equal(put(w, 1, "a", 60), 0);
	assert_int_equal(catalog_quota_bytes(w->c, STR("a"), 40, &w->err), 0);
	assert_int_equal(catalog_quota_bytes(w->c, STR("a"), 41, &w->err), ERR_QUOTA_EXCEEDED);
	assert_int_equal(w->err.limit, 100);
	assert_int_equal(catalog_quota_bytes(w->c, STR("b"), 100, &w->err), 0);
}

const struct named_test contract_quotas[] = {
	NAMED(usage_follows_what_is_stored_and_deleted),
	NAMED(as_many_files_as_the_quota_and_not_one_more),
	NAMED(as_many_bytes_as_the_quota_and_not_one_more),
	NAMED(of_two_in_one_batch_the_last_place_is_the_first_ones),
	NAMED(a_batch_that_is_done_anew_counts_once),
	NAMED(a_replay_needs_no_room),
	NAMED(who_has_more_than_a_new_quota_keeps_it_and_gets_no_more),
	NAMED(room_is_told_in_advance),
	NAMED(bytes_for_a_file_that_is_there_need_room_for_bytes_alone),
	{NULL, NULL},
};
