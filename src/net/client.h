/* The HTTP client for what the server sends out by itself.
 *
 * One thread per client does all transfers at once over libcurl's multi interface; names are resolved on short-lived threads of their own, because
 * getaddrinfo() blocks. A caller hands a request over and gets one call of `done` later. Nobody waits here except in
 * net_client_drain() and net_client_free().
 *
 * What holds for each request, redirects included: the URL passed target_parse(); the name was resolved once; every address it has passed
 * target_check_address(), else the request fails with ERR_BLOCKED before a packet is sent; the connection goes to one of just these addresses
 * and is looked at again as it is opened and before the request is written on it. TLS peers are verified always. Proxies of the environment,
 * cookies, .netrc and content codings are not used. HTTP/1.1 only. */
#ifndef FILEMILL_NET_CLIENT_H
#define FILEMILL_NET_CLIENT_H

#include "base/err.h"
#include "base/str.h"
#include "net/target.h"
#include "rt/env.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct net_client;

#define NET_ADDRESSES_MAX 32 /* addresses a name may have; one with more is not used */
#define NET_ADDRESS_TEXT 46 /* bytes of an address as text, with the NUL (INET6_ADDRSTRLEN) */

/* Resolves a name: fills up to `max` addresses, sets *ret_n to how many there are (more than max: too many); 0 or ERR_UNRESOLVED.
 * Called on a thread of its own; may block; may still be running when the client is gone. */
typedef int net_resolve_fn(void *arg, const char *host, struct sockaddr_storage *ret_addrs, size_t max, size_t *ret_n, struct err *e);

struct net_client_options {
	struct env *env; /* borrowed as long as the client lives; NULL: env_real */
	struct target_policy policy;
	const char *ca_file; /* PEM file of trusted roots, copied; NULL or "": the system's */
	const char *user_agent; /* copied; NULL: none is sent */
	unsigned calls_max; /* requests under way at once, waiting for names included; 0: 256 */
	unsigned lookups_max; /* names being resolved at once, each on its own thread; 0: 32 */
	net_resolve_fn *resolve; /* NULL: getaddrinfo() */
	void *resolve_arg;
};

/* Bounds of one request. 0 means the default in brackets; there is no "unlimited". */
struct net_limits {
	int64_t connect_ms; /* [10 s] name, connection and TLS together, of each hop */
	int64_t total_ms; /* [60 s] everything, redirects included */
	unsigned rate_min; /* [1] bytes a second, both directions together ... */
	unsigned rate_grace_s; /* [30] ... averaged over this many seconds; slower fails */
	size_t head_max; /* [64 KiB] bytes of all heads and trailers of an answer, interim answers included */
	uint64_t body_max; /* [1 MiB] bytes of an answer's body that are read; then the connection is closed and `cut` set */
	size_t body_keep; /* [0: none] bytes of the body handed over; at most 1 MiB */
	unsigned redirects_max; /* [0: none, the 3xx is the answer] followed for GET and HEAD only */
};

struct net_header {
	struct str name; /* a token (RFC 9110 §5.6.2) */
	struct str value; /* visible ASCII, spaces and tabs */
	bool anywhere; /* says nothing about the caller: goes to another origin too */
};

/* The head of an answer, for who takes the answer as it comes. Lives until the call returns. */
struct net_head {
	int status;
	struct str fields; /* its lines, as they came */
};
/* The value of a field, trimmed; the first one, if it came several times. p NULL: it is not there. */
struct str net_head_field(const struct net_head *h, const char *name);

/* What became of a piece of the body. */
enum net_take {
	NET_TAKEN,
	NET_FULL, /* nothing of it was taken: it comes again after net_resume(), and until then nothing is read from the connection */
	NET_ENOUGH, /* no more is wanted: the request ends with code 0 */
};

/* What became of a request. Lives, with all it points to, until `done` returns. */
struct net_result {
	int code; /* 0: an answer came, whatever its status; else ERR_BLOCKED, ERR_UNRESOLVED, ERR_CONNECT_FAILED, ERR_TLS_FAILED, ERR_PEER_TIMEOUT,
		     ERR_BAD_ANSWER, ERR_ANSWER_TOO_LARGE, ERR_CONNECTION_LOST, ERR_TOO_MANY_REDIRECTS, ERR_URL_NOT_ALLOWED (of a redirect),
		     ERR_CANCELLED, ERR_SHUTTING_DOWN, ERR_NO_MEMORY */
	const char *detail; /* for people, one sentence; "" when code is 0; no address, no bytes of the answer */
	int status; /* of the last answer, 0 when its head did not come; may be set although code is not 0 */
	int64_t retry_after_s; /* seconds to wait as the answer asked (RFC 9110 §10.2.3, either form), uncapped; -1: it did not */
	struct str body; /* first bytes of the body, up to body_keep */
	uint64_t body_bytes; /* bytes of the body that were read */
	bool cut; /* there was more than body_max */
	char remote[NET_ADDRESS_TEXT]; /* the address connected to; "" when there was no connection; not for strangers */
	unsigned redirects; /* followed */
	int64_t resolve_ms, connect_ms, answer_ms,
		total_ms; /* of the last hop: name; TCP and TLS; first byte of the answer. total: of all. -1: not reached */
};

struct net_request {
	struct str method; /* GET, HEAD, POST, PUT or DELETE */
	struct str url;
	const struct net_header *headers; /* those of the message's framing and Host are refused; to another origin none is sent */
	size_t headers_n; /* at most 64 */
	struct str body; /* of POST and PUT; not copied: the caller keeps it until `done` */
	uint64_t
		party; /* for whom: a name of one party's is looked up only while fewer lookups of its run than may still begin, so that names that hang hold up
			   nobody else's; 0: nobody's in particular, without that bound */
	struct net_limits limits;
	const struct target_policy *policy; /* where this one may go; NULL: as the client. Borrowed until `done` */
	/* For an answer that is taken as it comes; both or neither, on the client's thread, with `arg`. They must not block. head: of the answer, but not of interim answers and redirects that are
	   followed; false = the body is not wanted: the request ends with code 0. take: a piece of the body, at most 64 KiB. */
	bool (*head)(void *arg, const struct net_head *h);
	enum net_take (*take)(void *arg, const char *data, size_t n);
	void (*done)(void *arg,
		     const struct net_result *r); /* once, on the client's thread: must not block; may call net_send() and net_cancel() */
	void *arg;
};

/* Starts the thread, which takes no signals. ERR_BAD_CONFIG when ca_file cannot be read. */
[[nodiscard]] int net_client_new(struct net_client **ret, const struct net_client_options *o, struct err *e);

/* Any thread, never blocks. Everything but the body is copied. 0: `done` will be called once, *ret_id (may be NULL) names the request.
 * Else it will not be called: ERR_URL_NOT_ALLOWED, ERR_INVALID_VALUE (method, headers, limits), ERR_OVERLOADED (calls_max),
 * ERR_SHUTTING_DOWN, ERR_NO_MEMORY. */
[[nodiscard]] int net_send(struct net_client *c, const struct net_request *r, uint64_t *ret_id, struct err *e);

/* Any thread, never blocks. `done` comes with ERR_CANCELLED soon, unless it is under way or was already called. Ids are never used twice. */
void net_cancel(struct net_client *c, uint64_t id);

/* Any thread, never blocks: there is room again after NET_FULL. Harmless when the request is over. */
void net_resume(struct net_client *c, uint64_t id);

/* Requests under way, from any thread. */
size_t net_client_busy(struct net_client *c);

/* Takes no more requests (ERR_SHUTTING_DOWN) and waits up to so many milliseconds for those under way. True when none is left. Not on the client's thread. */
bool net_client_drain(struct net_client *c, int64_t ms);

/* Ends what is under way (`done` with ERR_SHUTTING_DOWN), then the thread. Does not wait for names being resolved. NULL is fine. Not on the client's thread. */
void net_client_free(struct net_client *c);

#endif
