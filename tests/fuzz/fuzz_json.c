/* JSON from strangers: the strict reader itself, the parameters of an op, labels in both spellings, commands and pipelines of a configuration. The first byte chooses, the rest is the text.
 * What is accepted must be canonical: read again it comes out the same. */
#include "fuzz_ops_table.h"
#include "model/model.h"
#include "rt/json_in.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void read_json(struct str text)
{
	struct err e = ERR_INIT;
	json_t *json = NULL;
	int r = json_read(&json, text, &e);

	require(r == 0 ? json != NULL : !json && e.code == r && e.detail[0] != '\0');
	json_decref(json);
}

static void read_params(struct str text, struct arena *a)
{
	struct op_request first = {}, again = {};
	struct err e = ERR_INIT;
	int r = op_table_request_from_json(&fuzz_ops_table, &first, STR("resize"), text, a, &e);

	if (r < 0) {
		require(!first.op && e.code == r && (r == ERR_BAD_JSON || r == ERR_BAD_OP_PARAMS));
		return;
	}
	require(op_table_request_from_json(&fuzz_ops_table, &again, STR("resize"), first.params, a, NULL) == 0);
	require(str_eq(first.params, again.params));
}

/* Whatever words a declared command can be asked for, its program is the declared one and no value has become an option that was not meant. */
static void check_command(const struct op_table *t, const struct op *op, struct arena *a)
{
	struct op_request request = {};
	struct err e = ERR_INIT;
	char **words;
	size_t n;

	if (op_table_request_from_json(t, &request, str_of(op->name), STR("{}"), a, &e) < 0) {
		require(e.code == ERR_BAD_OP_PARAMS); /* something is required */
		return;
	}
	require(op_command_argv(op, request.params, &words, &n, a, NULL) == 0);
	require(n >= 1 && n <= OP_ARGV_MAX && !words[n] && strcmp(words[0], op->command->argv[0]) == 0);
	for (size_t i = 1; i < n; i++)
		require(words[i][0] != '-' || op->command->argv[i][0] == '-' || op->command->argv[i][0] == '{');
}

static void read_config(struct str commands, struct str pipelines, struct arena *a)
{
	const struct op_table *t = NULL;
	struct buf json = BUF_INIT;
	struct err e = ERR_INIT;
	int r = op_table_new(&t, commands, pipelines, STR(""), a, &e);
	const struct op *ops;
	size_t n;

	if (r < 0) {
		require(!t && e.code == r && r == ERR_BAD_CONFIG && e.detail[0] != '\0');
		return;
	}
	ops = op_table_all(t, &n);
	for (size_t i = 0; i < n; i++)
		if (ops[i].kind == OP_COMMAND)
			check_command(t, &ops[i], a);
	op_table_write_json(t, &json);
	read_json(buf_str(&json));
	buf_release(&json);
}

static void read_labels(struct str text, bool as_list, struct arena *a)
{
	struct str first = {}, again = {};
	struct err e = ERR_INIT;
	int r = as_list ? labels_parse_list(&first, text, a, &e) : labels_parse_json(&first, text, a, &e);

	if (r < 0) {
		require(!first.p && e.code == r && e.detail[0] != '\0');
		return;
	}
	require(labels_parse_json(&again, first, a, NULL) == 0);
	require(str_eq(first, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a = ARENA_INIT;
	struct str text;

	if (size == 0)
		return 0;
	text = (struct str){(const char *)data + 1, size - 1};
	switch (data[0]) {
	case 'j':
		read_json(text);
		break;
	case 'p':
		read_params(text, &a);
		break;
	case 'l':
		read_labels(text, false, &a);
		break;
	case 'm':
		read_labels(text, true, &a);
		break;
	case 'c':
		read_config(text, STR(""), &a);
		break;
	case 'i':
		read_config(STR(""), text, &a);
		break;
	}
	arena_release(&a);
	return 0;
}
