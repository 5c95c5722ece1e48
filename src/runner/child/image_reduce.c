/* Lanczos filtering in one pass over the rows of an image, in the calling thread.
 *
 * libvips' own resize is fast with machine code it writes at run time, which the seal forbids, and slow without. This one first filters vertically: every row of the input is
 * added, weighted, to the few rows of the output whose filters reach over it, so memory is those few rows, whatever the image's height. A finished row is then filtered
 * horizontally. Samples are floats, and both loops work on vectors.
 *
 * The filter is Lanczos with three lobes, stretched by the factor when reducing; at the borders what lies outside is left out and the rest weighs more. */
#include "runner/child/image.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LOBES 3.0
#define STRIP_ROWS 16 /* loaders work in strips of about this */
#define BANDS_MAX 4

/* One output row or column is the sum of `count` inputs from `first` on. */
struct tap {
	int first, count;
	size_t weights; /* index */
};

struct filter {
	struct tap *taps; /* one an output */
	float *weights;
	float *pairs; /* the same for two pixels of four samples at once, one tap after the other; NULL = not needed */
};

static void filter_release(struct filter *f)
{
	free(f->taps);
	free(f->weights);
	free(f->pairs);
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
		float *w = f->weights + used;

		f->taps[i] = (struct tap){first, last - first + 1, used};
		for (int k = first; k <= last; k++) {
			double v = lanczos((k - centre) / stretch);

			w[k - first] = (float)v;
			sum += v;
		}
		for (int k = first; k <= last; k++)
			w[k - first] = (float)(w[k - first] / sum);
		used += (size_t)(last - first + 1);
	}
	return true;
}

/* An odd tap is made even by one that weighs nothing. */
static bool filter_pair(struct filter *f, int to)
{
	size_t pairs = 0;
	float *w;

	for (int i = 0; i < to; i++)
		pairs += (size_t)(f->taps[i].count + 1) / 2;
	w = f->pairs = calloc(pairs, 8 * sizeof(*w));
	if (!w)
		return false;
	for (int i = 0; i < to; i++) {
		for (int k = 0; k < f->taps[i].count; k++, w += 4)
			for (int lane = 0; lane < 4; lane++)
				w[lane] = f->weights[f->taps[i].weights + (size_t)k];
		w += f->taps[i].count % 2 * 4;
	}
	return true;
}

/* ---- rows ---- */

#define GROUP 4 /* input rows that are added at once: each sum is read and written once for all of them */
#define SLACK 8 /* floats behind a row that vectors may reach */

#define LOW_BYTES 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH_BYTES 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31

typedef float vec8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef int32_t ints1 __attribute__((aligned(1), may_alias));
typedef uint8_t bytes16 __attribute__((vector_size(16), aligned(1), may_alias));
typedef uint16_t shorts8 __attribute__((vector_size(16)));
typedef int32_t int4 __attribute__((vector_size(16)));
typedef float vec4 __attribute__((vector_size(16), aligned(4), may_alias));

struct image_reduction {
	struct image_shape in;
	struct filter across, down;
	size_t samples, stride; /* of a row: used, and with slack */
	float *rows; /* GROUP rows of the input */
	float *pixels; /* of the row being filtered horizontally */
	float *sums; /* `ring` rows of the output's height under way, of the input's width */
	int ring;
	int begun, done; /* output rows */
	int taken; /* input rows */
	struct image_pixels out;
};

static float *sum_row(struct image_reduction *r, int y)
{
	return r->sums + (size_t)(y % r->ring) * r->stride;
}

static inline __attribute__((always_inline)) void put_ints(float *dst, shorts8 v)
{
	shorts8 zero = {};

	*(vec4 *)dst = __builtin_convertvector((int4)__builtin_shufflevector(v, zero, 0, 8, 1, 9, 2, 10, 3, 11), vec4);
	*(vec4 *)(dst + 4) = __builtin_convertvector((int4)__builtin_shufflevector(v, zero, 4, 12, 5, 13, 6, 14, 7, 15), vec4);
}

/* Samples to floats from 0 to 255. */
ATTR_VECTOR static void widen8(const uint8_t *src, float *dst, size_t n)
{
	size_t i = 0;

	for (; i + 16 <= n; i += 16) {
		bytes16 v = *(const bytes16 *)(src + i), zero = {};
		/* Little-endian: zeros between make bytes shorts, and shorts ints. */
		shorts8 low = (shorts8)__builtin_shufflevector(v, zero, LOW_BYTES),
			high = (shorts8)__builtin_shufflevector(v, zero, HIGH_BYTES);

		put_ints(dst + i, low);
		put_ints(dst + i + 8, high);
	}
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

/* Of three or four bands: writes four bytes. Weighed colours are unweighed again. */
static inline __attribute__((always_inline)) void put_colour(uint8_t *dst, vec4 v, bool has_alpha)
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
	*(ints1 *)dst = ((int4)__builtin_shufflevector((bytes16)i, (bytes16)i, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12))[0];
}

/* A pixel as a vector of its own; of three bands, the last lane is the next pixel's and not used. */
ATTR_VECTOR static void space_out(const float *src, float *dst, int width, size_t bands)
{
	for (int x = 0; x < width; x++, src += bands, dst += 4)
		*(vec4 *)dst = *(const vec4 *)src;
}

/* Three or four bands: a vector is two pixels, and so two taps. Writes a byte behind the last pixel of three bands. */
ATTR_VECTOR static void across_vector(const struct filter *f, const float *pixels, struct image_pixels *out, uint8_t *dst, bool has_alpha)
{
	const float *w = f->pairs;

	for (int x = 0; x < out->width; x++, dst += out->bands) {
		const float *src = pixels + (size_t)f->taps[x].first * 4;
		vec8 sum = {};

		for (int k = 0; k < f->taps[x].count; k += 2, src += 8, w += 8)
			sum += *(const vec8 *)src * *(const vec8 *)w;
		put_colour(dst, __builtin_shufflevector(sum, sum, 0, 1, 2, 3) + __builtin_shufflevector(sum, sum, 4, 5, 6, 7), has_alpha);
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

static void finish_row(struct image_reduction *r)
{
	uint8_t *dst = r->out.p + (size_t)r->done * (size_t)r->out.width * (size_t)r->in.bands;
	const float *row = sum_row(r, r->done);

	if (r->in.bands >= 3) {
		space_out(row, r->pixels, r->in.width, (size_t)r->in.bands);
		across_vector(&r->across, r->pixels, &r->out, dst, r->in.has_alpha);
	} else {
		across_scalar(&r->across, row, &r->out, dst, r->in.has_alpha);
	}
	r->done++;
}

static int end_of(const struct tap *t)
{
	return t->first + t->count;
}

/* Rows y to y + n - 1 stand in r->rows; those beyond weigh nothing. */
static void take_group(struct image_reduction *r, int y, int n)
{
	while (r->begun < r->out.height && r->down.taps[r->begun].first < y + n)
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

void image_reduction_row(struct image_reduction *r, const void *src)
{
	int y = r->taken++, k = y % GROUP;
	float *row = r->rows + (size_t)k * r->stride;

	if (r->in.wide)
		widen16(src, row, r->samples);
	else
		widen8(src, row, r->samples);
	if (r->in.has_alpha)
		weigh_by_alpha(row, r->in.width, r->in.bands);
	if (k == GROUP - 1 || y == r->in.height - 1)
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

static bool allocate(struct image_reduction *r, const struct image_extent *extent)
{
	size_t pixels = (size_t)r->out.width * (size_t)r->out.height;

	if (!filter_init(&r->across, r->in.width, extent->width, r->out.width) ||
	    !filter_init(&r->down, r->in.height, extent->height, r->out.height))
		return false;
	r->samples = (size_t)r->in.width * (size_t)r->in.bands;
	r->stride = r->samples + SLACK;
	r->ring = rows_under_way(&r->down, r->out.height);
	r->rows = calloc(GROUP * r->stride, sizeof(float));
	r->sums = calloc((size_t)r->ring * r->stride, sizeof(float));
	r->pixels = calloc((size_t)r->in.width + 1, 4 * sizeof(float));
	r->out.p = image_big(pixels * (size_t)r->out.bands + 1);
	return r->rows && r->sums && r->pixels && r->out.p && (r->in.bands < 3 || filter_pair(&r->across, r->out.width));
}

int image_reduction_new(struct image_reduction **ret, const struct image_shape *shape, const struct image_extent *extent, int width,
			int height, struct err *e)
{
	CLEANUP(image_reduction_free) struct image_reduction *r = NULL;

	if (shape->bands < 1 || shape->bands > BANDS_MAX)
		return err_set(e, ERR_INVALID_CONTENT, "an image of %d bands cannot be resized", shape->bands);
	r = calloc(1, sizeof(*r));
	if (!r)
		return err_set(e, ERR_LIMIT_MEMORY, "no memory to resize the image");
	r->in = *shape;
	r->out = (struct image_pixels){NULL, width, height, shape->bands};
	if (!allocate(r, extent))
		return err_set(e, ERR_LIMIT_MEMORY, "no memory to resize the image");
	*ret = r;
	r = NULL;
	return 0;
}

struct image_pixels image_reduction_take(struct image_reduction *r)
{
	struct image_pixels out = r->out;

	assert(r->taken == r->in.height);
	r->out.p = NULL;
	return out;
}

void image_reduction_free(struct image_reduction **ptr)
{
	struct image_reduction *r = *ptr;

	if (!r)
		return;
	filter_release(&r->across);
	filter_release(&r->down);
	free(r->rows);
	free(r->sums);
	free(r->pixels);
	free(r->out.p);
	free(r);
	*ptr = NULL;
}

int image_reduction_rows(struct image_reduction *r, VipsImage *in)
{
	VipsRegion *region = vips_region_new(in);
	int result = 0;

	if (!region)
		return IMAGE_DECODE_FAILED;
	for (int top = 0; top < r->in.height && result == 0; top += STRIP_ROWS) {
		VipsRect strip = {0, top, r->in.width, r->in.height - top < STRIP_ROWS ? r->in.height - top : STRIP_ROWS};

		if (vips_region_prepare(region, &strip) != 0)
			result = IMAGE_DECODE_FAILED;
		for (int y = top; y < top + strip.height && result == 0; y++)
			image_reduction_row(r, VIPS_REGION_ADDR(region, 0, y));
	}
	g_object_unref(region);
	return result;
}
