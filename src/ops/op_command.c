/* One command of the configuration, read and checked. */
#include "ops/digest_impl.h"
#include "ops/op_config_impl.h"
#include "rt/config.h"

#include <stdlib.h>
#include <string.h>

#define SUMMARY_MAX 255 /* bytes */
#define SUFFIX_MAX 40
#define TYPES_MAX 16 /* media types one command may name */
#define TYPE_BYTES 100

#define MIB (UINT64_C(1) << 20)
#define TIB (UINT64_C(1) << 40)
#define DAY_MS INT64_C(86400000)

static int no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, "no memory for the commands");
}

/* ---- argv ---- */

struct words { /* while they are read */
	struct op *op;
	struct op_param *params; /* the op's, to be written to */
	bool used[OP_PARAMS_MAX];
	size_t bytes; /* of all words at most, values filled in */
};

/* Bytes of the longest value. */
static size_t longest(const struct op_param *p)
{
	size_t most = 0;

	switch (p->kind) {
	case OP_PARAM_INT:
		return 20;
	case OP_PARAM_STRING:
		return (size_t)p->max;
	case OP_PARAM_WORD:
		for (const char *const *w = p->words; *w; w++)
			most = strlen(*w) > most ? strlen(*w) : most;
		return most;
	}
	return 0;
}

/* What a value at the beginning of a word may be. */
static int begin_word(struct op_param *p, struct err *e)
{
	if (p->kind == OP_PARAM_INT && p->min < 0)
		return err_set(e, ERR_BAD_CONFIG, "\"%s\" may be negative and would pass for an option here: write --some-option={%s}",
			       p->name, p->name);
	if (p->kind == OP_PARAM_STRING && p->pattern[0] != '-')
		p->no_dash = true;
	if (p->no_dash && p->def && p->def[0] == '-')
		return err_set(e, ERR_BAD_CONFIG,
			       "the default of \"%s\" would pass for an option here; where that is meant, its pattern begins with -",
			       p->name);
	return 0;
}

static int use_param(void *arg, struct str name, bool begins, struct err *e)
{
	struct words *w = arg;
	const char *names[OP_PARAMS_MAX], *nearest;

	for (size_t i = 0; i < w->op->n_params; i++) {
		names[i] = w->params[i].name;
		if (!str_eq(name, str_of(names[i])))
			continue;
		w->used[i] = true;
		w->bytes += longest(&w->params[i]);
		return begins ? begin_word(&w->params[i], e) : 0;
	}
	nearest = nearest_name(name, names, w->op->n_params);
	name.len = utf8_prefix(name, 40);
	return err_set(e, ERR_BAD_CONFIG, "params has no \"%.*s\"%s%s", STR_FMT(name), nearest ? "; perhaps " : "", nearest ? nearest : "");
}

static int check_program(const char *word, const struct place *p, struct err *e)
{
	if (word[0] != '/')
		return bad_place(e, p, "must be the absolute path of a program");
	if (strpbrk(word, "{}"))
		return bad_place(e, p, "nobody but the configuration says which program is started: no braces here");
	return 0;
}

static int read_word(struct words *w, const char **ret, json_t *v, size_t i, const struct place *p, struct arena *a, struct err *e)
{
	struct place at = place_in(p, "[%zu]", i);
	const char *word = json_string_value(v);
	size_t literal_bytes;
	int r;

	if (!word)
		return bad_place(e, &at, "must be a string; a number is put in quotes");
	if (json_string_length(v) > OP_WORD_MAX)
		return bad_place(e, &at, "a word has at most %d bytes", OP_WORD_MAX);
	if (i == 0 && (r = check_program(word, &at, e)) < 0)
		return r;
	if ((r = op_template_check(word, use_param, w, &literal_bytes, e)) < 0)
		return at_place(e, r, &at);
	w->bytes += literal_bytes + 1;
	*ret = arena_strndup(a, word, json_string_length(v));
	return *ret ? 0 : no_memory(e);
}

static int read_argv(struct op *op, struct op_command *c, json_t *argv, const struct place *outer, struct arena *a, struct err *e)
{
	struct place p = place_in(outer, ".argv");
	struct words w = {.op = op, .params = (struct op_param *)(uintptr_t)op->params};
	size_t n = json_array_size(argv);

	if (n < 1 || n > OP_ARGV_MAX)
		return bad_place(e, &p, "must be a list of 1 to %d words, the program first", OP_ARGV_MAX);
	for (size_t i = 0; i < n; i++) {
		int r = read_word(&w, &c->argv[i], json_array_get(argv, i), i, &p, a, e);

		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < op->n_params; i++) {
		struct place at = place_in(outer, ".params.%s", op->params[i].name);

		if (!w.used[i])
			return bad_place(e, &at, "no word of argv has {%s}", op->params[i].name);
	}
	if (w.bytes > OP_COMMAND_LINE_MAX)
		return bad_place(e, &p, "with the longest values the words come to %zu bytes; %d are allowed", w.bytes,
				 OP_COMMAND_LINE_MAX);
	return 0;
}

/* ---- the rest ---- */

static bool printable(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return false;
	return true;
}

static int read_text(const char **ret, json_t *declaration, const char *name, size_t max, const char *def, const struct place *outer,
		     struct arena *a, struct err *e)
{
	struct place p = place_in(outer, ".%s", name);
	json_t *v = json_object_get(declaration, name);

	if (v && (!json_is_string(v) || json_string_length(v) > max || !printable(json_string_value(v))))
		return bad_place(e, &p, "must be a string of at most %zu bytes without control characters", max);
	*ret = v ? arena_strndup(a, json_string_value(v), json_string_length(v)) : def;
	return *ret ? 0 : no_memory(e);
}

/* RFC 9110, §8.3.1, without parameters, in lower case. */
static bool media_type_ok(const char *type)
{
	const char *slash = type ? strchr(type, '/') : NULL;
	static const char token[] = "abcdefghijklmnopqrstuvwxyz0123456789!#$&^_.+-";

	return slash && slash != type && slash[1] != '\0' && strlen(type) <= TYPE_BYTES && strspn(type, token) == (size_t)(slash - type) &&
	       slash[1 + strspn(slash + 1, token)] == '\0';
}

static int read_types(struct op *op, json_t *list, const struct place *outer, struct arena *a, struct err *e)
{
	struct place p = place_in(outer, ".output_types");
	size_t n = json_array_size(list);
	const char **types;

	if (!list)
		return 0;
	if (n < 1 || n > TYPES_MAX)
		return bad_place(e, &p, "must be a list of 1 to %d media types; left out, it means any", TYPES_MAX);
	types = arena_alloc(a, (n + 1) * sizeof(*types));
	if (!types)
		return no_memory(e);
	for (size_t i = 0; i < n; i++) {
		const char *type = json_string_value(json_array_get(list, i));

		p = place_in(outer, ".output_types[%zu]", i);
		if (!media_type_ok(type))
			return bad_place(e, &p, "must be a media type in lower case such as text/plain");
		types[i] = arena_strndup(a, type, strlen(type));
		if (!types[i])
			return no_memory(e);
	}
	op->output_types = types;
	return 0;
}

int op_duration_read(int64_t *ret, json_t *declaration, const char *name, int64_t least, const struct place *outer, struct err *e)
{
	struct place p = place_in(outer, ".%s", name);
	json_t *v = json_object_get(declaration, name);
	int64_t ms = 0;
	int r;

	if (v && !json_is_string(v))
		return bad_place(e, &p, "must be a duration with its unit (ms s m h d)");
	if (v && (r = config_parse_duration(&ms, str_of(json_string_value(v)), e)) < 0)
		return at_place(e, r, &p);
	if (v && (ms < least || ms > 7 * DAY_MS))
		return bad_place(e, &p, "must be from %lldms to 7d", (long long)least);
	*ret = ms;
	return 0;
}

static int read_size(uint64_t *ret, json_t *declaration, const char *name, uint64_t least, uint64_t most, const struct place *outer,
		     struct err *e)
{
	struct place p = place_in(outer, ".%s", name);
	json_t *v = json_object_get(declaration, name);
	uint64_t bytes = 0;
	int r;

	if (v && !json_is_string(v))
		return bad_place(e, &p, "must be a size with its unit (B KiB MiB GiB TiB kB MB GB)");
	if (v && (r = config_parse_size(&bytes, str_of(json_string_value(v)), e)) < 0)
		return at_place(e, r, &p);
	if (v && (bytes < least || bytes > most))
		return bad_place(e, &p, "must be from %llu to %llu bytes", (unsigned long long)least, (unsigned long long)most);
	*ret = bytes;
	return 0;
}

static int read_limits(struct op_command *c, json_t *declaration, const struct place *p, struct err *e)
{
	int64_t cpu_ms;
	int r = op_duration_read(&c->wall_ms, declaration, "wall_time", 100, p, e);

	if (r == 0)
		r = op_duration_read(&cpu_ms, declaration, "cpu_time", 1000, p, e);
	if (r == 0)
		r = read_size(&c->memory, declaration, "memory", 16 * MIB, TIB, p, e);
	if (r == 0)
		r = read_size(&c->output_max, declaration, "output_max", 1, 8 * TIB, p, e);
	if (r == 0)
		c->cpu_s = (cpu_ms + 999) / 1000;
	return r;
}

static int read_progress(struct op_command *c, json_t *declaration, const struct place *outer, struct err *e)
{
	struct place p = place_in(outer, ".progress");
	json_t *v = json_object_get(declaration, "progress");

	if (v && !json_is_boolean(v))
		return bad_place(e, &p, "must be true or false");
	c->progress = json_is_true(v);
	return 0;
}

/* Results are kept by op, version and parameters, so another declaration must be another version: a checksum of all that bears upon the output. `version` is in it too, for a
 * program that was replaced under its name. */
static int read_version(struct op *op, json_t *declaration, const struct place *outer, struct err *e)
{
	static const char *const bearing[] = {"argv", "output_types", "params", "suffix", "version"};
	struct place p = place_in(outer, ".version");
	json_t *v = json_object_get(declaration, "version");
	uint32_t sum = 0;

	if (v && (!json_is_integer(v) || json_integer_value(v) < 1 || json_integer_value(v) > 1000000))
		return bad_place(e, &p, "must be an integer from 1 to 1000000");
	for (size_t i = 0; i < ARRAY_LEN(bearing); i++) {
		json_t *member = json_object_get(declaration, bearing[i]);
		char *text = member ? json_dumps(member, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY) : NULL;

		if (member && !text)
			return no_memory(e);
		if (text)
			sum = crc32c_update(crc32c_update(sum, bearing[i], strlen(bearing[i]) + 1), text, strlen(text) + 1);
		free(text);
	}
	op->version = (sum >> 1) + 1; /* a positive integer of 32 bits wherever it is kept */
	return 0;
}

int op_command_read(struct op *ret, const char *name, json_t *declaration, const struct place *p, struct arena *a, struct err *e)
{
	static const char *const members[] = {"argv",   "params",    "summary",  "suffix",     "output_types", "version",
					      "memory", "wall_time", "cpu_time", "output_max", "progress",     NULL};
	struct op_command *c = arena_alloc(a, sizeof(*c));
	struct op op = {.kind = OP_COMMAND, .output = true, .command = c};
	struct place params = place_in(p, ".params");
	int r;

	if (!json_is_object(declaration))
		return bad_place(e, p, "must be a map with argv");
	op.name = arena_strndup(a, name, strlen(name));
	if (!c || !op.name)
		return no_memory(e);
	r = only_members(declaration, p, members, e);
	if (r == 0)
		r = op_command_params_read(&op, json_object_get(declaration, "params"), &params, a, e);
	if (r == 0)
		r = read_argv(&op, c, json_object_get(declaration, "argv"), p, a, e);
	if (r == 0)
		r = read_text(&op.summary, declaration, "summary", SUMMARY_MAX, "a command of this server", p, a, e);
	if (r == 0)
		r = read_text(&op.suffix, declaration, "suffix", SUFFIX_MAX, "", p, a, e);
	if (r == 0 && strchr(op.suffix, '/')) {
		struct place at = place_in(p, ".suffix");

		return bad_place(e, &at, "the end of a name has no slash");
	}
	if (r == 0)
		r = read_types(&op, json_object_get(declaration, "output_types"), p, a, e);
	if (r == 0)
		r = read_limits(c, declaration, p, e);
	if (r == 0)
		r = read_progress(c, declaration, p, e);
	if (r == 0)
		r = read_version(&op, declaration, p, e);
	if (r == 0)
		*ret = op;
	return r;
}
