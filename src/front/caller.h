/* Who asks: found once, before a request's handler starts, and asked for by everything above. */
#ifndef FILEMILL_FRONT_CALLER_H
#define FILEMILL_FRONT_CALLER_H

#include "http/http.h"
#include "model/account.h"

enum caller_how { CALLER_ANONYMOUS, CALLER_SESSION, CALLER_KEY, CALLER_SIGNATURE, CALLER_LINK };
const char *caller_how_name(enum caller_how h); /* for logs and the audit log */

struct link;

struct caller {
	struct str owner; /* whose things he sees: the account's id, or OWNER_PUBLIC */
	enum caller_how how;
	enum role role;
	uint32_t scopes; /* 1 << enum scope */
	struct uuid account; /* zero: anonymous */
	const struct link *link; /* CALLER_LINK: all that he may do; else NULL */
	struct uuid credential; /* of the session or key; zero: none */
	const struct account *who; /* NULL: anonymous */
	struct str token; /* of a session, as it was shown; p NULL: none */
	int64_t expires_at; /* of the session or key; 0 = never */
	uint64_t seen; /* engine_people_changes() before he was looked up */
};

/* Nobody in particular; and where there are no accounts yet, so that nobody has said who may come. */
extern const struct caller caller_anonymous, caller_first;

/* Never NULL. Where no caller is asked for (HTTP_ANYONE) it is the anonymous one, whatever the request brought along. */
const struct caller *front_caller(const struct http_request *r);

/* http_config.admit; a catalogue that is not local is asked on another thread, HTTP_ADMIT_LATER. ERR_UNAUTHENTICATED, ERR_BAD_CREDENTIALS, ERR_FORBIDDEN, ERR_CROSS_SITE, ERR_RATE_LIMITED, and what
 * signed_admit() says. */
[[nodiscard]] int front_admit(struct http_request *r, struct err *e);
/* Where a route that takes anyone does one thing that not everybody may: the caller is whom credentials_caller() finds, if he may what `access` says. The same errors.
 * May wait where reads are not local: front_ask(). */
[[nodiscard]] int front_require(struct http_request *r, enum http_access access, struct err *e);
/* Whether front_still() has to look. Never waits. */
bool front_changed(const struct http_request *r);
/* Does what let the caller in still hold? For what goes on for long, a stream or an upload: keys are revoked, sessions end, accounts are switched off meanwhile. A point read, and only when
 * something of that kind happened. One thread at a time, that may wait where reads are not local. ERR_BAD_CREDENTIALS, ERR_LINK_INVALID. */
[[nodiscard]] int front_still(struct http_request *r, struct err *e);
/* Before an answer to this error: what would be taken, where it is a 401. Returns the code. */
int front_challenge(struct http_request *r, int code);
/* May he call the route of this request? Then he is its caller from now on; he lives in its arena. ERR_RATE_LIMITED, ERR_UNAUTHENTICATED,
 * ERR_FORBIDDEN. */
[[nodiscard]] int front_allow(struct http_request *r, const struct caller *c, struct err *e);

#endif
