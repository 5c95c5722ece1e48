#include "peer.h"
#include "base/compiler.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the wire ---- */

/* Waits for the event or the end. False: the peer is to stop. */
static bool wait_for(const struct peer *p, int fd, short events, int ms)
{
	struct pollfd fds[] = {{.fd = p->stop[0], .events = POLLIN}, {.fd = fd, .events = events}};

	poll(fds, 2, ms);
	return fds[0].revents == 0;
}

/* TLS wants to read or write before it can go on. */
static bool wait_for_tls(struct wire *w, int rc)
{
	const int why = SSL_get_error(w->tls, rc);

	if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
		return false;
	return wait_for(w->peer, w->fd, why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, -1);
}

/* 0: the end. */
static size_t wire_read(struct wire *w, void *dst, size_t n)
{
	for (;;) {
		ssize_t got;

		if (w->tls) {
			got = SSL_read(w->tls, dst, (int)n);
			if (got <= 0 && wait_for_tls(w, (int)got))
				continue;
		} else {
			if (!wait_for(w->peer, w->fd, POLLIN, -1))
				return 0;
			got = recv(w->fd, dst, n, 0);
		}
		return got > 0 ? (size_t)got : 0;
	}
}

bool wire_send(struct wire *w, const void *data, size_t n)
{
	const char *p = data;

	while (n > 0) {
		ssize_t sent;

		if (w->tls) {
			sent = SSL_write(w->tls, p, (int)n);
			if (sent <= 0 && wait_for_tls(w, (int)sent))
				continue;
		} else {
			if (!wait_for(w->peer, w->fd, POLLOUT, -1))
				return false;
			sent = send(w->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		}
		if (sent <= 0)
			return false;
		p += sent;
		n -= (size_t)sent;
	}
	return true;
}

bool wire_say(struct wire *w, const char *text)
{
	return wire_send(w, text, strlen(text));
}

/* How long the request will be, once its head is there; 0 before. */
static size_t request_length(const char *request)
{
	const char *end = strstr(request, "\r\n\r\n"), *length = strstr(request, "Content-Length: ");

	return end ? (size_t)(end + 4 - request) + (length ? strtoul(length + 16, NULL, 10) : 0) : 0;
}

bool wire_read_request(struct wire *w)
{
	struct peer *p = w->peer;
	size_t whole = 0, kept = 0;

	for (size_t got = 0; whole == 0 || got < whole;) {
		char more[4096];
		const size_t n = wire_read(w, more, sizeof(more)), room = PEER_REQUEST_MAX - kept;

		if (n == 0)
			return false;
		memcpy(p->request + kept, more, n < room ? n : room);
		kept += n < room ? n : room;
		p->request[kept] = '\0';
		got += n;
		whole = whole ? whole : request_length(p->request);
		p->request_len = got;
	}
	atomic_fetch_add(&p->requests, 1);
	return true;
}

void wire_wait_for_close(struct wire *w)
{
	char byte[256];

	while (wire_read(w, byte, sizeof(byte)) > 0)
		;
}

bool wire_pause(struct wire *w, int ms)
{
	return wait_for(w->peer, -1, 0, ms);
}

/* ---- the peer ---- */

static void serve(struct peer *p, int fd)
{
	struct wire w = {.peer = p, .fd = fd};
	int rc = 1;

	if (p->tls) {
		/* Never blocking, so that the peer can be stopped. */
		fcntl(fd, F_SETFL, O_NONBLOCK);
		ERR_clear_error();
		w.tls = SSL_new(p->tls);
		SSL_set_fd(w.tls, fd);
		do
			rc = SSL_accept(w.tls);
		while (rc <= 0 && wait_for_tls(&w, rc));
	}
	if (rc == 1)
		p->serve(&w);
	if (w.tls && rc == 1)
		SSL_shutdown(w.tls);
	SSL_free(w.tls);
	close(fd);
}

static void *run(void *arg)
{
	struct peer *p = arg;

	while (wait_for(p, p->listener, POLLIN, -1)) {
		const int fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0) {
			atomic_fetch_add(&p->connections, 1);
			serve(p, fd);
		}
	}
	return NULL;
}

static bool listen_on(struct peer *p)
{
	struct sockaddr_storage addr = {.ss_family = strchr(p->address, ':') ? AF_INET6 : AF_INET};
	const bool six = addr.ss_family == AF_INET6;
	struct sockaddr_in *in = (struct sockaddr_in *)&addr;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&addr;
	socklen_t n = six ? sizeof(*in6) : sizeof(*in);

	assert_int_equal(inet_pton(addr.ss_family, p->address, six ? (void *)&in6->sin6_addr : (void *)&in->sin_addr), 1);
	if (six)
		in6->sin6_port = htons((uint16_t)p->port);
	else
		in->sin_port = htons((uint16_t)p->port);
	p->listener = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (p->listener < 0 || bind(p->listener, (struct sockaddr *)&addr, n) != 0 || listen(p->listener, 128) != 0)
		return false;
	getsockname(p->listener, (struct sockaddr *)&addr, &n);
	p->port = ntohs(six ? in6->sin6_port : in->sin_port);
	return true;
}

bool peer_start(struct peer *p)
{
	if (!p->address)
		p->address = "127.0.0.1";
	p->stop[0] = p->stop[1] = -1;
	if (!listen_on(p)) {
		close(p->listener);
		return false;
	}
	assert_int_equal(pipe2(p->stop, O_CLOEXEC), 0);
	assert_int_equal(pthread_create(&p->thread, NULL, run, p), 0);
	return true;
}

void peer_stop(struct peer *p)
{
	if (!p->thread)
		return;
	assert_int_equal(write(p->stop[1], "x", 1), 1);
	pthread_join(p->thread, NULL);
	p->thread = 0;
	close(p->stop[0]);
	close(p->stop[1]);
	close(p->listener);
	SSL_CTX_free(p->tls);
}

/* ---- certificates ---- */

#define DAY (24L * 3600)

static EVP_PKEY *ca_key;
static X509 *ca;

static void add_extension(X509 *cert, int nid, const char *value)
{
	X509_EXTENSION *x = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	assert_non_null(x);
	X509_add_ext(cert, x, -1);
	X509_EXTENSION_free(x);
}

/* Signed by the issuer, or by itself. */
static X509 *make_cert(EVP_PKEY *key, const char *name, X509 *issuer, EVP_PKEY *issuer_key, long from, long until)
{
	static long serial = 1;
	X509 *cert = X509_new();
	X509_NAME *subject = X509_get_subject_name(cert);

	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++);
	X509_gmtime_adj(X509_getm_notBefore(cert), from);
	X509_gmtime_adj(X509_getm_notAfter(cert), until);
	X509_set_pubkey(cert, key);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(cert, issuer ? X509_get_subject_name(issuer) : subject);
	add_extension(cert, NID_basic_constraints, issuer ? "CA:FALSE" : "critical,CA:TRUE");
	if (issuer) {
		char alt[128];

		snprintf(alt, sizeof(alt), "DNS:%s%s", name, strcmp(name, "hook.example") == 0 ? ",IP:127.0.0.1" : "");
		add_extension(cert, NID_subject_alt_name, alt);
	}
	assert_true(X509_sign(cert, issuer_key ? issuer_key : key, EVP_sha256()) > 0);
	return cert;
}

static void make_ca(void)
{
	if (ca)
		return;
	ca_key = EVP_EC_gen("P-256");
	ca = make_cert(ca_key, "the test's authority", NULL, NULL, -DAY, DAY);
}

SSL_CTX *peer_tls(enum peer_cert kind)
{
	const char *name = kind == CERT_WRONG_NAME ? "another.example" : "hook.example";
	const long from = kind == CERT_EXPIRED ? -2 * DAY : kind == CERT_NOT_YET ? DAY : -DAY;
	const long until = kind == CERT_EXPIRED ? -DAY : 2 * DAY;
	EVP_PKEY *key = EVP_EC_gen("P-256"), *other_key = EVP_EC_gen("P-256");
	X509 *other = make_cert(other_key, "another authority", NULL, NULL, -DAY, DAY), *cert;
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	make_ca();
	if (kind == CERT_SELF_SIGNED)
		cert = make_cert(key, name, NULL, NULL, from, until);
	else if (kind == CERT_OTHER_CA)
		cert = make_cert(key, name, other, other_key, from, until);
	else
		cert = make_cert(key, name, ca, ca_key, from, until);
	assert_int_equal(SSL_CTX_use_certificate(ctx, cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
	X509_free(cert);
	X509_free(other);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other_key);
	return ctx;
}

void peer_write_ca(const char *path)
{
	FILE *f = fopen(path, "we");

	make_ca();
	assert_non_null(f);
	assert_int_equal(PEM_write_X509(f, ca), 1);
	fclose(f);
}

void peer_forget_ca(void)
{
	X509_free(ca);
	EVP_PKEY_free(ca_key);
	ca = NULL;
	ca_key = NULL;
}
