#include "cli/command.h"
#include "audit/audit.h"
#include "base/json_out.h"
#include "catalog/finding.h"
#include "ops/ops.h"
#include "rt/metrics.h"

#include <string.h>

static const struct {
	const char *name, *arguments, *help;
	enum command command;
	bool settings; /* takes -c and the flags of settings */
} commands[] = {
	{"serve", "[-c FILE] [options]", "Serve: take files, run jobs, answer for them.", COMMAND_SERVE, true},
	{"work", "[-c FILE] [options]",
	 "Run jobs, and serve nobody: a node more on the catalogue that catalog.url names. SIGTERM lets what runs end, for node.drain at most.",
	 COMMAND_WORK, true},
	{"check-config", "[-c FILE] [options]", "Read the configuration as serve would, and say what is wrong with it.",
	 COMMAND_CHECK_CONFIG, true},
	{"doctor", "[-c FILE] [--json] [options]",
	 "Start the sealed runner and look at the data directory with this configuration, and say what holds on this machine.",
	 COMMAND_DOCTOR, true},
	{"fsck", "[-c FILE] [--read] [--repair] [--sole] [--json] [options]",
	 "Compare the catalogue with the store while no server runs: with --read byte for byte, with --repair mark what is damaged and remove what nobody needs, from a bucket with --sole: no copy of the catalogue uses it.",
	 COMMAND_FSCK, true},
	{"backup", "[-c FILE] [--data DIR] [--verify] [--copy] [options] TARGET",
	 "Copy the data directory, with what it has on PostgreSQL and in a bucket, as it is at one moment, into the folder TARGET, while servers work on it or without\n"
	 "      one. What an earlier backup there has already is kept. On one file system bytes get a second name instead of a copy. --verify: read every byte against its digest; --copy: copy, whatever the file system.",
	 COMMAND_BACKUP, true},
	{"restore", "[-c FILE] [--data DIR] [--no-verify] [--partial] [options] TARGET",
	 "Make a data directory, new or empty before, of the backup in TARGET. --no-verify: do not check digests; --partial: also if bytes of some files are missing or damaged.",
	 COMMAND_RESTORE, true},
	{"migrate", "[-c FILE] [--data DIR] [--check] [options]",
	 "Bring the catalogue's schema to that of this program, as a start of serve does; --check: only say whether there is something to do.",
	 COMMAND_MIGRATE, true},
	{"move", "--from FILE --to FILE",
	 "Move catalogue and files from where the one configuration has them to where the other one will, such as from the data directory to PostgreSQL and S3, or back.\n"
	 "      A server may work on the old place meanwhile; only at the end nothing is written for a while. Ended in the midst of it, the same command goes on.\n"
	 "      --from FILE --take-back: the old place is to be used again.",
	 COMMAND_MOVE, false},
	{"audit", "verify|show [-c FILE] [--data DIR] [--head LINE:HASH] [--act WORD] [options] [FILE…]",
	 "verify: check the audit log of the data directory, or FILEs of it in their order, line by line; --head: it must have this line, noted elsewhere.\n"
	 "      show: print its lines; --act: only of acts that begin with WORD.",
	 COMMAND_AUDIT, true},
	{"admin", "user|key ACT [-c FILE] [--data DIR] [--json] [options] …",
	 "Accounts and keys, while no server works on the data directory:\n"
	 "      user add EMAIL [--role user|operator|admin] [--name NAME], user list, user passwd EMAIL, user role EMAIL ROLE, user quota EMAIL LIST, user disable|enable|remove EMAIL;\n"
	 "      LIST is such as files=1000,bytes=10GiB,jobs=none; default takes back what was said of one.\n"
	 "      key add EMAIL NAME [--scopes LIST] [--expires TIME], key list [EMAIL], key revoke ID. Passwords are asked for, or read from standard input.",
	 COMMAND_ADMIN, true},
	{"describe", "errors|options|ops|metrics|findings|audit|routes", "Print one of the program's tables as JSON.", COMMAND_DESCRIBE,
	 false},
	{"version", "", "Print the version.", COMMAND_VERSION, false},
	{"help", "", "Print this.", COMMAND_HELP, false},
};

static int find_command(struct command_line *line, const char *word, bool *ret_settings, struct err *e)
{
	const char *names[ARRAY_LEN(commands)];

	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
		word = "help";
	if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
		word = "version";
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		names[i] = commands[i].name;
		if (strcmp(word, commands[i].name) != 0)
			continue;
		line->command = commands[i].command;
		*ret_settings = commands[i].settings;
		return 0;
	}
	const char *near = nearest_name(str_of(word), names, ARRAY_LEN(names));
	return err_set(e, ERR_USAGE, "there is no command \"%.60s\"%s%s; see filemill help", word, near != NULL ? ", perhaps " : "",
		       near != NULL ? near : "");
}

static bool take_switch(struct command_line *line, const char *arg)
{
	const struct {
		enum command command;
		const char *name;
		bool *at;
	} switches[] = {
		{COMMAND_DOCTOR, "--json", &line->json},
		{COMMAND_FSCK, "--json", &line->json},
		{COMMAND_ADMIN, "--json", &line->json},
		{COMMAND_FSCK, "--read", &line->read},
		{COMMAND_FSCK, "--repair", &line->repair},
		{COMMAND_FSCK, "--sole", &line->sole},
		{COMMAND_BACKUP, "--verify", &line->verify},
		{COMMAND_BACKUP, "--copy", &line->copy},
		{COMMAND_RESTORE, "--no-verify", &line->no_verify},
		{COMMAND_RESTORE, "--partial", &line->partial},
		{COMMAND_MIGRATE, "--check", &line->check},
		{COMMAND_MOVE, "--take-back", &line->take_back},
	};

	for (size_t i = 0; i < ARRAY_LEN(switches); i++)
		if (line->command == switches[i].command && strcmp(arg, switches[i].name) == 0)
			return *switches[i].at = true;
	return false;
}

/* A switch with a value: `--head X` or `--head=X`. */
static bool take_worded(struct command_line *line, int argc, char **argv, int *i)
{
	const struct {
		enum command command;
		const char *name;
		const char **at;
	} worded[] = {{COMMAND_AUDIT, "--head", &line->head},
		      {COMMAND_AUDIT, "--act", &line->act},
		      {COMMAND_MOVE, "--from", &line->from},
		      {COMMAND_MOVE, "--to", &line->to},
		      {COMMAND_ADMIN, "--role", &line->admin.role},
		      {COMMAND_ADMIN, "--name", &line->admin.name},
		      {COMMAND_ADMIN, "--scopes", &line->admin.scopes},
		      {COMMAND_ADMIN, "--expires", &line->admin.expires}};

	for (size_t k = 0; k < ARRAY_LEN(worded); k++) {
		size_t n = strlen(worded[k].name);
		if (line->command != worded[k].command || strncmp(argv[*i], worded[k].name, n) != 0)
			continue;
		if (argv[*i][n] == '=')
			*worded[k].at = argv[*i] + n + 1;
		else if (argv[*i][n] == '\0' && *i + 1 < argc)
			*worded[k].at = argv[++*i];
		else
			continue;
		return true;
	}
	return false;
}

/* Words that are neither flags nor values of flags go to the end, in their order. */
static void take_files(struct command_line *line)
{
	size_t n_options;
	const struct config_option *all = settings_options(&n_options);

	for (int i = 0, left = line->argc; left > 0; left--) {
		char *word = line->argv[i];
		if (word[0] == '-') {
			bool value = config_flag_takes_next(all, n_options, word) && left > 1;
			i += value ? 2 : 1;
			left -= value;
			continue;
		}
		memmove(&line->argv[i], &line->argv[i + 1], (size_t)(line->argc - i - 1) * sizeof(char *));
		line->argv[line->argc - 1] = word;
		line->n_files++;
	}
	line->argc -= line->n_files;
	line->files = line->argv + line->argc;
}

static int take_audit(struct command_line *line, struct err *e)
{
	take_files(line);
	if (line->n_files > 0) {
		line->topic = line->files[0];
		line->files++;
		line->n_files--;
	}
	if (line->help || (line->topic != NULL && (strcmp(line->topic, "verify") == 0 || strcmp(line->topic, "show") == 0)))
		return 0;
	return err_set(e, ERR_USAGE, "audit what? verify or show");
}

static int take_admin(struct command_line *line, struct err *e)
{
	take_files(line);
	return line->help ? 0 : admin_parse(&line->admin, line->files, line->n_files, e);
}

/* What is neither a flag nor the value of one. */
static int take_target(struct command_line *line, struct err *e)
{
	size_t n_options;
	const struct config_option *all = settings_options(&n_options);
	int n = 0;

	for (int i = 0; i < line->argc; i++) {
		char *arg = line->argv[i];
		if (arg[0] != '-' && line->target == NULL) {
			line->target = arg;
			continue;
		}
		bool value = config_flag_takes_next(all, n_options, arg) && i + 1 < line->argc;
		line->argv[n++] = arg;
		if (value)
			line->argv[n++] = line->argv[++i];
	}
	line->argc = n;
	if (line->target == NULL && !line->help)
		return err_set(e, ERR_USAGE, "the folder of the backup is missing; see filemill help");
	return 0;
}

/* Takes -c FILE, --help and the command's own switches out of the arguments; the rest stays in order. */
static int take_own_flags(struct command_line *line, int argc, char **argv, struct err *e)
{
	line->argc = 0;
	line->argv = argv;
	for (int i = 0; i < argc; i++) {
		const char *file = NULL;
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			line->help = true;
			continue;
		}
		if (take_switch(line, argv[i]) || take_worded(line, argc, argv, &i))
			continue;
		if (strcmp(argv[i], "-c") == 0 || strcmp(argv[i], "--config") == 0) {
			if (i + 1 == argc)
				return err_set(e, ERR_USAGE, "%s needs a file name", argv[i]);
			file = argv[++i];
		} else if (strncmp(argv[i], "--config=", 9) == 0) {
			file = argv[i] + 9;
		}
		if (file == NULL)
			argv[line->argc++] = argv[i];
		else if (line->config_file != NULL)
			return err_set(e, ERR_USAGE, "the configuration file is given twice");
		else
			line->config_file = file;
	}
	return 0;
}

int command_parse(struct command_line *ret, int argc, char **argv, struct err *e)
{
	struct command_line line = {};
	bool settings = false;
	int rc;

	if (argc < 2)
		return err_set(e, ERR_USAGE, "a command is missing; see filemill help");
	if ((rc = find_command(&line, argv[1], &settings, e)) != 0 || (rc = take_own_flags(&line, argc - 2, argv + 2, e)) != 0)
		return rc;
	if (line.command == COMMAND_DESCRIBE && line.argc > 0) {
		line.topic = line.argv[0];
		line.argc--;
		line.argv++;
	}
	if ((line.command == COMMAND_BACKUP || line.command == COMMAND_RESTORE) && (rc = take_target(&line, e)) != 0)
		return rc;
	if (line.command == COMMAND_AUDIT && (rc = take_audit(&line, e)) != 0)
		return rc;
	if (line.command == COMMAND_ADMIN && (rc = take_admin(&line, e)) != 0)
		return rc;
	if (!settings && (line.argc > 0 || line.config_file != NULL))
		return err_set(e, ERR_USAGE, "\"%.60s\" is too much here; see filemill help", line.argc > 0 ? line.argv[0] : "-c");
	if (line.command == COMMAND_MOVE && !line.help && (line.from == NULL || (line.to != NULL) == line.take_back))
		return err_set(e, ERR_USAGE, "move from where to where? --from FILE --to FILE, or --from FILE --take-back");
	if (line.command == COMMAND_DESCRIBE && line.topic == NULL && !line.help)
		return err_set(e, ERR_USAGE, "describe what? errors, options, ops, metrics, findings, audit or routes");
	*ret = line;
	return 0;
}

void command_help(struct buf *out, const struct command_line *line)
{
	size_t n;
	const struct config_option *options = settings_options(&n);

	buf_add_cstr(
		out,
		"filemill takes files in over HTTP, keeps them safe, runs jobs on each, and tells by id what became of each one.\n\nUsage:\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (line->command != COMMAND_HELP && line->command != commands[i].command)
			continue;
		buf_addf(out, "  filemill %s %s\n      %s\n", commands[i].name, commands[i].arguments, commands[i].help);
	}
	if (line->command != COMMAND_HELP && line->command != COMMAND_SERVE && line->command != COMMAND_WORK &&
	    line->command != COMMAND_CHECK_CONFIG && line->command != COMMAND_DOCTOR && line->command != COMMAND_FSCK &&
	    line->command != COMMAND_BACKUP && line->command != COMMAND_RESTORE && line->command != COMMAND_AUDIT &&
	    line->command != COMMAND_ADMIN && line->command != COMMAND_MIGRATE)
		return;
	buf_add_cstr(
		out,
		"\nOptions of serve, work, check-config, doctor, fsck, backup, restore, migrate, audit and admin, also as FILEMILL_SECTION_KEY in the environment and as section, key in the YAML file:\n"
		"  -c, --config FILE\n      Configuration file in YAML.\n");
	config_help(out, options, n);
}

/* ---- describe ---- */

static void describe_errors(struct buf *out)
{
	struct json_out j = json_out(out);
	unsigned n;
	const struct err_info *all = err_all(&n);

	json_arr_open(&j);
	for (unsigned i = 0; i < n; i++) {
		json_obj_open(&j);
		json_kcstr(&j, "code", all[i].name);
		json_ku64(&j, "status", (uint64_t)all[i].http_status);
		json_kbool(&j, "retryable", all[i].retryable);
		json_kcstr(&j, "title", all[i].title);
		json_obj_close(&j);
	}
	json_arr_close(&j);
}

static void describe_metrics(struct buf *out)
{
	static const char *const kinds[] = {[METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_SECONDS] = "histogram"};
	struct json_out j = json_out(out);

	json_arr_open(&j);
	for (int i = 0; i < METRIC_COUNT; i++) {
		const struct metric_info *info = metric_info((enum metric)i);
		json_obj_open(&j);
		json_kcstr(&j, "name", info->name);
		json_kcstr(&j, "type", kinds[info->kind]);
		json_kcstr(&j, "help", info->help);
		json_obj_close(&j);
	}
	for (int i = 0; i < METRIC_BY_COUNT; i++) {
		const struct metric_by_info *info = metric_by_info((enum metric_by)i);
		json_obj_open(&j);
		json_kcstr(&j, "name", info->name);
		json_kcstr(&j, "type", kinds[info->kind]);
		json_kcstr(&j, "label", metric_label_name(info->label));
		json_kcstr(&j, "help", info->help);
		json_obj_close(&j);
	}
	json_arr_close(&j);
}

static void describe_findings(struct buf *out)
{
	struct json_out j = json_out(out);

	json_arr_open(&j);
	for (int i = 0; i < FINDINGS; i++) {
		json_obj_open(&j);
		json_kcstr(&j, "code", finding_word((enum finding)i));
		json_kcstr(&j, "help", finding_help((enum finding)i));
		json_obj_close(&j);
	}
	json_arr_close(&j);
}

static void describe_audit(struct buf *out)
{
	struct json_out j = json_out(out);

	json_arr_open(&j);
	for (int i = 0; i < AUDIT_ACTS; i++) {
		json_obj_open(&j);
		json_kcstr(&j, "act", audit_act_word((enum audit_act)i));
		json_kcstr(&j, "help", audit_act_help((enum audit_act)i));
		json_obj_close(&j);
	}
	json_arr_close(&j);
}

static void describe_options(struct buf *out)
{
	size_t n;
	const struct config_option *options = settings_options(&n);

	config_json(out, options, n);
}

static void describe_ops(struct buf *out)
{
	op_table_write_json(op_builtin_table(), out);
}

int command_describe(struct buf *out, const char *topic, struct err *e)
{
	static const struct {
		const char *name;
		void (*write)(struct buf *out);
	} topics[] = {{"errors", describe_errors},   {"options", describe_options},   {"ops", describe_ops},
		      {"metrics", describe_metrics}, {"findings", describe_findings}, {"audit", describe_audit}};

	for (size_t i = 0; i < ARRAY_LEN(topics); i++)
		if (strcmp(topic, topics[i].name) == 0) {
			topics[i].write(out);
			return 0;
		}
	return err_set(e, ERR_USAGE, "describe knows errors, options, ops, metrics, findings, audit and routes, not \"%.60s\"", topic);
}

int command_exit_status(int code)
{
	switch (code) {
	case 0:
		return EXIT_OK;
	case ERR_USAGE:
		return EXIT_USAGE;
	case ERR_BAD_CONFIG:
		return EXIT_CONFIG;
	default:
		return EXIT_FAILED;
	}
}
