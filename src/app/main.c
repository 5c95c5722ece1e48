#include "app/admin.h"
#include "app/audit.h"
#include "app/backup.h"
#include "app/doctor.h"
#include "app/fsck.h"
#include "app/migrate.h"
#include "app/move.h"
#include "app/process.h"
#include "app/routes.h"
#include "app/serve.h"
#include "base/wipe.h"
#include "cli/command.h"
#include "rt/log.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* For people at a terminal, before there is a log. The words may come from the command line or a file: no control characters. */
static void complain(const struct err *e)
{
	char line[ERR_DETAIL_MAX];
	size_t n = 0;

	for (const char *p = e->detail[0] != '\0' ? e->detail : err_info(e->code)->title; *p != '\0' && n + 1 < sizeof(line); p++)
		line[n++] = (unsigned char)*p < ' ' || *p == 0x7f ? '?' : *p;
	line[n] = '\0';
	fprintf(stderr, "filemill: %s\n", line);
}

static int print(struct buf *b)
{
	bool ok = buf_ok(b) && (b->len == 0 || fwrite(b->p, 1, b->len, stdout) == b->len) && fflush(stdout) == 0;

	return ok ? EXIT_OK : EXIT_FAILED;
}

static int load(const struct command_line *line, struct settings *ret, struct routes *ret_routes, struct arena *strings, struct err *e)
{
	const struct config_source source = {.file = line->config_file, .environ = environ, .argc = line->argc, .argv = line->argv};
	int rc = settings_load(ret, &source, strings, e);

	return rc != 0 ? rc : routes_choose(ret_routes, &ret->surfaces, e);
}

static int run_check_config(const struct command_line *line)
{
	struct arena strings = ARENA_INIT;
	struct settings settings;
	struct routes routes;
	struct err e = ERR_INIT;
	int rc = load(line, &settings, &routes, &strings, &e);

	arena_release(&strings);
	if (rc == 0)
		puts("OK");
	else
		complain(&e);
	return command_exit_status(rc);
}

static int run_node(const struct command_line *line, const char *version,
		    int (*run)(const struct settings *s, const struct routes *routes, const char *version, struct err *e))
{
	struct arena strings = ARENA_INIT;
	struct settings settings;
	struct routes routes;
	struct err e = ERR_INIT;
	int rc = load(line, &settings, &routes, &strings, &e);

	if (rc != 0) {
		complain(&e);
	} else {
		log_setup(STDERR_FILENO, (enum log_format)settings.log_format, (enum log_level)settings.log_level);
		process_block_signals();
		rc = run(&settings, &routes, version, &e);
		if (rc != 0)
			log_err(LOG_ERROR, "start_failed", &e);
	}
	arena_release(&strings);
	return command_exit_status(rc);
}

static int run_doctor(const struct command_line *line)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct arena strings = ARENA_INIT;
	struct settings settings;
	struct routes routes;
	struct err e = ERR_INIT;
	int status, rc = load(line, &settings, &routes, &strings, &e);

	if (rc != 0) {
		complain(&e);
		status = command_exit_status(rc);
	} else {
		bool holds = doctor(&b, &settings, FILEMILL_VERSION, line->json);
		status = print(&b);
		if (!holds)
			status = EXIT_FAILED;
	}
	arena_release(&strings);
	return status;
}

static int run_fsck(const struct command_line *line)
{
	const struct fsck_options options = {.read = line->read, .repair = line->repair, .sole = line->sole, .json = line->json};
	struct arena strings = ARENA_INIT;
	struct settings settings;
	struct routes routes;
	struct err e = ERR_INIT;
	bool clean = false;
	int rc = load(line, &settings, &routes, &strings, &e);

	if (rc == 0)
		rc = fsck(stdout, &settings, &options, &clean, &e);
	if (rc != 0)
		complain(&e);
	arena_release(&strings);
	if (rc != 0)
		return command_exit_status(rc);
	return clean ? EXIT_OK : EXIT_FAILED;
}

static int run_transfer(const struct command_line *line,
			int (*work)(struct buf *out, const struct settings *s, const struct backup_options *o, struct err *e))
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	const struct backup_options options = {
		.target = line->target,
		.version = FILEMILL_VERSION,
		.verify = line->command == COMMAND_BACKUP ? line->verify : !line->no_verify,
		.copy = line->copy,
		.partial = line->partial,
	};
	struct arena strings = ARENA_INIT;
	struct settings settings;
	struct routes routes;
	struct err e = ERR_INIT;
	int rc = load(line, &settings, &routes, &strings, &e);

	if (rc == 0)
		rc = work(&b, &settings, &options, &e);
	arena_release(&strings);
	int status = print(&b);
	if (rc == 0)
		return status;
	complain(&e);
	return command_exit_status(rc);
}

static int run_audit(const struct command_line *line)
{
	const struct audit_options options = {.head = line->head, .act = line->act, .files = line->files, .n_files = line->n_files};
	struct arena strings = ARENA_INIT;
	struct settings settings;
	struct routes routes;
	struct err e = ERR_INIT;
	bool fine = true;
	int rc = load(line, &settings, &routes, &strings, &e);

	if (rc == 0 && str_eq(str_of(line->topic), STR("verify")))
		rc = audit_verify(stdout, &settings, &options, &fine, &e);
	else if (rc == 0)
		rc = audit_show(stdout, settings.data_dir, &options, &e);
	if (rc != 0)
		complain(&e);
	arena_release(&strings);
	if (rc != 0)
		return command_exit_status(rc);
	return fine ? EXIT_OK : EXIT_FAILED;
}

static int run_migrate(const struct command_line *line)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct arena strings = ARENA_INIT;
	struct settings settings;
	struct routes routes;
	struct err e = ERR_INIT;
	bool current = false;
	int rc = load(line, &settings, &routes, &strings, &e);

	if (rc == 0)
		rc = migrate(&b, &settings, line->check, &current, &e);
	arena_release(&strings);
	if (rc != 0) {
		complain(&e);
		return command_exit_status(rc);
	}
	return print(&b) == EXIT_OK && current ? EXIT_OK : EXIT_FAILED;
}

/* Both are read from their files alone: what the environment says would be said of both. */
static int load_file(const char *file, struct settings *ret, struct arena *strings, struct err *e)
{
	char *none[] = {NULL};
	const struct config_source source = {.file = file, .environ = none};
	int rc = settings_load(ret, &source, strings, e);

	return rc == 0 ? 0 : err_wrap(e, "%.100s", file);
}

static int run_move(const struct command_line *line)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct arena strings = ARENA_INIT;
	struct settings from, to;
	struct err e = ERR_INIT;
	int rc = load_file(line->from, &from, &strings, &e);

	if (rc == 0 && !line->take_back)
		rc = load_file(line->to, &to, &strings, &e);
	if (rc == 0)
		rc = line->take_back ? move_take_back(&b, &from, &e) : move(&b, &from, &to, &e);
	arena_release(&strings);
	if (rc == 0)
		return print(&b);
	complain(&e);
	return command_exit_status(rc);
}

static int run_admin(const struct command_line *line)
{
	struct buf b = BUF_INIT;
	struct arena strings = ARENA_INIT;
	struct settings settings;
	struct routes routes;
	struct err e = ERR_INIT;
	int status = EXIT_OK, rc = load(line, &settings, &routes, &strings, &e);

	if (rc == 0)
		rc = admin(&b, &settings, &line->admin, line->json, &e);
	if (rc == 0)
		status = print(&b);
	else
		complain(&e);
	if (b.p != NULL)
		wipe(b.p, b.len); /* a key may be in it */
	buf_release(&b);
	arena_release(&strings);
	return rc == 0 ? status : command_exit_status(rc);
}

static int run_describe(const struct command_line *line)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	const char *all[] = {"all"};
	const struct config_list surfaces = {all, 1};
	struct routes routes;
	struct err e = ERR_INIT;
	int rc;

	if (str_eq(str_of(line->topic), STR("routes"))) {
		rc = routes_choose(&routes, &surfaces, &e);
		if (rc == 0)
			http_routes_json(&b, routes.tables);
	} else {
		rc = command_describe(&b, line->topic, &e);
	}
	if (rc != 0) {
		complain(&e);
		return command_exit_status(rc);
	}
	buf_add_char(&b, '\n');
	return print(&b);
}

static int run_help(const struct command_line *line)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;

	command_help(&b, line);
	return print(&b);
}

int main(int argc, char **argv)
{
	struct command_line line;
	struct err e = ERR_INIT;

	process_init();
	int rc = command_parse(&line, argc, argv, &e);
	if (rc != 0) {
		complain(&e);
		return command_exit_status(rc);
	}
	if (line.help)
		return run_help(&line);
	switch (line.command) {
	case COMMAND_SERVE:
		return run_node(&line, FILEMILL_VERSION, serve);
	case COMMAND_WORK:
		return run_node(&line, FILEMILL_VERSION, work_only);
	case COMMAND_CHECK_CONFIG:
		return run_check_config(&line);
	case COMMAND_DOCTOR:
		return run_doctor(&line);
	case COMMAND_FSCK:
		return run_fsck(&line);
	case COMMAND_BACKUP:
		return run_transfer(&line, backup);
	case COMMAND_RESTORE:
		return run_transfer(&line, restore);
	case COMMAND_AUDIT:
		return run_audit(&line);
	case COMMAND_ADMIN:
		return run_admin(&line);
	case COMMAND_MIGRATE:
		return run_migrate(&line);
	case COMMAND_MOVE:
		return run_move(&line);
	case COMMAND_DESCRIBE:
		return run_describe(&line);
	case COMMAND_VERSION:
		printf("filemill %s\n", FILEMILL_VERSION);
		return EXIT_OK;
	case COMMAND_HELP:
		return run_help(&line);
	}
	return EXIT_FAILED;
}
