/* What can be done to a file: one table of ops with versions and parameters, and the digests that ride along with an upload.
 * What a sealed op does is written in runner/child; here is what may be asked of it. */
#ifndef FILEMILL_OPS_OPS_H
#define FILEMILL_OPS_OPS_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Streaming ops are digests: they ride along with an upload, or run sealed over stored bytes. Sealed ones run in the runner; commands too, in a child of their own kind;
 * connectors run in the server, over the network, and never look at what the bytes mean. */
enum op_kind { OP_STREAMING, OP_SEALED, OP_CONNECTOR, OP_COMMAND };

enum digest_algo { DIGEST_MD5, DIGEST_SHA1, DIGEST_SHA256, DIGEST_SHA512, DIGEST_CRC32C, DIGEST_ALGOS };

enum op_param_kind { OP_PARAM_INT, OP_PARAM_WORD, OP_PARAM_STRING };

struct op_param {
	const char *name; /* never "after", which is a parameter of every op */
	enum op_param_kind kind;
	int64_t min, max; /* INT: inclusive; STRING: length in bytes */
	const char *const *words; /* WORD: NULL-terminated */
	const char *def; /* default as text, NULL = none: the op does without */
	bool required; /* then def is NULL */
	const char *pattern; /* STRING: POSIX extended regular expression, in the C locale, that must match the whole value; NULL = any */
	bool no_dash; /* STRING: must not begin with '-', which a command would take for an option */
	const char *help;
};

/* A sealed op's child either serves many jobs, or decodes what strangers made and then serves one and is replaced. */
enum op_child { OP_CHILD_MANY, OP_CHILD_ONE };

#define OP_NODE_MAX 40 /* bytes */

struct op {
	const char *name;
	uint32_t version; /* grows when the same input would give another output */
	const char *summary;
	enum op_kind kind;
	const struct op_param *params;
	size_t n_params;
	enum digest_algo algo; /* OP_STREAMING only */
	enum op_child child; /* OP_SEALED only */
	const char *const *any_of; /* names of params of which at least one must be given, NULL-terminated; NULL: no such rule */
	bool output; /* makes one file */
	bool named; /* with the input's name in it: work on equal bytes of another name is other work */
	const char *const *output_types; /* media types it may make, NULL-terminated; NULL: as its input, or any */
	const char *
		suffix; /* put behind the input's name to name the output, such as ".gz"; NULL: the output type's extension takes the place of the input's */
	const struct op_command *command; /* OP_COMMAND only */
	/* As the configuration's table of ops says; 0 = it says nothing */
	uint64_t concurrency; /* jobs that run at once */
	int64_t wall_ms; /* time of one attempt; 0 = the command's, or the runner's */
	uint32_t max_attempts; /* of jobs that name none */
	char node[OP_NODE_MAX + 1]; /* where there are several, jobs run on those with this label */
};

#define OP_ATTEMPTS_MAX 100 /* attempts anybody may ask for */
#define OP_ARGV_MAX 64
/* What an administrator declared. Strings live as long as the table. */
struct op_command {
	const char *argv[OP_ARGV_MAX +
			 1]; /* templates, NULL-terminated; argv[0] is an absolute path. `{width}` in a word becomes the parameter's value;
					      `{{` and `}}` are braces. A word stays one word, whatever the value is. */
	int64_t wall_ms, cpu_s; /* 0 = the runner's */
	uint64_t memory, output_max; /* bytes, 0 = the runner's */
	bool progress; /* tells how far it is, through descriptor 3 */
};

#define OPS_MAX                                                                                                                            \
	32 /* ops one upload may ask for; model.h, on the same floor, has the same number: two different ones would not compile together */

/* Every op this server knows: the built-in ones and the configured commands, sorted by name; and the named pipelines. Constant after it was made; any thread. */
struct op_table;

/* The built-in ops, without commands and pipelines. Static. */
const struct op_table *op_builtin_table(void);
/* Adds what the configuration declares. commands: JSON object name → {"argv":[…],"summary","suffix","output_types":[…],"params":{name:{"type":"integer"|"word"|"string",…}},
 * "wall_time","cpu_time","memory","output_max"}; pipelines: JSON object name → list of op items; bounds: JSON object name → {"concurrency","wall_time","max_attempts","node"}. Each may be "". Everything is copied into the arena, which must outlive the
 * table. ERR_BAD_CONFIG with the place and what is allowed. */
[[nodiscard]] int op_table_new(const struct op_table **ret, struct str commands_json, struct str pipelines_json, struct str bounds_json,
			       struct arena *a, struct err *e);

const struct op *op_table_all(const struct op_table *t, size_t *ret_n);
const struct op *op_table_find(const struct op_table *t, struct str name); /* NULL when there is none */

/* One op somebody asked for, validated: params is canonical JSON (keys sorted, defaults filled in). */
struct op_request {
	const struct op *op;
	struct str params;
	int after; /* index in the list of the op whose output this one works on; -1 = the file */
};

/* Reads a structured-field list (RFC 8941 §3.1), `md5, resize;width=800;format=webp, gzip;after=resize`. None to OPS_MAX. `after` is a parameter of every op: the name of an op
 * further up in the list (the nearest one of that name), or its place in the list counted from 1; that op must make an output (ERR_BAD_OPS, field "after").
 * The same op with the same params on the same input twice is an error.
 * ERR_BAD_OPS for syntax, ERR_UNKNOWN_OP (with the nearest name in `expected`), ERR_BAD_OP_PARAMS. Result in the arena. */
[[nodiscard]] int op_table_parse_list(const struct op_table *t, struct op_request **ret, size_t *ret_n, struct str text, struct arena *a,
				      struct err *e);
/* The ops of a configured pipeline. ERR_UNKNOWN_PIPELINE with the nearest name in `expected`. Borrowed from the table. */
[[nodiscard]] int op_table_pipeline(const struct op_table *t, struct str name, const struct op_request **ret, size_t *ret_n, struct err *e);
/* The text of a pipeline as a list of ops, for fingerprints; p NULL when there is none. */
struct str op_table_pipeline_text(const struct op_table *t, struct str name);

/* Validates params given as a JSON object text ("" or "{}" = none); after is -1. ERR_UNKNOWN_OP, ERR_BAD_OP_PARAMS, ERR_BAD_JSON. */
[[nodiscard]] int op_table_request_from_json(const struct op_table *t, struct op_request *ret, struct str op, struct str params_json,
					     struct arena *a, struct err *e);

/* The answer of GET /v1/ops: {"ops":[…],"pipelines":[…]}; ops with name, version, description, kind, JSON Schema of the params, outputs (media types); pipelines with name and ops. */
void op_table_write_json(const struct op_table *t, struct buf *out);

/* The words a command is to be started with: templates with the values of these canonical params filled in. In the arena, NULL-terminated. */
[[nodiscard]] int op_command_argv(const struct op *op, struct str params, char ***ret, size_t *ret_n, struct arena *a, struct err *e);

/* The display name of what the op makes of an input of this name: `photo.jpg` → `photo.webp`, `photo.jpg.gz`; at most 255 bytes, cut at a character. In the arena; p NULL: no memory. */
struct str op_output_name(const struct op *op, struct str params, struct str input_name, struct str output_type, struct arena *a);

/* ---- digests over a stream ---- */

#define DIGEST_MAX 64 /* bytes of the longest digest */

/* Several digests of the same bytes in one pass. Owned by one thread at a time. */
struct digest_set;

/* `mask` has bit (1u << algo) for each digest wanted. */
[[nodiscard]] int digest_set_new(struct digest_set **ret, unsigned mask, struct err *e);
void digest_set_update(struct digest_set *d, const void *data, size_t n);
/* After the last byte; then only digest_set_get may be called. */
[[nodiscard]] int digest_set_finish(struct digest_set *d, struct err *e);
/* The bytes of one digest that was asked for; *ret_n its length. NULL when it was not asked for. Borrowed. */
const uint8_t *digest_set_get(const struct digest_set *d, enum digest_algo algo, size_t *ret_n);
/* Another set, of SHA-256 alone, which begins anywhere in the stream of the first one: a part of a file beside the file. Updated together, and with MD5 in the first one, it costs next to nothing. */
[[nodiscard]] int digest_set_reset_beside(struct digest_set *d, const struct digest_set *first, struct err *e);
void digest_set_update_both(struct digest_set *first, struct digest_set *second, const void *data, size_t n);
void digest_set_free(struct digest_set *d);
/* Makes a finished or used set ready for new bytes with another mask, keeping its memory: intake calls this once per upload. */
[[nodiscard]] int digest_set_reset(struct digest_set *d, unsigned mask, struct err *e);

size_t digest_size(enum digest_algo algo); /* bytes */
/* Writes {"md5":"<hex>"} for op md5 and so on. */
void digest_write_result(struct buf *out, enum digest_algo algo, const uint8_t *digest);

/* ---- type from magic bytes ---- */

#define MAGIC_BYTES 512 /* how many first bytes the table may look at */
/* Media type of a file that starts with these bytes (n may be less than MAGIC_BYTES when the file is shorter).
 * "application/octet-stream" when nothing fits, "text/plain" for UTF-8 without controls, "application/x-empty" for none. Static string. */
const char *magic_type(const void *first, size_t n);
/* Whether magic_type() can give this type: one it cannot tell has bytes that look like a text, a ZIP or nothing known. */
bool magic_tells(struct str type);
/* May be shown inline in a browser (raster images but SVG, plain text, PDF, audio, video). */
bool magic_inline_safe(struct str type);

#endif
