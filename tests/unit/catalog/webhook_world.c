#include "webhook_world.h"

#include <string.h>

struct uuid hook_id(unsigned n)
{
	return test_id(9000 + n);
}

int add_hook_of(struct world *w, unsigned n, struct str owner, uint32_t events, struct str ops, uint32_t max)
{
	struct webhook hook = {.id = hook_id(n),
			       .owner = owner,
			       .url = STR("https://example.org/in"),
			       .events = events,
			       .ops = ops,
			       .description = STR("told"),
			       .created_at = NOW};
	struct change ch = {.kind = CHANGE_ADD_WEBHOOK, .add_webhook = {.webhook = &hook, .max = max}};

	memset(hook.secret.b, (int)n, sizeof(hook.secret.b));
	return apply1(w, &ch);
}

void add_hook(struct world *w, unsigned n)
{
	assert_int_equal(add_hook_of(w, n, OWNER, WEBHOOK_ALL, STR(""), 8), 0);
}

struct webhook read_hook(struct world *w, unsigned n)
{
	struct webhook hook = {};

	if (catalog_webhook(w->c, hook_id(n), OWNER, &w->arena, &hook, &w->err) < 0)
		fail_msg("webhook %u: %s", n, w->err.detail);
	return hook;
}

int hook_code(struct world *w, unsigned n)
{
	struct webhook hook;

	return catalog_webhook(w->c, hook_id(n), OWNER, &w->arena, &hook, &w->err);
}

int patch_enabled(struct world *w, unsigned n, bool enabled)
{
	struct change ch = {.kind = CHANGE_PATCH_WEBHOOK,
			    .patch_webhook = {.id = hook_id(n), .owner = OWNER, .set_enabled = true, .enabled = enabled, .now = NOW + 70}};

	return apply1(w, &ch);
}

int delete_hook(struct world *w, unsigned n)
{
	struct change ch = {.kind = CHANGE_DELETE_WEBHOOK, .delete_webhook = {.id = hook_id(n), .owner = OWNER, .now = NOW + 80}};

	return apply1(w, &ch);
}

/* Newest first, as lists are. */
size_t told(struct world *w, unsigned hook, struct delivery **ret)
{
	int64_t next;
	size_t n;

	if (catalog_list_deliveries(w->c, hook_id(hook), OWNER, -1, (struct page){.limit = 200}, &w->arena, ret, &n, &next, &w->err) < 0)
		fail_msg("deliveries: %s", w->err.detail);
	assert_int_equal(next, 0);
	return n;
}

size_t count_told(struct world *w, unsigned hook)
{
	struct delivery *list;

	return told(w, hook, &list);
}

struct delivery read_delivery(struct world *w, unsigned hook, struct uuid id)
{
	struct delivery d = {};

	if (catalog_delivery(w->c, hook_id(hook), OWNER, id, &w->arena, &d, &w->err) < 0)
		fail_msg("delivery: %s", w->err.detail);
	return d;
}

size_t due(struct world *w, int64_t number, int64_t now, uint32_t max, struct delivery **ret)
{
	size_t n;

	assert_int_equal(catalog_due_deliveries(w->c, number, now, max, &w->arena, ret, &n, &w->err), 0);
	return n;
}

/* A stored file whose md5 rode along: one end. */
void add_ended(struct world *w, unsigned n)
{
	struct built b;

	build_file(&b, n);
	build_fused(&b, "md5", "{\"md5\":\"aa\"}");
	must_apply(w, &b.change);
}

struct change attempt_of(const struct delivery *d, int64_t at, int status, enum delivery_state state)
{
	return (struct change){.kind = CHANGE_ATTEMPT,
			       .attempt = {.delivery = d->number,
					   .attempt = {.at = at,
						       .duration_ms = 7,
						       .status = status,
						       .error = state == DELIVERY_DELIVERED ? (struct str){} : STR("the answer was 500")},
					   .state = state,
					   .due_at = at + 5000}};
}

struct change_attempt attempt(struct world *w, const struct delivery *d, int64_t at, int status, enum delivery_state state)
{
	struct change ch = attempt_of(d, at, status, state);

	must_apply(w, &ch);
	return ch.attempt;
}

int replay(struct world *w, unsigned hook, struct uuid id, int64_t since, uint32_t max, uint32_t *ret)
{
	struct change ch = {
		.kind = CHANGE_REPLAY,
		.replay = {.webhook = hook_id(hook), .owner = OWNER, .delivery = id, .since = since, .now = NOW + 90000, .max = max}};
	int r = apply1(w, &ch);

	*ret = ch.replay.replayed;
	return r;
}

struct webhook_stats sums(struct world *w)
{
	struct webhook_stats s = {};

	assert_int_equal(catalog_webhook_stats(w->c, &s, &w->err), 0);
	return s;
}

bool holds(struct str text, const char *part)
{
	return memmem(text.p, text.len, part, strlen(part)) != NULL;
}
