/* The table of ops and both spellings of a request. A table with all kinds of parameters is brought along. */
#include "base/arena.h"
#include "ops/op_impl.h"
#include "rt/json_in.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* The three above first: cmocka.h needs them. */
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const formats[] = {"jpeg", "png", "webp", NULL};
static const struct op_param resize_params[] = {
	{.name = "format", .kind = OP_PARAM_WORD, .words = formats, .def = "jpeg", .help = "what to write"},
	{.name = "height", .kind = OP_PARAM_INT, .min = 1, .max = 100000, .help = "at most so many pixels high"},
	{.name = "note", .kind = OP_PARAM_STRING, .min = 1, .max = 8, .help = "anything"},
	{.name = "quality", .kind = OP_PARAM_INT, .min = 1, .max = 100, .def = "80", .help = "of the coder"},
	{.name = "width", .kind = OP_PARAM_INT, .min = 1, .max = 100000, .required = true, .help = "at most so many pixels wide"},
};
static const struct op_param crop_params[] = {
	{.name = "height", .kind = OP_PARAM_INT, .min = 1, .max = 9, .help = "rows"},
	{.name = "mark", .kind = OP_PARAM_STRING, .min = 0, .max = 20, .pattern = "#[0-9a-f]{6}|none|(ab)*", .help = "a colour"},
	{.name = "shape", .kind = OP_PARAM_WORD, .words = formats, .def = "png", .help = "of what is left"},
	{.name = "width", .kind = OP_PARAM_INT, .min = 1, .max = 9, .help = "columns"},
};
static const char *const crop_any_of[] = {"height", "width", NULL};
static const char *const resize_types[] = {"image/jpeg", "image/png", "image/webp", NULL};
static const struct op test_ops[] = {
	{.name = "crop",
	 .version = 1,
	 .kind = OP_SEALED,
	 .summary = "less",
	 .params = crop_params,
	 .n_params = ARRAY_LEN(crop_params),
	 .any_of = crop_any_of,
	 .output = true},
	{.name = "md5", .version = 1, .kind = OP_STREAMING, .algo = DIGEST_MD5, .summary = "digest"},
	{.name = "resize",
	 .version = 3,
	 .kind = OP_SEALED,
	 .summary = "smaller",
	 .params = resize_params,
	 .n_params = ARRAY_LEN(resize_params),
	 .output = true,
	 .output_types = resize_types},
};
static const struct op_table table = {.ops = test_ops, .n = ARRAY_LEN(test_ops)};

static void assert_str(struct str got, const char *want)
{
	if (!str_eq(got, str_of(want)))
		print_error("got %.*s, expected %s\n", STR_FMT(got), want);
	assert_true(str_eq(got, str_of(want)));
}

static void names_are_sorted_and_found(void **state)
{
	size_t n;
	const struct op *ops = op_table_all(op_builtin_table(), &n);

	assert_true(n >= 5);
	for (size_t i = 0; i < n; i++) {
		assert_ptr_equal(op_table_find(op_builtin_table(), str_of(ops[i].name)), &ops[i]);
		assert_true(ops[i].version > 0);
		assert_true(i == 0 || strcmp(ops[i - 1].name, ops[i].name) < 0);
		assert_true(ops[i].n_params <= OP_PARAMS_MAX);
		for (size_t k = 1; k < ops[i].n_params; k++)
			assert_true(strcmp(ops[i].params[k - 1].name, ops[i].params[k].name) < 0);
		for (size_t k = 0; k < ops[i].n_params; k++) {
			const struct op_param *p = &ops[i].params[k];

			assert_string_not_equal(p->name, OP_AFTER);
			assert_true(!p->pattern || op_pattern_check(p->pattern, NULL) == 0);
			assert_false(p->required && p->def);
		}
	}
	assert_null(op_table_find(op_builtin_table(), STR("md")));
	assert_null(op_table_find(op_builtin_table(), STR("")));
	assert_null(op_table_find(op_builtin_table(), STR("md5\0")));
}

static void a_list_of_words_is_read_in_order(void **state)
{
	struct arena a = ARENA_INIT;
	struct op_request *list;
	size_t n;

	assert_int_equal(op_table_parse_list(op_builtin_table(), &list, &n, STR("sha256, md5 ,crc32c"), &a, NULL), 0);
	assert_int_equal(n, 3);
	assert_string_equal(list[0].op->name, "sha256");
	assert_string_equal(list[1].op->name, "md5");
	assert_string_equal(list[2].op->name, "crc32c");
	assert_str(list[1].params, "{}");
	assert_int_equal(op_table_parse_list(op_builtin_table(), &list, &n, STR(""), &a, NULL), 0);
	assert_int_equal(n, 0);
	arena_release(&a);
}

static void parameters_become_sorted_json_with_defaults(void **state)
{
	static const struct {
		const char *list, *params;
	} cases[] = {
		{"resize;width=800", "{\"format\":\"jpeg\",\"quality\":80,\"width\":800}"},
		{"resize;width=1;format=webp;quality=1", "{\"format\":\"webp\",\"quality\":1,\"width\":1}"},
		{"resize;note=\"a\\\"b\\\\\";width=100000;height=7",
		 "{\"format\":\"jpeg\",\"height\":7,\"note\":\"a\\\"b\\\\\",\"quality\":80,\"width\":100000}"},
		{"resize; width=5; format=\"png\"", "{\"format\":\"png\",\"quality\":80,\"width\":5}"},
		{"resize;width=5;note=token", "{\"format\":\"jpeg\",\"note\":\"token\",\"quality\":80,\"width\":5}"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena a = ARENA_INIT;
		struct op_request *list;
		size_t n;

		assert_int_equal(op_table_parse_list(&table, &list, &n, str_of(cases[i].list), &a, NULL), 0);
		assert_int_equal(n, 1);
		assert_str(list[0].params, cases[i].params);
		arena_release(&a);
	}
}

struct refusal {
	const char *text;
	int code;
	const char *field, *expected; /* NULL: not looked at */
};

static void assert_refused(const struct refusal *c, int r, const struct err *e)
{
	if (r != c->code)
		print_error("%s: got %d, expected %d\n", c->text, r, c->code);
	assert_int_equal(r, c->code);
	assert_int_equal(e->code, c->code);
	assert_true(e->detail[0] != '\0');
	if (c->field)
		assert_string_equal(e->field, c->field);
	if (c->expected)
		assert_string_equal(e->expected, c->expected);
}

static void wrong_lists_are_refused_with_what_would_be_right(void **state)
{
	static const struct refusal cases[] = {
		{"md6", ERR_UNKNOWN_OP, "ops", "md5"},
		{"rezise;width=1", ERR_UNKNOWN_OP, "ops", "resize"},
		{"completely-different", ERR_UNKNOWN_OP, "ops", ""},
		{"MD5", ERR_UNKNOWN_OP, "ops", NULL},
		{"md5,", ERR_BAD_OPS, "ops", NULL},
		{",md5", ERR_BAD_OPS, "ops", NULL},
		{"md5,,resize;width=1", ERR_BAD_OPS, "ops", NULL},
		{"md5 resize", ERR_BAD_OPS, "ops", NULL},
		{"\"md5\"", ERR_BAD_OPS, "ops", NULL},
		{"5", ERR_BAD_OPS, "ops", NULL},
		{"(md5 resize)", ERR_BAD_OPS, "ops", NULL},
		{"m\xc3\xa4h", ERR_BAD_OPS, "ops", NULL},
		{"md5, md5", ERR_BAD_OPS, "ops", NULL},
		{"resize;width=1, resize;width=1;quality=80", ERR_BAD_OPS, "ops", NULL},
		{"resize;width=", ERR_BAD_OPS, "ops", NULL},
		{"resize;width=1.5", ERR_BAD_OPS, "ops", NULL},
		{"resize;width=:YQ==:", ERR_BAD_OPS, "ops", NULL},
		{"md5;level=3", ERR_BAD_OP_PARAMS, "level", ""},
		{"resize;widht=3", ERR_BAD_OP_PARAMS, "widht", "width"},
		{"resize", ERR_BAD_OP_PARAMS, "width", "an integer from 1 to 100000"},
		{"resize;width", ERR_BAD_OP_PARAMS, "width", NULL},
		{"resize;width=0", ERR_BAD_OP_PARAMS, "width", "an integer from 1 to 100000"},
		{"resize;width=100001", ERR_BAD_OP_PARAMS, "width", NULL},
		{"resize;width=-1", ERR_BAD_OP_PARAMS, "width", NULL},
		{"resize;width=x", ERR_BAD_OP_PARAMS, "width", NULL},
		{"resize;width=\"5\"", ERR_BAD_OP_PARAMS, "width", NULL},
		{"resize;width=1;format=exe", ERR_BAD_OP_PARAMS, "format", "jpeg|png|webp"},
		{"resize;width=1;format=5", ERR_BAD_OP_PARAMS, "format", NULL},
		{"resize;width=1;width=1", ERR_BAD_OP_PARAMS, "width", NULL},
		{"resize;width=1;note=\"\"", ERR_BAD_OP_PARAMS, "note", NULL},
		{"resize;width=1;note=123456789", ERR_BAD_OP_PARAMS, "note", NULL},
		{"resize;width=1;note=abcdefghi", ERR_BAD_OP_PARAMS, "note", "a string of 1 to 8 bytes"},
		{"crop", ERR_BAD_OP_PARAMS, "height", "height|width"},
		{"crop;shape=png", ERR_BAD_OP_PARAMS, "height", "height|width"},
		{"crop;width=1;mark=\"#00ff0\"", ERR_BAD_OP_PARAMS, "mark", "0 to 20 bytes that match #[0-9a-f]{6}|none|(ab)*"},
		{"crop;width=1;mark=nonee", ERR_BAD_OP_PARAMS, "mark", NULL},
		{"crop;width=1;mark=xnone", ERR_BAD_OP_PARAMS, "mark", NULL},
		{"crop;width=1;mark=aba", ERR_BAD_OP_PARAMS, "mark", NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena a = ARENA_INIT;
		struct err e = ERR_INIT;
		struct op_request *list = NULL;
		size_t n = 77;

		assert_refused(&cases[i], op_table_parse_list(&table, &list, &n, str_of(cases[i].text), &a, &e), &e);
		assert_null(list);
		assert_int_equal(n, 77);
		/* Without a place for the details the answer is the same. */
		assert_int_equal(op_table_parse_list(&table, &list, &n, str_of(cases[i].text), &a, NULL), cases[i].code);
		arena_release(&a);
	}
}

static void an_op_may_come_after_one_that_makes_an_output(void **state)
{
	static const struct {
		const char *list;
		int after[4];
	} cases[] = {
		{"resize;width=1, md5;after=resize", {-1, 0}},
		{"resize;width=1, md5;after=\"resize\"", {-1, 0}},
		{"resize;width=1, md5;after=1", {-1, 0}},
		{"resize;after=1;width=1, resize;width=1", {-2}},
		{"resize;width=1, resize;width=2;after=resize, md5;after=resize", {-1, 0, 1}},
		{"resize;width=1, resize;width=2, md5;after=1, md5;after=2", {-1, -1, 0, 1}},
		{"resize;width=1, resize;after=resize;width=1, resize;width=1;after=2", {-1, 0, 1}},
		{"md5, resize;width=1, md5;after=resize", {-1, -1, 1}},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena a = ARENA_INIT;
		struct op_request *list;
		size_t n;
		int r = op_table_parse_list(&table, &list, &n, str_of(cases[i].list), &a, NULL);

		if (cases[i].after[0] == -2) {
			assert_int_equal(r, ERR_BAD_OPS);
		} else {
			assert_int_equal(r, 0);
			for (size_t k = 0; k < n; k++)
				assert_int_equal(list[k].after, cases[i].after[k]);
			/* It is about the input and not a parameter of the op. */
			assert_false(strstr(list[n - 1].params.p, "after") != NULL);
		}
		arena_release(&a);
	}
}

static void a_wrong_after_is_refused(void **state)
{
	static const struct refusal cases[] = {
		{"md5;after=resize", ERR_BAD_OPS, "after", ""},
		{"md5;after=resize, resize;width=1", ERR_BAD_OPS, "after", NULL},
		{"resize;width=1;after=resize", ERR_BAD_OPS, "after", NULL},
		{"resize;width=1;after=1", ERR_BAD_OPS, "after", NULL},
		{"resize;width=1, md5;after=0", ERR_BAD_OPS, "after", NULL},
		{"resize;width=1, md5;after=-1", ERR_BAD_OPS, "after", NULL},
		{"resize;width=1, md5;after=2", ERR_BAD_OPS, "after", NULL},
		{"resize;width=1, md5;after=999999999999999", ERR_BAD_OPS, "after", NULL},
		{"resize;width=1, md5;after=rezise", ERR_BAD_OPS, "after", "resize"},
		{"resize;width=1, md5;after", ERR_BAD_OPS, "after", NULL},
		{"resize;width=1, md5;after=?1", ERR_BAD_OPS, "after", NULL},
		{"resize;width=1, md5;after=\"\"", ERR_BAD_OPS, "after", NULL},
		{"resize;width=1, md5;after=1;after=1", ERR_BAD_OPS, "after", NULL},
		{"md5, resize;width=1;after=md5", ERR_BAD_OPS, "after", NULL},
		{"md5, resize;width=1;after=1", ERR_BAD_OPS, "after", NULL},
		{"resize;width=1, md5;after=resize, md5;after=1", ERR_BAD_OPS, "ops", NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena a = ARENA_INIT;
		struct err e = ERR_INIT;
		struct op_request *list = NULL;
		size_t n = 77;

		assert_refused(&cases[i], op_table_parse_list(&table, &list, &n, str_of(cases[i].text), &a, &e), &e);
		assert_null(list);
		assert_int_equal(op_table_parse_list(&table, &list, &n, str_of(cases[i].text), &a, NULL), cases[i].code);
		arena_release(&a);
	}
}

static void a_pattern_matches_the_whole_value_or_not_at_all(void **state)
{
	static const struct {
		const char *pattern, *value;
		bool matches;
	} cases[] = {
		{"a|ab", "ab", true},
		{"a)|(b", "a", false}, /* glibc takes a lone ) for itself, and the ( is never closed */
		{"x)|y", "xz", false},
		{"x)|y", "x)", true},
		{"", "", true},
		{"", "a", false},
		{"a*", "", true},
		{".*", "a\nb", true},
		{"a$|b", "a\nb", false},
		{"[[:alpha:]]+", "abc", true},
		{"[[:alpha:]]+", "\xc3\xa4", false},
		{"(a|aa)+b?", "aaab", true},
		{"(a|aa)+b?", "aaabb", false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(op_pattern_matches(cases[i].pattern, str_of(cases[i].value)), cases[i].matches);
	assert_true(op_pattern_matches("ab", (struct str){"abc", 2}));
	assert_true(op_pattern_matches("a?", (struct str){NULL, 0}));
	assert_int_equal(op_pattern_check("[a-z]+", NULL), 0);
	assert_int_equal(op_pattern_check("(a", NULL), ERR_BAD_CONFIG);
	assert_int_equal(op_pattern_check("[a", NULL), ERR_BAD_CONFIG);
	assert_int_equal(op_pattern_check("(a*)*\\1", NULL), ERR_BAD_CONFIG);
	assert_int_equal(op_pattern_check("a\\\\1", NULL), 0);
}

static void a_pattern_does_not_grow_without_bounds(void **state)
{
	static const struct {
		const char *pattern;
		int code;
	} cases[] = {
		{"[a-z]{4096}", 0},
		{"[a-z]{4096}a", ERR_BAD_CONFIG},
		{"[a-z]{1,4097}", ERR_BAD_CONFIG},
		{"(a{1,64}){1,64}", 0},
		{"(a{1,64}){1,65}", ERR_BAD_CONFIG},
		{"((a{9,}){9,}b){20}", 0},
		{"((a{9,}){9,}b){99}", ERR_BAD_CONFIG},
		{"a++", ERR_BAD_CONFIG},
		{"a*{2}", ERR_BAD_CONFIG},
		{"(a+)+", 0},
		{"((((((((((((a+)+)+)+)+)+)+)+)+)+)+)+)", 0},
		{"(((((((((((((a+)+)+)+)+)+)+)+)+)+)+)+)+)", ERR_BAD_CONFIG},
		{"[]{9999}*+]{2}", 0},
		{"[^]{9999}*+]{2}", 0},
		{"[[:alpha:]{9999}*+]{2}", 0},
		{"\\+{2}", 0},
		{"(((((((((((((((((((((((((((((((())))))))))))))))))))))))))))))))", 0},
		{"((((((((((((((((((((((((((((((((()))))))))))))))))))))))))))))))))", ERR_BAD_CONFIG},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err e = ERR_INIT;
		int r = op_pattern_check(cases[i].pattern, &e);

		if (r != cases[i].code)
			print_error("%s: %d %s\n", cases[i].pattern, r, e.detail);
		assert_int_equal(r, cases[i].code);
	}
}

static void a_pattern_goes_into_the_schema_when_it_means_the_same_there(void **state)
{
	static const char *const same[] = {"", "[a-z]{1,3}", "a|b", "\\.x", "(ab)+", "[^/]*", "\\[x"};
	static const char *const other[] = {"[[:alpha:]]", "[]a]", "[^]a]", "[\\d]", "\\d", "(?i)", "\\"};

	for (size_t i = 0; i < ARRAY_LEN(same); i++)
		assert_true(op_pattern_is_portable(same[i]));
	for (size_t i = 0; i < ARRAY_LEN(other); i++)
		assert_false(op_pattern_is_portable(other[i]));
}

static void an_output_is_named_after_its_input(void **state)
{
	static const struct op resize = {.name = "resize"}, gzip = {.name = "gzip", .suffix = ".gz"}, same = {.name = "same", .suffix = ""};
	static const struct {
		const struct op *op;
		const char *input, *type, *want;
	} cases[] = {
		{&resize, "photo.jpg", "image/webp", "photo.webp"},
		{&resize, "photo.JPEG", "image/jpeg", "photo.jpg"},
		{&resize, "photo", "image/avif", "photo.avif"},
		{&resize, "scan.001", "image/png", "scan.001.png"},
		{&resize, ".png", "image/png", ".png.png"},
		{&resize, "a.tar.gz", "image/png", "a.tar.png"},
		{&resize, "a.b c", "image/png", "a.b c.png"},
		{&resize, "a.", "image/png", "a..png"},
		{&resize, "", "image/png", ".png"},
		{&resize, "f\xc3\xbc.jpg", "image/png", "f\xc3\xbc.png"},
		{&resize, "photo.jpg", "text/html", "photo.jpg"},
		{&resize, "photo.jpg", "", "photo.jpg"},
		{&gzip, "photo.jpg", "application/gzip", "photo.jpg.gz"},
		{&same, "photo.jpg", "text/plain", "photo.jpg"},
	};
	struct arena a = ARENA_INIT;
	char longest[256];
	struct str name;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_str(op_output_name(cases[i].op, STR("{}"), str_of(cases[i].input), str_of(cases[i].type), &a), cases[i].want);
	memset(longest, 'x', sizeof(longest));
	assert_int_equal(op_output_name(&gzip, STR("{}"), (struct str){longest, 252}, STR(""), &a).len, 255);
	name = op_output_name(&gzip, STR("{}"), (struct str){longest, 255}, STR(""), &a);
	assert_int_equal(name.len, 255);
	assert_memory_equal(name.p + 252, ".gz", 3);
	longest[251] = (char)0xc3, longest[252] = (char)0xa4;
	assert_int_equal(op_output_name(&gzip, STR("{}"), (struct str){longest, 255}, STR(""), &a).len, 254);
	arena_release(&a);
}

static void the_same_op_with_other_parameters_is_no_repetition(void **state)
{
	struct arena a = ARENA_INIT;
	struct op_request *list;
	size_t n;

	assert_int_equal(op_table_parse_list(&table, &list, &n, STR("resize;width=1, resize;width=2"), &a, NULL), 0);
	assert_int_equal(n, 2);
	arena_release(&a);
}

static void a_list_may_be_as_long_as_the_limit_and_not_longer(void **state)
{
	struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	struct op_request *list;
	char text[OPS_MAX * 32 + 64];
	size_t n, at = 0;

	for (int i = 1; i <= OPS_MAX; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%sresize;width=%d", i > 1 ? "," : "", i);
	assert_int_equal(op_table_parse_list(&table, &list, &n, str_of(text), &a, &e), 0);
	assert_int_equal(n, OPS_MAX);
	snprintf(text + at, sizeof(text) - at, ",resize;width=%d", OPS_MAX + 1);
	assert_int_equal(op_table_parse_list(&table, &list, &n, str_of(text), &a, &e), ERR_BAD_OPS);
	assert_int_equal(e.limit, OPS_MAX);
	arena_release(&a);
}

/* A string behind another one: the second must not overwrite the first while the request is put together. */
static void two_strings_with_escapes_stay_apart(void **state)
{
	static const struct op_param params[] = {
		{.name = "a", .kind = OP_PARAM_STRING, .min = 0, .max = 20, .help = "one"},
		{.name = "b", .kind = OP_PARAM_STRING, .min = 0, .max = 20, .help = "two"},
	};
	static const struct op ops[] = {{.name = "x", .version = 1, .params = params, .n_params = 2}};
	static const struct op_table two = {.ops = ops, .n = 1};
	struct arena a = ARENA_INIT;
	struct op_request *list;
	size_t n;

	assert_int_equal(op_table_parse_list(&two, &list, &n, STR("x;a=\"1\\\"1\";b=\"2\\\\2\""), &a, NULL), 0);
	assert_str(list[0].params, "{\"a\":\"1\\\"1\",\"b\":\"2\\\\2\"}");
	arena_release(&a);
}

static void json_params_and_list_params_become_the_same(void **state)
{
	struct arena a = ARENA_INIT;
	struct op_request from_json, *list;
	size_t n;

	assert_int_equal(
		op_table_request_from_json(&table, &from_json, STR("resize"), STR(" {\"width\": 800, \"format\": \"webp\"} "), &a, NULL),
		0);
	assert_int_equal(op_table_parse_list(&table, &list, &n, STR("resize;width=800;format=webp"), &a, NULL), 0);
	assert_ptr_equal(from_json.op, list[0].op);
	assert_true(str_eq(from_json.params, list[0].params));
	assert_int_equal(op_table_request_from_json(op_builtin_table(), &from_json, STR("md5"), STR(""), &a, NULL), 0);
	assert_str(from_json.params, "{}");
	assert_int_equal(op_table_request_from_json(op_builtin_table(), &from_json, STR("md5"), STR("{}"), &a, NULL), 0);
	assert_str(from_json.params, "{}");
	arena_release(&a);
}

static void wrong_json_params_are_refused(void **state)
{
	static const struct refusal cases[] = {
		{"{", ERR_BAD_JSON, NULL, NULL},
		{"{}x", ERR_BAD_JSON, NULL, NULL},
		{"{\"width\":1,\"width\":1}", ERR_BAD_JSON, NULL, NULL},
		{"{\"width\":1e999}", ERR_BAD_JSON, NULL, NULL},
		{"[]", ERR_BAD_OP_PARAMS, "params", NULL},
		{"[1]", ERR_BAD_OP_PARAMS, "params", NULL},
		{"{}", ERR_BAD_OP_PARAMS, "width", NULL},
		{"{\"width\":1.0}", ERR_BAD_OP_PARAMS, "width", "an integer from 1 to 100000"},
		{"{\"width\":\"1\"}", ERR_BAD_OP_PARAMS, "width", NULL},
		{"{\"width\":true}", ERR_BAD_OP_PARAMS, "width", NULL},
		{"{\"width\":null}", ERR_BAD_OP_PARAMS, "width", NULL},
		{"{\"width\":[1]}", ERR_BAD_OP_PARAMS, "width", NULL},
		{"{\"width\":0}", ERR_BAD_OP_PARAMS, "width", NULL},
		{"{\"width\":1,\"note\":\"\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4x\"}", ERR_BAD_OP_PARAMS, "note", NULL},
		{"{\"width\":1,\"Width\":1}", ERR_BAD_OP_PARAMS, "Width", "width"},
		{"{\"width\":1,\"format\":\"JPEG\"}", ERR_BAD_OP_PARAMS, "format", "jpeg|png|webp"},
		{"{\"width\":1,\"\":1}", ERR_BAD_OP_PARAMS, "", NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena a = ARENA_INIT;
		struct err e = ERR_INIT;
		struct op_request request = {};

		assert_refused(&cases[i], op_table_request_from_json(&table, &request, STR("resize"), str_of(cases[i].text), &a, &e), &e);
		assert_null(request.op);
		assert_int_equal(op_table_request_from_json(&table, &request, STR("resize"), str_of(cases[i].text), &a, NULL),
				 cases[i].code);
		arena_release(&a);
	}
}

static void an_unknown_op_in_json_names_the_nearest(void **state)
{
	struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	struct op_request request = {};

	assert_int_equal(op_table_request_from_json(op_builtin_table(), &request, STR("sha265"), STR("{}"), &a, &e), ERR_UNKNOWN_OP);
	assert_string_equal(e.field, "op");
	assert_string_equal(e.expected, "sha256");
	assert_int_equal(op_table_request_from_json(op_builtin_table(), &request, STR(""), STR("{}"), &a, &e), ERR_UNKNOWN_OP);
	arena_release(&a);
}

/* Checks that the text is JSON by reading it back with the strict reader. */
static json_t *assert_reads(const struct buf *b)
{
	json_t *json = NULL;

	assert_true(buf_ok(b));
	assert_int_equal(json_read(&json, buf_str(b), NULL), 0);
	return json;
}

static void the_table_as_json_has_a_schema_for_each_op(void **state)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	json_t *json, *resize, *width, *required, *crop, *any_of, *mark;

	op_table_write_json(&table, &b);
	json = assert_reads(&b);
	resize = json_array_get(json_object_get(json, "ops"), 2);
	assert_string_equal(json_string_value(json_object_get(resize, "name")), "resize");
	assert_int_equal(json_integer_value(json_object_get(resize, "version")), 3);
	assert_string_equal(json_string_value(json_object_get(resize, "kind")), "sealed");
	assert_int_equal(json_array_size(json_object_get(resize, "outputs")), 3);
	assert_string_equal(json_string_value(json_array_get(json_object_get(resize, "outputs"), 2)), "image/webp");
	crop = json_array_get(json_object_get(json, "ops"), 0);
	assert_string_equal(json_string_value(json_array_get(json_object_get(crop, "outputs"), 0)), "*/*");
	any_of = json_object_get(json_object_get(crop, "params"), "anyOf");
	assert_int_equal(json_array_size(any_of), 2);
	assert_string_equal(json_string_value(json_array_get(json_object_get(json_array_get(any_of, 1), "required"), 0)), "width");
	mark = json_object_get(json_object_get(json_object_get(crop, "params"), "properties"), "mark");
	assert_string_equal(json_string_value(json_object_get(mark, "pattern")), "^(?:#[0-9a-f]{6}|none|(ab)*)$");
	assert_int_equal(json_array_size(json_object_get(json_array_get(json_object_get(json, "ops"), 1), "outputs")), 0);
	assert_int_equal(json_array_size(json_object_get(json, "pipelines")), 0);
	assert_true(json_is_false(json_object_get(json_object_get(resize, "params"), "additionalProperties")));
	required = json_object_get(json_object_get(resize, "params"), "required");
	assert_int_equal(json_array_size(required), 1);
	assert_string_equal(json_string_value(json_array_get(required, 0)), "width");
	width = json_object_get(json_object_get(json_object_get(resize, "params"), "properties"), "width");
	assert_string_equal(json_string_value(json_object_get(width, "type")), "integer");
	assert_int_equal(json_integer_value(json_object_get(width, "maximum")), 100000);
	json_decref(json);
}

static void the_built_in_table_as_json_lists_every_op(void **state)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	json_t *json;
	size_t n;

	op_table_all(op_builtin_table(), &n);
	op_table_write_json(op_builtin_table(), &b);
	json = assert_reads(&b);
	assert_int_equal(json_array_size(json_object_get(json, "ops")), n);
	json_decref(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_sorted_and_found),
		cmocka_unit_test(a_list_of_words_is_read_in_order),
		cmocka_unit_test(parameters_become_sorted_json_with_defaults),
		cmocka_unit_test(wrong_lists_are_refused_with_what_would_be_right),
		cmocka_unit_test(an_op_may_come_after_one_that_makes_an_output),
		cmocka_unit_test(a_wrong_after_is_refused),
		cmocka_unit_test(a_pattern_matches_the_whole_value_or_not_at_all),
		cmocka_unit_test(a_pattern_does_not_grow_without_bounds),
		cmocka_unit_test(a_pattern_goes_into_the_schema_when_it_means_the_same_there),
		cmocka_unit_test(an_output_is_named_after_its_input),
		cmocka_unit_test(the_same_op_with_other_parameters_is_no_repetition),
		cmocka_unit_test(a_list_may_be_as_long_as_the_limit_and_not_longer),
		cmocka_unit_test(two_strings_with_escapes_stay_apart),
		cmocka_unit_test(json_params_and_list_params_become_the_same),
		cmocka_unit_test(wrong_json_params_are_refused),
		cmocka_unit_test(an_unknown_op_in_json_names_the_nearest),
		cmocka_unit_test(the_table_as_json_has_a_schema_for_each_op),
		cmocka_unit_test(the_built_in_table_as_json_lists_every_op),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
