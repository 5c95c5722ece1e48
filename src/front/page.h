/* Pages rendered here, which work without script. Everything a stranger wrote goes through page_text(). */
#ifndef FILEMILL_FRONT_PAGE_H
#define FILEMILL_FRONT_PAGE_H

#include "base/buf.h"
#include "http/http.h"

/* Text for element content and quoted attributes: & < > " ' as references. */
void page_text(struct buf *b, struct str s);
/* A place in a template of web/: `{{name}}` becomes the value as text, `<!--name-->` becomes it as HTML made here. */
struct page_slot {
	const char *name;
	struct str value;
	bool html;
};
/* Copies the template with its slots filled; a `{{name}}` that is not in the list becomes nothing, a comment that is not stays. */
void page_fill(struct buf *b, struct str template, const struct page_slot *slots, size_t n);

/* The head of a page up to and with <main><h1>. */
void page_open(struct buf *b, const char *title);
/* Closes it and answers, with a policy that allows no script and no outside request. */
void page_reply(struct http_request *r, int status, struct buf *b);
/* Answers with a whole page under the content security policy given. */
void page_reply_with(struct http_request *r, int status, struct buf *b, const char *policy);
/* A form with one file field named `file`. */
void page_upload_form(struct buf *b, const char *action);
/* A form that looks an id up by GET, in the field `name`. */
void page_lookup_form(struct buf *b, const char *action, const char *name, const char *label);

#endif
