/* The words a command is started with. A template is text with `{name}` where the value of a parameter goes; `{{` and `}}` are braces.
 *
 * There is no shell, and a word stays one word, so the one thing that a value could still do is pass for an option. Therefore it may not begin with `-` where it begins a word
 * (op_param.no_dash), unless its pattern begins with `-` and so says that this is meant; a program that takes names of files from its words needs a pattern to match. */
#include "ops/op_impl.h"
#include "rt/json_in.h"

#include <inttypes.h>
#include <string.h>

/* Takes the next part of a template: literal text, a parameter's name, or nothing at the end. Static texts for what is wrong; NULL: fine. */
static const char *next_part(struct str *rest, struct str *ret_literal, struct str *ret_name)
{
	const char *brace;
	size_t n = 0;

	*ret_literal = *ret_name = (struct str){};
	while (n < rest->len && rest->p[n] != '{' && rest->p[n] != '}')
		n++;
	if (n > 0 || rest->len == 0) {
		*ret_literal = (struct str){rest->p, n};
		*rest = (struct str){rest->p + n, rest->len - n};
		return NULL;
	}
	if (rest->len > 1 && rest->p[1] == rest->p[0]) {
		*ret_literal = (struct str){rest->p, 1};
		*rest = (struct str){rest->p + 2, rest->len - 2};
		return NULL;
	}
	if (rest->p[0] == '}')
		return "a } alone; a brace is written }}";
	brace = memchr(rest->p, '}', rest->len);
	if (!brace)
		return "a { that is not closed; a brace is written {{";
	*ret_name = (struct str){rest->p + 1, (size_t)(brace - rest->p) - 1};
	if (ret_name->len == 0)
		return "{} without the name of a parameter; braces are written {{}}";
	*rest = (struct str){brace + 1, rest->len - ret_name->len - 2};
	return NULL;
}

int op_template_check(const char *word, op_template_visit *visit, void *arg, size_t *ret_literal_bytes, struct err *e)
{
	struct str rest = str_of(word);
	size_t literal_bytes = 0;

	while (rest.len > 0) {
		bool begins = literal_bytes == 0; /* values in front of it may be empty */
		struct str literal, name;
		const char *wrong = next_part(&rest, &literal, &name);
		int r;

		if (wrong)
			return err_set(e, ERR_BAD_CONFIG, "%s", wrong);
		literal_bytes += literal.len;
		if (name.len > 0 && (r = visit(arg, name, begins, e)) < 0)
			return r;
	}
	*ret_literal_bytes = literal_bytes;
	return 0;
}

static void add_value(struct buf *b, const json_t *value)
{
	if (json_is_integer(value))
		buf_addf(b, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else
		buf_add(b, json_string_value(value), json_string_length(value));
}

/* Every parameter of a command is required or has a default, so canonical params hold all of them. */
static int expand(struct buf *b, const char *word, const json_t *params, struct err *e)
{
	struct str rest = str_of(word);

	while (rest.len > 0) {
		struct str literal, name;
		const char *wrong = next_part(&rest, &literal, &name);
		const json_t *value;

		if (wrong)
			return err_set(e, ERR_INTERNAL, "a template of a command is broken");
		buf_add_str(b, literal);
		if (name.len == 0)
			continue;
		value = json_object_getn(params, name.p, name.len);
		if (!json_is_integer(value) && !json_is_string(value))
			return err_set(e, ERR_BAD_OP_PARAMS, "the parameter \"%.*s\" is missing", STR_FMT(name));
		add_value(b, value);
	}
	return 0;
}

static void json_drop(json_t **json)
{
	json_decref(*json);
}

int op_command_argv(const struct op *op, struct str params, char ***ret, size_t *ret_n, struct arena *a, struct err *e)
{
	CLEANUP(json_drop) json_t *object = NULL;
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	char **words;
	size_t n = 0;
	int r = json_read(&object, params.len > 0 ? params : STR("{}"), e);

	if (r < 0)
		return r;
	while (op->command->argv[n])
		n++;
	words = arena_alloc(a, (n + 1) * sizeof(*words));
	if (!words)
		return err_set(e, ERR_NO_MEMORY, "no memory for the words of a command");
	for (size_t i = 0; i < n; i++) {
		buf_reset(&b);
		if ((r = expand(&b, op->command->argv[i], object, e)) < 0)
			return r;
		words[i] = buf_ok(&b) ? arena_strndup(a, b.len > 0 ? b.p : "", b.len) : NULL;
		if (!words[i])
			return err_set(e, ERR_NO_MEMORY, "no memory for the words of a command");
	}
	*ret = words;
	*ret_n = n;
	return 0;
}
