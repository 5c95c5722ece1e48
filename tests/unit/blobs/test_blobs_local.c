/* What only the local directory can get wrong: links, modes, foreign names, open directories. */
#include "place.h"

#include "base/fd.h"
#include "blobs/local_impl.h"
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
#include <unistd.h>

struct world {
	struct place place;
	struct blobs *blobs;
};

static void world_make(struct world *w)
{
	place_make(&w->place);
	assert_int_equal(blobs_local_new(&w->blobs, &env_real, w->place.fd, NULL), 0);
}

static void world_drop(struct world *w)
{
	blobs_free(w->blobs);
	place_remove(&w->place);
}

static mode_t mode_at(const struct world *w, const char *path)
{
	struct stat st;

	assert_int_equal(fstatat(w->place.fd, path, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st.st_mode & 07777;
}

static void directories_and_files_are_for_the_owner_alone(void **state)
{
	struct world w;
	mode_t old = umask(0);

	world_make(&w);
	assert_int_equal(put_blob(w.blobs, "public/00/a", 3, 1, 3, NULL), 0);
	assert_int_equal(mode_at(&w, "public"), 0700);
	assert_int_equal(mode_at(&w, "public/00"), 0700);
	assert_int_equal(mode_at(&w, "public/00/a"), 0600);
	world_drop(&w);
	umask(old);
}

/* A place outside with a file, and links to it from each level of the store */
static void a_planted_link_is_never_followed(void **state)
{
	struct place outside;
	struct world w;
	struct blob_writer *writer = NULL;
	struct stat st;
	uint64_t size;
	int fd = -1;

	place_make(&outside);
	world_make(&w);
	assert_int_equal(put_blob(w.blobs, "public/00/real", 3, 1, 3, NULL), 0);
	assert_int_equal(mkdirat(outside.fd, "00", 0700), 0);
	close(openat(outside.fd, "victim", O_CREAT | O_WRONLY, 0600));
	close(openat(outside.fd, "00/victim", O_CREAT | O_WRONLY, 0600));
	assert_int_equal(symlinkat(outside.path, w.place.fd, "linked"), 0);
	assert_int_equal(symlinkat(outside.path, w.place.fd, "public/11"), 0);
	char target[128];
	snprintf(target, sizeof(target), "%s/victim", outside.path);
	assert_int_equal(symlinkat(target, w.place.fd, "public/00/victim"), 0);
	assert_int_equal(symlinkat("nowhere", w.place.fd, "public/00/dangling"), 0);

	/* as owner directory, as shard directory, as file */
	assert_true(blob_create(w.blobs, STR("linked/00/new"), 0, &writer, NULL) < 0);
	assert_true(blob_create(w.blobs, STR("public/11/new"), 0, &writer, NULL) < 0);
	assert_int_equal(blob_create(w.blobs, STR("public/00/victim"), 0, &writer, NULL), ERR_CONFLICT);
	assert_int_equal(blob_create(w.blobs, STR("public/00/dangling"), 0, &writer, NULL), ERR_CONFLICT);
	assert_null(writer);
	assert_true(blob_open(w.blobs, STR("linked/00/victim"), &fd, &size, NULL) < 0);
	assert_true(blob_open(w.blobs, STR("public/11/victim"), &fd, &size, NULL) < 0);
	assert_true(blob_open(w.blobs, STR("public/00/victim"), &fd, &size, NULL) < 0);
	assert_int_equal(fd, -1);
	assert_true(blob_remove(w.blobs, STR("linked/00/victim"), NULL) < 0);
	assert_true(blob_remove(w.blobs, STR("public/11/victim"), NULL) < 0);
	assert_int_equal(blob_remove(w.blobs, STR("public/00/victim"), NULL), 0); /* the link itself goes */
	assert_int_equal(fstatat(outside.fd, "victim", &st, 0), 0);
	assert_int_equal(fstatat(outside.fd, "00/victim", &st, 0), 0);
	assert_int_equal(fstatat(w.place.fd, "nowhere", &st, 0), -1);
	assert_int_equal(fstatat(outside.fd, "new", &st, 0), -1);
	assert_false(blobs_sealed(w.blobs));
	world_drop(&w);
	place_remove(&outside);
}

static int count(void *arg, struct str name, uint64_t size)
{
	++*(unsigned *)arg;
	return 0;
}

static void foreign_names_are_not_visited(void **state)
{
	struct world w;
	unsigned n = 0;

	world_make(&w);
	assert_int_equal(put_blob(w.blobs, "public/00/real", 3, 1, 3, NULL), 0);
	close(openat(w.place.fd, "README", O_CREAT | O_WRONLY, 0600));
	close(openat(w.place.fd, "public/00", O_CREAT | O_WRONLY, 0600));
	close(openat(w.place.fd, "public/file", O_CREAT | O_WRONLY, 0600));
	close(openat(w.place.fd, "public/11", O_CREAT | O_WRONLY, 0600));
	close(openat(w.place.fd, "public/00/.hidden", O_CREAT | O_WRONLY, 0600));
	close(openat(w.place.fd, "public/00/with space", O_CREAT | O_WRONLY, 0600));
	assert_int_equal(mkdirat(w.place.fd, "public/00/directory", 0700), 0);
	assert_int_equal(mkdirat(w.place.fd, "public/xyz", 0700), 0);
	assert_int_equal(mkdirat(w.place.fd, "lost+found", 0700), 0);
	assert_int_equal(mkfifoat(w.place.fd, "public/00/pipe", 0600), 0);
	assert_int_equal(symlinkat("real", w.place.fd, "public/00/link"), 0);
	assert_int_equal(symlinkat("public", w.place.fd, "linked"), 0);
	assert_int_equal(blobs_visit(w.blobs, count, &n, NULL), 0);
	assert_int_equal(n, 1);
	world_drop(&w);
}

static void a_planted_pipe_is_refused_without_waiting(void **state)
{
	struct world w;
	uint64_t size;
	int fd;

	world_make(&w);
	assert_int_equal(put_blob(w.blobs, "public/00/real", 3, 1, 3, NULL), 0);
	assert_int_equal(mkfifoat(w.place.fd, "public/00/pipe", 0600), 0);
	assert_int_equal(mkdirat(w.place.fd, "public/00/directory", 0700), 0);
	assert_int_equal(blob_open(w.blobs, STR("public/00/pipe"), &fd, &size, NULL), ERR_IO);
	assert_int_equal(blob_open(w.blobs, STR("public/00/directory"), &fd, &size, NULL), ERR_IO);
	world_drop(&w);
}

static void a_second_process_life_finds_what_the_first_stored(void **state)
{
	struct world w;

	world_make(&w);
	assert_int_equal(put_blob(w.blobs, "public/00/a", 5000, 1, 100, NULL), 0);
	blobs_free(w.blobs);
	assert_int_equal(blobs_local_new(&w.blobs, &env_real, w.place.fd, NULL), 0);
	assert_true(holds_blob(w.blobs, "public/00/a", 5000, 1));
	assert_int_equal(put_blob(w.blobs, "public/00/b", 50, 1, 100, NULL), 0);
	world_drop(&w);
}

static void open_directories_are_bounded_and_reused(void **state)
{
	struct disk_model *m = calloc(1, sizeof(*m)); /* spares the flushes of 800 new directories */
	struct world w;
	unsigned before;
	char name[64];

	assert_non_null(m);
	disk_model_init(m);
	place_make(&w.place);
	assert_int_equal(blobs_local_new(&w.blobs, &m->env, w.place.fd, NULL), 0);
	before = open_descriptors();
	for (unsigned i = 0; i < 3 * LOCAL_DIRS_MAX; i++) {
		snprintf(name, sizeof(name), "owner-%u/%02x/a", i / 3, i % 256);
		assert_int_equal(put_blob(w.blobs, name, 3, i, 3, NULL), 0);
	}
	/* An unused owner directory is counted; one with open shards beneath it is in use and is not. */
	assert_true(open_descriptors() - before <= 2 * LOCAL_DIRS_MAX);
	assert_true(open_descriptors() - before >= LOCAL_DIRS_MAX);
	for (unsigned i = 0; i < 3 * LOCAL_DIRS_MAX; i++) {
		snprintf(name, sizeof(name), "owner-%u/%02x/a", i / 3, i % 256);
		assert_true(holds_blob(w.blobs, name, 3, i));
	}
	world_drop(&w);
	disk_model_release(m);
	free(m);
}

/* The calls of one commit, counted: the shape that the speed depends on. */
static void a_commit_into_a_known_directory_takes_one_flush_of_each(void **state)
{
	struct disk_model *m = calloc(1, sizeof(*m));
	struct place place;
	struct blobs *b;
	unsigned before[DISK_CALLS];

	assert_non_null(m);
	disk_model_init(m);
	place_make(&place);
	assert_int_equal(blobs_local_new(&b, &m->env, place.fd, NULL), 0);
	assert_int_equal(put_blob(b, "public/00/a", 3, 1, 3, NULL), 0);
	assert_int_equal(m->calls[DISK_FSYNC], 3); /* the shard, its entry in the owner's, the owner's in the root */
	memcpy(before, m->calls, sizeof(before));
	assert_int_equal(put_blob(b, "public/00/b", 3, 1, 3, NULL), 0);
	assert_int_equal(m->calls[DISK_OPENAT] - before[DISK_OPENAT], 1);
	assert_int_equal(m->calls[DISK_WRITE] - before[DISK_WRITE], 1);
	assert_int_equal(m->calls[DISK_FDATASYNC] - before[DISK_FDATASYNC], 1);
	assert_int_equal(m->calls[DISK_FSYNC] - before[DISK_FSYNC], 1);
	assert_int_equal(m->calls[DISK_MKDIRAT] - before[DISK_MKDIRAT], 0);
	assert_int_equal(m->calls[DISK_FALLOCATE], 0);
	blobs_free(b);
	place_remove(&place);
	disk_model_release(m);
	free(m);
}

/* A directory that an earlier life made may not be on disk: it died before the flush. */
static void a_directory_found_is_flushed_like_one_made(void **state)
{
	struct disk_model *m = calloc(1, sizeof(*m));
	struct place place;
	struct blobs *b;
	struct blob_writer *w;

	assert_non_null(m);
	disk_model_init(m);
	place_make(&place);
	assert_int_equal(blobs_local_new(&b, &m->env, place.fd, NULL), 0);
	assert_int_equal(blob_create(b, STR("public/00/never-committed"), 0, &w, NULL), 0);
	blob_abandon(w);
	blobs_free(b);
	assert_int_equal(m->calls[DISK_FSYNC], 0);
	assert_int_equal(blobs_local_new(&b, &m->env, place.fd, NULL), 0);
	assert_int_equal(put_blob(b, "public/00/a", 3, 1, 3, NULL), 0);
	assert_true(disk_model_survives(m, place.fd, "public/00/a"));
	blobs_free(b);
	place_remove(&place);
	disk_model_release(m);
	free(m);
}

static void hints_to_the_kernel_are_given_for_large_blobs_and_may_fail(void **state)
{
	static const enum disk_call hints[] = {DISK_WRITEBACK, DISK_FALLOCATE};

	for (size_t i = 0; i < ARRAY_LEN(hints); i++) {
		struct disk_model *m = calloc(1, sizeof(*m));
		struct place place;
		struct blobs *b;

		assert_non_null(m);
		disk_model_init(m);
		m->fail_call = hints[i];
		m->fail_at = 1;
		m->sticky = true;
		m->fail_errno = EIO;
		place_make(&place);
		assert_int_equal(blobs_local_new(&b, &m->env, place.fd, NULL), 0);
		assert_int_equal(put_blob(b, "public/00/a", 20u << 20, 1, 1u << 20, NULL), 0);
		assert_int_equal(m->calls[DISK_WRITEBACK], 2);
		assert_int_equal(m->calls[DISK_FALLOCATE], 1);
		assert_false(blobs_sealed(b));
		blobs_free(b);
		place_remove(&place);
		disk_model_release(m);
		free(m);
	}
}

/* ---- many at once ---- */

static void a_settled_blob_is_there_like_a_committed_one(void **state)
{
	struct world w;
	struct blob_writer *writer;

	world_make(&w);
	assert_int_equal(blob_create(w.blobs, STR("public/00/a"), 3, &writer, NULL), 0);
	char bytes[3];
	fill_pattern(bytes, sizeof(bytes), 1);
	assert_int_equal(blob_append(writer, bytes, sizeof(bytes), NULL), 0);
	assert_int_equal(blobs_local_settle(writer, NULL), 0);
	assert_int_equal(blobs_local_flush(w.blobs, NULL), 0);
	assert_true(holds_blob(w.blobs, "public/00/a", 3, 1));
	/* removed while it was written */
	assert_int_equal(blob_create(w.blobs, STR("public/00/b"), 3, &writer, NULL), 0);
	assert_int_equal(blob_remove(w.blobs, STR("public/00/b"), NULL), 0);
	assert_int_equal(blobs_local_settle(writer, NULL), ERR_CONFLICT);
	world_drop(&w);
}

static void a_linked_blob_outlives_its_first_name(void **state)
{
	struct world from, to;

	place_make(&from.place);
	place_make(&to.place);
	assert_int_equal(blobs_local_new(&from.blobs, &env_real, from.place.fd, NULL), 0);
	assert_int_equal(blobs_local_new(&to.blobs, &env_real, to.place.fd, NULL), 0);
	assert_int_equal(put_blob(from.blobs, "public/00/a", 1000, 1, 1000, NULL), 0);
	assert_int_equal(blobs_local_link(to.blobs, from.blobs, STR("public/00/b"), NULL), ERR_NOT_FOUND);
	assert_int_equal(blobs_local_link(to.blobs, from.blobs, STR("other/00/b"), NULL), ERR_NOT_FOUND);
	assert_int_equal(blobs_local_link(to.blobs, from.blobs, STR("../00/b"), NULL), ERR_BAD_NAME);
	assert_int_equal(blobs_local_link(to.blobs, from.blobs, STR("public/00/a"), NULL), 0);
	assert_int_equal(blobs_local_link(to.blobs, from.blobs, STR("public/00/a"), NULL), ERR_CONFLICT);
	assert_int_equal(blob_remove(from.blobs, STR("public/00/a"), NULL), 0);
	assert_true(holds_blob(to.blobs, "public/00/a", 1000, 1));
	blobs_free(to.blobs);
	blobs_free(from.blobs);
	place_remove(&to.place);
	place_remove(&from.place);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(directories_and_files_are_for_the_owner_alone),
		cmocka_unit_test(a_planted_link_is_never_followed),
		cmocka_unit_test(foreign_names_are_not_visited),
		cmocka_unit_test(a_planted_pipe_is_refused_without_waiting),
		cmocka_unit_test(a_second_process_life_finds_what_the_first_stored),
		cmocka_unit_test(open_directories_are_bounded_and_reused),
		cmocka_unit_test(a_commit_into_a_known_directory_takes_one_flush_of_each),
		cmocka_unit_test(a_directory_found_is_flushed_like_one_made),
		cmocka_unit_test(hints_to_the_kernel_are_given_for_large_blobs_and_may_fail),
		cmocka_unit_test(a_settled_blob_is_there_like_a_committed_one),
		cmocka_unit_test(a_linked_blob_outlives_its_first_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
