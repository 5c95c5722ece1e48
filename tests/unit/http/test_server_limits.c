/* The server with settings of its own: slow clients, limits, stopping. */
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

#define TRIES 100 /* of what has to come about quickly */

static struct world world;

/* For tests that start the server with other settings. */
static void start_with(struct http_config config)
{
	world_start(&world, config);
}

static struct http_config quick(void)
{
	struct http_config config = world_config();

	config.header_timeout_ms = 200;
	config.idle_timeout_ms = 300;
	config.body_grace_ms = 200;
	config.body_min_rate = 10000;
	return config;
}

/* A connection whose first bytes were sent well before the server may close a silent one. Who was kept from the processor for longer than that is closed without a word,
 * and rightly: he begins anew. */
static int connect_and_send(const char *first)
{
	for (;;) {
		int64_t begun = now_ms();
		int fd = client_connect(&world);

		client_send_str(fd, first);
		if (now_ms() - begun < quick().header_timeout_ms / 2)
			return fd;
		close(fd);
	}
}

/* A byte every 20 ms until the server has had enough. */
static struct answer drip(const char *prefix)
{
	int fd = connect_and_send(prefix);
	struct answer a;
	int64_t until = now_ms() + 60000;

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
	struct answer a = drip(prefix);

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
	fd = connect_and_send(GET("/hello"));
	a = client_read(fd, false);
	assert_int_equal(a.status, 200);
	answer_free(&a);
	for (int i = 0; i < 3000; i++) {
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
	fd = connect_and_send(GET("/hello"));
	silent = client_connect(&world);
	a = client_read(fd, true);
	assert_true(a.closed);
	assert_int_equal(a.status, 200);
	assert_int_equal(a.rest_len, 0);
	answer_free(&a);
	a = client_read(silent, true);
	assert_true(a.closed);
	assert_int_equal(a.status, 0);
	answer_free(&a);
	close(fd);
	close(silent);
	world_stop(&world);
}

/* Until the condition holds, or the moment has come by which it should have. */
#define UNTIL(moment_ms, condition)                                                                                                        \
	while (!(condition) && now_ms() < (moment_ms))                                                                                     \
	nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL)

/* Three clients send a part each, and the rest once the only thread is busy. False: not well within their time, for a machine's fault; all is taken down again. */
static bool send_and_hold_up(struct http_config config, int fds[3], int *ret_busy)
{
	start_with(config);
	int64_t late = now_ms() + config.body_grace_ms / 2;

	for (int i = 0; i < 3; i++) {
		fds[i] = client_connect(&world);
		check_open(fds[i], GET("/hello"), 200, "hello");
	}
	client_send_str(fds[0], "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
	client_send_str(fds[1], "GET /hello HTTP/1.1\r\n");
	*ret_busy = client_connect(&world);
	world_hold(&world, true);
	client_send_str(*ret_busy, GET("/blocking"));
	UNTIL(late, atomic_load(&world.handed) == 5); /* with the echo's */
	client_send_str(fds[0], "world");
	client_send_str(fds[1], "Host: a\r\n\r\n");
	client_send_str(fds[2], GET("/hello"));
	if (atomic_load(&world.handed) == 5 && now_ms() < late)
		return true;
	close(*ret_busy);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	world_stop(&world);
	return false;
}

static void who_has_sent_in_time_is_not_closed_because_we_did_not_read_it(void **state)
{
	struct http_config config = quick();
	int fds[3], busy;

	config.threads = 1;
	config.idle_timeout_ms = 2000;
	config.header_timeout_ms = config.body_grace_ms = 2000;
	for (int tries = 0; !send_and_hold_up(config, fds, &busy); tries++)
		assert_true(tries < TRIES);
	nanosleep(&(struct timespec){.tv_sec = 5}, NULL); /* the longest that anything takes to be closed */
	world_hold(&world, false);
	for (int i = 0; i < 3; i++) {
		struct answer a = client_read(fds[i], false);

		assert_int_equal(a.status, 200);
		assert_int_equal(a.rest_len, 0);
		answer_free(&a);
		close(fds[i]);
	}
	close(busy);
	world_stop(&world);
}

/* As a look into a catalogue that does not answer. */
static int admit_when_let(struct http_request *r, struct err *e)
{
	struct world *w = http_app(r);

	pthread_mutex_lock(&w->lock);
	atomic_fetch_add(&w->logged, 1);
	while (w->hold)
		pthread_cond_wait(&w->given, &w->lock);
	pthread_mutex_unlock(&w->lock);
	return 0;
}

/* One client's body was read, another's request holds the only thread up. False: not well within their time; all is taken down again. */
static bool read_and_hold_up(struct http_config config, int *ret_whole, int *ret_held_up)
{
	start_with(config);
	int64_t late = now_ms() + config.body_grace_ms / 2;

	*ret_whole = client_connect(&world);
	client_send_str(*ret_whole, "POST /waits HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
	UNTIL(late, atomic_load(&world.handed) == 1);
	world_hold(&world, true);
	client_send_str(*ret_whole, "hello");
	UNTIL(late, atomic_load(&world.stream_bytes) == 5);
	*ret_held_up = client_connect(&world);
	client_send_str(*ret_held_up, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nworld");
	UNTIL(late, atomic_load(&world.logged) == 2);
	if (atomic_load(&world.logged) == 2 && now_ms() < late)
		return true;
	close(*ret_whole);
	close(*ret_held_up);
	world_stop(&world);
	return false;
}

static void what_was_read_before_we_were_held_up_is_not_owed_by_the_client(void **state)
{
	struct http_config config = quick();
	int whole, held_up;
	struct answer a;

	config.threads = 1;
	config.idle_timeout_ms = 60000;
	config.header_timeout_ms = config.body_grace_ms = 600;
	config.admit = admit_when_let;
	config.access_log = NULL;
	for (int tries = 0; !read_and_hold_up(config, &whole, &held_up); tries++)
		assert_true(tries < TRIES);
	world_one(&world); /* the first may go on, but who would go on with it is held up by the second */
	nanosleep(&(struct timespec){.tv_sec = 2}, NULL); /* several times every limit */
	world_hold(&world, false);
	a = client_read(whole, false);
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "5");
	answer_free(&a);
	a = client_read(held_up, false);
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "world");
	answer_free(&a);
	close(whole);
	close(held_up);
	world_stop(&world);
}

static void a_request_that_waits_for_us_is_never_closed(void **state)
{
	struct answer a;
	int fd;

	start_with(quick());
	world_hold(&world, true);
	fd = connect_and_send("POST /echo-later HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
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
	check(&world, GET_CLOSE("/hello"), 200, "hello");
	world_stop(&world);
}

static void exhausted_descriptors_pause_accepting_without_spinning(void **state)
{
	struct rlimit old, tight;
	struct rusage before, after;
	int fds[8];
	struct answer a;

	start_with(world_config());
	check(&world, GET_CLOSE("/hello"), 200, "hello");
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
	struct drainer d = {.grace_ms = 60000};
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
	check(&world, GET_CLOSE("/hello"), 200, "hello");
	world_stop(&world);
}

static void ipv6_is_served(void **state)
{
	struct http_config config = world_config();

	config.address = "::"; /* IPv4 clients come in by it too */
	start_with(config);
	check(&world, GET_CLOSE("/hello"), 200, "hello");
	world_stop(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dripping_clients_are_told_and_closed),
		cmocka_unit_test(a_second_head_that_drips_is_closed_too),
		cmocka_unit_test(idle_and_silent_connections_are_closed_without_a_word),
		cmocka_unit_test(who_has_sent_in_time_is_not_closed_because_we_did_not_read_it),
		cmocka_unit_test(what_was_read_before_we_were_held_up_is_not_owed_by_the_client),
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
