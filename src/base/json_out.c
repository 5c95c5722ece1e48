/* Values are written straight into the buffer's memory: room for the value as if it needed no escape is reserved once, runs of plain bytes
 * are copied eight at a time, and only an escape or a broken byte asks for more room. */
#include "base/json_out.h"

#include "base/clock.h"
#include "base/compiler.h"
#include "base/utf8.h"

#include <assert.h>
#include <string.h>

#define DEPTH_MAX 16

struct json_out json_out(struct buf *b)
{
	return (struct json_out){.b = b};
}

/* Room for n bytes, a comma in front and the NUL behind, with the comma written when one belongs there: none after a key or at the start of
 * a level. Where the bytes go, or NULL when the buffer failed. written() ends what begins here. */
static char *room(struct json_out *j, size_t n)
{
	struct buf *b = j->b;
	uint32_t level = UINT32_C(1) << j->depth;
	bool comma = !j->after_key && (j->has_member & level) != 0;
	char *out;

	j->after_key = false;
	j->has_member |= level;
	if (b->failed || n >= SIZE_MAX / 2) {
		b->failed = true;
		return NULL;
	}
	/* The usual case without a call: as in buf_reserve(), len < cap whenever cap > 0. */
	if (b->cap - b->len <= n + 1 || b->limit > 0) {
		buf_reserve(b, n + comma);
		if (b->failed)
			return NULL;
	}
	out = b->p + b->len;
	if (comma)
		*out++ = ',';
	return out;
}

static void written(struct json_out *j, char *end)
{
	*end = '\0';
	j->b->len = (size_t)(end - j->b->p);
}

static void put_char(struct json_out *j, char c)
{
	char *out = room(j, 1);

	if (!out)
		return;
	*out = c;
	written(j, out + 1);
}

static void open_level(struct json_out *j, char bracket)
{
	put_char(j, bracket);
	assert(j->depth < DEPTH_MAX);
	j->depth++;
	j->has_member &= ~(UINT32_C(1) << j->depth);
}

static void close_level(struct json_out *j, char bracket)
{
	assert(j->depth > 0 && !j->after_key);
	j->depth--;
	buf_add_char(j->b, bracket);
}

void json_obj_open(struct json_out *j)
{
	open_level(j, '{');
}

void json_obj_close(struct json_out *j)
{
	close_level(j, '}');
}

void json_arr_open(struct json_out *j)
{
	open_level(j, '[');
}

void json_arr_close(struct json_out *j)
{
	close_level(j, ']');
}

/* 1 for bytes that stand for themselves: ASCII from space on but '"' and '\'. */
static const unsigned char plain[256] = {
	[' '] = 1,
	['!'] = 1,
	['#' ... '['] = 1,
	[']' ... 0x7f] = 1,
};

#define ONES UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

static uint64_t zero_byte(uint64_t w)
{
	return (w - ONES) & ~w & HIGHS;
}

/* Eight bytes at once: none below space, none above 0x7f, no quote, no backslash. */
static bool eight_plain(const unsigned char *p)
{
	uint64_t w;

	memcpy(&w, p, sizeof(w));
	return ((w | (w - ONES * 0x20) | zero_byte(w ^ (ONES * '"')) | zero_byte(w ^ (ONES * '\\'))) & HIGHS) == 0;
}

/* Copies the plain bytes from the front of s, of which there may be n: how many. dst has room for all n. */
static size_t copy_plain(char *dst, const unsigned char *p, size_t n)
{
	size_t i = 0;

	for (; n - i >= 8; i += 8) {
		if (!eight_plain(p + i))
			break;
		memcpy(dst + i, p + i, 8);
	}
	/* The last few once more with what stands before them, which is plain already. */
	if (n >= 8 && n - i < 8 && eight_plain(p + n - 8)) {
		memcpy(dst + n - 8, p + n - 8, 8);
		return n;
	}
	while (i < n && plain[p[i]]) {
		dst[i] = (char)p[i];
		i++;
	}
	return i;
}

/* The escape of one byte below space, '"' or '\' (RFC 8259 §7). */
static void add_escape(struct buf *b, unsigned char c)
{
	static const char letters[] = "\"\"\\\\\bb\ff\nn\rr\tt";
	static const char digits[] = "0123456789abcdef";
	char text[6] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};

	for (const char *l = letters; *l; l += 2) {
		if ((unsigned char)l[0] == c) {
			text[1] = l[1];
			buf_add(b, text, 2);
			return;
		}
	}
	buf_add(b, text, sizeof(text));
}

/* From the first byte that is not plain to the end of the string. */
static void add_hard_text(struct buf *b, const unsigned char *p, const unsigned char *end)
{
	while (p < end && buf_ok(b)) {
		size_t n;

		if (plain[*p]) {
			buf_reserve(b, (size_t)(end - p));
			if (!buf_ok(b))
				return;
			n = copy_plain(b->p + b->len, p, (size_t)(end - p));
			b->len += n;
			b->p[b->len] = '\0';
		} else if (*p < 0x80) {
			add_escape(b, *p);
			n = 1;
		} else {
			n = utf8_step(p, end);
			if (n > 0)
				buf_add(b, p, n);
			else
				buf_add_cstr(b, "\xef\xbf\xbd"); /* U+FFFD, one for each broken byte */
		}
		p += n > 0 ? n : 1;
	}
}

/* A quoted string and, for a key, the colon. */
static void put_quoted(struct json_out *j, struct str s, bool colon)
{
	const unsigned char *p = (const unsigned char *)s.p;
	char *out = room(j, s.len < SIZE_MAX / 4 ? s.len + 2 + colon : SIZE_MAX);
	size_t n;

	if (!out)
		return;
	*out++ = '"';
	n = copy_plain(out, p, s.len);
	out += n;
	if (n < s.len) {
		written(j, out);
		add_hard_text(j->b, p + n, p + s.len);
		buf_add(j->b, "\":", colon ? 2 : 1);
		return;
	}
	*out++ = '"';
	if (colon)
		*out++ = ':';
	written(j, out);
}

void json_key(struct json_out *j, const char *key)
{
	assert(!j->after_key);
	put_quoted(j, str_of(key), true);
	j->after_key = true;
}

void json_str(struct json_out *j, struct str s)
{
	put_quoted(j, s, false);
}

void json_cstr(struct json_out *j, const char *s)
{
	if (s)
		json_str(j, str_of(s));
	else
		json_put_null(j);
}

static void put_number(struct json_out *j, bool negative, uint64_t v)
{
	char digits[21], *out;
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	if (negative)
		digits[--at] = '-';
	out = room(j, sizeof(digits) - at);
	if (!out)
		return;
	memcpy(out, digits + at, sizeof(digits) - at);
	written(j, out + sizeof(digits) - at);
}

void json_u64(struct json_out *j, uint64_t v)
{
	put_number(j, false, v);
}

void json_i64(struct json_out *j, int64_t v)
{
	put_number(j, v < 0, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

void json_bool(struct json_out *j, bool v)
{
	json_raw(j, v ? STR("true") : STR("false"));
}

void json_put_null(struct json_out *j)
{
	json_raw(j, STR("null"));
}

void json_time_ms(struct json_out *j, int64_t unix_ms)
{
	char *out;

	if (unix_ms == 0) {
		json_put_null(j);
		return;
	}
	out = room(j, TIME_TEXT_LEN + 2);
	if (!out)
		return;
	*out++ = '"';
	time_format(out, unix_ms);
	out += TIME_TEXT_LEN;
	*out++ = '"';
	written(j, out);
}

void json_raw(struct json_out *j, struct str valid_json)
{
	char *out = room(j, valid_json.len);

	if (!out)
		return;
	if (valid_json.len > 0)
		memcpy(out, valid_json.p, valid_json.len);
	written(j, out + valid_json.len);
}

void json_kstr(struct json_out *j, const char *key, struct str s)
{
	json_key(j, key);
	json_str(j, s);
}

void json_kcstr(struct json_out *j, const char *key, const char *s)
{
	json_key(j, key);
	json_cstr(j, s);
}

void json_ku64(struct json_out *j, const char *key, uint64_t v)
{
	json_key(j, key);
	json_u64(j, v);
}

void json_kbool(struct json_out *j, const char *key, bool v)
{
	json_key(j, key);
	json_bool(j, v);
}

void json_ktime(struct json_out *j, const char *key, int64_t unix_ms)
{
	json_key(j, key);
	json_time_ms(j, unix_ms);
}
