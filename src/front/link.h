/* Links as requests make and redeem them (auth/link.h says what they are). Whoever redeems one acts for whom it is of, and may what it says, nothing else: front_caller() is then CALLER_LINK. */
#ifndef FILEMILL_FRONT_LINK_H
#define FILEMILL_FRONT_LINK_H

#include "auth/link.h"
#include "front/front.h"

#define LINK_LABEL "link" /* of a file stored by a link: the link's id */
#define LINK_PATH "/v1/links/" /* and the link's id; the token is the parameter `token` */

/* Makes a link of the caller's that holds for so long: sets id, account, key, issued_at and expires_at, appends its address, and tells the audit log. Pool thread.
 * ERR_INVALID_VALUE with the field; ERR_NO_MEMORY; catalogue's errors. */
[[nodiscard]] int front_link_make(struct http_request *r, struct link *l, int64_t lifetime_ms, struct buf *ret_url, struct err *e);

/* Tells the audit log of one that somebody else made: an address of the object storage. Pool thread. */
[[nodiscard]] int front_link_note(struct http_request *r, const struct link *l, struct err *e);

/* For front_admit(), where a route is for links (HTTP_LINK): looks at the one that the request came with. If it is of this method and may be used by now, the caller is the link's from here on, and
 * front_caller()->link says what it allows. Point reads: may wait where reads are not local. ERR_LINK_INVALID, ERR_LINK_EXPIRED, ERR_USED: whether one for one use is still unused is told for sure by
 * the change that uses it up. ERR_RATE_LIMITED: its account's share. */
[[nodiscard]] int front_link_open(struct http_request *r, struct err *e);
/* The answer where that or the upload was refused: a page to a browser that sent a form, else a problem. */
void front_link_refused(struct http_request *r, struct err *e);
bool front_link_wants_page(struct http_request *r);

/* For front_still(): whoever made it may still do so. ERR_LINK_INVALID */
[[nodiscard]] int front_link_still(struct http_request *r, const struct link *l, struct err *e);

/* One media type in lower case without parameters, such as links may be bound to. */
bool link_type_valid(struct str type);

/* What a file's bytes may be that is sent as this type, as intake_spec has it; NULL = anything. Of a type that cannot be told from the bytes these may be any that cannot. In the request's arena. */
[[nodiscard]] int front_link_types(struct http_request *r, struct str type, const char *const **ret, struct err *e);
/* The label of a file that came by it, so that its owner sees which did. In the request's arena. */
[[nodiscard]] int front_link_label(struct http_request *r, struct uuid link, struct str *ret, struct err *e);

/* To be carried by the change that a link for one use is used for. */
struct once front_link_once(const struct link *l);

#endif
