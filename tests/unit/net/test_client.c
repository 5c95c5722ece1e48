/* What the client does with receivers that behave. */
#include "base/clock.h"
#include "base/compiler.h"
#include "world.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct world w;

static int begin(void **state)
{
	world_init(&w);
	world_start(&w);
	return 0;
}

static int end(void **state)
{
	world_end(&w);
	return 0;
}

/* Answers each request on the connection with the peer's `answer`. */
static void say_answer(struct wire *l)
{
	while (wire_read_request(l) && wire_say(l, l->peer->answer))
		;
}

/* One answer a connection, and closed without a word. */
static void say_answer_once(struct wire *l)
{
	if (wire_read_request(l))
		wire_say(l, l->peer->answer);
}

#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static void a_post_arrives_as_it_was_given_and_nothing_is_added_but_what_must(void **state)
{
	const struct net_header headers[] = {{STR("Content-Type"), STR("application/json")},
					     {STR("webhook-id"), STR("msg_1")},
					     {STR("X-Empty"), STR("")},
					     {STR("X-Blank"), STR("  a b\t ")}};
	struct peer p = {.serve = say_answer, .answer = "HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\n\r\nhello"};
	struct asked a;
	char expected[512];

	assert_true(peer_start(&p));
	assert_int_equal(ask(&w, &a,
			     (struct net_request){.method = STR("POST"),
						  .url = str_of(url_of(&p, "hook.example", "/a/../b?c=%2f")),
						  .headers = headers,
						  .headers_n = ARRAY_LEN(headers),
						  .body = STR("{\"a\":1}\n"),
						  .limits = {.body_keep = 100}}),
			 0);
	peer_stop(&p);
	assert_int_equal(a.r.status, 202);
	assert_string_equal(a.body, "hello");
	assert_int_equal(a.r.body_bytes, 5);
	assert_false(a.r.cut);
	assert_int_equal(a.r.retry_after_s, -1);
	assert_string_equal(a.r.remote, "127.0.0.1");
	assert_true(a.r.resolve_ms >= 0 && a.r.connect_ms >= 0 && a.r.answer_ms >= 0 && a.r.total_ms >= 0);
	snprintf(
		expected, sizeof(expected),
		"POST /a/../b?c=%%2f HTTP/1.1\r\nHost: hook.example:%u\r\nUser-Agent: test/1\r\nAccept: */*\r\nContent-Type: application/json\r\n"
		"webhook-id: msg_1\r\nX-Empty:\r\nX-Blank: a b\r\nContent-Length: 8\r\n\r\n{\"a\":1}\n",
		p.port);
	assert_string_equal(p.request, expected);
}

static void each_method_is_sent_as_itself(void **state)
{
	static const struct {
		const char *method, *body, *head, *length;
	} cases[] = {
		{"GET", "", "GET /x HTTP/1.1\r\n", NULL},
		{"HEAD", "", "HEAD /x HTTP/1.1\r\n", NULL},
		{"POST", "", "POST /x HTTP/1.1\r\n", "\r\nContent-Length: 0\r\n"},
		{"PUT", "abc", "PUT /x HTTP/1.1\r\n", "\r\nContent-Length: 3\r\n"},
		{"DELETE", "", "DELETE /x HTTP/1.1\r\n", NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct peer p = {.serve = say_answer, .answer = "HTTP/1.1 204 No Content\r\n\r\n"};
		struct asked a;

		assert_true(peer_start(&p));
		assert_int_equal(ask(&w, &a,
				     (struct net_request){.method = str_of(cases[i].method),
							  .url = str_of(url_of(&p, "hook.example", "/x")),
							  .body = str_of(cases[i].body)}),
				 0);
		peer_stop(&p);
		assert_int_equal(a.r.status, 204);
		assert_true(strncmp(p.request, cases[i].head, strlen(cases[i].head)) == 0);
		assert_null(strstr(p.request, "Content-Type"));
		assert_null(strstr(p.request, "Expect"));
		if (cases[i].length)
			assert_non_null(strstr(p.request, cases[i].length));
		else
			assert_null(strstr(p.request, "Content-Length"));
	}
}

static void a_large_body_is_sent_without_asking_first(void **state)
{
	const size_t n = (size_t)3 << 20;
	struct peer p = {.serve = say_answer, .answer = OK_ANSWER};
	char *body = malloc(n);
	struct asked a;

	assert_non_null(body);
	memset(body, 'x', n);
	assert_true(peer_start(&p));
	assert_int_equal(
		ask(&w, &a, (struct net_request){.method = STR("PUT"), .url = str_of(url_of(&p, "hook.example", "/")), .body = {body, n}}),
		0);
	peer_stop(&p);
	assert_null(strstr(p.request, "Expect"));
	assert_int_equal(p.request_len - (size_t)(strstr(p.request, "\r\n\r\n") + 4 - p.request), n);
	free(body);
}

static void what_the_receiver_asks_to_wait_is_told_in_seconds(void **state)
{
	static const struct {
		const char *field;
		int64_t from, to;
	} cases[] = {
		{"Retry-After: 120", 120, 120},
		{"retry-after:0", 0, 0},
		{"RETRY-AFTER: \t 7 \t", 7, 7},
		{"Retry-After: 1000000000", 1000000000, 1000000000},
		{"Retry-After: 9223372036854775808", INT64_MAX, INT64_MAX},
		{"Retry-After: 99999999999999999999999999999999999999", INT64_MAX, INT64_MAX},
		{"Retry-After: Wed, 21 Oct 2015 07:28:00 GMT", 0, 0},
		{"Retry-After: Fri, 31 Dec 9999 23:59:59 GMT", 251000000000, 253402300799},
		{"Retry-After: -5", -1, -1},
		{"Retry-After: 1.5", -1, -1},
		{"Retry-After: 1e9", -1, -1},
		{"Retry-After: soon", -1, -1},
		{"Retry-After:", -1, -1},
		{"X-Retry-After: 5", -1, -1},
		{"Retry-After-X: 5", -1, -1},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct peer p = {.serve = say_answer};
		struct asked a;
		char answer[256];

		snprintf(answer, sizeof(answer), "HTTP/1.1 503 Busy\r\nA: b\r\n%s\r\nContent-Length: 0\r\n\r\n", cases[i].field);
		p.answer = answer;
		assert_true(peer_start(&p));
		assert_int_equal(post_to(&w, &a, url_of(&p, "hook.example", "/")), 0);
		peer_stop(&p);
		assert_int_equal(a.r.status, 503);
		if (a.r.retry_after_s < cases[i].from || a.r.retry_after_s > cases[i].to)
			fail_msg("%s: %ld", cases[i].field, (long)a.r.retry_after_s);
	}
}

static void an_interim_answer_is_not_the_answer(void **state)
{
	struct peer p = {
		.serve = say_answer,
		.answer =
			"HTTP/1.1 103 Early Hints\r\nRetry-After: 9\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"};
	struct asked a;

	assert_true(peer_start(&p));
	assert_int_equal(post_to(&w, &a, url_of(&p, "hook.example", "/")), 0);
	peer_stop(&p);
	assert_int_equal(a.r.status, 201);
	assert_int_equal(a.r.retry_after_s, -1);
}

static void of_a_body_the_first_bytes_are_kept_and_the_rest_is_read(void **state)
{
	struct peer p = {.serve = say_answer,
			 .answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n5\r\nfghij\r\n0\r\n\r\n"};
	static const struct {
		size_t keep;
		const char *kept;
	} cases[] = {{0, ""}, {1, "a"}, {5, "abcde"}, {7, "abcdefg"}, {10, "abcdefghij"}, {11, "abcdefghij"}};

	assert_true(peer_start(&p));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct asked a;

		assert_int_equal(ask(&w, &a,
				     (struct net_request){.method = STR("GET"),
							  .url = str_of(url_of(&p, "hook.example", "/")),
							  .limits = {.body_keep = cases[i].keep}}),
				 0);
		assert_string_equal(a.body, cases[i].kept);
		assert_int_equal(a.r.body_bytes, 10);
		assert_false(a.r.cut);
	}
	peer_stop(&p);
	assert_int_equal(p.connections, 1);
}

static void a_connection_is_used_again_unless_the_receiver_closed_it(void **state)
{
	struct peer keeps = {.serve = say_answer, .answer = OK_ANSWER}, closes = {.serve = say_answer_once, .answer = OK_ANSWER};
	struct asked a;

	assert_true(peer_start(&keeps) && peer_start(&closes));
	for (int i = 0; i < 3; i++) {
		assert_int_equal(post_to(&w, &a, url_of(&keeps, "hook.example", "/")), 0);
		assert_int_equal(post_to(&w, &a, url_of(&closes, "hook.example", "/")), 0);
	}
	peer_stop(&keeps);
	peer_stop(&closes);
	assert_int_equal(keeps.requests, 3);
	assert_int_equal(keeps.connections, 1);
	assert_int_equal(closes.requests, 3);
	assert_int_equal(closes.connections, 3);
}

static void the_second_address_is_taken_when_nothing_listens_on_the_first(void **state)
{
	struct peer p = {.serve = say_answer, .answer = OK_ANSWER};
	struct asked a;

	assert_true(peer_start(&p));
	assert_int_equal(post_to(&w, &a, url_of(&p, "hook.two.example", "/")), 0);
	peer_stop(&p);
	assert_int_equal(a.r.status, 200);
	assert_string_equal(a.r.remote, "127.0.0.1");
}

static void receivers_are_reached_over_ipv6_by_name_and_by_address(void **state)
{
	struct peer p = {.serve = say_answer_once, .answer = OK_ANSWER, .address = "::1"};
	struct world six;
	struct asked a;

	world_init(&six);
	if (!peer_start(&p)) {
		world_end(&six);
		print_message("skipped: this machine has no ::1\n");
		skip();
	}
	assert_int_equal(ip_range_parse(&six.o.policy.allow[0], STR("::1"), NULL), 0);
	world_start(&six);
	assert_int_equal(post_to(&six, &a, url_of(&p, "hook.six.example", "/")), 0);
	assert_string_equal(a.r.remote, "::1");
	assert_int_equal(post_to(&six, &a, url_of(&p, "[::1]", "/")), 0);
	peer_stop(&p);
	assert_non_null(strstr(p.request, "\r\nHost: [::1]:"));
	world_end(&six);
}

/* ---- descriptors ---- */

/* How many sockets are connected to this port, and how many of them would survive an exec. */
static void count_connections(unsigned port, unsigned *ret_n, unsigned *ret_leaking)
{
	*ret_n = *ret_leaking = 0;
	for (int fd = 0; fd < 256; fd++) {
		struct sockaddr_in addr;
		socklen_t n = sizeof(addr);

		if (getpeername(fd, (struct sockaddr *)&addr, &n) != 0 || addr.sin_family != AF_INET || ntohs(addr.sin_port) != port)
			continue;
		(*ret_n)++;
		*ret_leaking += (fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0;
	}
}

static void programs_that_are_started_inherit_no_connection(void **state)
{
	struct peer p = {.serve = say_answer, .answer = OK_ANSWER};
	unsigned n, leaking;
	struct asked a;

	assert_true(peer_start(&p));
	assert_int_equal(post_to(&w, &a, url_of(&p, "hook.example", "/")), 0);
	/* It is kept for the next request. */
	count_connections(p.port, &n, &leaking);
	assert_int_equal(n, 1);
	assert_int_equal(leaking, 0);
	peer_stop(&p);
}

/* ---- TLS ---- */

static void a_receiver_with_a_good_certificate_is_reached_by_name_and_by_address(void **state)
{
	struct peer p = {.serve = say_answer_once, .answer = OK_ANSWER, .tls = peer_tls(CERT_GOOD)};
	struct asked a;

	assert_true(peer_start(&p));
	assert_int_equal(post_to(&w, &a, url_of(&p, "hook.example", "/")), 0);
	assert_int_equal(a.r.status, 200);
	assert_string_equal(a.body, "ok");
	assert_int_equal(post_to(&w, &a, url_of(&p, "127.0.0.1", "/")), 0);
	peer_stop(&p);
}

static void a_receiver_whose_certificate_is_not_good_gets_no_request(void **state)
{
	static const struct {
		enum peer_cert kind;
		const char *told;
	} cases[] = {
		{CERT_EXPIRED, "expired"},  {CERT_NOT_YET, "not yet valid"}, {CERT_WRONG_NAME, "another host"},
		{CERT_SELF_SIGNED, "self"}, {CERT_OTHER_CA, "certificate"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct peer p = {.serve = say_answer_once, .answer = OK_ANSWER, .tls = peer_tls(cases[i].kind)};
		struct asked a;

		assert_true(peer_start(&p));
		assert_int_equal(post_to(&w, &a, url_of(&p, "hook.example", "/")), ERR_TLS_FAILED);
		peer_stop(&p);
		if (!strstr(a.detail, cases[i].told))
			fail_msg("\"%s\" says nothing of \"%s\"", a.detail, cases[i].told);
		assert_int_equal(p.requests, 0);
		assert_int_equal(a.r.status, 0);
	}
}

static void say_plain(struct wire *l)
{
	wire_say(l, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	wire_wait_for_close(l);
}

static void a_receiver_that_speaks_no_tls_fails_https(void **state)
{
	struct peer p = {.serve = say_plain};
	struct asked a;
	char url[64];

	assert_true(peer_start(&p));
	snprintf(url, sizeof(url), "https://hook.example:%u/", p.port);
	assert_int_equal(post_to(&w, &a, url), ERR_TLS_FAILED);
	peer_stop(&p);
}

/* ---- the environment ---- */

static void proxies_netrc_and_cookies_are_of_no_effect(void **state)
{
	struct peer p = {.serve = say_answer, .answer = "HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n"};
	struct peer proxy = {.serve = say_answer, .answer = OK_ANSWER};
	char home[] = "/tmp/filemill-test-home-XXXXXX", netrc[64], address[64];
	struct world fresh;
	struct asked a;
	FILE *f;

	world_init(&fresh);
	assert_true(peer_start(&p) && peer_start(&proxy));
	assert_non_null(mkdtemp(home));
	snprintf(netrc, sizeof(netrc), "%s/.netrc", home);
	f = fopen(netrc, "we");
	assert_non_null(f);
	fputs("machine hook.example login me password secret\n", f);
	fclose(f);
	snprintf(address, sizeof(address), "http://127.0.0.1:%u", proxy.port);
	setenv("HOME", home, 1);
	setenv("http_proxy", address, 1);
	setenv("https_proxy", address, 1);
	setenv("all_proxy", address, 1);
	world_start(&fresh);
	for (int i = 0; i < 2; i++)
		assert_int_equal(post_to(&fresh, &a, url_of(&p, "hook.example", "/")), 0);
	unsetenv("http_proxy");
	unsetenv("https_proxy");
	unsetenv("all_proxy");
	peer_stop(&p);
	peer_stop(&proxy);
	world_end(&fresh);
	assert_int_equal(proxy.connections, 0);
	assert_int_equal(p.requests, 2);
	assert_null(strstr(p.request, "Cookie"));
	assert_null(strstr(p.request, "Authorization"));
	unlink(netrc);
	rmdir(home);
}

static void without_a_file_of_certificates_the_client_does_not_start(void **state)
{
	const struct net_client_options missing = {.ca_file = "/nonexistent/ca.pem"}, empty = {.ca_file = "/dev/null"};
	struct net_client *c = NULL;

	assert_int_equal(net_client_new(&c, &missing, NULL), ERR_BAD_CONFIG);
	assert_int_equal(net_client_new(&c, &empty, NULL), ERR_BAD_CONFIG);
	assert_null(c);
	net_client_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_post_arrives_as_it_was_given_and_nothing_is_added_but_what_must, begin, end),
		cmocka_unit_test_setup_teardown(each_method_is_sent_as_itself, begin, end),
		cmocka_unit_test_setup_teardown(a_large_body_is_sent_without_asking_first, begin, end),
		cmocka_unit_test_setup_teardown(what_the_receiver_asks_to_wait_is_told_in_seconds, begin, end),
		cmocka_unit_test_setup_teardown(an_interim_answer_is_not_the_answer, begin, end),
		cmocka_unit_test_setup_teardown(of_a_body_the_first_bytes_are_kept_and_the_rest_is_read, begin, end),
		cmocka_unit_test_setup_teardown(a_connection_is_used_again_unless_the_receiver_closed_it, begin, end),
		cmocka_unit_test_setup_teardown(the_second_address_is_taken_when_nothing_listens_on_the_first, begin, end),
		cmocka_unit_test(receivers_are_reached_over_ipv6_by_name_and_by_address),
		cmocka_unit_test_setup_teardown(programs_that_are_started_inherit_no_connection, begin, end),
		cmocka_unit_test_setup_teardown(a_receiver_with_a_good_certificate_is_reached_by_name_and_by_address, begin, end),
		cmocka_unit_test_setup_teardown(a_receiver_whose_certificate_is_not_good_gets_no_request, begin, end),
		cmocka_unit_test_setup_teardown(a_receiver_that_speaks_no_tls_fails_https, begin, end),
		cmocka_unit_test(proxies_netrc_and_cookies_are_of_no_effect),
		cmocka_unit_test(without_a_file_of_certificates_the_client_does_not_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
