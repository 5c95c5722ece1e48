/* Whatever is done to a log shows: every bit of it, every line taken out, put in or moved, every cut. */
#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int make(void **state)
{
	static struct log l;

	log_make(&l);
	*state = &l;
	return 0;
}

static int end(void **state)
{
	log_release(*state);
	return 0;
}

static void a_log_that_is_right_is_right(void **state)
{
	struct log *l = *state;
	struct audit_check c = check_bytes(l->text.p, l->text.len, &l->mark[LINES]);

	assert_int_equal(c.fault, AUDIT_FINE);
	assert_int_equal(c.lines, LINES);
	assert_int_equal(c.first, 1);
	assert_int_equal(c.at.seq, LINES);
	assert_memory_equal(c.at.hash, l->mark[LINES].hash, AUDIT_HASH);
	assert_int_equal(check_bytes("", 0, NULL).fault, AUDIT_FINE);
}

static void a_line_is_json_with_its_text_escaped(void **state)
{
	struct log *l = *state;

	assert_true(str_starts(buf_str(&l->text), STR("{\"seq\":1,\"prev\":\"0000000000000000")));
	assert_non_null(strstr(l->text.p,
			       "\"at\":\"2027-01-15T08:00:00.000Z\",\"act\":\"file.deleted\",\"by\":\"request\",\"owner\":\"public\","
			       "\"peer\":\"127.0.0.1\",\"n\":0,\"name\":\"a \\\"name\\\"\\n with \xc3\xa4\",\"hash\":\""));
}

/* Whichever bit it is, with an anchor and without. */
static void every_bit_counts(void **state)
{
	struct log *l = *state;

	for (size_t i = 0; i < l->text.len; i++) {
		for (int bit = 0; bit < 8; bit++) {
			l->text.p[i] ^= (char)(1 << bit);
			struct audit_check c = check_bytes(l->text.p, l->text.len, bit % 2 ? &l->mark[LINES] : NULL);
			l->text.p[i] ^= (char)(1 << bit);
			if (c.fault == AUDIT_FINE)
				fail_msg("bit %d of byte %zu is not missed", bit, i);
			size_t line = 0;
			while (l->begin[line + 1] <= i)
				line++;
			assert_int_equal(c.fault_seq, line + 1);
			assert_int_equal(c.fault_line, line + 1);
		}
	}
}

static void every_line_that_is_taken_out_is_missed(void **state)
{
	struct log *l = *state;
	CLEANUP(buf_release) struct buf b = BUF_INIT;

	for (size_t i = 0; i < LINES; i++) {
		buf_reset(&b);
		buf_add(&b, l->text.p, l->begin[i]);
		buf_add(&b, l->text.p + l->begin[i + 1], l->text.len - l->begin[i + 1]);
		struct audit_check c = check_bytes(b.p, b.len, &l->mark[LINES]);
		assert_int_equal(c.fault, i == LINES - 1 ? AUDIT_CUT : AUDIT_REMOVED);
		assert_int_equal(c.fault_seq, i + 1);
	}
}

static void every_line_that_is_put_in_again_is_noticed(void **state)
{
	struct log *l = *state;
	CLEANUP(buf_release) struct buf b = BUF_INIT;

	for (size_t i = 0; i < LINES; i++) {
		for (size_t at = i + 1; at <= LINES; at++) {
			buf_reset(&b);
			buf_add(&b, l->text.p, l->begin[at]);
			buf_add(&b, l->text.p + l->begin[i], l->begin[i + 1] - l->begin[i]);
			buf_add(&b, l->text.p + l->begin[at], l->text.len - l->begin[at]);
			struct audit_check c = check_bytes(b.p, b.len, NULL);
			assert_int_equal(c.fault, AUDIT_INSERTED);
			assert_int_equal(c.fault_line, at + 1);
		}
	}
}

static void every_line_that_is_moved_is_noticed(void **state)
{
	struct log *l = *state;
	CLEANUP(buf_release) struct buf b = BUF_INIT;

	for (size_t i = 0; i < LINES; i++) {
		for (size_t to = i + 1; to < LINES; to++) {
			buf_reset(&b);
			buf_add(&b, l->text.p, l->begin[i]);
			buf_add(&b, l->text.p + l->begin[i + 1], l->begin[to + 1] - l->begin[i + 1]);
			buf_add(&b, l->text.p + l->begin[i], l->begin[i + 1] - l->begin[i]);
			buf_add(&b, l->text.p + l->begin[to + 1], l->text.len - l->begin[to + 1]);
			struct audit_check c = check_bytes(b.p, b.len, &l->mark[LINES]);
			assert_int_equal(c.fault, AUDIT_REORDERED);
			assert_int_equal(c.fault_seq, i + 1);
		}
	}
}

/* In the midst of a line it shows by itself, at the end of one by the anchor. */
static void every_cut_is_noticed(void **state)
{
	struct log *l = *state;

	for (size_t n = 0; n < l->text.len; n++) {
		bool between = n == 0 || l->text.p[n - 1] == '\n';
		assert_int_equal(check_bytes(l->text.p, n, &l->mark[LINES]).fault, AUDIT_CUT);
		assert_int_equal(check_bytes(l->text.p, n, NULL).fault, between ? AUDIT_FINE : AUDIT_TORN);
	}
}

/* A crash tore what the anchor does not know of: that is told apart. */
static void what_is_torn_behind_the_anchor_is_a_crash(void **state)
{
	struct log *l = *state;

	for (size_t n = l->begin[LINES - 1] + 1; n < l->text.len; n++)
		assert_int_equal(check_bytes(l->text.p, n, &l->mark[LINES - 1]).fault, AUDIT_TORN);
}

/* Somebody who knows how it is done: a line with other content and a right hash, and everything behind it made anew. */
static void a_chain_made_anew_shows_at_its_seam_or_at_the_anchor(void **state)
{
	struct log *l = *state;

	for (size_t i = 0; i < LINES; i++) {
		CLEANUP(buf_release) struct buf b = BUF_INIT;
		struct audit_mark mark = l->mark[i];

		buf_add(&b, l->text.p, l->begin[i]);
		assert_int_equal(audit_line(&b, &mark, STR("{\"act\":\"nothing\"}"), l->digest, NULL), 0);
		size_t seam = b.len;
		buf_add(&b, l->text.p + l->begin[i + 1], l->text.len - l->begin[i + 1]);
		struct audit_check c = check_bytes(b.p, b.len, &l->mark[LINES]);
		assert_int_equal(c.fault, AUDIT_REPLACED);
		assert_int_equal(c.fault_line, i == LINES - 1 ? LINES : i + 2);
		b.len = seam;
		for (size_t k = i + 1; k < LINES; k++)
			assert_int_equal(audit_line(&b, &mark, STR("{\"act\":\"nothing\"}"), l->digest, NULL), 0);
		c = check_bytes(b.p, b.len, &l->mark[LINES]);
		assert_int_equal(c.fault, AUDIT_REPLACED);
		assert_int_equal(c.fault_seq, LINES);
		assert_int_equal(check_bytes(b.p, b.len, NULL).fault, AUDIT_FINE); /* which is why there are anchors */
	}
}

static enum audit_fault check_two(const struct log *l, size_t from_a, size_t to_a, size_t from_b, size_t to_b, struct audit_check c)
{
	int a = memory_file(l->text.p + l->begin[from_a], l->begin[to_a] - l->begin[from_a]);
	int b = memory_file(l->text.p + l->begin[from_b], l->begin[to_b] - l->begin[from_b]);

	assert_int_equal(audit_check_file(&c, a, "a", NULL), 0);
	assert_int_equal(audit_check_file(&c, b, "b", NULL), 0);
	audit_check_end(&c);
	close(a);
	close(b);
	return c.fault;
}

static void the_chain_goes_from_file_to_file(void **state)
{
	const struct log *l = *state;
	const struct audit_check anchored = {.anchored = true, .anchor = l->mark[LINES]}, anywhere = {.anywhere = true};

	for (size_t i = 0; i <= LINES; i++)
		assert_int_equal(check_two(l, 0, i, i, LINES, anchored), AUDIT_FINE);
	assert_int_equal(check_two(l, 0, 4, 5, LINES, anchored), AUDIT_REMOVED);
	assert_int_equal(check_two(l, 4, 8, 8, LINES, anchored), AUDIT_REMOVED);
	assert_int_equal(check_two(l, 4, 8, 8, LINES, anywhere), AUDIT_FINE);
	assert_int_equal(check_two(l, 8, LINES, 4, 8, anywhere), AUDIT_INSERTED);
	assert_int_equal(check_two(l, 4, 8, 8, LINES, (struct audit_check){.anywhere = true, .anchored = true, .anchor = l->mark[3]}),
			 AUDIT_REMOVED);
}

static void a_torn_line_is_the_last_of_all(void **state)
{
	const struct log *l = *state;
	struct audit_check c = {};
	int a = memory_file(l->text.p, l->begin[5] - 3), b = memory_file(l->text.p + l->begin[5], 100);

	assert_int_equal(audit_check_file(&c, a, "a", NULL), 0);
	assert_int_equal(c.fault, AUDIT_TORN);
	assert_int_equal(audit_check_file(&c, b, "b", NULL), 0);
	assert_int_equal(c.fault, AUDIT_CHANGED);
	assert_string_equal(c.fault_file, "a");
	audit_check_end(&c);
	close(a);
	close(b);
}

static void a_line_longer_than_any_is_none(void **state)
{
	static char big[2 << 20];

	memset(big, 'x', sizeof(big));
	assert_int_equal(check_bytes(big, sizeof(big), NULL).fault, AUDIT_CHANGED);
	big[sizeof(big) - 1] = '\n';
	assert_int_equal(check_bytes(big, sizeof(big), NULL).fault, AUDIT_CHANGED);
}

static void names_are_read_as_they_are_written(void **state)
{
	static const char *const bad[] = {"audit-1.jsonl",
					  "audit-000000000000.jsonl",
					  "audit-000000000001.jsonl.broken-1",
					  "audit-00000000000x.jsonl",
					  "audit-000000000001",
					  "x",
					  ""};
	char name[AUDIT_NAME_MAX];
	int64_t first;

	for (int64_t n = 1; n < INT64_MAX / 7; n *= 7) {
		audit_file_name(name, n);
		assert_true(audit_file_parse(&first, name));
		assert_int_equal(first, n);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(audit_file_parse(&first, bad[i]));
}

/* ---- of several writers that took turns ---- */

struct part {
	size_t from, to; /* lines */
	size_t torn; /* bytes of the line after them */
};

static struct audit_check check_turns(const struct log *l, const struct part *parts, size_t n, bool some)
{
	struct audit_check c = {.turns = true, .some = some};

	for (size_t i = 0; i < n; i++) {
		size_t begin = l->begin[parts[i].from];
		int fd = memory_file(l->text.p + begin, l->begin[parts[i].to] - begin + parts[i].torn);

		assert_int_equal(audit_check_file(&c, fd, "part", NULL), 0);
		close(fd);
	}
	audit_check_end(&c);
	return c;
}

static void what_two_wrote_because_one_died_is_read_once(void **state)
{
	struct log *l = *state;
	static const struct part parts[] = {{0, 6, 30}, {4, 5, 0}, {5, 9, 0}, {9, LINES, 0}};
	struct audit_check c = check_turns(l, parts, ARRAY_LEN(parts), false);

	assert_int_equal(c.fault, AUDIT_FINE);
	assert_int_equal(c.lines, LINES);
	assert_int_equal(c.at.seq, LINES);
	assert_memory_equal(c.at.hash, l->mark[LINES].hash, AUDIT_HASH);
	assert_int_equal(c.missing, 0);
}

static void a_part_that_is_not_there_is_missed_or_counted(void **state)
{
	struct log *l = *state;
	static const struct part parts[] = {{2, 4, 0}, {7, 9, 0}};

	assert_int_equal(check_turns(l, parts, ARRAY_LEN(parts), false).fault, AUDIT_REMOVED);
	assert_int_equal(check_turns(l, parts, ARRAY_LEN(parts), true).fault, AUDIT_REMOVED); /* nobody says that he went on there */
	static const struct part hole[] = {{0, 4, 0}, {7, 9, 0}};
	assert_int_equal(check_turns(l, hole, ARRAY_LEN(hole), false).fault, AUDIT_REMOVED);
}

/* Lines of one's own making behind the log's n-th, each with a right hash. */
static int made_anew(const struct log *l, size_t n, const char *const *entries, size_t n_entries)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct audit_mark mark = l->mark[n];

	for (size_t i = 0; i < n_entries; i++)
		assert_int_equal(audit_line(&b, &mark, str_of(entries[i]), l->digest, NULL), 0);
	return memory_file(b.p, b.len);
}

static struct audit_check check_behind(const struct log *l, size_t lines, int fd, bool some)
{
	struct audit_check c = {.turns = true, .some = some};
	int before = memory_file(l->text.p, l->begin[lines]);

	assert_int_equal(audit_check_file(&c, before, "before", NULL), 0);
	assert_int_equal(audit_check_file(&c, fd, "part", NULL), 0);
	audit_check_end(&c);
	close(before);
	close(fd);
	return c;
}

static void who_took_his_turn_says_so(void **state)
{
	static const char *const entries[] = {"{\"at\":\"x\",\"act\":\"file.deleted\"}", "{\"at\":\"x\",\"act\":\"audit.continued\"}"};
	struct log *l = *state;
	struct audit_check c = check_behind(l, 4, made_anew(l, 7, entries, 2), true);

	assert_int_equal(c.fault, AUDIT_FINE);
	assert_int_equal(c.lines, 6);
	assert_int_equal(c.missing, 3);
	assert_string_equal(c.ranges, "5 to 7");
	assert_int_equal(check_behind(l, 4, made_anew(l, 7, entries, 2), false).fault, AUDIT_REMOVED);
	c = check_behind(l, 4, made_anew(l, 7, entries, 1), true);
	assert_int_equal(c.fault, AUDIT_REMOVED);
	assert_int_equal(c.fault_seq, 5);
}

/* Lines that were made anew show where another file has the right ones, at its end and in its midst. */
static void parts_that_disagree_show(void **state)
{
	static const char *const entries[] = {"{\"at\":\"x\",\"act\":\"forged\"}"};
	struct log *l = *state;

	assert_int_equal(check_behind(l, 4, made_anew(l, 3, entries, 1), false).fault, AUDIT_REPLACED);
	assert_int_equal(check_behind(l, LINES, made_anew(l, 3, entries, 1), false).fault, AUDIT_REPLACED);
	assert_int_equal(check_behind(l, LINES, made_anew(l, LINES, entries, 1), false).fault, AUDIT_FINE);
}

static void long_texts_are_cut_at_a_character(void **state)
{
	char name[AUDIT_TEXT_MAX + 100];
	struct arena a = ARENA_INIT;
	struct str entry;
	const struct audit_by by = {.how = "server"};

	memset(name, 'x', sizeof(name));
	memcpy(name + AUDIT_TEXT_MAX - 1, "\xc3\xa4", 2);
	assert_int_equal(audit_entry(&entry, &a, 1, AUDIT_FILE_STORED, &by, NULL, LF_STR("name", ((struct str){name, sizeof(name)}))), 0);
	assert_true(str_eq((struct str){entry.p + entry.len - 4, 4}, STR("xx\"}")));
	arena_release(&a);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, make, end)
	const struct CMUnitTest tests[] = {
		TEST(a_log_that_is_right_is_right),
		TEST(a_line_is_json_with_its_text_escaped),
		TEST(every_bit_counts),
		TEST(every_line_that_is_taken_out_is_missed),
		TEST(every_line_that_is_put_in_again_is_noticed),
		TEST(every_line_that_is_moved_is_noticed),
		TEST(every_cut_is_noticed),
		TEST(what_is_torn_behind_the_anchor_is_a_crash),
		TEST(a_chain_made_anew_shows_at_its_seam_or_at_the_anchor),
		TEST(the_chain_goes_from_file_to_file),
		TEST(a_torn_line_is_the_last_of_all),
		TEST(a_line_longer_than_any_is_none),
		TEST(names_are_read_as_they_are_written),
		TEST(what_two_wrote_because_one_died_is_read_once),
		TEST(a_part_that_is_not_there_is_missed_or_counted),
		TEST(who_took_his_turn_says_so),
		TEST(parts_that_disagree_show),
		TEST(long_texts_are_cut_at_a_character),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
