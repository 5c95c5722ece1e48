/* What of EXIF is passed on. A list of what is harmless, not of what is not: fields that nobody thought of stay behind. */
#include "runner/child/image.h"

#include <string.h>

/* libvips' names: directory 0 is the image's, 2 is EXIF's own. 1 (the thumbnail's) and 3 (the place, GPS) are never passed on. */
static const char *const harmless[] = {
	"exif-ifd0-ImageDescription",
	"exif-ifd0-Make",
	"exif-ifd0-Model",
	"exif-ifd0-Software",
	"exif-ifd0-DateTime",
	"exif-ifd0-Artist",
	"exif-ifd0-Copyright",
	"exif-ifd2-ExposureTime",
	"exif-ifd2-FNumber",
	"exif-ifd2-ExposureProgram",
	"exif-ifd2-ISOSpeedRatings",
	"exif-ifd2-DateTimeOriginal",
	"exif-ifd2-DateTimeDigitized",
	"exif-ifd2-OffsetTime",
	"exif-ifd2-OffsetTimeOriginal",
	"exif-ifd2-OffsetTimeDigitized",
	"exif-ifd2-SubsecTimeOriginal",
	"exif-ifd2-ExposureBiasValue",
	"exif-ifd2-MeteringMode",
	"exif-ifd2-Flash",
	"exif-ifd2-FocalLength",
	"exif-ifd2-FocalLengthIn35mmFilm",
	"exif-ifd2-WhiteBalance",
	"exif-ifd2-LensMake",
	"exif-ifd2-LensModel",
};

/* libvips writes "value (value for people, format, n components, n bytes)". The value may have parentheses of its own: for text both values are the same, which shows where the
 * first one ends. */
static struct str value_of(const char *text)
{
	struct str all = str_of(text), inner = all;

	for (int commas = 0; commas < 3 && inner.len > 0; inner.len--)
		commas += inner.p[inner.len - 1] == ',';
	for (size_t i = 0; i + 2 < inner.len; i++) {
		struct str first = {inner.p, i}, second = {inner.p + i + 2, inner.len - i - 2};

		if (memcmp(inner.p + i, " (", 2) == 0 && str_eq(first, second))
			return first;
	}
	for (size_t i = 0; i + 2 < inner.len; i++)
		if (memcmp(inner.p + i, " (", 2) == 0)
			return (struct str){all.p, i};
	return all;
}

void image_each_exif(VipsImage *im, void (*each)(void *arg, const char *name, struct str value), void *arg)
{
	for (size_t i = 0; i < ARRAY_LEN(harmless); i++) {
		const char *text;

		if (vips_image_get_typeof(im, harmless[i]) != 0 && vips_image_get_string(im, harmless[i], &text) == 0)
			each(arg, harmless[i] + strlen("exif-ifd0-"), str_trim(value_of(text)));
	}
}

void image_copy_exif(VipsImage *from, VipsImage *to)
{
	/* Empty, in TIFF's structure: some of libvips' writers put the fields only into a block that is there. */
	static const char block[] = "Exif\0\0II*\0\10\0\0\0\0\0\0\0\0";

	vips_image_set_blob_copy(to, VIPS_META_EXIF_NAME, block, sizeof(block) - 1);
	for (size_t i = 0; i < ARRAY_LEN(harmless); i++) {
		CLEANUP(buf_release) struct buf b = BUF_INIT;
		const char *text;

		if (vips_image_get_typeof(from, harmless[i]) == 0 || vips_image_get_string(from, harmless[i], &text) != 0)
			continue;
		/* libvips' writer takes what stands before the last " (" for the value. */
		buf_add_str(&b, value_of(text));
		buf_add_cstr(&b, " (-)");
		if (buf_ok(&b))
			vips_image_set_string(to, harmless[i], b.p);
	}
}
