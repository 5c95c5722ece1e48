/* The contract: backups that hold the bytes, and which of them another node may be about to refer to. */
#include "world.h"

#define LIMIT INT64_C(3600000)
#define LEASE INT64_C(60000)

static enum held held(struct world *w, int64_t limit_ms)
{
	enum held state;

	assert_int_equal(catalog_held(w->c, limit_ms, &state, &w->err), 0);
	return state;
}

static void take(struct world *w, unsigned id, int64_t lease_ms)
{
	assert_int_equal(catalog_hold(w->c, test_id(id), STR("host:1"), lease_ms, &w->err), 0);
}

/* A catalogue that nobody shares has the lock of its directory for this. */
static enum held there(const struct world *w, enum held state)
{
	return catalog_shared(w->c) ? state : HELD_NOT;
}

static void bytes_are_held_from_the_first_backup_to_the_last(void **state)
{
	struct world *w = *state;

	assert_int_equal(held(w, LIMIT), HELD_NOT);
	take(w, 1, LEASE);
	assert_int_equal(held(w, LIMIT), there(w, HELD));
	take(w, 2, LEASE);
	take(w, 1, 0);
	assert_int_equal(held(w, LIMIT), there(w, HELD));
	take(w, 2, 0);
	take(w, 2, 0);
	assert_int_equal(held(w, LIMIT), HELD_NOT);
}

static void who_does_not_go_on_holds_nothing(void **state)
{
	struct world *w = *state;

	take(w, 1, 1);
	while (held(w, LIMIT) != HELD_NOT)
		;
	take(w, 1, LEASE); /* late, and held again */
	assert_int_equal(held(w, LIMIT), there(w, HELD));
}

static void a_backup_that_goes_on_holds_as_long_as_it_does(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < 3; i++) {
		take(w, 1, LEASE);
		assert_int_equal(held(w, LIMIT), there(w, HELD));
	}
}

static void nobody_waits_longer_than_the_limit_but_for_one_that_came_later(void **state)
{
	struct world *w = *state;

	take(w, 1, LEASE);
	assert_int_equal(held(w, 0), there(w, HELD_TOO_LONG));
	assert_int_equal(held(w, LIMIT), there(w, HELD));
	take(w, 1, LEASE); /* going on makes it no younger */
	assert_int_equal(held(w, 0), there(w, HELD_TOO_LONG));
	if (!catalog_shared(w->c))
		return;
	assert_int_equal(world_sql(w, "WITH older AS (UPDATE hold SET since = since - 7200000 RETURNING 1) SELECT count(*) FROM older"), 1);
	assert_int_equal(held(w, LIMIT), HELD_TOO_LONG);
	take(w, 2, LEASE);
	assert_int_equal(held(w, LIMIT), HELD);
}

static void what_dead_backups_left_goes_with_the_next_one(void **state)
{
	struct world *w = *state;

	if (!catalog_shared(w->c))
		return;
	take(w, 1, 1);
	while (held(w, LIMIT) != HELD_NOT)
		;
	assert_int_equal(world_sql(w, "SELECT count(*) FROM hold"), 1);
	take(w, 2, LEASE);
	assert_int_equal(world_sql(w, "SELECT count(*) FROM hold"), 1);
}

static void told(struct world *w, unsigned worker, int64_t uploads_since)
{
	struct change beat = {
		.kind = CHANGE_BEAT,
		.beat = {.worker = test_id(worker), .now = NOW, .expires_at = NOW + 1000, .first = true, .uploads_since = uploads_since}};

	assert_int_equal(apply1(w, &beat), 0);
}

static int64_t others_since(struct world *w, int64_t now, struct uuid self)
{
	int64_t since;

	assert_int_equal(catalog_uploads_since(w->c, now, self, &since, &w->err), 0);
	return since;
}

static void what_others_may_be_storing_is_of_the_earliest_time_that_one_of_them_told(void **state)
{
	struct world *w = *state;

	if (!catalog_shared(w->c)) {
		assert_true(others_since(w, NOW, (struct uuid){}) == INT64_MAX);
		return;
	}
	int64_t alone = others_since(w, NOW, (struct uuid){});
	assert_true(alone < NOW); /* who comes now may have a clock that is slow */
	told(w, 500, NOW - 3000000);
	told(w, 501, NOW - 9000000);
	assert_true(others_since(w, NOW, (struct uuid){}) == NOW - 9000000);
	assert_true(others_since(w, NOW, test_id(501)) == NOW - 3000000);
	assert_true(others_since(w, NOW + 86400000, (struct uuid){}) == NOW - 9000000); /* lost is not forgotten */
	told(w, 502, 0);
	assert_true(others_since(w, NOW, (struct uuid){}) == 0);
}

const struct named_test contract_holds[] = {
	NAMED(bytes_are_held_from_the_first_backup_to_the_last),
	NAMED(who_does_not_go_on_holds_nothing),
	NAMED(a_backup_that_goes_on_holds_as_long_as_it_does),
	NAMED(nobody_waits_longer_than_the_limit_but_for_one_that_came_later),
	NAMED(what_dead_backups_left_goes_with_the_next_one),
	NAMED(what_others_may_be_storing_is_of_the_earliest_time_that_one_of_them_told),
	{},
};
