#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAP 256

void buf_release(struct buf *b)
{
	if (!b)
		return;
	free(b->p);
	*b = (struct buf){.limit = b->limit};
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	b->failed = false;
	if (b->cap > 0)
		b->p[0] = '\0';
}

bool buf_ok(const struct buf *b)
{
	return !b->failed;
}

struct str buf_str(const struct buf *b)
{
	return b->p ? (struct str){b->p, b->len} : STR("");
}

/* Memory for `more` bytes and the NUL behind them, doubling so that appending stays linear. */
static void grow(struct buf *b, size_t more)
{
	size_t need, cap = b->cap > 0 ? b->cap : FIRST_CAP;
	char *p;

	if (__builtin_add_overflow(b->len, more, &need) || need >= SIZE_MAX / 2 || (b->limit > 0 && need > b->limit)) {
		b->failed = true;
		return;
	}
	need++;
	while (cap < need)
		cap *= 2;
	p = realloc(b->p, cap);
	if (!p) {
		b->failed = true;
		return;
	}
	if (b->cap == 0)
		p[0] = '\0';
	b->p = p;
	b->cap = cap;
}

void buf_reserve(struct buf *b, size_t more)
{
	if (b->failed)
		return;
	/* Invariant: len < cap whenever cap > 0. The limit counts although the memory may already be larger. */
	if (b->cap == 0 || more >= b->cap - b->len || (b->limit > 0 && more > b->limit - b->len))
		grow(b, more);
}

void buf_add(struct buf *b, const void *data, size_t n)
{
	buf_reserve(b, n);
	if (b->failed || n == 0)
		return;
	memcpy(b->p + b->len, data, n);
	b->len += n;
	b->p[b->len] = '\0';
}

void buf_add_str(struct buf *b, struct str s)
{
	buf_add(b, s.p, s.len);
}

void buf_add_cstr(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_add_char(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_add_u64(struct buf *b, uint64_t v)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	buf_add(b, digits + at, sizeof(digits) - at);
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0) {
		b->failed = true;
		return;
	}
	buf_reserve(b, (size_t)n);
	if (b->failed)
		return;
	va_start(ap, fmt);
	vsnprintf(b->p + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
}

char *buf_steal(struct buf *b, size_t *ret_len)
{
	char *p;

	buf_reserve(b, 0); /* nothing appended yet: there still must be a NUL to give away */
	if (b->failed) {
		buf_release(b);
		return NULL;
	}
	p = b->p;
	if (ret_len)
		*ret_len = b->len;
	*b = (struct buf){.limit = b->limit};
	return p;
}
