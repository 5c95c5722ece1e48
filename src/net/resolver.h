/* Names to addresses on threads of their own. getaddrinfo() blocks for as long as a hostile name server likes and cannot be stopped, so a lookup nobody
 * waits for any more is left alone: its thread ends when it ends, and what it shares with us lives until then. */
#ifndef FILEMILL_NET_RESOLVER_H
#define FILEMILL_NET_RESOLVER_H

#include "net/client.h"

struct resolver;

struct lookup {
	void *owner; /* the caller's; NULL: dropped */
	uint64_t party; /* as of struct net_request */
	struct resolver *resolver; /* borrowed while it runs */
	struct lookup *next; /* the resolver's; after resolver_take() the caller's */
	char host[TARGET_HOST_MAX + 1];
	int code; /* 0, or why there are no addresses */
	char detail[ERR_DETAIL_MAX];
	struct sockaddr_storage addrs[NET_ADDRESSES_MAX];
	size_t n;
};

struct resolver_options {
	unsigned threads_max;
	net_resolve_fn *resolve;
	void *resolve_arg;
	void (*finished)(void *arg); /* on any thread: something is there to take */
	void *finished_arg;
};

[[nodiscard]] int resolver_new(struct resolver **ret, const struct resolver_options *o, struct err *e);
/* Looks the host up; the lookup comes back through resolver_take(). It waits while its party has as many running, dropped ones included, as may still begin. One thread may call this and the next three. */
[[nodiscard]] int resolver_start(struct resolver *r, struct lookup **ret_lookup, const char *host, uint64_t party, void *owner,
				 struct err *e);
/* Nobody waits for it any more: it is not begun if it was not yet, so that only live requests stand in line; else it comes back without an owner. */
void resolver_drop(struct resolver *r, struct lookup *l);
/* Finished lookups, a list through `next`, each to be freed with free(); NULL when there is none. */
struct lookup *resolver_take(struct resolver *r);
/* Waits for nothing: `finished` is not called any more, running lookups end by themselves. NULL is fine. */
void resolver_free(struct resolver *r);

/* getaddrinfo() as a net_resolve_fn. */
int resolve_by_system(void *arg, const char *host, struct sockaddr_storage *ret_addrs, size_t max, size_t *ret_n, struct err *e);

#endif
