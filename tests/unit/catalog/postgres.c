#include "postgres.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <libpq-fe.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* One of the program's, like the cluster itself. */
static struct {
	pid_t pid; /* of the script that keeps the cluster; 0 = there is none */
	int to; /* its standard input: that this ends, ends it */
	FILE *from;
	char where[POSTGRES_CONNINFO_MAX - 80];
	/* The session that postgres_sql() used last, and its database. */
	PGconn *session;
	char database[64];
	PGconn *holding;
} server;

static void die(const char *what)
{
	fprintf(stderr, "postgres: %s: %s\n", what, strerror(errno));
	abort();
}

bool postgres_installed(void)
{
	glob_t found = {};
	bool there = glob("/usr/lib/postgresql/*/bin/initdb", 0, NULL, &found) == 0;

	globfree(&found);
	if (!there && getenv("CHECK_STRICT"))
		die("postgresql is not installed");
	return there;
}

/* The answer to the last word, without its line end. */
static void read_line(char *dst, size_t size)
{
	if (!fgets(dst, (int)size, server.from))
		die("the cluster did not start or did not obey");
	dst[strcspn(dst, "\n")] = '\0';
}

const char *postgres_where(bool durable)
{
	int in[2], out[2];

	if (server.pid)
		return server.where;
	/* Descriptors that a child of ours inherited would keep the cluster alive. */
	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
		die("pipe");
	server.pid = fork();
	if (server.pid < 0)
		die("fork");
	if (server.pid == 0) {
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		execl("/usr/bin/python3", "python3", POSTGRES_SCRIPT, durable ? "--durable" : NULL, NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	server.to = in[1];
	server.from = fdopen(out[0], "r");
	read_line(server.where, sizeof(server.where));
	return server.where;
}

void postgres_tell(const char *what)
{
	char answer[16];

	if (server.session) {
		PQfinish(server.session);
		server.session = NULL;
	}
	if (dprintf(server.to, "%s\n", what) < 0)
		die(what);
	read_line(answer, sizeof(answer));
	if (strcmp(answer, "done") != 0)
		die(answer);
}

void postgres_end(void)
{
	if (!server.pid)
		return;
	PQfinish(server.session);
	server.session = NULL;
	close(server.to);
	fclose(server.from);
	while (waitpid(server.pid, NULL, 0) < 0 && errno == EINTR)
		;
	server.pid = 0;
}

void postgres_database(char dst[POSTGRES_CONNINFO_MAX], const char *name)
{
	snprintf(dst, POSTGRES_CONNINFO_MAX, "%s dbname=%.60s", server.where, name);
}

static void say_nothing(void *arg, const PGresult *r)
{
}

static PGconn *connect_to(const char *database)
{
	char conninfo[POSTGRES_CONNINFO_MAX];
	PGconn *conn;

	postgres_database(conninfo, database);
	conn = PQconnectdb(conninfo);
	if (PQstatus(conn) != CONNECTION_OK)
		fail_msg("%s", PQerrorMessage(conn));
	PQsetNoticeReceiver(conn, say_nothing, NULL);
	return conn;
}

static PGconn *session_in(const char *database)
{
	if (server.session && strcmp(database, server.database) == 0)
		return server.session;
	PQfinish(server.session);
	snprintf(server.database, sizeof(server.database), "%s", database);
	server.session = connect_to(database);
	return server.session;
}

static PGresult *exec(PGconn *conn, const char *sql)
{
	PGresult *r = PQexec(conn, sql);

	if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK)
		fail_msg("%s: %s", sql, PQresultErrorMessage(r));
	return r;
}

void postgres_text(const char *database, const char *sql, char *dst, size_t size)
{
	PGresult *r = exec(session_in(database), sql);
	size_t n = 0;

	dst[0] = '\0';
	for (int i = 0; i < PQntuples(r) && n < size; i++)
		n += (size_t)snprintf(dst + n, size - n, "%s\n", PQgetvalue(r, i, 0));
	PQclear(r);
}

void postgres_hold(const char *database, const char *sql)
{
	server.holding = connect_to(database);
	PQclear(exec(server.holding, "BEGIN"));
	PQclear(exec(server.holding, sql));
}

void postgres_let_go(void)
{
	PQfinish(server.holding);
	server.holding = NULL;
}

int64_t postgres_sql(const char *database, const char *sql)
{
	PGresult *r = exec(session_in(database), sql);
	int64_t value = 0;

	if (PQntuples(r) > 0 && PQnfields(r) > 0 && !PQgetisnull(r, 0, 0))
		value = strtoll(PQgetvalue(r, 0, 0), NULL, 10);
	PQclear(r);
	return value;
}
