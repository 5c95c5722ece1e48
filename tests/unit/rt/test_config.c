#include "base/compiler.h"
#include "base/fd.h"
#include "rt/config.h"
#include "rt/json_in.h"

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct settings {
	const char *listen, *dir;
	int64_t port, keep_ms, offset;
	uint64_t max_body, cache;
	bool tls, compat;
	struct config_list origins;
	int format;
	struct str tasks;
};

static const char *const formats[] = {"auto", "text", "json", NULL};

#define AT(member) offsetof(struct settings, member)
static const struct config_option options[] = {
	{"http", "listen", "listen", CONFIG_STRING, AT(listen), "127.0.0.1:8080", 0, 0, NULL, "Where to listen"},
	{"http", "port", NULL, CONFIG_INT, AT(port), "8080", 1, 65535, NULL, "The port"},
	{"http", "max_body", NULL, CONFIG_SIZE, AT(max_body), "64 MiB", 1024, INT64_MAX, NULL, "The largest body"},
	{"http", "tls", NULL, CONFIG_BOOL, AT(tls), "false", 0, 0, NULL, "Speak TLS"},
	{"http", "origins", NULL, CONFIG_LIST, AT(origins), "a,b", 0, 0, NULL, "Allowed origins"},
	{"jobs", "keep", NULL, CONFIG_DURATION, AT(keep_ms), "7d", 1000, 30 * INT64_C(86400000), NULL, "How long results stay"},
	{"jobs", "offset", NULL, CONFIG_INT, AT(offset), NULL, 0, 0, NULL, "Any number"},
	{"log", "format", NULL, CONFIG_ENUM, AT(format), "auto", 0, 0, formats, "How the log is written"},
	{"storage", "dir", "data", CONFIG_STRING, AT(dir), NULL, 0, 0, NULL, "The data directory"},
	{"storage", "cache", NULL, CONFIG_SIZE, AT(cache), NULL, 0, 0, NULL, "Memory for the cache"},
	{"surfaces.hash_tasks", "on", NULL, CONFIG_BOOL, AT(compat), "true", 0, 0, NULL, "Offer the surface"},
	{"", "tasks", NULL, CONFIG_JSON, AT(tasks), "", 0, 0, NULL, "What else there is to do"},
};

static int open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* One load: the world a test sets, and what came of it. */
struct load {
	const char *yaml; /* file content, or NULL */
	size_t yaml_len; /* 0: up to the NUL */
	char *env[8], *args[8]; /* NULL-terminated */

	struct settings s;
	struct arena strings;
	struct err e;
	int r;
	char dir[32];
};

static void run(struct load *l)
{
	struct config_source src = {.environ = l->env, .argv = l->args};
	char path[64];
	int before = open_descriptors();

	memset(&l->s, 0xee, sizeof(l->s)); /* every setting is to be written */
	l->e = ERR_INIT;
	strcpy(l->dir, "/tmp/filemill-config-XXXXXX");
	assert_non_null(mkdtemp(l->dir));
	snprintf(path, sizeof(path), "%s/f.yaml", l->dir);
	if (l->yaml) {
		FILE *f = fopen(path, "we");

		fwrite(l->yaml, 1, l->yaml_len > 0 ? l->yaml_len : strlen(l->yaml), f);
		fclose(f);
		src.file = path;
	}
	while (l->args[src.argc])
		src.argc++;
	l->r = config_load(&l->s, options, ARRAY_LEN(options), &src, &l->strings, &l->e);
	unlink(path);
	assert_int_equal(rmdir(l->dir), 0);
	assert_int_equal(open_descriptors(), before);
}

static void done(struct load *l)
{
	arena_release(&l->strings);
}

/* The whole text of an error; of the file's path only what follows its directory. */
static void check_error(struct load *l, int code, const char *detail)
{
	const char *text;

	run(l);
	text = l->e.detail;
	if (strncmp(text, l->dir, strlen(l->dir)) == 0)
		text += strlen(l->dir) + 1;
	assert_string_equal(text, detail);
	assert_int_equal(l->r, code);
	assert_int_equal(l->e.code, code);
	done(l);
}

static void without_any_source_the_defaults_hold(void **state)
{
	struct load l = {};

	run(&l);
	assert_int_equal(l.r, 0);
	assert_string_equal(l.s.listen, "127.0.0.1:8080");
	assert_string_equal(l.s.dir, "");
	assert_int_equal(l.s.port, 8080);
	assert_int_equal(l.s.max_body, 64 << 20);
	assert_false(l.s.tls);
	assert_true(l.s.compat);
	assert_int_equal(l.s.keep_ms, 7 * 86400000);
	assert_int_equal(l.s.format, 0);
	assert_int_equal(l.s.origins.n, 2);
	assert_string_equal(l.s.origins.items[0], "a");
	assert_string_equal(l.s.origins.items[1], "b");
	done(&l);
}

static void a_setting_without_default_is_zero(void **state)
{
	struct load l = {};

	run(&l);
	assert_int_equal(l.s.offset, 0);
	assert_int_equal(l.s.cache, 0);
	done(&l);
}

static void the_file_sets_every_kind(void **state)
{
	struct load l = {.yaml = "# comment\n"
				 "http:\n"
				 "  listen: \"[::]:80\"\n"
				 "  port: 443\n"
				 "  max_body: 2 GiB\n"
				 "  tls: true\n"
				 "  origins: [x, 'y, z']\n"
				 "jobs: {keep: 36h, offset: -5}\n"
				 "log:\n"
				 "storage:\n"
				 "  dir: ''\n"
				 "surfaces:\n"
				 "  hash_tasks:\n"
				 "    on: false\n"};

	run(&l);
	assert_int_equal(l.r, 0);
	assert_string_equal(l.s.listen, "[::]:80");
	assert_int_equal(l.s.port, 443);
	assert_true(l.s.max_body == UINT64_C(2) << 30);
	assert_true(l.s.tls);
	assert_false(l.s.compat);
	assert_int_equal(l.s.keep_ms, 36 * 3600000);
	assert_int_equal(l.s.offset, -5);
	assert_string_equal(l.s.dir, "");
	assert_int_equal(l.s.origins.n, 2);
	assert_string_equal(l.s.origins.items[1], "y, z");
	done(&l);
}

static void later_sources_win(void **state)
{
	struct load l = {.yaml = "http:\n  port: 1\n  tls: true\n  listen: file\njobs:\n  offset: 1\n"};

	run(&l);
	assert_int_equal(l.s.port, 1);
	done(&l);
	l.env[0] = (char[]){"FILEMILL_HTTP_PORT=2"};
	l.env[1] = (char[]){"FILEMILL_HTTP_TLS=false"};
	l.env[2] = (char[]){"FILEMILL_SURFACES_HASH_TASKS_ON=false"};
	l.env[3] = (char[]){"OTHER_HTTP_PORT=9"};
	l.env[4] = (char[]){"FILEMILL"};
	run(&l);
	assert_int_equal(l.s.port, 2);
	assert_false(l.s.tls);
	assert_false(l.s.compat);
	assert_string_equal(l.s.listen, "file");
	done(&l);
	l.args[0] = (char[]){"--http-port"};
	l.args[1] = (char[]){"3"};
	l.args[2] = (char[]){"--http-tls"};
	run(&l);
	assert_int_equal(l.r, 0);
	assert_int_equal(l.s.port, 3);
	assert_true(l.s.tls);
	assert_int_equal(l.s.offset, 1);
	done(&l);
}

static void flags_have_several_forms(void **state)
{
	struct load l = {.args = {(char[]){"--listen=x=y"}, (char[]){"--data"}, (char[]){"-"}, (char[]){"--no-surfaces-hash-tasks-on"},
				  (char[]){"--http-tls=true"}, (char[]){"--http-max-body=1 MB"}, (char[]){"--jobs-offset=-3"}}};

	run(&l);
	assert_int_equal(l.r, 0);
	assert_string_equal(l.s.listen, "x=y");
	assert_string_equal(l.s.dir, "-");
	assert_false(l.s.compat);
	assert_true(l.s.tls);
	assert_int_equal(l.s.max_body, 1000000);
	assert_int_equal(l.s.offset, -3);
	done(&l);
}

static void a_repeated_list_flag_appends_to_the_first(void **state)
{
	struct load l = {.yaml = "http:\n  origins: [file]\n",
			 .args = {(char[]){"--http-origins"}, (char[]){"p, q"}, (char[]){"--http-origins=r"}}};

	run(&l);
	assert_int_equal(l.r, 0);
	assert_int_equal(l.s.origins.n, 3);
	assert_string_equal(l.s.origins.items[0], "p");
	assert_string_equal(l.s.origins.items[1], "q");
	assert_string_equal(l.s.origins.items[2], "r");
	done(&l);
}

static void a_list_can_be_emptied(void **state)
{
	struct load l = {.env = {(char[]){"FILEMILL_HTTP_ORIGINS="}}}, file = {.yaml = "http: {origins: []}\n"};

	run(&l);
	assert_int_equal(l.r, 0);
	assert_int_equal(l.s.origins.n, 0);
	done(&l);
	run(&file);
	assert_int_equal(file.r, 0);
	assert_int_equal(file.s.origins.n, 0);
	done(&file);
}

static void a_list_holds_256_members(void **state)
{
	for (int n = 255; n <= 257; n++) {
		struct buf text = BUF_INIT;
		struct load l = {};

		buf_add_cstr(&text, "http:\n  origins:\n");
		for (int i = 0; i < n; i++)
			buf_addf(&text, "  - m%d\n", i);
		l.yaml = text.p;
		run(&l);
		assert_int_equal(l.r, n <= 256 ? 0 : ERR_BAD_CONFIG);
		if (n <= 256) {
			assert_int_equal(l.s.origins.n, n);
			assert_string_equal(l.s.origins.items[254], "m254");
		} else {
			assert_int_equal(l.e.limit, 256);
		}
		done(&l);
		buf_release(&text);
	}
}

static void check_tasks(struct load *l, const char *json)
{
	run(l);
	assert_int_equal(l->r, 0);
	assert_int_equal(l->s.tasks.len, strlen(json));
	assert_memory_equal(l->s.tasks.p, json, strlen(json) + 1);
	done(l);
}

static void a_free_map_becomes_json_with_its_types(void **state)
{
	static const char yaml[] = "tasks:\n"
				   "  ocr:\n"
				   "    argv: [/usr/bin/tesseract, \"-\", \"{lang}\", \"10\", 'true']\n"
				   "    params: {lang: {pattern: \"[a-z]{3}\", default: eng}, n: {min: -1, max: 20, step: 1.5e3}}\n"
				   "    on: true\n"
				   "    off: false\n"
				   "    wall_time: 60s\n"
				   "  words: [yes, on, 0x10, 0123, 1_000, .5, 1., -1a, +1, 1e, 12:30, 2026-01-01, True]\n"
				   "  text: |\n"
				   "    a \"quote\"\n"
				   "  \"\": ''\n";

	check_tasks(
		&(struct load){.yaml = yaml},
		"{\"ocr\":{\"argv\":[\"/usr/bin/tesseract\",\"-\",\"{lang}\",\"10\",\"true\"],"
		"\"params\":{\"lang\":{\"pattern\":\"[a-z]{3}\",\"default\":\"eng\"},\"n\":{\"min\":-1,\"max\":20,\"step\":1.5e3}},"
		"\"on\":true,\"off\":false,\"wall_time\":\"60s\"},"
		"\"words\":[\"yes\",\"on\",\"0x10\",\"0123\",\"1_000\",\".5\",\"1.\",\"-1a\",\"+1\",\"1e\",\"12:30\",\"2026-01-01\",\"True\"],"
		"\"text\":\"a \\\"quote\\\"\\n\",\"\":\"\"}");
}

static void a_free_map_may_be_empty_or_missing(void **state)
{
	check_tasks(&(struct load){}, "");
	check_tasks(&(struct load){.yaml = "tasks:\nlog:\n"}, "");
	check_tasks(&(struct load){.yaml = "tasks: {}\n"}, "{}");
	check_tasks(&(struct load){.yaml = "tasks: {a: 1}\n", .env = {(char[]){"FILEMILL_TASKS="}}}, "");
}

static void a_free_map_is_json_text_in_the_environment_and_in_flags(void **state)
{
	check_tasks(&(struct load){.yaml = "tasks: {a: 1}\n", .env = {(char[]){"FILEMILL_TASKS= {\"b\": [2, \"x\"]} "}}},
		    "{\"b\": [2, \"x\"]}");
	check_tasks(&(struct load){.env = {(char[]){"FILEMILL_TASKS={}"}}, .args = {(char[]){"--tasks"}, (char[]){"{\"c\":3}"}}},
		    "{\"c\":3}");
}

/* `levels` mappings within each other, the one of `tasks` counted. */
static void add_nested(struct buf *out, int levels)
{
	for (int i = 0; i < levels; i++)
		buf_add_cstr(out, "{\"a\":");
	buf_add_cstr(out, "1");
	for (int i = 0; i < levels; i++)
		buf_add_cstr(out, "}");
}

static void a_free_map_is_at_most_eight_levels_deep(void **state)
{
	for (int levels = 7; levels <= 9; levels++) {
		struct buf text = BUF_INIT, variable = BUF_INIT;
		int expected = levels <= CONFIG_JSON_DEPTH_MAX ? 0 : ERR_BAD_CONFIG;
		struct load file = {}, env = {};

		buf_add_cstr(&text, "tasks: ");
		add_nested(&text, levels);
		file.yaml = text.p;
		run(&file);
		assert_int_equal(file.r, expected);
		done(&file);
		buf_add_cstr(&variable, "FILEMILL_TASKS=");
		add_nested(&variable, levels);
		env.env[0] = variable.p;
		run(&env);
		assert_int_equal(env.r, expected);
		done(&env);
		buf_release(&text);
		buf_release(&variable);
	}
}

static void a_free_map_is_bounded_in_members_and_bytes(void **state)
{
	for (int n = CONFIG_JSON_MEMBERS_MAX - 1; n <= CONFIG_JSON_MEMBERS_MAX + 1; n++) {
		struct buf text = BUF_INIT;
		struct load l = {};

		buf_add_cstr(&text, "tasks:\n");
		for (int i = 0; i < n; i++)
			buf_addf(&text, "  m%d: %d\n", i, i);
		l.yaml = text.p;
		run(&l);
		assert_int_equal(l.r, n <= CONFIG_JSON_MEMBERS_MAX ? 0 : ERR_BAD_CONFIG);
		done(&l);
		buf_release(&text);
	}
	for (size_t size = CONFIG_JSON_MAX - 1; size <= CONFIG_JSON_MAX + 1; size++) {
		struct buf text = BUF_INIT;
		struct load l = {};

		/* {"a":"…"} has eight bytes beside its value. */
		buf_add_cstr(&text, "tasks: {a: \"");
		for (size_t i = 0; i < size - 8; i++)
			buf_add_char(&text, 'x');
		buf_add_cstr(&text, "\"}\n");
		l.yaml = text.p;
		run(&l);
		assert_int_equal(l.r, size <= CONFIG_JSON_MAX ? 0 : ERR_BAD_CONFIG);
		assert_int_equal(l.e.limit, size <= CONFIG_JSON_MAX ? -1 : CONFIG_JSON_MAX);
		done(&l);
		buf_release(&text);
	}
}

static void mistakes_in_a_free_map_are_named_with_their_place(void **state)
{
	static const struct {
		const char *yaml, *detail;
	} cases[] = {
		{"tasks:\n  a: 1\n  b: 2\n  a: 3\n", "f.yaml:4:3: tasks.a: stands here a second time; the first is in line 2"},
		{"tasks:\n  a: {b: {c: 1, c: 2}}\n", "f.yaml:2:17: tasks.a.b.c: stands here a second time; the first is in line 2"},
		{"tasks:\n  a: [{b: 1, b: 1}]\n", "f.yaml:2:14: tasks.a.b: stands here a second time; the first is in line 2"},
		{"tasks: 3\n", "f.yaml:1:8: tasks: expected names, and what belongs to each indented below it"},
		{"tasks: [a]\n", "f.yaml:1:8: tasks: expected names, and what belongs to each indented below it"},
		{"tasks: {a: }\n", "f.yaml:1:9: tasks.a: no value is given"},
		{"tasks: {a: [b, ~]}\n", "f.yaml:1:16: tasks.a: no value is given"},
		{"tasks:\n  ? [a]\n  : 3\n", "f.yaml:2:5: tasks: a key must be a plain word"},
		{"tasks: {a: 9223372036854775808}\n", "f.yaml:1:12: tasks.a: \"9223372036854775808\" is too large a number"},
		{"tasks: {a: 1e999}\n", "f.yaml:1:12: tasks.a: \"1e999\" is too large a number"},
		{"tasks: {a: \"b\\0\"}\n", "f.yaml:1:13: tasks.a: a text must not have a NUL in it"},
		{"tasks: {a: [*x]}\n", "f.yaml:1:14: aliases are not supported"},
		{"tasks: {a: {<<: *x}}\n", "f.yaml:1:18: aliases are not supported"},
		{"task: {a: 1}\n", "f.yaml:1:1: task: no such setting; did you mean tasks?"},
	};
	static const char *const variables[][2] = {
		{"FILEMILL_TASKS=[1]", "FILEMILL_TASKS: expected a JSON object, such as {\"name\": \u2026}, not \"[1]\""},
		{"FILEMILL_TASKS={\"a\":1,\"a\":2}", NULL},
		{"FILEMILL_TASKS={\"a\":1", NULL},
		{"FILEMILL_TASKS=a: 1", NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		check_error(&(struct load){.yaml = cases[i].yaml}, ERR_BAD_CONFIG, cases[i].detail);
	for (size_t i = 0; i < ARRAY_LEN(variables); i++) {
		char entry[128];
		struct load l = {.env = {entry}};

		strcpy(entry, variables[i][0]);
		if (variables[i][1]) {
			check_error(&l, ERR_BAD_CONFIG, variables[i][1]);
			continue;
		}
		run(&l);
		assert_int_equal(l.r, ERR_BAD_CONFIG);
		assert_non_null(strstr(l.e.detail, "FILEMILL_TASKS: not valid JSON: line 1, column "));
		done(&l);
	}
}

static void mistakes_in_the_file_are_named_with_their_place(void **state)
{
	static const struct {
		const char *yaml, *detail;
	} cases[] = {
		{"http:\n  prot: 80\n", "f.yaml:2:3: http.prot: no such setting; did you mean http.port?"},
		{"htpt:\n  port: 80\n", "f.yaml:1:1: htpt: no such setting; did you mean http?"},
		{"surfaces:\n  hash_task:\n    on: true\n",
		 "f.yaml:2:3: surfaces.hash_task: no such setting; did you mean surfaces.hash_tasks?"},
		{"jobs:\n  max_body: 1 MiB\n", "f.yaml:2:3: jobs.max_body: no such setting; did you mean http.max_body?"},
		{"http:\n  zzzzzzzzzz: 80\n", "f.yaml:2:3: http.zzzzzzzzzz: no such setting"},
		{"<<: {a: 1}\n", "f.yaml:1:1: <<: no such setting"},
		{"http:\n  port: 80x\n", "f.yaml:2:9: http.port: expected a whole number, not \"80x\""},
		{"http:\n  port: 0\n", "f.yaml:2:9: http.port: expected 1 to 65535, not \"0\""},
		{"http:\n  port: 65536\n", "f.yaml:2:9: http.port: expected 1 to 65535, not \"65536\""},
		{"http:\n  port: 9223372036854775808\n", "f.yaml:2:9: http.port: \"9223372036854775808\" is too large a number"},
		{"http:\n  port: [80]\n", "f.yaml:2:9: http.port: expected one value"},
		{"http:\n  port: {a: 1}\n", "f.yaml:2:9: http.port: expected one value"},
		{"http:\n  port:\n", "f.yaml:2:3: http.port: no value is given"},
		{"http:\n  listen: null\n", "f.yaml:2:11: http.listen: no value is given"},
		{"http:\n  listen: \"a\\0b\"\n", "f.yaml:2:12: http.listen: a text must not have a NUL in it"},
		{"http:\n  max_body: 64\n",
		 "f.yaml:2:13: http.max_body: expected a size with its unit (B KiB MiB GiB TiB kB MB GB), not \"64\""},
		{"http:\n  max_body: 1023 B\n", "f.yaml:2:13: http.max_body: expected at least 1 KiB, not \"1023 B\""},
		{"http:\n  tls: yes\n", "f.yaml:2:8: http.tls: expected true or false, not \"yes\""},
		{"http:\n  origins: a,b\n", "f.yaml:2:12: http.origins: expected a list, such as [a, b]"},
		{"http:\n  origins: [a, [b]]\n", "f.yaml:2:16: http.origins: expected a list of plain values"},
		{"http:\n  origins: [a, '']\n", "f.yaml:2:17: http.origins: a list must not have an empty member"},
		{"http:\n  origins:\n    - a\n    - ~\n", "f.yaml:4:7: http.origins: a list must not have an empty member"},
		{"jobs:\n  keep: 30\n", "f.yaml:2:9: jobs.keep: expected a duration with its unit (ms s m h d), not \"30\""},
		{"jobs:\n  keep: 999ms\n", "f.yaml:2:9: jobs.keep: expected 1s to 30d, not \"999ms\""},
		{"jobs:\n  keep: 31d\n", "f.yaml:2:9: jobs.keep: expected 1s to 30d, not \"31d\""},
		{"log:\n  format: yaml\n", "f.yaml:2:11: log.format: expected one of auto, text, json, not \"yaml\""},
		{"http: 3\n", "f.yaml:1:7: http: is a section: expected its settings, indented below it"},
		{"http: [a]\n", "f.yaml:1:7: http: is a section: expected its settings, indented below it"},
		{"http.port: 3\n",
		 "f.yaml:1:1: http.port: a key must not have a dot in it: write the section, and its keys indented below it"},
		{"http:\n  port: 1\n  port: 2\n", "f.yaml:3:3: http.port: stands here a second time; the first is in line 2"},
		{"http:\n  port: 1\nlog:\nhttp:\n", "f.yaml:4:1: http: stands here a second time; the first is in line 1"},
		{"? [a]\n: 3\n", "f.yaml:1:3: a key must be a plain word"},
		{"- a\n", "f.yaml:1:1: expected sections with settings"},
		{"word\n", "f.yaml:1:1: expected sections with settings"},
		{"log:\n---\nlog:\n", "f.yaml:2:1: expected one document only"},
		{"http:\n  listen: &x a\n", "f.yaml:2:14: anchors are not supported"},
		{"http: &x\n  port: 1\n", "f.yaml:2:3: anchors are not supported"},
		{"http:\n  listen: *x\n", "f.yaml:2:12: aliases are not supported"},
		{"http:\n  origins: [*x, *x]\n", "f.yaml:2:14: aliases are not supported"},
		{"http:\n  port: !!int 80\n", "f.yaml:2:15: tags are not supported"},
		{"http:\n  listen: a\xff\n", "f.yaml:2:12: not valid UTF-8"},
		{"http:\n  listen: \xc3\xa4\x01\n", "f.yaml:2:12: a control character is not allowed"},
		{"http: {port: 1\n", "f.yaml:2:1: not valid YAML: missing comma in flow mapping"},
		{"http:\n\tport: 1\n", "f.yaml:2:1: not valid YAML: tab character may not be used as indentation"},
		{"http:\n  listen: \"a\n", "f.yaml:2:12: not valid YAML: double-quoted scalar without closing quote"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		check_error(&(struct load){.yaml = cases[i].yaml}, ERR_BAD_CONFIG, cases[i].detail);
}

static void a_nul_byte_does_not_end_the_file_early(void **state)
{
	static const char yaml[] = "log:\n\0bad: 1\n";

	check_error(&(struct load){.yaml = yaml, .yaml_len = sizeof(yaml) - 1}, ERR_BAD_CONFIG,
		    "f.yaml:2:1: a control character is not allowed");
}

static void mistakes_in_the_environment_are_named(void **state)
{
	static const char *const cases[][2] = {
		{"FILEMILL_HTTP_PROT=80", "FILEMILL_HTTP_PROT: no such setting; did you mean FILEMILL_HTTP_PORT?"},
		{"FILEMILL_http_port=80", "FILEMILL_http_port: no such setting"},
		{"FILEMILL_=80", "FILEMILL_: no such setting"},
		{"FILEMILL_HTTP_PORT=", "FILEMILL_HTTP_PORT: expected a whole number, not \"\""},
		{"FILEMILL_HTTP_TLS=1", "FILEMILL_HTTP_TLS: expected true or false, not \"1\""},
		{"FILEMILL_HTTP_ORIGINS=a,,b", "FILEMILL_HTTP_ORIGINS: a list must not have an empty member"},
		{"FILEMILL_HTTP_TLS=a\nvery long value that goes on and on and on and on",
		 "FILEMILL_HTTP_TLS: expected true or false, not \"a?very long value that goes on and on and on\u2026\""},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char entry[128];

		strcpy(entry, cases[i][0]);
		check_error(&(struct load){.env = {entry}}, ERR_BAD_CONFIG, cases[i][1]);
	}
}

static void mistakes_in_flags_are_named(void **state)
{
	static const struct {
		const char *args[2], *detail;
	} cases[] = {
		{{"--http-prot", "80"}, "--http-prot: no such flag; did you mean --http-port?"},
		{{"--dota=x"}, "--dota: no such flag; did you mean --data?"},
		{{"--http.port=1"}, "--http.port: no such flag; did you mean --http-port?"},
		{{"--no-http-port"}, "--no-http-port: no such flag; did you mean --http-port?"},
		{{"--"}, "unexpected argument \"--\""},
		{{"-p"}, "unexpected argument \"-p\""},
		{{"word"}, "unexpected argument \"word\""},
		{{"--http-port"}, "--http-port: needs a value"},
		{{"--http-port", "--http-tls"}, "--http-port: needs a value"},
		{{"--no-http-tls=true"}, "--no-http-tls: takes no value"},
		{{"--http-tls", "true"}, "unexpected argument \"true\""},
		{{"--http-port=0"}, "--http-port: expected 1 to 65535, not \"0\""},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char first[64], second[64];
		struct load l = {.args = {first, cases[i].args[1] ? second : NULL}};

		strcpy(first, cases[i].args[0]);
		strcpy(second, cases[i].args[1] ? cases[i].args[1] : "");
		check_error(&l, ERR_USAGE, cases[i].detail);
	}
}

static void a_file_that_cannot_be_read_is_an_error(void **state)
{
	struct config_source src = {.file = "/nonexistent/filemill.yaml"};
	struct arena strings = ARENA_INIT;
	struct err e = ERR_INIT;
	struct settings s;

	assert_int_equal(config_load(&s, options, ARRAY_LEN(options), &src, &strings, &e), ERR_BAD_CONFIG);
	assert_string_equal(e.detail, "cannot open the configuration file /nonexistent/filemill.yaml: No such file or directory");
	src.file = "/tmp";
	assert_int_equal(config_load(&s, options, ARRAY_LEN(options), &src, &strings, &e), ERR_BAD_CONFIG);
	assert_string_equal(e.detail, "cannot read the configuration file /tmp: Is a directory");
	arena_release(&strings);
}

static void a_file_may_be_one_mebibyte_long(void **state)
{
	static char yaml[(1 << 20) + 2];

	for (size_t n = (1 << 20) - 1; n <= (1 << 20) + 1; n++) {
		struct load l = {.yaml = yaml, .yaml_len = n};

		memset(yaml, '#', n);
		run(&l);
		assert_int_equal(l.r, n <= 1 << 20 ? 0 : ERR_BAD_CONFIG);
		assert_int_equal(l.e.limit, n <= 1 << 20 ? -1 : 1 << 20);
		done(&l);
	}
}

static void deep_nesting_costs_nothing(void **state)
{
	static const char *const starts[] = {"", "http: ", "http:\n  listen: ", "tasks: {a: "};
	static const char *const openers[] = {"[", "{a: ", "{http: "};

	for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
		for (size_t k = 0; k < ARRAY_LEN(openers); k++) {
			struct buf text = BUF_INIT;
			struct load l = {};

			buf_add_cstr(&text, starts[i]);
			for (int n = 0; n < 100000; n++)
				buf_add_cstr(&text, openers[k]);
			l.yaml = text.p;
			run(&l);
			assert_int_equal(l.r, ERR_BAD_CONFIG);
			done(&l);
			buf_release(&text);
		}
	}
}

static void sizes_have_units(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} cases[] = {
		{"0", 0},
		{"0 B", 0},
		{"1B", 1},
		{"1 kB", 1000},
		{"1KiB", 1024},
		{"3 MB", 3000000},
		{"3MiB", 3 << 20},
		{"1 GB", 1000000000},
		{"1  GiB", 1 << 30},
		{"2TiB", UINT64_C(2) << 40},
		{"16777215 TiB", UINT64_C(16777215) << 40},
		{"18446744073709551615B", UINT64_MAX},
	};
	static const char *const wrong[] = {"",
					    "1",
					    "B",
					    "1 kb",
					    "1 KB",
					    "1K",
					    "-1 B",
					    "1.5 MiB",
					    "1 B B",
					    "0x1 B",
					    "1 PiB",
					    "16777216 TiB",
					    "18446744073709551616B",
					    " 1 B"};
	uint64_t v = 77;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(config_parse_size(&v, str_of(cases[i].text), NULL), 0);
		assert_true(v == cases[i].bytes);
	}
	v = 77;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(config_parse_size(&v, str_of(wrong[i]), NULL), ERR_BAD_CONFIG);
	assert_int_equal(v, 77);
}

static void durations_have_units(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} cases[] = {
		{"0", 0},
		{"5ms", 5},
		{"5 s", 5000},
		{"5m", 300000},
		{"5h", 18000000},
		{"5d", 432000000},
		{"9223372036854775807ms", INT64_MAX},
		{"106751991167d", INT64_C(106751991167) * 86400000},
	};
	static const char *const wrong[] = {"", "5", "s", "5S", "5min", "-5s", "1.5s", "9223372036854775808ms", "106751991168d", "5s5s"};
	int64_t v = 77;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(config_parse_duration(&v, str_of(cases[i].text), NULL), 0);
		assert_true(v == cases[i].ms);
	}
	v = 77;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(config_parse_duration(&v, str_of(wrong[i]), NULL), ERR_BAD_CONFIG);
	assert_int_equal(v, 77);
}

static void the_help_lists_every_option(void **state)
{
	struct buf out = BUF_INIT;

	config_help(&out, options, ARRAY_LEN(options));
	assert_true(buf_ok(&out));
	assert_string_equal(out.p, "  --listen, --http-listen TEXT   Where to listen (default 127.0.0.1:8080)\n"
				   "  --http-port N                  The port (1 to 65535; default 8080)\n"
				   "  --http-max-body SIZE           The largest body (at least 1 KiB; default 64 MiB)\n"
				   "  --[no-]http-tls                Speak TLS (default false)\n"
				   "  --http-origins A,B             Allowed origins (default a,b)\n"
				   "  --jobs-keep TIME               How long results stay (1s to 30d; default 7d)\n"
				   "  --jobs-offset N                Any number\n"
				   "  --log-format WORD              How the log is written (auto, text, json; default auto)\n"
				   "  --data, --storage-dir TEXT     The data directory\n"
				   "  --storage-cache SIZE           Memory for the cache\n"
				   "  --[no-]surfaces-hash-tasks-on  Offer the surface (default true)\n"
				   "  --tasks JSON                   What else there is to do\n");
	buf_release(&out);
}

static void the_json_list_has_every_spelling(void **state)
{
	struct buf out = BUF_INIT;
	json_t *json = NULL, *o;

	config_json(&out, options, ARRAY_LEN(options));
	assert_true(buf_ok(&out));
	assert_int_equal(json_read(&json, buf_str(&out), NULL), 0);
	assert_int_equal(json_array_size(json), ARRAY_LEN(options));
	o = json_array_get(json, 10);
	assert_string_equal(json_string_value(json_object_get(o, "name")), "surfaces.hash_tasks.on");
	assert_string_equal(json_string_value(json_object_get(o, "flag")), "surfaces-hash-tasks-on");
	assert_string_equal(json_string_value(json_object_get(o, "environment")), "FILEMILL_SURFACES_HASH_TASKS_ON");
	assert_string_equal(json_string_value(json_object_get(o, "default")), "true");
	o = json_array_get(json, 0);
	assert_string_equal(json_string_value(json_object_get(o, "short_flag")), "listen");
	o = json_array_get(json, 7);
	assert_int_equal(json_array_size(json_object_get(o, "words")), 3);
	json_decref(json);
	buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_any_source_the_defaults_hold),
		cmocka_unit_test(a_setting_without_default_is_zero),
		cmocka_unit_test(the_file_sets_every_kind),
		cmocka_unit_test(later_sources_win),
		cmocka_unit_test(flags_have_several_forms),
		cmocka_unit_test(a_repeated_list_flag_appends_to_the_first),
		cmocka_unit_test(a_list_can_be_emptied),
		cmocka_unit_test(a_list_holds_256_members),
		cmocka_unit_test(a_free_map_becomes_json_with_its_types),
		cmocka_unit_test(a_free_map_may_be_empty_or_missing),
		cmocka_unit_test(a_free_map_is_json_text_in_the_environment_and_in_flags),
		cmocka_unit_test(a_free_map_is_at_most_eight_levels_deep),
		cmocka_unit_test(a_free_map_is_bounded_in_members_and_bytes),
		cmocka_unit_test(mistakes_in_a_free_map_are_named_with_their_place),
		cmocka_unit_test(mistakes_in_the_file_are_named_with_their_place),
		cmocka_unit_test(a_nul_byte_does_not_end_the_file_early),
		cmocka_unit_test(mistakes_in_the_environment_are_named),
		cmocka_unit_test(mistakes_in_flags_are_named),
		cmocka_unit_test(a_file_that_cannot_be_read_is_an_error),
		cmocka_unit_test(a_file_may_be_one_mebibyte_long),
		cmocka_unit_test(deep_nesting_costs_nothing),
		cmocka_unit_test(sizes_have_units),
		cmocka_unit_test(durations_have_units),
		cmocka_unit_test(the_help_lists_every_option),
		cmocka_unit_test(the_json_list_has_every_spelling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
