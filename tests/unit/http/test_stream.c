/* Answers made piece by piece, without a known end or with one: http_reply_stream(), http_reply_source() and who reads them. */
#include "world.h"

#include "base/compiler.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* A well that gives as many bytes as were poured into it: a, b, c … */
struct well {
	struct world w; /* first: http_app() */
	pthread_mutex_t lock;
	struct http_request *r; /* who draws from it; NULL before and afterwards */
	uint64_t poured, drawn;
	bool over; /* nothing comes after what was poured */
	unsigned asked; /* calls of draw() */
	_Atomic unsigned sources_over;
	unsigned late; /* so many times a byte comes just behind the answer that there is none */
};

static struct well well;

static void begin(struct http_request *r)
{
	atomic_fetch_add(&well.w.handed, 1);
}

static ssize_t draw(struct http_request *r, char *p, size_t max)
{
	size_t n = 0;

	pthread_mutex_lock(&well.lock);
	well.asked++;
	for (; n < max && well.drawn < well.poured; well.drawn++)
		p[n++] = (char)('a' + well.drawn % 26);
	bool over = well.over, late = n == 0 && well.late > 0;
	well.late -= late;
	well.poured += late;
	pthread_mutex_unlock(&well.lock);
	if (late)
		http_stream_wake(r);
	return n == 0 && over ? HTTP_STREAM_END : (ssize_t)n;
}

static void end_draw(struct http_request *r)
{
	pthread_mutex_lock(&well.lock);
	well.r = r;
	pthread_mutex_unlock(&well.lock);
	http_set_header(r, "Cache-Control", "no-store");
	http_reply_stream(r, 200, "text/event-stream", draw);
}

static ssize_t draw_source(struct http_source *s, char *p, size_t max)
{
	return draw(well.r, p, max);
}

static void source_over(struct http_source *s)
{
	atomic_fetch_add(&well.sources_over, 1);
}

/* 30 bytes out of the well. */
static void end_source(struct http_request *r)
{
	static struct http_source source = {.read = draw_source, .free = source_over};

	pthread_mutex_lock(&well.lock);
	well.r = r;
	pthread_mutex_unlock(&well.lock);
	http_set_header(r, "Cache-Control", "no-store");
	http_reply_source(r, 200, "text/event-stream", &source, 30);
}

static void leave(struct http_request *r)
{
	pthread_mutex_lock(&well.lock);
	if (well.r == r)
		well.r = NULL;
	pthread_mutex_unlock(&well.lock);
	atomic_fetch_add(&well.w.released, 1);
}

static void end_hello(struct http_request *r)
{
	http_reply_static(r, 200, "text/plain", "hello", 5);
}

static const struct http_handler draws = {.start = begin, .end = end_draw, .release = leave};
static const struct http_handler hello = {.start = begin, .end = end_hello, .release = leave};
static const struct http_handler draws_source = {.start = begin, .end = end_source, .release = leave};
static const struct http_route routes[] = {
	{HTTP_GET, "/well", &draws}, {HTTP_GET, "/source", &draws_source}, {HTTP_GET, "/hello", &hello}, {}};
static const struct http_route *const tables[] = {routes, NULL};

static void well_start(struct http_config config)
{
	config.tables = tables;
	well = (struct well){};
	pthread_mutex_init(&well.lock, NULL);
	world_start(&well.w, config);
}

static void well_stop(void)
{
	world_stop(&well.w);
	pthread_mutex_destroy(&well.lock);
}

static void pour(uint64_t n, bool over)
{
	pthread_mutex_lock(&well.lock);
	well.poured += n;
	well.over = over;
	if (well.r != NULL)
		http_stream_wake(well.r); /* under the lock: leave() has not returned */
	pthread_mutex_unlock(&well.lock);
}

static unsigned asked(void)
{
	pthread_mutex_lock(&well.lock);
	unsigned n = well.asked;
	pthread_mutex_unlock(&well.lock);
	return n;
}

static uint64_t drawn(void)
{
	pthread_mutex_lock(&well.lock);
	uint64_t n = well.drawn;
	pthread_mutex_unlock(&well.lock);
	return n;
}

/* As many bytes as were asked for, within 5 s; or as came before the end. */
static size_t take(int fd, char *p, size_t n)
{
	size_t at = 0;

	while (at < n) {
		struct pollfd f = {.fd = fd, .events = POLLIN};
		ssize_t got = poll(&f, 1, 60000) > 0 ? recv(fd, p + at, n - at, 0) : -1;

		if (got <= 0)
			break;
		at += (size_t)got;
	}
	return at;
}

static void expect(int fd, const char *text)
{
	char got[200] = "";

	assert_true(strlen(text) < sizeof(got));
	take(fd, got, strlen(text));
	assert_string_equal(got, text);
}

/* Sends the request and reads the head of its answer, which comes before there is any body. */
static int open_well(const char *request, const char *field)
{
	int fd = client_connect(&well.w);
	char head[2000];
	size_t n = 0;

	client_send_str(fd, request);
	do
		assert_int_equal(take(fd, head + n, 1), 1);
	while (++n < sizeof(head) - 1 && (n < 4 || memcmp(head + n - 4, "\r\n\r\n", 4) != 0));
	head[n] = '\0';
	assert_memory_equal(head, "HTTP/1.1 200 ", 13);
	assert_non_null(strstr(head, "Content-Type: text/event-stream\r\n"));
	assert_non_null(strstr(head, "Cache-Control: no-store\r\n"));
	if (field != NULL)
		assert_non_null(strstr(head, field));
	return fd;
}

/* ---- tests ---- */

static void pieces_leave_when_they_are_made_and_the_end_is_told(void **state)
{
	well_start(world_config());
	int fd = open_well(GET("/well"), "Transfer-Encoding: chunked\r\n");
	pour(3, false);
	expect(fd, "3\r\nabc\r\n");
	pour(2, false);
	expect(fd, "2\r\nde\r\n");
	pour(1, true);
	expect(fd, "1\r\nf\r\n0\r\n\r\n");
	check_open(fd, GET("/hello"), 200, "hello"); /* the connection goes on */
	close(fd);
	well_stop();
}

static void an_end_without_a_word_is_told_too(void **state)
{
	well_start(world_config());
	int fd = open_well(GET("/well"), NULL);
	pour(0, true);
	expect(fd, "0\r\n\r\n");
	close(fd);
	well_stop();
}

static void no_wake_is_missed(void **state)
{
	enum { ROUNDS = 3000 };

	well_start(world_config());
	int fd = open_well(GET("/well"), NULL);
	for (unsigned i = 0; i < ROUNDS; i++) {
		char piece[] = "1\r\n?\r\n";

		piece[3] = (char)('a' + i % 26);
		pour(1, false);
		expect(fd, piece);
	}
	pour(0, true);
	expect(fd, "0\r\n\r\n");
	close(fd);
	well_stop();
}

static void what_comes_between_the_question_and_the_waiting_is_not_missed(void **state)
{
	well_start(world_config());
	well.late = 3;
	int fd = open_well(GET("/well"), NULL);
	expect(fd, "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n");
	pour(0, true);
	expect(fd, "0\r\n\r\n");
	close(fd);
	well_stop();
}

static void *pours(void *arg)
{
	for (int i = 0; i < 20000; i++)
		pour(1, false);
	return NULL;
}

static void wakes_from_several_threads_at_once_do_no_harm(void **state)
{
	pthread_t threads[3];
	char got[60001];
	size_t n;

	well_start(world_config());
	int fd = open_well("GET /well HTTP/1.0\r\nHost: a\r\n\r\n", "Connection: close\r\n"); /* no frames: only the bytes */
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, pours, NULL), 0);
	n = take(fd, got, 60000);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(n, 60000);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(got[i], 'a' + i % 26);
	pour(0, true);
	assert_int_equal(take(fd, got, 1), 0);
	close(fd);
	well_stop();
}

static struct http_config quick(void)
{
	struct http_config config = world_config();

	config.header_timeout_ms = 800; /* well more than a busy machine puts between a connection and its first bytes */
	config.idle_timeout_ms = 200;
	config.body_grace_ms = 200;
	return config;
}

static void a_stream_may_be_silent_beyond_every_limit_and_is_not_asked_meanwhile(void **state)
{
	well_start(quick());
	int fd = open_well(GET("/well"), NULL);
	EVENTUALLY(asked() == 1);
	nanosleep(&(struct timespec){.tv_sec = 1, .tv_nsec = 500000000}, NULL); /* longer than every limit */
	assert_int_equal(asked(), 1);
	pour(1, true);
	expect(fd, "1\r\na\r\n0\r\n\r\n");
	close(fd);
	well_stop();
}

static void who_takes_nothing_costs_no_one_else_anything(void **state)
{
	struct http_config config = world_config();
	uint64_t before = 0;

	config.threads = 1; /* all share it */
	well_start(config);
	int fd = open_well(GET("/well"), NULL);
	pour(UINT64_C(1) << 30, false);
	for (int still = 0; still < 10; still++) { /* until what lies between is full */
		before = drawn();
		check(&well.w, GET_CLOSE("/hello"), 200, "hello");
		nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
		if (before != drawn())
			still = -1;
	}
	assert_true(before < 64u << 20); /* what is not taken is not made */
	unsigned calls = asked();
	for (int i = 0; i < 10; i++) {
		pour(1, false); /* it is woken in vain */
		check(&well.w, GET_CLOSE("/hello"), 200, "hello");
	}
	assert_int_equal(asked(), calls);
	close(fd);
	EVENTUALLY(atomic_load(&well.w.released) == atomic_load(&well.w.handed));
	well_stop();
}

static void who_leaves_is_let_go_at_the_next_pieces(void **state)
{
	well_start(world_config());
	int fd = open_well(GET("/well"), NULL);
	close(fd);
	for (int64_t until = now_ms() + 60000; atomic_load(&well.w.released) == 0 && now_ms() < until;) {
		pour(1, false);
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	assert_int_equal(atomic_load(&well.w.released), 1);
	well_stop();
}

static void a_head_has_no_body_and_nobody_is_asked_for_one(void **state)
{
	well_start(world_config());
	char byte;
	int fd = open_well("HEAD /well HTTP/1.1\r\nHost: a\r\n\r\n", "Connection: close\r\n");
	assert_int_equal(take(fd, &byte, 1), 0); /* no frame either */
	assert_int_equal(asked(), 0);
	close(fd);
	well_stop();
}

static void an_answer_of_a_known_length_ends_with_its_last_byte(void **state)
{
	well_start(world_config());
	int fd = open_well(GET("/source"), "Content-Length: 30\r\n");
	pour(3, false);
	expect(fd, "abc");
	pour(27, false);
	expect(fd, "defghijklmnopqrstuvwxyzabcd");
	check_open(fd, GET("/hello"), 200, "hello"); /* the connection goes on */
	assert_int_equal(atomic_load(&well.sources_over), 1);
	close(fd);
	well_stop();
}

static void an_answer_of_a_known_length_that_ends_before_breaks_the_connection(void **state)
{
	char got[40];

	well_start(world_config());
	int fd = open_well(GET("/source"), "Content-Length: 30\r\n");
	pour(29, true);
	assert_int_equal(take(fd, got, sizeof(got)), 29);
	close(fd);
	EVENTUALLY(atomic_load(&well.sources_over) == 1);
	well_stop();
}

static void a_head_of_a_known_length_asks_nobody(void **state)
{
	well_start(world_config());
	int fd = open_well("HEAD /source HTTP/1.1\r\nHost: a\r\n\r\n", "Content-Length: 30\r\n");
	check_open(fd, GET("/hello"), 200, "hello");
	assert_int_equal(asked(), 0);
	EVENTUALLY(atomic_load(&well.sources_over) == 1);
	close(fd);
	well_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_leave_when_they_are_made_and_the_end_is_told),
		cmocka_unit_test(an_end_without_a_word_is_told_too),
		cmocka_unit_test(no_wake_is_missed),
		cmocka_unit_test(what_comes_between_the_question_and_the_waiting_is_not_missed),
		cmocka_unit_test(wakes_from_several_threads_at_once_do_no_harm),
		cmocka_unit_test(a_stream_may_be_silent_beyond_every_limit_and_is_not_asked_meanwhile),
		cmocka_unit_test(who_takes_nothing_costs_no_one_else_anything),
		cmocka_unit_test(who_leaves_is_let_go_at_the_next_pieces),
		cmocka_unit_test(a_head_has_no_body_and_nobody_is_asked_for_one),
		cmocka_unit_test(an_answer_of_a_known_length_ends_with_its_last_byte),
		cmocka_unit_test(an_answer_of_a_known_length_that_ends_before_breaks_the_connection),
		cmocka_unit_test(a_head_of_a_known_length_asks_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
