/* The sender, over the real client and against receivers on loopback: what it does when the catalogue refuses, when it is stopped, and when somebody helps by hand. */
#include "../net/peer.h"
#include "catalog/catalog_impl.h"
#include "engine/engine_impl.h"
#include "net/client.h"
#include "world.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_MS 60000

static const struct uuid hook_id = {.b = {1, [15] = 1}};

struct sender {
	struct world w;
	struct net_client *client;
	struct net_client_options options;
	struct peer peer;
	int64_t retry_ms[3], last_retry_ms; /* 0 = as short as the others */
	unsigned per_endpoint; /* 0 = 1 */
};

/* ---- receivers ---- */

static void answer(struct wire *l)
{
	if (wire_read_request(l))
		wire_say(l, l->peer->answer);
}

#define ANSWER(status) "HTTP/1.1 " status "\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

/* The first request is told to come again in an hour; to the others it is well. */
static void answer_busy_once(struct wire *l)
{
	if (wire_read_request(l))
		wire_say(l, atomic_load(&l->peer->requests) == 1
				    ? "HTTP/1.1 503 Busy\r\nRetry-After: 3600\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
				    : ANSWER("200 OK"));
}

/* The first two are told to come again in a second. */
static void answer_busy_twice(struct wire *l)
{
	if (wire_read_request(l))
		wire_say(l, atomic_load(&l->peer->requests) <= 2
				    ? "HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
				    : ANSWER("200 OK"));
}

static void say_nothing(struct wire *l)
{
	if (wire_read_request(l))
		wire_wait_for_close(l);
}

/* ---- the sender ---- */

static void sender_open(struct sender *s)
{
	struct engine_config config = world_config();
	struct err e = ERR_INIT;

	s->options.policy.http = true;
	assert_int_equal(ip_range_parse(&s->options.policy.allow[0], STR("127.0.0.0/8"), &e), 0);
	s->options.policy.allow_n = 1;
	assert_int_equal(net_client_new(&s->client, &s->options, &e), 0);
	s->retry_ms[1] = 10;
	s->retry_ms[2] = s->last_retry_ms > 0 ? s->last_retry_ms : 10;
	config.webhooks = (struct engine_webhooks){.client = s->client,
						   .targets = &s->options.policy,
						   .per_owner = 4,
						   .under_way = 4,
						   .per_endpoint = s->per_endpoint > 0 ? s->per_endpoint : 1,
						   .timeout_ms = PATIENCE_MS,
						   .retry_ms = s->retry_ms,
						   .n_retry = ARRAY_LEN(s->retry_ms),
						   .give_up_ms = 86400000,
						   .keep_ms = 86400000};
	world_open(&s->w, &config);
}

static void sender_close(struct sender *s)
{
	world_stop(&s->w);
	world_free(&s->w);
	net_client_free(s->client);
	peer_stop(&s->peer);
}

static void add_hook_of(struct sender *s, struct str owner, struct uuid id, const struct peer *peer)
{
	char url[64];
	struct webhook hook = {.id = id, .owner = owner, .events = WEBHOOK_ALL, .ops = STR(""), .description = STR(""), .created_at = 1};
	struct change c = {.kind = CHANGE_ADD_WEBHOOK, .add_webhook = {.webhook = &hook, .max = 4}};

	snprintf(url, sizeof(url), "http://127.0.0.1:%u/", peer->port);
	hook.url = str_of(url);
	assert_int_equal(apply(&s->w, &c), 0);
}

static void add_hook(struct sender *s)
{
	add_hook_of(s, STR(OWNER_PUBLIC), hook_id, &s->peer);
}

/* A job ends. */
static void upload_one_of(struct sender *s, struct str owner, const char *text)
{
	const struct intake_spec spec = {.owner = owner, .length = -1};
	struct upload u;

	upload_bytes(&s->w, &spec, text, strlen(text), strlen(text), &u);
	assert_int_equal(u.code, 0);
}

static void upload_one(struct sender *s, const char *text)
{
	upload_one_of(s, STR(OWNER_PUBLIC), text);
}

static size_t count(struct sender *s, enum delivery_state state, struct delivery *ret_first)
{
	struct arena a = ARENA_INIT;
	struct delivery *list;
	struct err e = ERR_INIT;
	int64_t next;
	size_t n;

	assert_int_equal(catalog_list_deliveries(s->w.catalog, hook_id, STR(OWNER_PUBLIC), (int)state, (struct page){.limit = 100}, &a,
						 &list, &n, &next, &e),
			 0);
	if (ret_first != NULL && n > 0)
		*ret_first = list[0];
	arena_release(&a);
	return n;
}

static void wait_count(struct sender *s, enum delivery_state state, size_t n)
{
	for (int ms = 0; count(s, state, NULL) != n; ms++) {
		assert_true(ms < PATIENCE_MS);
		usleep(1000);
	}
}

static void wait_requests(struct sender *s, unsigned n)
{
	for (int ms = 0; atomic_load(&s->peer.requests) < n; ms++) {
		assert_true(ms < PATIENCE_MS);
		usleep(1000);
	}
}

/* ---- a catalogue that refuses ---- */

static struct catalog_ops refusing_ops;
static int (*real_apply)(struct catalog *c, struct change *const *changes, size_t n, struct err *e);
static _Atomic unsigned refusals; /* left */

static int refuse_attempts(struct catalog *c, struct change *const *changes, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++)
		if (changes[i]->kind == CHANGE_ATTEMPT && atomic_load(&refusals) > 0) {
			atomic_fetch_sub(&refusals, 1);
			return err_set(e, ERR_STORAGE_FULL, "no room");
		}
	return real_apply(c, changes, n, e);
}

static void refusing(struct catalog *c)
{
	refusing_ops = *c->ops;
	real_apply = c->ops->apply;
	refusing_ops.apply = refuse_attempts;
	c->ops = &refusing_ops;
}

static void what_came_of_an_attempt_is_handed_in_until_it_is_taken(void **state)
{
	struct sender s = {.w.prepare = refusing, .peer = {.serve = answer, .answer = ANSWER("204 No Content")}};

	atomic_store(&refusals, 2);
	assert_true(peer_start(&s.peer));
	sender_open(&s);
	add_hook(&s);
	upload_one(&s, "one");
	wait_count(&s, DELIVERY_DELIVERED, 1);
	assert_int_equal(atomic_load(&refusals), 0);
	assert_int_equal(atomic_load(&s.peer.requests), 1); /* it was not sent again for that */
	sender_close(&s);
}

/* ---- stopping ---- */

static void a_stop_ends_what_is_under_way_and_it_stays_due(void **state)
{
	struct sender s = {.peer = {.serve = say_nothing}};
	struct delivery d = {};

	assert_true(peer_start(&s.peer));
	sender_open(&s);
	add_hook(&s);
	upload_one(&s, "one");
	wait_requests(&s, 1);
	world_stop(&s.w);
	assert_int_equal(count(&s, DELIVERY_WAITING, &d), 1);
	assert_int_equal(d.tries, 0); /* what we ended was no attempt of the receiver's */
	world_free(&s.w);
	net_client_free(s.client);
	peer_stop(&s.peer);
}

/* ---- receivers in trouble ---- */

static void a_receiver_rests_as_long_as_it_asks_and_not_until_the_delivery_is_due_again(void **state)
{
	struct sender s = {.peer = {.serve = answer_busy_twice}, .last_retry_ms = 3600000};
	struct delivery d = {};

	assert_true(peer_start(&s.peer));
	sender_open(&s);
	add_hook(&s);
	upload_one(&s, "one");
	for (int ms = 0; d.tries < 2; ms++) {
		assert_true(ms < PATIENCE_MS);
		usleep(1000);
		count(&s, DELIVERY_WAITING, &d);
	}
	upload_one(&s, "two");
	wait_count(&s, DELIVERY_DELIVERED, 1);
	assert_int_equal(count(&s, DELIVERY_WAITING, &d), 1); /* the first one, for most of an hour yet */
	assert_int_equal(d.tries, 2);
	sender_close(&s);
}

static void wait_busy(struct sender *s, size_t n)
{
	for (int ms = 0; net_client_busy(s->client) != n; ms++) {
		assert_true(ms < PATIENCE_MS);
		usleep(1000);
	}
}

static void an_owner_whose_receivers_say_nothing_leaves_the_others_their_share(void **state)
{
	static const struct uuid silent_id = {.b = {1, [15] = 2}};
	struct sender s = {.peer = {.serve = answer, .answer = ANSWER("200 OK")}, .per_endpoint = 4};
	struct peer silent = {.serve = say_nothing};

	assert_true(peer_start(&s.peer));
	assert_true(peer_start(&silent));
	sender_open(&s);
	add_hook_of(&s, STR("somebody"), silent_id, &silent);
	for (unsigned i = 0; i < 4; i++)
		upload_one_of(&s, STR("somebody"), "never told");
	for (int ms = 0; atomic_load(&silent.requests) < 1; ms++) {
		assert_true(ms < PATIENCE_MS);
		usleep(1000);
	}
	add_hook(&s);
	upload_one(&s, "one");
	upload_one(&s, "two");
	wait_count(&s, DELIVERY_DELIVERED, 2);
	wait_busy(&s, 2); /* of four; the other two of that owner wait */
	peer_stop(&silent);
	sender_close(&s);
}

/* ---- by hand ---- */

static void wait_rests(struct sender *s)
{
	struct delivery d = {};

	for (int ms = 0; d.tries == 0; ms++) {
		assert_true(ms < PATIENCE_MS);
		usleep(1000);
		count(s, DELIVERY_WAITING, &d);
	}
	assert_true(d.due_at - env_real.wall_ms(&env_real) > 3500000);
}

static struct change by_ping(void)
{
	return (struct change){
		.kind = CHANGE_ADD_PING,
		.add_ping = {.webhook = hook_id, .owner = STR(OWNER_PUBLIC), .id = {.b = {2}}, .payload = STR("{}"), .now = 1}};
}

static struct change by_replay(void)
{
	return (struct change){.kind = CHANGE_REPLAY,
			       .replay = {.webhook = hook_id, .owner = STR(OWNER_PUBLIC), .now = env_real.wall_ms(&env_real), .max = 10}};
}

static struct change by_patch(void)
{
	return (struct change){.kind = CHANGE_PATCH_WEBHOOK,
			       .patch_webhook = {.id = hook_id, .owner = STR(OWNER_PUBLIC), .description = STR("mended"), .now = 1}};
}

static void a_receiver_that_rests_is_tried_at_once_when_somebody_acts(void **state)
{
	struct change (*const acts[])(void) = {by_ping, by_replay, by_patch};

	for (size_t i = 0; i < ARRAY_LEN(acts); i++) {
		struct sender s = {.peer = {.serve = answer_busy_once}};
		struct change act = acts[i]();

		assert_true(peer_start(&s.peer));
		sender_open(&s);
		add_hook(&s);
		upload_one(&s, "one");
		wait_rests(&s);
		upload_one(&s, "two"); /* due, and waits with the first one */
		wait_count(&s, DELIVERY_WAITING, 2);
		assert_int_equal(apply(&s.w, &act), 0);
		wait_count(&s, DELIVERY_DELIVERED, act.kind == CHANGE_ADD_PING ? 2 : 1);
		assert_int_equal(count(&s, DELIVERY_WAITING, NULL), 1); /* the one that was told to come later */
		sender_close(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_came_of_an_attempt_is_handed_in_until_it_is_taken),
		cmocka_unit_test(a_stop_ends_what_is_under_way_and_it_stays_due),
		cmocka_unit_test(a_receiver_rests_as_long_as_it_asks_and_not_until_the_delivery_is_due_again),
		cmocka_unit_test(an_owner_whose_receivers_say_nothing_leaves_the_others_their_share),
		cmocka_unit_test(a_receiver_that_rests_is_tried_at_once_when_somebody_acts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
