/* The contract, part nine: webhooks, and what they are told. */
#include "webhook_world.h"

#include <string.h>

#define WORKER 500

/* ---- webhooks ---- */

static void a_webhook_is_kept_as_it_was_made(void **state)
{
	struct world *w = *state;
	uint8_t secret[WEBHOOK_SECRET_LEN];
	struct webhook hook;

	assert_int_equal(add_hook_of(w, 1, OWNER, 1u << WEBHOOK_FAILED, STR("md5,resize"), 8), 0);
	hook = read_hook(w, 1);
	memset(secret, 1, sizeof(secret));
	assert_str(hook.url, "https://example.org/in");
	assert_str(hook.ops, "md5,resize");
	assert_str(hook.description, "told");
	assert_str(hook.owner, OWNER_PUBLIC);
	assert_int_equal(hook.events, 1u << WEBHOOK_FAILED);
	assert_memory_equal(hook.secret.b, secret, sizeof(secret));
	assert_int_equal(hook.previous_until, 0);
	assert_int_equal(hook.created_at, NOW);
	assert_int_equal(hook.disabled_at, 0);
	assert_int_equal(hook.failing_since, 0);
	assert_int_equal(hook.waiting, 0);
}

static void nobody_sees_anothers_webhook(void **state)
{
	struct world *w = *state;
	struct str other = STR("0190d2a6-0000-7000-8000-000000000002");
	struct webhook *list, hook;
	struct delivery *deliveries, d;
	int64_t next;
	size_t n;

	add_hook(w, 1);
	add_ended(w, 1);
	assert_int_equal(told(w, 1, &deliveries), 1);
	assert_int_equal(catalog_webhook(w->c, hook_id(1), other, &w->arena, &hook, &w->err), ERR_WEBHOOK_NOT_FOUND);
	assert_int_equal(catalog_list_webhooks(w->c, other, (struct page){.limit = 10}, &w->arena, &list, &n, &next, &w->err), 0);
	assert_int_equal(n, 0);
	assert_int_equal(catalog_delivery(w->c, hook_id(1), other, deliveries[0].id, &w->arena, &d, &w->err), ERR_WEBHOOK_NOT_FOUND);
	struct change changes[] = {
		{.kind = CHANGE_PATCH_WEBHOOK, .patch_webhook = {.id = hook_id(1), .owner = other, .url = STR("http://x"), .now = NOW}},
		{.kind = CHANGE_ROTATE_WEBHOOK, .rotate_webhook = {.id = hook_id(1), .owner = other}},
		{.kind = CHANGE_DELETE_WEBHOOK, .delete_webhook = {.id = hook_id(1), .owner = other, .now = NOW}},
		{.kind = CHANGE_ADD_PING,
		 .add_ping = {.webhook = hook_id(1), .owner = other, .id = test_id(1), .payload = STR("{}"), .now = NOW}},
		{.kind = CHANGE_REPLAY, .replay = {.webhook = hook_id(1), .owner = other, .now = NOW, .max = 1}},
	};
	for (size_t i = 0; i < ARRAY_LEN(changes); i++)
		assert_int_equal(apply1(w, &changes[i]), ERR_WEBHOOK_NOT_FOUND);
	assert_int_equal(hook_code(w, 1), 0);
	assert_int_equal(count_told(w, 1), 1);
}

static void webhooks_are_listed_newest_first_in_pages(void **state)
{
	struct world *w = *state;
	struct webhook *list;
	int64_t next;
	size_t n;

	for (unsigned i = 1; i <= 3; i++)
		add_hook(w, i);
	assert_int_equal(catalog_list_webhooks(w->c, OWNER, (struct page){.limit = 2}, &w->arena, &list, &n, &next, &w->err), 0);
	assert_int_equal(n, 2);
	assert_true(uuid_eq(list[0].id, hook_id(3)));
	assert_true(uuid_eq(list[1].id, hook_id(2)));
	assert_int_equal(
		catalog_list_webhooks(w->c, OWNER, (struct page){.before = next, .limit = 2}, &w->arena, &list, &n, &next, &w->err), 0);
	assert_int_equal(n, 1);
	assert_true(uuid_eq(list[0].id, hook_id(1)));
	assert_int_equal(next, 0);
}

static void an_owner_has_as_many_webhooks_as_allowed(void **state)
{
	struct world *w = *state;

	assert_int_equal(add_hook_of(w, 1, OWNER, WEBHOOK_ALL, STR(""), 2), 0);
	assert_int_equal(add_hook_of(w, 2, OWNER, WEBHOOK_ALL, STR(""), 2), 0);
	assert_int_equal(add_hook_of(w, 3, OWNER, WEBHOOK_ALL, STR(""), 2), ERR_LIMIT_REACHED);
	assert_int_equal(add_hook_of(w, 3, STR("0190d2a6-0000-7000-8000-000000000002"), WEBHOOK_ALL, STR(""), 2), 0);
	assert_int_equal(delete_hook(w, 1), 0);
	assert_int_equal(add_hook_of(w, 4, OWNER, WEBHOOK_ALL, STR(""), 2), 0);
	assert_int_equal(add_hook_of(w, 4, OWNER, WEBHOOK_ALL, STR(""), 8), ERR_CONFLICT); /* the id is taken */
}

static void what_cannot_be_stored_is_refused(void **state)
{
	struct world *w = *state;
	static char url[WEBHOOK_URL_MAX + 1];

	memset(url, 'u', sizeof(url));
	assert_int_equal(add_hook_of(w, 1, OWNER, 0, STR(""), 8), ERR_INVALID_VALUE);
	assert_int_equal(add_hook_of(w, 1, OWNER, 1u << WEBHOOK_PING, STR(""), 8), ERR_INVALID_VALUE);
	assert_int_equal(add_hook_of(w, 1, OWNER, WEBHOOK_ALL, STR(""), WEBHOOKS_AN_OWNER_MAX + 1), ERR_INVALID_VALUE);
	add_hook(w, 1);
	struct change ch = {.kind = CHANGE_PATCH_WEBHOOK,
			    .patch_webhook = {.id = hook_id(1), .owner = OWNER, .url = {url, sizeof(url)}, .now = NOW}};
	assert_int_equal(apply1(w, &ch), ERR_INVALID_VALUE);
	ch.patch_webhook.url.len--;
	assert_int_equal(apply1(w, &ch), 0);
	assert_int_equal(read_hook(w, 1).url.len, WEBHOOK_URL_MAX);
}

static void what_is_patched_changes_and_nothing_else(void **state)
{
	struct world *w = *state;
	struct change ch = {.kind = CHANGE_PATCH_WEBHOOK,
			    .patch_webhook = {.id = hook_id(1),
					      .owner = OWNER,
					      .url = STR("https://example.org/other"),
					      .events = 1u << WEBHOOK_CANCELLED,
					      .now = NOW}};
	struct webhook hook;

	add_hook(w, 1);
	must_apply(w, &ch);
	hook = read_hook(w, 1);
	assert_str(hook.url, "https://example.org/other");
	assert_int_equal(hook.events, 1u << WEBHOOK_CANCELLED);
	assert_str(hook.description, "told");
	assert_str(hook.ops, "");
	ch.patch_webhook =
		(struct change_patch_webhook){.id = hook_id(1), .owner = OWNER, .description = STR(""), .ops = STR("sha1"), .now = NOW};
	must_apply(w, &ch);
	hook = read_hook(w, 1);
	assert_str(hook.url, "https://example.org/other");
	assert_str(hook.description, "");
	assert_str(hook.ops, "sha1");
}

static void a_rotated_secret_stands_beside_the_new_one(void **state)
{
	struct world *w = *state;
	struct change ch = {.kind = CHANGE_ROTATE_WEBHOOK,
			    .rotate_webhook = {.id = hook_id(1), .owner = OWNER, .secret = {{9, 9, 9}}, .previous_until = NOW + 1000}};
	struct webhook hook;

	add_hook(w, 1);
	must_apply(w, &ch);
	hook = read_hook(w, 1);
	assert_int_equal(hook.secret.b[0], 9);
	assert_int_equal(hook.secret.b[3], 0);
	assert_int_equal(hook.previous.b[0], 1);
	assert_int_equal(hook.previous_until, NOW + 1000);
	ch.rotate_webhook.secret.b[0] = 5;
	ch.rotate_webhook.previous_until = 0; /* at once */
	must_apply(w, &ch);
	hook = read_hook(w, 1);
	assert_int_equal(hook.secret.b[0], 5);
	assert_int_equal(hook.previous_until, 0);
}

/* ---- what they are told ---- */

static void lose_three_workers(struct world *w)
{
	for (unsigned i = 0; i < LOSSES_MAX; i++) {
		struct uuid worker = first_beat(w, 600 + i, NOW + 10 + i);

		claim(w, worker, 1, NOW + i);
		reclaim(w, NOW + 20 + i, false);
	}
}

static void every_end_is_told_whatever_brought_it(void **state)
{
	struct world *w = *state;
	static const enum webhook_event EVENTS[] = {WEBHOOK_SUCCEEDED, WEBHOOK_SUCCEEDED, WEBHOOK_FAILED,      WEBHOOK_FAILED,
						    WEBHOOK_CANCELLED, WEBHOOK_CANCELLED, WEBHOOK_QUARANTINED, WEBHOOK_SUCCEEDED};
	struct uuid worker = first_beat(w, WORKER, NOW + 100000);
	struct change_claim c;
	struct delivery *list;
	struct built b;
	struct job cached;
	size_t n;

	add_hook(w, 1);
	add_ended(w, 1); /* rode along */
	add_file_with_job(w, 2, "sha1");
	c = claim(w, worker, 1, NOW);
	assert_int_equal(finish(w, &c.jobs[0].job, worker, JOB_SUCCEEDED), 0);
	build_file(&b, 3); /* one fails, and the one after it with it */
	build_after(&b, "zip", build_job(&b, "gzip"));
	must_apply(w, &b.change);
	c = claim(w, worker, 1, NOW);
	assert_int_equal(finish(w, &c.jobs[0].job, worker, JOB_FAILED), 0);
	add_file_with_job(w, 4, "sha1");
	assert_int_equal(cancel_job(w, job_id(4, 0), NULL), 0);
	add_file_with_job(w, 5, "sha1");
	assert_int_equal(delete_file(w, 5), 0);
	add_file_with_job(w, 6, "sha1");
	lose_three_workers(w);
	cached = new_job(1000, 1, "md5");
	assert_int_equal(add_jobs(w, &cached, 1, NULL), 0);
	assert_true(cached.cached);

	n = told(w, 1, &list);
	assert_int_equal(n, ARRAY_LEN(EVENTS));
	for (size_t i = 0; i < n; i++) {
		const struct delivery *d = &list[n - 1 - i];

		assert_int_equal(d->event, EVENTS[i]);
		assert_int_equal(d->state, DELIVERY_WAITING);
		assert_int_equal(d->due_at, d->created_at);
		assert_int_equal(d->tries, 0);
		assert_null(d->payload.p);
		assert_true(uuid_eq(d->webhook, hook_id(1)));
		for (size_t k = 0; k < i; k++)
			assert_false(uuid_eq(d->id, list[n - 1 - k].id));
	}
	assert_id(list[n - 1].job, job_id(1, 0));
	assert_id(list[n - 4].job, job_id(3, 1));
	assert_int_equal(read_hook(w, 1).waiting, n);
}

static void a_payload_says_what_became_of_the_job(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, WORKER, NOW + 100000);
	struct change_claim c;
	struct delivery *list, d;

	add_hook(w, 1);
	add_file_with_job(w, 2, "resize");
	c = claim(w, worker, 1, NOW);
	assert_int_equal(finish_with_outputs(w, &c.jobs[0].job, worker, 2, NULL), 0);
	assert_int_equal(told(w, 1, &list), 1);
	d = read_delivery(w, 1, list[0].id);
	assert_true(str_starts(d.payload, STR("{\"type\":\"job.succeeded\",\"timestamp\":\"2027-01-15T08:00:00.020Z\",\"data\":{\"id\":")));
	assert_true(holds(d.payload, "\"file\":\"01900000-0000-7000-8000-000000000002\""));
	assert_true(holds(d.payload, "\"state\":\"succeeded\""));
	assert_true(holds(d.payload, "\"result\":{\"width\":1}"));
	assert_true(holds(d.payload, "\"name\":\"out 1.webp\""));
	assert_false(holds(d.payload, "truncated"));
	assert_int_equal(d.n_log, 0);
}

static void a_payload_is_never_longer_than_its_limit(void **state)
{
	struct world *w = *state;
	static char params[60000];
	struct delivery *list, d;
	struct built b;
	struct job *job;

	add_hook(w, 1);
	memset(params, 'p', sizeof(params));
	memcpy(params, "{\"a\":\"", 6);
	memcpy(params + sizeof(params) - 2, "\"}", 2);
	build_file(&b, 1);
	job = build_fused(&b, "md5", "{\"md5\":\"aa\"}");
	job->params = (struct str){params, sizeof(params)};
	must_apply(w, &b.change);
	assert_int_equal(told(w, 1, &list), 1);
	d = read_delivery(w, 1, list[0].id);
	assert_true(d.payload.len <= WEBHOOK_PAYLOAD_MAX);
	assert_true(holds(d.payload, "\"truncated\":true"));
	assert_true(holds(d.payload, "\"state\":\"succeeded\""));
	assert_true(holds(d.payload, "\"result\":null"));
}

static void only_what_is_wanted_is_told(void **state)
{
	struct world *w = *state;
	struct str other = STR("0190d2a6-0000-7000-8000-000000000002");
	struct webhook_stats s;

	assert_int_equal(add_hook_of(w, 1, OWNER, 1u << WEBHOOK_FAILED, STR(""), 8), 0);
	assert_int_equal(add_hook_of(w, 2, OWNER, WEBHOOK_ALL, STR("resize,md5"), 8), 0);
	assert_int_equal(add_hook_of(w, 3, OWNER, WEBHOOK_ALL, STR("resize,md"), 8), 0);
	assert_int_equal(add_hook_of(w, 4, other, WEBHOOK_ALL, STR(""), 8), 0);
	add_hook(w, 5);
	assert_int_equal(patch_enabled(w, 5, false), 0);
	add_ended(w, 1);
	assert_int_equal(catalog_new_deliveries(w->c), 1);
	assert_int_equal(count_told(w, 1), 0);
	assert_int_equal(count_told(w, 2), 1);
	assert_int_equal(count_told(w, 3), 0);
	assert_int_equal(count_told(w, 5), 0);
	s = sums(w);
	assert_int_equal(s.webhooks, 5);
	assert_int_equal(s.disabled, 1);
	assert_int_equal(s.waiting, 1);
	assert_int_equal(s.oldest_due_at, NOW);
}

static void each_webhook_gets_its_own_delivery(void **state)
{
	struct world *w = *state;
	struct delivery *one, *two, d;

	add_hook(w, 1);
	add_hook(w, 2);
	add_ended(w, 1);
	assert_int_equal(catalog_new_deliveries(w->c), 2);
	assert_int_equal(told(w, 1, &one), 1);
	assert_int_equal(told(w, 2, &two), 1);
	assert_false(uuid_eq(one[0].id, two[0].id));
	assert_int_equal(catalog_delivery(w->c, hook_id(1), OWNER, two[0].id, &w->arena, &d, &w->err), ERR_DELIVERY_NOT_FOUND);
}

static void without_webhooks_nothing_is_written(void **state)
{
	struct world *w = *state;

	add_ended(w, 1);
	assert_int_equal(catalog_new_deliveries(w->c), 0);
	add_hook(w, 1);
	assert_int_equal(delete_hook(w, 1), 0);
	add_ended(w, 2);
	assert_int_equal(catalog_new_deliveries(w->c), 0);
	assert_int_equal(sums(w).webhooks, 0);
}

static void what_is_refused_tells_nothing(void **state)
{
	struct world *w = *state;
	struct built b, again;
	struct change *batch[] = {&b.change, &again.change};

	add_hook(w, 1);
	build_file(&b, 1);
	build_fused(&b, "md5", "{}");
	build_file(&again, 1); /* the same id in the same batch */
	build_fused(&again, "md5", "{}");
	again.jobs[0].id = test_id(777);
	assert_int_equal(catalog_apply(w->c, batch, 2, &w->err), 0);
	assert_int_equal(b.change.code, 0);
	assert_int_equal(again.change.code, ERR_CONFLICT);
	assert_int_equal(count_told(w, 1), 1);
	assert_int_equal(read_hook(w, 1).waiting, 1);
}

static void an_end_is_told_as_it_was_whatever_comes_after(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, WORKER, NOW + 100000);
	struct change_claim c;
	struct delivery *list, d;

	add_hook(w, 1);
	add_file_with_job(w, 1, "sha1");
	c = claim(w, worker, 1, NOW);
	assert_int_equal(finish(w, &c.jobs[0].job, worker, JOB_FAILED), 0);
	assert_int_equal(retry_job(w, job_id(1, 0)), 0);
	c = claim(w, worker, 1, NOW + 1000);
	assert_int_equal(finish(w, &c.jobs[0].job, worker, JOB_SUCCEEDED), 0);
	assert_int_equal(delete_file(w, 1), 0);
	assert_int_equal(purge(w, NOW + 5000, 100), 0); /* deliveries that wait stay */
	assert_int_equal(file_code(w, 1), ERR_FILE_NOT_FOUND);
	assert_int_equal(told(w, 1, &list), 2);
	d = read_delivery(w, 1, list[1].id);
	assert_int_equal(d.event, WEBHOOK_FAILED);
	assert_true(holds(d.payload, "it did not work"));
	d = read_delivery(w, 1, list[0].id);
	assert_int_equal(d.event, WEBHOOK_SUCCEEDED);
	assert_true(holds(d.payload, "0123456789abcdef0123456789abcdef"));
}

static void one_end_is_told_once(void **state)
{
	struct world *w = *state;

	add_hook(w, 1);
	add_file_with_job(w, 1, "sha1");
	assert_int_equal(cancel_job(w, job_id(1, 0), NULL), 0);
	assert_int_equal(retry_job(w, job_id(1, 0)), 0);
	assert_int_equal(cancel_job(w, job_id(1, 0), NULL), 0); /* in the same millisecond */
	assert_int_equal(count_told(w, 1), 1);
	assert_int_equal(read_hook(w, 1).waiting, 1);
}

static void a_ping_is_told_wanted_or_not(void **state)
{
	struct world *w = *state;
	struct change ch = {
		.kind = CHANGE_ADD_PING,
		.add_ping = {.webhook = hook_id(1), .owner = OWNER, .id = test_id(31), .payload = STR("{\"type\":\"ping\"}"), .now = NOW}};
	struct delivery d;

	assert_int_equal(add_hook_of(w, 1, OWNER, 1u << WEBHOOK_FAILED, STR("sha1"), 8), 0);
	must_apply(w, &ch);
	assert_int_equal(catalog_new_deliveries(w->c), 1);
	d = read_delivery(w, 1, test_id(31));
	assert_int_equal(d.event, WEBHOOK_PING);
	assert_true(uuid_is_zero(d.job));
	assert_str(d.payload, "{\"type\":\"ping\"}");
	assert_int_equal(patch_enabled(w, 1, false), 0);
	ch.add_ping.id = test_id(32);
	assert_int_equal(apply1(w, &ch), ERR_CONFLICT);
}

const struct named_test contract_webhooks[] = {
	NAMED(a_webhook_is_kept_as_it_was_made),
	NAMED(nobody_sees_anothers_webhook),
	NAMED(webhooks_are_listed_newest_first_in_pages),
	NAMED(an_owner_has_as_many_webhooks_as_allowed),
	NAMED(what_cannot_be_stored_is_refused),
	NAMED(what_is_patched_changes_and_nothing_else),
	NAMED(a_rotated_secret_stands_beside_the_new_one),
	NAMED(every_end_is_told_whatever_brought_it),
	NAMED(a_payload_says_what_became_of_the_job),
	NAMED(a_payload_is_never_longer_than_its_limit),
	NAMED(only_what_is_wanted_is_told),
	NAMED(each_webhook_gets_its_own_delivery),
	NAMED(without_webhooks_nothing_is_written),
	NAMED(what_is_refused_tells_nothing),
	NAMED(an_end_is_told_as_it_was_whatever_comes_after),
	NAMED(one_end_is_told_once),
	NAMED(a_ping_is_told_wanted_or_not),
	{},
};
