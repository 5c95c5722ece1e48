/* Those outside who send several files at once: all of them are there when the answer comes, or none ever is (oracle.c looks at the change itself). */
#include "clients.h"

#include <stdio.h>

#define FORM_FILES 4
#define PIECE 100000 /* bytes given at once, at most */

static const char *const OPS[] = {"", "crc32c, sha1", "gzip", "zstd, md5;after=zstd"};

struct form {
	struct world *w;
	unsigned owner, contents[FORM_FILES];
	size_t n; /* given to the group */
	unsigned promised, came; /* on_room */
	bool done;
	int code;
};

static void on_room(void *arg)
{
	struct form *f = arg;

	f->came++;
	coop_wake(f);
}

/* As the HTTP layer has it: nothing ends while room is promised. */
static void wait_room(struct form *f)
{
	while (f->came < f->promised)
		coop_wait(f, -1);
}

static void on_done(void *arg, const struct intake_group_result *r)
{
	struct form *f = arg;

	if (f->done)
		coop_fail("a form is answered twice");
	if (coop_locks() > 0)
		coop_fail("a form is answered with a lock held");
	f->done = true;
	f->code = r->code;
	TRACE("form of %zu answered: %d", f->n, r->code);
	if (r->code == 0 && r->n != f->n)
		coop_fail("a form of %zu files is answered with %zu", f->n, r->n);
	for (size_t i = 0; r->code == 0 && i < r->n; i++) {
		const struct file *file = r->files[i];

		if (!oracle_has_file(f->w, file->id))
			coop_fail("file %s of a form is acknowledged and not in the catalogue", short_id(file->id));
		if (file->size != content_size(f->contents[i]))
			coop_fail("file %s of a form is acknowledged with another size", short_id(file->id));
		note_told(f->w, (struct told_file){
					.id = file->id, .owner = f->owner, .content = f->contents[i], .doomed = file->expires_at != 0});
	}
	coop_wake(f);
}

/* All bytes of one file; where its intake wants a pause the rest comes at once, when it is no more than what may. False: it was given up, or refused. */
static bool feed(struct form *f, struct intake *in, unsigned content, struct err *e)
{
	struct world *w = f->w;
	const char *bytes = content_bytes(content);
	size_t n = content_size(content);

	for (size_t at = 0; at < n;) {
		size_t piece = 1 + rng_below(&w->rng, n > 10000 ? PIECE : 300);
		size_t take = n - at < piece ? n - at : piece;
		enum intake_step step = intake_feed(in, bytes + at, take, e);

		at += take;
		f->promised += step == INTAKE_WAIT;
		if (step == INTAKE_FAILED || rng_one_in(&w->rng, 60))
			return false;
		if (step == INTAKE_WAIT && n - at <= PIECE && rng_one_in(&w->rng, 2))
			return at == n || intake_feed_rest(in, bytes + at, n - at, e) == 0;
		wait_room(f);
		coop_point();
	}
	return true;
}

static bool add(struct form *f, struct intake_group *x, const char *ops, struct err *e)
{
	struct world *w = f->w;
	unsigned content = rng_below(&w->rng, rng_one_in(&w->rng, 8) ? CONTENTS : CONTENTS - 2);
	struct intake_spec spec = {.owner = str_of(owner_name(f->owner)), .length = -1, .ops = str_of(ops), .on_room = on_room, .arg = f};
	struct intake *in;
	char name[32];

	snprintf(name, sizeof(name), "c%u-%c.txt", content, (char)('a' + rng_below(&w->rng, 3)));
	spec.name = str_of(name);
	if (intake_group_check(x, e) != 0 || intake_open(w->g, &spec, &in, e) != 0)
		return false;
	if (!feed(f, in, content, e)) {
		wait_room(f);
		intake_cancel(in);
		return false;
	}
	f->contents[f->n++] = content;
	intake_group_add(x, in);
	return true;
}

/* What became of it: 0 also when the client went away. */
int act_form(struct world *w)
{
	struct form f = {.w = w, .owner = rng_below(&w->rng, w->owners)};
	unsigned wanted = 1 + rng_below(&w->rng, FORM_FILES), ops = rng_below(&w->rng, ARRAY_LEN(OPS));
	struct intake_group *x;
	struct err e = ERR_INIT;
	bool good = true;

	TRACE("sends a form of %u files with \"%s\"", wanted, OPS[ops]);
	if (intake_group_new(&x, w->g, &e) != 0)
		coop_fail("no group: %s", e.detail);
	while (good && f.n < wanted)
		good = add(&f, x, OPS[ops], &e);
	wait_room(&f);
	if (!good) {
		TRACE("form given up after %zu files: %d", f.n, e.code);
		intake_group_cancel(x);
		return e.code;
	}
	intake_group_finish(x, on_done, &f);
	while (!f.done)
		coop_wait(&f, -1);
	return f.code;
}
