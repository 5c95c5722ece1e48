/* Many at once, cancelling, ending, bounds of what is under way. */
#include "base/compiler.h"
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct world w;

static int begin(void **state)
{
	world_init(&w);
	return 0;
}

static int end(void **state)
{
	world_end(&w);
	return 0;
}

static void answer_ok(struct wire *l)
{
	if (wire_read_request(l))
		wire_say(l, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
}

static void stay_silent(struct wire *l)
{
	wire_wait_for_close(l);
}

static struct net_request get(const char *url)
{
	return (struct net_request){.method = STR("GET"), .url = str_of(url)};
}

/* ---- many ---- */

enum { MANY = 100 };

/* All connections are there before the first is answered: the peer takes the first one's, then accepts the others by hand. */
static void answer_when_all_are_there(struct wire *first)
{
	struct wire wires[MANY] = {*first};
	unsigned n = 1;

	while (n < MANY) {
		const int fd = accept(first->peer->listener, NULL, NULL);

		if (fd < 0)
			return;
		wires[n++] = (struct wire){.peer = first->peer, .fd = fd};
	}
	for (unsigned i = 0; i < MANY; i++)
		answer_ok(&wires[i]);
	for (unsigned i = 1; i < MANY; i++)
		close(wires[i].fd);
}

static void a_hundred_requests_are_under_way_at_once(void **state)
{
	struct peer p = {.serve = answer_when_all_are_there};
	static struct asked asked[MANY];

	world_start(&w);
	assert_true(peer_start(&p));
	for (unsigned i = 0; i < MANY; i++)
		send_request(&w, &asked[i], get(url_of(&p, "hook.example", "/")));
	for (unsigned i = 0; i < MANY; i++) {
		wait_for_answer(&asked[i]);
		assert_int_equal(asked[i].r.code, 0);
		assert_int_equal(asked[i].r.status, 200);
	}
	peer_stop(&p);
	assert_int_equal(p.requests, MANY);
}

static void requests_under_way_end_at_their_limit(void **state)
{
	struct peer p = {.serve = stay_silent};
	struct asked asked[3], another;

	w.o.calls_max = 3;
	world_start(&w);
	assert_true(peer_start(&p));
	for (unsigned i = 0; i < ARRAY_LEN(asked); i++)
		send_request(&w, &asked[i], get(url_of(&p, "hook.example", "/")));
	const struct net_request r = get(url_of(&p, "hook.example", "/"));
	assert_int_equal(net_send(w.client, &r, NULL, NULL), ERR_OVERLOADED);
	assert_int_equal(net_client_busy(w.client), 3);
	net_cancel(w.client, asked[1].id);
	wait_for_answer(&asked[1]);
	assert_int_equal(asked[1].r.code, ERR_CANCELLED);
	/* A slot is free before `done` is called. */
	send_request(&w, &another, get(url_of(&p, "hook.example", "/")));
	assert_true(another.id != asked[1].id);
	/* The id of the one that ended means nothing any more. */
	net_cancel(w.client, asked[1].id);
	net_client_free(w.client);
	w.client = NULL;
	wait_for_answer(&another);
	assert_int_equal(another.r.code, ERR_SHUTTING_DOWN);
	wait_for_answer(&asked[0]);
	wait_for_answer(&asked[2]);
	peer_stop(&p);
}

static void wait_for_lookups(unsigned n)
{
	while (atomic_load(&w.lookups) < n)
		usleep(1000);
}

static void names_are_resolved_side_by_side_up_to_their_limit_and_the_others_after_them(void **state)
{
	struct peer p = {.serve = answer_ok};
	struct asked slow[2], quick;

	w.o.lookups_max = 2;
	world_start(&w);
	assert_true(peer_start(&p));
	send_request(&w, &slow[0], get(url_of(&p, "a.slow.example", "/")));
	send_request(&w, &slow[1], get(url_of(&p, "b.slow.example", "/")));
	wait_for_lookups(2);
	send_request(&w, &quick, get(url_of(&p, "hook.example", "/")));
	/* A literal address needs no lookup, and its answer shows that the client was past the request before it. */
	struct asked literal;
	assert_int_equal(ask_for(&w, &literal, url_of(&p, "127.0.0.1", "/")), 0);
	assert_int_equal(w.lookups, 2);
	assert_int_equal(quick.times, 0);
	sem_post(&w.resume);
	wait_for_answer(&quick);
	assert_int_equal(quick.r.code, 0);
	sem_post(&w.resume);
	for (unsigned i = 0; i < 2; i++) {
		wait_for_answer(&slow[i]);
		assert_int_equal(slow[i].r.code, 0);
	}
	peer_stop(&p);
}

static void names_of_one_party_that_hang_hold_up_nobody_elses(void **state)
{
	struct peer p = {.serve = answer_ok};
	struct asked slow[4], quick;
	struct net_request r;

	w.o.lookups_max = 4;
	world_start(&w);
	assert_true(peer_start(&p));
	for (unsigned i = 0; i < ARRAY_LEN(slow); i++) {
		r = get(url_of(&p, "hook.slow.example", "/"));
		r.party = 7;
		if (i == 3) {
			r.limits.connect_ms = 50;
			assert_int_equal(ask(&w, &slow[i], r), ERR_PEER_TIMEOUT); /* it did not get to one */
		} else {
			send_request(&w, &slow[i], r);
			wait_for_lookups(i < 2 ? i + 1 : 2);
		}
	}
	assert_int_equal(w.lookups, 2);
	for (unsigned i = 0; i < 3; i++) {
		r = get(url_of(&p, "hook.example", "/"));
		r.party = 8;
		assert_int_equal(ask(&w, &quick, r), 0);
	}
	/* Those that nobody waits for any more count until they end. */
	net_cancel(w.client, slow[0].id);
	net_cancel(w.client, slow[1].id);
	wait_for_answer(&slow[0]);
	wait_for_answer(&slow[1]);
	r = get(url_of(&p, "hook.example", "/"));
	r.party = 8;
	assert_int_equal(ask(&w, &quick, r), 0);
	assert_int_equal(w.lookups, 6);
	sem_post(&w.resume);
	sem_post(&w.resume);
	wait_for_lookups(7);
	sem_post(&w.resume);
	wait_for_answer(&slow[2]);
	assert_int_equal(slow[2].r.code, 0);
	peer_stop(&p);
}

/* ---- cancelling ---- */

static void a_request_is_cancelled_while_its_name_is_resolved(void **state)
{
	struct asked a, b;

	world_start(&w);
	send_request(&w, &a, get("http://hook.slow.example/"));
	wait_for_lookups(1);
	net_cancel(w.client, a.id);
	wait_for_answer(&a);
	assert_int_equal(a.r.code, ERR_CANCELLED);
	/* The lookup comes back to nobody. */
	sem_post(&w.resume);
	assert_int_equal(ask_for(&w, &b, "http://nowhere.test/"), ERR_UNRESOLVED);
}

/* Else whoever lets a name server hang keeps the threads busy with what was given up long ago, and the line grows with each request. */
static void a_name_that_nobody_waits_for_any_more_is_not_resolved(void **state)
{
	struct asked a, b, c;
	struct net_request late = get("http://b.slow.example/");

	w.o.lookups_max = 1;
	late.limits.connect_ms = 50;
	world_start(&w);
	send_request(&w, &a, get("http://a.slow.example/"));
	wait_for_lookups(1);
	assert_int_equal(ask(&w, &b, late), ERR_PEER_TIMEOUT);
	assert_int_equal(ask(&w, &b, late), ERR_PEER_TIMEOUT);
	send_request(&w, &c, get("http://nowhere.test/"));
	assert_int_equal(ask(&w, &b, late), ERR_PEER_TIMEOUT);
	net_cancel(w.client, a.id);
	sem_post(&w.resume);
	wait_for_answer(&c);
	assert_int_equal(c.r.code, ERR_UNRESOLVED);
	assert_int_equal(w.lookups, 2);
	wait_for_answer(&a);
}

static sem_t seen;

static void tell_and_stay_silent(struct wire *l)
{
	wire_read_request(l);
	sem_post(&seen);
	wire_wait_for_close(l);
}

static void a_request_is_cancelled_while_the_answer_is_waited_for_and_the_receiver_sees_the_end(void **state)
{
	struct peer p = {.serve = tell_and_stay_silent};
	struct asked a;

	sem_init(&seen, 0, 0);
	world_start(&w);
	assert_true(peer_start(&p));
	send_request(&w, &a, get(url_of(&p, "hook.example", "/")));
	sem_wait(&seen);
	net_cancel(w.client, a.id);
	net_cancel(w.client, a.id);
	wait_for_answer(&a);
	assert_int_equal(a.r.code, ERR_CANCELLED);
	assert_int_equal(a.r.status, 0);
	net_cancel(w.client, a.id);
	net_cancel(w.client, 0);
	net_cancel(w.client, UINT64_MAX);
	peer_stop(&p);
}

static void a_name_that_is_not_resolved_in_time_is_given_up(void **state)
{
	struct asked a;
	struct net_request r = get("http://hook.slow.example/");

	world_start(&w);
	r.limits.connect_ms = 100;
	assert_int_equal(ask(&w, &a, r), ERR_PEER_TIMEOUT);
	assert_string_equal(a.detail, "the host's name was not resolved in time");
	r.limits = (struct net_limits){.total_ms = 100};
	assert_int_equal(ask(&w, &a, r), ERR_PEER_TIMEOUT);
	sem_post(&w.resume);
	sem_post(&w.resume);
	/* They end by themselves; the others are not held up. */
	assert_int_equal(ask_for(&w, &a, "http://nowhere.test/"), ERR_UNRESOLVED);
}

/* ---- ending ---- */

static void a_drain_takes_no_more_and_waits_for_what_is_under_way(void **state)
{
	const struct net_request r = get("http://hook.example/");
	struct asked a;

	world_start(&w);
	send_request(&w, &a, get("http://hook.slow.example/"));
	wait_for_lookups(1);
	assert_false(net_client_drain(w.client, 50));
	assert_int_equal(net_send(w.client, &r, NULL, NULL), ERR_SHUTTING_DOWN);
	net_cancel(w.client, a.id);
	assert_true(net_client_drain(w.client, 60000));
	assert_int_equal(net_client_busy(w.client), 0);
	wait_for_answer(&a);
	assert_int_equal(a.r.code, ERR_CANCELLED);
	sem_post(&w.resume);
}

static atomic_bool resolved;

static int resolve_late(void *arg, const char *host, struct sockaddr_storage *addrs, size_t max, size_t *n, struct err *e)
{
	sem_t *go = arg;

	sem_post(&seen);
	sem_wait(go);
	atomic_store(&resolved, true);
	*n = 0;
	return 0;
}

static void the_client_ends_without_waiting_for_a_name(void **state)
{
	static sem_t go; /* outlives the test: so may the lookup */
	struct asked a;

	sem_init(&seen, 0, 0);
	sem_init(&go, 0, 0);
	w.o.resolve = resolve_late;
	w.o.resolve_arg = &go;
	world_start(&w);
	send_request(&w, &a, get("http://hook.example/"));
	sem_wait(&seen);
	net_client_free(w.client);
	w.client = NULL;
	assert_false(resolved);
	wait_for_answer(&a);
	assert_int_equal(a.r.code, ERR_SHUTTING_DOWN);
	sem_post(&go);
	while (!resolved)
		usleep(1000);
}

struct chain {
	struct peer *peer;
	unsigned left;
	sem_t done;
};

static void send_next(void *arg, const struct net_result *r)
{
	struct chain *chain = arg;
	struct net_request next = get(url_of(chain->peer, "hook.example", "/"));

	assert_int_equal(r->code, 0);
	next.done = send_next;
	next.arg = chain;
	if (--chain->left > 0)
		assert_int_equal(net_send(w.client, &next, NULL, NULL), 0);
	else
		sem_post(&chain->done);
}

static void one_request_may_start_the_next_even_when_only_one_may_be_under_way(void **state)
{
	struct peer p = {.serve = answer_ok};
	struct chain chain = {.peer = &p, .left = 20};
	struct net_request first;

	w.o.calls_max = 1;
	world_start(&w);
	assert_true(peer_start(&p));
	sem_init(&chain.done, 0, 0);
	first = get(url_of(&p, "hook.example", "/"));
	first.done = send_next;
	first.arg = &chain;
	assert_int_equal(net_send(w.client, &first, NULL, NULL), 0);
	sem_wait(&chain.done);
	peer_stop(&p);
	assert_int_equal(p.requests, 20);
	sem_destroy(&chain.done);
}

static void *send_and_cancel(void *arg)
{
	const char *url = arg;

	for (int i = 0; i < 30; i++) {
		struct asked a;

		send_request(&w, &a, get(url));
		if (i % 3 == 0)
			net_cancel(w.client, a.id);
		wait_for_answer(&a);
		if (a.r.code != 0 && a.r.code != ERR_CANCELLED)
			fail_msg("%d %s", a.r.code, a.detail);
	}
	return NULL;
}

static void any_thread_may_send_and_cancel(void **state)
{
	struct peer p = {.serve = answer_ok};
	pthread_t threads[4];
	char url[128];

	world_start(&w);
	assert_true(peer_start(&p));
	snprintf(url, sizeof(url), "%s", url_of(&p, "hook.example", "/"));
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, send_and_cancel, url), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	/* `done` was called for each; the last call may not have returned yet. */
	assert_true(net_client_drain(w.client, 60000));
	assert_int_equal(net_client_busy(w.client), 0);
	peer_stop(&p);
}

/* ---- what is refused ---- */

static void requests_with_what_is_not_the_callers_are_refused(void **state)
{
	static const struct net_header bad[] = {
		{STR("Host"), STR("x")},
		{STR("content-length"), STR("5")},
		{STR("Transfer-Encoding"), STR("chunked")},
		{STR("Connection"), STR("close")},
		{STR("Expect"), STR("100-continue")},
		{STR("Cookie"), STR("a=b")},
		{STR("Accept-Encoding"), STR("gzip")},
		{STR("TE"), STR("trailers")},
		{STR("Upgrade"), STR("h2c")},
		{STR(""), STR("x")},
		{STR("a b"), STR("x")},
		{STR("a:"), STR("x")},
		{STR("a\r\nb"), STR("x")},
		{STR("a\0b"), STR("x")},
		{STR("a"), STR("x\r\nHost: y")},
		{STR("a"), STR("x\ny")},
		{STR("a"), STR("x\ry")},
		{STR("a"), STR("x\0y")},
		{STR("a"), STR("\x7f")},
		{STR("a"), STR("\xc3\xa4")},
	};
	static const char *const methods[] = {"", "get", "PATCH", "CONNECT", "TRACE", "OPTIONS", "GET ", "GET / HTTP/1.1\r\nA: b\r\n"};
	static char long_value[8192];
	struct net_request r = get("http://hook.example/");
	struct net_header many[65];

	world_start(&w);
	r.headers_n = 1;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		r.headers = &bad[i];
		if (net_send(w.client, &r, NULL, NULL) != ERR_INVALID_VALUE)
			fail_msg("header %zu is taken", i);
	}
	memset(long_value, 'x', sizeof(long_value));
	r.headers = &(struct net_header){STR("a"), {long_value, sizeof(long_value)}};
	assert_int_equal(net_send(w.client, &r, NULL, NULL), ERR_INVALID_VALUE);
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		many[i] = (struct net_header){STR("a"), STR("b")};
	r.headers = many;
	r.headers_n = ARRAY_LEN(many);
	assert_int_equal(net_send(w.client, &r, NULL, NULL), ERR_INVALID_VALUE);

	r = get("http://hook.example/");
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		r.method = str_of(methods[i]);
		assert_int_equal(net_send(w.client, &r, NULL, NULL), ERR_INVALID_VALUE);
	}
	r = get("http://hook.example/");
	r.body = STR("x");
	assert_int_equal(net_send(w.client, &r, NULL, NULL), ERR_INVALID_VALUE);
	r = get("http://hook.example/");
	r.method = STR("POST");
	r.limits.redirects_max = 1;
	assert_int_equal(net_send(w.client, &r, NULL, NULL), ERR_INVALID_VALUE);
	r = get("http://hook.example/");
	r.limits.total_ms = -1;
	assert_int_equal(net_send(w.client, &r, NULL, NULL), ERR_INVALID_VALUE);
	r.limits = (struct net_limits){.body_keep = (1 << 20) + 1};
	assert_int_equal(net_send(w.client, &r, NULL, NULL), ERR_INVALID_VALUE);
	assert_int_equal(net_client_busy(w.client), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_hundred_requests_are_under_way_at_once, begin, end),
		cmocka_unit_test_setup_teardown(requests_under_way_end_at_their_limit, begin, end),
		cmocka_unit_test_setup_teardown(names_are_resolved_side_by_side_up_to_their_limit_and_the_others_after_them, begin, end),
		cmocka_unit_test_setup_teardown(names_of_one_party_that_hang_hold_up_nobody_elses, begin, end),
		cmocka_unit_test_setup_teardown(a_request_is_cancelled_while_its_name_is_resolved, begin, end),
		cmocka_unit_test_setup_teardown(a_name_that_nobody_waits_for_any_more_is_not_resolved, begin, end),
		cmocka_unit_test_setup_teardown(a_request_is_cancelled_while_the_answer_is_waited_for_and_the_receiver_sees_the_end, begin,
						end),
		cmocka_unit_test_setup_teardown(a_name_that_is_not_resolved_in_time_is_given_up, begin, end),
		cmocka_unit_test_setup_teardown(a_drain_takes_no_more_and_waits_for_what_is_under_way, begin, end),
		cmocka_unit_test_setup_teardown(the_client_ends_without_waiting_for_a_name, begin, end),
		cmocka_unit_test_setup_teardown(one_request_may_start_the_next_even_when_only_one_may_be_under_way, begin, end),
		cmocka_unit_test_setup_teardown(any_thread_may_send_and_cancel, begin, end),
		cmocka_unit_test_setup_teardown(requests_with_what_is_not_the_callers_are_refused, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
