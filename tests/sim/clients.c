/* Those outside: they send, ask, cancel, delete and wait, and hold against the engine what it once answered. */
#include "clients.h"

#include "base/fd.h"

#include <stdio.h>
#include <string.h>

static const char *const OPS[] = {"",
				  "crc32c, sha1",
				  "zstd",
				  "gzip",
				  "probe",
				  "zstd, md5;after=zstd",
				  "gzip, zstd;after=gzip, sha512;after=zstd",
				  "resize;width=8, crc32c;after=resize, probe;after=resize"};
static const char *const ADDED[][2] = {{"md5", ""}, {"sha512", ""}, {"zstd", ""}, {"gzip", ""}, {"probe", ""}, {"resize", "{\"width\":9}"}};

/* What any request may meet with when something fails or the server stops. */
static bool is_trouble(int code)
{
	return code == ERR_IO || code == ERR_STORAGE_FULL || code == ERR_STORAGE_SEALED || code == ERR_CATALOG_UNAVAILABLE ||
	       code == ERR_SHUTTING_DOWN || code == ERR_OVERLOADED || code == ERR_QUEUE_FULL;
}

static void expect(bool good, int code, const char *what)
{
	if (code != 0 && !good && !is_trouble(code))
		coop_fail("%s: %s", what, err_info(code)->name);
}

static bool results_expire(const struct world *w)
{
	return w->options.results_keep_ms > 0;
}

/* ---- changes ---- */

struct sync {
	bool done;
};

static void applied(void *arg, struct change *c)
{
	struct sync *s = arg;

	if (s->done)
		coop_fail("a change is answered twice");
	if (coop_locks() > 0)
		coop_fail("an answer with a lock held");
	s->done = true;
	coop_wake(s);
}

int submit(struct world *w, struct change *c)
{
	struct sync s = {};

	engine_submit(w->g, c, applied, &s);
	while (!s.done)
		coop_wait(&s, -1);
	return c->code;
}

/* As the routes do it: who comes from outside asks first whether there is room. */
static int submit_from_outside(struct world *w, struct change *c)
{
	struct err e = ERR_INIT;
	int rc = engine_admits(w->g, &e);

	return rc != 0 ? rc : submit(w, c);
}

/* ---- uploads ---- */

struct upload {
	struct world *w;
	unsigned owner, content;
	bool room, done, replayed;
	int code;
	struct uuid id;
};

static void on_room(void *arg)
{
	struct upload *u = arg;

	u->room = true;
	coop_wake(u);
}

void note_told(struct world *w, struct told_file file)
{
	for (size_t i = 0; i < w->n_files; i++)
		if (uuid_eq(w->files[i].id, file.id))
			return;
	if (w->n_files == FILES_MAX)
		coop_fail("more than %d files", FILES_MAX);
	w->files[w->n_files++] = file;
}

static void on_done(void *arg, const struct intake_result *r)
{
	struct upload *u = arg;

	if (u->done)
		coop_fail("an upload is answered twice");
	if (coop_locks() > 0)
		coop_fail("an upload is answered with a lock held");
	u->done = true;
	u->code = r->code;
	u->replayed = r->replayed;
	if (r->code == 0) {
		u->id = r->file->id;
		if (!oracle_has_file(u->w, u->id))
			coop_fail("file %s is acknowledged and not in the catalogue", short_id(u->id));
		if (r->file->size != content_size(u->content))
			coop_fail("file %s is acknowledged with another size", short_id(u->id));
		note_told(u->w,
			  (struct told_file){.id = u->id, .owner = u->owner, .content = u->content, .doomed = r->file->expires_at != 0});
	}
	TRACE("upload of c%u answered: %d %s", u->content, r->code, r->code == 0 ? short_id(u->id) : "");
	coop_wake(u);
}

/* False: it was given up. */
static bool feed(struct upload *u, struct intake *in, struct err *e)
{
	struct world *w = u->w;
	const char *bytes = content_bytes(u->content);
	size_t n = content_size(u->content);

	for (size_t at = 0; at < n;) {
		size_t piece = 1 + rng_below(&w->rng, n > 10000 ? 100000 : 300);
		size_t take = n - at < piece ? n - at : piece;
		enum intake_step step = intake_feed(in, bytes + at, take, e);

		at += take;
		while (step == INTAKE_WAIT && !u->room)
			coop_wait(u, -1);
		u->room = false;
		if (step == INTAKE_FAILED || rng_one_in(&w->rng, 40)) {
			TRACE("upload of c%u given up: %d", u->content, step == INTAKE_FAILED ? e->code : 0);
			u->code = step == INTAKE_FAILED ? e->code : 0;
			intake_cancel(in);
			return false;
		}
		coop_point();
	}
	return true;
}

/* The name says what is in it (truth.c), and by which key it was sent. */
static void send_file(struct world *w, struct upload *u, const char *ops, const char *key)
{
	struct err e = ERR_INIT;
	struct intake *in;
	char name[32], other[2] = {(char)('a' + rng_below(&w->rng, 3)), '\0'};

	snprintf(name, sizeof(name), "c%u-%s.txt", u->content, key != NULL ? key : other);
	struct intake_spec spec = {.owner = str_of(owner_name(u->owner)),
				   .length = rng_one_in(&w->rng, 2) ? (int64_t)content_size(u->content) : -1,
				   .name = str_of(name),
				   .on_room = on_room,
				   .arg = u};
	if (ops[0] != '\0')
		spec.ops = str_of(ops);
	if (key != NULL)
		spec.idempotency_key = str_of(key);
	u->code = intake_open(w->g, &spec, &in, &e);
	if (u->code != 0 || !feed(u, in, &e))
		return;
	intake_finish(in, on_done, u);
	while (!u->done)
		coop_wait(u, -1);
}

static void act_upload(struct world *w)
{
	struct upload u = {.w = w, .owner = rng_below(&w->rng, w->owners), .content = rng_below(&w->rng, CONTENTS - 2)};
	unsigned key = rng_below(&w->rng, KEYS_MAX), ops = rng_below(&w->rng, ARRAY_LEN(OPS));
	bool keyed = rng_one_in(&w->rng, 3);
	char text[16];

	if (rng_one_in(&w->rng, 30))
		u.content = CONTENTS - 1 - rng_below(&w->rng, 2);
	if (keyed) { /* the same key always with the same request */
		u.content = key * 2 % CONTENTS;
		ops = key % ARRAY_LEN(OPS);
		snprintf(text, sizeof(text), "key-%u", key);
	}
	TRACE("uploads c%u with \"%s\"%s%s", u.content, OPS[ops], keyed ? ", " : "", keyed ? text : "");
	send_file(w, &u, OPS[ops], keyed ? text : NULL);
	expect(keyed && (u.code == ERR_IDEMPOTENCY_RUNNING || u.code == ERR_FILE_GONE ||
			 (u.code == ERR_FILE_NOT_FOUND && w->plan.far_clock)),
	       u.code, "upload");
}

/* ---- with a file that was acknowledged ---- */

static struct told_file *some_file(struct world *w)
{
	return w->n_files > 0 ? &w->files[rng_below(&w->rng, (unsigned)w->n_files)] : NULL;
}

/* What the catalogue says of it, held against what was answered before. */
static int look_up(struct world *w, const struct told_file *t, struct arena *a, struct file *f)
{
	struct err e = ERR_INIT;
	bool gone = t->gone, doomed;
	int rc = catalog_file(engine_catalog(w->g), (struct file_key){.id = t->id}, str_of(owner_name(t->owner)), a, f, &e);

	doomed = t->doomed;
	if (rc == 0 && gone)
		coop_fail("file %s was deleted and is there", short_id(t->id));
	expect(doomed && (rc == ERR_FILE_GONE || (rc == ERR_FILE_NOT_FOUND && w->plan.far_clock)), rc, "an acknowledged file");
	return rc;
}

static void check_content(struct world *w, const struct told_file *t, const struct file *f)
{
	CLEANUP(engine_bytes_release) struct engine_bytes bytes = ENGINE_BYTES_INIT;
	struct buf *b = &bytes.inlined;
	struct err e = ERR_INIT;
	int rc = engine_open_content(w->g, f, (struct engine_part){0, f->size}, &bytes, &e);

	expect(t->doomed && (rc == ERR_FILE_GONE || rc == ERR_FILE_NOT_FOUND), rc, "the content of an acknowledged file");
	if (rc != 0)
		return;
	if (bytes.fd >= 0) {
		buf_reserve(b, f->size);
		b->len = f->size;
		if (fd_pread_full(bytes.fd, b->p, f->size, 0) != (ssize_t)f->size)
			coop_fail("a content cannot be read");
	}
	if (b->len != content_size(t->content) || (b->len > 0 && memcmp(b->p, content_bytes(t->content), b->len) != 0))
		coop_fail("file %s is given out with other bytes", short_id(t->id));
}

static void check_outputs(struct world *w, const struct told_file *t, const struct file *f)
{
	for (size_t i = 0; i < f->n_jobs; i++)
		for (size_t k = 0; k < f->jobs[i].n_outputs; k++) {
			const struct output *o = &f->jobs[i].outputs[k];
			CLEANUP(engine_bytes_release) struct engine_bytes bytes = ENGINE_BYTES_INIT;
			struct err e = ERR_INIT;
			int rc = engine_open_output(w->g, o, (struct engine_part){0, o->size}, &bytes, &e);

			expect((t->doomed || results_expire(w)) && rc == ERR_OUTPUT_NOT_FOUND, rc, "an output");
		}
}

static void act_read(struct world *w, struct told_file *t)
{
	CLEANUP(arena_release) struct arena a = ARENA_INIT;
	struct file f;

	if (look_up(w, t, &a, &f) != 0)
		return;
	check_content(w, t, &f);
	check_outputs(w, t, &f);
}

/* The job of an output that another one may come after; zero = none. */
static struct uuid some_before(struct world *w, const struct file *f)
{
	for (size_t i = 0; i < f->n_jobs; i++)
		if (rng_one_in(&w->rng, 3) && op_table_find(op_builtin_table(), f->jobs[i].op)->output)
			return f->jobs[i].id;
	return (struct uuid){};
}

static void act_add_jobs(struct world *w, struct told_file *t)
{
	CLEANUP(arena_release) struct arena a = ARENA_INIT;
	unsigned n = 1 + rng_below(&w->rng, 2);
	struct op_request ops[2];
	struct job jobs[2];
	struct err e = ERR_INIT;
	struct file f;

	if (look_up(w, t, &a, &f) != 0 || f.n_jobs > 12)
		return;
	for (unsigned i = 0; i < n; i++) {
		const char *const *add = ADDED[rng_below(&w->rng, ARRAY_LEN(ADDED))];

		if (op_table_request_from_json(op_builtin_table(), &ops[i], str_of(add[0]), str_of(add[1]), &a, &e) != 0)
			coop_fail("%s: %s", add[0], e.detail);
	}
	engine_new_jobs(w->g, jobs, t->id, ops, n);
	for (unsigned i = 0; i < n; i++) {
		jobs[i].priority = rng_below(&w->rng, PRIORITY_MAX + 1);
		jobs[i].max_attempts = 1 + rng_below(&w->rng, 4);
		jobs[i].run_at += rng_one_in(&w->rng, 4) ? rng_below(&w->rng, 10000) : 0;
		jobs[i].after = rng_one_in(&w->rng, 3) ? some_before(w, &f) : (struct uuid){};
	}
	struct change c = {.kind = CHANGE_ADD_JOBS, .add_jobs = {.owner = str_of(owner_name(t->owner)), .jobs = jobs, .n = n, .arena = &a}};
	int rc = submit_from_outside(w, &c);
	TRACE("adds %u jobs to %s: %d", n, short_id(t->id), rc);
	expect(rc == ERR_JOB_STATE || (rc == ERR_JOB_GONE && results_expire(w)) ||
		       (t->doomed && (rc == ERR_FILE_GONE || rc == ERR_FILE_NOT_FOUND || rc == ERR_JOB_NOT_FOUND)),
	       rc, "adding jobs");
	for (unsigned i = 0; rc == 0 && i < n; i++)
		if (mem_find(&world_mem(w)->jobs, jobs[i].id) == NULL && !w->plan.far_clock)
			coop_fail("job %s is acknowledged and not in the catalogue", short_id(jobs[i].id));
}

static void act_on_job(struct world *w, struct told_file *t, enum change_kind kind)
{
	CLEANUP(arena_release) struct arena a = ARENA_INIT;
	struct file f;

	if (look_up(w, t, &a, &f) != 0 || f.n_jobs == 0)
		return;
	struct change c = {.kind = kind,
			   .job_ref = {.id = f.jobs[rng_below(&w->rng, (unsigned)f.n_jobs)].id,
				       .owner = str_of(owner_name(t->owner)),
				       .now = coop_wall_ms()}};
	int rc = submit_from_outside(w, &c);
	TRACE("%s job %s: %d", kind == CHANGE_CANCEL_JOB ? "cancels" : "retries", short_id(c.job_ref.id), rc);
	expect(rc == ERR_JOB_STATE || (rc == ERR_JOB_GONE && results_expire(w)) ||
		       (t->doomed && (rc == ERR_FILE_GONE || rc == ERR_JOB_NOT_FOUND)),
	       rc, "a cancel or retry");
}

static void act_delete(struct world *w, struct told_file *t)
{
	t->doomed = true;
	struct change c = {.kind = CHANGE_DELETE_FILE,
			   .delete_file = {.id = t->id, .owner = str_of(owner_name(t->owner)), .now = coop_wall_ms()}};
	int rc = submit_from_outside(w, &c);
	TRACE("deletes %s: %d", short_id(t->id), rc);
	expect(rc == ERR_FILE_GONE || rc == ERR_FILE_NOT_FOUND, rc, "a delete");
	t->gone = t->gone || rc == 0;
}

static void act_expire(struct world *w, struct told_file *t)
{
	t->doomed = true;
	struct change c = {.kind = CHANGE_PATCH_FILE,
			   .patch_file = {.id = t->id,
					  .owner = str_of(owner_name(t->owner)),
					  .set_expires = true,
					  .expires_at = coop_wall_ms() + rng_below(&w->rng, EXPIRY_MOST_MS),
					  .now = coop_wall_ms()}};
	int rc = submit_from_outside(w, &c);
	TRACE("lets %s expire: %d", short_id(t->id), rc);
	expect(rc == ERR_FILE_GONE || rc == ERR_FILE_NOT_FOUND, rc, "an expiry");
}

static void act_ready(struct world *w)
{
	struct err e = ERR_INIT;

	expect(false, engine_ready(w->g, &e), "readiness");
}

/* ---- what one client does ---- */

static void act(struct world *w)
{
	struct told_file *t = some_file(w);
	unsigned what = rng_below(&w->rng, 20);

	if (t == NULL || what < 5)
		act_upload(w);
	else if (what < 6)
		expect(false, act_form(w), "a form");
	else if (what < 9)
		act_add_jobs(w, t);
	else if (what < 11)
		act_on_job(w, t, CHANGE_CANCEL_JOB);
	else if (what < 13)
		act_on_job(w, t, CHANGE_RETRY_JOB);
	else if (what < 14)
		act_delete(w, t);
	else if (what < 15)
		act_expire(w, t);
	else if (what < 18)
		act_wait(w, t);
	else if (w->plan.hooks && rng_one_in(&w->rng, 2))
		expect(false, act_hook(w), "a webhook");
	else if (rng_one_in(&w->rng, 4))
		act_ready(w);
	else
		act_read(w, t);
}

void *client(void *arg)
{
	struct world *w = arg;

	pthread_setname_np(pthread_self(), "client");
	for (unsigned n = 1 + rng_below(&w->rng, 8); n > 0 && !w->stopping; n--) {
		act(w);
		coop_sleep((int64_t)rng_below(&w->rng, rng_one_in(&w->rng, 4) ? 4000 : 20) * MS);
	}
	w->clients--;
	return NULL;
}

/* ---- a backup ---- */

#define BACKUP_MAX 512

struct snapshot {
	size_t n;
	char names[BACKUP_MAX][BLOB_NAME_MAX + 1];
};

/* What the rows of this moment refer to. */
static void take(struct world *w, struct snapshot *s)
{
	const struct mem *m = world_mem(w);

	s->n = 0;
	for (size_t i = 0; i < m->files.n && s->n < BACKUP_MAX; i++) {
		const struct mem_file *f = CONTAINER_OF(m->files.rows[i], struct mem_file, row);

		if (!f->deleted_at && f->file.location != LOCATION_INLINE)
			file_blob_name(s->names[s->n++], f->file.owner, f->row.id);
	}
	for (size_t i = 0; i < m->jobs.n && s->n < BACKUP_MAX; i++) {
		const struct job *j = &CONTAINER_OF(m->jobs.rows[i], struct mem_job, row)->job;

		if (j->n_outputs > 0)
			snprintf(s->names[s->n++], sizeof(s->names[0]), "%.*s", STR_FMT(j->outputs[0].blob));
	}
}

/* As docs/adr/0020 has it: holds the blobs, takes a snapshot of the catalogue, copies what that refers to. */
void *backup(void *arg)
{
	static struct snapshot s;
	struct world *w = arg;

	pthread_setname_np(pthread_self(), "backup");
	while (w->clients > 0 && !w->stopping) {
		coop_sleep((int64_t)rng_below(&w->rng, 4000) * MS);
		w->held = true;
		coop_point();
		take(w, &s);
		TRACE("a backup begins");
		while (s.n > 0) {
			coop_sleep((int64_t)rng_below(&w->rng, 200) * MS);
			s.n--;
			if (disk_read(w, str_of(s.names[s.n])).p == NULL)
				coop_fail("blob %s went while a backup held it", s.names[s.n]);
		}
		w->held = false;
	}
	return NULL;
}

/* Sets the clock, and lets the whole machine stand still. */
void *trouble(void *arg)
{
	struct world *w = arg;

	pthread_setname_np(pthread_self(), "trouble");
	while (w->clients > 0 && !w->stopping) {
		coop_sleep((int64_t)rng_below(&w->rng, 3000) * MS);
		if (rng_below(&w->rng, 100) < w->plan.freeze) {
			int64_t ms = rng_below(&w->rng, (unsigned)w->config.lease_ms * 2);

			TRACE("all stands still for %lld ms", (long long)ms);
			w->frozen += ms * MS; /* before: there is no moment at which it would be counted as passed */
			coop_freeze(ms * MS);
		}
		if (rng_below(&w->rng, 100) < w->plan.clock) {
			int64_t by = (int64_t)rng_below(&w->rng, 7200000) - 3600000;

			by *= w->plan.far_clock && rng_one_in(&w->rng, 2) ? 1000 : 1;
			coop_set_wall(coop_wall_ms() + by);
			TRACE("the clock is set by %lld ms", (long long)by);
		}
		if (coop_wall_ms() > w->wall_most)
			w->wall_most = coop_wall_ms();
	}
	return NULL;
}
