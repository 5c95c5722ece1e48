/* Settings from four places, later ones win: defaults, a YAML file (libfyaml), the environment, flags.
 * A caller describes its settings in a table of struct config_option; the same table gives --help, the man page and the docs. */
#ifndef FILEMILL_RT_CONFIG_H
#define FILEMILL_RT_CONFIG_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum config_kind {
	CONFIG_BOOL, /* bool; true false */
	CONFIG_INT, /* int64_t */
	CONFIG_SIZE, /* uint64_t bytes; needs a unit unless 0: B KiB MiB GiB TiB (powers of 1024) kB MB GB (of 1000) */
	CONFIG_DURATION, /* int64_t milliseconds; needs a unit unless 0: ms s m h d */
	CONFIG_STRING, /* const char * in the arena, never NULL after load ("" when unset) */
	CONFIG_LIST, /* struct config_list; YAML list, comma list in environment and flag; a repeated flag appends */
	CONFIG_ENUM, /* int: index into `words` */
	CONFIG_JSON, /* struct str in the arena: the text of a JSON object whose members the table does not know; "" when unset. A mapping in YAML, JSON text in environment
			and flag. What stands unquoted as JSON writes a number, true or false is one, all else is a string; nothing is null */
};

#define CONFIG_JSON_MAX (256 * 1024) /* bytes of such a text */
#define CONFIG_JSON_DEPTH_MAX 8 /* objects and lists within each other, the outermost counted */
#define CONFIG_JSON_MEMBERS_MAX 256 /* of one YAML mapping in it */

struct config_list {
	const char **items; /* in the arena */
	size_t n;
};

struct config_option {
	const char *section,
		*key; /* YAML section.key (section may have a dot: surfaces.hash_tasks), flag --section-key, environment FILEMILL_SECTION_KEY */
	const char *flag; /* an extra short spelling such as "data" for --data, or NULL */
	enum config_kind kind;
	size_t offset; /* in the settings struct */
	const char *def; /* default, as it would be written */
	int64_t min, max; /* for INT, SIZE, DURATION: inclusive; both 0 = unbounded */
	const char *const *words; /* for ENUM, NULL-terminated */
	const char *help; /* one sentence */
};

struct config_source {
	const char *file; /* YAML path, or NULL */
	char **environ; /* "NAME=value" list, or NULL */
	int argc; /* flags only: what stands after the subcommand; --key=value, --key value, --bool, --no-bool */
	char **argv;
};

/* Fills `settings` (whole struct, defaults included). Errors: ERR_BAD_CONFIG with "file:line:column: section.key: what is wrong, what is allowed"
 * and the nearest name for an unknown key; an unknown flag likewise (ERR_USAGE); an unknown FILEMILL_… variable is an error too.
 * Duplicate YAML keys are errors. */
[[nodiscard]] int config_load(void *settings, const struct config_option *options, size_t n, const struct config_source *src,
			      struct arena *strings, struct err *e);

/* Parses one value as the option would; used for tests and for values inside other strings. */
[[nodiscard]] int config_parse_size(uint64_t *ret_bytes, struct str s, struct err *e);
[[nodiscard]] int config_parse_duration(int64_t *ret_ms, struct str s, struct err *e);

/* The option list as aligned --help text, and as a JSON array for the documentation. */
void config_help(struct buf *out, const struct config_option *options, size_t n);
void config_json(struct buf *out, const struct config_option *options, size_t n);

/* Every option with its value as it is in force, a line `section.key=value` each, in the order of the table. */
void config_values(struct buf *out, const void *settings, const struct config_option *options, size_t n);

/* Whether the argument is a flag whose value is the next one. */
bool config_flag_takes_next(const struct config_option *options, size_t n, const char *arg);

#endif
