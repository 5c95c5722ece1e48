#include "../fresh_folder.h"
/* The writer: what a crash leaves is cut and written again, what somebody else left is kept and told, a full disk takes nothing back or apart, a failed flush ends it. */
#include "audit/writer.h"
#include "base/fd.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct world {
	struct log log;
	char path[64];
	int dir;
	struct env env;
	int64_t room; /* bytes that can be written; -1 = any */
	bool flush_fails;
};

static struct world *of(struct env *e)
{
	return CONTAINER_OF(e, struct world, env);
}

static ssize_t scant_write(struct env *e, int fd, const void *p, size_t n)
{
	struct world *w = of(e);

	if (w->room < 0)
		return write(fd, p, n);
	if (w->room == 0) {
		errno = ENOSPC;
		return -1;
	}
	if ((int64_t)n > w->room)
		n = (size_t)w->room;
	w->room -= (int64_t)n;
	return write(fd, p, n);
}

static int lame_fdatasync(struct env *e, int fd)
{
	if (!of(e)->flush_fails)
		return fdatasync(fd);
	errno = EIO;
	return -1;
}

static int make(void **state)
{
	static struct world w;

	w = (struct world){.env = env_real, .room = -1};
	w.env.write = scant_write;
	w.env.fdatasync = lame_fdatasync;
	log_make(&w.log);
	fresh_folder(w.path, sizeof(w.path), "audit");
	w.dir = open(w.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = &w;
	return 0;
}

static int end(void **state)
{
	struct world *w = *state;
	char command[100];

	log_release(&w->log);
	close(w->dir);
	snprintf(command, sizeof(command), "rm -r %s", w->path);
	return system(command);
}

static struct audit_end end_after(const struct world *w, size_t lines)
{
	return (struct audit_end){.mark = w->log.mark[lines], .file = 1, .size = w->log.begin[lines]};
}

static void put_file(struct world *w, int64_t first, const void *p, size_t n)
{
	char name[AUDIT_NAME_MAX];

	audit_file_name(name, first);
	int fd = openat(w->dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, p, n), 0);
	close(fd);
}

static void assert_file(struct world *w, int64_t first, const void *p, size_t n)
{
	CLEANUP(free_ptr) char *is = malloc(n + 1);
	char name[AUDIT_NAME_MAX];

	audit_file_name(name, first);
	int fd = openat(w->dir, name, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fd_pread_full(fd, is, n + 1, 0), n);
	assert_memory_equal(is, p, n);
	close(fd);
}

static struct str lines_of(const struct world *w, size_t from, size_t to)
{
	return (struct str){w->log.text.p + w->log.begin[from], w->log.begin[to] - w->log.begin[from]};
}

static void append(struct world *w, struct audit_writer *x, size_t from, size_t to)
{
	assert_int_equal(audit_writer_append(x, lines_of(w, from, to), &w->log.mark[to], NULL), 0);
}

static void open_after(struct world *w, struct audit_writer *x, size_t lines)
{
	struct audit_end at = end_after(w, lines);

	assert_int_equal(audit_writer_open(x, &w->env, w->dir, 1 << 20, &at, NULL), 0);
}

static void a_new_log_is_begun_and_gone_on_with(void **state)
{
	struct world *w = *state;
	struct audit_writer x;

	open_after(w, &x, 0);
	assert_int_equal(audit_writer_settle(&x, NULL), 0);
	append(w, &x, 0, 5);
	audit_writer_close(&x);
	open_after(w, &x, 5);
	assert_false(x.broken);
	assert_int_equal(x.unknown, 0);
	assert_int_equal(audit_writer_settle(&x, NULL), 0);
	append(w, &x, 5, LINES);
	audit_writer_close(&x);
	assert_file(w, 1, w->log.text.p, w->log.text.len);
}

/* Confirmed up to line 4, and any number of bytes of the lines behind it there; or the bytes at some place never reached the disk. */
static void whatever_a_crash_leaves_is_written_again(void **state)
{
	struct world *w = *state;
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	bool agrees = false;

	for (size_t n = w->log.begin[4]; n <= w->log.text.len; n += 7) {
		struct audit_writer x;

		buf_reset(&b);
		buf_add(&b, w->log.text.p, n);
		if (n % 3 == 0 && n > w->log.begin[4] + 50)
			memset(b.p + n - 50, '\0', 50);
		put_file(w, 1, b.p, b.len);
		open_after(w, &x, 4);
		assert_int_equal(x.unknown, n - w->log.begin[4]);
		assert_int_equal(audit_writer_agrees(&x, 0, lines_of(w, 4, 8), &agrees, NULL), 0);
		assert_true(agrees);
		if (x.unknown > lines_of(w, 4, 8).len) {
			assert_int_equal(audit_writer_agrees(&x, lines_of(w, 4, 8).len, lines_of(w, 8, LINES), &agrees, NULL), 0);
			assert_true(agrees);
		}
		assert_false(x.broken);
		assert_int_equal(audit_writer_settle(&x, NULL), 0);
		assert_file(w, 1, w->log.text.p, w->log.begin[4]);
		append(w, &x, 4, LINES);
		audit_writer_close(&x);
		assert_file(w, 1, w->log.text.p, w->log.text.len);
	}
}

static void what_is_not_to_follow_is_kept_and_a_new_file_begun(void **state)
{
	struct world *w = *state;
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct audit_writer x;
	bool agrees = true;

	buf_add(&b, w->log.text.p, w->log.begin[6]);
	b.p[w->log.begin[5] + 20] ^= 1;
	put_file(w, 1, b.p, b.len);
	open_after(w, &x, 4);
	assert_int_equal(audit_writer_agrees(&x, 0, lines_of(w, 4, LINES), &agrees, NULL), 0);
	assert_false(agrees);
	assert_true(x.broken);
	assert_int_equal(audit_writer_settle(&x, NULL), 0);
	append(w, &x, 4, LINES);
	assert_int_equal(x.end.file, 5);
	audit_writer_close(&x);
	assert_file(w, 1, b.p, b.len);
	assert_file(w, 5, w->log.text.p + w->log.begin[4], w->log.text.len - w->log.begin[4]);
}

static void more_than_was_to_follow_is_foreign(void **state)
{
	struct world *w = *state;
	struct audit_writer x;
	bool agrees = true;

	put_file(w, 1, w->log.text.p, w->log.begin[6]);
	open_after(w, &x, 4);
	assert_int_equal(audit_writer_agrees(&x, 0, (struct str){}, &agrees, NULL), 0);
	assert_false(agrees);
	assert_true(x.broken);
	audit_writer_close(&x);
}

static void a_log_that_was_cut_changed_or_taken_away_is_told(void **state)
{
	struct world *w = *state;
	struct audit_writer x;
	char name[AUDIT_NAME_MAX];

	put_file(w, 1, w->log.text.p, w->log.begin[4] - 1);
	open_after(w, &x, 4);
	assert_true(x.broken);
	audit_writer_close(&x);

	w->log.text.p[w->log.begin[4] - 10] ^= 1;
	put_file(w, 1, w->log.text.p, w->log.begin[4]);
	w->log.text.p[w->log.begin[4] - 10] ^= 1;
	open_after(w, &x, 4);
	assert_true(x.broken);
	audit_writer_close(&x);

	audit_file_name(name, 1);
	assert_int_equal(unlinkat(w->dir, name, 0), 0);
	open_after(w, &x, 4);
	assert_true(x.broken);
	assert_int_equal(audit_writer_settle(&x, NULL), 0);
	append(w, &x, 4, 5);
	audit_writer_close(&x);
	assert_file(w, 5, w->log.text.p + w->log.begin[4], w->log.begin[5] - w->log.begin[4]);
}

static void a_full_disk_takes_nothing_half(void **state)
{
	struct world *w = *state;
	struct audit_writer x;

	open_after(w, &x, 0);
	assert_int_equal(audit_writer_settle(&x, NULL), 0);
	append(w, &x, 0, 3);
	for (int64_t room = 0; room < (int64_t)lines_of(w, 3, 6).len; room += 11) {
		w->room = room;
		assert_int_equal(audit_writer_append(&x, lines_of(w, 3, 6), &w->log.mark[6], NULL), ERR_STORAGE_FULL);
		assert_false(x.sealed);
		assert_file(w, 1, w->log.text.p, w->log.begin[3]);
	}
	w->room = -1;
	append(w, &x, 3, LINES);
	assert_file(w, 1, w->log.text.p, w->log.text.len);
	audit_writer_close(&x);
}

static void a_failed_flush_ends_it_until_a_restart(void **state)
{
	struct world *w = *state;
	struct audit_writer x;
	bool agrees;

	open_after(w, &x, 0);
	assert_int_equal(audit_writer_settle(&x, NULL), 0);
	append(w, &x, 0, 3);
	w->flush_fails = true;
	assert_int_not_equal(audit_writer_append(&x, lines_of(w, 3, 6), &w->log.mark[6], NULL), 0);
	assert_true(x.sealed);
	assert_int_equal(x.end.mark.seq, 3);
	w->flush_fails = false;
	assert_int_equal(audit_writer_append(&x, lines_of(w, 3, 6), &w->log.mark[6], NULL), ERR_STORAGE_SEALED);
	audit_writer_close(&x);
	open_after(w, &x, 3);
	assert_int_equal(audit_writer_agrees(&x, 0, lines_of(w, 3, LINES), &agrees, NULL), 0);
	assert_true(agrees);
	assert_int_equal(audit_writer_settle(&x, NULL), 0);
	append(w, &x, 3, LINES);
	audit_writer_close(&x);
	assert_file(w, 1, w->log.text.p, w->log.text.len);
}

static void a_new_file_that_was_not_confirmed_is_taken_up_again(void **state)
{
	struct world *w = *state;
	struct audit_end at;
	bool agrees = false;

	for (size_t there = 0; there <= 2; there++) { /* not begun, empty, half a line in it */
		struct audit_writer x;
		char name[AUDIT_NAME_MAX];

		audit_file_name(name, 5);
		(void)unlinkat(w->dir, name, 0);
		put_file(w, 1, w->log.text.p, w->log.begin[4]);
		if (there > 0)
			put_file(w, 5, w->log.text.p + w->log.begin[4], there == 2 ? 50 : 0);
		at = end_after(w, 4);
		assert_int_equal(audit_writer_open(&x, &w->env, w->dir, 100, &at, NULL), 0);
		assert_int_equal(x.unknown, there == 2 ? 50 : 0);
		if (there == 2) {
			assert_int_equal(audit_writer_agrees(&x, 0, lines_of(w, 4, LINES), &agrees, NULL), 0);
			assert_true(agrees);
		}
		assert_false(x.broken);
		assert_int_equal(audit_writer_settle(&x, NULL), 0);
		assert_int_equal(audit_writer_rotate(&x, NULL), 0);
		append(w, &x, 4, LINES);
		assert_int_equal(x.end.file, 5);
		audit_writer_close(&x);
		assert_file(w, 1, w->log.text.p, w->log.begin[4]);
		assert_file(w, 5, w->log.text.p + w->log.begin[4], w->log.text.len - w->log.begin[4]);
	}
}

/* Its own file ends at line 6, of which the other writer that went on knew 4. */
static void a_log_that_another_went_on_with_begins_a_new_file(void **state)
{
	struct world *w = *state;
	struct audit_end at = {.mark = w->log.mark[9], .file = 5, .size = 1000, .elsewhere = true};
	struct audit_writer x;
	bool agrees = false;

	put_file(w, 1, w->log.text.p, w->log.begin[6]);
	for (int again = 0; again < 2; again++) { /* the second time what it wrote was not confirmed */
		assert_int_equal(audit_writer_open(&x, &w->env, w->dir, 1 << 20, &at, NULL), 0);
		assert_int_equal(x.unknown, again ? w->log.begin[LINES] - w->log.begin[9] : 0);
		if (again)
			assert_int_equal(audit_writer_agrees(&x, 0, lines_of(w, 9, LINES), &agrees, NULL), 0);
		assert_int_equal(audit_writer_settle(&x, NULL), 0);
		assert_false(x.broken);
		assert_int_equal(x.end.file, 10);
		append(w, &x, 9, LINES);
		audit_writer_close(&x);
		assert_file(w, 1, w->log.text.p, w->log.begin[6]);
		assert_file(w, 10, w->log.text.p + w->log.begin[9], w->log.begin[LINES] - w->log.begin[9]);
	}
	assert_true(agrees);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, make, end)
	const struct CMUnitTest tests[] = {
		TEST(a_new_log_is_begun_and_gone_on_with),
		TEST(whatever_a_crash_leaves_is_written_again),
		TEST(what_is_not_to_follow_is_kept_and_a_new_file_begun),
		TEST(more_than_was_to_follow_is_foreign),
		TEST(a_log_that_was_cut_changed_or_taken_away_is_told),
		TEST(a_full_disk_takes_nothing_half),
		TEST(a_failed_flush_ends_it_until_a_restart),
		TEST(a_new_file_that_was_not_confirmed_is_taken_up_again),
		TEST(a_log_that_another_went_on_with_begins_a_new_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
