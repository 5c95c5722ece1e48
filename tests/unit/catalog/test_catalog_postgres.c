/* What only a PostgreSQL catalogue can show: plans, connections that end, a server that restarts, several nodes on one database, columns of a later schema. */
#include "account_world.h"
#include "postgres.h"
#include "world.h"
#include "world_postgres.h"

#include "catalog/postgres/columns.h"
#include "catalog/postgres/pg.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- plans ---- */

#define PLANS "plans" /* a database of their own */

static const struct {
	const char *name, *sql;
} READS[] = {
#define R_ROW(id, text) {#id, text},
#include "catalog/postgres/statements_read.h"
#undef R_ROW
};

/* Ten thousands of rows of many owners, of which the planner has counted nothing. */
static const char FILL[] =
	"INSERT INTO file (id, owner, name, size, type, sha256, labels, location, created_at) SELECT gen_random_uuid(), 'owner ' || g % 50, 'name', 1, 't',"
	" sha256(g::text::bytea), '{}', 0, g FROM generate_series(1, 20000) AS g;"
	"INSERT INTO lane SELECT g, 'owner ' || g % 50, 'op ' || g / 50 FROM generate_series(0, 199) AS g;"
	"INSERT INTO job (id, file, lane, op, version, params, priority, max_attempts, created_at) SELECT gen_random_uuid(), 1 + g % 20000, g % 200,"
	" 'op ' || g % 4, 1, '{}', 3, 3, g FROM generate_series(1, 30000) AS g;"
	"INSERT INTO task (job, lane, priority, run_at, state, attempt, losses, refused, fence, cancel, error) SELECT g, g % 200, g % 8, g, 0, 0, 0, 0, 0,"
	" false, 0 FROM generate_series(20001, 30000) AS g;"
	"INSERT INTO result (job, state, attempt, losses, fence, run_at, finished_at, error, result, cached, outputs) SELECT g, 2, 1, 0, 1, 1, 2, 0, '{}',"
	" false, 1 FROM generate_series(1, 20000) AS g;"
	"INSERT INTO output SELECT g, 0, 'n', 't', 1, sha256(g::text::bytea), 'b/' || g, NULL FROM generate_series(1, 20000) AS g;"
	"INSERT INTO webhook (id, owner, url, events, ops, description, created_at, off, waiting) SELECT gen_random_uuid(), 'owner ' || g % 50, 'u', 1,"
	" '', '', 1, 0, 50 FROM generate_series(1, 200) AS g;"
	"INSERT INTO delivery (id, webhook, event, payload, created_at, state, tries, due_at) SELECT gen_random_uuid(), 1 + g % 200, 1, 'p', g, g % 3, 0, g"
	" FROM generate_series(1, 10000) AS g;";

/* Tables that a statement for one thing or one page may come to, each by this index and no other. */
static const struct {
	const char *stmt, *index, *table;
} BY_INDEX[] = {
	{"FILE_BY_ID", "file_id_key", "file"},
	{"FILE_BY_ID", "job_file", "job"},
	{"FILE_BY_NUMBER", "file_pkey", "file"},
	{"JOB_BY_ID", "job_id_key", "job"},
	{"JOB_BY_NUMBER", "job_pkey", "job"},
	{"ARTIFACT", "artifact_pkey", "artifact"},
	{"ARTIFACT", "file_pkey", "file"},
	{"FILES", "file_owner", "file"},
	{"FILES", "job_file", "job"},
	{"IMPORT_COUNTS", "file_coming", "file"},
	{"FILES_ANY", "file_pkey", "file"},
	{"FILES_WITH", "file_owner", "file"},
	{"FILES_FLOOR", "file_owner", "file"},
	{"JOBS_FLOOR", "job_pkey", "job"},
	{"EXPIRED", "file_expires", "file"},
	{"OUTBOX", "outbox_pkey", "outbox"},
	{"STORED_FILES", "file_pkey", "file"},
	{"STORED_OUTPUTS", "output_pkey", "output"},
	{"NEXT_RUN_AT", "task_ready", "task"},
	{"READY", "task_ready", "task"},
	{"WEBHOOK", "webhook_id_key", "webhook"},
	{"WEBHOOKS_DUE", "webhook_pkey", "webhook"},
	{"WEBHOOKS_DUE", "delivery_due", "delivery"},
	{"DELIVERIES", "delivery_webhook", "delivery"},
	{"DELIVERIES_DUE", "delivery_due", "delivery"},
	{"SESSION", "session_pkey", "session"},
	{"KEY", "api_key_hash_key", "api_key"},
	{"KEY_BY_ID", "api_key_id_key", "api_key"},
	{"KEYS", "api_key_account", "api_key"},
};

/* What EXPLAIN says of a prepared statement, a line each; NULL parameters for all, since the plan is the same for any. */
static void explain(const char *sql, char *dst, size_t size)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	unsigned parameters = 0;

	for (const char *p = strchr(sql, '$'); p; p = strchr(p + 1, '$')) {
		unsigned long n = strtoul(p + 1, NULL, 10);

		parameters = n > parameters ? (unsigned)n : parameters;
	}
	buf_addf(&b, "DEALLOCATE ALL; PREPARE s AS %s; EXPLAIN (COSTS OFF) EXECUTE s", sql);
	for (unsigned i = 0; i < parameters; i++)
		buf_add_str(&b, i == 0 ? STR("(NULL") : STR(", NULL"));
	buf_add_str(&b, parameters > 0 ? STR(")") : STR(""));
	buf_add(&b, "", 1);
	assert_true(buf_ok(&b));
	postgres_text(PLANS, b.p, dst, size);
}

static const char *sql_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(READS); i++)
		if (strcmp(READS[i].name, name) == 0)
			return READS[i].sql;
	fail_msg("there is no statement %s", name);
	return NULL;
}

static void assert_by_index(size_t i, const char *when)
{
	char plan[16384], scan[100];

	explain(sql_of(BY_INDEX[i].stmt), plan, sizeof(plan));
	snprintf(scan, sizeof(scan), "using %s on %s", BY_INDEX[i].index, BY_INDEX[i].table);
	if (!strstr(plan, scan) || strstr(plan, "Seq Scan") || strstr(plan, "Bitmap"))
		fail_msg("%s, %s: not by %s:\n%s", BY_INDEX[i].stmt, when, BY_INDEX[i].index, plan);
}

static void pages_and_single_things_are_read_by_their_index_whatever_the_planner_knows(void **state)
{
	world_postgres_database(PLANS);
	postgres_sql(PLANS, FILL);
	postgres_sql(PLANS, pg_session_setup);
	for (size_t i = 0; i < ARRAY_LEN(BY_INDEX); i++)
		assert_by_index(i, "nothing counted");
	postgres_sql(PLANS, "ANALYZE");
	for (size_t i = 0; i < ARRAY_LEN(BY_INDEX); i++)
		assert_by_index(i, "all counted");
}

/* ---- connections that end ---- */

#define OURS "application_name = 'filemill'"

static struct pg *pg_of(struct world *w)
{
	return CONTAINER_OF(w->c, struct pg, base);
}

static int64_t end_all_connections(struct world *w)
{
	return world_sql(w, "SELECT count(pg_terminate_backend(pid, 60000)) FROM pg_stat_activity WHERE " OURS);
}

/* Until a statement of the catalogue waits for a lock that the test holds; that it never does is a failure, after a time that no machine needs. */
static void await_blocked(struct world *w)
{
	for (int i = 0; i < 60000; i++) {
		if (world_sql(w, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND " OURS) > 0)
			return;
		usleep(1000);
	}
	fail_msg("nothing waits for the lock");
}

static void end_the_blocked_one(struct world *w)
{
	assert_int_equal(
		world_sql(w,
			  "SELECT count(pg_terminate_backend(pid, 60000)) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND " OURS),
		1);
}

static void idle_connections_that_ended_are_made_anew_unnoticed(void **state)
{
	struct world *w = *state;

	add_file(w, 1);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(file_code(w, 1), 0);
		assert_true(end_all_connections(w) > 0);
	}
	assert_int_equal(file_code(w, 1), 0);
	add_file(w, 2);
	assert_int_equal(file_code(w, 2), 0);
}

struct act {
	struct world *w;
	struct change *change; /* NULL: file 1 is read */
	pthread_t thread;
	struct err err;
	int rc;
};

static void *do_act(void *arg)
{
	struct act *act = arg;
	CLEANUP(arena_release) struct arena arena = ARENA_INIT;
	struct file f;

	act->err = ERR_INIT;
	if (act->change)
		act->rc = catalog_apply(act->w->c, &act->change, 1, &act->err);
	else
		act->rc = catalog_file(act->w->c, (struct file_key){.id = test_id(1)}, OWNER, &arena, &f, &act->err);
	return NULL;
}

static void begin(struct act *act)
{
	assert_int_equal(pthread_create(&act->thread, NULL, do_act, act), 0);
}

static void a_read_whose_backend_is_ended_is_read_again(void **state)
{
	struct world *w = *state;
	struct act act = {.w = w};

	add_file(w, 1);
	postgres_hold(WORLD_DATABASE, "LOCK TABLE file IN ACCESS EXCLUSIVE MODE");
	begin(&act);
	await_blocked(w);
	end_the_blocked_one(w);
	await_blocked(w); /* the second try */
	postgres_let_go();
	pthread_join(act.thread, NULL);
	assert_int_equal(act.rc, 0);
}

static void a_read_that_is_ended_twice_says_so(void **state)
{
	struct world *w = *state;
	struct act act = {.w = w};

	add_file(w, 1);
	postgres_hold(WORLD_DATABASE, "LOCK TABLE file IN ACCESS EXCLUSIVE MODE");
	begin(&act);
	for (int i = 0; i < 2; i++) {
		await_blocked(w);
		end_the_blocked_one(w);
	}
	pthread_join(act.thread, NULL);
	postgres_let_go();
	assert_int_equal(act.rc, ERR_CATALOG_UNAVAILABLE);
	assert_int_equal(act.err.code, ERR_CATALOG_UNAVAILABLE);
	assert_int_equal(file_code(w, 1), 0);
}

static void a_statement_that_takes_too_long_is_ended(void **state)
{
	struct world *w = *state;

	add_file(w, 1);
	pg_of(w)->statement_ms = 50;
	postgres_hold(WORLD_DATABASE, "LOCK TABLE file IN ACCESS EXCLUSIVE MODE");
	assert_int_equal(file_code(w, 1), ERR_CATALOG_UNAVAILABLE);
	postgres_let_go();
	pg_of(w)->statement_ms = PG_STATEMENT_MS;
	assert_int_equal(file_code(w, 1), 0);
}

/* Whether the batch is tried again or given up is the catalogue's to say: what it says has to be so. */
static void a_batch_whose_backend_is_ended_is_applied_whole_or_not_at_all(void **state)
{
	struct world *w = *state;
	struct act act = {.w = w};
	struct built b;

	build_file(&b, 1);
	build_job(&b, "md5");
	act.change = &b.change;
	postgres_hold(WORLD_DATABASE, "LOCK TABLE task IN ACCESS EXCLUSIVE MODE");
	begin(&act);
	await_blocked(w);
	end_the_blocked_one(w);
	postgres_let_go();
	pthread_join(act.thread, NULL);
	if (act.rc < 0) {
		assert_int_equal(act.rc, ERR_CATALOG_UNAVAILABLE);
		assert_int_equal(file_code(w, 1), ERR_FILE_NOT_FOUND);
		assert_false(catalog_sealed(w->c));
		build_file(&b, 1);
		build_job(&b, "md5");
		must_apply(w, &b.change);
	}
	assert_int_equal(b.change.code, 0);
	assert_int_equal(read_file(w, 1).n_jobs, 1);
	assert_int_equal(stats(w, NOW).jobs_waiting, 1);
}

static void what_was_acknowledged_is_there_after_the_server_died(void **state)
{
	struct world *w = *state;
	struct change probe = {.kind = CHANGE_PROBE}, *batch[] = {&probe};

	for (unsigned i = 1; i <= 20; i++)
		add_file_with_job(w, i, "md5");
	pg_of(w)->try_ms = 50;
	postgres_tell("stop immediate");
	assert_int_equal(file_code(w, 1), ERR_CATALOG_UNAVAILABLE);
	assert_int_equal(catalog_apply(w->c, batch, 1, &w->err), ERR_CATALOG_UNAVAILABLE);
	pg_of(w)->try_ms = PG_TRY_MS;
	postgres_tell("start");
	for (unsigned i = 1; i <= 20; i++)
		assert_int_equal(read_file(w, i).n_jobs, 1);
	assert_int_equal(stats(w, NOW).jobs_waiting, 20);
	add_file(w, 21);
}

/* A commit sleeps before it is written, as long as a table has a row that a crash takes along. */
static const char SLEEPS[] =
	"CREATE UNLOGGED TABLE until_crash AS SELECT 1;"
	" CREATE FUNCTION sleep_until_crash() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
	" IF EXISTS (SELECT 1 FROM until_crash) THEN PERFORM pg_sleep(25); END IF; RETURN NULL; END $$;"
	" CREATE CONSTRAINT TRIGGER sleeps AFTER INSERT ON file DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION sleep_until_crash()";

static void await_asleep(struct world *w)
{
	for (int i = 0; i < 60000; i++) {
		if (world_sql(w, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND " OURS) > 0)
			return;
		usleep(1000);
	}
	fail_msg("no commit sleeps");
}

/* The server forgets a transaction that had not been written and gives its number to the next one, which commits. */
static void a_commit_that_was_lost_is_not_taken_for_anothers_of_the_same_number(void **state)
{
	struct world *w = *state;
	struct act act = {.w = w};
	struct built b;

	postgres_sql(WORLD_DATABASE, "ALTER SYSTEM SET wal_writer_delay = '10s'");
	postgres_sql(WORLD_DATABASE, "SELECT pg_reload_conf()");
	postgres_sql(WORLD_DATABASE, SLEEPS);
	build_file(&b, 1);
	act.change = &b.change;
	begin(&act);
	await_asleep(w);
	postgres_tell("stop immediate");
	postgres_tell("start");
	for (int i = 0; i < 300; i++)
		world_sql(w, "SELECT txid_current()");
	pthread_join(act.thread, NULL);
	postgres_sql(WORLD_DATABASE, "ALTER SYSTEM RESET ALL");
	assert_int_equal(act.rc, 0);
	assert_int_equal(b.change.code, 0);
	assert_int_equal(file_code(w, 1), 0);
}

/* ---- several hosts ---- */

#define WORDS_MAX 400

/* A port of this machine at which everything is accepted and nothing answered; where it is full, not even accepted. */
struct silent {
	int fd, port;
	int waiting[8]; /* who fills it; 0 = none */
};

static struct silent silent(bool full)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct silent s = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	socklen_t len = sizeof(a);

	assert_int_equal(bind(s.fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(s.fd, (struct sockaddr *)&a, &len), 0);
	assert_int_equal(listen(s.fd, full ? 0 : 8), 0);
	s.port = ntohs(a.sin_port);
	for (size_t i = 0; full && i < ARRAY_LEN(s.waiting); i++) {
		s.waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		assert_true(connect(s.waiting[i], (struct sockaddr *)&a, sizeof(a)) == 0 || errno == EINPROGRESS);
	}
	return s;
}

static void silent_end(struct silent *s)
{
	for (size_t i = 0; i < ARRAY_LEN(s->waiting); i++)
		if (s->waiting[i] > 0)
			close(s->waiting[i]);
	close(s->fd);
}

/* The words for these ports of this machine, and then for the socket of the real server. */
static void words_for(char dst[WORDS_MAX], const char *ports, bool real)
{
	char hosts[80] = "", folder[100];

	assert_int_equal(sscanf(postgres_where(true), "host=%99s", folder), 1);
	for (const char *p = ports; *p; p++)
		if (p == ports || *p == ',')
			strcat(hosts, p == ports ? "127.0.0.1" : ",127.0.0.1");
	snprintf(dst, WORDS_MAX, "host=%s%s%s port=%s%s user=postgres dbname=" WORLD_DATABASE " connect_timeout=1", hosts, real ? "," : "",
		 real ? folder : "", ports, real ? ",5432" : "");
}

static void a_host_that_is_silent_is_passed_by_whether_it_was_reached_or_not(void **state)
{
	struct world *w = *state;
	struct silent full = silent(true), mute = silent(false);
	char ports[40], conninfo[WORDS_MAX];
	struct catalog *c = NULL;

	snprintf(ports, sizeof(ports), "%d,%d", full.port, mute.port);
	words_for(conninfo, ports, true);
	assert_int_equal(catalog_postgres_new(&c, conninfo, &w->options, &w->err), 0);
	catalog_free(c);
	silent_end(&mute); /* now it refuses */
	words_for(conninfo, ports, true);
	assert_int_equal(catalog_postgres_new(&c, conninfo, &w->options, &w->err), 0);
	catalog_free(c);
	silent_end(&full);
}

static void who_is_silent_alone_is_named(void **state)
{
	struct world *w = *state;
	struct silent mute = silent(false);
	char port[20], conninfo[WORDS_MAX], named[100];
	struct catalog *c = NULL;

	snprintf(port, sizeof(port), "%d", mute.port);
	words_for(conninfo, port, false);
	assert_int_equal(catalog_postgres_new(&c, conninfo, &w->options, &w->err), ERR_CATALOG_UNAVAILABLE);
	snprintf(named, sizeof(named), "\"127.0.0.1\", port %d failed: no answer within 2 s", mute.port);
	assert_non_null(strstr(w->err.detail, named));
	w->err = ERR_INIT;
	silent_end(&mute);
}

/* ---- several nodes ---- */

#define NODES 2
#define NODE_FILES 60
#define NODE_JOBS (3 * NODE_FILES)

/* One node: a catalogue of its own, a worker, a thread. */
struct node {
	struct catalog *c;
	struct uuid worker;
	pthread_t thread;
	unsigned claimed[NODE_JOBS + 1]; /* by job number: how often */
	_Atomic unsigned *ended; /* by all nodes */
	char failure[ERR_DETAIL_MAX + 16];
};

static bool node_finish(struct node *n, const struct job *job)
{
	struct change ch = {.kind = CHANGE_FINISH,
			    .finish = {.job = job->id,
				       .fence = job->fence,
				       .worker = n->worker,
				       .state = JOB_SUCCEEDED,
				       .result = STR("{}"),
				       .started_at = NOW,
				       .finished_at = NOW + 1}};
	struct change *batch[] = {&ch};
	struct err e = ERR_INIT;

	if (catalog_apply(n->c, batch, 1, &e) < 0 || ch.code != 0)
		snprintf(n->failure, sizeof(n->failure), "finish: %s", ch.code ? ch.err.detail : e.detail);
	return n->failure[0] == '\0';
}

static void *work(void *arg)
{
	struct node *n = arg;
	CLEANUP(arena_release) struct arena arena = ARENA_INIT;

	for (int tries = 0; *n->ended < NODE_JOBS && n->failure[0] == '\0'; tries++) {
		struct change ch = {.kind = CHANGE_CLAIM, .claim = {.worker = n->worker, .max = 7, .now = NOW + 1000, .arena = &arena}};
		struct change *batch[] = {&ch};
		struct err e = ERR_INIT;

		if (tries == 100000 || catalog_apply(n->c, batch, 1, &e) < 0 || ch.code != 0) {
			snprintf(n->failure, sizeof(n->failure), "claim: %s", ch.code ? ch.err.detail : e.detail);
			return NULL;
		}
		for (size_t i = 0; i < ch.claim.n; i++) {
			n->claimed[ch.claim.jobs[i].job.number]++;
			if (node_finish(n, &ch.claim.jobs[i].job))
				++*n->ended;
		}
	}
	return NULL;
}

static void two_nodes_claim_every_job_once(void **state)
{
	struct world *w = *state;
	struct node nodes[NODES] = {};
	_Atomic unsigned ended = 0;
	char conninfo[POSTGRES_CONNINFO_MAX];
	struct built b;

	for (unsigned i = 1; i <= NODE_FILES; i++) {
		build_file(&b, i);
		b.file.owner = i % 3 == 0 ? STR("a") : i % 3 == 1 ? STR("b") : STR("c");
		build_job(&b, "md5");
		build_job(&b, "sha1");
		build_job(&b, "sha512");
		must_apply(w, &b.change);
	}
	postgres_database(conninfo, WORLD_DATABASE);
	for (unsigned i = 0; i < NODES; i++) {
		nodes[i] = (struct node){.c = w->c, .worker = first_beat(w, 500 + i, NOW + 15000), .ended = &ended};
		if (i > 0)
			assert_int_equal(catalog_postgres_new(&nodes[i].c, conninfo, &w->options, &w->err), 0);
	}
	for (unsigned i = 0; i < NODES; i++)
		assert_int_equal(pthread_create(&nodes[i].thread, NULL, work, &nodes[i]), 0);
	for (unsigned i = 0; i < NODES; i++) {
		pthread_join(nodes[i].thread, NULL);
		assert_string_equal(nodes[i].failure, "");
	}
	for (unsigned job = 1; job <= NODE_JOBS; job++)
		assert_int_equal(nodes[0].claimed[job] + nodes[1].claimed[job], 1);
	assert_int_equal(stats(w, NOW).jobs_final[JOB_SUCCEEDED], NODE_JOBS);
	assert_int_equal(world_sql(w, "SELECT count(*) FROM result WHERE attempt = 1 AND fence = 1"), NODE_JOBS);
	for (unsigned i = 1; i < NODES; i++)
		catalog_free(nodes[i].c);
}

/* What one node was told is done, every other one reads. */
static void what_one_node_wrote_another_reads_at_once(void **state)
{
	struct world *w = *state;
	struct catalog *other = NULL, *own = w->c;
	char conninfo[POSTGRES_CONNINFO_MAX];

	postgres_database(conninfo, WORLD_DATABASE);
	assert_int_equal(catalog_postgres_new(&other, conninfo, &w->options, &w->err), 0);
	for (unsigned i = 1; i <= 10; i++) {
		add_file_with_job(w, i, "md5");
		w->c = i % 2 ? other : own;
		assert_int_equal(read_file(w, i).n_jobs, 1);
		assert_int_equal(stats(w, NOW).jobs_waiting, i);
	}
	w->c = own;
	catalog_free(other);
}

static int put(struct world *w, unsigned n, const char *owner, size_t jobs)
{
	struct built b;

	build_file(&b, n);
	b.file.owner = str_of(owner);
	for (size_t i = 0; i < jobs; i++)
		build_job(&b, "zip");
	return apply1(w, &b.change);
}

static void quotas_that_one_node_gives_hold_on_another(void **state)
{
	struct world *w = *state;
	struct catalog *other = NULL, *later = NULL, *own = w->c;
	char conninfo[POSTGRES_CONNINFO_MAX], owner[UUID_TEXT_LEN + 1];

	postgres_database(conninfo, WORLD_DATABASE);
	uuid_format(owner, test_id(2));
	add_account(w, 1, ROLE_ADMIN);
	add_account(w, 2, ROLE_USER);
	assert_int_equal(catalog_postgres_new(&other, conninfo, &w->options, &w->err), 0); /* there is none yet */
	assert_int_equal(patch(w, (struct change_patch_account){.id = test_id(2),
								.set_quotas = 1u << QUOTA_FILES | 1u << QUOTA_JOBS,
								.quotas = {.max = {2, 0, 1}},
								.now = NOW}),
			 0);
	w->c = other;
	assert_int_equal(put(w, 1, owner, 2), ERR_QUEUE_FULL);
	assert_int_equal(put(w, 1, owner, 1), 0);
	assert_int_equal(put(w, 2, owner, 1), ERR_QUEUE_FULL);
	assert_int_equal(put(w, 2, owner, 0), 0);
	assert_int_equal(put(w, 3, owner, 0), ERR_QUOTA_EXCEEDED);
	assert_int_equal(put(w, 3, "nobody's", 3), 0);
	w->c = own;
	assert_int_equal(catalog_postgres_new(&later, conninfo, &w->options, &w->err), 0);
	assert_int_equal(catalog_quota_room(later, str_of(owner), 1, &w->err), ERR_QUOTA_EXCEEDED); /* before it wrote anything */
	catalog_free(later);
	catalog_free(other);
}

/* ---- ids that are taken ---- */

static size_t refused_among(struct world *w, struct built list[3])
{
	struct change_add_file files[3];
	struct change ch = {.kind = CHANGE_ADD_FILES, .add_files = {.files = files, .n = ARRAY_LEN(files)}};

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		files[i] = list[i].change.add_file;
	assert_int_equal(apply1(w, &ch), ERR_CONFLICT);
	return ch.add_files.failed_index;
}

static void build_three(struct built list[3])
{
	for (unsigned i = 0; i < 3; i++) {
		build_file(&list[i], 10 + i);
		build_job(&list[i], "zip");
	}
}

static void of_several_files_the_one_whose_id_is_taken_is_named(void **state)
{
	struct world *w = *state;
	struct built list[3];

	add_file_with_job(w, 1, "md5");
	build_three(list);
	list[2].file.id = test_id(1);
	assert_int_equal(refused_among(w, list), 2);
	build_three(list);
	list[1].jobs[0].id = read_file(w, 1).jobs[0].id;
	assert_int_equal(refused_among(w, list), 1);
	build_three(list);
	list[2].jobs[0].id = list[0].jobs[0].id;
	assert_int_equal(refused_among(w, list), 2);
	assert_int_equal(stats(w, NOW).files, 1);
}

/* ---- another version's tables ---- */

static void columns_of_a_later_schema_disturb_nobody(void **state)
{
	static const char *const TABLES[] = {"file",     "job",     "task",    "result",  "output", "webhook",
					     "delivery", "account", "session", "api_key", "worker", "outbox"};
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct change_claim c;
	char sql[120];

	add_file_with_job(w, 1, "md5");
	assert_int_equal(file_code(w, 1), 0);
	for (size_t i = 0; i < ARRAY_LEN(TABLES); i++) {
		snprintf(sql, sizeof(sql), "ALTER TABLE %s ADD COLUMN later bigint NOT NULL DEFAULT 7", TABLES[i]);
		world_sql(w, sql);
	}
	assert_int_equal(read_file(w, 1).n_jobs, 1);
	add_file_with_job(w, 2, "md5");
	c = claim(w, worker, 2, NOW);
	assert_int_equal(c.n, 2);
	assert_int_equal(finish(w, &c.jobs[0].job, worker, JOB_SUCCEEDED), 0);
	assert_int_equal(read_job(w, job_id(2, 0)).number, 2);
	assert_int_equal(world_sql(w, "SELECT later FROM file WHERE number = 2"), 7);
	for (size_t i = 0; i < ARRAY_LEN(TABLES); i++) {
		snprintf(sql, sizeof(sql), "ALTER TABLE %s DROP COLUMN later", TABLES[i]);
		world_sql(w, sql);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(pages_and_single_things_are_read_by_their_index_whatever_the_planner_knows, world_postgres,
						world_end),
		cmocka_unit_test_setup_teardown(idle_connections_that_ended_are_made_anew_unnoticed, world_postgres, world_end),
		cmocka_unit_test_setup_teardown(a_read_whose_backend_is_ended_is_read_again, world_postgres, world_end),
		cmocka_unit_test_setup_teardown(a_read_that_is_ended_twice_says_so, world_postgres, world_end),
		cmocka_unit_test_setup_teardown(a_statement_that_takes_too_long_is_ended, world_postgres, world_end),
		cmocka_unit_test_setup_teardown(a_batch_whose_backend_is_ended_is_applied_whole_or_not_at_all, world_postgres, world_end),
		cmocka_unit_test_setup_teardown(what_was_acknowledged_is_there_after_the_server_died, world_postgres, world_end),
		cmocka_unit_test_setup_teardown(a_commit_that_was_lost_is_not_taken_for_anothers_of_the_same_number, world_postgres,
						world_end),
		cmocka_unit_test_setup_teardown(a_host_that_is_silent_is_passed_by_whether_it_was_reached_or_not, world_postgres,
						world_end),
		cmocka_unit_test_setup_teardown(who_is_silent_alone_is_named, world_postgres, world_end),
		cmocka_unit_test_setup_teardown(two_nodes_claim_every_job_once, world_postgres, world_end),
		cmocka_unit_test_setup_teardown(what_one_node_wrote_another_reads_at_once, world_postgres, world_end),
		cmocka_unit_test_setup_teardown(quotas_that_one_node_gives_hold_on_another, world_postgres, world_end),
		cmocka_unit_test_setup_teardown(of_several_files_the_one_whose_id_is_taken_is_named, world_postgres, world_end),
		cmocka_unit_test_setup_teardown(columns_of_a_later_schema_disturb_nobody, world_postgres, world_end),
	};
	int failed;

	if (!postgres_installed())
		return 77; /* Meson's word for a program that was skipped */
	postgres_where(true);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	postgres_end();
	return failed;
}
