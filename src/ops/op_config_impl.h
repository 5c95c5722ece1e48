/* Between the files that read commands and pipelines from the configuration. */
#ifndef FILEMILL_OPS_OP_CONFIG_IMPL_H
#define FILEMILL_OPS_OP_CONFIG_IMPL_H

#include "ops/op_impl.h"
#include "rt/json_in.h"

/* Where something stands in the configuration: commands.ocr.argv[1]. Long names are cut. */
struct place {
	char text[ERR_WORD_MAX];
};
ATTR_PRINTF(2, 3) struct place place_in(const struct place *outer, const char *fmt, ...);
/* ERR_BAD_CONFIG with the place in front and as the field. */
ATTR_PRINTF(3, 4) int bad_place(struct err *e, const struct place *p, const char *fmt, ...);
/* An error of another code becomes ERR_BAD_CONFIG with the place in front; what memory does not suffice for stays so. */
int at_place(struct err *e, int code, const struct place *p);
/* The names of `object` are all in the list, which ends with NULL. */
[[nodiscard]] int only_members(json_t *object, const struct place *p, const char *const *names, struct err *e);

#define OP_NAME_RULE "a to z first, then a to z, 0 to 9, _ and -, 40 characters at most"
bool op_name_ok(const char *name);

/* One declared command: fills *ret, whose texts lie in the arena. op_command.c */
[[nodiscard]] int op_command_read(struct op *ret, const char *name, json_t *declaration, const struct place *p, struct arena *a,
				  struct err *e);
/* A duration of at least so many ms and at most 7 days; 0 when there is none. op_command.c */
[[nodiscard]] int op_duration_read(int64_t *ret, json_t *declaration, const char *name, int64_t least, const struct place *outer,
				   struct err *e);
/* What the configuration says of ops as such. op_bounds.c */
[[nodiscard]] int op_bounds_read(struct op *ops, size_t n, json_t *entries, const struct place *p, struct err *e);
/* Its parameters. op_command_params.c */
[[nodiscard]] int op_command_params_read(struct op *op, json_t *params, const struct place *p, struct arena *a, struct err *e);

#endif
