#include "base/fd.h"
#include "surfaces/mirror.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct world {
	char dir[64], path[160];
	struct mirror m;
	struct err err;
	int ask_left; /* so often it may go on */
};

static const char *at(struct world *w, const char *name)
{
	snprintf(w->path, sizeof(w->path), "%s/m/%s", w->dir, name);
	return w->path;
}

static int make_world(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	strcpy(w->dir, "/tmp/mirror-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	w->m = MIRROR_INIT;
	w->err = ERR_INIT;
	w->ask_left = 1000;
	assert_int_equal(mirror_open(&w->m, at(w, ""), &w->err), 0);
	*state = w;
	return 0;
}

static int free_world(void **state)
{
	struct world *w = *state;
	char line[128];

	mirror_close(&w->m);
	snprintf(line, sizeof(line), "rm -r %s", w->dir);
	assert_int_equal(system(line), 0);
	free(w);
	return 0;
}

static int may_go_on(void *arg, struct err *e)
{
	struct world *w = arg;

	return w->ask_left-- > 0 ? 0 : err_set(e, ERR_CANCELLED, "enough");
}

static int keep(struct world *w, const char *name, const char *attempt, const void *bytes, size_t n)
{
	FILE *f = tmpfile();

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, n, f), n);
	assert_int_equal(fflush(f), 0);
	const struct engine_object o = {
		.key = str_of(name), .attempt = attempt, .fd = fileno(f), .size = n, .may_go_on = may_go_on, .arg = w};
	int rc = mirror_keep(&w->m, &o, &w->err);
	fclose(f);
	return rc;
}

static void assert_copy(struct world *w, const char *name, const char *want)
{
	CLEANUP(fd_close) int fd = -1;
	uint64_t size;
	int64_t made_ms;
	char text[64] = "";

	assert_int_equal(mirror_find(&w->m, str_of(name), &fd, &size, &made_ms, &w->err), 0);
	assert_int_equal(size, strlen(want));
	assert_true(made_ms > 0);
	assert_int_equal(fd_pread_full(fd, text, sizeof(text) - 1, 0), (ssize_t)strlen(want));
	assert_string_equal(text, want);
}

static bool is_there(struct world *w, const char *name)
{
	struct stat st;

	return lstat(at(w, name), &st) == 0;
}

static void names_that_leave_the_folder_or_are_two_for_one_file_are_refused(void **state)
{
	static const char *const good[] = {"a", "a/b/c", ".a", "..a", "a..", "...", "a b", "ü", ".filemillx", "a\\b"};
	static const char *const bad[] = {"",     "/",   "/a",     "a/",   "a//b", ".",      "..",        "./a",         "../a",
					  "a/..", "a/.", "a/../b", "a\nb", "\x7f", "a/\x01", ".filemill", ".filemill/a", "a/.filemill"};
	char longest[258];

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(mirror_name_allowed(str_of(good[i])));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(mirror_name_allowed(str_of(bad[i])));
	assert_false(mirror_name_allowed((struct str){}));
	assert_false(mirror_name_allowed((struct str){"a\0b", 3}));
	memset(longest, 'x', sizeof(longest));
	assert_true(mirror_name_allowed((struct str){longest, 255}));
	assert_false(mirror_name_allowed((struct str){longest, 256}));
}

static void a_copy_is_there_whole_under_its_name_and_nothing_else(void **state)
{
	struct world *w = *state;

	assert_int_equal(keep(w, "a/b/c", "1", "first", 5), 0);
	assert_copy(w, "a/b/c", "first");
	assert_int_equal(keep(w, "a/b/c", "2", "second", 6), 0);
	assert_copy(w, "a/b/c", "second");
	assert_int_equal(keep(w, "empty", "3", "", 0), 0);
	assert_copy(w, "empty", "");
	assert_int_equal(rmdir(at(w, ".filemill")), 0); /* nothing is left in it */
}

static void an_attempt_that_is_stopped_leaves_what_was_there(void **state)
{
	static char large[1 << 20];
	struct world *w = *state;

	assert_int_equal(keep(w, "a", "1", "first", 5), 0);
	w->ask_left = 2;
	assert_int_equal(keep(w, "a", "2", large, sizeof(large)), ERR_CANCELLED);
	w->ask_left = 1; /* it was overtaken while it copied its last bytes */
	assert_int_equal(keep(w, "a", "3", "stale", 5), ERR_CANCELLED);
	w->ask_left = 0;
	assert_int_equal(keep(w, "a", "4", "", 0), ERR_CANCELLED);
	assert_copy(w, "a", "first");
	assert_int_equal(rmdir(at(w, ".filemill")), 0);
}

static void no_link_is_followed(void **state)
{
	struct world *w = *state;

	assert_int_equal(symlink("..", at(w, "out")), 0);
	assert_int_not_equal(keep(w, "out/x", "1", "x", 1), 0);
	assert_false(is_there(w, "../x"));
	assert_false(is_there(w, ".filemill/1"));
	assert_int_equal(symlink("../target", at(w, "link")), 0);
	assert_int_equal(keep(w, "link", "2", "own", 3), 0); /* takes the link's place */
	assert_copy(w, "link", "own");
	assert_false(is_there(w, "../target"));
	assert_int_equal(symlink("link", at(w, "second")), 0);
	int fd;
	uint64_t size;
	int64_t made_ms;
	assert_int_equal(mirror_find(&w->m, STR("second"), &fd, &size, &made_ms, &w->err), ERR_FILE_NOT_FOUND);
	assert_int_equal(mirror_find(&w->m, STR("out/m/link"), &fd, &size, &made_ms, &w->err), ERR_FILE_NOT_FOUND);
}

static void only_files_are_found(void **state)
{
	static const char *const none[] = {"a", "a/x", "a/b/c", "pipe", ".filemill", ".filemill/1", "../m/a/b", "none"};
	struct world *w = *state;
	int fd;
	uint64_t size;
	int64_t made_ms;

	assert_int_equal(keep(w, "a/b", "1", "x", 1), 0);
	assert_int_equal(mkfifo(at(w, "pipe"), 0600), 0);
	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		assert_int_equal(mirror_find(&w->m, str_of(none[i]), &fd, &size, &made_ms, &w->err), ERR_FILE_NOT_FOUND);
	assert_int_not_equal(keep(w, "a/b/c", "2", "x", 1), 0); /* a file is no folder */
	assert_int_not_equal(keep(w, "a", "3", "x", 1), 0); /* nor a folder a file */
	assert_copy(w, "a/b", "x");
}

static void what_an_earlier_life_left_half_written_goes(void **state)
{
	struct world *w = *state;
	int fd = open(at(w, ".filemill/half"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	fd_close(&fd);
	assert_int_equal(keep(w, "whole", "1", "x", 1), 0);
	mirror_close(&w->m);
	assert_int_equal(mirror_open(&w->m, at(w, ""), &w->err), 0);
	assert_false(is_there(w, ".filemill/half"));
	assert_copy(w, "whole", "x");
}

static void it_is_one_servers_alone(void **state)
{
	struct world *w = *state;
	struct mirror other = MIRROR_INIT;
	int fd = open(at(w, ".filemill/being-written"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	fd_close(&fd);
	assert_int_equal(mirror_open(&other, at(w, ""), &w->err), ERR_BAD_CONFIG);
	assert_true(is_there(w, ".filemill/being-written"));
	mirror_close(&w->m);
	assert_int_equal(mirror_open(&other, at(w, ""), &w->err), 0);
	mirror_close(&other);
}

static void assert_holds(struct world *w, const char *folder, bool want)
{
	CLEANUP(fd_close) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(mirror_holds(&w->m, fd), want);
}

static void what_lies_in_it_is_told(void **state)
{
	struct world *w = *state;

	assert_int_equal(mkdir(at(w, "a"), 0700), 0);
	assert_int_equal(mkdir(at(w, "a/b"), 0700), 0);
	assert_int_equal(symlink("m/a/b", at(w, "../in")), 0);
	assert_int_equal(symlink("..", at(w, "a/out")), 0);
	assert_int_equal(mkdir(at(w, "../beside"), 0700), 0);
	assert_holds(w, at(w, ""), true);
	assert_holds(w, at(w, "a/b"), true);
	assert_holds(w, at(w, "../in"), true);
	assert_holds(w, at(w, "a/out/.."), false);
	assert_holds(w, at(w, "../beside"), false);
	assert_holds(w, w->dir, false);
	assert_holds(w, "/", false);
}

static void a_folder_that_cannot_be_had_is_told(void **state)
{
	struct world *w = *state;
	struct mirror m = MIRROR_INIT;

	assert_int_equal(mirror_open(&m, at(w, "no/such"), &w->err), ERR_BAD_CONFIG);
	assert_int_equal(keep(w, "file", "1", "x", 1), 0);
	assert_int_equal(mirror_open(&m, at(w, "file"), &w->err), ERR_BAD_CONFIG);
	mirror_close(&m);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_world, free_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(names_that_leave_the_folder_or_are_two_for_one_file_are_refused),
		TEST(a_copy_is_there_whole_under_its_name_and_nothing_else),
		TEST(an_attempt_that_is_stopped_leaves_what_was_there),
		TEST(no_link_is_followed),
		TEST(only_files_are_found),
		TEST(what_an_earlier_life_left_half_written_goes),
		TEST(it_is_one_servers_alone),
		TEST(what_lies_in_it_is_told),
		TEST(a_folder_that_cannot_be_had_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
