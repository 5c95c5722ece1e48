/* Several nodes that write to one PostgreSQL at once and hear of each other, and batches that are undone or whose commit is lost. */
#include "postgres.h"
#include "world.h"
#include "world_postgres.h"

#include "catalog/catalog_impl.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NODES 2
#define EACH 40 /* changes of a node */

struct node {
	struct catalog *c;
	unsigned nth;
	pthread_t thread;
	bool ok[EACH]; /* the change took effect */
	unsigned n_ok;
	struct uuid replay_of[EACH]; /* zero: it was stored by this node */
	struct uuid worker;
	struct str owner;
	char failure[ERR_DETAIL_MAX + 40];
};

/* A change whose batch must go well and that may be refused with this code. */
static bool node_apply(struct node *n, struct change *ch, int refusal)
{
	struct change *batch[] = {ch};
	struct err e = ERR_INIT;

	if (catalog_apply(n->c, batch, 1, &e) < 0)
		snprintf(n->failure, sizeof(n->failure), "batch: %s", e.detail);
	else if (ch->code != 0 && ch->code != refusal)
		snprintf(n->failure, sizeof(n->failure), "change: %s", ch->err.detail);
	return n->failure[0] == '\0' && ch->code == 0;
}

/* The world's own catalogue is the first node's. */
static void run_nodes(struct world *w, struct node nodes[NODES], void *(*work)(void *arg))
{
	char conninfo[POSTGRES_CONNINFO_MAX];

	postgres_database(conninfo, WORLD_DATABASE);
	for (unsigned i = 0; i < NODES; i++) {
		nodes[i].c = w->c;
		nodes[i].nth = i;
		if (i > 0)
			assert_int_equal(catalog_postgres_new(&nodes[i].c, conninfo, &w->options, &w->err), 0);
	}
	for (unsigned i = 0; i < NODES; i++)
		assert_int_equal(pthread_create(&nodes[i].thread, NULL, work, &nodes[i]), 0);
	for (unsigned i = 0; i < NODES; i++)
		pthread_join(nodes[i].thread, NULL);
	for (unsigned i = 1; i < NODES; i++)
		catalog_free(nodes[i].c);
	for (unsigned i = 0; i < NODES; i++)
		assert_string_equal(nodes[i].failure, "");
}

/* Whatever happens to rows of this table takes its time, so that another node comes in between. deferred: in the commit. */
static void slow_down(struct world *w, const char *table, bool deferred)
{
	char sql[300];

	world_sql(
		w,
		"CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(random() / 50); RETURN NEW; END $$");
	snprintf(sql, sizeof(sql), "CREATE %s TRIGGER dawdle %s INSERT ON %s %s FOR EACH ROW EXECUTE FUNCTION dawdle()",
		 deferred ? "CONSTRAINT" : "", deferred ? "AFTER" : "BEFORE", table, deferred ? "DEFERRABLE INITIALLY DEFERRED" : "");
	world_sql(w, sql);
}

static void at_full_speed(struct world *w)
{
	world_sql(w, "DROP FUNCTION dawdle CASCADE");
}

/* ---- one of two ---- */

static void *add_with_keys(void *arg)
{
	struct node *n = arg;

	for (unsigned i = 0; i < EACH && !n->failure[0]; i++) {
		struct built b;
		char key[20];

		build_file(&b, 1 + n->nth * 1000 + i);
		build_job(&b, "md5");
		snprintf(key, sizeof(key), "key %u", i);
		b.change.add_file.idempotency_key = str_of(key);
		n->ok[i] = node_apply(n, &b.change, 0);
		if (b.change.add_file.replayed)
			n->replay_of[i] = b.change.add_file.replay_of;
		else
			n->n_ok++;
	}
	return NULL;
}

static void a_key_that_two_nodes_use_at_once_stores_one_file(void **state)
{
	struct world *w = *state;
	struct node nodes[NODES] = {};

	run_nodes(w, nodes, add_with_keys);
	for (unsigned i = 0; i < EACH; i++) {
		bool first = uuid_is_zero(nodes[0].replay_of[i]);

		assert_int_not_equal(first, uuid_is_zero(nodes[1].replay_of[i]));
		assert_id(nodes[first].replay_of[i], 1 + (unsigned)!first * 1000 + i);
	}
	assert_int_equal(world_sql(w, "SELECT count(*) FROM file"), EACH);
	assert_int_equal(world_sql(w, "SELECT count(*) FROM task"), EACH);
	assert_int_equal(world_sql(w, "SELECT files FROM usage"), EACH);
}

static void *use_once(void *arg)
{
	struct node *n = arg;

	for (unsigned i = 0; i < EACH && !n->failure[0]; i++) {
		struct change ch = {.kind = CHANGE_ONCE, .once = {.set = true, .key = {(uint8_t)i, 1}}};

		n->ok[i] = node_apply(n, &ch, ERR_USED);
		n->n_ok += n->ok[i];
	}
	return NULL;
}

static void what_may_happen_once_happens_on_one_node(void **state)
{
	struct world *w = *state;
	struct node nodes[NODES] = {};

	run_nodes(w, nodes, use_once);
	for (unsigned i = 0; i < EACH; i++)
		assert_int_equal(nodes[0].ok[i] + nodes[1].ok[i], 1);
}

static void *add_files(void *arg)
{
	struct node *n = arg;

	for (unsigned i = 0; i < EACH && !n->failure[0]; i++) {
		struct built b;

		build_file(&b, 1 + n->nth * 1000 + i);
		n->n_ok += node_apply(n, &b.change, ERR_QUOTA_EXCEEDED);
	}
	return NULL;
}

static void a_quota_holds_over_nodes_to_the_last_file(void **state)
{
	struct world *w = *state;
	struct node nodes[NODES] = {};

	world_restart(w, (struct catalog_options){.owner_files_max = EACH + 5});
	slow_down(w, "file", false);
	run_nodes(w, nodes, add_files);
	at_full_speed(w);
	assert_int_equal(nodes[0].n_ok + nodes[1].n_ok, EACH + 5);
	assert_int_equal(world_sql(w, "SELECT count(*) FROM file"), EACH + 5);
	assert_int_equal(world_sql(w, "SELECT files FROM usage"), EACH + 5);
}

#define LIMIT 5

static void *claim_within(void *arg)
{
	CLEANUP(arena_release) struct arena arena = ARENA_INIT;
	struct claim_limit limit = {.op = STR("md5"), .running = LIMIT};
	struct node *n = arg;

	for (unsigned i = 0; i < EACH && !n->failure[0]; i++) {
		struct change ch = {.kind = CHANGE_CLAIM,
				    .claim = {.worker = n->worker, .max = 2, .now = NOW, .arena = &arena, .limits = &limit, .n_limits = 1}};

		if (node_apply(n, &ch, 0))
			n->n_ok += (unsigned)ch.claim.n;
	}
	return NULL;
}

static void a_limit_on_what_runs_holds_over_nodes(void **state)
{
	struct world *w = *state;
	struct node nodes[NODES] = {};

	for (unsigned i = 1; i <= 2 * LIMIT; i++)
		add_file_with_job(w, i, "md5");
	for (unsigned i = 0; i < NODES; i++)
		nodes[i].worker = first_beat(w, 500 + i, NOW + 15000);
	run_nodes(w, nodes, claim_within);
	assert_int_equal(nodes[0].n_ok + nodes[1].n_ok, LIMIT);
}

static const struct change_claim *held; /* what the attempts of one worker hold */

static void *finish_held(void *arg)
{
	struct node *n = arg;

	for (unsigned i = 0; i < EACH && !n->failure[0]; i++) {
		const struct job *job = &held->jobs[i].job;
		struct change ch = {.kind = CHANGE_FINISH,
				    .finish = {.job = job->id,
					       .fence = job->fence,
					       .worker = held->worker,
					       .state = JOB_SUCCEEDED,
					       .result = STR("{}"),
					       .started_at = NOW,
					       .finished_at = NOW + 1}};

		n->ok[i] = node_apply(n, &ch, ERR_STALE);
	}
	return NULL;
}

/* As when an answer was lost and the end is told again, to another node. */
static void an_end_that_is_told_to_two_nodes_at_once_takes_effect_once(void **state)
{
	struct world *w = *state;
	struct node nodes[NODES] = {};
	struct change claim = {.kind = CHANGE_CLAIM,
			       .claim = {.worker = first_beat(w, 500, NOW + 15000), .max = EACH, .now = NOW, .arena = &w->arena}};

	for (unsigned i = 1; i <= EACH; i++)
		add_file_with_job(w, i, "md5");
	assert_int_equal(apply1(w, &claim), 0);
	assert_int_equal(claim.claim.n, EACH);
	held = &claim.claim;
	slow_down(w, "result", false);
	run_nodes(w, nodes, finish_held);
	at_full_speed(w);
	for (unsigned i = 0; i < EACH; i++)
		assert_int_equal(nodes[0].ok[i] + nodes[1].ok[i], 1);
	assert_int_equal(stats(w, NOW).jobs_final[JOB_SUCCEEDED], EACH);
}

/* ---- numbers that are followed ---- */

static atomic_uint writing;

static void *leave_entries(void *arg)
{
	struct node *n = arg;

	for (unsigned i = 0; i < EACH && !n->failure[0]; i++) {
		struct built b;

		build_file(&b, 1 + n->nth * 1000 + i);
		b.file.owner = n->nth ? STR("a") : STR("b"); /* one's would wait for each other by what he has stored */
		build_fused(&b, "md5", "{}");
		if ((i + n->nth) % 2) /* those that leave an entry wait for each other by its number already */
			b.change.audit = STR("{\"act\":\"add\"}");
		n->n_ok += node_apply(n, &b.change, 0);
	}
	atomic_fetch_sub(&writing, 1);
	return NULL;
}

/* Follows both lists while they grow, and says how many it met of each; a number below one it was told already would be missed. */
struct follower {
	struct catalog *c;
	unsigned entries, ends;
	bool gap;
};

static void *follow(void *arg)
{
	struct follower *f = arg;
	int64_t entry = 0, end = 0;
	bool last;

	do {
		CLEANUP(arena_release) struct arena a = ARENA_INIT;
		struct audit_entry *entries;
		struct outbox_entry *ends;
		struct err e = ERR_INIT;
		size_t n = 0, k = 0;

		last = atomic_load(&writing) == 0;
		if (catalog_audit(f->c, entry, 100, &a, &entries, &n, &e) < 0 || catalog_outbox(f->c, end, 100, &a, &ends, &k, &e) < 0)
			return NULL;
		for (size_t i = 0; i < n; i++) {
			f->gap |= entries[i].seq != entry + 1;
			entry = entries[i].seq;
		}
		for (size_t i = 0; i < k; i++)
			end = ends[i].seq;
		f->entries += (unsigned)n;
		f->ends += (unsigned)k;
	} while (!last);
	return NULL;
}

static void who_follows_entries_and_ends_of_two_nodes_misses_none(void **state)
{
	struct world *w = *state;
	struct node nodes[NODES] = {};
	struct follower f = {};
	pthread_t thread;

	world_restart(w, (struct catalog_options){.outbox = true});
	slow_down(w, "outbox", true);
	f.c = w->c;
	atomic_store(&writing, NODES);
	assert_int_equal(pthread_create(&thread, NULL, follow, &f), 0);
	run_nodes(w, nodes, leave_entries);
	pthread_join(thread, NULL);
	at_full_speed(w);
	assert_int_equal(f.entries, EACH);
	assert_int_equal(f.ends, NODES * EACH);
	assert_false(f.gap);
}

/* ---- what other nodes hear of ---- */

static struct catalog *another_node(struct world *w)
{
	char conninfo[POSTGRES_CONNINFO_MAX];
	struct catalog *c = NULL;

	postgres_database(conninfo, WORLD_DATABASE);
	assert_int_equal(catalog_postgres_new(&c, conninfo, &w->options, &w->err), 0);
	return c;
}

/* How many of this kind are new to the node; every other one is counted in *others. */
static unsigned heard(struct world *w, struct catalog *c, enum news_kind kind, struct uuid id, unsigned *others)
{
	struct news *list;
	unsigned found = 0;
	bool whole;
	size_t n;

	assert_int_equal(catalog_news(c, &w->arena, &list, &n, &whole, &w->err), 0);
	assert_true(whole);
	for (size_t i = 0; i < n; i++)
		if (list[i].kind == kind && uuid_eq(list[i].id, id))
			found++;
		else if (others)
			++*others;
	return found;
}

static void begin_to_listen(struct world *w, struct catalog *c)
{
	struct news *list;
	bool whole;
	size_t n;

	assert_int_equal(catalog_news(c, &w->arena, &list, &n, &whole, &w->err), 0);
	assert_false(whole); /* what was before is nobody's news */
	assert_int_equal(n, 0);
}

static void what_one_node_commits_the_other_hears_once_and_itself_never(void **state)
{
	struct world *w = *state;
	struct catalog *other = another_node(w);
	struct change delete = {.kind = CHANGE_DELETE_FILE, .delete_file = {.id = test_id(1), .owner = OWNER, .now = NOW}};
	unsigned rest = 0;

	begin_to_listen(w, w->c);
	begin_to_listen(w, other);
	add_file_with_job(w, 1, "md5");
	assert_int_equal(heard(w, other, NEWS_STORED, test_id(1), &rest), 1);
	assert_int_equal(rest, 1); /* that there is work */
	assert_int_equal(heard(w, other, NEWS_STORED, test_id(1), &rest), 0);
	assert_int_equal(apply1(w, &delete), 0);
	assert_int_equal(heard(w, other, NEWS_DELETED, test_id(1), NULL), 1);
	rest = 0;
	assert_int_equal(heard(w, w->c, NEWS_STORED, test_id(1), &rest), 0);
	assert_int_equal(rest, 0);
	catalog_free(other);
}

static void what_took_no_effect_is_no_news(void **state)
{
	struct world *w = *state;
	struct catalog *other = another_node(w);
	struct built again;
	unsigned rest = 0;

	add_file_with_job(w, 1, "md5");
	begin_to_listen(w, other);
	build_file(&again, 1);
	assert_int_equal(apply1(w, &again.change), ERR_CONFLICT);
	assert_int_equal(heard(w, other, NEWS_STORED, test_id(1), &rest), 0);
	assert_int_equal(rest, 0);
	catalog_free(other);
}

struct listener {
	struct catalog *c;
	uint8_t times[NODES][EACH]; /* that the file was told of */
	bool gap;
};

static void *listen_to_all(void *arg)
{
	struct listener *l = arg;
	bool last;

	do {
		CLEANUP(arena_release) struct arena a = ARENA_INIT;
		struct err e = ERR_INIT;
		struct news *list;
		bool whole;
		size_t n;

		last = atomic_load(&writing) == 0;
		if (catalog_news(l->c, &a, &list, &n, &whole, &e) < 0)
			return NULL;
		l->gap |= !whole;
		for (size_t i = 0; i < n; i++)
			for (unsigned k = 0; list[i].kind == NEWS_STORED && k < NODES * EACH; k++)
				l->times[k / EACH][k % EACH] += uuid_eq(list[i].id, test_id(1 + k / EACH * 1000 + k % EACH));
	} while (!last);
	return NULL;
}

/* Transactions that began later are committed earlier: whoever only asks for what comes after the last one that he saw misses some. */
static void news_of_commits_out_of_order_come_once_each(void **state)
{
	struct world *w = *state;
	struct node nodes[NODES] = {};
	struct listener l = {.c = another_node(w)};
	pthread_t thread;

	slow_down(w, "news", true);
	begin_to_listen(w, l.c);
	atomic_store(&writing, NODES);
	assert_int_equal(pthread_create(&thread, NULL, listen_to_all, &l), 0);
	run_nodes(w, nodes, leave_entries);
	pthread_join(thread, NULL);
	at_full_speed(w);
	assert_false(l.gap);
	for (unsigned k = 0; k < NODES * EACH; k++)
		assert_int_equal(l.times[k / EACH][k % EACH], 1);
	catalog_free(l.c);
}

/* ---- duties ---- */

static unsigned beat_of(struct world *w, struct catalog *c, unsigned n, int64_t now, bool first, unsigned wants)
{
	struct change ch = {.kind = CHANGE_BEAT,
			    .beat = {.worker = test_id(n), .now = now, .expires_at = now + 1000, .first = first, .wants = wants}};
	struct change *batch[] = {&ch};

	assert_int_equal(catalog_apply(c, batch, 1, &w->err), 0);
	assert_int_equal(ch.code, 0);
	return ch.beat.holds;
}

static void a_duty_is_one_nodes_until_its_lease_is_over(void **state)
{
	struct world *w = *state;
	struct catalog *other = another_node(w);

	assert_int_equal(beat_of(w, w->c, 500, NOW, true, 1u << DUTY_TIDY | 1u << DUTY_SCRUB), 1u << DUTY_TIDY | 1u << DUTY_SCRUB);
	assert_int_equal(beat_of(w, other, 501, NOW, true, DUTIES_ALL), DUTIES_ALL & ~(1u << DUTY_TIDY | 1u << DUTY_SCRUB));
	assert_int_equal(beat_of(w, w->c, 500, NOW + 900, false, DUTIES_ALL), 1u << DUTY_TIDY | 1u << DUTY_SCRUB);
	assert_int_equal(beat_of(w, w->c, 500, NOW + 1500, false, DUTIES_ALL), DUTIES_ALL); /* the other one is lost */
	assert_int_equal(beat_of(w, other, 502, NOW + 1600, true, DUTIES_ALL), 0);
	catalog_free(other);
}

/* A lease may last for long when its holder is known to be dead. */
static void whoever_lived_in_a_home_that_another_has_alone_is_dead(void **state)
{
	struct world *w = *state;
	struct change old = {.kind = CHANGE_BEAT,
			     .beat = {.worker = test_id(500),
				      .now = NOW,
				      .expires_at = NOW + 100000,
				      .first = true,
				      .home = test_id(700),
				      .wants = DUTIES_ALL}};
	struct change elsewhere = {.kind = CHANGE_RECLAIM, .reclaim = {.now = NOW + 1, .home = test_id(701)}};
	struct change here = {.kind = CHANGE_RECLAIM, .reclaim = {.now = NOW + 1, .home = test_id(700)}};

	add_file_with_job(w, 1, "md5");
	must_apply(w, &old);
	assert_int_equal(claim(w, test_id(500), 1, NOW).n, 1);
	must_apply(w, &elsewhere);
	assert_int_equal(elsewhere.reclaim.reclaimed, 0);
	must_apply(w, &here);
	assert_int_equal(here.reclaim.reclaimed, 1);
	assert_int_equal(beat_of(w, w->c, 501, NOW + 2, true, DUTIES_ALL), DUTIES_ALL);
}

/* Its bytes may have been taken for nobody's. */
static void what_a_forgotten_node_stored_is_refused(void **state)
{
	struct world *w = *state;
	struct change forget = {.kind = CHANGE_PURGE, .purge = {.workers_before = NOW + 5000, .max = 10}};
	struct built b;

	beat_of(w, w->c, 500, NOW, true, 0);
	build_file(&b, 1);
	b.change.add_file.node = test_id(500);
	assert_int_equal(apply1(w, &b.change), 0);
	assert_int_equal(apply1(w, &forget), 0);
	build_file(&b, 2);
	b.change.add_file.node = test_id(500);
	assert_int_equal(apply1(w, &b.change), ERR_CATALOG_UNAVAILABLE);
	assert_int_equal(world_sql(w, "SELECT count(*) FROM file"), 1);
}

/* ---- undone and lost ---- */

/* Does this once when a file is added, then no more: what a sequence counts, no rollback takes back. when: BEFORE or DEFERRED. */
static void once_when_a_file_is_added(struct world *w, const char *what, bool deferred)
{
	char sql[600];

	world_sql(w, "CREATE SEQUENCE times");
	snprintf(
		sql, sizeof(sql),
		"CREATE FUNCTION upset() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF nextval('public.times') = 1 THEN %s; END IF; RETURN NEW; END $$",
		what);
	world_sql(w, sql);
	world_sql(
		w,
		deferred
			? "CREATE CONSTRAINT TRIGGER upset AFTER INSERT ON file DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION upset()"
			: "CREATE TRIGGER upset BEFORE INSERT ON file FOR EACH ROW EXECUTE FUNCTION upset()");
}

static void calm_again(struct world *w)
{
	world_sql(w, "DROP TRIGGER upset ON file");
	world_sql(w, "DROP FUNCTION upset");
	world_sql(w, "DROP SEQUENCE times");
}

/* A file with its job is there once, and so it is counted. */
static void assert_added_once(struct world *w, unsigned n)
{
	assert_int_equal(read_file(w, n).n_jobs, 1);
	assert_int_equal(world_sql(w, "SELECT count(*) FROM file"), 1);
	assert_int_equal(world_sql(w, "SELECT count(*) FROM task"), 1);
	assert_int_equal(world_sql(w, "SELECT sum(waiting) FROM tally"), 1);
}

static void a_batch_that_a_deadlock_undid_is_done_again(void **state)
{
	struct world *w = *state;

	once_when_a_file_is_added(w, "RAISE SQLSTATE '40P01'", false);
	add_file_with_job(w, 1, "md5");
	assert_int_equal(world_sql(w, "SELECT last_value FROM times"), 2);
	calm_again(w);
	assert_added_once(w, 1);
}

static void a_batch_whose_connection_ends_in_the_commit_that_fails_is_done_again(void **state)
{
	struct world *w = *state;

	once_when_a_file_is_added(w, "PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(10)", true);
	add_file_with_job(w, 1, "md5");
	assert_int_equal(world_sql(w, "SELECT last_value FROM times"), 2);
	calm_again(w);
	assert_added_once(w, 1);
}

static atomic_bool enough;

static void *add_until_enough(void *arg)
{
	struct node *n = arg;

	while (!atomic_load(&enough) && !n->failure[0]) {
		struct built b;

		build_file(&b, n->n_ok + 1);
		n->n_ok += node_apply(n, &b.change, 0);
	}
	return NULL;
}

/* The commit waits for a replica that never comes, when its backend is ended: it holds here, and nobody was told. */
static void a_commit_that_held_before_the_connection_ended_is_not_done_again(void **state)
{
	struct world *w = *state;
	struct node n = {.c = w->c};

	atomic_store(&enough, false);
	assert_int_equal(pthread_create(&n.thread, NULL, add_until_enough, &n), 0);
	world_sql(w, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
	world_sql(w, "SELECT pg_reload_conf()");
	while (world_sql(w, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") == 0)
		usleep(1000);
	atomic_store(&enough, true);
	assert_int_equal(world_sql(w, "SELECT count(pg_terminate_backend(pid, 60000)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"),
			 1);
	pthread_join(n.thread, NULL);
	world_sql(w, "ALTER SYSTEM RESET synchronous_standby_names");
	world_sql(w, "SELECT pg_reload_conf()");
	assert_string_equal(n.failure, "");
	assert_int_equal(world_sql(w, "SELECT count(*) FROM file"), n.n_ok);
	assert_int_equal(world_sql(w, "SELECT sum(files) FROM tally"), n.n_ok);
	assert_false(catalog_sealed(w->c));
}

/* ---- rates ---- */

#define HOUR_NS INT64_C(3600000000000)
#define RATES 20

static void *let_through(void *arg)
{
	struct node *n = arg;
	struct err e = ERR_INIT;

	for (unsigned i = 0; i < EACH; i++) {
		struct shared_rate rates[RATES] = {};
		for (unsigned k = 0; k < RATES; k++) {
			rates[k].key[0] =
				(uint8_t)(n->nth == 0 ? k : RATES - 1 - k); /* locks in another order would stand in each other's way */
			rates[k].taken_ns = HOUR_NS;
		}
		if (catalog_share_rates(n->c, rates, RATES, &e) != 0)
			snprintf(n->failure, sizeof(n->failure), "%s", e.detail);
	}
	return NULL;
}

static void what_nodes_let_through_adds_up(void **state)
{
	struct world *w = *state;
	struct node nodes[NODES] = {};
	struct shared_rate rates[] = {
		{.key = {RATES - 1}, .taken_ns = 0}, {.key = {0}, .taken_ns = HOUR_NS}, {.key = {RATES}, .taken_ns = HOUR_NS}};

	run_nodes(w, nodes, let_through);
	assert_int_equal(catalog_share_rates(w->c, rates, 3, &w->err), 0);
	for (unsigned i = 0; i < 3; i++) {
		int64_t all = (i < 2 ? NODES * EACH : 0) * HOUR_NS + rates[i].taken_ns;
		assert_in_range(rates[i].debt_ns, all - HOUR_NS / 2, all);
	}
}

static void a_bucket_that_is_empty_saves_nothing_up_and_goes(void **state)
{
	struct world *w = *state;
	struct shared_rate rate = {.key = {7}, .taken_ns = HOUR_NS};

	world_sql(w, "INSERT INTO rate (key, empty_at) VALUES ('\\x0700000000000000000000000000000000', 5), ('\\x08', 5)");
	assert_int_equal(catalog_share_rates(w->c, &rate, 1, &w->err), 0);
	assert_in_range(rate.debt_ns, HOUR_NS / 2, HOUR_NS);
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(catalog_share_rates(w->c, &rate, 1, &w->err), 0);
	assert_in_range(rate.debt_ns, 64 * HOUR_NS, 65 * HOUR_NS);
	assert_int_equal(world_sql(w, "SELECT count(*) FROM rate"), 1);
}

/* ---- a node that comes back while the schema is brought forward ---- */

static void *come(void *arg)
{
	struct node *n = arg;
	struct change ch = {.kind = CHANGE_BEAT, .beat = {.worker = test_id(700), .now = NOW, .expires_at = NOW + 1000, .first = true}};

	n->ok[0] = node_apply(n, &ch, ERR_SCHEMA_NEWER);
	return NULL;
}

static void await_lock(struct world *w)
{
	for (int i = 0; i < 60000; i++) {
		if (world_sql(w, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'filemill'") >
		    0)
			return;
		usleep(1000);
	}
	fail_msg("nothing waits for the lock");
}

static void who_comes_while_the_schema_is_brought_forward_waits_and_then_sees_to_what(void **state)
{
	struct world *w = *state;
	struct node n = {.c = w->c};

	for (int i = 0; i < 2; i++) {
		n.ok[0] = false;
		postgres_hold(WORLD_DATABASE, "SELECT pg_advisory_xact_lock(hashtextextended('filemill schema ' || current_schema(), 0))");
		assert_int_equal(pthread_create(&n.thread, NULL, come, &n), 0);
		await_lock(w);
		world_sql(
			w,
			i == 0 ? "INSERT INTO schema_version (version, beside) SELECT 1 + max(version), 1 + max(version) FROM schema_version"
			       : "DELETE FROM schema_version WHERE version = (SELECT max(version) FROM schema_version)");
		postgres_let_go();
		pthread_join(n.thread, NULL);
		assert_string_equal(n.failure, "");
		assert_int_equal(n.ok[0], i == 1);
		assert_int_equal(world_sql(w, "SELECT count(*) FROM worker"), i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_key_that_two_nodes_use_at_once_stores_one_file, world_postgres, world_end),
		cmocka_unit_test_setup_teardown(what_may_happen_once_happens_on_one_node, world_postgres, world_end),
		cmocka_unit_test_setup_teardown(a_quota_holds_over_nodes_to_the_last_file, world_postgres, world_end),
		cmocka_unit_test_setup_teardown(a_limit_on_what_runs_holds_over_nodes, world_postgres, world_end),
		cmocka_unit_test_setup_teardown(an_end_that_is_told_to_two_nodes_at_once_takes_effect_once, world_postgres, world_end),
		cmocka_unit_test_setup_teardown(who_follows_entries_and_ends_of_two_nodes_misses_none, world_postgres, world_end),
		cmocka_unit_test_setup_teardown(what_one_node_commits_the_other_hears_once_and_itself_never, world_postgres, world_end),
		cmocka_unit_test_setup_teardown(what_took_no_effect_is_no_news, world_postgres, world_end),
		cmocka_unit_test_setup_teardown(news_of_commits_out_of_order_come_once_each, world_postgres, world_end),
		cmocka_unit_test_setup_teardown(a_duty_is_one_nodes_until_its_lease_is_over, world_postgres, world_end),
		cmocka_unit_test_setup_teardown(whoever_lived_in_a_home_that_another_has_alone_is_dead, world_postgres, world_end),
		cmocka_unit_test_setup_teardown(what_a_forgotten_node_stored_is_refused, world_postgres, world_end),
		cmocka_unit_test_setup_teardown(what_nodes_let_through_adds_up, world_postgres, world_end),
		cmocka_unit_test_setup_teardown(a_bucket_that_is_empty_saves_nothing_up_and_goes, world_postgres, world_end),
		cmocka_unit_test_setup_teardown(who_comes_while_the_schema_is_brought_forward_waits_and_then_sees_to_what, world_postgres,
						world_end),
		cmocka_unit_test_setup_teardown(a_batch_that_a_deadlock_undid_is_done_again, world_postgres, world_end),
		cmocka_unit_test_setup_teardown(a_batch_whose_connection_ends_in_the_commit_that_fails_is_done_again, world_postgres,
						world_end),
		cmocka_unit_test_setup_teardown(a_commit_that_held_before_the_connection_ended_is_not_done_again, world_postgres,
						world_end),
	};
	int failed;

	if (!postgres_installed())
		return 77; /* Meson's word for a program that was skipped */
	postgres_where(true);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	postgres_end();
	return failed;
}
