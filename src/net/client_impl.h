/* Inside of the client: one request (`call`) and its hops. Everything of a call belongs to the client's thread once it is in a slot. */
#ifndef FILEMILL_NET_CLIENT_IMPL_H
#define FILEMILL_NET_CLIENT_IMPL_H

#include "base/buf.h"
#include "net/client.h"
#include "net/resolver.h"

#include <curl/curl.h>

/* NEW -> RESOLVING -> TRANSFER -> gone; a redirect goes from TRANSFER back to RESOLVING; a literal address passes RESOLVING by. */
enum stage { STAGE_NEW, STAGE_RESOLVING, STAGE_TRANSFER };

struct call {
	struct net_client *client; /* borrowed */
	uint64_t id;
	enum stage stage;
	struct call *todo; /* next of the list the thread works through */

	/* What was asked for */
	char method[8];
	char *url; /* owned; replaced at a redirect */
	struct curl_slist *headers; /* owned */
	struct curl_slist *anywhere; /* owned: those of them that go to another origin too */
	const struct target_policy *policy; /* borrowed; never NULL */
	bool (*head)(void *arg, const struct net_head *h);
	enum net_take (*take)(void *arg, const char *data, size_t n);
	struct str body; /* borrowed */
	uint64_t party;
	struct net_limits limits; /* none is 0 but redirects_max and body_keep */
	void (*done)(void *arg, const struct net_result *r);
	void *arg;

	int64_t started_ms, hop_ms, connected_by_ms, done_by_ms; /* monotonic: this call, this hop, and until when */

	/* The hop under way */
	struct target target; /* `rest` lies in url */
	struct lookup *lookup; /* while RESOLVING; the resolver's */
	struct sockaddr_storage addrs[NET_ADDRESSES_MAX]; /* checked; the only ones connected to */
	size_t addrs_n;
	CURL *easy; /* while TRANSFER */
	CURLSH *names; /* holds the pinned addresses for this hop alone */
	struct curl_slist *pin;
	bool written; /* the request is being written: the connection stands */
	size_t head_bytes;
	struct buf fields; /* of the head under way, when somebody wants it */
	bool head_told, enough; /* `head` was called; it, or `take`, wants no more */
	bool paused; /* `take` had no room */

	int failure; /* why a callback ended the transfer; 0: none did */
	char detail[ERR_DETAIL_MAX];
	struct net_result result;
	char *kept; /* owned, limits.body_keep bytes; NULL until needed */
};

/* call.c: checks and copies a request; *ret_call is freed with call_free(), NULL is fine. */
[[nodiscard]] int call_new(struct call **ret_call, struct net_client *c, const struct net_request *r, struct err *e);
void call_free(struct call *call);

/* What hops need of a client. Nothing changes while it lives. */
struct hop_config {
	struct target_policy policy;
	char *ca_file, *user_agent; /* NULL: none */
};
const struct hop_config *client_hop_config(const struct net_client *c);
int64_t client_wall_ms(const struct net_client *c);

/* hop.c: all on the client's thread. Each returns 0 or fills the detail and returns a code. */
/* Reads the URL. The addresses of a literal host are set, for a name addrs_n is 0. */
[[nodiscard]] int hop_aim(struct call *call);
/* Judges all addresses a name has and keeps them. */
[[nodiscard]] int hop_accept(struct call *call, const struct lookup *l);
/* Makes the transfer, to be added to the multi handle. */
[[nodiscard]] int hop_open(struct call *call, int64_t now_ms);
/* What came of it; fills the result. 1: another hop follows, url is set. */
[[nodiscard]] int hop_end(struct call *call, CURLcode code);
/* Frees what belongs to the hop; the transfer is no longer in the multi handle. */
void hop_close(struct call *call);

/* Sets the detail and returns the code. */
ATTR_PRINTF(3, 4) int call_fail(struct call *call, int code, const char *fmt, ...);

#endif
