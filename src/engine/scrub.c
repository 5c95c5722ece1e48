/* The scrub: reads all that is stored again, at a bounded rate, and marks what is not what was acknowledged; what is whole again loses its mark.
 *
 * The bound needs no clock: a step is allowed what the rate gives for STEP_MS and is followed by a sleep of at least that long. What a step took too much, such as
 * an inline file read at once, is a debt of the next ones. While uploads or jobs are under way only one step in BUSY_STEPS is taken: they have the disk to themselves, and
 * a server that is never idle is read through nevertheless.
 *
 * Bytes that do not match are read a second time before the mark. A row may go while its bytes are read: the mark is then refused, and nothing is lost by it.
 * Bytes are read past the page cache, for what lies there says nothing about the disk, and are not left in it.
 *
 * How far it has come is kept in the catalogue now and then and at a stop. After a restart the round goes on behind that row; after a kill at most SAVE_BYTES and a row,
 * or what SAVE_MS allow, are read again. */
#include "base/fd.h"
#include "engine/engine_impl.h"
#include "rt/log.h"
#include "rt/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define STEP_MS 250
#define CHUNK (128u << 10)
#define ROW_COST 4096 /* bytes that a row counts at least */
#define SAVE_MS 10000
#define SAVE_BYTES (64 << 20)
#define BUSY_STEPS 16
#define DIGESTS (1u << DIGEST_SHA256)

void scrub_init(struct scrub *s)
{
	s->fd = -1;
}

static void close_blob(struct scrub *s)
{
	fd_close(&s->fd);
	blob_read_close(s->reader);
	s->reader = NULL;
}

void scrub_release(struct scrub *s)
{
	close_blob(s);
	arena_release(&s->row);
	digest_set_free(s->digest);
	free(s->chunk);
}

static void save_position(struct engine *g)
{
	struct change c = {.kind = CHANGE_SCRUB_POSITION, .scrub_position = g->scrub.position};

	if (engine_apply(g, &c) != 0)
		log_err(LOG_WARN, "scrub_position_not_kept", &c.err);
	g->scrub.saved_at = engine_mono(g);
	g->scrub.unsaved = 0;
}

/* ---- one row ---- */

static void row_done(struct engine *g)
{
	struct scrub *s = &g->scrub;

	s->position.at = s->now.at;
	s->reading = s->again = false;
	close_blob(s);
	if (s->unsaved >= SAVE_BYTES || engine_mono(g) - s->saved_at >= SAVE_MS)
		save_position(g);
}

/* why NULL: the bytes are whole again. */
static void mark(struct engine *g, const char *why)
{
	struct scrub *s = &g->scrub;
	bool file = s->now.at.kind == STORED_FILE;
	struct change c = {
		.kind = CHANGE_MARK_DAMAGED,
		.mark_damaged = {.file = file ? s->now.id : (struct uuid){}, .blob = s->now.blob, .at = why != NULL ? engine_now(g) : 0}};
	CLEANUP(arena_release) struct arena a = ARENA_INIT;
	char id[UUID_TEXT_LEN + 1];

	uuid_format(id, s->now.id);
	c.code = audit_mark_of(g, &c, &a, &s->now, why, &c.err);
	if (c.code != 0 || engine_apply(g, &c) != 0) {
		if (c.code != ERR_FILE_NOT_FOUND && c.code != ERR_OUTPUT_NOT_FOUND)
			log_err(LOG_WARN, "damage_not_marked", &c.err);
	} else if (c.mark_damaged.changed > 0) {
		log_event(why != NULL ? LOG_ERROR : LOG_WARN, why != NULL ? "damaged" : "whole_again",
			  LF_CSTR("kind", file ? "file" : "output"), LF_CSTR(file ? "file" : "job", id),
			  LF_CSTR("why", why != NULL ? why : "digest"));
	}
	row_done(g);
}

static void unreadable(struct engine *g, const struct err *e)
{
	log_err(LOG_ERROR, "scrub_unreadable", e);
	row_done(g);
}

static void judge(struct engine *g)
{
	struct scrub *s = &g->scrub;
	struct err e = ERR_INIT;
	size_t n;

	if (digest_set_finish(s->digest, &e) != 0) {
		unreadable(g, &e);
	} else if (memcmp(digest_set_get(s->digest, DIGEST_SHA256, &n), s->now.sha256, sizeof(s->now.sha256)) == 0) {
		if (s->now.damaged_at)
			mark(g, NULL);
		else
			row_done(g);
	} else if (s->again || s->now.damaged_at) {
		mark(g, "digest");
	} else {
		s->again = true;
		s->reading = false;
		close_blob(s);
	}
}

static int64_t read_inline(struct engine *g)
{
	CLEANUP(buf_release) struct buf bytes = BUF_INIT;
	struct scrub *s = &g->scrub;
	struct err e = ERR_INIT;
	int rc = s->now.inline_size < 0 ? ERR_FILE_NOT_FOUND : catalog_inline_bytes(g->catalog, s->now.id, &bytes, &e);

	if (rc == ERR_FILE_NOT_FOUND || (rc == 0 && bytes.len != s->now.size)) {
		mark(g, "length");
	} else if (rc != 0) {
		unreadable(g, &e);
	} else {
		digest_set_update(s->digest, bytes.p, bytes.len);
		judge(g);
	}
	return (int64_t)bytes.len;
}

static void open_blob(struct engine *g)
{
	struct scrub *s = &g->scrub;
	struct err e = ERR_INIT;
	uint64_t size;
	int rc = blobs_are_files(g->blobs) ? blob_open(g->blobs, s->now.blob, &s->fd, &size, &e)
					   : blob_read_open(g->blobs, s->now.blob, 0, UINT64_MAX, &s->reader, &size, &e);

	s->at = 0;
	if (rc == ERR_NOT_FOUND)
		mark(g, "missing");
	else if (rc != 0)
		unreadable(g, &e);
	else if (size != s->now.size)
		mark(g, "length");
	else if (s->fd >= 0)
		(void)posix_fadvise(s->fd, 0, 0, POSIX_FADV_DONTNEED);
}

static int read_chunk(struct scrub *s, size_t n, size_t *ret_n, struct err *e)
{
	if (s->reader != NULL)
		return blob_read(s->reader, s->chunk, n, ret_n, e);
	ssize_t got = fd_pread_full(s->fd, s->chunk, n, s->at);
	if (got < 0)
		return err_errno(e, errno, "pread");
	(void)posix_fadvise(s->fd, s->at, got, POSIX_FADV_DONTNEED);
	*ret_n = (size_t)got;
	return 0;
}

/* At most `allowed` bytes; returns how many. */
static int64_t read_piece(struct engine *g, int64_t allowed)
{
	struct scrub *s = &g->scrub;
	struct err e = ERR_INIT;
	size_t n = 0;

	if (read_chunk(s, allowed < (int64_t)CHUNK ? (size_t)allowed : CHUNK, &n, &e) != 0) {
		unreadable(g, &e);
		return 0;
	}
	digest_set_update(s->digest, s->chunk, n);
	s->at += (int64_t)n;
	if (n == 0 || (uint64_t)s->at >= s->now.size)
		judge(g);
	return (int64_t)n;
}

/* ---- row after row ---- */

/* False: the round has ended, or the catalogue cannot be read now. */
static bool next_row(struct engine *g)
{
	struct scrub *s = &g->scrub;
	struct err e = ERR_INIT;
	struct stored *list;
	size_t n = 0;

	arena_release(&s->row);
	if (catalog_stored(g->catalog, s->position.at, 1, &s->row, &list, &n, &e) != 0) {
		log_err(LOG_WARN, "scrub_stopped", &e);
		return false;
	}
	if (n == 0) {
		s->position.whole = true;
		metric_set(METRIC_SCRUB_TIME, s->position.began_at / 1000);
		save_position(g);
		log_event(LOG_INFO, "scrub_done", LF_INT("bytes", s->round_bytes));
		return false;
	}
	s->now = list[0];
	return true;
}

/* Begins the row, again when its bytes did not match. False when there is nothing to read now. */
static bool begin_row(struct engine *g)
{
	struct scrub *s = &g->scrub;
	struct err e = ERR_INIT;

	if (!s->again && !next_row(g))
		return false;
	if (s->now.shared) {
		row_done(g);
		return true;
	}
	if (digest_set_reset(s->digest, DIGESTS, &e) != 0) {
		unreadable(g, &e);
		return true;
	}
	s->reading = true;
	if (s->now.blob.p != NULL)
		open_blob(g);
	return true;
}

static bool take_room(struct scrub *s)
{
	struct err e = ERR_INIT;
	int rc = 0;

	if (s->chunk == NULL)
		s->chunk = malloc(CHUNK);
	if (s->chunk == NULL)
		rc = err_set(&e, ERR_NO_MEMORY, "no memory to read into");
	else if (s->digest == NULL)
		rc = digest_set_new(&s->digest, DIGESTS, &e);
	if (rc != 0)
		log_err(LOG_WARN, "scrub_stopped", &e);
	return rc == 0;
}

int64_t scrub_step(struct engine *g, int64_t allowed)
{
	struct scrub *s = &g->scrub;
	int64_t before = s->round_bytes;

	if (!take_room(s))
		return 0;
	s->credit = s->credit + allowed < allowed ? s->credit + allowed
						  : allowed; /* what was not used is no credit, what was too much is a debt */
	while (s->credit > 0 && !s->position.whole && !atomic_load(&g->stopping) && !catalog_sealed(g->catalog)) {
		if (!s->reading) {
			s->credit -= ROW_COST;
			if (!begin_row(g))
				break;
			continue;
		}
		int64_t n = s->now.blob.p != NULL ? read_piece(g, s->credit) : read_inline(g);
		s->credit -= n;
		s->round_bytes += n;
		s->unsaved += n;
		metric_add(METRIC_SCRUB_BYTES, n);
	}
	return s->round_bytes - before;
}

/* ---- the thread ---- */

/* A round begins when the last one began long enough ago. */
static bool round_due(struct engine *g)
{
	struct scrub *s = &g->scrub;
	int64_t now = engine_now(g);

	if (s->position.began_at != 0 && !s->position.whole)
		return true;
	if (s->position.began_at != 0 && now >= s->position.began_at && now - s->position.began_at < g->config.scrub_every_ms)
		return false;
	s->position = (struct scrub_position){.began_at = now};
	s->round_bytes = 0;
	save_position(g);
	return true;
}

/* Somebody waits for the disk, or soon will. */
static bool busy(struct engine *g)
{
	return uploads_any(g) || scheduler_any_inhand(g);
}

int64_t scrub_tick(struct engine *g)
{
	struct scrub *s = &g->scrub;
	uint64_t allowed = g->config.scrub_rate * STEP_MS / 1000;

	if (catalog_sealed(g->catalog) || (busy(g) && ++s->passed_over < BUSY_STEPS))
		return 0;
	s->passed_over = 0;
	return round_due(g) ? scrub_step(g, allowed > 0 ? (int64_t)allowed : 1) : 0;
}

void scrub_resume(struct engine *g)
{
	struct scrub *s = &g->scrub;
	struct err e = ERR_INIT;

	if (catalog_scrub_position(g->catalog, &s->position, &e) != 0)
		log_err(LOG_WARN, "scrub_position_unreadable", &e);
	else if (s->position.whole)
		metric_set(METRIC_SCRUB_TIME, s->position.began_at / 1000);
	else if (s->position.began_at != 0 && !s->position.whole)
		log_event(LOG_INFO, "scrub_resumed", LF_CSTR("kind", s->position.at.kind == STORED_FILE ? "file" : "output"),
			  LF_INT("after", s->position.at.number));
	s->saved_at = engine_mono(g);
}

static void *scrub_run(void *arg)
{
	struct engine *g = arg;
	bool mine = false;

	while (sleeper_wait(&g->scrub.sleeper, STEP_MS)) {
		bool was = mine;
		mine = engine_duty(g, DUTY_SCRUB);
		if (mine && !was)
			scrub_resume(g);
		if (mine)
			scrub_tick(g);
	}
	if (mine && g->scrub.position.began_at != 0 && !g->scrub.position.whole && !catalog_sealed(g->catalog))
		save_position(g);
	return NULL;
}

int scrub_start(struct engine *g, struct err *e)
{
	return g->config.scrub_rate > 0 ? sleeper_start(&g->scrub.sleeper, "scrub", scrub_run, g, e) : 0;
}

void scrub_stop(struct engine *g)
{
	sleeper_stop(&g->scrub.sleeper);
}
