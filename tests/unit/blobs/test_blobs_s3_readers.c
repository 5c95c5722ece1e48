/* Who reads slowly holds a request: so many that none is left for others may not. */
#include "base/fd.h"
#include "blobs/s3/s3_impl.h"
#include "bucket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* The three above first: cmocka.h needs them. */
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define LARGE ((size_t)16 << 20) /* more than a reader and its connection hold */
#define READERS 3

static void put(struct blobs *b, struct str name, size_t n)
{
	char *bytes = calloc(1, n);
	struct blob_writer *w;

	assert_non_null(bytes);
	assert_int_equal(blob_create(b, name, n, &w, NULL), 0);
	assert_int_equal(blob_append(w, bytes, n, NULL), 0);
	assert_int_equal(blob_commit(w, NULL), 0);
	free(bytes);
}

static int open_reader(struct blobs *b, struct blob_reader **ret)
{
	uint64_t size;

	return blob_read_open(b, STR("public/00/large"), 0, UINT64_MAX, ret, &size, NULL);
}

static void slow_readers_leave_room_for_others(void **state)
{
	static const struct bucket_options ceph = {.put_if_none_match = true, .looks = true};
	struct bucket *bucket = bucket_start(&ceph);
	const struct s3_options o = {
		.endpoint = bucket_endpoint(bucket), .bucket = "bucket", .access_key = "key", .secret_key = "secret", .spool_fd = -1};
	struct blob_reader *readers[READERS], *more = NULL;
	struct blobs *b = NULL;
	uint64_t size;
	int fd = -1;

	assert_int_equal(blobs_s3_new(&b, &o, NULL), 0);
	s3_of(b)->readers_max = READERS;
	put(b, STR("public/00/large"), LARGE);
	for (size_t i = 0; i < READERS; i++)
		assert_int_equal(open_reader(b, &readers[i]), 0);
	assert_int_equal(open_reader(b, &more), ERR_OVERLOADED);
	put(b, STR("public/01/other"), 10);
	assert_int_equal(blob_open(b, STR("public/01/other"), &fd, &size, NULL), 0);
	fd_close(&fd);
	blob_read_close(readers[0]);
	assert_int_equal(open_reader(b, &readers[0]), 0);
	for (size_t i = 0; i < READERS; i++)
		blob_read_close(readers[i]);
	assert_int_equal(s3_of(b)->readers, 0);
	blobs_free(b);
	bucket_stop(bucket);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(slow_readers_leave_room_for_others)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
