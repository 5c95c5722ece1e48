/* Lanczos filtering in one pass over the rows of an image, in the calling thread.
 *
 * libvips' own resize is fast with machine code it writes at run time, which the seal forbids, and slow without. This one first filters vertically: every row of the input is
 * added, weighted, to the few rows of the output whose filters reach over it, so memory is those few rows, whatever the image's height. A finished row is then filtered
 * horizontally. Samples are floats, and both loops work on vectors.
 *
 * The filter is Lanczos with three lobes, stretched by the factor when reducing; at the borders what lies outside is left out and the rest weighs more. */
#include "runner/child/image.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LOBES 3.0
#define STRIP_ROWS 16 /* a JPEG's block rows; loaders work in strips of about this */
#define BANDS_MAX 4

/* One output row or column is the sum of `count` inputs from `first` on. */
struct tap {
	int first, count;
	size_t weights; /* index */
};

struct filter {
	struct tap *taps; /* one an output */
	float *weights;
};

static void filter_release(struct filter *f)
{
	free(f->taps);
	free(f->weights);
}

static double lanczos(double x)
{
	double px = M_PI * x;

	if (fabs(x) < 1e-9)
		return 1;
	return fabs(x) >= LOBES ? 0 : LOBES * sin(px) * sin(px / LOBES) / (px * px);
}

/* `extent` of the `from` inputs are the image; the last may be one in part. */
static bool filter_init(struct filter *f, int from, double extent, int to)
{
	double factor = extent / to, stretch = fmax(1, factor), reach = LOBES * stretch;
	size_t most = (size_t)(2 * reach) + 3, used = 0;

	f->taps = calloc((size_t)to, sizeof(*f->taps));
	f->weights = calloc((size_t)to * most, sizeof(*f->weights));
	if (!f->taps || !f->weights)
		return false;
	for (int i = 0; i < to; i++) {
		double centre = (i + 0.5) * factor - 0.5, sum = 0;
		int first = (int)fmax(0, ceil(centre - reach)), last = (int)fmin(from - 1, floor(centre + reach));

		f->taps[i] = (struct tap){first, last - first + 1, used};
		for (int k = first; k <= last; k++)
			sum += lanczos((k - centre) / stretch);
		for (int k = first; k <= last; k++)
			f->weights[used++] = (float)(lanczos((k - centre) / stretch) / sum);
	}
	return true;
}

/* ---- rows ---- */

#define GROUP 4 /* input rows that are added at once: each sum is read and written once for all of them */
#define SLACK 8 /* floats behind a row that vectors may reach */

typedef float vec8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef int32_t ints8 __attribute__((vector_size(32)));
typedef uint8_t bytes8 __attribute__((vector_size(8), aligned(1), may_alias));
typedef int32_t int4 __attribute__((vector_size(16)));
typedef float vec4 __attribute__((vector_size(16), aligned(4), may_alias));

struct reduction {
	int width, height, bands; /* of the input */
	bool wide, has_alpha;
	struct filter across, down;
	size_t samples, stride; /* of a row: used, and with slack */
	float *rows; /* GROUP rows of the input */
	float *sums; /* `ring` rows of the output's height under way, of the input's width */
	int ring;
	int begun, done; /* output rows */
	struct image_pixels *out;
};

static void reduction_release(struct reduction *r)
{
	filter_release(&r->across);
	filter_release(&r->down);
	free(r->rows);
	free(r->sums);
}

static float *sum_row(struct reduction *r, int y)
{
	return r->sums + (size_t)(y % r->ring) * r->stride;
}

/* Samples to floats from 0 to 255. */
ATTR_VECTOR static void widen8(const uint8_t *src, float *dst, size_t n)
{
	size_t i = 0;

	for (; i + 8 <= n; i += 8)
		*(vec8 *)(dst + i) = __builtin_convertvector(__builtin_convertvector(*(const bytes8 *)(src + i), ints8), vec8);
	for (; i < n; i++)
		dst[i] = src[i];
}

static void widen16(const uint16_t *src, float *dst, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = (float)src[i] * (255.0F / 65535.0F);
}

/* What is transparent must not colour its neighbours. */
static void weigh_by_alpha(float *row, int width, int bands)
{
	for (int i = 0; i < width; i++, row += bands)
		for (int b = 0; b < bands - 1; b++)
			row[b] *= row[bands - 1] * (1.0F / 255.0F);
}

/* sum += rows × weights, for GROUP rows */
ATTR_VECTOR static void add_rows(float *sum, const float *rows, size_t stride, const float *w, size_t n)
{
	for (size_t i = 0; i < n; i += 8) {
		const float *p = rows + i;

		*(vec8 *)(sum + i) += *(const vec8 *)p * w[0] + *(const vec8 *)(p + stride) * w[1] +
				      *(const vec8 *)(p + 2 * stride) * w[2] + *(const vec8 *)(p + 3 * stride) * w[3];
	}
}

static inline uint8_t narrow(float v)
{
	int i = (int)(v + 0.5F);

	return (uint8_t)(i < 0 ? 0 : i > 255 ? 255 : i);
}

/* Of one or two bands */
static inline void put_grey(uint8_t *dst, const float *v, bool has_alpha)
{
	dst[0] = narrow(!has_alpha ? v[0] : v[1] >= 0.5F ? v[0] * (255.0F / v[1]) : 0);
	if (has_alpha)
		dst[1] = narrow(v[1]);
}

/* Of three or four. Weighed colours are unweighed again. */
static inline __attribute__((always_inline)) void put_colour(uint8_t *dst, vec4 v, int bands, bool has_alpha)
{
	int4 i, over;

	if (has_alpha) {
		float alpha = v[3], scale = alpha >= 0.5F ? 255.0F / alpha : 0;

		v *= scale;
		v[3] = alpha;
	}
	i = __builtin_convertvector(v + 0.5F, int4);
	i &= i > 0;
	over = i > 255;
	i = (i & ~over) | (over & 255);
	dst[0] = (uint8_t)i[0];
	dst[1] = (uint8_t)i[1];
	dst[2] = (uint8_t)i[2];
	if (bands == 4)
		dst[3] = (uint8_t)i[3];
}

/* Three or four bands: a pixel is a vector; with three, its last lane is the next pixel's and not used. */
ATTR_VECTOR static void across_vector(const struct filter *f, const float *row, struct image_pixels *out, uint8_t *dst, bool has_alpha)
{
	const size_t bands = (size_t)out->bands;

	for (int x = 0; x < out->width; x++, dst += bands) {
		const float *src = row + (size_t)f->taps[x].first * bands, *w = f->weights + f->taps[x].weights;
		int count = f->taps[x].count, k = 0;
		vec4 even = {}, odd = {};

		for (; k + 2 <= count; k += 2, src += 2 * bands) {
			even += *(const vec4 *)src * w[k];
			odd += *(const vec4 *)(src + bands) * w[k + 1];
		}
		if (k < count)
			even += *(const vec4 *)src * w[k];
		even += odd;
		put_colour(dst, even, out->bands, has_alpha);
	}
}

static void across_scalar(const struct filter *f, const float *row, struct image_pixels *out, uint8_t *dst, bool has_alpha)
{
	for (int x = 0; x < out->width; x++, dst += out->bands) {
		const float *src = row + (size_t)f->taps[x].first * (size_t)out->bands, *w = f->weights + f->taps[x].weights;
		float sum[2] = {};

		for (int k = 0; k < f->taps[x].count; k++)
			for (int b = 0; b < out->bands; b++)
				sum[b] += *src++ * w[k];
		put_grey(dst, sum, has_alpha);
	}
}

static void finish_row(struct reduction *r)
{
	uint8_t *dst = r->out->p + (size_t)r->done * (size_t)r->out->width * (size_t)r->bands;

	(r->bands >= 3 ? across_vector : across_scalar)(&r->across, sum_row(r, r->done), r->out, dst, r->has_alpha);
	r->done++;
}

static int end_of(const struct tap *t)
{
	return t->first + t->count;
}

/* Rows y to y + n - 1 stand in r->rows; those beyond weigh nothing. */
static void take_group(struct reduction *r, int y, int n)
{
	while (r->begun < r->out->height && r->down.taps[r->begun].first < y + n)
		memset(sum_row(r, r->begun++), 0, r->stride * sizeof(float));
	for (int i = r->done; i < r->begun; i++) {
		const struct tap *t = &r->down.taps[i];
		float w[GROUP] = {};

		for (int k = 0; k < n; k++)
			if (y + k >= t->first && y + k < end_of(t))
				w[k] = r->down.weights[t->weights + (size_t)(y + k - t->first)];
		add_rows(sum_row(r, i), r->rows, r->stride, w, r->samples);
	}
	while (r->done < r->begun && end_of(&r->down.taps[r->done]) <= y + n)
		finish_row(r);
}

static void take_row(struct reduction *r, const void *src, int y)
{
	int k = y % GROUP;
	float *row = r->rows + (size_t)k * r->stride;

	if (r->wide)
		widen16(src, row, r->samples);
	else
		widen8(src, row, r->samples);
	if (r->has_alpha)
		weigh_by_alpha(row, r->width, r->bands);
	if (k == GROUP - 1 || y == r->height - 1)
		take_group(r, y - k, k + 1);
}

/* ---- the image ---- */

/* The most output rows that are under way at once, in whole groups of input rows. */
static int rows_under_way(const struct filter *f, int height)
{
	int most = 1, done = 0;

	for (int i = 0; i < height; i++) {
		while ((end_of(&f->taps[done]) + GROUP - 1) / GROUP <= f->taps[i].first / GROUP)
			done++;
		most = i - done + 1 > most ? i - done + 1 : most;
	}
	return most;
}

static int reduction_init(struct reduction *r, VipsImage *in, const struct image_extent *extent, struct image_pixels *out, struct err *e)
{
	VipsBandFormat format = vips_image_get_format(in);

	if (r->bands < 1 || r->bands > BANDS_MAX || (format != VIPS_FORMAT_UCHAR && format != VIPS_FORMAT_USHORT))
		return err_set(e, ERR_INVALID_CONTENT, "an image of %d bands of format %d cannot be resized", r->bands, (int)format);
	r->wide = format == VIPS_FORMAT_USHORT;
	r->samples = (size_t)r->width * (size_t)r->bands;
	r->stride = r->samples + SLACK;
	if (!filter_init(&r->across, r->width, extent->width, out->width) || !filter_init(&r->down, r->height, extent->height, out->height))
		return err_set(e, ERR_LIMIT_MEMORY, "no memory to resize the image");
	r->ring = rows_under_way(&r->down, out->height);
	r->rows = calloc(GROUP * r->stride, sizeof(float));
	r->sums = calloc((size_t)r->ring * r->stride, sizeof(float));
	out->p = malloc((size_t)out->width * (size_t)out->height * (size_t)out->bands);
	if (!r->rows || !r->sums || !out->p)
		return err_set(e, ERR_LIMIT_MEMORY, "no memory to resize the image");
	r->out = out;
	return 0;
}

static int take_strips(struct reduction *r, VipsImage *in)
{
	VipsRegion *region = vips_region_new(in);
	int result = 0;

	if (!region)
		return IMAGE_DECODE_FAILED;
	for (int top = 0; top < r->height && result == 0; top += STRIP_ROWS) {
		VipsRect strip = {0, top, r->width, r->height - top < STRIP_ROWS ? r->height - top : STRIP_ROWS};

		if (vips_region_prepare(region, &strip) != 0)
			result = IMAGE_DECODE_FAILED;
		for (int y = top; y < top + strip.height && result == 0; y++)
			take_row(r, VIPS_REGION_ADDR(region, 0, y), y);
	}
	g_object_unref(region);
	return result;
}

static void pixels_release(struct image_pixels *p)
{
	free(p->p);
}

int image_reduce(VipsImage *in, const struct image_extent *extent, int width, int height, bool has_alpha, struct image_pixels *ret,
		 struct err *e)
{
	CLEANUP(reduction_release)
	struct reduction r = {.width = in->Xsize, .height = in->Ysize, .bands = in->Bands, .has_alpha = has_alpha};
	CLEANUP(pixels_release) struct image_pixels out = {NULL, width, height, in->Bands};
	int result;

	result = reduction_init(&r, in, extent, &out, e);
	if (result < 0)
		return result;
	result = take_strips(&r, in);
	if (result < 0)
		return result;
	*ret = out;
	out.p = NULL;
	return 0;
}
