/* How much one caller may ask of the server: requests in a time, by address before anybody looks at credentials, by account and key once they are known; uploads at once.
 * Answers say where the caller stands (draft-ietf-httpapi-ratelimit-headers-10: RateLimit-Policy, RateLimit). Quotas of what is stored are the catalogue's.
 *
 * An address of IPv6 counts by its /64, which is what one customer has. Callers without an account are limited by address only: they are not one. */
#ifndef FILEMILL_FRONT_LIMITS_H
#define FILEMILL_FRONT_LIMITS_H

#include "base/ip.h"
#include "front/caller.h"
#include "rt/env.h"
#include "rt/limiter.h"

#define LIMITS_ADDRESSES 65536 /* places in the table */
#define LIMITS_CALLERS 16384

struct limits_config {
	struct limiter_rate address, account, key;
	struct limiter_rate pings; /* of webhooks, of one owner; whoever asks, since what they cost lies with somebody else */
	uint32_t uploads_an_address, uploads_an_account; /* at once; 0 = no limit */
	const struct ip_range *exempt; /* from these addresses nothing is limited; borrowed */
	size_t n_exempt;
};

struct engine;
struct limits;
[[nodiscard]] int limits_new(struct limits **ret, const struct limits_config *config, struct env *env, struct err *e);
void limits_free(struct limits *l); /* NULL is fine */
/* From now on requests and pings count on all nodes of the engine's catalogue together; uploads at once are each node's own. Free after engine_stop(). */
[[nodiscard]] int limits_share(struct limits *l, struct engine *g, struct err *e);

/* The client's address as a limiter's key. */
void limits_address(const struct http_request *r, uint8_t key[LIMITER_KEY]);
/* http_config.arrive: the address's share. ERR_RATE_LIMITED. */
[[nodiscard]] int front_arrive(struct http_request *r, struct err *e);
/* The account's and the key's: once a request, as soon as the caller is known. ERR_RATE_LIMITED. */
[[nodiscard]] int limits_caller(struct http_request *r, const struct caller *c, struct err *e);
/* A ping of one of the caller's webhooks. ERR_RATE_LIMITED. */
[[nodiscard]] int limits_ping(struct http_request *r, struct err *e);
/* An upload begins. ERR_RATE_LIMITED, ERR_NO_MEMORY; else limits_upload_ends() follows, on any thread. */
[[nodiscard]] int limits_upload_begins(struct http_request *r, struct err *e);
void limits_upload_ends(struct http_request *r);

#endif
