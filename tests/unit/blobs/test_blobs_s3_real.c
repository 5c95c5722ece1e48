/* The contract on a real service: S3_ENDPOINT, S3_BUCKET, S3_ACCESS_KEY and S3_SECRET_KEY name it. Each test has a prefix of its own. */
#include "contract.h"

#include "blobs/s3/s3.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* The three above first: cmocka.h needs them. */
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

/* What a prefix may hold and XML, URLs and signatures write in different ways. */
#define AWKWARD "a folder/b c+d=e&f?g#h%41~$i'(1)!*;:@,\u00fc\u65e5/"

static char prefix[256];

static struct blobs *open_store(void)
{
	const struct s3_options o = {.endpoint = getenv("S3_ENDPOINT"),
				     .bucket = getenv("S3_BUCKET"),
				     .access_key = getenv("S3_ACCESS_KEY"),
				     .secret_key = getenv("S3_SECRET_KEY"),
				     .prefix = prefix,
				     .part_bytes = S3_PART_BYTES_MIN,
				     .stale_ms = 1,
				     .spool_fd = -1};
	struct blobs *b = NULL;

	assert_int_equal(blobs_s3_new(&b, &o, NULL), 0);
	return b;
}

static struct blobs *make(const struct contract_kind *k, struct place *p)
{
	static unsigned serial;

	snprintf(prefix, sizeof(prefix), "%s%s/%u/", AWKWARD, p->path + 5, serial++);
	return open_store();
}

static int remove_it(void *arg, struct str name, uint64_t size)
{
	return blob_remove(arg, name, NULL);
}

static int count_it(void *arg, struct str name, uint64_t size)
{
	++*(unsigned *)arg;
	return 0;
}

static void count_foreign(void *arg, struct str path)
{
	++*(unsigned *)arg;
}

static void end(const struct contract_kind *k)
{
	struct blobs *b = open_store();
	unsigned left = 0;

	assert_int_equal(blobs_visit(b, remove_it, b, NULL), 0);
	assert_int_equal(blobs_visit(b, count_it, &left, NULL), 0);
	assert_int_equal(blobs_foreign(b, count_foreign, &left, NULL), 0);
	assert_int_equal(left, 0);
	blobs_free(b);
}

int main(void)
{
	static const struct contract_kind kind = {.name = "S3", .make = make, .end = end, .shared = true};

	if (!getenv("S3_ENDPOINT")) {
		fprintf(stderr, "S3_ENDPOINT names no service\n");
		return 2;
	}
	return contract_run(&kind);
}
