/* Commands and pipelines of a configuration: what is taken, what is refused and where the message says it stands, the words a command is started with. */
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

struct world {
	struct arena a;
	struct err e;
	const struct op_table *t;
	int r;
};

static void make(struct world *w, const char *commands, const char *pipelines)
{
	*w = (struct world){.e = ERR_INIT};
	w->r = op_table_new(&w->t, str_of(commands), str_of(pipelines), STR(""), &w->a, &w->e);
}

static void done(struct world *w)
{
	arena_release(&w->a);
}

static void assert_made(struct world *w, const char *commands, const char *pipelines)
{
	make(w, commands, pipelines);
	if (w->r != 0)
		print_error("%s\n", w->e.detail);
	assert_int_equal(w->r, 0);
}

static void assert_str(struct str got, const char *want)
{
	if (!str_eq(got, str_of(want)))
		print_error("got %.*s, expected %s\n", STR_FMT(got), want);
	assert_true(str_eq(got, str_of(want)));
}

static const char ocr[] = "{\"ocr\":{\"argv\":[\"/usr/bin/tesseract\",\"-\",\"-\",\"-l\",\"{lang}\",\"--psm={psm}\",\"{{{mode}}}\"],"
			  "\"params\":{\"psm\":{\"type\":\"integer\",\"min\":-1,\"max\":13,\"default\":3,\"description\":\"page layout\"},"
			  "\"lang\":{\"type\":\"string\",\"pattern\":\"[a-z]{3}([+][a-z]{3})*\",\"max\":31,\"default\":\"eng\"},"
			  "\"mode\":{\"type\":\"word\",\"words\":[\"fast\",\"-best\"]}},"
			  "\"summary\":\"the text of a picture\",\"suffix\":\".txt\",\"output_types\":[\"text/plain\"],"
			  "\"wall_time\":\"60s\",\"cpu_time\":\"1500ms\",\"memory\":\"1GiB\",\"output_max\":\"10MB\"}}";

static void nothing_declared_leaves_the_built_in_ops(void **state)
{
	struct world w;
	size_t n, builtin;

	op_table_all(op_builtin_table(), &builtin);
	assert_made(&w, "", "");
	op_table_all(w.t, &n);
	assert_int_equal(n, builtin);
	done(&w);
	assert_made(&w, "{}", " { } ");
	done(&w);
}

static void a_command_is_an_op_among_the_others(void **state)
{
	struct world w;
	const struct op *ops, *op;
	size_t n;

	assert_made(&w, ocr, "");
	ops = op_table_all(w.t, &n);
	for (size_t i = 1; i < n; i++)
		assert_true(strcmp(ops[i - 1].name, ops[i].name) < 0);
	op = op_table_find(w.t, STR("ocr"));
	assert_non_null(op);
	assert_int_equal(op->kind, OP_COMMAND);
	assert_true(op->output);
	assert_true(op->version > 0 && op->version <= INT32_MAX);
	assert_string_equal(op->output_types[0], "text/plain");
	assert_null(op->output_types[1]);
	assert_string_equal(op->suffix, ".txt");
	assert_int_equal(op->n_params, 3);
	assert_string_equal(op->params[0].name, "lang");
	assert_string_equal(op->params[1].name, "mode");
	assert_true(op->params[1].required);
	assert_int_equal(op->command->wall_ms, 60000);
	assert_int_equal(op->command->cpu_s, 2);
	assert_int_equal(op->command->memory, 1 << 30);
	assert_int_equal(op->command->output_max, 10000000);
	assert_non_null(op_table_find(w.t, STR("md5")));
	assert_str(op_output_name(op, STR("{}"), STR("page.png"), STR("text/plain"), &w.a), "page.png.txt");
	done(&w);
}

static void the_words_of_a_command_get_their_values(void **state)
{
	static const char *const want[] = {"/usr/bin/tesseract", "-", "-", "-l", "deu+eng", "--psm=-1", "{-best}", NULL};
	struct world w;
	struct op_request *list;
	char **words;
	size_t n;

	assert_made(&w, ocr, "");
	assert_int_equal(op_table_parse_list(w.t, &list, &n, STR("ocr;lang=\"deu+eng\";psm=-1;mode=\"-best\""), &w.a, &w.e), 0);
	assert_int_equal(op_command_argv(list[0].op, list[0].params, &words, &n, &w.a, &w.e), 0);
	assert_int_equal(n, 7);
	for (size_t i = 0; i <= n; i++)
		assert_true(want[i] ? strcmp(words[i], want[i]) == 0 : !words[i]);
	assert_int_equal(op_table_parse_list(w.t, &list, &n, STR("ocr;mode=fast"), &w.a, &w.e), 0);
	assert_int_equal(op_command_argv(list[0].op, list[0].params, &words, &n, &w.a, &w.e), 0);
	assert_string_equal(words[4], "eng");
	assert_string_equal(words[5], "--psm=3");
	/* Params that another configuration made: an error, not a word with a hole. */
	assert_int_equal(op_command_argv(list[0].op, STR("{}"), &words, &n, &w.a, &w.e), ERR_BAD_OP_PARAMS);
	assert_int_equal(op_command_argv(list[0].op, STR("{\"lang\":[],\"mode\":1,\"psm\":1}"), &words, &n, &w.a, &w.e), ERR_BAD_OP_PARAMS);
	done(&w);
}

/* A value stays one word whatever is in it: nothing here knows what a blank or a quote is. */
static void a_value_is_never_more_than_one_word(void **state)
{
	static const char command[] =
		"{\"c\":{\"argv\":[\"/bin/x\",\"a{v}b\"],\"params\":{\"v\":{\"type\":\"string\",\"pattern\":\".*\"}}}}";
	struct world w;
	struct op_request request;
	char **words;
	size_t n;

	assert_made(&w, command, "");
	assert_int_equal(op_table_request_from_json(w.t, &request, STR("c"), STR("{\"v\":\"; rm -rf / 'x' $(y) {v} {{\\n\"}"), &w.a, &w.e),
			 0);
	assert_int_equal(op_command_argv(request.op, request.params, &words, &n, &w.a, &w.e), 0);
	assert_int_equal(n, 2);
	assert_string_equal(words[1], "a; rm -rf / 'x' $(y) {v} {{\nb");
	done(&w);
}

static void a_value_that_begins_a_word_is_no_option(void **state)
{
	static const struct {
		const char *word, *pattern, *value;
		bool refused;
	} cases[] = {
		{"{v}", "[-a-z]*", "-rf", true},      {"{v}x", "[-a-z]*", "-rf", true}, {"{v}", "-?[a-z]*", "-rf", false},
		{"--o={v}", "[-a-z]*", "-rf", false}, {"{v}", "[-a-z]*", "", false},    {"{v}", "[-a-z]*", "a-", false},
		{"{{{v}", "[-a-z]*", "-rf", false},   {"a{v}", ".*", "-rf", false},     {"{e}{v}", "[-a-z]*", "-rf", true},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char commands[512], params[64];
		struct world w;
		struct op_request request;

		snprintf(commands, sizeof(commands),
			 "{\"c\":{\"argv\":[\"/bin/x\",\"%s\",\"-{e}\"],\"params\":{\"v\":{\"type\":\"string\",\"pattern\":\"%s\"},"
			 "\"e\":{\"type\":\"string\",\"pattern\":\"x*\",\"default\":\"\"}}}}",
			 cases[i].word, cases[i].pattern);
		snprintf(params, sizeof(params), "{\"v\":\"%s\"}", cases[i].value);
		assert_made(&w, commands, "");
		assert_int_equal(op_table_request_from_json(w.t, &request, STR("c"), str_of(params), &w.a, &w.e),
				 cases[i].refused ? ERR_BAD_OP_PARAMS : 0);
		if (cases[i].refused)
			assert_string_equal(w.e.field, "v");
		done(&w);
	}
}

#define ARGV "\"argv\":[\"/bin/x\"]"
#define WITH(param) "{\"c\":{\"argv\":[\"/bin/x\",\"={v}\"],\"params\":{\"v\":" param "}}}"
#define FIRST(param) "{\"c\":{\"argv\":[\"/bin/x\",\"{v}\"],\"params\":{\"v\":" param "}}}"

static void wrong_declarations_are_refused_with_their_place(void **state)
{
	static const struct {
		const char *commands, *field, *says; /* says: part of the message behind the place */
	} cases[] = {
		{"[]", "commands", "must be a map"},
		{"{", "commands", "line 1, column"},
		{"{\"a\":{" ARGV "},\"a\":{" ARGV "}}", "commands", "twice"},
		{"{\"c\":5}", "commands.c", "must be a map with argv"},
		{"{\"md5\":{" ARGV "}}", "commands.md5", "an op of this name already"},
		{"{\"C\":{" ARGV "}}", "commands.C", "a to z first"},
		{"{\"\":{" ARGV "}}", "commands.", "a to z first"},
		{"{\"1a\":{" ARGV "}}", "commands.1a", "a to z first"},
		{"{\"c\":{}}", "commands.c.argv", "a list of 1 to 64 words"},
		{"{\"c\":{\"argv\":[]}}", "commands.c.argv", "a list of 1 to 64 words"},
		{"{\"c\":{\"argv\":\"/bin/x\"}}", "commands.c.argv", "a list of 1 to 64 words"},
		{"{\"c\":{\"argv\":[\"x\"]}}", "commands.c.argv[0]", "absolute path"},
		{"{\"c\":{\"argv\":[\"\"]}}", "commands.c.argv[0]", "absolute path"},
		{"{\"c\":{\"argv\":[\"/bin/{v}\"]}}", "commands.c.argv[0]", "no braces"},
		{"{\"c\":{\"argv\":[\"/bin/x\",5]}}", "commands.c.argv[1]", "in quotes"},
		{"{\"c\":{\"argv\":[\"/bin/x\",\"{v}\"]}}", "commands.c.argv[1]", "params has no \"v\""},
		{"{\"c\":{\"argv\":[\"/bin/x\",\"{\"]}}", "commands.c.argv[1]", "not closed"},
		{"{\"c\":{\"argv\":[\"/bin/x\",\"{{}\"]}}", "commands.c.argv[1]", "a } alone"},
		{"{\"c\":{\"argv\":[\"/bin/x\",\"{}\"]}}", "commands.c.argv[1]", "without the name"},
		{"{\"c\":{" ARGV ",\"argvs\":1}}", "commands.c.argvs", "did you mean \"argv\"?"},
		{"{\"c\":{" ARGV ",\"params\":[]}}", "commands.c.params", "a map of parameters"},
		{"{\"c\":{" ARGV ",\"params\":{\"v\":{\"type\":\"integer\",\"min\":1,\"max\":2}}}}", "commands.c.params.v",
		 "no word of argv has {v}"},
		{"{\"c\":{" ARGV ",\"params\":{\"after\":{\"type\":\"integer\",\"min\":1,\"max\":2}}}}", "commands.c.params.after",
		 "is taken"},
		{"{\"c\":{" ARGV ",\"params\":{\"V\":{}}}}", "commands.c.params.V", "a to z first"},
		{WITH("5"), "commands.c.params.v", "a map with a type"},
		{WITH("{}"), "commands.c.params.v.type", "integer, word or string"},
		{WITH("{\"type\":\"number\"}"), "commands.c.params.v.type", "integer, word or string"},
		{WITH("{\"type\":\"integer\"}"), "commands.c.params.v.min", "an integer from"},
		{WITH("{\"type\":\"integer\",\"min\":1}"), "commands.c.params.v.max", "an integer from 1"},
		{WITH("{\"type\":\"integer\",\"min\":1,\"max\":0}"), "commands.c.params.v.max", "an integer from 1"},
		{WITH("{\"type\":\"integer\",\"min\":1.5,\"max\":2}"), "commands.c.params.v.min", "an integer from"},
		{WITH("{\"type\":\"integer\",\"min\":1,\"max\":2,\"words\":[]}"), "commands.c.params.v.words", "no member"},
		{WITH("{\"type\":\"integer\",\"min\":1,\"max\":2,\"default\":3}"), "commands.c.params.v.default", "an integer from 1 to 2"},
		{WITH("{\"type\":\"integer\",\"min\":1,\"max\":2,\"default\":\"1\"}"), "commands.c.params.v.default",
		 "an integer from 1 to 2"},
		{WITH("{\"type\":\"integer\",\"min\":1,\"max\":2,\"description\":1}"), "commands.c.params.v.description", "a string"},
		{FIRST("{\"type\":\"integer\",\"min\":-1,\"max\":2}"), "commands.c.argv[1]", "would pass for an option"},
		{WITH("{\"type\":\"word\"}"), "commands.c.params.v.words", "a list of 1 to 64"},
		{WITH("{\"type\":\"word\",\"words\":[]}"), "commands.c.params.v.words", "a list of 1 to 64"},
		{WITH("{\"type\":\"word\",\"words\":[\"a\",5]}"), "commands.c.params.v.words[1]", "a string"},
		{WITH("{\"type\":\"word\",\"words\":[\"\"]}"), "commands.c.params.v.words[0]", "a string"},
		{WITH("{\"type\":\"word\",\"words\":[\"a\",\"a\"]}"), "commands.c.params.v.words[1]", "twice"},
		{WITH("{\"type\":\"word\",\"words\":[\"a\",\"b\"],\"default\":\"c\"}"), "commands.c.params.v.default", "one of a|b"},
		{WITH("{\"type\":\"string\"}"), "commands.c.params.v.pattern", "a string needs one"},
		{WITH("{\"type\":\"string\",\"pattern\":\"(\"}"), "commands.c.params.v.pattern", "not an extended regular expression"},
		{WITH("{\"type\":\"string\",\"pattern\":\"(.)\\\\1\"}"), "commands.c.params.v.pattern", "back-reference"},
		{WITH("{\"type\":\"string\",\"pattern\":\"a\",\"max\":256}"), "commands.c.params.v.max", "from 1 to 255"},
		{WITH("{\"type\":\"string\",\"pattern\":\"a\",\"default\":\"b\"}"), "commands.c.params.v.default", "match a"},
		{FIRST("{\"type\":\"string\",\"pattern\":\".*\",\"default\":\"-b\"}"), "commands.c.argv[1]", "would pass for an option"},
		{"{\"c\":{" ARGV ",\"summary\":5}}", "commands.c.summary", "at most 255 bytes"},
		{"{\"c\":{" ARGV ",\"suffix\":\"a\\nb\"}}", "commands.c.suffix", "control characters"},
		{"{\"c\":{" ARGV ",\"suffix\":\"/a\"}}", "commands.c.suffix", "no slash"},
		{"{\"c\":{" ARGV ",\"output_types\":[]}}", "commands.c.output_types", "1 to 16"},
		{"{\"c\":{" ARGV ",\"output_types\":[\"text\"]}}", "commands.c.output_types[0]", "media type"},
		{"{\"c\":{" ARGV ",\"output_types\":[\"text/plain\",\"text/\"]}}", "commands.c.output_types[1]", "media type"},
		{"{\"c\":{" ARGV ",\"output_types\":[\"/x\"]}}", "commands.c.output_types[0]", "media type"},
		{"{\"c\":{" ARGV ",\"output_types\":[\"text/a/b\"]}}", "commands.c.output_types[0]", "media type"},
		{"{\"c\":{" ARGV ",\"output_types\":[\"text/plain; charset=x\"]}}", "commands.c.output_types[0]", "media type"},
		{"{\"c\":{" ARGV ",\"wall_time\":60}}", "commands.c.wall_time", "with its unit"},
		{"{\"c\":{" ARGV ",\"wall_time\":\"60\"}}", "commands.c.wall_time", "with its unit"},
		{"{\"c\":{" ARGV ",\"wall_time\":\"99ms\"}}", "commands.c.wall_time", "from 100ms to 7d"},
		{"{\"c\":{" ARGV ",\"cpu_time\":\"8d\"}}", "commands.c.cpu_time", "from 1000ms to 7d"},
		{"{\"c\":{" ARGV ",\"memory\":\"1MiB\"}}", "commands.c.memory", "from 16777216"},
		{"{\"c\":{" ARGV ",\"memory\":5}}", "commands.c.memory", "with its unit"},
		{"{\"c\":{" ARGV ",\"output_max\":\"0\"}}", "commands.c.output_max", "from 1 "},
		{"{\"c\":{" ARGV ",\"version\":0}}", "commands.c.version", "from 1 "},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct world w;

		make(&w, cases[i].commands, "");
		if (w.r != ERR_BAD_CONFIG || strcmp(w.e.field, cases[i].field) != 0 || !strstr(w.e.detail, cases[i].says))
			print_error("%s:\n\t%d, %s, %s\n", cases[i].commands, w.r, w.e.field, w.e.detail);
		assert_int_equal(w.r, ERR_BAD_CONFIG);
		assert_int_equal(w.e.code, ERR_BAD_CONFIG);
		assert_string_equal(w.e.field, cases[i].field);
		assert_true(strncmp(w.e.detail, cases[i].field, strlen(cases[i].field)) == 0);
		assert_non_null(strstr(w.e.detail, cases[i].says));
		assert_null(w.t);
		/* Without a place for the details the answer is the same. */
		assert_int_equal(op_table_new(&w.t, str_of(cases[i].commands), STR(""), STR(""), &w.a, NULL), ERR_BAD_CONFIG);
		done(&w);
	}
}

static void a_changed_declaration_is_another_version(void **state)
{
	static const char *const declarations[] = {
		"{\"c\":{\"argv\":[\"/bin/x\"]}}",
		"{\"c\":{\"argv\":[\"/bin/x\",\"\"]}}",
		"{\"c\":{\"argv\":[\"/bin/x\"],\"suffix\":\".a\"}}",
		"{\"c\":{\"argv\":[\"/bin/x\"],\"output_types\":[\"text/plain\"]}}",
		"{\"c\":{\"argv\":[\"/bin/x\"],\"version\":2}}",
	};
	static const char same[] = "{\"c\":{\"wall_time\":\"1s\",\"summary\":\"x\",\"argv\":[ \"/bin/x\" ]}}";
	uint32_t versions[ARRAY_LEN(declarations)];
	struct world w;

	for (size_t i = 0; i < ARRAY_LEN(declarations); i++) {
		assert_made(&w, declarations[i], "");
		versions[i] = op_table_find(w.t, STR("c"))->version;
		for (size_t k = 0; k < i; k++)
			assert_true(versions[k] != versions[i]);
		done(&w);
	}
	assert_made(&w, same, "");
	assert_int_equal(op_table_find(w.t, STR("c"))->version, versions[0]);
	done(&w);
}

/* ---- what holds for single ops ---- */

static void what_is_said_of_an_op_is_known_of_it(void **state)
{
	static const char commands[] = "{\"c\":{" ARGV "}}", pipelines[] = "{\"p\":[\"gzip\"]}";
	static const char bounds[] = "{\"gzip\":{\"concurrency\":2,\"wall_time\":\"90s\"},\"md5\":{\"concurrency\":1000000},"
				     "\"c\":{\"max_attempts\":100,\"wall_time\":\"1s\"}}";
	const struct op_request *list;
	struct world w = {.e = ERR_INIT};
	size_t n;

	assert_int_equal(op_table_new(&w.t, STR(commands), STR(pipelines), STR(bounds), &w.a, &w.e), 0);
	assert_int_equal(op_table_find(w.t, STR("gzip"))->concurrency, 2);
	assert_int_equal(op_table_find(w.t, STR("gzip"))->wall_ms, 90000);
	assert_int_equal(op_table_find(w.t, STR("gzip"))->max_attempts, 0);
	assert_int_equal(op_table_find(w.t, STR("md5"))->concurrency, 1000000);
	assert_int_equal(op_table_find(w.t, STR("c"))->max_attempts, 100);
	assert_int_equal(op_table_find(w.t, STR("c"))->wall_ms, 1000);
	assert_int_equal(op_table_find(w.t, STR("zip"))->concurrency, 0);
	assert_int_equal(op_table_find(op_builtin_table(), STR("gzip"))->concurrency, 0);
	assert_int_equal(op_table_pipeline(w.t, STR("p"), &list, &n, &w.e), 0);
	assert_int_equal(list[0].op->concurrency, 2);
	done(&w);
}

static void what_cannot_hold_for_an_op_is_refused_where_it_stands(void **state)
{
	static const char commands[] = "{\"c\":{" ARGV ",\"wall_time\":\"2s\"}}";
	static const struct {
		const char *bounds, *field, *says;
	} cases[] = {
		{"{\"gzp\":{}}", "ops.gzp", "perhaps gzip"},
		{"{\"gzip\":2}", "ops.gzip", "must be a map"},
		{"{\"gzip\":{\"memory\":\"1GiB\"}}", "ops.gzip.memory", ""},
		{"{\"gzip\":{\"concurrency\":0}}", "ops.gzip.concurrency", "1 to 1000000"},
		{"{\"gzip\":{\"concurrency\":1000001}}", "ops.gzip.concurrency", "1 to 1000000"},
		{"{\"gzip\":{\"concurrency\":\"2\"}}", "ops.gzip.concurrency", "integer"},
		{"{\"gzip\":{\"max_attempts\":101}}", "ops.gzip.max_attempts", "1 to 100"},
		{"{\"gzip\":{\"wall_time\":\"99ms\"}}", "ops.gzip.wall_time", "100ms"},
		{"{\"gzip\":{\"wall_time\":5}}", "ops.gzip.wall_time", "unit"},
		{"{\"md5\":{\"wall_time\":\"5s\"}}", "ops.md5.wall_time", "runner.wall_time"},
		{"{\"c\":{\"wall_time\":\"5s\"}}", "ops.c.wall_time", "already"},
		{"[]", "ops", "must be a map"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct world w = {.e = ERR_INIT};

		w.r = op_table_new(&w.t, STR(commands), STR(""), str_of(cases[i].bounds), &w.a, &w.e);
		if (w.r != ERR_BAD_CONFIG || strcmp(w.e.field, cases[i].field) != 0 || !strstr(w.e.detail, cases[i].says))
			print_error("%s:\n\t%d, %s, %s\n", cases[i].bounds, w.r, w.e.field, w.e.detail);
		assert_int_equal(w.r, ERR_BAD_CONFIG);
		assert_string_equal(w.e.field, cases[i].field);
		assert_non_null(strstr(w.e.detail, cases[i].says));
		done(&w);
	}
}

/* ---- limits ---- */

/* {"c0":{…},"c1":{…},…} or for pipelines {"c0":["md5"],…} */
static char *many(size_t n, const char *each)
{
	struct buf b = BUF_INIT;

	buf_add_cstr(&b, "{");
	for (size_t i = 0; i < n; i++)
		buf_addf(&b, "%s\"c%zu\":%s", i > 0 ? "," : "", i, each);
	buf_add_cstr(&b, "}");
	return buf_steal(&b, NULL);
}

static void assert_limit(char *commands, char *pipelines, bool within, const char *field)
{
	struct world w;

	make(&w, commands, pipelines);
	if ((w.r == 0) != within)
		print_error("%s\n", w.e.detail);
	assert_int_equal(w.r, within ? 0 : ERR_BAD_CONFIG);
	if (!within)
		assert_string_equal(w.e.field, field);
	done(&w);
	if (commands[0] != '\0')
		free(commands);
	if (pipelines[0] != '\0')
		free(pipelines);
}

static char nothing[] = "";

static void there_are_at_most_64_commands_and_64_pipelines(void **state)
{
	struct world w;
	char *commands = many(64, "{" ARGV "}"), *pipelines = many(64, "[\"c63\", \"md5;after=1\"]");

	for (size_t more = 0; more <= 1; more++) {
		assert_limit(many(OP_COMMANDS_MAX + more, "{" ARGV "}"), nothing, more == 0, "commands");
		assert_limit(nothing, many(OP_PIPELINES_MAX + more, "[\"md5\"]"), more == 0, "pipelines");
	}
	/* With as many as there may be, the nearest name is still found. */
	assert_made(&w, commands, pipelines);
	struct op_request *list;
	const struct op_request *borrowed;
	size_t n;
	assert_int_equal(op_table_parse_list(w.t, &list, &n, STR("cc63"), &w.a, &w.e), ERR_UNKNOWN_OP);
	assert_string_equal(w.e.expected, "c63");
	assert_int_equal(op_table_pipeline(w.t, STR("cc63"), &borrowed, &n, &w.e), ERR_UNKNOWN_PIPELINE);
	assert_string_equal(w.e.expected, "c63");
	done(&w);
	free(commands);
	free(pipelines);
}

static char *with_words(size_t n)
{
	struct buf b = BUF_INIT;

	buf_add_cstr(&b, "{\"c\":{\"argv\":[\"/bin/x\"");
	for (size_t i = 1; i < n; i++)
		buf_add_cstr(&b, ",\"\"");
	buf_add_cstr(&b, "]}}");
	return buf_steal(&b, NULL);
}

static char *with_word_of(size_t bytes, size_t times)
{
	struct buf b = BUF_INIT;

	buf_add_cstr(&b, "{\"c\":{\"argv\":[\"/\"");
	for (size_t k = 0; k < times; k++) {
		buf_add_cstr(&b, ",\"");
		for (size_t i = 0; i < bytes; i++)
			buf_add_cstr(&b, "x");
		buf_add_cstr(&b, "\"");
	}
	buf_add_cstr(&b, "]}}");
	return buf_steal(&b, NULL);
}

static void a_command_has_at_most_64_words_of_at_most_4_kib(void **state)
{
	assert_limit(with_words(OP_ARGV_MAX), nothing, true, "");
	assert_limit(with_words(OP_ARGV_MAX + 1), nothing, false, "commands.c.argv");
	assert_limit(with_word_of(OP_WORD_MAX, 1), nothing, true, "");
	assert_limit(with_word_of(OP_WORD_MAX + 1, 1), nothing, false, "commands.c.argv[1]");
	/* each word of 3,071 bytes and its end, beside the program's two: 24 KiB hold seven of them, eight are two bytes too many */
	assert_limit(with_word_of(OP_COMMAND_LINE_MAX / 8 - 1, 7), nothing, true, "");
	assert_limit(with_word_of(OP_COMMAND_LINE_MAX / 8 - 1, 8), nothing, false, "commands.c.argv");
}

static void values_count_with_their_longest(void **state)
{
	static const char declaration[] =
		"{\"c\":{\"argv\":[\"/b\",\"%s\"],\"params\":{\"v\":{\"type\":\"string\",\"pattern\":\"x*\",\"max\":%d}}}}";
	char word[OP_COMMAND_LINE_MAX / 8 * 3 + 1], text[OP_COMMAND_LINE_MAX * 2];
	struct world w;

	word[0] = '\0';
	for (size_t i = 0; i < 96; i++)
		strcat(word, "{v}");
	/* "/b" and two ends are 4 bytes: 96 × 255 + 4 = 24,484 fit, one more {v} does not. */
	snprintf(text, sizeof(text), declaration, word, 255);
	assert_made(&w, text, "");
	done(&w);
	strcat(word, "{v}");
	snprintf(text, sizeof(text), declaration, word, 255);
	make(&w, text, "");
	assert_int_equal(w.r, ERR_BAD_CONFIG);
	assert_string_equal(w.e.field, "commands.c.argv");
	done(&w);
}

static char *with_params(size_t n, size_t words)
{
	struct buf b = BUF_INIT;

	buf_add_cstr(&b, "{\"c\":{\"argv\":[\"/bin/x\"");
	for (size_t i = 0; i < n; i++)
		buf_addf(&b, ",\"={p%zu}\"", i);
	buf_add_cstr(&b, "],\"params\":{");
	for (size_t i = 0; i < n; i++) {
		buf_addf(&b, "%s\"p%zu\":{\"type\":\"word\",\"words\":[\"a\"", i > 0 ? "," : "", i);
		for (size_t k = 1; k < words; k++)
			buf_addf(&b, ",\"w%zu\"", k);
		buf_add_cstr(&b, "]}");
	}
	buf_add_cstr(&b, "}}}");
	return buf_steal(&b, NULL);
}

static void a_command_has_at_most_16_params_of_at_most_64_words(void **state)
{
	assert_limit(with_params(OP_PARAMS_MAX, 1), nothing, true, "");
	assert_limit(with_params(OP_PARAMS_MAX + 1, 1), nothing, false, "commands.c.params");
	assert_limit(with_params(1, 64), nothing, true, "");
	assert_limit(with_params(1, 65), nothing, false, "commands.c.params.p0.words");
}

static void a_name_has_at_most_40_characters(void **state)
{
	struct world w;

	for (int n = OP_NAME_BYTES; n <= OP_NAME_BYTES + 1; n++) {
		char text[128];

		snprintf(text, sizeof(text), "{\"c%0*d\":{" ARGV "}}", n - 1, 0);
		make(&w, text, "");
		assert_int_equal(w.r, n == OP_NAME_BYTES ? 0 : ERR_BAD_CONFIG);
		done(&w);
		snprintf(text, sizeof(text), "{\"c%0*d\":[\"md5\"]}", n - 1, 0);
		make(&w, "", text);
		assert_int_equal(w.r, n == OP_NAME_BYTES ? 0 : ERR_BAD_CONFIG);
		done(&w);
	}
}

/* ---- pipelines ---- */

static void a_pipeline_is_a_list_of_ops_with_a_name(void **state)
{
	static const char pipelines[] = "{\"b\":[\"gzip;level=9\",\"md5;after=gzip\",\"md5\"],\"a\":[\"ocr;mode=fast\"]}";
	struct world w;
	const struct op_request *list;
	size_t n;
	struct buf b = BUF_INIT;

	assert_made(&w, ocr, pipelines);
	assert_int_equal(op_table_pipeline(w.t, STR("b"), &list, &n, &w.e), 0);
	assert_int_equal(n, 3);
	assert_ptr_equal(list[0].op, op_table_find(w.t, STR("gzip")));
	assert_str(list[0].params, "{\"level\":9}");
	assert_int_equal(list[1].after, 0);
	assert_int_equal(list[2].after, -1);
	assert_str(op_table_pipeline_text(w.t, STR("b")), "gzip;level=9, md5;after=gzip, md5");
	assert_null(op_table_pipeline_text(w.t, STR("c")).p);
	assert_int_equal(op_table_pipeline(w.t, STR("bb"), &list, &n, &w.e), ERR_UNKNOWN_PIPELINE);
	assert_string_equal(w.e.field, "pipeline");
	assert_string_equal(w.e.expected, "b");
	op_table_write_json(w.t, &b);
	assert_non_null(strstr(
		b.p,
		"\"pipelines\":[{\"name\":\"a\",\"ops\":\"ocr;mode=fast\"},{\"name\":\"b\",\"ops\":\"gzip;level=9, md5;after=gzip, md5\"}]"));
	buf_release(&b);
	done(&w);
}

static void wrong_pipelines_are_refused_with_their_place(void **state)
{
	static const struct {
		const char *pipelines, *field, *says;
	} cases[] = {
		{"[]", "pipelines", "must be a map"},
		{"{\"A\":[\"md5\"]}", "pipelines.A", "a to z first"},
		{"{\"a\":\"md5\"}", "pipelines.a", "a list of 1 to 32 ops"},
		{"{\"a\":[]}", "pipelines.a", "a list of 1 to 32 ops"},
		{"{\"a\":[\"md5\",5]}", "pipelines.a[1]", "must be an op"},
		{"{\"a\":[\"md5\",\"md6\"]}", "pipelines.a[1]", "no op named \"md6\""},
		{"{\"a\":[\"md5\",\"gzip;level=13\",\"sha1\"]}", "pipelines.a[1]", "an integer from 1 to 12"},
		{"{\"a\":[\"md5\",\"md5\"]}", "pipelines.a[1]", "twice"},
		{"{\"a\":[\"md5, sha1\"]}", "pipelines.a[0]", "must be one op"},
		{"{\"a\":[\"\"]}", "pipelines.a[0]", "must be one op"},
		{"{\"a\":[\"md5\",\"\"]}", "pipelines.a[1]", "comma"},
		{"{\"a\":[\"md5;after=gzip\",\"gzip\"]}", "pipelines.a[0]", "further up"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct world w;

		make(&w, "", cases[i].pipelines);
		if (w.r != ERR_BAD_CONFIG || strcmp(w.e.field, cases[i].field) != 0 || !strstr(w.e.detail, cases[i].says))
			print_error("%s:\n\t%d, %s, %s\n", cases[i].pipelines, w.r, w.e.field, w.e.detail);
		assert_int_equal(w.r, ERR_BAD_CONFIG);
		assert_int_equal(w.e.code, ERR_BAD_CONFIG);
		assert_string_equal(w.e.field, cases[i].field);
		assert_non_null(strstr(w.e.detail, cases[i].says));
		done(&w);
	}
}

static void a_pipeline_has_at_most_as_many_ops_as_an_upload(void **state)
{
	for (int n = OPS_MAX; n <= OPS_MAX + 1; n++) {
		struct buf b = BUF_INIT;
		struct world w;

		buf_add_cstr(&b, "{\"a\":[\"gzip;level=1\"");
		for (int i = 1; i < n; i++)
			buf_addf(&b, ",\"gzip;level=1;after=%d\"", i);
		buf_add_cstr(&b, "]}");
		make(&w, "", b.p);
		assert_int_equal(w.r, n == OPS_MAX ? 0 : ERR_BAD_CONFIG);
		done(&w);
		buf_release(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_declared_leaves_the_built_in_ops),
		cmocka_unit_test(a_command_is_an_op_among_the_others),
		cmocka_unit_test(the_words_of_a_command_get_their_values),
		cmocka_unit_test(a_value_is_never_more_than_one_word),
		cmocka_unit_test(a_value_that_begins_a_word_is_no_option),
		cmocka_unit_test(wrong_declarations_are_refused_with_their_place),
		cmocka_unit_test(a_changed_declaration_is_another_version),
		cmocka_unit_test(what_is_said_of_an_op_is_known_of_it),
		cmocka_unit_test(what_cannot_hold_for_an_op_is_refused_where_it_stands),
		cmocka_unit_test(there_are_at_most_64_commands_and_64_pipelines),
		cmocka_unit_test(a_command_has_at_most_64_words_of_at_most_4_kib),
		cmocka_unit_test(values_count_with_their_longest),
		cmocka_unit_test(a_command_has_at_most_16_params_of_at_most_64_words),
		cmocka_unit_test(a_name_has_at_most_40_characters),
		cmocka_unit_test(a_pipeline_is_a_list_of_ops_with_a_name),
		cmocka_unit_test(wrong_pipelines_are_refused_with_their_place),
		cmocka_unit_test(a_pipeline_has_at_most_as_many_ops_as_an_upload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
