/* The last words of a program, made fit for people and for JSON. */
#include "runner/child/command_impl.h"

#include "base/utf8.h"

#include <string.h>

void command_tail_add(struct command_tail *t, const char *p, size_t n)
{
	if (n >= sizeof(t->text)) {
		memcpy(t->text, p + n - sizeof(t->text), sizeof(t->text));
		t->n = sizeof(t->text);
		return;
	}
	if (n > sizeof(t->text) - t->n) {
		size_t keep = sizeof(t->text) - n;

		memmove(t->text, t->text + t->n - keep, keep);
		t->n = keep;
	}
	memcpy(t->text + t->n, p, n);
	t->n += n;
}

void command_tail_write(const struct command_tail *t, struct buf *out)
{
	const unsigned char *p = (const unsigned char *)t->text, *end = p + t->n;

	/* A full tail may begin within a character: at most three bytes continue it. */
	for (int i = 0; i < 3 && t->n == sizeof(t->text) && p < end && (*p & 0xc0) == 0x80; i++)
		p++;
	while (p < end) {
		size_t n = utf8_step(p, end);
		bool control = (*p < 0x20 && *p != '\t' && *p != '\n' && *p != '\r') || *p == 0x7f;

		if (n == 0 || control)
			buf_add_cstr(out, "\xef\xbf\xbd");
		else
			buf_add(out, p, n);
		p += n > 0 ? n : 1;
	}
}
