/* The command line: which subcommand, its settings, and those subcommands that need nothing but tables. */
#ifndef FILEMILL_CLI_COMMAND_H
#define FILEMILL_CLI_COMMAND_H

#include "base/buf.h"
#include "cli/admin.h"
#include "cli/settings.h"
#include "http/http.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_CONFIG = 78 };

enum command {
	COMMAND_SERVE,
	COMMAND_WORK,
	COMMAND_CHECK_CONFIG,
	COMMAND_DOCTOR,
	COMMAND_FSCK,
	COMMAND_VERSION,
	COMMAND_HELP,
	COMMAND_DESCRIBE,
	COMMAND_BACKUP,
	COMMAND_RESTORE,
	COMMAND_AUDIT,
	COMMAND_ADMIN,
	COMMAND_MIGRATE,
	COMMAND_MOVE
};

struct command_line {
	enum command command;
	bool help; /* --help after a subcommand */
	bool json; /* of doctor, fsck and admin */
	bool check; /* of migrate */
	bool take_back; /* of move */
	const char *from, *to; /* of move: configuration files */
	bool read, repair, sole; /* of fsck */
	bool verify, no_verify, copy, partial; /* of backup and restore */
	const char *config_file; /* -c, or NULL */
	const char *topic; /* of describe; of audit: verify or show */
	const char *head, *act; /* of audit, or NULL */
	char **files; /* of audit */
	int n_files;
	struct admin_line admin; /* of admin */
	const char *target; /* of backup and restore: the backup's folder */
	int argc; /* what is left: flags of settings */
	char **argv;
};

/* Borrows from argv, which is put into another order. ERR_USAGE. */
[[nodiscard]] int command_parse(struct command_line *ret, int argc, char **argv, struct err *e);
void command_help(struct buf *out, const struct command_line *line);

/* What the program consists of, as JSON for documentation: errors, options, ops, metrics, findings, audit acts. ERR_USAGE for another topic. Routes are known to the caller. */
[[nodiscard]] int command_describe(struct buf *out, const char *topic, struct err *e);

/* The exit status that belongs to a failure before anything was served. */
int command_exit_status(int code);

#endif
