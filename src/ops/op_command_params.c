/* The parameters that a command declares: integers, words and strings with a pattern. Each has a default or is required, so that every placeholder gets a value. */
#include "ops/op_config_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 64 /* of one parameter */
#define STRING_MAX 255 /* bytes of a value */
#define INTEGER_MAX INT64_C(999999999999999) /* what a structured field can say (RFC 8941, §3.3.1) */

static int read_int(json_t *object, const char *name, int64_t least, int64_t most, int64_t *ret, const struct place *p, struct err *e)
{
	json_t *v = json_object_get(object, name);
	struct place at = place_in(p, ".%s", name);

	if (!json_is_integer(v) || json_integer_value(v) < least || json_integer_value(v) > most)
		return bad_place(e, &at, "must be an integer from %lld to %lld", (long long)least, (long long)most);
	*ret = json_integer_value(v);
	return 0;
}

static int read_integer_param(struct op_param *ret, json_t *object, const struct place *p, struct err *e)
{
	static const char *const members[] = {"type", "min", "max", "default", "description", NULL};
	int r = only_members(object, p, members, e);

	ret->kind = OP_PARAM_INT;
	if (r == 0)
		r = read_int(object, "min", -INTEGER_MAX, INTEGER_MAX, &ret->min, p, e);
	if (r == 0)
		r = read_int(object, "max", ret->min, INTEGER_MAX, &ret->max, p, e);
	return r;
}

static bool word_ok(const char *text)
{
	return text && text[0] != '\0' && strlen(text) <= STRING_MAX;
}

static int read_word_param(struct op_param *ret, json_t *object, const struct place *p, struct arena *a, struct err *e)
{
	static const char *const members[] = {"type", "words", "default", "description", NULL};
	json_t *list = json_object_get(object, "words");
	struct place at = place_in(p, ".words");
	size_t n = json_array_size(list);
	const char **words;
	int r = only_members(object, p, members, e);

	if (r < 0)
		return r;
	ret->kind = OP_PARAM_WORD;
	if (n < 1 || n > WORDS_MAX)
		return bad_place(e, &at, "must be a list of 1 to %d strings", WORDS_MAX);
	words = arena_alloc(a, (n + 1) * sizeof(*words));
	if (!words)
		return err_set(e, ERR_NO_MEMORY, "no memory for the commands");
	for (size_t i = 0; i < n; i++) {
		const char *word = json_string_value(json_array_get(list, i));

		at = place_in(p, ".words[%zu]", i);
		if (!word_ok(word))
			return bad_place(e, &at, "must be a string of 1 to %d bytes", STRING_MAX);
		for (size_t k = 0; k < i; k++)
			if (strcmp(words[k], word) == 0)
				return bad_place(e, &at, "stands in the list twice");
		words[i] = arena_strndup(a, word, strlen(word));
		if (!words[i])
			return err_set(e, ERR_NO_MEMORY, "no memory for the commands");
	}
	ret->words = words;
	return 0;
}

static int read_string_param(struct op_param *ret, json_t *object, const struct place *p, struct arena *a, struct err *e)
{
	static const char *const members[] = {"type", "pattern", "max", "default", "description", NULL};
	const char *pattern = json_string_value(json_object_get(object, "pattern"));
	struct place at = place_in(p, ".pattern");
	int r = only_members(object, p, members, e);

	if (r < 0)
		return r;
	ret->kind = OP_PARAM_STRING;
	ret->max = STRING_MAX;
	if (!pattern)
		return bad_place(e, &at, "a string needs one: a POSIX extended regular expression for the whole value");
	if ((r = op_pattern_check(pattern, e)) < 0)
		return at_place(e, r, &at);
	ret->pattern = arena_strndup(a, pattern, strlen(pattern));
	if (!ret->pattern)
		return err_set(e, ERR_NO_MEMORY, "no memory for the commands");
	if (json_object_get(object, "max"))
		return read_int(object, "max", 1, STRING_MAX, &ret->max, p, e);
	return 0;
}

/* A default is held to what a value is held to; that it may not begin with a dash is known only when the words were read. */
static int read_default(struct op *op, struct op_param *param, json_t *v, const struct place *p, struct arena *a, struct err *e)
{
	struct op_values values = {.op = op};
	struct place at = place_in(p, ".default");
	struct op_given given = {.kind = OP_GIVEN_OTHER};
	char number[24];
	int r;

	param->required = !v;
	if (!v)
		return 0;
	if (json_is_integer(v))
		given = (struct op_given){.kind = OP_GIVEN_INT, .i = json_integer_value(v)};
	if (json_is_string(v))
		given = (struct op_given){.kind = OP_GIVEN_TEXT, .text = str_of(json_string_value(v))};
	if ((r = op_values_set(&values, str_of(param->name), &given, a, e)) < 0)
		return at_place(e, r, &at);
	if (json_is_integer(v))
		snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(v));
	param->def = json_is_integer(v) ? arena_strndup(a, number, strlen(number))
					: arena_strndup(a, json_string_value(v), json_string_length(v));
	return param->def ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for the commands");
}

static int read_help(struct op_param *param, json_t *v, const struct place *p, struct arena *a, struct err *e)
{
	struct place at = place_in(p, ".description");

	if (v && (!json_is_string(v) || json_string_length(v) > STRING_MAX))
		return bad_place(e, &at, "must be a string of at most %d bytes", STRING_MAX);
	param->help = v ? arena_strndup(a, json_string_value(v), json_string_length(v)) : "";
	return param->help ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for the commands");
}

static int read_param(struct op *op, struct op_param *param, json_t *object, const struct place *p, struct arena *a, struct err *e)
{
	const char *type = json_string_value(json_object_get(object, "type"));
	struct place at = place_in(p, ".type");
	int r;

	if (!json_is_object(object))
		return bad_place(e, p, "must be a map with a type");
	if (type && strcmp(type, "integer") == 0)
		r = read_integer_param(param, object, p, e);
	else if (type && strcmp(type, "word") == 0)
		r = read_word_param(param, object, p, a, e);
	else if (type && strcmp(type, "string") == 0)
		r = read_string_param(param, object, p, a, e);
	else
		return bad_place(e, &at, "must be integer, word or string");
	if (r == 0)
		r = read_help(param, json_object_get(object, "description"), p, a, e);
	if (r == 0)
		r = read_default(op, param, json_object_get(object, "default"), p, a, e);
	return r;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct op_param *)a)->name, ((const struct op_param *)b)->name);
}

static int read_all(struct op *op, struct op_param *list, json_t *params, const struct place *p, struct arena *a, struct err *e)
{
	const char *name;
	json_t *object;

	json_object_foreach(params, name, object) {
		struct op_param *param = &list[op->n_params];
		struct place at = place_in(p, ".%s", name);
		int r;

		if (!op_name_ok(name))
			return bad_place(e, &at, "a parameter is named by " OP_NAME_RULE);
		if (strcmp(name, OP_AFTER) == 0)
			return bad_place(e, &at, "this name is taken: every op has a parameter after");
		param->name = arena_strndup(a, name, strlen(name));
		if (!param->name)
			return err_set(e, ERR_NO_MEMORY, "no memory for the commands");
		op->n_params++;
		if ((r = read_param(op, param, object, &at, a, e)) < 0)
			return r;
	}
	return 0;
}

int op_command_params_read(struct op *op, json_t *params, const struct place *p, struct arena *a, struct err *e)
{
	size_t n = json_object_size(params);
	struct op_param *list;
	int r;

	op->n_params = 0;
	if (!params)
		return 0;
	if (!json_is_object(params))
		return bad_place(e, p, "must be a map of parameters");
	if (n > OP_PARAMS_MAX)
		return bad_place(e, p, "an op has at most %d parameters", OP_PARAMS_MAX);
	list = arena_alloc(a, (n ? n : 1) * sizeof(*list));
	if (!list)
		return err_set(e, ERR_NO_MEMORY, "no memory for the commands");
	op->params = list;
	if ((r = read_all(op, list, params, p, a, e)) < 0)
		return r;
	qsort(list, n, sizeof(*list), by_name);
	return 0;
}
