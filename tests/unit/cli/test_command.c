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

static void the_folder_of_a_backup_is_told_from_flags_and_their_values(void **state)
{
	static const char *const rows[][8] = {
		{"filemill", "backup", "T", "--data", "d", NULL},
		{"filemill", "backup", "--data", "d", "T", NULL},
		{"filemill", "backup", "--data=d", "--verify", "T", NULL},
		{"filemill", "backup", "--data-allow-network-fs", "T", "-c", "f", NULL},
		{"filemill", "backup", "--copy", "T", "--files-max-size", "1KiB", NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct command_line line;
		struct err e = ERR_INIT;
		assert_int_equal(parse(&line, &e, rows[i]), 0);
		assert_int_equal(line.command, COMMAND_BACKUP);
		assert_string_equal(line.target, "T");
		assert_int_equal(line.verify, i == 2);
		assert_int_equal(line.copy, i == 4);
		for (int n = 0; n < line.argc; n++)
			assert_string_not_equal(line.argv[n], "T");
		assert_int_equal(line.argc, i == 0 || i == 1 || i == 4 ? 2 : 1);
	}
	struct command_line line;
	struct err e = ERR_INIT;
	assert_int_equal(parse(&line, &e, (const char *const[]){"filemill", "restore", "--partial", "--no-verify", "T", NULL}), 0);
	assert_true(line.partial && line.no_verify && line.command == COMMAND_RESTORE);
	assert_int_equal(parse(&line, &e, (const char *const[]){"filemill", "restore", "--data", "T", NULL}), ERR_USAGE);
	assert_int_equal(parse(&line, &e, (const char *const[]){"filemill", "backup", "--partial", "T", NULL}), 0); /* settings refuse it */
	assert_string_equal(line.argv[0], "--partial");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(serve_keeps_the_flags_of_settings_and_takes_the_file),
		cmocka_unit_test(a_wrong_command_line_is_a_usage_error),
		cmocka_unit_test(an_unknown_command_names_the_nearest),
		cmocka_unit_test(two_configuration_files_are_one_too_many),
		cmocka_unit_test(every_table_describes_itself_as_json),
		cmocka_unit_test(the_folder_of_a_backup_is_told_from_flags_and_their_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
