/* resize, on images that are in order: every kind, every fit, every orientation, every kind of pixel. */
#include "images.h"

#include "ops/ops.h"

#include <math.h>

#define GRAIN 24 /* what grain, compression and filters may change in a colour */

static void every_kind_becomes_every_format(void **state)
{
	static const char *const kinds[] = {".jpg", ".png", ".webp", ".gif", ".tif", ".avif", ".heic"};
	static const char *const formats[] = {"jpeg", "png", "webp", "avif"};

	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		CLEANUP(bytes_release) struct bytes in = picture_as(kinds[k], 120, 90, 3);

		for (size_t f = 0; f < ARRAY_LEN(formats); f++) {
			CLEANUP(ran_release) struct ran r = run_resize(in, "\"width\":60,\"format\":\"%s\"", formats[f]);
			char type[32];
			VipsImage *im;

			snprintf(type, sizeof(type), "image/%s", formats[f]);
			check_size(&r, 60, 45);
			assert_string_equal(magic_type(r.out.p, r.out.n), type);
			im = image_of(&r);
			assert_true(is_about(quarter(im, 0, 0), 220, 30, 30, GRAIN));
			assert_true(is_about(quarter(im, 1, 1), 240, 240, 240, GRAIN));
			g_object_unref(im);
		}
	}
}

static void kept_formats_are_kept_and_the_others_have_a_successor(void **state)
{
	static const struct {
		const char *kind;
		int bands;
		const char *type;
	} cases[] = {
		{".jpg", 3, "image/jpeg"}, {".png", 4, "image/png"},   {".webp", 3, "image/webp"}, {".gif", 4, "image/png"},
		{".tif", 3, "image/png"},  {".avif", 3, "image/avif"}, {".heic", 3, "image/jpeg"}, {".heic", 4, "image/png"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(bytes_release) struct bytes in = picture_as(cases[i].kind, 80, 80, cases[i].bands);
		CLEANUP(ran_release) struct ran r = run_resize(in, "\"height\":40");

		check_size(&r, 40, 40);
		assert_string_equal(magic_type(r.out.p, r.out.n), cases[i].type);
	}
}

static void sides_follow_fit_and_enlarge(void **state)
{
	static const struct {
		const char *params;
		int width, height;
	} cases[] = {
		{"\"width\":100", 100, 75},
		{"\"height\":100", 133, 100},
		{"\"width\":100,\"height\":100", 100, 75},
		{"\"width\":100,\"height\":100,\"fit\":\"cover\"", 100, 100},
		{"\"width\":100,\"height\":100,\"fit\":\"contain\"", 100, 100},
		{"\"width\":100,\"fit\":\"cover\"", 100, 75},
		{"\"width\":100,\"fit\":\"contain\"", 100, 75},
		{"\"width\":800", 400, 300},
		{"\"width\":800,\"enlarge\":\"yes\"", 800, 600},
		{"\"width\":800,\"height\":200,\"fit\":\"cover\"", 400, 200},
		{"\"width\":800,\"height\":200,\"fit\":\"cover\",\"enlarge\":\"yes\"", 800, 200},
		{"\"width\":800,\"height\":500,\"fit\":\"contain\"", 800, 500},
		{"\"width\":800,\"height\":500,\"fit\":\"contain\",\"enlarge\":\"yes\"", 800, 500},
		{"\"width\":1", 1, 1},
		{"\"width\":1,\"height\":300,\"fit\":\"cover\"", 1, 300},
		{"\"width\":399", 399, 299},
		{"\"width\":400", 400, 300},
		{"\"width\":200", 200, 150},
		{"\"width\":50", 50, 38},
		{"\"width\":49", 49, 37},
	};
	CLEANUP(bytes_release) struct bytes jpeg = picture_as(".jpg", 400, 300, 3), png = picture_as(".png", 400, 300, 3);

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(ran_release) struct ran a = run_resize(jpeg, "%s", cases[i].params);
		CLEANUP(ran_release) struct ran b = run_resize(png, "%s", cases[i].params);

		check_size(&a, cases[i].width, cases[i].height);
		check_size(&b, cases[i].width, cases[i].height);
	}
}

static void cover_cuts_from_the_middle_and_contain_adds_the_background(void **state)
{
	CLEANUP(bytes_release) struct bytes in = picture_as(".png", 300, 100, 3);
	CLEANUP(ran_release) struct ran cover = run_resize(in, "\"width\":50,\"height\":50,\"fit\":\"cover\"");
	CLEANUP(ran_release)
	struct ran contain = run_resize(in, "\"width\":60,\"height\":60,\"fit\":\"contain\",\"background\":\"102030\"");
	VipsImage *im = image_of(&cover);
	double *v;
	int n;

	assert_true(is_about(quarter(im, 0, 0), 220, 30, 30, GRAIN));
	assert_true(is_about(quarter(im, 1, 1), 240, 240, 240, GRAIN));
	g_object_unref(im);
	im = image_of(&contain);
	for (int y = 0; y < 60; y += 59) {
		assert_int_equal(vips_getpoint(im, &v, &n, 30, y, NULL), 0);
		assert_true(v[0] == 0x10 && v[1] == 0x20 && v[2] == 0x30);
		g_free(v);
	}
	/* 60 × 20 in the middle */
	assert_int_equal(vips_getpoint(im, &v, &n, 15, 25, NULL), 0);
	assert_true(v[0] > 190 && v[1] < 60);
	g_free(v);
	g_object_unref(im);
}

/* EXIF (JEITA CP-3451 §4.6.4): which corner the first stored row and column are seen at. Stored so that the seen picture is always the same. */
static void every_orientation_is_applied(void **state)
{
	/* The inverse of what libvips' autorot does, as operations on the picture */
	static const struct {
		VipsAngle angle;
		bool flip;
	} stored[9] = {{},
		       {VIPS_ANGLE_D0, false},
		       {VIPS_ANGLE_D0, true},
		       {VIPS_ANGLE_D180, false},
		       {VIPS_ANGLE_D180, true},
		       {VIPS_ANGLE_D90, true},
		       {VIPS_ANGLE_D270, false},
		       {VIPS_ANGLE_D270, true},
		       {VIPS_ANGLE_D90, false}};

	for (int o = 1; o <= 8; o++) {
		VipsImage *im = picture(160, 80, 3), *turned, *tagged;

		assert_int_equal(vips_rot(im, &turned, stored[o].angle, NULL), 0);
		g_object_unref(im);
		if (stored[o].flip) {
			assert_int_equal(vips_flip(turned, &im, VIPS_DIRECTION_HORIZONTAL, NULL), 0);
			g_object_unref(turned);
			turned = im;
		}
		assert_int_equal(vips_copy(turned, &tagged, NULL), 0);
		g_object_unref(turned);
		vips_image_set_int(tagged, VIPS_META_ORIENTATION, o);
		CLEANUP(bytes_release) struct bytes in = encoded(tagged, ".jpg[Q=95]");
		CLEANUP(ran_release) struct ran r = run_resize(in, "\"width\":40,\"metadata\":\"keep\"");
		g_object_unref(tagged);

		check_size(&r, 40, 20);
		im = image_of(&r);
		assert_int_equal(vips_image_get_orientation(im), 1);
		if (!is_about(quarter(im, 0, 0), 220, 30, 30, 40) || !is_about(quarter(im, 1, 0), 30, 200, 40, 40) ||
		    !is_about(quarter(im, 0, 1), 30, 40, 210, 40) || !is_about(quarter(im, 1, 1), 240, 240, 240, 40))
			fail_msg("orientation %d is not upright", o);
		g_object_unref(im);
	}
}

static void what_is_transparent_stays_so_or_shows_the_background(void **state)
{
	static const char *const kinds[] = {".png", ".webp[lossless]", ".gif", ".tif", ".avif"};

	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		CLEANUP(bytes_release) struct bytes in = picture_as(kinds[k], 80, 80, 4);
		CLEANUP(ran_release) struct ran png = run_resize(in, "\"width\":40,\"format\":\"png\"");
		CLEANUP(ran_release) struct ran jpeg = run_resize(in, "\"width\":40,\"format\":\"jpeg\",\"background\":\"ff8000\"");
		VipsImage *im = image_of(&png);

		assert_int_equal(im->Bands, 4);
		assert_int_equal(quarter(im, 0, 0).c[3], 255);
		assert_int_equal(quarter(im, 1, 0).c[3], 0);
		assert_true(is_about(quarter(im, 0, 0), 220, 30, 30, GRAIN));
		g_object_unref(im);
		im = image_of(&jpeg);
		assert_true(is_about(quarter(im, 0, 0), 220, 30, 30, GRAIN));
		assert_true(is_about(quarter(im, 1, 1), 255, 128, 0, GRAIN));
		g_object_unref(im);
	}
}

/* Every second column is transparent, and of a colour that must not be seen. */
static void what_is_transparent_does_not_colour_its_neighbours(void **state)
{
	uint8_t px[32][32][4];
	VipsImage *im, *small;

	for (int y = 0; y < 32; y++)
		for (int x = 0; x < 32; x++)
			memcpy(px[y][x], x % 2 ? "\0\377\0\0" : "\310\24\24\377", 4);
	im = vips_image_new_from_memory_copy(px, sizeof(px), 32, 32, 4, VIPS_FORMAT_UCHAR);
	im->Type = VIPS_INTERPRETATION_sRGB;
	CLEANUP(bytes_release) struct bytes in = encoded(im, ".png");
	CLEANUP(ran_release) struct ran r = run_resize(in, "\"width\":8");
	g_object_unref(im);
	small = image_of(&r);
	assert_true(is_about(quarter(small, 0, 0), 200, 20, 20, 2));
	assert_true(abs(quarter(small, 1, 1).c[3] - 128) <= 3);
	g_object_unref(small);
}

static void grey_stays_grey(void **state)
{
	for (int bands = 1; bands <= 2; bands++) {
		CLEANUP(bytes_release) struct bytes in = picture_as(".png", 80, 80, bands);
		CLEANUP(ran_release) struct ran png = run_resize(in, "\"width\":40");
		CLEANUP(ran_release) struct ran jpeg = run_resize(in, "\"width\":40,\"format\":\"jpeg\"");
		CLEANUP(ran_release)
		struct ran border =
			run_resize(in, "\"width\":40,\"height\":80,\"fit\":\"contain\",\"format\":\"jpeg\",\"background\":\"00ff00\"");
		VipsImage *im = image_of(&png);
		double *v;
		int n;

		assert_int_equal(im->Bands, bands);
		assert_true(abs(quarter(im, 0, 0).c[0] - 70) < GRAIN);
		g_object_unref(im);
		im = image_of(&jpeg);
		assert_int_equal(im->Bands, 1);
		assert_true(abs(quarter(im, 1, 1).c[0] - (bands == 1 ? 240 : 255)) < GRAIN);
		g_object_unref(im);
		im = image_of(&border);
		assert_int_equal(im->Bands, 3);
		assert_int_equal(vips_getpoint(im, &v, &n, 20, 2, NULL), 0);
		assert_true(v[0] < 20 && v[1] > 235 && v[2] < 20);
		g_free(v);
		g_object_unref(im);
	}
}

static void sixteen_bits_become_eight_of_the_same_colour(void **state)
{
	for (int bands = 1; bands <= 4; bands++) {
		VipsImage *im = picture(90, 60, bands), *wide;

		assert_int_equal(vips_linear1(im, &wide, 257, 0, NULL), 0);
		g_object_unref(im);
		assert_int_equal(vips_cast_ushort(wide, &im, NULL), 0);
		g_object_unref(wide);
		im->Type = bands < 3 ? VIPS_INTERPRETATION_GREY16 : VIPS_INTERPRETATION_RGB16;
		for (int tiff = 0; tiff < 2; tiff++) {
			CLEANUP(bytes_release) struct bytes in = encoded(im, tiff ? ".tif" : ".png");
			CLEANUP(ran_release) struct ran r = run_resize(in, "\"width\":45,\"format\":\"png\"");
			VipsImage *small = image_of(&r);

			assert_int_equal(small->BandFmt, VIPS_FORMAT_UCHAR);
			assert_int_equal(small->Bands, bands);
			if (bands >= 3)
				assert_true(is_about(quarter(small, 0, 0), 220, 30, 30, GRAIN));
			else
				assert_true(abs(quarter(small, 0, 0).c[0] - 70) < GRAIN);
			g_object_unref(small);
		}
		g_object_unref(im);
	}
}

static void inks_become_colours(void **state)
{
	static const char *const kinds[] = {".jpg[Q=95]", ".tif"};

	for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
		for (int profile = 0; profile < 2; profile++) {
			VipsImage *im = picture(80, 80, 3), *cmyk;

			assert_int_equal(vips_colourspace(im, &cmyk, VIPS_INTERPRETATION_CMYK, NULL), 0);
			if (!profile)
				vips_image_remove(cmyk, VIPS_META_ICC_NAME);
			CLEANUP(bytes_release) struct bytes in = encoded(cmyk, kinds[k]);
			CLEANUP(ran_release) struct ran r = run_resize(in, "\"width\":40,\"format\":\"png\"");
			g_object_unref(im);
			g_object_unref(cmyk);
			im = image_of(&r);

			assert_int_equal(im->Bands, 3);
			/* Inks do not reach every colour of sRGB: this is their green. */
			assert_true(is_about(quarter(im, 1, 0), 123, 176, 54, GRAIN));
			assert_true(is_about(quarter(im, 0, 0), 220, 30, 30, 40));
			assert_true(is_about(quarter(im, 1, 1), 240, 240, 240, GRAIN));
			g_object_unref(im);
		}
}

static void unusual_samples_become_srgb(void **state)
{
	static const VipsInterpretation looks[] = {VIPS_INTERPRETATION_LAB, VIPS_INTERPRETATION_scRGB, VIPS_INTERPRETATION_XYZ};

	for (size_t i = 0; i < ARRAY_LEN(looks); i++) {
		VipsImage *im = picture(80, 80, 3), *other;

		assert_int_equal(vips_colourspace(im, &other, looks[i], NULL), 0);
		CLEANUP(bytes_release) struct bytes in = encoded(other, ".tif");
		CLEANUP(ran_release) struct ran r = run_resize(in, "\"width\":40");
		g_object_unref(im);
		g_object_unref(other);
		im = image_of(&r);

		assert_int_equal(im->BandFmt, VIPS_FORMAT_UCHAR);
		assert_true(is_about(quarter(im, 0, 0), 220, 30, 30, GRAIN));
		g_object_unref(im);
	}
}

/* Peak signal to noise, in dB, of the output against a full decode filtered with libvips' own Lanczos. */
static double likeness(struct bytes in, struct ran *r)
{
	VipsImage *whole = vips_image_new_from_buffer(in.p, in.n, "", NULL), *small = image_of(r), *reference, *difference, *square;
	double mean;

	assert_int_equal(vips_resize(whole, &reference, (double)small->Xsize / whole->Xsize, "vscale", (double)small->Ysize / whole->Ysize,
				     "gap", 0.0, NULL),
			 0);
	assert_int_equal(vips_subtract(reference, small, &difference, NULL), 0);
	assert_int_equal(vips_multiply(difference, difference, &square, NULL), 0);
	assert_int_equal(vips_avg(square, &mean, NULL), 0);
	g_object_unref(whole);
	g_object_unref(small);
	g_object_unref(reference);
	g_object_unref(difference);
	g_object_unref(square);
	return 10 * log10(255.0 * 255.0 / fmax(mean, 1e-9));
}

/* Blurred noise over the picture: as much detail as a photograph has. */
static struct bytes photo(const char *suffix, int width, int height)
{
	VipsImage *base = picture(width, height, 3), *noise, *soft, *sum, *im;

	assert_int_equal(vips_gaussnoise(&noise, width, height, "sigma", 160.0, "mean", 0.0, "seed", 3, NULL), 0);
	assert_int_equal(vips_gaussblur(noise, &soft, 1.6, NULL), 0);
	assert_int_equal(vips_add(base, soft, &sum, NULL), 0);
	assert_int_equal(vips_cast_uchar(sum, &im, NULL), 0);
	im->Type = VIPS_INTERPRETATION_sRGB;
	struct bytes ret = encoded(im, suffix);
	g_object_unref(base);
	g_object_unref(noise);
	g_object_unref(soft);
	g_object_unref(sum);
	g_object_unref(im);
	return ret;
}

static void results_look_as_if_everything_was_decoded_and_filtered(void **state)
{
	static const struct {
		const char *kind;
		int width;
		double least_db;
	} cases[] = {
		{".png", 100, 45},        {".png", 333, 45},        {".png", 799, 45},       {".jpg[Q=90]", 799, 45},
		{".jpg[Q=90]", 400, 30},  {".jpg[Q=90]", 333, 33},  {".jpg[Q=90]", 160, 33}, {".jpg[Q=90]", 101, 33},
		{".webp[Q=90]", 333, 33}, {".webp[Q=90]", 160, 33},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(bytes_release) struct bytes in = photo(cases[i].kind, 801, 603);
		CLEANUP(ran_release) struct ran r = run_resize(in, "\"width\":%d,\"format\":\"png\"", cases[i].width);
		double db = likeness(in, &r);

		if (db < cases[i].least_db)
			fail_msg("%s to %d: %.1f dB, less than %.0f", cases[i].kind, cases[i].width, db, cases[i].least_db);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_becomes_every_format),
		cmocka_unit_test(kept_formats_are_kept_and_the_others_have_a_successor),
		cmocka_unit_test(sides_follow_fit_and_enlarge),
		cmocka_unit_test(cover_cuts_from_the_middle_and_contain_adds_the_background),
		cmocka_unit_test(every_orientation_is_applied),
		cmocka_unit_test(what_is_transparent_stays_so_or_shows_the_background),
		cmocka_unit_test(what_is_transparent_does_not_colour_its_neighbours),
		cmocka_unit_test(grey_stays_grey),
		cmocka_unit_test(sixteen_bits_become_eight_of_the_same_colour),
		cmocka_unit_test(inks_become_colours),
		cmocka_unit_test(unusual_samples_become_srgb),
		cmocka_unit_test(results_look_as_if_everything_was_decoded_and_filtered),
	};

	return cmocka_run_group_tests_name("images", tests, images_set_up, NULL);
}
