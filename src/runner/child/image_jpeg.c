/* JPEG without libvips, for what most files are: 8 bits, YCbCr or grey, in one scan. libvips hands the decoder pieces of 4 KiB, each of whose last 3 KiB it takes the slow way,
 * copies rows from buffer to buffer, and starts threads to write; a sealed child with one image has no use for that.
 *
 * libjpeg ends a failed call by error_exit, which may not return: it jumps to where the failing piece of work was begun. Every piece is a function of its own whose only locals
 * are its arguments, so nothing that is used behind the jump has changed since. What is to be released hangs on the struct, and is released outside.
 * Here warnings are errors: libjpeg makes pixels up for what it could not read. */
#include "runner/child/image.h"

#include <stdio.h>

#include <jpeglib.h>
#include <setjmp.h>
#include <stdlib.h>

#define ROWS 16 /* at once: what a row of blocks gives at most, without smoothing between them */
#define PIECE (64u << 10) /* of output */
#define COARSE_BELOW 90 /* of quality: colours at half the resolution, as libvips has it */

/* libjpeg hands the functions below its `err`, and from that they find the rest. */
struct trap {
	struct jpeg_error_mgr err;
	jmp_buf back;
};

static _Noreturn void fail(j_common_ptr c)
{
	char text[JMSG_LENGTH_MAX];

	c->err->format_message(c, text);
	vips_error("jpeg", "%s", text);
	longjmp(CONTAINER_OF(c->err, struct trap, err)->back, 1);
}

static void note(j_common_ptr c, int level)
{
	if (level < 0)
		fail(c);
}

static void silent(j_common_ptr c)
{
}

static struct jpeg_error_mgr *trap_init(struct trap *t)
{
	jpeg_std_error(&t->err);
	t->err.error_exit = fail;
	t->err.emit_message = note;
	t->err.output_message = silent;
	return &t->err;
}

/* ---- reading ---- */

struct image_jpeg {
	struct jpeg_decompress_struct c;
	struct trap trap;
	JSAMPARRAY rows; /* ROWS of them; libjpeg's memory */
};

static bool is_usual(j_decompress_ptr c)
{
	return c->data_precision == 8 && !c->arith_code && !jpeg_has_multiple_scans(c) &&
	       (c->jpeg_color_space == JCS_YCbCr || c->jpeg_color_space == JCS_GRAYSCALE);
}

/* 1, or 0 when it is not a usual one. */
static int begin(struct image_jpeg *j, const void *data, size_t n, int shrink)
{
	if (setjmp(j->trap.back) != 0)
		return IMAGE_DECODE_FAILED;
	jpeg_create_decompress(&j->c);
	jpeg_mem_src(&j->c, data, n);
	jpeg_read_header(&j->c, TRUE);
	if (!is_usual(&j->c))
		return 0;
	j->c.scale_denom = (unsigned)shrink;
	jpeg_start_decompress(&j->c);
	j->rows = j->c.mem->alloc_sarray((j_common_ptr)&j->c, JPOOL_IMAGE, j->c.output_width * (JDIMENSION)j->c.output_components, ROWS);
	return 1;
}

static int read_rows(struct image_jpeg *j)
{
	if (setjmp(j->trap.back) != 0)
		return IMAGE_DECODE_FAILED;
	return (int)jpeg_read_scanlines(&j->c, j->rows, ROWS);
}

int image_jpeg_open(struct image_jpeg **ret, const void *data, size_t n, int shrink)
{
	struct image_jpeg *j = calloc(1, sizeof(*j));
	int r;

	if (!j) {
		vips_error("jpeg", "out of memory");
		return IMAGE_DECODE_FAILED;
	}
	j->c.err = trap_init(&j->trap);
	r = begin(j, data, n, shrink);
	if (r == 1)
		*ret = j;
	else
		image_jpeg_close(&j);
	return r;
}

struct image_shape image_jpeg_shape(const struct image_jpeg *j)
{
	return (struct image_shape){.width = (int)j->c.output_width, .height = (int)j->c.output_height, .bands = j->c.output_components};
}

int image_jpeg_rows(struct image_jpeg *j, uint8_t ***ret)
{
	*ret = j->rows;
	return j->c.output_scanline < j->c.output_height ? read_rows(j) : 0;
}

void image_jpeg_close(struct image_jpeg **j)
{
	if (*j)
		jpeg_destroy_decompress(&(*j)->c);
	free(*j);
	*j = NULL;
}

/* ---- writing ---- */

struct jpeg_out {
	struct jpeg_compress_struct c;
	struct trap trap;
	struct jpeg_destination_mgr to;
	int (*put)(void *arg, const void *data, size_t n);
	void *arg;
	JOCTET piece[PIECE];
};

static void begin_piece(j_compress_ptr c)
{
	struct jpeg_out *o = c->client_data;

	o->to.next_output_byte = o->piece;
	o->to.free_in_buffer = PIECE;
}

static void put_piece(j_compress_ptr c, size_t n)
{
	struct jpeg_out *o = c->client_data;

	if (o->put(o->arg, o->piece, n) != 0)
		longjmp(o->trap.back, 1);
}

static boolean piece_is_full(j_compress_ptr c)
{
	put_piece(c, PIECE);
	begin_piece(c);
	return TRUE;
}

static void last_piece(j_compress_ptr c)
{
	put_piece(c, PIECE - c->dest->free_in_buffer);
}

static void set_up(struct jpeg_out *o, const VipsImage *im, int quality)
{
	o->c.image_width = (JDIMENSION)im->Xsize;
	o->c.image_height = (JDIMENSION)im->Ysize;
	o->c.input_components = im->Bands;
	o->c.in_color_space = im->Bands == 1 ? JCS_GRAYSCALE : JCS_RGB;
	jpeg_set_defaults(&o->c);
	jpeg_set_quality(&o->c, quality, TRUE);
	o->c.write_JFIF_header = FALSE;
	if (quality >= COARSE_BELOW)
		for (int i = 0; i < o->c.num_components; i++)
			o->c.comp_info[i].h_samp_factor = o->c.comp_info[i].v_samp_factor = 1;
}

static int write_all(struct jpeg_out *o, VipsRegion *region, int quality)
{
	if (setjmp(o->trap.back) != 0)
		return -1;
	jpeg_create_compress(&o->c);
	o->c.client_data = o;
	o->c.dest = &o->to;
	set_up(o, region->im, quality);
	jpeg_start_compress(&o->c, TRUE);
	while (o->c.next_scanline < o->c.image_height) {
		int top = (int)o->c.next_scanline, left = region->im->Ysize - top;
		VipsRect strip = {0, top, region->im->Xsize, left < ROWS ? left : ROWS};

		if (vips_region_prepare(region, &strip) != 0)
			return -1;
		for (int y = top; y < top + strip.height; y++) {
			JSAMPROW row = VIPS_REGION_ADDR(region, 0, y);

			jpeg_write_scanlines(&o->c, &row, 1);
		}
	}
	jpeg_finish_compress(&o->c);
	return 0;
}

int image_jpeg_write(VipsImage *im, int quality, int (*put)(void *arg, const void *data, size_t n), void *arg)
{
	struct jpeg_out *o = calloc(1, sizeof(*o));
	VipsRegion *region = vips_region_new(im);
	int r = -1;

	if (o && region) {
		o->put = put;
		o->arg = arg;
		o->to = (struct jpeg_destination_mgr){
			.init_destination = begin_piece, .empty_output_buffer = piece_is_full, .term_destination = last_piece};
		o->c.err = trap_init(&o->trap);
		r = write_all(o, region, quality);
		jpeg_destroy_compress(&o->c);
	} else {
		vips_error("jpeg", "out of memory");
	}
	if (region)
		g_object_unref(region);
	free(o);
	return r;
}
