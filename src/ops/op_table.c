#include "base/json_out.h"
#include "ops/op_impl.h"

#include <stdlib.h>

/* Adding an op is a row here; its schema, documentation and validation follow from the row. Sorted by name. */
static const struct op builtin[] = {
	{.name = "crc32c",
	 .version = 1,
	 .kind = OP_STREAMING,
	 .algo = DIGEST_CRC32C,
	 .summary = "CRC-32C (Castagnoli) of the bytes, 8 hex digits"},
	{.name = "md5", .version = 1, .kind = OP_STREAMING, .algo = DIGEST_MD5, .summary = "MD5 of the bytes, 32 hex digits"},
	{.name = "sha1", .version = 1, .kind = OP_STREAMING, .algo = DIGEST_SHA1, .summary = "SHA-1 of the bytes, 40 hex digits"},
	{.name = "sha256", .version = 1, .kind = OP_STREAMING, .algo = DIGEST_SHA256, .summary = "SHA-256 of the bytes, 64 hex digits"},
	{.name = "sha512", .version = 1, .kind = OP_STREAMING, .algo = DIGEST_SHA512, .summary = "SHA-512 of the bytes, 128 hex digits"},
};

const struct op_table *op_builtin_table(void)
{
	static const struct op_table table = {builtin, ARRAY_LEN(builtin)};

	return &table;
}

const struct op *op_table_all(const struct op_table *t, size_t *ret_n)
{
	*ret_n = t->n;
	return t->ops;
}

const struct op *op_table_find(const struct op_table *t, struct str name)
{
	for (size_t i = 0; i < t->n; i++)
		if (str_eq(name, str_of(t->ops[i].name)))
			return &t->ops[i];
	return NULL;
}

int op_table_require(const struct op_table *t, struct str name, const char *field, const struct op **ret, struct err *e)
{
	const struct op *op = op_table_find(t, name);
	const char *names[64];
	const char *near;
	size_t n = t->n < ARRAY_LEN(names) ? t->n : ARRAY_LEN(names);

	if (op) {
		*ret = op;
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		names[i] = t->ops[i].name;
	near = nearest_name(name, names, n);
	name.len = utf8_prefix(name, 64);
	err_set(e, ERR_UNKNOWN_OP, "there is no op named \"%.*s\"", STR_FMT(name));
	if (near)
		err_expected(e, near);
	err_field(e, field);
	return ERR_UNKNOWN_OP;
}

/* ---- the table as JSON ---- */

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
		break;
	}
	write_default(j, p);
	json_kcstr(j, "description", p->help);
	json_obj_close(j);
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
	json_kbool(j, "additionalProperties", false);
	json_obj_close(j);
}

void op_table_write_json(const struct op_table *t, struct buf *out)
{
	static const char *const kinds[] = {
		[OP_STREAMING] = "streaming", [OP_SEALED] = "sealed", [OP_CONNECTOR] = "connector", [OP_COMMAND] = "command"};
	struct json_out j = json_out(out);

	json_obj_open(&j);
	json_key(&j, "ops");
	json_arr_open(&j);
	for (size_t i = 0; i < t->n; i++) {
		const struct op *op = &t->ops[i];

		json_obj_open(&j);
		json_kcstr(&j, "name", op->name);
		json_ku64(&j, "version", op->version);
		json_kcstr(&j, "description", op->summary);
		json_kcstr(&j, "kind", kinds[op->kind]);
		json_key(&j, "params");
		write_schema(&j, op);
		/* Digests answer in the job's result; none of today's ops makes a file. */
		json_key(&j, "outputs");
		json_arr_open(&j);
		json_arr_close(&j);
		json_obj_close(&j);
	}
	json_arr_close(&j);
	json_obj_close(&j);
}
