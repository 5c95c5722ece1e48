/* One connection: opening it, sending statements, reading what they answered, and what went wrong.
 *
 * A connection is never waited on without a limit: statements, locks and forgotten transactions end on the server by its own timeouts, and where the server itself is not heard of any
 * more, the connection is given up. Nothing here tries anything again; whoever holds the transaction does. */
#include "catalog/postgres/columns.h"
#include "catalog/postgres/pg.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const SQL[PG_STMTS] = {
#define W_ROW(id, sql) [W_##id] = (sql),
#define R_ROW(id, sql) [R_##id] = (sql),
#include "catalog/postgres/statements_read.h"
#include "catalog/postgres/statements_write.h"
#undef W_ROW
#undef R_ROW
};

/* ---- what went wrong ---- */

static bool state_is(const char *state, const char *prefix)
{
	return strncmp(state, prefix, strlen(prefix)) == 0;
}

/* By SQLSTATE (PostgreSQL's manual, appendix A). */
static int code_of(const char *state)
{
	static const struct {
		const char *prefix;
		int code;
	} CODES[] = {
		{"53100", ERR_STORAGE_FULL}, /* disk_full */
		{"FM001", ERR_MOVED}, /* our own: moves.c */
		{"25006", ERR_STORAGE_READONLY}, /* read_only_sql_transaction: a standby */
		{"42501", ERR_STORAGE_READONLY}, /* insufficient_privilege */
		{"58030", ERR_IO},
		{"XX001", ERR_DAMAGED},
		{"XX002", ERR_DAMAGED},
		{"42P01", ERR_DAMAGED},
		{"42P07", ERR_DAMAGED},
		{"42703", ERR_DAMAGED}, /* a table or a column that is not there, or there already */
		{"08", ERR_CATALOG_UNAVAILABLE},
		{"53", ERR_CATALOG_UNAVAILABLE},
		{"57", ERR_CATALOG_UNAVAILABLE},
		{"55P03", ERR_CATALOG_UNAVAILABLE},
		{"25P", ERR_CATALOG_UNAVAILABLE},
		{"40", ERR_CATALOG_UNAVAILABLE},
		{"22012", ERR_CATALOG_UNAVAILABLE}, /* division_by_zero: what TASKS_END makes of a task that is another's */
		{"28", ERR_CATALOG_UNAVAILABLE},
		{"3D", ERR_CATALOG_UNAVAILABLE},
	};

	for (size_t i = 0; i < ARRAY_LEN(CODES); i++)
		if (state_is(state, CODES[i].prefix))
			return CODES[i].code;
	return ERR_INTERNAL;
}

static enum pg_failure kind_of(const struct pg_link *l, const char *state)
{
	if (PQstatus(l->conn) == CONNECTION_BAD || state_is(state, "57P") || state_is(state, "08") || state_is(state, "25P03"))
		return PG_LOST;
	if (strcmp(state, "23505") == 0)
		return PG_CONSTRAINT;
	if (state_is(state, "40") || strcmp(state, "22012") == 0) /* division_by_zero: TASKS_END, a task was another's meanwhile */
		return PG_AGAIN;
	return PG_FAILED;
}

int pg_fail_with(struct pg_link *l, int code, const char *what)
{
	if (l->failure == PG_FINE) {
		l->failure = PG_FAILED;
		err_set(&l->err, code, "the catalogue: %s", what);
	}
	return l->err.code;
}

int pg_no_memory(struct pg_link *l)
{
	return pg_fail_with(l, ERR_NO_MEMORY, "no memory");
}

/* The server's own words may quote values and statements: a detail may reach a client, so it has the state's number only. Whoever starts the program is told more: most often he has to give rights. */
int pg_fail(struct pg_link *l, const PGresult *r)
{
	const char *state = r ? PQresultErrorField(r, PG_DIAG_SQLSTATE) : NULL;

	if (l->failure != PG_FINE)
		return l->err.code;
	if (!state) {
		l->failure = PG_LOST;
		return err_set(&l->err, ERR_CATALOG_UNAVAILABLE, "the connection to the catalogue is lost");
	}
	const char *said = l->pg->opened ? NULL : PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
	l->failure = kind_of(l, state);
	return err_set(&l->err, l->failure == PG_LOST ? ERR_CATALOG_UNAVAILABLE : code_of(state), "the catalogue: PostgreSQL says %s%s%s",
		       state, said ? ", " : "", said ?: "");
}

static int lose(struct pg_link *l)
{
	pg_fail(l, NULL);
	l->failure = PG_LOST;
	link_close(l);
	return l->err.code;
}

void pg_fresh(struct pg_link *l)
{
	l->failure = PG_FINE;
	l->silent = false;
	l->err = ERR_INIT;
}

/* ---- coming and going ---- */

bool link_up(const struct pg_link *l)
{
	return l->conn && PQstatus(l->conn) == CONNECTION_OK;
}

void link_look(struct pg_link *l)
{
	struct pollfd p = {.fd = l->conn ? PQsocket(l->conn) : -1, .events = POLLIN};

	/* A last word, as of a backend that was terminated, or the end. */
	if (p.fd >= 0 && l->expected == 0 && poll(&p, 1, 0) > 0 && (!PQconsumeInput(l->conn) || (p.revents & ~POLLIN) || !link_up(l)))
		link_close(l);
}

void link_close(struct pg_link *l)
{
	if (l->conn)
		atomic_fetch_add(&l->pg->lost, 1);
	PQfinish(l->conn);
	l->conn = NULL;
	l->expected = 0;
	l->at = 0;
	buf_release(&l->queue);
	memset(l->prepared, 0, sizeof(l->prepared));
}

int pg_run_text(struct pg_link *l, const char *sql)
{
	PGresult *r;
	int rc = 0;

	if (l->failure != PG_FINE)
		return l->err.code;
	assert(l->expected == 0);
	if (!PQsendQuery(l->conn, sql))
		return lose(l);
	while ((r = PQgetResult(l->conn))) {
		ExecStatusType status = PQresultStatus(r);

		if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
			rc = pg_fail(l, r);
		PQclear(r);
	}
	if (!link_up(l))
		return lose(l);
	return rc;
}

/* Statements go by indexes and small sets; what the planner thinks of tables that nobody has counted yet must not change that. synchronous_commit is said because an answer promises
 * what it says; a server that replicates synchronously waits for the replica too. */
const char pg_session_setup[] =
	"SET client_encoding = 'UTF8'; SET synchronous_commit = on; SET standard_conforming_strings = on; SET jit = off;"
	" SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;"
	" SET default_transaction_isolation = 'read committed'; SET client_min_messages = error";

static int set_up(struct pg_link *l)
{
	char timeouts[200];
	int rc;

	snprintf(timeouts, sizeof(timeouts),
		 "SET statement_timeout = %d; SET lock_timeout = %d; SET idle_in_transaction_session_timeout = %d", l->pg->statement_ms,
		 PG_LOCK_MS, PG_IDLE_MS);
	rc = pg_run_text(l, timeouts);
	if (rc == 0)
		rc = pg_run_text(l, pg_session_setup);
	if (rc == 0 && strcmp(PQparameterStatus(l->conn, "server_encoding") ?: "", "UTF8") != 0)
		rc = pg_fail_with(l, ERR_DAMAGED,
				  "the database is not in UTF-8: make one with createdb --encoding UTF8 --template template0");
	if (rc == 0 && PQserverVersion(l->conn) < 140000)
		rc = pg_fail_with(l, ERR_CATALOG_UNAVAILABLE, "PostgreSQL 14 or later is needed");
	return rc;
}

/* Said for all of a connection's life; once it is set up nothing but its end is worth a word to the server. */
static void tell(void *arg, const PGresult *r)
{
	const struct pg *q = arg;

	if (q->base.options.notice)
		q->base.options.notice(str_of(PQresultErrorField(r, PG_DIAG_SQLSTATE)),
				       str_of(PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY)));
}

/* libpq's own words are for whoever starts the program. They name what was tried and what the server said, and no password (url.c). */
static int connect_now(struct pg_link *l, struct err *e)
{
	struct err why = ERR_INIT;

	l->conn = pg_connect(l->pg->conninfo, tell, l->pg, &why);
	if (l->conn)
		return 0;
	if (why.code == ERR_CATALOG_UNAVAILABLE && (l->pg->opened || why.detail[0] == '\0'))
		return err_set(e, ERR_CATALOG_UNAVAILABLE, "there is no connection to the catalogue's PostgreSQL");
	if (e)
		*e = why;
	return why.code;
}

int link_open(struct pg_link *l, struct err *e)
{
	int rc;

	if (link_up(l))
		return 0;
	link_close(l);
	pg_fresh(l);
	if ((rc = connect_now(l, e)) != 0)
		return rc;
	if (set_up(l) == 0 && (PQsetnonblocking(l->conn, 1) != 0 || !PQenterPipelineMode(l->conn)))
		lose(l);
	if (l->failure == PG_FINE)
		return 0;
	if (e)
		*e = l->err;
	link_close(l);
	return l->err.code;
}

/* ---- to and fro ---- */

/* What was sent, in order, so that a preparation that did not take place is known: a statement's number + 1; or what becomes of the rows. */
enum { UNHEARD = 0, ANSWER = UINT16_MAX };

static int expect(struct pg_link *l, uint16_t kind)
{
	buf_add(&l->queue, &kind, sizeof(kind));
	l->expected++;
	return buf_ok(&l->queue) ? 0 : pg_no_memory(l);
}

/* Whether these are rows that somebody waits for. */
static bool arrived(struct pg_link *l, bool fine)
{
	uint16_t kind = UNHEARD;

	if (l->at + sizeof(kind) <= l->queue.len)
		memcpy(&kind, l->queue.p + l->at, sizeof(kind));
	l->at += sizeof(kind);
	l->expected--;
	if (kind != UNHEARD && kind != ANSWER && !fine)
		l->prepared[kind - 1] = false;
	return fine && kind == ANSWER;
}

static void all_arrived(struct pg_link *l)
{
	buf_reset(&l->queue);
	l->at = 0;
	l->expected = 0;
}

/* Waits until there is something to read, or what is left can be written. */
static int wait_for(struct pg_link *l, int64_t until)
{
	for (;;) {
		int flush = PQflush(l->conn);
		struct pollfd p = {.fd = PQsocket(l->conn), .events = (short)(flush > 0 ? POLLIN | POLLOUT : POLLIN)};
		int64_t left = until - pg_now_ms();

		l->silent = left <= 0;
		if (flush < 0 || p.fd < 0 || left <= 0)
			return lose(l);
		if (poll(&p, 1, (int)left) < 0 && errno != EINTR)
			return lose(l);
		if (p.revents & ~POLLOUT)
			return PQconsumeInput(l->conn) ? 0 : lose(l);
	}
}

/* The next result, or NULL where one statement's results end. */
static int next_result(struct pg_link *l, int64_t until, PGresult **ret)
{
	while (PQisBusy(l->conn) || PQflush(l->conn) != 0)
		if (wait_for(l, until) != 0)
			return l->err.code;
	*ret = PQgetResult(l->conn);
	return 0;
}

/* Reads up to the synchronisation point that was sent; the rows that are waited for go to the questions in turn. */
static int drain(struct pg_link *l, struct pg_question *questions)
{
	int64_t until = pg_now_ms() + (l->answer_ms ?: PG_ANSWER_MS);

	for (;;) {
		PGresult *r = NULL;

		if (next_result(l, until, &r) != 0)
			return l->err.code;
		if (!r) {
			if (!link_up(l))
				return lose(l);
			continue;
		}
		switch (PQresultStatus(r)) {
		case PGRES_PIPELINE_SYNC:
			PQclear(r);
			all_arrived(l);
			return l->failure == PG_FINE ? 0 : l->err.code;
		case PGRES_COMMAND_OK:
		case PGRES_TUPLES_OK:
			if (arrived(l, true) && questions) {
				(questions++)->rows = (struct pg_rows){r, PQntuples(r)};
				continue;
			}
			break;
		case PGRES_PIPELINE_ABORTED:
			arrived(l, false);
			break;
		default:
			arrived(l, false);
			pg_fail(l, r);
		}
		PQclear(r);
		if (!link_up(l))
			return lose(l);
	}
}

static int send_one(struct pg_link *l, enum pg_stmt s, struct pg_args *a, uint16_t kind)
{
	struct pg_args none = {.n = 0};
	char name[12];

	if (!link_up(l))
		return lose(l);
	if (!a)
		a = &none;
	for (int i = 0; i < a->n; i++)
		if (!a->values[i] && a->lengths[i] > 0 && a->types[i] >= 1000)
			return pg_no_memory(l);
	snprintf(name, sizeof(name), "s%d", (int)s);
	if (!l->prepared[s]) {
		if (!PQsendPrepare(l->conn, name, SQL[s], a->n, a->types))
			return lose(l);
		l->prepared[s] = true;
		if (expect(l, (uint16_t)(s + 1)) != 0)
			return lose(l);
	}
	if (!PQsendQueryPrepared(l->conn, name, a->n, a->values, a->lengths, a->formats, 1))
		return lose(l);
	return expect(l, kind) != 0 ? lose(l) : 0;
}

int pg_send(struct pg_link *l, enum pg_stmt s, struct pg_args *a)
{
	return l->failure != PG_FINE ? l->err.code : send_one(l, s, a, UNHEARD);
}

static int sync_and_drain(struct pg_link *l, struct pg_question *questions)
{
	if (!PQpipelineSync(l->conn))
		return lose(l);
	return drain(l, questions);
}

int pg_ask_all(struct pg_link *l, struct pg_question *questions, size_t n)
{
	int rc = l->failure != PG_FINE ? l->err.code : 0;

	for (size_t i = 0; i < n; i++)
		questions[i].rows = (struct pg_rows){};
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = send_one(l, questions[i].stmt, questions[i].args, ANSWER);
	if (rc == 0)
		rc = sync_and_drain(l, questions);
	if (rc != 0)
		pg_questions_release(questions, n);
	return rc;
}

int pg_ask(struct pg_link *l, enum pg_stmt s, struct pg_args *a, struct pg_rows *ret)
{
	struct pg_question one = {.stmt = s, .args = a};
	int rc = pg_ask_all(l, &one, 1);

	*ret = one.rows;
	return rc;
}

int pg_settle(struct pg_link *l)
{
	if (!link_up(l))
		return l->failure != PG_FINE ? l->err.code : lose(l);
	return l->expected > 0 ? sync_and_drain(l, NULL) : l->failure != PG_FINE ? l->err.code : 0;
}
