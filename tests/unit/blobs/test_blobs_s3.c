/* The store on S3 against a server that fails every request in turn, in every way it knows. What holds: what was acknowledged is there with its bytes, what is
 * there is no other's, and what was begun is given up. Real services: tests/blackbox/test_blobs_s3.py. */
#include "bucket.h"
#include "contract.h"

#include "base/fd.h"
#include "blobs/s3/write_impl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* The three above first: cmocka.h needs them. */
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PREFIX "a b+\xc3\xbc/"
#define SMALL "public/00/small"
#define LARGE "public/01/large"
#define COPY "public/02/copy"
#define PART ((size_t)64 << 10) /* smaller than services take: the requests matter, not the bytes */
#define LARGE_BYTES (2 * PART + 12345) /* three parts */

static const struct bucket_options all_powers = {.checksums = true, .put_if_none_match = true, .complete_if_none_match = true};
static const struct bucket_options no_powers = {};
static const struct bucket_options as_ceph = {.put_if_none_match = true, .looks = true};
static const struct bucket_options blind = {.put_if_none_match = true};
static const struct bucket_options encrypted = {.checksums = true, .put_if_none_match = true, .encrypted = true};
static const struct bucket_options encrypted_looks = {.put_if_none_match = true, .encrypted = true, .looks = true};
static const struct bucket_options opaque = {.checksums = true, .put_if_none_match = true, .opaque_etags = true};

static unsigned step = 1; /* of the requests every so many-th is failed; each kind of failure begins at another */

struct world {
	struct place place;
	struct bucket *bucket;
	struct blobs *blobs;
};

static struct blobs *open_store(const struct bucket *b, int spool_fd, const struct s3_options *more)
{
	struct s3_options o = {.endpoint = bucket_endpoint(b),
			       .bucket = "bucket",
			       .prefix = PREFIX,
			       .access_key = "key",
			       .secret_key = "secret",
			       .pause_ms = 1,
			       .stale_ms = 1,
			       .spool_fd = spool_fd};
	struct blobs *blobs = NULL;

	if (more) {
		o.memory_max = more->memory_max;
		o.patience_ms = more->patience_ms;
		o.stall_s = more->stall_s;
		o.stale_ms = more->stale_ms ? more->stale_ms : o.stale_ms;
	}
	assert_int_equal(blobs_s3_new(&blobs, &o, NULL), 0);
	s3_of(blobs)->part_bytes = PART;
	return blobs;
}

static struct world *world_new(const struct bucket_options *o, const struct s3_options *more)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	place_make(&w->place);
	w->bucket = bucket_start(o);
	w->blobs = open_store(w->bucket, w->place.fd, more);
	return w;
}

static void world_free(struct world *w)
{
	blobs_free(w->blobs);
	bucket_stop(w->bucket);
	place_remove(&w->place);
	free(w);
}

/* ---- a course of all kinds of requests ---- */

struct course {
	int put_small, put_large, open_small, open_large, copy, remove, visit;
	unsigned seen;
	char small[1000], large[LARGE_BYTES];
};

static int count_it(void *arg, struct str name, uint64_t size)
{
	++*(unsigned *)arg;
	return 0;
}

static enum blob_claim nobody_knows(void *arg, struct str name)
{
	return BLOB_CLAIM_UNKNOWN;
}

/* As the sweep does. */
static int sweep(struct blobs *b, unsigned *seen)
{
	int rc = blobs_give_up(b, nobody_knows, NULL, NULL);

	return rc == 0 ? blobs_visit(b, count_it, seen, NULL) : rc;
}

/* Whatever happened, what is read is what was written. */
static int open_it(struct world *w, const char *name, const char *want, size_t n)
{
	CLEANUP(fd_close) int fd = -1;
	CLEANUP(free_ptr) char *got = malloc(n + 1);
	uint64_t size;
	int rc = blob_open(w->blobs, str_of(name), &fd, &size, NULL);

	assert_non_null(got);
	if (rc == 0) {
		assert_int_equal(size, n);
		assert_int_equal(fd_pread_full(fd, got, n + 1, 0), n);
		assert_memory_equal(got, want, n);
	}
	return rc;
}

/* Of the small one. */
static int copy_it(struct world *w, const struct course *c)
{
	struct blob_origin from = {};
	struct blob_reader *r = NULL;
	struct blob_writer *writer;
	uint64_t size;
	int rc = blob_read_open(w->blobs, STR(SMALL), 0, UINT64_MAX, &r, &size, NULL);

	if (rc != 0)
		return rc;
	assert_true(blob_read_origin(r, &from));
	blob_read_close(r);
	rc = blob_create_copy(w->blobs, STR(COPY), &from, &writer, NULL);
	if (rc != 0)
		return rc;
	assert_int_equal(blob_append(writer, c->small, sizeof(c->small), NULL), 0);
	return blob_commit(writer, NULL);
}

/* What is acknowledged is there as it was sent. */
static void run(struct course *c, struct world *w)
{
	fill_pattern(c->small, sizeof(c->small), 1);
	fill_pattern(c->large, sizeof(c->large), 2);
	c->seen = 0;
	c->put_small = put_blob(w->blobs, SMALL, sizeof(c->small), 1, 1000, NULL);
	if (c->put_small == 0)
		assert_true(bucket_holds(w->bucket, PREFIX SMALL, c->small, sizeof(c->small)));
	c->put_large = put_blob(w->blobs, LARGE, sizeof(c->large), 2, 30000, NULL);
	if (c->put_large == 0)
		assert_true(bucket_holds(w->bucket, PREFIX LARGE, c->large, sizeof(c->large)));
	c->open_small = open_it(w, SMALL, c->small, sizeof(c->small));
	c->open_large = open_it(w, LARGE, c->large, sizeof(c->large));
	c->copy = copy_it(w, c);
	if (c->copy == 0)
		assert_true(bucket_holds(w->bucket, PREFIX COPY, c->small, sizeof(c->small)));
	c->visit = sweep(w->blobs, &c->seen);
	c->remove = blob_remove(w->blobs, STR(SMALL), NULL);
	if (c->remove == 0)
		assert_false(bucket_holds(w->bucket, PREFIX SMALL, c->small, sizeof(c->small)));
}

/* The sweep: old uploads are given up, and what nobody refers to is removed. */
static void check_nothing_stays(struct world *w)
{
	unsigned seen = 0;

	bucket_fail(w->bucket, 0, FAULT_500, false);
	assert_int_equal(sweep(w->blobs, &seen), 0);
	assert_int_equal(bucket_uploads(w->bucket), 0);
	assert_int_equal(blob_remove(w->blobs, STR(LARGE), NULL), 0);
	assert_int_equal(blob_remove(w->blobs, STR(SMALL), NULL), 0);
	assert_int_equal(blob_remove(w->blobs, STR(COPY), NULL), 0);
	/* What a trial that failed left is a probe's. */
	if (bucket_objects(w->bucket) > 0)
		assert_int_equal(bucket_objects(w->bucket), 1);
}

static void fail_each_request(const struct bucket_options *o, enum bucket_fault fault, bool passes)
{
	const struct s3_options quick = {.stall_s = 1};
	struct course c;
	bool failed = true;

	for (unsigned n = 1 + (unsigned)fault % step; failed; n += step) {
		struct world *w = world_new(o, &quick);

		bucket_fail(w->bucket, n, fault, false);
		run(&c, w);
		failed = bucket_failed(w->bucket);
		if (passes && (c.put_small | c.put_large | c.open_small | c.open_large | c.copy | c.visit | c.remove) != 0)
			fail_msg("fault %d at request %u: %d %d %d %d %d %d %d", (int)fault, n, c.put_small, c.put_large, c.open_small,
				 c.open_large, c.copy, c.visit, c.remove);
		if (passes)
			assert_int_equal(c.seen, 3);
		check_nothing_stays(w);
		world_free(w);
	}
}

static void whatever_request_fails_once_all_goes_well(void **state)
{
	static const enum bucket_fault faults[] = {FAULT_500,  FAULT_SLOW_DOWN, FAULT_CLOSE_BEFORE, FAULT_CLOSE_EARLY,
						   FAULT_SKEW, FAULT_GARBAGE,   FAULT_CLOSE_AFTER,  FAULT_500_AFTER,
						   FAULT_HALF, FAULT_LATE_ERROR};

	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		fail_each_request(&all_powers, faults[i], true);
		fail_each_request(&as_ceph, faults[i], true);
	}
}

static void bytes_that_are_damaged_on_their_way_are_sent_again(void **state)
{
	fail_each_request(&all_powers, FAULT_DAMAGE, true);
	fail_each_request(&as_ceph, FAULT_DAMAGE, true);
	fail_each_request(&blind, FAULT_DAMAGE, true);
	fail_each_request(&no_powers, FAULT_DAMAGE, true);
}

static void what_is_refused_for_good_is_not_acknowledged(void **state)
{
	fail_each_request(&all_powers, FAULT_DENIED, false);
	fail_each_request(&no_powers, FAULT_DENIED, false);
}

/* What takes seconds because libcurl's notion of standing still does. */
static void only_on_demand(void)
{
	const char *all = getenv("FILEMILL_FAULTS");

	if (!all || strcmp(all, "all") != 0)
		skip();
}

static void a_request_that_stands_still_is_sent_again(void **state)
{
	const struct s3_options quick = {.stall_s = 1};

	only_on_demand();
	struct world *w = world_new(&all_powers, &quick);

	assert_int_equal(put_blob(w->blobs, SMALL, 10, 1, 10, NULL), 0);
	bucket_fail(w->bucket, 2, FAULT_STALL, false); /* the first part */
	assert_int_equal(put_blob(w->blobs, LARGE, LARGE_BYTES, 2, 30000, NULL), 0);
	assert_true(bucket_failed(w->bucket));
	assert_true(holds_blob(w->blobs, LARGE, LARGE_BYTES, 2));
	world_free(w);
}

/* For good: only who takes the service's time gets an answer. */
static void a_clock_that_differs_is_taken_from_the_service(void **state)
{
	struct world *w = world_new(&as_ceph, NULL);
	struct course c;

	bucket_fail(w->bucket, 1, FAULT_SKEW, true);
	run(&c, w);
	assert_int_equal(c.put_small | c.put_large | c.open_small | c.open_large | c.visit | c.remove, 0);
	assert_int_equal(bucket_refused(w->bucket), 1); /* once: then it is known */
	world_free(w);
}

/* Of several requests under way when the clocks part each is refused, and only the first finds our clock wrong still. */
static void all_that_were_signed_with_a_wrong_time_are_sent_again(void **state)
{
	struct world *w = world_new(&as_ceph, NULL);
	struct s3_call calls[2];

	for (unsigned i = 0; i < 2; i++) {
		s3_call_init(&calls[i], s3_of(w->blobs));
		calls[i].status = 403;
		calls[i].signed_s = 1000000;
		calls[i].date_s = 1000000 + 3600;
	}
	for (unsigned i = 0; i < 2; i++) {
		bool at_once;

		assert_int_equal(s3_judge(&calls[i], &at_once), S3_AGAIN);
		assert_true(at_once);
		assert_int_equal(s3_of(w->blobs)->skew_s, 3600);
	}
	world_free(w);
}

/* Keys that were changed are no fault of the blob, or jobs that need it would fail for good. A node that is told "no" for another reason does not turn its clock. */
static void what_is_refused_with_the_right_time_leaves_the_clock_alone(void **state)
{
	struct world *w = world_new(&as_ceph, NULL);

	bucket_fail(w->bucket, 1, FAULT_DENIED, true);
	assert_int_equal(put_blob(w->blobs, SMALL, 10, 1, 10, NULL), ERR_STORAGE_UNAVAILABLE);
	assert_int_equal(open_it(w, SMALL, "", 0), ERR_STORAGE_UNAVAILABLE);
	assert_int_equal(s3_of(w->blobs)->skew_s, 0);
	world_free(w);
}

static void to_put_parts_together_may_take_longer_than_other_requests(void **state)
{
	struct bucket_options slow = no_powers; /* whose trial puts nothing together */
	const struct s3_options quick = {.stall_s = 1, .patience_ms = 100};

	only_on_demand();
	slow.slow_complete_ms = 9000; /* libcurl looks at the last five seconds */
	struct world *w = world_new(&slow, &quick);
	assert_int_equal(put_blob(w->blobs, LARGE, LARGE_BYTES, 2, 30000, NULL), 0);
	assert_true(holds_blob(w->blobs, LARGE, LARGE_BYTES, 2));
	world_free(w);
}

/* Where the answer has no ETag the object has one. */
static void other_parts_than_were_sent_are_found_out(void **state)
{
	for (unsigned i = 0; i < 4; i++) {
		const struct bucket_options o = {
			.put_if_none_match = true, .other_parts = true, .empty_etags = i % 2 == 1, .looks = i / 2 == 1};
		struct world *w = world_new(&o, NULL);

		assert_int_equal(put_blob(w->blobs, LARGE, LARGE_BYTES, 2, 30000, NULL), ERR_IO);
		assert_int_equal(bucket_objects(w->bucket), 0);
		world_free(w);
	}
}

/* What the service encrypts with keys of its own has ETags of the same form. */
static void etags_that_only_look_like_digests_are_not_compared(void **state)
{
	struct world *w = world_new(&encrypted, NULL);

	assert_int_equal(put_blob(w->blobs, SMALL, 1000, 1, 1000, NULL), 0);
	assert_int_equal(put_blob(w->blobs, LARGE, LARGE_BYTES, 2, 30000, NULL), 0);
	assert_true(holds_blob(w->blobs, LARGE, LARGE_BYTES, 2));
	world_free(w);
}

/* From some request on the service is gone, in each of these ways. */
static void what_never_came_back_was_not_acknowledged(void **state)
{
	static const enum bucket_fault faults[] = {FAULT_500, FAULT_CLOSE_BEFORE, FAULT_CLOSE_AFTER, FAULT_DENIED, FAULT_DAMAGE};
	const struct s3_options impatient = {.patience_ms = 3};
	struct course c;

	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		bool failed = true;

		for (unsigned n = 1 + (unsigned)i % step; failed; n += step) {
			struct world *w = world_new(&as_ceph, &impatient);

			bucket_fail(w->bucket, n, faults[i], true);
			run(&c, w);
			failed = bucket_failed(w->bucket);
			bucket_fail(w->bucket, 0, FAULT_500, false);
			assert_int_equal(sweep(w->blobs, &c.seen), 0);
			assert_int_equal(bucket_uploads(w->bucket), 0);
			world_free(w);
		}
	}
}

/* ---- others' objects ---- */

static void another_s_object_is_never_written_over(void **state)
{
	static const struct bucket_options *const kinds[] = {&all_powers, &as_ceph, &no_powers, &opaque};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct world *w = world_new(kinds[i], NULL);

		bucket_put(w->bucket, PREFIX SMALL, "theirs");
		bucket_put(w->bucket, PREFIX LARGE, "theirs");
		assert_int_equal(put_blob(w->blobs, SMALL, 1000, 1, 1000, NULL), ERR_CONFLICT);
		assert_int_equal(put_blob(w->blobs, LARGE, LARGE_BYTES, 2, 30000, NULL), ERR_CONFLICT);
		assert_true(bucket_holds(w->bucket, PREFIX SMALL, "theirs", 6));
		assert_true(bucket_holds(w->bucket, PREFIX LARGE, "theirs", 6));
		world_free(w);
	}
}

/* Also by one who does not know whether what is there may be what it sent itself. */
static void nor_removed_by_one_whose_own_requests_failed(void **state)
{
	static const enum bucket_fault faults[] = {FAULT_CLOSE_BEFORE, FAULT_500, FAULT_DENIED};
	const struct s3_options impatient = {.patience_ms = 3};

	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		for (unsigned n = 1; n <= 6; n++) {
			struct world *w = world_new(&as_ceph, &impatient);

			assert_int_equal(put_blob(w->blobs, "public/00/first", 1, 1, 1, NULL), 0); /* the trial is over */
			bucket_put(w->bucket, PREFIX SMALL, "theirs");
			bucket_put(w->bucket, PREFIX LARGE, "theirs");
			bucket_fail(w->bucket, n, faults[i], false);
			assert_true(put_blob(w->blobs, SMALL, 1000, 1, 1000, NULL) < 0);
			assert_true(put_blob(w->blobs, LARGE, LARGE_BYTES, 2, 30000, NULL) < 0);
			assert_true(bucket_holds(w->bucket, PREFIX SMALL, "theirs", 6));
			assert_true(bucket_holds(w->bucket, PREFIX LARGE, "theirs", 6));
			world_free(w);
		}
	}
}

static void what_a_service_can_is_found_out(void **state)
{
	static const struct bucket_options *const kinds[] = {&all_powers, &as_ceph, &blind, &no_powers, &opaque, &encrypted_looks};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct world *w = world_new(kinds[i], NULL);
		struct s3_powers p;

		assert_int_equal(s3_learn(s3_of(w->blobs), &p, NULL), 0);
		assert_int_equal(p.checksums, kinds[i]->checksums);
		assert_int_equal(p.put_if_none_match, kinds[i]->put_if_none_match);
		assert_int_equal(p.complete_if_none_match, kinds[i]->complete_if_none_match);
		assert_int_equal(p.sha256_suffices, kinds[i]->looks && !kinds[i]->encrypted);
		bucket_fail(w->bucket, 0, FAULT_500, false);
		assert_int_equal(s3_learn(s3_of(w->blobs), &p, NULL), 0);
		assert_int_equal(bucket_requests(w->bucket), 0); /* it is remembered */
		assert_int_equal(bucket_objects(w->bucket), 0);
		world_free(w);
	}
}

/* ---- reading ---- */

static void a_service_without_ranges_is_not_believed(void **state)
{
	const struct bucket_options o = {.no_ranges = true};
	struct world *w = world_new(&o, NULL);
	struct blob_reader *r;
	uint64_t size;

	assert_int_equal(put_blob(w->blobs, SMALL, 1000, 1, 1000, NULL), 0);
	assert_int_equal(blob_read_open(w->blobs, STR(SMALL), 10, 5, &r, &size, NULL), ERR_IO);
	assert_true(holds_blob(w->blobs, SMALL, 1000, 1));
	world_free(w);
}

static void a_service_that_sends_more_than_it_says_there_is_is_not_believed(void **state)
{
	const struct bucket_options o = {.short_ranges = true};
	struct world *w = world_new(&o, NULL);
	struct blob_reader *r;
	uint64_t size;

	assert_int_equal(put_blob(w->blobs, SMALL, 1000, 1, 1000, NULL), 0);
	assert_int_equal(blob_read_open(w->blobs, STR(SMALL), 0, 500, &r, &size, NULL), ERR_IO);
	assert_int_equal(blob_read_open(w->blobs, STR(SMALL), 10, 500, &r, &size, NULL), ERR_IO);
	world_free(w);
}

static void a_list_that_does_not_go_on_is_not_followed(void **state)
{
	const struct bucket_options o = {.same_page = true};
	struct world *w = world_new(&o, NULL);
	unsigned seen = 0;

	assert_int_equal(put_blob(w->blobs, SMALL, 1000, 1, 1000, NULL), 0);
	assert_int_equal(blobs_visit(w->blobs, count_it, &seen, NULL), ERR_IO);
	world_free(w);
}

static void a_descriptor_cannot_be_written_through(void **state)
{
	static const size_t sizes[] = {1000, (size_t)300 << 10};
	struct world *w = world_new(&all_powers, NULL);

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		uint64_t size;
		int fd;

		assert_int_equal(put_blob(w->blobs, i == 0 ? SMALL : LARGE, sizes[i], 1, sizes[i], NULL), 0);
		assert_int_equal(blob_open(w->blobs, str_of(i == 0 ? SMALL : LARGE), &fd, &size, NULL), 0);
		assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
		assert_int_equal(write(fd, "x", 1), -1);
		close(fd);
	}
	world_free(w);
}

/* ---- limits ---- */

static void who_finds_no_memory_for_a_part_is_told_to_come_again(void **state)
{
	const struct s3_options small = {.memory_max = PART, .patience_ms = 20};
	struct world *w = world_new(&all_powers, &small);
	struct blob_writer *one, *two;
	char *bytes = malloc(2 * PART);

	assert_non_null(bytes);
	memset(bytes, 'x', 2 * PART);
	s3_of(w->blobs)->part_bytes = (size_t)1 << 20; /* so that the first bytes, which are not counted, are not all */
	s3_of(w->blobs)->memory_max = (uint64_t)1 << 20;
	assert_int_equal(blob_create(w->blobs, STR(SMALL), 0, &one, NULL), 0);
	assert_int_equal(blob_create(w->blobs, STR(LARGE), 0, &two, NULL), 0);
	for (unsigned i = 0; i < 6; i++) /* 768 KiB, which is counted as a whole MiB */
		assert_int_equal(blob_append(one, bytes, 2 * PART, NULL), 0);
	assert_int_equal(blob_append(two, bytes, 2 * PART, NULL), 0);
	assert_int_equal(blob_append(two, bytes, 2 * PART, NULL), 0);
	assert_int_equal(blob_append(two, bytes, 2 * PART, NULL), ERR_OVERLOADED);
	blob_abandon(two);
	assert_int_equal(blob_commit(one, NULL), 0);
	/* And there is memory again. */
	assert_int_equal(s3_of(w->blobs)->memory, 0);
	assert_int_equal(put_blob(w->blobs, LARGE, (size_t)1 << 20, 2, PART, NULL), 0);
	free(bytes);
	world_free(w);
}

/* All of them hold half of a part and want the other half. */
static void writers_that_hold_all_memory_do_not_wait_for_each_other(void **state)
{
	const struct s3_options impatient = {.patience_ms = 2000};
	struct world *w = world_new(&all_powers, &impatient);
	const size_t mib = (size_t)1 << 20, half = mib / 2;
	struct s3 *s = s3_of(w->blobs);
	struct blob_writer *writers[4];
	char name[4][32], *bytes = malloc(mib);

	assert_non_null(bytes);
	memset(bytes, 'x', mib);
	s->part_bytes = mib;
	s->memory_max = 3 * mib;
	for (unsigned i = 0; i < ARRAY_LEN(writers); i++) {
		snprintf(name[i], sizeof(name[i]), "public/00/writer-%u", i);
		assert_int_equal(blob_create(w->blobs, str_of(name[i]), 0, &writers[i], NULL), 0);
		assert_int_equal(blob_append(writers[i], bytes, half, NULL), 0);
	}
	assert_int_equal(s->memory, 2 * mib); /* what is there but for one part */
	for (unsigned i = 0; i < ARRAY_LEN(writers); i++) {
		assert_int_equal(blob_append(writers[i], bytes, half + 1, NULL), 0);
		assert_true(s->memory <= s->memory_max);
		assert_int_equal(blob_commit(writers[i], NULL), 0);
	}
	assert_int_equal(s->memory, 0);
	assert_null(s->reserve);
	free(bytes);
	world_free(w);
}

static void a_blob_has_no_more_parts_than_services_take(void **state)
{
	struct world *w = world_new(&all_powers, NULL);
	struct blob_writer *writer;
	char *bytes = calloc(1, PART + 1);

	assert_non_null(bytes);
	assert_int_equal(blob_create(w->blobs, STR(LARGE), 0, &writer, NULL), 0);
	((struct s3_writer *)writer)->parts = PARTS_MAX - 1;
	assert_int_equal(blob_append(writer, bytes, PART + 1, NULL), 0);
	assert_int_equal(blob_append(writer, bytes, PART, NULL), ERR_TOO_LARGE);
	blob_abandon(writer);
	/* A size that is told makes the parts large enough. */
	assert_int_equal(blob_create(w->blobs, STR(SMALL), (uint64_t)1 << 40, &writer, NULL), 0);
	assert_true(((struct s3_writer *)writer)->part_bytes * PARTS_MAX > (uint64_t)1 << 40);
	blob_abandon(writer);
	free(bytes);
	world_free(w);
}

/* ---- what stayed behind ---- */

static void an_upload_that_is_abandoned_is_given_up(void **state)
{
	struct world *w = world_new(&all_powers, NULL);
	char *bytes = calloc(1, 3 * PART);
	struct blob_writer *writer;

	assert_non_null(bytes);
	assert_int_equal(blob_create(w->blobs, STR(LARGE), 0, &writer, NULL), 0);
	assert_int_equal(blob_append(writer, bytes, 3 * PART, NULL), 0);
	blob_abandon(writer);
	blobs_free(w->blobs); /* waits for the request that nobody waits for */
	w->blobs = NULL;
	assert_int_equal(bucket_uploads(w->bucket), 0);
	free(bytes);
	world_free(w);
}

static void tell_foreign(void *arg, struct str path)
{
	snprintf(arg, 64, "%.*s", STR_FMT(path));
}

static void what_is_no_blob_is_told_and_left_alone(void **state)
{
	struct world *w = world_new(&all_powers, NULL);
	char told[64] = "";
	unsigned seen = 0;

	bucket_put(w->bucket, PREFIX "notes & <more> 100%.txt", "x");
	bucket_put(w->bucket, "elsewhere", "x");
	assert_int_equal(blobs_foreign(w->blobs, tell_foreign, told, NULL), 0);
	assert_string_equal(told, "notes & <more> 100%.txt");
	assert_int_equal(blobs_visit(w->blobs, count_it, &seen, NULL), 0);
	assert_int_equal(seen, 0);
	assert_int_equal(bucket_objects(w->bucket), 2);
	world_free(w);
}

/* ---- what is read without a server ---- */

static void entities_of_xml_are_decoded_and_broken_ones_refused(void **state)
{
	static const char *const broken[] = {"&",     "&amp", "&nbsp;",     "&#;",      "&#x;",
					     "&#xg;", "&#0;", "&#x110000;", "&#xd800;", "&#999999999999;"};
	char dst[64];
	long n = s3_xml_text(dst, STR("a&amp;b&lt;&gt;&quot;&apos;&#65;&#x42;&#xfc;&#x65e5;&#x1F600;"));

	assert_int_equal(n, 18);
	assert_memory_equal(dst, "a&b<>\"'AB\xc3\xbc\xe6\x97\xa5\xf0\x9f\x98\x80", 18);
	for (size_t i = 0; i < ARRAY_LEN(broken); i++)
		assert_int_equal(s3_xml_text(dst, str_of(broken[i])), -1);
}

static void broken_xml_ends_and_finds_nothing(void **state)
{
	static const char *const texts[] = {"",
					    "<",
					    "<a",
					    "<a>",
					    "</a>",
					    "<a></a></a>",
					    "<!DOCTYPE x><Code>y</Code>",
					    "<Code>",
					    "<Code>x</",
					    "<a><Code>x<",
					    "<a/><Code",
					    "<a><![CDATA[<Code>x</Code>]]></a>",
					    "<a><b><c><d><e><f><g><h><i><j><k><l><m><n><o><p><Code>x</Code>"};
	struct buf out = BUF_INIT;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		assert_false(s3_xml_find(&out, str_of(texts[i]), "Code"));
		assert_int_equal(out.len, 0);
	}
	assert_true(s3_xml_find(&out, STR("<?xml version='1'?> <a b='c'/>"), "a"));
	buf_release(&out);
}

static void options_that_cannot_work_are_refused_at_once(void **state)
{
	static const struct s3_options good = {
		.endpoint = "https://s3.example.com", .bucket = "bucket", .access_key = "key", .secret_key = "secret", .spool_fd = -1};
	struct s3_options bad[12];
	struct blobs *b = NULL;
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		bad[i] = good;
	bad[n++].endpoint = "s3.example.com";
	bad[n++].endpoint = "https://s3.example.com/path";
	bad[n++].endpoint = "ftp://s3.example.com";
	bad[n++].endpoint = "https://s3.eu-central-1.amazonaws.com"; /* without a region */
	bad[n++].bucket = "ab";
	bad[n++].bucket = "../x";
	bad[n++].bucket = "a/b";
	bad[n++].prefix = "/a";
	bad[n++].prefix = "\xff";
	bad[n++].secret_key = "";
	bad[n++].part_bytes = S3_PART_BYTES_MIN - 1;
	bad[n++].part_bytes = S3_PART_BYTES_MAX + 1;
	assert_int_equal(n, ARRAY_LEN(bad));
	for (size_t i = 0; i < n; i++)
		assert_int_equal(blobs_s3_new(&b, &bad[i], NULL), ERR_BAD_CONFIG);
	assert_null(b);
	assert_int_equal(blobs_s3_new(&b, &good, NULL), 0);
	blobs_free(b);
}

static void services_are_known_by_their_hosts(void **state)
{
	static const struct {
		const char *endpoint, *region, *authority, *named_region;
		enum s3_style style;
	} rows[] = {
		{"https://s3.eu-central-1.amazonaws.com", "eu-central-1", "bucket.s3.eu-central-1.amazonaws.com", "eu-central-1",
		 S3_STYLE_USUAL},
		{"https://s3.eu-central-1.amazonaws.com", "x", "s3.eu-central-1.amazonaws.com", "x", S3_STYLE_PATH},
		{"https://storage.googleapis.com", "auto", "storage.googleapis.com", NULL, S3_STYLE_USUAL},
		{"https://abc.r2.cloudflarestorage.com", "auto", "abc.r2.cloudflarestorage.com", NULL, S3_STYLE_USUAL},
		{"http://rgw.internal:7480", "us-east-1", "rgw.internal:7480", NULL, S3_STYLE_USUAL},
		{"http://rgw.internal:80/", "us-east-1", "bucket.rgw.internal", "", S3_STYLE_VIRTUAL_HOST},
		{"http://[::1]:9000", "us-east-1", "[::1]:9000", NULL, S3_STYLE_USUAL},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct s3_options o = {.endpoint = rows[i].endpoint,
					     .region = rows[i].named_region,
					     .style = rows[i].style,
					     .bucket = "bucket",
					     .access_key = "key",
					     .secret_key = "secret",
					     .spool_fd = -1};
		struct blobs *b = NULL;

		assert_int_equal(blobs_s3_new(&b, &o, NULL), 0);
		assert_string_equal(s3_of(b)->region, rows[i].region);
		assert_string_equal(s3_of(b)->authority, rows[i].authority);
		blobs_free(b);
	}
}

/* ---- the contract ---- */

static struct bucket *contract_bucket;

static struct blobs *make(const struct contract_kind *k, struct place *p)
{
	struct blobs *b;

	contract_bucket = bucket_start(k->arg);
	b = open_store(contract_bucket, p->fd, NULL);
	s3_of(b)->part_bytes = 16 * PART;
	return b;
}

static void end(const struct contract_kind *k)
{
	assert_int_equal(bucket_uploads(contract_bucket), 0);
	bucket_stop(contract_bucket);
}

/* Each request in turn; with a number, every so many-th, and the contract once. */
int main(int argc, char **argv)
{
	static struct bucket_options arg[3];
	static const struct contract_kind kinds[] = {
		{.name = "S3 with all preconditions", .make = make, .end = end, .arg = &arg[0], .shared = true},
		{.name = "S3 with some", .make = make, .end = end, .arg = &arg[1], .shared = true},
		{.name = "S3 with none", .make = make, .end = end, .arg = &arg[2], .shared = true}};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_service_can_is_found_out),
		cmocka_unit_test(whatever_request_fails_once_all_goes_well),
		cmocka_unit_test(bytes_that_are_damaged_on_their_way_are_sent_again),
		cmocka_unit_test(what_is_refused_for_good_is_not_acknowledged),
		cmocka_unit_test(a_request_that_stands_still_is_sent_again),
		cmocka_unit_test(a_clock_that_differs_is_taken_from_the_service),
		cmocka_unit_test(all_that_were_signed_with_a_wrong_time_are_sent_again),
		cmocka_unit_test(what_is_refused_with_the_right_time_leaves_the_clock_alone),
		cmocka_unit_test(to_put_parts_together_may_take_longer_than_other_requests),
		cmocka_unit_test(other_parts_than_were_sent_are_found_out),
		cmocka_unit_test(etags_that_only_look_like_digests_are_not_compared),
		cmocka_unit_test(what_never_came_back_was_not_acknowledged),
		cmocka_unit_test(another_s_object_is_never_written_over),
		cmocka_unit_test(nor_removed_by_one_whose_own_requests_failed),
		cmocka_unit_test(a_service_without_ranges_is_not_believed),
		cmocka_unit_test(a_service_that_sends_more_than_it_says_there_is_is_not_believed),
		cmocka_unit_test(a_list_that_does_not_go_on_is_not_followed),
		cmocka_unit_test(a_descriptor_cannot_be_written_through),
		cmocka_unit_test(who_finds_no_memory_for_a_part_is_told_to_come_again),
		cmocka_unit_test(writers_that_hold_all_memory_do_not_wait_for_each_other),
		cmocka_unit_test(a_blob_has_no_more_parts_than_services_take),
		cmocka_unit_test(an_upload_that_is_abandoned_is_given_up),
		cmocka_unit_test(what_is_no_blob_is_told_and_left_alone),
		cmocka_unit_test(entities_of_xml_are_decoded_and_broken_ones_refused),
		cmocka_unit_test(broken_xml_ends_and_finds_nothing),
		cmocka_unit_test(options_that_cannot_work_are_refused_at_once),
		cmocka_unit_test(services_are_known_by_their_hosts),
	};
	const char *all = getenv("FILEMILL_FAULTS");
	int failed;

	if (argc > 1 && !(all && strcmp(all, "all") == 0))
		step = (unsigned)strtoul(argv[1], NULL, 10);
	failed = cmocka_run_group_tests(tests, NULL, NULL);

	arg[0] = all_powers;
	arg[1] = as_ceph;
	arg[2] = no_powers;
	for (size_t i = 0; i < (step > 1 ? 1 : ARRAY_LEN(kinds)); i++)
		failed += contract_run(&kinds[i]);
	return failed;
}
