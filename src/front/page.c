#include "front/page.h"

#include <string.h>

void page_text(struct buf *b, struct str s)
{
	size_t from = 0;

	for (size_t i = 0; i < s.len; i++) {
		const char *as;
		switch (s.p[i]) {
		case '&':
			as = "&amp;";
			break;
		case '<':
			as = "&lt;";
			break;
		case '>':
			as = "&gt;";
			break;
		case '"':
			as = "&quot;";
			break;
		case '\'':
			as = "&#39;";
			break;
		default:
			continue;
		}
		buf_add(b, s.p + from, i - from);
		buf_add_cstr(b, as);
		from = i + 1;
	}
	if (s.len > from)
		buf_add(b, s.p + from, s.len - from);
}

static const struct page_slot *find_slot(const struct page_slot *slots, size_t n, struct str name, bool html)
{
	for (size_t i = 0; i < n; i++)
		if (slots[i].html == html && str_eq(name, str_of(slots[i].name)))
			return &slots[i];
	return NULL;
}

/* The mark that starts at `at`, such as {{name}}: its length and name; 0 when there is none. */
static size_t mark_at(struct str t, size_t at, struct str open, struct str close, struct str *ret_name)
{
	struct str rest = {t.p + at, t.len - at};

	if (!str_starts(rest, open))
		return 0;
	const char *end = memmem(rest.p + open.len, rest.len - open.len, close.p, close.len);
	if (end == NULL)
		return 0;
	*ret_name = (struct str){rest.p + open.len, (size_t)(end - rest.p) - open.len};
	return (size_t)(end - rest.p) + close.len;
}

void page_fill(struct buf *b, struct str template, const struct page_slot *slots, size_t n)
{
	size_t from = 0;

	for (size_t i = 0; i < template.len;) {
		struct str name;
		bool html = false;
		size_t len = mark_at(template, i, STR("{{"), STR("}}"), &name);
		if (len == 0) {
			len = mark_at(template, i, STR("<!--"), STR("-->"), &name);
			html = true;
		}
		const struct page_slot *slot = len == 0 ? NULL : find_slot(slots, n, name, html);
		if (len == 0 || (html && slot == NULL)) {
			i++;
			continue;
		}
		buf_add(b, template.p + from, i - from);
		if (slot != NULL && html)
			buf_add_str(b, slot->value);
		else if (slot != NULL)
			page_text(b, slot->value);
		i += len;
		from = i;
	}
	buf_add(b, template.p + from, template.len - from);
}

void page_open(struct buf *b, const char *title)
{
	buf_add_cstr(b, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
			"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>");
	page_text(b, str_of(title));
	buf_add_cstr(b, "</title></head>\n<body><main><h1>");
	page_text(b, str_of(title));
	buf_add_cstr(b, "</h1>\n");
}

void page_reply_with(struct http_request *r, int status, struct buf *b, const char *policy)
{
	http_set_header(r, "Content-Security-Policy", policy);
	http_set_header(r, "X-Content-Type-Options", "nosniff");
	http_set_header(r, "Referrer-Policy", "no-referrer");
	http_set_header(r, "Cache-Control", "no-store");
	http_reply_buf(r, status, "text/html; charset=utf-8", b);
}

void page_reply(struct http_request *r, int status, struct buf *b)
{
	buf_add_cstr(b, "</main></body></html>\n");
	page_reply_with(r, status, b, "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'");
}

void page_upload_form(struct buf *b, const char *action)
{
	buf_add_cstr(b, "<form method=\"post\" enctype=\"multipart/form-data\" action=\"");
	page_text(b, str_of(action));
	buf_add_cstr(b, "\"><p><label for=\"file\">File</label> <input type=\"file\" id=\"file\" name=\"file\" required> "
			"<button type=\"submit\">Upload</button></p></form>\n");
}

void page_lookup_form(struct buf *b, const char *action, const char *name, const char *label)
{
	buf_add_cstr(b, "<form method=\"get\" action=\"");
	page_text(b, str_of(action));
	buf_add_cstr(b, "\"><p><label for=\"id\">");
	page_text(b, str_of(label));
	buf_add_cstr(b, "</label> <input id=\"id\" required autocomplete=\"off\" name=\"");
	page_text(b, str_of(name));
	buf_add_cstr(b, "\"> <button type=\"submit\">Show</button></p></form>\n");
}
