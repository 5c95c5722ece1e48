#include "world.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static unsigned open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* ---- names ---- */

static bool is_below(const char *host, const char *domain)
{
	const size_t n = strlen(host), m = strlen(domain);

	return n > m && strcmp(host + n - m, domain) == 0;
}

static void add(struct sockaddr_storage *addrs, size_t max, size_t *n, const char *text)
{
	struct sockaddr_storage a = {.ss_family = strchr(text, ':') ? AF_INET6 : AF_INET};
	void *bytes = a.ss_family == AF_INET6 ? (void *)&((struct sockaddr_in6 *)&a)->sin6_addr
					      : (void *)&((struct sockaddr_in *)&a)->sin_addr;

	if (inet_pton(a.ss_family, text, bytes) == 1 && *n < max)
		addrs[*n] = a;
	(*n)++;
}

static int answer_for(struct world *w, const char *host, struct sockaddr_storage *addrs, size_t max, size_t *n, struct err *e)
{
	*n = 0;
	if (is_below(host, ".slow.example"))
		sem_wait(&w->resume);
	if (is_below(host, ".two.example"))
		add(addrs, max, n, "127.0.0.9");
	if (is_below(host, ".inside.example") || (is_below(host, ".turning.example") && atomic_fetch_add(&w->turns, 1) > 0))
		add(addrs, max, n, "127.0.0.2");
	else if (is_below(host, ".six.example"))
		add(addrs, max, n, "::1");
	else if (is_below(host, ".example"))
		add(addrs, max, n, "127.0.0.1");
	else
		return err_set(e, ERR_UNRESOLVED, "there is no such name");
	if (is_below(host, ".mixed.example"))
		add(addrs, max, n, "127.0.0.2");
	while (is_below(host, ".many.example") && *n <= NET_ADDRESSES_MAX)
		add(addrs, max, n, "127.0.0.1");
	return 0;
}

static int resolve(void *arg, const char *host, struct sockaddr_storage *addrs, size_t max, size_t *n, struct err *e)
{
	struct world *w = arg;
	int rc;

	atomic_fetch_add(&w->lookups, 1);
	rc = answer_for(w, host, addrs, max, n, e);
	atomic_fetch_add(&w->lookups_ended, 1);
	return rc;
}

static bool a_name_is_looked_up(void)
{
	DIR *dir = opendir("/proc/self/task");
	char path[64], name[16];
	struct dirent *entry;
	bool found = false;

	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		snprintf(path, sizeof(path), "/proc/self/task/%.16s/comm", entry->d_name);
		FILE *f = fopen(path, "re"); /* one that ended meanwhile has none */
		/* before it has its own name it has that of the client's thread, net */
		found |= f != NULL && fgets(name, sizeof(name), f) != NULL && strncmp(name, "net", 3) == 0;
		if (f != NULL)
			fclose(f);
	}
	closedir(dir);
	return found;
}

/* The client does not wait for names, so their threads may outlive it; the next test has the same world. */
static void wait_for_names(struct world *w)
{
	while (a_name_is_looked_up() || atomic_load(&w->lookups_ended) != atomic_load(&w->lookups)) {
		sem_post(&w->resume);
		usleep(1000);
	}
}

/* ---- the client ---- */

void world_init(struct world *w)
{
	int fd;

	/* A peer that writes over TLS to a client that left would end the program. */
	signal(SIGPIPE, SIG_IGN);
	*w = (struct world){.o = {.policy = {.http = true, .allow_n = 2}, .user_agent = "test/1", .resolve = resolve, .resolve_arg = w}};
	assert_int_equal(ip_range_parse(&w->o.policy.allow[0], STR("127.0.0.1"), NULL), 0);
	assert_int_equal(ip_range_parse(&w->o.policy.allow[1], STR("127.0.0.9"), NULL), 0);
	sem_init(&w->resume, 0, 0);
	strcpy(w->ca_path, "/tmp/filemill-test-ca-XXXXXX");
	fd = mkstemp(w->ca_path);
	assert_true(fd >= 0);
	close(fd);
	peer_write_ca(w->ca_path);
	w->o.ca_file = w->ca_path;
	w->descriptors = open_descriptors();
}

void world_start(struct world *w)
{
	struct err e = ERR_INIT;

	if (net_client_new(&w->client, &w->o, &e) != 0)
		fail_msg("%s", e.detail);
}

void world_end(struct world *w)
{
	net_client_free(w->client);
	wait_for_names(w);
	assert_int_equal(open_descriptors(), w->descriptors);
	unlink(w->ca_path);
	sem_destroy(&w->resume);
	peer_forget_ca();
}

/* ---- requests ---- */

const char *url_of(const struct peer *p, const char *host, const char *path)
{
	static char url[256];

	snprintf(url, sizeof(url), "%s://%s:%u%s", p->tls ? "https" : "http", host, p->port, path);
	return url;
}

static void take_result(void *arg, const struct net_result *r)
{
	struct asked *a = arg;

	a->r = *r;
	snprintf(a->detail, sizeof(a->detail), "%s", r->detail);
	assert_true(r->body.len < sizeof(a->body));
	if (r->body.len > 0)
		memcpy(a->body, r->body.p, r->body.len);
	a->body[r->body.len] = '\0';
	a->times++;
	sem_post(&a->done);
}

void send_request(struct world *w, struct asked *a, struct net_request r)
{
	struct err e = ERR_INIT;

	*a = (struct asked){};
	sem_init(&a->done, 0, 0);
	r.done = take_result;
	r.arg = a;
	if (net_send(w->client, &r, &a->id, &e) != 0)
		fail_msg("%s", e.detail);
}

void wait_for_answer(struct asked *a)
{
	while (sem_wait(&a->done) != 0)
		;
	sem_destroy(&a->done);
	assert_int_equal(a->times, 1);
	assert_true((a->r.code == 0) == (a->detail[0] == '\0'));
}

int ask(struct world *w, struct asked *a, struct net_request r)
{
	send_request(w, a, r);
	wait_for_answer(a);
	return a->r.code;
}

int ask_for(struct world *w, struct asked *a, const char *url)
{
	return ask(w, a, (struct net_request){.method = STR("GET"), .url = str_of(url), .limits = {.body_keep = sizeof(a->body) - 1}});
}

int post_to(struct world *w, struct asked *a, const char *url)
{
	const struct net_header type = {STR("Content-Type"), STR("application/json")};

	return ask(w, a,
		   (struct net_request){.method = STR("POST"),
					.url = str_of(url),
					.headers = &type,
					.headers_n = 1,
					.body = STR("{}"),
					.limits = {.body_keep = sizeof(a->body) - 1}});
}
