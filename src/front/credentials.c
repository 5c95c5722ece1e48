#include "front/credentials.h"
#include "auth/token.h"
#include "base/wipe.h"
#include "engine/people.h"
#include "front/front.h"
#include "http/fields.h"

#include <stdio.h>
#include <string.h>

#define CSRF_HEADER "X-CSRF-Token"

static int no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, "no memory for a caller");
}

/* One text for all that can be wrong: whoever guesses learns nothing. */
static int bad(struct err *e)
{
	return err_set(e, ERR_BAD_CREDENTIALS, "these credentials are unknown, revoked or expired");
}

/* ---- the catalogue's word ---- */

int credentials_of(struct http_request *r, const struct account *who, struct caller c, const struct caller **ret, struct err *e)
{
	struct caller *made = arena_alloc(http_arena(r), sizeof(*made));
	struct account *kept = arena_alloc(http_arena(r), sizeof(*kept));
	char id[UUID_TEXT_LEN + 1];

	uuid_format(id, who->id);
	c.owner = arena_str(http_arena(r), (struct str){id, UUID_TEXT_LEN});
	if (made == NULL || kept == NULL || c.owner.p == NULL)
		return no_memory(e);
	*kept = *who;
	c.account = who->id;
	c.who = kept;
	c.role = who->role;
	if (who->role < ROLE_OPERATOR) /* no key makes more of somebody than he is */
		c.scopes &= ~(1u << SCOPE_ADMIN);
	*made = c;
	*ret = made;
	return 0;
}

static int session_of(struct http_request *r, struct str token, const uint8_t hash[TOKEN_HASH], const struct caller **ret, struct err *e)
{
	struct engine *g = front_engine(r);
	const uint64_t seen = engine_people_changes(g);
	struct session session;
	struct account who;
	int rc = catalog_session(front_catalog(r), hash, front_now(r), engine_people_rules(g)->session_idle_ms, http_arena(r), &session,
				 &who, e);

	if (rc == ERR_UNAUTHENTICATED)
		return bad(e);
	if (rc != 0)
		return rc;
	engine_session_used(g, &session);
	const struct caller c = {
		.how = CALLER_SESSION,
		.scopes = SCOPE_ALL,
		.credential = session.id,
		.token = token,
		.expires_at = session.expires_at,
		.seen = seen,
	};
	return credentials_of(r, &who, c, ret, e);
}

static int key_of(struct http_request *r, const uint8_t hash[TOKEN_HASH], const struct caller **ret, struct err *e)
{
	const uint64_t seen = engine_people_changes(front_engine(r));
	struct api_key key;
	struct account who;
	int rc = catalog_key(front_catalog(r), hash, front_now(r), http_arena(r), &key, &who, e);

	if (rc == ERR_UNAUTHENTICATED)
		return bad(e);
	if (rc != 0)
		return rc;
	const struct caller c = {.how = CALLER_KEY, .scopes = key.scopes, .credential = key.id, .expires_at = key.expires_at, .seen = seen};
	return credentials_of(r, &who, c, ret, e);
}

struct credential credential_of(const struct caller *c)
{
	struct credential made = {.how = c->how, .id = c->credential};
	enum token_kind kind;

	if (c->how == CALLER_SESSION)
		(void)token_read(c->token, &kind, made.hash); /* a token that was none found nobody */
	return made;
}

int credential_holds(struct engine *g, const struct credential *c, struct err *e)
{
	CLEANUP(arena_release) struct arena a = ARENA_INIT;
	struct catalog *catalog = engine_catalog(g);
	struct env *env = engine_env(g);
	const int64_t now = env->wall_ms(env);
	struct session session;
	struct api_key key;
	struct account who;
	int rc = c->how == CALLER_SESSION
			 ? catalog_session(catalog, c->hash, now, engine_people_rules(g)->session_idle_ms, &a, &session, &who, e)
			 : catalog_key_by_id(catalog, c->id, now, &a, &key, &who, e);

	return rc == ERR_UNAUTHENTICATED ? bad(e) : rc;
}

/* ---- Authorization ---- */

static int by_bearer(struct http_request *r, struct str authorization, bool ask, const struct caller **ret, struct err *e)
{
	struct str rest, scheme = str_split(authorization, ' ', &rest), token = str_trim(rest);
	uint8_t hash[TOKEN_HASH];
	enum token_kind kind;

	if (!str_eq_nocase(scheme, STR("Bearer")))
		return err_set(e, ERR_BAD_CREDENTIALS, "the only scheme taken here is Bearer");
	if (rest.p == NULL || !token_read(token, &kind, hash))
		return bad(e);
	if (!ask)
		return CREDENTIALS_ASK;
	return kind == TOKEN_SESSION ? session_of(r, token, hash, ret, e) : key_of(r, hash, ret, e);
}

/* ---- the cookie ---- */

static int cross_site(struct err *e)
{
	return err_set(e, ERR_CROSS_SITE, "a request that changes something comes from a page of this server itself, with its token");
}

int credentials_same_origin(struct http_request *r, struct err *e)
{
	return origin_is_own(http_header(r, "Sec-Fetch-Site"), http_header(r, "Origin"), http_header(r, "Host")) ? 0 : cross_site(e);
}

static bool changes_nothing(const struct http_request *r)
{
	enum http_method m = http_method(r);

	return m == HTTP_GET || m == HTTP_HEAD || m == HTTP_OPTIONS;
}

static int check_csrf(struct http_request *r, struct str token, struct err *e)
{
	struct str shown = http_header(r, CSRF_HEADER);
	int rc;

	if (changes_nothing(r))
		return 0;
	rc = credentials_same_origin(r, e);
	if (rc == 0 && (shown.p == NULL || !token_csrf_right(shown, token))) {
		rc = cross_site(e);
		(void)err_field(e, CSRF_HEADER);
	}
	return rc;
}

static int by_cookie(struct http_request *r, struct str token, bool ask, const struct caller **ret, struct err *e)
{
	uint8_t hash[TOKEN_HASH];
	enum token_kind kind;
	int rc;

	if (!token_read(token, &kind, hash) || kind != TOKEN_SESSION)
		return bad(e);
	if (!ask)
		return CREDENTIALS_ASK;
	rc = session_of(r, token, hash, ret, e);
	return rc == 0 ? check_csrf(r, token, e) : rc;
}

/* ---- all of them ---- */

/* Nothing was shown, or what a browser adds by itself. */
static int by_nothing(struct http_request *r, struct str cookie, bool one, uint64_t accounts, bool ask, const struct caller **ret,
		      struct err *e)
{
	if (accounts == 0) { /* a cookie is left over from elsewhere: browsers do not tell ports apart */
		*ret = &caller_first;
		return 0;
	}
	if (!one)
		return bad(e);
	if (cookie.p != NULL)
		return by_cookie(r, cookie, ask, ret, e);
	if (front_of(r)->anonymous)
		return 0;
	return accounts == ACCOUNTS_UNKNOWN
		       ? err_set(e, ERR_CATALOG_UNAVAILABLE, "who may come without credentials cannot be looked up now")
		       : err_set(e, ERR_UNAUTHENTICATED, "this takes credentials");
}

static uint64_t look(void *catalog)
{
	return catalog_account_count(catalog);
}

static uint64_t count_accounts(struct http_request *r, bool ask)
{
	struct catalog *c = front_catalog(r);

	if (!ask)
		return catalog_account_count_known(c);
	return engine_reads_are_local(front_engine(r)) ? look(c) : nobody_count(&front_of(r)->nobody, http_came_us(r), look, c);
}

int credentials_caller(struct http_request *r, bool ask, const struct caller **ret, struct err *e)
{
	struct str authorization = http_header(r, "Authorization"), cookie = {};
	bool one = cookie_find(&cookie, http_header(r, "Cookie"), STR(SESSION_COOKIE));

	*ret = &caller_anonymous;
	if (authorization.p != NULL)
		return by_bearer(r, authorization, ask, ret, e);
	const uint64_t accounts = count_accounts(r, ask);
	return !ask && accounts == ACCOUNTS_UNKNOWN ? CREDENTIALS_ASK : by_nothing(r, cookie, one, accounts, ask, ret, e);
}

void credentials_set_cookie(struct http_request *r, struct str token, int64_t max_age_s)
{
	char text[160];

	/* Path and Secure, and no Domain: what the prefix __Host- asks for */
	snprintf(text, sizeof(text), SESSION_COOKIE "=%.*s; Path=/; Max-Age=%lld; HttpOnly; Secure; SameSite=Strict", STR_FMT(token),
		 (long long)(token.p != NULL ? max_age_s : 0));
	http_set_header(r, "Set-Cookie", text);
	wipe(text, sizeof(text));
}
