#include "front/caller.h"
#include "catalog/catalog.h"
#include "engine/people.h"
#include "front/credentials.h"
#include "front/front.h"
#include "front/hop.h"
#include "front/limits.h"
#include "front/link.h"
#include "front/signed.h"
#include "front/watchers.h"

#define NOBODY                                                                                                                             \
	{                                                                                                                                  \
		.owner = STR(OWNER_PUBLIC), .how = CALLER_ANONYMOUS, .role = ROLE_USER,                                                    \
		.scopes = 1u << SCOPE_FILES_READ | 1u << SCOPE_FILES_WRITE | 1u << SCOPE_JOBS_READ | 1u << SCOPE_JOBS_WRITE,               \
	}
const struct caller caller_anonymous = NOBODY, caller_first = NOBODY;

const char *caller_how_name(enum caller_how h)
{
	static const char *const names[] = {"anonymous", "session", "key", "signature", "link"};

	return names[h];
}

const struct caller *front_caller(const struct http_request *r)
{
	const struct caller *c = http_caller(r);

	return c != NULL ? c : &caller_anonymous;
}

static bool has(const struct caller *c, enum scope s)
{
	return c->scopes & 1u << s;
}

static bool may(const struct caller *c, enum http_access access)
{
	switch (access) {
	case HTTP_ANYONE:
	case HTTP_CALLER:
		return true;
	case HTTP_FILES_READ:
		return has(c, SCOPE_FILES_READ);
	case HTTP_FILES_WRITE:
		return has(c, SCOPE_FILES_WRITE);
	case HTTP_JOBS_READ:
		return has(c, SCOPE_JOBS_READ);
	case HTTP_JOBS_WRITE:
		return has(c, SCOPE_JOBS_WRITE);
	case HTTP_PERSON:
		return c->how == CALLER_SESSION;
	case HTTP_WATCHER:
		return has(c, SCOPE_ADMIN) || c == &caller_first;
	case HTTP_OPERATOR:
		return c->role >= ROLE_OPERATOR && has(c, SCOPE_ADMIN);
	case HTTP_ADMIN:
		return c->role >= ROLE_ADMIN && has(c, SCOPE_ADMIN);
	case HTTP_LINK:
		return c->how == CALLER_LINK;
	case HTTP_ACCESSES:
		break;
	}
	return false;
}

/* RFC 9110 §11.6.1: a 401 says what would be taken; RFC 6750 §3.1: and what was wrong. */
int front_challenge(struct http_request *r, int code)
{
	if (err_info(code)->http_status == 401)
		http_set_header(r, "WWW-Authenticate",
				code == ERR_UNAUTHENTICATED ? "Bearer realm=\"filemill\""
							    : "Bearer realm=\"filemill\", error=\"invalid_token\"");
	return code;
}

static int allow(struct http_request *r, const struct caller *c, enum http_access access, struct err *e)
{
	int rc = limits_caller(r, c, e);

	if (rc != 0)
		return rc;
	if (!may(c, access))
		return c->how == CALLER_ANONYMOUS ? front_challenge(r, err_set(e, ERR_UNAUTHENTICATED, "this takes credentials"))
						  : err_set(e, ERR_FORBIDDEN, "these credentials do not allow this");
	if (c->how != CALLER_ANONYMOUS)
		http_set_caller(r, (void *)(uintptr_t)c);
	return 0;
}

int front_allow(struct http_request *r, const struct caller *c, struct err *e)
{
	return allow(r, c, http_route_of(r)->access, e);
}

int front_require(struct http_request *r, enum http_access access, struct err *e)
{
	const struct caller *c;
	int rc = credentials_caller(r, true, &c, e);

	return rc != 0 ? front_challenge(r, rc) : allow(r, c, access, e);
}

/* ---- whether he still may ---- */

bool front_changed(const struct http_request *r)
{
	const struct caller *c = http_caller(r);

	return c != NULL && c->seen != engine_people_changes(front_engine(r));
}

int front_still(struct http_request *r, struct err *e)
{
	struct caller *c = http_caller(r);
	uint64_t changes = engine_people_changes(front_engine(r));
	int rc;

	if (c == NULL || c->seen == changes)
		return 0;
	if (c->how == CALLER_LINK) {
		rc = front_link_still(r, c->link, e);
	} else {
		const struct credential shown = credential_of(c);
		rc = credential_holds(front_engine(r), &shown, e);
	}
	if (rc != 0)
		return front_challenge(r, rc);
	c->seen = changes;
	return 0;
}

/* ---- at the head ---- */

/* May wait. */
static int judge(struct http_request *r, struct err *e)
{
	const struct watchers_seen seen = watchers_now(r);
	const struct caller *c;
	int rc;

	if (http_route_of(r)->access == HTTP_LINK)
		return front_link_open(r, e);
	rc = credentials_caller(r, true, &c, e);
	if (rc != 0)
		return front_challenge(r, rc);
	rc = front_allow(r, c, e);
	if (rc == 0 && http_route_of(r)->access == HTTP_WATCHER && !engine_reads_are_local(front_engine(r)))
		watchers_remember(r, c, seen);
	return rc;
}

static void refuse(struct http_request *r, struct err *e)
{
	if (http_route_of(r)->access == HTTP_LINK)
		front_link_refused(r, e);
	else
		front_problem(r, e->code, e);
}

static void judge_on_pool(struct http_request *r)
{
	struct err e = ERR_INIT;

	if (judge(r, &e) == 0)
		http_continue(r);
	else
		refuse(r, &e);
}

/* What can be said of who asks without asking a catalogue that others are behind: CREDENTIALS_ASK where nothing can. */
static int judge_now(struct http_request *r, struct err *e)
{
	const struct http_route *route = http_route_of(r);
	const struct caller *c;
	int rc;

	if (route->access == HTTP_LINK)
		return CREDENTIALS_ASK;
	if (route->access == HTTP_WATCHER && (c = watchers_find(r)) != NULL)
		return front_allow(r, c, e);
	rc = credentials_caller(r, false, &c, e);
	if (rc == CREDENTIALS_ASK)
		return rc;
	return rc != 0 ? front_challenge(r, rc) : front_allow(r, c, e);
}

int front_admit(struct http_request *r, struct err *e)
{
	int rc;

	if (http_route_of(r)->access == HTTP_ANYONE)
		return 0;
	if (http_route_of(r)->access != HTTP_LINK && signed_is(r))
		return signed_admit(r, e);
	if (engine_reads_are_local(front_engine(r))) {
		rc = judge(r, e);
		if (rc == 0 || http_route_of(r)->access != HTTP_LINK)
			return rc;
		refuse(r, e); /* as a page, it may be */
		return HTTP_ADMIT_LATER;
	}
	rc = judge_now(r, e);
	if (rc != CREDENTIALS_ASK)
		return rc;
	front_ask(r, judge_on_pool, refuse);
	return HTTP_ADMIT_LATER;
}
