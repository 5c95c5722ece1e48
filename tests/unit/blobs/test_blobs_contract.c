/* The contract of blobs.h, run against every backend and the wrapper. */
#include "place.h"

#include "base/fd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* The three above first: cmocka.h needs them. */
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME "public/7f/0190d2a6-0000-7000-8000-00000000007f"

struct world {
	struct place place;
	struct blobs *blobs;
	struct blobs_fault_plan plan; /* no fault */
};

enum kind { MEMORY, LOCAL, FAULT_MEMORY, FAULT_LOCAL };

static struct blobs *make_store(struct world *w, enum kind kind)
{
	struct blobs *b = NULL, *wrapped = NULL;

	if (kind == MEMORY || kind == FAULT_MEMORY)
		assert_int_equal(blobs_memory_new(&b, NULL), 0);
	else
		assert_int_equal(blobs_local_new(&b, &env_real, w->place.fd, NULL), 0);
	if (kind == MEMORY || kind == LOCAL)
		return b;
	assert_int_equal(blobs_fault_new(&wrapped, b, &w->plan, NULL), 0);
	return wrapped;
}

static struct world *world_new(enum kind kind)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	place_make(&w->place);
	w->blobs = make_store(w, kind);
	return w;
}

static enum kind kind_of(void **state)
{
	return *(enum kind *)*state;
}

static void world_free(struct world *w)
{
	blobs_free(w->blobs);
	place_remove(&w->place);
	free(w);
}

static void a_committed_blob_is_read_back(void **state)
{
	struct world *w = world_new(kind_of(state));

	assert_int_equal(put_blob(w->blobs, NAME, 10000, 1, 777, NULL), 0);
	assert_true(holds_blob(w->blobs, NAME, 10000, 1));
	assert_false(holds_blob(w->blobs, NAME, 10000, 2));
	world_free(w);
}

static void an_empty_blob_is_a_blob(void **state)
{
	struct world *w = world_new(kind_of(state));

	assert_int_equal(put_blob(w->blobs, NAME, 0, 1, 1, NULL), 0);
	assert_true(holds_blob(w->blobs, NAME, 0, 1));
	world_free(w);
}

static void a_large_blob_is_read_back(void **state)
{
	struct world *w = world_new(kind_of(state));

	assert_int_equal(put_blob(w->blobs, NAME, (20u << 20) + 13, 2, 300000, NULL), 0);
	assert_true(holds_blob(w->blobs, NAME, (20u << 20) + 13, 2));
	world_free(w);
}

static void a_wrong_size_hint_does_no_harm(void **state)
{
	struct world *w = world_new(kind_of(state));
	static const uint64_t hints[] = {1, 2u << 20, UINT64_MAX};
	char name[] = "public/00/hint-0";
	struct blob_writer *writer;

	for (size_t i = 0; i < ARRAY_LEN(hints); i++) {
		name[sizeof(name) - 2] = (char)('0' + i);
		assert_int_equal(blob_create(w->blobs, str_of(name), hints[i], &writer, NULL), 0);
		assert_int_equal(blob_append(writer, "abc", 3, NULL), 0);
		assert_int_equal(blob_commit(writer, NULL), 0);
	}
	world_free(w);
}

static void hostile_names_are_refused_everywhere(void **state)
{
	static const char *const names[] = {
		"",        "/",        "//",       "a",        "a/",       "a/00",          "a/00/",       "/00/a",
		"a//b",    "a/00/b/c", "../00/a",  "a/../b",   "a/00/..",  "a/00/.",        "./00/a",      "a/0/b",
		"a/000/b", "a/0G/b",   "a/FF/b",   "a/00/b c", "a/00/b\n", "a/00/\xc3\xa4", "/etc/passwd", "a/00/.hidden",
		".a/00/b", "a\\00\\b", "a/00/b:c", "a/00/b*"};
	struct world *w = world_new(kind_of(state));
	char long_name[BLOB_NAME_MAX + 2];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct str name = str_of(names[i]);
		struct blob_writer *writer = NULL;
		uint64_t size;
		int fd = -1;

		assert_false(blob_name_valid(name));
		assert_int_equal(blob_create(w->blobs, name, 0, &writer, NULL), ERR_BAD_NAME);
		assert_null(writer);
		assert_int_equal(blob_open(w->blobs, name, &fd, &size, NULL), ERR_BAD_NAME);
		assert_int_equal(fd, -1);
		assert_int_equal(blob_remove(w->blobs, name, NULL), ERR_BAD_NAME);
	}
	assert_false(blob_name_valid((struct str){"a/00/b\0c", 8}));
	memset(long_name, 'x', sizeof(long_name));
	memcpy(long_name, "o/00/", 5);
	assert_true(blob_name_valid((struct str){long_name, BLOB_NAME_MAX}));
	assert_false(blob_name_valid((struct str){long_name, BLOB_NAME_MAX + 1}));
	world_free(w);
}

static void the_longest_name_works(void **state)
{
	struct world *w = world_new(kind_of(state));
	char name[BLOB_NAME_MAX + 1];

	memset(name, 'x', BLOB_NAME_MAX);
	memcpy(name, "o/00/", 5);
	name[BLOB_NAME_MAX] = '\0';
	assert_int_equal(put_blob(w->blobs, name, 5, 1, 5, NULL), 0);
	assert_true(holds_blob(w->blobs, name, 5, 1));
	world_free(w);
}

static void a_name_is_taken_from_its_creation_on(void **state)
{
	struct world *w = world_new(kind_of(state));
	struct blob_writer *first, *second = NULL;
	struct err e = ERR_INIT;

	assert_int_equal(blob_create(w->blobs, str_of(NAME), 0, &first, NULL), 0);
	assert_int_equal(blob_create(w->blobs, str_of(NAME), 0, &second, &e), ERR_CONFLICT);
	assert_null(second);
	assert_int_equal(blob_append(first, "first", 5, NULL), 0);
	assert_int_equal(blob_commit(first, NULL), 0);
	assert_int_equal(blob_create(w->blobs, str_of(NAME), 0, &second, &e), ERR_CONFLICT);
	assert_null(second);
	world_free(w);
}

static void an_abandoned_blob_is_not_there(void **state)
{
	struct world *w = world_new(kind_of(state));
	struct blob_writer *writer;
	uint64_t size;
	int fd;

	assert_int_equal(blob_create(w->blobs, str_of(NAME), 0, &writer, NULL), 0);
	assert_int_equal(blob_append(writer, "abc", 3, NULL), 0);
	blob_abandon(writer);
	blob_abandon(NULL);
	assert_int_equal(blob_open(w->blobs, str_of(NAME), &fd, &size, NULL), ERR_NOT_FOUND);
	world_free(w);
}

static void what_was_never_there_is_not_found_and_removed_in_vain(void **state)
{
	struct world *w = world_new(kind_of(state));
	uint64_t size = 77;
	int fd = 77;

	assert_int_equal(blob_open(w->blobs, str_of(NAME), &fd, &size, NULL), ERR_NOT_FOUND);
	assert_int_equal(fd, 77);
	assert_int_equal(size, 77);
	assert_int_equal(blob_remove(w->blobs, str_of(NAME), NULL), 0);
	assert_int_equal(put_blob(w->blobs, NAME, 1, 1, 1, NULL), 0);
	assert_int_equal(blob_open(w->blobs, STR("public/7f/other"), &fd, &size, NULL), ERR_NOT_FOUND);
	assert_int_equal(blob_remove(w->blobs, STR("public/7f/other"), NULL), 0);
	assert_int_equal(blob_open(w->blobs, STR("public/00/other"), &fd, &size, NULL), ERR_NOT_FOUND);
	world_free(w);
}

static void a_removed_blob_is_gone_but_an_open_one_is_read_to_its_end(void **state)
{
	struct world *w = world_new(kind_of(state));
	char bytes[1000], want[1000];
	uint64_t size;
	int fd;

	assert_int_equal(put_blob(w->blobs, NAME, 1000, 3, 1000, NULL), 0);
	assert_int_equal(blob_open(w->blobs, str_of(NAME), &fd, &size, NULL), 0);
	assert_int_equal(blob_remove(w->blobs, str_of(NAME), NULL), 0);
	assert_false(holds_blob(w->blobs, NAME, 1000, 3));
	fill_pattern(want, 1000, 3);
	assert_int_equal(read(fd, bytes, sizeof(bytes)), 1000);
	assert_memory_equal(bytes, want, 1000);
	close(fd);
	assert_int_equal(blob_remove(w->blobs, str_of(NAME), NULL), 0);
	world_free(w);
}

static void a_reader_gets_a_descriptor_of_its_own_at_the_start(void **state)
{
	struct world *w = world_new(kind_of(state));
	uint64_t size;
	int one, two;
	char c;

	assert_int_equal(put_blob(w->blobs, NAME, 10, 3, 10, NULL), 0);
	assert_int_equal(blob_open(w->blobs, str_of(NAME), &one, &size, NULL), 0);
	assert_int_equal(read(one, &c, 1), 1);
	assert_int_equal(blob_open(w->blobs, str_of(NAME), &two, &size, NULL), 0);
	assert_int_equal(lseek(two, 0, SEEK_CUR), 0);
	assert_int_equal(lseek(one, 0, SEEK_CUR), 1);
	assert_true(fcntl(one, F_GETFD) & FD_CLOEXEC);
	close(one);
	close(two);
	world_free(w);
}

static void a_blob_removed_while_it_is_written_is_not_committed(void **state)
{
	struct world *w = world_new(kind_of(state));
	struct blob_writer *writer;

	assert_int_equal(blob_create(w->blobs, str_of(NAME), 0, &writer, NULL), 0);
	assert_int_equal(blob_append(writer, "abc", 3, NULL), 0);
	assert_int_equal(blob_remove(w->blobs, str_of(NAME), NULL), 0);
	assert_int_equal(blob_commit(writer, NULL), ERR_CONFLICT);
	assert_false(blobs_sealed(w->blobs));
	world_free(w);
}

struct seen {
	unsigned calls;
	unsigned of[5]; /* how often each of the names was seen */
	uint64_t bytes;
	int stop_with;
};

static const char *const visit_names[5] = {"public/00/a", "public/00/b", "public/ff/a", "0190d2a6-0000-7000-8000-000000000001/00/a",
					   "x/7f/1.2.3"};

static int count_visit(void *arg, struct str name, uint64_t size)
{
	struct seen *seen = arg;

	seen->calls++;
	seen->bytes += size;
	for (size_t i = 0; i < ARRAY_LEN(visit_names); i++)
		seen->of[i] += str_eq(name, str_of(visit_names[i]));
	return seen->stop_with;
}

static void visiting_sees_every_name_once_with_its_size(void **state)
{
	struct world *w = world_new(kind_of(state));
	struct seen seen = {};

	assert_int_equal(blobs_visit(w->blobs, count_visit, &seen, NULL), 0);
	assert_int_equal(seen.calls, 0);
	for (size_t i = 0; i < ARRAY_LEN(visit_names); i++)
		assert_int_equal(put_blob(w->blobs, visit_names[i], i + 1, 1, 1, NULL), 0);
	assert_int_equal(blobs_visit(w->blobs, count_visit, &seen, NULL), 0);
	assert_int_equal(seen.calls, 5);
	assert_int_equal(seen.bytes, 1 + 2 + 3 + 4 + 5);
	for (size_t i = 0; i < ARRAY_LEN(visit_names); i++)
		assert_int_equal(seen.of[i], 1);
	world_free(w);
}

static void a_visitor_may_stop_and_its_answer_comes_back(void **state)
{
	struct world *w = world_new(kind_of(state));
	struct seen seen = {.stop_with = ERR_CANCELLED};

	for (size_t i = 0; i < ARRAY_LEN(visit_names); i++)
		assert_int_equal(put_blob(w->blobs, visit_names[i], 1, 1, 1, NULL), 0);
	assert_int_equal(blobs_visit(w->blobs, count_visit, &seen, NULL), ERR_CANCELLED);
	assert_int_equal(seen.calls, 1);
	world_free(w);
}

static int remove_visited(void *arg, struct str name, uint64_t size)
{
	return blob_remove(arg, name, NULL);
}

static void a_visitor_may_remove_what_it_is_shown(void **state)
{
	struct world *w = world_new(kind_of(state));
	struct seen seen = {};
	char name[64];

	for (unsigned i = 0; i < 600; i++) {
		snprintf(name, sizeof(name), "public/%02x/0190d2a6-0000-7000-8000-%012x", i % 4, i);
		assert_int_equal(put_blob(w->blobs, name, 1, 1, 1, NULL), 0);
	}
	assert_int_equal(blobs_visit(w->blobs, remove_visited, w->blobs, NULL), 0);
	assert_int_equal(blobs_visit(w->blobs, count_visit, &seen, NULL), 0);
	assert_int_equal(seen.calls, 0);
	world_free(w);
}

static void a_probe_of_a_healthy_store_succeeds_and_leaves_nothing(void **state)
{
	struct world *w = world_new(kind_of(state));
	struct seen seen = {};

	assert_int_equal(blobs_probe(w->blobs, NULL), 0);
	assert_int_equal(blobs_probe(w->blobs, NULL), 0);
	assert_false(blobs_sealed(w->blobs));
	assert_int_equal(blobs_visit(w->blobs, count_visit, &seen, NULL), 0);
	assert_int_equal(seen.calls, 0);
	world_free(w);
}

static void a_file_id_becomes_a_valid_name(void **state)
{
	char name[BLOB_NAME_MAX + 1];

	blob_name_for_file(name, STR("0190d2a6-0000-7000-8000-000000000001"), "0190d2a6-1111-7111-8111-11111111117f");
	assert_string_equal(name, "0190d2a6-0000-7000-8000-000000000001/7f/0190d2a6-1111-7111-8111-11111111117f");
	assert_true(blob_name_valid(str_of(name)));
	blob_name_for_file(name, STR(""), "0190d2a6-1111-7111-8111-11111111117f");
	assert_string_equal(name, "public/7f/0190d2a6-1111-7111-8111-11111111117f");
}

static void every_output_of_every_attempt_has_a_valid_name_of_its_own(void **state)
{
	char name[BLOB_NAME_MAX + 1];

	blob_name_for_output(name, STR("0190d2a6-0000-7000-8000-000000000001"), "0190d2a6-1111-7111-8111-11111111117f", 3, 0);
	assert_string_equal(name, "0190d2a6-0000-7000-8000-000000000001/7f/0190d2a6-1111-7111-8111-11111111117f.3.0");
	assert_true(blob_name_valid(str_of(name)));
	blob_name_for_output(name, STR(""), "0190d2a6-1111-7111-8111-11111111117f", INT64_MAX, UINT32_MAX);
	assert_string_equal(name, "public/7f/0190d2a6-1111-7111-8111-11111111117f.9223372036854775807.4294967295");
	assert_true(blob_name_valid(str_of(name)));
}

static void a_name_tells_whose_blob_it_is(void **state)
{
	static const char *const nobodys[] = {
		"",
		"public",
		"public/7f/x",
		"public/7f/0190d2a6-1111-7111-8111-11111111117f.3",
		"public/7f/0190d2a6-1111-7111-8111-11111111117f.3.",
		"public/7f/0190d2a6-1111-7111-8111-11111111117f..0",
		"public/7f/0190d2a6-1111-7111-8111-11111111117f.x.0",
		"public/7f/0190d2a6-1111-7111-8111-11111111117f.3.0.0",
		"public/7f/0190d2a6-1111-7111-8111-11111111117f.9223372036854775808.0",
	};
	char name[BLOB_NAME_MAX + 1], text[UUID_TEXT_LEN + 1];
	struct uuid id;
	int64_t fence;

	blob_name_for_file(name, STR(""), "0190d2a6-1111-7111-8111-11111111117f");
	assert_int_equal(blob_name_parse(&id, &fence, str_of(name)), BLOB_OF_FILE);
	uuid_format(text, id);
	assert_string_equal(text, "0190d2a6-1111-7111-8111-11111111117f");
	blob_name_for_output(name, STR("someone"), "0190d2a6-1111-7111-8111-11111111117f", INT64_MAX, 2);
	assert_int_equal(blob_name_parse(&id, &fence, str_of(name)), BLOB_OF_OUTPUT);
	assert_true(fence == INT64_MAX);
	for (size_t i = 0; i < ARRAY_LEN(nobodys); i++)
		assert_int_equal(blob_name_parse(&id, &fence, str_of(nobodys[i])), BLOB_OF_NOBODY);
}

static void freeing_nothing_is_allowed(void **state)
{
	blobs_free(NULL);
}

int main(void)
{
	static enum kind kinds[] = {MEMORY, LOCAL, FAULT_MEMORY, FAULT_LOCAL};
	static const char *const names[] = {"memory", "local", "fault over memory", "fault over local"};
	int failed = 0;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
#define CONTRACT(test)                                                                                                                     \
	{                                                                                                                                  \
#test, test, NULL, NULL, &kinds[i]                                                                                         \
	}
		const struct CMUnitTest tests[] = {
			CONTRACT(a_committed_blob_is_read_back),
			CONTRACT(an_empty_blob_is_a_blob),
			CONTRACT(a_large_blob_is_read_back),
			CONTRACT(a_wrong_size_hint_does_no_harm),
			CONTRACT(hostile_names_are_refused_everywhere),
			CONTRACT(the_longest_name_works),
			CONTRACT(a_name_is_taken_from_its_creation_on),
			CONTRACT(an_abandoned_blob_is_not_there),
			CONTRACT(what_was_never_there_is_not_found_and_removed_in_vain),
			CONTRACT(a_removed_blob_is_gone_but_an_open_one_is_read_to_its_end),
			CONTRACT(a_reader_gets_a_descriptor_of_its_own_at_the_start),
			CONTRACT(a_blob_removed_while_it_is_written_is_not_committed),
			CONTRACT(visiting_sees_every_name_once_with_its_size),
			CONTRACT(a_visitor_may_stop_and_its_answer_comes_back),
			CONTRACT(a_visitor_may_remove_what_it_is_shown),
			CONTRACT(a_probe_of_a_healthy_store_succeeds_and_leaves_nothing),
			CONTRACT(a_file_id_becomes_a_valid_name),
			CONTRACT(every_output_of_every_attempt_has_a_valid_name_of_its_own),
			CONTRACT(a_name_tells_whose_blob_it_is),
			CONTRACT(freeing_nothing_is_allowed),
		};

		failed += cmocka_run_group_tests_name(names[i], tests, NULL, NULL);
	}
	return failed;
}
