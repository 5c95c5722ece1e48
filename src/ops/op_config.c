/* The table of a server: the built-in ops with what its configuration declares. Every message says where in the configuration it is about. */
#include "ops/op_config_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- places ---- */

struct place place_in(const struct place *outer, const char *fmt, ...)
{
	struct place p = *outer;
	size_t at = strlen(p.text);
	va_list args;

	va_start(args, fmt);
	vsnprintf(p.text + at, sizeof(p.text) - at, fmt, args);
	va_end(args);
	return p;
}

int bad_place(struct err *e, const struct place *p, const char *fmt, ...)
{
	char what[ERR_DETAIL_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	err_set(e, ERR_BAD_CONFIG, "%s: %s", p->text, what);
	err_field(e, p->text);
	return ERR_BAD_CONFIG;
}

int at_place(struct err *e, int code, const struct place *p)
{
	if (code == ERR_NO_MEMORY)
		return code;
	err_wrap(e, "%s", p->text);
	err_field(e, p->text);
	if (e)
		e->code = ERR_BAD_CONFIG;
	return ERR_BAD_CONFIG;
}

int only_members(json_t *object, const struct place *p, const char *const *names, struct err *e)
{
	struct err why = ERR_INIT;
	struct place at;

	if (json_only_members(object, names, &why) == 0)
		return 0;
	at = place_in(p, ".%s", why.field);
	bad_place(e, &at, "%s", why.detail);
	if (why.expected[0] != '\0')
		err_expected(e, why.expected);
	return ERR_BAD_CONFIG;
}

bool op_name_ok(const char *name)
{
	size_t n = strlen(name);

	return n >= 1 && n <= OP_NAME_BYTES && name[0] >= 'a' && name[0] <= 'z' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == n;
}

/* ---- the maps ---- */

static const struct place commands_at = {"commands"}, pipelines_at = {"pipelines"}, bounds_at = {"ops"};

static void json_drop(json_t **json)
{
	json_decref(*json);
}

/* "" is an empty map. */
static int read_map(json_t **ret, struct str text, const struct place *p, size_t max, struct err *e)
{
	CLEANUP(json_drop) json_t *map = NULL;
	int r = json_read(&map, text.len > 0 ? text : STR("{}"), e);

	if (r < 0)
		return at_place(e, r, p);
	if (!json_is_object(map))
		return bad_place(e, p, "must be a map");
	if (json_object_size(map) > max) {
		bad_place(e, p, "at most %zu may be declared", max);
		err_limit(e, (int64_t)max);
		return ERR_BAD_CONFIG;
	}
	*ret = json_incref(map);
	return 0;
}

static int ops_by_name(const void *a, const void *b)
{
	return strcmp(((const struct op *)a)->name, ((const struct op *)b)->name);
}

static int add_ops(struct op_table *t, json_t *commands, json_t *bounds, struct arena *a, struct err *e)
{
	size_t n;
	const struct op *builtin = op_table_all(op_builtin_table(), &n);
	struct op *ops = arena_alloc(a, (n + json_object_size(commands)) * sizeof(*ops));
	const char *name;
	json_t *declaration;

	if (!ops)
		return err_set(e, ERR_NO_MEMORY, "no memory for the ops");
	memcpy(ops, builtin, n * sizeof(*ops));
	json_object_foreach(commands, name, declaration) {
		struct place at = place_in(&commands_at, ".%s", name);
		int r;

		if (!op_name_ok(name))
			return bad_place(e, &at, "a command is named by " OP_NAME_RULE);
		if (op_table_find(op_builtin_table(), str_of(name)))
			return bad_place(e, &at, "there is an op of this name already");
		if ((r = op_command_read(&ops[n], name, declaration, &at, a, e)) < 0)
			return r;
		n++;
	}
	qsort(ops, n, sizeof(*ops), ops_by_name);
	t->ops = ops;
	t->n = n;
	return op_bounds_read(ops, n, bounds, &bounds_at, e);
}

/* ---- pipelines ---- */

/* Reads the list one longer with every item, so that a mistake is told where it stands. */
static int read_pipeline(const struct op_table *t, struct op_pipeline *ret, json_t *items, const struct place *p, struct arena *a,
			 struct err *e)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT;
	struct op_request *list = NULL;
	size_t n = json_array_size(items), parsed = 0;

	if (n < 1 || n > OPS_MAX)
		return bad_place(e, p, "must be a list of 1 to %d ops", OPS_MAX);
	for (size_t i = 0; i < n; i++) {
		json_t *item = json_array_get(items, i);
		struct place at = place_in(p, "[%zu]", i);
		int r;

		if (!json_is_string(item))
			return bad_place(e, &at, "must be an op such as \"resize;width=800\"");
		buf_add_cstr(&text, i > 0 ? ", " : "");
		buf_add(&text, json_string_value(item), json_string_length(item));
		if (!buf_ok(&text))
			return err_set(e, ERR_NO_MEMORY, "no memory for the pipelines");
		if ((r = op_table_parse_list(t, &list, &parsed, buf_str(&text), a, e)) < 0)
			return at_place(e, r, &at);
		if (parsed != i + 1)
			return bad_place(e, &at, "must be one op");
	}
	ret->text = arena_str(a, buf_str(&text));
	ret->ops = list;
	ret->n = parsed;
	return ret->text.p ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for the pipelines");
}

static int pipelines_by_name(const void *a, const void *b)
{
	return strcmp(((const struct op_pipeline *)a)->name, ((const struct op_pipeline *)b)->name);
}

static int add_pipelines(struct op_table *t, json_t *pipelines, const struct place *p, struct arena *a, struct err *e)
{
	size_t n = json_object_size(pipelines);
	struct op_pipeline *list = arena_alloc(a, (n ? n : 1) * sizeof(*list));
	const char *name;
	json_t *items;

	if (!list)
		return err_set(e, ERR_NO_MEMORY, "no memory for the pipelines");
	json_object_foreach(pipelines, name, items) {
		struct op_pipeline *next = &list[t->n_pipelines];
		struct place at = place_in(p, ".%s", name);
		int r;

		if (!op_name_ok(name))
			return bad_place(e, &at, "a pipeline is named by " OP_NAME_RULE);
		next->name = arena_strndup(a, name, strlen(name));
		if (!next->name)
			return err_set(e, ERR_NO_MEMORY, "no memory for the pipelines");
		if ((r = read_pipeline(t, next, items, &at, a, e)) < 0)
			return r;
		t->n_pipelines++;
	}
	qsort(list, n, sizeof(*list), pipelines_by_name);
	t->pipelines = list;
	return 0;
}

/* ---- the table ---- */

int op_table_new(const struct op_table **ret, struct str commands_json, struct str pipelines_json, struct str bounds_json, struct arena *a,
		 struct err *e)
{
	CLEANUP(json_drop) json_t *bounds = NULL;
	CLEANUP(json_drop) json_t *commands = NULL;
	CLEANUP(json_drop) json_t *pipelines = NULL;
	struct op_table *t = arena_alloc(a, sizeof(*t));
	int r;

	if (!t)
		return err_set(e, ERR_NO_MEMORY, "no memory for the ops");
	r = read_map(&commands, commands_json, &commands_at, OP_COMMANDS_MAX, e);
	if (r == 0)
		r = read_map(&pipelines, pipelines_json, &pipelines_at, OP_PIPELINES_MAX, e);
	if (r == 0)
		r = read_map(&bounds, bounds_json, &bounds_at, OP_BUILTIN_MAX + OP_COMMANDS_MAX, e);
	if (r == 0)
		r = add_ops(t, commands, bounds, a, e);
	if (r == 0)
		r = add_pipelines(t, pipelines, &pipelines_at, a, e);
	if (r == 0)
		*ret = t;
	return r;
}
