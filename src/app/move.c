/* The course of a move, and what holds when it ends in the midst of it:
 *
 *	0  the target's database is looked at                                        nothing was changed
 *	1  the target's directory is marked as being filled by this move            nothing starts on it; the source is as it was
 *	2  passes over the blobs, beside the running server                          the same; what came is kept by the next run
 *	3  the gate is closed: from here on nothing is written to the source         opens by itself when this process ends
 *	4  a last pass; the catalogue, in one transaction; the audit log; compared   the same: the next run copies the catalogue anew
 *	5  the source says that it was moved                                         nothing writes to it or starts on it; the next run goes on with 6
 *	6  the target's audit log says so, and it is opened up
 *
 * Whatever was acknowledged was committed before 3, so 4 finds it. Between 5 and 6 neither side is served, and both are whole. */
#include "app/move.h"
#include "app/audit_copy.h"
#include "app/catalogue.h"
#include "app/data_dir.h"
#include "app/gate.h"
#include "app/move_blobs.h"
#include "app/process.h"
#include "app/store.h"
#include "audit/audit.h"
#include "catalog/catalog.h"
#include "catalog/rows.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PASSES_MAX 5 /* beside a running server */
#define FEW 100 /* blobs: what is left for the time in which nothing is written */
#define THREADS 8
#define SHOW_EVERY_MS 200

struct moving {
	const struct settings *old, *new;
	struct data_dir source, target;
	bool running; /* a server works on the source */
	bool moved, whole; /* the source says that it was moved; the target was opened up: nothing is left to do */
	bool same_catalogue;
	struct gate gate;
	struct rows *alone; /* a source on PostgreSQL, which nobody writes */
	struct catalog *catalog; /* the source's, for reading */
	struct blobs *from, *to;
	struct move_blobs blobs;
	struct rows_report rows;
	int64_t began_at, closed_at, ended_at; /* monotonic ms */
	int64_t shown_at;
};

static int64_t now_ms(void)
{
	return env_real.mono_ms(&env_real);
}

static void clear_line(const struct moving *j)
{
	if (j->blobs.shown)
		fputs("\r\033[K", stderr);
}

static void say(const struct moving *j, const char *what)
{
	if (j->blobs.shown)
		fprintf(stderr, "\r\033[K%s", what);
}

static bool show_rows(void *arg, uint64_t rows)
{
	struct moving *j = arg;
	int64_t now = now_ms();

	if (j->blobs.shown && now - j->shown_at >= SHOW_EVERY_MS) {
		j->shown_at = now;
		fprintf(stderr, "\r\033[Kcatalogue: %llu rows", (unsigned long long)rows);
	}
	return !process_stop_asked();
}

/* ---- the two sides ---- */

static int refuse_same_dir(const struct moving *j, struct err *e)
{
	struct stat a, b;

	if (stat(j->old->data_dir, &a) != 0 || stat(j->new->data_dir, &b) != 0 || a.st_dev != b.st_dev || a.st_ino != b.st_ino)
		return 0;
	return err_set(e, ERR_BAD_CONFIG,
		       "both configurations name the same data directory: the new one needs one of its own, in data.dir");
}

/* On PostgreSQL other nodes' directories say nothing of it, so the catalogue does too. */
static int look_moved(struct moving *j, struct err *e)
{
	enum rows_moved state = ROWS_NOT_MOVED;
	int rc = moved_read(j->source.fd, &j->moved, NULL, e);

	if (rc == 0 && catalogue_is_shared(j->old))
		rc = rows_postgres_state(j->old->catalog_url, &state, e);
	if (rc == 0 && state == ROWS_MOVE_BEGUN && !j->moved)
		rc = err_set(e, ERR_CONFLICT, "a move into its catalogue has not ended");
	j->moved |= state == ROWS_MOVED_AWAY;
	return rc;
}

static int open_source(struct moving *j, struct err *e)
{
	bool ours = false;
	int rc = data_dir_look(&j->source, j->old->data_dir, e);

	if (rc == 0)
		rc = data_dir_try_lock(&j->source, &ours, e);
	j->running = !ours;
	if (rc == 0)
		rc = gate_open(&j->gate, j->source.fd, e);
	return rc == 0 ? look_moved(j, e) : rc;
}

/* Before a byte is copied, which may take days, and before anything there is changed: the database answers, may be written, and is empty. Of a source that is on PostgreSQL too only
 * close_source() can tell whether it is the same one. */
static int look_at_new_catalogue(struct moving *j, struct err *e)
{
	struct catalog_look look;
	struct rows *to = NULL;

	if (!catalogue_is_shared(j->new))
		return 0;
	int rc = catalogue_look(j->new, &look, e);
	if (rc != 0 || look.schema == 0)
		return rc;
	if (look.schema != look.latest)
		return err_set(e, look.schema < look.latest ? ERR_SCHEMA_OLDER : ERR_SCHEMA_NEWER,
			       "it has schema %lld, this program works on %lld", (long long)look.schema, (long long)look.latest);
	if (catalogue_is_shared(j->old))
		return 0;
	rc = rows_postgres_write(&to, j->new->catalog_url, j->source.id, e);
	rows_free(to);
	return rc;
}

static int open_target(struct moving *j, struct err *e)
{
	int rc = data_dir_take_up(&j->target, j->new->data_dir, j->source.id, &j->whole, e);

	if (rc == 0 && j->whole && !j->moved)
		rc = err_set(e, ERR_CONFLICT, "it is a data directory already, a copy of the one that is to be moved");
	return rc;
}

/* ---- stores ---- */

/* Of several nodes' directories it need not be the one to which the files belong. */
static int find_owner(struct moving *j, struct uuid *ret, struct err *e)
{
	int rc = catalog_store(j->catalog, (struct uuid){}, ret, e);

	if (rc == 0 && uuid_is_zero(*ret))
		*ret = j->source.id;
	return rc;
}

static int open_stores(struct moving *j, struct err *e)
{
	char old[STORE_PLACE_MAX], new[STORE_PLACE_MAX];
	struct uuid owner = {};
	int rc = store_open(&j->from, j->old, &j->source, STORE_LOOK, e);

	if (rc == 0)
		rc = store_place(old, j->old, &j->source, e);
	if (rc == 0)
		rc = find_owner(j, &owner, e);
	if (rc != 0)
		return err_wrap(e, "data directory %.100s", j->old->data_dir);
	rc = store_open_new(&j->to, j->new, &j->target, owner, e);
	if (rc == 0)
		rc = store_place(new, j->new, &j->target, e);
	if (rc != 0)
		return err_wrap(e, "data directory %.100s", j->new->data_dir);
	bool same = old[0] != '\0' && strcmp(old, new) == 0 && strcmp(j->old->storage_endpoint, j->new->storage_endpoint) == 0;
	j->blobs.from = same ? NULL : j->from;
	j->blobs.to = j->to;
	return move_blobs_begin(&j->blobs, e);
}

static int bring_beside(struct moving *j, struct err *e)
{
	uint64_t copied = UINT64_MAX;
	int rc = 0;

	for (int i = 0; rc == 0 && j->running && i < PASSES_MAX && copied > FEW; i++)
		rc = move_blobs_pass(&j->blobs, false, &copied, e);
	return rc;
}

/* ---- while nothing is written ---- */

static int close_source(struct moving *j, struct err *e)
{
	say(j, "waiting until nothing is written");
	int rc = gate_close(&j->gate, e);

	j->closed_at = now_ms();
	if (rc == 0 && catalogue_is_shared(j->old))
		rc = rows_postgres_read(&j->alone, j->old->catalog_url, true, e);
	if (rc == 0 && j->alone != NULL && catalogue_is_shared(j->new))
		rc = rows_postgres_same(j->alone, j->new->catalog_url, &j->same_catalogue, e);
	return rc;
}

/* PostgreSQL needs its tables first. */
static int make_tables(struct moving *j, struct err *e)
{
	const struct catalog_options options = {};
	enum rows_moved state;
	struct catalog *c;
	int rc = rows_postgres_state(j->new->catalog_url, &state, e);

	if (rc != 0 || state == ROWS_MOVE_BEGUN)
		return rc;
	rc = catalogue_open(&c, j->new, &options, e);
	if (rc == 0)
		catalog_free(c);
	return rc;
}

static int open_rows(struct moving *j, struct rows **ret_from, struct rows **ret_to, struct err *e)
{
	int rc = 0;

	if (j->alone == NULL)
		rc = rows_sqlite_read(ret_from, j->old->data_dir, e);
	else
		*ret_from = j->alone;
	if (rc != 0)
		return err_wrap(e, "the old catalogue");
	if (!catalogue_is_shared(j->new))
		return rows_sqlite_write(ret_to, j->new->data_dir, e);
	rc = make_tables(j, e);
	if (rc == 0)
		rc = rows_postgres_write(ret_to, j->new->catalog_url, j->source.id, e);
	return rc == 0 ? 0 : err_wrap(e, "the new catalogue");
}

static int compare(struct moving *j, struct rows *from, struct err *e)
{
	struct rows *there;
	int rc = catalogue_is_shared(j->new) ? rows_postgres_read(&there, j->new->catalog_url, false, e)
					     : rows_sqlite_read(&there, j->new->data_dir, e);

	if (rc != 0)
		return err_wrap(e, "the new catalogue");
	rc = rows_compare(from, there, show_rows, j, e);
	rows_free(there);
	return rc;
}

static int carry_catalogue(struct moving *j, struct err *e)
{
	struct rows *from = NULL, *to = NULL;
	int rc = j->same_catalogue ? 0 : open_rows(j, &from, &to, e);

	if (rc == 0 && !j->same_catalogue)
		rc = rows_copy(from, to, show_rows, j, &j->rows, e);
	if (rc == ERR_STORAGE_FULL)
		err_wrap(e, "the new catalogue");
	rows_free(to);
	if (rc == 0 && !j->same_catalogue)
		rc = compare(j, from, e);
	if (from != j->alone)
		rows_free(from);
	return rc;
}

static int carry_audit(struct moving *j, struct err *e)
{
	struct audit_head head;
	int rc = catalog_audit_head(j->catalog, &head, e);

	return rc == 0 ? audit_copy(j->source.fd, j->target.fd, &head, j->source.id, e) : rc;
}

/* ---- the end ---- */

static int mark_source(struct moving *j, struct err *e)
{
	char where[MOVED_MAX];
	int rc = 0;

	snprintf(where, sizeof(where), "to %.200s", j->new->data_dir);
	if (j->alone != NULL && !j->same_catalogue)
		rc = rows_postgres_away(j->alone, env_real.wall_ms(&env_real), e);
	return rc == 0 ? moved_write(j->source.fd, where, e) : rc;
}

/* The log of the new place goes on with a line that says so. A run that ends before the directory is opened up has the next one say it again. */
static int note_move(struct moving *j, struct err *e)
{
	static const struct audit_by by = {.how = "command"};
	const struct catalog_options options = {};
	CLEANUP(arena_release) struct arena a = ARENA_INIT;
	struct change ch = {.kind = CHANGE_AUDIT}, *list[] = {&ch};
	struct catalog *catalog = NULL;
	int rc = audit_entry(&ch.audit, &a, env_real.wall_ms(&env_real), AUDIT_DATA_MOVED, &by, e, LF_CSTR("from", j->old->data_dir),
			     LF_CSTR("to", j->new->data_dir));

	if (rc == 0)
		rc = catalogue_open(&catalog, j->new, &options, e);
	if (rc == 0)
		rc = store_own(j->new, &j->target, catalog, e);
	if (rc == 0)
		rc = catalog_apply(catalog, list, 1, e);
	catalog_free(catalog);
	return rc == 0 ? 0 : err_wrap(e, "the new catalogue");
}

static int open_up(struct moving *j, struct err *e)
{
	int rc = 0;

	rows_free(j->alone); /* with its lock, for which the next two would wait */
	j->alone = NULL;
	if (catalogue_is_shared(j->new) && !j->same_catalogue)
		rc = rows_postgres_open_up(j->new->catalog_url, e);
	if (rc == 0)
		rc = note_move(j, e);
	return rc == 0 ? data_dir_taken(&j->target, e) : rc;
}

static int carry_all(struct moving *j, struct err *e)
{
	uint64_t copied;
	int rc = catalogue_read(&j->catalog, j->old, e);

	j->blobs.catalog = j->catalog;
	if (rc == 0)
		rc = open_stores(j, e);
	if (rc == 0)
		rc = bring_beside(j, e);
	if (rc == 0)
		rc = close_source(j, e);
	if (rc == 0)
		rc = move_blobs_pass(&j->blobs, true, &copied, e);
	if (rc == 0)
		rc = move_blobs_end(&j->blobs, e);
	if (rc == 0)
		rc = carry_catalogue(j, e);
	if (rc == 0)
		rc = carry_audit(j, e);
	return rc == 0 ? mark_source(j, e) : rc;
}

/* A run that ended between the two notes of a source on PostgreSQL left the directory's to be written. */
static int go_on(struct moving *j, struct err *e)
{
	char where[MOVED_MAX];
	bool noted = false;
	int rc = moved_read(j->source.fd, &noted, NULL, e);

	snprintf(where, sizeof(where), "to %.200s", j->new->data_dir);
	return rc == 0 && !noted ? moved_write(j->source.fd, where, e) : rc;
}

static void tell(struct buf *out, const struct moving *j)
{
	char id[UUID_TEXT_LEN + 1];

	uuid_format(id, j->source.id);
	if (j->moved) {
		buf_addf(out, "moved %s: %s\n", id, j->whole ? "it was moved before" : "what an earlier run had brought is opened up");
		return;
	}
	buf_addf(out, "moved %s: ", id);
	if (j->same_catalogue)
		buf_add_cstr(out, "the catalogue stays; ");
	else
		buf_addf(out, "%llu rows in %llu tables, %llu files, %llu jobs; ", (unsigned long long)j->rows.rows,
			 (unsigned long long)j->rows.tables, (unsigned long long)j->rows.files, (unsigned long long)j->rows.jobs);
	buf_addf(out, "%llu blobs of %llu bytes: ", (unsigned long long)j->blobs.blobs, (unsigned long long)j->blobs.bytes);
	if (j->blobs.from == NULL)
		buf_add_cstr(out, "they stay");
	else
		buf_addf(out, "%llu copied, %llu kept, %llu lacking", (unsigned long long)j->blobs.copied,
			 (unsigned long long)j->blobs.kept, (unsigned long long)j->blobs.lacking);
	buf_addf(out, "; %lld.%03lld s, of which nothing was written for %lld.%03lld s\n", (long long)(j->ended_at - j->began_at) / 1000,
		 (long long)(j->ended_at - j->began_at) % 1000, (long long)(j->ended_at - j->closed_at) / 1000,
		 (long long)(j->ended_at - j->closed_at) % 1000);
}

static int work(struct moving *j, struct err *e)
{
	int rc = refuse_same_dir(j, e);

	if (rc == 0 && (rc = open_source(j, e)) != 0)
		return err_wrap(e, "data directory %.100s", j->old->data_dir);
	if (rc == 0 && !j->moved && (rc = look_at_new_catalogue(j, e)) != 0)
		return err_wrap(e, "the new catalogue");
	if (rc == 0 && (rc = open_target(j, e)) != 0)
		return err_wrap(e, "data directory %.100s", j->new->data_dir);
	if (rc == 0)
		rc = j->moved ? go_on(j, e) : carry_all(j, e);
	return rc == 0 && !j->whole ? open_up(j, e) : rc;
}

int move(struct buf *out, const struct settings *from, const struct settings *to, struct err *e)
{
	struct moving j = {.old = from,
			   .new = to,
			   .source = DATA_DIR_INIT,
			   .target = DATA_DIR_INIT,
			   .gate = GATE_INIT,
			   .blobs = {.threads = THREADS, .shown = isatty(STDERR_FILENO) == 1},
			   .began_at = now_ms()};
	struct err why = ERR_INIT;

	process_block_signals();
	(void)process_raise_descriptors();
	int rc = work(&j, &why);
	j.ended_at = now_ms();
	clear_line(&j);
	if (rc == 0)
		tell(out, &j);
	move_blobs_release(&j.blobs);
	rows_free(j.alone);
	catalog_free(j.catalog);
	blobs_free(j.from);
	blobs_free(j.to);
	data_dir_close(&j.target);
	gate_release(&j.gate);
	data_dir_close(&j.source);
	if (rc != 0 && e)
		*e = why;
	return rc;
}

int move_take_back(struct buf *out, const struct settings *from, struct err *e)
{
	struct moving j = {.old = from, .new = from, .source = DATA_DIR_INIT, .target = DATA_DIR_INIT, .gate = GATE_INIT};
	int rc = open_source(&j, e);

	if (rc == 0 && !j.moved)
		rc = err_set(e, ERR_CONFLICT, "it was not moved");
	if (rc == 0 && catalogue_is_shared(from))
		rc = rows_postgres_back(from->catalog_url, e);
	if (rc == 0)
		rc = moved_forget(j.source.fd, e);
	gate_release(&j.gate);
	data_dir_close(&j.source);
	if (rc != 0)
		return err_wrap(e, "data directory %.100s", from->data_dir);
	buf_addf(out, "%s is to be used again; what was done in the other place since is not in it\n", from->data_dir);
	return 0;
}
