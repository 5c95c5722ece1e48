#include "engine/outflow.h"

#include <assert.h>

#define SPAN_MS 5000
#define SPAN_JOBS 8

static int64_t busy_until(const struct outflow *o, int64_t mono_ms)
{
	return o->now.busy_ms + (o->inhand > 0 ? mono_ms - o->since : 0);
}

void outflow_begin(struct outflow *o, int64_t mono_ms)
{
	o->now.busy_ms = busy_until(o, mono_ms);
	o->since = mono_ms;
	o->inhand++;
}

void outflow_end(struct outflow *o, int64_t mono_ms, bool gone)
{
	assert(o->inhand > 0);
	o->now.busy_ms = busy_until(o, mono_ms);
	o->since = mono_ms;
	o->inhand--;
	o->now.ended += gone;
	if (o->now.busy_ms < SPAN_MS || o->now.ended < SPAN_JOBS)
		return;
	o->before = o->now;
	o->now = (struct outflow_span){};
}

int64_t outflow_ms(const struct outflow *o, int64_t mono_ms, uint64_t jobs)
{
	uint64_t ended = o->before.ended + o->now.ended;
	int64_t busy_ms = o->before.busy_ms + busy_until(o, mono_ms);
	double ms = (double)jobs * (double)busy_ms / (double)(ended > 0 ? ended : 1); /* none yet: as if one ended now */

	return ms < (double)INT64_MAX ? (int64_t)ms : INT64_MAX;
}
