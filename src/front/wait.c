#include "front/wait.h"
#include "http/fields.h"

#include <stdio.h>

struct wait {
	struct engine_waiter waiter;
	struct http_request *r;
	front_work *then;
};

int wait_wanted(struct http_request *r, int64_t *ret_ms, struct err *e)
{
	struct str query = http_query(r, "wait");
	uint64_t s;

	if (query.p != NULL) {
		if (query.len > 2 || !str_to_u64(query, &s) || s > WAIT_MAX_S) {
			err_set(e, ERR_BAD_PARAMETER, "wait is a whole number of seconds from 0 to %d", WAIT_MAX_S);
			err_expected(e, "0 to 60");
			return err_field(e, "wait");
		}
		*ret_ms = (int64_t)s * 1000;
		return 0;
	}
	struct str prefer = http_header(r, "Prefer");
	int preferred = prefer.p == NULL ? -1 : prefer_wait_s(prefer);
	if (preferred >= 0) {
		char applied[32];
		if (preferred > WAIT_MAX_S)
			preferred = WAIT_MAX_S;
		snprintf(applied, sizeof(applied), "wait=%d", preferred);
		http_set_header(r, "Preference-Applied", applied);
	}
	*ret_ms = preferred > 0 ? (int64_t)preferred * 1000 : 0;
	return 0;
}

/* On an engine thread, which must not block: the answer is made on a pool thread. */
static void wake(struct engine_waiter *x)
{
	struct wait *w = CONTAINER_OF(x, struct wait, waiter);

	front_block(w->r, w->then);
}

static void wait_for(struct http_request *r, struct uuid file, struct uuid job, int64_t wait_ms, front_work *then)
{
	struct engine *g = front_engine(r);
	struct env *env = engine_env(g);
	struct wait *w = arena_alloc(http_arena(r), sizeof(*w));

	if (w == NULL) { /* not waiting is always allowed */
		front_block(r, then);
		return;
	}
	w->r = r;
	w->then = then;
	w->waiter.file = file;
	w->waiter.job = job;
	w->waiter.owner = front_owner(r);
	w->waiter.deadline_ms = env->mono_ms(env) + wait_ms;
	w->waiter.wake = wake;
	engine_wait(g, &w->waiter);
}

void wait_for_file(struct http_request *r, struct uuid file, int64_t wait_ms, front_work *then)
{
	wait_for(r, file, (struct uuid){}, wait_ms, then);
}

void wait_for_job(struct http_request *r, const struct job *job, int64_t wait_ms, front_work *then)
{
	wait_for(r, job->file, job->id, wait_ms, then);
}
