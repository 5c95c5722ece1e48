/* Content-Disposition outside of forms: RFC 6266, RFC 8187. */
#include "http/multipart.h"

#include "base/arena.h"
#include "base/buf.h"
#include "http/params.h"

#include <string.h>

static int malformed(struct err *e)
{
	err_set(e, ERR_BAD_HEADER, "Content-Disposition is malformed");
	err_field(e, "Content-Disposition");
	return ERR_BAD_HEADER;
}

/* Both forms of the name as they come; each at most once. */
static int find_names(struct str value, struct param *plain, struct param *ext, struct err *e)
{
	struct params params;
	struct param one;
	int rc;

	if (!is_token(params_begin(&params, value)))
		return malformed(e);
	while ((rc = params_next(&params, &one)) > 0) {
		struct param *slot = str_eq_nocase(one.name, STR("filename"))    ? plain
				     : str_eq_nocase(one.name, STR("filename*")) ? ext
										 : NULL;

		if (!slot)
			continue;
		if (slot->raw.p || (slot == ext && one.quoted))
			return malformed(e);
		*slot = one;
	}
	return rc ? malformed(e) : 0;
}

static bool is_text(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
	return utf8_valid(s);
}

int disposition_filename(struct str *ret_filename, struct str value, struct arena *a, struct err *e)
{
	struct param plain = {}, ext = {};
	struct str name = {};
	char *dst;
	int rc = find_names(value, &plain, &ext, e);

	if (rc)
		return rc;
	if (plain.raw.p || ext.raw.p) {
		dst = arena_alloc(a, plain.raw.len + ext.raw.len + 1);
		if (!dst)
			return err_set(e, ERR_NO_MEMORY, "file name");
		name = (struct str){dst, 0};
		/* The extended form is the better one when both are there: RFC 6266 §4.3. */
		if (ext.raw.p) {
			long n = param_decode_ext(dst, ext.raw);

			if (n < 0)
				return malformed(e);
			name.len = (size_t)n;
		} else {
			name.len = param_unquote(dst, &plain, UNQUOTE_RFC);
		}
		if (!is_text(name))
			return malformed(e);
	}
	*ret_filename = name;
	return 0;
}

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\' && c != '%';
}

/* attr-char of RFC 8187 §3.2.1 */
static bool is_attr_char(unsigned char c)
{
	return is_token_char(c) && c != '*' && c != '\'' && c != '%';
}

void disposition_write(struct buf *out, const char *disposition, struct str filename)
{
	static const char digits[] = "0123456789ABCDEF";
	bool all_plain = true;

	buf_add_cstr(out, disposition);
	if (filename.len == 0)
		return;
	buf_add_cstr(out, "; filename=\"");
	for (size_t i = 0; i < filename.len; i++) {
		unsigned char c = (unsigned char)filename.p[i];

		all_plain = all_plain && is_plain(c);
		if ((c & 0xc0) != 0x80) /* one underscore a character */
			buf_add_char(out, is_plain(c) ? (char)c : '_');
	}
	buf_add_char(out, '"');
	if (all_plain)
		return;
	buf_add_cstr(out, "; filename*=UTF-8''");
	for (size_t i = 0; i < filename.len; i++) {
		unsigned char c = (unsigned char)filename.p[i];

		if (is_attr_char(c)) {
			buf_add_char(out, (char)c);
			continue;
		}
		buf_add_char(out, '%');
		buf_add_char(out, digits[c >> 4]);
		buf_add_char(out, digits[c & 15]);
	}
}
