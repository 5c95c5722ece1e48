#include "ops/ops.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* The three above first: cmocka.h needs them. */
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define CASE(literal, type)                                                                                                                \
	{                                                                                                                                  \
		(literal), sizeof(literal) - 1, (type)                                                                                     \
	}

static void types_are_told_from_the_first_bytes(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		const char *type;
	} cases[] = {
		CASE("", "application/x-empty"),
		CASE("\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image/png"),
		CASE("\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg"),
		CASE("GIF89a\1\0\1\0", "image/gif"),
		CASE("RIFF\x24\0\0\0WEBPVP8 ", "image/webp"),
		CASE("RIFF\x24\0\0\0WAVEfmt ", "audio/wav"),
		CASE("RIFF\x24\0\0\0AVI LIST", "video/x-msvideo"),
		CASE("RIFF\x24\0\0\0ABCD", "application/octet-stream"),
		CASE("FORM\0\0\0\x10"
		     "AIFFCOMM",
		     "audio/x-aiff"),
		CASE("\0\0\0\x20"
		     "ftypavif\0\0\0\0avifmif1",
		     "image/avif"),
		CASE("\0\0\0\x1c"
		     "ftypmif1\0\0\0\0mif1avifmiaf",
		     "image/avif"),
		CASE("\0\0\0\x18"
		     "ftypmif1\0\0\0\0mif1heic",
		     "image/heic"),
		CASE("\0\0\0\x18"
		     "ftypmif1\0\0\0\0mif1xxxx",
		     "image/heif"),
		CASE("\0\0\0\x18"
		     "ftypheic\0\0\0\0mif1heic",
		     "image/heic"),
		CASE("\0\0\0\x18"
		     "ftypisom\0\0\2\0isomavc1",
		     "video/mp4"),
		CASE("\0\0\0\x14"
		     "ftypqt  \0\0\2\0qt  ",
		     "video/quicktime"),
		CASE("\0\0\0\x14"
		     "ftypM4A \0\0\2\0M4A ",
		     "audio/mp4"),
		CASE("\0\0\0\x04"
		     "ftypM4A \0\0\2\0M4A ",
		     "application/octet-stream"),
		CASE("II*\0\x08\0\0\0", "image/tiff"),
		CASE("MM\0*\0\0\0\x08", "image/tiff"),
		CASE("BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\2\0\0\0", "image/bmp"),
		CASE("BMW is a car", "text/plain"),
		CASE("\0\0\1\0\1\0\x10\x10\0\0\1\0\x20\0\x68\4\0\0\x16\0\0\0", "image/vnd.microsoft.icon"),
		CASE("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "application/pdf"),
		CASE("PK\3\4\x14\0\0\0\x08\0", "application/zip"),
		CASE("PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "application/zip"),
		CASE("PK\3\4\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\x14\0\0\0\x14\0\0\0\x08\0\0\0mimetypeapplication/epub+zipPK",
		     "application/epub+zip"),
		CASE("\x1f\x8b\x08\0\0\0\0\0\0\3", "application/gzip"),
		CASE("\x28\xb5\x2f\xfd\4\0", "application/zstd"),
		CASE("\xfd"
		     "7zXZ\0\0\4",
		     "application/x-xz"),
		CASE("BZh91AY&SY\1\2", "application/x-bzip2"),
		CASE("BZh9 is not bzip2", "text/plain"),
		CASE("7z\xbc\xaf\x27\x1c\0\4", "application/x-7z-compressed"),
		CASE("Rar!\x1a\x07\1\0\1", "application/vnd.rar"),
		CASE("\x1a\x45\xdf\xa3\x9f\x42\x86\x81\1\x42\x82\x84webm\x42\x87", "video/webm"),
		CASE("\x1a\x45\xdf\xa3\xa3\x42\x86\x81\1\x42\x82\x88matroska\x42\x87", "video/x-matroska"),
		CASE("ID3\3\0\0\0\0\0\0", "audio/mpeg"),
		CASE("ID3 tags are nice", "text/plain"),
		CASE("\xff\xfb\x90\x64\0\0\0\0", "audio/mpeg"),
		CASE("\xff\xfb\xf0\x64\0\0\0\0", "application/octet-stream"),
		CASE("\xff\xf1\x50\x80\0\x1f\xfc", "audio/aac"),
		CASE("\xff\xfeh\0i\0", "application/octet-stream"),
		CASE("OggS\0\2\0\0\0\0\0\0\0\0\1\2\3\4\0\0\0\0\5\6\7\x08\1\x1e\1vorbis", "audio/ogg"),
		CASE("OggS\0\2\0\0\0\0\0\0\0\0\1\2\3\4\0\0\0\0\5\6\7\x08\1\x2a\x80theora", "video/ogg"),
		CASE("fLaC\0\0\0\x22", "audio/flac"),
		CASE("\x7f"
		     "ELF\2\1\1\0",
		     "application/x-elf"),
		CASE("\0asm\1\0\0\0", "application/wasm"),
		CASE("SQLite format 3\0\x10\0", "application/vnd.sqlite3"),
		CASE("{\\rtf1\\ansi hello}", "application/rtf"),
		CASE("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0", "application/x-ole-storage"),
		CASE("<!DOCTYPE html><title>x</title>", "text/html"),
		CASE("\xef\xbb\xbf \n\t<HtMl>", "text/html"),
		CASE("<script>alert(1)</script>", "text/html"),
		CASE("<!-- a comment --><b>x</b>", "text/html"),
		CASE("<?xml version=\"1.0\"?><note/>", "text/xml"),
		CASE("<?xml version=\"1.0\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\"/>", "image/svg+xml"),
		CASE("<svg onload=\"alert(1)\">", "image/svg+xml"),
		CASE("<!-- x --><svg onload=\"alert(1)\">", "image/svg+xml"),
		CASE("<?xml version=\"1.0\"?><html xmlns=\"http://www.w3.org/1999/xhtml\">", "application/xhtml+xml"),
		CASE("<x:script xmlns:x=\"http://www.w3.org/1999/xhtml\">", "text/xml"),
		CASE("GIF89a/*<script>*/", "image/gif"),
		CASE("hello, world\n", "text/plain"),
		CASE("Gr\xc3\xbc\xc3\x9f"
		     "e \xe2\x82\xac \xf0\x9f\x98\x80\r\n",
		     "text/plain"),
		CASE("caf\xe9", "application/octet-stream"),
		CASE("ends inside \xe2\x82", "application/octet-stream"),
		CASE("nul \0 inside", "application/octet-stream"),
		CASE("escape \x1b[31m", "application/octet-stream"),
		CASE("\0", "application/octet-stream"),
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		/* A copy of the exact size, so that a read beyond it is seen by the sanitizer. */
		char *copy = malloc(cases[i].n ? cases[i].n : 1);
		const char *type;

		assert_non_null(copy);
		memcpy(copy, cases[i].bytes, cases[i].n);
		type = magic_type(copy, cases[i].n);
		if (strcmp(type, cases[i].type) != 0)
			print_error("case %zu: got %s, expected %s\n", i, type, cases[i].type);
		assert_string_equal(type, cases[i].type);
		assert_int_equal(magic_tells(str_of(type)), strcmp(type, "application/octet-stream") != 0);
		free(copy);
	}
}

static void types_that_bytes_do_not_show_are_known_as_such(void **state)
{
	assert_false(magic_tells(STR("text/csv")));
	assert_false(magic_tells(STR("application/json")));
	assert_false(magic_tells(STR("application/vnd.openxmlformats-officedocument.wordprocessingml.document")));
	assert_false(magic_tells(STR("image/pn")));
	assert_false(magic_tells(STR("")));
}

static void tar_is_told_by_the_middle_of_its_header(void **state)
{
	char header[MAGIC_BYTES] = "file.txt";

	memcpy(header + 257, "ustar\00000", 8);
	assert_string_equal(magic_type(header, sizeof(header)), "application/x-tar");
	assert_string_equal(magic_type(header, 262), "application/octet-stream");
}

static void a_character_cut_by_the_end_of_the_looked_at_part_is_still_text(void **state)
{
	char text[MAGIC_BYTES + 4];

	for (size_t cut = 1; cut <= 4; cut++) {
		memset(text, 'x', sizeof(text));
		memcpy(text + MAGIC_BYTES - cut, "\xf0\x9f\x98\x80", 4);
		assert_string_equal(magic_type(text, MAGIC_BYTES), "text/plain");
		assert_string_equal(magic_type(text, sizeof(text)), "text/plain");
	}
	memset(text, 'x', sizeof(text));
	memcpy(text + MAGIC_BYTES - 6, "\xf0\x9f\x98xxx", 6);
	assert_string_equal(magic_type(text, MAGIC_BYTES), "application/octet-stream");
	memcpy(text + MAGIC_BYTES - 6, "xxxxx\x80", 6);
	assert_string_equal(magic_type(text, MAGIC_BYTES), "application/octet-stream");
}

static void what_runs_script_is_never_shown_inline(void **state)
{
	static const char *const safe[] = {"image/png",       "image/jpeg", "image/webp", "text/plain",
					   "application/pdf", "audio/mpeg", "video/mp4"};
	static const char *const unsafe[] = {
		"text/html", "image/svg+xml", "text/xml", "application/xhtml+xml",     "application/octet-stream", "application/zip",
		"",          "image/PNGx",    "image/",   "text/plain; charset=utf-8", "application/wasm",         "application/x-empty"};

	for (size_t i = 0; i < ARRAY_LEN(safe); i++)
		assert_true(magic_inline_safe(str_of(safe[i])));
	for (size_t i = 0; i < ARRAY_LEN(unsafe); i++)
		assert_false(magic_inline_safe(str_of(unsafe[i])));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(types_are_told_from_the_first_bytes),
		cmocka_unit_test(types_that_bytes_do_not_show_are_known_as_such),
		cmocka_unit_test(tar_is_told_by_the_middle_of_its_header),
		cmocka_unit_test(a_character_cut_by_the_end_of_the_looked_at_part_is_still_text),
		cmocka_unit_test(what_runs_script_is_never_shown_inline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
