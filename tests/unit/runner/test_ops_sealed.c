/* Every op of the table, with every end of every parameter, in the genuine program: none is refused a system call, crashes, or is unknown to the child it is sent to. */
#include "sealed_world.h"

#include "base/compiler.h"
#include "ops/ops.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define INPUT_MAX (96u << 10) /* several pieces of every library's own buffers */

static const char *program;

struct inputs {
	char *bytes; /* text of words, which compresses, then bytes that do not */
	const struct op *op;
	struct world *world;
	size_t jobs;
};

static void run_one(struct inputs *in, struct str params, size_t size)
{
	struct buf output = BUF_INIT;
	struct runner_job job = world_job(in->op, (struct str){in->bytes, size});

	job.params = params;
	job.name = STR("n\xc3\xa4me.txt");
	if (in->op->output) {
		job.output = world_take_output;
		job.output_arg = &output;
	}
	int code = world_run_one(in->world, &job);
	if (code != 0 && code != ERR_UNSUPPORTED_FORMAT)
		fail_msg("%s %.*s of %zu bytes: %s: %s", in->op->name, (int)params.len, params.p, size, err_info(code)->name,
			 job.err.detail);
	assert_true(code != 0 || !in->op->output || output.len == job.output_size);
	buf_release(&output);
	in->jobs++;
}

/* One parameter set, the others as they are by default. */
static void run_with(struct inputs *in, const char *json)
{
	static const size_t sizes[] = {0, 1, 1000, INPUT_MAX};
	struct arena a = ARENA_INIT;
	struct op_request request;
	struct err e = ERR_INIT;

	if (op_table_request_from_json(op_builtin_table(), &request, str_of(in->op->name), str_of(json), &a, &e) == 0) {
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
			run_one(in, request.params, sizes[i]);
	}
	arena_release(&a);
}

static void run_ends_of(struct inputs *in, const struct op_param *p)
{
	char json[256];

	if (p->kind == OP_PARAM_INT) {
		snprintf(json, sizeof(json), "{\"%s\":%lld}", p->name, (long long)p->min);
		run_with(in, json);
		snprintf(json, sizeof(json), "{\"%s\":%lld}", p->name, (long long)p->max);
		run_with(in, json);
	}
	for (size_t i = 0; p->kind == OP_PARAM_WORD && p->words[i] != NULL; i++) {
		snprintf(json, sizeof(json), "{\"%s\":\"%s\"}", p->name, p->words[i]);
		run_with(in, json);
	}
}

static void every_op_works_inside_the_seal(void **state)
{
	struct world w;
	struct inputs in = {.bytes = malloc(INPUT_MAX), .world = &w};
	size_t n;
	const struct op *all = op_table_all(op_builtin_table(), &n);
	uint32_t chance = 1;

	assert_non_null(in.bytes);
	for (size_t i = 0; i < INPUT_MAX; i++) {
		chance = chance * 1664525 + 1013904223;
		in.bytes[i] = i < INPUT_MAX / 2 ? "many a word "[i % 12] : (char)(chance >> 24);
	}
	world_begin(&w, program, NULL);
	for (size_t i = 0; i < n; i++) {
		size_t before = in.jobs;
		in.op = &all[i];
		if (in.op->kind != OP_SEALED && in.op->kind != OP_STREAMING)
			continue;
		run_with(&in, "{}");
		for (size_t p = 0; p < in.op->n_params; p++)
			run_ends_of(&in, &in.op->params[p]);
		assert_true(in.jobs > before);
	}
	print_message("%zu jobs\n", in.jobs);
	world_end(&w);
	free(in.bytes);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_op_works_inside_the_seal)};

	program = argv[1];
	return argc == 2 ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}
