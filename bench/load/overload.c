/* Offers a server more uploads than it can take, and tells what became of them.
 *
 *	overload PORT CONNECTIONS SECONDS BYTES HOW [IDS]
 *
 * Each connection sends one upload after the other, a hundred connections from each loopback address, so that no limit of one address stands before the others.
 * HOW: `polite` comes again when Retry-After says so, `rude` at once. Time is taken from the first byte (or the connecting before it) to the whole answer.
 * Ids that were acknowledged go into the file IDS, one a line. Prints one JSON object. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EACH_ADDRESS 90 /* connections, below the server's default limit */
#define SAMPLES_MAX 20000000
#define ANSWER_MAX 16384

enum state { CLOSED, SENDING, READING, PAUSED };

struct client {
	int fd, index;
	enum state state;
	int64_t begun_us, again_us;
	size_t sent, got;
	char answer[ANSWER_MAX];
};

static struct client *clients;
static int n_clients, epoll_fd, port;
static bool polite;
static size_t body_len, request_len;
static char *request;
static FILE *ids;
static uint32_t *admitted_us, *refused_us;
static size_t n_admitted, n_refused, n_other, n_dropped, n_no_retry_after, n_connects, n_connect_failed;
static int64_t end_us;

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void watch(struct client *c, uint32_t events, int how)
{
	struct epoll_event e = {.events = events, .data.ptr = c};

	if (epoll_ctl(epoll_fd, how, c->fd, &e) != 0) {
		perror("epoll_ctl");
		exit(1);
	}
}

static void pause_until(struct client *c, int64_t us)
{
	c->again_us = us;
	c->state = c->fd < 0 ? CLOSED : PAUSED;
}

static void hang_up(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->state = CLOSED;
}

static void connect_one(struct client *c)
{
	struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int on = 1;

	from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + (uint32_t)(c->index / EACH_ADDRESS));
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	n_connects++;
	if (c->fd < 0 || bind(c->fd, (struct sockaddr *)&from, sizeof(from)) != 0 ||
	    (connect(c->fd, (struct sockaddr *)&to, sizeof(to)) != 0 && errno != EINPROGRESS)) {
		n_connect_failed++;
		hang_up(c);
		c->again_us = now_us() + 100000;
		return;
	}
	c->state = SENDING;
	c->sent = c->got = 0;
	watch(c, EPOLLOUT | EPOLLIN, EPOLL_CTL_ADD);
}

static void begin(struct client *c)
{
	c->begun_us = now_us();
	if (c->fd < 0) {
		connect_one(c);
		return;
	}
	c->state = SENDING;
	c->sent = c->got = 0;
	watch(c, EPOLLOUT | EPOLLIN, EPOLL_CTL_MOD);
}

static void keep(uint32_t **list, size_t *n, int64_t us)
{
	if (*n < SAMPLES_MAX)
		(*list)[(*n)++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

static const char *field(const struct client *c, const char *name)
{
	const char *p = strcasestr(c->answer, name);

	return p == NULL ? NULL : p + strlen(name);
}

/* True when the whole answer is there. */
static bool complete(const struct client *c, size_t *ret_len)
{
	const char *end = strstr(c->answer, "\r\n\r\n"), *length = field(c, "\r\nContent-Length: ");

	if (end == NULL)
		return false;
	*ret_len = (size_t)(end + 4 - c->answer) + (length == NULL ? 0 : strtoul(length, NULL, 10));
	return c->got >= *ret_len;
}

static void judge(struct client *c)
{
	int status = atoi(c->answer + 9);
	int64_t now = now_us(), again = now;
	const char *retry = field(c, "\r\nRetry-After: "), *id = field(c, "\"id\":\"");
	bool closes = field(c, "\r\nConnection: close") != NULL;

	if (status == 201) {
		keep(&admitted_us, &n_admitted, now - c->begun_us);
		if (ids != NULL && id != NULL)
			fprintf(ids, "%.36s\n", id);
	} else if (status == 503 || status == 429) {
		keep(&refused_us, &n_refused, now - c->begun_us);
		if (retry == NULL)
			n_no_retry_after++;
		if (polite)
			again += retry == NULL ? 1000000 : atol(retry) * 1000000;
	} else {
		n_other++;
	}
	if (closes)
		hang_up(c);
	if (again > now || now >= end_us) {
		if (c->fd >= 0)
			watch(c, EPOLLIN, EPOLL_CTL_MOD);
		pause_until(c, again);
	} else {
		begin(c);
	}
}

static void dropped(struct client *c)
{
	if (c->state == SENDING || c->state == READING)
		n_dropped += c->got == 0 || c->state == READING;
	hang_up(c);
	c->again_us = now_us() + (polite ? 1000000 : 1000);
}

static void on_event(struct client *c, uint32_t events)
{
	size_t len;
	ssize_t n;

	if (c->state == SENDING && (events & EPOLLOUT)) {
		n = send(c->fd, request + c->sent, request_len - c->sent, MSG_NOSIGNAL);
		if (n > 0)
			c->sent += (size_t)n;
		if (c->sent == request_len) {
			c->state = READING;
			watch(c, EPOLLIN, EPOLL_CTL_MOD);
		}
	}
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	n = recv(c->fd, c->answer + c->got, ANSWER_MAX - 1 - c->got, 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		dropped(c);
		return;
	}
	c->got += (size_t)n;
	c->answer[c->got] = '\0';
	if (c->state != PAUSED && complete(c, &len))
		judge(c);
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static double at(uint32_t *list, size_t n, double part)
{
	return n == 0 ? 0 : list[(size_t)((double)(n - 1) * part)] / 1000.0;
}

static void report(double seconds)
{
	qsort(admitted_us, n_admitted, sizeof(*admitted_us), by_size);
	qsort(refused_us, n_refused, sizeof(*refused_us), by_size);
	printf("{\"connections\":%d,\"polite\":%s,\"admitted\":%zu,\"admitted_per_s\":%.0f,\"admitted_p50_ms\":%.1f,\"admitted_p99_ms\":%.1f,\"admitted_max_ms\":%.1f,"
	       "\"refused\":%zu,\"refused_p99_ms\":%.1f,\"refused_without_retry_after\":%zu,\"other_answers\":%zu,\"without_an_answer\":%zu,"
	       "\"connects\":%zu,\"connect_failed\":%zu}\n",
	       n_clients, polite ? "true" : "false", n_admitted, (double)n_admitted / seconds, at(admitted_us, n_admitted, 0.5),
	       at(admitted_us, n_admitted, 0.99), at(admitted_us, n_admitted, 1), n_refused, at(refused_us, n_refused, 0.99),
	       n_no_retry_after, n_other, n_dropped, n_connects, n_connect_failed);
}

static void make_request(void)
{
	char head[256];
	int n = snprintf(
		head, sizeof(head),
		"POST /v1/files?name=a.bin HTTP/1.1\r\nHost: a\r\nContent-Type: application/octet-stream\r\nContent-Length: %zu\r\n\r\n",
		body_len);

	request_len = (size_t)n + body_len;
	request = malloc(request_len);
	if (request == NULL)
		exit(1);
	memcpy(request, head, (size_t)n);
	for (size_t i = 0; i < body_len; i++)
		request[(size_t)n + i] = (char)(i * 131 + i / 251);
}

int main(int argc, char **argv)
{
	struct epoll_event events[256];
	int64_t started;

	if (argc < 6) {
		fprintf(stderr, "usage: overload PORT CONNECTIONS SECONDS BYTES polite|rude [IDS]\n");
		return 2;
	}
	port = atoi(argv[1]);
	n_clients = atoi(argv[2]);
	body_len = strtoul(argv[4], NULL, 10);
	polite = strcmp(argv[5], "polite") == 0;
	ids = argc > 6 ? fopen(argv[6], "w") : NULL;
	clients = calloc((size_t)n_clients, sizeof(*clients));
	admitted_us = malloc(SAMPLES_MAX * sizeof(*admitted_us));
	refused_us = malloc(SAMPLES_MAX * sizeof(*refused_us));
	if (clients == NULL || admitted_us == NULL || refused_us == NULL)
		return 1;
	make_request();
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	started = now_us();
	end_us = started + (int64_t)(atof(argv[3]) * 1e6);
	for (int i = 0; i < n_clients; i++) {
		clients[i] = (struct client){.fd = -1, .index = i};
		begin(&clients[i]);
	}
	for (int64_t now = started, look = 0; now < end_us + 2000000; now = now_us()) {
		int n = epoll_wait(epoll_fd, events, 256, 5), busy = 0;

		for (int i = 0; i < n; i++)
			on_event(events[i].data.ptr, events[i].events);
		if (now < look)
			continue;
		look = now + 5000;
		for (int i = 0; i < n_clients; i++) {
			struct client *c = &clients[i];

			busy += c->state == SENDING || c->state == READING;
			if ((c->state == PAUSED || c->state == CLOSED) && now >= c->again_us && now < end_us)
				begin(c);
		}
		if (now >= end_us && busy == 0)
			break;
	}
	report((double)(end_us - started) / 1e6);
	if (ids != NULL)
		fclose(ids);
	return 0;
}
