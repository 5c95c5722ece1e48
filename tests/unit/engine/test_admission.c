/* Who is let in when more is written than the catalogue gets through. Time and commits are in the test's hand. */
#include "catalog/catalog_impl.h"
#include "world.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define SHORT 128 /* what src/engine/admission.c calls short */
#define BURST 4096
#define STANDING_MS 100
#define STRICT_MS 5000
#define OWN 8 /* changes that the engine may have to write by itself meanwhile */
#define CHANGE_US 50 /* so slow that no more than SHORT fit into what is waited at most */

static struct hands {
	struct env env;
	_Atomic int64_t ahead_ms; /* of the monotonic clock, which stands still otherwise */
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool hold; /* commits wait */
	bool held; /* one does */
	size_t done; /* changes */
} hands;

static const struct catalog_ops *real_ops;
static struct catalog_ops held_ops;

static int64_t mono_in_hand(struct env *e)
{
	return 1000000 + atomic_load(&hands.ahead_ms);
}

static int held_apply(struct catalog *c, struct change *const *changes, size_t n, struct err *e)
{
	pthread_mutex_lock(&hands.lock);
	while (hands.hold) {
		hands.held = true;
		pthread_cond_broadcast(&hands.cond);
		pthread_cond_wait(&hands.cond, &hands.lock);
	}
	hands.held = false;
	pthread_mutex_unlock(&hands.lock);
	usleep((useconds_t)n * CHANGE_US);
	return real_ops->apply(c, changes, n, e);
}

static void take_apply(struct catalog *c)
{
	real_ops = c->ops;
	held_ops = *c->ops;
	held_ops.apply = held_apply;
	c->ops = &held_ops;
}

static void open_world(struct world *w)
{
	hands = (struct hands){.env = env_real, .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
	hands.env.mono_ms = mono_in_hand;
	*w = (struct world){.env = &hands.env, .prepare = take_apply};
	struct engine_config c = world_config();
	c.lease_ms = c.beat_ms = c.reclaim_ms = 1000000000; /* the engine has nothing to write by itself */
	world_open(w, &c);
}

static void set_hold(bool hold)
{
	pthread_mutex_lock(&hands.lock);
	hands.hold = hold;
	pthread_cond_broadcast(&hands.cond);
	pthread_mutex_unlock(&hands.lock);
}

static void change_done(void *arg, struct change *c)
{
	assert_int_equal(c->code, 0);
	pthread_mutex_lock(&hands.lock);
	hands.done++;
	pthread_cond_broadcast(&hands.cond);
	pthread_mutex_unlock(&hands.lock);
}

/* Changes of the engine's own kind: nobody asks whether they may. */
static struct change *submit(struct world *w, size_t n)
{
	struct change *c = calloc(n, sizeof(*c));

	assert_non_null(c);
	for (size_t i = 0; i < n; i++) {
		c[i].kind = CHANGE_PROBE;
		engine_submit(w->g, &c[i], change_done, NULL);
	}
	return c;
}

/* One commit begins and does not end; so many changes wait behind it. */
static void let_wait(struct world *w, struct change *c[2], size_t n)
{
	set_hold(true);
	c[0] = submit(w, 1);
	pthread_mutex_lock(&hands.lock);
	while (!hands.held)
		pthread_cond_wait(&hands.cond, &hands.lock);
	pthread_mutex_unlock(&hands.lock);
	c[1] = submit(w, n);
}

static void let_go(struct change *c[2], size_t n)
{
	set_hold(false);
	pthread_mutex_lock(&hands.lock);
	while (hands.done < n + 1)
		pthread_cond_wait(&hands.cond, &hands.lock);
	hands.done = 0;
	pthread_mutex_unlock(&hands.lock);
	free(c[0]);
	free(c[1]);
}

/* The queue is empty now, at the time that the clock shows. */
static void let_one_through(struct world *w)
{
	struct change *c[2] = {submit(w, 1), NULL};

	let_go(c, 0);
}

static void a_burst_is_let_in_a_standing_queue_is_not(void **state)
{
	struct world w;
	struct change *c[2];
	struct err e = ERR_INIT;

	open_world(&w);
	let_wait(&w, c, SHORT);
	assert_int_equal(engine_admits(w.g, &e), 0);
	atomic_fetch_add(&hands.ahead_ms, STANDING_MS - 1);
	assert_int_equal(engine_admits(w.g, &e), 0);
	atomic_fetch_add(&hands.ahead_ms, 1);
	assert_int_equal(engine_admits(w.g, &e), ERR_OVERLOADED);
	assert_in_range(e.retry_after_s, 1, 3);
	let_go(c, SHORT);
	assert_int_equal(engine_admits(w.g, &e), 0);
	world_close(&w);
}

static void a_queue_that_is_short_refuses_nobody_however_long_it_stands(void **state)
{
	struct world w;
	struct change *c[2];

	open_world(&w);
	let_wait(&w, c, SHORT - OWN);
	atomic_fetch_add(&hands.ahead_ms, 60000);
	assert_int_equal(engine_admits(w.g, NULL), 0);
	let_go(c, SHORT - OWN);
	world_close(&w);
}

static void after_a_refusal_no_burst_is_let_in_for_a_while(void **state)
{
	struct world w;
	struct change *c[2];

	open_world(&w);
	let_wait(&w, c, SHORT);
	atomic_fetch_add(&hands.ahead_ms, STANDING_MS);
	assert_int_equal(engine_admits(w.g, NULL), ERR_OVERLOADED);
	let_go(c, SHORT);
	let_wait(&w, c, SHORT);
	assert_int_equal(engine_admits(w.g, NULL), ERR_OVERLOADED);
	let_go(c, SHORT);
	atomic_fetch_add(&hands.ahead_ms, STRICT_MS);
	let_one_through(&w);
	let_wait(&w, c, SHORT);
	assert_int_equal(engine_admits(w.g, NULL), 0);
	let_go(c, SHORT);
	world_close(&w);
}

static void a_burst_has_a_limit_too(void **state)
{
	struct world w;
	struct change *c[2];

	open_world(&w);
	let_wait(&w, c, BURST - OWN);
	assert_int_equal(engine_admits(w.g, NULL), 0);
	let_go(c, BURST - OWN);
	let_wait(&w, c, BURST);
	assert_int_equal(engine_admits(w.g, NULL), ERR_OVERLOADED);
	let_go(c, BURST);
	world_close(&w);
}

static void an_upload_that_is_refused_leaves_nothing_and_is_told_a_little_later(void **state)
{
	static char data[100000];
	struct world w;
	struct change *c[2];
	struct upload u;
	struct intake *in;
	struct intake_spec spec = PUBLIC_SPEC;
	struct catalog_stats st;

	open_world(&w);
	let_wait(&w, c, SHORT);
	atomic_fetch_add(&hands.ahead_ms, STANDING_MS);
	/* large: at once, before its bytes have come */
	upload_bytes(&w, &spec, data, sizeof(data), 40000, &u);
	assert_int_equal(u.code, ERR_OVERLOADED);
	/* small: at the end, and not before the clock moves */
	upload_init(&u);
	spec.idempotency_key = STR("k");
	assert_int_equal(intake_open(w.g, &spec, &in, &u.err), 0);
	assert_int_equal(upload_feed(in, &u, data, 100, &u.err), 0);
	upload_begin_end(in, &u);
	assert_false(upload_ended(&u));
	atomic_fetch_add(&hands.ahead_ms, 1000);
	upload_wait(&u);
	assert_int_equal(u.code, ERR_OVERLOADED);
	assert_in_range(u.err.retry_after_s, 1, 3);
	let_go(c, SHORT);
	/* the same again, with the same key */
	upload_bytes(&w, &spec, data, 100, 100, &u);
	assert_int_equal(u.code, 0);
	assert_false(u.replayed);
	assert_int_equal(catalog_stats(w.catalog, 0, &st, NULL), 0);
	assert_int_equal(st.files, 1);
	assert_int_equal(count_blobs(&w), 0);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_burst_is_let_in_a_standing_queue_is_not),
		cmocka_unit_test(a_queue_that_is_short_refuses_nobody_however_long_it_stands),
		cmocka_unit_test(after_a_refusal_no_burst_is_let_in_for_a_while),
		cmocka_unit_test(a_burst_has_a_limit_too),
		cmocka_unit_test(an_upload_that_is_refused_leaves_nothing_and_is_told_a_little_later),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
