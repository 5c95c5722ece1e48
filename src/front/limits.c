#include "front/limits.h"
#include "base/siphash.h"
#include "front/front.h"
#include "rt/shares.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct limits {
	struct limits_config config;
	struct env *env;
	struct limiter *address, *account, *key, *pings;
	uint8_t seed[16];
	struct shares *uploads_by_address, *uploads_by_account;
};

static void make_seed(struct env *env, uint8_t seed[16])
{
	for (size_t i = 0; i < 16; i += sizeof(uint64_t)) {
		uint64_t bits = env->random(env);
		memcpy(seed + i, &bits, sizeof(bits));
	}
}

int limits_new(struct limits **ret, const struct limits_config *config, struct env *env, struct err *e)
{
	struct limits *l = calloc(1, sizeof(*l));
	int rc;

	if (l == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for limits");
	const uint8_t *seed = l->seed;
	l->config = *config;
	l->env = env;
	make_seed(env, l->seed);
	rc = limiter_new(&l->address, config->address, LIMITS_ADDRESSES, seed, e);
	if (rc == 0)
		rc = limiter_new(&l->account, config->account, LIMITS_CALLERS, seed, e);
	if (rc == 0)
		rc = limiter_new(&l->key, config->key, LIMITS_CALLERS, seed, e);
	if (rc == 0)
		rc = limiter_new(&l->pings, config->pings, LIMITS_CALLERS, seed, e);
	if (rc == 0)
		rc = shares_new(&l->uploads_by_address, seed, e);
	if (rc == 0)
		rc = shares_new(&l->uploads_by_account, seed, e);
	if (rc != 0) {
		limits_free(l);
		return rc;
	}
	*ret = l;
	return 0;
}

void limits_free(struct limits *l)
{
	if (l == NULL)
		return;
	limiter_free(l->address);
	limiter_free(l->account);
	limiter_free(l->key);
	limiter_free(l->pings);
	shares_free(l->uploads_by_address);
	shares_free(l->uploads_by_account);
	free(l);
}

int limits_share(struct limits *l, struct engine *g, struct err *e)
{
	struct limiter *const all[] = {l->address, l->account, l->key, l->pings};

	return engine_share_limiters(g, all, ARRAY_LEN(all), e);
}

/* NULL: nothing is limited, for nobody or for this address. */
static struct limits *limits_of(const struct http_request *r)
{
	struct limits *l = front_of(r)->limits;
	struct in6_addr client = http_client(r);

	return l == NULL || ip_in(l->config.exempt, l->config.n_exempt, &client) ? NULL : l;
}

void limits_address(const struct http_request *r, uint8_t key[LIMITER_KEY])
{
	struct in6_addr a = http_client(r);

	if (!IN6_IS_ADDR_V4MAPPED(&a))
		memset(a.s6_addr + 8, 0, 8);
	memcpy(key, a.s6_addr, 16);
}

/* ---- requests ---- */

/* Each limit writes lines of its own; they are lists, so that is the same as one line with all (RFC 9110 §5.3). */
static void say(struct http_request *r, const char *name, struct limiter_rate rate, const struct limiter_verdict *v)
{
	char text[96];

	/* a window below a second is told as one, with as many more */
	int64_t w = rate.window_ms < 1000 ? 1 : rate.window_ms / 1000;
	uint64_t q = (uint64_t)rate.quota * (uint64_t)w * 1000 / (uint64_t)rate.window_ms;
	snprintf(text, sizeof(text), "\"%s\";q=%llu;w=%lld", name, (unsigned long long)q, (long long)w);
	http_set_header(r, "RateLimit-Policy", text);
	snprintf(text, sizeof(text), "\"%s\";r=%u;t=%lld", name, v->left, (long long)((v->whole_ms + 999) / 1000));
	http_set_header(r, "RateLimit", text);
}

static int take(struct http_request *r, struct limiter *l, const char *name, const uint8_t key[16], struct err *e)
{
	struct limiter_rate rate = limiter_rate(l);
	struct env *env = front_of(r)->limits->env;

	if (rate.quota == 0)
		return 0;
	struct limiter_verdict v = limiter_take(l, key, env->mono_ms(env) * 1000);
	say(r, name, rate, &v);
	if (!v.over)
		return 0;
	err_set(e, ERR_RATE_LIMITED, "more requests than the limit of %s allows", name);
	if (e != NULL)
		e->retry_after_s = (int)((v.again_ms + 999) / 1000);
	return err_limit(e, rate.quota);
}

int front_arrive(struct http_request *r, struct err *e)
{
	struct limits *l = limits_of(r);
	uint8_t key[16];

	if (l == NULL)
		return 0;
	limits_address(r, key);
	return take(r, l->address, "address", key, e);
}

static bool has_key(const struct caller *c)
{
	return c->how == CALLER_KEY || c->how == CALLER_SIGNATURE;
}

int limits_caller(struct http_request *r, const struct caller *c, struct err *e)
{
	struct limits *l = limits_of(r);

	if (l == NULL || uuid_is_zero(c->account))
		return 0;
	int rc = take(r, l->account, "account", c->account.b, e);
	return rc == 0 && has_key(c) ? take(r, l->key, "key", c->credential.b, e) : rc;
}

int limits_ping(struct http_request *r, struct err *e)
{
	struct limits *l = front_of(r)->limits;
	struct str owner = front_owner(r);
	uint8_t key[16];

	if (l == NULL)
		return 0;
	for (size_t i = 0; i < 2; i++) { /* an owner's name may be longer than a key: two hashes of it */
		uint8_t seed[16];
		memcpy(seed, l->seed, sizeof(seed));
		seed[0] ^= (uint8_t)(i + 1);
		uint64_t half = siphash24(seed, owner.p, owner.len);
		memcpy(key + i * sizeof(half), &half, sizeof(half));
	}
	return take(r, l->pings, "pings", key, e);
}

/* ---- uploads at once ---- */

int limits_upload_begins(struct http_request *r, struct err *e)
{
	struct limits *l = limits_of(r);
	uint8_t key[16];
	int rc = 0;

	if (l == NULL)
		return 0;
	limits_address(r, key);
	if (l->config.uploads_an_address > 0)
		rc = shares_take(l->uploads_by_address, key, l->config.uploads_an_address, e);
	if (rc != 0)
		return err_wrap(e, "uploads of this address");
	if (l->config.uploads_an_account == 0 || uuid_is_zero(front_caller(r)->account))
		return 0;
	rc = shares_take(l->uploads_by_account, front_caller(r)->account.b, l->config.uploads_an_account, e);
	if (rc == 0)
		return 0;
	if (l->config.uploads_an_address > 0)
		shares_give(l->uploads_by_address, key);
	return err_wrap(e, "uploads of this account");
}

void limits_upload_ends(struct http_request *r)
{
	struct limits *l = limits_of(r);
	uint8_t key[16];

	if (l == NULL)
		return;
	limits_address(r, key);
	if (l->config.uploads_an_address > 0)
		shares_give(l->uploads_by_address, key);
	if (l->config.uploads_an_account > 0 && !uuid_is_zero(front_caller(r)->account))
		shares_give(l->uploads_by_account, front_caller(r)->account.b);
}
