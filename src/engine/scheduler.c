/* The scheduler: keeps this worker incarnation's lease, takes back what lost workers held, claims ready jobs and hands them to the job threads.
 *
 * The lease is measured on the monotonic clock from before the beat was sent. Jobs look at `lease_until` as they go and stop when it is over,
 * so that nobody works on what another worker may hold by then; the fence refuses the rest.
 *
 * Nodes judge each other's leases, and their clocks may differ. The catalogue's server says with each beat what its own clock shows: who is behind it gives himself a lease by that one, and
 * who is ahead of it judges others by it. So a wrong clock makes a lease last longer, and takes no job from anybody who lives.
 *
 * The catalogue keeps leases in wall time, which may be set anew at any moment. So whether a lease has ended is asked in the wall time of the last beat
 * plus what the monotonic clock says has passed since; and when the two clocks have come apart, a beat writes the lease in the new time at once. */
#include "engine/engine_impl.h"
#include "rt/log.h"
#include "rt/metrics.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CLOCK_APART_MS 1000 /* how far the wall clock may have moved against the monotonic one since a beat */
#define CLAIM_RETRY_MS 200 /* after a claim that failed */
#define CLAIM_MIN 16 /* jobs */
#define CLAIM_WORKS 4 /* works a thread that one claim is to bring */
#define RUNNER_PAUSE_MS 1000 /* after the runner could not begin a job */
#define AHEAD_TOLD_MS 2000 /* clocks that differ by more are told of */
#define LEASE_MARGIN_MS 3000 /* work stops this long before the lease ends; a quarter of a short lease */

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* The time in which the lease was written. */
static int64_t lease_now(struct engine *g)
{
	const struct scheduler *s = &g->scheduler;

	return s->registered ? s->beat_wall + (engine_mono(g) - s->beat_mono) : engine_now(g);
}

static bool clock_was_set(struct engine *g)
{
	int64_t apart = engine_now(g) - lease_now(g);

	return apart > CLOCK_APART_MS || apart < -CLOCK_APART_MS;
}

/* How far this node's clock is ahead of the one that all share, and how far behind. */
static int64_t ahead_ms(struct engine *g)
{
	int64_t ahead = atomic_load(&g->scheduler.ahead_ms);

	return ahead > 0 ? ahead : 0;
}

static int64_t behind_ms(struct engine *g)
{
	int64_t ahead = atomic_load(&g->scheduler.ahead_ms);

	return ahead < 0 ? -ahead : 0;
}

int64_t scheduler_others_now(struct engine *g)
{
	return engine_now(g) - ahead_ms(g);
}

static bool far_apart(int64_t ahead)
{
	return ahead > AHEAD_TOLD_MS || ahead < -AHEAD_TOLD_MS;
}

/* What the other clock showed while this one went from `before` to now. */
static void compare_clocks(struct engine *g, int64_t before, int64_t clock_at)
{
	int64_t now = engine_now(g), ahead = clock_at == 0       ? 0
					     : before > clock_at ? before - clock_at
					     : now < clock_at    ? now - clock_at
								 : 0;

	if (far_apart(ahead) != far_apart(atomic_exchange(&g->scheduler.ahead_ms, ahead)))
		log_event(far_apart(ahead) ? LOG_WARN : LOG_INFO, far_apart(ahead) ? "clock_apart" : "clock_right",
			  LF_INT("ahead_ms", ahead));
}

static struct str str_or_none(const char *text)
{
	return text != NULL ? str_of(text) : (struct str){};
}

static void know_as(struct scheduler *s, struct uuid worker, bool registered)
{
	pthread_mutex_lock(&s->lock);
	s->worker = worker;
	s->registered = registered;
	pthread_mutex_unlock(&s->lock);
}

/* Returns how long until the next one. */
static int64_t beat(struct engine *g)
{
	struct scheduler *s = &g->scheduler;
	int64_t mono = engine_mono(g), wall = engine_now(g);
	struct change c = {
		.kind = CHANGE_BEAT,
		.beat = {.worker = s->worker,
			 .now = lease_now(g),
			 .expires_at = wall + g->config.lease_ms + behind_ms(g),
			 .first = !s->registered,
			 .home = g->config.home,
			 .host = str_or_none(g->config.host),
			 .labels = str_or_none(g->config.labels),
			 .uploads_since = uploads_since(g, wall),
			 .draining = atomic_load(&s->resting),
			 .wants = atomic_load(&s->resting) ? atomic_load(&g->nodes.duties)
							   : nodes_wants(g)}, /* who is about to end takes up nothing more */
	};
	int64_t since = engine_us();
	int rc = engine_apply(g, &c);

	metric_observe_us(METRIC_BEAT_SECONDS, engine_us() - since);
	if (rc == 0) {
		metric_set(METRIC_BEAT_TIME, wall / 1000);
		compare_clocks(g, wall, c.beat.clock_at);
		know_as(s, s->worker, true);
		s->beat_wall = wall;
		s->beat_mono = mono;
		atomic_store(&s->lease_until, mono + g->config.lease_ms - least(LEASE_MARGIN_MS, g->config.lease_ms / 4));
		nodes_hold(g, c.beat.holds);
		return g->config.beat_ms;
	}
	metric_add(METRIC_BEATS_FAILED, 1);
	engine_log_failed(LOG_ERROR, "heartbeat_failed", &c.err);
	if (rc == ERR_SCHEMA_NEWER && g->config.unfit != NULL)
		g->config.unfit(&c.err);
	if (rc != ERR_STALE)
		return g->config.beat_ms;
	/* the lease was lost: what runs belongs to somebody else now; begin anew under another name, which cannot be stale */
	atomic_store(&s->lease_until, 0);
	nodes_hold(g, 0);
	know_as(s, engine_new_id(g), false);
	return 0;
}

static void reclaim(struct engine *g)
{
	struct change c = {.kind = CHANGE_RECLAIM, .reclaim = {.now = lease_now(g) - ahead_ms(g)}};

	if (engine_apply(g, &c) != 0)
		engine_log_failed(LOG_WARN, "reclaim_failed", &c.err);
	else if (c.reclaim.reclaimed > 0 || c.reclaim.quarantined > 0)
		log_event(LOG_WARN, "jobs_taken_back", LF_INT("queued", c.reclaim.reclaimed), LF_INT("quarantined", c.reclaim.quarantined));
}

static bool same_bytes(const struct claimed *a, const struct claimed *b)
{
	if (a->blob.p == NULL || b->blob.p == NULL)
		return a->blob.p == b->blob.p && uuid_eq(a->job.file, b->job.file);
	return str_eq(a->blob, b->blob);
}

/* How the jobs of a claim fall into works. */
struct plan {
	uint16_t work_of[CLAIM_MAX]; /* by job */
	uint16_t jobs_of[CLAIM_MAX]; /* by work: how many */
	size_t n; /* works */
};

/* A work that takes more jobs. */
struct filling {
	bool open;
	size_t work, first; /* and the place of its first job */
	uint64_t bytes;
};

/* Adds a job to the work that is being filled, or to a new one when it does not fit or the work is full. */
static void plan_job(struct plan *p, struct filling *f, size_t i, uint64_t size, bool fits)
{
	if (!f->open || !fits || p->jobs_of[f->work] == RUNNER_BATCH_MAX) {
		*f = (struct filling){.open = true, .work = p->n, .first = i};
		p->jobs_of[p->n++] = 0;
	}
	p->work_of[i] = (uint16_t)f->work;
	p->jobs_of[f->work]++;
	f->bytes += size;
}

/* Digests of small files run in batches, for handing over one job costs more than the job. Those of one large file, claimed next to each other, share a pass
 * over its bytes. Everything else runs by itself. */
static void plan_works(struct plan *p, struct engine *g, const struct claimed *jobs, size_t n)
{
	struct filling small = {}, large = {};

	p->n = 0;
	for (size_t i = 0; i < n; i++) {
		const struct op *op = op_table_find(g->config.ops, jobs[i].job.op);
		bool digest = op != NULL && op->kind == OP_STREAMING;

		if (digest && jobs[i].size <= SMALL_FILE)
			plan_job(p, &small, i, jobs[i].size, small.bytes + jobs[i].size <= SMALL_BATCH);
		else
			plan_job(p, &large, i, jobs[i].size, digest && large.open && same_bytes(&jobs[large.first], &jobs[i]));
		if (!digest)
			large.open = false;
	}
}

/* Hands the claimed jobs over. Returns the number of works. */
static size_t distribute(struct engine *g, struct batch *b, struct claimed *jobs, size_t n)
{
	struct work *works[CLAIM_MAX];
	struct plan p;

	plan_works(&p, g, jobs, n);
	assert(p.n > 0); /* n is */
	for (size_t k = 0; k < p.n; k++)
		works[k] = work_new(g, b, p.jobs_of[k]);
	for (size_t i = 0; i < n; i++)
		work_add(works[p.work_of[i]], &jobs[i], op_table_find(g->config.ops, jobs[i].job.op));
	for (size_t k = 0; k < p.n; k++)
		work_start(works[k]);
	return p.n;
}

/* How many jobs one claim is to bring: enough for every thread's next few works, judged by how many the last claim put into one. So slow jobs, which run one by one,
 * stay in the queue, where they can be cancelled, overtaken and, after a crash, counted as not begun; and digests come by the hundred. */
static uint32_t claim_size(const struct scheduler *s, unsigned threads)
{
	uint64_t want = (uint64_t)s->jobs_a_work * threads * CLAIM_WORKS;

	return want < CLAIM_MIN ? CLAIM_MIN : want < CLAIM_MAX ? (uint32_t)want : CLAIM_MAX;
}

/* A cancel may be committed behind a claim and be told before the claimed jobs are in hand. What is told meanwhile is told again when they are. */
struct missed_cancel {
	struct uuid id;
	bool by_file;
};

/* Tells the works whose job, or whose job's file, this is: running ones look, following ones end at once. */
static void cancel_where(struct engine *g, struct uuid id, bool by_file)
{
	struct scheduler *s = &g->scheduler;
	struct work *following = NULL;

	pthread_mutex_lock(&s->lock);
	if (s->claiming) /* where memory is short the job ends as cancelled with its attempt */
		buf_add(&s->missed, &(struct missed_cancel){id, by_file}, sizeof(struct missed_cancel));
	for (struct work *w = s->works; w != NULL; w = w->next)
		for (size_t i = 0; i < w->n; i++) {
			const struct job *job = &w->jobs[i].claimed->job;
			if (!uuid_eq(by_file ? job->file : job->id, id))
				continue;
			atomic_store(&w->jobs[i].cancelled, true); /* before the next line: who sees that one looks for this one */
			atomic_store(&w->cancelled, true);
			if (flight_unfollow(w)) {
				w->next_follower = following;
				following = w;
			}
		}
	pthread_mutex_unlock(&s->lock);
	while (following != NULL) {
		struct work *w = following;
		following = w->next_follower;
		work_finish(w, &w->jobs[0], (struct change_finish){.state = JOB_CANCELLED, .error = ERR_CANCELLED});
	}
}

static void claim_begins(struct scheduler *s)
{
	pthread_mutex_lock(&s->lock);
	s->claiming = true;
	pthread_mutex_unlock(&s->lock);
}

static void claim_ended(struct engine *g)
{
	struct scheduler *s = &g->scheduler;

	pthread_mutex_lock(&s->lock);
	CLEANUP(buf_release) struct buf missed = s->missed;
	s->missed = BUF_INIT;
	s->claiming = false;
	pthread_mutex_unlock(&s->lock);
	for (size_t at = 0; at + sizeof(struct missed_cancel) <= missed.len; at += sizeof(struct missed_cancel)) {
		struct missed_cancel m;
		memcpy(&m, missed.p + at, sizeof(m));
		cancel_where(g, m.id, m.by_file);
	}
}

/* Claims; of newcomers alone, one job each, when there is no room for more. Returns how long to pause: 0 when there may be more, INT64_MAX when there were no more ready jobs to be had.
 * What is claimed must be given to somebody or given back, so the memory for that is taken first. */
static int64_t claim(struct engine *g, uint32_t max, bool newcomers)
{
	struct scheduler *s = &g->scheduler;
	bool limits = s->n_limits > 0 || g->config.owner_concurrency > 0;
	struct batch *b = batch_new(max);

	if (b == NULL) {
		log_event(LOG_WARN, "no_memory_to_claim", LF_INT("jobs", max));
		return CLAIM_RETRY_MS;
	}
	struct change c = {.kind = CHANGE_CLAIM,
			   .claim = {.worker = s->worker,
				     .max = max,
				     .now = engine_now(g),
				     .arena = &b->arena,
				     .limits = s->limits,
				     .n_limits = s->n_limits,
				     .listed_only = s->listed_only,
				     .owner_limit = g->config.owner_concurrency,
				     .newcomers = newcomers}};
	atomic_store(&s->maybe_ready, false);
	atomic_store(&s->blocked, limits); /* before the claim: an end that is committed just behind it may be what it would have needed */
	claim_begins(s);
	if (engine_apply(g, &c) != 0) {
		claim_ended(g);
		log_err(LOG_WARN, "claim_failed", &c.err);
		atomic_store(&s->maybe_ready, true);
		batch_release(b);
		return CLAIM_RETRY_MS;
	}
	s->next_at = c.claim.next_at;
	if (c.claim.n > 0) {
		size_t works = distribute(g, b, c.claim.jobs, c.claim.n);
		if (!newcomers)
			s->jobs_a_work = (unsigned)((c.claim.n + works - 1) / works);
	}
	claim_ended(g);
	bool more = c.claim.left && (newcomers || c.claim.n == max);
	if (!c.claim.left || more)
		atomic_store(&s->blocked, false);
	batch_release(b);
	if (more)
		atomic_store(&s->maybe_ready, true);
	return more ? 0 : INT64_MAX;
}

/* How long until there may be something to claim. */
static int64_t until_ready(struct engine *g)
{
	int64_t at = g->scheduler.next_at, now = engine_now(g);

	if (atomic_load(&g->scheduler.maybe_ready))
		return 0;
	return at == INT64_MAX ? at : at > now ? at - now : 0;
}

/* Room for another claim: the threads would soon run out of works. When there is none, whoever makes room kicks. */
static bool has_room(struct engine *g)
{
	struct scheduler *s = &g->scheduler;

	atomic_store(&s->full, true); /* before the look, so that room made after it is told */
	pthread_mutex_lock(&s->lock);
	bool room = s->inhand <= INHAND_MAX - CLAIM_MAX;
	pthread_mutex_unlock(&s->lock);
	room = room && pool_waiting(g->jobs) < (size_t)g->config.job_threads * CLAIM_WORKS / 2;
	if (room)
		atomic_store(&s->full, false);
	return room;
}

void scheduler_room(struct engine *g)
{
	if (atomic_exchange(&g->scheduler.full, false))
		sleeper_kick(&g->scheduler.sleeper);
}

/* The threads are busy for a while with what is in hand, and it may all be one owner's. Somebody of whom nothing runs need not wait for that: one job of theirs is claimed, and the next
 * free thread begins it. */
static int64_t claim_newcomers(struct engine *g)
{
	struct scheduler *s = &g->scheduler;
	int64_t pause;

	pthread_mutex_lock(&s->lock);
	unsigned room = s->inhand < INHAND_MAX ? INHAND_MAX - s->inhand : 0;
	pthread_mutex_unlock(&s->lock);
	if (room == 0 || !catalog_newcomers(g->catalog))
		return INT64_MAX; /* a work that begins or ends kicks */
	pause = claim(g, room < CLAIM_MIN ? room : CLAIM_MIN, true);
	if (pause == CLAIM_RETRY_MS)
		return pause;
	return s->next_at == INT64_MAX ? INT64_MAX : s->next_at - engine_now(g); /* then they may have one that is ready */
}

/* Claims if it can; how long until another look makes sense, INT64_MAX = until a kick. */
static int64_t claim_ready(struct engine *g)
{
	struct scheduler *s = &g->scheduler;

	if (!s->registered || atomic_load(&s->lease_until) <= engine_mono(g))
		return INT64_MAX; /* nothing is claimed without a lease; the next beat looks again */
	int64_t runner_back = atomic_load(&g->scheduler.runner_pause_until) - engine_mono(g);
	if (runner_back > 0)
		return runner_back;
	if (!has_room(g))
		return claim_newcomers(g);
	int64_t pause = until_ready(g);
	if (pause == 0)
		pause = claim(g, claim_size(s, g->config.job_threads), false);
	return pause == INT64_MAX && has_room(g) ? until_ready(g) : pause;
}

static void *scheduler_run(void *arg)
{
	struct engine *g = arg;
	struct scheduler *s = &g->scheduler;
	int64_t next_beat = engine_mono(g), last_beat = next_beat, next_reclaim = next_beat + g->config.reclaim_ms, pause;

	do {
		int64_t now = engine_mono(g);
		if (now >= next_beat || atomic_exchange(&s->beat_soon, false) || (clock_was_set(g) && now >= last_beat + CLAIM_RETRY_MS)) {
			last_beat = now;
			next_beat = now + beat(g);
		}
		if (now >= next_reclaim) {
			if (!catalog_sealed(g->catalog))
				reclaim(g);
			next_reclaim = now + g->config.reclaim_ms;
		}
		work_finish_again(g);
		pause = least(next_beat, next_reclaim) - engine_mono(g);
		if (!atomic_load(&s->resting))
			pause = least(pause, claim_ready(g));
		if (pause < 0)
			pause = 0;
	} while (sleeper_wait(&s->sleeper, pause));
	return NULL;
}

static bool has_label(const struct engine *g, const char *label)
{
	struct str rest = str_or_none(g->config.labels), word;

	while (rest.len > 0) {
		word = str_split(rest, ' ', &rest);
		if (word.len > 0 && str_eq(word, str_of(label)))
			return true;
	}
	return false;
}

/* Where there are other nodes, each op that this one runs is in the list, and one that needs a label which this node has not is there with no room: a job waits for a node that knows what to
 * do with it. Alone, a job that nobody knows ends with an error. */
static bool read_limits(struct engine *g)
{
	struct scheduler *s = &g->scheduler;
	size_t n;
	const struct op *ops = op_table_all(g->config.ops, &n);

	s->limits = arena_alloc(&g->strings, n * sizeof(*s->limits));
	s->n_limits = 0;
	s->listed_only = g->nodes.shared;
	for (size_t i = 0; s->limits != NULL && i < n; i++) {
		uint64_t running = ops[i].concurrency, threads = g->config.imports.at_once;

		/* What waits on the network has threads of its own, and is claimed as they come free. */
		if (ops[i].kind == OP_CONNECTOR && threads > 0 && (running == 0 || running > threads))
			running = threads;
		if (!s->listed_only && running == 0)
			continue;
		bool here = !s->listed_only || ops[i].node[0] == '\0' || has_label(g, ops[i].node);
		s->limits[s->n_limits++] = (struct claim_limit){.op = str_of(ops[i].name),
								.running = !here         ? 0
									   : running > 0 ? running
											 : UINT64_MAX};
	}
	return s->limits != NULL;
}

int scheduler_start(struct engine *g, struct err *e)
{
	struct scheduler *s = &g->scheduler;

	s->worker = engine_new_id(g);
	s->jobs_a_work = 1;
	s->next_at = INT64_MAX;
	atomic_store(&s->maybe_ready, true);
	if (!read_limits(g))
		return err_set(e, ERR_NO_MEMORY, "no memory for the limits of ops");
	if (g->nodes.shared && beat(g) == 0) /* others are to know of what begins here, from the first upload on */
		return err_set(e, ERR_CONFLICT, "the first beat was refused");
	return sleeper_start(&s->sleeper, "scheduler", scheduler_run, g, e);
}

void scheduler_kick(struct engine *g)
{
	struct scheduler *s = &g->scheduler;

	if (!atomic_exchange(&s->maybe_ready, true) || (atomic_load(&s->full) && catalog_newcomers(g->catalog)))
		sleeper_kick(&s->sleeper);
}

void scheduler_attempt_ended(struct engine *g)
{
	if (atomic_load(&g->scheduler.blocked))
		scheduler_kick(g);
}

struct pool_task **scheduler_pick(void *arg, struct pool_task **first)
{
	struct scheduler *s = &((struct engine *)arg)->scheduler;
	struct pool_task **best = first;
	uint64_t *last = &s->last_turn[CONTAINER_OF(*first, struct work, task)->turns];

	for (struct pool_task **at = &(*first)->next; *at != NULL; at = &(*at)->next) {
		uint64_t *x = &s->last_turn[CONTAINER_OF(*at, struct work, task)->turns];
		if (*x < *last) {
			best = at;
			last = x;
		}
	}
	*last = ++s->turn;
	return best;
}

void scheduler_cancel_running(struct engine *g, struct uuid job)
{
	cancel_where(g, job, false);
}

void scheduler_cancel_file(struct engine *g, struct uuid file)
{
	cancel_where(g, file, true);
}

bool scheduler_inhand(struct engine *g, struct uuid job, int64_t fence)
{
	struct scheduler *s = &g->scheduler;
	bool found = false;

	pthread_mutex_lock(&s->lock);
	for (struct work *w = s->works; w != NULL && !found; w = w->next)
		for (size_t i = 0; i < w->n && !found; i++)
			found = uuid_eq(w->jobs[i].claimed->job.id, job) && w->jobs[i].claimed->job.fence == fence;
	pthread_mutex_unlock(&s->lock);
	return found;
}

/* Who follows another is as far as that one. */
static unsigned progress_of(const struct scheduler *s, const struct job *job)
{
	for (const struct work *w = s->works; w != NULL; w = w->next)
		for (size_t i = 0; i < w->n; i++)
			if (uuid_eq(w->jobs[i].claimed->job.id, job->id) && w->jobs[i].claimed->job.fence == job->fence)
				return atomic_load(w->leader != NULL ? &w->leader->jobs[0].progress : &w->jobs[i].progress);
	return 0;
}

void engine_progress(struct engine *g, struct job *jobs, size_t n)
{
	struct scheduler *s = &g->scheduler;

	for (size_t i = 0; i < n; i++) {
		if (jobs[i].state != JOB_RUNNING)
			continue;
		pthread_mutex_lock(&s->lock);
		jobs[i].progress = (int)progress_of(s, &jobs[i]);
		pthread_mutex_unlock(&s->lock);
	}
}

bool scheduler_any_inhand(struct engine *g)
{
	struct scheduler *s = &g->scheduler;

	pthread_mutex_lock(&s->lock);
	bool any = s->inhand > 0;
	pthread_mutex_unlock(&s->lock);
	return any;
}

void scheduler_runner_unavailable(struct engine *g, const struct err *e)
{
	int64_t now = engine_mono(g);

	if (atomic_exchange(&g->scheduler.runner_pause_until, now + RUNNER_PAUSE_MS) <= now)
		log_err(LOG_ERROR, "runner_unavailable", e);
}

/* Until nothing is in hand, or ms have passed (-1 = for ever). */
static void wait_none(struct engine *g, int64_t ms)
{
	struct scheduler *s = &g->scheduler;
	struct timespec until;
	int rc = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&s->lock);
	while (s->inhand > 0 && rc != ETIMEDOUT)
		rc = ms < 0 ? pthread_cond_wait(&s->none, &s->lock) : pthread_cond_timedwait(&s->none, &s->lock, &until);
	pthread_mutex_unlock(&s->lock);
}

void engine_rest(struct engine *g)
{
	struct scheduler *s = &g->scheduler;

	atomic_store(&s->resting, true);
	atomic_store(&s->beat_soon, true); /* for those who watch */
	sleeper_kick(&s->sleeper);
}

bool engine_idle(struct engine *g, int64_t ms)
{
	wait_none(g, ms);
	return !scheduler_any_inhand(g);
}

void scheduler_drain(struct engine *g, int64_t grace_ms)
{
	struct scheduler *s = &g->scheduler;

	if (!s->sleeper.running)
		return;
	atomic_store(&s->resting, true);
	atomic_store(&s->draining, true); /* works not begun give themselves back, running ones look at it after each piece */
	sleeper_kick(&s->sleeper); /* hands in what waited for another try */
	wait_none(g, grace_ms);
}

void scheduler_stop(struct engine *g)
{
	struct scheduler *s = &g->scheduler;

	if (!s->sleeper.running)
		return;
	sleeper_stop(&s->sleeper);
	work_finish_again(g); /* what came onto the list after the thread's last look: one more try, and its memory goes */
	wait_none(g, -1); /* nothing begins any more, so it is the disk that this waits for, as the committer's end does */
	if (!s->registered)
		return;
	/* Uploads may still be committed behind this. */
	int64_t now = engine_now(g);
	struct change c = {
		.kind = CHANGE_BEAT,
		.beat = {.worker = s->worker, .now = now, .expires_at = now, .leaving = true, .uploads_since = uploads_since(g, now)}};
	if (engine_apply(g, &c) != 0)
		log_err(LOG_WARN, "leave_failed", &c.err);
}
