/* The janitor: watches free space and the runner, removes the bytes of deleted files, deletes expired ones, lets results expire, forgets what is old, and sweeps unreferenced blobs.
 *
 * The sweep cannot race an upload: names are used once, an upload's name is on the list of open uploads until its row is committed (or its blob removed), and
 * the list is asked before the catalogue. What is on neither will never be referred to.
 *
 * The same holds for an output: its attempt is in hand from before the blob is created until its finish is committed, or refused and the blob removed. Not in hand means
 * that the attempt which used this name is over, and a later one has another name; so a reference that is not in the catalogue *after* that look never comes.
 * Asked the other way round, the finish might be committed between the two looks and its blob be taken for garbage.
 *
 * Of other nodes' uploads is known what they told with their beats: none that is under way, or begins, has an id of an earlier time. A node that was lost and goes on is refused by the commit
 * when it was forgotten meanwhile, and until then counts as living. Of other nodes' attempts the catalogue knows: one that runs there may refer to its output by and by. It is asked after
 * the reference was found missing, and the reference once more after that, for the same reason as above.
 *
 * What is over is judged by the clock of this node or the one that all share, whichever is behind: a wrong one removes nothing too early.
 *
 * A backup holds the blobs, then takes its snapshot of the catalogue, then copies what the snapshot refers to. So here it is asked for after the catalogue: a blob that no row
 * referred to before is in no later snapshot either. Both lists wait until it has ended (docs/adr/0020). */
#include "engine/arrival.h"
#include "engine/engine_impl.h"
#include "rt/log.h"
#include "rt/metrics.h"

#include <stdio.h>
#include <sys/statvfs.h>

#define LOOK_MS 500 /* free space, and everything else that is due */
#define RESULTS_EVERY_MS 1000
#define PURGE_EVERY_MS 2000
#define PURGE_MAX                                                                                                                          \
	1000 /* of each kind at once; with the time above this bounds how fast old rows go, so it must keep up with how fast they come */
#define DOOMED_BATCH 256
#define EXPIRED_BATCH 256
#define GARBAGE_BATCH 256
#define AGAIN_MS 60000 /* what failed is tried again */
#define HELD_MS 1000 /* what a backup held up is tried again */

void janitor_look_at_space(struct engine *g)
{
	struct statvfs v;

	if (g->config.space_fd < 0 || fstatvfs(g->config.space_fd, &v) != 0)
		return;
	metric_set(METRIC_DISK_FREE, (int64_t)(v.f_bavail * v.f_frsize));
	if (g->config.free_reserve == 0)
		return;
	bool low = (uint64_t)v.f_bavail * v.f_frsize < g->config.free_reserve;
	if (atomic_exchange(&g->space_low, low) != low)
		log_event(low ? LOG_ERROR : LOG_INFO, low ? "free_space_low" : "free_space_back",
			  LF_INT("free_bytes", v.f_bavail * v.f_frsize));
}

static bool blobs_held(struct engine *g)
{
	return g->config.blobs_held != NULL && g->config.blobs_held(g->config.blobs_held_arg);
}

/* How many of the blobs went. */
static size_t remove_listed(struct engine *g, const struct str *list, size_t n)
{
	struct err e = ERR_INIT;
	size_t gone = 0;

	for (size_t i = 0; i < n; i++) {
		if (blob_remove(g->blobs, list[i], &e) != 0) {
			log_err(LOG_WARN, "blob_not_removed", &e);
			continue;
		}
		struct change c = {.kind = CHANGE_BLOB_GONE, .blob_gone = {.blob = list[i]}};
		if (engine_apply(g, &c) == 0)
			gone++;
		else
			log_err(LOG_WARN, "doomed_not_struck", &c.err);
	}
	return gone;
}

/* The second step of a delete: the row is marked, now the bytes go, then the mark. False: a backup holds them, or another catalogue may need them.
 * Where none of a batch can be removed this ends, so that a store that is away is not asked for each; the next time goes on behind them, and comes back to them in the end. */
static bool remove_doomed(struct engine *g)
{
	bool more = line_alone(g, false), held = !more, around = g->doomed_after[0] == '\0';

	while (more && !held && !atomic_load(&g->stopping)) {
		struct arena a = ARENA_INIT;
		struct str *list;
		struct err e = ERR_INIT;
		size_t n = 0, gone = 0;

		if (catalog_doomed(g->catalog, str_of(g->doomed_after), DOOMED_BATCH, &a, &list, &n, &e) != 0)
			log_err(LOG_WARN, "doomed_unreadable", &e);
		held = n > 0 && (blobs_held(g) || !line_alone(g, false));
		if (!held) {
			gone = remove_listed(g, list, n);
			more = n == DOOMED_BATCH ? gone > 0 : !around;
			around |= n < DOOMED_BATCH;
			snprintf(g->doomed_after, sizeof(g->doomed_after), "%.*s", n == DOOMED_BATCH ? (int)list[n - 1].len : 0,
				 n == DOOMED_BATCH ? list[n - 1].p : "");
		}
		arena_release(&a);
	}
	return !held;
}

static int note_expired(struct engine *g, struct change *c, struct arena *a)
{
	static const struct audit_by by = {.how = "server"};
	char id[UUID_TEXT_LEN + 1];

	uuid_format(id, c->delete_file.id);
	return engine_audit(g, c, a, AUDIT_FILE_EXPIRED, &by, &c->err, LF_CSTR("file", id), LF_STR("owner", c->delete_file.owner));
}

/* Files past their expiry are deleted as if by hand, many in one transaction; one that was given more time meanwhile stays. */
static void delete_expired(struct engine *g)
{
	size_t n = EXPIRED_BATCH, deleted = 1;

	while (n == EXPIRED_BATCH && deleted > 0 && !atomic_load(&g->stopping)) {
		CLEANUP(arena_release) struct arena a = ARENA_INIT;
		struct change *changes = arena_alloc(&a, EXPIRED_BATCH * sizeof(*changes));
		struct err e = ERR_INIT;
		struct expired *list;
		int64_t now = scheduler_others_now(g);

		n = deleted = 0;
		if (changes == NULL)
			err_set(&e, ERR_NO_MEMORY, "no memory for a list");
		if (changes == NULL || catalog_expired(g->catalog, now, EXPIRED_BATCH, &a, &list, &n, &e) != 0)
			log_err(LOG_WARN, "expired_unreadable", &e);
		for (size_t i = 0; i < n; i++) {
			changes[i] =
				(struct change){.kind = CHANGE_DELETE_FILE,
						.delete_file = {.id = list[i].file, .owner = list[i].owner, .now = now, .expired_by = now}};
			if (note_expired(g, &changes[i], &a) != 0) {
				engine_log_failed(LOG_WARN, "expired_not_deleted", &changes[i].err);
				n = i;
			}
		}
		engine_apply_all(g, changes, n);
		for (size_t i = 0; i < n; i++) {
			deleted += changes[i].code == 0;
			if (changes[i].code != 0 && changes[i].code != ERR_FILE_GONE && changes[i].code != ERR_CONFLICT)
				engine_log_failed(LOG_WARN, "expired_not_deleted", &changes[i].err);
		}
		metric_add(METRIC_EXPIRED_FILES, (int64_t)deleted);
	}
}

/* False when it failed. */
static bool expire_results(struct engine *g)
{
	uint32_t n = EXPIRED_BATCH;

	while (n == EXPIRED_BATCH && !atomic_load(&g->stopping)) {
		int64_t now = scheduler_others_now(g);
		struct change c = {.kind = CHANGE_EXPIRE_RESULTS,
				   .expire_results = {.now = now, .again_at = now + AGAIN_MS, .max = EXPIRED_BATCH}};

		if (engine_apply(g, &c) != 0) {
			engine_log_failed(LOG_WARN, "results_not_expired", &c.err);
			return false;
		}
		n = c.expire_results.expired + c.expire_results.kept;
		metric_add(METRIC_EXPIRED_RESULTS, c.expire_results.expired);
	}
	return true;
}

/* False when it failed. */
static bool purge(struct engine *g)
{
	int64_t now = scheduler_others_now(g);
	struct change c = {
		.kind = CHANGE_PURGE,
		.purge = {.idempotency_before = now - g->config.idempotency_ms,
			  .tombstones_before = now - g->config.tombstone_ms,
			  .deliveries_before = now - g->config.webhooks.keep_ms,
			  .once_before = now,
			  .keys_before = now - g->config.tombstone_ms,
			  .workers_before = now - g->config.lease_ms * 4,
			  .max = PURGE_MAX},
	};

	if (engine_apply(g, &c) != 0)
		engine_log_failed(LOG_WARN, "purge_failed", &c.err);
	return c.code == 0;
}

struct sweep {
	struct engine *g;
	unsigned removed, seen;
	int64_t others_since; /* uploads of other nodes have ids of this time and later */
	bool held; /* a backup began meanwhile, or another catalogue came */
	struct arena names; /* of … */
	struct str garbage[GARBAGE_BATCH]; /* … what nobody needs */
	size_t n_garbage;
};

/* Whether somebody may be about to refer to the blob. Asked before the catalogue, see above. */
static bool may_come(const struct sweep *s, struct str name)
{
	struct engine *g = s->g;
	struct uuid id;
	int64_t fence;

	switch (blob_name_parse(&id, &fence, name)) {
	case BLOB_OF_FILE:
		return uploads_inflight(g, id) || uuid_ms(id) >= s->others_since;
	case BLOB_OF_OUTPUT:
		return scheduler_inhand(g, id, fence);
	case BLOB_OF_ARRIVAL: /* it cannot be told whether it is read just now, but when that was begun at the latest */
		return scheduler_others_now(g) < uuid_ms(id) + ARRIVAL_KEPT_MS;
	case BLOB_OF_PROBE:
	case BLOB_OF_NOBODY:
		break;
	}
	return true; /* not ours to judge */
}

/* Also when nobody can tell. */
static bool attempt_elsewhere(struct engine *g, struct str name)
{
	struct err e = ERR_INIT;
	struct uuid id;
	int64_t fence;
	bool runs = false;

	if (blob_name_parse(&id, &fence, name) != BLOB_OF_OUTPUT)
		return false;
	if (catalog_attempt_runs(g->catalog, id, fence, &runs, &e) == 0)
		return runs;
	log_err(LOG_WARN, "sweep_passed_over", &e);
	return true;
}

/* Another catalogue's word lay in the bucket before its first blob did, so it is looked for after these were found. */
static int remove_garbage(struct sweep *s)
{
	struct engine *g = s->g;
	struct err e = ERR_INIT;

	if (s->n_garbage == 0)
		return 0;
	/* Since the catalogue was asked a commit may have failed with unknown outcome, and its upload or job have left the lists. */
	if (atomic_load(&g->stopping) || catalog_sealed(g->catalog))
		return 1;
	s->held = blobs_held(g) || !line_alone(g, true);
	for (size_t i = 0; i < s->n_garbage && !s->held; i++)
		if (blob_remove(g->blobs, s->garbage[i], &e) != 0)
			log_err(LOG_WARN, "blob_not_swept", &e);
		else
			s->removed++;
	s->n_garbage = 0;
	arena_release(&s->names);
	s->names = ARENA_INIT;
	return s->held;
}

static int sweep_visit(void *arg, struct str name, uint64_t size)
{
	struct sweep *s = arg;
	struct engine *g = s->g;
	struct err e = ERR_INIT;
	bool referenced = true;

	s->seen++;
	if (atomic_load(&g->stopping) || catalog_sealed(g->catalog) || blobs_sealed(g->blobs))
		return 1; /* what the catalogue says cannot be trusted before a restart */
	s->held = !line_alone(g, false); /* which looks when that is due, however long this takes */
	if (s->held)
		return 1;
	if (may_come(s, name))
		return 0;
	if (catalog_blob_referenced(g->catalog, name, &referenced, &e) != 0) {
		log_err(LOG_WARN, "sweep_stopped", &e);
		return 1;
	}
	if (referenced)
		return 0;
	if (g->nodes.shared &&
	    (attempt_elsewhere(g, name) || catalog_blob_referenced(g->catalog, name, &referenced, &e) != 0 || referenced))
		return 0;
	struct str kept = arena_str(&s->names, name);
	if (kept.p == NULL)
		return 0; /* the next sweep finds it */
	s->garbage[s->n_garbage++] = kept;
	return s->n_garbage == GARBAGE_BATCH ? remove_garbage(s) : 0;
}

/* Whether a write of it may still be ended: by this node, or by another one. */
static enum blob_claim claim_of(void *arg, struct str name)
{
	const struct sweep *s = arg;
	struct uuid id;
	int64_t fence;
	enum blob_of kind = blob_name_parse(&id, &fence, name);

	if (kind != BLOB_OF_FILE && kind != BLOB_OF_OUTPUT)
		return BLOB_CLAIM_UNKNOWN;
	if (atomic_load(&s->g->stopping) || catalog_sealed(s->g->catalog))
		return BLOB_CLAIMED; /* as in sweep_visit() */
	return may_come(s, name) || (s->g->nodes.shared && attempt_elsewhere(s->g, name)) ? BLOB_CLAIMED : BLOB_ABANDONED;
}

bool janitor_sweep(struct engine *g)
{
	struct sweep s = {.g = g, .others_since = nodes_uploads_since(g), .names = ARENA_INIT};
	struct err e = ERR_INIT;

	if (blobs_held(g) || !line_alone(g, false) || !line_alone(g, true))
		return false;
	if (blobs_give_up(g->blobs, claim_of, &s, &e) != 0) /* keys may not have the right to; what lies there is swept all the same */
		log_err(LOG_WARN, "parts_not_given_up", &e);
	if (blobs_visit(g->blobs, sweep_visit, &s, &e) != 0)
		log_err(LOG_WARN, "sweep_failed", &e);
	(void)remove_garbage(&s);
	arena_release(&s.names);
	metric_add(METRIC_SWEPT_BLOBS, s.removed);
	log_event(LOG_INFO, "sweep_done", LF_INT("blobs", s.seen), LF_INT("removed", s.removed));
	return !s.held;
}

/* What the runner counts since its start becomes metrics; a zygote that had to be replaced is told. */
static void look_at_runner(struct engine *g, struct runner_stats *last)
{
	struct runner_stats now;

	runner_stats(g->config.runner, &now);
	metric_set(METRIC_RUNNER_CHILDREN, now.living);
	metric_add(METRIC_RUNNER_STARTED, (int64_t)(now.children - last->children));
	metric_add(METRIC_RUNNER_KILLED, (int64_t)(now.killed - last->killed));
	metric_add(METRIC_RUNNER_LOST, (int64_t)(now.lost - last->lost));
	metric_add(METRIC_RUNNER_VIOLATIONS, (int64_t)(now.violations - last->violations));
	metric_add(METRIC_RUNNER_ZYGOTES, (int64_t)(now.zygotes - last->zygotes));
	if (last->zygotes > 0 && now.zygotes > last->zygotes)
		log_event(LOG_ERROR, "runner_restarted", LF_INT("pid", now.zygote_pid), LF_INT("times", now.zygotes - 1));
	*last = now;
}

static void look_at_damage(struct engine *g)
{
	struct err e = ERR_INIT;
	uint64_t n;

	if (catalog_damaged_count(g->catalog, &n, &e) == 0)
		metric_set(METRIC_DAMAGED_FILES, (int64_t)n);
	else
		log_err(LOG_WARN, "damage_not_counted", &e);
}

struct janitor_times { /* when each is due, monotonic ms */
	int64_t results, purge, doomed, sweep;
};

/* A sweep that a backup held up is made up for; beyond that there may be none but the one at the start. */
static int64_t sweep_pause(const struct engine *g)
{
	return g->config.sweep_every_ms > 0 ? g->config.sweep_every_ms : INT64_MAX / 2;
}

/* What changes the catalogue; not after its flush failed, for then it takes no change until a restart. One node does it for all. */
static void tidy(struct engine *g, struct janitor_times *due, int64_t now)
{
	if (catalog_sealed(g->catalog) || !engine_duty(g, DUTY_TIDY))
		return;
	delete_expired(g);
	if (now >= due->results)
		due->results = now + (expire_results(g) ? RESULTS_EVERY_MS : AGAIN_MS);
	if (atomic_exchange(&g->doomed_waiting, false) || now >= due->doomed) {
		due->doomed = now + (remove_doomed(g) ? AGAIN_MS : HELD_MS);
	}
	if (now >= due->purge)
		look_at_damage(g);
	if (now >= due->purge)
		due->purge = now + (purge(g) ? PURGE_EVERY_MS : AGAIN_MS);
	if (now >= due->sweep) {
		bool swept = janitor_sweep(g);
		due->sweep = engine_mono(g) + (swept || !line_alone(g, false) ? sweep_pause(g) : HELD_MS);
	}
}

static void *janitor_run(void *arg)
{
	struct engine *g = arg;
	struct janitor_times due;
	struct runner_stats runner = {};

	line_begin(g);
	bool duty = engine_duty(g, DUTY_TIDY), removed = duty && remove_doomed(g), swept = duty && janitor_sweep(g);
	int64_t now = engine_mono(g);
	due = (struct janitor_times){.purge = now + PURGE_EVERY_MS,
				     .doomed = now + (removed ? AGAIN_MS : HELD_MS),
				     .sweep = now + (swept ? sweep_pause(g) : HELD_MS)};
	do {
		janitor_look_at_space(g);
		look_at_runner(g, &runner);
		gauges_look(g, engine_mono(g));
		(void)blobs_held(g); /* so that whoever answers knows how long */
		if (line_tick(g))
			due.doomed = due.sweep = engine_mono(g);
		tidy(g, &due, engine_mono(g));
		metric_set(METRIC_STORAGE_SEALED, blobs_sealed(g->blobs) || catalog_sealed(g->catalog));
	} while (sleeper_wait(&g->janitor, LOOK_MS));
	return NULL;
}

int janitor_start(struct engine *g, struct err *e)
{
	janitor_look_at_space(g);
	return sleeper_start(&g->janitor, "janitor", janitor_run, g, e);
}

void janitor_stop(struct engine *g)
{
	sleeper_stop(&g->janitor);
}

void engine_kick_doomed(struct engine *g)
{
	if (!atomic_exchange(&g->doomed_waiting, true))
		sleeper_kick(&g->janitor);
}
