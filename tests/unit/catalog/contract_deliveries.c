/* The contract, part ten: what became of telling webhooks. */
#include "webhook_world.h"

/* ---- telling ---- */

static void what_is_due_comes_the_longest_due_first(void **state)
{
	struct world *w = *state;
	struct due_webhook *hooks;
	struct delivery *list;
	size_t n;

	add_hook(w, 1);
	add_hook(w, 2);
	assert_int_equal(patch_enabled(w, 2, false), 0);
	for (unsigned i = 1; i <= 3; i++)
		add_ended(w, i);
	assert_int_equal(catalog_due_webhooks(w->c, 0, 10, &w->arena, &hooks, &n, &w->err), 0);
	assert_int_equal(n, 1);
	assert_true(uuid_eq(hooks[0].webhook.id, hook_id(1)));
	assert_int_equal(hooks[0].webhook.secret.b[0], 1);
	assert_int_equal(hooks[0].due_at, NOW);
	assert_int_equal(due(w, hooks[0].webhook.number, NOW - 1, 10, &list), 0);
	assert_int_equal(due(w, hooks[0].webhook.number, NOW, 2, &list), 2);
	assert_true(list[0].number < list[1].number);
	assert_true(holds(list[0].payload, "job.succeeded"));
	attempt(w, &list[0], NOW + 10, 500, DELIVERY_WAITING); /* due at NOW + 5010 */
	attempt(w, &list[1], NOW + 10, 204, DELIVERY_DELIVERED);
	assert_int_equal(due(w, hooks[0].webhook.number, NOW + 5009, 10, &list), 1);
	assert_int_equal(due(w, hooks[0].webhook.number, NOW + 5010, 10, &list), 2);
	assert_id(list[0].job, job_id(3, 0));
	assert_id(list[1].job, job_id(1, 0));
	attempt(w, &list[0], NOW + 6000, 200, DELIVERY_DELIVERED);
	assert_int_equal(catalog_due_webhooks(w->c, 0, 10, &w->arena, &hooks, &n, &w->err), 0);
	assert_int_equal(hooks[0].due_at, NOW + 5010);
	assert_int_equal(catalog_due_webhooks(w->c, hooks[0].webhook.number, 10, &w->arena, &hooks, &n, &w->err), 0);
	assert_int_equal(n, 0);
	assert_int_equal(sums(w).waiting, 1);
	assert_int_equal(sums(w).oldest_due_at, NOW + 5010);
}

static void attempts_are_kept_the_newest_of_them(void **state)
{
	struct world *w = *state;
	struct delivery *list, d;

	add_hook(w, 1);
	add_ended(w, 1);
	assert_int_equal(told(w, 1, &list), 1);
	for (int i = 1; i <= DELIVERY_LOG_MAX + 2; i++)
		attempt(w, &list[0], NOW + i, 500, DELIVERY_WAITING);
	attempt(w, &list[0], NOW + 100, 204, DELIVERY_DELIVERED);
	d = read_delivery(w, 1, list[0].id);
	assert_int_equal(d.state, DELIVERY_DELIVERED);
	assert_int_equal(d.tries, DELIVERY_LOG_MAX + 3);
	assert_int_equal(d.ended_at, NOW + 107);
	assert_int_equal(d.n_log, DELIVERY_LOG_MAX);
	assert_int_equal(d.log[0].at, NOW + 4);
	assert_int_equal(d.log[0].status, 500);
	assert_int_equal(d.log[0].duration_ms, 7);
	assert_str(d.log[0].error, "the answer was 500");
	assert_int_equal(d.log[DELIVERY_LOG_MAX - 1].status, 204);
	assert_int_equal(d.log[DELIVERY_LOG_MAX - 1].error.len, 0);
	assert_int_equal(read_hook(w, 1).waiting, 0);
	assert_int_equal(told(w, 1, &list), 1);
	assert_int_equal(list[0].n_log, DELIVERY_LOG_MAX); /* lists tell them too */
}

static void what_has_ended_takes_no_attempt(void **state)
{
	struct world *w = *state;
	struct delivery *list;
	struct change late;

	add_hook(w, 1);
	add_ended(w, 1);
	add_ended(w, 2);
	assert_int_equal(told(w, 1, &list), 2);
	attempt(w, &list[0], NOW + 10, 200, DELIVERY_DELIVERED);
	late = attempt_of(&list[0], NOW + 20, 500, DELIVERY_WAITING);
	assert_int_equal(apply1(w, &late), ERR_STALE);
	assert_int_equal(read_delivery(w, 1, list[0].id).tries, 1);
	assert_int_equal(delete_hook(w, 1), 0);
	late = attempt_of(&list[1], NOW + 20, 200, DELIVERY_DELIVERED);
	assert_int_equal(apply1(w, &late), ERR_STALE);
}

static void a_receiver_that_is_gone_switches_its_webhook_off(void **state)
{
	struct world *w = *state;
	struct due_webhook *hooks;
	struct delivery *list;
	struct change ch;
	size_t n;

	add_hook(w, 1);
	add_ended(w, 1);
	add_ended(w, 2);
	assert_int_equal(told(w, 1, &list), 2);
	ch = attempt_of(&list[1], NOW + 10, 410, DELIVERY_FAILED);
	ch.attempt.off = WEBHOOK_OFF_GONE;
	must_apply(w, &ch);
	assert_int_equal(ch.attempt.off, WEBHOOK_OFF_GONE);
	assert_int_equal(read_hook(w, 1).off, WEBHOOK_OFF_GONE);
	assert_int_equal(read_hook(w, 1).disabled_at, NOW + 10);
	assert_int_equal(read_hook(w, 1).waiting, 1);
	assert_int_equal(catalog_due_webhooks(w->c, 0, 10, &w->arena, &hooks, &n, &w->err), 0);
	assert_int_equal(n, 0);
	add_ended(w, 3); /* tells nobody */
	assert_int_equal(catalog_new_deliveries(w->c), 0);
	ch = attempt_of(&list[0], NOW + 20, 410, DELIVERY_FAILED); /* it was under way */
	ch.attempt.off = WEBHOOK_OFF_GONE;
	must_apply(w, &ch);
	assert_int_equal(ch.attempt.off, WEBHOOK_ON);
	assert_int_equal(read_hook(w, 1).disabled_at, NOW + 10);
	assert_int_equal(patch_enabled(w, 1, true), 0);
	assert_int_equal(read_hook(w, 1).off, WEBHOOK_ON);
	assert_int_equal(read_hook(w, 1).disabled_at, 0);
	add_ended(w, 4);
	assert_int_equal(catalog_new_deliveries(w->c), 1);
}

static void another_address_begins_anew_and_what_the_old_one_answers_does_not_count(void **state)
{
	struct world *w = *state;
	struct change patch = {.kind = CHANGE_PATCH_WEBHOOK,
			       .patch_webhook = {.id = hook_id(1), .owner = OWNER, .url = STR("https://example.org/other"), .now = NOW}};
	struct delivery *list;
	struct str old;
	struct change ch;

	add_hook(w, 1);
	for (unsigned n = 1; n <= 3; n++)
		add_ended(w, n);
	assert_int_equal(told(w, 1, &list), 3);
	old = read_hook(w, 1).url;
	attempt(w, &list[2], NOW + 10, 500, DELIVERY_WAITING);
	assert_int_equal(read_hook(w, 1).failing_since, NOW + 10);
	must_apply(w, &patch);
	assert_int_equal(read_hook(w, 1).failing_since, 0);
	/* Two were under way. */
	ch = attempt_of(&list[1], NOW + 20, 410, DELIVERY_FAILED);
	ch.attempt.off = WEBHOOK_OFF_GONE;
	ch.attempt.url = old;
	must_apply(w, &ch);
	assert_int_equal(ch.attempt.off, WEBHOOK_ON);
	ch = attempt_of(&list[0], NOW + 20, 500, DELIVERY_FAILED);
	ch.attempt.url = old;
	must_apply(w, &ch);
	assert_int_equal(read_hook(w, 1).disabled_at, 0);
	assert_int_equal(read_hook(w, 1).failing_since, 0);
	assert_int_equal(read_delivery(w, 1, list[1].id).state, DELIVERY_WAITING);
	assert_int_equal(read_delivery(w, 1, list[1].id).due_at, NOW + 20);
	assert_int_equal(read_delivery(w, 1, list[0].id).state, DELIVERY_FAILED);
	assert_int_equal(read_hook(w, 1).waiting, 2);
	/* The same address again is none. */
	ch = attempt_of(&list[1], NOW + 30, 500, DELIVERY_WAITING);
	ch.attempt.url = STR("https://example.org/other");
	must_apply(w, &ch);
	must_apply(w, &patch);
	assert_int_equal(read_hook(w, 1).failing_since, NOW + 30);
}

static void a_webhook_that_fails_for_long_is_switched_off(void **state)
{
	struct world *w = *state;
	struct delivery *list;
	struct change ch;

	add_hook(w, 1);
	add_ended(w, 1);
	add_ended(w, 2);
	assert_int_equal(told(w, 1, &list), 2);
	attempt(w, &list[0], NOW + 10, 500, DELIVERY_WAITING);
	attempt(w, &list[0], NOW + 20, 500, DELIVERY_WAITING);
	assert_int_equal(read_hook(w, 1).failing_since, NOW + 10);
	ch = attempt_of(&list[0], NOW + 30, 500, DELIVERY_WAITING);
	ch.attempt.failing_before = NOW + 10;
	must_apply(w, &ch);
	assert_int_equal(ch.attempt.off, WEBHOOK_ON);
	ch = attempt_of(&list[1], NOW + 35, 500, DELIVERY_DELIVERED); /* one gets through: it begins anew */
	ch.attempt.failing_before = NOW + 11;
	must_apply(w, &ch);
	assert_int_equal(read_hook(w, 1).failing_since, 0);
	attempt(w, &list[0], NOW + 40, 500, DELIVERY_WAITING);
	ch = attempt_of(&list[0], NOW + 50, 500, DELIVERY_WAITING);
	ch.attempt.failing_before = NOW + 41;
	must_apply(w, &ch);
	assert_int_equal(ch.attempt.off, WEBHOOK_OFF_FAILING);
	assert_int_equal(read_hook(w, 1).off, WEBHOOK_OFF_FAILING);
	assert_int_equal(read_hook(w, 1).failing_since, NOW + 40);
	assert_int_equal(read_hook(w, 1).waiting, 1);
	assert_int_equal(sums(w).waiting, 0); /* it is off */
	assert_int_equal(patch_enabled(w, 1, true), 0);
	assert_int_equal(catalog_new_deliveries(w->c), 1); /* somebody should look what is due */
	assert_int_equal(read_hook(w, 1).failing_since, 0);
	assert_int_equal(sums(w).waiting, 1);
}

static void one_delivery_is_replayed_with_its_id(void **state)
{
	struct world *w = *state;
	struct uuid id;
	struct delivery *list, d;
	uint32_t n;

	add_hook(w, 1);
	add_ended(w, 1);
	assert_int_equal(told(w, 1, &list), 1);
	id = list[0].id;
	attempt(w, &list[0], NOW + 10, 204, DELIVERY_DELIVERED);
	assert_int_equal(replay(w, 1, id, 0, 1, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(catalog_new_deliveries(w->c), 1);
	d = read_delivery(w, 1, id);
	assert_int_equal(d.state, DELIVERY_WAITING);
	assert_int_equal(d.tries, 0);
	assert_int_equal(d.due_at, NOW + 90000);
	assert_int_equal(d.ended_at, 0);
	assert_int_equal(d.n_log, 1); /* what was tried stays known */
	assert_int_equal(read_hook(w, 1).waiting, 1);
	assert_int_equal(replay(w, 1, id, 0, 1, &n), 0); /* it waits already */
	assert_int_equal(read_hook(w, 1).waiting, 1);
	assert_int_equal(replay(w, 1, test_id(5), 0, 1, &n), ERR_DELIVERY_NOT_FOUND);
	assert_int_equal(patch_enabled(w, 1, false), 0);
	assert_int_equal(replay(w, 1, id, 0, 1, &n), ERR_CONFLICT);
}

static void all_that_failed_since_then_is_replayed(void **state)
{
	struct world *w = *state;
	struct delivery *list;
	uint32_t n;

	add_hook(w, 1);
	for (unsigned i = 1; i <= 5; i++) {
		struct built b;

		build_file(&b, i);
		build_fused(&b, "md5", "{}")->finished_at = NOW + i;
		must_apply(w, &b.change);
	}
	assert_int_equal(told(w, 1, &list), 5);
	for (unsigned i = 0; i < 4; i++) /* not the oldest */
		attempt(w, &list[i], NOW + 10, 500, DELIVERY_FAILED);
	attempt(w, &list[4], NOW + 10, 200, DELIVERY_DELIVERED);
	assert_int_equal(replay(w, 1, (struct uuid){}, NOW + 3, 2, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(read_delivery(w, 1, list[2].id).state, DELIVERY_WAITING); /* the oldest first */
	assert_int_equal(read_delivery(w, 1, list[1].id).state, DELIVERY_WAITING);
	assert_int_equal(replay(w, 1, (struct uuid){}, NOW + 3, 2, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(replay(w, 1, (struct uuid){}, NOW + 3, 2, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(read_delivery(w, 1, list[3].id).state, DELIVERY_FAILED); /* from before */
	assert_int_equal(read_delivery(w, 1, list[4].id).state, DELIVERY_DELIVERED);
	assert_int_equal(read_hook(w, 1).waiting, 3);
}

static void deliveries_are_listed_by_state_in_pages(void **state)
{
	struct world *w = *state;
	struct delivery *list, *all;
	int64_t next;
	size_t n;

	add_hook(w, 1);
	for (unsigned i = 1; i <= 5; i++)
		add_ended(w, i);
	assert_int_equal(told(w, 1, &all), 5);
	attempt(w, &all[1], NOW + 10, 500, DELIVERY_FAILED);
	attempt(w, &all[3], NOW + 10, 500, DELIVERY_FAILED);
	assert_int_equal(catalog_list_deliveries(w->c, hook_id(1), OWNER, DELIVERY_FAILED, (struct page){.limit = 1}, &w->arena, &list, &n,
						 &next, &w->err),
			 0);
	assert_int_equal(n, 1);
	assert_true(uuid_eq(list[0].id, all[1].id));
	assert_true(next > 0);
	assert_int_equal(catalog_list_deliveries(w->c, hook_id(1), OWNER, DELIVERY_FAILED, (struct page){.before = next, .limit = 9},
						 &w->arena, &list, &n, &next, &w->err),
			 0);
	assert_int_equal(n, 1);
	assert_true(uuid_eq(list[0].id, all[3].id));
	assert_int_equal(next, 0);
	assert_int_equal(
		catalog_list_deliveries(w->c, hook_id(7), OWNER, -1, (struct page){.limit = 1}, &w->arena, &list, &n, &next, &w->err),
		ERR_WEBHOOK_NOT_FOUND);
}

/* ---- forgetting ---- */

static int purge_deliveries(struct world *w, int64_t before, uint32_t max)
{
	struct change ch = {.kind = CHANGE_PURGE, .purge = {.deliveries_before = before, .max = max}};

	return apply1(w, &ch);
}

static void a_deleted_webhook_is_gone_at_once_and_its_deliveries_bit_by_bit(void **state)
{
	struct world *w = *state;
	struct delivery *list;

	add_hook(w, 1);
	add_hook(w, 2);
	for (unsigned i = 1; i <= 3; i++)
		add_ended(w, i);
	assert_int_equal(told(w, 1, &list), 3);
	assert_int_equal(delete_hook(w, 1), 0);
	assert_int_equal(delete_hook(w, 1), ERR_WEBHOOK_NOT_FOUND);
	assert_int_equal(hook_code(w, 1), ERR_WEBHOOK_NOT_FOUND);
	assert_int_equal(sums(w).webhooks, 1);
	assert_int_equal(sums(w).waiting, 3);
	if (w->lasting)
		assert_int_equal(world_sql(w, "SELECT count(*) FROM webhook WHERE deleted_at IS NOT NULL AND secret IS NOT NULL"), 0);
	assert_int_equal(purge_deliveries(w, 1, 2), 0);
	if (w->lasting)
		assert_int_equal(world_sql(w, "SELECT count(*) FROM delivery"), 4);
	assert_int_equal(purge_deliveries(w, 1, 2), 0);
	if (w->lasting) {
		assert_int_equal(world_sql(w, "SELECT count(*) FROM delivery"), 3);
		assert_int_equal(world_sql(w, "SELECT count(*) FROM webhook"), 1);
	}
	assert_int_equal(count_told(w, 2), 3);
}

static void what_was_told_long_ago_is_forgotten(void **state)
{
	struct world *w = *state;
	struct delivery *list;

	add_hook(w, 1);
	for (unsigned i = 1; i <= 4; i++)
		add_ended(w, i);
	assert_int_equal(told(w, 1, &list), 4);
	attempt(w, &list[0], NOW + 10, 200, DELIVERY_DELIVERED);
	attempt(w, &list[1], NOW + 20, 500, DELIVERY_FAILED);
	attempt(w, &list[2], NOW + 30, 200, DELIVERY_DELIVERED);
	assert_int_equal(purge_deliveries(w, NOW + 37, 100), 0); /* ended at NOW + 17, 27 and 37 */
	assert_int_equal(told(w, 1, &list), 2);
	assert_int_equal(list[0].state, DELIVERY_DELIVERED);
	assert_int_equal(list[1].state, DELIVERY_WAITING);
	if (w->lasting)
		assert_int_equal(world_sql(w, "SELECT count(*) FROM attempt"), 1);
	assert_int_equal(patch_enabled(w, 1, false), 0); /* at NOW + 70 */
	assert_int_equal(purge_deliveries(w, NOW + 70, 100), 0);
	assert_int_equal(count_told(w, 1), 1);
	assert_int_equal(purge_deliveries(w, NOW + 71, 100), 0); /* off for so long: nobody waits for it any more */
	assert_int_equal(count_told(w, 1), 0);
	assert_int_equal(read_hook(w, 1).waiting, 0);
}

static void webhooks_survive_a_restart(void **state)
{
	struct world *w = *state;
	struct delivery *list;

	if (!w->lasting)
		return; /* memory keeps nothing, by design */
	add_hook(w, 1);
	add_ended(w, 1);
	world_reopen(w);
	assert_int_equal(read_hook(w, 1).secret.b[0], 1);
	add_ended(w, 2); /* who wants to hear is known again */
	assert_int_equal(told(w, 1, &list), 2);
}

const struct named_test contract_deliveries[] = {
	NAMED(what_is_due_comes_the_longest_due_first),
	NAMED(attempts_are_kept_the_newest_of_them),
	NAMED(what_has_ended_takes_no_attempt),
	NAMED(a_receiver_that_is_gone_switches_its_webhook_off),
	NAMED(another_address_begins_anew_and_what_the_old_one_answers_does_not_count),
	NAMED(a_webhook_that_fails_for_long_is_switched_off),
	NAMED(one_delivery_is_replayed_with_its_id),
	NAMED(all_that_failed_since_then_is_replayed),
	NAMED(deliveries_are_listed_by_state_in_pages),
	NAMED(a_deleted_webhook_is_gone_at_once_and_its_deliveries_bit_by_bit),
	NAMED(what_was_told_long_ago_is_forgotten),
	NAMED(webhooks_survive_a_restart),
	{},
};
