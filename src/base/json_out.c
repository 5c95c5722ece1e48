/* Strings are written straight into the buffer's memory: room for the text and its quotes is reserved once, runs of bytes that need
 * no escape are copied whole, and only an escape or a broken byte asks for more room. */
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

/* The comma before a key or a value; none after a key or at the start of a level. */
static void separate(struct json_out *j)
{
	uint32_t level = UINT32_C(1) << j->depth;

	if (j->after_key) {
		j->after_key = false;
		return;
	}
	if (j->has_member & level)
		buf_add_char(j->b, ',');
	j->has_member |= level;
}

static void open_level(struct json_out *j, char bracket)
{
	separate(j);
	assert(j->depth < DEPTH_MAX);
	j->depth++;
	j->has_member &= ~(UINT32_C(1) << j->depth);
	buf_add_char(j->b, bracket);
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
	[' '] = 1, ['!'] = 1, ['#' ... '['] = 1, [']' ... 0x7f] = 1,
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

static const unsigned char *plain_run(const unsigned char *p, const unsigned char *end)
{
	while (end - p >= 8 && eight_plain(p))
		p += 8;
	while (p < end && plain[*p])
		p++;
	return p;
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

/* Everything after the first byte that is not plain. */
static void add_hard_text(struct buf *b, const unsigned char *p, const unsigned char *end)
{
	while (p < end && buf_ok(b)) {
		const unsigned char *run = plain_run(p, end);
		size_t n;

		buf_add(b, p, (size_t)(run - p));
		p = run;
		if (p == end)
			break;
		if (*p < 0x80) {
			add_escape(b, *p++);
			continue;
		}
		n = utf8_step(p, end);
		if (n > 0)
			buf_add(b, p, n);
		else
			buf_add_cstr(b, "\xef\xbf\xbd"); /* U+FFFD, one for each broken byte */
		p += n > 0 ? n : 1;
	}
}

/* A quoted string and, for a key, the colon. */
static void add_quoted(struct buf *b, struct str s, bool colon)
{
	const unsigned char *p = (const unsigned char *)s.p, *end = p + s.len, *run;
	char *out;

	if (s.len > SIZE_MAX - 3) {
		b->failed = true;
		return;
	}
	run = plain_run(p, end);
	if (run != end) {
		buf_add_char(b, '"');
		add_hard_text(b, p, end);
		buf_add(b, "\":", colon ? 2 : 1);
		return;
	}
	buf_reserve(b, s.len + (colon ? 3 : 2));
	if (!buf_ok(b))
		return;
	out = b->p + b->len;
	*out++ = '"';
	if (s.len > 0)
		memcpy(out, s.p, s.len);
	out += s.len;
	*out++ = '"';
	if (colon)
		*out++ = ':';
	*out = '\0';
	b->len = (size_t)(out - b->p);
}

void json_key(struct json_out *j, const char *key)
{
	assert(!j->after_key);
	separate(j);
	add_quoted(j->b, str_of(key), true);
	j->after_key = true;
}

void json_str(struct json_out *j, struct str s)
{
	separate(j);
	add_quoted(j->b, s, false);
}

void json_cstr(struct json_out *j, const char *s)
{
	if (s)
		json_str(j, str_of(s));
	else
		json_put_null(j);
}

void json_u64(struct json_out *j, uint64_t v)
{
	separate(j);
	buf_add_u64(j->b, v);
}

void json_i64(struct json_out *j, int64_t v)
{
	separate(j);
	if (v < 0)
		buf_add_char(j->b, '-');
	buf_add_u64(j->b, v < 0 ? -(uint64_t)v : (uint64_t)v);
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
	char text[TIME_TEXT_LEN + 1];

	if (unix_ms == 0) {
		json_put_null(j);
		return;
	}
	time_format(text, unix_ms);
	json_str(j, (struct str){text, TIME_TEXT_LEN});
}

void json_raw(struct json_out *j, struct str valid_json)
{
	separate(j);
	buf_add_str(j->b, valid_json);
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
