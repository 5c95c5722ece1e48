/* resize, on what strangers send: cut, lying, disguised, enormous. Every one fails with its code, or succeeds within the limits. */
#include "images.h"

#include "ops/ops.h"

#include <time.h>
#include <zlib.h>

static void check_code(struct ran *r, int code, const char *what)
{
	if (r->code != code)
		fail_msg("%s: %s (%s) instead of %s", what, r->code == 0 ? "success" : err_info(r->code)->name, r->err.detail,
			 err_info(code)->name);
	assert_int_equal(r->result[0], '\0');
	assert_true(r->err.detail[0] != '\0');
}

static void check_resize(struct bytes in, int code, const char *what)
{
	CLEANUP(ran_release) struct ran r = run_resize(in, "\"width\":16");

	check_code(&r, code, what);
}

/* ---- cut ---- */

static void files_that_were_cut_are_told_so(void **state)
{
	static const char *const kinds[] = {
		".jpg", ".jpg[interlace]",           ".png",       ".png[interlace]", ".webp", ".webp[lossless]", ".gif",
		".tif", ".tif[compression=deflate]", ".tif[tile]", ".avif",           ".heic"};
	static const double parts[] = {0.01, 0.03, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99};

	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		CLEANUP(bytes_release) struct bytes in = picture_as(kinds[k], 300, 200, 3);

		for (size_t p = 0; p < ARRAY_LEN(parts); p++) {
			size_t n = (size_t)((double)in.n * parts[p]);
			char what[64];

			/* Of less nobody can tell what it was to be. */
			n = n < 40 ? 40 : n;
			snprintf(what, sizeof(what), "%s cut to %.0f %%", kinds[k], parts[p] * 100);
			check_resize((struct bytes){in.p, n}, ERR_TRUNCATED, what);
		}
		check_resize((struct bytes){in.p, in.n - 3}, ERR_TRUNCATED, kinds[k]);
	}
}

static void what_cannot_be_an_image_is_not_supported(void **state)
{
	static const char *const texts[] = {
		"",
		"G",
		"\xff",
		"\x89PNG",
		"hello, this is a text",
		"<svg xmlns=\"http://www.w3.org/2000/svg\"><image href=\"file:///etc/passwd\"/></svg>",
		"<?xml version=\"1.0\"?><!DOCTYPE svg [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><svg>&x;</svg>",
		"<?xml version=\"1.0\"?><!DOCTYPE lolz [<!ENTITY a \"lol\"><!ENTITY b \"&a;&a;&a;&a;\">]><svg>&b;</svg>",
		"push graphic-context\nviewbox 0 0 640 480\nimage over 0,0 0,0 'https://127.0.0.1/x'\npop graphic-context\n",
		"<?xml version=\"1.0\"?><image><read filename=\"caption:@/etc/passwd\"/></image>",
		"%PDF-1.4\n1 0 obj\n<<>>\nendobj\n",
		"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n",
		"ephemeral:/etc/passwd",
		"caption:@/etc/passwd",
		"P6\n1 1\n255\nabc",
		"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 1\nabcd",
		"v/1\1abcdefghijkl",
		"SIMPLE  =                    T",
		"AT&TFORM\0\0\0\0DJVU",
		"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0",
		"8BPS\0\1\0\0\0\0\0\0",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		check_resize((struct bytes){(uint8_t *)(uintptr_t)texts[i], strlen(texts[i])}, ERR_UNSUPPORTED_FORMAT, texts[i]);
}

static void a_file_is_what_its_first_bytes_say_whatever_follows(void **state)
{
	CLEANUP(bytes_release) struct bytes png = picture_as(".png", 300, 200, 3), jpeg = picture_as(".jpg", 300, 200, 3);
	CLEANUP(bytes_release) struct bytes changed = bytes_copy(png.p, png.n / 2), zip = bytes_copy(jpeg.p, jpeg.n);
	static const char *const heads[] = {"\xff\xd8\xff\xe0", "\x89PNG\r\n\x1a\n", "GIF89a", "II*\0\x10\0\0\0"};

	/* A PNG that goes on as a JPEG */
	bytes_add(&changed, jpeg.p, jpeg.n);
	CLEANUP(ran_release) struct ran r = run_resize(changed, "\"width\":16");
	assert_true(r.code == ERR_INVALID_CONTENT || r.code == ERR_TRUNCATED);
	/* A JPEG with something behind it is a JPEG. */
	bytes_add(&zip, "PK\3\4 and so on", 14);
	CLEANUP(ran_release) struct ran with_zip = run_resize(zip, "\"width\":16");
	assert_int_equal(with_zip.code, 0);
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		CLEANUP(bytes_release) struct bytes b = bytes_copy(heads[i], i == 3 ? 8 : strlen(heads[i]));

		for (int k = 0; k < 400; k++)
			bytes_add(&b, "<script>alert(1)</script>\n", 26);
		CLEANUP(ran_release) struct ran lie = run_resize(b, "\"width\":16");
		assert_true(lie.code == ERR_INVALID_CONTENT || lie.code == ERR_TRUNCATED || lie.code == ERR_IMAGE_TOO_LARGE);
	}
}

/* ---- enormous ---- */

static void enormous_images_are_refused_from_their_header(void **state)
{
	static const struct {
		uint32_t width, height;
		int bits;
		bool interlaced;
	} cases[] = {{20000, 20000, 1, false}, {20000, 20000, 1, true}, {20000, 20000, 8, false}, {60000, 60000, 1, false}};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(bytes_release) struct bytes in = plain_png(cases[i].width, cases[i].height, cases[i].bits, cases[i].interlaced);
		clock_t before = clock();

		check_resize(in, ERR_IMAGE_TOO_LARGE, "an enormous PNG");
		/* Decoding would take seconds; this is no measurement, but a check that nothing was decoded. */
		assert_true(clock() - before < CLOCKS_PER_SEC / 2);
	}
}

static void the_limit_of_pixels_is_exact(void **state)
{
	CLEANUP(bytes_release) struct bytes at = plain_png(10000, 10000, 1, false), above = plain_png(10001, 10000, 1, false);
	CLEANUP(ran_release) struct ran r = run_resize(at, "\"width\":16");

	check_size(&r, 16, 16);
	check_resize(above, ERR_IMAGE_TOO_LARGE, "one column more");
}

/* SOF's height and width (ITU T.81 B.2.2) */
static void set_jpeg_size(struct bytes *b, uint16_t width, uint16_t height)
{
	for (size_t at = 2; at + 9 < b->n; at += 2u + (size_t)(b->p[at + 2] << 8 | b->p[at + 3]))
		if (b->p[at + 1] == 0xc0 || b->p[at + 1] == 0xc2) {
			memcpy(b->p + at + 5, ((uint8_t[]){(uint8_t)(height >> 8), (uint8_t)height, (uint8_t)(width >> 8), (uint8_t)width}),
			       4);
			return;
		}
	fail();
}

static void headers_that_lie_fail(void **state)
{
	CLEANUP(bytes_release) struct bytes jpeg = picture_as(".jpg", 64, 64, 3), png = picture_as(".png", 64, 64, 3);

	set_jpeg_size(&jpeg, 65500, 65500);
	check_resize(jpeg, ERR_IMAGE_TOO_LARGE, "a JPEG that says 65500 x 65500");
	set_jpeg_size(&jpeg, 2000, 2000);
	check_resize(jpeg, ERR_TRUNCATED, "a JPEG that says 2000 x 2000");
	set_jpeg_size(&jpeg, 0, 0);
	check_resize(jpeg, ERR_INVALID_CONTENT, "a JPEG without size");
	/* The header's CRC does not fit any more. */
	png.p[16 + 3] = 65;
	check_resize(png, ERR_INVALID_CONTENT, "a PNG with a changed width");
}

static void results_beyond_what_a_format_can_are_refused(void **state)
{
	CLEANUP(bytes_release) struct bytes wide = plain_png(17000, 4, 1, false), thin = plain_png(2, 16000, 1, false);
	CLEANUP(ran_release) struct ran webp = run_resize(wide, "\"width\":16384,\"format\":\"webp\"");
	CLEANUP(ran_release) struct ran png = run_resize(wide, "\"width\":16384");
	CLEANUP(ran_release) struct ran high = run_resize(thin, "\"width\":16384,\"enlarge\":\"yes\"");

	check_code(&webp, ERR_IMAGE_TOO_LARGE, "a WebP of 16384");
	check_size(&png, 16384, 4);
	check_code(&high, ERR_IMAGE_TOO_LARGE, "131 million rows");
}

/* ---- many ---- */

static struct bytes gif_of_frames(int frames)
{
	static const uint8_t head[] = {'G', 'I', 'F', '8', '9', 'a', 10, 0, 10, 0, 0x80, 0, 0, 255, 0, 0, 0, 0, 255};
	/* 10 × 10 pixels of colour 0 in LZW: clear, then codes 0, 6 and so on as the table grows; made by any encoder */
	static const uint8_t control[] = {0x21, 0xf9, 4, 0, 0, 0, 0, 0};
	static const uint8_t frame[] = {0x2c, 0, 0, 0, 0, 10, 0, 10, 0, 0, 2, 8, 0x84, 0x8f, 0xa9, 0xcb, 0xed, 0x0f, 0xa3, 0x2b, 0};
	struct bytes b = bytes_copy(head, sizeof(head));

	for (int i = 0; i < frames; i++) {
		bytes_add(&b, control, sizeof(control));
		bytes_add(&b, frame, sizeof(frame));
	}
	bytes_add(&b, ";", 1);
	return b;
}

static void of_many_frames_the_first_is_taken(void **state)
{
	CLEANUP(bytes_release) struct bytes many = gif_of_frames(1000), too_many = gif_of_frames(10000);
	CLEANUP(ran_release) struct ran r = run_resize(many, "\"width\":5");

	check_size(&r, 5, 5);
	/* The loader reads all their headers, and has a limit. */
	check_resize(too_many, ERR_INVALID_CONTENT, "10,000 frames");
}

static void put_behind_header(struct bytes *png, const char *type, const void *data, size_t n)
{
	struct bytes whole = bytes_copy(png->p, 33);

	png_chunk(&whole, type, data, n);
	bytes_add(&whole, png->p + 33, png->n - 33);
	bytes_release(png);
	*png = whole;
}

static struct bytes packed_zeros(const char *before, size_t n_before, size_t n)
{
	struct bytes b = bytes_copy(before, n_before);
	size_t cap = compressBound(n);
	uint8_t *zeros = calloc(1, n), *packed = malloc(cap);

	assert_int_equal(compress2(packed, &cap, zeros, n, 9), Z_OK);
	bytes_add(&b, packed, cap);
	free(zeros);
	free(packed);
	return b;
}

static void bombs_beside_the_picture_do_no_harm(void **state)
{
	static const struct {
		const char *type, *before;
		size_t n;
	} cases[] = {{"zTXt", "Comment\0", 9}, {"iCCP", "profile\0", 9}, {"iTXt", "Comment\0\1\0\0\0", 12}};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(bytes_release) struct bytes png = picture_as(".png", 64, 64, 3);
		CLEANUP(bytes_release) struct bytes bomb = packed_zeros(cases[i].before, cases[i].n, 100u << 20);

		put_behind_header(&png, cases[i].type, bomb.p, bomb.n);
		CLEANUP(ran_release) struct ran r = run_resize(png, "\"width\":16");
		if (r.code == 0)
			check_size(&r, 16, 16);
		else
			assert_true(r.code == ERR_INVALID_CONTENT || r.code == ERR_LIMIT_MEMORY);
	}
	CLEANUP(bytes_release) struct bytes png = picture_as(".png", 64, 64, 3), texts = bytes_copy(png.p, 33);
	for (int i = 0; i < 100000; i++)
		png_chunk(&texts, "tEXt", "Comment\0x", 9);
	bytes_add(&texts, png.p + 33, png.n - 33);
	CLEANUP(ran_release) struct ran r = run_resize(texts, "\"width\":16");
	assert_true(r.code == 0 || r.code == ERR_INVALID_CONTENT);
}

/* The last scan of a progressive JPEG, again and again */
static void too_many_scans_are_refused(void **state)
{
	CLEANUP(bytes_release) struct bytes in = picture_as(".jpg[interlace]", 640, 480, 3);
	size_t scan = 0;

	for (size_t at = 2; at + 4 < in.n; at++)
		if (in.p[at] == 0xff && in.p[at + 1] == 0xda)
			scan = at;
	CLEANUP(bytes_release) struct bytes b = bytes_copy(in.p, in.n - 2);
	for (int i = 0; i < 1000; i++)
		bytes_add(&b, in.p + scan, in.n - 2 - scan);
	bytes_add(&b, "\xff\xd9", 2);
	check_resize(b, ERR_INVALID_CONTENT, "a thousand scans");
}

static void more_memory_than_allowed_is_said_so(void **state)
{
	CLEANUP(bytes_release) struct bytes in = {calloc(1, 200u << 20), 200u << 20};

	memcpy(in.p, "\x89PNG\r\n\x1a\n", 8);
	check_resize(in, ERR_LIMIT_MEMORY, "200 MB of PNG");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_that_were_cut_are_told_so),
		cmocka_unit_test(what_cannot_be_an_image_is_not_supported),
		cmocka_unit_test(a_file_is_what_its_first_bytes_say_whatever_follows),
		cmocka_unit_test(enormous_images_are_refused_from_their_header),
		cmocka_unit_test(the_limit_of_pixels_is_exact),
		cmocka_unit_test(headers_that_lie_fail),
		cmocka_unit_test(results_beyond_what_a_format_can_are_refused),
		cmocka_unit_test(of_many_frames_the_first_is_taken),
		cmocka_unit_test(bombs_beside_the_picture_do_no_harm),
		cmocka_unit_test(too_many_scans_are_refused),
		cmocka_unit_test(more_memory_than_allowed_is_said_so),
	};

	return cmocka_run_group_tests_name("damaged images", tests, images_set_up, NULL);
}
