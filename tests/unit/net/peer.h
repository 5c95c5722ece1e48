/* A server on loopback that behaves as badly as a test wants. It runs on a thread of its own and serves one connection after the other. */
#ifndef FILEMILL_TEST_NET_PEER_H
#define FILEMILL_TEST_NET_PEER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define PEER_REQUEST_MAX 4096

typedef struct ssl_st SSL;
typedef struct ssl_ctx_st SSL_CTX;

struct peer;

struct wire {
	struct peer *peer;
	int fd;
	SSL *tls; /* NULL: plain */
};

/* Called for each connection, on the peer's thread; the connection is closed when it returns. */
typedef void peer_serve_fn(struct wire *w);

struct peer {
	const char *address; /* "127.0.0.1" unless a test says otherwise */
	peer_serve_fn *serve;
	SSL_CTX *tls; /* taken; NULL: plain HTTP */
	const char *answer; /* for serve */

	unsigned port;
	atomic_uint connections, requests; /* accepted; heads read */
	char request[PEER_REQUEST_MAX + 1]; /* the begin of the last request; to be read when the peer was stopped */
	size_t request_len; /* the whole of it */

	int listener, stop[2]; /* a byte in the pipe ends all waiting */
	pthread_t thread;
};

/* Listens and starts the thread. False when the address is not there. */
bool peer_start(struct peer *p);
/* Ends whatever it is doing. May be called twice. */
void peer_stop(struct peer *p);

/* Reads a request's head and `Content-Length` bytes of body; the begin stays in peer->request. False when the client closed. */
bool wire_read_request(struct wire *w);
/* False when the client closed the connection, or the peer is to stop. */
bool wire_send(struct wire *w, const void *data, size_t n);
bool wire_say(struct wire *w, const char *text);
/* Until the client closes the connection or the peer is to stop. */
void wire_wait_for_close(struct wire *w);
/* Sleeps; false when the peer is to stop. */
bool wire_pause(struct wire *w, int ms);

/* ---- certificates ---- */

enum peer_cert { CERT_GOOD, CERT_EXPIRED, CERT_NOT_YET, CERT_WRONG_NAME, CERT_SELF_SIGNED, CERT_OTHER_CA, CERT_KINDS };

/* A server's TLS with such a certificate for `hook.example` and 127.0.0.1. */
SSL_CTX *peer_tls(enum peer_cert kind);
/* Writes the certificate of the authority that signs them to the file. */
void peer_write_ca(const char *path);
/* Forgets the authority. */
void peer_forget_ca(void);

#endif
