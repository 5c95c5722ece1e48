/* How fast jobs leave the queue, so that whoever finds it full can be told when there will be room.
 *
 * Jobs that ended are counted against the time in which any was in hand: a queue that was empty for a day says nothing about how fast it empties. Of the past only the last two spans
 * are known, each of SPAN_MS and SPAN_JOBS at least, so that what is slow is averaged over longer. */
#ifndef FILEMILL_ENGINE_OUTFLOW_H
#define FILEMILL_ENGINE_OUTFLOW_H

#include <stdbool.h>
#include <stdint.h>

struct outflow_span {
	uint64_t ended; /* jobs */
	int64_t busy_ms;
};

/* Zero = nothing is known yet. One thread at a time. */
struct outflow {
	struct outflow_span now, before;
	uint64_t inhand;
	int64_t since; /* mono ms up to which now.busy_ms counts */
};

void outflow_begin(struct outflow *o, int64_t mono_ms); /* a job was claimed */
void outflow_end(struct outflow *o, int64_t mono_ms, bool gone); /* it is not in hand any more; gone: and final */
/* How long until so many will have ended, if it goes on like that. 0 when nothing is known. */
int64_t outflow_ms(const struct outflow *o, int64_t mono_ms, uint64_t jobs);

#endif
