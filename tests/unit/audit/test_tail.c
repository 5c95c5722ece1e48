#include "../fresh_folder.h"
/* The newest lines of a log, over its files, however they lie in the pieces that are read. */
#include "log.h"

#include "base/fd.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct folder {
	char path[40];
	int fd;
	struct buf text; /* of the file being written */
	struct audit_mark mark;
	struct digest_set *digest;
	struct arena arena;
	struct audit_tail tail;
};

static int make(void **state)
{
	static struct folder f;

	f = (struct folder){};
	fresh_folder(f.path, sizeof(f.path), "tail");
	f.fd = open(f.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f.fd >= 0);
	assert_int_equal(digest_set_new(&f.digest, 1u << DIGEST_SHA256, NULL), 0);
	*state = &f;
	return 0;
}

static int end(void **state)
{
	struct folder *f = *state;
	CLEANUP(arena_release) struct arena a = ARENA_INIT;
	char name[AUDIT_NAME_MAX];
	int64_t *files;
	size_t n;

	assert_int_equal(audit_files_list(f->fd, &a, &files, &n, NULL), 0);
	for (size_t i = 0; i < n; i++) {
		audit_file_name(name, files[i]);
		assert_int_equal(unlinkat(f->fd, name, 0), 0);
	}
	assert_int_equal(rmdir(f->path), 0);
	close(f->fd);
	digest_set_free(f->digest);
	buf_release(&f->text);
	arena_release(&f->arena);
	return 0;
}

static void add(struct folder *f, enum audit_act act, size_t padding)
{
	static char long_text[AUDIT_TEXT_MAX];
	const struct audit_by by = {.how = "request", .owner = STR("public")};
	struct str entry, text = {long_text, padding};

	memset(long_text, 'x', sizeof(long_text));
	assert_int_equal(
		audit_entry(&entry, &f->arena, 1800000000000, act, &by, NULL, LF_STR("padding", text), LF_STR("act", STR("job.retried"))),
		0);
	assert_int_equal(audit_line(&f->text, &f->mark, entry, f->digest, NULL), 0);
}

/* What was added becomes a file. */
static void close_file(struct folder *f, int64_t first)
{
	char name[AUDIT_NAME_MAX];
	int fd;

	audit_file_name(name, first);
	fd = openat(f->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, f->text.p, f->text.len), 0);
	close(fd);
	buf_reset(&f->text);
}

static size_t look(struct folder *f, int64_t before, int64_t upto, struct str act, uint32_t max)
{
	const struct audit_tail_query q = {.dir_fd = f->fd, .before = before, .upto = upto, .act = act, .max = max};

	assert_int_equal(audit_tail_read(&f->tail, &q, &f->arena, NULL), 0);
	return f->tail.n;
}

static int64_t number_of(struct str line)
{
	long long n = 0;

	assert_int_equal(sscanf(line.p, "{\"seq\":%lld,", &n), 1);
	assert_int_equal(line.p[line.len - 1], '}');
	return n;
}

static void lines_come_newest_first_page_by_page_over_all_files(void **state)
{
	struct folder *f = *state;
	int64_t before = INT64_MAX, expected = 1200;

	for (int64_t i = 1; i <= 1200; i++) {
		add(f, AUDIT_JOB_CANCELLED, (size_t)i % AUDIT_TEXT_MAX);
		if (i == 1 || i == 500 || i == 1200)
			close_file(f, i == 1 ? 1 : i == 500 ? 2 : 501);
	}
	do {
		size_t n = look(f, before, 1200, (struct str){}, 7);

		assert_in_range(n, 1, 7);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(number_of(f->tail.lines[i]), expected--);
		before = f->tail.next;
	} while (before != 0);
	assert_int_equal(expected, 0);
	assert_int_equal(f->tail.broken, 0);
}

static void the_last_line_of_all_has_no_next(void **state)
{
	struct folder *f = *state;

	assert_int_equal(look(f, INT64_MAX, 0, (struct str){}, 5), 0);
	assert_int_equal(f->tail.next, 0);
	for (int i = 0; i < 5; i++)
		add(f, AUDIT_JOB_CANCELLED, 0);
	close_file(f, 1);
	assert_int_equal(look(f, INT64_MAX, 5, (struct str){}, 5), 5);
	assert_int_equal(f->tail.next, 0);
	assert_int_equal(look(f, INT64_MAX, 5, (struct str){}, 4), 4);
	assert_int_equal(f->tail.next, 2);
	assert_int_equal(look(f, 2, 5, (struct str){}, 4), 1);
	assert_int_equal(f->tail.next, 0);
}

static void an_act_is_looked_for_in_its_own_place(void **state)
{
	struct folder *f = *state;

	add(f, AUDIT_JOB_CANCELLED, 0); /* each has a field "act" of another value */
	add(f, AUDIT_JOB_RETRIED, 0);
	add(f, AUDIT_JOB_CANCELLED, 0);
	close_file(f, 1);
	assert_int_equal(look(f, INT64_MAX, 3, STR("job.cancelled"), 5), 2);
	assert_int_equal(number_of(f->tail.lines[1]), 1);
	assert_int_equal(look(f, INT64_MAX, 3, STR("job.retried"), 5), 1);
	assert_int_equal(look(f, INT64_MAX, 3, STR("job.retrie"), 5), 0);
	assert_int_equal(look(f, INT64_MAX, 3, STR("file.deleted"), 5), 0);
}

static void what_is_not_confirmed_and_what_is_half_written_is_not_told(void **state)
{
	struct folder *f = *state;

	for (int i = 0; i < 3; i++)
		add(f, AUDIT_JOB_CANCELLED, 10);
	f->text.len -= 20;
	close_file(f, 1);
	assert_int_equal(look(f, INT64_MAX, 3, (struct str){}, 5), 2);
	assert_int_equal(f->tail.broken, 0);
	assert_int_equal(look(f, INT64_MAX, 1, (struct str){}, 5), 1);
	assert_int_equal(number_of(f->tail.lines[0]), 1);
}

static void a_changed_line_is_counted_and_not_told(void **state)
{
	struct folder *f = *state;

	for (int i = 0; i < 3; i++)
		add(f, AUDIT_JOB_CANCELLED, 10);
	f->text.p[f->text.len / 2] ^= 1;
	close_file(f, 1);
	assert_int_equal(look(f, INT64_MAX, 3, (struct str){}, 5), 2);
	assert_int_equal(f->tail.broken, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lines_come_newest_first_page_by_page_over_all_files, make, end),
		cmocka_unit_test_setup_teardown(the_last_line_of_all_has_no_next, make, end),
		cmocka_unit_test_setup_teardown(an_act_is_looked_for_in_its_own_place, make, end),
		cmocka_unit_test_setup_teardown(what_is_not_confirmed_and_what_is_half_written_is_not_told, make, end),
		cmocka_unit_test_setup_teardown(a_changed_line_is_counted_and_not_told, make, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
