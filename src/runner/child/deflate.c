/* Three ways to make one deflate stream of an input of any size.
 *
 *	level 0		blocks that are stored
 *	level 1		ISA-L, in pieces as they come: several times the speed of the others
 *	2 to 12		libdeflate, which compresses what lies in memory as a whole: pieces of up to DEFLATE_PIECE, each made the beginning of a longer stream but the last
 *
 * docs/adr/0014 has the figures and why it is one stream. */
#include "runner/child/deflate.h"
#include "base/json_out.h"

#include <assert.h>
#include <isa-l/igzip_lib.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>

#define STORED_MAX 65535u /* bytes of a stored block (RFC 1951, §3.2.4) */
#define FAST_OUT (256u << 10) /* bytes */
#define MEMORY_SHARE 8 /* a piece takes at most 1/8 of the memory limit; what comes of it as much again */

static int no_memory(struct err *e)
{
	return err_set(e, ERR_LIMIT_MEMORY, "compressing needs more memory than the limit allows");
}

static int take(struct sealed_job *j, struct deflated *d, const void **ret, size_t *ret_n, struct err *e)
{
	int r = sealed_next(j, ret, ret_n, e);

	if (r > 0) {
		d->size_in += *ret_n;
		d->crc = libdeflate_crc32(d->crc, *ret, *ret_n);
	}
	return r;
}

static int put(struct sealed_job *j, struct deflated *d, const void *bytes, size_t n, struct err *e)
{
	d->size_out += n;
	return sealed_write(j, bytes, n, e);
}

/* ---- level 0 ---- */

static int put_stored(struct sealed_job *j, struct deflated *d, const char *bytes, size_t n, bool last, struct err *e)
{
	const uint8_t head[5] = {last, (uint8_t)n, (uint8_t)(n >> 8), (uint8_t)~n, (uint8_t)(~n >> 8)};
	int r = put(j, d, head, sizeof(head), e);

	return r < 0 ? r : put(j, d, bytes, n, e);
}

static int store(struct sealed_job *j, struct deflated *d, struct err *e)
{
	const void *piece;
	size_t n;
	int r;

	while ((r = take(j, d, &piece, &n, e)) > 0)
		for (size_t at = 0; at < n; at += STORED_MAX) {
			size_t k = n - at < STORED_MAX ? n - at : STORED_MAX;

			if ((r = put_stored(j, d, (const char *)piece + at, k, false, e)) < 0)
				return r;
		}
	return r < 0 ? r : put_stored(j, d, "", 0, true, e);
}

/* ---- level 1 ---- */

struct fast {
	struct isal_zstream z;
	uint8_t levels[ISAL_DEF_LVL1_DEFAULT], out[FAST_OUT];
};

static void fast_free(struct fast **f)
{
	free(*f);
}

static int fast_put(struct sealed_job *j, struct deflated *d, struct fast *f, const void *bytes, size_t n, bool last, struct err *e)
{
	f->z.next_in = (uint8_t *)(uintptr_t)bytes;
	f->z.avail_in = (uint32_t)n;
	f->z.end_of_stream = last;
	do {
		int r;

		f->z.next_out = f->out;
		f->z.avail_out = sizeof(f->out);
		if (isal_deflate(&f->z) != COMP_OK)
			return err_set(e, ERR_INTERNAL, "the compressor refused its input");
		if ((r = put(j, d, f->out, sizeof(f->out) - f->z.avail_out, e)) < 0)
			return r;
	} while (f->z.avail_out == 0);
	return 0;
}

static int deflate_fast(struct sealed_job *j, struct deflated *d, struct err *e)
{
	CLEANUP(fast_free) struct fast *f = malloc(sizeof(*f));
	const void *piece;
	size_t n;
	int r;

	if (!f)
		return no_memory(e);
	isal_deflate_init(&f->z);
	f->z.level = 1;
	f->z.level_buf = f->levels;
	f->z.level_buf_size = sizeof(f->levels);
	while ((r = take(j, d, &piece, &n, e)) > 0)
		if ((r = fast_put(j, d, f, piece, n, false, e)) < 0)
			return r;
	return r < 0 ? r : fast_put(j, d, f, NULL, 0, true, e);
}

/* ---- levels 2 to 12 ---- */

struct pieces {
	struct libdeflate_compressor *compressor;
	uint8_t *in, *out;
	size_t in_size, out_size; /* bytes */
};

static void pieces_release(struct pieces *p)
{
	libdeflate_free_compressor(p->compressor);
	free(p->in);
	free(p->out);
}

static int pieces_init(struct pieces *p, const struct sealed_job *j, int level, struct err *e)
{
	uint64_t most = j->limits.memory / MEMORY_SHARE < DEFLATE_PIECE ? j->limits.memory / MEMORY_SHARE : DEFLATE_PIECE;

	/* As much as comes in a whole number of reads, and no more than there is. */
	most = most < SEALED_PIECE ? SEALED_PIECE : most / SEALED_PIECE * SEALED_PIECE;
	p->in_size = (size_t)(j->size < most ? j->size : most);
	p->compressor = libdeflate_alloc_compressor(level);
	if (!p->compressor)
		return no_memory(e);
	p->out_size = libdeflate_deflate_compress_bound(p->compressor, p->in_size);
	p->in = malloc(p->in_size ? p->in_size : 1);
	p->out = malloc(p->out_size + DEFLATE_OPEN_BYTES);
	return p->in && p->out ? 0 : no_memory(e);
}

/* Reads the next piece; the last one with the proof that all were right. */
static int fill(struct sealed_job *j, struct deflated *d, struct pieces *p, size_t *ret_n, struct err *e)
{
	const void *bytes;
	size_t n = 0, k;
	int r = 0;

	while (n < p->in_size && (r = take(j, d, &bytes, &k, e)) > 0) {
		assert(k <= p->in_size - n);
		memcpy(p->in + n, bytes, k);
		n += k;
	}
	if (r >= 0 && d->size_in == j->size)
		r = sealed_check(j, e);
	*ret_n = n;
	return r < 0 ? r : 0;
}

static int deflate_pieces(struct sealed_job *j, int level, struct deflated *d, struct err *e)
{
	CLEANUP(pieces_release) struct pieces p = {};
	int r = pieces_init(&p, j, level, e);
	bool last;

	if (r < 0)
		return r;
	do {
		size_t n, made;

		if ((r = fill(j, d, &p, &n, e)) < 0)
			return r;
		last = d->size_in == j->size;
		made = libdeflate_deflate_compress(p.compressor, p.in, n, p.out, p.out_size);
		if (made == 0 || (!last && !deflate_open(p.out, &made)))
			return err_set(e, ERR_INTERNAL, "the compressor refused its input");
		if ((r = put(j, d, p.out, made, e)) < 0)
			return r;
	} while (!last);
	return 0;
}

/* ---- */

int deflate_input(struct sealed_job *j, int level, struct deflated *ret, struct err *e)
{
	struct deflated d = {};
	int r;

	assert(level >= 0 && level <= DEFLATE_LEVEL_MAX);
	if (level == 0)
		r = store(j, &d, e);
	else if (level == 1)
		r = deflate_fast(j, &d, e);
	else
		r = deflate_pieces(j, level, &d, e);
	if (r == 0)
		*ret = d;
	return r;
}

static void write_result(struct sealed_job *j)
{
	struct json_out out = json_out(&j->result);

	json_obj_open(&out);
	json_ku64(&out, "size_in", j->size);
	json_ku64(&out, "size_out", j->written);
	json_obj_close(&out);
}

int compress_with(struct sealed_job *j, int (*work)(struct sealed_job *j, int level, struct err *e), struct err *e)
{
	struct sealed_params *params;
	int level, r = sealed_params_parse(&params, j->params, e);

	if (r < 0)
		return r;
	level = (int)sealed_params_int(params, "level");
	sealed_params_free(params);
	r = work(j, level, e);
	if (r == 0)
		write_result(j);
	return r;
}
