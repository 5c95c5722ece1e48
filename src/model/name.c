/* File names are for display only and never become part of a path; what is kept must still be harmless wherever it is shown. */
#include "model/model.h"

#include <string.h>

/* Characters that are dropped: they show nothing and can make one name look like another (Unicode TR 36 §2.9, "Trojan Source").
 * Marks of direction, zero-width characters, line and paragraph separators, invisible operators, tags. */
static const struct {
	uint32_t first, last;
} INVISIBLE[] = {
	{0x00ad, 0x00ad}, {0x061c, 0x061c}, {0x180e, 0x180e}, {0x200b, 0x200f},   {0x2028, 0x202e},
	{0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe007f},
};

static bool invisible(uint32_t c)
{
	for (size_t i = 0; i < ARRAY_LEN(INVISIBLE); i++)
		if (c >= INVISIBLE[i].first && c <= INVISIBLE[i].last)
			return true;
	return false;
}

static bool control(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c <= 0x9f);
}

/* The character at p and its length in bytes; the text was found valid before. */
static uint32_t decode(const char *p, size_t *ret_len)
{
	const unsigned char *u = (const unsigned char *)p;

	if (u[0] < 0x80) {
		*ret_len = 1;
		return u[0];
	}
	if (u[0] < 0xe0) {
		*ret_len = 2;
		return (uint32_t)(u[0] & 0x1f) << 6 | (u[1] & 0x3f);
	}
	if (u[0] < 0xf0) {
		*ret_len = 3;
		return (uint32_t)(u[0] & 0x0f) << 12 | (uint32_t)(u[1] & 0x3f) << 6 | (u[2] & 0x3f);
	}
	*ret_len = 4;
	return (uint32_t)(u[0] & 0x07) << 18 | (uint32_t)(u[1] & 0x3f) << 12 | (uint32_t)(u[2] & 0x3f) << 6 | (u[3] & 0x3f);
}

static int refuse(struct err *e, const char *why)
{
	err_set(e, ERR_BAD_NAME, "%s", why);
	err_field(e, "name");
	return ERR_BAD_NAME;
}

/* Looks at every character, also of the segments that are dropped: a client that sends controls anywhere means no good. */
static int check_characters(struct str raw, struct err *e)
{
	size_t len;

	if (!utf8_valid(raw))
		return refuse(e, "the file name is not valid UTF-8");
	for (size_t i = 0; i < raw.len; i += len)
		if (control(decode(raw.p + i, &len)))
			return refuse(e, "the file name has a control character");
	/* An encoded NUL is meant for somebody behind us who decodes once more. */
	if (memmem(raw.p, raw.len, "%00", 3))
		return refuse(e, "the file name has an encoded NUL");
	return 0;
}

int name_clean(struct str *ret, struct str raw, struct arena *a, struct err *e)
{
	size_t start = 0, kept = 0, len;
	char *out;
	int r;

	if (raw.len == 0) {
		*ret = STR("file");
		return 0;
	}
	r = check_characters(raw, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < raw.len; i++)
		if (raw.p[i] == '/' || raw.p[i] == '\\')
			start = i + 1;
	out = arena_alloc(a, raw.len - start + 1);
	if (!out)
		return err_set(e, ERR_NO_MEMORY, "no memory for a file name");
	for (size_t i = start; i < raw.len; i += len) {
		if (invisible(decode(raw.p + i, &len)))
			continue;
		memcpy(out + kept, raw.p + i, len);
		kept += len;
	}
	if (kept == 0)
		return refuse(e, "nothing remains of the file name");
	if (kept > NAME_MAX_BYTES) {
		refuse(e, "the file name is too long");
		err_limit(e, NAME_MAX_BYTES);
		return ERR_BAD_NAME;
	}
	*ret = (struct str){out, kept};
	return 0;
}

bool owner_sees(struct str asking, struct str owner)
{
	return str_eq(asking, owner) || str_eq(asking, STR(OWNER_ANY));
}
