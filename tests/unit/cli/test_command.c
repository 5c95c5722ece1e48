#include "cli/command.h"
#include "rt/json_in.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static int parse(struct command_line *line, struct err *e, const char *const *words)
{
	static char copies[8][64];
	static char *argv[8];
	int argc = 0;

	for (; words[argc] != NULL; argc++) {
		strcpy(copies[argc], words[argc]);
		argv[argc] = copies[argc];
	}
	return command_parse(line, argc, argv, e);
}

static void serve_keeps_the_flags_of_settings_and_takes_the_file(void **state)
{
	struct command_line line;
	struct err e = ERR_INIT;

	assert_int_equal(parse(&line, &e, (const char *const[]){"filemill", "serve", "--data", "x", "-c", "f.yaml", "--listen=y", NULL}),
			 0);
	assert_int_equal(line.command, COMMAND_SERVE);
	assert_string_equal(line.config_file, "f.yaml");
	assert_int_equal(line.argc, 3);
	assert_string_equal(line.argv[0], "--data");
	assert_string_equal(line.argv[1], "x");
	assert_string_equal(line.argv[2], "--listen=y");
}

static void a_wrong_command_line_is_a_usage_error(void **state)
{
	static const char *const rows[][5] = {{"filemill", NULL},
					      {"filemill", "nonsense", NULL},
					      {"filemill", "version", "extra", NULL},
					      {"filemill", "serve", "-c", NULL},
					      {"filemill", "describe", NULL},
					      {"filemill", "version", "-c", "x", NULL}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct command_line line;
		struct err e = ERR_INIT;
		assert_int_equal(parse(&line, &e, rows[i]), ERR_USAGE);
		assert_int_equal(command_exit_status(e.code), EXIT_USAGE);
	}
}

static void an_unknown_command_names_the_nearest(void **state)
{
	struct command_line line;
	struct err e = ERR_INIT;

	assert_int_equal(parse(&line, &e, (const char *const[]){"filemill", "sreve", NULL}), ERR_USAGE);
	assert_non_null(strstr(e.detail, "serve"));
}

static void two_configuration_files_are_one_too_many(void **state)
{
	struct command_line line;
	struct err e = ERR_INIT;

	assert_int_equal(parse(&line, &e, (const char *const[]){"filemill", "serve", "-c", "a", "--config=b", NULL}), ERR_USAGE);
}

static void every_table_describes_itself_as_json(void **state)
{
	static const char *const topics[] = {"errors", "options", "ops", "metrics"};

	for (size_t i = 0; i < ARRAY_LEN(topics); i++) {
		CLEANUP(buf_release) struct buf b = BUF_INIT;
		struct err e = ERR_INIT;
		json_t *value;
		assert_int_equal(command_describe(&b, topics[i], &e), 0);
		assert_int_equal(json_read(&value, buf_str(&b), &e), 0);
		assert_true(json_array_size(value) > 0 || json_array_size(json_object_get(value, topics[i])) > 0);
		json_decref(value);
	}
	assert_int_equal(command_describe(NULL, "nonsense", NULL), ERR_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(serve_keeps_the_flags_of_settings_and_takes_the_file),
		cmocka_unit_test(a_wrong_command_line_is_a_usage_error),
		cmocka_unit_test(an_unknown_command_names_the_nearest),
		cmocka_unit_test(two_configuration_files_are_one_too_many),
		cmocka_unit_test(every_table_describes_itself_as_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
