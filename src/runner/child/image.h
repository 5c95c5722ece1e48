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

/* Makes the extent exactly width × height by Lanczos filtering, reading it once from top to bottom in strips, in the calling thread. The input has 1 to 4 bands of 8 or 16 bits
 * (ERR_INVALID_CONTENT else); when has_alpha, the last one weighs the others. -1: libvips' error buffer says why; other errors as codes. */
#define IMAGE_DECODE_FAILED (-1000)
[[nodiscard]] int image_reduce(VipsImage *in, const struct image_extent *extent, int width, int height, bool has_alpha,
			       struct image_pixels *ret, struct err *e);

/* For cleanup attributes */
static inline void image_unref(VipsImage **im)
{
	if (*im)
		g_object_unref(*im);
	*im = NULL;
}

#endif
