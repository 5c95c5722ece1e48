/* What can be done to a file: one table of ops with versions and parameters, and the digests that ride along with an upload. */
#ifndef FILEMILL_OPS_OPS_H
#define FILEMILL_OPS_OPS_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Streaming ops are digests: they run in any process over bytes in order. The other kinds have their place here already. */
enum op_kind { OP_STREAMING, OP_SEALED, OP_CONNECTOR, OP_COMMAND };

enum digest_algo { DIGEST_MD5, DIGEST_SHA1, DIGEST_SHA256, DIGEST_SHA512, DIGEST_CRC32C, DIGEST_ALGOS };

enum op_param_kind { OP_PARAM_INT, OP_PARAM_WORD, OP_PARAM_STRING };

struct op_param {
	const char *name;
	enum op_param_kind kind;
	int64_t min, max; /* INT: inclusive; STRING: length in bytes */
	const char *const *words; /* WORD: NULL-terminated */
	const char *def; /* default as text, NULL = none: the op does without */
	bool required; /* then def is NULL */
	const char *help;
};

struct op {
	const char *name;
	uint32_t version; /* grows when the same input would give another output */
	const char *summary;
	enum op_kind kind;
	const struct op_param *params;
	size_t n_params;
	enum digest_algo algo; /* OP_STREAMING only */
};

#define OPS_MAX                                                                                                                            \
	32 /* ops one upload may ask for; model.h, on the same floor, has the same number: two different ones would not compile together */

/* The table, sorted by name. */
const struct op *op_all(size_t *ret_n);
const struct op *op_find(struct str name); /* NULL when there is none */

/* One op somebody asked for, validated: params is canonical JSON (keys sorted, defaults filled in). */
struct op_request {
	const struct op *op;
	struct str params;
};

/* Reads a structured-field list (RFC 8941 §3.1), `md5, resize;width=800;format=webp`. None to OPS_MAX; the same op with the same params twice is an error.
 * ERR_BAD_OPS for syntax, ERR_UNKNOWN_OP (with the nearest name in `expected`), ERR_BAD_OP_PARAMS. Result in the arena. */
[[nodiscard]] int ops_parse_list(struct op_request **ret, size_t *ret_n, struct str text, struct arena *a, struct err *e);

/* Validates params given as a JSON object text ("" or "{}" = none). ERR_UNKNOWN_OP, ERR_BAD_OP_PARAMS, ERR_BAD_JSON. */
[[nodiscard]] int op_request_from_json(struct op_request *ret, struct str op, struct str params_json, struct arena *a, struct err *e);

/* The answer of GET /v1/ops: {"ops":[…]} with name, version, description, kind, JSON Schema of the params, outputs. */
void ops_write_json(struct buf *out);

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
/* May be shown inline in a browser (raster images but SVG, plain text, PDF, audio, video). */
bool magic_inline_safe(struct str type);

#endif
