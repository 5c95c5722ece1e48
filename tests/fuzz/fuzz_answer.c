/* Answers of hostile servers, as they come over a connection on loopback: status lines, heads, interim answers, Retry-After, chunks. The first byte chooses the bounds and who takes the body, the rest is
 * what the server says to a GET before it closes. Each request ends once, within its bounds, with a code that says what can happen to a request, and its words are not the server's. */
#include "engine/import.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEAD_MAX 2048
#define BODY_MAX 5000
#define KEEP 100

static void require(bool holds)
{
	if (!holds)
		abort();
}

struct request {
	struct net_client *client;
	uint64_t id;
	uint8_t how;
	unsigned heads, ends;
	bool waited; /* the piece comes for the second time */
	uint64_t taken;
	sem_t done;
};

static bool is_expected(int code)
{
	return code == 0 || code == ERR_BAD_ANSWER || code == ERR_ANSWER_TOO_LARGE || code == ERR_CONNECTION_LOST;
}

static bool take_head(void *arg, const struct net_head *h)
{
	struct request *q = arg;
	struct fetch_head f;

	require(++q->heads == 1 && q->ends == 0);
	require(h->status >= 200 && h->status <= 999);
	require(h->fields.len > 0 && h->fields.len <= HEAD_MAX);
	import_read_head(&f, h, q->how & 8);
	require(f.status == h->status);
	return true;
}

static enum net_take take(void *arg, const char *data, size_t n)
{
	struct request *q = arg;

	require(q->heads == 1 && q->ends == 0 && n > 0 && n <= 65536);
	if (q->how & 4 && !q->waited) {
		q->waited = true;
		net_resume(q->client, q->id);
		return NET_FULL;
	}
	q->waited = false;
	q->taken += n;
	return NET_TAKEN;
}

static void end_request(void *arg, const struct net_result *r)
{
	struct request *q = arg;

	require(++q->ends == 1);
	require(is_expected(r->code));
	require((r->code == 0) == (r->detail[0] == '\0'));
	for (const char *c = r->detail; *c != '\0'; c++)
		require(*c >= ' ' && *c <= '~');
	require(r->status == 0 || (r->status >= 100 && r->status <= 999));
	require(r->code != 0 || r->status >= 200);
	require(r->retry_after_s >= -1);
	require(r->body_bytes <= BODY_MAX && r->body.len <= KEEP && r->body.len <= r->body_bytes);
	require(q->heads == 0 || q->taken == r->body_bytes);
	sem_post(&q->done);
}

static struct net_client *client;

static void stop(void)
{
	net_client_free(client);
}

static void start(void)
{
	static struct net_client_options o = {.policy = {.http = true, .allow_n = 1}};
	struct err e = ERR_INIT;

	require(ip_range_parse(&o.policy.allow[0], STR("127.0.0.1"), NULL) == 0);
	require(net_client_new(&client, &o, &e) == 0);
	require(atexit(stop) == 0);
}

static int listen_on_loopback(unsigned *ret_port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	require(fd >= 0 && bind(fd, (struct sockaddr *)&a, n) == 0 && listen(fd, 1) == 0);
	require(getsockname(fd, (struct sockaddr *)&a, &n) == 0);
	*ret_port = ntohs(a.sin_port);
	return fd;
}

/* Says it all to the first who comes, as fast as he reads it, and says nothing to others. */
static void serve(int listener, struct str answer, sem_t *done)
{
	const struct linger at_once = {.l_onoff = 1}; /* no connection is left waiting in the kernel */
	const int fd = TEMP_FAILURE_RETRY(accept4(listener, NULL, NULL, SOCK_CLOEXEC)); /* libFuzzer has a clock that signals */
	char request[4096];
	size_t n = 0;

	require(fd >= 0);
	close(listener);
	while (n < 4 || memcmp(request + n - 4, "\r\n\r\n", 4) != 0) {
		const ssize_t got = TEMP_FAILURE_RETRY(recv(fd, request + n, sizeof(request) - n, 0));

		require(got > 0);
		n += (size_t)got;
	}
	while (answer.len > 0) {
		const ssize_t sent = TEMP_FAILURE_RETRY(send(fd, answer.p, answer.len, MSG_NOSIGNAL));

		if (sent < 0)
			break; /* he has heard enough */
		answer = (struct str){answer.p + sent, answer.len - (size_t)sent};
	}
	shutdown(fd, SHUT_WR);
	while (sem_wait(done) != 0)
		;
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct request q = {};
	struct err e = ERR_INIT;
	char url[64];
	unsigned port;
	int listener;

	if (size == 0)
		return 0;
	if (client == NULL)
		start();
	q.client = client;
	q.how = data[0];
	sem_init(&q.done, 0, 0);
	listener = listen_on_loopback(&port);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/", port);
	struct net_request r = {.method = STR("GET"),
				.url = str_of(url),
				.limits = {.head_max = HEAD_MAX, .body_max = BODY_MAX, .body_keep = data[0] & 1 ? 0 : KEEP},
				.done = end_request,
				.arg = &q};
	if (data[0] & 1) {
		r.head = take_head;
		r.take = take;
	}
	require(net_send(client, &r, &q.id, &e) == 0);
	serve(listener, (struct str){(const char *)data + 1, size - 1}, &q.done);
	sem_destroy(&q.done);
	return 0;
}
