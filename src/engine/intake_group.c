/* Uploads that are stored together or not at all.
 *
 * The normal course: each intake runs as any other until its bytes are safe and its rows are built; then it has arrived and waits here. When the last one has arrived and no more can
 * come, all go into one change. A file that fails, or a client that goes away, makes the group fail: who arrives then is dropped, and `done` is called when nobody is on his way any more.
 * What has arrived keeps its place on the list that the sweep asks, and nothing else of a large upload. */
#include "engine/intake.h"
#include "rt/metrics.h"

#include <stdlib.h>

struct member {
	struct intake_group *group;
	struct intake *in; /* NULL: it failed, and is gone */
};

struct intake_group {
	struct engine *g;
	pthread_mutex_t lock; /* guards the next three and members[].in while there is somebody on his way */
	unsigned pending; /* on their way, and 1 until it is known that no more come */
	int code;
	struct err err;
	struct member members[FILES_AT_ONCE_MAX];
	size_t n;
	struct change change;
	struct change_add_file adds[FILES_AT_ONCE_MAX];
	const struct file *files[FILES_AT_ONCE_MAX];
	struct arena arena; /* of the audit entry */
	intake_group_done_fn *done; /* NULL: nobody waits for it */
	void *arg;
};

int intake_group_new(struct intake_group **ret, struct engine *g, struct err *e)
{
	struct intake_group *x = calloc(1, sizeof(*x));

	if (x == NULL || pthread_mutex_init(&x->lock, NULL) != 0) {
		free(x);
		return err_set(e, ERR_NO_MEMORY, "no memory for uploads");
	}
	x->g = g;
	x->pending = 1;
	x->err = (struct err)ERR_INIT;
	*ret = x;
	return 0;
}

static void release(struct intake_group *x)
{
	arena_release(&x->arena);
	pthread_mutex_destroy(&x->lock);
	free(x);
}

static void drop(struct intake *in)
{
	if (in->stored) {
		intake_drop_blob(in);
		return;
	}
	intake_big_forget(in);
	intake_free(in);
}

/* Blobs go a little later: nobody finds them, for there is no row. */
static void fail(struct intake_group *x)
{
	struct intake_group_result result = {.code = x->code, .err = x->err};

	for (size_t i = 0; i < x->n; i++)
		if (x->members[i].in != NULL) {
			metric_add(METRIC_UPLOADS_FAILED, 1);
			drop(x->members[i].in);
		}
	if (x->done != NULL)
		x->done(x->arg, &result);
	release(x);
}

static void succeed(struct intake_group *x)
{
	struct intake_group_result result = {.files = x->files, .n = x->n, .err = ERR_INIT};

	for (size_t i = 0; i < x->n; i++) {
		struct intake *in = x->members[i].in;

		intake_count(in);
		intake_big_forget(in);
		x->files[i] = &in->file;
	}
	if (x->done != NULL)
		x->done(x->arg, &result);
	for (size_t i = 0; i < x->n; i++)
		intake_free(x->members[i].in);
	release(x);
}

static void committed(void *arg, struct change *c)
{
	struct intake_group *x = arg;

	if (c->code == 0) {
		succeed(x);
		return;
	}
	x->code = c->code;
	x->err = c->err;
	/* the outcome of a failed flush is unknown: the blobs may be referred to after a restart, so they stay */
	for (size_t i = 0; catalog_sealed(x->g->catalog) && i < x->n; i++)
		x->members[i].in->stored = false;
	fail(x);
}

/* One entry for all of them: a change has one. */
static int note(struct intake_group *x, struct err *e)
{
	CLEANUP(buf_release) struct buf ids = BUF_INIT;
	char id[UUID_TEXT_LEN + 1];
	uint64_t size = 0;

	for (size_t i = 0; i < x->n; i++) {
		uuid_format(id, x->members[i].in->id);
		buf_addf(&ids, "%s%s", i > 0 ? " " : "", id);
		size += x->members[i].in->size;
	}
	if (!buf_ok(&ids))
		return err_set(e, ERR_NO_MEMORY, "no memory for an audit entry");
	return engine_audit(x->g, &x->change, &x->arena, AUDIT_FILE_STORED, &x->members[0].in->spec.by, e, LF_STR("files", buf_str(&ids)),
			    LF_INT("size", size));
}

/* Nobody is on his way any more, and no other thread knows the group. */
static void settle(struct intake_group *x)
{
	if (x->code == 0 && x->n == 0)
		x->code = err_set(&x->err, ERR_FILE_MISSING, "there is no file");
	if (x->code != 0) {
		fail(x);
		return;
	}
	for (size_t i = 0; i < x->n; i++)
		x->adds[i] = x->members[i].in->change.add_file;
	x->change = (struct change){.kind = CHANGE_ADD_FILES, .err = ERR_INIT, .add_files = {.files = x->adds, .n = x->n}};
	if (x->g->config.audit_uploads && (x->code = note(x, &x->err)) != 0) {
		fail(x);
		return;
	}
	engine_submit(x->g, &x->change, committed, x);
}

/* One less is expected; the first failure is the group's. */
static void leave(struct intake_group *x, int code, const struct err *e)
{
	pthread_mutex_lock(&x->lock);
	if (code != 0 && x->code == 0) {
		x->code = code;
		x->err = *e;
	}
	bool last = --x->pending == 0;
	pthread_mutex_unlock(&x->lock);
	if (last)
		settle(x);
}

static void member_failed(void *arg, const struct intake_result *result)
{
	struct member *m = arg;

	m->in = NULL; /* whoever called this frees it */
	leave(m->group, result->code, &result->err);
}

void intake_group_arrived(struct intake *in)
{
	const struct err none = ERR_INIT;

	intake_big_safe(in); /* others of the group may be a long time on their way */
	leave(in->group, 0, &none);
}

int intake_group_check(struct intake_group *x, struct err *e)
{
	pthread_mutex_lock(&x->lock);
	int code = x->code;
	if (code != 0)
		*e = x->err;
	pthread_mutex_unlock(&x->lock);
	return code != 0 || x->n < FILES_AT_ONCE_MAX ? code : err_set(e, ERR_TOO_LARGE, "these are too many files at once");
}

void intake_group_add(struct intake_group *x, struct intake *in)
{
	struct member *m = &x->members[x->n++];

	*m = (struct member){.group = x, .in = in};
	in->group = x;
	pthread_mutex_lock(&x->lock);
	x->pending++;
	pthread_mutex_unlock(&x->lock);
	intake_finish(in, member_failed, m);
}

void intake_group_finish(struct intake_group *x, intake_group_done_fn *done, void *arg)
{
	const struct err none = ERR_INIT;

	x->done = done;
	x->arg = arg;
	leave(x, 0, &none);
}

void intake_group_cancel(struct intake_group *x)
{
	struct err e = ERR_INIT;

	if (x != NULL)
		leave(x, err_set(&e, ERR_CANCELLED, "the upload was given up"), &e);
}
