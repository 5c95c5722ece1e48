/* The time that counts against clients. A worker that is held up in a callback, by a catalogue that does not answer, say, reads nothing of its other connections and takes up none that
 * was resumed: what they are owed meanwhile may lie with us, read already, where the watchdog cannot see it. So connections have the clock of their worker, which stands still while that
 * is held up; and all stand still while the keeper itself was kept from looking, because the whole process was stopped.
 *
 * One word tells it, so that who reads it sees one moment: outside of callbacks twice the time held up so far; inside, twice the clock at the callback's begin, and one. */
#include "base/patience.h"
#include "http/http_impl.h"

static int64_t awake_ms(const struct http_server *s, int64_t now_ms)
{
	return now_ms - atomic_load_explicit(&s->slept_ms, memory_order_relaxed);
}

void clock_enter(struct worker *w)
{
	thread_never_waits(); /* said each time: MHD tells nobody when its thread begins */
	w->entered_ms = awake_ms(w->server, http_now_ms());
	atomic_store_explicit(&w->clock, (w->entered_ms - w->held_ms) * 2 + 1, memory_order_relaxed);
}

void clock_leave(struct worker *w)
{
	int64_t took_ms = awake_ms(w->server, http_now_ms()) - w->entered_ms;

	if (took_ms > HELD_MS)
		w->held_ms += took_ms - HELD_MS;
	atomic_store_explicit(&w->clock, w->held_ms * 2, memory_order_relaxed);
}

/* What a look at thousands of connections takes is no sleep: else the more there are, the longer everybody's deadlines became. */
void clock_looked(struct http_server *s, int64_t passed_ms, int64_t meant_ms, int64_t worked_ms)
{
	int64_t slept_ms = passed_ms - meant_ms - worked_ms;

	if (slept_ms > HELD_MS)
		atomic_fetch_add_explicit(&s->slept_ms, slept_ms, memory_order_relaxed);
}

int64_t clock_of(const struct conn *c, int64_t now_ms)
{
	int64_t word = atomic_load_explicit(&c->worker->clock, memory_order_relaxed);

	return word & 1 ? word / 2 : awake_ms(c->server, now_ms) - word / 2;
}
