/* The recurring jobs of a configuration: what is read, and what is said about what cannot be. */
#include "cli/recurring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct arena arena;

static int drop(void **state)
{
	arena_release(&arena);
	arena = ARENA_INIT;
	return 0;
}

static int read_text(const char *text, const struct engine_recurring **ret, size_t *ret_n, struct err *e)
{
	const struct op_table *ops;

	assert_int_equal(op_table_new(&ops, STR(""), STR("{\"parcel\":[\"sha256\",\"gzip\"]}"), STR(""), &arena, e), 0);
	*e = ERR_INIT;
	return recurring_read(ret, ret_n, str_of(text), ops, &arena, e);
}

static void entries_come_in_the_order_of_their_names_with_all_that_was_said(void **state)
{
	const struct engine_recurring *list;
	struct err e = ERR_INIT;
	size_t n;

	assert_int_equal(
		read_text(
			"{\"weekly\":{\"at\":\"@weekly\",\"pipeline\":\"parcel\"},"
			"\"nightly\":{\"at\":\"0 3 * * *\",\"zone\":\"Europe/Berlin\",\"ops\":[\"md5\",\"gzip;level=9\"],\"files\":\"all\","
			"\"name\":\".log\",\"label\":\"project:alpha:beta\",\"type\":\"text/\",\"missed\":\"skip\",\"priority\":7}}",
			&list, &n, &e),
		0);
	assert_int_equal(n, 2);
	assert_string_equal(list[0].name, "nightly");
	assert_string_equal(list[0].schedule, "0 3 * * * Europe/Berlin");
	assert_true(list[0].zone.n > 0);
	assert_int_equal(list[0].n_ops, 2);
	assert_string_equal(list[0].ops[1].op->name, "gzip");
	assert_true(list[0].all && list[0].skip_missed);
	assert_int_equal(list[0].priority, 7);
	assert_true(str_eq(list[0].files.owner, STR(OWNER_PUBLIC)));
	assert_true(str_eq(list[0].files.name, STR(".log")) && str_eq(list[0].type, STR("text/")));
	assert_true(str_eq(list[0].files.label_key, STR("project")) && str_eq(list[0].files.label_value, STR("alpha:beta")));
	assert_int_equal(list[0].files.state, -1);
	assert_string_equal(list[1].name, "weekly");
	assert_string_equal(list[1].schedule, "@weekly UTC");
	assert_int_equal(list[1].n_ops, 2);
	assert_false(list[1].all || list[1].skip_missed);
	assert_int_equal(list[1].priority, PRIORITY_DEFAULT);
	assert_null(list[1].files.label_key.p);
	assert_int_equal(list[1].zone.n, 0);
}

static void nothing_said_is_nothing_to_do(void **state)
{
	const struct engine_recurring *list;
	struct err e = ERR_INIT;
	size_t n = 7;

	assert_int_equal(read_text("", &list, &n, &e), 0);
	assert_int_equal(n, 0);
}

static void what_cannot_be_is_refused_with_its_place(void **state)
{
	static const struct {
		const char *text, *detail;
	} CASES[] = {
		{"[]", "recurring: must be a map of at most 100 entries"},
		{"{\"a\":1}", "recurring.a: must be a map"},
		{"{\"A\":{}}", "recurring.A: an entry is named by a to z, 0 to 9, _ and -, 40 characters at most"},
		{"{\"\":{}}", "recurring.: an entry is named by a to z, 0 to 9, _ and -, 40 characters at most"},
		{"{\"a\":{\"ops\":[\"md5\"]}}", "recurring.a.at: is missing: the times, such as \"0 3 * * *\" or \"@daily\""},
		{"{\"a\":{\"at\":5,\"ops\":[\"md5\"]}}", "recurring.a.at: must be a text"},
		{"{\"a\":{\"at\":\"0 25 * * *\",\"ops\":[\"md5\"]}}", "recurring.a.at: column 3: a hour goes from 0 to 23"},
		{"{\"a\":{\"at\":\"0 3 * *\",\"ops\":[\"md5\"]}}",
		 "recurring.a.at: column 8: the day of week is missing: there are five fields, minute hour day-of-month month day-of-week"},
		{"{\"a\":{\"at\":\"@dayly\",\"ops\":[\"md5\"]}}", "recurring.a.at: column 1: there is no @dayly, perhaps @daily"},
		{"{\"a\":{\"at\":\"@daily\",\"zone\":\"../../etc/passwd\",\"ops\":[\"md5\"]}}",
		 "recurring.a.zone: must be the name of a time zone, such as Europe/Berlin"},
		{"{\"a\":{\"at\":\"@daily\",\"zone\":\"Europe/Atlantis\",\"ops\":[\"md5\"]}}",
		 "recurring.a.zone: there is no time zone Europe/Atlantis in /usr/share/zoneinfo"},
		{"{\"a\":{\"at\":\"@daily\",\"zone\":\"Europe\",\"ops\":[\"md5\"]}}",
		 "recurring.a.zone: there is no time zone Europe in /usr/share/zoneinfo"},
		{"{\"a\":{\"at\":\"@daily\"}}", "recurring.a: needs either ops or a pipeline"},
		{"{\"a\":{\"at\":\"@daily\",\"ops\":[\"md5\"],\"pipeline\":\"parcel\"}}", "recurring.a: needs either ops or a pipeline"},
		{"{\"a\":{\"at\":\"@daily\",\"ops\":[]}}", "recurring.a.ops: must be a list of 1 to 32 ops"},
		{"{\"a\":{\"at\":\"@daily\",\"ops\":\"md5\"}}", "recurring.a.ops: must be a list of 1 to 32 ops"},
		{"{\"a\":{\"at\":\"@daily\",\"ops\":[5]}}", "recurring.a.ops: must be a list of ops such as \"resize;width=800\""},
		{"{\"a\":{\"at\":\"@daily\",\"pipeline\":\"parcels\"}}",
		 "recurring.a.pipeline: there is no pipeline named \"parcels\"; perhaps parcel"},
		{"{\"a\":{\"at\":\"@daily\",\"ops\":[\"md5\"],\"file\":\"new\"}}", NULL},
		{"{\"a\":{\"at\":\"@daily\",\"ops\":[\"md5\"],\"files\":\"old\"}}", "recurring.a.files: must be new or all"},
		{"{\"a\":{\"at\":\"@daily\",\"ops\":[\"md5\"],\"missed\":\"twice\"}}", "recurring.a.missed: must be once or skip"},
		{"{\"a\":{\"at\":\"@daily\",\"ops\":[\"md5\"],\"type\":\"image\"}}",
		 "recurring.a.type: must be a media type such as image/png, or the first half of some such as image/"},
		{"{\"a\":{\"at\":\"@daily\",\"ops\":[\"md5\"],\"label\":\"alpha\"}}",
		 "recurring.a.label: must be one label such as project:alpha"},
		{"{\"a\":{\"at\":\"@daily\",\"ops\":[\"md5\"],\"label\":\"a:b,c:d\"}}",
		 "recurring.a.label: must be one label such as project:alpha"},
		{"{\"a\":{\"at\":\"@daily\",\"ops\":[\"md5\"],\"priority\":8}}", "recurring.a.priority: must be from 0, the highest, to 7"},
		{"{\"a\":{\"at\":\"@daily\",\"ops\":[\"md5\"],\"priority\":\"1\"}}",
		 "recurring.a.priority: must be from 0, the highest, to 7"},
	};

	for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
		const struct engine_recurring *list;
		struct err e = ERR_INIT;
		size_t n = 7;

		assert_int_equal(read_text(CASES[i].text, &list, &n, &e), ERR_BAD_CONFIG);
		if (CASES[i].detail != NULL)
			assert_string_equal(e.detail, CASES[i].detail);
		else
			assert_non_null(strstr(e.detail, "recurring.a.file: "));
		assert_int_equal(n, 7);
	}
}

static void an_unknown_op_is_told_with_the_nearest_one(void **state)
{
	const struct engine_recurring *list;
	struct err e = ERR_INIT;
	size_t n;

	assert_int_equal(read_text("{\"a\":{\"at\":\"@daily\",\"ops\":[\"gzipp\"]}}", &list, &n, &e), ERR_BAD_CONFIG);
	assert_non_null(strstr(e.detail, "recurring.a.ops: "));
	assert_non_null(strstr(e.detail, "perhaps gzip"));
}

static void a_hundred_entries_are_taken_and_not_one_more(void **state)
{
	for (int n = RECURRING_MAX; n <= RECURRING_MAX + 1; n++) {
		CLEANUP(buf_release) struct buf b = BUF_INIT;
		const struct engine_recurring *list;
		struct err e = ERR_INIT;
		size_t got;

		for (int i = 0; i < n; i++)
			buf_addf(&b, "%s\"e%d\":{\"at\":\"@daily\",\"ops\":[\"md5\"]}", i == 0 ? "{" : ",", i);
		buf_add_cstr(&b, "}");
		buf_add_char(&b, '\0');
		assert_true(buf_ok(&b));
		assert_int_equal(read_text(b.p, &list, &got, &e), n == RECURRING_MAX ? 0 : ERR_BAD_CONFIG);
	}
}

static void the_next_times_are_told_in_utc(void **state)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	const struct engine_recurring *list;
	struct err e = ERR_INIT;
	size_t n;

	assert_int_equal(read_text("{\"a\":{\"at\":\"30 2 * * *\",\"zone\":\"Europe/Berlin\",\"ops\":[\"md5\"]}}", &list, &n, &e), 0);
	recurring_times(&b, &list[0], INT64_C(1711800000000), 3); /* 2024-03-30T12:00:00Z */
	assert_true(buf_ok(&b));
	assert_true(str_eq(buf_str(&b), STR("2024-03-31T01:00Z 2024-04-01T00:30Z 2024-04-02T00:30Z")));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, drop, drop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(entries_come_in_the_order_of_their_names_with_all_that_was_said),
		TEST(nothing_said_is_nothing_to_do),
		TEST(what_cannot_be_is_refused_with_its_place),
		TEST(an_unknown_op_is_told_with_the_nearest_one),
		TEST(a_hundred_entries_are_taken_and_not_one_more),
		TEST(the_next_times_are_told_in_utc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
