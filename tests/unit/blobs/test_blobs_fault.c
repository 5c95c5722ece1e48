/* Every call the local store makes fails in turn, once and for good, with each error, until a run meets no failure.
 * After each: nothing was acknowledged that a power cut would take, the store is sealed exactly when a flush failed, what was not acknowledged has no name left
 * (unless removing failed too), no descriptor is left open, and a store that is not sealed goes on. */
#include "place.h"

#include "base/fd.h"
#include "disk_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* The three above first: cmocka.h needs them. */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUNS_MAX 200 /* a scenario makes far fewer calls of each kind */

struct scene {
	struct place place;
	struct disk_model *disk;
	struct blobs *blobs;
};

static void scene_make(struct scene *s)
{
	s->disk = calloc(1, sizeof(*s->disk));
	assert_non_null(s->disk);
	disk_model_init(s->disk);
	place_make(&s->place);
	assert_int_equal(blobs_local_new(&s->blobs, &s->disk->env, s->place.fd, NULL), 0);
}

static void scene_drop(struct scene *s)
{
	blobs_free(s->blobs);
	place_remove(&s->place);
	disk_model_release(s->disk);
	free(s->disk);
}

static bool flush_failed(const struct disk_model *m)
{
	return m->failed[DISK_FDATASYNC] + m->failed[DISK_FSYNC] > 0;
}

static bool name_is_there(const struct scene *s, const char *name)
{
	struct stat st;

	return fstatat(s->place.fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Puts one blob and checks all that must hold afterwards, whatever happened. */
static int put_and_check(struct scene *s, const char *name, size_t n)
{
	bool sealed_before = blobs_sealed(s->blobs);
	unsigned removals_failed = s->disk->failed[DISK_UNLINKAT];
	struct err e = ERR_INIT;
	int r = put_blob(s->blobs, name, n, 7, n / 3 + 1, &e);

	if (r == 0) {
		assert_true(disk_model_survives(s->disk, s->place.fd, name));
		assert_true(name_is_there(s, name));
	} else {
		assert_int_equal(e.code, r);
		assert_true(e.detail[0] != '\0');
		assert_true(!name_is_there(s, name) || s->disk->failed[DISK_UNLINKAT] > removals_failed);
	}
	if (sealed_before)
		assert_int_equal(r, ERR_STORAGE_SEALED);
	assert_int_equal(blobs_sealed(s->blobs), flush_failed(s->disk));
	return r;
}

static int ignore(void *arg, struct str name, uint64_t size)
{
	return 0;
}

/* Everything a store is used for, in a small world. Results are judged by put_and_check and at the end. */
static void use_the_store(struct scene *s, int results[4])
{
	struct blob_writer *w;
	uint64_t size;
	int fd = -1;

	results[0] = put_and_check(s, "public/00/one", 1000);
	results[1] = put_and_check(s, "public/00/two", 10);
	results[2] = put_and_check(s, "public/11/three", 2u << 20);
	results[3] = put_and_check(s, "owner/00/four", 0);
	if (blob_create(s->blobs, STR("public/22/five"), 0, &w, NULL) == 0)
		blob_abandon(w);
	if (blob_open(s->blobs, STR("public/00/one"), &fd, &size, NULL) == 0)
		fd_close(&fd);
	if (blobs_visit(s->blobs, ignore, NULL, NULL) == 0 && blob_remove(s->blobs, STR("public/00/two"), NULL) == 0)
		assert_false(name_is_there(s, "public/00/two"));
	if (blobs_probe(s->blobs, NULL) == 0)
		assert_false(blobs_sealed(s->blobs));
	assert_int_equal(blobs_sealed(s->blobs), flush_failed(s->disk));
}

/* What was acknowledged is read back whole by a new life of the store, and nothing was forgotten in the model. */
static void check_acknowledged(struct scene *s, const int results[4])
{
	static const struct {
		const char *name;
		size_t n;
	} blobs[] = {{"public/00/one", 1000}, {"public/00/two", 10}, {"public/11/three", 2u << 20}, {"owner/00/four", 0}};
	struct blobs *again;

	assert_int_equal(blobs_local_new(&again, &env_real, s->place.fd, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(blobs); i++)
		if (results[i] == 0 && name_is_there(s, blobs[i].name)) /* "two" was removed */
			assert_true(holds_blob(again, blobs[i].name, blobs[i].n, 7));
	blobs_free(again);
}

/* One run; false when the planned failure was not reached. */
static bool run_with_failure(enum disk_call call, unsigned at, bool sticky, int error)
{
	struct scene s;
	int results[4];
	bool reached;

	scene_make(&s);
	s.disk->fail_call = call;
	s.disk->fail_at = at;
	s.disk->sticky = sticky;
	s.disk->fail_errno = error;
	use_the_store(&s, results);
	reached = s.disk->failed[call] > 0;
	if (!reached)
		for (size_t i = 0; i < 4; i++)
			assert_int_equal(results[i], 0);
	check_acknowledged(&s, results);
	/* The disk is well again: a sealed store stays sealed, any other takes blobs as before. */
	s.disk->fail_at = 0;
	if (put_and_check(&s, "public/00/after", 100) < 0)
		assert_true(flush_failed(s.disk));
	scene_drop(&s);
	return reached;
}

static void fail_each(enum disk_call call, int error)
{
	for (int sticky = 0; sticky <= 1; sticky++) {
		unsigned at = 1;

		while (run_with_failure(call, at, sticky, error)) {
			at++;
			assert_true(at < RUNS_MAX);
		}
		assert_true(at > 1); /* the scenario does make such calls */
	}
}

#define FAIL_EACH(name, call)                                                                                                              \
	static void name(void **state)                                                                                                     \
	{                                                                                                                                  \
		fail_each(call, EIO);                                                                                                      \
		fail_each(call, ENOSPC);                                                                                                   \
		fail_each(call, EMFILE);                                                                                                   \
	}
FAIL_EACH(a_failed_open_loses_nothing_and_does_not_seal, DISK_OPENAT)
FAIL_EACH(a_failed_write_loses_nothing_and_does_not_seal, DISK_WRITE)
FAIL_EACH(a_failed_file_flush_seals, DISK_FDATASYNC)
FAIL_EACH(a_failed_directory_flush_seals, DISK_FSYNC)
FAIL_EACH(a_failed_mkdir_loses_nothing_and_does_not_seal, DISK_MKDIRAT)
FAIL_EACH(a_failed_removal_loses_nothing_and_does_not_seal, DISK_UNLINKAT)
FAIL_EACH(a_failed_look_at_a_file_loses_nothing_and_does_not_seal, DISK_FSTAT)
FAIL_EACH(a_failed_close_loses_nothing_and_does_not_seal, DISK_CLOSE)

static void a_write_may_be_short(void **state)
{
	fail_each(DISK_WRITE, 0);
}

/* Once only: a signal that never stops coming is none. */
static void an_interrupted_call_is_made_again(void **state)
{
	static const enum disk_call calls[] = {DISK_OPENAT, DISK_WRITE, DISK_FDATASYNC, DISK_FSYNC};

	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		struct scene s;

		scene_make(&s);
		s.disk->fail_call = calls[i];
		s.disk->fail_at = 1;
		s.disk->fail_errno = EINTR;
		assert_int_equal(put_blob(s.blobs, "public/00/one", 1000, 7, 100, NULL), 0);
		assert_int_equal(s.disk->failed[calls[i]], 1);
		assert_false(blobs_sealed(s.blobs));
		scene_drop(&s);
	}
}

static void errors_of_the_disk_get_their_codes(void **state)
{
	static const struct {
		enum disk_call call;
		int error, code;
	} cases[] = {
		{DISK_WRITE, ENOSPC, ERR_STORAGE_FULL},
		{DISK_WRITE, EDQUOT, ERR_STORAGE_FULL},
		{DISK_WRITE, EIO, ERR_IO},
		{DISK_OPENAT, EMFILE, ERR_OVERLOADED},
		{DISK_OPENAT, EROFS, ERR_STORAGE_READONLY},
		{DISK_MKDIRAT, ENOSPC, ERR_STORAGE_FULL},
		{DISK_FDATASYNC, EIO, ERR_IO},
		{DISK_FSYNC, EIO, ERR_IO},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct scene s;

		scene_make(&s);
		s.disk->fail_call = cases[i].call;
		s.disk->fail_at = 1;
		s.disk->fail_errno = cases[i].error;
		assert_int_equal(put_blob(s.blobs, "public/00/one", 1000, 7, 100, NULL), cases[i].code);
		scene_drop(&s);
	}
}

static void a_blob_with_a_failed_write_cannot_be_committed(void **state)
{
	struct scene s;
	struct blob_writer *w;
	struct err e = ERR_INIT;

	scene_make(&s);
	assert_int_equal(blob_create(s.blobs, STR("public/00/one"), 0, &w, NULL), 0);
	assert_int_equal(blob_append(w, "abc", 3, NULL), 0);
	s.disk->fail_call = DISK_WRITE;
	s.disk->fail_at = 2;
	s.disk->fail_errno = EIO;
	assert_int_equal(blob_append(w, "def", 3, &e), ERR_IO);
	assert_int_equal(blob_append(w, "ghi", 3, &e), ERR_IO);
	assert_int_equal(blob_commit(w, &e), ERR_IO);
	assert_int_equal(s.disk->calls[DISK_FDATASYNC], 0);
	assert_false(name_is_there(&s, "public/00/one"));
	assert_false(blobs_sealed(s.blobs));
	scene_drop(&s);
}

static void a_sealed_store_refuses_writes_and_goes_on_reading(void **state)
{
	struct scene s;
	struct blob_writer *open_before, *w = NULL;
	uint64_t size;
	int fd;

	scene_make(&s);
	assert_int_equal(put_blob(s.blobs, "public/00/kept", 100, 1, 100, NULL), 0);
	assert_int_equal(blob_create(s.blobs, STR("public/00/open"), 0, &open_before, NULL), 0);
	s.disk->fail_call = DISK_FDATASYNC;
	s.disk->fail_at = 2;
	s.disk->fail_errno = EIO;
	assert_int_equal(put_blob(s.blobs, "public/00/lost", 100, 1, 100, NULL), ERR_IO);
	assert_true(blobs_sealed(s.blobs));
	assert_int_equal(blob_append(open_before, "x", 1, NULL), ERR_STORAGE_SEALED);
	assert_int_equal(blob_commit(open_before, NULL), ERR_STORAGE_SEALED);
	assert_int_equal(blob_create(s.blobs, STR("public/00/new"), 0, &w, NULL), ERR_STORAGE_SEALED);
	assert_null(w);
	assert_int_equal(blob_remove(s.blobs, STR("public/00/kept"), NULL), ERR_STORAGE_SEALED);
	assert_int_equal(blobs_probe(s.blobs, NULL), ERR_STORAGE_SEALED);
	assert_true(holds_blob(s.blobs, "public/00/kept", 100, 1));
	assert_int_equal(blob_open(s.blobs, STR("public/00/lost"), &fd, &size, NULL), ERR_NOT_FOUND);
	assert_int_equal(blobs_visit(s.blobs, ignore, NULL, NULL), 0);
	scene_drop(&s);
}

/* ---- the wrapper ---- */

static void the_wrapper_fails_the_calls_of_its_plan(void **state)
{
	for (int sticky = 0; sticky <= 1; sticky++)
		for (unsigned at = 1; at <= 6; at++) {
			struct blobs_fault_plan plan = {.fail_at = at, .sticky = sticky, .code = ERR_STORAGE_FULL};
			struct blobs *inner, *b;
			uint64_t size;
			int fd, r[3];

			assert_int_equal(blobs_memory_new(&inner, NULL), 0);
			assert_int_equal(blobs_fault_new(&b, inner, &plan, NULL), 0);
			/* create 1, append 2, commit 3 */
			r[0] = put_blob(b, "public/00/a", 5, 1, 5, NULL);
			assert_int_equal(r[0], at <= 3 ? ERR_STORAGE_FULL : 0);
			plan.calls = 3;
			r[1] = blob_open(b, STR("public/00/a"), &fd, &size, NULL);
			if (r[1] == 0)
				fd_close(&fd);
			assert_int_equal(r[1], at == 4 || (sticky && at < 4) ? ERR_STORAGE_FULL : at < 4 ? ERR_NOT_FOUND : 0);
			r[2] = blobs_visit(b, ignore, NULL, NULL);
			assert_int_equal(r[2], at == 5 || (sticky && at < 5) ? ERR_STORAGE_FULL : 0);
			assert_int_equal(blob_remove(b, STR("public/00/a"), NULL), at == 6 || sticky ? ERR_STORAGE_FULL : 0);
			assert_int_equal(plan.calls, 6);
			assert_false(blobs_sealed(b));
			blobs_free(b);
		}
}

static void the_wrapper_seals_when_a_commit_fails_like_a_flush(void **state)
{
	struct blobs_fault_plan plan = {.fail_at = 3, .code = ERR_IO};
	struct blobs *inner, *b;

	assert_int_equal(blobs_memory_new(&inner, NULL), 0);
	assert_int_equal(blobs_fault_new(&b, inner, &plan, NULL), 0);
	assert_int_equal(put_blob(b, "public/00/a", 5, 1, 5, NULL), ERR_IO);
	assert_true(blobs_sealed(b));
	assert_int_equal(put_blob(b, "public/00/b", 5, 1, 5, NULL), ERR_STORAGE_SEALED);
	blobs_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_failed_open_loses_nothing_and_does_not_seal),
		cmocka_unit_test(a_failed_write_loses_nothing_and_does_not_seal),
		cmocka_unit_test(a_write_may_be_short),
		cmocka_unit_test(a_failed_file_flush_seals),
		cmocka_unit_test(a_failed_directory_flush_seals),
		cmocka_unit_test(a_failed_mkdir_loses_nothing_and_does_not_seal),
		cmocka_unit_test(a_failed_removal_loses_nothing_and_does_not_seal),
		cmocka_unit_test(a_failed_look_at_a_file_loses_nothing_and_does_not_seal),
		cmocka_unit_test(a_failed_close_loses_nothing_and_does_not_seal),
		cmocka_unit_test(an_interrupted_call_is_made_again),
		cmocka_unit_test(errors_of_the_disk_get_their_codes),
		cmocka_unit_test(a_blob_with_a_failed_write_cannot_be_committed),
		cmocka_unit_test(a_sealed_store_refuses_writes_and_goes_on_reading),
		cmocka_unit_test(the_wrapper_fails_the_calls_of_its_plan),
		cmocka_unit_test(the_wrapper_seals_when_a_commit_fails_like_a_flush),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
