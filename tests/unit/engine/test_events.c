/* The ring of events, and readers of an engine. */
#include "engine/engine_impl.h"
#include "engine/event_ring.h"
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIFE 1234
#define OWNER STR(OWNER_PUBLIC)

/* ---- the ring ---- */

static void put(struct event_ring *r, const char *owner, struct uuid file, const char *data)
{
	struct event *e = event_new(r, LIFE, "file.stored", str_of(owner), file, str_of(data));

	assert_non_null(e);
	event_ring_put(r, e);
}

static uint64_t found(struct event_ring *r, uint64_t *seq, const char *owner, struct uuid file)
{
	struct event *e = event_ring_find(r, seq, str_of(owner), file);
	uint64_t n = e != NULL ? e->seq : 0;

	event_unref(e);
	return n;
}

static void an_event_is_rendered_as_the_standard_has_it(void **state)
{
	struct event_ring r;

	assert_true(event_ring_init(&r, 4, 1000));
	struct event *e = event_new(&r, LIFE, "job.failed", OWNER, (struct uuid){}, STR("{\"a\":\r\n1}"));
	static const char text[] = "id: 1234-1\nevent: job.failed\ndata: {\"a\":  1}\n\n";
	assert_int_equal(e->n_text, strlen(text));
	assert_memory_equal(e->text, text, strlen(text));
	event_unref(e);
	event_ring_release(&r);
}

static void the_ring_keeps_the_newest_by_number_and_by_bytes(void **state)
{
	struct uuid none = {};
	struct event_ring r;

	assert_true(event_ring_init(&r, 4, 1000));
	for (int i = 0; i < 10; i++)
		put(&r, "public", none, "{}");
	assert_int_equal(r.first, 7);
	assert_int_equal(r.next, 11);
	char *large = calloc(1, 931);
	memset(large, 'x', 930);
	put(&r, "public", none, large);
	assert_int_equal(r.first, 11);
	assert_true(r.bytes <= 1000);
	free(large);
	event_ring_release(&r);
}

static void only_ones_own_events_are_found(void **state)
{
	struct uuid none = {}, file = {.b = {1}};
	struct event_ring r;
	uint64_t seq = 1;

	assert_true(event_ring_init(&r, 8, 1000));
	put(&r, "ann", none, "{}");
	put(&r, "bob", file, "{}");
	put(&r, "ann", file, "{}");
	assert_int_equal(found(&r, &seq, "ann", none), 1);
	assert_int_equal(found(&r, &seq, "ann", none), 3);
	assert_int_equal(found(&r, &seq, "ann", none), 0);
	assert_int_equal(seq, 4);
	seq = 1;
	assert_int_equal(found(&r, &seq, "ann", file), 3);
	seq = 1;
	assert_int_equal(found(&r, &seq, "an", none), 0);
	event_ring_release(&r);
}

static void who_was_not_away_too_long_resumes(void **state)
{
	struct uuid none = {};
	struct event_ring r;
	uint64_t seq = 0;

	assert_true(event_ring_init(&r, 4, 1000));
	assert_true(event_ring_resume(&r, LIFE, STR("1234-0"), &seq));
	assert_int_equal(seq, 1);
	for (int i = 0; i < 10; i++)
		put(&r, "public", none, "{}");
	for (unsigned i = 0; i < 12; i++) {
		char id[32];
		snprintf(id, sizeof(id), "1234-%u", i);
		bool can = i >= 6 && i <= 10;
		assert_int_equal(event_ring_resume(&r, LIFE, str_of(id), &seq), can);
		if (can)
			assert_int_equal(seq, i + 1);
	}
	static const char *const bad[] = {"", "-", "1234", "1234-", "-7", "1235-7", "1234-7 ", "1234-18446744073709551615", "1234--7"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(event_ring_resume(&r, LIFE, str_of(bad[i]), &seq));
	event_ring_forget(&r);
	assert_false(event_ring_resume(&r, LIFE, STR("1234-10"), &seq));
	event_ring_release(&r);
}

/* ---- readers ---- */

struct reader {
	struct engine_reader x;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool woken;
};

static void wake(struct engine_reader *x)
{
	struct reader *r = CONTAINER_OF(x, struct reader, x);

	pthread_mutex_lock(&r->lock);
	r->woken = true;
	pthread_cond_signal(&r->cond);
	pthread_mutex_unlock(&r->lock);
}

static void join(struct world *w, struct reader *r, const char *last)
{
	struct err e = ERR_INIT;

	*r = (struct reader){.x = {.owner = OWNER, .wake = wake}, .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
	assert_int_equal(engine_events_join(w->g, &r->x, last != NULL ? str_of(last) : (struct str){}, &e), 0);
}

/* Reads, in pieces of `piece` bytes, until the text holds `until`; false: the stream ended before. */
static bool read_until(struct world *w, struct reader *r, struct buf *text, const char *until, size_t piece)
{
	char p[4096];

	while (text->p == NULL || strstr(text->p, until) == NULL) {
		ssize_t n = engine_events_read(w->g, &r->x, p, piece);
		if (n < 0)
			return false;
		buf_add(text, p, (size_t)n);
		if (n > 0)
			continue;
		pthread_mutex_lock(&r->lock);
		while (!r->woken)
			pthread_cond_wait(&r->cond, &r->lock);
		r->woken = false;
		pthread_mutex_unlock(&r->lock);
	}
	return true;
}

static struct engine_config config(uint32_t ring)
{
	struct engine_config c = world_config();

	c.events_readers = 2;
	c.events_heartbeat_ms = 3600000;
	c.events_ring = ring;
	return c;
}

static void what_is_committed_reaches_a_reader_whatever_the_pieces(void **state)
{
	struct world w = {};
	struct engine_config c = config(0);
	struct upload u;

	for (size_t piece = 1; piece <= 4096; piece *= 8) {
		CLEANUP(buf_release) struct buf text = BUF_INIT;
		struct reader r;
		world_open(&w, &c);
		join(&w, &r, NULL);
		upload_bytes(&w, &PUBLIC_SPEC, "hello", 5, 5, &u);
		assert_true(read_until(&w, &r, &text, "-2\nevent: job.succeeded\ndata: {\"id\":", piece));
		assert_true(strstr(text.p, "-1\nevent: file.stored\ndata: {\"id\":") != NULL);
		engine_events_leave(w.g, &r.x);
		world_close(&w);
	}
}

static void who_falls_out_of_the_ring_is_dropped_and_then_reset(void **state)
{
	CLEANUP(buf_release) struct buf slow_text = BUF_INIT, quick_text = BUF_INIT, again_text = BUF_INIT;
	struct engine_config c = config(4);
	struct reader slow, quick, again;
	struct world w = {};
	struct upload u;

	world_open(&w, &c);
	join(&w, &slow, NULL);
	assert_true(read_until(&w, &slow, &slow_text, "-0\n", 4096));
	join(&w, &quick, NULL);
	for (unsigned i = 0; i < 4; i++) {
		char last[48];
		upload_bytes(&w, &PUBLIC_SPEC, "hello", 5, 5, &u);
		snprintf(last, sizeof(last), "-%u\nevent: job.succeeded", 2 * i + 2);
		assert_true(read_until(&w, &quick, &quick_text, last, 4096));
	}
	assert_true(read_until(&w, &slow, &slow_text, "event: dropped\ndata: {}\n\n", 4096));
	assert_false(read_until(&w, &slow, &slow_text, "anything more", 4096));
	engine_events_leave(w.g, &slow.x);
	join(&w, &again, "1-1");
	assert_true(read_until(&w, &again, &again_text, "-8\nevent: reset\ndata: {}\n\n", 4096));
	engine_events_leave(w.g, &again.x);
	engine_events_leave(w.g, &quick.x);
	world_close(&w);
}

static void there_are_no_more_readers_than_allowed(void **state)
{
	struct engine_config c = config(0);
	struct engine_reader third = {.owner = OWNER, .wake = wake};
	struct err e = ERR_INIT;
	struct reader a, b;
	struct world w = {};

	world_open(&w, &c);
	join(&w, &a, NULL);
	join(&w, &b, NULL);
	assert_int_equal(engine_events_join(w.g, &third, (struct str){}, &e), ERR_OVERLOADED);
	assert_true(e.retry_after_s > 0);
	engine_events_leave(w.g, &a.x);
	assert_int_equal(engine_events_join(w.g, &third, (struct str){}, &e), 0);
	engine_events_leave(w.g, &third);
	engine_events_leave(w.g, &b.x);
	world_close(&w);
}

static void a_silent_reader_gets_heartbeats(void **state)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT;
	struct engine_config c = config(0);
	struct world w = {};
	struct reader r;

	c.events_heartbeat_ms = 5;
	world_open(&w, &c);
	join(&w, &r, NULL);
	for (int i = 0; i < 3; i++) {
		buf_reset(&text);
		assert_true(read_until(&w, &r, &text, ": heartbeat\nid: ", 4096));
	}
	engine_events_leave(w.g, &r.x);
	world_close(&w);
}

static void *quiesce(void *arg)
{
	engine_quiesce(arg);
	return NULL;
}

static void a_stop_ends_every_stream_and_lets_nobody_in(void **state)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT;
	struct engine_config c = config(0);
	struct engine_reader late = {.owner = OWNER, .wake = wake};
	struct err e = ERR_INIT;
	struct world w = {};
	struct reader r;
	pthread_t thread;

	world_open(&w, &c);
	join(&w, &r, NULL);
	assert_true(read_until(&w, &r, &text, "-0\n", 4096));
	assert_int_equal(pthread_create(&thread, NULL, quiesce, w.g), 0);
	assert_false(read_until(&w, &r, &text, "anything more", 4096));
	pthread_join(thread, NULL);
	assert_int_equal(engine_events_join(w.g, &late, (struct str){}, &e), ERR_SHUTTING_DOWN);
	engine_events_leave(w.g, &r.x);
	world_close(&w);
}

/* ---- progress ---- */

/* Nobody takes the notices away here, as when the thread that tells them comes to nothing. */
static void progress_that_finds_no_room_is_no_gap(void **state)
{
	struct engine *g = calloc(1, sizeof(*g));
	struct work *w = calloc(1, sizeof(*w) + sizeof(struct work_job));
	struct claimed c = {.owner = OWNER, .job = {.op = STR("sha256"), .state = JOB_RUNNING, .params = STR("{}")}};
	struct err e = ERR_INIT;

	g->env = &env_real;
	assert_int_equal(events_init(g, &e), 0);
	atomic_store(&g->events.awake, true);
	w->g = g;
	w->n = 1;
	w->jobs[0].claimed = &c;
	w->jobs[0].told_ms = w->jobs[0].told = -PROGRESS_JOB_MS;
	g->events.progress_ms = -PROGRESS_ALL_MS;
	g->events.notices_bytes = SIZE_MAX / 2;
	events_tell_progress(w);
	assert_int_equal(w->jobs[0].told, 0);
	assert_null(g->events.notices);
	assert_false(g->events.lost);

	g->events.notices_bytes = 0;
	atomic_store(&w->jobs[0].progress, 5);
	w->jobs[0].told_ms = -PROGRESS_JOB_MS;
	g->events.progress_ms = -PROGRESS_ALL_MS;
	events_tell_progress(w);
	assert_non_null(g->events.notices);
	events_release(g);
	free(w);
	free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_event_is_rendered_as_the_standard_has_it),
		cmocka_unit_test(the_ring_keeps_the_newest_by_number_and_by_bytes),
		cmocka_unit_test(only_ones_own_events_are_found),
		cmocka_unit_test(who_was_not_away_too_long_resumes),
		cmocka_unit_test(what_is_committed_reaches_a_reader_whatever_the_pieces),
		cmocka_unit_test(who_falls_out_of_the_ring_is_dropped_and_then_reset),
		cmocka_unit_test(there_are_no_more_readers_than_allowed),
		cmocka_unit_test(progress_that_finds_no_room_is_no_gap),
		cmocka_unit_test(a_silent_reader_gets_heartbeats),
		cmocka_unit_test(a_stop_ends_every_stream_and_lets_nobody_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
