/* What a request brings along to show who sends it: `Authorization: Bearer`, or the cookie of a session. For front_admit(). */
#ifndef FILEMILL_FRONT_CREDENTIALS_H
#define FILEMILL_FRONT_CREDENTIALS_H

#include "front/caller.h"

/* Bound to this host and its whole tree by its prefix, which browsers heed (RFC 6265bis §4.1.3). */
#define SESSION_COOKIE "__Host-filemill"

#define CREDENTIALS_ASK 2 /* and not HTTP_ADMIT_LATER */

/* Who asks: caller_anonymous where nothing was shown, caller_first where nobody has said who may come. Never waits unless `ask`: CREDENTIALS_ASK when the catalogue has to be asked, so that this is to
 * be called again with it, on a thread that may wait; where reads are local there is nobody to wait for, and `ask` is always right. ERR_BAD_CREDENTIALS, ERR_CROSS_SITE, ERR_UNAUTHENTICATED,
 * ERR_CATALOG_UNAVAILABLE. */
[[nodiscard]] int credentials_caller(struct http_request *r, bool ask, const struct caller **ret, struct err *e);

struct engine;
/* What a session or key is found by again. */
struct credential {
	enum caller_how how; /* CALLER_SESSION, or by the key's id */
	struct uuid id;
	uint8_t hash[SECRET_HASH]; /* of a session's token */
};
/* The caller's own, of whom an account is known: not of a link. */
struct credential credential_of(const struct caller *c);
/* The session or key still holds, and its account. May wait where reads are not local. ERR_BAD_CREDENTIALS; the catalogue's errors. */
[[nodiscard]] int credential_holds(struct engine *g, const struct credential *c, struct err *e);

/* Somebody with an account, from what is known of his credential (how, scopes, credential, expires_at); in the request's arena. No credential makes more of him than he is. ERR_NO_MEMORY */
[[nodiscard]] int credentials_of(struct http_request *r, const struct account *who, struct caller c, const struct caller **ret,
				 struct err *e);

/* A write with a cookie, or one that sets it, must come from a page of this very origin: Sec-Fetch-Site says so, where the browser knows it, and Origin (WHATWG Fetch §3.2, §2.2.1).
 * ERR_CROSS_SITE. What names neither is no browser that would send cookies across sites. */
[[nodiscard]] int credentials_same_origin(struct http_request *r, struct err *e);

/* The header Set-Cookie; token p NULL: the browser forgets it. Before the answer. */
void credentials_set_cookie(struct http_request *r, struct str token, int64_t max_age_s);

#endif
