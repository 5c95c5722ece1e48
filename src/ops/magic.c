/* The type of a file from its first bytes: a table of our own. Libraries that know more look at untrusted bytes only inside the seal.
 *
 * Three passes: signatures at fixed places, containers that need a second look, text. What is active in a browser (HTML, SVG, XML) is told apart from
 * plain text only so that it is never shown inline; when in doubt the answer is the more dangerous type. */
#include "ops/ops.h"

#include <string.h>

#define OCTETS "application/octet-stream"

struct signature {
	uint16_t at; /* bytes from the start */
	uint8_t len;
	const char *bytes;
	const char *type;
};

#define SIG(at, literal, type)                                                                                                             \
	{                                                                                                                                  \
		(at), sizeof(literal) - 1, (literal), (type)                                                                               \
	}

/* The first that fits wins: longer ones stand before those they begin with. */
static const struct signature signatures[] = {
	SIG(0, "\x89PNG\r\n\x1a\n", "image/png"),
	SIG(0, "\xff\xd8\xff", "image/jpeg"),
	SIG(0, "GIF87a", "image/gif"),
	SIG(0, "GIF89a", "image/gif"),
	SIG(0, "II*\0", "image/tiff"),
	SIG(0, "MM\0*", "image/tiff"),
	SIG(0, "II+\0", "image/tiff"),
	SIG(0, "MM\0+", "image/tiff"),
	SIG(0, "8BPS\0", "image/vnd.adobe.photoshop"),
	SIG(0, "\xff\x0a", "image/jxl"),
	SIG(0, "\0\0\0\x0cJXL \r\n\x87\n", "image/jxl"),
	SIG(0, "\0\0\0\x0cjP  \r\n\x87\n", "image/jp2"),
	SIG(0, "%PDF-", "application/pdf"),
	SIG(0, "%!PS", "application/postscript"),
	SIG(0, "{\\rtf", "application/rtf"),
	SIG(0, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
	/* An entry `mimetype`, stored first and uncompressed: EPUB OCF §4.3, ODF 1.2 part 3 §3.3 */
	SIG(30, "mimetypeapplication/epub+zip", "application/epub+zip"),
	SIG(30, "mimetypeapplication/vnd.oasis.opendocument.text", "application/vnd.oasis.opendocument.text"),
	SIG(30, "mimetypeapplication/vnd.oasis.opendocument.spreadsheet", "application/vnd.oasis.opendocument.spreadsheet"),
	SIG(30, "mimetypeapplication/vnd.oasis.opendocument.presentation", "application/vnd.oasis.opendocument.presentation"),
	SIG(0, "PK\3\4", "application/zip"),
	SIG(0, "PK\5\6", "application/zip"),
	SIG(0, "PK\7\10", "application/zip"),
	SIG(0, "\x1f\x8b\x08", "application/gzip"),
	SIG(0, "\x28\xb5\x2f\xfd", "application/zstd"),
	SIG(0,
	    "\xfd"
	    "7zXZ\0",
	    "application/x-xz"),
	SIG(0, "7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
	SIG(0, "Rar!\x1a\x07\0", "application/vnd.rar"),
	SIG(0, "Rar!\x1a\x07\1\0", "application/vnd.rar"),
	SIG(0, "\x04\x22\x4d\x18", "application/x-lz4"),
	SIG(257, "ustar\0", "application/x-tar"),
	SIG(257, "ustar  \0", "application/x-tar"),
	SIG(0, "fLaC", "audio/flac"),
	SIG(0, "MThd\0\0\0\6", "audio/midi"),
	SIG(0, "\0\0\1\xba", "video/mpeg"),
	SIG(0, "\0\0\1\xb3", "video/mpeg"),
	SIG(0,
	    "\x7f"
	    "ELF",
	    "application/x-elf"),
	SIG(0, "\0asm", "application/wasm"),
	SIG(0, "\xca\xfe\xba\xbe", "application/java-vm"),
	SIG(0, "SQLite format 3\0", "application/vnd.sqlite3"),
	SIG(0, "wOFF", "font/woff"),
	SIG(0, "wOF2", "font/woff2"),
	SIG(0, "OTTO\0", "font/otf"),
	SIG(0, "\0\1\0\0\0", "font/ttf"),
};

static bool has(struct str f, size_t at, const char *bytes, size_t n)
{
	return f.len >= at + n && memcmp(f.p + at, bytes, n) == 0;
}
#define HAS(f, at, literal) has(f, at, literal, sizeof(literal) - 1)

static unsigned byte_at(struct str f, size_t at)
{
	return at < f.len ? (unsigned char)f.p[at] : 0;
}

static uint32_t be32(struct str f, size_t at)
{
	return byte_at(f, at) << 24 | byte_at(f, at + 1) << 16 | byte_at(f, at + 2) << 8 | byte_at(f, at + 3);
}

static bool contains(struct str f, const char *needle)
{
	return memmem(f.p, f.len, needle, strlen(needle)) != NULL;
}

/* ---- containers: a box, a list or an element inside says what it is ---- */

/* ISO base media (ISO/IEC 14496-12 §4.3): a box `ftyp` with a major brand and brands it is compatible with. */
static const char *iso_media(struct str f)
{
	static const struct {
		const char *brand, *type;
	} brands[] = {
		{"avif", "image/avif"},        {"avis", "image/avif"}, {"heic", "image/heic"},      {"heix", "image/heic"},
		{"heim", "image/heic"},        {"heis", "image/heic"}, {"hevc", "image/heic"},      {"hevx", "image/heic"},
		{"mif1", "image/heif"},        {"msf1", "image/heif"}, {"qt  ", "video/quicktime"}, {"M4A ", "audio/mp4"},
		{"M4B ", "audio/mp4"},         {"M4P ", "audio/mp4"},  {"3gp", "video/3gpp"},       {"3g2", "video/3gpp2"},
		{"crx ", "image/x-canon-cr3"},
	};
	const char *found = "video/mp4";
	size_t end;

	if (!HAS(f, 4, "ftyp") || be32(f, 0) < 16)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(brands); i++)
		if (has(f, 8, brands[i].brand, strlen(brands[i].brand))) {
			found = brands[i].type;
			break;
		}
	/* HEIF's common brand says nothing of the coding; AVIF files may have it as major brand (AVIF §6.2). */
	if (strcmp(found, "image/heif") != 0)
		return found;
	end = be32(f, 0) < f.len ? be32(f, 0) : f.len;
	for (size_t at = 16; at + 4 <= end; at += 4) {
		if (HAS(f, at, "avif") || HAS(f, at, "avis"))
			return "image/avif";
		if (HAS(f, at, "heic") || HAS(f, at, "heix"))
			return "image/heic";
	}
	return found;
}

static const char *riff(struct str f)
{
	if (HAS(f, 0, "FORM") && (HAS(f, 8, "AIFF") || HAS(f, 8, "AIFC")))
		return "audio/x-aiff";
	if (!HAS(f, 0, "RIFF"))
		return NULL;
	if (HAS(f, 8, "WEBP"))
		return "image/webp";
	if (HAS(f, 8, "WAVE"))
		return "audio/wav";
	if (HAS(f, 8, "AVI "))
		return "video/x-msvideo";
	return NULL;
}

/* EBML (RFC 8794 §11.2.7): element 0x4282 is the document type. */
static const char *ebml(struct str f)
{
	if (!HAS(f, 0, "\x1a\x45\xdf\xa3"))
		return NULL;
	for (size_t at = 4; at + 3 < f.len && at < 64; at++) {
		if (HAS(f, at, "\x42\x82\x84webm"))
			return "video/webm";
		if (HAS(f, at, "\x42\x82\x88matroska"))
			return "video/x-matroska";
	}
	return NULL;
}

/* Ogg (RFC 3533 §6): the first packet follows a page header with one segment, 28 bytes. */
static const char *ogg(struct str f)
{
	if (!HAS(f, 0, "OggS\0"))
		return NULL;
	if (HAS(f, 28, "OpusHead") || HAS(f, 28, "\1vorbis") || HAS(f, 28, "Speex   ") ||
	    HAS(f, 28,
		"\x7f"
		"FLAC"))
		return "audio/ogg";
	if (HAS(f, 28, "\x80theora"))
		return "video/ogg";
	return "application/ogg";
}

/* A frame header of MPEG audio (ISO/IEC 11172-3 §2.4.1.3) or ADTS (ISO/IEC 13818-7 §6.2): eleven or twelve set bits, then fields with forbidden values. */
static const char *mpeg_audio(struct str f)
{
	unsigned b1 = byte_at(f, 1), b2 = byte_at(f, 2);
	bool layer3 = (b1 & 0xe6) == 0xe2;
	bool version_ok = (b1 & 0x18) != 0x08, rate_ok = (b2 & 0xf0) != 0xf0 && (b2 & 0xf0) != 0 && (b2 & 0x0c) != 0x0c;

	if (f.len < 4 || byte_at(f, 0) != 0xff)
		return NULL;
	if (layer3 && version_ok && rate_ok)
		return "audio/mpeg";
	if ((b1 & 0xf6) == 0xf0 && (b2 & 0x3c) <= 0x30)
		return "audio/aac";
	return NULL;
}

/* Two letters or four small numbers are little to go by, so more of the header is looked at. */
static const char *weak_signatures(struct str f)
{
	if (HAS(f, 0, "BM") && HAS(f, 6, "\0\0\0\0") && HAS(f, 15, "\0\0\0") && byte_at(f, 14) >= 12 && byte_at(f, 14) <= 124)
		return "image/bmp";
	if (HAS(f, 0, "\0\0\1\0") && byte_at(f, 4) > 0 && byte_at(f, 5) == 0 && f.len >= 22 && byte_at(f, 9) == 0)
		return "image/vnd.microsoft.icon";
	if (HAS(f, 0, "BZh") && byte_at(f, 3) >= '1' && byte_at(f, 3) <= '9' && (HAS(f, 4, "1AY&SY") || HAS(f, 4, "\x17rE8P\x90")))
		return "application/x-bzip2";
	if (HAS(f, 0, "ID3") && byte_at(f, 3) >= 2 && byte_at(f, 3) <= 4)
		return "audio/mpeg";
	if (HAS(f, 0, "MZ") && f.len >= 64 && memchr(f.p, 0, f.len))
		return "application/vnd.microsoft.portable-executable";
	return NULL;
}

/* ---- text ---- */

/* A character that the end of the looked-at part cuts through does not make the text invalid. */
static struct str without_cut_character(struct str f)
{
	size_t back = 1;

	while (back < 4 && back < f.len && (byte_at(f, f.len - back) & 0xc0) == 0x80)
		back++;
	if (back <= f.len && byte_at(f, f.len - back) >= 0xc0) {
		unsigned lead = byte_at(f, f.len - back);
		size_t whole = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;

		if (back < whole)
			f.len -= back;
	}
	return f;
}

static bool is_text(struct str f)
{
	for (size_t i = 0; i < f.len; i++) {
		unsigned c = byte_at(f, i);

		if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r' && c != '\f') || c == 0x7f)
			return false;
	}
	return utf8_valid(f);
}

static bool starts_nocase(struct str f, const char *word)
{
	size_t n = strlen(word);

	return f.len >= n && str_eq_nocase((struct str){f.p, n}, (struct str){word, n});
}

/* The tags that make a browser take a text for HTML (WHATWG MIME Sniffing §7.1); without its check of the byte behind, so rather too many. */
static const char *markup(struct str f)
{
	static const char *const html[] = {"<!doctype html", "<html", "<head",  "<script", "<iframe", "<h1",   "<div",  "<font",
					   "<table",         "<a",    "<style", "<title",  "<b",      "<body", "<br",   "<p",
					   "<!--",           "<img",  "<form",  "<object", "<embed",  "<meta", "<link", "<base"};

	if (HAS(f, 0, "\xef\xbb\xbf"))
		f = (struct str){f.p + 3, f.len - 3};
	while (f.len > 0 && strchr(" \t\n\r\f", f.p[0]) && f.p[0] != '\0')
		f = (struct str){f.p + 1, f.len - 1};
	if (starts_nocase(f, "<svg") || (starts_nocase(f, "<?xml") && contains(f, "<svg")) ||
	    (starts_nocase(f, "<!") && contains(f, "<svg")) || starts_nocase(f, "<!doctype svg"))
		return "image/svg+xml";
	if (starts_nocase(f, "<?xml") && contains(f, "<html"))
		return "application/xhtml+xml";
	if (starts_nocase(f, "<?xml"))
		return "text/xml";
	for (size_t i = 0; i < ARRAY_LEN(html); i++)
		if (starts_nocase(f, html[i]))
			return "text/html";
	return f.len > 0 && f.p[0] == '<' && contains(f, "xmlns") ? "text/xml" : NULL;
}

const char *magic_type(const void *first, size_t n)
{
	static const char *(*const looks[])(struct str) = {iso_media, riff, ebml, ogg, weak_signatures, mpeg_audio, markup};
	struct str f = {first, n < MAGIC_BYTES ? n : MAGIC_BYTES};

	if (n == 0)
		return "application/x-empty";
	for (size_t i = 0; i < ARRAY_LEN(signatures); i++)
		if (has(f, signatures[i].at, signatures[i].bytes, signatures[i].len))
			return signatures[i].type;
	for (size_t i = 0; i < ARRAY_LEN(looks); i++) {
		const char *type = looks[i](f);

		if (type)
			return type;
	}
	if (n >= MAGIC_BYTES)
		f = without_cut_character(f);
	return is_text(f) ? "text/plain" : OCTETS;
}

bool magic_tells(struct str type)
{
	/* What the looks beyond the signatures give. */
	static const char *const looked_for[] = {
		"application/ogg",
		"application/vnd.microsoft.portable-executable",
		"application/x-bzip2",
		"application/x-empty",
		"application/xhtml+xml",
		"audio/aac",
		"audio/mp4",
		"audio/mpeg",
		"audio/ogg",
		"audio/wav",
		"audio/x-aiff",
		"image/avif",
		"image/bmp",
		"image/heic",
		"image/heif",
		"image/svg+xml",
		"image/vnd.microsoft.icon",
		"image/webp",
		"image/x-canon-cr3",
		"text/html",
		"text/plain",
		"text/xml",
		"video/3gpp",
		"video/3gpp2",
		"video/mp4",
		"video/ogg",
		"video/quicktime",
		"video/webm",
		"video/x-matroska",
		"video/x-msvideo",
	};

	for (size_t i = 0; i < ARRAY_LEN(signatures); i++)
		if (str_eq(type, str_of(signatures[i].type)))
			return true;
	for (size_t i = 0; i < ARRAY_LEN(looked_for); i++)
		if (str_eq(type, str_of(looked_for[i])))
			return true;
	return false;
}

bool magic_inline_safe(struct str type)
{
	/* Nothing here runs script in a browser. SVG, HTML and XML do, and whatever is not known might. */
	static const char *const safe[] = {
		"application/pdf",
		"audio/aac",
		"audio/flac",
		"audio/midi",
		"audio/mp4",
		"audio/mpeg",
		"audio/ogg",
		"audio/wav",
		"image/avif",
		"image/bmp",
		"image/gif",
		"image/heic",
		"image/heif",
		"image/jpeg",
		"image/jxl",
		"image/png",
		"image/tiff",
		"image/webp",
		"image/vnd.microsoft.icon",
		"text/plain",
		"video/3gpp",
		"video/3gpp2",
		"video/mp4",
		"video/mpeg",
		"video/ogg",
		"video/quicktime",
		"video/webm",
		"video/x-matroska",
		"video/x-msvideo",
	};

	for (size_t i = 0; i < ARRAY_LEN(safe); i++)
		if (str_eq(type, str_of(safe[i])))
			return true;
	return false;
}
