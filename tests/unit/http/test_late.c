/* Answers that are held back. The header field X-Late says for how many ms; X-Admit: no refuses. */
#include "world.h"

#include "rt/metrics.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define HELD_MAX 8
#define AGES "600000"

static struct world world;
static int quiet; /* descriptors while nobody is connected */

static int admit(struct http_request *r, struct err *e)
{
	struct str late = http_header(r, "X-Late");
	uint64_t ms;

	if (late.p != NULL && str_to_u64(late, &ms))
		http_answer_late(r, (int64_t)ms);
	return http_header(r, "X-Admit").p != NULL ? err_set(e, ERR_FORBIDDEN, "not he") : 0;
}

static int setup(void **state)
{
	struct http_config c = world_config();

	c.admit = admit;
	world_start(&world, c);
	quiet = count_descriptors();
	return 0;
}

static int teardown(void **state)
{
	world_stop(&world);
	assert_int_equal(metric_value(METRIC_HTTP_HELD), 0);
	return 0;
}

#define LATE(ms, line) line " HTTP/1.1\r\nHost: a\r\nX-Late: " ms "\r\n"

static void an_answer_waits_and_others_do_not(void **state)
{
	static const char *const ways[] = {"GET /hello", "GET /later", "GET /file"};
	char request[256];

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		int64_t begin = now_ms();
		int fd = client_connect(&world);
		struct answer a;

		snprintf(request, sizeof(request), LATE("300", "%s") "\r\n", ways[i]);
		client_send_str(fd, request);
		check(&world, GET_CLOSE("/hello"), 200, "hello");
		a = client_read(fd, false);
		assert_int_equal(a.status, 200);
		assert_true(now_ms() - begin >= 299); /* whole milliseconds are counted */
		assert_false(a.closed);
		answer_free(&a);
		check_open(fd, GET("/hello"), 200, "hello");
		close(fd);
	}
}

static void what_is_behind_a_late_one_waits_too(void **state)
{
	int fd = client_connect(&world);
	int64_t begin = now_ms();
	struct answer a;

	client_send_str(fd, LATE("200", "GET /items/1") "\r\n" LATE("200", "POST /echo") "Content-Length: 3\r\n\r\nxyz" LATE(
				    "200", "GET /items/3") "Connection: close\r\n\r\n");
	a = client_read(fd, true);
	assert_true(now_ms() - begin >= 599);
	assert_string_equal(a.body, "id=1");
	assert_true(strstr(a.rest, "xyz") < strstr(a.rest, "id=3"));
	answer_free(&a);
	close(fd);
}

static void who_is_refused_late_is_not_seen_by_the_handler(void **state)
{
	int fd = client_connect(&world), handed = atomic_load(&world.handed);
	int64_t begin = now_ms();

	check_open(fd, LATE("200", "GET /hello") "X-Admit: no\r\n\r\n", 403, NULL);
	check_open(fd, LATE("200", "POST /stream") "X-Admit: no\r\nContent-Length: 3\r\n\r\nabc", 403, NULL);
	check_open(fd, LATE("200", "POST /stream") "X-Admit: no\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n", 403, NULL);
	assert_true(now_ms() - begin >= 599);
	assert_int_equal(atomic_load(&world.handed), handed);
	close(fd);
}

static int held(void)
{
	return (int)metric_value(METRIC_HTTP_HELD);
}

/* Another one, in which the number of answers held back is HELD_MAX. */
static void start(struct world *w)
{
	struct http_config c = world_config();

	c.admit = admit;
	c.late = HELD_MAX;
	c.connections_per_address = HELD_MAX + 1;
	EVENTUALLY(count_descriptors() == quiet); /* it asserts that as many are left as it finds */
	world_start(w, c);
}

static void beyond_their_number_an_answer_ends_its_connection(void **state)
{
	struct world w;
	int fds[HELD_MAX];
	struct answer a;

	start(&w);
	for (int i = 0; i < HELD_MAX; i++) {
		fds[i] = client_connect(&w);
		client_send_str(fds[i], LATE(AGES, "GET /hello") "\r\n");
	}
	EVENTUALLY(held() == HELD_MAX);
	a = exchange_str(&w, LATE(AGES, "GET /hello") "\r\n");
	assert_int_equal(a.status, 200);
	assert_true(a.closed);
	assert_string_equal(answer_header(&a, "Connection"), "close");
	answer_free(&a);
	assert_int_equal(held(), HELD_MAX);
	assert_true(http_server_drain(w.server, 60000));
	for (int i = 0; i < HELD_MAX; i++)
		close(fds[i]);
	world_stop(&w);
}

static void a_client_may_leave_meanwhile(void **state)
{
	int logged = atomic_load(&world.logged);

	for (int i = 0; i < HELD_MAX; i++) {
		int fd = client_connect(&world);
		client_send_str(fd, LATE("300", "GET /hello") "\r\n");
		EVENTUALLY(held() > i || atomic_load(&world.logged) > logged);
		close(fd);
	}
	EVENTUALLY(atomic_load(&world.logged) == logged + HELD_MAX);
	EVENTUALLY(atomic_load(&world.handed) == atomic_load(&world.released));
	check(&world, GET_CLOSE("/hello"), 200, "hello");
}

static void who_leaves_meanwhile_makes_no_room_for_another_connection(void **state)
{
	struct world w;
	int last;

	start(&w);
	for (int i = 0; i < HELD_MAX; i++) {
		int fd = client_connect(&w);
		client_send_str(fd, LATE(AGES, "GET /hello") "\r\n");
		EVENTUALLY(held() == i + 1);
		close(fd);
	}
	last = client_connect(&w);
	check_open(last, GET("/hello"), 200, "hello");
	check(&w, GET_CLOSE("/hello"), 429, NULL);
	close(last);
	assert_true(http_server_drain(w.server, 60000));
	world_stop(&w);
}

static void a_server_that_stops_holds_none(void **state)
{
	struct world w;
	int fds[HELD_MAX];

	start(&w);
	for (int i = 0; i < HELD_MAX; i++) {
		fds[i] = client_connect(&w);
		client_send_str(fds[i], i % 2 ? LATE(AGES, "GET /hello") "X-Admit: no\r\n\r\n" : LATE(AGES, "GET /later") "\r\n");
	}
	EVENTUALLY(held() == HELD_MAX);
	assert_true(http_server_drain(w.server, 60000));
	for (int i = 0; i < HELD_MAX; i++) {
		struct answer a = client_read(fds[i], true);
		assert_int_equal(a.status, i % 2 ? 403 : 200);
		assert_string_equal(answer_header(&a, "Connection"), "close");
		answer_free(&a);
		close(fds[i]);
	}
	world_stop(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_waits_and_others_do_not),
		cmocka_unit_test(what_is_behind_a_late_one_waits_too),
		cmocka_unit_test(who_is_refused_late_is_not_seen_by_the_handler),
		cmocka_unit_test(beyond_their_number_an_answer_ends_its_connection),
		cmocka_unit_test(a_client_may_leave_meanwhile),
		cmocka_unit_test(who_leaves_meanwhile_makes_no_room_for_another_connection),
		cmocka_unit_test(a_server_that_stops_holds_none),
	};

	return cmocka_run_group_tests_name("late", tests, setup, teardown);
}
