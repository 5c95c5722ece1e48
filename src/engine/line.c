/* Whether this catalogue is the only one that uses its bucket. A copy of it (a restored dump, a cloned machine) knows neither the files that came to the other one since nor whom it takes for deleted there, so
 * whoever has removed bytes on its word would have lost them (docs/adr/0044-twins.md).
 *
 * In the bucket each catalogue has an object whose name is a word that it drew, and in its rows that word. A process that begins draws a new one: of two that began as copies at least one has then a word that
 * the other does not know. Who finds a word that is not its own removes nothing, and sees to it that its own is there, so that the other one finds it too.
 *
 *	rows: next = fresh │ bucket: fresh is put │ bucket: the word before goes │ rows: word = fresh, next = none
 *
 * Ended anywhere, what lies in the bucket is known to the rows, so the only catalogue never finds itself locked out. Rows are read before and after the bucket's list and must be the same: other nodes
 * of this catalogue draw words too.
 *
 * A copy looks like its original that was started again. So each process removes nothing until it has been there for as long as any other one takes from one look to the next, and has looked then. What was put
 * into a new bucket by this very process needs no such time. */
#include "blobs/blobs.h"
#include "engine/engine_impl.h"
#include "rt/log.h"
#include "rt/metrics.h"

#include <stdio.h>
#include <string.h>

#define WORDS_MAX 64 /* looked at; more are as good as these */
#define READS_MAX 4 /* of rows that change meanwhile */
#define LOOK_EVERY_MS 60000
#define LOOKS_HELD 4 /* that another one may have missed, whose bucket was slow or whose process was not let run */
#define RENEW_EVERY_MS INT64_C(3600000) /* so that a copy that is older is found out though its original is gone */
#define SURE_MS 2000 /* as long as another word must lie there to be another catalogue's: see settled_elsewhere() */
#define TOLD_EVERY_MS 1000 /* whether somebody said that there is no other catalogue */

struct words {
	int64_t list[WORDS_MAX];
	size_t n;
};

static bool has(const struct words *w, int64_t word)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->list[i] == word)
			return true;
	return false;
}

static int add_word(void *arg, struct str name, uint64_t size)
{
	struct words *w = arg;
	int64_t word;

	(void)size;
	if (blob_line_parse(&word, name))
		w->list[w->n++] = word;
	return w->n == WORDS_MAX;
}

static int64_t every_ms(const struct engine *g)
{
	const int64_t sweep_ms = g->config.sweep_every_ms;

	return sweep_ms > 0 && sweep_ms < LOOK_EVERY_MS ? sweep_ms : LOOK_EVERY_MS;
}

/* Another process looks once in every_ms(), also while it sweeps. */
static int64_t hold_ms(const struct engine *g)
{
	return LOOKS_HELD * every_ms(g);
}

/* ---- rows and bucket ---- */

static int step(struct engine *g, enum line_step step, int64_t word, bool *ret_done, struct err *e)
{
	struct change c = {.kind = CHANGE_LINE, .line = {.step = step, .word = word}};
	int rc = engine_apply(g, &c);

	*ret_done = rc == 0 && c.line.done;
	if (rc != 0 && e)
		*e = c.err;
	return rc;
}

static int read_all(struct engine *g, struct words *words, struct catalog_line *ret, struct err *e)
{
	struct catalog_line before;

	for (int i = 0; i < READS_MAX; i++) {
		*words = (struct words){};
		int rc = catalog_line(g->catalog, &before, e);
		if (rc == 0)
			rc = blobs_visit_some(g->blobs, STR(BLOB_LINE_SHARD), add_word, words, e);
		if (rc >= 0)
			rc = catalog_line(g->catalog, ret, e);
		if (rc != 0)
			return rc;
		if (before.word == ret->word && before.next == ret->next)
			return 0;
	}
	return err_set(e, ERR_CONFLICT, "other nodes draw words of their own");
}

static int put_word(struct engine *g, int64_t word, struct err *e)
{
	const char *host = g->config.host != NULL ? g->config.host : "";
	char name[BLOB_NAME_MAX + 1], text[NODE_HOST_MAX + 2];
	struct blob_writer *w;

	blob_name_for_line(name, word);
	int n = snprintf(text, sizeof(text), "%.*s\n", NODE_HOST_MAX, host);
	int rc = blob_create(g->blobs, str_of(name), (uint64_t)n, &w, e);
	if (rc != 0)
		return rc;
	rc = blob_append(w, text, (size_t)n, e); /* for people */
	if (rc == 0)
		return blob_commit(w, e);
	blob_abandon(w);
	return rc;
}

static int remove_word(struct engine *g, int64_t word, struct err *e)
{
	char name[BLOB_NAME_MAX + 1];

	blob_name_for_line(name, word);
	return blob_remove(g->blobs, str_of(name), e);
}

/* Another node settled it first, and may have drawn others since: then ours came into the bucket after that one had removed it. */
static int settled_elsewhere(struct engine *g, struct catalog_line *line, struct err *e)
{
	const int64_t word = line->next;
	int rc = catalog_line(g->catalog, line, e);

	return rc == 0 && line->word != word && line->next != word ? remove_word(g, word, e) : rc;
}

/* Of the rows' `next`, which may lie in the bucket already. */
static int settle(struct engine *g, const struct words *words, struct catalog_line *line, struct err *e)
{
	bool done = false;
	int rc = has(words, line->next) ? 0 : put_word(g, line->next, e);

	if (rc == 0 && line->word != 0)
		rc = remove_word(g, line->word, e);
	if (rc == 0)
		rc = step(g, LINE_SETTLED, line->next, &done, e);
	if (rc == 0 && !done)
		return settled_elsewhere(g, line, e);
	if (rc == 0)
		*line = (struct catalog_line){.word = line->next, .sole = line->sole};
	return rc;
}

/* What was begun is ended first, for a copy may know that word too. */
static int renew(struct engine *g, const struct words *words, struct catalog_line *line, struct err *e)
{
	int64_t fresh = (int64_t)(g->env->random(g->env) >> 1 | 1);
	bool done = true;
	int rc = line->next != 0 ? settle(g, words, line, e) : 0;

	if (rc == 0)
		rc = step(g, LINE_NEXT, fresh, &done, e);
	if (rc == 0 && !done)
		rc = err_set(e, ERR_CONFLICT, "another node draws a word");
	if (rc != 0)
		return rc;
	line->next = fresh;
	return settle(g, &(struct words){}, line, e);
}

/* ---- others ---- */

static unsigned count_others(const struct words *words, const struct catalog_line *line, int64_t *ret_one)
{
	unsigned n = 0;

	for (size_t i = 0; i < words->n; i++)
		if (words->list[i] != line->word && words->list[i] != line->next) {
			*ret_one = words->list[i];
			n++;
		}
	return n;
}

/* Somebody said so. One that is there all the same finds its word gone and this one's in its place. */
static int take_over(struct engine *g, const struct words *words, struct catalog_line *line, struct err *e)
{
	bool done;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < words->n; i++)
		if (words->list[i] != line->word && words->list[i] != line->next)
			rc = remove_word(g, words->list[i], e);
	if (rc == 0)
		rc = step(g, LINE_SOLE_TAKEN, 0, &done, e);
	if (rc == 0)
		log_event(LOG_INFO, "storage_taken", LF_INT("words_removed", words->n));
	line->sole = false;
	return rc;
}

static void tell(struct engine *g, unsigned others, int64_t one)
{
	struct line *l = &g->line;
	char word[17];

	metric_set(METRIC_STORAGE_CONTESTED, others > 0);
	if (others > 0 && !l->contested) {
		snprintf(word, sizeof(word), "%016llx", (unsigned long long)one);
		log_event(LOG_ERROR, "storage_contested", LF_INT("others", others), LF_CSTR("word", word));
	} else if (others == 0 && l->contested) {
		log_event(LOG_INFO, "storage_contest_over", LF_INT("removals_wait_ms", hold_ms(g)));
	}
	l->contested = others > 0;
}

static int look(struct engine *g, struct err *e)
{
	struct line *l = &g->line;
	struct catalog_line line = {};
	bool sole = false;
	int64_t one = 0;
	struct words words;
	int rc = read_all(g, &words, &line, e);

	if (rc == 0 && line.sole && engine_duty(g, DUTY_TIDY)) {
		rc = take_over(g, &words, &line, e);
		sole = rc == 0;
	}
	if (rc != 0)
		return rc;
	unsigned others = sole ? 0 : count_others(&words, &line, &one);
	if (others > 0) {
		l->alone = false;
		l->since = 0;
	}
	if (others == 0 || l->other_since == 0)
		l->other_since = others > 0 ? engine_mono(g) : 0;
	if (others > 0 && engine_mono(g) - l->other_since < SURE_MS)
		return 0;
	tell(g, others, one);
	bool there = has(&words, line.word) || has(&words, line.next);
	if (!l->put || !there || (others == 0 && engine_mono(g) - l->put_at >= RENEW_EVERY_MS)) {
		rc = renew(g, &words, &line, e);
		if (rc != 0)
			return rc;
		l->put = true;
		l->put_at = engine_mono(g);
	}
	if (others > 0)
		return 0;
	if (l->since == 0)
		l->since = engine_mono(g);
	l->alone |= sole || l->fresh || engine_mono(g) - l->since >= hold_ms(g);
	l->fresh = false;
	return 0;
}

static bool look_now(struct engine *g)
{
	struct line *l = &g->line;
	struct err e = ERR_INIT;
	int rc = look(g, &e);

	l->looked_at = engine_mono(g);
	if (rc != 0)
		log_err(LOG_WARN, "storage_not_looked_at", &e);
	l->failed = rc != 0;
	return rc == 0 && l->alone;
}

/* ---- for the janitor ---- */

void line_begin(struct engine *g)
{
	struct line *l = &g->line;

	l->fresh = g->config.bucket_new;
	if (!g->config.in_bucket)
		return;
	(void)look_now(g);
	if (!l->alone && !l->contested && !l->failed)
		log_event(LOG_INFO, "removals_wait", LF_INT("ms", hold_ms(g)));
}

bool line_alone(struct engine *g, bool look)
{
	struct line *l = &g->line;

	if (!g->config.in_bucket)
		return true;
	if (look || engine_mono(g) - l->looked_at >= every_ms(g))
		return look_now(g);
	return l->alone && !l->failed;
}

static bool told(struct engine *g, int64_t now)
{
	struct catalog_line line = {};

	if (now < g->line.ask_at)
		return false;
	g->line.ask_at = now + TOLD_EVERY_MS;
	return catalog_line(g->catalog, &line, NULL) == 0 && line.sole;
}

bool line_tick(struct engine *g)
{
	struct line *l = &g->line;
	int64_t now = engine_mono(g), pause = l->other_since != 0 && !l->contested ? SURE_MS : every_ms(g);
	bool before = l->alone, duty = engine_duty(g, DUTY_TIDY);

	if (!g->config.in_bucket || catalog_sealed(g->catalog))
		return false;
	if (!l->alone && l->since != 0 && l->since + hold_ms(g) - l->looked_at < pause)
		pause = l->since + hold_ms(g) - l->looked_at;
	if ((now - l->looked_at >= pause && (duty || !l->put)) || (duty && !before && told(g, now)))
		return look_now(g) && !before;
	return false;
}
