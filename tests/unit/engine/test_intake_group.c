/* Uploads that are stored together or not at all. */
#include "base/buf.h"
#include "blobs/blobs.h"
#include "engine/engine_impl.h"
#include "world.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIZES 4
static const size_t sizes[SIZES] = {10, 300000, 0, 70000};

/* What the group's callback was told. */
struct told {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
	int code;
	struct uuid ids[SIZES];
	size_t n;
};

static void on_done(void *arg, const struct intake_group_result *result)
{
	struct told *t = arg;

	pthread_mutex_lock(&t->lock);
	t->code = result->code;
	t->n = result->n;
	for (size_t i = 0; i < result->n && i < SIZES; i++)
		t->ids[i] = result->files[i]->id;
	t->done = true;
	pthread_cond_signal(&t->cond);
	pthread_mutex_unlock(&t->lock);
}

static void wait_told(struct told *t)
{
	pthread_mutex_lock(&t->lock);
	while (!t->done)
		pthread_cond_wait(&t->cond, &t->lock);
	pthread_mutex_unlock(&t->lock);
}

/* One file of the group; where its intake wants a pause the rest is its last bytes. False: it was refused before its end. */
static bool add(struct world *w, struct intake_group *x, const struct intake_spec *spec, const char *data, size_t n)
{
	struct intake *in;
	struct err e = ERR_INIT;
	enum intake_step step = INTAKE_MORE;
	size_t at = 0;

	if (intake_group_check(x, &e) != 0 || intake_open(w->g, spec, &in, &e) != 0)
		return false;
	while (at < n && step == INTAKE_MORE) {
		size_t piece = n - at < 9000 ? n - at : 9000;
		step = intake_feed(in, data + at, piece, &e);
		at += piece;
	}
	if (step == INTAKE_FAILED || (step == INTAKE_WAIT && at < n && intake_feed_rest(in, data + at, n - at, &e) != 0)) {
		intake_cancel(in);
		return false;
	}
	intake_group_add(x, in);
	return true;
}

/* All files, and the end; the group's code. */
static int store(struct world *w, const struct intake_spec *spec, const char *data, struct told *t)
{
	struct intake_group *x;
	struct err e = ERR_INIT;
	bool good = true;

	*t = (struct told){.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
	assert_int_equal(intake_group_new(&x, w->g, &e), 0);
	for (size_t i = 0; i < SIZES && good; i++)
		good = add(w, x, spec, data, sizes[i]);
	if (!good) {
		intake_group_cancel(x);
		return ERR_CANCELLED;
	}
	intake_group_finish(x, on_done, t);
	wait_told(t);
	return t->code;
}

static uint64_t files_stored(struct world *w)
{
	struct catalog_stats st;

	assert_int_equal(catalog_stats(w->catalog, 0, &st, NULL), 0);
	return st.files;
}

static void assert_readable(struct world *w, struct uuid id, const char *data, size_t n)
{
	struct arena a = ARENA_INIT;
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct err e = ERR_INIT;
	struct file f = read_file(w, id, &a);
	int fd = -1;

	assert_int_equal(f.size, n);
	assert_int_equal(open_content(w, &f, &fd, &b, &e), 0);
	if (fd >= 0) {
		char *is = malloc(n);
		assert_int_equal(pread(fd, is, n, 0), (ssize_t)n);
		assert_memory_equal(is, data, n);
		free(is);
		close(fd);
	} else if (n > 0) {
		assert_memory_equal(b.p, data, n);
	}
	arena_release(&a);
}

static char *some_bytes(void)
{
	char *data = malloc(300000);

	assert_non_null(data);
	fill_random(data, 300000);
	return data;
}

static void files_large_and_small_are_stored_in_their_order(void **state)
{
	struct world w = {};
	struct told t;
	char *data = some_bytes();

	world_open(&w, NULL);
	assert_int_equal(store(&w, &PUBLIC_SPEC, data, &t), 0);
	assert_int_equal(t.n, SIZES);
	assert_int_equal(files_stored(&w), SIZES);
	for (size_t i = 0; i < SIZES; i++)
		assert_readable(&w, t.ids[i], data, sizes[i]);
	world_close(&w);
	free(data);
}

static void where_one_is_not_as_it_must_be_none_is_kept(void **state)
{
	struct world w = {};
	struct told t;
	struct intake_spec spec = PUBLIC_SPEC;
	char *data = some_bytes();

	spec.size_max = 300000; /* the others are too short: told at each one's end */
	spec.size_exact = true;
	world_open(&w, NULL);
	assert_true(store(&w, &spec, data, &t) != 0);
	assert_int_equal(files_stored(&w), 0);
	world_stop(&w);
	assert_int_equal(count_blobs(&w), 0);
	world_free(&w);
	free(data);
}

static void a_group_that_is_given_up_leaves_nothing(void **state)
{
	char *data = some_bytes();

	for (size_t n = 0; n <= SIZES; n++) {
		struct world w = {};
		struct intake_group *x;
		struct err e = ERR_INIT;

		world_open(&w, NULL);
		assert_int_equal(intake_group_new(&x, w.g, &e), 0);
		for (size_t i = 0; i < n; i++)
			assert_true(add(&w, x, &PUBLIC_SPEC, data, sizes[i]));
		intake_group_cancel(x);
		assert_int_equal(files_stored(&w), 0);
		world_stop(&w);
		assert_int_equal(count_blobs(&w), 0);
		world_free(&w);
	}
	free(data);
}

static void a_group_without_a_file_is_refused(void **state)
{
	struct world w = {};
	struct told t = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
	struct intake_group *x;
	struct err e = ERR_INIT;

	world_open(&w, NULL);
	assert_int_equal(intake_group_new(&x, w.g, &e), 0);
	intake_group_finish(x, on_done, &t);
	wait_told(&t);
	assert_int_equal(t.code, ERR_FILE_MISSING);
	world_close(&w);
}

/* Every store call fails in turn: all files are there and can be read, or none is. */
static void a_failing_store_call_leaves_all_or_nothing(void **state)
{
	char *data = some_bytes();
	unsigned faults = 0;
	bool hit = true;

	for (unsigned n = 1; hit; n++) {
		struct world w = {.plan = {.fail_at = 0}};
		struct upload u;
		struct told t;

		world_open(&w, NULL);
		/* the start sweep makes calls of its own: begin to count behind it */
		upload_bytes(&w, &PUBLIC_SPEC, "x", 1, 1, &u);
		unsigned before = w.plan.calls;
		w.plan.code = ERR_IO;
		w.plan.fail_at = before + n;
		int rc = store(&w, &PUBLIC_SPEC, data, &t);
		hit = w.plan.calls >= before + n;
		w.plan.fail_at = 0;
		for (size_t i = 0; rc == 0 && i < SIZES; i++)
			assert_readable(&w, t.ids[i], data, sizes[i]);
		if (rc != ERR_CANCELLED)
			assert_int_equal(files_stored(&w), rc == 0 ? 1 + SIZES : 1);
		faults += rc != 0;
		world_close(&w);
	}
	assert_true(faults >= 4);
	free(data);
}

static unsigned under_way(struct world *w)
{
	struct uploads *u = &w->g->uploads;

	pthread_mutex_lock(&u->lock);
	unsigned n = u->n_big;
	pthread_mutex_unlock(&u->lock);
	return n;
}

/* Else a form could take the places of as many others as it has files, for as long as it pleases its sender. */
static void those_whose_bytes_are_safe_make_room_for_others(void **state)
{
	struct world w = {};
	struct told t = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
	struct engine_config config = world_config();
	struct intake_group *x;
	struct upload other;
	struct err e = ERR_INIT;
	char *data = some_bytes();

	config.uploads_max = 1;
	world_open(&w, &config);
	assert_int_equal(intake_group_new(&x, w.g, &e), 0);
	for (size_t i = 0; i < 3; i++) {
		assert_true(add(&w, x, &PUBLIC_SPEC, data, 300000));
		while (under_way(&w) > 0)
			sched_yield();
	}
	upload_bytes(&w, &PUBLIC_SPEC, data, 300000, 9000, &other);
	assert_int_equal(other.code, 0);
	assert_int_equal(count_blobs(&w), 4);
	assert_int_equal(files_stored(&w), 1);
	intake_group_finish(x, on_done, &t);
	wait_told(&t);
	assert_int_equal(t.code, 0);
	assert_int_equal(files_stored(&w), 4);
	assert_int_equal(under_way(&w), 0);
	world_close(&w);
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_large_and_small_are_stored_in_their_order),
		cmocka_unit_test(where_one_is_not_as_it_must_be_none_is_kept),
		cmocka_unit_test(a_group_that_is_given_up_leaves_nothing),
		cmocka_unit_test(a_group_without_a_file_is_refused),
		cmocka_unit_test(those_whose_bytes_are_safe_make_room_for_others),
		cmocka_unit_test(a_failing_store_call_leaves_all_or_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
