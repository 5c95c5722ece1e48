/* Admission that takes its time, and what looks at a body beside the handler. The header field X-Admit says what becomes of a request. */
#include "world.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static struct world world;
static _Atomic int watched, watch_ended, watch_released, asked;

static void refuse(struct http_request *r)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_FORBIDDEN, "not he");
	http_reply_problem(r, &e);
}

/* ---- the watch: refuses a body that has an exclamation mark ---- */

struct watch {
	long long bytes;
	bool bad;
};

static void watch_data(void *arg, const void *p, size_t n)
{
	struct watch *w = arg;

	w->bytes += (long long)n;
	w->bad |= memchr(p, '!', n) != NULL;
}

static int watch_end(void *arg, struct err *e)
{
	const struct watch *w = arg;

	atomic_store(&watched, (int)w->bytes);
	atomic_fetch_add(&watch_ended, 1);
	return w->bad ? err_set(e, ERR_DIGEST_MISMATCH, "an exclamation mark") : 0;
}

static void watch_release(void *arg)
{
	atomic_fetch_add(&watch_released, 1);
}

static const struct http_watch watch = {.data = watch_data, .end = watch_end, .release = watch_release};

static void watch_and_continue(struct http_request *r)
{
	struct watch *w = arena_alloc(http_arena(r), sizeof(*w));

	assert_non_null(w);
	http_watch_body(r, &watch, w);
	http_continue(r);
}

static int admit(struct http_request *r, struct err *e)
{
	static const struct {
		const char *word;
		void (*later)(struct http_request *r), (*at_once)(struct http_request *r);
	} ways[] = {
		{.word = "later", .later = http_continue},      {.word = "at-once", .at_once = http_continue},
		{.word = "no-later", .later = refuse},          {.word = "no-at-once", .at_once = refuse},
		{.word = "watch", .later = watch_and_continue},
	};
	struct str word = http_header(r, "X-Admit");

	atomic_fetch_add(&asked, 1);
	if (str_eq(word, STR("no")))
		return err_set(e, ERR_FORBIDDEN, "not he");
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		if (!str_eq(word, str_of(ways[i].word)))
			continue;
		if (ways[i].at_once != NULL)
			ways[i].at_once(r);
		else
			world_give(r, ways[i].later);
		return HTTP_ADMIT_LATER;
	}
	return 0;
}

static int setup(void **state)
{
	struct http_config c = world_config();

	c.admit = admit;
	world_start(&world, c);
	return 0;
}

static int teardown(void **state)
{
	world_stop(&world);
	return 0;
}

#define HEAD(way, line) line " HTTP/1.1\r\nHost: a\r\nX-Admit: " way "\r\n"

static void the_handler_starts_when_the_caller_was_let_in(void **state)
{
	static const char *const ways[] = {"at-once", "later", "watch"};
	static const char *const posts[] = {"/echo", "/echo-later", "/stream", "/waits", "/waits-at-once"};
	int fd = client_connect(&world);
	char request[512];

	for (int i = 0; i < 30; i++) {
		const char *way = ways[i % 3], *post = posts[i % 5];
		snprintf(request, sizeof(request), "GET /hello HTTP/1.1\r\nHost: a\r\nX-Admit: %s\r\n\r\n", way);
		check_open(fd, request, 200, "hello");
		snprintf(request, sizeof(request), "GET /later HTTP/1.1\r\nHost: a\r\nX-Admit: %s\r\n\r\n", way);
		check_open(fd, request, 200, "hello");
		snprintf(request, sizeof(request), "POST %s HTTP/1.1\r\nHost: a\r\nX-Admit: %s\r\nContent-Length: 3\r\n\r\nabc", post, way);
		check_open(fd, request, 200, i % 5 < 2 ? "abc" : "3");
		snprintf(request, sizeof(request), "POST %s HTTP/1.1\r\nHost: a\r\nX-Admit: %s\r\nContent-Length: 0\r\n\r\n", post, way);
		check_open(fd, request, 200, i % 5 < 2 ? "" : "0");
	}
	check_open(fd, HEAD("later", "POST /stream") "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n", 200, "4");
	close(fd);
}

static void pipelined_requests_wait_their_turn(void **state)
{
	int fd = client_connect(&world);
	struct answer a;

	client_send_str(fd, HEAD("later", "GET /items/1") "\r\n" HEAD("later", "POST /echo") "Content-Length: 3\r\n\r\nxyz" HEAD(
				    "no-later", "GET /items/2") "\r\n" HEAD("at-once", "GET /items/3") "Connection: close\r\n\r\n");
	a = client_read(fd, true);
	assert_string_equal(a.body, "id=1");
	assert_true(strstr(a.rest, "xyz") < strstr(a.rest, "not he"));
	assert_true(strstr(a.rest, "not he") < strstr(a.rest, "id=3"));
	assert_null(strstr(a.rest, "id=2"));
	answer_free(&a);
	close(fd);
}

static void who_is_refused_later_is_never_seen_by_the_handler(void **state)
{
	static const char *const ways[] = {"no", "no-at-once", "no-later"};
	char request[512];

	for (int i = 0; i < 3; i++) {
		int fd = client_connect(&world), handed = atomic_load(&world.handed);
		struct answer a;

		snprintf(request, sizeof(request), "GET /hello HTTP/1.1\r\nHost: a\r\nX-Admit: %s\r\n\r\n", ways[i]);
		check_open(fd, request, 403, NULL);
		snprintf(request, sizeof(request), "POST /stream HTTP/1.1\r\nHost: a\r\nX-Admit: %s\r\nContent-Length: 3\r\n\r\nabc",
			 ways[i]);
		check_open(fd, request, 403, NULL); /* a small body is dropped, and the connection goes on */
		snprintf(request, sizeof(request), "POST /echo HTTP/1.1\r\nHost: a\r\nX-Admit: %s\r\nContent-Length: 100000\r\n\r\nabc",
			 ways[i]);
		client_send_str(fd, request);
		a = client_read(fd, true);
		assert_int_equal(a.status, 403);
		assert_true(a.closed);
		answer_free(&a);
		close(fd);
		assert_int_equal(atomic_load(&world.handed), handed);
	}
}

/* Nothing can be read from it now. */
static bool is_silent(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 0;
}

static void a_body_is_not_asked_for_before_the_caller_was_let_in(void **state)
{
	static const char *const ways[] = {"later", "no-later"};

	for (int i = 0; i < 2; i++) {
		int fd = client_connect(&world), before = atomic_load(&asked);
		struct answer a;
		char request[512];

		world_hold(&world, true);
		snprintf(request, sizeof(request),
			 "POST /echo HTTP/1.1\r\nHost: a\r\nX-Admit: %s\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n", ways[i]);
		client_send_str(fd, request);
		EVENTUALLY(atomic_load(&asked) > before);
		nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL); /* for a mistake to show; the right answer needs none */
		assert_true(is_silent(fd));
		world_hold(&world, false);
		a = client_read_head(fd);
		assert_int_equal(a.status, i == 0 ? 100 : 403);
		answer_free(&a);
		if (i == 0)
			check_open(fd, "abc", 200, "abc");
		close(fd);
	}
}

static void a_client_may_leave_while_it_is_decided_about(void **state)
{
	static const char *const ways[] = {"later", "no-later", "watch"};
	static const char *const bodies[] = {"", "Content-Length: 3\r\n", "Content-Length: 3\r\nExpect: 100-continue\r\n",
					     "Transfer-Encoding: chunked\r\n"};
	int before = atomic_load(&asked), logged = atomic_load(&world.logged);
	char request[512];

	world_hold(&world, true);
	for (int i = 0; i < 12; i++) {
		int fd = client_connect(&world);
		snprintf(request, sizeof(request), "POST /stream HTTP/1.1\r\nHost: a\r\nX-Admit: %s\r\n%s\r\n", ways[i / 4], bodies[i % 4]);
		client_send_str(fd, request);
		EVENTUALLY(atomic_load(&asked) > before + i);
		close(fd);
	}
	world_hold(&world, false);
	EVENTUALLY(atomic_load(&world.logged) >= logged + 12);
	EVENTUALLY(atomic_load(&world.handed) == atomic_load(&world.released));
	check(&world, GET_CLOSE("/hello"), 200, "hello");
}

static void many_wait_at_once_and_each_gets_its_answer(void **state)
{
	enum { N = 200 };
	int fds[N], before = atomic_load(&asked);

	world_hold(&world, true);
	for (int i = 0; i < N; i++) {
		fds[i] = client_connect(&world);
		client_send_str(fds[i], i % 2 ? HEAD("no-later", "GET /hello") "\r\n" : HEAD("later", "GET /hello") "\r\n");
	}
	EVENTUALLY(atomic_load(&asked) == before + N);
	world_hold(&world, false);
	for (int i = 0; i < N; i++) {
		struct answer a = client_read(fds[i], false);
		assert_int_equal(a.status, i % 2 ? 403 : 200);
		answer_free(&a);
		close(fds[i]);
	}
}

static void what_watches_a_body_sees_all_of_it(void **state)
{
	static const struct {
		const char *head, *body;
		int bytes;
	} cases[] = {
		{HEAD("watch", "POST /echo") "Content-Length: 5\r\n\r\n", "hello", 5},
		{HEAD("watch", "POST /stream") "Content-Length: 5\r\n\r\n", "hello", 5},
		{HEAD("watch", "POST /waits") "Content-Length: 5\r\n\r\n", "hello", 5},
		{HEAD("watch", "POST /stream") "Transfer-Encoding: chunked\r\n\r\n", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", 5},
		{HEAD("watch", "POST /echo") "Content-Length: 0\r\n\r\n", "", 0},
		{HEAD("watch", "GET /hello") "\r\n", "", 0},
	};
	char request[512];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int fd = client_connect(&world), released = atomic_load(&watch_released);

		atomic_store(&watched, -1);
		snprintf(request, sizeof(request), "%s%s", cases[i].head, cases[i].body);
		check_open(fd, request, 200, NULL);
		assert_int_equal(atomic_load(&watched), cases[i].bytes);
		close(fd);
		EVENTUALLY(atomic_load(&watch_released) == released + 1);
	}
}

static void what_watches_a_body_may_refuse_it_at_the_end(void **state)
{
	static const char *const paths[] = {"/echo", "/stream", "/waits"};
	char request[512];
	int fd = client_connect(&world);

	for (int i = 0; i < 3; i++) {
		snprintf(request, sizeof(request), "POST %s HTTP/1.1\r\nHost: a\r\nX-Admit: watch\r\nContent-Length: 6\r\n\r\nhello!",
			 paths[i]);
		check_open(fd, request, 400, NULL);
		check_open(fd, GET("/hello"), 200, "hello");
	}
	close(fd);
}

static void a_body_that_breaks_off_or_is_refused_early_is_not_judged(void **state)
{
	int ended = atomic_load(&watch_ended), released = atomic_load(&watch_released), fd = client_connect(&world);

	client_send_str(fd, HEAD("watch", "POST /stream") "Content-Length: 5\r\n\r\nhe");
	close(fd);
	fd = client_connect(&world);
	check_open(fd, HEAD("watch", "POST /midway") "Content-Length: 5\r\n\r\nhello", 413, NULL);
	close(fd);
	EVENTUALLY(atomic_load(&watch_released) == released + 2);
	assert_int_equal(atomic_load(&watch_ended), ended);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_handler_starts_when_the_caller_was_let_in),
		cmocka_unit_test(pipelined_requests_wait_their_turn),
		cmocka_unit_test(who_is_refused_later_is_never_seen_by_the_handler),
		cmocka_unit_test(a_body_is_not_asked_for_before_the_caller_was_let_in),
		cmocka_unit_test(a_client_may_leave_while_it_is_decided_about),
		cmocka_unit_test(many_wait_at_once_and_each_gets_its_answer),
		cmocka_unit_test(what_watches_a_body_sees_all_of_it),
		cmocka_unit_test(what_watches_a_body_may_refuse_it_at_the_end),
		cmocka_unit_test(a_body_that_breaks_off_or_is_refused_early_is_not_judged),
	};

	return cmocka_run_group_tests_name("admit", tests, setup, teardown);
}
