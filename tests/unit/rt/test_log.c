#include "base/buf.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "base/fd.h"
#include "rt/json_in.h"
#include "rt/log.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A log into a pipe, which holds 64 KiB: set up, write, then read what is there. */
struct sink {
	int ends[2];
	char text[65536];
	size_t len;
};

static void sink_open(struct sink *s, enum log_format format, enum log_level least)
{
	assert_int_equal(pipe2(s->ends, O_CLOEXEC), 0);
	log_setup(s->ends[1], format, least);
}

static void sink_read(struct sink *s)
{
	ssize_t n;

	fd_close(&s->ends[1]);
	s->len = 0;
	while ((n = read(s->ends[0], s->text + s->len, sizeof(s->text) - 1 - s->len)) > 0)
		s->len += (size_t)n;
	assert_int_equal(n, 0);
	s->text[s->len] = '\0';
	fd_close(&s->ends[0]);
	log_setup(STDERR_FILENO, LOG_TEXT, LOG_INFO);
}

static json_t *only_line(struct sink *s)
{
	json_t *line = NULL;

	assert_true(s->len > 0 && memchr(s->text, '\n', s->len) == s->text + s->len - 1);
	assert_int_equal(json_read(&line, (struct str){s->text, s->len}, NULL), 0);
	return line;
}

static void a_json_line_has_time_level_event_and_fields(void **state)
{
	struct sink s;
	json_t *line;
	int64_t ms;

	sink_open(&s, LOG_JSON, LOG_INFO);
	log_event(LOG_WARN, "disk_slow", LF_CSTR("call", "fsync"), LF_INT("ms", -12), LF_BOOL("sealed", true), LF_STR("name", STR("a b")));
	sink_read(&s);
	assert_memory_equal(s.text, "{\"time\":\"", 9);
	assert_string_equal(
		s.text + 9 + TIME_TEXT_LEN,
		"\",\"level\":\"warn\",\"event\":\"disk_slow\",\"call\":\"fsync\",\"ms\":-12,\"sealed\":true,\"name\":\"a b\"}\n");
	line = only_line(&s);
	assert_true(time_parse(&ms, str_of(json_string_value(json_object_get(line, "time")))));
	json_decref(line);
}

static void a_text_line_quotes_only_what_needs_it(void **state)
{
	struct sink s;

	sink_open(&s, LOG_TEXT, LOG_DEBUG);
	log_event(LOG_DEBUG, "got", LF_CSTR("a", "x/y:1"), LF_CSTR("b", ""), LF_CSTR("c", "k=v"), LF_CSTR("d", "say \"hi\""),
		  LF_INT("e", INT64_MIN), LF_BOOL("f", false), LF_CSTR("g", "M\xc3\xbcller"));
	sink_read(&s);
	assert_string_equal(
		s.text + TIME_TEXT_LEN,
		" debug got a=x/y:1 b=\"\" c=\"k=v\" d=\"say \\\"hi\\\"\" e=-9223372036854775808 f=false g=\"M\xc3\xbcller\"\n");
}

static void automatic_is_json_unless_it_is_a_terminal(void **state)
{
	struct sink s;

	sink_open(&s, LOG_AUTO, LOG_INFO);
	log_event(LOG_INFO, "x", LF_INT("n", 1));
	sink_read(&s);
	assert_int_equal(s.text[0], '{');
}

static void lines_below_the_level_are_not_written(void **state)
{
	struct sink s;

	sink_open(&s, LOG_JSON, LOG_WARN);
	assert_false(log_enabled(LOG_INFO));
	assert_true(log_enabled(LOG_WARN));
	log_event(LOG_INFO, "quiet", LF_INT("n", 1));
	log_event(LOG_DEBUG, "quiet", LF_INT("n", 1));
	sink_read(&s);
	assert_int_equal(s.len, 0);
}

/* Every byte value and every character that acts on a terminal, in both forms. */
static void a_value_can_neither_start_a_line_nor_act_on_a_terminal(void **state)
{
	static const char evil[] = "\n\r\x1b[31m\x07\x7f\xc2\x9b"
				   "2J\xe2\x80\xae\xe2\x80\xa8\xe2\x81\xa6\xd8\x9c\xff\xc0\x80\xe2\x80\x8f\"\\=";
	static const enum log_format formats[] = {LOG_TEXT, LOG_JSON};

	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		struct sink s;
		struct str line;

		sink_open(&s, formats[i], LOG_INFO);
		log_event(LOG_INFO, "got", LF_CSTR("v", evil), LF_STR("nul", STR("a\0b")));
		sink_read(&s);
		line = (struct str){s.text, s.len - 1};
		assert_int_equal(s.text[s.len - 1], '\n');
		assert_true(utf8_valid(line));
		for (size_t at = 0; at < line.len; at++)
			assert_true((unsigned char)line.p[at] >= ' ' && line.p[at] != 0x7f);
		assert_non_null(strstr(s.text, "\"\\u000a\\u000d\\u001b[31m\\u0007\\u007f\\u009b2J\\u202e\\u2028\\u2066\\u061c"
					       "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\\u200f\\\"\\\\=\""));
		assert_non_null(strstr(s.text, "\"a\\u0000b\""));
	}
}

static void a_value_is_cut_beyond_its_limit(void **state)
{
	char value[1026];

	memset(value, 'v', sizeof(value));
	for (size_t n = 1023; n <= 1025; n++) {
		struct sink s;
		json_t *line;
		const char *got;

		sink_open(&s, LOG_JSON, LOG_INFO);
		log_event(LOG_INFO, "got", LF_STR("v", ((struct str){value, n})));
		sink_read(&s);
		line = only_line(&s);
		got = json_string_value(json_object_get(line, "v"));
		if (n <= 1024)
			assert_int_equal(strlen(got), n);
		else
			assert_true(strlen(got) == 1024 + 3 && strcmp(got + 1024, "\u2026") == 0);
		json_decref(line);
	}
}

static void a_line_that_does_not_fit_says_so(void **state)
{
	static const enum log_format formats[] = {LOG_TEXT, LOG_JSON};
	char value[1024];

	memset(value, '\x01', sizeof(value)); /* six bytes each when escaped */
	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		struct sink s;

		sink_open(&s, formats[i], LOG_INFO);
		log_event(LOG_INFO, "got", LF_STR("v", ((struct str){value, sizeof(value)})));
		sink_read(&s);
		assert_string_equal(s.text + s.len - (i == 0 ? 21 : 24), i == 0 ? "fields_left_out=true\n" : "\"fields_left_out\":true}\n");
	}
}

static void an_error_is_reported_with_its_parts(void **state)
{
	struct err e = ERR_INIT;
	struct sink s;

	err_set(&e, ERR_TOO_LARGE, "too much");
	sink_open(&s, LOG_TEXT, LOG_INFO);
	log_err(LOG_ERROR, "upload_failed", &e);
	sink_read(&s);
	assert_string_equal(s.text + TIME_TEXT_LEN, " error upload_failed code=too_large detail=\"too much\"\n");
	err_field(&e, "file");
	err_limit(&e, 10);
	sink_open(&s, LOG_TEXT, LOG_INFO);
	log_err(LOG_ERROR, "upload_failed", &e);
	sink_read(&s);
	assert_string_equal(s.text + TIME_TEXT_LEN, " error upload_failed code=too_large detail=\"too much\" field=file limit=10\n");
}

#define THREADS 4
#define LINES 100

static void *write_lines(void *arg)
{
	for (int i = 0; i < LINES; i++)
		log_event(LOG_INFO, "line", LF_CSTR("thread", arg), LF_INT("i", i));
	return NULL;
}

static void lines_of_many_threads_stay_whole(void **state)
{
	static char names[THREADS][2] = {"0", "1", "2", "3"};
	int next[THREADS] = {}, lines = 0;
	pthread_t threads[THREADS];
	struct str rest;
	struct sink s;

	sink_open(&s, LOG_JSON, LOG_INFO);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_lines, names[i]), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	sink_read(&s);
	rest = (struct str){s.text, s.len};
	while (rest.len > 0) {
		struct str text = str_split(rest, '\n', &rest);
		json_t *line = NULL;
		int thread;

		assert_int_equal(json_read(&line, text, NULL), 0);
		thread = atoi(json_string_value(json_object_get(line, "thread")));
		assert_int_equal(json_integer_value(json_object_get(line, "i")), next[thread]++);
		json_decref(line);
		lines++;
	}
	assert_int_equal(lines, THREADS * LINES);
}

static void a_log_that_cannot_be_written_harms_nobody(void **state)
{
	log_setup(-1, LOG_JSON, LOG_INFO);
	log_event(LOG_ERROR, "lost", LF_INT("n", 1));
	log_setup(STDERR_FILENO, LOG_TEXT, LOG_INFO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_json_line_has_time_level_event_and_fields),
		cmocka_unit_test(a_text_line_quotes_only_what_needs_it),
		cmocka_unit_test(automatic_is_json_unless_it_is_a_terminal),
		cmocka_unit_test(lines_below_the_level_are_not_written),
		cmocka_unit_test(a_value_can_neither_start_a_line_nor_act_on_a_terminal),
		cmocka_unit_test(a_value_is_cut_beyond_its_limit),
		cmocka_unit_test(a_line_that_does_not_fit_says_so),
		cmocka_unit_test(an_error_is_reported_with_its_parts),
		cmocka_unit_test(lines_of_many_threads_stay_whole),
		cmocka_unit_test(a_log_that_cannot_be_written_harms_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
