#include "http/params.h"

#include <string.h>

bool is_token_char(unsigned char c)
{
	if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))
		return true;
	return c && strchr("!#$%&'*+-.^_`|~", c);
}

bool is_token(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!is_token_char((unsigned char)s.p[i]))
			return false;
	return s.len > 0;
}

static struct str skip(struct str s, size_t n)
{
	return (struct str){s.p + n, s.len - n};
}

static struct str skip_blanks(struct str s)
{
	while (s.len && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = skip(s, 1);
	return s;
}

static size_t token_length(struct str s)
{
	size_t n = 0;

	while (n < s.len && is_token_char((unsigned char)s.p[n]))
		n++;
	return n;
}

struct str params_begin(struct params *p, struct str header)
{
	size_t n = 0;

	while (n < header.len && header.p[n] != ';')
		n++;
	p->rest = skip(header, n);
	return str_trim((struct str){header.p, n});
}

/* s begins behind the opening quote. Length up to the closing one, or -1. */
static long quoted_length(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '"')
			return (long)i;
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return -1;
		if (c == '\\' && i + 1 < s.len && (s.p[i + 1] == '"' || s.p[i + 1] == '\\'))
			i++;
	}
	return -1;
}

static bool take_value(struct str *rest, struct param *ret)
{
	long n;

	ret->quoted = rest->len && rest->p[0] == '"';
	if (!ret->quoted) {
		n = (long)token_length(*rest);
		ret->raw = (struct str){rest->p, (size_t)n};
		*rest = skip(*rest, (size_t)n);
		return true; /* an empty token is the caller's to judge */
	}
	*rest = skip(*rest, 1);
	n = quoted_length(*rest);
	if (n < 0)
		return false;
	ret->raw = (struct str){rest->p, (size_t)n};
	*rest = skip(*rest, (size_t)n + 1);
	return true;
}

int params_next(struct params *p, struct param *ret)
{
	struct str rest = skip_blanks(p->rest);
	size_t n;

	if (rest.len == 0)
		return 0;
	if (rest.p[0] != ';')
		return -1;
	rest = skip_blanks(skip(rest, 1));
	if (rest.len == 0)
		return 0; /* a semicolon at the end does no harm, and clients write it */
	n = token_length(rest);
	if (n == 0 || n == rest.len || rest.p[n] != '=')
		return -1;
	ret->name = (struct str){rest.p, n};
	rest = skip(rest, n + 1);
	if (!take_value(&rest, ret))
		return -1;
	p->rest = rest;
	return 1;
}

size_t param_unquote(char *dst, const struct param *p, enum unquote how)
{
	struct str s = p->raw;
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];

		if (p->quoted && c == '\\' && i + 1 < s.len && (how == UNQUOTE_RFC || s.p[i + 1] == '"' || s.p[i + 1] == '\\'))
			c = s.p[++i];
		else if (p->quoted && how == UNQUOTE_FORM && c == '%' && s.len - i >= 3 && s.p[i + 1] == '2' && s.p[i + 2] == '2') {
			c = '"';
			i += 2;
		}
		dst[n++] = c;
	}
	return n;
}

static bool only_ext_chars(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.p[i] != '%' && (!is_token_char((unsigned char)s.p[i]) || s.p[i] == '*' || s.p[i] == '\''))
			return false;
	return true;
}

long param_decode_ext(char *dst, struct str raw)
{
	struct str language, text, charset = str_split(raw, '\'', &language);
	long n;

	if (!language.p || !str_eq_nocase(charset, STR("UTF-8")))
		return -1;
	str_split(language, '\'', &text);
	if (!text.p || !only_ext_chars(text))
		return -1;
	n = pct_decode(dst, text);
	return n >= 0 && utf8_valid((struct str){dst, (size_t)n}) ? n : -1;
}
