/* Parameters of one op: collected one by one from either syntax, checked against the op's table, written as canonical JSON. */
#include "base/json_out.h"
#include "ops/op_impl.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Says what would be right, in the error's `expected`. */
static void describe(char dst[ERR_WORD_MAX], const struct op_param *p)
{
	size_t used = 0;

	switch (p->kind) {
	case OP_PARAM_INT:
		snprintf(dst, ERR_WORD_MAX, "an integer from %" PRId64 " to %" PRId64, p->min, p->max);
		return;
	case OP_PARAM_STRING:
		if (p->pattern)
			snprintf(dst, ERR_WORD_MAX, "%" PRId64 " to %" PRId64 " bytes that match %s", p->min, p->max, p->pattern);
		else
			snprintf(dst, ERR_WORD_MAX, "a string of %" PRId64 " to %" PRId64 " bytes", p->min, p->max);
		return;
	case OP_PARAM_WORD:
		dst[0] = '\0';
		for (const char *const *w = p->words; *w && used < ERR_WORD_MAX; w++)
			used += (size_t)snprintf(dst + used, ERR_WORD_MAX - used, "%s%s", used ? "|" : "", *w);
		return;
	}
}

static int wrong_value(const struct op *op, const struct op_param *p, struct err *e)
{
	char expected[ERR_WORD_MAX];

	describe(expected, p);
	err_set(e, ERR_BAD_OP_PARAMS, "op \"%s\": \"%s\" must be %s%s", op->name, p->name, p->kind == OP_PARAM_WORD ? "one of " : "",
		expected);
	err_expected(e, expected);
	err_field(e, p->name);
	return ERR_BAD_OP_PARAMS;
}

static int unknown_param(const struct op *op, struct str name, struct err *e)
{
	const char *names[OP_PARAMS_MAX];
	const char *near;
	char field[ERR_WORD_MAX];

	for (size_t i = 0; i < op->n_params; i++)
		names[i] = op->params[i].name;
	near = nearest_name(name, names, op->n_params);
	name.len = utf8_prefix(name, 64);
	snprintf(field, sizeof(field), "%.*s", STR_FMT(name));
	err_set(e, ERR_BAD_OP_PARAMS, "op \"%s\" has no parameter \"%s\"", op->name, field);
	if (near)
		err_expected(e, near);
	err_field(e, field);
	return ERR_BAD_OP_PARAMS;
}

static bool string_fits(const struct op_param *p, struct str text)
{
	return (int64_t)text.len >= p->min && (int64_t)text.len <= p->max && utf8_valid(text) &&
	       !(p->no_dash && text.len > 0 && text.p[0] == '-') && (!p->pattern || op_pattern_matches(p->pattern, text));
}

static bool fits(const struct op_param *p, const struct op_given *g)
{
	switch (p->kind) {
	case OP_PARAM_INT:
		return g->kind == OP_GIVEN_INT && g->i >= p->min && g->i <= p->max;
	case OP_PARAM_STRING:
		return g->kind == OP_GIVEN_TEXT && string_fits(p, g->text);
	case OP_PARAM_WORD:
		for (const char *const *w = p->words; *w; w++)
			if (g->kind == OP_GIVEN_TEXT && str_eq(g->text, str_of(*w)))
				return true;
		return false;
	}
	return false;
}

int op_values_set(struct op_values *v, struct str name, const struct op_given *given, struct arena *a, struct err *e)
{
	size_t i = 0;

	assert(v->op->n_params <= OP_PARAMS_MAX);
	while (i < v->op->n_params && !str_eq(name, str_of(v->op->params[i].name)))
		i++;
	if (i == v->op->n_params)
		return unknown_param(v->op, name, e);
	if (v->at[i].given) {
		err_set(e, ERR_BAD_OP_PARAMS, "op \"%s\": \"%s\" is given twice", v->op->name, v->op->params[i].name);
		err_field(e, v->op->params[i].name);
		return ERR_BAD_OP_PARAMS;
	}
	if (!fits(&v->op->params[i], given))
		return wrong_value(v->op, &v->op->params[i], e);
	if (given->kind == OP_GIVEN_TEXT) {
		v->at[i].text = arena_str(a, given->text);
		if (!v->at[i].text.p)
			return err_set(e, ERR_NO_MEMORY, "no memory for the parameters of an op");
	}
	v->at[i].i = given->i;
	v->at[i].given = true;
	return 0;
}

static int write_value(struct json_out *j, const struct op_values *v, size_t i, struct err *e)
{
	const struct op_param *p = &v->op->params[i];

	if (!v->at[i].given && p->required) {
		char expected[ERR_WORD_MAX];

		describe(expected, p);
		err_set(e, ERR_BAD_OP_PARAMS, "op \"%s\" needs \"%s\"", v->op->name, p->name);
		err_expected(e, expected);
		err_field(e, p->name);
		return ERR_BAD_OP_PARAMS;
	}
	if (!v->at[i].given && !p->def)
		return 0;
	json_key(j, p->name);
	if (p->kind == OP_PARAM_INT)
		json_i64(j, v->at[i].given ? v->at[i].i : strtoll(p->def, NULL, 10));
	else
		json_str(j, v->at[i].given ? v->at[i].text : str_of(p->def));
	return 0;
}

static bool is_given(const struct op_values *v, const char *name)
{
	for (size_t i = 0; i < v->op->n_params; i++)
		if (strcmp(v->op->params[i].name, name) == 0)
			return v->at[i].given;
	return false;
}

static int need_any_of(const struct op_values *v, struct err *e)
{
	const char *const *names = v->op->any_of;
	char listed[ERR_WORD_MAX];
	size_t used = 0;

	listed[0] = '\0';
	for (; names && *names; names++) {
		if (is_given(v, *names))
			return 0;
		if (used < sizeof(listed))
			used += (size_t)snprintf(listed + used, sizeof(listed) - used, "%s%s", used ? "|" : "", *names);
	}
	if (!v->op->any_of)
		return 0;
	err_set(e, ERR_BAD_OP_PARAMS, "op \"%s\" needs at least one of %s", v->op->name, listed);
	err_expected(e, listed);
	err_field(e, v->op->any_of[0]);
	return ERR_BAD_OP_PARAMS;
}

int op_values_write(const struct op_values *v, struct str *ret, struct arena *a, struct err *e)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);
	struct str text;
	int checked = need_any_of(v, e);

	if (checked < 0)
		return checked;
	json_obj_open(&j);
	for (size_t i = 0; i < v->op->n_params; i++) {
		int r = write_value(&j, v, i, e);

		if (r < 0)
			return r;
	}
	json_obj_close(&j);
	if (!buf_ok(&b))
		return err_set(e, ERR_NO_MEMORY, "no memory for the parameters of an op");
	text = arena_str(a, buf_str(&b));
	if (!text.p)
		return err_set(e, ERR_NO_MEMORY, "no memory for the parameters of an op");
	*ret = text;
	return 0;
}
