#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/siphash.h"
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define assert_str(s, text) assert_true(str_eq((s), str_of(text)))

/* ---- states ---- */

static void only_the_moves_of_the_drawing_are_allowed(void **state)
{
	static const char *const MOVES[JOB_STATES] = {
		[JOB_QUEUED] = ".R.FC.", [JOB_RUNNING] = "Q.SFCX",   [JOB_SUCCEEDED] = "......",
		[JOB_FAILED] = "Q.....", [JOB_CANCELLED] = "Q.....", [JOB_QUARANTINED] = "Q.....",
	};

	for (unsigned from = 0; from < JOB_STATES; from++)
		for (unsigned to = 0; to < JOB_STATES; to++)
			assert_int_equal(job_state_may((enum job_state)from, (enum job_state)to), MOVES[from][to] != '.');
	assert_false(job_state_may(JOB_STATES, JOB_QUEUED));
	assert_false(job_state_may(JOB_QUEUED, JOB_STATES));
}

static void states_have_names_and_names_have_states(void **state)
{
	static const char *const NAMES[JOB_STATES] = {"queued", "running", "succeeded", "failed", "cancelled", "quarantined"};
	enum job_state s;

	for (unsigned i = 0; i < JOB_STATES; i++) {
		assert_string_equal(job_state_name((enum job_state)i), NAMES[i]);
		assert_true(job_state_parse(&s, str_of(NAMES[i])));
		assert_int_equal(s, i);
		assert_int_equal(job_state_final(s), i > JOB_RUNNING);
	}
	s = JOB_FAILED;
	assert_false(job_state_parse(&s, STR("Queued")));
	assert_false(job_state_parse(&s, STR("")));
	assert_false(job_state_parse(&s, STR("queued ")));
	assert_int_equal(s, JOB_FAILED);
	assert_string_equal(job_state_name(JOB_STATES), "unknown");
}

/* ---- names ---- */

struct name_case {
	const char *raw, *clean; /* clean NULL = refused */
};

static void a_name_is_the_last_segment_without_what_cannot_be_seen(void **state)
{
	static const struct name_case CASES[] = {
		{"photo.jpg", "photo.jpg"},
		{"", "file"},
		{"../../etc/cron.d/x", "x"},
		{"/etc/passwd", "passwd"},
		{"C:\\x", "x"},
		{"..\\..\\x", "x"},
		{"a\\b/c", "c"},
		{"....//", NULL},
		{"dir/", NULL},
		{".", "."},
		{"..", ".."},
		{"CON", "CON"},
		{"a.", "a."},
		{"a ", "a "},
		{" ", " "},
		{"-rf", "-rf"},
		{"<img src=x onerror=alert(1)>.png", "<img src=x onerror=alert(1)>.png"},
		{"a\"b;c", "a\"b;c"},
		{"a\r\nSet-Cookie: x", NULL},
		{"a\tb", NULL},
		{"a\x7f", NULL},
		{"a\xc2\x85z", NULL}, /* U+0085 */
		{"bad\n/good", NULL}, /* controls are refused in dropped segments too */
		{"a%00.php", NULL},
		{"a%0a.php", "a%0a.php"},
		{"photo\xe2\x80\xaegpj.exe", "photogpj.exe"}, /* U+202E */
		{"a\xe2\x80\x8b\xef\xbb\xbfz", "az"}, /* U+200B, U+FEFF */
		{"a\xe2\x81\xa6z\xe2\x81\xa9", "az"}, /* U+2066, U+2069 */
		{"a\xc2\xadz", "az"}, /* soft hyphen */
		{"\xe2\x80\x8b", NULL}, /* nothing remains */
		{"\xc3\xa9.txt", "\xc3\xa9.txt"}, /* NFC */
		{"e\xcc\x81.txt", "e\xcc\x81.txt"}, /* NFD: another name */
		{"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
		{"a\xff", NULL},
		{"a\xc0\xaf", NULL}, /* overlong '/' */
		{"a\xed\xa0\x80", NULL}, /* surrogate */
	};

	for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
		CLEANUP(arena_release) struct arena a = ARENA_INIT;
		struct err e = ERR_INIT;
		struct str clean = STR("untouched");
		int r = name_clean(&clean, str_of(CASES[i].raw), &a, &e);

		if (!CASES[i].clean) {
			assert_int_equal(r, ERR_BAD_NAME);
			assert_int_equal(e.code, ERR_BAD_NAME);
			assert_string_equal(e.field, "name");
			assert_str(clean, "untouched");
			continue;
		}
		if (r < 0 || !str_eq(clean, str_of(CASES[i].clean)))
			fail_msg("\"%s\" gives \"%.*s\"", CASES[i].raw, STR_FMT(clean));
	}
}

static void a_name_with_a_nul_is_refused(void **state)
{
	CLEANUP(arena_release) struct arena a = ARENA_INIT;
	struct str clean;

	assert_int_equal(name_clean(&clean, (struct str){"a.jpg\0.php", 10}, &a, NULL), ERR_BAD_NAME);
}

static void a_name_has_at_most_255_bytes_after_cleaning(void **state)
{
	CLEANUP(arena_release) struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	char raw[600];
	struct str clean;

	memset(raw, 'x', sizeof(raw));
	assert_int_equal(name_clean(&clean, (struct str){raw, 255}, &a, &e), 0);
	assert_int_equal(clean.len, 255);
	assert_int_equal(name_clean(&clean, (struct str){raw, 256}, &a, &e), ERR_BAD_NAME);
	assert_int_equal(e.limit, 255);
	raw[300] = '/';
	assert_int_equal(name_clean(&clean, (struct str){raw, 301 + 255}, &a, &e), 0);
	memcpy(raw, "\xe2\x80\xae", 3);
	assert_int_equal(name_clean(&clean, (struct str){raw, 258}, &a, &e), 0);
	assert_int_equal(clean.len, 255);
}

/* ---- labels ---- */

static void labels_become_canonical_json(void **state)
{
	CLEANUP(arena_release) struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	struct str out;

	assert_int_equal(labels_parse_json(&out, STR(" { \"b\" : \"2\", \"a\":\"x\\u00e9\\\"\" } "), &a, &e), 0);
	assert_str(out, "{\"a\":\"x\xc3\xa9\\\"\",\"b\":\"2\"}");
	assert_int_equal(labels_parse_json(&out, STR("{}"), &a, &e), 0);
	assert_str(out, "{}");
	assert_int_equal(labels_parse_list(&out, STR("b:2, a:1:x ,ab:"), &a, &e), 0);
	assert_str(out, "{\"a\":\"1:x\",\"ab\":\"\",\"b\":\"2\"}");
	assert_int_equal(labels_parse_list(&out, STR("  "), &a, &e), 0);
	assert_str(out, "{}");
	assert_int_equal(labels_parse_list(&out, STR(""), &a, &e), 0);
	assert_str(out, "{}");
}

static void labels_that_are_not_allowed_are_refused(void **state)
{
	static const char *const JSON[] = {"",
					   "[]",
					   "\"a\"",
					   "{\"a\":1}",
					   "{\"a\":null}",
					   "{\"A\":\"x\"}",
					   "{\"\":\"x\"}",
					   "{\"a b\":\"x\"}",
					   "{\"a\":\"x\",\"a\":\"y\"}",
					   "{\"a\":\"\\u0001\"}",
					   "{\"a\":\"\\u0085\"}",
					   "{\"a\":\"x\"} x",
					   "{\"a\":\"\xff\"}",
					   "{\"a\":{\"b\":\"c\"}}"};
	static const char *const LISTS[] = {"a", "a:1,", ",a:1", "A:1", ":1", "a:1,a:2", "a b:1", "a:\x01", "a:\xff", "a:\x7f"};
	CLEANUP(arena_release) struct arena a = ARENA_INIT;
	struct str out = STR("untouched");
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(JSON); i++) {
		e = ERR_INIT;
		if (labels_parse_json(&out, str_of(JSON[i]), &a, &e) != ERR_BAD_LABELS)
			fail_msg("accepted: %s", JSON[i]);
		assert_int_equal(e.code, ERR_BAD_LABELS);
		assert_string_equal(e.field, "labels");
	}
	for (size_t i = 0; i < ARRAY_LEN(LISTS); i++) {
		e = ERR_INIT;
		if (labels_parse_list(&out, str_of(LISTS[i]), &a, &e) != ERR_BAD_LABELS)
			fail_msg("accepted: %s", LISTS[i]);
		assert_int_equal(e.code, ERR_BAD_LABELS);
	}
	assert_str(out, "untouched");
}

/* A list of n labels whose keys and values have these lengths. */
static int list_of(unsigned n, unsigned key_len, unsigned value_len)
{
	CLEANUP(arena_release) struct arena a = ARENA_INIT;
	CLEANUP(buf_release) struct buf list = BUF_INIT;
	struct str out;

	for (unsigned i = 0; i < n; i++) {
		buf_addf(&list, "%s%c", i ? "," : "", 'a' + (int)i);
		for (unsigned k = 1; k < key_len; k++)
			buf_add_char(&list, 'k');
		buf_add_char(&list, ':');
		for (unsigned k = 0; k < value_len; k++)
			buf_add_char(&list, 'v');
	}
	return labels_parse_list(&out, buf_str(&list), &a, NULL);
}

static void labels_have_limits(void **state)
{
	assert_int_equal(list_of(LABELS_MAX, LABEL_KEY_MAX, LABEL_VALUE_MAX), 0);
	assert_int_equal(list_of(LABELS_MAX + 1, 1, 1), ERR_BAD_LABELS);
	assert_int_equal(list_of(1, LABEL_KEY_MAX + 1, 1), ERR_BAD_LABELS);
	assert_int_equal(list_of(1, 1, LABEL_VALUE_MAX + 1), ERR_BAD_LABELS);
}

/* ---- JSON ---- */

static struct uuid id_of(const char *text)
{
	struct uuid u;

	assert_true(uuid_parse(&u, str_of(text)));
	return u;
}

static void a_file_is_written_as_the_api_says(void **state)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT;
	struct json_out j = json_out(&out);
	struct job job = {.id = id_of("01900000-0000-7000-8000-000000000002"),
			  .number = 5,
			  .file = id_of("01900000-0000-7000-8000-000000000001"),
			  .op = STR("md5"),
			  .params = STR("{}"),
			  .state = JOB_SUCCEEDED,
			  .priority = 3,
			  .attempt = 1,
			  .max_attempts = 3,
			  .run_at = 1000,
			  .created_at = 1000,
			  .started_at = 1001,
			  .finished_at = 1002,
			  .result = STR("{\"md5\":\"aa\"}")};
	struct file f = {.id = id_of("01900000-0000-7000-8000-000000000001"),
			 .number = 7,
			 .owner = STR("public"),
			 .name = STR("a\"b\n"),
			 .size = 10,
			 .type = STR("text/plain"),
			 .labels = STR("{\"k\":\"v\"}"),
			 .created_at = 1000,
			 .jobs = &job,
			 .n_jobs = 1};

	file_write_json(&j, &f);
	assert_true(buf_ok(&out));
	assert_str(
		buf_str(&out),
		"{\"id\":\"01900000-0000-7000-8000-000000000001\",\"number\":7,\"name\":\"a\\\"b\\n\",\"size\":10,\"type\":\"text/plain\","
		"\"sha256\":\"0000000000000000000000000000000000000000000000000000000000000000\",\"labels\":{\"k\":\"v\"},\"owner\":\"public\","
		"\"created_at\":\"1970-01-01T00:00:01.000Z\",\"expires_at\":null,\"jobs\":[{\"id\":\"01900000-0000-7000-8000-000000000002\",\"number\":5,"
		"\"file\":\"01900000-0000-7000-8000-000000000001\",\"after\":null,\"op\":\"md5\",\"params\":{},\"state\":\"succeeded\",\"priority\":3,\"attempt\":1,"
		"\"max_attempts\":3,\"run_at\":\"1970-01-01T00:00:01.000Z\",\"created_at\":\"1970-01-01T00:00:01.000Z\","
		"\"started_at\":\"1970-01-01T00:00:01.001Z\",\"finished_at\":\"1970-01-01T00:00:01.002Z\",\"progress\":null,"
		"\"result\":{\"md5\":\"aa\"},\"error\":null,\"outputs\":[]}]}");
}

static void progress_is_a_share_and_told_of_running_jobs_only(void **state)
{
	static const struct {
		enum job_state state;
		int progress;
		const char *told;
	} CASES[] = {
		{JOB_RUNNING, 0, "\"progress\":null}"},     {JOB_RUNNING, 1, "\"progress\":0.001}"},
		{JOB_RUNNING, 420, "\"progress\":0.420}"},  {JOB_RUNNING, 999, "\"progress\":0.999}"},
		{JOB_RUNNING, 1000, "\"progress\":1}"},     {JOB_RUNNING, 1001, "\"progress\":null}"},
		{JOB_RUNNING, -1, "\"progress\":null}"},    {JOB_QUEUED, 420, "\"progress\":null}"},
		{JOB_SUCCEEDED, 420, "\"progress\":null}"},
	};

	for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
		CLEANUP(buf_release) struct buf out = BUF_INIT;
		struct json_out j = json_out(&out);
		const struct job job = {.op = STR("gzip"), .state = CASES[i].state, .progress = CASES[i].progress};
		size_t n = strlen(CASES[i].told);

		job_write_progress_json(&j, &job);
		assert_true(buf_ok(&out) && out.len > n);
		assert_memory_equal(out.p + out.len - n, CASES[i].told, n);
	}
}

static void a_failed_job_shows_code_and_detail_and_a_cached_one_says_so(void **state)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT;
	struct json_out j = json_out(&out);
	struct job job = {.op = STR("md5"),
			  .params = STR("{}"),
			  .state = JOB_FAILED,
			  .error = ERR_OP_FAILED,
			  .error_detail = STR("why"),
			  .cached = true};

	job_write_json(&j, &job);
	assert_true(buf_ok(&out));
	assert_non_null(
		strstr(out.p, "\"result\":null,\"error\":{\"code\":\"op_failed\",\"detail\":\"why\"},\"outputs\":[],\"cached\":true}"));
	assert_non_null(strstr(out.p, "\"started_at\":null,\"finished_at\":null"));
}

static void outputs_are_written_with_their_addresses(void **state)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT;
	struct json_out j = json_out(&out);
	struct output outputs[] = {
		{.name = STR("a\"b.webp"),
		 .type = STR("image/webp"),
		 .size = UINT64_C(5000000000),
		 .sha256 = {0xab, 0x01},
		 .blob = STR("x")},
		{.name = STR("c"), .type = STR("text/plain"), .sha256 = {0xcd}, .blob = STR("y")},
	};
	struct job job = {.id = id_of("01900000-0000-7000-8000-000000000002"),
			  .op = STR("resize"),
			  .params = STR("{}"),
			  .state = JOB_SUCCEEDED,
			  .outputs = outputs,
			  .n_outputs = 2};

	job_write_json(&j, &job);
	assert_true(buf_ok(&out));
	assert_non_null(strstr(out.p, "\"outputs\":[{\"name\":\"a\\\"b.webp\",\"type\":\"image/webp\",\"size\":5000000000,"
				      "\"sha256\":\"ab01000000000000000000000000000000000000000000000000000000000000\","
				      "\"href\":\"/v1/jobs/01900000-0000-7000-8000-000000000002/outputs/0\"},"
				      "{\"name\":\"c\",\"type\":\"text/plain\",\"size\":0,"
				      "\"sha256\":\"cd00000000000000000000000000000000000000000000000000000000000000\","
				      "\"href\":\"/v1/jobs/01900000-0000-7000-8000-000000000002/outputs/1\"}]}"));
}

static void a_held_job_names_the_one_before_it_and_no_time(void **state)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT;
	struct json_out j = json_out(&out);
	struct job job = {
		.op = STR("resize"), .params = STR("{}"), .run_at = RUN_AT_HELD, .after = id_of("01900000-0000-7000-8000-000000000002")};

	job_write_json(&j, &job);
	assert_true(buf_ok(&out));
	assert_non_null(strstr(out.p, "\"after\":\"01900000-0000-7000-8000-000000000002\",\"op\":\"resize\""));
	assert_non_null(strstr(out.p, "\"state\":\"queued\""));
	assert_non_null(strstr(out.p, "\"run_at\":null"));
}

/* ---- SipHash and cursors ---- */

/* Appendix A of the paper: key 00 … 0f, message 00 … 0e. */
static void siphash_gives_the_value_of_its_paper(void **state)
{
	uint8_t key[16], message[15];

	for (uint8_t i = 0; i < 16; i++)
		key[i] = i;
	memcpy(message, key, sizeof(message));
	assert_true(siphash24(key, message, sizeof(message)) == UINT64_C(0xa129ca6149be45e5));
}

static const uint8_t KEY[16] = "0123456789abcde";

static void a_cursor_comes_back_as_its_number(void **state)
{
	static const int64_t NUMBERS[] = {1, 2, 255, 1000000, INT64_MAX};
	char text[64];
	int64_t before = 0;

	for (size_t i = 0; i < ARRAY_LEN(NUMBERS); i++) {
		cursor_make(text, NUMBERS[i], STR("files?state=1"), KEY);
		assert_int_equal(strlen(text), 22);
		assert_int_equal(strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), 22);
		assert_int_equal(cursor_read(&before, str_of(text), STR("files?state=1"), KEY, NULL), 0);
		assert_true(before == NUMBERS[i]);
	}
}

static void a_cursor_fits_its_list_and_its_server_only(void **state)
{
	uint8_t other[16] = {1};
	struct err e = ERR_INIT;
	int64_t before = 77;
	char text[64];

	cursor_make(text, 5, STR("files"), KEY);
	assert_int_equal(cursor_read(&before, str_of(text), STR("jobs"), KEY, &e), ERR_BAD_CURSOR);
	assert_int_equal(e.code, ERR_BAD_CURSOR);
	assert_string_equal(e.field, "cursor");
	assert_int_equal(cursor_read(&before, str_of(text), STR("files"), other, &e), ERR_BAD_CURSOR);
	assert_int_equal(before, 77);
}

static void a_cursor_with_one_character_changed_is_refused(void **state)
{
	int64_t before = 77;
	char text[64];

	cursor_make(text, 123456, STR("files"), KEY);
	for (size_t i = 0; i < 22; i++) {
		char kept = text[i];

		text[i] = kept == 'A' ? 'B' : 'A';
		assert_int_equal(cursor_read(&before, str_of(text), STR("files"), KEY, NULL), ERR_BAD_CURSOR);
		text[i] = kept;
		assert_int_equal(cursor_read(&before, (struct str){text, i}, STR("files"), KEY, NULL), ERR_BAD_CURSOR);
	}
	assert_int_equal(cursor_read(&before, str_of(text), STR("files"), KEY, NULL), 0);
	text[22] = 'A';
	assert_int_equal(cursor_read(&before, (struct str){text, 23}, STR("files"), KEY, NULL), ERR_BAD_CURSOR);
	assert_int_equal(cursor_read(&before, STR("+/+/+/+/+/+/+/+/+/+/+/"), STR("files"), KEY, NULL), ERR_BAD_CURSOR);
	assert_int_equal(cursor_read(&before, STR(""), STR("files"), KEY, NULL), ERR_BAD_CURSOR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_moves_of_the_drawing_are_allowed),
		cmocka_unit_test(states_have_names_and_names_have_states),
		cmocka_unit_test(a_name_is_the_last_segment_without_what_cannot_be_seen),
		cmocka_unit_test(a_name_with_a_nul_is_refused),
		cmocka_unit_test(a_name_has_at_most_255_bytes_after_cleaning),
		cmocka_unit_test(labels_become_canonical_json),
		cmocka_unit_test(labels_that_are_not_allowed_are_refused),
		cmocka_unit_test(labels_have_limits),
		cmocka_unit_test(a_file_is_written_as_the_api_says),
		cmocka_unit_test(progress_is_a_share_and_told_of_running_jobs_only),
		cmocka_unit_test(a_failed_job_shows_code_and_detail_and_a_cached_one_says_so),
		cmocka_unit_test(outputs_are_written_with_their_addresses),
		cmocka_unit_test(a_held_job_names_the_one_before_it_and_no_time),
		cmocka_unit_test(siphash_gives_the_value_of_its_paper),
		cmocka_unit_test(a_cursor_comes_back_as_its_number),
		cmocka_unit_test(a_cursor_fits_its_list_and_its_server_only),
		cmocka_unit_test(a_cursor_with_one_character_changed_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
