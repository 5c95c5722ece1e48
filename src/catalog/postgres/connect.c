/* Making a connection. libpq's PQconnectdbParams() would do but for one thing: what the server says meanwhile, of a collation that changed, say, or of a crash, it writes to standard error,
 * among the lines of the log. So a connection is made step by step, and who is to have the notices has them from the first one on.
 *
 * libpq tries the addresses of all hosts in turn, and its limit of time, connect_timeout, is for each of them. Step by step it leaves the time to its caller: an address that is silent for so long has
 * its socket shut down. Where it could not even be reached, libpq goes on to the next address. Where it was reached and says nothing (a server that is stopped, a proxy with nobody behind
 * it), the end of the socket is the end for libpq too: then all is begun again without that host. Names are looked up by the system, in its own time. */
#include "catalog/postgres/pg.h"

#include "base/str.h"
#include "base/wipe.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define LIMIT_LEAST_S 2 /* as libpq has it */

int64_t pg_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

/* Lists with a comma between the members; those that libpq has, less the hosts that were silent. */
struct hosts {
	struct buf host, hostaddr, port;
};

static void hosts_release(struct hosts *h)
{
	buf_release(&h->host);
	buf_release(&h->hostaddr);
	buf_release(&h->port);
}

/* ---- what libpq knows of a connection, its environment and service file included ---- */

static void options_free(PQconninfoOption **options)
{
	for (PQconninfoOption *o = *options; o != NULL && o->keyword != NULL; o++)
		if (o->val != NULL && o->dispchar[0] == '*')
			wipe(o->val, strlen(o->val));
	PQconninfoFree(*options);
}

static const char *option(const PQconninfoOption *options, const char *name)
{
	for (const PQconninfoOption *o = options; o != NULL && o->keyword != NULL; o++)
		if (strcmp(o->keyword, name) == 0)
			return o->val ?: "";
	return "";
}

/* For each address; 0 = there is none. */
static int limit_s(PGconn *conn)
{
	CLEANUP(options_free) PQconninfoOption *options = PQconninfo(conn);
	long s = strtol(option(options, "connect_timeout"), NULL, 10);

	if (s <= 0)
		return 0;
	return s < LIMIT_LEAST_S ? LIMIT_LEAST_S : s < INT_MAX / 1000 ? (int)s : INT_MAX / 1000;
}

/* ---- one turn through the addresses ---- */

/* Whether it is another address than the one in `at`, which then becomes it. */
static bool moved_on(PGconn *conn, struct buf *at)
{
	CLEANUP(buf_release) struct buf now = BUF_INIT;

	buf_addf(&now, "%s %s %s", PQhost(conn) ?: "", PQhostaddr(conn) ?: "", PQport(conn) ?: "");
	if (str_eq(buf_str(&now), buf_str(at)))
		return false;
	buf_reset(at);
	buf_add_str(at, buf_str(&now));
	return true;
}

/* False: the time is over. */
static bool wait_for(PGconn *conn, PostgresPollingStatusType wants, int64_t until)
{
	struct pollfd p = {.fd = PQsocket(conn), .events = wants == PGRES_POLLING_READING ? POLLIN : POLLOUT};

	for (;;) {
		int64_t left = until - pg_now_ms();

		if (left <= 0)
			return false;
		int n = poll(&p, 1, left < INT_MAX ? (int)left : -1);
		if (n != 0 && (n > 0 || errno != EINTR))
			return true; /* or it cannot be waited for: libpq sees for itself */
	}
}

/* Until there is a connection or none can be had. True: the last address was reached, was silent, and was given up for that. */
static bool go_through(PGconn *conn, int limit)
{
	CLEANUP(buf_release) struct buf at = BUF_INIT;
	PostgresPollingStatusType wants = PGRES_POLLING_WRITING;
	bool over = false, silent = false;
	int64_t until = INT64_MAX;

	while (wants == PGRES_POLLING_WRITING || wants == PGRES_POLLING_READING) {
		if ((moved_on(conn, &at) || over) && limit > 0)
			until = pg_now_ms() + limit * INT64_C(1000);
		over = !wait_for(conn, wants, until);
		silent = over && PQstatus(conn) != CONNECTION_STARTED;
		if (over)
			shutdown(PQsocket(conn), SHUT_RDWR);
		wants = PQconnectPoll(conn);
	}
	return silent;
}

/* ---- without a host ---- */

/* Member n, from 0; p NULL: there are fewer. */
static struct str member(const char *list, unsigned n)
{
	struct str rest = str_of(list), m = str_split(rest, ',', &rest);

	for (; n > 0 && rest.p != NULL; n--)
		m = str_split(rest, ',', &rest);
	return n == 0 ? m : (struct str){};
}

/* A list of one member is that of all hosts. */
static bool says(const char *list, unsigned n, const char *now)
{
	struct str m = member(list, strchr(list, ',') != NULL ? n : 0);

	return m.len == 0 || str_eq(m, str_of(now ?: ""));
}

static void all_but(struct buf *to, const char *list, unsigned n)
{
	struct str m = {};

	buf_reset(to);
	for (unsigned i = 0; (m = member(list, i)).p != NULL; i++)
		if (i != n || strchr(list, ',') == NULL)
			buf_addf(to, "%s%.*s", to->len > 0 ? "," : "", STR_FMT(m));
}

/* Leaves out the host that the connection was at last. False: there is no other one with a name. */
static bool drop_host(struct hosts *h, PGconn *conn)
{
	CLEANUP(options_free) PQconninfoOption *options = PQconninfo(conn);
	const char *host = option(options, "host"), *hostaddr = option(options, "hostaddr"), *port = option(options, "port");
	const char *hosts = host[0] != '\0' ? host : hostaddr;

	for (unsigned n = 0; strchr(hosts, ',') != NULL && member(hosts, n).p != NULL; n++) {
		if (!says(hosts, n, PQhost(conn)) || !says(port, n, PQport(conn)))
			continue;
		all_but(&h->host, host, n);
		all_but(&h->hostaddr, hostaddr, n);
		all_but(&h->port, port, n);
		return h->host.len + h->hostaddr.len > 0 && buf_ok(&h->host) && buf_ok(&h->hostaddr) && buf_ok(&h->port);
	}
	return false;
}

/* ---- all of it ---- */

/* What stands before dbname the connection string may say otherwise; what stands after it, and is not empty, says otherwise than the string. */
static PGconn *begin(const char *conninfo, const struct hosts *h)
{
	const char *const names[] = {"application_name",
				     "connect_timeout",
				     "keepalives_idle",
				     "keepalives_interval",
				     "keepalives_count",
				     "tcp_user_timeout",
				     "dbname",
				     "host",
				     "hostaddr",
				     "port",
				     NULL};
	const char *const values[] = {"filemill", "5", "5", "3", "3", "15000", conninfo, h->host.p, h->hostaddr.p, h->port.p, NULL};

	return PQconnectStartParams(names, values, 1);
}

/* libpq's first line. Of certificates that are missing its second one, which says what to do, knows nothing of those the system has. */
static void say_why(const PGconn *conn, struct err *e)
{
	const char *said = PQerrorMessage(conn);

	err_set(e, ERR_CATALOG_UNAVAILABLE, "%.*s%s", (int)strcspn(said, "\n"), said,
		strstr(said, "root certificate file") != NULL
			? "; sslrootcert=FILE in catalog.url names the one to trust, the system's is /etc/ssl/certs/ca-certificates.crt"
			: "");
}

PGconn *pg_connect(const char *conninfo, PQnoticeReceiver told, void *arg, struct err *e)
{
	CLEANUP(hosts_release) struct hosts h = {};

	for (;;) {
		PGconn *conn = begin(conninfo, &h);

		if (conn == NULL) {
			err_set(e, ERR_NO_MEMORY, "no memory for a connection");
			return NULL;
		}
		PQsetNoticeReceiver(conn, told, arg);
		int limit = limit_s(conn);
		bool silent = PQstatus(conn) != CONNECTION_BAD && go_through(conn, limit);
		if (PQstatus(conn) == CONNECTION_OK)
			return conn;
		bool again = silent && drop_host(&h, conn);
		if (silent)
			err_set(e, ERR_CATALOG_UNAVAILABLE, "connection to server at \"%s\", port %s failed: no answer within %d s",
				PQhost(conn) ?: "?", PQport(conn) ?: "?", limit);
		else
			say_why(conn, e);
		PQfinish(conn);
		if (!again)
			return NULL;
	}
}
