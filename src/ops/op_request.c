/* What somebody asks for, from its two spellings: a structured-field list (query, form field) and a JSON object. */
#include "base/sf.h"
#include "ops/op_impl.h"
#include "rt/json_in.h"

#include <inttypes.h>
#include <string.h>

/* Syntax errors come from the reader of header fields; here they are errors of the list of ops. */
static int bad_list(struct err *e)
{
	if (e) {
		e->code = ERR_BAD_OPS;
		err_field(e, "ops");
	}
	return ERR_BAD_OPS;
}

static int too_many(struct err *e)
{
	err_set(e, ERR_BAD_OPS, "at most %d ops may be asked for at once", OPS_MAX);
	err_limit(e, OPS_MAX);
	err_field(e, "ops");
	return ERR_BAD_OPS;
}

static struct op_given given_from_sf(const struct sf_item *item)
{
	switch (item->kind) {
	case SF_INTEGER:
		return (struct op_given){.kind = OP_GIVEN_INT, .i = item->integer};
	case SF_TOKEN:
	case SF_STRING:
		return (struct op_given){.kind = OP_GIVEN_TEXT, .text = item->text};
	case SF_BOOLEAN:
		break;
	}
	return (struct op_given){.kind = OP_GIVEN_OTHER};
}

/* ---- after ---- */

static int wrong_after(struct err *e)
{
	if (e)
		e->code = ERR_BAD_OPS;
	err_field(e, OP_AFTER);
	return ERR_BAD_OPS;
}

/* The nearest op of that name in front of the place where it is asked for; -1 = there is none. */
static int last_of_name(const struct op_request *list, size_t n, struct str name)
{
	for (size_t i = n; i > 0; i--)
		if (str_eq(name, str_of(list[i - 1].op->name)))
			return (int)i - 1;
	return -1;
}

static int unknown_after(const struct op_request *list, size_t n, struct str name, struct err *e)
{
	const char *names[OPS_MAX];
	const char *near;

	for (size_t i = 0; i < n; i++)
		names[i] = list[i].op->name;
	near = nearest_name(name, names, n);
	name.len = utf8_prefix(name, 64);
	err_set(e, ERR_BAD_OPS, "after=%.*s: no op of this name stands further up in the list", STR_FMT(name));
	if (near)
		err_expected(e, near);
	return wrong_after(e);
}

static int read_after(const struct op_request *list, size_t n, const struct sf_item *item, int *ret, struct err *e)
{
	int at;

	switch (item->kind) {
	case SF_TOKEN:
	case SF_STRING:
		at = last_of_name(list, n, item->text);
		if (at < 0)
			return unknown_after(list, n, item->text, e);
		break;
	case SF_INTEGER:
		if (item->integer < 1 || item->integer > (int64_t)n) {
			err_set(e, ERR_BAD_OPS, "after=%" PRId64 ": places count from 1, and %zu ops stand further up in the list",
				item->integer, n);
			return wrong_after(e);
		}
		at = (int)item->integer - 1;
		break;
	default:
		err_set(e, ERR_BAD_OPS, "after takes the name of an op further up in the list, or its place counted from 1");
		return wrong_after(e);
	}
	if (!list[at].op->output) {
		err_set(e, ERR_BAD_OPS, "op \"%s\" makes no output for another one to work on", list[at].op->name);
		return wrong_after(e);
	}
	*ret = at;
	return 0;
}

/* ---- the list ---- */

/* The parameters behind one list member; the n ops in front of it are what it may come after. */
static int read_params(struct sf_reader *sf, const struct op_request *list, size_t n, struct op_request *next, struct arena *a,
		       struct err *e)
{
	struct op_values values = {.op = next->op};
	struct str key;
	struct sf_item item;
	int r;

	while ((r = sf_next_param(sf, &key, &item, e)) > 0) {
		struct op_given given = given_from_sf(&item);

		if (!str_eq(key, STR(OP_AFTER))) {
			r = op_values_set(&values, key, &given, a, e);
		} else if (next->after < 0) {
			r = read_after(list, n, &item, &next->after, e);
		} else {
			err_set(e, ERR_BAD_OPS, "op \"%s\": after is given twice", next->op->name);
			return wrong_after(e);
		}
		if (r < 0)
			return r;
	}
	if (r < 0)
		return bad_list(e);
	return op_values_write(&values, &next->params, a, e);
}

/* What runs over the network brings a file into being; it is no work on one. */
static int refuse_connector(const struct op *op, const char *field, struct err *e)
{
	if (op->kind != OP_CONNECTOR)
		return 0;
	err_set(e, ERR_UNKNOWN_OP, "op \"%s\" cannot be asked for here: POST /v1/imports does that", op->name);
	err_field(e, field);
	return ERR_UNKNOWN_OP;
}

static int refuse_twice(const struct op_request *list, size_t n, const struct op_request *new, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		if (list[i].op != new->op || list[i].after != new->after || !str_eq(list[i].params, new->params))
			continue;
		err_set(e, ERR_BAD_OPS, "op \"%s\" is asked for twice with the same parameters", new->op->name);
		err_field(e, "ops");
		return ERR_BAD_OPS;
	}
	return 0;
}

/* A list is well-formed as a whole or not at all (RFC 8941 §4.2), so its syntax is judged before the names in it. */
static int check_syntax(struct str text, struct err *e)
{
	struct sf_reader sf = sf_reader(text);
	struct sf_item item;
	int r;

	while ((r = sf_next_item(&sf, &item, e)) > 0)
		;
	return r < 0 ? bad_list(e) : 0;
}

int op_table_parse_list(const struct op_table *t, struct op_request **ret, size_t *ret_n, struct str text, struct arena *a, struct err *e)
{
	struct sf_reader sf = sf_reader(text);
	struct op_request list[OPS_MAX] = {};
	struct op_request *kept;
	struct sf_item item;
	size_t n = 0;
	int r = check_syntax(text, e);

	if (r < 0)
		return r;
	while ((r = sf_next_item(&sf, &item, e)) > 0) {
		struct op_request next = {.after = -1};

		if (n == OPS_MAX)
			return too_many(e);
		if (item.kind != SF_TOKEN) {
			err_set(e, ERR_BAD_OPS, "an op is named by a word without quotes");
			return bad_list(e);
		}
		r = op_table_require(t, item.text, "ops", &next.op, e);
		if (r == 0)
			r = refuse_connector(next.op, "ops", e);
		if (r == 0)
			r = read_params(&sf, list, n, &next, a, e);
		if (r == 0)
			r = refuse_twice(list, n, &next, e);
		if (r < 0)
			return r;
		list[n++] = next;
	}
	if (r < 0)
		return bad_list(e);
	kept = arena_alloc(a, sizeof(list[0]) * (n ? n : 1));
	if (!kept)
		return err_set(e, ERR_NO_MEMORY, "no memory for the list of ops");
	memcpy(kept, list, sizeof(list[0]) * n);
	*ret = kept;
	*ret_n = n;
	return 0;
}

/* ---- JSON ---- */

static struct op_given given_from_json(json_t *value)
{
	if (json_is_integer(value))
		return (struct op_given){.kind = OP_GIVEN_INT, .i = json_integer_value(value)};
	if (json_is_string(value))
		return (struct op_given){.kind = OP_GIVEN_TEXT, .text = {json_string_value(value), json_string_length(value)}};
	return (struct op_given){.kind = OP_GIVEN_OTHER};
}

static void json_drop(json_t **json)
{
	json_decref(*json);
}

static int values_from_json(struct op_values *values, struct str params_json, struct arena *a, struct err *e)
{
	CLEANUP(json_drop) json_t *object = NULL;
	const char *key;
	json_t *value;
	int r = json_read(&object, params_json, e);

	if (r < 0)
		return r;
	if (!json_is_object(object)) {
		err_set(e, ERR_BAD_OP_PARAMS, "the parameters of an op are a JSON object");
		err_field(e, "params");
		return ERR_BAD_OP_PARAMS;
	}
	json_object_foreach(object, key, value) {
		struct op_given given = given_from_json(value);

		r = op_values_set(values, str_of(key), &given, a, e);
		if (r < 0)
			return r;
	}
	return 0;
}

int op_table_request_from_json(const struct op_table *t, struct op_request *ret, struct str op, struct str params_json, struct arena *a,
			       struct err *e)
{
	struct op_values values = {};
	struct str params;
	int r = op_table_require(t, op, "op", &values.op, e);

	if (r == 0)
		r = refuse_connector(values.op, "op", e);
	if (r == 0 && params_json.len > 0)
		r = values_from_json(&values, params_json, a, e);
	if (r == 0)
		r = op_values_write(&values, &params, a, e);
	if (r < 0)
		return r;
	*ret = (struct op_request){.op = values.op, .params = params, .after = -1};
	return 0;
}
