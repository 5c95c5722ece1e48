/* A batch: one transaction, one flush.
 *
 * The normal course: BEGIN, the catalogue's lock, the row numbers it may need, every change in turn, what was gathered and counted, COMMIT; with synchronous_commit=on the commit returns
 * when the log is flushed. Statements whose answers nobody needs go along with the next one that is asked.
 *
 * Several nodes write at once (docs/adr/0037). Changes that are frequent share the lock and rely on the rows they lock; the others run alone, so that what they read stays so until they
 * commit. A unique index that says no in the midst of a batch shows an id that is taken: the batch is done again with a savepoint around each change. A deadlock undoes the batch, and it
 * is done again; so it is when the connection is lost, unless the COMMIT was sent: then a row that every batch writes tells what became of it, and as long as nobody can tell, nothing else is
 * done. If that takes too long, the catalogue is sealed: what was sent may hold or not, and bytes that belong to it must not be removed. */
#include "catalog/postgres/write.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define OUTCOME_FOR_MS 60000
#define PAUSE_MAX_MS 1000

/* ---- one change ---- */

static int probe(struct pg *q, struct change *ch)
{
	return w_run(q, W_PROBE, NULL);
}

static int nothing(struct pg *q, struct change *ch)
{
	return 0;
}

/* Those that are done many at once have none. */
static int (*const METHODS[])(struct pg *q, struct change *ch) = {
	[CHANGE_ADD_FILE] = NULL,
	[CHANGE_ADD_FILES] = NULL,
	[CHANGE_ADD_JOBS] = pgw_add_jobs,
	[CHANGE_CLAIM] = pgw_claim,
	[CHANGE_FINISH] = NULL,
	[CHANGE_BEAT] = pgw_beat,
	[CHANGE_RECLAIM] = pgw_reclaim,
	[CHANGE_CANCEL_JOB] = pgw_cancel,
	[CHANGE_RETRY_JOB] = pgw_retry,
	[CHANGE_PATCH_FILE] = pgw_patch_file,
	[CHANGE_DELETE_FILE] = pgw_delete_file,
	[CHANGE_BLOB_GONE] = pgw_blob_gone,
	[CHANGE_OUTBOX_DONE] = pgw_outbox_done,
	[CHANGE_PURGE] = pgw_purge,
	[CHANGE_EXPIRE_RESULTS] = pgw_expire_results,
	[CHANGE_MARK_DAMAGED] = pgw_mark_damaged,
	[CHANGE_SCRUB_POSITION] = pgw_scrub_position,
	[CHANGE_RECURRING] = pgw_recurring,
	[CHANGE_ADD_WEBHOOK] = pgw_add_webhook,
	[CHANGE_PATCH_WEBHOOK] = pgw_patch_webhook,
	[CHANGE_ROTATE_WEBHOOK] = pgw_rotate_webhook,
	[CHANGE_DELETE_WEBHOOK] = pgw_delete_webhook,
	[CHANGE_ADD_PING] = pgw_add_ping,
	[CHANGE_ATTEMPT] = pgw_attempt,
	[CHANGE_REPLAY] = pgw_replay,
	[CHANGE_AUDIT] = nothing,
	[CHANGE_AUDIT_DONE] = pgw_audit_done,
	[CHANGE_ONCE] = nothing,
	[CHANGE_ADD_SECRET] = pgw_add_secret,
	[CHANGE_ADD_ACCOUNT] = pgw_add_account,
	[CHANGE_PATCH_ACCOUNT] = pgw_patch_account,
	[CHANGE_DELETE_ACCOUNT] = pgw_delete_account,
	[CHANGE_ADD_SESSION] = pgw_add_session,
	[CHANGE_END_SESSION] = pgw_end_session,
	[CHANGE_TOUCH_SESSION] = pgw_touch_session,
	[CHANGE_ADD_KEY] = pgw_add_key,
	[CHANGE_REVOKE_KEY] = pgw_revoke_key,
	[CHANGE_LINE] = pgw_line,
	[CHANGE_PROBE] = probe,
};

/* Whether it relies on more than the rows it locks. */
static bool runs_alone(const struct change *ch)
{
	switch (ch->kind) {
	case CHANGE_ADD_FILE:
	case CHANGE_ADD_FILES:
	case CHANGE_CLAIM:
	case CHANGE_FINISH:
	case CHANGE_BEAT:
	case CHANGE_BLOB_GONE:
	case CHANGE_OUTBOX_DONE:
	case CHANGE_SCRUB_POSITION:
	case CHANGE_ATTEMPT:
	case CHANGE_AUDIT:
	case CHANGE_ONCE:
	case CHANGE_TOUCH_SESSION:
	case CHANGE_PROBE:
		return false;
	case CHANGE_ADD_JOBS:
		for (size_t i = 0; i < ch->add_jobs.n; i++)
			if (!uuid_is_zero(ch->add_jobs.jobs[i].after))
				return true;
		return false;
	default:
		return true;
	}
}

static int once_free(struct pg *q, struct change *ch)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args a = {};

	if (!ch->once.set)
		return 0;
	arg_bytes(&a, ch->once.key, sizeof(ch->once.key));
	int rc = w_ask(q, W_ONCE_FIND, &a, &r);
	return rc == 0 && r.n ? change_used(ch) : rc;
}

static int once_use(struct pg *q, const struct change *ch)
{
	struct pg_args a = {};

	if (!ch->once.set)
		return 0;
	arg_bytes(&a, ch->once.key, sizeof(ch->once.key));
	arg_time(&a, ch->once.expires_at);
	return w_run(q, W_ONCE_ADD, &a);
}

static void leave_entry(struct pg *q, const struct change *ch)
{
	if (change_leaves_entry(ch))
		array_str(g_begin(q, G_AUDIT), ch->audit);
}

static int run_method(struct pg *q, struct change *ch, size_t at)
{
	const struct placed one = {ch, at};

	switch (ch->kind) {
	case CHANGE_ADD_FILE:
		return pgw_add_files(q, &one, 1);
	case CHANGE_ADD_FILES:
		return pgw_add_several(q, ch, at);
	case CHANGE_FINISH:
		return pgw_finish_all(q, &one, 1);
	default:
		return METHODS[ch->kind](q, ch);
	}
}

static int apply_one(struct pg *q, struct change *ch, size_t at)
{
	int rc;

	ends_of_change(&q->base, at);
	rc = change_allowed(ch) ? once_free(q, ch) : 0;
	if (rc == 0 && ch->code == 0)
		rc = run_method(q, ch, at);
	if (rc == 0 && ch->code == 0)
		rc = once_use(q, ch);
	if (rc == 0)
		leave_entry(q, ch);
	return rc;
}

/* ---- many at once ---- */

static bool one_of_many(const struct change *ch)
{
	return (ch->kind == CHANGE_ADD_FILE || ch->kind == CHANGE_FINISH) && !ch->once.set;
}

/* Files that are added and jobs that end, as long as nothing else comes between: none of them can be of another's work. *i goes behind them. */
static int apply_many(struct pg *q, struct change *const *changes, size_t n, size_t *i)
{
	struct placed *adds = arena_alloc(&q->scratch, (n - *i) * sizeof(*adds)),
		      *ends = arena_alloc(&q->scratch, (n - *i) * sizeof(*ends));
	size_t n_adds = 0, n_ends = 0, first = *i;
	int rc = 0;

	if (!adds || !ends)
		return pg_no_memory(&q->link);
	for (; *i < n && one_of_many(changes[*i]); ++*i) {
		struct change *ch = changes[*i];

		if (!change_allowed(ch))
			continue;
		if (ch->kind == CHANGE_ADD_FILE)
			adds[n_adds++] = (struct placed){ch, *i};
		else
			ends[n_ends++] = (struct placed){ch, *i};
	}
	if (n_adds)
		rc = pgw_add_files(q, adds, n_adds);
	if (rc == 0 && n_ends)
		rc = pgw_finish_all(q, ends, n_ends);
	for (size_t k = first; rc == 0 && k < *i; k++)
		leave_entry(q, changes[k]);
	return rc;
}

static int apply_all(struct pg *q, struct change *const *changes, size_t n)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n;) {
		if (one_of_many(changes[i])) {
			rc = apply_many(q, changes, n, &i);
			continue;
		}
		rc = apply_one(q, changes[i], i);
		i++;
	}
	return rc;
}

/* ---- with a savepoint ---- */

/* What a failed statement leaves behind on the connection is read, then the statement that undoes is run. */
static int undo_by(struct pg *q, enum pg_stmt s)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};

	writes_reset(q);
	pg_fresh(&q->link);
	if (q->link.expected > 0)
		(void)pg_settle(&q->link);
	if (q->link.failure == PG_LOST)
		return q->link.err.code;
	pg_fresh(&q->link);
	return pg_ask(&q->link, s, NULL, &r);
}

static int apply_guarded(struct pg *q, struct change *ch, size_t at)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	size_t deliveries = q->base.deliveries;
	int rc = pg_send(&q->link, W_SAVEPOINT, NULL);

	if (rc == 0)
		rc = apply_one(q, ch, at);
	if (rc == 0)
		rc = last_flush(q);
	if (rc == 0)
		rc = pg_ask(&q->link, W_RELEASE, NULL, &r);
	if (rc == 0 || q->link.failure != PG_CONSTRAINT)
		return rc;
	rc = undo_by(q, W_UNDO);
	q->base.deliveries = deliveries;
	change_refuse(ch, ERR_CONFLICT, "an id of this change is taken already");
	return rc == 0 && ch->kind == CHANGE_ADD_FILES ? pgw_find_taken(q, ch) : rc;
}

/* ---- the batch ---- */

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

static void pause_ms(int64_t ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

int pg_take_slot(struct pg *q)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};

	if (pg_ask(&q->link, W_SLOT, NULL, &r) == 0)
		q->slot = r.n ? pg_col_int(&r, 0, 0) : 1000; /* shared: it is slower, no more */
	return q->link.failure == PG_FINE ? 0 : q->link.err.code;
}

static int open_link(struct pg *q)
{
	if (link_up(&q->link)) {
		pg_fresh(&q->link);
		return 0;
	}
	if (link_open(&q->link, NULL) != 0) {
		pg_fresh(&q->link);
		return pg_fail(&q->link, NULL);
	}
	pg_fresh(&q->link);
	if (getrandom(&q->writes->lot, sizeof(q->writes->lot), 0) != (ssize_t)sizeof(q->writes->lot))
		return pg_fail_with(&q->link, ERR_INTERNAL, "no random number");
	return pg_take_slot(q);
}

static bool keep_numbers(struct pg *q, const struct pg_rows *r)
{
	struct pg_writes *w = q->writes;
	size_t n = (size_t)r->n;
	int64_t *files = reallocarray(w->files, n, sizeof(*files)), *jobs = files ? reallocarray(w->jobs, n, sizeof(*jobs)) : NULL;

	w->files = files ? files : w->files;
	w->jobs = jobs ? jobs : w->jobs;
	w->n_files = w->n_jobs = w->next_file = w->next_job = 0;
	if (!files || !jobs)
		return false;
	for (int i = 0; i < r->n; i++) {
		if (!pg_col_null(r, i, 3))
			files[w->n_files++] = pg_col_int(r, i, 3);
		if (!pg_col_null(r, i, 4))
			jobs[w->n_jobs++] = pg_col_int(r, i, 4);
	}
	return true;
}

static void count_numbers(const struct change *ch, int64_t *files, int64_t *jobs)
{
	switch (ch->kind) {
	case CHANGE_ADD_FILE:
		++*files;
		*jobs += ch->add_file.file ? (int64_t)ch->add_file.file->n_jobs : 0;
		break;
	case CHANGE_ADD_FILES:
		if (ch->add_files.n > FILES_AT_ONCE_MAX)
			break; /* it will be refused */
		*files += (int64_t)ch->add_files.n;
		for (size_t i = 0; i < ch->add_files.n; i++)
			if (ch->add_files.files[i].file)
				*jobs += (int64_t)ch->add_files.files[i].file->n_jobs;
		break;
	case CHANGE_ADD_JOBS:
	case CHANGE_RECURRING:
		*jobs += (int64_t)ch->add_jobs.n;
		break;
	default:
		break;
	}
}

/* Numbers are taken under the lock: whoever runs alone finds every row of a lower number than the last one. */
static int begin(struct pg *q, struct change *const *changes, size_t n)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args a = {};
	int64_t files = 0, jobs = 0;
	bool alone = false, newcomer = false;
	int rc = pg_send(&q->link, W_BEGIN, NULL);

	for (size_t i = 0; i < n; i++) {
		const struct change *ch = changes[i];

		alone |= runs_alone(ch);
		newcomer |= ch->kind == CHANGE_BEAT && ch->beat.first;
		count_numbers(ch, &files, &jobs);
	}
	if (rc == 0 && newcomer)
		rc = pg_send(&q->link, W_LOCK_SCHEMA, NULL);
	if (rc == 0)
		rc = pg_send(&q->link, alone ? W_LOCK_ALONE : W_LOCK_SHARED, NULL);
	arg_int(&a, files);
	arg_int(&a, jobs);
	if (rc == 0)
		rc = pg_ask(&q->link, W_NUMBERS, &a, &r);
	if (rc != 0)
		return rc;
	q->writes->transaction = pg_col_int(&r, 0, 0);
	q->writes->webhooks = pg_col_bool(&r, 0, 1);
	if (pg_col_bool(&r, 0, 2))
		atomic_store(&q->base.own_quotas, true);
	return keep_numbers(q, &r) ? 0 : pg_no_memory(&q->link);
}

static int commit(struct pg *q, struct change *const *changes, size_t n)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args a = {};
	int rc = pgw_news(q, changes, n);

	if (rc == 0)
		rc = last_flush(q);
	arg_int(&a, q->writes->lot);
	arg_int(&a, q->writes->transaction);
	if (rc == 0)
		rc = w_run(q, W_BATCH, &a);
	if (rc != 0)
		return rc;
	q->writes->committing = true;
	return pg_ask(&q->link, W_COMMIT, NULL, &r);
}

static int apply_batch(struct pg *q, struct change *const *changes, size_t n, bool guarded)
{
	int rc = open_link(q);

	q->writes->committing = false;
	q->writes->transaction = 0;
	q->writes->node = (struct uuid){};
	ends_begin(&q->base);
	if (rc == 0)
		rc = lanes_ensure(q, changes, n);
	if (rc == 0)
		rc = begin(q, changes, n);
	if (rc == 0 && !guarded)
		rc = apply_all(q, changes, n);
	for (size_t i = 0; rc == 0 && guarded && i < n; i++)
		rc = apply_guarded(q, changes[i], i);
	return rc == 0 ? commit(q, changes, n) : rc;
}

/* ---- what became of it ---- */

enum outcome { UNDONE, COMMITTED, UNKNOWN };

/* Once it is over, everybody sees the row it wrote, or nobody ever will. */
static enum outcome look_for_outcome(struct pg *q, int64_t lot)
{
	CLEANUP(pg_rows_release) struct pg_rows way = {}, row = {};
	struct pg_args number = {}, both = {};

	arg_int(&number, q->writes->transaction);
	arg_int(&both, lot);
	arg_int(&both, q->writes->transaction);
	if (open_link(q) != 0 || pg_ask(&q->link, W_UNDER_WAY, &number, &way) != 0)
		return UNKNOWN;
	if (pg_col_bool(&way, 0, 1))
		link_close(&q->link); /* a standby: who was asked to commit, or who took its place, is asked by and by */
	if (!link_up(&q->link) || pg_col_bool(&way, 0, 0))
		return UNKNOWN;
	if (pg_ask(&q->link, W_OUTCOME, &both, &row) != 0)
		return UNKNOWN;
	return pg_col_bool(&row, 0, 0) ? COMMITTED : UNDONE;
}

/* Of the transaction whose COMMIT was sent before the connection was lost. It may still be under way. */
static enum outcome find_outcome(struct pg *q)
{
	int64_t until = now_ms() + OUTCOME_FOR_MS, pause = 20, lot = q->writes->lot;

	do {
		enum outcome outcome = look_for_outcome(q, lot);

		if (outcome != UNKNOWN)
			return outcome;
		pause_ms(pause);
		pause = pause < PAUSE_MAX_MS ? 2 * pause : PAUSE_MAX_MS;
	} while (now_ms() < until);
	return UNKNOWN;
}

/* Attempts say in one member what is asked for and what came of it: as they were, for a second try. */
static struct change_attempt *keep_attempts(struct pg *q, struct change *const *changes, size_t n)
{
	struct change_attempt *kept = arena_alloc(&q->scratch, n * sizeof(*kept));

	for (size_t i = 0; kept && i < n; i++)
		if (changes[i]->kind == CHANGE_ATTEMPT)
			kept[i] = changes[i]->attempt;
	return kept;
}

static void restore_attempts(const struct change_attempt *kept, struct change *const *changes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (changes[i]->kind == CHANGE_ATTEMPT)
			changes[i]->attempt = kept[i];
}

static int seal(struct pg *q, struct err *e)
{
	atomic_store(&q->base.sealed, true);
	return err_set(e, ERR_STORAGE_SEALED,
		       "the connection was lost in a commit, and what became of it cannot be found out; a restart reads what is there");
}

static bool worth_another_try(struct pg *q, enum pg_failure failure, bool *guarded)
{
	if (failure == PG_CONSTRAINT && !*guarded) {
		*guarded = true;
		return true;
	}
	return failure == PG_AGAIN || failure == PG_LOST || failure == PG_CONSTRAINT;
}

/* Accounts are counted anew after each change of them (pg.h). */
static void forget_accounts(struct pg *q, struct change *const *changes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (changes[i]->kind == CHANGE_ADD_ACCOUNT || changes[i]->kind == CHANGE_DELETE_ACCOUNT)
			atomic_store(&q->accounts, 0);
}

int pg_apply(struct catalog *c, struct change *const *changes, size_t n, struct err *e)
{
	struct pg *q = CONTAINER_OF(c, struct pg, base);
	int64_t until = now_ms() + q->try_ms, pause = 10;
	bool guarded = false;

	arena_release(&q->scratch);
	const struct change_attempt *kept = keep_attempts(q, changes, n);
	if (!kept)
		return err_set(e, ERR_NO_MEMORY, "no memory for a batch");
	for (;;) {
		int rc = apply_batch(q, changes, n, guarded);
		enum pg_failure failure = q->link.failure;
		const struct err why = q->link.err;

		if (rc != 0 && failure == PG_LOST && q->writes->committing) {
			enum outcome outcome = find_outcome(q);

			if (outcome == UNKNOWN)
				return seal(q, e);
			rc = outcome == COMMITTED ? 0 : rc;
		} else if (rc != 0 && failure != PG_LOST && (undo_by(q, W_ROLLBACK) != 0 || rc == ERR_STORAGE_READONLY)) {
			link_close(&q->link); /* a server that takes no writes may take them from a new session, or be another one then */
		}
		writes_reset(q);
		if (rc == 0) {
			forget_accounts(q, changes, n);
			return 0;
		}
		restore_attempts(kept, changes, n);
		if (!worth_another_try(q, failure, &guarded) || now_ms() > until) {
			if (e)
				*e = why;
			return rc;
		}
		if (failure != PG_CONSTRAINT)
			pause_ms(pause);
		pause = pause < PAUSE_MAX_MS ? 2 * pause : PAUSE_MAX_MS;
	}
}

void pg_idle(struct catalog *c)
{
}
