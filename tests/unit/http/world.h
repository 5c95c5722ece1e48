/* A server on a loopback port of the system's choice, with routes that show each way to answer, and a client that speaks in bytes. */
#ifndef FILEMILL_TESTS_HTTP_WORLD_H
#define FILEMILL_TESTS_HTTP_WORLD_H

#include "http/http.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct world {
	struct http_server *server;
	uint16_t port;
	_Atomic int handed, released; /* requests that handlers saw, and that were let go */
	_Atomic int logged, last_status;
	_Atomic long long stream_bytes;
	/* The other thread: it answers or continues what it is given, in order. */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t given;
	struct http_request *queue[1024];
	void (*todo[1024])(struct http_request *r);
	unsigned head, tail;
	bool hold; /* it does nothing while set */
	bool stop;
	int descriptors_before;
};

struct http_config world_config(void);
void world_start(struct world *w, struct http_config config);
/* Stops the server and checks that every request was released and no descriptor is left. */
void world_stop(struct world *w);
void world_hold(struct world *w, bool hold);
void world_one(struct world *w); /* what the other thread would do next, done by the caller; there is something */
void world_give(struct http_request *r, void (*todo)(struct http_request *r)); /* to the other thread */
int count_descriptors(void);

/* ---- the client ---- */
struct answer {
	int status; /* 0: closed without an answer */
	bool closed; /* the server closed the connection */
	char *head; /* NUL-terminated, with the empty line */
	char *body;
	size_t body_len;
	char *rest; /* what came behind the first answer */
	size_t rest_len;
};

int client_connect(const struct world *w);
void client_send(int fd, const void *p, size_t n);
void client_send_str(int fd, const char *s);
/* One answer; waits at most 5 s. until_close: reads on to the end of the stream. head_only: the answer to HEAD. */
struct answer client_read(int fd, bool until_close);
struct answer client_read_head(int fd);
/* Connect, send, read to the end, close. */
struct answer exchange(const struct world *w, const void *request, size_t n);
struct answer exchange_str(const struct world *w, const char *request);
void answer_free(struct answer *a);
/* The value of a header field, or NULL; valid until the next call on this thread. */
const char *answer_header(const struct answer *a, const char *name);

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET_CLOSE(path) "GET " path " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

int64_t now_ms(void); /* monotonic */

/* Until the condition holds, at most 5 s. */
#define EVENTUALLY(condition)                                                                                                              \
	do {                                                                                                                               \
		int64_t until_ = now_ms() + 60000;                                                                                         \
		while (!(condition) && now_ms() < until_)                                                                                  \
			nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);                                                           \
		assert_true(condition);                                                                                                    \
	} while (0)

/* One exchange on a connection of its own (check) or an open one (check_open): the status, and the body unless NULL; nothing may follow it. */
void check(const struct world *w, const char *request, int status, const char *body);
void check_open(int fd, const char *request, int status, const char *body);

#endif
