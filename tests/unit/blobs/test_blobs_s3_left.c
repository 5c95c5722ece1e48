/* Uploads in parts that somebody else began: which of them are given up. */
#include "bucket.h"

#include "blobs/s3/write_impl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* The three above first: cmocka.h needs them. */
#include <cmocka.h>

#include <stdlib.h>
#include <unistd.h>

#define LARGE "public/01/large"
#define PART ((size_t)64 << 10)

struct claims {
	enum blob_claim claim;
	unsigned asked;
};

static enum blob_claim claim_it(void *arg, struct str name)
{
	struct claims *c = arg;

	assert_true(str_eq(name, STR(LARGE)));
	c->asked++;
	return c->claim;
}

static int count_it(void *arg, struct str name, uint64_t size)
{
	++*(unsigned *)arg;
	return 0;
}

static struct blobs *open_store(const struct bucket *b, int64_t stale_ms)
{
	const struct s3_options o = {.endpoint = bucket_endpoint(b),
				     .bucket = "bucket",
				     .prefix = "a/",
				     .access_key = "key",
				     .secret_key = "secret",
				     .pause_ms = 1,
				     .stale_ms = stale_ms,
				     .spool_fd = -1};
	struct blobs *blobs = NULL;

	assert_int_equal(blobs_s3_new(&blobs, &o, NULL), 0);
	s3_of(blobs)->part_bytes = PART;
	return blobs;
}

static void give_up(struct blobs *b, enum blob_claim claim, unsigned asked)
{
	struct claims said = {.claim = claim};

	assert_int_equal(blobs_give_up(b, claim_it, &said, NULL), 0);
	assert_int_equal(said.asked, asked);
}

static void check(bool young)
{
	const struct bucket_options all_powers = {.checksums = true, .put_if_none_match = true, .complete_if_none_match = true};
	struct bucket *bucket = bucket_start(&all_powers);
	struct blobs *mine = open_store(bucket, 1), *other = open_store(bucket, INT64_MAX / 2);
	char *bytes = calloc(1, 2 * PART);
	struct blob_writer *writer;
	unsigned seen = 0;

	assert_non_null(bytes);
	assert_int_equal(blob_create(mine, STR(LARGE), 0, &writer, NULL), 0);
	assert_int_equal(blob_append(writer, bytes, 2 * PART, NULL), 0);
	while (bucket_uploads(bucket) != 1) /* one that was only to show what the service can do may not have gone yet */
		usleep(1000);
	give_up(mine, BLOB_ABANDONED, 0); /* its own */
	give_up(other, BLOB_CLAIM_UNKNOWN, 1); /* not old enough */
	s3_of(other)->stale_ms = 1;
	give_up(other, BLOB_CLAIMED, 1); /* another's, however old */
	assert_int_equal(blobs_visit(other, count_it, &seen, NULL), 0);
	assert_int_equal(bucket_uploads(bucket), 1);
	s3_of(other)->stale_ms = young ? INT64_MAX / 2 : 1;
	give_up(other, young ? BLOB_ABANDONED : BLOB_CLAIM_UNKNOWN, 1);
	assert_int_equal(bucket_uploads(bucket), 0);
	/* Which its writer learns at the commit. */
	assert_true(blob_commit(writer, NULL) < 0);
	blobs_free(other);
	blobs_free(mine);
	bucket_stop(bucket);
	free(bytes);
}

static void uploads_that_nobody_ends_are_given_up_and_those_of_others_never(void **state)
{
	check(true);
}

static void of_uploads_of_which_nothing_is_known_the_old_ones_are_given_up(void **state)
{
	check(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(uploads_that_nobody_ends_are_given_up_and_those_of_others_never),
		cmocka_unit_test(of_uploads_of_which_nothing_is_known_the_old_ones_are_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
