/* resize: an image as another image of other dimensions, of the kinds jpeg, png, webp and avif.
 *
 *	bytes ─► loader, decoding smaller where it can ─► image_reduce ─► sRGB ─► upright ─► cut or border ─► opaque ─► saver ─► output
 *
 * Everything behind image_reduce works on the small image in memory. Orientation is applied after reducing, so dimensions are exchanged before. Pixels leave as 8-bit sRGB or grey. */
#include "base/json_out.h"
#include "runner/child/image.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What was asked for */
struct wish {
	int width, height; /* 0 = follows from the other */
	enum { FIT_INSIDE, FIT_COVER, FIT_CONTAIN } fit;
	bool enlarge, keep_metadata;
	int quality;
	uint8_t background[3];
	char format[8];
};

/* Dimensions on the way. "Seen": as a person sees the image, upright. */
struct plan {
	bool sideways; /* the stored image lies on its side: width and height are exchanged */
	int seen_width, seen_height; /* of the source */
	int width, height; /* scaled to, seen */
	int out_width, out_height; /* after cutting or adding a border, seen */
	int shrink; /* by the loader */
};

/* Where a saver's bytes go. */
struct sink {
	struct sealed_job *job;
	struct buf *whole; /* kept back until they were looked at; NULL = sent at once */
	int code; /* of the first write that failed */
	struct err *e;
};

/* ---- savers ---- */

static int save_jpeg(VipsImage *im, VipsTarget *to, const struct wish *w)
{
	return vips_jpegsave_target(im, to, "Q", w->quality, "strip", !w->keep_metadata, NULL);
}

static int save_png(VipsImage *im, VipsTarget *to, const struct wish *w)
{
	return vips_pngsave_target(im, to, "compression", 6, "filter", VIPS_FOREIGN_PNG_FILTER_ALL, "strip", !w->keep_metadata, NULL);
}

static int save_webp(VipsImage *im, VipsTarget *to, const struct wish *w)
{
	return vips_webpsave_target(im, to, "Q", w->quality, "strip", !w->keep_metadata, NULL);
}

static int save_avif(VipsImage *im, VipsTarget *to, const struct wish *w)
{
	return vips_heifsave_target(im, to, "Q", w->quality, "compression", VIPS_FOREIGN_HEIF_COMPRESSION_AV1, "effort", 2, "strip",
				    !w->keep_metadata, NULL);
}

/* libheif writes a file without a picture when its encoder had too little memory, and calls it success. ISO/IEC 14496-12 §8.1.1: the picture is in a box `mdat`. */
static bool avif_has_data(struct str whole)
{
	const uint8_t *p = (const uint8_t *)whole.p;
	size_t at = 0;

	while (whole.len - at >= 8) {
		size_t size = (size_t)p[at] << 24 | (size_t)p[at + 1] << 16 | (size_t)p[at + 2] << 8 | p[at + 3];

		if (memcmp(p + at + 4, "mdat", 4) == 0)
			return size > 8 && size <= whole.len - at;
		if (size < 8 || size > whole.len - at)
			return false;
		at += size;
	}
	return false;
}

static const struct writer {
	const char *name;
	int side_max; /* pixels: what the format or its library can say */
	bool alpha;
	int (*save)(VipsImage *im, VipsTarget *to, const struct wish *w);
	uint64_t memory, memory_per_pixel; /* bytes of address space; 0 = no more than the rest, or it says so when it has too little */
	/* What was written is an image; NULL: a saver that is to be believed. */
	bool (*check)(struct str whole);
} writers[] = {
	{"jpeg", 65500, false, save_jpeg, 0, 0, NULL}, /* libjpeg's JPEG_MAX_DIMENSION */
	{"png", 1000000, true, save_png, 0, 0, NULL}, /* libpng's PNG_USER_WIDTH_MAX */
	{"webp", 16383, true, save_webp, 0, 0, NULL}, /* 14 bits */
	{"avif", 16384, true, save_avif, 208u << 20, 28, avif_has_data}, /* libvips */
};

static const struct writer *writer_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(writers); i++)
		if (strcmp(name, writers[i].name) == 0)
			return &writers[i];
	return NULL;
}

/* ---- what is wished ---- */

static int optional_int(const struct sealed_params *p, const char *name)
{
	return sealed_params_has(p, name) ? (int)sealed_params_int(p, name) : 0;
}

static int read_wish(struct wish *ret, struct str params, struct err *e)
{
	struct sealed_params *p;
	struct str fit, format;
	int r = sealed_params_parse(&p, params, e);

	if (r < 0)
		return r;
	fit = sealed_params_text(p, "fit");
	format = sealed_params_text(p, "format");
	*ret = (struct wish){.width = optional_int(p, "width"),
			     .height = optional_int(p, "height"),
			     .fit = str_eq(fit, STR("cover"))     ? FIT_COVER
				    : str_eq(fit, STR("contain")) ? FIT_CONTAIN
								  : FIT_INSIDE,
			     .enlarge = str_eq(sealed_params_text(p, "enlarge"), STR("yes")),
			     .keep_metadata = str_eq(sealed_params_text(p, "metadata"), STR("keep")),
			     .quality = (int)sealed_params_int(p, "quality")};
	assert(format.len < sizeof(ret->format));
	memcpy(ret->format, format.p, format.len);
	if (!hex_decode(ret->background, sizeof(ret->background), sealed_params_text(p, "background")))
		r = err_set(e, ERR_BAD_OP_PARAMS, "\"background\" must be six hex digits");
	else if (ret->width == 0 && ret->height == 0)
		r = err_set(e, ERR_BAD_OP_PARAMS, "\"width\" or \"height\" must be given");
	sealed_params_free(p);
	return r;
}

/* ---- dimensions ---- */

static int scaled(int side, double scale)
{
	double v = round(side * scale);

	return v < 1 ? 1 : v > INT32_MAX ? INT32_MAX : (int)v;
}

/* The loader may make the image smaller by a power of two, if it leaves something to the filter: blocks decoded at a half or a quarter have soft edges of their own, which show
 * when nothing is filtered behind them. Measured against a full decode, these leave 44 dB and more. */
static int shrink_for(const struct plan *p, int shrink_max)
{
	static const struct {
		int shrink;
		double factor; /* from which on */
	} steps[] = {{8, 8 * 1.2}, {4, 4 * 1.2}, {2, 2 * 1.5}};
	double factor = fmin((double)p->seen_width / p->width, (double)p->seen_height / p->height);

	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		if (steps[i].shrink <= shrink_max && factor >= steps[i].factor)
			return steps[i].shrink;
	return 1;
}

static struct plan plan_for(const struct wish *w, VipsImage *im, int shrink_max)
{
	int orientation = vips_image_get_orientation(im);
	struct plan p = {.sideways = orientation >= 5 && orientation <= 8};
	double across, down, scale;

	p.seen_width = p.sideways ? im->Ysize : im->Xsize;
	p.seen_height = p.sideways ? im->Xsize : im->Ysize;
	across = (double)w->width / p.seen_width;
	down = (double)w->height / p.seen_height;
	if (w->width == 0 || w->height == 0)
		scale = fmax(across, down);
	else
		scale = w->fit == FIT_COVER ? fmax(across, down) : fmin(across, down);
	if (scale > 1 && !w->enlarge)
		scale = 1;
	p.out_width = p.width = scaled(p.seen_width, scale);
	p.out_height = p.height = scaled(p.seen_height, scale);
	if (w->width > 0 && w->height > 0 && w->fit != FIT_INSIDE) {
		bool contain = w->fit == FIT_CONTAIN;

		p.out_width = contain || w->width < p.width ? w->width : p.width;
		p.out_height = contain || w->height < p.height ? w->height : p.height;
	}
	p.shrink = shrink_for(&p, shrink_max);
	return p;
}

/* Scaled to, before it is turned upright. */
static int stored_width(const struct plan *p)
{
	return p->sideways ? p->height : p->width;
}

static int stored_height(const struct plan *p)
{
	return p->sideways ? p->width : p->height;
}

static int check_plan(const struct plan *p, const struct writer *writer, const struct runner_limits *limits, struct err *e)
{
	uint64_t scaled_pixels = (uint64_t)p->width * (uint64_t)p->height, out_pixels = (uint64_t)p->out_width * (uint64_t)p->out_height;

	if (scaled_pixels > limits->pixels_max || out_pixels > limits->pixels_max)
		return err_set(e, ERR_IMAGE_TOO_LARGE, "the result would have more pixels than allowed");
	if (p->out_width > writer->side_max || p->out_height > writer->side_max) {
		err_set(e, ERR_IMAGE_TOO_LARGE, "%d x %d is more than %s can have", p->out_width, p->out_height, writer->name);
		return err_limit(e, writer->side_max);
	}
	if (writer->memory + out_pixels * writer->memory_per_pixel > limits->memory) {
		err_set(e, ERR_LIMIT_MEMORY, "%s of %d x %d needs more memory than allowed", writer->name, p->out_width, p->out_height);
		return err_limit(e, (int64_t)limits->memory);
	}
	return 0;
}

/* ---- pixels ---- */

/* Replaces *im by what an operation made of it. */
static void step(VipsImage **im, VipsImage *next)
{
	g_object_unref(*im);
	*im = next;
}

/* What image_reduce() cannot take as it is becomes 8-bit sRGB first: floats, LAB, more bands than four. */
static int to_reducible(VipsImage **im)
{
	VipsBandFormat format = vips_image_get_format(*im);
	VipsInterpretation look = vips_image_guess_interpretation(*im);
	bool usual = look == VIPS_INTERPRETATION_sRGB || look == VIPS_INTERPRETATION_RGB || look == VIPS_INTERPRETATION_RGB16 ||
		     look == VIPS_INTERPRETATION_B_W || look == VIPS_INTERPRETATION_GREY16 || look == VIPS_INTERPRETATION_CMYK;
	VipsImage *next;

	if (look == VIPS_INTERPRETATION_CMYK && (*im)->Bands > 4) {
		if (vips_extract_band(*im, &next, 0, "n", 4, NULL) != 0)
			return -1;
		step(im, next);
	}
	if (usual && (format == VIPS_FORMAT_UCHAR || format == VIPS_FORMAT_USHORT) && (*im)->Bands <= 4)
		return 0;
	if (vips_colourspace(*im, &next, VIPS_INTERPRETATION_sRGB, NULL) != 0)
		return -1;
	step(im, next);
	if ((*im)->Bands > 4) {
		if (vips_extract_band(*im, &next, 0, "n", 3, NULL) != 0)
			return -1;
		step(im, next);
	}
	if (vips_cast_uchar(*im, &next, NULL) != 0)
		return -1;
	step(im, next);
	return 0;
}

/* How 8-bit samples of this image are to be seen. */
static VipsInterpretation eight_bit_look(VipsImage *im)
{
	switch (vips_image_guess_interpretation(im)) {
	case VIPS_INTERPRETATION_CMYK:
		return VIPS_INTERPRETATION_CMYK;
	case VIPS_INTERPRETATION_B_W:
	case VIPS_INTERPRETATION_GREY16:
		return VIPS_INTERPRETATION_B_W;
	default:
		return im->Bands < 3 ? VIPS_INTERPRETATION_B_W : VIPS_INTERPRETATION_sRGB;
	}
}

/* The small image with what the steps behind need of the header: the profile and the orientation; for people, harmless EXIF. */
static int small_image(VipsImage **ret, VipsImage *from, const struct image_pixels *px, const struct wish *w)
{
	VipsImage *im = vips_image_new_from_memory(px->p, (size_t)px->width * (size_t)px->height * (size_t)px->bands, px->width, px->height,
						   px->bands, VIPS_FORMAT_UCHAR);
	const void *profile;
	size_t n;

	if (!im)
		return -1;
	im->Type = eight_bit_look(from);
	if (vips_image_get_typeof(from, VIPS_META_ICC_NAME) != 0 && vips_image_get_blob(from, VIPS_META_ICC_NAME, &profile, &n) == 0)
		vips_image_set_blob_copy(im, VIPS_META_ICC_NAME, profile, n);
	vips_image_set_int(im, VIPS_META_ORIENTATION, vips_image_get_orientation(from));
	if (w->keep_metadata)
		image_copy_exif(from, im);
	*ret = im;
	return 0;
}

/* A profile that does not work is passed over, as browsers do. */
static int to_srgb(VipsImage **im)
{
	VipsImage *next;

	if (vips_image_get_typeof(*im, VIPS_META_ICC_NAME) != 0) {
		if (vips_icc_transform(*im, &next, "srgb", "embedded", TRUE, "intent", VIPS_INTENT_PERCEPTUAL, NULL) == 0) {
			step(im, next);
			return 0;
		}
		vips_error_clear();
		vips_image_remove(*im, VIPS_META_ICC_NAME);
	}
	if (vips_image_get_interpretation(*im) != VIPS_INTERPRETATION_CMYK)
		return 0;
	if (vips_colourspace(*im, &next, VIPS_INTERPRETATION_sRGB, NULL) != 0)
		return -1;
	step(im, next);
	return 0;
}

static VipsArrayDouble *background_of(const struct wish *w, VipsImage *im)
{
	const uint8_t *c = w->background;
	double rgb[4] = {c[0], c[1], c[2], 255};
	/* Rec. 709, as libvips makes grey of sRGB */
	double grey[2] = {round(0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2]), 255};
	bool is_grey = im->Bands < 3;

	return vips_array_double_new(is_grey ? grey : rgb, im->Bands);
}

/* A coloured border or ground needs colour channels. */
static int grey_to_colour(VipsImage **im, const struct wish *w)
{
	const uint8_t *c = w->background;
	VipsImage *next;

	if ((*im)->Bands >= 3 || (c[0] == c[1] && c[1] == c[2]))
		return 0;
	if (vips_colourspace(*im, &next, VIPS_INTERPRETATION_sRGB, NULL) != 0)
		return -1;
	step(im, next);
	return 0;
}

static int cut_or_border(VipsImage **im, const struct plan *p, const struct wish *w)
{
	int left = (p->out_width - p->width) / 2, top = (p->out_height - p->height) / 2, r;
	VipsArrayDouble *ground;
	VipsImage *next;

	if (p->out_width == p->width && p->out_height == p->height)
		return 0;
	if (p->out_width <= p->width && p->out_height <= p->height) {
		r = vips_extract_area(*im, &next, -left, -top, p->out_width, p->out_height, NULL);
	} else {
		if (grey_to_colour(im, w) != 0)
			return -1;
		ground = background_of(w, *im);
		r = vips_embed(*im, &next, left, top, p->out_width, p->out_height, "extend", VIPS_EXTEND_BACKGROUND, "background", ground,
			       NULL);
		vips_area_unref(VIPS_AREA(ground));
	}
	if (r == 0)
		step(im, next);
	return r;
}

static int make_opaque(VipsImage **im, const struct wish *w)
{
	VipsArrayDouble *ground;
	VipsImage *next, *bytes;
	int r;

	if (!vips_image_hasalpha(*im))
		return 0;
	if (grey_to_colour(im, w) != 0)
		return -1;
	ground = background_of(w, *im);
	VIPS_AREA(ground)->n = (*im)->Bands - 1;
	r = vips_flatten(*im, &next, "background", ground, NULL);
	vips_area_unref(VIPS_AREA(ground));
	if (r != 0)
		return -1;
	step(im, next);
	if (vips_cast_uchar(*im, &bytes, NULL) != 0)
		return -1;
	step(im, bytes);
	return 0;
}

/* The image as it is to be written; borrows px. */
static int finish_pixels(VipsImage **im, const struct plan *p, const struct wish *w, const struct writer *writer)
{
	VipsImage *upright;

	if (to_srgb(im) != 0)
		return -1;
	if (vips_image_get_orientation(*im) != 1) {
		if (vips_autorot(*im, &upright, NULL) != 0)
			return -1;
		step(im, upright);
	}
	if (cut_or_border(im, p, w) != 0)
		return -1;
	return writer->alpha ? 0 : make_opaque(im, w);
}

/* ---- output ---- */

static int put(void *sink, const void *data, size_t n)
{
	struct sink *s = sink;

	if (s->whole)
		buf_add(s->whole, data, n);
	else if (s->code == 0)
		s->code = sealed_write(s->job, data, n, s->e);
	return s->code;
}

static gint64 write_piece(VipsTargetCustom *target, const void *data, gint64 n, struct sink *s)
{
	return put(s, data, (size_t)n) == 0 ? n : -1;
}

static int save_by_vips(VipsImage *im, const struct writer *writer, const struct wish *w, struct sink *sink)
{
	VipsTargetCustom *target = vips_target_custom_new();
	int r;

	if (!target)
		return -1;
	g_signal_connect(target, "write", G_CALLBACK(write_piece), sink);
	r = writer->save(im, VIPS_TARGET(target), w);
	g_object_unref(target);
	return r;
}

static int save(VipsImage *im, const struct writer *writer, const struct wish *w, struct sealed_job *j, struct err *e)
{
	CLEANUP(buf_release) struct buf whole = BUF_INIT;
	struct sink sink = {.job = j, .whole = writer->check ? &whole : NULL, .e = e};
	int r;

	if (writer->save == save_jpeg && !w->keep_metadata)
		r = image_jpeg_write(im, w->quality, put, &sink);
	else
		r = save_by_vips(im, writer, w, &sink);
	if (sink.code < 0)
		return sink.code;
	if (r != 0)
		return image_failed("the image cannot be written", e);
	if (!writer->check)
		return 0;
	if (!buf_ok(&whole) || !writer->check(buf_str(&whole)))
		return err_set(e, ERR_LIMIT_MEMORY, "there was too little memory to write %s", writer->name);
	return sealed_write(j, whole.p, whole.len, e);
}

static void write_result(struct buf *out, const struct plan *p, const struct writer *writer, const struct image_kind *kind)
{
	struct json_out o = json_out(out);

	json_obj_open(&o);
	json_ku64(&o, "width", (uint64_t)p->out_width);
	json_ku64(&o, "height", (uint64_t)p->out_height);
	json_kcstr(&o, "format", writer->name);
	json_key(&o, "source");
	json_obj_open(&o);
	json_ku64(&o, "width", (uint64_t)p->seen_width);
	json_ku64(&o, "height", (uint64_t)p->seen_height);
	json_kcstr(&o, "format", kind->name);
	json_obj_close(&o);
	json_obj_close(&o);
}

/* ---- the op ---- */

struct source {
	const struct image_kind *kind;
	const void *data;
	size_t n;
};

static int open_source(struct source *ret, struct sealed_job *j, struct err *e)
{
	char first[512];
	size_t n;
	int r = sealed_first(j, first, sizeof(first), &n, e);

	if (r < 0)
		return r;
	*ret = (struct source){.kind = image_kind_of(first, n), .n = (size_t)j->size};
	if (!ret->kind)
		return err_set(e, ERR_UNSUPPORTED_FORMAT, "resize works on JPEG, PNG, WebP, GIF, TIFF, AVIF and HEIC images");
	return sealed_all(j, &ret->data, e);
}

static const struct writer *choose_writer(const struct wish *w, const struct image_kind *k, VipsImage *im)
{
	if (strcmp(w->format, "keep") != 0)
		return writer_of(w->format);
	return writer_of(vips_image_hasalpha(im) ? k->keep_alpha : k->keep);
}

/* The pixels as libvips decodes them. *im becomes what they were read from. */
static int reduce(VipsImage **im, const struct source *s, const struct plan *p, struct image_pixels *px, struct err *e)
{
	CLEANUP(image_reduction_free) struct image_reduction *reduction = NULL;
	struct image_extent extent = {(double)(*im)->Xsize / p->shrink, (double)(*im)->Ysize / p->shrink};
	struct image_shape shape;
	VipsImage *next;
	int r;

	if (p->shrink > 1) {
		if (s->kind->load(s->data, s->n, p->shrink, &next) != 0)
			return IMAGE_DECODE_FAILED;
		step(im, next);
	}
	if (to_reducible(im) != 0)
		return IMAGE_DECODE_FAILED;
	if (!s->kind->shrinks_blocks)
		extent = (struct image_extent){(*im)->Xsize, (*im)->Ysize};
	shape = (struct image_shape){.width = (*im)->Xsize,
				     .height = (*im)->Ysize,
				     .bands = (*im)->Bands,
				     .wide = vips_image_get_format(*im) == VIPS_FORMAT_USHORT,
				     .has_alpha = vips_image_hasalpha(*im)};
	r = image_reduction_new(&reduction, &shape, &extent, stored_width(p), stored_height(p), e);
	if (r == 0)
		r = image_reduction_rows(reduction, *im);
	if (r == 0)
		*px = image_reduction_take(reduction);
	return r;
}

/* The same past libvips. 0 pixels are taken when it is not a usual JPEG. */
static int reduce_jpeg(VipsImage *im, const struct source *s, const struct plan *p, struct image_pixels *px, struct err *e)
{
	CLEANUP(image_reduction_free) struct image_reduction *reduction = NULL;
	CLEANUP(image_jpeg_close) struct image_jpeg *jpeg = NULL;
	const struct image_extent extent = {(double)im->Xsize / p->shrink, (double)im->Ysize / p->shrink};
	struct image_shape shape;
	uint8_t **rows;
	int r;

	r = image_jpeg_open(&jpeg, s->data, s->n, p->shrink);
	if (r <= 0)
		return r;
	shape = image_jpeg_shape(jpeg);
	r = image_reduction_new(&reduction, &shape, &extent, stored_width(p), stored_height(p), e);
	if (r < 0)
		return r;
	while ((r = image_jpeg_rows(jpeg, &rows)) > 0)
		for (int i = 0; i < r; i++)
			image_reduction_row(reduction, rows[i]);
	if (r == 0)
		*px = image_reduction_take(reduction);
	return r;
}

/* Decodes and reduces: *im becomes the small image, whose pixels are in px. */
static int decode(VipsImage **im, const struct source *s, const struct plan *p, const struct wish *w, struct image_pixels *px,
		  struct err *e)
{
	VipsImage *next;
	int r = 0;

	if (strcmp(s->kind->name, "jpeg") == 0)
		r = reduce_jpeg(*im, s, p, px, e);
	if (r == 0 && !px->p)
		r = reduce(im, s, p, px, e);
	if (r == IMAGE_DECODE_FAILED)
		return image_error(s->kind, s->data, s->n, e);
	if (r < 0)
		return r;
	if (small_image(&next, *im, px, w) != 0)
		return image_failed("the image cannot be made", e);
	step(im, next);
	return 0;
}

static void pixels_free(struct image_pixels *px)
{
	free(px->p);
}

static int resize(struct sealed_job *j, struct err *e)
{
	CLEANUP(pixels_free) struct image_pixels px = {};
	CLEANUP(image_unref) VipsImage *im = NULL;
	const struct writer *writer;
	struct source s;
	struct wish w;
	struct plan p;
	int r;

	image_warm();
	r = read_wish(&w, j->params, e);
	if (r == 0)
		r = open_source(&s, j, e);
	if (r == 0)
		r = image_open(&im, s.kind, s.data, s.n, j->limits.pixels_max, e);
	if (r < 0)
		return r;
	writer = choose_writer(&w, s.kind, im);
	assert(writer);
	p = plan_for(&w, im, s.kind->shrink_max);
	r = check_plan(&p, writer, &j->limits, e);
	if (r == 0)
		r = decode(&im, &s, &p, &w, &px, e);
	if (r < 0)
		return r;
	if (finish_pixels(&im, &p, &w, writer) != 0)
		return image_failed("the image cannot be converted", e);
	r = save(im, writer, &w, j, e);
	if (r < 0)
		return r;
	write_result(&j->result, &p, writer, s.kind);
	return 0;
}

const struct sealed_op op_resize = {"resize", POLICY_ONCE, image_prepare, resize};
