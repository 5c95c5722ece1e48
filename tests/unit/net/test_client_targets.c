/* Where the client does not go, whatever names, redirects and resolvers say. Behind each refusal a peer listens at the refused address: it must see no connection. */
#include "base/compiler.h"
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct world w;
static struct peer inside; /* on 127.0.0.2, which is not allowed */

static void answer_ok(struct wire *l)
{
	if (wire_read_request(l))
		wire_say(l, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
}

static int begin(void **state)
{
	inside = (struct peer){.serve = answer_ok, .address = "127.0.0.2"};
	world_init(&w);
	assert_true(peer_start(&inside));
	world_start(&w);
	return 0;
}

static int end(void **state)
{
	peer_stop(&inside);
	world_end(&w);
	assert_int_equal(inside.connections, 0);
	return 0;
}

/* A peer on 127.0.0.1 with the port of the one inside; where that port is taken there, both get another one. */
static void start_beside(struct peer *outside)
{
	outside->port = inside.port;
	while (!peer_start(outside)) {
		peer_stop(&inside);
		inside.port = 0;
		assert_true(peer_start(&inside));
		outside->port = inside.port;
	}
}

static void the_peer_inside_is_there_for_who_may_reach_it(void **state)
{
	struct peer p = {.serve = answer_ok, .address = "127.0.0.2"};
	struct world loose;
	struct asked a;

	world_init(&loose);
	assert_true(peer_start(&p));
	assert_int_equal(ip_range_parse(&loose.o.policy.allow[1], STR("127.0.0.0/8"), NULL), 0);
	world_start(&loose);
	assert_int_equal(post_to(&loose, &a, url_of(&p, "hook.inside.example", "/")), 0);
	assert_string_equal(a.r.remote, "127.0.0.2");
	peer_stop(&p);
	world_end(&loose);
	assert_int_equal(p.connections, 1);
}

static void a_name_that_leads_inside_is_blocked(void **state)
{
	struct asked a;

	assert_int_equal(post_to(&w, &a, url_of(&inside, "hook.inside.example", "/")), ERR_BLOCKED);
	assert_string_equal(a.r.remote, "");
	assert_string_equal(a.detail, "the host has a loopback address");
	assert_int_equal(a.r.status, 0);
}

static void a_name_with_one_address_inside_is_blocked_as_a_whole(void **state)
{
	struct peer outside = {.serve = answer_ok};
	struct asked a;

	start_beside(&outside);
	assert_int_equal(post_to(&w, &a, url_of(&outside, "hook.mixed.example", "/")), ERR_BLOCKED);
	peer_stop(&outside);
	assert_int_equal(outside.connections, 0);
}

/* What is checked is what is connected to: one lookup a request, and the next one counts anew. */
static void a_name_that_turns_inside_after_the_check_is_reached_where_it_was_checked(void **state)
{
	struct peer outside = {.serve = answer_ok};
	struct asked a;

	start_beside(&outside);
	assert_int_equal(post_to(&w, &a, url_of(&outside, "hook.turning.example", "/")), 0);
	assert_string_equal(a.r.remote, "127.0.0.1");
	assert_int_equal(w.lookups, 1);
	assert_int_equal(post_to(&w, &a, url_of(&outside, "hook.turning.example", "/")), ERR_BLOCKED);
	assert_int_equal(w.lookups, 2);
	peer_stop(&outside);
	assert_int_equal(outside.requests, 1);
}

static void answer_all(struct wire *l)
{
	while (wire_read_request(l) && wire_say(l, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
		;
}

/* A second request to the name finds the connection of the first; it is judged by its own lookup all the same. */
static void a_connection_kept_open_serves_no_name_that_is_blocked_by_now(void **state)
{
	struct peer outside = {.serve = answer_all};
	struct asked a;

	start_beside(&outside);
	assert_int_equal(post_to(&w, &a, url_of(&outside, "a.turning.example", "/")), 0);
	assert_int_equal(post_to(&w, &a, url_of(&outside, "a.turning.example", "/")), ERR_BLOCKED);
	peer_stop(&outside);
	assert_int_equal(outside.requests, 1);
}

static void a_name_without_an_address_and_one_with_too_many_fail(void **state)
{
	struct asked a;

	assert_int_equal(post_to(&w, &a, "http://nowhere.test/"), ERR_UNRESOLVED);
	assert_string_equal(a.detail, "there is no such name");
	assert_int_equal(post_to(&w, &a, "http://hook.many.example/"), ERR_UNRESOLVED);
}

static void a_url_that_is_not_allowed_is_refused_at_once(void **state)
{
	static const char *const urls[] = {"ftp://hook.example/", "http://127.0.0.2/",      "http://10.0.0.1/",
					   "http://127.1/",       "http://u@hook.example/", "http://hook.example:22/"};

	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		const struct net_request r = {.method = STR("POST"), .url = str_of(urls[i])};

		assert_int_equal(net_send(w.client, &r, NULL, NULL), ERR_URL_NOT_ALLOWED);
	}
	assert_int_equal(net_client_busy(w.client), 0);
	assert_int_equal(w.lookups, 0);
}

/* ---- redirects ---- */

/* Redirects to `answer`, as it stands. */
static void redirect(struct wire *l)
{
	char head[512];

	if (!wire_read_request(l))
		return;
	snprintf(head, sizeof(head), "HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", l->peer->answer);
	wire_say(l, head);
}

static int follow(struct asked *a, const struct peer *p)
{
	return ask(&w, a,
		   (struct net_request){
			   .method = STR("GET"), .url = str_of(url_of(p, "hook.example", "/from")), .limits = {.redirects_max = 5}});
}

static void a_redirect_inside_is_blocked(void **state)
{
	static const struct {
		const char *to;
		int code;
	} cases[] = {
		{"http://127.0.0.2:%u/", ERR_URL_NOT_ALLOWED},
		{"http://127.2:%u/", ERR_URL_NOT_ALLOWED},
		{"http://2130706434:%u/", ERR_URL_NOT_ALLOWED},
		{"http://0x7f.0.0.2:%u/", ERR_URL_NOT_ALLOWED},
		{"http://[::ffff:127.0.0.2]:%u/", ERR_URL_NOT_ALLOWED},
		{"http://u:p@127.0.0.2:%u/", ERR_URL_NOT_ALLOWED},
		{"//127.0.0.2:%u/", ERR_URL_NOT_ALLOWED},
		{"http://hook.inside.example:%u/", ERR_BLOCKED},
		{"//hook.inside.example:%u/x", ERR_BLOCKED},
		{"http://hook.mixed.example:%u/", ERR_BLOCKED},
		{"http://169.254.169.254/latest/meta-data/", ERR_URL_NOT_ALLOWED},
		{"file:///etc/passwd", ERR_URL_NOT_ALLOWED},
		{"gopher://127.0.0.2:%u/_GET", ERR_URL_NOT_ALLOWED},
		{"http://hook.example:22/", ERR_URL_NOT_ALLOWED},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct peer p = {.serve = redirect};
		struct asked a;
		char to[128], *port;

		snprintf(to, sizeof(to), "%s", cases[i].to);
		port = strstr(to, "%u");
		if (port)
			snprintf(port, sizeof(to) - (size_t)(port - to), "%u%s", inside.port, strstr(cases[i].to, "%u") + 2);
		p.answer = to;
		assert_true(peer_start(&p));
		if (follow(&a, &p) != cases[i].code)
			fail_msg("%s: %d %s", to, a.r.code, a.detail);
		peer_stop(&p);
		assert_int_equal(p.requests, 1);
	}
}

static void a_redirect_to_an_allowed_place_is_followed_by_who_asks_for_it(void **state)
{
	struct peer last = {.serve = answer_ok}, p = {.serve = redirect};
	struct asked a;
	char to[64];

	assert_true(peer_start(&last));
	snprintf(to, sizeof(to), "http://other.example:%u/to?x", last.port);
	p.answer = to;
	assert_true(peer_start(&p));
	assert_int_equal(follow(&a, &p), 0);
	peer_stop(&p);
	peer_stop(&last);
	assert_int_equal(a.r.status, 200);
	assert_int_equal(a.r.redirects, 1);
	assert_int_equal(a.r.body_bytes, 2);
	assert_true(strncmp(last.request, "GET /to?x HTTP/1.1\r\nHost: other.example:", 40) == 0);
}

static void a_redirect_is_an_answer_to_who_does_not_follow(void **state)
{
	struct peer p = {.serve = redirect, .answer = "http://hook.inside.example/"};
	struct asked a;

	assert_true(peer_start(&p));
	assert_int_equal(post_to(&w, &a, url_of(&p, "hook.example", "/")), 0);
	assert_int_equal(a.r.status, 302);
	assert_int_equal(a.r.redirects, 0);
	peer_stop(&p);
	assert_int_equal(p.requests, 1);
	assert_int_equal(w.lookups, 1);
}

static void redirects_end_at_their_limit(void **state)
{
	struct peer p = {.serve = redirect, .answer = "/again"};
	struct asked a;

	assert_true(peer_start(&p));
	assert_int_equal(follow(&a, &p), ERR_TOO_MANY_REDIRECTS);
	peer_stop(&p);
	assert_int_equal(a.r.redirects, 5);
	assert_int_equal(a.r.status, 302);
	assert_int_equal(p.requests, 6);
	/* Each hop is looked up anew. */
	assert_int_equal(w.lookups, 6);
}

static void headers_go_along_within_an_origin_and_to_no_other(void **state)
{
	const struct net_header secret = {STR("Authorization"), STR("Bearer secret")};
	struct peer last = {.serve = answer_ok}, p = {.serve = redirect};
	const struct net_request r = {.method = STR("GET"), .headers = &secret, .headers_n = 1, .limits = {.redirects_max = 1}};
	struct net_request from = r;
	struct asked a;
	char to[64];

	assert_true(peer_start(&last) && peer_start(&p));
	snprintf(to, sizeof(to), "http://hook.example:%u/", last.port);
	p.answer = to;
	from.url = str_of(url_of(&p, "hook.example", "/"));
	assert_int_equal(ask(&w, &a, from), 0);
	peer_stop(&p);
	peer_stop(&last);
	assert_non_null(strstr(p.request, "Authorization: Bearer secret\r\n"));
	assert_null(strstr(last.request, "secret"));
	assert_non_null(strstr(last.request, "User-Agent: test/1\r\n"));

	p = (struct peer){.serve = redirect, .answer = "/again"};
	assert_true(peer_start(&p));
	from.url = str_of(url_of(&p, "hook.example", "/"));
	assert_int_equal(ask(&w, &a, from), ERR_TOO_MANY_REDIRECTS);
	peer_stop(&p);
	assert_true(strncmp(p.request, "GET /again ", 11) == 0);
	assert_non_null(strstr(p.request, "Authorization: Bearer secret\r\n"));
}

static void a_redirect_from_https_to_http_is_not_followed(void **state)
{
	struct peer last = {.serve = answer_ok}, p = {.serve = redirect, .tls = peer_tls(CERT_GOOD)};
	struct asked a;
	char to[64];

	assert_true(peer_start(&last));
	snprintf(to, sizeof(to), "http://hook.example:%u/", last.port);
	p.answer = to;
	assert_true(peer_start(&p));
	assert_int_equal(follow(&a, &p), ERR_URL_NOT_ALLOWED);
	peer_stop(&p);
	peer_stop(&last);
	assert_int_equal(p.requests, 1);
	assert_int_equal(last.connections, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_peer_inside_is_there_for_who_may_reach_it),
		cmocka_unit_test_setup_teardown(a_name_that_leads_inside_is_blocked, begin, end),
		cmocka_unit_test_setup_teardown(a_name_with_one_address_inside_is_blocked_as_a_whole, begin, end),
		cmocka_unit_test_setup_teardown(a_name_that_turns_inside_after_the_check_is_reached_where_it_was_checked, begin, end),
		cmocka_unit_test_setup_teardown(a_connection_kept_open_serves_no_name_that_is_blocked_by_now, begin, end),
		cmocka_unit_test_setup_teardown(a_name_without_an_address_and_one_with_too_many_fail, begin, end),
		cmocka_unit_test_setup_teardown(a_url_that_is_not_allowed_is_refused_at_once, begin, end),
		cmocka_unit_test_setup_teardown(a_redirect_inside_is_blocked, begin, end),
		cmocka_unit_test_setup_teardown(a_redirect_to_an_allowed_place_is_followed_by_who_asks_for_it, begin, end),
		cmocka_unit_test_setup_teardown(a_redirect_is_an_answer_to_who_does_not_follow, begin, end),
		cmocka_unit_test_setup_teardown(redirects_end_at_their_limit, begin, end),
		cmocka_unit_test_setup_teardown(headers_go_along_within_an_origin_and_to_no_other, begin, end),
		cmocka_unit_test_setup_teardown(a_redirect_from_https_to_http_is_not_followed, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
