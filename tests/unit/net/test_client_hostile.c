/* Receivers that answer badly, endlessly, slowly or not at all. */
#include "base/compiler.h"
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <zlib.h>

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

/* Asks one such peer with these limits. What it saw stays in the peer. */
static int ask_peer(struct peer *p, struct asked *a, struct net_limits limits)
{
	struct net_request r = {.method = STR("POST"), .body = STR("{}"), .limits = limits};

	if (r.limits.body_keep == 0)
		r.limits.body_keep = sizeof(a->body) - 1;
	assert_true(peer_start(p));
	r.url = str_of(url_of(p, "hook.example", "/"));
	ask(&w, a, r);
	peer_stop(p);
	return a->r.code;
}

/* ---- answers that are none ---- */

static void say_answer(struct wire *l)
{
	if (wire_read_request(l))
		wire_say(l, l->peer->answer);
}

static void an_answer_that_is_no_whole_http_is_a_failure(void **state)
{
	static const struct {
		const char *answer;
		int code;
	} cases[] = {
		{"", ERR_CONNECTION_LOST},
		{"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", ERR_CONNECTION_LOST},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", ERR_CONNECTION_LOST},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", ERR_CONNECTION_LOST},
		{"hello", ERR_BAD_ANSWER},
		{"SSH-2.0-OpenSSH_9.2\r\n", ERR_BAD_ANSWER},
		{"220 mail.example ESMTP\r\n", ERR_BAD_ANSWER},
		{"-ERR unknown command\r\n", ERR_BAD_ANSWER},
		{"<html>", ERR_BAD_ANSWER},
		{"HTTP/9.9 200 OK\r\n\r\n", ERR_BAD_ANSWER},
		{"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", ERR_BAD_ANSWER},
		{"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", ERR_BAD_ANSWER},
		{"HTTP/2 20\r\n\r\n", ERR_BAD_ANSWER},
		{"HTTP/2 1000\r\n\r\n", ERR_BAD_ANSWER},
		{"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nhello", ERR_BAD_ANSWER},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct peer p = {.serve = say_answer, .answer = cases[i].answer};
		struct asked a;

		if (ask_peer(&p, &a, (struct net_limits){}) != cases[i].code)
			fail_msg("\"%s\": %d %s", cases[i].answer, a.r.code, a.detail);
	}
}

static void a_status_that_came_is_told_even_when_the_body_did_not(void **state)
{
	struct peer p = {.serve = say_answer, .answer = "HTTP/1.1 410 Gone\r\nContent-Length: 10\r\n\r\nhello"};
	struct asked a;

	assert_int_equal(ask_peer(&p, &a, (struct net_limits){}), ERR_CONNECTION_LOST);
	assert_int_equal(a.r.status, 410);
	assert_string_equal(a.body, "hello");
}

static void read_and_reset(struct wire *l)
{
	const struct linger hard = {.l_onoff = 1};

	wire_read_request(l);
	setsockopt(l->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
}

static void a_receiver_that_resets_is_a_lost_connection(void **state)
{
	struct peer p = {.serve = read_and_reset};
	struct asked a;

	assert_int_equal(ask_peer(&p, &a, (struct net_limits){}), ERR_CONNECTION_LOST);
}

static void a_port_where_nothing_listens_is_a_failed_connection(void **state)
{
	struct peer p = {.serve = say_answer};
	struct asked a;

	assert_true(peer_start(&p));
	peer_stop(&p);
	assert_int_equal(post_to(&w, &a, url_of(&p, "hook.example", "/")), ERR_CONNECT_FAILED);
	assert_int_equal(a.r.connect_ms, -1);
}

/* ---- never and slowly ---- */

static void stay_silent(struct wire *l)
{
	wire_wait_for_close(l);
}

static void a_receiver_that_never_answers_is_left_at_the_time_limit(void **state)
{
	struct peer p = {.serve = stay_silent};
	struct asked a;

	assert_int_equal(ask_peer(&p, &a, (struct net_limits){.total_ms = 150}), ERR_PEER_TIMEOUT);
	assert_true(a.r.total_ms >= 150);
	assert_string_equal(a.detail, "the answer took too long");
}

static void a_receiver_that_never_answers_in_tls_is_left_at_the_connecting_limit(void **state)
{
	struct peer p = {.serve = stay_silent};
	struct asked a;
	char url[64];

	assert_true(peer_start(&p));
	snprintf(url, sizeof(url), "https://hook.example:%u/", p.port);
	assert_int_equal(ask(&w, &a, (struct net_request){.method = STR("POST"), .url = str_of(url), .limits = {.connect_ms = 150}}),
			 ERR_PEER_TIMEOUT);
	assert_string_equal(a.detail, "the connection took too long to be set up");
	peer_stop(&p);
}

/* One byte of the body after the other, for ever. */
static void drip(struct wire *l)
{
	if (!wire_read_request(l) || !wire_say(l, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"))
		return;
	while (wire_say(l, "x") && wire_pause(l, 50))
		;
}

static void a_receiver_that_drips_is_left_when_the_rate_stays_too_low(void **state)
{
	struct peer p = {.serve = drip};
	struct asked a;

	assert_int_equal(ask_peer(&p, &a, (struct net_limits){.rate_min = 1000, .rate_grace_s = 1}), ERR_PEER_TIMEOUT);
	assert_int_equal(a.r.status, 200);
	assert_true(a.r.body_bytes > 0);
	assert_true(a.r.total_ms < 60000);
}

static void a_receiver_that_drips_fast_enough_is_left_at_the_time_limit(void **state)
{
	struct peer p = {.serve = drip};
	struct asked a;

	assert_int_equal(ask_peer(&p, &a, (struct net_limits){.total_ms = 300}), ERR_PEER_TIMEOUT);
	assert_int_equal(a.r.status, 200);
}

/* ---- without end ---- */

/* Says the peer's `answer` and then this for ever. */
static void endless(struct wire *l, const char *more)
{
	if (!wire_read_request(l) || !wire_say(l, l->peer->answer))
		return;
	while (wire_say(l, more))
		;
}

static void endless_fields(struct wire *l)
{
	endless(l, "X-Filler: 0123456789012345678901234567890123456789\r\n");
}

static void endless_letters(struct wire *l)
{
	endless(l, "01234567890123456789012345678901234567890123456789");
}

static void endless_interim(struct wire *l)
{
	endless(l, "HTTP/1.1 102 Processing\r\n\r\n");
}

static void an_endless_head_ends_at_its_limit(void **state)
{
	static const struct {
		peer_serve_fn *serve;
		const char *answer;
		int code;
	} cases[] = {
		{endless_fields, "HTTP/1.1 200 OK\r\n", ERR_ANSWER_TOO_LARGE}, /* fields */
		{endless_letters, "HTTP/1.1 200 OK\r\nX: ", ERR_ANSWER_TOO_LARGE}, /* one field */
		{endless_letters, "HTTP/1.1 200 ", ERR_ANSWER_TOO_LARGE}, /* the status line */
		{endless_interim, "", ERR_ANSWER_TOO_LARGE}, /* answers that announce the answer */
		{endless_fields, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", ERR_ANSWER_TOO_LARGE}, /* trailers */
		{endless_letters, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ",
		 ERR_CONNECTION_LOST}, /* one trailer: libcurl ends it at 4 KiB and does not say why */
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct peer p = {.serve = cases[i].serve, .answer = cases[i].answer};
		struct asked a;

		if (ask_peer(&p, &a, (struct net_limits){}) != cases[i].code)
			fail_msg("case %zu: %d %s", i, a.r.code, a.detail);
	}
}

static void a_head_is_taken_up_to_its_limit(void **state)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nX-Filler: abc\r\nContent-Length: 0\r\n\r\n";
	struct peer p = {.serve = say_answer, .answer = head}, q = p;
	struct asked a;

	assert_int_equal(ask_peer(&p, &a, (struct net_limits){.head_max = sizeof(head) - 1}), 0);
	assert_int_equal(ask_peer(&q, &a, (struct net_limits){.head_max = sizeof(head) - 2}), ERR_ANSWER_TOO_LARGE);
}

/* A gigabyte: `sent` tells how much of it went out. */
static atomic_ullong sent;

static void gigabyte(struct wire *l)
{
	static const char block[65536];

	if (!wire_read_request(l) || !wire_say(l, "HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n"))
		return;
	for (sent = 0; sent < 1u << 30 && wire_send(l, block, sizeof(block)); sent += sizeof(block))
		;
}

static void of_a_gigabyte_only_the_limit_is_read_and_the_status_counts(void **state)
{
	struct peer p = {.serve = gigabyte};
	struct asked a;

	assert_int_equal(ask_peer(&p, &a, (struct net_limits){.body_max = 100000, .body_keep = 10}), 0);
	assert_int_equal(a.r.status, 200);
	assert_true(a.r.cut);
	assert_int_equal(a.r.body_bytes, 100000);
	/* What the kernel's buffers took besides is a few megabytes. */
	assert_true(sent < 64u << 20);
}

static void a_body_is_read_up_to_its_limit(void **state)
{
	struct peer p = {.serve = say_answer, .answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"}, q = p;
	struct asked a;

	assert_int_equal(ask_peer(&p, &a, (struct net_limits){.body_max = 5}), 0);
	assert_false(a.r.cut);
	assert_string_equal(a.body, "hello");
	assert_int_equal(ask_peer(&q, &a, (struct net_limits){.body_max = 4}), 0);
	assert_true(a.r.cut);
	assert_string_equal(a.body, "hell");
}

static void endless_body(struct wire *l)
{
	endless(l, "5\r\nhello\r\n");
}

static void a_body_without_an_end_is_cut(void **state)
{
	struct peer p = {.serve = endless_body, .answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"};
	struct peer q = {.serve = endless_letters, .answer = "HTTP/1.1 200 OK\r\n\r\n"};
	struct asked a;

	assert_int_equal(ask_peer(&p, &a, (struct net_limits){.body_max = 7}), 0);
	assert_true(a.r.cut);
	assert_string_equal(a.body, "hellohe");
	assert_int_equal(ask_peer(&q, &a, (struct net_limits){.body_max = 7}), 0);
	assert_true(a.r.cut);
	assert_string_equal(a.body, "0123456");
}

/* A chunk's extension carries bytes that count as nothing; the time limit ends it. */
static void an_endless_chunk_extension_ends_with_the_time(void **state)
{
	struct peer p = {.serve = endless_letters, .answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x="};
	struct asked a;

	assert_int_equal(ask_peer(&p, &a, (struct net_limits){.total_ms = 200}), ERR_PEER_TIMEOUT);
	assert_int_equal(a.r.body_bytes, 0);
}

/* ---- packed ---- */

static unsigned char bomb[65536];
static size_t bomb_len;

static void say_bomb(struct wire *l)
{
	char head[128];

	if (!wire_read_request(l))
		return;
	snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n", bomb_len);
	wire_say(l, head);
	wire_send(l, bomb, bomb_len);
}

static void a_packed_answer_is_not_unpacked(void **state)
{
	static const unsigned char zeros[1 << 20];
	struct peer p = {.serve = say_bomb};
	z_stream z = {};
	struct asked a;

	/* 16 MiB of zeros in 16 KiB */
	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_out = bomb;
	z.avail_out = sizeof(bomb);
	for (int i = 0; i < 16; i++) {
		z.next_in = (unsigned char *)(uintptr_t)zeros;
		z.avail_in = sizeof(zeros);
		deflate(&z, i < 15 ? Z_NO_FLUSH : Z_FINISH);
	}
	bomb_len = sizeof(bomb) - z.avail_out;
	deflateEnd(&z);

	assert_int_equal(ask_peer(&p, &a, (struct net_limits){}), 0);
	assert_null(strcasestr(p.request, "accept-encoding"));
	assert_int_equal(a.r.body_bytes, bomb_len);
	assert_memory_equal(a.body, bomb, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_answer_that_is_no_whole_http_is_a_failure, begin, end),
		cmocka_unit_test_setup_teardown(a_status_that_came_is_told_even_when_the_body_did_not, begin, end),
		cmocka_unit_test_setup_teardown(a_receiver_that_resets_is_a_lost_connection, begin, end),
		cmocka_unit_test_setup_teardown(a_port_where_nothing_listens_is_a_failed_connection, begin, end),
		cmocka_unit_test_setup_teardown(a_receiver_that_never_answers_is_left_at_the_time_limit, begin, end),
		cmocka_unit_test_setup_teardown(a_receiver_that_never_answers_in_tls_is_left_at_the_connecting_limit, begin, end),
		cmocka_unit_test_setup_teardown(a_receiver_that_drips_is_left_when_the_rate_stays_too_low, begin, end),
		cmocka_unit_test_setup_teardown(a_receiver_that_drips_fast_enough_is_left_at_the_time_limit, begin, end),
		cmocka_unit_test_setup_teardown(an_endless_head_ends_at_its_limit, begin, end),
		cmocka_unit_test_setup_teardown(a_head_is_taken_up_to_its_limit, begin, end),
		cmocka_unit_test_setup_teardown(of_a_gigabyte_only_the_limit_is_read_and_the_status_counts, begin, end),
		cmocka_unit_test_setup_teardown(a_body_is_read_up_to_its_limit, begin, end),
		cmocka_unit_test_setup_teardown(a_body_without_an_end_is_cut, begin, end),
		cmocka_unit_test_setup_teardown(an_endless_chunk_extension_ends_with_the_time, begin, end),
		cmocka_unit_test_setup_teardown(a_packed_answer_is_not_unpacked, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
