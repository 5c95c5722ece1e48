/* The order of the sources, the spellings of a name, and the two flat sources: environment and flags. */
#include "rt/config.h"

#include "rt/config_impl.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* "section<sep>key"; `sep` also stands for the dots, underscores and dashes in `alike`. */
static void spell(char dst[CONFIG_NAME_MAX], const char *prefix, const struct config_option *o, char sep, const char *alike)
{
	bool sectioned = o->section && o->section[0] != '\0';
	int n;

	if (sectioned)
		n = snprintf(dst, CONFIG_NAME_MAX, "%s%s%c%s", prefix, o->section, sep, o->key);
	else
		n = snprintf(dst, CONFIG_NAME_MAX, "%s%s", prefix, o->key);
	assert(n > 0 && n < CONFIG_NAME_MAX);
	for (char *p = dst + strlen(prefix); *p; p++) {
		if (strchr(alike, *p))
			*p = sep;
	}
}

void config_dotted_name(char dst[CONFIG_NAME_MAX], const struct config_option *o)
{
	spell(dst, "", o, '.', "");
}

void config_flag_name(char dst[CONFIG_NAME_MAX], const struct config_option *o)
{
	spell(dst, "", o, '-', "._");
}

void config_env_name(char dst[CONFIG_NAME_MAX], const struct config_option *o)
{
	spell(dst, CONFIG_ENV_PREFIX, o, '_', ".-");
	for (char *p = dst; *p; p++) {
		if (*p >= 'a' && *p <= 'z')
			*p = (char)(*p - 'a' + 'A');
	}
}

struct config_shown config_show(struct str s)
{
	struct config_shown shown = {};
	size_t n = utf8_prefix(s, sizeof(shown.text) - 4);

	for (size_t i = 0; i < n; i++)
		shown.text[i] = (unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f ? '?' : s.p[i];
	if (n < s.len)
		memcpy(shown.text + n, "\u2026", 3);
	return shown;
}

int config_unknown(const char *what, const char *prefix, struct str word, const char *const *names, size_t n, int code, struct err *e)
{
	const char *nearest = nearest_name(word, names, n);
	char whole[ERR_WORD_MAX];

	if (!nearest)
		return err_set(e, code, "%s", what);
	snprintf(whole, sizeof(whole), "%s%s", prefix, nearest);
	err_set(e, code, "%s; did you mean %s?", what, whole);
	err_expected(e, whole);
	return code;
}

typedef void (*spelling)(char dst[CONFIG_NAME_MAX], const struct config_option *o);

static const struct config_option *find(const struct config_load *l, spelling spell_as, struct str name)
{
	for (size_t i = 0; i < l->n; i++) {
		char candidate[CONFIG_NAME_MAX];

		spell_as(candidate, &l->options[i]);
		if (str_eq(name, str_of(candidate)))
			return &l->options[i];
	}
	return NULL;
}

static int no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, "no memory for the configuration");
}

static int unknown_variable(const struct config_load *l, struct str name, struct err *e)
{
	const struct str prefix = STR(CONFIG_ENV_PREFIX);
	const char **names = arena_alloc(l->strings, (l->n + 1) * sizeof(names[0]));

	for (size_t i = 0; names && i < l->n; i++) {
		char whole[CONFIG_NAME_MAX];

		config_env_name(whole, &l->options[i]);
		names[i] = arena_strndup(l->strings, whole + prefix.len, strlen(whole + prefix.len));
		if (!names[i])
			return no_memory(e);
	}
	if (!names)
		return no_memory(e);
	name = (struct str){name.p + prefix.len, name.len - prefix.len};
	return config_unknown("no such setting", CONFIG_ENV_PREFIX, name, names, l->n, ERR_BAD_CONFIG, e);
}

static int load_variable(const struct config_load *l, struct str name, struct str value, struct err *e)
{
	const struct config_option *o = find(l, config_env_name, name);
	int r = o ? config_set(l, o, value, e) : unknown_variable(l, name, e);

	if (r < 0) {
		err_wrap(e, "%s", config_show(name).text);
		err_field(e, config_show(name).text);
	}
	return r;
}

int config_load_environ(const struct config_load *l, char **environ, struct err *e)
{
	for (char **entry = environ; *entry; entry++) {
		struct str value, name = str_split(str_of(*entry), '=', &value);
		int r;

		if (!value.p || !str_starts(name, STR(CONFIG_ENV_PREFIX)))
			continue;
		r = load_variable(l, name, value, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* One flag taken apart: its name without dashes and what stands behind '='. */
struct flag {
	const struct config_option *option;
	struct str spelled; /* as the user wrote it, without the value */
	struct str value; /* p NULL when none was given */
	bool negated; /* --no-name */
};

static const struct config_option *find_flag(const struct config_load *l, struct str name)
{
	const struct config_option *o = find(l, config_flag_name, name);

	for (size_t i = 0; !o && i < l->n; i++) {
		if (l->options[i].flag && str_eq(name, str_of(l->options[i].flag)))
			o = &l->options[i];
	}
	return o;
}

/* Both spellings of every option are candidates. */
static int unknown_flag(const struct config_load *l, struct str name, struct str spelled, struct err *e)
{
	const char **names = arena_alloc(l->strings, (2 * l->n + 1) * sizeof(names[0]));
	size_t n = 0;

	for (size_t i = 0; names && i < l->n; i++) {
		char whole[CONFIG_NAME_MAX];

		config_flag_name(whole, &l->options[i]);
		names[n] = arena_strndup(l->strings, whole, strlen(whole));
		if (!names[n++])
			return no_memory(e);
		if (l->options[i].flag)
			names[n++] = l->options[i].flag;
	}
	if (!names)
		return no_memory(e);
	config_unknown("no such flag", "--", name, names, n, ERR_USAGE, e);
	err_wrap(e, "%s", config_show(spelled).text);
	err_field(e, config_show(spelled).text);
	return ERR_USAGE;
}

bool config_flag_takes_next(const struct config_option *options, size_t n, const char *arg)
{
	const struct config_load l = {.options = options, .n = n};
	struct str value, name = str_split(str_of(arg), '=', &value);
	const struct config_option *o;

	if (!str_starts(name, STR("--")) || value.p)
		return false;
	o = find_flag(&l, (struct str){name.p + 2, name.len - 2});
	return o && o->kind != CONFIG_BOOL;
}

static int parse_flag(const struct config_load *l, struct flag *ret, const char *arg, struct err *e)
{
	struct flag f = {};
	struct str name;

	f.spelled = str_split(str_of(arg), '=', &f.value);
	if (!str_starts(f.spelled, STR("--")) || f.spelled.len == 2)
		return err_set(e, ERR_USAGE, "unexpected argument \"%s\"", config_show(str_of(arg)).text);
	name = (struct str){f.spelled.p + 2, f.spelled.len - 2};
	f.option = find_flag(l, name);
	if (!f.option && str_starts(name, STR("no-"))) {
		f.option = find_flag(l, (struct str){name.p + 3, name.len - 3});
		f.negated = true;
		if (f.option && f.option->kind != CONFIG_BOOL)
			f.option = NULL;
	}
	if (!f.option)
		return unknown_flag(l, name, f.spelled, e);
	if (f.negated && f.value.p)
		return err_set(e, ERR_USAGE, "%s: takes no value", config_show(f.spelled).text);
	*ret = f;
	return 0;
}

/* Sets the option; *used becomes true when the next argument was its value. `repeated`: an earlier flag set it already. */
static int apply_flag(const struct config_load *l, struct flag *f, const char *next, bool repeated, bool *used, struct err *e)
{
	int r;

	*used = false;
	if (f->option->kind == CONFIG_BOOL && !f->value.p) {
		f->value = f->negated ? STR("false") : STR("true");
	} else if (!f->value.p) {
		if (!next || str_starts(str_of(next), STR("--")))
			return err_set(e, ERR_USAGE, "%s: needs a value", config_show(f->spelled).text);
		f->value = str_of(next);
		*used = true;
	}
	if (f->option->kind == CONFIG_LIST && repeated)
		r = config_list_extend(l, f->option, f->value, e);
	else
		r = config_set(l, f->option, f->value, e);
	if (r == 0)
		return 0;
	err_wrap(e, "%s", config_show(f->spelled).text);
	err_field(e, config_show(f->spelled).text);
	if (r == ERR_BAD_CONFIG && e)
		e->code = ERR_USAGE;
	return r == ERR_BAD_CONFIG ? ERR_USAGE : r;
}

int config_load_flags(const struct config_load *l, int argc, char **argv, struct err *e)
{
	bool *seen = arena_alloc(l->strings, l->n * sizeof(seen[0])); /* by option */

	if (!seen)
		return no_memory(e);
	for (int i = 0; i < argc; i++) {
		struct flag f = {};
		bool used;
		size_t at;
		int r = parse_flag(l, &f, argv[i], e);

		if (r < 0)
			return r;
		at = (size_t)(f.option - l->options);
		r = apply_flag(l, &f, i + 1 < argc ? argv[i + 1] : NULL, seen[at], &used, e);
		if (r < 0)
			return r;
		seen[at] = true;
		i += used;
	}
	return 0;
}

static int load_defaults(const struct config_load *l, struct err *e)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct config_option *o = &l->options[i];
		char name[CONFIG_NAME_MAX];
		int r;

		/* Without a default a number is 0, a bool false, a list empty, an enum its first word; a string is "". */
		if (!o->def && o->kind != CONFIG_STRING) {
			config_clear(l, o);
			continue;
		}
		r = config_set(l, o, str_of(o->def), e);
		if (r < 0) {
			config_dotted_name(name, o);
			err_wrap(e, "the default of %s", name);
			return r;
		}
	}
	return 0;
}

int config_load(void *settings, const struct config_option *options, size_t n, const struct config_source *src, struct arena *strings,
		struct err *e)
{
	struct config_load l = {.settings = settings, .options = options, .n = n, .strings = strings};
	int r = load_defaults(&l, e);

	if (r == 0 && src->file)
		r = config_load_yaml(&l, src->file, e);
	if (r == 0 && src->environ)
		r = config_load_environ(&l, src->environ, e);
	if (r == 0)
		r = config_load_flags(&l, src->argc, src->argv, e);
	return r;
}
