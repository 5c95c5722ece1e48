/* What the tests of the client share: a client with names of its own, and requests that are waited for. */
#ifndef FILEMILL_TEST_NET_WORLD_H
#define FILEMILL_TEST_NET_WORLD_H

#include "net/client.h"
#include "peer.h"

#include <semaphore.h>

/* A client that allows http and 127.0.0.1, and resolves:
 *   *.example         127.0.0.1
 *   *.two.example     127.0.0.9 (nothing listens there), then 127.0.0.1
 *   *.inside.example  127.0.0.2, which is not allowed
 *   *.mixed.example   127.0.0.1, then 127.0.0.2
 *   *.turning.example 127.0.0.1 when asked for the first time, 127.0.0.2 from then on
 *   *.many.example    33 times 127.0.0.1
 *   *.six.example     ::1
 *   *.slow.example    127.0.0.1, when `resume` is posted
 *   everything else   nothing */
struct world {
	struct net_client_options o; /* to be changed before world_start() */
	struct net_client *client;
	atomic_uint lookups, lookups_ended, turns;
	sem_t resume;
	unsigned descriptors; /* open at the start */
	char ca_path[64];
};

/* One request and what came of it; the members of the result are copied. */
struct asked {
	uint64_t id;
	struct net_result r;
	char detail[ERR_DETAIL_MAX], body[4096];
	unsigned times; /* `done` was called */
	sem_t done;
};

void world_init(struct world *w);
void world_start(struct world *w);
/* Frees the client and checks that no descriptor is left. Stop the peers first. */
void world_end(struct world *w);

/* http(s)://host:port of the peer, then the path; the same buffer each time. */
const char *url_of(const struct peer *p, const char *host, const char *path);

/* Sends with `done` and `arg` set; fails the test when it is not taken. */
void send_request(struct world *w, struct asked *a, struct net_request r);
/* Waits for `done`, then releases. */
void wait_for_answer(struct asked *a);
/* Sends, waits, returns the code. */
int ask(struct world *w, struct asked *a, struct net_request r);
/* A GET. */
int ask_for(struct world *w, struct asked *a, const char *url);
/* A POST of "{}", as webhooks are sent. */
int post_to(struct world *w, struct asked *a, const char *url);

#endif
