/* The life of requests over real sockets: every way and moment to answer, bodies, keep-alive. */
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
	check(&world, GET_CLOSE("/"), 200, "hello");
	check(&world, GET_CLOSE("/items/special"), 200, "special");
	check(&world, GET_CLOSE("/items/other"), 200, "id=other");
	check(&world, GET_CLOSE("/items/special/parts"), 200, "id=special");
	check(&world, GET_CLOSE("/items/a%20b/parts"), 200, "id=a b");
	check(&world, "DELETE /items/special HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200, "id=special");
	check(&world, GET_CLOSE("/items/"), 404, NULL);
	check(&world, GET_CLOSE("/items"), 404, NULL);
	check(&world, GET_CLOSE("/slash"), 200, "hello");
	check(&world, GET_CLOSE("/slash/"), 200, "hello");
	check(&world, GET_CLOSE("/hello/"), 404, NULL);
	check(&world, GET_CLOSE("/query?a=x+y%2B"), 200, "a=x y+ b=absent");
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
	check(&world, "OPTIONS /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 404, NULL);
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
	check(&world, "POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nConnection: close\r\n\r\n0123456789", 200, "0123456789");
	check(&world, "POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\nConnection: close\r\n\r\n0123456789a", 413, NULL);
	check(&world, "POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n5;x=y\r\n56789\r\n0\r\n\r\n", 200,
	      "0123456789");
	check(&world, "POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n6\r\n56789a\r\n0\r\n\r\n", 413,
	      NULL);
	check(&world, "POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 200, "hello");
	check(&world, "POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx", 400, NULL);
	check(&world, "POST /none HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200, "hello");
	check(&world, "POST /none HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", 400, NULL);
	check(&world, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: y\r\n\r\n", 200, "abc");
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
	check(&world, GET_CLOSE("/hello"), 200, "hello");
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
	check(&world, GET_CLOSE("/hello"), 200, NULL);
	EVENTUALLY(atomic_load(&world.logged) == 1);
	assert_int_equal(atomic_load(&world.last_status), 200);
	check(&world, "GET /hello HTTP/1.1\r\n\r\n", 400, NULL);
	EVENTUALLY(atomic_load(&world.logged) == 2);
	assert_int_equal(atomic_load(&world.last_status), 400);
}

static void http_1_0_is_spoken(void **state)
{
	check(&world, "GET /hello HTTP/1.0\r\n\r\n", 200, "hello");
	check(&world, "GET /later HTTP/1.0\r\nHost: a\r\n\r\n", 200, "hello");
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
