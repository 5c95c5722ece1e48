/* JSON from strangers: the strict reader itself, the parameters of an op, labels in both spellings. The first byte chooses, the rest is the text.
 * What is accepted must be canonical: read again it comes out the same. */
#include "fuzz_ops_table.h"
#include "model/model.h"
#include "rt/json_in.h"

#include <stdlib.h>

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
	}
	arena_release(&a);
	return 0;
}
