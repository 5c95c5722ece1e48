#include "front/hop.h"

struct hop {
	struct pool_task task;
	struct http_request *r;
	front_work *work;
	/* of front_ask() */
	front_refusal *refused;
	int64_t until_ms; /* nothing is begun after that */
};

static void run_hop(struct pool_task *t)
{
	struct hop *h = CONTAINER_OF(t, struct hop, task);

	h->work(h->r); /* the arena h lies in may be gone afterwards */
}

static int64_t mono_ms(const struct http_request *r)
{
	struct env *env = engine_env(front_engine(r));

	return env->mono_ms(env);
}

void front_block(struct http_request *r, front_work *work)
{
	struct hop *h = arena_alloc(http_arena(r), sizeof(*h));

	if (h == NULL) {
		struct err e = ERR_INIT;
		front_problem(r, ERR_NO_MEMORY, &e);
		return;
	}
	*h = (struct hop){.task = {.run = run_hop}, .r = r, .work = work};
	pool_submit(engine_pool(front_engine(r)), &h->task);
}

/* Those before it may each have waited in vain. What can be said by now is said at once, or the last of many would wait for all of them. */
static void run_ask(struct pool_task *t)
{
	struct hop *h = CONTAINER_OF(t, struct hop, task);
	struct err e = ERR_INIT;

	if (mono_ms(h->r) < h->until_ms) {
		h->work(h->r);
		return;
	}
	err_set(&e, ERR_CATALOG_UNAVAILABLE, "the catalogue did not say in time who asks");
	h->refused(h->r, &e);
}

void front_ask(struct http_request *r, front_work *work, front_refusal *refused)
{
	struct hop *h = arena_alloc(http_arena(r), sizeof(*h));

	if (h == NULL) {
		struct err e = ERR_INIT;
		err_set(&e, ERR_NO_MEMORY, "no memory to ask who it is");
		refused(r, &e);
		return;
	}
	*h = (struct hop){.task = {.run = run_ask}, .r = r, .work = work, .refused = refused, .until_ms = mono_ms(r) + FRONT_ASK_MS};
	pool_submit(engine_caller_pool(front_engine(r)), &h->task);
}

void front_read(struct http_request *r, front_work *work)
{
	if (engine_reads_are_local(front_engine(r)))
		work(r);
	else
		front_block(r, work);
}

struct front_write *front_write_new(struct http_request *r, enum change_kind kind)
{
	struct front_write *w = NULL;
	struct err e = ERR_INIT;
	int rc = front_takes_work(r, &e);

	if (rc == 0)
		rc = engine_takes_change(front_engine(r), kind, &e);
	if (rc == 0)
		rc = engine_admits(front_engine(r), &e);
	if (rc == 0) {
		w = arena_alloc(http_arena(r), sizeof(*w));
		if (w == NULL)
			rc = err_set(&e, ERR_NO_MEMORY, "no memory for a change");
	}
	if (w == NULL) {
		front_problem(r, rc, &e);
		return NULL;
	}
	w->change.kind = kind;
	w->change.err = ERR_INIT;
	w->r = r;
	http_set_data(r, w);
	return w;
}

int front_write_audit_n(struct front_write *w, enum audit_act act, const struct log_field *fields, unsigned n, struct err *e)
{
	const struct audit_by by = front_by(w->r);

	return engine_audit_n(front_engine(w->r), &w->change, http_arena(w->r), act, &by, fields, n, e);
}

static void written(void *arg, struct change *c)
{
	struct front_write *w = arg;

	if (c->code == 0) {
		w->then(w->r);
		return;
	}
	if (w->explain != NULL)
		w->explain(w);
	if (w->refused != NULL)
		w->refused(w);
	else
		front_problem(w->r, c->code, &c->err);
}

void front_write_submit(struct front_write *w, front_work *then)
{
	w->then = then;
	engine_submit(front_engine(w->r), &w->change, written, w);
}

static void answer_deleted(struct http_request *r)
{
	engine_kick_doomed(front_engine(r));
	http_reply_empty(r, 204);
}

void front_delete_file(struct http_request *r)
{
	struct front_write *w = front_write_new(r, CHANGE_DELETE_FILE);
	struct err e = ERR_INIT;

	if (w == NULL)
		return;
	struct change_delete_file *c = &w->change.delete_file;
	*c = (struct change_delete_file){.owner = front_owner(r), .now = front_now(r)};
	int rc = front_id(r, &c->id, &e);
	if (rc == 0)
		rc = front_write_audit(w, AUDIT_FILE_DELETED, &e, LF_STR("file", http_param(r, "id")));
	if (rc != 0)
		front_problem(r, rc, &e);
	else
		front_write_submit(w, answer_deleted);
}
