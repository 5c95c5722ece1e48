/* Who asks, whom he asks, and whose scripts may read the answer: the server with settings of its own. */
#include "world.h"

#include "http/fields.h"
#include "http/http_impl.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- what proxies name ---- */

static void check_hops(bool rfc7239, const char *header, const char *wanted)
{
	struct forwarded f = {};
	char all[512] = "";

	if (!(rfc7239 ? forwarded_parse(&f, str_of(header)) : x_forwarded_for_parse(&f, str_of(header))))
		strcpy(all, "malformed");
	for (unsigned i = 0; strcmp(all, "malformed") != 0 && i < f.n; i++) {
		char one[INET6_ADDRSTRLEN];
		ip_format(one, &f.hops[i]);
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i > 0 ? " " : "", one);
	}
	if (strcmp(all, wanted) != 0)
		fail_msg("%s: \"%s\" instead of \"%s\"", header, all, wanted);
}

static void x_forwarded_for_is_read_from_the_end(void **state)
{
	static const char *const cases[][2] = {
		{"192.0.2.1", "192.0.2.1"},
		{"192.0.2.1, 192.0.2.2", "192.0.2.2 192.0.2.1"},
		{" 192.0.2.1 ,,2001:db8::1", "2001:db8::1 192.0.2.1"},
		{"192.0.2.1:4711", "192.0.2.1"},
		{"[2001:db8::1]:4711", "2001:db8::1"},
		{"[2001:db8::1]", "2001:db8::1"},
		{"::ffff:192.0.2.1", "192.0.2.1"},
		{"unknown, 192.0.2.1", "192.0.2.1 ::"},
		{"_hidden", "::"},
		{"", ""},
		{"nonsense", "malformed"},
		{"192.0.2.1, x", "malformed"},
		{"192.0.2", "malformed"},
		{"192.0.2.1:", "malformed"},
		{"192.0.2.1:65536", "malformed"},
		{"[192.0.2.1]", "malformed"},
		{"[2001:db8::1", "malformed"},
		{"[2001:db8::1]x", "malformed"},
		{"2001:db8::1%eth0", "malformed"},
		{"\"192.0.2.1\"", "malformed"},
		{"192.0.2.1 192.0.2.2", "malformed"},
		{"_", "malformed"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		check_hops(false, cases[i][0], cases[i][1]);
}

static void forwarded_is_read_from_the_end(void **state)
{
	static const char *const cases[][2] = {
		{"for=192.0.2.1", "192.0.2.1"},
		{"For=\"[2001:db8::1]:4711\"", "2001:db8::1"},
		{"for=192.0.2.1;proto=http;by=203.0.113.43", "192.0.2.1"},
		{"proto=https;for=192.0.2.1 , for=192.0.2.2", "192.0.2.2 192.0.2.1"},
		{"for=192.0.2.1, by=203.0.113.43", ":: 192.0.2.1"},
		{"for=unknown", "::"},
		{"for=\"_gazonk\"", "::"},
		{"for=\"192.0.2.1:_port\"", "192.0.2.1"},
		{"host=\"a,b;c\";for=192.0.2.1", "192.0.2.1"},
		{",, for=192.0.2.1,", "192.0.2.1"},
		{"for=192.0.2.1;", "192.0.2.1"},
		{"for=192.0.2.1; proto=https ; by=203.0.113.43", "192.0.2.1"},
		{" ; , for=192.0.2.1", "192.0.2.1"},
		{"", ""},
		{"for", "malformed"},
		{"for=", "malformed"},
		{"192.0.2.1", "malformed"},
		{"for=\"192.0.2.1", "malformed"},
		{"for=192.0.2.1;for=192.0.2.2", "malformed"},
		{"for=[2001:db8::1]", "malformed"},
		{"for=192.0.2.1 for=192.0.2.2", "malformed"},
		{"for=\"192.0.2.\\1\"", "malformed"},
		{"for=\"x, for=192.0.2.1", "malformed"},
		{"=192.0.2.1", "malformed"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		check_hops(true, cases[i][0], cases[i][1]);
}

static void of_very_many_hops_the_last_are_known(void **state)
{
	char header[2048] = "";
	struct forwarded f;

	for (unsigned i = 0; i < FORWARDED_MAX + 10; i++)
		sprintf(header + strlen(header), "%s10.0.0.%u", i > 0 ? "," : "", i);
	assert_true(x_forwarded_for_parse(&f, str_of(header)));
	assert_int_equal(f.n, FORWARDED_MAX);
	assert_int_equal(f.hops[0].s6_addr[15], FORWARDED_MAX + 9);
	assert_int_equal(f.hops[FORWARDED_MAX - 1].s6_addr[15], 10);
}

/* ---- at the server ---- */

static struct world world;
static char seen_peer[INET6_ADDRSTRLEN];
static bool seen_unknown, refuse;

static int arrive(struct http_request *r, struct err *e)
{
	struct in6_addr a = http_client(r);

	snprintf(seen_peer, sizeof(seen_peer), "%.*s", STR_FMT(http_peer(r)));
	seen_unknown = IN6_IS_ADDR_UNSPECIFIED(&a);
	return refuse ? err_set(e, ERR_RATE_LIMITED, "refused") : 0;
}

static int stop(void **state)
{
	world_stop(&world);
	refuse = false;
	return 0;
}

static void check_peer(const char *fields, const char *peer)
{
	char request[1024];

	snprintf(request, sizeof(request), "GET /hello HTTP/1.1\r\nHost: a\r\n%sConnection: close\r\n\r\n", fields);
	struct answer a = exchange_str(&world, request);
	assert_int_equal(a.status, 200);
	assert_string_equal(seen_peer, peer);
	answer_free(&a);
}

static struct http_config behind(const char *range, enum http_forwarded field)
{
	static struct ip_range trusted[2];
	struct http_config config = world_config();

	assert_int_equal(ip_range_parse(&trusted[0], str_of(range), NULL), 0);
	assert_int_equal(ip_range_parse(&trusted[1], STR("10.1.0.0/16"), NULL), 0);
	config.proxies = trusted;
	config.n_proxies = 2;
	config.forwarded = field;
	config.arrive = arrive;
	return config;
}

static void nobody_is_believed_who_is_not_trusted(void **state)
{
	world_start(&world, behind("192.0.2.0/24", HTTP_X_FORWARDED_FOR));
	check_peer("X-Forwarded-For: 203.0.113.9\r\nForwarded: for=203.0.113.9\r\nX-Real-IP: 203.0.113.9\r\n", "127.0.0.1");
	check_peer("X-Forwarded-For: nonsense\r\n", "127.0.0.1");
}

static void each_trusted_hop_is_believed_and_none_behind_the_first_other(void **state)
{
	world_start(&world, behind("127.0.0.1", HTTP_X_FORWARDED_FOR));
	check_peer("X-Forwarded-For: 203.0.113.9\r\n", "203.0.113.9");
	check_peer("X-Forwarded-For: 198.51.100.1, 203.0.113.9, 10.1.2.3\r\n", "203.0.113.9");
	check_peer("X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 203.0.113.9\r\n", "203.0.113.9");
	check_peer("X-Forwarded-For: 10.1.2.3\r\n", "10.1.2.3");
	check_peer("", "127.0.0.1");
	check_peer("Forwarded: for=198.51.100.1\r\n", "127.0.0.1");
	check_peer("X-Forwarded-For: 203.0.113.9\r\nForwarded: for=198.51.100.1\r\n", "203.0.113.9");
}

static void only_the_chosen_field_counts(void **state)
{
	world_start(&world, behind("127.0.0.1", HTTP_FORWARDED));
	check_peer("Forwarded: for=203.0.113.9\r\nX-Forwarded-For: 198.51.100.1\r\n", "203.0.113.9");
	check_peer("X-Forwarded-For: 198.51.100.1\r\n", "127.0.0.1");
}

static void the_log_is_told_again_after_an_hour(void **state)
{
	const int64_t hour = 60 * 60 * 1000;
	_Atomic int64_t next = 0;

	assert_true(client_tell_again(&next, 5000));
	assert_false(client_tell_again(&next, 5000));
	assert_false(client_tell_again(&next, 5000 + hour - 1));
	assert_true(client_tell_again(&next, 5000 + hour));
	assert_false(client_tell_again(&next, 5000 + hour + 1));
	assert_true(client_tell_again(&next, 5000 + 9 * hour)); /* nothing came for long */
	assert_false(client_tell_again(&next, 5000 + 10 * hour - 1));
}

static void whom_a_trusted_proxy_does_not_name_is_unknown_and_not_the_proxy(void **state)
{
	world_start(&world, behind("127.0.0.1", HTTP_X_FORWARDED_FOR));
	check_peer("X-Forwarded-For: unknown\r\n", "unknown");
	assert_true(seen_unknown);
	check(&world, "GET /hello HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: nonsense\r\nConnection: close\r\n\r\n", 400, NULL);
}

static void a_trusted_proxy_may_have_more_connections_than_one_client(void **state)
{
	struct http_config config = behind("127.0.0.1", HTTP_X_FORWARDED_FOR);
	int fds[8];

	config.connections_per_address = 2;
	world_start(&world, config);
	for (unsigned i = 0; i < 8; i++) {
		fds[i] = client_connect(&world);
		check_open(fds[i], GET("/hello"), 200, NULL);
	}
	for (unsigned i = 0; i < 8; i++)
		close(fds[i]);
}

static void who_is_not_let_in_reaches_no_route(void **state)
{
	struct http_config config = world_config();

	config.arrive = arrive;
	refuse = true;
	world_start(&world, config);
	check(&world, GET_CLOSE("/hello"), 429, NULL);
	check(&world, GET_CLOSE("/there-is-no-such-thing"), 429, NULL);
	assert_int_equal(world.handed, 0);
}

static void another_host_is_misdirected(void **state)
{
	static const char *const hosts[] = {"files.example.org", "[::1]"};
	struct http_config config = world_config();

	config.hosts = hosts;
	config.n_hosts = 2;
	world_start(&world, config);
	check(&world, "GET /hello HTTP/1.1\r\nHost: files.example.org\r\nConnection: close\r\n\r\n", 200, NULL);
	check(&world, "GET /hello HTTP/1.1\r\nHost: FILES.Example.Org:8080\r\nConnection: close\r\n\r\n", 200, NULL);
	check(&world, "GET /hello HTTP/1.1\r\nHost: [::1]:8080\r\nConnection: close\r\n\r\n", 200, NULL);
	check(&world, "GET http://files.example.org/hello HTTP/1.1\r\nHost: files.example.org\r\nConnection: close\r\n\r\n", 200, NULL);
	check(&world, "GET /hello HTTP/1.1\r\nHost: example.org\r\n\r\n", 421, NULL);
	check(&world, "GET /hello HTTP/1.1\r\nHost: files.example.org.\r\n\r\n", 421, NULL);
	check(&world, "GET /hello HTTP/1.1\r\nHost: x.files.example.org\r\n\r\n", 421, NULL);
	check(&world, "GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 421, NULL);
	check(&world, "GET /hello HTTP/1.0\r\n\r\n", 421, NULL);
	check(&world, "GET /hello HTTP/1.1\r\nHost: files.example.org@evil.example\r\n\r\n", 400, NULL);
}

/* ---- scripts of other origins ---- */

static struct http_config crossed(const char *const *origins, size_t n)
{
	struct http_config config = world_config();

	config.cors_origins = origins;
	config.n_cors_origins = n;
	config.cors_max_age_s = 600;
	return config;
}

static struct answer ask(const char *method, const char *path, const char *fields)
{
	char request[1024];

	snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\nHost: a\r\n%sConnection: close\r\n\r\n", method, path, fields);
	return exchange_str(&world, request);
}

static void check_header(const struct answer *a, const char *name, const char *wanted)
{
	const char *is = answer_header(a, name);

	if (wanted == NULL ? is != NULL : is == NULL || strcmp(is, wanted) != 0)
		fail_msg("%s: %s instead of %s", name, is != NULL ? is : "nothing", wanted != NULL ? wanted : "nothing");
}

static const char *const app[] = {"https://app.example.org", "http://localhost:3000"};

static void an_allowed_origin_may_read_whatever_the_answer(void **state)
{
	static const char *const paths[] = {"/hello", "/nothing-there", "/broken"};

	world_start(&world, crossed(app, 2));
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		struct answer a = ask("GET", paths[i], "Origin: http://localhost:3000\r\n");
		check_header(&a, "Access-Control-Allow-Origin", "http://localhost:3000");
		check_header(&a, "Vary", "Origin");
		assert_non_null(strstr(answer_header(&a, "Access-Control-Expose-Headers"), "RateLimit-Policy"));
		check_header(&a, "Access-Control-Allow-Credentials", NULL);
		answer_free(&a);
	}
}

static void no_other_origin_may(void **state)
{
	static const char *const others[] = {
		"Origin: https://evil.example\r\n",
		"Origin: null\r\n",
		"Origin: http://app.example.org\r\n",
		"Origin: https://app.example.org.evil.example\r\n",
		"Origin: https://app.example.org:8443\r\n",
		"Origin: https://APP.example.org\r\n",
		"Origin: https://app.example.org\r\nOrigin: https://app.example.org\r\n",
		"",
	};

	world_start(&world, crossed(app, 2));
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		struct answer a = ask("GET", "/hello", others[i]);
		assert_int_equal(a.status, 200);
		check_header(&a, "Access-Control-Allow-Origin", NULL);
		check_header(&a, "Vary", "Origin");
		answer_free(&a);
	}
}

static void a_preflight_says_what_the_address_takes(void **state)
{
	world_start(&world, crossed(app, 2));
	struct answer a = ask("OPTIONS", "/items/x", "Origin: https://app.example.org\r\nAccess-Control-Request-Method: DELETE\r\n");
	assert_int_equal(a.status, 204);
	check_header(&a, "Access-Control-Allow-Origin", "https://app.example.org");
	check_header(&a, "Access-Control-Allow-Methods", "GET, HEAD, DELETE, OPTIONS");
	check_header(&a, "Access-Control-Max-Age", "600");
	assert_non_null(strstr(answer_header(&a, "Access-Control-Allow-Headers"), "Authorization"));
	answer_free(&a);

	a = ask("OPTIONS", "/items/x", "Origin: https://evil.example\r\nAccess-Control-Request-Method: DELETE\r\n");
	assert_int_equal(a.status, 204);
	check_header(&a, "Access-Control-Allow-Methods", NULL);
	check_header(&a, "Allow", "GET, HEAD, DELETE, OPTIONS");
	answer_free(&a);

	a = ask("OPTIONS", "/items/x", "Origin: https://app.example.org\r\n");
	check_header(&a, "Access-Control-Allow-Methods", NULL);
	answer_free(&a);
}

static void a_star_is_for_all(void **state)
{
	static const char *const all[] = {"*"};

	world_start(&world, crossed(all, 1));
	struct answer a = ask("GET", "/hello", "Origin: null\r\n");
	check_header(&a, "Access-Control-Allow-Origin", "*");
	check_header(&a, "Vary", NULL);
	answer_free(&a);
}

static void without_a_list_nothing_is_said(void **state)
{
	world_start(&world, world_config());
	struct answer a = ask("OPTIONS", "/items/x", "Origin: https://app.example.org\r\nAccess-Control-Request-Method: DELETE\r\n");
	assert_int_equal(a.status, 204);
	check_header(&a, "Access-Control-Allow-Origin", NULL);
	check_header(&a, "Vary", NULL);
	answer_free(&a);
}

/* ---- what every answer says ---- */

static void check_safe(const struct answer *a)
{
	check_header(a, "X-Content-Type-Options", "nosniff");
	check_header(a, "Referrer-Policy", "no-referrer");
	check_header(a, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
	check_header(a, "X-Frame-Options", "DENY");
	check_header(a, "Cross-Origin-Resource-Policy", "same-origin");
	check_header(a, "Cross-Origin-Opener-Policy", "same-origin");
}

static void every_answer_says_how_it_is_to_be_taken(void **state)
{
	static const struct {
		const char *request;
		int status;
	} cases[] = {
		{GET_CLOSE("/hello"), 200},
		{GET_CLOSE("/nothing"), 204},
		{GET_CLOSE("/not-there"), 404},
		{"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 204},
		{"DELETE /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 405},
		{"GET /hello HTTP/1.1\r\n\r\n", 400},
		{"GET /hello HTTP/1.1\r\nHost: a\n\r\n\r\n", 400},
		{"POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n", 413},
	};
	struct http_config config = world_config();

	config.hsts_s = 31536000;
	world_start(&world, config);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct answer a = exchange_str(&world, cases[i].request);
		assert_int_equal(a.status, cases[i].status);
		check_safe(&a);
		check_header(&a, "Strict-Transport-Security", "max-age=31536000");
		answer_free(&a);
	}
}

/* That one is answered before there is a request. */
static void so_does_one_to_a_connection_too_many(void **state)
{
	struct http_config config = world_config();

	config.connections_per_address = 1;
	world_start(&world, config);
	int first = client_connect(&world), second;
	check_open(first, GET("/hello"), 200, NULL);
	second = client_connect(&world);
	struct answer a = client_read(second, true);
	assert_int_equal(a.status, 429);
	check_safe(&a);
	answer_free(&a);
	close(second);
	close(first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(x_forwarded_for_is_read_from_the_end),
		cmocka_unit_test(forwarded_is_read_from_the_end),
		cmocka_unit_test(of_very_many_hops_the_last_are_known),
		cmocka_unit_test(the_log_is_told_again_after_an_hour),
		cmocka_unit_test_teardown(nobody_is_believed_who_is_not_trusted, stop),
		cmocka_unit_test_teardown(each_trusted_hop_is_believed_and_none_behind_the_first_other, stop),
		cmocka_unit_test_teardown(only_the_chosen_field_counts, stop),
		cmocka_unit_test_teardown(whom_a_trusted_proxy_does_not_name_is_unknown_and_not_the_proxy, stop),
		cmocka_unit_test_teardown(a_trusted_proxy_may_have_more_connections_than_one_client, stop),
		cmocka_unit_test_teardown(who_is_not_let_in_reaches_no_route, stop),
		cmocka_unit_test_teardown(another_host_is_misdirected, stop),
		cmocka_unit_test_teardown(an_allowed_origin_may_read_whatever_the_answer, stop),
		cmocka_unit_test_teardown(no_other_origin_may, stop),
		cmocka_unit_test_teardown(a_preflight_says_what_the_address_takes, stop),
		cmocka_unit_test_teardown(a_star_is_for_all, stop),
		cmocka_unit_test_teardown(without_a_list_nothing_is_said, stop),
		cmocka_unit_test_teardown(every_answer_says_how_it_is_to_be_taken, stop),
		cmocka_unit_test_teardown(so_does_one_to_a_connection_too_many, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
