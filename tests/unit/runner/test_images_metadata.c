/* What is told of a file, and what of its header travels on: never where a picture was taken. */
#include "images.h"

#include "ops/ops.h"
#include "rt/json_in.h"

static json_t *probed(struct bytes in)
{
	struct ran r = run_op(&op_probe, "{}", in);
	struct err e = ERR_INIT;
	json_t *j;

	if (r.code != 0)
		fail_msg("%s: %s", err_info(r.code)->name, r.err.detail);
	assert_int_equal(r.out.n, 0);
	if (json_read(&j, str_of(r.result), &e) < 0)
		fail_msg("%s: %s", e.detail, r.result);
	ran_release(&r);
	return j;
}

static const char *text_of(json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

static int int_of(json_t *object, const char *key)
{
	return json_is_integer(json_object_get(object, key)) ? (int)json_integer_value(json_object_get(object, key)) : -1;
}

static VipsImage *tagged_picture(void)
{
	static const struct {
		const char *field, *value;
	} fields[] = {
		{"exif-ifd0-Make", "ACME (Europe) (-)"},
		{"exif-ifd0-Artist", "Ann \"A\" \\ O'Neill (Ann, ASCII, 19 components, 19 bytes)"},
		{"exif-ifd2-ExposureTime", "1/60 (1/60 sec., Rational, 1 components, 8 bytes)"},
		{"exif-ifd2-DateTimeOriginal", "2024:05:06 07:08:09 (2024:05:06 07:08:09, ASCII, 20 components, 20 bytes)"},
		{"exif-ifd2-BodySerialNumber", "SECRET123 (SECRET123, ASCII, 10 components, 10 bytes)"},
		{"exif-ifd3-GPSLatitude", "51/1 28/1 38/1 (51, 28, 38, Rational, 3 components, 24 bytes)"},
		{"exif-ifd3-GPSLatitudeRef", "N (N, ASCII, 2 components, 2 bytes)"},
		{"exif-ifd3-GPSAreaInformation", "HIDDENPLACE (HIDDENPLACE, Undefined, 11 components, 11 bytes)"},
	};
	VipsImage *im = picture(120, 80, 3), *tagged;

	assert_int_equal(vips_copy(im, &tagged, NULL), 0);
	g_object_unref(im);
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		vips_image_set_string(tagged, fields[i].field, fields[i].value);
	vips_image_set_int(tagged, VIPS_META_ORIENTATION, 6);
	vips_image_set_blob_copy(tagged, VIPS_META_XMP_NAME, "<x:xmpmeta>HIDDENPLACE</x:xmpmeta>", 34);
	return tagged;
}

static bool has(struct bytes b, const char *text)
{
	return memmem(b.p, b.n, text, strlen(text)) != NULL;
}

static void an_image_is_told_of_by_its_header(void **state)
{
	VipsImage *im = tagged_picture();
	CLEANUP(bytes_release) struct bytes in = encoded(im, ".jpg");
	json_t *j = probed(in), *image = json_object_get(j, "image"), *exif = json_object_get(image, "exif");

	g_object_unref(im);
	assert_true(has(in, "HIDDENPLACE"));
	assert_string_equal(text_of(j, "type"), "image/jpeg");
	assert_true(strstr(text_of(j, "description"), "JPEG image data") != NULL);
	assert_string_equal(text_of(image, "format"), "jpeg");
	/* As seen: it lies on its side. */
	assert_int_equal(int_of(image, "width"), 80);
	assert_int_equal(int_of(image, "height"), 120);
	assert_int_equal(int_of(image, "orientation"), 6);
	assert_int_equal(int_of(image, "bits"), 8);
	assert_int_equal(int_of(image, "channels"), 3);
	assert_int_equal(int_of(image, "frames"), 1);
	assert_true(json_is_false(json_object_get(image, "alpha")));
	assert_string_equal(text_of(exif, "Make"), "ACME (Europe)");
	assert_string_equal(text_of(exif, "ExposureTime"), "1/60");
	assert_string_equal(text_of(exif, "DateTimeOriginal"), "2024:05:06 07:08:09");
	assert_null(json_object_get(exif, "BodySerialNumber"));
	assert_null(json_object_get(exif, "GPSLatitude"));
	json_decref(j);
	CLEANUP(ran_release) struct ran r = run_op(&op_probe, "{}", in);
	assert_null(strstr(r.result, "HIDDENPLACE"));
	assert_null(strstr(r.result, "51/1"));
	assert_null(strstr(r.result, "SECRET"));
}

static void metadata_travel_only_when_asked_and_never_the_place(void **state)
{
	static const char *const formats[] = {"jpeg", "png", "webp", "avif"};
	VipsImage *im = tagged_picture();
	CLEANUP(bytes_release) struct bytes in = encoded(im, ".jpg");

	g_object_unref(im);
	for (size_t f = 0; f < ARRAY_LEN(formats); f++) {
		CLEANUP(ran_release) struct ran dropped = run_resize(in, "\"width\":40,\"format\":\"%s\"", formats[f]);
		CLEANUP(ran_release) struct ran kept = run_resize(in, "\"width\":40,\"format\":\"%s\",\"metadata\":\"keep\"", formats[f]);
		json_t *j;

		check_size(&dropped, 40, 60);
		check_size(&kept, 40, 60);
		assert_false(has(dropped.out, "ACME"));
		assert_true(has(kept.out, "ACME"));
		for (int k = 0; k < 2; k++) {
			assert_false(has(k ? kept.out : dropped.out, "HIDDENPLACE"));
			assert_false(has(k ? kept.out : dropped.out, "SECRET"));
		}
		j = probed(kept.out);
		assert_string_equal(text_of(json_object_get(json_object_get(j, "image"), "exif"), "Make"), "ACME (Europe)");
		assert_int_equal(int_of(json_object_get(j, "image"), "orientation"), 1);
		json_decref(j);
	}
}

static void every_kind_is_told(void **state)
{
	static const struct {
		const char *kind, *type;
		int bands, bits;
	} cases[] = {{".png", "image/png", 4, 8},   {".png[bitdepth=1]", "image/png", 1, 1},
		     {".webp", "image/webp", 3, 8}, {".gif", "image/gif", 4, 8},
		     {".tif", "image/tiff", 2, 8},  {".avif", "image/avif", 3, 8},
		     {".heic", "image/heic", 3, 8}};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(bytes_release) struct bytes in = picture_as(cases[i].kind, 50, 30, cases[i].bands);
		json_t *j = probed(in), *image = json_object_get(j, "image");

		assert_string_equal(text_of(j, "type"), cases[i].type);
		assert_int_equal(int_of(image, "width"), 50);
		assert_int_equal(int_of(image, "height"), 30);
		assert_int_equal(int_of(image, "bits"), cases[i].bits);
		assert_int_equal(json_is_true(json_object_get(image, "alpha")), cases[i].bands == 2 || cases[i].bands == 4);
		json_decref(j);
	}
}

static void odd_bytes_are_an_answer_not_an_error(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		const char *type;
	} cases[] = {
		{"", 0, "application/x-empty"},
		{"\0\1\2\3\4\5\6\7\xff\xfe\xfd", 11, "application/octet-stream"},
		{"hello\n", 6, "text/plain"},
		{"%PDF-1.4\n", 9, "application/pdf"},
		{"PK\3\4\24\0\0\0\0\0", 10, "application/zip"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_t *j = probed((struct bytes){(uint8_t *)(uintptr_t)cases[i].bytes, cases[i].n, 0});

		assert_string_equal(text_of(j, "type"), cases[i].type);
		assert_true(text_of(j, "description")[0] != '\0');
		assert_null(json_object_get(j, "image"));
		json_decref(j);
	}
}

static void a_broken_header_is_told(void **state)
{
	CLEANUP(bytes_release) struct bytes in = picture_as(".png", 50, 30, 3), enormous = plain_png(60000, 60000, 1, false);
	json_t *j = probed((struct bytes){in.p, in.n / 2, 0});

	assert_string_equal(text_of(j, "type"), "image/png");
	assert_true(json_is_null(json_object_get(j, "image")));
	assert_string_equal(text_of(j, "problem"), "truncated");
	json_decref(j);
	/* Nothing is decoded, so nothing is too large. */
	j = probed(enormous);
	assert_int_equal(int_of(json_object_get(j, "image"), "width"), 60000);
	json_decref(j);
}

static void texts_are_bounded_and_valid_whatever_they_were(void **state)
{
	VipsImage *im = picture(40, 30, 3), *tagged;
	char value[4096];

	assert_int_equal(vips_copy(im, &tagged, NULL), 0);
	g_object_unref(im);
	for (int i = 0; i < 3; i++) {
		static const char *const fields[] = {"exif-ifd0-Make", "exif-ifd0-Artist", "exif-ifd0-ImageDescription"};
		static const char bytes[] = {'\x01', '\xff', '"'};

		memset(value, bytes[i], 3000);
		strcpy(value + 3000, " (x, ASCII, 3001 components, 3001 bytes)");
		vips_image_set_string(tagged, fields[i], value);
	}
	CLEANUP(bytes_release) struct bytes in = encoded(tagged, ".jpg");
	json_t *j = probed(in);

	g_object_unref(tagged);
	assert_true(strlen(text_of(json_object_get(json_object_get(j, "image"), "exif"), "ImageDescription")) <= 120);
	json_decref(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_image_is_told_of_by_its_header),
		cmocka_unit_test(metadata_travel_only_when_asked_and_never_the_place),
		cmocka_unit_test(every_kind_is_told),
		cmocka_unit_test(odd_bytes_are_an_answer_not_an_error),
		cmocka_unit_test(a_broken_header_is_told),
		cmocka_unit_test(texts_are_bounded_and_valid_whatever_they_were),
	};

	return cmocka_run_group_tests_name("metadata", tests, images_set_up, NULL);
}
