/* Structured-field lists of ops, against the built-in table and one with every kind of parameter.
 * What is accepted must be canonical: its parameters read as JSON and, asked for again that way, come out the same. */
#include "fuzz_ops_table.h"
#include "rt/json_in.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void check_request(const struct op_table *t, const struct op_request *request, struct arena *a)
{
	struct op_request again = {};

	require(op_table_find(t, str_of(request->op->name)) == request->op);
	require(op_table_request_from_json(t, &again, str_of(request->op->name), request->params, a, NULL) == 0);
	require(again.op == request->op && str_eq(again.params, request->params));
}

static void parse(const struct op_table *t, struct str text)
{
	struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	struct op_request *list = NULL;
	size_t n = 0;
	int r = op_table_parse_list(t, &list, &n, text, &a, &e);

	if (r < 0) {
		require(!list && n == 0 && e.code == r && e.detail[0] != '\0');
		require(r == ERR_BAD_OPS || r == ERR_UNKNOWN_OP || r == ERR_BAD_OP_PARAMS);
	} else {
		require(n <= OPS_MAX);
		for (size_t i = 0; i < n; i++)
			check_request(t, &list[i], &a);
		for (size_t i = 0; i < n; i++)
			require(list[i].after == -1 || (list[i].after < (int)i && list[list[i].after].op->output));
	}
	arena_release(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct str text = {(const char *)data, size};

	parse(op_builtin_table(), text);
	parse(&fuzz_ops_table, text);
	return 0;
}
