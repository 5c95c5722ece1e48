/* Parameters of a header value: `; name=token` and `; name="quoted"`. Shared by Content-Type and Content-Disposition. */
#ifndef FILEMILL_HTTP_PARAMS_H
#define FILEMILL_HTTP_PARAMS_H

#include "base/str.h"

struct params {
	struct str rest; /* behind the value or the parameter before */
};

struct param {
	struct str name;
	struct str raw; /* token, or what stands between the quotes with its escapes */
	bool quoted;
};

/* Splits off the value in front of the first semicolon, trimmed. */
struct str params_begin(struct params *p, struct str header);
/* 1 and *ret, 0 at the end, -1 when malformed. */
int params_next(struct params *p, struct param *ret);

/* How a backslash in a quoted string is read. */
enum unquote {
	UNQUOTE_RFC, /* it escapes any character: RFC 9110 §5.6.4 */
	UNQUOTE_FORM, /* before a quote or a backslash only, because forms carry file names with plain ones; %22 is a quote (WHATWG HTML §4.10.22.8) */
};
/* dst holds raw.len bytes; returns the length. */
size_t param_unquote(char *dst, const struct param *p, enum unquote how);
/* ext-value of RFC 8187 §3.2 in UTF-8. dst holds raw.len bytes. -1 when malformed, another charset, or no valid UTF-8. */
long param_decode_ext(char *dst, struct str raw);

bool is_token_char(unsigned char c); /* tchar of RFC 9110 §5.6.2 */
bool is_token(struct str s);

#endif
