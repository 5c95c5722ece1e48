#include "contract.h"

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
	const struct contract_kind *kind;
	struct blobs *blobs;
};

static struct world *world_new(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	place_make(&w->place);
	w->kind = *state;
	w->blobs = w->kind->make(w->kind, &w->place);
	return w;
}

static void world_free(struct world *w)
{
	blobs_free(w->blobs);
	if (w->kind->end)
		w->kind->end(w->kind);
	place_remove(&w->place);
	free(w);
}

static void a_committed_blob_is_read_back(void **state)
{
	struct world *w = world_new(state);

	assert_int_equal(put_blob(w->blobs, NAME, 10000, 1, 777, NULL), 0);
	assert_true(holds_blob(w->blobs, NAME, 10000, 1));
	assert_false(holds_blob(w->blobs, NAME, 10000, 2));
	world_free(w);
}

static void an_empty_blob_is_a_blob(void **state)
{
	struct world *w = world_new(state);

	assert_int_equal(put_blob(w->blobs, NAME, 0, 1, 1, NULL), 0);
	assert_true(holds_blob(w->blobs, NAME, 0, 1));
	world_free(w);
}

static void a_large_blob_is_read_back(void **state)
{
	struct world *w = world_new(state);

	assert_int_equal(put_blob(w->blobs, NAME, (20u << 20) + 13, 2, 300000, NULL), 0);
	assert_true(holds_blob(w->blobs, NAME, (20u << 20) + 13, 2));
	world_free(w);
}

static void a_wrong_size_hint_does_no_harm(void **state)
{
	struct world *w = world_new(state);
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
	struct world *w = world_new(state);
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
	struct world *w = world_new(state);
	char name[BLOB_NAME_MAX + 1];

	memset(name, 'x', BLOB_NAME_MAX);
	memcpy(name, "o/00/", 5);
	name[BLOB_NAME_MAX] = '\0';
	assert_int_equal(put_blob(w->blobs, name, 5, 1, 5, NULL), 0);
	assert_true(holds_blob(w->blobs, name, 5, 1));
	world_free(w);
}

static bool is_text(struct blobs *b, const char *name, const char *text)
{
	CLEANUP(fd_close) int fd = -1;
	char got[64] = "";
	uint64_t size;

	return blob_open(b, str_of(name), &fd, &size, NULL) == 0 && size == strlen(text) &&
	       fd_pread_full(fd, got, sizeof(got) - 1, 0) >= 0 && strcmp(got, text) == 0;
}

static void a_name_is_taken_from_its_creation_on(void **state)
{
	struct world *w = world_new(state);
	struct blob_writer *first, *second = NULL;
	struct err e = ERR_INIT;

	assert_int_equal(blob_create(w->blobs, str_of(NAME), 0, &first, NULL), 0);
	assert_int_equal(blob_create(w->blobs, str_of(NAME), 0, &second, &e), ERR_CONFLICT);
	assert_null(second);
	assert_int_equal(blob_append(first, "first", 5, NULL), 0);
	assert_int_equal(blob_commit(first, NULL), 0);
	int r = blob_create(w->blobs, str_of(NAME), 0, &second, &e);
	if (w->kind->shared && r == 0) {
		assert_int_equal(blob_append(second, "second", 6, NULL), 0);
		r = blob_commit(second, &e);
	} else {
		assert_null(second);
	}
	assert_int_equal(r, ERR_CONFLICT);
	assert_true(is_text(w->blobs, NAME, "first"));
	world_free(w);
}

static void an_abandoned_blob_is_not_there(void **state)
{
	struct world *w = world_new(state);
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
	struct world *w = world_new(state);
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
	struct world *w = world_new(state);
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
	struct world *w = world_new(state);
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
	struct world *w = world_new(state);
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
	struct world *w = world_new(state);
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

static int count_names(void *arg, struct str name, uint64_t size)
{
	assert_true(str_starts(name, STR("filemill/00/")));
	*(uint64_t *)arg += 1;
	return 0;
}

static void visiting_some_sees_those_alone(void **state)
{
	struct world *w = world_new(state);
	uint64_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(visit_names); i++)
		assert_int_equal(put_blob(w->blobs, visit_names[i], 1, 1, 1, NULL), 0);
	assert_int_equal(blobs_visit_some(w->blobs, STR("filemill/00/"), count_names, &n, NULL), 0);
	assert_int_equal(n, 0);
	assert_int_equal(put_blob(w->blobs, "filemill/00/a", 1, 1, 1, NULL), 0);
	assert_int_equal(put_blob(w->blobs, "filemill/01/a", 1, 1, 1, NULL), 0);
	assert_int_equal(put_blob(w->blobs, "filemill/00/b", 1, 1, 1, NULL), 0);
	assert_int_equal(blobs_visit_some(w->blobs, STR("filemill/00/"), count_names, &n, NULL), 0);
	assert_int_equal(n, 2);
	world_free(w);
}

static void a_visitor_may_stop_and_its_answer_comes_back(void **state)
{
	struct world *w = world_new(state);
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
	struct world *w = world_new(state);
	struct seen seen = {};
	char name[64];

	for (unsigned i = 0; i < (w->kind->shared ? 150 : 600); i++) {
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
	struct world *w = world_new(state);
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
		"public/7f/0190d2a6-1111-7111-8111-11111111117f.arrivals",
		"public/7f/0190d2a6-1111-7111-8111-11111111117g.arrival",
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
	blob_name_for_arrival(name, STR("someone"), "0190d2a6-1111-7111-8111-11111111117f");
	assert_true(blob_name_valid(str_of(name)));
	assert_int_equal(blob_name_parse(&id, &fence, str_of(name)), BLOB_OF_ARRIVAL);
	uuid_format(text, id);
	assert_string_equal(text, "0190d2a6-1111-7111-8111-11111111117f");
	for (size_t i = 0; i < ARRAY_LEN(nobodys); i++)
		assert_int_equal(blob_name_parse(&id, &fence, str_of(nobodys[i])), BLOB_OF_NOBODY);
}

/* Reads to the end in pieces of at most so many bytes; how many there were. */
static size_t read_pieces(struct blob_reader *r, char *dst, size_t piece, size_t room)
{
	size_t done = 0, n = 1;

	while (n > 0) {
		assert_int_equal(blob_read(r, dst + done, piece < room - done ? piece : room - done, &n, NULL), 0);
		done += n;
	}
	return done;
}

static void a_part_of_a_blob_is_read_piece_by_piece(void **state)
{
	static const struct {
		uint64_t from, length, want;
	} parts[] = {{0, UINT64_MAX, 3000000},   {0, 1, 1}, {1, 2, 2}, {999999, 1000001, 1000001}, {2999999, UINT64_MAX, 1},
		     {2000000, 5000000, 1000000}};
	struct world *w = world_new(state);
	char *want = malloc(3000000), *got = malloc(3000001);
	struct blob_reader *r;
	uint64_t size;

	assert_true(want && got);
	fill_pattern(want, 3000000, 4);
	assert_int_equal(put_blob(w->blobs, NAME, 3000000, 4, 3000000, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		assert_int_equal(blob_read_open(w->blobs, str_of(NAME), parts[i].from, parts[i].length, &r, &size, NULL), 0);
		assert_int_equal(size, 3000000);
		assert_int_equal(read_pieces(r, got, 70001, 3000001), parts[i].want);
		assert_memory_equal(got, want + parts[i].from, parts[i].want);
		blob_read_close(r);
	}
	free(want);
	free(got);
	world_free(w);
}

static void a_reader_may_stop_anywhere(void **state)
{
	struct world *w = world_new(state);
	struct blob_reader *r;
	uint64_t size;
	char byte;
	size_t n;

	assert_int_equal(put_blob(w->blobs, NAME, 4000000, 4, 4000000, NULL), 0);
	assert_int_equal(blob_read_open(w->blobs, str_of(NAME), 0, UINT64_MAX, &r, &size, NULL), 0);
	blob_read_close(r);
	assert_int_equal(blob_read_open(w->blobs, str_of(NAME), 0, UINT64_MAX, &r, &size, NULL), 0);
	assert_int_equal(blob_read(r, &byte, 1, &n, NULL), 0);
	assert_int_equal(n, 1);
	blob_read_close(r);
	blob_read_close(NULL);
	world_free(w);
}

static void what_is_not_there_cannot_be_read_in_parts(void **state)
{
	struct world *w = world_new(state);
	struct blob_reader *r = NULL;
	uint64_t size;
	char byte;
	size_t n = 7;

	assert_int_equal(blob_read_open(w->blobs, STR("../00/a"), 0, 1, &r, &size, NULL), ERR_BAD_NAME);
	assert_int_equal(blob_read_open(w->blobs, str_of(NAME), 0, UINT64_MAX, &r, &size, NULL), ERR_NOT_FOUND);
	assert_int_equal(put_blob(w->blobs, NAME, 10, 4, 10, NULL), 0);
	assert_int_equal(blob_read_open(w->blobs, str_of(NAME), 10, 1, &r, &size, NULL), ERR_RANGE_UNSATISFIABLE);
	assert_int_equal(blob_read_open(w->blobs, str_of(NAME), UINT64_MAX - 1, UINT64_MAX, &r, &size, NULL), ERR_RANGE_UNSATISFIABLE);
	assert_null(r);
	assert_int_equal(put_blob(w->blobs, "public/7f/empty", 0, 4, 1, NULL), 0);
	assert_int_equal(blob_read_open(w->blobs, STR("public/7f/empty"), 0, UINT64_MAX, &r, &size, NULL), 0);
	assert_int_equal(size, 0);
	assert_int_equal(blob_read(r, &byte, 1, &n, NULL), 0);
	assert_int_equal(n, 0);
	blob_read_close(r);
	world_free(w);
}

#define COPY "public/00/the-copy"

/* Of NAME, which it reads; false where the store copies nothing. */
static bool read_origin(struct world *w, struct blob_origin *ret)
{
	struct blob_reader *r;
	uint64_t size;

	assert_int_equal(blob_read_open(w->blobs, STR(NAME), 0, UINT64_MAX, &r, &size, NULL), 0);
	const bool copies = blob_read_origin(r, ret);
	blob_read_close(r);
	return copies;
}

/* The first `n` bytes are appended, as they were read. */
static int make_copy(struct world *w, const struct blob_origin *from, size_t n)
{
	struct blob_writer *writer;
	char *bytes = malloc(n + 1);
	int rc = blob_create_copy(w->blobs, STR(COPY), from, &writer, NULL);

	assert_non_null(bytes);
	if (rc == 0) {
		fill_pattern(bytes, n, 1);
		rc = blob_append(writer, bytes, n, NULL);
		if (rc == 0)
			rc = blob_commit(writer, NULL);
		else
			blob_abandon(writer);
	}
	free(bytes);
	return rc;
}

static void a_copy_has_the_bytes_that_were_read_or_is_none(void **state)
{
	struct world *w = world_new(state);
	struct blob_origin from;
	uint64_t size;
	int fd;

	assert_int_equal(put_blob(w->blobs, NAME, 10000, 1, 777, NULL), 0);
	if (!read_origin(w, &from)) {
		struct blob_writer *writer;

		from = (struct blob_origin){.name = NAME};
		assert_int_equal(blob_create_copy(w->blobs, STR(COPY), &from, &writer, NULL), ERR_NOT_IMPLEMENTED);
		world_free(w);
		return;
	}
	assert_int_equal(make_copy(w, &from, 9999), ERR_IO);
	assert_int_equal(make_copy(w, &from, 10001), ERR_IO);
	assert_int_equal(blob_open(w->blobs, STR(COPY), &fd, &size, NULL), ERR_NOT_FOUND);
	assert_int_equal(make_copy(w, &from, 10000), 0);
	assert_true(holds_blob(w->blobs, COPY, 10000, 1));
	assert_int_equal(make_copy(w, &from, 10000), ERR_CONFLICT); /* it is there */
	assert_int_equal(blob_remove(w->blobs, STR(COPY), NULL), 0);
	assert_true(holds_blob(w->blobs, NAME, 10000, 1));
	/* Somebody changes it, and then it goes. */
	assert_int_equal(blob_remove(w->blobs, STR(NAME), NULL), 0);
	assert_int_equal(put_blob(w->blobs, NAME, 10000, 2, 777, NULL), 0);
	assert_int_equal(make_copy(w, &from, 10000), ERR_CONFLICT);
	assert_int_equal(blob_remove(w->blobs, STR(NAME), NULL), 0);
	assert_int_equal(make_copy(w, &from, 10000), ERR_CONFLICT);
	assert_int_equal(blob_open(w->blobs, STR(COPY), &fd, &size, NULL), ERR_NOT_FOUND);
	world_free(w);
}

static void freeing_nothing_is_allowed(void **state)
{
	blobs_free(NULL);
}

int contract_run(const struct contract_kind *kind)
{
	/* cmocka hands the state on as it is. */
	void *state = (void *)(uintptr_t)kind;
#define CONTRACT(test)                                                                                                                     \
	{                                                                                                                                  \
#test, test, NULL, NULL, state                                                                                             \
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
		CONTRACT(a_part_of_a_blob_is_read_piece_by_piece),
		CONTRACT(a_reader_may_stop_anywhere),
		CONTRACT(what_is_not_there_cannot_be_read_in_parts),
		CONTRACT(a_blob_removed_while_it_is_written_is_not_committed),
		CONTRACT(visiting_sees_every_name_once_with_its_size),
		CONTRACT(visiting_some_sees_those_alone),
		CONTRACT(a_visitor_may_stop_and_its_answer_comes_back),
		CONTRACT(a_visitor_may_remove_what_it_is_shown),
		CONTRACT(a_probe_of_a_healthy_store_succeeds_and_leaves_nothing),
		CONTRACT(a_file_id_becomes_a_valid_name),
		CONTRACT(every_output_of_every_attempt_has_a_valid_name_of_its_own),
		CONTRACT(a_name_tells_whose_blob_it_is),
		CONTRACT(a_copy_has_the_bytes_that_were_read_or_is_none),
		CONTRACT(freeing_nothing_is_allowed),
	};

	return cmocka_run_group_tests_name(kind->name, tests, NULL, NULL);
}
