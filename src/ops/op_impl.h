/* For the files that read what somebody asked for, and for their tests, which bring tables of their own. */
#ifndef FILEMILL_OPS_OP_IMPL_H
#define FILEMILL_OPS_OP_IMPL_H

#include "ops/ops.h"

#define OP_PARAMS_MAX 16 /* parameters one op may declare */
#define OP_COMMANDS_MAX 64 /* commands a configuration may declare */
#define OP_BUILTIN_MAX 32 /* ops of the program itself */
#define OP_PIPELINES_MAX 64
#define OP_NAME_BYTES 40 /* of a declared command, pipeline or parameter */
#define OP_WORD_MAX 4096 /* bytes of one template of a command */
#define OP_COMMAND_LINE_MAX                                                                                                                \
	(24 * 1024) /* bytes of all words with the longest values; more would not fit a message to the runner when escaped */

#define OP_AFTER "after" /* the parameter of every op that names another op of the list */

struct op_pipeline {
	const char *name;
	struct str text; /* a structured-field list */
	const struct op_request *ops;
	size_t n;
};

/* Sorted by name; each op's params sorted by name too, which makes their JSON canonical. */
struct op_table {
	const struct op *ops;
	size_t n;
	const struct op_pipeline *pipelines; /* sorted by name */
	size_t n_pipelines;
};

/* ERR_UNKNOWN_OP with the nearest name; `field` is where the name stood. */
[[nodiscard]] int op_table_require(const struct op_table *t, struct str name, const char *field, const struct op **ret, struct err *e);

/* One parameter as it was given, whatever the syntax was. */
struct op_given {
	enum { OP_GIVEN_INT, OP_GIVEN_TEXT, OP_GIVEN_OTHER } kind;
	int64_t i;
	struct str text; /* borrowed */
};

/* The parameters of one request while they are collected. */
struct op_values {
	const struct op *op;
	struct {
		bool given;
		int64_t i;
		struct str text; /* in the arena */
	} at[OP_PARAMS_MAX]; /* as op->params */
};

/* Checks one parameter and keeps it. ERR_BAD_OP_PARAMS for an unknown name, a second value, a wrong type, a value out of range. */
[[nodiscard]] int op_values_set(struct op_values *v, struct str name, const struct op_given *given, struct arena *a, struct err *e);
/* Fills in defaults and writes canonical JSON into the arena. ERR_BAD_OP_PARAMS when a required one is missing, or all of any_of. */
[[nodiscard]] int op_values_write(const struct op_values *v, struct str *ret, struct arena *a, struct err *e);

/* op_template.c. Walks a template and tells of each placeholder whether its value may begin the word; counts the bytes between them. ERR_BAD_CONFIG for braces that do not fit, or what
 * `visit` says. */
typedef int op_template_visit(void *arg, struct str name, bool begins, struct err *e);
[[nodiscard]] int op_template_check(const char *word, op_template_visit *visit, void *arg, size_t *ret_literal_bytes, struct err *e);

/* op_pattern.c. What is wrong with a pattern, in words, or NULL: it must be a POSIX extended regular expression without back-references. */
[[nodiscard]] int op_pattern_check(const char *pattern, struct err *e);
/* Whether a pattern that was checked matches the whole value. False too when there is no memory to find out. */
bool op_pattern_matches(const char *pattern, struct str value);
/* Writes it as JSON Schema does (ECMA-262, §6.3.3 of JSON Schema Validation); nothing when it might mean something else there. */
bool op_pattern_is_portable(const char *pattern);

#endif
