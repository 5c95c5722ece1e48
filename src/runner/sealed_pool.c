/* The zygote, its successors, and the children that wait.
 *
 * The zygote may die at any time. Whoever sees it takes it out of the pool, once; whoever needs one next starts its successor while others wait. Zygotes that die young again and
 * again are not replaced before a pause that grows: ERR_RUNNER_UNAVAILABLE.
 *
 * Children for digests and compression come back; the others end after their job. While one of those works a spare is made beside it, so that a small image does not wait for a
 * fork. */
#include "runner/sealed_impl.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>

#define YOUNG_MS 1000 /* a zygote that lives shorter than this died young */
#define YOUNG_DEATHS_FREE 3 /* in a row, before there is a pause */
#define PAUSE_MIN_MS 100
#define PAUSE_MAX_MS 30000
#define STILL_MAX_MS 2000 /* a zygote that tells no child's beginning or end for so long stands still */
#define ORDER_TRIES 4 /* zygotes that are gone before they took a request */

/* ---- the zygote ---- */

/* Called with the lock. */
static void count_young_death(struct sealed_runner *s, bool young)
{
	int64_t pause = PAUSE_MIN_MS;

	s->young_deaths = young ? s->young_deaths + 1 : 0;
	if (s->young_deaths < YOUNG_DEATHS_FREE)
		return;
	for (unsigned i = YOUNG_DEATHS_FREE; i < s->young_deaths && pause < PAUSE_MAX_MS; i++)
		pause *= 2;
	s->not_before_ms = sealed_now_ms() + (pause < PAUSE_MAX_MS ? pause : PAUSE_MAX_MS);
}

/* Called with the lock, which is released while the program starts. */
static void start_zygote(struct sealed_runner *s, int *ret_code, struct err *e)
{
	struct zygote_link *z = NULL;
	struct seal_report report;

	s->starting = true;
	pthread_mutex_unlock(&s->lock);
	*ret_code = sealed_begin_zygote(s, &z, &report, e);
	pthread_mutex_lock(&s->lock);
	s->starting = false;
	if (*ret_code == 0) {
		s->zygote = z;
		s->stats.zygotes++;
	} else {
		count_young_death(s, true);
	}
	pthread_cond_broadcast(&s->changed);
}

static void put_zygote(struct sealed_runner *s, struct zygote_link *z)
{
	pthread_mutex_lock(&s->lock);
	bool last = --z->refs == 0;
	pthread_mutex_unlock(&s->lock);
	if (last)
		zygote_link_end(z);
}

/* The zygote there is, or a new one. put_zygote() it. */
static int get_zygote(struct sealed_runner *s, struct zygote_link **ret, struct err *e)
{
	int r = 0;

	pthread_mutex_lock(&s->lock);
	while (r == 0 && !s->zygote) {
		if (s->starting)
			pthread_cond_wait(&s->changed, &s->lock);
		else if (sealed_now_ms() < s->not_before_ms)
			r = err_set(e, ERR_RUNNER_UNAVAILABLE, "the sealed runner died again and again; it is started again after a pause");
		else
			start_zygote(s, &r, e);
	}
	if (r == 0) {
		s->zygote->refs++;
		*ret = s->zygote;
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}

/* No child goes on that nobody can kill: with its zygote it dies. Others die with it, and their jobs may be tried again. */
static void fell_zygote(struct sealed_runner *s)
{
	pthread_mutex_lock(&s->lock);
	if (s->zygote)
		pidfd_send_signal(s->zygote->pidfd, SIGKILL, NULL, 0);
	pthread_mutex_unlock(&s->lock);
}

void sealed_end_list(struct sealed_runner *s, struct sealed_child *list)
{
	while (list) {
		struct sealed_child *c = list;

		list = c->next;
		if (c->unheld || !sealed_child_stop(c, STILL_MAX_MS))
			fell_zygote(s);
		sealed_child_end(c);
		pthread_mutex_lock(&s->lock);
		s->stats.living--;
		pthread_mutex_unlock(&s->lock);
	}
}

/* Takes a dead zygote out of the pool, and what waits of its children. Who comes second finds it done. */
static void drop_zygote(struct sealed_runner *s, struct zygote_link *z)
{
	struct sealed_child *idle = NULL, *spare = NULL;
	bool mine;

	pthread_mutex_lock(&s->lock);
	mine = s->zygote == z;
	if (mine) {
		s->zygote = NULL;
		idle = s->idle;
		spare = s->spare;
		s->idle = s->spare = NULL;
		count_young_death(s, sealed_now_ms() - z->started_ms < YOUNG_MS);
	}
	pthread_mutex_unlock(&s->lock);
	sealed_end_list(s, idle);
	sealed_end_list(s, spare);
	if (mine)
		put_zygote(s, z);
}

void sealed_check_zygote(struct sealed_runner *s)
{
	struct zygote_link *z;

	pthread_mutex_lock(&s->lock);
	z = s->zygote;
	if (z)
		z->refs++;
	pthread_mutex_unlock(&s->lock);
	if (!z)
		return;
	if (!zygote_link_alive(z))
		drop_zygote(s, z);
	put_zygote(s, z);
}

/* ---- children ---- */

static struct sealed_child *pop_child(struct sealed_runner *s, enum seal_policy policy)
{
	struct sealed_child **list = policy == POLICY_MANY ? &s->idle : &s->spare, *c;

	if (policy == POLICY_COMMAND)
		return NULL;
	pthread_mutex_lock(&s->lock);
	c = *list;
	if (c) {
		*list = c->next;
		c->next = NULL;
	}
	pthread_mutex_unlock(&s->lock);
	return c;
}

/* An idle one that nothing has happened to. */
static struct sealed_child *waiting_child(struct sealed_runner *s, enum seal_policy policy)
{
	struct sealed_child *c;

	while ((c = pop_child(s, policy)) && !sealed_child_quiet(c))
		sealed_end_list(s, c);
	return c;
}

static int order_child(struct sealed_runner *s, const struct zygote_link *z, enum seal_policy policy, const struct runner_limits *limits,
		       struct sealed_child **ret)
{
	const struct zygote_request q = sealed_request(s, ZYGOTE_SPAWN, policy, limits);
	int r = sealed_child_order(ret, z, &q);

	if (r == 0) {
		pthread_mutex_lock(&s->lock);
		s->stats.children++;
		s->stats.living++;
		pthread_mutex_unlock(&s->lock);
	}
	return r;
}

/* One is made while another works. It is only a gain of time: when it cannot be had nothing is lost. */
static void order_spare(struct sealed_runner *s, const struct zygote_link *z)
{
	struct sealed_child *c;
	bool wanted;

	pthread_mutex_lock(&s->lock);
	wanted = !s->spare && s->zygote == z;
	pthread_mutex_unlock(&s->lock);
	if (!wanted || order_child(s, z, POLICY_ONCE, &s->config.limits, &c) < 0)
		return;
	pthread_mutex_lock(&s->lock);
	if (!s->spare && s->zygote == z) {
		s->spare = c;
		c = NULL;
	}
	pthread_mutex_unlock(&s->lock);
	sealed_end_list(s, c);
}

int sealed_take_child(struct sealed_runner *s, const struct op *op, bool fresh, struct sealed_child **ret, struct err *e)
{
	const struct runner_limits limits = sealed_limits_of(op, &s->config.limits);
	const enum seal_policy policy = sealed_policy_of(op);

	for (int i = 0; i < ORDER_TRIES; i++) {
		struct zygote_link *z = NULL;
		struct sealed_child *c = NULL;
		int r = get_zygote(s, &z, e);

		if (r < 0)
			return r;
		if (!zygote_link_alive(z)) {
			drop_zygote(s, z);
		} else if ((!fresh && (c = waiting_child(s, policy))) || order_child(s, z, policy, &limits, &c) == 0) {
			if (policy == POLICY_ONCE)
				order_spare(s, z);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ETOOMANYREFS) {
			r = err_set(e, ERR_RUNNER_UNAVAILABLE, "no child for the op: %s", strerrordesc_np(errno));
		} else {
			drop_zygote(s, z);
		}
		put_zygote(s, z);
		if (c)
			*ret = c;
		if (c || r < 0)
			return r;
	}
	return err_set(e, ERR_RUNNER_UNAVAILABLE, "the sealed runner dies whenever it is asked");
}

void sealed_give_back(struct sealed_runner *s, struct sealed_child *c)
{
	if (c->policy == POLICY_MANY && sealed_child_quiet(c)) {
		pthread_mutex_lock(&s->lock);
		c->next = s->idle;
		s->idle = c;
		pthread_mutex_unlock(&s->lock);
		return;
	}
	sealed_end_list(s, c);
}
