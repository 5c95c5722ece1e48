/* gzip (RFC 1952): one member. No time is in it, so the same file makes the same bytes. */
#include "runner/child/deflate.h"

#include <string.h>

#define NAME_MAX_BYTES 255

enum { HAS_NAME = 8 }; /* FLG.FNAME */
enum { SLOWEST = 2, FASTEST = 4 }; /* XFL */
#define OS_UNKNOWN 255

struct header {
	uint8_t bytes[10 + NAME_MAX_BYTES + 1];
	size_t n;
};

/* The name in ISO 8859-1 (RFC 1952, §2.3.1): 0 when it cannot be said there, is a path or too long. */
static size_t latin_name(uint8_t dst[NAME_MAX_BYTES], struct str name)
{
	size_t n = 0;

	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = (uint8_t)name.p[i];

		if (n == NAME_MAX_BYTES || c < 0x20 || c == '/' || c == 0x7f)
			return 0;
		if (c >= 0x80) {
			/* U+00A0 to U+00FF are C2 A0 to C3 BF; U+0080 to U+009F are controls. */
			if ((c != 0xc2 && c != 0xc3) || ++i == name.len)
				return 0;
			c = (uint8_t)((c & 3) << 6 | ((uint8_t)name.p[i] & 0x3f));
			if (c < 0xa0)
				return 0;
		}
		dst[n++] = c;
	}
	return n;
}

static struct header header_for(struct str name, int level)
{
	struct header h = {.bytes = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, level == 1 ? FASTEST : level >= 9 ? SLOWEST : 0, OS_UNKNOWN}, .n = 10};
	size_t n = latin_name(h.bytes + h.n, name);

	if (n > 0) {
		h.bytes[3] = HAS_NAME;
		h.n += n;
		h.bytes[h.n++] = 0;
	}
	return h;
}

static int member(struct sealed_job *j, int level, struct err *e)
{
	const struct header h = header_for(j->name, level);
	struct deflated d;
	uint8_t trailer[8];
	int r = sealed_write(j, h.bytes, h.n, e);

	if (r == 0)
		r = deflate_input(j, level, &d, e);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < 4; i++) {
		trailer[i] = (uint8_t)(d.crc >> 8 * i);
		trailer[4 + i] = (uint8_t)(d.size_in >> 8 * i); /* modulo 2^32 */
	}
	return sealed_write(j, trailer, sizeof(trailer), e);
}

static int gzip(struct sealed_job *j, struct err *e)
{
	return compress_with(j, member, e);
}

const struct sealed_op op_gzip = {"gzip", POLICY_MANY, NULL, gzip};
