/* Many writers at once: right bytes, and an acknowledgement that holds although they share flushes. Also run under the thread sanitizer. */
#include "place.h"

#include "base/fd.h"
#include "disk_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* The three above first: cmocka.h needs them. */
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define WRITERS 64
#define BLOBS_EACH 6

struct writer {
	pthread_t thread;
	unsigned number;
	struct blobs *blobs;
	struct disk_model *disk; /* NULL: the real one */
	int root_fd;
	unsigned acknowledged, lied, wrong_code;
};

static void name_of(char dst[64], unsigned writer, unsigned n)
{
	/* Few directories, so that flushes are shared, and new ones in the middle. */
	snprintf(dst, 64, "owner-%u/%02x/w%u-%u", n % 2, n % 3, writer, n);
}

static void *write_blobs(void *arg)
{
	struct writer *w = arg;

	for (unsigned n = 0; n < BLOBS_EACH; n++) {
		char name[64];
		int r;

		name_of(name, w->number, n);
		r = put_blob(w->blobs, name, 1000 + w->number, w->number * 100 + n, 400, NULL);
		w->acknowledged += r == 0;
		w->lied += r == 0 && w->disk && !disk_model_survives(w->disk, w->root_fd, name);
		w->wrong_code += r < 0 && r != ERR_IO && r != ERR_STORAGE_SEALED;
	}
	return NULL;
}

static unsigned run_writers(struct blobs *b, struct disk_model *disk, int root_fd)
{
	struct writer writers[WRITERS] = {};
	unsigned acknowledged = 0;

	for (unsigned i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){.number = i, .blobs = b, .disk = disk, .root_fd = root_fd};
		assert_int_equal(pthread_create(&writers[i].thread, NULL, write_blobs, &writers[i]), 0);
	}
	for (unsigned i = 0; i < WRITERS; i++) {
		assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
		assert_int_equal(writers[i].lied, 0);
		assert_int_equal(writers[i].wrong_code, 0);
		acknowledged += writers[i].acknowledged;
	}
	return acknowledged;
}

static int count(void *arg, struct str name, uint64_t size)
{
	++*(unsigned *)arg;
	return 0;
}

static void assert_all_there(struct blobs *b)
{
	unsigned n = 0;

	for (unsigned i = 0; i < WRITERS; i++)
		for (unsigned k = 0; k < BLOBS_EACH; k++) {
			char name[64];

			name_of(name, i, k);
			assert_true(holds_blob(b, name, 1000 + i, i * 100 + k));
		}
	assert_int_equal(blobs_visit(b, count, &n, NULL), 0);
	assert_int_equal(n, WRITERS * BLOBS_EACH);
}

static void many_writers_store_what_they_wrote_on_disk(void **state)
{
	struct place place;
	struct blobs *b;

	place_make(&place);
	assert_int_equal(blobs_local_new(&b, &env_real, place.fd, NULL), 0);
	assert_int_equal(run_writers(b, NULL, place.fd), WRITERS * BLOBS_EACH);
	assert_all_there(b);
	blobs_free(b);
	place_remove(&place);
}

static void many_writers_store_what_they_wrote_in_memory(void **state)
{
	struct blobs *b;

	assert_int_equal(blobs_memory_new(&b, NULL), 0);
	assert_int_equal(run_writers(b, NULL, -1), WRITERS * BLOBS_EACH);
	assert_all_there(b);
	blobs_free(b);
}

static void shared_flushes_acknowledge_nothing_too_early(void **state)
{
	struct disk_model *disk = calloc(1, sizeof(*disk));
	struct place place;
	struct blobs *b;

	assert_non_null(disk);
	disk_model_init(disk);
	place_make(&place);
	assert_int_equal(blobs_local_new(&b, &disk->env, place.fd, NULL), 0);
	assert_int_equal(run_writers(b, disk, place.fd), WRITERS * BLOBS_EACH);
	assert_all_there(b);
	blobs_free(b);
	place_remove(&place);
	disk_model_release(disk);
	free(disk);
}

/* The flush that fails is waited for by many: each of them must hear of it, and none may be acknowledged by a later one. */
static void a_failed_shared_flush_fails_all_who_waited(void **state)
{
	for (unsigned at = 1; at <= 40; at += 3) {
		struct disk_model *disk = calloc(1, sizeof(*disk));
		struct place place;
		struct blobs *b;
		unsigned acknowledged, there = 0;

		assert_non_null(disk);
		disk_model_init(disk);
		disk->fail_call = DISK_FSYNC;
		disk->fail_at = at;
		disk->fail_errno = EIO;
		place_make(&place);
		assert_int_equal(blobs_local_new(&b, &disk->env, place.fd, NULL), 0);
		acknowledged = run_writers(b, disk, place.fd);
		assert_int_equal(blobs_sealed(b), disk->failed[DISK_FSYNC] > 0);
		assert_int_equal(acknowledged<WRITERS * BLOBS_EACH, disk->failed[DISK_FSYNC]> 0);
		assert_int_equal(blobs_visit(b, count, &there, NULL), 0);
		assert_int_equal(there, acknowledged);
		blobs_free(b);
		place_remove(&place);
		disk_model_release(disk);
		free(disk);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_writers_store_what_they_wrote_on_disk),
		cmocka_unit_test(many_writers_store_what_they_wrote_in_memory),
		cmocka_unit_test(shared_flushes_acknowledge_nothing_too_early),
		cmocka_unit_test(a_failed_shared_flush_fails_all_who_waited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
