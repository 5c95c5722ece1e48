/* A store on S3 that is told to wait no more, while its service says nothing or nothing good: whoever waits comes back at once with the reason, and so does who comes later. */
#include "bucket.h"
#include "contract.h"

#include "blobs/s3/write_impl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* The three above first: cmocka.h needs them. */
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define SMALL "public/00/small"
#define LARGE "public/01/large"
#define PART ((size_t)64 << 10)
#define LARGE_BYTES (3 * PART)
#define FOR_EVER_S 3600 /* longer than the test may take: nothing but the interruption ends a wait */

struct world {
	struct place place;
	struct bucket *bucket;
	struct blobs *blobs;
	int (*work)(struct world *w);
	int code; /* of the work */
};

static struct world *world_new(uint64_t memory_max)
{
	static const struct bucket_options powers = {.put_if_none_match = true};
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	place_make(&w->place);
	w->bucket = bucket_start(&powers);
	const struct s3_options o = {.endpoint = bucket_endpoint(w->bucket),
				     .bucket = "bucket",
				     .access_key = "key",
				     .secret_key = "secret",
				     .pause_ms = (int64_t)FOR_EVER_S * 1000,
				     .patience_ms = (int64_t)FOR_EVER_S * 4000,
				     .stall_s = FOR_EVER_S,
				     .memory_max = memory_max,
				     .spool_fd = w->place.fd};
	assert_int_equal(blobs_s3_new(&w->blobs, &o, NULL), 0);
	s3_of(w->blobs)->part_bytes = PART;
	assert_int_equal(put_blob(w->blobs, SMALL, 1000, 1, 1000, NULL), 0);
	return w;
}

static void world_free(struct world *w)
{
	blobs_free(w->blobs);
	bucket_stop(w->bucket);
	place_remove(&w->place);
	free(w);
}

static int work_write_small(struct world *w)
{
	return put_blob(w->blobs, "public/02/other", 1000, 1, 1000, NULL);
}

static int work_write_large(struct world *w)
{
	return put_blob(w->blobs, LARGE, LARGE_BYTES, 2, 30000, NULL);
}

static int work_write_much(struct world *w)
{
	return put_blob(w->blobs, LARGE, (size_t)1 << 20, 2, 30000, NULL);
}

static int work_open(struct world *w)
{
	uint64_t size;
	int fd;

	return blob_open(w->blobs, STR(SMALL), &fd, &size, NULL);
}

static int work_remove(struct world *w)
{
	return blob_remove(w->blobs, STR(SMALL), NULL);
}

static int pass_by(void *arg, struct str name, uint64_t size)
{
	(void)arg;
	(void)name;
	(void)size;
	return 0;
}

static int work_visit(struct world *w)
{
	return blobs_visit(w->blobs, pass_by, NULL, NULL);
}

static int work_probe(struct world *w)
{
	return blobs_probe(w->blobs, NULL);
}

static void *run(void *arg)
{
	struct world *w = arg;

	w->code = w->work(w);
	return NULL;
}

static void let_others_run(void)
{
	const struct timespec a_moment = {.tv_nsec = 1000000};

	nanosleep(&a_moment, NULL);
}

/* n: of the work's requests the one that is the first to fail. */
static void interrupt_at(int (*work)(struct world *w), unsigned n, enum bucket_fault fault)
{
	struct world *w = world_new(0);
	pthread_t thread;

	w->work = work;
	bucket_fail(w->bucket, n, fault, true);
	assert_int_equal(pthread_create(&thread, NULL, run, w), 0);
	while (!bucket_failed(w->bucket))
		let_others_run();
	blobs_interrupt(w->blobs);
	pthread_join(thread, NULL);
	assert_int_equal(w->code, ERR_SHUTTING_DOWN);
	assert_int_equal(work(w), ERR_SHUTTING_DOWN);
	world_free(w);
}

static int (*const works[])(struct world *w) = {work_write_small, work_write_large, work_open, work_remove, work_visit, work_probe};

static void nobody_waits_for_a_service_that_stands_still(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(works) / sizeof(works[0]); i++)
		interrupt_at(works[i], 1, FAULT_STALL);
	interrupt_at(work_write_large, 2, FAULT_STALL); /* a part */
	interrupt_at(work_write_large, 4, FAULT_STALL); /* they are put together, or the last of them */
}

static void nobody_waits_to_try_again(void **state)
{
	(void)state;
	/* A probe is not tried again. */
	for (size_t i = 0; works[i] != work_probe; i++)
		interrupt_at(works[i], 1, FAULT_500);
	interrupt_at(work_write_large, 2, FAULT_500);
}

static void nobody_waits_for_memory(void **state)
{
	(void)state;
	struct world *w = world_new(PART);
	struct s3 *s = s3_of(w->blobs);
	pthread_t thread;

	pthread_mutex_lock(&s->lock);
	s3_drop_spares(s, 0); /* they have the size that parts had */
	s->memory = PART; /* others have all of it */
	s->reserve = (const struct s3_part *)w;
	pthread_mutex_unlock(&s->lock);
	s->part_bytes = (uint64_t)1 << 20; /* what a part grows beyond its first piece is counted */
	w->work = work_write_much;
	assert_int_equal(pthread_create(&thread, NULL, run, w), 0);
	blobs_interrupt(w->blobs);
	pthread_join(thread, NULL);
	assert_int_equal(w->code, ERR_SHUTTING_DOWN);
	s->memory = 0;
	s->reserve = NULL;
	world_free(w);
}

static void what_is_given_up_then_is_told_to_a_service_that_listens(void **state)
{
	(void)state;
	static const char bytes[PART + 1];
	struct world *w = world_new(0);
	struct blob_writer *writer;

	assert_int_equal(blob_create(w->blobs, STR(LARGE), 0, &writer, NULL), 0);
	assert_int_equal(blob_append(writer, bytes, sizeof(bytes), NULL), 0);
	assert_int_equal(bucket_uploads(w->bucket), 1);
	blobs_interrupt(w->blobs);
	blob_abandon(writer);
	while (bucket_uploads(w->bucket) > 0)
		let_others_run();
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_waits_for_a_service_that_stands_still),
		cmocka_unit_test(nobody_waits_to_try_again),
		cmocka_unit_test(nobody_waits_for_memory),
		cmocka_unit_test(what_is_given_up_then_is_told_to_a_service_that_listens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
