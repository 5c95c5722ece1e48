/* What the parts of the configuration reader share: one load in progress, the names of an option, setting a value. */
#ifndef FILEMILL_RT_CONFIG_IMPL_H
#define FILEMILL_RT_CONFIG_IMPL_H

#include "rt/config.h"

#include "base/str.h"

#define CONFIG_FILE_MAX (1024 * 1024) /* bytes of a YAML file */
#define CONFIG_LIST_MAX 256 /* members of one list */
#define CONFIG_NAME_MAX 128 /* bytes of a name in any spelling, with the NUL */
#define CONFIG_ENV_PREFIX "FILEMILL_"

struct config_load {
	void *settings; /* borrowed */
	const struct config_option *options;
	size_t n;
	struct arena *strings; /* borrowed; everything kept goes here */
};

/* One value or, for a list, its comma-separated members in place of what was there. ERR_BAD_CONFIG says what was expected. */
[[nodiscard]] int config_set(const struct config_load *l, const struct config_option *o, struct str value, struct err *e);
/* The comma-separated members behind those that are there. */
[[nodiscard]] int config_list_extend(const struct config_load *l, const struct config_option *o, struct str value, struct err *e);
/* Back to nothing: 0, false, an empty list. */
void config_clear(const struct config_load *l, const struct config_option *o);
/* One member as it is. */
[[nodiscard]] int config_list_add(const struct config_load *l, const struct config_option *o, struct str item, struct err *e);

/* A CONFIG_JSON's text, valid already. */
[[nodiscard]] int config_set_json(const struct config_load *l, const struct config_option *o, struct str json, struct err *e);

/* The bounds as a person writes them ("1 to 65535", "at least 4 KiB"); nothing when there are none. */
void config_add_bounds(struct buf *out, const struct config_option *o);

/* The spellings of an option: section.key, FILEMILL_SECTION_KEY, section-key (without the dashes in front). */
void config_dotted_name(char dst[CONFIG_NAME_MAX], const struct config_option *o);
void config_env_name(char dst[CONFIG_NAME_MAX], const struct config_option *o);
void config_flag_name(char dst[CONFIG_NAME_MAX], const struct config_option *o);

/* A stranger's text for an error: short, on one line, without controls. */
struct config_shown {
	char text[48];
};
struct config_shown config_show(struct str s);

/* `what` with the nearest of the names, if one is near; all of them, and the word, stand without their common prefix. Returns code. */
int config_unknown(const char *what, const char *prefix, struct str word, const char *const *names, size_t n, int code, struct err *e);

[[nodiscard]] int config_load_yaml(const struct config_load *l, const char *path, struct err *e);
[[nodiscard]] int config_load_environ(const struct config_load *l, char **environ, struct err *e);
[[nodiscard]] int config_load_flags(const struct config_load *l, int argc, char **argv, struct err *e);

#endif
