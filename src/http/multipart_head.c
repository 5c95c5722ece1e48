/* RFC 7578 §4: Content-Disposition with a name, at most one Content-Type, nothing encoded, nothing nested. */
#include "http/multipart_head.h"

#include "http/params.h"

#include <string.h>

struct head {
	struct str disposition, type, encoding;
	unsigned n;
};

static int bad(struct err *e, const char *why)
{
	return err_set(e, ERR_BAD_MULTIPART, "%s", why);
}

static int set_once(struct str *slot, struct str value, struct err *e)
{
	if (slot->p)
		return bad(e, "a part has a header field twice");
	*slot = value;
	return 0;
}

static int read_line(struct head *h, struct str line, struct err *e)
{
	struct str value, name = str_split(line, ':', &value);

	if (++h->n > PART_HEADERS_MAX)
		return bad(e, "a part has too many header fields");
	if (!value.p || name.len == 0)
		return bad(e, "a part's header field is malformed");
	for (size_t i = 0; i < name.len; i++)
		if (!is_token_char((unsigned char)name.p[i]))
			return bad(e, "a part's header field is malformed");
	for (size_t i = 0; i < value.len; i++)
		if (((unsigned char)value.p[i] < 0x20 && value.p[i] != '\t') || value.p[i] == 0x7f)
			return bad(e, "a part's header has a control character");
	value = str_trim(value);
	if (str_eq_nocase(name, STR("Content-Disposition")))
		return set_once(&h->disposition, value, e);
	if (str_eq_nocase(name, STR("Content-Type")))
		return set_once(&h->type, value, e);
	if (str_eq_nocase(name, STR("Content-Transfer-Encoding")))
		return set_once(&h->encoding, value, e);
	return 0; /* RFC 7578 §4.8: others are ignored */
}

static int read_lines(struct head *h, struct str block, struct err *e)
{
	while (block.len) {
		const char *end = memchr(block.p, '\r', block.len);
		size_t n = end ? (size_t)(end - block.p) : block.len;
		int rc;

		if (block.len - n < 2 || end[1] != '\n')
			return bad(e, "a part's header has a bare CR");
		rc = read_line(h, (struct str){block.p, n}, e);
		if (rc)
			return rc;
		block = (struct str){block.p + n + 2, block.len - n - 2};
	}
	return 0;
}

struct names {
	struct param name, filename, ext;
};

static int find_names(struct names *names, struct str disposition, struct err *e)
{
	struct params params;
	struct param one;
	int rc;

	if (!str_eq_nocase(params_begin(&params, disposition), STR("form-data")))
		return bad(e, "a part has no Content-Disposition of form-data");
	while ((rc = params_next(&params, &one)) > 0) {
		struct param *slot = NULL;

		if (str_eq_nocase(one.name, STR("name")))
			slot = &names->name;
		else if (str_eq_nocase(one.name, STR("filename")))
			slot = &names->filename;
		else if (str_eq_nocase(one.name, STR("filename*")) && !one.quoted)
			slot = &names->ext;
		else if (memchr(one.name.p, '*', one.name.len))
			return bad(e, "a part's name is written in a form that is not supported");
		if (slot && slot->raw.p)
			return bad(e, "a part is named twice");
		if (slot)
			*slot = one;
	}
	return rc ? bad(e, "a part's Content-Disposition is malformed") : 0;
}

static bool is_text(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
	return utf8_valid(s);
}

static struct str unquote(char **scratch, const struct param *p)
{
	struct str s = {*scratch, param_unquote(*scratch, p, UNQUOTE_FORM)};

	*scratch += s.len;
	return s;
}

static int read_names(struct multipart_part *ret, const struct names *names, char *scratch, struct err *e)
{
	if (!names->name.raw.p)
		return bad(e, "a part has no name");
	ret->name = unquote(&scratch, &names->name);
	if (names->filename.raw.p)
		ret->filename = unquote(&scratch, &names->filename);
	if (names->ext.raw.p) {
		struct str other = {scratch, 0};
		long n = param_decode_ext(scratch, names->ext.raw);

		if (n < 0)
			return bad(e, "a part's filename* is not UTF-8 as in RFC 8187");
		other.len = (size_t)n;
		if (ret->filename.p && !str_eq(ret->filename, other))
			return bad(e, "a part has two different file names");
		ret->filename = other;
	}
	if (!is_text(ret->name) || (ret->filename.p && !is_text(ret->filename)))
		return bad(e, "a part's name is not UTF-8 without control characters");
	return 0;
}

static int check_head(const struct head *h, struct err *e)
{
	static const char *const plain[] = {"7bit", "8bit", "binary"};
	static const struct str multi = STR("multipart/");
	bool ok = !h->encoding.p;

	if (!h->disposition.p)
		return bad(e, "a part has no Content-Disposition");
	for (unsigned i = 0; i < ARRAY_LEN(plain); i++)
		ok = ok || str_eq_nocase(h->encoding, str_of(plain[i]));
	if (!ok)
		return bad(e, "a part has a Content-Transfer-Encoding");
	if (h->type.len >= multi.len && str_eq_nocase((struct str){h->type.p, multi.len}, multi))
		return bad(e, "a part is itself a multipart");
	return 0;
}

int multipart_read_head(struct multipart_part *ret, struct str block, char *scratch, struct err *e)
{
	struct multipart_part part = {};
	struct head head = {};
	struct names names = {};
	int rc = read_lines(&head, block, e);

	if (!rc)
		rc = check_head(&head, e);
	if (!rc)
		rc = find_names(&names, head.disposition, e);
	if (!rc)
		rc = read_names(&part, &names, scratch, e);
	if (rc)
		return rc;
	part.type = head.type;
	*ret = part;
	return 0;
}
