/* Images inside the seal: what resize and probe share. libvips is seen here and below only.
 *
 * The kind of a file is told by its first bytes (ops/ops.h), and then one loader of libvips is called by its name: libvips' own guessing knows too many formats.
 * A loader reads the header; nothing is decoded before the number of pixels was checked. */
#ifndef FILEMILL_RUNNER_IMAGE_H
#define FILEMILL_RUNNER_IMAGE_H

#include "runner/child/child.h"

#include <vips/vips.h>

/* One kind of image that is read. */
struct image_kind {
	const char *type; /* as magic_type() says it */
	const char *name; /* "jpeg", … */
	/* Opens the bytes, which must outlive the image. `shrink`: 1, 2, 4, 8 for a kind that can be decoded smaller, else 1. 0 or -1 with the reason in libvips' error buffer. */
	int (*load)(const void *data, size_t n, int shrink, VipsImage **ret);
	int shrink_max;
	bool shrinks_blocks; /* the last row and column of a shrunk image may be image in part only */
	/* The file ends before its own structure says so; asked when decoding failed, and by kinds whose loaders do not notice. */
	bool (*ends_early)(const uint8_t *p, size_t n);
	bool strict; /* ends_early is asked before decoding */
	/* What `format=keep` writes; with an alpha channel */
	const char *keep, *keep_alpha;
};

/* Once, before the first fork: starts libvips without its modules but the one for HEIF, without files, threads to spare or caches. More calls do nothing. */
[[nodiscard]] int image_prepare(struct err *e);

/* Memory made ready at once instead of page by page as it is touched, which takes longer than filtering what stands in it: some for everything small; n bytes in one block, free(). */
void image_warm(void);
void *image_big(size_t n);

/* NULL: not a kind that is read. */
const struct image_kind *image_kind_of(const void *first, size_t n);

/* Opens the whole file and checks its header: ERR_IMAGE_TOO_LARGE, ERR_TRUNCATED, ERR_INVALID_CONTENT. */
[[nodiscard]] int image_open(VipsImage **ret, const struct image_kind *k, const void *data, size_t n, uint64_t pixels_max, struct err *e);

/* What libvips' error buffer says, as one of our codes; empties it. `data` to see whether the file was cut. */
int image_error(const struct image_kind *k, const void *data, size_t n, struct err *e);
/* The same when no foreign bytes were at work. */
int image_failed(const char *what, struct err *e);

/* ---- image_exif.c: the fields of EXIF that are passed on: no place, no maker's notes, no serial numbers, no thumbnails ---- */

/* Calls for every one that the header has, with its name in EXIF and its value as text for people (any bytes). */
void image_each_exif(VipsImage *im, void (*each)(void *arg, const char *name, struct str value), void *arg);
/* Copies them as they are into another header. */
void image_copy_exif(VipsImage *from, VipsImage *to);

/* ---- image_reduce.c ---- */

/* Pixels in memory: 8 bits a sample, rows without gaps. */
struct image_pixels {
	uint8_t *p; /* free() */
	int width, height, bands;
};

/* How much of the decoded pixels is the image: a JPEG of 801 pixels decoded at a half is 401 wide, of which 400.5 are image. */
struct image_extent {
	double width, height;
};

/* What is given, row by row: 1 to 4 bands of 8 or 16 bits (wide); with an alpha channel, the last one weighs the others. */
struct image_shape {
	int width, height, bands;
	bool wide, has_alpha;
};

/* Makes the extent exactly width × height by Lanczos filtering. Takes every row of the shape once, from top to bottom; keeps only those under way. ERR_INVALID_CONTENT for other shapes,
 * ERR_LIMIT_MEMORY. */
struct image_reduction;
[[nodiscard]] int image_reduction_new(struct image_reduction **ret, const struct image_shape *shape, const struct image_extent *extent,
				      int width, int height, struct err *e);
void image_reduction_row(struct image_reduction *r, const void *row);
/* After the last row: the caller's from now on. */
struct image_pixels image_reduction_take(struct image_reduction *r);
void image_reduction_free(struct image_reduction **r);

/* All rows of an image of libvips, in the calling thread. IMAGE_DECODE_FAILED: libvips' error buffer says why. */
#define IMAGE_DECODE_FAILED (-1000)
[[nodiscard]] int image_reduction_rows(struct image_reduction *r, VipsImage *in);

/* ---- image_jpeg.c: most JPEGs, without libvips. Reasons are in libvips' error buffer all the same ---- */

struct image_jpeg;
/* Opens one for decoding at 1/shrink: 1; 0 when it is not of the usual kind (progressive, CMYK, …), for libvips then; or IMAGE_DECODE_FAILED. The bytes must outlive it. */
[[nodiscard]] int image_jpeg_open(struct image_jpeg **ret, const void *data, size_t n, int shrink);
struct image_shape image_jpeg_shape(const struct image_jpeg *j);
/* The next rows, valid until the next call: their number, 0 at the end, IMAGE_DECODE_FAILED for whatever is not quite in order. */
[[nodiscard]] int image_jpeg_rows(struct image_jpeg *j, uint8_t ***ret);
void image_jpeg_close(struct image_jpeg **j);
/* Writes 8-bit grey or sRGB without metadata. -1: libvips' error buffer says why, or put() failed. */
[[nodiscard]] int image_jpeg_write(VipsImage *im, int quality, int (*put)(void *arg, const void *data, size_t n), void *arg);

/* For cleanup attributes */
static inline void image_unref(VipsImage **im)
{
	if (*im)
		g_object_unref(*im);
	*im = NULL;
}

#endif
