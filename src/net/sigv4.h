/* AWS Signature Version 4, as Amazon documents it for S3 ("Authenticating Requests: Using the Authorization Header", "… Using Query Parameters"). Pure functions; no clock, no network.
 *
 * What is signed is put together from parts that are not encoded yet, and the URL from the same canonical form, so that the two cannot differ. */
#ifndef FILEMILL_NET_SIGV4_H
#define FILEMILL_NET_SIGV4_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#include <stddef.h>
#include <stdint.h>

#define SIGV4_HEADERS_MAX 32 /* fields or parameters of one request */
#define SIGV4_TIME_LEN 16 /* 20130524T000000Z */
#define SIGV4_EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" /* of no bytes */
#define SIGV4_UNSIGNED "UNSIGNED-PAYLOAD"

struct sigv4_key {
	struct str access_key, secret_key, region;
	struct str service; /* "s3" */
};

struct sigv4_pair {
	struct str name, value;
};

struct sigv4_request {
	struct str method;
	struct str path; /* not encoded; empty is "/". Nothing in it is normalised: S3's keys may hold `//` and `..` */
	const struct sigv4_pair *query; /* not encoded; in any order */
	size_t n_query;
	const struct sigv4_pair *headers; /* all that are to be signed, `host` among them; names in lower case, in any order */
	size_t n_headers;
	struct str payload_sha256; /* in hex, or SIGV4_UNSIGNED */
	int64_t unix_s;
};

/* The time as the field x-amz-date has it; dst is NUL-terminated. */
void sigv4_time(char dst[SIGV4_TIME_LEN + 1], int64_t unix_s);
/* Percent-encodes as the signature wants it: all but unreserved characters (RFC 3986 §2.3), with slashes or without. */
void sigv4_encode(struct buf *out, struct str text, bool keep_slashes);
/* Path and query as they must stand in the URL. */
void sigv4_target(struct buf *out, const struct sigv4_request *r);
/* The value of the field Authorization. Among the headers must be x-amz-date with the time's text. ERR_NO_MEMORY, ERR_INVALID_VALUE (too many of something). */
[[nodiscard]] int sigv4_authorization(struct buf *out, const struct sigv4_key *key, const struct sigv4_request *r, struct err *e);
/* The target with the signature in its query, good for so many seconds (at most seven days). */
[[nodiscard]] int sigv4_presign(struct buf *out, const struct sigv4_key *key, const struct sigv4_request *r, unsigned expires_s,
				struct err *e);
/* The signature over a text, in hex, as forms have it ("Creating a POST policy"): over the policy in base64. */
[[nodiscard]] int sigv4_sign_text(char dst[65], const struct sigv4_key *key, int64_t unix_s, struct str text, struct err *e);
/* `<access key>/<day>/<region>/<service>/aws4_request` */
void sigv4_credential(struct buf *out, const struct sigv4_key *key, int64_t unix_s);

#endif
