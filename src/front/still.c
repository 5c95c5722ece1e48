/* The request may go while the catalogue is asked, and whoever lets it go must not wait; so what is asked for is copied, and the later of the two sides frees it. */
#include "front/still.h"
#include "base/wipe.h"
#include "engine/people.h"
#include "front/credentials.h"
#include "front/front.h"

#include <pthread.h>
#include <stdlib.h>

struct still {
	/* the stream's thread alone */
	struct http_request *r;
	int64_t until; /* Unix time in ms; 0 = without an end */

	struct engine *g;
	struct credential shown;
	struct pool_task task;

	pthread_mutex_t lock; /* guards what follows */
	bool asking, gone; /* the pool's thread has it; the stream is over */
	bool ended; /* it holds no more, or nobody can tell */
	uint64_t seen; /* engine_people_changes() before it was looked up last */
};

static void end(struct still *s)
{
	pthread_mutex_destroy(&s->lock);
	wipe(&s->shown, sizeof(s->shown));
	free(s);
}

int still_new(struct still **ret, struct http_request *r, struct err *e)
{
	const struct caller *c = front_caller(r);
	struct still *s;

	*ret = NULL;
	if (c->how == CALLER_ANONYMOUS)
		return 0;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for a stream");
	*s = (struct still){.r = r, .until = c->expires_at, .g = front_engine(r), .shown = credential_of(c), .seen = c->seen};
	pthread_mutex_init(&s->lock, NULL);
	*ret = s;
	return 0;
}

void still_free(struct still *s)
{
	if (s == NULL)
		return;
	pthread_mutex_lock(&s->lock);
	s->gone = true;
	bool last = !s->asking;
	pthread_mutex_unlock(&s->lock);
	if (last)
		end(s);
}

/* True: the stream is over, and nobody else has it. */
static bool look(struct still *s, bool wake)
{
	const uint64_t seen = engine_people_changes(s->g);
	struct err e = ERR_INIT;
	int rc = credential_holds(s->g, &s->shown, &e);

	pthread_mutex_lock(&s->lock);
	s->asking = false;
	s->seen = seen;
	s->ended |= rc != 0;
	bool gone = s->gone;
	/* under the lock, without which the request could go meanwhile: a wake takes no lock that anybody holds who waits for this one */
	if (wake && !gone)
		http_stream_wake(s->r);
	pthread_mutex_unlock(&s->lock);
	return gone;
}

static void ask(struct pool_task *t)
{
	struct still *s = CONTAINER_OF(t, struct still, task);

	if (look(s, true))
		end(s);
}

enum still_may still_may(struct still *s)
{
	enum still_may may = STILL_MAY;
	bool begin = false;

	if (s == NULL)
		return STILL_MAY;
	if (s->until != 0 && front_now(s->r) >= s->until)
		return STILL_MAY_NOT;
	pthread_mutex_lock(&s->lock);
	if (s->ended) {
		may = STILL_MAY_NOT;
	} else if (s->asking || s->seen != engine_people_changes(s->g)) {
		may = STILL_ASKED;
		begin = !s->asking;
		s->asking = true;
	}
	pthread_mutex_unlock(&s->lock);
	if (!begin)
		return may;
	s->task.run = ask;
	if (!engine_reads_are_local(s->g)) {
		pool_submit(engine_caller_pool(s->g), &s->task);
		return STILL_ASKED;
	}
	(void)look(s, false);
	return s->ended ? STILL_MAY_NOT : STILL_MAY;
}
