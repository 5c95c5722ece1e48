/* For image_*.c: what the table of kinds is made of. */
#ifndef FILEMILL_RUNNER_IMAGE_IMPL_H
#define FILEMILL_RUNNER_IMAGE_IMPL_H

#include "runner/child/image.h"

/* image_ends.c: whether a file of the kind lacks its end, by its own structure. Any bytes. */
bool image_jpeg_ends_early(const uint8_t *p, size_t n);
bool image_png_ends_early(const uint8_t *p, size_t n);
bool image_webp_ends_early(const uint8_t *p, size_t n);
bool image_gif_ends_early(const uint8_t *p, size_t n);
bool image_tiff_ends_early(const uint8_t *p, size_t n);
bool image_heif_ends_early(const uint8_t *p, size_t n);

/* ERR_TRUNCATED with its words */
int image_truncated(const struct image_kind *k, struct err *e);

#endif
