/* What every list shares: limit, cursor, the frame of the answer. */
#ifndef FILEMILL_FRONT_LIST_H
#define FILEMILL_FRONT_LIST_H

#include "base/json_out.h"
#include "front/front.h"

#define LIST_LIMIT_DEFAULT 50
#define LIST_LIMIT_MAX 200

/* Names a list and its filters as they stand in the query, for cursors: every value of every filter gives another scope. */
void list_scope(struct buf *ret, struct http_request *r, const char *list, const char *const *filters, size_t n);
/* `?limit= (ERR_BAD_PARAMETER) and `?cursor=` (ERR_BAD_CURSOR). scope names the list and its filters: a cursor serves only the list it was made for. */
[[nodiscard]] int list_page(struct http_request *r, const struct buf *scope, struct page *ret, struct err *e);
/* The answer `{"<name>": […], "next": …}`: the caller writes the elements into j in between. The end replies and frees. */
struct listing {
	struct http_request *r;
	struct buf body;
	struct json_out j;
};
void listing_begin(struct listing *l, struct http_request *r, const char *name);
void listing_end(struct listing *l, const struct buf *scope, int64_t next);
/* The member "next": a cursor that goes on below row number `next`, null when that is 0. */
void list_write_next(struct json_out *j, struct http_request *r, struct str scope, int64_t next);

#endif
