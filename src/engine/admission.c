/* Who may still join the queue of the committer.
 *
 * A queue that is short at times only takes up a burst, and everybody in it is soon served: that is what it is for. A queue that stands makes everybody wait as long as it
 * is, and serves nobody sooner for it. So what comes from clients is refused, with a time to come again, once the queue was not short for STANDING_MS, and from then on whenever it
 * is not, until nobody was refused for STRICT_MS. (After K. Nichols, V. Jacobson, "Controlling Queue Delay", ACM Queue 10/5, 2012, with refusals for drops: nobody is
 * refused who was let in.) What the engine itself has to write, such as the ends of jobs, always joins.
 *
 * Short is what the committer gets through in WAIT_MS, by what it got through of late; at least SHORT_MIN changes, so that a slow flush still serves many at once. */
#include "engine/engine_impl.h"
#include "rt/log.h"
#include "rt/metrics.h"

#define WAIT_MS 5
#define SHORT_MIN 128 /* changes */
#define BURST_MAX 4096 /* changes that may wait while the queue does not stand */
#define STANDING_MS 100
#define STRICT_MS 5000
#define AVERAGE_OVER 8 /* groups */

void admission_init(struct engine *g)
{
	g->committer.admission = (struct admission){.short_max = SHORT_MIN};
}

void admission_joined(struct engine *g)
{
	struct committer *m = &g->committer;

	if (m->sleeping) /* the first one after a time without any */
		m->admission.short_at = engine_mono(g);
}

void admission_took(struct engine *g, size_t waited)
{
	struct admission *a = &g->committer.admission;

	if (waited <= a->short_max)
		a->short_at = engine_mono(g);
}

void admission_committed(struct engine *g, size_t n, int64_t us)
{
	struct admission *a = &g->committer.admission;
	int64_t each_ns = us * 1000 / (int64_t)n;

	/* Of small groups most of the time is the flush, which says nothing about how many more could have come along. */
	if (n < SHORT_MIN / 2 || each_ns <= 0)
		return;
	pthread_mutex_lock(&g->committer.lock);
	a->change_ns = a->change_ns == 0 ? each_ns : a->change_ns + (each_ns - a->change_ns) / AVERAGE_OVER;
	int64_t fit = a->change_ns > 0 ? WAIT_MS * INT64_C(1000000) / a->change_ns : 0;
	a->short_max = fit > BURST_MAX ? BURST_MAX : fit > SHORT_MIN ? (size_t)fit : SHORT_MIN;
	pthread_mutex_unlock(&g->committer.lock);
}

/* Called with the lock held. *ret_begins: this is the first one refused for a while. */
static bool may_join(struct committer *m, int64_t now, bool *ret_begins)
{
	struct admission *a = &m->admission;

	if (m->waiting < a->short_max)
		return true;
	*ret_begins = now >= a->strict_until;
	if (*ret_begins && m->waiting < BURST_MAX && now - a->short_at < STANDING_MS)
		return true;
	a->strict_until = now + STRICT_MS;
	return false;
}

int engine_admits(struct engine *g, struct err *e)
{
	struct committer *m = &g->committer;
	int64_t now = engine_mono(g);
	bool begins = false;

	pthread_mutex_lock(&m->lock);
	bool admitted = may_join(m, now, &begins);
	size_t waiting = m->waiting;
	pthread_mutex_unlock(&m->lock);
	if (admitted)
		return 0;
	metric_add(METRIC_OVERLOADED, 1);
	if (begins)
		log_event(LOG_WARN, "overloaded", LF_INT("changes_waiting", (int64_t)waiting));
	err_set(e, ERR_OVERLOADED, "more is being written than the storage takes");
	if (e != NULL)
		come_again(g, e, STANDING_MS);
	return ERR_OVERLOADED;
}
