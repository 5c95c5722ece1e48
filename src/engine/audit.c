/* From acts to the audit log.
 *
 *	change with its entry ──commit──► entry in the catalogue ──this thread──► line, flushed ──commit──► the head moves, the entry goes
 *
 * The entry is committed with the act, so that the log tells neither what did not hold nor less than what did. A line follows from its entry and the line before, so that after
 * a crash between the two commits the same bytes are written again. What a full disk holds up waits in the catalogue. A flush that failed is not tried again before a restart.
 *
 * Lines are flushed together, at most one flush each GATHER_MS: the log may lag behind the answer by that, what was answered is in the catalogue. */
#include "engine/engine_impl.h"
#include "rt/log.h"
#include "rt/metrics.h"

#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#define GATHER_MS 100
#define RETRY_MS 1000
#define BATCH 1024 /* entries in one write */

/* ---- the catalogue's side ---- */

static const struct audit_by server = {.how = "server"};

int engine_audit_n(struct engine *g, struct change *c, struct arena *a, enum audit_act act, const struct audit_by *by,
		   const struct log_field *fields, unsigned n, struct err *e)
{
	if (g->config.audit_fd <= 0 && !g->config.audit_elsewhere)
		return 0;
	return audit_entry_n(&c->audit, a, engine_now(g), act, by, fields, n, e);
}

void audit_tell(struct engine *g, struct change *const *group, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (group[i]->audit.p == NULL || group[i]->code != 0)
			continue;
		sleeper_kick(&g->audit.sleeper);
		return;
	}
}

int engine_audit_act_n(struct engine *g, enum audit_act act, const struct audit_by *by, const struct log_field *fields, unsigned n,
		       struct err *e)
{
	CLEANUP(arena_release) struct arena a = ARENA_INIT;
	struct change c = {.kind = CHANGE_AUDIT};
	int rc = engine_audit_n(g, &c, &a, act, by != NULL ? by : &server, fields, n, e);

	if (rc != 0 || c.audit.p == NULL)
		return rc;
	rc = engine_apply(g, &c);
	if (rc != 0 && e != NULL)
		*e = c.err;
	if (rc == 0 && act == AUDIT_SERVER_STARTED) /* the thread that stops the engine, and it alone */
		g->audit.started = true;
	return rc;
}

int audit_mark_of(struct engine *g, struct change *c, struct arena *a, const struct stored *s, const char *why, struct err *e)
{
	bool file = s->at.kind == STORED_FILE;
	enum audit_act act = file ? (why == NULL ? AUDIT_FILE_WHOLE : AUDIT_FILE_DAMAGED)
				  : (why == NULL ? AUDIT_OUTPUT_WHOLE : AUDIT_OUTPUT_DAMAGED);
	char name[UUID_TEXT_LEN + sizeof("/outputs/4294967295")];

	uuid_format(name, s->id);
	if (!file)
		snprintf(name + UUID_TEXT_LEN, sizeof(name) - UUID_TEXT_LEN, "/outputs/%u", s->at.n);
	return engine_audit(g, c, a, act, &server, e, LF_CSTR(file ? "file" : "output", name),
			    LF_CSTR("why", why != NULL ? why : "digest"));
}

/* ---- the log's side ---- */

static int make_lines(struct audit *t, struct audit_mark *mark, const struct audit_entry *list, size_t n, struct err *e)
{
	int rc = 0;

	buf_reset(&t->lines);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = list[i].seq == mark->seq + 1 ? audit_line(&t->lines, mark, list[i].text, t->digest, e)
						  : err_set(e, ERR_DAMAGED, "an entry of the audit log is missing");
	return rc;
}

/* Everything that was written is confirmed by the catalogue, so that the entries can go. */
static int confirm(struct engine *g)
{
	struct audit *t = &g->audit;
	const struct audit_end *end = &t->writer.end;
	struct change c = {.kind = CHANGE_AUDIT_DONE,
			   .audit_done = {.head = {.seq = end->mark.seq, .file = end->file, .size = end->size},
					  .after = t->known,
					  .after_home = t->known_home}};
	struct audit_head *head = &c.audit_done.head;

	if (g->nodes.shared)
		head->home = g->config.home;
	int rc = 0;

	if (t->confirmed)
		return 0;
	memcpy(head->hash, end->mark.hash, AUDIT_HASH);
	rc = engine_apply(g, &c);
	if (rc != 0)
		log_err(LOG_WARN, "audit_head_not_kept", &c.err);
	t->confirmed = rc == 0;
	t->lost = rc == ERR_CONFLICT;
	if (rc == 0) {
		t->known = head->seq;
		t->known_home = head->home;
	}
	return rc;
}

static int append(struct engine *g, const struct audit_entry *list, size_t n, struct err *e)
{
	struct audit *t = &g->audit;
	struct audit_mark mark = t->writer.end.mark;
	int rc = make_lines(t, &mark, list, n, e);

	if (rc != 0)
		return rc;
	int64_t since = engine_us();
	if ((rc = audit_writer_append(&t->writer, buf_str(&t->lines), &mark, e)) != 0)
		return rc;
	t->confirmed = false;
	metric_observe_us(METRIC_AUDIT_SECONDS, engine_us() - since);
	metric_add(METRIC_AUDIT_LINES, (int64_t)n);
	return 0;
}

/* Once for each trouble, not once a try. That the catalogue is away is told by whoever needs it more. */
static void tell_trouble(struct engine *g, const struct err *e)
{
	metric_set(METRIC_AUDIT_STUCK, 1);
	if (g->audit.told != e->code) {
		if (e->code == ERR_CATALOG_UNAVAILABLE)
			log_err(LOG_WARN, "audit_log_waits", e);
		else
			log_err(LOG_ERROR, "audit_log_stuck", e);
	}
	g->audit.told = e->code;
}

static void tell_end_of_trouble(struct engine *g)
{
	metric_set(METRIC_AUDIT_STUCK, 0);
	if (g->audit.told != 0)
		log_event(LOG_INFO, "audit_log_goes_on", LF_INT("line", g->audit.writer.end.mark.seq));
	g->audit.told = 0;
}

static int write_page(struct engine *g, size_t *ret_n, struct err *e)
{
	CLEANUP(arena_release) struct arena a = ARENA_INIT;
	struct audit *t = &g->audit;
	struct audit_entry *list;
	int rc;

	*ret_n = 0;
	if (t->confirmed && (rc = audit_writer_rotate(&t->writer, e)) != 0)
		return rc;
	if ((rc = catalog_audit(g->catalog, t->writer.end.mark.seq, BATCH, &a, &list, ret_n, e)) != 0)
		return rc;
	metric_set(METRIC_AUDIT_WAITING, (int64_t)*ret_n);
	if (*ret_n > 0 && (rc = append(g, list, *ret_n, e)) != 0)
		return rc;
	metric_set(METRIC_AUDIT_WAITING, 0);
	return 0;
}

/* Writes what there is. True: it is stuck, and tries again later. */
static bool write_all(struct engine *g)
{
	struct err e = ERR_INIT;
	size_t n = BATCH;
	int rc = 0;

	while (n == BATCH && rc == 0)
		rc = write_page(g, &n, &e);
	if (rc != 0)
		tell_trouble(g, &e);
	else
		tell_end_of_trouble(g);
	bool behind = confirm(g) != 0;
	if (rc == ERR_DAMAGED && g->nodes.shared) /* the entries went by another node's hand */
		g->audit.lost = true;
	return behind || rc != 0;
}

/* ---- what an earlier life left ---- */

/* Lines beyond what was confirmed are those that the entries which wait would give, as far as a crash let them come. */
static int explain_tail(struct engine *g, struct err *e)
{
	struct audit *t = &g->audit;
	struct audit_mark mark = t->writer.end.mark;
	bool agrees = true;
	uint64_t at = 0;
	int rc = 0;

	while (rc == 0 && agrees && !t->writer.broken && at < t->writer.unknown) {
		CLEANUP(arena_release) struct arena a = ARENA_INIT;
		struct audit_entry *list;
		size_t n;

		rc = catalog_audit(g->catalog, mark.seq, BATCH, &a, &list, &n, e);
		if (rc == 0)
			rc = make_lines(t, &mark, list, n, e);
		if (rc == 0)
			rc = audit_writer_agrees(&t->writer, at, buf_str(&t->lines), &agrees, e);
		at += t->lines.len;
	}
	return rc;
}

static void drop_log(struct engine *g)
{
	audit_writer_close(&g->audit.writer);
	digest_set_free(g->audit.digest);
	g->audit.digest = NULL;
	g->audit.writer = AUDIT_WRITER_INIT;
	g->audit.open = false;
	if (g->nodes.shared)
		(void)flock(g->config.audit_fd, LOCK_UN);
}

static int open_log(struct engine *g, struct audit_head *ret_head, struct err *e)
{
	struct audit *t = &g->audit;
	struct audit_head head = {};
	int rc = catalog_audit_head(g->catalog, &head, e);

	if (rc != 0)
		return rc;
	*ret_head = head;
	t->known = head.seq;
	t->known_home = head.home;
	t->lost = false;
	struct audit_end end = {.mark = {.seq = head.seq}, .file = head.file, .size = head.size};
	if (g->nodes.shared && head.seq > 0) {
		/* In the log of another data directory: of a node that had the duty before. Nobody said whose: before schema 8, or after a move. */
		end.unknown = uuid_is_zero(head.home);
		end.elsewhere = audit_head_elsewhere(&head, g->config.home);
	}
	memcpy(end.mark.hash, head.hash, AUDIT_HASH);
	if ((rc = digest_set_new(&t->digest, 1u << DIGEST_SHA256, e)) != 0)
		return rc;
	if ((rc = audit_writer_open(&t->writer, g->env, g->config.audit_fd, g->config.audit_file_max, &end, e)) != 0)
		return rc;
	t->confirmed = true;
	rc = explain_tail(g, e);
	if (rc == 0)
		rc = audit_writer_settle(&t->writer, e);
	return rc;
}

/* Told in the log itself, in the new file that follows what was found. */
static int tell_broken(struct engine *g, struct err *e)
{
	const struct audit_writer *w = &g->audit.writer;

	metric_set(METRIC_AUDIT_BROKEN, w->broken);
	if (!w->broken)
		return 0;
	log_event(LOG_ERROR, "audit_log_broken", LF_CSTR("detail", w->detail), LF_INT("line", w->end.mark.seq));
	return engine_audit_act(g, AUDIT_AUDIT_BROKEN, &server, e, LF_CSTR("detail", w->detail));
}

static int tell_continued(struct engine *g, const struct audit_head *head, struct err *e)
{
	char from[UUID_TEXT_LEN + 1];

	if (!g->audit.writer.end.elsewhere)
		return 0;
	uuid_format(from, head->home);
	log_event(LOG_INFO, "audit_log_continued", LF_CSTR("from", from), LF_INT("line", head->seq));
	return engine_audit_act(g, AUDIT_AUDIT_CONTINUED, &server, e, LF_CSTR("from", from));
}

static int take_log(struct engine *g, struct err *e)
{
	struct audit_head head = {};
	int rc = open_log(g, &head, e);

	if (rc == 0)
		rc = tell_broken(g, e);
	if (rc == 0)
		rc = tell_continued(g, &head, e);
	if (rc == 0)
		g->audit.open = true;
	else
		drop_log(g);
	return rc == 0 ? 0 : err_wrap(e, "audit log");
}

/* ---- the thread ---- */

/* Of several nodes one writes the log, and it alone while it has the lock on the folder: one that lost the duty while it was stopped gives it up when it goes on.
 * True: it is stuck, and tries again later. */
static bool write_here(struct engine *g)
{
	struct err e = ERR_INIT;

	if (!engine_duty(g, DUTY_AUDIT)) {
		if (g->audit.open)
			drop_log(g);
		return false;
	}
	if (g->audit.open) {
		bool stuck = write_all(g);
		if (g->audit.lost)
			drop_log(g);
		return stuck;
	}
	if (flock(g->config.audit_fd, LOCK_EX | LOCK_NB) != 0)
		return true; /* the one before still has it */
	if (take_log(g, &e) == 0)
		return write_all(g);
	tell_trouble(g, &e);
	return true;
}

static void *audit_run(void *arg)
{
	struct engine *g = arg;
	bool stuck, goes_on = true;

	while (goes_on) {
		stuck = write_here(g);
		goes_on = sleeper_wait(&g->audit.sleeper, stuck ? RETRY_MS : -1) && sleeper_pause(&g->audit.sleeper, GATHER_MS);
	}
	(void)write_here(g); /* the last ones before a stop */
	return NULL;
}

int audit_start(struct engine *g, struct err *e)
{
	int rc;

	if (g->config.audit_fd <= 0)
		return 0;
	if (!g->nodes.shared && (rc = take_log(g, e)) != 0)
		return rc;
	return sleeper_start(&g->audit.sleeper, "audit", audit_run, g, e);
}

void audit_stop(struct engine *g)
{
	struct err e = ERR_INIT;

	if (g->audit.started && engine_audit_act(g, AUDIT_SERVER_STOPPED, &server, &e, LF_BOOL("sealed", catalog_sealed(g->catalog))) != 0)
		log_err(LOG_WARN, "audit_entry_lost", &e);
	sleeper_stop(&g->audit.sleeper);
}

void audit_release(struct engine *g)
{
	audit_writer_close(&g->audit.writer);
	digest_set_free(g->audit.digest);
	buf_release(&g->audit.lines);
	sleeper_release(&g->audit.sleeper);
}

struct audit_mark engine_audit_head(struct engine *g)
{
	struct audit_head head;
	struct audit_mark mark = {};

	if (catalog_audit_head(g->catalog, &head, NULL) == 0) {
		mark.seq = head.seq;
		memcpy(mark.hash, head.hash, AUDIT_HASH);
	}
	return mark;
}

bool engine_has_audit(const struct engine *g)
{
	return g->config.audit_fd > 0;
}

int engine_audit_tail(struct engine *g, int64_t before, struct str act, uint32_t max, struct arena *a, struct audit_tail *ret,
		      struct err *e)
{
	struct audit_tail_query q = {.dir_fd = g->config.audit_fd, .before = before, .act = act, .max = max};

	*ret = (struct audit_tail){};
	if (!engine_has_audit(g))
		return 0;
	q.upto = engine_audit_head(g).seq;
	return audit_tail_read(ret, &q, a, e);
}
