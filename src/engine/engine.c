#include "base/fd.h"
#include "base/wipe.h"
#include "engine/engine_impl.h"
#include "engine/import.h"
#include "engine/people.h"
#include "engine/webhook.h"
#include "net/target.h"
#include "rt/log.h"
#include "rt/metrics.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CALLER_THREADS 8 /* as many as a shared catalogue has connections for reading */
#define READ_THREADS 2 /* who reads does not wait for a disk's flushes */

static int init_parts(struct engine *g, struct err *e)
{
	struct sleeper *const sleepers[] = {&g->scheduler.sleeper, &g->waits.sleeper, &g->janitor,       &g->outbox,
					    &g->recurring.sleeper, &g->scrub.sleeper, &g->audit.sleeper, &g->nodes.sleeper,
					    &g->limiters.sleeper};
	int rc = uploads_init(g, e);

	if (rc == 0)
		rc = events_init(g, e);
	if (rc == 0)
		rc = webhooks_new(&g->webhooks, g, e);
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(sleepers); i++)
		rc = sleeper_init(sleepers[i], e);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	if (rc == 0 && pthread_cond_init(&g->scheduler.none, &attr) != 0)
		rc = err_set(e, ERR_NO_MEMORY, "no condition variable");
	pthread_condattr_destroy(&attr);
	if (rc == 0 && (pthread_mutex_init(&g->scheduler.lock, NULL) != 0 || pthread_mutex_init(&g->waits.lock, NULL) != 0))
		rc = err_set(e, ERR_NO_MEMORY, "no mutex");
	scrub_init(&g->scrub);
	return rc;
}

static void release_parts(struct engine *g)
{
	struct sleeper *const sleepers[] = {&g->scheduler.sleeper, &g->waits.sleeper, &g->janitor,       &g->outbox,
					    &g->recurring.sleeper, &g->scrub.sleeper, &g->nodes.sleeper, &g->limiters.sleeper};

	for (size_t i = 0; i < ARRAY_LEN(sleepers); i++)
		sleeper_release(sleepers[i]);
	buf_release(&g->scheduler.missed);
	pthread_cond_destroy(&g->scheduler.none);
	pthread_mutex_destroy(&g->scheduler.lock);
	pthread_mutex_destroy(&g->waits.lock);
	audit_release(g);
	events_release(g);
	webhooks_free(g->webhooks);
	scrub_release(&g->scrub);
	uploads_release(g);
}

static int copy_config(struct engine *g, const struct engine_config *config, struct err *e)
{
	struct str text = str_of(config->default_ops);

	g->config = *config;
	if (g->config.ops == NULL)
		g->config.ops = op_builtin_table();
	g->default_ops_text = arena_strndup(&g->strings, text.p, text.len);
	if (g->default_ops_text == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for the engine");
	g->config.default_ops = g->default_ops_text;
	return op_table_parse_list(g->config.ops, &g->default_ops, &g->n_default_ops, text, &g->strings, e);
}

int engine_new(struct engine **ret, const struct engine_config *config, struct env *env, struct catalog *catalog, struct blobs *blobs,
	       struct err *e)
{
	struct engine *g = calloc(1, sizeof(*g));
	int rc;

	if (g == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for the engine");
	g->env = env;
	rc = copy_config(g, config, e);
	if (rc == 0)
		rc = init_parts(g, e);
	if (rc != 0) {
		arena_release(&g->strings);
		free(g);
		return rc;
	}
	uint64_t key[2] = {env->random(env), env->random(env)};
	memcpy(g->cursor_key, key, sizeof(key));
	g->audit.writer = AUDIT_WRITER_INIT;
	gauges_init(g);
	g->catalog = catalog;
	g->nodes.shared = catalog_shared(catalog);
	g->blobs = blobs;
	*ret = g;
	return 0;
}

/* Embedded: nobody else works on this catalogue, so whatever runs is left over from an earlier boot. Elsewhere it may run on another node, and leases tell; but of those who lived in a data
 * directory that nobody else uses it is known that they are dead. */
static int take_back_leftovers(struct engine *g, struct err *e)
{
	struct change c = {.kind = CHANGE_RECLAIM, .reclaim = {.now = engine_now(g), .all = !g->nodes.shared}};
	int rc = 0;

	if (g->config.home_alone)
		c.reclaim.home = g->config.home;
	if (!g->nodes.shared || g->config.home_alone)
		rc = engine_apply(g, &c);

	if (rc != 0) {
		if (e != NULL)
			*e = c.err;
		return rc;
	}
	if (c.reclaim.reclaimed > 0 || c.reclaim.quarantined > 0)
		log_event(LOG_WARN, "jobs_taken_back", LF_INT("queued", c.reclaim.reclaimed), LF_INT("quarantined", c.reclaim.quarantined));
	return 0;
}

/* What the server signs with, made once for the life of its data. */
static int make_secret(struct engine *g, struct err *e)
{
	struct change c = {.kind = CHANGE_ADD_SECRET, .add_secret = {.now = engine_now(g), .keep = SERVER_SECRETS_MAX, .if_none = true}};

	for (size_t i = 0; i < SERVER_SECRET; i += sizeof(uint64_t)) {
		uint64_t bits = g->env->random(g->env);
		memcpy(c.add_secret.bytes + i, &bits, sizeof(bits));
	}
	int rc = engine_apply(g, &c);
	wipe(c.add_secret.bytes, sizeof(c.add_secret.bytes));
	if (rc != 0 && e != NULL)
		*e = c.err;
	return rc;
}

/* A list that one node began is gone on with on another: its cursors are signed with what all of them know. */
static int share_cursor_key(struct engine *g, struct err *e)
{
	CLEANUP(arena_release) struct arena a = ARENA_INIT;
	struct digest_set *d;
	struct secret *list;
	size_t n, len;
	int rc = g->nodes.shared ? catalog_secrets(g->catalog, &a, &list, &n, e) : 0;

	if (rc != 0 || !g->nodes.shared)
		return rc;
	if (n == 0)
		return err_set(e, ERR_INTERNAL, "there is no secret to sign with");
	if ((rc = digest_set_new(&d, 1u << DIGEST_SHA256, e)) != 0)
		return rc;
	/* the oldest: secrets are added, and cursors go on */
	digest_set_update(d, "filemill cursors", 16);
	digest_set_update(d, list[n - 1].bytes, sizeof(list[n - 1].bytes));
	for (size_t i = 0; i < n; i++)
		explicit_bzero(list[i].bytes, sizeof(list[i].bytes));
	if ((rc = digest_set_finish(d, e)) == 0)
		memcpy(g->cursor_key, digest_set_get(d, DIGEST_SHA256, &len), sizeof(g->cursor_key));
	digest_set_free(d);
	return rc;
}

int engine_start(struct engine *g, struct err *e)
{
	int rc;

	if ((rc = pool_new(&g->io, "io", g->config.io_threads + READ_THREADS, e)) != 0)
		return rc;
	pool_keep_free(g->io, READ_THREADS);
	if ((rc = pool_new(&g->jobs, "job", g->config.job_threads, e)) != 0)
		return rc;
	pool_pick_by(g->jobs, scheduler_pick, g);
	if (g->nodes.shared && (rc = pool_new(&g->callers, "caller", CALLER_THREADS, e)) != 0)
		return rc;
	if ((rc = import_start(g, e)) != 0)
		return rc;
	if ((rc = arrivals_start(g, e)) != 0)
		return rc;
	if ((rc = committer_start(g, e)) != 0)
		return rc;
	if ((rc = audit_start(g, e)) != 0)
		return rc;
	if ((rc = take_back_leftovers(g, e)) != 0)
		return rc;
	if ((rc = make_secret(g, e)) != 0)
		return rc;
	if ((rc = share_cursor_key(g, e)) != 0)
		return rc;
	if ((rc = waits_start(g, e)) != 0)
		return rc;
	if ((rc = events_start(g, e)) != 0)
		return rc;
	if (g->config.outbox != NULL && (rc = outbox_start(g, e)) != 0)
		return rc;
	if ((rc = webhooks_start(g, e)) != 0)
		return rc;
	if ((rc = scheduler_start(g, e)) != 0)
		return rc;
	if ((rc = nodes_start(g, e)) != 0)
		return rc;
	if ((rc = recurring_start(g, e)) != 0)
		return rc;
	if ((rc = janitor_start(g, e)) != 0)
		return rc;
	if ((rc = people_start(g, e)) != 0)
		return rc;
	return scrub_start(g, e);
}

void engine_quiesce(struct engine *g)
{
	atomic_store(&g->stopping, true);
	if (g->waits.sleeper.running)
		waits_look_again(g);
	events_end(g);
}

void engine_hurry(struct engine *g)
{
	blobs_interrupt(g->blobs);
}

void engine_stop(struct engine *g, int64_t grace_ms)
{
	engine_quiesce(g);
	scheduler_drain(g, grace_ms);
	engine_hurry(g); /* whoever waits for a bucket would be waited for below */
	scrub_stop(g);
	people_stop(g);
	janitor_stop(g);
	recurring_stop(g);
	limiters_stop(g);
	nodes_stop(g);
	scheduler_stop(g);
	pool_free(g->jobs);
	g->jobs = NULL;
	pool_free(g->imports);
	g->imports = NULL;
	pool_free(g->arrivals); /* each waits for its own commit */
	g->arrivals = NULL;
	uploads_wait_none(g); /* those whose client has gone still go to and fro between the pool and the committer */
	pool_free(g->callers);
	g->callers = NULL;
	pool_free(g->io);
	g->io = NULL;
	waits_stop(g);
	events_stop(g);
	outbox_stop(g);
	webhooks_stop(g);
	audit_stop(g);
	committer_stop(g);
}

void engine_free(struct engine *g)
{
	if (g == NULL)
		return;
	release_parts(g);
	catalog_free(g->catalog);
	blobs_free(g->blobs);
	arena_release(&g->strings);
	free(g);
}

struct catalog *engine_catalog(struct engine *g)
{
	return g->catalog;
}

bool engine_reads_are_local(const struct engine *g)
{
	return !g->nodes.shared; /* memory and SQLite */
}

const struct engine_people *engine_people_rules(const struct engine *g)
{
	return &g->config.people;
}

struct pool *engine_pool(struct engine *g)
{
	return g->io;
}

struct pool *engine_caller_pool(struct engine *g)
{
	return g->callers;
}

struct env *engine_env(struct engine *g)
{
	return g->env;
}

struct uuid engine_new_id(struct engine *g)
{
	return uuid_next(&g->ids, engine_now(g), g->env->random(g->env));
}

const uint8_t *engine_cursor_key(struct engine *g)
{
	return g->cursor_key;
}

bool engine_stopping(const struct engine *g)
{
	return atomic_load(&g->stopping);
}

void engine_new_job(struct engine *g, struct job *ret, struct uuid file, const struct op_request *op)
{
	int64_t now = engine_now(g);

	*ret = (struct job){
		.id = engine_new_id(g),
		.file = file,
		.op = str_of(op->op->name),
		.op_version = op->op->version,
		.params = op->params,
		.own_name = op->op->named,
		.state = JOB_QUEUED,
		.priority = PRIORITY_DEFAULT,
		.max_attempts = op->op->max_attempts > 0 ? op->op->max_attempts : MAX_ATTEMPTS_DEFAULT,
		.run_at = now,
		.created_at = now,
	};
}

void engine_new_jobs(struct engine *g, struct job *ret, struct uuid file, const struct op_request *ops, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		engine_new_job(g, &ret[i], file, &ops[i]);
		if (ops[i].after >= 0)
			ret[i].after = ret[ops[i].after].id;
	}
}

int engine_takes_writes(const struct engine *g, struct err *e)
{
	if (!blobs_sealed(g->blobs) && !catalog_sealed(g->catalog))
		return 0;
	metric_set(METRIC_STORAGE_SEALED, 1);
	return err_set(e, ERR_STORAGE_SEALED, "the storage failed; it takes no writes until the server is restarted");
}

static bool adds(enum change_kind kind)
{
	switch (kind) {
	case CHANGE_ADD_FILE:
	case CHANGE_ADD_FILES:
	case CHANGE_ADD_JOBS:
	case CHANGE_RETRY_JOB:
	case CHANGE_ADD_WEBHOOK:
	case CHANGE_ADD_PING:
	case CHANGE_REPLAY:
	case CHANGE_ADD_ACCOUNT:
	case CHANGE_ADD_KEY:
		return true; /* not CHANGE_ADD_SESSION: an account has few, and who is to make room must come in */
	default:
		return false;
	}
}

static int above_reserve(const struct engine *g, struct err *e)
{
	return atomic_load(&g->space_low) ? err_set(e, ERR_STORAGE_FULL, "the storage has no free space left above its reserve") : 0;
}

int engine_takes_change(const struct engine *g, enum change_kind kind, struct err *e)
{
	int rc = engine_takes_writes(g, e);

	return rc == 0 && adds(kind) ? above_reserve(g, e) : rc;
}

int engine_ready(struct engine *g, struct err *e)
{
	struct change c = {.kind = CHANGE_PROBE};

	if (atomic_load(&g->stopping))
		return err_set(e, ERR_SHUTTING_DOWN, "the server is stopping");
	int rc = above_reserve(g, e);
	if (rc == 0)
		rc = blobs_probe(g->blobs, e);
	if (rc != 0)
		return rc;
	rc = engine_apply(g, &c);
	/* Whoever reads is served by nobody else: it stays in the rotation. */
	if (rc == ERR_MOVED)
		return 0;
	if (rc != 0 && e != NULL)
		*e = c.err;
	return rc;
}

int engine_webhook_url(const struct engine *g, struct str url, struct err *e)
{
	static const struct target_policy strictest;
	const struct target_policy *policy = g->config.webhooks.targets;
	struct target target;

	return target_parse(&target, url, policy != NULL ? policy : &strictest, e);
}

unsigned engine_webhooks_max(const struct engine *g)
{
	return g->config.webhooks.per_owner;
}

struct webhook_secret engine_new_secret(struct engine *g)
{
	struct webhook_secret secret = {};

	static_assert(sizeof(secret.b) % sizeof(uint64_t) == 0);
	for (size_t i = 0; i < sizeof(secret.b); i += sizeof(uint64_t)) {
		uint64_t word = g->env->random(g->env);
		memcpy(secret.b + i, &word, sizeof(word));
	}
	return secret;
}

const struct op_table *engine_ops(const struct engine *g)
{
	return g->config.ops;
}
