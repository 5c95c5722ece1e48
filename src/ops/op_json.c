/* The table as JSON: what GET /v1/ops answers, what the web page makes its form from, what the documentation is written from. */
#include "base/json_out.h"
#include "ops/op_impl.h"

#include <stdlib.h>

static void write_default(struct json_out *j, const struct op_param *p)
{
	if (!p->def)
		return;
	json_key(j, "default");
	if (p->kind == OP_PARAM_INT)
		json_i64(j, strtoll(p->def, NULL, 10));
	else
		json_cstr(j, p->def);
}

/* JSON Schema's patterns are not anchored, ours are. */
static void write_pattern(struct json_out *j, const char *pattern)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;

	buf_addf(&b, "^(?:%s)$", pattern);
	if (buf_ok(&b))
		json_kstr(j, "pattern", buf_str(&b));
}

static void write_param_schema(struct json_out *j, const struct op_param *p)
{
	json_obj_open(j);
	json_kcstr(j, "type", p->kind == OP_PARAM_INT ? "integer" : "string");
	switch (p->kind) {
	case OP_PARAM_INT:
		json_key(j, "minimum");
		json_i64(j, p->min);
		json_key(j, "maximum");
		json_i64(j, p->max);
		break;
	case OP_PARAM_WORD:
		json_key(j, "enum");
		json_arr_open(j);
		for (const char *const *w = p->words; *w; w++)
			json_cstr(j, *w);
		json_arr_close(j);
		break;
	case OP_PARAM_STRING:
		/* JSON Schema counts characters, the check counts bytes: a character is at least one byte, so the schema allows all that the check does. */
		json_key(j, "maxLength");
		json_i64(j, p->max);
		if (p->pattern && op_pattern_is_portable(p->pattern))
			write_pattern(j, p->pattern);
		break;
	}
	write_default(j, p);
	json_kcstr(j, "description", p->help);
	json_obj_close(j);
}

static void write_any_of(struct json_out *j, const char *const *names)
{
	if (!names)
		return;
	json_key(j, "anyOf");
	json_arr_open(j);
	for (; *names; names++) {
		json_obj_open(j);
		json_key(j, "required");
		json_arr_open(j);
		json_cstr(j, *names);
		json_arr_close(j);
		json_obj_close(j);
	}
	json_arr_close(j);
}

static void write_schema(struct json_out *j, const struct op *op)
{
	json_obj_open(j);
	json_kcstr(j, "type", "object");
	json_key(j, "properties");
	json_obj_open(j);
	for (size_t i = 0; i < op->n_params; i++) {
		json_key(j, op->params[i].name);
		write_param_schema(j, &op->params[i]);
	}
	json_obj_close(j);
	json_key(j, "required");
	json_arr_open(j);
	for (size_t i = 0; i < op->n_params; i++)
		if (op->params[i].required)
			json_cstr(j, op->params[i].name);
	json_arr_close(j);
	write_any_of(j, op->any_of);
	json_kbool(j, "additionalProperties", false);
	json_obj_close(j);
}

static void write_outputs(struct json_out *j, const struct op *op)
{
	json_key(j, "outputs");
	json_arr_open(j);
	for (const char *const *type = op->output_types; type && *type; type++)
		json_cstr(j, *type);
	if (op->output && !op->output_types)
		json_cstr(j, "*/*");
	json_arr_close(j);
}

static void write_op(struct json_out *j, const struct op *op)
{
	static const char *const kinds[] = {
		[OP_STREAMING] = "streaming", [OP_SEALED] = "sealed", [OP_CONNECTOR] = "connector", [OP_COMMAND] = "command"};

	json_obj_open(j);
	json_kcstr(j, "name", op->name);
	json_ku64(j, "version", op->version);
	json_kcstr(j, "description", op->summary);
	json_kcstr(j, "kind", kinds[op->kind]);
	json_key(j, "params");
	write_schema(j, op);
	write_outputs(j, op);
	json_obj_close(j);
}

void op_table_write_json(const struct op_table *t, struct buf *out)
{
	struct json_out j = json_out(out);

	json_obj_open(&j);
	json_key(&j, "ops");
	json_arr_open(&j);
	for (size_t i = 0; i < t->n; i++)
		write_op(&j, &t->ops[i]);
	json_arr_close(&j);
	json_key(&j, "pipelines");
	json_arr_open(&j);
	for (size_t i = 0; i < t->n_pipelines; i++) {
		json_obj_open(&j);
		json_kcstr(&j, "name", t->pipelines[i].name);
		json_kstr(&j, "ops", t->pipelines[i].text);
		json_obj_close(&j);
	}
	json_arr_close(&j);
	json_obj_close(&j);
}
