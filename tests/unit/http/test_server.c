/* The life of requests over real sockets: every way and moment to answer, bodies, keep-alive, slow clients, limits, stopping. */
#include "world.h"

#include "rt/metrics.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static struct world world;

static int setup(void **state)
{
	world_start(&world, world_config());
	return 0;
}

static int teardown(void **state)
{
	world_stop(&world);
	return 0;
}

/* For tests that start the server with other settings. */
static void start_with(struct http_config config)
{
	world_start(&world, config);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET_CLOSE(path) "GET " path " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Until the condition holds, at most 5 s. */
#define EVENTUALLY(condition)                                                                                                              \
	do {                                                                                                                               \
		int64_t until_ = now_ms() + 5000;                                                                                          \
		while (!(condition) && now_ms() < until_)                                                                                  \
			nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);                                                           \
		assert_true(condition);                                                                                                    \
	} while (0)

static void check(const char *request, int status, const char *body)
{
	struct answer a = exchange_str(&world, request);

	if (a.status != status)
		fail_msg("%.40s…: %d instead of %d", request, a.status, status);
	if (body)
		assert_string_equal(a.body, body);
	assert_int_equal(a.rest_len, 0);
	answer_free(&a);
}

static void check_open(int fd, const char *request, int status, const char *body)
{
	struct answer a;

	client_send_str(fd, request);
	a = client_read(fd, false);
	assert_int_equal(a.status, status);
	if (body)
		assert_string_equal(a.body, body);
	assert_int_equal(a.rest_len, 0);
	answer_free(&a);
}

static void an_answer_carries_the_headers_that_all_carry(void **state)
{
	struct answer a = exchange_str(&world, GET_CLOSE("/hello"));

	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "hello");
	assert_string_equal(answer_header(&a, "X-Content-Type-Options"), "nosniff");
	assert_string_equal(answer_header(&a, "Referrer-Policy"), "no-referrer");
	assert_string_equal(answer_header(&a, "Content-Type"), "text/plain");
	assert_string_equal(answer_header(&a, "Content-Length"), "5");
	assert_int_equal(strlen(answer_header(&a, "X-Request-Id")), 16);
	assert_non_null(answer_header(&a, "Date"));
	assert_null(answer_header(&a, "Server"));
	answer_free(&a);
}

static void one_connection_serves_many_requests(void **state)
{
	int fd = client_connect(&world);

	for (int i = 0; i < 100; i++) {
		check_open(fd, GET("/hello"), 200, "hello");
		check_open(fd, GET("/later"), 200, "hello");
		check_open(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 200, "abc");
		check_open(fd, "POST /echo-later HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 200, "");
	}
	close(fd);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
	int fd = client_connect(&world);
	struct answer a;

	client_send_str(fd, GET("/later") GET("/items/1") "POST /echo-later HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nxyz" GET_CLOSE(
				    "/items/2"));
	a = client_read(fd, true);
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "hello");
	assert_true(strstr(a.rest, "id=1") < strstr(a.rest, "xyz"));
	assert_true(strstr(a.rest, "xyz") < strstr(a.rest, "id=2"));
	answer_free(&a);
	close(fd);
}

static void routes_prefer_static_segments_and_go_back_when_they_lead_nowhere(void **state)
{
	check(GET_CLOSE("/"), 200, "hello");
	check(GET_CLOSE("/items/special"), 200, "special");
	check(GET_CLOSE("/items/other"), 200, "id=other");
	check(GET_CLOSE("/items/special/parts"), 200, "id=special");
	check(GET_CLOSE("/items/a%20b/parts"), 200, "id=a b");
	check("DELETE /items/special HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200, "id=special");
	check(GET_CLOSE("/items/"), 404, NULL);
	check(GET_CLOSE("/items"), 404, NULL);
	check(GET_CLOSE("/slash"), 200, "hello");
	check(GET_CLOSE("/slash/"), 200, "hello");
	check(GET_CLOSE("/hello/"), 404, NULL);
	check(GET_CLOSE("/query?a=x+y%2B"), 200, "a=x y+ b=absent");
}

static void a_wrong_method_is_told_the_right_ones(void **state)
{
	struct answer a = exchange_str(&world, "PUT /items/special HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");

	assert_int_equal(a.status, 405);
	assert_string_equal(answer_header(&a, "Allow"), "GET, HEAD, DELETE, OPTIONS");
	assert_non_null(strstr(a.body, "method_not_allowed"));
	answer_free(&a);
	a = exchange_str(&world, "TRACE /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	assert_int_equal(a.status, 405);
	answer_free(&a);
	a = exchange_str(&world, "OPTIONS /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	assert_int_equal(a.status, 204);
	assert_string_equal(answer_header(&a, "Allow"), "POST, OPTIONS");
	answer_free(&a);
	a = exchange_str(&world, "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	assert_int_equal(a.status, 204);
	answer_free(&a);
	check("OPTIONS /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 404, NULL);
}

static void head_has_the_headers_of_get_and_no_body(void **state)
{
	int fd = client_connect(&world);
	struct answer a;

	client_send_str(fd, "HEAD /file HTTP/1.1\r\nHost: a\r\n\r\n");
	a = client_read_head(fd);
	assert_int_equal(a.status, 200);
	assert_string_equal(answer_header(&a, "Content-Length"), "1048576");
	assert_int_equal(a.rest_len, 0);
	answer_free(&a);
	client_send_str(fd, "HEAD /nowhere HTTP/1.1\r\nHost: a\r\n\r\n");
	a = client_read_head(fd);
	assert_int_equal(a.status, 404);
	assert_int_equal(a.rest_len, 0);
	answer_free(&a);
	check_open(fd, GET("/hello"), 200, "hello");
	close(fd);
}

static void files_are_sent_whole_and_in_part(void **state)
{
	int fd = client_connect(&world);
	struct answer a;

	client_send_str(fd, GET("/file"));
	a = client_read(fd, false);
	assert_int_equal(a.status, 200);
	assert_int_equal(a.body_len, 1 << 20);
	for (size_t i = 0; i < a.body_len; i++)
		if (a.body[i] != (char)('a' + i % 26))
			fail_msg("byte %zu is wrong", i);
	answer_free(&a);
	client_send_str(fd, "GET /file HTTP/1.1\r\nHost: a\r\nRange: bytes=26-51\r\n\r\n");
	a = client_read(fd, false);
	assert_int_equal(a.status, 206);
	assert_string_equal(a.body, "abcdefghijklmnopqrstuvwxyz");
	answer_free(&a);
	check_open(fd, GET("/empty-file"), 200, "");
	check_open(fd, GET("/nothing"), 204, NULL);
	close(fd);
}

static void a_problem_tells_all_that_is_known(void **state)
{
	struct answer a = exchange_str(&world, GET_CLOSE("/broken"));

	assert_int_equal(a.status, 503);
	assert_string_equal(answer_header(&a, "Content-Type"), "application/problem+json");
	assert_string_equal(answer_header(&a, "Retry-After"), "7");
	assert_string_equal(answer_header(&a, "Cache-Control"), "no-store");
	assert_string_equal(
		a.body,
		"{\"type\":\"/problems/overloaded\",\"title\":\"The server is at its limit\",\"status\":503,\"detail\":\"too much to do\","
		"\"code\":\"overloaded\",\"field\":\"field\",\"limit\":12}");
	answer_free(&a);
}

static void header_fields_are_joined_and_ours_are_checked(void **state)
{
	struct answer a = exchange_str(&world, "GET /headers HTTP/1.1\r\nHost: a\r\nX-A:  one \t\r\nx-a: two\r\nConnection: close\r\n\r\n");

	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "[one, two] absent");
	assert_string_equal(answer_header(&a, "X-Good"), "yes");
	assert_null(answer_header(&a, "X-Bad"));
	assert_null(answer_header(&a, "Set-Cookie"));
	answer_free(&a);
}

static void bodies_are_collected_up_to_their_limit(void **state)
{
	check("POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nConnection: close\r\n\r\n0123456789", 200, "0123456789");
	check("POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\nConnection: close\r\n\r\n0123456789a", 413, NULL);
	check("POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n5;x=y\r\n56789\r\n0\r\n\r\n", 200,
	      "0123456789");
	check("POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n6\r\n56789a\r\n0\r\n\r\n", 413, NULL);
	check("POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 200, "hello");
	check("POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx", 400, NULL);
	check("POST /none HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200, "hello");
	check("POST /none HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", 400, NULL);
	check("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: y\r\n\r\n", 200, "abc");
}

static char *post(const char *path, size_t length, const char *extra, size_t *ret_n)
{
	char head[256];
	int n = snprintf(head, sizeof(head), "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n%s\r\n", path, length, extra);
	char *all = malloc((size_t)n + length);

	assert_non_null(all);
	memcpy(all, head, (size_t)n);
	memset(all + n, 'x', length);
	*ret_n = (size_t)n + length;
	return all;
}

static struct answer post_bytes(const char *path, size_t length)
{
	size_t n;
	char *request = post(path, length, "Connection: close\r\n", &n);
	struct answer a = exchange(&world, request, n);

	free(request);
	return a;
}

static void a_streamed_body_may_wait_for_its_reader(void **state)
{
	static const char *const paths[] = {"/stream", "/waits", "/waits-at-once"};

	for (size_t i = 0; i < 3; i++) {
		for (size_t length = 0; length < 5000000; length = length * 7 + 1) {
			struct answer a = post_bytes(paths[i], length);

			assert_int_equal(a.status, 200);
			assert_int_equal(strtoul(a.body, NULL, 10), length);
			answer_free(&a);
		}
	}
}

static void a_chunked_body_may_wait_too(void **state)
{
	static const char *const paths[] = {"/stream", "/waits", "/waits-at-once"};

	for (size_t i = 0; i < 3; i++) {
		struct buf b = BUF_INIT;
		struct answer a;

		buf_addf(&b, "POST %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", paths[i]);
		for (int k = 0; k < 3000; k++)
			buf_add_cstr(&b, "1\r\nx\r\nA\r\n0123456789\r\n");
		buf_add_cstr(&b, "0\r\n\r\n");
		a = exchange(&world, b.p, b.len);
		assert_int_equal(a.status, 200);
		assert_string_equal(a.body, "33000");
		answer_free(&a);
		buf_release(&b);
	}
}

static void an_early_answer_without_body_keeps_the_connection(void **state)
{
	int fd = client_connect(&world);

	check_open(fd, GET("/early"), 413, NULL);
	check_open(fd, GET("/nowhere"), 404, NULL);
	check_open(fd, "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 413, NULL);
	check_open(fd, GET("/hello"), 200, "hello");
	close(fd);
}

static void a_refused_upload_is_not_asked_for(void **state)
{
	int fd = client_connect(&world);
	struct answer a;

	client_send_str(fd, "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\nExpect: 100-continue\r\n\r\n");
	a = client_read(fd, true);
	assert_int_equal(a.status, 413);
	assert_true(a.closed);
	answer_free(&a);
	close(fd);
	fd = client_connect(&world);
	client_send_str(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-Continue\r\n\r\n");
	a = client_read_head(fd);
	assert_int_equal(a.status, 100);
	answer_free(&a);
	check_open(fd, "abc", 200, "abc");
	close(fd);
}

/* The client goes on sending and still reads its answer. */
static void a_client_that_is_still_sending_reads_its_refusal(void **state)
{
	static const char *const paths[] = {"/early", "/midway", "/midway-later", "/nowhere"};
	static const size_t lengths[] = {70000, 1 << 20, 20 << 20, 60 << 20};

	for (size_t i = 0; i < 4; i++) {
		for (size_t k = 0; k < 4; k++) {
			struct answer a = post_bytes(paths[i], lengths[k]);

			if (a.status != (i == 3 ? 404 : 413))
				fail_msg("%s %zu: %d", paths[i], lengths[k], a.status);
			assert_non_null(answer_header(&a, "X-Request-Id"));
			answer_free(&a);
		}
	}
}

static void an_answer_in_the_middle_keeps_the_connection_when_the_rest_is_small(void **state)
{
	static const char *const paths[] = {"/midway", "/midway-later"};

	for (size_t i = 0; i < 2; i++) {
		int fd = client_connect(&world);
		size_t n;
		char *request = post(paths[i], 100000, "", &n);
		struct answer a;

		client_send(fd, request, n);
		a = client_read(fd, false);
		assert_int_equal(a.status, 413);
		answer_free(&a);
		check_open(fd, GET("/hello"), 200, "hello");
		free(request);
		close(fd);
	}
}

static void a_client_may_leave_at_any_time(void **state)
{
	static const char *const paths[] = {"/echo", "/stream", "/waits", "/midway-later", "/echo-later", "/early"};
	size_t n;

	for (size_t i = 0; i < 6; i++) {
		char *request = post(paths[i], 3000, "", &n);

		for (size_t cut = 1; cut < n; cut += 97) {
			int fd = client_connect(&world);

			client_send(fd, request, cut);
			if (cut % 2) {
				struct linger hard = {.l_onoff = 1};

				setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)); /* a reset */
			}
			close(fd);
		}
		free(request);
	}
	EVENTUALLY(atomic_load(&world.handed) == atomic_load(&world.released));
	EVENTUALLY(metric_value(METRIC_HTTP_CONNECTIONS) == 0);
}

static void a_client_that_leaves_while_it_waits_is_noticed_at_the_answer(void **state)
{
	int fd = client_connect(&world);

	world_hold(&world, true);
	client_send_str(fd, GET("/later"));
	EVENTUALLY(atomic_load(&world.handed) == 1);
	close(fd);
	assert_int_equal(atomic_load(&world.released), 0);
	world_hold(&world, false);
	EVENTUALLY(atomic_load(&world.released) == 1);
}

static void many_requests_wait_at_once(void **state)
{
	int fds[300];

	world_hold(&world, true);
	for (int i = 0; i < 300; i++) {
		fds[i] = client_connect(&world);
		client_send_str(fds[i], GET("/later"));
	}
	EVENTUALLY(atomic_load(&world.handed) == 300);
	check(GET_CLOSE("/hello"), 200, "hello");
	world_hold(&world, false);
	for (int i = 0; i < 300; i++) {
		struct answer a = client_read(fds[i], false);

		assert_int_equal(a.status, 200);
		answer_free(&a);
		close(fds[i]);
	}
}

static void every_answer_is_logged_once(void **state)
{
	check(GET_CLOSE("/hello"), 200, NULL);
	EVENTUALLY(atomic_load(&world.logged) == 1);
	assert_int_equal(atomic_load(&world.last_status), 200);
	check("GET /hello HTTP/1.1\r\n\r\n", 400, NULL);
	EVENTUALLY(atomic_load(&world.logged) == 2);
	assert_int_equal(atomic_load(&world.last_status), 400);
}

static void http_1_0_is_spoken(void **state)
{
	check("GET /hello HTTP/1.0\r\n\r\n", 200, "hello");
	check("GET /later HTTP/1.0\r\nHost: a\r\n\r\n", 200, "hello");
}

/* ---- with settings of their own ---- */

static struct http_config quick(void)
{
	struct http_config config = world_config();

	config.header_timeout_ms = 200;
	config.idle_timeout_ms = 300;
	config.body_grace_ms = 200;
	config.body_min_rate = 10000;
	return config;
}

/* A byte every 20 ms until the server has had enough. */
static struct answer drip(const char *prefix, size_t first)
{
	int fd = client_connect(&world);
	struct answer a;
	int64_t until = now_ms() + 5000;

	client_send(fd, prefix, first);
	while (now_ms() < until && send(fd, "a", 1, MSG_NOSIGNAL) == 1) {
		char byte;

		nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
		if (recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0)
			break;
	}
	a = client_read(fd, true);
	close(fd);
	return a;
}

static void check_drip(const char *prefix, int status)
{
	struct answer a = drip(prefix, strlen(prefix));

	assert_int_equal(a.status, status);
	assert_true(a.closed);
	answer_free(&a);
}

static void dripping_clients_are_told_and_closed(void **state)
{
	start_with(quick());
	check_drip("GET /", 408);
	check_drip("GET /hello HTTP/1.1\r\nHost: a\r\nX-A: ", 408);
	check_drip("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n", 408);
	check_drip("POST /stream HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n", 408);
	check_drip("POST /waits HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n", 408);
	world_stop(&world);
}

static void a_second_head_that_drips_is_closed_too(void **state)
{
	struct http_config config = quick();
	struct answer a;
	int fd;

	config.idle_timeout_ms = 60000;
	start_with(config);
	fd = client_connect(&world);
	check_open(fd, GET("/hello"), 200, "hello");
	for (int i = 0; i < 200; i++) {
		nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
		if (send(fd, "G", 1, MSG_NOSIGNAL) != 1 || recv(fd, &(char){0}, 1, MSG_PEEK | MSG_DONTWAIT) >= 0)
			break;
	}
	a = client_read(fd, true);
	assert_int_equal(a.status, 408);
	answer_free(&a);
	close(fd);
	world_stop(&world);
}

static void idle_and_silent_connections_are_closed_without_a_word(void **state)
{
	struct answer a;
	int fd, silent;

	start_with(quick());
	fd = client_connect(&world);
	silent = client_connect(&world);
	check_open(fd, GET("/hello"), 200, "hello");
	a = client_read(fd, true);
	assert_true(a.closed);
	assert_int_equal(a.status, 0);
	answer_free(&a);
	a = client_read(silent, true);
	assert_true(a.closed);
	assert_int_equal(a.status, 0);
	answer_free(&a);
	close(fd);
	close(silent);
	world_stop(&world);
}

static void a_request_that_waits_for_us_is_never_closed(void **state)
{
	struct answer a;
	int fd;

	start_with(quick());
	world_hold(&world, true);
	fd = client_connect(&world);
	client_send_str(fd, "POST /echo-later HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
	nanosleep(&(struct timespec){.tv_nsec = 800000000}, NULL); /* several times every limit */
	world_hold(&world, false);
	a = client_read(fd, false);
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "abc");
	answer_free(&a);
	close(fd);
	world_stop(&world);
}

static void connections_above_the_limit_wait_at_the_door(void **state)
{
	struct http_config config = world_config();
	int fds[4];
	struct answer a;

	config.connections = 3;
	start_with(config);
	for (int i = 0; i < 4; i++) {
		fds[i] = client_connect(&world);
		client_send_str(fds[i], GET("/hello"));
	}
	for (int i = 0; i < 3; i++) {
		a = client_read(fds[i], false);
		assert_int_equal(a.status, 200);
		answer_free(&a);
	}
	assert_int_equal(metric_value(METRIC_HTTP_CONNECTIONS), 3);
	assert_int_equal(recv(fds[3], &(char){0}, 1, MSG_PEEK | MSG_DONTWAIT), -1);
	close(fds[0]);
	a = client_read(fds[3], false);
	assert_int_equal(a.status, 200);
	answer_free(&a);
	for (int i = 1; i < 4; i++)
		close(fds[i]);
	world_stop(&world);
}

static void connections_of_one_address_are_limited(void **state)
{
	struct http_config config = world_config();
	struct answer a;
	int fds[3];

	config.connections_per_address = 2;
	start_with(config);
	for (int i = 0; i < 2; i++) {
		fds[i] = client_connect(&world);
		check_open(fds[i], GET("/hello"), 200, "hello");
	}
	fds[2] = client_connect(&world);
	a = client_read(fds[2], true);
	assert_int_equal(a.status, 429);
	assert_true(a.closed);
	answer_free(&a);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	EVENTUALLY(metric_value(METRIC_HTTP_CONNECTIONS) == 0);
	check(GET_CLOSE("/hello"), 200, "hello");
	world_stop(&world);
}

static void exhausted_descriptors_pause_accepting_without_spinning(void **state)
{
	struct rlimit old, tight;
	struct rusage before, after;
	int fds[8];
	struct answer a;

	start_with(world_config());
	check(GET_CLOSE("/hello"), 200, "hello");
	EVENTUALLY(metric_value(METRIC_HTTP_CONNECTIONS) == 0);
	for (int i = 0; i < 8; i++)
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	getrlimit(RLIMIT_NOFILE, &old);
	tight = old;
	tight.rlim_cur = (rlim_t)fds[7] + 1; /* nothing is left for the server */
	setrlimit(RLIMIT_NOFILE, &tight);
	for (int i = 0; i < 8; i++) {
		struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(world.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

		assert_int_equal(connect(fds[i], (struct sockaddr *)&to, sizeof(to)), 0);
		client_send_str(fds[i], GET("/hello"));
	}
	getrusage(RUSAGE_SELF, &before);
	nanosleep(&(struct timespec){.tv_nsec = 500000000}, NULL);
	getrusage(RUSAGE_SELF, &after);
	setrlimit(RLIMIT_NOFILE, &old);
	assert_true((after.ru_utime.tv_sec - before.ru_utime.tv_sec + after.ru_stime.tv_sec - before.ru_stime.tv_sec) * 1000000 +
			    (after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec - before.ru_stime.tv_usec) <
		    100000);
	for (int i = 0; i < 8; i++) {
		a = client_read(fds[i], false);
		assert_int_equal(a.status, 200);
		answer_free(&a);
		close(fds[i]);
	}
	world_stop(&world);
}

struct drainer {
	pthread_t thread;
	bool all_answered;
	int64_t grace_ms;
	_Atomic bool done;
};

static void *drain(void *arg)
{
	struct drainer *d = arg;

	d->all_answered = http_server_drain(world.server, d->grace_ms);
	atomic_store(&d->done, true);
	return NULL;
}

static void draining_ends_idle_connections_and_waits_for_requests(void **state)
{
	struct drainer d = {.grace_ms = 5000};
	int idle, waiting;
	struct answer a;

	start_with(world_config());
	idle = client_connect(&world);
	check_open(idle, GET("/hello"), 200, "hello");
	world_hold(&world, true);
	waiting = client_connect(&world);
	client_send_str(waiting, GET("/later"));
	EVENTUALLY(atomic_load(&world.handed) == 2);
	pthread_create(&d.thread, NULL, drain, &d);
	a = client_read(idle, true);
	assert_true(a.closed);
	answer_free(&a);
	assert_false(atomic_load(&d.done));
	world_hold(&world, false);
	a = client_read(waiting, true);
	assert_int_equal(a.status, 200);
	assert_string_equal(answer_header(&a, "Connection"), "close");
	answer_free(&a);
	pthread_join(d.thread, NULL);
	assert_true(d.all_answered);
	close(idle);
	close(waiting);
	world_stop(&world);
}

static void draining_gives_up_after_its_grace(void **state)
{
	struct drainer d = {.grace_ms = 50};
	int fd;

	start_with(world_config());
	world_hold(&world, true);
	fd = client_connect(&world);
	client_send_str(fd, GET("/later"));
	EVENTUALLY(atomic_load(&world.handed) == 1);
	drain(&d);
	assert_false(d.all_answered);
	close(fd);
	world_stop(&world);
}

static void a_server_that_cannot_listen_says_why(void **state)
{
	struct http_config config = world_config();
	struct http_server *s = NULL;
	struct err e = ERR_INIT;
	uint16_t port;
	int before = count_descriptors();

	config.address = "localhost";
	assert_int_equal(http_server_start(&s, &config, &port, &e), ERR_IO);
	assert_non_null(strstr(e.detail, "localhost"));
	config.address = "192.0.2.1";
	assert_int_equal(http_server_start(&s, &config, &port, &e), ERR_IO);
	assert_int_equal(count_descriptors(), before);
	start_with(world_config());
	config.address = "127.0.0.1";
	config.port = world.port;
	assert_int_equal(http_server_start(&s, &config, &port, &e), ERR_IO);
	world_stop(&world);
}

static void two_servers_live_in_one_process(void **state)
{
	static struct world other;
	struct answer a;

	start_with(world_config());
	world_start(&other, world_config());
	a = exchange_str(&other, GET_CLOSE("/later"));
	assert_int_equal(a.status, 200);
	answer_free(&a);
	world_stop(&other);
	check(GET_CLOSE("/hello"), 200, "hello");
	world_stop(&world);
}

static void ipv6_is_served(void **state)
{
	struct http_config config = world_config();

	config.address = "::"; /* IPv4 clients come in by it too */
	start_with(config);
	check(GET_CLOSE("/hello"), 200, "hello");
	world_stop(&world);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(an_answer_carries_the_headers_that_all_carry),
		T(one_connection_serves_many_requests),
		T(pipelined_requests_are_answered_in_order),
		T(routes_prefer_static_segments_and_go_back_when_they_lead_nowhere),
		T(a_wrong_method_is_told_the_right_ones),
		T(head_has_the_headers_of_get_and_no_body),
		T(files_are_sent_whole_and_in_part),
		T(a_problem_tells_all_that_is_known),
		T(header_fields_are_joined_and_ours_are_checked),
		T(bodies_are_collected_up_to_their_limit),
		T(a_streamed_body_may_wait_for_its_reader),
		T(a_chunked_body_may_wait_too),
		T(an_early_answer_without_body_keeps_the_connection),
		T(a_refused_upload_is_not_asked_for),
		T(a_client_that_is_still_sending_reads_its_refusal),
		T(an_answer_in_the_middle_keeps_the_connection_when_the_rest_is_small),
		T(a_client_may_leave_at_any_time),
		T(a_client_that_leaves_while_it_waits_is_noticed_at_the_answer),
		T(many_requests_wait_at_once),
		T(every_answer_is_logged_once),
		T(http_1_0_is_spoken),
		cmocka_unit_test(dripping_clients_are_told_and_closed),
		cmocka_unit_test(a_second_head_that_drips_is_closed_too),
		cmocka_unit_test(idle_and_silent_connections_are_closed_without_a_word),
		cmocka_unit_test(a_request_that_waits_for_us_is_never_closed),
		cmocka_unit_test(connections_above_the_limit_wait_at_the_door),
		cmocka_unit_test(connections_of_one_address_are_limited),
		cmocka_unit_test(exhausted_descriptors_pause_accepting_without_spinning),
		cmocka_unit_test(draining_ends_idle_connections_and_waits_for_requests),
		cmocka_unit_test(draining_gives_up_after_its_grace),
		cmocka_unit_test(a_server_that_cannot_listen_says_why),
		cmocka_unit_test(two_servers_live_in_one_process),
		cmocka_unit_test(ipv6_is_served),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
