/* Which scripts of other origins may read answers (CORS, WHATWG Fetch §3.2). No answer allows credentials that a browser adds by itself, so a script of
 * another origin acts with what it holds itself, a token in Authorization, or as nobody. Refusing is done by the browser, in which nothing is said: a server
 * cannot tell a script from another client, and what may not be done is decided by credentials alone. */
#include "http/fields.h"
#include "http/http_impl.h"

#include <stdio.h>

/* What a script may read beside the few that are always readable, and what it may send. */
#define EXPOSED                                                                                                                            \
	"Accept-Ranges, Content-Disposition, Content-Range, ETag, Idempotency-Replayed, Location, Preference-Applied, RateLimit, "         \
	"RateLimit-Policy, Repr-Digest, Retry-After, X-Request-Id"
#define SENDABLE                                                                                                                           \
	"Authorization, Content-Digest, Content-Disposition, Content-MD5, Content-Type, Idempotency-Key, If-Match, If-Modified-Since, "    \
	"If-None-Match, If-Range, If-Unmodified-Since, Last-Event-ID, Prefer, Range, Repr-Digest, Signature, Signature-Input, "            \
	"X-Request-Id"

/* What Access-Control-Allow-Origin says to this request; NULL: nothing. */
static const char *allowed_origin(struct http_request *r)
{
	const struct http_config *c = &r->server->config;
	unsigned count;
	struct str origin = request_header(r, "Origin", &count);

	return count == 1 ? origin_allowed(origin, c->cors_origins, c->n_cors_origins) : NULL;
}

void cors_allow(struct http_request *r)
{
	const struct http_config *c = &r->server->config;

	if (c->n_cors_origins == 0)
		return;
	const char *origin = allowed_origin(r);
	/* also where nothing is allowed: a cache must not give this answer to the next origin */
	if (!str_eq(str_of(c->cors_origins[0]), STR("*")))
		http_set_header(r, "Vary", "Origin");
	if (origin == NULL)
		return;
	http_set_header(r, "Access-Control-Allow-Origin", origin);
	http_set_header(r, "Access-Control-Expose-Headers", EXPOSED);
}

void cors_preflight(struct http_request *r, unsigned allowed)
{
	char methods[64], age[24];
	unsigned count;

	request_header(r, "Access-Control-Request-Method", &count);
	if (count == 0 || allowed_origin(r) == NULL)
		return;
	route_allow(methods, allowed);
	snprintf(age, sizeof(age), "%lld", (long long)r->server->config.cors_max_age_s);
	http_set_header(r, "Access-Control-Allow-Methods", methods);
	http_set_header(r, "Access-Control-Allow-Headers", SENDABLE);
	http_set_header(r, "Access-Control-Max-Age", age);
}
