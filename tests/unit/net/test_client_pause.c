/* An answer that is taken as it comes, by somebody who has no room for a while. While he has none nothing is read from the connection: what the source sent and he did not take lies in the kernel. */
#include "base/compiler.h"
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define LARGE ((uint64_t)48 << 20) /* no kernel keeps that much of one connection */
#define ON_THE_WAY_MAX ((uint64_t)24 << 20) /* of a connection: both its buffers at their largest, and what libcurl reads at once */
#define SMALL 300000 /* the kernel takes it at once; more than libcurl reads at once */

static struct world w;

/* ---- the source: byte i of its body is byte_at(i) ---- */

static uint8_t byte_at(uint64_t i)
{
	return (uint8_t)(i * 2654435761u >> 13);
}

static struct {
	const char *head;
	uint64_t body; /* bytes of it that are sent; then the connection is closed, or with `keep` left as it is */
	bool keep;
	_Atomic uint64_t sent;
	atomic_bool stuck; /* the kernel takes no more for now */
	atomic_bool over; /* all was sent */
} source;

static bool send_some(struct wire *l, const char *p, size_t n)
{
	while (n > 0) {
		const ssize_t sent = send(l->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0 && !wire_pause(l, 1))
			return false;
		atomic_store(&source.stuck, sent < 0);
		if (sent > 0) {
			p += sent;
			n -= (size_t)sent;
			atomic_fetch_add(&source.sent, (uint64_t)sent);
		}
	}
	return true;
}

static void send_body(struct wire *l)
{
	char piece[65536];

	if (!wire_read_request(l) || !wire_say(l, source.head))
		return;
	for (uint64_t at = 0; at < source.body;) {
		const size_t n = source.body - at < sizeof(piece) ? (size_t)(source.body - at) : sizeof(piece);

		for (size_t i = 0; i < n; i++)
			piece[i] = (char)byte_at(at + i);
		if (!send_some(l, piece, n))
			return;
		at += n;
	}
	shutdown(l->fd, source.keep ? SHUT_RD : SHUT_RDWR);
	atomic_store(&source.over, true);
	if (source.keep)
		wire_pause(l, -1);
}

/* ---- who takes it ---- */

static struct taker {
	struct asked asked; /* first: it is the request's `arg` */
	atomic_int room; /* pieces that may be taken; without any the answer waits */
	atomic_uint paused; /* how often there was none */
	_Atomic uint64_t taken;
	bool wrong; /* a byte that should not come now */
	bool gone; /* `done` was called */
	enum net_take last; /* what the piece is answered with for which there is room last */
	atomic_uint after_last; /* pieces behind it */
} taker;

static bool take_head(void *arg, const struct net_head *h)
{
	return true;
}

static enum net_take take(void *arg, const char *data, size_t n)
{
	struct taker *t = arg;
	uint64_t at = atomic_load(&t->taken);

	if (t->last == NET_ENOUGH && atomic_load(&t->room) < 0)
		atomic_fetch_add(&t->after_last, 1);
	if (atomic_load(&t->room) == 0) {
		atomic_fetch_add(&t->paused, 1);
		return NET_FULL;
	}
	t->wrong |= n == 0 || n > 65536 || t->gone;
	for (size_t i = 0; i < n; i++)
		t->wrong |= (uint8_t)data[i] != byte_at(at + i);
	atomic_store(&t->taken, at + n);
	if (atomic_fetch_sub(&t->room, 1) == 1 && t->last == NET_ENOUGH) {
		atomic_store(&t->room, -1);
		return NET_ENOUGH;
	}
	return NET_TAKEN;
}

static void end_request(void *arg, const struct net_result *r)
{
	struct taker *t = arg;

	t->gone = true;
	t->asked.r = *r;
	snprintf(t->asked.detail, sizeof(t->asked.detail), "%s", r->detail);
	t->asked.times++;
	sem_post(&t->asked.done);
}

/* With room for so many pieces. */
static void fetch(struct peer *p, struct net_limits limits, int room)
{
	struct err e = ERR_INIT;
	struct net_request r = {.method = STR("GET"),
				.url = str_of(url_of(p, "hook.example", "/")),
				.limits = limits,
				.head = take_head,
				.take = take,
				.done = end_request,
				.arg = &taker};

	taker.room = room;
	sem_init(&taker.asked.done, 0, 0);
	if (net_send(w.client, &r, &taker.asked.id, &e) != 0)
		fail_msg("%s", e.detail);
}

static void make_room(int pieces)
{
	atomic_store(&taker.room, pieces);
	net_resume(w.client, taker.asked.id);
}

static bool is_over(void)
{
	int n;

	sem_getvalue(&taker.asked.done, &n);
	return n > 0;
}

static void wait_for_pause(unsigned times)
{
	while (atomic_load(&taker.paused) < times && !is_over())
		usleep(1000);
	assert_int_equal(taker.paused, times);
	assert_false(is_over());
}

static void wait_for_the_source(atomic_bool *flag)
{
	while (!atomic_load(flag) && !atomic_load(&source.over))
		usleep(1000);
}

static void start(struct peer *p, const char *head, uint64_t body)
{
	source.head = head;
	source.body = body;
	world_start(&w);
	assert_true(peer_start(p));
}

static int begin(void **state)
{
	world_init(&w);
	memset(&source, 0, sizeof(source));
	memset(&taker, 0, sizeof(taker));
	return 0;
}

static int end(void **state)
{
	assert_false(taker.wrong);
	world_end(&w);
	return 0;
}

/* ---- tests ---- */

#define HEAD_LARGE "HTTP/1.1 200 OK\r\nContent-Length: 50331648\r\n\r\n"
#define HEAD_SMALL "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n"
#define HEAD_LONGER "HTTP/1.1 200 OK\r\nContent-Length: 300001\r\n\r\n"
#define HEAD_NO_LENGTH "HTTP/1.1 200 OK\r\n\r\n"

static const struct net_limits any_size = {.body_max = LARGE};

static void a_slow_reader_gets_every_byte_once_and_the_source_waits_for_it(void **state)
{
	struct peer p = {.serve = send_body};

	start(&p, HEAD_LARGE, LARGE);
	fetch(&p, any_size, 0);
	for (unsigned n = 1; n <= 100; n++) {
		wait_for_pause(n);
		/* the source sends until the kernel takes no more, or until all was sent, which must not be */
		wait_for_the_source(&source.stuck);
		assert_true(source.sent - taker.taken <= ON_THE_WAY_MAX);
		make_room(1 + (int)(n % 7));
	}
	wait_for_pause(101);
	make_room(1 << 30);
	wait_for_answer(&taker.asked);
	peer_stop(&p);
	assert_int_equal(taker.asked.r.code, 0);
	assert_true(taker.taken == LARGE);
	assert_true(taker.asked.r.body_bytes == LARGE);
	assert_int_equal(taker.paused, 101);
}

static void room_that_is_told_before_it_is_asked_for_and_twice_changes_nothing(void **state)
{
	struct peer p = {.serve = send_body};

	start(&p, HEAD_SMALL, SMALL);
	fetch(&p, any_size, 0);
	net_resume(w.client, taker.asked.id);
	while (atomic_load(&taker.paused) == 0)
		usleep(1000);
	for (int i = 0; i < 3; i++)
		net_resume(w.client, taker.asked.id);
	make_room(1 << 30);
	wait_for_answer(&taker.asked);
	peer_stop(&p);
	assert_int_equal(taker.asked.r.code, 0);
	assert_int_equal(taker.taken, SMALL);
}

static void who_has_no_room_can_cancel(void **state)
{
	struct peer p = {.serve = send_body};

	start(&p, HEAD_LARGE, LARGE);
	fetch(&p, any_size, 1);
	wait_for_pause(1);
	const uint64_t taken = taker.taken;

	net_cancel(w.client, taker.asked.id);
	wait_for_answer(&taker.asked);
	assert_int_equal(taker.asked.r.code, ERR_CANCELLED);
	make_room(1 << 30);
	peer_stop(&p);
	assert_true(taker.taken == taken);
	assert_int_equal(net_client_busy(w.client), 0);
}

static void who_has_no_room_is_told_when_the_client_ends(void **state)
{
	struct peer p = {.serve = send_body};

	start(&p, HEAD_LARGE, LARGE);
	fetch(&p, any_size, 1);
	wait_for_pause(1);
	net_client_free(w.client);
	w.client = NULL;
	wait_for_answer(&taker.asked);
	peer_stop(&p);
	assert_int_equal(taker.asked.r.code, ERR_SHUTTING_DOWN);
}

/* What came before the source closed is not lost, and that it closed is told behind it. */
static void a_source_may_close_while_nobody_reads(void **state)
{
	static const struct {
		const char *head;
		int code;
	} cases[] = {{HEAD_SMALL, 0}, {HEAD_NO_LENGTH, 0}, {HEAD_LONGER, ERR_CONNECTION_LOST}};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct peer p = {.serve = send_body};

		if (i > 0)
			begin(NULL);
		start(&p, cases[i].head, SMALL);
		fetch(&p, any_size, 0);
		wait_for_pause(1);
		wait_for_the_source(&source.over);
		peer_stop(&p);
		assert_false(is_over());
		make_room(1);
		wait_for_pause(2);
		make_room(1 << 30);
		wait_for_answer(&taker.asked);
		assert_int_equal(taker.asked.r.code, cases[i].code);
		assert_int_equal(taker.taken, SMALL);
		if (i + 1 < ARRAY_LEN(cases))
			end(NULL);
	}
}

/* The time of a request goes on while nobody reads. On a busy machine it may be over before the pause: then once more, with more of it. */
static void room_behind_the_deadline_is_harmless(void **state)
{
	struct peer p = {.serve = send_body};
	uint64_t taken;

	start(&p, HEAD_LARGE, LARGE);
	for (int64_t ms = 250; taker.paused == 0; ms *= 2) {
		memset(&taker, 0, sizeof(taker));
		fetch(&p, (struct net_limits){.body_max = LARGE, .total_ms = ms}, 1);
		wait_for_answer(&taker.asked);
		assert_int_equal(taker.asked.r.code, ERR_PEER_TIMEOUT);
		assert_true(taker.asked.r.total_ms >= ms);
	}
	taken = taker.taken;
	make_room(1 << 30);
	net_cancel(w.client, taker.asked.id);
	peer_stop(&p);
	assert_true(net_client_drain(w.client, 10000));
	assert_true(taker.taken == taken);
	assert_int_equal(taker.asked.times, 1);
}

/* Of what libcurl kept meanwhile the first piece may be the last one wanted. */
static void who_had_no_room_may_want_no_more(void **state)
{
	struct peer p = {.serve = send_body};

	source.keep = true;
	start(&p, HEAD_LARGE, LARGE);
	taker.last = NET_ENOUGH;
	fetch(&p, any_size, 0);
	wait_for_pause(1);
	wait_for_the_source(&source.stuck);
	make_room(1);
	wait_for_answer(&taker.asked);
	peer_stop(&p);
	assert_int_equal(taker.asked.r.code, 0);
	assert_int_equal(taker.after_last, 0);
	assert_true(taker.taken <= 65536);
}

static void the_bound_of_a_body_holds_behind_a_pause(void **state)
{
	struct peer p = {.serve = send_body};

	start(&p, HEAD_LARGE, LARGE);
	fetch(&p, (struct net_limits){.body_max = 1000}, 0);
	wait_for_pause(1);
	make_room(1 << 30);
	wait_for_answer(&taker.asked);
	peer_stop(&p);
	assert_int_equal(taker.asked.r.code, 0);
	assert_true(taker.asked.r.cut);
	assert_int_equal(taker.taken, 1000);
	assert_int_equal(taker.asked.r.body_bytes, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_slow_reader_gets_every_byte_once_and_the_source_waits_for_it, begin, end),
		cmocka_unit_test_setup_teardown(room_that_is_told_before_it_is_asked_for_and_twice_changes_nothing, begin, end),
		cmocka_unit_test_setup_teardown(who_has_no_room_can_cancel, begin, end),
		cmocka_unit_test_setup_teardown(who_has_no_room_is_told_when_the_client_ends, begin, end),
		cmocka_unit_test_setup_teardown(a_source_may_close_while_nobody_reads, begin, end),
		cmocka_unit_test_setup_teardown(room_behind_the_deadline_is_harmless, begin, end),
		cmocka_unit_test_setup_teardown(who_had_no_room_may_want_no_more, begin, end),
		cmocka_unit_test_setup_teardown(the_bound_of_a_body_holds_behind_a_pause, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
