/* A table with every kind of parameter, since the built-in ops have few. */
#ifndef FILEMILL_TESTS_FUZZ_OPS_TABLE_H
#define FILEMILL_TESTS_FUZZ_OPS_TABLE_H

#include "base/compiler.h"
#include "ops/op_impl.h"

static const char *const fuzz_ops_words[] = {"jpeg", "png", "webp", NULL};
static const struct op_param fuzz_ops_params[] = {
	{.name = "format", .kind = OP_PARAM_WORD, .words = fuzz_ops_words, .def = "jpeg", .help = ""},
	{.name = "mark", .kind = OP_PARAM_STRING, .min = 0, .max = 40, .pattern = "#[0-9a-f]{6}|(no)*ne?", .help = ""},
	{.name = "note", .kind = OP_PARAM_STRING, .min = 0, .max = 40, .help = ""},
	{.name = "quality", .kind = OP_PARAM_INT, .min = -5, .max = 100, .def = "80", .help = ""},
	{.name = "width", .kind = OP_PARAM_INT, .min = 1, .max = 100000, .required = true, .help = ""},
};
static const struct op fuzz_ops_list[] = {
	{.name = "md5", .version = 1, .kind = OP_STREAMING, .algo = DIGEST_MD5, .summary = ""},
	{.name = "resize",
	 .version = 1,
	 .kind = OP_SEALED,
	 .summary = "",
	 .params = fuzz_ops_params,
	 .n_params = ARRAY_LEN(fuzz_ops_params),
	 .output = true},
};
static const struct op_table fuzz_ops_table = {.ops = fuzz_ops_list, .n = ARRAY_LEN(fuzz_ops_list)};

#endif
