#include "base/err.h"
#include "base/str.h"

#include <ctype.h>
#include <errno.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void every_word_and_number_stands_once(void **state)
{
	unsigned n;
	const struct err_info *all = err_all(&n);

	assert_true(n > 50);
	for (unsigned i = 0; i < n; i++) {
		for (unsigned j = i + 1; j < n; j++) {
			assert_int_not_equal(all[i].code, all[j].code);
			assert_string_not_equal(all[i].name, all[j].name);
		}
	}
}

static void every_row_is_well_formed(void **state)
{
	unsigned n;
	const struct err_info *all = err_all(&n);

	for (unsigned i = 0; i < n; i++) {
		const char *name = all[i].name, *title = all[i].title;

		assert_true(all[i].code < 0);
		assert_in_range(all[i].http_status, 400, 599);
		assert_true(islower((unsigned char)name[0]) && name[strlen(name) - 1] != '_');
		for (const char *p = name; *p; p++)
			assert_true(islower((unsigned char)*p) || *p == '_');
		assert_true(isupper((unsigned char)title[0]) && title[strlen(title) - 1] != '.');
	}
}

static void a_code_finds_its_row(void **state)
{
	unsigned n;
	const struct err_info *all = err_all(&n);

	for (unsigned i = 0; i < n; i++)
		assert_ptr_equal(err_info(all[i].code), &all[i]);
	assert_string_equal(err_info(ERR_FILE_NOT_FOUND)->name, "file_not_found");
	assert_int_equal(err_info(ERR_FILE_NOT_FOUND)->http_status, 404);
}

static void an_unknown_code_is_an_internal_error(void **state)
{
	assert_int_equal(err_info(0)->code, ERR_INTERNAL);
	assert_int_equal(err_info(-9999)->code, ERR_INTERNAL);
	assert_int_equal(err_info(1)->code, ERR_INTERNAL);
}

static void set_fills_the_detail_and_clears_the_rest(void **state)
{
	struct err e = {.field = "old", .expected = "old", .limit = 7, .retry_after_s = 3};

	assert_int_equal(err_set(&e, ERR_BAD_ID, "id %d", 5), ERR_BAD_ID);
	assert_int_equal(e.code, ERR_BAD_ID);
	assert_string_equal(e.detail, "id 5");
	assert_string_equal(e.field, "");
	assert_string_equal(e.expected, "");
	assert_int_equal(e.limit, -1);
	assert_int_equal(e.retry_after_s, 0);
}

static void a_detail_can_be_made_from_itself(void **state)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_IO, "inner");
	err_set(&e, ERR_INTERNAL, "outer (%s)", e.detail);
	assert_string_equal(e.detail, "outer (inner)");
}

static void without_a_struct_the_code_is_still_returned(void **state)
{
	assert_int_equal(err_set(NULL, ERR_BAD_ID, "x"), ERR_BAD_ID);
	assert_int_equal(err_errno(NULL, ENOSPC, "write"), ERR_STORAGE_FULL);
	assert_int_equal(err_wrap(NULL, "x"), ERR_INTERNAL);
	assert_int_equal(err_field(NULL, "x"), ERR_INTERNAL);
	assert_int_equal(err_expected(NULL, "x"), ERR_INTERNAL);
	assert_int_equal(err_limit(NULL, 1), ERR_INTERNAL);
}

static void a_detail_holds_its_limit_and_is_cut_beyond(void **state)
{
	char text[ERR_DETAIL_MAX + 1];
	struct err e = ERR_INIT;

	memset(text, 'a', sizeof(text));
	text[ERR_DETAIL_MAX - 1] = '\0';
	err_set(&e, ERR_IO, "%s", text);
	assert_string_equal(e.detail, text);
	text[ERR_DETAIL_MAX - 1] = 'a';
	text[ERR_DETAIL_MAX] = '\0';
	err_set(&e, ERR_IO, "%s", text);
	assert_int_equal(strlen(e.detail), ERR_DETAIL_MAX - 1);
}

static void a_cut_never_splits_a_character(void **state)
{
	/* For each position of a four-byte character relative to the end. */
	for (size_t before = ERR_DETAIL_MAX - 8; before < ERR_DETAIL_MAX; before++) {
		char text[2 * ERR_DETAIL_MAX];
		struct err e = ERR_INIT;

		memset(text, 'a', before);
		strcpy(text + before, "\U0001f600\U0001f600\U0001f600");
		err_set(&e, ERR_IO, "%s", text);
		assert_true(utf8_valid(str_of(e.detail)));
		assert_true(strlen(e.detail) >= ERR_DETAIL_MAX - 4);
		err_wrap(&e, "some context");
		assert_true(utf8_valid(str_of(e.detail)));
	}
}

static void wrapping_puts_the_context_first_and_keeps_the_rest(void **state)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_TOO_LARGE, "inner");
	err_field(&e, "file");
	assert_int_equal(err_limit(&e, 100), ERR_TOO_LARGE);
	assert_int_equal(err_wrap(&e, "part %d", 2), ERR_TOO_LARGE);
	assert_string_equal(e.detail, "part 2: inner");
	assert_string_equal(e.field, "file");
	assert_int_equal(e.limit, 100);
}

static void a_field_holds_its_limit_and_is_cut_beyond(void **state)
{
	char text[ERR_WORD_MAX + 1] = "";
	struct err e = ERR_INIT;

	memset(text, 'f', ERR_WORD_MAX);
	err_field(&e, text);
	assert_int_equal(strlen(e.field), ERR_WORD_MAX - 1);
	err_expected(&e, text + 1);
	assert_string_equal(e.expected, text + 1);
}

static void errno_values_become_codes(void **state)
{
	static const struct {
		int number, code;
	} cases[] = {
		{ENOSPC, ERR_STORAGE_FULL}, {EDQUOT, ERR_STORAGE_FULL},    {ENOMEM, ERR_NO_MEMORY},        {EMFILE, ERR_OVERLOADED},
		{ENFILE, ERR_OVERLOADED},   {EROFS, ERR_STORAGE_READONLY}, {EACCES, ERR_STORAGE_READONLY}, {EIO, ERR_IO},
		{ENOENT, ERR_IO},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err e = ERR_INIT;

		assert_int_equal(err_errno(&e, cases[i].number, "fsync"), cases[i].code);
		assert_memory_equal(e.detail, "fsync: ", 7);
		assert_string_equal(e.detail + 7, strerror(cases[i].number));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_word_and_number_stands_once),
		cmocka_unit_test(every_row_is_well_formed),
		cmocka_unit_test(a_code_finds_its_row),
		cmocka_unit_test(an_unknown_code_is_an_internal_error),
		cmocka_unit_test(set_fills_the_detail_and_clears_the_rest),
		cmocka_unit_test(a_detail_can_be_made_from_itself),
		cmocka_unit_test(without_a_struct_the_code_is_still_returned),
		cmocka_unit_test(a_detail_holds_its_limit_and_is_cut_beyond),
		cmocka_unit_test(a_cut_never_splits_a_character),
		cmocka_unit_test(wrapping_puts_the_context_first_and_keeps_the_rest),
		cmocka_unit_test(a_field_holds_its_limit_and_is_cut_beyond),
		cmocka_unit_test(errno_values_become_codes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
