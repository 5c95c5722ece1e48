/* Zstandard (RFC 8878): one frame that says how large its content is and has its checksum. */
#include "runner/child/deflate.h"

#include <stdlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#define OUT_BYTES (128u << 10) /* what the library recommends: a block */

struct squeeze {
	ZSTD_CCtx *c;
	uint8_t *out;
};

static void squeeze_release(struct squeeze *s)
{
	ZSTD_freeCCtx(s->c);
	free(s->out);
}

static int zstd_error(size_t code, struct err *e)
{
	if (ZSTD_getErrorCode(code) == ZSTD_error_memory_allocation)
		return err_set(e, ERR_LIMIT_MEMORY, "compressing needs more memory than the limit allows");
	return err_set(e, ERR_INTERNAL, "the compressor failed: %s", ZSTD_getErrorName(code));
}

static int start(struct squeeze *s, const struct sealed_job *j, int level, struct err *e)
{
	size_t r;

	s->c = ZSTD_createCCtx();
	s->out = malloc(OUT_BYTES);
	if (!s->c || !s->out)
		return err_set(e, ERR_LIMIT_MEMORY, "compressing needs more memory than the limit allows");
	r = ZSTD_CCtx_setParameter(s->c, ZSTD_c_compressionLevel, level);
	if (!ZSTD_isError(r))
		r = ZSTD_CCtx_setParameter(s->c, ZSTD_c_checksumFlag, 1);
	if (!ZSTD_isError(r))
		r = ZSTD_CCtx_setPledgedSrcSize(s->c, j->size);
	return ZSTD_isError(r) ? zstd_error(r, e) : 0;
}

static int feed(struct sealed_job *j, struct squeeze *s, const void *bytes, size_t n, ZSTD_EndDirective end, struct err *e)
{
	ZSTD_inBuffer in = {bytes, n, 0};
	size_t left;

	do {
		ZSTD_outBuffer out = {s->out, OUT_BYTES, 0};
		int r;

		left = ZSTD_compressStream2(s->c, &out, &in, end);
		if (ZSTD_isError(left))
			return zstd_error(left, e);
		if ((r = sealed_write(j, s->out, out.pos, e)) < 0)
			return r;
	} while (end == ZSTD_e_end ? left > 0 : in.pos < in.size);
	return 0;
}

static int compress(struct sealed_job *j, int level, struct err *e)
{
	CLEANUP(squeeze_release) struct squeeze s = {};
	const void *piece;
	size_t n;
	int r = start(&s, j, level, e);

	if (r < 0)
		return r;
	while ((r = sealed_next(j, &piece, &n, e)) > 0)
		if ((r = feed(j, &s, piece, n, ZSTD_e_continue, e)) < 0)
			return r;
	return r < 0 ? r : feed(j, &s, NULL, 0, ZSTD_e_end, e);
}

static int zstd(struct sealed_job *j, struct err *e)
{
	return compress_with(j, compress, e);
}

const struct sealed_op op_zstd = {"zstd", POLICY_MANY, NULL, zstd};
