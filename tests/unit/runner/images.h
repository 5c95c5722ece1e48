/* Images for tests, made on the spot, and ops that run over them in the test's own process. */
#ifndef FILEMILL_TEST_RUNNER_IMAGES_H
#define FILEMILL_TEST_RUNNER_IMAGES_H

#include "runner/child/child.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vips/vips.h>

#include <cmocka.h>

struct bytes {
	uint8_t *p; /* free() */
	size_t n, cap;
};
void bytes_release(struct bytes *b);
struct bytes bytes_copy(const void *p, size_t n);
/* Appends. */
void bytes_add(struct bytes *b, const void *p, size_t n);
void bytes_be32(struct bytes *b, uint32_t v);

/* A picture whose quarters have colours of their own, with some grain: left top red, right top green, left bottom blue, right bottom white. bands: 1 grey, 2 grey and alpha,
 * 3 RGB, 4 RGB and alpha (the right half is transparent). */
VipsImage *picture(int width, int height, int bands);
/* The picture in a kind of file: ".jpg[Q=90]", ".png", … of libvips */
struct bytes encoded(VipsImage *im, const char *suffix);
struct bytes picture_as(const char *suffix, int width, int height, int bands);
/* A PNG whose header says this, with 8-bit or 1-bit grey zeros; really as many of them when whole. */
struct bytes plain_png(uint32_t width, uint32_t height, int bits, bool interlaced);
void png_chunk(struct bytes *b, const char *type, const void *data, size_t n);

/* One run of an op. */
struct ran {
	int code;
	struct err err;
	struct bytes out;
	char result[RUNNER_RESULT_MAX + 1];
};
struct ran run_op(const struct sealed_op *op, const char *params, struct bytes input);
void ran_release(struct ran *r);
/* resize with these params besides the defaults, such as `"width":10` */
struct ran run_resize(struct bytes input, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The output decoded by libvips; fails the test when the op failed. */
VipsImage *image_of(struct ran *r);
void check_size(struct ran *r, int width, int height);
/* The colour at the middle of a quarter (column and row 0 or 1), all bands as 8 bits; alpha 255 where there is none. */
struct colour {
	int c[4];
};
struct colour quarter(VipsImage *im, int column, int row);
bool is_about(struct colour a, int red, int green, int blue, int slack);

int images_set_up(void **state);

#endif
