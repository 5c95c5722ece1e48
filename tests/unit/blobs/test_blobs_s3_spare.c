/* Pages that one part had and the next one takes: what they held is nobody's, and together with what is in use they are never more than was allowed. */
#include "blobs/s3/s3_impl.h"
#include "bucket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* The three above first: cmocka.h needs them. */
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define PART ((size_t)64 << 10)
#define PARTS 9
#define NAME STR("public/00/blob")

static struct blobs *open_store(const struct bucket *b, uint64_t memory_max)
{
	const struct s3_options o = {.endpoint = bucket_endpoint(b),
				     .bucket = "bucket",
				     .access_key = "key",
				     .secret_key = "secret",
				     .memory_max = memory_max,
				     .spool_fd = -1};
	struct blobs *blobs = NULL;

	assert_int_equal(blobs_s3_new(&blobs, &o, NULL), 0);
	s3_of(blobs)->part_bytes = PART;
	return blobs;
}

static void look_at_memory(struct s3 *s)
{
	pthread_mutex_lock(&s->lock);
	const uint64_t kept = s->spares * PART, all = s->memory + kept;
	pthread_mutex_unlock(&s->lock);
	assert_true(all <= (s->memory_max < PART ? PART : s->memory_max)); /* one part always fits */
	assert_true(kept <= s->memory_max && kept <= S3_SPARES_MAX * PART);
}

/* Every byte is its number, a writer's and a place's. */
static void write_and_compare(struct bucket *b, struct blobs *blobs, size_t n, unsigned writer)
{
	char *bytes = malloc(n);
	struct blob_writer *w;

	assert_non_null(bytes);
	for (size_t i = 0; i < n; i++)
		bytes[i] = (char)(i / 7 + writer * 31);
	assert_int_equal(blob_create(blobs, NAME, 0, &w, NULL), 0);
	for (size_t at = 0, piece; at < n; at += piece) {
		piece = n - at < 10000 ? n - at : 10000;
		assert_int_equal(blob_append(w, bytes + at, piece, NULL), 0);
		look_at_memory(s3_of(blobs));
	}
	assert_int_equal(blob_commit(w, NULL), 0);
	look_at_memory(s3_of(blobs));
	assert_true(bucket_holds(b, "public/00/blob", bytes, n));
	assert_int_equal(blob_remove(blobs, NAME, NULL), 0);
	free(bytes);
}

static void pages_are_used_again_within_what_is_allowed(void **state)
{
	static const struct bucket_options ceph = {.put_if_none_match = true, .looks = true};

	for (unsigned halves = 1; halves <= 2 * PARTS; halves++) {
		struct bucket *b = bucket_start(&ceph);
		struct blobs *blobs = open_store(b, halves * PART / 2);
		struct s3 *s = s3_of(blobs);

		for (unsigned writer = 0; writer < 3; writer++) {
			write_and_compare(b, blobs, PARTS * PART - writer * 1000, writer);
			assert_int_equal(s->memory, 0);
			assert_int_equal(s->spares > 0, halves > 1);
			write_and_compare(b, blobs, 1000, writer);
		}
		blobs_free(blobs);
		bucket_stop(b);
	}
}

static void parts_of_another_size_keep_none(void **state)
{
	static const struct bucket_options all = {};
	struct bucket *b = bucket_start(&all);
	struct blobs *blobs = open_store(b, 0);
	struct blob_writer *w;

	/* So large that parts have to be larger. */
	assert_int_equal(blob_create(blobs, NAME, (uint64_t)1 << 40, &w, NULL), 0);
	assert_int_equal(blob_append(w, "x", 1, NULL), 0);
	blob_abandon(w);
	assert_int_equal(s3_of(blobs)->spares, 0);
	assert_int_equal(s3_of(blobs)->memory, 0);
	blobs_free(blobs);
	bucket_stop(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_are_used_again_within_what_is_allowed),
		cmocka_unit_test(parts_of_another_size_keep_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
