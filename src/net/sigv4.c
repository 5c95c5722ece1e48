#include "net/sigv4.h"
#include "base/civil.h"
#include "base/wipe.h"
#include "net/sign.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALGORITHM "AWS4-HMAC-SHA256"
#define EXPIRES_MAX_S 604800

/* One request on its way to a signature. */
struct signing {
	const struct sigv4_key *key;
	const struct sigv4_request *r;
	const struct sigv4_pair *query; /* r's, and what a presigned one adds */
	size_t n_query;
	char time[SIGV4_TIME_LEN + 1];
	struct buf scope, canonical, names; /* names of the signed headers */
	char signature[65];
};

void sigv4_time(char dst[SIGV4_TIME_LEN + 1], int64_t unix_s)
{
	int64_t days = unix_s / 86400, rest = unix_s % 86400;
	struct civil d;

	if (rest < 0) {
		rest += 86400;
		days--;
	}
	d = civil_of_days(days);
	snprintf(dst, SIGV4_TIME_LEN + 1, "%04u%02u%02uT%02u%02u%02uZ", (unsigned)d.year % 10000, (unsigned)d.month % 100,
		 (unsigned)d.day % 100, (unsigned)(rest / 3600), (unsigned)(rest / 60 % 60), (unsigned)(rest % 60));
}

static bool unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
}

void sigv4_encode(struct buf *out, struct str text, bool keep_slashes)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < text.len; i++) {
		const unsigned char c = (unsigned char)text.p[i];

		if (unreserved((char)c) || (keep_slashes && c == '/')) {
			buf_add_char(out, (char)c);
		} else {
			buf_add_char(out, '%');
			buf_add_char(out, digits[c >> 4]);
			buf_add_char(out, digits[c & 15]);
		}
	}
}

static void write_path(struct buf *out, struct str path)
{
	if (path.len == 0 || path.p[0] != '/')
		buf_add_char(out, '/');
	sigv4_encode(out, path, true);
}

/* ---- sorted lists ---- */

static int by_bytes(struct str a, struct str b)
{
	const int order = memcmp(a.p ? a.p : "", b.p ? b.p : "", a.len < b.len ? a.len : b.len);

	return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int by_name(const void *a, const void *b)
{
	const struct sigv4_pair *x = a, *y = b;
	const int order = by_bytes(x->name, y->name);

	return order != 0 ? order : by_bytes(x->value, y->value);
}

static void sort(struct sigv4_pair *dst, const struct sigv4_pair *pairs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = pairs[i];
	if (n > 1)
		qsort(dst, n, sizeof(*dst), by_name);
}

/* Sorted as they are encoded, which is how the other side sorts them. */
static void write_query(struct buf *out, const struct sigv4_pair *pairs, size_t n)
{
	struct buf encoded = BUF_INIT;
	struct sigv4_pair list[SIGV4_HEADERS_MAX] = {};
	size_t ends[2 * SIGV4_HEADERS_MAX] = {};

	for (size_t i = 0; i < n; i++) {
		sigv4_encode(&encoded, pairs[i].name, false);
		ends[2 * i] = encoded.len;
		sigv4_encode(&encoded, pairs[i].value, false);
		ends[2 * i + 1] = encoded.len;
	}
	for (size_t i = 0, at = 0; buf_ok(&encoded) && i < n; at = ends[2 * i + 1], i++) {
		list[i].name = (struct str){encoded.p + at, ends[2 * i] - at};
		list[i].value = (struct str){encoded.p + ends[2 * i], ends[2 * i + 1] - ends[2 * i]};
	}
	if (!buf_ok(&encoded))
		out->failed = true;
	else if (n > 1)
		qsort(list, n, sizeof(*list), by_name);
	for (size_t i = 0; buf_ok(&encoded) && i < n; i++) {
		if (i > 0)
			buf_add_char(out, '&');
		buf_add_str(out, list[i].name);
		buf_add_char(out, '=');
		buf_add_str(out, list[i].value);
	}
	buf_release(&encoded);
}

/* Trimmed, and runs of spaces as one. */
static void write_value(struct buf *out, struct str value)
{
	bool space = false;

	value = str_trim(value);
	for (size_t i = 0; i < value.len; i++) {
		if (value.p[i] != ' ' || !space)
			buf_add_char(out, value.p[i]);
		space = value.p[i] == ' ';
	}
}

static void write_headers(struct signing *s)
{
	struct sigv4_pair list[SIGV4_HEADERS_MAX];

	sort(list, s->r->headers, s->r->n_headers);
	for (size_t i = 0; i < s->r->n_headers; i++) {
		buf_add_str(&s->canonical, list[i].name);
		buf_add_char(&s->canonical, ':');
		write_value(&s->canonical, list[i].value);
		buf_add_char(&s->canonical, '\n');
		if (i > 0)
			buf_add_char(&s->names, ';');
		buf_add_str(&s->names, list[i].name);
	}
}

/* ---- the signature ---- */

static void begin(struct signing *s, const struct sigv4_key *key, const struct sigv4_request *r)
{
	*s = (struct signing){
		.key = key, .r = r, .query = r->query, .n_query = r->n_query, .scope = BUF_INIT, .canonical = BUF_INIT, .names = BUF_INIT};
	sigv4_time(s->time, r->unix_s);
	buf_addf(&s->scope, "%.8s/%.*s/%.*s/aws4_request", s->time, STR_FMT(key->region), STR_FMT(key->service));
}

static void end(struct signing *s)
{
	buf_release(&s->scope);
	buf_release(&s->canonical);
	buf_release(&s->names);
}

static void write_canonical(struct signing *s)
{
	struct buf *c = &s->canonical;

	buf_add_str(c, s->r->method);
	buf_add_char(c, '\n');
	write_path(c, s->r->path);
	buf_add_char(c, '\n');
	write_query(c, s->query, s->n_query);
	buf_add_char(c, '\n');
	write_headers(s);
	buf_add_char(c, '\n');
	buf_add_str(c, buf_str(&s->names));
	buf_add_char(c, '\n');
	buf_add_str(c, s->r->payload_sha256);
}

/* The key of the day, region and service, by four HMACs from the secret one. */
static int derive(uint8_t ret[32], const struct signing *s, struct err *e)
{
	const struct str day = {s->time, 8}, steps[] = {day, s->key->region, s->key->service, STR("aws4_request")};
	struct buf secret = BUF_INIT;
	struct str key;
	int rc = 0;

	buf_add_cstr(&secret, "AWS4");
	buf_add_str(&secret, s->key->secret_key);
	if (!buf_ok(&secret))
		rc = err_set(e, ERR_NO_MEMORY, "no memory for a signature");
	key = buf_str(&secret);
	for (size_t i = 0; rc == 0 && i < sizeof(steps) / sizeof(steps[0]); i++) {
		uint8_t next[32];

		rc = sign_hmac_sha256(next, key, &steps[i], 1, e);
		memcpy(ret, next, sizeof(next));
		wipe(next, sizeof(next));
		key = (struct str){(const char *)ret, 32};
	}
	if (secret.p)
		wipe(secret.p, secret.len);
	buf_release(&secret);
	return rc;
}

static int sign(struct signing *s, struct err *e)
{
	struct buf text = BUF_INIT;
	uint8_t hash[32], key[32] = {};
	char hex[65];
	int rc;

	write_canonical(s);
	if (!buf_ok(&s->canonical) || !buf_ok(&s->names) || !buf_ok(&s->scope) ||
	    EVP_Digest(s->canonical.p, s->canonical.len, hash, NULL, EVP_sha256(), NULL) != 1)
		return err_set(e, ERR_NO_MEMORY, "no memory for a signature");
	hex_encode(hex, hash, sizeof(hash));
	buf_addf(&text, ALGORITHM "\n%s\n%.*s\n%s", s->time, STR_FMT(buf_str(&s->scope)), hex);
	const struct str part = buf_str(&text);
	rc = buf_ok(&text) ? derive(key, s, e) : err_set(e, ERR_NO_MEMORY, "no memory for a signature");
	if (rc == 0)
		rc = sign_hmac_sha256(hash, (struct str){(const char *)key, sizeof(key)}, &part, 1, e);
	wipe(key, sizeof(key));
	if (rc == 0)
		hex_encode(s->signature, hash, sizeof(hash));
	buf_release(&text);
	return rc;
}

/* ---- what others call ---- */

static int check(const struct sigv4_request *r, size_t more, struct err *e)
{
	if (r->n_query + more > SIGV4_HEADERS_MAX || r->n_headers > SIGV4_HEADERS_MAX)
		return err_set(e, ERR_INVALID_VALUE, "a request to be signed has more than %d fields or parameters", SIGV4_HEADERS_MAX);
	return 0;
}

void sigv4_target(struct buf *out, const struct sigv4_request *r)
{
	write_path(out, r->path);
	if (r->n_query == 0)
		return;
	buf_add_char(out, '?');
	write_query(out, r->query, r->n_query);
}

int sigv4_authorization(struct buf *out, const struct sigv4_key *key, const struct sigv4_request *r, struct err *e)
{
	struct signing s;
	int rc = check(r, 0, e);

	if (rc != 0)
		return rc;
	begin(&s, key, r);
	rc = sign(&s, e);
	if (rc == 0)
		buf_addf(out, ALGORITHM " Credential=%.*s/%.*s,SignedHeaders=%.*s,Signature=%s", STR_FMT(key->access_key),
			 STR_FMT(buf_str(&s.scope)), STR_FMT(buf_str(&s.names)), s.signature);
	end(&s);
	return rc == 0 && !buf_ok(out) ? err_set(e, ERR_NO_MEMORY, "no memory for a signature") : rc;
}

static void join_names(struct buf *out, const struct sigv4_request *r)
{
	struct sigv4_pair list[SIGV4_HEADERS_MAX];

	sort(list, r->headers, r->n_headers);
	for (size_t i = 0; i < r->n_headers; i++) {
		if (i > 0)
			buf_add_char(out, ';');
		buf_add_str(out, list[i].name);
	}
}

int sigv4_presign(struct buf *out, const struct sigv4_key *key, const struct sigv4_request *r, unsigned expires_s, struct err *e)
{
	struct sigv4_pair query[SIGV4_HEADERS_MAX];
	struct buf credential = BUF_INIT, names = BUF_INIT;
	size_t n = r->n_query;
	char expires[16];
	struct signing s;
	int rc = check(r, 5, e);

	if (rc == 0 && (expires_s == 0 || expires_s > EXPIRES_MAX_S))
		rc = err_set(e, ERR_INVALID_VALUE, "a signed address is good for 1 to %d seconds", EXPIRES_MAX_S);
	if (rc != 0)
		return rc;
	begin(&s, key, r);
	for (size_t i = 0; i < n; i++)
		query[i] = r->query[i];
	snprintf(expires, sizeof(expires), "%u", expires_s);
	buf_addf(&credential, "%.*s/%.*s", STR_FMT(key->access_key), STR_FMT(buf_str(&s.scope)));
	join_names(&names, r);
	query[n++] = (struct sigv4_pair){STR("X-Amz-Algorithm"), STR(ALGORITHM)};
	query[n++] = (struct sigv4_pair){STR("X-Amz-Credential"), buf_str(&credential)};
	query[n++] = (struct sigv4_pair){STR("X-Amz-Date"), str_of(s.time)};
	query[n++] = (struct sigv4_pair){STR("X-Amz-Expires"), str_of(expires)};
	query[n++] = (struct sigv4_pair){STR("X-Amz-SignedHeaders"), buf_str(&names)};
	s.query = query;
	s.n_query = n;
	rc = buf_ok(&credential) && buf_ok(&names) ? sign(&s, e) : err_set(e, ERR_NO_MEMORY, "no memory for a signature");
	if (rc == 0) {
		write_path(out, r->path);
		buf_add_char(out, '?');
		write_query(out, query, n);
		buf_addf(out, "&X-Amz-Signature=%s", s.signature);
	}
	end(&s);
	buf_release(&credential);
	buf_release(&names);
	return rc == 0 && !buf_ok(out) ? err_set(e, ERR_NO_MEMORY, "no memory for a signature") : rc;
}

void sigv4_credential(struct buf *out, const struct sigv4_key *key, int64_t unix_s)
{
	char time[SIGV4_TIME_LEN + 1];

	sigv4_time(time, unix_s);
	buf_addf(out, "%.*s/%.8s/%.*s/%.*s/aws4_request", STR_FMT(key->access_key), time, STR_FMT(key->region), STR_FMT(key->service));
}

int sigv4_sign_text(char dst[65], const struct sigv4_key *key, int64_t unix_s, struct str text, struct err *e)
{
	struct signing s = {.key = key};
	uint8_t day_key[32] = {}, hash[32];
	int rc;

	sigv4_time(s.time, unix_s);
	rc = derive(day_key, &s, e);
	if (rc == 0)
		rc = sign_hmac_sha256(hash, (struct str){(const char *)day_key, sizeof(day_key)}, &text, 1, e);
	wipe(day_key, sizeof(day_key));
	if (rc == 0)
		hex_encode(dst, hash, sizeof(hash));
	return rc;
}
