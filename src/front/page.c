#include "front/page.h"

void page_text(struct buf *b, struct str s)
{
	size_t from = 0;

	for (size_t i = 0; i < s.len; i++) {
		const char *as;
		switch (s.p[i]) {
		case '&': as = "&amp;"; break;
		case '<': as = "&lt;"; break;
		case '>': as = "&gt;"; break;
		case '"': as = "&quot;"; break;
		case '\'': as = "&#39;"; break;
		default: continue;
		}
		buf_add(b, s.p + from, i - from);
		buf_add_cstr(b, as);
		from = i + 1;
	}
	if (s.len > from)
		buf_add(b, s.p + from, s.len - from);
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

void page_reply(struct http_request *r, int status, struct buf *b)
{
	buf_add_cstr(b, "</main></body></html>\n");
	http_set_header(r, "Content-Security-Policy",
			"default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'");
	http_set_header(r, "X-Content-Type-Options", "nosniff");
	http_set_header(r, "Referrer-Policy", "no-referrer");
	http_set_header(r, "Cache-Control", "no-store");
	http_reply_buf(r, status, "text/html; charset=utf-8", b);
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
