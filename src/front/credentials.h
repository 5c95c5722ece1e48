/* What a request brings along to show who sends it: `Authorization: Bearer`, or the cookie of a session. For front_admit(). */
#ifndef FILEMILL_FRONT_CREDENTIALS_H
#define FILEMILL_FRONT_CREDENTIALS_H

#include "front/caller.h"

/* Bound to this host and its whole tree by its prefix, which browsers heed (RFC 6265bis §4.1.3). */
#define SESSION_COOKIE "__Host-filemill"

/* Who asks: *ret stays as it is where nothing was shown. HTTP thread; a point read of the catalogue. ERR_BAD_CREDENTIALS, ERR_CROSS_SITE, ERR_UNAUTHENTICATED. */
[[nodiscard]] int credentials_caller(struct http_request *r, const struct caller **ret, struct err *e);

/* Somebody with an account, from what is known of his credential (how, scopes, credential, expires_at); in the request's arena. No credential makes more of him than he is. ERR_NO_MEMORY */
[[nodiscard]] int credentials_of(struct http_request *r, const struct account *who, struct caller c, const struct caller **ret,
				 struct err *e);

/* For front_still(): the session or key, and its account. ERR_BAD_CREDENTIALS. */
[[nodiscard]] int credentials_still(struct http_request *r, const struct caller *c, struct err *e);

/* A write with a cookie, or one that sets it, must come from a page of this very origin: Sec-Fetch-Site says so, where the browser knows it, and Origin (WHATWG Fetch §3.2, §2.2.1).
 * ERR_CROSS_SITE. What names neither is no browser that would send cookies across sites. */
[[nodiscard]] int credentials_same_origin(struct http_request *r, struct err *e);

/* The header Set-Cookie; token p NULL: the browser forgets it. Before the answer. */
void credentials_set_cookie(struct http_request *r, struct str token, int64_t max_age_s);

#endif
