/* What a program says of its progress. It is a stranger: whatever it writes is a number from 0 to 1, or nothing. */
#include "runner/child/command_impl.h"

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

/* 0, 1, 0.5, .5, 37%, 37.5% and no other forms; ‰, or -1. */
static int permille_of(const char *p, size_t n)
{
	bool percent = n > 0 && p[n - 1] == '%';
	unsigned scale = percent ? 10 : 1000, value = 0;
	size_t at = 0, digits = 0;

	n -= percent;
	for (; at < n && digit(p[at]) && digits < 4; at++, digits++)
		value = value * 10 + (unsigned)(p[at] - '0');
	if (value > (percent ? 100 : 1))
		return -1;
	value *= scale;
	if (at < n && p[at] == '.') {
		for (at++; at < n && digit(p[at]); at++, digits++) {
			scale /= 10;
			value += scale * (unsigned)(p[at] - '0');
		}
	}
	return at == n && digits > 0 && value <= 1000 ? (int)value : -1;
}

/* Blanks and a carriage return around it do no harm. */
static bool take_line(struct command_progress *p)
{
	const char *begin = p->line, *end = p->line + p->n;

	if (p->n > sizeof(p->line))
		return false;
	while (begin < end && *begin == ' ')
		begin++;
	while (end > begin && (end[-1] == ' ' || end[-1] == '\r'))
		end--;
	int permille = permille_of(begin, (size_t)(end - begin));
	if (permille < 0)
		return false;
	p->permille = (unsigned)permille;
	return true;
}

bool command_progress_add(struct command_progress *p, const char *text, size_t n)
{
	bool any = false;

	for (size_t i = 0; i < n; i++) {
		if (text[i] == '\n') {
			any |= take_line(p);
			p->n = 0;
		} else if (p->n < sizeof(p->line)) {
			p->line[p->n++] = text[i];
		} else {
			p->n = sizeof(p->line) + 1;
		}
	}
	return any;
}
