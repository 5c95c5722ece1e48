/* As much of XML 1.0 as S3 answers with: elements, text, the five entities and character references. */
#include "blobs/s3/s3_impl.h"

#include <string.h>

#define DEPTH_MAX 16

struct s3_xml s3_xml(struct str text)
{
	return (struct s3_xml){.rest = text};
}

static enum s3_xml_event broken(struct s3_xml *x)
{
	x->rest = (struct str){};
	x->depth = 1; /* no text ends well inside of an element: it stays broken */
	return S3_XML_BROKEN;
}

/* Up to the next `<`, without it. False: there is none. */
static bool skip_text(struct s3_xml *x)
{
	x->text = str_split(x->rest, '<', &x->rest);
	return x->rest.p != NULL;
}

/* A name without its namespace's prefix, from `name attributes`. */
static struct str name_of(struct str tag)
{
	size_t n = 0;

	while (n < tag.len && !strchr(" \t\r\n/", tag.p[n]))
		n++;
	const char *colon = memchr(tag.p, ':', n);
	return colon ? (struct str){colon + 1, n - (size_t)(colon + 1 - tag.p)} : (struct str){tag.p, n};
}

enum s3_xml_event s3_xml_next(struct s3_xml *x)
{
	struct str tag;

	if (x->empty) {
		x->empty = false;
		x->text = (struct str){};
		x->depth--;
		return S3_XML_CLOSE;
	}
	do {
		if (!skip_text(x))
			return x->depth == 0 ? S3_XML_END : broken(x);
		tag = str_split(x->rest, '>', &x->rest);
		if (!x->rest.p)
			return broken(x);
	} while (tag.len > 0 && tag.p[0] == '?' && x->depth == 0);
	if (tag.len == 0 || tag.p[0] == '!' || tag.p[0] == '?')
		return broken(x);
	if (tag.p[0] == '/') {
		if (x->depth-- == 0)
			return broken(x);
		x->name = name_of((struct str){tag.p + 1, tag.len - 1});
		return S3_XML_CLOSE;
	}
	if (++x->depth > DEPTH_MAX)
		return broken(x);
	x->name = name_of(tag);
	x->empty = tag.p[tag.len - 1] == '/';
	return S3_XML_OPEN;
}

static long put_utf8(char *dst, uint32_t c)
{
	if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return -1;
	if (c < 0x80) {
		dst[0] = (char)c;
		return 1;
	}
	int n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	for (int i = n - 1; i > 0; i--, c >>= 6)
		dst[i] = (char)(0x80 | (c & 0x3f));
	dst[0] = (char)((0xf00 >> n) | c);
	return n;
}

/* `#65` or `#x41` */
static long put_reference(char *dst, struct str digits)
{
	const bool hex = digits.len > 0 && digits.p[0] == 'x';
	uint32_t c = 0;

	if (digits.len == (hex ? 1u : 0u) || digits.len > 8)
		return -1;
	for (size_t i = hex; i < digits.len; i++) {
		const char d = digits.p[i];
		const uint32_t low = (uint32_t)(d | 0x20);

		if (d >= '0' && d <= '9')
			c = c * (hex ? 16 : 10) + (uint32_t)(d - '0');
		else if (hex && low >= 'a' && low <= 'f')
			c = c * 16 + (low - 'a' + 10);
		else
			return -1;
	}
	return put_utf8(dst, c);
}

static long put_entity(char *dst, struct str name)
{
	static const struct {
		struct str name;
		char c;
	} known[] = {{STR("amp"), '&'}, {STR("lt"), '<'}, {STR("gt"), '>'}, {STR("quot"), '"'}, {STR("apos"), '\''}};

	if (name.len > 1 && name.p[0] == '#')
		return put_reference(dst, (struct str){name.p + 1, name.len - 1});
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (str_eq(name, known[i].name)) {
			dst[0] = known[i].c;
			return 1;
		}
	}
	return -1;
}

/* A reference is never shorter than what it stands for. */
long s3_xml_text(char *dst, struct str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] != '&') {
			dst[n++] = s.p[i];
			continue;
		}
		const char *end = memchr(s.p + i, ';', s.len - i);
		long added = end ? put_entity(dst + n, (struct str){s.p + i + 1, (size_t)(end - s.p) - i - 1}) : -1;
		if (added < 0)
			return -1;
		n += (size_t)added;
		i = (size_t)(end - s.p);
	}
	return (long)n;
}

bool s3_xml_find(struct buf *out, struct str text, const char *name)
{
	struct s3_xml x = s3_xml(text);
	enum s3_xml_event event;
	bool inside = false;

	while ((event = s3_xml_next(&x)) == S3_XML_OPEN || event == S3_XML_CLOSE) {
		if (event == S3_XML_CLOSE && inside) {
			long n;

			buf_reserve(out, x.text.len + 1);
			n = buf_ok(out) ? s3_xml_text(out->p + out->len, x.text) : -1;
			out->len += n > 0 ? (size_t)n : 0;
			return n >= 0;
		}
		inside = event == S3_XML_OPEN && str_eq(x.name, str_of(name));
	}
	return false;
}
